/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From marked objects to the graph: one sweep in address order fills all arrays;
 * then reference counts are compared with the references found. */
#include "build.h"

static void build_free(struct ph_graph_priv *priv)
{
	struct ph_build *b = (struct ph_build *)priv;
	ph_objects_close(b->os);
	ph_big_free(b->index.words, b->index.nwords * sizeof *b->index.words);
	ph_vec_free(&b->roots);
	ph_running_free(&b->running);
	ph_refs_free(&b->refs);
	build_labels_free(b);
	free(b);
}

/* ---- ids and types ---------------------------------------------------------------- */

/* Ranks for the index; false when there are too many objects. */
static bool rank(struct ph_index *ix, uint32_t *ret_n)
{
	uint64_t n = 0;
	for (uint64_t w = 0; w < ix->nwords; w++) {
		ix->words[w].rank = (uint32_t)n;
		n += (uint64_t)__builtin_popcountll(ix->words[w].bits);
		if (n >= PH_GRAPH_MAX)
			return false;
	}
	*ret_n = (uint32_t)n + 1;
	return true;
}

static int type_order(const void *a, const void *b)
{
	const struct ph_type *x = *(struct ph_type *const *)a, *y = *(struct ph_type *const *)b;
	int by_name = strcmp(x->name, y->name);
	return by_name ? by_name : (x->address > y->address) - (x->address < y->address);
}

static struct ph_err *types_fill(struct ph_build *b, struct ph_graph *g)
{
	struct ph_type **sorted ph_cleanup_free = calloc(b->os->ntypes + 1, sizeof *sorted);
	size_t n = 0;
	g->types = calloc(b->os->ntypes + 1, sizeof *g->types);
	if (!sorted || !g->types)
		return ph_err_nomem();
	for (struct ph_type *t = b->os->first; t; t = t->next)
		sorted[n++] = t;
	qsort(sorted, n, sizeof(struct ph_type *), type_order);
	for (size_t i = 0; i < n; i++) {
		struct ph_type *t = sorted[i];
		t->id = (uint32_t)i;
		g->types[i] = (struct ph_graph_type){
			.name = strdup(t->name),
			.address = t->address,
			.node = build_target(b, t->address),
			.cls = t->cls,
			.form = t->form,
			.weakrefable = t->weakrefable,
			.heap = t->heap,
			.whole = t->whole,
		};
		if (!g->types[i].name)
			return ph_err_nomem();
		g->ntypes++;
	}
	return NULL;
}

/* ---- objects and edges --------------------------------------------------------------- */

struct fill {
	struct ph_build *b;
	struct ph_graph *g;
	uint32_t *found;   /* [n] counted references found to each node */
	uint64_t edges;
	struct PH_VEC(struct ph_big_size) big;
	struct PH_VEC(struct ph_graph_weak) weak;
	uint8_t generation; /* of tracked objects unless their list says otherwise */
};

static bool sizes_fill(struct fill *f, uint32_t node, const struct ph_object *o)
{
	struct ph_graph *g = f->g;
	uint64_t shallow, uncounted;
	if (ph_object_size(f->b->os, o, &shallow, &uncounted))
		g->flags[node] |= PH_NODE_SIZE_EXACT;
	else
		ph_note(f->b->notes, PH_NOTE_INEXACT_SIZE, o->address);
	if (o->type->python_sizeof)
		ph_note(f->b->notes, PH_NOTE_PYTHON_SIZEOF, o->address);
	g->shallow_[node] = shallow < UINT32_MAX ? (uint32_t)shallow : UINT32_MAX;
	if (uncounted) /* most have none: pages of zeroes stay untouched */
		g->uncounted_[node] = uncounted < UINT32_MAX ? (uint32_t)uncounted : UINT32_MAX;
	if (shallow < UINT32_MAX && uncounted < UINT32_MAX)
		return true;
	return PH_VEC_PUSH(&f->big, (struct ph_big_size){ node, shallow, uncounted });
}

/* What the compiler laid out refers to others without counting. */
static bool is_frozen(const struct fill *f, uint32_t node)
{
	return !f->b->os->immortals && f->g->refcount[node] > PH_FROZEN_COUNT / 2;
}

