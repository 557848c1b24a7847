/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bulk copy. Its destination is in huge pages and was touched before the target
 * stands still: page faults cost more than the copying. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#include "process_priv.h"

#define HUGE_PAGE (2ull << 20)
#define WORTH_DROPPING (64u << 10) /* of zeroes: they were touched as all others, in huge pages */
#define TOUCH_BYTES (16ull << 20)  /* between two looks at ph_interrupted */
#define CALL_BYTES (128ull << 20)  /* the same, of one call */
#define CALL_PIECES 1024           /* IOV_MAX */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* ---- the place ------------------------------------------------------------------ */

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) & -to;
}

static struct ph_err *no_room(uint64_t bytes)
{
	return ph_err_hint(ph_err_new(PH_ERR_REFUSED, "cannot allocate %llu MiB for the copy of the process",
				      (unsigned long long)bytes >> 20),
			   "use --low-memory, or look at `ulimit -v`, `ulimit -d` and vm.overcommit_memory");
}

static struct ph_err *touch(uint8_t *bytes, uint64_t size)
{
	ph_progress_begin(PH_PROGRESS_NONE, size);
	for (uint64_t at = 0; at < size; at += TOUCH_BYTES) {
		uint64_t n = size - at < TOUCH_BYTES ? size - at : TOUCH_BYTES;
		if (ph_interrupted)
			return ph_err_interrupted();
		ph_progress_add(n);
		if (!madvise(bytes + at, n, MADV_POPULATE_WRITE))
			continue;
		if (errno == ENOMEM)
			return no_room(size);
		for (uint64_t i = 0; i < n; i += PH_PAGE)
			((volatile uint8_t *)bytes)[at + i] = 0;
	}
	return NULL;
}

/* Huge pages need a place that is aligned to them. */
static uint8_t *reserve_aligned(uint64_t size)
{
	uint8_t *p = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	uint64_t before = -(uintptr_t)p & (HUGE_PAGE - 1);
	if (before)
		munmap(p, before);
	munmap(p + before + size, HUGE_PAGE - before);
	return p + before;
}

struct ph_err *ph_copy_prepare(struct ph_copy *copy, uint64_t bytes, uint64_t reserve)
{
	bytes = round_up(bytes, HUGE_PAGE);
	reserve = round_up(reserve < bytes ? bytes : reserve, HUGE_PAGE);
	copy->bytes = reserve_aligned(reserve);
	if (!copy->bytes && reserve > bytes)
		copy->bytes = reserve_aligned(reserve = bytes);
	if (!copy->bytes)
		return no_room(bytes);
	copy->size = reserve;
	madvise(copy->bytes, reserve, MADV_HUGEPAGE); /* only a wish */
	return touch(copy->bytes, bytes);
}

struct ph_err *ph_copy_grow(struct ph_copy *copy, uint64_t bytes)
{
	bytes = round_up(bytes, HUGE_PAGE);
	if (bytes <= copy->size)
		return NULL;
	void *p = mremap(copy->bytes, copy->size, bytes, MREMAP_MAYMOVE);
	if (p == MAP_FAILED)
		return no_room(bytes);
	copy->bytes = p;
	copy->size = bytes;
	return NULL;
}

void ph_copy_trim(struct ph_copy *copy, const struct ph_plan *plan)
{
	uint64_t used = round_up(plan->size ? plan->size : 1, PH_PAGE);
	for (size_t i = 0; i < plan->runs.n; i++) {
		const struct ph_run *r = &plan->runs.items[i];
		if (r->source == PH_RUN_ZERO && r->end - r->start >= WORTH_DROPPING)
			ph_big_drop(copy->bytes + r->at, r->end - r->start);
	}
	if (used >= copy->size)
		return;
	munmap(copy->bytes + used, copy->size - used);
	copy->size = used;
}

void ph_copy_deinit(struct ph_copy *copy)
{
	if (copy->bytes)
		munmap(copy->bytes, copy->size);
	ph_vec_free(&copy->bad);
	copy->bytes = NULL;
	copy->size = 0;
}

/* ---- reading ------------------------------------------------------------------------ */

/* Pieces of the target and where they go to. */
struct pieces {
	struct iovec remote[CALL_PIECES], local[CALL_PIECES];
	size_t n;
	uint64_t bytes;
};

/* Leading bytes that could be read, −1 when the process has ended. */
static int64_t read_pieces(struct ph_reader *r, const struct pieces *p)
{
	ssize_t got = -1;
	if (!r->no_vm_readv) {
		got = process_vm_readv(r->pid, p->local, p->n, p->remote, p->n, 0);
		if (got < 0 && (errno == ENOSYS || errno == EPERM))
			r->no_vm_readv = true;
	}
	if (r->no_vm_readv) {
		got = pread(r->mem_fd, p->local[0].iov_base, p->local[0].iov_len,
			    (off_t)(uintptr_t)p->remote[0].iov_base);
		if (!got) /* the end of this file is the end of the process */
			return -1;
	}
	if (got < 0)
		return errno == ESRCH ? -1 : 0;
	return got;
}

