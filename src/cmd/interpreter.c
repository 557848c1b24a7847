/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From TARGET to its interpreter: opened, found, captured, and read with the layout that
 * fits. */
#include <time.h>
#include "cmd.h"

#define OLDEST_HEXVERSION 0x03080000
#define COLLECTING_TRIES 5         /* captures while the collector is at work */
#define COLLECTING_WAIT_NS 10000000 /* between them */

static struct ph_err *open_target(const struct ph_source *source, const struct ph_options *opt,
				  struct ph_session *s)
{
	struct ph_target_options options = {
		.exe = opt->exe,
		.sysroot = opt->sysroot,
		.lib_search_path = opt->lib_search_path,
		.debug_file = opt->debug_file,
		.stop_timeout_s = opt->stop_timeout.x,
		.no_pause = opt->pause && !strcmp(opt->pause, "none"),
		.low_memory = opt->low_memory,
	};
	return source->kind == PH_SOURCE_BINARY ? ph_binary_open(source->path, &s->target)
						: ph_target_open(source->path, &options, &s->notes, &s->target);
}

/* What the notes count, in bytes. */
static void say_losses(const struct ph_source *source, const struct ph_target *t, struct ph_messages *messages)
{
	char lost[PH_TEXT_NUMBER];
	int64_t n = t->lost_bytes < INT64_MAX ? (int64_t)t->lost_bytes : INT64_MAX;
	if (t->fault)
		ph_messages_say(messages, "%s: its %s stream is %s: what could be unpacked is used", source->name,
				t->packed, t->fault == PH_UNPACK_CUT ? "cut off" : "damaged");
	if (n)
		ph_messages_say(messages, "%s: the core is cut off: %s of memory are missing", source->name,
				ph_text_size(lost, n, false, false));
	if (t->unproven_files)
		ph_messages_say(messages, "%s: files left out: %u, since the core holds nothing that tells them from others "
				"(%s); --sysroot / takes them all the same", source->name, t->unproven_files,
				t->lost_bytes ? "it is cut off" : "see coredump_filter in core(5)");
}

static struct ph_err *find_python(const struct ph_source *source, struct ph_session *s)
{
	struct ph_err *err = ph_runtime_find(s->target, &s->places);
	if (err || s->places.n)
		return err;
	err = ph_err_new(PH_ERR_NOT_PYTHON, "%s: not CPython 3.8 or later: no file in it defines _PyRuntime",
			 source->name);
	if (s->target->kind == PH_TARGET_CORE)
		return ph_err_hint(err, "if it is, --exe FILE or --sysroot DIR say where its files are");
	return ph_err_hint(err, "pass the PID of the interpreter itself, not of its shell or wrapper; one without "
			   "symbols is found from 3.10 on, without section headers from 3.13 on, and with the "
			   "--debug-file FILE that has them");
}

static void say_download(void *messages)
{
	ph_messages_say(messages, "asking the servers in $DEBUGINFOD_URLS for debug information (--debuginfod no: not)");
}

/* The layouts that Python may have there. */
static struct ph_err *find_layouts(const struct ph_run *run, struct ph_session *s)
{
	const struct ph_options *opt = run->opt;
	struct ph_layout_options options = {
		.layout = opt->layout,
		.debug_file = opt->debug_file,
		.sysroot = opt->sysroot,
		.no_debuginfod = opt->debuginfod && !strcmp(opt->debuginfod, "no"),
		.downloading = say_download,
		.ctx = run->messages,
	};
	const struct ph_runtime_place *place = &s->places.items[s->place];
	const struct ph_module *module = ph_target_module_at(s->target, place->definer);
	if (opt->debuginfod && !options.no_debuginfod && !ph_debuginfod_wanted())
		return ph_err_new(PH_ERR_USAGE, "--debuginfod yes: %s", ph_debuginfod_state());
	if (!module)
		return ph_err_new(PH_ERR_USAGE, "%s has changed while it was read", s->target->what);
	ph_python_identify(s->target, place, &s->python);
	return ph_layouts_find(s->target, module, &s->python, &options, &s->layouts);
}

