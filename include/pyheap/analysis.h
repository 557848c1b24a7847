/* SPDX-License-Identifier: GPL-2.0-or-later */
/* analysis: graph in, struct out. No I/O, no target; deterministic. */
#ifndef PYHEAP_ANALYSIS_H
#define PYHEAP_ANALYSIS_H

#include <pyheap/graph.h>

/* ---- dominators and retained sizes ------------------------------------------ */

/* d dominates o when every path from node 0 to o passes d. Garbage has no such
 * path: there node 0 is taken to hold every object of those strongly connected
 * components of the garbage that no other garbage refers to. */
struct ph_dominators {
	uint32_t n;
	uint32_t *idom;      /* [n] immediate dominator; idom[0] = 0 */
	uint32_t *retained_; /* [n] use ph_retained(); NULL: … */
	uint64_t *wide_retained_; /* … instead of it, where all have 4 GiB or more */
	uint32_t *objects;   /* [n] how many a node dominates, itself included */
	uint32_t *preorder;  /* [n] nodes; all that one dominates follows it: the next objects[node] − 1 */
};
struct ph_err *ph_dominators_compute(const struct ph_graph *g, struct ph_dominators **ret);
void ph_dominators_free(struct ph_dominators *d);
/* Bytes: shallow + uncounted of all that a node dominates, itself included. */
static inline uint64_t ph_retained(const struct ph_dominators *d, uint32_t node)
{
	return __builtin_expect(d->retained_ != NULL, 1) ? d->retained_[node] : d->wide_retained_[node];
}
/* Asks memory for it. */
static inline void ph_ask_retained(const struct ph_dominators *d, uint32_t node)
{
	if (d->retained_)
		__builtin_prefetch(&d->retained_[node]);
	else
		__builtin_prefetch(&d->wide_retained_[node]);
}

/* ---- histogram ---------------------------------------------------------------- */

struct ph_histogram_row {
	uint32_t type;            /* index into the graph's types */
	uint64_t count, shallow_bytes, uncounted_bytes;
	uint64_t retained_bytes;  /* over instances that no other instance of the type dominates */
};
struct ph_histogram {
	struct ph_histogram_row *rows; /* types with objects; types of equal name are one row */
	uint32_t n;
	bool has_retained;
};
/* d may be NULL: no retained sizes. Rows by shallow + uncounted (retained when
 * present), biggest first, then by name. */
struct ph_err *ph_histogram_compute(const struct ph_graph *g, const struct ph_dominators *d,
				    struct ph_histogram **ret);
void ph_histogram_free(struct ph_histogram *h);

/* ---- cycles --------------------------------------------------------------------- */

struct ph_cycle_step {
	uint32_t node;
	struct ph_label label;   /* of the reference that leads to the next step, the last one where
				  * containers are folded */
	char text[160];          /* the label as Python writes it, indices and keys folded: ".children[]" */
	char exact[160];         /* the same, not folded: ".children[17]"; values are hidden */
};
/* Strongly connected components that look alike. */
struct ph_cycle_group {
	bool garbage;
	uint32_t interp;         /* index; those of each interpreter are groups of their own */
	struct ph_cycle_step *steps; /* a shortest cycle through the first component's lowest object of a
				      * class of its own kind; step i leads to step i + 1, the last to the first */
	uint32_t nsteps;          /* at most 64 */
	uint32_t length;          /* steps of the cycle before a repeating pattern was shortened */
	char **shape;             /* [nshape] type names, borrowed from the graph */
	char **labels;            /* [nshape] folded labels, owned */
	uint32_t nshape;
	uint64_t count;           /* components */
	uint64_t objects;         /* in all of them */
	uint64_t shallow_bytes;   /* of these objects */
	uint64_t retained_bytes;  /* that go away with them */
	bool has_cut;
	uint32_t cut_type;        /* graph type that holds the reference to make weak */
	char cut_label[160];
};
struct ph_cycles {
	struct ph_cycle_group *groups; /* garbage first, then by retained, then by shape */
	uint32_t n;
	/* live components made of types, modules, functions and their dicts only: not in
	 * groups unless asked for */
	uint64_t infrastructure_count, infrastructure_objects, infrastructure_bytes;
	uint64_t garbage_components, live_components;
};
struct ph_cycles_options {
	bool all; /* live infrastructure cycles as groups too */
	void (*hide)(const void *ctx, struct ph_label *label); /* of a key that is a value; NULL: they are shown */
	const void *hide_ctx;
};
struct ph_err *ph_cycles_find(const struct ph_graph *g, const struct ph_cycles_options *opt,
			      struct ph_cycles **ret);
