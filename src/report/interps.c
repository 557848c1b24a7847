/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interpreters, where a target has more than one: what each has, and whose a row is. */
#include <stdio.h>
#include "report_priv.h"

/* ---- in documents ----------------------------------------------------------------------- */

json_t *ph_json_interp(const struct ph_graph *g, uint32_t interp)
{
	if (!g->interps)
		return json_integer(interp);
	return interp < g->ninterps ? json_integer(g->interps[interp].id) : json_string("shared");
}

json_t *ph_row_interp(json_t *row, const struct ph_graph *g, uint32_t interp)
{
	if (!row || !g->interps || ph_document_put(row, "interpreter", ph_json_interp(g, interp)))
		return row;
	json_decref(row);
	return NULL;
}

static json_t *make_interps(const struct ph_graph *g)
{
	json_t *ret = json_array();
	for (uint32_t i = 0; ret && i <= g->ninterps; i++) {
		const struct ph_graph_interp *in = &g->interps[i];
		json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:o}", "id", ph_json_interp(g, i), "objects",
					ph_json_u64(in->objects), "tracked", ph_json_u64(in->tracked), "bytes",
					ph_json_u64(in->bytes), "threads", ph_json_u64(in->threads));
		if (json_array_append_new(ret, row) < 0) {
			json_decref(ret);
			return NULL;
		}
	}
	return ret;
}

json_t *ph_document_interps(json_t *doc, const struct ph_report_meta *m, const struct ph_graph *g)
{
	json_t *asked = NULL;
	if (m->interpreter)
		asked = strcmp(m->interpreter, "shared") ? json_integer(strtoll(m->interpreter, NULL, 10))
							 : json_string("shared");
	if (doc && (!g->interps || ph_document_put(doc, "interpreters", make_interps(g))) &&
	    (!m->interpreter || ph_document_put(doc, "interpreter", asked)))
		return doc;
	json_decref(doc);
	return NULL;
}

const char *ph_report_interpreter(const json_t *doc, char buf[24])
{
	const json_t *asked = json_object_get(doc, "interpreter");
	snprintf(buf, 24, "%s", json_is_string(asked) ? json_string_value(asked) : "");
	if (json_is_integer(asked))
		snprintf(buf, 24, "%lld", (long long)json_integer_value(asked));
	return buf;
}

#define SHOWN 20 /* interpreters in text; -n 0: all */

/* ---- in text -------------------------------------------------------------------------------- */

void ph_text_interp(struct ph_render *r, const json_t *row, const char *before)
{
	char buf[24];
	ph_report_interpreter(row, buf);
	if (!*buf)
		return;
	ph_out_puts(r->out, before);
	ph_out_puts(r->out, strcmp(buf, "shared") ? "interpreter " : "");
	ph_text_put(r, strcmp(buf, "shared") ? buf : "shared by interpreters");
}

/* "interpreter 3 (of 9)"; nothing when all are asked about. */
void ph_text_asked_interp(struct ph_render *r)
{
	size_t n = json_array_size(json_object_get(r->doc, "interpreters"));
	if (!json_object_get(r->doc, "interpreter"))
		return;
	ph_text_interp(r, r->doc, "Only ");
	if (n > 1)
		ph_out_printf(r->out, " (there are %zu)", n - 1);
	ph_out_puts(r->out, "; what is retained is so among the objects of all\n");
}

void ph_text_interps(struct ph_render *r)
{
	const json_t *rows = json_object_get(r->doc, "interpreters");
	size_t n = json_array_size(rows), shown = r->limit && n > SHOWN + 1 ? SHOWN : n;
	struct ph_table t = { .ncolumns = 5, .right = 0xf };
	if (!n || json_object_get(r->doc, "interpreter"))
		return;
	ph_table_add(&t, "BYTES");
	ph_table_add(&t, "OBJECTS");
	ph_table_add(&t, "TRACKED");
	ph_table_add(&t, "THREADS");
	ph_table_add(&t, "INTERPRETER");
	for (size_t i = 0; i < n; i++) {
		const json_t *row = json_array_get(rows, i), *id = json_object_get(row, "id");
		if (i >= shown && json_is_integer(id)) /* what is shared is always told */
			continue;
		ph_table_size(&t, r, ph_json_int(row, "bytes"), false);
		ph_table_count(&t, ph_json_int(row, "objects"), false);
		ph_table_count(&t, ph_json_int(row, "tracked"), false);
		ph_table_count(&t, ph_json_int(row, "threads"), false);
		if (json_is_integer(id))
			ph_table_addf(&t, "%lld%s", (long long)json_integer_value(id), i ? "" : " (main)");
		else
			ph_table_add(&t, "shared, or not known whose");
	}
	ph_out_puts(r->out, "\n");
	ph_table_print(&t, r);
	if (shown < n)
		ph_out_printf(r->out, "and %zu more interpreters (-n 0 lists all)\n", n - shown - 1);
}
