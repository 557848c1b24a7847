/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "index.h"

bool ph_index_init(struct ph_index *ix, uint64_t linear_size)
{
	ix->nwords = linear_size / INDEX_SPAN + 1;
	ix->words = ph_big_alloc(ix->nwords * sizeof *ix->words);
	return ix->words != NULL;
}

static uint64_t ncoarse(const struct ph_index *ix)
{
	return ix->n / INDEX_COARSE + 1;
}

void ph_index_deinit(struct ph_index *ix)
{
	ph_big_free(ix->words, ix->nwords * sizeof *ix->words);
	ph_big_free(ix->coarse, ncoarse(ix) * sizeof *ix->coarse);
	*ix = (struct ph_index){ 0 };
}

bool ph_index_rank(struct ph_index *ix)
{
	uint64_t n = 0, at = 0;
	for (uint64_t w = 0; w < ix->nwords; w++) {
		ix->words[w].rank = n;
		n += (uint64_t)__builtin_popcountll(ix->words[w].bits);
	}
	ix->n = n;
	ix->coarse = ph_big_alloc(ncoarse(ix) * sizeof *ix->coarse);
	if (!ix->coarse)
		return false;
	for (uint64_t w = 0; w < ix->nwords; w++)
		for (uint64_t end = ix->words[w].rank + (uint64_t)__builtin_popcountll(ix->words[w].bits); at < end;
		     at += INDEX_COARSE)
			ix->coarse[at / INDEX_COARSE] = w;
	return true;
}

uint64_t ph_index_linear(const struct ph_index *ix, uint32_t id)
{
	uint64_t w = ix->coarse[(id - 1) / INDEX_COARSE], bits;
	while (w + 1 < ix->nwords && ix->words[w + 1].rank < id)
		w++;
	bits = ix->words[w].bits;
	for (uint64_t i = ix->words[w].rank + 1; i < id; i++)
		bits &= bits - 1;
	return w * INDEX_SPAN + 8 * (uint64_t)__builtin_ctzll(bits);
}
