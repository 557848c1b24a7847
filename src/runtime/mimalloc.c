/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Free-threaded builds have no gc lists: the collector goes through the heaps of mimalloc in
 * which its objects lie, and so do we. Facts: Python/gc_free_threading.c, Objects/mimalloc,
 * Include/internal/mimalloc/mimalloc/types.h.
 *
 * Heaps take their pages from segments, which begin at multiples of their size and know
 * themselves by a cookie made of their address. All segments are looked for, not the queues of
 * the heaps followed: pages that a thread is just moving, has left behind when it ended, or that
 * are full or huge are in a segment like all others. */
#include "runtime_priv.h"

#define SEGMENT_SIZE (32ull << 20)
#define SLICE_SIZE (64ull << 10)
#define HUGE_BLOCK (2ull << 30) /* mimalloc 2.1: block_size of a block that its page is all of */
#define DEBUG_HEAD 16           /* what the debug allocator puts before each block */
#define PRE_HEADER 16           /* weak references and dict, before some objects */
#define MAX_CAPACITY 65536      /* of a page: a 16 bit member */
#define MAX_THREADS 65536
#define MAX_QUEUES 256
#define LINK_FLAGS 3u           /* of the list of what other threads have freed */

/* ob_gc_bits */
#define GC_TRACKED 1u
#define GC_FROZEN 8u

struct heaps {
	const struct ph_runtime *rt;
	const struct ph_layout *l;
	struct ph_notes *notes;
	ph_tracked_fn *fn;
	void (*broken)(void *ctx, ph_addr at); /* or NULL */
	void *ctx;
	uint64_t key;                /* a segment's cookie without its address */
	uint32_t entries;            /* slices that a segment has */
	uint32_t page_size, slices;  /* of struct mi_page_s; where the first is in a segment */
	uint32_t tag[2];             /* of heaps of objects, and of objects behind a pre-header */
	uint32_t before;             /* bytes of a block before what it is used for */
	uint64_t npages;             /* met */
	unsigned of, which;          /* every of-th page is taken, from this one on */
	unsigned skip;               /* generations */
};

/* A page, checked: all its blocks are where memory can be. */
struct heap_page {
	ph_addr address, start;
	const uint8_t *bytes; /* its struct mi_page_s */
	uint64_t block_size;
	uint32_t capacity, reserved;
	uint32_t object;      /* where the object is in a block */
	uint32_t interp;      /* index of the interpreter whose it is, or PH_NO_INTERP */
};

static void complain(const struct heaps *w, ph_addr at)
{
	ph_note(w->notes, PH_NOTE_BAD_LIST, at);
	if (w->broken)
		w->broken(w->ctx, at);
}

/* A member of a page, as wide as it may be. */
static uint64_t member(const struct heaps *w, const uint8_t *page, enum ph_field f)
{
	const struct ph_member *m = &w->l->field[f];
	const uint8_t *p = page + m->offset;
	uint64_t v = m->size >= 8 ? ph_load_u64(p) : m->size >= 4 ? ph_load_u32(p) : m->size >= 2 ? ph_load_u16(p) : *p;
	return m->bits ? v >> m->bit & ((1ull << m->bits) - 1) : v;
}

/* ---- free blocks ----------------------------------------------------------------------------- */

/* The next free one. Debug builds turn and mask links by two keys of the page, and end a list
 * with the page's own address. */
static ph_addr link_next(const struct heaps *w, const struct heap_page *page, ph_addr block)
{
	uint64_t v;
	if (!ph_mem_u64(w->rt->mem, block, &v))
		return 0;
	if (!ph_layout_has(w->l, PH_F_HeapPage_keys))
		return v;
	const uint8_t *keys = page->bytes + ph_layout_off(w->l, PH_F_HeapPage_keys);
	uint64_t k0 = ph_load_u64(keys);
	unsigned turn = k0 & 63;
	v -= k0;
	v = (turn ? v >> turn | v << (64 - turn) : v) ^ ph_load_u64(keys + 8);
	return v == page->address ? 0 : v;
}

/* Sets the bits of the blocks on one of a page's lists. While lists are joined a block may be on
 * two of them, or lie above the capacity. */
