/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Large blocks of malloc that hold no references (arrays of numbers, texts): they need not
 * be copied. Told by a few of their pages, so it is a guess; memory.h tells when it was a
 * wrong one, and the copy is made anew then.
 *
 * A block that malloc has asked the kernel for begins at a page with its size. Only such are
 * taken: memory of many small objects (arenas, pools, stacks) never looks like one, and where
 * the block begins is known though the kernel joins neighbours to one mapping. That matters,
 * because the head of a bytes or str lies there. Facts: glibc's malloc.c (sysmalloc_mmap). */
#include "process_priv.h"

#define STEP (1ull << 20)       /* one page of so much is looked at */
#define BLOCK_MIN (4ull << 20)  /* of a smaller block too little is seen, and less to be gained */
#define EDGE (64ull << 10)      /* of each end of a block is copied: heads; sentinels and ends of views */
#define WORTH (32ull << 20)     /* that are not copied; for less nothing is asked twice */
#define PROBES_MAX 65536        /* pages looked at */
#define HEADS_MAX 4096          /* blocks looked at in vain */
#define BATCH 256               /* pages of one call */
#define RECHECK 16              /* of so many of a block's pages one is looked at while the target stands still */
#define SMALL_BLOCK (64ull << 10)
#define IS_MMAPPED 2u           /* of malloc's three flags the only one that such a block has */
#define LOW_SHARE 16            /* words below 4 GiB may be numbers: one of so many must look like an address */

enum looks {
	REFERENCES, /* or it could not be read */
	ZEROES,
	DATA,
};
struct probe {
	ph_addr at;
	ph_addr start, end; /* of the anonymous memory around it */
	enum looks looks;
};
struct finder {
	struct ph_reader *reader;
	const struct ph_mappings *maps;
	const struct ph_plan *plan;
	struct PH_VEC(struct probe) probes;
	uint8_t (*pages)[PH_PAGE]; /* [BATCH] */
	size_t heads;              /* that may still be looked at */
	struct ph_buffers *found;
};

/* ---- what is it? ---------------------------------------------------------------------- */

static const struct ph_mapping *mapping_at(const struct ph_mappings *maps, ph_addr addr)
{
	return PH_RANGE_AT(maps->items, maps->n, addr);
}

/* Objects are aligned. Small numbers look like addresses where the program is not position
 * independent: they count for something only when they are many. */
static enum looks looks_of(const struct ph_mappings *maps, const uint8_t *page)
{
	unsigned words = 0, low = 0;
	for (size_t i = 0; i < PH_PAGE; i += 8) {
		uint64_t word = ph_load_u64(page + i);
		words += word != 0;
		if (word & 7 || word < PH_PAGE || word >> PH_ADDR_BITS || !mapping_at(maps, word))
			continue;
		if (word >> 32)
			return REFERENCES;
		low++;
	}
	if (low && low * LOW_SHARE >= words)
		return REFERENCES;
	return words ? DATA : ZEROES;
}

/* The size of the block that begins at a page, 0 = none does. */
static uint64_t block_size(const uint8_t *head, uint64_t max)
{
	uint64_t word = ph_load_u64(head + 8), size = word & ~7ull;
	if (ph_load_u64(head) || (word & 7) != IS_MMAPPED || size & (PH_PAGE - 1) || size < SMALL_BLOCK || size > max)
		return 0;
	return size;
}

/* ---- looking ------------------------------------------------------------------------------ */

/* Looks at up to BATCH probes. */
static struct ph_err *look(struct ph_reader *reader, const struct ph_mappings *maps, struct probe *probes, size_t n,
			   uint8_t (*pages)[PH_PAGE])
{
	ph_addr at[BATCH] = { 0 };
	bool ok[BATCH];
	for (size_t i = 0; i < n; i++)
		at[i] = probes[i].at;
	struct ph_err *err = ph_reader_gather(reader, at, n, PH_PAGE, pages, ok);
	for (size_t i = 0; !err && i < n; i++)
		probes[i].looks = ok[i] ? looks_of(maps, pages[i]) : REFERENCES;
	return err;
}

static bool is_anonymous(const struct ph_mapping *m)
{
	return !m->path && !m->shared && m->readable && m->writable;
}

/* The anonymous memory around addr in one piece, if it is large enough for a block: an advice
 * on huge pages, as numpy gives it, parts a block in two mappings. */
static bool span_at(const struct ph_mappings *maps, ph_addr addr, ph_addr *ret_start, ph_addr *ret_end)
{
	const struct ph_mapping *m = mapping_at(maps, addr), *first = m, *last = m;
	if (!m || !is_anonymous(m))
		return false;
	while (first > maps->items && first[-1].end == first->start && is_anonymous(first - 1))
		first--;
	while (last + 1 < maps->items + maps->n && last[1].start == last->end && is_anonymous(last + 1))
		last++;
	if (last->end - first->start < BLOCK_MIN)
		return false;
	*ret_start = first->start;
	*ret_end = last->end;
	return true;
}

