/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One component as a small graph of its own; its memory serves the next one. */
#include "cycles_priv.h"

static uint8_t traits_of(const struct ph_holders *h, uint32_t type)
{
	const struct ph_graph_type *t = &h->g->types[type];
	return (uint8_t)((h->folds[type] ? PH_TRAIT_FOLDS : 0) | (t->weakrefable ? PH_TRAIT_WEAK : 0) |
			 (t->cls == PH_TYPE_CONTAINER ? PH_TRAIT_PLAIN : 0));
}

static bool allocate(struct ph_local *l)
{
	size_t n = l->max_members, e = l->max_edges;
	if (e > SIZE_MAX / sizeof *l->to)
		return false;
	l->index = ph_big_alloc(l->c->nnodes * sizeof *l->index);
	l->type_traits = calloc(l->g->ntypes + 1ull, 1);
	l->traits = ph_big_alloc(n);
	l->start = ph_big_alloc((n + 1) * sizeof *l->start);
	l->to = ph_big_alloc(e * sizeof *l->to);
	l->suffix = ph_big_alloc(e * sizeof *l->suffix);
	l->work = ph_big_alloc(2 * n * sizeof *l->work);
	l->owners = ph_big_alloc(n * sizeof *l->owners);
	l->cuts = ph_big_alloc(e);
	return l->index && l->type_traits && l->traits && l->start && l->to && l->suffix && l->work && l->owners &&
	       l->cuts;
}

bool ph_local_init(struct ph_local *l, const struct ph_components *c, struct ph_holders *h)
{
	*l = (struct ph_local){ .g = h->g, .c = c, .h = h };
	for (uint32_t i = 0; i < c->n; i++) {
		uint64_t sum = 0;
		for (uint32_t m = c->start[i]; m < c->start[i + 1] && !ph_interrupted_at(m); m++)
			sum += ph_graph_edge_start(h->g, c->members[m] + 1) - ph_graph_edge_start(h->g, c->members[m]);
		if (sum > l->max_edges)
			l->max_edges = sum;
		if (c->start[i + 1] - c->start[i] > l->max_members)
			l->max_members = c->start[i + 1] - c->start[i];
	}
	if (ph_interrupted || !allocate(l))
		return false;
	for (uint32_t t = 0; t < l->g->ntypes; t++)
		l->type_traits[t] = traits_of(h, t);
	for (uint32_t i = 0; i < c->n; i++)
		for (uint32_t m = c->start[i]; m < c->start[i + 1] && !ph_interrupted_at(m); m++)
			l->index[c->members[m]] = m - c->start[i];
	return true;
}

void ph_local_deinit(struct ph_local *l)
{
	size_t n = l->max_members, e = l->max_edges;
	if (!l->c)
		return;
	ph_big_free(l->index, l->c->nnodes * sizeof *l->index);
	free(l->type_traits);
	ph_big_free(l->traits, n);
	ph_big_free(l->start, (n + 1) * sizeof *l->start);
	ph_big_free(l->to, e * sizeof *l->to);
	ph_big_free(l->suffix, e * sizeof *l->suffix);
	ph_big_free(l->work, 2 * n * sizeof *l->work);
	ph_big_free(l->owners, n * sizeof *l->owners);
	ph_big_free(l->cuts, e);
	ph_vec_free(&l->wide_cuts);
	ph_vec_free(&l->lists);
	ph_vec_free(&l->todo);
}

static inline bool is_internal(const struct ph_local *l, uint32_t edge)
{
	return !(edge & PH_CYCLE_DROP) && l->c->of[edge & PH_EDGE_ID] == l->component;
}

bool ph_local_load(struct ph_local *l, uint32_t component)
{
	const struct ph_components *c = l->c;
	uint64_t at = 0;
	l->component = component;
	l->nodes = c->members + c->start[component];
	l->n = c->start[component + 1] - c->start[component];
	l->folding = false;
	for (uint32_t v = 0; v < l->n; v++) {
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(l->g, l->nodes[v], &n);
		l->traits[v] = l->type_traits[l->g->type[l->nodes[v]]];
		l->folding |= !(l->traits[v] & PH_TRAIT_FOLDS);
		l->start[v] = (uint32_t)at;
		for (uint64_t e = 0; e < n; e++)
			if (is_internal(l, edges[e]))
				l->to[at++] = l->index[edges[e] & PH_EDGE_ID];
		if (at > UINT32_MAX || ph_interrupted_at(v))
			return false;
	}
	l->start[l->n] = (uint32_t)at;
	return true;
}

/* The place among the node's edges, from e on, of one that leads to a member. */
static inline uint64_t place_of(const struct ph_local *l, const uint32_t *edges, uint64_t e, uint32_t member)
{
	while ((edges[e] & (PH_EDGE_ID | PH_CYCLE_DROP)) != l->nodes[member])
		e++;
	return e;
}

bool ph_local_label(struct ph_local *l, uint32_t member)
{
	uint32_t node = l->nodes[member], end = l->start[member + 1];
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(l->g, node, &n);
	uint64_t e = 0;
	if (ph_interrupted)
		return false;
	if (l->traits[member] & (PH_TRAIT_LABELLED | PH_TRAIT_PLAIN))
		return true;
	for (uint32_t at = l->start[member]; at < end; at++, e++) {
		ph_label_id id;
		e = place_of(l, edges, e, l->to[at]);
		if (!ph_graph_label_id(l->g, node, e, &id))
			id = PH_LABEL_ID(PH_LABEL_NONE, 0);
		l->suffix[at] = ph_holder_suffix(l->h, node, edges[e] & PH_EDGE_ID, id);
		if (l->suffix[at] == PH_NO_SUFFIX)
			return false;
	}
	l->traits[member] |= PH_TRAIT_LABELLED;
	return true;
}

void ph_local_whole_label(const struct ph_local *l, uint32_t member, uint32_t edge, struct ph_label *ret)
{
	uint64_t n, e = 0;
	const uint32_t *edges = ph_graph_edges(l->g, l->nodes[member], &n);
	for (uint32_t at = l->start[member]; at <= edge; at++, e++)
		e = place_of(l, edges, e, l->to[at]);
	ph_graph_label(l->g, l->nodes[member], e - 1, ret);
}
