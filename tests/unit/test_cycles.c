/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cycles as people meet them: folded, grouped, with the reference to make weak. */
#include <check.h>
#include <stdio.h>
#include <pyheap/analysis.h>

Suite *cycles_suite(void);

enum { PARENT, CHILD, SLOTS, DICT, LIST, DEQUE, MAP, FUNCTION, TYPE, TUPLE, CELL, NTYPES };
static const struct {
	const char *name;
	enum ph_type_class cls;
	bool weakrefable;
} types[NTYPES] = {
	[PARENT] = { "app.Parent", PH_TYPE_ORDINARY, true },
	[CHILD] = { "app.Child", PH_TYPE_ORDINARY, true },
	[SLOTS] = { "app.Slots", PH_TYPE_ORDINARY, false },
	[DICT] = { "dict", PH_TYPE_DICT, false },
	[LIST] = { "list", PH_TYPE_CONTAINER, false },
	[DEQUE] = { "collections.deque", PH_TYPE_CONTAINER, true },
	[MAP] = { "app.Map", PH_TYPE_DICT, true },
	[FUNCTION] = { "function", PH_TYPE_INFRASTRUCTURE, true },
	[TYPE] = { "type", PH_TYPE_INFRASTRUCTURE, true },
	[TUPLE] = { "tuple", PH_TYPE_CONTAINER, false },
	[CELL] = { "cell", PH_TYPE_INFRASTRUCTURE, false },
};

static struct ph_graph_builder *b;

static void begin(void)
{
	b = ph_graph_builder_new();
	for (uint32_t t = 0; t < NTYPES; t++)
		ck_assert_uint_eq(ph_graph_builder_type(b, types[t].name, types[t].cls,
							types[t].weakrefable), t);
}

/* Objects of 10 bytes each; garbage unless something live refers to them. */
static uint32_t node(uint32_t type)
{
	return ph_graph_builder_node(b, type, 10, 0, PH_NODE_TRACKED);
}

static uint32_t root(uint32_t type)
{
	return ph_graph_builder_node(b, type, 10, 0, PH_NODE_TRACKED | PH_NODE_SEED);
}

static void edge(uint32_t from, uint32_t to, enum ph_label_kind kind, const char *name)
{
	ck_assert(ph_graph_builder_edge(b, from, to, kind, name));
}

static void attr(uint32_t from, uint32_t to, const char *name)
{
	edge(from, to, PH_LABEL_ATTR, name);
}

static struct ph_graph *g;

static struct ph_cycles *find_with(const struct ph_cycles_options *options)
{
	struct ph_cycles *c = NULL;
	ck_assert_ptr_null(ph_graph_builder_finish(b, &g));
	ck_assert_ptr_null(ph_cycles_find(g, options, &c));
	return c;
}

static struct ph_cycles *find(bool all)
{
	return find_with(&(struct ph_cycles_options){ .all = all });
}

static void end(struct ph_cycles *c)
{
	ph_cycles_free(c);
	ph_graph_free(g);
}

/* "app.Child.parent app.Parent.children[]" */
static void expect_shape(const struct ph_cycle_group *group, const char *want)
{
	char got[4000] = "";
	ck_assert_uint_eq(group->nsteps, group->nshape);
	for (uint32_t i = 0; i < group->nshape; i++) {
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s%s", i ? " " : "",
			 group->shape[i], group->labels[i]);
		ck_assert_str_eq(group->labels[i], group->steps[i].text);
	}
	ck_assert_str_eq(got, want);
}

static void expect_cut(const struct ph_cycle_group *group, const char *type, const char *label)
{
	ck_assert_int_eq(group->has_cut, type != NULL);
	if (!type)
		return;
	ck_assert_str_eq(g->types[group->cut_type].name, type);
	ck_assert_str_eq(group->cut_label, label);
}

