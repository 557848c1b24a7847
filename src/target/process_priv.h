/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a live process share: permission.c says why it may not be read,
 * maps.c lists its mappings, plan.c its pages, buffers.c those that need not be copied, budget.c asks whether a copy fits,
 * stop.c holds its threads, copy.c takes its memory, window.c takes it bit by bit. */
#ifndef PYHEAP_PROCESS_PRIV_H
#define PYHEAP_PROCESS_PRIV_H

#include "target_priv.h"

/* /proc/PID/NAME, at most 1 MiB; NULL with errno set. Owned by the caller. */
char *ph_proc_read(pid_t pid, const char *name, size_t *ret_len);
/* comm of a thread into buf; "" when it is gone. */
void ph_proc_comm(pid_t pid, pid_t tid, char buf[16]);
/* State letter of a thread: R S D T t Z …; 'X' when it is gone. */
char ph_proc_state(pid_t pid, pid_t tid);
/* The number behind `key` at the start of a line of text such as /proc/PID/status
 * or meminfo ("Uid:\t0", "inactive_file 12"); false when it is not there. */
bool ph_line_number(const char *text, const char *key, int base, uint64_t *ret);

/* ---- permission.c --------------------------------------------------------------- */

/* Error 4 that says which rule of ptrace(2) forbids reading the process, and what to
 * run; tid = the thread that could not be attached to, or pid. `root` stands before
 * /proc ("" but in tests). */
struct ph_err *ph_permission_denied(const char *root, pid_t pid, pid_t tid);
/* Each of these rules as a finding; readable: the process can be read all the same. Whether
 * one of them is an obstacle that CAP_SYS_PTRACE would remove. */
bool ph_permission_examine(const char *root, pid_t pid, bool readable, struct ph_findings *ret);
/* Whether capabilities that we have count for the process: its user namespace is ours or lies
 * below it. */
bool ph_capabilities_count(const char *root, pid_t pid);
/* The tracer of a thread; 0 = none. */
pid_t ph_permission_tracer(const char *root, pid_t pid, pid_t tid);

/* ---- maps.c --------------------------------------------------------------------- */

/* The text of /proc/PID/maps, owned by the caller. Errors: 2 it has ended, 4. */
struct ph_err *ph_maps_text(pid_t pid, char **ret, size_t *ret_len);
/* Mappings ascending, appended to *ret. Kernel areas that belong to the process
 * ([heap], [stack], [anon:…]) are anonymous; [vvar], [vdso] and the like are left
 * out. Lines that are none are ignored. */
struct ph_err *ph_maps_parse(const char *text, struct ph_mappings *ret);

/* ---- plan.c --------------------------------------------------------------------- */

enum ph_run_source {
	PH_RUN_TARGET, /* pages that only the process has */
	PH_RUN_FILE,   /* pages that are as the module's file has them */
	PH_RUN_ZERO,   /* pages of anonymous memory that were never touched */
	PH_RUN_SKIPPED, /* like TARGET, but not copied: it has no bytes in the copy */
};
/* Pages that lie in one piece in the target and in the copy. */
struct ph_run {
	ph_addr start, end;
	uint64_t at;     /* bytes into the copy */
	uint64_t offset; /* FILE: bytes into the file */
	enum ph_run_source source;
	bool writable;
};
/* What is to be copied. Runs that touch in the target touch in the copy, so that an
 * object which begins in one and ends in the next can be read in one piece. */
struct ph_plan {
	struct PH_VEC(struct ph_run) runs; /* ascending */
	uint64_t size;                     /* of the copy */
	uint64_t target_bytes;             /* of it, to be read from the target */
	uint64_t skipped_bytes;            /* of the target, not in the copy */
};
/* `modules` says which mappings have a file of their own; whole_files: also the
 * modules' mappings that were not written to (else ph_module_add_range() has them). */
struct ph_err *ph_plan_make(pid_t pid, const struct ph_mappings *maps,
			    const struct ph_target *modules, bool whole_files, struct ph_plan *ret);
