/* SPDX-License-Identifier: GPL-2.0-or-later */
/* References of types, code, frames, generators, modules, exceptions.
 * Facts: Objects/{type,code,frame,gen,module,method}object.c, Objects/exceptions.c, Python/frame.c. */
#include "readers.h"

static void field_ref(struct ph_objects *os, ph_addr base, enum ph_field f, ph_ref flags,
		      struct ph_ref_label label, struct ph_refs *out)
{
	uint64_t ref = has(os, f) ? m_u64(os, base, f) & PH_REF_ADDR : 0;
	ref_add(out, ref ? ref | flags : 0, label);
}

/* ---- type ------------------------------------------------------------------------ */

/* Only heap types are collected; what a static type holds is owned. */
bool type_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	bool heap = o_u64(os, o, PH_F_PyType_tp_flags) & TPFLAGS_HEAPTYPE;
	ph_ref flags = heap ? 0 : PH_REF_OWNED;
	ph_addr at = o->address, dict, subclasses;
	struct ph_py_dict d;

	field_ref(os, at, PH_F_PyType_tp_dict, flags, LABEL(DICT, 0), out);
	field_ref(os, at, PH_F_PyType_tp_cache, flags, ATTR("<tp_cache>"), out);
	field_ref(os, at, PH_F_PyType_tp_mro, flags, ATTR("__mro__"), out);
	field_ref(os, at, PH_F_PyType_tp_bases, flags, ATTR("__bases__"), out);
	if (heap) { /* a static type borrows its base */
		field_ref(os, at, PH_F_PyType_tp_base, 0, ATTR("__base__"), out);
		field_ref(os, at, PH_F_PyHeapType_ht_module, 0, ATTR("<module>"), out);
	}
	/* 3.12+: static builtin types have a state in every interpreter, and its index in tp_subclasses */
	size_t n = 0;
	for (; n < os->rt->ninterps && ph_py_type_state(os->rt, at, n, &dict, &subclasses); n++) {
		dict &= PH_REF_ADDR;
		subclasses &= PH_REF_ADDR;
		ref_add(out, dict ? dict | PH_REF_OWNED : 0, LABEL(DICT, 0));
		ref_add(out, subclasses ? subclasses | PH_REF_OWNED : 0, ATTR("<subclasses>"));
	}
	if (!n)
		field_ref(os, at, PH_F_PyType_tp_subclasses, PH_REF_OWNED, ATTR("<subclasses>"), out);
	if (!heap)
		return true;
	field_ref(os, at, PH_F_PyHeapType_ht_name, PH_REF_OWNED, ATTR("__name__"), out);
	field_ref(os, at, PH_F_PyHeapType_ht_slots, PH_REF_OWNED, ATTR("<slots>"), out);
	field_ref(os, at, PH_F_PyHeapType_ht_qualname, PH_REF_OWNED, ATTR("__qualname__"), out);
	if (!o->type || !has(os, PH_F_PyHeapType_ht_cached_keys))
		return true;
	ph_addr keys = m_u64(os, at, PH_F_PyHeapType_ht_cached_keys);
	if (!keys || !ph_py_dict_table(os->rt, keys, 0, &d))
		return true;
	for (uint64_t i = 0; i < d.nentries; i++) {
		ph_addr key = ph_load_u64(d.entries + i * d.stride + d.key_off) & PH_REF_ADDR;
		ref_add(out, key ? key | PH_REF_OWNED : 0, ATTR("<shared key>"));
	}
	return true;
}

/* ---- code ---------------------------------------------------------------------------- */

/* The fixed members are slots of its row; this is the block of cached attributes. */
bool code_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	static const enum ph_field cached[] = { PH_F_CoCached_co_code, PH_F_CoCached_co_varnames,
						PH_F_CoCached_co_cellvars, PH_F_CoCached_co_freevars };
	static const char *const names[] = { "co_code", "co_varnames", "co_cellvars", "co_freevars" };
	ph_addr block = has(os, PH_F_PyCode_co_cached) ? o_u64(os, o, PH_F_PyCode_co_cached) : 0;
	for (size_t i = 0; block && i < 4; i++)
		field_ref(os, block, cached[i], PH_REF_OWNED, ATTR(names[i]), out);
	return true;
}

/* ---- frames ----------------------------------------------------------------------------- */

/* Where a frame's slots are. */
struct place {
	ph_addr code;
	uint32_t line;
};

static void local_ref(struct ph_objects *os, const struct place *at, uint32_t i, bool is_local, ph_ref ref,
		      struct ph_refs *out)
{
	struct ph_ref_label label = LABEL(STACK, .code = at->code, .line = at->line);
	if (is_local && out->labelled) {
		label.kind = PH_LABEL_LOCAL;
		label.key = ph_py_local_name_object(os->rt, at->code, i);
	}
	ref_add(out, ref, label);
}

