/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who holds the GIL, or might. Facts: Include/internal/pycore_gil.h, Python/ceval_gil.c. */
#include "runtime_priv.h"

#define MAX_THREADS 65536

static ph_addr gil_of(const struct ph_runtime *rt)
{
	if (rt_has(rt, PH_F_PyRuntime_gil))
		return rt->address + ph_layout_off(rt->layout, PH_F_PyRuntime_gil);
	if (rt_has(rt, PH_F_PyInterp_gil))
		return rt_field(rt, rt->interps[0].address, PH_F_PyInterp_gil);
	return 0;
}

/* On glibc pthread_self(), which thread_id is, is the base of the thread's storage. */
static ph_addr storage_of(const struct ph_runtime *rt, ph_addr thread)
{
	return thread && rt_has(rt, PH_F_PyThread_thread_id) ? rt_field(rt, thread, PH_F_PyThread_thread_id) : 0;
}

bool rt_runs_thread(const struct ph_runtime *rt, const struct ph_interp *in, const struct ph_thread_regs *thread)
{
	ph_addr at = rt_field(rt, in->address, PH_F_PyInterp_threads);
	for (size_t n = 0; at && n < MAX_THREADS; n++) {
		if (thread->tls && storage_of(rt, at) == thread->tls)
			return true;
		at = rt_field(rt, at, PH_F_PyThread_next);
	}
	return false;
}

/* The main thread is the one whose ID is the process's; without registers the oldest. */
static ph_addr main_thread(const struct ph_runtime *rt)
{
	const struct ph_target *t = rt->target;
	ph_addr storage = 0, last = 0;
	for (size_t i = 0; i < t->nthreads; i++)
		if (t->threads[i].tid == t->pid)
			storage = t->threads[i].tls;
	ph_addr at = rt_field(rt, rt->interps[0].address, PH_F_PyInterp_threads);
	for (size_t n = 0; at && n < MAX_THREADS; n++) {
		if (storage && storage_of(rt, at) == storage)
			return at;
		last = at;
		at = rt_field(rt, at, PH_F_PyThread_next);
	}
	return last;
}

/* Without a GIL the main thread may be at work, in the middle of anything. One that waits
 * outside of Python (detached) is at rest, and so are the heaps that it has. */
static ph_addr resting_thread(const struct ph_runtime *rt, ph_addr main)
{
	uint32_t state;
	ph_addr at = main, next = rt_field(rt, rt->interps[0].address, PH_F_PyInterp_threads);
	if (!rt->free_threaded || !rt_has(rt, PH_F_PyThread_state))
		return main;
	for (size_t n = 0; at && n < MAX_THREADS; n++) {
		if (ph_mem_u32(rt->mem, at + ph_layout_off(rt->layout, PH_F_PyThread_state), &state) && !state &&
		    ph_mem_at(rt->mem, storage_of(rt, at), 8))
			return at;
		at = next;
		next = rt_field(rt, next, PH_F_PyThread_next);
	}
	return main;
}

void ph_runtime_gil(const struct ph_runtime *rt, struct ph_gil *ret)
{
	uint32_t locked = 0;
	ph_addr gil = gil_of(rt);
	*ret = (struct ph_gil){ .main_thread = resting_thread(rt, main_thread(rt)) };
	if (rt_has(rt, PH_F_PyRuntime_tstate_current)) {
		ret->current = rt->address + ph_layout_off(rt->layout, PH_F_PyRuntime_tstate_current);
		ret->holder = rt_field(rt, rt->address, PH_F_PyRuntime_tstate_current);
	}
	if (gil && rt_has(rt, PH_F_Gil_locked)) {
		ret->address = gil;
		ph_mem_u32(rt->mem, gil + ph_layout_off(rt->layout, PH_F_Gil_locked), &locked);
	}
	if (!ret->current && locked == 1 && rt_has(rt, PH_F_Gil_last_holder))
		ret->holder = rt_field(rt, gil, PH_F_Gil_last_holder);
	ret->storage = storage_of(rt, ret->holder);
	ret->main_storage = storage_of(rt, ret->main_thread);
}