static void free_list_walk(const struct heaps *w, const struct heap_page *page, ph_addr block, uint64_t *freed)
{
	for (uint32_t n = 0; block; n++, block = link_next(w, page, block)) {
		uint64_t i = (block - page->start) / page->block_size;
		if (block < page->start || i >= page->reserved || (block - page->start) % page->block_size ||
		    n >= page->reserved) {
			complain(w, page->address);
			return;
		}
		freed[i / 64] |= 1ull << (i & 63);
	}
}

/* ---- blocks ----------------------------------------------------------------------------------- */

/* False: the object was seen before. */
static inline bool block_take(const struct heaps *w, ph_addr object, const uint8_t *head, uint32_t interp)
{
	uint8_t bits = head[ph_layout_off(w->l, PH_F_PyObject_ob_gc_bits)];
	int generation = bits & GC_FROZEN ? PH_GENERATION_PERMANENT : PH_GENERATION_ANY;
	return !(bits & GC_TRACKED) || w->skip & 1u << generation || w->fn(w->ctx, object, generation, interp);
}

static void page_walk(const struct heaps *w, const struct heap_page *page)
{
	uint64_t freed[MAX_CAPACITY / 64];
	uint32_t need = ph_layout_size(w->l, PH_S_PyObject);
	uint64_t size = page->block_size;
	if (!member(w, page->bytes, PH_F_HeapPage_used) || page->object + need > size)
		return;
	memset(freed, 0, (page->reserved / 64 + 1) * sizeof *freed);
	free_list_walk(w, page, member(w, page->bytes, PH_F_HeapPage_free), freed);
	free_list_walk(w, page, member(w, page->bytes, PH_F_HeapPage_local_free), freed);
	free_list_walk(w, page, member(w, page->bytes, PH_F_HeapPage_thread_free) & ~(uint64_t)LINK_FLAGS, freed);
	const uint8_t *all = ph_mem_at(w->rt->mem, page->start, size * page->capacity);
	for (uint32_t i = 0; i < page->capacity; i++) {
		ph_addr object = page->start + i * size + page->object;
		if (freed[i / 64] >> (i & 63) & 1)
			continue;
		const uint8_t *head = all ? all + i * size + page->object : ph_mem_at(w->rt->mem, object, need);
		if (head && block_take(w, object, head, page->interp))
			continue;
		if (!ph_interrupted)
			complain(w, page->address);
		return;
	}
}

/* ---- pages ------------------------------------------------------------------------------------- */

static void place_blocks(const struct heaps *w, ph_addr segment, uint32_t slice, uint64_t nslices, struct heap_page *page)
{
	uint64_t size = member(w, page->bytes, PH_F_HeapPage_block_size), begin = segment + slice * SLICE_SIZE;
	if (ph_layout_has(w->l, PH_F_HeapPage_start)) {
		page->start = member(w, page->bytes, PH_F_HeapPage_start);
	} else { /* pages of small blocks begin so much later, for the sake of caches */
		page->start = begin + (size < 8 || size > 512 ? 0 : size > 64 ? size : 3 * size);
		if (size >= HUGE_BLOCK)
			size = nslices * SLICE_SIZE;
	}
	page->block_size = size;
}

/* A page of a heap of objects that begins in this slice; false: none does, or (told) an
 * impossible one. *ret_slices: that it, or what else is here, takes up. */
static bool page_read(const struct heaps *w, ph_addr segment, uint32_t slice, struct heap_page *page, uint64_t *ret_slices)
{
	*ret_slices = 1;
	page->address = segment + w->slices + (uint64_t)slice * w->page_size;
	page->bytes = ph_mem_at(w->rt->mem, page->address, w->page_size);
	/* the inside of a page, or never used */
	if (!page->bytes || member(w, page->bytes, PH_F_HeapPage_slice_offset))
		return false;
	uint64_t n = member(w, page->bytes, PH_F_HeapPage_slice_count);
	uint64_t tag = member(w, page->bytes, PH_F_HeapPage_tag);
	if (!n)
		return false;
	*ret_slices = n;
	place_blocks(w, segment, slice, n, page);
	if (!page->block_size || (tag != w->tag[0] && tag != w->tag[1]))
		return false;
	page->object = w->before + (tag == w->tag[1] ? PRE_HEADER : 0);
	page->capacity = (uint32_t)member(w, page->bytes, PH_F_HeapPage_capacity);
	page->reserved = (uint32_t)member(w, page->bytes, PH_F_HeapPage_reserved);
	ph_addr begin = segment + slice * SLICE_SIZE, end = begin + n * SLICE_SIZE;
	if (page->start >= begin && page->start < end && page->block_size <= end - page->start &&
	    page->capacity <= page->reserved && page->reserved < MAX_CAPACITY &&
	    page->reserved <= (end - page->start) / page->block_size)
		return true;
	if (!w->which) /* two threads read all pages, and share the blocks */
		complain(w, page->address);
	return false;
}

