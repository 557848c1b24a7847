/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file, as docs/snapshot.md describes it: all integers are little-endian. */
#ifndef SNAPSHOT_FORMAT_H
#define SNAPSHOT_FORMAT_H

#include <pyheap/snapshot.h>

#define SNAPSHOT_MAGIC "PYHEAPSN"
#define SNAPSHOT_END "PYHEAPNS"
#define SNAPSHOT_VERSION 1u

/* Sections: id, size of an element, what it counts as in struct ph_snapshot_stats. */
#define SNAPSHOT_SECTIONS(X) \
	X(META, 1, OTHER) X(STRINGS, 1, OTHER) X(TYPES, sizeof(struct sn_type), OTHER) \
	X(BLOCKS, sizeof(struct sn_block), OBJECTS) X(ADDRESSES, 4, OBJECTS) X(SHAPES, 4, OBJECTS) \
	X(SHAPE_TABLE, sizeof(struct sn_shape), OBJECTS) X(COUNTS, 4, OBJECTS) X(FLAGS, 1, OBJECTS) \
	X(DEGREES, 4, OBJECTS) X(EDGES, 4, EDGES) X(ROOTS, sizeof(struct sn_root), OTHER) \
	X(THREADS, sizeof(struct sn_thread), OTHER) X(FRAMES, sizeof(struct sn_frame), OTHER) \
	X(WEAK, sizeof(struct sn_pair), OTHER) X(SEQUENCES, 4, LABELS) X(SEQUENCE_ENDS, 8, LABELS) \
	X(SEQUENCE_LABELS, 4, LABELS) X(LABELS, sizeof(struct sn_label), LABELS) \
	X(NAMES, sizeof(struct sn_pair), LABELS) X(HOLDERS, sizeof(struct sn_pair), OTHER) \
	X(INTERPRETERS, sizeof(struct sn_interp), OTHER) X(OWNERS, 2, OBJECTS)

enum sn_section {
#define X(name, size, part) SN_##name,
	SNAPSHOT_SECTIONS(X)
#undef X
	SN_SECTIONS,
	SN_ALWAYS = SN_INTERPRETERS /* files of one interpreter have no more */
};
enum sn_part { SN_PART_OTHER, SN_PART_OBJECTS, SN_PART_EDGES, SN_PART_LABELS };

struct sn_head {
	char magic[8];
	uint32_t version, unused;
};
/* A section's row in the table, by id. */
struct sn_row {
	uint64_t offset;   /* in the file, a multiple of 8 */
	uint64_t stored;   /* bytes there */
	uint64_t bytes;    /* bytes uncompressed */
	uint64_t checksum; /* XXH3 of what is stored */
	uint32_t zstd;     /* 1: one frame of zstd */
	uint32_t unused;
};
/* The last bytes of the file; the table is right before them. */
struct sn_tail {
	uint64_t nobjects, nedges;
	uint32_t nsections, version;
	uint64_t checksum; /* of the table and of this, with 0 here */
	char magic[8];
};

/* Strings are offsets in STRINGS, where each ends with a zero byte; 0 is "". */
struct sn_type {
	uint64_t address;
	uint32_t name, node;
	uint8_t cls, form, bits, unused[5];
};
enum { SN_TYPE_WEAKREFABLE = 1, SN_TYPE_HEAP = 2, SN_TYPE_WHOLE = 4, SN_TYPE_COLLECTED = 8, SN_TYPE_LET_GO = 16 };
/* Objects from `first` on are at address + 8 * ADDRESSES[]. */
struct sn_block {
	uint64_t address;
	uint32_t first, unused;
};
struct sn_shape {
	uint64_t shallow, uncounted;
	uint32_t type, unused;
};
struct sn_root {
	uint32_t node, frame, name;
	uint8_t kind, borrowed, unused[2];
};
struct sn_thread {
	uint64_t id, native_id;
	uint32_t interp, frames, nframes, holds_gil, name, unused;
};
struct sn_frame {
	uint32_t function, file, line, code, object;
};
struct sn_interp {
	int64_t id;
};
struct sn_pair {
	uint32_t a, b;
};
struct sn_label {
	uint64_t key;
	int64_t index;
	uint32_t name, of;
	uint8_t kind, bits, unused[6];
};
enum { SN_LABEL_IS_NAME = 1, SN_LABEL_IS_HASH = 2 };
/* SEQUENCES[]: what labels an object's references have; from SN_SEQUENCE_STORED on the number of a
 * stored one. */
enum { SN_SEQUENCE_UNKNOWN, SN_SEQUENCE_ASCENDING, SN_SEQUENCE_DESCENDING, SN_SEQUENCE_STORED };

#define SN_BLOCK 4096 /* objects of one, at most */

#endif
