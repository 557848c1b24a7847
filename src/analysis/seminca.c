/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dominators by semi-NCA: one depth-first search that also takes the
 * semidominators of tree and forward edges, then path compression over the
 * edges that go back or across only, then nearest common ancestors. What refers to
 * nothing (numbers, strings: often more than half of all) is on no way to anything else
 * and takes no part in this: it belongs below the nearest common dominator of all that
 * refer to it.
 *
 * Nodes are called by their preorder number from here on ("number"; node 0 has
 * number 0), except where "node" is said. All memory is arrays of numbers that
 * are used for one thing after the other; see the struct. */
#include "dominators_priv.h"

/* pre[node]: 0 = not seen; a number; or one of these */
#define SEED 0x40000000u     /* not seen, and an edge of node 0 leads to it */
#define REDIRECT 0x80000000u /* member of a component: go to node (pre & PH_EDGE_ID) instead */
#define LEAF 0xc0000000u     /* or more: a leaf that number (pre & PH_EDGE_ID) refers to, or … */
#define LEAF_NEW UINT32_MAX  /* … nobody has been seen to */

struct edge_back {
	uint32_t from, next; /* next: index + 1 of the next edge to the same node */
};
struct edge_leaf {
	uint32_t from, leaf; /* a number; a node, and then which of the leaves that is */
};
struct semi {
	uint32_t semi; /* the semidominator */
	uint32_t back; /* index + 1 of the first edge_back to it */
};

#define LOOK 0x10000u      /* nodes from one look at ph_interrupted to the next, */
#define RUN_EDGES 0x40000u /* and edges of one node */
/* What the passes take, as parts of the whole: the search two, semidominators and dominators
 * one each. */
#define PARTS 4u

/* Edges wait here while what they need is on its way from memory. */
#define SEEN_RING 16u

struct dom {
	const struct ph_graph *g;
	const struct ph_components *contract; /* NULL: none */
	uint32_t nodes, n, visited; /* n: of the nodes those that are no leaves; they have numbers */
	uint32_t *pre;             /* [nodes] by node; d->idom in the end, and meanwhile … */
	uint32_t *up;              /* [n] … an ancestor, then (NCA) the jump pointer */
	uint32_t *vertex;          /* [n] node of a number */
	uint32_t *parent;          /* [n] tree parent, then immediate dominator; d->objects in the end */
	uint32_t *leaf_up;         /* [nodes − n] leaves in the order of nodes: the same of them */
	struct semi *semi;         /* [n] */
	uint32_t *min;             /* [n] least semi up to there, then (NCA) the depth; during the
				    * search its next edge: index + 1, 0 = no more */
	struct PH_VEC(struct edge_back) back;
	struct PH_VEC(struct edge_leaf) shared; /* edges to leaves that another number refers to, too */
	struct seen {
		uint32_t from, to;
	} seen[SEEN_RING];         /* edges to nodes seen before, the latest ones */
	uint32_t nseen;
	bool has_jumps;
	bool many;                 /* an edge was too far on to be stored */
	uint32_t look;             /* at ph_interrupted, when so many are visited */
	uint64_t budget;           /* steps up that are left before jump pointers are made */
	uint32_t *extra;           /* what node 0 holds besides its seeds */
	uint32_t nextra;
};

/* ---- depth-first search ------------------------------------------------------- */

/* Edges of one node that are still to be followed. A node has its own edges and
 * maybe some added by us: node 0 what it holds besides its seeds, a component's
 * lowest member the other members (reached there and nowhere else). */
struct run {
	const uint32_t *at, *end;
	bool added;
};

static inline struct run own_run(const struct dom *d, uint32_t node)
{
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(d->g, node, &n);
	return (struct run){ edges, edges + n, false };
}

static struct run added_run(const struct dom *d, uint32_t node)
{
	const struct ph_components *c = d->contract;
	if (node == 0)
		return (struct run){ d->extra, d->extra + d->nextra, true };
	uint32_t i = c ? c->of[node] : PH_NO_COMPONENT;
	if (i == PH_NO_COMPONENT || c->members[c->start[i]] != node)
		return (struct run){ .added = true };
	return (struct run){ c->members + c->start[i] + 1, c->members + c->start[i + 1], true };
}

