/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members that documents have in common, and those of `top` and `objects`. */
#include <math.h>
#include <stdio.h>
#include "report_priv.h"

#ifndef PYHEAP_VERSION
#define PYHEAP_VERSION "0"
#endif

json_t *ph_json_u64(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

json_t *ph_json_text(const char *s)
{
	if (!s)
		return json_null();
	char *text ph_cleanup_free = ph_text_utf8(s);
	return text ? json_string_nocheck(text) : NULL;
}

json_t *ph_json_address(ph_addr addr)
{
	char buf[24];
	snprintf(buf, sizeof buf, "0x%llx", (unsigned long long)addr);
	return json_string_nocheck(buf);
}

bool ph_document_put(json_t *doc, const char *key, json_t *value)
{
	return json_object_set_new_nocheck(doc, key, value) == 0;
}

/* 0 and "" stand for unknown. */
static json_t *known_u64(uint64_t n)
{
	return n ? ph_json_u64(n) : json_null();
}

static json_t *known_text(const char *s)
{
	return ph_json_text(s && *s ? s : NULL);
}

static json_t *time_utc(const struct timespec *at)
{
	char buf[64];
	struct tm tm;
	if (!gmtime_r(&at->tv_sec, &tm) || !strftime(buf, sizeof buf, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return json_string("1970-01-01T00:00:00Z");
	return json_string(buf);
}

json_t *ph_json_run(const struct ph_report_meta *m)
{
	return json_pack("{s:{s:s,s:s}, s:o, s:o, s:{s:s,s:o,s:o,s:o,s:o}, s:{s:o,s:o}}",
			 "tool", "name", "pyheap", "version", PYHEAP_VERSION,
			 "captured_at", time_utc(&m->captured_at),
			 "pause_ms", m->pause_ms < 0 ? json_null() : json_real(round(m->pause_ms * 1e3) / 1e3),
			 "target", "kind", m->process ? "process" : "core",
			 "pid", known_u64(m->pid > 0 ? (uint64_t)m->pid : 0), "path", known_text(m->path),
			 "exe", known_text(m->exe), "script", known_text(m->script),
			 "layout", "source", ph_json_text(m->layout_source ? m->layout_source : ""),
			 "build_id", known_text(m->build_id));
}

json_t *ph_json_python(const struct ph_report_meta *m)
{
	return json_pack("{s:o, s:o, s:b, s:b, s:o}", "version", ph_json_text(m->version ? m->version : ""),
			 "arch", ph_json_text(m->arch ? m->arch : ""), "debug_build", m->debug_build,
			 "free_threaded", m->free_threaded, "interpreters", ph_json_u64(m->interpreters));
}

json_t *ph_json_notes(const struct ph_notes *notes)
{
	json_t *ret = json_array();
	for (int k = 0; ret && notes && k < PH_NOTE_KINDS; k++) {
		ph_addr example = notes->kind[k].example;
		if (!notes->kind[k].count)
			continue;
		json_t *note = json_pack("{s:s, s:o, s:o}", "kind", ph_note_name((enum ph_note_kind)k),
					 "count", ph_json_u64(notes->kind[k].count),
					 "example", example ? ph_json_address(example) : json_null());
		if (json_array_append_new(ret, note) < 0) {
			json_decref(ret);
			return NULL;
		}
	}
	return ret;
}

static bool is_complete(const struct ph_notes *notes)
{
	for (int k = 0; notes && k < PH_NOTE_KINDS; k++)
		if (ph_note_incomplete((enum ph_note_kind)k) && notes->kind[k].count)
			return false;
	return true;
}

/* Rounded down, so that 1.0 means all. */
static double coverage(const struct ph_graph *g)
{
	uint64_t objects = g->objects;
	if (g->exact_objects >= objects)
		return 1.0;
	return floor((double)g->exact_objects / (double)objects * 1e6) / 1e6;
}

/* Free-threaded builds have but one, and what was frozen. */
static json_t *make_generation(const struct ph_report_meta *m, const struct ph_graph *g, int generation)
{
	return m->free_threaded ? json_null() : ph_json_u64(g->generations[generation]);
}

static json_t *make_totals(const struct ph_report_meta *m, const struct ph_graph *g)
{
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o, s:{s:o,s:o,s:o,s:o}, s:{s:o,s:n,s:n,s:n}}",
			 "objects", ph_json_u64(g->objects), "tracked", ph_json_u64(g->tracked),
			 "references", ph_json_u64(g->references), "shallow_bytes", ph_json_u64(g->shallow_bytes),
			 "uncounted_bytes", ph_json_u64(g->uncounted_bytes),
			 "garbage_objects", ph_json_u64(g->garbage_objects),
			 "garbage_tracked", ph_json_u64(g->garbage_tracked),
			 "garbage_bytes", ph_json_u64(g->garbage_bytes),
			 "generations", "0", make_generation(m, g, 0), "1", make_generation(m, g, 1),
			 "2", make_generation(m, g, 2), "permanent",
			 ph_json_u64(g->generations[3]),
			 "memory", "rss_bytes", known_u64(m->rss_bytes), "python_blocks_bytes",
			 "allocator_free_bytes", "other_bytes");
}

json_t *ph_document_begin(const char *command, const struct ph_report_meta *m, const struct ph_graph *g)
{
	json_t *doc = json_pack("{s:s, s:s, s:o, s:o, s:b, s:f, s:o, s:o}", "schema", PH_REPORT_SCHEMA,
				"command", command, "run", ph_json_run(m), "python", ph_json_python(m),
				"complete", is_complete(m->notes), "coverage", coverage(g),
				"notes", ph_json_notes(m->notes), "totals", make_totals(m, g));
	return ph_document_interps(doc, m, g);
}

static json_t *make_types(const struct ph_graph *g, const struct ph_histogram *h)
{
	json_t *ret = json_array();
	for (uint32_t i = 0; ret && i < h->n; i++) {
		const struct ph_histogram_row *row = &h->rows[i];
		json_t *type = json_pack("{s:o, s:o, s:o, s:o, s:o}",
					 "type", ph_json_text(g->types[row->type].name),
					 "count", ph_json_u64(row->count),
					 "shallow_bytes", ph_json_u64(row->shallow_bytes),
					 "uncounted_bytes", ph_json_u64(row->uncounted_bytes), "retained_bytes",
					 h->has_retained ? ph_json_u64(row->retained_bytes) : json_null());
		if (json_array_append_new(ret, type) < 0) {
			json_decref(ret);
			return NULL;
		}
	}
	return ret;
}

json_t *ph_report_top(const struct ph_report_meta *meta, const struct ph_graph *g,
		      const struct ph_histogram *h)
{
	json_t *doc = ph_document_begin("top", meta, g);
	if (doc && ph_document_put(doc, "types", make_types(g, h)))
		return doc;
	json_decref(doc);
	return NULL;
}

static json_t *make_holders(const struct ph_graph *g, const struct ph_holdings *h)
{
	json_t *ret = json_array();
	for (uint32_t i = 0; ret && i < h->n; i++) {
		const struct ph_holding *row = &h->rows[i];
		json_t *holder = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "path", ph_json_text(row->path), "type",
					   ph_json_text(row->type < g->ntypes ? g->types[row->type].name : NULL),
					   "count", ph_json_u64(row->count),
					   "shallow_bytes", ph_json_u64(row->shallow_bytes),
					   "uncounted_bytes", ph_json_u64(row->uncounted_bytes), "retained_bytes",
					   h->has_retained ? ph_json_u64(row->retained_bytes) : json_null());
		if (json_array_append_new(ret, holder) < 0) {
			json_decref(ret);
			return NULL;
		}
	}
	return ret;
}

