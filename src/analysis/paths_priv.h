/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files about paths share: marks.c says what infrastructure is, reach.c searches
 * from the roots, path.c and alternatives.c make paths of that, via.c their words,
 * groups.c merges those of a type's instances. */
#ifndef PYHEAP_PATHS_PRIV_H
#define PYHEAP_PATHS_PRIV_H

#include "analysis_priv.h"

/* ---- penalties ----------------------------------------------------------------- */

#define PENALTY_MAX 126     /* more are this many */
#define NOT_REACHED 0xff
#define PENDING 0x80        /* a penalty that may still become less */

/* Marks of nodes: the namespace of a module, of a class; a dict of the interpreter's. */
#define MARK_MODULE_DICT 1
#define MARK_CLASS_DICT 2
#define MARK_INTERPRETER 4
/* An owner's namespace is in the edge labelled DICT. [g->n] bytes, NULL = out of memory. */
uint8_t *ph_path_marks(const struct ph_graph *g);
unsigned ph_edge_penalty(const struct ph_graph *g, const uint8_t *marks, uint32_t from, uint32_t edge);
unsigned ph_root_penalty(const struct ph_graph_root *root);

/* ---- the search ------------------------------------------------------------------ */

/* A state is a node, and whether the path has matched `through`: node + matched * n. */
struct ph_reach {
	const struct ph_graph *g;
	const struct ph_reach_options *opt;
	uint8_t *marks;
	uint32_t nstates;       /* n, or 2 n with `through` */
	uint8_t *penalty;       /* [nstates] of the best path; NOT_REACHED */
	uint32_t *depth;        /* [nstates] its references */
	uint32_t *parent;       /* [nstates] the state before; the state itself: held by a root */
	uint32_t *order;        /* [nreached] states, each behind its parent */
	uint32_t nreached;
	struct ph_source *sources; /* [nsources] what roots hold, by state, the best root first */
	uint32_t nsources;
	uint8_t *types_match;   /* [ntypes] MATCH_ bits of patterns; NULL: no patterns */
	bool labels_match;      /* patterns may be about labels: every one is looked at */
	/* in-edges, made when they are needed: those of v are in_edges[in_start[v] .. in_start[v + 1]),
	 * a source and its flags each */
	uint64_t *in_start;
	uint32_t *in_edges;
};
#define MATCH_THROUGH 1
#define MATCH_AVOID 2
struct ph_source {
	uint32_t state;
	uint32_t root;          /* index into g->roots; UINT32_MAX: not named */
	uint8_t kind, penalty;
};

static inline uint32_t ph_state_node(const struct ph_reach *r, uint32_t state)
{
	return state < r->g->n ? state : state - r->g->n;
}
/* Whether the path that ends in `state` may go on over this edge, to which state and at
 * what cost; number: the edge's, among those of its node. */
bool ph_reach_step(const struct ph_reach *r, uint32_t state, uint32_t edge, uint64_t number, uint32_t *ret_state,
		   unsigned *ret_penalty);
/* The source of a state's best path; NULL: it has none of its own. */
const struct ph_source *ph_reach_source(const struct ph_reach *r, uint32_t state);
/* The state to which the best path to a node leads; UINT32_MAX = none. */
uint32_t ph_reach_state(const struct ph_reach *r, uint32_t node);
bool ph_reach_in_edges(struct ph_reach *r);
/* Fills ret with nodes and edges from states, a root's first; consumes nothing. */
struct ph_err *ph_path_from_states(const struct ph_reach *r, const struct ph_source *source,
				   const uint32_t *states, uint32_t n, struct ph_path *ret);

/* ---- words -------------------------------------------------------------------------- */

/* A place in a container, where one is like another. */
#define PH_FOLDED_PLACE "[\u2026]"
/* A dict most of whose keys are values: those that are names are places, too. */
#define PH_TABLE_KEYS 8    /* at least so many */
#define PH_TABLE_SAMPLE 64 /* that are looked at */
bool ph_is_table(const struct ph_graph *g, uint32_t node);
/* The words of one reference; in_namespace: its dict is one. */
void ph_via_text(const struct ph_label *label, bool in_namespace, struct ph_path_step *ret);

#endif
