/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Section headers and symbols of an ELF file. */
#include "elf_priv.h"

#define MAX_PROBES 256   /* in the index: a forged table cannot make it quadratic */
#define MAX_NAME 256     /* bytes of a name that are hashed */

/* ---- sections ----------------------------------------------------------------------- */

Elf64_Shdr ph_elf_section_header(const struct ph_elf *elf, uint64_t i)
{
	Elf64_Shdr sh;
	memcpy(&sh, elf->sections + i * sizeof sh, sizeof sh);
	return sh;
}

static const char *string_table(const struct ph_elf *elf, uint64_t section, uint64_t *ret_size)
{
	*ret_size = 0;
	if (section >= elf->nsections)
		return NULL;
	Elf64_Shdr sh = ph_elf_section_header(elf, section);
	const uint8_t *p = ph_elf_file_bytes(elf, sh.sh_offset, sh.sh_size);
	if (sh.sh_type != SHT_STRTAB || !p)
		return NULL;
	*ret_size = sh.sh_size;
	return (const char *)p;
}

static bool string_is(const char *table, uint64_t size, uint64_t at, const char *text, size_t n)
{
	return at < size && n < size - at && !memcmp(table + at, text, n) && !table[at + n];
}

static void read_symtab(const struct ph_elf *elf, const Elf64_Shdr *sh, struct ph_elf_symtab *ret)
{
	const uint8_t *p = ph_elf_file_bytes(elf, sh->sh_offset, sh->sh_size);
	if (!p || sh->sh_entsize != sizeof(Elf64_Sym))
		return;
	ret->names = string_table(elf, sh->sh_link, &ret->names_size);
	if (!ret->names)
		return;
	ret->syms = p;
	ret->count = sh->sh_size / sizeof(Elf64_Sym);
	if (ret->count > UINT32_MAX / 4)
		ret->count = 0;
}

/* Section count and index of the names, which move to section 0 when they are large. */
static void read_section_table(struct ph_elf *elf)
{
	const Elf64_Ehdr *eh = &elf->header;
	uint64_t n = eh->e_shnum, names = eh->e_shstrndx;
	const uint8_t *first = ph_elf_file_bytes(elf, eh->e_shoff, sizeof(Elf64_Shdr));
	if (!eh->e_shoff || eh->e_shentsize != sizeof(Elf64_Shdr) || !first)
		return;
	Elf64_Shdr zero;
	memcpy(&zero, first, sizeof zero);
	if (!n)
		n = zero.sh_size;
	if (names == SHN_XINDEX)
		names = zero.sh_link;
	if (n > elf->size / sizeof zero || !ph_elf_file_bytes(elf, eh->e_shoff, n * sizeof zero))
		return;
	elf->sections = first;
	elf->nsections = n;
	elf->section_names = string_table(elf, names, &elf->section_names_size);
}

void ph_elf_read_tables(struct ph_elf *elf)
{
	read_section_table(elf);
	for (uint64_t i = 0; i < elf->nsections; i++) {
		Elf64_Shdr sh = ph_elf_section_header(elf, i);
		if (sh.sh_type == SHT_DYNSYM)
			read_symtab(elf, &sh, &elf->dynsym);
		else if (sh.sh_type == SHT_SYMTAB)
			read_symtab(elf, &sh, &elf->symtab);
		else if (sh.sh_type == SHT_GNU_HASH &&
			 (elf->gnu_hash = ph_elf_file_bytes(elf, sh.sh_offset, sh.sh_size)))
			elf->gnu_hash_size = sh.sh_size;
	}
	if (!elf->dynsym.count)
		ph_elf_read_dynamic(elf);
}

bool ph_elf_section(const struct ph_elf *elf, const char *name, uint64_t *ret_addr,
		    uint64_t *ret_size)
{
	size_t n = strlen(name);
	for (uint64_t i = 0; i < elf->nsections; i++) {
		Elf64_Shdr sh = ph_elf_section_header(elf, i);
		if (!(sh.sh_flags & SHF_ALLOC) || (sh.sh_flags & SHF_TLS) ||
		    !string_is(elf->section_names, elf->section_names_size, sh.sh_name, name, n) ||
		    !ph_elf_holds(elf, sh.sh_addr))
			continue;
		*ret_addr = sh.sh_addr;
		*ret_size = sh.sh_size;
		return true;
	}
	return false;
}

/* ---- symbols --------------------------------------------------------------------------- */

static Elf64_Sym symbol_at(const struct ph_elf_symtab *t, uint64_t i)
{
	Elf64_Sym sym;
	memcpy(&sym, t->syms + i * sizeof sym, sizeof sym);
	return sym;
}

/* Defined at an address of its own: not undefined, absolute, TLS, section or file. */
static bool usable(const Elf64_Sym *sym)
{
	unsigned type = ELF64_ST_TYPE(sym->st_info);
	return sym->st_shndx != SHN_UNDEF && sym->st_shndx != SHN_ABS &&
	       sym->st_shndx != SHN_COMMON &&
	       (type == STT_NOTYPE || type == STT_OBJECT || type == STT_FUNC || type == STT_GNU_IFUNC);
}

static bool symbol_is(const struct ph_elf_symtab *t, uint64_t i, const char *name, size_t n,
		      Elf64_Sym *ret)
{
	*ret = symbol_at(t, i);
	return string_is(t->names, t->names_size, ret->st_name, name, n) && usable(ret);
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;
	for (; *name; name++)
		h = h * 33 + (uint8_t)*name;
	return h;
}

