/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The yardstick for a pause: process_vm_readv of all private writable memory of a
 * process, into huge pages that were touched before. Prints bytes and milliseconds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>

#define MAX 65536

int main(int argc, char **argv)
{
	static struct iovec remote[MAX];
	char path[64], line[8192], perms[5];
	uint64_t total = 0, from, to;
	int n = 0, pid = argc > 1 ? atoi(argv[1]) : 0;
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "r");
	while (maps && fgets(line, sizeof line, maps) && n < MAX)
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &from, &to, perms) == 3 && !strcmp(perms, "rw-p")) {
			remote[n++] = (struct iovec){ (void *)(uintptr_t)from, to - from };
			total += to - from;
		}
	if (!maps || !n)
		return 1;
	size_t size = (total + (2 << 20) - 1) & ~(size_t)((2 << 20) - 1);
	char *buf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		return 1;
	madvise(buf, size, MADV_HUGEPAGE);
	memset(buf, 1, size);
	struct timespec a, b;
	uint64_t copied = 0;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < n; i++) {
		struct iovec local = { buf + copied, remote[i].iov_len };
		ssize_t got = process_vm_readv(pid, &local, 1, &remote[i], 1, 0);
		if (got > 0)
			copied += (uint64_t)got;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%" PRIu64 " %.3f\n", copied, (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6);
	return 0;
}
