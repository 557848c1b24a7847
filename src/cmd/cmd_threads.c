/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap threads: stacks with what their locals retain; tasks and where they wait. */
#include "cmd.h"

static struct ph_err *threads_document(struct ph_session *s, const struct ph_run *run, json_t **ret)
{
	struct ph_dominators *d = NULL;
	struct ph_stacks_result *stacks = NULL;
	struct ph_report_keys keys;
	ph_messages_phase(run->messages, "computing retained sizes");
	struct ph_err *err = ph_dominators_compute(s->graph, &d);
	if (!err)
		err = ph_stacks_compute(s->graph, d, &stacks);
	if (!err) {
		ph_cmd_keys(s, run, &keys);
		*ret = ph_report_threads(&s->meta, s->graph, d, stacks, &keys);
		err = *ret ? NULL : ph_err_nomem();
	}
	ph_stacks_free(stacks);
	ph_dominators_free(d);
	return err;
}

static struct ph_err *threads_run(struct ph_run *run)
{
	return ph_cmd_answer(run, threads_document);
}

const struct ph_cmd ph_cmd_threads = {
	.name = "threads",
	.arguments = "TARGET",
	.summary = "Python stacks with what their locals retain; asyncio tasks and where they wait",
	.details =
		"Frames are listed from the innermost on, with the locals that retain 1 KiB or more;\n"
		"-n is how many threads, frames of each, locals of each, and places where tasks wait,\n"
		"are shown (0: all, and all locals).\n"
		"Sort keys: retained (default: by interpreter, the newest first).\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_OUTPUT | PH_TAKES_TARGET | PH_TAKES(INTERPRETER) | PH_TAKES(LIMIT) | PH_TAKES(SORT) |
		 PH_TAKES(VALUES),
	.min_args = 1,
	.max_args = 1,
	.text_limit = 12,
	.run = threads_run,
};
