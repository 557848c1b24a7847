/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be told of an interpreter without its layout: from symbols, and on 3.13 and
 * later from the table of offsets that _PyRuntime begins with.
 * Facts: Include/internal/pycore_debug_offsets.h. */
#include "runtime_priv.h"

const void *rt_runtime_bytes(const struct ph_target *target, const struct ph_module *module, ph_addr at, size_t n)
{
	/* what is live comes first; the file has it as it was before the start */
	const void *p = target->mem ? ph_mem_at(target->mem, at, n) : NULL;
	return p ? p : module ? ph_module_bytes(module, at, n) : NULL;
}

void ph_python_identify(const struct ph_target *target, const struct ph_module *module, ph_addr runtime,
			struct ph_python *ret)
{
	const uint8_t *table = rt_runtime_bytes(target, module, runtime, 24);
	ph_addr at;
	*ret = (struct ph_python){ .debug = -1, .free_threaded = -1 };
	if (table && !memcmp(table, PH_DEBUG_COOKIE, strlen(PH_DEBUG_COOKIE))) {
		ret->hexversion = (uint32_t)ph_load_u64(table + 8);
		ret->free_threaded = ph_load_u64(table + 16) != 0;
	} else if (table) {
		const void *p = ph_module_symbol(module, "Py_Version", &at, NULL) ?
					rt_runtime_bytes(target, module, at, 4) : NULL;
		ret->hexversion = p ? ph_load_u32(p) : 0;
		ret->free_threaded = 0; /* that came with the table */
	}
	/* a debug build exports this counter of references, and no other build does */
	if (ph_module_symbol(module, "_Py_RefTotal", &at, NULL) ||
	    ph_module_symbol(module, "_Py_NegativeRefcount", &at, NULL))
		ret->debug = 1;
	else if (ph_module_symbol(module, "Py_IncRef", &at, NULL))
		ret->debug = 0;
}
