/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strongly connected components: Tarjan's search in Pearce's form, in which one
 * array holds preorder numbers, low points and, at the end, components. */
#include "analysis_priv.h"

/* marks[v]: 0 not seen yet; the same with the second bit, which has but one edge that
 * counts: to this node; 1 … n the lowest preorder number known to be reachable; with the
 * top bit: done, and the component (all ones: in none). */
#define CLOSED 0x80000000u
#define ONE_EDGE 0x40000000u
_Static_assert(PH_GRAPH_MAX < ONE_EDGE, "numbers of nodes leave two bits free");

static inline bool is_open(uint32_t mark)
{
	return mark - 1 < ONE_EDGE - 1;
}

struct frame {
	uint64_t edge;   /* the next one to follow, or NO_EDGE */
	uint32_t node;
	uint32_t number; /* preorder number; top bit: the node refers to itself */
};
#define SELF 0x80000000u
#define NO_EDGE UINT64_MAX

/* The stacks have room for all nodes; only what is used of them becomes memory. */
struct search {
	const struct ph_graph *g;
	const struct ph_components_query *q;
	uint32_t *marks;
	struct frame *frames;
	uint32_t *open;  /* finished, but their component is not */
	uint32_t nframes, nopen, numbers, ncomponents, nmembers;
};

static inline void push(struct search *s, uint32_t node, uint64_t edge)
{
	s->marks[node] = ++s->numbers;
	s->frames[s->nframes++] = (struct frame){ edge, node, s->numbers };
}

/* Returns the node to enter next, or UINT32_MAX when its edges are to be followed. What
 * they lead to is asked for in good time; that of a single one says its mark. */
static inline uint32_t enter(struct search *s, uint32_t node)
{
	const struct ph_graph *g = s->g;
	uint32_t mark = s->marks[node], to = mark & PH_EDGE_ID;
	if (mark & ONE_EDGE) {
		ph_graph_ask_start(g, to);
		push(s, node, NO_EDGE);
		mark = s->marks[to];
		if (is_open(mark))
			s->marks[node] = mark;
		return is_open(mark) || mark >= CLOSED ? UINT32_MAX : to;
	}
	uint64_t e = ph_graph_edge_start(g, node), end = ph_graph_edge_start(g, node + 1);
	for (int i = 0; i < 6 && e + i < end; i++) {
		to = g->edges[e + i] & PH_EDGE_ID;
		__builtin_prefetch(&s->marks[to], 1);
		ph_graph_ask_start(g, to);
	}
	push(s, node, e);
	return UINT32_MAX;
}

/* The same for the nodes that are gone back to next. */
static inline void ask_for_frames(const struct search *s)
{
	const struct ph_graph *g = s->g;
	if (s->nframes <= 10)
		return;
	const struct frame *near = &s->frames[s->nframes - 5], *far = &s->frames[s->nframes - 10];
	__builtin_prefetch(&s->marks[far->node], 1);
	if (far->edge < g->nedges) {
		__builtin_prefetch(&g->edges[far->edge]);
		ph_graph_ask_start(g, far->node + 1);
	}
	if (near->edge < g->nedges)
		__builtin_prefetch(&s->marks[g->edges[near->edge] & PH_EDGE_ID]);
}

static inline uint32_t top_of_open(const struct search *s)
{
	return s->open[s->nopen - 1];
}

/* The node of a finished frame: closes its component or leaves it to a root below. */
static inline void leave(struct search *s, const struct frame *f)
{
	uint32_t number = f->number & ~SELF;
	if (s->marks[f->node] != number) {
		s->open[s->nopen++] = f->node;
		return;
	}
	bool single = !s->nopen || s->marks[top_of_open(s)] < number;
	if (single && !(f->number & SELF) && !s->q->singles) {
		s->marks[f->node] = PH_MARK_OUT;
		return;
	}
	uint32_t component = CLOSED | s->ncomponents++;
	s->marks[f->node] = component;
	s->nmembers++;
	while (s->nopen && s->marks[top_of_open(s)] >= number && s->marks[top_of_open(s)] < CLOSED) {
		s->marks[top_of_open(s)] = component;
		s->nmembers++;
		if (--s->nopen > 8)
			__builtin_prefetch(&s->marks[s->open[s->nopen - 8]], 1);
	}
}

/* Follows the edges of the top frame up to one that leads to a new node;
 * UINT32_MAX when there is none left. */
static inline uint32_t advance(struct search *s, struct frame *f)
{
	const struct ph_graph *g = s->g;
	uint32_t node = f->node, low = s->marks[node], found = UINT32_MAX;
	if (f->edge == NO_EDGE)
		return UINT32_MAX;
	uint64_t e = f->edge, end = ph_graph_edge_start(g, node + 1);
	while (e < end && found == UINT32_MAX) {
		uint32_t edge = g->edges[e++];
		if (edge & s->q->drop_edges)
			continue;
		uint32_t to = edge & PH_EDGE_ID;
		uint32_t mark = s->marks[to];
		if (to == node)
			f->number |= SELF;
		if (is_open(mark))
			low = mark < low ? mark : low;
		else if (mark < CLOSED)
			found = to;
	}
	f->edge = e;
	s->marks[node] = low;
	return found;
}

