/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be told of an interpreter without its layout: from symbols, and on 3.13 and
 * later from the table of offsets that _PyRuntime begins with.
 * Facts: Include/internal/pycore_debug_offsets.h. */
#include "runtime_priv.h"

/* What is live comes first; the file has it as it was before the start. */
static bool read_bytes(const struct ph_target *target, const struct ph_module *module, ph_addr at, void *ret, size_t n)
{
	const void *p;
	if (ph_target_peek(target, at, ret, n))
		return true;
	p = module ? ph_module_bytes(module, at, n) : NULL;
	if (p)
		memcpy(ret, p, n);
	return p;
}

static bool has_symbol(const struct ph_module *module, const char *name)
{
	ph_addr at;
	return module && ph_module_symbol(module, name, &at, NULL);
}

void ph_python_identify(const struct ph_target *target, const struct ph_runtime_place *place, struct ph_python *ret)
{
	const struct ph_module *module = ph_target_module_at(target, place->definer);
	uint8_t table[24], version[4];
	ph_addr at;
	*ret = (struct ph_python){ .debug = -1, .free_threaded = -1 };
	bool known = read_bytes(target, module, place->address, table, sizeof table);
	if (known && !memcmp(table, PH_DEBUG_COOKIE, strlen(PH_DEBUG_COOKIE))) {
		ret->hexversion = (uint32_t)ph_load_u64(table + 8);
		ret->free_threaded = ph_load_u64(table + 16) != 0;
	} else if (known) {
		if (module && ph_module_symbol(module, "Py_Version", &at, NULL) &&
		    read_bytes(target, module, at, version, sizeof version))
			ret->hexversion = ph_load_u32(version);
		ret->free_threaded = 0; /* that came with the table */
	}
	/* a debug build exports this counter of references, and no other build does */
	if (has_symbol(module, "_Py_RefTotal") || has_symbol(module, "_Py_NegativeRefcount"))
		ret->debug = 1;
	else if (has_symbol(module, "Py_IncRef"))
		ret->debug = 0;
}
