/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reference counts. Where there is a GIL an object has one number. In a free-threaded build
 * the thread that made it counts in one, all others in a second one, and of types and code (3.14+)
 * every thread keeps a third one in a table of its own. Some of that is no reference: what
 * holds objects back that only the collector may free, and what a thread that let go of an object
 * leaves to the one that made it. Facts: Include/internal/pycore_object.h, Include/refcount.h,
 * Python/{brc,uniqueid}.c. */
#include "object_priv.h"

#define GC_DEFERRED 64u                    /* ob_gc_bits */
#define REF_FLAGS 3                        /* low bits of ob_ref_shared, … */
#define REF_QUEUED 2                       /* … one of their values */
#define REF_DEFERRED (INT64_MAX / 8)       /* 3.14+; 3.13 adds one */
#define MAX_IDS (1u << 24)
#define MAX_THREADS 65536

/* What threads count for an object. */
struct object_count {
	ph_addr object;
	int64_t n;
};

/* ---- the tables of the threads -------------------------------------------------------------- */

static int by_object(const void *pa, const void *pb)
{
	const struct object_count *a = pa, *b = pb;
	return (a->object > b->object) - (a->object < b->object);
}

/* An entry that is not in use links to the next such. */
static bool ids_read(struct ph_objects *os, ph_addr interp, struct object_counts *ids)
{
	ph_addr table = m_u64(os, interp, PH_F_PyInterp_counted_ids);
	uint64_t n = m_u64(os, interp, PH_F_PyInterp_ncounted_ids);
	const uint8_t *p = n && n <= MAX_IDS ? ph_mem_at(os->mem, table, n * 8) : NULL;
	for (uint64_t i = 0; p && i < n; i++) {
		ph_addr object = ph_load_u64(p + 8 * i);
		if (object >= table && object < table + n * 8)
			object = 0;
		if (!PH_VEC_PUSH(ids, (struct object_count){ object, 0 }))
			return false;
	}
	return true;
}

static void thread_add(struct ph_objects *os, ph_addr thread, struct object_counts *ids)
{
	uint64_t n = m_u64(os, thread, PH_F_PyThread_ncounts);
	n = n < ids->n ? n : ids->n;
	const uint8_t *p = n ? ph_mem_at(os->mem, m_u64(os, thread, PH_F_PyThread_counts), n * 8) : NULL;
	for (uint64_t i = 0; p && i < n; i++)
		ids->items[i].n += (int64_t)ph_load_u64(p + 8 * i);
}

static bool interp_counts(struct ph_objects *os, ph_addr interp)
{
	struct object_counts ids = { 0 };
	bool ok = ids_read(os, interp, &ids);
	ph_addr thread = m_u64(os, interp, PH_F_PyInterp_threads);
	for (size_t n = 0; ok && thread && n < MAX_THREADS; n++, thread = m_u64(os, thread, PH_F_PyThread_next))
		thread_add(os, thread, &ids);
	for (size_t i = 0; ok && i < ids.n; i++)
		if (ids.items[i].object && ids.items[i].n)
			ok = PH_VEC_PUSH(&os->counts, ids.items[i]);
	ph_vec_free(&ids);
	return ok;
}

bool counts_read(struct ph_objects *os)
{
	bool ok = true;
	if (!has(os, PH_F_PyInterp_counted_ids) || !has(os, PH_F_PyThread_counts))
		return true;
	for (size_t i = 0; ok && i < os->rt->ninterps; i++)
		ok = interp_counts(os, os->rt->interps[i].address);
	if (os->counts.n)
		qsort(os->counts.items, os->counts.n, sizeof *os->counts.items, by_object);
	return ok;
}

static int64_t counted_by_threads(const struct ph_objects *os, ph_addr object)
{
	const struct object_count key = { object, 0 };
	const struct object_count *found =
		os->counts.n ? bsearch(&key, os->counts.items, os->counts.n, sizeof key, by_object) : NULL;
	return found ? found->n : 0;
}

/* ---- one object -------------------------------------------------------------------------------- */

static uint64_t shared_count(struct ph_objects *os, const struct ph_object *o, bool *ret_immortal)
{
	uint32_t local = o_u32(os, o, PH_F_PyObject_ob_ref_local);
	int64_t shared = (int64_t)o_u64(os, o, PH_F_PyObject_ob_ref_shared);
	int64_t count = (int64_t)local + (shared >> 2);
	*ret_immortal = local == UINT32_MAX;
	if (*ret_immortal)
		return local;
	if (o_u8(os, o, PH_F_PyObject_ob_gc_bits) & GC_DEFERRED) {
		count -= count > REF_DEFERRED / 2 ? REF_DEFERRED : 1;
		count += counted_by_threads(os, o->address);
	} else if ((shared & REF_FLAGS) == REF_QUEUED) {
		count--;
	}
	return count > 0 ? (uint64_t)count : 0;
}

/* Immortal when the low half of the count is negative (3.12+). */
uint64_t ph_object_refcount(struct ph_objects *os, const struct ph_object *o, bool *ret_immortal)
{
	if (os->rt->free_threaded)
		return shared_count(os, o, ret_immortal);
	uint64_t word = o_u64(os, o, PH_F_PyObject_ob_refcnt);
	*ret_immortal = os->immortals && (int32_t)word < 0;
	return has(os, PH_F_PyObject_ob_overflow) ? (uint32_t)word : word;
}
