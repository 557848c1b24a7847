/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formats: one row each. All of them see the document and nothing else. */
#include <stdio.h>
#include "report_priv.h"

static int to_out(const char *bytes, size_t n, void *ctx)
{
	ph_out_write(ctx, bytes, n);
	return 0;
}

static void dump(struct ph_render *r, const json_t *value, size_t flags)
{
	if (json_dump_callback(value, to_out, r->out, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12) | flags) < 0)
		r->nomem = true;
}

/* ---- json: a member a line, a row a line ------------------------------------------ */

static void json_member(struct ph_render *r, const char *key, bool first)
{
	ph_out_printf(r->out, "%s\n  \"%s\": ", first ? "{" : ",", key);
}

/* The members before the rows, or those behind. */
static void json_members(struct ph_render *r, bool behind)
{
	const char *key;
	json_t *value;
	bool seen = false, first = !behind;
	json_object_foreach((json_t *)r->doc, key, value) {
		if (!strcmp(key, r->view->rows)) {
			seen = true;
			continue;
		}
		if (seen != behind)
			continue;
		json_member(r, key, first);
		dump(r, value, 0);
		first = false;
	}
}

static void json_begin(struct ph_render *r)
{
	json_members(r, false);
	json_member(r, r->view->rows, false);
	ph_out_puts(r->out, "[");
}

static void json_row(struct ph_render *r, const json_t *row)
{
	ph_out_puts(r->out, r->nrows ? ",\n    " : "\n    ");
	dump(r, row, 0);
}

static void json_end(struct ph_render *r)
{
	ph_out_puts(r->out, r->nrows ? "\n  ]" : "]");
	json_members(r, true);
	ph_out_puts(r->out, "\n}\n");
}

/* ---- jsonl ---------------------------------------------------------------------------- */

static void jsonl_row(struct ph_render *r, const json_t *row)
{
	dump(r, row, JSON_COMPACT);
	ph_out_puts(r->out, "\n");
}

/* ---- csv (RFC 4180, but for line ends) -------------------------------------------------- */

static void csv_text(struct ph_render *r, const char *s)
{
	char *text ph_cleanup_free = ph_text_printable(s);
	if (!text) {
		r->nomem = true;
		return;
	}
	if (!strpbrk(text, ",\"")) {
		ph_out_puts(r->out, text);
		return;
	}
	ph_out_puts(r->out, "\"");
	for (const char *p = text; *p; p++)
		ph_out_write(r->out, *p == '"' ? "\"\"" : p, *p == '"' ? 2 : 1);
	ph_out_puts(r->out, "\"");
}

/* A list's strings joined with blanks, or with semicolons where they have blanks
 * themselves: type names and addresses have none, names of holders do. */
static void csv_list(struct ph_render *r, const json_t *list, char separator)
{
	struct PH_VEC(char) joined = { 0 };
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *s = json_string_value(json_array_get(list, i));
		size_t n = s ? strlen(s) : 0;
		if (!PH_VEC_RESERVE(&joined, n + 2))
			goto nomem;
		if (i)
			joined.items[joined.n++] = separator;
		memcpy(joined.items + joined.n, s ? s : "", n);
		joined.n += n;
	}
	if (!PH_VEC_PUSH(&joined, '\0'))
		goto nomem;
	csv_text(r, joined.items);
	ph_vec_free(&joined);
	return;
nomem:
	ph_vec_free(&joined);
	r->nomem = true;
}

static void csv_value(struct ph_render *r, const json_t *v, char separator)
{
	if (json_is_string(v))
		csv_text(r, json_string_value(v));
	else if (json_is_array(v))
		csv_list(r, v, separator);
	else if (v && !json_is_null(v) && !json_is_object(v))
		dump(r, v, 0);
}

