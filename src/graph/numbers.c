/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers that nobody will ask for. A label shows a number only where it is a key or an
 * element, so one to which lists and instances of Python classes alone refer is never read
 * again once the graph is there. Whole pages of them, as there are in the heap of whoever
 * keeps millions, are given back before the analyses need memory. */
#include "build.h"

#define WORTH (256ull << 20) /* bytes of memory that make it worth a pass over all objects */
#define PAGE 4096u
#define NUMBER_BYTES 64u     /* larger ones may stand beside anything */
#define ALIGNMENT 16u        /* of objects and blocks */

/* CPython's allocator cuts pools into blocks of one size, which has no objects in it only: items
 * of short lists are as long as numbers, and may lie across the end of a page. So a page has
 * to be full, but for the head of a pool, which is known by the blocks' size and by where the
 * last one begins, and for what no block fits in at the end of a pool. */
#define POOL_HEAD 48u
#define POOL_CLASS 36u       /* u32: the blocks' size / 16 − 1 */
#define POOL_LAST 44u        /* u32: where the last block may begin */
#define POOL_LARGE 16384u     /* they begin at multiples of their size */
static const uint32_t pool_sizes[] = { PAGE, POOL_LARGE };

enum { OTHER, NUMBER, SILENT /* its labels do not show what it refers to */ };

struct numbers {
	const struct ph_build *b;
	const struct ph_graph *g;
	uint8_t *kinds;      /* [ntypes] of the above */
	uint64_t *asked;     /* bitmap of nodes: numbers that may be asked for */
	ph_addr page;        /* in address order; the page that is looked at … */
	uint32_t covered;    /* … so many bytes of it are objects … */
	uint32_t before;     /* … this many stand before the first of them, … */
	uint32_t first;      /* … which is so long … */
	bool kept;           /* … and not all are numbers */
	ph_addr start, end;  /* pages before it that can go */
};

static void find_kinds(struct numbers *k)
{
	const struct ph_kind *plain = NULL;
	for (const struct ph_type *t = k->b->os->first; t; t = t->next)
		if (!t->base && !t->heap)
			plain = t->kind;
	for (const struct ph_type *t = k->b->os->first; t; t = t->next) {
		if (!t->heap && t->leaf && (!strcmp(t->name, "int") || !strcmp(t->name, "float")))
			k->kinds[t->id] = NUMBER;
		else if (t->python_class ? plain && t->kind == plain : !t->heap && !strcmp(t->name, "list"))
			k->kinds[t->id] = SILENT;
	}
}

static void find_asked(struct numbers *k)
{
	const struct ph_graph *g = k->g;
	for (uint32_t node = 1; node < g->n && !ph_interrupted_at(node); node++) {
		uint64_t n;
		const uint32_t *edges = ph_graph_edges(g, node, &n);
		if (!n || k->kinds[g->type[node]] == SILENT)
			continue;
		for (uint64_t e = 0; e < n; e++) {
			uint32_t to = edges[e] & PH_EDGE_ID;
			if (e + 8 < n)
				__builtin_prefetch(&g->type[edges[e + 8] & PH_EDGE_ID]);
			if (k->kinds[g->type[to]] == NUMBER)
				k->asked[to / 64] |= 1ull << to % 64;
		}
	}
}

static void drop_pages(struct numbers *k)
{
	if (k->end > k->start)
		ph_mem_drop(k->b->os->mem, k->start, k->end);
	k->start = k->end = k->page;
}

/* Of the pool that begins with the page; 0: none does. */
static uint32_t pool_size(const struct numbers *k)
{
	const uint8_t *head = k->before == POOL_HEAD ? ph_mem_at(k->b->os->mem, k->page, POOL_HEAD) : NULL;
	for (size_t i = 0; head && i < sizeof pool_sizes / sizeof *pool_sizes; i++)
		if (ph_load_u32(head + POOL_CLASS) == k->first / 16 - 1 &&
		    ph_load_u32(head + POOL_LAST) == pool_sizes[i] - k->first)
			return pool_sizes[i];
	return 0;
}

static bool can_go(const struct numbers *k)
{
	uint32_t size, left = PAGE - k->before - k->covered;
	if (k->kept || !k->covered)
		return false;
	size = pool_size(k);
	if (k->before && !size)
		return false;
	return !left || (left == ALIGNMENT && (size == PAGE || (k->page + PAGE) % POOL_LARGE == 0));
}

static void turn_page(struct numbers *k, ph_addr page)
{
	if (can_go(k)) {
		if (k->end != k->page)
			drop_pages(k);
		k->end = k->page + PAGE;
	}
	k->page = page;
	k->covered = 0;
	k->kept = false;
}

/* What is at the next address is `bytes` long. */
static inline void look_at(struct numbers *k, ph_addr addr, uint64_t bytes, bool number)
{
	while (bytes) {
		uint64_t left = PAGE - addr % PAGE, n = bytes < left ? bytes : left;
		if (addr - addr % PAGE != k->page) {
			turn_page(k, addr - addr % PAGE);
			k->before = addr % PAGE;
			k->first = (uint32_t)bytes;
		}
		k->covered += (uint32_t)n;
		k->kept |= !number;
		addr += n;
		bytes -= n;
	}
}

static void give_back(struct numbers *k)
{
	const struct ph_index *index = &k->b->index;
	struct build_cursor c = { .mem = k->b->os->mem };
	uint32_t node = 1;
	for (uint64_t w = 0; w < index->nwords && !ph_interrupted_at(w); w++)
		for (uint64_t bits = index->words[w].bits; bits; bits &= bits - 1, node++) {
			ph_addr addr = build_address(&c, w * INDEX_SPAN + 8 * (uint64_t)__builtin_ctzll(bits));
			uint64_t bytes = (ph_graph_shallow(k->g, node) + ALIGNMENT - 1) & ~(ALIGNMENT - 1ull);
			bool number = k->kinds[k->g->type[node]] == NUMBER && bytes <= NUMBER_BYTES &&
				      !(k->asked[node / 64] >> node % 64 & 1);
			look_at(k, addr, bytes < NUMBER_BYTES ? bytes : NUMBER_BYTES, number);
		}
	turn_page(k, 0);
	drop_pages(k);
}

void build_forget_numbers(void *ctx, const struct ph_graph *g)
{
	struct ph_build *b = ctx;
	const struct ph_mem *mem = b->os->mem;
	if (b->rt->target->kind != PH_TARGET_PROCESS || mem->pager || mem->linear_size < WORTH)
		return;
	struct numbers k = { .b = b, .g = g };
	k.kinds = calloc(g->ntypes + 1ull, 1);
	k.asked = calloc(g->n / 64 + 1ull, sizeof *k.asked);
	if (k.kinds && k.asked) { /* else: it stays */
		find_kinds(&k);
		find_asked(&k);
		if (!ph_interrupted)
			give_back(&k);
	}
	free(k.kinds);
	free(k.asked);
}
