/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit of reference counts: how many of an object's references are not in the
 * graph, and who is known to hold them. A holder is believed only while there is
 * something left to explain, and a word only once. */
#include <stdio.h>
#include <pyheap/analysis.h>

/* One reference that has an explanation. */
struct claim {
	uint32_t node;
	uint32_t name; /* index into names */
};

struct ph_excess {
	const struct ph_graph *g;
	uint32_t *found;   /* [g->n] counted references in the graph */
	uint32_t *left;    /* [g->n] references without an explanation */
	struct PH_VEC(struct claim) claims;
	struct PH_VEC(char *) names;
	ph_addr *words;    /* hash of the words that were believed, 0 = free */
	size_t nwords, words_size;
	bool sorted;
};

static bool is_counted(const struct ph_graph *g, uint32_t node)
{
	return !(g->flags[node] & PH_NODE_IMMORTAL) && g->refcount[node] != UINT32_MAX;
}

struct ph_err *ph_excess_compute(const struct ph_graph *g, struct ph_excess **ret)
{
	struct ph_excess *e = calloc(1, sizeof *e);
	if (!e)
		return ph_err_nomem();
	e->g = g;
	e->found = ph_big_alloc((uint64_t)g->n * sizeof *e->found);
	e->left = ph_big_alloc((uint64_t)g->n * sizeof *e->left);
	if (!e->found || !e->left) {
		ph_excess_free(e);
		return ph_err_nomem();
	}
	for (uint64_t i = 0; i < g->nedges && !ph_interrupted_at(i); i++)
		if (!(g->edges[i] & PH_EDGE_BORROWED))
			e->found[g->edges[i] & PH_EDGE_ID]++;
	for (uint32_t i = 1; i < g->n && !ph_interrupted_at(i); i++)
		if (is_counted(g, i) && g->refcount[i] > e->found[i])
			e->left[i] = g->refcount[i] - e->found[i];
	if (ph_interrupted) {
		ph_excess_free(e);
		return ph_err_interrupted();
	}
	*ret = e;
	return NULL;
}

void ph_excess_free(struct ph_excess *e)
{
	if (!e)
		return;
	if (e->found)
		ph_big_free(e->found, (uint64_t)e->g->n * sizeof *e->found);
	if (e->left)
		ph_big_free(e->left, (uint64_t)e->g->n * sizeof *e->left);
	for (size_t i = 0; i < e->names.n; i++)
		free(e->names.items[i]);
	ph_vec_free(&e->names);
	ph_vec_free(&e->claims);
	free(e->words);
	free(e);
}

bool ph_excess_of(const struct ph_excess *e, uint32_t node, int64_t *ret)
{
	*ret = (int64_t)e->g->refcount[node] - (int64_t)e->found[node];
	return is_counted(e->g, node);
}

uint32_t ph_excess_left(const struct ph_excess *e, uint32_t node)
{
	return e->left[node];
}

/* ---- words are believed once ------------------------------------------------------- */

static size_t word_slot(const struct ph_excess *e, ph_addr at)
{
	size_t i = (size_t)(at >> 3) * 0x9e3779b97f4a7c15u >> 20 & (e->words_size - 1);
	while (e->words[i] && e->words[i] != at)
		i = (i + 1) & (e->words_size - 1);
	return i;
}

static bool words_grow(struct ph_excess *e)
{
	size_t n = e->words_size;
	ph_addr *old = e->words;
	if (n && e->nwords < n / 2)
		return true;
	e->words = calloc(n ? 2 * n : 1024, sizeof *e->words);
	if (!e->words) {
		e->words = old;
		return false;
	}
	e->words_size = n ? 2 * n : 1024;
	for (size_t i = 0; i < n; i++)
		if (old[i])
			e->words[word_slot(e, old[i])] = old[i];
	free(old);
	return true;
}

/* No object is smaller that refers to others; of what is counted as its size more
 * may lie elsewhere, so that it may seem to reach into its neighbour. */
#define OBJECT_MIN 48
#define EDGES_LOOKED 1024 /* of one object; a long list must not be gone through for every word */

