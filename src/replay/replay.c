/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Batches of work for the child. What it says is believed as far as it cannot hurt:
 * counts are bounded, values are copied before anybody looks at them. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include "replay_priv.h"

#define DEATHS_MAX 64               /* of children, in all */
#define FAILURES_MAX 3              /* of items of one tag */
#define LOST_NS_MAX 60000000000ull  /* what took longer than that, in all */
#define RENEWALS_MAX 64             /* children given up because what failed may have spoilt the copy */
#define BATCH_NS 100000000ull       /* what a batch may take, … */
#define ITEM_NS 50000ull            /* … and each of its items, on a busy machine */

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

static bool count_failures(struct ph_replay *r, uint32_t tag, uint8_t n)
{
	while (tag >= r->nfailures) {
		size_t old = r->nfailures;
		if (!ph_vec_grow_((void **)&r->failures, old, &r->nfailures, tag + 1 - old, 1))
			return false;
		memset(r->failures + old, 0, r->nfailures - old);
	}
	for (; n && r->failures[tag] < FAILURES_MAX; n--)
		r->failures[tag]++;
	return true;
}

/* The child has died, or lies. */
static void bury(struct ph_replay *r)
{
	ph_replay_kill(r);
	r->deaths++;
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
	char byte = 0; /* the pipe does not block: a child that never reads has died for us */
	if (write(r->to, &byte, 1) == 1 && ph_replay_wait(r))
		return k;
	bury(r);
	uint32_t begun = *(volatile uint32_t *)&r->control->next;
	return begun < k ? begun : k - 1;
}

/* The result of try t, its values copied to r->values; false when it cannot be. */
static bool batch_result(struct ph_replay *r, uint32_t t, uint64_t *used, struct item_result *ret)
{
	const volatile struct item_result *from = &r->control->results[t];
	*ret = (struct item_result){ from->status, from->n, from->fault }; /* read once */
	if (ret->status > PH_REPLAY_FULL || ret->n > OUT_MAX - *used || (ret->n && ret->status != PH_REPLAY_DONE))
		return false;
	if (ret->n > r->cap && !ph_vec_grow_((void **)&r->values, 0, &r->cap, ret->n, sizeof *r->values)) {
		r->nomem = true;
		return false;
	}
	if (ret->n)
		memcpy(r->values, r->control->out + *used, ret->n * sizeof *r->values);
	*used += ret->n;
	return true;
}

/* A try that failed for want of memory that the target has. Of what a child died of nobody
 * knows the address. */
static void note_fault(struct ph_replay *r, const struct item_result *result, bool died)
{
	const struct ph_mem *mem = r->target->mem;
	if (died ? mem->skipped.n > 0 : result->status != PH_REPLAY_DONE && ph_mem_is_skipped(mem, result->fault))
		ph_mem_want(mem);
}

/* What the tries brought, up to the first that has to be made again; *ret_done of the n
 * items are done then. A child that has not come to the end must have a reason. */
