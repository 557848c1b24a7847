/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The graph as a value: memory, look-ups, totals, what is garbage. */
#include <pyheap/graph.h>

struct ph_graph *ph_graph_new(void)
{
	return calloc(1, sizeof(struct ph_graph));
}

uint64_t ph_graph_narrow_edges = UINT32_MAX;

bool ph_graph_alloc_nodes(struct ph_graph *g, uint32_t n, uint64_t nedges)
{
	g->n = n;
	g->nedges = nedges;
	g->type = ph_big_alloc(n * sizeof *g->type);
	g->shallow_ = ph_big_alloc(n * sizeof *g->shallow_);
	g->uncounted_ = ph_big_alloc(n * sizeof *g->uncounted_);
	g->refcount = ph_big_alloc(n * sizeof *g->refcount);
	g->flags = ph_big_alloc(n * sizeof *g->flags);
	if (nedges <= ph_graph_narrow_edges)
		g->start_ = ph_big_alloc((n + 1ull) * sizeof *g->start_);
	else
		g->wide_start_ = ph_big_alloc((n + 1ull) * sizeof *g->wide_start_);
	return g->type && g->shallow_ && g->uncounted_ && g->refcount && g->flags &&
	       (g->start_ || g->wide_start_);
}

bool ph_graph_alloc_edges(struct ph_graph *g)
{
	if (g->nedges > SIZE_MAX / sizeof *g->edges)
		return false;
	g->edges = ph_big_alloc(g->nedges * sizeof *g->edges);
	return g->edges != NULL;
}

void ph_graph_forget_counts(struct ph_graph *g)
{
	ph_big_free(g->refcount, (uint64_t)g->n * sizeof *g->refcount);
	g->refcount = NULL;
}

void ph_graph_forget_numbers(struct ph_graph *g)
{
	if (g->names && g->names->forget_numbers)
		g->names->forget_numbers(g->names_ctx, g);
}

void ph_graph_free(struct ph_graph *g)
{
	if (!g)
		return;
	struct ph_graph_priv *priv = g->priv;
	if (priv)
		priv->free(priv);
	uint64_t n = g->n;
	ph_big_free(g->type, n * sizeof *g->type);
	ph_big_free(g->shallow_, n * sizeof *g->shallow_);
	ph_big_free(g->uncounted_, n * sizeof *g->uncounted_);
	ph_big_free(g->refcount, n * sizeof *g->refcount);
	ph_big_free(g->flags, n * sizeof *g->flags);
	ph_big_free(g->start_, (n + 1) * sizeof *g->start_);
	ph_big_free(g->wide_start_, (n + 1) * sizeof *g->wide_start_);
	ph_big_free(g->edges, g->nedges * sizeof *g->edges);
	ph_big_free(g->interp_, n * sizeof *g->interp_);
	for (uint32_t i = 0; i < g->ntypes; i++)
		free(g->types[i].name);
	for (uint32_t i = 0; i < g->nroots; i++)
		free(g->roots[i].name);
	for (uint32_t i = 0; i < g->nframes; i++) {
		free(g->frames[i].function);
		free(g->frames[i].file);
	}
	for (uint32_t i = 0; i < g->nthreads; i++)
		free(g->threads[i].name);
	free(g->types);
	free(g->roots);
	free(g->frames);
	free(g->threads);
	free(g->interps);
	free(g->weak);
	free(g->big);
	free(g->seeds);
	free(g);
}

static const struct ph_big_size *big_size(const struct ph_graph *g, uint32_t node)
{
	uint32_t lo = 0, hi = g->nbig;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (g->big[mid].node < node)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < g->nbig && g->big[lo].node == node ? &g->big[lo] : NULL;
}

uint64_t ph_graph_shallow_big(const struct ph_graph *g, uint32_t node)
{
	const struct ph_big_size *b = big_size(g, node);
	return b ? b->shallow : PH_GRAPH_BIG;
}

