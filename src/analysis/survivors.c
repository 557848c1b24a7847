/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects of one process that came after its first moment and stayed. */
#include "analysis_priv.h"

struct ph_err *ph_population_init(struct ph_population *p, const struct ph_graph *g)
{
	uint32_t *canonical ph_cleanup_free = ph_types_canonical(g);
	*p = (struct ph_population){ .n = (uint32_t)g->objects };
	p->address = ph_big_alloc(p->n * sizeof *p->address);
	p->type = ph_big_alloc(p->n * sizeof *p->type);
	p->bytes = ph_big_alloc(p->n * sizeof *p->bytes);
	p->names = calloc(g->ntypes + 1ull, sizeof *p->names);
	bool ok = canonical && p->address && p->type && p->bytes && p->names;
	for (; ok && p->ntypes < g->ntypes; p->ntypes++)
		ok = (p->names[p->ntypes] = strdup(g->types[p->ntypes].name)) != NULL;
	if (!ok) {
		ph_population_deinit(p);
		return ph_err_nomem();
	}
	for (uint32_t i = 0, node = 1; node < g->n; node++) {
		uint64_t bytes = ph_graph_bytes(g, node);
		if (!ph_graph_selected(g, node))
			continue;
		p->address[i] = g->address[node];
		p->type[i] = canonical[g->type[node]];
		p->bytes[i++] = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
	}
	return NULL;
}

void ph_population_deinit(struct ph_population *p)
{
	ph_big_free(p->address, p->n * sizeof *p->address);
	ph_big_free(p->type, p->n * sizeof *p->type);
	ph_big_free(p->bytes, p->n * sizeof *p->bytes);
	for (uint32_t i = 0; p->names && i < p->ntypes; i++)
		free(p->names[i]);
	free(p->names);
	*p = (struct ph_population){ 0 };
}

/* Whether p has the object at an address with a type of this name; *at goes on from
 * question to question, as addresses ascend. */
static bool has(const struct ph_population *p, uint32_t *at, ph_addr address, const char *type)
{
	while (*at < p->n && p->address[*at] < address)
		++*at;
	return *at < p->n && p->address[*at] == address && !strcmp(p->names[p->type[*at]], type);
}

static int by_bytes(const void *pa, const void *pb)
{
	const struct ph_survivors_row *a = pa, *b = pb;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return strcmp(a->type, b->type);
}

struct ph_err *ph_survivors_find(const struct ph_population *p, uint32_t n, struct ph_survivors_row **ret_rows,
				 uint32_t *ret_n)
{
	const struct ph_population *last = &p[n - 1];
	struct ph_survivors_row *rows = calloc(last->ntypes + 1ull, sizeof *rows);
	uint32_t *at ph_cleanup_free = calloc(n, sizeof *at);
	*ret_n = 0;
	if (!rows || !at) {
		free(rows);
		return ph_err_nomem();
	}
	for (uint32_t i = 0; i < last->n; i++) {
		const char *type = last->names[last->type[i]];
		bool survives = !has(&p[0], &at[0], last->address[i], type);
		for (uint32_t m = 1; survives && m + 1 < n; m++)
			survives = has(&p[m], &at[m], last->address[i], type);
		rows[last->type[i]].count += survives;
		rows[last->type[i]].bytes += survives ? last->bytes[i] : 0;
	}
	for (uint32_t t = 0; t < last->ntypes; t++)
		if (rows[t].count)
			rows[(*ret_n)++] = (struct ph_survivors_row){ last->names[t], rows[t].count, rows[t].bytes };
	qsort(rows, *ret_n, sizeof *rows, by_bytes);
	*ret_rows = rows;
	return NULL;
}
