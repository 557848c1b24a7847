/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers to rows: those of the interpreter's own file, filled up with those of
 * the extension modules that the target has loaded. */
#include <stdio.h>
#include "layout_priv.h"

void ph_answers_deinit(struct ph_answers *s)
{
	free(s->a);
	free(s->origin);
	free(s->damage);
	free(s->alt_missing);
	*s = (struct ph_answers){ 0 };
}

static bool from_distribution(const char *path)
{
	return !strncmp(path, "/usr/", 5) && strncmp(path, "/usr/local/", 11);
}

bool ph_layout_package(const char *path, char ret[64])
{
	char version[16];
	bool debug;
	if (!from_distribution(path) || !ph_python_file_version(path, version, &debug))
		return false;
	snprintf(ret, 64, "python%s-dbg", version);
	return true;
}

static struct ph_err *no_dwarf(const struct ph_module *m, const char *build_id)
{
	char version[16];
	bool debug;
	struct ph_err *err = ph_err_new(PH_ERR_LAYOUT, "no debug information for %s (build-id %s)",
					*m->path ? m->path : "the interpreter",
					*build_id ? build_id : "none");
	if (from_distribution(m->path) && ph_python_file_version(m->path, version, &debug))
		return ph_err_hint(err, "install it (Debian, Ubuntu: apt install python%s-dbg; Fedora: "
					"dnf debuginfo-install python%s) or name its file with "
					"--debug-file FILE", version, version);
	if (!m->open_path)
		return ph_err_hint(err, "the file itself was not found either: name it with --exe FILE "
					"or --sysroot DIR, or its debug information with "
					"--debug-file FILE");
	return ph_err_hint(err, "name the file that holds it with --debug-file FILE, or use a build "
				"with CFLAGS=-g that is not stripped");
}

static char *row_text(const struct ph_row *row)
{
	if (row->kind == PH_ROW_SIZE)
		return ph_asprintf("struct %s", row->structs);
	if (row->kind == PH_ROW_ENUM)
		return ph_asprintf("enumerator %s", row->names);
	return ph_asprintf("%s.%s", row->structs, row->names);
}

static struct ph_err *lacks(const struct ph_answers *s, const struct ph_row *row,
			    const char *build_id)
{
	char *what ph_cleanup_free = row_text(row);
	struct ph_err *err;
	if (!what)
		return ph_err_nomem();
	if (s->damage)
		return ph_err_new(PH_ERR_LAYOUT, "%s: damaged debug information (%s), %s not found",
				  s->origin, s->damage, what);
	err = ph_err_new(PH_ERR_LAYOUT, "%s (build-id %s) does not describe %s, which pyheap needs",
			 s->origin, *build_id ? build_id : "none", what);
	if (s->alt_missing)
		return ph_err_hint(err, "part of it is in %s, which was not found", s->alt_missing);
	return ph_err_hint(err, "pyheap reads CPython 3.8 and later");
}

/* ---- the answers of one file ------------------------------------------------------------ */

static struct ph_err *resolve(const struct ph_debug_search *search, const struct ph_row *rows,
			      size_t n, struct ph_answers *ret)
{
	struct ph_debug *debug;
	struct ph_err *err = ph_debug_find(search, &debug);
	if (err || !debug)
		return err;
	ret->origin = strdup(debug->path);
	ret->alt_missing = debug->alt_missing;
	debug->alt_missing = NULL;
	err = ret->origin ? ph_dwarf_resolve(debug, rows, n, ret->a, &ret->damage) : ph_err_nomem();
	ph_debug_free(debug);
	return err;
}

static const struct ph_row *missing_row(const struct ph_row *rows, size_t n,
					const struct ph_answer *a)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].required && !a[i].m.present)
			return &rows[i];
	return NULL;
}

/* ret->origin is NULL when there is no debug information. */
static struct ph_err *answers_of(const struct ph_debug_search *search, bool use_cache,
				 const char *build_id, const struct ph_row *rows, size_t n,
				 struct ph_answers *ret)
{
	*ret = (struct ph_answers){ .a = calloc(n + 1, sizeof *ret->a) };
	if (!ret->a)
		return ph_err_nomem();
	/* whoever names a file wants to hear when it does not fit */
	if (use_cache && !search->debug_file &&
	    ph_cache_read(build_id, rows, n, ret->a, &ret->origin))
		return NULL;
	struct ph_err *err = resolve(search, rows, n, ret);
	if (!err && use_cache && ret->origin && !ret->damage && !ret->alt_missing &&
	    !missing_row(rows, n, ret->a))
		ph_cache_write(build_id, rows, n, ret->a, ret->origin);
	return err;
}

/* ---- extension modules ---------------------------------------------------------------------- */

/* The loaded module of file name `name`.cpython-311-… or `name`.so, or NULL. */
static const struct ph_module *find_extension(const struct ph_target *target, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < target->nmodules; i++) {
		const char *path = target->modules[i].path;
		const char *slash = strrchr(path, '/');
		const char *file = slash ? slash + 1 : path;
		if (!strncmp(file, name, len) && file[len] == '.')
			return &target->modules[i];
	}
	return NULL;
}

