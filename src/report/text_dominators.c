/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `dominators` as text. */
#include <stdio.h>
#include "report_priv.h"

void ph_text_path(const json_t *path, char *buf, size_t max)
{
	const json_t *root = json_object_get(path, "root");
	const char *kind = ph_json_string(root, "kind"), *name = ph_json_string(root, "name");
	const char *reading = ph_json_string(path, "reading");
	bool own = (!strcmp(kind, "interpreter") || !strcmp(kind, "C")) && *name; /* says what it is */
	snprintf(buf, max, "%s%s%s%s%s", own ? "" : kind, !own && *name ? " " : "", name,
		 json_is_object(root) && *reading ? " " : "", reading);
}

static void put_of(struct ph_render *r)
{
	char buf[PH_TEXT_NUMBER];
	const json_t *of = json_object_get(r->doc, "of");
	if (!json_is_object(of)) {
		int64_t total = ph_add_i64(ph_json_int(r->doc, "totals.shallow_bytes"),
					   ph_json_int(r->doc, "totals.uncounted_bytes"));
		ph_out_printf(r->out, "Objects that retain most of %s", ph_text_size(buf, total, false, r->bytes));
		ph_out_puts(r->out, r->bytes ? " bytes; none is part of another\n" : "; none is part of another\n");
		return;
	}
	ph_text_style(r, PH_BOLD);
	ph_text_put(r, ph_json_string(of, "type"));
	ph_text_style(r, PH_PLAIN);
	ph_out_puts(r->out, " at "), ph_text_put(r, ph_json_string(of, "address"));
	if (*ph_json_string(of, "name"))
		ph_out_puts(r->out, ": "), ph_text_put(r, ph_json_string(of, "name"));
	ph_out_printf(r->out, ", retains %s; what it dominates:\n",
		      ph_text_size(buf, ph_json_int(of, "retained_bytes"), false, r->bytes));
}

static void add_object(struct ph_table *t, const struct ph_render *r, const json_t *row)
{
	char where[1024], interp[24];
	ph_text_path(json_object_get(row, "path"), where, sizeof where);
	ph_table_size(t, r, ph_json_int(row, "retained_bytes"), false);
	ph_table_addf(t, "%.1f%%", 100 * ph_json_number(row, "share"));
	ph_table_count(t, ph_json_int(row, "objects"), false);
	ph_table_add(t, ph_json_string(row, "address"));
	if (t->ncolumns > 6)
		ph_table_add(t, ph_report_interpreter(row, interp));
	ph_table_add(t, ph_json_string(row, "type"));
	ph_table_add(t, json_is_true(json_object_get(row, "garbage")) ? "garbage" : where);
}

static void put_objects(struct ph_render *r, const json_t *rows)
{
	static const char *const heads[] = { "RETAINED", "SHARE", "OBJECTS", "ADDRESS", "INTERP", "TYPE", "WHERE" };
	bool several = json_object_get(r->doc, "interpreters");
	struct ph_table t = { .ncolumns = 6 + several, .right = 7 };
	for (size_t i = 0; i < 7; i++)
		if (several || i != 4)
			ph_table_add(&t, heads[i]);
	for (size_t i = 0; i < json_array_size(rows); i++)
		add_object(&t, r, json_array_get(rows, i));
	ph_table_print(&t, r);
}

static void put_groups(struct ph_render *r, const json_t *rows)
{
	static const char *const heads[] = { "RETAINED", "OBJECTS", "COUNT", NULL };
	struct ph_table t = { .ncolumns = 4, .right = 7 };
	for (size_t i = 0; heads[i]; i++)
		ph_table_add(&t, heads[i]);
	const char *by = ph_report_by(r->doc);
	ph_table_add(&t, !strcmp(by, "module") ? "MODULE" : !strcmp(by, "package") ? "PACKAGE" : "TYPE");
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		ph_table_size(&t, r, ph_json_int(row, "retained_bytes"), false);
		ph_table_count(&t, ph_json_int(row, "objects"), false);
		ph_table_count(&t, ph_json_int(row, "count"), false);
		ph_table_add(&t, ph_json_string(row, "group"));
	}
	ph_table_print(&t, r);
}

static void put_rest(struct ph_render *r, const char *path, const char *one, const char *many, const char *hint)
{
	const json_t *rest = json_object_get(r->doc, path);
	char buf[PH_TEXT_NUMBER + 32], size[PH_TEXT_NUMBER];
	if (!ph_json_int(rest, "objects"))
		return;
	ph_out_printf(r->out, "and %s, %s%s\n", ph_text_plural(buf, ph_json_int(rest, "objects"), one, many),
		      ph_text_size(size, ph_json_int(rest, "retained_bytes"), false, r->bytes), hint);
}

void ph_text_dominators(struct ph_render *r)
{
	const json_t *rows = json_object_get(r->doc, r->view->rows);
	char hint[64];
	ph_text_run(r, json_object_get(r->doc, "run"), "");
	ph_text_asked_interp(r);
	put_of(r);
	ph_out_puts(r->out, "\n");
	if (*ph_report_by(r->doc))
		put_groups(r, rows);
	else
		put_objects(r, rows);
	snprintf(hint, sizeof hint, " (%s)", r->more);
	put_rest(r, "omitted", "object in rows left out", "objects in rows left out", hint);
	put_rest(r, "other", "object in small pieces", "objects in small pieces", "");
	if (json_array_size(json_object_get(r->doc, "notes")) || ph_json_number(r->doc, "coverage") < 1)
		ph_out_puts(r->out, "\n");
	ph_text_notes(r);
}
