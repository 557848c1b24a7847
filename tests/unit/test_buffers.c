/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which blocks of malloc's in a child of ours are not copied. The child only sleeps. */
#include <check.h>
#include <signal.h>
#include <sys/mman.h>
#include "sleeper.h"

Suite *buffers_suite(void);

#define MIB (1ull << 20)
#define AREA (96 * MIB)
#define EDGE (64ull << 10)

static uint8_t *area; /* begins at a MiB */
static void *mapped;
static struct ph_reader reader;
static struct ph_mappings maps;
static struct ph_mapping mapping;
static struct ph_plan plan;
static struct ph_buffers buffers;
static const struct ph_target no_modules;

static void setup(void)
{
	mapped = mmap(NULL, AREA + MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(mapped, MAP_FAILED);
	area = (uint8_t *)(((uintptr_t)mapped + MIB - 1) & -MIB);
	madvise(area, AREA, MADV_NOHUGEPAGE);
	mapping = (struct ph_mapping){ .start = (uintptr_t)area, .end = (uintptr_t)area + AREA, .readable = true,
				       .writable = true, .perms_known = true };
	maps = (struct ph_mappings){ .items = &mapping, .n = 1 };
}

static void teardown(void)
{
	sleeper_end(&reader);
	ph_plan_deinit(&plan);
	ph_vec_free(&buffers);
	munmap(mapped, AREA + MIB);
}

static void put(uint64_t at, uint64_t word)
{
	memcpy(area + at, &word, 8);
}

/* A block as malloc makes it, full of numbers that are no addresses, or of one that is. */
static void block(uint64_t at, uint64_t size, bool references)
{
	for (uint64_t i = at; i < at + size; i += 8)
		put(i, references ? mapping.start + 64 : i + 0x3ff0000000000001);
	put(at, 0);
	put(at + 8, size | 2);
}

static void start(void)
{
	reader = sleeper_start();
	ck_assert_ptr_null(ph_plan_make(reader.pid, &maps, &no_modules, false, &plan));
}

static void find(void)
{
	if (!reader.pid)
		start();
	ck_assert_ptr_null(ph_buffers_find(&reader, &maps, &plan, &buffers));
}

static void check_buffer(size_t i, uint64_t at, uint64_t size)
{
	ck_assert_uint_lt(i, buffers.n);
	ck_assert_uint_eq(buffers.items[i].start - mapping.start, at);
	ck_assert_uint_eq(buffers.items[i].end - buffers.items[i].start, size);
}

START_TEST(test_blocks)
{
	block(0, 20 * MIB, false);
	block(20 * MIB, 10 * MIB, true);
	block(30 * MIB, 12 * MIB + 0x3000, false); /* the next two do not begin at a MiB */
	block(42 * MIB + 0x3000, 3 * MIB, false);  /* too small */
	block(45 * MIB + 0x3000, 20 * MIB, false);
	find();
	ck_assert_uint_eq(buffers.n, 3);
	check_buffer(0, 0, 20 * MIB);
	check_buffer(1, 30 * MIB, 12 * MIB + 0x3000);
	check_buffer(2, 45 * MIB + 0x3000, 20 * MIB);
}
END_TEST

/* The plan goes on taking the ends, in the order of addresses and without gaps. */
START_TEST(test_skip)
{
	block(MIB, 40 * MIB, false);
	find();
	check_buffer(0, MIB, 40 * MIB);
	uint64_t taken = plan.target_bytes, size = plan.size, at = 0;
	ph_addr end = plan.runs.items[0].start;
	ck_assert_ptr_null(ph_plan_skip(&plan, &buffers));
	ck_assert_uint_eq(plan.skipped_bytes, 40 * MIB - 2 * EDGE);
	ck_assert_uint_eq(plan.target_bytes, taken - plan.skipped_bytes);
	ck_assert_uint_eq(plan.size, size - plan.skipped_bytes);
	for (size_t i = 0; i < plan.runs.n; i++) {
		const struct ph_run *r = &plan.runs.items[i];
		ck_assert_uint_eq(r->start, end);
		end = r->end;
		if (r->source == PH_RUN_SKIPPED) {
			ck_assert_uint_eq(r->start - mapping.start, MIB + EDGE);
			ck_assert_uint_eq(r->end - mapping.start, 41 * MIB - EDGE);
			continue;
		}
		ck_assert_uint_eq(r->at, at);
		at += r->end - r->start;
	}
	ck_assert_uint_eq(at, plan.size);
}
END_TEST

START_TEST(test_two_mappings)
{
	struct ph_mapping two[2] = { mapping, mapping };
	block(0, 64 * MIB, false);
	two[0].end = two[1].start = mapping.start + 0x1000; /* an advice on huge pages */
	maps = (struct ph_mappings){ .items = two, .n = 2 };
	find();
	ck_assert_uint_eq(buffers.n, 1);
	check_buffer(0, 0, 64 * MIB);
	two[1].path = (char *)"/a/file";
	find();
	ck_assert_uint_eq(buffers.n, 0);
}
END_TEST

START_TEST(test_not_worth)
{
	block(0, 32 * MIB, false); /* its ends are copied */
	find();
	ck_assert_uint_eq(buffers.n, 0);
}
END_TEST

/* One word of one page that is looked at, which leads to other memory of the target. */
START_TEST(test_one_reference)
{
	block(0, 64 * MIB, false);
	put(17 * MIB + 0x800, mapping.start + 0x10);
	find();
	ck_assert_uint_eq(buffers.n, 0);
}
END_TEST

START_TEST(test_unaligned)
{
	block(0, 64 * MIB, false);
	put(17 * MIB + 0x800, mapping.start + 0x11); /* no object lies there */
	find();
	ck_assert_uint_eq(buffers.n, 1);
}
END_TEST

/* Where the program is at low addresses numbers look like them. */
START_TEST(test_low_addresses)
{
	struct ph_mapping two[2] = { { .start = 0x400000, .end = 0x800000, .readable = true, .path = (char *)"/bin/a" },
				     mapping };
	block(0, 64 * MIB, false);
	for (uint64_t i = 0; i < (uint64_t)_i; i++)
		put(17 * MIB + 8 * i, 0x400000 + 8 * i);
	maps = (struct ph_mappings){ .items = two, .n = 2 };
	find();
	ck_assert_uint_eq(buffers.n, _i < 512 / 16);
}
END_TEST

START_TEST(test_zeroes)
{
	block(0, 64 * MIB, false);
	for (uint64_t at = MIB; at < 40 * MIB; at += MIB)
		memset(area + at, 0, 4096);
	find();
	ck_assert_uint_eq(buffers.n, 0);
}
END_TEST

/* Numbers that malloc did not ask the kernel for: nobody knows where something begins. */
START_TEST(test_no_head)
{
	static const uint64_t heads[] = { 0, 64 * MIB | 3, 64 * MIB | 6, 64 * MIB | 0x800 | 2, 97 * MIB | 2, 1ull << 63 | 2 };
	block(0, 64 * MIB, false);
	put(8, heads[_i]);
	find();
	ck_assert_uint_eq(buffers.n, 0);
}
END_TEST

/* Pages that are not there are left alone. */
START_TEST(test_untouched)
{
	put(0, 0);
	put(8, (90 * MIB) | 2);
	for (uint64_t i = 2 * MIB; i < 60 * MIB; i += 8)
		put(i, i + 0x3ff0000000000001);
	start();
	uint64_t before = plan.target_bytes;
	find();
	ck_assert_uint_eq(buffers.n, 1);
	check_buffer(0, 0, 90 * MIB);
	ck_assert_ptr_null(ph_plan_make(reader.pid, &maps, &no_modules, false, &plan));
	ck_assert_uint_eq(plan.target_bytes, before);
}
END_TEST

/* What has become another block meanwhile is copied. */
START_TEST(test_changed)
{
	block(0, 64 * MIB, false);
	find();
	ck_assert_uint_eq(buffers.n, 1);
	ck_assert_ptr_null(ph_buffers_check(&reader, &maps, &plan, &buffers));
	ck_assert_uint_eq(buffers.n, 1);
	sleeper_end(&reader);
	block(0, _i ? 64 * MIB : 60 * MIB, _i);
	start();
	ck_assert_ptr_null(ph_buffers_check(&reader, &maps, &plan, &buffers));
	ck_assert_uint_eq(buffers.n, 0);
}
END_TEST

START_TEST(test_ended)
{
	block(0, 64 * MIB, false);
	find();
	sleeper_kill();
	struct ph_err *err = ph_buffers_check(&reader, &maps, &plan, &buffers);
	ck_assert_int_eq(ph_err_code(err), PH_ERR_USAGE);
	ph_err_free(err);
}
END_TEST

Suite *buffers_suite(void)
{
	Suite *s = suite_create("buffers");
	TCase *t = tcase_create("buffers");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_blocks);
	tcase_add_test(t, test_skip);
	tcase_add_test(t, test_two_mappings);
	tcase_add_test(t, test_not_worth);
	tcase_add_test(t, test_one_reference);
	tcase_add_test(t, test_unaligned);
	tcase_add_loop_test(t, test_low_addresses, 31, 33);
	tcase_add_test(t, test_zeroes);
	tcase_add_loop_test(t, test_no_head, 0, 6);
	tcase_add_test(t, test_untouched);
	tcase_add_loop_test(t, test_changed, 0, 2);
	tcase_add_test(t, test_ended);
	suite_add_tcase(s, t);
	return s;
}
