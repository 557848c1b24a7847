/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `top` and `objects` as text. */
#include <stdio.h>
#include "report_priv.h"

static void put_count(struct ph_render *r, int64_t n, const char *one, const char *many)
{
	char buf[PH_TEXT_NUMBER + 32];
	ph_out_puts(r->out, ph_text_plural(buf, n, one, many));
}

static void put_size(struct ph_render *r, int64_t bytes)
{
	char buf[PH_TEXT_NUMBER];
	ph_out_puts(r->out, ph_text_size(buf, bytes, false, r->bytes));
	if (r->bytes)
		ph_out_puts(r->out, " bytes");
}

static int64_t total_bytes(const struct ph_render *r)
{
	return ph_add_i64(ph_json_int(r->doc, "totals.shallow_bytes"),
			  ph_json_int(r->doc, "totals.uncounted_bytes"));
}

/* "Python 3.11.2: 23.4 MiB in 118,204 objects of 812 types; garbage: none" */
static void put_conclusion(struct ph_render *r)
{
	int64_t garbage = ph_json_int(r->doc, "totals.garbage_objects");
	ph_out_puts(r->out, "Python ");
	ph_text_put(r, ph_json_string(r->doc, "python.version"));
	ph_out_puts(r->out, ": ");
	put_size(r, total_bytes(r));
	ph_out_puts(r->out, " in ");
	put_count(r, ph_json_int(r->doc, "totals.objects"), "object", "objects");
	if (json_object_get(r->doc, "types")) {
		int64_t ntypes = (int64_t)json_array_size(json_object_get(r->doc, "types"));
		ph_out_puts(r->out, " of ");
		put_count(r, ph_add_i64(ntypes, ph_json_int(r->doc, "omitted.types")), "type", "types");
	}
	ph_text_interp(r, r->doc, "; only ");
	ph_out_puts(r->out, "; garbage: ");
	if (garbage) {
		ph_text_style(r, PH_RED);
		put_count(r, garbage, "object", "objects");
		ph_out_puts(r->out, ", ");
		put_size(r, ph_json_int(r->doc, "totals.garbage_bytes"));
		ph_text_style(r, PH_PLAIN);
		ph_out_puts(r->out, " (see `pyheap cycles`)");
	} else {
		ph_out_puts(r->out, "none");
	}
	ph_out_puts(r->out, "\n");
}

static bool has_retained(const json_t *types)
{
	return json_array_size(types) && json_is_integer(ph_json_at(types, "0.retained_bytes"));
}

static void add_row(struct ph_table *t, const struct ph_render *r, const json_t *row, bool retained)
{
	int64_t shallow = ph_json_int(row, "shallow_bytes"), uncounted = ph_json_int(row, "uncounted_bytes");
	int64_t kept = retained ? ph_json_int(row, "retained_bytes") : ph_add_i64(shallow, uncounted);
	int64_t total = total_bytes(r);
	if (retained)
		ph_table_size(t, r, kept, false);
	ph_table_addf(t, "%.1f%%", total > 0 ? 100.0 * (double)kept / (double)total : 0.0);
	ph_table_size(t, r, shallow, false);
	ph_table_size(t, r, uncounted, false);
	ph_table_count(t, ph_json_int(row, "count"), false);
	ph_table_add(t, ph_json_string(row, "type"));
}

static void put_types(struct ph_render *r)
{
	static const char *const heads[] = { "RETAINED", "SHARE", "SHALLOW", "UNCOUNTED", "COUNT", "TYPE" };
	const json_t *types = json_object_get(r->doc, "types");
	bool retained = has_retained(types);
	struct ph_table t = { .ncolumns = retained ? 6 : 5, .right = retained ? 0x1f : 0xf };
	for (size_t i = retained ? 0 : 1; i < 6; i++)
		ph_table_add(&t, heads[i]);
	for (size_t i = 0; i < json_array_size(types); i++)
		add_row(&t, r, json_array_get(types, i), retained);
	ph_table_print(&t, r);
}

static void put_omitted(struct ph_render *r)
{
	const json_t *omitted = json_object_get(r->doc, "omitted");
	if (!omitted)
		return;
	ph_out_puts(r->out, "and ");
	if (json_object_get(omitted, "holders"))
		put_count(r, ph_json_int(omitted, "holders"), "more holder: ", "more holders: ");
	else
		put_count(r, ph_json_int(omitted, "types"), "more type: ", "more types: ");
	put_count(r, ph_json_int(omitted, "count"), "object, ", "objects, ");
	put_size(r, ph_json_int(omitted, "shallow_bytes"));
	ph_out_printf(r->out, " shallow (%s)\n", r->more);
}

static void put_generations(struct ph_render *r)
{
	char buf[PH_TEXT_NUMBER];
	const char *key;
	json_t *n;
	bool first = true;
	ph_out_puts(r->out, "Tracked by the collector: ");
	put_count(r, ph_json_int(r->doc, "totals.tracked"), "object", "objects");
	json_object_foreach((json_t *)ph_json_at(r->doc, "totals.generations"), key, n) {
		bool permanent = !strcmp(key, "permanent");
		if (!json_is_integer(n) || (permanent && !json_integer_value(n)))
			continue;
		ph_out_printf(r->out, "%s%s%s: %s", first ? "; " : ", ", first && !permanent ? "generation " : "", key,
			      ph_text_count(buf, json_integer_value(n), false));
		first = false;
	}
	ph_out_puts(r->out, "\n");
}

