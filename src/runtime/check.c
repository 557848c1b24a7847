/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a layout fits the target: what it says is held against what the target's own
 * objects say. Nothing here trusts the layout or the target; what cannot be read proves
 * nothing. */
#include <stdarg.h>
#include <stdio.h>
#include "check_priv.h"

#define MAX_COUNT (1u << 24) /* references to sys.modules */
#define MAX_MEMBERS 256
#define MAX_THREADS 100000

enum ph_verdict rt_check_no(struct checking *c, const char *fmt, ...)
{
	va_list ap;
	if (!*c->fit->why) {
		va_start(ap, fmt);
		vsnprintf(c->fit->why, sizeof c->fit->why, fmt, ap);
		va_end(ap);
	}
	return PH_VERDICT_NO;
}

/* ---- objects by name --------------------------------------------------------------------- */

static ph_addr builtin(const struct checking *c, const char *name)
{
	const struct ph_runtime *rt = c->rt;
	return ph_py_dict_get(rt, rt_field(rt, rt->interps[0].address, PH_F_PyInterp_builtins), name);
}

/* Its type's name as C wrote it. */
bool rt_check_type_name(const struct checking *c, ph_addr type, char *buf, size_t n)
{
	return ph_mem_str(c->rt->mem, rt_field(c->rt, type, PH_F_PyType_tp_name), buf, n);
}

/* A static type by its symbol, else by its name among the builtins (where a program may
 * have put something else); 0 = not known. */
static ph_addr static_type(const struct checking *c, const char *symbol, const char *name)
{
	char own[64];
	ph_addr type;
	if (!ph_runtime_symbol(c->rt, symbol, &type, NULL))
		type = builtin(c, name);
	return type && rt_field(c->rt, type, PH_F_PyObject_ob_type) == c->rt->type_type &&
	       rt_check_type_name(c, type, own, sizeof own) && !strcmp(own, name) ? type : 0;
}

/* ---- the checks ---------------------------------------------------------------------------- */

static enum ph_verdict type_is_its_type(struct checking *c)
{
	const struct ph_runtime *rt = c->rt;
	if (!ph_mem_at(rt->mem, rt->type_type, 16))
		return PH_VERDICT_UNKNOWN;
	if (rt_field(rt, rt->type_type, PH_F_PyObject_ob_type) != rt->type_type)
		return rt_check_no(c, "the type of type is not type");
	return PH_VERDICT_YES;
}

/* Counts of references are small numbers. */
static enum ph_verdict counts_are_counts(struct checking *c)
{
	const struct ph_runtime *rt = c->rt;
	ph_addr modules = rt_field(rt, rt->interps[0].address, PH_F_PyInterp_modules);
	bool known = rt_has(rt, PH_F_PyObject_ob_refcnt) || rt->free_threaded;
	if (!known || !ph_mem_at(rt->mem, modules, ph_layout_size(c->layout, PH_S_PyObject)))
		return PH_VERDICT_UNKNOWN;
	uint64_t count = rt_count(rt, modules);
	return count && count < MAX_COUNT ? PH_VERDICT_YES : rt_check_no(c, "sys.modules has no count of references");
}

static enum ph_verdict version_agrees(struct checking *c)
{
	const struct ph_runtime *rt = c->rt;
	char said[32];
	int64_t hex;
	ph_addr sysdict = rt_field(rt, rt->interps[0].address, PH_F_PyInterp_sysdict);
	if (!ph_py_int(rt, ph_py_dict_get(rt, sysdict, "hexversion"), &hex))
		return ph_mem_at(rt->mem, sysdict, 16) ? rt_check_no(c, "sys.hexversion cannot be read") : PH_VERDICT_UNKNOWN;
	if (c->python->hexversion && hex != c->python->hexversion)
		return rt_check_no(c, "sys.hexversion is 0x%llx", (unsigned long long)hex);
	for (size_t i = 0; i < c->layout->nversions && !c->python->hexversion; i++)
		if (c->layout->versions[i] == hex)
			return PH_VERDICT_YES;
	if (c->layout->nversions && !c->python->hexversion) {
		ph_version_text((uint32_t)hex, said);
		return rt_check_no(c, "it runs Python %s", said);
	}
	return PH_VERDICT_YES;
}

