/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The graph as a value: order of edges, labels, sizes, look-ups, garbage. */
#include <check.h>
#include <pyheap/graph.h>

Suite *graph_suite(void);

static struct ph_graph *finish(struct ph_graph_builder *b)
{
	struct ph_graph *g = NULL;
	struct ph_err *err = ph_graph_builder_finish(b, &g);
	ck_assert_msg(!err, "%s", err ? ph_err_message(err) : "");
	return g;
}

START_TEST(edges_keep_their_order)
{
	struct ph_graph_builder *b = ph_graph_builder_new();
	uint32_t list = ph_graph_builder_type(b, "list", PH_TYPE_CONTAINER, false);
	for (int i = 0; i < 3; i++)
		ph_graph_builder_node(b, list, 64, 8, i == 0 ? PH_NODE_SEED : 0);
	ck_assert(ph_graph_builder_edge(b, 2, 3, PH_LABEL_INDEX, NULL));
	ck_assert(ph_graph_builder_edge(b, 1, 3 | PH_EDGE_BORROWED, PH_LABEL_ATTR, "x"));
	ck_assert(ph_graph_builder_edge(b, 2, 1, PH_LABEL_INDEX, NULL));
	ck_assert(ph_graph_builder_edge(b, 2, 3 | PH_EDGE_OWNED, PH_LABEL_NONE, NULL));
	struct ph_graph *g = finish(b);
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(g, 2, &n);
	ck_assert_uint_eq(n, 3);
	ck_assert_uint_eq(edges[0], 3);
	ck_assert_uint_eq(edges[1], 1);
	ck_assert_uint_eq(edges[2], 3 | PH_EDGE_OWNED);
	ck_assert_uint_eq(ph_graph_edges(g, 0, &n)[0], 1);
	ck_assert_uint_eq(n, 1);
	ph_graph_edges(g, 3, &n);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(g->refcount[1], 2); /* the root's and node 2's */
	ck_assert_uint_eq(g->refcount[3], 2); /* not the borrowed one */
	ph_graph_free(g);
}
END_TEST

START_TEST(labels_are_found)
{
	struct ph_graph_builder *b = ph_graph_builder_new();
	uint32_t node = ph_graph_builder_type(b, "app.Node", PH_TYPE_ORDINARY, true);
	ph_graph_builder_node(b, node, 48, 0, 0);
	ph_graph_builder_edge(b, 1, 1, PH_LABEL_ATTR, "parent");
	ph_graph_builder_edge(b, 1, 1, PH_LABEL_INDEX, NULL);
	ph_graph_builder_edge(b, 1, 1, PH_LABEL_NONE, NULL);
	struct ph_graph *g = finish(b);
	struct ph_label label;
	ck_assert(ph_graph_label(g, 1, 0, &label));
	ck_assert_int_eq(label.kind, PH_LABEL_ATTR);
	ck_assert_str_eq(label.name, "parent");
	ck_assert(label.is_name);
	ck_assert(ph_graph_label(g, 1, 1, &label));
	ck_assert_int_eq(label.kind, PH_LABEL_INDEX);
	ck_assert_int_eq(label.index, 1);
	ck_assert_str_eq(label.name, "");
	ck_assert(!ph_graph_label(g, 1, 2, &label));
	ck_assert_int_eq(label.kind, PH_LABEL_NONE);
	ck_assert(!ph_graph_label(g, 1, 3, &label)); /* there is no such edge */
	ck_assert(!ph_graph_label(g, 0, 0, &label));
	ph_graph_free(g);
}
END_TEST

