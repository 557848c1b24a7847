/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A CPython heap declared in C: no process, no DWARF, and any damage one likes.
 * Looks like 3.11: gc heads of 16 bytes, dicts with a kind, no immortal objects. */
#ifndef FAKE_HEAP_H
#define FAKE_HEAP_H

#include <pyheap/graph.h>
#include <pyheap/object.h>

#define FAKE_BASE 0x10000000ull
#define FAKE_SIZE (1u << 20)

struct fake_heap {
	uint8_t *bytes;      /* FAKE_SIZE bytes at FAKE_BASE */
	uint64_t used;
	struct ph_mem *mem;
	struct ph_layout layout;
	struct ph_target target;
	struct ph_interp interp;
	struct ph_runtime rt;
	struct ph_notes notes;
	/* types */
	ph_addr type, object, str, dict, list, tuple, module, method_descriptor, python_class;
	ph_addr modules;
	ph_addr lists[3];    /* heads of the three generations */
};

/* A heap with builtin types, sys.modules and importlib's ModuleSpec. */
void fake_heap_init(struct fake_heap *h);
/* Makes the memory readable: call when all objects are there. */
void fake_heap_seal(struct fake_heap *h);
void fake_heap_deinit(struct fake_heap *h);

void fake_u64(struct fake_heap *h, ph_addr at, uint64_t v);
ph_addr fake_block(struct fake_heap *h, size_t bytes);
/* A static type; flags as tp_flags. */
ph_addr fake_type(struct fake_heap *h, const char *name, ph_addr base, uint64_t flags, uint64_t basicsize,
		  uint64_t itemsize, ph_addr traverse);
/* A class as `class NAME(object)` makes it, with a dict slot at offset 16. */
ph_addr fake_class(struct fake_heap *h, const char *name);
ph_addr fake_str(struct fake_heap *h, const char *text);
/* Tracked in generation 2. */
ph_addr fake_list(struct fake_heap *h, const ph_addr *items, uint64_t n);
ph_addr fake_tuple(struct fake_heap *h, const ph_addr *items, uint64_t n);
ph_addr fake_dict(struct fake_heap *h, const ph_addr *keys, const ph_addr *values, uint64_t n);
ph_addr fake_instance(struct fake_heap *h, ph_addr cls, ph_addr dict);
/* Adds to an object's reference count. */
void fake_hold(struct fake_heap *h, ph_addr object, int64_t n);

#endif
