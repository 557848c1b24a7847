/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stopping all threads of a process and letting them go. Facts: ptrace(2).
 *
 * PTRACE_SEIZE sends no signal, and a group stop (SIGSTOP, job control) stays one.
 * The tracer is a thread of its own, because a thread of the target can only be let
 * go by PTRACE_DETACH while it is stopped: one that hangs in the kernel would remain
 * ours and stop for ever once it wakes up. When the tracer thread ends, for whatever
 * reason, the kernel lets go of everything it still holds.
 *
 * Stops are looked at with WNOWAIT, never consumed: the kernel forgets the signal
 * that a thread was about to get when the stop is consumed, and if we were killed
 * before we gave it back, it would be lost. */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "process_priv.h"

#define STEP_NS 20000u            /* first wait between two looks, doubled up to */
#define STEP_MAX_NS 1000000u
#define TID_LIMIT (1u << 22)      /* PID_MAX_LIMIT of the kernel */
/* Threads that begin are ours at once; those that end are held before they do. Never
 * PTRACE_O_EXITKILL. */
#define OPTIONS (PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT)

struct tracee {
	pid_t tid;
	enum { RUNNING, STOPPED, GONE } state;
	int signal; /* it was about to get: given back on the way out */
	ph_addr sp, tls;
};
struct ph_stop {
	pid_t pid;
	double timeout_s;
	uint64_t deadline, began, ended; /* ns */
	struct PH_VEC(struct tracee) tracees;
	uint8_t *known;                  /* one bit for each thread ID in tracees */
	pthread_t tracer;
	pid_t tracer_tid;
	sem_t stopped, release;
	struct ph_err *err;
	sigset_t mask;                   /* of the caller, to be restored */
};

/* ---- seizing ---------------------------------------------------------------------- */

static bool is_known(const struct ph_stop *s, pid_t tid)
{
	return s->known[tid / 8] >> tid % 8 & 1;
}

static struct ph_err *tracee_add(struct ph_stop *s, pid_t tid)
{
	if (!PH_VEC_PUSH(&s->tracees, (struct tracee){ .tid = tid }))
		return ph_err_nomem();
	s->known[tid / 8] |= (uint8_t)(1u << tid % 8);
	return NULL;
}

static struct ph_err *seize_failed(struct ph_stop *s, pid_t tid, int why)
{
	char state = ph_proc_state(s->pid, tid);
	if (why == ESRCH || strchr("ZX", state))
		return NULL;
	if (ph_permission_tracer("", s->pid, tid) == s->tracer_tid)
		return tracee_add(s, tid); /* started by one of ours: the kernel was faster */
	if (why == EPERM || why == EACCES)
		return ph_permission_denied("", s->pid, tid);
	return ph_err_errno(PH_ERR_USAGE, why, "process %d: cannot attach to thread %d", (int)s->pid, (int)tid);
}

static struct ph_err *seize(struct ph_stop *s, pid_t tid)
{
	if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)OPTIONS) < 0)
		return seize_failed(s, tid, errno);
	struct ph_err *err = tracee_add(s, tid);
	if (!s->began)
		s->began = ph_now_ns();
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL); /* fails only when it has ended */
	return err;
}

/* Seizes the threads that are not ours yet. */
static struct ph_err *seize_all(struct ph_stop *s)
{
	char path[64];
	struct dirent *e;
	struct ph_err *err = NULL;
	snprintf(path, sizeof path, "/proc/%d/task", (int)s->pid);
	DIR *dir = opendir(path);
	if (!dir)
		return ph_process_ended(s->pid);
	while (!err && (e = readdir(dir))) {
		long tid = strtol(e->d_name, NULL, 10);
		if (tid > 0 && tid < TID_LIMIT && !is_known(s, (pid_t)tid))
			err = seize(s, (pid_t)tid);
	}
	closedir(dir);
	return err;
}

/* ---- waiting ------------------------------------------------------------------------ */

