/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What there is to say about a run, as a text in a snapshot. */
#include "report_priv.h"

char *ph_report_meta_text(const struct ph_report_meta *meta)
{
	json_t *doc = json_pack("{s:o, s:o, s:o, s:o}", "run", ph_json_run(meta), "python", ph_json_python(meta),
				"notes", ph_json_notes(meta->notes), "rss_bytes", ph_json_u64(meta->rss_bytes));
	char *text = doc ? json_dumps(doc, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
	json_decref(doc);
	return text;
}

static const char *text_at(const json_t *doc, const char *path)
{
	return json_string_value(ph_json_at(doc, path));
}

static uint64_t number_at(const json_t *doc, const char *path)
{
	int64_t n = ph_json_int(doc, path);
	return n > 0 ? (uint64_t)n : 0;
}

static void read_notes(const json_t *rows, struct ph_notes *notes)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		for (int k = 0; k < PH_NOTE_KINDS; k++) {
			if (strcmp(ph_note_name((enum ph_note_kind)k), ph_json_string(row, "kind")))
				continue;
			notes->kind[k].count = number_at(row, "count");
			notes->kind[k].example = strtoull(ph_json_string(row, "example"), NULL, 16);
		}
	}
}

struct ph_err *ph_report_meta_read(const char *text, struct ph_notes *notes, struct ph_report_meta *ret,
				   json_t **ret_doc)
{
	struct tm tm = { 0 };
	json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const json_t *pause = ph_json_at(doc, "run.pause_ms");
	if (!json_is_object(json_object_get(doc, "run")) || !text_at(doc, "python.version") ||
	    !strptime(ph_json_string(doc, "run.captured_at"), "%Y-%m-%dT%H:%M:%SZ", &tm)) {
		json_decref(doc);
		return ph_err_new(PH_ERR_USAGE, "a damaged snapshot: nothing tells where it comes from");
	}
	read_notes(json_object_get(doc, "notes"), notes);
	*ret = (struct ph_report_meta){
		.captured_at = { .tv_sec = timegm(&tm) },
		.pause_ms = json_is_number(pause) ? json_number_value(pause) : -1,
		.process = !strcmp(ph_json_string(doc, "run.target.kind"), "process"),
		.pid = (pid_t)number_at(doc, "run.target.pid"),
		.path = text_at(doc, "run.target.path"),
		.exe = text_at(doc, "run.target.exe"),
		.script = text_at(doc, "run.target.script"),
		.layout_source = text_at(doc, "run.layout.source"),
		.build_id = text_at(doc, "run.layout.build_id"),
		.version = text_at(doc, "python.version"),
		.arch = text_at(doc, "python.arch"),
		.debug_build = json_is_true(ph_json_at(doc, "python.debug_build")),
		.free_threaded = json_is_true(ph_json_at(doc, "python.free_threaded")),
		.interpreters = number_at(doc, "python.interpreters"),
		.rss_bytes = number_at(doc, "rss_bytes"),
		.notes = notes,
	};
	*ret_doc = doc;
	return NULL;
}
