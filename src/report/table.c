/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces that texts are made of: tables, colours, the run line, the notes. */
#include <stdio.h>
#include "report_priv.h"

#define GAP 2 /* blanks between columns */

/* ---- tables ---------------------------------------------------------------------- */

void ph_table_add(struct ph_table *t, const char *text)
{
	char *cell = ph_text_printable(text);
	if (!cell || !PH_VEC_PUSH(&t->cells, cell)) {
		free(cell);
		t->nomem = true;
	}
}

void ph_table_addf(struct ph_table *t, const char *fmt, ...)
{
	char *cell;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&cell, fmt, ap);
	va_end(ap);
	if (n < 0 || !PH_VEC_PUSH(&t->cells, cell)) {
		if (n >= 0)
			free(cell);
		t->nomem = true;
	}
}

void ph_table_count(struct ph_table *t, int64_t n, bool sign)
{
	char buf[PH_TEXT_NUMBER];
	ph_table_addf(t, "%s", ph_text_count(buf, n, sign));
}

void ph_table_size(struct ph_table *t, const struct ph_render *r, int64_t bytes, bool sign)
{
	char buf[PH_TEXT_NUMBER];
	ph_table_addf(t, "%s", ph_text_size(buf, bytes, sign, r->bytes));
}

static void print_cell(struct ph_render *r, const char *text, size_t width, bool right, bool last)
{
	size_t used = ph_text_width(text), pad = used < width ? width - used : 0;
	if (right)
		ph_out_printf(r->out, "%*s", (int)pad, "");
	ph_out_puts(r->out, text);
	if (!right && !last)
		ph_out_printf(r->out, "%*s", (int)pad, "");
	if (!last)
		ph_out_printf(r->out, "%*s", GAP, "");
}

static void print_row(const struct ph_table *t, struct ph_render *r, char *const *cells,
		      const size_t *widths)
{
	size_t at = 0;
	unsigned n = t->ncolumns;
	while (n > 1 && !*cells[n - 1])
		n--; /* no blanks at the end of a line */
	for (unsigned c = 0; c < n; c++) {
		bool last = c + 1 == n;
		char *shortened ph_cleanup_free = NULL;
		if (c + 1 == t->ncolumns && r->width && (size_t)r->width > at + 12)
			shortened = ph_text_shorten(cells[c], (size_t)r->width - at);
		print_cell(r, shortened ? shortened : cells[c], widths[c], t->right & 1u << c, last);
		at += widths[c] + GAP;
	}
}

void ph_table_print(struct ph_table *t, struct ph_render *r)
{
	size_t widths[32] = { 0 };
	size_t nrows = t->nomem ? 0 : t->cells.n / t->ncolumns;
	for (size_t i = 0; i < nrows * t->ncolumns; i++) {
		size_t *width = &widths[i % t->ncolumns], used = ph_text_width(t->cells.items[i]);
		if (used > *width)
			*width = used;
	}
	for (size_t i = 0; i < nrows && !ph_out_failed(r->out); i++) {
		if (i == 0)
			ph_text_style(r, PH_BOLD);
		print_row(t, r, t->cells.items + i * t->ncolumns, widths);
		if (i == 0)
			ph_text_style(r, PH_PLAIN);
		ph_out_puts(r->out, "\n");
	}
	r->nomem |= t->nomem;
	for (size_t i = 0; i < t->cells.n; i++)
		free(t->cells.items[i]);
	ph_vec_free(&t->cells);
}

/* ---- lines ------------------------------------------------------------------------ */

void ph_text_style(struct ph_render *r, enum ph_style style)
{
	static const char *const codes[] = { "\033[0m", "\033[1m", "\033[2m", "\033[31m", "\033[32m" };
	if (r->color)
		ph_out_puts(r->out, codes[style]);
}

void ph_text_put(struct ph_render *r, const char *s)
{
	char *text ph_cleanup_free = ph_text_printable(s);
	if (text)
		ph_out_puts(r->out, text);
	else
		r->nomem = true;
}

const char *ph_text_plural(char buf[PH_TEXT_NUMBER + 32], int64_t n, const char *one, const char *many)
{
	char number[PH_TEXT_NUMBER];
	snprintf(buf, PH_TEXT_NUMBER + 32, "%s %.30s", ph_text_count(number, n, false), n == 1 ? one : many);
	return buf;
}

static void put_target(struct ph_render *r, const json_t *target)
{
	const char *path = ph_json_string(target, "path"), *script = ph_json_string(target, "script");
	int64_t pid = ph_json_int(target, "pid");
	if (strcmp(ph_json_string(target, "kind"), "core"))
		ph_out_printf(r->out, "process %lld", (long long)pid);
	else if (*path)
		ph_out_puts(r->out, "core "), ph_text_put(r, path);
	else
		ph_out_puts(r->out, "core on standard input");
	if (*script)
		ph_out_puts(r->out, " ("), ph_text_put(r, script), ph_out_puts(r->out, ")");
	if (*ph_json_string(target, "exe"))
		ph_out_puts(r->out, ", "), ph_text_put(r, ph_json_string(target, "exe"));
}

void ph_text_run(struct ph_render *r, const json_t *run, const char *prefix)
{
	const json_t *pause = ph_json_at(run, "pause_ms");
	const char *at = ph_json_string(run, "captured_at");
	if (!r->header)
		return;
	ph_text_style(r, PH_DIM);
	ph_out_puts(r->out, prefix);
	put_target(r, ph_json_at(run, "target"));
	if (strlen(at) == 20) {
		ph_out_puts(r->out, ", ");
		char time[32];
		snprintf(time, sizeof time, "%.10s %.8s UTC", at, at + 11);
		ph_text_put(r, time);
	}
	if (json_is_number(pause))
		ph_out_printf(r->out, ", paused %.1f ms", json_number_value(pause));
	ph_text_style(r, PH_PLAIN);
	ph_out_puts(r->out, "\n");
}

/* ---- notes -------------------------------------------------------------------------- */

static const char *note_text(const char *kind)
{
	for (int k = 0; k < PH_NOTE_KINDS; k++)
		if (!strcmp(ph_note_name((enum ph_note_kind)k), kind))
			return ph_note_text((enum ph_note_kind)k);
	return kind;
}

static void put_note(struct ph_render *r, const json_t *note)
{
	char count[PH_TEXT_NUMBER];
	const char *example = ph_json_string(note, "example");
	ph_out_printf(r->out, "  %s ", ph_text_count(count, ph_json_int(note, "count"), false));
	ph_text_put(r, note_text(ph_json_string(note, "kind")));
	if (*example)
		ph_out_puts(r->out, ", the first at "), ph_text_put(r, example);
	ph_out_puts(r->out, "\n");
}

void ph_text_notes(struct ph_render *r)
{
	const json_t *notes = json_object_get(r->doc, "notes"), *complete = json_object_get(r->doc, "complete");
	double coverage = ph_json_number(r->doc, "coverage");
	if (json_is_false(complete)) {
		ph_text_style(r, PH_RED);
		ph_out_puts(r->out, "Incomplete: something could not be read.");
		ph_text_style(r, PH_PLAIN);
		ph_out_puts(r->out, "\n");
	}
	if (json_object_get(r->doc, "coverage") && coverage < 1)
		ph_out_printf(r->out, "Coverage %.2f %%: size and references of the other objects are estimates.\n",
			      (double)(int64_t)(coverage * 1e4) / 100);
	if (json_array_size(notes))
		ph_out_puts(r->out, "Notes:\n");
	for (size_t i = 0; i < json_array_size(notes); i++)
		put_note(r, json_array_get(notes, i));
}