static enum ph_verdict singletons_have_their_types(struct checking *c)
{
	static const struct { const char *symbol, *name, *type; } singletons[] = {
		{ "_Py_NoneStruct", "None", "NoneType" }, { "_Py_TrueStruct", "True", "bool" },
		{ "_Py_FalseStruct", "False", "bool" }, { "_Py_EllipsisObject", "Ellipsis", "ellipsis" },
		{ "_Py_NotImplementedStruct", "NotImplemented", "NotImplementedType" },
	};
	uint32_t good = 0;
	for (size_t i = 0; i < sizeof singletons / sizeof *singletons; i++) {
		char name[64];
		ph_addr at;
		if (!ph_runtime_symbol(c->rt, singletons[i].symbol, &at, NULL))
			at = builtin(c, singletons[i].name);
		if (!at || !rt_check_type_name(c, rt_field(c->rt, at, PH_F_PyObject_ob_type), name, sizeof name))
			continue;
		if (strcmp(name, singletons[i].type))
			return rt_check_no(c, "%s is not a %s", singletons[i].name, singletons[i].type);
		good++;
	}
	return rt_check_yes_if(good);
}

/* tp_basicsize of a type and what the layout says of it: the struct's size, or where the
 * part that repeats begins. */
#define SIZE(symbol, name, s) { symbol, name, true, PH_S_##s, 0 }
#define PART(symbol, name, f) { symbol, name, false, 0, PH_F_##f }
static const struct { const char *symbol, *name; bool whole; enum ph_struct s; enum ph_field f; } sized[] = {
	SIZE("PyBaseObject_Type", "object", PyObject), SIZE("PyType_Type", "type", PyHeapType),
	SIZE("PyDict_Type", "dict", PyDict), SIZE("PyList_Type", "list", PyList),
	PART("PyTuple_Type", "tuple", PyTuple_ob_item), PART("PyLong_Type", "int", PyLong_ob_digit),
	SIZE("PyUnicode_Type", "str", PyUnicode), SIZE("PySet_Type", "set", PySet),
	SIZE("PySlice_Type", "slice", PySlice), SIZE("PyProperty_Type", "property", Property),
	SIZE("PyFunction_Type", "function", PyFunction), SIZE("PyMethod_Type", "method", PyMethod),
	SIZE("PyModule_Type", "module", PyModule), SIZE("PyCell_Type", "cell", PyCell),
};

static enum ph_verdict sizes_agree(struct checking *c)
{
	uint32_t good = 0;
	for (size_t i = 0; i < sizeof sized / sizeof *sized; i++) {
		bool known = sized[i].whole ? ph_layout_has_size(c->layout, sized[i].s)
					    : ph_layout_has(c->layout, sized[i].f);
		ph_addr type = known ? static_type(c, sized[i].symbol, sized[i].name) : 0;
		uint64_t says = sized[i].whole ? ph_layout_size(c->layout, sized[i].s)
					       : ph_layout_off(c->layout, sized[i].f);
		uint64_t is = rt_field(c->rt, type, PH_F_PyType_tp_basicsize);
		if (!type)
			continue;
		if (is != says)
			return rt_check_no(c, "an instance of %s has %llu bytes, not %llu", sized[i].name, (unsigned long long)is,
				  (unsigned long long)says);
		good++;
	}
	return rt_check_yes_if(good);
}

