/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Will it fit? Asked before the target is stopped: people look at a process because
 * it is near its memory limit, and we may be inside the same one. Facts: proc(5). */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#include "process_priv.h"

#define SMALL_FILE (1u << 20)
#define FIXED (32ull << 20)         /* layout, libraries, output */
#define WINDOWS_MIN (128ull << 20)  /* the pager's own least */
#define WINDOWS_MAX (1024ull << 20)

/* What graph and analyses take, in quarters of the heap. How many objects it holds is
 * not known before they are counted; measured on 3.11: 0 for a heap of large buffers; of one
 * of strings, dicts, lists and instances `top` takes 1½ to 3, `cycles` 1½ to 4, `why` and
 * `top --by path` 3 to 6, the most where all objects are small.
 * Under --low-memory the user knows that it is tight, and a refusal would leave little
 * to try. Being wrong costs pyheap its life, which it has offered, and no one else's,
 * but where the kernel then ends all of the cgroup. */
#define QUARTERS 5
#define QUARTERS_LOW_MEMORY 1
#define QUARTERS_SAFE 8

uint64_t ph_budget_needed(uint64_t copy, bool low_memory, bool kills_all)
{
	unsigned quarters = kills_all ? QUARTERS_SAFE : low_memory ? QUARTERS_LOW_MEMORY : QUARTERS;
	return FIXED + copy / 4 * quarters + (low_memory ? WINDOWS_MIN : copy);
}

void ph_headroom_lower(struct ph_headroom *room, uint64_t bytes, const char *limit)
{
	if (room->limit && bytes >= room->bytes)
		return;
	char *copy = strdup(limit);
	if (!copy)
		return;
	free(room->limit);
	room->limit = copy;
	room->bytes = bytes;
}

static char *file(const char *root, const char *path)
{
	char *whole ph_cleanup_free = ph_asprintf("%s%s", root, path);
	return whole ? ph_read_file(whole, SMALL_FILE, NULL) : NULL;
}

static void look_at_machine(const char *root, struct ph_headroom *room)
{
	uint64_t available, limit, used;
	char *meminfo ph_cleanup_free = file(root, "/proc/meminfo");
	char *overcommit ph_cleanup_free = file(root, "/proc/sys/vm/overcommit_memory");
	if (meminfo && ph_line_number(meminfo, "MemAvailable", 10, &available))
		ph_headroom_lower(room, available << 10, "the machine (MemAvailable)");
	if (meminfo && overcommit && atoi(overcommit) == 2 &&
	    ph_line_number(meminfo, "CommitLimit", 10, &limit) &&
	    ph_line_number(meminfo, "Committed_AS", 10, &used))
		ph_headroom_lower(room, limit > used ? (limit - used) << 10 : 0,
				  "the machine (vm.overcommit_memory=2)");
}

/* Our own limits, which ulimit sets. statm: size, resident, shared, text, lib, data. */
static void look_at_process(const char *root, struct ph_headroom *room)
{
	static const struct {
		int resource, word;
		const char *name;
	} limits[] = {
		{ RLIMIT_AS, 0, "the limit on address space (ulimit -v)" },
		{ RLIMIT_DATA, 5, "the limit on data (ulimit -d)" },
	};
	uint64_t pages[6];
	char *statm ph_cleanup_free = file(root, "/proc/self/statm");
	if (!statm || sscanf(statm, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
			     &pages[0], &pages[1], &pages[2], &pages[3], &pages[4], &pages[5]) != 6)
		return;
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		struct rlimit lim;
		uint64_t used = pages[limits[i].word] * PH_PAGE;
		if (getrlimit(limits[i].resource, &lim) || lim.rlim_cur == RLIM_INFINITY)
			continue;
		ph_headroom_lower(room, lim.rlim_cur > used ? lim.rlim_cur - used : 0, limits[i].name);
	}
}

struct ph_headroom ph_headroom_now(const char *root)
{
	struct ph_headroom room = { .bytes = UINT64_MAX };
	look_at_machine(root, &room);
	ph_headroom_cgroups(root, &room);
	look_at_process(root, &room);
	return room;
}

struct ph_err *ph_budget_check(const char *root, pid_t pid, uint64_t copy, uint64_t held,
			       bool low_memory)
{
	struct ph_headroom room = ph_headroom_now(root);
	char *limit ph_cleanup_free = room.limit;
	uint64_t needed = ph_budget_needed(copy, low_memory, room.kills_all);
	if (!limit || needed <= room.bytes || needed - room.bytes <= held)
		return NULL;
	struct ph_err *err = ph_err_new(PH_ERR_REFUSED, "reading process %d takes about %" PRIu64 " MiB (it has %" PRIu64
					" MiB of its own), and %s leaves %" PRIu64 " MiB", (int)pid, needed >> 20,
					copy >> 20, limit, (room.bytes + held) >> 20);
	return ph_err_hint(err, "run pyheap outside the container's cgroup; %sor take a core (gcore %d) and read "
			   "it on a larger machine",
			   low_memory ? "" : "or use --low-memory (the target stands still until the end); ",
			   (int)pid);
}

uint64_t ph_budget_windows(const char *root)
{
	struct ph_headroom room = ph_headroom_now(root);
	char *limit ph_cleanup_free = room.limit;
	if (!limit || room.bytes / 4 < WINDOWS_MIN)
		return WINDOWS_MIN;
	return room.bytes / 4 < WINDOWS_MAX ? room.bytes / 4 : WINDOWS_MAX;
}

void ph_budget_volunteer(void)
{
	int fd ph_cleanup_close = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1000", 4) < 0)
		return; /* then the kernel chooses as it likes */
}
