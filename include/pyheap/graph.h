/* SPDX-License-Identifier: GPL-2.0-or-later */
/* graph: all objects of a target with dense ids, and their references.
 *
 * Node 0 stands for all roots; objects are 1..n−1 in ascending address order.
 * Structure of arrays; edges in two arrays (CSR): the edges of node i are
 * edges[start(i) .. start(i + 1)), in the order the object holds them,
 * repeats kept. Immutable once built. */
#ifndef PYHEAP_GRAPH_H
#define PYHEAP_GRAPH_H

#include <pyheap/label.h>

/* An edge: target id and two bits. */
#define PH_EDGE_BORROWED 0x80000000u /* holds no reference count: visited only, or a conservative find */
#define PH_EDGE_OWNED 0x40000000u    /* held, but not visited by tp_traverse */
#define PH_EDGE_ID 0x3fffffffu
#define PH_GRAPH_MAX PH_EDGE_ID      /* nodes */

enum ph_node_flag {
	PH_NODE_TRACKED = 1 << 0,      /* on a gc list */
	PH_NODE_IMMORTAL = 1 << 1,
	PH_NODE_SIZE_EXACT = 1 << 2,
	PH_NODE_REFS_EXACT = 1 << 3,
	PH_NODE_GARBAGE = 1 << 4,      /* no root reaches it */
	PH_NODE_GEN_SHIFT = 5,         /* 2 bits: 0, 1, 2, 3 = permanent; only when tracked */
	PH_NODE_GEN_MASK = 3 << 5,
	PH_NODE_SEED = 1 << 7,         /* held from outside: an edge of node 0 */
};

struct ph_graph_type {
	char *name;               /* "dict", "app.models.User" */
	ph_addr address;          /* of the type object; 0 in graphs made by hand */
	uint32_t node;            /* the type object's own node, 0 = none */
	uint8_t cls;              /* enum ph_type_class */
	uint8_t form;             /* enum ph_type_form */
	bool weakrefable;         /* instances can be weakly referenced */
	bool heap;                /* a heap type (Python class or from a C module) */
	bool collected;           /* instances can be tracked by the collector, … */
	bool let_go;              /* … which no longer does, when it looks at one that refers to none of these */
	uint64_t refs_differ, sizes_differ; /* objects whose own code says something else (verify) … */
	ph_addr differs_at;       /* … and the first of them */
	bool whole;               /* all that its instances hold is known, what they do not visit, too */
};

/* What holds objects from outside the graph, in the order in which it is named. */
enum ph_root_kind {
	PH_ROOT_LOCAL,     /* local variable of a running frame */
	PH_ROOT_STACK,     /* its operand stack */
	PH_ROOT_MODULE,    /* a module in sys.modules */
	PH_ROOT_INTERP,    /* interpreter or thread state, sys.modules itself */
	PH_ROOT_STATIC,    /* static type */
	PH_ROOT_IMMORTAL,
	PH_ROOT_C,         /* held by C code: reference count excess */
	PH_ROOT_KINDS
};
/* A named holder outside the object graph: LOCAL to INTERP. */
struct ph_graph_root {
	uint32_t node;      /* the object held */
	uint8_t kind;       /* enum ph_root_kind */
	bool borrowed;      /* holds no reference count */
	uint32_t frame;     /* LOCAL, STACK: index into frames; else UINT32_MAX */
	char *name;         /* LOCAL: the variable; STACK: ""; MODULE: its name; INTERP: "builtins", … */
};
/* A frame that runs. */
struct ph_graph_frame {
	char *function, *file; /* qualified name where there is one; as code objects say */
	uint32_t line;         /* that it is at; 0 = not known */
	uint32_t code, object; /* nodes of its code and its frame object; 0 = none */
};
struct ph_graph_thread {
	uint64_t id, native_id; /* threading.get_ident(), get_native_id(); 0 = not known */
	uint32_t interp;        /* index of its interpreter */
	bool holds_gil;
	char *name;             /* threading.Thread's: a value; NULL = not known */
	uint32_t frames, nframes; /* frames[frames .. frames + nframes), the innermost first */
};

/* An interpreter of several, and its share of the objects. */
#define PH_GRAPH_INTERPS_MAX 4096
struct ph_graph_interp {
	int64_t id;                  /* as `interpreters.get_current()` shows it */
	uint64_t objects, tracked, bytes; /* bytes: shallow + uncounted */
	uint64_t threads;
};