void ph_cycles_free(struct ph_cycles *c);

/* ---- paths: why objects are alive ------------------------------------------------- */

/* A search from all roots at once reaches every object that is alive by the path that a
 * person would name: the one with the least cost, which is first the penalties of its root
 * and its references, then the number of references. Penalties have (docs/paths.md):
 * references over infrastructure (an object's class, the globals of a function, what a
 * class holds besides its namespace, a module from a builtin function), references that
 * hold no count, and roots that are not named (static types, immortal, C). */
struct ph_reach_options {
	bool plain;                    /* nothing has a penalty: the fewest references */
	const char *const *through;    /* [nthrough] patterns (fnmatch): a path must match one of these, and
					* pass no infrastructure, … */
	const char *const *avoid;      /* [navoid] … and match none of these: types, labels and roots */
	size_t nthrough, navoid;
	const uint32_t *only;          /* [nonly] nodes whose paths are asked for; nonly = 0: of all */
	size_t nonly;
};
struct ph_reach;
/* g and options are borrowed and must outlive it. */
struct ph_err *ph_reach_compute(const struct ph_graph *g, const struct ph_reach_options *options,
				struct ph_reach **ret);
void ph_reach_free(struct ph_reach *r);

/* One path, whole: edges[i] is the index among nodes[i]'s edges of the one to nodes[i + 1]. */
struct ph_path {
	uint8_t kind;      /* enum ph_root_kind of its root */
	uint32_t root;     /* index into g->roots; UINT32_MAX: STATIC, IMMORTAL, C */
	uint32_t *nodes;   /* [n] from the object that the root holds to the one asked for */
	uint64_t *edges;   /* [n - 1] */
	uint32_t n;        /* 0: there is no path */
};
void ph_path_deinit(struct ph_path *p);
/* The best path to an object. */
struct ph_err *ph_path_find(const struct ph_reach *r, uint32_t node, struct ph_path *ret);
/* The `limit` best paths that read differently, the best first; *ret_n of them. Freed by
 * the caller, each with ph_path_deinit(). */
struct ph_err *ph_paths_find(struct ph_reach *r, uint32_t node, uint32_t limit, struct ph_path **ret,
			     uint32_t *ret_n);

/* A path as people read it: an instance's namespace, and what lies between a function and
 * the contents of a cell of its closure, are no steps of their own. */
#define PH_VIA_MAX 256
struct ph_path_step {
	uint32_t node;            /* that the step leads to */
	ph_addr key;              /* of a dict's value or key: address of the key; else 0 */
	char via[PH_VIA_MAX];     /* ".cache", "['users']", "[17]", "local x in f (app.py:12)" */
	char hidden[PH_VIA_MAX];  /* "": via may be in a report; else the part of via that is a value: "'users'" */
	char folded[PH_VIA_MAX];  /* the same for all indices and for keys that are values: "[\u2026]" */
};
struct ph_path_steps PH_VEC(struct ph_path_step);
/* Appends the steps of a path; false when memory is out. */
bool ph_path_read(const struct ph_graph *g, const struct ph_path *p, struct ph_path_steps *ret);
/* "module app", "local rows in handler (app.py:12)", "C"; false when memory is out. */
char *ph_path_root_text(const struct ph_graph *g, const struct ph_path *p);
/* "module", "local", "stack", "interpreter", "static type", "immortal", "C"; and the rest. */
const char *ph_root_kind_text(unsigned kind);
/* Owned by the caller, NULL when memory is out: "app"; "rows in handler (app.py:12)"; "". */
char *ph_root_name_text(const struct ph_graph *g, uint32_t root);

/* Paths of all instances of a type (or of all of one name), equal but for indices and
 * for keys that are values merged into one; those of each interpreter by themselves. */
struct ph_path_group {
	struct ph_path path;       /* of one of them */
	uint64_t count;            /* instances */
	uint64_t retained_bytes;   /* of those that no other instance of the type dominates */
};
struct ph_path_groups {
	struct ph_path_group *groups; /* by retained_bytes, then count */
	uint32_t n;
	uint64_t count, unreached;    /* instances; of these garbage, or not on a path asked for */
};
struct ph_dominators;
struct ph_err *ph_path_groups_find(const struct ph_reach *r, const struct ph_dominators *d, const char *type,
				   struct ph_path_groups **ret);