static struct ph_err *search_from(struct search *s, uint32_t start)
{
	uint32_t next = start;
	do {
		while (next != UINT32_MAX) {
			next = enter(s, next);
			if ((s->numbers & 0xffff) == 0 && ph_interrupted)
				return ph_err_interrupted();
		}
		next = advance(s, &s->frames[s->nframes - 1]);
		if (next != UINT32_MAX)
			continue;
		struct frame done = s->frames[--s->nframes];
		ask_for_frames(s);
		leave(s, &done);
		if (s->nframes) {
			uint32_t below = s->frames[s->nframes - 1].node;
			if (s->marks[done.node] < s->marks[below])
				s->marks[below] = s->marks[done.node];
		}
	} while (s->nframes);
	return NULL;
}

static inline uint32_t candidate(const struct ph_components_query *q, uint32_t i)
{
	return q->candidates ? q->candidates[i] : i;
}

static inline uint32_t count_candidates(const struct search *s)
{
	return s->q->candidates ? s->q->ncandidates : s->g->n;
}

/* Takes out what has no edge that counts, and notes where those with one lead. */
static void trim(struct search *s, uint32_t node)
{
	const struct ph_graph *g = s->g;
	uint32_t one = UINT32_MAX, n = 0;
	for (uint64_t e = ph_graph_edge_start(g, node); n < 2 && e < ph_graph_edge_start(g, node + 1); e++) {
		uint32_t to = g->edges[e] & PH_EDGE_ID;
		if (g->edges[e] & s->q->drop_edges || s->marks[to] == PH_MARK_OUT)
			continue;
		n += to != one;
		one = to;
	}
	if (n == 0)
		s->marks[node] = PH_MARK_OUT;
	else if (n == 1 && one != node)
		s->marks[node] = ONE_EDGE | one;
}

static struct ph_err *search_all(struct search *s)
{
	const struct ph_graph *g = s->g;
	uint32_t n = count_candidates(s);
	s->marks[0] = PH_MARK_OUT;
	for (uint32_t i = 0; !s->q->singles && i < n && !ph_interrupted_at(i); i++) {
		uint32_t v = candidate(s->q, i);
		if (!ph_graph_has_edges(g, v))
			s->marks[v] = PH_MARK_OUT;
	}
	for (uint32_t i = 0; !s->q->singles && i < n && !ph_interrupted_at(i); i++)
		if (s->marks[candidate(s->q, i)] == PH_MARK_IN)
			trim(s, candidate(s->q, i));
	for (uint32_t i = 0; i < n; i++) {
		uint32_t v = candidate(s->q, i);
		if (ph_interrupted_at(i))
			return ph_err_interrupted();
		struct ph_err *err = s->marks[v] < CLOSED ? search_from(s, v) : NULL;
		if (err)
			return err;
	}
	return NULL;
}

/* Numbers the components anew, by lowest member, and lists the members. */
static bool list_members(struct search *s, struct ph_components *c)
{
	_Static_assert(PH_MARK_OUT == PH_NO_COMPONENT, "what is out has none");
	uint32_t n = count_candidates(s);
	uint32_t *renumber ph_cleanup_free = malloc((s->ncomponents + 1ull) * sizeof *renumber);
	c->start = calloc(s->ncomponents + 2ull, sizeof *c->start);
	c->members = malloc((s->nmembers + 1ull) * sizeof *c->members);
	if (!renumber || !c->start || !c->members)
		return false;
	memset(renumber, 0xff, (s->ncomponents + 1ull) * sizeof *renumber);
	/* start[i + 2] counts component i; summed up, start[i + 1] is where it
	 * begins and, once it is filled, where it ends */
	for (uint32_t i = 0; i < n; i++) {
		uint32_t v = candidate(s->q, i);
		if (ph_interrupted_at(i))
			return false;
		if (c->of[v] == PH_MARK_OUT)
			continue; /* that is PH_NO_COMPONENT */
		uint32_t *id = &renumber[c->of[v] & ~CLOSED];
		if (*id == UINT32_MAX)
			*id = c->n++;
		c->of[v] = *id;
		c->start[*id + 2]++;
	}
	for (uint32_t i = 1; i < c->n; i++)
		c->start[i + 1] += c->start[i];
	for (uint32_t i = 0; i < n; i++) {
		uint32_t v = candidate(s->q, i);
		if (ph_interrupted_at(i))
			return false;
		if (c->of[v] != PH_NO_COMPONENT)
			c->members[c->start[c->of[v] + 1]++] = v;
	}
	c->nmembers = s->nmembers;
	return true;
}

struct ph_err *ph_components_find(const struct ph_graph *g, const struct ph_components_query *q,
				  struct ph_components *ret)
{
	struct search s = { .g = g, .q = q, .marks = q->marks };
	*ret = (struct ph_components){ .nnodes = g->n, .of = q->marks };
	s.frames = ph_big_alloc(g->n * sizeof *s.frames);
	s.open = ph_big_alloc(g->n * sizeof *s.open);
	struct ph_err *err = s.frames && s.open ? search_all(&s) : ph_err_nomem();
	ph_big_free(s.frames, g->n * sizeof *s.frames);
	ph_big_free(s.open, g->n * sizeof *s.open);
	if (!err && !list_members(&s, ret))
		err = ph_err_stopped();
	if (err)
		ph_components_deinit(ret);
	return err;
}

void ph_components_deinit(struct ph_components *c)
{
	ph_big_free(c->of, c->nnodes * sizeof *c->of);
	free(c->start);
	free(c->members);
	*c = (struct ph_components){ 0 };
}
