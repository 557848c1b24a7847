/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DWARF entries of types and members. Nothing here trusts them: chains, depths
 * and the number of members looked at are bounded. */
#include "dwarf_priv.h"

#define MAX_PEEL 32       /* typedefs of typedefs */
#define MAX_ANONYMOUS 8   /* anonymous structs in anonymous structs */
#define MAX_DIMENSIONS 8

/* ---- attributes and types ------------------------------------------------------------ */

bool ph_die_u(Dwarf_Die *die, unsigned name, uint64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Word v;
	if (!dwarf_attr(die, name, &attr) || dwarf_formudata(&attr, &v))
		return false;
	*ret = v;
	return true;
}

/* The entry that an attribute refers to. */
static bool get_ref(Dwarf_Die *die, unsigned name, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;
	return dwarf_attr(die, name, &attr) && dwarf_formref_die(&attr, ret);
}

bool ph_die_is_record(int tag)
{
	return tag == DW_TAG_structure_type || tag == DW_TAG_union_type || tag == DW_TAG_class_type;
}

bool ph_die_peel(Dwarf_Die *die)
{
	for (int i = 0; i < MAX_PEEL; i++) {
		switch (dwarf_tag(die)) {
		case DW_TAG_typedef:
		case DW_TAG_const_type:
		case DW_TAG_volatile_type:
		case DW_TAG_restrict_type:
		case DW_TAG_atomic_type:
			if (!get_ref(die, DW_AT_type, die))
				return false;
			break;
		case DW_TAG_invalid:
			return false;
		default:
			if (!dwarf_hasattr(die, DW_AT_declaration))
				return true;
			if (!get_ref(die, DW_AT_signature, die))
				return false;
		}
	}
	return false;
}

/* Elements of one dimension; 0 where the size is not fixed. */
static uint64_t dimension(Dwarf_Die *range)
{
	uint64_t v;
	if (ph_die_u(range, DW_AT_count, &v))
		return v;
	/* [0] may be written as an upper bound of −1 */
	return ph_die_u(range, DW_AT_upper_bound, &v) && v < UINT32_MAX ? v + 1 : 0;
}

static bool array_size(Dwarf_Die *array, int depth, uint64_t *ret_stride, uint64_t *ret_total);

/* Bytes of a type; depth counts arrays of typedefs of arrays. */
static bool size_of(Dwarf_Die type, int depth, uint64_t *ret)
{
	uint64_t stride;
	if (depth > MAX_DIMENSIONS || !ph_die_peel(&type))
		return false;
	if (ph_die_u(&type, DW_AT_byte_size, ret))
		return *ret <= UINT32_MAX;
	switch (dwarf_tag(&type)) {
	case DW_TAG_pointer_type:
		*ret = 8;
		return true;
	case DW_TAG_array_type:
		return array_size(&type, depth + 1, &stride, ret);
	default:
		return false;
	}
}

/* Stride of the outermost dimension and bytes of the whole. */
static bool array_size(Dwarf_Die *array, int depth, uint64_t *ret_stride, uint64_t *ret_total)
{
	Dwarf_Die type, range;
	uint64_t dims[MAX_DIMENSIONS], size;
	int n = 0;
	if (!get_ref(array, DW_AT_type, &type) || !size_of(type, depth, &size))
		return false;
	if (dwarf_child(array, &range) == 0) {
		do {
			if (dwarf_tag(&range) == DW_TAG_subrange_type && n < MAX_DIMENSIONS)
				dims[n++] = dimension(&range);
		} while (dwarf_siblingof(&range, &range) == 0);
	}
	for (int i = n - 1; i > 0; i--)
		if (__builtin_mul_overflow(size, dims[i], &size))
			return false;
	*ret_stride = size;
	return !__builtin_mul_overflow(size, n ? dims[0] : 0, ret_total) && *ret_stride <= UINT32_MAX &&
	       *ret_total <= UINT32_MAX;
}

bool ph_die_size(Dwarf_Die type, uint64_t *ret)
{
	return size_of(type, 0, ret);
}

/* ---- members -------------------------------------------------------------------------- */

/* Bytes from the start of the struct; absent means 0 (unions, bit-fields with
 * DW_AT_data_bit_offset). */
static bool member_location(Dwarf_Die *member, uint64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Word v;
	Dwarf_Op *ops;
	size_t nops;
	*ret = 0;
	if (!dwarf_attr(member, DW_AT_data_member_location, &attr))
		return true;
	if (dwarf_formudata(&attr, &v) == 0) {
		*ret = v;
		return true;
	}
	if (dwarf_getlocation(&attr, &ops, &nops) || nops != 1 || ops[0].atom != DW_OP_plus_uconst)
		return false;
	*ret = ops[0].number;
	return true;
}

