/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What objects are called by those who wrote them: names and places in code, no values. */
#include <stdio.h>
#include "object_priv.h"

typedef bool describe_fn(struct ph_objects *os, const struct ph_object *o, char *buf, size_t max);

static bool field_text(struct ph_objects *os, const struct ph_object *o, enum ph_field f, char *buf, size_t max)
{
	return ph_py_str(os->rt, o_u64(os, o, f) & PH_REF_ADDR, buf, max) && *buf;
}

static bool type_name(struct ph_objects *os, const struct ph_object *o, char *buf, size_t max)
{
	return ph_py_type_name(os->rt, o->address, buf, max) && *buf;
}

static bool code_place(struct ph_objects *os, const struct ph_object *o, char *buf, size_t max)
{
	ph_py_where(os->rt, o->address, 0, buf, max);
	return true;
}

/* A function may have been given another name than its code. */
static bool function_place(struct ph_objects *os, const struct ph_object *o, char *buf, size_t max)
{
	char name[128], where[256];
	ph_py_where(os->rt, o_u64(os, o, PH_F_PyFunction_func_code) & PH_REF_ADDR, 0, where, sizeof where);
	const char *place = strrchr(where, '(');
	if (!place || !field_text(os, o, PH_F_PyFunction_func_qualname, name, sizeof name))
		return false;
	snprintf(buf, max, "%s %s", name, place);
	return true;
}

static bool method_place(struct ph_objects *os, const struct ph_object *o, char *buf, size_t max)
{
	ph_addr func = o_u64(os, o, PH_F_PyMethod_im_func) & PH_REF_ADDR;
	const struct ph_type *t = ph_object_type(os, func);
	struct ph_object f;
	return t && t->kind && !strcmp(t->kind->name, "function") && ph_object_open(os, func, t, &f) &&
	       function_place(os, &f, buf, max);
}

static bool module_name(struct ph_objects *os, const struct ph_object *o, char *buf, size_t max)
{
	char name[256], file[512];
	if (!field_text(os, o, PH_F_PyModule_md_name, name, sizeof name))
		return false;
	ph_addr path = ph_py_dict_get(os->rt, o_u64(os, o, PH_F_PyModule_md_dict) & PH_REF_ADDR, "__file__");
	const char *base = path && ph_py_str(os->rt, path, file, sizeof file) ? strrchr(file, '/') : NULL;
	snprintf(buf, max, base ? "%s (%s)" : "%s", name, base ? base + 1 : "");
	return true;
}

static bool descriptor_name(struct ph_objects *os, const struct ph_object *o, char *buf, size_t max)
{
	return field_text(os, o, PH_F_PyDescr_d_name, buf, max);
}

static bool frame_place(struct ph_objects *os, const struct ph_object *o, char *buf, size_t max)
{
	struct ph_py_frame f;
	if (has(os, PH_F_PyFrame_f_code)) {
		ph_py_where(os->rt, o_u64(os, o, PH_F_PyFrame_f_code) & PH_REF_ADDR,
			    ph_py_frame_object_line(os->rt, o->address), buf, max);
		return true;
	}
	if (!has(os, PH_F_PyFrame_f_frame) ||
	    !ph_py_frame(os->rt, o_u64(os, o, PH_F_PyFrame_f_frame) & PH_REF_ADDR, &f) || !f.has_code)
		return false;
	ph_py_where(os->rt, f.code, ph_py_frame_line(os->rt, &f), buf, max);
	return true;
}

