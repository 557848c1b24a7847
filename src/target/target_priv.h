/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of src/target share: mappings, opened ELF files, modules, and
 * the two kinds of target behind ph_target_open(). */
#ifndef PYHEAP_TARGET_PRIV_H
#define PYHEAP_TARGET_PRIV_H

#include <pyheap/target.h>

#define PH_PAGE 4096ull
#define PH_MAX_MODULES 65536 /* runs of mappings of one file; more are ignored */

/* ---- the two kinds of target ---------------------------------------------------- */

/* target.c allocates the struct and sets kind, what, and pid (a process) or path
 * (a core); the functions below fill in the rest and keep what is theirs in
 * target->priv. The options and their strings are borrowed until open returns:
 * copy what capture needs. After a failed open, close is called all the same
 * (priv may be NULL then). close frees priv and what only it knows of; target.c
 * frees the public members: what, path, exe, argv, modules, mem, threads, in the
 * order mem, close, modules. */
struct ph_err *ph_process_open(struct ph_target *target, const struct ph_target_options *opt,
			       struct ph_notes *notes);
/* Called again for a second capture: it frees the first one's mem (before the
 * bytes it borrows), threads and modules itself, e.g. with ph_target_reset(). */
struct ph_err *ph_process_capture(struct ph_target *target, struct ph_notes *notes);
void ph_process_close(struct ph_target *target);
/* n bytes of the memory as it is now. */
bool ph_process_peek(const struct ph_target *target, ph_addr addr, void *buf, size_t n);

struct ph_err *ph_core_open(struct ph_target *target, const struct ph_target_options *opt,
			    struct ph_notes *notes);
struct ph_err *ph_core_capture(struct ph_target *target, struct ph_notes *notes);
void ph_core_close(struct ph_target *target);
/* ph_target_zeroes() of a core. */
bool ph_core_zeroes(const struct ph_target *target, size_t i, ph_addr *ret_start, ph_addr *ret_end);
/* n bytes that the core itself has. */
bool ph_core_peek(const struct ph_target *target, ph_addr addr, void *buf, size_t n);

/* Lends the modules their symbols in the debug file; after they were listed. */
void ph_target_attach_debug(struct ph_target *target);

/* Frees mem and threads and zeroes the other results of a capture. */
void ph_target_reset(struct ph_target *target);

/* ---- mappings --------------------------------------------------------------------- */

/* One mapping: a line of /proc/PID/maps, or an entry of a core's NT_FILE. */
struct ph_mapping {
	ph_addr start, end;  /* end exclusive */
	uint64_t offset;     /* bytes into the file */
	char *path;          /* owned; as the target names it, without " (deleted)"; NULL = anonymous */
	uint64_t dev, inode; /* 0 = unknown (cores) */
	bool readable, writable, executable, shared;
	bool perms_known;    /* the four flags are known */
	bool deleted;        /* the path no longer leads to the file */
};
struct ph_mappings PH_VEC(struct ph_mapping); /* ascending by start */

/* Frees the paths and the array. */
void ph_mappings_deinit(struct ph_mappings *maps);

/* ---- one ELF file or image (elf.c) --------------------------------------------------- */

/* A file mapped read-only; everything in it is checked before it is used. */
struct ph_elf;

/* Maps the file behind fd; fd is borrowed and may be closed afterwards. NULL
 * without an error in *ret means: not an ELF file of a machine we read
 * (64-bit little-endian, EXEC or DYN). `path` is for messages only. */
struct ph_err *ph_elf_open_fd(int fd, const char *path, struct ph_elf **ret);
/* The same by path. NULL in *ret also when there is no such file. */
struct ph_err *ph_elf_open(const char *path, struct ph_elf **ret);
void ph_elf_free(struct ph_elf *elf);

uint16_t ph_elf_machine(const struct ph_elf *elf);
/* Build-id from PT_NOTE, else from a note section; false when there is none. */
bool ph_elf_build_id(const struct ph_elf *elf, uint8_t buf[64], size_t *ret_len);
/* Bytes [offset, offset + n) of the file; NULL beyond its last page. Bytes behind
 * the end of the file in its last page are zero, as in the target. */
const uint8_t *ph_elf_file_bytes(const struct ph_elf *elf, uint64_t offset, uint64_t n);
/* File size rounded up to the page. */
uint64_t ph_elf_file_size(const struct ph_elf *elf);
/* A bias (target − ELF address) that a mapping of file offset `offset` at `start`
 * can have, by the PT_LOAD that covers the offset. */
struct ph_elf_bias {
	uint64_t bias;
	bool executable; /* the PT_LOAD is PF_X */
};
/* Neighbours may share a page, so there can be several: returns how many, at most
 * PH_ELF_BIASES. */
#define PH_ELF_BIASES 4
size_t ph_elf_biases(const struct ph_elf *elf, ph_addr start, uint64_t offset,
		     struct ph_elf_bias ret[PH_ELF_BIASES]);
/* Span of all PT_LOADs in ELF addresses. */
void ph_elf_span(const struct ph_elf *elf, uint64_t *ret_start, uint64_t *ret_end);
/* Whether the page of a file offset is in a PT_LOAD, and in none that is
 * writable: the target then holds it as the file has it. */
