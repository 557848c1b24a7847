/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which objects a cycle may be made of, and the components among them.
 *
 * Every class is in cycles (type → __mro__ → type, function → module → function):
 * live, they say nothing about a leak and would join most of the heap into one
 * component. So live types, functions, modules and so on, and the dicts that
 * are their namespaces, are looked at by themselves. */
#include "cycles_priv.h"

enum part {
	INFRASTRUCTURE = 1, /* live, of such a class, or the namespace of one */
	HELPER = 2,         /* a container or cell that one of them holds: mro, closure … */
};

static bool is_container(const struct ph_graph *g, uint32_t node)
{
	uint8_t cls = g->types[g->type[node]].cls;
	return cls == PH_TYPE_DICT || cls == PH_TYPE_CONTAINER;
}

/* Marks what a live infrastructure object holds. */
static void mark_held(const struct ph_graph *g, uint8_t *part, uint32_t node)
{
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(g, node, &n);
	for (uint64_t e = 0; e < n; e++) {
		uint32_t to = edges[e] & PH_EDGE_ID;
		struct ph_label label;
		if (edges[e] & PH_CYCLE_DROP || part[to] & INFRASTRUCTURE || !is_container(g, to))
			continue;
		part[to] |= HELPER;
		if (g->types[g->type[to]].cls == PH_TYPE_DICT && ph_graph_label(g, node, e, &label) &&
		    ph_label_is_namespace(g, to, &label))
			part[to] |= INFRASTRUCTURE;
	}
}

static void mark_held_of(const struct ph_graph *g, uint8_t *part, bool namespaces)
{
	for (uint32_t v = 1; v < g->n && !ph_interrupted_at(v); v++) {
		const struct ph_graph_type *type = &g->types[g->type[v]];
		if (part[v] & INFRASTRUCTURE && type->cls == PH_TYPE_INFRASTRUCTURE &&
		    namespaces == (type->form == PH_FORM_MODULE || type->form == PH_FORM_TYPE))
			mark_held(g, part, v);
	}
}

static bool mark_parts(const struct ph_graph *g, uint8_t *part)
{
	uint8_t *infrastructure ph_cleanup_free = calloc(g->ntypes + 1ull, 1);
	if (!infrastructure)
		return false;
	for (uint32_t t = 0; t < g->ntypes; t++)
		infrastructure[t] = g->types[t].cls == PH_TYPE_INFRASTRUCTURE ? INFRASTRUCTURE : 0;
	for (uint32_t v = 1; v < g->n && !ph_interrupted_at(v); v++)
		part[v] = g->flags[v] & PH_NODE_GARBAGE ? 0 : infrastructure[g->type[v]];
	mark_held_of(g, part, true); /* first: functions hold the same dicts, nobody asks then how */
	mark_held_of(g, part, false);
	return true;
}

/* Components of all nodes but those that have the part INFRASTRUCTURE. */
static struct ph_err *find_main(const struct ph_graph *g, const uint8_t *part, struct ph_components *ret)
{
	struct ph_components_query q = { .drop_edges = PH_CYCLE_DROP };
	q.marks = ph_big_alloc(g->n * sizeof *q.marks);
	if (!q.marks)
		return ph_err_nomem();
	for (uint32_t v = 0; v < g->n && !ph_interrupted_at(v); v++)
		q.marks[v] = part[v] & INFRASTRUCTURE ? PH_MARK_OUT : PH_MARK_IN;
	return ph_components_find(g, &q, ret);
}

/* Components of those that have a part. */
static struct ph_err *find_infra(const struct ph_graph *g, const uint8_t *part, struct ph_components *ret)
{
	struct PH_VEC(uint32_t) in = { 0 };
	struct ph_components_query q = { .drop_edges = PH_CYCLE_DROP };
	bool ok = PH_VEC_RESERVE(&in, 1);
	for (uint32_t v = 1; ok && v < g->n; v++)
		ok = !part[v] || PH_VEC_PUSH(&in, v);
	q.marks = ok ? ph_big_alloc(g->n * sizeof *q.marks) : NULL;
	if (!q.marks) {
		ph_vec_free(&in);
		return ph_err_nomem();
	}
	memset(q.marks, 0xff, g->n * sizeof *q.marks); /* PH_MARK_OUT */
	for (uint32_t i = 0; i < in.n; i++)
		q.marks[in.items[i]] = PH_MARK_IN;
	q.candidates = in.items;
	q.ncandidates = (uint32_t)in.n;
	struct ph_err *err = ph_components_find(g, &q, ret);
	ph_vec_free(&in);
	return err;
}

/* Drops components of helpers alone: these are ordinary cycles. */
static void keep_infrastructure(struct ph_components *c, const uint8_t *part)
{
	uint32_t n = 0, nmembers = 0;
	for (uint32_t i = 0; i < c->n; i++) {
		uint32_t start = c->start[i], end = c->start[i + 1];
		bool keep = false;
		for (uint32_t m = start; m < end; m++)
			keep |= part[c->members[m]] & INFRASTRUCTURE;
		for (uint32_t m = start; m < end; m++)
			c->of[c->members[m]] = keep ? n : PH_NO_COMPONENT;
		if (!keep)
			continue;
		memmove(c->members + nmembers, c->members + start, (end - start) * sizeof *c->members);
		c->start[n++] = nmembers;
		nmembers += end - start;
	}
	c->n = n;
	c->nmembers = nmembers;
	c->start[n] = nmembers;
}

struct ph_err *ph_cycle_parts_find(const struct ph_graph *g, struct ph_cycle_parts *ret)
{
	uint8_t *part ph_cleanup_free = calloc(g->n, 1);
	*ret = (struct ph_cycle_parts){ 0 };
	if (!part || !mark_parts(g, part))
		return ph_err_nomem();
	struct ph_err *err = find_main(g, part, &ret->main);
	if (!err)
		err = find_infra(g, part, &ret->infra);
	if (err) {
		ph_cycle_parts_deinit(ret);
		return err;
	}
	keep_infrastructure(&ret->infra, part);
	return NULL;
}

void ph_cycle_parts_deinit(struct ph_cycle_parts *p)
{
	ph_components_deinit(&p->main);
	ph_components_deinit(&p->infra);
}