struct ph_graph;
/* Where addresses, labels and names of objects come from: the target, or a snapshot. Use
 * ph_graph_address(), _find_before(), _labels(), _label_id(), _label_text() and _describe(). */
struct ph_graph_names {
	ph_addr (*address)(void *ctx, const struct ph_graph *g, uint32_t node);
	bool (*labels)(void *ctx, const struct ph_graph *g, uint32_t node, const ph_label_id **ret);
	void (*text)(void *ctx, const struct ph_graph *g, ph_label_id id, struct ph_label *ret);
	bool (*describe)(void *ctx, const struct ph_graph *g, uint32_t node, char *buf, size_t max);
	/* that of one edge alone; NULL: all are asked for */
	bool (*label)(void *ctx, const struct ph_graph *g, uint32_t node, uint64_t edge, ph_label_id *ret);
	/* NULL: addresses are asked for, one after the other */
	uint32_t (*find_before)(void *ctx, const struct ph_graph *g, ph_addr address);
	/* NULL: there is nothing that could be */
	void (*forget_numbers)(void *ctx, const struct ph_graph *g);
};

struct ph_graph {
	uint32_t n;                  /* nodes, node 0 included */
	uint64_t nedges;             /* without node 0's */
	uint32_t *type;              /* [n] index into types */
	uint16_t *shallow_;          /* [n] bytes; use ph_graph_shallow() */
	uint16_t *uncounted_;        /* [n] bytes; use ph_graph_uncounted() */
	uint32_t *refcount;          /* [n] saturated at UINT32_MAX; meaningless when immortal; NULL: forgotten */
	uint8_t *flags;              /* [n] enum ph_node_flag */
	uint32_t *start_;            /* [n + 1] use ph_graph_edge_start(); NULL: … */
	uint64_t *wide_start_;       /* … instead of it, where there are more edges than fit */
	uint32_t *edges;             /* [nedges] */
	uint32_t *seeds;             /* [nseeds] node 0's edges, ascending */
	uint32_t nseeds;
	struct ph_graph_type *types; /* [ntypes], by name */
	uint32_t ntypes;
	struct ph_graph_root *roots; /* [nroots] named holders, by kind */
	uint32_t nroots;
	struct ph_graph_thread *threads; /* [nthreads] by interpreter, the newest first */
	uint32_t nthreads;
	struct ph_graph_frame *frames; /* [nframes] of all threads */
	uint32_t nframes;
	struct ph_graph_weak { uint32_t to, from; } *weak; /* [nweak] weak references: from refers to `to`; ascending */
	uint32_t nweak;
	struct ph_big_size { uint32_t node; uint64_t shallow, uncounted; } *big; /* [nbig] by node */
	uint32_t nbig;
	/* where there is more than one interpreter, else NULL and 0: */
	struct ph_graph_interp *interps; /* [ninterps + 1] the main one first; the last: what is of none alone */
	uint32_t ninterps;
	uint16_t *interp_;           /* [n] index into interps; use ph_graph_interp() */
	uint32_t only;               /* index + 1 of the one that is asked about; 0: all. ph_graph_select() */

	/* totals, of what is asked about */
	uint64_t objects, references;
	uint64_t tracked, generations[4];
	uint64_t shallow_bytes, uncounted_bytes;
	uint64_t garbage_objects, garbage_bytes; /* bytes: shallow + uncounted */
	uint64_t garbage_tracked;    /* of these, what the next full collection would find */
	uint64_t exact_objects;      /* size and references exact */

	uint64_t mark_ns, edges_ns;  /* that building took: to find all objects, to read them; without replay */
	/* references that led to no object because the target was not stopped */
	struct ph_graph_reread {
		uint64_t found, left; /* as it was copied, and after pages of it were read again */
		uint64_t pages, rounds;
		uint64_t ns;          /* that it took */
	} reread;

	const struct ph_graph_names *names;
	void *names_ctx;             /* borrowed */
	void *priv;
};

struct ph_runtime;
struct ph_objects_options;
/* Reads every object of a captured target: the tracked ones from the gc lists,
 * all others through references. rt and options (or NULL, see object.h) are borrowed
 * and must outlive the graph (labels are read on demand). */
struct ph_err *ph_graph_build(const struct ph_runtime *rt, struct ph_objects_options *options,
			      struct ph_notes *notes, struct ph_graph **ret);