/* Parent and child with instance dicts, as before 3.11; the parent comes first. */
static uint32_t family(uint32_t nchildren)
{
	uint32_t parent = node(PARENT), space = node(DICT), list = node(LIST);
	edge(parent, space, PH_LABEL_DICT, NULL);
	edge(space, list, PH_LABEL_VALUE, "'children'");
	for (uint32_t i = 0; i < nchildren; i++) {
		uint32_t child = node(CHILD), own = node(DICT);
		edge(list, child, PH_LABEL_INDEX, NULL);
		edge(child, own, PH_LABEL_DICT, NULL);
		edge(own, parent, PH_LABEL_VALUE, "'parent'");
	}
	return parent;
}

START_TEST(containers_are_folded)
{
	begin();
	uint32_t parent = family(3);
	struct ph_cycles *c = find(false);
	ck_assert_uint_eq(c->n, 1);
	const struct ph_cycle_group *group = &c->groups[0];
	expect_shape(group, "app.Child.parent app.Parent.children[]");
	ck_assert(group->garbage);
	ck_assert_uint_eq(group->count, 1);
	ck_assert_uint_eq(group->objects, 9);
	ck_assert_uint_eq(group->shallow_bytes, 90);
	ck_assert_uint_eq(group->retained_bytes, 90);
	ck_assert_uint_eq(group->length, 2);
	ck_assert_uint_eq(group->steps[1].node, parent);
	ck_assert_str_eq(group->steps[0].exact, ".parent");
	ck_assert_str_eq(group->steps[1].exact, ".children[0]");
	expect_cut(group, "app.Child", ".parent");
	ck_assert_uint_eq(c->garbage_components, 1);
	ck_assert_uint_eq(c->live_components, 0);
	end(c);
}
END_TEST

/* With and without a dict an attribute is the same attribute. */
START_TEST(attributes_without_dict_are_the_same)
{
	begin();
	family(1);
	uint32_t parent = node(PARENT), list = node(LIST), child = node(CHILD);
	attr(parent, list, "children");
	edge(list, child, PH_LABEL_INDEX, NULL);
	attr(child, parent, "parent");
	struct ph_cycles *c = find(false);
	ck_assert_uint_eq(c->n, 1);
	ck_assert_uint_eq(c->groups[0].count, 2);
	ck_assert_uint_eq(c->groups[0].objects, 8);
	expect_shape(&c->groups[0], "app.Child.parent app.Parent.children[]");
	expect_cut(&c->groups[0], "app.Child", ".parent");
	end(c);
}
END_TEST

START_TEST(containers_alone)
{
	begin();
	uint32_t self = node(LIST), list = node(LIST), dict = node(DICT), deque = node(DEQUE);
	edge(self, self, PH_LABEL_INDEX, NULL);
	edge(list, dict, PH_LABEL_INDEX, NULL);
	edge(dict, list, PH_LABEL_VALUE, "'back'");
	edge(deque, deque, PH_LABEL_INDEX, NULL);
	struct ph_cycles *c = find(false);
	ck_assert_uint_eq(c->n, 3);
	expect_shape(&c->groups[0], "dict[] list[]"); /* 20 bytes */
	ck_assert_str_eq(c->groups[0].steps[0].exact, "['back']");
	expect_cut(&c->groups[0], NULL, NULL);
	expect_shape(&c->groups[1], "collections.deque[]");
	expect_cut(&c->groups[1], "collections.deque", "[]");
	expect_shape(&c->groups[2], "list[]");
	expect_cut(&c->groups[2], NULL, NULL);
	end(c);
}
END_TEST

START_TEST(keys_are_values_unless_it_is_a_namespace)
{
	begin();
	uint32_t parent = node(PARENT), space = node(DICT), cache = node(DICT), child = node(CHILD);
	edge(parent, space, PH_LABEL_DICT, NULL);
	edge(space, cache, PH_LABEL_VALUE, "'cache'");
	edge(cache, child, PH_LABEL_VALUE, "'k'");
	edge(child, parent, PH_LABEL_KEY, NULL);
	struct ph_cycles *c = find(false);
	expect_shape(&c->groups[0], "app.Child.keys()[] app.Parent.cache[]");
	ck_assert_str_eq(c->groups[0].steps[1].exact, ".cache['k']");
	end(c);
}
END_TEST

static void hide(const void *ctx, struct ph_label *label)
{
	ck_assert_str_eq(label->name, ctx);
	strcpy(label->name, "'#'");
}

