/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The types that pyheap reads itself: one row each. */
#include "readers.h"

#define SLOTS(name, ...) static const struct ph_slot name[] = { __VA_ARGS__, { 0, NULL, PH_VISITED } }
#define V(field, label) { PH_F_##field, label, PH_VISITED }
#define O(field, label) { PH_F_##field, label, PH_OWNED }
#define T(field, label) { PH_F_##field, label, PH_VISITED_OF_TRACKED }

SLOTS(function_slots, V(PyFunction_func_code, "__code__"), V(PyFunction_func_globals, "__globals__"),
      V(PyFunction_func_builtins, "__builtins__"), V(PyFunction_func_module, "__module__"),
      V(PyFunction_func_defaults, "__defaults__"), V(PyFunction_func_kwdefaults, "__kwdefaults__"),
      V(PyFunction_func_doc, "__doc__"), V(PyFunction_func_name, "__name__"),
      V(PyFunction_func_dict, "__dict__"), V(PyFunction_func_closure, "__closure__"),
      V(PyFunction_func_annotations, "__annotations__"), V(PyFunction_func_annotate, "__annotate__"),
      V(PyFunction_func_typeparams, "__type_params__"), V(PyFunction_func_qualname, "__qualname__"));
SLOTS(method_slots, V(PyMethod_im_func, "__func__"), V(PyMethod_im_self, "__self__"));
SLOTS(code_slots, O(PyCode_co_code, "co_code"), T(PyCode_co_consts, "co_consts"),
      O(PyCode_co_names, "co_names"), O(PyCode_co_exceptiontable, "co_exceptiontable"),
      O(PyCode_co_localsplusnames, "<localsplusnames>"), O(PyCode_co_localspluskinds, "<kinds>"),
      O(PyCode_co_varnames, "co_varnames"), O(PyCode_co_freevars, "co_freevars"),
      O(PyCode_co_cellvars, "co_cellvars"), O(PyCode_co_filename, "co_filename"),
      O(PyCode_co_name, "co_name"), O(PyCode_co_qualname, "co_qualname"),
      O(PyCode_co_linetable, "<line table>"), O(PyCode_co_cached_code, "co_code"));
SLOTS(frame_slots, V(PyFrame_f_back, "f_back"), V(PyFrame_f_code, "f_code"),
      V(PyFrame_f_builtins, "f_builtins"), V(PyFrame_f_globals, "f_globals"),
      V(PyFrame_f_locals, "f_locals"), V(PyFrame_f_trace, "f_trace"),
      V(PyFrame_f_extra_locals, "<extra locals>"), V(PyFrame_f_locals_cache, "<locals cache>"),
      V(PyFrame_f_overwritten_fast_locals, "<overwritten locals>"));
SLOTS(generator_slots, V(PyGen_gi_frame, "gi_frame"), V(PyGen_gi_code, "gi_code"),
      V(PyGen_gi_name, "__name__"), V(PyGen_gi_qualname, "__qualname__"));
SLOTS(coroutine_slots, V(PyGen_gi_frame, "cr_frame"), V(PyGen_gi_code, "cr_code"),
      V(PyGen_gi_name, "__name__"), V(PyGen_gi_qualname, "__qualname__"),
      O(PyCoro_cr_origin, "cr_origin"));
SLOTS(async_generator_slots, V(PyAsyncGen_ag_finalizer, "<finalizer>"), V(PyGen_gi_frame, "ag_frame"),
      V(PyGen_gi_code, "ag_code"), V(PyGen_gi_name, "__name__"), V(PyGen_gi_qualname, "__qualname__"));
SLOTS(asend_slots, V(AsyncGenASend_ags_gen, "<generator>"), V(AsyncGenASend_ags_sendval, "<value>"));
SLOTS(athrow_slots, V(AsyncGenAThrow_agt_gen, "<generator>"), V(AsyncGenAThrow_agt_args, "<args>"),
      V(AsyncGenAThrow_agt_typ, "<type>"), V(AsyncGenAThrow_agt_tb, "<traceback>"),
      V(AsyncGenAThrow_agt_val, "<value>"));
