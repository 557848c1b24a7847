/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cycles, in steps: parts.c says which objects take part and finds the strongly
 * connected components; holders.c names references ("app.Node holds it as
 * .children[]"); local.c is one component as a small graph of its own; shape.c
 * gives it a representative cycle and a shape; cut.c looks for a reference to
 * make weak; cycles.c groups components that look alike. */
#ifndef PYHEAP_CYCLES_PRIV_H
#define PYHEAP_CYCLES_PRIV_H

#include "analysis_priv.h"

/* ---- parts.c ---------------------------------------------------------------------- */

struct ph_cycle_parts {
	struct ph_components main;  /* garbage, and live objects but for infrastructure */
	struct ph_components infra; /* types, modules, functions, their dicts and cells */
};
struct ph_err *ph_cycle_parts_find(const struct ph_graph *g, struct ph_cycle_parts *ret);
void ph_cycle_parts_deinit(struct ph_cycle_parts *p);
/* Edges that make no cycle: nothing is counted for them. */
#define PH_CYCLE_DROP PH_EDGE_BORROWED

/* ---- holders.c -------------------------------------------------------------------- */

#define PH_HOLDER_TEXT 160 /* as in struct ph_cycle_step */
#define PH_NO_HOLDER UINT32_MAX
#define PH_NO_SUFFIX UINT32_MAX

/* One way to hold: the canonical type of the instance and the label that leads
 * out of it, containers folded. Equal ways have equal numbers. */
struct ph_holder {
	uint32_t type, parent; /* parent: one suffix less; PH_NO_HOLDER: the instance itself */
	uint32_t suffix;
	uint32_t text;         /* offset in texts */
	uint16_t depth, length;
	bool namespace;        /* the instance's __dict__: keys below are attributes */
	bool wanted;           /* a candidate for the cut begins like this */
};
struct ph_suffix {
	uint32_t text, length; /* in texts */
	uint32_t plain;        /* its own number; that of an attribute's suffix if this is a dict's
				* value: ".name" below a namespace, "[]" else */
};
struct ph_table {
	uint32_t *slots; /* index + 1; 0 = free */
	uint32_t size, used;
};
/* What a label adds: those asked for last, each in a place of its own. */
struct ph_known_suffix {
	ph_label_id id;
	uint32_t suffix; /* PH_NO_SUFFIX: the place is free */
	bool namespace;  /* a dict that is held so is one */
};
#define PH_KNOWN_SUFFIXES 1024u
/* All ways to hold that were met, and the pieces they are made of. */
struct ph_holders {
	const struct ph_graph *g;
	uint32_t *canonical;     /* [g->ntypes] */
	uint8_t *folds;          /* [g->ntypes] a container that is folded into the step before */
	uint32_t *instances;     /* [g->ntypes] holder of the instance itself */
	struct PH_VEC(struct ph_holder) items;
	struct PH_VEC(struct ph_suffix) suffixes;
	struct PH_VEC(char) texts;
	struct ph_table by_step, by_text;
	struct ph_known_suffix *known; /* [PH_KNOWN_SUFFIXES] by hash */
};
/* Suffixes that every table has. */
enum { PH_SUFFIX_NAMESPACE, PH_SUFFIX_ELEMENT };

bool ph_holders_init(struct ph_holders *h, const struct ph_graph *g);
void ph_holders_deinit(struct ph_holders *h);
/* All three: PH_NO_HOLDER / PH_NO_SUFFIX when memory is out. */
uint32_t ph_holder_instance(struct ph_holders *h, uint32_t node);
uint32_t ph_holder_step(struct ph_holders *h, uint32_t holder, uint32_t suffix);
/* What the label of an edge from `node` to `to` adds. */
uint32_t ph_holder_suffix(struct ph_holders *h, uint32_t node, uint32_t to, ph_label_id label);
const char *ph_holder_text(const struct ph_holders *h, uint32_t holder);
int ph_holder_compare(const struct ph_holders *h, uint32_t a, uint32_t b);
static inline bool ph_holders_fold(const struct ph_holders *h, uint32_t node)
{
	return h->folds[h->g->type[node]];
}
/* Appends to text[PH_HOLDER_TEXT], cut at a character; false when it was cut. */
bool ph_label_append(char *text, const char *more, size_t length);
/* Appends a label unfolded, as in ".children[17]"; namespace: it is a key of one. */
bool ph_label_append_exact(char *text, const struct ph_label *label, bool namespace);
/* Whether an edge with this label leads from an instance to its namespace. */
bool ph_label_names_namespace(const struct ph_label *label);
bool ph_label_is_namespace(const struct ph_graph *g, uint32_t to, const struct ph_label *label);

/* ---- local.c ---------------------------------------------------------------------- */

enum ph_trait {
	PH_TRAIT_FOLDS = 1 << 0,    /* of the type: a container that is folded into the step before */
	PH_TRAIT_WEAK = 1 << 1,     /* of the type: instances can be weakly referenced */
	PH_TRAIT_PLAIN = 1 << 2,    /* of the type: all its edges are elements */
	PH_TRAIT_LABELLED = 1 << 3, /* its edges have got their suffixes */
};
/* One component as a graph of its own: members are 0 … n − 1 in address order. Arrays
 * have room for the largest one; only what is used of them becomes memory. */
struct ph_local {
	const struct ph_graph *g;
	const struct ph_components *c;
	struct ph_holders *h;
	uint32_t max_members;       /* of all components */
	uint64_t max_edges;         /* and of all edges that leave their members */
	uint32_t *index;            /* [g->n] place of a member in its component */
	uint8_t *type_traits;       /* [g->ntypes] */
	uint32_t n, component;
	const uint32_t *nodes;      /* [n] borrowed from c */
	bool folding;               /* false: it is made of containers only, they are the steps */
	uint8_t *traits;            /* [n] enum ph_trait */
	uint32_t *start;            /* [n + 1] */
	uint32_t *to;               /* [start[n]] index in the component */
	uint32_t *suffix;           /* the same; ph_local_suffix() */
	/* scratch: see shape.c and cut.c */
	uint32_t *work;             /* [2 n] */
	uint32_t *owners;           /* [n] */
	uint8_t *cuts;              /* [start[n]] */
	struct PH_VEC(uint64_t) wide_cuts; /* instead of these, where eight bits are too few */
	struct PH_VEC(uint64_t) lists, todo;
	uint64_t budget;
};
bool ph_local_init(struct ph_local *l, const struct ph_components *c, struct ph_holders *h);
void ph_local_deinit(struct ph_local *l);
bool ph_local_load(struct ph_local *l, uint32_t component);
/* Names the edges of a member, unless that was done before. */
bool ph_local_label(struct ph_local *l, uint32_t member);
/* What one of its edges adds, once they are named. */
static inline uint32_t ph_local_suffix(const struct ph_local *l, uint32_t member, uint32_t edge)
{
	return l->traits[member] & PH_TRAIT_PLAIN ? PH_SUFFIX_ELEMENT : l->suffix[edge];
}
/* The label of one of its edges once more, whole. */
void ph_local_whole_label(const struct ph_local *l, uint32_t member, uint32_t edge, struct ph_label *ret);
static inline bool ph_local_folds(const struct ph_local *l, uint32_t member)
{
	return l->folding && l->traits[member] & PH_TRAIT_FOLDS;
}
static inline uint32_t ph_local_instance(struct ph_local *l, uint32_t member)
{
	return ph_holder_instance(l->h, l->nodes[member]);
}

/* ---- shape.c ---------------------------------------------------------------------- */

#define PH_SHAPE_LONG 8   /* longer cycles are shortened to a repeating pattern */
#define PH_SHAPE_MAX 64   /* steps that are shown of a cycle without one */

struct ph_raw_step {
	uint32_t member, edge; /* edge: index in the local graph's edges */
};
struct ph_folded_step {
	uint32_t member, holder; /* the instance and how it holds the next */
	uint32_t first, end;     /* its raw steps */
};
/* A shortest cycle through a component's lowest object of its own kind. */
struct ph_shape {
	struct PH_VEC(struct ph_raw_step) raw;
	struct PH_VEC(struct ph_folded_step) steps; /* from the object the search began at */
	struct PH_VEC(uint32_t) border;
	uint32_t period;   /* steps of the repeating pattern, or all */
	uint32_t rotation; /* the step that the shape begins with */
	uint64_t hash;
};
bool ph_shape_find(struct ph_shape *s, struct ph_local *l);
void ph_shape_deinit(struct ph_shape *s);
static inline const struct ph_folded_step *ph_shape_step(const struct ph_shape *s, uint32_t i)
{
	return &s->steps.items[(s->rotation + i) % s->steps.n];
}

/* ---- cut.c ------------------------------------------------------------------------ */

#define PH_CUT_MAX 64
/* Ways to hold that, made weak, leave no cycle in the components seen so far. */
struct ph_cut {
	uint32_t n;
	uint32_t *holders; /* [n] best first; owned: free() it */
};
/* The candidates from a group's first component. */
bool ph_cut_begin(struct ph_cut *cut, const struct ph_shape *s, const struct ph_local *l);
/* Drops those that leave a cycle in the component. */
bool ph_cut_filter(struct ph_cut *cut, struct ph_local *l);

#endif
