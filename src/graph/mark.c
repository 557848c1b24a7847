/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding all objects: those on the gc lists are marked first, then one sweep in address
 * order follows every reference. Most of what it meets is on a list, too, or is a leaf
 * (str, int), which never refers to anything. The rest is read by whoever marks it: in the
 * sweep, if that is still to come to it, else from a stack.
 *
 * The sweep goes through chunks of the memory on several threads. The thread that sets an
 * object's mark is the one that sees to its reading, so each is read exactly once; the bits
 * that say what the sweep has yet to read are set by nobody but who has taken the chunk. */
#include "build.h"

#define STRANGERS_MAX 100 /* on the gc lists of a target that was not stopped */

struct mark {
	struct ph_build *b;
	struct ph_objects *os;
	struct ph_type **types; /* types met since we last looked */
	uint64_t next;          /* chunk to be taken */
};

/* One thread's. */
struct marker {
	struct mark *m;
	struct build_batch batch;
	uint64_t holders[BATCH]; /* where its objects are, linear */
	struct PH_VEC(ph_addr) todo;
	struct PH_VEC(ph_addr) asked; /* for their own code to be asked about them */
	struct build_torn_list torn;
	uint64_t word, end; /* of the index: the sweep will read what is marked between them */
	uint64_t listed[5]; /* objects on gc lists by generation */
	bool alone;         /* no other thread runs */
	bool shared;        /* one does, and these words are its, too */
	bool answered;      /* what is read now was asked about before */
	bool moving;        /* the target was not stopped */
	uint32_t strangers; /* met on gc lists */
	bool nomem;
} PH_OWN_LINES;

/* ---- what does not fit ------------------------------------------------------------------ */

static void remember(struct marker *k, ph_addr holder, ph_addr to)
{
	if (k->moving && k->torn.n < TORN_MAX)
		k->nomem |= !PH_VEC_PUSH(&k->torn, (struct build_torn){ holder, to });
}

static void bad_reference(struct marker *k, ph_addr holder, ph_addr to)
{
	ph_note(k->m->b->notes, PH_NOTE_BAD_REFERENCE, holder);
	remember(k, holder, to);
}

/* ---- marks ---------------------------------------------------------------------------- */

/* False when it was marked already, perhaps just now by another thread. */
static inline bool set_mark(struct marker *k, struct ph_index_word *w, uint64_t bit)
{
	if (!k->alone)
		return !(__atomic_fetch_or(&w->bits, bit, __ATOMIC_RELAXED) & bit);
	w->bits |= bit;
	return true;
}

/* Before the sweep the words are everybody's. */
static inline void set_unread(struct marker *k, struct ph_index_word *w, uint64_t bit)
{
	if (k->shared)
		__atomic_fetch_or(&w->unread, bit, __ATOMIC_RELAXED);
	else
		w->unread |= bit;
}

/* Marks an object of a known type that had no mark; false: another thread has just done it. */
static bool mark_new(struct marker *k, ph_addr addr, uint64_t linear, const struct ph_type *t)
{
	uint64_t at = linear / INDEX_SPAN;
	struct ph_index_word *w = &k->m->b->index.words[at];
	if (!set_mark(k, w, ph_index_bit(linear)))
		return false;
	if (t->leaf)
		return true;
	if (at >= k->word && at < k->end)
		set_unread(k, w, ph_index_bit(linear));
	else
		k->nomem |= !PH_VEC_PUSH(&k->todo, addr);
	return true;
}

/* False when no object can be there. */
static inline bool mark_at(struct marker *k, ph_addr addr, uint64_t linear)
{
	if (linear == PH_NOWHERE)
		return false;
	if (ph_index_has(&k->m->b->index, linear))
		return true;
	const struct ph_type *t = ph_object_type(k->m->os, addr);
	if (t)
		mark_new(k, addr, linear, t);
	return t != NULL;
}

static bool mark_address(struct marker *k, ph_addr addr)
{
	return mark_at(k, addr, addr & 7 ? PH_NOWHERE : ph_mem_linear(k->m->os->mem, addr));
}

/* Types are objects, too, and static ones may be held by nothing but their instances. */
static void mark_new_types(struct marker *k)
{
	struct mark *m = k->m;
	while (*m->types) {
		struct ph_type *t = *m->types;
		m->types = &t->next;
		mark_address(k, t->address);
	}
}