uint64_t ph_graph_uncounted_big(const struct ph_graph *g, uint32_t node)
{
	const struct ph_big_size *b = big_size(g, node);
	return b ? b->uncounted : PH_GRAPH_BIG;
}

uint32_t ph_graph_find_before(const struct ph_graph *g, ph_addr address)
{
	uint32_t lo = 1, hi = g->n;
	if (g->names->find_before)
		return g->names->find_before(g->names_ctx, g, address);
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (ph_graph_address(g, mid) <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;
}

uint32_t ph_graph_find(const struct ph_graph *g, ph_addr address)
{
	uint32_t node = ph_graph_find_before(g, address);
	return node && ph_graph_address(g, node) == address ? node : 0;
}

bool ph_graph_labels(const struct ph_graph *g, uint32_t node, const ph_label_id **ret)
{
	return node && g->names->labels(g->names_ctx, g, node, ret);
}

void ph_graph_label_text(const struct ph_graph *g, ph_label_id id, struct ph_label *ret)
{
	enum ph_label_kind kind = PH_LABEL_ID_KIND(id);
	*ret = (struct ph_label){ .kind = kind, .index = -1 };
	if (kind == PH_LABEL_INDEX || kind == PH_LABEL_WORD || kind == PH_LABEL_REFERENT)
		ret->index = (int64_t)PH_LABEL_ID_NUMBER(id);
	else
		g->names->text(g->names_ctx, g, id, ret);
}

bool ph_graph_label_id(const struct ph_graph *g, uint32_t node, uint64_t edge, ph_label_id *ret)
{
	const ph_label_id *labels;
	uint64_t n;
	ph_graph_edges(g, node, &n);
	if (edge >= n || !node)
		return false;
	if (g->names->label)
		return g->names->label(g->names_ctx, g, node, edge, ret);
	if (!g->names->labels(g->names_ctx, g, node, &labels))
		return false;
	*ret = labels[edge];
	return true;
}

bool ph_graph_label(const struct ph_graph *g, uint32_t node, uint64_t edge, struct ph_label *ret)
{
	ph_label_id id;
	if (!ph_graph_label_id(g, node, edge, &id) || PH_LABEL_ID_KIND(id) == PH_LABEL_NONE) {
		*ret = (struct ph_label){ .kind = PH_LABEL_NONE, .index = -1 };
		return false;
	}
	ph_graph_label_text(g, id, ret);
	return true;
}

bool ph_graph_describe(const struct ph_graph *g, uint32_t node, char *buf, size_t max)
{
	buf[0] = '\0';
	return node && g->names->describe && g->names->describe(g->names_ctx, g, node, buf, max);
}

static void sum_interps(struct ph_graph *g)
{
	for (uint32_t i = 0; i <= g->ninterps; i++)
		g->interps[i] = (struct ph_graph_interp){ .id = g->interps[i].id };
	for (uint32_t node = 1; node < g->n; node++) {
		struct ph_graph_interp *in = &g->interps[g->interp_[node]];
		in->objects++;
		in->tracked += g->flags[node] & PH_NODE_TRACKED;
		in->bytes += ph_graph_bytes(g, node);
	}
	for (uint32_t i = 0; i < g->nthreads; i++)
		if (g->threads[i].interp < g->ninterps)
			g->interps[g->threads[i].interp].threads++;
}

void ph_graph_sum(struct ph_graph *g)
{
	const uint8_t exact = PH_NODE_SIZE_EXACT | PH_NODE_REFS_EXACT;
	g->objects = g->references = 0;
	g->tracked = g->shallow_bytes = g->uncounted_bytes = g->exact_objects = 0;
	memset(g->generations, 0, sizeof g->generations);
	for (uint32_t i = 1; i < g->n && !ph_interrupted_at(i); i++) {
		if (!ph_graph_selected(g, i))
			continue;
		g->objects++;
		g->references += ph_graph_edge_start(g, i + 1) - ph_graph_edge_start(g, i);
		g->shallow_bytes += ph_graph_shallow(g, i);
		g->uncounted_bytes += ph_graph_uncounted(g, i);
		g->exact_objects += (g->flags[i] & exact) == exact;
		if (g->flags[i] & PH_NODE_TRACKED) {
			g->tracked++;
			g->generations[ph_graph_generation(g, i)]++;
		}
	}
	if (g->interps)
		sum_interps(g);
}

struct ph_err *ph_graph_select(struct ph_graph *g, uint32_t interp)
{
	g->only = g->interps ? interp + 1 : 0;
	ph_graph_sum(g);
	return ph_graph_find_garbage(g);
}

struct node_stack PH_VEC(uint32_t);

/* Takes the garbage mark off node and puts it aside, unless that was done before. */
static inline bool reach(struct ph_graph *g, struct node_stack *todo, uint32_t node)
{
	if (!(g->flags[node] & PH_NODE_GARBAGE))
		return true;
	g->flags[node] &= (uint8_t)~PH_NODE_GARBAGE;
	ph_graph_ask_start(g, node);
	return PH_VEC_PUSH(todo, node);
}

/* Objects that are followed in turn: what each needs of the memory is on its way while
 * others are looked at. */
#define IN_TURN 16u

/* The next one that has edges; 0: there is none. */
static inline uint32_t take(const struct ph_graph *g, struct node_stack *todo)
{
	while (todo->n) {
		uint32_t node = todo->items[--todo->n];
		if (!ph_graph_has_edges(g, node))
			continue;
		__builtin_prefetch(&g->edges[ph_graph_edge_start(g, node)]);
		return node;
	}
	return 0;
}

/* False also when Ctrl-C was pressed. */
static bool mark_reachable(struct ph_graph *g, struct node_stack *todo)
{
	uint64_t steps = 0;
	uint32_t turn[IN_TURN] = { 0 }, idle = 0; /* so many turns were nobody's, one after the other */
	for (uint32_t s = 0; s < g->nseeds; s++)
		if (!reach(g, todo, g->seeds[s]))
			return false;
	for (uint32_t i = 0; idle < IN_TURN;) {
		if (ph_interrupted_at(++steps))
			return false;
		uint32_t node = turn[(i + IN_TURN / 2) % IN_TURN];
		uint64_t e = ph_graph_edge_start(g, node), end = ph_graph_edge_start(g, node + 1);
		for (end = end - e > IN_TURN ? e + IN_TURN : end; e < end; e++)
			__builtin_prefetch(&g->flags[g->edges[e] & PH_EDGE_ID], 1);
		node = turn[i];
		end = ph_graph_edge_start(g, node + 1);
		for (e = ph_graph_edge_start(g, node); e < end; e++)
			if (!reach(g, todo, g->edges[e] & PH_EDGE_ID))
				return false;
		turn[i] = take(g, todo);
		if (turn[i] && !todo->n && idle == IN_TURN - 1)
			continue; /* a list: there is nobody else */
		idle = turn[i] ? 0 : idle + 1;
		i = (i + 1) % IN_TURN;
	}
	return true;
}

/* Whether the collector may track it: static types, which visit nothing, it does not. */
static bool is_collected(const struct ph_graph *g, uint32_t node)
{
	const struct ph_graph_type *t = &g->types[g->type[node]];
	if (t->let_go || t->form != PH_FORM_TYPE)
		return t->collected && (!t->let_go || g->flags[node] & PH_NODE_TRACKED);
	for (uint64_t e = ph_graph_edge_start(g, node); e < ph_graph_edge_start(g, node + 1); e++)
		if (!(g->edges[e] & PH_EDGE_OWNED))
			return true;
	return false;
}

/* Whether the collector stops tracking it before it looks for garbage: a tuple that refers to
 * nothing but what it does not track, or (deep) no longer does, since it comes by smaller ones first. */
static bool is_let_go(const struct ph_graph *g, uint32_t node, bool deep)
{
	for (uint64_t e = ph_graph_edge_start(g, node); e < ph_graph_edge_start(g, node + 1); e++) {
		uint32_t to = g->edges[e] & PH_EDGE_ID;
		bool earlier = deep && g->types[g->type[to]].let_go && g->shallow_[to] < g->shallow_[node];
		if (is_collected(g, to) && !(earlier && is_let_go(g, to, false)))
			return false;
	}
	return true;
}

/* Is it garbage on a gc list? */
static inline bool is_candidate(const struct ph_graph *g, uint32_t node)
{
	return (g->flags[node] & (PH_NODE_GARBAGE | PH_NODE_TRACKED)) == (PH_NODE_GARBAGE | PH_NODE_TRACKED) &&
	       !(g->types[g->type[node]].let_go && is_let_go(g, node, true));
}

/* The collector sees less than we do: only references that tracked objects visit.
 * A tracked tuple that a code object holds counts as held from outside for it,
 * though both are garbage, and so does what such a tuple refers to; they go when
 * their holders are freed. Takes those off g->garbage_tracked. */
static bool subtract_unseen(struct ph_graph *g)
{
	uint32_t *visits ph_cleanup_free = calloc(g->n, sizeof *visits);
	uint8_t *seen ph_cleanup_free = calloc(g->n, 1);
	struct node_stack todo = { 0 };
	uint64_t steps = 0;
	bool ok = visits && seen;
	for (uint32_t i = 1; ok && i < g->n; i++) {
		for (uint64_t e = ph_graph_edge_start(g, i); is_candidate(g, i) && e < ph_graph_edge_start(g, i + 1); e++)
			if (!(g->edges[e] & (PH_EDGE_OWNED | PH_EDGE_BORROWED)))
				visits[g->edges[e] & PH_EDGE_ID]++;
		ok = !ph_interrupted_at(i);
	}
	for (uint32_t i = 1; ok && i < g->n; i++) {
		if (!is_candidate(g, i) || g->refcount[i] <= visits[i] || seen[i])
			continue;
		seen[i] = 1;
		ok = PH_VEC_PUSH(&todo, i);
		while (ok && todo.n) {
			uint32_t node = todo.items[--todo.n];
			ok = !ph_interrupted_at(++steps);
			g->garbage_tracked -= ph_graph_selected(g, node);
			for (uint64_t e = ph_graph_edge_start(g, node); ok && e < ph_graph_edge_start(g, node + 1); e++) {
				uint32_t to = g->edges[e] & PH_EDGE_ID;
				if (g->edges[e] & PH_EDGE_OWNED || !is_candidate(g, to) || seen[to])
					continue;
				seen[to] = 1;
				ok = PH_VEC_PUSH(&todo, to);
			}
		}
	}
	ph_vec_free(&todo);
	return ok;
}

struct ph_err *ph_graph_find_garbage(struct ph_graph *g)
{
	struct node_stack todo = { 0 };
	for (uint32_t i = 1; i < g->n && !ph_interrupted_at(i); i++)
		g->flags[i] |= PH_NODE_GARBAGE;
	bool ok = mark_reachable(g, &todo);
	ph_vec_free(&todo);
	if (!ok)
		return ph_err_stopped();
	g->garbage_objects = g->garbage_tracked = g->garbage_bytes = 0;
	for (uint32_t i = 1; i < g->n && !ph_interrupted_at(i); i++) {
		if (!(g->flags[i] & PH_NODE_GARBAGE) || !ph_graph_selected(g, i))
			continue;
		g->garbage_objects++;
		g->garbage_tracked += is_candidate(g, i);
		g->garbage_bytes += ph_graph_bytes(g, i);
	}
	if (g->garbage_tracked && !subtract_unseen(g))
		return ph_err_stopped();
	return NULL;
}
