/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Type objects: where their dict is and what they are called.
 * Facts: Objects/typeobject.c, Include/internal/pycore_typeobject.h. */
#include <stdio.h>
#include "runtime_priv.h"

#define TPFLAGS_STATIC_BUILTIN (1u << 1) /* 3.12+ */
#define TPFLAGS_HEAPTYPE (1u << 9)

/* 3.12+: static builtin types keep their dict per interpreter; tp_subclasses
 * then holds 1 + their index. */
static ph_addr static_state(const struct ph_runtime *rt, ph_addr type, size_t interp)
{
	const struct ph_layout *l = rt->layout;
	uint64_t index = rt_field(rt, type, PH_F_PyType_tp_subclasses);
	static const enum ph_field arrays[] = { PH_F_PyInterp_static_types, PH_F_PyInterp_extension_types };
	for (size_t i = 0; i < 2; i++) {
		struct ph_member m = l->field[arrays[i]];
		if (!m.present || !m.stride || !index)
			continue;
		uint64_t n = m.size / m.stride;
		if (index - 1 < n) {
			ph_addr state = rt->interps[interp].address + m.offset + (index - 1) * m.stride;
			if (rt_field(rt, state, PH_F_StaticType_type) == type)
				return state;
		}
		/* extension types count on from the end of the builtin ones, or from 1 */
		if (i == 0 && index > n)
			index -= n;
	}
	return 0;
}

static bool is_static_builtin(const struct ph_runtime *rt, ph_addr type)
{
	return rt_has(rt, PH_F_StaticType_type) && rt->hexversion >= 0x030c0000 &&
	       rt_field(rt, type, PH_F_PyType_tp_flags) & TPFLAGS_STATIC_BUILTIN;
}

bool ph_py_type_state(const struct ph_runtime *rt, ph_addr type, size_t interp, ph_addr *ret_dict,
		      ph_addr *ret_subclasses)
{
	*ret_dict = *ret_subclasses = 0;
	if (!is_static_builtin(rt, type))
		return false;
	ph_addr state = static_state(rt, type, interp);
	if (rt_has(rt, PH_F_StaticType_tp_dict))
		*ret_dict = rt_field(rt, state, PH_F_StaticType_tp_dict);
	if (rt_has(rt, PH_F_StaticType_tp_subclasses))
		*ret_subclasses = rt_field(rt, state, PH_F_StaticType_tp_subclasses);
	return true;
}

ph_addr ph_py_type_dict(const struct ph_runtime *rt, ph_addr type)
{
	ph_addr dict = rt_field(rt, type, PH_F_PyType_tp_dict), subclasses;
	/* the main interpreter may not have loaded the type's extension */
	for (size_t i = 0; !dict && i < rt->ninterps; i++)
		if (!ph_py_type_state(rt, type, i, &dict, &subclasses))
			break;
	return dict;
}

bool ph_py_type_name(const struct ph_runtime *rt, ph_addr type, char *buf, size_t max)
{
	char module[256], name[512];
	if (!(rt_field(rt, type, PH_F_PyType_tp_flags) & TPFLAGS_HEAPTYPE))
		return ph_mem_str(rt->mem, rt_field(rt, type, PH_F_PyType_tp_name), buf, max);
	if (!ph_py_str(rt, rt_field(rt, type, PH_F_PyHeapType_ht_qualname), name, sizeof name))
		return false;
	ph_addr value = ph_py_dict_get(rt, ph_py_type_dict(rt, type), "__module__");
	if (!value || !ph_py_str(rt, value, module, sizeof module) || !strcmp(module, "builtins"))
		snprintf(buf, max, "%s", name);
	else
		snprintf(buf, max, "%s.%s", module, name);
	return true;
}
