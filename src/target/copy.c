/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bulk copy. Its destination is in huge pages and was touched before the
 * target stands still: page faults cost more than the copying. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#include "process_priv.h"

#define CHUNK_ALIGN (2ull << 20)
#define IOVECS 1024 /* of one call: IOV_MAX */
#define CALL_BYTES (256ull << 20) /* so that an interrupt is answered soon */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

static void populate(uint8_t *bytes, size_t size)
{
	madvise(bytes, size, MADV_HUGEPAGE);
	if (!madvise(bytes, size, MADV_POPULATE_WRITE))
		return;
	for (size_t at = 0; at < size; at += PH_PAGE)
		bytes[at] = 0;
}

static struct ph_err *chunk_add(struct ph_copy *copy, uint64_t bytes, bool touch)
{
	size_t size = (bytes + CHUNK_ALIGN - 1) & ~(CHUNK_ALIGN - 1);
	uint8_t *p = mmap(NULL, size + CHUNK_ALIGN, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return ph_err_nomem();
	uint8_t *aligned = (uint8_t *)(((uintptr_t)p + CHUNK_ALIGN - 1) & ~(uintptr_t)(CHUNK_ALIGN - 1));
	if (aligned > p)
		munmap(p, (size_t)(aligned - p));
	if (aligned + size < p + size + CHUNK_ALIGN)
		munmap(aligned + size, (size_t)(p + CHUNK_ALIGN - aligned));
	if (touch)
		populate(aligned, size);
	if (!PH_VEC_PUSH(&copy->chunks, (struct ph_chunk){ aligned, size, 0 })) {
		munmap(aligned, size);
		return ph_err_nomem();
	}
	return NULL;
}

struct ph_err *ph_copy_prepare(struct ph_copy *copy, uint64_t bytes)
{
	return chunk_add(copy, bytes, true);
}

/* ---- reading ---------------------------------------------------------------------- */

size_t ph_copy_piece(struct ph_copy *copy, pid_t pid, ph_addr addr, void *buf, size_t n)
{
	struct iovec local = { buf, n }, remote = { (void *)(uintptr_t)addr, n };
	ssize_t got = -1;
	if (!copy->no_vm_readv) {
		got = process_vm_readv(pid, &local, 1, &remote, 1, 0);
		if (got < 0 && (errno == ENOSYS || errno == EPERM))
			copy->no_vm_readv = true;
	}
	if (got < 0 && copy->no_vm_readv && copy->mem_fd >= 0)
		got = pread(copy->mem_fd, buf, n, (off_t)addr);
	return got > 0 ? (size_t)got : 0;
}

/* The pieces of one call: where they come from, and one place they go to. */
struct batch {
	struct iovec remote[IOVECS];
	bool writable[IOVECS];
	size_t n;
	uint64_t bytes;
	uint8_t *to;
};

static bool segment_add(struct ph_copy *copy, ph_addr start, uint64_t n, const uint8_t *bytes, bool writable)
{
	if (!n)
		return true;
	copy->bytes += n;
	return PH_VEC_PUSH(&copy->segments, (struct ph_segment){ .start = start, .end = start + n, .bytes = bytes,
								 .fd = -1, .writable = writable });
}

/* Page by page where the bulk call stumbled: one bad page never loses its neighbours. */
static bool piece_by_piece(struct ph_copy *copy, pid_t pid, ph_addr start, uint64_t n, uint8_t *to,
			   bool writable, struct ph_notes *notes)
{
	while (n) {
		uint64_t got = ph_copy_piece(copy, pid, start, to, n) & ~(PH_PAGE - 1);
		if (!segment_add(copy, start, got, to, writable))
			return false;
		if (got < n) {
			ph_note(notes, PH_NOTE_MISSING_PAGES, start + got);
			got += PH_PAGE;
		}
		start += got;
		to += got;
		n -= got < n ? got : n;
	}
	return true;
}

static bool batch_flush(struct ph_copy *copy, pid_t pid, struct batch *b, struct ph_notes *notes)
{
	struct iovec local = { b->to, b->bytes };
	uint8_t *to = b->to;
	ssize_t got = b->n && !copy->no_vm_readv
			      ? process_vm_readv(pid, &local, 1, b->remote, b->n, 0) : -1;
	bool whole = got >= 0 && (uint64_t)got == b->bytes;
	for (size_t i = 0; i < b->n; i++) {
		ph_addr start = (uintptr_t)b->remote[i].iov_base;
		uint64_t n = b->remote[i].iov_len;
		if (whole ? !segment_add(copy, start, n, to, b->writable[i])
			  : !piece_by_piece(copy, pid, start, n, to, b->writable[i], notes))
			return false;
		to += n;
	}
	b->n = 0;
	b->bytes = 0;
	return true;
}

/* Room for up to `want` bytes in the last chunk; makes another when it is full. */
static struct ph_err *room(struct ph_copy *copy, uint64_t want, struct ph_chunk **ret)
{
	struct ph_chunk *c = copy->chunks.n ? &copy->chunks.items[copy->chunks.n - 1] : NULL;
	if (!c || c->used == c->size) {
		/* the target has grown since we asked: this much more, untouched */
		struct ph_err *err = chunk_add(copy, want < (64u << 20) ? 64u << 20 : want, false);
		if (err)
			return err;
		c = &copy->chunks.items[copy->chunks.n - 1];
	}
	*ret = c;
	return NULL;
}

struct ph_err *ph_copy_run(struct ph_copy *copy, pid_t pid, const struct ph_runs *runs,
			   struct ph_notes *notes)
{
	struct batch *b ph_cleanup_free = calloc(1, sizeof *b);
	if (!b)
		return ph_err_nomem();
	for (size_t i = 0; i < runs->list.n; i++) {
		const struct ph_run *r = &runs->list.items[i];
		for (ph_addr at = r->start; at < r->end;) {
			struct ph_chunk *c;
			struct ph_err *err = room(copy, r->end - at, &c);
			if (err)
				return err;
			uint64_t n = r->end - at;
			if (n > c->size - c->used)
				n = c->size - c->used;
			if (n > CALL_BYTES)
				n = CALL_BYTES;
			uint8_t *to = c->bytes + c->used;
			if (b->n && (b->n == IOVECS || b->bytes + n > CALL_BYTES || b->to + b->bytes != to) &&
			    !batch_flush(copy, pid, b, notes))
				return ph_err_nomem();
			if (!b->n)
				b->to = to;
			b->remote[b->n] = (struct iovec){ (void *)(uintptr_t)at, n };
			b->writable[b->n++] = r->writable;
			b->bytes += n;
			c->used += n;
			at += n;
			if (ph_interrupted)
				return ph_err_interrupted();
		}
	}
	return batch_flush(copy, pid, b, notes) ? NULL : ph_err_nomem();
}

void ph_copy_free(struct ph_copy *copy)
{
	for (size_t i = 0; i < copy->chunks.n; i++)
		munmap(copy->chunks.items[i].bytes, copy->chunks.items[i].size);
	ph_vec_free(&copy->chunks);
	ph_vec_free(&copy->segments);
	copy->bytes = 0;
}
