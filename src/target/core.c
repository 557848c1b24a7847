/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF cores as the kernel and gdb's gcore write them. The file is mapped once,
 * whole and read-only; segments point into the mapping, so that neither its
 * size nor the alignment of its offsets matters. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core_priv.h"

/* ---- the header --------------------------------------------------------------------- */

static struct ph_err *not_a_core(const struct ph_target *target)
{
	if (target->fault)
		return ph_err_hint(ph_err_new(PH_ERR_NOT_PYTHON, "%s: nothing of a core could be unpacked: its %s stream "
					      "is %s", target->what, target->packed,
					      target->fault == PH_UNPACK_CUT ? "cut off" : "damaged"),
				   "copy the file once more, and compare the checksums");
	return ph_err_hint(ph_err_new(PH_ERR_NOT_PYTHON, "%s is not an ELF core file%s", target->what,
				      target->packed ? ", nor is what is packed in it" : ""),
			   "give a process ID or a core file; `gcore PID` makes one");
}

/* e_type in the file's own byte order. */
static unsigned elf_type(const uint8_t *p)
{
	return p[EI_DATA] == ELFDATA2MSB ? (unsigned)p[16] << 8 | p[17] : ph_load_u16(p + 16);
}

static struct ph_err *refused(const struct ph_target *target, const char *what)
{
	return ph_err_hint(ph_err_new(PH_ERR_REFUSED, "%s: cores of %s are not supported",
				      target->what, what),
			   "pyheap reads 64-bit little-endian cores of x86-64 and aarch64");
}

/* Also says what it is when it is something else. */
static struct ph_err *check_header(const struct ph_core *core, struct ph_target *target,
				   Elf64_Ehdr *ret)
{
	const uint8_t *p = core->bytes;
	if (core->size < 20 || memcmp(p, ELFMAG, SELFMAG))
		return not_a_core(target);
	if (elf_type(p) != ET_CORE)
		return ph_err_hint(ph_err_new(PH_ERR_NOT_PYTHON,
					      "%s is an ELF file, but not a core", target->what),
				   "give the core, and the program with --exe");
	if (p[EI_CLASS] == ELFCLASS32)
		return refused(target, "32-bit programs");
	if (p[EI_DATA] == ELFDATA2MSB)
		return refused(target, "big-endian machines");
	if (p[EI_CLASS] != ELFCLASS64 || p[EI_DATA] != ELFDATA2LSB || core->size < sizeof *ret)
		return not_a_core(target);
	memcpy(ret, p, sizeof *ret);
	if (ret->e_machine != EM_X86_64 && ret->e_machine != EM_AARCH64)
		return refused(target, "this machine");
	target->machine = ret->e_machine;
	return NULL;
}

/* ---- segments ------------------------------------------------------------------------- */

/* Bytes of [offset, offset + n) that are in the file. */
static uint64_t held(const struct ph_core *core, uint64_t offset, uint64_t n)
{
	if (offset >= core->size)
		return 0;
	return n < core->size - offset ? n : core->size - offset;
}

/* `left` bounds the sum of all segments by the file's size, which no real core
 * exceeds: a forged one cannot show the same bytes at millions of addresses. */
static struct ph_err *add_load(struct ph_core *core, const Elf64_Phdr *ph, uint64_t *left,
			       struct ph_notes *notes)
{
	struct ph_core_load load = {
		.start = ph->p_vaddr,
		.offset = ph->p_offset,
		.held = held(core, ph->p_offset, ph->p_filesz),
		.writable = ph->p_flags & PF_W,
		.executable = ph->p_flags & PF_X,
	};
	uint64_t size = ph->p_memsz > ph->p_filesz ? ph->p_memsz : ph->p_filesz;
	if (__builtin_add_overflow(load.start, size, &load.end))
		return NULL;
	if (load.held > *left)
		load.held = *left;
	*left -= load.held;
	if (load.held < ph->p_filesz) {
		struct ph_core_range lost = { load.start + load.held, load.start + ph->p_filesz };
		ph_note(notes, PH_NOTE_TRUNCATED_CORE, lost.start);
		if (!PH_VEC_PUSH(&core->cut, lost))
			return ph_err_nomem();
	}
	return PH_VEC_PUSH(&core->loads, load) ? NULL : ph_err_nomem();
}