/* .gnu.hash: nbuckets, first symbol, bloom words, shift; bloom; buckets; chains.
 * False also when the section is broken. */
static bool find_by_gnu_hash(const struct ph_elf *elf, const char *name, Elf64_Sym *ret)
{
	const uint8_t *p = elf->gnu_hash;
	uint32_t h = gnu_hash(name);
	size_t n = strlen(name);
	if (elf->gnu_hash_size < 16)
		return false;
	uint64_t nbuckets = ph_load_u32(p), first = ph_load_u32(p + 4), bloom = ph_load_u32(p + 8);
	uint32_t shift = ph_load_u32(p + 12) & 31;
	uint64_t words = (elf->gnu_hash_size - 16) / 4;
	if (!nbuckets || !bloom || bloom * 2 + nbuckets > words)
		return false;
	uint64_t bits = ph_load_u64(p + 16 + (h / 64 % bloom) * 8);
	if (!(bits >> h % 64 & bits >> (h >> shift) % 64 & 1))
		return false;
	const uint8_t *buckets = p + 16 + bloom * 8, *chains = buckets + nbuckets * 4;
	uint64_t nchains = words - bloom * 2 - nbuckets;
	uint64_t i = ph_load_u32(buckets + h % nbuckets * 4);
	for (; i >= first && i - first < nchains && i < elf->dynsym.count; i++) {
		uint32_t c = ph_load_u32(chains + (i - first) * 4);
		if ((c | 1) == (h | 1) && symbol_is(&elf->dynsym, i, name, n, ret))
			return true;
		if (c & 1)
			break;
	}
	return false;
}

static bool find_by_scan(const struct ph_elf_symtab *t, const char *name, Elf64_Sym *ret)
{
	size_t n = strlen(name);
	for (uint64_t i = 1; i < t->count; i++)
		if (symbol_is(t, i, name, n, ret))
			return true;
	return false;
}

/* FNV-1a over at most MAX_NAME bytes. */
static uint64_t hash_name(const char *s, uint64_t max)
{
	uint64_t h = 0xcbf29ce484222325;
	for (uint64_t i = 0; i < max && i < MAX_NAME && s[i]; i++)
		h = (h ^ (uint8_t)s[i]) * 0x100000001b3;
	return h ^ h >> 32;
}

/* Only the first symbol of a name goes in: compilers repeat names of static ones
 * hundreds of times ("kwlist.0"), which would make long runs of slots. */
static void index_add(struct ph_elf *elf, uint32_t i, const Elf64_Sym *sym)
{
	const struct ph_elf_symtab *t = &elf->symtab;
	const char *name = t->names + sym->st_name;
	uint64_t max = t->names_size - sym->st_name;
	size_t n = strnlen(name, max < MAX_NAME ? max : MAX_NAME);
	uint64_t at = hash_name(name, n);
	Elf64_Sym other;
	for (int probe = 0; probe < MAX_PROBES; probe++, at++) {
		uint32_t *slot = &elf->index[at & elf->index_mask];
		if (!*slot) {
			*slot = i;
			return;
		}
		if (symbol_is(t, *slot, name, n, &other))
			return;
	}
}

/* Global symbols go in first, so that they are found before static ones. */
static bool index_make(struct ph_elf *elf)
{
	const struct ph_elf_symtab *t = &elf->symtab;
	uint64_t slots = 64;
	while (slots < t->count * 4)
		slots *= 2;
	elf->index = calloc(slots, sizeof *elf->index);
	if (!elf->index)
		return false;
	elf->index_mask = slots - 1;
	for (int local = 0; local < 2; local++) {
		for (uint64_t i = 1; i < t->count; i++) {
			Elf64_Sym sym = symbol_at(t, i);
			if ((ELF64_ST_BIND(sym.st_info) == STB_LOCAL) == local && usable(&sym) &&
			    sym.st_name && sym.st_name < t->names_size)
				index_add(elf, (uint32_t)i, &sym);
		}
	}
	return true;
}

static bool find_in_symtab(struct ph_elf *elf, const char *name, Elf64_Sym *ret)
{
	size_t n = strlen(name);
	if (!elf->symtab.count)
		return false;
	if (!elf->index && !index_make(elf))
		return find_by_scan(&elf->symtab, name, ret);
	uint64_t at = hash_name(name, n);
	for (int probe = 0; probe < MAX_PROBES; probe++, at++) {
		uint32_t i = elf->index[at & elf->index_mask];
		if (!i)
			return false;
		if (symbol_is(&elf->symtab, i, name, n, ret))
			return true;
	}
	return false;
}

bool ph_elf_symbol(struct ph_elf *elf, const char *name, bool exported, uint64_t *ret_addr, uint64_t *ret_size)
{
	Elf64_Sym sym;
	bool found = elf->gnu_hash ? find_by_gnu_hash(elf, name, &sym)
				   : find_by_scan(&elf->dynsym, name, &sym);
	if (!found && (exported || !find_in_symtab(elf, name, &sym)))
		return false;
	if (!ph_elf_holds(elf, sym.st_value))
		return false;
	*ret_addr = sym.st_value;
	*ret_size = sym.st_size;
	return true;
}
