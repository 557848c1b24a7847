/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who refers to an object; of namespaces, whose they are. */
#include "paths_priv.h"

static bool refers_to_marked(const struct ph_graph *g, const uint8_t *marked, uint32_t node)
{
	for (uint64_t e = ph_graph_edge_start(g, node); e < ph_graph_edge_start(g, node + 1); e++)
		if (marked[g->edges[e] & PH_EDGE_ID])
			return true;
	return false;
}

/* One more pass over all references, for those that lead to dicts among the referrers. */
static void find_owners(const struct ph_graph *g, const uint8_t *marked, struct ph_referrers *r, struct ph_map *rows)
{
	for (uint32_t node = 1; node < g->n && !ph_interrupted_at(node); node++) {
		const ph_label_id *labels;
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(g, node, &n);
		if (!refers_to_marked(g, marked, node) || !ph_graph_labels(g, node, &labels))
			continue;
		for (uint64_t e = 0; e < n; e++) {
			uint32_t to = edges[e] & PH_EDGE_ID;
			if (!marked[to] || PH_LABEL_ID_KIND(labels[e]) != PH_LABEL_DICT)
				continue;
			const uint32_t *first = ph_map_at(rows, to, 0);
			for (uint64_t i = first && *first ? *first - 1 : r->n; i < r->n && r->rows[i].node == to; i++)
				if (!r->rows[i].owner) {
					r->rows[i].owner = node;
					r->rows[i].owner_edge = e;
				}
		}
	}
}

static struct ph_err *find(const struct ph_graph *g, uint32_t node, struct ph_referrers *r)
{
	struct PH_VEC(struct ph_referrer) rows = { 0 };
	struct ph_map first = { 0 };
	uint8_t *marked ph_cleanup_free = calloc(g->n, 1);
	bool ok = marked != NULL, dicts = false;
	for (uint32_t from = 1; ok && from < g->n && !ph_interrupted_at(from); from++)
		for (uint64_t e = ph_graph_edge_start(g, from); ok && e < ph_graph_edge_start(g, from + 1); e++) {
			if ((g->edges[e] & PH_EDGE_ID) != node)
				continue;
			if (g->types[g->type[from]].cls == PH_TYPE_DICT && !marked[from]) {
				uint32_t *at = ph_map_at(&first, from, 0);
				ok = at != NULL;
				if (ok)
					*at = (uint32_t)rows.n + 1;
				marked[from] = dicts = true;
			}
			ok = ok && rows.n < UINT32_MAX - 1 &&
			     PH_VEC_PUSH(&rows, (struct ph_referrer){ .node = from, .edge = e - ph_graph_edge_start(g, from) });
		}
	r->rows = rows.items;
	r->n = rows.n;
	if (ok && dicts)
		find_owners(g, marked, r, &first);
	ph_map_free(&first);
	return ok && !ph_interrupted ? NULL : ph_err_stopped();
}

struct ph_err *ph_referrers_find(const struct ph_graph *g, uint32_t node, struct ph_referrers **ret)
{
	struct ph_referrers *r = calloc(1, sizeof *r);
	struct ph_err *err = r ? find(g, node, r) : ph_err_nomem();
	if (err)
		ph_referrers_free(r);
	else
		*ret = r;
	return err;
}

void ph_referrers_free(struct ph_referrers *r)
{
	if (!r)
		return;
	free(r->rows);
	free(r);
}
