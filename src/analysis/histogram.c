/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects by type, and what the instances of a type retain together. */
#include "analysis_priv.h"

struct named {
	const char *name;
	uint32_t index;
};

static int by_name(const void *pa, const void *pb)
{
	const struct named *a = pa, *b = pb;
	int c = strcmp(a->name, b->name);
	return c ? c : (a->index > b->index) - (a->index < b->index);
}

uint32_t *ph_types_canonical(const struct ph_graph *g)
{
	uint32_t *ret = malloc((g->ntypes + 1ull) * sizeof *ret);
	struct named *order ph_cleanup_free = malloc((g->ntypes + 1ull) * sizeof *order);
	if (!ret || !order) {
		free(ret);
		return NULL;
	}
	bool sorted = true;
	for (uint32_t i = 0; i < g->ntypes; i++) {
		order[i] = (struct named){ g->types[i].name, i };
		sorted &= i == 0 || strcmp(order[i - 1].name, order[i].name) <= 0;
	}
	if (!sorted)
		qsort(order, g->ntypes, sizeof *order, by_name);
	for (uint32_t i = 0; i < g->ntypes; i++) {
		bool same = i && strcmp(order[i - 1].name, order[i].name) == 0;
		ret[order[i].index] = same ? ret[order[i - 1].index] : order[i].index;
	}
	return ret;
}

/* The topmost node of its class on the way down to the current one. */
struct top {
	uint32_t end, class; /* what it dominates ends before this place in preorder */
};
struct tops PH_VEC(struct top);

/* Walks down the dominator tree; of each class only what is topmost counts. */
static bool sum_down(const struct ph_dominators *d, const struct ph_class_sum *s, bool *open, struct tops *tops)
{
	for (uint32_t i = 1; i < d->n; i++) {
		uint32_t node = d->preorder[i];
		if (ph_interrupted_at(i))
			return false;
		if (i + 16 < d->n) {
			uint32_t ahead = d->preorder[i + 16];
			__builtin_prefetch(&s->key[ahead]);
			__builtin_prefetch(&d->objects[ahead]);
			ph_ask_retained(d, ahead);
		}
		for (; tops->n && tops->items[tops->n - 1].end <= i; tops->n--)
			open[tops->items[tops->n - 1].class] = false;
		uint32_t class = s->class_of ? s->class_of[s->key[node]] : s->key[node];
		if (class == UINT32_MAX || open[class])
			continue;
		s->sum[class] += ph_retained(d, node);
		if (d->objects[node] == 1)
			continue;
		if (!PH_VEC_PUSH(tops, (struct top){ i + d->objects[node], class }))
			return false;
		open[class] = true;
	}
	return true;
}

struct ph_err *ph_dominators_sum(const struct ph_dominators *d, const struct ph_class_sum *s)
{
	bool *open ph_cleanup_free = calloc(s->nclasses + 1ull, sizeof *open);
	struct tops tops = { 0 };
	bool ok = open && sum_down(d, s, open, &tops);
	ph_vec_free(&tops);
	return ok ? NULL : ph_err_stopped();
}

struct row_order {
	const struct ph_graph *g;
	bool retained;
};

static int by_bytes(const void *pa, const void *pb, void *ctx)
{
	const struct ph_histogram_row *a = pa, *b = pb;
	const struct row_order *o = ctx;
	uint64_t ka = o->retained ? a->retained_bytes : a->shallow_bytes + a->uncounted_bytes;
	uint64_t kb = o->retained ? b->retained_bytes : b->shallow_bytes + b->uncounted_bytes;
	if (ka != kb)
		return ka > kb ? -1 : 1;
	return strcmp(o->g->types[a->type].name, o->g->types[b->type].name);
}

static void count_objects(const struct ph_graph *g, const uint32_t *canonical,
			  struct ph_histogram_row *rows)
{
	for (uint32_t v = 1; v < g->n && !ph_interrupted_at(v); v++) {
		if (!ph_graph_selected(g, v))
			continue;
		struct ph_histogram_row *row = &rows[canonical[g->type[v]]];
		row->count++;
		row->shallow_bytes += ph_graph_shallow(g, v);
		row->uncounted_bytes += ph_graph_uncounted(g, v);
	}
}

/* The type of each object that is asked about, UINT32_MAX of others. */
static uint32_t *selected_types(const struct ph_graph *g, const uint32_t *canonical)
{
	uint32_t *ret = malloc(g->n * sizeof *ret);
	for (uint32_t v = 0; ret && v < g->n; v++)
		ret[v] = v && ph_graph_selected(g, v) ? canonical[g->type[v]] : UINT32_MAX;
	return ret;
}

static struct ph_err *sum_retained(const struct ph_graph *g, const struct ph_dominators *d,
				   const uint32_t *canonical, struct ph_histogram_row *rows)
{
	uint64_t *sum ph_cleanup_free = calloc(g->ntypes + 1ull, sizeof *sum);
	uint32_t *key ph_cleanup_free = g->only ? selected_types(g, canonical) : NULL;
	if (!sum || (g->only && !key))
		return ph_err_nomem();
	struct ph_class_sum s = { key ? key : g->type, key ? NULL : canonical, g->ntypes, sum };
	struct ph_err *err = ph_dominators_sum(d, &s);
	for (uint32_t t = 0; !err && t < g->ntypes; t++)
		rows[t].retained_bytes = sum[t];
	return err;
}

struct ph_err *ph_histogram_compute(const struct ph_graph *g, const struct ph_dominators *d,
				    struct ph_histogram **ret)
{
	uint32_t *canonical ph_cleanup_free = ph_types_canonical(g);
	struct ph_histogram *h = calloc(1, sizeof *h);
	struct ph_err *err = NULL;
	if (!canonical || !h)
		goto nomem;
	h->rows = calloc(g->ntypes + 1ull, sizeof *h->rows);
	if (!h->rows)
		goto nomem;
	h->has_retained = d != NULL;
	count_objects(g, canonical, h->rows);
	if (d)
		err = sum_retained(g, d, canonical, h->rows);
	if (err) {
		ph_histogram_free(h);
		return err;
	}
	for (uint32_t t = 0; t < g->ntypes; t++) {
		h->rows[t].type = t;
		if (h->rows[t].count)
			h->rows[h->n++] = h->rows[t];
	}
	struct row_order order = { g, h->has_retained };
	qsort_r(h->rows, h->n, sizeof *h->rows, by_bytes, &order);
	*ret = h;
	return NULL;
nomem:
	ph_histogram_free(h);
	return ph_err_nomem();
}

void ph_histogram_free(struct ph_histogram *h)
{
	if (!h)
		return;
	free(h->rows);
	free(h);
}