static void batch_deliver(struct ph_replay *r, const struct ph_replay_item *items, uint32_t n, uint32_t k,
			  uint32_t begun, ph_replay_fn *fn, void *ctx, uint32_t *ret_done)
{
	uint64_t used = 0;
	uint32_t i = 0, t = 0;
	bool dead = !r->child, reason = false;
	for (; i < n; i++) {
		struct item_result result = { PH_REPLAY_SKIPPED, 0, 0 };
		if (t < k && r->which[t] == i) {
			if (!batch_result(r, t, &used, &result))
				break;
			bool died = dead && t == begun && result.status == PH_REPLAY_TODO;
			if (died)
				result.status = PH_REPLAY_FAULT; /* the one that it died of */
			note_fault(r, &result, died);
			reason |= result.status == PH_REPLAY_FULL || result.status == PH_REPLAY_TIMEOUT ||
				  (result.status != PH_REPLAY_DONE && may_spoil(&items[i])) || (dead && t == begun);
			if (result.status == PH_REPLAY_TODO || (result.status == PH_REPLAY_FULL && t))
				break; /* alone it may have room */
			if (result.status != PH_REPLAY_DONE)
				r->nomem |= !count_failures(r, items[i].tag, 1);
			r->spoilt |= result.status != PH_REPLAY_DONE && may_spoil(&items[i]);
			t++;
		}
		fn(ctx, &items[i], result.status, r->values, result.n);
	}
	r->lies |= i < n && !reason;
	*ret_done = i;
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

/* One batch; *ret_done of its items are done then. What takes much longer than such work
 * takes is lost time. */
static struct ph_err *run_batch(struct ph_replay *r, const struct ph_replay_item *items, uint32_t n,
				ph_replay_fn *fn, void *ctx, uint32_t *ret_done)
{
	uint64_t start = ph_now_ns();
	uint32_t k = batch_fill(r, items, n);
	uint32_t begun = k ? batch_run(r, k) : 0;
	if (ph_interrupted)
		return ph_err_interrupted();
	uint64_t took = ph_now_ns() - start;
	batch_deliver(r, items, n, k, begun, fn, ctx, ret_done);
	uint64_t fair = BATCH_NS + *ret_done * ITEM_NS;
	r->lost_ns += took > fair ? took - fair : 0;
	if (r->lies && r->child)
		bury(r);
	return r->nomem ? ph_err_nomem() : NULL;
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
	return run_batch(r, r->options.prelude, n, ignore, NULL, &done);
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
	return run_batch(r, items, n, fn, ctx, ret_done);
}

/* ---- all ------------------------------------------------------------------------------- */

/* As long as nobody lies or kills the child; *ret_done of the n items are done then. */
static struct ph_err *run_together(struct ph_replay *r, const struct ph_replay_item *items, size_t n,
				   ph_replay_fn *fn, void *ctx, size_t *ret_done)
{
	unsigned deaths = r->deaths;
	for (*ret_done = 0; *ret_done < n && deaths == r->deaths;) {
		uint32_t some = n - *ret_done < BATCH ? (uint32_t)(n - *ret_done) : BATCH, done = 0;
		struct ph_err *err = run_some(r, items + *ret_done, some, fn, ctx, &done);
		if (err)
			return err;
		*ret_done += done;
	}
	return NULL;
}

static int by_tag(const void *a, const void *b)
{
	const struct ph_replay_item *x = a, *y = b;
	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return (x->object > y->object) - (x->object < y->object);
}

/* Each tag with a child of its own: who spoils it, spoils his own answers. */
static struct ph_err *run_apart(struct ph_replay *r, const struct ph_replay_item *items, size_t n,
				ph_replay_fn *fn, void *ctx)
{
	struct ph_replay_item *sorted ph_cleanup_free = reallocarray(NULL, n, sizeof *sorted);
	struct ph_err *err = NULL;
	if (!sorted)
		return ph_err_nomem();
	memcpy(sorted, items, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, by_tag);
	for (size_t from = 0, to = 0; !err && from < n;) {
		size_t done;
		r->lies = false;
		if (from == to) /* another tag */
			ph_replay_kill(r);
		for (to = from; to < n && sorted[to].tag == sorted[from].tag;)
			to++;
		err = run_together(r, sorted + from, to - from, fn, ctx, &done);
		if (!err && r->lies)
			r->nomem |= !count_failures(r, sorted[from].tag, FAILURES_MAX);
		from += done;
	}
	return err;
}

struct ph_err *ph_replay_run(struct ph_replay *r, const struct ph_replay_item *items, size_t n,
			     ph_replay_fn *fn, void *ctx)
{
	size_t done = 0;
	struct ph_err *err = r->apart ? NULL : run_together(r, items, n, fn, ctx, &done);
	if (err || done == n)
		return err;
	r->apart = true;
	return run_apart(r, items + done, n - done, fn, ctx);
}

void ph_replay_renew(struct ph_replay *r)
{
	ph_replay_kill(r);
}
