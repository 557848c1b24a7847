/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ELF files of a core. The kernel leaves code and constants out of a core;
 * they come from the files it names, but only from the very files that were
 * mapped: the build-id in the core's copy of the file's first page tells, or,
 * where there is none, that all the core holds of the file's constant pages is
 * equal, or the user's word (--exe, --sysroot). */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core_priv.h"

/* Bounds for forged cores. */
#define MAX_RUN 1024              /* mappings of one file */
#define MAX_COMPARED (1u << 18)   /* pages of one file */
#define MAX_LOOKED 4096           /* mappings, for the one with a file's first page */

struct files {
	struct ph_core *core;
	struct ph_notes *notes;
};

/* What the core says about one file: mappings maps[0..n) and its first page. */
struct wanted {
	const struct ph_core *core;
	const struct ph_mapping *maps;
	size_t n;
	bool is_elf, is_main;
	uint8_t build_id[64];
	size_t build_id_len;
	bool *unproven;      /* set when a file fits that nothing in the core tells from another */
};

static size_t read_own(void *ctx, ph_addr addr, void *buf, size_t n)
{
	const struct files *f = ctx;
	const void *p = ph_mem_at(f->core->own, addr, n);
	if (!p)
		return 0;
	memcpy(buf, p, n);
	return n;
}

/* Where the file's first page is: mostly in the run; libffi maps one page of itself
 * once more, elsewhere. */
static const struct ph_mapping *first_page(const struct wanted *w)
{
	const struct ph_mappings *maps = &w->core->maps;
	if (!w->maps->offset)
		return w->maps;
	for (size_t i = 0; i < maps->n && i < MAX_LOOKED; i++)
		if (!maps->items[i].offset && !strcmp(maps->items[i].path, w->maps->path))
			return &maps->items[i];
	return NULL;
}

static void wanted_init(struct wanted *w, const struct ph_core *core, const struct ph_mapping *map,
			const struct ph_mapping *end)
{
	uint64_t entry = ph_core_auxv(core, AT_ENTRY);
	*w = (struct wanted){ .core = core, .maps = map };
	for (; map < end && w->n < MAX_RUN && !strcmp(map->path, w->maps->path); map++, w->n++)
		w->is_main |= entry >= map->start && entry < map->end;
	const struct ph_mapping *first = first_page(w);
	const void *p = first ? ph_mem_at(core->own, first->start, PH_PAGE) : NULL;
	struct ph_elf *image = p ? ph_elf_from_image(p, PH_PAGE) : NULL;
	if (image) {
		w->is_elf = true;
		ph_elf_build_id(image, w->build_id, &w->build_id_len);
		ph_elf_free(image);
	}
}

/* Whether one bias fits all mappings: a file of another layout is found out. */
static bool layout_fits(const struct wanted *w, const struct ph_elf *elf)
{
	struct ph_elf_bias first[PH_ELF_BIASES], can[PH_ELF_BIASES];
	size_t nfirst = ph_elf_biases(elf, w->maps[0].start, w->maps[0].offset, first);
	for (size_t c = 0; c < nfirst; c++) {
		size_t i, k;
		for (i = 1; i < w->n; i++) {
			size_t n = ph_elf_biases(elf, w->maps[i].start, w->maps[i].offset, can);
			for (k = 0; k < n && can[k].bias != first[c].bias; k++)
				;
			if (k == n)
				break;
		}
		if (i >= w->n)
			return true;
	}
	return false;
}

/* Whether the pages that do not change at run time are in the core as in the
 * file, and there is at least one. */
static bool bytes_equal(const struct wanted *w, const struct ph_elf *elf)
{
	size_t equal = 0, left = MAX_COMPARED;
	for (size_t i = 0; i < w->n; i++) {
		const struct ph_mapping *map = &w->maps[i];
		for (ph_addr a = map->start; a < map->end && left; a += PH_PAGE, left--) {
			uint64_t offset = map->offset + (a - map->start);
			const void *file = ph_elf_file_bytes(elf, offset, PH_PAGE);
			if (!file)
				break;
			const void *own = ph_mem_at(w->core->own, a, PH_PAGE);
			if (!own || !ph_elf_readonly(elf, offset))
				continue;
			if (memcmp(own, file, PH_PAGE))
				return false;
			equal++;
		}
	}
	if (!equal && w->unproven)
		*w->unproven = true;
	return equal > 0;
}

static bool is_wanted(const struct wanted *w, const struct ph_elf *elf, bool vouched)
{
	uint8_t build_id[64];
	size_t len;
	if (w->build_id_len)
		return ph_elf_build_id(elf, build_id, &len) && len == w->build_id_len &&
		       !memcmp(build_id, w->build_id, len);
	return layout_fits(w, elf) && (vouched || bytes_equal(w, elf));
}

static bool same_file(const struct wanted *w, int fd, const char *path, bool vouched)
{
	struct ph_elf *elf;
	ph_err_free(ph_elf_open_fd(fd, path, &elf));
	bool same = elf && is_wanted(w, elf, vouched);
	ph_elf_free(elf);
	return same;
}

