/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cores that do not say which files were mapped (old kernels', qemu-user's guests'). The
 * auxiliary vector has the program's entry point and program headers, its dynamic section leads
 * to the loader's r_debug, and that to a list of all libraries: <link.h>. The mappings are made
 * from the files' own headers then. */
#include <elf.h>
#include <sys/stat.h>
#include "core_priv.h"

#define MAX_LINKS 4096    /* libraries */
#define MAX_DYNAMIC 4096  /* entries of a dynamic section */
#define MAX_NAME 4096
#define MAX_ARGS 16       /* looked at, for the program that the loader was given */

/* In bytes, struct r_debug and struct link_map of <link.h>. */
#define R_MAP 8
#define L_ADDR 0
#define L_NAME 8
#define L_LD 16
#define L_NEXT 24
#define L_PREV 32

struct links {
	struct ph_core *core;
	const struct ph_target *target;
	struct ph_notes *notes;
	struct ph_elf *program; /* the one that the kernel started: its file, else its first page */
	uint64_t bias;          /* of it */
	ph_addr dynamic;        /* of it; 0 = none */
};

/* One that is sought. */
struct object {
	const char *name;     /* as the target says */
	uint64_t bias;
	ph_addr dynamic;      /* l_ld; 0 = unknown */
	bool started;         /* it is what the kernel started: bias follows from its entry point */
	bool may_be_exe;
	bool unproven;        /* found is one that nothing tells from another */
};

/* ---- files ------------------------------------------------------------------------------- */

/* What is no regular file is not even opened: the name comes from the core. */
static struct ph_elf *open_elf(const char *path)
{
	struct stat st;
	struct ph_elf *elf = NULL;
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		ph_err_free(ph_elf_open(path, &elf));
	return elf;
}

/* Whether the file can lie where the object does; sets the bias of what was started. */
static bool lies_there(const struct links *l, struct object *o, const struct ph_elf *elf)
{
	uint64_t at, size;
	if (ph_elf_machine(elf) != l->target->machine)
		return false;
	if (o->started) {
		o->bias = ph_core_auxv(l->core, AT_ENTRY) - ph_elf_entry(elf);
		return ph_elf_headers(elf, &at) && at + o->bias == ph_core_auxv(l->core, AT_PHDR);
	}
	return !o->dynamic || (ph_elf_dynamic(elf, &at, &size) && at + o->bias == o->dynamic);
}

static struct ph_err *keep(struct ph_core *core, struct ph_mappings *maps)
{
	if (!PH_VEC_RESERVE(&core->maps, maps->n))
		return ph_err_nomem();
	if (maps->n)
		memcpy(core->maps.items + core->maps.n, maps->items, maps->n * sizeof *maps->items);
	core->maps.n += maps->n;
	maps->n = 0;
	return NULL;
}

/* Adds the object's mappings as this file has them, if it is the file. Takes elf over: into
 * *ret, if it is. check = false: the core's own first page needs none. */
static struct ph_err *try_elf(struct links *l, struct object *o, struct ph_elf *elf, bool check, bool vouched,
			      struct ph_elf **ret)
{
	struct ph_mappings maps = { 0 };
	struct ph_err *err = NULL;
	if (elf && lies_there(l, o, elf)) {
		err = ph_elf_mappings(elf, o->bias, o->name, &maps);
		if (!err && maps.n && (!check || ph_core_is_file(l->core, &maps, elf, vouched, &o->unproven))) {
			err = keep(l->core, &maps);
			*ret = elf;
			elf = NULL;
		}
	}
	ph_mappings_deinit(&maps);
	ph_elf_free(elf);
	return err;
}

static struct ph_err *try_path(struct links *l, struct object *o, struct ph_elf **ret)
{
	struct ph_err *err = NULL;
	if (o->may_be_exe && l->core->exe)
		err = try_elf(l, o, open_elf(l->core->exe), true, true, ret);
	if (!err && !*ret && l->core->sysroot && *o->name) {
		char *path ph_cleanup_free = ph_core_sysroot_path(l->core, o->name);
		err = path ? try_elf(l, o, open_elf(path), true, true, ret) : ph_err_nomem();
	}
	for (size_t i = 0; !err && !*ret && *o->name; i++) {
		char *path ph_cleanup_free = ph_core_library_path(l->core, o->name, i);
		if (!path)
			break;
		err = try_elf(l, o, open_elf(path), true, true, ret);
	}
	if (!err && !*ret && *o->name)
		err = try_elf(l, o, open_elf(o->name), true, false, ret);
	return err;
}

/* The first page of a file that is not there: its place and build-id are known by it. */
static struct ph_err *try_image(struct links *l, struct object *o, ph_addr page, struct ph_elf **ret)
{
	const void *p = ph_mem_at(l->core->own, page & -PH_PAGE, PH_PAGE);
	return p ? try_elf(l, o, ph_elf_from_image(p, PH_PAGE), false, false, ret) : NULL;
}

/* ---- what the kernel started --------------------------------------------------------------- */

static struct ph_err *find_program(struct links *l)
{
	char name[MAX_NAME];
	struct object o = { .name = name, .started = true, .may_be_exe = true };
	struct ph_err *err = NULL;
	if (!ph_mem_str(l->core->own, ph_core_auxv(l->core, AT_EXECFN), name, sizeof name))
		*name = '\0';
	if (*name)
		err = try_path(l, &o, &l->program);
	if (l->target->argc)
		o.name = l->target->argv[0];
	else if (l->core->exe)
		o.name = l->core->exe;
	if (!err && !l->program && *o.name)
		err = try_path(l, &o, &l->program);
	if (*name)
		o.name = name;
	if (!err && !l->program && *o.name)
		err = try_image(l, &o, ph_core_auxv(l->core, AT_PHDR), &l->program);
	l->bias = o.bias;
	l->core->unproven_files += !l->program && o.unproven;
	return err;
}

/* r_debug's address, 0 when there is none. A loader that was started with the program as its
 * argument has no DT_DEBUG, but a symbol. */
static ph_addr find_debug(struct links *l)
{
	uint64_t at, size, tag, value;
	if (ph_elf_dynamic(l->program, &at, &size))
		l->dynamic = at + l->bias;
	for (uint64_t i = 0; l->dynamic && i < size / 16 && i < MAX_DYNAMIC; i++) {
		if (!ph_mem_u64(l->core->own, l->dynamic + 16 * i, &tag) ||
		    !ph_mem_u64(l->core->own, l->dynamic + 16 * i + 8, &value) || tag == DT_NULL)
			break;
		if (tag == DT_DEBUG && value)
			return value;
	}
	return ph_elf_symbol(l->program, "_r_debug", false, &at, &size) ? at + l->bias : 0;
}

/* ---- what it loaded ------------------------------------------------------------------------- */

/* The loader's own name lies in the program's constants, which only its file may have. */
static bool name_at(const struct links *l, ph_addr addr, char *buf, size_t n)
{
	if (ph_mem_str(l->core->own, addr, buf, n))
		return true;
	for (size_t i = 0; i < n; i++) {
		const uint8_t *p = ph_elf_bytes_at(l->program, addr - l->bias + i, 1);
		if (!p)
			return false;
		buf[i] = (char)*p;
		if (!buf[i])
			return true;
	}
	return false;
}

/* The program that a loader was given: it has no name in the list. */
static struct ph_err *find_given(struct links *l, struct object *o, struct ph_elf **ret)
{
	struct ph_err *err = NULL;
	o->may_be_exe = true;
	if (l->core->exe) {
		o->name = l->core->exe;
		err = try_path(l, o, ret);
	}
	for (size_t i = 0; !err && !*ret && i < l->target->argc && i < MAX_ARGS; i++) {
		o->name = l->target->argv[i];
		if (strchr(o->name, '/'))
			err = try_path(l, o, ret);
	}
	return err;
}

static struct ph_err *add_link(struct links *l, struct object *o)
{
	struct ph_elf *elf = NULL;
	if ((o->dynamic == l->dynamic && o->bias == l->bias) || o->bias == ph_core_auxv(l->core, AT_SYSINFO_EHDR))
		return NULL;
	/* a name without a directory is the vdso's */
	if (*o->name && !strchr(o->name, '/'))
		return NULL;
	struct ph_err *err = *o->name ? try_path(l, o, &elf) : find_given(l, o, &elf);
	if (!err && !elf && *o->name)
		err = try_image(l, o, o->bias, &elf);
	if (!err && !elf) {
		ph_note(l->notes, PH_NOTE_MISSING_FILE, o->bias);
		l->core->unproven_files += o->unproven;
	}
	ph_elf_free(elf);
	return err;
}

/* Each entry must lead back to the one before: no list that does so goes in circles. */
static struct ph_err *walk(struct links *l, ph_addr debug)
{
	const struct ph_mem *mem = l->core->own;
	char name[MAX_NAME];
	ph_addr at, next = 0, prev = 0;
	uint64_t back, text;
	bool whole = ph_mem_u64(mem, debug + R_MAP, &at);
	struct ph_err *err = NULL;
	for (unsigned i = 0; !err && whole && at; i++, prev = at, at = next) {
		struct object o = { .name = name };
		whole = i < MAX_LINKS && ph_mem_u64(mem, at + L_ADDR, &o.bias) && ph_mem_u64(mem, at + L_NAME, &text) &&
			ph_mem_u64(mem, at + L_LD, &o.dynamic) && ph_mem_u64(mem, at + L_NEXT, &next) &&
			ph_mem_u64(mem, at + L_PREV, &back) && back == prev;
		if (!whole)
			break;
		if (!name_at(l, text, name, sizeof name))
			strcpy(name, "/?"); /* its first page may be there all the same */
		err = add_link(l, &o);
		if (!err && ph_interrupted)
			err = ph_err_interrupted();
	}
	if (!whole)
		ph_note(l->notes, PH_NOTE_MISSING_FILE, debug);
	return err;
}

static int by_start(const void *a, const void *b)
{
	const struct ph_mapping *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

struct ph_err *ph_core_links(struct ph_core *core, const struct ph_target *target, struct ph_notes *notes)
{
	struct links l = { .core = core, .target = target, .notes = notes };
	struct ph_err *err = find_program(&l);
	if (err || !l.program)
		return err;
	ph_addr debug = find_debug(&l);
	if (debug)
		err = walk(&l, debug);
	if (core->maps.n)
		qsort(core->maps.items, core->maps.n, sizeof *core->maps.items, by_start);
	ph_elf_free(l.program);
	return err;
}
