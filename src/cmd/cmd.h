/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd: options, wiring, exit status. A command is one file cmd_NAME.c that
 * exports a struct ph_cmd, and its row in commands.c. */
#ifndef PYHEAP_CMD_H
#define PYHEAP_CMD_H

#include <pyheap/graph.h>
#include <pyheap/layout.h>
#include <pyheap/object.h>
#include <pyheap/report.h>
#include <pyheap/runtime.h>
#include <pyheap/snapshot.h>
#include <pyheap/target.h>

/* ---- options ------------------------------------------------------------------ */

enum ph_option_id {
#define PH_OPTION(id, letter, name, arg, kind, member, help) PH_OPT_##id,
#include "options.def"
#undef PH_OPTION
	PH_OPTIONS
};
#define PH_TAKES(id) (1ull << PH_OPT_##id)

/* Every command takes these … */
#define PH_TAKES_ALWAYS PH_TAKES(HELP)
/* … those that write a report, */
#define PH_TAKES_OUTPUT \
	(PH_TAKES(FORMAT) | PH_TAKES(JSON) | PH_TAKES(OUTPUT) | PH_TAKES(FORCE) | PH_TAKES(COLOR) | \
	 PH_TAKES(BYTES) | PH_TAKES(NO_HEADER) | PH_TAKES(QUIET) | PH_TAKES(STRICT))
/* … and those that read a target. */
#define PH_TAKES_TARGET \
	(PH_TAKES(EXE) | PH_TAKES(SYSROOT) | PH_TAKES(LIB_SEARCH_PATH) | PH_TAKES(DEBUG_FILE) | PH_TAKES(LAYOUT) | PH_TAKES(DEBUGINFOD) | \
	 PH_TAKES(PAUSE) | \
	 PH_TAKES(LOW_MEMORY) | PH_TAKES(STOP_TIMEOUT) | PH_TAKES(EXEC) | PH_TAKES(NO_EXEC) | PH_TAKES(VERIFY) | \
	 PH_TAKES(PROGRESS) | PH_TAKES(VERBOSE))

enum ph_option_kind {
	PH_OPTION_FLAG,    /* bool */
	PH_OPTION_STRING,  /* const char * */
	PH_OPTION_FILE,    /* the same, for completion */
	PH_OPTION_CHOICE,  /* the same, one of "a|b|c" in `arg` */
	PH_OPTION_COUNT,   /* struct ph_opt_count */
	PH_OPTION_SIZE,    /* struct ph_opt_count */
	PH_OPTION_NUMBER,  /* struct ph_opt_number, ≥ 0 */
	PH_OPTION_MAX,     /* TYPE=N, appended to struct ph_opt_maxima */
	PH_OPTION_LIST,    /* a string, appended to struct ph_opt_list */
};
struct ph_opt_count {
	bool given;
	uint64_t n;
};
struct ph_opt_number {
	bool given;
	double x;
};
struct ph_opt_maxima PH_VEC(struct ph_max_count);
struct ph_opt_list PH_VEC(const char *);

/* Values as given; strings are borrowed from argv. Zeroed = nothing given. */
struct ph_options {
	struct ph_opt_count limit, min_size, max_growth_bytes;
	struct ph_opt_number stop_timeout, max_growth;
	struct ph_opt_maxima max_count;
	struct ph_opt_list through, avoid;
	const char *sort, *format, *output, *exe, *sysroot, *lib_search_path, *debug_file, *layout, *debuginfod, *pause, *color, *progress;
	const char *type, *generation, *by, *interpreter;
	bool no_retained, json, force, low_memory, strict, values, quiet, verbose, bytes, no_header;
	bool all, refs, roots, exec, no_exec, verify, compress, help;
	struct PH_VEC(char *) owned; /* copies that max_count borrows */
};
struct ph_option {
	char letter;       /* 0 = none */
	const char *name;
	const char *arg;   /* "FILE", "text|json"; NULL = takes none */
	enum ph_option_kind kind;
	size_t offset;     /* in struct ph_options */
	const char *help;
};
extern const struct ph_option ph_option_table[PH_OPTIONS];

struct ph_cmd;
/* Parses argv[1..argc); *ret_first is the index of the first argument that is no
 * option (arguments are moved behind the options). */
struct ph_err *ph_options_parse(const struct ph_cmd *cmd, int argc, char **argv,
				struct ph_options *ret, int *ret_first);
void ph_options_deinit(struct ph_options *opt);

/* ---- commands -------------------------------------------------------------------- */

struct ph_run {
	const struct ph_cmd *cmd;
	const struct ph_options *opt;
	struct ph_messages *messages;
	int argc;
	char **argv;  /* arguments that are no options */
	int status;   /* exit status when no error is returned */
	void *context; /* of the command's own functions */
};
struct ph_cmd {
	const char *name, *arguments; /* "top", "TARGET" */
	const char *summary;          /* one line */
	const char *details;          /* paragraphs of -h; may be NULL */
	uint64_t takes;               /* PH_TAKES() of its options */
	int min_args, max_args;       /* max_args < 0: any number */
	uint64_t text_limit;          /* rows of text without -n; 0 = all */
	struct ph_err *(*run)(struct ph_run *run);
};
extern const struct ph_cmd *const ph_cmds[]; /* up to NULL */
const struct ph_cmd *ph_cmd_find(const char *name);

/* The whole program: argv → exit status. */
int ph_main(int argc, char **argv);
/* "pyheap COMMAND -h" and "pyheap -h". */
void ph_help_command(struct ph_out *out, const struct ph_cmd *cmd);
void ph_help_all(struct ph_out *out);