/* ---- segments ------------------------------------------------------------------------------------ */

static bool is_segment(const struct heaps *w, ph_addr at)
{
	uint64_t cookie, entries;
	return ph_mem_u64(w->rt->mem, at + ph_layout_off(w->l, PH_F_HeapSegment_cookie), &cookie) &&
	       (cookie ^ at) == w->key &&
	       ph_mem_u64(w->rt->mem, at + ph_layout_off(w->l, PH_F_HeapSegment_entries), &entries) &&
	       entries && entries <= w->entries;
}

/* ---- whose ------------------------------------------------------------------------------------------ */

/* Segments that threads of an interpreter have left behind are on two lists; the first one's
 * links have flags where a segment's address has zeroes. */
static bool is_abandoned_by(const struct heaps *w, ph_addr interp, ph_addr segment)
{
	static const enum ph_field heads[] = { PH_F_PyInterp_abandoned, PH_F_PyInterp_abandoned_visited };
	for (size_t i = 0; i < 2; i++) {
		uint64_t budget = w->rt->mem->whole_size / SLICE_SIZE;
		ph_addr at = rt_has(w->rt, heads[i]) ? rt_field(w->rt, interp, heads[i]) & ~(SEGMENT_SIZE - 1) : 0;
		for (; at && budget; budget--, at = rt_field(w->rt, at, PH_F_HeapSegment_abandoned_next))
			if (at == segment)
				return true;
	}
	return false;
}

/* mimalloc 2.2+: each interpreter has a part of its own, which its segments refer to. */
static bool has_subproc(const struct heaps *w, ph_addr interp, ph_addr subproc)
{
	return subproc && (subproc == interp + ph_layout_off(w->l, PH_F_PyInterp_subproc) ||
			   subproc == rt_field(w->rt, interp, PH_F_PyInterp_subproc));
}

/* By its heap, which lies in a thread's state; where that has ended, by its segment. */
static uint32_t interp_of(const struct heaps *w, ph_addr segment, const struct heap_page *page)
{
	const struct ph_runtime *rt = w->rt;
	if (rt->ninterps == 1)
		return 0;
	ph_addr heap = rt_has(rt, PH_F_HeapPage_heap) ? member(w, page->bytes, PH_F_HeapPage_heap) : 0;
	uint64_t tag = member(w, page->bytes, PH_F_HeapPage_tag);
	ph_addr thread = heap - tag * ph_layout_size(w->l, PH_S_Heap) - ph_layout_off(w->l, PH_F_PyThread_heaps);
	ph_addr interp = heap ? rt_field(rt, thread, PH_F_PyThread_interp) : 0;
	bool parts = rt_has(rt, PH_F_HeapSegment_subproc) && rt_has(rt, PH_F_PyInterp_subproc);
	ph_addr subproc = parts ? rt_field(rt, segment, PH_F_HeapSegment_subproc) : 0;
	for (uint32_t i = 0; i < rt->ninterps; i++) {
		ph_addr in = rt->interps[i].address;
		if (heap ? in == interp : has_subproc(w, in, subproc) || is_abandoned_by(w, in, segment))
			return i;
	}
	return PH_NO_INTERP;
}

static void segment_walk(struct heaps *w, ph_addr segment)
{
	uint64_t n, entries = 0;
	struct heap_page page;
	ph_mem_u64(w->rt->mem, segment + ph_layout_off(w->l, PH_F_HeapSegment_entries), &entries);
	for (uint64_t slice = 0; slice < entries && !ph_interrupted; slice += n)
		if (page_read(w, segment, (uint32_t)slice, &page, &n) && w->npages++ % w->of == w->which) {
			page.interp = interp_of(w, segment, &page);
			page_walk(w, &page);
		}
}

static void segments_walk(struct heaps *w)
{
	const struct ph_mem *mem = w->rt->mem;
	for (size_t i = 0; i < mem->nsegs; i++) {
		const struct ph_segment *s = &mem->segs[i];
		ph_addr at = (s->start + SEGMENT_SIZE - 1) & ~(SEGMENT_SIZE - 1);
		for (; at < s->end && s->writable && !ph_interrupted; at += SEGMENT_SIZE)
			if (is_segment(w, at))
				segment_walk(w, at);
	}
}

