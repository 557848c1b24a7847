/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instances without a dict slot of their own (3.11+): a pre-header before the gc
 * head, and values that lie in an array of their own or, from 3.13 on, inside the
 * instance. Facts: Objects/dictobject.c, Include/internal/pycore_{object,dict}.h. */
#include "object_priv.h"

/* What an instance's attributes are in. At most one of dict and values is the
 * home that traverse visits. */
struct managed {
	ph_addr dict;    /* 0 = not made */
	ph_addr values;  /* struct _dictvalues, 0 = none */
	bool inline_values, valid;
};

#define V311 0x030b0000u
#define V312 0x030c0000u
#define V313 0x030d0000u
#define V314 0x030e0000u

static bool managed_read(struct ph_objects *os, const struct ph_object *o, struct managed *m)
{
	uint32_t v = os->rt->hexversion;
	uint64_t word;
	ph_addr before = o->address - os->head_size;
	memset(m, 0, sizeof *m);
	if (!ph_mem_u64(os->mem, before - 8, &word))
		return false;
	m->dict = word;
	if (v < V312)
		return ph_mem_u64(os->mem, before - 16, &m->values);
	if (v < V313) {
		if (word & 1) {
			m->values = word + 1;
			m->dict = 0;
		}
		return true;
	}
	if (o->type->flags & TPFLAGS_INLINE_VALUES && has(os, PH_F_DictValues_valid)) {
		m->values = o->address + o->type->basicsize;
		m->inline_values = true;
		const uint8_t *p = ph_mem_at(os->mem, m->values, ph_layout_off(os->layout, PH_F_DictValues_values));
		if (!p)
			return false;
		m->valid = p[ph_layout_off(os->layout, PH_F_DictValues_valid)];
	}
	return true;
}

/* 3.13.0–3.13.12 and 3.14.0–3.14.3 visit valid inline values even when a dict
 * was made, and not the dict (gh-130327). Distributions have taken the change into
 * their builds of these (Debian's 3.13.5), and nothing in memory tells: such an
 * instance and its dict are not called exact there. */
static bool dict_hides_values(const struct ph_objects *os)
{
	uint32_t v = os->rt->hexversion;
	return v >= 0x030e04f0 || (v >= 0x030d0df0 && v < V314);
}

static uint32_t values_capacity(struct ph_objects *os, const struct ph_object *o, const struct managed *m)
{
	uint8_t capacity;
	if (m->inline_values) {
		const uint8_t *p = ph_mem_at(os->mem, m->values, 8);
		capacity = p ? p[ph_layout_off(os->layout, PH_F_DictValues_capacity)] : 0;
		return capacity;
	}
	return o->type->keys_room;
}

static bool values_refs(struct ph_objects *os, const struct ph_object *o, const struct managed *m,
			struct ph_refs *out)
{
	struct ph_py_dict d;
	ph_addr values = m->values;
	uint32_t n = o->type->keys_used;
	if (!o->type->keys_known || (out->labelled && !ph_py_dict_table(os->rt, o->type->cached_keys, 0, &d)))
		return false;
	if (has(os, PH_F_DictValues_values))
		values += ph_layout_off(os->layout, PH_F_DictValues_values);
	if (m->inline_values && n > values_capacity(os, o, m))
		n = values_capacity(os, o, m);
	const uint8_t *p = ph_mem_at(os->mem, values, 8ull * n);
	if (!p)
		return n == 0;
	for (uint32_t i = 0; i < n; i++)
		ref_add(out, ph_load_u64(p + 8 * i) & PH_REF_ADDR,
			LABEL(ATTR, .key = ph_load_u64(d.entries + i * d.stride + d.key_off)));
	return true;
}

bool managed_dict_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	struct managed m;
	bool exact = true;
	if (!managed_read(os, o, &m))
		return false;
	if (m.inline_values) {
		bool use_values = m.valid && !(m.dict && dict_hides_values(os));
		if (use_values)
			exact = values_refs(os, o, &m, out) && !m.dict;
		/* held by count either way, but not visited beside values */
		ref_add(out, m.dict & PH_REF_ADDR ? m.dict | (use_values ? PH_REF_OWNED : 0) : 0, LABEL(DICT, 0));
		return exact;
	}
	if (m.values)
		exact = values_refs(os, o, &m, out);
	ref_add(out, m.dict & PH_REF_ADDR, LABEL(DICT, 0));
	return exact;
}

/* Bytes of the values block that neither the instance's nor its dict's
 * sys.getsizeof counts: a dict over values counts its usable slots. */
uint64_t managed_dict_uncounted(struct ph_objects *os, const struct ph_object *o)
{
	struct managed m;
	if (!managed_read(os, o, &m) || !m.values)
		return 0;
	uint64_t n = values_capacity(os, o, &m);
	if (m.inline_values) { /* header, values, order of insertion */
		uint64_t block = ((n + 7) & ~7ull) + 8 * (n + 1);
		uint64_t counted = m.dict && m.valid ? 8 * n : 0;
		return block > counted ? block - counted : 0;
	}
	return ((n + 2 + 7) & ~7ull) + 8 * n; /* order of insertion before the values */
}
