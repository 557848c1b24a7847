/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The label of an edge: the object is read once more, this time with labels. */
#include "build.h"

/* References that lead nowhere were left out of the graph, so they are here. */
static bool relabel(struct ph_build *b, const struct ph_graph *g, uint32_t node)
{
	struct ph_refs *r = &b->labelled;
	struct ph_object o;
	const struct ph_type *t = ph_object_type(b->os, g->address[node]);
	size_t n = 0;
	r->n = 0;
	r->labelled = true;
	b->labelled_node = 0;
	if (!t || !ph_object_open(b->os, g->address[node], t, &o))
		return false;
	ph_object_refs(b->os, &o, r);
	for (size_t i = 0; i < r->n; i++) {
		if (!build_target(b, r->items[i]))
			continue;
		r->items[n] = r->items[i];
		r->labels[n++] = r->labels[i];
	}
	r->n = n;
	b->labelled_node = node;
	return !r->nomem;
}

bool build_label(void *ctx, const struct ph_graph *g, uint32_t node, uint64_t edge, struct ph_label *ret)
{
	struct ph_build *b = ctx;
	if (b->labelled_node != node && !relabel(b, g, node))
		return false;
	if (edge >= b->labelled.n)
		return false;
	ph_object_label(b->os, &b->labelled.labels[edge], ret);
	return true;
}