void ph_path_groups_free(struct ph_path_groups *p);

/* ---- the heaviest objects ------------------------------------------------------------ */

struct ph_heavy {
	uint32_t node;
	uint64_t objects;         /* that it dominates, itself included */
	uint64_t retained_bytes;
};
/* None is dominated by another; with `other` they make up all that was asked about. */
struct ph_heaviest {
	struct ph_heavy *rows;    /* by retained_bytes, biggest first */
	uint32_t n;
	uint64_t other_objects, other_bytes;
};
/* What object `of` immediately dominates, or of the heap (0) its top; unless plain, where
 * things hang (modules, classes, their namespaces) is passed over, and so is an object that
 * retains hardly more than another one in it; small ones are left to `other`. */
struct ph_err *ph_heaviest_find(const struct ph_graph *g, const struct ph_dominators *d, uint32_t of, bool plain,
				struct ph_heaviest **ret);
void ph_heaviest_free(struct ph_heaviest *h);

/* ---- suspects ---------------------------------------------------------------------- */

#define PH_SUSPECTS 3
/* What retains a fair share of the heap: one of the heaviest objects, or all garbage. */
struct ph_suspect {
	uint32_t node;          /* 0: garbage */
	uint64_t objects, retained_bytes;
	uint32_t mostly;        /* of what it immediately dominates, the type that retains most, … */
	uint64_t mostly_count;  /* … and how many these are; 0: nothing */
	struct ph_path path;    /* the best one to it */
};
struct ph_suspects {
	struct ph_suspect rows[PH_SUSPECTS]; /* [n] biggest first */
	uint32_t n;
};
/* To be freed with ph_suspects_deinit(), also after an error. */
struct ph_err *ph_suspects_find(const struct ph_graph *g, const struct ph_dominators *d, struct ph_suspects *ret);
void ph_suspects_deinit(struct ph_suspects *s);

/* ---- threads and tasks ---------------------------------------------------------------- */

/* What goes away with what frames hold: objects that another one of the same frame, or
 * thread, dominates are counted with that. */
struct ph_stacks {
	uint64_t *threads;    /* [g->nthreads] bytes */
	uint64_t *frames;     /* [g->nframes] bytes */
};
#define PH_TASK_DEPTH 16
/* Tasks of asyncio that wait at the same place. */
struct ph_task_group {
	uint32_t example;     /* the lowest one of them */
	uint32_t chain[PH_TASK_DEPTH]; /* [depth] its coroutine, what that awaits, … */
	uint32_t depth;
	uint32_t awaited;     /* what the last one of these awaits; 0 = nothing, not known */
	uint64_t count;
	uint64_t retained_bytes; /* sum over the tasks */
};
struct ph_stacks_result {
	struct ph_stacks stacks;
	struct ph_task_group *tasks; /* [ntasks] by count, then retained_bytes */
	uint32_t ntasks;
	uint64_t coroutines, in_tasks; /* coroutine objects; those that tasks wait in */
};
struct ph_err *ph_stacks_compute(const struct ph_graph *g, const struct ph_dominators *d,
				 struct ph_stacks_result **ret);
void ph_stacks_free(struct ph_stacks_result *s);

/* ---- referrers --------------------------------------------------------------------- */

/* Who refers to an object, by address; one row a reference. */
struct ph_referrer {
	uint32_t node;
	uint32_t owner;       /* of which node is the namespace; 0 = it is none */
	uint64_t edge;        /* of node's, */
	uint64_t owner_edge;  /* and of owner's that leads to node */
};
struct ph_referrers {
	struct ph_referrer *rows;
	uint64_t n;
};
struct ph_err *ph_referrers_find(const struct ph_graph *g, uint32_t node, struct ph_referrers **ret);
void ph_referrers_free(struct ph_referrers *r);

/* ---- holdings: what hangs on which name ------------------------------------------- */

/* All objects by the path that leads to them, up to the first place in a container: what
 * piles up there, and all that hangs on it, is one row. Small things that have a name of
 * their own (functions, strings …) belong to what has them. */
struct ph_holding {
	char *path;               /* "module app .cache['users'][\u2026]"; "garbage" */
	uint32_t type;            /* of what the path leads to; of garbage UINT32_MAX */
	uint64_t count, shallow_bytes, uncounted_bytes;
	uint64_t retained_bytes;  /* over objects that no other of the row dominates */
};
struct ph_holdings {
	struct ph_holding *rows;  /* by shallow + uncounted, biggest first, then by path */
	uint32_t n;
	bool has_retained;
};
/* d may be NULL: no retained sizes. */
struct ph_err *ph_holdings_compute(const struct ph_reach *r, const struct ph_dominators *d,
				   struct ph_holdings **ret);
