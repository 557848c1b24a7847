/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening a heap for reading, and what every object has: header, count, gc head. */
#include "object_priv.h"

/* Any class of importlib's will do: it is Python code that every process runs. */
static ph_addr class_of_importlib(const struct ph_objects *os)
{
	static const char *const classes[] = { "ModuleSpec", "_ModuleLock", "_ModuleLockManager" };
	const struct ph_runtime *rt = os->rt;
	ph_addr modules = m_u64(os, rt->interps[0].address, PH_F_PyInterp_modules);
	ph_addr module = ph_py_dict_get(rt, modules, "_frozen_importlib");
	if (!module)
		module = ph_py_dict_get(rt, modules, "importlib._bootstrap");
	ph_addr dict = m_u64(os, module, PH_F_PyModule_md_dict);
	for (size_t i = 0; i < 3; i++) {
		ph_addr type = ph_py_dict_get(rt, dict, classes[i]);
		if (m_u64(os, type, PH_F_PyType_tp_flags) & TPFLAGS_HEAPTYPE &&
		    m_u64(os, type, PH_F_PyType_tp_traverse))
			return type;
	}
	return 0;
}

/* Without it (sys.modules lies in what a core has lost): of the heap types with the
 * base `object` most are Python classes, so the traverse met most often is theirs. */
#define VOTES 8
#define VOTERS 2000
struct election {
	const struct ph_objects *os;
	struct { ph_addr traverse, type; uint32_t votes; } of[VOTES];
	uint32_t voters;
};

static bool vote(void *ctx, ph_addr object, int generation, uint32_t interp)
{
	struct election *e = ctx;
	const struct ph_objects *os = e->os;
	uint64_t type;
	if (!ph_mem_u64(os->mem, object + os->off_type, &type) || type != os->rt->type_type ||
	    !(m_u64(os, object, PH_F_PyType_tp_flags) & TPFLAGS_HEAPTYPE) ||
	    m_u64(os, m_u64(os, object, PH_F_PyType_tp_base), PH_F_PyType_tp_base))
		return true;
	ph_addr traverse = m_u64(os, object, PH_F_PyType_tp_traverse);
	for (int i = 0; traverse && i < VOTES; i++) {
		if (e->of[i].traverse && e->of[i].traverse != traverse)
			continue;
		e->of[i].traverse = traverse;
		e->of[i].type = object;
		e->of[i].votes++;
		break;
	}
	return ++e->voters < VOTERS;
}

static ph_addr class_by_vote(struct ph_objects *os)
{
	struct election e = { .os = os };
	struct ph_notes ignored = { 0 };
	int best = 0;
	ph_runtime_tracked(os->rt, 0, &ignored, vote, &e);
	for (int i = 1; i < VOTES; i++)
		if (e.of[i].votes > e.of[best].votes)
			best = i;
	return e.of[best].type;
}

static struct ph_err *learn_python_class(struct ph_objects *os)
{
	ph_addr type = class_of_importlib(os);
	if (!type)
		type = class_by_vote(os);
	if (!type)
		return ph_err_hint(ph_err_new(PH_ERR_NOT_PYTHON, "%s: no class can be found in it",
					      os->rt->target->what),
				   os->rt->target->path ? "the core is cut off, or of a moment when the interpreter "
							  "was starting or ending: look at `ulimit -c` and free disk space"
							: "the interpreter is starting up or shutting down; try again");
	os->subtype_traverse = m_u64(os, type, PH_F_PyType_tp_traverse);
	os->subtype_dealloc = m_u64(os, type, PH_F_PyType_tp_dealloc);
	return NULL;
}

/* The key under which types keep __sizeof__: one interned str for all of them. */
static void learn_sizeof_key(struct ph_objects *os)
{
	struct ph_py_dict d;
	char name[16];
	ph_addr object = os->rt->type_type;
	for (int i = 0; i < 8 && m_u64(os, object, PH_F_PyType_tp_base); i++)
		object = m_u64(os, object, PH_F_PyType_tp_base);
	if (!ph_py_dict(os->rt, ph_py_type_dict(os->rt, object), &d))
		return;
	for (uint64_t i = 0; i < d.nentries; i++) {
		ph_addr key, value;
		ph_py_dict_entry(&d, i, &key, &value);
		if (key && value && ph_py_str(os->rt, key, name, sizeof name) && !strcmp(name, "__sizeof__"))
			os->sizeof_key = key;
	}
}

struct ph_err *ph_objects_open(const struct ph_runtime *rt, struct ph_objects_options *options,
			       struct ph_notes *notes, struct ph_objects **ret)
{
	struct ph_objects *os = calloc(1, sizeof *os);
	if (!os)
		return ph_err_nomem();
	os->options = options;
	os->rt = rt;
	os->mem = rt->mem;
	os->layout = rt->layout;
	os->notes = notes;
	os->last = &os->first;
	os->off_type = ph_layout_off(rt->layout, PH_F_PyObject_ob_type);
	os->head_size = rt->free_threaded ? 0 : ph_layout_size(rt->layout, PH_S_GCHead);
	os->immortals = rt->hexversion >= 0x030c0000;
	pthread_mutexattr_t recursive;
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&os->lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
	struct ph_err *err = ph_types_grow(os) && counts_read(os) ? learn_python_class(os) : ph_err_nomem();
	if (err) {
		ph_objects_close(os);
		return err;
	}
	learn_sizeof_key(os);
	learn_interned(os);
	*ret = os;
	return NULL;
}

void ph_objects_close(struct ph_objects *os)
{
	if (!os)
		return;
	replayed_free(os);
	ph_types_free(os);
	ph_vec_free(&os->counts);
	pthread_mutex_destroy(&os->lock);
	free(os);
}

bool ph_object_open(struct ph_objects *os, ph_addr address, const struct ph_type *type,
		    struct ph_object *ret)
{
	ret->address = address;
	ret->type = type;
	ret->head = ph_mem_at(os->mem, address, type->head_bytes);
	if (!ret->head)
		ph_note(os->notes, PH_NOTE_BAD_OBJECT, address);
	return ret->head != NULL;
}

/* Only heap types among the types have a gc head. */
bool ph_object_tracked(struct ph_objects *os, const struct ph_object *o)
{
	uint64_t next;
	if (os->rt->free_threaded)
		return o_u8(os, o, PH_F_PyObject_ob_gc_bits) & GC_TRACKED;
	if (!o->type->have_gc || (o->type->flags & TPFLAGS_TYPE_SUBCLASS &&
				  !(o_u64(os, o, PH_F_PyType_tp_flags) & TPFLAGS_HEAPTYPE)))
		return false;
	return ph_mem_u64(os->mem, o->address - os->head_size + ph_layout_off(os->layout, PH_F_GCHead_next),
			  &next) && next;
}
