/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Type objects, read once each: what their instances hold and how big they are.
 * Facts: Objects/typeobject.c (subtype_traverse, type_new), Python/sysmodule.c (getsizeof). */
#include "object_priv.h"

#define TABLE_START 4096
#define CHAIN_MAX 512       /* tp_base steps */
#define MRO_MAX 4096
#define MEMBERS_MAX 1024
#define BASICSIZE_MAX (1u << 20)
#define ITEMSIZE_MAX (1u << 20)
#define T_OBJECT 6
#define T_OBJECT_EX 16
#define METH_NOARGS 4

/* ---- is it a type at all? ----------------------------------------------------------- */

/* A metatype's instances are types: its own type leads to `type`, its flags say so. */
static bool is_type(struct ph_objects *os, ph_addr at)
{
	uint64_t meta = 0, flags;
	if (!at || at & 7 || !ph_mem_u64(os->mem, at + os->off_type, &meta))
		return false;
	if (meta == os->rt->type_type)
		return ph_mem_at(os->mem, at, ph_layout_size(os->layout, PH_S_PyType)) != NULL;
	for (int depth = 0; depth < 8 && meta; depth++) {
		uint64_t metameta;
		if (!ph_mem_u64(os->mem, meta + ph_layout_off(os->layout, PH_F_PyType_tp_flags), &flags) ||
		    !(flags & TPFLAGS_TYPE_SUBCLASS) || !ph_mem_u64(os->mem, meta + os->off_type, &metameta))
			return false;
		if (metameta == os->rt->type_type)
			return ph_mem_at(os->mem, at, ph_layout_size(os->layout, PH_S_PyType)) != NULL;
		meta = metameta;
	}
	return false;
}

/* ---- the table -------------------------------------------------------------------------- */

static size_t slot_of(const struct ph_type_index *table, ph_addr address)
{
	size_t i = ph_type_slot(table, address);
	for (;; i = (i + 1) & (table->size - 1)) {
		const struct ph_type *t = __atomic_load_n(&table->slots[i], __ATOMIC_ACQUIRE);
		if (!t || t->address == address)
			return i;
	}
}

bool ph_types_grow(struct ph_objects *os)
{
	size_t size = os->table ? os->table->size * 2 : TABLE_START;
	struct ph_type_index *table = calloc(1, sizeof *table + size * sizeof *table->slots);
	if (!table)
		return false;
	table->size = size;
	table->older = os->table;
	for (struct ph_type *t = os->first; t; t = t->next)
		table->slots[slot_of(table, t->address)] = t;
	__atomic_store_n(&os->table, table, __ATOMIC_RELEASE);
	return true;
}

static struct ph_type *table_find(const struct ph_objects *os, ph_addr address)
{
	const struct ph_type_index *table = __atomic_load_n(&os->table, __ATOMIC_ACQUIRE);
	return __atomic_load_n(&table->slots[slot_of(table, address)], __ATOMIC_ACQUIRE);
}

static bool table_add(struct ph_objects *os, struct ph_type *t)
{
	if (os->ntypes * 4 >= os->table->size && !ph_types_grow(os))
		return false;
	t->number = (uint32_t)os->ntypes++;
	__atomic_store_n(&os->table->slots[slot_of(os->table, t->address)], t, __ATOMIC_RELEASE);
	*os->last = t;
	os->last = &t->next;
	return true;
}

/* ---- members ------------------------------------------------------------------------------ */

static bool member_add(struct ph_type_member **list, size_t *n, uint32_t offset, ph_addr name)
{
	struct ph_type_member *p = reallocarray(*list, *n + 1, sizeof *p);
	if (!p)
		return false;
	*list = p;
	p[(*n)++] = (struct ph_type_member){ offset, name };
	return true;
}

