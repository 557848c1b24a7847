/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a layout comes from, in this order: the interpreter's debug information, a layout
 * file with its build-id, a server of debug information, the layout files of its version. */
#include "layout_priv.h"

#define FIRST_WITH_VERSION 0x030b0000 /* tell their version in read-only data */

struct finding {
	const struct ph_target *target;
	const struct ph_module *module;
	const struct ph_python *python;
	const struct ph_layout_options *opt;
	char build_id[130];
	struct ph_layout_files files;
	const char *stale;       /* a file that would fit, but does not answer all rows */
	struct ph_layouts *ret;
};

static struct ph_err *add(struct finding *f, struct ph_layout *l, bool own)
{
	strcpy(l->build_id, f->build_id);
	l->own = own;
	if (PH_VEC_PUSH(f->ret, l))
		return NULL;
	ph_layout_free(l);
	return ph_err_nomem();
}

static struct ph_err *add_file(struct finding *f, const struct ph_layout_file *file, bool own)
{
	struct ph_layout *l;
	struct ph_err *err = ph_layout_file_open(file, &l);
	return err ? err : add(f, l, own);
}

/* The same of one that nobody has named: what cannot be used is passed over. */
static struct ph_err *add_found(struct finding *f, const struct ph_layout_file *file, bool own)
{
	struct ph_err *err = add_file(f, file, own);
	if (!err || err == ph_err_nomem())
		return err;
	ph_err_free(err);
	f->stale = file->name;
	return NULL;
}

/* ---- debug information ---------------------------------------------------------------- */

static struct ph_err *from_dwarf(struct finding *f, const char *debug_file, const char *source)
{
	char root[48];
	struct ph_debug_search search = { .module = f->module, .debug_file = debug_file };
	if (f->opt->sysroot)
		search.roots[search.nroots++] = f->opt->sysroot;
	search.roots[search.nroots++] = "";
	/* a container has its own /usr/lib/debug */
	if (f->target && f->target->kind == PH_TARGET_PROCESS && f->target->pid > 0) {
		snprintf(root, sizeof root, "/proc/%ld/root", (long)f->target->pid);
		search.roots[search.nroots++] = root;
	}
	struct ph_answers s ph_cleanup_answers = { 0 };
	struct ph_err *err = ph_answers_get(f->target, &search, !f->opt->no_cache, ph_rows, ph_nrows, &s);
	if (err)
		return err;
	struct ph_layout *l = ph_layout_assemble(s.a);
	if (!l)
		return ph_err_nomem();
	strcpy(l->source, source);
	l->origin = s.origin;
	s.origin = NULL;
	return add(f, l, true);
}

/* Nothing found is no error: the others are asked then. *ret_why: owned by the caller. */
static struct ph_err *from_server(struct finding *f, struct ph_err **ret_why)
{
	char *path ph_cleanup_free = NULL;
	*ret_why = NULL;
	if (f->opt->no_debuginfod || !ph_debuginfod_wanted() || !*f->build_id)
		return NULL;
	if (f->opt->downloading)
		f->opt->downloading(f->opt->ctx);
	struct ph_err *err = ph_debuginfod_find(f->build_id, &path);
	if (!err)
		err = from_dwarf(f, path, "debuginfod");
	if (!err || ph_err_code(err) != PH_ERR_LAYOUT)
		return err;
	*ret_why = err;
	return NULL;
}

/* ---- layout files ----------------------------------------------------------------------- */

static struct ph_err *of_build_id(struct finding *f)
{
	struct ph_err *err = NULL;
	for (size_t i = 0; !err && !f->ret->n && i < f->files.n; i++)
		if (ph_layout_file_has_id(&f->files.items[i], f->build_id))
			err = add_found(f, &f->files.items[i], true);
	return err;
}

static bool agrees(int known, bool says)
{
	return known < 0 || known == says;
}

static bool machine_and_build_fit(const struct finding *f, const struct ph_layout_file *file)
{
	uint16_t machine = f->target ? f->target->machine : file->machine;
	return file->machine == machine && agrees(f->python->debug, file->debug) &&
	       agrees(f->python->free_threaded, file->free_threaded);
}

/* Up to 3.10 only the heap tells, and so it does where the file is not there: all of those
 * versions have to be tried. */