/* Moves on from a place that failed: where no interpreter runs, and where the layout is not
 * known but another place is as likely. */
static bool next_place(struct ph_session *s, const struct ph_err *err)
{
	const struct ph_runtime_place *p = &s->places.items[s->place];
	bool none = ph_err_code(err) == PH_ERR_NOT_PYTHON;
	if (s->place + 1 == s->places.n || !(none || (ph_err_code(err) == PH_ERR_LAYOUT && p[1].runs >= p->runs)))
		return false;
	s->place++;
	return true;
}

static struct ph_err *open_place(const struct ph_run *run, struct ph_session *s)
{
	struct ph_err *err = s->layouts.n ? NULL : find_layouts(run, s);
	if (!err && s->target->mem)
		err = ph_runtime_choose(s->target, &s->places.items[s->place], &s->layouts, &s->python, &s->notes, &s->rt);
	return err;
}

/* The layouts and, when it is captured, the runtime of the first place from s->place on
 * that has them; else s->place and the error are of the first. */
static struct ph_err *open_places(const struct ph_run *run, struct ph_session *s)
{
	struct ph_err *first = NULL;
	const size_t from = s->place;
	for (;;) {
		struct ph_err *err = open_place(run, s);
		if (!err) {
			ph_err_free(first);
			return NULL;
		}
		for (size_t i = 0; i < s->layouts.n; i++)
			s->tried_files |= !s->layouts.items[i]->own;
		ph_layouts_free(&s->layouts);
		bool more = next_place(s, err);
		if (first)
			ph_err_free(err);
		else
			first = err;
		if (!more)
			break;
	}
	s->place = from;
	ph_python_identify(s->target, &s->places.items[from], &s->python);
	return first;
}

struct ph_err *ph_session_begin(const struct ph_source *source, const struct ph_run *run, struct ph_session *s)
{
	ph_messages_phase(run->messages, "opening the target");
	struct ph_err *err = open_target(source, run->opt, s);
	if (err)
		return err;
	say_losses(source, s->target, run->messages);
	ph_messages_phase(run->messages, "reading debug information");
	err = find_python(source, s);
	return err ? err : open_places(run, s);
}

static struct ph_err *too_old(const struct ph_session *s)
{
	char version[32];
	ph_runtime_version(s->rt, version);
	return ph_err_new(PH_ERR_REFUSED, "%s: Python %s is not supported: pyheap reads 3.8 and later", s->target->what, version);
}

/* A layout that has to prove itself may fail to at the moment of the stop. */
static bool may_fit_later(const struct ph_session *s, const struct ph_err *err)
{
	return ph_err_code(err) == PH_ERR_LAYOUT && s->target->kind == PH_TARGET_PROCESS && s->tried_files;
}

/* During a collection objects are on temporary lists; waiting a little mostly
 * gives a moment without one. */
struct ph_err *ph_session_capture(const struct ph_run *run, struct ph_session *s)
{
	const struct timespec wait = { .tv_nsec = COLLECTING_WAIT_NS };
	const struct ph_notes before = s->notes;
	for (int i = 1;; i++) {
		ph_messages_phase(run->messages, "copying memory");
		struct ph_err *err = ph_target_capture(s->target, &s->notes);
		if (err || ph_interrupted)
			return err ? err : ph_err_interrupted();
		ph_messages_phase(run->messages, "reading the interpreter");
		err = open_places(run, s);
		if (err && !(may_fit_later(s, err) && i == 1))
			return err;
		bool misfit = err;
		ph_err_free(err);
		if (!misfit && s->rt->hexversion < OLDEST_HEXVERSION)
			return too_old(s);
		if (!misfit && (!s->rt->collecting || s->target->kind != PH_TARGET_PROCESS || i == COLLECTING_TRIES)) {
			ph_runtime_note_others(s->rt, &s->places, &s->notes);
			return NULL;
		}
		ph_runtime_free(s->rt);
		s->rt = NULL;
		s->notes = before;
		nanosleep(&wait, NULL);
		if (ph_interrupted)
			return ph_err_interrupted();
	}
}