/* … and then they can be hidden, and only they. */
START_TEST(values_are_hidden)
{
	static const struct ph_cycles_options options = { .hide = hide, .hide_ctx = "'k'" };
	begin();
	uint32_t parent = node(PARENT), space = node(DICT), cache = node(DICT), child = node(CHILD);
	edge(parent, space, PH_LABEL_DICT, NULL);
	edge(space, cache, PH_LABEL_VALUE, "'cache'");
	edge(cache, child, PH_LABEL_VALUE, "'k'");
	edge(child, parent, PH_LABEL_KEY, NULL);
	struct ph_cycles *c = find_with(&options);
	ck_assert_str_eq(c->groups[0].steps[1].exact, ".cache['#']");
	end(c);
}
END_TEST

/* A user's subclass of dict is a thing of its own. */
START_TEST(subclasses_of_dict_are_steps)
{
	begin();
	uint32_t map = node(MAP), child = node(CHILD);
	edge(map, child, PH_LABEL_VALUE, "'k'");
	attr(child, map, "owner");
	struct ph_cycles *c = find(false);
	expect_shape(&c->groups[0], "app.Child.owner app.Map[]");
	expect_cut(&c->groups[0], "app.Child", ".owner");
	end(c);
}
END_TEST

static struct ph_cycles *ring(uint32_t n, uint32_t other)
{
	begin();
	for (uint32_t i = 0; i < n; i++)
		node(other && i % other == 0 ? CHILD : PARENT);
	for (uint32_t i = 1; i <= n; i++)
		attr(i, i % n + 1, "next");
	return find(false);
}

START_TEST(repeating_patterns_are_shortened)
{
	struct ph_cycles *c = ring(20, 0);
	expect_shape(&c->groups[0], "app.Parent.next");
	ck_assert_uint_eq(c->groups[0].length, 20);
	expect_cut(&c->groups[0], "app.Parent", ".next");
	end(c);
	c = ring(20, 2);
	expect_shape(&c->groups[0], "app.Child.next app.Parent.next");
	ck_assert_uint_eq(c->groups[0].length, 20);
	end(c);
	c = ring(3, 0);
	expect_shape(&c->groups[0], "app.Parent.next app.Parent.next app.Parent.next");
	ck_assert_uint_eq(c->groups[0].length, 3);
	end(c);
	c = ring(12, 5); /* nothing repeats */
	ck_assert_uint_eq(c->groups[0].nshape, 12);
	end(c);
}
END_TEST

START_TEST(long_cycles_are_cut_off)
{
	char name[20];
	begin();
	for (uint32_t i = 1; i <= 100; i++)
		node(PARENT);
	for (uint32_t i = 1; i <= 100; i++) {
		snprintf(name, sizeof name, "a%03u", i);
		attr(i, i % 100 + 1, name);
	}
	struct ph_cycles *c = find(false);
	ck_assert_uint_eq(c->groups[0].length, 100);
	ck_assert_uint_eq(c->groups[0].nsteps, 64);
	ck_assert_str_eq(c->groups[0].labels[0], ".a001");
	expect_cut(&c->groups[0], NULL, NULL); /* too many to try */
	end(c);
}
END_TEST

START_TEST(only_what_can_be_weak_is_cut)
{
	begin();
	uint32_t parent = node(PARENT), slots = node(SLOTS);
	attr(parent, slots, "a"); /* no weak references to app.Slots */
	attr(slots, parent, "b");
	struct ph_cycles *c = find(false);
	expect_shape(&c->groups[0], "app.Parent.a app.Slots.b");
	expect_cut(&c->groups[0], "app.Slots", ".b");
	end(c);

	begin();
	uint32_t one = node(SLOTS), two = node(SLOTS);
	attr(one, two, "a");
	attr(two, one, "b");
	c = find(false);
	expect_cut(&c->groups[0], NULL, NULL);
	end(c);
}
END_TEST

