/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Types without a reader: declared members, then every word of the body that is,
 * beyond reasonable doubt, a pointer to an object. */
#include "object_priv.h"

#define BODY_MAX (1u << 20) /* bytes of one object that are searched */
#define SAMPLE 4096         /* words of a buffer that tell what it holds, … */
#define SAMPLE_SHARE 16     /* … when one in so many is an object: records have other fields, too */

#define MUTEX_BITS 3u /* ob_mutex: locked, somebody waits */
#define GC_BITS 0x7fu /* ob_gc_bits that have a meaning */
#define NO_COUNT (1ll << 31)
#define DEFERRED (INT64_MAX / 16) /* counts above that are of objects that only the collector frees */

/* The same of the two counts, the lock and the bits of a free-threaded build. */
static bool plausible_counts(struct ph_objects *os, ph_addr p)
{
	const struct ph_layout *l = os->layout;
	const uint8_t *head = ph_mem_at(os->mem, p, ph_layout_size(l, PH_S_PyObject));
	if (!head || head[ph_layout_off(l, PH_F_PyObject_ob_mutex)] & ~MUTEX_BITS ||
	    head[ph_layout_off(l, PH_F_PyObject_ob_gc_bits)] & ~GC_BITS)
		return false;
	uint32_t local = ph_load_u32(head + ph_layout_off(l, PH_F_PyObject_ob_ref_local));
	int64_t shared = (int64_t)ph_load_u64(head + ph_layout_off(l, PH_F_PyObject_ob_ref_shared));
	int64_t count = (int64_t)local + (shared >> 2);
	return local == UINT32_MAX || (count > 0 && count < NO_COUNT) || count > DEFERRED;
}

/* The count rules out most structs that only look like objects, because their
 * second word is a pointer to a type; in a table of types the first is one, too. */
static bool plausible_count(struct ph_objects *os, ph_addr p)
{
	uint64_t word;
	if (os->rt->free_threaded)
		return plausible_counts(os, p);
	if (!ph_mem_u64(os->mem, p + ph_layout_off(os->layout, PH_F_PyObject_ob_refcnt), &word))
		return false;
	bool count = word > 0 && word < 1ull << 31;
	if (os->immortals)
		count = has(os, PH_F_PyObject_ob_overflow) ? (uint32_t)word && !(word >> 32 & 0xffff)
							   : word > 0 && word <= 0xffffffff;
	return count && !(word > 0xffff && ph_object_type(os, word));
}

/* In a buffer that was not copied: a view of an array, for one, points there. No object lies
 * in the middle of a buffer; but should it look like one now, the copy is made anew. */
static bool is_in_buffer(struct ph_objects *os, ph_addr p)
{
	uint64_t type;
	if (!ph_mem_is_skipped(os->mem, p))
		return false;
	if (ph_mem_glance(os->mem, p + os->off_type, &type, sizeof type) && !(type & 7) && ph_mem_segment(os->mem, type))
		ph_mem_want(os->mem);
	return true;
}

/* A collected object has a head before it (but in free-threaded builds): linked both ways, or
 * empty. */
static bool plausible_head(struct ph_objects *os, ph_addr p)
{
	ph_addr head = p - os->head_size;
	uint64_t next, prev, back;
	if (os->rt->free_threaded)
		return true;
	if (!ph_mem_u64(os->mem, head + ph_layout_off(os->layout, PH_F_GCHead_next), &next) ||
	    !ph_mem_u64(os->mem, head + ph_layout_off(os->layout, PH_F_GCHead_prev), &prev))
		return false;
	next &= ~3ull;
	if (!next)
		return !(prev & ~3ull);
	return ph_mem_u64(os->mem, next + ph_layout_off(os->layout, PH_F_GCHead_prev), &back) &&
	       ((back & ~3ull) == head || os->rt->collecting);
}

/* What was freed keeps its type, but not its length for long. */
static bool plausible_size(struct ph_objects *os, ph_addr p, const struct ph_type *t)
{
	struct ph_object o;
	uint64_t shallow, uncounted;
	return !t->sizer || (ph_object_open(os, p, t, &o) && ph_object_size(os, &o, &shallow, &uncounted));
}

static bool is_object(struct ph_objects *os, ph_addr p)
{
	uint64_t type;
	if (!p || p & 7 || p >> PH_ADDR_BITS || is_in_buffer(os, p) || !plausible_count(os, p))
		return false;
	if (!ph_mem_u64(os->mem, p + os->off_type, &type) || is_in_buffer(os, type))
		return false;
	const struct ph_type *t = ph_object_type(os, p);
	if (!t || !ph_mem_at(os->mem, p, t->head_bytes))
		return false;
	if (t->have_gc)
		return t->flags & TPFLAGS_TYPE_SUBCLASS || plausible_head(os, p);
	return plausible_size(os, p, t);
}

