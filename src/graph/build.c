/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All of a graph: objects are found, numbered and read; then their reference counts are
 * compared with the references found. */
#include "build.h"

/* All that was found. */
static void forget(struct ph_build *b)
{
	ph_objects_close(b->os);
	ph_index_deinit(&b->index);
	ph_vec_free(&b->roots);
	ph_running_free(&b->running);
	free(b->chunks);
	b->os = NULL;
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

ph_addr build_node_address(void *ctx, const struct ph_graph *g, uint32_t node)
{
	struct ph_build *b = ctx;
	if (!node)
		return 0;
	const struct ph_segment *s = &b->os->mem->segs[b->asked];
	uint64_t linear = ph_index_linear(&b->index, node);
	if (linear < s->linear || linear - s->linear >= s->end - s->start) {
		ph_addr addr = ph_mem_addr(b->os->mem, linear);
		b->asked = PH_RANGE_BEHIND(b->os->mem->segs, b->os->mem->nsegs, addr);
		return addr;
	}
	return s->start + (linear - s->linear);
}

uint32_t build_find_before(void *ctx, const struct ph_graph *g, ph_addr address)
{
	struct ph_build *b = ctx;
	const struct ph_mem *mem = b->os->mem;
	size_t i = PH_RANGE_BEHIND(mem->segs, mem->nsegs, address);
	const struct ph_segment *at = &mem->segs[i];
	if (i < mem->nsegs && at->start <= address)
		return ph_index_before(&b->index, at->linear + (address - at->start));
	return i ? ph_index_before(&b->index, at[-1].linear + (at[-1].end - at[-1].start) - 1) : 0;
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
		ph_note(b->notes, PH_NOTE_NEGATIVE_EXCESS, ph_graph_address(g, node));
	return g->refcount[node] != found;
}

/* *at: index into found->more, which is gone through with the nodes. */
static uint32_t found_to(const struct build_found *found, uint32_t node, size_t *at)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < PH_WORKERS_MAX && found->few[i]; i++)
		n += found->few[i][node];
	for (; *at < found->more.n && found->more.items[*at] == node; ++*at)
		n += 256;
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static struct ph_err *seeds_fill(const struct ph_build *b, struct ph_graph *g, const struct build_found *found)
{
	struct PH_VEC(uint32_t) seeds = { 0 };
	size_t at = 0;
	for (uint32_t i = 0; i < g->ntypes; i++)
		if (!g->types[i].heap && g->types[i].node)
			g->flags[g->types[i].node] |= PH_NODE_SEED;
	/* frames hold what only the collector frees without a count (free-threaded builds) */
	for (size_t i = 0; b->rt->free_threaded && i < b->roots.n; i++) {
		uint32_t node = build_target(b, b->roots.items[i].object);
		g->flags[node] |= node ? PH_NODE_SEED : 0;
	}
	for (uint32_t node = 1; node < g->n; node++) {
		if (held_from_outside(b, g, node, found_to(found, node, &at)))
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
	struct build_found found = { 0 };
	struct ph_err *err = build_fill(b, g, &found);
	if (!err)
		err = seeds_fill(b, g, &found);
	build_found_free(&found);
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
	ph_addr *addresses ph_cleanup_free = calloc(g->n, sizeof *addresses);
	if (!addresses)
		return ph_err_nomem();
	for (uint32_t node = 1; node < g->n; node++)
		addresses[node - 1] = ph_graph_address(g, node);
	struct ph_err *err = ph_objects_verify(b->os, addresses, g->n - 1, &options->verified);
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
	struct ph_graph *g = ph_graph_new();
	struct ph_build *b = calloc(1, sizeof *b);
	if (!g || !b) {
		free(b);
		ph_graph_free(g);
		return ph_err_nomem();
	}
	b->base.free = build_free;
	g->priv = b;
	g->names = &build_names;
	g->names_ctx = b;
	b->rt = rt;
	b->notes = notes;
	b->workers = rt->mem->pager ? 1 : ph_workers(); /* what is loaded on demand is one thread's */
	uint64_t start = ph_now_ns();
	struct ph_err *err = find(b, options);
	g->mark_ns = ph_now_ns() - start - (options ? options->replay_ns : 0);
	g->reread = b->reread.told;
	start = ph_now_ns();
	if (!err && !ph_index_rank(&b->index))
		err = ph_err_nomem();
	if (!err && b->index.n >= PH_GRAPH_MAX)
		err = ph_err_new(PH_ERR_REFUSED, "%s: more than %u objects", rt->target->what, PH_GRAPH_MAX);
	if (!err && (!ph_graph_alloc_nodes(g, (uint32_t)b->index.n + 1, place_edges(b)) || !ph_graph_alloc_edges(g)))
		err = ph_err_nomem();
	if (!err)
		err = types_fill(b, g);
	if (!err)
		err = fill(b, g);
	g->edges_ns = ph_now_ns() - start;
	if (!err)
		err = verify(b, g);
	if (!err)
		err = build_thread_names(b, g);
	if (err) {
		ph_graph_free(g);
		return err;
	}
	*ret = g;
	return NULL;
}
