/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One component as a small graph of its own; its memory serves the next one. */
#include "cycles_priv.h"

bool ph_local_init(struct ph_local *l, const struct ph_components *c, struct ph_holders *h)
{
	*l = (struct ph_local){ .g = h->g, .c = c, .h = h };
	l->index = ph_big_alloc(c->nnodes * sizeof *l->index);
	if (!l->index)
		return false;
	for (uint32_t i = 0; i < c->n; i++)
		for (uint32_t m = c->start[i]; m < c->start[i + 1]; m++)
			l->index[c->members[m]] = m - c->start[i];
	return true;
}

void ph_local_deinit(struct ph_local *l)
{
	if (l->c)
		ph_big_free(l->index, l->c->nnodes * sizeof *l->index);
	ph_vec_free(&l->start);
	ph_vec_free(&l->edges);
	ph_vec_free(&l->work);
	ph_vec_free(&l->owners);
	ph_vec_free(&l->lists);
	ph_vec_free(&l->todo);
	ph_vec_free(&l->cuts);
}

static inline bool is_internal(const struct ph_local *l, uint32_t edge)
{
	return !(edge & PH_CYCLE_DROP) && l->c->of[edge & PH_EDGE_ID] == l->component;
}

bool ph_local_load(struct ph_local *l, uint32_t component)
{
	const struct ph_components *c = l->c;
	l->component = component;
	l->nodes = c->members + c->start[component];
	l->n = c->start[component + 1] - c->start[component];
	l->folding = false;
	l->start.n = l->edges.n = 0;
	if (!PH_VEC_RESERVE(&l->start, l->n + 1ull))
		return false;
	for (uint32_t v = 0; v < l->n; v++) {
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(l->g, l->nodes[v], &n);
		l->folding |= !ph_holders_fold(l->h, l->nodes[v]);
		l->start.items[l->start.n++] = (uint32_t)l->edges.n;
		for (uint64_t e = 0; e < n; e++)
			if (is_internal(l, edges[e]) &&
			    !PH_VEC_PUSH(&l->edges, (struct ph_local_edge){ l->index[edges[e] & PH_EDGE_ID],
									    PH_NO_SUFFIX }))
				return false;
		if (l->edges.n > UINT32_MAX)
			return false;
	}
	l->start.items[l->start.n++] = (uint32_t)l->edges.n;
	return true;
}

bool ph_local_label(struct ph_local *l, uint32_t member)
{
	uint32_t node = l->nodes[member], at = l->start.items[member];
	uint32_t end = l->start.items[member + 1];
	bool plain = l->g->types[l->g->type[node]].cls == PH_TYPE_CONTAINER;
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(l->g, node, &n);
	if (at < end && l->edges.items[at].suffix != PH_NO_SUFFIX)
		return true;
	if (ph_interrupted)
		return false;
	for (uint64_t e = 0; e < n && at < end; e++) {
		struct ph_label label;
		uint32_t suffix = PH_SUFFIX_ELEMENT;
		if (!is_internal(l, edges[e]))
			continue;
		if (!plain) {
			ph_graph_label(l->g, node, e, &label);
			suffix = ph_holder_suffix(l->h, node, edges[e] & PH_EDGE_ID, &label);
		}
		if (suffix == PH_NO_SUFFIX)
			return false;
		l->edges.items[at++].suffix = suffix;
	}
	return true;
}

void ph_local_whole_label(const struct ph_local *l, uint32_t member, uint32_t edge, struct ph_label *ret)
{
	uint32_t at = l->start.items[member];
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(l->g, l->nodes[member], &n);
	*ret = (struct ph_label){ .kind = PH_LABEL_NONE, .index = -1 };
	for (uint64_t e = 0; e < n; e++)
		if (is_internal(l, edges[e]) && at++ == edge) {
			ph_graph_label(l->g, l->nodes[member], e, ret);
			return;
		}
}