/* Attributes that types declare with their offsets (PyMemberDef). */
#define MEMBER(symbol, type, name, f) { symbol, type, name, PH_F_##f }
static const struct { const char *symbol, *type, *name; enum ph_field f; } declared[] = {
	MEMBER("PyFunction_Type", "function", "__closure__", PyFunction_func_closure),
	MEMBER("PyFunction_Type", "function", "__doc__", PyFunction_func_doc),
	MEMBER("PyFunction_Type", "function", "__globals__", PyFunction_func_globals),
	MEMBER("PyFunction_Type", "function", "__module__", PyFunction_func_module),
	MEMBER("PyMethod_Type", "method", "__func__", PyMethod_im_func),
	MEMBER("PyCode_Type", "code", "co_stacksize", PyCode_co_stacksize),
	MEMBER("PyCode_Type", "code", "co_consts", PyCode_co_consts),
	MEMBER("PyCode_Type", "code", "co_names", PyCode_co_names),
	MEMBER("PyCode_Type", "code", "co_filename", PyCode_co_filename),
	MEMBER("PyCode_Type", "code", "co_name", PyCode_co_name),
	MEMBER("PyCode_Type", "code", "co_qualname", PyCode_co_qualname),
	MEMBER("PyCode_Type", "code", "co_firstlineno", PyCode_co_firstlineno),
	MEMBER("PyCode_Type", "code", "co_exceptiontable", PyCode_co_exceptiontable),
	MEMBER("PyFrame_Type", "frame", "f_back", PyFrame_f_back),
	MEMBER("PyFrame_Type", "frame", "f_code", PyFrame_f_code),
	MEMBER("PyFrame_Type", "frame", "f_builtins", PyFrame_f_builtins),
	MEMBER("PyFrame_Type", "frame", "f_globals", PyFrame_f_globals),
	MEMBER("PySlice_Type", "slice", "start", PySlice_start),
	MEMBER("PySlice_Type", "slice", "stop", PySlice_stop),
	MEMBER("PySlice_Type", "slice", "step", PySlice_step),
	MEMBER("PyProperty_Type", "property", "fget", Property_get),
	MEMBER("PyProperty_Type", "property", "fset", Property_set),
	MEMBER("PyProperty_Type", "property", "fdel", Property_del),
	MEMBER("PyRange_Type", "range", "start", Range_start),
	MEMBER("PyRange_Type", "range", "stop", Range_stop),
	MEMBER("PyRange_Type", "range", "step", Range_step),
	MEMBER("PySuper_Type", "super", "__thisclass__", Super_type),
	MEMBER("PySuper_Type", "super", "__self__", Super_obj),
	MEMBER("PyTraceBack_Type", "traceback", "tb_frame", PyTraceback_tb_frame),
	MEMBER("PyTraceBack_Type", "traceback", "tb_lasti", PyTraceback_tb_lasti),
	MEMBER("PyType_Type", "type", "__basicsize__", PyType_tp_basicsize),
	MEMBER("PyType_Type", "type", "__itemsize__", PyType_tp_itemsize),
	MEMBER("PyType_Type", "type", "__flags__", PyType_tp_flags),
	MEMBER("PyType_Type", "type", "__weakrefoffset__", PyType_tp_weaklistoffset),
	MEMBER("PyType_Type", "type", "__base__", PyType_tp_base),
	MEMBER("PyType_Type", "type", "__dictoffset__", PyType_tp_dictoffset),
};

/* The offset that a type declares for an attribute; false: it does not, or it cannot be read.
 * *readable grows by the names that were read. */
static bool declared_offset(const struct checking *c, ph_addr type, const char *attribute, uint64_t *readable,
			    uint64_t *ret)
{
	const struct ph_layout *l = c->layout;
	ph_addr def = rt_field(c->rt, type, PH_F_PyType_tp_members);
	uint32_t stride = ph_layout_size(l, PH_S_PyMemberDef);
	char name[64];
	for (int i = 0; def && stride && i < MAX_MEMBERS; i++, def += stride) {
		ph_addr at = rt_field(c->rt, def, PH_F_PyMemberDef_name);
		if (!at || !ph_mem_str(c->rt->mem, at, name, sizeof name))
			return false;
		++*readable;
		if (!strcmp(name, attribute))
			return ph_mem_u64(c->rt->mem, def + ph_layout_off(l, PH_F_PyMemberDef_offset), ret);
	}
	return false;
}

