/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From sections to a graph. Nothing in them is believed: numbers of nodes, types, strings
 * and labels are within what there is, lengths fit one another, and what is garbage is found
 * anew. */
#include "file.h"

/* What the graph's names come from. */
struct reading {
	struct ph_graph_priv base; /* first: freed with the graph */
	struct ph_graph *graph;
	struct sn_file file;
	struct PH_VEC(ph_label_id) ids; /* of one object: room for that with most references; … */
	uint32_t labelled;              /* … of this one; 0: of none yet */
};

#define ROWS(r, section, type) ((const struct type *)(r)->file.sections[SN_##section].at)
#define U32S(r, section) ((const uint32_t *)(r)->file.sections[SN_##section].at)
#define COUNT(r, section) ((r)->file.sections[SN_##section].n)

static const char *string_at(const struct reading *r, uint32_t offset)
{
	return (const char *)r->file.sections[SN_STRINGS].at + offset;
}

static bool is_string(const struct reading *r, uint32_t offset)
{
	return offset < COUNT(r, STRINGS);
}

/* 0: none */
static bool is_node(const struct reading *r, uint32_t node)
{
	return node < r->graph->n;
}

/* ---- names ---------------------------------------------------------------------------- */

static ph_label_id label_id(const struct reading *r, uint32_t number)
{
	const struct sn_label *l = &ROWS(r, LABELS, sn_label)[number];
	bool index = l->kind == PH_LABEL_INDEX || l->kind == PH_LABEL_WORD || l->kind == PH_LABEL_REFERENT;
	return PH_LABEL_ID(l->kind, index ? (uint64_t)l->index : number);
}

static bool labels(void *ctx, const struct ph_graph *g, uint32_t node, const ph_label_id **ret)
{
	struct reading *r = ctx;
	uint32_t sequence = U32S(r, SEQUENCES)[node - 1];
	uint64_t n;
	ph_graph_edges(g, node, &n);
	if (sequence == SN_SEQUENCE_UNKNOWN)
		return false;
	*ret = r->ids.items;
	if (node == r->labelled) /* a list of millions is asked about for each of them */
		return true;
	r->labelled = node;
	if (sequence < SN_SEQUENCE_STORED) {
		for (uint64_t e = 0; e < n; e++)
			r->ids.items[e] = PH_LABEL_ID(PH_LABEL_INDEX, sequence == SN_SEQUENCE_ASCENDING ? e : n - 1 - e);
		return true;
	}
	const uint64_t *ends = r->file.sections[SN_SEQUENCE_ENDS].at;
	sequence -= SN_SEQUENCE_STORED;
	const uint32_t *numbers = U32S(r, SEQUENCE_LABELS) + (sequence ? ends[sequence - 1] : 0);
	for (uint64_t e = 0; e < n; e++)
		r->ids.items[e] = label_id(r, numbers[e]);
	return true;
}

static void text(void *ctx, const struct ph_graph *g, ph_label_id id, struct ph_label *ret)
{
	const struct reading *r = ctx;
	uint64_t number = PH_LABEL_ID_NUMBER(id);
	if (number >= COUNT(r, LABELS))
		return;
	const struct sn_label *l = &ROWS(r, LABELS, sn_label)[number];
	ret->key = l->key;
	ret->is_name = l->bits & SN_LABEL_IS_NAME;
	ret->is_hash = l->bits & SN_LABEL_IS_HASH;
	strncpy(ret->name, string_at(r, l->name), sizeof ret->name - 1);
	strncpy(ret->of, string_at(r, l->of), sizeof ret->of - 1);
}

static bool describe(void *ctx, const struct ph_graph *g, uint32_t node, char *buf, size_t max)
{
	const struct reading *r = ctx;
	const struct sn_pair *names = ROWS(r, NAMES, sn_pair);
	uint64_t lo = 0, hi = COUNT(r, NAMES);
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		if (names[mid].a < node)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == COUNT(r, NAMES) || names[lo].a != node)
		return false;
	strncpy(buf, string_at(r, names[lo].b), max - 1);
	buf[max - 1] = '\0';
	return true;
}

static const struct ph_graph_names names = { labels, text, describe, NULL };

