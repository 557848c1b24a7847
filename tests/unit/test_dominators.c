/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dominators and histograms of graphs small enough to check by eye. */
#include <check.h>
#include "../../src/analysis/dominators_priv.h"

Suite *dominators_suite(void);

#define WIDE (1ull << 31)
enum { NODE, STR, NODE_AGAIN };

/* n nodes of 10^i × `unit` bytes (node i + 1) and the edges "12 23 …": each two digits are
 * one from a node to a node, from 0: a seed. */
static struct ph_graph *graph_of(uint64_t unit, uint32_t n, const char *edges, const uint32_t *types)
{
	struct ph_graph_builder *b = ph_graph_builder_new();
	unsigned seeds[10] = { 0 };
	uint64_t bytes = unit;
	for (const char *e = edges; *e; e += e[2] ? 3 : 2)
		if (e[0] == '0')
			seeds[e[1] - '0'] = PH_NODE_SEED;
	ph_graph_builder_type(b, "app.Node", PH_TYPE_ORDINARY, true);
	ph_graph_builder_type(b, "str", PH_TYPE_ORDINARY, false);
	ph_graph_builder_type(b, "app.Node", PH_TYPE_ORDINARY, true);
	for (uint32_t v = 1; v <= n; v++, bytes *= 10)
		ph_graph_builder_node(b, types ? types[v - 1] : (uint32_t)NODE, bytes, 0, seeds[v]);
	for (const char *e = edges; *e; e += e[2] ? 3 : 2)
		if (e[0] != '0')
			ph_graph_builder_edge(b, (uint32_t)(e[0] - '0'), (uint32_t)(e[1] - '0'),
					      PH_LABEL_ATTR, "x");
	struct ph_graph *g = NULL;
	ck_assert_ptr_null(ph_graph_builder_finish(b, &g));
	return g;
}

static struct ph_graph *graph(uint32_t n, const char *edges, const uint32_t *types)
{
	return graph_of(1, n, edges, types);
}

static void check(const struct ph_graph *g, const struct ph_dominators *d, uint64_t unit, const uint32_t *idom,
		  const uint64_t *retained)
{
	for (uint32_t v = 1; v < g->n; v++) {
		ck_assert_uint_eq(d->idom[v], idom[v - 1]);
		ck_assert_uint_eq(ph_retained(d, v), unit * retained[v - 1]);
	}
	ck_assert_uint_eq(d->idom[0], 0);
	ck_assert_uint_eq(ph_retained(d, 0), g->shallow_bytes);
}

/* Both ways to the dominators; which one is taken depends on the graph. */
static void expect_both(const struct ph_graph *g, const struct ph_components *c, uint64_t unit, const uint32_t *idom,
			const uint64_t *retained)
{
	for (int domtree = 0; domtree < 2; domtree++) {
		struct ph_dominators *d = ph_dominators_new(g);
		bool found = true;
		ck_assert_ptr_nonnull(d);
		ck_assert_ptr_null(domtree ? ph_domtree_compute(g, c, UINT64_MAX, d, &found)
					   : ph_seminca_compute(g, c, d));
		ck_assert(found);
		check(g, d, unit, idom, retained);
		ph_dominators_free(d);
	}
}

/* Twice: sizes that fit 32 bits, and such that do not. */
static void expect(uint32_t n, const char *edges, const uint32_t *idom, const uint64_t *retained)
{
	for (uint64_t unit = 1; unit <= WIDE; unit *= WIDE) {
		struct ph_graph *g = graph_of(unit, n, edges, NULL);
		struct ph_dominators *d;
		ck_assert_ptr_null(ph_dominators_compute(g, &d));
		check(g, d, unit, idom, retained);
		ph_dominators_free(d);
		expect_both(g, NULL, unit, idom, retained);
		ph_graph_free(g);
	}
}

START_TEST(diamond)
{
	expect(4, "01 12 13 24 34", (uint32_t[]){ 0, 1, 1, 1 }, (uint64_t[]){ 1111, 10, 100, 1000 });
}
END_TEST

