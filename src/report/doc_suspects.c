/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Suspects: at the end of documents, and in words. */
#include <math.h>
#include <stdio.h>
#include "report_priv.h"

static json_t *make_suspect(const struct ph_report_meta *meta, const struct ph_graph *g, const struct ph_suspect *s,
			    const struct ph_report_keys *keys)
{
	uint64_t total = g->shallow_bytes + g->uncounted_bytes;
	double share = total ? round((double)s->retained_bytes / (double)total * 1e6) / 1e6 : 0;
	uint32_t node = s->node;
	json_t *mostly = s->mostly_count ? json_pack("{s:o, s:o}", "type", ph_json_text(g->types[s->mostly].name),
						     "count", ph_json_u64(s->mostly_count)) : json_null();
	json_t *row = json_pack("{s:s, s:o, s:o, s:o, s:o, s:f, s:o, s:o, s:o}", "kind", node ? "object" : "garbage",
				"address", node ? ph_json_address(g->address[node]) : json_null(),
				"type", ph_json_text(node ? g->types[g->type[node]].name : NULL),
				"objects", ph_json_u64(s->objects), "retained_bytes", ph_json_u64(s->retained_bytes),
				"share", share, "generation", node ? ph_json_generation(meta, g, node) : json_null(),
				"path", node ? ph_json_path(g, &s->path, NULL, keys) : json_null(), "mostly", mostly);
	return node ? ph_row_interp(row, g, ph_graph_interp(g, node)) : row;
}

json_t *ph_json_suspects(const struct ph_report_meta *meta, const struct ph_graph *g, const struct ph_suspects *s,
			 const struct ph_report_keys *keys)
{
	json_t *ret = json_array();
	for (uint32_t i = 0; ret && i < s->n; i++)
		if (json_array_append_new(ret, make_suspect(meta, g, &s->rows[i], keys)) < 0) {
			json_decref(ret);
			return NULL;
		}
	return ret;
}

bool ph_report_add_suspects(json_t *doc, const struct ph_report_meta *meta, const struct ph_graph *g,
			    const struct ph_suspects *suspects, const struct ph_report_keys *keys)
{
	return ph_document_put(doc, "suspects", ph_json_suspects(meta, g, suspects, keys));
}

/* "TARGET" as the reader would type it again. */
static void target_text(const json_t *run, char *buf, size_t max)
{
	const json_t *target = json_object_get(run, "target");
	const char *path = ph_json_string(target, "path");
	if (*path)
		snprintf(buf, max, "%s", path);
	else if (ph_json_int(target, "pid"))
		snprintf(buf, max, "%lld", (long long)ph_json_int(target, "pid"));
	else
		snprintf(buf, max, "TARGET");
}

static void put_suspect(struct ph_render *r, const json_t *s, const char *target)
{
	char size[PH_TEXT_NUMBER], count[PH_TEXT_NUMBER + 32], where[1024];
	const json_t *mostly = json_object_get(s, "mostly"), *generation = json_object_get(s, "generation");
	ph_text_size(size, ph_json_int(s, "retained_bytes"), false, r->bytes);
	if (!strcmp(ph_json_string(s, "kind"), "garbage")) {
		ph_out_printf(r->out, "%s (%.0f %%) is garbage that the collector has not freed: %s\n", size,
			      100 * ph_json_number(s, "share"),
			      ph_text_plural(count, ph_json_int(s, "objects"), "object", "objects"));
		ph_out_puts(r->out, "   pyheap cycles "), ph_text_put(r, target), ph_out_puts(r->out, "\n");
		return;
	}
	ph_text_path(json_object_get(s, "path"), where, sizeof where);
	ph_text_style(r, PH_BOLD);
	ph_text_put(r, *where ? where : ph_json_string(s, "address"));
	ph_text_style(r, PH_PLAIN);
	ph_out_puts(r->out, ", a "), ph_text_put(r, ph_json_string(s, "type"));
	ph_out_printf(r->out, ", retains %s (%.0f %%)", size, 100 * ph_json_number(s, "share"));
	if (json_is_object(mostly) && ph_json_int(mostly, "count") > 1) {
		ph_out_printf(r->out, ", mostly %s ", ph_text_count(count, ph_json_int(mostly, "count"), false));
		ph_text_put(r, ph_json_string(mostly, "type"));
	}
	ph_text_interp(r, s, "; of ");
	if (json_is_integer(generation))
		ph_out_printf(r->out, "; in generation %lld", (long long)json_integer_value(generation));
	ph_out_puts(r->out, "\n   pyheap dominators "), ph_text_put(r, target), ph_out_puts(r->out, " ");
	ph_text_put(r, ph_json_string(s, "address")), ph_out_puts(r->out, "\n");
}

void ph_text_suspects(struct ph_render *r, const json_t *suspects, const json_t *run)
{
	char target[512];
	size_t n = json_array_size(suspects);
	target_text(run, target, sizeof target);
	for (size_t i = 0; i < n; i++) {
		ph_out_printf(r->out, "%s%zu. ", i ? "" : n > 1 ? "\nSuspects:\n" : "\nSuspect:\n", i + 1);
		put_suspect(r, json_array_get(suspects, i), target);
	}
}

void ph_render_suspects(struct ph_out *out, bool bytes, const json_t *suspects, const json_t *run)
{
	struct ph_render r = { .out = out, .bytes = bytes };
	ph_text_suspects(&r, suspects, run);
}
