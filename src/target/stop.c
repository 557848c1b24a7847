/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stopping all threads of a process and letting them go. PTRACE_SEIZE leaves no
 * trace: no signal is sent, a group stop stays one, and when we die, however, the
 * kernel lets go of the threads. Facts: ptrace(2). */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include "process_priv.h"

#define WAIT_STEP_NS 20000

struct thread {
	pid_t tid;
	bool stopped, gone;
	int signal; /* it was about to get: given back on the way out */
};
struct ph_stop {
	pid_t pid;
	uint64_t began; /* first interrupt, ns */
	struct PH_VEC(struct thread) threads;
};

static bool is_known(const struct ph_stop *s, pid_t tid)
{
	for (size_t i = s->threads.n; i-- > 0;)
		if (s->threads.items[i].tid == tid)
			return true;
	return false;
}

/* Ended, but not waited for: so is a main thread that left before the others. */
static bool is_dead(pid_t pid, pid_t tid)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	char *stat ph_cleanup_free = ph_read_file(path, 1024, NULL);
	const char *name_end = stat ? strrchr(stat, ')') : NULL;
	return !name_end || strchr("ZX", name_end[1] ? name_end[2] : 'X');
}

static struct ph_err *seize(struct ph_stop *s, pid_t tid)
{
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0) {
		int why = errno;
		if (why == ESRCH || is_dead(s->pid, tid))
			return NULL;
		errno = why;
		return ph_err_errno(errno == EPERM || errno == EACCES ? PH_ERR_PERMISSION : PH_ERR_USAGE, errno,
				    "process %d: cannot attach to thread %d", (int)s->pid, (int)tid);
	}
	if (!PH_VEC_PUSH(&s->threads, (struct thread){ .tid = tid })) {
		ptrace(PTRACE_DETACH, tid, NULL, NULL);
		return ph_err_nomem();
	}
	if (!s->began)
		s->began = ph_now_ns();
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL); /* fails only when it has ended */
	return NULL;
}

/* Threads that are not ours yet: *ret_new of them, seized. */
static struct ph_err *seize_all(struct ph_stop *s, size_t *ret_new)
{
	char path[64];
	struct dirent *e;
	struct ph_err *err = NULL;
	snprintf(path, sizeof path, "/proc/%d/task", (int)s->pid);
	DIR *dir = opendir(path);
	size_t before = s->threads.n;
	if (!dir)
		return ph_err_new(PH_ERR_USAGE, "process %d has ended", (int)s->pid);
	while (!err && (e = readdir(dir))) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
		if (tid > 0 && !is_known(s, tid))
			err = seize(s, tid);
	}
	closedir(dir);
	*ret_new = s->threads.n - before;
	return err;
}

/* One look at a thread; a stop of any kind will do, as it holds still in it. */
static void look(struct thread *t)
{
	int status;
	pid_t got = waitpid(t->tid, &status, __WALL | WNOHANG);
	if (got == 0 || (got < 0 && errno == EINTR))
		return;
	if (got < 0 || !WIFSTOPPED(status)) {
		t->gone = true;
		return;
	}
	t->stopped = true;
	if (status >> 16 == 0)
		t->signal = WSTOPSIG(status);
}

static struct ph_err *not_stopped(const struct ph_stop *s, const struct thread *t, double timeout_s)
{
	char path[64], *name;
	snprintf(path, sizeof path, "/proc/%d/task/%d/comm", (int)s->pid, (int)t->tid);
	name = ph_read_file(path, 64, NULL);
	if (name)
		name[strcspn(name, "\n")] = '\0';
	struct ph_err *err = ph_err_hint(
		ph_err_new(PH_ERR_USAGE, "process %d: thread %d (%s) did not stop within %g s; all threads run again",
			   (int)s->pid, (int)t->tid, name ? name : "?", timeout_s),
		"it waits in the kernel (disk, network file system, vfork): try again, or give --stop-timeout");
	free(name);
	return err;
}

