/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which rule forbids reading a process, on a faked /proc: yama and containers are not
 * on every machine. */
#include <check.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "target/process_priv.h"

Suite *permission_suite(void);

#define CAP_SYS_PTRACE "0000000000080000"
#define NO_CAPS "0000000000000000"

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
	strcpy(root, "/tmp/pyheap-permission-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}
static void teardown(void)
{
	char cmd[128];
	snprintf(cmd, sizeof cmd, "rm -rf %s", root);
	ck_assert_int_eq(system(cmd), 0);
}

struct fake {
	unsigned uid, gid, tracer, seccomp;
	const char *permitted, *effective;
};

static void put_status(const char *path, struct fake f)
{
	char *text = ph_asprintf("Name:\tp\nTgid:\t77\nTracerPid:\t%u\nUid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n"
				 "CapPrm:\t%s\nCapEff:\t%s\nSeccomp:\t%u\n",
				 f.tracer, f.uid, f.uid, f.uid, f.uid, f.gid, f.gid, f.gid, f.gid, f.permitted,
				 f.effective, f.seccomp);
	put(path, text);
	free(text);
}

/* The files of the fake belong to whoever runs the test, as those of a process that
 * is dumpable belong to its user. */
static struct fake mine(void)
{
	return (struct fake){ getuid(), getgid(), 0, 0, NO_CAPS, NO_CAPS };
}

static void asked(struct fake target, struct fake self, const char *message, const char *hint)
{
	put_status("/proc/77/task/77/status", target);
	put("/proc/77/maps", "");
	put_status("/proc/self/status", self);
	struct ph_err *err = ph_permission_denied(root, 77, 77);
	ck_assert_int_eq(ph_err_code(err), PH_ERR_PERMISSION);
	ck_assert_msg(strstr(ph_err_message(err), message), "%s", ph_err_message(err));
	ck_assert_msg(strstr(ph_err_message(err), "77"), "%s", ph_err_message(err));
	ck_assert_msg(strstr(ph_err_hint_text(err), hint), "%s", ph_err_hint_text(err));
	ph_err_free(err);
}

START_TEST(test_traced)
{
	struct fake target = mine();
	target.tracer = 99;
	put("/proc/99/comm", "gdb\n");
	asked(target, mine(), "by process 99 (gdb)", "detach");
	ck_assert_int_eq(ph_permission_tracer(root, 77, 77), 99);
}
END_TEST

START_TEST(test_other_user)
{
	struct fake target = mine();
	target.uid += 1;
	asked(target, mine(), "belongs to uid", "sudo pyheap");
	target = mine();
	target.gid += 1;
	asked(target, mine(), "gid", "sudo pyheap");
}
END_TEST

START_TEST(test_not_dumpable)
{
	struct fake both = mine();
	both.uid += 1; /* so that its files are another's */
	asked(both, both, "not dumpable", "sudo pyheap");
}
END_TEST

START_TEST(test_capabilities)
{
	struct fake target = mine();
	target.permitted = CAP_SYS_PTRACE;
	asked(target, mine(), "capabilities", getuid() ? "sudo pyheap" : "SYS_PTRACE");
}
END_TEST

START_TEST(test_yama)
{
	struct fake capable = mine();
	capable.permitted = capable.effective = CAP_SYS_PTRACE;
	put("/proc/sys/kernel/yama/ptrace_scope", "1\n");
	asked(mine(), mine(), "ptrace_scope is 1", "sysctl kernel.yama.ptrace_scope=0");
	put("/proc/sys/kernel/yama/ptrace_scope", "2\n");
	asked(mine(), mine(), "ptrace_scope is 2", "root");
	asked(mine(), capable, "does not allow", "security module");
	put("/proc/sys/kernel/yama/ptrace_scope", "3\n");
	asked(mine(), capable, "ptrace_scope is 3", "kill -ABRT 77");
	put("/proc/sys/kernel/yama/ptrace_scope", "0\n");
	asked(mine(), mine(), "does not allow", "SYS_PTRACE");
}
END_TEST

START_TEST(test_seccomp)
{
	struct fake self = mine();
	self.seccomp = 2;
	asked(mine(), self, "seccomp", "--cap-add SYS_PTRACE");
}
END_TEST

START_TEST(test_gone)
{
	put_status("/proc/self/status", mine());
	struct ph_err *err = ph_permission_denied(root, 77, 77);
	ck_assert_int_eq(ph_err_code(err), PH_ERR_USAGE);
	ph_err_free(err);
	ck_assert_int_eq(ph_permission_tracer(root, 77, 77), 0);
}
END_TEST

Suite *permission_suite(void)
{
	Suite *s = suite_create("permission");
	TCase *t = tcase_create("faked files");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_traced);
	tcase_add_test(t, test_other_user);
	tcase_add_test(t, test_not_dumpable);
	tcase_add_test(t, test_capabilities);
	tcase_add_test(t, test_yama);
	tcase_add_test(t, test_seccomp);
	tcase_add_test(t, test_gone);
	suite_add_tcase(s, t);
	return s;
}
