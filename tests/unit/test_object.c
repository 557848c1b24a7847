/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Object readers and the graph on a heap declared in C, sound and damaged. */
#include <check.h>
#include <stdio.h>
#include "fake_heap.h"

static struct fake_heap h;

static void setup(void)
{
	fake_heap_init(&h);
}
static void teardown(void)
{
	fake_heap_deinit(&h);
}

static struct ph_graph *build(void)
{
	struct ph_graph *g;
	fake_heap_seal(&h);
	struct ph_err *err = ph_graph_build(&h.rt, NULL, &h.notes, &g);
	ck_assert_msg(!err, "%s", err ? ph_err_message(err) : "");
	return g;
}

static const char *type_of(const struct ph_graph *g, ph_addr at)
{
	uint32_t node = ph_graph_find(g, at);
	return node ? g->types[g->type[node]].name : "(no object)";
}

static uint64_t count(const struct ph_graph *g, const char *type)
{
	uint64_t n = 0;
	for (uint32_t i = 1; i < g->n; i++)
		n += !strcmp(g->types[g->type[i]].name, type);
	return n;
}

START_TEST(test_untracked_keys_are_found)
{
	ph_addr keys[40], values[40];
	char text[32];
	for (int i = 0; i < 40; i++) {
		snprintf(text, sizeof text, "key%d", i);
		keys[i] = fake_str(&h, text);
		snprintf(text, sizeof text, "value%d", i);
		values[i] = fake_str(&h, text);
	}
	struct ph_graph *g = NULL;
	fake_heap_seal(&h);
	ck_assert_ptr_null(ph_graph_build(&h.rt, NULL, &h.notes, &g));
	uint64_t before = count(g, "str");
	ph_graph_free(g);
	ph_mem_free(h.mem);

	ph_addr d = fake_dict(&h, keys, values, 40);
	fake_hold(&h, d, 1);
	g = build();
	ck_assert_uint_eq(count(g, "str"), before + 80);
	ck_assert_str_eq(type_of(g, keys[0]), "str");
	uint64_t n, owned = 0;
	const uint32_t *e = ph_graph_edges(g, ph_graph_find(g, d), &n);
	for (uint64_t i = 0; i < n; i++)
		owned += (e[i] & PH_EDGE_OWNED) != 0;
	ck_assert_uint_eq(n, 80);
	ck_assert_uint_eq(owned, 40);
	ph_graph_free(g);
}
END_TEST

START_TEST(test_sizes)
{
	ph_addr s = fake_str(&h, "hello"), l = fake_list(&h, &s, 1), t = fake_tuple(&h, &l, 1);
	fake_hold(&h, t, 1);
	struct ph_graph *g = build();
	/* no type of this heap has a __sizeof__, so only the plain rule holds */
	ck_assert_uint_eq(ph_graph_shallow(g, ph_graph_find(g, t)), 16 + 24 + 8);
	ck_assert_uint_eq(ph_graph_shallow(g, ph_graph_find(g, l)), 16 + 40);
	ph_graph_free(g);
}
END_TEST

START_TEST(test_garbage_is_what_counts_do_not_explain)
{
	ph_addr cls = fake_class(&h, "Node");
	ph_addr x = fake_str(&h, "x");
	fake_hold(&h, cls, 1);
	ph_addr a = fake_instance(&h, cls, 0), b = fake_instance(&h, cls, 0);
	ph_addr da = fake_dict(&h, &x, &b, 1), db = fake_dict(&h, &x, &a, 1);
	fake_u64(&h, a + 16, da);
	fake_hold(&h, da, 1);
	fake_u64(&h, b + 16, db);
	fake_hold(&h, db, 1);
	ph_addr held = fake_instance(&h, cls, 0); /* a count that nothing explains: held from C */
	fake_hold(&h, held, 1);
	struct ph_graph *g = build();
	ck_assert(g->flags[ph_graph_find(g, a)] & PH_NODE_GARBAGE);
	ck_assert(g->flags[ph_graph_find(g, db)] & PH_NODE_GARBAGE);
	ck_assert(!(g->flags[ph_graph_find(g, held)] & PH_NODE_GARBAGE));
	ck_assert(!(g->flags[ph_graph_find(g, cls)] & PH_NODE_GARBAGE));
	ck_assert_uint_eq(g->garbage_tracked, 4);
	ck_assert_uint_eq(h.notes.kind[PH_NOTE_NEGATIVE_EXCESS].count, 0);
	ph_graph_free(g);
}
END_TEST

