/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of struct ph_elf, shared by elf.c and symbols.c. */
#ifndef PYHEAP_ELF_PRIV_H
#define PYHEAP_ELF_PRIV_H

#include <elf.h>
#include "target_priv.h"

/* A symbol table and its names, inside the file; count = 0 when there is none. */
struct ph_elf_symtab {
	const uint8_t *syms; /* count × Elf64_Sym, any alignment */
	uint64_t count;
	const char *names;
	uint64_t names_size;
};

struct ph_elf {
	const uint8_t *bytes;
	uint64_t size;       /* of bytes: rounded up to a page when it is a file */
	uint64_t mapped;     /* 0 = bytes are borrowed, or owned */
	uint8_t *owned;      /* bytes, copied from a target's memory */
	uint64_t moved;      /* there: the loader may have added this to addresses */
	Elf64_Ehdr header;
	struct PH_VEC(Elf64_Phdr) segments; /* checked PT_LOADs, PT_NOTEs, PT_DYNAMIC */

	const uint8_t *sections; /* nsections × Elf64_Shdr */
	uint64_t nsections;
	const char *section_names;
	uint64_t section_names_size;
	struct ph_elf_symtab dynsym, symtab;
	const uint8_t *gnu_hash;
	uint64_t gnu_hash_size;
	uint32_t *index;     /* of symtab by name, made on first use: symbol number or 0 */
	uint64_t index_mask;
};

/* Fills in all that section headers lead to; what is broken is left out. */
void ph_elf_read_tables(struct ph_elf *elf);
Elf64_Shdr ph_elf_section_header(const struct ph_elf *elf, uint64_t i);
/* .dynsym by way of PT_DYNAMIC, for a file without section headers; dynamic.c */
void ph_elf_read_dynamic(struct ph_elf *elf);
/* Whether a PT_LOAD holds addr, or ends there. */
bool ph_elf_holds(const struct ph_elf *elf, uint64_t addr);

#endif
