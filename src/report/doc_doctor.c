/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The document of `doctor`, and as text. */
#include "report_priv.h"

static const char *const healths[] = { "ok", "info", "warning", "problem" };

static json_t *make_advice(const struct ph_finding *f)
{
	json_t *ret = json_array();
	for (size_t i = 0; ret && i < f->advice.n; i++) {
		const struct ph_advice *a = &f->advice.items[i];
		json_t *row = json_pack("{s:o, s:b, s:b}", "text", ph_json_text(a->text), "command", a->command, "as_root",
					a->as_root);
		if (json_array_append_new(ret, row) < 0) {
			json_decref(ret);
			return NULL;
		}
	}
	return ret;
}

json_t *ph_report_doctor(const struct ph_report_doctor *d)
{
	json_t *findings = json_array();
	bool ok = findings && !d->findings->nomem;
	for (size_t i = 0; ok && i < d->findings->v.n; i++) {
		const struct ph_finding *f = &d->findings->v.items[i];
		ok = json_array_append_new(findings, json_pack("{s:s, s:s, s:o, s:o}", "health", healths[f->health], "area",
							       f->area, "text", ph_json_text(f->text), "advice",
							       make_advice(f))) == 0;
	}
	if (!ok) {
		json_decref(findings);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:o, s:b, s:i, s:o}", "schema", PH_REPORT_SCHEMA, "command", "doctor", "target",
			 ph_json_text(d->target), "readable", !d->status, "status", d->status, "findings", findings);
}

/* ---- text ---------------------------------------------------------------------------- */

static void put_advice(struct ph_render *r, const json_t *advice, bool first)
{
	bool command = json_is_true(json_object_get(advice, "command"));
	ph_out_printf(r->out, "         %s ", first ? "→" : "or");
	if (json_is_true(json_object_get(advice, "as_root")))
		ph_out_puts(r->out, "as root: ");
	ph_text_style(r, command ? PH_BOLD : PH_PLAIN);
	ph_text_put(r, ph_json_string(advice, "text"));
	ph_text_style(r, PH_PLAIN);
	ph_out_puts(r->out, "\n");
}

static void put_finding(struct ph_render *r, const json_t *f)
{
	const char *health = ph_json_string(f, "health");
	const json_t *advice = json_object_get(f, "advice");
	ph_text_style(r, !strcmp(health, "problem") ? PH_RED : !strcmp(health, "ok") ? PH_GREEN : PH_PLAIN);
	ph_out_printf(r->out, "%-8s", health);
	ph_text_style(r, PH_PLAIN);
	ph_out_printf(r->out, " %s: ", ph_json_string(f, "area"));
	ph_text_put(r, ph_json_string(f, "text"));
	ph_out_puts(r->out, "\n");
	for (size_t i = 0; i < json_array_size(advice); i++)
		put_advice(r, json_array_get(advice, i), !i);
}

void ph_text_doctor(struct ph_render *r)
{
	const json_t *findings = json_object_get(r->doc, "findings");
	bool readable = json_is_true(json_object_get(r->doc, "readable"));
	ph_text_style(r, PH_BOLD);
	ph_text_put(r, ph_json_string(r->doc, "target"));
	if (readable)
		ph_out_puts(r->out, " can be read\n\n");
	else
		ph_out_printf(r->out, " cannot be read (exit status %d)\n\n", (int)ph_json_int(r->doc, "status"));
	ph_text_style(r, PH_PLAIN);
	for (size_t i = 0; i < json_array_size(findings) && !ph_out_failed(r->out); i++)
		put_finding(r, json_array_get(findings, i));
	if (json_object_get(r->doc, "omitted"))
		ph_out_printf(r->out, "(%s)\n", r->more);
}
