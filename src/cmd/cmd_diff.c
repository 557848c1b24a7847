/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap diff: what grew between two or more moments. */
#include "cmd.h"

struct inputs PH_VEC(json_t *);
struct populations PH_VEC(struct ph_population);

static bool is_by_path(const struct ph_run *run)
{
	return run->opt->by && !strcmp(run->opt->by, "path");
}

/* Every input is read like `top` does; of those that are no reports the objects are kept,
 * where three or more can be compared one by one. */
static struct ph_err *input_document(struct ph_session *s, const struct ph_run *run, json_t **ret)
{
	struct populations *kept = run->context;
	struct ph_err *err = ph_top_document(s, run, ret);
	if (err || run->argc < 3 || is_by_path(run))
		return err;
	if (PH_VEC_RESERVE(kept, 1))
		err = ph_population_init(&kept->items[kept->n], s->graph);
	else
		err = ph_err_nomem();
	kept->n += !err;
	if (!err)
		return NULL;
	json_decref(*ret);
	*ret = NULL;
	return err;
}

/* A report was made of one interpreter's objects, or of all. */
static struct ph_err *check_interpreter(const struct ph_run *run, const char *what, const json_t *doc)
{
	char of[24];
	const char *asked = run->opt->interpreter ? run->opt->interpreter : "";
	if (!strcmp(ph_report_interpreter(doc, of), asked))
		return NULL;
	struct ph_err *err = *of ? ph_err_new(PH_ERR_USAGE, "%s is a report of interpreter %s", what, of)
				 : ph_err_new(PH_ERR_USAGE, "%s is a report of all interpreters", what);
	return *of ? ph_err_hint(err, "compare it with --interpreter %s", of)
		   : ph_err_hint(err, "make it again with `pyheap top --interpreter %s`", asked);
}

static struct ph_err *read_inputs(const struct ph_run *run, struct inputs *in)
{
	for (int i = 0; i < run->argc; i++) {
		json_t *doc;
		struct ph_err *err = ph_cmd_document(run, "top", run->argv[i], input_document, &doc);
		if (err)
			return err;
		if (!PH_VEC_PUSH(in, doc)) {
			json_decref(doc);
			return ph_err_nomem();
		}
		if (ph_report_is_cut(doc))
			return ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s does not list all types", run->argv[i]),
					   "make it again without -n and --min-size");
		err = check_interpreter(run, run->argv[i], doc);
		if (err)
			return err;
		if (strcmp(ph_report_by(doc), is_by_path(run) ? "path" : ""))
			return ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s is a report by %s", run->argv[i],
						      is_by_path(run) ? "type" : "path"),
					   is_by_path(run) ? "make it again with `pyheap top --by path`"
							   : "compare it with --by path");
	}
	return NULL;
}

/* A misspelt type would never be exceeded. */
static void warn_of_unknown(const struct ph_run *run, const struct inputs *in)
{
	for (size_t m = 0; m < run->opt->max_count.n; m++) {
		const char *type = run->opt->max_count.items[m].type;
		bool found = false;
		for (size_t d = 0; d < in->n && !found; d++) {
			const json_t *types = json_object_get(in->items[d], is_by_path(run) ? "holders" : "types");
			for (size_t i = 0; i < json_array_size(types) && !found; i++) {
				const json_t *name = json_object_get(json_array_get(types, i), "type");
				found = json_is_string(name) && !strcmp(json_string_value(name), type);
			}
		}
		if (!found)
			ph_messages_say(run->messages, "--max-count: none of the inputs has a type '%s'", type);
	}
}

static struct ph_err *compare(const struct ph_run *run, const struct inputs *in, json_t **ret)
{
	const struct ph_options *opt = run->opt;
	struct ph_thresholds limits = {
		.has_growth = opt->max_growth.given,
		.growth = opt->max_growth.x,
		.has_growth_bytes = opt->max_growth_bytes.given,
		.growth_bytes = opt->max_growth_bytes.n,
		.counts = opt->max_count.items,
		.ncounts = opt->max_count.n,
	};
	ph_messages_phase(run->messages, NULL);
	warn_of_unknown(run, in);
	return ph_report_diff(in->items, (uint32_t)in->n, &limits, ret);
}