START_TEST(cut_must_break_all_cycles_of_all_components)
{
	begin();
	for (int i = 0; i < 2; i++) {
		uint32_t parent = node(PARENT), child = node(CHILD);
		attr(parent, child, "child");
		attr(child, parent, "parent");
		if (i) /* here, without .parent, a cycle is left */
			attr(child, parent, "other");
	}
	struct ph_cycles *c = find(false);
	ck_assert_uint_eq(c->n, 1);
	ck_assert_uint_eq(c->groups[0].count, 2);
	expect_cut(&c->groups[0], "app.Parent", ".child");
	end(c);

	begin();
	uint32_t one = node(PARENT), two = node(PARENT), three = node(PARENT);
	attr(one, two, "a");
	attr(two, one, "b");
	attr(two, three, "c");
	attr(three, two, "d");
	c = find(false);
	expect_shape(&c->groups[0], "app.Parent.a app.Parent.b");
	expect_cut(&c->groups[0], NULL, NULL);
	end(c);
}
END_TEST

/* Twelve ways to hold in one cycle; beside all but one of them there is another. */
START_TEST(many_candidates)
{
	uint32_t child[12];
	char name[8];
	begin();
	for (int i = 0; i < 12; i++)
		child[i] = node(CHILD);
	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof name, "n%d", i);
		attr(child[i], child[(i + 1) % 12], name);
		if (i != 9)
			attr(child[i], child[(i + 1) % 12], "other");
	}
	struct ph_cycles *c = find(false);
	ck_assert_uint_eq(c->n, 1);
	ck_assert_uint_eq(c->groups[0].length, 12);
	expect_cut(&c->groups[0], "app.Child", ".n9");
	end(c);
}
END_TEST

/* A list that two attributes share is weak in both or in none. */
START_TEST(shared_containers)
{
	begin();
	uint32_t parent = node(PARENT), list = node(LIST), child = node(CHILD);
	attr(parent, list, "rows");
	attr(child, list, "siblings");
	edge(list, child, PH_LABEL_INDEX, NULL);
	attr(child, parent, "parent");
	struct ph_cycles *c = find(false);
	expect_shape(&c->groups[0], "app.Child.parent app.Parent.rows[]");
	expect_cut(&c->groups[0], "app.Parent", ".rows[]");
	end(c);
}
END_TEST

START_TEST(infrastructure_is_counted_only)
{
	begin();
	uint32_t type = root(TYPE), space = node(DICT), mro = node(TUPLE), function = node(FUNCTION);
	uint32_t closure = node(TUPLE), cell = node(CELL), parent = node(PARENT);
	edge(type, space, PH_LABEL_DICT, NULL);
	attr(type, mro, "__mro__");
	edge(mro, type, PH_LABEL_INDEX, NULL);
	edge(space, function, PH_LABEL_VALUE, "'method'");
	attr(function, closure, "__closure__");
	edge(closure, cell, PH_LABEL_INDEX, NULL);
	attr(cell, type, "cell_contents");
	edge(space, parent, PH_LABEL_VALUE, "'instance'"); /* an instance in its class: not a cycle */
	edge(parent, type, PH_LABEL_TYPE, NULL);
	struct ph_cycles *c = find(false);
	ck_assert_uint_eq(c->n, 0);
	ck_assert_uint_eq(c->infrastructure_count, 1);
	ck_assert_uint_eq(c->infrastructure_objects, 6);
	ck_assert_uint_eq(c->infrastructure_bytes, 60);
	ck_assert_uint_eq(c->live_components, 0);
	ph_cycles_free(c);
	struct ph_cycles_options opt = { .all = true };
	ck_assert_ptr_null(ph_cycles_find(g, &opt, &c));
	ck_assert_uint_eq(c->n, 1);
	expect_shape(&c->groups[0], "type.__mro__[]");
	expect_cut(&c->groups[0], NULL, NULL);
	ck_assert(!c->groups[0].garbage);
	ck_assert_uint_eq(c->groups[0].retained_bytes, 70);
	end(c);
}
END_TEST

