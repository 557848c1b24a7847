/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why the kernel does not let us read a process: the rules of ptrace(2), "Ptrace
 * access mode checking", in the kernel's order, asked one by one. The kernel itself
 * says EPERM to all of them. */
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "process_priv.h"

#define SMALL_FILE (1u << 20)
#define CAP_SYS_PTRACE_BIT 19
#define MAX_NESTED 32 /* user namespaces: the kernel's own limit */

struct question {
	const char *root;
	pid_t pid, tid;
	char *status, *own;    /* /proc/PID/status, /proc/self/status */
	uint64_t uid, own_uid;  /* real ones, by which ptrace goes */
	bool may_ptrace;       /* we have CAP_SYS_PTRACE, and it counts there */
	bool outside;          /* it is not below our user namespace */
};

static char *file(const char *root, const char *path)
{
	char *whole ph_cleanup_free = ph_asprintf("%s%s", root, path);
	return whole ? ph_read_file(whole, SMALL_FILE, NULL) : NULL;
}

static char *task_file(const char *root, pid_t pid, pid_t tid, const char *name)
{
	char path[96];
	snprintf(path, sizeof path, "/proc/%d/task/%d/%s", (int)pid, (int)tid, name);
	return file(root, path);
}

pid_t ph_permission_tracer(const char *root, pid_t pid, pid_t tid)
{
	uint64_t tracer = 0;
	char *status ph_cleanup_free = task_file(root, pid, tid, "status");
	return status && ph_line_number(status, "TracerPid", 10, &tracer) ? (pid_t)tracer : 0;
}

static struct ph_err *traced(const struct question *q)
{
	char path[64];
	pid_t tracer = ph_permission_tracer(q->root, q->pid, q->tid);
	if (!tracer)
		return NULL;
	snprintf(path, sizeof path, "/proc/%d/comm", (int)tracer);
	char *name ph_cleanup_free = file(q->root, path);
	if (name)
		name[strcspn(name, "\n")] = '\0';
	return ph_err_hint(ph_err_new(PH_ERR_PERMISSION, "process %d is already traced by process %d (%s)",
				      (int)q->pid, (int)tracer, name ? name : "unknown"),
			   "a process can have one tracer: end that one first, or detach it");
}

static struct ph_err *other_user(const struct question *q)
{
	uint64_t gid, egid;
	if (q->may_ptrace)
		return NULL;
	if (q->uid != q->own_uid)
		return ph_err_hint(ph_err_new(PH_ERR_PERMISSION,
					      "process %d belongs to uid %u, pyheap runs as uid %u",
					      (int)q->pid, (unsigned)q->uid, (unsigned)q->own_uid),
				   "run pyheap as that user or as root: sudo pyheap …");
	if (ph_line_number(q->status, "Gid", 10, &gid) && ph_line_number(q->own, "Gid", 10, &egid) &&
	    gid != egid)
		return ph_err_hint(ph_err_new(PH_ERR_PERMISSION,
					      "process %d runs with gid %u, pyheap with gid %u",
					      (int)q->pid, (unsigned)gid, (unsigned)egid),
				   "run pyheap with that group (sg, newgrp) or as root: sudo pyheap …");
	return NULL;
}

/* Its files in /proc then belong to root. */
static struct ph_err *not_dumpable(const struct question *q)
{
	struct stat st;
	char *path ph_cleanup_free = ph_asprintf("%s/proc/%d/maps", q->root, (int)q->pid);
	if (q->may_ptrace || !path || stat(path, &st) < 0 || st.st_uid == q->uid)
		return NULL;
	return ph_err_hint(ph_err_new(PH_ERR_PERMISSION, "process %d is not dumpable: it changed its user ID, or "
				      "asked for it with prctl(PR_SET_DUMPABLE)", (int)q->pid),
			   "run pyheap as root: sudo pyheap …");
}