static enum ph_verdict members_agree(struct checking *c)
{
	uint64_t is, good = 0, readable = 0;
	for (size_t i = 0; i < sizeof declared / sizeof *declared; i++) {
		if (!ph_layout_has(c->layout, declared[i].f) || !ph_layout_has(c->layout, PH_F_PyMemberDef_name) ||
		    !declared_offset(c, static_type(c, declared[i].symbol, declared[i].type), declared[i].name,
				     &readable, &is))
			continue;
		if (is != ph_layout_off(c->layout, declared[i].f))
			return rt_check_no(c, "%s.%s is at %llu, not %u", declared[i].type, declared[i].name,
				  (unsigned long long)is, ph_layout_off(c->layout, declared[i].f));
		good++;
	}
	return rt_check_yes_if(good);
}

/* Thread states refer to their interpreter; on 3.11 and later they know their thread. */
static enum ph_verdict threads_agree(struct checking *c)
{
	const struct ph_runtime *rt = c->rt;
	uint32_t good = 0;
	if (!rt_has(rt, PH_F_PyThread_interp))
		return PH_VERDICT_UNKNOWN;
	for (size_t i = 0; i < rt->ninterps; i++) {
		ph_addr interp = rt->interps[i].address, thread = rt_field(rt, interp, PH_F_PyInterp_threads);
		for (int n = 0; thread && n < MAX_THREADS; n++, thread = rt_field(rt, thread, PH_F_PyThread_next)) {
			if (!ph_mem_at(rt->mem, thread, 16)) {
				if (rt->target->kind == PH_TARGET_CORE && thread >> 12)
					break;
				return rt_check_no(c, "a thread state cannot be read");
			}
			if (rt_field(rt, thread, PH_F_PyThread_interp) != interp)
				return rt_check_no(c, "a thread state does not refer to its interpreter");
			good++;
		}
	}
	/* the main interpreter has at least the main thread's */
	if (!good && !rt_field(rt, rt->interps[0].address, PH_F_PyInterp_threads))
		return rt_check_no(c, "the main interpreter has no thread state");
	return rt_check_yes_if(good);
}

/* ---- gc lists ---------------------------------------------------------------------------------- */

static bool near(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) <= RT_MAX_BREAKS;
}

static enum ph_verdict lists_close(struct checking *c)
{
	const struct ph_runtime *rt = c->rt;
	/* sys.modules is tracked, so it must be met */
	ph_addr modules = rt_field(rt, rt->interps[0].address, PH_F_PyInterp_modules);
	struct rt_lists_fit fit;
	rt_lists_check(rt, modules, &fit);
	if (fit.breaks > RT_MAX_BREAKS)
		return rt_check_no(c, "the collector's lists do not close");
	if (fit.strange > RT_MAX_BREAKS)
		return rt_check_no(c, "the collector's lists hold what is no object");
	if (fit.unreadable)
		return PH_VERDICT_UNKNOWN;
	/* while it collects, or a link is half made, objects are missing on them */
	if (fit.breaks || rt->collecting)
		return rt_check_yes_if(fit.objects);
	if (!fit.met && ph_mem_at(rt->mem, modules, 16))
		return rt_check_no(c, "sys.modules is on no list of the collector");
	if (fit.counted_known && !near(fit.counted, fit.objects) && !near(fit.counted, fit.counted_objects))
		return rt_check_no(c, "the collector counts %llu objects, its lists hold %llu", (unsigned long long)fit.counted,
			  (unsigned long long)fit.objects);
	return PH_VERDICT_YES;
}

/* ---- the target's own table ---------------------------------------------------------------------- */

