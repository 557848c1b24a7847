/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of src/report share. document.c and doc_*.c build documents,
 * rows.c sorts and cuts their rows, views.c says what each command's document
 * has, formats.c and text*.c render. */
#ifndef PYHEAP_REPORT_PRIV_H
#define PYHEAP_REPORT_PRIV_H

#include <pyheap/report.h>

#define PH_REPORT_SCHEMA "pyheap.report/1"

/* ---- progress -------------------------------------------------------------------- */

#define PH_ERASE_LINE "\r\033[K"
#define PH_PROGRESS_TEXT 128
/* "reading objects ... 43 %, 8.1 M objects/s", of what is known; seconds when nothing is. */
void ph_progress_text(char buf[PH_PROGRESS_TEXT], const char *phase, uint64_t phase_start,
		      const struct ph_progress *p, uint64_t now);
/* A thread that shows it from time to time; NULL: none could be had, and all others take that. */
struct ph_ticker *ph_ticker_start(struct ph_messages *m);
/* While m's phase changes and others write to stderr. */
void ph_ticker_lock(struct ph_ticker *t);
void ph_ticker_unlock(struct ph_ticker *t);
void ph_ticker_stop(struct ph_ticker *t);

/* ---- building ------------------------------------------------------------------ */

/* The members that top, cycles and objects begin with. */
json_t *ph_document_begin(const char *command, const struct ph_report_meta *meta,
			  const struct ph_graph *g);
/* Pieces of it. */
json_t *ph_json_run(const struct ph_report_meta *m);
json_t *ph_json_python(const struct ph_report_meta *m);
json_t *ph_json_notes(const struct ph_notes *notes);
/* Takes over `value`; false (and doc is unchanged) when either is NULL. */
bool ph_document_put(json_t *doc, const char *key, json_t *value);
json_t *ph_json_u64(uint64_t n);         /* what does not fit is INT64_MAX */
json_t *ph_json_text(const char *s);     /* NULL → null; made valid UTF-8 */
json_t *ph_json_address(ph_addr addr);
/* What stands for a value that is not shown: "'…3fa9'". */
void ph_hidden_text(const struct ph_report_keys *keys, const char *value, char buf[16]);
/* Where a path begins; e may be NULL. */
json_t *ph_json_root(const struct ph_graph *g, const struct ph_path *p, struct ph_excess *e);
/* Its steps; folded: places in containers and keys that are values are left out. */
json_t *ph_json_steps(const struct ph_graph *g, const struct ph_path *p, const struct ph_report_keys *keys,
		      bool folded);
/* All steps' via in one string. */
json_t *ph_json_reading(const json_t *steps);
/* {root, reading} of a path, or null when it has none; e may be NULL. */
json_t *ph_json_path(const struct ph_graph *g, const struct ph_path *p, struct ph_excess *e,
		     const struct ph_report_keys *keys);
/* One reference of an object, as `why` would write it; NULL = out of memory. */
json_t *ph_json_via(const struct ph_graph *g, uint32_t node, uint64_t edge, const struct ph_report_keys *keys);
/* interps.c. An interpreter's ID, or "shared"; */
json_t *ph_json_interp(const struct ph_graph *g, uint32_t interp);
/* a row that tells it where there is more than one; and a document that tells what each has, and
 * which is asked about. Both take over their first argument, and return NULL where they cannot. */
json_t *ph_row_interp(json_t *row, const struct ph_graph *g, uint32_t interp);
json_t *ph_document_interps(json_t *doc, const struct ph_report_meta *m, const struct ph_graph *g);
json_t *ph_json_generation(const struct ph_report_meta *meta, const struct ph_graph *g, uint32_t node);
json_t *ph_json_suspects(const struct ph_report_meta *meta, const struct ph_graph *g, const struct ph_suspects *s,
			 const struct ph_report_keys *keys);
/* The name of an object, or null. */
json_t *ph_json_name(const struct ph_graph *g, uint32_t node);
uint64_t ph_hash_keyed(const uint8_t secret[16], const void *bytes, size_t n);

/* ---- reading documents, which may be anything ----------------------------------- */