static void registers(struct tracee *t)
{
	struct user_regs_struct regs;
	struct iovec iov = { &regs, sizeof regs };
	if (ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_PRSTATUS, &iov))
		return;
#if defined(__x86_64__)
	t->sp = regs.rsp;
	t->tls = regs.fs_base;
#elif defined(__aarch64__)
	uint64_t tls;
	t->sp = regs.sp;
	iov = (struct iovec){ &tls, sizeof tls };
	if (!ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_ARM_TLS, &iov))
		t->tls = tls;
#endif
}

/* A thread that a tracee started. It need not be of the same process. */
static struct ph_err *started(struct ph_stop *s, pid_t parent)
{
	unsigned long tid;
	if (ptrace(PTRACE_GETEVENTMSG, parent, NULL, &tid) || !tid || tid >= TID_LIMIT ||
	    is_known(s, (pid_t)tid))
		return NULL;
	return tracee_add(s, (pid_t)tid);
}

/* One look at a thread. A stop of any kind will do, as it holds still in it. */
static struct ph_err *look(struct ph_stop *s, size_t i)
{
	struct tracee *t = &s->tracees.items[i];
	siginfo_t info = { 0 };
	if (waitid(P_PID, (id_t)t->tid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) < 0) {
		if (errno != EINTR)
			t->state = GONE;
		return NULL;
	}
	if (!info.si_pid)
		return NULL;
	if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED) {
		/* its parent learns of its end only after we did */
		waitid(P_PID, (id_t)t->tid, &info, WEXITED | WNOHANG | __WALL);
		t->state = GONE;
		return NULL;
	}
	t->state = STOPPED;
	if (!(info.si_status >> 8)) /* no event: a signal is about to be delivered */
		t->signal = info.si_status;
	registers(t);
	return info.si_status >> 8 == PTRACE_EVENT_CLONE ? started(s, t->tid) : NULL;
}

static struct ph_err *too_late(const struct ph_stop *s, pid_t tid)
{
	char comm[16], state = ph_proc_state(s->pid, tid);
	ph_proc_comm(s->pid, tid, comm);
	struct ph_err *err = ph_err_new(PH_ERR_USAGE, "process %d: thread %d (%s) did not stop within %g s, its state "
					"is %c; all threads go on", (int)s->pid, (int)tid, comm, s->timeout_s, state);
	return ph_err_hint(err, state == 'D' ? "it waits in the kernel and cannot be interrupted (disk, network file "
					       "system, vfork): try again, give --stop-timeout, or --pause none"
					     : "try again, give --stop-timeout, or --pause none");
}

static struct ph_err *wait_for(struct ph_stop *s, size_t i)
{
	for (uint64_t step = STEP_NS;; step = step < STEP_MAX_NS ? step * 2 : step) {
		struct ph_err *err = look(s, i);
		pid_t tid = s->tracees.items[i].tid;
		if (err || s->tracees.items[i].state != RUNNING)
			return err;
		/* a main thread that ended before the others is not reported */
		if (step >= STEP_MAX_NS && strchr("ZX", ph_proc_state(s->pid, tid))) {
			s->tracees.items[i].state = GONE;
			return NULL;
		}
		if (ph_interrupted)
			return ph_err_interrupted();
		if (ph_now_ns() > s->deadline)
			return too_late(s, tid);
		nanosleep(&(struct timespec){ .tv_nsec = (long)step }, NULL);
	}
}

/* Once all known threads stand still and there is no other, nobody can start one. */
static struct ph_err *stop_all(struct ph_stop *s)
{
	size_t done = 0, alive = 0;
	struct ph_err *err;
	while (!(err = seize_all(s)) && done < s->tracees.n)
		for (; done < s->tracees.n; done++)
			if ((err = wait_for(s, done)))
				return err;
	for (size_t i = 0; i < s->tracees.n; i++)
		alive += s->tracees.items[i].state == STOPPED;
	return err || alive ? err : ph_process_ended(s->pid);
}

