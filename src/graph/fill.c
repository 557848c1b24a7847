/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From marked objects to arrays: one sweep in address order, on several threads. How many
 * references the objects of a chunk hold was counted when they were marked, so that every
 * thread knows where those of its chunk go. */
#include "build.h"

/* All threads'. */
struct fill {
	struct ph_build *b;
	struct ph_graph *g;
	uint64_t next;      /* chunk to be taken */
	uint8_t generation; /* of tracked objects unless their list says otherwise */
};
/* One thread's. */
struct filler {
	struct fill *f;
	struct build_batch batch;
	uint8_t *found;      /* [n] see struct build_found; and the other part of it: */
	struct PH_VEC(uint32_t) more;
	uint64_t edge, end;  /* where the next one goes, and where those of the chunk end */
	struct PH_VEC(struct ph_big_size) big;
	struct PH_VEC(struct ph_graph_weak) weak;
	bool nomem;
} PH_OWN_LINES;

/* ---- one object ---------------------------------------------------------------------- */

/* The three fill what they are named after and return flags: one store for all of them,
 * since after a store of bytes the compiler must read every pointer anew. */
static uint8_t size_fill(struct filler *k, uint32_t node, const struct ph_object *o)
{
	const struct ph_build *b = k->f->b;
	struct ph_graph *g = k->f->g;
	uint64_t shallow, uncounted;
	bool exact = ph_object_size(b->os, o, &shallow, &uncounted);
	if (!exact)
		ph_note(b->notes, PH_NOTE_INEXACT_SIZE, o->address);
	if (o->type->python_sizeof)
		ph_note(b->notes, PH_NOTE_PYTHON_SIZEOF, o->address);
	if (!ph_graph_set_sizes(g, node, shallow, uncounted))
		k->nomem |= !PH_VEC_PUSH(&k->big, (struct ph_big_size){ node, shallow, uncounted });
	return exact ? PH_NODE_SIZE_EXACT : 0;
}

static uint8_t refs_gather(struct filler *k, const struct ph_object *o)
{
	const struct ph_build *b = k->f->b;
	if (o->type->leaf || ph_object_refs(b->os, o, &k->batch.refs))
		return PH_NODE_REFS_EXACT;
	ph_note(b->notes, PH_NOTE_INEXACT_REFS, o->address);
	return 0;
}

static uint8_t count_fill(struct filler *k, uint32_t node, const struct ph_object *o)
{
	struct ph_objects *os = k->f->b->os;
	bool immortal;
	uint64_t count = ph_object_refcount(os, o, &immortal);
	k->f->g->refcount[node] = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
	uint8_t tracked = ph_object_tracked(os, o) ? PH_NODE_TRACKED | (uint8_t)(k->f->generation << PH_NODE_GEN_SHIFT) : 0;
	return tracked | (immortal ? PH_NODE_IMMORTAL : 0);
}

static void weak_fill(struct filler *k, uint32_t node, const struct ph_object *o)
{
	uint32_t to = build_target(k->f->b, ph_object_referent(k->f->b->os, o));
	if (to)
		k->nomem |= !PH_VEC_PUSH(&k->weak, (struct ph_graph_weak){ to, node });
}

static void node_fill(struct filler *k, uint32_t node, ph_addr addr)
{
	struct ph_graph *g = k->f->g;
	struct ph_object o;
	if (!ph_object_at(k->f->b->os, addr, &o)) /* cannot be: it was read before */
		return;
	g->type[node] = o.type->id;
	g->flags[node] = count_fill(k, node, &o) | refs_gather(k, &o) | size_fill(k, node, &o);
	if (o.type->weakref)
		weak_fill(k, node, &o);
}

/* ---- all of them -------------------------------------------------------------------------- */

/* What the compiler laid out refers to others without counting. */
static bool is_frozen(const struct fill *f, uint32_t node)
{
	return !f->b->os->immortals && f->g->refcount[node] > PH_FROZEN_COUNT / 2;
}