START_TEST(test_labels)
{
	ph_addr cls = fake_class(&h, "Node"), name = fake_str(&h, "parent");
	ph_addr o = fake_instance(&h, cls, 0), d = fake_dict(&h, &name, &o, 1);
	fake_u64(&h, o + 16, d);
	fake_hold(&h, d, 1);
	struct ph_graph *g = build();
	struct ph_label label;
	ck_assert(ph_graph_label(g, ph_graph_find(g, o), 0, &label));
	ck_assert_int_eq(label.kind, PH_LABEL_DICT);
	ck_assert(ph_graph_label(g, ph_graph_find(g, d), 0, &label));
	ck_assert_int_eq(label.kind, PH_LABEL_VALUE);
	ck_assert_str_eq(label.name, "'parent'");
	ck_assert(ph_graph_label(g, ph_graph_find(g, o), 1, &label));
	ck_assert_int_eq(label.kind, PH_LABEL_TYPE);
	ck_assert(!ph_graph_label(g, ph_graph_find(g, o), 99, &label));
	ph_graph_free(g);
}
END_TEST

/* ---- damage --------------------------------------------------------------------- */

START_TEST(test_huge_length)
{
	ph_addr l = fake_list(&h, NULL, 0);
	fake_u64(&h, l + 16, 1ull << 60);
	struct ph_graph *g = build();
	ck_assert(!(g->flags[ph_graph_find(g, l)] & PH_NODE_REFS_EXACT));
	ck_assert_uint_ge(h.notes.kind[PH_NOTE_INEXACT_REFS].count, 1);
	ph_graph_free(g);
}
END_TEST

START_TEST(test_gc_list_that_loops)
{
	ph_addr a = fake_list(&h, NULL, 0), b = fake_list(&h, NULL, 0);
	fake_u64(&h, b - 16, a - 16); /* never comes back to the head */
	struct ph_graph *g = build();
	ck_assert_uint_ge(h.notes.kind[PH_NOTE_BAD_LIST].count, 1);
	ck_assert_str_eq(type_of(g, b), "list");
	ph_graph_free(g);
}
END_TEST

START_TEST(test_gc_list_into_nowhere)
{
	ph_addr a = fake_list(&h, NULL, 0);
	fake_u64(&h, a - 16, 0xdead0000);
	struct ph_graph *g = build();
	ck_assert_uint_ge(h.notes.kind[PH_NOTE_BAD_LIST].count, 1);
	ph_graph_free(g);
}
END_TEST

START_TEST(test_base_chain_that_loops)
{
	ph_addr c = fake_class(&h, "Loop"), d = fake_class(&h, "Loop2");
	fake_u64(&h, c + 88, d);
	fake_u64(&h, d + 88, c);
	ph_addr o = fake_instance(&h, c, 0);
	fake_hold(&h, o, 1);
	struct ph_graph *g = build();
	ck_assert_str_eq(type_of(g, o), "Loop");
	ph_graph_free(g);
}
END_TEST

START_TEST(test_type_that_is_none)
{
	ph_addr o = fake_list(&h, NULL, 0), l = fake_list(&h, &o, 1);
	fake_u64(&h, o + 8, FAKE_BASE + 0x80000);
	struct ph_graph *g = build();
	ck_assert_str_eq(type_of(g, o), "(no object)");
	ck_assert_str_eq(type_of(g, l), "list");
	ck_assert_uint_ge(h.notes.kind[PH_NOTE_BAD_OBJECT].count, 1);
	ck_assert_uint_ge(h.notes.kind[PH_NOTE_BAD_REFERENCE].count, 1);
	ph_graph_free(g);
}
END_TEST

/* A type that says of its instances what cannot be: nobody reads behind the memory. */
START_TEST(test_type_with_impossible_size)
{
	ph_addr odd = fake_type(&h, "Odd", h.object, 1u << 28, FAKE_SIZE, 0, 0); /* shorter than a str it is not */
	ph_addr small = fake_type(&h, "function", h.object, 1u << 14, 16, 0, odd);
	ph_addr o = fake_list(&h, NULL, 0), p = fake_list(&h, NULL, 0);
	fake_u64(&h, o + 8, odd);
	fake_u64(&h, p + 8, small);
	struct ph_graph *g = build();
	ck_assert_str_eq(type_of(g, o), "Odd");
	ck_assert_str_eq(type_of(g, p), "function");
	ph_graph_free(g);
}
END_TEST

