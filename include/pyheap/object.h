/* SPDX-License-Identifier: GPL-2.0-or-later */
/* object: what one object is, how big it is, and what it refers to. */
#ifndef PYHEAP_OBJECT_H
#define PYHEAP_OBJECT_H

#include <pthread.h>
#include <pyheap/label.h>
#include <pyheap/runtime.h>

struct ph_replay;

/* ---- references ------------------------------------------------------------- */

/* One reference: the target's address and flags in the bits above it. */
typedef uint64_t ph_ref;
#define PH_REF_BORROWED (1ull << 63) /* visited or found, but holds no reference count */
#define PH_REF_OWNED (1ull << 62)    /* held, but not visited by tp_traverse */
#define PH_REF_ADDR ((1ull << PH_ADDR_BITS) - 1)

/* How a reference is held, before it is turned into text. */
struct ph_ref_label {
	enum ph_label_kind kind;
	int64_t index;
	ph_addr key;      /* a str (ATTR, LOCAL, CELL) or any object (VALUE, KEY), or 0 */
	ph_addr cstr;     /* ATTR: C string in the target, or 0 */
	ph_addr code;     /* LOCAL, STACK: of the frame … */
	uint32_t line;    /* … and the line that it is at; 0: the first */
	const char *name; /* ATTR: static string of ours, or NULL */
};

/* References of one object in the order the object holds them: those that
 * tp_traverse visits, then the owned ones. Re-used from object to object. */
struct ph_refs {
	ph_ref *items;
	size_t n, cap;
	struct ph_ref_label *labels; /* beside items when `labelled`; else NULL */
	size_t labels_cap;
	bool labelled;
	bool nomem;
};
void ph_refs_free(struct ph_refs *refs);

/* ---- types --------------------------------------------------------------------- */

struct ph_kind; /* how objects of a builtin type are read: src/object/kinds.c */

/* A type object of the target, read once. Owned by the ph_objects. */
struct ph_type {
	ph_addr address;
	uint32_t number;         /* dense, in the order met */
	uint32_t id;             /* the graph's */
	char *name;              /* SPEC's name */
	uint64_t flags;          /* tp_flags */
	uint64_t basicsize, itemsize;
	uint32_t head_bytes;     /* that every instance has: what readers may use of ph_object.head */
	int64_t dictoffset, weaklistoffset;
	struct ph_type *base;
	bool heap, have_gc, weakrefable;
	ph_addr traverse;        /* tp_traverse */
	ph_addr is_gc;           /* tp_is_gc */
	bool python_class;       /* made by a class statement (or type()) */

	/* references */
	const struct ph_kind *kind;  /* reads what the C base type holds; NULL = unknown */
	struct ph_type *owner;       /* the type whose tp_traverse runs in the end */
	bool visits_type;            /* its traverse visits type(o) … */
	bool owns_type;              /* … or holds it unvisited */
	uint8_t dict_mode;           /* enum ph_dict_mode */
	struct ph_type_member { uint32_t offset; ph_addr name; } *slots; /* visited __slots__ */
	size_t nslots;
	struct ph_type_member *members; /* declared object members of C types in the base chain, by offset */
	size_t nmembers;
	ph_addr cached_keys;         /* ht_cached_keys, 0 = none: names of the values of its instances, … */
	uint32_t keys_used, keys_room; /* … so many of them, of so many that there is room for … */
	bool keys_known;             /* … if they can be read */
	struct ph_type_word { ph_ref flags; uint32_t offset; } *words; /* where references are; words.c */
	uint32_t words_end[3];       /* enum ph_type_words */
	bool words_known;
	bool leaf;                   /* instances never refer to anything but their type */
	bool refs_exact;             /* a reader tells all that its tp_traverse visits (or it has none), … */
	bool whole;                  /* … and what it holds beside that */
	bool structseq;
	uint32_t structseq_fields;
	bool weakref;                /* instances refer to an object without holding it */

	/* size */
	uint8_t cls;                 /* enum ph_type_class of its instances */
	uint8_t form;                /* enum ph_type_form of its instances */
	const struct ph_kind *sizer; /* kind of the type whose C __sizeof__ applies; NULL = unknown */
	ph_addr sizeof_method;       /* its C function, 0 = not known */
	bool python_sizeof;          /* a Python-level __sizeof__ was passed over */
	uint32_t pre;                /* bytes before the object that sys.getsizeof adds */
	uint64_t fixed_size;         /* sys.getsizeof of all instances, nothing is left out; 0 = it depends */

