/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <stdio.h>
#include "fake_heap.h"

#define HEAP (1u << 9)
#define HAVE_GC (1u << 14)
#define BASETYPE_DICT (1u << 29)
#define BASETYPE_STR (1u << 28)
#define BASETYPE_TUPLE (1u << 26)
#define BASETYPE_TYPE (1u << 31)
#define SUBTYPE_TRAVERSE 0x7001u
#define SUBTYPE_DEALLOC 0x7002u

/* Offsets of our own making where CPython's do not matter: readers must ask. */
static const struct {
	enum ph_field f;
	uint32_t offset, size;
} members[] = {
	{ PH_F_PyInterp_next, 0, 8 }, { PH_F_PyInterp_modules, 8, 8 }, { PH_F_PyInterp_sysdict, 16, 8 },
	{ PH_F_PyInterp_builtins, 24, 8 }, { PH_F_PyInterp_threads, 32, 8 },
	{ PH_F_GC_generations, 0, 72 }, { PH_F_GC_collecting, 72, 4 }, { PH_F_GCGeneration_head, 0, 16 },
	{ PH_F_GCHead_next, 0, 8 }, { PH_F_GCHead_prev, 8, 8 },
	{ PH_F_PyObject_ob_refcnt, 0, 8 }, { PH_F_PyObject_ob_type, 8, 8 }, { PH_F_PyVarObject_ob_size, 16, 8 },
	{ PH_F_PyType_tp_name, 24, 8 }, { PH_F_PyType_tp_basicsize, 32, 8 }, { PH_F_PyType_tp_itemsize, 40, 8 },
	{ PH_F_PyType_tp_dealloc, 48, 8 }, { PH_F_PyType_tp_flags, 56, 8 }, { PH_F_PyType_tp_traverse, 64, 8 },
	{ PH_F_PyType_tp_weaklistoffset, 72, 8 }, { PH_F_PyType_tp_members, 80, 8 },
	{ PH_F_PyType_tp_base, 88, 8 }, { PH_F_PyType_tp_dict, 96, 8 }, { PH_F_PyType_tp_dictoffset, 104, 8 },
	{ PH_F_PyType_tp_is_gc, 112, 8 }, { PH_F_PyType_tp_bases, 120, 8 }, { PH_F_PyType_tp_mro, 128, 8 },
	{ PH_F_PyHeapType_ht_name, 136, 8 }, { PH_F_PyHeapType_ht_qualname, 144, 8 },
	{ PH_F_PyMemberDef_name, 0, 8 }, { PH_F_PyMemberDef_type, 8, 4 }, { PH_F_PyMemberDef_offset, 16, 8 },
	{ PH_F_PyDict_ma_used, 16, 8 }, { PH_F_PyDict_ma_keys, 24, 8 }, { PH_F_PyDict_ma_values, 32, 8 },
	{ PH_F_DictKeys_dk_refcnt, 0, 8 }, { PH_F_DictKeys_dk_log2_size, 8, 1 },
	{ PH_F_DictKeys_dk_log2_index_bytes, 9, 1 }, { PH_F_DictKeys_dk_kind, 10, 1 },
	{ PH_F_DictKeys_dk_usable, 16, 8 }, { PH_F_DictKeys_dk_nentries, 24, 8 },
	{ PH_F_DictKeys_dk_indices, 32, 0 },
	{ PH_F_DictEntry_me_key, 8, 8 }, { PH_F_DictEntry_me_value, 16, 8 },
	{ PH_F_DictUnicodeEntry_me_key, 0, 8 }, { PH_F_DictUnicodeEntry_me_value, 8, 8 },
	{ PH_F_PyList_ob_item, 24, 8 }, { PH_F_PyList_allocated, 32, 8 }, { PH_F_PyTuple_ob_item, 24, 8 },
	{ PH_F_PyASCII_length, 16, 8 }, { PH_F_PyASCII_hash, 24, 8 },
	{ PH_F_PyCompactUnicode_utf8, 40, 8 }, { PH_F_PyCompactUnicode_utf8_length, 48, 8 },
	{ PH_F_PyUnicode_data, 56, 8 }, { PH_F_PyModule_md_dict, 16, 8 }, { PH_F_PyModule_md_name, 24, 8 },
	{ PH_F_PyLong_ob_digit, 24, 0 },
};
static const struct {
	enum ph_struct s;
	uint32_t bytes;
} sizes[] = {
	{ PH_S_GCGeneration, 24 }, { PH_S_GCHead, 16 }, { PH_S_PyObject, 16 }, { PH_S_PyVarObject, 24 },
	{ PH_S_PyType, 152 }, { PH_S_PyHeapType, 152 }, { PH_S_PyMemberDef, 40 }, { PH_S_PyDict, 40 },
	{ PH_S_DictEntry, 24 }, { PH_S_DictUnicodeEntry, 16 }, { PH_S_PyASCII, 40 },
	{ PH_S_PyCompactUnicode, 56 }, { PH_S_PyUnicode, 64 },
};

