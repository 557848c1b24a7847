/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dominators: what node 0 holds of the garbage, and which way they are found. */
#include "dominators_priv.h"

/* Lists the members of components that no other component refers to. */
static struct ph_err *list_sources(const struct ph_graph *g, const struct ph_components *c, uint32_t **ret,
				   uint32_t *ret_n)
{
	uint8_t *held ph_cleanup_free = calloc(c->n + 1ull, 1);
	uint32_t *list = malloc((c->nmembers + 1ull) * sizeof *list), n = 0;
	if (!held || !list) {
		free(list);
		return ph_err_nomem();
	}
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

struct ph_dominators *ph_dominators_new(uint32_t n)
{
	struct ph_dominators *ret = calloc(1, sizeof *ret);
	if (!ret)
		return NULL;
	ret->n = n;
	ret->idom = ph_big_alloc(n * sizeof *ret->idom);
	ret->retained = ph_big_alloc(n * sizeof *ret->retained);
	ret->objects = ph_big_alloc(n * sizeof *ret->objects);
	ret->preorder = ph_big_alloc(n * sizeof *ret->preorder);
	if (!ret->idom || !ret->retained || !ret->objects || !ret->preorder) {
		ph_dominators_free(ret);
		return NULL;
	}
	return ret;
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
	struct ph_dominators *res = ph_dominators_new(g->n);
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
	ph_big_free(d->retained, d->n * sizeof *d->retained);
	ph_big_free(d->objects, d->n * sizeof *d->objects);
	ph_big_free(d->preorder, d->n * sizeof *d->preorder);
	free(d);
}