/* The run of addr, or NULL. */
const struct ph_run *ph_plan_find(const struct ph_plan *plan, ph_addr addr);
void ph_plan_deinit(struct ph_plan *plan);

struct ph_reader;

/* ---- buffers.c ------------------------------------------------------------------ */

/* A block of malloc's that seems to hold no references. */
struct ph_buffer {
	ph_addr start, end;
};
struct ph_buffers PH_VEC(struct ph_buffer); /* ascending */
/* The large ones among what the plan takes, if they are worth it. The target may run. */
struct ph_err *ph_buffers_find(struct ph_reader *reader, const struct ph_mappings *maps, const struct ph_plan *plan,
			       struct ph_buffers *ret);
/* Drops those that are no longer there, at a few looks. */
struct ph_err *ph_buffers_check(struct ph_reader *reader, const struct ph_mappings *maps, const struct ph_plan *plan,
				struct ph_buffers *buffers);
/* Takes them out of the plan, but for their ends. */
struct ph_err *ph_plan_skip(struct ph_plan *plan, const struct ph_buffers *buffers);

/* ---- budget.c, cgroup.c --------------------------------------------------------- */

/* What may still be allocated, and what sets that limit (for people). */
struct ph_headroom {
	uint64_t bytes;  /* UINT64_MAX = nothing known */
	char *limit;     /* owned; NULL = nothing known */
	bool kills_all;  /* memory.oom.group: who runs out of it takes all others of the cgroup along */
};
/* The least of MemAvailable, overcommit, what each cgroup above us leaves, and the
 * limits of this process. `root` stands before all paths ("" but in tests). */
struct ph_headroom ph_headroom_now(const char *root);
void ph_headroom_lower(struct ph_headroom *room, uint64_t bytes, const char *limit);
/* Lowers *room to what our cgroups of v1 and v2 leave. */
void ph_headroom_cgroups(const char *root, struct ph_headroom *room);
/* Bytes that a whole run of pyheap takes for `copy` bytes of target memory. */
uint64_t ph_budget_needed(uint64_t copy, bool low_memory, bool kills_all);
/* Error 7 with the figures and the ways out when it does not fit into what is there
 * plus `held`, which the same run has already allocated. */
struct ph_err *ph_budget_check(const char *root, pid_t pid, uint64_t copy, uint64_t held,
			       bool low_memory);
/* Bytes of windows that --low-memory keeps loaded. */
uint64_t ph_budget_windows(const char *root);
/* If memory does run out, it is us who shall go: oom_score_adj 1000. */
void ph_budget_volunteer(void);

/* ---- stop.c --------------------------------------------------------------------- */

/* All threads of a process, stopped, in the hands of a thread of ours: should it end,
 * however, the kernel lets go of them. */
struct ph_stop;
/* Stops every thread within timeout_s; on an error all of them go on. */
struct ph_err *ph_stop_begin(pid_t pid, double timeout_s, struct ph_stop **ret);
/* Registers of the stopped threads (names are not filled in); owned by the caller. */
struct ph_err *ph_stop_threads(const struct ph_stop *stop, struct ph_thread_regs **ret, size_t *ret_n);
/* Milliseconds since the first thread was interrupted. */
double ph_stop_elapsed(const struct ph_stop *stop);
/* Lets all go, with the signals they were about to get, and frees; NULL is ignored.
 * Milliseconds from the first interrupt to the last release. */
double ph_stop_end(struct ph_stop *stop);

/* ---- copy.c ----------------------------------------------------------------------- */

/* How the memory of a process is read. */
struct ph_reader {
	pid_t pid;
	int mem_fd;       /* /proc/PID/mem, or −1 */
	bool no_vm_readv; /* process_vm_readv is forbidden here: mem_fd it is */
};
/* Opens the memory of r->pid (again): 0, or the errno of ptrace's refusal or of its end. */
int ph_reader_open(struct ph_reader *r);
/* Returns the leading bytes that could be read; −1 when the process has ended. */
int64_t ph_reader_read(struct ph_reader *reader, ph_addr addr, void *buf, size_t n);
/* Reads `len` bytes at each of n addresses, one behind the other into buf; ok tells for each
 * whether it could be read. Error 2: the process has ended. */
