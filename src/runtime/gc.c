/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The collector's lists. Facts: Modules/gcmodule.c (≤3.12), Python/gc.c. */
#include "runtime_priv.h"

#define LINK_MASK (~(uint64_t)3) /* flag bits live in the low bits of both links */
#define PERMANENT PH_GENERATION_PERMANENT
#define RT_LISTS 4               /* of one interpreter */

/* A list: the address of its sentinel. */
struct rt_list {
	ph_addr head;
	int generation;
	uint32_t interp; /* whose it is; PH_NO_INTERP: of several */
};

struct walk {
	const struct ph_runtime *rt;
	struct ph_notes *notes;
	ph_tracked_fn *fn;
	void (*broken)(void *ctx, ph_addr link); /* or NULL */
	void *ctx;
	uint32_t head_size, next_off, prev_off;
	uint64_t budget; /* of list steps: no heap holds more objects */
	uint64_t seen;
	unsigned skip; /* generations */
};

static void walk_init(struct walk *w)
{
	const struct ph_layout *l = w->rt->layout;
	w->head_size = ph_layout_size(l, PH_S_GCHead);
	w->next_off = ph_layout_off(l, PH_F_GCHead_next);
	w->prev_off = ph_layout_off(l, PH_F_GCHead_prev);
	w->budget = w->rt->mem->whole_size / 16;
}

static uint64_t link_at(const struct walk *w, ph_addr head, uint32_t off)
{
	uint64_t v;
	return ph_mem_u64(w->rt->mem, head + off, &v) ? v & LINK_MASK : 0;
}

/* How far a walk came: the last link that it went by (the sentinel before the first one),
 * and what that leads to. */
struct walked {
	ph_addr last, next;
};

/* Follows one direction of a list, from a link on, until it is back at its sentinel, breaks
 * off or runs into objects that were seen. */
static struct walked links_follow(struct walk *w, const struct rt_list *list, ph_addr from, uint32_t off)
{
	struct walked at = { from, link_at(w, from, off) };
	while (at.next != list->head && at.next && w->budget) {
		w->budget--;
		ph_addr next = link_at(w, at.next, off);
		if (!next || !w->fn(w->ctx, at.next + w->head_size, list->generation, list->interp))
			break;
		w->seen++;
		at = (struct walked){ at.next, next };
		if (!(w->seen & 0xffff) && ph_interrupted)
			break;
	}
	return at;
}

/* All of one direction; false where it is broken, which is told. */
static bool links_walk(struct walk *w, const struct rt_list *list, uint32_t off)
{
	struct walked end = links_follow(w, list, list->head, off);
	if (end.next == list->head)
		return true;
	if (w->broken && !ph_interrupted) {
		w->broken(w->ctx, end.last);
		w->broken(w->ctx, end.next);
	}
	return false;
}

/* One circular list. Where it is broken, what the other direction reaches is taken, too. */
static void list_walk(struct walk *w, const struct rt_list *list)
{
	if (w->skip & 1u << list->generation || links_walk(w, list, w->next_off))
		return;
	ph_note(w->notes, PH_NOTE_BAD_LIST, list->head);
	if (!w->rt->collecting) /* during a collection prev is a counter */
		links_walk(w, list, w->prev_off);
}

/* 3.8: all interpreters share the lists of the first. */
static bool has_own_lists(const struct ph_runtime *rt, size_t interp)
{
	return !interp || rt->interps[interp].gc != rt->interps[0].gc;
}

static uint32_t owner_of(const struct ph_runtime *rt, const struct ph_interp *in)
{
	bool shared = rt->ninterps > 1 && !has_own_lists(rt, 1);
	return shared ? PH_NO_INTERP : (uint32_t)(in - rt->interps);
}

