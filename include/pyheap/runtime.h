/* SPDX-License-Identifier: GPL-2.0-or-later */
/* runtime: CPython's interpreters, threads, frames, gc lists, and the few
 * builtin structs that names are read from (str, int, dict). */
#ifndef PYHEAP_RUNTIME_H
#define PYHEAP_RUNTIME_H

#include <pyheap/layout.h>

struct ph_interp {
	ph_addr address;
	int64_t id;
	ph_addr gc; /* its struct _gc_runtime_state */
	bool collecting; /* its collector is at work (3.8: that of all) */
};
/* In place of an interpreter's index: of none alone, or not known. */
#define PH_NO_INTERP UINT32_MAX

/* A place that may be _PyRuntime. */
struct ph_runtime_place {
	ph_addr address;
	ph_addr definer; /* in the module whose variable it is: elsewhere when `copied` */
	bool runs;       /* an interpreter seems to run there, or it cannot be told */
	bool is_main;    /* in the program's own file */
	bool copied;     /* moved into the program by the loader */
};
struct ph_runtime_places PH_VEC(struct ph_runtime_place);

/* All places, the likeliest first; none is no error. The target need not be captured.
 * The caller frees ret with ph_vec_free(), also after an error. */
struct ph_err *ph_runtime_find(const struct ph_target *target, struct ph_runtime_places *ret);

struct ph_runtime {
	const struct ph_target *target; /* borrowed */
	const struct ph_module *module; /* that defines it; borrowed from target; NULL = not known */
	const struct ph_mem *mem;       /* borrowed from target */
	const struct ph_layout *layout; /* borrowed */
	ph_addr address;                /* of _PyRuntime */
	uint32_t hexversion;            /* PY_VERSION_HEX */
	bool free_threaded;
	bool debug_build;
	bool collecting;                /* some interpreter's collector is at work */
	struct ph_interp *interps;      /* main interpreter first */
	size_t ninterps;
	ph_addr type_type, dict_type;   /* &PyType_Type, &PyDict_Type */
	ph_addr lookdict;               /* ≤3.10: dk_lookup of dicts with keys of any type; 0 = not known */
};

/* What can be told of the interpreter at a place, before or after the capture. */
void ph_python_identify(const struct ph_target *target, const struct ph_runtime_place *place, struct ph_python *ret);

/* Reads and checks the runtime at a place in a captured target. Errors: 3 no interpreter
 * (not initialised), 5 the layout does not fit. */
struct ph_err *ph_runtime_open(const struct ph_target *target, const struct ph_runtime_place *place,
			       const struct ph_layout *layout, struct ph_notes *notes, struct ph_runtime **ret);
void ph_runtime_free(struct ph_runtime *rt);
/* Notes those of the places, other than the runtime's, where an interpreter may run. */
void ph_runtime_note_others(const struct ph_runtime *rt, const struct ph_runtime_places *places,
			    struct ph_notes *notes);
/* A symbol of the file that the runtime is in: another file may have one of the same name. */
bool ph_runtime_symbol(const struct ph_runtime *rt, const char *name, ph_addr *ret_addr, uint64_t *ret_size);
/* ---- whether the layout fits ------------------------------------------------ */

enum ph_verdict { PH_VERDICT_UNKNOWN, PH_VERDICT_YES, PH_VERDICT_NO };
#define PH_CHECKS 11
struct ph_fit {
	enum ph_verdict verdict[PH_CHECKS];
	bool fits;     /* nothing contradicts it */
	bool proven;   /* and all that matters could be looked at */
	char why[160]; /* the first contradiction; "" = none */
};
/* "sizes are those of tp_basicsize" */
const char *ph_check_name(size_t i);
/* Holds what the layout says against what the target says. */
void ph_runtime_check(const struct ph_runtime *rt, const struct ph_python *python, struct ph_fit *ret);
/* Opens the runtime with the one of the layouts that fits (its `layout`). Those
 * that were not made of this very build must be proven. Errors as ph_runtime_open(), and
 * 5 when none fits, or when several do that contradict each other. */