bool ph_core_is_file(const struct ph_core *core, const struct ph_mappings *maps, const struct ph_elf *elf,
		     bool vouched, bool *unproven)
{
	struct wanted w;
	if (!maps->n)
		return false;
	wanted_init(&w, core, maps->items, maps->items + maps->n);
	w.unproven = unproven;
	return is_wanted(&w, elf, vouched);
}

/* Opens path when it is the file that was mapped. What is no regular file is not
 * even opened: the name comes from the core. */
static int try_file(const struct wanted *w, const char *path, bool vouched, char **ret_path)
{
	struct stat st;
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd >= 0 && same_file(w, fd, path, vouched)) {
		*ret_path = realpath(path, NULL);
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Without a build-id --exe stands for the main program, or a file of its name
 * (a program started through a loader is not where AT_ENTRY points). */
static int try_exe(struct ph_core *core, const struct wanted *w, char **ret_path)
{
	if (!core->exe)
		return -1;
	bool named = w->is_main || !strcmp(base_name(core->exe), base_name(w->maps->path));
	if (!w->build_id_len && !named)
		return -1;
	int fd = try_file(w, core->exe, true, ret_path);
	core->exe_used |= fd >= 0;
	return fd;
}

char *ph_core_sysroot_path(const struct ph_core *core, const char *name)
{
	size_t n = strlen(core->sysroot);
	while (n && core->sysroot[n - 1] == '/')
		n--;
	if (n && !strncmp(name, core->sysroot, n) && name[n] == '/')
		return strdup(name);
	return ph_asprintf("%s/%s", core->sysroot, name);
}

static int try_sysroot(const struct ph_core *core, const struct wanted *w, char **ret_path)
{
	if (!core->sysroot)
		return -1;
	char *path ph_cleanup_free = ph_core_sysroot_path(core, w->maps->path);
	return path ? try_file(w, path, true, ret_path) : -1;
}

char *ph_core_library_path(const struct ph_core *core, const char *name, size_t i)
{
	const char *dir = core->lib_path;
	for (; dir && i; i--)
		dir = strchr(dir, ':') ? strchr(dir, ':') + 1 : NULL;
	return dir ? ph_asprintf("%.*s/%s", (int)strcspn(dir, ":"), dir, base_name(name)) : NULL;
}

static int try_library(const struct ph_core *core, const struct wanted *w, char **ret_path)
{
	int fd = -1;
	for (size_t i = 0; fd < 0; i++) {
		char *path ph_cleanup_free = ph_core_library_path(core, w->maps->path, i);
		if (!path)
			break;
		fd = try_file(w, path, true, ret_path);
	}
	return fd;
}

/* Data files (locale archives, caches) are not missed. */
static bool is_missed(const struct wanted *w)
{
	if (w->is_elf || w->is_main || strstr(base_name(w->maps->path), ".so"))
		return true;
	for (size_t i = 0; i < w->n; i++)
		if (w->maps[i].executable)
			return true;
	return false;
}

static int open_file(void *ctx, const struct ph_mapping *map, char **ret_path)
{
	struct files *f = ctx;
	struct wanted w;
	bool unproven = false;
	wanted_init(&w, f->core, map, f->core->maps.items + f->core->maps.n);
	w.unproven = &unproven;
	int fd = try_exe(f->core, &w, ret_path);
	if (fd < 0)
		fd = try_sysroot(f->core, &w, ret_path);
	if (fd < 0)
		fd = try_library(f->core, &w, ret_path);
	if (fd < 0)
		fd = try_file(&w, map->path, false, ret_path);
	if (fd < 0 && is_missed(&w)) {
		ph_note(f->notes, PH_NOTE_MISSING_FILE, map->start);
		f->core->unproven_files += unproven;
	}
	return fd;
}

static struct ph_err *check_exe(const struct ph_core *core)
{
	struct ph_elf *elf;
	struct ph_err *err;
	if (!core->exe)
		return NULL;
	err = ph_elf_open(core->exe, &elf);
	if (err)
		return err;
	if (!elf && access(core->exe, F_OK) < 0)
		return ph_err_errno(PH_ERR_USAGE, errno, "--exe %s", core->exe);
	if (!elf)
		return ph_err_new(PH_ERR_USAGE, "--exe %s is not a 64-bit ELF program", core->exe);
	ph_elf_free(elf);
	return NULL;
}

struct ph_err *ph_core_modules(struct ph_core *core, struct ph_target *target,
			       struct ph_notes *notes)
{
	struct files f = { core, notes };
	struct ph_module_source source = { .ctx = &f, .open = open_file, .read = read_own };
	struct ph_err *err = check_exe(core);
	if (!err)
		err = ph_modules_build(&core->maps, &source, &target->modules, &target->nmodules);
	target->unproven_files = core->unproven_files;
	if (!err && core->exe && !core->exe_used)
		err = ph_err_hint(ph_err_new(PH_ERR_USAGE, "--exe %s is not a file of this core",
					     core->exe),
				  "give the very file that ran; `eu-unstrip -n --core %s` lists the "
				  "build-ids in the core", target->what);
	return err;
}
