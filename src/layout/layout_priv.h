/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of src/layout share: the rows of fields.def, ELF files with
 * debug information, the reader of DWARF, the cache. */
#ifndef PYHEAP_LAYOUT_PRIV_H
#define PYHEAP_LAYOUT_PRIV_H

#include <elf.h>
#include <stdio.h>
#include <pyheap/layout.h>

/* ---- rows (rows.c) ------------------------------------------------------------- */

enum ph_row_kind { PH_ROW_FIELD = 'F', PH_ROW_SIZE = 'S', PH_ROW_ENUM = 'E' };

/* One line of fields.def. */
struct ph_row {
	enum ph_row_kind kind;
	const char *id;
	const char *structs; /* alternatives; NULL for an enumerator */
	const char *names;   /* F: member paths, E: enumerators, alternatives; NULL for a size */
	uint32_t slot;       /* enum ph_field, ph_struct or ph_enumerator */
	bool required;
	const char *module;  /* IN("array"), else NULL */
};
extern const struct ph_row ph_rows[];
extern const size_t ph_nrows;

struct ph_answer {
	struct ph_member m; /* of a size and an enumerator only `present` */
	int64_t value;      /* sizeof, or the enumerator's value */
};

/* Changes whenever rows or the meaning of answers change. */
uint64_t ph_rows_hash(const struct ph_row *rows, size_t n);
uint64_t ph_fnv1a(uint64_t hash, const void *bytes, size_t n);
#define PH_FNV_INIT 0xcbf29ce484222325ull

/* ---- text (text.c) ----------------------------------------------------------------- */

/* One line an answer. */
void ph_rows_print(FILE *f, const struct ph_row *rows, size_t n, const struct ph_answer *answers);
/* Reads such lines in any order: answers[n], and in seen[n] which rows had one. Lines of
 * other rows are passed over. Where it ended: at `end`, at a line of another kind, or at
 * one that is wrong. */
const char *ph_rows_parse(const char *text, const char *end, const struct ph_row *rows, size_t n,
			  struct ph_answer *answers, bool *seen);

/* ---- ELF files with debug information (elffile.c, debugfile.c) ------------------- */

/* A file's section headers; everything checked against its size. */
struct ph_elffile {
	int fd;
	char *path;
	uint64_t size;
	Elf64_Ehdr header;
	Elf64_Shdr *sections; /* [nsections]; none that has bytes beyond the end of the file */
	size_t nsections;
	char *names;          /* NUL-terminated */
	size_t names_len;
};
/* NULL: no such file, or not a 64-bit little-endian ELF file with sections. */
struct ph_elffile *ph_elffile_open(const char *path);
void ph_elffile_free(struct ph_elffile *file);
/* The section with bytes in the file of that name, or NULL; borrowed from file. */
const Elf64_Shdr *ph_elffile_section(const struct ph_elffile *file, const char *name);
/* A section's bytes and a NUL behind them, owned by the caller; NULL when it is
 * longer than max or cannot be read. */
char *ph_elffile_read(const struct ph_elffile *file, const Elf64_Shdr *section, uint64_t max);
bool ph_elffile_has_dwarf(const struct ph_elffile *file);
/* Length of the build-id in its note sections; 0 = none. */
size_t ph_elffile_build_id(const struct ph_elffile *file, uint8_t ret[64]);
/* The checksum that .gnu_debuglink holds of the file it names. */
bool ph_elffile_crc(const struct ph_elffile *file, uint32_t *ret);

/* An ELF image in our memory with just the sections that describe types: the
 * rest of the debug information would only cost time to inflate, and a file that
 * shrinks while it is read cannot hurt. */
struct ph_image {
	uint8_t *bytes; /* NULL = none */
	size_t size;
};
struct ph_err *ph_elffile_image(const struct ph_elffile *file, struct ph_image *ret);

/* The debug information of one module. */
struct ph_debug {
	struct ph_image main, alt; /* alt: the dwz file, where there is one */
	char *path;                /* of main */
	char *alt_missing;         /* the dwz file that main needs and that was not found */
};
struct ph_debug_search {
	const struct ph_module *module;
	const char *debug_file;   /* --debug-file, or NULL */
	const char *roots[3];     /* /usr/lib/debug is looked up below each; "" = our own */
	size_t nroots;
};
/* *ret is NULL when there is none; error 2 or 5 when debug_file does not fit. */
struct ph_err *ph_debug_find(const struct ph_debug_search *search, struct ph_debug **ret);
void ph_debug_free(struct ph_debug *debug);
/* Lower-case hex into ret[2n + 1]. */
void ph_hex(const uint8_t *bytes, size_t n, char *ret);

