/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does not fit together in a target that was not stopped is read again: the pages of
 * those objects whose references lead to none, and of what they lead to.
 *
 * All pages that were ever torn are read in one go, not the new ones only: what is changed all
 * the time lies in few of them, and these few are of one moment then, nearly. */
#include "build.h"

#define PAGES_MAX 16384          /* 64 MiB: more would take as long as the copy did */
#define OBJECT_MAX (1ull << 20)  /* bytes of one object and of a block that it has */
#define HEAD_MAX 4096            /* bytes of it where blocks are looked for */
#define WORK_MAX (1u << 22)      /* pages and words that are looked at in one round */

/* ---- which pages ------------------------------------------------------------------------ */

static bool pages_add(struct ph_build *b, ph_addr start, uint64_t n)
{
	const struct ph_mem *mem = b->os->mem;
	ph_addr page = start & -PH_REREAD_PAGE;
	for (ph_addr end = start + n; b->reread.left && page < end && end >> PH_ADDR_BITS == 0; page += PH_REREAD_PAGE) {
		b->reread.left--;
		const struct ph_segment *s = ph_mem_segment(mem, page);
		size_t last = b->reread.pages.n;
		if (!s || !s->writable || (last && b->reread.pages.items[last - 1] == page))
			continue;
		if (!PH_VEC_PUSH(&b->reread.pages, page))
			return false;
	}
	return true;
}

static bool is_marked(const struct ph_build *b, ph_addr addr)
{
	uint64_t linear = addr & 7 ? PH_NOWHERE : ph_mem_linear(b->os->mem, addr);
	return linear != PH_NOWHERE && ph_index_has(&b->index, linear);
}

/* The blocks that it has beside itself (a list's items, a dict's keys): a word of it that
 * leads to memory where no object is. How long they are is in its size. */
static bool blocks_add(struct ph_build *b, ph_addr from, ph_addr to, uint64_t n)
{
	bool ok = true;
	for (; ok && b->reread.left && from < to; from += 8) {
		uint64_t word;
		b->reread.left--;
		if (!ph_mem_u64(b->os->mem, from, &word))
			continue;
		const struct ph_segment *s = ph_mem_segment(b->os->mem, word & -8ull);
		if (s && s->writable && !is_marked(b, word & -8ull))
			ok = pages_add(b, word & -8ull, n);
	}
	return ok;
}

static bool object_add(struct ph_build *b, ph_addr addr)
{
	struct ph_objects *os = b->os;
	uint64_t shallow, uncounted, pre = os->head_size + 16ull;
	struct ph_object o;
	/* where no object was found, a link of a list, no type shall be met first */
	if (addr < pre || !is_marked(b, addr) || !ph_object_at(os, addr, &o))
		return pages_add(b, addr, 16);
	const struct ph_type *t = o.type;
	ph_object_size(os, &o, &shallow, &uncounted);
	uint64_t rest = shallow > t->basicsize ? shallow - t->basicsize : 0;
	uint64_t more = rest + uncounted < rest || rest + uncounted > OBJECT_MAX ? OBJECT_MAX : rest + uncounted;
	uint64_t whole = t->basicsize + (t->itemsize ? more : 0);
	uint64_t head = t->head_bytes < HEAD_MAX ? t->head_bytes : HEAD_MAX;
	return pages_add(b, addr - pre, pre + whole) && blocks_add(b, addr - pre, addr + head, more ? more : 8);
}

static size_t sort_once(ph_addr *items, size_t n)
{
	size_t kept = 0;
	if (n)
		qsort(items, n, sizeof *items, build_by_address);
	for (size_t i = 0; i < n; i++)
		if (!kept || items[kept - 1] != items[i])
			items[kept++] = items[i];
	return kept;
}

