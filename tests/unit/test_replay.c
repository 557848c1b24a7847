/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The target is a fork of this program: its functions are where ours are, and run on a
 * copy of its memory. tests/live/test_replay.py does it to Python, and attacks the seal. */
#include <check.h>
#include <elf.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <pyheap/replay.h>
#include <pyheap/target.h>

Suite *replay_suite(void);

/* They run where there is no libc and no sanitizer's memory. */
#define TARGETS __attribute__((no_sanitize("address", "undefined"), noinline)) static

static struct { uint64_t first, second; } data = { 1, 2 }; /* the target's has other values */
static volatile int *volatile nowhere_to_stop = &(volatile int){ 0 };
static volatile int *volatile nowhere = (volatile int *)8;
static volatile char zeroes[64 << 20]; /* nobody writes to it */
static int64_t *shared; /* seen by all three processes, if the seal leaks */
typedef int visitproc(void *object, void *arg);

TARGETS int visits(void *object, visitproc *visit, void *arg)
{
	int ret = visit(object, arg);
	if (!ret)
		ret = visit((void *)(uintptr_t)data.first, arg);
	return ret ? ret : visit((void *)(uintptr_t)data.second, arg);
}
TARGETS int loops(void *object, visitproc *visit, void *arg)
{
	for (volatile int always = 1; always;)
		;
	return 0;
}
TARGETS int visits_and_faults(void *object, visitproc *visit, void *arg)
{
	visit(object, arg);
	return *nowhere;
}
TARGETS int visits_for_ever(void *object, visitproc *visit, void *arg)
{
	while (!visit(object, arg))
		;
	return -1;
}
TARGETS int recurses(void *object, visitproc *visit, void *arg)
{
	volatile char frame[4096];
	frame[0] = 1;
	return *nowhere_to_stop ? 0 : recurses(object, visit, arg) + frame[0];
}
TARGETS int calls_the_kernel(void *object, visitproc *visit, void *arg)
{
	long ret;
#if defined __x86_64__
	__asm__ volatile("syscall" : "=a"(ret) : "a"(SYS_getpid) : "rcx", "r11", "memory");
#endif
	visit((void *)ret, arg);
	return 0;
}
TARGETS int writes(void *object, visitproc *visit, void *arg)
{
	data.first++;
	return visit((void *)(uintptr_t)data.first, arg);
}
TARGETS int writes_to_shared(void *object, visitproc *visit, void *arg)
{
	++*shared;
	return visit((void *)(uintptr_t)*shared, arg);
}
TARGETS int64_t reads_zeroes(char *object)
{
	return zeroes[sizeof zeroes / 2] + 5;
}
TARGETS int is_no_object(void *object)
{
	return 0;
}
TARGETS int64_t plus_one(int64_t *object)
{
	return (int64_t)(uintptr_t)object + 1;
}
TARGETS int64_t *gives_number(int64_t *object)
{
	static int64_t number = 41;
	return object ? &number : NULL;
}
TARGETS int64_t reads_number(int64_t *number)
{
	return *number + 1;
}
TARGETS void releases_number(int64_t *number)
{
	--*number;
}
TARGETS int64_t has_released(int64_t *object)
{
	return *gives_number(object);
}

/* ---- a target ------------------------------------------------------------------------ */

static pid_t child;
static struct ph_target *target;
static struct ph_replay *replay;
static struct ph_notes notes;

static void start_target(void)
{
	int pipes[2];
	char c;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_int_eq(pipe(pipes), 0);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		data.first = 0x1111;
		data.second = 0x2222;
		if (write(pipes[1], "r", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	ck_assert_int_eq(read(pipes[0], &c, 1), 1);
	close(pipes[0]);
	close(pipes[1]);
	char pid[16];
	struct ph_target_options opt = { .ignore_limits = true };
	snprintf(pid, sizeof pid, "%d", (int)child);
	ck_assert_ptr_null(ph_target_open(pid, &opt, &notes, &target));
	ck_assert_ptr_null(ph_target_capture(target, &notes));
}

static void open_replay(const struct ph_replay_item *prelude, size_t n, ph_addr release)
{
	struct ph_replay_options opt = { .prelude = prelude, .nprelude = n, .release = release };
	struct ph_err *err = ph_replay_open(target, &opt, &replay);
	ck_assert_msg(!err, "%s", err ? ph_err_message(err) : "");
}

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN); /* as main.c has it */
	start_target();
	open_replay(NULL, 0, 0);
}

static void teardown(void)
{
	ph_replay_close(replay);
	ph_target_close(target);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	munmap(shared, 4096);
	replay = NULL;
}

/* ---- asking --------------------------------------------------------------------------- */

static struct {
	enum ph_replay_status status;
	size_t n;
	uint64_t values[4];
} got[300000];
static size_t ngot;

