/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths against their definition (docs/paths.md): the best one to each object costs what a
 * search without any cleverness says, alternatives are paths, and in order. */
#include <check.h>
#include <pyheap/analysis.h>
#include <stdio.h>
#include "random_graph.h"

#define GRAPHS 1500
#define STATES (2 * SMALL_MAX)
#define FAR UINT32_MAX
#define MANY 126 /* penalties above are not told apart */

struct cost {
	uint32_t penalty, length;
};

static bool less(struct cost a, struct cost b)
{
	return a.penalty != b.penalty ? a.penalty < b.penalty : a.length < b.length;
}

/* ---- graphs with roots, classes, modules ------------------------------------------------- */

static const char *const root_names[] = { "m1", "m2", "users", "" };

static void add_roots(struct rng *r, struct ph_graph *g)
{
	uint32_t n = rng_below(r, 5);
	g->roots = calloc(n + 1, sizeof *g->roots);
	ck_assert_ptr_nonnull(g->roots);
	for (unsigned kind = PH_ROOT_LOCAL; kind <= PH_ROOT_INTERP; kind++)
		for (uint32_t i = g->nroots; i < n && rng_chance(r, 40); i++)
			g->roots[g->nroots++] = (struct ph_graph_root){
				.node = 1 + rng_below(r, g->n - 1), .kind = (uint8_t)kind, .frame = UINT32_MAX,
				.borrowed = rng_chance(r, 10), .name = strdup(root_names[rng_below(r, 4)]) };
}

/* What the builder knows nothing of. */
static struct ph_graph *make_graph(struct rng *r, uint32_t max)
{
	struct ph_graph *g = random_graph(r, max);
	bool modules = rng_chance(r, 50);
	for (uint32_t t = 0; t < g->ntypes; t++) {
		if (rng_chance(r, 50))
			g->types[t].node = 1 + rng_below(r, g->n - 1);
		if (modules && !strcmp(g->types[t].name, "app.Slots"))
			g->types[t].form = PH_FORM_MODULE;
	}
	for (uint64_t e = 0; e < g->nedges; e++)
		g->edges[e] |= rng_chance(r, 10) ? PH_EDGE_OWNED : 0;
	for (uint32_t i = 0; i < g->nseeds; i++)
		g->flags[g->seeds[i]] |= rng_chance(r, 20) ? PH_NODE_IMMORTAL : 0;
	add_roots(r, g);
	return g;
}

/* ---- what things cost ------------------------------------------------------------------------ */

struct naive {
	const struct ph_graph *g;
	const struct ph_reach_options *o;
	bool module_dict[SMALL_MAX], class_dict[SMALL_MAX];
	struct cost best[STATES]; /* by state: node, or node + g->n once `through` has matched */
};

static uint8_t form(const struct ph_graph *g, uint32_t node)
{
	return g->types[g->type[node]].form;
}

static void find_namespaces(struct naive *x)
{
	const struct ph_graph *g = x->g;
	struct ph_label label;
	for (uint32_t v = 1; v < g->n; v++)
		for (uint64_t e = ph_graph_edge_start(g, v); e < ph_graph_edge_start(g, v + 1); e++) {
			ph_graph_label(g, v, e - ph_graph_edge_start(g, v), &label);
			if (label.kind != PH_LABEL_DICT)
				continue;
			x->module_dict[g->edges[e] & PH_EDGE_ID] |= form(g, v) == PH_FORM_MODULE;
			x->class_dict[g->edges[e] & PH_EDGE_ID] |= form(g, v) == PH_FORM_TYPE;
		}
}