/* ---- objects ----------------------------------------------------------------------------- */

static struct ph_err *damaged(const struct reading *r, const char *what)
{
	return sn_damaged(&r->file, what);
}

static struct ph_err *check_lengths(const struct reading *r)
{
	static const enum sn_section of_objects[] = { SN_ADDRESSES, SN_SHAPES, SN_COUNTS, SN_FLAGS, SN_DEGREES,
						      SN_SEQUENCES };
	for (size_t i = 0; i < sizeof of_objects / sizeof *of_objects; i++)
		if (r->file.sections[of_objects[i]].n != r->file.nobjects)
			return damaged(r, "a section does not have a row for each object");
	if (COUNT(r, EDGES) != r->file.nedges)
		return damaged(r, "references are missing");
	const char *strings = r->file.sections[SN_STRINGS].at, *meta = r->file.sections[SN_META].at;
	if (!COUNT(r, STRINGS) || strings[0] || strings[COUNT(r, STRINGS) - 1])
		return damaged(r, "its strings do not end");
	if (!COUNT(r, META) || meta[COUNT(r, META) - 1])
		return damaged(r, "nothing tells where it comes from");
	return NULL;
}

static struct ph_err *read_addresses(struct reading *r)
{
	const struct sn_block *blocks = ROWS(r, BLOCKS, sn_block);
	struct ph_graph *g = r->graph;
	uint64_t b = 0, nblocks = COUNT(r, BLOCKS);
	for (uint32_t i = 1; i < g->n; i++) {
		if (ph_interrupted_at(i))
			return ph_err_interrupted();
		while (b < nblocks && blocks[b].first <= i)
			b++;
		if (!b)
			return damaged(r, "an object has no address");
		g->address[i] = blocks[b - 1].address + 8ull * U32S(r, ADDRESSES)[i - 1];
		if (g->address[i] <= g->address[i - 1] || g->address[i] >> 48)
			return damaged(r, "addresses do not ascend");
	}
	return NULL;
}

static struct ph_err *read_sizes(struct reading *r)
{
	const struct sn_shape *shapes = ROWS(r, SHAPE_TABLE, sn_shape);
	struct PH_VEC(struct ph_big_size) big = { 0 };
	struct ph_graph *g = r->graph;
	uint64_t sum = 0;
	for (uint32_t i = 1; i < g->n; i++) {
		uint32_t number = U32S(r, SHAPES)[i - 1];
		const struct sn_shape *s = number < COUNT(r, SHAPE_TABLE) ? &shapes[number] : NULL;
		if (ph_interrupted_at(i)) {
			ph_vec_free(&big);
			return ph_err_interrupted();
		}
		if (!s || s->type >= g->ntypes || s->shallow > 1ull << 48 || s->uncounted > 1ull << 48 ||
		    (sum += s->shallow + s->uncounted) > 1ull << 62) {
			ph_vec_free(&big);
			return damaged(r, "the size or type of an object is not possible");
		}
		bool large = s->shallow >= UINT32_MAX || s->uncounted >= UINT32_MAX;
		g->type[i] = s->type;
		g->shallow_[i] = large ? UINT32_MAX : (uint32_t)s->shallow;
		g->uncounted_[i] = large ? UINT32_MAX : (uint32_t)s->uncounted;
		if (large && !PH_VEC_PUSH(&big, (struct ph_big_size){ i, s->shallow, s->uncounted })) {
			ph_vec_free(&big);
			return ph_err_nomem();
		}
	}
	g->big = big.items;
	g->nbig = (uint32_t)big.n;
	return NULL;
}

static struct ph_err *read_edges(struct reading *r)
{
	struct ph_graph *g = r->graph;
	uint64_t sum = 0, most = 0;
	g->edges = (uint32_t *)r->file.sections[SN_EDGES].at; /* never written to */
	g->nedges = r->file.nedges;
	for (uint32_t i = 1; i < g->n; i++) {
		if (ph_interrupted_at(i))
			return ph_err_interrupted();
		uint32_t degree = U32S(r, DEGREES)[i - 1];
		g->edge_start[i] = sum;
		sum += degree;
		most = degree > most ? degree : most;
	}
	g->edge_start[g->n] = sum;
	if (sum != g->nedges)
		return damaged(r, "objects have other references than there are");
	for (uint64_t e = 0; e < g->nedges; e++) {
		if (ph_interrupted_at(e))
			return ph_err_interrupted();
		uint32_t to = g->edges[e] & PH_EDGE_ID;
		if (!to || to >= g->n)
			return damaged(r, "a reference leads nowhere");
	}
	return PH_VEC_RESERVE(&r->ids, most + 1) ? NULL : ph_err_nomem();
}