/* The sentinels of one interpreter's lists, with their generations; returns how many. */
static size_t lists_of(const struct ph_runtime *rt, const struct ph_interp *in, struct rt_list ret[RT_LISTS])
{
	const struct ph_layout *l = rt->layout;
	uint32_t owner = owner_of(rt, in);
	uint32_t stride = ph_layout_size(l, PH_S_GCGeneration), visited = 0;
	ph_addr head = in->gc + ph_layout_off(l, PH_F_GCGeneration_head);
	size_t n = 0;
	if (ph_layout_has(l, PH_F_GC_generations)) {
		for (int i = 0; i < 3; i++)
			ret[n++] = (struct rt_list){ head + ph_layout_off(l, PH_F_GC_generations) + (uint64_t)i * stride, i, owner };
	} else if (ph_layout_has(l, PH_F_GC_young)) {
		if (ph_layout_has(l, PH_F_GC_visited_space))
			ph_mem_u32(rt->mem, in->gc + ph_layout_off(l, PH_F_GC_visited_space), &visited);
		ret[n++] = (struct rt_list){ head + ph_layout_off(l, PH_F_GC_young), 0, owner };
		for (uint32_t i = 0; i < 2; i++)
			ret[n++] = (struct rt_list){ head + ph_layout_off(l, PH_F_GC_old) + i * stride,
						     i == (visited & 1) ? 1 : 2, owner };
	}
	if (ph_layout_has(l, PH_F_GC_permanent))
		ret[n++] = (struct rt_list){ head + ph_layout_off(l, PH_F_GC_permanent), PERMANENT, owner };
	return n;
}

/* Whether the lists are as long as the collector counts, with and without the permanent one. */
static void heap_size_check(const struct walk *w, const struct ph_interp *in, uint64_t without, uint64_t all)
{
	uint64_t counted;
	if (ph_layout_has(w->rt->layout, PH_F_GC_heap_size) && !w->rt->collecting && !w->skip &&
	    ph_mem_u64(w->rt->mem, in->gc + ph_layout_off(w->rt->layout, PH_F_GC_heap_size), &counted) &&
	    counted != without && counted != all)
		ph_note(w->notes, PH_NOTE_HEAP_SIZE, in->gc);
}

static void generations_walk(struct walk *w, const struct ph_interp *in)
{
	struct rt_list lists[RT_LISTS];
	size_t n = lists_of(w->rt, in, lists);
	uint64_t before = w->seen, heap_size = 0;
	for (size_t i = 0; i < n; i++) {
		list_walk(w, &lists[i]);
		if (lists[i].generation != PERMANENT)
			heap_size = w->seen - before;
	}
	heap_size_check(w, in, heap_size, w->seen - before);
}

/* ---- from both ends -------------------------------------------------------------------- */

/* The other direction, as long as every link leads back: an object that was just being put
 * on the list or taken off it is where the way forwards says. Returns the last one gone by. */
static ph_addr links_back(struct walk *w, const struct rt_list *list)
{
	ph_addr head = list->head, last = head, at = link_at(w, head, w->prev_off);
	if (link_at(w, at, w->next_off) != head)
		return head;
	while (at != head && w->budget) {
		w->budget--;
		ph_addr before = link_at(w, at, w->prev_off);
		if (link_at(w, before, w->next_off) != at || !w->fn(w->ctx, at + w->head_size, list->generation, list->interp))
			break;
		w->seen++;
		last = at;
		at = before;
		if (!(w->seen & 0xffff) && ph_interrupted)
			break;
	}
	return last;
}

/* All lists of an interpreter, forwards (0) and backwards (1). */
struct both_ways {
	struct walk w[2];
	struct rt_list lists[RT_LISTS];
	size_t n;
	struct walked there[RT_LISTS];
	ph_addr back[RT_LISTS];
	uint64_t seen[2][RT_LISTS]; /* up to the end of each list */
};

static void one_way_walk(void *both, unsigned backwards)
{
	struct both_ways *b = both;
	struct walk w = b->w[backwards]; /* not beside what the other one counts */
	for (size_t i = 0; i < b->n; i++) {
		const struct rt_list *l = &b->lists[i];
		if (backwards)
			b->back[i] = links_back(&w, l);
		else
			b->there[i] = links_follow(&w, l, l->head, w.next_off);
		b->seen[backwards][i] = w.seen;
	}
}

