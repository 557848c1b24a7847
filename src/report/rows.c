/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sorting and cutting the rows of a document; reading values out of documents
 * that may come from a file and hold anything. */
#include <stdio.h>
#include "report_priv.h"

int64_t ph_add_i64(int64_t a, int64_t b)
{
	int64_t sum;
	if (__builtin_add_overflow(a, b, &sum))
		return a < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

const json_t *ph_json_at(const json_t *from, const char *path)
{
	while (from && *path) {
		size_t n = strcspn(path, ".");
		char key[64];
		if (n >= sizeof key)
			return NULL;
		memcpy(key, path, n);
		key[n] = '\0';
		from = json_is_array(from) ? json_array_get(from, strtoul(key, NULL, 10))
					   : json_object_get(from, key);
		path += n + (path[n] == '.');
	}
	return from;
}

int64_t ph_json_int(const json_t *from, const char *path)
{
	return json_integer_value(ph_json_at(from, path));
}

double ph_json_number(const json_t *from, const char *path)
{
	return json_number_value(ph_json_at(from, path));
}

const char *ph_json_string(const json_t *from, const char *path)
{
	const char *s = json_string_value(ph_json_at(from, path));
	return s ? s : "";
}

static int64_t sum_at(const json_t *row, const char *const paths[2])
{
	int64_t sum = paths[0] ? ph_json_int(row, paths[0]) : 0;
	return paths[1] ? ph_add_i64(sum, ph_json_int(row, paths[1])) : sum;
}

/* ---- sorting ------------------------------------------------------------------- */

struct sortable {
	json_t *row;
	int64_t value;
	const char *name;
	size_t place;
};

static int compare(const void *pa, const void *pb)
{
	const struct sortable *a = pa, *b = pb;
	if (a->value != b->value)
		return a->value > b->value ? -1 : 1;
	int c = strcmp(a->name, b->name);
	return c ? c : (a->place > b->place) - (a->place < b->place);
}

static struct ph_err *sort_rows(json_t *rows, const struct ph_sort_key *key)
{
	size_t n = json_array_size(rows);
	struct sortable *order ph_cleanup_free = calloc(n + 1, sizeof *order);
	json_t *copy = json_array();
	struct ph_err *err = order && copy ? NULL : ph_err_nomem();
	for (size_t i = 0; !err && i < n; i++) {
		order[i].row = json_array_get(rows, i);
		order[i].value = sum_at(order[i].row, key->paths);
		order[i].name = key->paths[0] ? "" : ph_json_string(order[i].row, "type");
		order[i].place = i;
	}
	if (!err)
		qsort(order, n, sizeof *order, compare);
	for (size_t i = 0; !err && i < n; i++)
		if (json_array_append(copy, order[i].row) < 0)
			err = ph_err_nomem();
	if (!err && (json_array_clear(rows) < 0 || json_array_extend(rows, copy) < 0))
		err = ph_err_nomem();
	json_decref(copy);
	return err;
}

void ph_report_sort_keys(const char *command, char *buf, size_t max)
{
	const struct ph_view *view = ph_view_find(command);
	size_t at = 0;
	*buf = '\0';
	for (size_t i = 0; view && view->sorts[i].name && at < max; i++)
		at += (size_t)snprintf(buf + at, max - at, "%s%s", i ? ", " : "", view->sorts[i].name);
}

static const struct ph_sort_key *find_key(const char *command, const char *name)
{
	const struct ph_view *view = ph_view_find(command);
	for (size_t i = 0; view && view->sorts[i].name; i++)
		if (!strcmp(view->sorts[i].name, name))
			return &view->sorts[i];
	return NULL;
}

struct ph_err *ph_report_sort_check(const char *command, const char *key)
{
	char keys[128];
	if (find_key(command, key))
		return NULL;
	ph_report_sort_keys(command, keys, sizeof keys);
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "cannot sort by '%s'", key), "--sort takes one of: %s",
			   keys);
}

struct ph_err *ph_report_sort(json_t *doc, const char *key)
{
	const char *command = ph_report_command(doc);
	struct ph_err *err = ph_report_sort_check(command, key);
	if (err)
		return err;
	return sort_rows(json_object_get(doc, ph_view_of(doc)->rows), find_key(command, key));
}

/* ---- cutting --------------------------------------------------------------------- */

static int64_t row_size(const struct ph_view *view, const json_t *row)
{
	if (view->size_else[0] && !json_is_integer(ph_json_at(row, view->size[0])))
		return sum_at(row, view->size_else);
	return sum_at(row, view->size);
}

/* Adds a row, or what an earlier cut left out, to the sums. */
static bool omit(const struct ph_view *view, json_t *omitted, const json_t *row, int64_t rows)
{
	int64_t n = ph_add_i64(ph_json_int(omitted, view->unit), rows);
	bool ok = ph_document_put(omitted, view->unit, json_integer(n));
	for (size_t i = 0; i < 4 && view->omitted[i]; i++) {
		n = ph_add_i64(ph_json_int(omitted, view->omitted[i]), ph_json_int(row, view->omitted[i]));
		ok &= ph_document_put(omitted, view->omitted[i], json_integer(n));
	}
	return ok;
}

struct ph_err *ph_report_cut(json_t *doc, uint64_t limit, uint64_t min_size)
{
	const struct ph_view *view = ph_view_of(doc);
	json_t *rows = view ? json_object_get(doc, view->rows) : NULL;
	size_t n = json_array_size(rows), kept = 0;
	json_t *left = json_array(), *omitted = json_object();
	bool ok = left && omitted;
	for (size_t i = 0; ok && i < n; i++) {
		json_t *row = json_array_get(rows, i);
		int64_t size = row_size(view, row);
		bool small = min_size && (size < 0 ? 0 - (uint64_t)size : (uint64_t)size) < min_size;
		if (small || (limit && kept == limit))
			ok = omit(view, omitted, row, 1);
		else
			ok = ++kept && json_array_append(left, row) == 0;
	}
	if (ok && kept < n) {
		const json_t *before = json_object_get(doc, "omitted");
		ok = !before || omit(view, omitted, before, ph_json_int(before, view->unit));
		ok = ok && json_array_clear(rows) == 0 && json_array_extend(rows, left) == 0 &&
		     json_object_set(doc, "omitted", omitted) == 0;
	}
	json_decref(left);
	json_decref(omitted);
	return ok ? NULL : ph_err_nomem();
}
