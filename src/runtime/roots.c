/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What holds objects from outside the object graph: frames, sys.modules, thread
 * and interpreter state. Facts: Include/internal/pycore_interp*.h, Include/cpython/pystate.h. */
#include <stdio.h>
#include "runtime_priv.h"

#define MAX_THREADS 65536
#define MAX_FRAMES 1000000 /* of one thread */
#define MAX_EXC_STACK 100000
#define MAX_LOCALS (1u << 20) /* of one frame */

struct roots {
	const struct ph_runtime *rt;
	struct ph_notes *notes;
	struct ph_rootrefs *refs;
	struct ph_running *running;
	uint32_t interp; /* index of the one at work */
	uint64_t budget; /* slots that frames may still have: no more than there are words */
	bool nomem;
};

static struct ph_rootref *root_add(struct roots *r, enum ph_rootref_kind kind, ph_addr object,
				   ph_addr at, const char *name)
{
	static struct ph_rootref sink;
	if (!object)
		return &sink;
	if (!PH_VEC_PUSH(r->refs, (struct ph_rootref){ .object = object, .at = at, .kind = kind, .frame = UINT32_MAX,
							 .interp = r->interp })) {
		r->nomem = true;
		return &sink;
	}
	struct ph_rootref *ref = &r->refs->items[r->refs->n - 1];
	snprintf(ref->name, sizeof ref->name, "%s", name);
	return ref;
}

static void field_add(struct roots *r, enum ph_rootref_kind kind, ph_addr base, enum ph_field f,
		      const char *name)
{
	root_add(r, kind, rt_field(r->rt, base, f), base + ph_layout_off(r->rt->layout, f), name);
}

/* ---- frames -------------------------------------------------------------------- */

void ph_running_free(struct ph_running *running)
{
	ph_vec_free(&running->threads);
	ph_vec_free(&running->frames);
}

static void frame_add(struct roots *r, ph_addr code, ph_addr object, uint32_t line)
{
	r->nomem |= !PH_VEC_PUSH(&r->running->frames, (struct ph_running_frame){ code, object, line });
}

static struct ph_rootref *local_add(struct roots *r, ph_addr object, ph_addr at)
{
	size_t n = r->running->frames.n;
	struct ph_rootref *ref = root_add(r, PH_ROOTREF_LOCAL, object, at, "");
	if (!n)
		return ref;
	const struct ph_running_frame *f = &r->running->frames.items[n - 1];
	ref->code = f->code;
	ref->line = f->line;
	ref->frame = (uint32_t)(n - 1);
	return ref;
}

static void frame_slots(struct roots *r, const struct ph_py_frame *f)
{
	const struct ph_runtime *rt = r->rt;
	const uint8_t *slots = ph_mem_at(rt->mem, f->slots, (uint64_t)f->nslots * 8);
	for (uint32_t i = 0; slots && i < f->nslots && r->budget; i++, r->budget--) {
		bool borrowed;
		ph_addr object = ph_py_slot(rt, ph_load_u64(slots + 8 * i), &borrowed);
		if (!object)
			continue;
		struct ph_rootref *ref = local_add(r, object, f->slots + 8 * i);
		ref->borrowed = borrowed;
		if (i < f->nlocals)
			ph_py_local_name(rt, f->code, i, ref->name, sizeof ref->name);
	}
}

/* A frame's own references, besides its slots. */
static void frame_fields(struct roots *r, const struct ph_py_frame *f)
{
	const struct ph_layout *l = r->rt->layout;
	ph_addr at = f->address;
	root_add(r, PH_ROOTREF_INTERP, f->code, at + ph_layout_off(l, PH_F_IFrame_executable),
		 "code of a running frame")->borrowed = f->code_borrowed;
	root_add(r, PH_ROOTREF_INTERP, f->func, at + ph_layout_off(l, PH_F_IFrame_func),
		 "function of a running frame")->borrowed = f->func_borrowed;
	root_add(r, PH_ROOTREF_INTERP, f->frame_obj, at + ph_layout_off(l, PH_F_IFrame_frame_obj),
		 "running frame");
	root_add(r, PH_ROOTREF_INTERP, f->f_locals, at + ph_layout_off(l, PH_F_IFrame_locals),
		 "locals of a running frame");
}

