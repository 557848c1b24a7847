/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking the memory of a live process. All that can be done before the stop or after
 * it is: the pause is for the threads, the list of pages and the copying. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "process_priv.h"

#define SLACK (1ull << 20)       /* what a target grows between the first look and the stop, */
#define SLACK_SHARE 64           /* plus this part of it */
#define COMPARED (1ull << 20)    /* bytes, when the copy is compared with the target */
#define RESERVE (1ull << 30)     /* addresses for one that grows faster */

/* ---- before the stop --------------------------------------------------------------- */

/* Frees what an earlier capture gave, in the order mem, its bytes, the stop. */
static void release(struct ph_target *target)
{
	struct ph_process *p = target->priv;
	ph_target_reset(target);
	ph_copy_deinit(&p->copy);
	ph_plan_deinit(&p->plan);
	ph_vec_free(&p->buffers);
	ph_stop_end(p->stop);
	p->stop = NULL;
}

/* stopped: what was found to hold no references is looked at once more, and no more. */
static struct ph_err *plan(struct ph_target *target, bool stopped)
{
	struct ph_process *p = target->priv;
	struct ph_err *err = ph_plan_make(target->pid, &p->maps, target, p->low_memory, &p->plan);
	if (err || p->low_memory || p->no_pause || !target->skip_buffers)
		return err;
	err = (stopped ? ph_buffers_check : ph_buffers_find)(&p->reader, &p->maps, &p->plan, &p->buffers);
	return err ? err : ph_plan_skip(&p->plan, &p->buffers);
}

/* After an exec the memory is another one. */
static struct ph_err *reopen(struct ph_target *target)
{
	struct ph_process *p = target->priv;
	if (ph_process_start_time(target->pid) != p->start_time)
		return ph_process_ended(target->pid);
	int error = ph_reader_open(&p->reader);
	if (error == EACCES || error == EPERM)
		return ph_permission_denied("", target->pid, target->pid);
	if (error)
		return ph_process_ended(target->pid);
	return NULL;
}

/* Where the copy goes to, if it fits. */
static struct ph_err *make_room(struct ph_target *target)
{
	struct ph_process *p = target->priv;
	uint64_t size = p->plan.size;
	struct ph_err *err = NULL;
	if (!p->ignore_limits)
		err = ph_budget_check("", target->pid, size, 0, p->low_memory);
	if (err || p->low_memory)
		return err;
	ph_budget_volunteer();
	uint64_t slack = SLACK + size / SLACK_SHARE;
	return ph_copy_prepare(&p->copy, size + slack, size + slack + size / 4 + RESERVE);
}

static struct ph_err *prepare(struct ph_target *target)
{
	bool changed;
	struct ph_err *err = reopen(target);
	if (!err)
		err = ph_process_look(target, &changed);
	if (!err && changed)
		err = ph_process_modules(target);
	if (!err)
		err = plan(target, false);
	return err ? err : make_room(target);
}

/* ---- while it stands still ----------------------------------------------------------- */

/* The target may have grown: what goes beyond the slack is asked for once more. */
static struct ph_err *check_growth(struct ph_target *target, uint64_t expected)
{
	struct ph_process *p = target->priv;
	uint64_t slack = SLACK + expected / SLACK_SHARE;
	if (p->plan.size <= expected + slack)
		return NULL;
	struct ph_err *err = NULL;
	if (!p->ignore_limits)
		err = ph_budget_check("", target->pid, p->plan.size, expected + slack, false);
	return err ? err : ph_copy_grow(&p->copy, p->plan.size);
}

static struct ph_err *take(struct ph_target *target, bool *ret_changed)
{
	struct ph_process *p = target->priv;
	uint64_t expected = p->plan.size;
	clock_gettime(CLOCK_REALTIME, &target->captured_at);
	struct ph_err *err = ph_process_look(target, ret_changed);
	if (!err)
		err = plan(target, true);
	if (!err && !p->low_memory)
		err = check_growth(target, expected);
	if (!err && !p->low_memory)
		err = ph_copy_read(&p->copy, &p->reader, &p->plan);
	return err;
}

static uint64_t rss(pid_t pid)
{
	uint64_t pages;
	char *text ph_cleanup_free = ph_proc_read(pid, "statm", NULL);
	return text && sscanf(text, "%*u %" SCNu64, &pages) == 1 ? pages * PH_PAGE : 0;
}

