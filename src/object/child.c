/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What CPython's code needs to find in the copy before any of it is run (replay.h): a
 * current thread state, a GIL that is at rest, a collector that is off. */
#include "object_priv.h"

#define INTERPS_MAX (CHILD_PRELUDE - GIL_ITEMS)
#define GIL_ITEMS 8

ph_addr child_symbol(const struct ph_objects *os, const char *name)
{
	ph_addr at;
	return ph_runtime_symbol(os->rt, name, &at, NULL) ? at : 0;
}

/* A thread state must be current for code that makes an int. When nobody holds the GIL,
 * the main thread is made to: in the copy. Up to 3.11 that is one word; then the
 * current one is thread-local, and PyThreadState_Swap() sets it. It finds a GIL that
 * nobody is about to take or to give back, and a thread that is not half-way either. */
static size_t take_gil(const struct ph_objects *os, const struct ph_gil *gil, struct ph_replay_item items[GIL_ITEMS])
{
	static const enum ph_field idle[] = { PH_F_Gil_mutex, PH_F_Gil_cond, PH_F_Gil_switch_mutex,
					      PH_F_Gil_switch_cond, PH_F_Gil_locked };
	size_t n = 0;
	ph_addr swap = child_symbol(os, "PyThreadState_Swap");
	if (gil->current && gil->main_thread)
		items[n++] = (struct ph_replay_item){ gil->current, 8, gil->main_thread, PH_REPLAY_STORE, 0 };
	if (gil->current || !gil->address || !swap || !gil->main_thread)
		return n;
	for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
		if (has(os, idle[i]))
			items[n++] = (struct ph_replay_item){ gil->address + ph_layout_off(os->layout, idle[i]),
							      os->layout->field[idle[i]].size, 0, PH_REPLAY_CLEAR, 0 };
	if (has(os, PH_F_PyThread_state)) /* 0 = detached */
		items[n++] = (struct ph_replay_item){ gil->main_thread + ph_layout_off(os->layout, PH_F_PyThread_state),
						      os->layout->field[PH_F_PyThread_state].size, 0, PH_REPLAY_CLEAR, 0 };
	/* or it would take the locks anew that it gave back while it waits */
	if (has(os, PH_F_PyThread_critical_section))
		items[n++] = (struct ph_replay_item){
			gil->main_thread + ph_layout_off(os->layout, PH_F_PyThread_critical_section),
			os->layout->field[PH_F_PyThread_critical_section].size, 0, PH_REPLAY_CLEAR, 0 };
	items[n++] = (struct ph_replay_item){ gil->main_thread, swap, 0, PH_REPLAY_CALL, 0 };
	return n;
}

/* The copy's collector is switched off: it would free what we go on to ask about. */
static size_t stop_collector(const struct ph_objects *os, struct ph_replay_item items[INTERPS_MAX])
{
	size_t n = 0;
	for (size_t i = 0; has(os, PH_F_GC_enabled) && i < os->rt->ninterps && n < INTERPS_MAX; i++)
		items[n++] = (struct ph_replay_item){ os->rt->interps[i].gc + ph_layout_off(os->layout, PH_F_GC_enabled),
						      os->layout->field[PH_F_GC_enabled].size, 0, PH_REPLAY_CLEAR, 0 };
	return n;
}

static struct ph_err *start(const struct ph_objects *os, const struct ph_gil *gil, bool take,
			    struct ph_replay_item prelude[CHILD_PRELUDE], struct ph_replay **ret)
{
	size_t n = take ? take_gil(os, gil, prelude) : 0;
	n += stop_collector(os, prelude + n);
	struct ph_replay_options options = {
		.thread = take ? gil->main_storage : gil->storage,
		.prelude = prelude,
		.nprelude = n,
		.release = child_symbol(os, "Py_DecRef"),
	};
	return ph_replay_open(os->rt->target, &options, ret);
}

static void keep_value(void *ctx, const struct ph_replay_item *item, enum ph_replay_status status,
		       const uint64_t *values, size_t n)
{
	uint64_t *ret = ctx;
	*ret = status == PH_REPLAY_DONE && n ? values[0] : 0;
}

/* Who has the GIL may be about to give it back, or have just got it: then no thread state
 * is current all the same. */
static struct ph_err *has_current(const struct ph_objects *os, struct ph_replay *replay, bool *ret)
{
	ph_addr get = child_symbol(os, "_PyThreadState_UncheckedGet");
	if (!get)
		get = child_symbol(os, "PyThreadState_GetUnchecked");
	struct ph_replay_item item = { 0, get, 0, PH_REPLAY_CALL, 0 };
	uint64_t current = 0;
	struct ph_err *err = get ? ph_replay_run(replay, &item, 1, keep_value, &current) : NULL;
	*ret = !get || current;
	return err;
}

struct ph_err *child_start(const struct ph_objects *os, struct ph_replay_item prelude[CHILD_PRELUDE],
			   struct ph_replay **ret)
{
	struct ph_gil gil;
	ph_runtime_gil(os->rt, &gil);
	bool current = gil.holder != 0;
	struct ph_err *err = start(os, &gil, !current, prelude, ret);
	if (err || !current)
		return err;
	err = has_current(os, *ret, &current);
	if (!err && current)
		return NULL;
	ph_replay_close(*ret);
	*ret = NULL;
	return err ? err : start(os, &gil, true, prelude, ret);
}
