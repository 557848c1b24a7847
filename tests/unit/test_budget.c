/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory limits, read from faked /proc and /sys: cgroup v1 and v2. */
#include <check.h>
#include <stdio.h>
#include <sys/stat.h>
#include "target/process_priv.h"

static char root[64];

static void put(const char *path, const char *text)
{
	char full[512];
	snprintf(full, sizeof full, "%s%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(full, 0700);
		*p = '/';
	}
	FILE *f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void setup(void)
{
	strcpy(root, "/tmp/pyheap-budget-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	put("/proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n");
}
static void teardown(void)
{
	char cmd[128];
	snprintf(cmd, sizeof cmd, "rm -rf %s", root);
	ck_assert_int_eq(system(cmd), 0);
}

static uint64_t available(const char *limit_has)
{
	char *limit;
	uint64_t n = ph_budget_available(root, &limit);
	ck_assert_msg(limit && strstr(limit, limit_has), "limit: %s", limit ? limit : "none");
	free(limit);
	return n;
}

START_TEST(test_machine)
{
	ck_assert_uint_eq(available("machine"), 8000000ull * 1024);
}
END_TEST

#define V2_MOUNT "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"

START_TEST(test_v2_nested)
{
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/proc/self/cgroup", "0::/a/b\n");
	put("/sys/fs/cgroup/a/memory.max", "1000000000\n");
	put("/sys/fs/cgroup/a/memory.current", "400000000\n");
	put("/sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 100000000\nactive_file 5\n");
	put("/sys/fs/cgroup/a/b/memory.max", "max\n");
	put("/sys/fs/cgroup/a/b/memory.current", "300000000\n");
	/* the parent's limit binds; cache that can go is not in the way */
	ck_assert_uint_eq(available("/sys/fs/cgroup/a/memory.max"), 700000000);
}
END_TEST

START_TEST(test_v2_high)
{
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/proc/self/cgroup", "0::/a\n");
	put("/sys/fs/cgroup/a/memory.max", "1000000000\n");
	put("/sys/fs/cgroup/a/memory.high", "600000000\n");
	put("/sys/fs/cgroup/a/memory.current", "500000000\n");
	ck_assert_uint_eq(available("memory.high"), 100000000);
}
END_TEST

START_TEST(test_v2_over_its_limit)
{
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/proc/self/cgroup", "0::/a\n");
	put("/sys/fs/cgroup/a/memory.high", "600000000\n");
	put("/sys/fs/cgroup/a/memory.current", "700000000\n");
	ck_assert_uint_eq(available("memory.high"), 0);
}
END_TEST

/* In a container with its own cgroup namespace the mount's root is our group. */
START_TEST(test_v2_container)
{
	put("/proc/self/mountinfo", "30 25 0:26 /docker/x /sys/fs/cgroup ro shared:4 - cgroup2 cgroup rw\n");
	put("/proc/self/cgroup", "0::/docker/x/inner\n");
	put("/sys/fs/cgroup/memory.max", "500000000\n");
	put("/sys/fs/cgroup/memory.current", "100000000\n");
	ck_assert_uint_eq(available("/sys/fs/cgroup/memory.max"), 400000000);
}
END_TEST

START_TEST(test_v1)
{
	put("/proc/self/mountinfo",
	    "31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	    "32 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
	put("/proc/self/cgroup", "5:cpu:/elsewhere\n4:memory:/job\n0::/\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "5000000000\n");
	put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "200000000\n");
	put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "150000000\n");
	put("/sys/fs/cgroup/memory/job/memory.stat", "cache 1\ntotal_inactive_file 50000000\n");
	ck_assert_uint_eq(available("/job/memory.limit_in_bytes"), 100000000);
}
END_TEST

START_TEST(test_broken_files)
{
	put("/proc/self/mountinfo", "garbage\n\n - cgroup2\n1 2 3 4\n");
	put("/proc/self/cgroup", "no colons\n:\n::\n");
	put("/proc/meminfo", "MemAvailable\nMemAvailable: many\n");
	char *limit;
	ck_assert_uint_ge(ph_budget_available(root, &limit), 1); /* nothing known: no limit */
	free(limit);
}
END_TEST

START_TEST(test_needed_grows_with_the_copy)
{
	ck_assert_uint_gt(ph_budget_needed(1 << 30), 2u << 30);
	struct ph_err *err = ph_budget_check("x", 1ull << 50);
	ck_assert_ptr_nonnull(err);
	ck_assert_int_eq(ph_err_code(err), PH_ERR_REFUSED);
	ck_assert_ptr_nonnull(strstr(ph_err_hint_text(err), "--low-memory"));
	ph_err_free(err);
	ck_assert_ptr_null(ph_budget_check("x", 1));
}
END_TEST

Suite *budget_suite(void);
Suite *budget_suite(void)
{
	Suite *s = suite_create("budget");
	TCase *t = tcase_create("faked files");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_machine);
	tcase_add_test(t, test_v2_nested);
	tcase_add_test(t, test_v2_high);
	tcase_add_test(t, test_v2_over_its_limit);
	tcase_add_test(t, test_v2_container);
	tcase_add_test(t, test_v1);
	tcase_add_test(t, test_broken_files);
	tcase_add_test(t, test_needed_grows_with_the_copy);
	suite_add_tcase(s, t);
	return s;
}
