/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages of a child of ours are taken, and how pages that cannot be read are left
 * out. The child only sleeps. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>
#include "sleeper.h"

Suite *copy_suite(void);

#define AREA 64u /* pages, shared by parent and child as a fork shares them */
#define P(n) ((n) * 4096ull)

static uint8_t *area;
static struct ph_reader reader;
static struct ph_copy copy;
static struct ph_plan plan;
static struct ph_notes notes;
static const struct ph_target no_modules;

static void setup(void)
{
	memset(&notes, 0, sizeof notes);
	area = mmap(NULL, P(AREA), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(area, MAP_FAILED);
	madvise(area, P(AREA), MADV_NOHUGEPAGE);
}

static void teardown(void)
{
	sleeper_end(&reader);
	ph_copy_deinit(&copy);
	ph_plan_deinit(&plan);
	munmap(area, P(AREA));
}

static struct ph_mapping mapping(ph_addr start, ph_addr end)
{
	return (struct ph_mapping){ .start = start, .end = end, .readable = true, .writable = true,
				    .perms_known = true };
}

static void make_plan(pid_t pid, struct ph_mapping m)
{
	struct ph_mappings maps = { .items = &m, .n = 1 };
	ck_assert_ptr_null(ph_plan_make(pid, &maps, &no_modules, false, &plan));
}

static void check_run(size_t i, uint64_t from, uint64_t to, enum ph_run_source source)
{
	ck_assert_uint_lt(i, plan.runs.n);
	const struct ph_run *r = &plan.runs.items[i];
	ck_assert_uint_eq(r->start - (uintptr_t)area, P(from));
	ck_assert_uint_eq(r->end - (uintptr_t)area, P(to));
	ck_assert_int_eq(r->source, source);
}

/* Pages that were never touched are not read, but they lie between the others. */
START_TEST(test_present_pages)
{
	area[P(4)] = area[P(5)] = area[P(9)] = 1;
	reader = sleeper_start();
	make_plan(reader.pid, mapping((uintptr_t)area, (uintptr_t)area + P(AREA)));
	ck_assert_uint_eq(plan.runs.n, 5);
	check_run(0, 0, 4, PH_RUN_ZERO);
	check_run(1, 4, 6, PH_RUN_TARGET);
	check_run(2, 6, 9, PH_RUN_ZERO);
	check_run(3, 9, 10, PH_RUN_TARGET);
	check_run(4, 10, AREA, PH_RUN_ZERO);
	ck_assert_uint_eq(plan.target_bytes, P(3));
	ck_assert_uint_eq(plan.size, P(AREA));
	for (size_t i = 1; i < plan.runs.n; i++)
		ck_assert_uint_eq(plan.runs.items[i].at - plan.runs.items[0].at,
				  plan.runs.items[i].start - plan.runs.items[0].start);
	ck_assert_ptr_eq(ph_plan_find(&plan, (uintptr_t)area + P(8)), &plan.runs.items[2]);
	ck_assert_ptr_null(ph_plan_find(&plan, (uintptr_t)area + P(AREA)));
	ck_assert_ptr_null(ph_plan_find(&plan, (uintptr_t)area - 1));
}
END_TEST

/* A guard page in the middle of a mapping, as at the end of a thread's stack: nobody can read it. */
START_TEST(test_guard_page)
{
	area[P(4)] = area[P(5)] = area[P(6)] = 1;
	if (madvise(area + P(5), P(1), 102 /* MADV_GUARD_INSTALL */) < 0)
		ck_assert_int_eq(errno, EINVAL); /* before Linux 6.13 there are none, later it did not tell */
	uint64_t page = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	ck_assert_int_eq(pread(fd, &page, 8, (off_t)((uintptr_t)(area + P(5)) / PH_PAGE * 8)), 8);
	close(fd);
	bool guarded = page >> 58 & 1;
	reader = sleeper_start();
	make_plan(reader.pid, mapping((uintptr_t)area, (uintptr_t)area + P(AREA)));
	ck_assert_uint_eq(plan.target_bytes, guarded ? P(2) : P(3));
}
END_TEST

START_TEST(test_untouched)
{
	area[0] = 1; /* elsewhere, so that pagemap is seen to work */
	reader = sleeper_start();
	struct ph_mapping m[2] = { mapping((uintptr_t)area, (uintptr_t)area + P(1)),
				   mapping((uintptr_t)area + P(1), (uintptr_t)area + P(AREA)) };
	struct ph_mappings maps = { .items = m, .n = 2 };
	ck_assert_ptr_null(ph_plan_make(reader.pid, &maps, &no_modules, false, &plan));
	ck_assert_uint_eq(plan.runs.n, 1);
	check_run(0, 0, 1, PH_RUN_TARGET);
}
END_TEST

/* Without pagemap (there is no such process) all that can be written to is taken. */
START_TEST(test_no_pagemap)
{
	make_plan(0x7ffffff0, mapping((uintptr_t)area, (uintptr_t)area + P(AREA)));
	ck_assert_uint_eq(plan.runs.n, 1);
	check_run(0, 0, AREA, PH_RUN_TARGET);
}
END_TEST

START_TEST(test_what_is_never_taken)
{
	area[0] = 1;
	reader = sleeper_start();
	struct ph_mapping shared = mapping((uintptr_t)area, (uintptr_t)area + P(AREA)), device = shared,
			  hidden = shared;
	shared.shared = true;
	device.path = (char *)"/dev/dri/card0";
	hidden.readable = hidden.writable = false;
	make_plan(reader.pid, shared);
	ck_assert_uint_eq(plan.runs.n, 0);
	make_plan(reader.pid, device);
	ck_assert_uint_eq(plan.runs.n, 0);
	make_plan(reader.pid, hidden);
	ck_assert_uint_eq(plan.runs.n, 0);
}
END_TEST

/* Runs of the whole area, whatever its pages allow. */
static void plan_all(void)
{
	ck_assert(PH_VEC_PUSH(&plan.runs, (struct ph_run){ .start = (uintptr_t)area,
							   .end = (uintptr_t)area + P(AREA),
							   .source = PH_RUN_TARGET }));
	plan.size = plan.target_bytes = P(AREA);
}

static void read_all(struct ph_mem **ret)
{
	ck_assert_ptr_null(ph_copy_prepare(&copy, P(AREA), P(AREA)));
	ck_assert_ptr_null(ph_copy_read(&copy, &reader, &plan));
	*ret = ph_mem_new();
	ck_assert_ptr_null(ph_copy_add(&copy, &plan, &no_modules, &notes, *ret));
	ck_assert_ptr_null(ph_mem_seal(*ret));
}

/* What the child has written since; pages that are gone stay as they were. */
START_TEST(test_reread)
{
	struct ph_target target = { .kind = PH_TARGET_PROCESS, .pause_ms = -1 };
	struct ph_process process = { 0 };
	struct ph_mem *mem;
	struct ph_pages changed = { 0 };
	uint8_t before[P(3)];
	int fd = memfd_create("area", 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)P(AREA)), 0);
	ck_assert_ptr_eq(mmap(area, P(AREA), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), area);
	ph_addr at = (uintptr_t)area, pages[3] = { at + P(2), at + P(3), at + P(60) };
	memset(area, 1, P(AREA));
	reader = sleeper_start();
	plan_all();
	plan.runs.items[0].writable = true;
	read_all(&mem);
	process = (struct ph_process){ .reader = reader, .plan = plan, .copy = copy,
				       .start_time = ph_process_start_time(reader.pid) };
	target.priv = &process;
	target.pid = reader.pid;
	const uint8_t *three = ph_mem_at(mem, at + P(3), 4096);
	ck_assert(!ph_target_reread(&target, pages, 3, before)); /* nothing has changed */
	memset(area + P(3), 7, 4096);
	ck_assert(ph_target_changed(&target, 10, &changed));
	ck_assert_uint_eq(changed.n, 1);
	ck_assert_uint_eq(changed.items[0], at + P(3));
	ck_assert(!ph_target_changed(&target, 0, &changed)); /* too many */
	ck_assert_uint_eq(changed.n, 1);
	ck_assert_int_eq(ftruncate(fd, (off_t)P(60)), 0); /* the last one cannot be read any longer */
	ck_assert(ph_target_reread(&target, pages, 3, before));
	ck_assert(three[0] == 7 && three[4095] == 7 && before[P(1)] == 1);
	ck_assert(*(const uint8_t *)ph_mem_at(mem, at + P(2), 1) == 1);
	ck_assert(*(const uint8_t *)ph_mem_at(mem, at + P(60), 1) == 1);
	ph_target_put_back(&target, pages, 3, before);
	ck_assert(three[0] == 1 && three[4095] == 1);
	process.start_time++; /* another process of this ID */
	ck_assert(!ph_target_reread(&target, pages, 3, before));
	target.pause_ms = 1; /* one that was stopped */
	ck_assert(!ph_target_reread(&target, pages, 3, before));
	ck_assert_int_eq(three[0], 1);
	ph_vec_free(&changed);
	ph_mem_free(mem);
	close(fd);
}
END_TEST

