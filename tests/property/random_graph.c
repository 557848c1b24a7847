/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <stdio.h>
#include "random_graph.h"

uint64_t test_seed(void)
{
	static uint64_t seed;
	if (!seed) {
		const char *given = getenv("PYHEAP_TEST_SEED");
		seed = given ? strtoull(given, NULL, 0) : ph_now_ns();
		seed += !seed;
		fprintf(stderr, "PYHEAP_TEST_SEED=%llu\n", (unsigned long long)seed);
	}
	return seed;
}

/* splitmix64 */
uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(rng_next(r) >> 11) % n;
}

bool rng_chance(struct rng *r, uint32_t percent)
{
	return rng_below(r, 100) < percent;
}

static const struct {
	const char *name;
	enum ph_type_class cls;
	bool weakrefable;
} types[] = {
	{ "app.Node", PH_TYPE_ORDINARY, true },  { "app.Row", PH_TYPE_ORDINARY, true },
	{ "app.Node", PH_TYPE_ORDINARY, true },  { "app.Slots", PH_TYPE_ORDINARY, false },
	{ "dict", PH_TYPE_DICT, false },         { "list", PH_TYPE_CONTAINER, false },
	{ "tuple", PH_TYPE_CONTAINER, false },   { "set", PH_TYPE_CONTAINER, true },
	{ "app.Map", PH_TYPE_DICT, true },       { "function", PH_TYPE_INFRASTRUCTURE, true },
	{ "type", PH_TYPE_INFRASTRUCTURE, true }, { "cell", PH_TYPE_ORDINARY, false },
};
#define NTYPES (sizeof types / sizeof *types)

/* A label that an object of that type could have on a reference to `to`. */
static void random_label(struct rng *r, enum ph_type_class from, enum ph_type_class to,
			 enum ph_label_kind *kind, const char **name)
{
	static const char *const names[] = { "a", "b", "parent", "items" };
	*name = "";
	switch (from) {
	case PH_TYPE_CONTAINER:
		*kind = PH_LABEL_INDEX;
		return;
	case PH_TYPE_DICT: {
		static const char *const keys[] = { "'a'", "'b'", "'parent'", "17" };
		*kind = rng_chance(r, 10) ? PH_LABEL_KEY : PH_LABEL_VALUE;
		if (rng_chance(r, 20))
			return;
		*name = keys[rng_below(r, 4)];
		if (rng_chance(r, 85))
			return;
		*kind = PH_LABEL_ATTR;
		break;
	}
	default:
		*kind = PH_LABEL_ATTR;
		if (to == PH_TYPE_DICT && rng_chance(r, 60)) {
			*kind = PH_LABEL_DICT;
			return;
		}
		if (rng_chance(r, 5)) {
			*kind = PH_LABEL_NONE;
			return;
		}
	}
	*name = names[rng_below(r, 4)];
}

/* Adds the edge, and its like in the second half of the graph if there is one. */
static void add_edge(struct ph_graph_builder *b, uint32_t half, uint32_t from, uint32_t to_and_flags,
		     enum ph_label_kind kind, const char *name)
{
	ck_assert(ph_graph_builder_edge(b, from, to_and_flags, kind, name));
	if (half)
		ck_assert(ph_graph_builder_edge(b, from + half, to_and_flags + half, kind, name));
}

static void add_nodes(struct rng *r, struct ph_graph_builder *b, uint32_t half, uint32_t n, uint32_t *type)
{
	uint32_t ntypes = 1 + rng_below(r, NTYPES), shift = rng_below(r, NTYPES);
	uint32_t seeds = rng_below(r, 101);
	for (uint32_t t = 0; t < NTYPES; t++)
		ck_assert_uint_eq(ph_graph_builder_type(b, types[t].name, types[t].cls,
							types[t].weakrefable), t);
	for (uint32_t v = 1; v < n; v++) {
		type[v] = half && v > half ? type[v - half] : (shift + rng_below(r, ntypes)) % NTYPES;
		uint64_t shallow = 16 + rng_below(r, 100);
		if (rng_chance(r, 3))
			shallow += 5000000000u;
		unsigned flags = rng_chance(r, 50) ? PH_NODE_TRACKED : 0;
		if (rng_chance(r, seeds / 4))
			flags |= PH_NODE_SEED;
		ck_assert_uint_eq(ph_graph_builder_node(b, type[v], shallow, rng_below(r, 50), flags), v);
	}
}

