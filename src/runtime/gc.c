/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The collector's lists. Facts: Modules/gcmodule.c (≤3.12), Python/gc.c. */
#include "runtime_priv.h"

#define LINK_MASK (~(uint64_t)3) /* flag bits live in the low bits of both links */

struct walk {
	const struct ph_runtime *rt;
	struct ph_notes *notes;
	bool (*fn)(void *ctx, ph_addr object, int generation);
	void *ctx;
	uint32_t head_size, next_off, prev_off;
	uint64_t budget; /* of list steps: no heap holds more objects */
	uint64_t seen;
	unsigned skip; /* generations */
};

static uint64_t link_at(const struct walk *w, ph_addr head, uint32_t off)
{
	uint64_t v;
	return ph_mem_u64(w->rt->mem, head + off, &v) ? v & LINK_MASK : 0;
}

/* Follows one direction of a list until it is back at its sentinel; false when it
 * breaks off or runs into objects that were seen. */
static bool links_follow(struct walk *w, ph_addr head, uint32_t off, int generation)
{
	ph_addr at = link_at(w, head, off);
	while (at != head) {
		if (!at || !w->budget)
			return false;
		w->budget--;
		ph_addr next = link_at(w, at, off);
		if (!next || !w->fn(w->ctx, at + w->head_size, generation))
			return false;
		w->seen++;
		at = next;
	}
	return true;
}

/* One circular list; `head` is its sentinel. Where it is broken, what the other
 * direction reaches is taken, too. */
static void list_walk(struct walk *w, ph_addr head, int generation)
{
	if (w->skip & 1u << generation || links_follow(w, head, w->next_off, generation))
		return;
	ph_note(w->notes, PH_NOTE_BAD_LIST, head);
	if (!w->rt->collecting) /* during a collection prev is a counter */
		links_follow(w, head, w->prev_off, generation);
}

static void generations_walk(struct walk *w, const struct ph_interp *in)
{
	const struct ph_layout *l = w->rt->layout;
	uint32_t stride = ph_layout_size(l, PH_S_GCGeneration);
	uint32_t head = ph_layout_off(l, PH_F_GCGeneration_head);
	uint64_t before = w->seen;
	if (ph_layout_has(l, PH_F_GC_generations)) {
		for (int i = 0; i < 3; i++)
			list_walk(w, in->gc + ph_layout_off(l, PH_F_GC_generations) + (uint64_t)i * stride + head, i);
	} else if (ph_layout_has(l, PH_F_GC_young)) {
		uint32_t visited = 0;
		if (ph_layout_has(l, PH_F_GC_visited_space))
			ph_mem_u32(w->rt->mem, in->gc + ph_layout_off(l, PH_F_GC_visited_space), &visited);
		list_walk(w, in->gc + ph_layout_off(l, PH_F_GC_young) + head, 0);
		for (uint32_t i = 0; i < 2; i++)
			list_walk(w, in->gc + ph_layout_off(l, PH_F_GC_old) + i * stride + head,
				  i == (visited & 1) ? 1 : 2);
	}
	uint64_t heap_size = w->seen - before;
	if (ph_layout_has(l, PH_F_GC_permanent))
		list_walk(w, in->gc + ph_layout_off(l, PH_F_GC_permanent) + head, 3);
	uint64_t counted;
	if (ph_layout_has(l, PH_F_GC_heap_size) && !w->rt->collecting && !w->skip &&
	    ph_mem_u64(w->rt->mem, in->gc + ph_layout_off(l, PH_F_GC_heap_size), &counted) &&
	    counted != heap_size && counted != w->seen - before)
		ph_note(w->notes, PH_NOTE_HEAP_SIZE, in->gc);
}

/* Does an object of a readable type stand behind this list link? */
static bool looks_like_object(const struct walk *w, ph_addr link)
{
	ph_addr object = link + w->head_size, type, meta, metameta;
	uint32_t off = ph_layout_off(w->rt->layout, PH_F_PyObject_ob_type);
	return ph_mem_u64(w->rt->mem, object + off, &type) && ph_mem_u64(w->rt->mem, type + off, &meta) &&
	       (meta == w->rt->type_type ||
		(ph_mem_u64(w->rt->mem, meta + off, &metameta) && metameta == w->rt->type_type));
}

/* During a collection the objects under suspicion are on lists whose sentinels
 * are local variables on the collecting thread's stack: any two words there that
 * are linked both ways with an object. */
static void stack_lists_walk(struct walk *w, const struct ph_thread_regs *thread)
{
	const struct ph_segment *seg = ph_mem_segment(w->rt->mem, thread->sp);
	if (!seg)
		return;
	for (ph_addr s = thread->sp & ~7ull; s + w->head_size <= seg->end; s += 8) {
		ph_addr next = link_at(w, s, w->next_off), prev = link_at(w, s, w->prev_off);
		if (!next || !prev || next == s || (next >= seg->start && next < seg->end) ||
		    link_at(w, next, w->prev_off) != s || link_at(w, prev, w->next_off) != s ||
		    !looks_like_object(w, next))
			continue;
		list_walk(w, s, 4);
	}
}

void ph_runtime_tracked(const struct ph_runtime *rt, unsigned skip, struct ph_notes *notes,
			bool (*fn)(void *ctx, ph_addr object, int generation), void *ctx)
{
	const struct ph_layout *l = rt->layout;
	struct walk w = { .rt = rt, .notes = notes, .fn = fn, .ctx = ctx, .skip = skip };
	w.head_size = ph_layout_size(l, PH_S_GCHead);
	w.next_off = ph_layout_off(l, PH_F_GCHead_next);
	w.prev_off = ph_layout_off(l, PH_F_GCHead_prev);
	w.budget = rt->mem->linear_size / 16;
	for (size_t i = 0; i < rt->ninterps; i++) {
		bool shared = i && rt->interps[i].gc == rt->interps[0].gc; /* 3.8 */
		if (!shared)
			generations_walk(&w, &rt->interps[i]);
	}
	if (!rt->collecting)
		return;
	for (size_t i = 0; i < rt->target->nthreads; i++)
		stack_lists_walk(&w, &rt->target->threads[i]);
}
