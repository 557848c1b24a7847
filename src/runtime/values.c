/* SPDX-License-Identifier: GPL-2.0-or-later */
/* str, int and dict objects, for names and tables.
 * Facts: Include/cpython/unicodeobject.h, Include/internal/pycore_dict.h, Objects/dictobject.c. */
#include "runtime_priv.h"

/* tp_flags of the builtins' subclasses: Include/object.h */
#define SUBCLASS_LONG (1u << 24)
#define SUBCLASS_STR (1u << 28)
#define SUBCLASS_DICT (1u << 29)

static bool is_a(const struct ph_runtime *rt, ph_addr object, uint32_t flag)
{
	ph_addr type = rt_field(rt, object, PH_F_PyObject_ob_type);
	return rt_field(rt, type, PH_F_PyType_tp_flags) & flag;
}

/* ---- str ------------------------------------------------------------------- */

static uint32_t bits_of(const uint8_t *object, struct ph_member m)
{
	uint32_t raw = m.size >= 4 ? ph_load_u32(object + m.offset) : object[m.offset];
	return m.bits ? raw >> m.bit & ((1u << m.bits) - 1) : raw;
}

/* Where a str's characters are: their address, width (1, 2, 4) and number. */
static bool str_data(const struct ph_runtime *rt, ph_addr str, ph_addr *ret_data, unsigned *ret_kind,
		     uint64_t *ret_len)
{
	const struct ph_layout *l = rt->layout;
	const uint8_t *o = ph_mem_at(rt->mem, str, ph_layout_size(l, PH_S_PyASCII));
	if (!o)
		return false;
	*ret_len = ph_load_u64(o + ph_layout_off(l, PH_F_PyASCII_length));
	*ret_kind = bits_of(o, l->field[PH_F_PyASCII_kind]);
	if (bits_of(o, l->field[PH_F_PyASCII_compact]))
		*ret_data = str + (bits_of(o, l->field[PH_F_PyASCII_ascii])
					   ? ph_layout_size(l, PH_S_PyASCII)
					   : ph_layout_size(l, PH_S_PyCompactUnicode));
	else
		*ret_data = rt_field(rt, str, PH_F_PyUnicode_data);
	return (*ret_kind == 1 || *ret_kind == 2 || *ret_kind == 4) && *ret_data &&
	       *ret_len <= UINT64_MAX / 4;
}

static size_t utf8_encode(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		if (c >= 0xd800 && c < 0xe000)
			c = 0xfffd; /* a lone surrogate has no UTF-8 */
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 63));
		out[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	if (c > 0x10ffff)
		return utf8_encode(0xfffd, out);
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 63));
	out[2] = (char)(0x80 | (c >> 6 & 63));
	out[3] = (char)(0x80 | (c & 63));
	return 4;
}

bool ph_py_str(const struct ph_runtime *rt, ph_addr str, char *buf, size_t max)
{
	ph_addr data;
	unsigned kind;
	uint64_t len;
	size_t n = 0;
	buf[0] = '\0';
	if (!is_a(rt, str, SUBCLASS_STR) || !str_data(rt, str, &data, &kind, &len))
		return false;
	if (len > max)
		len = max; /* no character needs less than a byte */
	const uint8_t *p = ph_mem_at(rt->mem, data, len * kind);
	if (!p)
		return false;
	for (uint64_t i = 0; i < len; i++) {
		char c[4];
		uint32_t v = kind == 1 ? p[i] : kind == 2 ? ph_load_u16(p + 2 * i) : ph_load_u32(p + 4 * i);
		size_t w = utf8_encode(v, c);
		if (n + w >= max)
			break;
		memcpy(buf + n, c, w);
		n += w;
	}
	buf[n] = '\0';
	return true;
}

/* ---- int -------------------------------------------------------------------- */

bool ph_py_int(const struct ph_runtime *rt, ph_addr num, int64_t *ret)
{
	const struct ph_layout *l = rt->layout;
	int64_t ndigits;
	bool negative;
	uint64_t value = 0;
	if (!is_a(rt, num, SUBCLASS_LONG))
		return false;
	if (ph_layout_has(l, PH_F_PyLong_lv_tag)) {
		uint64_t tag;
		if (!ph_mem_u64(rt->mem, num + ph_layout_off(l, PH_F_PyLong_lv_tag), &tag))
			return false;
		ndigits = (int64_t)(tag >> 3);
		negative = (tag & 3) == 2;
	} else {
		uint64_t size;
		if (!ph_mem_u64(rt->mem, num + ph_layout_off(l, PH_F_PyVarObject_ob_size), &size))
			return false;
		negative = (int64_t)size < 0;
		ndigits = negative ? -(int64_t)size : (int64_t)size;
	}
	if (ndigits < 0 || ndigits > 2)
		return false;
	for (int64_t i = ndigits; i-- > 0;) {
		uint32_t digit;
		if (!ph_mem_u32(rt->mem, num + ph_layout_off(l, PH_F_PyLong_ob_digit) + 4 * (uint64_t)i,
				&digit))
			return false;
		value = value << 30 | digit;
	}
	*ret = negative ? -(int64_t)value : (int64_t)value;
	return true;
}

