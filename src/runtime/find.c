/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where _PyRuntime is, with which all begins: by its symbol, by its section, by the words
 * that it begins with. Several libraries may hold one, most of which nobody has initialised.
 * Facts: Python/pylifecycle.c, Include/internal/pycore_{runtime,debug_offsets}.h. */
#include "runtime_priv.h"

#define NAME "_PyRuntime"
#define SECTION ".PyRuntime" /* 3.10+ */
#define COOKIE_HEAD 40       /* from there to the offset of interpreters.head */
#define OLDEST_COOKIE 0x030d0000
#define NEWEST_COOKIE 0x04000000
#define MAX_OFFSET (1u << 24) /* in _PyRuntime */
#define FLAGS 16             /* bytes: begun with, ≤3.12, that are 0 until Py_Initialize() */
#define MAX_PLACES 64

/* What struct _Py_DebugOffsets begins with. */
static bool is_cookie(const uint8_t *p)
{
	uint64_t version = ph_load_u64(p + 8), head = ph_load_u64(p + COOKIE_HEAD);
	return !memcmp(p, PH_DEBUG_COOKIE, 8) && version >= OLDEST_COOKIE && version < NEWEST_COOKIE &&
	       ph_load_u64(p + 16) <= 1 && head && head < MAX_OFFSET && !(head & 7);
}

/* Whether an interpreter may run there, by what needs no layout; true when it cannot be
 * told. */
static bool may_run(const struct ph_target *target, ph_addr address)
{
	static const uint8_t nothing[FLAGS];
	uint8_t start[COOKIE_HEAD + 8];
	uint64_t interpreter;
	if (!ph_target_peek(target, address, start, sizeof start))
		return true;
	if (is_cookie(start))
		return !ph_target_peek(target, address + ph_load_u64(start + COOKIE_HEAD), &interpreter, 8) ||
		       interpreter;
	return memcmp(start, nothing, FLAGS);
}

struct finder {
	const struct ph_target *target;
	struct ph_runtime_places *places;
	bool runs; /* one of those found */
};

/* False: memory is out. */
static bool add(struct finder *f, const struct ph_module *m, ph_addr address)
{
	struct ph_runtime_places *places = f->places;
	for (size_t i = 0; i < places->n; i++)
		if (places->items[i].address == address)
			return true;
	if (places->n == MAX_PLACES || ph_target_module_at(f->target, address) != m)
		return true;
	struct ph_runtime_place place = {
		.address = address,
		.definer = address,
		.runs = may_run(f->target, address),
		.is_main = f->target->exe && !strcmp(f->target->exe, m->path),
		.copied = ph_module_is_copy(m, address),
	};
	f->runs |= place.runs;
	return PH_VEC_PUSH(places, place);
}

static bool add_exported(struct finder *f, const struct ph_module *m)
{
	ph_addr address;
	return !(ph_module_exports(m, NAME, &address) || ph_module_section(m, SECTION, &address, NULL)) ||
	       add(f, m, address);
}

static bool add_symbol(struct finder *f, const struct ph_module *m)
{
	ph_addr address;
	return !ph_module_symbol(m, NAME, &address, NULL) || add(f, m, address);
}

/* The struct is initialised by the compiler: the file has its first words. */
static bool add_cookies(struct finder *f, const struct ph_module *m)
{
	ph_addr start;
	uint64_t n;
	const uint8_t *p;
	for (size_t i = 0; ph_module_data(m, i, &start, &n, &p); i++) {
		const uint8_t *at = p, *end = p + n;
		for (; (at = memmem(at, (size_t)(end - at), PH_DEBUG_COOKIE, 8)); at += 8)
			if (end - at >= COOKIE_HEAD + 8 && !((start + (uint64_t)(at - p)) & 7) && is_cookie(at) &&
			    !add(f, m, start + (uint64_t)(at - p)))
				return false;
	}
	return true;
}

/* What runs first; then the program's own, then what was loaded first, which mostly lies
 * above what was loaded later. */
static int by_likelihood(const void *a, const void *b)
{
	const struct ph_runtime_place *x = a, *y = b;
	if (x->runs != y->runs)
		return y->runs - x->runs;
	if (x->is_main != y->is_main)
		return y->is_main - x->is_main;
	return (x->address < y->address) - (x->address > y->address);
}

/* Who defines a variable that the loader has moved into the program: another that has one. */
static void find_definers(struct ph_runtime_places *places)
{
	for (size_t i = 0; i < places->n; i++)
		for (size_t k = 0; places->items[i].copied && k < places->n; k++)
			if (!places->items[k].copied) {
				places->items[i].definer = places->items[k].address;
				break;
			}
}

struct ph_err *ph_runtime_find(const struct ph_target *target, struct ph_runtime_places *ret)
{
	/* the cheap ones first: what they find is mostly all */
	static bool (*const ways[])(struct finder *f, const struct ph_module *m) = {
		add_exported, add_symbol, add_cookies,
	};
	struct finder f = { target, ret, false };
	ret->n = 0;
	for (size_t way = 0; way < sizeof ways / sizeof *ways && !f.runs; way++)
		for (size_t i = 0; i < target->nmodules; i++) {
			if (!ways[way](&f, &target->modules[i]))
				return ph_err_nomem();
			if (ph_interrupted)
				return ph_err_interrupted();
		}
	if (ret->n)
		qsort(ret->items, ret->n, sizeof *ret->items, by_likelihood);
	find_definers(ret);
	return NULL;
}

/* Two files of one build-id have one layout. */
static bool has_layout(const struct ph_runtime *rt, ph_addr address)
{
	const struct ph_module *m = ph_target_module_at(rt->target, address);
	return m && rt->module && m->build_id_len && m->build_id_len == rt->module->build_id_len &&
	       !memcmp(m->build_id, rt->module->build_id, m->build_id_len);
}

void ph_runtime_note_others(const struct ph_runtime *rt, const struct ph_runtime_places *places,
			    struct ph_notes *notes)
{
	for (size_t i = 0; i < places->n; i++) {
		ph_addr address = places->items[i].address;
		if (address == rt->address)
			continue;
		if (has_layout(rt, address) ? rt_field(rt, address, PH_F_PyRuntime_interpreters_head) != 0
					    : may_run(rt->target, address))
			ph_note(notes, PH_NOTE_OTHER_PYTHON, address);
	}
}