	/* ph_objects_verify(): objects whose own code says something else, the first of them */
	uint64_t refs_differ, sizes_differ;
	ph_addr differs_at;
	struct ph_type *next;        /* all types of the ph_objects, by number */
};

enum ph_type_words {
	PH_WORDS_BEFORE_DICT,  /* the dict that is not at a fixed place */
	PH_WORDS_BEFORE_ITEMS, /* what the reader of its kind tells */
	PH_WORDS_LAST,
};
enum ph_dict_mode {
	PH_DICT_NONE,
	PH_DICT_SLOT,    /* at dictoffset */
	PH_DICT_FROM_END,/* at -dictoffset from the end of the object's items */
	PH_DICT_MANAGED, /* in the pre-header, or values without a dict */
};

/* ---- objects -------------------------------------------------------------------- */

/* What the objects' own code may be used for (replay.h). */
struct ph_objects_options {
	bool replay;           /* asked where there is no reader */
	bool separate;         /* a fresh child for the code of each file */
	bool verify;           /* asked for everything, and compared with what the readers read */
	uint64_t verified;     /* out: answers compared */
	uint64_t replay_ns;    /* out: time that it took */
	struct ph_err *refused; /* out: why it was not possible, when it was needed; owned by the caller */
};

/* Types by address, open addressing. A larger table takes the place of a full one, which
 * stays: another thread may be reading it. */
struct ph_type_index {
	size_t size; /* a power of two */
	struct ph_type_index *older;
	struct ph_type *slots[];
};

/* All functions on it may be called from several threads at once, but for open, close,
 * replay and verify. */
struct ph_objects {
	struct ph_objects_options *options; /* borrowed; NULL = no replay */
	struct ph_replayed *replayed;    /* what the objects' own code has told; replayed.c */
	const struct ph_runtime *rt;     /* borrowed */
	const struct ph_mem *mem;
	const struct ph_layout *layout;
	struct ph_notes *notes;          /* borrowed */
	struct ph_type_index *table;
	size_t ntypes;
	pthread_mutex_t lock;            /* recursive: of types being added, and of replayed's scratch */
	struct ph_type *first, **last;   /* all, by number */
	ph_addr subtype_traverse;        /* tp_traverse of every class made by Python code */
	ph_addr subtype_dealloc;         /* and its tp_dealloc */
	ph_addr sizeof_key;              /* the interned str "__sizeof__" */
	ph_addr interned;                /* the main interpreter's, see ph_objects_interned() */
	ph_addr sizeof_function;         /* ob_type of functions written in Python */
	uint32_t off_type;               /* of ob_type, hot */
	uint32_t head_size;              /* sizeof(PyGC_Head), 0 where objects have none (free-threaded) */
	struct object_counts PH_VEC(struct object_count) counts; /* by object: what threads count apart; counts.c */
	bool immortals;                  /* 3.12+: negative low half of the count */
	bool nomem;
};

/* options: borrowed until close, or NULL. */
struct ph_err *ph_objects_open(const struct ph_runtime *rt, struct ph_objects_options *options,
			       struct ph_notes *notes, struct ph_objects **ret);
/* Error 7: why the objects' own code cannot be run here (replay.h); the same as
 * options->refused after it was tried. */
struct ph_err *ph_objects_try_replay(struct ph_objects *os);
void ph_objects_close(struct ph_objects *os);

/* The dict of interned strings of an interpreter, which holds no counts; 0 = none of its
 * own (before 3.12 all share that of the main one). */
ph_addr ph_objects_interned(const struct ph_objects *os, size_t interp);

/* The type object at an address, read and checked on first use; NULL when there
 * is none. Borrowed. */
