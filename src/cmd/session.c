/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way from TARGET to a graph: the one function that walks all stages (the first of
 * them in interpreter.c). */
#include <elf.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "cmd.h"

#define MAX_TORN 20 /* objects that were changing when the process was stopped */

const char *ph_arch_name(uint16_t machine)
{
	return machine == EM_X86_64 ? "x86_64" : machine == EM_AARCH64 ? "aarch64" : "unknown";
}

static void fill_meta(const struct ph_source *source, struct ph_session *s)
{
	const struct ph_target *t = s->target;
	s->layout = s->rt->layout;
	ph_runtime_version(s->rt, s->version);
	s->script = t->argv ? ph_script_name(t->argv, t->argc) : NULL;
	s->meta = (struct ph_report_meta){
		.captured_at = t->captured_at,
		.pause_ms = t->pause_ms,
		.process = t->kind == PH_TARGET_PROCESS,
		.pid = t->pid,
		.path = source->is_stdin ? NULL : t->path,
		.exe = t->exe,
		.script = s->script,
		.layout_source = s->layout->source,
		.build_id = s->layout->build_id,
		.version = s->version,
		.arch = ph_arch_name(t->machine),
		.debug_build = s->rt->debug_build,
		.free_threaded = s->rt->free_threaded,
		.interpreters = s->rt->ninterps,
		.rss_bytes = t->rss_bytes,
		.notes = &s->notes,
	};
}

/* Code of a core that somebody else has written is run only when asked for. */
struct ph_objects_options ph_cmd_replay_options(const struct ph_source *source, const struct ph_options *opt,
						const struct ph_session *s)
{
	struct stat st;
	bool own = s->target->kind == PH_TARGET_PROCESS ||
		   (!source->is_stdin && !stat(source->path, &st) && st.st_uid == geteuid());
	bool may = !opt->no_exec && (own || opt->exec || opt->verify);
	return (struct ph_objects_options){
		.replay = may,
		.separate = !own,
		.verify = opt->verify || (may && !s->rt->layout->own),
	};
}

static void say_differences(const struct ph_run *run, const struct ph_session *s)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < s->graph->ntypes; i++) {
		const struct ph_graph_type *t = &s->graph->types[i];
		if (!t->differs_at)
			continue;
		n += t->refs_differ + t->sizes_differ;
		ph_messages_say(run->messages, "verify: %s: %llu with other references, %llu with another size, the "
				"first at 0x%llx", t->name, (unsigned long long)t->refs_differ,
				(unsigned long long)t->sizes_differ, (unsigned long long)t->differs_at);
	}
	ph_messages_say(run->messages, "verify: %llu answers of the objects' own code compared, %llu differ",
			(unsigned long long)s->replay.verified, (unsigned long long)n);
}

/* A layout that was not made of this build has to show that it reads the heap consistently:
 * the objects' own code says the same, and nothing has more references than are counted. */
static struct ph_err *prove_layout(const struct ph_session *s)
{
	static const enum ph_note_kind wrong[] = { PH_NOTE_NEGATIVE_EXCESS, PH_NOTE_BAD_OBJECT, PH_NOTE_BAD_REFERENCE,
						   PH_NOTE_BAD_SIZE, PH_NOTE_BAD_TYPE };
	/* what is not there cannot be read with any layout */
	bool whole = !s->notes.kind[PH_NOTE_MISSING_PAGES].count && !s->notes.kind[PH_NOTE_TRUNCATED_CORE].count &&
		     !s->notes.kind[PH_NOTE_MISSING_FILE].count;
	/* and a copy of what went on changing fits together in most places only */
	bool moving = s->notes.kind[PH_NOTE_NOT_PAUSED].count;
	uint64_t torn = 0, may = MAX_TORN + s->graph->n / (moving ? 20 : 10000);
	const char *origin = s->layout->origin;
	struct ph_err *err = NULL;
	if (s->layout->own)
		return NULL;
	for (uint32_t i = 0; i < s->graph->ntypes && !err; i++) {
		const struct ph_graph_type *t = &s->graph->types[i];
		if (t->refs_differ + t->sizes_differ > (moving ? may : MAX_TORN))
			err = ph_err_new(PH_ERR_LAYOUT, "the layout %s does not fit: the own code of %s tells other %s", origin,
					 t->name, t->refs_differ ? "references" : "sizes");
	}
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		torn += whole || wrong[i] == PH_NOTE_NEGATIVE_EXCESS ? s->notes.kind[wrong[i]].count : 0;
	if (!err && !moving && torn > may)
		err = ph_err_new(PH_ERR_LAYOUT, "the layout %s does not fit: %llu objects cannot be read with it, or have "
				 "more references than they count", origin, (unsigned long long)torn);
	return err ? ph_err_hint(err, "install the interpreter's debug information, or name it with --debug-file FILE")
		   : NULL;
}