/* Is the word one of an object that is known in full, or of one with an edge there? */
static bool is_an_edge(const struct ph_graph *g, ph_addr at, uint32_t to)
{
	uint32_t node = ph_graph_find_before(g, at);
	if (!node || at - ph_graph_address(g, node) >= ph_graph_shallow(g, node))
		return false;
	if (at - ph_graph_address(g, node) < OBJECT_MIN && ph_graph_whole(g, node))
		return true;
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(g, node, &n);
	for (uint64_t i = 0; i < n && i < EDGES_LOOKED; i++)
		if ((edges[i] & PH_EDGE_ID) == to)
			return true;
	return false;
}

/* ---- claims ------------------------------------------------------------------------------ */

static bool claim_add(struct ph_excess *e, uint32_t node, const char *name)
{
	if (!e->names.n || strcmp(e->names.items[e->names.n - 1], name)) {
		char *copy = strdup(name);
		if (!copy || !PH_VEC_PUSH(&e->names, copy)) {
			free(copy);
			return false;
		}
	}
	e->left[node]--;
	e->sorted = false;
	return PH_VEC_PUSH(&e->claims, (struct claim){ node, (uint32_t)e->names.n - 1 });
}

int ph_excess_claim(struct ph_excess *e, ph_addr object, ph_addr at, bool scanned, const char *name)
{
	uint32_t node = ph_graph_find(e->g, object);
	if (!node)
		return 0;
	if (!e->left[node] || (scanned && is_an_edge(e->g, at, node)))
		return 1;
	if (!words_grow(e))
		return -1;
	size_t slot = word_slot(e, at);
	if (e->words[slot])
		return 1;
	e->words[slot] = at;
	e->nwords++;
	return claim_add(e, node, name) ? 1 : -1;
}

/* More than this is not listed, so that it need not be remembered either. */
bool ph_excess_claim_all(struct ph_excess *e, uint32_t node, uint64_t n, const char *name)
{
	for (unsigned i = 0; n && e->left[node] && i < PH_EXCESS_HOLDERS; i++, n--)
		if (!claim_add(e, node, name))
			return false;
	e->left[node] -= n < e->left[node] ? (uint32_t)n : e->left[node];
	return true;
}

void ph_excess_close(struct ph_excess *e, uint32_t node)
{
	e->left[node] = 0;
}

bool ph_excess_claim_found(struct ph_excess *e)
{
	const struct ph_graph *g = e->g;
	for (uint32_t node = 1; node < g->n; node++) {
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(g, node, &n);
		if (ph_interrupted_at(node))
			return false;
		/* the states of modules are gone through by name */
		if (ph_graph_whole(g, node) || !strcmp(g->types[g->type[node]].name, "module"))
			continue;
		for (uint64_t i = 0; i < n; i++) {
			uint32_t to = edges[i] & PH_EDGE_ID;
			if (!(edges[i] & PH_EDGE_BORROWED) || !e->left[to])
				continue;
			char name[256];
			snprintf(name, sizeof name, "contents of %s", g->types[g->type[node]].name);
			if (!claim_add(e, to, name))
				return false;
		}
	}
	return true;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int by_node(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	if (x->node != y->node)
		return x->node < y->node ? -1 : 1;
	return (x->name > y->name) - (x->name < y->name); /* in the order they came */
}

unsigned ph_excess_holders(struct ph_excess *e, uint32_t node, const char *names[PH_EXCESS_HOLDERS])
{
	size_t lo = 0, hi = e->claims.n;
	unsigned n = 0;
	if (!e->sorted && hi)
		qsort(e->claims.items, hi, sizeof *e->claims.items, by_node);
	e->sorted = true;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (e->claims.items[mid].node < node)
			lo = mid + 1;
		else
			hi = mid;
	}
	unsigned max = PH_EXCESS_HOLDERS - !!e->left[node];
	for (; n < max && lo < e->claims.n && e->claims.items[lo].node == node; lo++)
		names[n++] = e->names.items[e->claims.items[lo].name];
	if (e->left[node])
		names[n++] = "C";
	return n;
}
