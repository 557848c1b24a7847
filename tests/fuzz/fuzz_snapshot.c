/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libFuzzer: a file that says it is a snapshot, with its checksums made right, is opened
 * and asked. `make fuzz-snapshot` builds it with clang; build/fuzz_snapshot runs it. */
#include <sys/mman.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>
#include <pyheap/analysis.h>
#include "../../src/snapshot/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void seal(uint8_t *b, size_t n)
{
	struct sn_row rows[SN_SECTIONS];
	struct sn_tail tail;
	if (n < sizeof tail + sizeof rows)
		return;
	memcpy(&tail, b + n - sizeof tail, sizeof tail);
	uint32_t nrows = tail.nsections == SN_SECTIONS ? SN_SECTIONS : SN_ALWAYS;
	size_t at = n - sizeof tail - nrows * sizeof *rows;
	memcpy(rows, b + at, nrows * sizeof *rows);
	for (uint32_t i = 0; i < nrows; i++)
		if (rows[i].offset <= n && rows[i].stored <= n - rows[i].offset)
			rows[i].checksum = XXH3_64bits(b + rows[i].offset, rows[i].stored);
	memcpy(b + at, rows, nrows * sizeof *rows);
	memset(b + n - 16, 0, 8);
	uint64_t sum = XXH3_64bits(b + at, n - at);
	memcpy(b + n - 16, &sum, 8);
}

static void ask(const struct ph_graph *g)
{
	const struct ph_reach_options reach = { 0 };
	const struct ph_cycles_options all = { .all = true };
	struct ph_dominators *d = NULL;
	struct ph_cycles *c = NULL;
	struct ph_holdings *h = NULL;
	struct ph_reach *r = NULL;
	ph_err_free(ph_dominators_compute(g, &d));
	ph_err_free(ph_cycles_find(g, &all, &c));
	ph_err_free(ph_reach_compute(g, &reach, &r));
	ph_err_free(r ? ph_holdings_compute(r, d, &h) : NULL);
	ph_holdings_free(h);
	ph_reach_free(r);
	ph_cycles_free(c);
	ph_dominators_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char path[64];
	struct ph_snapshot *s = NULL;
	uint8_t *copy = malloc(n + 1);
	int fd = memfd_create("snapshot", 0);
	memcpy(copy, data, n);
	seal(copy, n);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (write(fd, copy, n) == (ssize_t)n)
		ph_err_free(ph_snapshot_open(path, "it", &s));
	if (s)
		ask(s->graph);
	ph_snapshot_close(s);
	close(fd);
	free(copy);
	return 0;
}
