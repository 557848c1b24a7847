/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap top: objects by type. */
#include "cmd.h"

static struct ph_err *add_suspects(struct ph_session *s, const struct ph_run *run, const struct ph_dominators *d,
				   json_t *doc)
{
	struct ph_suspects suspects;
	struct ph_report_keys keys;
	ph_messages_phase(run->messages, "finding suspects");
	struct ph_err *err = ph_suspects_find(s->graph, d, &suspects);
	ph_cmd_keys(s, run, &keys);
	if (!err && !ph_report_add_suspects(doc, &s->meta, s->graph, &suspects, &keys))
		err = ph_err_nomem();
	ph_suspects_deinit(&suspects);
	return err;
}

static struct ph_err *by_type(struct ph_session *s, const struct ph_run *run, const struct ph_dominators *d,
			      json_t **ret)
{
	struct ph_histogram *h;
	struct ph_err *err = ph_histogram_compute(s->graph, d, &h);
	if (err)
		return err;
	*ret = ph_report_top(&s->meta, s->graph, h);
	ph_histogram_free(h);
	if (!*ret)
		return ph_err_nomem();
	err = d ? add_suspects(s, run, d, *ret) : NULL;
	if (!err)
		return NULL;
	json_decref(*ret);
	*ret = NULL;
	return err;
}

static struct ph_err *by_path(struct ph_session *s, const struct ph_dominators *d, json_t **ret)
{
	const struct ph_reach_options options = { 0 };
	struct ph_reach *r;
	struct ph_holdings *h;
	struct ph_err *err = ph_reach_compute(s->graph, &options, &r);
	if (err)
		return err;
	err = ph_holdings_compute(r, d, &h);
	ph_reach_free(r);
	if (err)
		return err;
	*ret = ph_report_holdings(&s->meta, s->graph, h);
	ph_holdings_free(h);
	return *ret ? NULL : ph_err_nomem();
}

static bool is_by_path(const struct ph_options *opt)
{
	return opt->by && !strcmp(opt->by, "path");
}

struct ph_err *ph_top_document(struct ph_session *s, const struct ph_run *run, json_t **ret)
{
	struct ph_dominators *d = NULL;
	struct ph_err *err = NULL;
	ph_graph_forget_counts(s->graph); /* a twentieth of what is in memory now */
	if (!run->opt->no_retained) {
		ph_graph_forget_numbers(s->graph);
		ph_messages_phase(run->messages, "computing retained sizes");
		err = ph_dominators_compute(s->graph, &d);
	}
	if (!err) {
		ph_messages_phase(run->messages, "counting");
		err = is_by_path(run->opt) ? by_path(s, d, ret) : by_type(s, run, d, ret);
	}
	ph_dominators_free(d);
	return err;
}

static struct ph_err *top_run(struct ph_run *run)
{
	struct ph_err *err = ph_cmd_check_by(run, "type|path");
	return err ? err : ph_cmd_answer(run, ph_top_document);
}

const struct ph_cmd ph_cmd_top = {
	.name = "top",
	.arguments = "TARGET",
	.summary = "what fills the memory: objects, sizes and retained sizes by type",
	.details =
		"SHALLOW is what sys.getsizeof() gives, UNCOUNTED what it leaves out, and RETAINED\n"
		"what would be freed with the objects of the type. Retained sizes of types overlap.\n"
		"With --by path a row is what hangs on one name: all objects by the path that leads\n"
		"to them, up to the first place in a container (SIZE: shallow and uncounted).\n"
		"Sort keys: retained (default), size (default with --by path), shallow, count, type.\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_OUTPUT | PH_TAKES_TARGET | PH_TAKES(INTERPRETER) | PH_TAKES(LIMIT) | PH_TAKES(SORT) |
		 PH_TAKES(MIN_SIZE) | PH_TAKES(NO_RETAINED) | PH_TAKES(BY) | PH_TAKES(VALUES),
	.min_args = 1,
	.max_args = 1,
	.text_limit = 20,
	.run = top_run,
};
