/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The document of `cycles`. */
#include "report_priv.h"

static json_t *make_example(const struct ph_graph *g, const struct ph_cycle_group *c)
{
	json_t *ret = json_array();
	for (uint32_t i = 0; ret && i < c->nsteps; i++) {
		const struct ph_cycle_step *step = &c->steps[i];
		json_t *row = json_pack("{s:o, s:o, s:o}", "address", ph_json_address(g->address[step->node]),
					"type", ph_json_text(g->types[g->type[step->node]].name),
					"via", ph_json_text(*step->exact ? step->exact : step->text));
		if (json_array_append_new(ret, row) < 0) {
			json_decref(ret);
			return NULL;
		}
	}
	return ret;
}

static json_t *make_strings(char **items, uint32_t n)
{
	json_t *ret = json_array();
	for (uint32_t i = 0; ret && i < n; i++)
		if (json_array_append_new(ret, ph_json_text(items[i] ? items[i] : "")) < 0) {
			json_decref(ret);
			return NULL;
		}
	return ret;
}

static json_t *make_cut(const struct ph_graph *g, const struct ph_cycle_group *c)
{
	if (!c->has_cut)
		return json_null();
	return json_pack("{s:o, s:o}", "type", ph_json_text(g->types[c->cut_type].name),
			 "label", ph_json_text(c->cut_label));
}

static json_t *make_group(const struct ph_graph *g, const struct ph_cycle_group *c)
{
	return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "shape", make_strings(c->shape, c->nshape), "labels", make_strings(c->labels, c->nshape),
			 "state", c->garbage ? "garbage" : "live", "count", ph_json_u64(c->count),
			 "objects", ph_json_u64(c->objects), "shallow_bytes", ph_json_u64(c->shallow_bytes),
			 "retained_bytes", ph_json_u64(c->retained_bytes), "cut", make_cut(g, c),
			 "example", make_example(g, c));
}

static json_t *make_groups(const struct ph_graph *g, const struct ph_cycles *c)
{
	json_t *ret = json_array();
	for (uint32_t i = 0; ret && i < c->n; i++)
		if (json_array_append_new(ret, ph_row_interp(make_group(g, &c->groups[i]), g, c->groups[i].interp)) < 0) {
			json_decref(ret);
			return NULL;
		}
	return ret;
}

static json_t *make_state(uint64_t count, uint64_t objects)
{
	return json_pack("{s:o, s:o}", "count", ph_json_u64(count), "objects", ph_json_u64(objects));
}

/* Infrastructure that is listed (--all) is counted among the live groups. */
static json_t *make_states(const struct ph_cycles *c)
{
	uint64_t objects[2] = { 0, 0 }, count[2] = { 0, 0 };
	for (uint32_t i = 0; i < c->n; i++) {
		count[c->groups[i].garbage] += c->groups[i].count;
		objects[c->groups[i].garbage] += c->groups[i].objects;
	}
	if (count[0] > c->live_components) {
		uint64_t more = objects[0] < c->infrastructure_objects ? objects[0] : c->infrastructure_objects;
		objects[0] -= more;
	}
	return json_pack("{s:o, s:o, s:o}", "garbage", make_state(c->garbage_components, objects[1]),
			 "live", make_state(c->live_components, objects[0]),
			 "infrastructure", make_state(c->infrastructure_count, c->infrastructure_objects));
}

json_t *ph_report_cycles(const struct ph_report_meta *meta, const struct ph_graph *g,
			 const struct ph_cycles *c)
{
	json_t *doc = ph_document_begin("cycles", meta, g);
	if (doc && ph_document_put(doc, "states", make_states(c)) &&
	    ph_document_put(doc, "cycles", make_groups(g, c)))
		return doc;
	json_decref(doc);
	return NULL;
}
