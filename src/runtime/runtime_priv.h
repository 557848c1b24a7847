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

/* ≤3.10: which dk_lookup function means "keys of any type"; sets rt->lookdict. */
void rt_learn_lookdict(struct ph_runtime *rt);

#endif