static void layout_make(struct ph_layout *l)
{
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		l->field[members[i].f] = (struct ph_member){ .offset = members[i].offset,
							     .size = members[i].size, .present = true };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		l->sizes[sizes[i].s].bytes = sizes[i].bytes;
		l->sizes[sizes[i].s].present = true;
	}
	static const struct { enum ph_field f; uint16_t bit, bits; } state[] = {
		{ PH_F_PyASCII_interned, 0, 2 }, { PH_F_PyASCII_kind, 2, 3 },
		{ PH_F_PyASCII_compact, 5, 1 }, { PH_F_PyASCII_ascii, 6, 1 },
	};
	for (size_t i = 0; i < 4; i++)
		l->field[state[i].f] = (struct ph_member){ .offset = 32, .size = 4, .bit = state[i].bit,
							   .bits = state[i].bits, .present = true };
}

void fake_u64(struct fake_heap *h, ph_addr at, uint64_t v)
{
	ck_assert(at >= FAKE_BASE && at + 8 <= FAKE_BASE + FAKE_SIZE);
	memcpy(h->bytes + (at - FAKE_BASE), &v, 8);
}

static uint64_t get(struct fake_heap *h, ph_addr at)
{
	return ph_load_u64(h->bytes + (at - FAKE_BASE));
}

ph_addr fake_block(struct fake_heap *h, size_t bytes)
{
	h->used = (h->used + 15) & ~15ull;
	ck_assert(h->used + bytes <= FAKE_SIZE);
	h->used += bytes;
	return FAKE_BASE + h->used - bytes;
}

void fake_hold(struct fake_heap *h, ph_addr object, int64_t n)
{
	fake_u64(h, object, get(h, object) + (uint64_t)n);
}

static void track(struct fake_heap *h, ph_addr object)
{
	ph_addr head = h->lists[2], at = object - 16, last = get(h, head + 8);
	fake_u64(h, at, head);
	fake_u64(h, at + 8, last);
	fake_u64(h, last, at);
	fake_u64(h, head + 8, at);
}

static ph_addr object_new(struct fake_heap *h, ph_addr type, size_t bytes, bool gc)
{
	ph_addr o = gc ? fake_block(h, bytes + 16) + 16 : fake_block(h, bytes);
	fake_u64(h, o + 8, type);
	if (gc)
		track(h, o);
	return o;
}

static void chars(struct fake_heap *h, ph_addr at, const char *text)
{
	memcpy(h->bytes + (at - FAKE_BASE), text, strlen(text) + 1);
}

ph_addr fake_type(struct fake_heap *h, const char *name, ph_addr base, uint64_t flags, uint64_t basicsize,
		  uint64_t itemsize, ph_addr traverse)
{
	ph_addr t = object_new(h, h->type, 152, false), n = fake_block(h, strlen(name) + 1);
	chars(h, n, name);
	fake_u64(h, t, 1);
	fake_u64(h, t + 24, n);
	fake_u64(h, t + 32, basicsize);
	fake_u64(h, t + 40, itemsize);
	fake_u64(h, t + 56, flags);
	fake_u64(h, t + 64, traverse);
	fake_u64(h, t + 88, base);
	return t;
}

ph_addr fake_str(struct fake_heap *h, const char *text)
{
	ph_addr s = object_new(h, h->str, 40 + strlen(text) + 1, false);
	fake_u64(h, s + 16, strlen(text));
	fake_u64(h, s + 32, 1u << 2 | 1u << 5 | 1u << 6); /* kind 1, compact, ascii */
	chars(h, s + 40, text);
	return s;
}

ph_addr fake_list(struct fake_heap *h, const ph_addr *items, uint64_t n)
{
	ph_addr l = object_new(h, h->list, 40, true), block = fake_block(h, 8 * n + 8);
	fake_u64(h, l + 16, n);
	fake_u64(h, l + 24, block);
	fake_u64(h, l + 32, n + 1);
	for (uint64_t i = 0; i < n; i++) {
		fake_u64(h, block + 8 * i, items[i]);
		fake_hold(h, items[i], 1);
	}
	return l;
}

ph_addr fake_tuple(struct fake_heap *h, const ph_addr *items, uint64_t n)
{
	ph_addr t = object_new(h, h->tuple, 24 + 8 * n, true);
	fake_u64(h, t + 16, n);
	for (uint64_t i = 0; i < n; i++) {
		fake_u64(h, t + 24 + 8 * i, items[i]);
		fake_hold(h, items[i], 1);
	}
	return t;
}

