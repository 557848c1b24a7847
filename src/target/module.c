/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Modules: which mappings belong to one loaded ELF file, and where it lies.
 *
 * Every mapping of a loaded file says by its PT_LOAD what the bias is; the bias
 * that most of them agree on is the file's. A file that was only read through
 * mmap has no executable mapping and is no module. */
#include <unistd.h>
#include "target_priv.h"

#define MAX_ROUNDS 4     /* a file that is mapped as data next to the place where it is loaded */
#define MAX_RUN 1024     /* mappings of one module; these bound what a forged core can ask for */
#define IMAGE_BYTES 4096
#define MAX_IMAGES (256u << 20) /* bytes, of all */

struct build {
	const struct ph_module_source *source;
	uint64_t images; /* bytes that may still be copied of those without a file */
	struct PH_VEC(struct ph_module) modules;
};

void ph_mappings_deinit(struct ph_mappings *maps)
{
	for (size_t i = 0; i < maps->n; i++)
		free(maps->items[i].path);
	ph_vec_free(maps);
}

static void module_deinit(struct ph_module *m)
{
	free(m->path);
	free(m->open_path);
	ph_elf_free(m->elf);
	ph_elf_free(m->image);
}

void ph_modules_free(struct ph_module *modules, size_t n)
{
	for (size_t i = 0; i < n; i++)
		module_deinit(&modules[i]);
	free(modules);
}

/* "[heap]", "[vdso]" and the like are no files. */
static bool has_file(const struct ph_mapping *map)
{
	return map->path && map->path[0] && map->path[0] != '[';
}

static bool same_file(const struct ph_mapping *a, const struct ph_mapping *b)
{
	return a->dev == b->dev && a->inode == b->inode && !strcmp(a->path, b->path);
}

/* Whether a mapping can have this bias; ret_exec: as part of the program's code. */
static bool agrees(const struct ph_elf *elf, const struct ph_mapping *map, uint64_t bias,
		   bool *ret_exec)
{
	struct ph_elf_bias can[PH_ELF_BIASES];
	size_t n = ph_elf_biases(elf, map->start, map->offset, can);
	*ret_exec = false;
	for (size_t i = 0; i < n; i++) {
		if (can[i].bias != bias)
			continue;
		*ret_exec = map->perms_known ? map->executable : can[i].executable;
		return true;
	}
	return false;
}

/* A file's mappings maps[0..n), of which `taken` ones (and anonymous ones and
 * those of no file) do not count any more. */
struct run {
	const struct ph_mapping *maps;
	size_t n;
	bool *taken;
};

/* The bias that most of the mappings agree on with the first one left; false
 * when none is left. */
static bool best_bias(const struct run *run, const struct ph_elf *elf, uint64_t *ret)
{
	struct ph_elf_bias can[PH_ELF_BIASES];
	size_t first = 0, ncan = 0, best = 0;
	bool exec;
	for (; first < run->n; first++) {
		if (run->taken[first])
			continue;
		ncan = ph_elf_biases(elf, run->maps[first].start, run->maps[first].offset, can);
		if (ncan)
			break;
	}
	if (first == run->n)
		return false;
	for (size_t c = 0; c < ncan; c++) {
		size_t votes = 0;
		for (size_t i = first; i < run->n; i++)
			votes += !run->taken[i] && agrees(elf, &run->maps[i], can[c].bias, &exec);
		if (votes > best) {
			best = votes;
			*ret = can[c].bias;
		}
	}
	return true;
}

/* Takes the mappings that agree on the bias; false when they make no module. */
static bool take(struct run *run, const struct ph_elf *elf, uint64_t bias, struct ph_module *ret)
{
	bool code = false, exec;
	uint64_t from, to;
	ret->bias = bias;
	ret->start = UINT64_MAX;
	for (size_t i = 0; i < run->n; i++) {
		if (run->taken[i] || !agrees(elf, &run->maps[i], bias, &exec))
			continue;
		run->taken[i] = true;
		code |= exec;
		ret->headed |= !run->maps[i].offset;
		if (run->maps[i].start < ret->start)
			ret->start = run->maps[i].start;
		if (run->maps[i].end > ret->end)
			ret->end = run->maps[i].end;
	}
	ph_elf_span(elf, &from, &to);
	if (to + bias > ret->end && to + bias - ret->start <= to - from)
		ret->end = to + bias; /* .bss: an anonymous mapping */
	return code;
}

static struct ph_err *add(struct build *b, struct ph_module *m)
{
	if (m->path && PH_VEC_PUSH(&b->modules, *m))
		return NULL;
	module_deinit(m);
	return ph_err_nomem();
}

