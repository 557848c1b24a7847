/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is infrastructure: references that everything has, and that nobody looks for. */
#include "paths_priv.h"

/* Which costs keep a path away; see docs/paths.md. A root that is not named costs more
 * than an object of a type without a reader, which may hold what it refers to. */
enum {
	COST_INFRASTRUCTURE = 1,
	COST_INTERPRETER = 1,
	COST_UNCOUNTED = 1,  /* held, but how is not known */
	COST_STATIC = 2,
	COST_BORROWED = 3,
	COST_UNNAMED = 4,
};

static void mark_namespace(const struct ph_graph *g, uint8_t *marks, uint32_t node, uint8_t mark)
{
	const ph_label_id *labels;
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(g, node, &n);
	if (!ph_graph_labels(g, node, &labels))
		return;
	for (uint64_t e = 0; e < n; e++)
		if (PH_LABEL_ID_KIND(labels[e]) == PH_LABEL_DICT)
			marks[edges[e] & PH_EDGE_ID] |= mark;
}

uint8_t *ph_path_marks(const struct ph_graph *g)
{
	uint8_t *marks = calloc(g->n, 1);
	for (uint32_t node = 1; marks && node < g->n && !ph_interrupted_at(node); node++) {
		uint8_t form = g->types[g->type[node]].form;
		if (form == PH_FORM_MODULE)
			mark_namespace(g, marks, node, MARK_MODULE_DICT);
		else if (form == PH_FORM_TYPE)
			mark_namespace(g, marks, node, MARK_CLASS_DICT);
	}
	for (uint32_t i = 0; marks && i < g->nroots; i++)
		if (g->roots[i].kind == PH_ROOT_INTERP && g->types[g->type[g->roots[i].node]].cls == PH_TYPE_DICT)
			marks[g->roots[i].node] |= MARK_INTERPRETER;
	return marks;
}

unsigned ph_edge_penalty(const struct ph_graph *g, const uint8_t *marks, uint32_t from, uint32_t edge)
{
	uint32_t to = edge & PH_EDGE_ID;
	const struct ph_graph_type *t = &g->types[g->type[from]];
	uint8_t form = g->types[g->type[to]].form;
	unsigned cost = !(edge & PH_EDGE_BORROWED) ? 0 : edge & PH_EDGE_OWNED ? COST_UNCOUNTED : COST_BORROWED;
	if (to == t->node)
		return cost + COST_INFRASTRUCTURE; /* its class */
	if (t->form == PH_FORM_TYPE) /* bases, method resolution order, subclasses … */
		return cost + (marks[to] & MARK_CLASS_DICT ? 0 : COST_INFRASTRUCTURE);
	if (marks[to] & MARK_MODULE_DICT) /* globals, builtins */
		return cost + (t->form == PH_FORM_MODULE ? 0 : COST_INFRASTRUCTURE);
	if (t->cls == PH_TYPE_INFRASTRUCTURE && (form == PH_FORM_TYPE || form == PH_FORM_MODULE))
		return cost + COST_INFRASTRUCTURE; /* a descriptor's class, a builtin function's module */
	return cost;
}

unsigned ph_root_penalty(const struct ph_graph_root *root)
{
	static const uint8_t costs[PH_ROOT_KINDS] = {
		[PH_ROOT_INTERP] = COST_INTERPRETER, [PH_ROOT_STATIC] = COST_STATIC,
		[PH_ROOT_IMMORTAL] = COST_UNNAMED, [PH_ROOT_C] = COST_UNNAMED,
	};
	return costs[root->kind] + (root->borrowed ? COST_BORROWED : 0);
}