/* What its owner calls the frame's object and code: 'f', or the generator's prefix. */
struct frame_names {
	const char *kind, *frame, *code;
};
static const struct frame_names frame_names[] = {
	{ "generator", "gi_frame", "gi_code" },
	{ "coroutine", "cr_frame", "cr_code" },
	{ "async_generator", "ag_frame", "ag_code" },
	{ NULL, "<frame>", "f_code" },
};

static const struct frame_names *names_of(const struct ph_object *o)
{
	const struct frame_names *n = frame_names;
	while (n->kind && strcmp(n->kind, o->type->kind->name))
		n++;
	return n;
}

/* What _PyFrame_Traverse visits of a frame that lies in a generator or frame object. */
static bool iframe_refs(struct ph_objects *os, const struct ph_object *o, ph_addr iframe, struct ph_refs *out)
{
	const struct frame_names *names = names_of(o);
	struct ph_py_frame f;
	if (!ph_py_frame(os->rt, iframe, &f))
		return false;
	ref_add(out, f.frame_obj & PH_REF_ADDR, ATTR(names->frame));
	ref_add(out, f.f_locals & PH_REF_ADDR, ATTR("f_locals"));
	ref_add(out, f.func ? f.func | (f.func_borrowed ? PH_REF_BORROWED : 0) : 0, ATTR("<function>"));
	ref_add(out, f.code ? f.code | (f.code_borrowed ? PH_REF_BORROWED : 0) : 0, ATTR(names->code));
	const uint8_t *slots = ph_mem_at(os->mem, f.slots, (uint64_t)f.nvisited * 8);
	struct place at = { f.code, out->labelled && f.nvisited ? ph_py_frame_line(os->rt, &f) : 0 };
	for (uint32_t i = 0; slots && i < f.nvisited; i++) {
		bool borrowed;
		ph_addr object = ph_py_slot(os->rt, ph_load_u64(slots + 8 * i), &borrowed);
		if (object & PH_REF_ADDR)
			local_ref(os, &at, i, i < f.nlocals, object | (borrowed ? PH_REF_BORROWED : 0), out);
	}
	return slots || !f.nvisited;
}

/* ≤3.10: locals, cells and free variables lie inside the frame object, then the stack. */
static bool old_frame_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	const struct ph_layout *l = os->layout;
	ph_addr locals = o->address + ph_layout_off(l, PH_F_PyFrame_f_localsplus);
	ph_addr stack = o_u64(os, o, PH_F_PyFrame_f_valuestack), top = stack;
	ph_addr code = o_u64(os, o, PH_F_PyFrame_f_code);
	uint64_t room = (uint64_t)(o_size(os, o) < 0 ? 0 : o_size(os, o)) + 1;
	if (has(os, PH_F_PyFrame_f_stackdepth)) {
		int32_t depth = (int32_t)o_u32(os, o, PH_F_PyFrame_f_stackdepth);
		top = depth > 0 ? stack + 8 * (uint64_t)depth : stack;
	} else if (has(os, PH_F_PyFrame_f_stacktop) && o_u64(os, o, PH_F_PyFrame_f_stacktop)) {
		top = o_u64(os, o, PH_F_PyFrame_f_stacktop);
	}
	if (stack < locals || top < stack || (top - locals) / 8 > room)
		return false;
	uint64_t n = (top - locals) / 8;
	const uint8_t *p = ph_mem_at(os->mem, locals, 8 * n);
	struct place at = { code, out->labelled ? ph_py_frame_object_line(os->rt, o->address) : 0 };
	for (uint64_t i = 0; p && i < n; i++)
		local_ref(os, &at, (uint32_t)i, locals + 8 * i < stack, ph_load_u64(p + 8 * i) & PH_REF_ADDR, out);
	return p || !n;
}

bool frame_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	if (has(os, PH_F_PyFrame_f_localsplus))
		return old_frame_refs(os, o, out);
	ph_addr iframe = o_u64(os, o, PH_F_PyFrame_f_frame);
	uint8_t owner;
	const uint8_t *p = iframe ? ph_mem_at(os->mem, iframe + ph_layout_off(os->layout, PH_F_IFrame_owner), 1)
				  : NULL;
	if (!p)
		return !iframe;
	owner = *p;
	if (owner != os->layout->enums[PH_E_FRAME_OWNED_BY_FRAME_OBJECT].value)
		return true; /* its thread or generator visits the locals */
	return iframe_refs(os, o, iframe, out);
}

/* ---- generators ---------------------------------------------------------------------------- */

