/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `threads` as text. */
#include <stdio.h>
#include "report_priv.h"

#define SMALL 1024 /* bytes: locals of less are not listed unless all are */

static uint64_t limit(const struct ph_render *r)
{
	return r->limit ? r->limit : UINT64_MAX;
}

static void place(const json_t *frame, char *buf, size_t max)
{
	const char *file = ph_json_string(frame, "file"), *base = strrchr(file, '/');
	snprintf(buf, max, "%s (%s:%lld)", ph_json_string(frame, "function"), base ? base + 1 : file,
		 (long long)ph_json_int(frame, "line"));
}

/* ---- threads --------------------------------------------------------------------------- */

static void put_title(struct ph_render *r, const json_t *t)
{
	char size[PH_TEXT_NUMBER];
	ph_text_style(r, PH_BOLD);
	ph_out_puts(r->out, "\nThread ");
	ph_text_put(r, *ph_json_string(t, "id") ? ph_json_string(t, "id") : "?");
	if (*ph_json_string(t, "name"))
		ph_out_puts(r->out, " "), ph_text_put(r, ph_json_string(t, "name"));
	ph_text_style(r, PH_PLAIN);
	if (ph_json_int(t, "native_id"))
		ph_out_printf(r->out, ", TID %lld", (long long)ph_json_int(t, "native_id"));
	if (json_object_get(r->doc, "interpreters") || ph_json_int(t, "interpreter"))
		ph_text_interp(r, t, ", ");
	if (json_is_true(json_object_get(t, "holds_gil")))
		ph_out_puts(r->out, ", holds the GIL");
	ph_out_printf(r->out, "; its frames retain %s\n",
		      ph_text_size(size, ph_json_int(t, "retained_bytes"), false, r->bytes));
}

static void add_cells(struct ph_table *t, const struct ph_render *r, const char *first, int64_t bytes, const char *type,
		      const char *name)
{
	ph_table_add(t, first);
	if (bytes < 0)
		ph_table_add(t, "");
	else
		ph_table_size(t, r, bytes, false);
	ph_table_add(t, type);
	ph_table_add(t, name);
}

static void add_locals(struct ph_table *t, const struct ph_render *r, const json_t *locals)
{
	uint64_t listed = 0;
	for (size_t i = 0; i < json_array_size(locals) && listed < limit(r); i++) {
		const json_t *row = json_array_get(locals, i);
		char name[160];
		if (r->limit && ph_json_int(row, "retained_bytes") < SMALL)
			continue;
		snprintf(name, sizeof name, "      %s",
			 *ph_json_string(row, "name") ? ph_json_string(row, "name") : "<stack>");
		add_cells(t, r, name, ph_json_int(row, "retained_bytes"), ph_json_string(row, "type"),
			  ph_json_string(row, "address"));
		listed++;
	}
}

static void put_thread(struct ph_render *r, const json_t *thread)
{
	const json_t *frames = json_object_get(thread, "frames");
	size_t n = json_array_size(frames);
	struct ph_table t = { .ncolumns = 4, .right = 2 };
	put_title(r, thread);
	add_cells(&t, r, "  FRAME", -1, "", "");
	for (size_t i = 0; i < n && i < limit(r); i++) {
		const json_t *frame = json_array_get(frames, i);
		char where[512], line[520];
		int64_t retained = ph_json_int(frame, "retained_bytes");
		place(frame, where, sizeof where);
		snprintf(line, sizeof line, "  %s", where);
		add_cells(&t, r, line, retained >= SMALL || !r->limit ? retained : -1, "", "");
		add_locals(&t, r, json_object_get(frame, "locals"));
	}
	free(t.cells.items[1]);
	t.cells.items[1] = strdup("RETAINED");
	t.nomem |= !t.cells.items[1];
	ph_table_print(&t, r);
	if (n > limit(r))
		ph_out_printf(r->out, "  and %zu more frames (%s)\n", n - (size_t)limit(r), r->more);
}

/* ---- tasks --------------------------------------------------------------------------------- */

static void put_task(struct ph_render *r, const json_t *t)
{
	char count[PH_TEXT_NUMBER + 32], size[PH_TEXT_NUMBER];
	const json_t *chain = json_object_get(t, "waits_at");
	ph_out_printf(r->out, "  %s", ph_text_plural(count, ph_json_int(t, "count"), "task", "tasks"));
	ph_out_printf(r->out, ", %s: ", ph_text_size(size, ph_json_int(t, "retained_bytes"), false, r->bytes));
	for (size_t i = 0; i < json_array_size(chain); i++) {
		ph_out_puts(r->out, i ? " → " : "");
		const char *name = json_string_value(json_array_get(chain, i));
		ph_text_put(r, name ? name : "?");
	}
	if (*ph_json_string(t, "waiting_for"))
		ph_out_puts(r->out, " → "), ph_text_put(r, ph_json_string(t, "waiting_for"));
	ph_out_puts(r->out, "\n     such as "), ph_text_put(r, ph_json_string(t, "example")), ph_out_puts(r->out, "\n");
}

static void put_tasks(struct ph_render *r)
{
	const json_t *tasks = json_object_get(r->doc, "tasks");
	size_t n = json_array_size(tasks);
	char count[PH_TEXT_NUMBER + 32];
	int64_t all = 0, others = ph_json_int(r->doc, "coroutines.count") - ph_json_int(r->doc, "coroutines.in_tasks");
	for (size_t i = 0; i < n; i++)
		all = ph_add_i64(all, ph_json_int(json_array_get(tasks, i), "count"));
	if (all)
		ph_out_printf(r->out, "\n%s of asyncio, by where they wait:\n", ph_text_plural(count, all, "task", "tasks"));
	for (size_t i = 0; i < n && i < limit(r); i++)
		put_task(r, json_array_get(tasks, i));
	if (n > limit(r))
		ph_out_printf(r->out, "  and %zu more places (%s)\n", n - (size_t)limit(r), r->more);
	if (others > 0)
		ph_out_printf(r->out, "\n%s in no task: never awaited, ended, or run by something else\n",
			      ph_text_plural(count, others, "coroutine is", "coroutines are"));
}

void ph_text_threads(struct ph_render *r)
{
	const json_t *threads = json_object_get(r->doc, "threads");
	char buf[PH_TEXT_NUMBER + 32];
	ph_text_run(r, json_object_get(r->doc, "run"), "");
	ph_text_asked_interp(r);
	ph_out_printf(r->out, "%s\n", ph_text_plural(buf, (int64_t)json_array_size(threads) +
						     ph_json_int(r->doc, "omitted.threads"), "thread", "threads"));
	for (size_t i = 0; i < json_array_size(threads) && !ph_out_failed(r->out); i++)
		put_thread(r, json_array_get(threads, i));
	if (json_object_get(r->doc, "omitted"))
		ph_out_printf(r->out, "\nand %s (%s)\n", ph_text_plural(buf, ph_json_int(r->doc, "omitted.threads"),
									"more thread", "more threads"), r->more);
	put_tasks(r);
	if (json_array_size(json_object_get(r->doc, "notes")) || ph_json_number(r->doc, "coverage") < 1)
		ph_out_puts(r->out, "\n");
	ph_text_notes(r);
}
