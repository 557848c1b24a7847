/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The document of `why`. */
#include "report_priv.h"

static json_t *retained(const struct ph_report_why *why, uint64_t bytes)
{
	return why->dominators ? ph_json_u64(bytes) : json_null();
}

static json_t *make_path(const struct ph_graph *g, const struct ph_report_why *why,
			 const struct ph_path_group *group, const struct ph_report_keys *keys)
{
	json_t *steps = ph_json_steps(g, &group->path, keys, !why->node);
	json_t *reading = ph_json_reading(steps);
	json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "root", ph_json_root(g, &group->path, why->excess),
				"count", ph_json_u64(group->count), "retained_bytes",
				retained(why, group->retained_bytes), "length", ph_json_u64(group->path.n - 1),
				"reading", reading, "steps", steps);
	return ph_row_interp(row, g, ph_graph_interp(g, group->path.nodes[group->path.n - 1]));
}

static json_t *make_paths(const struct ph_graph *g, const struct ph_report_why *why,
			  const struct ph_report_keys *keys)
{
	json_t *ret = json_array();
	for (uint32_t i = 0; ret && i < why->n; i++)
		if (json_array_append_new(ret, make_path(g, why, &why->groups[i], keys)) < 0) {
			json_decref(ret);
			return NULL;
		}
	return ret;
}

/* Weak references to the object, by the type and the callback that they have. */
static json_t *make_weak(const struct ph_graph *g, uint32_t node)
{
	uint64_t n = 0;
	for (uint32_t i = 0; node && i < g->nweak; i++)
		n += g->weak[i].to == node;
	return ph_json_u64(n);
}

static json_t *make_what(const struct ph_graph *g, const struct ph_report_why *why)
{
	uint32_t node = why->node;
	json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "type", ph_json_text(why->type),
			 "address", node ? ph_json_address(ph_graph_address(g, node)) : json_null(),
			 "name", node ? ph_json_name(g, node) : json_null(),
			 "count", ph_json_u64(why->count), "garbage", ph_json_u64(why->garbage),
			 "unreached", ph_json_u64(why->unreached), "retained_bytes",
			 node ? retained(why, why->dominators ? ph_retained(why->dominators, node) : 0) : json_null(),
			 "weak_references", make_weak(g, node));
	return node ? ph_row_interp(row, g, ph_graph_interp(g, node)) : row;
}

json_t *ph_report_why(const struct ph_report_meta *meta, const struct ph_graph *g,
		      const struct ph_report_why *why, const struct ph_report_keys *keys)
{
	json_t *doc = ph_document_begin("why", meta, g);
	if (doc && ph_document_put(doc, "what", make_what(g, why)) &&
	    ph_document_put(doc, "paths", make_paths(g, why, keys)))
		return doc;
	json_decref(doc);
	return NULL;
}
