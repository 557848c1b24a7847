/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Graphs that are large, deep or built to make an algorithm slow. */
#include <check.h>
#include <pthread.h>
#include "../../src/analysis/dominators_priv.h"
#include "random_graph.h"

/* Check notes each assertion in a file: not a million times, please. */
#define MILLION 1000000u
#define SMALL_STACK (256u << 10)

enum { NODE, LIST };

static struct ph_graph_builder *builder_new(void)
{
	struct ph_graph_builder *b = ph_graph_builder_new();
	ck_assert_ptr_nonnull(b);
	ck_assert_uint_eq(ph_graph_builder_type(b, "app.Node", PH_TYPE_ORDINARY, true), NODE);
	ck_assert_uint_eq(ph_graph_builder_type(b, "list", PH_TYPE_CONTAINER, false), LIST);
	return b;
}

static struct ph_graph *finish(struct ph_graph_builder *b)
{
	struct ph_graph *g = NULL;
	ck_assert_ptr_null(ph_graph_builder_finish(b, &g));
	return g;
}

static void add_nodes(struct ph_graph_builder *b, uint32_t n, uint32_t type)
{
	bool ok = true;
	for (uint32_t v = 1; v <= n; v++)
		ok &= ph_graph_builder_node(b, type, 1, 0, v == 1 ? PH_NODE_SEED : 0) == v;
	ck_assert(ok);
}

static void add_edge(struct ph_graph_builder *b, uint32_t from, uint32_t to, const char *name)
{
	/* the builder remembers a failure, finish() reports it */
	ph_graph_builder_edge(b, from, to, *name ? PH_LABEL_ATTR : PH_LABEL_INDEX, name);
}

/* ---- deep graphs on a small stack ------------------------------------------------------ */

struct deep {
	struct ph_graph *g;
	struct ph_dominators *d;
	struct ph_histogram *h;
	struct ph_cycles *c;
};

static void *analyse(void *arg)
{
	struct deep *deep = arg;
	struct ph_cycles_options opt = { 0 };
	ck_assert_ptr_null(ph_graph_find_garbage(deep->g));
	ck_assert_ptr_null(ph_dominators_compute(deep->g, &deep->d));
	ck_assert_ptr_null(ph_histogram_compute(deep->g, deep->d, &deep->h));
	ck_assert_ptr_null(ph_cycles_find(deep->g, &opt, &deep->c));
	return NULL;
}

static void analyse_on_small_stack(struct deep *deep)
{
	pthread_attr_t attr;
	pthread_t thread;
	ck_assert_int_eq(pthread_attr_init(&attr), 0);
	ck_assert_int_eq(pthread_attr_setstacksize(&attr, SMALL_STACK), 0);
	ck_assert_int_eq(pthread_create(&thread, &attr, analyse, deep), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attr);
}

static void deep_free(struct deep *deep)
{
	ph_cycles_free(deep->c);
	ph_histogram_free(deep->h);
	ph_dominators_free(deep->d);
	ph_graph_free(deep->g);
}

START_TEST(million_long_list)
{
	struct ph_graph_builder *b = builder_new();
	add_nodes(b, MILLION, NODE);
	for (uint32_t v = 1; v < MILLION; v++)
		add_edge(b, v, v + 1, "next");
	struct deep deep = { .g = finish(b) };
	analyse_on_small_stack(&deep);
	bool ok = true;
	for (uint32_t v = 1; v <= MILLION; v++)
		ok &= deep.d->idom[v] == v - 1 && ph_retained(deep.d, v) == MILLION + 1 - v;
	ck_assert(ok);
	ck_assert_uint_eq(deep.h->rows[0].retained_bytes, MILLION);
	ck_assert_uint_eq(deep.c->n, 0);
	deep_free(&deep);
}
END_TEST

START_TEST(million_long_ring)
{
	struct ph_graph_builder *b = builder_new();
	add_nodes(b, MILLION, NODE);
	for (uint32_t v = 1; v <= MILLION; v++)
		add_edge(b, v, v % MILLION + 1, "next");
	struct deep deep = { .g = finish(b) };
	analyse_on_small_stack(&deep);
	ck_assert_uint_eq(deep.c->n, 1);
	const struct ph_cycle_group *group = &deep.c->groups[0];
	ck_assert_uint_eq(group->length, MILLION);
	ck_assert_uint_eq(group->nshape, 1);
	ck_assert_str_eq(group->labels[0], ".next");
	ck_assert_uint_eq(group->objects, MILLION);
	ck_assert_uint_eq(group->retained_bytes, MILLION);
	ck_assert_str_eq(group->cut_label, ".next");
	deep_free(&deep);
}
END_TEST

