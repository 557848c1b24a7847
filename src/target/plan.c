/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages are to be copied, by /proc/PID/pagemap. Reading a page that is not
 * there would make the target allocate it, so only those that are there are read.
 * Facts: Documentation/admin-guide/mm/pagemap.rst. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "process_priv.h"

/* ---- pagemap ------------------------------------------------------------------- */

#define PAGE_PRESENT (1ull << 63)
#define PAGE_SWAPPED (1ull << 62)
#define PAGE_FILE (1ull << 61) /* of a file, or shared */
#define PAGE_GUARD (1ull << 58) /* nobody can read it; new C libraries end thread stacks with one */
#define ENTRIES 32768          /* of one pread */

/* PAGEMAP_SCAN of Linux 6.7, which older headers do not have: ranges instead of
 * pages, 3 ms a GiB instead of 7. */
struct scan_range {
	uint64_t start, end, categories;
};
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, all_of, any_of, reported;
};
#define SCAN _IOWR('f', 16, struct scan_arg)
#define SCAN_FILE (1u << 2)
#define SCAN_PRESENT (1u << 3)
#define SCAN_SWAPPED (1u << 4)
#define SCAN_ZERO (1u << 5)  /* the one page of zeroes that all read who have written nothing, as gcore does */
#define SCAN_GUARD (1u << 8) /* newer still; such pages count as swapped out, too */
#define RANGES 2048

struct pages {
	int fd;
	bool no_scan, no_guard; /* what this kernel does not know */
	bool (*found)(void *ctx, ph_addr start, ph_addr end); /* false = memory is out */
	void *ctx;
	union {
		struct scan_range ranges[RANGES];
		uint64_t entries[ENTRIES];
	} buf;
};

/* 1 = done, 0 = memory is out, −1 = not to be had: *at is how far it came. */
static int scan_ioctl(struct pages *p, ph_addr *at, ph_addr end, bool of_files)
{
	while (*at < end) {
		uint64_t without = SCAN_ZERO | (of_files ? 0 : SCAN_FILE) | (p->no_guard ? 0 : SCAN_GUARD);
		struct scan_arg arg = {
			.size = sizeof arg,
			.start = *at,
			.end = end,
			.vec = (uintptr_t)p->buf.ranges,
			.vec_len = RANGES,
			.inverted = without,
			.all_of = without,
			.any_of = SCAN_PRESENT | SCAN_SWAPPED,
		};
		int n = ioctl(p->fd, SCAN, &arg);
		if (n < 0 && errno == EINVAL && !p->no_guard) {
			p->no_guard = true;
			continue;
		}
		if (n < 0 || n > RANGES || arg.walk_end <= *at)
			return -1;
		for (int i = 0; i < n; i++)
			if (!p->found(p->ctx, p->buf.ranges[i].start, p->buf.ranges[i].end))
				return 0;
		*at = arg.walk_end;
	}
	return 1;
}

static int scan_entries(struct pages *p, ph_addr start, ph_addr end, bool of_files)
{
	for (ph_addr at = start; at < end;) {
		uint64_t n = (end - at) / PH_PAGE < ENTRIES ? (end - at) / PH_PAGE : ENTRIES;
		ssize_t got = pread(p->fd, p->buf.entries, n * 8, (off_t)(at / PH_PAGE * 8));
		if (got < 8)
			return -1;
		n = (uint64_t)got / 8;
		for (uint64_t i = 0; i < n; i++, at += PH_PAGE) {
			uint64_t page = p->buf.entries[i];
			if (!(page & (PAGE_PRESENT | PAGE_SWAPPED)) || page & PAGE_GUARD || (page & PAGE_FILE && !of_files))
				continue;
			if (!p->found(p->ctx, at, at + PH_PAGE))
				return 0;
		}
	}
	return 1;
}

/* Calls found() for the pages of [start, end) that are there or swapped out,
 * ascending; of_files: also for those that belong to a file. */
static int pages_scan(struct pages *p, ph_addr start, ph_addr end, bool of_files)
{
	if (p->fd < 0)
		return -1;
	if (!p->no_scan) {
		int done = scan_ioctl(p, &start, end, of_files);
		if (done >= 0)
			return done;
		p->no_scan = true;
	}
	return scan_entries(p, start, end, of_files);
}

/* ---- runs ---------------------------------------------------------------------- */

/* Holes in anonymous memory up to this size are taken as the zeroes they are, so that
 * a half-used array is in one piece; in sum they must not cost much. */
#define HOLE_MAX (1ull << 20)
#define HOLES_FREE (4ull << 20)
#define HOLES_SHARE 16
/* Data of a program file up to this size is taken whole. */
#define WHOLE_MAX (64ull << 20)

enum how {
	SKIP,
	ANONYMOUS,  /* pages that are there */
	OWN_PAGES,  /* pages that were written to */
	WITH_FILE,  /* these, and around them what the file has */
	ALL_PAGES,  /* no file to be had: pages that are there, also the file's */
};

struct planner {
	struct ph_plan *plan;
	const struct ph_target *modules;
	bool whole_files, blind;
	const struct ph_mapping *map;
	enum how how;
	ph_addr done;     /* end of what was planned of the mapping */
	uint64_t holes;   /* bytes, all mappings */
};

