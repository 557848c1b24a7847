/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The next best paths to one object: from the object backwards, always the partial path
 * that can become the cheapest whole one; what it costs from a root to where the partial
 * path begins is known from the search. */
#include <stdio.h>
#include "paths_priv.h"

#define TRIES 20000    /* partial paths looked at */
#define FAN 64         /* referrers of one object, the best ones */
#define LONGEST 4096   /* references of a path that is still compared with others */

/* A partial path: a state, and the partial path that it leads to. */
struct part {
	uint32_t state, next; /* next: index of a part, UINT32_MAX: the end */
	uint32_t penalty, depth; /* from here to the end */
	bool whole;   /* it begins at a root */
};
struct key {
	uint64_t cost; /* penalty << 40 | references */
	uint32_t part;
};

struct alternatives {
	struct ph_reach *r;
	struct PH_VEC(struct part) parts;
	struct PH_VEC(struct key) heap;
	struct PH_VEC(uint32_t) states; /* of one path */
	struct PH_VEC(char *) seen;     /* what paths read */
	bool nomem;
};

/* ---- the heap ------------------------------------------------------------------------- */

static bool less(const struct key *a, const struct key *b)
{
	return a->cost != b->cost ? a->cost < b->cost : a->part < b->part;
}

static void push(struct alternatives *a, struct part p, unsigned root_penalty)
{
	const struct ph_reach *r = a->r;
	uint32_t penalty = p.penalty + (p.whole ? root_penalty : r->penalty[p.state]);
	uint32_t depth = p.depth + (p.whole ? 0 : r->depth[p.state]);
	struct key key = { (uint64_t)penalty << 40 | depth, (uint32_t)a->parts.n };
	if (!PH_VEC_PUSH(&a->parts, p) || !PH_VEC_PUSH(&a->heap, key)) {
		a->nomem = true;
		return;
	}
	struct key *h = a->heap.items;
	for (size_t i = a->heap.n - 1; i && less(&h[i], &h[(i - 1) / 2]); i = (i - 1) / 2) {
		struct key swap = h[i];
		h[i] = h[(i - 1) / 2];
		h[(i - 1) / 2] = swap;
	}
}

static uint32_t pop(struct alternatives *a)
{
	struct key *h = a->heap.items;
	uint32_t ret = h[0].part;
	h[0] = h[--a->heap.n];
	for (size_t i = 0, n = a->heap.n;;) {
		size_t least = i, l = 2 * i + 1;
		if (l < n && less(&h[l], &h[least]))
			least = l;
		if (l + 1 < n && less(&h[l + 1], &h[least]))
			least = l + 1;
		if (least == i)
			return ret;
		struct key swap = h[i];
		h[i] = h[least];
		h[least] = swap;
		i = least;
	}
}

/* ---- in-edges ---------------------------------------------------------------------------- */

bool ph_reach_in_edges(struct ph_reach *r)
{
	const struct ph_graph *g = r->g;
	if (r->in_start)
		return true;
	r->in_start = ph_big_alloc((g->n + 1ull) * sizeof *r->in_start);
	r->in_edges = ph_big_alloc(g->nedges * sizeof *r->in_edges);
	if (!r->in_start || !r->in_edges)
		return false;
	for (uint64_t e = 0; e < g->nedges && !ph_interrupted_at(e); e++)
		r->in_start[g->edges[e] & PH_EDGE_ID]++;
	uint64_t sum = 0;
	for (uint32_t v = 0; v <= g->n; v++) { /* to the end of each one's; filling counts down */
		sum += v < g->n ? r->in_start[v] : 0;
		r->in_start[v] = sum;
	}
	for (uint32_t v = g->n; !ph_interrupted && v-- > 1;)
		for (uint64_t e = ph_graph_edge_start(g, v + 1); e-- > ph_graph_edge_start(g, v);)
			r->in_edges[--r->in_start[g->edges[e] & PH_EDGE_ID]] = v | (g->edges[e] & ~PH_EDGE_ID);
	return !ph_interrupted;
}

/* ---- partial paths ------------------------------------------------------------------------ */

static bool passes(const struct alternatives *a, uint32_t part, uint32_t node)
{
	for (; part != UINT32_MAX; part = a->parts.items[part].next)
		if (ph_state_node(a->r, a->parts.items[part].state) == node)
			return true;
	return false;
}