static void edges_fill(struct fill *f, uint32_t node, const struct ph_object *o)
{
	struct ph_build *b = f->b;
	bool frozen = is_frozen(f, node);
	struct ph_graph *g = f->g;
	if (o->type->leaf) {
		g->flags[node] |= PH_NODE_REFS_EXACT;
		return;
	}
	b->refs.n = 0;
	if (ph_object_refs(b->os, o, &b->refs))
		g->flags[node] |= PH_NODE_REFS_EXACT;
	else
		ph_note(b->notes, PH_NOTE_INEXACT_REFS, o->address);
	for (size_t i = 0; i < b->refs.n; i++) {
		ph_ref ref = b->refs.items[i];
		uint32_t to = build_target(b, ref);
		if (!to || f->edges == g->nedges)
			continue;
		bool borrowed = ref & PH_REF_BORROWED || frozen;
		g->edges[f->edges++] = to | (borrowed ? PH_EDGE_BORROWED : 0) |
				       (ref & PH_REF_OWNED ? PH_EDGE_OWNED : 0);
		f->found[to] += !borrowed;
	}
}

/* ---- weak references -------------------------------------------------------------------------- */

static bool weak_fill(struct fill *f, uint32_t node, const struct ph_object *o)
{
	uint32_t to = build_target(f->b, ph_object_referent(f->b->os, o));
	return !to || PH_VEC_PUSH(&f->weak, (struct ph_graph_weak){ to, node });
}

static int weak_order(const void *pa, const void *pb)
{
	const struct ph_graph_weak *a = pa, *b = pb;
	return a->to != b->to ? (a->to > b->to) - (a->to < b->to) : (a->from > b->from) - (a->from < b->from);
}

static bool node_fill(struct fill *f, uint32_t node, ph_addr addr)
{
	struct ph_graph *g = f->g;
	struct ph_object o;
	const struct ph_type *t = ph_object_type(f->b->os, addr);
	bool immortal;
	g->address[node] = addr;
	if (!t || !ph_object_open(f->b->os, addr, t, &o)) { /* cannot be: it was read before */
		g->type[node] = t ? t->id : 0;
		return true;
	}
	g->type[node] = t->id;
	uint64_t count = ph_object_refcount(f->b->os, &o, &immortal);
	g->refcount[node] = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
	if (immortal)
		g->flags[node] |= PH_NODE_IMMORTAL;
	if (ph_object_tracked(f->b->os, &o))
		g->flags[node] |= PH_NODE_TRACKED | (uint8_t)(f->generation << PH_NODE_GEN_SHIFT);
	edges_fill(f, node, &o);
	return sizes_fill(f, node, &o) && (!t->weakref || weak_fill(f, node, &o));
}

static struct ph_err *nodes_fill(struct fill *f)
{
	struct ph_cursor c = { .mem = f->b->os->mem, .index = &f->b->index };
	ph_addr addr;
	uint64_t from = 0;
	uint32_t node = 1;
	for (; build_next(&c, from, &addr); from = c.linear + 8, node++) {
		f->g->edge_start[node] = f->edges;
		if (!node_fill(f, node, addr))
			return ph_err_nomem();
		if (!(node & 0xffff) && ph_interrupted)
			return ph_err_interrupted();
	}
	f->g->edge_start[node] = f->edges;
	f->g->nbig = (uint32_t)f->big.n;
	f->g->big = f->big.items;
	f->big.items = NULL;
	return f->b->refs.nomem ? ph_err_nomem() : NULL;
}

/* ---- generations -------------------------------------------------------------------------- */

static bool generation_set(void *ctx, ph_addr addr, int generation)
{
	struct fill *f = ctx;
	uint32_t node = build_target(f->b, addr);
	if (generation > 3) /* a list of the collection in progress: of the oldest it has reached */
		generation = 2;
	if (node)
		f->g->flags[node] = (uint8_t)((f->g->flags[node] & ~PH_NODE_GEN_MASK) |
					      generation << PH_NODE_GEN_SHIFT);
	return true;
}

/* Most objects are on one list; only the others are walked again. */
static uint8_t biggest_list(const struct ph_build *b)
{
	uint8_t best = 2;
	for (uint8_t i = 0; i < 4; i++)
		if (b->listed[i] > b->listed[best])
			best = i;
	return best;
}

/* ---- roots ---------------------------------------------------------------------------------- */

