/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the instances of a type hold references, found out once for all of them: an
 * instance is then read without asking its layout again. The order is native_refs()'s,
 * which reads where labels are wanted; a test compares the two. */
#include "object_priv.h"

struct words PH_VEC(struct ph_type_word);

static bool word_add(struct words *w, const struct ph_type *t, uint32_t offset, ph_ref flags)
{
	return (uint64_t)offset + 8 > t->head_bytes || PH_VEC_PUSH(w, (struct ph_type_word){ flags, offset });
}

static bool slots_add(struct ph_objects *os, struct words *w, const struct ph_type *t, bool owned)
{
	bool ok = true;
	for (const struct ph_slot *s = t->kind ? t->kind->slots : NULL; s && s->label; s++)
		if (slot_is_owned(s, t) == owned && has(os, s->field))
			ok &= word_add(w, t, ph_layout_off(os->layout, s->field), owned ? PH_REF_OWNED : 0);
	return ok;
}

/* Read in another way: what depends on an instance's length, and what is not known. */
static bool is_other(const struct ph_type *t)
{
	return t->structseq || !t->kind || t->dict_mode == PH_DICT_FROM_END ||
	       (t->nslots && t->flags & TPFLAGS_TUPLE_SUBCLASS);
}

bool words_read(struct ph_objects *os, struct ph_type *t)
{
	struct words w = { 0 };
	bool ok = true;
	if (is_other(t))
		return true;
	for (size_t i = 0; i < t->nslots; i++)
		ok &= word_add(&w, t, t->slots[i].offset, 0);
	if (t->dict_mode == PH_DICT_SLOT)
		ok &= word_add(&w, t, (uint32_t)t->dictoffset, 0);
	t->words_end[PH_WORDS_BEFORE_DICT] = (uint32_t)w.n;
	if (t->visits_type)
		ok &= word_add(&w, t, os->off_type, 0);
	ok &= slots_add(os, &w, t, false);
	t->words_end[PH_WORDS_BEFORE_ITEMS] = (uint32_t)w.n;
	ok &= slots_add(os, &w, t, true);
	if (t->owns_type)
		ok &= word_add(&w, t, os->off_type, PH_REF_OWNED);
	t->words_end[PH_WORDS_LAST] = (uint32_t)w.n;
	t->words = w.items;
	t->words_known = true;
	return ok;
}

static void words_refs(const struct ph_object *o, uint32_t from, uint32_t to, struct ph_refs *out)
{
	if (!PH_VEC_RESERVE(out, to - from)) {
		out->nomem = true;
		return;
	}
	for (uint32_t i = from; i < to; i++) {
		const struct ph_type_word *w = &o->type->words[i];
		ph_ref ref = ph_load_u64(o->head + w->offset) & PH_REF_ADDR;
		if (ref)
			out->items[out->n++] = ref | w->flags;
	}
}

bool fast_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	const struct ph_type *t = o->type;
	const uint32_t *end = t->words_end;
	bool exact = t->refs_exact;
	if (t->dict_mode != PH_DICT_MANAGED && !t->kind->refs) {
		words_refs(o, 0, end[PH_WORDS_LAST], out);
		return exact;
	}
	words_refs(o, 0, end[PH_WORDS_BEFORE_DICT], out);
	if (t->dict_mode == PH_DICT_MANAGED && !managed_dict_refs(os, o, out))
		exact = false;
	words_refs(o, end[PH_WORDS_BEFORE_DICT], end[PH_WORDS_BEFORE_ITEMS], out);
	if (t->kind->refs && !t->kind->refs(os, o, out))
		exact = false;
	words_refs(o, end[PH_WORDS_BEFORE_ITEMS], end[PH_WORDS_LAST], out);
	return exact;
}