START_TEST(sizes_beyond_32_bits)
{
	const uint64_t sizes[] = { 16, 0xfffffffe, 0xffffffff, 0x100000000, 7ull << 40 };
	struct ph_graph_builder *b = ph_graph_builder_new();
	uint32_t bytes = ph_graph_builder_type(b, "bytes", PH_TYPE_ORDINARY, false);
	uint64_t sum = 0;
	for (int i = 0; i < 5; i++) {
		ph_graph_builder_node(b, bytes, sizes[i], sizes[4 - i], 0);
		sum += sizes[i];
	}
	struct ph_graph *g = finish(b);
	for (uint32_t i = 0; i < 5; i++) {
		ck_assert_uint_eq(ph_graph_shallow(g, i + 1), sizes[i]);
		ck_assert_uint_eq(ph_graph_uncounted(g, i + 1), sizes[4 - i]);
		ck_assert_uint_eq(ph_graph_bytes(g, i + 1), sizes[i] + sizes[4 - i]);
	}
	ck_assert_uint_eq(g->shallow_bytes, sum);
	ck_assert_uint_eq(g->uncounted_bytes, sum);
	ph_graph_free(g);
}
END_TEST

START_TEST(addresses_are_found)
{
	struct ph_graph_builder *b = ph_graph_builder_new();
	uint32_t type = ph_graph_builder_type(b, "int", PH_TYPE_ORDINARY, false);
	for (int i = 0; i < 100; i++)
		ph_graph_builder_node(b, type, 28, 0, 0);
	struct ph_graph *g = finish(b);
	for (uint32_t i = 1; i < g->n; i++) {
		ck_assert_uint_eq(ph_graph_find(g, ph_graph_address(g, i)), i);
		ck_assert_uint_eq(ph_graph_find(g, ph_graph_address(g, i) + 8), 0);
		ck_assert(i == 1 || ph_graph_address(g, i) > ph_graph_address(g, i - 1));
	}
	ck_assert_uint_eq(ph_graph_find(g, 0), 0);
	ck_assert_uint_eq(ph_graph_find(g, UINT64_MAX), 0);
	ph_graph_free(g);
}
END_TEST

START_TEST(types_come_sorted)
{
	struct ph_graph_builder *b = ph_graph_builder_new();
	uint32_t z = ph_graph_builder_type(b, "zlib.Compress", PH_TYPE_ORDINARY, false);
	uint32_t a = ph_graph_builder_type(b, "app.A", PH_TYPE_ORDINARY, true);
	uint32_t l = ph_graph_builder_type(b, "list", PH_TYPE_CONTAINER, false);
	ph_graph_builder_node(b, z, 1, 0, 0);
	ph_graph_builder_node(b, l, 1, 0, 0);
	ph_graph_builder_node(b, a, 1, 0, 0);
	struct ph_graph *g = finish(b);
	ck_assert_uint_eq(g->ntypes, 3);
	ck_assert_str_eq(g->types[0].name, "app.A");
	ck_assert_str_eq(g->types[g->type[1]].name, "zlib.Compress");
	ck_assert_str_eq(g->types[g->type[2]].name, "list");
	ck_assert_int_eq(g->types[g->type[2]].cls, PH_TYPE_CONTAINER);
	ck_assert(g->types[g->type[3]].weakrefable);
	ph_graph_free(g);
}
END_TEST

START_TEST(totals_and_garbage)
{
	const unsigned tracked = PH_NODE_TRACKED, exact = PH_NODE_SIZE_EXACT | PH_NODE_REFS_EXACT;
	struct ph_graph_builder *b = ph_graph_builder_new();
	uint32_t type = ph_graph_builder_type(b, "app.Node", PH_TYPE_ORDINARY, true);
	ph_graph_builder_node(b, type, 10, 1, PH_NODE_SEED | tracked | 2 << PH_NODE_GEN_SHIFT | exact);
	ph_graph_builder_node(b, type, 20, 2, tracked | 3 << PH_NODE_GEN_SHIFT | PH_NODE_SIZE_EXACT);
	ph_graph_builder_node(b, type, 30, 3, tracked);
	ph_graph_builder_node(b, type, 40, 4, exact);
	ph_graph_builder_edge(b, 1, 2 | PH_EDGE_BORROWED, PH_LABEL_NONE, NULL);
	ph_graph_builder_edge(b, 3, 4, PH_LABEL_NONE, NULL);
	ph_graph_builder_edge(b, 4, 3, PH_LABEL_NONE, NULL);
	ph_graph_builder_edge(b, 3, 1, PH_LABEL_NONE, NULL);
	struct ph_graph *g = finish(b);
	ck_assert_uint_eq(g->tracked, 3);
	ck_assert_uint_eq(g->generations[0], 1);
	ck_assert_uint_eq(g->generations[1], 0);
	ck_assert_uint_eq(g->generations[2], 1);
	ck_assert_uint_eq(g->generations[3], 1);
	ck_assert_uint_eq(g->exact_objects, 2);
	ck_assert_uint_eq(g->garbage_objects, 2);
	/* object 3 is tracked, but held by 4, which is not: the collector does not see that
	 * the two hold each other only */
	ck_assert_uint_eq(g->garbage_tracked, 0);
	ck_assert_uint_eq(g->garbage_bytes, 77);
	ck_assert(!(g->flags[2] & PH_NODE_GARBAGE)); /* a borrowed reference reaches, too */
	ck_assert(g->flags[3] & PH_NODE_GARBAGE);
	ph_graph_free(g);
}
END_TEST