/* A member before the object, by an offset that wraps around. */
START_TEST(test_member_with_impossible_offset)
{
	ph_addr odd = fake_type(&h, "Odd", h.object, 1u << 14, 40, 0, FAKE_BASE);
	ph_addr defs = fake_block(&h, 2 * 40), o = fake_list(&h, NULL, 0);
	fake_u64(&h, odd + 80, defs);
	fake_u64(&h, defs, defs);
	fake_u64(&h, defs + 8, 6);
	fake_u64(&h, defs + 16, -8ull);
	fake_u64(&h, o + 8, odd);
	struct ph_graph *g = build();
	ck_assert_str_eq(type_of(g, o), "Odd");
	ph_graph_free(g);
}
END_TEST

START_TEST(test_dict_with_impossible_table)
{
	ph_addr d = fake_dict(&h, NULL, NULL, 0);
	ph_addr keys = ph_load_u64(h.bytes + (d + 24 - FAKE_BASE));
	fake_u64(&h, keys + 24, 1u << 30); /* more entries than the table can have */
	struct ph_graph *g = build();
	ck_assert(!(g->flags[ph_graph_find(g, d)] & PH_NODE_REFS_EXACT));
	ph_graph_free(g);
}
END_TEST

START_TEST(test_too_few_counts)
{
	ph_addr o = fake_list(&h, NULL, 0), l = fake_list(&h, &o, 1);
	fake_hold(&h, l, 1);
	fake_hold(&h, o, -1);
	struct ph_graph *g = build();
	ck_assert_uint_eq(h.notes.kind[PH_NOTE_NEGATIVE_EXCESS].count, 1);
	ck_assert(!(g->flags[ph_graph_find(g, o)] & PH_NODE_GARBAGE));
	ph_graph_free(g);
}
END_TEST

/* A chain of 4,000 lists: nothing may recurse over it, and order does not matter. */
START_TEST(test_long_chain)
{
	ph_addr last = fake_list(&h, NULL, 0);
	for (int i = 0; i < 4000; i++)
		last = fake_list(&h, &last, 1);
	fake_hold(&h, last, 1);
	struct ph_graph *g = build();
	ck_assert_uint_eq(count(g, "list"), 4001);
	ck_assert_uint_eq(g->garbage_objects, 0);
	ph_graph_free(g);
}
END_TEST

/* ---- two interpreters ------------------------------------------------------------------------ */

static struct ph_interp both[2];

/* What is made from now on is on the lists of a second one, or up to 3.8 on those of the first. */
static void second_interpreter(bool own_lists)
{
	both[0] = h.interp;
	both[1] = (struct ph_interp){ .address = fake_block(&h, 64), .id = 7,
				      .gc = own_lists ? fake_block(&h, 96) : h.interp.gc };
	for (unsigned i = 0; own_lists && i < 3; i++) {
		h.lists[i] = both[1].gc + 24 * i;
		fake_u64(&h, h.lists[i], h.lists[i]);
		fake_u64(&h, h.lists[i] + 8, h.lists[i]);
	}
}

static struct ph_graph *build_both(void)
{
	struct ph_graph *g;
	fake_heap_seal(&h);
	h.rt.interps = both;
	h.rt.ninterps = 2;
	struct ph_err *err = ph_graph_build(&h.rt, NULL, &h.notes, &g);
	ck_assert_msg(!err, "%s", err ? ph_err_message(err) : "");
	return g;
}

static uint32_t owner(const struct ph_graph *g, ph_addr at)
{
	ck_assert_uint_ne(ph_graph_find(g, at), 0);
	return ph_graph_interp(g, ph_graph_find(g, at));
}

/* Each object belongs to somebody, and all of them together are all. */
static void check_shares(struct ph_graph *g)
{
	uint64_t n = 0, bytes = 0, tracked = 0;
	ck_assert_uint_eq(g->ninterps, 2);
	ck_assert_int_eq((int)g->interps[1].id, 7);
	for (uint32_t i = 0; i <= g->ninterps; i++) {
		n += g->interps[i].objects;
		bytes += g->interps[i].bytes;
		tracked += g->interps[i].tracked;
	}
	ck_assert_uint_eq(n, g->n - 1);
	ck_assert_uint_eq(bytes, g->shallow_bytes + g->uncounted_bytes);
	ck_assert_uint_eq(tracked, g->tracked);
}

