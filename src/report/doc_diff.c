/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The document of `diff`: from documents of `top` to one of their differences. */
#include <math.h>
#include "report_priv.h"

/* The rows of the reports as the analysis wants them. Names of types are borrowed; those of
 * holders, "PATH\nTYPE", are owned. */
struct inputs {
	json_t *const *docs;
	uint32_t n;
	struct ph_type_table *tables;
	const char *rows; /* key of their rows: types, or holders (--by path) */
	bool retained;    /* all of them have retained sizes */
};

static bool by_path(const struct inputs *in)
{
	return !strcmp(in->rows, "holders");
}

static void inputs_deinit(struct inputs *in)
{
	for (uint32_t i = 0; in->tables && i < in->n; i++) {
		for (uint32_t k = 0; by_path(in) && in->tables[i].names && k < in->tables[i].n; k++)
			free((void *)in->tables[i].names[k]);
		free((void *)in->tables[i].names);
		free((void *)in->tables[i].values);
	}
	free(in->tables);
}

static const char *row_name(const struct inputs *in, const json_t *row)
{
	if (!by_path(in))
		return ph_json_string(row, "type");
	return ph_asprintf("%s\n%s", ph_json_string(row, "path"), ph_json_string(row, "type"));
}

static bool table_init(const struct inputs *in, struct ph_type_table *t, const json_t *types, bool *retained)
{
	size_t n = json_array_size(types);
	const char **names = calloc(n + 1, sizeof *names);
	struct ph_type_value *values = calloc(n + 1, sizeof *values);
	t->names = names;
	t->values = values;
	if (!names || !values || n > UINT32_MAX)
		return false;
	t->n = (uint32_t)n; /* names that were not made are NULL */
	for (size_t i = 0; i < n; i++) {
		const json_t *row = json_array_get(types, i);
		names[i] = row_name(in, row);
		if (!names[i])
			return false;
		values[i] = (struct ph_type_value){
			.count = ph_json_int(row, "count"),
			.shallow_bytes = ph_json_int(row, "shallow_bytes"),
			.uncounted_bytes = ph_json_int(row, "uncounted_bytes"),
			.retained_bytes = ph_json_int(row, "retained_bytes"),
		};
		*retained &= json_is_integer(ph_json_at(row, "retained_bytes"));
	}
	return true;
}

static bool inputs_init(struct inputs *in, json_t *const *docs, uint32_t n)
{
	*in = (struct inputs){ .docs = docs, .n = n, .rows = *ph_report_by(docs[0]) ? "holders" : "types",
			       .retained = true };
	in->tables = calloc(n, sizeof *in->tables);
	for (uint32_t i = 0; in->tables && i < n; i++)
		if (!table_init(in, &in->tables[i], json_object_get(docs[i], in->rows), &in->retained))
			return false;
	return in->tables != NULL;
}

static json_t *make_value(const struct inputs *in, const struct ph_type_value *v)
{
	return json_pack("{s:I, s:I, s:I, s:o}", "count", (json_int_t)v->count,
			 "shallow_bytes", (json_int_t)v->shallow_bytes,
			 "uncounted_bytes", (json_int_t)v->uncounted_bytes, "retained_bytes",
			 in->retained ? json_integer(v->retained_bytes) : json_null());
}

static json_t *make_row(const struct inputs *in, const struct ph_diff_row *row)
{
	json_t *values = json_array();
	for (uint32_t i = 0; values && i < in->n; i++)
		if (json_array_append_new(values, make_value(in, &row->values[i])) < 0) {
			json_decref(values);
			return NULL;
		}
	json_t *ret = json_object();
	const char *end = by_path(in) ? strrchr(row->name, '\n') : NULL;
	bool ok = ret != NULL;
	if (end)
		ok = ok && ph_document_put(ret, "path", json_stringn(row->name, (size_t)(end - row->name)));
	ok = ok && ph_document_put(ret, "type", end && !end[1] ? json_null() : json_string(end ? end + 1 : row->name)) &&
	     ph_document_put(ret, "values", json_incref(values)) &&
	     ph_document_put(ret, "delta", make_value(in, &row->delta));
	if (ok && in->n >= 3)
		ok = ph_document_put(ret, "grew_every_step", json_boolean(row->steady));
	json_decref(values);
	if (ok)
		return ret;
	json_decref(ret);
	return NULL;
}

static json_t *make_rows(const struct inputs *in, const struct ph_diff *d)
{
	json_t *ret = json_array();
	for (uint32_t i = 0; ret && i < d->n; i++)
		if (json_array_append_new(ret, make_row(in, &d->rows[i])) < 0) {
			json_decref(ret);
			return NULL;
		}
	return ret;
}

/* ---- totals --------------------------------------------------------------------- */

static struct ph_type_value table_sum(const struct ph_type_table *t)
{
	struct ph_type_value sum = { 0 };
	for (uint32_t i = 0; i < t->n; i++) {
		sum.count = ph_add_i64(sum.count, t->values[i].count);
		sum.shallow_bytes = ph_add_i64(sum.shallow_bytes, t->values[i].shallow_bytes);
		sum.uncounted_bytes = ph_add_i64(sum.uncounted_bytes, t->values[i].uncounted_bytes);
	}
	return sum;
}