static struct ph_err *read_flags(struct reading *r)
{
	struct PH_VEC(uint32_t) seeds = { 0 };
	struct ph_graph *g = r->graph;
	if (g->n > 1) {
		memcpy(g->refcount + 1, r->file.sections[SN_COUNTS].at, (g->n - 1ull) * sizeof *g->refcount);
		memcpy(g->flags + 1, r->file.sections[SN_FLAGS].at, g->n - 1ull);
	}
	for (uint32_t i = 1; i < g->n; i++)
		if (ph_interrupted_at(i) || (g->flags[i] & PH_NODE_SEED && !PH_VEC_PUSH(&seeds, i))) {
			ph_vec_free(&seeds);
			return ph_err_stopped();
		}
	g->seeds = seeds.items;
	g->nseeds = (uint32_t)seeds.n;
	return NULL;
}

/* ---- what has names -------------------------------------------------------------------------- */

static struct ph_err *read_types(struct reading *r)
{
	struct ph_graph *g = r->graph;
	uint64_t n = COUNT(r, TYPES);
	g->types = n < UINT32_MAX ? calloc(n + 1, sizeof *g->types) : NULL;
	if (!g->types)
		return ph_err_nomem();
	for (uint64_t i = 0; i < n; i++) {
		const struct sn_type *t = &ROWS(r, TYPES, sn_type)[i];
		if (!is_string(r, t->name) || !is_node(r, t->node) || t->cls > PH_TYPE_INFRASTRUCTURE ||
		    t->form >= PH_FORMS)
			return damaged(r, "a type is not possible");
		g->types[i] = (struct ph_graph_type){
			.name = strdup(string_at(r, t->name)), .address = t->address, .node = t->node,
			.cls = t->cls, .form = t->form, .weakrefable = t->bits & SN_TYPE_WEAKREFABLE,
			.heap = t->bits & SN_TYPE_HEAP, .whole = t->bits & SN_TYPE_WHOLE,
			.collected = t->bits & SN_TYPE_COLLECTED, .let_go = t->bits & SN_TYPE_LET_GO,
		};
		g->ntypes++;
		if (!g->types[i].name)
			return ph_err_nomem();
	}
	return NULL;
}

static struct ph_err *read_frames(struct reading *r)
{
	struct ph_graph *g = r->graph;
	uint64_t n = COUNT(r, FRAMES), nthreads = COUNT(r, THREADS);
	bool fit = n < UINT32_MAX && nthreads < UINT32_MAX;
	g->frames = fit ? calloc(n + 1, sizeof *g->frames) : NULL;
	g->threads = fit ? calloc(nthreads + 1, sizeof *g->threads) : NULL;
	if (!g->frames || !g->threads)
		return ph_err_nomem();
	for (uint64_t i = 0; i < n; i++) {
		const struct sn_frame *f = &ROWS(r, FRAMES, sn_frame)[i];
		if (!is_string(r, f->function) || !is_string(r, f->file) || !is_node(r, f->code) || !is_node(r, f->object))
			return damaged(r, "a frame is not possible");
		g->frames[i] = (struct ph_graph_frame){ strdup(string_at(r, f->function)), strdup(string_at(r, f->file)),
							f->line, f->code, f->object };
		g->nframes++;
		if (!g->frames[i].function || !g->frames[i].file)
			return ph_err_nomem();
	}
	for (uint64_t i = 0; i < nthreads; i++) {
		const struct sn_thread *t = &ROWS(r, THREADS, sn_thread)[i];
		if ((uint64_t)t->frames + t->nframes > n || !is_string(r, t->name))
			return damaged(r, "a thread is not possible");
		g->threads[g->nthreads++] = (struct ph_graph_thread){
			.id = t->id, .native_id = t->native_id, .interp = t->interp, .holds_gil = t->holds_gil,
			.name = t->name ? strdup(string_at(r, t->name)) : NULL,
			.frames = t->frames, .nframes = t->nframes };
		if (t->name && !g->threads[i].name)
			return ph_err_nomem();
	}
	return NULL;
}

