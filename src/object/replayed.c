/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What no reader of ours can tell, the object's own tp_traverse and __sizeof__ tell,
 * run on a copy in a sealed child (replay.h). What comes back are words: references
 * are checked where they are used, like those that we read. */
#include "object_priv.h"

#define SIZE_MAX_BELIEVED (1ull << 44)
#define SORT_ABOVE 16 /* values; fewer are looked through one by one */
#define MATCH_STEPS 64
#define CHUNK 65536   /* questions */
#define BUFFERS 4     /* times the memory: buffers need not be there in whole */
#define NOWHERE 1     /* no object is at an odd address */

/* ---- the store ------------------------------------------------------------------- */

struct answer {
	ph_addr address;
	uint64_t first;   /* of its values */
	uint64_t size;
	uint32_t n;
	bool has_refs, has_size, has_buffer;
};
struct ph_replayed {
	struct ph_replay *replay;
	struct ph_replay_item prelude[CHILD_PRELUDE];
	ph_addr getsizeof;  /* _PySys_GetSizeOf, 0 = not exported */
	ph_addr as_size;    /* PyLong_AsSsize_t */
	struct PH_VEC(struct answer) answers;
	struct PH_VEC(uint64_t) values;
	uint32_t *slots;    /* [nslots] hash by address of answers, index + 1 */
	size_t nslots;
	uint64_t believed;  /* bytes: sum of all sizes */
	uint64_t buffers;   /* bytes: sum of those whose buffers may be looked at */
	size_t last;        /* the answer found last: objects are asked about in one order again and again */
	struct PH_VEC(struct ph_replay_item) items;
	struct ph_refs native; /* scratch, for labels */
	struct PH_VEC(uint64_t) sorted;
	bool nomem;
};

static size_t slot_at(const struct ph_replayed *r, ph_addr address)
{
	size_t i = (address >> 3) * 0x9e3779b97f4a7c15u >> 20 & (r->nslots - 1);
	while (r->slots[i] && r->answers.items[r->slots[i] - 1].address != address)
		i = (i + 1) & (r->nslots - 1);
	return i;
}

static bool slots_grow(struct ph_replayed *r, size_t answers)
{
	size_t n = 1024;
	while (n < answers * 2)
		n *= 2;
	if (n <= r->nslots)
		return true;
	free(r->slots);
	r->slots = calloc(n, sizeof *r->slots);
	r->nslots = r->slots ? n : 0;
	for (size_t i = 0; r->slots && i < r->answers.n; i++)
		r->slots[slot_at(r, r->answers.items[i].address)] = (uint32_t)i + 1;
	return r->slots != NULL;
}

static struct answer *answer_find(struct ph_replayed *r, ph_addr address)
{
	for (size_t i = r->last; i < r->last + 2 && i < r->answers.n; i++)
		if (r->answers.items[i].address == address) {
			r->last = i;
			return &r->answers.items[i];
		}
	uint32_t i = r->nslots ? r->slots[slot_at(r, address)] : 0;
	if (!i)
		return NULL;
	r->last = i - 1;
	return &r->answers.items[i - 1];
}

static const struct answer *answer_of(const struct ph_objects *os, ph_addr address)
{
	return os->replayed ? answer_find(os->replayed, address) : NULL;
}

/* ---- the child ------------------------------------------------------------------------ */

struct ph_err *replayed_child(struct ph_objects *os, struct ph_replay **ret)
{
	*ret = os->replayed ? os->replayed->replay : NULL;
	if (*ret || os->options->refused)
		return NULL;
	struct ph_replayed *r = calloc(1, sizeof *r);
	if (!r)
		return ph_err_nomem();
	struct ph_err *err = child_start(os, r->prelude, &r->replay);
	if (err) {
		free(r);
		if (ph_err_code(err) != PH_ERR_REFUSED)
			return err;
		os->options->refused = err;
		return NULL;
	}
	r->getsizeof = child_symbol(os, "_PySys_GetSizeOf");
	r->as_size = child_symbol(os, "PyLong_AsSsize_t");
	os->replayed = r;
	*ret = r->replay;
	return NULL;
}

struct ph_err *ph_objects_try_replay(struct ph_objects *os)
{
	struct ph_replay *replay;
	struct ph_err *err = replayed_child(os, &replay);
	if (err || !os->options->refused)
		return err;
	return ph_err_new(PH_ERR_REFUSED, "%s", ph_err_message(os->options->refused));
}

