/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dominators by improving a tree. That of a breadth-first search from node 0 has every
 * object below all that dominates it. Where an edge leads to a node from outside of the
 * tree below the node's parent, that parent does not dominate it: the node is moved up to
 * the nearest common ancestor. Once no edge does so, each parent is the immediate
 * dominator: the only edges into a subtree lead to its top.
 *
 * Every edge is looked at while searching. It has to be looked at again only if it begins
 * below a node that was moved later, which is little in the heaps of programs; graphs in
 * which it is much are left to seminca.c. The search knows early what memory it will need:
 * that is what makes it fast. */
#include "dominators_priv.h"

#define AHEAD 8u         /* what is asked of memory before it is needed */
#define DROP (1u << 18)  /* nodes whose memory is given back at a time */
#define MOVE_COST 32u    /* steps that a move is likely to cost later on */

struct found {
	uint32_t number;     /* 1, 2, … in the order of the search; 0: not found yet */
	uint32_t up;         /* the parent so far; its number is less */
	uint32_t jump;       /* a node above, perhaps of the time before something there was moved */
};
struct nodes PH_VEC(uint32_t);
#define BLOCK 64u
#define MANY UINT8_MAX
struct many {
	uint32_t i, n;
};

/* What is asked of a node for each edge to it stands close together: */
#define FOUND 1
#define TOP 2            /* node 0 is its parent: no edge changes that */
#define MOVED 4          /* it is in t->moved */
#define LENGTH 8         /* … and more: the jump is 2^(state / LENGTH) − 1 steps long, or was */
_Static_assert(31 * LENGTH + FOUND + TOP + MOVED <= UINT8_MAX, "no way up has 2^31 steps");

struct tree {
	const struct ph_graph *g;
	const struct ph_components *contract; /* NULL: none */
	uint32_t n, nfound, nfollowed;
	struct found *found; /* [n] */
	uint32_t *order;     /* [n] nodes as they were found: parents first */
	uint32_t begun;      /* what was found before the latest one was followed */
	uint8_t *few;        /* [nfollowed − 1] so many were found from order[i]; MANY: see … */
	struct PH_VEC(struct many) many; /* … here, by i, and … */
	uint32_t *first;     /* [nfollowed / BLOCK] … from order[i × BLOCK] on they begin at order[first[i]] */
	struct nodes moved;  /* after their edges had been looked at */
	uint8_t *state;      /* [n] of the above */
	uint64_t budget;     /* steps left of what may take too long; 0: it does */
};

/* ---- the tree ------------------------------------------------------------------------------ */

/* A component's lowest member stands for it: edges to the others lead there, and it alone
 * is moved; they are its children. */
static inline uint32_t standing_for(const struct tree *t, uint32_t node)
{
	return t->contract ? ph_component_lowest(t->contract, node) : node;
}

/* A child of `up`, found or moved there. Jump pointers are skew-binary: in O(log n) steps
 * one comes to any node above. */
struct child {
	uint32_t up, jump;
	uint8_t state;       /* 0: of none */
};

static inline struct child child_of(const struct tree *t, uint32_t up)
{
	uint32_t above = t->found[up].jump;
	uint8_t length = t->state[up] / LENGTH;
	bool even = length == t->state[above] / LENGTH && length < 31;
	return (struct child){ .up = up, .jump = even ? t->found[above].jump : up,
			       .state = (uint8_t)(FOUND | (up ? 0 : TOP) | (even ? length + 1 : 1) * LENGTH) };
}

/* After a node or what is above it was moved. */
static inline void refresh(struct tree *t, uint32_t node)
{
	struct child as = child_of(t, t->found[node].up);
	t->found[node].jump = as.jump;
	t->state[node] = as.state | (t->state[node] & MOVED);
}

static inline void find_one(struct tree *t, uint32_t node, struct child as)
{
	t->order[t->nfound++] = node;
	t->found[node] = (struct found){ t->nfound, as.up, as.jump };
	t->state[node] = as.state;
}

static void find_component(struct tree *t, uint32_t i, struct child as)
{
	const struct ph_components *c = t->contract;
	const uint32_t *lowest = c->members + c->start[i], *end = c->members + c->start[i + 1];
	find_one(t, *lowest, as);
	as = child_of(t, *lowest);
	for (const uint32_t *m = lowest + 1; m < end; m++)
		find_one(t, *m, as);
}

static inline void find_node(struct tree *t, uint32_t node, struct child as)
{
	if (t->contract && t->contract->of[node] != PH_NO_COMPONENT)
		find_component(t, t->contract->of[node], as);
	else
		find_one(t, node, as);
}

static inline void spend(struct tree *t, uint64_t steps)
{
	t->budget = t->budget > steps ? t->budget - steps : 0;
}

