/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Demand loading in windows of 1 MiB of target addresses.
 *
 * Reads through the block index are not seen here, so age alone cannot tell
 * which windows are in use. Therefore two queues: a window that is asked for is
 * hot and has its index entries; hot windows above half the budget turn cold,
 * oldest first: they stay loaded but leave the index, so that the next read
 * comes here and makes them hot again. Only windows that have been cold for
 * KEEP further asks are dropped. */
#include <sys/mman.h>
#include <sys/queue.h>
#include "pager.h"

#define WINDOW_BITS 20
#define WINDOW (1ull << WINDOW_BITS)
#define PAGE_BITS 12
#define PAGE (1ull << PAGE_BITS)
#define ROWS (1u << (PH_ADDR_BITS - 32))
#define ROW_WINDOWS (1u << (32 - WINDOW_BITS))
#define KEEP 64

struct window {
	TAILQ_ENTRY(window) link;
	ph_addr addr;
	uint64_t bytes;                       /* loaded: what segments have of it */
	uint64_t cold_since;                  /* tick; only when !hot */
	uint64_t bad[WINDOW / PAGE / 64];     /* pages that cannot be read */
	bool hot;
};
TAILQ_HEAD(window_queue, window);

struct ph_pager {
	size_t (*load)(void *ctx, ph_addr addr, void *buf, size_t n);
	void *ctx;
	uint64_t budget, loaded, hot_bytes;
	uint64_t tick;                        /* asks so far */
	struct window_queue hot, cold;        /* oldest first */
	struct window ***rows;                /* [addr >> 32] → [addr >> 20 & 0xfff] */
};

struct ph_pager *ph_pager_new(uint64_t budget,
			      size_t (*load)(void *ctx, ph_addr addr, void *buf, size_t n), void *ctx)
{
	struct ph_pager *pager = calloc(1, sizeof *pager);
	if (!pager)
		return NULL;
	pager->rows = calloc(ROWS, sizeof *pager->rows);
	if (!pager->rows) {
		free(pager);
		return NULL;
	}
	pager->load = load;
	pager->ctx = ctx;
	pager->budget = budget > 2 * KEEP * WINDOW ? budget : 2 * KEEP * WINDOW;
	TAILQ_INIT(&pager->hot);
	TAILQ_INIT(&pager->cold);
	return pager;
}

static void queue_free(struct window_queue *queue)
{
	struct window *w;
	while ((w = TAILQ_FIRST(queue))) {
		TAILQ_REMOVE(queue, w, link);
		free(w);
	}
}

void ph_pager_free(struct ph_pager *pager)
{
	if (!pager)
		return;
	queue_free(&pager->hot);
	queue_free(&pager->cold);
	for (size_t i = 0; i < ROWS; i++)
		free(pager->rows[i]);
	free(pager->rows);
	free(pager);
}

/* Where the pointer to the window of addr is kept; NULL when memory is out. */
static struct window **window_slot(struct ph_pager *pager, ph_addr addr)
{
	struct window ***row = &pager->rows[addr >> 32];
	if (!*row && !(*row = calloc(ROW_WINDOWS, sizeof **row)))
		return NULL;
	return &(*row)[addr >> WINDOW_BITS & (ROW_WINDOWS - 1)];
}

static void set_bad(struct window *w, ph_addr addr)
{
	uint64_t page = (addr - w->addr) >> PAGE_BITS;
	w->bad[page / 64] |= 1ull << page % 64;
}

static bool any_bad(const struct window *w, ph_addr start, ph_addr end)
{
	for (ph_addr a = start & -PAGE; a < end; a += PAGE) {
		uint64_t page = (a - w->addr) >> PAGE_BITS;
		if (w->bad[page / 64] >> page % 64 & 1)
			return true;
	}
	return false;
}

/* Calls fn for each segment's part of the window. */
static void each_part(const struct ph_mem *mem, struct window *w,
		      void (*fn)(const struct ph_mem *mem, struct window *w,
				 const struct ph_segment *seg, ph_addr start, ph_addr end))
{
	size_t lo = PH_RANGE_BEHIND(mem->segs, mem->nsegs, w->addr);
	for (; lo < mem->nsegs && mem->segs[lo].start < w->addr + WINDOW; lo++) {
		const struct ph_segment *seg = &mem->segs[lo];
		fn(mem, w, seg, seg->start > w->addr ? seg->start : w->addr,
		   seg->end < w->addr + WINDOW ? seg->end : w->addr + WINDOW);
	}
}

