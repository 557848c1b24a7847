/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words outside the object graph that may hold a counted reference: those of the
 * interpreter, then those of C code. What a search of memory finds is a candidate
 * only. Facts: Include/internal/pycore_{interp,typeobject,atexit}.h, Include/moduleobject.h. */
#include <stdio.h>
#include "runtime_priv.h"

#define MAX_THREADS 65536
#define MAX_FRAMES 1000000 /* of one thread */
#define MAX_SLOTS (1u << 16) /* temporaries of one frame */
#define MAX_STATE (1u << 20) /* bytes of a module's state */
#define MAX_ATEXIT 65536
#define MAX_IDS 65536
#define MAX_STACK (64u << 20) /* bytes of a thread's stack */
#define MAX_BASES 512
#define MAX_OBJECT 65536 /* bytes */
#define MAX_ITEMS 1024 /* of one tuple */
#define CHUNK 4096
/* bytes of unknown structs that are looked at */
#define BEHIND_STATE 1024
#define BEHIND_OBJECT 256

struct range {
	ph_addr start, end;
};

struct holders {
	const struct ph_runtime *rt;
	ph_holder_fn *fn;
	void *ctx;
	ph_addr tuple_type;
	struct PH_VEC(struct range) without; /* never searched; by address */
	uint64_t budget; /* bytes that searches may still look at */
	bool nomem;
};

/* ---- what is not searched -------------------------------------------------------------- */

static struct range member_range(const struct ph_runtime *rt, ph_addr base, enum ph_field f)
{
	struct ph_member m = rt->layout->field[f];
	return m.present ? (struct range){ base + m.offset, base + m.offset + m.size } : (struct range){ 0, 0 };
}

/* The cache of attributes: a member of the interpreter's state, or up to 3.9 a static variable. */
static struct range type_cache_range(const struct ph_runtime *rt, ph_addr interp)
{
	ph_addr at;
	uint64_t size;
	if (!rt_has(rt, PH_F_PyInterp_type_cache) &&
	    ph_runtime_symbol(rt, "method_cache", &at, &size) && size <= MAX_STATE)
		return (struct range){ at, at + size };
	return member_range(rt, interp, PH_F_PyInterp_type_cache);
}

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

static void without_add(struct holders *h, struct range r)
{
	if (r.start < r.end && !PH_VEC_PUSH(&h->without, r))
		h->nomem = true;
}

static ph_addr tuple_type(const struct ph_runtime *rt)
{
	return rt_field(rt, rt_field(rt, rt->type_type, PH_F_PyType_tp_mro), PH_F_PyObject_ob_type);
}

/* What static types hold are edges of theirs; what caches hold is borrowed, but for
 * the names of attributes. */
static void holders_init(struct holders *h, const struct ph_runtime *rt, ph_holder_fn *fn, void *ctx)
{
	static const enum ph_field fields[] = { PH_F_PyInterp_static_types, PH_F_PyInterp_extension_types,
						PH_F_PyInterp_type_versions, PH_F_PyInterp_func_versions };
	/* the places that are searched hardly overlap, but in a forged core they may */
	*h = (struct holders){ .rt = rt, .fn = fn, .ctx = ctx, .budget = 4 * rt->mem->whole_size };
	h->tuple_type = tuple_type(rt);
	for (size_t i = 0; i < rt->ninterps; i++) {
		ph_addr interp = rt->interps[i].address;
		without_add(h, type_cache_range(rt, interp));
		for (size_t f = 0; f < sizeof fields / sizeof *fields; f++)
			without_add(h, member_range(rt, interp, fields[f]));
	}
	if (h->without.n)
		qsort(h->without.items, h->without.n, sizeof *h->without.items, by_start);
}

static struct ph_err *holders_end(struct holders *h)
{
	ph_vec_free(&h->without);
	if (ph_interrupted)
		return ph_err_interrupted();
	return h->nomem ? ph_err_nomem() : NULL;
}

/* The first address at or behind `at` to search, and where the next range that is not
 * searched begins. */