void ph_graph_free(struct ph_graph *g);
/* Gives back the memory of the reference counts, for those who have seen enough of them. */
void ph_graph_forget_counts(struct ph_graph *g);
/* Gives back the memory of numbers that no label shows: for those who will not describe them. */
void ph_graph_forget_numbers(struct ph_graph *g);

/* Where the edges of a node begin; node n: where all end. */
static inline uint64_t ph_graph_edge_start(const struct ph_graph *g, uint32_t node)
{
	return __builtin_expect(g->start_ != NULL, 1) ? g->start_[node] : g->wide_start_[node];
}
/* Whether an object has edges. */
static inline bool ph_graph_has_edges(const struct ph_graph *g, uint32_t node)
{
	return ph_graph_edge_start(g, node) != ph_graph_edge_start(g, node + 1);
}
/* Asks memory for what says where they begin. */
static inline void ph_graph_ask_start(const struct ph_graph *g, uint32_t node)
{
	if (g->start_)
		__builtin_prefetch(&g->start_[node]);
}
/* Edges of a node, node 0's included; *ret_n of them. Borrowed. */
static inline const uint32_t *ph_graph_edges(const struct ph_graph *g, uint32_t node,
					     uint64_t *ret_n)
{
	if (node == 0) {
		*ret_n = g->nseeds;
		return g->seeds;
	}
	uint64_t start = ph_graph_edge_start(g, node);
	*ret_n = ph_graph_edge_start(g, node + 1) - start;
	return g->edges + start;
}
#define PH_GRAPH_BIG UINT16_MAX /* sizes from here on are in g->big */
uint64_t ph_graph_shallow_big(const struct ph_graph *g, uint32_t node);
uint64_t ph_graph_uncounted_big(const struct ph_graph *g, uint32_t node);
static inline uint64_t ph_graph_shallow(const struct ph_graph *g, uint32_t node)
{
	uint32_t v = g->shallow_[node];
	return v != PH_GRAPH_BIG ? v : ph_graph_shallow_big(g, node);
}
static inline uint64_t ph_graph_uncounted(const struct ph_graph *g, uint32_t node)
{
	uint32_t v = g->uncounted_[node];
	return v != PH_GRAPH_BIG ? v : ph_graph_uncounted_big(g, node);
}
/* shallow + uncounted: what goes away with the object alone */
static inline uint64_t ph_graph_bytes(const struct ph_graph *g, uint32_t node)
{
	return ph_graph_shallow(g, node) + ph_graph_uncounted(g, node);
}
static inline int ph_graph_generation(const struct ph_graph *g, uint32_t node)
{
	return (g->flags[node] & PH_NODE_GEN_MASK) >> PH_NODE_GEN_SHIFT;
}
/* Index of the interpreter that an object belongs to; ninterps: to none alone, or not known. */
static inline uint32_t ph_graph_interp(const struct ph_graph *g, uint32_t node)
{
	return g->interp_ ? g->interp_[node] : 0;
}
/* Whether an object is one of those that are asked about: rows and totals are of these, paths and
 * retained sizes are what they are among all. */
static inline bool ph_graph_selected(const struct ph_graph *g, uint32_t node)
{
	return !g->only || g->interp_[node] + 1u == g->only;
}
/* Asks about one interpreter's objects (index; ninterps: what is of none alone). */
struct ph_err *ph_graph_select(struct ph_graph *g, uint32_t interp);
/* Whether all that it holds is in the graph. */
static inline bool ph_graph_whole(const struct ph_graph *g, uint32_t node)
{
	return g->flags[node] & PH_NODE_REFS_EXACT && g->types[g->type[node]].whole;
}
static inline ph_addr ph_graph_address(const struct ph_graph *g, uint32_t node)
{
	return g->names->address(g->names_ctx, g, node);
}
/* Node of an address, 0 when no object starts there; the last one that starts there or before. */
uint32_t ph_graph_find(const struct ph_graph *g, ph_addr address);
uint32_t ph_graph_find_before(const struct ph_graph *g, ph_addr address);
/* The labels of all edges of a node, valid until the next call; false when they cannot
 * be told. */