/* ---- reading ----------------------------------------------------------------------------- */

/* Whether its own code is to be asked. Readers of containers fail when these are torn, and
 * their code would find as many references in any memory. */
static bool is_asked(struct marker *k, const struct ph_object *o)
{
	struct ph_objects *os = k->m->os;
	if (ph_object_wants_replay(os, o->type, false))
		return true;
	if (ph_object_refs(os, o, &k->batch.refs))
		return false;
	if (!k->moving || o->type->cls != PH_TYPE_CONTAINER)
		return ph_object_wants_replay(os, o->type, true);
	remember(k, o->address, o->address);
	return false;
}

/* Takes an object's references up into the batch. */
static void gather(struct marker *k, ph_addr addr, uint64_t linear)
{
	struct ph_objects *os = k->m->os;
	struct ph_refs *refs = &k->batch.refs;
	struct ph_object o;
	size_t before = refs->n;
	if (!ph_object_at(os, addr, &o) || o.type->leaf)
		return;
	if (!k->answered && is_asked(k, &o)) {
		k->nomem |= !PH_VEC_PUSH(&k->asked, addr);
		refs->n = before;
		return;
	}
	if (k->answered)
		ph_object_refs(os, &o, refs);
	k->holders[k->batch.n] = linear;
	build_batch_end(k->m->b, &k->batch);
}

/* Marks what the objects of the batch refer to. */
static void follow(struct marker *k)
{
	struct ph_build *b = k->m->b;
	const struct build_batch *batch = &k->batch;
	const uint64_t *at = batch->linear.items, asked = batch->linear.n;
	uint64_t edges = 0;
	size_t i = 0;
	for (unsigned j = 0; j < batch->n; j++) {
		uint64_t chunk = k->holders[j] / CHUNK_BYTES;
		for (; i < batch->ends[j] && !ph_interrupted_at(i); i++) {
			ph_addr to = batch->refs.items[i] & PH_REF_ADDR;
			if (mark_at(k, to, i < asked ? at[i] : build_batch_late(b, batch, i)))
				edges++;
			else
				bad_reference(k, ph_mem_addr(b->os->mem, k->holders[j]), to);
		}
		if (ph_interrupted) /* of no list of millions are all followed then */
			break;
		if (j + 1 < batch->n && chunk == k->holders[j + 1] / CHUNK_BYTES)
			continue;
		__atomic_fetch_add(&b->chunks[chunk].edges, edges, __ATOMIC_RELAXED);
		edges = 0;
	}
	build_batch_clear(&k->batch);
}

static void scan_todo(struct marker *k)
{
	while (k->todo.n || k->batch.n) {
		if (!k->todo.n || k->batch.n == BATCH) {
			follow(k);
			if (ph_interrupted)
				return;
			continue;
		}
		ph_addr addr = k->todo.items[--k->todo.n];
		gather(k, addr, ph_mem_linear(k->m->os->mem, addr));
	}
}

static void sweep_chunk(struct marker *k, uint64_t chunk)
{
	struct ph_build *b = k->m->b;
	struct build_cursor c = { .mem = b->os->mem };
	k->end = build_chunk_end(b, chunk);
	for (k->word = build_chunk_first(chunk); k->word < k->end; k->word++) {
		struct ph_index_word *w = &b->index.words[k->word];
		bool last = k->word + 1 == k->end;
		while (w->unread || (last && k->batch.n)) {
			if (!w->unread || k->batch.n == BATCH) {
				follow(k); /* more may be unread then */
				continue;
			}
			uint64_t linear = k->word * INDEX_SPAN + 8 * (uint64_t)__builtin_ctzll(w->unread);
			w->unread &= w->unread - 1;
			gather(k, build_address(&c, linear), linear);
		}
	}
}

/* Those that have been found by now. */
static uint64_t chunk_objects(const struct ph_build *b, uint64_t chunk)
{
	uint64_t n = 0;
	for (uint64_t w = build_chunk_first(chunk); w < build_chunk_end(b, chunk); w++)
		n += (uint64_t)__builtin_popcountll(__atomic_load_n(&b->index.words[w].bits, __ATOMIC_RELAXED));
	return n;
}

