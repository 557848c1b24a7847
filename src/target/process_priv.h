/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a live process share: maps.c lists its mappings, budget.c asks
 * whether a copy fits, stop.c holds its threads, copy.c takes its memory. */
#ifndef PYHEAP_PROCESS_PRIV_H
#define PYHEAP_PROCESS_PRIV_H

#include "target_priv.h"

/* ---- maps.c ------------------------------------------------------------------ */

/* Mappings of a process, ascending. Kernel areas ([heap], [stack], [anon:…]) are
 * anonymous; [vvar], [vdso], [vsyscall] are left out. */
struct ph_err *ph_maps_read(pid_t pid, struct ph_mappings *ret);

/* A run of pages of the target that are to be copied. */
struct ph_run {
	ph_addr start, end;
	bool writable;
};
struct ph_runs {
	struct PH_VEC(struct ph_run) list;
	uint64_t bytes;
};
/* The private pages that only the process has: those of anonymous memory that are
 * there or swapped out, and of files those that were written to. Appends to *ret. */
struct ph_err *ph_runs_find(pid_t pid, const struct ph_mappings *maps, struct ph_runs *ret);

/* ---- budget.c ------------------------------------------------------------------- */

/* Bytes that a run needs for `copy` bytes of target memory, the copy included. */
uint64_t ph_budget_needed(uint64_t copy);
/* Bytes that may be allocated now: the least of MemAvailable, what each cgroup
 * above us leaves, and RLIMIT_AS. `root` stands before /proc and /sys ("" but in
 * tests). *ret_limit says which it was; owned by the caller. */
uint64_t ph_budget_available(const char *root, char **ret_limit);
/* Error 7 with the figures when it does not fit. */
struct ph_err *ph_budget_check(const char *what, uint64_t copy);
/* If memory does run out, it is us who shall go: oom_score_adj 1000. */
void ph_budget_volunteer(void);

/* ---- stop.c ----------------------------------------------------------------------- */

/* All threads of a process, stopped. A tracer that dies lets them go. */
struct ph_stop;
/* Stops every thread within timeout_s; on error all that were stopped go on. */
struct ph_err *ph_stop_begin(pid_t pid, double timeout_s, struct ph_notes *notes, struct ph_stop **ret);
/* Registers and names of the stopped threads; owned by the caller. */
struct ph_err *ph_stop_threads(const struct ph_stop *stop, struct ph_thread_regs **ret, size_t *ret_n);
/* Lets all go, with the signals they were about to get; frees. Milliseconds since
 * the first was interrupted. */
double ph_stop_end(struct ph_stop *stop);

/* ---- copy.c ------------------------------------------------------------------------- */

struct ph_chunk {
	uint8_t *bytes;
	size_t size, used;
};
/* Our copy of a process's pages. */
struct ph_copy {
	struct PH_VEC(struct ph_chunk) chunks;
	struct PH_VEC(struct ph_segment) segments;
	uint64_t bytes;
	int mem_fd;           /* /proc/PID/mem */
	bool no_vm_readv;     /* process_vm_readv is forbidden here */
};
/* Memory for about `bytes` bytes, all of it touched. */
struct ph_err *ph_copy_prepare(struct ph_copy *copy, uint64_t bytes);
/* Copies; what cannot be read is noted and left out. */
struct ph_err *ph_copy_run(struct ph_copy *copy, pid_t pid, const struct ph_runs *runs,
			   struct ph_notes *notes);
/* One piece, for demand loading: returns the leading bytes that could be read. */
size_t ph_copy_piece(struct ph_copy *copy, pid_t pid, ph_addr addr, void *buf, size_t n);
void ph_copy_free(struct ph_copy *copy);

#endif
