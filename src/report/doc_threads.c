/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The document of `threads`. */
#include <stdio.h>
#include "report_priv.h"

struct builder {
	const struct ph_graph *g;
	const struct ph_dominators *d;
	const struct ph_stacks_result *s;
	const struct ph_report_keys *keys;
};

static json_t *make_local(const struct builder *b, const struct ph_graph_root *r)
{
	const struct ph_graph *g = b->g;
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "name", ph_json_text(*r->name ? r->name : NULL), "address",
			 ph_json_address(ph_graph_address(g, r->node)), "type", ph_json_text(g->types[g->type[r->node]].name),
			 "object", ph_json_name(g, r->node), "shallow_bytes", ph_json_u64(ph_graph_shallow(g, r->node)),
			 "retained_bytes", ph_json_u64(ph_retained(b->d, r->node)));
}

/* Locals in the order of the frame's slots, then its stack. */
static json_t **make_locals(const struct builder *b)
{
	const struct ph_graph *g = b->g;
	json_t **ret = calloc(g->nframes + 1ull, sizeof *ret);
	bool ok = ret != NULL;
	for (uint32_t f = 0; ok && f < g->nframes; f++)
		ok = (ret[f] = json_array()) != NULL;
	for (uint32_t i = 0; ok && i < g->nroots; i++)
		if (g->roots[i].frame < g->nframes)
			ok = json_array_append_new(ret[g->roots[i].frame], make_local(b, &g->roots[i])) == 0;
	if (ok)
		return ret;
	for (uint32_t f = 0; ret && f < g->nframes; f++)
		json_decref(ret[f]);
	free(ret);
	return NULL;
}

static json_t *make_thread(const struct builder *b, uint32_t i, json_t **locals)
{
	const struct ph_graph_thread *t = &b->g->threads[i];
	json_t *frames = json_array();
	for (uint32_t f = t->frames; frames && f < t->frames + t->nframes; f++) {
		const struct ph_graph_frame *frame = &b->g->frames[f];
		json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:O}", "function", ph_json_text(frame->function), "file",
					ph_json_text(frame->file), "line",
					frame->line ? ph_json_u64(frame->line) : json_null(), "retained_bytes",
					ph_json_u64(b->s->stacks.frames[f]), "locals", locals[f]);
		if (json_array_append_new(frames, row) < 0) {
			json_decref(frames);
			frames = NULL;
		}
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "id", t->id ? ph_json_address(t->id) : json_null(),
			 "native_id", t->native_id ? ph_json_u64(t->native_id) : json_null(),
			 "interpreter", ph_json_interp(b->g, t->interp), "name", ph_json_text(b->keys->shown ? t->name : NULL),
			 "holds_gil", t->holds_gil, "retained_bytes", ph_json_u64(b->s->stacks.threads[i]),
			 "frames", frames);
}

static json_t *make_threads(const struct builder *b)
{
	json_t *ret = json_array(), **locals = make_locals(b);
	for (uint32_t i = 0; ret && locals && i < b->g->nthreads; i++) {
		if (b->g->only && b->g->threads[i].interp + 1 != b->g->only)
			continue;
		if (json_array_append_new(ret, make_thread(b, i, locals)) < 0) {
			json_decref(ret);
			ret = NULL;
		}
	}
	for (uint32_t f = 0; locals && f < b->g->nframes; f++)
		json_decref(locals[f]);
	free(locals);
	return ret;
}

/* ---- tasks ------------------------------------------------------------------------------ */

static json_t *make_task(const struct builder *b, const struct ph_task_group *t)
{
	const struct ph_graph *g = b->g;
	json_t *chain = json_array();
	for (uint32_t i = 0; chain && i < t->depth; i++)
		if (json_array_append_new(chain, ph_json_name(g, t->chain[i])) < 0) {
			json_decref(chain);
			chain = NULL;
		}
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "type", ph_json_text(g->types[g->type[t->example]].name),
			 "count", ph_json_u64(t->count), "retained_bytes", ph_json_u64(t->retained_bytes),
			 "waits_at", chain, "waiting_for",
			 ph_json_text(t->awaited ? g->types[g->type[t->awaited]].name : NULL),
			 "example", ph_json_address(ph_graph_address(g, t->example)));
}

static json_t *make_tasks(const struct builder *b)
{
	json_t *ret = json_array();
	for (uint32_t i = 0; ret && i < b->s->ntasks; i++)
		if (json_array_append_new(ret, make_task(b, &b->s->tasks[i])) < 0) {
			json_decref(ret);
			return NULL;
		}
	return ret;
}

json_t *ph_report_threads(const struct ph_report_meta *meta, const struct ph_graph *g, const struct ph_dominators *d,
			  const struct ph_stacks_result *s, const struct ph_report_keys *keys)
{
	struct builder b = { g, d, s, keys };
	json_t *doc = ph_document_begin("threads", meta, g);
	if (doc && ph_document_put(doc, "tasks", make_tasks(&b)) &&
	    ph_document_put(doc, "coroutines", json_pack("{s:o, s:o}", "count", ph_json_u64(s->coroutines), "in_tasks",
							 ph_json_u64(s->in_tasks))) &&
	    ph_document_put(doc, "threads", make_threads(&b)))
		return doc;
	json_decref(doc);
	return NULL;
}
