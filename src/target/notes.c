/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The notes of a PT_NOTE segment or note section. */
#include "target_priv.h"

/* Bytes that `n` takes with its padding, or more than any file has. */
static uint64_t padded(uint32_t n, uint64_t align)
{
	return ((uint64_t)n + align - 1) & -align;
}

bool ph_elf_note_next(const uint8_t **p, const uint8_t *end, uint64_t align,
		      struct ph_elf_note *ret)
{
	size_t left = (size_t)(end - *p);
	if (align != 8)
		align = 4;
	if (left < 12)
		return false;
	uint32_t namesz = ph_load_u32(*p), descsz = ph_load_u32(*p + 4);
	uint64_t desc = padded(12 + (uint64_t)namesz > UINT32_MAX ? UINT32_MAX : 12 + namesz, align);
	if (namesz > left - 12 || desc > left || descsz > left - desc)
		return false;
	*ret = (struct ph_elf_note){
		.type = ph_load_u32(*p + 8),
		.name = (const char *)*p + 12,
		.namesz = namesz,
		.desc = *p + desc,
		.descsz = descsz,
	};
	uint64_t next = desc + padded(descsz, align);
	*p = next < left ? *p + next : end;
	return true;
}
