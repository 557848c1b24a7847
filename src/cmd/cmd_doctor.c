/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap doctor: can this target be read, and if not, what mends it. Walks the same way as
 * every report, and says what it finds at each step. */
#include <unistd.h>
#include "cmd.h"

struct doctor {
	struct ph_run *run;
	const struct ph_source *source;
	struct ph_session s;
	struct ph_findings findings;
	char self[4096]; /* the command that runs pyheap */
	int status;
};

static const char *area_of(enum ph_code code)
{
	switch (code) {
	case PH_ERR_NOT_PYTHON:
		return "interpreter";
	case PH_ERR_PERMISSION:
		return "permission";
	case PH_ERR_LAYOUT:
		return "layout";
	case PH_ERR_REFUSED:
		return "refused";
	default:
		return "target";
	}
}

/* Where the way ends, and why. Takes over err. */
static void ends_here(struct doctor *d, struct ph_err *err)
{
	d->status = (int)ph_err_code(err);
	for (size_t i = 0; i < d->findings.v.n && d->status == PH_ERR_PERMISSION; i++)
		if (!strcmp(d->findings.v.items[i].text, ph_err_message(err))) {
			ph_err_free(err);
			return;
		}
	ph_find(&d->findings, PH_HEALTH_PROBLEM, area_of(ph_err_code(err)), "%s", ph_err_message(err));
	/* the rules of ptrace have been gone through one by one, and for layouts there are commands */
	if (*ph_err_hint_text(err) && ph_err_code(err) != PH_ERR_PERMISSION && ph_err_code(err) != PH_ERR_LAYOUT)
		ph_advise(&d->findings, "%s", ph_err_hint_text(err));
	ph_err_free(err);
}

/* ---- layout ------------------------------------------------------------------------------ */

static const struct ph_module *interpreter_of(const struct doctor *d)
{
	const struct ph_session *s = &d->s;
	return s->places.n ? ph_target_module_at(s->target, s->places.items[s->place].definer) : NULL;
}

/* Commands for what the error says in words. */
static void advise_layout(struct doctor *d)
{
	char package[64];
	const struct ph_module *m = interpreter_of(d);
	const char *what = d->run->argv[0];
	uint32_t v = d->s.python.hexversion;
	if (!m)
		return;
	if (ph_layout_package(m->path, package) && !access("/usr/bin/apt-get", X_OK))
		ph_advise_command(&d->findings, true, "apt-get install -y %s", package);
	if (ph_layout_has_series(d->s.target, &d->s.python))
		ph_advise_command(&d->findings, false, "%s top --layout %u.%u %s", d->self, v >> 24, v >> 16 & 255, what);
	ph_advise(&d->findings, "its debug information, if it is somewhere: %s top --debug-file FILE %s", d->self, what);
	ph_advise(&d->findings, "where its debug information is: pyheap layout -o python.layout %s; then here: %s top --layout "
		  "python.layout %s", *m->path ? m->path : "PROGRAM", d->self, what);
}

static void examine_interpreter(struct doctor *d)
{
	const struct ph_session *s = &d->s;
	char version[64] = "3.10 or before (only its heap tells)";
	const struct ph_module *m = interpreter_of(d);
	if (!m)
		return;
	if (s->python.hexversion)
		ph_version_text(s->python.hexversion, version);
	ph_find(&d->findings, PH_HEALTH_OK, "interpreter", "CPython %s%s%s in %s", version,
		s->python.debug > 0 ? ", debug build" : "", s->python.free_threaded > 0 ? ", free-threaded" : "",
		*m->path ? m->path : "a file whose name is not known");
	char *id ph_cleanup_free = ph_module_build_id(m);
	ph_find(&d->findings, PH_HEALTH_INFO, "interpreter", "build-id %s", id ? id : "none");
}

static void examine_layout(struct doctor *d)
{
	const struct ph_layout *l = d->s.rt->layout;
	struct ph_fit fit;
	uint32_t good = 0;
	ph_find(&d->findings, PH_HEALTH_OK, "layout", "from %s: %s%s", l->source, l->origin,
		l->own ? ", of this very build" : ", of another build, checked against this one");
	ph_runtime_check(d->s.rt, &d->s.python, &fit);
	for (size_t i = 0; i < PH_CHECKS; i++) {
		good += fit.verdict[i] == PH_VERDICT_YES;
		if (fit.verdict[i] != PH_VERDICT_NO)
			continue;
		ph_find(&d->findings, PH_HEALTH_WARNING, "layout", "not so: %s%s%s", ph_check_name(i), *fit.why ? ": " : "",
			fit.why);
		*fit.why = '\0'; /* that of the first */
	}
	ph_find(&d->findings, fit.fits ? PH_HEALTH_OK : PH_HEALTH_WARNING, "layout", "%u of %d checks agree, %s", good, PH_CHECKS,
		fit.fits ? "the others have nothing to look at" : "not all of the others");
}

/* ---- replay --------------------------------------------------------------------------------- */

