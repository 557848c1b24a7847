/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A phase that takes longer than a second is told more of: how far it is, and how fast. A thread
 * does that, so that the work need not look at the clock. It takes no lock but its own and
 * stderr's, and allocates nothing: a fork of the others finds all it needs unlocked. */
#include <stdio.h>
#include <time.h>
#include "report_priv.h"

#define FIRST_NS 1000000000ull    /* shorter phases are only named */
#define IN_PLACE_NS 250000000ull  /* between two looks, … */
#define LINES_NS 3000000000ull    /* … and between two lines, where they stay */

struct ph_ticker {
	struct ph_messages *m;
	pthread_t thread;
	pthread_mutex_t lock; /* of m's phase, and of stderr while one runs */
	pthread_cond_t wake;
	uint64_t shown_ns;    /* the last line of the phase that began at shown_of */
	uint64_t shown_of;
	bool over;
};

/* ---- the line ------------------------------------------------------------------------- */

static const char *rate_text(char buf[PH_TEXT_NUMBER], enum ph_progress_unit unit, double rate)
{
	char size[PH_TEXT_NUMBER];
	if (unit == PH_PROGRESS_BYTES)
		snprintf(buf, PH_TEXT_NUMBER, "%s/s", ph_text_size(size, (int64_t)rate, false, false));
	else if (rate >= 1e6)
		snprintf(buf, PH_TEXT_NUMBER, "%.1f M objects/s", rate / 1e6);
	else
		snprintf(buf, PH_TEXT_NUMBER, "%.0f objects/s", rate);
	return buf;
}

void ph_progress_text(char buf[PH_PROGRESS_TEXT], const char *phase, uint64_t phase_start,
		      const struct ph_progress *p, uint64_t now)
{
	char rate[PH_TEXT_NUMBER];
	/* what was begun before the phase is not its own */
	bool own = p->start_ns >= phase_start && p->start_ns < now;
	bool share = own && p->total, has_rate = own && p->unit && p->count;
	int n = snprintf(buf, PH_PROGRESS_TEXT, "%s ... ", phase);
	char *end = buf + PH_PROGRESS_TEXT, *at = buf + (n < PH_PROGRESS_TEXT ? n : PH_PROGRESS_TEXT - 1);
	double done = p->done < p->total ? (double)p->done / (double)p->total : 1;
	if (share)
		at += snprintf(at, (size_t)(end - at), "%u %%", (unsigned)(100 * done));
	if (at < end && has_rate)
		snprintf(at, (size_t)(end - at), "%s%s", share ? ", " : "",
			 rate_text(rate, p->unit, (double)p->count * 1e9 / (double)(now - p->start_ns)));
	else if (at < end && !share)
		snprintf(at, (size_t)(end - at), "%.0f s", (double)(now - phase_start) / 1e9);
}

/* ---- the thread ------------------------------------------------------------------------- */

static uint64_t due(const struct ph_ticker *t)
{
	const struct ph_messages *m = t->m;
	if (!m->phase)
		return ph_now_ns() + FIRST_NS;
	if (t->shown_of != m->phase_start)
		return m->phase_start + FIRST_NS;
	return t->shown_ns + (m->in_place ? IN_PLACE_NS : LINES_NS);
}

static void show(struct ph_ticker *t, uint64_t now)
{
	const struct ph_messages *m = t->m;
	const struct ph_progress p = ph_progress_now();
	char text[PH_PROGRESS_TEXT];
	t->shown_ns = now;
	t->shown_of = m->phase_start;
	ph_progress_text(text, m->phase, m->phase_start, &p, now);
	fprintf(stderr, m->in_place ? PH_ERASE_LINE "%s" : "pyheap: %s\n", text);
	fflush(stderr);
}

static void *tick(void *ctx)
{
	struct ph_ticker *t = ctx;
	pthread_mutex_lock(&t->lock);
	while (!t->over) {
		uint64_t now = ph_now_ns(), at = due(t);
		struct timespec until = { (time_t)(at / 1000000000u), (long)(at % 1000000000u) };
		if (now >= at)
			show(t, now);
		else
			pthread_cond_timedwait(&t->wake, &t->lock, &until);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* Without a thread there is less to see, and that is all. */
struct ph_ticker *ph_ticker_start(struct ph_messages *m)
{
	struct ph_ticker *t = calloc(1, sizeof *t);
	pthread_condattr_t attr;
	if (!t)
		return NULL;
	t->m = m;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* ph_now_ns()'s */
	pthread_cond_init(&t->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (ph_thread_start(&t->thread, tick, t))
		return t;
	free(t);
	return NULL;
}

void ph_ticker_lock(struct ph_ticker *t)
{
	if (t)
		pthread_mutex_lock(&t->lock);
}

void ph_ticker_unlock(struct ph_ticker *t)
{
	if (t)
		pthread_mutex_unlock(&t->lock);
}

void ph_ticker_stop(struct ph_ticker *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->over = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
