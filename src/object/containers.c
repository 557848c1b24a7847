/* SPDX-License-Identifier: GPL-2.0-or-later */
/* References of containers, in the order their tp_traverse visits them.
 * Facts: Objects/{list,tuple,dict,set,odict}object.c, Modules/_{collections,functools}module.c. */
#include "readers.h"

/* ob_item is a separate block of `allocated` slots; only the first ob_size hold
 * references, the rest is stale memory. */
bool list_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	int64_t n = o_size(os, o);
	return n >= 0 && refs_array(os, o_u64(os, o, PH_F_PyList_ob_item), (uint64_t)n, true, out);
}

bool tuple_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	int64_t n = o_size(os, o);
	return n >= 0 && refs_array(os, o->address + ph_layout_off(os->layout, PH_F_PyTuple_ob_item),
				    (uint64_t)n, true, out);
}

/* ---- dict -------------------------------------------------------------------- */

static inline void value_ref(struct ph_refs *out, ph_addr key, ph_addr value)
{
	ref_add(out, value & PH_REF_ADDR, LABEL(VALUE, .key = key));
}

static void keys_owned(const struct ph_py_dict *d, struct ph_refs *out)
{
	for (uint64_t i = 0; i < d->nentries; i++) {
		ph_addr key = ph_load_u64(d->entries + i * d->stride + d->key_off) & PH_REF_ADDR;
		ref_add(out, key ? key | PH_REF_OWNED : 0, LABEL(KEY, .key = key));
	}
}

/* ≤3.10 without the symbol `lookdict`: any key that is no str tells. */
static bool has_other_keys(struct ph_objects *os, const struct ph_py_dict *d)
{
	for (uint64_t i = 0; i < d->nentries; i++) {
		ph_addr key, value;
		ph_py_dict_entry(d, i, &key, &value);
		const struct ph_type *t = key ? ph_object_type(os, key) : NULL;
		if (t && !(t->flags & TPFLAGS_UNICODE_SUBCLASS))
			return true;
	}
	return false;
}

/* 3.13.0–3.13.12, 3.14.0–3.14.3: values inside an instance are the instance's to visit. */
static bool values_are_elsewhere(struct ph_objects *os, ph_addr values)
{
	if (!values || !has(os, PH_F_DictValues_embedded) || os->rt->hexversion >= 0x030e04f0 ||
	    (os->rt->hexversion >= 0x030d0df0 && os->rt->hexversion < 0x030e0000))
		return false;
	const uint8_t *p = ph_mem_at(os->mem, values, 8);
	return p && p[ph_layout_off(os->layout, PH_F_DictValues_embedded)];
}

/* Holds nothing, whatever it visits: see mark.c. */
bool is_interned_dict(const struct ph_objects *os, ph_addr dict)
{
	if (dict == os->interned)
		return true;
	for (size_t i = 1; i < os->rt->ninterps; i++)
		if (ph_objects_interned(os, i) == dict)
			return true;
	return false;
}

bool dict_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	struct ph_py_dict d;
	ph_addr keys = o_u64(os, o, PH_F_PyDict_ma_keys), values = o_u64(os, o, PH_F_PyDict_ma_values);
	if (is_interned_dict(os, o->address))
		return false;
	if (!ph_py_dict_table(os->rt, keys, values, &d))
		return false;
	bool general = d.general || (!d.kind_known && has_other_keys(os, &d));
	if (d.split) {
		bool elsewhere = values_are_elsewhere(os, values);
		if (!elsewhere)
			for (uint64_t i = 0; i < d.nentries; i++) {
				ph_addr key, value;
				ph_py_dict_entry(&d, i, &key, &value);
				value_ref(out, key, value);
			}
		/* shared keys belong to the type */
		if (m_u64(os, keys, PH_F_DictKeys_dk_refcnt) == 1)
			keys_owned(&d, out);
		return !elsewhere;
	}
	for (uint64_t i = 0; i < d.nentries; i++) {
		ph_addr key, value;
		ph_py_dict_entry(&d, i, &key, &value);
		if (!value)
			continue;
		value_ref(out, key, value);
		if (general)
			ref_add(out, key & PH_REF_ADDR, LABEL(KEY, .key = key));
	}
	/* keys that traverse does not visit, or holds without a value */
	if (!general)
		keys_owned(&d, out);
	return true;
}

bool odict_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	bool exact = has(os, PH_F_PyODict_od_first) && has(os, PH_F_ODictNode_next);
	ref_add(out, exact ? o_u64(os, o, PH_F_PyODict_od_inst_dict) & PH_REF_ADDR : 0, LABEL(DICT, 0));
	ph_addr node = exact ? o_u64(os, o, PH_F_PyODict_od_first) : 0;
	uint64_t budget = o_u64(os, o, PH_F_PyDict_ma_used);
	for (; node; node = m_u64(os, node, PH_F_ODictNode_next)) {
		if (!budget-- || !ph_mem_at(os->mem, node, ph_layout_size(os->layout, PH_S_ODictNode))) {
			exact = false;
			break;
		}
		ph_addr key = m_u64(os, node, PH_F_ODictNode_key);
		ref_add(out, key & PH_REF_ADDR, LABEL(KEY, .key = key));
	}
	return dict_refs(os, o, out) && exact;
}

