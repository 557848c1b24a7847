/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strongly connected components: Tarjan's search in Pearce's form, in which one
 * array holds preorder numbers, low points and, at the end, components. */
#include "analysis_priv.h"

/* marks[v]: 0 not seen yet; 1 … n the lowest preorder number known to be
 * reachable; with the top bit: done, and the component (all ones: in none). */
#define CLOSED 0x80000000u

struct frame {
	uint64_t edge;
	uint32_t node;
	uint32_t number; /* preorder number; top bit: the node refers to itself */
};
#define SELF 0x80000000u

struct search {
	const struct ph_graph *g;
	const struct ph_components_query *q;
	uint32_t *marks;
	struct PH_VEC(struct frame) frames;
	struct PH_VEC(uint32_t) open; /* finished, but their component is not */
	uint32_t numbers, ncomponents, nmembers;
};

static bool enter(struct search *s, uint32_t node)
{
	s->marks[node] = ++s->numbers;
	return PH_VEC_PUSH(&s->frames, (struct frame){ s->g->edge_start[node], node, s->numbers });
}

/* The node of a finished frame: closes its component or leaves it to a root below. */
static bool leave(struct search *s, const struct frame *f)
{
	uint32_t number = f->number & ~SELF;
	if (s->marks[f->node] != number)
		return PH_VEC_PUSH(&s->open, f->node);
	bool single = !s->open.n || s->marks[s->open.items[s->open.n - 1]] < number;
	if (single && !(f->number & SELF) && !s->q->singles) {
		s->marks[f->node] = PH_MARK_OUT;
		return true;
	}
	uint32_t component = CLOSED | s->ncomponents++;
	s->marks[f->node] = component;
	s->nmembers++;
	while (s->open.n && s->marks[s->open.items[s->open.n - 1]] >= number &&
	       s->marks[s->open.items[s->open.n - 1]] < CLOSED) {
		s->marks[s->open.items[--s->open.n]] = component;
		s->nmembers++;
	}
	return true;
}

/* Follows the edges of the top frame up to one that leads to a new node;
 * UINT32_MAX when there is none left. */
static inline uint32_t advance(struct search *s, struct frame *f)
{
	const struct ph_graph *g = s->g;
	uint32_t node = f->node, low = s->marks[node], found = UINT32_MAX;
	uint64_t e = f->edge, end = g->edge_start[node + 1];
	while (e < end && found == UINT32_MAX) {
		uint32_t edge = g->edges[e++];
		if (edge & s->q->drop_edges)
			continue;
		uint32_t to = edge & PH_EDGE_ID;
		uint32_t mark = s->marks[to];
		if (to == node)
			f->number |= SELF;
		if (mark == 0)
			found = to;
		else if (mark < low)
			low = mark;
	}
	f->edge = e;
	s->marks[node] = low;
	return found;
}

static struct ph_err *search_from(struct search *s, uint32_t start)
{
	if (!enter(s, start))
		return ph_err_nomem();
	while (s->frames.n) {
		uint32_t next = advance(s, &s->frames.items[s->frames.n - 1]);
		if (next != UINT32_MAX) {
			if (!enter(s, next))
				return ph_err_nomem();
			if ((s->numbers & 0xffff) == 0 && ph_interrupted)
				return ph_err_interrupted();
			continue;
		}
		struct frame done = s->frames.items[--s->frames.n];
		if (!leave(s, &done))
			return ph_err_nomem();
		if (s->frames.n) {
			uint32_t below = s->frames.items[s->frames.n - 1].node;
			if (s->marks[done.node] < s->marks[below])
				s->marks[below] = s->marks[done.node];
		}
	}
	return NULL;
}

static struct ph_err *search_all(struct search *s)
{
	const struct ph_graph *g = s->g;
	s->marks[0] = PH_MARK_OUT;
	if (!s->q->singles)
		for (uint32_t v = 1; v < g->n; v++)
			if (g->edge_start[v] == g->edge_start[v + 1])
				s->marks[v] = PH_MARK_OUT;
	for (uint32_t v = 1; v < g->n; v++) {
		struct ph_err *err = s->marks[v] == 0 ? search_from(s, v) : NULL;
		if (err)
			return err;
	}
	return NULL;
}

/* Numbers the components anew, by lowest member, and lists the members. */
static bool list_members(struct search *s, struct ph_components *c)
{
	uint32_t *renumber ph_cleanup_free = malloc((s->ncomponents + 1ull) * sizeof *renumber);
	c->start = calloc(s->ncomponents + 2ull, sizeof *c->start);
	c->members = malloc((s->nmembers + 1ull) * sizeof *c->members);
	if (!renumber || !c->start || !c->members)
		return false;
	memset(renumber, 0xff, (s->ncomponents + 1ull) * sizeof *renumber);
	/* start[i + 2] counts component i; summed up, start[i + 1] is where it
	 * begins and, once it is filled, where it ends */
	for (uint32_t v = 0; v < c->nnodes; v++) {
		if (c->of[v] == PH_MARK_OUT || c->of[v] == PH_MARK_IN) {
			c->of[v] = PH_NO_COMPONENT;
			continue;
		}
		uint32_t *id = &renumber[c->of[v] & ~CLOSED];
		if (*id == UINT32_MAX)
			*id = c->n++;
		c->of[v] = *id;
		c->start[*id + 2]++;
	}
	for (uint32_t i = 1; i < c->n; i++)
		c->start[i + 1] += c->start[i];
	for (uint32_t v = 0; v < c->nnodes; v++)
		if (c->of[v] != PH_NO_COMPONENT)
			c->members[c->start[c->of[v] + 1]++] = v;
	c->nmembers = s->nmembers;
	return true;
}

struct ph_err *ph_components_find(const struct ph_graph *g, const struct ph_components_query *q,
				  struct ph_components *ret)
{
	struct search s = { .g = g, .q = q, .marks = q->marks };
	*ret = (struct ph_components){ .nnodes = g->n, .of = q->marks };
	struct ph_err *err = search_all(&s);
	ph_vec_free(&s.frames);
	ph_vec_free(&s.open);
	if (!err && !list_members(&s, ret))
		err = ph_err_nomem();
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