/* The same class when nothing holds it: garbage like any other. */
START_TEST(garbage_infrastructure_is_garbage)
{
	begin();
	uint32_t type = node(TYPE), space = node(DICT), mro = node(TUPLE), parent = node(PARENT);
	edge(type, space, PH_LABEL_DICT, NULL);
	attr(type, mro, "__mro__");
	edge(mro, type, PH_LABEL_INDEX, NULL);
	edge(space, parent, PH_LABEL_VALUE, "'instance'");
	edge(parent, type, PH_LABEL_TYPE, NULL);
	struct ph_cycles *c = find(false);
	ck_assert_uint_eq(c->n, 1);
	ck_assert(c->groups[0].garbage);
	ck_assert_uint_eq(c->groups[0].objects, 4);
	ck_assert_uint_eq(c->infrastructure_count, 0);
	end(c);
}
END_TEST

START_TEST(borrowed_references_make_no_cycle)
{
	begin();
	uint32_t parent = root(PARENT), child = node(CHILD);
	attr(parent, child, "child");
	edge(child, parent | PH_EDGE_BORROWED, PH_LABEL_STACK, NULL);
	struct ph_cycles *c = find(true);
	ck_assert_uint_eq(c->n, 0);
	end(c);
}
END_TEST

START_TEST(retained_counts_nothing_twice)
{
	begin();
	uint32_t holder = root(PARENT), last = 0;
	for (int i = 0; i < 3; i++) { /* each cycle is held by the one before */
		uint32_t a = node(PARENT), z = node(PARENT), own = node(SLOTS);
		attr(a, z, "z");
		attr(z, a, "a");
		attr(a, own, "own");
		attr(last ? last : holder, a, "more");
		last = z;
	}
	uint32_t shared = node(SLOTS);
	attr(last, shared, "shared");
	attr(holder, shared, "shared");
	struct ph_cycles *c = find(false);
	ck_assert_uint_eq(c->n, 1);
	ck_assert_uint_eq(c->groups[0].count, 3);
	ck_assert_uint_eq(c->groups[0].shallow_bytes, 60);
	ck_assert_uint_eq(c->groups[0].retained_bytes, 90);
	ck_assert(!c->groups[0].garbage);
	end(c);
}
END_TEST

/* Two entries into a cycle: no member dominates what hangs on it, the cycle does. */
START_TEST(components_retain_as_one)
{
	begin();
	uint32_t a = root(PARENT), z = root(PARENT), both = node(SLOTS);
	attr(a, z, "z");
	attr(z, a, "a");
	attr(a, both, "x");
	attr(z, both, "x");
	struct ph_cycles *c = find(false);
	ck_assert_uint_eq(c->groups[0].retained_bytes, 30);
	end(c);
}
END_TEST

START_TEST(thousands_of_shapes)
{
	char name[20];
	begin();
	for (uint32_t i = 0; i < 5000; i++) {
		uint32_t v = i % 3 ? node(PARENT) : root(PARENT), own = node(SLOTS);
		snprintf(name, sizeof name, "a%u", i / 2);
		attr(v, v, name);
		for (uint32_t k = 0; k < i % 7; k++, own = node(SLOTS))
			attr(v, own, "own");
	}
	struct ph_cycles *c = find(false);
	uint64_t count = 0;
	for (uint32_t i = 0; i < c->n; i++) {
		const struct ph_cycle_group *x = &c->groups[i], *y = i ? x - 1 : x;
		ck_assert(y->garbage >= x->garbage);
		ck_assert(y->garbage != x->garbage || y->retained_bytes >= x->retained_bytes);
		ck_assert(i == 0 || y->garbage != x->garbage || y->retained_bytes != x->retained_bytes ||
			  strcmp(y->labels[0], x->labels[0]) < 0);
		count += x->count;
	}
	ck_assert_uint_eq(count, 5000);
	ck_assert_uint_gt(c->n, 2500);
	end(c);
}
END_TEST

