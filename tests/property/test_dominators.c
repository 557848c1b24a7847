/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dominators, retained sizes and histograms against their definitions. */
#include <check.h>
#include "../../src/analysis/dominators_priv.h"
#include "random_graph.h"

#define GRAPHS 3000

/* ret[v]: what goes away with v, itself included. */
static void dominated_sets(const struct small *s, node_set ret[SMALL_MAX])
{
	node_set all = s->all | BIT(0);
	ret[0] = all;
	for (uint32_t v = 1; v < s->n; v++)
		ret[v] = all & ~small_reach(s, BIT(0), all & ~BIT(v));
}

static uint32_t naive_idom(uint32_t n, const node_set dominated[SMALL_MAX], uint32_t v)
{
	uint32_t best = 0;
	for (uint32_t d = 1; d < n; d++)
		if (d != v && dominated[d] & BIT(v) && dominated[best] & BIT(d))
			best = d;
	return best;
}

static void check_preorder(const struct ph_dominators *d, const node_set dominated[SMALL_MAX])
{
	node_set seen = 0;
	for (uint32_t i = 0; i < d->n; i++) {
		uint32_t v = d->preorder[i];
		ck_assert_uint_lt(v, d->n);
		ck_assert(!(seen & BIT(v)));
		ck_assert(i == 0 || seen & BIT(d->idom[v]));
		seen |= BIT(v);
		node_set run = 0;
		ck_assert_uint_eq(d->objects[v], (uint32_t)__builtin_popcountll(dominated[v]));
		for (int k = 0; k < __builtin_popcountll(dominated[v]); k++)
			run |= BIT(d->preorder[i + (uint32_t)k]);
		ck_assert_uint_eq(run, dominated[v]);
	}
}

static void check_types(const struct ph_graph *g, const struct ph_dominators *d,
			const node_set dominated[SMALL_MAX])
{
	struct ph_histogram *h;
	ck_assert_ptr_null(ph_histogram_compute(g, d, &h));
	uint64_t objects = 0;
	for (uint32_t r = 0; r < h->n; r++) {
		const char *name = g->types[h->rows[r].type].name;
		struct ph_histogram_row want = { 0 };
		for (uint32_t v = 1; v < g->n; v++) {
			bool counted = true;
			if (strcmp(g->types[g->type[v]].name, name))
				continue;
			for (uint32_t u = 1; u < g->n; u++)
				if (u != v && !strcmp(g->types[g->type[u]].name, name) &&
				    dominated[u] & BIT(v))
					counted = false;
			want.count++;
			want.shallow_bytes += ph_graph_shallow(g, v);
			want.uncounted_bytes += ph_graph_uncounted(g, v);
			if (counted)
				want.retained_bytes += small_bytes(g, dominated[v]);
		}
		ck_assert_uint_eq(h->rows[r].count, want.count);
		ck_assert_uint_eq(h->rows[r].shallow_bytes, want.shallow_bytes);
		ck_assert_uint_eq(h->rows[r].uncounted_bytes, want.uncounted_bytes);
		ck_assert_uint_eq(h->rows[r].retained_bytes, want.retained_bytes);
		ck_assert_uint_ge(want.retained_bytes, want.shallow_bytes + want.uncounted_bytes);
		objects += want.count;
		if (r) {
			const struct ph_histogram_row *above = &h->rows[r - 1];
			ck_assert_uint_ge(above->retained_bytes, want.retained_bytes);
			ck_assert(above->retained_bytes > want.retained_bytes ||
				  strcmp(g->types[above->type].name, name) < 0);
		}
	}
	ck_assert_uint_eq(objects, g->n - 1);
	ph_histogram_free(h);
}

/* Both ways on their own; which one is taken depends on the graph. */
static struct ph_dominators *by(bool domtree, const struct ph_graph *g, const struct ph_components *c)
{
	struct ph_dominators *d = ph_dominators_new(g);
	bool found = true;
	ck_assert_ptr_nonnull(d);
	ck_assert_ptr_null(domtree ? ph_domtree_compute(g, c, UINT64_MAX, d, &found) : ph_seminca_compute(g, c, d));
	ck_assert(found);
	return d;
}

static uint32_t check_dominators(const struct ph_graph *g, const struct ph_dominators *d,
				 const node_set dominated[SMALL_MAX], node_set all)
{
	uint32_t deep = 0;
	ck_assert_uint_eq(d->n, g->n);
	for (uint32_t v = 1; v < g->n; v++) {
		uint32_t idom = naive_idom(g->n, dominated, v);
		ck_assert_msg(d->idom[v] == idom, "idom of %u is %u, not %u", v, idom, d->idom[v]);
		ck_assert_uint_eq(ph_retained(d, v), small_bytes(g, dominated[v]));
		deep += idom != 0;
	}
	ck_assert_uint_eq(d->idom[0], 0);
	ck_assert_uint_eq(ph_retained(d, 0), small_bytes(g, all));
	check_preorder(d, dominated);
	return deep;
}

