/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `doctor` asks about a target: permissions, namespaces, memory; what is missing. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "process_priv.h"

#define MAX_LISTED 20  /* files */

/* ---- namespaces ------------------------------------------------------------------------ */

/* −1: not to be told. */
static int same_namespace(pid_t pid, const char *name)
{
	struct stat own, other;
	char path[64];
	snprintf(path, sizeof path, "/proc/self/ns/%s", name);
	if (stat(path, &own))
		return -1;
	snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, name);
	if (stat(path, &other))
		return -1;
	return own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

static void examine_namespaces(pid_t pid, struct ph_findings *ret)
{
	static const struct { const char *name, *text; } kinds[] = {
		{ "pid", "another PID namespace: its own number for itself is another one" },
		{ "mnt", "another mount namespace: its files are read through /proc/PID/root and map_files" },
	};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (same_namespace(pid, kinds[i].name) == 0)
			ph_find(ret, PH_HEALTH_INFO, "namespaces", "it is in %s", kinds[i].text);
	if (same_namespace(pid, "user") == 0 && ph_capabilities_count("", pid))
		ph_find(ret, PH_HEALTH_INFO, "namespaces", "it is in another user namespace, in which pyheap's capabilities "
			"count, too");
}

/* ---- permission --------------------------------------------------------------------------- */

static bool can_read(pid_t pid)
{
	struct ph_reader reader = { .pid = pid, .mem_fd = -1 };
	bool can = !ph_reader_open(&reader);
	if (reader.mem_fd >= 0)
		close(reader.mem_fd);
	return can;
}

static bool is_container(void)
{
	return !access("/.dockerenv", F_OK) || !access("/run/.containerenv", F_OK) || getenv("KUBERNETES_SERVICE_HOST");
}

/* The commands that give pyheap what it lacks. */
static void advise_privileges(pid_t pid, const char *self, struct ph_findings *ret)
{
	char name[256] = "CONTAINER";
	if (geteuid()) {
		ph_advise_command(ret, true, "%s top %d", self, (int)pid);
		ph_advise_command(ret, true, "setcap cap_sys_ptrace+ep %s", self);
	}
	if (!is_container())
		return;
	gethostname(name, sizeof name - 1);
	if (getenv("KUBERNETES_SERVICE_HOST"))
		ph_advise(ret, "on a machine with kubectl, from an image that has pyheap: kubectl debug -it %s --image=IMAGE "
			  "--target=CONTAINER --profile=sysadmin -- pyheap top 1", name);
	else
		ph_advise(ret, "on the host: docker exec -u 0 --privileged %s %s top %d", name, self, (int)pid);
}

static void examine_permission(pid_t pid, const char *self, struct ph_findings *ret)
{
	bool readable = can_read(pid);
	bool obstacle = ph_permission_examine("", pid, readable, ret);
	if (readable) {
		ph_find(ret, PH_HEALTH_OK, "permission", "its memory can be read");
		return;
	}
	if (obstacle)
		ph_find(ret, PH_HEALTH_PROBLEM, "permission", "its memory cannot be read");
	else
		ph_find(ret, PH_HEALTH_PROBLEM, "permission", "its memory cannot be read, and no rule of ptrace says why: a "
			"security module (SELinux, AppArmor) may forbid it, see dmesg; or it is in a user namespace "
			"that is not ours");
	advise_privileges(pid, self, ret);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Bytes of its own that a process has, as a capture would plan; 0 = not known. */
static uint64_t private_bytes(pid_t pid)
{
	char *status ph_cleanup_free = ph_proc_read(pid, "status", NULL);
	uint64_t anon = 0, swap = 0;
	if (!status || !ph_line_number(status, "RssAnon", 10, &anon))
		return 0;
	ph_line_number(status, "VmSwap", 10, &swap);
	return (anon + swap) << 10;
}

/* Out of our cgroup, to the root of those that we see. */
static void advise_cgroup(pid_t pid, const char *self, struct ph_findings *ret)
{
	static const char *const roots[] = { "/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/cgroup.procs" };
	for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
		if (access(roots[i], F_OK))
			continue;
		ph_advise_command(ret, true, "sh -c 'echo $$ >%s && exec %s top %d'", roots[i], self, (int)pid);
		break;
	}
	if (is_container())
		ph_advise(ret, "or run pyheap on the host, outside the container's cgroup");
}

