/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap objects: one line per object, streamed. */
#include <stdio.h>
#include "cmd.h"

static bool is_wanted(const struct ph_graph *g, uint32_t node, const struct ph_options *opt)
{
	static const char *const generations[] = { "0", "1", "2", "permanent" };
	bool tracked = g->flags[node] & PH_NODE_TRACKED;
	const char *generation = tracked ? generations[ph_graph_generation(g, node)] : "none";
	return (!opt->type || !strcmp(g->types[g->type[node]].name, opt->type)) &&
	       (!opt->generation || !strcmp(generation, opt->generation)) &&
	       (!opt->min_size.given || ph_graph_bytes(g, node) >= opt->min_size.n);
}

/* ---- roots: who holds what is counted and not in the graph ------------------------- */

static int claim(void *ctx, const struct ph_holder *h)
{
	return ph_excess_claim(ctx, h->object, h->at, h->scanned, h->name);
}

static bool claim_given(const struct ph_session *s, struct ph_excess *e)
{
	uint64_t n;
	for (uint32_t node = 1; node < s->graph->n; node++) {
		const char *name = ph_excess_left(e, node)
					   ? ph_runtime_given(s->rt, s->graph->address[node], &n) : NULL;
		if (name && !ph_excess_claim_all(e, node, n, name))
			return false;
	}
	return true;
}

/* What a C type adds to a base that is known, or all of an object that is not; modules
 * have holders of their own. */
static bool has_own_part(const struct ph_session *s, uint32_t node, uint32_t from)
{
	const struct ph_graph_type *t = &s->graph->types[s->graph->type[node]];
	if (!strcmp(t->name, "module"))
		return false;
	return !(s->graph->flags[node] & PH_NODE_REFS_EXACT) ||
	       (from > ph_layout_size(s->layout, PH_S_PyObject) && !t->heap);
}

static struct ph_err *claim_contents(const struct ph_session *s, struct ph_excess *e)
{
	const struct ph_graph *g = s->graph;
	uint64_t budget = 16 * s->rt->mem->linear_size;
	struct ph_err *err = NULL;
	struct part { uint32_t from, to; } *parts ph_cleanup_free = calloc(g->ntypes + 1, sizeof *parts);
	if (!parts)
		return ph_err_nomem();
	for (uint32_t i = 0; i < g->ntypes; i++)
		if (!ph_runtime_own_part(s->rt, g->types[i].address, &parts[i].from, &parts[i].to))
			parts[i] = (struct part){ 0 };
	for (uint32_t node = 1; !err && node < g->n; node++) {
		struct part p = parts[g->type[node]];
		char name[256];
		if (p.from == p.to || !has_own_part(s, node, p.from))
			continue;
		snprintf(name, sizeof name, "contents of %s", g->types[g->type[node]].name);
		struct ph_holder_span span = { .start = g->address[node] + p.from, .end = g->address[node] + p.to,
					       .sure = g->flags[node] & PH_NODE_REFS_EXACT, .name = name };
		err = ph_runtime_contents(s->rt, &span, &budget, claim, e);
	}
	return err;
}

/* The order in which holders are believed: each explains what those before it have left. */
static struct ph_err *find_roots(const struct ph_session *s, struct ph_excess **ret)
{
	struct ph_err *err = ph_excess_compute(s->graph, ret);
	if (!err)
		err = ph_runtime_holders(s->rt, claim, *ret);
	if (!err && (!claim_given(s, *ret) || !ph_excess_claim_inexact(*ret)))
		err = ph_err_nomem();
	if (!err)
		err = claim_contents(s, *ret);
	if (!err)
		err = ph_runtime_c_holders(s->rt, claim, *ret);
	return err;
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

static struct ph_err *print(const struct ph_session *s, const struct ph_run *run, struct ph_answer *a)
{
	json_t *doc = ph_report_objects(&s->meta, s->graph);
	if (!doc)
		return ph_err_nomem();
	a->render.doc = doc;
	struct ph_excess *e = NULL;
	struct ph_err *err = NULL;
	if (run->opt->roots) {
		ph_messages_phase(run->messages, "finding roots");
		err = find_roots(s, &e);
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

static struct ph_err *read_and_print(const struct ph_run *run, struct ph_answer *a)
{
	struct ph_source source;
	struct ph_session s;
	struct ph_err *err = ph_source_open(run->argv[0], &source);
	if (err)
		return err;
	if (source.kind == PH_SOURCE_REPORT)
		err = ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s is a report", source.name),
				  "objects are read from a process or core");
	else
		err = ph_session_open(&source, run, &s);
	if (!err) {
		err = print(&s, run, a);
		ph_session_close(&s);
	}
	ph_source_close(&source);
	return err;
}

static struct ph_err *objects_run(struct ph_run *run)
{
	struct ph_answer answer;
	struct ph_err *err = ph_answer_open(run, &answer);
	if (err)
		return err;
	return ph_answer_close(&answer, read_and_print(run, &answer));
}

const struct ph_cmd ph_cmd_objects = {
	.name = "objects",
	.arguments = "TARGET",
	.summary = "one line per object, in the order of addresses",
	.details =
		"With --refs also what gc.get_referents() gives (refs) and what an object holds\n"
		"besides (owned). With --roots how many of its references are counted and not\n"
		"in the heap (excess) and who is known to hold these (held_by; C is the rest).\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_OUTPUT | PH_TAKES_TARGET | PH_TAKES(LIMIT) |
		 PH_TAKES(MIN_SIZE) | PH_TAKES(TYPE) | PH_TAKES(GENERATION) | PH_TAKES(REFS) |
		 PH_TAKES(ROOTS),
	.min_args = 1,
	.max_args = 1,
	.run = objects_run,
};