bool defaultdict_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	bool known = has(os, PH_F_DefDict_default_factory);
	if (known)
		ref_add(out, o_u64(os, o, PH_F_DefDict_default_factory) & PH_REF_ADDR, ATTR("default_factory"));
	return dict_refs(os, o, out) && known;
}

/* ---- set ----------------------------------------------------------------------- */

bool set_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	const struct ph_layout *l = os->layout;
	uint64_t mask = o_u64(os, o, PH_F_PySet_mask), stride = ph_layout_size(l, PH_S_SetEntry);
	if (mask > os->mem->whole_size / stride)
		return false;
	const uint8_t *e = ph_mem_at(os->mem, o_u64(os, o, PH_F_PySet_table), (mask + 1) * stride);
	if (!e)
		return false;
	for (uint64_t i = 0; i <= mask; i++, e += stride) {
		ph_addr key = ph_load_u64(e + ph_layout_off(l, PH_F_SetEntry_key)) & PH_REF_ADDR;
		/* a dummy marks a deleted entry and has the hash −1 */
		if (key && ph_load_u64(e + ph_layout_off(l, PH_F_SetEntry_hash)) != UINT64_MAX)
			ref_add(out, key, LABEL(ELEMENT, .key = key));
	}
	return true;
}

/* ---- deque ----------------------------------------------------------------------- */

/* Blocks of BLOCKLEN pointers; the first starts at leftindex, the last ends at rightindex. */
bool deque_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	const struct ph_layout *l = os->layout;
	if (!has(os, PH_F_Deque_leftblock) || !has(os, PH_F_DequeBlock_data))
		return false;
	uint64_t blocklen = l->field[PH_F_DequeBlock_data].size / 8;
	uint64_t left = o_u64(os, o, PH_F_Deque_leftindex);
	int64_t n = o_size(os, o), at = 0;
	ph_addr block = o_u64(os, o, PH_F_Deque_leftblock);
	if (n < 0 || left > blocklen || !blocklen)
		return false;
	while (at < n) {
		uint64_t run = blocklen - left;
		if (run > (uint64_t)(n - at))
			run = (uint64_t)(n - at);
		const uint8_t *p = ph_mem_at(os->mem, block + ph_layout_off(l, PH_F_DequeBlock_data) + 8 * left,
					     8 * run);
		if (!p || (!run && at))
			return false;
		for (uint64_t i = 0; i < run; i++)
			ref_add(out, ph_load_u64(p + 8 * i) & PH_REF_ADDR, LABEL(INDEX, .index = at + (int64_t)i));
		at += (int64_t)run;
		left = 0;
		block = m_u64(os, block, PH_F_DequeBlock_rightlink);
	}
	return true;
}

/* ---- functools.lru_cache ------------------------------------------------------------ */

/* The wrapper visits for its links: they are in the cache dict's values, but have
 * no traverse of their own. From 3.10 on also their type. */
static const struct ph_slot lru_cache_slots_39[] = {
	{ PH_F_Lru_func, "__wrapped__", PH_VISITED },
	{ PH_F_Lru_cache, "<cache>", PH_VISITED },
	{ PH_F_Lru_cache_info_type, "<info type>", PH_VISITED },
	{ PH_F_Lru_dict, "__dict__", PH_VISITED },
	{ 0, NULL, PH_VISITED },
};
static const struct ph_slot lru_cache_slots[] = {
	{ PH_F_Lru_cache, "<cache>", PH_VISITED },
	{ PH_F_Lru_func, "__wrapped__", PH_VISITED },
	{ PH_F_Lru_kwd_mark, "<mark>", PH_VISITED },
	{ PH_F_Lru_elem_type, "<link type>", PH_VISITED },
	{ PH_F_Lru_cache_info_type, "<info type>", PH_VISITED },
	{ PH_F_Lru_dict, "__dict__", PH_VISITED },
	{ 0, NULL, PH_VISITED },
};

bool lru_cache_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	if (!has(os, PH_F_Lru_root) || !has(os, PH_F_LruElem_next))
		return false;
	ph_addr root = o->address + ph_layout_off(os->layout, PH_F_Lru_root);
	ph_addr link = m_u64(os, root, PH_F_LruElem_next);
	uint64_t budget = os->mem->whole_size / 32;
	for (; link && link != root; link = m_u64(os, link, PH_F_LruElem_next)) {
		const struct ph_type *t = ph_object_type(os, link);
		if (!budget-- || !t)
			return false;
		ph_addr key = m_u64(os, link, PH_F_LruElem_key);
		ref_add(out, key & PH_REF_ADDR, LABEL(CACHE, .name = "key"));
		ref_add(out, m_u64(os, link, PH_F_LruElem_result) & PH_REF_ADDR, LABEL(CACHE, .name = "result"));
		if (t->heap)
			ref_add(out, t->address, ATTR("<link type>"));
	}
	refs_slots(os, o, has(os, PH_F_Lru_kwd_mark) ? lru_cache_slots : lru_cache_slots_39, false, out);
	bool whole = link == root;
	/* the list holds each link once, besides the dict */
	budget = os->mem->whole_size / 32;
	for (link = m_u64(os, root, PH_F_LruElem_next); whole && link && link != root && budget--;
	     link = m_u64(os, link, PH_F_LruElem_next))
		ref_add(out, (link & PH_REF_ADDR) | PH_REF_OWNED, ATTR("<link>"));
	return whole;
}
