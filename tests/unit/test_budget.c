/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory limits, read from faked /proc and /sys: cgroup v1 and v2. */
#include <check.h>
#include <stdio.h>
#include <sys/resource.h>
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
	struct ph_headroom room = ph_headroom_now(root);
	ck_assert_msg(room.limit && strstr(room.limit, limit_has), "limit: %s", room.limit ? room.limit : "none");
	free(room.limit);
	return room.bytes;
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
	struct ph_headroom room = ph_headroom_now(root);
	ck_assert_uint_eq(room.bytes, UINT64_MAX);
	ck_assert_ptr_null(room.limit);
	ck_assert_ptr_null(ph_budget_check(root, 77, 1ull << 40, 0, false)); /* nothing known: no limit */
}
END_TEST

/* Where running out of memory ends the whole cgroup, the target with it, the estimate
 * is the worst case. */
START_TEST(test_v2_kills_all)
{
	put("/proc/self/mountinfo", V2_MOUNT);
	put("/proc/self/cgroup", "0::/a\n");
	put("/sys/fs/cgroup/a/memory.max", "1073741824\n");
	put("/sys/fs/cgroup/a/memory.current", "0\n");
	put("/sys/fs/cgroup/a/memory.oom.group", "0\n");
	ck_assert_ptr_null(ph_budget_check(root, 77, 400ull << 20, 0, false));
	ck_assert_ptr_null(ph_budget_check(root, 77, 1024ull << 20, 0, true));
	put("/sys/fs/cgroup/a/memory.oom.group", "1\n");
	for (int low_memory = 0; low_memory < 2; low_memory++) {
		struct ph_err *err = ph_budget_check(root, 77, low_memory ? 1024ull << 20 : 400ull << 20, 0, low_memory);
		ck_assert_ptr_nonnull(err);
		ph_err_free(err);
	}
	ck_assert_ptr_null(ph_budget_check(root, 77, 300ull << 20, 0, false));
}
END_TEST

/* v1 says what all groups above allow, also those that a container cannot see. */
START_TEST(test_v1_hidden_parent)
{
	put("/proc/self/mountinfo", "32 25 0:28 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
	put("/proc/self/cgroup", "4:cpu,memory:/docker/x\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "150000000\n");
	put("/sys/fs/cgroup/memory/memory.stat", "cache 1\nhierarchical_memory_limit 400000000\n");
	ck_assert_uint_eq(available("above /sys/fs/cgroup/memory"), 250000000);
}
END_TEST

/* Both versions at once, as systemd's hybrid: the memory controller is in one. */
START_TEST(test_hybrid)
{
	put("/proc/self/mountinfo",
	    "32 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	    "33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
	put("/proc/self/cgroup", "4:memory:/a\n0::/system.slice/x.service\n");
	put("/sys/fs/cgroup/unified/system.slice/x.service/cgroup.procs", "1\n");
	put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "300000000\n");
	put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "100000000\n");
	ck_assert_uint_eq(available("/memory/a/memory.limit_in_bytes"), 200000000);
}
END_TEST

/* "/docker/xy" is not below "/docker/x"; and mount points may hold spaces. */
START_TEST(test_names)
{
	put("/proc/self/mountinfo", "30 25 0:26 /docker/x /sys/fs/c\\040g rw - cgroup2 cgroup2 rw\n");
	put("/proc/self/cgroup", "0::/docker/xy\n");
	put("/sys/fs/c g/memory.max", "500000000\n");
	put("/sys/fs/c g/memory.current", "100000000\n");
	put("/sys/fs/c g/y/memory.max", "1\n");
	put("/sys/fs/c g/y/memory.current", "1\n");
	ck_assert_uint_eq(available("/sys/fs/c g/memory.max"), 400000000);
}
END_TEST

START_TEST(test_overcommit)
{
	put("/proc/meminfo", "MemAvailable:    8000000 kB\nCommitLimit:     5000000 kB\nCommitted_AS:    4000000 kB\n");
	put("/proc/sys/vm/overcommit_memory", "0\n");
	ck_assert_uint_eq(available("MemAvailable"), 8000000ull * 1024);
	put("/proc/sys/vm/overcommit_memory", "2\n");
	ck_assert_uint_eq(available("overcommit"), 1000000ull * 1024);
}
END_TEST

/* Limits so high that the test itself does not meet them. */
START_TEST(test_ulimit)
{
	struct rlimit lim = { .rlim_cur = 1ull << 50, .rlim_max = RLIM_INFINITY };
	char *statm = ph_asprintf("%llu 10 10 1 0 %llu 0\n", ((1ull << 50) - (2ull << 30)) / 4096,
				  ((1ull << 50) - (1ull << 30)) / 4096);
	put("/proc/self/statm", statm);
	free(statm);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &lim), 0);
	ck_assert_uint_eq(available("ulimit -v"), 2ull << 30);
	ck_assert_int_eq(setrlimit(RLIMIT_DATA, &lim), 0);
	ck_assert_uint_eq(available("ulimit -d"), 1ull << 30);
}
END_TEST

/* A refusal says what is needed, what there is, what sets the limit, and three ways out. */
START_TEST(test_refusal)
{
	put("/proc/meminfo", "MemAvailable:    1048576 kB\n");
	ck_assert_uint_gt(ph_budget_needed(1ull << 30, false, false), 2ull << 30);
	ck_assert_uint_lt(ph_budget_needed(1ull << 30, true, false), 1ull << 30);
	ck_assert_ptr_null(ph_budget_check(root, 77, 400ull << 20, 0, false));
	struct ph_err *err = ph_budget_check(root, 77, 600ull << 20, 0, false);
	ck_assert_ptr_nonnull(err);
	ck_assert_int_eq(ph_err_code(err), PH_ERR_REFUSED);
	static const char *const message[] = { "process 77", "1382 MiB", "600 MiB", "1024 MiB", "MemAvailable" };
	for (size_t i = 0; i < 5; i++)
		ck_assert_msg(strstr(ph_err_message(err), message[i]), "%s", ph_err_message(err));
	static const char *const hint[] = { "outside the container", "--low-memory", "gcore 77" };
	for (size_t i = 0; i < 3; i++)
		ck_assert_msg(strstr(ph_err_hint_text(err), hint[i]), "%s", ph_err_hint_text(err));
	ph_err_free(err);
	/* what the same run holds already counts as there */
	ck_assert_ptr_null(ph_budget_check(root, 77, 600ull << 20, 400ull << 20, false));
	ck_assert_ptr_null(ph_budget_check(root, 77, 600ull << 20, 0, true));
	err = ph_budget_check(root, 77, 1ull << 40, 0, true);
	ck_assert_ptr_nonnull(err);
	ck_assert_ptr_null(strstr(ph_err_hint_text(err), "--low-memory"));
	ph_err_free(err);
}
END_TEST

START_TEST(test_windows)
{
	put("/proc/meminfo", "MemAvailable:    2097152 kB\n");
	ck_assert_uint_eq(ph_budget_windows(root), 512ull << 20);
	put("/proc/meminfo", "MemAvailable:    1024 kB\n");
	ck_assert_uint_eq(ph_budget_windows(root), 128ull << 20);
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
	tcase_add_test(t, test_v2_kills_all);
	tcase_add_test(t, test_v1_hidden_parent);
	tcase_add_test(t, test_hybrid);
	tcase_add_test(t, test_names);
	tcase_add_test(t, test_overcommit);
	tcase_add_test(t, test_ulimit);
	tcase_add_test(t, test_refusal);
	tcase_add_test(t, test_windows);
	suite_add_tcase(s, t);
	return s;
}