/* The value at "delta.count", "values.0.count"; NULL when there is none. */
const json_t *ph_json_at(const json_t *from, const char *path);
int64_t ph_json_int(const json_t *from, const char *path);      /* 0 = none */
double ph_json_number(const json_t *from, const char *path);    /* 0 = none */
const char *ph_json_string(const json_t *from, const char *path); /* "" = none */
/* a + b, kept within the range. */
int64_t ph_add_i64(int64_t a, int64_t b);

/* ---- views: what a command's document has ------------------------------------------ */

struct ph_sort_key {
	const char *name;
	const char *paths[2]; /* integers whose sum decides, biggest first; none: by "type" */
};
struct ph_view {
	const char *command;
	const char *by;               /* of the same command with --by; NULL: without */
	const char *rows;             /* key of the array of rows */
	const char *unit;             /* what a row is, in text: "types" */
	struct ph_sort_key sorts[6];
	const char *size[2];          /* sum that --min-size looks at; a null falls back to size_else */
	const char *size_else[2];
	const char *omitted[4];       /* integers of a row that `omitted` sums up */
	const char *const *columns;   /* of CSV: paths; '#' stands for each run */
	void (*text_begin)(struct ph_render *r);
	void (*text_row)(struct ph_render *r, const json_t *row);
	void (*text_end)(struct ph_render *r);
};
const struct ph_view *ph_view_find(const char *command); /* without --by; NULL = unknown */
const struct ph_view *ph_view_of(const json_t *doc);     /* NULL = unknown */

void ph_text_nothing(struct ph_render *r);
void ph_text_top(struct ph_render *r);
void ph_text_holdings(struct ph_render *r);
void ph_text_cycles(struct ph_render *r);
void ph_text_diff(struct ph_render *r);
void ph_text_why(struct ph_render *r);
void ph_text_dominators(struct ph_render *r);
void ph_text_explain(struct ph_render *r);
void ph_text_threads(struct ph_render *r);
void ph_text_doctor(struct ph_render *r);
void ph_text_objects_begin(struct ph_render *r);
void ph_text_objects_row(struct ph_render *r, const json_t *row);

/* ---- pieces of text ------------------------------------------------------------------ */

/* Cells in columns as wide as need be; the last column is shortened to fit. */
struct ph_table {
	unsigned ncolumns;
	uint32_t right;  /* bit i: column i is aligned to the right */
	struct PH_VEC(char *) cells; /* row by row, the heads first */
	bool nomem;
};
void ph_table_add(struct ph_table *t, const char *text); /* made printable */
void ph_table_addf(struct ph_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ph_table_count(struct ph_table *t, int64_t n, bool sign);
void ph_table_size(struct ph_table *t, const struct ph_render *r, int64_t bytes, bool sign);
/* Prints it and frees the cells. */
void ph_table_print(struct ph_table *t, struct ph_render *r);

enum ph_style { PH_PLAIN, PH_BOLD, PH_DIM, PH_RED, PH_GREEN };
/* Switches colours on or, with PH_PLAIN, off; nothing without r->color. */
void ph_text_style(struct ph_render *r, enum ph_style style);
/* Puts target text on the page. */
void ph_text_put(struct ph_render *r, const char *s);
/* The line with what varies from run to run; prefix "" or "1: ". */
void ph_text_run(struct ph_render *r, const json_t *run, const char *prefix);
/* The table of interpreters, where there is more than one. */
void ph_text_interps(struct ph_render *r);
/* A line that says which one is asked about. */
void ph_text_asked_interp(struct ph_render *r);
/* "interpreter 3" of a row that tells it, with something before it. */
void ph_text_interp(struct ph_render *r, const json_t *row, const char *before);
/* Coverage and notes in plain words. */
void ph_text_notes(struct ph_render *r);
/* "module app .cache['users']" of {root, reading}; cut to max. */
void ph_text_path(const json_t *path, char *buf, size_t max);
/* Findings in words, and the commands that show more. */
void ph_text_suspects(struct ph_render *r, const json_t *suspects, const json_t *run);
/* "1 object", "2,000 objects" */
const char *ph_text_plural(char buf[PH_TEXT_NUMBER + 32], int64_t n, const char *one, const char *many);

#endif