static inline bool has_added(const struct dom *d, uint32_t node)
{
	return node == 0 || d->contract;
}

/* Stores where number cur goes on after `run`; never the end of a run. Added edges count on
 * from its own. */
static inline void save_run(struct dom *d, uint32_t cur, struct run run)
{
	uint32_t node = d->vertex[cur];
	if (run.at == run.end && !run.added && has_added(d, node))
		run = added_run(d, node);
	uint64_t left = (uint64_t)(run.end - run.at), next = 0;
	if (left) {
		struct run own = own_run(d, node), all = run.added ? added_run(d, node) : own;
		next = (uint64_t)(run.added ? own.end - own.at : 0) + (uint64_t)(all.end - all.at) - left + 1;
	}
	d->many |= next > UINT32_MAX;
	d->min[cur] = (uint32_t)next;
}

static inline struct run saved_run(const struct dom *d, uint32_t cur)
{
	uint32_t node = d->vertex[cur];
	struct run run = own_run(d, node);
	uint64_t n = (uint64_t)(run.end - run.at), at = d->min[cur] - 1;
	if (at >= n) {
		run = added_run(d, node);
		at -= n;
	}
	run.at += at;
	return run;
}

static inline bool meet_leaf(struct dom *d, uint32_t node, uint32_t from)
{
	uint32_t pre = d->pre[node], up = pre & PH_EDGE_ID;
	if (pre == LEAF_NEW)
		d->pre[node] = LEAF | from;
	else if (up != from && up != 0)
		return PH_VEC_PUSH(&d->shared, (struct edge_leaf){ from, node });
	return true;
}

static inline uint32_t visit(struct dom *d, uint32_t node, uint32_t from, uint32_t semi)
{
	uint32_t number = d->visited++;
	d->vertex[number] = node;
	d->parent[number] = from;
	d->semi[number].semi = semi;
	return number;
}

/* Takes up an edge from number `from` to a node seen before as number `to`. It
 * may come late: a smaller semi then only saves work. */
static inline bool take_seen(struct dom *d, uint32_t from, uint32_t to)
{
	struct semi *s = &d->semi[to];
	if (from < to) { /* to is below from in the tree: a forward edge */
		if (from < s->semi)
			s->semi = from;
		return true;
	}
	if (s->semi == 0 || from == to) /* nothing is left to learn */
		return true;
	if (d->back.n >= UINT32_MAX || !PH_VEC_PUSH(&d->back, (struct edge_back){ from, s->back }))
		return false;
	s->back = (uint32_t)d->back.n;
	return true;
}

static inline bool seen_again(struct dom *d, uint32_t from, uint32_t to)
{
	struct seen *slot = &d->seen[d->nseen++ % SEEN_RING], old = *slot;
	__builtin_prefetch(&d->semi[to], 1);
	*slot = (struct seen){ from, to };
	return take_seen(d, old.from, old.to); /* at first: 0 to 0, nothing */
}

static bool flush_seen(struct dom *d)
{
	for (uint32_t i = 0; i < SEEN_RING; i++)
		if (!seen_again(d, 0, 0))
			return false;
	return true;
}

/* Follows number cur's edges, not all at once where they are many. Returns the number of a
 * new node, 0 at the end, UINT32_MAX when memory is out. */
static inline uint32_t walk_run(struct dom *d, uint32_t cur, struct run *run)
{
	const uint32_t *end = run->end - run->at > RUN_EDGES ? run->at + RUN_EDGES : run->end;
	bool members = run->added && cur != 0;
	while (run->at < end) {
		uint32_t node = *run->at++ & PH_EDGE_ID;
		uint32_t pre = d->pre[node];
		if (pre >= LEAF) {
			if (!meet_leaf(d, node, cur))
				return UINT32_MAX;
			continue;
		}
		if (pre & REDIRECT && !members) {
			node = pre & PH_EDGE_ID;
			pre = d->pre[node];
		}
		if (pre != 0 && pre != SEED && !members) {
			if (!seen_again(d, cur, pre))
				return UINT32_MAX;
			continue;
		}
		uint32_t number = visit(d, node, cur, pre == SEED ? 0 : cur);
		if (!members)
			d->pre[node] = number;
		return number;
	}
	return 0;
}