bool generator_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	bool exact = true;
	if (has(os, PH_F_PyGen_gi_iframe)) {
		int64_t state = has(os, PH_F_PyGen_frame_state) ? (int8_t)o_u8(os, o, PH_F_PyGen_frame_state) : 0;
		ph_addr iframe = o->address + ph_layout_off(os->layout, PH_F_PyGen_gi_iframe);
		if (state != os->layout->enums[PH_E_FRAME_CLEARED].value)
			exact = iframe_refs(os, o, iframe, out);
		else if (has(os, PH_F_IFrame_stackpointer)) { /* 3.14+: a cleared frame keeps its code */
			bool borrowed;
			ph_addr code = ph_py_slot(os->rt, m_u64(os, iframe, PH_F_IFrame_executable), &borrowed);
			ref_add(out, code ? code | (borrowed ? PH_REF_BORROWED : 0) : 0, ATTR(names_of(o)->code));
		}
	}
	field_ref(os, o->address, PH_F_PyGen_exc_type, 0, ATTR("<exception>"), out);
	field_ref(os, o->address, PH_F_PyGen_exc_value, 0, ATTR("<exception>"), out);
	field_ref(os, o->address, PH_F_PyGen_exc_traceback, 0, ATTR("<exception>"), out);
	return exact;
}

/* ---- builtin methods, modules ------------------------------------------------------------------ */

#define METH_METHOD 0x200u

bool cfunction_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	uint32_t flags;
	ph_addr def = o_u64(os, o, PH_F_PyCFunction_m_ml);
	if (has(os, PH_F_PyCMethod_mm_class) && def &&
	    ph_mem_u32(os->mem, def + ph_layout_off(os->layout, PH_F_PyMethodDef_ml_flags), &flags) &&
	    flags & METH_METHOD)
		field_ref(os, o->address, PH_F_PyCMethod_mm_class, 0, ATTR("<class>"), out);
	field_ref(os, o->address, PH_F_PyCFunction_m_self, 0, ATTR("__self__"), out);
	field_ref(os, o->address, PH_F_PyCFunction_m_module, 0, ATTR("__module__"), out);
	return true;
}

#define MODULE_STATE_MAX (1u << 20)

/* A module's own state is visited by a function of its own; its memory is searched instead. */
static bool module_state_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	ph_addr state = has(os, PH_F_PyModule_md_state) ? o_u64(os, o, PH_F_PyModule_md_state) : 0;
	ph_addr traverse;
	uint64_t size;
	if (has(os, PH_F_PyModule_md_state_traverse)) {
		traverse = o_u64(os, o, PH_F_PyModule_md_state_traverse);
		size = o_u64(os, o, PH_F_PyModule_md_state_size);
	} else {
		ph_addr def = has(os, PH_F_PyModule_md_def) ? o_u64(os, o, PH_F_PyModule_md_def) : 0;
		traverse = m_u64(os, def, PH_F_PyModuleDef_m_traverse);
		size = m_u64(os, def, PH_F_PyModuleDef_m_size);
		if (traverse && (int64_t)size > 0 && !state)
			return true;
	}
	if (!traverse)
		return true;
	if (state && size <= MODULE_STATE_MAX)
		scan_words(os, state, size, 0, out);
	return false;
}

bool module_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	bool exact = module_state_refs(os, o, out);
	field_ref(os, o->address, PH_F_PyModule_md_dict, 0, LABEL(DICT, 0), out);
	return exact;
}

/* ---- exceptions ----------------------------------------------------------------------------------- */

/* A subtype visits its own members, which it also declares to Python, then the common ones. */
bool exception_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	static const struct ph_slot common[] = {
		{ PH_F_PyBaseException_dict, "__dict__", PH_VISITED },
		{ PH_F_PyBaseException_args, "args", PH_VISITED },
		{ PH_F_PyBaseException_notes, "__notes__", PH_VISITED },
		{ PH_F_PyBaseException_traceback, "__traceback__", PH_VISITED },
		{ PH_F_PyBaseException_cause, "__cause__", PH_VISITED },
		{ PH_F_PyBaseException_context, "__context__", PH_VISITED },
		{ 0, NULL, PH_VISITED },
	};
	const struct ph_type *t = o->type;
	for (size_t i = 0; i < t->nmembers; i++)
		if (t->members[i].offset >= ph_layout_size(os->layout, PH_S_PyBaseException))
			ref_add(out, ph_load_u64(o->head + t->members[i].offset) & PH_REF_ADDR,
				LABEL(ATTR, .cstr = t->members[i].name));
	refs_slots(os, o, common, false, out);
	return true;
}

/* ---- capsules ------------------------------------------------------------------------------- */

/* What a capsule points to is no object; where it is collected, a function of its owner's
 * may visit what lies there. */
bool capsule_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	(void)out;
	if (!o->type->have_gc)
		return true;
	return has(os, PH_F_PyCapsule_traverse_func) && !o_u64(os, o, PH_F_PyCapsule_traverse_func);
}