static void examine_replay(struct doctor *d)
{
	struct ph_objects_options options = ph_cmd_replay_options(d->source, d->run->opt, &d->s);
	struct ph_notes ignored = { 0 };
	struct ph_objects *os;
	struct ph_err *err;
	if (!options.replay) {
		ph_find(&d->findings, PH_HEALTH_INFO, "replay", "types without a reader are estimated: the core is another "
			"user's, or --no-exec is given");
		ph_advise(&d->findings, "--exec has their own code run, sealed off");
		return;
	}
	err = ph_objects_open(d->s.rt, &options, &ignored, &os);
	if (!err) {
		err = ph_objects_try_replay(os);
		ph_objects_close(os);
	}
	if (err)
		ph_find(&d->findings, PH_HEALTH_WARNING, "replay", "types without a reader are estimated: %s", ph_err_message(err));
	else
		ph_find(&d->findings, PH_HEALTH_OK, "replay", "types without a reader are asked by their own code, on a copy");
	ph_err_free(err);
	ph_err_free(options.refused);
}

/* ---- the way --------------------------------------------------------------------------------- */

static void examine_capture(struct doctor *d)
{
	const struct ph_target *t = d->s.target;
	if (t->kind != PH_TARGET_PROCESS || !t->copied_bytes)
		return;
	if (t->pause_ms < 0)
		ph_find(&d->findings, PH_HEALTH_OK, "capture", "%llu KiB copied without a stop",
			(unsigned long long)t->copied_bytes >> 10);
	else
		ph_find(&d->findings, PH_HEALTH_OK, "capture", "%llu KiB copied while it stood still for %.1f ms",
			(unsigned long long)t->copied_bytes >> 10, t->pause_ms);
}

static void walk(struct doctor *d)
{
	struct ph_err *err = ph_session_begin(d->source, d->run, &d->s);
	if (d->s.target)
		examine_interpreter(d);
	bool no_layout = err && ph_err_code(err) == PH_ERR_LAYOUT;
	if (!err)
		err = ph_session_capture(d->run, &d->s);
	/* the last proof of a layout is the objects themselves */
	if (!err && !d->s.rt->layout->own)
		err = ph_session_read(d->source, d->run, &d->s);
	ph_messages_phase(d->run->messages, NULL);
	if (err && ph_err_code(err) >= 128) {
		d->status = (int)ph_err_code(err);
		ph_err_free(err);
		return;
	}
	if (!err) {
		examine_capture(d);
		examine_layout(d);
		examine_replay(d);
	} else {
		no_layout |= ph_err_code(err) == PH_ERR_LAYOUT;
		ends_here(d, err);
		if (no_layout)
			advise_layout(d);
		if (no_layout)
			ph_find(&d->findings, PH_HEALTH_INFO, "debuginfod", "%s", ph_debuginfod_state());
	}
	if (d->s.target)
		ph_target_completeness(d->s.target, &d->s.notes, &d->findings);
}

static void examine(struct doctor *d)
{
	const char *what = d->run->argv[0];
	ssize_t n = readlink("/proc/self/exe", d->self, sizeof d->self - 1);
	if (n <= 0 || strpbrk(d->self, " \"'$\\"))
		strcpy(d->self, "pyheap");
	if (d->source->kind != PH_SOURCE_TARGET) {
		ends_here(d, ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s is a report or a snapshot: every pyheap reads it", what),
					 "give a process or a core"));
		return;
	}
	if (!what[strspn(what, "0123456789")])
		ph_target_examine((pid_t)strtol(what, NULL, 10), d->self, &d->findings);
	walk(d);
}

static struct ph_err *print(struct doctor *d, struct ph_answer *a)
{
	const struct ph_report_doctor doctor = { d->run->argv[0], d->status, &d->findings };
	json_t *doc = ph_report_doctor(&doctor);
	struct ph_err *err = doc ? ph_answer_print(a, d->run, doc) : ph_err_nomem();
	json_decref(doc);
	return err;
}

static struct ph_err *doctor_run(struct ph_run *run)
{
	struct doctor d = { .run = run };
	struct ph_answer answer;
	struct ph_source source;
	struct ph_err *err = ph_answer_open(run, &answer);
	if (err)
		return err;
	err = ph_source_open(run->argv[0], run->messages, &source);
	if (!err) {
		d.source = &source;
		examine(&d);
		err = ph_interrupted ? ph_err_interrupted() : print(&d, &answer);
		ph_session_close(&d.s);
		ph_findings_deinit(&d.findings);
		ph_source_close(&source);
		run->status = d.status;
	}
	return ph_answer_close(&answer, err);
}

const struct ph_cmd ph_cmd_doctor = {
	.name = "doctor",
	.arguments = "TARGET",
	.summary = "can it be read, and if not, the command that mends it",
	.details =
		"Walks the way of every report (permission, memory, interpreter, layout, a capture, the\n"
		"objects' own code) and says what it finds at each step. The process is stopped for as\n"
		"long as `top` stops it. Ends with the status that `top` would end with.\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_TARGET | PH_TAKES(FORMAT) | PH_TAKES(JSON) | PH_TAKES(OUTPUT) | PH_TAKES(FORCE) |
		 PH_TAKES(COLOR) | PH_TAKES(QUIET),
	.min_args = 1,
	.max_args = 1,
	.run = doctor_run,
};