/* The edges of a node just entered; what they lead to is asked for in good time. */
static inline struct run enter_run(const struct dom *d, uint32_t node)
{
	struct run run = own_run(d, node);
	for (int i = 0; i < 6 && run.at + i < run.end; i++) {
		uint32_t to = run.at[i] & PH_EDGE_ID;
		__builtin_prefetch(&d->pre[to]);
		ph_graph_ask_start(d->g, to);
	}
	return run;
}

static struct ph_err *look(struct dom *d)
{
	ph_progress_add(2 * LOOK);
	d->look = d->visited + LOOK;
	return ph_interrupted ? ph_err_interrupted() : NULL;
}

/* Visits all that `run` of node 0 leads to. */
static struct ph_err *search(struct dom *d, struct run run)
{
	struct ph_err *err = NULL;
	uint32_t cur = 0;
	d->min[0] = 0;
	for (;;) {
		uint32_t next = walk_run(d, cur, &run);
		if (next == UINT32_MAX)
			return ph_err_nomem();
		if (d->visited >= d->look && (err = look(d)))
			return err;
		if (!next && run.at < run.end) {
			if (ph_interrupted)
				return ph_err_interrupted();
			continue;
		}
		if (next) {
			save_run(d, cur, run);
			cur = next;
			run = enter_run(d, d->vertex[cur]);
			continue;
		}
		save_run(d, cur, run);
		while (!d->min[cur] && cur)
			cur = d->parent[cur];
		if (d->many)
			return ph_err_new(PH_ERR_REFUSED, "an object has more than %u references", UINT32_MAX - 1);
		if (!d->min[cur])
			return flush_seen(d) ? NULL : ph_err_nomem();
		run = saved_run(d, cur);
	}
}

/* ---- garbage -------------------------------------------------------------------- */

static bool was_seen(const struct dom *d, uint32_t node)
{
	uint32_t pre = d->pre[node];
	if (pre & REDIRECT)
		pre = d->pre[pre & PH_EDGE_ID];
	return pre != 0;
}

/* Lets node 0 hold what holds the rest of what it does not reach. */
static struct ph_err *search_garbage(struct dom *d)
{
	uint32_t *marks = ph_big_alloc(d->nodes * sizeof *marks);
	if (!marks)
		return ph_err_nomem();
	for (uint32_t v = 1; v < d->nodes; v++)
		if (d->pre[v] >= LEAF || was_seen(d, v))
			marks[v] = PH_MARK_OUT;
	struct ph_err *err = ph_garbage_sources(d->g, marks, &d->extra, &d->nextra);
	if (err)
		return err;
	for (uint32_t i = 0; i < d->nextra; i++) {
		uint32_t pre = d->pre[d->extra[i]];
		d->pre[pre & REDIRECT ? pre & PH_EDGE_ID : d->extra[i]] = SEED;
	}
	return search(d, added_run(d, 0));
}

static struct ph_err *search_all(struct dom *d)
{
	const struct ph_components *c = d->contract;
	for (uint32_t v = 0; v < d->nodes; v++)
		d->pre[v] = ph_dominators_is_leaf(d->g, c, v) ? LEAF_NEW : 0;
	for (uint32_t i = 0; i < d->g->nseeds; i++)
		d->pre[d->g->seeds[i]] = d->pre[d->g->seeds[i]] ? LEAF | 0 : SEED;
	for (uint32_t i = 0; c && i < c->n; i++) {
		uint32_t lowest = c->members[c->start[i]];
		for (uint32_t m = c->start[i] + 1; m < c->start[i + 1]; m++) {
			d->pre[lowest] |= d->pre[c->members[m]];
			d->pre[c->members[m]] = REDIRECT | lowest;
		}
	}
	visit(d, 0, 0, 0);
	struct ph_err *err = search(d, own_run(d, 0));
	if (!err && d->visited < d->n)
		err = search_garbage(d);
	if (!err && d->visited != d->n)
		err = ph_err_new(PH_ERR_USAGE, "dominators: %u of %u objects were reached",
				 d->visited, d->n);
	return err;
}