json_t *ph_report_holdings(const struct ph_report_meta *meta, const struct ph_graph *g,
			   const struct ph_holdings *h)
{
	json_t *doc = ph_document_begin("top", meta, g);
	if (doc && ph_document_put(doc, "by", json_string("path")) &&
	    ph_document_put(doc, "holders", make_holders(g, h)))
		return doc;
	json_decref(doc);
	return NULL;
}

json_t *ph_report_objects(const struct ph_report_meta *meta, const struct ph_graph *g)
{
	json_t *doc = ph_document_begin("objects", meta, g);
	if (doc && ph_document_put(doc, "objects", json_array()))
		return doc;
	json_decref(doc);
	return NULL;
}

/* Visited references (what gc.get_referents gives), or the owned ones. */
static json_t *make_refs(const struct ph_graph *g, uint32_t node, bool owned)
{
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(g, node, &n);
	json_t *ret = json_array();
	for (uint64_t i = 0; ret && i < n; i++) {
		if (!!(edges[i] & PH_EDGE_OWNED) != owned)
			continue;
		if (json_array_append_new(ret, ph_json_address(g->address[edges[i] & PH_EDGE_ID])) < 0) {
			json_decref(ret);
			return NULL;
		}
	}
	return ret;
}

json_t *ph_json_generation(const struct ph_report_meta *meta, const struct ph_graph *g, uint32_t node)
{
	int generation = ph_graph_generation(g, node);
	if (!(g->flags[node] & PH_NODE_TRACKED))
		return json_null();
	if (generation == 3)
		return json_string("permanent");
	return meta->free_threaded ? json_null() : json_integer(generation);
}

json_t *ph_report_object(const struct ph_report_meta *meta, const struct ph_graph *g, uint32_t node,
			 bool refs)
{
	unsigned flags = g->flags[node];
	json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b}",
				"address", ph_json_address(g->address[node]),
				"type", ph_json_text(g->types[g->type[node]].name),
				"shallow_bytes", ph_json_u64(ph_graph_shallow(g, node)),
				"uncounted_bytes", ph_json_u64(ph_graph_uncounted(g, node)), "refcount",
				flags & PH_NODE_IMMORTAL ? json_null() : ph_json_u64(g->refcount[node]),
				"generation", ph_json_generation(meta, g, node),
				"tracked", !!(flags & PH_NODE_TRACKED),
				"size_exact", !!(flags & PH_NODE_SIZE_EXACT),
				"refs_exact", !!(flags & PH_NODE_REFS_EXACT));
	row = ph_row_interp(row, g, ph_graph_interp(g, node));
	if (row && (!refs || (ph_document_put(row, "refs", make_refs(g, node, false)) &&
			      ph_document_put(row, "owned", make_refs(g, node, true)))))
		return row;
	json_decref(row);
	return NULL;
}

bool ph_report_object_roots(json_t *row, struct ph_excess *e, uint32_t node)
{
	const char *names[PH_EXCESS_HOLDERS];
	int64_t excess;
	bool counted = ph_excess_of(e, node, &excess), ok;
	unsigned n = ph_excess_holders(e, node, names);
	json_t *holders = json_array();
	ok = ph_document_put(row, "excess", counted ? json_integer(excess) : json_null());
	for (unsigned i = 0; ok && i < n; i++)
		ok = json_array_append_new(holders, ph_json_text(names[i])) == 0;
	if (ok)
		return ph_document_put(row, "held_by", holders);
	json_decref(holders);
	return false;
}
