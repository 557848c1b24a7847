/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys.getsizeof: what each C-level __sizeof__ answers, plus what lies before the
 * object. *size comes in as basicsize + items. Facts: the types' own __sizeof__. */
#include "readers.h"

#define LENGTH_MAX (1ull << 44) /* bytes; more is a torn length */

static bool plus(uint64_t *size, uint64_t n, uint64_t unit)
{
	if (n > LENGTH_MAX / unit)
		return false;
	*size += n * unit;
	return true;
}

bool list_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	return plus(size, o_u64(os, o, PH_F_PyList_allocated), 8);
}

bool dict_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	ph_addr keys = o_u64(os, o, PH_F_PyDict_ma_keys);
	uint64_t n = m_u64(os, keys, PH_F_DictKeys_dk_nentries) + m_u64(os, keys, PH_F_DictKeys_dk_usable);
	if (o_u64(os, o, PH_F_PyDict_ma_values)) {
		if (has(os, PH_F_DictKeys_dk_size))
			n = m_u64(os, keys, PH_F_DictKeys_dk_size) * 2 / 3;
		if (!plus(size, n, 8))
			return false;
	}
	if (m_u64(os, keys, PH_F_DictKeys_dk_refcnt) == 1)
		*size += ph_py_keys_size(os->rt, keys);
	return keys != 0;
}

bool odict_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	if (!has(os, PH_F_PyODict_od_fast_nodes_size) || !dict_size(os, o, size))
		return false;
	if (!plus(size, o_u64(os, o, PH_F_PyODict_od_fast_nodes_size), 8))
		return false;
	return !o_u64(os, o, PH_F_PyODict_od_first) ||
	       plus(size, o_u64(os, o, PH_F_PyDict_ma_used), ph_layout_size(os->layout, PH_S_ODictNode));
}

bool set_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	if (o_u64(os, o, PH_F_PySet_table) == o->address + ph_layout_off(os->layout, PH_F_PySet_smalltable))
		return true;
	return plus(size, o_u64(os, o, PH_F_PySet_mask) + 1, ph_layout_size(os->layout, PH_S_SetEntry));
}

bool deque_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	if (!has(os, PH_F_Deque_leftindex) || !has(os, PH_F_DequeBlock_data))
		return false;
	uint64_t blocklen = os->layout->field[PH_F_DequeBlock_data].size / 8;
	uint64_t slots = o_u64(os, o, PH_F_Deque_leftindex) + (uint64_t)o_size(os, o);
	return blocklen && plus(size, (slots + blocklen - 1) / blocklen,
				ph_layout_size(os->layout, PH_S_DequeBlock));
}

bool array_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	uint32_t itemsize;
	if (!has(os, PH_F_PyArray_allocated) || !has(os, PH_F_ArrayDescr_itemsize) ||
	    !ph_mem_u32(os->mem, o_u64(os, o, PH_F_PyArray_ob_descr) +
					 ph_layout_off(os->layout, PH_F_ArrayDescr_itemsize), &itemsize) ||
	    itemsize > 64)
		return false;
	return !itemsize || plus(size, o_u64(os, o, PH_F_PyArray_allocated), itemsize);
}

bool bytearray_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	uint64_t alloc = o_u64(os, o, PH_F_PyByteArray_ob_alloc);
	if (alloc && has(os, PH_F_PyByteArray_ob_bytes_object)) /* the bytes object inside, and its NUL */
		*size += ph_layout_off(os->layout, PH_F_PyBytes_ob_sval) + 1;
	return plus(size, alloc, 1);
}

/* ---- str, int -------------------------------------------------------------------- */

static uint32_t str_bits(const struct ph_objects *os, const struct ph_object *o, enum ph_field f)
{
	struct ph_member m = os->layout->field[f];
	uint32_t raw = m.size >= 4 ? o_u32(os, o, f) : o_u8(os, o, f);
	return m.bits ? raw >> m.bit & ((1u << m.bits) - 1) : raw;
}

/* A wchar_t copy of the text, gone in 3.12. */
static bool str_wstr(struct ph_objects *os, const struct ph_object *o, ph_addr data, bool compact_ascii,
		     uint64_t *size)
{
	if (!has(os, PH_F_PyASCII_wstr))
		return true;
	ph_addr wstr = o_u64(os, o, PH_F_PyASCII_wstr);
	if (!wstr || (wstr == data && str_bits(os, o, PH_F_PyASCII_ready)))
		return true;
	uint64_t n = compact_ascii ? o_u64(os, o, PH_F_PyASCII_length)
				   : m_u64(os, o->address, PH_F_PyCompactUnicode_wstr_length);
	return plus(size, n + 1, 4);
}

