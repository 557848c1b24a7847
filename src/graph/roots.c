/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Named holders: locals of running frames, modules, what the interpreter's state holds. */
#include <stdio.h>
#include "build.h"

struct root_list PH_VEC(struct ph_graph_root);

static bool root_push(struct root_list *list, struct ph_graph_root root)
{
	if (root.name && PH_VEC_PUSH(list, root))
		return true;
	free(root.name);
	return false;
}

static bool frames_fill(const struct ph_build *b, struct ph_graph *g)
{
	char function[256], file[512];
	g->frames = calloc(b->running.frames.n + 1, sizeof *g->frames);
	g->threads = calloc(b->running.threads.n + 1, sizeof *g->threads);
	if (!g->frames || !g->threads)
		return false;
	for (size_t i = 0; i < b->running.frames.n; i++) {
		const struct ph_running_frame *f = &b->running.frames.items[i];
		if (!ph_py_code_names(b->rt, f->code, function, sizeof function, file, sizeof file) && !*function)
			strcpy(function, "?");
		g->frames[g->nframes++] = (struct ph_graph_frame){
			.function = strdup(function),
			.file = strdup(file),
			.line = f->line,
			.code = build_target(b, f->code),
			.object = f->object ? build_target(b, f->object) : 0,
		};
		if (!g->frames[i].function || !g->frames[i].file)
			return false;
	}
	struct ph_gil gil;
	ph_runtime_gil(b->rt, &gil);
	for (size_t i = 0; i < b->running.threads.n; i++) {
		const struct ph_running_thread *t = &b->running.threads.items[i];
		g->threads[g->nthreads++] = (struct ph_graph_thread){
			.id = t->id,
			.native_id = t->native_id,
			.interp = t->interp,
			.holds_gil = gil.holder && gil.holder == t->state,
			.frames = t->frames,
			.nframes = t->nframes,
		};
	}
	return true;
}

/* The values of sys.modules, under their names; what is there twice, under its own. */
static bool modules_fill(const struct ph_build *b, ph_addr modules, struct root_list *list)
{
	struct ph_py_dict d;
	char name[256];
	if (!ph_py_dict(b->rt, modules, &d))
		return true;
	for (uint64_t i = 0; i < d.nentries; i++) {
		ph_addr key, value;
		ph_py_dict_entry(&d, i, &key, &value);
		uint32_t node = value ? build_target(b, value) : 0;
		if (!node || !ph_py_str(b->rt, key, name, sizeof name))
			continue;
		if (!root_push(list, (struct ph_graph_root){ .node = node, .kind = PH_ROOT_MODULE,
							     .frame = UINT32_MAX, .name = strdup(name) }))
			return false;
	}
	return true;
}

static bool root_fill(const struct ph_build *b, const struct ph_rootref *r, struct root_list *list)
{
	uint32_t node = build_target(b, r->object);
	bool local = r->kind == PH_ROOTREF_LOCAL;
	if (!node)
		return true;
	if (r->kind == PH_ROOTREF_MODULES && !modules_fill(b, r->object, list))
		return false;
	return root_push(list, (struct ph_graph_root){
				       .node = node,
				       .kind = !local ? PH_ROOT_INTERP : r->name[0] ? PH_ROOT_LOCAL : PH_ROOT_STACK,
				       .borrowed = r->borrowed,
				       .frame = local ? r->frame : UINT32_MAX,
				       .name = strdup(r->name),
			       });
}

struct ph_err *build_roots(const struct ph_build *b, struct ph_graph *g)
{
	struct root_list list = { 0 };
	bool ok = frames_fill(b, g);
	for (size_t i = 0; ok && i < b->roots.n; i++)
		ok = root_fill(b, &b->roots.items[i], &list);
	/* by kind, each in the order found */
	g->roots = calloc(list.n + 1, sizeof *g->roots);
	for (unsigned kind = 0; g->roots && kind < PH_ROOT_KINDS; kind++)
		for (size_t i = 0; i < list.n; i++)
			if (list.items[i].kind == kind) {
				g->roots[g->nroots++] = list.items[i];
				list.items[i].name = NULL;
			}
	ok &= g->roots != NULL;
	for (size_t i = 0; i < list.n; i++)
		free(list.items[i].name);
	ph_vec_free(&list);
	return ok ? NULL : ph_err_nomem();
}

/* ---- names of threads: threading._active[ident]._name ------------------------------------- */

/* What a node holds under a name, in its namespace or without one; 0 = nothing. */
static uint32_t member(const struct ph_graph *g, uint32_t node, const char *name)
{
	char key[64];
	snprintf(key, sizeof key, "'%s'", name);
	for (unsigned step = 0; node && step < 2; step++) {
		uint32_t dict = 0;
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(g, node, &n);
		for (uint64_t e = 0; e < n; e++) {
			struct ph_label label;
			if (!ph_graph_label(g, node, e, &label))
				continue;
			if (!strcmp(label.name, label.kind == PH_LABEL_VALUE ? key : name) &&
			    (label.kind == PH_LABEL_VALUE || label.kind == PH_LABEL_ATTR))
				return edges[e] & PH_EDGE_ID;
			if (label.kind == PH_LABEL_DICT)
				dict = edges[e] & PH_EDGE_ID;
		}
		node = dict;
	}
	return 0;
}

static struct ph_err *name_thread(const struct ph_build *b, struct ph_graph *g, uint32_t thread, int64_t id)
{
	char name[128];
	for (uint32_t i = 0; i < g->nthreads; i++) {
		struct ph_graph_thread *t = &g->threads[i];
		uint32_t node = t->id == (uint64_t)id && !t->name ? member(g, thread, "_name") : 0;
		if (!node || !ph_py_str(b->rt, ph_graph_address(g, node), name, sizeof name))
			continue;
		t->name = strdup(name);
		if (!t->name)
			return ph_err_nomem();
	}
	return NULL;
}

#define MAX_ACTIVE 65536

struct ph_err *build_thread_names(const struct ph_build *b, struct ph_graph *g)
{
	struct ph_err *err = NULL;
	for (uint32_t i = 0; !err && i < g->nroots; i++) {
		if (g->roots[i].kind != PH_ROOT_MODULE || strcmp(g->roots[i].name, "threading"))
			continue;
		uint32_t active = member(g, g->roots[i].node, "_active");
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(g, active, &n);
		for (uint64_t e = 0; active && !err && e < n && e < MAX_ACTIVE; e++) {
			struct ph_label label;
			int64_t id;
			if (ph_graph_label(g, active, e, &label) && label.kind == PH_LABEL_VALUE &&
			    ph_py_int(b->rt, label.key, &id))
				err = name_thread(b, g, edges[e] & PH_EDGE_ID, id);
		}
	}
	return err;
}