static bool version_fits(const struct finding *f, const struct ph_layout_file *file, uint32_t hexversion)
{
	if (hexversion)
		return ph_layout_file_has_version(file, hexversion);
	return file->versions.n && (file->versions.items[0] < FIRST_WITH_VERSION || !f->module->open_path);
}

static struct ph_err *of_version(struct finding *f, uint32_t hexversion)
{
	struct ph_err *err = NULL;
	for (size_t i = 0; !err && i < f->files.n; i++)
		if (machine_and_build_fit(f, &f->files.items[i]) && version_fits(f, &f->files.items[i], hexversion))
			err = add_found(f, &f->files.items[i], false);
	return err;
}

static bool of_same_series(const struct ph_layout_file *file, uint32_t hexversion)
{
	for (size_t i = 0; i < file->versions.n; i++)
		if (file->versions.items[i] >> 16 == hexversion >> 16)
			return true;
	return false;
}

static struct ph_err *of_series(struct finding *f, uint32_t hexversion)
{
	struct ph_err *err = NULL;
	for (size_t i = 0; !err && i < f->files.n; i++)
		if (machine_and_build_fit(f, &f->files.items[i]) && of_same_series(&f->files.items[i], hexversion))
			err = add_found(f, &f->files.items[i], false);
	return err;
}

static bool has_series(const struct finding *f)
{
	for (size_t i = 0; f->python->hexversion && i < f->files.n; i++)
		if (machine_and_build_fit(f, &f->files.items[i]) && of_same_series(&f->files.items[i], f->python->hexversion))
			return true;
	return false;
}

bool ph_layout_has_series(const struct ph_target *target, const struct ph_python *python)
{
	struct finding f = { .target = target, .python = python };
	struct ph_err *err = ph_layout_files_folders(&f.files);
	if (!err)
		err = ph_layout_files_shipped(&f.files);
	bool has = !err && has_series(&f);
	ph_err_free(err);
	ph_layout_files_free(&f.files);
	return has;
}

/* ---- nothing found ----------------------------------------------------------------------- */

/* Takes over why there is no debug information, and why no server had any (may be NULL). */
static struct ph_err *nothing(const struct finding *f, struct ph_err *dwarf, struct ph_err *server)
{
	char version[32] = "3.10 or before", advice[160] = "";
	uint32_t v = f->python->hexversion;
	if (v)
		ph_version_text(v, version);
	if (has_series(f))
		snprintf(advice, sizeof advice, "; --layout %u.%u tries those of other %u.%u versions, and takes one that proves "
			 "to fit", v >> 24, v >> 16 & 255, v >> 24, v >> 16 & 255);
	struct ph_err *err = ph_err_new(PH_ERR_LAYOUT, "%s; %s%spyheap has no layout of Python %s%s%s%s", ph_err_message(dwarf),
					server ? ph_err_message(server) : "and", server ? "; and " : " ", version,
					f->python->debug > 0 ? " (debug build)" : "",
					f->stale ? "; damaged, or written by another version of pyheap: " : "",
					f->stale ? f->stale : "");
	ph_err_hint(err, "%s; or bring a layout along (`pyheap layout -o FILE` where its debug information is, --layout FILE "
		    "here)%s", ph_err_hint_text(dwarf), advice);
	ph_err_free(dwarf);
	ph_err_free(server);
	return err;
}

/* ---- what the user names ------------------------------------------------------------------- */

static struct ph_err *named_file(struct finding *f)
{
	struct ph_layout_files one = { 0 };
	char theirs[32];
	struct ph_err *err = ph_layout_files_read(&one, f->opt->layout);
	if (err)
		return err;
	const struct ph_layout_file *file = &one.items[0];
	bool own = ph_layout_file_has_id(file, f->build_id);
	uint32_t v = f->python->hexversion;
	ph_version_text(v, theirs);
	if (!machine_and_build_fit(f, file))
		err = ph_err_new(PH_ERR_LAYOUT, "%s is of another machine or kind of build than the target", file->name);
	else if (!own && v && file->versions.n && !ph_layout_file_has_version(file, v))
		err = ph_err_new(PH_ERR_LAYOUT, "%s is not of Python %s, which the target runs", file->name, theirs);
	else
		err = add_file(f, file, own);
	ph_layout_files_free(&one);
	return err;
}

