/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dominators: what node 0 holds of the garbage, and which way they are found. */
#include "dominators_priv.h"

/* Lists the members of components that no other component refers to. */
static struct ph_err *list_sources(const struct ph_graph *g, const struct ph_components *c, uint32_t **ret,
				   uint32_t *ret_n)
{
	uint8_t *held ph_cleanup_free = calloc(c->n + 1ull, 1);
	if (!held)
		return ph_err_nomem();
	for (uint32_t i = 0; i < c->nmembers; i++) {
		uint64_t nedges;
		const uint32_t *edges = ph_graph_edges(g, c->members[i], &nedges);
		if (ph_interrupted_at(i))
			return ph_err_interrupted();
		for (uint64_t e = 0; e < nedges; e++) {
			uint32_t to = c->of[edges[e] & PH_EDGE_ID];
			if (to != PH_NO_COMPONENT && to != c->of[c->members[i]])
				held[to] = 1;
		}
	}
	uint32_t *list = malloc((c->nmembers + 1ull) * sizeof *list), n = 0;
	if (!list)
		return ph_err_nomem();
	for (uint32_t i = 0; i < c->nmembers; i++)
		if (!held[c->of[c->members[i]]])
			list[n++] = c->members[i];
	*ret = list;
	*ret_n = n;
	return NULL;
}

struct ph_err *ph_garbage_sources(const struct ph_graph *g, uint32_t *marks, uint32_t **ret, uint32_t *ret_n)
{
	struct ph_components c;
	struct ph_components_query q = { .marks = marks, .singles = true };
	struct ph_err *err = ph_components_find(g, &q, &c);
	if (err)
		return err;
	err = list_sources(g, &c, ret, ret_n);
	ph_components_deinit(&c);
	return err;
}

struct ph_dominators *ph_dominators_new(const struct ph_graph *g)
{
	uint32_t n = g->n;
	struct ph_dominators *ret = calloc(1, sizeof *ret);
	if (!ret)
		return NULL;
	ret->n = n;
	ret->idom = ph_big_alloc(n * sizeof *ret->idom);
	ret->objects = ph_big_alloc(n * sizeof *ret->objects);
	ret->preorder = ph_big_alloc(n * sizeof *ret->preorder);
	if (g->shallow_bytes + g->uncounted_bytes <= UINT32_MAX)
		ret->retained_ = ph_big_alloc(n * sizeof *ret->retained_);
	else
		ret->wide_retained_ = ph_big_alloc(n * sizeof *ret->wide_retained_);
	if (!ret->idom || !(ret->retained_ || ret->wide_retained_) || !ret->objects || !ret->preorder) {
		ph_dominators_free(ret);
		return NULL;
	}
	return ret;
}

/* ---- the tree --------------------------------------------------------------------------- */

#define AHEAD 16u /* what is asked of memory before it is needed */

/* Preorder of the dominator tree: each dominated set stands together. While nodes are put
 * there, objects is the place of the next child. */
static struct ph_err *number_tree(const struct ph_graph *g, const struct ph_components *c, const uint32_t *order,
				  uint32_t n, struct ph_dominators *ret)
{
	uint32_t *idom = ret->idom, *objects = ret->objects, *preorder = ret->preorder;
	for (uint32_t v = 0; v < ret->n; v++)
		objects[v] = 1;
	for (uint32_t v = 1; v < ret->n && n < ret->n && !ph_interrupted_at(v); v++)
		if (ph_dominators_is_leaf(g, c, v))
			objects[idom[v]]++;
	for (uint32_t i = n - 1; i > 0 && !ph_interrupted_at(i); i--) {
		if (i > AHEAD)
			__builtin_prefetch(&idom[order[i - AHEAD]]);
		objects[idom[order[i]]] += objects[order[i]];
	}
	if (ph_interrupted)
		return ph_err_interrupted();
	preorder[0] = 0;
	objects[0] = 1;
	for (uint32_t i = 1; i < n && !ph_interrupted_at(i); i++) {
		uint32_t node = order[i], place = objects[idom[node]];
		if (i + AHEAD < n) {
			__builtin_prefetch(&idom[order[i + AHEAD]]);
			__builtin_prefetch(&objects[order[i + AHEAD]], 1);
		}
		objects[idom[node]] += objects[node];
		objects[node] = place + 1;
		preorder[place] = node;
	}
	for (uint32_t v = 1; v < ret->n && n < ret->n && !ph_interrupted_at(v); v++)
		if (ph_dominators_is_leaf(g, c, v)) {
			uint32_t place = objects[idom[v]]++;
			objects[v] = place + 1;
			preorder[place] = v;
		}
	if (ph_interrupted)
		return ph_err_interrupted();
	for (uint32_t place = 0; place < ret->n && !ph_interrupted_at(place); place++)
		objects[preorder[place]] -= place;
	return ph_interrupted ? ph_err_interrupted() : NULL;
}