START_TEST(million_doubly_linked)
{
	struct ph_graph_builder *b = builder_new();
	add_nodes(b, MILLION, NODE);
	for (uint32_t v = 1; v < MILLION; v++) {
		add_edge(b, v, v + 1, "next");
		add_edge(b, v + 1, v, "prev");
	}
	struct deep deep = { .g = finish(b) };
	analyse_on_small_stack(&deep);
	bool ok = true;
	for (uint32_t v = 1; v <= MILLION; v++)
		ok &= deep.d->idom[v] == v - 1;
	ck_assert(ok);
	ck_assert_uint_eq(deep.c->n, 1);
	ck_assert_uint_eq(deep.c->groups[0].length, 2);
	ck_assert_str_eq(deep.c->groups[0].cut_label, ".prev");
	deep_free(&deep);
}
END_TEST

/* A list in a list in a list …, and the innermost holds the outermost. */
START_TEST(million_nested_lists)
{
	struct ph_graph_builder *b = builder_new();
	add_nodes(b, MILLION, LIST);
	for (uint32_t v = 1; v <= MILLION; v++)
		add_edge(b, v, v % MILLION + 1, "");
	struct deep deep = { .g = finish(b) };
	analyse_on_small_stack(&deep);
	ck_assert_uint_eq(deep.c->n, 1);
	ck_assert_uint_eq(deep.c->groups[0].length, MILLION);
	ck_assert_str_eq(deep.c->groups[0].shape[0], "list");
	ck_assert_str_eq(deep.c->groups[0].labels[0], "[]");
	ck_assert(!deep.c->groups[0].has_cut);
	deep_free(&deep);
}
END_TEST

/* The same, but an instance is at both ends: one step, a million containers. */
START_TEST(million_lists_in_one_step)
{
	struct ph_graph_builder *b = builder_new();
	ck_assert_uint_eq(ph_graph_builder_node(b, NODE, 1, 0, PH_NODE_SEED), 1);
	for (uint32_t v = 2; v <= MILLION; v++)
		ph_graph_builder_node(b, LIST, 1, 0, 0);
	add_edge(b, 1, 2, "rows");
	for (uint32_t v = 2; v <= MILLION; v++)
		add_edge(b, v, v % MILLION + 1, "");
	struct deep deep = { .g = finish(b) };
	analyse_on_small_stack(&deep);
	ck_assert_uint_eq(deep.c->n, 1);
	ck_assert_uint_eq(deep.c->groups[0].length, 1);
	ck_assert_uint_eq(strncmp(deep.c->groups[0].labels[0], ".rows[][]", 9), 0);
	deep_free(&deep);
}
END_TEST

START_TEST(half_a_million_components)
{
	struct ph_graph_builder *b = builder_new();
	for (uint32_t v = 1; v <= MILLION; v++)
		ph_graph_builder_node(b, NODE, 1, 0, 0);
	for (uint32_t v = 1; v <= MILLION; v += 2) {
		add_edge(b, v, v + 1, "child");
		add_edge(b, v + 1, v, "parent");
	}
	struct deep deep = { .g = finish(b) };
	analyse_on_small_stack(&deep);
	ck_assert_uint_eq(deep.g->garbage_objects, MILLION);
	ck_assert_uint_eq(deep.c->n, 1);
	ck_assert_uint_eq(deep.c->groups[0].count, MILLION / 2);
	ck_assert_uint_eq(deep.c->groups[0].retained_bytes, MILLION);
	ck_assert_str_eq(deep.c->groups[0].cut_label, ".parent");
	deep_free(&deep);
}
END_TEST

/* ---- graphs that make walks quadratic ---------------------------------------------------- */

/* A chain, and leaves held by its end and by one of its nodes: the dominator of
 * each leaf is that node, and a walk up from the end is as long as the chain. In the second
 * run they refer to themselves, so that they take part in the search. */