/* A list is whole where the way forwards came to its end, or to where the other one stopped. */
static void both_ways_walk(const struct walk *w, const struct ph_interp *in, void *const ctx[2])
{
	struct both_ways b = { .w = { *w, *w } };
	uint64_t heap_size = 0, all = 0;
	b.w[0].ctx = ctx[0];
	b.w[1].ctx = ctx[1];
	b.n = lists_of(w->rt, in, b.lists);
	ph_parallel(2, one_way_walk, &b);
	for (size_t i = 0; i < b.n; i++) {
		const struct rt_list *l = &b.lists[i];
		if (b.there[i].next != l->head && b.there[i].next != b.back[i]) {
			ph_note(w->notes, PH_NOTE_BAD_LIST, l->head);
			links_follow(&b.w[1], l, b.back[i], w->prev_off);
		}
		all = b.seen[0][i] + b.seen[1][i];
		heap_size = l->generation != PERMANENT ? all : heap_size;
	}
	heap_size_check(w, in, heap_size, all);
}

void ph_runtime_tracked_both(const struct ph_runtime *rt, struct ph_notes *notes, ph_tracked_fn *fn,
			     void *const ctx[2])
{
	if (rt->free_threaded) {
		rt_heaps_walk_both(rt, notes, fn, ctx);
		return;
	}
	struct walk w = { .rt = rt, .notes = notes, .fn = fn };
	walk_init(&w);
	for (size_t i = 0; i < rt->ninterps; i++)
		if (has_own_lists(rt, i))
			both_ways_walk(&w, &rt->interps[i], ctx);
}

/* ---- during a collection ------------------------------------------------------------------ */

bool rt_is_object(const struct ph_runtime *rt, ph_addr object)
{
	ph_addr type, meta, metameta;
	uint32_t off = ph_layout_off(rt->layout, PH_F_PyObject_ob_type);
	return ph_mem_u64(rt->mem, object + off, &type) && ph_mem_u64(rt->mem, type + off, &meta) &&
	       (meta == rt->type_type || (ph_mem_u64(rt->mem, meta + off, &metameta) && metameta == rt->type_type));
}

/* Does an object of a readable type stand behind this list link? */
static bool looks_like_object(const struct walk *w, ph_addr link)
{
	return rt_is_object(w->rt, link + w->head_size);
}

/* Whose collection a thread is in: where more than one is in progress, that of the thread's own
 * interpreter, by its thread-local storage. */
static uint32_t collecting_interp(const struct ph_runtime *rt, const struct ph_thread_regs *thread)
{
	uint32_t found = PH_NO_INTERP, n = 0;
	for (uint32_t i = 0; i < rt->ninterps; i++) {
		if (!rt->interps[i].collecting)
			continue;
		found = i;
		n++;
	}
	if (n == 1)
		return owner_of(rt, &rt->interps[found]);
	for (uint32_t i = 0; n && i < rt->ninterps; i++)
		if (rt->interps[i].collecting && rt_runs_thread(rt, &rt->interps[i], thread))
			return owner_of(rt, &rt->interps[i]);
	return PH_NO_INTERP;
}

/* During a collection the objects under suspicion are on lists whose sentinels
 * are local variables on the collecting thread's stack: any two words there that
 * are linked both ways with an object, and are not the head of one themselves: heaps may be
 * mapped right behind a stack. */
static void stack_lists_walk(struct walk *w, const struct ph_thread_regs *thread)
{
	const struct ph_segment *seg = ph_mem_segment(w->rt->mem, thread->sp);
	uint32_t interp = collecting_interp(w->rt, thread);
	if (!seg)
		return;
	for (ph_addr s = thread->sp & ~7ull; s + w->head_size <= seg->end; s += 8) {
		ph_addr next = link_at(w, s, w->next_off), prev = link_at(w, s, w->prev_off);
		if (!next || !prev || next == s || (next >= seg->start && next < seg->end) ||
		    link_at(w, next, w->prev_off) != s || link_at(w, prev, w->next_off) != s ||
		    !looks_like_object(w, next) || looks_like_object(w, s))
			continue;
		list_walk(w, &(struct rt_list){ s, 4, interp });
	}
}

