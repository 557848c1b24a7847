/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading reports back. A file may hold anything. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include "report_priv.h"

#define MAX_REPORT (1ull << 30) /* bytes; the rows of a million types take a fifth */

const char *ph_report_by(const json_t *doc)
{
	return ph_json_string(doc, "by");
}

const char *ph_report_command(const json_t *doc)
{
	return ph_json_string(doc, "command");
}

bool ph_report_same_process(const json_t *a, const json_t *b)
{
	return ph_json_int(a, "run.target.pid") && ph_json_int(a, "run.target.pid") == ph_json_int(b, "run.target.pid") &&
	       !strcmp(ph_json_string(a, "run.target.exe"), ph_json_string(b, "run.target.exe"));
}

bool ph_report_is_cut(const json_t *doc)
{
	return json_object_get(doc, "omitted") != NULL;
}

/* Sums of all rows must stay far from overflow: then no sum or difference of
 * some of them can. */
static bool add_checked(int64_t *sum, const json_t *value, bool may_be_null)
{
	if (may_be_null && json_is_null(value))
		return true;
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*sum = ph_add_i64(*sum, json_integer_value(value));
	return *sum < INT64_MAX / 8;
}

static bool values_are_sane(const json_t *types)
{
	static const char *const members[] = { "count", "shallow_bytes", "uncounted_bytes", "retained_bytes" };
	int64_t sums[4] = { 0 };
	if (!json_is_array(types))
		return false;
	for (size_t i = 0; i < json_array_size(types); i++) {
		const json_t *row = json_array_get(types, i);
		const json_t *type = json_object_get(row, "type"), *path = json_object_get(row, "path");
		if (path ? !json_is_string(path) : !json_is_string(type))
			return false;
		for (size_t k = 0; k < 4; k++)
			if (!add_checked(&sums[k], json_object_get(row, members[k]), k == 3))
				return false;
	}
	return true;
}

static struct ph_err *check(const json_t *doc, const char *name)
{
	const char *schema = ph_json_string(doc, "schema"), *command = ph_report_command(doc);
	const struct ph_view *view = ph_view_of(doc);
	if (strncmp(schema, "pyheap.report/", 14))
		return ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s is JSON, but not a report of pyheap", name),
				   "`pyheap top --json TARGET -o FILE` writes one");
	if (strcmp(schema, PH_REPORT_SCHEMA))
		return ph_err_new(PH_ERR_USAGE, "%s has the schema %s; this pyheap reads %s", name, schema,
				  PH_REPORT_SCHEMA);
	if (!view || !json_is_array(json_object_get(doc, view->rows)) ||
	    (!strcmp(command, "top") && !values_are_sane(json_object_get(doc, view->rows))) ||
	    !json_is_object(json_object_get(doc, strcmp(command, "diff") ? "run" : "totals")))
		return ph_err_new(PH_ERR_USAGE, "%s is not a complete report: something is missing in it or "
				  "out of range", name);
	return NULL;
}

/* jansson 2.14 drops a character of a string when memory is out and goes on. */
static bool ran_out;

static void *watched_malloc(size_t n)
{
	void *p = malloc(n);
	ran_out |= !p;
	return p;
}

static json_t *parse(FILE *f, json_error_t *where)
{
	json_malloc_t usual_malloc;
	json_free_t usual_free;
	json_get_alloc_funcs(&usual_malloc, &usual_free);
	json_set_alloc_funcs(watched_malloc, usual_free);
	ran_out = false;
	json_t *doc = json_loadf(f, JSON_REJECT_DUPLICATES, where);
	json_set_alloc_funcs(usual_malloc, usual_free);
	return doc;
}

struct ph_err *ph_report_load(const char *path, const char *name, json_t **ret)
{
	json_error_t where;
	struct stat st;
	FILE *f = fopen(path, "re");
	*ret = NULL;
	if (!f)
		return ph_err_errno(PH_ERR_USAGE, errno, "cannot read %s", name);
	if (fstat(fileno(f), &st) == 0 && (uint64_t)st.st_size > MAX_REPORT) {
		fclose(f);
		return ph_err_new(PH_ERR_USAGE, "%s is too large for a report", name);
	}
	json_t *doc = parse(f, &where);
	fclose(f);
	if (ran_out) {
		json_decref(doc);
		return ph_err_nomem();
	}
	if (!doc)
		return ph_err_new(PH_ERR_USAGE, "%s is not valid JSON: line %d: %s", name, where.line,
				  where.text);
	struct ph_err *err = check(doc, name);
	if (err)
		json_decref(doc);
	else
		*ret = doc;
	return err;
}

char *ph_report_doubts(const json_t *doc)
{
	double coverage = ph_json_number(doc, "coverage");
	if (!json_is_true(json_object_get(doc, "complete")))
		return strdup("something is missing, see the report's notes");
	if (json_object_get(doc, "coverage") && coverage < 1)
		return ph_asprintf("size and references are known exactly for %.4f %% of the objects only",
				   coverage * 100);
	return NULL;
}