/* Hangs what was found on another node. False: memory is out. */
static bool move(struct tree *t, uint32_t node, uint32_t up)
{
	uint32_t number = t->found[node].number;
	t->found[node].up = up;
	refresh(t, node);
	if (number > t->nfollowed || t->state[node] & MOVED)
		return true;
	t->state[node] |= MOVED;
	spend(t, MOVE_COST);
	return PH_VEC_PUSH(&t->moved, node);
}

/* Whether `above` is, or was once, above or at a node. */
static inline bool was_above(const struct tree *t, uint32_t above, uint32_t node)
{
	const struct found *f = t->found;
	uint32_t number = f[above].number;
	while (f[node].number > number)
		node = f[f[node].jump].number >= number ? f[node].jump : f[node].up;
	return node == above;
}

/* One more edge to a node, from outside of the tree below its parent. */
static bool meet(struct tree *t, uint32_t node, uint32_t from)
{
	const struct found *f = t->found;
	uint32_t a = f[node].up, b = from;
	for (; a != b && t->budget; t->budget--)
		if (f[a].number > f[b].number)
			a = f[a].up;
		else
			b = f[b].up;
	return a == f[node].up || move(t, node, a);
}

/* ---- the search ------------------------------------------------------------------------- */

static inline void ask_ahead(const struct tree *t, uint32_t i)
{
	const uint32_t *order = t->order + i, left = t->nfound - i, *edges;
	uint64_t n;
	if (left <= 4 * AHEAD)
		return;
	ph_graph_ask_start(t->g, order[4 * AHEAD]);
	__builtin_prefetch(ph_graph_edges(t->g, order[3 * AHEAD], &n));
	edges = ph_graph_edges(t->g, order[2 * AHEAD], &n);
	for (uint64_t e = 0; e < n && e < AHEAD; e++)
		__builtin_prefetch(&t->state[edges[e] & PH_EDGE_ID], 1);
	edges = ph_graph_edges(t->g, order[AHEAD], &n);
	for (uint64_t e = 0; e < n && e < AHEAD; e++)
		if (!(t->state[edges[e] & PH_EDGE_ID] & TOP))
			__builtin_prefetch(&t->found[edges[e] & PH_EDGE_ID], 1);
}

/* False: memory is out. */
static inline bool follow(struct tree *t, uint32_t node)
{
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(t->g, node, &n);
	struct child child = { 0 };
	for (uint64_t e = 0; e < n; e++) {
		uint32_t to = edges[e] & PH_EDGE_ID;
		if (e + AHEAD < n)
			__builtin_prefetch(&t->state[edges[e + AHEAD] & PH_EDGE_ID], 1);
		if (t->state[to] & TOP)
			continue;
		if (!t->state[to]) {
			if (!child.state)
				child = child_of(t, node);
			find_node(t, to, child);
			continue;
		}
		uint32_t up = t->found[to].up;
		if (up == node || up == t->found[node].up) /* so is every edge within a component */
			continue;
		to = standing_for(t, to);
		up = t->found[to].up;
		if (up && !was_above(t, up, node) && !meet(t, to, node))
			return false;
	}
	return true;
}

/* order[i] is followed now: what was found since the one before was, is found from that.
 * False: memory is out. */
static inline bool begin_found(struct tree *t, uint32_t i)
{
	uint32_t n = t->nfound - t->begun;
	t->begun = t->nfound;
	if (i % BLOCK == 0)
		t->first[i / BLOCK] = t->nfound;
	if (i == 0)
		return true;
	t->few[i - 1] = n < MANY ? (uint8_t)n : MANY;
	return n < MANY || PH_VEC_PUSH(&t->many, (struct many){ i - 1, n });
}

static struct ph_err *follow_found(struct tree *t)
{
	while (t->nfollowed < t->nfound && t->budget) {
		uint32_t i = t->nfollowed++;
		ask_ahead(t, i);
		if (t->contract) /* its component's lowest member may have been moved */
			refresh(t, t->order[i]);
		if (!begin_found(t, i) || !follow(t, t->order[i]))
			return ph_err_nomem();
		if (!(i & 0xffff) && ph_interrupted)
			return ph_err_interrupted();
	}
	return NULL;
}

static struct ph_err *search_garbage(struct tree *t)
{
	uint32_t *marks = ph_big_alloc(t->n * sizeof *marks), *held, nheld;
	if (!marks)
		return ph_err_nomem();
	for (uint32_t v = 0; v < t->n && !ph_interrupted_at(v); v++)
		marks[v] = t->state[v] ? PH_MARK_OUT : PH_MARK_IN;
	struct ph_err *err = ph_garbage_sources(t->g, marks, &held, &nheld);
	if (err)
		return err;
	const struct child child = child_of(t, 0);
	for (uint32_t k = 0; k < nheld; k++)
		if (!t->state[held[k]])
			find_node(t, held[k], child);
	free(held);
	return follow_found(t);
}

static struct ph_err *search(struct tree *t)
{
	find_one(t, 0, (struct child){ .state = FOUND | TOP });
	struct ph_err *err = follow_found(t);
	if (!err && t->nfound < t->n && t->budget)
		err = search_garbage(t);
	return err;
}