static bool same_struct(const struct ph_row *a, const struct ph_row *b)
{
	return a->structs && b->structs && !strcmp(a->structs, b->structs);
}

/* Members of rows[i]'s struct that are answered. */
static size_t known_members(const struct ph_row *rows, size_t n, const struct ph_answer *a,
			    size_t i)
{
	size_t known = 0;
	for (size_t k = 0; k < n; k++)
		known += same_struct(&rows[i], &rows[k]) && a[k].m.present;
	return known;
}

/* rows[n] of one module, answered by the interpreter and by the extension: per
 * struct, all its members from where more of them are. */
static void merge(const struct ph_row *rows, size_t n, struct ph_answer *interp,
		  const struct ph_answer *ext)
{
	bool *take = calloc(n, sizeof *take);
	for (size_t i = 0; take && i < n; i++)
		take[i] = known_members(rows, n, ext, i) > known_members(rows, n, interp, i);
	for (size_t i = 0; take && i < n; i++)
		if (take[i])
			interp[i] = ext[i];
	free(take);
}

/* The rows of one module, their answers, and their places in the whole table. */
struct picked {
	struct ph_row *rows;
	struct ph_answer *answers;
	size_t *where;
	size_t n;
	bool complete; /* all are answered */
};

static void picked_deinit(struct picked *p)
{
	free(p->rows);
	free(p->answers);
	free(p->where);
}

static bool pick_rows(const char *name, const struct ph_row *rows, size_t n,
		      const struct ph_answer *all, struct picked *ret)
{
	*ret = (struct picked){ .rows = calloc(n, sizeof *ret->rows),
				.answers = calloc(n, sizeof *ret->answers),
				.where = calloc(n, sizeof *ret->where), .complete = true };
	if (!ret->rows || !ret->answers || !ret->where)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!rows[i].module || strcmp(rows[i].module, name))
			continue;
		ret->complete = ret->complete && all[i].m.present;
		ret->rows[ret->n] = rows[i];
		ret->answers[ret->n] = all[i];
		ret->where[ret->n++] = i;
	}
	return true;
}

/* Fills what the interpreter's file did not answer of the rows IN(name). */
static struct ph_err *ask_extension(const struct ph_module *m, struct ph_debug_search search,
				    bool use_cache, const struct picked *p, struct ph_answer *all)
{
	struct ph_answers ext ph_cleanup_answers = { 0 };
	char build_id[130];
	search.module = m;
	search.debug_file = NULL;
	if (m->build_id_len > sizeof m->build_id)
		return NULL;
	ph_hex(m->build_id, m->build_id_len, build_id);
	struct ph_err *err = answers_of(&search, use_cache, build_id, p->rows, p->n, &ext);
	if (err)
		return err;
	merge(p->rows, p->n, p->answers, ext.a);
	for (size_t i = 0; i < p->n; i++)
		all[p->where[i]] = p->answers[i];
	return NULL;
}

/* True for the first row of each module. */
static bool names_new_module(const struct ph_row *rows, size_t i)
{
	if (!rows[i].module)
		return false;
	for (size_t k = 0; k < i; k++)
		if (rows[k].module && !strcmp(rows[k].module, rows[i].module))
			return false;
	return true;
}

static struct ph_err *ask_extensions(const struct ph_target *target,
				     const struct ph_debug_search *search, bool use_cache,
				     const struct ph_row *rows, size_t n, struct ph_answer *all)
{
	for (size_t i = 0; target && i < n; i++) {
		const struct ph_module *m = names_new_module(rows, i) ?
						    find_extension(target, rows[i].module) : NULL;
		if (!m)
			continue;
		struct picked p __attribute__((cleanup(picked_deinit))) = { 0 };
		if (!pick_rows(rows[i].module, rows, n, all, &p))
			return ph_err_nomem();
		if (p.complete)
			continue;
		struct ph_err *err = ask_extension(m, *search, use_cache, &p, all);
		/* these are optional: a damaged file leaves them unknown */
		if (err && ph_err_code(err) != PH_ERR_LAYOUT)
			return err;
		ph_err_free(err);
	}
	return NULL;
}

struct ph_err *ph_answers_get(const struct ph_target *target, const struct ph_debug_search *search,
			      bool use_cache, const struct ph_row *rows, size_t n,
			      struct ph_answers *ret)
{
	char build_id[130];
	ph_hex(search->module->build_id, search->module->build_id_len, build_id);
	struct ph_err *err = answers_of(search, use_cache, build_id, rows, n, ret);
	if (err)
		return err;
	if (!ret->origin)
		return no_dwarf(search->module, build_id);
	const struct ph_row *missing = missing_row(rows, n, ret->a);
	if (missing)
		return lacks(ret, missing, build_id);
	return ask_extensions(target, search, use_cache, rows, n, ret->a);
}
