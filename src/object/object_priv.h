/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef OBJECT_PRIV_H
#define OBJECT_PRIV_H

#include <pyheap/object.h>
#include <pyheap/replay.h>

/* tp_flags. Include/object.h; bits 1 to 4 only since the version named. */
enum {
	TPFLAGS_INLINE_VALUES = 1 << 2,   /* 3.13 */
	TPFLAGS_MANAGED_WEAKREF = 1 << 3, /* 3.12 */
	TPFLAGS_MANAGED_DICT = 1 << 4,    /* 3.11 */
	TPFLAGS_HEAPTYPE = 1 << 9,
	TPFLAGS_HAVE_GC = 1 << 14,
	TPFLAGS_LONG_SUBCLASS = 1 << 24,
	TPFLAGS_LIST_SUBCLASS = 1 << 25,
	TPFLAGS_TUPLE_SUBCLASS = 1 << 26,
	TPFLAGS_BYTES_SUBCLASS = 1 << 27,
	TPFLAGS_UNICODE_SUBCLASS = 1 << 28,
	TPFLAGS_DICT_SUBCLASS = 1 << 29,
	TPFLAGS_BASE_EXC_SUBCLASS = 1 << 30,
};
#define TPFLAGS_TYPE_SUBCLASS (1u << 31)
#define GC_TRACKED 1u /* ob_gc_bits of free-threaded builds */

/* How a member holds an object. */
enum ph_held {
	PH_VISITED,           /* tp_traverse visits it */
	PH_OWNED,             /* it does not */
	PH_VISITED_OF_TRACKED /* it does where such objects are collected (free-threaded builds) */
};
/* A member that holds an object, read from the layout. */
struct ph_slot {
	enum ph_field field;
	const char *label; /* as Python code reaches it */
	enum ph_held held;
};

/* One builtin type. Found by the name of the type whose tp_traverse runs (for
 * references) or that defines __sizeof__ (for the size). */
struct ph_kind {
	const char *name;            /* its tp_name */
	const struct ph_slot *slots; /* fixed members in the order visited, ended by a NULL label */
	/* references beyond (after) the slots; false = not known exactly */
	bool (*refs)(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out);
	/* sys.getsizeof without the pre-header, from basicsize + items; NULL = that alone */
	bool (*size)(struct ph_objects *os, const struct ph_object *o, uint64_t *size);
	/* PH_TYPE_… of its instances, for cycles and paths */
	enum ph_type_class cls;
};
extern const struct ph_kind ph_kinds[];
const struct ph_kind *ph_kind_find(const char *name);

/* ---- reading members ---- */

/* n bytes of a member; zeroes where a type (torn, or of a damaged core) says that its
 * instances are shorter than what reads them. */
static inline const uint8_t *o_at(const struct ph_objects *os, const struct ph_object *o, enum ph_field f,
				  uint32_t n)
{
	static const uint8_t nothing[8];
	uint32_t off = ph_layout_off(os->layout, f);
	return off + n <= o->type->head_bytes ? o->head + off : nothing;
}
static inline uint64_t o_u64(const struct ph_objects *os, const struct ph_object *o, enum ph_field f)
{
	return ph_load_u64(o_at(os, o, f, 8));
}
static inline uint32_t o_u32(const struct ph_objects *os, const struct ph_object *o, enum ph_field f)
{
	return ph_load_u32(o_at(os, o, f, 4));
}
static inline uint8_t o_u8(const struct ph_objects *os, const struct ph_object *o, enum ph_field f)
{
	return *o_at(os, o, f, 1);
}
static inline uint64_t m_u64(const struct ph_objects *os, ph_addr base, enum ph_field f)
{
	uint64_t v;
	return base && ph_mem_u64(os->mem, base + ph_layout_off(os->layout, f), &v) ? v : 0;
}
static inline bool has(const struct ph_objects *os, enum ph_field f)
{
	return ph_layout_has(os->layout, f);
}
/* ob_size of a variable-sized object */
static inline int64_t o_size(const struct ph_objects *os, const struct ph_object *o)
{
	return (int64_t)o_u64(os, o, PH_F_PyVarObject_ob_size);
}

/* ---- collecting references ---- */

bool ph_refs_grow(struct ph_refs *out, size_t more, struct ph_ref_label label);
/* NULL pointers are skipped, as visitors do. A macro: the label is made only where it is
 * wanted; making one takes longer than all the rest. */
