/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The target's memory is in our own address space: buffers, a mapped core, mapped ELF
 * files. After the fork the child has it too, and moves the pages to where the target
 * has them; nothing is copied but what does not lie at whole pages. */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "replay_priv.h"

#define PAGE 4096ull
#define HUGE_PAGE (2ull << 20)
#define MAPS_MAX (64u << 20)
static const char maps_file[] = "/proc/self/maps";
#ifdef __x86_64__
#define OUR_MACHINE EM_X86_64
#else
#define OUR_MACHINE EM_AARCH64
#endif

/* ---- code ------------------------------------------------------------------------- */

/* What may be executed: as a module's file has it. */
struct code {
	ph_addr start, end;
	const uint8_t *bytes;
};
struct codes PH_VEC(struct code);

static int code_order(const void *a, const void *b)
{
	const struct code *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

static bool codes_read(const struct ph_target *target, struct codes *codes)
{
	for (size_t m = 0; m < target->nmodules; m++) {
		struct code c;
		uint64_t n;
		for (size_t i = 0; ph_module_code(&target->modules[m], i, &c.start, &n, &c.bytes); i++) {
			c.end = c.start + n;
			if (!PH_VEC_PUSH(codes, c))
				return false;
		}
	}
	if (codes->n)
		qsort(codes->items, codes->n, sizeof *codes->items, code_order);
	return true;
}

/* The first code that ends behind addr, or NULL. */
static const struct code *code_behind(const struct codes *codes, ph_addr addr)
{
	size_t lo = PH_RANGE_BEHIND(codes->items, codes->n, addr);
	return lo < codes->n ? &codes->items[lo] : NULL;
}

/* ---- our own mappings --------------------------------------------------------------- */

static bool regions_read(struct placing *p)
{
	char *text ph_cleanup_free = ph_read_file(maps_file, MAPS_MAX, NULL);
	uint64_t start, end;
	for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2 &&
		    !PH_VEC_PUSH(&p->regions, (struct region){ start, end, 0 }))
			return false;
	return text != NULL;
}

static struct region *region_at(const struct placing *p, uint64_t addr)
{
	return PH_RANGE_AT(p->regions.items, p->regions.n, addr);
}

/* ---- places ---------------------------------------------------------------------------- */

struct planner {
	struct placing *p;
	struct codes codes;
	struct PH_VEC(struct place) moves, copies; /* `from` as our own address */
	bool nomem;
};

static void emit(struct planner *pl, ph_addr to, uint64_t from, uint64_t len, uint32_t rights, bool move)
{
	struct place place = { to, from, len, move ? PLACE_MOVE : PLACE_COPY, rights };
	if (len && !(move ? PH_VEC_PUSH(&pl->moves, place) : PH_VEC_PUSH(&pl->copies, place)))
		pl->nomem = true;
}

/* Whole pages are moved, the rest is copied. */
static void emit_pages(struct planner *pl, ph_addr to, const uint8_t *bytes, uint64_t len, uint32_t rights)
{
	uint64_t from = (uintptr_t)bytes, head = -to & (PAGE - 1);
	if ((to ^ from) & (PAGE - 1) || len < head + PAGE) {
		emit(pl, to, from, len, rights, false);
		return;
	}
	uint64_t whole = (len - head) & -PAGE;
	emit(pl, to, from, head, rights, false);
	emit(pl, to + head, from + head, whole, rights, true);
	emit(pl, to + head + whole, from + head + whole, len - head - whole, rights, false);
}

/* How many bytes at `at`, up to n, are as the file has them, or are not: whole pages that
 * agree in that. The pages that nobody wrote to are the file's own. */
