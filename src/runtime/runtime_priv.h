/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RUNTIME_PRIV_H
#define RUNTIME_PRIV_H

#include <pyheap/runtime.h>

/* The pointer-sized member f of the struct at base; 0 when it is missing. */
static inline uint64_t rt_field(const struct ph_runtime *rt, ph_addr base, enum ph_field f)
{
	uint64_t v;
	if (!base || !ph_mem_u64(rt->mem, base + ph_layout_off(rt->layout, f), &v))
		return 0;
	return v;
}
static inline bool rt_has(const struct ph_runtime *rt, enum ph_field f)
{
	return ph_layout_has(rt->layout, f);
}

/* The first bytes of _PyRuntime on 3.13 and later. */
#define PH_DEBUG_COOKIE "xdebugpy"
/* How the collector's lists look with this layout. */
struct rt_lists_fit {
	uint64_t objects;         /* on them */
	uint64_t counted_objects; /* the same without the permanent generation */
	uint64_t counted;         /* what the collector itself counts (3.14.5 and later) */
	uint64_t breaks;          /* links that lead nowhere or not back */
	uint64_t strange;         /* members that are no objects */
	uint32_t unreadable;      /* lists whose sentinel cannot be read */
	bool counted_known, met;  /* met: `wanted` is on one of them */
};
/* A process is stopped at any instant: a link may be half made. */
#define RT_MAX_BREAKS 2
#define RT_MAX_LOOKED_AT 20000 /* objects of one list whose types are checked */
void rt_lists_check(const struct ph_runtime *rt, ph_addr wanted, struct rt_lists_fit *ret);
/* Does an object of a readable type stand there? gc.c */
bool rt_is_object(const struct ph_runtime *rt, ph_addr object);

/* mimalloc.c: what ph_runtime_lists(), ph_runtime_tracked_both() and rt_lists_check() do in a
 * free-threaded build. `broken` gets a page that is damaged. */
void rt_heaps_walk(const struct ph_runtime *rt, unsigned skip, struct ph_notes *notes, ph_tracked_fn *fn,
		   void (*broken)(void *ctx, ph_addr link), void *ctx);
void rt_heaps_walk_both(const struct ph_runtime *rt, struct ph_notes *notes, ph_tracked_fn *fn, void *const ctx[2]);
void rt_heaps_check(const struct ph_runtime *rt, ph_addr wanted, struct rt_lists_fit *ret);

/* References of an object as its head counts them (of which there are more in free-threaded
 * builds); 0: it cannot be read. values.c */
uint64_t rt_count(const struct ph_runtime *rt, ph_addr object);

/* Whether one of an interpreter's threads is this one. */
bool rt_runs_thread(const struct ph_runtime *rt, const struct ph_interp *in, const struct ph_thread_regs *thread);

/* ≤3.10: which dk_lookup function means "keys of any type"; sets rt->lookdict. */
void rt_learn_lookdict(struct ph_runtime *rt);

#endif
