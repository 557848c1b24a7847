/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fields.def as a table. */
#include "layout_priv.h"

#define REQUIRED true, NULL
#define OPTIONAL false, NULL
#define IN(mod) false, mod

const struct ph_row ph_rows[] = {
#define F(id, structs, member, need) { PH_ROW_FIELD, #id, structs, member, PH_F_##id, need },
#define S(id, structs, need) { PH_ROW_SIZE, #id, structs, NULL, PH_S_##id, need },
#define E(id, enumerator, need) { PH_ROW_ENUM, #id, NULL, enumerator, PH_E_##id, need },
#include <pyheap/fields.def>
#undef F
#undef S
#undef E
};
const size_t ph_nrows = sizeof ph_rows / sizeof *ph_rows;

static const char *const field_names[] = {
#define F(id, structs, member, need) structs "." member,
#define S(id, structs, need)
#define E(id, enumerator, need)
#include <pyheap/fields.def>
#undef F
#undef S
#undef E
};

const char *ph_field_name(enum ph_field f)
{
	return (size_t)f < PH_FIELDS ? field_names[f] : "?";
}

uint64_t ph_fnv1a(uint64_t hash, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	while (n--)
		hash = (hash ^ *p++) * 0x100000001b3ull;
	return hash;
}

static uint64_t hash_str(uint64_t hash, const char *s)
{
	return s ? ph_fnv1a(hash, s, strlen(s) + 1) : ph_fnv1a(hash, "\1", 1);
}

uint64_t ph_rows_hash(const struct ph_row *rows, size_t n)
{
	/* to be raised when the same rows would get other answers than before */
	static const char resolver[] = "2";
	uint64_t hash = ph_fnv1a(PH_FNV_INIT, resolver, sizeof resolver);
	for (size_t i = 0; i < n; i++) {
		const uint8_t head[] = { (uint8_t)rows[i].kind, rows[i].required };
		hash = ph_fnv1a(hash, head, sizeof head);
		hash = hash_str(hash, rows[i].id);
		hash = hash_str(hash, rows[i].structs);
		hash = hash_str(hash, rows[i].names);
		hash = hash_str(hash, rows[i].module);
	}
	return hash;
}
