/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cycles against the definition: every step done once more the slow and plain
 * way, with sets of nodes and strings. */
#include <check.h>
#include <stdio.h>
#include <pyheap/analysis.h>
#include "random_graph.h"

#define GRAPHS 4000
#define TEXT 400
#define SHAPE_LONG 8

/* ---- one component's shape, naively ---------------------------------------------------- */

struct naive_step {
	uint32_t node;
	char type[32], text[TEXT];
};
struct naive_shape {
	uint32_t length, n;          /* n: after shortening */
	struct naive_step step[SMALL_MAX];
	struct naive_step closing;   /* the step that leads back to where the search began */
};

static bool is_folded(const struct ph_graph *g, uint32_t v)
{
	const struct ph_graph_type *t = &g->types[g->type[v]];
	return t->cls == PH_TYPE_CONTAINER || !strcmp(t->name, "dict");
}

static bool all_folded(const struct ph_graph *g, node_set component)
{
	for (uint32_t v = 1; v < g->n; v++)
		if (component & BIT(v) && !is_folded(g, v))
			return false;
	return true;
}

static bool folds_in(const struct ph_graph *g, node_set component, uint32_t v)
{
	return !all_folded(g, component) && is_folded(g, v);
}

static bool to_namespace(const struct ph_graph *g, uint32_t v, uint64_t e)
{
	struct ph_label label;
	uint64_t n;
	uint32_t to = ph_graph_edges(g, v, &n)[e] & PH_EDGE_ID;
	ph_graph_label(g, v, e, &label);
	return label.kind == PH_LABEL_DICT && !strcmp(g->types[g->type[to]].name, "dict");
}

/* What edge e of v adds to the text when v was, or was not, reached as a namespace. */
static void naive_label(const struct ph_graph *g, uint32_t v, uint64_t e, bool namespace, char *ret)
{
	struct ph_label label;
	ph_graph_label(g, v, e, &label);
	*ret = '\0';
	if (to_namespace(g, v, e))
		return;
	if (label.kind == PH_LABEL_DICT)
		strcpy(ret, ".__dict__");
	else if (label.kind == PH_LABEL_ATTR)
		sprintf(ret, ".%s", label.name);
	else if (label.kind == PH_LABEL_VALUE && namespace && label.name[0] == '\'')
		sprintf(ret, ".%.*s", (int)strlen(label.name) - 2, label.name + 1);
	else if (label.kind == PH_LABEL_KEY)
		strcpy(ret, ".keys()[]");
	else if (label.kind == PH_LABEL_NONE)
		strcpy(ret, "<slot>");
	else
		strcpy(ret, "[]");
}

/* Edge of v that leads to `to` and that the search took: the first one. */
static uint64_t first_edge(const struct ph_graph *g, uint32_t v, uint32_t to)
{
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(g, v, &n);
	for (uint64_t e = 0; e < n; e++)
		if (!(edges[e] & PH_EDGE_BORROWED) && (edges[e] & PH_EDGE_ID) == to)
			return e;
	ck_abort_msg("no such edge");
	return 0;
}

/* A shortest cycle through start, in nodes; by queue and order of edges. */
static uint32_t naive_cycle(const struct ph_graph *g, node_set component, uint32_t start,
			    uint32_t ret[SMALL_MAX])
{
	uint32_t queue[SMALL_MAX], from[SMALL_MAX] = { 0 }, head = 0, tail = 0, length = 0;
	node_set seen = BIT(start);
	queue[tail++] = start;
	for (;;) {
		ck_assert_uint_lt(head, tail);
		uint32_t v = queue[head++];
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(g, v, &n);
		for (uint64_t e = 0; e < n; e++) {
			uint32_t to = edges[e] & PH_EDGE_ID;
			if (edges[e] & PH_EDGE_BORROWED || !(component & BIT(to)))
				continue;
			if (to == start) {
				uint32_t back[SMALL_MAX];
				for (; v != start; v = from[v])
					back[length++] = v;
				back[length++] = start;
				for (uint32_t i = 0; i < length; i++)
					ret[i] = back[length - 1 - i];
				return length;
			}
			if (seen & BIT(to))
				continue;
			seen |= BIT(to);
			from[to] = v;
			queue[tail++] = to;
		}
	}
}

