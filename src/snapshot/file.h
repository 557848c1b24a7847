/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A snapshot's file, opened and checked from outside: file.c. What is in its sections is
 * checked by read.c, which makes a graph of them. */
#ifndef SNAPSHOT_FILE_H
#define SNAPSHOT_FILE_H

#include "format.h"

struct sn_bytes {
	const void *at;   /* in the mapping, or of ph_big_alloc() when `owned` */
	uint64_t n;       /* elements */
	uint64_t bytes;
	bool owned;
};
struct sn_file {
	const char *name;
	const uint8_t *map;
	uint64_t size;
	uint64_t nobjects, nedges;
	uint32_t nsections; /* that it has, the first of them */
	struct sn_bytes sections[SN_SECTIONS];
};
struct ph_err *sn_file_open(const char *path, const char *name, struct sn_file *ret);
void sn_file_close(struct sn_file *f);
struct ph_err *sn_damaged(const struct sn_file *f, const char *what);

#endif
