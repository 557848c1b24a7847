/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What threads' frames retain, and where tasks wait. */
#include <stdio.h>
#include "analysis_priv.h"

/* ---- frames --------------------------------------------------------------------------- */

/* Where nodes are in the dominators' preorder, and where what they dominate ends. */
struct tour {
	uint32_t *at, *end; /* [n] */
};

static bool tour_init(struct tour *t, const struct ph_dominators *d)
{
	t->at = ph_big_alloc(d->n * sizeof *t->at);
	t->end = ph_big_alloc(d->n * sizeof *t->end);
	if (!t->at || !t->end)
		return false;
	for (uint32_t i = 0; i < d->n; i++) {
		if (ph_interrupted_at(i))
			return false;
		t->at[d->preorder[i]] = i;
		t->end[d->preorder[i]] = i + 1;
	}
	for (uint32_t i = d->n; i-- > 1;) {
		uint32_t node = d->preorder[i], idom = d->idom[node];
		if (ph_interrupted_at(i))
			return false;
		if (t->end[node] > t->end[idom])
			t->end[idom] = t->end[node];
	}
	return true;
}

struct held {
	uint32_t thread, frame, at, node;
};
struct held_list PH_VEC(struct held);

static int by_place(const void *pa, const void *pb)
{
	const struct held *a = pa, *b = pb;
	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	return (a->at > b->at) - (a->at < b->at);
}

static int by_frame(const void *pa, const void *pb)
{
	const struct held *a = pa, *b = pb;
	if (a->frame != b->frame)
		return a->frame < b->frame ? -1 : 1;
	return (a->at > b->at) - (a->at < b->at);
}

static bool list_held(const struct ph_graph *g, const struct tour *t, struct held_list *ret)
{
	uint32_t *thread_of ph_cleanup_free = calloc(g->nframes + 1ull, sizeof *thread_of);
	for (uint32_t i = 0; thread_of && i < g->nthreads; i++)
		for (uint32_t f = 0; f < g->threads[i].nframes; f++)
			thread_of[g->threads[i].frames + f] = i;
	for (uint32_t i = 0; thread_of && i < g->nroots; i++) {
		const struct ph_graph_root *r = &g->roots[i];
		if (r->frame < g->nframes &&
		    !PH_VEC_PUSH(ret, (struct held){ thread_of[r->frame], r->frame, t->at[r->node], r->node }))
			return false;
	}
	return thread_of != NULL;
}

/* Sums up what no other of the same key dominates; the list is sorted by key, then place. */
static void sum(const struct held_list *list, const struct tour *t, const struct ph_dominators *d, bool frames,
		uint64_t *ret)
{
	uint32_t key = UINT32_MAX, end = 0;
	for (size_t i = 0; i < list->n; i++) {
		const struct held *h = &list->items[i];
		uint32_t now = frames ? h->frame : h->thread;
		if (now == key && h->at < end)
			continue;
		key = now;
		end = t->end[h->node];
		ret[key] += ph_retained(d, h->node);
	}
}

static struct ph_err *sum_stacks(const struct ph_graph *g, const struct ph_dominators *d, struct ph_stacks *ret)
{
	struct tour t = { 0 };
	struct held_list list = { 0 };
	ret->threads = calloc(g->nthreads + 1ull, sizeof *ret->threads);
	ret->frames = calloc(g->nframes + 1ull, sizeof *ret->frames);
	bool ok = ret->threads && ret->frames && tour_init(&t, d) && list_held(g, &t, &list);
	if (ok && list.n) {
		qsort(list.items, list.n, sizeof *list.items, by_place);
		sum(&list, &t, d, false, ret->threads);
		qsort(list.items, list.n, sizeof *list.items, by_frame);
		sum(&list, &t, d, true, ret->frames);
	}
	ph_vec_free(&list);
	ph_big_free(t.at, d->n * sizeof *t.at);
	ph_big_free(t.end, d->n * sizeof *t.end);
	return ok ? NULL : ph_err_stopped();
}

/* ---- tasks ------------------------------------------------------------------------------ */

static uint8_t form_of(const struct ph_graph *g, uint32_t node)
{
	return g->types[g->type[node]].form;
}

/* The last thing on the stack of a coroutine's frame; up to 3.10 that is an object of its own. */
static uint32_t awaited_by(const struct ph_graph *g, uint32_t node)
{
	for (unsigned step = 0; node && step < 2; step++) {
		const ph_label_id *labels;
		uint64_t n;
		uint32_t last = 0, frame = 0;
		const uint32_t *edges = ph_graph_edges(g, node, &n);
		if (!ph_graph_labels(g, node, &labels))
			return 0;
		for (uint64_t e = 0; e < n; e++) {
			uint32_t to = edges[e] & PH_EDGE_ID;
			if (PH_LABEL_ID_KIND(labels[e]) == PH_LABEL_STACK)
				last = to;
			else if (!strcmp(g->types[g->type[to]].name, "frame"))
				frame = to;
		}
		if (last)
			return last;
		node = frame;
	}
	return 0;
}