/* A bit-field's first bit from the start of the struct, little-endian. */
static bool bitfield_start(Dwarf_Die *member, uint64_t location, uint64_t storage, uint64_t bits,
			   uint64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Sword from_msb;
	uint64_t v;
	if (ph_die_u(member, DW_AT_data_bit_offset, &v)) {
		*ret = location * 8 + v;
		return true;
	}
	/* before DWARF 5: counted from the most significant bit of the storage unit */
	if (!dwarf_attr(member, DW_AT_bit_offset, &attr) || dwarf_formsdata(&attr, &from_msb))
		return false;
	ph_die_u(member, DW_AT_byte_size, &storage);
	*ret = location * 8 + storage * 8 - (uint64_t)from_msb - bits;
	return true;
}

static bool describe_bitfield(Dwarf_Die *member, uint64_t base, uint64_t location, uint64_t storage,
			      uint64_t bits, struct ph_member *ret)
{
	uint64_t start;
	if (!storage || storage > 8 || !bits || bits > 64 ||
	    !bitfield_start(member, location, storage, bits, &start))
		return false;
	start += base * 8;
	uint64_t offset = start / (storage * 8) * storage;
	if (start - offset * 8 + bits > storage * 8) {
		/* packed across storage units */
		offset = start / 8;
		storage = (start % 8 + bits + 7) / 8;
	}
	if (offset > INT32_MAX)
		return false;
	*ret = (struct ph_member){ .offset = (uint32_t)offset, .size = (uint32_t)storage,
				   .bit = (uint16_t)(start - offset * 8), .bits = (uint16_t)bits,
				   .present = true };
	return true;
}

/* The member at `base` bytes (plus its own location) from the start. */
static bool describe(Dwarf_Die *member, uint64_t base, struct ph_member *ret)
{
	uint64_t location, bits, size = 0, stride = 0;
	Dwarf_Die type;
	if (!member_location(member, &location) || location > INT32_MAX ||
	    !get_ref(member, DW_AT_type, &type) || !ph_die_peel(&type))
		return false;
	bool known = dwarf_tag(&type) == DW_TAG_array_type ? array_size(&type, 0, &stride, &size) :
							      size_of(type, 0, &size);
	if (!known)
		size = stride = 0;
	if (ph_die_u(member, DW_AT_bit_size, &bits))
		return describe_bitfield(member, base, location, size, bits, ret);
	if (base + location > INT32_MAX)
		return false;
	*ret = (struct ph_member){ .offset = (uint32_t)(base + location), .size = (uint32_t)size,
				   .stride = (uint32_t)stride, .present = true };
	return true;
}

/* Finds a member by name, also in anonymous structs and unions; *base grows by
 * where those lie. The depth is bounded, the work by the budget. */
static bool find_member(uint64_t *budget, Dwarf_Die *record, const char *name, size_t len,
			int depth, uint64_t *base, Dwarf_Die *ret)
{
	Dwarf_Die m, type;
	if (depth > MAX_ANONYMOUS || dwarf_child(record, &m))
		return false;
	do {
		if (!*budget || !--*budget)
			return false;
		if (dwarf_tag(&m) != DW_TAG_member)
			continue;
		const char *own = dwarf_diename(&m);
		if (own && *own) {
			if (!strncmp(own, name, len) && !own[len]) {
				*ret = m;
				return true;
			}
			continue;
		}
		uint64_t location, inner = *base;
		if (!get_ref(&m, DW_AT_type, &type) || !ph_die_peel(&type) ||
		    !ph_die_is_record(dwarf_tag(&type)) || !member_location(&m, &location) ||
		    location > INT32_MAX)
			continue;
		inner += location;
		if (find_member(budget, &type, name, len, depth + 1, &inner, ret)) {
			*base = inner;
			return true;
		}
	} while (dwarf_siblingof(&m, &m) == 0);
	return false;
}

/* "a.b.c", ended by NUL or '|'. */
static bool find_path(uint64_t *budget, Dwarf_Die record, const char *path, struct ph_member *ret)
{
	uint64_t base = 0, location;
	Dwarf_Die member;
	for (;;) {
		size_t len = strcspn(path, ".|");
		if (!ph_die_is_record(dwarf_tag(&record)) ||
		    !find_member(budget, &record, path, len, 0, &base, &member))
			return false;
		path += len;
		if (*path != '.')
			return describe(&member, base, ret);
		path++;
		if (!member_location(&member, &location) || location > INT32_MAX ||
		    !get_ref(&member, DW_AT_type, &record) || !ph_die_peel(&record))
			return false;
		base += location;
	}
}

bool ph_die_member(uint64_t *budget, Dwarf_Die record, const char *paths, struct ph_member *ret)
{
	for (const char *p = paths; p; p = strchr(p, '|')) {
		p += *p == '|';
		if (find_path(budget, record, p, ret))
			return true;
	}
	return false;
}