void ph_holdings_free(struct ph_holdings *h);

/* ---- excess: references that are counted and not in the graph -------------------- */

/* For each object its reference count less the counted references found to it, and
 * who else is known to hold it. */
struct ph_excess;
#define PH_EXCESS_HOLDERS 8 /* listed of one object */

/* Only the graph is looked at: nothing is explained yet. g is borrowed. */
struct ph_err *ph_excess_compute(const struct ph_graph *g, struct ph_excess **ret);
void ph_excess_free(struct ph_excess *e);
/* The excess; less than 0: more references found than counted. False for objects
 * whose references are not counted. */
bool ph_excess_of(const struct ph_excess *e, uint32_t node, int64_t *ret);
/* How much of it has no explanation yet. */
uint32_t ph_excess_left(const struct ph_excess *e, uint32_t node);
/* Explains one reference to the object at an address by the word at `at`, unless
 * nothing is left to explain or that word has explained something before; one that
 * was met in a search (scanned) must be none of an object's own references. The first
 * explanation wins. The name is copied. 1: there is an object; 0: none; < 0: memory is out. */
int ph_excess_claim(struct ph_excess *e, ph_addr object, ph_addr at, bool scanned, const char *name);
/* Explains up to n references to a node, wherever they are. This and the next:
 * false when memory is out. */
bool ph_excess_claim_all(struct ph_excess *e, uint32_t node, uint64_t n, const char *name);
/* Nothing of a node's excess is left to explain. */
void ph_excess_close(struct ph_excess *e, uint32_t node);
/* Explains by references that were found in objects of which not all is known. */
bool ph_excess_claim_found(struct ph_excess *e);
/* The holders of a node's excess in the order they were believed; the last one is "C"
 * when something is left. Returns their number; names are borrowed. */
unsigned ph_excess_holders(struct ph_excess *e, uint32_t node, const char *names[PH_EXCESS_HOLDERS]);

/* ---- diff ------------------------------------------------------------------------- */

struct ph_type_value {
	int64_t count, shallow_bytes, uncounted_bytes, retained_bytes;
};
/* One report's types: names and values side by side; borrowed. */
struct ph_type_table {
	const char *const *names;
	const struct ph_type_value *values;
	uint32_t n;
};
struct ph_diff_row {
	const char *name;              /* borrowed from a table */
	struct ph_type_value *values;  /* [ntables]; zeros where the type is missing */
	struct ph_type_value delta;    /* last − first */
	bool steady;                   /* three tables or more, and more bytes or more objects in each */
};
struct ph_diff {
	struct ph_diff_row *rows;      /* steady ones of at least a hundredth of all growth first, then by growth, biggest first, then by name. Growth is what the type
					* retains more, for user types ("." in the name) that became more
					* and where both ends have retained sizes; else (and by_size) shallow + uncounted */
	uint32_t n, ntables;
};
struct ph_err *ph_diff_compute(const struct ph_type_table *tables, uint32_t ntables, bool by_size,
			       struct ph_diff **ret);
void ph_diff_free(struct ph_diff *d);

/* ---- survivors ---------------------------------------------------------------------- */

/* The objects of one moment, by address. All borrowed by those who compare. */
struct ph_population {
	ph_addr *address;     /* [n] ascending */
	uint32_t *type;       /* [n] index into names; one and the same for types of one name */
	uint32_t *bytes;      /* [n] shallow + uncounted, at most UINT32_MAX */
	char **names;         /* [ntypes] */
	uint32_t n, ntypes;
};
/* What is kept of a graph to compare it with others. */
struct ph_err *ph_population_init(struct ph_population *p, const struct ph_graph *g);
void ph_population_deinit(struct ph_population *p);
struct ph_survivors_row {
	const char *type;     /* borrowed from the last population */
	uint64_t count, bytes;
};
/* Objects that the first moment does not have, and all later ones have at the same address
 * with the same type; n ≥ 3. Rows by bytes; *ret_rows and what it points to: free(). */
struct ph_err *ph_survivors_find(const struct ph_population *p, uint32_t n, struct ph_survivors_row **ret_rows,
				 uint32_t *ret_n);

#endif