START_TEST(entry_from_behind)
{
	/* 3 leads back to 2, and there is a way to 3 that does not pass 2 */
	expect(4, "01 12 23 32 13 34", (uint32_t[]){ 0, 1, 1, 3 }, (uint64_t[]){ 1111, 10, 1100, 1000 });
}
END_TEST

START_TEST(garbage_hangs_on_all_of_its_sources)
{
	/* the cycle 1 2 is held by nothing: each of its members is held by itself;
	 * 3 needs 2, 4 is live */
	expect(4, "12 21 23 04", (uint32_t[]){ 0, 0, 2, 0 }, (uint64_t[]){ 1, 110, 100, 1000 });
	/* 3 4 hangs on the cycle 1 2, so node 0 does not hold it */
	expect(4, "12 21 23 34 43", (uint32_t[]){ 0, 0, 2, 3 }, (uint64_t[]){ 1, 1110, 1100, 1000 });
	/* a live object is not retained by garbage that refers to it */
	expect(2, "12 02", (uint32_t[]){ 0, 0 }, (uint64_t[]){ 1, 10 });
}
END_TEST

START_TEST(single_holders)
{
	/* a chain and a tree; 4 refers to itself, 1 is held by a root twice and by what it holds */
	expect(5, "01 01 12 23 24 44 35 41", (uint32_t[]){ 0, 1, 2, 2, 3 },
	       (uint64_t[]){ 11111, 11110, 10100, 1000, 10000 });
}
END_TEST

START_TEST(leaves_with_several_holders)
{
	/* 5 by siblings, 6 by a node and what that holds, 7 by both roots' */
	expect(7, "01 02 13 14 35 45 16 36 47 27", (uint32_t[]){ 0, 0, 1, 1, 1, 1, 0 },
	       (uint64_t[]){ 111101, 10, 100, 1000, 10000, 100000, 1000000 });
}
END_TEST

START_TEST(moved_after_what_it_holds)
{
	/* 3 is reached by way of 2, then of 6, when 4 and 5 hang on it; 5 leads back to 2's 7 */
	expect(7, "01 12 23 34 35 27 57 14 16 63", (uint32_t[]){ 0, 1, 1, 1, 3, 1, 1 },
	       (uint64_t[]){ 1111111, 10, 10100, 1000, 10000, 100000, 1000000 });
}
END_TEST

START_TEST(cycles_with_one_entry)
{
	/* 2 3 is entered by 1 alone; 4 5 by 1 and by 3 */
	expect(5, "01 12 23 32 14 45 54 35", (uint32_t[]){ 0, 1, 2, 1, 1 },
	       (uint64_t[]){ 11111, 110, 100, 1000, 10000 });
}
END_TEST

START_TEST(component_that_is_moved)
{
	/* 7 8 are one: found by way of 3 and 4, then of 5 and 6. 8 leads to 9, as 3 does */
	struct ph_graph *g = graph(9, "01 12 23 34 39 25 56 47 67 78 87 89", NULL);
	struct ph_components_query q = { .marks = ph_big_alloc(g->n * sizeof *q.marks) };
	struct ph_components c;
	ck_assert_ptr_nonnull(q.marks);
	ck_assert_ptr_null(ph_components_find(g, &q, &c));
	ck_assert_uint_eq(c.nmembers, 2);
	expect_both(g, &c, 1, (uint32_t[]){ 0, 1, 2, 3, 2, 5, 2, 7, 2 },
		    (uint64_t[]){ 111111111, 111111110, 1100, 1000, 110000, 100000, 11000000, 10000000, 100000000 });
	ph_components_deinit(&c);
	ph_graph_free(g);
}
END_TEST