/* A cycle of tracked objects, and one tracked object that only an owned reference of
 * it holds, with what that refers to: a function, its code and a constant of it. */
START_TEST(garbage_the_collector_does_not_see)
{
	const unsigned tracked = PH_NODE_TRACKED;
	struct ph_graph_builder *b = ph_graph_builder_new();
	uint32_t type = ph_graph_builder_type(b, "app.Node", PH_TYPE_ORDINARY, true);
	for (int i = 0; i < 4; i++)
		ph_graph_builder_node(b, type, 1, 0, tracked);
	ph_graph_builder_edge(b, 1, 2, PH_LABEL_NONE, NULL);
	ph_graph_builder_edge(b, 2, 1, PH_LABEL_NONE, NULL);
	ph_graph_builder_edge(b, 2, 3 | PH_EDGE_OWNED, PH_LABEL_NONE, NULL);
	ph_graph_builder_edge(b, 3, 4, PH_LABEL_NONE, NULL);
	struct ph_graph *g = finish(b);
	ck_assert_uint_eq(g->garbage_objects, 4);
	ck_assert_uint_eq(g->garbage_tracked, 2);
	ph_graph_free(g);
}
END_TEST

START_TEST(mistakes_are_refused)
{
	struct ph_graph *g = NULL;
	struct ph_graph_builder *b = ph_graph_builder_new();
	uint32_t type = ph_graph_builder_type(b, "int", PH_TYPE_ORDINARY, false);
	ph_graph_builder_node(b, type, 28, 0, 0);
	ph_graph_builder_edge(b, 1, 2, PH_LABEL_NONE, NULL); /* there is no node 2 */
	struct ph_err *err = ph_graph_builder_finish(b, &g);
	ck_assert_ptr_nonnull(err);
	ck_assert_ptr_null(g);
	ph_err_free(err);

	b = ph_graph_builder_new();
	ck_assert(!ph_graph_builder_edge(b, 0, 1, PH_LABEL_NONE, NULL));
	ck_assert_uint_eq(ph_graph_builder_node(b, 0, 28, 0, 0), UINT32_MAX); /* no such type */
	err = ph_graph_builder_finish(b, &g);
	ck_assert_ptr_nonnull(err);
	ph_err_free(err);
}
END_TEST

START_TEST(empty_graph)
{
	struct ph_graph *g = finish(ph_graph_builder_new());
	ck_assert_uint_eq(g->n, 1);
	ck_assert_uint_eq(g->garbage_objects, 0);
	ck_assert_uint_eq(ph_graph_find(g, 16), 0);
	ph_graph_free(g);
	ph_graph_free(NULL);
}
END_TEST

Suite *graph_suite(void)
{
	Suite *s = suite_create("graph");
	TCase *t = tcase_create("by hand");
	tcase_add_test(t, edges_keep_their_order);
	tcase_add_test(t, labels_are_found);
	tcase_add_test(t, sizes_beyond_32_bits);
	tcase_add_test(t, addresses_are_found);
	tcase_add_test(t, types_come_sorted);
	tcase_add_test(t, totals_and_garbage);
	tcase_add_test(t, garbage_the_collector_does_not_see);
	tcase_add_test(t, mistakes_are_refused);
	tcase_add_test(t, empty_graph);
	suite_add_tcase(s, t);
	return s;
}
