/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The search from all roots: level after level of penalties, within a level by the number
 * of references. What is reached over a reference with a penalty waits for its level. */
#include <fnmatch.h>
#include "paths_priv.h"

struct waiting {
	uint32_t state, parent, depth, root; /* root: index into g->roots, UINT32_MAX; of sources */
	uint8_t kind;
	bool source;
};
struct waiting_list PH_VEC(struct waiting);

struct search {
	struct ph_reach *r;
	struct waiting_list level[PENALTY_MAX + 1];
	struct PH_VEC(struct ph_source) sources;
	uint32_t head;   /* of r->order: what has still to be expanded */
	size_t nonly;    /* of opt->only: so many have their paths */
	bool nomem;
};

/* ---- patterns --------------------------------------------------------------------------- */

/* As the shell does; a label's brackets mean themselves, too. */
static bool matches(const char *const *patterns, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(patterns[i], text) || !fnmatch(patterns[i], text, 0))
			return true;
	return false;
}

static unsigned match_text(const struct ph_reach_options *o, const char *text)
{
	return (matches(o->through, o->nthrough, text) ? MATCH_THROUGH : 0) |
	       (matches(o->avoid, o->navoid, text) ? MATCH_AVOID : 0);
}

/* Types never begin like that. */
static bool is_of_label(const char *pattern)
{
	return strchr(".[<*?", *pattern) || strchr(pattern, ' ');
}

static bool patterns_init(struct ph_reach *r)
{
	const struct ph_reach_options *o = r->opt;
	if (!o->nthrough && !o->navoid)
		return true;
	r->types_match = calloc(r->g->ntypes + 1ull, 1);
	for (uint32_t t = 0; r->types_match && t < r->g->ntypes; t++)
		r->types_match[t] = (uint8_t)match_text(o, r->g->types[t].name);
	for (size_t i = 0; i < o->nthrough; i++)
		r->labels_match |= is_of_label(o->through[i]);
	for (size_t i = 0; i < o->navoid; i++)
		r->labels_match |= is_of_label(o->avoid[i]);
	return r->types_match != NULL;
}

static unsigned match_label(const struct ph_reach *r, uint32_t node, uint64_t number)
{
	const ph_label_id *labels;
	struct ph_label label;
	struct ph_path_step step;
	if (!r->labels_match || !ph_graph_labels(r->g, node, &labels))
		return 0;
	ph_graph_label_text(r->g, labels[number], &label);
	ph_via_text(&label, false, &step);
	unsigned match = match_text(r->opt, step.via);
	if (label.kind == PH_LABEL_VALUE) { /* of a namespace, perhaps */
		ph_via_text(&label, true, &step);
		match |= match_text(r->opt, step.via);
	}
	return match;
}

/* ---- steps ------------------------------------------------------------------------------- */

/* Enters a node with these matches; false: it is avoided. */
static bool enter(const struct ph_reach *r, uint32_t node, unsigned match, bool matched, uint32_t *ret_state)
{
	if (r->types_match)
		match |= r->types_match[r->g->type[node]];
	if (match & MATCH_AVOID)
		return false;
	matched |= match & MATCH_THROUGH;
	*ret_state = r->opt->nthrough && matched ? node + r->g->n : node;
	return true;
}

bool ph_reach_step(const struct ph_reach *r, uint32_t state, uint32_t edge, uint64_t number, uint32_t *ret_state,
		   unsigned *ret_penalty)
{
	uint32_t from = ph_state_node(r, state);
	if (!enter(r, edge & PH_EDGE_ID, match_label(r, from, number), state >= r->g->n, ret_state))
		return false;
	*ret_penalty = r->opt->plain ? 0 : ph_edge_penalty(r->g, r->marks, from, edge);
	/* by way of its class's methods' globals everything leads everywhere */
	return !(r->opt->nthrough && *ret_penalty && !(edge & PH_EDGE_BORROWED));
}

static void wait_for(struct search *s, struct waiting w, unsigned penalty)
{
	struct ph_reach *r = s->r;
	uint8_t level = penalty < PENALTY_MAX ? (uint8_t)penalty : PENALTY_MAX, now = r->penalty[w.state];
	if (now != NOT_REACHED && !(now & PENDING))
		return;
	if (now != NOT_REACHED && !w.source) {
		uint8_t waits = now & (uint8_t)~PENDING;
		if (waits < level || (waits == level && r->depth[w.state] <= w.depth))
			return; /* something better waits */
	}
	if (now == NOT_REACHED || (now & (uint8_t)~PENDING) > level || r->depth[w.state] > w.depth) {
		r->penalty[w.state] = level | PENDING;
		r->depth[w.state] = w.depth;
	}
	if (!PH_VEC_PUSH(&s->level[level], w))
		s->nomem = true;
}

