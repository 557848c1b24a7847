/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a loaded file has in memory of itself: symbols and data, for a file that was
 * deleted or replaced. */
#include "elf_priv.h"

/* The headers' segment, in which the loader's tables are, and those with data; the rest is
 * code and constants. Zeroes stand for pages that are not to be had. */
static bool is_wanted(const Elf64_Phdr *ph)
{
	return ph->p_type == PT_LOAD && (!ph->p_offset || ph->p_flags & PF_W);
}

/* Lays the wanted segments out one behind another; the others get no bytes. */
static bool lay_out(struct ph_elf *elf, const struct ph_elf *head, uint64_t max)
{
	for (size_t i = 0; i < head->segments.n; i++) {
		Elf64_Phdr ph = head->segments.items[i];
		uint64_t n = is_wanted(&ph) && ph.p_filesz <= max - elf->size ? ph.p_filesz : 0;
		if (ph.p_type == PT_LOAD) {
			ph.p_offset = elf->size;
			ph.p_filesz = n;
			elf->size += n;
		}
		if (!PH_VEC_PUSH(&elf->segments, ph))
			return false;
	}
	return true;
}

static void fill(struct ph_elf *elf, const struct ph_module_source *source)
{
	for (size_t i = 0; i < elf->segments.n; i++) {
		const Elf64_Phdr *ph = &elf->segments.items[i];
		for (uint64_t at = 0, n; ph->p_type == PT_LOAD && at < ph->p_filesz; at += n) {
			ph_addr addr = ph->p_vaddr + elf->moved + at;
			n = PH_PAGE - (addr & (PH_PAGE - 1));
			n = n < ph->p_filesz - at ? n : ph->p_filesz - at;
			source->read(source->ctx, addr, elf->owned + ph->p_offset + at, n);
		}
	}
}

struct ph_elf *ph_elf_from_memory(const struct ph_elf *head, uint64_t bias,
				  const struct ph_module_source *source, uint64_t *budget)
{
	struct ph_elf *elf = *budget ? calloc(1, sizeof *elf) : NULL;
	if (!elf)
		return NULL;
	elf->header = head->header;
	elf->moved = bias;
	if (lay_out(elf, head, *budget))
		elf->bytes = elf->owned = calloc(1, elf->size + 1);
	if (!elf->owned) {
		ph_elf_free(elf);
		return NULL;
	}
	*budget -= elf->size;
	fill(elf, source);
	ph_elf_read_dynamic(elf);
	return elf;
}
