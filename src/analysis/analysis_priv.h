/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PYHEAP_ANALYSIS_PRIV_H
#define PYHEAP_ANALYSIS_PRIV_H

#include <pyheap/analysis.h>

#define PH_NO_COMPONENT UINT32_MAX

/* Strongly connected components of part of a graph: in the order of their
 * lowest members, members ascending. */
struct ph_components {
	uint32_t nnodes;   /* of the graph */
	uint32_t n;        /* components */
	uint32_t nmembers; /* of all of them */
	uint32_t *of;      /* [nnodes] component of a node or PH_NO_COMPONENT */
	uint32_t *start;   /* [n + 1] component i is members[start[i]..start[i + 1]) */
	uint32_t *members;
};

/* The marks ph_components_find() starts from. */
#define PH_MARK_IN 0u
#define PH_MARK_OUT UINT32_MAX

struct ph_components_query {
	uint32_t *marks;     /* [g->n] of ph_big_alloc(): PH_MARK_IN or PH_MARK_OUT; consumed,
			      * also on error. Edges to nodes that are out do not count. */
	uint32_t drop_edges; /* edges with one of these flags do not count */
	bool singles;        /* also components of one object that does not refer to itself */
	const uint32_t *candidates; /* [ncandidates] ascending: all nodes that are not out; NULL: any may be in */
	uint32_t ncandidates;
};
struct ph_err *ph_components_find(const struct ph_graph *g, const struct ph_components_query *q,
				  struct ph_components *ret);
void ph_components_deinit(struct ph_components *c);

/* Dominators of the graph in which each component is one node: its lowest member
 * stands for it and dominates the others; its retained bytes are those that go
 * away when the whole component does. */
struct ph_err *ph_dominators_of_components(const struct ph_graph *g, const struct ph_components *c,
					   struct ph_dominators **ret);

/* Sums up retained bytes by class without counting anything twice: for each node
 * v with class_of[key[v]] = k, sum[k] += retained[v] unless v has a dominator of
 * the same class. Nodes whose class is UINT32_MAX take no part. */
struct ph_class_sum {
	const uint32_t *key;      /* [d->n] */
	const uint32_t *class_of; /* [keys], or NULL: the key is the class */
	uint32_t nclasses;
	uint64_t *sum;            /* [nclasses] */
};
struct ph_err *ph_dominators_sum(const struct ph_dominators *d, const struct ph_class_sum *s);

/* ret[type] = one and the same type for all types of that name; [g->ntypes], owned
 * by the caller, NULL when memory is out. */
uint32_t *ph_types_canonical(const struct ph_graph *g);

#endif