/* Puts a part before another one, reached over an edge with these flags; what an edge is
 * called matters only where patterns ask for it. */
static void prepend(struct alternatives *a, uint32_t state, uint32_t flags, uint32_t next)
{
	const struct ph_reach *r = a->r;
	const struct part p = a->parts.items[next];
	uint32_t node = ph_state_node(r, p.state), from = ph_state_node(r, state), to;
	unsigned penalty, least = UINT32_MAX;
	if (r->penalty[state] == NOT_REACHED)
		return;
	/* nor do all the functions that have a module's namespace for their globals */
	if (!r->opt->plain && p.next != UINT32_MAX && r->marks[node] & MARK_MODULE_DICT &&
	    r->g->types[r->g->type[from]].form != PH_FORM_MODULE)
		return;
	if (!r->types_match) {
		least = r->opt->plain ? 0 : ph_edge_penalty(r->g, r->marks, from, node | flags);
	} else {
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(r->g, from, &n);
		for (uint64_t e = 0; e < n; e++)
			if ((edges[e] & PH_EDGE_ID) == node && ph_reach_step(r, state, edges[e], e, &to, &penalty) &&
			    to == p.state && penalty < least)
				least = penalty;
	}
	if (least == UINT32_MAX || passes(a, next, from))
		return;
	push(a, (struct part){ state, next, p.penalty + least, p.depth + 1, false }, 0);
}

struct referrer {
	uint64_t cost;
	uint32_t edge;
};

static int by_cost(const void *pa, const void *pb)
{
	const struct referrer *a = pa, *b = pb;
	if (a->cost != b->cost)
		return a->cost < b->cost ? -1 : 1;
	return (a->edge > b->edge) - (a->edge < b->edge);
}

/* The best referrers of a node, each once; all, where they are few. */
static unsigned best_referrers(const struct ph_reach *r, uint32_t node, uint32_t ret[FAN])
{
	struct referrer best[2 * FAN];
	unsigned n = 0, m = 0;
	for (uint64_t i = r->in_start[node]; i < r->in_start[node + 1]; i++) {
		uint32_t from = r->in_edges[i] & PH_EDGE_ID;
		uint32_t state = r->opt->nthrough && r->penalty[from] == NOT_REACHED ? from + r->g->n : from;
		if (r->penalty[state] == NOT_REACHED || (i > r->in_start[node] && r->in_edges[i] == r->in_edges[i - 1]))
			continue;
		unsigned penalty = r->opt->plain ? 0 : ph_edge_penalty(r->g, r->marks, from,
								       node | (r->in_edges[i] & ~PH_EDGE_ID));
		best[n++] = (struct referrer){ (uint64_t)(penalty + r->penalty[state]) << 40 | r->depth[state],
					       r->in_edges[i] };
		if (n == 2 * FAN) {
			qsort(best, n, sizeof *best, by_cost);
			n = FAN;
		}
	}
	qsort(best, n, sizeof *best, by_cost);
	for (unsigned i = 0; i < n && m < FAN; i++)
		ret[m++] = best[i].edge;
	return m;
}

static void expand(struct alternatives *a, uint32_t part)
{
	const struct ph_reach *r = a->r;
	const struct part p = a->parts.items[part];
	uint32_t referrers[FAN];
	const struct ph_source *source = ph_reach_source(r, p.state);
	/* a module's namespace belongs to the module, whoever else has it */
	bool elsewhere = r->marks[ph_state_node(r, p.state)] & MARK_MODULE_DICT && p.next != UINT32_MAX && !r->opt->plain;
	if (source && !elsewhere)
		push(a, (struct part){ p.state, part, p.penalty, p.depth, true }, source->penalty);
	/* that one module imports another says nothing about what is in the latter */
	if (source && source->kind == PH_ROOT_MODULE && !source->penalty && p.next != UINT32_MAX && !r->opt->plain)
		return;
	unsigned n = best_referrers(r, ph_state_node(r, p.state), referrers);
	for (unsigned i = 0; i < n; i++) {
		uint32_t from = referrers[i] & PH_EDGE_ID, flags = referrers[i] & ~PH_EDGE_ID;
		prepend(a, from, flags, part);
		if (r->opt->nthrough && p.state >= r->g->n)
			prepend(a, from + r->g->n, flags, part);
	}
}

/* ---- whole paths ----------------------------------------------------------------------------- */