bool ph_elf_readonly(const struct ph_elf *elf, uint64_t offset);
/* A defined symbol (not TLS) from .dynsym, else, unless it must be exported, .symtab;
 * ELF address. */
bool ph_elf_symbol(struct ph_elf *elf, const char *name, bool exported, uint64_t *ret_addr, uint64_t *ret_size);
/* Whether the loader copies a variable of a library to this ELF address, where all use it
 * then (R_*_COPY). */
bool ph_elf_is_copy(const struct ph_elf *elf, uint64_t addr);
/* A section that is in memory at run time; ELF address. */
bool ph_elf_section(const struct ph_elf *elf, const char *name, uint64_t *ret_addr,
		    uint64_t *ret_size);
/* Bytes of the file at an ELF address; NULL when not in one PT_LOAD's file part. */
const uint8_t *ph_elf_bytes_at(const struct ph_elf *elf, uint64_t addr, uint64_t n);
/* The i-th PT_LOAD that is PF_X, in whole pages: ELF address and file offset; false
 * when there are no more. */
bool ph_elf_code(const struct ph_elf *elf, size_t i, uint64_t *ret_addr, uint64_t *ret_offset,
		 uint64_t *ret_n);
/* e_entry, where the program headers are in memory, and PT_DYNAMIC; ELF addresses. */
uint64_t ph_elf_entry(const struct ph_elf *elf);
bool ph_elf_headers(const struct ph_elf *elf, uint64_t *ret);
bool ph_elf_dynamic(const struct ph_elf *elf, uint64_t *ret_addr, uint64_t *ret_size);
/* Appends the mappings that the file has when it is loaded with this bias, all named path. */
struct ph_err *ph_elf_mappings(const struct ph_elf *elf, uint64_t bias, const char *path, struct ph_mappings *ret);
/* The i-th PT_LOAD that is PF_W: what the file has of it. */
bool ph_elf_data(const struct ph_elf *elf, size_t i, uint64_t *ret_addr, uint64_t *ret_offset,
		 uint64_t *ret_n);
/* Program headers and notes of a file's first n bytes as they lie in the target's
 * memory, borrowed until ph_elf_free(); NULL when it is not such a file. */
struct ph_elf *ph_elf_from_image(const void *image, size_t n);

/* ---- notes in PT_NOTE (notes.c) ------------------------------------------------------ */

struct ph_elf_note {
	uint32_t type;
	const char *name; /* namesz bytes, not necessarily NUL-terminated */
	size_t namesz;
	const uint8_t *desc;
	size_t descsz;
};
/* Takes the next note off [*p, end); false at the end or where it is broken. */
bool ph_elf_note_next(const uint8_t **p, const uint8_t *end, uint64_t align,
		      struct ph_elf_note *ret);
static inline bool ph_elf_note_is(const struct ph_elf_note *note, const char *name, uint32_t type)
{
	size_t n = strlen(name);
	return note->type == type && note->namesz >= n && !memcmp(note->name, name, n) &&
	       (note->namesz == n || !note->name[n]);
}

/* ---- modules (module.c) ----------------------------------------------------------------- */

/* Where modules' files and bytes come from. */
struct ph_module_source {
	void *ctx;
	/* Opens the file behind the first mapping of a module: a descriptor and, in
	 * *ret_path (owned by the caller), a path by which later stages can open it
	 * again; −1 when it is not there or is not the same file. */
	int (*open)(void *ctx, const struct ph_mapping *map, char **ret_path);
	/* Copies bytes of the target, returns how many leading ones it could; NULL when
	 * the memory cannot be read yet. Used for modules whose file is not there. */
	size_t (*read)(void *ctx, ph_addr addr, void *buf, size_t n);
};

/* Makes modules of all loaded ELF files, ascending by start: neighbouring
 * mappings of one path (anonymous ones in between allowed) that agree on one
 * bias and of which one is executable. Files that cannot be opened become
 * modules without `elf`: with bias and build-id when `read` shows an ELF header,
 * with their span only when a mapping is executable. Owned by the caller. */
struct ph_err *ph_modules_build(const struct ph_mappings *maps, const struct ph_module_source *source,
				struct ph_module **ret, size_t *ret_n);
void ph_modules_free(struct ph_module *modules, size_t n);
/* Symbols and data of a module whose file is not there, as its memory has them: what the
 * first page (head) tells of, at most *budget bytes, which get less. NULL when that is
 * used up, or memory is out. image.c */
struct ph_elf *ph_elf_from_memory(const struct ph_elf *head, uint64_t bias,
				  const struct ph_module_source *source, uint64_t *budget);

/* Adds to mem the file's bytes for a mapping (or part of one): what of [start,
 * end) lies in the file from `offset` on. Borrowed from the module: it must
 * outlive mem. No-op without `elf`. */
struct ph_err *ph_module_add_range(const struct ph_module *module, ph_addr start, ph_addr end,
				   uint64_t offset, bool writable, struct ph_mem *mem);

#endif
