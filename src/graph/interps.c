/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose an object is, where there is more than one interpreter: of the one on whose gc list it
 * is. What is on no list (str, int, code, tuples that the collector has let go) is of the
 * interpreter whose objects and threads alone lead to it; what several lead to, what lies in
 * static memory, and what nothing leads to, is shared. Up to 3.8 the interpreters have one
 * collector, and the second rule is for all. */
#include "build.h"

#define UNKNOWN 0x7fffu
#define SETTLED 0x8000u /* by its list, or where it lies */
_Static_assert(PH_GRAPH_INTERPS_MAX < UNKNOWN, "an index of an interpreter, or one more");

struct owning {
	const struct ph_build *b;
	const struct ph_graph *g;
	uint16_t *owner;  /* [n] index of an interpreter, `shared`, UNKNOWN; SETTLED */
	uint16_t shared;
	uint8_t *foreign; /* [ntypes] what they refer to may be another interpreter's */
	struct PH_VEC(uint32_t) todo; /* whose references may belong to somebody else now */
	bool nomem;
};

/* ---- by the lists, and by the place ---------------------------------------------------- */

static bool listed(void *ctx, ph_addr addr, int generation, uint32_t interp)
{
	struct owning *o = ctx;
	uint32_t node = build_target(o->b, addr);
	if (node && o->owner[node] != UNKNOWN)
		return false;
	if (node && interp != PH_NO_INTERP)
		o->owner[node] = (uint16_t)(SETTLED | interp);
	return true;
}

static void settle_static(struct owning *o)
{
	const struct ph_graph *g = o->g;
	for (uint32_t node = 1; node < g->n && !ph_interrupted_at(node); node++)
		if (o->owner[node] == UNKNOWN && ph_target_module_at(o->b->rt->target, g->address[node]))
			o->owner[node] = SETTLED | o->shared;
	for (uint32_t t = 0; t < g->ntypes; t++) {
		uint32_t node = g->types[t].node;
		if (!g->types[t].heap && o->owner[node] == UNKNOWN)
			o->owner[node] = SETTLED | o->shared;
	}
}

/* ---- by who leads there ----------------------------------------------------------------- */

static void lead_to(struct owning *o, uint32_t node, uint16_t owner)
{
	uint16_t was = o->owner[node];
	if (was & SETTLED || was == owner || was == o->shared)
		return;
	o->owner[node] = was == UNKNOWN ? owner : o->shared;
	o->nomem |= !PH_VEC_PUSH(&o->todo, node);
}

static void follow(struct owning *o, uint32_t node)
{
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(o->g, node, &n);
	for (uint64_t e = 0; e < n && !o->foreign[o->g->type[node]] && !ph_interrupted_at(e); e++)
		lead_to(o, edges[e] & PH_EDGE_ID, o->owner[node] & (uint16_t)~SETTLED);
}

/* Each object is followed at most twice: it becomes an interpreter's, and then shared. */
static void follow_all(struct owning *o)
{
	for (uint64_t i = 1; o->todo.n && !o->nomem && !ph_interrupted_at(i); i++)
		follow(o, o->todo.items[--o->todo.n]);
}

static void lead_from_settled(struct owning *o)
{
	for (uint32_t node = 1; node < o->g->n && !o->nomem && !ph_interrupted_at(node); node++)
		if (o->owner[node] & SETTLED)
			follow(o, node);
	for (size_t i = 0; i < o->b->roots.n; i++) {
		const struct ph_rootref *r = &o->b->roots.items[i];
		uint32_t node = build_target(o->b, r->object);
		if (node)
			lead_to(o, node, (uint16_t)r->interp);
	}
	follow_all(o);
}

/* A str that nothing but C code holds is told by the interpreter that has interned it. */
static void lead_from_interned(struct owning *o, uint16_t interp)
{
	const struct ph_runtime *rt = o->b->rt;
	struct ph_py_dict d;
	ph_addr dict = ph_objects_interned(o->b->os, interp);
	bool others = rt->ninterps > 1 && !ph_objects_interned(o->b->os, interp ? 0 : 1); /* up to 3.11 */
	for (uint16_t i = 0; i < rt->ninterps; i++)
		others |= i != interp && ph_objects_interned(o->b->os, i) == dict;
	if (!dict || others || !ph_py_dict(rt, dict, &d))
		return;
	for (uint64_t i = 0; i < d.nentries; i++) {
		ph_addr key, value;
		ph_py_dict_entry(&d, i, &key, &value);
		uint32_t node = key ? build_target(o->b, key) : 0;
		if (node && o->owner[node] == UNKNOWN)
			lead_to(o, node, interp);
	}
}

/* What C code alone holds, and up to 3.8 garbage: instances of a class are its interpreter's. */
static void lead_from_types(struct owning *o)
{
	const struct ph_graph *g = o->g;
	for (uint32_t node = 1; node < g->n && !o->nomem && !ph_interrupted_at(node); node++) {
		uint16_t owner = o->owner[g->types[g->type[node]].node] & (uint16_t)~SETTLED;
		if (o->owner[node] == UNKNOWN && owner < o->shared)
			lead_to(o, node, owner);
	}
	follow_all(o);
}

/* A function of a module written in C, which interpreters may share, has the module of the
 * interpreter that loaded it first. */
static uint8_t *foreign_types(const struct ph_graph *g)
{
	uint8_t *ret = calloc(g->ntypes + 1ull, 1);
	for (uint32_t t = 0; ret && t < g->ntypes; t++)
		ret[t] = !strcmp(g->types[t].name, "builtin_function_or_method");
	return ret;
}

/* ---- all together ------------------------------------------------------------------------------ */

static bool interps_fill(const struct ph_runtime *rt, struct ph_graph *g)
{
	g->interps = calloc(rt->ninterps + 1, sizeof *g->interps);
	g->interp_ = ph_big_alloc(g->n * sizeof *g->interp_);
	if (!g->interps || !g->interp_)
		return false;
	g->ninterps = (uint32_t)rt->ninterps;
	for (size_t i = 0; i < rt->ninterps; i++)
		g->interps[i].id = rt->interps[i].id;
	return true;
}

struct ph_err *build_interps(const struct ph_build *b, struct ph_graph *g)
{
	struct ph_notes again = { 0 }; /* what these lists have to say was noted */
	if (b->rt->ninterps < 2)
		return NULL;
	if (b->rt->ninterps > PH_GRAPH_INTERPS_MAX || !interps_fill(b->rt, g))
		return ph_err_nomem();
	uint8_t *foreign ph_cleanup_free = foreign_types(g);
	if (!foreign)
		return ph_err_nomem();
	struct owning o = { .b = b, .g = g, .owner = g->interp_, .shared = (uint16_t)g->ninterps, .foreign = foreign };
	for (uint32_t node = 0; node < g->n; node++)
		o.owner[node] = UNKNOWN;
	ph_runtime_tracked(b->rt, 0, &again, listed, &o);
	settle_static(&o);
	lead_from_settled(&o);
	for (uint16_t i = 0; i < g->ninterps; i++)
		lead_from_interned(&o, i);
	lead_from_types(&o);
	ph_vec_free(&o.todo);
	for (uint32_t node = 0; node < g->n; node++)
		o.owner[node] = o.owner[node] == UNKNOWN ? o.shared : o.owner[node] & (uint16_t)~SETTLED;
	return o.nomem || ph_interrupted ? ph_err_stopped() : NULL;
}