struct ph_err *ph_reader_gather(struct ph_reader *reader, const ph_addr *at, size_t n, size_t len, void *buf,
				bool *ok);

/* Our copy of a process's pages, in one piece. */
struct ph_copy {
	uint8_t *bytes;
	uint64_t size;     /* of the reserved addresses */
	struct PH_VEC(ph_addr) bad; /* pages that could not be read, ascending */
};
/* Reserves addresses for `reserve` bytes in huge pages and touches the first `bytes`.
 * Errors: 7, interrupted. */
struct ph_err *ph_copy_prepare(struct ph_copy *copy, uint64_t bytes, uint64_t reserve);
/* Makes room for `bytes`; what is there moves. */
struct ph_err *ph_copy_grow(struct ph_copy *copy, uint64_t bytes);
/* Reads what the plan takes from the target. Errors: 2 the process has ended, interrupted. */
struct ph_err *ph_copy_read(struct ph_copy *copy, struct ph_reader *reader, const struct ph_plan *plan);
/* Fills in what comes from files and adds all to mem, but for the bad pages, which are
 * noted. Borrowed: copy must outlive mem. */
struct ph_err *ph_copy_add(struct ph_copy *copy, const struct ph_plan *plan,
			   const struct ph_target *target, struct ph_notes *notes, struct ph_mem *mem);
/* Reads pages (ascending) into bytes, all in a short time; those that cannot be read become
 * what the copy has of them. False: the process has ended, or runs another program. */
bool ph_copy_reread(const struct ph_copy *copy, struct ph_reader *reader, const struct ph_plan *plan,
		    const ph_addr *pages, size_t n, uint8_t *bytes);
/* Where the copy has a page that the target may have written to; NULL: nowhere. */
uint8_t *ph_copy_page(const struct ph_copy *copy, const struct ph_plan *plan, ph_addr page);
/* Gives back what lies behind the plan's bytes, and what the target never touched. */
void ph_copy_trim(struct ph_copy *copy, const struct ph_plan *plan);
void ph_copy_deinit(struct ph_copy *copy);
/* The file's bytes [start, start + n) of a FILE run; NULL when it has not all of them.
 * Borrowed from the target's modules. */
const uint8_t *ph_run_file_bytes(const struct ph_target *target, const struct ph_run *run,
				 ph_addr start, uint64_t n);
/* Where a run ends; of a FILE run: where the file does, if that is before. */
ph_addr ph_run_end(const struct ph_target *target, const struct ph_run *run);

/* ---- window.c --------------------------------------------------------------------- */

/* Adds all of the plan to target->mem, to be read when it is asked for. */
struct ph_err *ph_windows_add(struct ph_target *target);

/* ---- process.c, capture.c ------------------------------------------------------------ */

struct ph_process {
	double stop_timeout_s;
	bool no_pause, low_memory, ignore_limits;
	uint64_t start_time;      /* tells a process from a later one of the same ID */
	char *maps_text;          /* of which `maps` and the target's modules were made */
	size_t maps_len;
	struct ph_mappings maps;
	struct ph_reader reader;
	struct ph_plan plan;
	struct ph_buffers buffers; /* that are not copied */
	struct ph_copy copy;      /* low-memory: addresses only */
	struct ph_stop *stop;     /* low-memory: held until close */
};
/* Brings maps up to date; *ret_changed when they were not. */
struct ph_err *ph_process_look(struct ph_target *target, bool *ret_changed);
/* Makes the modules of the present maps. */
struct ph_err *ph_process_modules(struct ph_target *target);
struct ph_err *ph_process_ended(pid_t pid);
/* Field 22 of /proc/PID/stat; 0 when there is no such process. */
uint64_t ph_process_start_time(pid_t pid);

#endif