/* What was not possible, and what came of it. */
static struct ph_err *say_replay(const struct ph_run *run, const struct ph_session *s)
{
	uint64_t inexact = s->graph->n - 1 - s->graph->exact_objects;
	if (s->replay.refused && run->opt->verify)
		return ph_err_new(PH_ERR_REFUSED, "--verify is not possible: %s", ph_err_message(s->replay.refused));
	if (s->replay.refused)
		ph_messages_say(run->messages, "types without a reader are estimated: %s",
				ph_err_message(s->replay.refused));
	else if (inexact && !s->replay.replay && !run->opt->no_exec)
		ph_messages_say(run->messages, "types without a reader are estimated: the core is not yours; "
				"--exec has their own code run, sealed off");
	const struct ph_graph_reread *r = &s->graph->reread;
	if (run->opt->verbose && r->rounds)
		ph_messages_say(run->messages, "of that, what was torn: %.1f ms; %llu pages were read again, %llu times; of "
				"%llu references that led nowhere %llu are left", (double)r->ns / 1e6,
				(unsigned long long)r->pages, (unsigned long long)r->rounds,
				(unsigned long long)r->found, (unsigned long long)r->left);
	if (run->opt->verify)
		say_differences(run, s);
	return NULL;
}

/* A layout file of another version, which the user has asked for. */
static bool is_of_other_version(const struct ph_session *s)
{
	const struct ph_layout *l = s->layout;
	for (size_t i = 0; i < l->nversions; i++)
		if (l->versions[i] == s->rt->hexversion)
			return false;
	return l->nversions > 0;
}

static struct ph_err *read_objects(const struct ph_source *source, const struct ph_run *run, struct ph_session *s)
{
	fill_meta(source, s);
	ph_messages_phase(run->messages, "reading objects");
	s->replay = ph_cmd_replay_options(source, run->opt, s);
	struct ph_err *err = ph_graph_build(s->rt, &s->replay, &s->notes, &s->graph);
	if (!err)
		ph_messages_detail(run->messages, "mark %.1f, edges %.1f, replay %.1f", (double)s->graph->mark_ns / 1e6,
				   (double)s->graph->edges_ns / 1e6, (double)s->replay.replay_ns / 1e6);
	ph_messages_phase(run->messages, NULL);
	return err;
}

static struct ph_err *judge(const struct ph_run *run, struct ph_session *s)
{
	struct ph_err *err = prove_layout(s);
	if (is_of_other_version(s))
		ph_note(&s->notes, PH_NOTE_OTHER_LAYOUT, 0);
	return err ? err : say_replay(run, s);
}

struct ph_err *ph_session_read(const struct ph_source *source, const struct ph_run *run, struct ph_session *s)
{
	struct ph_err *err = read_objects(source, run, s);
	return err ? err : judge(run, s);
}

/* ---- with buffers left out ------------------------------------------------------------ */

static void forget_reading(struct ph_session *s)
{
	ph_graph_free(s->graph);
	ph_runtime_free(s->rt);
	ph_err_free(s->replay.refused);
	free(s->script);
	s->graph = NULL;
	s->rt = NULL;
	s->replay.refused = NULL;
	s->script = NULL;
}

static struct ph_err *capture_and_read(const struct ph_source *source, const struct ph_run *run, struct ph_session *s)
{
	struct ph_err *err = ph_session_capture(run, s);
	return err ? err : read_objects(source, run, s);
}

