/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Excess of reference counts and what is believed to explain it. */
#include <check.h>
#include <pyheap/analysis.h>

Suite *excess_suite(void);

#define ELSEWHERE 0x500000000000ull /* no object is near */

/* Node 1 (exact) → 2, 2 (owned), 3 (borrowed); 4 (not exact) → 3 (borrowed). Counts:
 * 2 has three more than that, 3 one more, 5 is immortal. */
static struct ph_graph *make_graph(void)
{
	struct ph_graph_builder *b = ph_graph_builder_new();
	struct ph_graph *g = NULL;
	uint32_t list = ph_graph_builder_type(b, "list", PH_TYPE_CONTAINER, false);
	uint32_t pattern = ph_graph_builder_type(b, "re.Pattern", PH_TYPE_ORDINARY, true);
	for (int i = 1; i <= 5; i++)
		ph_graph_builder_node(b, i == 4 ? pattern : list, 16, 0,
				      (i == 4 ? 0 : PH_NODE_REFS_EXACT) | (i == 5 ? PH_NODE_IMMORTAL : 0));
	ph_graph_builder_edge(b, 1, 2, PH_LABEL_INDEX, NULL);
	ph_graph_builder_edge(b, 1, 2 | PH_EDGE_OWNED, PH_LABEL_INDEX, NULL);
	ph_graph_builder_edge(b, 1, 3 | PH_EDGE_BORROWED, PH_LABEL_INDEX, NULL);
	ph_graph_builder_edge(b, 4, 3 | PH_EDGE_BORROWED, PH_LABEL_INDEX, NULL);
	ck_assert_ptr_null(ph_graph_builder_finish(b, &g));
	g->refcount[2] += 3;
	g->refcount[3] += 1;
	return g;
}

static struct ph_excess *compute(const struct ph_graph *g)
{
	struct ph_excess *e = NULL;
	ck_assert_ptr_null(ph_excess_compute(g, &e));
	return e;
}

START_TEST(counted_edges_are_subtracted)
{
	struct ph_graph *g = make_graph();
	g->refcount[1] = 0;
	struct ph_excess *e = compute(g);
	int64_t n;
	ck_assert(ph_excess_of(e, 2, &n));
	ck_assert_int_eq(n, 3);
	ck_assert(ph_excess_of(e, 3, &n));
	ck_assert_int_eq(n, 1);
	ck_assert(!ph_excess_of(e, 5, &n));
	ph_excess_free(e);
	g->refcount[2] = 1; /* fewer than found */
	e = compute(g);
	ck_assert(ph_excess_of(e, 2, &n));
	ck_assert_int_eq(n, -1);
	ck_assert_uint_eq(ph_excess_left(e, 2), 0);
	ph_excess_free(e);
	ph_graph_free(g);
}
END_TEST

START_TEST(a_word_explains_once_and_never_too_much)
{
	struct ph_graph *g = make_graph();
	struct ph_excess *e = compute(g);
	const char *names[PH_EXCESS_HOLDERS];
	ck_assert_int_eq(ph_excess_claim(e, ph_graph_address(g, 2), ELSEWHERE, false, "sys.modules"), 1);
	ck_assert_int_eq(ph_excess_claim(e, ph_graph_address(g, 2), ELSEWHERE, true, "interpreter state"), 1);
	ck_assert_uint_eq(ph_excess_left(e, 2), 2);
	ck_assert_int_eq(ph_excess_claim(e, ph_graph_address(g, 2) + 8, ELSEWHERE + 8, false, "no object"), 0);
	ck_assert_uint_eq(ph_excess_holders(e, 2, names), 2);
	ck_assert_str_eq(names[0], "sys.modules");
	ck_assert_str_eq(names[1], "C");
	for (int i = 1; i < 9; i++)
		ph_excess_claim(e, ph_graph_address(g, 2), ELSEWHERE + 8 * i, true, "static data of x");
	ck_assert_uint_eq(ph_excess_left(e, 2), 0);
	ck_assert_uint_eq(ph_excess_holders(e, 2, names), 3);
	ck_assert_str_eq(names[2], "static data of x");
	ck_assert_uint_eq(ph_excess_holders(e, 1, names), 0);
	ph_excess_free(e);
	ph_graph_free(g);
}
END_TEST

START_TEST(words_of_known_objects_explain_nothing)
{
	struct ph_graph *g = make_graph();
	struct ph_excess *e = compute(g);
	ck_assert_int_eq(ph_excess_claim(e, ph_graph_address(g, 3), ph_graph_address(g, 2) + 8, true, "no"), 1);
	ck_assert_int_eq(ph_excess_claim(e, ph_graph_address(g, 3), ph_graph_address(g, 4) + 8, true, "an edge of it"), 1);
	ck_assert_uint_eq(ph_excess_left(e, 3), 1);
	/* an object that is not known in full may hold more than its edges */
	ck_assert_int_eq(ph_excess_claim(e, ph_graph_address(g, 2), ph_graph_address(g, 4) + 8, true, "contents"), 1);
	ck_assert_uint_eq(ph_excess_left(e, 2), 2);
	ph_excess_free(e);
	ph_graph_free(g);
}
END_TEST

START_TEST(inexact_objects_explain_by_their_edges)
{
	struct ph_graph *g = make_graph();
	struct ph_excess *e = compute(g);
	const char *names[PH_EXCESS_HOLDERS];
	ck_assert(ph_excess_claim_found(e));
	ck_assert_uint_eq(ph_excess_holders(e, 3, names), 1);
	ck_assert_str_eq(names[0], "contents of re.Pattern");
	ck_assert_uint_eq(ph_excess_left(e, 2), 3);
	ph_excess_free(e);
	ph_graph_free(g);
}
END_TEST

START_TEST(holders_are_cut_off)
{
	struct ph_graph *g = make_graph();
	const char *names[PH_EXCESS_HOLDERS];
	g->refcount[2] = 1000000;
	struct ph_excess *e = compute(g);
	ck_assert(ph_excess_claim_all(e, 2, 2, "immortal"));
	ck_assert_uint_eq(ph_excess_left(e, 2), 999996);
	ck_assert(ph_excess_claim_all(e, 2, 100, "static type"));
	ck_assert_uint_eq(ph_excess_left(e, 2), 999896);
	ck_assert_uint_eq(ph_excess_holders(e, 2, names), PH_EXCESS_HOLDERS);
	ck_assert_str_eq(names[1], "immortal");
	ck_assert_str_eq(names[2], "static type");
	ck_assert_str_eq(names[PH_EXCESS_HOLDERS - 1], "C");
	ck_assert(ph_excess_claim_all(e, 2, UINT64_MAX, "static type"));
	ck_assert_uint_eq(ph_excess_left(e, 2), 0);
	ck_assert_str_eq((ph_excess_holders(e, 2, names), names[PH_EXCESS_HOLDERS - 1]), "static type");
	ph_excess_free(e);
	ph_graph_free(g);
}
END_TEST

Suite *excess_suite(void)
{
	Suite *s = suite_create("excess");
	TCase *t = tcase_create("excess");
	tcase_add_test(t, counted_edges_are_subtracted);
	tcase_add_test(t, a_word_explains_once_and_never_too_much);
	tcase_add_test(t, words_of_known_objects_explain_nothing);
	tcase_add_test(t, inexact_objects_explain_by_their_edges);
	tcase_add_test(t, holders_are_cut_off);
	suite_add_tcase(s, t);
	return s;
}