/* With 65535 and more, the count is in section header 0. */
static uint64_t segment_count(const struct ph_core *core, const Elf64_Ehdr *eh)
{
	Elf64_Shdr first;
	if (eh->e_phnum != PN_XNUM || held(core, eh->e_shoff, sizeof first) < sizeof first)
		return eh->e_phnum;
	memcpy(&first, core->bytes + eh->e_shoff, sizeof first);
	return first.sh_info;
}

static int load_by_start(const void *a, const void *b)
{
	const struct ph_core_load *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int range_by_start(const void *a, const void *b)
{
	const struct ph_core_range *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

/* Sorts the lost ranges and makes one of those that touch. */
static void merge_cut(struct ph_core *core)
{
	struct ph_core_range *r = core->cut.items;
	size_t n = 0;
	if (!core->cut.n)
		return;
	qsort(r, core->cut.n, sizeof *r, range_by_start);
	for (size_t i = 1; i < core->cut.n; i++) {
		if (r[i].start > r[n].end)
			r[++n] = r[i];
		else if (r[i].end > r[n].end)
			r[n].end = r[i].end;
	}
	core->cut.n = n + 1;
}

static struct ph_err *read_segments(struct ph_core *core, const Elf64_Ehdr *eh,
				    struct ph_target *target, struct ph_notes *notes)
{
	struct ph_err *err = NULL;
	uint64_t left = core->size, count = segment_count(core, eh);
	uint64_t n = held(core, eh->e_phoff, count * sizeof(Elf64_Phdr)) / sizeof(Elf64_Phdr);
	if (eh->e_phentsize != sizeof(Elf64_Phdr))
		n = 0;
	if (n < count)
		ph_note(notes, PH_NOTE_TRUNCATED_CORE, 0);
	for (uint64_t i = 0; !err && i < n; i++) {
		Elf64_Phdr ph;
		memcpy(&ph, core->bytes + eh->e_phoff + i * sizeof ph, sizeof ph);
		if (ph.p_type == PT_LOAD)
			err = add_load(core, &ph, &left, notes);
		else if (ph.p_type == PT_NOTE && ph.p_offset < core->size)
			err = ph_core_read_notes(core, target->machine, core->bytes + ph.p_offset,
						 held(core, ph.p_offset, ph.p_filesz), ph.p_align);
	}
	if (err)
		return err;
	if (core->loads.n)
		qsort(core->loads.items, core->loads.n, sizeof *core->loads.items, load_by_start);
	merge_cut(core);
	for (size_t i = 0; i < core->cut.n; i++)
		target->lost_bytes += core->cut.items[i].end - core->cut.items[i].start;
	return NULL;
}

/* Rights of the mappings, where the core has a segment for them. */
static void set_permissions(struct ph_core *core)
{
	for (size_t i = 0; i < core->maps.n; i++) {
		struct ph_mapping *map = &core->maps.items[i];
		size_t lo = 0, hi = core->loads.n;
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;
			if (core->loads.items[mid].start <= map->start)
				lo = mid + 1;
			else
				hi = mid;
		}
		const struct ph_core_load *load = lo ? &core->loads.items[lo - 1] : NULL;
		if (!load || load->end <= map->start)
			continue;
		map->perms_known = true;
		map->readable = true;
		map->writable = load->writable;
		map->executable = load->executable;
	}
}

/* sparse: without what is only reserved, which takes a look at all of it. */
static struct ph_err *add_own_bytes(const struct ph_core *core, bool sparse, struct ph_mem *mem)
{
	for (size_t i = 0; i < core->loads.n; i++) {
		const struct ph_core_load *load = &core->loads.items[i];
		bool aligned = !((load->start - load->offset) & (PH_PAGE - 1));
		if (!load->held) /* the offset may be anything */
			continue;
		struct ph_segment seg = {
			.start = load->start,
			.end = load->start + load->held,
			.bytes = core->bytes + load->offset,
			.fd = aligned ? core->fd : -1,
			.offset = load->offset,
			.writable = load->writable,
		};
		struct ph_err *err = sparse && ph_core_is_reserved(core, load) ? ph_core_add_reserved(core, &seg, mem)
									: ph_mem_add(mem, &seg);
		if (err)
			return err;
	}
	return NULL;
}

bool ph_core_zeroes(const struct ph_target *target, size_t i, ph_addr *ret_start, ph_addr *ret_end)
{
	const struct ph_core *core = target->priv;
	for (size_t k = 0; k < core->loads.n; k++) {
		const struct ph_core_load *load = &core->loads.items[k];
		if (!ph_core_is_reserved(core, load) || i--)
			continue;
		*ret_start = load->start;
		*ret_end = load->start + load->held;
		return true;
	}
	return false;
}

/* ---- open ------------------------------------------------------------------------------- */

/* Puts the unpacked file in the packed one's place; its date stays. */
static struct ph_err *unpack(struct ph_core *core, struct ph_target *target, struct ph_notes *notes)
{
	struct ph_spool out;
	struct ph_err *err = ph_spool_open(&out);
	if (!err)
		err = ph_unpack(core->fd, &out, &target->fault);
	if (out.fd >= 0) {
		close(core->fd);
		core->fd = out.fd;
		core->size = out.size;
	}
	if (!err && target->fault)
		ph_note(notes, PH_NOTE_TRUNCATED_CORE, 0);
	return err;
}

static struct ph_err *open_file(struct ph_core *core, struct ph_target *target, struct ph_notes *notes)
{
	struct stat st;
	char head[16];
	/* not target->path: what /dev/fd/N leads to may have no name any more */
	core->fd = open(target->what, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (core->fd < 0)
		return ph_err_errno(errno == EACCES ? PH_ERR_PERMISSION : PH_ERR_USAGE, errno, "%s",
				    target->what);
	if (fstat(core->fd, &st) < 0)
		return ph_err_errno(PH_ERR_USAGE, errno, "%s", target->what);
	if (!S_ISREG(st.st_mode))
		return ph_err_new(PH_ERR_USAGE, "%s is not a regular file", target->what);
	core->size = (uint64_t)st.st_size;
	target->captured_at = st.st_mtim;
	ssize_t n = pread(core->fd, head, sizeof head, 0);
	if (n > 0)
		target->packed = ph_packed(head, (size_t)n);
	return target->packed ? unpack(core, target, notes) : NULL;
}

static struct ph_err *map_file(struct ph_core *core, struct ph_target *target)
{
	if (!core->size)
		return not_a_core(target);
	void *p = mmap(NULL, core->size, PROT_READ, MAP_PRIVATE, core->fd, 0);
	if (p == MAP_FAILED)
		return ph_err_errno(PH_ERR_USAGE, errno, "%s: mmap", target->what);
	core->bytes = p;
	core->mapped = core->size;
	return NULL;
}

/* The file that holds the entry point; a loader when the program was given to it
 * as an argument. */
static struct ph_err *find_exe(const struct ph_core *core, struct ph_target *target)
{
	ph_addr entry = ph_core_auxv(core, AT_ENTRY);
	const struct ph_module *m = ph_target_module_at(target, entry);
	char name[4096];
	if (m)
		target->exe = strdup(m->path);
	else if (ph_mem_str(core->own, ph_core_auxv(core, AT_EXECFN), name, sizeof name))
		target->exe = strdup(name);
	else
		return NULL;
	return target->exe ? NULL : ph_err_nomem();
}

static struct ph_err *keep_options(struct ph_core *core, const struct ph_target_options *opt)
{
	core->exe = opt->exe ? strdup(opt->exe) : NULL;
	core->sysroot = opt->sysroot ? strdup(opt->sysroot) : NULL;
	core->lib_path = opt->lib_search_path ? strdup(opt->lib_search_path) : NULL;
	if ((opt->exe && !core->exe) || (opt->sysroot && !core->sysroot) || (opt->lib_search_path && !core->lib_path))
		return ph_err_nomem();
	return NULL;
}

static struct ph_err *read_headers(struct ph_core *core, struct ph_target *target,
				   struct ph_notes *notes)
{
	Elf64_Ehdr eh;
	struct ph_err *err = check_header(core, target, &eh);
	if (!err)
		err = read_segments(core, &eh, target, notes);
	if (!err && !core->loads.n)
		err = ph_err_hint(ph_err_new(PH_ERR_NOT_PYTHON, "%s holds no memory", target->what),
				  "the core was cut off: look at `ulimit -c` and the free disk space");
	return err;
}

/* Modules, names and arguments, for which the core's own bytes are needed. */
static struct ph_err *read_contents(struct ph_core *core, struct ph_target *target,
				    struct ph_notes *notes)
{
	core->own = ph_mem_new();
	if (!core->own)
		return ph_err_nomem();
	struct ph_err *err = add_own_bytes(core, false, core->own);
	if (!err)
		err = ph_mem_seal(core->own);
	if (!err)
		err = ph_core_argv(core, target);
	if (!err && !core->maps.n)
		err = ph_core_links(core, target, notes);
	set_permissions(core);
	if (!err)
		err = ph_core_modules(core, target, notes);
	if (!err)
		err = find_exe(core, target);
	ph_mem_free(core->own);
	core->own = NULL;
	return err;
}

struct ph_err *ph_core_open(struct ph_target *target, const struct ph_target_options *opt,
			    struct ph_notes *notes)
{
	struct ph_core *core = calloc(1, sizeof *core);
	if (!core)
		return ph_err_nomem();
	core->fd = -1;
	target->priv = core;
	struct ph_err *err = keep_options(core, opt);
	if (!err)
		err = open_file(core, target, notes);
	if (!err)
		err = map_file(core, target);
	if (!err)
		err = read_headers(core, target, notes);
	if (err)
		return err;
	target->pid = core->pid;
	return read_contents(core, target, notes);
}

void ph_core_close(struct ph_target *target)
{
	struct ph_core *core = target->priv;
	if (!core)
		return;
	if (core->mapped)
		munmap((void *)core->bytes, core->mapped);
	if (core->fd >= 0)
		close(core->fd);
	ph_mem_free(core->own);
	ph_mappings_deinit(&core->maps);
	ph_vec_free(&core->loads);
	ph_vec_free(&core->cut);
	ph_vec_free(&core->threads);
	free(core->exe);
	free(core->sysroot);
	free(core->lib_path);
	free(core);
	target->priv = NULL;
}

bool ph_core_peek(const struct ph_target *target, ph_addr addr, void *buf, size_t n)
{
	const struct ph_core *core = target->priv;
	for (size_t i = 0; i < core->loads.n; i++) {
		const struct ph_core_load *load = &core->loads.items[i];
		if (addr < load->start || addr - load->start > load->held || n > load->held - (addr - load->start))
			continue;
		memcpy(buf, core->bytes + load->offset + (addr - load->start), n);
		return true;
	}
	return false;
}

/* ---- capture ------------------------------------------------------------------------------ */

/* Adds the file's bytes for one mapping, but for what was dumped and then lost:
 * the process may have changed it. *cut moves on with the mappings. */
static struct ph_err *add_file_bytes(const struct ph_core *core, const struct ph_module *module,
				     const struct ph_mapping *map, struct ph_mem *mem)
{
	ph_addr at = map->start;
	struct ph_err *err = NULL;
	bool writable = map->perms_known ? map->writable
					 : module->elf && !ph_elf_readonly(module->elf, map->offset);
	for (size_t lo = PH_RANGE_BEHIND(core->cut.items, core->cut.n, at); !err && at < map->end; lo++) {
		ph_addr stop = map->end, next = map->end;
		if (lo < core->cut.n && core->cut.items[lo].start < map->end) {
			stop = core->cut.items[lo].start;
			next = core->cut.items[lo].end;
		}
		err = ph_module_add_range(module, at, stop, map->offset + (at - map->start), writable,
					  mem);
		at = next > at ? next : at;
	}
	return err;
}

static struct ph_err *add_files(const struct ph_core *core, const struct ph_target *target,
				struct ph_mem *mem)
{
	for (size_t i = 0; i < core->maps.n; i++) {
		const struct ph_mapping *map = &core->maps.items[i];
		const struct ph_module *m = ph_target_module_at(target, map->start);
		if (!m || strcmp(m->path, map->path))
			continue;
		struct ph_err *err = add_file_bytes(core, m, map, mem);
		if (err)
			return err;
	}
	return NULL;
}

static struct ph_err *copy_threads(const struct ph_core *core, struct ph_target *target)
{
	size_t n = core->threads.n;
	target->threads = calloc(n + 1, sizeof *target->threads);
	if (!target->threads)
		return ph_err_nomem();
	for (size_t i = 0; i < n; i++) {
		target->threads[i] = core->threads.items[i];
		if (target->threads[i].tid == core->pid)
			memcpy(target->threads[i].name, core->fname, 15);
	}
	target->nthreads = n;
	return NULL;
}

struct ph_err *ph_core_capture(struct ph_target *target, struct ph_notes *notes)
{
	const struct ph_core *core = target->priv;
	(void)notes;
	ph_target_reset(target);
	target->pause_ms = -1;
	target->mem = ph_mem_new();
	if (!target->mem)
		return ph_err_nomem();
	struct ph_err *err = copy_threads(core, target);
	if (!err)
		err = add_own_bytes(core, true, target->mem);
	if (!err)
		err = add_files(core, target, target->mem);
	return err ? err : ph_mem_seal(target->mem);
}