/* Pages that are there: reading another would make the target have it. */
static struct ph_err *look_around(struct finder *f)
{
	struct probe p = { 0 };
	for (size_t i = 0; i < f->plan->runs.n; i++) {
		const struct ph_run *r = &f->plan->runs.items[i];
		ph_addr at = (r->start + STEP - 1) & -STEP;
		for (; r->source == PH_RUN_TARGET && at < r->end && f->probes.n < PROBES_MAX; at += STEP) {
			if (at >= p.end && !span_at(f->maps, at, &p.start, &p.end))
				continue;
			p.at = at;
			if (!PH_VEC_PUSH(&f->probes, p))
				return ph_err_nomem();
		}
	}
	struct ph_err *err = NULL;
	for (size_t i = 0; !err && i < f->probes.n; i += BATCH) {
		size_t n = f->probes.n - i < BATCH ? f->probes.n - i : BATCH;
		err = look(f->reader, f->maps, &f->probes.items[i], n, f->pages);
	}
	return err;
}

/* ---- blocks --------------------------------------------------------------------------------- */

static bool is_there(const struct finder *f, ph_addr page)
{
	const struct ph_run *r = ph_plan_find(f->plan, page);
	return r && r->source == PH_RUN_TARGET;
}

/* The first block that begins at or behind `from`, before `to`, and ends behind `over`. */
static struct ph_err *find_block(struct finder *f, ph_addr from, ph_addr to, ph_addr over, ph_addr limit,
				 ph_addr *ret_at, uint64_t *ret_size)
{
	ph_addr at[BATCH] = { 0 };
	bool ok[BATCH];
	uint8_t heads[BATCH][16];
	size_t n = 0;
	*ret_size = 0;
	for (; from < to && n < BATCH; from += PH_PAGE)
		if (is_there(f, from))
			at[n++] = from;
	struct ph_err *err = ph_reader_gather(f->reader, at, n, 16, heads, ok);
	for (size_t i = 0; !err && i < n && !*ret_size; i++) {
		uint64_t size = ok[i] ? block_size(heads[i], limit - at[i]) : 0;
		if (at[i] + size <= over)
			continue;
		*ret_at = at[i];
		*ret_size = size;
	}
	return err;
}

/* Zeroes tell nothing: a table that was emptied has many. */
static bool is_data(const struct finder *f, size_t *probe, ph_addr start, ph_addr end)
{
	size_t n = 0, data = 0;
	while (*probe < f->probes.n && f->probes.items[*probe].at < start)
		++*probe;
	for (; *probe < f->probes.n && f->probes.items[*probe].at < end; ++*probe, n++)
		data += f->probes.items[*probe].looks == DATA;
	return n >= BLOCK_MIN / STEP / 2 && data > n / 2;
}

/* The blocks, one behind the other, in which no probe from first to last looks like
 * references; `low` and `limit` are what they may not go beyond. */
static struct ph_err *walk(struct finder *f, size_t first, size_t last, ph_addr low, ph_addr limit)
{
	const struct probe *probes = f->probes.items;
	ph_addr over = probes[first].at, at = over > low + STEP ? over - STEP + PH_PAGE : low, stop = over + PH_PAGE;
	uint64_t size = 0;
	while (at < probes[last].at && f->heads) {
		ph_addr found = at;
		struct ph_err *err = find_block(f, at, stop, over, limit, &found, &size);
		if (err || !size)
			return err;
		at = found + size;
		if (size >= BLOCK_MIN && is_data(f, &first, found, at)) {
			if (!PH_VEC_PUSH(f->found, (struct ph_buffer){ found, at }))
				return ph_err_nomem();
		} else {
			f->heads--;
		}
		over = at;
		stop = at + PH_PAGE;
	}
	return NULL;
}

static struct ph_err *find_blocks(struct finder *f)
{
	const struct probe *probes = f->probes.items;
	struct ph_err *err = NULL;
	for (size_t first = 0, last; !err && first < f->probes.n; first = last + 1) {
		last = first;
		if (probes[first].looks == REFERENCES)
			continue;
		ph_addr start = probes[first].start, end = probes[first].end;
		while (last + 1 < f->probes.n && probes[last + 1].at < end && probes[last + 1].looks != REFERENCES)
			last++;
		if (last - first + 1 < BLOCK_MIN / STEP / 2)
			continue;
		ph_addr low = first && probes[first - 1].at >= start ? probes[first - 1].at + PH_PAGE : start;
		ph_addr limit = last + 1 < f->probes.n && probes[last + 1].at < end ? probes[last + 1].at : end;
		err = walk(f, first, last, low, limit);
	}
	return err;
}

static uint64_t bytes_of(const struct ph_buffers *b)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < b->n; i++)
		sum += b->items[i].end - b->items[i].start - 2 * EDGE;
	return sum;
}