/* Object members of n descriptions at `defs`; to the NULL name when n is MEMBERS_MAX. */
static bool members_read(struct ph_objects *os, const struct ph_type *t, ph_addr defs, uint64_t n,
			 bool slots_only, struct ph_type_member **list, size_t *count)
{
	const struct ph_layout *l = os->layout;
	uint32_t stride = ph_layout_size(l, PH_S_PyMemberDef);
	for (uint64_t i = 0; i < n; i++) {
		const uint8_t *m = ph_mem_at(os->mem, defs + i * stride, stride);
		if (!m)
			return true;
		ph_addr name = ph_load_u64(m + ph_layout_off(l, PH_F_PyMemberDef_name));
		uint32_t kind = ph_load_u32(m + ph_layout_off(l, PH_F_PyMemberDef_type));
		uint64_t offset = ph_load_u64(m + ph_layout_off(l, PH_F_PyMemberDef_offset));
		if (!name)
			return true;
		if (kind != T_OBJECT_EX && (slots_only || kind != T_OBJECT))
			continue;
		if (offset < ph_layout_size(l, PH_S_PyObject) || offset > t->head_bytes - 8)
			continue;
		if (!member_add(list, count, (uint32_t)offset, name))
			return false;
	}
	return true;
}

/* __slots__ of one class: descriptions behind the type object. */
static bool slots_read(struct ph_objects *os, struct ph_type *t, const struct ph_type *of)
{
	uint64_t meta, basicsize, n;
	if (!ph_mem_u64(os->mem, of->address + os->off_type, &meta) ||
	    !ph_mem_u64(os->mem, of->address + ph_layout_off(os->layout, PH_F_PyVarObject_ob_size), &n) ||
	    !ph_mem_u64(os->mem, meta + ph_layout_off(os->layout, PH_F_PyType_tp_basicsize), &basicsize) ||
	    basicsize > BASICSIZE_MAX || n >= MEMBERS_MAX)
		return true;
	return members_read(os, t, of->address + basicsize, n, true, &t->slots, &t->nslots);
}

static int member_order(const void *a, const void *b)
{
	uint32_t x = ((const struct ph_type_member *)a)->offset, y = ((const struct ph_type_member *)b)->offset;
	return (x > y) - (x < y);
}

/* What C types in the base chain declare, by offset and once each. */
static bool declared_read(struct ph_objects *os, struct ph_type *t)
{
	size_t n = 0;
	for (const struct ph_type *b = t; b; b = b->base) {
		ph_addr defs = m_u64(os, b->address, PH_F_PyType_tp_members);
		if (!b->python_class && defs &&
		    !members_read(os, t, defs, MEMBERS_MAX, false, &t->members, &t->nmembers))
			return false;
	}
	if (t->nmembers)
		qsort(t->members, t->nmembers, sizeof *t->members, member_order);
	for (size_t i = 0; i < t->nmembers; i++)
		if (!n || t->members[n - 1].offset != t->members[i].offset)
			t->members[n++] = t->members[i];
	t->nmembers = n;
	return true;
}

/* ---- which reader ----------------------------------------------------------------------------- */

/* A row whose members the layout does not have reads nothing. */
static bool kind_usable(struct ph_objects *os, const struct ph_kind *k)
{
	if (!k->slots)
		return true;
	for (const struct ph_slot *s = k->slots; s->label; s++)
		if (has(os, s->field))
			return true;
	return k->refs != NULL || k->size != NULL;
}

/* By a type's name; one without a module is a builtin's only if the interpreter's own
 * file has it: Cython has generators of its own, for one. */
static const struct ph_kind *kind_named(struct ph_objects *os, ph_addr type, const char *name)
{
	const struct ph_module *interpreter = ph_target_module_at(os->rt->target, os->rt->type_type);
	if (interpreter && !strchr(name, '.') && (type < interpreter->start || type >= interpreter->end))
		return NULL;
	return ph_kind_find(name);
}

static const struct ph_kind *kind_of(struct ph_objects *os, const struct ph_type *t)
{
	const struct ph_kind *k = kind_named(os, t->address, t->name);
	return k && kind_usable(os, k) ? k : NULL;
}