/* One page that cannot be read does not lose the next ones. */
static void load_part(const struct ph_mem *mem, struct window *w, const struct ph_segment *seg,
		      ph_addr start, ph_addr end)
{
	struct ph_pager *pager = mem->pager;
	if (seg->fixed)
		return;
	for (ph_addr a = start; a < end;) {
		size_t want = end - a;
		size_t got = pager->load(pager->ctx, a, (uint8_t *)seg->bytes + (a - seg->start), want);
		if (got >= want)
			break;
		a += got;
		set_bad(w, a);
		a = (a | (PAGE - 1)) + 1;
	}
	w->bytes += end - start;
}

/* Only whole pages of ours can be given back; the rest is loaded over. */
static void drop_part(const struct ph_mem *mem, struct window *w, const struct ph_segment *seg,
		      ph_addr start, ph_addr end)
{
	uintptr_t from = (uintptr_t)seg->bytes + (start - seg->start);
	uintptr_t to = ((uintptr_t)seg->bytes + (end - seg->start)) & -PAGE;
	(void)mem, (void)w;
	if (seg->fixed)
		return;
	from = (from + PAGE - 1) & -PAGE;
	if (from < to)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

static void index_part(const struct ph_mem *mem, struct window *w, const struct ph_segment *seg,
		       ph_addr start, ph_addr end)
{
	ph_addr a = (start + PH_BLOCK_SIZE - 1) & -PH_BLOCK_SIZE;
	for (; a + PH_BLOCK_SIZE <= end; a += PH_BLOCK_SIZE)
		if (!any_bad(w, a, a + PH_BLOCK_SIZE))
			ph_mem_index_block(mem, seg, a); /* without memory: the slow way */
}

static void make_hot(const struct ph_mem *mem, struct window *w)
{
	struct ph_pager *pager = mem->pager;
	TAILQ_REMOVE(w->hot ? &pager->hot : &pager->cold, w, link);
	TAILQ_INSERT_TAIL(&pager->hot, w, link);
	if (w->hot)
		return;
	w->hot = true;
	pager->hot_bytes += w->bytes;
	each_part(mem, w, index_part);
}

static void make_cold(const struct ph_mem *mem, struct window *w)
{
	struct ph_pager *pager = mem->pager;
	struct ph_block *row = mem->blocks[w->addr >> 32];
	TAILQ_REMOVE(&pager->hot, w, link);
	TAILQ_INSERT_TAIL(&pager->cold, w, link);
	w->hot = false;
	w->cold_since = pager->tick;
	pager->hot_bytes -= w->bytes;
	if (row)
		memset(&row[w->addr >> PH_BLOCK_BITS & 0xffff], 0,
		       (WINDOW >> PH_BLOCK_BITS) * sizeof *row);
}

static void drop(const struct ph_mem *mem, struct window *w)
{
	struct ph_pager *pager = mem->pager;
	each_part(mem, w, drop_part);
	pager->loaded -= w->bytes;
	*window_slot(pager, w->addr) = NULL;
	TAILQ_REMOVE(&pager->cold, w, link);
	free(w);
}

/* Makes room. What the current ask is about is behind the newest `keep` bytes of
 * the hot queue and is not touched. */
static void trim(const struct ph_mem *mem, uint64_t keep)
{
	struct ph_pager *pager = mem->pager;
	struct window *w;
	uint64_t most = pager->budget / 2 > keep ? pager->budget / 2 : keep;
	while (pager->hot_bytes > most && (w = TAILQ_FIRST(&pager->hot)))
		make_cold(mem, w);
	while (pager->loaded > pager->budget && (w = TAILQ_FIRST(&pager->cold)) &&
	       pager->tick - w->cold_since >= KEEP)
		drop(mem, w);
}

static struct window *window_get(const struct ph_mem *mem, ph_addr addr)
{
	struct ph_pager *pager = mem->pager;
	struct window **slot = window_slot(pager, addr);
	if (!slot)
		return NULL;
	if (!*slot) {
		struct window *w = calloc(1, sizeof *w);
		if (!w)
			return NULL;
		w->addr = addr & -WINDOW;
		each_part(mem, w, load_part);
		pager->loaded += w->bytes;
		TAILQ_INSERT_TAIL(&pager->cold, w, link);
		*slot = w;
	}
	make_hot(mem, *slot);
	return *slot;
}

bool ph_pager_load(const struct ph_mem *mem, ph_addr addr, uint64_t n)
{
	ph_addr end = addr + n;
	uint64_t keep = 0;
	bool ok = true;
	if (end < addr || end > 1ull << PH_ADDR_BITS)
		return false;
	mem->pager->tick++;
	for (ph_addr a = addr; ok && a < end; a = (a | (WINDOW - 1)) + 1) {
		ph_addr stop = (a | (WINDOW - 1)) + 1;
		struct window *w = window_get(mem, a);
		ok = w && !any_bad(w, a, stop < end ? stop : end);
		keep += w ? w->bytes : 0;
	}
	trim(mem, keep);
	return ok;
}
