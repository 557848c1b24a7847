/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Demand loading, private to src/memory. */
#ifndef PYHEAP_MEMORY_PAGER_H
#define PYHEAP_MEMORY_PAGER_H

#include <pyheap/memory.h>

struct ph_pager;

/* NULL when memory is out. */
struct ph_pager *ph_pager_new(uint64_t budget,
			      size_t (*load)(void *ctx, ph_addr addr, void *buf, size_t n), void *ctx);
void ph_pager_free(struct ph_pager *pager);
/* Loads the windows of [addr, addr + n), which segments cover whole. False when
 * a page of it cannot be read. */
bool ph_pager_load(const struct ph_mem *mem, ph_addr addr, uint64_t n);

/* Fills the index entry of the block at addr, which seg covers whole (memory.c). */
bool ph_mem_index_block(const struct ph_mem *mem, const struct ph_segment *seg, ph_addr addr);

#endif
