/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pyheap and the sealed child say to each other. Both map the control block:
 * pyheap trusts nothing that it reads from it after the first call of a function of
 * the target's. */
#ifndef REPLAY_PROTOCOL_H
#define REPLAY_PROTOCOL_H

#include <pyheap/replay.h>

/* Addresses that no program uses: behind the shadows of the sanitizers, before what the
 * kernel gives to libraries where the stack is unlimited, to programs and to libraries. */
#define CHILD_BASE 0x1a0000000000ull    /* the child's own code and data */
#define CHILD_STACK 0x1a0010000000ull   /* its stack, the target's functions' one, and that of signals */
#define CHILD_CONTROL 0x1a0020000000ull /* the control block */
#define CHILD_SPARE 0x1a0040000000ull   /* memory for allocators that ask for more */
#define CHILD_STAGE 0x1b0000000000ull   /* pyheap's copies, on their way to the target's addresses */
#define CHILD_END 0x2a0000000000ull
#define USER_END 0x7ffffffff000ull

#define STACK_OWN (64u << 10)
#define STACK_CALL (1u << 20) /* deep enough for functions that recurse a little */
#define STACK_SIGNAL (64u << 10)
#define STACK_GUARD (64u << 10)
#define SPARE_SIZE (64ull << 20)

/* The first words of the child's image (child.lds). */
struct child_head {
	uint64_t magic;
	uint32_t text_size; /* bytes, readable and executable */
	uint32_t size;      /* bytes in all; what the file does not have is zero */
	uint32_t entry;     /* from the start */
	uint32_t loaded;    /* bytes of the file */
};
#define CHILD_MAGIC 0x31796c706572ull

/* ---- setting up ---- */

enum place_kind {
	PLACE_MOVE, /* take the pages away from `from` */
	PLACE_COPY, /* fresh pages, with len bytes of `from` at `to` */
	PLACE_ZERO, /* fresh pages: the target's are as it got them */
};
enum place_rights { PLACE_READ = 1, PLACE_WRITE = 2, PLACE_EXECUTE = 4 };
/* One range of the target's memory. MOVE, ZERO: whole pages. */
struct place {
	uint64_t to, from, len;
	uint32_t kind, rights;
};

enum child_step {
	STEP_START, STEP_UNMAP, STEP_PLACE, STEP_THREAD, STEP_SIGNALS, STEP_WATCHDOG, STEP_LIMITS,
	STEP_PRIVILEGES, STEP_DESCRIPTORS, STEP_SEALED,
};

/* ---- working ---- */

struct item_result {
	uint32_t status; /* enum ph_replay_status */
	uint32_t n;      /* values in `out`, behind those of the items before */
	uint64_t fault;  /* the address that could not be used, 0 = it was none */
};

#define BATCH 65536u               /* items */
#define OUT_MAX PH_REPLAY_VALUES   /* values; touched pages cost memory, others nothing */

struct control {
	/* set by pyheap before the start */
	uint64_t nplaces;              /* in `out`, as struct place */
	uint64_t thread;               /* base of the thread's local storage, 0 = none */
	uint64_t release;              /* ph_replay_options.release */
	bool can_set_thread;           /* without a system call */
	uint64_t staged_end;
	/* set by the child */
	uint32_t step, error;          /* how far the seal came; the errno of the step that failed */
	uint64_t places_failed;
	/* of each batch */
	uint32_t nitems;
	uint32_t next;                 /* the item in work: where to go on after a crash */
	struct ph_replay_item items[BATCH];
	struct item_result results[BATCH];
	uint64_t out[OUT_MAX];
};

#endif