bool ph_graph_labels(const struct ph_graph *g, uint32_t node, const ph_label_id **ret);
/* That of one edge; cheaper than all where few are asked for. */
bool ph_graph_label_id(const struct ph_graph *g, uint32_t node, uint64_t edge, ph_label_id *ret);
void ph_graph_label_text(const struct ph_graph *g, ph_label_id id, struct ph_label *ret);
/* What an object is called by those who wrote it: "handler (app.py:12)" of functions, code,
 * frames and coroutines, the names of types and modules; no values. False: it has no name. */
bool ph_graph_describe(const struct ph_graph *g, uint32_t node, char *buf, size_t max);
/* How `node` holds its `edge`-th reference (index within the node's edges).
 * False when it cannot be told; *ret is then PH_LABEL_NONE. */
bool ph_graph_label(const struct ph_graph *g, uint32_t node, uint64_t edge, struct ph_label *ret);

/* ---- graphs made by hand, for tests and snapshots --------------------------- */

/* A graph under construction; objects get ids 1, 2, … in the order added. */
struct ph_graph_builder;
struct ph_graph_builder *ph_graph_builder_new(void);
/* Returns the type's index, or UINT32_MAX when memory is out. Name is copied. */
uint32_t ph_graph_builder_type(struct ph_graph_builder *b, const char *name, enum ph_type_class cls,
			       bool weakrefable);
/* Adds an object (flags: enum ph_node_flag; PH_NODE_SEED makes it a root's). */
uint32_t ph_graph_builder_node(struct ph_graph_builder *b, uint32_t type, uint64_t shallow,
			       uint64_t uncounted, unsigned flags);
/* Adds an edge (target id | PH_EDGE_ flags), labelled; edges of one source keep
 * the order they were added in, sources may come in any order. */
bool ph_graph_builder_edge(struct ph_graph_builder *b, uint32_t from, uint32_t to_and_flags,
			   enum ph_label_kind kind, const char *name);
/* Finishes: sorts edges into CSR, finds garbage (what no seed reaches), sums the
 * totals; frees the builder also on error. */
struct ph_err *ph_graph_builder_finish(struct ph_graph_builder *b, struct ph_graph **ret);

/* Marks PH_NODE_GARBAGE on every node that node 0 does not reach (over counted and
 * borrowed edges alike) and sets the garbage totals. */
struct ph_err *ph_graph_find_garbage(struct ph_graph *g);

/* ---- graphs filled by others: from a target, by hand, from a snapshot ------------ */

/* First member of whatever graph->priv points to; ph_graph_free() calls it. */
struct ph_graph_priv {
	void (*free)(struct ph_graph_priv *priv); /* frees priv itself, too */
};

/* An empty graph, to be filled and freed with ph_graph_free(); NULL = out of memory. */
struct ph_graph *ph_graph_new(void);
/* Zeroed arrays for n nodes: type, shallow_, uncounted_, refcount, flags
 * of n entries, where edges begin of n + 1. They are ph_big_alloc() memory of exactly
 * that size; who fills them in another way keeps to that. Sets g->n and g->nedges. */
bool ph_graph_alloc_nodes(struct ph_graph *g, uint32_t n, uint64_t nedges);
/* Zeroed g->edges for g->nedges edges: ph_big_alloc(nedges * sizeof *edges). */
bool ph_graph_alloc_edges(struct ph_graph *g);
static inline void ph_graph_set_edge_start(struct ph_graph *g, uint32_t node, uint64_t edge)
{
	if (g->start_)
		g->start_[node] = (uint32_t)edge;
	else
		g->wide_start_[node] = edge;
}
/* Stores the sizes of a node; false: they are big, and to be in g->big, too. */
static inline bool ph_graph_set_sizes(struct ph_graph *g, uint32_t node, uint64_t shallow, uint64_t uncounted)
{
	g->shallow_[node] = shallow < PH_GRAPH_BIG ? (uint16_t)shallow : PH_GRAPH_BIG;
	if (uncounted) /* most have none: pages of zeroes stay untouched */
		g->uncounted_[node] = uncounted < PH_GRAPH_BIG ? (uint16_t)uncounted : PH_GRAPH_BIG;
	return shallow < PH_GRAPH_BIG && uncounted < PH_GRAPH_BIG;
}
/* More edges than this are counted in 64 bits. For tests. */
extern uint64_t ph_graph_narrow_edges;
/* types, roots, big and seeds are malloc() memory, as are names in them. */

/* Sets the totals but those of the garbage, and each interpreter's, from the arrays. */
void ph_graph_sum(struct ph_graph *g);

#endif
