/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The yardstick of the pause: copy PID prints how many bytes of private writable
 * memory a process has, and in how many milliseconds a bare process_vm_readv loop
 * copies them into huge pages that were touched before. Neither does it stop the
 * process, nor is finding out which pages there are part of the time; so it does a
 * little less than has to be done. Half a copy is none: it fails. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAX_PIECES 1000000
#define GUARD (1ull << 58) /* a page that nobody can read */
static struct iovec pieces[MAX_PIECES];
static size_t npieces, bytes;

/* Pages that are present or swapped, in runs of at most 64 MiB; false = they are too many. */
static bool add_mapping(int pagemap, uint64_t start, uint64_t end)
{
	for (uint64_t page, at = start; at < end && pread(pagemap, &page, 8, (off_t)(at / 4096 * 8)) == 8; at += 4096) {
		struct iovec *last = npieces ? &pieces[npieces - 1] : NULL;
		if (!(page >> 62) || page & GUARD)
			continue;
		bytes += 4096;
		if (last && (uintptr_t)last->iov_base + last->iov_len == at && last->iov_len < 64u << 20)
			last->iov_len += 4096;
		else if (npieces < MAX_PIECES)
			pieces[npieces++] = (struct iovec){ (void *)(uintptr_t)at, 4096 };
		else
			return false;
	}
	return true;
}

/* Milliseconds; below 0: it cannot be read. */
static double copy(pid_t pid, uint8_t *buf)
{
	struct timespec a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (size_t i = 0, at = 0; i < npieces;) {
		size_t n = 0, sum = 0;
		while (i + n < npieces && n < 1024 && sum < 128u << 20)
			sum += pieces[i + n++].iov_len;
		struct iovec to = { buf + at, sum };
		if (process_vm_readv(pid, &to, 1, pieces + i, n, 0) != (ssize_t)sum)
			return -1;
		at += sum;
		i += n;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
}

int main(int argc, char **argv)
{
	char path[64], line[8192], mode[5];
	unsigned long start, end;
	pid_t pid = argc > 1 ? atoi(argv[1]) : 0;
	snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
	int pagemap = open(path, O_RDONLY);
	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	FILE *maps = fopen(path, "r");
	if (pagemap < 0 || !maps) {
		fprintf(stderr, "usage: copy PID\n");
		return 2;
	}
	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx %4s", &start, &end, mode) == 3 && mode[1] == 'w' && mode[3] == 'p' &&
		    !add_mapping(pagemap, start, end))
			return 2;
	if (!bytes) {
		fprintf(stderr, "copy: its pagemap shows nothing\n");
		return 1;
	}
	size_t size = (bytes + (4u << 20)) & ~((2ul << 20) - 1);
	uint8_t *buf = aligned_alloc(2u << 20, size);
	if (!buf || madvise(buf, size, MADV_HUGEPAGE) < 0)
		return 2;
	for (size_t i = 0; i < size; i += 4096)
		((volatile uint8_t *)buf)[i] = 0;
	double ms = copy(pid, buf);
	if (ms < 0)
		fprintf(stderr, "copy: a part could not be read\n");
	else
		printf("%zu %.3f\n", bytes, ms);
	return ms < 0;
}