static bool int_in_dict(struct ph_objects *os, ph_addr dict, const char *key, int64_t *ret)
{
	ph_addr value = ph_py_dict_get(os->rt, dict, key);
	return value && ph_py_int(os->rt, value, ret);
}

/* Struct sequences (os.stat_result, …): tuples with a traverse of their own. */
static bool structseq_read(struct ph_objects *os, struct ph_type *t)
{
	int64_t n;
	ph_addr dict = ph_py_type_dict(os->rt, t->address);
	if (!(t->flags & TPFLAGS_TUPLE_SUBCLASS) || !int_in_dict(os, dict, "n_unnamed_fields", &n) ||
	    !int_in_dict(os, dict, "n_fields", &n) || n < 0 || n > 1000)
		return false;
	t->structseq = true;
	t->structseq_fields = (uint32_t)n;
	return true;
}

static void dict_mode_set(struct ph_objects *os, struct ph_type *t, const struct ph_type *base)
{
	bool managed = t->flags & TPFLAGS_MANAGED_DICT && os->rt->hexversion >= 0x030b0000;
	bool own = !base || t->dictoffset != base->dictoffset;
	if (managed ? !own && os->rt->hexversion >= 0x030c0000 : !own)
		return;
	if (managed)
		t->dict_mode = PH_DICT_MANAGED;
	else if (t->dictoffset > 0 && (uint64_t)t->dictoffset + 8 <= t->head_bytes)
		t->dict_mode = PH_DICT_SLOT;
	else if (t->dictoffset < 0)
		t->dict_mode = PH_DICT_FROM_END;
}

/* What subtype_traverse does for a Python class: slots of each class, the dict,
 * the type, then the C base's own traverse. */
static bool python_class_read(struct ph_objects *os, struct ph_type *t, const struct ph_type **ret_base)
{
	const struct ph_type *b = t;
	for (; b && b->traverse == os->subtype_traverse; b = b->base)
		if (!slots_read(os, t, b))
			return false;
	dict_mode_set(os, t, b);
	t->visits_type = os->rt->hexversion < 0x03090000 || !b || !b->traverse || !b->heap;
	*ret_base = b;
	return true;
}

/* Of the types that share a traverse function the topmost defines it. */
static const struct ph_type *owner_of(const struct ph_type *b)
{
	while (b->base && b->base->traverse == b->traverse)
		b = b->base;
	return b;
}

/* Not collected: whoever describes the memory is the nearest base with a row that
 * has the same size (classes of Python code add nothing unseen). */
static const struct ph_kind *plain_kind(struct ph_objects *os, const struct ph_type *t)
{
	for (const struct ph_type *b = t; b; b = b->base) {
		const struct ph_kind *k = kind_of(os, b);
		if (k && (b != t ? b->base != NULL : true))
			return k;
		if (b->base && !b->python_class && b->base->basicsize != b->basicsize)
			return NULL;
	}
	return t->python_class ? ph_kind_find("object") : NULL;
}

static uint8_t form_of(const struct ph_type *t)
{
	static const struct { const char *kind; uint8_t form; } forms[] = {
		{ "module", PH_FORM_MODULE }, { "function", PH_FORM_FUNCTION }, { "cell", PH_FORM_CELL },
		{ "code", PH_FORM_CODE }, { "coroutine", PH_FORM_COROUTINE }, { "generator", PH_FORM_COROUTINE },
		{ "async_generator", PH_FORM_COROUTINE },
	};
	if (t->flags & TPFLAGS_TYPE_SUBCLASS)
		return PH_FORM_TYPE;
	for (size_t i = 0; t->kind && i < sizeof forms / sizeof *forms; i++)
		if (!strcmp(t->kind->name, forms[i].kind))
			return forms[i].form;
	bool task = !strcmp(t->name, "_asyncio.Task") || !strcmp(t->name, "asyncio.tasks.Task") ||
		    (t->base && t->base->form == PH_FORM_TASK);
	return task ? PH_FORM_TASK : PH_FORM_OTHER;
}