/* All that a path reads, with places folded: paths that read the same are one. */
static char *reading(const struct ph_graph *g, const struct ph_path *p)
{
	struct ph_path_steps steps = { 0 };
	char *ret = NULL;
	char *root ph_cleanup_free = ph_path_root_text(g, p);
	if (root && ph_path_read(g, p, &steps)) {
		size_t size = strlen(root) + 1, at = strlen(root);
		for (size_t i = 0; i < steps.n; i++)
			size += strlen(steps.items[i].folded) + 1;
		ret = malloc(size);
		if (ret)
			memcpy(ret, root, at + 1);
		for (size_t i = 0; ret && i < steps.n; i++)
			at += (size_t)sprintf(ret + at, "\n%s", steps.items[i].folded);
	}
	ph_vec_free(&steps);
	return ret;
}

/* Keeps the path unless one like it was kept; takes it over. */
static struct ph_err *keep(struct alternatives *a, struct ph_path *p, bool *ret_new)
{
	char *text = reading(a->r->g, p);
	*ret_new = false;
	if (!text || !PH_VEC_RESERVE(&a->seen, 1)) {
		ph_path_deinit(p);
		free(text);
		return ph_err_nomem();
	}
	for (size_t i = 0; i < a->seen.n; i++)
		if (!strcmp(a->seen.items[i], text)) {
			free(text);
			ph_path_deinit(p);
			return NULL;
		}
	a->seen.items[a->seen.n++] = text;
	*ret_new = true;
	return NULL;
}

static struct ph_err *keep_part(struct alternatives *a, uint32_t part, struct ph_path *ret, bool *ret_new)
{
	a->states.n = 0;
	*ret_new = false;
	const struct ph_source *source = ph_reach_source(a->r, a->parts.items[part].state);
	for (uint32_t i = a->parts.items[part].next; i != UINT32_MAX; i = a->parts.items[i].next)
		if (!PH_VEC_PUSH(&a->states, a->parts.items[i].state))
			return ph_err_nomem();
	struct ph_err *err = ph_path_from_states(a->r, source, a->states.items, (uint32_t)a->states.n, ret);
	return err ? err : keep(a, ret, ret_new);
}

static struct ph_err *search(struct alternatives *a, uint32_t end, uint32_t limit, struct ph_path *ret,
			     uint32_t *ret_n)
{
	struct ph_err *err = NULL;
	push(a, (struct part){ .state = end, .next = UINT32_MAX }, 0);
	for (unsigned tries = 0; !err && !a->nomem && a->heap.n && *ret_n < limit && tries < TRIES; tries++) {
		uint32_t part = pop(a);
		bool new = false;
		if (ph_interrupted)
			return ph_err_interrupted();
		if (!a->parts.items[part].whole)
			expand(a, part);
		else
			err = keep_part(a, part, &ret[*ret_n], &new);
		*ret_n += new;
	}
	return !err && a->nomem ? ph_err_nomem() : err;
}

struct ph_err *ph_paths_find(struct ph_reach *r, uint32_t node, uint32_t limit, struct ph_path **ret,
			     uint32_t *ret_n)
{
	struct alternatives a = { .r = r };
	uint32_t end = ph_reach_state(r, node);
	struct ph_err *err = NULL;
	*ret_n = 0;
	*ret = calloc(limit + 1ull, sizeof **ret);
	if (!*ret)
		return ph_err_nomem();
	if (end != UINT32_MAX && (limit == 1 || r->depth[end] > LONGEST)) {
		err = ph_path_find(r, node, *ret);
		*ret_n = !err;
	} else if (end != UINT32_MAX) {
		/* the best one may be such as no alternative is: it is what there is */
		bool new = false;
		err = ph_path_find(r, node, *ret);
		if (!err)
			err = keep(&a, *ret, &new);
		*ret_n = new;
		if (!err)
			err = ph_reach_in_edges(r) ? search(&a, end, limit, *ret, ret_n) : ph_err_stopped();
	}
	for (size_t i = 0; i < a.seen.n; i++)
		free(a.seen.items[i]);
	ph_vec_free(&a.seen);
	ph_vec_free(&a.states);
	ph_vec_free(&a.heap);
	ph_vec_free(&a.parts);
	if (!err)
		return NULL;
	for (uint32_t i = 0; i < *ret_n; i++)
		ph_path_deinit(&(*ret)[i]);
	free(*ret);
	*ret = NULL;
	*ret_n = 0;
	return err;
}