/* Whose each object is: of one interpreter nothing tells it. */
static struct ph_err *read_interps(struct reading *r)
{
	struct ph_graph *g = r->graph;
	uint64_t n = COUNT(r, INTERPRETERS);
	const uint16_t *owners = r->file.sections[SN_OWNERS].at;
	if (!n && !COUNT(r, OWNERS))
		return NULL;
	if (n < 2 || n > PH_GRAPH_INTERPS_MAX || COUNT(r, OWNERS) != r->file.nobjects)
		return damaged(r, "its interpreters are not possible");
	g->interps = calloc(n + 1, sizeof *g->interps);
	g->interp_ = ph_big_alloc(g->n * sizeof *g->interp_);
	if (!g->interps || !g->interp_)
		return ph_err_nomem();
	g->ninterps = (uint32_t)n;
	for (uint32_t i = 0; i < n; i++)
		g->interps[i].id = ROWS(r, INTERPRETERS, sn_interp)[i].id;
	for (uint32_t i = 1; i < g->n; i++) {
		if (ph_interrupted_at(i))
			return ph_err_interrupted();
		if (owners[i - 1] > n)
			return damaged(r, "an object is of no interpreter");
		g->interp_[i] = owners[i - 1];
	}
	for (uint32_t i = 0; i < g->nthreads; i++)
		if (g->threads[i].interp >= n)
			return damaged(r, "a thread is of no interpreter");
	return NULL;
}

static struct ph_err *read_roots(struct reading *r)
{
	struct ph_graph *g = r->graph;
	uint64_t n = COUNT(r, ROOTS), nweak = COUNT(r, WEAK);
	bool fit = n < UINT32_MAX && nweak < UINT32_MAX;
	g->roots = fit ? calloc(n + 1, sizeof *g->roots) : NULL;
	g->weak = fit ? calloc(nweak + 1, sizeof *g->weak) : NULL;
	if (!g->roots || !g->weak)
		return ph_err_nomem();
	for (uint64_t i = 0; i < n; i++) {
		const struct sn_root *root = &ROWS(r, ROOTS, sn_root)[i];
		if (!root->node || !is_node(r, root->node) || !is_string(r, root->name) || root->kind > PH_ROOT_INTERP ||
		    (root->frame != UINT32_MAX && root->frame >= g->nframes))
			return damaged(r, "a root is not possible");
		g->roots[i] = (struct ph_graph_root){ root->node, root->kind, root->borrowed != 0, root->frame,
						      strdup(string_at(r, root->name)) };
		g->nroots++;
		if (!g->roots[i].name)
			return ph_err_nomem();
	}
	for (uint64_t i = 0; i < nweak; i++) {
		const struct sn_pair *w = &ROWS(r, WEAK, sn_pair)[i];
		if (!w->a || !w->b || !is_node(r, w->a) || !is_node(r, w->b) || (i && w->a < w[-1].a))
			return damaged(r, "a weak reference is not possible");
		g->weak[g->nweak++] = (struct ph_graph_weak){ w->a, w->b };
	}
	return NULL;
}