/* Calls fn with each column's path, '#' replaced by 0, 1, … for each run. */
static void csv_columns(struct ph_render *r, const json_t *row,
			void (*fn)(struct ph_render *r, const json_t *row, const char *path))
{
	size_t runs = json_array_size(json_object_get(r->doc, "runs")), ncolumns = 0;
	const char *const *columns = r->view->columns;
	for (size_t from = 0; columns[from];) {
		size_t end = from + 1;
		const char *hash = strchr(columns[from], '#');
		for (; hash && columns[end] && strchr(columns[end], '#');)
			end++;
		for (size_t run = 0; run < (hash ? runs : 1); run++)
			for (size_t i = from; i < end; i++) {
				char path[64];
				const char *at = strchr(columns[i], '#');
				if (at)
					snprintf(path, sizeof path, "%.*s%zu%s", (int)(at - columns[i]),
						 columns[i], run, at + 1);
				else
					snprintf(path, sizeof path, "%s", columns[i]);
				if (ncolumns++)
					ph_out_puts(r->out, ",");
				fn(r, row, path);
			}
		from = end;
	}
	ph_out_puts(r->out, "\n");
}

static void csv_head_cell(struct ph_render *r, const json_t *row, const char *path)
{
	for (; *path; path++)
		ph_out_write(r->out, *path == '.' ? "_" : path, 1);
}

static void csv_cell(struct ph_render *r, const json_t *row, const char *path)
{
	csv_value(r, ph_json_at(row, path), strcmp(path, "held_by") ? ' ' : ';');
}

static void csv_begin(struct ph_render *r)
{
	if (r->header)
		csv_columns(r, NULL, csv_head_cell);
}

static void csv_row(struct ph_render *r, const json_t *row)
{
	csv_columns(r, row, csv_cell);
}

/* ---- text ------------------------------------------------------------------------------- */

static void text_begin(struct ph_render *r)
{
	r->view->text_begin(r);
}

static void text_row(struct ph_render *r, const json_t *row)
{
	if (r->view->text_row)
		r->view->text_row(r, row);
}

/* ---- the table ----------------------------------------------------------------------------- */

static void nothing(struct ph_render *r)
{
}

const struct ph_format ph_formats[] = {
	{ "text", text_begin, text_row, nothing },
	{ "json", json_begin, json_row, json_end },
	{ "jsonl", nothing, jsonl_row, nothing },
	{ "csv", csv_begin, csv_row, nothing },
	{ NULL, NULL, NULL, NULL },
};

const struct ph_format *ph_format_find(const char *name)
{
	for (const struct ph_format *f = ph_formats; f->name; f++)
		if (!strcmp(f->name, name))
			return f;
	return NULL;
}

static struct ph_err *rendered(const struct ph_render *r)
{
	if (ph_interrupted)
		return ph_err_interrupted();
	return r->nomem ? ph_err_nomem() : NULL;
}

struct ph_err *ph_render_begin(struct ph_render *r, const struct ph_format *format)
{
	if (!r->more)
		r->more = "-n 0 lists all";
	r->nomem = false;
	r->nrows = 0;
	r->view = ph_view_of(r->doc);
	if (!r->view)
		return ph_err_new(PH_ERR_USAGE, "a report of unknown kind");
	format->begin(r);
	return rendered(r);
}

struct ph_err *ph_render_row(struct ph_render *r, const struct ph_format *format, const json_t *row)
{
	format->row(r, row);
	r->nrows++;
	return rendered(r);
}

struct ph_err *ph_render_end(struct ph_render *r, const struct ph_format *format)
{
	format->end(r);
	return rendered(r);
}

struct ph_err *ph_render(struct ph_render *r, const struct ph_format *format)
{
	struct ph_err *err = ph_render_begin(r, format);
	const json_t *rows = err ? NULL : json_object_get(r->doc, r->view->rows);
	for (size_t i = 0; !err && i < json_array_size(rows); i++)
		err = ph_render_row(r, format, json_array_get(rows, i));
	return err ? err : ph_render_end(r, format);
}
