/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replay: runs functions of the target on a private copy of its memory, in a sealed
 * child process that can do nothing but compute. Nothing runs in the target.
 * docs/replay.md says what is contained and what is not. */
#ifndef PYHEAP_REPLAY_H
#define PYHEAP_REPLAY_H

#include <pyheap/base.h>

struct ph_target;

enum ph_replay_kind {
	PH_REPLAY_TRAVERSE, /* function = tp_traverse, aux = tp_is_gc or 0: values = the objects visited */
	PH_REPLAY_CALL,     /* function(object): one value, its result */
	PH_REPLAY_METHOD,   /* function = a method without arguments, aux = what turns the int that it
			     * returns into a value and fails with all ones: one value */
	PH_REPLAY_STORE,    /* writes the low `function` (1 to 8) bytes of aux to `object`: in the copy only */
	PH_REPLAY_CLEAR,    /* the same with `function` bytes of zeroes */
};
struct ph_replay_item {
	ph_addr object, function;
	uint64_t aux;
	uint32_t kind; /* enum ph_replay_kind */
	uint32_t tag;  /* of items whose failures are one another's: behind the third they are not run */
};
enum ph_replay_status {
	PH_REPLAY_TODO,    /* never delivered */
	PH_REPLAY_DONE,
	PH_REPLAY_FAULT,   /* a fault, a trap or a system call ended it */
	PH_REPLAY_TIMEOUT, /* it did not end */
	PH_REPLAY_FULL,    /* more values than PH_REPLAY_VALUES */
	PH_REPLAY_SKIPPED, /* too many of its tag have failed, or too many children have died */
};
#define PH_REPLAY_VALUES (8u << 20) /* at most, of one item */

struct ph_replay_options {
	ph_addr thread; /* base of a thread's local storage: that of the thread which holds the GIL */
	/* what makes every new child ready (STORE, CALL); borrowed until close */
	const struct ph_replay_item *prelude;
	size_t nprelude;
	ph_addr release; /* void (*)(PyObject *): gives back what a METHOD returned; 0 = none */
};

struct ph_replay;
/* Starts a child with the memory of a captured target, which is borrowed until close.
 * Executable in it are only pages that the files of the target's modules hold. Error 7
 * says which step was not possible; the caller goes on without. */
struct ph_err *ph_replay_open(const struct ph_target *target, const struct ph_replay_options *options,
			      struct ph_replay **ret);
/* Runs n items and calls fn for each, with n values that are borrowed until it returns
 * and must be taken for what they are: words from the target's code. In order, unless a
 * child has died or lied: from then on tag by tag, each with a fresh child. Returns an
 * error when interrupted or memory is out. */
typedef void ph_replay_fn(void *ctx, const struct ph_replay_item *item, enum ph_replay_status status,
			  const uint64_t *values, size_t n);
struct ph_err *ph_replay_run(struct ph_replay *replay, const struct ph_replay_item *items, size_t n,
			     ph_replay_fn *fn, void *ctx);
/* A fresh child for what is run next: nothing of what ran before is left. */
void ph_replay_renew(struct ph_replay *replay);
void ph_replay_close(struct ph_replay *replay);

#endif