void ph_text_top(struct ph_render *r)
{
	ph_text_run(r, json_object_get(r->doc, "run"), "");
	put_conclusion(r);
	ph_out_puts(r->out, "\n");
	put_types(r);
	put_omitted(r);
	ph_out_puts(r->out, "\n");
	put_generations(r);
	ph_text_interps(r);
	ph_text_notes(r);
	ph_text_suspects(r, json_object_get(r->doc, "suspects"), json_object_get(r->doc, "run"));
}

/* ---- by path -------------------------------------------------------------------------- */

static void put_holders(struct ph_render *r)
{
	const json_t *rows = json_object_get(r->doc, "holders");
	bool retained = has_retained(rows);
	struct ph_table t = { .ncolumns = 6 - !retained, .right = retained ? 0xf : 7 };
	int64_t total = total_bytes(r);
	ph_table_add(&t, "SIZE");
	ph_table_add(&t, "SHARE");
	if (retained)
		ph_table_add(&t, "RETAINED");
	ph_table_add(&t, "COUNT");
	ph_table_add(&t, "TYPE");
	ph_table_add(&t, "PATH");
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		int64_t size = ph_add_i64(ph_json_int(row, "shallow_bytes"), ph_json_int(row, "uncounted_bytes"));
		ph_table_size(&t, r, size, false);
		ph_table_addf(&t, "%.1f%%", total > 0 ? 100.0 * (double)size / (double)total : 0.0);
		if (retained)
			ph_table_size(&t, r, ph_json_int(row, "retained_bytes"), false);
		ph_table_count(&t, ph_json_int(row, "count"), false);
		ph_table_add(&t, ph_json_string(row, "type"));
		ph_table_add(&t, ph_json_string(row, "path"));
	}
	ph_table_print(&t, r);
}

void ph_text_holdings(struct ph_render *r)
{
	ph_text_run(r, json_object_get(r->doc, "run"), "");
	put_conclusion(r);
	ph_out_puts(r->out, "\n");
	put_holders(r);
	put_omitted(r);
	if (json_array_size(json_object_get(r->doc, "notes")) || ph_json_number(r->doc, "coverage") < 1)
		ph_out_puts(r->out, "\n");
	ph_text_notes(r);
}

/* ---- objects: columns of fixed width, since rows come one by one ----------------------- */

void ph_text_objects_begin(struct ph_render *r)
{
	ph_text_run(r, json_object_get(r->doc, "run"), "");
	ph_text_style(r, PH_BOLD);
	ph_out_printf(r->out, "%-14s  %12s  %12s  %10s  %-9s  %s%s", "ADDRESS", "SHALLOW", "UNCOUNTED",
		      "REFCOUNT", "GEN", json_object_get(r->doc, "interpreters") ? "INTERP  " : "", "TYPE");
	ph_text_style(r, PH_PLAIN);
	ph_out_puts(r->out, "\n");
}

static void put_refs(struct ph_render *r, const json_t *row, const char *key)
{
	const json_t *refs = json_object_get(row, key);
	if (!json_array_size(refs))
		return;
	ph_out_printf(r->out, "  %s:", key);
	for (size_t i = 0; i < json_array_size(refs); i++) {
		ph_out_puts(r->out, " ");
		ph_text_put(r, json_string_value(json_array_get(refs, i)));
	}
	ph_out_puts(r->out, "\n");
}

/* "  excess 2: sys.modules; C" */
static void put_roots(struct ph_render *r, const json_t *row)
{
	const json_t *held_by = json_object_get(row, "held_by");
	char buf[PH_TEXT_NUMBER];
	if (!ph_json_int(row, "excess"))
		return;
	ph_out_printf(r->out, "  excess %s", ph_text_count(buf, ph_json_int(row, "excess"), false));
	for (size_t i = 0; i < json_array_size(held_by); i++) {
		ph_out_puts(r->out, i ? "; " : ": ");
		ph_text_put(r, json_string_value(json_array_get(held_by, i)));
	}
	ph_out_puts(r->out, "\n");
}

void ph_text_objects_row(struct ph_render *r, const json_t *row)
{
	char shallow[PH_TEXT_NUMBER], uncounted[PH_TEXT_NUMBER], refcount[PH_TEXT_NUMBER] = "immortal";
	char generation[16] = "-", interp[24];
	const json_t *gen = json_object_get(row, "generation"), *count = json_object_get(row, "refcount");
	if (json_is_integer(count))
		ph_text_count(refcount, json_integer_value(count), false);
	if (json_is_integer(gen))
		snprintf(generation, sizeof generation, "%lld", (long long)json_integer_value(gen));
	else if (json_is_string(gen))
		snprintf(generation, sizeof generation, "%s", json_string_value(gen));
	ph_out_printf(r->out, "%-14s  %12s  %12s  %10s  %-9s  ", ph_json_string(row, "address"),
		      ph_text_size(shallow, ph_json_int(row, "shallow_bytes"), false, r->bytes),
		      ph_text_size(uncounted, ph_json_int(row, "uncounted_bytes"), false, r->bytes),
		      refcount, generation);
	if (json_object_get(row, "interpreter"))
		ph_out_printf(r->out, "%-6s  ", ph_report_interpreter(row, interp));
	ph_text_put(r, ph_json_string(row, "type"));
	ph_out_puts(r->out, json_is_true(json_object_get(row, "size_exact")) &&
			    json_is_true(json_object_get(row, "refs_exact")) ? "\n" : " (estimated)\n");
	put_refs(r, row, "refs");
	put_refs(r, row, "owned");
	put_roots(r, row);
}
