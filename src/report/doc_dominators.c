/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The document of `dominators`: objects one by one, or groups of them. */
#include <math.h>
#include "report_priv.h"

#define MOST_ROWS 10000 /* of a dict of a million objects the rest is summed up */

struct builder {
	const struct ph_graph *g;
	const struct ph_report_meta *meta;
	const struct ph_report_dominators *what;
	const struct ph_report_keys *keys;
	struct ph_map edges; /* of what was asked about: target → number + 1 */
	uint64_t total;      /* bytes that all shares are of */
};

static json_t *make_share(const struct builder *b, uint64_t bytes)
{
	return json_real(b->total ? round((double)bytes / (double)b->total * 1e6) / 1e6 : 0);
}

/* How the one that was asked about holds this one itself; or whence it is reached. */
static json_t *make_where(struct builder *b, uint32_t node)
{
	struct ph_path p;
	if (b->what->of) {
		uint32_t *edge = ph_map_at(&b->edges, node, 0);
		if (!edge)
			return NULL;
		json_t *via = *edge ? ph_json_via(b->g, b->what->of, *edge - 1, b->keys) : json_null();
		*edge = *edge ? *edge : UINT32_MAX; /* the map knows no zeroes */
		return json_pack("{s:n, s:o}", "root", "reading", via);
	}
	struct ph_err *err = ph_path_find(b->what->reach, node, &p);
	if (err) {
		ph_err_free(err);
		return NULL;
	}
	json_t *ret = ph_json_path(b->g, &p, NULL, b->keys);
	ph_path_deinit(&p);
	return ret;
}

static json_t *make_row(struct builder *b, const struct ph_heavy *h)
{
	const struct ph_graph *g = b->g;
	uint32_t node = h->node;
	json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o}",
				"address", ph_json_address(ph_graph_address(g, node)), "type",
				ph_json_text(g->types[g->type[node]].name), "name", ph_json_name(g, node),
				"shallow_bytes", ph_json_u64(ph_graph_shallow(g, node)),
				"uncounted_bytes", ph_json_u64(ph_graph_uncounted(g, node)),
				"retained_bytes", ph_json_u64(h->retained_bytes), "objects", ph_json_u64(h->objects),
				"share", make_share(b, h->retained_bytes),
				"generation", ph_json_generation(b->meta, g, node),
				"garbage", !!(g->flags[node] & PH_NODE_GARBAGE), "path", make_where(b, node));
	return ph_row_interp(row, g, ph_graph_interp(g, node));
}

static json_t *make_rows(struct builder *b)
{
	const struct ph_heaviest *h = b->what->heaviest;
	json_t *ret = json_array();
	for (uint32_t i = 0; ret && i < h->n && i < MOST_ROWS; i++)
		if (json_array_append_new(ret, make_row(b, &h->rows[i])) < 0) {
			json_decref(ret);
			return NULL;
		}
	return ret;
}

/* ---- groups ------------------------------------------------------------------------------ */

/* What the object hangs on: its module, the package of that, or who else has it. */
static char *group_of(const struct builder *b, uint32_t node)
{
	const struct ph_graph *g = b->g;
	static const char *const others[PH_ROOT_KINDS] = {
		[PH_ROOT_LOCAL] = "(frames)", [PH_ROOT_STACK] = "(frames)", [PH_ROOT_INTERP] = "(interpreter)",
		[PH_ROOT_STATIC] = "(static types)", [PH_ROOT_IMMORTAL] = "(immortal)", [PH_ROOT_C] = "(C)",
	};
	struct ph_path p;
	if (!strcmp(b->what->by, "type"))
		return strdup(g->types[g->type[node]].name);
	struct ph_err *err = ph_path_find(b->what->reach, node, &p);
	if (err) {
		ph_err_free(err);
		return NULL;
	}
	const char *name = !p.n ? "(garbage)" : p.kind == PH_ROOT_MODULE ? g->roots[p.root].name : others[p.kind];
	ph_path_deinit(&p);
	return strcmp(b->what->by, "package") ? strdup(name) : strndup(name, strcspn(name, "."));
}