/* From pre, whose memory is needed, to leaf_up. A leaf that nobody refers to is garbage
 * which node 0 holds. */
static void move_leaves(struct dom *d)
{
	uint32_t leaf = 0;
	for (uint32_t v = 1; v < d->nodes && leaf < d->nodes - d->n && !ph_interrupted_at(v); v++)
		if (d->pre[v] >= LEAF) {
			d->leaf_up[leaf] = d->pre[v] == LEAF_NEW ? 0 : d->pre[v] & PH_EDGE_ID;
			d->pre[v] = leaf++;
		}
	for (size_t i = 0; i < d->shared.n && !ph_interrupted_at(i); i++)
		d->shared.items[i].leaf = d->pre[d->shared.items[i].leaf];
}

/* ---- semidominators ------------------------------------------------------------- */

/* Least semi of the numbers above `to` on the tree path down to `from`, which all
 * are done. Shortens the path; on the way up it is turned around in place. */
static uint32_t least_semi(const struct dom *d, uint32_t from, uint32_t to)
{
	uint32_t *const up = d->up, *const min = d->min;
	if (up[from] <= to)
		return min[from];
	uint32_t x = from, below = UINT32_MAX;
	while (up[x] > to) {
		uint32_t above = up[x];
		up[x] = below;
		below = x;
		x = above;
	}
	uint32_t top = up[x], least = min[x];
	while (below != UINT32_MAX) {
		x = below;
		below = up[x];
		up[x] = top;
		if (min[x] < least)
			least = min[x];
		min[x] = least;
	}
	return least;
}

/* A pass has come to number w; true: no further, Ctrl-C was pressed. */
static inline bool passes(uint32_t w)
{
	if (w % LOOK)
		return false;
	ph_progress_add(LOOK);
	return ph_interrupted;
}

static struct ph_err *find_semidominators(struct dom *d)
{
	for (uint32_t w = d->n - 1; w > 0; w--) {
		uint32_t semi = d->semi[w].semi;
		for (uint32_t i = d->semi[w].back; i && semi; i = d->back.items[i - 1].next) {
			uint32_t other = least_semi(d, d->back.items[i - 1].from, w);
			if (other < semi)
				semi = other;
		}
		d->semi[w].semi = semi;
		d->up[w] = d->parent[w];
		d->min[w] = semi;
		if (passes(w))
			return ph_err_interrupted();
	}
	return NULL;
}

/* ---- nearest common ancestors ------------------------------------------------------ */

/* Jump pointers (skew-binary): from any number, the nearest dominator at or below
 * a given number is found in O(log n) steps. */
static void add_jump(struct dom *d, uint32_t w)
{
	uint32_t *const jump = d->up, *const depth = d->min;
	uint32_t p = d->parent[w], j = jump[p];
	bool even = depth[p] - depth[j] == depth[j] - depth[jump[j]];
	jump[w] = even ? jump[j] : p;
	depth[w] = depth[p] + 1;
}

/* Those of numbers below n, which know their dominators. */
static void add_jumps(struct dom *d, uint32_t n)
{
	d->has_jumps = true;
	d->budget = 0;
	d->up[0] = d->min[0] = 0;
	for (uint32_t v = 1; v < n && !ph_interrupted_at(v); v++)
		add_jump(d, v);
}

static uint32_t climb_fast(const struct dom *d, uint32_t x, uint32_t semi)
{
	while (x > semi)
		x = d->up[x] > semi ? d->up[x] : d->parent[x];
	return x;
}

/* Immediate dominator of w = the nearest dominator of its parent that is not
 * below its semidominator. Mostly that is near; where walking costs too much
 * (adversarial graphs make it quadratic) jump pointers take over. */
static struct ph_err *find_dominators(struct dom *d)
{
	uint32_t w = 1;
	d->budget = 8ull * d->n + 1024;
	for (; w < d->n && d->budget; w++) {
		if (passes(w))
			return ph_err_interrupted();
		uint32_t x = d->parent[w], semi = d->semi[w].semi;
		for (; x > semi && d->budget; d->budget--)
			x = d->parent[x];
		if (x > semi)
			break;
		d->parent[w] = x;
	}
	if (w < d->n)
		add_jumps(d, w);
	for (; w < d->n; w++) {
		if (passes(w))
			return ph_err_interrupted();
		d->parent[w] = climb_fast(d, d->parent[w], d->semi[w].semi);
		add_jump(d, w);
	}
	return NULL;
}