static struct ph_err *more_capable(const struct question *q)
{
	uint64_t theirs, ours;
	if (q->may_ptrace || !ph_line_number(q->status, "CapPrm", 16, &theirs) ||
	    !ph_line_number(q->own, "CapPrm", 16, &ours) || !(theirs & ~ours))
		return NULL;
	return ph_err_hint(ph_err_new(PH_ERR_PERMISSION, "process %d has capabilities that pyheap does not have",
				      (int)q->pid),
			   q->own_uid ? "run pyheap as root: sudo pyheap …"
				   : "run pyheap outside the container, or give it CAP_SYS_PTRACE "
				     "(docker run --cap-add SYS_PTRACE)");
}

static struct ph_err *yama(const struct question *q)
{
	char *text ph_cleanup_free = file(q->root, "/proc/sys/kernel/yama/ptrace_scope");
	int scope = text ? atoi(text) : 0;
	struct ph_err *err;
	if (scope <= 0 || (scope < 3 && q->may_ptrace))
		return NULL;
	err = ph_err_new(PH_ERR_PERMISSION, "process %d may not be read: kernel.yama.ptrace_scope is %d", (int)q->pid,
			 scope);
	if (scope >= 3)
		return ph_err_hint(err, "nobody may until the next boot; let the process dump core "
				   "(ulimit -c unlimited, kill -ABRT %d) and read that", (int)q->pid);
	return ph_err_hint(err, scope == 1 ? "run pyheap as root (sudo pyheap …), or allow it to all: "
					     "sudo sysctl kernel.yama.ptrace_scope=0"
					   : "run pyheap as root: sudo pyheap …");
}

/* Docker before Linux 4.8, or a profile of one's own. */
static struct ph_err *sandboxed(const struct question *q)
{
	uint64_t mode;
	if (!ph_line_number(q->own, "Seccomp", 10, &mode) || mode != 2)
		return NULL;
	return ph_err_hint(ph_err_new(PH_ERR_PERMISSION, "process %d may not be read: a seccomp filter holds pyheap",
				      (int)q->pid),
			   "run pyheap on the host, or the container with --cap-add SYS_PTRACE "
			   "--security-opt seccomp=unconfined");
}

static struct ph_err *other_namespace(const struct question *q)
{
	if (!q->outside)
		return NULL;
	return ph_err_hint(ph_err_new(PH_ERR_PERMISSION, "process %d is outside of the user namespace that pyheap is in",
				      (int)q->pid), "run pyheap outside of it: on the host, as root");
}

static struct ph_err *something_else(const struct question *q)
{
	struct ph_err *err = ph_err_new(PH_ERR_PERMISSION, "the system does not allow pyheap to read process %d",
					(int)q->pid);
	if (q->may_ptrace)
		return ph_err_hint(err, "it may be in another user namespace, or a security module (SELinux, "
				   "AppArmor) forbids it: run pyheap as root on the host, and look at dmesg");
	return ph_err_hint(err, "run pyheap as root on the host: sudo pyheap …; in a container it needs "
			   "CAP_SYS_PTRACE (docker run --cap-add SYS_PTRACE)");
}

/* ---- user namespaces ----------------------------------------------------------------- */

/* The first one maps all IDs to themselves. */
static bool in_first_user_namespace(const char *root)
{
	unsigned long inside, outside, n;
	char *map ph_cleanup_free = file(root, "/proc/self/uid_map");
	return !map || sscanf(map, "%lu %lu %lu", &inside, &outside, &n) != 3 || n == UINT32_MAX;
}

/* Whether fd, which is closed, is our user namespace or lies below it. */
static bool leads_to_ours(int fd)
{
	struct stat own, other;
	bool ours = false;
	for (int i = 0; fd >= 0 && i < MAX_NESTED && !ours; i++) {
		ours = !stat("/proc/self/ns/user", &own) && !fstat(fd, &other) && own.st_dev == other.st_dev &&
		       own.st_ino == other.st_ino;
		int parent = ours ? -1 : ioctl(fd, NS_GET_PARENT); /* none above the first; ours' own is not told */
		close(fd);
		fd = parent;
	}
	if (fd >= 0)
		close(fd);
	return ours;
}

bool ph_capabilities_count(const char *root, pid_t pid)
{
	char *path ph_cleanup_free = ph_asprintf("%s/proc/%d/ns/user", root, (int)pid);
	return in_first_user_namespace(root) || (path && leads_to_ours(open(path, O_RDONLY | O_CLOEXEC)));
}

