/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Address → dense id: one bit for every 8 bytes of heap and a rank for every 64
 * bits, side by side in one cache line. While objects are being found the bits are
 * the marks; ids come out in address order. Linear offsets: memory.h. */
#ifndef GRAPH_INDEX_H
#define GRAPH_INDEX_H

#include <pyheap/base.h>

struct ph_index_word {
	uint64_t bits;
	union {
		uint64_t unread; /* while marking: those that the sweep has yet to read */
		uint64_t rank;   /* objects before this word */
	};
};
struct ph_index {
	struct ph_index_word *words;
	uint64_t nwords;
	uint64_t n;      /* objects */
	uint64_t *coarse; /* the word that each INDEX_COARSE-th object is in, the first one's first */
};

#define INDEX_SPAN 512 /* bytes of heap a word */
#define INDEX_COARSE 64

/* Zeroed marks; false: memory is out. Freed with ph_index_deinit(). */
bool ph_index_init(struct ph_index *ix, uint64_t linear_size);
void ph_index_deinit(struct ph_index *ix);
/* Numbers what is marked, when all is. False: memory is out. */
bool ph_index_rank(struct ph_index *ix);
static inline struct ph_index_word *ph_index_word(const struct ph_index *ix, uint64_t linear)
{
	return &ix->words[linear / INDEX_SPAN];
}
static inline uint64_t ph_index_bit(uint64_t linear)
{
	return 1ull << (linear / 8 & 63);
}
static inline bool ph_index_has(const struct ph_index *ix, uint64_t linear)
{
	return __atomic_load_n(&ph_index_word(ix, linear)->bits, __ATOMIC_RELAXED) & ph_index_bit(linear);
}
/* Where an object is, by its id: 1 to the number of objects. */
uint64_t ph_index_linear(const struct ph_index *ix, uint32_t id);
/* How many are at an offset or before: the id of the last one of them. */
static inline uint32_t ph_index_before(const struct ph_index *ix, uint64_t linear)
{
	const struct ph_index_word *w = ph_index_word(ix, linear);
	return (uint32_t)w->rank + (uint32_t)__builtin_popcountll(w->bits << (63 - (linear / 8 & 63)));
}
/* Id of a marked offset, from 1 on; 0 when it is not marked. */
static inline uint32_t ph_index_id(const struct ph_index *ix, uint64_t linear)
{
	return ph_index_word(ix, linear)->bits & ph_index_bit(linear) ? ph_index_before(ix, linear) : 0;
}

#endif
