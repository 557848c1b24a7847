/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our readers against the objects' own code: the cross-check that needs nobody's word,
 * on anybody's target. */
#include "object_priv.h"

#define BATCH 65536
#define AGAIN 64 /* that many are asked a second time */

struct verify {
	struct ph_objects *os;
	struct ph_refs native, labelled; /* scratch */
	uint64_t answers;
	/* What differs: code that ran before may have freed the object (a cache of names that
	 * were looked up holds some alone), so each is asked once more, in a fresh child. */
	struct PH_VEC(struct ph_replay_item) differing;
	bool again;
};

/* With labels an object is read in another way. */
static bool same_labelled(struct verify *v, const struct ph_object *o)
{
	v->labelled.labelled = true;
	v->labelled.n = 0;
	native_refs(v->os, o, &v->labelled);
	return v->labelled.n == v->native.n &&
	       !memcmp(v->labelled.items, v->native.items, v->native.n * sizeof *v->native.items);
}

/* In the order visited, repeats kept. */
static bool same_refs(struct verify *v, const struct ph_object *o, const uint64_t *values, size_t n)
{
	size_t k = 0;
	v->native.n = 0;
	if (!native_refs(v->os, o, &v->native))
		return true; /* it does not say that this is all */
	if (v->native.n && !same_labelled(v, o))
		return false;
	for (size_t i = 0; i < v->native.n; i++) {
		ph_ref ref = v->native.items[i];
		if (ref & PH_REF_OWNED)
			continue;
		if (k == n || (ref & PH_REF_ADDR) != values[k])
			return false;
		k++;
	}
	return k == n;
}

static bool same_size(struct verify *v, const struct ph_object *o, const struct ph_replay_item *item,
		      uint64_t value)
{
	uint64_t shallow, uncounted;
	return !ph_object_size(v->os, o, &shallow, &uncounted) ||
	       (replayed_believe(v->os, item, &value) && value == shallow);
}

static void compare(void *ctx, const struct ph_replay_item *item, enum ph_replay_status status,
		    const uint64_t *values, size_t n)
{
	struct verify *v = ctx;
	struct ph_type *t = ph_object_type(v->os, item->object);
	struct ph_object o;
	bool refs = item->kind == PH_REPLAY_TRAVERSE;
	if (status != PH_REPLAY_DONE && !v->again) {
		ph_note(v->os->notes, PH_NOTE_REPLAY_FAILED, item->object);
		return;
	}
	if (!t || !ph_object_open(v->os, item->object, t, &o))
		return;
	v->answers += !v->again;
	if (status == PH_REPLAY_DONE &&
	    (refs ? same_refs(v, &o, values, n) : n == 1 && same_size(v, &o, item, values[0])))
		return;
	if (!v->again && v->differing.n < AGAIN && PH_VEC_PUSH(&v->differing, *item))
		return;
	ph_note(v->os->notes, PH_NOTE_VERIFY_DIFFERS, item->object);
	if (!t->refs_differ && !t->sizes_differ)
		t->differs_at = item->object;
	t->refs_differ += refs;
	t->sizes_differ += !refs;
}

struct ph_err *ph_objects_verify(struct ph_objects *os, const ph_addr *addrs, size_t n, uint64_t *ret_answers)
{
	struct verify v = { .os = os };
	struct PH_VEC(struct ph_replay_item) items = { 0 };
	struct ph_replay_item item;
	struct ph_replay *child;
	struct ph_err *err = replayed_child(os, &child);
	for (int size = 0; !err && child && size < 2; size++) {
		for (size_t i = 0; !err && i < n; i++) {
			const struct ph_type *t = ph_object_type(os, addrs[i]);
			bool asks = t && (size ? t->sizer != NULL : t->whole && t->have_gc && t->traverse);
			if (asks && replayed_question(os, addrs[i], t, size, &item) &&
			    !PH_VEC_PUSH(&items, item))
				err = ph_err_nomem();
			if (!err && items.n && (items.n == BATCH || i == n - 1)) {
				err = ph_replay_run(child, items.items, items.n, compare, &v);
				items.n = 0;
			}
		}
	}
	v.again = true;
	for (size_t i = 0; !err && i < v.differing.n; i++) {
		ph_replay_renew(child);
		err = ph_replay_run(child, &v.differing.items[i], 1, compare, &v);
	}
	if (!err && (v.native.nomem || v.labelled.nomem))
		err = ph_err_nomem();
	ph_vec_free(&items);
	ph_vec_free(&v.differing);
	ph_refs_free(&v.native);
	ph_refs_free(&v.labelled);
	*ret_answers = v.answers;
	return err;
}
