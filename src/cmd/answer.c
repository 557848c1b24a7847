/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From TARGET to a document, and from a document to the answer: what the
 * commands share. */
#include <unistd.h>
#include "cmd.h"

static const char *format_name(const struct ph_options *opt)
{
	return opt->json ? "json" : opt->format ? opt->format : "text";
}

static bool to_terminal(const struct ph_options *opt)
{
	return (!opt->output || !strcmp(opt->output, "-")) && isatty(STDOUT_FILENO);
}

static bool wants_color(const struct ph_options *opt, const struct ph_out *out)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	if (opt->color && strcmp(opt->color, "auto"))
		return !strcmp(opt->color, "always");
	return ph_out_is_terminal(out) && !(no_color && *no_color) && term && strcmp(term, "dumb");
}

bool ph_answer_shows_keys(const struct ph_run *run)
{
	return run->opt->values || (!strcmp(format_name(run->opt), "text") && to_terminal(run->opt));
}

struct ph_err *ph_answer_open(const struct ph_run *run, struct ph_answer *ret)
{
	const struct ph_options *opt = run->opt;
	*ret = (struct ph_answer){ .format = ph_format_find(format_name(opt)) };
	if (opt->json && opt->format && strcmp(opt->format, "json"))
		return ph_err_new(PH_ERR_USAGE, "--json and --format %s exclude each other", opt->format);
	struct ph_err *err = opt->sort ? ph_report_sort_check(run->cmd->name, opt->sort) : NULL;
	if (!err)
		err = ph_out_open(opt->output, opt->force, &ret->out);
	if (err)
		return err;
	ret->render = (struct ph_render){
		.out = ret->out,
		.width = ph_out_width(ret->out),
		.bytes = opt->bytes,
		.header = !opt->no_header,
		.limit = opt->limit.given ? opt->limit.n : run->cmd->text_limit,
		.color = wants_color(opt, ret->out),
		.more = opt->min_size.given ? "left out by --min-size or -n" : "-n 0 lists all",
	};
	return NULL;
}

static struct ph_err *arrange(const struct ph_answer *a, const struct ph_run *run, json_t *doc)
{
	const struct ph_options *opt = run->opt;
	bool text = !strcmp(a->format->name, "text");
	struct ph_err *err = opt->sort ? ph_report_sort(doc, opt->sort) : NULL;
	if (err)
		return err;
	uint64_t limit = opt->limit.given ? opt->limit.n : text ? run->cmd->text_limit : 0;
	return ph_report_cut(doc, limit, opt->min_size.n);
}

struct ph_err *ph_answer_print(struct ph_answer *a, const struct ph_run *run, json_t *doc)
{
	struct ph_err *err = arrange(a, run, doc);
	if (err)
		return err;
	ph_messages_phase(run->messages, NULL);
	uint64_t start = ph_now_ns(); /* no phase: its line would be in the way of the answer */
	a->render.doc = doc;
	err = ph_render(&a->render, a->format);
	if (!err && run->opt->verbose)
		ph_messages_say(run->messages, "report: %.1f ms", (double)(ph_now_ns() - start) / 1e6);
	return err;
}

struct ph_err *ph_answer_close(struct ph_answer *a, struct ph_err *err)
{
	/* what --strict refuses is written all the same */
	bool keep = !err || ph_err_code(err) == PH_ERR_INCOMPLETE;
	struct ph_err *closing = ph_out_close(a->out, keep);
	a->out = NULL;
	if (!closing)
		return err;
	if (err && ph_err_code(err) != PH_ERR_INCOMPLETE) {
		ph_err_free(closing);
		return err;
	}
	ph_err_free(err);
	return closing;
}

struct ph_err *ph_answer_doubts(const struct ph_answer *a, const struct ph_run *run, const json_t *doc)
{
	bool tells = !strcmp(a->format->name, "text") || !strcmp(a->format->name, "json");
	bool complete = json_is_true(json_object_get(doc, "complete"));
	if (!run->opt->strict && (tells || complete))
		return NULL;
	char *why ph_cleanup_free = ph_report_doubts(doc);
	if (!why)
		return NULL;
	if (run->opt->strict)
		return ph_err_new(PH_ERR_INCOMPLETE, "--strict: %s", why);
	ph_messages_say(run->messages, "incomplete: %s", "something could not be read; --json says what");
	return NULL;
}

/* ---- documents ------------------------------------------------------------------------ */

static struct ph_err *load(const char *command, const struct ph_source *source, json_t **ret)
{
	struct ph_err *err = ph_report_load(source->path, source->is_stdin ? "standard input" : source->name, ret);
	if (err || !strcmp(ph_report_command(*ret), command))
		return err;
	err = ph_err_new(PH_ERR_USAGE, "%s is a report of `pyheap %s`, not of `pyheap %s`", source->name,
			 ph_report_command(*ret), command);
	json_decref(*ret);
	*ret = NULL;
	return err;
}

static struct ph_err *make_document(const struct ph_run *run, const struct ph_source *source,
				    ph_document_fn *make, json_t **ret)
{
	struct ph_session s;
	struct ph_err *err = ph_session_open(source, run, &s);
	if (err)
		return err;
	err = make(&s, run, ret);
	if (!err && ph_interrupted) {
		json_decref(*ret);
		*ret = NULL;
		err = ph_err_interrupted();
	}
	ph_session_close(&s);
	return err;
}

struct ph_err *ph_cmd_document(const struct ph_run *run, const char *command, const char *what,
			       ph_document_fn *make, json_t **ret)
{
	struct ph_source source;
	*ret = NULL;
	struct ph_err *err = ph_source_open(what, run->messages, &source);
	if (err)
		return err;
	err = source.kind == PH_SOURCE_REPORT ? load(command, &source, ret)
					      : make_document(run, &source, make, ret);
	if (!err && source.kind == PH_SOURCE_REPORT && run->opt->interpreter &&
	    (err = ph_cmd_check_interpreter(run, what, *ret))) {
		json_decref(*ret);
		*ret = NULL;
	}
	ph_source_close(&source);
	return err;
}

struct ph_err *ph_cmd_answer(struct ph_run *run, ph_document_fn *make)
{
	struct ph_answer answer;
	json_t *doc = NULL;
	struct ph_err *err = ph_answer_open(run, &answer);
	if (err)
		return err;
	err = ph_cmd_document(run, run->cmd->name, run->argv[0], make, &doc);
	if (!err)
		err = ph_answer_print(&answer, run, doc);
	if (!err)
		err = ph_answer_doubts(&answer, run, doc);
	json_decref(doc);
	return ph_answer_close(&answer, err);
}