static void interpreter_frames(struct roots *r, ph_addr iframe)
{
	struct ph_py_frame f;
	size_t n = 0;
	for (; iframe && n < MAX_FRAMES; n++, iframe = f.previous) {
		/* gcore writes zeroes for a stack with a guard page that it cannot read */
		if (!ph_py_frame(r->rt, iframe, &f) || !f.code) {
			ph_note(r->notes, PH_NOTE_BAD_LIST, iframe);
			return;
		}
		/* entries from C onto the stack have nothing but a link */
		if (f.owner > r->rt->layout->enums[PH_E_FRAME_OWNED_BY_FRAME_OBJECT].value)
			continue;
		if (f.has_code) /* else a shim */
			frame_add(r, f.code, f.frame_obj, ph_py_frame_line(r->rt, &f));
		frame_slots(r, &f);
		frame_fields(r, &f);
	}
	if (iframe)
		ph_note(r->notes, PH_NOTE_BAD_LIST, iframe);
}

/* ≤3.10: frames are objects, linked by f_back; their locals lie in them. */
static void frame_objects(struct roots *r, ph_addr frame)
{
	const struct ph_runtime *rt = r->rt;
	uint32_t offset = ph_layout_off(rt->layout, PH_F_PyFrame_f_localsplus);
	size_t n = 0;
	for (; frame && n < MAX_FRAMES; n++, frame = rt_field(rt, frame, PH_F_PyFrame_f_back)) {
		ph_addr code = rt_field(rt, frame, PH_F_PyFrame_f_code), locals = frame + offset;
		ph_addr stack = rt_field(rt, frame, PH_F_PyFrame_f_valuestack);
		if (!code)
			break;
		frame_add(r, code, frame, ph_py_frame_object_line(rt, frame));
		for (uint32_t i = 0; i < MAX_LOCALS && locals + 8ull * i < stack && r->budget; i++, r->budget--) {
			uint64_t object;
			if (!ph_mem_u64(rt->mem, locals + 8ull * i, &object))
				break;
			struct ph_rootref *ref = local_add(r, object, locals + 8ull * i);
			ref->in_graph = true;
			if (object)
				ph_py_local_name(rt, code, i, ref->name, sizeof ref->name);
		}
	}
	if (frame)
		ph_note(r->notes, PH_NOTE_BAD_LIST, frame);
}

static void thread_frames(struct roots *r, ph_addr thread)
{
	const struct ph_runtime *rt = r->rt;
	if (rt_has(rt, PH_F_PyFrame_f_localsplus)) {
		frame_objects(r, rt_field(rt, thread, PH_F_PyThread_frame));
		field_add(r, PH_ROOTREF_INTERP, thread, PH_F_PyThread_frame, "running frame");
		return;
	}
	if (rt_has(rt, PH_F_PyThread_frame))
		interpreter_frames(r, rt_field(rt, thread, PH_F_PyThread_frame));
	else if (rt_has(rt, PH_F_PyThread_cframe) && rt_has(rt, PH_F_CFrame_current_frame))
		interpreter_frames(r, rt_field(rt, rt_field(rt, thread, PH_F_PyThread_cframe),
					       PH_F_CFrame_current_frame));
}

static uint64_t thread_number(const struct ph_runtime *rt, ph_addr thread, enum ph_field f)
{
	return rt_has(rt, f) ? rt_field(rt, thread, f) : 0;
}

static void thread_add(struct roots *r, ph_addr thread)
{
	struct ph_running_thread t = {
		.id = thread_number(r->rt, thread, PH_F_PyThread_thread_id),
		.native_id = thread_number(r->rt, thread, PH_F_PyThread_native_thread_id),
		.interp = r->interp,
		.state = thread,
		.frames = (uint32_t)r->running->frames.n,
	};
	thread_frames(r, thread);
	t.nframes = (uint32_t)r->running->frames.n - t.frames;
	r->nomem |= !PH_VEC_PUSH(&r->running->threads, t);
}

/* ---- fields of the states ---------------------------------------------------------- */

struct state_field {
	enum ph_field field;
	const char *name;
};

static void fields_add(struct roots *r, ph_addr base, const struct state_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rt_has(r->rt, fields[i].field))
			field_add(r, PH_ROOTREF_INTERP, base, fields[i].field, fields[i].name);
}
#define FIELDS_ADD(r, base, table) fields_add(r, base, table, sizeof(table) / sizeof *(table))

static const struct state_field thread_fields[] = {
	{ PH_F_PyThread_dict, "thread state dict" },
	{ PH_F_PyThread_context, "current context" },
	{ PH_F_PyThread_async_exc, "asynchronous exception" },
	{ PH_F_PyThread_curexc_type, "current exception" },
	{ PH_F_PyThread_curexc_value, "current exception" },
	{ PH_F_PyThread_curexc_traceback, "current exception" },
	{ PH_F_PyThread_c_profileobj, "profile function" },
	{ PH_F_PyThread_c_traceobj, "trace function" },
	{ PH_F_PyThread_async_gen_firstiter, "async generator hooks" },
	{ PH_F_PyThread_async_gen_finalizer, "async generator hooks" },
	{ PH_F_PyThread_delete_later, "objects being deleted" },
	{ PH_F_PyThread_running_loop, "running event loop" },
	{ PH_F_PyThread_running_task, "running task" },
};

