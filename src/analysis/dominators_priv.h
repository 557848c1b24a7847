/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two ways to the dominators. seminca.c searches depth-first: fast where objects are beside
 * what holds them, and never much slower but for the waiting for memory. domtree.c searches
 * breadth-first and waits less: several times as fast where references lead all over the
 * memory, unless there are too many that lead back to what is nearer to the roots. */
#ifndef PYHEAP_DOMINATORS_PRIV_H
#define PYHEAP_DOMINATORS_PRIV_H

#include "analysis_priv.h"

/* With arrays that nothing is in; NULL: memory is out. */
struct ph_dominators *ph_dominators_new(const struct ph_graph *g);
/* Each fills all arrays of ret; c: components that are one node each, or NULL.
 * *ret_found = false: more steps than the budget (> 0) would be needed besides those that
 * every graph needs, and what is in the arrays means nothing. */
struct ph_err *ph_domtree_compute(const struct ph_graph *g, const struct ph_components *c,
				  uint64_t budget, struct ph_dominators *ret, bool *ret_found);
struct ph_err *ph_seminca_compute(const struct ph_graph *g, const struct ph_components *c,
				  struct ph_dominators *ret);

/* Fills what is not filled yet, all but idom. order: [n] of ph_big_alloc(), nodes, 0 first,
 * each after its dominator; consumed. All others are leaves. */
struct ph_err *ph_dominators_finish(const struct ph_graph *g, const struct ph_components *c, uint32_t *order,
				    uint32_t n, struct ph_dominators *ret);

/* What node 0 holds besides its seeds: all objects of those components that no other
 * refers to, of what is marked PH_MARK_IN. marks: [g->n], as ph_components_find() wants
 * them; consumed. *ret: free(). */
struct ph_err *ph_garbage_sources(const struct ph_graph *g, uint32_t *marks, uint32_t **ret, uint32_t *ret_n);

static inline uint32_t ph_component_lowest(const struct ph_components *c, uint32_t node)
{
	uint32_t i = c->of[node];
	return i == PH_NO_COMPONENT ? node : c->members[c->start[i]];
}

/* What refers to nothing, and is not part of a component. */
static inline bool ph_dominators_is_leaf(const struct ph_graph *g, const struct ph_components *c, uint32_t node)
{
	return !ph_graph_has_edges(g, node) && node != 0 && (!c || c->of[node] == PH_NO_COMPONENT);
}

#endif
