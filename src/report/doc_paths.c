/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths in documents: roots, steps, names of objects. */
#include <stdio.h>
#include "report_priv.h"

void ph_hidden_text(const struct ph_report_keys *keys, const char *value, char buf[16])
{
	snprintf(buf, 16, "'…%04x'", (unsigned)(ph_hash_keyed(keys->secret, value, strlen(value)) & 0xffff));
}

void ph_report_hide(const void *ctx, struct ph_label *label)
{
	const struct ph_report_keys *keys = ctx;
	char hidden[16];
	if (keys->shown || label->is_name || label->is_hash || !label->name[0])
		return;
	ph_hidden_text(keys, label->name, hidden);
	strcpy(label->name, hidden);
	label->is_hash = true;
}

json_t *ph_json_name(const struct ph_graph *g, uint32_t node)
{
	char name[512];
	return ph_json_text(ph_graph_describe(g, node, name, sizeof name) ? name : NULL);
}

/* What C code holds is named by whoever is known to hold it. */
static json_t *root_name(const struct ph_graph *g, const struct ph_path *p, struct ph_excess *e)
{
	const char *names[PH_EXCESS_HOLDERS];
	if (p->kind == PH_ROOT_C && e && ph_excess_holders(e, p->nodes[0], names) && strcmp(names[0], "C"))
		return ph_json_text(names[0]);
	char *name ph_cleanup_free = ph_root_name_text(g, p->root);
	return name ? ph_json_text(*name ? name : NULL) : NULL;
}

json_t *ph_json_root(const struct ph_graph *g, const struct ph_path *p, struct ph_excess *e)
{
	uint32_t node = p->nodes[0];
	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "kind", ph_root_kind_text(p->kind), "name", root_name(g, p, e),
			 "address", ph_json_address(ph_graph_address(g, node)),
			 "type", ph_json_text(g->types[g->type[node]].name), "object", ph_json_name(g, node));
}

/* via with what must not be shown replaced. */
static json_t *make_via(const struct ph_path_step *step, const struct ph_report_keys *keys, bool folded)
{
	const char *at = keys->shown || !step->hidden[0] ? NULL : strstr(step->via, step->hidden);
	char hidden[16];
	if (folded)
		return ph_json_text(step->folded);
	if (!at)
		return ph_json_text(keys->shown || !step->hidden[0] ? step->via : step->folded);
	ph_hidden_text(keys, step->hidden, hidden);
	char *via ph_cleanup_free = ph_asprintf("%.*s%s%s", (int)(at - step->via), step->via, hidden,
						at + strlen(step->hidden));
	return via ? ph_json_text(via) : NULL;
}

static json_t *make_step(const struct ph_graph *g, const struct ph_path_step *step,
			 const struct ph_report_keys *keys, bool folded)
{
	json_t *row = json_pack("{s:o, s:o, s:o}", "via", make_via(step, keys, folded),
				"address", ph_json_address(ph_graph_address(g, step->node)),
				"type", ph_json_text(g->types[g->type[step->node]].name));
	if (row && step->key && !folded && ph_graph_find(g, step->key))
		ph_document_put(row, "key", ph_json_address(step->key));
	json_t *name = ph_json_name(g, step->node);
	if (row && !json_is_null(name) && ph_document_put(row, "name", name))
		return row;
	json_decref(name);
	return row;
}

json_t *ph_json_steps(const struct ph_graph *g, const struct ph_path *p, const struct ph_report_keys *keys,
		      bool folded)
{
	struct ph_path_steps steps = { 0 };
	json_t *ret = ph_path_read(g, p, &steps) ? json_array() : NULL;
	for (size_t i = 0; ret && i < steps.n; i++)
		if (json_array_append_new(ret, make_step(g, &steps.items[i], keys, folded)) < 0) {
			json_decref(ret);
			ret = NULL;
		}
	ph_vec_free(&steps);
	return ret;
}

json_t *ph_json_reading(const json_t *steps)
{
	struct PH_VEC(char) text = { 0 };
	for (size_t i = 0; i < json_array_size(steps); i++) {
		const char *via = ph_json_string(json_array_get(steps, i), "via");
		bool word = *via != '.' && *via != '[';
		size_t n = strlen(via);
		if (!PH_VEC_RESERVE(&text, n + 3))
			break;
		if (word && i)
			text.items[text.n++] = ' ';
		memcpy(text.items + text.n, via, n);
		text.n += n;
	}
	bool ok = PH_VEC_PUSH(&text, '\0');
	json_t *ret = ok ? ph_json_text(text.items) : NULL;
	ph_vec_free(&text);
	return ret;
}

json_t *ph_json_path(const struct ph_graph *g, const struct ph_path *p, struct ph_excess *e,
		     const struct ph_report_keys *keys)
{
	if (!p->n)
		return json_null();
	json_t *steps = ph_json_steps(g, p, keys, false), *reading = steps ? ph_json_reading(steps) : NULL;
	json_decref(steps);
	return json_pack("{s:o, s:o}", "root", ph_json_root(g, p, e), "reading", reading);
}

json_t *ph_json_via(const struct ph_graph *g, uint32_t node, uint64_t edge, const struct ph_report_keys *keys)
{
	uint32_t nodes[2] = { node, g->edges[ph_graph_edge_start(g, node) + edge] & PH_EDGE_ID };
	const struct ph_path p = { .nodes = nodes, .edges = &edge, .n = 2 };
	json_t *steps = ph_json_steps(g, &p, keys, false);
	json_t *via = json_incref(json_object_get(json_array_get(steps, 0), "via"));
	json_decref(steps);
	return via;
}
