/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report: analysis structs → documents (JSON objects) → formats, and the only
 * stage that writes: to the report's file or stdout, and messages to stderr.
 *
 * docs/report.schema.json says what the documents hold. Documents are built by
 * pure functions and rendered by others that see nothing but the document. */
#ifndef PYHEAP_REPORT_H
#define PYHEAP_REPORT_H

#include <jansson.h>
#include <sys/types.h>
#include <time.h>
#include <pyheap/analysis.h>

/* ---- where output goes ------------------------------------------------------- */

/* A buffered file whose first error is kept: write on, ask at the end. */
struct ph_out;
/* path NULL or "-": standard output. A regular file is written beside itself
 * and renamed by ph_out_close(); an existing one is refused without `force`. */
struct ph_err *ph_out_open(const char *path, bool force, struct ph_out **ret);
void ph_out_write(struct ph_out *out, const char *bytes, size_t n);
void ph_out_puts(struct ph_out *out, const char *text);
void ph_out_printf(struct ph_out *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* An error has occurred, or a signal: stop producing. */
bool ph_out_failed(const struct ph_out *out);
bool ph_out_is_terminal(const struct ph_out *out);
/* Columns of the terminal; 0 = not one. */
int ph_out_width(const struct ph_out *out);
/* Flushes and, with `keep`, gives the file its name; else removes it. Frees. */
struct ph_err *ph_out_close(struct ph_out *out, bool keep);

/* ---- messages, on stderr -------------------------------------------------------- */

struct ph_messages {
	bool quiet;       /* errors only */
	bool timings;     /* -v: how long each phase took */
	bool progress;    /* name the phase at work … */
	bool in_place;    /* … in one line of a terminal that is overwritten */
	const char *phase;
	uint64_t phase_start;
	char detail[96];  /* what the phase's time was needed for */
	struct ph_ticker *ticker; /* tells more of a phase that takes long; NULL: there is none */
};
/* A new phase of the work begins ("copying memory"); NULL: all done. */
void ph_messages_phase(struct ph_messages *m, const char *phase);
/* What is to stand behind the time of the phase at work. */
void ph_messages_detail(struct ph_messages *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "pyheap: …", unless quiet. */
void ph_messages_say(struct ph_messages *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What failed and what to try next. */
void ph_messages_error(struct ph_messages *m, const struct ph_err *err);

/* ---- text for people --------------------------------------------------------------- */

/* Valid UTF-8 with bytes that are not turned into \xNN; owned by the caller, NULL
 * when memory is out. */
char *ph_text_utf8(const char *s);
/* The same, and control characters and such as change the direction of writing
 * as \xNN or \uNNNN: safe on a terminal. */
char *ph_text_printable(const char *s);
/* Columns that printable text takes. */
size_t ph_text_width(const char *s);
/* At most `width` columns, shortened in the middle; owned by the caller. */
char *ph_text_shorten(const char *s, size_t width);
#define PH_TEXT_NUMBER 48
/* "12,345"; sign: "+12,345". */
const char *ph_text_count(char buf[PH_TEXT_NUMBER], int64_t n, bool sign);
/* "1.2 MiB", or the bytes as they are. */
const char *ph_text_size(char buf[PH_TEXT_NUMBER], int64_t bytes, bool sign, bool plain);

/* ---- documents ------------------------------------------------------------------------ */

/* What there is to say about a run besides the graph; all borrowed. */
struct ph_report_meta {
	struct timespec captured_at;
	double pause_ms;            /* negative = not stopped */
	bool process;               /* else a core */
	pid_t pid;                  /* 0 = unknown */
	const char *path, *exe, *script;         /* NULL = none */
	const char *layout_source, *build_id;    /* "" = none */
	const char *version, *arch;
	bool debug_build, free_threaded;
	uint64_t interpreters;
	const char *interpreter;    /* that is asked about: its ID, or "shared"; NULL = all */
	uint64_t rss_bytes;         /* 0 = unknown */
	const struct ph_notes *notes;
};

/* The same as a text for a snapshot, owned by the caller; NULL = out of memory. */
char *ph_report_meta_text(const struct ph_report_meta *meta);
/* And back. doc owns the strings of meta; notes are those it points to. Error 2: it is none. */
struct ph_err *ph_report_meta_read(const char *text, struct ph_notes *notes, struct ph_report_meta *ret,
				   json_t **ret_doc);

/* How a key that is a value (not a name) is shown. */
struct ph_report_keys {
	bool shown;          /* as it is; else as a hash … */
	uint8_t secret[16];  /* … under this key */
};

/* All documents: a new reference, NULL when memory is out. */
json_t *ph_report_top(const struct ph_report_meta *meta, const struct ph_graph *g,
		      const struct ph_histogram *h);

/* What stands at the end of `top` and its like: findings in words. */
bool ph_report_add_suspects(json_t *doc, const struct ph_report_meta *meta, const struct ph_graph *g,
			    const struct ph_suspects *suspects, const struct ph_report_keys *keys);
/* These alone as text: of a document's `suspects`, whose run is `run`. */
void ph_render_suspects(struct ph_out *out, bool bytes, const json_t *suspects, const json_t *run);
json_t *ph_report_holdings(const struct ph_report_meta *meta, const struct ph_graph *g,
			   const struct ph_holdings *h);

/* Puts the hash in a label's place, unless it may be shown. keys: struct ph_report_keys. */
void ph_report_hide(const void *keys, struct ph_label *label);

json_t *ph_report_cycles(const struct ph_report_meta *meta, const struct ph_graph *g,
			 const struct ph_cycles *c);

/* The paths to one object, or to all instances of a type. */
struct ph_report_why {
	const char *type;           /* of the object, or asked for */
	uint32_t node;              /* 0: all instances */
	uint64_t count, garbage;    /* objects; of these no root reaches so many, … */
	uint64_t unreached;         /* … and so many others are on no path as asked for */
	const struct ph_path_group *groups;
	uint32_t n;
	const struct ph_dominators *dominators; /* NULL: no retained sizes */
	struct ph_excess *excess;   /* names what C code holds; NULL: it is just called C */
};
json_t *ph_report_why(const struct ph_report_meta *meta, const struct ph_graph *g,
		      const struct ph_report_why *why, const struct ph_report_keys *keys);

/* The heaviest objects of the heap, or of what one object dominates. */
struct ph_report_dominators {
	uint32_t of;              /* 0: of the heap */
	const char *by;           /* "type", "module", "package"; NULL: one by one */
	const struct ph_heaviest *heaviest;
	const struct ph_dominators *dominators;
	const struct ph_reach *reach;
};
json_t *ph_report_dominators(const struct ph_report_meta *meta, const struct ph_graph *g,
			     const struct ph_report_dominators *what, const struct ph_report_keys *keys);

/* All about one object. */
struct ph_report_explain {
	uint32_t node;
	const struct ph_path *path;        /* the best one; n = 0: none */
	const struct ph_dominators *dominators;
	struct ph_excess *excess;
	const struct ph_referrers *referrers;
	uint64_t limit;                    /* references listed of each direction; 0 = all */
};
json_t *ph_report_explain(const struct ph_report_meta *meta, const struct ph_graph *g,
			  const struct ph_report_explain *what, const struct ph_report_keys *keys);

json_t *ph_report_threads(const struct ph_report_meta *meta, const struct ph_graph *g, const struct ph_dominators *d,
			  const struct ph_stacks_result *s, const struct ph_report_keys *keys);

/* A layout: where it comes from, and its rows. */
struct ph_report_layout_row {
	char kind;                  /* 'F' a member, 'S' a size, 'E' an enumerator */
	const char *name;
	bool present, array, bitfield;
	uint32_t offset, size, stride, bit, bits;
	int64_t value;              /* of S and E */
};
struct ph_report_layout {
	const char *source, *origin, *build_id; /* "" = none */
	const char *version;        /* "" = not known */
	const char *arch;
	bool debug_build, free_threaded;
	bool proven;                /* made of this build, or checked against the target */
	const struct ph_report_layout_row *rows;
	size_t n;
};
json_t *ph_report_layout(const struct ph_report_layout *layout);

/* What stands in the way of reading a target, or does not. */
struct ph_report_doctor {
	const char *target;                /* as given */
	int status;                        /* that a report would end with; 0: it can be read */
	const struct ph_findings *findings;
};
json_t *ph_report_doctor(const struct ph_report_doctor *doctor);

/* Without rows: those are streamed. */
json_t *ph_report_objects(const struct ph_report_meta *meta, const struct ph_graph *g);
json_t *ph_report_object(const struct ph_report_meta *meta, const struct ph_graph *g, uint32_t node,
			 bool refs);
/* Adds an object's excess and its holders to its row; false when memory is out. */
bool ph_report_object_roots(json_t *row, struct ph_excess *e, uint32_t node);

struct ph_max_count {
	const char *type;
	uint64_t count;
};
struct ph_thresholds {
	bool has_growth, has_growth_bytes;
	double growth;              /* percent of the first report's shallow + uncounted */
	uint64_t growth_bytes;
	const struct ph_max_count *counts; /* objects of a type in the last report */
	size_t ncounts;
};
/* Compares `top` documents, n ≥ 2, all of them with the same --by. */
struct ph_err *ph_report_diff(json_t *const *docs, uint32_t n, const struct ph_thresholds *limits,
			      json_t **ret);
bool ph_report_exceeded(const json_t *doc);
/* Adds to each type how many of its objects came after the first moment and stayed. */
struct ph_err *ph_report_add_survivors(json_t *doc, const struct ph_survivors_row *rows, uint32_t n);
/* For text: rows of types that neither grew nor shrank go. */
struct ph_err *ph_report_drop_unchanged(json_t *doc);

/* Reads a report from a file and checks that it is one. `name` is for messages. */
struct ph_err *ph_report_load(const char *path, const char *name, json_t **ret);
/* The command that made it, and its --by; "" when it does not say. */
const char *ph_report_command(const json_t *doc);
const char *ph_report_by(const json_t *doc);
/* The interpreter whose objects it is about, or that a row of it is of: "3", "shared"; "" = all. */
const char *ph_report_interpreter(const json_t *doc, char buf[24]);
/* Two documents are of the same process: PID and program are known and equal. */
bool ph_report_same_process(const json_t *a, const json_t *b);
/* Rows were left out of it. */
bool ph_report_is_cut(const json_t *doc);
/* NULL: nothing is missing and all is exact; else why not, owned by the caller. */
char *ph_report_doubts(const json_t *doc);

/* Error 2: the command's rows cannot be sorted by this key. */
struct ph_err *ph_report_sort_check(const char *command, const char *key);
/* Sorts the rows by one of the command's keys. */
struct ph_err *ph_report_sort(json_t *doc, const char *key);
/* The keys of a command, comma-separated, into buf. */
void ph_report_sort_keys(const char *command, char *buf, size_t max);
/* Keeps the rows of at least min_size bytes, and of these the first `limit`
 * (0 = all); what is left out is summed up in `omitted`. */
struct ph_err *ph_report_cut(json_t *doc, uint64_t limit, uint64_t min_size);

/* ---- formats ------------------------------------------------------------------------------- */

struct ph_render {
	const json_t *doc;
	struct ph_out *out;
	int width;       /* columns; 0 = as wide as need be */
	bool bytes;      /* sizes as plain numbers */
	bool header;     /* the line with what varies from run to run */
	bool color;
	uint64_t limit;  /* of what is listed within a row; 0 = all */
	const char *more; /* how to see rows that were left out: "-n 0 lists all" */
	/* private to the renderers */
	const struct ph_view *view;
	uint64_t nrows;
	bool nomem;
};
struct ph_format {
	const char *name;
	void (*begin)(struct ph_render *r);
	void (*row)(struct ph_render *r, const json_t *row);
	void (*end)(struct ph_render *r);
};
extern const struct ph_format ph_formats[]; /* up to a row without name */
const struct ph_format *ph_format_find(const char *name);

/* A whole document. Errors of r->out are seen when that is closed. */
struct ph_err *ph_render(struct ph_render *r, const struct ph_format *format);
/* A document whose rows come one by one. */
struct ph_err *ph_render_begin(struct ph_render *r, const struct ph_format *format);
struct ph_err *ph_render_row(struct ph_render *r, const struct ph_format *format, const json_t *row);
struct ph_err *ph_render_end(struct ph_render *r, const struct ph_format *format);

#endif
