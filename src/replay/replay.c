/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Batches of work for the child. What it says is believed as far as it cannot hurt:
 * counts are bounded, values are copied before anybody looks at them. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include "replay_priv.h"

#define DEATHS_MAX 16               /* of children, in all */
#define FAILURES_MAX 3              /* of items of one tag */
#define LOST_NS_MAX 60000000000ull  /* spent on what did not end */
#define RENEWALS_MAX 64             /* children given up because what failed may have spoilt the copy */
#define TIMEOUT_NS 500000000ull     /* what one item that does not end costs: TICKS * TICK_US */

struct ph_err *ph_replay_open(const struct ph_target *target, const struct ph_replay_options *options,
			      struct ph_replay **ret)
{
	struct ph_replay *r = calloc(1, sizeof *r);
	if (!r)
		return ph_err_nomem();
	r->target = target;
	r->options = *options;
	r->to = r->from = -1;
	r->which = calloc(BATCH, sizeof *r->which);
	void *p = mmap(NULL, sizeof *r->control, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct ph_err *err = p == MAP_FAILED ? ph_err_errno(PH_ERR_REFUSED, errno, "no shared memory") : NULL;
	r->control = p == MAP_FAILED ? NULL : p;
	if (!err && !r->which)
		err = ph_err_nomem();
	if (!err)
		err = ph_placing_make(target, &r->placing);
	if (!err)
		err = ph_replay_spawn(r);
	if (err) {
		ph_replay_close(r);
		return err;
	}
	*ret = r;
	return NULL;
}

void ph_replay_close(struct ph_replay *r)
{
	if (!r)
		return;
	ph_replay_kill(r);
	ph_placing_deinit(&r->placing);
	if (r->control)
		munmap(r->control, sizeof *r->control);
	free(r->values);
	free(r->which);
	free(r->failures);
	free(r);
}

/* ---- giving up --------------------------------------------------------------------- */

/* tp_traverse writes nothing; anything else that is left in the middle may leave locks
 * taken, and lists half linked. */
static bool may_spoil(const struct ph_replay_item *item)
{
	return item->kind != PH_REPLAY_TRAVERSE;
}

static bool is_hopeless(const struct ph_replay *r, const struct ph_replay_item *item)
{
	return (item->tag < r->nfailures && r->failures[item->tag] >= FAILURES_MAX) ||
	       (may_spoil(item) && r->renewals >= RENEWALS_MAX);
}

static bool count_failure(struct ph_replay *r, uint32_t tag)
{
	while (tag >= r->nfailures) {
		size_t old = r->nfailures;
		if (!ph_vec_grow_((void **)&r->failures, old, &r->nfailures, tag + 1 - old, 1))
			return false;
		memset(r->failures + old, 0, r->nfailures - old);
	}
	if (r->failures[tag] < FAILURES_MAX)
		r->failures[tag]++;
	return true;
}

/* ---- one batch --------------------------------------------------------------------- */

/* Items in the control block: those worth trying, and where they stand in the list. */
static uint32_t batch_fill(struct ph_replay *r, const struct ph_replay_item *items, uint32_t n)
{
	uint32_t k = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (is_hopeless(r, &items[i]))
			continue;
		r->which[k] = i;
		r->control->items[k++] = items[i];
	}
	memset(r->control->results, 0, k * sizeof *r->control->results);
	r->control->nitems = k;
	r->control->next = 0;
	return k;
}

/* Has the child work on k items; returns how many were begun (all, if it lives). */
static uint32_t batch_run(struct ph_replay *r, uint32_t k)
{
	char byte = 0;
	uint64_t start = ph_now_ns();
	if (write(r->to, &byte, 1) == 1 && ph_replay_wait(r))
		return k;
	ph_replay_kill(r);
	r->deaths++;
	r->lost_ns += ph_now_ns() - start;
	uint32_t begun = *(volatile uint32_t *)&r->control->next;
	return begun < k ? begun : k - 1;
}

/* The result of try t, its values copied to r->values; what cannot be is a fault, and
 * TODO when nothing was said. */
static struct ph_err *batch_result(struct ph_replay *r, uint32_t t, uint64_t *used, struct item_result *ret)
{
	const volatile struct item_result *from = &r->control->results[t];
	*ret = (struct item_result){ from->status, from->n }; /* read once */
	if (ret->status > PH_REPLAY_FULL || ret->n > OUT_MAX - *used)
		ret->status = PH_REPLAY_FAULT;
	if (ret->status != PH_REPLAY_DONE)
		ret->n = 0;
	if (ret->n > r->cap && !ph_vec_grow_((void **)&r->values, 0, &r->cap, ret->n, sizeof *r->values))
		return ph_err_nomem();
	if (ret->n)
		memcpy(r->values, r->control->out + *used, ret->n * sizeof *r->values);
	*used += ret->n;
	return NULL;
}