static void settle(struct search *s, const struct waiting *w, unsigned level)
{
	struct ph_reach *r = s->r;
	r->penalty[w->state] = (uint8_t)level;
	r->depth[w->state] = w->depth;
	r->parent[w->state] = w->parent;
	r->order[r->nreached++] = w->state;
}

static void expand(struct search *s, uint32_t state, unsigned level)
{
	struct ph_reach *r = s->r;
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(r->g, ph_state_node(r, state), &n);
	for (uint64_t e = 0; e < n; e++)
		__builtin_prefetch(&r->penalty[edges[e] & PH_EDGE_ID]);
	for (uint64_t e = 0; e < n; e++) {
		uint32_t to;
		unsigned penalty;
		uint32_t first = edges[e] & PH_EDGE_ID;
		if (ph_interrupted_at(e))
			return;
		if (!r->opt->nthrough && r->penalty[first] <= level)
			continue; /* as good already */
		if (!ph_reach_step(r, state, edges[e], e, &to, &penalty) || r->penalty[to] <= level)
			continue;
		struct waiting w = { .state = to, .parent = state, .depth = r->depth[state] + 1, .root = UINT32_MAX };
		if (penalty)
			wait_for(s, w, level + penalty);
		else
			settle(s, &w, level);
	}
}

/* ---- levels -------------------------------------------------------------------------------- */

static int by_depth(const void *pa, const void *pb)
{
	const struct waiting *a = pa, *b = pb;
	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	return 0;
}

/* Stable, as the order of roots and of references decides between equals. */
static bool sort_waiting(struct waiting_list *list)
{
	struct waiting *copy ph_cleanup_free = NULL;
	bool sorted = true;
	for (size_t i = 1; i < list->n; i++)
		sorted &= list->items[i - 1].depth <= list->items[i].depth;
	if (sorted)
		return true;
	copy = malloc(list->n * sizeof *copy);
	if (!copy)
		return false;
	for (size_t width = 1; width < list->n; width *= 2) {
		for (size_t lo = 0; lo < list->n; lo += 2 * width) {
			size_t mid = lo + width < list->n ? lo + width : list->n;
			size_t hi = lo + 2 * width < list->n ? lo + 2 * width : list->n;
			for (size_t a = lo, b = mid, at = lo; at < hi; at++)
				copy[at] = a < mid && (b == hi || by_depth(&list->items[a], &list->items[b]) <= 0)
						   ? list->items[a++] : list->items[b++];
		}
		memcpy(list->items, copy, list->n * sizeof *copy);
	}
	return true;
}

static bool keep_source(struct search *s, const struct waiting *w, unsigned level)
{
	return PH_VEC_PUSH(&s->sources, (struct ph_source){ .state = w->state, .root = w->root, .kind = w->kind,
							    .penalty = (uint8_t)level });
}

/* Whether all paths that are asked for are known: what is settled stays as it is. */
static bool is_done(struct search *s)
{
	const struct ph_reach *r = s->r;
	const struct ph_reach_options *opt = r->opt;
	uint32_t matched = opt->nthrough ? r->g->n : 0;
	while (s->nonly < opt->nonly && r->penalty[opt->only[s->nonly] + matched] < PENDING)
		s->nonly++;
	return opt->nonly && s->nonly == opt->nonly;
}

static struct ph_err *run_level(struct search *s, unsigned level)
{
	struct ph_reach *r = s->r;
	struct waiting_list *list = &s->level[level];
	if (!sort_waiting(list))
		return ph_err_nomem();
	for (size_t i = 0; i < list->n || s->head < r->nreached;) {
		bool queued = s->head < r->nreached;
		if (i < list->n && (!queued || list->items[i].depth <= r->depth[r->order[s->head]])) {
			const struct waiting w = list->items[i++];
			uint8_t now = r->penalty[w.state];
			if (w.source && !keep_source(s, &w, level))
				return ph_err_nomem();
			if (now == NOT_REACHED || now & PENDING)
				settle(s, &w, level);
			continue;
		}
		if (is_done(s)) /* here all sources of the level are kept */
			break;
		expand(s, r->order[s->head++], level);
		if (s->nomem)
			return ph_err_nomem();
		if (s->head & 0xffff)
			continue;
		ph_progress_add(0x10000);
		if (ph_interrupted)
			return ph_err_interrupted();
	}
	ph_vec_free(list);
	return NULL;
}

/* ---- sources ---------------------------------------------------------------------------------- */

static void add_source(struct search *s, uint32_t node, uint8_t kind, uint32_t root, unsigned penalty, unsigned match)
{
	struct waiting w = { .kind = kind, .root = root, .source = true };
	if (!enter(s->r, node, match, false, &w.state))
		return;
	w.parent = w.state;
	wait_for(s, w, s->r->opt->plain ? 0 : penalty);
}

