/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pager.h"

#define ROWS (1u << (PH_ADDR_BITS - 32))
#define ROW_BLOCKS (1u << (32 - PH_BLOCK_BITS))
/* 1 TiB of target memory: what lies beyond is found the slow way, so that a
 * forged core cannot make the index larger than 256 MiB. */
#define MAX_INDEXED (1ull << 24)
#define PAGE_MASK 4095ull
#define MAX_CROSSINGS 1024 /* of segments in one read: bounds the work a forged core can ask for */

struct ph_mem *ph_mem_new(void)
{
	struct ph_mem *mem = calloc(1, sizeof *mem);
	if (!mem)
		return NULL;
	mem->blocks = calloc(ROWS, sizeof *mem->blocks);
	if (!mem->blocks) {
		free(mem);
		return NULL;
	}
	return mem;
}

void ph_mem_free(struct ph_mem *mem)
{
	if (!mem)
		return;
	for (size_t i = 0; i < ROWS; i++)
		free(mem->blocks[i]);
	ph_pager_free(mem->pager);
	free(mem->blocks);
	ph_vec_free(&mem->skipped);
	ph_vec_free(&mem->sparse);
	free(mem->segs);
	free(mem);
}

struct ph_err *ph_mem_add(struct ph_mem *mem, const struct ph_segment *seg)
{
	if (seg->start >= seg->end)
		return NULL;
	if (mem->nsegs == mem->cap && !ph_vec_grow_((void **)&mem->segs, mem->nsegs, &mem->cap, 1,
						    sizeof *mem->segs))
		return ph_err_nomem();
	mem->segs[mem->nsegs] = *seg;
	mem->segs[mem->nsegs].linear = mem->nsegs; /* until sealed: rank, first added wins */
	mem->nsegs++;
	return NULL;
}

struct ph_err *ph_mem_skip(struct ph_mem *mem, ph_addr start, ph_addr end)
{
	return PH_VEC_PUSH(&mem->skipped, (struct ph_skipped){ start, end }) ? NULL : ph_err_nomem();
}

void ph_mem_set_glance(struct ph_mem *mem, size_t (*glance)(void *ctx, ph_addr addr, void *buf, size_t n),
		       void *ctx)
{
	mem->glance = glance;
	mem->glance_ctx = ctx;
}

struct ph_err *ph_mem_set_pager(struct ph_mem *mem, uint64_t budget,
				size_t (*load)(void *ctx, ph_addr addr, void *buf, size_t n), void *ctx)
{
	ph_pager_free(mem->pager);
	mem->pager = ph_pager_new(budget, load, ctx);
	return mem->pager ? NULL : ph_err_nomem();
}

/* ---- sealing: sort, overlaps, joining ------------------------------------------- */

static int by_start(const void *a, const void *b)
{
	const struct ph_segment *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->linear < y->linear ? -1 : x->linear > y->linear;
}

/* A min-heap of indices into `in`, by rank: the segments that cover the sweep's
 * position (and some that ended before it, dropped when they come to the top). */
struct sweep {
	const struct ph_segment *in;
	uint32_t *heap;
	size_t n;
};

static void sweep_push(struct sweep *s, uint32_t item)
{
	size_t i = s->n++;
	while (i && s->in[s->heap[(i - 1) / 2]].linear > s->in[item].linear) {
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = item;
}

static void sweep_pop(struct sweep *s)
{
	uint32_t last = s->heap[--s->n];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= s->n)
			break;
		if (child + 1 < s->n &&
		    s->in[s->heap[child + 1]].linear < s->in[s->heap[child]].linear)
			child++;
		if (s->in[s->heap[child]].linear > s->in[last].linear)
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
}

/* Whether b's bytes go on where a's end, in the target and with us. */
static bool continues(const struct ph_segment *a, const struct ph_segment *b)
{
	return a->end == b->start && a->bytes + (a->end - a->start) == b->bytes;
}

static bool joinable(const struct ph_segment *a, const struct ph_segment *b)
{
	return continues(a, b) && a->writable == b->writable && a->fixed == b->fixed && a->fd == b->fd &&
	       (a->fd < 0 || a->offset + (a->end - a->start) == b->offset);
}

/* Appends the part [start, end) of seg, joined with the last one where it can be. */
static bool emit(struct ph_mem *mem, const struct ph_segment *seg, ph_addr start, ph_addr end)
{
	struct ph_segment part = *seg;
	part.bytes += start - seg->start;
	part.offset += start - seg->start;
	part.start = start;
	part.end = end;
	if (mem->nsegs && joinable(&mem->segs[mem->nsegs - 1], &part)) {
		mem->segs[mem->nsegs - 1].end = end;
		return true;
	}
	if (mem->nsegs == mem->cap && !ph_vec_grow_((void **)&mem->segs, mem->nsegs, &mem->cap, 1,
						    sizeof *mem->segs))
		return false;
	mem->segs[mem->nsegs++] = part;
	return true;
}