static void say_skipped(const struct ph_run *run, const struct ph_session *s, bool again)
{
	char size[PH_TEXT_NUMBER];
	if (!run->opt->verbose || !s->target->skipped_bytes)
		return;
	ph_text_size(size, (int64_t)s->target->skipped_bytes, false, false);
	ph_messages_say(run->messages, again ? "%s of buffers were not copied, but may hold references: once more with all"
					     : "%s of buffers without references were not copied", size);
}

/* Once more, and nothing is left out, where that was asked for: what was read is not exact then,
 * nor is an error. */
static struct ph_err *capture_exactly(const struct ph_source *source, const struct ph_run *run, struct ph_session *s)
{
	const struct ph_notes before = s->notes;
	s->target->skip_buffers = true;
	struct ph_err *err = capture_and_read(source, run, s);
	bool again = s->target->mem && ph_mem_wanted(s->target->mem) && !ph_interrupted;
	say_skipped(run, s, again);
	if (!again)
		return err;
	double pause = s->target->pause_ms;
	ph_err_free(err);
	forget_reading(s);
	s->notes = before;
	s->target->skip_buffers = false;
	err = capture_and_read(source, run, s);
	s->meta.pause_ms = s->target->pause_ms += pause;
	return err;
}

static struct ph_err *walk_stages(const struct ph_source *source, const struct ph_run *run,
				  struct ph_session *s)
{
	struct ph_err *err;
	if (run->opt->no_exec && (run->opt->exec || run->opt->verify))
		return ph_err_new(PH_ERR_USAGE, "--no-exec goes with neither --exec nor --verify");
	err = ph_session_begin(source, run, s);
	if (err)
		return err;
	if (run->opt->low_memory && s->target->kind == PH_TARGET_PROCESS) {
		s->stopped_since = ph_now_ns();
		s->messages = run->messages;
	}
	err = capture_exactly(source, run, s);
	return err ? err : judge(run, s);
}

static struct ph_err *open_snapshot(const struct ph_source *source, const struct ph_run *run,
				    struct ph_session *s)
{
	ph_messages_phase(run->messages, "opening the snapshot");
	struct ph_err *err = ph_snapshot_open(source->path, source->is_stdin ? "standard input" : source->name,
					      &s->snapshot);
	if (err)
		return err;
	s->graph = s->snapshot->graph;
	return ph_report_meta_read(s->snapshot->meta, &s->notes, &s->meta, &s->meta_doc);
}

struct ph_err *ph_session_open(const struct ph_source *source, const struct ph_run *run,
			       struct ph_session *ret)
{
	*ret = (struct ph_session){ 0 };
	struct ph_err *err = source->kind == PH_SOURCE_SNAPSHOT ? open_snapshot(source, run, ret)
								: walk_stages(source, run, ret);
	if (!err)
		err = ph_session_select(source, run, ret);
	if (!err && ph_interrupted)
		err = ph_err_interrupted();
	if (err)
		ph_session_close(ret);
	return err;
}

void ph_session_close(struct ph_session *s)
{
	if (s->snapshot)
		ph_snapshot_close(s->snapshot);
	else
		ph_graph_free(s->graph);
	json_decref(s->meta_doc);
	ph_runtime_free(s->rt);
	ph_layouts_free(&s->layouts);
	ph_vec_free(&s->places);
	ph_target_close(s->target);
	if (s->stopped_since)
		ph_messages_say(s->messages, "--low-memory: the process was stopped for %.1f ms",
				(double)(ph_now_ns() - s->stopped_since) / 1e6);
	ph_err_free(s->replay.refused);
	free(s->script);
	*s = (struct ph_session){ 0 };
}

struct ph_err *ph_session_with(const struct ph_run *run, const char *hint, void *ctx,
			       struct ph_err *(*fn)(struct ph_session *s, const struct ph_run *run, void *ctx))
{
	struct ph_source source;
	struct ph_session s;
	struct ph_err *err = ph_source_open(run->argv[0], run->messages, &source);
	if (err)
		return err;
	if (source.kind == PH_SOURCE_REPORT)
		err = ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s is a report", source.name), "%s", hint);
	else
		err = ph_session_open(&source, run, &s);
	if (!err) {
		err = fn(&s, run, ctx);
		ph_session_close(&s);
	}
	ph_source_close(&source);
	return err;
}
