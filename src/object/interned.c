/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the dict of interned strings is: in the interpreter's state, or up to 3.11 in a
 * static variable, which without symbols is found by what it refers to. */
#include "object_priv.h"

#define CHUNK 4096
#define FEW 64 /* entries: every interpreter has hundreds */

/* A dict with a value under every key that is that key, among them one that is known to be
 * interned: there is but one such dict. */
static bool is_table(const struct ph_objects *os, ph_addr dict)
{
	struct ph_py_dict d;
	uint64_t used = 0;
	bool has_known = false;
	if (m_u64(os, dict, PH_F_PyObject_ob_type) != os->rt->dict_type || !ph_py_dict(os->rt, dict, &d) || d.split)
		return false;
	for (uint64_t i = 0; i < d.nentries; i++) {
		ph_addr key, value;
		ph_py_dict_entry(&d, i, &key, &value);
		if (value && key != value)
			return false;
		used += value != 0;
		has_known |= value && value == os->sizeof_key;
	}
	return has_known && used >= FEW;
}

/* From the end on. */
static ph_addr search(const struct ph_objects *os, ph_addr start, ph_addr end)
{
	start = (start + 7) & ~7ull;
	for (ph_addr at; end >= start + 8; end = at) {
		at = (end - 1) & ~(CHUNK - 1ull);
		at = at > start ? at : start;
		uint64_t n = (end - at) & ~7ull;
		const uint8_t *p = ph_mem_at(os->mem, at, n);
		for (uint64_t i = 0; p && i < n; i += 8) {
			uint64_t word = ph_load_u64(p + i);
			if (word >= CHUNK && !(word & 7) && !(word >> PH_ADDR_BITS) && is_table(os, word))
				return word;
		}
	}
	return 0;
}

/* In .bss and .data of the file that the interpreter is in; .bss is the likelier place, the smaller
 * one and the last. */
static ph_addr search_static_data(const struct ph_objects *os)
{
	const struct ph_module *m = os->rt->module;
	ph_addr found = 0;
	for (size_t i = os->mem->nsegs; m && !found && i-- > 0;) {
		const struct ph_segment *s = &os->mem->segs[i];
		if (s->writable && s->end > m->start && s->start < m->end)
			found = search(os, s->start > m->start ? s->start : m->start, s->end < m->end ? s->end : m->end);
	}
	return found;
}

void learn_interned(struct ph_objects *os)
{
	ph_addr symbol;
	if (has(os, PH_F_PyInterp_interned_strings))
		os->interned = m_u64(os, os->rt->interps[0].address, PH_F_PyInterp_interned_strings);
	else if (ph_runtime_symbol(os->rt, "interned", &symbol, NULL))
		ph_mem_u64(os->mem, symbol, &os->interned);
	else if (os->rt->hexversion < 0x030c0000 && os->sizeof_key)
		os->interned = search_static_data(os);
}

ph_addr ph_objects_interned(const struct ph_objects *os, size_t interp)
{
	if (!interp)
		return os->interned;
	return has(os, PH_F_PyInterp_interned_strings)
		       ? m_u64(os, os->rt->interps[interp].address, PH_F_PyInterp_interned_strings) : 0;
}