static uint32_t edge_cost(const struct naive *x, uint32_t from, uint32_t edge)
{
	const struct ph_graph *g = x->g;
	const struct ph_graph_type *t = &g->types[g->type[from]];
	uint32_t to = edge & PH_EDGE_ID, cost = 0;
	if (x->o->plain)
		return 0;
	if (edge & PH_EDGE_BORROWED)
		cost = edge & PH_EDGE_OWNED ? 1 : 3;
	bool infrastructure;
	if (to == t->node)
		infrastructure = true;
	else if (t->form == PH_FORM_TYPE)
		infrastructure = !x->class_dict[to];
	else if (x->module_dict[to])
		infrastructure = t->form != PH_FORM_MODULE;
	else
		infrastructure = t->cls == PH_TYPE_INFRASTRUCTURE &&
				 (form(g, to) == PH_FORM_TYPE || form(g, to) == PH_FORM_MODULE);
	return cost + infrastructure;
}

static uint32_t root_cost(const struct naive *x, unsigned kind, bool borrowed)
{
	static const uint32_t costs[PH_ROOT_KINDS] = { 0, 0, 0, 1, 2, 4, 4 };
	return x->o->plain ? 0 : costs[kind] + (borrowed ? 3 : 0);
}

static unsigned seed_kind(const struct ph_graph *g, uint32_t node)
{
	if (form(g, node) == PH_FORM_TYPE && !(g->flags[node] & PH_NODE_TRACKED))
		return PH_ROOT_STATIC;
	return g->flags[node] & PH_NODE_IMMORTAL ? PH_ROOT_IMMORTAL : PH_ROOT_C;
}

/* ---- patterns: only such as mean themselves ----------------------------------------------------- */

static bool any(const char *const *patterns, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(patterns[i], text))
			return true;
	return false;
}

/* Goes on to a node after words that were met on the way; false: not this way. */
static bool enter(const struct naive *x, uint32_t node, bool matched, const char *const words[2], uint32_t *ret_state)
{
	const struct ph_reach_options *o = x->o;
	const char *all[3] = { words[0], words[1], x->g->types[x->g->type[node]].name };
	for (size_t i = 0; i < 3; i++) {
		if (any(o->avoid, o->navoid, all[i]))
			return false;
		matched |= any(o->through, o->nthrough, all[i]);
	}
	*ret_state = o->nthrough && matched ? node + x->g->n : node;
	return true;
}

static bool follow(const struct naive *x, uint32_t state, uint64_t edge, uint32_t *ret_state)
{
	const struct ph_graph *g = x->g;
	uint32_t from = state % g->n;
	struct ph_label label;
	char plain[160] = "", attribute[160] = "";
	ph_graph_label(g, from, edge, &label);
	if (label.kind == PH_LABEL_ATTR)
		snprintf(plain, sizeof plain, ".%s", label.name);
	else if (label.kind == PH_LABEL_VALUE && *label.name == '\'') {
		snprintf(plain, sizeof plain, "[%s]", label.name);
		snprintf(attribute, sizeof attribute, ".%.*s", (int)strlen(label.name) - 2, label.name + 1);
	}
	const char *words[2] = { plain, attribute };
	uint32_t e = g->edges[ph_graph_edge_start(g, from) + edge];
	if (x->o->nthrough && !(e & PH_EDGE_BORROWED) && edge_cost(x, from, e))
		return false; /* through something, but not over infrastructure */
	return enter(x, g->edges[ph_graph_edge_start(g, from) + edge] & PH_EDGE_ID, state >= g->n, words, ret_state);
}

/* ---- the search -------------------------------------------------------------------------------------- */

static struct cost add(struct cost c, uint32_t penalty, uint32_t length)
{
	uint32_t sum = c.penalty + penalty;
	return (struct cost){ sum < MANY ? sum : MANY, c.length + length };
}

static void start(struct naive *x, uint32_t node, uint32_t penalty, const char *const words[2])
{
	uint32_t state;
	struct cost c = add((struct cost){ 0, 0 }, penalty, 0);
	if (enter(x, node, false, words, &state) && less(c, x->best[state]))
		x->best[state] = c;
}

