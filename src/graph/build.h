/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State of a graph being built from a target: mark.c finds the objects, build.c
 * fills the arrays, labels.c answers later what an edge is called. */
#ifndef GRAPH_BUILD_H
#define GRAPH_BUILD_H

#include <pyheap/object.h>
#include <pyheap/graph.h>
#include "index.h"

struct ph_build {
	struct ph_graph_priv base; /* first: freed with the graph */
	struct ph_objects *os;
	const struct ph_runtime *rt;
	struct ph_notes *notes;
	struct ph_index index;
	uint64_t nedges;           /* references found while marking */
	uint64_t listed[5];        /* objects on gc lists by generation */
	struct ph_rootrefs roots;
	struct ph_running running;
	struct ph_refs refs;       /* scratch */
	struct ph_refs labelled;   /* of the node asked for last */
	struct PH_VEC(ph_label_id) ids; /* the same */
	uint32_t labelled_node;
	struct build_texts *texts; /* labels met so far, by number; labels.c */
};

/* Walks every object once: marks all that can be reached. */
struct ph_err *build_mark(struct ph_build *b);
/* The node of a reference, 0 when it leads nowhere. */
static inline uint32_t build_target(const struct ph_build *b, ph_ref ref)
{
	ph_addr addr = ref & PH_REF_ADDR;
	uint64_t linear = ph_mem_linear(b->os->mem, addr);
	return linear == PH_NOWHERE || addr & 7 ? 0 : ph_index_id(&b->index, linear);
}
/* Named holders, threads and frames; the threads' own names, once there are labels. */
struct ph_err *build_roots(const struct ph_build *b, struct ph_graph *g);
struct ph_err *build_thread_names(const struct ph_build *b, struct ph_graph *g);
extern const struct ph_graph_names build_names;
void build_labels_free(struct ph_build *b);

/* Calls for every marked offset in ascending order; stops when fn returns false. */
struct ph_cursor {
	const struct ph_mem *mem;
	const struct ph_index *index;
	uint64_t linear; /* of the current one */
	size_t seg;
};
/* The next marked object at or behind `from`; false at the end. */
bool build_next(struct ph_cursor *c, uint64_t from, ph_addr *ret);

#endif