struct ph_err *ph_buffers_find(struct ph_reader *reader, const struct ph_mappings *maps, const struct ph_plan *plan,
			       struct ph_buffers *ret)
{
	struct finder f = { .reader = reader, .maps = maps, .plan = plan, .found = ret, .heads = HEADS_MAX };
	struct ph_err *err = NULL;
	ret->n = 0;
	if (plan->target_bytes < WORTH)
		return NULL;
	uint8_t (*pages)[PH_PAGE] ph_cleanup_free = malloc(BATCH * sizeof *pages);
	f.pages = pages;
	if (!pages)
		return ph_err_nomem();
	err = look_around(&f);
	if (!err)
		err = find_blocks(&f);
	if (bytes_of(ret) < WORTH)
		ret->n = 0;
	ph_vec_free(&f.probes);
	return err;
}

/* ---- while it stands still --------------------------------------------------------------------- */

/* A block that is as long as before, and of whose pages a few look as before. */
static struct ph_err *check(struct ph_reader *reader, const struct ph_mappings *maps, const struct ph_plan *plan,
			    const struct ph_buffer *b, uint8_t (*pages)[PH_PAGE], bool *ret)
{
	struct probe probes[BATCH];
	uint64_t step = STEP * RECHECK;
	bool ok;
	size_t n = 0;
	while ((b->end - b->start) / step >= BATCH)
		step *= 2;
	for (ph_addr at = (b->start + step / 2) & -PH_PAGE; at < b->end && n < BATCH; at += step) {
		const struct ph_run *r = ph_plan_find(plan, at);
		if (r && r->source == PH_RUN_TARGET)
			probes[n++] = (struct probe){ .at = at };
	}
	*ret = false;
	struct ph_err *err = ph_reader_gather(reader, &b->start, 1, 16, pages, &ok);
	if (err || !ok || block_size(pages[0], b->end - b->start) != b->end - b->start)
		return err;
	err = look(reader, maps, probes, n, pages);
	*ret = !err;
	for (size_t i = 0; !err && i < n; i++)
		*ret &= probes[i].looks != REFERENCES;
	return err;
}

struct ph_err *ph_buffers_check(struct ph_reader *reader, const struct ph_mappings *maps, const struct ph_plan *plan,
				struct ph_buffers *buffers)
{
	size_t kept = 0;
	ph_addr start = 0, end = 0;
	struct ph_err *err = NULL;
	uint8_t (*pages)[PH_PAGE] ph_cleanup_free = buffers->n ? malloc(BATCH * sizeof *pages) : NULL;
	if (buffers->n && !pages)
		return ph_err_nomem();
	for (size_t i = 0; !err && i < buffers->n; i++) {
		struct ph_buffer b = buffers->items[i];
		bool ok = false;
		if ((b.start < end || span_at(maps, b.start, &start, &end)) && b.end <= end)
			err = check(reader, maps, plan, &b, pages, &ok);
		if (ok)
			buffers->items[kept++] = b;
	}
	buffers->n = kept;
	return err;
}

/* ---- leaving them out ------------------------------------------------------------------------------ */

static bool add_part(struct ph_plan *plan, const struct ph_run *r, ph_addr start, ph_addr end, bool skipped)
{
	struct ph_run part = *r;
	part.start = start;
	part.end = end;
	part.at = plan->size;
	part.offset += start - r->start;
	if (skipped) {
		part.source = PH_RUN_SKIPPED;
		plan->skipped_bytes += end - start;
	} else {
		plan->size += end - start;
		plan->target_bytes += r->source == PH_RUN_TARGET ? end - start : 0;
	}
	return PH_VEC_PUSH(&plan->runs, part);
}

/* Runs that touch go on touching in the copy: what is left of the plan is what it was. */
struct ph_err *ph_plan_skip(struct ph_plan *plan, const struct ph_buffers *buffers)
{
	struct ph_plan made = { 0 };
	bool ok = true;
	if (!buffers->n)
		return NULL;
	for (size_t i = 0, k = 0; ok && i < plan->runs.n; i++) {
		const struct ph_run *r = &plan->runs.items[i];
		for (ph_addr at = r->start, stop; ok && at < r->end; at = stop) {
			while (k < buffers->n && buffers->items[k].end - EDGE <= at)
				k++;
			const struct ph_buffer *b = k < buffers->n ? &buffers->items[k] : NULL;
			bool skipped = b && b->start + EDGE <= at && r->source == PH_RUN_TARGET;
			stop = r->end;
			if (b && r->source == PH_RUN_TARGET && (skipped ? b->end : b->start) + (skipped ? -EDGE : EDGE) < stop)
				stop = skipped ? b->end - EDGE : b->start + EDGE;
			ok = add_part(&made, r, at, stop, skipped);
		}
	}
	ph_plan_deinit(ok ? plan : &made);
	if (!ok)
		return ph_err_nomem();
	*plan = made;
	return NULL;
}