static bool add_to_group(json_t *groups, const struct ph_heavy *h, const char *name)
{
	json_t *row = NULL;
	for (size_t i = 0; i < json_array_size(groups) && !row; i++)
		if (!strcmp(ph_json_string(json_array_get(groups, i), "group"), name))
			row = json_array_get(groups, i);
	if (!row) {
		row = json_pack("{s:o, s:i, s:i, s:i}", "group", ph_json_text(name), "count", 0, "objects", 0,
				"retained_bytes", 0);
		if (json_array_append_new(groups, row) < 0)
			return false;
	}
	int64_t count = ph_json_int(row, "count"), objects = ph_json_int(row, "objects");
	int64_t bytes = ph_json_int(row, "retained_bytes");
	return ph_document_put(row, "count", json_integer(count + 1)) &&
	       ph_document_put(row, "objects", json_integer(ph_add_i64(objects, (int64_t)h->objects))) &&
	       ph_document_put(row, "retained_bytes", json_integer(ph_add_i64(bytes, (int64_t)h->retained_bytes)));
}

static json_t *make_groups(struct builder *b)
{
	const struct ph_heaviest *h = b->what->heaviest;
	json_t *ret = json_array();
	for (uint32_t i = 0; ret && i < h->n && i < MOST_ROWS; i++) {
		char *name ph_cleanup_free = group_of(b, h->rows[i].node);
		if (!name || !add_to_group(ret, &h->rows[i], name)) {
			json_decref(ret);
			return NULL;
		}
	}
	return ret;
}

/* ---- the document ------------------------------------------------------------------------- */

static json_t *make_of(const struct builder *b)
{
	uint32_t of = b->what->of;
	if (!of)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o}", "address", ph_json_address(ph_graph_address(b->g, of)), "type",
			 ph_json_text(b->g->types[b->g->type[of]].name), "name", ph_json_name(b->g, of),
			 "retained_bytes", ph_json_u64(ph_retained(b->what->dominators, of)));
}

static json_t *make_other(const struct builder *b)
{
	const struct ph_heaviest *h = b->what->heaviest;
	uint64_t objects = h->other_objects, bytes = h->other_bytes;
	for (uint32_t i = MOST_ROWS; i < h->n; i++) {
		objects += h->rows[i].objects;
		bytes += h->rows[i].retained_bytes;
	}
	return json_pack("{s:o, s:o}", "objects", ph_json_u64(objects), "retained_bytes", ph_json_u64(bytes));
}

static bool map_edges(struct builder *b)
{
	uint64_t n;
	const uint32_t *edges = b->what->of ? ph_graph_edges(b->g, b->what->of, &n) : NULL;
	for (uint64_t e = 0; edges && e < n && e < UINT32_MAX - 1; e++) {
		uint32_t *number = ph_map_at(&b->edges, edges[e] & PH_EDGE_ID, 0);
		if (!number)
			return false;
		if (!*number)
			*number = (uint32_t)e + 1;
	}
	return true;
}

json_t *ph_report_dominators(const struct ph_report_meta *meta, const struct ph_graph *g,
			     const struct ph_report_dominators *what, const struct ph_report_keys *keys)
{
	struct builder b = { .g = g, .meta = meta, .what = what, .keys = keys };
	b.total = what->of ? ph_retained(what->dominators, what->of) : g->shallow_bytes + g->uncounted_bytes;
	json_t *doc = map_edges(&b) ? ph_document_begin("dominators", meta, g) : NULL;
	bool ok = doc && ph_document_put(doc, "of", make_of(&b)) && ph_document_put(doc, "other", make_other(&b)) &&
		  (!what->by || ph_document_put(doc, "by", json_string(what->by))) &&
		  ph_document_put(doc, what->by ? "groups" : "dominators", what->by ? make_groups(&b) : make_rows(&b));
	ph_map_free(&b.edges);
	if (ok)
		return doc;
	json_decref(doc);
	return NULL;
}
