/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap top: objects by type. */
#include "cmd.h"

struct ph_err *ph_top_document(struct ph_session *s, const struct ph_run *run, json_t **ret)
{
	struct ph_dominators *d = NULL;
	struct ph_histogram *h = NULL;
	struct ph_err *err = NULL;
	if (!run->opt->no_retained) {
		ph_messages_phase(run->messages, "computing retained sizes");
		err = ph_dominators_compute(s->graph, &d);
	}
	if (!err) {
		ph_messages_phase(run->messages, "counting");
		err = ph_histogram_compute(s->graph, d, &h);
	}
	if (!err) {
		*ret = ph_report_top(&s->meta, s->graph, h);
		err = *ret ? NULL : ph_err_nomem();
	}
	ph_histogram_free(h);
	ph_dominators_free(d);
	return err;
}

static struct ph_err *top_run(struct ph_run *run)
{
	return ph_cmd_answer(run, ph_top_document);
}

const struct ph_cmd ph_cmd_top = {
	.name = "top",
	.arguments = "TARGET",
	.summary = "what fills the memory: objects, sizes and retained sizes by type",
	.details =
		"SHALLOW is what sys.getsizeof() gives, UNCOUNTED what it leaves out, and RETAINED\n"
		"what would be freed with the objects of the type. Retained sizes of types overlap.\n"
		"Sort keys: retained (default), size, shallow, count, type.\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_OUTPUT | PH_TAKES_TARGET | PH_TAKES(LIMIT) | PH_TAKES(SORT) |
		 PH_TAKES(MIN_SIZE) | PH_TAKES(NO_RETAINED),
	.min_args = 1,
	.max_args = 1,
	.text_limit = 20,
	.run = top_run,
};
