/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State of a graph being built from a target: mark.c finds the objects, fill.c fills the
 * arrays, labels.c answers later what an edge is called. */
#ifndef GRAPH_BUILD_H
#define GRAPH_BUILD_H

#include <pyheap/object.h>
#include <pyheap/graph.h>
#include "index.h"

/* A part of the memory that one thread goes through at a time. */
#define CHUNK_WORDS 2048 /* of the index */
#define CHUNK_BYTES ((uint64_t)CHUNK_WORDS * INDEX_SPAN)
struct build_chunk {
	uint64_t edges;    /* references that its objects hold */
	uint64_t first;    /* the first of them among all */
};

/* A reference that leads to no object, in a target that was not stopped. */
struct build_torn {
	ph_addr holder, to;
};
struct build_torn_list PH_VEC(struct build_torn);
/* For qsort(): addresses, or what begins with one. */
int build_by_address(const void *pa, const void *pb);
#define TORN_MAX 100000 /* of one thread; more are not read again */
#define REREADS 3
struct build_reread {
	struct build_torn_list found; /* when the objects were marked last */
	struct ph_pages pages;        /* that are read again, ascending */
	struct build_reread_round {   /* once: pages, and what they were */
		struct ph_pages pages;
		uint8_t *before;
	} round[REREADS];
	uint64_t fewest;              /* that was found so far, … */
	unsigned best;                /* … after so many rounds */
	uint64_t left;                /* work that may be done for one round */
	unsigned rounds;
	uint64_t start;
	struct ph_graph_reread told;
	bool done;                    /* they are not read once more */
};

struct ph_build {
	struct ph_graph_priv base; /* first: freed with the graph */
	struct ph_objects *os;
	const struct ph_runtime *rt;
	struct ph_notes *notes;
	struct ph_index index;
	struct build_chunk *chunks; /* [nchunks] while it is being built */
	uint64_t nchunks;
	unsigned workers;          /* threads that read */
	uint64_t listed[5];        /* objects on gc lists by generation */
	struct build_reread reread;
	struct ph_rootrefs roots;
	struct ph_running running;
	struct ph_refs labelled;   /* scratch, of the node asked for last */
	struct PH_VEC(ph_label_id) ids; /* the same */
	uint32_t labelled_node;
	size_t asked;              /* segment of the object whose address was asked for last */
	struct build_texts *texts; /* labels met so far, by number; labels.c */
};

/* Reads every object once: marks all that can be reached, counts their references.
 * *ret_again: what was torn was read again, and all has to begin anew. */
struct ph_err *build_mark(struct ph_build *b, bool *ret_again);
/* torn.c: whether memory has changed since b->reread.found was. */
bool build_reread(struct ph_build *b);
/* Makes the last time undone, and lets it be; false: there was none. */
bool build_reread_undo(struct ph_build *b);
/* Notes what stayed. */
void build_reread_note(struct ph_build *b);
void build_reread_free(struct ph_build *b);
/* Counted references found to each node: few have more than 255. */
struct build_found {
	uint8_t *few[PH_WORKERS_MAX]; /* [n] of each thread, modulo 256, … */
	struct PH_VEC(uint32_t) more; /* … and the node once for each 256 more, ascending */
	uint32_t n;
};
/* Reads every marked object again into g's arrays, whose types are there. ret: zeroed;
 * freed with build_found_free(), also after an error. */
struct ph_err *build_fill(struct ph_build *b, struct ph_graph *g, struct build_found *ret);
void build_found_free(struct build_found *found);
/* The node of a reference, 0 when it leads nowhere. */
static inline uint32_t build_target(const struct ph_build *b, ph_ref ref)
{
	ph_addr addr = ref & PH_REF_ADDR;
	uint64_t linear = ph_mem_linear(b->os->mem, addr);
	return linear == PH_NOWHERE || addr & 7 ? 0 : ph_index_id(&b->index, linear);
}
/* Objects whose references are gathered before any of them is followed: what they lead to
 * is fetched from memory meanwhile, all at once and not one after the other. */
