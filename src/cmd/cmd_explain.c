/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap explain: everything about one object on one page. */
#include "cmd.h"

#define TEXT_LIMIT 10     /* references of each direction */
#define MOST_LISTED 10000

static uint64_t limit_of(const struct ph_run *run)
{
	const struct ph_options *opt = run->context;
	bool text = !opt->json && (!opt->format || !strcmp(opt->format, "text"));
	if (opt->limit.given)
		return opt->limit.n;
	return text ? TEXT_LIMIT : MOST_LISTED;
}

static struct ph_err *explain_document(struct ph_session *s, const struct ph_run *run, json_t **ret)
{
	const struct ph_reach_options options = { 0 };
	struct ph_report_explain what = { .limit = limit_of(run) };
	struct ph_reach *r = NULL;
	struct ph_dominators *d = NULL;
	struct ph_referrers *referrers = NULL;
	struct ph_path path = { 0 };
	struct ph_report_keys keys;
	const struct ph_graph *g = s->graph;
	struct ph_err *err = run->argc > 1 ? ph_cmd_find_address(g, run->argv[1], &what.node)
					   : ph_err_hint(ph_err_new(PH_ERR_USAGE, "explain what?"),
							 "pyheap explain TARGET 0xADDRESS");
	ph_messages_phase(run->messages, "finding paths");
	if (!err)
		err = ph_reach_compute(g, &options, &r);
	if (!err)
		err = ph_path_find(r, what.node, &path);
	if (!err)
		err = ph_referrers_find(g, what.node, &referrers);
	ph_messages_phase(run->messages, "computing retained sizes");
	if (!err)
		err = ph_dominators_compute(g, &d);
	ph_messages_phase(run->messages, "finding roots");
	if (!err)
		err = ph_cmd_roots(s, &what.excess);
	if (!err) {
		ph_cmd_keys(s, run, &keys);
		what.path = &path;
		what.dominators = d;
		what.referrers = referrers;
		*ret = ph_report_explain(&s->meta, g, &what, &keys);
		err = *ret ? NULL : ph_err_nomem();
	}
	ph_excess_free(what.excess);
	ph_referrers_free(referrers);
	ph_path_deinit(&path);
	ph_dominators_free(d);
	ph_reach_free(r);
	return err;
}

/* -n is of each direction: what was not asked for is not made, and nothing is cut later. */
static struct ph_err *explain_run(struct ph_run *run)
{
	struct ph_options given = *run->opt, uncut = *run->opt;
	struct ph_run again = *run;
	uncut.limit = (struct ph_opt_count){ 0 };
	again.opt = &uncut;
	again.context = &given;
	return ph_cmd_answer(&again, explain_document);
}

const struct ph_cmd ph_cmd_explain = {
	.name = "explain",
	.arguments = "TARGET ADDRESS",
	.summary = "everything about one object: size, references both ways, what keeps it",
	.details =
		"Its size and what it retains; its reference count, the references found, and who\n"
		"holds it from outside the heap; its path; what it refers to and what refers to it\n"
		"(-n of each). An instance's namespace is told by whose it is.\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_OUTPUT | PH_TAKES_TARGET | PH_TAKES(INTERPRETER) | PH_TAKES(LIMIT) | PH_TAKES(VALUES),
	.min_args = 1,
	.max_args = 2,
	.run = explain_run,
};
