/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Places that may be _PyRuntime, in this very program: a child of it is the target. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <pyheap/runtime.h>

Suite *find_suite(void);

/* What _PyRuntime begins with since 3.13. */
struct fake {
	char cookie[8];
	uint64_t version, free_threaded, size, finalizing, head_offset;
	uint64_t interpreters_head;
};
#define FAKE(version, offset, head) { "xdebugpy", version, 0, 4096, 8, offset, head }
#define HEAD offsetof(struct fake, interpreters_head)

/* nothing but the search leads to these */
static volatile struct fake running = FAKE(0x030d00f0, HEAD, 1), idle = FAKE(0x030e00f0, HEAD, 0),
			    of_the_past = FAKE(0x030c00f0, HEAD, 1), far = FAKE(0x030d00f0, 1u << 30, 1),
			    odd = FAKE(0x030d00f0, HEAD + 1, 1);
static volatile struct {
	char before[4];
	struct fake fake;
} __attribute__((packed, aligned(8))) askew = { "abc", FAKE(0x030d00f0, HEAD, 1) };

/* as in 3.10 to 3.12, and by its symbol: the flags that it begins with are not set */
__attribute__((section(".PyRuntime"), aligned(8))) volatile char in_section[64] = { 0 };
extern volatile char _PyRuntime[64];
volatile char _PyRuntime[64] __attribute__((aligned(8)));

static struct ph_runtime_places places;

/* Looks into a child that is as we are now. */
static void find(void)
{
	struct ph_target *t;
	char pid[16];
	struct ph_notes notes = { 0 };
	pid_t child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
		for (;;)
			pause();
	}
	snprintf(pid, sizeof pid, "%d", (int)child);
	struct ph_err *err = ph_target_open(pid, &(struct ph_target_options){ 0 }, &notes, &t);
	ck_assert_msg(!err, "%s", err ? ph_err_message(err) : "");
	ck_assert_ptr_null(ph_runtime_find(t, &places));
	ph_target_close(t);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static bool is_there(volatile void *at)
{
	for (size_t i = 0; i < places.n; i++)
		if (places.items[i].address == (uintptr_t)at)
			return true;
	return false;
}

static void first_is(volatile void *at)
{
	ck_assert_uint_ge(places.n, 1);
	ck_assert_uint_eq(places.items[0].address, (uintptr_t)at);
	ck_assert_uint_eq(places.items[0].definer, (uintptr_t)at);
	ck_assert(places.items[0].runs && places.items[0].is_main && !places.items[0].copied);
}

START_TEST(test_section)
{
	in_section[4] = 1;
	find();
	first_is(in_section);
	ck_assert_uint_eq(places.n, 1); /* it runs: no reason to look on */
	ph_vec_free(&places);
}
END_TEST

START_TEST(test_symbol)
{
	_PyRuntime[12] = 1;
	find();
	first_is(_PyRuntime);
	ck_assert_uint_eq(places.n, 2);
	ck_assert(is_there(in_section) && !places.items[1].runs);
	ph_vec_free(&places);
}
END_TEST

START_TEST(test_cookie)
{
	find();
	first_is(&running);
	ck_assert_uint_eq(places.n, 4);
	ck_assert(is_there(in_section) && is_there(_PyRuntime) && is_there(&idle));
	ck_assert(!places.items[1].runs);
	ph_vec_free(&places);
}
END_TEST

/* What is no cookie is none, wherever the child says that an interpreter runs. */
START_TEST(test_no_cookie)
{
	running.interpreters_head = 0;
	find();
	ck_assert(is_there(&running) && is_there(&idle));
	ck_assert(!is_there(&of_the_past) && !is_there(&far) && !is_there(&odd) && !is_there(&askew.fake));
	for (size_t i = 0; i < places.n; i++)
		ck_assert(!places.items[i].runs);
	ph_vec_free(&places);
}
END_TEST

Suite *find_suite(void)
{
	Suite *s = suite_create("find");
	TCase *tc = tcase_create("find");
	tcase_add_test(tc, test_section);
	tcase_add_test(tc, test_symbol);
	tcase_add_test(tc, test_cookie);
	tcase_add_test(tc, test_no_cookie);
	suite_add_tcase(s, tc);
	return s;
}