/* First, last, two in a row: only these are missing. */
static void check_bad_pages(bool no_vm_readv)
{
	static const unsigned bad[] = { 0, 7, 20, 21, AREA - 1 };
	struct ph_mem *mem;
	size_t k = 0;
	for (unsigned i = 0; i < AREA; i++)
		memset(area + P(i), (int)i + 1, 4096);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		munmap(area + P(bad[i]), 4096);
	reader = sleeper_start();
	reader.no_vm_readv = no_vm_readv;
	plan_all();
	read_all(&mem);
	ck_assert_uint_eq(notes.kind[PH_NOTE_MISSING_PAGES].count, 5);
	ck_assert_uint_eq(notes.kind[PH_NOTE_MISSING_PAGES].example, (uintptr_t)area);
	for (unsigned i = 0; i < AREA; i++) {
		const uint8_t *p = ph_mem_at(mem, (uintptr_t)area + P(i), 4096);
		if (k < sizeof bad / sizeof *bad && bad[k] == i) {
			ck_assert_ptr_null(p);
			k++;
			continue;
		}
		ck_assert_ptr_nonnull(p);
		ck_assert(p[0] == i + 1 && p[4095] == i + 1);
	}
	ph_mem_free(mem);
}

START_TEST(test_bad_pages)
{
	check_bad_pages(false);
}
END_TEST

