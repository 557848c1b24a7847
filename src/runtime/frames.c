/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interpreter frames (3.11+). Facts: Include/internal/pycore_{frame,interpframe,stackref}.h. */
#include "runtime_priv.h"

#define MAX_SLOTS (1u << 20) /* locals and stack of one frame */

/* 3.14+: low bits tell what a slot is; before, slots are plain pointers. */
ph_addr ph_py_slot(const struct ph_runtime *rt, uint64_t bits, bool *ret_borrowed)
{
	*ret_borrowed = false;
	if (!rt_has(rt, PH_F_IFrame_stackpointer))
		return bits;
	if (bits <= 1 || (bits & 3) == 3)
		return 0;
	*ret_borrowed = bits & 1;
	return bits & ~(uint64_t)3;
}

/* The slots in use, or the locals alone while the frame runs C code: then the
 * top of its stack is only in a register. */
static uint32_t slots_used(const struct ph_runtime *rt, ph_addr iframe, ph_addr slots, uint32_t nlocals,
			   bool *ret_known)
{
	const struct ph_layout *l = rt->layout;
	if (ph_layout_has(l, PH_F_IFrame_stackpointer)) {
		ph_addr top = rt_field(rt, iframe, PH_F_IFrame_stackpointer);
		*ret_known = top >= slots && (top - slots) / 8 < MAX_SLOTS;
		return *ret_known ? (uint32_t)((top - slots) / 8) : nlocals;
	}
	uint32_t top;
	*ret_known = ph_mem_u32(rt->mem, iframe + ph_layout_off(l, PH_F_IFrame_stacktop), &top) &&
		     (int32_t)top >= 0 && top <= MAX_SLOTS;
	return *ret_known ? top : nlocals;
}

static bool is_code(const struct ph_runtime *rt, ph_addr object)
{
	/* code objects are variable-sized instances of a type that is no heap type;
	 * anything else in f_executable (None in a shim) has no ob_size of 3 or more words */
	ph_addr type = rt_field(rt, object, PH_F_PyObject_ob_type);
	return type && rt_field(rt, type, PH_F_PyType_tp_basicsize) ==
			       ph_layout_off(rt->layout, PH_F_PyCode_co_code_adaptive) &&
	       rt_field(rt, type, PH_F_PyType_tp_itemsize) == 2;
}

bool ph_py_frame(const struct ph_runtime *rt, ph_addr iframe, struct ph_py_frame *ret)
{
	const struct ph_layout *l = rt->layout;
	const uint8_t *f = ph_mem_at(rt->mem, iframe, ph_layout_off(l, PH_F_IFrame_localsplus));
	uint32_t nlocals = 0;
	if (!iframe || !f || !rt_has(rt, PH_F_IFrame_executable))
		return false;
	memset(ret, 0, sizeof *ret);
	ret->address = iframe;
	ret->code = ph_py_slot(rt, ph_load_u64(f + ph_layout_off(l, PH_F_IFrame_executable)),
			       &ret->code_borrowed);
	ret->func = ph_py_slot(rt, ph_load_u64(f + ph_layout_off(l, PH_F_IFrame_func)),
			       &ret->func_borrowed);
	ret->frame_obj = ph_load_u64(f + ph_layout_off(l, PH_F_IFrame_frame_obj));
	ret->f_locals = ph_load_u64(f + ph_layout_off(l, PH_F_IFrame_locals));
	ret->previous = ph_load_u64(f + ph_layout_off(l, PH_F_IFrame_previous));
	ret->owner = ph_layout_has(l, PH_F_IFrame_owner) ? f[ph_layout_off(l, PH_F_IFrame_owner)] : 0;
	ret->slots = iframe + ph_layout_off(l, PH_F_IFrame_localsplus);
	ret->has_code = is_code(rt, ret->code);
	if (!ret->has_code)
		return true; /* a shim: no slots of its own */
	if (!ph_mem_u32(rt->mem, ret->code + ph_layout_off(l, PH_F_PyCode_co_nlocalsplus), &nlocals) ||
	    nlocals > MAX_SLOTS)
		return true;
	ret->nlocals = nlocals;
	bool known;
	ret->nslots = slots_used(rt, iframe, ret->slots, nlocals, &known);
	if (!ph_mem_at(rt->mem, ret->slots, (uint64_t)ret->nslots * 8))
		ret->nslots = 0;
	ret->nvisited = known ? ret->nslots : 0;
	if (ret->nlocals > ret->nslots)
		ret->nlocals = ret->nslots;
	return true;
}

/* ---- names of locals ------------------------------------------------------- */

static bool tuple_item(const struct ph_runtime *rt, ph_addr tuple, uint64_t i, ph_addr *ret)
{
	uint64_t n;
	return tuple && ph_mem_u64(rt->mem, tuple + ph_layout_off(rt->layout, PH_F_PyVarObject_ob_size), &n) &&
	       i < n && ph_mem_u64(rt->mem, tuple + ph_layout_off(rt->layout, PH_F_PyTuple_ob_item) + 8 * i, ret);
}

static uint64_t tuple_size(const struct ph_runtime *rt, ph_addr tuple)
{
	uint64_t n;
	return tuple && ph_mem_u64(rt->mem, tuple + ph_layout_off(rt->layout, PH_F_PyVarObject_ob_size), &n)
		       ? n : 0;
}

/* From 3.11 on one tuple names them all; before, three follow one another. */
ph_addr ph_py_local_name_object(const struct ph_runtime *rt, ph_addr code, uint32_t i)
{
	static const enum ph_field parts[] = { PH_F_PyCode_co_localsplusnames, PH_F_PyCode_co_varnames,
					       PH_F_PyCode_co_cellvars, PH_F_PyCode_co_freevars };
	size_t first = rt_has(rt, parts[0]) ? 0 : 1, last = first ? 4 : 1;
	uint64_t at = i;
	ph_addr name;
	for (size_t p = first; p < last; p++) {
		if (!rt_has(rt, parts[p]))
			return 0;
		ph_addr names = rt_field(rt, code, parts[p]);
		if (tuple_item(rt, names, at, &name))
			return name;
		at -= tuple_size(rt, names);
	}
	return 0;
}

bool ph_py_local_name(const struct ph_runtime *rt, ph_addr code, uint32_t i, char *buf, size_t max)
{
	return ph_py_str(rt, ph_py_local_name_object(rt, code, i), buf, max);
}
