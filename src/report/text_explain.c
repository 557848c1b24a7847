/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `explain` as text: one page. */
#include <stdio.h>
#include "report_priv.h"

static void put_line(struct ph_render *r, const char *label)
{
	ph_out_printf(r->out, "%-12s  ", label);
}

static const char *size(const struct ph_render *r, char buf[PH_TEXT_NUMBER], const json_t *from, const char *key)
{
	return ph_text_size(buf, ph_json_int(from, key), false, r->bytes);
}

static void put_title(struct ph_render *r, const json_t *o)
{
	ph_text_style(r, PH_BOLD);
	ph_text_put(r, ph_json_string(o, "type"));
	ph_text_style(r, PH_PLAIN);
	ph_out_puts(r->out, " at "), ph_text_put(r, ph_json_string(o, "address"));
	if (*ph_json_string(o, "name"))
		ph_out_puts(r->out, ": "), ph_text_put(r, ph_json_string(o, "name"));
	ph_out_puts(r->out, "\n\n");
}

static void put_sizes(struct ph_render *r, const json_t *o)
{
	char a[PH_TEXT_NUMBER], b[PH_TEXT_NUMBER], c[PH_TEXT_NUMBER], n[PH_TEXT_NUMBER + 32];
	put_line(r, "size");
	ph_out_printf(r->out, "%s (sys.getsizeof) and %s uncounted%s\n", size(r, a, o, "shallow_bytes"),
		      size(r, b, o, "uncounted_bytes"), json_is_true(json_object_get(o, "size_exact")) ? "" : ", estimated");
	put_line(r, "retains");
	ph_out_printf(r->out, "%s with %s\n", size(r, c, o, "retained_bytes"),
		      ph_text_plural(n, ph_json_int(o, "dominated"), "object, itself", "objects, itself included"));
}

static void put_counts(struct ph_render *r, const json_t *o)
{
	const json_t *held = json_object_get(o, "held_by");
	char a[PH_TEXT_NUMBER], b[PH_TEXT_NUMBER];
	put_line(r, "references");
	if (json_is_null(json_object_get(o, "refcount"))) {
		ph_out_puts(r->out, "immortal: not counted\n");
	} else {
		ph_out_printf(r->out, "%s counted, %s found", ph_text_count(a, ph_json_int(o, "refcount"), false),
			      ph_text_count(b, ph_json_int(o, "references_found"), false));
		for (size_t i = 0; i < json_array_size(held); i++) {
			ph_out_puts(r->out, i ? "; " : "; held from outside by ");
			ph_text_put(r, json_string_value(json_array_get(held, i)));
		}
		ph_out_puts(r->out, "\n");
	}
	if (ph_json_int(o, "weak_references")) {
		put_line(r, "weakly");
		ph_out_printf(r->out, "%s refer to it\n", ph_text_count(a, ph_json_int(o, "weak_references"), false));
	}
	const json_t *referent = json_object_get(o, "weak_referent");
	if (json_is_object(referent)) {
		put_line(r, "weakly");
		ph_out_puts(r->out, "it refers to "), ph_text_put(r, ph_json_string(referent, "type"));
		ph_out_puts(r->out, " at "), ph_text_put(r, ph_json_string(referent, "address"));
		ph_out_puts(r->out, "\n");
	}
}

static void put_state(struct ph_render *r, const json_t *o)
{
	const json_t *generation = json_object_get(o, "generation");
	put_line(r, "collector");
	if (json_is_integer(generation))
		ph_out_printf(r->out, "tracked, generation %lld", (long long)json_integer_value(generation));
	else if (json_is_string(generation))
		ph_out_puts(r->out, "tracked, permanent");
	else
		ph_out_puts(r->out, json_is_true(json_object_get(o, "tracked")) ? "tracked" : "not tracked");
	if (json_is_true(json_object_get(o, "garbage"))) {
		ph_text_style(r, PH_RED);
		ph_out_puts(r->out, "; garbage: no root reaches it");
		ph_text_style(r, PH_PLAIN);
	}
	ph_text_interp(r, o, "; of ");
	ph_out_puts(r->out, "\n");
	const json_t *d = json_object_get(o, "dominator");
	if (!json_is_object(d))
		return;
	put_line(r, "goes with");
	ph_text_put(r, ph_json_string(d, "type"));
	ph_out_puts(r->out, " at "), ph_text_put(r, ph_json_string(d, "address"));
	if (*ph_json_string(d, "name"))
		ph_out_puts(r->out, ", "), ph_text_put(r, ph_json_string(d, "name"));
	ph_out_puts(r->out, "\n");
}

static void put_path(struct ph_render *r)
{
	char where[4096];
	const json_t *path = json_object_get(r->doc, "path");
	if (!json_is_object(path))
		return;
	ph_text_path(path, where, sizeof where);
	put_line(r, "path");
	ph_text_put(r, where);
	ph_out_puts(r->out, "\n");
}

/* The rows of one direction. */
static void put_references(struct ph_render *r, const char *relation, const char *title, int64_t all)
{
	const json_t *rows = json_object_get(r->doc, "references");
	struct ph_table t = { .ncolumns = 5, .right = 1u << 1 };
	int64_t shown = 0;
	char buf[PH_TEXT_NUMBER + 32];
	if (!all)
		return;
	ph_table_add(&t, title);
	ph_table_add(&t, "RETAINED");
	ph_table_add(&t, "ADDRESS");
	ph_table_add(&t, "TYPE");
	ph_table_add(&t, "NAME");
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		if (strcmp(ph_json_string(row, "relation"), relation))
			continue;
		ph_table_add(&t, ph_json_string(row, "via"));
		ph_table_size(&t, r, ph_json_int(row, "retained_bytes"), false);
		ph_table_add(&t, ph_json_string(row, "address"));
		ph_table_add(&t, ph_json_string(row, "type"));
		ph_table_add(&t, ph_json_string(row, "name"));
		shown++;
	}
	ph_out_puts(r->out, "\n");
	ph_table_print(&t, r);
	if (shown < all)
		ph_out_printf(r->out, "and %s (%s)\n", ph_text_plural(buf, all - shown, "more", "more"), r->more);
}

void ph_text_explain(struct ph_render *r)
{
	const json_t *o = json_object_get(r->doc, "object");
	ph_text_run(r, json_object_get(r->doc, "run"), "");
	put_title(r, o);
	put_sizes(r, o);
	put_counts(r, o);
	put_state(r, o);
	put_path(r);
	put_references(r, "refers to", "REFERS TO", ph_json_int(o, "referents"));
	put_references(r, "referred to by", "REFERRED TO BY, AS", ph_json_int(o, "referrers"));
	if (json_array_size(json_object_get(r->doc, "notes")) || ph_json_number(r->doc, "coverage") < 1)
		ph_out_puts(r->out, "\n");
	ph_text_notes(r);
}