static void keep(void *ctx, const struct ph_replay_item *item, enum ph_replay_status status,
		 const uint64_t *values, size_t n)
{
	(void)ctx, (void)item;
	ck_assert_uint_lt(ngot, sizeof got / sizeof *got);
	got[ngot].status = status;
	got[ngot].n = n;
	for (size_t i = 0; i < n && i < 4; i++)
		got[ngot].values[i] = values[i];
	ngot++;
}

#define FN(f) ((ph_addr)(uintptr_t)(f))

static void run(const struct ph_replay_item *items, size_t n)
{
	ngot = 0;
	struct ph_err *err = ph_replay_run(replay, items, n, keep, NULL);
	ck_assert_msg(!err, "%s", err ? ph_err_message(err) : "");
	ck_assert_uint_eq(ngot, n);
}

static void is_visited(size_t i, uint64_t object)
{
	ck_assert_uint_eq(got[i].status, PH_REPLAY_DONE);
	ck_assert_uint_eq(got[i].n, 3);
	ck_assert_uint_eq(got[i].values[0], object);
	ck_assert_uint_eq(got[i].values[1], 0x1111);
	ck_assert_uint_eq(got[i].values[2], 0x2222);
}

START_TEST(test_target_memory)
{
	struct ph_replay_item items[] = {
		{ 0x10, FN(visits), 0, PH_REPLAY_TRAVERSE, 1 },
		{ 0x20, FN(visits), FN(is_no_object), PH_REPLAY_TRAVERSE, 1 },
		{ 0x30, FN(plus_one), 0, PH_REPLAY_CALL, 2 },
		{ 0x40, FN(visits), FN(plus_one), PH_REPLAY_TRAVERSE, 1 },
		{ 0x50, FN(reads_zeroes), 0, PH_REPLAY_CALL, 3 },
	};
	run(items, 5);
	ck_assert(got[4].n == 1 && got[4].values[0] == 5);
	is_visited(0, 0x10);
	ck_assert(got[1].status == PH_REPLAY_DONE && got[1].n == 0);
	ck_assert(got[2].n == 1 && got[2].values[0] == 0x31);
	is_visited(3, 0x40);
}
END_TEST

/* Whatever one of them does, the next one is answered. */
START_TEST(test_failures)
{
	static const struct { void *function; enum ph_replay_status status; } bad[] = {
		{ visits_and_faults, PH_REPLAY_FAULT }, { recurses, PH_REPLAY_FAULT }, { calls_the_kernel, PH_REPLAY_FAULT },
		{ loops, PH_REPLAY_TIMEOUT }, { visits_for_ever, PH_REPLAY_FULL }, { NULL, PH_REPLAY_FAULT },
		{ &data, PH_REPLAY_FAULT } /* not code */,
	};
	for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct ph_replay_item items[] = {
			{ 1, FN(visits), 0, PH_REPLAY_TRAVERSE, 1 },
			{ 2, FN(bad[i].function), 0, PH_REPLAY_TRAVERSE, 10 + i },
			{ 3, FN(visits), 0, PH_REPLAY_TRAVERSE, 1 },
		};
		run(items, 3);
		is_visited(0, 1);
		ck_assert_msg(got[1].status == bad[i].status && !got[1].n, "%u: %u", i, got[1].status);
		is_visited(2, 3);
	}
}
END_TEST

START_TEST(test_gives_up)
{
	struct ph_replay_item items[20];
	for (int i = 0; i < 20; i++)
		items[i] = (struct ph_replay_item){ 1, i & 1 ? FN(visits) : FN(visits_and_faults), 0, PH_REPLAY_TRAVERSE,
						    i & 1 ? 1 : 2 };
	run(items, 20); /* of one batch: they are cheap */
	run(items, 20);
	for (int i = 0; i < 20; i++)
		ck_assert_uint_eq(got[i].status, i & 1 ? PH_REPLAY_DONE : PH_REPLAY_SKIPPED);
}
END_TEST

START_TEST(test_loops_are_few)
{
	static struct ph_replay_item items[1000];
	for (int i = 0; i < 1000; i++)
		items[i] = (struct ph_replay_item){ 1, FN(loops), 0, PH_REPLAY_TRAVERSE, 7 };
	run(items, 1000);
	int timeouts = 0;
	for (int i = 0; i < 1000; i++)
		timeouts += got[i].status == PH_REPLAY_TIMEOUT;
	ck_assert_int_eq(timeouts, 3);
	ck_assert_uint_eq(got[999].status, PH_REPLAY_SKIPPED);
}
END_TEST

