/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap layout: where the members of an interpreter's structs are. */
#include "cmd.h"

/* Whether the process has to be read for it: to tell which layout it is, or, up to 3.10,
 * which version. */
static bool must_capture(const struct ph_session *s)
{
	return s->target->kind != PH_TARGET_FILES &&
	       (s->layouts.n > 1 || !s->layouts.items[0]->own || !s->python.hexversion);
}

static struct ph_err *choose(struct ph_session *s, const struct ph_run *run)
{
	struct ph_err *err = must_capture(s) ? ph_session_capture(run, s) : NULL;
	ph_messages_phase(run->messages, NULL);
	if (err)
		return err;
	s->layout = s->rt ? s->rt->layout : s->layouts.items[0];
	if (s->rt) {
		s->python.hexversion = s->rt->hexversion;
		s->python.debug = s->rt->debug_build;
	}
	if (s->layouts.n > 1 && !s->rt)
		return ph_err_hint(ph_err_new(PH_ERR_LAYOUT, "%s: %zu layouts are of this version, and only a process can "
					      "tell which one fits", run->argv[0], s->layouts.n), "give a process ID");
	return NULL;
}

static json_t *make_document(const struct ph_session *s)
{
	char version[32] = "";
	struct PH_VEC(struct ph_report_layout_row) rows = { 0 };
	struct ph_layout_row r;
	bool ok = true;
	for (size_t i = 0; ok && ph_layout_row(s->layout, i, &r); i++)
		ok = PH_VEC_PUSH(&rows, (struct ph_report_layout_row){
			.kind = r.kind, .name = r.name, .present = r.member.present, .array = r.member.stride,
			.bitfield = r.member.bits, .offset = r.member.offset, .size = r.member.size,
			.stride = r.member.stride, .bit = r.member.bit, .bits = r.member.bits, .value = r.value });
	if (s->python.hexversion)
		ph_version_text(s->python.hexversion, version);
	const struct ph_report_layout layout = {
		.source = s->layout->source, .origin = s->layout->origin, .build_id = s->layout->build_id,
		.version = version, .arch = ph_arch_name(s->target->machine), .debug_build = s->python.debug > 0,
		.free_threaded = s->python.free_threaded > 0, .proven = s->layout->own || s->rt, .rows = rows.items,
		.n = rows.n,
	};
	json_t *doc = ok ? ph_report_layout(&layout) : NULL;
	ph_vec_free(&rows);
	return doc;
}

static struct ph_err *print_file(const struct ph_session *s, struct ph_out *out)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	if (!f)
		return ph_err_nomem();
	bool failed = !ph_layout_print(f, s->layout, s->target->machine, &s->python);
	failed |= fclose(f) != 0;
	if (!failed)
		ph_out_write(out, text, n);
	free(text);
	return failed ? ph_err_nomem() : NULL;
}

static struct ph_err *print(struct ph_session *s, const struct ph_run *run, struct ph_answer *a)
{
	if (!strcmp(a->format->name, "text"))
		return print_file(s, a->out);
	json_t *doc = make_document(s);
	struct ph_err *err = doc ? ph_answer_print(a, run, doc) : ph_err_nomem();
	json_decref(doc);
	return err;
}

static struct ph_err *layout_of(const struct ph_source *source, struct ph_run *run, struct ph_answer *a)
{
	struct ph_session s = { 0 };
	struct ph_err *err = source->kind == PH_SOURCE_REPORT || source->kind == PH_SOURCE_SNAPSHOT
				     ? ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s holds no layout", source->name),
						   "give a process, a core, or the interpreter's program")
				     : ph_session_begin(source, run, &s);
	if (!err)
		err = choose(&s, run);
	if (!err)
		err = print(&s, run, a);
	ph_session_close(&s);
	return err;
}

static struct ph_err *layout_run(struct ph_run *run)
{
	struct ph_answer answer;
	struct ph_source source;
	struct ph_err *err = ph_answer_open(run, &answer);
	if (err)
		return err;
	err = ph_source_open(run->argv[0], run->messages, &source);
	if (!err) {
		if (source.kind == PH_SOURCE_TARGET && !source.is_stdin && ph_target_is_elf(source.path))
			source.kind = PH_SOURCE_BINARY;
		err = layout_of(&source, run, &answer);
		ph_source_close(&source);
	}
	return ph_answer_close(&answer, err);
}

const struct ph_cmd ph_cmd_layout = {
	.name = "layout",
	.arguments = "TARGET|BINARY",
	.summary = "where the members of the interpreter's structs are, and how that is known",
	.details =
		"Prints the layout as a file that --layout takes, here or on other machines: made\n"
		"once where the interpreter's debug information is installed, it serves all that run\n"
		"the same build. Files in $XDG_CONFIG_HOME/pyheap/layouts (~/.config/pyheap/layouts)\n"
		"and /etc/pyheap/layouts whose names end in .layout are found without being named.\n"
		"BINARY is the program or libpython of an interpreter that does not run.\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES(FORMAT) | PH_TAKES(JSON) | PH_TAKES(OUTPUT) | PH_TAKES(FORCE) | PH_TAKES(EXE) |
		 PH_TAKES(SYSROOT) | PH_TAKES(LIB_SEARCH_PATH) | PH_TAKES(DEBUG_FILE) | PH_TAKES(LAYOUT) | PH_TAKES(DEBUGINFOD) | PH_TAKES(PAUSE) | PH_TAKES(LOW_MEMORY) |
		 PH_TAKES(STOP_TIMEOUT) | PH_TAKES(PROGRESS) | PH_TAKES(QUIET) | PH_TAKES(VERBOSE),
	.min_args = 1,
	.max_args = 1,
	.run = layout_run,
};
