/* SPDX-License-Identifier: GPL-2.0-or-later */
/* layout: where the members of CPython's structs are, from DWARF.
 *
 * fields.def lists what pyheap wants to know; everything is resolved in one
 * pass when a layout is opened. Ask whether a member exists; never compare
 * version numbers where the layout can tell. */
#ifndef PYHEAP_LAYOUT_H
#define PYHEAP_LAYOUT_H

#include <pyheap/target.h>

enum ph_field {
#define F(id, structs, member, need) PH_F_##id,
#define S(id, structs, need)
#define E(id, enumerator, need)
#include <pyheap/fields.def>
#undef F
#undef S
#undef E
	PH_FIELDS
};
/* sizeof of a struct */
enum ph_struct {
#define F(id, structs, member, need)
#define S(id, structs, need) PH_S_##id,
#define E(id, enumerator, need)
#include <pyheap/fields.def>
#undef F
#undef S
#undef E
	PH_STRUCTS
};
/* value of an enumerator */
enum ph_enumerator {
#define F(id, structs, member, need)
#define S(id, structs, need)
#define E(id, enumerator, need) PH_E_##id,
#include <pyheap/fields.def>
#undef F
#undef S
#undef E
	PH_ENUMERATORS
};

struct ph_member {
	uint32_t offset;  /* bytes from the start of the struct */
	uint32_t size;    /* bytes; of an array: the whole array; 0 = unknown (flexible array) */
	uint32_t stride;  /* bytes of one element when the member is an array, else 0 */
	uint16_t bit;     /* bit-field: first bit within the bytes at offset, little-endian */
	uint16_t bits;    /* bit-field: width; 0 = not a bit-field */
	bool present;
};

struct ph_layout {
	struct ph_member field[PH_FIELDS];
	struct { uint32_t bytes; bool present; } sizes[PH_STRUCTS];
	struct { int64_t value; bool present; } enums[PH_ENUMERATORS];
	char source[16];      /* "dwarf" */
	char *origin;         /* the file that the answer came from, for people */
	char build_id[130];   /* hex, of the interpreter's ELF file; "" = none */
};

struct ph_layout_options {
	const char *debug_file; /* --debug-file FILE, or NULL */
	const char *sysroot;    /* where /usr/lib/debug is looked up too, or NULL */
	bool no_cache;          /* neither read nor write $XDG_CACHE_HOME/pyheap */
};

/* The layout of the CPython in `module` (the one that defines _PyRuntime), with
 * the optional members of extension modules (array, _collections, …) taken from
 * their own files where the interpreter's has none. Error 5 when a required
 * member or all debug information is missing: names it, and what to install. */
struct ph_err *ph_layout_open(const struct ph_target *target, const struct ph_module *module,
			      const struct ph_layout_options *opt, struct ph_layout **ret);
void ph_layout_free(struct ph_layout *layout);

static inline bool ph_layout_has(const struct ph_layout *l, enum ph_field f)
{
	return l->field[f].present;
}
/* Offset of a member that is known to be present. */
static inline uint32_t ph_layout_off(const struct ph_layout *l, enum ph_field f)
{
	return l->field[f].offset;
}
static inline bool ph_layout_has_size(const struct ph_layout *l, enum ph_struct s)
{
	return l->sizes[s].present;
}
static inline uint32_t ph_layout_size(const struct ph_layout *l, enum ph_struct s)
{
	return l->sizes[s].bytes;
}
/* The member's own name as fields.def writes it, "PyDictObject.ma_keys". */
const char *ph_field_name(enum ph_field f);

#endif