static int compare_steps(const struct naive_step *a, const struct naive_step *b)
{
	int c = strcmp(a->type, b->type);
	return c ? c : strcmp(a->text, b->text);
}

static void rotate(struct naive_shape *s)
{
	uint32_t best = 0;
	for (uint32_t r = 1; r < s->n; r++) {
		int c = 0;
		for (uint32_t i = 0; i < s->n && !c; i++)
			c = compare_steps(&s->step[(r + i) % s->n], &s->step[(best + i) % s->n]);
		if (c < 0)
			best = r;
	}
	struct naive_step copy[SMALL_MAX];
	for (uint32_t i = 0; i < s->n; i++)
		copy[i] = s->step[(best + i) % s->length]; /* one after the other, also where it repeats */
	memcpy(s->step, copy, s->n * sizeof *copy);
}

static void shorten(struct naive_shape *s)
{
	for (uint32_t p = 1; s->length > SHAPE_LONG && p < s->length; p++) {
		bool repeats = s->length % p == 0;
		for (uint32_t i = p; repeats && i < s->length; i++)
			repeats = !compare_steps(&s->step[i], &s->step[i % p]);
		if (repeats) {
			s->n = p;
			return;
		}
	}
}

static void naive_shape(const struct ph_graph *g, node_set component, struct naive_shape *ret)
{
	uint32_t cycle[SMALL_MAX], start = (uint32_t)__builtin_ctzll(component);
	while (!(component & BIT(start)) || folds_in(g, component, start))
		start++;
	uint32_t n = naive_cycle(g, component, start, cycle);
	bool namespace = false;
	memset(ret, 0, sizeof *ret);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t v = cycle[i], to = cycle[(i + 1) % n];
		char more[TEXT];
		if (!folds_in(g, component, v)) {
			struct naive_step *step = &ret->step[ret->length++];
			step->node = v;
			strcpy(step->type, g->types[g->type[v]].name);
			namespace = false;
		}
		uint64_t e = first_edge(g, v, to);
		naive_label(g, v, e, namespace, more);
		namespace = to_namespace(g, v, e);
		strcat(ret->step[ret->length - 1].text, more);
		if (namespace && !folds_in(g, component, to)) /* a dict that is a step of its own */
			ck_assert(all_folded(g, component));
	}
	ret->n = ret->length;
	ret->closing = ret->step[ret->length - 1];
	shorten(ret);
	rotate(ret);
}

/* ---- the cut, naively --------------------------------------------------------------------- */

/* Takes the edges of `type` + `text` out of s->next (which holds only edges of
 * the component); false when one of them leads to what has no weak references. */
struct cutting {
	const struct ph_graph *g;
	node_set component;
	const char *text;
	bool hit[SMALL_MAX][512]; /* [node][edge] */
	bool been[SMALL_MAX][2][TEXT];
	bool weak;
};

static void cut_from(struct cutting *c, uint32_t v, const char *so_far, bool namespace)
{
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(c->g, v, &n);
	size_t at = strlen(so_far);
	ck_assert_uint_lt(n, 512);
	if (c->been[v][namespace][at])
		return;
	c->been[v][namespace][at] = true;
	for (uint64_t e = 0; e < n; e++) {
		uint32_t to = edges[e] & PH_EDGE_ID;
		char text[2 * TEXT], more[TEXT];
		if (edges[e] & PH_EDGE_BORROWED || !(c->component & BIT(to)))
			continue;
		naive_label(c->g, v, e, namespace, more);
		sprintf(text, "%s%s", so_far, more);
		if (folds_in(c->g, c->component, to)) {
			if (!strncmp(text, c->text, strlen(text)))
				cut_from(c, to, text, to_namespace(c->g, v, e));
		} else if (!strcmp(text, c->text)) {
			c->hit[v][e] = true;
			c->weak &= c->g->types[c->g->type[to]].weakrefable;
		}
	}
}