void replayed_free(struct ph_objects *os)
{
	struct ph_replayed *r = os->replayed;
	if (!r)
		return;
	ph_replay_close(r->replay);
	ph_vec_free(&r->answers);
	ph_vec_free(&r->values);
	ph_vec_free(&r->items);
	ph_vec_free(&r->sorted);
	ph_refs_free(&r->native);
	free(r->slots);
	free(r);
	os->replayed = NULL;
}

/* ---- asking ----------------------------------------------------------------------------- */

static bool has_traverse(const struct ph_type *t)
{
	return t->have_gc && t->traverse;
}

/* Not where a reader tells all: of some types it does not for some objects. */
static bool asks_refs(struct ph_objects *os, ph_addr address, const struct ph_type *t)
{
	struct ph_refs *scratch = &os->replayed->native;
	struct ph_object o;
	if (!has_traverse(t) || is_interned_dict(os, address) || !ph_object_open(os, address, t, &o))
		return false;
	scratch->n = 0;
	scratch->labelled = false;
	return !t->refs_exact || !native_refs(os, &o, scratch);
}

/* Tags: one a type and question; 0 is the prelude's. */
static uint32_t tag_of(const struct ph_type *t, bool size)
{
	return 2 * t->number + 1 + size;
}

/* A size comes from the C function behind __sizeof__; a __sizeof__ in Python is never run.
 * What sys.getsizeof calls is the last resort: it binds a method, which counts a reference
 * in the object (a page is copied), and can throw a name out of the cache of methods,
 * which may have been the last to hold it. */
bool replayed_question(const struct ph_objects *os, ph_addr address, const struct ph_type *t, bool size,
		       struct ph_replay_item *ret)
{
	const struct ph_replayed *r = os->replayed;
	if (!size)
		*ret = (struct ph_replay_item){ address, t->traverse, t->is_gc, PH_REPLAY_TRAVERSE, 0 };
	else if (t->sizeof_method && r->as_size)
		*ret = (struct ph_replay_item){ address, t->sizeof_method, r->as_size, PH_REPLAY_METHOD, 0 };
	else
		*ret = (struct ph_replay_item){ address, t->python_sizeof ? 0 : r->getsizeof, 0, PH_REPLAY_CALL, 0 };
	ret->tag = tag_of(t, size);
	return ret->function;
}

bool replayed_believe(struct ph_objects *os, const struct ph_replay_item *item, uint64_t *size)
{
	const struct ph_type *t = ph_object_type(os, item->object);
	struct ph_object o;
	if (*size > SIZE_MAX_BELIEVED || !t || !ph_object_open(os, item->object, t, &o))
		return false;
	if (item->kind == PH_REPLAY_METHOD)
		*size += pre_size(os, &o);
	return true;
}

/* The answer of an object, empty when it is the first. */
static struct answer *answer_at(struct ph_replayed *r, ph_addr address)
{
	struct answer *a = answer_find(r, address);
	if (a)
		return a;
	if (r->answers.n >= UINT32_MAX - 1 || !slots_grow(r, r->answers.n + 1) ||
	    !PH_VEC_PUSH(&r->answers, (struct answer){ .address = address })) {
		r->nomem = true;
		return NULL;
	}
	r->last = r->answers.n - 1;
	r->slots[slot_at(r, address)] = (uint32_t)r->answers.n;
	return &r->answers.items[r->last];
}

static void keep_refs(struct ph_objects *os, struct answer *a, const uint64_t *values, size_t n)
{
	struct ph_replayed *r = os->replayed;
	/* no more references than the memory has words */
	if (r->values.n + n > os->mem->whole_size / 8 || !PH_VEC_RESERVE(&r->values, n)) {
		r->nomem |= r->values.n + n <= os->mem->whole_size / 8;
		return;
	}
	a->first = r->values.n;
	a->n = (uint32_t)n;
	a->has_refs = true;
	/* what cannot be an address leads nowhere, and is noted there */
	for (size_t i = 0; i < n; i++)
		r->values.items[r->values.n++] = values[i] & ~PH_REF_ADDR ? NOWHERE : values[i];
}