/* Gives out what the first `begun` of k tries brought, and the items between them that
 * were not tried; *ret_done of the n items are done then. */
static struct ph_err *batch_deliver(struct ph_replay *r, const struct ph_replay_item *items, uint32_t n,
				    uint32_t k, uint32_t begun, ph_replay_fn *fn, void *ctx,
				    uint32_t *ret_done)
{
	uint64_t used = 0;
	uint32_t i = 0, t = 0;
	for (; i < n; i++) {
		struct item_result result = { PH_REPLAY_SKIPPED, 0 };
		bool tried = t < k && r->which[t] == i;
		if (tried) {
			struct ph_err *err = batch_result(r, t, &used, &result);
			if (err)
				return err;
			if (!r->child && t <= begun && result.status == PH_REPLAY_TODO)
				result.status = PH_REPLAY_FAULT; /* the one that it died of */
			if (result.status == PH_REPLAY_TODO || (result.status == PH_REPLAY_FULL && t))
				break; /* alone it may have room */
			if (result.status == PH_REPLAY_TIMEOUT)
				r->lost_ns += TIMEOUT_NS;
			if (result.status != PH_REPLAY_DONE && !count_failure(r, items[i].tag))
				return ph_err_nomem();
			r->spoilt |= result.status != PH_REPLAY_DONE && may_spoil(&items[i]);
			t++;
		}
		fn(ctx, &items[i], result.status, r->values, result.n);
	}
	*ret_done = i;
	return NULL;
}

/* ---- children that die ---------------------------------------------------------------- */

/* There is a child, or there can be none any more. */
static struct ph_err *have_child(struct ph_replay *r, bool *ret)
{
	struct ph_err *err = NULL;
	if (r->spoilt) {
		ph_replay_kill(r);
		r->renewals++;
	}
	r->spoilt = false;
	*ret = r->lost_ns < LOST_NS_MAX;
	if (r->child || !*ret)
		return NULL;
	*ret = false;
	if (r->deaths >= DEATHS_MAX)
		return NULL;
	err = ph_replay_spawn(r);
	if (err && !ph_interrupted) {
		ph_err_free(err);
		r->deaths = DEATHS_MAX;
		return NULL;
	}
	*ret = !err;
	return err;
}

static void ignore(void *ctx, const struct ph_replay_item *item, enum ph_replay_status status,
		   const uint64_t *values, size_t n)
{
	(void)ctx, (void)item, (void)status, (void)values, (void)n;
}

/* Every new child runs the prelude first. What of it fails is left out: only what needs
 * it fails, too. */
static struct ph_err *make_ready(struct ph_replay *r)
{
	uint32_t done, n = (uint32_t)r->options.nprelude;
	if (r->ready || !n || n > BATCH)
		return NULL;
	r->ready = true;
	uint32_t k = batch_fill(r, r->options.prelude, n);
	uint32_t begun = k ? batch_run(r, k) : 0;
	return batch_deliver(r, r->options.prelude, n, k, begun, ignore, NULL, &done);
}

static struct ph_err *run_some(struct ph_replay *r, const struct ph_replay_item *items, uint32_t n,
			       ph_replay_fn *fn, void *ctx, uint32_t *ret_done)
{
	bool there;
	*ret_done = 0;
	struct ph_err *err = have_child(r, &there);
	for (uint32_t i = 0; !err && !there && i < n; i++, ++*ret_done)
		fn(ctx, &items[i], PH_REPLAY_SKIPPED, NULL, 0);
	if (!err && there)
		err = make_ready(r);
	if (err || !r->child)
		return err; /* again, with another child */
	uint32_t k = batch_fill(r, items, n);
	uint32_t begun = k ? batch_run(r, k) : 0;
	if (ph_interrupted)
		return ph_err_interrupted();
	err = batch_deliver(r, items, n, k, begun, fn, ctx, ret_done);
	if (!err && !*ret_done && r->child) { /* it says that it has done nothing: it lies */
		ph_replay_kill(r);
		r->deaths++;
	}
	return err;
}

struct ph_err *ph_replay_run(struct ph_replay *r, const struct ph_replay_item *items, size_t n,
			     ph_replay_fn *fn, void *ctx)
{
	while (n) {
		uint32_t some = n < BATCH ? (uint32_t)n : BATCH, done = 0;
		struct ph_err *err = run_some(r, items, some, fn, ctx, &done);
		if (err)
			return err;
		items += done;
		n -= done;
	}
	return NULL;
}

void ph_replay_renew(struct ph_replay *r)
{
	ph_replay_kill(r);
}