void ph_runtime_tracked(const struct ph_runtime *rt, unsigned skip, struct ph_notes *notes, ph_tracked_fn *fn, void *ctx)
{
	ph_runtime_lists(rt, skip, notes, fn, NULL, ctx);
}

void ph_runtime_lists(const struct ph_runtime *rt, unsigned skip, struct ph_notes *notes, ph_tracked_fn *fn,
		      void (*broken)(void *ctx, ph_addr link), void *ctx)
{
	if (rt->free_threaded) {
		rt_heaps_walk(rt, skip, notes, fn, broken, ctx);
		return;
	}
	struct walk w = { .rt = rt, .notes = notes, .fn = fn, .broken = broken, .ctx = ctx, .skip = skip };
	walk_init(&w);
	for (size_t i = 0; i < rt->ninterps; i++)
		if (has_own_lists(rt, i))
			generations_walk(&w, &rt->interps[i]);
	if (!rt->collecting)
		return;
	if (rt->mem->skipped.n) /* it counts where a stack's segment ends */
		ph_mem_want(rt->mem);
	for (size_t i = 0; i < rt->target->nthreads; i++)
		stack_lists_walk(&w, &rt->target->threads[i]);
}

/* ---- do they fit? ------------------------------------------------------------------- */

/* Forwards along one list, while each link leads back, too. False where it cannot be read. */
static bool list_check(struct walk *w, const struct rt_list *list, ph_addr wanted, struct rt_lists_fit *fit)
{
	ph_addr at = list->head, next;
	uint64_t n = 0;
	if (!ph_mem_at(w->rt->mem, list->head, w->head_size))
		return false;
	for (; w->budget; w->budget--, n++, at = next) {
		next = link_at(w, at, w->next_off);
		if (!next) {
			fit->breaks += 1;
			return true;
		}
		/* during a collection prev is a counter */
		fit->breaks += !w->rt->collecting && link_at(w, next, w->prev_off) != at;
		if (next == list->head)
			break;
		fit->met |= next + w->head_size == wanted;
		fit->strange += n < RT_MAX_LOOKED_AT && !looks_like_object(w, next);
		if (fit->breaks > RT_MAX_BREAKS || fit->strange > RT_MAX_BREAKS || (!(n & 0xffff) && ph_interrupted))
			return true;
	}
	fit->objects += n;
	fit->counted_objects += list->generation == PERMANENT ? 0 : n;
	fit->breaks += !w->budget;
	return true;
}

void rt_lists_check(const struct ph_runtime *rt, ph_addr wanted, struct rt_lists_fit *ret)
{
	const struct ph_layout *l = rt->layout;
	struct walk w = { .rt = rt };
	struct rt_list lists[RT_LISTS];
	uint64_t counted;
	if (rt->free_threaded) {
		rt_heaps_check(rt, wanted, ret);
		return;
	}
	walk_init(&w);
	*ret = (struct rt_lists_fit){ .counted_known = ph_layout_has(l, PH_F_GC_heap_size) };
	for (size_t i = 0; i < rt->ninterps; i++) {
		size_t n = has_own_lists(rt, i) ? lists_of(rt, &rt->interps[i], lists) : 0;
		for (size_t k = 0; k < n; k++)
			ret->unreadable += !list_check(&w, &lists[k], wanted, ret);
		if (!ret->counted_known || !n)
			continue;
		ret->counted_known = ph_mem_u64(rt->mem, rt->interps[i].gc + ph_layout_off(l, PH_F_GC_heap_size), &counted);
		ret->counted += ret->counted_known ? counted : 0;
	}
}