static uint64_t same_as_file(const struct code *c, ph_addr at, const uint8_t *bytes, uint64_t n, bool *ret_same)
{
	const uint8_t *file = c->bytes + (at - c->start);
	uint64_t done = 0;
	*ret_same = bytes == file;
	if (bytes == file)
		return n;
	while (done < n) {
		uint64_t part = PAGE - ((at + done) & (PAGE - 1));
		if (part > n - done)
			part = n - done;
		bool same = !memcmp(bytes + done, file + done, part);
		if (!done)
			*ret_same = same;
		else if (same != *ret_same)
			break;
		done += part;
	}
	return done;
}

static void emit_segment(struct planner *pl, const struct ph_segment *seg)
{
	uint32_t rights = PLACE_READ | (seg->writable ? PLACE_WRITE : 0);
	for (ph_addr at = seg->start; at < seg->end;) {
		const struct code *c = code_behind(&pl->codes, at);
		const uint8_t *bytes = seg->bytes + (at - seg->start);
		ph_addr stop = seg->end;
		bool same = false;
		if (c && c->start <= at) {
			stop = at + same_as_file(c, at, bytes, (c->end < stop ? c->end : stop) - at, &same);
			if (same)
				bytes = c->bytes + (at - c->start);
		} else if (c && c->start < stop) {
			stop = c->start;
		}
		emit_pages(pl, at, bytes, stop - at, same ? PLACE_READ | PLACE_EXECUTE : rights);
		at = stop;
	}
}

static int by_source(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return (int)(y->rights & PLACE_EXECUTE) - (int)(x->rights & PLACE_EXECUTE);
}

/* One page of a file can be at two addresses (the end of code and the start of data):
 * it can be moved only once. */
static void part_shared(struct planner *pl)
{
	uint64_t end = 0;
	if (pl->moves.n)
		qsort(pl->moves.items, pl->moves.n, sizeof *pl->moves.items, by_source);
	for (size_t i = 0; i < pl->moves.n; i++) {
		struct place *m = &pl->moves.items[i];
		uint64_t shared = end > m->from ? end - m->from : 0;
		if (shared > m->len)
			shared = m->len;
		if (end < m->from + m->len)
			end = m->from + m->len;
		emit(pl, m->to, m->from, shared, m->rights, false);
		m->to += shared;
		m->from += shared;
		m->len -= shared;
	}
}

/* Where the pages will be staged; what spans two of our mappings is cut. */
static bool stage(struct placing *p, struct place m)
{
	while (m.len) {
		const struct region *r = region_at(p, m.from);
		if (!r)
			return true; /* cannot be: the bytes are ours */
		struct place part = m;
		if (part.len > r->end - m.from)
			part.len = r->end - m.from;
		part.from = r->staged + (m.from - r->start);
		if (!PH_VEC_PUSH(&p->places, part))
			return false;
		m.from += part.len;
		m.to += part.len;
		m.len -= part.len;
	}
	return true;
}

/* All of [start, end) but what was skipped: using that shall be a fault. */
static bool place_zero(const struct ph_mem *mem, struct placing *p, ph_addr start, ph_addr end)
{
	size_t lo = PH_RANGE_BEHIND(mem->skipped.items, mem->skipped.n, start);
	for (; start < end; lo++) {
		bool more = lo < mem->skipped.n && mem->skipped.items[lo].start < end;
		ph_addr stop = more ? mem->skipped.items[lo].start : end;
		if (stop > start && !PH_VEC_PUSH(&p->places, (struct place){ start, 0, stop - start, PLACE_ZERO,
									       PLACE_READ | PLACE_WRITE }))
			return false;
		if (!more)
			break;
		start = mem->skipped.items[lo].end;
	}
	return true;
}

/* Pages that the target has and never wrote to are not in the copy. */
static bool place_zeroes(const struct ph_target *target, struct placing *p)
{
	const struct ph_mem *mem = target->mem;
	ph_addr start, end;
	for (size_t i = 0, seg = 0; ph_target_zeroes(target, i, &start, &end); i++) {
		while (seg < mem->nsegs && mem->segs[seg].end <= start)
			seg++;
		for (size_t k = seg; start < end; k++) {
			bool more = k < mem->nsegs && mem->segs[k].start < end;
			ph_addr stop = more ? mem->segs[k].start & -PAGE : end;
			if (stop > start && !place_zero(mem, p, start, stop))
				return false;
			if (!more)
				break;
			start = (mem->segs[k].end + PAGE - 1) & -PAGE;
		}
	}
	return true;
}

