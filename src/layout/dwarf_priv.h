/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PYHEAP_DWARF_PRIV_H
#define PYHEAP_DWARF_PRIV_H

#include <dwarf.h>
#include <elfutils/libdw.h>
#include "layout_priv.h"

/* An attribute that is an unsigned number. */
bool ph_die_u(Dwarf_Die *die, unsigned name, uint64_t *ret);
bool ph_die_is_record(int tag);
/* Through typedefs and qualifiers to the type itself; of a declaration to the
 * type unit that defines it. False where that leads nowhere. */
bool ph_die_peel(Dwarf_Die *die);
/* sizeof of a type. */
bool ph_die_size(Dwarf_Die type, uint64_t *ret);
/* The first of "a.b.c|d.e" that the record has. *budget, members left to look
 * at, goes down; at 0 every answer is no. */
bool ph_die_member(uint64_t *budget, Dwarf_Die record, const char *paths, struct ph_member *ret);

#endif