static struct ph_err *stop_and_take(struct ph_target *target, bool *ret_changed)
{
	struct ph_process *p = target->priv;
	target->pause_ms = -1;
	struct ph_err *err = p->no_pause ? NULL : ph_stop_begin(target->pid, p->stop_timeout_s, &p->stop);
	if (!err)
		err = take(target, ret_changed);
	if (!err)
		target->rss_bytes = rss(target->pid);
	if (!err && p->stop)
		err = ph_stop_threads(p->stop, &target->threads, &target->nthreads);
	if (p->stop)
		target->pause_ms = ph_stop_elapsed(p->stop); /* low-memory: so far */
	if (p->stop && (err || !p->low_memory)) {
		target->pause_ms = ph_stop_end(p->stop);
		p->stop = NULL;
	}
	return err;
}

/* ---- after it -------------------------------------------------------------------------- */

/* Not stopped, so without registers. */
static struct ph_err *list_threads(struct ph_target *target)
{
	char path[64];
	struct dirent *e;
	struct PH_VEC(struct ph_thread_regs) list = { 0 };
	snprintf(path, sizeof path, "/proc/%d/task", (int)target->pid);
	DIR *dir = opendir(path);
	bool ok = PH_VEC_RESERVE(&list, 1);
	while (ok && dir && (e = readdir(dir))) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
		ok = tid <= 0 || PH_VEC_PUSH(&list, (struct ph_thread_regs){ .tid = tid });
	}
	if (dir)
		closedir(dir);
	target->threads = list.items;
	target->nthreads = list.n;
	return ok ? NULL : ph_err_nomem();
}

/* What of the modules was not written to is taken from their files. */
static struct ph_err *add_files(struct ph_target *target, struct ph_notes *notes)
{
	const struct ph_process *p = target->priv;
	for (size_t i = 0; i < p->maps.n; i++) {
		const struct ph_mapping *m = &p->maps.items[i];
		const struct ph_module *mod = m->path ? ph_target_module_at(target, m->start) : NULL;
		struct ph_err *err = NULL;
		if (!mod || strcmp(mod->path, m->path))
			continue;
		if (!mod->elf && m->executable)
			ph_note(notes, PH_NOTE_MISSING_FILE, m->start);
		if (!p->low_memory)
			err = ph_module_add_range(mod, m->start, m->end, m->offset, m->writable, target->mem);
		if (err)
			return err;
	}
	return NULL;
}

static size_t glance(void *ctx, ph_addr addr, void *buf, size_t n)
{
	struct ph_process *p = ((struct ph_target *)ctx)->priv;
	int64_t got = ph_reader_read(&p->reader, addr, buf, n);
	return got > 0 ? (size_t)got : 0;
}

/* Somebody's stack may lie in a block of malloc's, and it counts where its segment ends. */
static void want_stacks(struct ph_target *target)
{
	for (size_t i = 0; i < target->nthreads && target->mem->skipped.n; i++) {
		const struct ph_thread_regs *t = &target->threads[i];
		if (ph_mem_meets_skipped(target->mem, t->sp, t->tls > t->sp ? t->tls - t->sp : UINT64_MAX))
			ph_mem_want(target->mem);
	}
}

static struct ph_err *add_memory(struct ph_target *target, struct ph_notes *notes)
{
	struct ph_process *p = target->priv;
	struct ph_err *err;
	target->mem = ph_mem_new();
	if (!target->mem)
		return ph_err_nomem();
	if (p->low_memory) {
		err = ph_windows_add(target);
	} else {
		ph_copy_trim(&p->copy, &p->plan);
		ph_mem_set_glance(target->mem, glance, target);
		err = ph_copy_add(&p->copy, &p->plan, target, notes, target->mem);
	}
	if (!err)
		err = add_files(target, notes);
	if (!err)
		err = ph_mem_seal(target->mem);
	if (!err)
		want_stacks(target);
	return err;
}

static struct ph_err *finish(struct ph_target *target, bool maps_changed, struct ph_notes *notes)
{
	struct ph_process *p = target->priv;
	struct ph_err *err = NULL;
	if (!p->low_memory)
		target->copied_bytes = p->plan.target_bytes - p->copy.bad.n * PH_PAGE;
	target->skipped_bytes = p->plan.skipped_bytes;
	if (p->no_pause) {
		ph_note(notes, PH_NOTE_NOT_PAUSED, 0);
		err = list_threads(target);
	}
	for (size_t i = 0; i < target->nthreads; i++)
		ph_proc_comm(target->pid, target->threads[i].tid, target->threads[i].name);
	if (!err && maps_changed)
		err = ph_process_modules(target);
	return err ? err : add_memory(target, notes);
}

struct ph_err *ph_process_capture(struct ph_target *target, struct ph_notes *notes)
{
	bool changed = false;
	release(target);
	struct ph_err *err = prepare(target);
	if (!err)
		err = stop_and_take(target, &changed);
	if (!err)
		err = finish(target, changed, notes);
	if (err)
		release(target); /* nobody stands still for a failure */
	return err;
}