START_TEST(test_many)
{
	static struct ph_replay_item items[300000];
	for (uint32_t i = 0; i < 300000; i++)
		items[i] = (struct ph_replay_item){ i + 1, FN(i % 3 ? visits : visits_and_faults), 0, PH_REPLAY_TRAVERSE,
						    i % 3 ? 1 : 100 + i };
	run(items, 300000);
	for (uint32_t i = 0; i < 300000; i++) {
		if (i % 3)
			is_visited(i, i + 1);
		else
			ck_assert_uint_eq(got[i].status, PH_REPLAY_FAULT);
	}
}
END_TEST

/* What is written is the child's own, and gone with it. */
START_TEST(test_writes)
{
	struct ph_replay_item items[] = {
		{ 0, FN(writes), 0, PH_REPLAY_TRAVERSE, 1 },
		{ FN(&data.first), 8, 0x5555, PH_REPLAY_STORE, 2 },
		{ 0, FN(writes), 0, PH_REPLAY_TRAVERSE, 1 },
		{ 8, 8, 0x5555, PH_REPLAY_STORE, 2 },
		{ 0, FN(writes_to_shared), 0, PH_REPLAY_TRAVERSE, 3 },
	};
	*shared = 70;
	run(items, 5);
	ck_assert_uint_eq(got[0].values[0], 0x1112);
	ck_assert_uint_eq(got[2].values[0], 0x5556);
	ck_assert_uint_eq(got[3].status, PH_REPLAY_FAULT);
	ck_assert_int_eq(*shared, 70);
	ph_replay_renew(replay);
	run(items, 1);
	ck_assert_uint_eq(got[0].values[0], 0x1112);
	ck_assert_uint_eq(data.first, 1);
}
END_TEST

START_TEST(test_method)
{
	struct ph_replay_item prelude = { FN(&data.second), 8, 0x7777, PH_REPLAY_STORE, 0 };
	struct ph_replay_item items[] = {
		{ 8, FN(gives_number), FN(reads_number), PH_REPLAY_METHOD, 1 },
		{ 8, FN(has_released), 0, PH_REPLAY_CALL, 2 },
		{ 0, FN(gives_number), FN(reads_number), PH_REPLAY_METHOD, 3 }, /* NULL: an exception */
		{ 1, FN(visits), 0, PH_REPLAY_TRAVERSE, 4 },
	};
	ph_replay_close(replay);
	open_replay(&prelude, 1, FN(releases_number));
	run(items, 4);
	ck_assert(got[0].n == 1 && got[0].values[0] == 42);
	ck_assert(got[1].n == 1 && got[1].values[0] == 40);
	ck_assert(got[2].status == PH_REPLAY_FAULT && !got[2].n);
	ck_assert_uint_eq(got[3].values[2], 0x7777);
}
END_TEST

/* Children that are killed are replaced, but not for ever. */
START_TEST(test_children_die)
{
	struct ph_replay_item item = { 1, FN(visits), 0, PH_REPLAY_TRAVERSE, 1 };
	char path[64];
	for (int i = 0; i < 2; i++) {
		int children[8], n = 0;
		snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
		FILE *f = fopen(path, "r");
		while (f && n < 8 && fscanf(f, "%d", &children[n]) == 1)
			n++;
		if (f)
			fclose(f);
		if (!n)
			return; /* a kernel without that file */
		ck_assert_int_eq(n, 2); /* the target and the helper */
		kill(children[0] == child ? children[1] : children[0], SIGKILL);
		run(&item, 1);
		ck_assert_uint_eq(got[0].status, PH_REPLAY_FAULT); /* who knows what it died of */
		run(&item, 1);
		is_visited(0, 1);
	}
}
END_TEST

/* Code of another machine is never run, be it a core of one. */
START_TEST(test_other_machine)
{
	struct ph_replay_options opt = { 0 };
	struct ph_replay *other = NULL;
	uint16_t machine = target->machine;
	target->machine = machine == EM_X86_64 ? EM_AARCH64 : EM_X86_64;
	struct ph_err *err = ph_replay_open(target, &opt, &other);
	target->machine = machine;
	ck_assert_ptr_nonnull(err);
	ck_assert_int_eq(ph_err_code(err), PH_ERR_REFUSED);
	ph_err_free(err);
}
END_TEST

Suite *replay_suite(void)
{
	Suite *s = suite_create("replay");
	TCase *t = tcase_create("a fork of this program");
	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_target_memory);
	tcase_add_test(t, test_failures);
	tcase_add_test(t, test_gives_up);
	tcase_add_test(t, test_loops_are_few);
	tcase_add_test(t, test_many);
	tcase_add_test(t, test_writes);
	tcase_add_test(t, test_method);
	tcase_add_test(t, test_children_die);
	tcase_add_test(t, test_other_machine);
	suite_add_tcase(s, t);
	return s;
}