/* ---- what threads have ----------------------------------------------------------------------------- */

/* The segment of a page, judged by its address alone; 0: it cannot be one. */
static ph_addr segment_of(const struct heaps *w, ph_addr page)
{
	ph_addr segment = page & ~(SEGMENT_SIZE - 1);
	uint64_t in = page - segment;
	return in >= w->slices && (in - w->slices) % w->page_size == 0 &&
	       (in - w->slices) / w->page_size < w->entries ? segment : 0;
}

/* What calls `see` with each page of the queues of a thread's heaps, until it returns false. */
struct queues {
	struct heaps *w;
	bool (*see)(struct queues *q, ph_addr page);
	uint64_t budget; /* of pages: no more fit into the memory */
	uint64_t key, votes;
};

static bool queue_walk(struct queues *q, ph_addr queue)
{
	const struct heaps *w = q->w;
	uint64_t page;
	if (!ph_mem_u64(w->rt->mem, queue + ph_layout_off(w->l, PH_F_HeapQueue_first), &page))
		return true;
	while (page && q->budget) {
		q->budget--;
		if (!q->see(q, page))
			return false;
		page = rt_field(w->rt, page, PH_F_HeapPage_next);
	}
	if (page)
		complain(w, queue);
	return !page;
}

static bool thread_queues_walk(struct queues *q, ph_addr thread)
{
	const struct ph_layout *l = q->w->l;
	const struct ph_member *heaps = &l->field[PH_F_PyThread_heaps], *pages = &l->field[PH_F_Heap_pages];
	uint32_t size = ph_layout_size(l, PH_S_Heap), stride = ph_layout_size(l, PH_S_HeapQueue), ready;
	if (!ph_mem_u32(q->w->rt->mem, thread + ph_layout_off(l, PH_F_PyThread_heaps_ready), &ready) || !ready)
		return true;
	for (uint32_t at = 0; at + size <= heaps->size; at += size)
		for (uint32_t i = 0; i < MAX_QUEUES && (i + 1) * stride <= pages->size; i++)
			if (!queue_walk(q, thread + heaps->offset + at + pages->offset + i * stride))
				return false;
	return true;
}

static void threads_walk(struct queues *q)
{
	const struct ph_runtime *rt = q->w->rt;
	for (size_t i = 0; i < rt->ninterps; i++) {
		ph_addr thread = rt_field(rt, rt->interps[i].address, PH_F_PyInterp_threads);
		for (size_t n = 0; thread && n < MAX_THREADS; n++, thread = rt_field(rt, thread, PH_F_PyThread_next))
			if (!thread_queues_walk(q, thread))
				return;
	}
}

/* The key is the one of most pages: one that was damaged shall not mislead. */
static bool vote(struct queues *q, ph_addr page)
{
	uint64_t cookie;
	ph_addr segment = segment_of(q->w, page);
	if (!segment ||
	    !ph_mem_u64(q->w->rt->mem, segment + ph_layout_off(q->w->l, PH_F_HeapSegment_cookie), &cookie))
		return true;
	if (!q->votes)
		q->key = cookie ^ segment;
	q->votes += (cookie ^ segment) == q->key ? 1 : -(uint64_t)1;
	return true;
}

/* A page that no segment has, is one that was not walked. */
static bool is_found(struct queues *q, ph_addr page)
{
	ph_addr segment = segment_of(q->w, page);
	if (segment && is_segment(q->w, segment))
		return true;
	complain(q->w, page);
	return true;
}

/* ---- all of them -------------------------------------------------------------------------------------- */

static bool layout_knows(const struct ph_layout *l)
{
	static const enum ph_field needed[] = {
		PH_F_PyThread_heaps, PH_F_PyThread_heaps_ready, PH_F_Heap_pages, PH_F_HeapQueue_first,
		PH_F_HeapPage_slice_count, PH_F_HeapPage_slice_offset, PH_F_HeapPage_tag, PH_F_HeapPage_capacity,
		PH_F_HeapPage_reserved, PH_F_HeapPage_used, PH_F_HeapPage_block_size, PH_F_HeapPage_free,
		PH_F_HeapPage_local_free, PH_F_HeapPage_thread_free, PH_F_HeapPage_next, PH_F_HeapSegment_cookie,
		PH_F_HeapSegment_entries, PH_F_HeapSegment_slices, PH_F_PyObject_ob_gc_bits,
	};
	for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
		if (!ph_layout_has(l, needed[i]))
			return false;
	return ph_layout_has_size(l, PH_S_Heap) && ph_layout_has_size(l, PH_S_HeapQueue) &&
	       ph_layout_size(l, PH_S_HeapPage) && l->enums[PH_E_HEAP_OF_OBJECTS].present;
}