static bool holders_add(struct ph_build *b)
{
	struct build_reread *r = &b->reread;
	bool ok = true;
	r->left = WORK_MAX;
	for (size_t i = 0; ok && r->left && i < r->found.n; i++) {
		const struct build_torn *t = &r->found.items[i];
		ok = (i && t->holder == t[-1].holder) || object_add(b, t->holder);
		ok = ok && pages_add(b, t->to, 16);
		if (r->pages.n < 4 * PAGES_MAX)
			continue;
		r->pages.n = sort_once(r->pages.items, r->pages.n); /* most are there more than once */
		if (r->pages.n >= PAGES_MAX)
			break;
	}
	return ok;
}

static bool pages_collect(struct ph_build *b)
{
	struct build_reread *r = &b->reread;
	struct ph_notes ignored = { 0 }; /* objects have their say when they are read */
	b->os->notes = &ignored;
	bool ok = holders_add(b);
	b->os->notes = b->notes;
	if (!r->rounds)
		ph_target_changed(b->rt->target, PAGES_MAX / 2, &r->pages);
	r->pages.n = sort_once(r->pages.items, r->pages.n);
	if (r->pages.n > PAGES_MAX)
		r->pages.n = PAGES_MAX;
	return ok;
}

/* ---- reading them -------------------------------------------------------------------------- */

/* Back to how it was when the fewest were found. */
static bool undo(struct ph_build *b)
{
	struct build_reread *r = &b->reread;
	r->done = true;
	if (r->best == r->rounds)
		return false;
	while (r->rounds > r->best) {
		const struct build_reread_round *last = &r->round[--r->rounds];
		ph_target_put_back(b->rt->target, last->pages.items, last->pages.n, last->before);
	}
	r->found.n = 0;
	return true;
}

bool build_reread_undo(struct ph_build *b)
{
	return b->reread.rounds && !b->reread.done && undo(b);
}

/* The pages that were collected. */
static bool read_round(struct ph_build *b)
{
	struct build_reread *r = &b->reread;
	struct build_reread_round *now = &r->round[r->rounds];
	size_t n = r->pages.n;
	now->before = malloc(n * PH_REREAD_PAGE);
	if (!now->before || !PH_VEC_RESERVE(&now->pages, n))
		return false;
	memcpy(now->pages.items, r->pages.items, n * sizeof *now->pages.items);
	now->pages.n = n;
	if (!ph_target_reread(b->rt->target, r->pages.items, n, now->before))
		return false;
	r->told.rounds = ++r->rounds;
	r->told.pages = n;
	r->found.n = 0;
	return true;
}

/* A round that makes it worse tells of more pages all the same: those that change. */
bool build_reread(struct ph_build *b)
{
	struct build_reread *r = &b->reread;
	size_t n = r->found.n;
	if (r->done)
		return false;
	if (!r->rounds) {
		r->told.found = n;
		r->start = ph_now_ns();
	}
	if (!r->rounds || n <= r->fewest) {
		r->fewest = r->told.left = n;
		r->best = r->rounds;
	}
	return (n && r->rounds < REREADS && pages_collect(b) && r->pages.n && read_round(b)) || undo(b);
}

/* ---- what is left ----------------------------------------------------------------------------- */

/* An object of which many references are torn is one. */
void build_reread_note(struct ph_build *b)
{
	b->reread.told.ns = b->reread.told.rounds ? ph_now_ns() - b->reread.start : 0;
	struct build_torn_list *found = &b->reread.found;
	if (found->n)
		qsort(found->items, found->n, sizeof *found->items, build_by_address);
	for (size_t i = 0; i < found->n; i++)
		if (!i || found->items[i].holder != found->items[i - 1].holder)
			ph_note(b->notes, PH_NOTE_TORN_OBJECTS, found->items[i].holder);
	found->n = 0;
}

void build_reread_free(struct ph_build *b)
{
	ph_vec_free(&b->reread.found);
	ph_vec_free(&b->reread.pages);
	for (size_t i = 0; i < REREADS; i++) {
		ph_vec_free(&b->reread.round[i].pages);
		free(b->reread.round[i].before);
	}
}
