/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each number is atomic, all together are not: what is read while something new begins may
 * be of both, and makes one line that is odd. */
#include <pyheap/base.h>

struct ph_progress ph_progress_ PH_OWN_LINES;

void ph_progress_begin(enum ph_progress_unit unit, uint64_t total)
{
	struct ph_progress *p = &ph_progress_;
	__atomic_store_n(&p->total, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->done, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->count, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->unit, unit, __ATOMIC_RELAXED);
	__atomic_store_n(&p->start_ns, ph_now_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&p->total, total, __ATOMIC_RELAXED);
}

struct ph_progress ph_progress_now(void)
{
	const struct ph_progress *p = &ph_progress_;
	return (struct ph_progress){
		.unit = __atomic_load_n(&p->unit, __ATOMIC_RELAXED),
		.start_ns = __atomic_load_n(&p->start_ns, __ATOMIC_RELAXED),
		.done = __atomic_load_n(&p->done, __ATOMIC_RELAXED),
		.total = __atomic_load_n(&p->total, __ATOMIC_RELAXED),
		.count = __atomic_load_n(&p->count, __ATOMIC_RELAXED),
	};
}