START_TEST(dominators_are_as_defined)
{
	uint32_t with_garbage = 0, deep = 0;
	for (uint64_t i = 0; i < GRAPHS; i++) {
		struct rng r = { test_seed() + i };
		struct ph_graph *g = random_graph(&r, i % 2 ? 12 : SMALL_MAX);
		struct small s;
		node_set dominated[SMALL_MAX];
		small_from(g, 0, &s);
		small_hold_garbage(&s);
		dominated_sets(&s, dominated);
		for (int domtree = 0; domtree < 2; domtree++) {
			struct ph_dominators *d = by(domtree, g, NULL);
			deep += check_dominators(g, d, dominated, s.all);
			check_types(g, d, dominated);
			ph_dominators_free(d);
		}
		with_garbage += g->garbage_objects != 0;
		ph_graph_free(g);
	}
	/* the graphs are worth something only if these occur */
	ck_assert_uint_gt(with_garbage, GRAPHS / 4);
	ck_assert_uint_gt(deep, GRAPHS);
}
END_TEST

/* Components as one node each: what test_cycles.c checks of one way is so of the other. */
START_TEST(both_ways_agree_on_components)
{
	uint32_t members = 0;
	for (uint64_t i = 0; i < GRAPHS; i++) {
		struct rng r = { test_seed() + i };
		struct ph_graph *g = random_graph(&r, SMALL_MAX);
		struct ph_components_query q = { .drop_edges = i % 2 ? PH_EDGE_BORROWED : 0 };
		struct ph_components c;
		q.marks = ph_big_alloc(g->n * sizeof *q.marks);
		ck_assert_ptr_nonnull(q.marks);
		ck_assert_ptr_null(ph_components_find(g, &q, &c));
		struct ph_dominators *a = by(false, g, &c), *b = by(true, g, &c);
		for (uint32_t v = 0; v < g->n; v++) {
			ck_assert_uint_eq(a->idom[v], b->idom[v]);
			ck_assert_uint_eq(ph_retained(a, v), ph_retained(b, v));
			ck_assert_uint_eq(a->objects[v], b->objects[v]);
		}
		members += c.nmembers;
		ph_dominators_free(a);
		ph_dominators_free(b);
		ph_components_deinit(&c);
		ph_graph_free(g);
	}
	ck_assert_uint_gt(members, GRAPHS);
}
END_TEST

/* CPython's collector, by definition: of the tracked garbage, what keeps a count when
 * the references that tracked garbage visits are taken off, and what that reaches. */
static uint64_t collectable(const struct ph_graph *g, node_set garbage)
{
	node_set candidates = 0, held = 0, before;
	for (uint32_t v = 1; v < g->n; v++)
		if (garbage & BIT(v) && g->flags[v] & PH_NODE_TRACKED)
			candidates |= BIT(v);
	for (uint32_t v = 1; v < g->n; v++) {
		uint64_t visits = 0;
		for (uint32_t u = 1; u < g->n; u++)
			for (uint64_t e = ph_graph_edge_start(g, u); candidates & BIT(u) && e < ph_graph_edge_start(g, u + 1); e++)
				visits += g->edges[e] == v;
		if (candidates & BIT(v) && g->refcount[v] > visits)
			held |= BIT(v);
	}
	do {
		before = held;
		for (uint32_t u = 1; u < g->n; u++)
			for (uint64_t e = ph_graph_edge_start(g, u); held & BIT(u) && e < ph_graph_edge_start(g, u + 1); e++)
				if (!(g->edges[e] & PH_EDGE_OWNED))
					held |= BIT(g->edges[e] & PH_EDGE_ID) & candidates;
	} while (held != before);
	return (uint64_t)__builtin_popcountll(candidates & ~held);
}

START_TEST(garbage_is_what_no_seed_reaches)
{
	bool some = false;
	for (uint64_t i = 0; i < GRAPHS; i++) {
		struct rng r = { test_seed() + i };
		struct ph_graph *g = random_graph(&r, SMALL_MAX);
		struct small s;
		small_from(g, 0, &s);
		node_set garbage = s.all & ~small_reach(&s, BIT(0), s.all | BIT(0));
		for (uint32_t v = 1; v < g->n; v++)
			ck_assert_int_eq(!!(g->flags[v] & PH_NODE_GARBAGE), !!(garbage & BIT(v)));
		ck_assert_uint_eq(g->garbage_objects, (uint64_t)__builtin_popcountll(garbage));
		ck_assert_uint_eq(g->garbage_tracked, collectable(g, garbage));
		some |= g->garbage_tracked != 0;
		ck_assert_uint_eq(g->garbage_bytes, small_bytes(g, garbage));
		ph_graph_free(g);
	}
	ck_assert(some);
}
END_TEST

Suite *dominators_suite(void);
Suite *dominators_suite(void)
{
	test_seed(); /* printed here, before the tests fork */
	Suite *s = suite_create("dominators against the definition");
	TCase *t = tcase_create("random graphs");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, dominators_are_as_defined);
	tcase_add_test(t, both_ways_agree_on_components);
	tcase_add_test(t, garbage_is_what_no_seed_reaches);
	suite_add_tcase(s, t);
	return s;
}
