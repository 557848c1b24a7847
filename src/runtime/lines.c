/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The line that an instruction is of, and how a place in code is written.
 * Facts: Objects/lnotab_notes.txt (≤3.10), Objects/locations.md (3.11+), Include/cpython/code.h. */
#include <stdio.h>
#include "runtime_priv.h"

#define MAX_TABLE (1u << 24) /* bytes */
#define V310 0x030a0000u
#define V311 0x030b0000u

struct bytes {
	const uint8_t *at, *end;
};

static bool line_table(const struct ph_runtime *rt, ph_addr code, struct bytes *ret)
{
	ph_addr table = rt_has(rt, PH_F_PyCode_co_linetable) ? rt_field(rt, code, PH_F_PyCode_co_linetable) : 0;
	uint64_t n = rt_field(rt, table, PH_F_PyVarObject_ob_size);
	const uint8_t *p = table && n <= MAX_TABLE
				   ? ph_mem_at(rt->mem, table + ph_layout_off(rt->layout, PH_F_PyBytes_ob_sval), n) : NULL;
	*ret = (struct bytes){ p, p ? p + n : NULL };
	return p != NULL;
}

/* ≤3.9: pairs (bytes of code, lines), each of which begins where the one before ends. */
static int64_t line_39(struct bytes t, int64_t line, int64_t offset)
{
	for (int64_t at = 0; t.end - t.at >= 2; t.at += 2) {
		at += t.at[0];
		if (at > offset)
			break;
		line += (int8_t)t.at[1];
	}
	return line;
}

/* 3.10: pairs (bytes of code, lines); −128: these have no line. */
static int64_t line_310(struct bytes t, int64_t line, int64_t offset)
{
	for (int64_t at = 0; t.end - t.at >= 2; t.at += 2) {
		bool none = (int8_t)t.at[1] == -128;
		line += none ? 0 : (int8_t)t.at[1];
		at += t.at[0];
		if (at > offset)
			return none ? 0 : line;
	}
	return line;
}

static int64_t signed_varint(struct bytes t)
{
	uint64_t v = 0;
	for (unsigned shift = 0; t.at < t.end && shift < 36; shift += 6) {
		uint8_t byte = *t.at++;
		v |= (uint64_t)(byte & 63) << shift;
		if (!(byte & 64))
			break;
	}
	return v & 1 ? -(int64_t)(v >> 1) : (int64_t)(v >> 1);
}

enum { SHORT_FORMS = 10, ONE_LINE_FORMS = 13, NO_LOCATION = 15 };

/* 3.11+: entries whose first byte alone has its highest bit set. */
static int64_t line_311(struct bytes t, int64_t line, int64_t offset)
{
	int64_t at = 0;
	while (t.at < t.end) {
		unsigned form = *t.at >> 3 & 15;
		int64_t end = at + 2 * ((*t.at & 7) + 1);
		struct bytes rest = { ++t.at, t.end };
		if (form >= ONE_LINE_FORMS && form < NO_LOCATION)
			line += signed_varint(rest);
		else if (form >= SHORT_FORMS && form < ONE_LINE_FORMS)
			line += form - SHORT_FORMS;
		if (offset < end)
			return form == NO_LOCATION ? 0 : line;
		at = end;
		while (t.at < t.end && !(*t.at & 0x80))
			t.at++;
	}
	return line;
}

uint32_t ph_py_line(const struct ph_runtime *rt, ph_addr code, int64_t offset)
{
	struct bytes t;
	uint32_t first;
	if (!code || !ph_mem_u32(rt->mem, code + ph_layout_off(rt->layout, PH_F_PyCode_co_firstlineno), &first))
		return 0;
	if (offset < 0 || !line_table(rt, code, &t))
		return first;
	int64_t line = rt->hexversion < V310 ? line_39(t, first, offset)
		       : rt->hexversion < V311 ? line_310(t, first, offset) : line_311(t, first, offset);
	return line > 0 && line < INT32_MAX ? (uint32_t)line : first;
}

/* Where the instructions are that a frame runs: in the code object, or (free-threaded 3.14+) in
 * its thread's own copy of them. */
static ph_addr instructions(const struct ph_runtime *rt, const struct ph_py_frame *f)
{
	const struct ph_layout *l = rt->layout;
	uint32_t index;
	uint64_t own;
	ph_addr copies = rt_has(rt, PH_F_PyCode_co_tlbc) && rt_has(rt, PH_F_CodeArray_entries)
				 ? rt_field(rt, f->code, PH_F_PyCode_co_tlbc) : 0;
	if (copies && rt_has(rt, PH_F_IFrame_tlbc_index) &&
	    ph_mem_u32(rt->mem, f->address + ph_layout_off(l, PH_F_IFrame_tlbc_index), &index) && index &&
	    index < rt_field(rt, copies, PH_F_CodeArray_size) &&
	    ph_mem_u64(rt->mem, copies + ph_layout_off(l, PH_F_CodeArray_entries) + 8ull * index, &own) && own)
		return own;
	return f->code + ph_layout_off(l, PH_F_PyCode_co_code_adaptive);
}

uint32_t ph_py_frame_line(const struct ph_runtime *rt, const struct ph_py_frame *f)
{
	uint64_t start = instructions(rt, f);
	uint64_t at = rt_has(rt, PH_F_IFrame_instr_ptr) ? rt_field(rt, f->address, PH_F_IFrame_instr_ptr) : 0;
	return ph_py_line(rt, f->code, at >= start && at - start < MAX_TABLE * 64ull ? (int64_t)(at - start) : -1);
}

/* ≤3.10: f_lasti counts bytes, in 3.10 (which knows the depth of its stack) units of two. */
uint32_t ph_py_frame_object_line(const struct ph_runtime *rt, ph_addr frame)
{
	uint32_t last = UINT32_MAX;
	if (!rt_has(rt, PH_F_PyFrame_f_code))
		return 0;
	if (rt_has(rt, PH_F_PyFrame_f_lasti))
		ph_mem_u32(rt->mem, frame + ph_layout_off(rt->layout, PH_F_PyFrame_f_lasti), &last);
	int64_t offset = (int32_t)last;
	if (offset > 0 && rt_has(rt, PH_F_PyFrame_f_stackdepth))
		offset *= 2;
	return ph_py_line(rt, rt_field(rt, frame, PH_F_PyFrame_f_code), offset);
}

bool ph_py_code_names(const struct ph_runtime *rt, ph_addr code, char *function, size_t nfunction, char *file,
		      size_t nfile)
{
	ph_addr name = rt_has(rt, PH_F_PyCode_co_qualname) ? rt_field(rt, code, PH_F_PyCode_co_qualname)
							   : rt_field(rt, code, PH_F_PyCode_co_name);
	bool known = ph_py_str(rt, name, function, nfunction);
	return ph_py_str(rt, rt_field(rt, code, PH_F_PyCode_co_filename), file, nfile) && known;
}

void ph_py_where(const struct ph_runtime *rt, ph_addr code, uint32_t line, char *buf, size_t max)
{
	char function[128], file[512];
	if (!ph_py_code_names(rt, code, function, sizeof function, file, sizeof file)) {
		snprintf(buf, max, "?");
		return;
	}
	const char *base = strrchr(file, '/');
	snprintf(buf, max, "%s (%s:%u)", function, base ? base + 1 : file, line ? line : ph_py_line(rt, code, -1));
}
