/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stopping a child of ours and letting it go; tests/live does it to Python programs. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "target/process_priv.h"

Suite *stop_suite(void);

static pid_t child;
static int pipes[2]; /* the child writes what it has to say */

static void teardown(void)
{
	if (child > 0) {
		kill(-child, SIGKILL); /* and what it started */
		waitpid(child, NULL, __WALL);
	}
	close(pipes[0]);
}

static void say(char c)
{
	if (write(pipes[1], &c, 1) != 1)
		_exit(1);
}

static char heard(void)
{
	char c = 0;
	ck_assert_int_eq(read(pipes[0], &c, 1), 1);
	return c;
}

static void start(void (*program)(void))
{
	ck_assert_int_eq(pipe(pipes), 0);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		program();
		_exit(0);
	}
	setpgid(child, child);
	close(pipes[1]);
}

static bool reaches(pid_t tid, const char *states)
{
	for (int i = 0; i < 2000; i++) {
		if (strchr(states, ph_proc_state(child, tid)))
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return false;
}

/* ---- programs ------------------------------------------------------------------------ */

static void *sleep_in_thread(void *arg)
{
	say('r');
	for (;;)
		pause();
	return arg;
}

static void four_threads(void)
{
	pthread_t t;
	for (int i = 0; i < 3; i++)
		pthread_create(&t, NULL, sleep_in_thread, NULL);
	sleep_in_thread(NULL);
}

/* The main thread is gone, the others go on: /proc calls it a zombie. */
static void without_main_thread(void)
{
	pthread_t t;
	pthread_create(&t, NULL, sleep_in_thread, NULL);
	pthread_exit(NULL);
}

static void on_signal(int number)
{
	say(number == SIGUSR1 ? 's' : '?');
}

static void waits_for_signal(void)
{
	signal(SIGUSR1, on_signal);
	say('r');
	for (;;)
		pause();
}

static int vfork_child(void *arg)
{
	(void)arg;
	say('r');
	pause();
	_exit(0);
}

/* As vfork does: the parent sleeps in the kernel until the child is done. */
static void in_vfork(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	clone(vfork_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	say('v');
	for (;;)
		pause();
}

/* ---- tests ------------------------------------------------------------------------------ */

START_TEST(test_all_threads)
{
	struct ph_stop *stop;
	struct ph_thread_regs *threads;
	size_t n;
	start(four_threads);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(heard(), 'r');
	ck_assert_ptr_null(ph_stop_begin(child, 2, &stop));
	ck_assert_ptr_null(ph_stop_threads(stop, &threads, &n));
	ck_assert_uint_eq(n, 4);
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(ph_proc_state(child, threads[i].tid), 't');
		ck_assert(threads[i].sp && threads[i].tls);
		for (size_t k = 0; k < i; k++)
			ck_assert(threads[i].sp != threads[k].sp && threads[i].tls != threads[k].tls);
	}
	double so_far = ph_stop_elapsed(stop);
	ck_assert(so_far > 0);
	ck_assert(ph_stop_end(stop) >= so_far);
	for (size_t i = 0; i < n; i++)
		ck_assert(reaches(threads[i].tid, "SR"));
	ck_assert_int_eq(ph_permission_tracer("", child, child), 0);
	free(threads);
}
END_TEST

START_TEST(test_main_thread_gone)
{
	struct ph_stop *stop;
	start(without_main_thread);
	ck_assert_int_eq(heard(), 'r');
	ck_assert(reaches(child, "Z"));
	ck_assert_ptr_null(ph_stop_begin(child, 2, &stop));
	ph_stop_end(stop);
}
END_TEST

START_TEST(test_signal_while_stopped)
{
	struct ph_stop *stop;
	start(waits_for_signal);
	ck_assert_int_eq(heard(), 'r');
	ck_assert_ptr_null(ph_stop_begin(child, 2, &stop));
	kill(child, SIGUSR1);
	ph_stop_end(stop);
	ck_assert_int_eq(heard(), 's');
}
END_TEST

/* A signal that is being delivered is a stop, too, and goes on afterwards. */
START_TEST(test_signal_at_the_stop)
{
	struct ph_stop *stop;
	start(waits_for_signal);
	ck_assert_int_eq(heard(), 'r');
	for (int i = 0; i < 200; i++) {
		kill(child, SIGUSR1);
		ck_assert_ptr_null(ph_stop_begin(child, 2, &stop));
		ph_stop_end(stop);
		ck_assert_int_eq(heard(), 's');
	}
}
END_TEST

START_TEST(test_does_not_stop)
{
	struct ph_stop *stop = NULL;
	start(in_vfork);
	ck_assert_int_eq(heard(), 'r');
	ck_assert(reaches(child, "D"));
	uint64_t began = ph_now_ns();
	struct ph_err *err = ph_stop_begin(child, 0.1, &stop);
	ck_assert_ptr_nonnull(err);
	ck_assert_ptr_null(stop);
	ck_assert_int_eq(ph_err_code(err), PH_ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(ph_err_message(err), "did not stop"));
	ck_assert_uint_lt(ph_now_ns() - began, 1000000000);
	ph_err_free(err);
	/* let go although it never stopped: else it would stop now, and for ever */
	for (int i = 0; i < 1000 && ph_permission_tracer("", child, child); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	ck_assert_int_eq(ph_permission_tracer("", child, child), 0);
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)child, (int)child);
	char *text = ph_read_file(path, 64, NULL);
	ck_assert_ptr_nonnull(text);
	kill(atoi(text), SIGKILL);
	free(text);
	ck_assert_int_eq(heard(), 'v');
}
END_TEST