static uint32_t coroutine_of(const struct ph_graph *g, uint32_t task)
{
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(g, task, &n);
	for (uint64_t e = 0; e < n; e++)
		if (form_of(g, edges[e] & PH_EDGE_ID) == PH_FORM_COROUTINE)
			return edges[e] & PH_EDGE_ID;
	return 0;
}

/* The future that its iterator stands for. */
static uint32_t future_of(const struct ph_graph *g, uint32_t node)
{
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(g, node, &n);
	for (uint64_t e = 0; e < n; e++)
		if (strstr(g->types[g->type[edges[e] & PH_EDGE_ID]].name, "Future") ||
		    form_of(g, edges[e] & PH_EDGE_ID) == PH_FORM_TASK)
			return edges[e] & PH_EDGE_ID;
	return node;
}

static void follow(const struct ph_graph *g, uint32_t task, struct ph_task_group *ret)
{
	uint32_t node = coroutine_of(g, task);
	*ret = (struct ph_task_group){ .example = task };
	while (node && form_of(g, node) == PH_FORM_COROUTINE && ret->depth < PH_TASK_DEPTH) {
		ret->chain[ret->depth++] = node;
		node = awaited_by(g, node);
	}
	if (node && form_of(g, node) != PH_FORM_COROUTINE)
		ret->awaited = strstr(g->types[g->type[node]].name, "FutureIter") ? future_of(g, node) : node;
}

/* Tasks are alike when their coroutines are at the same places. */
static uint64_t place_hash(const struct ph_graph *g, const struct ph_task_group *t)
{
	char name[512];
	uint64_t hash = g->type[t->example];
	for (uint32_t i = 0; i < t->depth; i++) {
		if (!ph_graph_describe(g, t->chain[i], name, sizeof name))
			name[0] = '\0';
		hash = ph_hash_bytes(name, strlen(name)) ^ hash * 31;
	}
	return hash;
}

static int by_count(const void *pa, const void *pb)
{
	const struct ph_task_group *a = pa, *b = pb;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	if (a->retained_bytes != b->retained_bytes)
		return a->retained_bytes > b->retained_bytes ? -1 : 1;
	return (a->example > b->example) - (a->example < b->example);
}

static struct ph_err *group_tasks(const struct ph_graph *g, const struct ph_dominators *d,
				  struct ph_stacks_result *ret)
{
	struct PH_VEC(struct ph_task_group) groups = { 0 };
	struct ph_map map = { 0 };
	bool ok = true;
	for (uint32_t node = 1; ok && node < g->n; node++) {
		struct ph_task_group task;
		if (!ph_graph_selected(g, node))
			continue;
		ret->coroutines += !strcmp(g->types[g->type[node]].name, "coroutine");
		if (form_of(g, node) != PH_FORM_TASK)
			continue;
		follow(g, node, &task);
		ret->in_tasks += task.depth;
		uint32_t *at = ph_map_at(&map, place_hash(g, &task), task.depth);
		ok = at && (*at || PH_VEC_PUSH(&groups, task));
		if (!ok)
			break;
		if (!*at)
			*at = (uint32_t)groups.n;
		groups.items[*at - 1].count++;
		groups.items[*at - 1].retained_bytes += ph_retained(d, node);
	}
	ph_map_free(&map);
	ret->tasks = groups.items;
	ret->ntasks = (uint32_t)groups.n;
	if (groups.n)
		qsort(groups.items, groups.n, sizeof *groups.items, by_count);
	return ok ? NULL : ph_err_nomem();
}

struct ph_err *ph_stacks_compute(const struct ph_graph *g, const struct ph_dominators *d,
				 struct ph_stacks_result **ret)
{
	struct ph_stacks_result *s = calloc(1, sizeof *s);
	struct ph_err *err = s ? sum_stacks(g, d, &s->stacks) : ph_err_nomem();
	if (!err)
		err = group_tasks(g, d, s);
	if (err)
		ph_stacks_free(s);
	else
		*ret = s;
	return err;
}

void ph_stacks_free(struct ph_stacks_result *s)
{
	if (!s)
		return;
	free(s->stacks.threads);
	free(s->stacks.frames);
	free(s->tasks);
	free(s);
}