static bool cut_works(const struct ph_graph *g, node_set component, const char *type, const char *text)
{
	static struct cutting c;
	struct small left = { .n = g->n, .all = component };
	node_set ret[SMALL_MAX];
	memset(&c, 0, sizeof c);
	c.g = g;
	c.component = component;
	c.text = text;
	c.weak = true;
	for (uint32_t v = 1; v < g->n; v++)
		if (component & BIT(v) && !folds_in(g, component, v) &&
		    !strcmp(g->types[g->type[v]].name, type)) {
			memset(c.been, 0, sizeof c.been);
			cut_from(&c, v, "", false);
		}
	for (uint32_t v = 1; v < g->n; v++) {
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(g, v, &n);
		for (uint64_t e = 0; component & BIT(v) && e < n; e++)
			if (!(edges[e] & PH_EDGE_BORROWED) && !c.hit[v][e])
				left.next[v] |= BIT(edges[e] & PH_EDGE_ID) & component;
	}
	return c.weak && small_components(&left, component, ret) == 0;
}

static bool may_be_cut(const struct ph_graph *g, const struct naive_step *step)
{
	bool infra = g->types[g->type[step->node]].cls == PH_TYPE_INFRASTRUCTURE;
	return step->text[0] && !strchr(step->text, '<') && !(infra && !strncmp(step->text, ".__", 3));
}

/* Whether a is to be preferred to b. */
static bool better(const struct naive_shape *s, const struct naive_step *a, const struct naive_step *b)
{
	/* heap types of random graphs are those with a dot in their names */
	if (!strchr(a->type, '.') != !strchr(b->type, '.'))
		return strchr(a->type, '.');
	bool closing_a = !compare_steps(a, &s->closing), closing_b = !compare_steps(b, &s->closing);
	if (closing_a != closing_b)
		return closing_a;
	if (!strchr(a->text, '[') != !strchr(b->text, '['))
		return !strchr(a->text, '[');
	int c = strcmp(a->text, b->text);
	return c ? c < 0 : strcmp(a->type, b->type) < 0;
}

/* ---- groups -------------------------------------------------------------------------------- */

struct naive_group {
	bool garbage;
	struct naive_shape shape;  /* of the first component */
	uint32_t n;
	uint64_t objects;
	node_set components[SMALL_MAX];
};

static uint32_t naive_groups(const struct ph_graph *g, const node_set *components, uint32_t n, bool infra,
			     struct naive_group *groups)
{
	uint32_t ngroups = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct naive_shape s;
		bool garbage = !infra && g->flags[__builtin_ctzll(components[i])] & PH_NODE_GARBAGE;
		naive_shape(g, components[i], &s);
		uint32_t k = 0;
		for (; k < ngroups; k++) {
			bool same = groups[k].garbage == garbage && groups[k].shape.n == s.n;
			for (uint32_t j = 0; same && j < s.n; j++)
				same = !compare_steps(&groups[k].shape.step[j], &s.step[j]);
			if (same)
				break;
		}
		if (k == ngroups) {
			groups[ngroups++] = (struct naive_group){ .garbage = garbage, .shape = s };
		}
		groups[k].components[groups[k].n++] = components[i];
		groups[k].objects += (uint64_t)__builtin_popcountll(components[i]);
	}
	return ngroups;
}

static uint64_t naive_retained(const struct ph_graph *g, const struct small *full,
			       const struct naive_group *group)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < group->n; i++) {
		bool counted = true;
		for (uint32_t k = 0; k < group->n; k++) {
			node_set in = (full->all | BIT(0)) & ~group->components[k];
			if (k != i && !(small_reach(full, BIT(0), in) & group->components[i]))
				counted = false;
		}
		if (counted)
			sum += small_retained(g, full, group->components[i]);
	}
	return sum;
}