static void search(struct naive *x)
{
	const struct ph_graph *g = x->g;
	bool changed = true;
	for (uint32_t s = 0; s < STATES; s++)
		x->best[s] = (struct cost){ FAR, FAR };
	for (uint32_t i = 0; i < g->nroots; i++) {
		const struct ph_graph_root *r = &g->roots[i];
		char text[64];
		bool itself = r->kind == PH_ROOT_INTERP && *r->name;
		snprintf(text, sizeof text, "%s%s%s", itself ? "" : ph_root_kind_text(r->kind),
			 *r->name && !itself ? " " : "", r->name);
		start(x, r->node, root_cost(x, r->kind, r->borrowed), (const char *const[2]){ text, r->name });
	}
	for (uint32_t i = 0; i < g->nseeds; i++) {
		unsigned kind = seed_kind(g, g->seeds[i]);
		start(x, g->seeds[i], root_cost(x, kind, false), (const char *const[2]){ ph_root_kind_text(kind), "" });
	}
	while (changed) {
		changed = false;
		for (uint32_t s = 1; s < 2 * g->n; s++) {
			uint64_t n;
			if (s % g->n == 0 || x->best[s].penalty == FAR)
				continue;
			const uint32_t *edges = ph_graph_edges(g, s % g->n, &n);
			for (uint64_t e = 0; e < n; e++) {
				uint32_t to;
				struct cost c = add(x->best[s], edge_cost(x, s % g->n, edges[e]), 1);
				if (follow(x, s, e, &to) && less(c, x->best[to])) {
					x->best[to] = c;
					changed = true;
				}
			}
		}
	}
}

/* ---- what was found ------------------------------------------------------------------------------------- */

/* A path of references that are there, with all that was asked for; its cost. */
static struct cost check_path(const struct naive *x, const struct ph_path *p, bool simple)
{
	const struct ph_graph *g = x->g;
	const char *none[2] = { "", "" };
	uint32_t state = 0;
	bool entered = false;
	struct cost c = { 0, p->n - 1 };
	node_set seen = 0;
	ck_assert_uint_gt(p->n, 0);
	if (p->root != UINT32_MAX) {
		const struct ph_graph_root *r = &g->roots[p->root];
		char *text = ph_path_root_text(g, p);
		ck_assert_uint_lt(p->root, g->nroots);
		ck_assert_uint_eq(r->node, p->nodes[0]);
		ck_assert_uint_eq(r->kind, p->kind);
		c.penalty = root_cost(x, r->kind, r->borrowed);
		entered = enter(x, p->nodes[0], false, (const char *const[2]){ text, r->name }, &state);
		free(text);
	} else {
		ck_assert(g->flags[p->nodes[0]] & PH_NODE_SEED);
		ck_assert_uint_eq(p->kind, seed_kind(g, p->nodes[0]));
		c.penalty = root_cost(x, p->kind, false);
		none[0] = ph_root_kind_text(p->kind);
		entered = enter(x, p->nodes[0], false, none, &state);
	}
	ck_assert(entered);
	for (uint32_t i = 0; i + 1 < p->n; i++) {
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(g, p->nodes[i], &n);
		ck_assert_uint_lt(p->edges[i], n);
		ck_assert_uint_eq(edges[p->edges[i]] & PH_EDGE_ID, p->nodes[i + 1]);
		ck_assert(follow(x, state, p->edges[i], &state));
		c.penalty += edge_cost(x, p->nodes[i], edges[p->edges[i]]);
	}
	ck_assert(!x->o->nthrough || state >= g->n);
	for (uint32_t i = 0; i < p->n; i++) {
		ck_assert(!simple || !(seen & BIT(p->nodes[i])));
		seen |= BIT(p->nodes[i]);
	}
	return c;
}

static void reading_of(const struct ph_graph *g, const struct ph_path *p, char *buf, size_t max)
{
	struct ph_path_steps steps = { 0 };
	char *root = ph_path_root_text(g, p);
	ck_assert(root && ph_path_read(g, p, &steps));
	size_t at = (size_t)snprintf(buf, max, "%s", root);
	for (size_t i = 0; i < steps.n && at < max; i++)
		at += (size_t)snprintf(buf + at, max - at, "\n%s", steps.items[i].folded);
	free(root);
	ph_vec_free(&steps);
}

