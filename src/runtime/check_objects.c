/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether what the layout calls a reference leads to an object, of the type that it must
 * have. A stopped process may be changing a few of them. */
#include <stdio.h>
#include "check_priv.h"

#define MAX_ROOTS 10000
#define MAX_TRACKED 200000 /* objects of the collector's lists, to find some of each type */
#define SAMPLES 32         /* of each type */
#define TPFLAGS_HEAPTYPE (1u << 9)

static bool is_object(const struct checking *c, ph_addr at)
{
	const struct ph_runtime *rt = c->rt;
	ph_addr type = at & 7 ? 0 : rt_field(rt, at, PH_F_PyObject_ob_type);
	ph_addr meta = rt_field(rt, type, PH_F_PyObject_ob_type);
	return meta && (meta == rt->type_type || rt_field(rt, meta, PH_F_PyObject_ob_type) == rt->type_type);
}

/* ---- roots ------------------------------------------------------------------------------ */

static enum ph_verdict check_refs(struct checking *c, const struct ph_rootrefs *refs)
{
	uint64_t good = 0, wrong = 0;
	for (size_t i = 0; i < refs->n && i < MAX_ROOTS; i++) {
		const struct ph_rootref *r = &refs->items[i];
		/* memory that a core lacks says nothing */
		if (!ph_mem_at(c->rt->mem, r->object & ~7ull, 16) && r->object >> 12)
			continue;
		if (is_object(c, r->object))
			good++;
		else if (++wrong > RT_MAX_BREAKS)
			return rt_check_no(c, "%s refers to what is no object", *r->name ? r->name : "a stack");
	}
	return rt_check_yes_if(good);
}

static enum ph_verdict check_frames(struct checking *c, const struct ph_running *running)
{
	uint64_t good = 0, wrong = 0;
	for (size_t i = 0; i < running->frames.n && i < MAX_ROOTS; i++) {
		char name[16];
		ph_addr type = rt_field(c->rt, running->frames.items[i].code, PH_F_PyObject_ob_type);
		if (!type || !rt_check_type_name(c, type, name, sizeof name))
			continue;
		good += !strcmp(name, "code");
		wrong += strcmp(name, "code") != 0;
	}
	if (wrong > RT_MAX_BREAKS || (wrong && !good))
		return rt_check_no(c, "a frame does not run code");
	return rt_check_yes_if(good);
}

enum ph_verdict rt_check_roots(struct checking *c)
{
	struct ph_notes notes = { 0 };
	struct ph_rootrefs refs = { 0 };
	struct ph_running running = { 0 };
	enum ph_verdict ret = PH_VERDICT_UNKNOWN;
	struct ph_err *err = ph_runtime_roots(c->rt, &notes, &refs, &running);
	if (!err)
		ret = check_refs(c, &refs);
	if (!err && ret != PH_VERDICT_NO && check_frames(c, &running) == PH_VERDICT_NO)
		ret = PH_VERDICT_NO;
	ph_err_free(err);
	ph_vec_free(&refs);
	ph_running_free(&running);
	return ret;
}

/* ---- members ------------------------------------------------------------------------------ */

/* A member of a type's instances refers to an object of type `is`, or to nothing. NULL:
 * of any type. */