SLOTS(coro_wrapper_slots, V(CoroWrapper_cw_coroutine, "<coroutine>"));
SLOTS(module_slots, O(PyModule_md_name, "__name__"));
SLOTS(cell_slots, V(PyCell_ob_ref, "cell_contents"));
SLOTS(slice_slots, V(PySlice_start, "start"), V(PySlice_stop, "stop"), V(PySlice_step, "step"));
SLOTS(range_slots, O(Range_start, "start"), O(Range_stop, "stop"), O(Range_step, "step"),
      O(Range_length, "<length>"));
SLOTS(timezone_slots, O(TimeZone_offset, "<offset>"), O(TimeZone_name, "<name>"));
SLOTS(long_range_iter_slots, O(LongRangeIter_start, "<start>"), O(LongRangeIter_step, "<step>"),
      O(LongRangeIter_len, "<length>"), O(LongRangeIter_index, "<index>"));
SLOTS(descriptor_slots, V(PyDescr_d_type, "__objclass__"), O(PyDescr_d_name, "__name__"),
      O(PyDescr_d_qualname, "__qualname__"));
SLOTS(wrapper_slots, V(Wrapper_descr, "<descriptor>"), V(Wrapper_self, "__self__"));
SLOTS(mapping_proxy_slots, V(MappingProxy_mapping, "<mapping>"));
SLOTS(property_slots, V(Property_get, "fget"), V(Property_set, "fset"), V(Property_del, "fdel"),
      V(Property_doc, "__doc__"), V(Property_name, "<name>"));
SLOTS(classmethod_slots, V(ClassMethod_callable, "__func__"), V(ClassMethod_dict, "__dict__"));
SLOTS(staticmethod_slots, V(StaticMethod_callable, "__func__"), V(StaticMethod_dict, "__dict__"));
SLOTS(super_slots, V(Super_obj, "__self__"), V(Super_type, "__thisclass__"),
      V(Super_obj_type, "__self_class__"));
SLOTS(traceback_slots, V(PyTraceback_tb_next, "tb_next"), V(PyTraceback_tb_frame, "tb_frame"));
SLOTS(weakref_slots, V(PyWeakref_wr_callback, "__callback__"));
SLOTS(weakproxy_slots, V(PyWeakref_wr_callback, "<callback>"));
SLOTS(memoryview_slots, V(PyMemoryView_mbuf, "<buffer>"));
SLOTS(managed_buffer_slots, V(PyManagedBuffer_master_obj, "<object>"));
SLOTS(seq_iter_slots, V(SeqIter_it_seq, "<sequence>"));
SLOTS(call_iter_slots, V(CallIter_it_callable, "<callable>"), V(CallIter_it_sentinel, "<sentinel>"));
SLOTS(list_iter_slots, V(ListIter_it_seq, "<sequence>"));
SLOTS(list_rev_iter_slots, V(ListRevIter_it_seq, "<sequence>"));
SLOTS(tuple_iter_slots, V(TupleIter_it_seq, "<sequence>"));
SLOTS(dict_iter_slots, V(DictIter_di_dict, "<dict>"), V(DictIter_di_result, "<result>"));
SLOTS(dict_view_slots, V(DictView_dv_dict, "<dict>"));
SLOTS(set_iter_slots, V(SetIter_si_set, "<set>"));
SLOTS(bytes_iter_slots, V(BytesIter_it_seq, "<sequence>"));
SLOTS(str_iter_slots, V(UnicodeIter_it_seq, "<sequence>"));
SLOTS(bytearray_iter_slots, V(ByteArrayIter_it_seq, "<sequence>"));
SLOTS(enumerate_slots, V(Enum_en_sit, "<iterator>"), V(Enum_en_result, "<result>"),
      V(Enum_en_longindex, "<index>"));
SLOTS(reversed_slots, V(Reversed_seq, "<sequence>"));
SLOTS(zip_slots, V(Zip_ittuple, "<iterators>"), V(Zip_result, "<result>"));
SLOTS(map_slots, V(Map_iters, "<iterators>"), V(Map_func, "<function>"));
SLOTS(filter_slots, V(Filter_it, "<iterator>"), V(Filter_func, "<function>"));
SLOTS(deque_iter_slots, V(DequeIter_deque, "<deque>"));
SLOTS(partial_slots, V(Partial_fn, "func"), V(Partial_args, "args"), V(Partial_kw, "keywords"),
      V(Partial_dict, "__dict__"));
SLOTS(bytearray_slots, O(PyByteArray_ob_bytes_object, "<bytes>"));