/* The two flags of a reference are those of an edge, further up. */
#define REF_TO_EDGE 32
_Static_assert(PH_REF_OWNED >> REF_TO_EDGE == PH_EDGE_OWNED && PH_REF_BORROWED >> REF_TO_EDGE == PH_EDGE_BORROWED,
	       "flags of references and edges");

/* Makes edges of the references of a batch of nodes, the last one before `end`. */
static void edges_fill(struct filler *k, uint32_t end)
{
	const struct ph_index *index = &k->f->b->index;
	const struct build_batch *batch = &k->batch;
	struct ph_graph *g = k->f->g;
	uint32_t *edges = g->edges;
	uint8_t *found = k->found;
	const uint64_t *at = batch->linear.items, asked = batch->linear.n;
	uint64_t edge = k->edge, i = 0;
	for (unsigned j = 0; j < batch->n; j++) {
		uint32_t node = end - batch->n + j;
		uint32_t frozen = is_frozen(k->f, node) ? PH_EDGE_BORROWED : 0;
		ph_graph_set_edge_start(g, node, edge);
		for (; i < batch->ends[j] && !ph_interrupted_at(i); i++) {
			ph_ref ref = batch->refs.items[i];
			uint64_t linear = i < asked ? at[i] : build_batch_late(k->f->b, batch, i);
			uint32_t to = linear == PH_NOWHERE ? 0 : ph_index_id(index, linear);
			if (!to || edge == k->end)
				continue;
			__builtin_prefetch(&found[to], 1);
			edges[edge++] = to | frozen | (uint32_t)(ref >> REF_TO_EDGE & (PH_EDGE_BORROWED | PH_EDGE_OWNED));
		}
	}
	for (uint64_t e = k->edge; e < edge; e++)
		if (!(edges[e] & PH_EDGE_BORROWED) && !++found[edges[e] & PH_EDGE_ID])
			k->nomem |= !PH_VEC_PUSH(&k->more, edges[e] & PH_EDGE_ID);
	k->edge = edge;
	build_batch_clear(&k->batch);
}

static void chunk_fill(struct filler *k, uint64_t chunk)
{
	const struct ph_build *b = k->f->b;
	struct build_cursor c = { .mem = b->os->mem };
	uint64_t first = build_chunk_first(chunk), last = build_chunk_end(b, chunk);
	uint32_t node = (uint32_t)b->index.words[first].rank + 1;
	k->edge = b->chunks[chunk].first;
	k->end = k->edge + b->chunks[chunk].edges;
	for (uint64_t w = first; w < last; w++)
		for (uint64_t bits = b->index.words[w].bits; bits; bits &= bits - 1) {
			node_fill(k, node++, build_address(&c, w * INDEX_SPAN + 8 * (uint64_t)__builtin_ctzll(bits)));
			build_batch_end(b, &k->batch);
			if (k->batch.n == BATCH)
				edges_fill(k, node);
		}
	edges_fill(k, node);
	ph_progress_count(1, node - b->index.words[first].rank - 1);
	while (k->edge < k->end) /* cannot be, either: a core that somebody is writing to */
		k->f->g->edges[k->edge++] = (node - 1) | PH_EDGE_BORROWED;
}

static void fill_chunks(void *fillers, unsigned index)
{
	struct filler *k = (struct filler *)fillers + index;
	uint64_t chunk;
	while (build_take(k->f->b, &k->f->next, &chunk))
		chunk_fill(k, chunk);
}

/* ---- generations -------------------------------------------------------------------------- */

static bool generation_set(void *ctx, ph_addr addr, int generation, uint32_t interp)
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

/* Where there are no lists, all heaps would be gone through for nothing. */
static bool has_other_lists(const struct ph_build *b, uint8_t generation)
{
	for (unsigned i = 0; i < sizeof b->listed / sizeof *b->listed; i++)
		if (i != generation && b->listed[i])
			return true;
	return false;
}