/* Where a generator or coroutine waits; of one that has ended its name alone. */
static bool generator_place(struct ph_objects *os, const struct ph_object *o, char *buf, size_t max)
{
	struct ph_py_frame f;
	int64_t state = has(os, PH_F_PyGen_frame_state) ? (int8_t)o_u8(os, o, PH_F_PyGen_frame_state) : 0;
	char name[128];
	uint32_t line = 0;
	ph_addr code = 0;
	if (has(os, PH_F_PyGen_gi_iframe)) {
		ph_addr iframe = o->address + ph_layout_off(os->layout, PH_F_PyGen_gi_iframe);
		if (state < os->layout->enums[PH_E_FRAME_CLEARED].value && ph_py_frame(os->rt, iframe, &f) && f.has_code) {
			code = f.code;
			line = ph_py_frame_line(os->rt, &f);
		}
	} else if (has(os, PH_F_PyGen_gi_frame)) {
		ph_addr frame = o_u64(os, o, PH_F_PyGen_gi_frame) & PH_REF_ADDR;
		code = m_u64(os, frame, PH_F_PyFrame_f_code);
		line = ph_py_frame_object_line(os->rt, frame);
	}
	if (!field_text(os, o, PH_F_PyGen_gi_qualname, name, sizeof name))
		return false;
	char where[256] = "";
	if (code)
		ph_py_where(os->rt, code, line, where, sizeof where);
	const char *place = strrchr(where, '(');
	snprintf(buf, max, "%s%s%s", name, place ? " " : ", ended", place ? place : "");
	return true;
}

/* The code of a frame object's frame; 0 = it has none. */
static ph_addr frame_code(struct ph_objects *os, ph_addr frame)
{
	struct ph_py_frame f;
	if (has(os, PH_F_PyFrame_f_code))
		return m_u64(os, frame, PH_F_PyFrame_f_code) & PH_REF_ADDR;
	ph_addr at = has(os, PH_F_PyFrame_f_frame) ? m_u64(os, frame, PH_F_PyFrame_f_frame) & PH_REF_ADDR : 0;
	return at && ph_py_frame(os->rt, at, &f) && f.has_code ? f.code : 0;
}

/* Where the exception passed: the frame may have gone on since. From 3.11 on the line is
 * worked out when somebody asks for it. */
static bool traceback_place(struct ph_objects *os, const struct ph_object *o, char *buf, size_t max)
{
	ph_addr frame = o_u64(os, o, PH_F_PyTraceback_tb_frame) & PH_REF_ADDR;
	const struct ph_type *t = ph_object_type(os, frame);
	ph_addr code = t && t->kind && !strcmp(t->kind->name, "frame") ? frame_code(os, frame) : 0;
	if (!code || !has(os, PH_F_PyTraceback_tb_lineno) || !has(os, PH_F_PyTraceback_tb_lasti))
		return false;
	int32_t line = (int32_t)o_u32(os, o, PH_F_PyTraceback_tb_lineno);
	if (line <= 0)
		line = (int32_t)ph_py_line(os->rt, code, (int32_t)o_u32(os, o, PH_F_PyTraceback_tb_lasti));
	ph_py_where(os->rt, code, line > 0 ? (uint32_t)line : 0, buf, max);
	return true;
}

static const struct {
	const char *kind;
	describe_fn *describe;
} describers[] = {
	{ "type", type_name },
	{ "function", function_place },
	{ "code", code_place },
	{ "method", method_place },
	{ "module", module_name },
	{ "frame", frame_place },
	{ "traceback", traceback_place },
	{ "generator", generator_place },
	{ "coroutine", generator_place },
	{ "async_generator", generator_place },
	{ "method_descriptor", descriptor_name },
	{ "classmethod_descriptor", descriptor_name },
	{ "member_descriptor", descriptor_name },
	{ "getset_descriptor", descriptor_name },
	{ "wrapper_descriptor", descriptor_name },
};

bool ph_object_describe(struct ph_objects *os, const struct ph_object *o, char *buf, size_t max)
{
	for (size_t i = 0; o->type->kind && i < sizeof describers / sizeof *describers; i++)
		if (!strcmp(o->type->kind->name, describers[i].kind))
			return describers[i].describe(os, o, buf, max);
	return false;
}

ph_addr ph_object_referent(struct ph_objects *os, const struct ph_object *o)
{
	return o_u64(os, o, PH_F_PyWeakref_wr_object) & PH_REF_ADDR;
}
