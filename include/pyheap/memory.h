/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memory: ranges of target addresses → bytes in our own address space.
 *
 * A segment says where the bytes of [start, end) lie in our memory: an mmap of
 * a core or ELF file, or a buffer filled while the target stood still. What no
 * segment covers is missing: NULL, never zeroes.
 *
 * All segments together are numbered by one `linear` offset, ascending with
 * the address and without the holes between segments, so that bitmaps over the
 * whole heap are dense.
 *
 * Ranges can be left out on purpose: what the target has there is not with us, and
 * that somebody asked for it is remembered. */
#ifndef PYHEAP_MEMORY_H
#define PYHEAP_MEMORY_H

#include <pyheap/base.h>

struct ph_segment {
	ph_addr start, end;   /* end exclusive */
	const uint8_t *bytes; /* end − start bytes, borrowed: outlives the ph_mem */
	int fd;               /* where the same bytes can be mapped from, or −1 */
	uint64_t offset;      /* in fd */
	uint64_t linear;      /* set by ph_mem_seal() */
	bool writable;        /* in the target: may hold objects that change */
	bool fixed;           /* the bytes are there, pager or not (a mapped file's) */
};

/* Addresses that the target has and we have not. */
struct ph_skipped {
	ph_addr start, end;
};

/* Addresses of which what is zeroes was left out of the segments, all in one piece. */
struct ph_sparse {
	ph_addr start, end;
	const uint8_t *bytes;
};

/* One 64 KiB block of target addresses that a single segment covers whole. */
struct ph_block {
	const uint8_t *bytes; /* NULL: take the slow way */
	uint64_t linear;
};

#define PH_BLOCK_BITS 16
#define PH_BLOCK_SIZE (1ull << PH_BLOCK_BITS)
#define PH_ADDR_BITS 48 /* user addresses of x86-64 and aarch64 */

struct ph_mem {
	struct ph_segment *segs; /* sorted, no overlap; valid once sealed */
	size_t nsegs, cap;
	uint64_t linear_size;     /* sum of all segments' bytes, starts rounded to their place in a page */
	uint64_t whole_size;      /* the same with what was skipped, and with sparse ranges: what lengths and budgets are measured by */
	struct ph_block **blocks; /* [addr >> 32] → [addr >> 16 & 0xffff] */
	/* low-memory: bytes are loaded on first use; see ph_mem_set_pager() */
	struct ph_pager *pager;
	struct PH_VEC(struct ph_skipped) skipped; /* ascending; see ph_mem_skip() */
	struct PH_VEC(struct ph_sparse) sparse; /* ascending; see ph_mem_sparse() */
	bool wanted; /* somebody asked for one of them: ph_mem_wanted() */
	size_t (*glance)(void *ctx, ph_addr addr, void *buf, size_t n);
	void *glance_ctx;
};

struct ph_mem *ph_mem_new(void);
void ph_mem_free(struct ph_mem *mem);

/* Adds a range (empty ones are ignored). Where ranges overlap, what was added
 * first wins, so that a core's own bytes go before those of an ELF file. */
struct ph_err *ph_mem_add(struct ph_mem *mem, const struct ph_segment *seg);
/* Sorts, resolves overlaps, joins neighbours, builds the block index. After
 * this, and not before, the functions below may be used. */
struct ph_err *ph_mem_seal(struct ph_mem *mem);

/* Says of a range that where no segment is there are zeroes, at the same places of `bytes` (borrowed):
 * no object is there, but what begins before or after them is read across. Ascending, before
 * ph_mem_seal(). */
struct ph_err *ph_mem_sparse(struct ph_mem *mem, const struct ph_sparse *range);
/* Leaves a range out, which no segment covers; ascending, before ph_mem_seal(). Reading it
 * fails as where bytes are missing, but makes ph_mem_wanted() true: what was computed then
 * is not what the whole memory would have given. */
struct ph_err *ph_mem_skip(struct ph_mem *mem, ph_addr start, ph_addr end);
/* How ph_mem_glance() comes by bytes that were skipped. */
void ph_mem_set_glance(struct ph_mem *mem, size_t (*glance)(void *ctx, ph_addr addr, void *buf, size_t n),
		       void *ctx);

/* Demand loading (--low-memory): `load` fills buf with n bytes of the target at
 * addr and returns how many leading bytes it could read. Segments' `bytes` must
 * then point into reserved, writable memory that ph_mem fills window by window
 * and drops again (oldest first) above `budget` bytes. At least the last
 * 64 windows that were asked for stay valid. Call before ph_mem_seal(). */