/* ---- all together ------------------------------------------------------------------------------ */

static int big_order(const void *pa, const void *pb)
{
	const struct ph_big_size *a = pa, *b = pb;
	return (a->node > b->node) - (a->node < b->node);
}

static int weak_order(const void *pa, const void *pb)
{
	const struct ph_graph_weak *a = pa, *b = pb;
	return a->to != b->to ? (a->to > b->to) - (a->to < b->to) : (a->from > b->from) - (a->from < b->from);
}

static int node_order(const void *pa, const void *pb)
{
	uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
	return (a > b) - (a < b);
}

/* What each thread has found becomes the first one's. */
static void gather(struct filler *fillers, unsigned n)
{
	struct filler *first = &fillers[0];
	for (unsigned i = 1; i < n; i++) {
		struct filler *k = &fillers[i];
		first->nomem |= k->nomem || k->batch.refs.nomem;
		for (size_t j = 0; j < k->big.n; j++)
			first->nomem |= !PH_VEC_PUSH(&first->big, k->big.items[j]);
		for (size_t j = 0; j < k->weak.n; j++)
			first->nomem |= !PH_VEC_PUSH(&first->weak, k->weak.items[j]);
		for (size_t j = 0; j < k->more.n; j++)
			first->nomem |= !PH_VEC_PUSH(&first->more, k->more.items[j]);
	}
	if (first->big.n)
		qsort(first->big.items, first->big.n, sizeof *first->big.items, big_order);
	if (first->more.n)
		qsort(first->more.items, first->more.n, sizeof *first->more.items, node_order);
	if (first->weak.n)
		qsort(first->weak.items, first->weak.n, sizeof *first->weak.items, weak_order);
}

static struct ph_err *fill_all(struct fill *f, struct filler *fillers, unsigned n, struct build_found *found)
{
	struct ph_graph *g = f->g;
	struct filler *first = &fillers[0];
	for (unsigned i = 0; i < n; i++) {
		fillers[i].f = f;
		fillers[i].found = found->few[i] = ph_big_alloc(found->n);
		if (!fillers[i].found)
			return ph_err_nomem();
	}
	ph_parallel(n, fill_chunks, fillers);
	ph_progress_end();
	if (ph_interrupted)
		return ph_err_interrupted();
	gather(fillers, n);
	ph_graph_set_edge_start(g, g->n, g->nedges);
	g->big = first->big.items;
	g->nbig = (uint32_t)first->big.n;
	g->weak = first->weak.items;
	g->nweak = (uint32_t)first->weak.n;
	found->more.items = first->more.items;
	found->more.n = first->more.n;
	first->big.items = NULL;
	first->weak.items = NULL;
	first->more.items = NULL;
	return first->nomem || first->batch.refs.nomem ? ph_err_nomem() : NULL;
}

void build_found_free(struct build_found *found)
{
	for (unsigned i = 0; i < PH_WORKERS_MAX; i++)
		ph_big_free(found->few[i], found->n);
	ph_vec_free(&found->more);
}

struct ph_err *build_fill(struct ph_build *b, struct ph_graph *g, struct build_found *ret)
{
	struct fill f = { .b = b, .g = g, .generation = biggest_list(b) };
	struct filler fillers[PH_WORKERS_MAX] = { 0 };
	ret->n = g->n;
	struct ph_err *err = fill_all(&f, fillers, b->workers, ret);
	for (unsigned i = 0; i < b->workers; i++) {
		build_batch_free(&fillers[i].batch);
		ph_vec_free(&fillers[i].big);
		ph_vec_free(&fillers[i].weak);
		ph_vec_free(&fillers[i].more);
	}
	if (err)
		return err;
	struct ph_notes again = { 0 }; /* what these lists have to say was noted */
	if (has_other_lists(b, f.generation))
		ph_runtime_tracked(b->rt, 1u << f.generation, &again, generation_set, &f);
	return NULL;
}