/* A table of 8 (or 128) slots whose keys are all str. */
ph_addr fake_dict(struct fake_heap *h, const ph_addr *keys, const ph_addr *values, uint64_t n)
{
	unsigned log2 = n <= 5 ? 3 : 7;
	ck_assert(n <= 85);
	ph_addr d = object_new(h, h->dict, 40, true);
	ph_addr k = fake_block(h, 32 + (1u << log2) + 16 * ((2u << log2) / 3)), e = k + 32 + (1u << log2);
	fake_u64(h, d + 16, n);
	fake_u64(h, d + 24, k);
	fake_u64(h, k, 1);
	fake_u64(h, k + 8, log2 | log2 << 8 | 1u << 16);
	fake_u64(h, k + 24, n);
	for (uint64_t i = 0; i < n; i++) {
		fake_u64(h, e + 16 * i, keys[i]);
		fake_u64(h, e + 16 * i + 8, values[i]);
		fake_hold(h, keys[i], 1);
		fake_hold(h, values[i], 1);
	}
	return d;
}

ph_addr fake_class(struct fake_heap *h, const char *name)
{
	ph_addr dict = fake_dict(h, NULL, NULL, 0), text = fake_str(h, name);
	ph_addr t = object_new(h, h->type, 152, true);
	fake_u64(h, t + 32, 24);
	fake_u64(h, t + 48, SUBTYPE_DEALLOC);
	fake_u64(h, t + 56, HEAP | HAVE_GC);
	fake_u64(h, t + 64, SUBTYPE_TRAVERSE);
	fake_u64(h, t + 88, h->object);
	fake_u64(h, t + 96, dict);
	fake_u64(h, t + 104, 16);
	fake_u64(h, t + 136, text);
	fake_u64(h, t + 144, text);
	fake_hold(h, dict, 1);
	fake_hold(h, text, 2);
	fake_hold(h, h->object, 1);
	return t;
}

ph_addr fake_instance(struct fake_heap *h, ph_addr cls, ph_addr dict)
{
	ph_addr o = object_new(h, cls, 24, true);
	fake_u64(h, o + 16, dict);
	fake_hold(h, cls, 1);
	if (dict)
		fake_hold(h, dict, 1);
	return o;
}

static void builtins_make(struct fake_heap *h)
{
	h->type = fake_block(h, 0); /* its own type: needed by fake_type() */
	h->type = fake_type(h, "type", 0, HAVE_GC | BASETYPE_TYPE, 152, 40, 0x7100);
	fake_u64(h, h->type + 8, h->type);
	h->object = fake_type(h, "object", 0, 0, 16, 0, 0);
	fake_u64(h, h->type + 88, h->object);
	h->str = fake_type(h, "str", h->object, BASETYPE_STR, 64, 0, 0);
	h->dict = fake_type(h, "dict", h->object, HAVE_GC | BASETYPE_DICT, 40, 0, 0x7200);
	h->list = fake_type(h, "list", h->object, HAVE_GC, 40, 0, 0x7300);
	h->tuple = fake_type(h, "tuple", h->object, HAVE_GC | BASETYPE_TUPLE, 24, 8, 0x7400);
	h->module = fake_type(h, "module", h->object, HAVE_GC, 40, 0, 0x7500);
}

void fake_heap_init(struct fake_heap *h)
{
	memset(h, 0, sizeof *h);
	h->bytes = calloc(1, FAKE_SIZE);
	ck_assert_ptr_nonnull(h->bytes);
	layout_make(&h->layout);
	h->interp.address = fake_block(h, 64);
	h->interp.gc = fake_block(h, 96);
	for (int i = 0; i < 3; i++) {
		h->lists[i] = h->interp.gc + 24 * (unsigned)i;
		fake_u64(h, h->lists[i], h->lists[i]);
		fake_u64(h, h->lists[i] + 8, h->lists[i]);
	}
	builtins_make(h);
	h->python_class = fake_class(h, "ModuleSpec");
	ph_addr spec = fake_str(h, "ModuleSpec"), name = fake_str(h, "_frozen_importlib");
	ph_addr dict = fake_dict(h, &spec, &h->python_class, 1);
	ph_addr module = object_new(h, h->module, 40, true);
	fake_u64(h, module + 16, dict);
	fake_hold(h, dict, 1);
	h->modules = fake_dict(h, &name, &module, 1);
	fake_hold(h, h->modules, 1);
	fake_u64(h, h->interp.address + 8, h->modules);
}

void fake_heap_seal(struct fake_heap *h)
{
	h->mem = ph_mem_new();
	ck_assert_ptr_nonnull(h->mem);
	struct ph_segment seg = { .start = FAKE_BASE, .end = FAKE_BASE + FAKE_SIZE, .bytes = h->bytes,
				  .fd = -1, .writable = true };
	ck_assert_ptr_null(ph_mem_add(h->mem, &seg));
	ck_assert_ptr_null(ph_mem_seal(h->mem));
	h->target = (struct ph_target){ .what = (char *)"fake", .mem = h->mem };
	h->rt = (struct ph_runtime){ .target = &h->target, .mem = h->mem, .layout = &h->layout,
				     .hexversion = 0x030b02f0, .interps = &h->interp, .ninterps = 1,
				     .type_type = h->type, .dict_type = h->dict };
}

void fake_heap_deinit(struct fake_heap *h)
{
	ph_mem_free(h->mem);
	free(h->bytes);
}