struct ph_type *ph_type_slow(struct ph_objects *os, ph_addr address);
static inline size_t ph_type_slot(const struct ph_type_index *table, ph_addr address)
{
	return (address >> 4) * 0x9e3779b97f4a7c15u >> 40 & (table->size - 1);
}
static inline struct ph_type *ph_type_at(struct ph_objects *os, ph_addr address)
{
	const struct ph_type_index *table = __atomic_load_n(&os->table, __ATOMIC_ACQUIRE);
	struct ph_type *t = __atomic_load_n(&table->slots[ph_type_slot(table, address)], __ATOMIC_ACQUIRE);
	return t && t->address == address ? t : ph_type_slow(os, address);
}
/* The type of the object at an address; NULL when that is not an object. */
static inline struct ph_type *ph_object_type(struct ph_objects *os, ph_addr object)
{
	uint64_t type;
	if ((object & 7) || !ph_mem_u64(os->mem, object + os->off_type, &type))
		return NULL;
	return ph_type_at(os, type);
}

struct ph_object {
	ph_addr address;
	const struct ph_type *type;
	const uint8_t *head; /* its first type->head_bytes bytes */
};
/* False (and a note) when its head is not readable. */
bool ph_object_open(struct ph_objects *os, ph_addr address, const struct ph_type *type,
		    struct ph_object *ret);
/* Both at once: false when there is no object, or (with a note) no readable one. */
static inline bool ph_object_at(struct ph_objects *os, ph_addr address, struct ph_object *ret)
{
	const struct ph_block *b = ph_mem_block(os->mem, address);
	uint64_t left = PH_BLOCK_SIZE - (address & (PH_BLOCK_SIZE - 1));
	const struct ph_type *t;
	if (!b || !b->bytes || left < os->off_type + 8ull) {
		t = ph_object_type(os, address);
		return t && ph_object_open(os, address, t, ret);
	}
	const uint8_t *head = b->bytes + (PH_BLOCK_SIZE - left);
	t = address & 7 ? NULL : ph_type_at(os, ph_load_u64(head + os->off_type));
	if (!t || t->head_bytes > left)
		return t && ph_object_open(os, address, t, ret);
	*ret = (struct ph_object){ address, t, head };
	return true;
}
/* Appends all references; false when they are not known exactly. */
bool ph_object_refs(struct ph_objects *os, const struct ph_object *o, struct ph_refs *out);
/* sys.getsizeof and the bytes it leaves out; false when not known exactly. */
bool ph_object_size(struct ph_objects *os, const struct ph_object *o, uint64_t *ret_shallow,
		    uint64_t *ret_uncounted);
/* Whether the own code of an object of this type is needed for its size or its references,
 * which could not be read (unread), and is to be asked. */
static inline bool ph_object_wants_replay(const struct ph_objects *os, const struct ph_type *t, bool unread)
{
	if (t->sizer && (t->refs_exact || !t->have_gc || !t->traverse) && !unread)
		return false;
	return os->options && os->options->replay && !os->options->refused &&
	       (!t->sizer || (t->have_gc && t->traverse && (unread || !t->refs_exact)));
}
/* Runs the objects' own code; what it tells is what ph_object_refs() and _size() give
 * from then on. Objects whose code fails stay as they are. */
struct ph_err *ph_objects_replay(struct ph_objects *os, const ph_addr *addrs, size_t n);
/* Asks the own code of objects that our readers read, and compares its answers: see
 * struct ph_type. */
struct ph_err *ph_objects_verify(struct ph_objects *os, const ph_addr *addrs, size_t n, uint64_t *ret_answers);
/* Reference count; *ret_immortal where the interpreter does not count. */
uint64_t ph_object_refcount(struct ph_objects *os, const struct ph_object *o, bool *ret_immortal);
/* On a gc list? */
bool ph_object_tracked(struct ph_objects *os, const struct ph_object *o);
/* The label of cell number `cell` of the n in a function's closure. */
bool ph_object_free_name(struct ph_objects *os, ph_addr function, uint64_t cell, uint64_t n,
			 struct ph_ref_label *ret);
/* What a weak reference refers to, 0 = nothing any more. */
ph_addr ph_object_referent(struct ph_objects *os, const struct ph_object *o);
/* What an object is called by those who wrote it; false: it has no name. */
bool ph_object_describe(struct ph_objects *os, const struct ph_object *o, char *buf, size_t max);
/* A label as the graph gives it out, but for is_name of keys. */
void ph_object_label(struct ph_objects *os, const struct ph_ref_label *l, struct ph_label *ret);

#endif