/* ---- what commands share ------------------------------------------------------------ */

enum ph_source_kind { PH_SOURCE_TARGET, PH_SOURCE_REPORT, PH_SOURCE_SNAPSHOT, PH_SOURCE_BINARY };
/* TARGET told apart. Standard input ("-") is spooled to an unlinked file, and so are
 * snapshots and reports that somebody has packed. */
struct ph_source {
	enum ph_source_kind kind;
	const char *name;  /* as given; borrowed from argv */
	char *path;        /* what to open */
	bool is_stdin;
	int fd;            /* keeps the spooled file; −1 = none */
};
struct ph_err *ph_source_open(const char *what, struct ph_messages *messages, struct ph_source *ret);
void ph_source_close(struct ph_source *s);

/* A target read to its graph, or a snapshot of one: then there is no target, layout or rt. */
struct ph_session {
	struct ph_notes notes;
	struct ph_snapshot *snapshot;
	json_t *meta_doc;              /* of the snapshot: owns what meta has */
	struct ph_target *target;
	struct ph_runtime_places places; /* where Python may be */
	size_t place;                  /* the one that is read */
	struct ph_python python;       /* that one */
	struct ph_layouts layouts;     /* that it may have */
	bool tried_files;              /* some of them were of another build, and did not fit */
	const struct ph_layout *layout; /* the one of them that it has */
	struct ph_runtime *rt;
	struct ph_objects_options replay;
	struct ph_graph *graph;        /* the snapshot's, where there is one */
	struct ph_report_meta meta;
	char version[32];
	char *script;
	uint64_t stopped_since;        /* --low-memory: until it is closed; 0 = not stopped */
	struct ph_messages *messages;  /* borrowed */
};
struct ph_err *ph_session_open(const struct ph_source *source, const struct ph_run *run,
			       struct ph_session *ret);
/* Its first steps alone (interpreter.c), for commands that ask about the target and not about
 * its heap. The target opened, and the layouts found that it may have; */
struct ph_err *ph_session_begin(const struct ph_source *source, const struct ph_run *run, struct ph_session *s);
/* its memory captured, and the runtime read with the layout that fits; */
struct ph_err *ph_session_capture(const struct ph_run *run, struct ph_session *s);
/* the objects read, which proves a layout that was not made of this build. */
struct ph_err *ph_session_read(const struct ph_source *source, const struct ph_run *run, struct ph_session *s);
void ph_session_close(struct ph_session *s);
/* Opens the run's TARGET, which must not be a report (else error 2 with this hint), and
 * calls fn with it. */
struct ph_err *ph_session_with(const struct ph_run *run, const char *hint, void *ctx,
			       struct ph_err *(*fn)(struct ph_session *s, const struct ph_run *run, void *ctx));
/* Whether the objects' own code is run, for a target that has been captured. */
struct ph_objects_options ph_cmd_replay_options(const struct ph_source *source, const struct ph_options *opt,
						const struct ph_session *s);
const char *ph_arch_name(uint16_t machine);
/* --interpreter: has the session's graph be about that one alone. */
struct ph_err *ph_session_select(const struct ph_source *source, const struct ph_run *run, struct ph_session *s);
/* Who holds the objects from outside the graph; to be freed with ph_excess_free(), also
 * after an error. */
struct ph_err *ph_cmd_roots(const struct ph_session *s, struct ph_excess **ret);
/* The object at 0xADDRESS. Error 2: there is none, but perhaps around there. */
struct ph_err *ph_cmd_find_address(const struct ph_graph *g, const char *text, uint32_t *ret);
struct ph_err *ph_cmd_no_such(const char *what);
/* How keys that are values are shown in this run's report. */
void ph_cmd_keys(const struct ph_session *s, const struct ph_run *run, struct ph_report_keys *ret);
/* The script's name (or "-c", "-m NAME") of an interpreter's command line; owned
 * by the caller, NULL when there is none. */
char *ph_script_name(char *const *argv, size_t argc);

/* Makes a command's document from a session. */
typedef struct ph_err *ph_document_fn(struct ph_session *s, const struct ph_run *run, json_t **ret);
/* The document of TARGET: read from a report of this command, or made by `make`. */
struct ph_err *ph_cmd_document(const struct ph_run *run, const char *command, const char *what,
			       ph_document_fn *make, json_t **ret);
/* All of a command that prints the document of its one TARGET. */
struct ph_err *ph_cmd_answer(struct ph_run *run, ph_document_fn *make);
/* The document of `top`, which `diff` needs too. */
ph_document_fn ph_top_document;
/* Error 2 unless --by is one of "a|b" or not given. */
struct ph_err *ph_cmd_check_by(const struct ph_run *run, const char *choices);

/* Where and how the answer is written; opened before the work begins. */
struct ph_answer {
	struct ph_out *out;
	const struct ph_format *format;
	struct ph_render render;
};
struct ph_err *ph_answer_open(const struct ph_run *run, struct ph_answer *ret);
/* Sorts and cuts the document and writes it. Takes over neither. */
struct ph_err *ph_answer_print(struct ph_answer *a, const struct ph_run *run, json_t *doc);
/* Closes; a file is kept when err is NULL. Takes over err, returns the first one. */
struct ph_err *ph_answer_close(struct ph_answer *a, struct ph_err *err);
/* Whether keys that are values may be shown: a terminal's text, or --values. */
bool ph_answer_shows_keys(const struct ph_run *run);
/* What --strict refuses, and what formats without notes would hide. */
struct ph_err *ph_answer_doubts(const struct ph_answer *a, const struct ph_run *run, const json_t *doc);

#endif