/* Labels longer than there is room for are cut between characters. */
START_TEST(long_labels_are_cut)
{
	char name[103] = "x"; /* 'x' and 50 times é: any even cut would split one */
	for (int i = 0; i < 50; i++)
		strcat(name, "\xc3\xa9");
	begin();
	uint32_t parent = node(PARENT), one = node(DICT), two = node(DICT);
	edge(parent, one, PH_LABEL_DICT, NULL);
	attr(one, two, name);
	attr(two, parent, name);
	struct ph_cycles *c = find(false);
	const char *label = c->groups[0].labels[0];
	ck_assert_uint_le(strlen(label), 159);
	ck_assert_uint_ge(strlen(label), 157);
	ck_assert_uint_eq((unsigned char)label[strlen(label) - 1], 0xa9);
	ck_assert_str_eq(label, c->groups[0].steps[0].exact);
	end(c);
}
END_TEST

static void folded(enum ph_label_kind kind, const char *name, const char *want)
{
	begin();
	uint32_t parent = node(PARENT);
	edge(parent, parent, kind, name);
	struct ph_cycles *c = find(false);
	ck_assert_str_eq(c->groups[0].labels[0], want);
	expect_cut(&c->groups[0], strchr(want, '<') || kind == PH_LABEL_TYPE ? NULL : "app.Parent", want);
	end(c);
}

START_TEST(every_kind_of_label)
{
	folded(PH_LABEL_NONE, NULL, "<slot>");
	folded(PH_LABEL_ATTR, "x", ".x");
	folded(PH_LABEL_ATTR, "<iterator>", "<iterator>");
	folded(PH_LABEL_DICT, NULL, ".__dict__");
	folded(PH_LABEL_INDEX, NULL, "[]");
	folded(PH_LABEL_ELEMENT, NULL, "[]");
	folded(PH_LABEL_VALUE, "'k'", "[]");
	folded(PH_LABEL_KEY, NULL, ".keys()[]");
	folded(PH_LABEL_LOCAL, "row", "<local row>");
	folded(PH_LABEL_STACK, NULL, "<stack>");
	folded(PH_LABEL_CELL, "row", "<cell row>");
	folded(PH_LABEL_TYPE, NULL, ".__class__");
	folded(PH_LABEL_WORD, NULL, "<word>");
}
END_TEST

START_TEST(interrupted)
{
	struct ph_cycles *c = NULL;
	struct ph_cycles_options opt = { 0 };
	begin();
	family(2);
	ck_assert_ptr_null(ph_graph_builder_finish(b, &g));
	ph_interrupted = 2;
	struct ph_err *err = ph_cycles_find(g, &opt, &c);
	ph_interrupted = 0;
	ck_assert_ptr_nonnull(err);
	ck_assert_int_eq(ph_err_code(err), 130);
	ph_err_free(err);
	ph_graph_free(g);
}
END_TEST

Suite *cycles_suite(void)
{
	Suite *s = suite_create("cycles");
	TCase *t = tcase_create("shapes");
	tcase_add_test(t, containers_are_folded);
	tcase_add_test(t, attributes_without_dict_are_the_same);
	tcase_add_test(t, containers_alone);
	tcase_add_test(t, keys_are_values_unless_it_is_a_namespace);
	tcase_add_test(t, values_are_hidden);
	tcase_add_test(t, subclasses_of_dict_are_steps);
	tcase_add_test(t, repeating_patterns_are_shortened);
	tcase_add_test(t, long_cycles_are_cut_off);
	tcase_add_test(t, long_labels_are_cut);
	tcase_add_test(t, every_kind_of_label);
	tcase_add_test(t, thousands_of_shapes);
	tcase_add_test(t, interrupted);
	suite_add_tcase(s, t);
	t = tcase_create("cuts");
	tcase_add_test(t, only_what_can_be_weak_is_cut);
	tcase_add_test(t, cut_must_break_all_cycles_of_all_components);
	tcase_add_test(t, many_candidates);
	tcase_add_test(t, shared_containers);
	suite_add_tcase(s, t);
	t = tcase_create("parts");
	tcase_add_test(t, infrastructure_is_counted_only);
	tcase_add_test(t, garbage_infrastructure_is_garbage);
	tcase_add_test(t, borrowed_references_make_no_cycle);
	tcase_add_test(t, retained_counts_nothing_twice);
	tcase_add_test(t, components_retain_as_one);
	suite_add_tcase(s, t);
	return s;
}