/* All sizes together are no more than there are addresses. */
static void keep_size(struct ph_objects *os, struct answer *a, const struct ph_replay_item *item, uint64_t size)
{
	if (!replayed_believe(os, item, &size) || size > (1ull << PH_ADDR_BITS) - os->replayed->believed)
		return;
	struct ph_replayed *r = os->replayed;
	r->believed += size;
	/* what many say they own is looked at for few of them */
	uint64_t budget = BUFFERS * os->mem->whole_size;
	a->has_buffer = !a->has_size && size <= os->mem->whole_size && size <= budget - r->buffers;
	r->buffers += a->has_buffer ? size : 0;
	a->size = size;
	a->has_size = true;
}

static void keep(void *ctx, const struct ph_replay_item *item, enum ph_replay_status status,
		 const uint64_t *values, size_t n)
{
	struct ph_objects *os = ctx;
	struct answer *a = status == PH_REPLAY_DONE ? answer_at(os->replayed, item->object) : NULL;
	if (status != PH_REPLAY_DONE)
		ph_note(os->notes, PH_NOTE_REPLAY_FAILED, item->object);
	else if (a && item->kind == PH_REPLAY_TRAVERSE)
		keep_refs(os, a, values, n);
	else if (a && n == 1)
		keep_size(os, a, item, values[0]);
}

/* ---- one file's code after the other ------------------------------------------------------ */

static int by_function(const void *a, const void *b)
{
	const struct ph_replay_item *x = a, *y = b;
	bool size_x = x->kind != PH_REPLAY_TRAVERSE, size_y = y->kind != PH_REPLAY_TRAVERSE;
	if (size_x != size_y) /* sizes last: they write to the copy */
		return size_x - size_y;
	return (x->function > y->function) - (x->function < y->function);
}

/* Whose code may lie shall lie for its own file only. */
static struct ph_err *run_separate(struct ph_objects *os)
{
	struct ph_replayed *r = os->replayed;
	struct ph_err *err = NULL;
	size_t from = 0;
	if (r->items.n)
		qsort(r->items.items, r->items.n, sizeof *r->items.items, by_function);
	while (!err && from < r->items.n) {
		const struct ph_module *m = ph_target_module_at(os->rt->target, r->items.items[from].function);
		size_t to = from + 1;
		while (to < r->items.n && m && r->items.items[to].function < m->end &&
		       r->items.items[to].function >= m->start)
			to++;
		ph_replay_renew(r->replay);
		err = ph_replay_run(r->replay, r->items.items + from, to - from, keep, os);
		from = to;
	}
	return err;
}

/* Few at a time, unless they are to be sorted. */
static struct ph_err *flush(struct ph_objects *os, size_t above)
{
	struct ph_replayed *r = os->replayed;
	if (r->items.n <= above)
		return NULL;
	struct ph_err *err = os->options->separate ? run_separate(os)
			     : ph_replay_run(r->replay, r->items.items, r->items.n, keep, os);
	r->items.n = 0;
	return err;
}

static struct ph_err *ask(struct ph_objects *os, const ph_addr *addrs, size_t n)
{
	struct ph_replay *child;
	struct ph_err *err = replayed_child(os, &child);
	if (err || !child)
		return err;
	struct ph_replayed *r = os->replayed;
	struct ph_replay_item item;
	/* references first: code that tells sizes writes to the copy */
	for (int size = 0; !err && size < 2; size++)
		for (size_t i = 0; !err && i < n; i++) {
			const struct ph_type *t = ph_object_type(os, addrs[i]);
			if (!t || (size ? t->sizer != NULL : !asks_refs(os, addrs[i], t)) ||
			    !replayed_question(os, addrs[i], t, size, &item))
				continue;
			r->nomem |= !PH_VEC_PUSH(&r->items, item);
			err = flush(os, os->options->separate ? SIZE_MAX : CHUNK - 1);
		}
	if (!err)
		err = flush(os, 0);
	return !err && r->nomem ? ph_err_nomem() : err;
}

struct ph_err *ph_objects_replay(struct ph_objects *os, const ph_addr *addrs, size_t n)
{
	uint64_t start = ph_now_ns();
	struct ph_err *err = ask(os, addrs, n);
	os->options->replay_ns += ph_now_ns() - start;
	return err;
}

