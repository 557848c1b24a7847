/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `diff` as text. */
#include <stdio.h>
#include "report_priv.h"

#define MOST_COUNTS 6 /* columns of counts: the first and last reports */

static int64_t bytes_at(const json_t *value)
{
	return ph_add_i64(ph_json_int(value, "shallow_bytes"), ph_json_int(value, "uncounted_bytes"));
}

static void put_size(struct ph_render *r, int64_t bytes, bool sign)
{
	char buf[PH_TEXT_NUMBER];
	ph_out_puts(r->out, ph_text_size(buf, bytes, sign, r->bytes));
	if (r->bytes)
		ph_out_puts(r->out, " bytes");
}

/* "+1.2 MiB (+5.3 %) and +10,000 objects: 23.4 MiB → 24.6 MiB" */
static void put_totals(struct ph_render *r)
{
	char buf[PH_TEXT_NUMBER];
	const json_t *values = ph_json_at(r->doc, "totals.values");
	const json_t *delta = ph_json_at(r->doc, "totals.delta");
	int64_t before = bytes_at(json_array_get(values, 0));
	int64_t after = bytes_at(json_array_get(values, json_array_size(values) - 1));
	put_size(r, bytes_at(delta), true);
	if (before > 0)
		ph_out_printf(r->out, " (%+.1f %%)", 100.0 * (double)bytes_at(delta) / (double)before);
	ph_out_printf(r->out, " and %s objects: ", ph_text_count(buf, ph_json_int(delta, "count"), true));
	put_size(r, before, false);
	ph_out_puts(r->out, " → ");
	put_size(r, after, false);
	ph_out_puts(r->out, "\n");
}

/* "max-growth: grew by 12.3 %, limit 5 %" */
static void put_exceeded(struct ph_render *r, const json_t *rule)
{
	const char *name = ph_json_string(rule, "rule"), *type = ph_json_string(rule, "type");
	double limit = ph_json_number(rule, "limit"), actual = ph_json_number(rule, "actual");
	ph_text_style(r, PH_RED);
	ph_out_puts(r->out, "Exceeded");
	ph_text_style(r, PH_PLAIN);
	ph_out_puts(r->out, " --");
	ph_text_put(r, name);
	if (!strcmp(name, "max-growth")) {
		ph_out_printf(r->out, ": %.1f %%, limit %g %%\n", actual, limit);
	} else if (!strcmp(name, "max-growth-bytes")) {
		ph_out_puts(r->out, ": ");
		put_size(r, ph_json_int(rule, "actual"), false);
		ph_out_puts(r->out, ", limit ");
		put_size(r, ph_json_int(rule, "limit"), false);
		ph_out_puts(r->out, "\n");
	} else {
		char a[PH_TEXT_NUMBER], b[PH_TEXT_NUMBER];
		ph_out_puts(r->out, ": ");
		ph_text_put(r, type);
		ph_out_printf(r->out, " %s, limit %s\n", ph_text_count(a, ph_json_int(rule, "actual"), false),
			      ph_text_count(b, ph_json_int(rule, "limit"), false));
	}
}

/* Of more reports than fit, the first and the last ones. */
static size_t run_of_column(size_t column, size_t nruns)
{
	size_t shown = nruns > MOST_COUNTS ? MOST_COUNTS : nruns;
	return column == 0 ? 0 : nruns - shown + column;
}

/* Which columns there are. */
struct columns {
	size_t nruns, shown; /* counts of so many runs */
	bool retained, stayed, steps, path;
};

static void add_heads(struct ph_table *t, const struct columns *columns)
{
	ph_table_add(t, "SIZE +/-");
	ph_table_add(t, "COUNT +/-");
	if (columns->retained)
		ph_table_add(t, "RETAINED +/-");
	for (size_t c = 0; c < columns->shown; c++)
		ph_table_addf(t, "COUNT %zu", run_of_column(c, columns->nruns) + 1);
	if (columns->stayed)
		ph_table_add(t, "STAYED");
	if (columns->steps)
		ph_table_add(t, "GREW");
	ph_table_add(t, "TYPE");
	if (columns->path)
		ph_table_add(t, "PATH");
}