/* CPython's own rule: more references counted than found means somebody outside holds it. */
static bool held_from_outside(struct fill *f, uint32_t node)
{
	struct ph_graph *g = f->g;
	if (g->flags[node] & PH_NODE_IMMORTAL)
		return true;
	if (g->flags[node] & PH_NODE_TRACKED && ph_graph_generation(g, node) == 3)
		return true;
	if (g->refcount[node] < f->found[node]) {
		ph_note(f->b->notes, PH_NOTE_NEGATIVE_EXCESS, g->address[node]);
		return true;
	}
	return g->refcount[node] != f->found[node];
}

static struct ph_err *seeds_fill(struct fill *f)
{
	struct ph_graph *g = f->g;
	struct PH_VEC(uint32_t) seeds = { 0 };
	for (uint32_t i = 0; i < g->ntypes; i++)
		if (!g->types[i].heap && g->types[i].node)
			g->flags[g->types[i].node] |= PH_NODE_SEED;
	for (uint32_t node = 1; node < g->n; node++) {
		if (held_from_outside(f, node))
			g->flags[node] |= PH_NODE_SEED;
		if (g->flags[node] & PH_NODE_SEED && !PH_VEC_PUSH(&seeds, node)) {
			ph_vec_free(&seeds);
			return ph_err_nomem();
		}
	}
	g->seeds = seeds.items;
	g->nseeds = (uint32_t)seeds.n;
	return NULL;
}

/* ---- all together -------------------------------------------------------------------------------- */

static struct ph_err *fill(struct ph_build *b, struct ph_graph *g, uint32_t n)
{
	struct fill f = { .b = b, .g = g, .generation = biggest_list(b) };
	f.found = ph_big_alloc(n * sizeof *f.found);
	struct ph_err *err = f.found ? nodes_fill(&f) : ph_err_nomem();
	if (!err) {
		struct ph_notes again = { 0 }; /* what these lists have to say was noted */
		ph_runtime_tracked(b->rt, 1u << f.generation, &again, generation_set, &f);
		err = seeds_fill(&f);
	}
	if (!err)
		err = build_roots(b, g);
	g->weak = f.weak.items;
	g->nweak = (uint32_t)f.weak.n;
	if (g->nweak)
		qsort(g->weak, g->nweak, sizeof *g->weak, weak_order);
	ph_vec_free(&f.big);
	ph_big_free(f.found, n * sizeof *f.found);
	if (err)
		return err;
	ph_graph_sum(g);
	return ph_graph_find_garbage(g);
}

static struct ph_err *verify(struct ph_build *b, struct ph_graph *g)
{
	struct ph_objects_options *options = b->os->options;
	if (!options || !options->verify)
		return NULL;
	struct ph_err *err = ph_objects_verify(b->os, g->address + 1, g->n - 1, &options->verified);
	for (const struct ph_type *t = b->os->first; t; t = t->next) {
		g->types[t->id].refs_differ = t->refs_differ;
		g->types[t->id].sizes_differ = t->sizes_differ;
		g->types[t->id].differs_at = t->differs_at;
	}
	return err;
}

struct ph_err *ph_graph_build(const struct ph_runtime *rt, struct ph_objects_options *options,
			      struct ph_notes *notes, struct ph_graph **ret)
{
	uint32_t n = 0;
	struct ph_graph *g = ph_graph_new();
	struct ph_build *b = calloc(1, sizeof *b);
	if (!g || !b) {
		free(b);
		ph_graph_free(g);
		return ph_err_nomem();
	}
	b->base.free = build_free;
	g->priv = b;
	b->rt = rt;
	b->notes = notes;
	struct ph_err *err = ph_objects_open(rt, options, notes, &b->os);
	if (!err)
		err = ph_runtime_roots(rt, notes, &b->roots, &b->running);
	if (!err)
		err = build_mark(b);
	if (!err && !rank(&b->index, &n))
		err = ph_err_new(PH_ERR_REFUSED, "%s: more than %u objects", rt->target->what, PH_GRAPH_MAX);
	if (!err && (!ph_graph_alloc_nodes(g, n) || !ph_graph_alloc_edges(g, b->nedges)))
		err = ph_err_nomem();
	if (!err)
		err = types_fill(b, g);
	if (!err)
		err = fill(b, g, n);
	if (!err)
		err = verify(b, g);
	g->names = &build_names;
	g->names_ctx = b;
	if (!err)
		err = build_thread_names(b, g);
	if (err) {
		ph_graph_free(g);
		return err;
	}
	*ret = g;
	return NULL;
}