static json_t *make_total(const struct ph_type_value *v)
{
	return json_pack("{s:I, s:I, s:I}", "count", (json_int_t)v->count,
			 "shallow_bytes", (json_int_t)v->shallow_bytes,
			 "uncounted_bytes", (json_int_t)v->uncounted_bytes);
}

static json_t *make_totals(const struct inputs *in)
{
	struct ph_type_value first = { 0 }, last = { 0 };
	json_t *values = json_array();
	for (uint32_t i = 0; values && i < in->n; i++) {
		last = table_sum(&in->tables[i]);
		if (i == 0)
			first = last;
		if (json_array_append_new(values, make_total(&last)) < 0) {
			json_decref(values);
			return NULL;
		}
	}
	struct ph_type_value delta = {
		.count = last.count - first.count,
		.shallow_bytes = last.shallow_bytes - first.shallow_bytes,
		.uncounted_bytes = last.uncounted_bytes - first.uncounted_bytes,
	};
	return json_pack("{s:o, s:o}", "values", values, "delta", make_total(&delta));
}

/* ---- thresholds ------------------------------------------------------------------ */

static bool exceed(json_t *list, const char *rule, const char *type, json_t *limit, json_t *actual)
{
	return json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o}", "rule", rule, "type",
						     ph_json_text(type), "limit", limit,
						     "actual", actual)) == 0;
}

static bool check_growth(json_t *list, const json_t *totals, const struct ph_thresholds *limits)
{
	int64_t before = ph_add_i64(ph_json_int(totals, "values.0.shallow_bytes"),
				    ph_json_int(totals, "values.0.uncounted_bytes"));
	int64_t grown = ph_add_i64(ph_json_int(totals, "delta.shallow_bytes"),
				   ph_json_int(totals, "delta.uncounted_bytes"));
	double percent = 100.0 * (double)grown / (double)(before > 0 ? before : 1);
	bool ok = true;
	if (limits->has_growth && percent > limits->growth)
		ok = exceed(list, "max-growth", NULL, json_real(limits->growth),
			    json_real(round(percent * 1e4) / 1e4));
	if (limits->has_growth_bytes && grown > 0 && (uint64_t)grown > limits->growth_bytes)
		ok &= exceed(list, "max-growth-bytes", NULL, ph_json_u64(limits->growth_bytes),
			     json_integer(grown));
	return ok;
}

/* A type that is in no report has zero objects. */
static int64_t last_count(const struct inputs *in, const char *type)
{
	const struct ph_type_table *t = &in->tables[in->n - 1];
	int64_t count = 0;
	for (uint32_t i = 0; i < t->n; i++)
		if (!strcmp(t->names[i], type))
			count = ph_add_i64(count, t->values[i].count);
	return count;
}

static json_t *make_exceeded(const struct inputs *in, const json_t *totals,
			     const struct ph_thresholds *limits)
{
	json_t *list = json_array();
	bool ok = list && check_growth(list, totals, limits);
	for (size_t i = 0; ok && i < limits->ncounts; i++) {
		const struct ph_max_count *max = &limits->counts[i];
		int64_t count = last_count(in, max->type);
		if (count > 0 && (uint64_t)count > max->count)
			ok = exceed(list, "max-count", max->type, ph_json_u64(max->count),
				    json_integer(count));
	}
	if (ok)
		return list;
	json_decref(list);
	return NULL;
}

/* ---- the document ------------------------------------------------------------------ */

static json_t *make_runs(const struct inputs *in, bool *complete)
{
	json_t *runs = json_array();
	*complete = true;
	for (uint32_t i = 0; runs && i < in->n; i++) {
		*complete &= json_is_true(json_object_get(in->docs[i], "complete"));
		if (json_array_append(runs, json_object_get(in->docs[i], "run")) < 0) {
			json_decref(runs);
			return NULL;
		}
	}
	return runs;
}

/* ---- suspects --------------------------------------------------------------------- */

#define SUSPECTS 3
#define SUSPECT_SHARE 10 /* at least a tenth of what grew */

static int64_t grown(const json_t *row)
{
	int64_t size = ph_add_i64(ph_json_int(row, "delta.shallow_bytes"), ph_json_int(row, "delta.uncounted_bytes"));
	int64_t retained = ph_json_int(row, "delta.retained_bytes");
	return retained > size ? retained : size;
}

/* Where a type's objects hang: what the last report says of it. */
static const json_t *path_of(const struct inputs *in, const char *type)
{
	const json_t *suspects = json_object_get(in->docs[in->n - 1], "suspects");
	for (size_t i = 0; i < json_array_size(suspects); i++) {
		const json_t *s = json_array_get(suspects, i);
		if (!strcmp(ph_json_string(s, "mostly.type"), type) || !strcmp(ph_json_string(s, "type"), type))
			return json_object_get(s, "path");
	}
	return NULL;
}