/* Sweeps over the sorted segments; at each place the one of lowest rank counts.
 * Every step takes one segment in or passes one's end: at most 2n steps. */
static bool resolve(struct ph_mem *mem, const struct ph_segment *in, size_t n)
{
	uint32_t *heap ph_cleanup_free = malloc((n + 1) * sizeof *heap);
	struct sweep s = { in, heap, 0 };
	ph_addr pos = 0;
	size_t i = 0;
	if (!heap)
		return false;
	while (i < n || s.n) {
		if (s.n && in[heap[0]].end <= pos) {
			sweep_pop(&s);
			continue;
		}
		if (!s.n && in[i].start > pos)
			pos = in[i].start;
		if (i < n && in[i].start <= pos) {
			sweep_push(&s, (uint32_t)i++);
			continue;
		}
		const struct ph_segment *top = &in[heap[0]];
		ph_addr stop = i < n && in[i].start < top->end ? in[i].start : top->end;
		if (!emit(mem, top, pos, stop))
			return false;
		pos = stop;
	}
	return true;
}

/* Numbers the segments; linear offsets keep the address's place in its page. */
static void number(struct ph_mem *mem)
{
	uint64_t linear = 0;
	for (size_t i = 0; i < mem->nsegs; i++) {
		struct ph_segment *seg = &mem->segs[i];
		linear += (seg->start - linear) & PAGE_MASK;
		seg->linear = linear;
		linear += seg->end - seg->start;
	}
	mem->linear_size = mem->whole_size = linear;
	for (size_t i = 0; i < mem->skipped.n; i++)
		mem->whole_size += mem->skipped.items[i].end - mem->skipped.items[i].start;
	for (size_t i = 0; i < mem->sparse.n; i++)
		mem->whole_size += mem->sparse.items[i].end - mem->sparse.items[i].start;
}

bool ph_mem_index_block(const struct ph_mem *mem, const struct ph_segment *seg, ph_addr addr)
{
	struct ph_block **row = &mem->blocks[addr >> 32];
	if (!*row && !(*row = calloc(ROW_BLOCKS, sizeof **row)))
		return false;
	(*row)[addr >> PH_BLOCK_BITS & (ROW_BLOCKS - 1)] = (struct ph_block){
		.bytes = seg->bytes + (addr - seg->start),
		.linear = seg->linear + (addr - seg->start),
	};
	return true;
}

static bool index_blocks(struct ph_mem *mem)
{
	uint64_t count = 0;
	for (size_t i = 0; i < mem->nsegs; i++) {
		const struct ph_segment *seg = &mem->segs[i];
		if (seg->end > 1ull << PH_ADDR_BITS)
			break;
		ph_addr a = (seg->start + PH_BLOCK_SIZE - 1) & -PH_BLOCK_SIZE;
		for (; a + PH_BLOCK_SIZE <= seg->end; a += PH_BLOCK_SIZE) {
			if (count++ == MAX_INDEXED)
				return true;
			if (!ph_mem_index_block(mem, seg, a))
				return false;
		}
	}
	return true;
}

struct ph_err *ph_mem_seal(struct ph_mem *mem)
{
	struct ph_segment *in ph_cleanup_free = mem->segs;
	size_t n = mem->nsegs;
	mem->segs = NULL;
	mem->nsegs = mem->cap = 0;
	if (n > UINT32_MAX)
		return ph_err_new(PH_ERR_REFUSED, "more than 2^32 ranges of memory");
	if (n)
		qsort(in, n, sizeof *in, by_start);
	if (!resolve(mem, in, n))
		return ph_err_nomem();
	number(mem);
	if (!mem->pager && !index_blocks(mem))
		return ph_err_nomem();
	return NULL;
}

/* ---- reading ---------------------------------------------------------------------- */

const struct ph_segment *ph_mem_segment(const struct ph_mem *mem, ph_addr addr)
{
	return PH_RANGE_AT(mem->segs, mem->nsegs, addr);
}

static const struct ph_skipped *skipped_at(const struct ph_mem *mem, ph_addr addr)
{
	return PH_RANGE_AT(mem->skipped.items, mem->skipped.n, addr);
}

bool ph_mem_is_skipped(const struct ph_mem *mem, ph_addr addr)
{
	return mem->skipped.n && skipped_at(mem, addr);
}

