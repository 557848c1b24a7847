/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths of random graphs against a search that goes on until nothing gets better. */
#include <check.h>
#include <fnmatch.h>
#include "../../src/analysis/paths_priv.h"
#include "random_graph.h"

Suite *paths_suite(void);

#define GRAPHS 600
#define FAR UINT64_MAX
#define COST(penalty, length) ((uint64_t)(penalty) << 32 | (length))

/* Roots with names, which graphs made by hand have none of. */
static void add_roots(struct ph_graph *g, struct rng *r)
{
	static const uint8_t kinds[] = { PH_ROOT_LOCAL, PH_ROOT_MODULE, PH_ROOT_INTERP };
	uint32_t n = rng_below(r, 4);
	g->roots = calloc(n + 1, sizeof *g->roots);
	ck_assert_ptr_nonnull(g->roots);
	for (uint32_t i = 0; i < n; i++)
		g->roots[g->nroots++] = (struct ph_graph_root){ .node = 1 + rng_below(r, g->n - 1), .kind = kinds[i % 3],
								.borrowed = rng_chance(r, 10), .frame = UINT32_MAX,
								.name = strdup(i % 2 ? "one" : "two") };
}

/* ---- the same, naively ------------------------------------------------------------------ */

struct naive {
	const struct ph_graph *g;
	const struct ph_reach_options *o;
	uint8_t *marks;
	uint64_t cost[2][SMALL_MAX]; /* without and with a match of `through` */
};

static bool any(const char *const *patterns, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (!fnmatch(patterns[i], text, 0))
			return true;
	return false;
}

static void relax(struct naive *v, uint32_t node, bool matched, uint64_t cost, bool *changed)
{
	const char *type = v->g->types[v->g->type[node]].name;
	if (any(v->o->avoid, v->o->navoid, type))
		return;
	matched = v->o->nthrough && (matched || any(v->o->through, v->o->nthrough, type));
	if (cost >= v->cost[matched][node])
		return;
	v->cost[matched][node] = cost;
	*changed = true;
}

static unsigned edge_cost(const struct naive *v, uint32_t from, uint32_t edge)
{
	return v->o->plain ? 0 : ph_edge_penalty(v->g, v->marks, from, edge);
}

static bool passes(const struct naive *v, uint32_t from, uint32_t edge)
{
	return !v->o->nthrough || edge & PH_EDGE_BORROWED || !edge_cost(v, from, edge);
}

static void naive_search(struct naive *v)
{
	const struct ph_graph *g = v->g;
	bool changed = true;
	memset(v->cost, 0xff, sizeof v->cost);
	for (uint32_t i = 0; i < g->nroots; i++)
		relax(v, g->roots[i].node, false, COST(v->o->plain ? 0 : ph_root_penalty(&g->roots[i]), 0), &changed);
	for (uint32_t i = 0; i < g->nseeds; i++) {
		struct ph_graph_root root = { .kind = PH_ROOT_C };
		if (g->types[g->type[g->seeds[i]]].form == PH_FORM_TYPE && !(g->flags[g->seeds[i]] & PH_NODE_TRACKED))
			root.kind = PH_ROOT_STATIC;
		else if (g->flags[g->seeds[i]] & PH_NODE_IMMORTAL)
			root.kind = PH_ROOT_IMMORTAL;
		relax(v, g->seeds[i], false, COST(v->o->plain ? 0 : ph_root_penalty(&root), 0), &changed);
	}
	while (changed) {
		changed = false;
		for (uint32_t from = 1; from < g->n; from++)
			for (int m = 0; m < 2; m++)
				for (uint64_t e = ph_graph_edge_start(g, from); e < ph_graph_edge_start(g, from + 1); e++)
					if (v->cost[m][from] != FAR && passes(v, from, g->edges[e]))
						relax(v, g->edges[e] & PH_EDGE_ID, m, v->cost[m][from] +
						      COST(edge_cost(v, from, g->edges[e]), 1), &changed);
	}
}

/* ---- paths ---------------------------------------------------------------------------------- */

