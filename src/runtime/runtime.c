/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds and checks the interpreters. Facts: CPython's Include/internal/pycore_{runtime,interp}.h. */
#include <stdio.h>
#include <pyheap/runtime.h>
#include "runtime_priv.h"

#define MAX_INTERPS 4096

/* The version and the kind of build; up to 3.10 only sys tells the former. */
static void identify(struct ph_runtime *rt, const struct ph_runtime_place *place)
{
	struct ph_python python;
	int64_t hex;
	ph_addr sysdict = rt_field(rt, rt->interps[0].address, PH_F_PyInterp_sysdict);
	ph_python_identify(rt->target, place, &python);
	rt->hexversion = python.hexversion;
	if (!rt->hexversion && ph_py_int(rt, ph_py_dict_get(rt, sysdict, "hexversion"), &hex))
		rt->hexversion = (uint32_t)hex;
	rt->debug_build = python.debug > 0 || (python.debug < 0 && ph_py_dict_get(rt, sysdict, "gettotalrefcount"));
}

static bool is_set(const struct ph_runtime *rt, ph_addr base, enum ph_field f)
{
	const uint8_t *flag = rt_has(rt, f) ? ph_mem_at(rt->mem, base + ph_layout_off(rt->layout, f), 1) : NULL;
	return flag && *flag;
}

/* All threads but one stand, or are about to: for a collection, mostly, and for what else
 * must not be seen half done. Only free-threaded builds do that. */
static bool world_stops(const struct ph_runtime *rt, ph_addr interp)
{
	return rt->free_threaded && (is_set(rt, interp, PH_F_PyInterp_stop_requested) || is_set(rt, interp, PH_F_PyInterp_stopped) ||
				     is_set(rt, rt->address, PH_F_PyRuntime_stop_requested) ||
				     is_set(rt, rt->address, PH_F_PyRuntime_stopped));
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
	if ((ph_mem_u32(rt->mem, in->gc + ph_layout_off(l, PH_F_GC_collecting), &collecting) &&
	     collecting) || world_stops(rt, address))
		rt->collecting = in->collecting = true;
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

static bool is_named(const struct ph_runtime *rt, ph_addr type, const char *name)
{
	char buf[16];
	return ph_mem_str(rt->mem, rt_field(rt, type, PH_F_PyType_tp_name), buf, sizeof buf) && !strcmp(buf, name);
}

/* By their symbols, where sys.modules is lost. */
static bool types_by_symbol(struct ph_runtime *rt)
{
	return ph_runtime_symbol(rt, "PyDict_Type", &rt->dict_type, NULL) &&
	       ph_runtime_symbol(rt, "PyType_Type", &rt->type_type, NULL) &&
	       rt_field(rt, rt->type_type, PH_F_PyObject_ob_type) == rt->type_type;
}

/* sys.modules is a dict, type(dict) is a type, and type(type) is type: cheap proof
 * that the layout fits this target, and the way to the types without symbols (which lead
 * astray where the loader has moved them into the program). A core that was cut off may
 * have lost it. */
static struct ph_err *types_find(struct ph_runtime *rt, struct ph_notes *notes)
{
	ph_addr modules = rt_field(rt, rt->interps[0].address, PH_F_PyInterp_modules);
	struct ph_py_dict d;
	if (modules && !ph_mem_at(rt->mem, modules, 16) && types_by_symbol(rt)) {
		ph_note(notes, PH_NOTE_BAD_OBJECT, modules);
		return NULL;
	}
	rt->dict_type = rt_field(rt, modules, PH_F_PyObject_ob_type);
	rt->type_type = rt_field(rt, rt->dict_type, PH_F_PyObject_ob_type);
	if (rt->type_type && rt_field(rt, rt->type_type, PH_F_PyObject_ob_type) == rt->type_type &&
	    is_named(rt, rt->type_type, "type") && is_named(rt, rt->dict_type, "dict") &&
	    ph_py_dict(rt, modules, &d))
		return NULL;
	struct ph_err *err = ph_err_new(PH_ERR_LAYOUT, "%s: sys.modules cannot be read with the layout of %s",
					rt->target->what, rt->layout->origin);
	if (rt->module && !rt->module->open_path)
		return ph_err_hint(err, "%s was not found, and what is only in there is missing: --exe FILE or "
				   "--sysroot DIR say where it is", rt->module->path);
	return ph_err_hint(err, "the process may still be starting; otherwise the layout does not belong to "
			   "this interpreter");
}

struct ph_err *ph_runtime_open(const struct ph_target *target, const struct ph_runtime_place *place,
			       const struct ph_layout *layout, struct ph_notes *notes, struct ph_runtime **ret)
{
	struct ph_err *err;
	struct ph_runtime *rt = calloc(1, sizeof *rt);
	if (!rt)
		return ph_err_nomem();
	rt->target = target;
	rt->mem = target->mem;
	rt->layout = layout;
	rt->address = place->address;
	rt->module = ph_target_module_at(target, place->definer);
	rt->free_threaded = ph_layout_has(layout, PH_F_PyObject_ob_ref_local);
	err = interps_read(rt, notes);
	if (!err)
		err = types_find(rt, notes);
	if (err) {
		ph_runtime_free(rt);
		return err;
	}
	identify(rt, place);
	if (!rt->hexversion) {
		err = ph_err_new(PH_ERR_LAYOUT, "%s: cannot tell the version of its Python", target->what);
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

bool ph_runtime_symbol(const struct ph_runtime *rt, const char *name, ph_addr *ret_addr, uint64_t *ret_size)
{
	return rt->module && ph_module_symbol(rt->module, name, ret_addr, ret_size);
}

void ph_runtime_version(const struct ph_runtime *rt, char buf[32])
{
	ph_version_text(rt->hexversion, buf);
}