#define BATCH 32
#define BATCH_ASKED 65536 /* references at most; of a list of millions the rest is asked for bit by bit */
struct build_batch {
	struct ph_refs refs; /* of the objects, one after the other, … */
	struct PH_VEC(uint64_t) linear; /* … where the first of them lead to; others: build_batch_late() … */
	size_t ends[BATCH];  /* … each object's up to here */
	unsigned n;
};
/* Where a reference leads to, PH_NOWHERE: to no object; what is there is asked for. */
static inline uint64_t build_ask(const struct ph_build *b, ph_ref ref)
{
	ph_addr addr = ref & PH_REF_ADDR;
	uint64_t linear = addr & 7 ? PH_NOWHERE : ph_mem_linear(b->os->mem, addr);
	if (linear != PH_NOWHERE)
		__builtin_prefetch(ph_index_word(&b->index, linear));
	return linear;
}
/* Of those that were not asked for with the object. */
static inline uint64_t build_batch_late(const struct ph_build *b, const struct build_batch *batch, size_t i)
{
	if (i + BATCH < batch->refs.n)
		build_ask(b, batch->refs.items[i + BATCH]);
	return build_ask(b, batch->refs.items[i]);
}
/* Ends the references of an object, which were appended to refs. */
static inline void build_batch_end(const struct ph_build *b, struct build_batch *batch)
{
	size_t n = batch->refs.n < BATCH_ASKED ? batch->refs.n : BATCH_ASKED, asked = batch->linear.n;
	if (n > asked && !PH_VEC_RESERVE(&batch->linear, n - asked)) {
		batch->refs.nomem = true;
		n = batch->refs.n = asked;
	}
	for (; asked < n; asked++)
		batch->linear.items[asked] = build_ask(b, batch->refs.items[asked]);
	batch->linear.n = n;
	batch->ends[batch->n++] = batch->refs.n;
}
static inline void build_batch_clear(struct build_batch *batch)
{
	batch->n = 0;
	batch->refs.n = batch->linear.n = 0;
}
static inline void build_batch_free(struct build_batch *batch)
{
	ph_refs_free(&batch->refs);
	ph_vec_free(&batch->linear);
}
/* Named holders, threads and frames; the threads' own names, once there are labels. */
struct ph_err *build_roots(const struct ph_build *b, struct ph_graph *g);
struct ph_err *build_thread_names(const struct ph_build *b, struct ph_graph *g);
/* interps.c: whose each object is, where there is more than one interpreter. */
struct ph_err *build_interps(const struct ph_build *b, struct ph_graph *g);
/* numbers.c: gives back memory that no label, text or description of anything else is made of. */
void build_forget_numbers(void *build, const struct ph_graph *g);
extern const struct ph_graph_names build_names;
void build_labels_free(struct ph_build *b);

/* From linear offsets, ascending, to addresses. */
struct build_cursor {
	const struct ph_mem *mem;
	size_t seg;
};
static inline ph_addr build_address(struct build_cursor *c, uint64_t linear)
{
	const struct ph_segment *s = &c->mem->segs[c->seg];
	while (linear >= s->linear + (s->end - s->start))
		s = &c->mem->segs[++c->seg];
	return s->start + (linear - s->linear);
}
/* The last object at or before an address, and an object's address. */
uint32_t build_find_before(void *build, const struct ph_graph *g, ph_addr address);
ph_addr build_node_address(void *build, const struct ph_graph *g, uint32_t node);
/* The words of a chunk. */
static inline uint64_t build_chunk_first(uint64_t chunk)
{
	return chunk * CHUNK_WORDS;
}
static inline uint64_t build_chunk_end(const struct ph_build *b, uint64_t chunk)
{
	uint64_t end = (chunk + 1) * CHUNK_WORDS;
	return end < b->index.nwords ? end : b->index.nwords;
}
/* The next chunk that nobody has taken; false when there is none, or Ctrl-C was pressed. */
static inline bool build_take(const struct ph_build *b, uint64_t *next, uint64_t *ret)
{
	*ret = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
	return *ret < b->nchunks && !ph_interrupted;
}

#endif
