/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the memory is: objects that retain much, none of which is part of another. */
#include "paths_priv.h"

#define SMALLEST_SHARE 2000 /* of what is asked about: smaller ones are summed up */
#define ALONE_PERCENT 90    /* of what an object retains lies in one other: that one is the thing */
#define ALONE_STEPS 16      /* from one such to the next */
#define AHEAD 16u           /* children that are asked of memory before they are needed */

struct heaviest {
	const struct ph_graph *g;
	const struct ph_dominators *d;
	uint8_t *marks;       /* NULL: nothing is passed over */
	uint32_t of;
	uint64_t least;
	struct PH_VEC(struct ph_heavy) rows;
	struct PH_VEC(struct step) todo;
	struct ph_heaviest *ret;
	bool nomem;
};
struct step {
	uint32_t place; /* of a node, in preorder */
	unsigned alone; /* steps of that kind made so far */
};

/* ---- the tree, downwards --------------------------------------------------------------- */

/* The child at a place in preorder; the next one is objects[child] places on. */
static inline uint32_t child_at(const struct ph_dominators *d, uint32_t place)
{
	if (place + AHEAD < d->n) {
		__builtin_prefetch(&d->objects[d->preorder[place + AHEAD]]);
		ph_ask_retained(d, d->preorder[place + AHEAD]);
	}
	return d->preorder[place];
}

/* The first of the children that retain most; 0: none retains so much. */
static uint32_t heaviest_child(const struct ph_dominators *d, uint32_t place, uint64_t least)
{
	uint32_t node = d->preorder[place], end = place + d->objects[node], best = 0;
	uint64_t left = ph_retained(d, node); /* by the children to come, at most */
	for (uint32_t at = place + 1, i = 0; at < end && left >= least && !ph_interrupted_at(i); i++) {
		uint32_t child = child_at(d, at);
		if (ph_retained(d, child) >= least) {
			best = child;
			least = ph_retained(d, child) + 1;
		}
		left -= ph_retained(d, child);
		at += d->objects[child];
	}
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
static bool lies_in_one(const struct heaviest *h, uint32_t place)
{
	uint32_t node = h->d->preorder[place];
	uint32_t child = heaviest_child(h->d, place, ph_retained(h->d, node) / 100 * ALONE_PERCENT);
	return child && h->g->type[child] != h->g->type[node];
}

static void add_other(struct heaviest *h, uint64_t objects, uint64_t bytes)
{
	h->ret->other_objects += objects;
	h->ret->other_bytes += bytes;
}

static void take(struct heaviest *h, uint32_t node)
{
	if (!h->of && !ph_graph_selected(h->g, node))
		return;
	h->nomem |= !PH_VEC_PUSH(&h->rows, (struct ph_heavy){ node, h->d->objects[node], ph_retained(h->d, node) });
}

static void children_of(struct heaviest *h, uint32_t place, unsigned alone)
{
	const struct ph_dominators *d = h->d;
	uint32_t end = place + d->objects[d->preorder[place]];
	for (uint32_t at = place + 1, i = 0; at < end && !ph_interrupted_at(i); i++) {
		uint32_t child = child_at(d, at);
		if (ph_retained(d, child) < h->least)
			add_other(h, d->objects[child], ph_retained(d, child));
		else if (!h->marks)
			take(h, child);
		else
			h->nomem |= !PH_VEC_PUSH(&h->todo, (struct step){ at, alone });
		at += d->objects[child];
	}
}

static void look(struct heaviest *h, struct step s)
{
	uint32_t node = h->d->preorder[s.place];
	bool place = is_place(h, node) || (!h->of && !ph_graph_selected(h->g, node)), alone = !place && s.alone < ALONE_STEPS && lies_in_one(h, s.place);
	if (!place && !alone) {
		take(h, node);
		return;
	}
	add_other(h, 1, ph_graph_bytes(h->g, node));
	children_of(h, s.place, s.alone + alone);
}

/* ---- all together ---------------------------------------------------------------------------- */

static int by_retained(const void *pa, const void *pb)
{
	const struct ph_heavy *a = pa, *b = pb;
	if (a->retained_bytes != b->retained_bytes)
		return a->retained_bytes > b->retained_bytes ? -1 : 1;
	return (a->node > b->node) - (a->node < b->node);
}

/* Of one interpreter's objects, those that are in no row: what is passed over and what is small
 * has others in it, too. */
static void sum_selected(struct heaviest *h)
{
	const struct ph_dominators *d = h->d;
	uint8_t *row = calloc(h->g->n, 1);
	uint32_t end = 0; /* of what the last row dominates */
	h->nomem |= !row;
	for (size_t i = 0; row && i < h->rows.n; i++)
		row[h->rows.items[i].node] = 1;
	h->ret->other_objects = h->ret->other_bytes = 0;
	for (uint32_t at = 1; row && at < d->n; at++) {
		uint32_t node = d->preorder[at];
		if (at >= end && row[node])
			end = at + d->objects[node];
		if (at >= end && ph_graph_selected(h->g, node))
			add_other(h, 1, ph_graph_bytes(h->g, node));
	}
	free(row);
}

static struct ph_err *find(struct heaviest *h, uint32_t of, bool plain)
{
	uint32_t place = 0;
	h->of = of;
	if (!plain && !(h->marks = ph_path_marks(h->g)))
		return ph_err_nomem();
	h->least = plain ? 0 : (of ? ph_retained(h->d, of) : h->g->shallow_bytes + h->g->uncounted_bytes) / SMALLEST_SHARE;
	while (h->d->preorder[place] != of)
		place++;
	children_of(h, place, 0);
	while (h->todo.n && !h->nomem) {
		look(h, h->todo.items[--h->todo.n]);
		if (ph_interrupted)
			return ph_err_interrupted();
	}
	if (h->g->only && !of)
		sum_selected(h);
	return h->nomem ? ph_err_nomem() : NULL;
}

struct ph_err *ph_heaviest_find(const struct ph_graph *g, const struct ph_dominators *d, uint32_t of, bool plain,
				struct ph_heaviest **ret)
{
	struct heaviest h = { .g = g, .d = d, .ret = calloc(1, sizeof *h.ret) };
	struct ph_err *err = h.ret ? find(&h, of, plain) : ph_err_nomem();
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