static void add_row(struct ph_table *t, const struct ph_render *r, const json_t *row,
		    const struct columns *columns)
{
	const json_t *values = json_object_get(row, "values");
	ph_table_size(t, r, bytes_at(json_object_get(row, "delta")), true);
	ph_table_count(t, ph_json_int(row, "delta.count"), true);
	if (columns->retained)
		ph_table_size(t, r, ph_json_int(row, "delta.retained_bytes"), true);
	for (size_t c = 0; c < columns->shown; c++)
		ph_table_count(t, ph_json_int(json_array_get(values, run_of_column(c, columns->nruns)), "count"),
			       false);
	if (columns->stayed)
		ph_table_count(t, ph_json_int(row, "survivors.count"), false);
	if (columns->steps)
		ph_table_add(t, json_is_true(json_object_get(row, "grew_every_step")) ? "each step" : "");
	ph_table_add(t, ph_json_string(row, "type"));
	if (columns->path)
		ph_table_add(t, ph_json_string(row, "path"));
}

static void put_rows(struct ph_render *r, const json_t *rows)
{
	const json_t *first = json_array_get(rows, 0);
	struct columns columns = { .nruns = json_array_size(json_object_get(r->doc, "runs")) };
	columns.shown = columns.nruns > MOST_COUNTS ? MOST_COUNTS : columns.nruns;
	columns.retained = json_is_integer(ph_json_at(first, "delta.retained_bytes"));
	columns.stayed = json_object_get(first, "survivors") != NULL;
	columns.steps = json_object_get(first, "grew_every_step") != NULL;
	columns.path = json_object_get(first, "path") != NULL;
	unsigned numbers = (unsigned)(2 + columns.retained + columns.shown + columns.stayed);
	struct ph_table t = { .ncolumns = numbers + columns.steps + 1 + columns.path, .right = (1u << numbers) - 1 };
	add_heads(&t, &columns);
	for (size_t i = 0; i < json_array_size(rows); i++)
		add_row(&t, r, json_array_get(rows, i), &columns);
	ph_out_puts(r->out, "\n");
	ph_table_print(&t, r);
	if (columns.stayed)
		ph_out_puts(r->out, "STAYED: objects that the first does not have, and all later ones do\n");
}

/* "1. app.Item: 2,000 more, 368.8 KiB more in each step, on module app .store.rows" */
static void put_suspects(struct ph_render *r)
{
	const json_t *suspects = json_object_get(r->doc, "suspects");
	size_t n = json_array_size(suspects);
	for (size_t i = 0; i < n; i++) {
		const json_t *s = json_array_get(suspects, i);
		char count[PH_TEXT_NUMBER];
		const char *path = ph_json_string(s, "path");
		ph_out_printf(r->out, "%s%zu. ", i ? "" : n > 1 ? "\nSuspects:\n" : "\nSuspect:\n", i + 1);
		ph_text_style(r, PH_BOLD);
		ph_text_put(r, ph_json_string(s, "type"));
		ph_text_style(r, PH_PLAIN);
		ph_out_printf(r->out, ": %s more, ", ph_text_count(count, ph_json_int(s, "count"), false));
		put_size(r, ph_json_int(s, "bytes"), false);
		ph_out_puts(r->out, json_is_true(json_object_get(s, "grew_every_step")) ? " more, in each step" : " more");
		if (*path)
			ph_out_puts(r->out, ", on "), ph_text_put(r, path);
		ph_out_puts(r->out, "\n   pyheap why TARGET "), ph_text_put(r, ph_json_string(s, "type"));
		ph_out_puts(r->out, "\n");
	}
}

void ph_text_diff(struct ph_render *r)
{
	const json_t *runs = json_object_get(r->doc, "runs"), *exceeded = json_object_get(r->doc, "exceeded");
	for (size_t i = 0; i < json_array_size(runs); i++) {
		char prefix[32];
		snprintf(prefix, sizeof prefix, "%zu: ", i + 1);
		ph_text_run(r, json_array_get(runs, i), prefix);
	}
	for (size_t i = 0; i < json_array_size(exceeded); i++)
		put_exceeded(r, json_array_get(exceeded, i));
	put_totals(r);
	const json_t *rows = json_object_get(r->doc, r->view->rows);
	if (json_array_size(rows))
		put_rows(r, rows);
	if (json_object_get(r->doc, "omitted")) {
		char buf[PH_TEXT_NUMBER];
		const json_t *omitted = json_object_get(r->doc, "omitted");
		ph_out_printf(r->out, "and %s more %s that changed (%s)\n",
			      ph_text_count(buf, ph_json_int(omitted, r->view->unit), false), r->view->unit, r->more);
	}
	if (json_is_false(json_object_get(r->doc, "complete")))
		ph_out_puts(r->out, "\nIncomplete: in one of the inputs something could not be read.\n");
	put_suspects(r);
}