START_TEST(only_roots)
{
	struct ph_graph *g = graph(0, "", NULL);
	struct ph_dominators *d;
	struct ph_histogram *h;
	ck_assert_ptr_null(ph_dominators_compute(g, &d));
	ck_assert_uint_eq(d->n, 1);
	ck_assert_uint_eq(d->preorder[0], 0);
	ck_assert_ptr_null(ph_histogram_compute(g, d, &h));
	ck_assert_uint_eq(h->n, 0);
	ph_histogram_free(h);
	ph_dominators_free(d);
	ph_graph_free(g);
}
END_TEST

START_TEST(type_retains_nothing_twice)
{
	/* node 1 → node 2 → str 3, and str 4 shared by both; 5 has the same name as 1 */
	struct ph_graph *g = graph(5, "01 12 23 14 24 35", (uint32_t[]){ NODE, NODE, STR, STR, NODE_AGAIN });
	struct ph_dominators *d;
	struct ph_histogram *h;
	ck_assert_ptr_null(ph_dominators_compute(g, &d));
	ck_assert_ptr_null(ph_histogram_compute(g, d, &h));
	ck_assert(h->has_retained);
	ck_assert_uint_eq(h->n, 2);
	ck_assert_str_eq(g->types[h->rows[0].type].name, "app.Node");
	ck_assert_uint_eq(h->rows[0].count, 3);
	ck_assert_uint_eq(h->rows[0].shallow_bytes, 10011);
	ck_assert_uint_eq(h->rows[0].retained_bytes, 11111);
	ck_assert_str_eq(g->types[h->rows[1].type].name, "str");
	ck_assert_uint_eq(h->rows[1].retained_bytes, 11100);
	ph_histogram_free(h);

	ck_assert_ptr_null(ph_histogram_compute(g, NULL, &h));
	ck_assert(!h->has_retained);
	ck_assert_uint_eq(h->rows[0].shallow_bytes, 10011);
	ck_assert_uint_eq(h->rows[0].retained_bytes, 0);
	ph_histogram_free(h);
	ph_dominators_free(d);
	ph_graph_free(g);
}
END_TEST

START_TEST(rows_of_equal_size_by_name)
{
	struct ph_graph_builder *b = ph_graph_builder_new();
	static const char *const names[] = { "d", "b", "a", "c" };
	for (uint32_t i = 0; i < 4; i++) {
		ph_graph_builder_type(b, names[i], PH_TYPE_ORDINARY, false);
		ph_graph_builder_node(b, i, 8, 8, PH_NODE_SEED);
	}
	ph_graph_builder_node(b, 3, 8, 0, 0);
	struct ph_graph *g = NULL;
	struct ph_histogram *h;
	ck_assert_ptr_null(ph_graph_builder_finish(b, &g));
	ck_assert_ptr_null(ph_histogram_compute(g, NULL, &h));
	ck_assert_uint_eq(h->n, 4);
	ck_assert_str_eq(g->types[h->rows[0].type].name, "c");
	ck_assert_str_eq(g->types[h->rows[1].type].name, "a");
	ck_assert_str_eq(g->types[h->rows[2].type].name, "b");
	ck_assert_str_eq(g->types[h->rows[3].type].name, "d");
	ph_histogram_free(h);
	ph_graph_free(g);
}
END_TEST

Suite *dominators_suite(void)
{
	Suite *s = suite_create("dominators");
	TCase *t = tcase_create("by eye");
	tcase_add_test(t, diamond);
	tcase_add_test(t, entry_from_behind);
	tcase_add_test(t, garbage_hangs_on_all_of_its_sources);
	tcase_add_test(t, single_holders);
	tcase_add_test(t, leaves_with_several_holders);
	tcase_add_test(t, moved_after_what_it_holds);
	tcase_add_test(t, cycles_with_one_entry);
	tcase_add_test(t, component_that_is_moved);
	tcase_add_test(t, only_roots);
	tcase_add_test(t, type_retains_nothing_twice);
	tcase_add_test(t, rows_of_equal_size_by_name);
	suite_add_tcase(s, t);
	return s;
}