static const struct state_field exc_fields[] = {
	{ PH_F_ExcStack_type, "handled exception" },
	{ PH_F_ExcStack_value, "handled exception" },
	{ PH_F_ExcStack_traceback, "handled exception" },
};

static const struct state_field interp_fields[] = {
	{ PH_F_PyInterp_sysdict, "sys" },
	{ PH_F_PyInterp_sysdict_copy, "copy of sys" },
	{ PH_F_PyInterp_builtins, "builtins" },
	{ PH_F_PyInterp_builtins_copy, "copy of builtins" },
	{ PH_F_PyInterp_modules_by_index, "modules by index" },
	{ PH_F_PyInterp_importlib, "importlib" },
	{ PH_F_PyInterp_import_func, "import function" },
	{ PH_F_PyInterp_codec_search_path, "codec registry" },
	{ PH_F_PyInterp_codec_search_cache, "codec registry" },
	{ PH_F_PyInterp_codec_error_registry, "codec registry" },
	{ PH_F_PyInterp_dict, "interpreter state dict" },
	{ PH_F_PyInterp_before_forkers, "fork handlers" },
	{ PH_F_PyInterp_after_forkers_parent, "fork handlers" },
	{ PH_F_PyInterp_after_forkers_child, "fork handlers" },
	{ PH_F_PyInterp_audit_hooks, "audit hooks" },
	{ PH_F_PyInterp_warnings_filters, "warnings" },
	{ PH_F_PyInterp_warnings_once_registry, "warnings" },
	{ PH_F_PyInterp_warnings_default_action, "warnings" },
};

static const struct state_field gc_fields[] = {
	{ PH_F_GC_garbage, "gc.garbage" },
	{ PH_F_GC_callbacks, "gc.callbacks" },
};

static void exception_stack(struct roots *r, ph_addr item)
{
	for (size_t n = 0; item && n < MAX_EXC_STACK; n++) {
		FIELDS_ADD(r, item, exc_fields);
		if (!rt_has(r->rt, PH_F_ExcStack_previous))
			return;
		item = rt_field(r->rt, item, PH_F_ExcStack_previous);
	}
}

/* Locals first: where several roots hold an object, the first names it. */
static void threads_add(struct roots *r, ph_addr thread)
{
	size_t n = 0;
	for (ph_addr at = thread; at && n < MAX_THREADS; n++) {
		thread_add(r, at);
		at = rt_field(r->rt, at, PH_F_PyThread_next);
	}
	if (n == MAX_THREADS)
		ph_note(r->notes, PH_NOTE_BAD_LIST, thread);
	n = 0;
	for (ph_addr at = thread; at && n < MAX_THREADS; n++) {
		FIELDS_ADD(r, at, thread_fields);
		if (rt_has(r->rt, PH_F_PyThread_exc_info))
			exception_stack(r, rt_field(r->rt, at, PH_F_PyThread_exc_info));
		at = rt_field(r->rt, at, PH_F_PyThread_next);
	}
}

struct ph_err *ph_runtime_roots(const struct ph_runtime *rt, struct ph_notes *notes,
				struct ph_rootrefs *refs, struct ph_running *running)
{
	struct roots r = { .rt = rt, .notes = notes, .refs = refs, .running = running,
			   .budget = rt->mem->whole_size / 8 };
	for (size_t i = 0; i < rt->ninterps; i++) {
		ph_addr in = rt->interps[i].address;
		r.interp = (uint32_t)i;
		threads_add(&r, rt_field(rt, in, PH_F_PyInterp_threads));
		field_add(&r, PH_ROOTREF_MODULES, in, PH_F_PyInterp_modules, "sys.modules");
		FIELDS_ADD(&r, in, interp_fields);
		FIELDS_ADD(&r, rt->interps[i].gc, gc_fields);
	}
	return r.nomem ? ph_err_nomem() : NULL;
}

char *ph_runtime_root_name(const struct ph_runtime *rt, const struct ph_rootref *ref)
{
	char where[512];
	if (ref->kind != PH_ROOTREF_LOCAL)
		return strdup(ref->name);
	ph_py_where(rt, ref->code, ref->line, where, sizeof where);
	return ph_asprintf("%s%s in %s", ref->name[0] ? "local " : "stack", ref->name, where);
}