/* What is above a, but not above b < a, is not below b. */
static uint32_t nearest_common(struct dom *d, uint32_t a, uint32_t b)
{
	for (; a != b && d->budget; d->budget--)
		if (a > b)
			a = d->parent[a];
		else
			b = d->parent[b];
	if (a != b && !d->has_jumps)
		add_jumps(d, d->n);
	while (a != b) {
		uint32_t low = a < b ? a : b, high = a < b ? b : a;
		a = low;
		b = d->up[high] >= low ? d->up[high] : d->parent[high];
	}
	return a;
}

/* The immediate dominators of leaves. */
static void join_leaves(struct dom *d)
{
	d->budget += d->has_jumps ? 0 : 8ull * d->shared.n;
	for (size_t i = 0; i < d->shared.n && !ph_interrupted_at(i); i++) {
		uint32_t *up = &d->leaf_up[d->shared.items[i].leaf];
		*up = nearest_common(d, *up, d->shared.items[i].from);
	}
}

/* ---- results --------------------------------------------------------------------------- */

/* By node: in the memory of what is by number, when that is done with. */
static struct ph_err *fill_idom(const struct dom *d, uint32_t *idom)
{
	for (uint32_t w = 0; w < d->n && !ph_interrupted_at(w); w++)
		idom[d->vertex[w]] = d->vertex[d->parent[w]];
	for (uint32_t v = 1, leaf = 0; v < d->nodes && leaf < d->nodes - d->n && !ph_interrupted_at(v); v++)
		if (ph_dominators_is_leaf(d->g, d->contract, v))
			idom[v] = d->vertex[d->leaf_up[leaf++]];
	return ph_interrupted ? ph_err_interrupted() : NULL;
}

/* What the results are not made of. */
static void free_search(struct dom *d)
{
	ph_big_free(d->semi, d->n * sizeof *d->semi);
	ph_big_free(d->min, d->n * sizeof *d->min);
	ph_vec_free(&d->back);
	ph_vec_free(&d->shared);
	d->semi = NULL;
	d->min = NULL;
}

static struct ph_err *compute(struct dom *d, struct ph_dominators *ret)
{
	ph_progress_begin(PH_PROGRESS_NONE, PARTS * (uint64_t)d->n);
	struct ph_err *err = search_all(d);
	if (!err) {
		move_leaves(d);
		err = find_semidominators(d);
	}
	ph_vec_free(&d->back);
	if (!err)
		err = find_dominators(d);
	if (!err)
		join_leaves(d);
	free_search(d);
	if (!err)
		err = ph_interrupted ? ph_err_interrupted() : fill_idom(d, ret->idom);
	ph_progress_end();
	return err;
}

struct ph_err *ph_seminca_compute(const struct ph_graph *g, const struct ph_components *c,
				  struct ph_dominators *ret)
{
	struct dom d = { .g = g, .contract = c, .nodes = g->n, .pre = ret->idom, .up = ret->idom,
			 .parent = ret->objects };
	for (uint32_t v = 0; v < d.nodes; v++)
		d.n += !ph_dominators_is_leaf(g, c, v);
	size_t leaves = (d.nodes - d.n) * sizeof *d.leaf_up;
	d.leaf_up = ph_big_alloc(leaves);
	d.vertex = ph_big_alloc(d.n * sizeof *d.vertex);
	d.semi = ph_big_alloc(d.n * sizeof *d.semi);
	d.min = ph_big_alloc(d.n * sizeof *d.min);
	struct ph_err *err = d.leaf_up && d.vertex && d.semi && d.min ? compute(&d, ret) : ph_err_nomem();
	ph_big_free(d.leaf_up, leaves);
	free_search(&d);
	free(d.extra);
	if (!err)
		return ph_dominators_finish(g, c, d.vertex, d.n, ret);
	ph_big_free(d.vertex, d.n * sizeof *d.vertex);
	return err;
}