bool str_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	const struct ph_layout *l = os->layout;
	uint64_t len = o_u64(os, o, PH_F_PyASCII_length), kind = str_bits(os, o, PH_F_PyASCII_kind);
	bool ascii = str_bits(os, o, PH_F_PyASCII_ascii), compact = str_bits(os, o, PH_F_PyASCII_compact);
	ph_addr data = o->address;
	if (kind > 4 || (compact && !kind))
		return false;
	if (compact && ascii) {
		*size = ph_layout_size(l, PH_S_PyASCII);
		data += *size;
		return plus(size, len + 1, 1) && str_wstr(os, o, data, true, size);
	}
	if (compact) {
		*size = ph_layout_size(l, PH_S_PyCompactUnicode);
		data += *size;
	} else {
		*size = ph_layout_size(l, PH_S_PyUnicode);
		data = m_u64(os, o->address, PH_F_PyUnicode_data);
	}
	if ((compact || data) && kind && !plus(size, len + 1, kind))
		return false;
	ph_addr utf8 = m_u64(os, o->address, PH_F_PyCompactUnicode_utf8);
	if (utf8 && utf8 != data &&
	    !plus(size, m_u64(os, o->address, PH_F_PyCompactUnicode_utf8_length) + 1, 1))
		return false;
	return str_wstr(os, o, data, false, size);
}

bool int_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	uint64_t n;
	if (has(os, PH_F_PyLong_lv_tag)) {
		*size = o->type->basicsize;
		n = o_u64(os, o, PH_F_PyLong_lv_tag) >> 3;
	} else {
		int64_t s = o_size(os, o);
		*size = ph_layout_off(os->layout, PH_F_PyLong_ob_digit);
		n = s < 0 ? -(uint64_t)s : (uint64_t)s;
	}
	/* since 3.11.2 zero counts the digit that it has room for */
	if (!n && os->rt->hexversion >= 0x030b0200)
		n = 1;
	return plus(size, n, 4);
}

/* ---- type, code, frames --------------------------------------------------------------- */

bool type_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	const struct ph_layout *l = os->layout;
	if (!(o_u64(os, o, PH_F_PyType_tp_flags) & TPFLAGS_HEAPTYPE)) {
		*size = ph_layout_size(l, PH_S_PyType);
		return true;
	}
	*size = ph_layout_size(l, PH_S_PyHeapType);
	ph_addr keys = has(os, PH_F_PyHeapType_ht_cached_keys)
			       ? m_u64(os, o->address, PH_F_PyHeapType_ht_cached_keys) : 0;
	if (keys)
		*size += ph_py_keys_size(os->rt, keys);
	return true;
}

static uint64_t tuple_len(struct ph_objects *os, ph_addr tuple)
{
	return m_u64(os, tuple, PH_F_PyVarObject_ob_size);
}

/* Per-code data of other tools: a count and that many pointers. */
static bool code_extra_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	ph_addr extra = has(os, PH_F_PyCode_co_extra) ? o_u64(os, o, PH_F_PyCode_co_extra) : 0;
	if (!extra)
		return true;
	uint64_t n = m_u64(os, extra, PH_F_CodeExtra_ce_size);
	*size += 16;
	return !n || plus(size, n - 1, 8);
}

bool code_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	if (has(os, PH_F_PyCode_co_code_adaptive)) {
		*size = o->type->basicsize;
		if (!plus(size, (uint64_t)o_size(os, o), 2))
			return false;
		*size = (*size + 7) & ~7ull;
		return code_extra_size(os, o, size);
	}
	*size = o->type->basicsize;
	if (o_u64(os, o, PH_F_PyCode_co_cell2arg) && o_u64(os, o, PH_F_PyCode_co_cellvars) &&
	    !plus(size, tuple_len(os, o_u64(os, o, PH_F_PyCode_co_cellvars)), 8))
		return false;
	if (!code_extra_size(os, o, size))
		return false;
	if (!has(os, PH_F_PyCode_co_opcache) || !o_u64(os, o, PH_F_PyCode_co_opcache_map))
		return true;
	return plus(size, tuple_len(os, o_u64(os, o, PH_F_PyCode_co_code)) / 2, 1) &&
	       plus(size, o_u8(os, o, PH_F_PyCode_co_opcache_size),
		    ph_layout_size(os->layout, PH_S_PyOpcache));
}

static bool frame_slots_size(struct ph_objects *os, ph_addr code, uint64_t *size)
{
	uint32_t stack, locals;
	const struct ph_layout *l = os->layout;
	return ph_mem_u32(os->mem, code + ph_layout_off(l, PH_F_PyCode_co_stacksize), &stack) &&
	       ph_mem_u32(os->mem, code + ph_layout_off(l, PH_F_PyCode_co_nlocalsplus), &locals) &&
	       plus(size, (uint64_t)stack + locals, 8);
}