/* That it is one, and what it costs. */
static uint64_t cost_of(const struct naive *v, const struct ph_path *p, uint32_t node)
{
	const struct ph_graph *g = v->g;
	node_set seen = 0;
	struct ph_graph_root root = { .kind = p->kind };
	bool through = !v->o->nthrough;
	ck_assert_uint_gt(p->n, 0);
	ck_assert_uint_eq(p->nodes[p->n - 1], node);
	if (p->root != UINT32_MAX) {
		root = g->roots[p->root];
		ck_assert_uint_eq(root.node, p->nodes[0]);
		ck_assert_uint_eq(root.kind, p->kind);
	} else {
		ck_assert(g->flags[p->nodes[0]] & PH_NODE_SEED);
	}
	uint64_t cost = COST(v->o->plain ? 0 : ph_root_penalty(&root), 0);
	for (uint32_t i = 0; i < p->n; i++) {
		const char *type = g->types[g->type[p->nodes[i]]].name;
		ck_assert(!(seen & BIT(p->nodes[i]))); /* no object twice */
		seen |= BIT(p->nodes[i]);
		ck_assert(!any(v->o->avoid, v->o->navoid, type));
		through |= any(v->o->through, v->o->nthrough, type);
		if (i + 1 == p->n)
			continue;
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(g, p->nodes[i], &n);
		ck_assert_uint_lt(p->edges[i], n);
		ck_assert_uint_eq(edges[p->edges[i]] & PH_EDGE_ID, p->nodes[i + 1]);
		cost += COST(edge_cost(v, p->nodes[i], edges[p->edges[i]]), 1);
	}
	ck_assert(through);
	return cost;
}

static void check_alternatives(const struct naive *v, struct ph_reach *r, uint32_t node, uint64_t best)
{
	struct ph_path *paths;
	uint32_t n;
	uint64_t before = 0;
	ck_assert_ptr_null(ph_paths_find(r, node, 6, &paths, &n));
	ck_assert_int_eq(n != 0, best != FAR);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t cost = cost_of(v, &paths[i], node);
		ck_assert_uint_ge(cost, before);
		if (i == 0)
			ck_assert_uint_eq(cost, best);
		before = cost;
		ph_path_deinit(&paths[i]);
	}
	free(paths);
}

static void check_graph(const struct ph_graph *g, const struct ph_reach_options *o, bool alternatives)
{
	struct naive v = { .g = g, .o = o, .marks = ph_path_marks(g) };
	struct ph_reach *r = NULL;
	ck_assert_ptr_nonnull(v.marks);
	naive_search(&v);
	ck_assert_ptr_null(ph_reach_compute(g, o, &r));
	for (uint32_t node = 1; node < g->n; node++) {
		uint64_t best = v.cost[o->nthrough != 0][node];
		struct ph_path p;
		/* with patterns the best walk may pass an object twice: then it is no path */
		if (!o->nthrough) {
			ck_assert_ptr_null(ph_path_find(r, node, &p));
			ck_assert_int_eq(p.n != 0, best != FAR);
			if (p.n)
				ck_assert_uint_eq(cost_of(&v, &p, node), best);
			ph_path_deinit(&p);
		}
		if (alternatives && !o->nthrough)
			check_alternatives(&v, r, node, best);
		ck_assert_int_eq(ph_reach_state(r, node) != UINT32_MAX, best != FAR);
		if (best != FAR)
			ck_assert_uint_eq(COST(r->penalty[ph_reach_state(r, node)], r->depth[ph_reach_state(r, node)]), best);
	}
	ph_reach_free(r);
	free(v.marks);
}

START_TEST(the_best_path_costs_least)
{
	static const char *const avoid[] = { "app.R*", "tuple" }, *const through[] = { "dict" };
	const struct ph_reach_options options[] = {
		{ 0 }, { .plain = true }, { .avoid = avoid, .navoid = 2 }, { .through = through, .nthrough = 1 },
		{ .through = through, .nthrough = 1, .avoid = avoid, .navoid = 1 },
	};
	for (uint64_t i = 0; i < GRAPHS; i++) {
		struct rng r = { test_seed() + i };
		struct ph_graph *g = random_graph(&r, i % 3 ? 12 : SMALL_MAX);
		add_roots(g, &r);
		for (size_t o = 0; o < sizeof options / sizeof *options; o++)
			check_graph(g, &options[o], o < 2);
		ph_graph_free(g);
	}
}
END_TEST

static void check_same_path(const struct ph_reach *r, const struct ph_reach *only, uint32_t node)
{
	struct ph_path a, b;
	ck_assert_ptr_null(ph_path_find(r, node, &a));
	ck_assert_ptr_null(ph_path_find(only, node, &b));
	ck_assert_uint_eq(a.n, b.n);
	ck_assert_uint_eq(a.kind, b.kind);
	ck_assert_uint_eq(a.root, b.root);
	for (uint32_t i = 0; i < a.n; i++) {
		ck_assert_uint_eq(a.nodes[i], b.nodes[i]);
		ck_assert(i + 1 == a.n || a.edges[i] == b.edges[i]);
	}
	ph_path_deinit(&a);
	ph_path_deinit(&b);
}