/* ---- looking again ------------------------------------------------------------------------ */

static int by_i(const void *pa, const void *pb)
{
	const struct many *a = pa, *b = pb;
	return (a->i > b->i) - (a->i < b->i);
}

static uint32_t count_found(const struct tree *t, uint32_t i)
{
	if (t->few[i] < MANY)
		return t->few[i];
	struct many key = { .i = i };
	return ((struct many *)bsearch(&key, t->many.items, t->many.n, sizeof key, by_i))->n;
}

/* Where in the order that begins which was found from order[i]. */
static uint32_t first_found(const struct tree *t, uint32_t i)
{
	if (i >= t->nfollowed)
		return t->nfound;
	uint32_t first = t->first[i / BLOCK];
	for (uint32_t k = i - i % BLOCK; k < i; k++)
		first += count_found(t, k);
	return first;
}

/* Looks again at the edges of all that was found by way of a node: its subtree, and more. */
static struct ph_err *look_again(struct tree *t, uint32_t node)
{
	const struct ph_components *c = t->contract;
	uint32_t i = t->found[node].number - 1, end = i + 1, of = c ? c->of[node] : PH_NO_COMPONENT;
	if (of != PH_NO_COMPONENT) /* they stand side by side */
		end = i + c->start[of + 1] - c->start[of];
	for (; i < end; i = first_found(t, i), end = first_found(t, end))
		for (uint32_t k = i; k < end; k++) {
			uint32_t from = t->order[k];
			spend(t, 1 + ph_graph_edge_start(t->g, from + 1) - ph_graph_edge_start(t->g, from));
			if (!t->budget)
				return NULL;
			t->state[from] &= (uint8_t)~MOVED;
			refresh(t, from);
			ask_ahead(t, k);
			if (!follow(t, from))
				return ph_err_nomem();
			if (!(k & 0xffff) && ph_interrupted)
				return ph_err_interrupted();
		}
	return NULL;
}

static int by_number(const void *pa, const void *pb, void *ctx)
{
	const struct found *found = ctx;
	uint32_t a = found[*(const uint32_t *)pa].number, b = found[*(const uint32_t *)pb].number;
	return (a > b) - (a < b);
}

/* Looks below what was moved until nothing is moved any more. */
static struct ph_err *look_below_moved(struct tree *t)
{
	struct ph_err *err = NULL;
	while (!err && t->moved.n && t->budget) {
		struct nodes moved = t->moved;
		t->moved = (struct nodes){ 0 };
		qsort_r(moved.items, moved.n, sizeof *moved.items, by_number, t->found);
		for (size_t i = 0; i < moved.n && !err && t->budget; i++)
			if (t->state[moved.items[i]] & MOVED)
				err = look_again(t, moved.items[i]);
		ph_vec_free(&moved);
	}
	return err;
}

/* ---- results -------------------------------------------------------------------------------- */

static struct ph_err *find_tree(struct tree *t, struct ph_dominators *ret, bool *ret_found)
{
	struct ph_err *err = search(t);
	if (!err)
		err = look_below_moved(t);
	if (err || !t->budget)
		return err;
	if (t->nfound != t->n)
		return ph_err_new(PH_ERR_USAGE, "dominators: %u of %u objects were reached", t->nfound, t->n);
	for (uint32_t v = 0; v < t->n && !ph_interrupted_at(v); v++) {
		ret->idom[v] = t->found[v].up;
		if (v % DROP == DROP - 1)
			ph_big_drop(&t->found[v + 1 - DROP], DROP * sizeof *t->found);
	}
	*ret_found = true;
	return NULL;
}

struct ph_err *ph_domtree_compute(const struct ph_graph *g, const struct ph_components *c,
				  uint64_t budget, struct ph_dominators *ret, bool *ret_found)
{
	uint64_t n = g->n;
	struct tree t = { .g = g, .contract = c, .n = g->n, .budget = budget };
	t.found = ph_big_alloc(n * sizeof *t.found);
	t.order = ph_big_alloc(n * sizeof *t.order);
	t.state = ph_big_alloc(n);
	t.few = ph_big_alloc(n);
	t.first = ph_big_alloc((n / BLOCK + 1) * sizeof *t.first);
	*ret_found = false;
	bool enough = t.found && t.order && t.state && t.few && t.first;
	struct ph_err *err = enough ? find_tree(&t, ret, ret_found) : ph_err_nomem();
	ph_big_free(t.found, n * sizeof *t.found); /* before there is anything in the arrays */
	ph_big_free(t.state, n);
	ph_big_free(t.few, n);
	ph_big_free(t.first, (n / BLOCK + 1) * sizeof *t.first);
	ph_vec_free(&t.many);
	ph_vec_free(&t.moved);
	if (!err && *ret_found)
		return ph_dominators_finish(g, c, t.order, t.n, ret);
	ph_big_free(t.order, n * sizeof *t.order);
	return err;
}