/* Makes the module of one run, if there is one; it takes file over. */
static struct ph_err *add_run(struct build *b, struct run *run, struct ph_elf **file,
			      struct ph_elf *image, char **open_path)
{
	struct ph_elf *elf = *file ? *file : image;
	struct ph_module m = { 0 };
	uint64_t bias = 0;
	bool found = false;
	for (int round = 0; !found && round < MAX_ROUNDS && best_bias(run, elf, &bias); round++) {
		m = (struct ph_module){ 0 };
		found = take(run, elf, bias, &m);
	}
	if (!found)
		return NULL;
	ph_elf_build_id(elf, m.build_id, &m.build_id_len);
	m.path = strdup(run->maps[0].path);
	if (*file) {
		m.elf = *file;
		m.open_path = *open_path;
		*file = NULL;
		*open_path = NULL;
	} else {
		m.image = ph_elf_from_memory(image, bias, b->source, &b->images);
	}
	return add(b, &m);
}

/* The file's first bytes as the target's memory has them. */
static struct ph_elf *image_of(const struct ph_module_source *source, const struct run *run,
			       uint8_t buf[IMAGE_BYTES])
{
	if (!source->read)
		return NULL;
	for (size_t i = 0; i < run->n; i++) {
		const struct ph_mapping *map = &run->maps[i];
		if (run->taken[i] || map->offset)
			continue;
		uint64_t n = map->end - map->start;
		n = source->read(source->ctx, map->start, buf, n < IMAGE_BYTES ? n : IMAGE_BYTES);
		struct ph_elf *elf = ph_elf_from_image(buf, n);
		if (elf)
			return elf;
	}
	return NULL;
}

/* A program whose file and first page are both missing: its place is known all the
 * same, so that a message can name it. */
static struct ph_err *add_unknown(struct build *b, const struct run *run)
{
	struct ph_module m = { .start = run->maps[0].start };
	bool code = false;
	for (size_t i = 0; i < run->n; i++) {
		if (run->taken[i])
			continue;
		code |= run->maps[i].executable;
		m.end = run->maps[i].end;
	}
	if (!code)
		return NULL;
	m.path = strdup(run->maps[0].path);
	return add(b, &m);
}

static struct ph_err *build_run(struct build *b, struct run *run)
{
	uint8_t buf[IMAGE_BYTES];
	char *open_path ph_cleanup_free = NULL;
	struct ph_elf *file = NULL, *image = NULL;
	struct ph_err *err = NULL;
	int fd ph_cleanup_close = b->source->open(b->source->ctx, &run->maps[0], &open_path);
	if (fd >= 0)
		err = ph_elf_open_fd(fd, run->maps[0].path, &file);
	if (!err && fd < 0)
		image = image_of(b->source, run, buf);
	if (!err && (file || image))
		err = add_run(b, run, &file, image, &open_path);
	else if (!err && fd < 0)
		err = add_unknown(b, run);
	ph_elf_free(file);
	ph_elf_free(image);
	return err;
}