/* A code object, or 0: what an interpreter frame runs. */
static ph_addr iframe_code(struct ph_objects *os, ph_addr iframe)
{
	struct ph_py_frame f;
	const struct ph_type *t;
	if (!ph_py_frame(os->rt, iframe, &f) || !(t = ph_object_type(os, f.code)) ||
	    t->basicsize != ph_layout_off(os->layout, PH_F_PyCode_co_code_adaptive))
		return 0;
	return f.code;
}

bool frame_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	const struct ph_layout *l = os->layout;
	ph_addr code;
	if (has(os, PH_F_PyFrame_f_localsplus)) {
		uint32_t stack, locals;
		code = o_u64(os, o, PH_F_PyFrame_f_code);
		*size = ph_layout_size(l, PH_S_PyFrame);
		if (!ph_mem_u32(os->mem, code + ph_layout_off(l, PH_F_PyCode_co_stacksize), &stack) ||
		    !ph_mem_u32(os->mem, code + ph_layout_off(l, PH_F_PyCode_co_nlocals), &locals))
			return false;
		uint64_t n = (uint64_t)stack + locals + tuple_len(os, m_u64(os, code, PH_F_PyCode_co_cellvars)) +
			     tuple_len(os, m_u64(os, code, PH_F_PyCode_co_freevars));
		return !n || plus(size, n - 1, 8);
	}
	code = iframe_code(os, o_u64(os, o, PH_F_PyFrame_f_frame));
	*size = ph_layout_off(l, PH_F_PyFrame_f_frame_data) + ph_layout_off(l, PH_F_IFrame_localsplus);
	return code && frame_slots_size(os, code, size);
}

bool generator_size(struct ph_objects *os, const struct ph_object *o, uint64_t *size)
{
	const struct ph_layout *l = os->layout;
	if (!has(os, PH_F_PyGen_gi_iframe))
		return true;
	ph_addr code = has(os, PH_F_PyGen_gi_code)
			       ? o_u64(os, o, PH_F_PyGen_gi_code)
			       : iframe_code(os, o->address + ph_layout_off(l, PH_F_PyGen_gi_iframe));
	*size = ph_layout_off(l, PH_F_PyGen_gi_iframe) + ph_layout_off(l, PH_F_IFrame_localsplus);
	return code && frame_slots_size(os, code, size);
}

/* ---- any object ---------------------------------------------------------------------------- */

uint64_t pre_size(struct ph_objects *os, const struct ph_object *o)
{
	const struct ph_type *t = o->type;
	bool static_type = t->flags & TPFLAGS_TYPE_SUBCLASS &&
			   !(o_u64(os, o, PH_F_PyType_tp_flags) & TPFLAGS_HEAPTYPE);
	if (!static_type)
		return t->pre;
	/* up to 3.10 only objects that are collected have a head; 3.11 and 3.12 count one
	 * for static types too, 3.13+ not for plain ones */
	if (os->rt->hexversion < 0x030b0000)
		return 0;
	if (os->rt->hexversion >= 0x030d0000 && t->address == os->rt->type_type)
		return 0;
	return t->pre;
}

bool ph_object_size(struct ph_objects *os, const struct ph_object *o, uint64_t *ret_shallow,
		    uint64_t *ret_uncounted)
{
	const struct ph_type *t = o->type;
	bool exact = t->sizer != NULL;
	uint64_t size = t->basicsize;
	*ret_uncounted = 0;
	if (t->fixed_size) {
		*ret_shallow = t->fixed_size;
		return true;
	}
	if (t->itemsize) {
		int64_t n = o_size(os, o);
		uint64_t items = n < 0 ? -(uint64_t)n : (uint64_t)n;
		bool own_length = t->sizer && t->sizer->size;
		if (!own_length && !plus(&size, items, t->itemsize))
			exact = false;
	}
	if (t->sizer && t->sizer->size && !t->sizer->size(os, o, &size)) {
		exact = false;
		size = t->basicsize;
	}
	if (t->dict_mode == PH_DICT_MANAGED)
		*ret_uncounted = managed_dict_uncounted(os, o);
	if (t->flags & TPFLAGS_TYPE_SUBCLASS && o_u64(os, o, PH_F_PyType_tp_flags) & TPFLAGS_HEAPTYPE) {
		/* descriptions of __slots__ lie behind the type */
		int64_t n = o_size(os, o);
		if (n > 0 && n < 1 << 16)
			*ret_uncounted += (uint64_t)n * ph_layout_size(os->layout, PH_S_PyMemberDef);
	}
	*ret_shallow = size + pre_size(os, o);
	return exact || replayed_size(os, o, ret_shallow);
}
