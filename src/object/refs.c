/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Collecting references: what all readers share. */
#include <stdio.h>
#include "object_priv.h"

void ph_refs_free(struct ph_refs *refs)
{
	free(refs->items);
	free(refs->labels);
	*refs = (struct ph_refs){ 0 };
}

/* Room for `more` references, all of which get this label (INDEX counts on). */
bool ph_refs_grow(struct ph_refs *out, size_t more, struct ph_ref_label label)
{
	if (!PH_VEC_RESERVE(out, more)) {
		out->nomem = true;
		return false;
	}
	if (!out->labelled)
		return true;
	if (out->labels_cap < out->cap) {
		struct ph_ref_label *p = reallocarray(out->labels, out->cap, sizeof *p);
		if (!p) {
			out->nomem = true;
			return false;
		}
		out->labels = p;
		out->labels_cap = out->cap;
	}
	for (size_t i = 0; i < more; i++) {
		out->labels[out->n + i] = label;
		if (label.kind == PH_LABEL_INDEX)
			label.index++;
	}
	return true;
}

bool refs_array(struct ph_objects *os, ph_addr items, uint64_t n, bool backwards, struct ph_refs *out)
{
	if (!n)
		return true;
	if (n > os->mem->whole_size / 8)
		return false;
	const uint8_t *p = ph_mem_at(os->mem, items, n * 8);
	if (!p)
		return false;
	if (!out->labelled && !PH_VEC_RESERVE(out, n)) {
		out->nomem = true;
		return false;
	}
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = backwards ? n - 1 - i : i;
		ref_add(out, ph_load_u64(p + 8 * at) & PH_REF_ADDR, LABEL(INDEX, .index = (int64_t)at));
	}
	return true;
}

/* A function's annotations are a tuple until somebody asks for them (3.10+), and then a dict. */
static const char *slot_label(struct ph_objects *os, const struct ph_slot *slot, ph_addr ref)
{
	if (slot->field != PH_F_PyFunction_func_annotations)
		return slot->label;
	const struct ph_type *t = ph_object_type(os, ref);
	return t && t->flags & TPFLAGS_TUPLE_SUBCLASS ? "<annotations>" : slot->label;
}

void refs_slots(struct ph_objects *os, const struct ph_object *o, const struct ph_slot *slots,
		bool owned, struct ph_refs *out)
{
	for (; slots->label; slots++) {
		if (slot_is_owned(slots, o->type) != owned || !has(os, slots->field))
			continue;
		uint64_t ref = o_u64(os, o, slots->field) & PH_REF_ADDR;
		ref_add(out, ref ? ref | (owned ? PH_REF_OWNED : 0) : 0,
			out->labelled ? ATTR(slot_label(os, slots, ref)) : ATTR(slots->label));
	}
}

/* ---- the order in which subtype_traverse visits (Objects/typeobject.c) --------- */

static bool python_slots(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	const struct ph_type *t = o->type;
	/* 3.15+: slots of a tuple's subclass, which none had before, follow its items */
	bool after_items = t->flags & TPFLAGS_TUPLE_SUBCLASS;
	uint64_t items = after_items ? (uint64_t)o_size(os, o) * t->itemsize : 0;
	for (size_t i = 0; i < t->nslots; i++) {
		uint64_t ref;
		if (!after_items)
			ref = ph_load_u64(o->head + t->slots[i].offset);
		else if (!ph_mem_u64(os->mem, o->address + t->slots[i].offset + items, &ref))
			return false;
		ref_add(out, ref & PH_REF_ADDR, LABEL(ATTR, .cstr = t->slots[i].name));
	}
	return true;
}

ph_addr dict_slot_from_end(struct ph_objects *os, const struct ph_object *o)
{
	const struct ph_type *t = o->type;
	int64_t n = t->itemsize ? o_size(os, o) : 0;
	if (t->flags & TPFLAGS_LONG_SUBCLASS && has(os, PH_F_PyLong_lv_tag))
		n = (int64_t)(o_u64(os, o, PH_F_PyLong_lv_tag) >> 3);
	if (n < 0)
		n = -n;
	if (n < 0 || (uint64_t)n > os->mem->whole_size)
		return 0;
	uint64_t end = (t->basicsize + (uint64_t)n * t->itemsize + 7) & ~7ull;
	return (uint64_t)-t->dictoffset <= end ? o->address + end + (uint64_t)t->dictoffset : 0;
}

static bool python_dict(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	const struct ph_type *t = o->type;
	uint64_t dict = 0;
	switch (t->dict_mode) {
	case PH_DICT_SLOT:
		dict = ph_load_u64(o->head + t->dictoffset);
		break;
	case PH_DICT_FROM_END: {
		ph_addr slot = dict_slot_from_end(os, o);
		if (!slot || !ph_mem_u64(os->mem, slot, &dict))
			return false;
		break;
	}
	case PH_DICT_MANAGED:
		return managed_dict_refs(os, o, out);
	}
	ref_add(out, dict & PH_REF_ADDR, LABEL(DICT, 0));
	return true;
}