static int by_start(const void *a, const void *b)
{
	const struct ph_module *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

static size_t left(const struct run *run)
{
	size_t n = 0;
	for (size_t i = 0; i < run->n; i++)
		n += !run->taken[i];
	return n;
}

/* Splits the mappings into runs of one file and makes their modules: a file that is loaded
 * twice (dlmopen) can have both in one run. */
static struct ph_err *build_all(struct build *b, const struct ph_mappings *maps, bool *taken)
{
	for (size_t i = 0, runs = 0; i < maps->n && runs < PH_MAX_MODULES;) {
		size_t n = 1;
		if (taken[i]) {
			i++;
			continue;
		}
		if (ph_interrupted)
			return ph_err_interrupted();
		runs++;
		for (; i + n < maps->n && n < MAX_RUN; n++)
			if (!taken[i + n] && !same_file(&maps->items[i], &maps->items[i + n]))
				break;
		struct run run = { &maps->items[i], n, taken + i };
		size_t before = left(&run);
		struct ph_err *err = build_run(b, &run);
		if (err)
			return err;
		/* once more from here on for what is left, as long as it gets less */
		i += left(&run) && left(&run) < before ? 0 : n;
	}
	return NULL;
}

/* A page of a loaded file that is mapped once more by itself (libffi's trampolines) is all that
 * there is of the file: what lies around it is another's. */
static void tell_pages(struct build *b, const struct ph_mappings *maps)
{
	for (size_t i = 0; i < b->modules.n; i++) {
		struct ph_module *m = &b->modules.items[i];
		for (size_t k = 0; !m->headed && !m->page && k < b->modules.n; k++)
			m->page = b->modules.items[k].headed && !strcmp(b->modules.items[k].path, m->path);
		if (!m->page)
			continue;
		for (size_t k = 0; k < maps->n; k++)
			if (maps->items[k].start == m->start)
				m->end = maps->items[k].end;
	}
}

struct ph_err *ph_modules_build(const struct ph_mappings *maps, const struct ph_module_source *source,
				struct ph_module **ret, size_t *ret_n)
{
	struct build b = { .source = source, .images = MAX_IMAGES };
	bool *taken ph_cleanup_free = calloc(maps->n + 1, sizeof *taken);
	if (!taken)
		return ph_err_nomem();
	for (size_t i = 0; i < maps->n; i++)
		taken[i] = !has_file(&maps->items[i]);
	struct ph_err *err = build_all(&b, maps, taken);
	if (err) {
		ph_modules_free(b.modules.items, b.modules.n);
		return err;
	}
	tell_pages(&b, maps);
	if (b.modules.n)
		qsort(b.modules.items, b.modules.n, sizeof *b.modules.items, by_start);
	*ret = b.modules.items;
	*ret_n = b.modules.n;
	return NULL;
}

struct ph_err *ph_module_add_range(const struct ph_module *module, ph_addr start, ph_addr end,
				   uint64_t offset, bool writable, struct ph_mem *mem)
{
	uint64_t size = module->elf ? ph_elf_file_size(module->elf) : 0;
	if (offset >= size || start >= end)
		return NULL;
	uint64_t n = end - start < size - offset ? end - start : size - offset;
	struct ph_segment seg = {
		.start = start,
		.end = start + n,
		.bytes = ph_elf_file_bytes(module->elf, offset, n),
		.fd = -1,
		.writable = writable,
		.fixed = true,
	};
	return ph_mem_add(mem, &seg);
}

/* ---- questions about modules --------------------------------------------------------- */

static struct ph_elf *tables(const struct ph_module *module)
{
	return module->elf ? module->elf : module->image;
}

static bool symbol(const struct ph_module *module, const char *name, bool exported, ph_addr *ret_addr,
		   uint64_t *ret_size)
{
	struct ph_elf *elf = tables(module);
	uint64_t addr, size;
	if (!(elf && ph_elf_symbol(elf, name, exported, &addr, &size)) &&
	    (exported || !module->debug || !ph_elf_symbol(module->debug, name, false, &addr, &size)))
		return false;
	*ret_addr = addr + module->bias;
	if (ret_size)
		*ret_size = size;
	return true;
}

bool ph_module_symbol(const struct ph_module *module, const char *name, ph_addr *ret_addr,
		      uint64_t *ret_size)
{
	return symbol(module, name, false, ret_addr, ret_size);
}

bool ph_module_exports(const struct ph_module *module, const char *name, ph_addr *ret_addr)
{
	return symbol(module, name, true, ret_addr, NULL);
}

bool ph_module_is_copy(const struct ph_module *module, ph_addr addr)
{
	return tables(module) && ph_elf_is_copy(tables(module), addr - module->bias);
}

bool ph_module_section(const struct ph_module *module, const char *name, ph_addr *ret_addr,
		       uint64_t *ret_size)
{
	uint64_t addr, size;
	if (!module->elf || !ph_elf_section(module->elf, name, &addr, &size))
		return false;
	*ret_addr = addr + module->bias;
	if (ret_size)
		*ret_size = size;
	return true;
}

const void *ph_module_bytes(const struct ph_module *module, ph_addr addr, size_t n)
{
	return module->elf ? ph_elf_bytes_at(module->elf, addr - module->bias, n) : NULL;
}

bool ph_module_code(const struct ph_module *module, size_t i, ph_addr *ret_addr, uint64_t *ret_n,
		    const uint8_t **ret_bytes)
{
	uint64_t addr, offset;
	/* what the file does not have is left out, as everywhere */
	while (module->elf && !module->page && ph_elf_code(module->elf, i, &addr, &offset, ret_n)) {
		*ret_addr = addr + module->bias;
		*ret_bytes = ph_elf_file_bytes(module->elf, offset, *ret_n);
		if (*ret_bytes)
			return true;
		i++;
	}
	return false;
}

bool ph_module_data(const struct ph_module *module, size_t i, ph_addr *ret_addr, uint64_t *ret_n,
		    const uint8_t **ret_bytes)
{
	const struct ph_elf *elf = tables(module);
	uint64_t addr, offset;
	while (elf && !module->page && ph_elf_data(elf, i, &addr, &offset, ret_n)) {
		*ret_addr = addr + module->bias;
		*ret_bytes = ph_elf_file_bytes(elf, offset, *ret_n);
		if (*ret_bytes)
			return true;
		i++;
	}
	return false;
}

char *ph_module_build_id(const struct ph_module *module)
{
	if (!module->build_id_len)
		return NULL;
	char *hex = malloc(2 * module->build_id_len + 1);
	for (size_t i = 0; hex && i < module->build_id_len; i++) {
		hex[2 * i] = "0123456789abcdef"[module->build_id[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[module->build_id[i] & 15];
	}
	if (hex)
		hex[2 * module->build_id_len] = '\0';
	return hex;
}