static void examine_memory(pid_t pid, const char *self, struct ph_findings *ret)
{
	struct ph_headroom room = ph_headroom_now("");
	char *limit ph_cleanup_free = room.limit;
	uint64_t copy = private_bytes(pid), needed = ph_budget_needed(copy, false, room.kills_all);
	if (!copy || !limit) {
		ph_find(ret, PH_HEALTH_INFO, "memory", "how much it takes is not known");
		return;
	}
	bool fits = needed <= room.bytes;
	ph_find(ret, fits ? PH_HEALTH_OK : PH_HEALTH_PROBLEM, "memory", "it has %" PRIu64 " MiB of its own; reading it takes "
		"about %" PRIu64 " MiB, %s leaves %" PRIu64 " MiB", copy >> 20, needed >> 20, limit, room.bytes >> 20);
	if (fits)
		return;
	if (strstr(limit, "cgroup"))
		advise_cgroup(pid, self, ret);
	if (strstr(limit, "ulimit -v"))
		ph_advise_command(ret, false, "ulimit -v unlimited");
	else if (strstr(limit, "ulimit -d"))
		ph_advise_command(ret, false, "ulimit -d unlimited");
	if (ph_budget_needed(copy, true, room.kills_all) <= room.bytes)
		ph_advise_command(ret, false, "%s top --low-memory %d", self, (int)pid);
	ph_advise_command(ret, false, "gcore -o core %d", (int)pid);
}

void ph_target_examine(pid_t pid, const char *self, struct ph_findings *ret)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	/* of what has ended nothing is left to ask about */
	if (access(path, F_OK) || strchr("ZX", ph_proc_state(pid, pid)))
		return;
	examine_permission(pid, self, ret);
	examine_namespaces(pid, ret);
	examine_memory(pid, self, ret);
}

/* ---- what is missing ---------------------------------------------------------------------------- */

void ph_target_completeness(const struct ph_target *target, const struct ph_notes *notes, struct ph_findings *ret)
{
	size_t missing = 0;
	for (size_t i = 0; i < target->nmodules; i++) {
		const struct ph_module *m = &target->modules[i];
		if (m->open_path || missing++ >= MAX_LISTED)
			continue;
		char *id ph_cleanup_free = ph_module_build_id(m);
		ph_find(ret, PH_HEALTH_WARNING, "files", "%s (build-id %s) was not found", *m->path ? m->path : "a file",
			id ? id : "not in the core");
		ph_advise(ret, "where it is say --sysroot DIR (a whole file system) or --lib-search-path DIR%s",
			  id ? "" : ", or --exe FILE of the program");
	}
	if (missing > MAX_LISTED)
		ph_find(ret, PH_HEALTH_WARNING, "files", "and %zu more were not found", missing - MAX_LISTED);
	if (!missing)
		ph_find(ret, PH_HEALTH_OK, "files", "all %zu programs and libraries that it has mapped are there",
			target->nmodules);
	for (int i = 0; i < PH_NOTE_KINDS; i++)
		if (notes->kind[i].count && i != PH_NOTE_MISSING_FILE)
			ph_find(ret, ph_note_incomplete((enum ph_note_kind)i) ? PH_HEALTH_WARNING : PH_HEALTH_INFO, "completeness",
				"%" PRIu64 ": %s", notes->kind[i].count, ph_note_text((enum ph_note_kind)i));
	if (target->lost_bytes)
		ph_find(ret, PH_HEALTH_WARNING, "completeness", "%" PRIu64 " KiB that were dumped are missing: the core is cut off",
			target->lost_bytes >> 10);
	if (target->lost_bytes || notes->kind[PH_NOTE_TRUNCATED_CORE].count)
		ph_advise(ret, "for the next one: ulimit -c unlimited, and look for free disk space");
}
