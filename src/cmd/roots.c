/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who holds what is counted and not in the graph: the runtime's holders, in the order
 * in which they are believed, explain the graph's excess. */
#include <stdio.h>
#include "cmd.h"

static int claim(void *ctx, const struct ph_holder *h)
{
	return ph_excess_claim(ctx, h->object, h->at, h->scanned, h->name);
}

static bool claim_given(const struct ph_session *s, struct ph_excess *e)
{
	uint64_t n;
	for (uint32_t node = 1; node < s->graph->n; node++) {
		const char *name = ph_excess_left(e, node)
					   ? ph_runtime_given(s->rt, ph_graph_address(s->graph, node), &n) : NULL;
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
	return !ph_graph_whole(s->graph, node) ||
	       (from > ph_layout_size(s->layout, PH_S_PyObject) && !t->heap);
}

static struct ph_err *claim_contents(const struct ph_session *s, struct ph_excess *e)
{
	const struct ph_graph *g = s->graph;
	uint64_t budget = 16 * s->rt->mem->whole_size;
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
		struct ph_holder_span span = { .start = ph_graph_address(g, node) + p.from, .end = ph_graph_address(g, node) + p.to,
					       .sure = ph_graph_whole(g, node), .name = name };
		err = ph_runtime_contents(s->rt, &span, &budget, claim, e);
	}
	return err;
}

static struct ph_err *claim_saved(const struct ph_snapshot *s, struct ph_excess *e)
{
	for (size_t i = 0; i < s->nholders; i++) {
		const struct ph_snapshot_holder *h = &s->holders[i];
		if (!*h->name)
			ph_excess_close(e, h->node);
		else if (!ph_excess_claim_all(e, h->node, 1, h->name))
			return ph_err_nomem();
	}
	return NULL;
}

/* The order in which holders are believed: each explains what those before it have left. */
struct ph_err *ph_cmd_roots(const struct ph_session *s, struct ph_excess **ret)
{
	struct ph_err *err = ph_excess_compute(s->graph, ret);
	if (s->snapshot)
		return err ? err : claim_saved(s->snapshot, *ret);
	if (!err)
		err = ph_runtime_holders(s->rt, claim, *ret);
	if (!err && (!claim_given(s, *ret) || !ph_excess_claim_found(*ret)))
		err = ph_err_stopped();
	if (!err)
		err = claim_contents(s, *ret);
	if (!err)
		err = ph_runtime_c_holders(s->rt, claim, *ret);
	return err;
}