/* True when the pages agree in the key of their segments. */
static bool queues_walk(struct heaps *w, bool (*see)(struct queues *q, ph_addr page))
{
	struct queues q = { .w = w, .see = see, .budget = w->rt->mem->whole_size / 4096, .key = w->key };
	threads_walk(&q);
	w->key = q.key;
	return q.votes;
}

/* False (told) where nothing can be found. */
static bool heaps_init(struct heaps *w)
{
	const struct ph_layout *l = w->rt->layout;
	uint32_t debug = 0;
	w->l = l;
	w->of = 1;
	if (!layout_knows(l)) {
		complain(w, w->rt->address);
		return false;
	}
	if (ph_layout_has(l, PH_F_PyRuntime_debug_blocks))
		ph_mem_u32(w->rt->mem, w->rt->address + ph_layout_off(l, PH_F_PyRuntime_debug_blocks), &debug);
	w->before = debug ? DEBUG_HEAD : 0;
	w->page_size = ph_layout_size(l, PH_S_HeapPage);
	w->slices = ph_layout_off(l, PH_F_HeapSegment_slices);
	w->entries = l->field[PH_F_HeapSegment_slices].size / w->page_size;
	w->tag[0] = (uint32_t)l->enums[PH_E_HEAP_OF_OBJECTS].value;
	w->tag[1] = (uint32_t)l->enums[PH_E_HEAP_OF_PRE_HEADERS].value;
	struct ph_notes *notes = w->notes;
	struct ph_notes ignored = { 0 }; /* the second walk says it */
	w->notes = &ignored;
	bool known = queues_walk(w, vote);
	w->notes = notes;
	if (!known)
		complain(w, w->rt->address);
	return known;
}

void rt_heaps_walk(const struct ph_runtime *rt, unsigned skip, struct ph_notes *notes, ph_tracked_fn *fn,
		   void (*broken)(void *ctx, ph_addr link), void *ctx)
{
	struct heaps w = { .rt = rt, .notes = notes, .fn = fn, .broken = broken, .ctx = ctx, .skip = skip };
	if (!heaps_init(&w))
		return;
	segments_walk(&w);
	queues_walk(&w, is_found);
}

/* Every other page each. */
static void half_walk(void *both, unsigned which)
{
	segments_walk((struct heaps *)both + which);
}

void rt_heaps_walk_both(const struct ph_runtime *rt, struct ph_notes *notes, ph_tracked_fn *fn, void *const ctx[2])
{
	struct heaps w = { .rt = rt, .notes = notes, .fn = fn, .ctx = ctx[0] };
	if (!heaps_init(&w))
		return;
	w.of = 2;
	struct heaps both[2] = { w, w };
	both[1].ctx = ctx[1];
	both[1].which = 1;
	ph_parallel(2, half_walk, both);
	queues_walk(&w, is_found);
}

/* ---- do they fit? --------------------------------------------------------------------------------------- */

struct heaps_check {
	const struct ph_runtime *rt;
	ph_addr wanted;
	struct rt_lists_fit *fit;
};

static bool object_check(void *ctx, ph_addr object, int generation, uint32_t interp)
{
	struct heaps_check *c = ctx;
	(void)generation;
	(void)interp;
	c->fit->objects++;
	c->fit->met |= object == c->wanted;
	if (c->fit->objects < RT_MAX_LOOKED_AT)
		c->fit->strange += !rt_is_object(c->rt, object);
	return true;
}

void rt_heaps_check(const struct ph_runtime *rt, ph_addr wanted, struct rt_lists_fit *ret)
{
	struct heaps_check c = { rt, wanted, ret };
	struct ph_notes notes = { 0 };
	*ret = (struct rt_lists_fit){ 0 };
	rt_heaps_walk(rt, 0, &notes, object_check, NULL, &c);
	ret->breaks = notes.kind[PH_NOTE_BAD_LIST].count;
	ret->counted_objects = ret->objects;
}