/* ---- answering ------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static bool is_visited(struct ph_replayed *r, const struct answer *a, uint64_t word)
{
	const uint64_t *values = r->values.items + a->first;
	if (a->n > SORT_ABOVE)
		return bsearch(&word, r->sorted.items, a->n, sizeof word, by_value) != NULL;
	for (uint32_t i = 0; i < a->n; i++)
		if (values[i] == word)
			return true;
	return false;
}

static bool sort_visited(struct ph_replayed *r, const struct answer *a)
{
	if (a->n <= SORT_ABOVE)
		return true;
	r->sorted.n = 0;
	if (!PH_VEC_RESERVE(&r->sorted, a->n))
		return false;
	memcpy(r->sorted.items, r->values.items + a->first, a->n * sizeof *r->sorted.items);
	qsort(r->sorted.items, a->n, sizeof *r->sorted.items, by_value);
	return true;
}

/* The label of the same reference as we would have found it (our own reading goes
 * through the object in nearly the same order), else its number. */
static struct ph_ref_label label_of(struct ph_objects *os, const struct ph_object *o, size_t *at, uint64_t value,
				    uint32_t number)
{
	const struct ph_refs *native = &os->replayed->native;
	for (size_t i = 0; native->labelled && i < MATCH_STEPS && i < native->n; i++) {
		size_t k = (*at + i) % native->n;
		if ((native->items[k] & PH_REF_ADDR) != value)
			continue;
		*at = k + 1;
		if (native->labels[k].kind != PH_LABEL_WORD)
			return native->labels[k];
	}
	/* the one thing in a task of asyncio's that people ask for */
	const struct ph_type *t = ph_object_type(os, value);
	if (t && t->kind && !strcmp(t->kind->name, "coroutine") && !strcmp(o->type->name, "_asyncio.Task"))
		return ATTR("_coro");
	return LABEL(REFERENT, .index = number);
}

static bool read_natively(struct ph_objects *os, const struct ph_object *o, bool labelled)
{
	struct ph_refs *native = &os->replayed->native;
	native->labelled = labelled;
	native->n = 0;
	native_refs(os, o, native);
	return !native->nomem;
}

static bool answered_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	const struct answer *a = answer_of(os, o->address);
	if (!a || !a->has_refs)
		return false;
	struct ph_replayed *r = os->replayed;
	const struct ph_type *t = o->type;
	size_t at = 0;
	if (!read_natively(os, o, out->labelled) || !sort_visited(r, a)) {
		out->nomem = true;
		return false;
	}
	for (uint32_t i = 0; i < a->n; i++) {
		uint64_t value = r->values.items[a->first + i];
		ref_add(out, value, label_of(os, o, &at, value, i));
	}
	/* what it holds and does not visit: its type, and what else we see in it */
	if (t->heap && !is_visited(r, a, t->address))
		ref_add(out, t->address | PH_REF_OWNED, LABEL(TYPE, 0));
	for (size_t i = 0; i < r->native.n; i++) {
		ph_ref ref = r->native.items[i], addr = ref & PH_REF_ADDR;
		bool scanned = ref & PH_REF_BORROWED && !t->refs_exact;
		if ((ref & PH_REF_OWNED || scanned) && addr != t->address && !is_visited(r, a, addr))
			ref_add(out, ref | PH_REF_OWNED, out->labelled ? r->native.labels[i] : LABEL(NONE, 0));
	}
	return true;
}

/* Looking up and comparing need what is one for all threads. */
bool replayed_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out)
{
	if (!os->replayed)
		return false;
	pthread_mutex_lock(&os->lock);
	bool told = answered_refs(os, o, out);
	pthread_mutex_unlock(&os->lock);
	return told;
}

static bool answered_size(struct ph_objects *os, const struct ph_object *o, bool buffer, uint64_t *ret)
{
	if (!os->replayed)
		return false;
	pthread_mutex_lock(&os->lock);
	const struct answer *a = answer_of(os, o->address);
	bool told = a && a->has_size && (a->has_buffer || !buffer);
	if (told)
		*ret = a->size;
	pthread_mutex_unlock(&os->lock);
	return told;
}

bool replayed_size(struct ph_objects *os, const struct ph_object *o, uint64_t *ret_shallow)
{
	return answered_size(os, o, false, ret_shallow);
}

bool replayed_buffer(struct ph_objects *os, const struct ph_object *o, uint64_t *ret_size)
{
	return answered_size(os, o, true, ret_size);
}