static struct ph_err *check_labels(const struct reading *r)
{
	const uint64_t *ends = r->file.sections[SN_SEQUENCE_ENDS].at;
	uint64_t nends = COUNT(r, SEQUENCE_ENDS), nnumbers = COUNT(r, SEQUENCE_LABELS);
	for (uint64_t i = 0; i < nends; i++)
		if (ends[i] > nnumbers || (i && ends[i] < ends[i - 1]))
			return damaged(r, "labels are not possible");
	for (uint64_t i = 0; i < nnumbers; i++)
		if (U32S(r, SEQUENCE_LABELS)[i] >= COUNT(r, LABELS))
			return damaged(r, "a label is missing");
	for (uint64_t i = 0; i < COUNT(r, LABELS); i++) {
		const struct sn_label *l = &ROWS(r, LABELS, sn_label)[i];
		if (l->kind >= PH_LABEL_KINDS || !is_string(r, l->name) || !is_string(r, l->of))
			return damaged(r, "a label is not possible");
	}
	for (uint32_t i = 1; i < r->graph->n; i++) {
		uint32_t sequence = U32S(r, SEQUENCES)[i - 1];
		uint64_t degree = U32S(r, DEGREES)[i - 1];
		if (ph_interrupted_at(i))
			return ph_err_interrupted();
		if (sequence < SN_SEQUENCE_STORED)
			continue;
		sequence -= SN_SEQUENCE_STORED;
		if (sequence >= nends || ends[sequence] - (sequence ? ends[sequence - 1] : 0) != degree)
			return damaged(r, "an object has other labels than references");
	}
	for (uint64_t i = 0; i < COUNT(r, NAMES); i++) {
		const struct sn_pair *p = &ROWS(r, NAMES, sn_pair)[i];
		if (!p->a || !is_node(r, p->a) || !is_string(r, p->b) || (i && p->a <= p[-1].a))
			return damaged(r, "the name of an object is not possible");
	}
	return NULL;
}

static struct ph_err *read_holders(const struct reading *r, struct ph_snapshot *s)
{
	s->holders = calloc(COUNT(r, HOLDERS) + 1, sizeof *s->holders);
	if (!s->holders)
		return ph_err_nomem();
	for (uint64_t i = 0; i < COUNT(r, HOLDERS); i++) {
		const struct sn_pair *p = &ROWS(r, HOLDERS, sn_pair)[i];
		if (!p->a || !is_node(r, p->a) || !is_string(r, p->b))
			return damaged(r, "a holder is not possible");
		s->holders[s->nholders++] = (struct ph_snapshot_holder){ p->a, string_at(r, p->b) };
	}
	return NULL;
}

/* ---- all together -------------------------------------------------------------------------------- */

static void reading_free(struct ph_graph_priv *priv)
{
	struct reading *r = (struct reading *)priv;
	r->graph->edges = NULL; /* the file's */
	sn_file_close(&r->file);
	ph_vec_free(&r->ids);
	free(r);
}

static struct ph_err *read_all(struct reading *r, struct ph_snapshot *s)
{
	struct ph_graph *g = r->graph;
	struct ph_err *err = check_lengths(r);
	if (!err && !ph_graph_alloc_nodes(g, (uint32_t)r->file.nobjects + 1))
		err = ph_err_nomem();
	if (!err)
		err = read_types(r);
	if (!err)
		err = read_addresses(r);
	if (!err)
		err = read_sizes(r);
	if (!err)
		err = read_edges(r);
	if (!err)
		err = read_flags(r);
	if (!err)
		err = read_frames(r);
	if (!err)
		err = read_interps(r);
	if (!err)
		err = read_roots(r);
	if (!err)
		err = check_labels(r);
	if (!err)
		err = read_holders(r, s);
	if (err)
		return err;
	ph_graph_sum(g);
	return ph_graph_find_garbage(g);
}

struct ph_err *ph_snapshot_open(const char *path, const char *name, struct ph_snapshot **ret)
{
	struct ph_snapshot *s = calloc(1, sizeof *s);
	struct reading *r = calloc(1, sizeof *r);
	struct ph_graph *g = ph_graph_new();
	if (!s || !r || !g) {
		free(s);
		free(r);
		ph_graph_free(g);
		return ph_err_nomem();
	}
	s->graph = r->graph = g;
	r->base.free = reading_free;
	g->priv = r;
	struct ph_err *err = sn_file_open(path, name, &r->file);
	if (!err)
		err = read_all(r, s);
	if (err) {
		ph_snapshot_close(s);
		return err;
	}
	s->meta = r->file.sections[SN_META].at;
	g->names = &names;
	g->names_ctx = r;
	*ret = s;
	return NULL;
}

void ph_snapshot_close(struct ph_snapshot *s)
{
	if (!s)
		return;
	ph_graph_free(s->graph);
	free(s->holders);
	free(s);
}