static inline void set_retained(struct ph_dominators *d, uint32_t node, uint64_t bytes)
{
	if (d->retained_)
		d->retained_[node] = (uint32_t)bytes;
	else
		d->wide_retained_[node] = bytes;
}

static struct ph_err *sum_retained(const struct ph_graph *g, struct ph_dominators *ret)
{
	set_retained(ret, 0, 0);
	for (uint32_t v = 1; v < ret->n && !ph_interrupted_at(v); v++)
		set_retained(ret, v, ph_graph_bytes(g, v));
	for (uint32_t place = ret->n - 1; place > 0 && !ph_interrupted_at(place); place--) {
		uint32_t node = ret->preorder[place], up = ret->idom[node];
		if (place > AHEAD) {
			__builtin_prefetch(&ret->idom[ret->preorder[place - AHEAD]]);
			ph_ask_retained(ret, ret->preorder[place - AHEAD]);
		}
		set_retained(ret, up, ph_retained(ret, up) + ph_retained(ret, node));
	}
	return ph_interrupted ? ph_err_interrupted() : NULL;
}

struct ph_err *ph_dominators_finish(const struct ph_graph *g, const struct ph_components *c, uint32_t *order,
				    uint32_t n, struct ph_dominators *ret)
{
	struct ph_err *err = number_tree(g, c, order, n, ret);
	ph_big_free(order, n * sizeof *order);
	return err ? err : sum_retained(g, ret);
}

/* ---- which way ------------------------------------------------------------------------- */

#define SMALL (1u << 16)     /* nodes: all fits into caches */
#define WINDOWS 64u          /* of all nodes, so many … */
#define WINDOW_NODES 256u    /* … times these are looked at, and at most … */
#define WINDOW_EDGES 64u     /* … so many edges of each */
#define LINE_NODES 16u       /* side by side in memory */
#define LINES 2048u          /* that a cache holds */
#define SCATTERED_PERCENT 20 /* of edges lead to what is not in the cache; 4 to 14 where objects
			      * are beside what holds them, 30 to 60 where they are anywhere */

/* Whether references lead all over the memory. To follow one after the other then is to
 * wait for memory each time. A small cache is played through for a sample. */
static bool is_scattered(const struct ph_graph *g)
{
	uint32_t lines[LINES] = { 0 };
	uint64_t missed = 0, all = 0;
	for (uint64_t w = 0; w < WINDOWS; w++) {
		uint64_t node = g->n * w / WINDOWS, end = node + WINDOW_NODES;
		for (; node < end && node < g->n; node++) {
			uint64_t e = ph_graph_edge_start(g, node), last = ph_graph_edge_start(g, node + 1);
			for (last = last - e < WINDOW_EDGES ? last : e + WINDOW_EDGES; e < last; e++, all++) {
				uint32_t line = 1 + (g->edges[e] & PH_EDGE_ID) / LINE_NODES;
				uint32_t *slot = &lines[line * 0x9e3779b1u % LINES];
				missed += *slot != line;
				*slot = line;
			}
		}
	}
	return missed > all / 100 * SCATTERED_PERCENT;
}

struct ph_err *ph_dominators_of_components(const struct ph_graph *g, const struct ph_components *c,
					   struct ph_dominators **ret)
{
	struct ph_dominators *res = ph_dominators_new(g);
	bool found = false;
	if (!res)
		return ph_err_nomem();
	struct ph_err *err = NULL;
	if (g->n > SMALL && is_scattered(g))
		err = ph_domtree_compute(g, c, g->n + g->nedges, res, &found);
	if (!err && !found)
		err = ph_seminca_compute(g, c, res);
	if (err) {
		ph_dominators_free(res);
		return err;
	}
	*ret = res;
	return NULL;
}

struct ph_err *ph_dominators_compute(const struct ph_graph *g, struct ph_dominators **ret)
{
	return ph_dominators_of_components(g, NULL, ret);
}

void ph_dominators_free(struct ph_dominators *d)
{
	if (!d)
		return;
	ph_big_free(d->idom, d->n * sizeof *d->idom);
	ph_big_free(d->retained_, d->n * sizeof *d->retained_);
	ph_big_free(d->wide_retained_, d->n * sizeof *d->wide_retained_);
	ph_big_free(d->objects, d->n * sizeof *d->objects);
	ph_big_free(d->preorder, d->n * sizeof *d->preorder);
	free(d);
}