static void sweep(void *markers, unsigned index)
{
	struct marker *k = (struct marker *)markers + index;
	uint64_t chunk;
	while (build_take(k->m->b, &k->m->next, &chunk)) {
		sweep_chunk(k, chunk);
		scan_todo(k);
		ph_progress_count(1, chunk_objects(k->m->b, chunk));
	}
}

/* ---- what readers cannot tell ------------------------------------------------------------- */

int build_by_address(const void *pa, const void *pb)
{
	ph_addr a = *(const ph_addr *)pa, b = *(const ph_addr *)pb;
	return (a > b) - (a < b);
}

/* All at once: a round costs a switch between two processes. */
static struct ph_err *ask(struct marker *k)
{
	size_t n = k->asked.n;
	qsort(k->asked.items, n, sizeof *k->asked.items, build_by_address);
	struct ph_err *err = ph_objects_replay(k->m->os, k->asked.items, n);
	k->answered = true;
	for (size_t i = 0; !err && i < n; i++) {
		gather(k, k->asked.items[i], ph_mem_linear(k->m->os->mem, k->asked.items[i]));
		if (k->batch.n == BATCH || i + 1 == n)
			follow(k);
		if (!(i & 0xffff) && ph_interrupted)
			err = ph_err_interrupted();
	}
	k->answered = false;
	k->asked.n = 0;
	return err;
}

static void torn_hand_over(struct marker *k)
{
	struct build_torn_list *found = &k->m->b->reread.found;
	for (size_t i = 0; i < k->torn.n; i++)
		k->nomem |= !PH_VEC_PUSH(found, k->torn.items[i]);
	k->torn.n = 0;
}

/* Whether all is to be marked anew, in memory that fits together better. */
static bool torn_again(struct marker *k)
{
	torn_hand_over(k);
	return k->moving && !k->nomem && build_reread(k->m->b);
}

/* What the sweep has left, until there is nothing new. Their own code sees the memory as it
 * is when it is asked first: what is to be read again is read before. */
static struct ph_err *finish(struct marker *k, bool *ret_again)
{
	struct ph_err *err = NULL;
	k->alone = true;
	do {
		mark_new_types(k);
		scan_todo(k);
		bool seen = !k->todo.n && !*k->m->types && !ph_interrupted;
		if (seen && (*ret_again = torn_again(k)))
			return NULL;
		if (seen && k->asked.n)
			err = ask(k);
		if (!err && ph_interrupted)
			err = ph_err_interrupted();
	} while (!err && (k->todo.n || k->asked.n || *k->m->types));
	torn_hand_over(k);
	return err;
}

/* ---- what is known to be one ------------------------------------------------------------------ */

static void list_broken(void *ctx, ph_addr link)
{
	struct marker *k = ctx;
	remember(k, link, link + k->m->os->head_size);
}

static bool mark_listed(void *ctx, ph_addr addr, int generation, uint32_t interp)
{
	struct marker *k = ctx;
	struct ph_build *b = k->m->b;
	uint64_t linear = addr & 7 ? PH_NOWHERE : ph_mem_linear(b->os->mem, addr);
	const struct ph_type *t;
	if (linear != PH_NOWHERE && ph_index_has(&b->index, linear))
		return false;
	if (linear != PH_NOWHERE && (t = ph_object_type(b->os, addr))) {
		if (!mark_new(k, addr, linear, t))
			return false;
	} else {
		ph_note(b->notes, PH_NOTE_BAD_OBJECT, addr);
		remember(k, addr, addr);
		/* the links of what was freed meanwhile lead anywhere, and round in circles */
		if (k->moving && ++k->strangers > STRANGERS_MAX)
			return false;
	}
	k->listed[generation]++;
	return true;
}

/* Before the sweep all words are still to be read, by whoever it will be. */
static void begin_everywhere(struct marker *k, bool alone)
{
	k->end = k->m->b->index.nwords;
	k->alone = alone;
	k->shared = !alone;
}

/* It may be that it is left no chunk to sweep: then nothing is. */
static void end_everywhere(struct marker *k)
{
	k->end = 0;
	k->alone = k->m->b->workers == 1;
	k->shared = false;
}

