/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap objects: one line per object, streamed. */
#include "cmd.h"

static bool is_wanted(const struct ph_graph *g, uint32_t node, const struct ph_options *opt)
{
	static const char *const generations[] = { "0", "1", "2", "permanent" };
	bool tracked = g->flags[node] & PH_NODE_TRACKED;
	const char *generation = tracked ? generations[ph_graph_generation(g, node)] : "none";
	return ph_graph_selected(g, node) && (!opt->type || !strcmp(g->types[g->type[node]].name, opt->type)) &&
	       (!opt->generation || !strcmp(generation, opt->generation)) &&
	       (!opt->min_size.given || ph_graph_bytes(g, node) >= opt->min_size.n);
}

static json_t *make_row(const struct ph_session *s, const struct ph_run *run, struct ph_excess *e,
			uint32_t node)
{
	json_t *row = ph_report_object(&s->meta, s->graph, node, run->opt->refs);
	if (!row || !e || ph_report_object_roots(row, e, node))
		return row;
	json_decref(row);
	return NULL;
}

static struct ph_err *stream(const struct ph_session *s, const struct ph_run *run, struct ph_excess *e,
			     struct ph_answer *a)
{
	const struct ph_graph *g = s->graph;
	uint64_t limit = run->opt->limit.n ? run->opt->limit.n : UINT64_MAX;
	struct ph_err *err = ph_render_begin(&a->render, a->format);
	for (uint32_t node = 1; !err && node < g->n && a->render.nrows < limit; node++) {
		if (!is_wanted(g, node, run->opt))
			continue;
		json_t *row = make_row(s, run, e, node);
		err = row ? ph_render_row(&a->render, a->format, row) : ph_err_nomem();
		json_decref(row);
		if (ph_out_failed(a->out))
			break; /* closing it says why */
	}
	return err ? err : ph_render_end(&a->render, a->format);
}

static struct ph_err *print(struct ph_session *s, const struct ph_run *run, void *ctx)
{
	struct ph_answer *a = ctx;
	json_t *doc = ph_report_objects(&s->meta, s->graph);
	if (!doc)
		return ph_err_nomem();
	a->render.doc = doc;
	struct ph_excess *e = NULL;
	struct ph_err *err = NULL;
	if (run->opt->roots) {
		ph_messages_phase(run->messages, "finding roots");
		err = ph_cmd_roots(s, &e);
	}
	ph_messages_phase(run->messages, NULL);
	if (!err)
		err = stream(s, run, e, a);
	if (!err)
		err = ph_answer_doubts(a, run, doc);
	ph_excess_free(e);
	json_decref(doc);
	return err;
}

static struct ph_err *objects_run(struct ph_run *run)
{
	struct ph_answer answer;
	struct ph_err *err = ph_answer_open(run, &answer);
	if (err)
		return err;
	return ph_answer_close(&answer, ph_session_with(run, "objects are read from a process, core or snapshot", &answer,
							 print));
}

const struct ph_cmd ph_cmd_objects = {
	.name = "objects",
	.arguments = "TARGET",
	.summary = "one line per object, in the order of addresses",
	.details =
		"With --refs also what gc.get_referents() gives (refs) and what an object holds\n"
		"besides (owned). With --roots how many of its references are counted and not\n"
		"in the heap (excess) and who is known to hold these (held_by; C is the rest).\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_OUTPUT | PH_TAKES_TARGET | PH_TAKES(INTERPRETER) | PH_TAKES(LIMIT) |
		 PH_TAKES(MIN_SIZE) | PH_TAKES(TYPE) | PH_TAKES(GENERATION) | PH_TAKES(REFS) |
		 PH_TAKES(ROOTS),
	.min_args = 1,
	.max_args = 1,
	.run = objects_run,
};