static ph_addr skip(const struct holders *h, ph_addr at, ph_addr *ret_stop)
{
	size_t lo = 0, hi = h->without.n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (h->without.items[mid].start <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_stop = lo < h->without.n ? h->without.items[lo].start : UINT64_MAX;
	return lo && h->without.items[lo - 1].end > at ? h->without.items[lo - 1].end : at;
}

/* ---- searching --------------------------------------------------------------------------- */

/* False: there is no object. */
static bool emit(struct holders *h, ph_addr object, ph_addr at, bool scanned, const char *name)
{
	struct ph_holder holder = { .object = object, .at = at, .scanned = scanned, .name = name };
	int is = object && !h->nomem ? h->fn(h->ctx, &holder) : 0;
	if (is < 0)
		h->nomem = true;
	return is > 0;
}

/* False: so many bytes more would be too many. */
static bool spend(struct holders *h, uint64_t bytes)
{
	if (h->budget < bytes || h->nomem || ph_interrupted)
		return false;
	h->budget -= bytes;
	return true;
}

static void dict_items(struct holders *h, ph_addr dict, const char *name)
{
	struct ph_py_dict d;
	if (!ph_py_dict(h->rt, dict, &d) || d.nentries > MAX_ITEMS || !spend(h, d.nentries * 16))
		return;
	for (uint64_t i = 0; i < d.nentries; i++) {
		ph_addr key, value, at = d.keys + 8 + 16 * i; /* somewhere in there */
		ph_py_dict_entry(&d, i, &key, &value);
		if (value && emit(h, key, at, false, name))
			emit(h, value, at + 8, false, name);
	}
}

/* C code keeps tuples and dicts (of keywords, of errno …) that nothing else refers to,
 * so that they are not in the graph. */
static void items(struct holders *h, ph_addr container, const char *name)
{
	const struct ph_runtime *rt = h->rt;
	uint64_t type, object;
	if (!h->tuple_type ||
	    !ph_mem_u64(rt->mem, container + ph_layout_off(rt->layout, PH_F_PyObject_ob_type), &type) ||
	    (type != h->tuple_type && type != rt->dict_type) ||
	    !(uint32_t)rt_count(rt, container))
		return;
	if (type == rt->dict_type) {
		dict_items(h, container, name);
		return;
	}
	uint64_t n = rt_field(rt, container, PH_F_PyVarObject_ob_size);
	ph_addr at = container + ph_layout_off(rt->layout, PH_F_PyTuple_ob_item);
	if (n > MAX_ITEMS || !spend(h, n * 8))
		return;
	for (uint64_t i = 0; i < n && ph_mem_u64(rt->mem, at + 8 * i, &object); i++)
		emit(h, object, at + 8 * i, true, name);
}

/* The first words of memory that a word leads to. */
static void behind(struct holders *h, ph_addr start, uint32_t bytes, const char *name)
{
	const struct ph_segment *s = bytes ? ph_mem_segment(h->rt->mem, start) : NULL;
	if (bytes && !s && ph_mem_is_skipped(h->rt->mem, start)) /* no words there are references */
		spend(h, bytes);
	if (!s || !s->writable || !spend(h, bytes))
		return;
	uint64_t n = s->end - start < bytes ? s->end - start : bytes;
	const uint8_t *p = ph_mem_at(h->rt->mem, start, n);
	for (uint64_t i = 0; p && i + 8 <= n; i += 8)
		emit(h, ph_load_u64(p + i), start + i, true, name);
}

struct search {
	bool tagged;     /* take off the bits that tell of a stack reference */
	bool sure;       /* no word is an edge */
	uint32_t behind; /* bytes to look at of what the words lead to */
};

/* Every word of [start, end) that may be an object's address. */
static void search(struct holders *h, ph_addr start, ph_addr end, struct search how, const char *name)
{
	ph_addr at = (start + 7) & ~7ull;
	while (at + 8 <= end) {
		ph_addr stop, from = skip(h, at, &stop), to = (at | (CHUNK - 1)) + 1;
		to = from > at ? from : to < stop ? to : stop;
		uint64_t n = (to < end ? to : end) - at;
		const uint8_t *p = from > at ? NULL : ph_mem_at(h->rt->mem, at, n & ~7ull);
		if (!spend(h, p ? n : 8))
			return;
		for (uint64_t i = 0; p && i + 8 <= n; i += 8) {
			uint64_t word = ph_load_u64(p + i);
			if (how.tagged && (word & 3) != 3)
				word &= ~3ull;
			if (word < CHUNK || word & 7 || word >> PH_ADDR_BITS)
				continue;
			if (!emit(h, word, at + i, !how.sure, name)) {
				items(h, word, name);
				behind(h, word, how.behind, name);
			}
		}
		at = to;
	}
}

/* ---- temporaries of running frames ------------------------------------------------ */

static uint32_t stack_size(const struct ph_runtime *rt, ph_addr code)
{
	uint32_t n;
	return ph_mem_u32(rt->mem, code + ph_layout_off(rt->layout, PH_F_PyCode_co_stacksize), &n) &&
	       n < MAX_SLOTS ? n : 0;
}

static void search_slots(struct holders *h, ph_addr code, uint32_t line, ph_addr from, uint64_t n)
{
	struct ph_rootref ref = { .kind = PH_ROOTREF_LOCAL, .code = code, .line = line };
	const struct ph_runtime *rt = h->rt;
	bool borrowed;
	char *name ph_cleanup_free = ph_runtime_root_name(rt, &ref);
	if (!name) {
		h->nomem = true;
		return;
	}
	for (uint64_t i = 0; i < n && spend(h, 8); i++) {
		uint64_t word;
		if (!ph_mem_u64(rt->mem, from + 8 * i, &word))
			return;
		word = ph_py_slot(rt, word, &borrowed);
		if (!borrowed)
			emit(h, word, from + 8 * i, false, name);
	}
}

/* Where the top of a stack is not known: what lies between the locals and its end. */
static void frame_temporaries(struct holders *h, ph_addr iframe)
{
	struct ph_py_frame f;
	for (size_t n = 0; n < MAX_FRAMES && spend(h, 64) && ph_py_frame(h->rt, iframe, &f);
	     n++, iframe = f.previous) {
		if (f.owner > h->rt->layout->enums[PH_E_FRAME_OWNED_BY_FRAME_OBJECT].value || f.nvisited)
			continue;
		search_slots(h, f.code, ph_py_frame_line(h->rt, &f), f.slots + 8ull * f.nslots, stack_size(h->rt, f.code));
	}
}

/* ≤3.10: the same in frame objects. */
static void frame_object_temporaries(struct holders *h, ph_addr frame)
{
	const struct ph_runtime *rt = h->rt;
	for (size_t n = 0; frame && n < MAX_FRAMES && spend(h, 64);
	     n++, frame = rt_field(rt, frame, PH_F_PyFrame_f_back)) {
		ph_addr code = rt_field(rt, frame, PH_F_PyFrame_f_code);
		search_slots(h, code, ph_py_frame_object_line(rt, frame), rt_field(rt, frame, PH_F_PyFrame_f_valuestack),
			     stack_size(rt, code));
	}
}

static void thread_temporaries(struct holders *h, ph_addr thread)
{
	const struct ph_runtime *rt = h->rt;
	if (rt_has(rt, PH_F_PyFrame_f_localsplus))
		frame_object_temporaries(h, rt_field(rt, thread, PH_F_PyThread_frame));
	else if (rt_has(rt, PH_F_PyThread_frame))
		frame_temporaries(h, rt_field(rt, thread, PH_F_PyThread_frame));
	else if (rt_has(rt, PH_F_PyThread_cframe) && rt_has(rt, PH_F_CFrame_current_frame))
		frame_temporaries(h, rt_field(rt, rt_field(rt, thread, PH_F_PyThread_cframe),
					      PH_F_CFrame_current_frame));
}

/* ---- the states ---------------------------------------------------------------------- */

/* Names are held, values are not. */
static void type_cache(struct holders *h, struct range cache)
{
	uint32_t stride = ph_layout_size(h->rt->layout, PH_S_TypeCache);
	if (!stride || !rt_has(h->rt, PH_F_TypeCache_name))
		return;
	for (ph_addr entry = cache.start; entry + stride <= cache.end; entry += stride)
		emit(h, rt_field(h->rt, entry, PH_F_TypeCache_name),
		     entry + ph_layout_off(h->rt->layout, PH_F_TypeCache_name), false, "cache of attributes");
}

/* 3.10–3.13: an array of pointers to {func, args, kwargs}; later a list, which the
 * search of the state finds. */
static void atexit_callbacks(struct holders *h, ph_addr interp)
{
	const struct ph_runtime *rt = h->rt;
	uint32_t n;
	if (!rt_has(rt, PH_F_PyInterp_atexit_n) || !rt_has(rt, PH_F_AtexitCallback_func) ||
	    !ph_mem_u32(rt->mem, interp + ph_layout_off(rt->layout, PH_F_PyInterp_atexit_n), &n))
		return;
	ph_addr array = rt_field(rt, interp, PH_F_PyInterp_atexit_callbacks), entry;
	for (uint32_t i = 0; i < n && i < MAX_ATEXIT; i++) {
		if (!ph_mem_u64(rt->mem, array + 8ull * i, &entry))
			return;
		entry += ph_layout_off(rt->layout, PH_F_AtexitCallback_func);
		for (ph_addr at = entry; entry && at < entry + 24; at += 8) {
			ph_addr object;
			if (ph_mem_u64(rt->mem, at, &object))
				emit(h, object, at, false, "atexit");
		}
	}
}

/* 3.10, 3.11: the strs of _Py_Identifier. */
static void identifiers(struct holders *h, ph_addr interp)
{
	if (!rt_has(h->rt, PH_F_PyInterp_ids) || !rt_has(h->rt, PH_F_PyInterp_nids))
		return;
	ph_addr array = rt_field(h->rt, interp, PH_F_PyInterp_ids);
	uint64_t n = rt_field(h->rt, interp, PH_F_PyInterp_nids);
	search(h, array, array + 8 * (n < MAX_IDS ? n : MAX_IDS), (struct search){ .sure = true },
	       "interpreter state");
}

static void search_interp(struct holders *h, ph_addr interp)
{
	const struct ph_layout *l = h->rt->layout;
	if (ph_layout_has_size(l, PH_S_PyInterp))
		search(h, interp, interp + ph_layout_size(l, PH_S_PyInterp), (struct search){ .tagged = true },
		       "interpreter state");
}

static void threads_each(struct holders *h, ph_addr interp, void (*fn)(struct holders *h, ph_addr thread))
{
	ph_addr at = rt_field(h->rt, interp, PH_F_PyInterp_threads);
	for (size_t n = 0; at && n < MAX_THREADS; n++, at = rt_field(h->rt, at, PH_F_PyThread_next))
		fn(h, at);
}

static void search_thread(struct holders *h, ph_addr thread)
{
	if (ph_layout_has_size(h->rt->layout, PH_S_PyThread))
		search(h, thread, thread + ph_layout_size(h->rt->layout, PH_S_PyThread),
		       (struct search){ .tagged = true, .sure = true }, "interpreter state");
}

static void roots_each(struct holders *h)
{
	struct ph_notes again = { 0 }; /* the graph's builder has noted what there is to note */
	struct ph_rootrefs refs = { 0 };
	struct ph_running running = { 0 };
	struct ph_err *err = ph_runtime_roots(h->rt, &again, &refs, &running);
	if (err) {
		h->nomem = true;
		ph_err_free(err);
	}
	for (size_t i = 0; !err && i < refs.n && !h->nomem; i++) {
		if (refs.items[i].borrowed || refs.items[i].in_graph)
			continue;
		char *name ph_cleanup_free = ph_runtime_root_name(h->rt, &refs.items[i]);
		if (name)
			emit(h, refs.items[i].object, refs.items[i].at, false, name);
		else
			h->nomem = true;
	}
	ph_vec_free(&refs);
	ph_running_free(&running);
}

struct ph_err *ph_runtime_holders(const struct ph_runtime *rt, ph_holder_fn *fn, void *ctx)
{
	struct holders h;
	holders_init(&h, rt, fn, ctx);
	roots_each(&h);
	for (size_t i = 0; i < rt->ninterps; i++) {
		ph_addr interp = rt->interps[i].address;
		atexit_callbacks(&h, interp);
		threads_each(&h, interp, thread_temporaries);
		type_cache(&h, type_cache_range(rt, interp));
		identifiers(&h, interp);
		search_interp(&h, interp);
		threads_each(&h, interp, search_thread);
	}
	if (ph_layout_has_size(rt->layout, PH_S_PyRuntime))
		search(&h, rt->address, rt->address + ph_layout_size(rt->layout, PH_S_PyRuntime),
		       (struct search){ .tagged = true }, "interpreter state");
	return holders_end(&h);
}

/* ---- C code ----------------------------------------------------------------------------- */

struct modules {
	struct holders *h;
	ph_addr type; /* &PyModule_Type */
};

static bool module_state(void *ctx, ph_addr object, int generation, uint32_t interp)
{
	struct modules *m = ctx;
	const struct ph_runtime *rt = m->h->rt;
	ph_addr type = rt_field(rt, object, PH_F_PyObject_ob_type);
	if (type != m->type && rt_field(rt, type, PH_F_PyType_tp_base) != m->type)
		return true;
	ph_addr state = rt_has(rt, PH_F_PyModule_md_state) ? rt_field(rt, object, PH_F_PyModule_md_state) : 0;
	uint64_t size = 0;
	if (rt_has(rt, PH_F_PyModule_md_state_size))
		size = rt_field(rt, object, PH_F_PyModule_md_state_size);
	else if (rt_has(rt, PH_F_PyModule_md_def) && rt_has(rt, PH_F_PyModuleDef_m_size))
		size = rt_field(rt, rt_field(rt, object, PH_F_PyModule_md_def), PH_F_PyModuleDef_m_size);
	if (!state || !size || size > MAX_STATE)
		return true;
	char module[128] = "?", name[160];
	ph_py_str(rt, rt_field(rt, object, PH_F_PyModule_md_name), module, sizeof module);
	snprintf(name, sizeof name, "state of module %s", module);
	search(m->h, state, state + size, (struct search){ .sure = true, .behind = BEHIND_STATE }, name);
	return true;
}

static void module_states(struct holders *h)
{
	const struct ph_runtime *rt = h->rt;
	struct ph_notes again = { 0 };
	ph_addr dict = rt_field(rt, rt->interps[0].address, PH_F_PyInterp_modules);
	ph_addr module = ph_py_dict_get(rt, dict, "builtins");
	struct modules m = { h, rt_field(rt, module, PH_F_PyObject_ob_type) };
	if (m.type)
		ph_runtime_tracked(rt, 0, &again, module_state, &m);
}

/* What can be written of a mapped file: .data and .bss. */
static void static_data(struct holders *h, const struct ph_module *m)
{
	const struct ph_mem *mem = h->rt->mem;
	const char *base = strrchr(m->path, '/');
	char name[256];
	snprintf(name, sizeof name, "static data of %s", base ? base + 1 : m->path);
	for (size_t i = 0; i < mem->nsegs; i++) {
		const struct ph_segment *s = &mem->segs[i];
		if (!s->writable || s->end <= m->start || s->start >= m->end)
			continue;
		search(h, s->start > m->start ? s->start : m->start, s->end < m->end ? s->end : m->end,
		       (struct search){ 0 }, name);
	}
}

static void c_stack(struct holders *h, const struct ph_thread_regs *t)
{
	const struct ph_segment *s = ph_mem_segment(h->rt->mem, t->sp);
	char name[64];
	if (!s)
		return;
	snprintf(name, sizeof name, "C stack of thread %d", (int)t->tid);
	/* what a thread has of its own lies at the end of its stack, but for the main thread */
	ph_addr end = t->tls > t->sp && t->tls < s->end ? t->tls : s->end;
	search(h, t->sp, end - t->sp < MAX_STACK ? end : t->sp + MAX_STACK,
	       (struct search){ .sure = true }, name);
}

struct ph_err *ph_runtime_c_holders(const struct ph_runtime *rt, ph_holder_fn *fn, void *ctx)
{
	struct holders h;
	holders_init(&h, rt, fn, ctx);
	module_states(&h);
	for (size_t i = 0; i < rt->target->nmodules; i++)
		static_data(&h, &rt->target->modules[i]);
	for (size_t i = 0; i < rt->target->nthreads; i++)
		c_stack(&h, &rt->target->threads[i]);
	return holders_end(&h);
}

/* ---- objects that are not known in full ---------------------------------------------------- */

bool ph_runtime_own_part(const struct ph_runtime *rt, ph_addr type, uint32_t *ret_from, uint32_t *ret_to)
{
	uint64_t to = rt_field(rt, type, PH_F_PyType_tp_basicsize);
	ph_addr base = rt_field(rt, type, PH_F_PyType_tp_base), next;
	for (int depth = 0; base && depth < MAX_BASES; depth++, base = next) {
		next = rt_field(rt, base, PH_F_PyType_tp_base);
		if (next && rt_field(rt, next, PH_F_PyType_tp_base))
			continue; /* not yet the one below object */
		uint64_t from = rt_field(rt, base, PH_F_PyType_tp_basicsize);
		*ret_from = (uint32_t)from;
		*ret_to = (uint32_t)to;
		return from < to && to <= MAX_OBJECT;
	}
	return false;
}

struct ph_err *ph_runtime_contents(const struct ph_runtime *rt, const struct ph_holder_span *span,
				   uint64_t *budget, ph_holder_fn *fn, void *ctx)
{
	struct holders h = { .rt = rt, .fn = fn, .ctx = ctx, .budget = *budget, .tuple_type = tuple_type(rt) };
	search(&h, span->start, span->end, (struct search){ .sure = span->sure, .behind = BEHIND_OBJECT },
	       span->name);
	*budget = h.budget;
	return holders_end(&h);
}