START_TEST(test_by_lists)
{
	ph_addr shared = fake_str(&h, "shared"), first = fake_str(&h, "first"), second = fake_str(&h, "second");
	ph_addr a = fake_list(&h, (ph_addr[]){ shared, first }, 2);
	second_interpreter(true);
	ph_addr b = fake_list(&h, (ph_addr[]){ shared, second, a }, 3);
	fake_hold(&h, b, 1);
	struct ph_graph *g = build_both();
	check_shares(g);
	ck_assert_uint_eq(owner(g, a), 0); /* though the other's is what holds it */
	ck_assert_uint_eq(owner(g, b), 1);
	ck_assert_uint_eq(owner(g, first), 0);
	ck_assert_uint_eq(owner(g, second), 1);
	ck_assert_uint_eq(owner(g, shared), 2);
	ck_assert_uint_eq(owner(g, h.list), 2); /* a static type */
	ck_assert_ptr_null(ph_graph_select(g, 1));
	ck_assert_uint_eq(g->objects, 2);
	ck_assert_uint_eq(g->tracked, 1);
	ck_assert_uint_eq(g->references, 3);
	ph_graph_free(g);
}
END_TEST

/* A list that leads from one interpreter's into another's is broken, and ends. */
START_TEST(test_lists_that_meet)
{
	ph_addr a = fake_list(&h, NULL, 0);
	second_interpreter(true);
	ph_addr b = fake_list(&h, NULL, 0);
	fake_hold(&h, a, 1);
	fake_hold(&h, b, 1);
	fake_u64(&h, b - 16, a - 16);
	struct ph_graph *g = build_both();
	check_shares(g);
	ck_assert_uint_eq(owner(g, a), 0);
	ck_assert_uint_eq(owner(g, b), 1);
	ck_assert_uint_ge(h.notes.kind[PH_NOTE_BAD_LIST].count, 1);
	ph_graph_free(g);
}
END_TEST

/* Up to 3.8: by what sys.modules leads to. */
START_TEST(test_by_modules)
{
	ph_addr shared = fake_str(&h, "shared"), second = fake_str(&h, "second"), key = fake_str(&h, "key");
	ph_addr a = fake_list(&h, (ph_addr[]){ shared }, 1), nobody = fake_list(&h, NULL, 0);
	second_interpreter(false);
	ph_addr b = fake_list(&h, (ph_addr[]){ shared, second }, 2);
	ph_addr modules = fake_dict(&h, (ph_addr[]){ key }, (ph_addr[]){ b }, 1);
	ph_addr others = fake_dict(&h, (ph_addr[]){ key }, (ph_addr[]){ a }, 1);
	fake_u64(&h, both[0].address + 8, others);
	fake_u64(&h, both[1].address + 8, modules);
	fake_hold(&h, modules, 1);
	fake_hold(&h, others, 1);
	fake_hold(&h, nobody, 1);
	struct ph_graph *g = build_both();
	check_shares(g);
	ck_assert_uint_eq(owner(g, a), 0);
	ck_assert_uint_eq(owner(g, b), 1);
	ck_assert_uint_eq(owner(g, modules), 1);
	ck_assert_uint_eq(owner(g, second), 1);
	ck_assert_uint_eq(owner(g, shared), 2);
	ck_assert_uint_eq(owner(g, key), 2);
	ck_assert_uint_eq(owner(g, nobody), 2);
	ph_graph_free(g);
}
END_TEST

Suite *object_suite(void);
Suite *object_suite(void)
{
	Suite *s = suite_create("object");
	TCase *t = tcase_create("fake heap");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_untracked_keys_are_found);
	tcase_add_test(t, test_sizes);
	tcase_add_test(t, test_garbage_is_what_counts_do_not_explain);
	tcase_add_test(t, test_labels);
	tcase_add_test(t, test_huge_length);
	tcase_add_test(t, test_gc_list_that_loops);
	tcase_add_test(t, test_gc_list_into_nowhere);
	tcase_add_test(t, test_base_chain_that_loops);
	tcase_add_test(t, test_type_that_is_none);
	tcase_add_test(t, test_type_with_impossible_size);
	tcase_add_test(t, test_member_with_impossible_offset);
	tcase_add_test(t, test_dict_with_impossible_table);
	tcase_add_test(t, test_too_few_counts);
	tcase_add_test(t, test_long_chain);
	tcase_add_test(t, test_by_lists);
	tcase_add_test(t, test_lists_that_meet);
	tcase_add_test(t, test_by_modules);
	suite_add_tcase(s, t);
	return s;
}