struct ph_err *ph_runtime_choose(const struct ph_target *target, const struct ph_runtime_place *place,
				 const struct ph_layouts *layouts, const struct ph_python *python,
				 struct ph_notes *notes, struct ph_runtime **ret);

/* "3.11.2", "3.14.0rc1" */
void ph_runtime_version(const struct ph_runtime *rt, char buf[32]);

/* Who holds the GIL, and what running the target's code on a copy needs of it.
 * 0 = nobody, or not known. */
struct ph_gil {
	ph_addr holder;      /* the thread state that holds it */
	ph_addr main_thread; /* that of the main thread; free-threaded: of one that is at rest, if there is one */
	ph_addr storage;     /* base of the holder's thread-local storage */
	ph_addr main_storage; /* and of main_thread's */
	ph_addr current;     /* up to 3.11: where the pointer to the holder is */
	ph_addr address;     /* of the GIL itself */
};
void ph_runtime_gil(const struct ph_runtime *rt, struct ph_gil *ret);

/* ---- builtin values, for names --------------------------------------------- */

/* A str object's text as UTF-8, at most max − 1 bytes and NUL-terminated; cut
 * at a character. False when it is not a readable str. */
bool ph_py_str(const struct ph_runtime *rt, ph_addr str, char *buf, size_t max);
/* An int object's value; false when it does not fit or cannot be read. */
bool ph_py_int(const struct ph_runtime *rt, ph_addr num, int64_t *ret);

/* A dict's table, checked against memory once; then cheap to walk. */
struct ph_py_dict {
	const uint8_t *entries; /* nentries entries of `stride` bytes */
	const uint8_t *values;  /* split table: nentries values; else NULL */
	uint64_t nentries;
	ph_addr keys;           /* the keys object */
	uint32_t stride, key_off, value_off;
	bool split;
	bool general;           /* keys may be anything (not all str), by dk_kind or dk_lookup */
	bool kind_known;        /* false: `general` was told from the keys themselves */
};
bool ph_py_dict(const struct ph_runtime *rt, ph_addr dict, struct ph_py_dict *ret);
/* The same for a keys object and an array of values (0 = not split). */
bool ph_py_dict_table(const struct ph_runtime *rt, ph_addr keys, ph_addr values,
		      struct ph_py_dict *ret);
static inline void ph_py_dict_entry(const struct ph_py_dict *d, uint64_t i, ph_addr *ret_key,
				    ph_addr *ret_value)
{
	const uint8_t *e = d->entries + i * d->stride;
	*ret_key = ph_load_u64(e + d->key_off);
	*ret_value = d->split ? (d->values ? ph_load_u64(d->values + i * 8) : 0)
			      : ph_load_u64(e + d->value_off);
}
/* Bytes that sys.getsizeof counts for a keys object; 0 when it cannot be read. */
uint64_t ph_py_keys_size(const struct ph_runtime *rt, ph_addr keys);
/* Value under a str key, or 0. */
ph_addr ph_py_dict_get(const struct ph_runtime *rt, ph_addr dict, const char *key);

/* ---- types -------------------------------------------------------------------- */

/* Dict of a type: tp_dict, or of a static builtin type (3.12+) that of the first
 * interpreter that has one. 0 = none. */
ph_addr ph_py_type_dict(const struct ph_runtime *rt, ph_addr type);
/* What interpreter number `interp` keeps of a static builtin type (3.12+), 0 = none;
 * false for all other types. */
bool ph_py_type_state(const struct ph_runtime *rt, ph_addr type, size_t interp, ph_addr *ret_dict,
		      ph_addr *ret_subclasses);
/* SPEC's name of a type: qualname of builtins, module.qualname otherwise. */
bool ph_py_type_name(const struct ph_runtime *rt, ph_addr type, char *buf, size_t max);

/* ---- gc lists -------------------------------------------------------------------- */

#define PH_GENERATION_ANY 2       /* of a build that has none (free-threaded) */
#define PH_GENERATION_PERMANENT 3 /* gc.freeze() */

