/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Labels and names of objects: an object is read once more, this time with labels. What
 * has a text gets a number, the same for all labels of that text. */
#include "build.h"

/* The tuple of a function's cells; node numbers. */
struct closure {
	uint32_t tuple, function;
};

struct build_texts {
	struct PH_VEC(struct ph_ref_label) labels; /* by number */
	uint32_t *slots;    /* hash of number + 1; a power of two of them, half full at most */
	uint32_t nslots;
	uint8_t *in_code;   /* [n] of nodes: strings that occur in code … */
	uint64_t *names;    /* … and hashes of their texts; 0 = empty */
	uint64_t nnames, names_size;
	bool has_names;
	struct PH_VEC(struct closure) closures; /* by tuple */
	bool has_closures;
};

void build_labels_free(struct ph_build *b)
{
	ph_refs_free(&b->labelled);
	ph_vec_free(&b->ids);
	if (!b->texts)
		return;
	ph_vec_free(&b->texts->labels);
	ph_vec_free(&b->texts->closures);
	free(b->texts->slots);
	free(b->texts->names);
	free(b->texts->in_code);
	free(b->texts);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

/* ---- numbers of labels ------------------------------------------------------------- */

static uint64_t label_hash(const struct ph_ref_label *l)
{
	return mix(mix(mix((uint64_t)l->kind << 32 | l->line) ^ l->key) ^ l->cstr ^ (uint64_t)(uintptr_t)l->name ^
		   l->code << 7);
}

static bool label_equal(const struct ph_ref_label *a, const struct ph_ref_label *b)
{
	return a->kind == b->kind && a->key == b->key && a->cstr == b->cstr && a->name == b->name &&
	       a->code == b->code && a->line == b->line;
}

static bool slots_grow(struct build_texts *t)
{
	if (t->labels.n * 2 < t->nslots)
		return true;
	uint32_t n = t->nslots ? t->nslots * 2 : 1024;
	uint32_t *slots = t->labels.n < 1u << 30 ? calloc(n, sizeof *slots) : NULL;
	if (!slots)
		return false;
	for (size_t i = 0; i < t->labels.n; i++) {
		uint64_t at = label_hash(&t->labels.items[i]);
		while (slots[at & (n - 1)])
			at++;
		slots[at & (n - 1)] = (uint32_t)i + 1;
	}
	free(t->slots);
	t->slots = slots;
	t->nslots = n;
	return true;
}

static bool label_number(struct build_texts *t, const struct ph_ref_label *l, ph_label_id *ret)
{
	if (!slots_grow(t))
		return false;
	uint64_t at = label_hash(l);
	for (; t->slots[at & (t->nslots - 1)]; at++) {
		uint32_t i = t->slots[at & (t->nslots - 1)] - 1;
		if (label_equal(&t->labels.items[i], l)) {
			*ret = PH_LABEL_ID(l->kind, i);
			return true;
		}
	}
	if (!PH_VEC_PUSH(&t->labels, *l))
		return false;
	t->slots[at & (t->nslots - 1)] = (uint32_t)t->labels.n;
	*ret = PH_LABEL_ID(l->kind, t->labels.n - 1);
	return true;
}

/* ---- cells of closures --------------------------------------------------------------- */

static int by_tuple(const void *pa, const void *pb)
{
	const struct closure *a = pa, *b = pb;
	return a->tuple != b->tuple ? (a->tuple > b->tuple) - (a->tuple < b->tuple)
				    : (a->function > b->function) - (a->function < b->function);
}

static bool holds_cells(const struct ph_graph *g, uint32_t tuple)
{
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(g, tuple, &n);
	if (g->types[g->type[tuple]].cls != PH_TYPE_CONTAINER)
		return false;
	for (uint64_t e = 0; e < n; e++)
		if (g->types[g->type[edges[e] & PH_EDGE_ID]].form != PH_FORM_CELL)
			return false;
	return n != 0;
}

static bool closures_fill(struct build_texts *t, const struct ph_graph *g)
{
	t->has_closures = true;
	for (uint32_t node = 1; node < g->n && !ph_interrupted_at(node); node++) {
		uint64_t n = 0;
		const uint32_t *edges = g->types[g->type[node]].form == PH_FORM_FUNCTION
						? ph_graph_edges(g, node, &n) : NULL;
		for (uint64_t e = 0; e < n; e++)
			if (holds_cells(g, edges[e] & PH_EDGE_ID) &&
			    !PH_VEC_PUSH(&t->closures, (struct closure){ edges[e] & PH_EDGE_ID, node }))
				return false;
	}
	if (t->closures.n)
		qsort(t->closures.items, t->closures.n, sizeof *t->closures.items, by_tuple);
	return true;
}

/* Cells have the names of the variables that the function's code has from outside. */
static bool cell_labels(struct ph_build *b, const struct ph_graph *g, uint32_t tuple)
{
	struct build_texts *t = b->texts;
	struct ph_ref_label label;
	if (!t->has_closures && !closures_fill(t, g))
		return false;
	struct closure key = { tuple, 0 };
	size_t lo = 0, hi = t->closures.n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (by_tuple(&t->closures.items[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == t->closures.n || t->closures.items[lo].tuple != tuple)
		return true;
	for (size_t e = 0; e < b->ids.n; e++)
		if (PH_LABEL_ID_KIND(b->ids.items[e]) == PH_LABEL_INDEX &&
		    ph_object_free_name(b->os, ph_graph_address(g, t->closures.items[lo].function),
					PH_LABEL_ID_NUMBER(b->ids.items[e]), b->ids.n, &label) &&
		    !label_number(t, &label, &b->ids.items[e]))
			return false;
	return true;
}

/* ---- labels of a node ---------------------------------------------------------------- */

/* Reads a node's references, unless it is the one that was read last: labels[e] of
 * b->labelled is then that of edge e. What leads nowhere was left out of the graph. */
static bool read_again(struct ph_build *b, const struct ph_graph *g, uint32_t node)
{
	struct ph_refs *r = &b->labelled;
	struct ph_object o;
	if (b->labelled_node == node)
		return true;
	r->n = b->ids.n = 0;
	r->labelled = true;
	b->labelled_node = 0;
	if (!ph_object_at(b->os, ph_graph_address(g, node), &o))
		return false;
	ph_object_refs(b->os, &o, r);
	if (r->nomem)
		return false;
	if (r->n != ph_graph_edge_start(g, node + 1) - ph_graph_edge_start(g, node)) {
		size_t n = 0;
		for (size_t i = 0; i < r->n; i++)
			if (build_target(b, r->items[i]))
				r->labels[n++] = r->labels[i];
		r->n = n;
	}
	b->labelled_node = node;
	return true;
}

static bool number_of(struct ph_build *b, uint64_t edge, ph_label_id *ret)
{
	*ret = PH_LABEL_ID(PH_LABEL_NONE, 0);
	if (edge >= b->labelled.n)
		return true; /* cannot be: the same was read before */
	const struct ph_ref_label *l = &b->labelled.labels[edge];
	if (l->kind != PH_LABEL_INDEX && l->kind != PH_LABEL_WORD && l->kind != PH_LABEL_REFERENT)
		return label_number(b->texts, l, ret);
	*ret = PH_LABEL_ID(l->kind, l->index);
	return true;
}

static bool number_all(struct ph_build *b, const struct ph_graph *g, uint32_t node)
{
	uint64_t edges = ph_graph_edge_start(g, node + 1) - ph_graph_edge_start(g, node);
	if (edges && b->ids.n == edges)
		return true; /* done before */
	b->ids.n = 0;
	if (!PH_VEC_RESERVE(&b->ids, edges + 1))
		return false;
	for (uint64_t e = 0; e < edges; e++)
		if (!number_of(b, e, &b->ids.items[b->ids.n++]))
			return false;
	return !holds_cells(g, node) || cell_labels(b, g, node);
}

static bool labels(void *ctx, const struct ph_graph *g, uint32_t node, const ph_label_id **ret)
{
	struct ph_build *b = ctx;
	if (!b->texts && !(b->texts = calloc(1, sizeof *b->texts)))
		return false;
	if (!read_again(b, g, node))
		return false;
	if (!number_all(b, g, node)) {
		b->labelled_node = 0;
		return false;
	}
	*ret = b->ids.items;
	return true;
}

static bool label(void *ctx, const struct ph_graph *g, uint32_t node, uint64_t edge, ph_label_id *ret)
{
	struct ph_build *b = ctx;
	const ph_label_id *all;
	if (!b->texts && !(b->texts = calloc(1, sizeof *b->texts)))
		return false;
	if (!holds_cells(g, node))
		return read_again(b, g, node) && number_of(b, edge, ret);
	if (!labels(ctx, g, node, &all))
		return false;
	*ret = all[edge];
	return true;
}

/* ---- which keys are names: those that occur in code -------------------------------------- */

static uint64_t text_hash(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
	hash = mix(hash);
	return hash ? hash : 1;
}

static uint64_t *name_slot(const struct build_texts *t, uint64_t hash)
{
	uint64_t at = hash;
	while (t->names[at & (t->names_size - 1)] && t->names[at & (t->names_size - 1)] != hash)
		at++;
	return &t->names[at & (t->names_size - 1)];
}

static bool name_add(struct build_texts *t, uint64_t hash)
{
	if (t->nnames * 2 >= t->names_size) {
		uint64_t *old = t->names, n = t->names_size;
		uint64_t *bigger = calloc(n ? n * 2 : 4096, sizeof *bigger);
		if (!bigger)
			return false;
		t->names = bigger;
		t->names_size = n ? n * 2 : 4096;
		for (uint64_t i = 0; i < n; i++)
			if (old[i])
				*name_slot(t, old[i]) = old[i];
		free(old);
	}
	uint64_t *slot = name_slot(t, hash);
	t->nnames += !*slot;
	*slot = hash;
	return true;
}

#define NESTED 2 /* tuples of constants within tuples of constants */

static bool names_below(struct ph_build *b, const struct ph_graph *g, uint32_t node, bool texts, unsigned depth)
{
	char text[sizeof ((struct ph_label *)0)->name];
	for (uint64_t e = ph_graph_edge_start(g, node); e < ph_graph_edge_start(g, node + 1); e++) {
		uint32_t to = g->edges[e] & PH_EDGE_ID;
		const char *type = g->types[g->type[to]].name;
		bool is_str = !strcmp(type, "str");
		b->texts->in_code[to] |= is_str;
		if (is_str && texts && ph_py_str(b->rt, ph_graph_address(g, to), text, sizeof text) &&
		    !name_add(b->texts, text_hash(text)))
			return false;
		if (!is_str && depth < NESTED && (!strcmp(type, "tuple") || !strcmp(type, "frozenset")) &&
		    !names_below(b, g, to, texts, depth + 1))
			return false;
	}
	return true;
}

static void names_fill(struct ph_build *b, const struct ph_graph *g, bool texts)
{
	if (!b->texts->in_code && !(b->texts->in_code = calloc(g->n, 1)))
		return;
	for (uint32_t node = 1; node < g->n && !ph_interrupted_at(node); node++)
		if (g->types[g->type[node]].cls == PH_TYPE_INFRASTRUCTURE &&
		    !strcmp(g->types[g->type[node]].name, "code") && !names_below(b, g, node, texts, 0))
			return; /* out of memory: fewer names are known, and more is hidden */
}

/* Names are interned, so most keys are the very string that is in code; only for one that
 * is not are the texts read, of all of them. */
static bool is_name_in_code(struct ph_build *b, const struct ph_graph *g, ph_addr key, const char *name)
{
	struct build_texts *t = b->texts;
	if (!t->in_code)
		names_fill(b, g, false);
	if (t->in_code && t->in_code[build_target(b, key)])
		return true;
	if (!t->has_names)
		names_fill(b, g, t->has_names = true);
	return t->names_size && *name_slot(t, text_hash(name));
}

static void text(void *ctx, const struct ph_graph *g, ph_label_id id, struct ph_label *ret)
{
	struct ph_build *b = ctx;
	char name[sizeof ret->name];
	if (!b->texts || PH_LABEL_ID_NUMBER(id) >= b->texts->labels.n)
		return;
	ph_object_label(b->os, &b->texts->labels.items[PH_LABEL_ID_NUMBER(id)], ret);
	if ((ret->kind != PH_LABEL_VALUE && ret->kind != PH_LABEL_KEY) || !ph_py_str(b->rt, ret->key, name, sizeof name))
		return;
	ret->is_name = is_name_in_code(b, g, ret->key, name);
}

static bool describe(void *ctx, const struct ph_graph *g, uint32_t node, char *buf, size_t max)
{
	struct ph_build *b = ctx;
	struct ph_object o;
	return ph_object_at(b->os, ph_graph_address(g, node), &o) && ph_object_describe(b->os, &o, buf, max);
}

const struct ph_graph_names build_names = { build_node_address, labels, text, describe, label, build_find_before,
					    build_forget_numbers };