#define ref_add(out, ref, label) \
	do { \
		ph_ref ref_ = (ref); \
		if (!(ref_ & PH_REF_ADDR)) \
			break; \
		if (__builtin_expect((out)->n == (out)->cap || (out)->labelled, 0) && \
		    !ph_refs_grow((out), 1, (out)->labelled ? (label) : (struct ph_ref_label){ 0 })) \
			break; \
		(out)->items[(out)->n++] = ref_; \
	} while (0)
#define LABEL(k, ...) ((struct ph_ref_label){ .kind = PH_LABEL_##k, __VA_ARGS__ })
#define ATTR(text) LABEL(ATTR, .name = (text))

/* n pointers at an address of the target, labelled [0], [1], …, and added from the
 * first or from the last on; false when missing. */
bool refs_array(struct ph_objects *os, ph_addr items, uint64_t n, bool backwards, struct ph_refs *out);
static inline bool slot_is_owned(const struct ph_slot *s, const struct ph_type *t)
{
	return s->held == PH_OWNED || (s->held == PH_VISITED_OF_TRACKED && !t->have_gc);
}
void refs_slots(struct ph_objects *os, const struct ph_object *o, const struct ph_slot *slots,
		bool owned, struct ph_refs *out);
/* The values (or dict) of an instance that has no dict slot of its own; refs.c */
bool managed_dict_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out);
uint64_t managed_dict_uncounted(struct ph_objects *os, const struct ph_object *o);
/* A declared-members-and-scan reading of an unknown type. */
void unknown_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out);

/* Words of a range that are, beyond reasonable doubt, pointers to objects: borrowed,
 * with these flags. */
void scan_words(struct ph_objects *os, ph_addr start, uint64_t bytes, ph_ref flags, struct ph_refs *out);

/* A dict of interned strings, which holds none of them. */
bool is_interned_dict(const struct ph_objects *os, ph_addr dict);

/* The address of an instance's dict slot from the end of its items; 0 = none. */
ph_addr dict_slot_from_end(struct ph_objects *os, const struct ph_object *o);

/* Sets t->words, once all else is known; false when memory is out. words.c */
bool words_read(struct ph_objects *os, struct ph_type *t);
/* The references of an object whose type's words are known; out has no labels. */
bool fast_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out);

/* All references as our own readers see them; refs.c */
bool native_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out);

bool ph_types_grow(struct ph_objects *os); /* types.c; also to begin with */
void ph_types_free(struct ph_objects *os);

/* Sets os->counts; false when memory is out. counts.c */
bool counts_read(struct ph_objects *os);

/* Sets os->interned; after sizeof_key is known. interned.c */
void learn_interned(struct ph_objects *os);

/* ---- what the objects' own code has told; replayed.c ---- */

/* Appends the references that it visits, then what else the object holds; false when it
 * was not asked or has failed. */
bool replayed_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out);
bool replayed_size(struct ph_objects *os, const struct ph_object *o, uint64_t *ret_shallow);
/* The same, if memory of its own may be looked at: all objects together are bounded. */
bool replayed_buffer(struct ph_objects *os, const struct ph_object *o, uint64_t *ret_size);
void replayed_free(struct ph_objects *os);
/* The child, with the target's CPython ready to be called; prelude: outlives it. child.c */
#define CHILD_PRELUDE 64
struct ph_err *child_start(const struct ph_objects *os, struct ph_replay_item prelude[CHILD_PRELUDE],
			   struct ph_replay **ret);
/* A function of CPython's; 0 = not exported. */
ph_addr child_symbol(const struct ph_objects *os, const char *name);
/* The same, started on first use; NULL when it is not possible (options->refused). */
struct ph_err *replayed_child(struct ph_objects *os, struct ph_replay **ret);
/* What to ask an object for: its references or its size; false when that is not known. */
bool replayed_question(const struct ph_objects *os, ph_addr address, const struct ph_type *t, bool size,
		       struct ph_replay_item *ret);
/* Its size as sys.getsizeof says it; false when that cannot be. */
bool replayed_believe(struct ph_objects *os, const struct ph_replay_item *item, uint64_t *size);
/* Bytes before the object that sys.getsizeof adds; sizes.c */
uint64_t pre_size(struct ph_objects *os, const struct ph_object *o);

#endif
