/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds and checks the interpreters. Facts: CPython's Include/internal/pycore_{runtime,interp}.h. */
#include <stdio.h>
#include <pyheap/runtime.h>
#include "runtime_priv.h"

#define MAX_INTERPS 4096

/* The version and the kind of build; up to 3.10 only sys tells the former. */
static void identify(struct ph_runtime *rt, const struct ph_module *module)
{
	struct ph_python python;
	int64_t hex;
	ph_addr sysdict = rt_field(rt, rt->interps[0].address, PH_F_PyInterp_sysdict);
	ph_python_identify(rt->target, module, rt->address, &python);
	rt->hexversion = python.hexversion;
	if (!rt->hexversion && ph_py_int(rt, ph_py_dict_get(rt, sysdict, "hexversion"), &hex))
		rt->hexversion = (uint32_t)hex;
	rt->debug_build = python.debug > 0 || (python.debug < 0 && ph_py_dict_get(rt, sysdict, "gettotalrefcount"));
	rt->free_threaded = ph_layout_has(rt->layout, PH_F_PyObject_ob_ref_local);
}

static bool interp_add(struct ph_runtime *rt, ph_addr address, struct ph_notes *notes)
{
	const struct ph_layout *l = rt->layout;
	struct ph_interp *in = &rt->interps[rt->ninterps];
	if (!ph_mem_at(rt->mem, address, 64)) {
		ph_note(notes, PH_NOTE_BAD_LIST, address);
		return false;
	}
	in->address = address;
	in->id = ph_layout_has(l, PH_F_PyInterp_id)
			 ? (int64_t)rt_field(rt, address, PH_F_PyInterp_id) : 0;
	in->gc = ph_layout_has(l, PH_F_PyInterp_gc)
			 ? address + ph_layout_off(l, PH_F_PyInterp_gc)
			 : rt->address + ph_layout_off(l, PH_F_PyRuntime_gc);
	uint32_t collecting;
	if (ph_mem_u32(rt->mem, in->gc + ph_layout_off(l, PH_F_GC_collecting), &collecting) &&
	    collecting)
		rt->collecting = true;
	rt->ninterps++;
	return true;
}

/* The list starts with the newest; the main interpreter is its last. */
static struct ph_err *interps_read(struct ph_runtime *rt, struct ph_notes *notes)
{
	struct PH_VEC(ph_addr) found = { 0 };
	ph_addr in = rt_field(rt, rt->address, PH_F_PyRuntime_interpreters_head);
	while (in && found.n < MAX_INTERPS) {
		if (!PH_VEC_PUSH(&found, in)) {
			ph_vec_free(&found);
			return ph_err_nomem();
		}
		in = rt_field(rt, in, PH_F_PyInterp_next);
	}
	if (in)
		ph_note(notes, PH_NOTE_BAD_LIST, in);
	rt->interps = calloc(found.n ? found.n : 1, sizeof *rt->interps);
	for (size_t i = found.n; rt->interps && i-- > 0;)
		if (!interp_add(rt, found.items[i], notes))
			break;
	ph_vec_free(&found);
	if (!rt->interps)
		return ph_err_nomem();
	if (!rt->ninterps)
		return ph_err_hint(ph_err_new(PH_ERR_NOT_PYTHON,
					      "%s: Python is in there, but no interpreter runs",
					      rt->target->what),
				   "it may be starting up or shutting down; try again");
	return NULL;
}

/* The type objects are exported everywhere; sys.modules is the way without symbols. */
static ph_addr type_by_symbol(const struct ph_runtime *rt, const char *name, ph_addr otherwise)
{
	ph_addr addr;
	return ph_target_symbol(rt->target, name, NULL, &addr, NULL) ? addr : otherwise;
}

/* sys.modules is a dict, type(dict) is a type, and type(type) is type: cheap proof
 * that the layout fits this target. A core that was cut off may have lost it. */
static struct ph_err *types_find(struct ph_runtime *rt, struct ph_notes *notes)
{
	ph_addr modules = rt_field(rt, rt->interps[0].address, PH_F_PyInterp_modules);
	ph_addr found = rt_field(rt, modules, PH_F_PyObject_ob_type);
	struct ph_py_dict d;
	rt->dict_type = type_by_symbol(rt, "PyDict_Type", found);
	rt->type_type = type_by_symbol(rt, "PyType_Type", rt_field(rt, found, PH_F_PyObject_ob_type));
	bool type_fits = rt->type_type && rt_field(rt, rt->type_type, PH_F_PyObject_ob_type) == rt->type_type;
	if (type_fits && modules && !ph_mem_at(rt->mem, modules, 16)) {
		ph_note(notes, PH_NOTE_BAD_OBJECT, modules);
		return NULL;
	}
	if (type_fits && found == rt->dict_type && ph_py_dict(rt, modules, &d))
		return NULL;
	return ph_err_hint(ph_err_new(PH_ERR_LAYOUT, "%s: sys.modules cannot be read with the layout of %s",
				      rt->target->what, rt->layout->origin),
			   "the process may still be starting; otherwise the debug information does not "
			   "belong to this interpreter");
}

struct ph_err *ph_runtime_open(const struct ph_target *target, const struct ph_layout *layout,
			       struct ph_notes *notes, struct ph_runtime **ret)
{
	const struct ph_module *module;
	struct ph_err *err;
	struct ph_runtime *rt = calloc(1, sizeof *rt);
	if (!rt)
		return ph_err_nomem();
	rt->target = target;
	rt->mem = target->mem;
	rt->layout = layout;
	if (!ph_target_symbol(target, "_PyRuntime", &module, &rt->address, NULL)) {
		free(rt);
		return ph_err_new(PH_ERR_NOT_PYTHON, "%s: not a CPython process: no _PyRuntime in it",
				  target->what);
	}
	err = interps_read(rt, notes);
	if (!err)
		err = types_find(rt, notes);
	if (err) {
		ph_runtime_free(rt);
		return err;
	}
	identify(rt, module);
	if (rt->free_threaded || !rt->hexversion) {
		err = rt->free_threaded
			      ? ph_err_new(PH_ERR_REFUSED, "%s: free-threaded CPython is not supported yet",
					   target->what)
			      : ph_err_new(PH_ERR_LAYOUT, "%s: cannot tell the version of its Python",
					   target->what);
		ph_runtime_free(rt);
		return err;
	}
	if (rt->collecting)
		ph_note(notes, PH_NOTE_COLLECTING, 0);
	rt_learn_lookdict(rt);
	*ret = rt;
	return NULL;
}

void ph_runtime_free(struct ph_runtime *rt)
{
	if (!rt)
		return;
	free(rt->interps);
	free(rt);
}

void ph_runtime_version(const struct ph_runtime *rt, char buf[32])
{
	ph_version_text(rt->hexversion, buf);
}
