/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap cycles: reference cycles by shape. */
#include "cmd.h"

static struct ph_err *cycles_document(struct ph_session *s, const struct ph_run *run, json_t **ret)
{
	struct ph_report_keys keys;
	const struct ph_cycles_options options = { .all = run->opt->all, .hide = ph_report_hide, .hide_ctx = &keys };
	struct ph_cycles *c;
	ph_cmd_keys(s, run, &keys);
	ph_messages_phase(run->messages, "looking for cycles");
	struct ph_err *err = ph_cycles_find(s->graph, &options, &c);
	if (err)
		return err;
	*ret = ph_report_cycles(&s->meta, s->graph, c);
	ph_cycles_free(c);
	return *ret ? NULL : ph_err_nomem();
}

static struct ph_err *cycles_run(struct ph_run *run)
{
	return ph_cmd_answer(run, cycles_document);
}

const struct ph_cmd ph_cmd_cycles = {
	.name = "cycles",
	.arguments = "TARGET",
	.summary = "reference cycles, garbage and live, and which reference to make weak",
	.details =
		"Cycles that look alike are one entry: what holds what by which attribute, how many\n"
		"there are, what they retain, and an example with addresses.\n"
		"Sort keys: retained, shallow, count, objects (default: garbage first, then retained).\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_OUTPUT | PH_TAKES_TARGET | PH_TAKES(INTERPRETER) | PH_TAKES(LIMIT) | PH_TAKES(SORT) |
		 PH_TAKES(MIN_SIZE) | PH_TAKES(ALL) | PH_TAKES(VALUES),
	.min_args = 1,
	.max_args = 1,
	.text_limit = 5,
	.run = cycles_run,
};
