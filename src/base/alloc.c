/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/mman.h>
#include <unistd.h>
#include <pyheap/base.h>

#define HUGE_PAGE (2u << 20)

bool ph_vec_grow_(void **items, size_t n, size_t *cap, size_t more, size_t size)
{
	size_t want = *cap + *cap / 2;
	if (more > SIZE_MAX - n)
		return false;
	if (want < n + more)
		want = n + more;
	if (want < 8)
		want = 8;
	if (want > SIZE_MAX / size)
		return false;
	void *p = realloc(*items, want * size);
	if (!p)
		return false;
	*items = p;
	*cap = want;
	return true;
}

/* Below 4 MiB huge pages cost more zeroing than they save in page faults. */
void *ph_big_alloc(size_t bytes)
{
	if (bytes < 2 * HUGE_PAGE)
		return calloc(1, bytes ? bytes : 1);
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	madvise(p, bytes, MADV_HUGEPAGE); /* only a wish */
	madvise(p, bytes, MADV_DONTFORK); /* replay's child has no use for it, and shared pages would be copied */
	return p;
}

void ph_big_free(void *p, size_t bytes)
{
	if (!p)
		return;
	if (bytes < 2 * HUGE_PAGE)
		free(p);
	else
		munmap(p, bytes);
}

void ph_big_drop(void *p, size_t bytes)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = ((uintptr_t)p + page - 1) & ~(page - 1);
	uintptr_t end = ((uintptr_t)p + bytes) & ~(page - 1);
	if (first < end)
		madvise((void *)first, end - first, MADV_DONTNEED);
}
