/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the memory is: objects that retain much, none of which is part of another. */
#include "paths_priv.h"

#define SMALLEST_SHARE 2000 /* of what is asked about: smaller ones are summed up */
#define ALONE_PERCENT 90    /* of what an object retains lies in one other: that one is the thing */
#define ALONE_STEPS 16      /* from one such to the next */

struct heaviest {
	const struct ph_graph *g;
	const struct ph_dominators *d;
	uint8_t *marks;       /* NULL: nothing is passed over */
	uint32_t *start;      /* [n + 1] children of i in the dominator tree are children[start[i]..start[i + 1]) */
	uint32_t *children;
	uint32_t *objects;    /* [n] in the subtree */
	uint64_t least;
	struct PH_VEC(struct ph_heavy) rows;
	struct PH_VEC(struct step) todo;
	struct ph_heaviest *ret;
	bool nomem;
};
struct step {
	uint32_t node;
	unsigned alone; /* steps of that kind made so far */
};

/* ---- the tree, downwards --------------------------------------------------------------- */

static struct ph_err *make_children(struct heaviest *h)
{
	const struct ph_dominators *d = h->d;
	uint64_t n = d->n;
	h->start = ph_big_alloc((n + 1) * sizeof *h->start);
	h->children = ph_big_alloc(n * sizeof *h->children);
	h->objects = ph_big_alloc(n * sizeof *h->objects);
	if (!h->start || !h->children || !h->objects)
		return ph_err_nomem();
	for (uint32_t i = 1; i < n; i++) {
		h->start[d->idom[i] + 1]++;
		if (!(i & 0xffff) && ph_interrupted)
			return ph_err_interrupted();
	}
	for (uint64_t i = 1; i <= n; i++)
		h->start[i] += h->start[i - 1];
	/* preorder backwards fills from the end: what is left in start are the beginnings */
	for (uint32_t i = (uint32_t)n; i-- > 1;) {
		uint32_t node = d->preorder[i];
		h->objects[node]++;
		h->objects[d->idom[node]] += h->objects[node];
		h->children[--h->start[d->idom[node] + 1]] = node;
		if (!(i & 0xffff) && ph_interrupted)
			return ph_err_interrupted();
	}
	memmove(h->start, h->start + 1, n * sizeof *h->start);
	h->start[n] = (uint32_t)n - 1;
	return NULL;
}

static uint32_t heaviest_child(const struct heaviest *h, uint32_t node)
{
	uint32_t best = 0;
	for (uint32_t i = h->start[node]; i < h->start[node + 1]; i++)
		if (!best || h->d->retained[h->children[i]] > h->d->retained[best])
			best = h->children[i];
	return best;
}

/* ---- what is passed over ----------------------------------------------------------------- */

/* Namespaces, modules and classes are where things hang, not what they are. */
static bool is_place(const struct heaviest *h, uint32_t node)
{
	uint8_t form = h->g->types[h->g->type[node]].form;
	return form == PH_FORM_MODULE || form == PH_FORM_TYPE || form == PH_FORM_FUNCTION ||
	       h->marks[node] & (MARK_MODULE_DICT | MARK_CLASS_DICT | MARK_INTERPRETER);
}

/* Nearly all of it is in one other, of another kind: the nodes of a long list are one thing. */
static bool lies_in_one(const struct heaviest *h, uint32_t node)
{
	uint32_t child = heaviest_child(h, node);
	return child && h->g->type[child] != h->g->type[node] &&
	       h->d->retained[child] / ALONE_PERCENT >= h->d->retained[node] / 100;
}

static void add_other(struct heaviest *h, uint64_t objects, uint64_t bytes)
{
	h->ret->other_objects += objects;
	h->ret->other_bytes += bytes;
}

static void take(struct heaviest *h, uint32_t node)
{
	h->nomem |= !PH_VEC_PUSH(&h->rows, (struct ph_heavy){ node, h->objects[node], h->d->retained[node] });
}

static void children_of(struct heaviest *h, uint32_t node, unsigned alone)
{
	for (uint32_t i = h->start[node]; i < h->start[node + 1]; i++) {
		uint32_t child = h->children[i];
		if (h->d->retained[child] < h->least)
			add_other(h, h->objects[child], h->d->retained[child]);
		else if (!h->marks)
			take(h, child);
		else
			h->nomem |= !PH_VEC_PUSH(&h->todo, (struct step){ child, alone });
	}
}

static void look(struct heaviest *h, struct step s)
{
	bool place = is_place(h, s.node), alone = !place && s.alone < ALONE_STEPS && lies_in_one(h, s.node);
	if (!place && !alone) {
		take(h, s.node);
		return;
	}
	add_other(h, 1, ph_graph_bytes(h->g, s.node));
	children_of(h, s.node, s.alone + alone);
}

/* ---- all together ---------------------------------------------------------------------------- */

static int by_retained(const void *pa, const void *pb)
{
	const struct ph_heavy *a = pa, *b = pb;
	if (a->retained_bytes != b->retained_bytes)
		return a->retained_bytes > b->retained_bytes ? -1 : 1;
	return (a->node > b->node) - (a->node < b->node);
}

static struct ph_err *find(struct heaviest *h, uint32_t of, bool plain)
{
	struct ph_err *err = make_children(h);
	if (err || (!plain && !(h->marks = ph_path_marks(h->g))))
		return err ? err : ph_err_nomem();
	h->least = plain ? 0 : (of ? h->d->retained[of] : h->g->shallow_bytes + h->g->uncounted_bytes) / SMALLEST_SHARE;
	children_of(h, of, 0);
	while (h->todo.n && !h->nomem)
		look(h, h->todo.items[--h->todo.n]);
	return h->nomem ? ph_err_nomem() : NULL;
}

struct ph_err *ph_heaviest_find(const struct ph_graph *g, const struct ph_dominators *d, uint32_t of, bool plain,
				struct ph_heaviest **ret)
{
	struct heaviest h = { .g = g, .d = d, .ret = calloc(1, sizeof *h.ret) };
	struct ph_err *err = h.ret ? find(&h, of, plain) : ph_err_nomem();
	ph_big_free(h.start, (d->n + 1ull) * sizeof *h.start);
	ph_big_free(h.children, d->n * sizeof *h.children);
	ph_big_free(h.objects, d->n * sizeof *h.objects);
	ph_vec_free(&h.todo);
	free(h.marks);
	if (err) {
		ph_vec_free(&h.rows);
		free(h.ret);
		return err;
	}
	if (h.rows.n)
		qsort(h.rows.items, h.rows.n, sizeof *h.rows.items, by_retained);
	h.ret->rows = h.rows.items;
	h.ret->n = (uint32_t)h.rows.n;
	*ret = h.ret;
	return NULL;
}

void ph_heaviest_free(struct ph_heaviest *h)
{
	if (!h)
		return;
	free(h->rows);
	free(h);
}