static void check_best(const struct naive *x, struct ph_reach *r, uint32_t v, struct cost want)
{
	struct ph_path p;
	ck_assert_ptr_null(ph_path_find(r, v, &p));
	if (want.penalty == FAR) {
		ck_assert_uint_eq(p.n, 0);
	} else {
		struct cost got = check_path(x, &p, false);
		ck_assert_uint_eq(p.nodes[p.n - 1], v);
		if (want.penalty < MANY) {
			ck_assert_uint_eq(got.penalty, want.penalty);
			ck_assert_uint_eq(got.length, want.length);
		} else {
			ck_assert_uint_ge(got.penalty, MANY);
		}
	}
	ph_path_deinit(&p);
}

static uint32_t check_alternatives(const struct naive *x, struct ph_reach *r, uint32_t v, uint32_t limit,
				   struct cost want)
{
	static char readings[16][8192];
	struct ph_path *paths;
	struct cost before = { 0, 0 };
	uint32_t n;
	ck_assert_ptr_null(ph_paths_find(r, v, limit, &paths, &n));
	ck_assert_uint_le(n, limit);
	ck_assert_int_eq(n > 0, want.penalty != FAR);
	for (uint32_t i = 0; i < n; i++) {
		struct cost c = check_path(x, &paths[i], i > 0);
		ck_assert_uint_eq(paths[i].nodes[paths[i].n - 1], v);
		if (i == 0 && want.penalty < MANY) {
			ck_assert_uint_eq(c.penalty, want.penalty);
			ck_assert_uint_eq(c.length, want.length);
		}
		if (i && c.penalty < MANY)
			ck_assert(!less(c, before));
		before = c;
		reading_of(x->g, &paths[i], readings[i], sizeof readings[i]);
		for (uint32_t k = 0; k < i; k++)
			ck_assert_str_ne(readings[k], readings[i]);
		ph_path_deinit(&paths[i]);
	}
	free(paths);
	return n;
}

static const char *pattern(struct rng *r)
{
	static const char *const patterns[] = { "app.Node", "app.Row", "app.Map", "list", "dict", "function", ".a",
						".parent", "['a']", ".b", "C", "immortal", "module m1", "m1", "users" };
	return patterns[rng_below(r, sizeof patterns / sizeof *patterns)];
}

START_TEST(paths_are_as_defined)
{
	uint64_t several = 0, far = 0, asked = 0;
	for (uint64_t i = 0; i < GRAPHS; i++) {
		struct rng r = { test_seed() + i };
		struct ph_graph *g = make_graph(&r, i % 3 ? 12 : SMALL_MAX);
		const char *patterns[4] = { pattern(&r), pattern(&r), pattern(&r), pattern(&r) };
		struct ph_reach_options o = { .plain = rng_chance(&r, 20), .through = patterns, .avoid = patterns + 2 };
		if (i % 2) {
			o.nthrough = rng_below(&r, 3);
			o.navoid = rng_below(&r, 3);
		}
		struct naive x = { .g = g, .o = &o };
		struct ph_reach *reach;
		find_namespaces(&x);
		search(&x);
		ck_assert_ptr_null(ph_reach_compute(g, &o, &reach));
		for (uint32_t v = 1; v < g->n; v++) {
			struct cost want = x.best[o.nthrough ? v + g->n : v];
			check_best(&x, reach, v, want);
			uint32_t n = check_alternatives(&x, reach, v, 1 + rng_below(&r, 6), want);
			several += n > 2;
			far += n && want.penalty > 2;
			asked += n && o.nthrough;
		}
		ph_reach_free(reach);
		ph_graph_free(g);
	}
	ck_assert_uint_gt(several, GRAPHS / 4);
	ck_assert_uint_gt(far, GRAPHS / 4);
	ck_assert_uint_gt(asked, GRAPHS / 4);
}
END_TEST

Suite *costs_suite(void);
Suite *costs_suite(void)
{
	test_seed(); /* printed here, before the tests fork */
	Suite *s = suite_create("what paths cost");
	TCase *t = tcase_create("random graphs");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, paths_are_as_defined);
	suite_add_tcase(s, t);
	return s;
}