struct ph_err *ph_mem_set_pager(struct ph_mem *mem, uint64_t budget,
				size_t (*load)(void *ctx, ph_addr addr, void *buf, size_t n),
				void *ctx);

const void *ph_mem_at_slow(const struct ph_mem *mem, ph_addr addr, uint64_t n);
uint64_t ph_mem_linear_slow(const struct ph_mem *mem, ph_addr addr);

/* Whether [addr, addr + n) begins in what is there, or in what was skipped, and comes to a
 * byte that was skipped before one that is missing anyway; of that which begins nowhere it is
 * false. For those who do not read by the functions below. */
bool ph_mem_meets_skipped(const struct ph_mem *mem, ph_addr addr, uint64_t n);
/* Whether addr itself was skipped. */
bool ph_mem_is_skipped(const struct ph_mem *mem, ph_addr addr);
/* May be called from several threads. */
static inline void ph_mem_want(const struct ph_mem *mem)
{
	__atomic_store_n(&((struct ph_mem *)mem)->wanted, true, __ATOMIC_RELAXED);
}
static inline bool ph_mem_wanted(const struct ph_mem *mem)
{
	return __atomic_load_n(&mem->wanted, __ATOMIC_RELAXED);
}
/* Bytes that were skipped, as the target has them now, which goes on changing them: a hint
 * and no more. False when they cannot be had any longer, or when it does not matter because
 * ph_mem_wanted() is true. */
bool ph_mem_glance(const struct ph_mem *mem, ph_addr addr, void *buf, size_t n);

#define PH_NOWHERE UINT64_MAX

static inline const struct ph_block *ph_mem_block(const struct ph_mem *mem, ph_addr addr)
{
	if (addr >> PH_ADDR_BITS)
		return NULL;
	const struct ph_block *row = mem->blocks[addr >> 32];
	return row ? &row[addr >> PH_BLOCK_BITS & 0xffff] : NULL;
}

/* The n bytes at addr, or NULL when one of them is missing. Borrowed from mem. */
static inline const void *ph_mem_at(const struct ph_mem *mem, ph_addr addr, uint64_t n)
{
	const struct ph_block *b = ph_mem_block(mem, addr);
	uint64_t in = addr & (PH_BLOCK_SIZE - 1);
	if (b && b->bytes && n <= PH_BLOCK_SIZE - in)
		return b->bytes + in;
	return ph_mem_at_slow(mem, addr, n);
}

/* The linear offset of addr, PH_NOWHERE when it is missing. */
static inline uint64_t ph_mem_linear(const struct ph_mem *mem, ph_addr addr)
{
	const struct ph_block *b = ph_mem_block(mem, addr);
	if (b && b->bytes)
		return b->linear + (addr & (PH_BLOCK_SIZE - 1));
	return ph_mem_linear_slow(mem, addr);
}
/* And back: the address of a linear offset below linear_size; PH_NOWHERE in the
 * few bytes that keep an odd start in its place in the page. */
ph_addr ph_mem_addr(const struct ph_mem *mem, uint64_t linear);
/* What a process had in [start, end) is not needed any more: the memory of whole pages is given
 * back, and who reads them finds zeroes. */
void ph_mem_drop(const struct ph_mem *mem, ph_addr start, ph_addr end);
/* The segment of addr, or NULL. Borrowed. */
const struct ph_segment *ph_mem_segment(const struct ph_mem *mem, ph_addr addr);

/* Loads; false when the bytes are missing. */
static inline bool ph_mem_u64(const struct ph_mem *mem, ph_addr addr, uint64_t *ret)
{
	const void *p = ph_mem_at(mem, addr, 8);
	if (!p)
		return false;
	*ret = ph_load_u64(p);
	return true;
}
static inline bool ph_mem_u32(const struct ph_mem *mem, ph_addr addr, uint32_t *ret)
{
	const void *p = ph_mem_at(mem, addr, 4);
	if (!p)
		return false;
	*ret = ph_load_u32(p);
	return true;
}
/* A NUL-terminated string of at most max − 1 bytes copied into buf[max]; false
 * when it is missing or not terminated within max. */
bool ph_mem_str(const struct ph_mem *mem, ph_addr addr, char *buf, size_t max);

#endif
