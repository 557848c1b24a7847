/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small random graphs, and what follows from the definitions when sets of nodes
 * are taken as bits of one word. */
#ifndef PYHEAP_TEST_RANDOM_GRAPH_H
#define PYHEAP_TEST_RANDOM_GRAPH_H

#include <pyheap/graph.h>

#define SMALL_MAX 64 /* nodes of a small graph, node 0 included: bits of a set */
typedef uint64_t node_set;
#define BIT(v) (1ull << (v))

/* PYHEAP_TEST_SEED, or a new one each run; printed once. */
uint64_t test_seed(void);
struct rng {
	uint64_t state;
};
uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n);     /* n > 0 */
bool rng_chance(struct rng *r, uint32_t percent);

/* A graph of 2 to `max` nodes with types of all classes, some of equal name,
 * labelled edges, self references, repeated edges, borrowed edges, garbage. */
struct ph_graph *random_graph(struct rng *r, uint32_t max);

/* The same graph as sets: the successors of each node. */
struct small {
	uint32_t n;
	node_set all;            /* without node 0 */
	node_set next[SMALL_MAX];
};
/* Edges with one of the flags `drop` are left out; node 0 leads to the seeds. */
void small_from(const struct ph_graph *g, uint32_t drop, struct small *ret);
/* What can be reached from the set, itself included, within `in`. */
node_set small_reach(const struct small *s, node_set from, node_set in);
/* Adds to node 0 what it is taken to hold of the garbage. */
void small_hold_garbage(struct small *s);
/* Bytes of a set. */
uint64_t small_bytes(const struct ph_graph *g, node_set set);
/* Bytes that go away with the set (small_hold_garbage() was called). */
uint64_t small_retained(const struct ph_graph *g, const struct small *s, node_set set);
/* The strongly connected components of `in` with a cycle; at most SMALL_MAX of
 * them, by lowest member. */
uint32_t small_components(const struct small *s, node_set in, node_set ret[SMALL_MAX]);

#endif