/* Gets an object that the collector tracks: on a gc list of generation 0, 1, 2, 3 = permanent, 4 =
 * on a temporary list of a collection in progress, or (free-threaded) in a heap, then ANY or
 * PERMANENT; the index of the interpreter whose list or heap that is, PH_NO_INTERP where they share
 * it (3.8) or it is not known. Returns false when the object was seen before (the list then ends,
 * noted). */
typedef bool ph_tracked_fn(void *ctx, ph_addr object, int generation, uint32_t interp);
/* Calls fn for every such object but for the generations whose bit is set in `skip`. */
void ph_runtime_tracked(const struct ph_runtime *rt, unsigned skip, struct ph_notes *notes, ph_tracked_fn *fn, void *ctx);
/* The same; where a list is broken, broken(ctx, link) gets the last good link and what that
 * leads to. */
void ph_runtime_lists(const struct ph_runtime *rt, unsigned skip, struct ph_notes *notes, ph_tracked_fn *fn,
		      void (*broken)(void *ctx, ph_addr link), void *ctx);
/* ph_runtime_tracked() for all generations on two threads, from both ends of each list, the one calling
 * fn with ctx[0] and the other with ctx[1]. Not while a collection is in progress. */
void ph_runtime_tracked_both(const struct ph_runtime *rt, struct ph_notes *notes, ph_tracked_fn *fn,
			     void *const ctx[2]);

/* ---- roots ------------------------------------------------------------------------- */

enum ph_rootref_kind { PH_ROOTREF_LOCAL, PH_ROOTREF_MODULES, PH_ROOTREF_INTERP };
/* A reference from outside the object graph. */
struct ph_rootref {
	ph_addr object;
	ph_addr at;         /* the word that refers to it */
	enum ph_rootref_kind kind;
	bool borrowed;      /* a deferred or borrowed stack reference: holds no count */
	bool in_graph;      /* it is an edge of a frame object, too (≤3.10) */
	ph_addr code;       /* LOCAL: the frame's code object, else 0 */
	uint32_t line;      /* LOCAL: that the frame is at */
	uint32_t frame;     /* LOCAL: index into the running frames */
	uint32_t interp;    /* index of the interpreter whose it is */
	char name[64];      /* LOCAL: variable ("" = operand stack); else the holder */
};
struct ph_rootrefs PH_VEC(struct ph_rootref);
/* Python threads and the frames that they run, the innermost first. */
struct ph_running_thread {
	uint64_t id, native_id; /* of pthread_self() and gettid(); 0 = not known */
	uint32_t interp;        /* index of its interpreter */
	ph_addr state;          /* its thread state */
	uint32_t frames, nframes;
};
struct ph_running_frame {
	ph_addr code, object;   /* object: 0 = none was made */
	uint32_t line;
};
struct ph_running {
	struct PH_VEC(struct ph_running_thread) threads;
	struct PH_VEC(struct ph_running_frame) frames;
};
void ph_running_free(struct ph_running *running);

/* References from threads' frames, then from sys.modules, thread and interpreter
 * state. The caller frees refs with ph_vec_free(), running with ph_running_free(), also
 * after an error. */
struct ph_err *ph_runtime_roots(const struct ph_runtime *rt, struct ph_notes *notes,
				struct ph_rootrefs *refs, struct ph_running *running);
/* "local rows in handler (app.py:12)", "sys.modules"; owned by the caller, NULL
 * when memory is out. */
char *ph_runtime_root_name(const struct ph_runtime *rt, const struct ph_rootref *ref);

/* A word outside the object graph that may hold a counted reference, and whose it is. */
struct ph_holder {
	ph_addr object;   /* what the word refers to, if it is an object */
	ph_addr at;       /* where the word is */
	bool scanned;     /* found in a search of memory: may be another's word, or none */
	const char *name; /* valid during the call */
};
/* 1: an object is there; 0: none; < 0: stop, memory is out. */
typedef int ph_holder_fn(void *ctx, const struct ph_holder *holder);
/* The interpreter's own holders, the most precise first: all that ph_runtime_roots()
 * finds and that is counted, what atexit and the cache of attributes hold, temporaries
 * of running frames, and every word of the interpreter's and the threads' states. */