static bool refs_plan(struct ph_objects *os, struct ph_type *t)
{
	const struct ph_type *b = t;
	bool unread = false; /* a tp_traverse in C that may visit what we cannot know */
	if (!t->have_gc || !t->traverse) {
		t->kind = plain_kind(os, t);
	} else {
		if (t->traverse == os->subtype_traverse && !python_class_read(os, t, &b))
			return false;
		if (!b || !b->traverse) {
			t->kind = b ? plain_kind(os, b) : ph_kind_find("object");
		} else if (b->flags & TPFLAGS_BASE_EXC_SUBCLASS) {
			t->kind = ph_kind_find("BaseException");
		} else {
			const struct ph_type *owner = owner_of(b);
			t->kind = kind_of(os, owner);
			if (!t->kind)
				structseq_read(os, t);
			unread = true;
			if (owner->heap && os->rt->hexversion >= 0x03090000)
				t->visits_type = true;
		}
	}
	t->owns_type = t->heap && !t->visits_type && !(t->kind && !strcmp(t->kind->name, "functools._lru_list_elem"));
	t->whole = t->kind || t->structseq;
	t->refs_exact = t->whole || !unread;
	if (!t->refs_exact && t->flags & TPFLAGS_TYPE_SUBCLASS) /* a metatype from C: a type, and more */
		t->kind = ph_kind_find("type");
	if ((!t->whole || t->flags & TPFLAGS_BASE_EXC_SUBCLASS) && !declared_read(os, t))
		return false;
	t->leaf = t->kind && !t->kind->slots && !t->kind->refs && !t->nslots && !t->structseq &&
		  t->dict_mode == PH_DICT_NONE && !t->visits_type && !t->owns_type;
	t->cls = t->kind ? (uint8_t)t->kind->cls : PH_TYPE_ORDINARY;
	t->form = form_of(t);
	t->weakref = t->kind && !strncmp(t->kind->name, "weak", 4); /* refs and proxies */
	/* only the very builtins are folded away in paths; a subclass is a thing of its own */
	if (t->cls == PH_TYPE_CONTAINER && t->heap && t->python_class)
		t->cls = PH_TYPE_ORDINARY;
	return true;
}

/* ---- which __sizeof__ ------------------------------------------------------------------------------ */

static ph_addr own_sizeof(struct ph_objects *os, ph_addr type)
{
	struct ph_py_dict d;
	ph_addr dict = ph_py_type_dict(os->rt, type);
	if (!dict || !ph_py_dict(os->rt, dict, &d))
		return 0;
	for (uint64_t i = 0; i < d.nentries; i++) {
		ph_addr key, value;
		ph_py_dict_entry(&d, i, &key, &value);
		if (key == os->sizeof_key && value)
			return value;
	}
	return 0;
}

/* The C function of a method without arguments, 0 = it takes some. */
static ph_addr function_of(struct ph_objects *os, ph_addr descriptor)
{
	uint32_t flags;
	ph_addr def = m_u64(os, descriptor, PH_F_MethodDescr_d_method);
	if (!def || !ph_mem_u32(os->mem, def + ph_layout_off(os->layout, PH_F_PyMethodDef_ml_flags), &flags) ||
	    !(flags & METH_NOARGS))
		return 0;
	return m_u64(os, def, PH_F_PyMethodDef_ml_meth);
}