/* Whether process_vm_readv() reads the first mapping that can be read. */
static bool may_vm_readv(struct ph_reader *r)
{
	struct ph_mappings maps = { 0 };
	char *text = NULL;
	size_t len;
	uint64_t word;
	bool may = false;
	struct ph_err *err = ph_maps_text(r->pid, &text, &len);
	if (!err)
		err = ph_maps_parse(text, &maps);
	for (size_t i = 0; !err && i < maps.n; i++) {
		if (!maps.items[i].readable)
			continue;
		may = ph_reader_read(r, maps.items[i].start, &word, sizeof word) == sizeof word;
		break;
	}
	ph_err_free(err);
	ph_mappings_deinit(&maps);
	free(text);
	return may;
}

int ph_reader_open(struct ph_reader *r)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/mem", (int)r->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int error = fd < 0 ? errno : 0;
	/* CAP_SYS_PTRACE opens no file that belongs to somebody else; reading it allows */
	if ((error == EACCES || error == EPERM) && may_vm_readv(r))
		error = 0;
	if (error)
		return error;
	if (r->mem_fd >= 0)
		close(r->mem_fd);
	r->mem_fd = fd;
	return 0;
}

int64_t ph_reader_read(struct ph_reader *r, ph_addr addr, void *buf, size_t n)
{
	struct pieces p = { .n = 1, .bytes = n };
	if (!n)
		return 0;
	p.local[0] = (struct iovec){ buf, n };
	p.remote[0] = (struct iovec){ (void *)(uintptr_t)addr, n };
	return read_pieces(r, &p);
}

struct ph_err *ph_reader_gather(struct ph_reader *r, const ph_addr *at, size_t n, size_t len, void *buf, bool *ok)
{
	struct pieces *p ph_cleanup_free = malloc(sizeof *p);
	if (!p)
		return ph_err_nomem();
	for (size_t i = 0; i < n;) {
		for (p->n = 0; p->n < CALL_PIECES && i + p->n < n; p->n++) {
			p->remote[p->n] = (struct iovec){ (void *)(uintptr_t)at[i + p->n], len };
			p->local[p->n] = (struct iovec){ (uint8_t *)buf + (i + p->n) * len, len };
		}
		int64_t got = read_pieces(r, p);
		if (got < 0)
			return ph_process_ended(r->pid);
		size_t whole = (size_t)got / len;
		for (size_t k = 0; k < whole; k++)
			ok[i++] = true;
		if (whole < p->n && (!whole || !r->no_vm_readv)) /* without, one is read at a time */
			ok[i++] = false;
	}
	return NULL;
}

/* How far the reading came: `in` bytes into a run of the plan. */
struct place {
	size_t run;
	uint64_t in;
};

/* The next pieces from a place on. */
static void collect(const struct ph_copy *copy, const struct ph_plan *plan, struct place at,
		    struct pieces *p)
{
	p->n = 0;
	p->bytes = 0;
	for (; at.run < plan->runs.n && p->n < CALL_PIECES && p->bytes < CALL_BYTES; at.run++, at.in = 0) {
		const struct ph_run *r = &plan->runs.items[at.run];
		uint64_t n = r->end - r->start - at.in;
		if (r->source != PH_RUN_TARGET)
			continue;
		if (n > CALL_BYTES - p->bytes)
			n = CALL_BYTES - p->bytes;
		p->remote[p->n] = (struct iovec){ (void *)(uintptr_t)(r->start + at.in), n };
		p->local[p->n++] = (struct iovec){ copy->bytes + r->at + at.in, n };
		p->bytes += n;
	}
}

static void skip(const struct ph_plan *plan, struct place *at, uint64_t n)
{
	while (at->run < plan->runs.n) {
		const struct ph_run *r = &plan->runs.items[at->run];
		uint64_t left = r->source == PH_RUN_TARGET ? r->end - r->start - at->in : 0;
		if (n < left) {
			at->in += n;
			return;
		}
		n -= left;
		at->run++;
		at->in = 0;
	}
}

/* One page that cannot be read does not lose its neighbours: the call ends before it,
 * and fails when it comes first. */
struct ph_err *ph_copy_read(struct ph_copy *copy, struct ph_reader *reader, const struct ph_plan *plan)
{
	struct place at = { 0 };
	struct pieces *p ph_cleanup_free = malloc(sizeof *p);
	if (!p)
		return ph_err_nomem();
	copy->bad.n = 0;
	ph_progress_begin(PH_PROGRESS_BYTES, plan->target_bytes);
	for (;;) {
		if (ph_interrupted)
			return ph_err_interrupted();
		collect(copy, plan, at, p);
		if (!p->n)
			return NULL;
		int64_t got = read_pieces(reader, p);
		if (got < 0)
			return ph_process_ended(reader->pid);
		got &= -(int64_t)PH_PAGE;
		if (!got) {
			if (!PH_VEC_PUSH(&copy->bad, (uintptr_t)p->remote[0].iov_base))
				return ph_err_nomem();
			got = PH_PAGE;
		}
		ph_progress_add((uint64_t)got);
		skip(plan, &at, (uint64_t)got);
	}
}

