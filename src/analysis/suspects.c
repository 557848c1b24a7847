/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The most telling findings about a heap: what retains a fair share of it. */
#include "paths_priv.h"

#define SHARE_PERCENT 2         /* of the heap's bytes, … */
#define SMALLEST (64u << 10)    /* … and so many */

/* Of which type those retain most that the objects immediately dominate. */
static bool find_mostly(const struct ph_graph *g, const struct ph_dominators *d, struct ph_suspects *s)
{
	struct sum {
		uint64_t count, bytes;
	};
	uint64_t ntypes = g->ntypes + 1ull;
	uint32_t *canonical ph_cleanup_free = ph_types_canonical(g);
	struct sum *sums ph_cleanup_free = calloc(ntypes * PH_SUSPECTS, sizeof *sums);
	if (!canonical || !sums)
		return false;
	for (uint32_t node = 1; node < d->n && !ph_interrupted_at(node); node++)
		for (uint32_t i = 0; i < s->n; i++) {
			if (!s->rows[i].node || d->idom[node] != s->rows[i].node)
				continue;
			struct sum *sum = &sums[i * ntypes + canonical[g->type[node]]];
			sum->count++;
			sum->bytes += ph_retained(d, node);
		}
	for (uint32_t i = 0; i < s->n; i++) {
		const struct sum *of = sums + i * ntypes;
		uint64_t most = 0;
		for (uint32_t t = 0; t < g->ntypes; t++) {
			if (of[t].bytes <= most)
				continue;
			most = of[t].bytes;
			s->rows[i].mostly = t;
			s->rows[i].mostly_count = of[t].count;
		}
	}
	return true;
}

static struct ph_err *find_paths(const struct ph_graph *g, struct ph_suspects *s)
{
	uint32_t nodes[PH_SUSPECTS];
	struct ph_reach_options options = { .only = nodes };
	struct ph_reach *r;
	for (uint32_t i = 0; i < s->n; i++)
		if (s->rows[i].node)
			nodes[options.nonly++] = s->rows[i].node;
	if (!options.nonly)
		return NULL;
	struct ph_err *err = ph_reach_compute(g, &options, &r);
	if (err)
		return err;
	for (uint32_t i = 0; !err && i < s->n; i++)
		if (s->rows[i].node)
			err = ph_path_find(r, s->rows[i].node, &s->rows[i].path);
	ph_reach_free(r);
	return err;
}

static int by_retained(const void *pa, const void *pb)
{
	const struct ph_suspect *a = pa, *b = pb;
	if (a->retained_bytes != b->retained_bytes)
		return a->retained_bytes > b->retained_bytes ? -1 : 1;
	return (a->node > b->node) - (a->node < b->node);
}

/* Garbage is one suspect, whatever it is made of. */
static void choose(const struct ph_graph *g, const struct ph_heaviest *h, struct ph_suspects *s)
{
	uint64_t total = g->shallow_bytes + g->uncounted_bytes;
	uint64_t least = total / 100 * SHARE_PERCENT > SMALLEST ? total / 100 * SHARE_PERCENT : SMALLEST;
	struct ph_suspect all[PH_SUSPECTS + 1];
	uint32_t n = 0;
	if (g->garbage_bytes >= least)
		all[n++] = (struct ph_suspect){ .objects = g->garbage_objects, .retained_bytes = g->garbage_bytes };
	for (uint32_t i = 0; i < h->n && n <= PH_SUSPECTS && h->rows[i].retained_bytes >= least; i++)
		if (!(g->flags[h->rows[i].node] & PH_NODE_GARBAGE))
			all[n++] = (struct ph_suspect){ .node = h->rows[i].node, .objects = h->rows[i].objects,
							.retained_bytes = h->rows[i].retained_bytes };
	qsort(all, n, sizeof *all, by_retained);
	s->n = n < PH_SUSPECTS ? n : PH_SUSPECTS;
	memcpy(s->rows, all, s->n * sizeof *all);
}

struct ph_err *ph_suspects_find(const struct ph_graph *g, const struct ph_dominators *d, struct ph_suspects *ret)
{
	struct ph_heaviest *h;
	*ret = (struct ph_suspects){ 0 };
	struct ph_err *err = ph_heaviest_find(g, d, 0, false, &h);
	if (err)
		return err;
	choose(g, h, ret);
	ph_heaviest_free(h);
	if (ret->n && !find_mostly(g, d, ret))
		return ph_err_nomem();
	return find_paths(g, ret);
}

void ph_suspects_deinit(struct ph_suspects *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		ph_path_deinit(&s->rows[i].path);
	s->n = 0;
}