static void check_cut(const struct ph_graph *g, const struct naive_group *group,
		      const struct ph_cycle_group *got)
{
	const struct naive_step *best = NULL;
	for (uint32_t i = 0; i < group->shape.n; i++) {
		const struct naive_step *step = &group->shape.step[i];
		bool works = may_be_cut(g, step);
		for (uint32_t k = 0; works && k < group->n; k++)
			works = cut_works(g, group->components[k], step->type, step->text);
		if (works && (!best || better(&group->shape, step, best)))
			best = step;
	}
	ck_assert_int_eq(got->has_cut, best != NULL);
	if (!best)
		return;
	ck_assert_str_eq(g->types[got->cut_type].name, best->type);
	ck_assert_str_eq(got->cut_label, best->text);
}

static uint64_t naive_shallow(const struct ph_graph *g, const struct naive_group *want)
{
	uint64_t shallow = 0;
	for (uint32_t i = 0; i < want->n; i++)
		for (uint32_t v = 1; v < g->n; v++)
			if (want->components[i] & BIT(v))
				shallow += ph_graph_shallow(g, v);
	return shallow;
}

/* Counts, objects and bytes take part: a live group may look like one of infrastructure, as
 * dicts that hang on that may be in both. */
static bool is_group(const struct ph_graph *g, const struct ph_cycle_group *got, const struct naive_group *want)
{
	bool same = got->garbage == want->garbage && got->nshape == want->shape.n &&
		    got->count == want->n && got->objects == want->objects &&
		    got->shallow_bytes == naive_shallow(g, want) &&
		    want->components[0] & BIT(got->steps[0].node);
	for (uint32_t i = 0; same && i < got->nshape; i++)
		same = got->steps[i].node == want->shape.step[i].node &&
		       !strcmp(got->shape[i], want->shape.step[i].type) &&
		       !strcmp(got->labels[i], want->shape.step[i].text);
	return same;
}

static void check_group(const struct ph_graph *g, const struct small *full, const struct ph_cycle_group *got,
			const struct naive_group *want)
{
	ck_assert_uint_eq(got->length, want->shape.length);
	ck_assert_uint_eq(got->nsteps, want->shape.n);
	for (uint32_t i = 0; i < got->nsteps; i++) {
		ck_assert_uint_eq(got->steps[i].node, want->shape.step[i].node);
		ck_assert_str_eq(got->steps[i].text, want->shape.step[i].text);
		ck_assert((strstr(got->steps[i].exact, "[]") == NULL) || strstr(got->steps[i].text, "[]"));
	}
	ck_assert_uint_eq(got->retained_bytes, naive_retained(g, full, want));
	check_cut(g, want, got);
}

static void check_order(const struct ph_cycles *c)
{
	for (uint32_t i = 1; i < c->n; i++) {
		const struct ph_cycle_group *a = &c->groups[i - 1], *b = &c->groups[i];
		ck_assert(a->garbage >= b->garbage);
		ck_assert(a->garbage != b->garbage || a->retained_bytes >= b->retained_bytes);
	}
}

/* The live objects that take no part in ordinary cycles. */
static node_set infrastructure(const struct ph_graph *g, node_set *ret_held)
{
	node_set set = 0, held = 0, namespaces = 0;
	for (uint32_t v = 1; v < g->n; v++)
		if (g->types[g->type[v]].cls == PH_TYPE_INFRASTRUCTURE && !(g->flags[v] & PH_NODE_GARBAGE))
			set |= BIT(v);
	for (uint32_t v = 1; v < g->n; v++) {
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(g, v, &n);
		for (uint64_t e = 0; set & BIT(v) && e < n; e++) {
			uint32_t to = edges[e] & PH_EDGE_ID;
			struct ph_label label;
			uint8_t cls = g->types[g->type[to]].cls;
			if (edges[e] & PH_EDGE_BORROWED || (cls != PH_TYPE_DICT && cls != PH_TYPE_CONTAINER))
				continue;
			held |= BIT(to);
			ph_graph_label(g, v, e, &label);
			if (cls == PH_TYPE_DICT && label.kind == PH_LABEL_DICT)
				namespaces |= BIT(to);
		}
	}
	*ret_held = held;
	return set | namespaces;
}

