/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The document of `layout`. */
#include "report_priv.h"

static json_t *make_row(const struct ph_report_layout_row *r)
{
	bool field = r->kind == 'F' && r->present;
	json_t *row = json_pack("{s:s, s:s}", "kind", r->kind == 'F' ? "member" : r->kind == 'S' ? "size" : "enumerator",
				"name", r->name);
	bool ok = row && (!field || (ph_document_put(row, "offset", ph_json_u64(r->offset)) &&
				     ph_document_put(row, "size", ph_json_u64(r->size))));
	if (ok && field && r->array)
		ok = ph_document_put(row, "stride", ph_json_u64(r->stride));
	if (ok && field && r->bitfield)
		ok = ph_document_put(row, "bit", ph_json_u64(r->bit)) && ph_document_put(row, "bits", ph_json_u64(r->bits));
	if (ok && r->kind != 'F' && r->present)
		ok = ph_document_put(row, "value", json_integer(r->value));
	if (ok)
		return row;
	json_decref(row);
	return NULL;
}

json_t *ph_report_layout(const struct ph_report_layout *l)
{
	json_t *rows = json_array();
	for (size_t i = 0; rows && i < l->n; i++)
		if (json_array_append_new(rows, make_row(&l->rows[i])) < 0) {
			json_decref(rows);
			rows = NULL;
		}
	return json_pack("{s:s, s:s, s:{s:o, s:o, s:o, s:b}, s:{s:o, s:s, s:b, s:b}, s:o}", "schema", PH_REPORT_SCHEMA,
			 "command", "layout", "layout", "source", ph_json_text(l->source), "origin", ph_json_text(l->origin),
			 "build_id", ph_json_text(*l->build_id ? l->build_id : NULL), "proven", l->proven, "python",
			 "version", ph_json_text(*l->version ? l->version : NULL), "arch", l->arch, "debug_build",
			 l->debug_build, "free_threaded", l->free_threaded, "rows", rows);
}