static void size_plan(struct ph_objects *os, struct ph_type *t)
{
	ph_addr mro = m_u64(os, t->address, PH_F_PyType_tp_mro);
	if (!mro) { /* a static type that nobody made ready has but object's */
		t->sizer = ph_kind_find("object");
		return;
	}
	uint64_t n = m_u64(os, mro, PH_F_PyVarObject_ob_size);
	char name[256];
	for (uint64_t i = 0; i < n && i < MRO_MAX; i++) {
		ph_addr m, value;
		if (!ph_mem_u64(os->mem, mro + ph_layout_off(os->layout, PH_F_PyTuple_ob_item) + 8 * i, &m))
			return;
		value = own_sizeof(os, m);
		if (!value)
			continue;
		uint64_t meta = m_u64(os, value, PH_F_PyObject_ob_type);
		char kind[64];
		if (!ph_py_type_name(os->rt, meta, kind, sizeof kind))
			return;
		if (strcmp(kind, "method_descriptor")) {
			t->python_sizeof = true;
			continue;
		}
		const struct ph_kind *k = ph_py_type_name(os->rt, m, name, sizeof name) ? kind_named(os, m, name) : NULL;
		if (k && (k->size || !strcmp(k->name, "object")))
			t->sizer = k;
		t->sizeof_method = function_of(os, value);
		return;
	}
}

static void pre_plan(struct ph_objects *os, struct ph_type *t)
{
	uint32_t v = os->rt->hexversion, managed = 0;
	if (v >= 0x030c0000)
		managed = TPFLAGS_MANAGED_DICT | TPFLAGS_MANAGED_WEAKREF;
	else if (v >= 0x030b0000)
		managed = TPFLAGS_MANAGED_DICT;
	t->pre = (t->have_gc ? os->head_size : 0) + (t->flags & managed ? 16 : 0);
}

/* Of instances that differ in nothing that sys.getsizeof looks at. */
static void fixed_plan(struct ph_type *t)
{
	if (t->sizer && !t->sizer->size && !t->itemsize && !(t->flags & TPFLAGS_TYPE_SUBCLASS) &&
	    t->dict_mode != PH_DICT_MANAGED)
		t->fixed_size = t->basicsize + t->pre;
}

/* How many values an instance has whose names are in its type's keys. */
static void keys_plan(struct ph_objects *os, struct ph_type *t)
{
	struct ph_py_dict d;
	if (t->dict_mode != PH_DICT_MANAGED || !ph_py_dict_table(os->rt, t->cached_keys, 0, &d))
		return;
	uint64_t room = d.nentries + m_u64(os, t->cached_keys, PH_F_DictKeys_dk_usable);
	t->keys_known = d.nentries <= UINT32_MAX;
	t->keys_used = (uint32_t)d.nentries;
	t->keys_room = room < 256 ? (uint32_t)room : 0;
}

/* ---- reading one --------------------------------------------------------------------------------------- */

static void type_free(struct ph_type *t)
{
	if (!t)
		return;
	free(t->name);
	free(t->slots);
	free(t->members);
	free(t->words);
	free(t);
}

static char *name_of(struct ph_objects *os, ph_addr at)
{
	char name[512];
	if (ph_py_type_name(os->rt, at, name, sizeof name) && name[0])
		return strdup(name);
	ph_note(os->notes, PH_NOTE_BAD_TYPE, at);
	return ph_asprintf("<type 0x%llx>", (unsigned long long)at);
}