/* Regions that hold nothing of the target stay where they are, and go with all else. */
static bool drop_unused(struct placing *p, const struct planner *pl)
{
	size_t kept = 0;
	bool *used ph_cleanup_free = calloc(p->regions.n + 1, 1);
	for (int list = 0; used && list < 2; list++) {
		const struct place *items = list ? pl->copies.items : pl->moves.items;
		for (size_t i = 0, n = list ? pl->copies.n : pl->moves.n; i < n; i++)
			for (uint64_t at = items[i].from, end = at + items[i].len; at < end;) {
				const struct region *r = region_at(p, at);
				if (!r)
					break;
				used[r - p->regions.items] = true;
				at = r->end;
			}
	}
	for (size_t i = 0; used && i < p->regions.n; i++)
		if (used[i])
			p->regions.items[kept++] = p->regions.items[i];
	p->regions.n = kept;
	return used != NULL;
}

/* One behind the other; page tables move in whole when the place in a huge page stays. */
static void choose_stages(struct placing *p)
{
	uint64_t at = CHILD_STAGE;
	for (size_t i = 0; i < p->regions.n; i++) {
		struct region *r = &p->regions.items[i];
		r->staged = ((at + HUGE_PAGE - 1) & -HUGE_PAGE) + (r->start & (HUGE_PAGE - 1));
		at = r->staged + (r->end - r->start);
	}
	p->staged_end = (at + HUGE_PAGE) & -HUGE_PAGE;
}

/* What lies there would stay in the child. */
static bool is_free(const struct placing *p)
{
	for (size_t i = 0; i < p->regions.n; i++)
		if (p->regions.items[i].start < CHILD_END && p->regions.items[i].end > CHILD_BASE)
			return false;
	return true;
}

struct ph_err *ph_placing_make(const struct ph_target *target, struct placing *p)
{
	struct planner pl = { .p = p };
	*p = (struct placing){ 0 };
	if (target->machine != OUR_MACHINE)
		return ph_err_new(PH_ERR_REFUSED, "the objects' own code is that of another machine");
	if (target->mem->pager)
		return ph_err_new(PH_ERR_REFUSED, "the memory was not copied (--low-memory)");
	if (access(maps_file, R_OK) < 0) /* a core can be read without /proc */
		return ph_err_errno(PH_ERR_REFUSED, errno, "cannot read %s", maps_file);
	bool ok = codes_read(target, &pl.codes);
	for (size_t i = 0; ok && i < target->mem->nsegs; i++)
		emit_segment(&pl, &target->mem->segs[i]);
	part_shared(&pl);
	ok = ok && !pl.nomem && regions_read(p);
	bool free_range = is_free(p);
	ok = ok && drop_unused(p, &pl);
	choose_stages(p);
	for (size_t i = 0; ok && i < pl.copies.n; i++)
		ok = stage(p, pl.copies.items[i]);
	for (size_t i = 0; ok && i < pl.moves.n; i++)
		ok = stage(p, pl.moves.items[i]);
	ok = ok && place_zeroes(target, p);
	ph_vec_free(&pl.codes);
	ph_vec_free(&pl.moves);
	ph_vec_free(&pl.copies);
	if (ok && free_range && p->staged_end < CHILD_END && p->places.n * sizeof(struct place) <= OUT_MAX * 8ull)
		return NULL;
	ph_placing_deinit(p);
	return ok ? ph_err_new(PH_ERR_REFUSED, "the memory is in too many pieces, or too large") : ph_err_nomem();
}

void ph_placing_deinit(struct placing *p)
{
	ph_vec_free(&p->places);
	ph_vec_free(&p->regions);
}
