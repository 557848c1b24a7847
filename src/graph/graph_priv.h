/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What graph.c offers to those who fill a graph: build.c, builder.c, snapshots. */
#ifndef PYHEAP_GRAPH_PRIV_H
#define PYHEAP_GRAPH_PRIV_H

#include <pyheap/graph.h>

/* First member of whatever graph->priv points to; ph_graph_free() calls it. */
struct ph_graph_priv {
	void (*free)(struct ph_graph_priv *priv); /* frees priv itself, too */
};

/* An empty graph, to be filled and freed with ph_graph_free(); NULL = out of memory. */
struct ph_graph *ph_graph_new(void);
/* Zeroed arrays for n nodes: address, type, shallow_, uncounted_, refcount, flags
 * of n entries, edge_start of n + 1. They are ph_big_alloc() memory of exactly
 * that size; who fills them in another way keeps to that. Sets g->n. */
bool ph_graph_alloc_nodes(struct ph_graph *g, uint32_t n);
/* Zeroed g->edges for nedges edges: ph_big_alloc(nedges * sizeof *edges). Sets g->nedges. */
bool ph_graph_alloc_edges(struct ph_graph *g, uint64_t nedges);
/* types, roots, big and seeds are malloc() memory, as are names in them. */

/* Sets the totals but those of the garbage, from the arrays. */
void ph_graph_sum(struct ph_graph *g);

#endif
