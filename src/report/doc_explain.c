/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The document of `explain`: all about one object. */
#include "report_priv.h"

struct builder {
	const struct ph_graph *g;
	const struct ph_report_meta *meta;
	const struct ph_report_explain *what;
	const struct ph_report_keys *keys;
};

/* An object in few words. */
static json_t *make_short(const struct builder *b, uint32_t node)
{
	const struct ph_graph *g = b->g;
	if (!node)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o}", "address", ph_json_address(ph_graph_address(g, node)), "type",
			 ph_json_text(g->types[g->type[node]].name), "name", ph_json_name(g, node), "retained_bytes",
			 ph_json_u64(ph_retained(b->what->dominators, node)));
}

/* ---- the object ------------------------------------------------------------------------- */

static uint64_t count_dominated(const struct ph_dominators *d, uint32_t node)
{
	/* in preorder all that an object dominates follows it */
	uint64_t n = 0;
	uint32_t i = 1;
	uint8_t *within ph_cleanup_free = calloc(d->n, 1);
	for (; within && i < d->n; i++) {
		uint32_t v = d->preorder[i];
		within[v] = v == node || within[d->idom[v]];
		n += within[v];
	}
	return n;
}

static json_t *make_weak(const struct builder *b)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < b->g->nweak; i++)
		n += b->g->weak[i].to == b->what->node;
	return ph_json_u64(n);
}

/* Of a weak reference, what it refers to. */
static json_t *make_referent(const struct builder *b)
{
	for (uint32_t i = 0; i < b->g->nweak; i++)
		if (b->g->weak[i].from == b->what->node)
			return make_short(b, b->g->weak[i].to);
	return json_null();
}

static uint64_t count_found(const struct ph_graph *g, const struct ph_referrers *r)
{
	uint64_t n = 0;
	for (uint64_t i = 0; i < r->n; i++)
		n += !(g->edges[ph_graph_edge_start(g, r->rows[i].node) + r->rows[i].edge] & PH_EDGE_BORROWED);
	return n;
}

static json_t *make_object(const struct builder *b)
{
	const struct ph_report_explain *what = b->what;
	const struct ph_graph *g = b->g;
	uint32_t node = what->node;
	uint64_t nrefs;
	ph_graph_edges(g, node, &nrefs);
	json_t *row = ph_report_object(b->meta, g, node, false);
	if (row && ph_document_put(row, "name", ph_json_name(g, node)) &&
	    ph_document_put(row, "garbage", json_boolean(g->flags[node] & PH_NODE_GARBAGE)) &&
	    ph_document_put(row, "retained_bytes", ph_json_u64(ph_retained(what->dominators, node))) &&
	    ph_document_put(row, "dominated", ph_json_u64(count_dominated(what->dominators, node))) &&
	    ph_document_put(row, "dominator", make_short(b, what->dominators->idom[node])) &&
	    ph_document_put(row, "referents", ph_json_u64(nrefs)) &&
	    ph_document_put(row, "referrers", ph_json_u64(what->referrers->n)) &&
	    ph_document_put(row, "references_found", ph_json_u64(count_found(g, what->referrers))) &&
	    ph_report_object_roots(row, what->excess, node) &&
	    ph_document_put(row, "weak_references", make_weak(b)) &&
	    ph_document_put(row, "weak_referent", make_referent(b)))
		return row;
	json_decref(row);
	return NULL;
}

/* ---- references ---------------------------------------------------------------------------- */

static json_t *make_reference(const struct builder *b, const char *relation, uint32_t node, json_t *via)
{
	json_t *row = make_short(b, node);
	json_t *ret = json_pack("{s:s, s:o}", "relation", relation, "via", via);
	if (ret && row && json_object_update(ret, row) == 0) {
		json_decref(row);
		return ret;
	}
	json_decref(row);
	json_decref(ret);
	return NULL;
}

static bool add_referents(const struct builder *b, json_t *rows)
{
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(b->g, b->what->node, &n);
	for (uint64_t e = 0; e < n && (!b->what->limit || e < b->what->limit); e++)
		if (json_array_append_new(rows, make_reference(b, "refers to", edges[e] & PH_EDGE_ID,
							       ph_json_via(b->g, b->what->node, e, b->keys))) < 0)
			return false;
	return true;
}

/* What a namespace holds, its owner does. */
static json_t *referrer_via(const struct builder *b, const struct ph_referrer *r)
{
	uint32_t nodes[3] = { r->owner, r->node, b->what->node };
	uint64_t edges[2] = { r->owner_edge, r->edge };
	const struct ph_path p = { .nodes = nodes, .edges = edges, .n = 3 };
	if (!r->owner)
		return ph_json_via(b->g, r->node, r->edge, b->keys);
	json_t *steps = ph_json_steps(b->g, &p, b->keys, false), *via = ph_json_reading(steps);
	json_decref(steps);
	return via;
}

static bool add_referrers(const struct builder *b, json_t *rows)
{
	const struct ph_referrers *all = b->what->referrers;
	for (uint64_t i = 0; i < all->n && (!b->what->limit || i < b->what->limit); i++) {
		const struct ph_referrer *r = &all->rows[i];
		if (json_array_append_new(rows, make_reference(b, "referred to by", r->owner ? r->owner : r->node,
							       referrer_via(b, r))) < 0)
			return false;
	}
	return true;
}

/* ---- the document ---------------------------------------------------------------------------- */

static json_t *make_path(const struct builder *b)
{
	const struct ph_path *p = b->what->path;
	if (!p->n)
		return json_null();
	json_t *steps = ph_json_steps(b->g, p, b->keys, false), *reading = ph_json_reading(steps);
	return json_pack("{s:o, s:o, s:o, s:o}", "root", ph_json_root(b->g, p, b->what->excess), "length",
			 ph_json_u64(p->n - 1), "reading", reading, "steps", steps);
}

json_t *ph_report_explain(const struct ph_report_meta *meta, const struct ph_graph *g,
			  const struct ph_report_explain *what, const struct ph_report_keys *keys)
{
	struct builder b = { g, meta, what, keys };
	json_t *doc = ph_document_begin("explain", meta, g), *rows = json_array();
	if (doc && rows && add_referents(&b, rows) && add_referrers(&b, rows) &&
	    ph_document_put(doc, "object", make_object(&b)) && ph_document_put(doc, "path", make_path(&b)) &&
	    ph_document_put(doc, "references", json_incref(rows))) {
		json_decref(rows);
		return doc;
	}
	json_decref(rows);
	json_decref(doc);
	return NULL;
}