struct ph_err *ph_runtime_holders(const struct ph_runtime *rt, ph_holder_fn *fn, void *ctx);
/* Those of C code: the states of modules, the static data of the program and its
 * libraries, the threads' stacks; words that may refer to an object, each tried once. */
struct ph_err *ph_runtime_c_holders(const struct ph_runtime *rt, ph_holder_fn *fn, void *ctx);
/* The bytes of an object that its type adds to those of its builtin base (the one
 * right below object, or object itself); false: none. */
bool ph_runtime_own_part(const struct ph_runtime *rt, ph_addr type, uint32_t *ret_from, uint32_t *ret_to);
/* Memory that may hold references, and whose it is. */
struct ph_holder_span {
	ph_addr start, end;
	bool sure;        /* no word of it is an edge of the graph */
	const char *name;
};
/* Its words, and those of memory that they lead to, as those of c_holders. *budget:
 * bytes that may be looked at; less by those that were. */
struct ph_err *ph_runtime_contents(const struct ph_runtime *rt, const struct ph_holder_span *span,
				   uint64_t *budget, ph_holder_fn *fn, void *ctx);
/* 3.11: objects that the compiler laid out (frozen modules' code) start with this count. */
#define PH_FROZEN_COUNT 999999999u
/* References to an object that no word holds: to a static type, to what is immortal,
 * and the one that an object in static data begins with. *ret_n of them (at most);
 * the holder's name, or NULL for none. */
const char *ph_runtime_given(const struct ph_runtime *rt, ph_addr object, uint64_t *ret_n);

/* ---- frames (3.11+: struct _PyInterpreterFrame) ------------------------------------ */

/* One interpreter frame's slots: which there are and how to read them. */
struct ph_py_frame {
	ph_addr address;
	ph_addr code, func, frame_obj, f_locals; /* 0 = none; code may be any executable */
	bool code_borrowed, func_borrowed;       /* tagged references that hold no count */
	bool has_code;      /* else an entry from C */
	ph_addr slots;      /* address of localsplus[0] */
	uint32_t nlocals;   /* co_nlocalsplus */
	uint32_t nslots;    /* locals and the valid part of the operand stack */
	uint32_t nvisited;  /* of these, what a traverse visits: none while the frame runs */
	ph_addr previous;
	int owner;
};
bool ph_py_frame(const struct ph_runtime *rt, ph_addr iframe, struct ph_py_frame *ret);
/* A slot's object with the tag taken off (3.14+); 0 = empty. */
ph_addr ph_py_slot(const struct ph_runtime *rt, uint64_t bits, bool *ret_borrowed);
/* The str that names local i of a code object; 0 when there is none. */
ph_addr ph_py_local_name_object(const struct ph_runtime *rt, ph_addr code, uint32_t i);
/* Its text; false when there is none. */
bool ph_py_local_name(const struct ph_runtime *rt, ph_addr code, uint32_t i, char *buf, size_t max);

/* ---- places in code ------------------------------------------------------------------- */

/* The line of the instruction at an offset (bytes); < 0: the first one. 0 = not known. */
uint32_t ph_py_line(const struct ph_runtime *rt, ph_addr code, int64_t offset);
/* That a frame is at: an interpreter frame (3.11+), a frame object (≤3.10). */
uint32_t ph_py_frame_line(const struct ph_runtime *rt, const struct ph_py_frame *f);
uint32_t ph_py_frame_object_line(const struct ph_runtime *rt, ph_addr frame);
/* The qualified name (≤3.10: the name) and the file of a code object; false: unreadable. */
bool ph_py_code_names(const struct ph_runtime *rt, ph_addr code, char *function, size_t nfunction, char *file,
		      size_t nfile);
/* "handler (app.py:12)"; line 0: where the function begins. */
void ph_py_where(const struct ph_runtime *rt, ph_addr code, uint32_t line, char *buf, size_t max);

#endif