START_TEST(long_walks_to_the_dominator)
{
	struct rng r = { test_seed() };
	const uint32_t chain = MILLION / 2;
	struct ph_graph_builder *b = builder_new();
	uint32_t *holder = calloc(MILLION + 1, sizeof *holder);
	ck_assert_ptr_nonnull(holder);
	add_nodes(b, MILLION, NODE);
	for (uint32_t v = 1; v < chain; v++)
		add_edge(b, v, v + 1, "next");
	for (uint32_t v = chain + 1; v <= MILLION; v++) {
		holder[v] = 1 + rng_below(&r, chain / 100);
		add_edge(b, chain, v, "leaf");
		add_edge(b, holder[v], v, "leaf");
		if (_i)
			add_edge(b, v, v, "me");
	}
	struct ph_graph *g = finish(b);
	struct ph_dominators *d;
	ck_assert_ptr_null(ph_dominators_compute(g, &d));
	bool ok = true;
	for (uint32_t v = 1; v <= MILLION; v++)
		ok &= d->idom[v] == (v <= chain ? v - 1 : holder[v]);
	ck_assert(ok);
	ph_dominators_free(d);
	ph_graph_free(g);
	free(holder);
}
END_TEST

/* ---- middle-sized graphs against a plain iterative algorithm -------------------------------- */

#define MIDDLE 3000u

/* Immediate dominators of a graph that is reached whole from node 0: intersect
 * along postorder numbers until nothing changes (Cooper, Harvey, Kennedy). */
struct plain {
	const struct ph_graph *g;
	uint32_t order[MIDDLE], number[MIDDLE], idom[MIDDLE];
	struct PH_VEC(uint32_t) before[MIDDLE];
};

static void plain_order(struct plain *p)
{
	static uint64_t at[MIDDLE];
	static uint32_t stack[MIDDLE];
	static bool seen[MIDDLE];
	uint32_t depth = 1, done = 0;
	memset(at, 0, sizeof at);
	memset(seen, 0, sizeof seen);
	stack[0] = 0;
	seen[0] = true;
	while (depth) {
		uint32_t v = stack[depth - 1];
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(p->g, v, &n);
		if (at[v] == n) {
			p->number[v] = done;
			p->order[done++] = v;
			depth--;
			continue;
		}
		uint32_t to = edges[at[v]++] & PH_EDGE_ID;
		if (!PH_VEC_PUSH(&p->before[to], v))
			ck_abort_msg("out of memory");
		if (!seen[to]) {
			seen[to] = true;
			stack[depth++] = to;
		}
	}
	ck_assert_uint_eq(done, p->g->n);
}

static void plain_idom(struct plain *p)
{
	bool changed = true;
	memset(p->idom, 0xff, sizeof p->idom);
	p->idom[0] = 0;
	while (changed) {
		changed = false;
		for (uint32_t i = p->g->n - 1; i-- > 0;) {
			uint32_t v = p->order[i], best = UINT32_MAX;
			for (size_t k = 0; k < p->before[v].n; k++) {
				uint32_t a = p->before[v].items[k], c = best;
				if (p->idom[a] == UINT32_MAX)
					continue;
				while (c != UINT32_MAX && a != c) {
					while (p->number[a] < p->number[c])
						a = p->idom[a];
					while (p->number[c] < p->number[a])
						c = p->idom[c];
				}
				best = a;
			}
			changed |= p->idom[v] != best;
			p->idom[v] = best;
		}
	}
}

/* A chain whose nodes hold each other at random, and others held at random: deep
 * dominator trees with long walks, edges back and across. */
static struct ph_graph *tangled(struct rng *r)
{
	struct ph_graph_builder *b = builder_new();
	uint32_t n = 100 + rng_below(r, MIDDLE - 200), chain = 1 + rng_below(r, n - 1);
	uint32_t extra = rng_below(r, 3), span = 1 + rng_below(r, n);
	add_nodes(b, n, NODE);
	for (uint32_t v = 1; v < n; v++)
		add_edge(b, v < chain ? v : 1 + rng_below(r, v), v + 1, "next");
	for (uint32_t i = 0; i < n * extra / 2; i++) {
		uint32_t from = 1 + rng_below(r, n), step = rng_below(r, span);
		add_edge(b, from, rng_chance(r, 50) ? 1 + (from + step) % n : 1 + rng_below(r, n), "x");
	}
	for (uint32_t v = chain + 1; v <= n; v++)
		if (rng_chance(r, 60)) {
			add_edge(b, chain, v, "last");
			add_edge(b, 1 + rng_below(r, chain), v, "any");
		}
	return finish(b);
}

/* By way of domtree.c; NULL where it gives up. */
static struct ph_dominators *domtree(const struct ph_graph *g, const struct ph_components *c, uint64_t budget)
{
	struct ph_dominators *d = ph_dominators_new(g);
	bool found;
	ck_assert_ptr_nonnull(d);
	ck_assert_ptr_null(ph_domtree_compute(g, c, budget, d, &found));
	if (found)
		return d;
	ph_dominators_free(d);
	return NULL;
}