START_TEST(test_bad_pages_through_mem)
{
	check_bad_pages(true);
}
END_TEST

/* More pieces than one call takes. */
START_TEST(test_many_runs)
{
	const uint64_t n = 5000;
	uint8_t *wide = mmap(NULL, P(2 * n), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(wide, P(2 * n), MADV_NOHUGEPAGE);
	for (uint64_t i = 0; i < n; i++)
		memcpy(wide + P(2 * i), &i, 8);
	reader = sleeper_start();
	for (uint64_t i = 0; i < n; i++) {
		struct ph_run r = { .start = (uintptr_t)wide + P(2 * i), .end = (uintptr_t)wide + P(2 * i + 1),
				    .at = P(i), .source = PH_RUN_TARGET };
		ck_assert(PH_VEC_PUSH(&plan.runs, r));
	}
	ck_assert_ptr_null(ph_copy_prepare(&copy, P(n), P(n)));
	ck_assert_ptr_null(ph_copy_read(&copy, &reader, &plan));
	ck_assert_uint_eq(copy.bad.n, 0);
	for (uint64_t i = 0; i < n; i++)
		ck_assert_uint_eq(ph_load_u64(copy.bytes + P(i)), i);
	munmap(wide, P(2 * n));
}
END_TEST

START_TEST(test_it_ended)
{
	for (int no_vm_readv = 0; no_vm_readv < 2; no_vm_readv++) {
		memset(area, 1, P(AREA));
		reader = sleeper_start();
		reader.no_vm_readv = no_vm_readv;
		plan.runs.n = 0;
		plan_all();
		sleeper_kill();
		ck_assert_ptr_null(ph_copy_prepare(&copy, P(AREA), P(AREA)));
		struct ph_err *err = ph_copy_read(&copy, &reader, &plan);
		ck_assert_ptr_nonnull(err);
		ck_assert_int_eq(ph_err_code(err), PH_ERR_USAGE);
		ck_assert_ptr_nonnull(strstr(ph_err_message(err), "has ended"));
		ph_err_free(err);
		sleeper_end(&reader);
		ph_copy_deinit(&copy);
	}
}
END_TEST

START_TEST(test_interrupted)
{
	memset(area, 1, P(AREA));
	reader = sleeper_start();
	plan_all();
	ck_assert_ptr_null(ph_copy_prepare(&copy, P(AREA), P(AREA)));
	ph_interrupted = SIGINT;
	struct ph_err *err = ph_copy_read(&copy, &reader, &plan);
	ck_assert_int_eq((int)ph_err_code(err), 128 + SIGINT);
	ph_err_free(err);
	ph_interrupted = 0;
}
END_TEST

/* Growing keeps what is there, trimming what is used. */
START_TEST(test_room)
{
	ck_assert_ptr_null(ph_copy_prepare(&copy, 1, 1));
	ck_assert_uint_ge(copy.size, 1);
	uint64_t size = copy.size;
	memset(copy.bytes, 7, size);
	ck_assert_ptr_null(ph_copy_grow(&copy, size));
	ck_assert_uint_eq(copy.size, size);
	ck_assert_ptr_null(ph_copy_grow(&copy, 100 * size + 1));
	ck_assert_uint_ge(copy.size, 100 * size + 1);
	ck_assert(copy.bytes[0] == 7 && copy.bytes[size - 1] == 7 && copy.bytes[100 * size] == 0);
	ph_copy_trim(&copy, &(struct ph_plan){ .size = 5000 });
	ck_assert_uint_eq(copy.size, P(2));
	ck_assert(copy.bytes[0] == 7 && copy.bytes[P(2) - 1] == 7);
	ph_copy_deinit(&copy);
	ck_assert_uint_eq(copy.size, 0);
	struct ph_err *err = ph_copy_prepare(&copy, 1ull << 60, 1ull << 61);
	ck_assert_int_eq(ph_err_code(err), PH_ERR_REFUSED);
	ph_err_free(err);
}
END_TEST

Suite *copy_suite(void)
{
	Suite *s = suite_create("copy");
	TCase *t = tcase_create("a child's pages");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_present_pages);
	tcase_add_test(t, test_untouched);
	tcase_add_test(t, test_guard_page);
	tcase_add_test(t, test_no_pagemap);
	tcase_add_test(t, test_what_is_never_taken);
	tcase_add_test(t, test_reread);
	tcase_add_test(t, test_bad_pages);
	tcase_add_test(t, test_bad_pages_through_mem);
	tcase_add_test(t, test_many_runs);
	tcase_add_test(t, test_it_ended);
	tcase_add_test(t, test_interrupted);
	tcase_add_test(t, test_room);
	suite_add_tcase(s, t);
	return s;
}