/* Whether all inputs are moments of one process: the same PID, and not read from reports. */
static bool one_process(const struct inputs *in, const struct populations *kept)
{
	for (size_t i = 1; i < in->n; i++)
		if (!ph_report_same_process(in->items[0], in->items[i]))
			return false;
	return in->n >= 3 && kept->n == in->n;
}

static struct ph_err *add_survivors(const struct inputs *in, const struct populations *kept, json_t *doc)
{
	struct ph_survivors_row *rows;
	uint32_t n;
	if (!one_process(in, kept))
		return NULL;
	struct ph_err *err = ph_survivors_find(kept->items, (uint32_t)kept->n, &rows, &n);
	if (err)
		return err;
	err = ph_report_add_survivors(doc, rows, n);
	free(rows);
	return err;
}

/* --strict: not one of the inputs may be incomplete or inexact. */
static struct ph_err *check_inputs(const struct ph_answer *answer, const struct ph_run *run,
				   const struct inputs *in)
{
	for (size_t i = 0; i < in->n; i++) {
		struct ph_err *err = ph_answer_doubts(answer, run, in->items[i]);
		if (err)
			return err;
	}
	return NULL;
}

static struct ph_err *diff_run(struct ph_run *run)
{
	struct inputs in = { 0 };
	struct ph_answer answer;
	json_t *doc = NULL;
	struct populations kept = { 0 };
	struct ph_err *err = ph_cmd_check_by(run, "type|path");
	if (!err)
		err = ph_answer_open(run, &answer);
	if (err)
		return err;
	run->context = &kept;
	err = read_inputs(run, &in);
	if (!err)
		err = compare(run, &in, &doc);
	if (!err)
		err = add_survivors(&in, &kept, doc);
	if (!err && !strcmp(answer.format->name, "text"))
		err = ph_report_drop_unchanged(doc);
	if (!err)
		err = ph_answer_print(&answer, run, doc);
	if (!err)
		err = check_inputs(&answer, run, &in);
	if (!err && ph_report_exceeded(doc))
		run->status = 1;
	for (size_t i = 0; i < in.n; i++)
		json_decref(in.items[i]);
	for (size_t i = 0; i < kept.n; i++)
		ph_population_deinit(&kept.items[i]);
	ph_vec_free(&kept);
	ph_vec_free(&in);
	json_decref(doc);
	return ph_answer_close(&answer, err);
}

const struct ph_cmd ph_cmd_diff = {
	.name = "diff",
	.arguments = "OLD NEW...",
	.summary = "what grew between reports, cores or processes; thresholds for CI",
	.details =
		"Each of OLD and NEW is a report of `pyheap top --json`, a core or a PID. Growth is\n"
		"that of shallow and uncounted bytes of all types together, from the first to the\n"
		"last. Exit status 1: a threshold was exceeded.\n"
		"Of three or more, types that grew in each step come first; where all are moments\n"
		"of one process, STAYED counts objects that came after the first and are still there.\n"
		"With --by path a row is what hangs on one name: two runs, or two machines, can be\n"
		"compared (reports are made by `pyheap top --by path --json`).\n"
		"Sort keys: size, retained, count, type (default: types of your program that grew\n"
		"in number by what they retain, all others by size).\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_OUTPUT | PH_TAKES_TARGET | PH_TAKES(INTERPRETER) | PH_TAKES(LIMIT) | PH_TAKES(SORT) |
		 PH_TAKES(MIN_SIZE) | PH_TAKES(NO_RETAINED) | PH_TAKES(BY) | PH_TAKES(MAX_GROWTH) |
		 PH_TAKES(MAX_GROWTH_BYTES) | PH_TAKES(MAX_COUNT),
	.min_args = 2,
	.max_args = -1,
	.text_limit = 20,
	.run = diff_run,
};