/* Downloads the debug information of a build-id (hex): the file's path, owned by the caller.
 * Error 5: there is none, no server answers, or no client is installed. */
struct ph_err *ph_debuginfod_find(const char *build_id, char **ret);

/* ---- DWARF (dwarf.c; members and types: die.c) --------------------------- */

/* Fills answers[n] (absent where there is no such member) in one pass. Rows with
 * the same `structs` are answered by one and the same definition: the one that
 * has most of their members. *ret_damage: what libdw found wrong, NULL if
 * nothing; owned by the caller; the answers may then lack rows. */
struct ph_err *ph_dwarf_resolve(const struct ph_debug *debug, const struct ph_row *rows, size_t n,
				struct ph_answer *answers, char **ret_damage);

/* ---- cache (cache.c) ---------------------------------------------------------------- */

/* The answers of the ELF file with this build-id (hex); false when there are
 * none that can be trusted. *ret_origin is owned by the caller. */
bool ph_cache_read(const char *build_id, const struct ph_row *rows, size_t n,
		   struct ph_answer *answers, char **ret_origin);
/* Keeps them if it can. */
void ph_cache_write(const char *build_id, const struct ph_row *rows, size_t n,
		    const struct ph_answer *answers, const char *origin);

/* ---- layout files (layoutfile.c) ------------------------------------------------------ */

/* One of them, its head read. */
struct ph_layout_file {
	char *name;            /* for people */
	char *text;            /* owned; NULL: embedded */
	const char *head, *rows, *end;
	struct PH_VEC(uint32_t) versions;
	uint16_t machine;
	bool debug, free_threaded, shipped;
};
struct ph_layout_files PH_VEC(struct ph_layout_file);
/* Adds those embedded in pyheap. */
struct ph_err *ph_layout_files_shipped(struct ph_layout_files *files);
/* Adds those in the folders of the user and of the system. */
struct ph_err *ph_layout_files_folders(struct ph_layout_files *files);
/* Adds the one in a file. Error 2: not there, or not a layout. */
struct ph_err *ph_layout_files_read(struct ph_layout_files *files, const char *path);
void ph_layout_files_free(struct ph_layout_files *files);
bool ph_layout_file_has_id(const struct ph_layout_file *f, const char *build_id);
bool ph_layout_file_has_version(const struct ph_layout_file *f, uint32_t hexversion);
/* Its rows as a layout (`own` and build_id are the caller's). Error 5: it lacks rows, as
 * those of another version of pyheap do; 2: it is damaged. */
struct ph_err *ph_layout_file_open(const struct ph_layout_file *f, struct ph_layout **ret);

/* ---- layout.c ------------------------------------------------------------------------- */

/* A layout of answers[ph_nrows], without its names; NULL: out of memory. */
struct ph_layout *ph_layout_assemble(const struct ph_answer *answers);
/* And back. */
void ph_layout_answers(const struct ph_layout *l, struct ph_answer *answers);

/* "3.12", and whether it is "3.12d", of the path of a program or library (binary.c); false:
 * its name does not tell. */
bool ph_python_file_version(const char *path, char ret[16], bool *ret_debug);

/* ---- all of it for one target (answers.c) -------------------------------------------- */

struct ph_answers {
	struct ph_answer *a; /* [n of the rows] */
	char *origin;        /* the file that answered */
	char *damage;        /* what is wrong with the debug information, or NULL */
	char *alt_missing;   /* see struct ph_debug */
};
/* Answers all rows: from search->module, then those IN("mod") from the target's
 * extension modules. target may be NULL: no extension modules. Error 5 when
 * debug information or a required row is missing. */
struct ph_err *ph_answers_get(const struct ph_target *target, const struct ph_debug_search *search,
			      bool use_cache, const struct ph_row *rows, size_t n,
			      struct ph_answers *ret);
void ph_answers_deinit(struct ph_answers *s);
#define ph_cleanup_answers __attribute__((cleanup(ph_answers_deinit)))

#endif