static void type_ref(const struct ph_object *o, ph_ref flags, struct ph_refs *out)
{
	ref_add(out, o->type->address | flags, LABEL(TYPE, 0));
}

static bool structseq_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	return refs_array(os, o->address + ph_layout_off(os->layout, PH_F_PyTuple_ob_item),
			  o->type->structseq_fields, false, out);
}

bool native_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	const struct ph_type *t = o->type;
	const struct ph_kind *kind = t->kind;
	bool exact = t->refs_exact;
	if (t->words_known && !out->labelled)
		return fast_refs(os, o, out);
	if (t->nslots && !python_slots(os, o, out))
		exact = false;
	if (t->dict_mode != PH_DICT_NONE && !python_dict(os, o, out))
		exact = false;
	if (t->visits_type)
		type_ref(o, 0, out);
	if (t->structseq) {
		exact &= structseq_refs(os, o, out);
	} else if (kind) {
		if (kind->slots)
			refs_slots(os, o, kind->slots, false, out);
		if (kind->refs && !kind->refs(os, o, out))
			exact = false;
		if (kind->slots)
			refs_slots(os, o, kind->slots, true, out);
	} else {
		unknown_refs(os, o, out);
	}
	if (t->owns_type)
		type_ref(o, PH_REF_OWNED, out);
	return exact;
}

/* What its own code has told goes before what we cannot read. */
bool ph_object_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	size_t before = out->n;
	if (o->type->refs_exact && o->type->words_known && !out->labelled && fast_refs(os, o, out))
		return true;
	out->n = before;
	if (o->type->refs_exact) {
		if (native_refs(os, o, out))
			return true;
		if (!os->replayed)
			return false;
		out->n = before;
	}
	return replayed_refs(os, o, out) || native_refs(os, o, out);
}

/* ---- labels ------------------------------------------------------------------------ */

static bool is_bool(struct ph_objects *os, ph_addr o)
{
	const struct ph_type *t = ph_object_type(os, o);
	return t && t->kind && !strcmp(t->kind->name, "bool");
}

static void key_text(struct ph_objects *os, ph_addr key, char *buf, size_t max)
{
	char text[100];
	int64_t value;
	if (ph_py_str(os->rt, key, text, sizeof text))
		snprintf(buf, max, "'%s'", text);
	else if (ph_py_int(os->rt, key, &value) && is_bool(os, key))
		snprintf(buf, max, "%s", value ? "True" : "False");
	else if (ph_py_int(os->rt, key, &value))
		snprintf(buf, max, "%lld", (long long)value);
}

void ph_object_label(struct ph_objects *os, const struct ph_ref_label *l, struct ph_label *ret)
{
	*ret = (struct ph_label){ .kind = l->kind, .index = -1, .key = 0 };
	switch (l->kind) {
	case PH_LABEL_ATTR:
	case PH_LABEL_LOCAL:
	case PH_LABEL_CELL:
		ret->is_name = true;
		if (l->name)
			snprintf(ret->name, sizeof ret->name, "%s", l->name);
		else if (l->cstr)
			ph_mem_str(os->mem, l->cstr, ret->name, sizeof ret->name);
		else
			ph_py_str(os->rt, l->key, ret->name, sizeof ret->name);
		if (l->code)
			ph_py_where(os->rt, l->code, l->line, ret->of, sizeof ret->of);
		break;
	case PH_LABEL_STACK:
		if (l->code)
			ph_py_where(os->rt, l->code, l->line, ret->of, sizeof ret->of);
		break;
	case PH_LABEL_VALUE:
	case PH_LABEL_KEY:
		ret->key = l->key;
		key_text(os, l->key, ret->name, sizeof ret->name);
		break;
	case PH_LABEL_CACHE:
		snprintf(ret->name, sizeof ret->name, "%s", l->name);
		ret->is_name = true;
		break;
	case PH_LABEL_INDEX:
	case PH_LABEL_WORD:
	case PH_LABEL_REFERENT:
		ret->index = l->index;
		break;
	default:
		break;
	}
}

/* A function's cells are the last of its code's variables. */
bool ph_object_free_name(struct ph_objects *os, ph_addr function, uint64_t cell, uint64_t n,
			 struct ph_ref_label *ret)
{
	ph_addr code = m_u64(os, function, PH_F_PyFunction_func_code) & PH_REF_ADDR, names, key = 0;
	uint64_t all;
	*ret = LABEL(CELL, .code = code);
	names = has(os, PH_F_PyCode_co_localsplusnames) ? m_u64(os, code, PH_F_PyCode_co_localsplusnames)
							: m_u64(os, code, PH_F_PyCode_co_freevars);
	all = m_u64(os, names, PH_F_PyVarObject_ob_size);
	if (cell >= n || n > all || all > os->mem->whole_size / 8 ||
	    !ph_mem_u64(os->mem, names + ph_layout_off(os->layout, PH_F_PyTuple_ob_item) + 8 * (all - n + cell), &key))
		return false;
	ret->key = key;
	return true;
}
