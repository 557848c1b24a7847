/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding all objects: those on the gc lists are marked first, then one sweep in
 * address order follows every reference. What is met behind the sweep and may refer
 * to more waits on a stack; most of it is leaves (str, int), which never do. */
#include "build.h"

struct mark {
	struct ph_build *b;
	struct ph_objects *os;
	struct PH_VEC(ph_addr) todo;
	struct PH_VEC(ph_addr) asked; /* for their own code to be asked about them */
	uint64_t cursor;            /* linear: the sweep has passed everything up to here */
	bool answered;              /* what is scanned now was asked about before */
	struct ph_type **types;     /* types met since we last looked */
	bool nomem;
};

bool build_next(struct ph_cursor *c, uint64_t from, ph_addr *ret)
{
	uint64_t w = from / INDEX_SPAN;
	if (w >= c->index->nwords)
		return false;
	uint64_t bits = c->index->words[w].bits & ~0ull << (from / 8 & 63);
	while (!bits) {
		if (++w >= c->index->nwords)
			return false;
		bits = c->index->words[w].bits;
	}
	c->linear = w * INDEX_SPAN + 8 * (uint64_t)__builtin_ctzll(bits);
	const struct ph_segment *s = &c->mem->segs[c->seg];
	while (c->linear >= s->linear + (s->end - s->start))
		s = &c->mem->segs[++c->seg];
	*ret = s->start + (c->linear - s->linear);
	return true;
}

/* Marks an object of a known type that has no mark yet. */
static void mark_new(struct mark *m, ph_addr addr, uint64_t linear, const struct ph_type *t)
{
	ph_index_set(&m->b->index, linear);
	if (!t->leaf && linear <= m->cursor && !PH_VEC_PUSH(&m->todo, addr))
		m->nomem = true;
}

/* False when no object can be at addr. */
static bool mark_address(struct mark *m, ph_addr addr)
{
	uint64_t linear = ph_mem_linear(m->os->mem, addr);
	if (linear == PH_NOWHERE || addr & 7)
		return false;
	if (ph_index_has(&m->b->index, linear))
		return true;
	const struct ph_type *t = ph_object_type(m->os, addr);
	if (!t)
		return false;
	mark_new(m, addr, linear, t);
	return true;
}

/* Types are objects, too, and static ones may be held by nothing but their instances. */
static void mark_new_types(struct mark *m)
{
	while (*m->types) {
		struct ph_type *t = *m->types;
		m->types = &t->next;
		mark_address(m, t->address);
	}
}

static bool mark_listed(void *ctx, ph_addr addr, int generation)
{
	struct mark *m = ctx;
	uint64_t linear = ph_mem_linear(m->os->mem, addr);
	if (linear != PH_NOWHERE && !(addr & 7) && ph_index_has(&m->b->index, linear))
		return false;
	if (!mark_address(m, addr))
		ph_note(m->b->notes, PH_NOTE_BAD_OBJECT, addr);
	m->b->listed[generation]++;
	return true;
}

static void scan(struct mark *m, ph_addr addr)
{
	struct ph_refs *refs = &m->b->refs;
	struct ph_object o;
	const struct ph_type *t = ph_object_type(m->os, addr);
	if (!t || t->leaf || !ph_object_open(m->os, addr, t, &o))
		return;
	refs->n = 0;
	if (!m->answered && (ph_object_wants_replay(m->os, t, false) ||
			     (!ph_object_refs(m->os, &o, refs) && ph_object_wants_replay(m->os, t, true)))) {
		m->nomem |= !PH_VEC_PUSH(&m->asked, addr);
		return;
	}
	if (m->answered)
		ph_object_refs(m->os, &o, refs);
	for (size_t i = 0; i < refs->n; i++) {
		if (mark_address(m, refs->items[i] & PH_REF_ADDR))
			m->b->nedges++;
		else
			ph_note(m->b->notes, PH_NOTE_BAD_REFERENCE, addr);
	}
	mark_new_types(m);
}

static struct ph_err *scan_todo(struct mark *m)
{
	for (unsigned n = 0; m->todo.n; ) {
		scan(m, m->todo.items[--m->todo.n]);
		if (!(++n & 0xffff) && ph_interrupted)
			return ph_err_interrupted();
	}
	return NULL;
}

/* All at once: a round costs a switch between two processes. */
static struct ph_err *ask(struct mark *m)
{
	size_t n = m->asked.n;
	struct ph_err *err = ph_objects_replay(m->os, m->asked.items, n);
	m->answered = true;
	for (size_t i = 0; !err && i < n; i++) {
		scan(m, m->asked.items[i]);
		if (!(i & 0xffff) && ph_interrupted)
			err = ph_err_interrupted();
	}
	m->answered = false;
	m->asked.n = 0;
	return err;
}

static struct ph_err *sweep(struct mark *m)
{
	struct ph_cursor c = { .mem = m->os->mem, .index = &m->b->index };
	ph_addr addr;
	uint64_t from = 0;
	for (unsigned n = 0; build_next(&c, from, &addr); from = c.linear + 8) {
		m->cursor = c.linear;
		scan(m, addr);
		if (!(++n & 0xffff) && ph_interrupted)
			return ph_err_interrupted();
	}
	m->cursor = UINT64_MAX;
	struct ph_err *err = scan_todo(m);
	while (!err && m->asked.n) {
		err = ask(m);
		if (!err)
			err = scan_todo(m);
	}
	return err;
}

/* The dicts of interned strings hold no counts and keep none alive, but some str can
 * be found nowhere else: C code holds it. */
static void mark_interned(struct mark *m, ph_addr dict)
{
	struct ph_py_dict d;
	if (!dict || !ph_py_dict(m->b->rt, dict, &d))
		return;
	for (uint64_t i = 0; i < d.nentries; i++) {
		ph_addr key, value;
		ph_py_dict_entry(&d, i, &key, &value);
		if (key && !mark_address(m, key))
			ph_note(m->b->notes, PH_NOTE_BAD_REFERENCE, dict);
	}
}

struct ph_err *build_mark(struct ph_build *b)
{
	struct mark m = { .b = b, .os = b->os, .types = &b->os->first };
	b->index.nwords = b->os->mem->linear_size / INDEX_SPAN + 1;
	b->index.words = ph_big_alloc(b->index.nwords * sizeof *b->index.words);
	if (!b->index.words)
		return ph_err_nomem();
	ph_runtime_tracked(b->rt, 0, b->notes, mark_listed, &m);
	for (size_t i = 0; i < b->roots.n; i++)
		if (!mark_address(&m, b->roots.items[i].object))
			ph_note(b->notes, PH_NOTE_BAD_REFERENCE, b->roots.items[i].object);
	for (size_t i = 0; i < b->rt->ninterps; i++)
		mark_interned(&m, ph_objects_interned(b->os, i));
	mark_new_types(&m);
	struct ph_err *err = sweep(&m);
	ph_vec_free(&m.todo);
	ph_vec_free(&m.asked);
	if (!err && (m.nomem || b->os->nomem || b->refs.nomem))
		err = ph_err_nomem();
	return err;
}