/* ---- dict --------------------------------------------------------------------- */

#define DICT_MAX_LOG2 40

/* Sizes of a keys object: bytes of the index table and number of usable entries. */
struct keys_shape {
	uint64_t index_bytes, usable, nentries;
	bool unicode; /* 3.11+: entries without hash */
	bool general;
};

static bool keys_shape(const struct ph_runtime *rt, ph_addr keys, struct keys_shape *s)
{
	const struct ph_layout *l = rt->layout;
	const uint8_t *k = ph_mem_at(rt->mem, keys, ph_layout_off(l, PH_F_DictKeys_dk_indices));
	uint64_t size;
	if (!keys || !k)
		return false;
	memset(s, 0, sizeof *s);
	if (ph_layout_has(l, PH_F_DictKeys_dk_log2_size)) {
		unsigned log2 = k[ph_layout_off(l, PH_F_DictKeys_dk_log2_size)];
		unsigned log2_index = k[ph_layout_off(l, PH_F_DictKeys_dk_log2_index_bytes)];
		unsigned kind = k[ph_layout_off(l, PH_F_DictKeys_dk_kind)];
		if (log2 > DICT_MAX_LOG2 || log2_index > DICT_MAX_LOG2 + 3 || kind > 2)
			return false;
		size = 1ull << log2;
		s->index_bytes = 1ull << log2_index;
		s->general = kind == 0;
		s->unicode = kind != 0;
	} else {
		size = ph_load_u64(k + ph_layout_off(l, PH_F_DictKeys_dk_size));
		if (size > 1ull << DICT_MAX_LOG2)
			return false;
		s->index_bytes = size * (size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= 0xffffffff ? 4 : 8);
		s->general = ph_load_u64(k + ph_layout_off(l, PH_F_DictKeys_dk_lookup)) == rt->lookdict;
	}
	s->usable = size * 2 / 3;
	s->nentries = ph_load_u64(k + ph_layout_off(l, PH_F_DictKeys_dk_nentries));
	return s->nentries <= s->usable + 1; /* the empty table has size 1 and no entries */
}

static uint32_t entry_bytes(const struct ph_layout *l, bool unicode)
{
	return ph_layout_size(l, unicode ? PH_S_DictUnicodeEntry : PH_S_DictEntry);
}

uint64_t ph_py_keys_size(const struct ph_runtime *rt, ph_addr keys)
{
	struct keys_shape s;
	if (!keys_shape(rt, keys, &s))
		return 0;
	return ph_layout_off(rt->layout, PH_F_DictKeys_dk_indices) + s.index_bytes +
	       s.usable * entry_bytes(rt->layout, s.unicode);
}

bool ph_py_dict_table(const struct ph_runtime *rt, ph_addr keys, ph_addr values,
		      struct ph_py_dict *ret)
{
	const struct ph_layout *l = rt->layout;
	struct keys_shape s;
	if (!keys_shape(rt, keys, &s))
		return false;
	*ret = (struct ph_py_dict){
		.nentries = s.nentries,
		.keys = keys,
		.stride = entry_bytes(l, s.unicode),
		.key_off = ph_layout_off(l, s.unicode ? PH_F_DictUnicodeEntry_me_key : PH_F_DictEntry_me_key),
		.value_off = ph_layout_off(l, s.unicode ? PH_F_DictUnicodeEntry_me_value
							: PH_F_DictEntry_me_value),
		.split = values != 0,
		.general = s.general,
		.kind_known = ph_layout_has(l, PH_F_DictKeys_dk_kind) || rt->lookdict,
	};
	ph_addr entries = keys + ph_layout_off(l, PH_F_DictKeys_dk_indices) + s.index_bytes;
	ret->entries = ph_mem_at(rt->mem, entries, ret->nentries * ret->stride);
	if (ret->nentries && !ret->entries)
		return false;
	if (values) {
		if (ph_layout_has(l, PH_F_DictValues_values))
			values += ph_layout_off(l, PH_F_DictValues_values);
		ret->values = ph_mem_at(rt->mem, values, ret->nentries * 8);
		if (ret->nentries && !ret->values)
			return false;
	}
	return true;
}

bool ph_py_dict(const struct ph_runtime *rt, ph_addr dict, struct ph_py_dict *ret)
{
	const struct ph_layout *l = rt->layout;
	const uint8_t *d = ph_mem_at(rt->mem, dict, ph_layout_size(l, PH_S_PyDict));
	return d && ph_py_dict_table(rt, ph_load_u64(d + ph_layout_off(l, PH_F_PyDict_ma_keys)),
				     ph_load_u64(d + ph_layout_off(l, PH_F_PyDict_ma_values)), ret);
}