_Static_assert(PH_REREAD_PAGE == PH_PAGE, "one page");

/* The copy is ours alone, so that it can be written to. */
bool ph_target_reread(const struct ph_target *target, const ph_addr *pages, size_t n, uint8_t *bytes)
{
	struct ph_process *p = ph_target_moving(target) ? target->priv : NULL;
	bool changed = false;
	if (!p || p->low_memory || ph_process_start_time(target->pid) != p->start_time ||
	    !ph_copy_reread(&p->copy, &p->reader, &p->plan, pages, n, bytes))
		return false;
	for (size_t i = 0; i < n; i++) {
		uint8_t *to = ph_copy_page(&p->copy, &p->plan, pages[i]), *from = bytes + i * PH_PAGE;
		uint8_t old[PH_PAGE];
		if (!to || !memcmp(to, from, PH_PAGE))
			continue;
		memcpy(old, to, PH_PAGE);
		memcpy(to, from, PH_PAGE);
		memcpy(from, old, PH_PAGE);
		changed = true;
	}
	return changed;
}

/* Those of one piece of the copy. */
static bool changed_in(struct ph_process *p, ph_addr start, size_t n, uint8_t *scratch, struct ph_pages *ret)
{
	const uint8_t *copy = ph_copy_page(&p->copy, &p->plan, start);
	int64_t got = copy ? ph_reader_read(&p->reader, start, scratch, n) : -1;
	for (int64_t at = 0; at + (int64_t)PH_PAGE <= got; at += PH_PAGE)
		if (memcmp(copy + at, scratch + at, PH_PAGE) && !PH_VEC_PUSH(ret, start + (ph_addr)at))
			return false;
	return got >= 0;
}

bool ph_target_changed(const struct ph_target *target, size_t max, struct ph_pages *ret)
{
	struct ph_process *p = ph_target_moving(target) ? target->priv : NULL;
	uint8_t *scratch ph_cleanup_free = p && !p->low_memory ? malloc(COMPARED) : NULL;
	size_t before = ret->n;
	if (!scratch)
		return false;
	for (size_t i = 0; i < p->plan.runs.n; i++) {
		const struct ph_run *r = &p->plan.runs.items[i];
		if (r->source != PH_RUN_TARGET || !r->writable)
			continue;
		for (ph_addr at = r->start; at < r->end; at += COMPARED) {
			uint64_t n = r->end - at < COMPARED ? r->end - at : COMPARED;
			if (ph_interrupted || !changed_in(p, at, n, scratch, ret))
				return false;
			if (ret->n - before <= max)
				continue;
			ret->n = before;
			return false;
		}
	}
	return true;
}

void ph_target_put_back(const struct ph_target *target, const ph_addr *pages, size_t n, const uint8_t *bytes)
{
	const struct ph_process *p = target->priv;
	for (size_t i = 0; i < n; i++) {
		uint8_t *to = ph_copy_page(&p->copy, &p->plan, pages[i]);
		if (to)
			memcpy(to, bytes + i * PH_PAGE, PH_PAGE);
	}
}

double ph_target_pause_ms(const struct ph_target *target)
{
	const struct ph_process *p = target->kind == PH_TARGET_PROCESS ? target->priv : NULL;
	return p && p->stop ? ph_stop_elapsed(p->stop) : target->pause_ms;
}

/* Private and without a file; but nothing is known where a page could not be read. */
bool ph_target_zeroes(const struct ph_target *target, size_t i, ph_addr *ret_start, ph_addr *ret_end)
{
	const struct ph_process *p = target->kind == PH_TARGET_PROCESS ? target->priv : NULL;
	if (target->kind == PH_TARGET_CORE && target->priv)
		return ph_core_zeroes(target, i, ret_start, ret_end);
	for (size_t k = 0; p && !p->low_memory && !p->copy.bad.n && k < p->maps.n; k++) {
		const struct ph_mapping *m = &p->maps.items[k];
		if (!m->readable || !m->writable || m->shared || (m->path && m->path[0] != '[') || i--)
			continue;
		*ret_start = m->start;
		*ret_end = m->end;
		return true;
	}
	return false;
}

void ph_process_close(struct ph_target *target)
{
	struct ph_process *p = target->priv;
	if (!p)
		return;
	release(target);
	ph_mappings_deinit(&p->maps);
	free(p->maps_text);
	if (p->reader.mem_fd >= 0)
		close(p->reader.mem_fd);
	free(p);
	target->priv = NULL;
}
