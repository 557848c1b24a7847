/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Will a copy fit? Asked before the target is stopped: people look at a process
 * because it is near its memory limit, and we may be inside the same one.
 * Facts: Documentation/admin-guide/cgroup-v{1,2}, proc(5). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#include "process_priv.h"

#define SMALL_FILE (1u << 20)
#define RESERVE (32ull << 20) /* for layout, code, libraries */

/* The graph takes about as much as the heap it describes: an object of 60 to 100
 * bytes costs about 50 in arrays, 12 in edges, 3 in the index, and the dominator
 * tree 24. */
uint64_t ph_budget_needed(uint64_t copy)
{
	return copy + copy + RESERVE;
}

struct budget {
	const char *root;
	uint64_t least;
	char *limit; /* what set it */
};

static void limit_set(struct budget *b, uint64_t bytes, const char *what)
{
	if (bytes >= b->least)
		return;
	b->least = bytes;
	free(b->limit);
	b->limit = strdup(what);
}

static char *file_read(const struct budget *b, const char *dir, const char *name)
{
	char *path ph_cleanup_free = ph_asprintf("%s%s%s", b->root, dir, name);
	return path ? ph_read_file(path, SMALL_FILE, NULL) : NULL;
}

/* The number behind "key" at the start of a line; false when it is not there. */
static bool number_after(const char *text, const char *key, uint64_t *ret)
{
	size_t n = strlen(key);
	for (const char *line = text; line && *line;) {
		if (!strncmp(line, key, n) && (line[n] == ' ' || line[n] == ':'))
			return sscanf(line + n + 1, "%" SCNu64, ret) == 1;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return false;
}

static bool number_in(const struct budget *b, const char *dir, const char *name, uint64_t *ret)
{
	char *text ph_cleanup_free = file_read(b, dir, name);
	return text && sscanf(text, "%" SCNu64, ret) == 1; /* "max" is no number */
}

/* What one cgroup leaves: its limit, less what it uses, but for cache that can go. */
static void cgroup_look(struct budget *b, const char *dir, bool v2)
{
	static const char *const limits[2][2] = { { "/memory.limit_in_bytes", NULL }, { "/memory.max", "/memory.high" } };
	uint64_t usage, limit, cache = 0;
	char *stat ph_cleanup_free = file_read(b, dir, "/memory.stat");
	if (!number_in(b, dir, v2 ? "/memory.current" : "/memory.usage_in_bytes", &usage))
		return;
	if (stat && !number_after(stat, v2 ? "inactive_file" : "total_inactive_file", &cache))
		cache = 0;
	usage = usage > cache ? usage - cache : 0;
	for (int i = 0; i < 2; i++) {
		if (!limits[v2][i] || !number_in(b, dir, limits[v2][i], &limit))
			continue;
		char *what ph_cleanup_free = ph_asprintf("the cgroup limit %s%s", dir, limits[v2][i]);
		limit_set(b, limit > usage ? limit - usage : 0, what ? what : "a cgroup limit");
	}
}

/* A cgroup and all above it. */
static void cgroup_walk(struct budget *b, const char *mount, const char *group, bool v2)
{
	char *dir ph_cleanup_free = ph_asprintf("%s%s", mount, strcmp(group, "/") ? group : "");
	size_t top = strlen(mount);
	while (dir && strlen(dir) >= top) {
		cgroup_look(b, dir, v2);
		char *slash = strrchr(dir, '/');
		if (!slash || strlen(dir) == top)
			return;
		*slash = '\0';
	}
}

/* Where a cgroup hierarchy is mounted and what of it is (root, mount point). */
static bool cgroup_mount(const char *mountinfo, bool v2, char root[512], char point[512])
{
	for (const char *line = mountinfo; line && *line;) {
		const char *end = strchrnul(line, '\n'), *dash = strstr(line, " - ");
		char type[64], source[256], options[512];
		if (dash && dash < end &&
		    sscanf(line, "%*d %*d %*s %511s %511s", root, point) == 2 &&
		    sscanf(dash + 3, "%63s %255s %511s", type, source, options) == 3) {
			bool v1 = !strcmp(type, "cgroup") &&
				  (!strcmp(options, "memory") || strstr(options, ",memory") || !strncmp(options, "memory,", 7));
			if (v2 ? !strcmp(type, "cgroup2") : v1)
				return true;
		}
		line = *end ? end + 1 : NULL;
	}
	return false;
}

/* Our group: "0::/path" for v2, "N:…memory…:/path" for v1. */
static bool own_group(const char *cgroup, bool v2, char path[512])
{
	for (const char *line = cgroup; line && *line;) {
		char controllers[256] = "";
		const char *end = strchrnul(line, '\n');
		const char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL;
		if (second && second < end) {
			snprintf(controllers, sizeof controllers, ",%.*s,", (int)(second - first - 1), first + 1);
			snprintf(path, 512, "%.*s", (int)(end - second - 1), second + 1);
			if (v2 ? !strcmp(controllers, ",,") : strstr(controllers, ",memory,") != NULL)
				return true;
		}
		line = *end ? end + 1 : NULL;
	}
	return false;
}

static void cgroups_look(struct budget *b)
{
	char *mountinfo ph_cleanup_free = file_read(b, "/proc/self", "/mountinfo");
	char *cgroup ph_cleanup_free = file_read(b, "/proc/self", "/cgroup");
	for (int v2 = 0; v2 < 2; v2++) {
		char root[512], point[512], group[512];
		if (!cgroup_mount(mountinfo, v2, root, point) || !own_group(cgroup, v2, group))
			continue;
		/* inside a container the mount shows our part of the tree as its top */
		size_t n = strcmp(root, "/") ? strlen(root) : 0;
		cgroup_walk(b, point, strncmp(group, root, n) ? "/" : group[n] ? group + n : "/", v2);
	}
}

static void address_space_look(struct budget *b)
{
	struct rlimit lim;
	uint64_t pages;
	char *statm ph_cleanup_free = file_read(b, "/proc/self", "/statm");
	if (getrlimit(RLIMIT_AS, &lim) || lim.rlim_cur == RLIM_INFINITY || !statm ||
	    sscanf(statm, "%" SCNu64, &pages) != 1)
		return;
	uint64_t used = pages * PH_PAGE;
	limit_set(b, lim.rlim_cur > used ? lim.rlim_cur - used : 0, "the limit on address space (ulimit -v)");
}

uint64_t ph_budget_available(const char *root, char **ret_limit)
{
	struct budget b = { .root = root, .least = UINT64_MAX };
	uint64_t kib;
	char *meminfo ph_cleanup_free = file_read(&b, "/proc", "/meminfo");
	if (meminfo && number_after(meminfo, "MemAvailable", &kib))
		limit_set(&b, kib * 1024, "the machine's available memory");
	cgroups_look(&b);
	address_space_look(&b);
	*ret_limit = b.limit;
	return b.least;
}

struct ph_err *ph_budget_check(const char *what, uint64_t copy)
{
	char *limit;
	uint64_t needed = ph_budget_needed(copy), available = ph_budget_available("", &limit);
	struct ph_err *err = NULL;
	if (needed > available)
		err = ph_err_hint(
			ph_err_new(PH_ERR_REFUSED,
				   "%s: reading it needs about %" PRIu64 " MiB, but %s leaves %" PRIu64 " MiB", what,
				   needed >> 20, limit ? limit : "a limit", available >> 20),
			"run pyheap outside the container's cgroup, or with --low-memory (the target then stands "
			"still until the end), or take a core (gcore) and read it on another machine");
	free(limit);
	return err;
}

void ph_budget_volunteer(void)
{
	int fd ph_cleanup_close = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1000", 4) < 0)
		return; /* then the kernel chooses as it likes */
}
