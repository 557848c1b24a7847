/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One path: from the search's parents, and as people read it. */
#include <stdio.h>
#include "paths_priv.h"

void ph_path_deinit(struct ph_path *p)
{
	free(p->nodes);
	free(p->edges);
	*p = (struct ph_path){ .root = UINT32_MAX };
}

/* The edge that costs least, of those from one state to another. */
static uint64_t find_edge(const struct ph_reach *r, uint32_t from, uint32_t to)
{
	uint64_t n, best = 0;
	unsigned least = UINT32_MAX;
	const uint32_t *edges = ph_graph_edges(r->g, ph_state_node(r, from), &n);
	for (uint64_t e = 0; e < n && least; e++) {
		uint32_t state;
		unsigned penalty;
		if ((edges[e] & PH_EDGE_ID) != ph_state_node(r, to) ||
		    !ph_reach_step(r, from, edges[e], e, &state, &penalty) || state != to || penalty >= least)
			continue;
		least = penalty;
		best = e;
	}
	return best;
}

struct ph_err *ph_path_from_states(const struct ph_reach *r, const struct ph_source *source,
				   const uint32_t *states, uint32_t n, struct ph_path *ret)
{
	*ret = (struct ph_path){ .kind = source->kind, .root = source->root, .n = n };
	ret->nodes = malloc((n + 1ull) * sizeof *ret->nodes);
	ret->edges = malloc((n + 1ull) * sizeof *ret->edges);
	if (!ret->nodes || !ret->edges) {
		ph_path_deinit(ret);
		return ph_err_nomem();
	}
	for (uint32_t i = 0; i < n; i++) {
		ret->nodes[i] = ph_state_node(r, states[i]);
		if (i + 1 < n)
			ret->edges[i] = find_edge(r, states[i], states[i + 1]);
		if (!(i & 0xfff) && ph_interrupted) {
			ph_path_deinit(ret);
			return ph_err_interrupted();
		}
	}
	return NULL;
}

struct ph_err *ph_path_find(const struct ph_reach *r, uint32_t node, struct ph_path *ret)
{
	uint32_t state = ph_reach_state(r, node), n = 1;
	*ret = (struct ph_path){ .root = UINT32_MAX };
	if (state == UINT32_MAX)
		return NULL;
	n += r->depth[state];
	uint32_t *states ph_cleanup_free = malloc(n * sizeof *states);
	if (!states)
		return ph_err_nomem();
	for (uint32_t i = n; i-- > 0; state = r->parent[state])
		states[i] = state;
	return ph_path_from_states(r, ph_reach_source(r, states[0]), states, n, ret);
}

/* ---- steps ------------------------------------------------------------------------------- */

/* Whether a reference leads to the namespace of an instance, a class or a module. */
static bool is_namespace(const struct ph_graph *g, uint32_t to, const struct ph_label *label)
{
	return g->types[g->type[to]].cls == PH_TYPE_DICT &&
	       (label->kind == PH_LABEL_DICT || (label->kind == PH_LABEL_ATTR && !strcmp(label->name, "__dict__")));
}

bool ph_path_read(const struct ph_graph *g, const struct ph_path *p, struct ph_path_steps *ret)
{
	bool in_namespace = false, in_closure = false;
	struct ph_path_step left_out; /* the step to the namespace */
	for (uint32_t i = 0; i + 1 < p->n; i++) {
		uint32_t to = p->nodes[i + 1];
		struct ph_path_step step = { .node = to };
		struct ph_label label;
		ph_graph_label(g, p->nodes[i], p->edges[i], &label);
		bool last = i + 2 == p->n;
		bool namespace = is_namespace(g, to, &label);
		bool closure = g->types[g->type[p->nodes[i]]].form == PH_FORM_FUNCTION &&
			       label.kind == PH_LABEL_ATTR && !strcmp(label.name, "__closure__");
		bool cell = in_closure && label.kind == PH_LABEL_CELL;
		ph_via_text(&label, in_namespace && label.kind == PH_LABEL_VALUE, &step);
		if (in_namespace && label.kind != PH_LABEL_VALUE && !PH_VEC_PUSH(ret, left_out))
			return false;
		left_out = step;
		if (label.kind == PH_LABEL_VALUE && !in_namespace && ph_is_table(g, p->nodes[i]))
			strcpy(step.folded, PH_FOLDED_PLACE);
		/* what is in the cell takes the place of the step to it */
		if (ret->n && i && g->types[g->type[p->nodes[i]]].form == PH_FORM_CELL && in_closure)
			ret->items[ret->n - 1].node = to;
		else if ((last || !(namespace || closure)) && !PH_VEC_PUSH(ret, step))
			return false;
		in_namespace = namespace;
		in_closure = closure || cell;
	}
	return true;
}