/* On two threads where that is possible. */
static void mark_lists(struct marker *markers)
{
	struct ph_build *b = markers->m->b;
	bool alone = b->workers == 1 || b->rt->collecting || markers->moving;
	begin_everywhere(&markers[0], alone);
	if (alone) {
		ph_runtime_lists(b->rt, 0, b->notes, mark_listed, list_broken, &markers[0]);
		return;
	}
	begin_everywhere(&markers[1], false);
	ph_runtime_tracked_both(b->rt, b->notes, mark_listed, (void *[]){ &markers[0], &markers[1] });
	end_everywhere(&markers[1]);
}

/* The dicts of interned strings hold no counts and keep none alive, but some str can
 * be found nowhere else: C code holds it. */
static void mark_interned(struct marker *k, ph_addr dict)
{
	struct ph_build *b = k->m->b;
	struct ph_py_dict d;
	if (!dict || !ph_py_dict(b->rt, dict, &d))
		return;
	for (uint64_t i = 0; i < d.nentries; i++) {
		ph_addr key, value;
		ph_py_dict_entry(&d, i, &key, &value);
		if (key && !mark_address(k, key))
			bad_reference(k, dict, key);
	}
}

static void mark_known(struct marker *markers)
{
	struct marker *k = &markers[0];
	struct ph_build *b = k->m->b;
	mark_lists(markers);
	begin_everywhere(k, true);
	for (size_t i = 0; i < b->roots.n; i++)
		if (!mark_address(k, b->roots.items[i].object)) {
			ph_note(b->notes, PH_NOTE_BAD_REFERENCE, b->roots.items[i].object);
			remember(k, b->roots.items[i].at, b->roots.items[i].object);
		}
	for (size_t i = 0; i < b->rt->ninterps; i++)
		mark_interned(k, ph_objects_interned(b->os, i));
	mark_new_types(k);
	end_everywhere(k);
}

/* ---- all together ---------------------------------------------------------------------------------- */

/* What the other threads have left becomes the first one's. */
static void join(struct marker *markers, unsigned n)
{
	struct marker *first = &markers[0];
	for (unsigned i = 1; i < n; i++) {
		struct marker *k = &markers[i];
		for (size_t j = 0; j < k->asked.n; j++)
			first->nomem |= !PH_VEC_PUSH(&first->asked, k->asked.items[j]);
		for (size_t j = 0; j < k->todo.n; j++) /* after Ctrl-C */
			first->nomem |= !PH_VEC_PUSH(&first->todo, k->todo.items[j]);
		for (size_t j = 0; j < k->torn.n; j++)
			first->nomem |= !PH_VEC_PUSH(&first->torn, k->torn.items[j]);
	}
}

struct ph_err *build_mark(struct ph_build *b, bool *ret_again)
{
	struct mark m = { .b = b, .os = b->os, .types = &b->os->first };
	struct marker markers[PH_WORKERS_MAX];
	bool indexed = ph_index_init(&b->index, b->os->mem->linear_size);
	b->nchunks = (b->index.nwords + CHUNK_WORDS - 1) / CHUNK_WORDS;
	b->chunks = calloc(b->nchunks, sizeof *b->chunks);
	if (!indexed || !b->chunks)
		return ph_err_nomem();
	for (unsigned i = 0; i < b->workers; i++)
		markers[i] = (struct marker){ .m = &m, .moving = ph_target_moving(b->rt->target) };
	ph_progress_begin(PH_PROGRESS_OBJECTS, 2 * b->nchunks); /* fill.c takes them once more */
	mark_known(markers);
	ph_parallel(b->workers, sweep, markers);
	join(markers, b->workers);
	struct ph_err *err = ph_interrupted ? ph_err_interrupted() : finish(&markers[0], ret_again);
	bool nomem = b->os->nomem;
	for (unsigned i = 0; i < b->workers; i++) {
		nomem |= markers[i].nomem || markers[i].batch.refs.nomem;
		for (unsigned g = 0; g < sizeof b->listed / sizeof *b->listed; g++)
			b->listed[g] += markers[i].listed[g];
		ph_vec_free(&markers[i].todo);
		ph_vec_free(&markers[i].asked);
		ph_vec_free(&markers[i].torn);
		build_batch_free(&markers[i].batch);
	}
	return !err && nomem ? ph_err_nomem() : err;
}
