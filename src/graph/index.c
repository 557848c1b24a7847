/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "index.h"

/* The word that the object is in: the last one with no more than id − 1 before it. */
static uint64_t word_of(const struct ph_index *ix, uint32_t id)
{
	uint64_t lo = 0, hi = ix->nwords;
	while (hi - lo > 1) {
		uint64_t mid = lo + (hi - lo) / 2;
		if (ix->words[mid].rank < id)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

uint64_t ph_index_linear(const struct ph_index *ix, uint32_t id)
{
	uint64_t w = word_of(ix, id), bits = ix->words[w].bits;
	for (uint64_t i = ix->words[w].rank + 1; i < id; i++)
		bits &= bits - 1;
	return w * INDEX_SPAN + 8 * (uint64_t)__builtin_ctzll(bits);
}