struct ph_graph *random_graph(struct rng *r, uint32_t max)
{
	struct ph_graph_builder *b = ph_graph_builder_new();
	uint32_t n = 2 + rng_below(r, max - 1), half = 0, type[SMALL_MAX];
	ck_assert(b && n <= SMALL_MAX);
	if (n > 4 && rng_chance(r, 40)) { /* the same twice */
		half = (n - 1) / 2;
		n = 2 * half + 1;
	}
	add_nodes(r, b, half, n, type);
	uint32_t sources = half ? half : n - 1; /* edges start at nodes 1 to here */
	uint32_t nedges = rng_below(r, sources * (1 + rng_below(r, 4)) + 1);
	uint32_t borrowed = rng_chance(r, 50) ? 0 : rng_below(r, 30);
	for (uint32_t i = 0; i < nedges; i++) {
		uint32_t from = 1 + rng_below(r, sources), to = 1 + rng_below(r, sources);
		if (rng_chance(r, 30)) /* near ones make long paths and small components */
			to = 1 + (from + rng_below(r, 3)) % sources;
		enum ph_label_kind kind;
		const char *name;
		random_label(r, types[type[from]].cls, types[type[to]].cls, &kind, &name);
		uint32_t flags = rng_chance(r, borrowed) ? PH_EDGE_BORROWED : 0;
		add_edge(b, half, from, to | flags, kind, name);
		if (half && rng_chance(r, 5)) /* from one half into the other */
			ck_assert(ph_graph_builder_edge(b, from, (to + half) | flags, kind, name));
	}
	struct ph_graph *g = NULL;
	ph_graph_narrow_edges = rng_chance(r, 50) ? UINT32_MAX : 0;
	ck_assert_ptr_null(ph_graph_builder_finish(b, &g));
	ph_graph_narrow_edges = UINT32_MAX;
	return g;
}

void small_from(const struct ph_graph *g, uint32_t drop, struct small *ret)
{
	*ret = (struct small){ .n = g->n };
	for (uint32_t v = 0; v < g->n; v++) {
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(g, v, &n);
		if (v)
			ret->all |= BIT(v);
		for (uint64_t e = 0; e < n; e++)
			if (v == 0 || !(edges[e] & drop))
				ret->next[v] |= BIT(edges[e] & PH_EDGE_ID);
	}
}

node_set small_reach(const struct small *s, node_set from, node_set in)
{
	node_set seen = from & in, todo = seen;
	while (todo) {
		uint32_t v = (uint32_t)__builtin_ctzll(todo);
		todo &= todo - 1;
		node_set fresh = s->next[v] & in & ~seen;
		seen |= fresh;
		todo |= fresh;
	}
	return seen;
}

void small_hold_garbage(struct small *s)
{
	node_set garbage = s->all & ~small_reach(s, BIT(0), s->all | BIT(0)), held = 0;
	for (uint32_t v = 1; v < s->n; v++) {
		if (!(garbage & BIT(v)))
			continue;
		node_set component = 0, above = 0;
		node_set down = small_reach(s, BIT(v), garbage);
		for (uint32_t u = 1; u < s->n; u++)
			if (garbage & BIT(u) && small_reach(s, BIT(u), garbage) & BIT(v)) {
				above |= BIT(u);
				if (down & BIT(u))
					component |= BIT(u);
			}
		if (above == component)
			held |= component;
	}
	s->next[0] |= held;
}

uint64_t small_bytes(const struct ph_graph *g, node_set set)
{
	uint64_t sum = 0;
	for (uint32_t v = 1; v < g->n; v++)
		if (set & BIT(v))
			sum += ph_graph_bytes(g, v);
	return sum;
}

uint64_t small_retained(const struct ph_graph *g, const struct small *s, node_set set)
{
	node_set in = (s->all | BIT(0)) & ~set;
	return small_bytes(g, s->all & ~small_reach(s, BIT(0), in));
}

uint32_t small_components(const struct small *s, node_set in, node_set ret[SMALL_MAX])
{
	uint32_t n = 0;
	node_set done = 0;
	for (uint32_t v = 1; v < s->n; v++) {
		if (!(in & BIT(v)) || done & BIT(v))
			continue;
		node_set component = BIT(v);
		for (uint32_t u = v + 1; u < s->n; u++)
			if (in & BIT(u) && small_reach(s, BIT(v), in) & BIT(u) &&
			    small_reach(s, BIT(u), in) & BIT(v))
				component |= BIT(u);
		done |= component;
		if (component != BIT(v) || s->next[v] & BIT(v))
			ret[n++] = component;
	}
	return n;
}