#define MEMBER(of, f, is, needed) { of, PH_F_##f, is, needed }
static const struct member { const char *of; enum ph_field f; const char *is; bool needed; } members[] = {
	MEMBER("function", PyFunction_func_code, "code", true), MEMBER("function", PyFunction_func_globals, "dict", true),
	MEMBER("function", PyFunction_func_name, "str", true), MEMBER("function", PyFunction_func_qualname, "str", true),
	MEMBER("function", PyFunction_func_defaults, "tuple", false),
	MEMBER("function", PyFunction_func_kwdefaults, "dict", false),
	MEMBER("function", PyFunction_func_closure, "tuple", false),
	MEMBER("function", PyFunction_func_dict, "dict", false),
	MEMBER("code", PyCode_co_consts, "tuple", true), MEMBER("code", PyCode_co_names, "tuple", true),
	MEMBER("code", PyCode_co_filename, "str", true), MEMBER("code", PyCode_co_name, "str", true),
	MEMBER("code", PyCode_co_qualname, "str", true), MEMBER("code", PyCode_co_linetable, "bytes", true),
	MEMBER("code", PyCode_co_code, "bytes", true), MEMBER("code", PyCode_co_localsplusnames, "tuple", true),
	MEMBER("code", PyCode_co_localspluskinds, "bytes", true), MEMBER("code", PyCode_co_exceptiontable, "bytes", true),
	MEMBER("type", PyHeapType_ht_name, "str", true), MEMBER("type", PyHeapType_ht_qualname, "str", true),
	MEMBER("type", PyType_tp_base, "type", true), MEMBER("type", PyType_tp_bases, "tuple", true),
	MEMBER("type", PyType_tp_mro, "tuple", true), MEMBER("type", PyType_tp_dict, "dict", true),
	MEMBER("module", PyModule_md_dict, "dict", true), MEMBER("module", PyModule_md_name, "str", false),
	MEMBER("method_descriptor", PyDescr_d_name, "str", true),
	MEMBER("method_descriptor", PyDescr_d_type, "type", true),
	MEMBER("method_descriptor", PyDescr_d_qualname, "str", false),
	MEMBER("property", Property_get, NULL, false), MEMBER("property", Property_doc, NULL, false),
	MEMBER("property", Property_name, "str", false), MEMBER("method", PyMethod_im_func, NULL, true),
	MEMBER("method", PyMethod_im_self, NULL, true), MEMBER("cell", PyCell_ob_ref, NULL, false),
	MEMBER("builtin_function_or_method", PyCFunction_m_module, NULL, false),
	MEMBER("builtin_function_or_method", PyCFunction_m_self, NULL, false),
	MEMBER("staticmethod", StaticMethod_callable, NULL, true), MEMBER("classmethod", ClassMethod_callable, NULL, true),
	MEMBER("staticmethod", StaticMethod_dict, "dict", false), MEMBER("classmethod", ClassMethod_dict, "dict", false),
	MEMBER("wrapper_descriptor", PyDescr_d_name, "str", true), MEMBER("generator", PyGen_gi_name, "str", true),
	MEMBER("weakref", PyWeakref_wr_object, NULL, true), MEMBER("ReferenceType", PyWeakref_wr_object, NULL, true),
};
#define MEMBERS (sizeof members / sizeof *members)

struct sampling {
	struct checking *c;
	uint32_t seen[MEMBERS];
	uint64_t good, wrong[MEMBERS], objects;
};

static bool has_type(const struct checking *c, ph_addr object, const char *is)
{
	char name[40];
	return rt_check_type_name(c, rt_field(c->rt, object, PH_F_PyObject_ob_type), name, sizeof name) && !strcmp(name, is);
}

static void look_at(struct sampling *s, ph_addr object)
{
	const struct checking *c = s->c;
	char name[40];
	ph_addr type = rt_field(c->rt, object, PH_F_PyObject_ob_type);
	/* a class of somebody's may have the same name */
	if (rt_field(c->rt, type, PH_F_PyType_tp_flags) & TPFLAGS_HEAPTYPE ||
	    !rt_check_type_name(c, type, name, sizeof name))
		return;
	for (size_t i = 0; i < MEMBERS; i++) {
		const struct member *m = &members[i];
		uint64_t value;
		if (strcmp(name, m->of) || s->seen[i] >= SAMPLES || !ph_layout_has(c->layout, m->f) ||
		    !ph_mem_u64(c->rt->mem, object + ph_layout_off(c->layout, m->f), &value))
			continue;
		s->seen[i]++;
		bool fits = value ? is_object(c, value) && (!m->is || has_type(c, value, m->is)) : !m->needed;
		s->good += fits && value;
		s->wrong[i] += !fits;
		/* code is on no list of the collector */
		if (fits && m->f == PH_F_PyFunction_func_code)
			look_at(s, value);
	}
}

static bool sample(void *ctx, ph_addr object, int generation, uint32_t interp)
{
	struct sampling *s = ctx;
	look_at(s, object);
	return ++s->objects < MAX_TRACKED;
}

enum ph_verdict rt_check_members(struct checking *c)
{
	struct sampling s = { .c = c };
	struct ph_notes notes = { 0 };
	ph_runtime_tracked(c->rt, 0, &notes, sample, &s);
	for (size_t i = 0; i < MEMBERS; i++)
		if (s.wrong[i] > RT_MAX_BREAKS && s.wrong[i] * 2 > s.seen[i])
			return rt_check_no(c, "%s is not what a %s has there", ph_field_name(members[i].f), members[i].of);
	return rt_check_yes_if(s.good);
}