/* ---- the tracer thread ---------------------------------------------------------------- */

/* What is not stopped is let go when this thread ends. */
static void detach_all(struct ph_stop *s)
{
	for (size_t i = 0; i < s->tracees.n; i++) {
		const struct tracee *t = &s->tracees.items[i];
		if (t->state == STOPPED) /* fails only when it was killed */
			ptrace(PTRACE_DETACH, t->tid, NULL, (void *)(intptr_t)t->signal);
	}
	s->ended = ph_now_ns();
}

static void *tracer(void *arg)
{
	struct ph_stop *s = arg;
	prctl(PR_SET_TIMERSLACK, 1);
	s->tracer_tid = (pid_t)syscall(SYS_gettid);
	s->err = stop_all(s);
	if (s->err) {
		detach_all(s);
		sem_post(&s->stopped);
		return NULL;
	}
	sem_post(&s->stopped);
	while (sem_wait(&s->release))
		;
	detach_all(s);
	return NULL;
}

/* All signals are for the caller's thread. And Ctrl-Z must not stop us while the
 * target stands still, for it would stand still until we go on. */
static int start_tracer(struct ph_stop *s)
{
	sigset_t all, stops;
	sigfillset(&all);
	sigemptyset(&stops);
	sigaddset(&stops, SIGTSTP);
	sigaddset(&stops, SIGTTIN);
	sigaddset(&stops, SIGTTOU);
	pthread_sigmask(SIG_SETMASK, &all, &s->mask);
	int failed = pthread_create(&s->tracer, NULL, tracer, s);
	pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
	if (!failed)
		pthread_sigmask(SIG_BLOCK, &stops, NULL);
	return failed;
}

static double stop_free(struct ph_stop *s)
{
	pthread_join(s->tracer, NULL);
	pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
	double ms = s->began ? (double)(s->ended - s->began) / 1e6 : 0;
	sem_destroy(&s->stopped);
	sem_destroy(&s->release);
	ph_vec_free(&s->tracees);
	free(s->known);
	free(s);
	return ms;
}

struct ph_err *ph_stop_begin(pid_t pid, double timeout_s, struct ph_stop **ret)
{
	struct ph_stop *s = calloc(1, sizeof *s);
	uint8_t *known = calloc(TID_LIMIT / 8, 1);
	if (!s || !known) {
		free(s);
		free(known);
		return ph_err_nomem();
	}
	s->pid = pid;
	s->known = known;
	s->timeout_s = timeout_s;
	s->deadline = ph_now_ns() + (uint64_t)(timeout_s * 1e9);
	sem_init(&s->stopped, 0, 0);
	sem_init(&s->release, 0, 0);
	int failed = start_tracer(s);
	if (failed) {
		free(s);
		free(known);
		return ph_err_errno(PH_ERR_USAGE, failed, "cannot start a thread");
	}
	while (sem_wait(&s->stopped))
		;
	struct ph_err *err = s->err;
	if (err)
		stop_free(s);
	else
		*ret = s;
	return err;
}

double ph_stop_elapsed(const struct ph_stop *s)
{
	return (double)(ph_now_ns() - s->began) / 1e6;
}

double ph_stop_end(struct ph_stop *s)
{
	if (!s)
		return 0;
	sem_post(&s->release);
	return stop_free(s);
}

struct ph_err *ph_stop_threads(const struct ph_stop *s, struct ph_thread_regs **ret, size_t *ret_n)
{
	struct ph_thread_regs *list = calloc(s->tracees.n + 1, sizeof *list);
	if (!list)
		return ph_err_nomem();
	*ret = list;
	*ret_n = 0;
	for (size_t i = 0; i < s->tracees.n; i++) {
		const struct tracee *t = &s->tracees.items[i];
		if (t->state == STOPPED)
			list[(*ret_n)++] = (struct ph_thread_regs){ .tid = t->tid, .sp = t->sp, .tls = t->tls };
	}
	return NULL;
}
