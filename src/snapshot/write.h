/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file being written: write.c, and write_labels.c for all that labels need. */
#ifndef SNAPSHOT_WRITE_H
#define SNAPSHOT_WRITE_H

#include "format.h"

struct writer {
	const struct ph_graph *g;
	const struct ph_snapshot_options *opt;
	struct sn_row rows[SN_SECTIONS];
	uint32_t nsections;            /* of these, the first */
	uint64_t offset;
	enum sn_section section;       /* that is being written */
	struct XXH3_state_s *hash;
	struct ZSTD_CCtx_s *zstd;      /* NULL: not compressed */
	void *packed;
	size_t packed_size;
	struct PH_VEC(char) piece;     /* not written yet */
	struct PH_VEC(char) strings;
	struct ph_map by_text;
};

/* A section is begun, gets bytes, and ends; one at a time. */
void sn_begin(struct writer *w, enum sn_section section);
struct ph_err *sn_add(struct writer *w, const void *bytes, size_t n);
struct ph_err *sn_end(struct writer *w);
/* A whole section at once. */
struct ph_err *sn_put(struct writer *w, enum sn_section section, const void *bytes, size_t n);
/* The offset of a string, the same for equal ones; false: out of memory, or too many. */
bool sn_string(struct writer *w, const char *text, uint32_t *ret);
/* SEQUENCES to NAMES. */
struct ph_err *sn_add_labels(struct writer *w);

#endif