static json_t *make_suspect(const struct inputs *in, const json_t *row)
{
	const json_t *path = path_of(in, ph_json_string(row, "type"));
	json_t *where = json_incref(json_object_get(row, "path"));
	if (!where && json_is_object(path)) {
		char text[1024];
		ph_text_path(path, text, sizeof text);
		where = ph_json_text(text);
	}
	return json_pack("{s:O, s:o, s:I, s:I, s:b}", "type", json_object_get(row, "type"), "path",
			 where ? where : json_null(), "count", ph_json_int(row, "delta.count"), "bytes", grown(row),
			 "grew_every_step", json_is_true(json_object_get(row, "grew_every_step")));
}

/* Of the rows in their order those that became more and matter: of types those of the
 * program, or the first one. */
static json_t *make_suspects(const struct inputs *in, const json_t *rows, const json_t *totals)
{
	int64_t growth = ph_add_i64(ph_json_int(totals, "delta.shallow_bytes"),
				    ph_json_int(totals, "delta.uncounted_bytes"));
	json_t *ret = json_array();
	for (size_t i = 0; ret && growth > 0 && i < json_array_size(rows) && json_array_size(ret) < SUSPECTS; i++) {
		const json_t *row = json_array_get(rows, i);
		bool own = by_path(in) || strchr(ph_json_string(row, "type"), '.');
		if (ph_json_int(row, "delta.count") <= 0 || grown(row) < growth / SUSPECT_SHARE || (i && !own))
			continue;
		if (json_array_append_new(ret, make_suspect(in, row)) < 0) {
			json_decref(ret);
			return NULL;
		}
	}
	return ret;
}

static json_t *make_document(const struct inputs *in, const struct ph_diff *d,
			     const struct ph_thresholds *limits)
{
	bool complete;
	json_t *runs = make_runs(in, &complete), *totals = make_totals(in);
	json_t *exceeded = totals ? make_exceeded(in, totals, limits) : NULL;
	json_t *doc = json_pack("{s:s, s:s, s:o, s:b, s:o}", "schema", PH_REPORT_SCHEMA, "command", "diff",
				"runs", runs, "complete", complete, "totals", totals);
	bool ok = doc && (!by_path(in) || ph_document_put(doc, "by", json_string("path"))) &&
		  ph_document_put(doc, in->rows, make_rows(in, d)) &&
		  ph_document_put(doc, "suspects", make_suspects(in, json_object_get(doc, in->rows), totals)) &&
		  ph_document_put(doc, "verdict", json_string(json_array_size(exceeded) ? "exceeded" : "ok")) &&
		  ph_document_put(doc, "exceeded", json_incref(exceeded));
	json_decref(exceeded);
	if (ok)
		return doc;
	json_decref(doc);
	return NULL;
}

struct ph_err *ph_report_diff(json_t *const *docs, uint32_t n, const struct ph_thresholds *limits,
			      json_t **ret)
{
	struct inputs in;
	struct ph_diff *d = NULL;
	struct ph_err *err = inputs_init(&in, docs, n) ? NULL : ph_err_nomem();
	if (!err)
		err = ph_diff_compute(in.tables, n, by_path(&in), &d);
	if (!err) {
		*ret = make_document(&in, d, limits);
		err = *ret ? NULL : ph_err_nomem();
	}
	ph_diff_free(d);
	inputs_deinit(&in);
	return err;
}

bool ph_report_exceeded(const json_t *doc)
{
	return !strcmp(ph_json_string(doc, "verdict"), "exceeded");
}

static bool has_changed(const json_t *row)
{
	return ph_json_int(row, "delta.count") || ph_json_int(row, "delta.shallow_bytes") ||
	       ph_json_int(row, "delta.uncounted_bytes") || ph_json_int(row, "delta.retained_bytes");
}

struct ph_err *ph_report_drop_unchanged(json_t *doc)
{
	json_t *types = json_object_get(doc, ph_view_of(doc)->rows), *changed = json_array();
	bool ok = changed != NULL;
	for (size_t i = 0; ok && i < json_array_size(types); i++)
		if (has_changed(json_array_get(types, i)))
			ok = json_array_append(changed, json_array_get(types, i)) == 0;
	ok = ok && json_array_clear(types) == 0 && json_array_extend(types, changed) == 0;
	json_decref(changed);
	return ok ? NULL : ph_err_nomem();
}

struct ph_err *ph_report_add_survivors(json_t *doc, const struct ph_survivors_row *rows, uint32_t n)
{
	json_t *types = json_object_get(doc, "types");
	for (size_t i = 0; i < json_array_size(types); i++) {
		json_t *row = json_array_get(types, i);
		const char *type = ph_json_string(row, "type");
		struct ph_survivors_row none = { .type = type };
		const struct ph_survivors_row *found = &none;
		for (uint32_t k = 0; k < n && found == &none; k++)
			if (!strcmp(rows[k].type, type))
				found = &rows[k];
		if (!ph_document_put(row, "survivors", json_pack("{s:o, s:o}", "count", ph_json_u64(found->count), "bytes",
								 ph_json_u64(found->bytes))))
			return ph_err_nomem();
	}
	return NULL;
}
