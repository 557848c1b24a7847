/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mimalloc reserves a GiB and uses some of it, glibc 64 MiB for a thread's heap and 8 for its stack. The
 * kernel writes a core with holes there, gcore zeroes. Both are left out, as they are where a process
 * is read: what grows with the memory (the index, the copy for the objects' own code) shall grow with
 * what is in it. */
#include <errno.h>
#include <unistd.h>
#include "core_priv.h"

#define RESERVED_MIN (4ull << 20) /* how much such memory is at least */
#define BLOCK (1ull << 20)        /* of zeroes: less stays what it is */
#define PART (64u << 10)          /* read at a time */

/* Where a file is mapped it has what is not in the core. */
bool ph_core_is_reserved(const struct ph_core *core, const struct ph_core_load *load)
{
	bool file = false;
	for (size_t i = 0; !file && i < core->maps.n; i++)
		file = core->maps.items[i].start < load->end && core->maps.items[i].end > load->start;
	return load->held >= RESERVED_MIN && !file;
}

static bool is_zero(const char *p, size_t n)
{
	return !n || (!*p && !memcmp(p, p + 1, n - 1));
}

/* Whether [offset, offset + n) of the file is zeroes. What holds data mostly begins with some. */
static bool reads_zero(const struct ph_core *core, uint64_t offset, uint64_t n)
{
	char buf[PART];
	uint64_t part = PH_PAGE;
	for (uint64_t done = 0; done < n; done += part, part = PART) {
		if (part > n - done)
			part = n - done;
		if (pread(core->fd, buf, part, (off_t)(offset + done)) != (ssize_t)part || !is_zero(buf, part))
			return false;
	}
	return true;
}

/* The same, told by the file system where it can. */
static bool is_hole(const struct ph_core *core, uint64_t offset, uint64_t n)
{
	off_t data = lseek(core->fd, (off_t)offset, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO || reads_zero(core, offset, n);
	return (uint64_t)data >= offset + n || reads_zero(core, offset, n);
}

static struct ph_err *add_piece(const struct ph_segment *whole, uint64_t from, uint64_t to, struct ph_mem *mem)
{
	struct ph_segment piece = *whole;
	piece.start = whole->start + from;
	piece.end = whole->start + to;
	piece.bytes = whole->bytes + from;
	piece.offset = whole->offset + from;
	return ph_mem_add(mem, &piece);
}

struct ph_err *ph_core_add_reserved(const struct ph_core *core, const struct ph_segment *whole, struct ph_mem *mem)
{
	uint64_t size = whole->end - whole->start, from = 0;
	struct ph_err *err = ph_mem_sparse(mem, &(struct ph_sparse){ whole->start, whole->end, whole->bytes });
	for (uint64_t at = 0; !err && at < size; at += BLOCK) {
		uint64_t n = size - at < BLOCK ? size - at : BLOCK;
		if (n < BLOCK || !is_hole(core, whole->offset + at, n))
			continue;
		if (at > from)
			err = add_piece(whole, from, at, mem);
		from = at + n;
	}
	return err || from == size ? err : add_piece(whole, from, size, mem);
}