/* Where the table has it, and which row must say the same. */
struct told {
	enum ph_field at;
	bool whole;
	uint32_t row;
	const char *name;
};
#define F(id, structs, member, need)
#define S(id, structs, need)
#define E(id, enumerator, need)
#define WHOLE_F false
#define WHOLE_S true
#define D(id, member, kind, row) { PH_F_Debug_##id, WHOLE_##kind, PH_##kind##_##row, member },
static const struct told told[] = {
#include <pyheap/fields.def>
};
#undef F
#undef S
#undef E

static enum ph_verdict debug_offsets_agree(struct checking *c)
{
	const struct ph_runtime *rt = c->rt;
	const struct ph_layout *l = c->layout;
	const void *cookie = ph_mem_at(rt->mem, rt->address, 16);
	uint32_t good = 0;
	if (!cookie || memcmp(cookie, PH_DEBUG_COOKIE, strlen(PH_DEBUG_COOKIE)))
		return PH_VERDICT_UNKNOWN;
	for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
		uint64_t is, says;
		const struct told *t = &told[i];
		bool known = t->whole ? ph_layout_has_size(l, (enum ph_struct)t->row)
				      : ph_layout_has(l, (enum ph_field)t->row);
		if (!known || !ph_layout_has(l, t->at) || !ph_mem_u64(rt->mem, rt->address + ph_layout_off(l, t->at), &is))
			continue;
		says = t->whole ? ph_layout_size(l, (enum ph_struct)t->row) : ph_layout_off(l, (enum ph_field)t->row);
		if (is != says)
			return rt_check_no(c, "_Py_DebugOffsets says %llu of %s, the layout %llu", (unsigned long long)is, t->name,
				  (unsigned long long)says);
		good++;
	}
	return rt_check_yes_if(good);
}

/* ---- all of them ---------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum ph_verdict (*fn)(struct checking *c);
	bool may_be_silent; /* there is not always something to look at */
	bool of_moving;     /* looks at what a process changes all the time */
} checks[PH_CHECKS] = {
	{ "the type of type is type", type_is_its_type, false, false },
	{ "objects have a count of references", counts_are_counts, false, false },
	{ "sys.hexversion can be read and is right", version_agrees, false, false },
	{ "singletons have their types", singletons_have_their_types, false, false },
	{ "sizes are those of tp_basicsize", sizes_agree, false, false },
	{ "members are where types declare them", members_agree, true, false },
	{ "thread states refer to their interpreter", threads_agree, true, false },
	{ "what threads and the interpreter hold are objects", rt_check_roots, true, true },
	{ "members hold what their types ask for", rt_check_members, true, true },
	{ "the collector's lists close and hold objects", lists_close, false, true },
	{ "_Py_DebugOffsets says the same", debug_offsets_agree, true, false },
};

const char *ph_check_name(size_t i)
{
	return i < PH_CHECKS ? checks[i].name : "?";
}

void ph_runtime_check(const struct ph_runtime *rt, const struct ph_python *python, struct ph_fit *ret)
{
	struct checking c = { .rt = rt, .python = python, .layout = rt->layout, .fit = ret };
	bool moving = rt->target->kind == PH_TARGET_PROCESS && rt->target->pause_ms < 0;
	*ret = (struct ph_fit){ .fits = true, .proven = true };
	for (size_t i = 0; i < PH_CHECKS; i++) {
		ret->verdict[i] = checks[i].fn(&c);
		/* nothing fits together of what changed while it was copied */
		if (moving && checks[i].of_moving && ret->verdict[i] == PH_VERDICT_NO) {
			ret->verdict[i] = PH_VERDICT_UNKNOWN;
			*ret->why = '\0';
		}
		ret->fits &= ret->verdict[i] != PH_VERDICT_NO;
		ret->proven &= ret->verdict[i] == PH_VERDICT_YES || checks[i].may_be_silent ||
			       (moving && checks[i].of_moving);
	}
	ret->proven &= ret->fits;
}
