/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan.c: which of our pages go to which addresses of the child; spawn.c: the child's
 * start; replay.c: work for it, and what to do when it dies. */
#ifndef REPLAY_PRIV_H
#define REPLAY_PRIV_H

#include <sys/types.h>
#include <pyheap/replay.h>
#include <pyheap/target.h>
#include "child/protocol.h"

/* A mapping of ours that holds bytes of the target. */
struct region {
	uint64_t start, end;
	uint64_t staged; /* where the child takes it first, out of the way of everything */
};
struct placing {
	struct PH_VEC(struct place) places;   /* COPY before MOVE, which takes pages away; then ZERO. `from` is a staged address */
	struct PH_VEC(struct region) regions; /* ascending */
	uint64_t staged_end;
};
/* Error 7 when the memory is not there as a whole (--low-memory). */
struct ph_err *ph_placing_make(const struct ph_target *target, struct placing *ret);
void ph_placing_deinit(struct placing *placing);

struct ph_replay {
	const struct ph_target *target;
	struct ph_replay_options options;
	struct placing placing;
	struct control *control; /* shared with the child: not to be trusted */
	pid_t child;             /* 0 = none */
	bool ready;              /* its prelude has run */
	int to, from;            /* pipes */
	bool spoilt;             /* the child's copy may be: the next batch gets another one */
	bool lies;               /* it has not done what it says */
	bool apart;              /* one has died or lied: every tag has a child of its own */
	bool nomem;
	unsigned deaths, renewals;
	uint64_t lost_ns;        /* time that took longer than such work takes */
	uint8_t *failures;       /* [nfailures] by tag */
	size_t nfailures;
	uint32_t *which;         /* [BATCH] the batch's items: where they stand in the list */
	uint64_t *values;        /* [cap] of one item, copied before they are looked at */
	size_t cap;
};
/* Starts the child and waits until it is sealed. Error 7 names the step that failed. */
struct ph_err *ph_replay_spawn(struct ph_replay *r);
/* Kills it, if there is one. */
void ph_replay_kill(struct ph_replay *r);
/* Waits for the child's byte; false when it has died, was killed for not going on, or
 * pyheap was interrupted. */
bool ph_replay_wait(struct ph_replay *r);

#endif
