/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap dominators: the objects that retain most, and what is in one of them. */
#include "cmd.h"

static struct ph_err *dominators_document(struct ph_session *s, const struct ph_run *run, json_t **ret)
{
	const struct ph_reach_options options = { 0 };
	struct ph_report_dominators what = { .by = run->opt->by };
	struct ph_dominators *d = NULL;
	struct ph_heaviest *h = NULL;
	struct ph_reach *r = NULL;
	struct ph_report_keys keys;
	struct ph_err *err = run->argc > 1 ? ph_cmd_find_address(s->graph, run->argv[1], &what.of) : NULL;
	ph_messages_phase(run->messages, "computing retained sizes");
	if (!err)
		err = ph_dominators_compute(s->graph, &d);
	if (!err)
		err = ph_heaviest_find(s->graph, d, what.of, run->opt->all || what.of, &h);
	ph_messages_phase(run->messages, "finding paths");
	if (!err)
		err = ph_reach_compute(s->graph, &options, &r);
	if (!err) {
		ph_cmd_keys(s, run, &keys);
		what.heaviest = h;
		what.dominators = d;
		what.reach = r;
		*ret = ph_report_dominators(&s->meta, s->graph, &what, &keys);
		err = *ret ? NULL : ph_err_nomem();
	}
	ph_reach_free(r);
	ph_heaviest_free(h);
	ph_dominators_free(d);
	return err;
}

static struct ph_err *dominators_run(struct ph_run *run)
{
	struct ph_err *err = ph_cmd_check_by(run, "type|module|package");
	return err ? err : ph_cmd_answer(run, dominators_document);
}

const struct ph_cmd ph_cmd_dominators = {
	.name = "dominators",
	.arguments = "TARGET [ADDRESS]",
	.summary = "the objects that retain most, and where they hang; what is in one of them",
	.details =
		"Without ADDRESS objects of which none is part of another: modules, classes and their\n"
		"namespaces are passed over, and so is an object that retains hardly more than one in\n"
		"it (--all: nothing is). With ADDRESS what that object immediately dominates. With --by\n"
		"these are summed up by their type, or by the module or package that they hang on.\n"
		"Sort keys: retained (default), shallow, objects, type; with --by retained, count,\n"
		"objects.\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_OUTPUT | PH_TAKES_TARGET | PH_TAKES(INTERPRETER) | PH_TAKES(LIMIT) | PH_TAKES(SORT) |
		 PH_TAKES(MIN_SIZE) | PH_TAKES(BY) | PH_TAKES(ALL) | PH_TAKES(VALUES),
	.min_args = 1,
	.max_args = 2,
	.text_limit = 15,
	.run = dominators_run,
};