bool ph_mem_meets_skipped(const struct ph_mem *mem, ph_addr addr, uint64_t n)
{
	const struct ph_segment *seg;
	for (int crossings = 0; mem->skipped.n; crossings++) {
		if (skipped_at(mem, addr))
			return true;
		if (!(seg = ph_mem_segment(mem, addr)) || n <= seg->end - addr)
			return false;
		if (crossings == MAX_CROSSINGS) /* the segments between ranges are fewer in the whole memory */
			return true;
		n -= seg->end - addr;
		addr = seg->end;
	}
	return false;
}

bool ph_mem_glance(const struct ph_mem *mem, ph_addr addr, void *buf, size_t n)
{
	return !ph_mem_wanted(mem) && mem->glance && mem->glance(mem->glance_ctx, addr, buf, n) == n;
}

/* NULL for what is not there, remembered if it is only not with us. */
static const void *missing(const struct ph_mem *mem, ph_addr addr, uint64_t n)
{
	if (ph_mem_meets_skipped(mem, addr, n))
		ph_mem_want(mem);
	return NULL;
}

/* Whether the n bytes from addr in seg on are there in one piece: in seg, or in
 * neighbours that go on where it ends. */
static bool in_one_piece(const struct ph_mem *mem, const struct ph_segment *seg, ph_addr addr,
			 uint64_t n)
{
	const struct ph_segment *end = mem->segs + mem->nsegs;
	for (int crossings = 0; n > seg->end - addr; crossings++) {
		const struct ph_segment *next = seg + 1;
		if (next == end || crossings == MAX_CROSSINGS || !continues(seg, next))
			return false;
		n -= seg->end - addr;
		addr = seg->end;
		seg = next;
	}
	return true;
}

struct ph_err *ph_mem_sparse(struct ph_mem *mem, const struct ph_sparse *range)
{
	return PH_VEC_PUSH(&mem->sparse, *range) ? NULL : ph_err_nomem();
}

/* All of it, zeroes and not. */
static const void *sparse_at(const struct ph_mem *mem, ph_addr addr, uint64_t n)
{
	const struct ph_sparse *r = mem->sparse.n ? PH_RANGE_AT(mem->sparse.items, mem->sparse.n, addr) : NULL;
	return r && n <= r->end - addr ? r->bytes + (addr - r->start) : NULL;
}

const void *ph_mem_at_slow(const struct ph_mem *mem, ph_addr addr, uint64_t n)
{
	const struct ph_segment *seg = ph_mem_segment(mem, addr);
	if (!seg || !in_one_piece(mem, seg, addr, n)) {
		const void *p = sparse_at(mem, addr, n);
		return p ? p : missing(mem, addr, n);
	}
	if (mem->pager && !ph_pager_load(mem, addr, n))
		return NULL;
	return seg->bytes + (addr - seg->start);
}

uint64_t ph_mem_linear_slow(const struct ph_mem *mem, ph_addr addr)
{
	const struct ph_segment *seg = ph_mem_segment(mem, addr);
	if (!seg)
		missing(mem, addr, 1);
	return seg ? seg->linear + (addr - seg->start) : PH_NOWHERE;
}

ph_addr ph_mem_addr(const struct ph_mem *mem, uint64_t linear)
{
	size_t lo = 0, hi = mem->nsegs;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct ph_segment *seg = &mem->segs[mid];
		if (seg->linear + (seg->end - seg->start) <= linear)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == mem->nsegs || mem->segs[lo].linear > linear)
		return PH_NOWHERE;
	return mem->segs[lo].start + (linear - mem->segs[lo].linear);
}

void ph_mem_drop(const struct ph_mem *mem, ph_addr start, ph_addr end)
{
	while (start < end) {
		const struct ph_segment *s = ph_mem_segment(mem, start);
		if (!s)
			return;
		ph_addr to = end < s->end ? end : s->end;
		if (s->writable && !s->fixed && s->fd < 0)
			ph_big_drop((void *)(s->bytes + (start - s->start)), to - start);
		start = to;
	}
}

bool ph_mem_str(const struct ph_mem *mem, ph_addr addr, char *buf, size_t max)
{
	for (size_t i = 0; i < max;) {
		/* what is left of the page, so that a string may end just before a hole */
		size_t part = PAGE_MASK + 1 - ((addr + i) & PAGE_MASK);
		const struct ph_segment *seg = ph_mem_segment(mem, addr + i);
		if (!seg) {
			missing(mem, addr + i, 1);
			break;
		}
		if (part > seg->end - (addr + i))
			part = seg->end - (addr + i);
		if (part > max - i)
			part = max - i;
		const char *p = ph_mem_at(mem, addr + i, part);
		if (!p)
			break;
		const char *nul = memchr(p, '\0', part);
		memcpy(buf + i, p, nul ? (size_t)(nul - p) + 1 : part);
		if (nul)
			return true;
		i += part;
	}
	return false;
}