START_TEST(test_ended)
{
	struct ph_stop *stop = NULL;
	start(waits_for_signal);
	ck_assert_int_eq(heard(), 'r');
	kill(child, SIGKILL);
	ck_assert(reaches(child, "Z"));
	struct ph_err *err = ph_stop_begin(child, 2, &stop);
	ck_assert_ptr_nonnull(err);
	ck_assert_int_eq(ph_err_code(err), PH_ERR_USAGE);
	ph_err_free(err);
}
END_TEST

START_TEST(test_killed_while_stopped)
{
	struct ph_stop *stop;
	int status;
	start(waits_for_signal);
	ck_assert_int_eq(heard(), 'r');
	ck_assert_ptr_null(ph_stop_begin(child, 2, &stop));
	kill(child, SIGKILL);
	ph_stop_end(stop);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	child = 0;
}
END_TEST

START_TEST(test_interrupted)
{
	struct ph_stop *stop = NULL;
	start(in_vfork);
	ck_assert_int_eq(heard(), 'r');
	ck_assert(reaches(child, "D"));
	ph_interrupted = SIGTERM;
	struct ph_err *err = ph_stop_begin(child, 10, &stop);
	ck_assert_ptr_nonnull(err);
	ck_assert_int_eq((int)ph_err_code(err), 128 + SIGTERM);
	ph_err_free(err);
	ph_interrupted = 0;
}
END_TEST

START_TEST(test_traced_by_another)
{
	struct ph_stop *stop = NULL;
	start(waits_for_signal);
	ck_assert_int_eq(heard(), 'r');
	ck_assert_int_eq(ptrace(PTRACE_SEIZE, child, NULL, NULL), 0);
	struct ph_err *err = ph_stop_begin(child, 2, &stop);
	ck_assert_ptr_nonnull(err);
	ck_assert_int_eq(ph_err_code(err), PH_ERR_PERMISSION);
	ck_assert_ptr_nonnull(strstr(ph_err_message(err), "already traced"));
	ph_err_free(err);
}
END_TEST

/* The caller's signal mask is as it was. */
START_TEST(test_mask)
{
	struct ph_stop *stop;
	sigset_t during, after;
	start(waits_for_signal);
	ck_assert_int_eq(heard(), 'r');
	ck_assert_ptr_null(ph_stop_begin(child, 2, &stop));
	sigprocmask(SIG_BLOCK, NULL, &during);
	ph_stop_end(stop);
	sigprocmask(SIG_BLOCK, NULL, &after);
	ck_assert(sigismember(&during, SIGTSTP) && !sigismember(&during, SIGINT));
	ck_assert(!sigismember(&after, SIGTSTP) && !sigismember(&after, SIGINT));
}
END_TEST

Suite *stop_suite(void)
{
	Suite *s = suite_create("stop");
	TCase *t = tcase_create("a child");
	tcase_add_checked_fixture(t, NULL, teardown);
	tcase_add_test(t, test_all_threads);
	tcase_add_test(t, test_main_thread_gone);
	tcase_add_test(t, test_signal_while_stopped);
	tcase_add_test(t, test_signal_at_the_stop);
	tcase_add_test(t, test_does_not_stop);
	tcase_add_test(t, test_ended);
	tcase_add_test(t, test_killed_while_stopped);
	tcase_add_test(t, test_interrupted);
	tcase_add_test(t, test_traced_by_another);
	tcase_add_test(t, test_mask);
	suite_add_tcase(s, t);
	return s;
}
