/* SPDX-License-Identifier: GPL-2.0-or-later */
/* snapshot: a graph on disk, and back. docs/snapshot.md describes the file. */
#ifndef PYHEAP_SNAPSHOT_H
#define PYHEAP_SNAPSHOT_H

#include <pyheap/graph.h>

/* Who holds one of an object's references from outside the graph. */
struct ph_snapshot_holder {
	uint32_t node;
	const char *name; /* borrowed; "": the object has no more holders */
};
struct ph_snapshot_options {
	bool compress;
	const char *meta; /* a text that is kept as it is */
	void (*hide)(const void *ctx, struct ph_label *label); /* of keys that are values; NULL: none are */
	const void *hide_ctx;
	const struct ph_snapshot_holder *holders; /* [nholders] in the order believed */
	size_t nholders;
	/* where the bytes go, in order; false: stop, the caller knows why */
	bool (*put)(void *ctx, const void *bytes, size_t n);
	void *put_ctx;
};
struct ph_snapshot_stats {
	uint64_t bytes;   /* of the file; */
	uint64_t objects, edges, labels; /* of these for objects, references, labels, before compression */
};
struct ph_err *ph_snapshot_write(const struct ph_graph *g, const struct ph_snapshot_options *options,
				 struct ph_snapshot_stats *ret);

/* Whether a file's first bytes (n of them) are those of a snapshot. */
bool ph_snapshot_magic(const void *bytes, size_t n);

struct ph_snapshot {
	struct ph_graph *graph;   /* owned; its edges lie in the mapping */
	const char *meta;
	struct ph_snapshot_holder *holders; /* [nholders] */
	size_t nholders;
};
/* Opens a file (name: for messages) and checks all of it: whatever it holds, the result is
 * a sound graph or error 2. */
struct ph_err *ph_snapshot_open(const char *path, const char *name, struct ph_snapshot **ret);
void ph_snapshot_close(struct ph_snapshot *s);

#endif