START_TEST(a_search_for_some_ends_with_the_same_paths)
{
	const struct ph_reach_options all = { 0 };
	for (uint64_t i = 0; i < GRAPHS; i++) {
		struct rng rng = { test_seed() + i };
		struct ph_graph *g = random_graph(&rng, SMALL_MAX);
		uint32_t nodes[2] = { 1 + rng_below(&rng, g->n - 1), 1 + rng_below(&rng, g->n - 1) };
		const struct ph_reach_options options = { .only = nodes, .nonly = 1 + i % 2 };
		struct ph_reach *r = NULL, *only = NULL;
		add_roots(g, &rng);
		ck_assert_ptr_null(ph_reach_compute(g, &all, &r));
		ck_assert_ptr_null(ph_reach_compute(g, &options, &only));
		for (size_t k = 0; k < options.nonly; k++)
			check_same_path(r, only, nodes[k]);
		ph_reach_free(only);
		ph_reach_free(r);
		ph_graph_free(g);
	}
}
END_TEST

/* ---- what is built upon that -------------------------------------------------------------------- */

/* Every object is in one row, and all bytes are. */
static void check_sums(const struct ph_graph *g)
{
	const struct ph_reach_options options = { 0 };
	struct ph_reach *r = NULL;
	struct ph_dominators *d = NULL;
	struct ph_holdings *h = NULL;
	uint64_t count = 0, bytes = 0;
	ck_assert_ptr_null(ph_reach_compute(g, &options, &r));
	ck_assert_ptr_null(ph_dominators_compute(g, &d));
	ck_assert_ptr_null(ph_holdings_compute(r, d, &h));
	for (uint32_t i = 0; i < h->n; i++) {
		count += h->rows[i].count;
		bytes += h->rows[i].shallow_bytes + h->rows[i].uncounted_bytes;
		ck_assert_uint_ge(h->rows[i].retained_bytes, 0);
	}
	ck_assert_uint_eq(count, g->n - 1);
	ck_assert_uint_eq(bytes, g->shallow_bytes + g->uncounted_bytes);
	for (uint32_t t = 0; t < g->ntypes; t++) {
		struct ph_path_groups *p = NULL;
		uint64_t sum = 0;
		ck_assert_ptr_null(ph_path_groups_find(r, d, g->types[t].name, &p));
		for (uint32_t i = 0; i < p->n; i++)
			sum += p->groups[i].count;
		ck_assert_uint_eq(sum + p->unreached, p->count);
		ph_path_groups_free(p);
	}
	for (int plain = 0; plain < 2; plain++)
		for (uint32_t of = 0; of < g->n; of++) {
			struct ph_heaviest *heaviest = NULL;
			uint64_t total = of ? ph_retained(d, of) - ph_graph_bytes(g, of) : ph_retained(d, 0);
			ck_assert_ptr_null(ph_heaviest_find(g, d, of, plain, &heaviest));
			bytes = heaviest->other_bytes;
			count = heaviest->other_objects;
			for (uint32_t i = 0; i < heaviest->n; i++) {
				bytes += heaviest->rows[i].retained_bytes;
				count += heaviest->rows[i].objects;
			}
			ck_assert_uint_eq(bytes, total);
			ck_assert_uint_eq(count, d->objects[of] - 1);
			ph_heaviest_free(heaviest);
		}
	ph_holdings_free(h);
	ph_dominators_free(d);
	ph_reach_free(r);
}

static void check_referrers(const struct ph_graph *g)
{
	for (uint32_t node = 1; node < g->n; node++) {
		struct ph_referrers *r = NULL;
		uint64_t want = 0;
		for (uint64_t e = 0; e < g->nedges; e++)
			want += (g->edges[e] & PH_EDGE_ID) == node;
		ck_assert_ptr_null(ph_referrers_find(g, node, &r));
		ck_assert_uint_eq(r->n, want);
		for (uint64_t i = 0; i < r->n; i++)
			ck_assert_uint_eq(g->edges[ph_graph_edge_start(g, r->rows[i].node) + r->rows[i].edge] & PH_EDGE_ID, node);
		ph_referrers_free(r);
	}
}

START_TEST(nothing_is_lost)
{
	for (uint64_t i = 0; i < GRAPHS; i++) {
		struct rng r = { test_seed() + i };
		struct ph_graph *g = random_graph(&r, SMALL_MAX);
		add_roots(g, &r);
		check_sums(g);
		check_referrers(g);
		ph_graph_free(g);
	}
}
END_TEST

Suite *paths_suite(void)
{
	Suite *s = suite_create("paths");
	TCase *t = tcase_create("random graphs");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, the_best_path_costs_least);
	tcase_add_test(t, a_search_for_some_ends_with_the_same_paths);
	tcase_add_test(t, nothing_is_lost);
	suite_add_tcase(s, t);
	return s;
}
