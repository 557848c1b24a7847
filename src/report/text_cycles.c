/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `cycles` as text. */
#include "report_priv.h"

#define SHOWN_STEPS 12 /* of one example */

static void put_count(struct ph_render *r, const char *path, const char *one, const char *many)
{
	char buf[PH_TEXT_NUMBER + 32];
	ph_out_puts(r->out, ph_text_plural(buf, ph_json_int(r->doc, path), one, many));
}

static void put_size(struct ph_render *r, int64_t bytes)
{
	char buf[PH_TEXT_NUMBER];
	ph_out_puts(r->out, ph_text_size(buf, bytes, false, r->bytes));
	if (r->bytes)
		ph_out_puts(r->out, " bytes");
}

static void put_garbage(struct ph_render *r)
{
	if (!ph_json_int(r->doc, "totals.garbage_objects")) {
		ph_out_puts(r->out, "Garbage: none\n");
		return;
	}
	ph_text_style(r, PH_RED);
	ph_out_puts(r->out, "Garbage: ");
	put_count(r, "totals.garbage_objects", "object, ", "objects, ");
	put_size(r, ph_json_int(r->doc, "totals.garbage_bytes"));
	ph_text_style(r, PH_PLAIN);
	ph_out_puts(r->out, ", not freed by the collector yet; ");
	put_count(r, "states.garbage.objects", "of them is in ", "of them are in ");
	put_count(r, "states.garbage.count", "cycle\n", "cycles\n");
}

static bool lists_infrastructure(const struct ph_render *r)
{
	int64_t listed = ph_json_int(r->doc, "omitted.count");
	const json_t *rows = json_object_get(r->doc, "cycles");
	for (size_t i = 0; i < json_array_size(rows); i++)
		listed = ph_add_i64(listed, ph_json_int(json_array_get(rows, i), "count"));
	return listed > ph_add_i64(ph_json_int(r->doc, "states.garbage.count"),
				   ph_json_int(r->doc, "states.live.count"));
}

static void put_live(struct ph_render *r)
{
	ph_out_puts(r->out, "Live: ");
	put_count(r, "states.live.objects", "object in ", "objects in ");
	put_count(r, "states.live.count", "cycle", "cycles");
	if (ph_json_int(r->doc, "states.infrastructure.count")) {
		ph_out_puts(r->out, "; also ");
		put_count(r, "states.infrastructure.count", "cycle", "cycles");
		ph_out_puts(r->out, " of types, modules and functions only");
		if (!lists_infrastructure(r))
			ph_out_puts(r->out, " (--all lists them)");
	}
	ph_out_puts(r->out, "\n");
}

/* "app.Node.children[] → app.Node.parent → the first" */
static void put_shape(struct ph_render *r, const json_t *row)
{
	const json_t *shape = json_object_get(row, "shape"), *labels = json_object_get(row, "labels");
	size_t n = json_array_size(shape), shown = n > SHOWN_STEPS ? SHOWN_STEPS : n;
	ph_out_puts(r->out, "   ");
	for (size_t i = 0; i < shown; i++) {
		const char *type = json_string_value(json_array_get(shape, i));
		const char *label = json_string_value(json_array_get(labels, i));
		ph_text_style(r, PH_BOLD);
		ph_text_put(r, type ? type : "?");
		ph_text_style(r, PH_PLAIN);
		ph_out_puts(r->out, " ");
		ph_text_put(r, label ? label : "?");
		ph_out_puts(r->out, " → ");
	}
	if (shown < n) {
		char buf[PH_TEXT_NUMBER + 32];
		ph_out_puts(r->out, ph_text_plural(buf, (int64_t)(n - shown), "more step → ", "more steps → "));
	}
	ph_out_puts(r->out, n == 1 ? "itself\n" : "the first\n");
}

static void put_example(struct ph_render *r, const json_t *example)
{
	size_t n = json_array_size(example), shown = n > SHOWN_STEPS ? SHOWN_STEPS : n;
	ph_out_puts(r->out, "   such as ");
	for (size_t i = 0; i < shown; i++) {
		const json_t *step = json_array_get(example, i);
		ph_text_put(r, ph_json_string(step, "address"));
		ph_text_put(r, ph_json_string(step, "via"));
		ph_out_puts(r->out, " → ");
	}
	ph_text_put(r, shown < n ? "…" : ph_json_string(example, "0.address"));
	ph_out_puts(r->out, "\n");
}

static void put_cut(struct ph_render *r, const json_t *cut)
{
	if (!json_is_object(cut)) {
		ph_out_puts(r->out, "   no single reference breaks these cycles\n");
		return;
	}
	ph_out_puts(r->out, "   break them: make ");
	ph_text_put(r, ph_json_string(cut, "label"));
	ph_out_puts(r->out, " of ");
	ph_text_put(r, ph_json_string(cut, "type"));
	ph_out_puts(r->out, " a weak reference\n");
}

static void put_row(struct ph_render *r, const json_t *row, size_t place)
{
	char buf[PH_TEXT_NUMBER + 32];
	bool garbage = !strcmp(ph_json_string(row, "state"), "garbage");
	ph_out_printf(r->out, "\n%zu. ", place);
	ph_text_style(r, garbage ? PH_RED : PH_PLAIN);
	ph_out_puts(r->out, garbage ? "garbage" : "live");
	ph_text_style(r, PH_PLAIN);
	ph_out_printf(r->out, ", %s", ph_text_plural(buf, ph_json_int(row, "count"), "cycle", "cycles"));
	ph_out_printf(r->out, ", %s, retained ",
		      ph_text_plural(buf, ph_json_int(row, "objects"), "object", "objects"));
	put_size(r, ph_json_int(row, "retained_bytes"));
	ph_text_interp(r, row, ", ");
	ph_out_puts(r->out, "\n");
	put_shape(r, row);
	put_example(r, json_object_get(row, "example"));
	put_cut(r, json_object_get(row, "cut"));
}

void ph_text_cycles(struct ph_render *r)
{
	const json_t *rows = json_object_get(r->doc, "cycles");
	ph_text_run(r, json_object_get(r->doc, "run"), "");
	ph_text_asked_interp(r);
	put_garbage(r);
	put_live(r);
	for (size_t i = 0; i < json_array_size(rows) && !ph_out_failed(r->out); i++)
		put_row(r, json_array_get(rows, i), i + 1);
	if (json_object_get(r->doc, "omitted")) {
		ph_out_puts(r->out, "\nand ");
		put_count(r, "omitted.cycles", "more kind of cycle: ", "more kinds of cycles: ");
		put_count(r, "omitted.count", "cycle", "cycles");
		ph_out_printf(r->out, " (%s)\n", r->more);
	}
	if (json_array_size(json_object_get(r->doc, "notes")) || ph_json_number(r->doc, "coverage") < 1)
		ph_out_puts(r->out, "\n");
	ph_text_notes(r);
}
