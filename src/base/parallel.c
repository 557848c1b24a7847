/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sched.h>
#include <signal.h>
#include <pyheap/base.h>

#define STACK_BYTES (512u << 10) /* not RLIMIT_STACK: that may be tiny, or unlimited */

unsigned ph_workers(void)
{
	cpu_set_t cpus;
	if (sched_getaffinity(0, sizeof cpus, &cpus))
		return 1;
	unsigned n = (unsigned)CPU_COUNT(&cpus);
	return n > PH_WORKERS_MAX ? PH_WORKERS_MAX : n ? n : 1;
}

struct worker {
	void (*fn)(void *ctx, unsigned index);
	void *ctx;
	unsigned index;
	pthread_t thread;
	bool runs;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	w->fn(w->ctx, w->index);
	return NULL;
}

/* Signals are the first thread's to take. */
bool ph_thread_start(pthread_t *ret, void *(*fn)(void *ctx), void *ctx)
{
	pthread_attr_t attr;
	sigset_t all, old;
	if (pthread_attr_init(&attr))
		return false;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	bool ok = !pthread_create(ret, &attr, fn, ctx);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return ok;
}

void ph_parallel(unsigned n, void (*fn)(void *ctx, unsigned index), void *ctx)
{
	struct worker workers[PH_WORKERS_MAX];
	for (unsigned i = 1; i < n; i++) {
		workers[i] = (struct worker){ .fn = fn, .ctx = ctx, .index = i };
		workers[i].runs = ph_thread_start(&workers[i].thread, work, &workers[i]);
	}
	fn(ctx, 0);
	for (unsigned i = 1; i < n; i++) {
		if (workers[i].runs)
			pthread_join(workers[i].thread, NULL);
		else
			fn(ctx, i); /* no thread could be had */
	}
}
