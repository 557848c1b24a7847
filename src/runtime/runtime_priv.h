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
void rt_lists_check(const struct ph_runtime *rt, ph_addr wanted, struct rt_lists_fit *ret);

/* Whether one of an interpreter's threads is this one. */
bool rt_runs_thread(const struct ph_runtime *rt, const struct ph_interp *in, const struct ph_thread_regs *thread);

/* ≤3.10: which dk_lookup function means "keys of any type"; sets rt->lookdict. */
void rt_learn_lookdict(struct ph_runtime *rt);

#endif