ph_addr ph_py_dict_get(const struct ph_runtime *rt, ph_addr dict, const char *key)
{
	struct ph_py_dict d;
	char name[128];
	if (!is_a(rt, dict, SUBCLASS_DICT) || !ph_py_dict(rt, dict, &d))
		return 0;
	for (uint64_t i = 0; i < d.nentries; i++) {
		ph_addr k, v;
		ph_py_dict_entry(&d, i, &k, &v);
		if (k && v && ph_py_str(rt, k, name, sizeof name) && !strcmp(name, key))
			return v;
	}
	return 0;
}

/* ---- ≤3.10: the look-up function that tells a dict with keys of any type ------ */

#define LEARN_STEPS 2000000

struct learner {
	struct ph_runtime *rt;
	ph_addr str_type;
	uint64_t steps;
};

static bool learn_from(void *ctx, ph_addr object, int generation, uint32_t interp)
{
	struct learner *learn = ctx;
	struct ph_runtime *rt = learn->rt;
	struct ph_py_dict d;
	if (++learn->steps > LEARN_STEPS)
		return false;
	if (rt_field(rt, object, PH_F_PyObject_ob_type) != rt->dict_type || !ph_py_dict(rt, object, &d) ||
	    d.split)
		return true;
	for (uint64_t i = 0; i < d.nentries && i < 64; i++) {
		ph_addr k, v;
		ph_py_dict_entry(&d, i, &k, &v);
		if (!k || !v)
			continue;
		ph_addr type = rt_field(rt, k, PH_F_PyObject_ob_type);
		if (type && type != learn->str_type) {
			rt->lookdict = rt_field(rt, d.keys, PH_F_DictKeys_dk_lookup);
			return false;
		}
	}
	return true;
}

void rt_learn_lookdict(struct ph_runtime *rt)
{
	struct learner learn = { .rt = rt };
	struct ph_notes ignored = { 0 };
	struct ph_py_dict d;
	ph_addr modules = rt_field(rt, rt->interps[0].address, PH_F_PyInterp_modules);
	if (!rt_has(rt, PH_F_DictKeys_dk_lookup) ||
	    ph_runtime_symbol(rt, "lookdict", &rt->lookdict, NULL))
		return;
	if (!ph_py_dict(rt, modules, &d) || !d.nentries)
		return;
	ph_addr k, v;
	ph_py_dict_entry(&d, 0, &k, &v); /* names of modules are str */
	learn.str_type = rt_field(rt, k, PH_F_PyObject_ob_type);
	if (learn.str_type)
		ph_runtime_tracked(rt, 0, &ignored, learn_from, &learn);
}

/* ---- counts --------------------------------------------------------------------------- */

uint64_t rt_count(const struct ph_runtime *rt, ph_addr object)
{
	const struct ph_layout *l = rt->layout;
	uint32_t local;
	if (rt->free_threaded)
		return ph_mem_u32(rt->mem, object + ph_layout_off(l, PH_F_PyObject_ob_ref_local), &local)
			       ? (local + (rt_field(rt, object, PH_F_PyObject_ob_ref_shared) >> 2)) & UINT32_MAX : 0;
	uint64_t count = rt_field(rt, object, PH_F_PyObject_ob_refcnt);
	return rt_has(rt, PH_F_PyObject_ob_overflow) ? (uint32_t)count : count;
}

/* ---- counts that begin above what is referred to ------------------------------------ */

#define INTERNED_IMMORTAL 2      /* ≤3.11: one reference more */
#define TYPE_SUBCLASS (1u << 31)
#define HEAPTYPE (1u << 9)

const char *ph_runtime_given(const struct ph_runtime *rt, ph_addr object, uint64_t *ret_n)
{
	uint64_t count = rt_field(rt, object, PH_F_PyObject_ob_refcnt);
	*ret_n = UINT64_MAX;
	if (is_a(rt, object, TYPE_SUBCLASS) && !(rt_field(rt, object, PH_F_PyType_tp_flags) & HEAPTYPE))
		return "static type";
	if (rt->hexversion < 0x030c0000 && count > PH_FROZEN_COUNT / 2)
		return "immortal";
	*ret_n = 1;
	const uint8_t *o = rt->hexversion < 0x030c0000 && is_a(rt, object, SUBCLASS_STR)
				   ? ph_mem_at(rt->mem, object, ph_layout_size(rt->layout, PH_S_PyASCII)) : NULL;
	if (o && bits_of(o, rt->layout->field[PH_F_PyASCII_interned]) == INTERNED_IMMORTAL)
		return "immortal";
	return ph_target_module_at(rt->target, object) ? "static object" : NULL;
}