static bool add_named(struct search *s)
{
	const struct ph_reach *r = s->r;
	for (uint32_t i = 0; i < r->g->nroots; i++) {
		const struct ph_graph_root *root = &r->g->roots[i];
		unsigned match = 0;
		if (r->types_match) {
			struct ph_path p = { .kind = root->kind, .root = i };
			char *text ph_cleanup_free = ph_path_root_text(r->g, &p);
			if (!text)
				return false;
			match = match_text(r->opt, text) | match_text(r->opt, root->name);
		}
		add_source(s, root->node, root->kind, i, ph_root_penalty(root), match);
	}
	return true;
}

/* Types that were not made at run time are not collected. */
static uint8_t unnamed_kind(const struct ph_graph *g, uint32_t node)
{
	if (g->types[g->type[node]].form == PH_FORM_TYPE && !(g->flags[node] & PH_NODE_TRACKED))
		return PH_ROOT_STATIC;
	return g->flags[node] & PH_NODE_IMMORTAL ? PH_ROOT_IMMORTAL : PH_ROOT_C;
}

static void add_unnamed(struct search *s)
{
	const struct ph_graph *g = s->r->g;
	for (uint32_t i = 0; i < g->nseeds; i++) {
		struct ph_graph_root root = { .kind = unnamed_kind(g, g->seeds[i]) };
		unsigned match = s->r->types_match ? match_text(s->r->opt, ph_root_kind_text(root.kind)) : 0;
		add_source(s, g->seeds[i], root.kind, UINT32_MAX, ph_root_penalty(&root), match);
	}
}

static int by_state(const void *pa, const void *pb)
{
	const struct ph_source *a = pa, *b = pb;
	if (a->state != b->state)
		return a->state < b->state ? -1 : 1;
	if (a->penalty != b->penalty)
		return a->penalty < b->penalty ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return (a->root > b->root) - (a->root < b->root);
}

const struct ph_source *ph_reach_source(const struct ph_reach *r, uint32_t state)
{
	uint32_t lo = 0, hi = r->nsources;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (r->sources[mid].state < state)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->nsources && r->sources[lo].state == state ? &r->sources[lo] : NULL;
}

uint32_t ph_reach_state(const struct ph_reach *r, uint32_t node)
{
	uint32_t state = r->opt->nthrough ? node + r->g->n : node;
	return node && node < r->g->n && r->penalty[state] != NOT_REACHED ? state : UINT32_MAX;
}

/* ---- all together --------------------------------------------------------------------------------- */

static bool alloc(struct ph_reach *r)
{
	uint64_t n = r->nstates;
	r->marks = ph_path_marks(r->g);
	r->penalty = ph_big_alloc(n);
	r->depth = ph_big_alloc(n * sizeof *r->depth);
	r->parent = ph_big_alloc(n * sizeof *r->parent);
	r->order = ph_big_alloc(n * sizeof *r->order);
	if (!r->marks || !r->penalty || !r->depth || !r->parent || !r->order || !patterns_init(r))
		return false;
	memset(r->penalty, NOT_REACHED, n);
	return true;
}

struct ph_err *ph_reach_compute(const struct ph_graph *g, const struct ph_reach_options *options,
				struct ph_reach **ret)
{
	struct ph_err *err = NULL;
	struct ph_reach *r = calloc(1, sizeof *r);
	struct search s = { .r = r };
	if (!r)
		return ph_err_nomem();
	r->g = g;
	r->opt = options;
	r->nstates = options->nthrough ? 2 * g->n : g->n;
	ph_progress_begin(PH_PROGRESS_OBJECTS, r->nstates);
	if (!alloc(r) || !add_named(&s))
		err = ph_err_nomem();
	else
		add_unnamed(&s);
	if (s.nomem)
		err = ph_err_nomem();
	for (unsigned level = 0; !err && level <= PENALTY_MAX && !is_done(&s); level++)
		err = run_level(&s, level);
	ph_progress_end();
	for (unsigned level = 0; level <= PENALTY_MAX; level++)
		ph_vec_free(&s.level[level]);
	r->sources = s.sources.items;
	r->nsources = (uint32_t)s.sources.n;
	if (r->nsources)
		qsort(r->sources, r->nsources, sizeof *r->sources, by_state);
	if (err) {
		ph_reach_free(r);
		return err;
	}
	*ret = r;
	return NULL;
}

void ph_reach_free(struct ph_reach *r)
{
	if (!r)
		return;
	uint64_t n = r->nstates;
	ph_big_free(r->penalty, n);
	ph_big_free(r->depth, n * sizeof *r->depth);
	ph_big_free(r->parent, n * sizeof *r->parent);
	ph_big_free(r->order, n * sizeof *r->order);
	if (r->in_start) {
		ph_big_free(r->in_edges, r->g->nedges * sizeof *r->in_edges);
		ph_big_free(r->in_start, (r->g->n + 1ull) * sizeof *r->in_start);
	}
	free(r->marks);
	free(r->sources);
	free(r->types_match);
	free(r);
}