/* What was met: the graphs are worth something only if all of it occurs. */
struct met {
	uint32_t groups, cuts, several, folded, long_ones, garbage, infra;
};

static void count_met(const struct ph_cycles *c, struct met *met)
{
	for (uint32_t i = 0; i < c->n; i++) {
		const struct ph_cycle_group *group = &c->groups[i];
		met->groups++;
		met->cuts += group->has_cut;
		met->several += group->count > 1;
		met->folded += strstr(group->labels[0], "[]") != NULL;
		met->long_ones += group->nshape > 3;
		met->garbage += group->garbage;
	}
	met->infra += c->infrastructure_count != 0;
}

static void check_graph(const struct ph_graph *g, bool all, struct met *met)
{
	static struct naive_group want[2 * SMALL_MAX];
	struct small s, full;
	node_set components[SMALL_MAX], found[SMALL_MAX], held, infra = infrastructure(g, &held);
	uint32_t nwant, ninfra = 0;
	uint64_t infra_objects = 0, infra_bytes = 0;
	small_from(g, PH_EDGE_BORROWED, &s);
	small_from(g, 0, &full);
	small_hold_garbage(&full);
	uint32_t n = small_components(&s, s.all & ~infra, components);
	nwant = naive_groups(g, components, n, false, want);
	uint32_t nfound = small_components(&s, infra | held, found);
	for (uint32_t i = 0; i < nfound; i++) {
		if (!(found[i] & infra))
			continue;
		infra_objects += (uint64_t)__builtin_popcountll(found[i]);
		infra_bytes += small_bytes(g, found[i]);
		found[ninfra++] = found[i];
	}
	if (all)
		nwant += naive_groups(g, found, ninfra, true, want + nwant);

	struct ph_cycles *c;
	struct ph_cycles_options opt = { .all = all };
	ck_assert_ptr_null(ph_cycles_find(g, &opt, &c));
	ck_assert_uint_eq(c->n, nwant);
	ck_assert_uint_eq(c->garbage_components + c->live_components, n);
	ck_assert_uint_eq(c->infrastructure_count, ninfra);
	ck_assert_uint_eq(c->infrastructure_objects, infra_objects);
	ck_assert_uint_eq(c->infrastructure_bytes, infra_bytes);
	for (uint32_t i = 0; i < nwant; i++) {
		uint32_t k = 0;
		while (k < c->n && !is_group(g, &c->groups[k], &want[i]))
			k++;
		ck_assert_uint_lt(k, c->n);
		check_group(g, &full, &c->groups[k], &want[i]);
	}
	check_order(c);
	count_met(c, met);
	ph_cycles_free(c);
}

START_TEST(cycles_are_as_defined)
{
	struct met met = { 0 };
	for (uint64_t i = 0; i < GRAPHS; i++) {
		struct rng r = { test_seed() + i };
		struct ph_graph *g = random_graph(&r, i % 3 ? 14 : SMALL_MAX);
		check_graph(g, i % 4 == 0, &met);
		ph_graph_free(g);
	}
	ck_assert_uint_gt(met.groups, GRAPHS / 2);
	ck_assert_uint_gt(met.cuts, GRAPHS / 20);
	ck_assert_uint_gt(met.several, GRAPHS / 50);
	ck_assert_uint_gt(met.folded, GRAPHS / 20);
	ck_assert_uint_gt(met.long_ones, GRAPHS / 50);
	ck_assert_uint_gt(met.garbage, GRAPHS / 10);
	ck_assert_uint_gt(met.infra, GRAPHS / 20);
}
END_TEST

Suite *cycles_suite(void);
Suite *cycles_suite(void)
{
	test_seed(); /* printed here, before the tests fork */
	Suite *s = suite_create("cycles against the definition");
	TCase *t = tcase_create("random graphs");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, cycles_are_as_defined);
	suite_add_tcase(s, t);
	return s;
}
