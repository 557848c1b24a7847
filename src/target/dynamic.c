/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the loader reads of an ELF file, PT_DYNAMIC: all that is left of a file whose
 * section headers were taken off. Facts: elf(5), the gABI's chapter 5. */
#include "elf_priv.h"

#define MAX_ENTRIES 1024         /* of PT_DYNAMIC; real ones have thirty */
#define MAX_RELOCATIONS 10000000 /* looked through for those that copy */

/* The value of an entry; 0 = there is none. A loader takes the first PT_DYNAMIC, too. */
static uint64_t entry(const struct ph_elf *elf, int64_t tag)
{
	size_t i = 0;
	while (i < elf->segments.n && elf->segments.items[i].p_type != PT_DYNAMIC)
		i++;
	if (i == elf->segments.n)
		return 0;
	const Elf64_Phdr *ph = &elf->segments.items[i];
	const uint8_t *p = ph_elf_bytes_at(elf, ph->p_vaddr, ph->p_filesz);
	for (uint64_t k = 0; p && k < MAX_ENTRIES && (k + 1) * sizeof(Elf64_Dyn) <= ph->p_filesz; k++) {
		Elf64_Dyn dyn;
		memcpy(&dyn, p + k * sizeof dyn, sizeof dyn);
		if (dyn.d_tag == tag)
			return dyn.d_un.d_val;
		if (dyn.d_tag == DT_NULL)
			break;
	}
	return 0;
}

/* The file's bytes from addr to the end of its PT_LOAD. */
static const uint8_t *rest(const struct ph_elf *elf, uint64_t addr, uint64_t *ret_n)
{
	if (elf->moved && addr > elf->moved)
		addr -= elf->moved;
	for (size_t i = 0; addr && i < elf->segments.n; i++) {
		const Elf64_Phdr *ph = &elf->segments.items[i];
		if (ph->p_type != PT_LOAD || addr < ph->p_vaddr || addr - ph->p_vaddr >= ph->p_filesz)
			continue;
		*ret_n = ph->p_filesz - (addr - ph->p_vaddr);
		return ph_elf_file_bytes(elf, ph->p_offset + (addr - ph->p_vaddr), *ret_n);
	}
	return NULL;
}

/* How many symbols there are is nowhere but in DT_HASH; the other table of hashes leads to
 * those that there are. */
static uint64_t count_symbols(const struct ph_elf *elf, uint64_t most)
{
	uint64_t n;
	const uint8_t *hash = rest(elf, entry(elf, DT_HASH), &n);
	if (hash && n >= 8)
		return ph_load_u32(hash + 4) < most ? ph_load_u32(hash + 4) : most;
	return elf->gnu_hash ? most : 0;
}

void ph_elf_read_dynamic(struct ph_elf *elf)
{
	uint64_t symbols_size, names_size, hash_size, names_at = entry(elf, DT_STRTAB), size = entry(elf, DT_STRSZ);
	const uint8_t *symbols = rest(elf, entry(elf, DT_SYMTAB), &symbols_size);
	const uint8_t *names = rest(elf, names_at, &names_size);
	if (!symbols || !names || entry(elf, DT_SYMENT) != sizeof(Elf64_Sym))
		return;
	elf->gnu_hash = rest(elf, entry(elf, DT_GNU_HASH), &hash_size);
	elf->gnu_hash_size = elf->gnu_hash ? hash_size : 0;
	uint64_t count = count_symbols(elf, symbols_size / sizeof(Elf64_Sym));
	elf->dynsym = (struct ph_elf_symtab){
		.syms = symbols,
		.count = count <= UINT32_MAX / 4 ? count : 0,
		.names = (const char *)names,
		.names_size = size < names_size ? size : names_size,
	};
}

bool ph_elf_is_copy(const struct ph_elf *elf, uint64_t addr)
{
	uint32_t copies = elf->header.e_machine == EM_AARCH64 ? R_AARCH64_COPY : R_X86_64_COPY;
	uint64_t size, all = entry(elf, DT_RELASZ);
	const uint8_t *p = rest(elf, entry(elf, DT_RELA), &size);
	size = !p ? 0 : all < size ? all : size;
	for (uint64_t i = 0; i < MAX_RELOCATIONS && (i + 1) * sizeof(Elf64_Rela) <= size; i++) {
		Elf64_Rela rela;
		memcpy(&rela, p + i * sizeof rela, sizeof rela);
		if (ELF64_R_TYPE(rela.r_info) == copies && rela.r_offset == addr)
			return true;
	}
	return false;
}