#define ORDINARY PH_TYPE_ORDINARY
#define DICT PH_TYPE_DICT
#define CONTAINER PH_TYPE_CONTAINER
#define INFRA PH_TYPE_INFRASTRUCTURE

const struct ph_kind ph_kinds[] = {
	/* tp_name, slots, further references, size, class */
	{ "object", NULL, NULL, NULL, ORDINARY },
	{ "list", NULL, list_refs, list_size, CONTAINER },
	{ "tuple", NULL, tuple_refs, NULL, CONTAINER },
	{ "dict", NULL, dict_refs, dict_size, DICT },
	{ "frozendict", NULL, dict_refs, dict_size, DICT },
	{ "set", NULL, set_refs, set_size, CONTAINER },
	{ "frozenset", NULL, set_refs, set_size, CONTAINER },
	{ "collections.deque", NULL, deque_refs, deque_size, CONTAINER },
	{ "collections.OrderedDict", NULL, odict_refs, odict_size, DICT },
	{ "collections.defaultdict", NULL, defaultdict_refs, NULL, DICT },
	{ "str", NULL, NULL, str_size, ORDINARY },
	{ "bytes", NULL, NULL, NULL, ORDINARY },
	{ "bytearray", bytearray_slots, NULL, bytearray_size, ORDINARY },
	{ "int", NULL, NULL, int_size, ORDINARY },
	{ "bool", NULL, NULL, NULL, ORDINARY },
	{ "float", NULL, NULL, NULL, ORDINARY },
	{ "complex", NULL, NULL, NULL, ORDINARY },
	{ "NoneType", NULL, NULL, NULL, ORDINARY },
	{ "ellipsis", NULL, NULL, NULL, ORDINARY },
	{ "NotImplementedType", NULL, NULL, NULL, ORDINARY },
	{ "array.array", NULL, NULL, array_size, ORDINARY },
	{ "datetime.datetime", NULL, datetime_refs, NULL, ORDINARY },
	{ "datetime.time", NULL, time_refs, NULL, ORDINARY },
	{ "datetime.timezone", timezone_slots, NULL, NULL, ORDINARY },
	{ "datetime.date", NULL, NULL, NULL, ORDINARY },
	{ "datetime.timedelta", NULL, NULL, NULL, ORDINARY },
	{ "range", range_slots, NULL, NULL, ORDINARY },
	{ "slice", slice_slots, NULL, NULL, ORDINARY },
	{ "type", NULL, type_refs, type_size, INFRA },
	{ "function", function_slots, NULL, NULL, INFRA },
	{ "method", method_slots, NULL, NULL, ORDINARY },
	{ "builtin_function_or_method", NULL, cfunction_refs, NULL, INFRA },
	{ "code", code_slots, code_refs, code_size, INFRA },
	{ "cell", cell_slots, NULL, NULL, INFRA },
	{ "module", module_slots, module_refs, NULL, INFRA },
	{ "method_descriptor", descriptor_slots, NULL, NULL, INFRA },
	{ "classmethod_descriptor", descriptor_slots, NULL, NULL, INFRA },
	{ "member_descriptor", descriptor_slots, NULL, NULL, INFRA },
	{ "getset_descriptor", descriptor_slots, NULL, NULL, INFRA },
	{ "wrapper_descriptor", descriptor_slots, NULL, NULL, INFRA },
	{ "method-wrapper", wrapper_slots, NULL, NULL, ORDINARY },
	{ "mappingproxy", mapping_proxy_slots, NULL, NULL, ORDINARY },
	{ "property", property_slots, NULL, NULL, INFRA },
	{ "classmethod", classmethod_slots, NULL, NULL, INFRA },
	{ "staticmethod", staticmethod_slots, NULL, NULL, INFRA },
	{ "super", super_slots, NULL, NULL, ORDINARY },
	{ "frame", frame_slots, frame_refs, frame_size, ORDINARY },
	{ "traceback", traceback_slots, NULL, NULL, ORDINARY },
	{ "generator", generator_slots, generator_refs, generator_size, ORDINARY },
	{ "coroutine", coroutine_slots, generator_refs, generator_size, ORDINARY },
	{ "async_generator", async_generator_slots, generator_refs, generator_size, ORDINARY },
	{ "async_generator_asend", asend_slots, NULL, NULL, ORDINARY },
	{ "async_generator_athrow", athrow_slots, NULL, NULL, ORDINARY },
	{ "coroutine_wrapper", coro_wrapper_slots, NULL, NULL, ORDINARY },
	{ "BaseException", NULL, exception_refs, NULL, ORDINARY },
	{ "weakref", weakref_slots, NULL, NULL, ORDINARY },
	{ "weakref.ReferenceType", weakref_slots, NULL, NULL, ORDINARY },
	{ "weakproxy", weakproxy_slots, NULL, NULL, ORDINARY },
	{ "weakref.ProxyType", weakproxy_slots, NULL, NULL, ORDINARY },
	{ "weakcallableproxy", weakproxy_slots, NULL, NULL, ORDINARY },
	{ "weakref.CallableProxyType", weakproxy_slots, NULL, NULL, ORDINARY },
	{ "memoryview", memoryview_slots, NULL, NULL, ORDINARY },
	{ "managedbuffer", managed_buffer_slots, NULL, NULL, ORDINARY },
	{ "iterator", seq_iter_slots, NULL, NULL, ORDINARY },
	{ "callable_iterator", call_iter_slots, NULL, NULL, ORDINARY },
	{ "list_iterator", list_iter_slots, NULL, NULL, ORDINARY },
	{ "list_reverseiterator", list_rev_iter_slots, NULL, NULL, ORDINARY },
	{ "tuple_iterator", tuple_iter_slots, NULL, NULL, ORDINARY },
	{ "dict_keyiterator", dict_iter_slots, NULL, NULL, ORDINARY },
	{ "dict_valueiterator", dict_iter_slots, NULL, NULL, ORDINARY },
	{ "dict_itemiterator", dict_iter_slots, NULL, NULL, ORDINARY },
	{ "dict_reversekeyiterator", dict_iter_slots, NULL, NULL, ORDINARY },
	{ "dict_reversevalueiterator", dict_iter_slots, NULL, NULL, ORDINARY },
	{ "dict_reverseitemiterator", dict_iter_slots, NULL, NULL, ORDINARY },
	{ "dict_keys", dict_view_slots, NULL, NULL, ORDINARY },
	{ "dict_values", dict_view_slots, NULL, NULL, ORDINARY },
	{ "dict_items", dict_view_slots, NULL, NULL, ORDINARY },
	{ "set_iterator", set_iter_slots, NULL, NULL, ORDINARY },
	{ "bytes_iterator", bytes_iter_slots, NULL, NULL, ORDINARY },
	{ "bytearray_iterator", bytearray_iter_slots, NULL, NULL, ORDINARY },
	{ "str_iterator", str_iter_slots, NULL, NULL, ORDINARY },
	{ "str_ascii_iterator", str_iter_slots, NULL, NULL, ORDINARY },
	{ "range_iterator", NULL, NULL, NULL, ORDINARY },
	{ "longrange_iterator", long_range_iter_slots, NULL, NULL, ORDINARY },
	{ "enumerate", enumerate_slots, NULL, NULL, ORDINARY },
	{ "reversed", reversed_slots, NULL, NULL, ORDINARY },
	{ "zip", zip_slots, NULL, NULL, ORDINARY },
	{ "map", map_slots, NULL, NULL, ORDINARY },
	{ "filter", filter_slots, NULL, NULL, ORDINARY },
	{ "_collections._deque_iterator", deque_iter_slots, NULL, NULL, ORDINARY },
	{ "_collections._deque_reverse_iterator", deque_iter_slots, NULL, NULL, ORDINARY },
	{ "collections._deque_iterator", deque_iter_slots, NULL, NULL, ORDINARY }, /* 3.12+ */
	{ "collections._deque_reverse_iterator", deque_iter_slots, NULL, NULL, ORDINARY },
	{ "PyCapsule", NULL, capsule_refs, NULL, ORDINARY },
	{ "functools.partial", partial_slots, NULL, NULL, ORDINARY },
	{ "functools._lru_cache_wrapper", NULL, lru_cache_refs, NULL, ORDINARY },
	{ "functools._lru_list_elem", NULL, NULL, NULL, ORDINARY }, /* the wrapper visits for it */
	{ NULL, NULL, NULL, NULL, ORDINARY },
};

const struct ph_kind *ph_kind_find(const char *name)
{
	for (const struct ph_kind *k = ph_kinds; k->name; k++)
		if (k->name[0] == name[0] && !strcmp(k->name, name))
			return k;
	return NULL;
}