/* "3.11.7", or "3.11": all of that series. */
static struct ph_err *named_version(struct finding *f, uint32_t named, bool series)
{
	uint32_t v = f->python->hexversion;
	char theirs[32];
	ph_version_text(v, theirs);
	if (v && v >> 16 != named >> 16)
		return ph_err_new(PH_ERR_LAYOUT, "the target runs Python %s: a layout of %s cannot fit", theirs,
				  f->opt->layout);
	struct ph_err *err = series ? of_series(f, named) : of_version(f, named);
	if (!err && !f->ret->n)
		err = ph_err_new(PH_ERR_LAYOUT, "pyheap has no layout of Python %s for this machine and kind of build",
				 f->opt->layout);
	return err;
}

static uint32_t parse_series(const char *text)
{
	unsigned major, minor;
	int n = 0;
	return sscanf(text, "%3u.%3u%n", &major, &minor, &n) == 2 && !text[n] && major < 256 && minor < 256
		       ? (uint32_t)(major << 24 | minor << 16) : 0;
}

static struct ph_err *find_named(struct finding *f)
{
	const char *name = f->opt->layout;
	uint32_t version = ph_version_parse(name, strlen(name));
	struct ph_err *err = NULL;
	if (version)
		return named_version(f, version, false);
	if (parse_series(name))
		return named_version(f, parse_series(name), true);
	if (strcmp(name, "shipped"))
		return named_file(f);
	err = of_build_id(f);
	if (!err && !f->ret->n)
		err = of_version(f, f->python->hexversion);
	if (!err && !f->ret->n)
		err = nothing(f, ph_err_hint(ph_err_new(PH_ERR_LAYOUT, "debug information is not asked (--layout shipped)"),
					     "leave --layout out"), NULL);
	return err;
}

/* The ways that are left without local debug information; takes over why there is none. */
static struct ph_err *find_without(struct finding *f, struct ph_err *dwarf)
{
	struct ph_err *server = NULL;
	struct ph_err *err = of_build_id(f);
	if (!err && !f->ret->n)
		err = from_server(f, &server);
	if (!err && !f->ret->n)
		err = of_version(f, f->python->hexversion);
	if (!err && !f->ret->n)
		return nothing(f, dwarf, server);
	ph_err_free(dwarf);
	ph_err_free(server);
	return err;
}

static struct ph_err *find(struct finding *f)
{
	struct ph_err *err = ph_layout_files_folders(&f->files);
	if (!err)
		err = ph_layout_files_shipped(&f->files);
	if (err)
		return err;
	if (f->opt->layout)
		return find_named(f);
	err = from_dwarf(f, f->opt->debug_file, "dwarf");
	if (!err || ph_err_code(err) != PH_ERR_LAYOUT || f->opt->debug_file)
		return err;
	return find_without(f, err);
}

/* ---- entry points ------------------------------------------------------------------------------ */

static struct ph_err *begin(struct finding *f)
{
	static const struct ph_layout_options defaults;
	*f->ret = (struct ph_layouts){ 0 };
	if (!f->opt)
		f->opt = &defaults;
	if (f->module->build_id_len > sizeof f->module->build_id)
		return ph_err_new(PH_ERR_LAYOUT, "%s: its build-id is too long", f->module->path);
	ph_hex(f->module->build_id, f->module->build_id_len, f->build_id);
	return NULL;
}

struct ph_err *ph_layouts_find(const struct ph_target *target, const struct ph_module *module,
			       const struct ph_python *python, const struct ph_layout_options *opt,
			       struct ph_layouts *ret)
{
	struct finding f = { .target = target, .module = module, .python = python, .opt = opt, .ret = ret };
	struct ph_err *err = begin(&f);
	if (!err)
		err = find(&f);
	ph_layout_files_free(&f.files);
	return err;
}

struct ph_err *ph_layout_open(const struct ph_target *target, const struct ph_module *module,
			      const struct ph_layout_options *opt, struct ph_layout **ret)
{
	struct ph_layouts found;
	struct finding f = { .target = target, .module = module, .opt = opt, .ret = &found };
	struct ph_err *err = begin(&f);
	if (!err)
		err = from_dwarf(&f, f.opt->debug_file, "dwarf");
	*ret = err ? NULL : found.items[0];
	ph_vec_free(&found);
	return err;
}