static bool same(const struct ph_dominators *a, const struct ph_dominators *b)
{
	size_t n = a->n;
	bool equal = !memcmp(a->idom, b->idom, n * sizeof *a->idom) &&
		     !memcmp(a->objects, b->objects, n * sizeof *a->objects);
	for (uint32_t v = 0; v < n; v++)
		equal &= ph_retained(a, v) == ph_retained(b, v);
	return equal;
}

/* Both ways for the graph in which the components of part of its edges are one node each. */
static void check_components(const struct ph_graph *g)
{
	struct ph_components_query q = { .drop_edges = PH_EDGE_BORROWED };
	struct ph_components c;
	q.marks = ph_big_alloc(g->n * sizeof *q.marks);
	ck_assert_ptr_nonnull(q.marks);
	ck_assert_ptr_null(ph_components_find(g, &q, &c));
	struct ph_dominators *a = ph_dominators_new(g), *b = domtree(g, &c, UINT64_MAX);
	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_null(ph_seminca_compute(g, &c, a));
	ck_assert(b && same(a, b));
	ph_dominators_free(a);
	ph_dominators_free(b);
	ph_components_deinit(&c);
}

START_TEST(middle_sized_graphs)
{
	static struct plain p;
	uint32_t found = 0;
	for (uint64_t i = 0; i < 150; i++) {
		struct rng r = { test_seed() + i };
		struct ph_dominators *d, *tree, *hurried;
		memset(&p, 0, sizeof p);
		struct ph_graph *g = tangled(&r);
		p.g = g;
		plain_order(&p);
		plain_idom(&p);
		ck_assert_ptr_null(ph_dominators_compute(g, &d));
		for (uint32_t v = 0; v < g->n; v++)
			if (d->idom[v] != p.idom[v])
				ck_abort_msg("graph %llu: idom of %u is %u, not %u",
					     (unsigned long long)i, v, p.idom[v], d->idom[v]);
		tree = domtree(g, NULL, UINT64_MAX);
		ck_assert(tree && same(d, tree));
		hurried = domtree(g, NULL, 1 + rng_below(&r, 4 * g->n));
		ck_assert(!hurried || same(d, hurried));
		found += hurried != NULL;
		for (uint64_t e = 0; e < g->nedges; e++)
			if (rng_chance(&r, 60))
				g->edges[e] |= PH_EDGE_BORROWED;
		check_components(g);
		for (uint32_t v = 0; v < g->n; v++)
			ph_vec_free(&p.before[v]);
		ph_dominators_free(hurried);
		ph_dominators_free(tree);
		ph_dominators_free(d);
		ph_graph_free(g);
	}
	ck_assert(found > 0 && found < 150);
}
END_TEST

/* Objects in a list that hold each other at random: what references lead to is anywhere,
 * so domtree.c is taken. */
START_TEST(scattered)
{
	struct rng r = { test_seed() };
	const uint32_t n = MILLION / 5;
	struct ph_graph_builder *b = builder_new();
	add_nodes(b, n, NODE);
	for (uint32_t v = 2; v <= n; v++) {
		add_edge(b, 1, v, "");
		for (int i = 0; i < 3 && v % 3; i++)
			add_edge(b, v, 1 + rng_below(&r, n), "any");
	}
	struct ph_graph *g = finish(b);
	struct ph_dominators *d, *other = ph_dominators_new(g);
	ck_assert_ptr_null(ph_dominators_compute(g, &d));
	ck_assert_ptr_null(ph_seminca_compute(g, NULL, other));
	ck_assert(same(d, other));
	bool ok = true;
	for (uint32_t v = 2; v <= n; v++)
		ok &= d->idom[v] == 1;
	ck_assert(ok);
	ck_assert_uint_eq(d->objects[1], n);
	ph_dominators_free(other);
	ph_dominators_free(d);
	ph_graph_free(g);
}
END_TEST

Suite *scale_suite(void);
Suite *scale_suite(void)
{
	test_seed(); /* printed here, before the tests fork */
	Suite *s = suite_create("large and deep graphs");
	TCase *t = tcase_create("large");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, million_long_list);
	tcase_add_test(t, million_long_ring);
	tcase_add_test(t, million_doubly_linked);
	tcase_add_test(t, million_nested_lists);
	tcase_add_test(t, million_lists_in_one_step);
	tcase_add_test(t, half_a_million_components);
	tcase_add_loop_test(t, long_walks_to_the_dominator, 0, 2);
	tcase_add_test(t, middle_sized_graphs);
	tcase_add_test(t, scattered);
	suite_add_tcase(s, t);
	return s;
}
