/* SPDX-License-Identifier: GPL-2.0-or-later */
/* layout: where the members of CPython's structs are, from DWARF or from a layout file
 * that was made of it.
 *
 * fields.def lists what pyheap wants to know; everything is resolved in one
 * pass when a layout is opened. Ask whether a member exists; never compare
 * version numbers where the layout can tell. */
#ifndef PYHEAP_LAYOUT_H
#define PYHEAP_LAYOUT_H

#include <stdio.h>
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

/* What can be told of an interpreter before its layout is known; −1 = not known. */
struct ph_python {
	uint32_t hexversion; /* PY_VERSION_HEX; 0 = not known */
	int debug, free_threaded;
};

struct ph_layout {
	struct ph_member field[PH_FIELDS];
	struct { uint32_t bytes; bool present; } sizes[PH_STRUCTS];
	struct { int64_t value; bool present; } enums[PH_ENUMERATORS];
	char source[16];      /* "dwarf", "debuginfod", "shipped", "file" */
	char *origin;         /* the file that the answer came from, for people */
	char build_id[130];   /* hex, of the interpreter's ELF file; "" = none */
	bool own;             /* made of this very build, by its build-id; else it is to be proven */
	uint32_t *versions;   /* that a layout file is of: PY_VERSION_HEX; [nversions] */
	size_t nversions;
};
struct ph_layouts PH_VEC(struct ph_layout *);

struct ph_layout_options {
	const char *layout;     /* --layout FILE, VERSION, SERIES or "shipped"; NULL = whatever there is */
	const char *debug_file; /* --debug-file FILE, or NULL */
	const char *sysroot;    /* where /usr/lib/debug is looked up too, or NULL */
	bool no_debuginfod;     /* ask no server, even if $DEBUGINFOD_URLS names some */
	void (*downloading)(void *ctx); /* is called before a server is asked; NULL = not */
	void *ctx;
	bool no_cache;          /* neither read nor write $XDG_CACHE_HOME/pyheap */
};

/* The layouts that the CPython in `module` (the one that defines _PyRuntime) can have:
 * that of its debug information, or of a layout file with its build-id, else those of its
 * version, of which one has to prove itself. The optional members of extension modules
 * (array, _collections, …) come from their own files where the interpreter's has none.
 * Error 5 when there is none: says what is missing, and what to do. The caller frees
 * *ret with ph_layouts_free(), also after an error. */
struct ph_err *ph_layouts_find(const struct ph_target *target, const struct ph_module *module,
			       const struct ph_python *python, const struct ph_layout_options *opt,
			       struct ph_layouts *ret);
void ph_layouts_free(struct ph_layouts *layouts);
/* The files of an interpreter that need not run: its program or libpython, and the extension
 * modules installed with it, as a target. Errors as ph_target_open_file(). */
struct ph_err *ph_binary_open(const char *path, struct ph_target **ret);
/* From debug information alone. Error 5 when a required member or all of it is missing:
 * names it, and what to install. */
struct ph_err *ph_layout_open(const struct ph_target *target, const struct ph_module *module,
			      const struct ph_layout_options *opt, struct ph_layout **ret);
void ph_layout_free(struct ph_layout *layout);
/* Whether there are layout files of other versions of the interpreter's series. */
bool ph_layout_has_series(const struct ph_target *target, const struct ph_python *python);
/* Whether servers of debug information are named, and a sentence on it. */
bool ph_debuginfod_wanted(void);
const char *ph_debuginfod_state(void);
/* Debian's package with the debug information of the program or library at path, if it
 * came with the distribution; false: not to be told. */
bool ph_layout_package(const char *path, char ret[64]);
/* Writes it as a file that --layout takes; false: out of memory, nothing was written. */
bool ph_layout_print(FILE *f, const struct ph_layout *layout, uint16_t machine, const struct ph_python *python);
/* One line of fields.def as a layout answers it. */
struct ph_layout_row {
	char kind;            /* 'F' a member, 'S' a size, 'E' an enumerator */
	const char *name;     /* "PyDict_ma_keys" */
	struct ph_member member; /* of S and E only `present` */
	int64_t value;        /* of S and E */
};
/* The i-th; false when there are no more. */
bool ph_layout_row(const struct ph_layout *layout, size_t i, struct ph_layout_row *ret);
/* A row whose answers are not the same in both, as "PyDict_ma_keys"; rows that only one
 * of them has are no contradiction. NULL: none; then *ret_more tells which one knows more
 * (< 0: a, > 0: b, 0: neither). */
const char *ph_layout_contradiction(const struct ph_layout *a, const struct ph_layout *b, int *ret_more);

/* PY_VERSION_HEX of "3.14.0rc1", 0 when it is no version; and back. */
uint32_t ph_version_parse(const char *text, size_t n);
void ph_version_text(uint32_t hexversion, char ret[32]);

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
