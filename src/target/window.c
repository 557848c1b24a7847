/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --low-memory: the target stands still, and its memory is read when it is asked for.
 * The copy is a range of addresses without memory; src/memory fills windows of it. */
#include <sys/mman.h>
#include "process_priv.h"

/* Leading bytes of one run that could be read. */
static size_t load_part(struct ph_target *target, const struct ph_run *run, ph_addr addr, void *buf,
			size_t n)
{
	struct ph_process *p = target->priv;
	const uint8_t *bytes;
	int64_t got;
	switch (run->source) {
	case PH_RUN_TARGET:
		got = ph_reader_read(&p->reader, addr, buf, n);
		return got > 0 ? (size_t)got : 0;
	case PH_RUN_FILE:
		bytes = ph_run_file_bytes(target, run, addr, n);
		if (bytes)
			memcpy(buf, bytes, n);
		return bytes ? n : 0;
	default:
		memset(buf, 0, n);
		return n;
	}
}

static size_t load(void *ctx, ph_addr addr, void *buf, size_t n)
{
	struct ph_target *target = ctx;
	const struct ph_process *p = target->priv;
	size_t done = 0;
	while (done < n) {
		const struct ph_run *run = ph_plan_find(&p->plan, addr + done);
		if (!run)
			break;
		size_t part = n - done;
		if (part > run->end - (addr + done))
			part = run->end - (addr + done);
		size_t got = load_part(target, run, addr + done, (uint8_t *)buf + done, part);
		done += got;
		if (got < part)
			break;
	}
	return done;
}

/* Small pages: windows come and go. */
static struct ph_err *reserve(struct ph_copy *copy, uint64_t size)
{
	void *bytes = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bytes == MAP_FAILED)
		return ph_err_new(PH_ERR_REFUSED, "cannot reserve %llu MiB of addresses (ulimit -v?)",
				  (unsigned long long)size >> 20);
	madvise(bytes, size, MADV_NOHUGEPAGE);
	copy->bytes = bytes;
	copy->size = size ? size : 1;
	return NULL;
}

struct ph_err *ph_windows_add(struct ph_target *target)
{
	struct ph_process *p = target->priv;
	struct ph_err *err = reserve(&p->copy, p->plan.size);
	if (err)
		return err;
	ph_budget_volunteer();
	for (size_t i = 0; i < p->plan.runs.n; i++) {
		const struct ph_run *r = &p->plan.runs.items[i];
		struct ph_segment seg = {
			.start = r->start,
			.end = ph_run_end(target, r),
			.bytes = p->copy.bytes + r->at,
			.fd = -1,
			.writable = r->writable,
		};
		err = ph_mem_add(target->mem, &seg);
		if (err)
			return err;
	}
	return ph_mem_set_pager(target->mem, ph_budget_windows(""), load, target);
}