/* ---- all rules ------------------------------------------------------------------------ */

/* The rules, and what there is to say where one of them is no obstacle: without and with
 * CAP_SYS_PTRACE. */
static const struct rule {
	const char *area, *fine, *above;
	struct ph_err *(*fn)(const struct question *q);
} rules[] = {
	{ "tracer", "nobody traces it", "nobody traces it", traced },
	{ "user", "it has pyheap's uid and gid", "CAP_SYS_PTRACE stands above uid and gid", other_user },
	{ "dumpable", "it is dumpable", "CAP_SYS_PTRACE stands above whether it is dumpable", not_dumpable },
	{ "capabilities", "it has none that pyheap lacks", "CAP_SYS_PTRACE stands above others", more_capable },
	{ "yama", "kernel.yama.ptrace_scope is 0, or there is no yama", "kernel.yama.ptrace_scope is below 3", yama },
	{ "seccomp", "no filter holds pyheap", "no filter holds pyheap", sandboxed },
	{ "user namespace", "it is pyheap's, or below it", "it is pyheap's, or below it", other_namespace },
};
enum { NRULES = sizeof rules / sizeof *rules };

static bool ask(const char *root, pid_t pid, pid_t tid, struct question *q)
{
	uint64_t caps = 0;
	*q = (struct question){
		.root = root,
		.pid = pid,
		.tid = tid,
		.status = task_file(root, pid, tid, "status"),
		.own = file(root, "/proc/self/status"),
	};
	if (!q->status || !q->own)
		return false;
	ph_line_number(q->status, "Uid", 10, &q->uid);
	ph_line_number(q->own, "Uid", 10, &q->own_uid);
	ph_line_number(q->own, "CapEff", 16, &caps);
	q->outside = !ph_capabilities_count(root, pid);
	q->may_ptrace = caps >> CAP_SYS_PTRACE_BIT & 1 && !q->outside;
	return true;
}

static void question_deinit(struct question *q)
{
	free(q->status);
	free(q->own);
}

struct ph_err *ph_permission_denied(const char *root, pid_t pid, pid_t tid)
{
	struct ph_err *err = NULL;
	struct question q;
	if (!ask(root, pid, tid, &q))
		err = ph_process_ended(pid);
	for (size_t i = 0; !err && i < NRULES; i++)
		err = rules[i].fn(&q);
	if (!err)
		err = something_else(&q);
	question_deinit(&q);
	return err;
}

bool ph_permission_examine(const char *root, pid_t pid, bool readable, struct ph_findings *ret)
{
	struct question q;
	bool obstacle = false;
	if (ask(root, pid, pid, &q))
		ph_find(ret, PH_HEALTH_INFO, "user", "pyheap runs as uid %u with%s CAP_SYS_PTRACE, the process as uid %u",
			(unsigned)q.own_uid, q.may_ptrace ? "" : "out", (unsigned)q.uid);
	for (size_t i = 0; q.status && q.own && i < NRULES; i++) {
		struct ph_err *err = rules[i].fn(&q);
		/* the kernel has the last word, but for a tracer: it is not in the way of reading, but of stopping */
		if (err && readable && rules[i].fn != traced)
			ph_find(ret, PH_HEALTH_INFO, rules[i].area, "%s: but it can be read all the same", ph_err_message(err));
		else if (err)
			ph_find(ret, PH_HEALTH_PROBLEM, rules[i].area, "%s", ph_err_message(err));
		else
			ph_find(ret, PH_HEALTH_OK, rules[i].area, "%s", q.may_ptrace ? rules[i].above : rules[i].fine);
		if (err && rules[i].fn == traced)
			ph_advise_command(ret, true, "kill %d", (int)ph_permission_tracer(root, pid, pid));
		if (err && rules[i].fn == yama && !strstr(ph_err_message(err), "is 3"))
			ph_advise_command(ret, true, "sysctl kernel.yama.ptrace_scope=0");
		obstacle |= err && rules[i].fn != traced;
		ph_err_free(err);
	}
	question_deinit(&q);
	return obstacle;
}