void scan_words(struct ph_objects *os, ph_addr start, uint64_t bytes, ph_ref flags, struct ph_refs *out)
{
	const uint8_t *p = ph_mem_at(os->mem, start, bytes & ~7ull);
	for (uint64_t at = 0; p && at + 8 <= bytes; at += 8) {
		ph_addr word = ph_load_u64(p + at);
		if (is_object(os, word))
			ref_add(out, word | PH_REF_BORROWED | flags, LABEL(WORD, .index = (int64_t)at));
	}
}

static bool is_declared(const struct ph_type *t, uint64_t offset)
{
	for (size_t i = 0; i < t->nmembers; i++)
		if (t->members[i].offset == offset)
			return true;
	for (size_t i = 0; i < t->nslots; i++)
		if (t->slots[i].offset == offset)
			return true;
	return false;
}

/* ---- buffers ------------------------------------------------------------------------- */

/* Whether words at an address are references; *ret_only when nothing else is there. */
static bool holds_objects(struct ph_objects *os, ph_addr at, uint64_t words, bool *ret_only)
{
	uint64_t n = words < SAMPLE ? words : SAMPLE, objects = 0, others = 0;
	const uint8_t *p = at & 7 ? NULL : ph_mem_at(os->mem, at, n * 8);
	for (uint64_t i = 0; p && i < n; i++) {
		ph_addr word = ph_load_u64(p + 8 * i);
		bool object = word && is_object(os, word);
		objects += object;
		others += word && !object;
		if (others > 64 && !objects) /* numbers, mostly */
			return false;
	}
	*ret_only = !others;
	return objects && objects >= n / SAMPLE_SHARE;
}

/* What its size counts beyond the body lies in a block of its own: that of an array of
 * objects holds references, which no tp_traverse visits (numpy's arrays have none). */
static void buffer_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	const struct ph_type *t = o->type;
	int64_t items = t->itemsize ? o_size(os, o) : 0;
	uint64_t size, body = t->pre + t->basicsize + (items > 0 ? (uint64_t)items * t->itemsize : 0);
	if (t->have_gc || !replayed_buffer(os, o, &size) || size < body + 8)
		return;
	for (uint64_t at = 0; at + 8 <= t->head_bytes; at += 8) {
		ph_addr block = ph_load_u64(o->head + at);
		uint64_t n = (size - body) & ~7ull;
		bool only;
		if (!block || !holds_objects(os, block, n / 8, &only))
			continue;
		const uint8_t *p = ph_mem_at(os->mem, block, n);
		for (uint64_t i = 0; p && i < n; i += 8) {
			ph_addr word = ph_load_u64(p + i);
			if (is_object(os, word))
				ref_add(out, word | PH_REF_BORROWED | PH_REF_OWNED,
					only ? LABEL(INDEX, .index = (int64_t)(i / 8)) : LABEL(WORD, .index = (int64_t)i));
		}
		return;
	}
}

/* ---- all ----------------------------------------------------------------------------- */

void unknown_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	const struct ph_type *t = o->type;
	ph_ref owned = t->refs_exact ? PH_REF_OWNED : 0;
	uint64_t start = t->itemsize ? ph_layout_size(os->layout, PH_S_PyVarObject)
				     : ph_layout_size(os->layout, PH_S_PyObject);
	for (size_t i = 0; i < t->nmembers; i++) {
		uint64_t ref = ph_load_u64(o->head + t->members[i].offset) & PH_REF_ADDR;
		/* not counted: sqlite3.Connection, for one, declares members that it borrows */
		ref_add(out, ref ? ref | PH_REF_BORROWED | owned : 0, LABEL(ATTR, .cstr = t->members[i].name));
	}
	for (uint64_t at = start; at + 8 <= t->head_bytes; at += 8) {
		ph_addr word = ph_load_u64(o->head + at);
		if ((int64_t)at == t->weaklistoffset || (int64_t)at == t->dictoffset || is_declared(t, at) ||
		    !is_object(os, word))
			continue;
		ref_add(out, word | PH_REF_BORROWED | owned, LABEL(WORD, .index = (int64_t)at));
	}
	if (t->itemsize && t->itemsize % 8 == 0) {
		int64_t n = o_size(os, o);
		uint64_t bytes = n > 0 ? (uint64_t)n * t->itemsize : 0;
		if (n > 0 && (uint64_t)n < BODY_MAX && bytes <= BODY_MAX)
			scan_words(os, o->address + t->basicsize, bytes, owned, out);
	}
	buffer_refs(os, o, out);
}