static bool emit(struct planner *p, ph_addr start, ph_addr end, enum ph_run_source source)
{
	struct ph_plan *plan = p->plan;
	struct ph_run *last = plan->runs.n ? &plan->runs.items[plan->runs.n - 1] : NULL;
	struct ph_run run = { start, end, plan->size, 0, source, p->map->writable };
	if (start >= end)
		return true;
	if (source == PH_RUN_FILE)
		run.offset = p->map->offset + (start - p->map->start);
	plan->size += end - start;
	if (source == PH_RUN_TARGET)
		plan->target_bytes += end - start;
	p->done = end;
	if (last && last->end == start && last->source == source && source != PH_RUN_FILE &&
	    last->writable == run.writable) {
		last->end = end;
		return true;
	}
	return PH_VEC_PUSH(&plan->runs, run);
}

/* What lies between the pages that are there. */
static bool gap(struct planner *p, ph_addr end)
{
	uint64_t n = end - p->done;
	if (p->how == WITH_FILE)
		return emit(p, p->done, end, PH_RUN_FILE);
	if (p->how != ANONYMOUS || n > HOLE_MAX ||
	    p->holes + n > HOLES_FREE + p->plan->target_bytes / HOLES_SHARE)
		return true;
	p->holes += n;
	return emit(p, p->done, end, PH_RUN_ZERO);
}

static bool found(void *ctx, ph_addr start, ph_addr end)
{
	struct planner *p = ctx;
	return gap(p, start) && emit(p, start, end, PH_RUN_TARGET);
}

/* /dev/zero is anonymous memory by another name; other devices may not be touched. */
static bool is_device(const struct ph_mapping *m)
{
	return m->path && !strncmp(m->path, "/dev/", 5) && strncmp(m->path, "/dev/shm/", 9) &&
	       strncmp(m->path, "/dev/zero", 9);
}

static enum how how_to_take(const struct planner *p, const struct ph_mapping *m)
{
	if (m->shared || is_device(m) || !(m->readable || m->writable))
		return SKIP;
	if (!m->path)
		return ANONYMOUS;
	const struct ph_module *mod = ph_target_module_at(p->modules, m->start);
	if (mod && strcmp(mod->path, m->path))
		mod = NULL;
	if (!mod) /* data: mapped arrays may be larger than the machine */
		return m->writable ? OWN_PAGES : SKIP;
	if (!mod->elf)
		return ALL_PAGES;
	return m->end - m->start <= WHOLE_MAX ? WITH_FILE : OWN_PAGES;
}

/* Without pagemap: all that may be written to. */
static int take_blindly(struct planner *p)
{
	if (p->how == ANONYMOUS || p->how == ALL_PAGES || p->map->writable)
		return emit(p, p->map->start, p->map->end, PH_RUN_TARGET);
	return 1;
}

static struct ph_err *plan_mapping(struct planner *p, struct pages *pages, const struct ph_mapping *m)
{
	uint64_t before = p->plan->target_bytes;
	p->map = m;
	p->done = m->start;
	p->how = how_to_take(p, m);
	if (p->how == SKIP)
		return NULL;
	/* whose page it is costs a look at each: not asked where all are the process's own */
	bool of_files = p->how == ANONYMOUS || p->how == ALL_PAGES;
	int done = p->blind ? -1 : pages_scan(pages, m->start, m->end, of_files);
	if (done < 0)
		done = take_blindly(p);
	else if (done && (p->plan->target_bytes > before || (p->whole_files && p->how == WITH_FILE)))
		done = gap(p, m->end);
	return done ? NULL : ph_err_nomem();
}

static struct ph_err *plan_all(struct planner *p, struct pages *pages, const struct ph_mappings *maps)
{
	ph_plan_deinit(p->plan);
	p->holes = 0;
	for (size_t i = 0; i < maps->n; i++) {
		struct ph_err *err = plan_mapping(p, pages, &maps->items[i]);
		if (err)
			return err;
	}
	return NULL;
}

struct ph_err *ph_plan_make(pid_t pid, const struct ph_mappings *maps,
			    const struct ph_target *modules, bool whole_files, struct ph_plan *ret)
{
	char path[64];
	struct planner p = { .plan = ret, .modules = modules, .whole_files = whole_files };
	struct pages *pages ph_cleanup_free = malloc(sizeof *pages);
	if (!pages)
		return ph_err_nomem();
	snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
	int fd ph_cleanup_close = open(path, O_RDONLY | O_CLOEXEC);
	pages->fd = fd;
	pages->no_scan = pages->no_guard = false;
	pages->found = found;
	pages->ctx = &p;
	struct ph_err *err = plan_all(&p, pages, maps);
	if (err || ret->target_bytes)
		return err;
	p.blind = true; /* it shows nothing: some sandboxes' kernels do not keep it */
	return plan_all(&p, pages, maps);
}

const struct ph_run *ph_plan_find(const struct ph_plan *plan, ph_addr addr)
{
	return PH_RANGE_AT(plan->runs.items, plan->runs.n, addr);
}

void ph_plan_deinit(struct ph_plan *plan)
{
	ph_vec_free(&plan->runs);
	plan->size = plan->target_bytes = plan->skipped_bytes = 0;
}