static struct ph_err *wait_all(struct ph_stop *s, uint64_t deadline, double timeout_s)
{
	for (size_t i = 0; i < s->threads.n;) {
		struct thread *t = &s->threads.items[i];
		if (!t->stopped && !t->gone)
			look(t);
		if (t->stopped || t->gone) {
			i++;
			continue;
		}
		if (ph_interrupted)
			return ph_err_interrupted();
		if (ph_now_ns() > deadline)
			return not_stopped(s, t, timeout_s);
		nanosleep(&(struct timespec){ .tv_nsec = WAIT_STEP_NS }, NULL);
	}
	return NULL;
}

struct ph_err *ph_stop_begin(pid_t pid, double timeout_s, struct ph_notes *notes, struct ph_stop **ret)
{
	uint64_t deadline = ph_now_ns() + (uint64_t)(timeout_s * 1e9);
	struct ph_stop *s = calloc(1, sizeof *s);
	struct ph_err *err = NULL;
	size_t fresh;
	if (!s)
		return ph_err_nomem();
	s->pid = pid;
	/* once all known threads stand still and no other is there, nobody can start one */
	for (int round = 0; !(err = seize_all(s, &fresh)) && fresh; round++) {
		if (round)
			ph_note(notes, PH_NOTE_THREAD_APPEARED, 0);
		if ((err = wait_all(s, deadline, timeout_s)))
			break;
	}
	bool any = false;
	for (size_t i = 0; i < s->threads.n; i++)
		any |= s->threads.items[i].stopped;
	if (!err && !any)
		err = ph_err_new(PH_ERR_USAGE, "process %d has ended", (int)pid);
	if (err) {
		ph_stop_end(s);
		return err;
	}
	*ret = s;
	return NULL;
}

double ph_stop_end(struct ph_stop *s)
{
	for (size_t i = 0; i < s->threads.n; i++) {
		struct thread *t = &s->threads.items[i];
		if (t->gone)
			continue;
		if (!t->stopped) {
			/* detaching needs a stopped thread: give it a last moment, and leave
			 * the rest to the kernel, which lets go when we exit */
			for (int k = 0; k < 100 && !t->stopped && !t->gone; k++) {
				look(t);
				if (!t->stopped)
					nanosleep(&(struct timespec){ .tv_nsec = WAIT_STEP_NS }, NULL);
			}
		}
		if (t->stopped)
			ptrace(PTRACE_DETACH, t->tid, NULL, (void *)(intptr_t)t->signal);
	}
	double ms = s->began ? (double)(ph_now_ns() - s->began) / 1e6 : 0;
	ph_vec_free(&s->threads);
	free(s);
	return ms;
}

/* ---- registers ---------------------------------------------------------------------- */

static void registers(pid_t tid, struct ph_thread_regs *ret)
{
#if defined(__x86_64__)
	struct user_regs_struct regs;
	struct iovec iov = { &regs, sizeof regs };
	if (!ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &iov)) {
		ret->sp = regs.rsp;
		ret->tls = regs.fs_base;
	}
#elif defined(__aarch64__)
	struct user_regs_struct regs;
	uint64_t tls;
	struct iovec iov = { &regs, sizeof regs };
	if (!ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &iov))
		ret->sp = regs.sp;
	iov = (struct iovec){ &tls, sizeof tls };
	if (!ptrace(PTRACE_GETREGSET, tid, (void *)NT_ARM_TLS, &iov))
		ret->tls = tls;
#endif
}

struct ph_err *ph_stop_threads(const struct ph_stop *s, struct ph_thread_regs **ret, size_t *ret_n)
{
	struct ph_thread_regs *list = calloc(s->threads.n + 1, sizeof *list);
	size_t n = 0;
	if (!list)
		return ph_err_nomem();
	for (size_t i = 0; i < s->threads.n; i++) {
		const struct thread *t = &s->threads.items[i];
		char path[64];
		if (!t->stopped)
			continue;
		list[n].tid = t->tid;
		registers(t->tid, &list[n]);
		snprintf(path, sizeof path, "/proc/%d/task/%d/comm", (int)s->pid, (int)t->tid);
		char *name ph_cleanup_free = ph_read_file(path, 64, NULL);
		if (name) {
			name[strcspn(name, "\n")] = '\0';
			snprintf(list[n].name, sizeof list[n].name, "%.15s", name);
		}
		n++;
	}
	*ret = list;
	*ret_n = n;
	return NULL;
}
