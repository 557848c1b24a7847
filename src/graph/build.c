/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All of a graph: objects are found, numbered and read; then their reference counts are
 * compared with the references found. */
#include "build.h"

/* All that was found. */
static void forget(struct ph_build *b)
{
	ph_objects_close(b->os);
	ph_big_free(b->index.words, b->index.nwords * sizeof *b->index.words);
	ph_vec_free(&b->roots);
	ph_running_free(&b->running);
	free(b->chunks);
	b->os = NULL;
	b->index = (struct ph_index){ 0 };
	b->chunks = NULL;
	memset(b->listed, 0, sizeof b->listed);
}

static void build_free(struct ph_graph_priv *priv)
{
	struct ph_build *b = (struct ph_build *)priv;
	forget(b);
	build_labels_free(b);
	build_reread_free(b);
	free(b);
}

/* ---- ids and types ---------------------------------------------------------------- */

/* Ranks for the index; false when there are too many objects. */
static bool rank(struct ph_index *ix, uint32_t *ret_n)
{
	uint64_t n = 0;
	for (uint64_t w = 0; w < ix->nwords; w++) {
		ix->words[w].rank = n;
		n += (uint64_t)__builtin_popcountll(ix->words[w].bits);
	}
	*ret_n = (uint32_t)n + 1;
	return n < PH_GRAPH_MAX;
}

/* Where the references of each chunk go; returns how many there are. */
static uint64_t place_edges(struct ph_build *b)
{
	uint64_t n = 0;
	for (uint64_t i = 0; i < b->nchunks; i++) {
		b->chunks[i].first = n;
		n += b->chunks[i].edges;
	}
	return n;
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
			.collected = t->have_gc,
			/* free-threaded builds do so before they look for garbage, others after */
			.let_go = b->rt->free_threaded && !t->heap && !strcmp(t->name, "tuple"),
			.whole = t->whole,
		};
		if (!g->types[i].name)
			return ph_err_nomem();
		g->ntypes++;
	}
	return NULL;
}

/* ---- roots ---------------------------------------------------------------------------------- */

/* CPython's own rule: more references counted than found means somebody outside holds it. */
static bool held_from_outside(const struct ph_build *b, const struct ph_graph *g, uint32_t node, uint32_t found)
{
	if (g->flags[node] & PH_NODE_IMMORTAL)
		return true;
	if (g->flags[node] & PH_NODE_TRACKED && ph_graph_generation(g, node) == 3)
		return true;
	if (g->refcount[node] < found)
		ph_note(b->notes, PH_NOTE_NEGATIVE_EXCESS, g->address[node]);
	return g->refcount[node] != found;
}

static struct ph_err *seeds_fill(const struct ph_build *b, struct ph_graph *g, const uint32_t *found)
{
	struct PH_VEC(uint32_t) seeds = { 0 };
	for (uint32_t i = 0; i < g->ntypes; i++)
		if (!g->types[i].heap && g->types[i].node)
			g->flags[g->types[i].node] |= PH_NODE_SEED;
	/* frames hold what only the collector frees without a count (free-threaded builds) */
	for (size_t i = 0; b->rt->free_threaded && i < b->roots.n; i++) {
		uint32_t node = build_target(b, b->roots.items[i].object);
		g->flags[node] |= node ? PH_NODE_SEED : 0;
	}
	for (uint32_t node = 1; node < g->n; node++) {
		if (held_from_outside(b, g, node, found[node]))
			g->flags[node] |= PH_NODE_SEED;
		if (ph_interrupted_at(node) || (g->flags[node] & PH_NODE_SEED && !PH_VEC_PUSH(&seeds, node))) {
			ph_vec_free(&seeds);
			return ph_err_stopped();
		}
	}
	g->seeds = seeds.items;
	g->nseeds = (uint32_t)seeds.n;
	return NULL;
}

/* ---- all together -------------------------------------------------------------------------------- */

static struct ph_err *fill(struct ph_build *b, struct ph_graph *g)
{
	uint32_t *found = NULL;
	struct ph_err *err = build_fill(b, g, &found);
	if (!err)
		err = seeds_fill(b, g, found);
	ph_big_free(found, g->n * sizeof *found);
	if (!err)
		err = build_roots(b, g);
	if (!err)
		err = build_interps(b, g);
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

/* All objects. Reading pages again changes others that are in them, too, so that nothing
 * found before is true any longer. */
static struct ph_err *find(struct ph_build *b, struct ph_objects_options *options)
{
	const struct ph_notes before = *b->notes;
	for (;;) {
		bool again = false;
		struct ph_err *err = ph_objects_open(b->rt, options, b->notes, &b->os);
		if (!err)
			err = ph_runtime_roots(b->rt, b->notes, &b->roots, &b->running);
		if (!err)
			err = build_mark(b, &again);
		if (err && ph_err_code(err) == PH_ERR_NOT_PYTHON && build_reread_undo(b)) {
			ph_err_free(err);
			err = NULL;
			again = true;
		}
		if (err || !again) {
			build_reread_note(b);
			return err;
		}
		forget(b);
		*b->notes = before;
	}
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
	b->workers = rt->mem->pager ? 1 : ph_workers(); /* what is loaded on demand is one thread's */
	uint64_t start = ph_now_ns();
	struct ph_err *err = find(b, options);
	g->mark_ns = ph_now_ns() - start - (options ? options->replay_ns : 0);
	g->reread = b->reread.told;
	start = ph_now_ns();
	if (!err && !rank(&b->index, &n))
		err = ph_err_new(PH_ERR_REFUSED, "%s: more than %u objects", rt->target->what, PH_GRAPH_MAX);
	if (!err && (!ph_graph_alloc_nodes(g, n) || !ph_graph_alloc_edges(g, place_edges(b))))
		err = ph_err_nomem();
	if (!err)
		err = types_fill(b, g);
	if (!err)
		err = fill(b, g);
	g->edges_ns = ph_now_ns() - start;
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