static struct ph_type *type_read(struct ph_objects *os, ph_addr at, struct ph_type *base)
{
	struct ph_type *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	uint32_t flags_v = os->rt->hexversion;
	t->address = at;
	t->base = base;
	t->flags = m_u64(os, at, PH_F_PyType_tp_flags);
	t->basicsize = m_u64(os, at, PH_F_PyType_tp_basicsize);
	t->itemsize = m_u64(os, at, PH_F_PyType_tp_itemsize);
	t->dictoffset = (int64_t)m_u64(os, at, PH_F_PyType_tp_dictoffset);
	t->weaklistoffset = (int64_t)m_u64(os, at, PH_F_PyType_tp_weaklistoffset);
	t->traverse = m_u64(os, at, PH_F_PyType_tp_traverse);
	t->is_gc = m_u64(os, at, PH_F_PyType_tp_is_gc);
	t->heap = t->flags & TPFLAGS_HEAPTYPE;
	t->have_gc = t->flags & TPFLAGS_HAVE_GC;
	t->weakrefable = t->weaklistoffset || (flags_v >= 0x030c0000 && t->flags & TPFLAGS_MANAGED_WEAKREF);
	t->python_class = t->heap && m_u64(os, at, PH_F_PyType_tp_dealloc) == os->subtype_dealloc;
	if (has(os, PH_F_PyHeapType_ht_cached_keys) && t->heap)
		t->cached_keys = m_u64(os, at, PH_F_PyHeapType_ht_cached_keys);
	/* static types that nobody made ready say nothing: that of a set's mark of deleted entries */
	if (!t->basicsize && !m_u64(os, at, PH_F_PyType_tp_mro))
		t->basicsize = ph_layout_size(os->layout, PH_S_PyObject);
	if (t->basicsize < ph_layout_size(os->layout, PH_S_PyObject) || t->basicsize > BASICSIZE_MAX ||
	    t->itemsize > ITEMSIZE_MAX) {
		ph_note(os->notes, PH_NOTE_BAD_TYPE, at);
		t->basicsize = ph_layout_size(os->layout, PH_S_PyObject);
		t->itemsize = 0;
	}
	t->head_bytes = (uint32_t)t->basicsize;
	if (t->flags & TPFLAGS_UNICODE_SUBCLASS && t->head_bytes > ph_layout_size(os->layout, PH_S_PyASCII) &&
	    !t->heap)
		t->head_bytes = ph_layout_size(os->layout, PH_S_PyASCII);
	if (t->flags & TPFLAGS_TYPE_SUBCLASS) /* static types are shorter than heap types */
		t->head_bytes = ph_layout_size(os->layout, PH_S_PyType);
	t->name = name_of(os, at);
	if (!t->name || !refs_plan(os, t)) {
		type_free(t);
		return NULL;
	}
	size_plan(os, t);
	t->leaf &= t->sizer != NULL; /* its size may have to be asked for */
	pre_plan(os, t);
	fixed_plan(t);
	keys_plan(os, t);
	if (!words_read(os, t)) {
		type_free(t);
		return NULL;
	}
	return t;
}

/* Bases first, without recursion: a chain of types that are not known yet. */
static struct ph_type *types_read(struct ph_objects *os, ph_addr at)
{
	ph_addr chain[CHAIN_MAX];
	size_t n = 0;
	struct ph_type *base = NULL;
	while (at && n < CHAIN_MAX && !(base = table_find(os, at))) {
		if (!is_type(os, at)) {
			if (!n)
				return NULL;
			ph_note(os->notes, PH_NOTE_BAD_TYPE, at);
			break;
		}
		chain[n++] = at;
		at = m_u64(os, at, PH_F_PyType_tp_base);
	}
	if (n == CHAIN_MAX)
		ph_note(os->notes, PH_NOTE_BAD_TYPE, at);
	while (n-- > 0) {
		/* a base chain that loops meets itself here */
		struct ph_type *t = table_find(os, chain[n]);
		if (!t) {
			t = type_read(os, chain[n], base);
			if (!t || !table_add(os, t)) {
				type_free(t);
				os->nomem = true;
				return NULL;
			}
		}
		base = t;
	}
	return base;
}

struct ph_type *ph_type_slow(struct ph_objects *os, ph_addr address)
{
	struct ph_type *t = table_find(os, address);
	if (t || !is_type(os, address)) /* most are known, or nothing; neither keeps others waiting */
		return t;
	pthread_mutex_lock(&os->lock);
	t = types_read(os, address);
	pthread_mutex_unlock(&os->lock);
	return t;
}

void ph_types_free(struct ph_objects *os)
{
	for (struct ph_type *t = os->first, *next; t; t = next) {
		next = t->next;
		type_free(t);
	}
	for (struct ph_type_index *t = os->table, *older; t; t = older) {
		older = t->older;
		free(t);
	}
}