/* ---- reading again ------------------------------------------------------------------- */

uint8_t *ph_copy_page(const struct ph_copy *copy, const struct ph_plan *plan, ph_addr page)
{
	const struct ph_run *r = ph_plan_find(plan, page);
	if (!r || (r->source != PH_RUN_TARGET && r->source != PH_RUN_ZERO) || page & (PH_PAGE - 1))
		return NULL;
	return copy->bytes + r->at + (page - r->start);
}

/* A file descriptor of its memory stays with the memory: a program that was begun since, or
 * another process of the same ID, has another. */
static bool still_there(const struct ph_reader *r, ph_addr addr)
{
	uint8_t byte;
	return r->mem_fd < 0 || pread(r->mem_fd, &byte, 1, (off_t)addr) != 0;
}

bool ph_copy_reread(const struct ph_copy *copy, struct ph_reader *reader, const struct ph_plan *plan,
		    const ph_addr *pages, size_t n, uint8_t *bytes)
{
	struct pieces *p ph_cleanup_free = malloc(sizeof *p);
	if (!p || !n || !still_there(reader, pages[0]))
		return false;
	for (size_t i = 0; i < n;) {
		for (p->n = 0; p->n < CALL_PIECES && i + p->n < n; p->n++) {
			p->remote[p->n] = (struct iovec){ (void *)(uintptr_t)pages[i + p->n], PH_PAGE };
			p->local[p->n] = (struct iovec){ bytes + (i + p->n) * PH_PAGE, PH_PAGE };
		}
		int64_t got = read_pieces(reader, p);
		if (got < 0)
			return false;
		i += (uint64_t)got / PH_PAGE;
		if ((uint64_t)got / PH_PAGE == p->n || (got && reader->no_vm_readv))
			continue;
		const uint8_t *old = ph_copy_page(copy, plan, pages[i]);
		if (old)
			memcpy(bytes + i * PH_PAGE, old, PH_PAGE);
		i++;
	}
	return still_there(reader, pages[0]);
}

/* ---- what was read -------------------------------------------------------------------- */

static const struct ph_elf *file_of(const struct ph_target *target, const struct ph_run *run)
{
	const struct ph_module *m = ph_target_module_at(target, run->start);
	return m ? m->elf : NULL;
}

const uint8_t *ph_run_file_bytes(const struct ph_target *target, const struct ph_run *run,
				 ph_addr start, uint64_t n)
{
	const struct ph_elf *elf = file_of(target, run);
	return elf ? ph_elf_file_bytes(elf, run->offset + (start - run->start), n) : NULL;
}

ph_addr ph_run_end(const struct ph_target *target, const struct ph_run *run)
{
	if (run->source != PH_RUN_FILE)
		return run->end;
	const struct ph_elf *elf = file_of(target, run);
	uint64_t size = elf ? ph_elf_file_size(elf) : 0;
	uint64_t left = size > run->offset ? size - run->offset : 0;
	return left < run->end - run->start ? run->start + left : run->end;
}

static struct ph_err *add(const struct ph_copy *copy, const struct ph_run *r, ph_addr start, ph_addr end,
			  struct ph_mem *mem)
{
	return ph_mem_add(mem, &(struct ph_segment){
				       .start = start,
				       .end = end,
				       .bytes = copy->bytes + r->at + (start - r->start),
				       .fd = -1,
				       .writable = r->writable,
			       });
}

struct ph_err *ph_copy_add(struct ph_copy *copy, const struct ph_plan *plan,
			   const struct ph_target *target, struct ph_notes *notes, struct ph_mem *mem)
{
	size_t bad = 0;
	for (size_t i = 0; i < plan->runs.n; i++) {
		const struct ph_run *r = &plan->runs.items[i];
		ph_addr at = r->start, end = ph_run_end(target, r);
		struct ph_err *err = r->source == PH_RUN_SKIPPED ? ph_mem_skip(mem, at, end) : NULL;
		if (!err && r->source == PH_RUN_SKIPPED)
			continue;
		if (r->source == PH_RUN_FILE && end > at)
			memcpy(copy->bytes + r->at, ph_run_file_bytes(target, r, at, end - at), end - at);
		for (; !err && bad < copy->bad.n && copy->bad.items[bad] < end; bad++) {
			err = add(copy, r, at, copy->bad.items[bad], mem);
			ph_note(notes, PH_NOTE_MISSING_PAGES, copy->bad.items[bad]);
			at = copy->bad.items[bad] + PH_PAGE;
		}
		if (!err)
			err = add(copy, r, at, end, mem);
		if (err)
			return err;
	}
	return NULL;
}
