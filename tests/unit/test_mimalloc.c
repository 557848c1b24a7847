/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The heaps of a free-threaded build, made by hand: what the collector tracks is found once,
 * and damage is told, not followed. */
#include <check.h>
#include <stdlib.h>
#include <pyheap/runtime.h>

#define STATE 0x10000000ull   /* runtime, interpreter, thread states */
#define STATE_SIZE 0x10000u
#define SEGMENT 0x40000000ull /* two of 32 MiB, of which the first slices are there */
#define SLICE 0x10000u
#define SLICES 16u            /* that are there of each */
#define SECOND (SEGMENT + (32ull << 20))
#define INTERP (STATE + 0x1000)
#define THREAD (STATE + 0x2000)
#define KEY 0x123456789abcdef0ull
#define ENTRIES 512u
#define PAGE_SIZE 96u
#define HEAD 32u              /* bytes of an object */
#define TRACKED 1u
#define FROZEN 8u
#define MAX_SEEN 70000

enum { PAGE_COUNT = 0, PAGE_OFFSET = 4, PAGE_TAG = 8, PAGE_CAPACITY = 10, PAGE_RESERVED = 12, PAGE_FREE = 16,
       PAGE_USED = 24, PAGE_BLOCK = 28, PAGE_LOCAL = 32, PAGE_THREAD = 40, PAGE_HEAP = 48, PAGE_NEXT = 56,
       PAGE_KEYS = 64, PAGE_START = 80, PAGE_WIDE_BLOCK = 88 };
enum { SEGMENT_COOKIE = 16, SEGMENT_ENTRIES = 24, SEGMENT_SLICES = 64 };
enum { THREAD_HEAPS = 64, THREAD_READY = 1000, HEAP_SIZE = 120, QUEUES = 5 };

struct heaps {
	uint8_t *state, *segment[2];
	struct ph_mem *mem;
	struct ph_layout layout;
	struct ph_target target;
	struct ph_interp interp;
	struct ph_runtime rt;
	struct ph_notes notes;
	struct seen { ph_addr objects[MAX_SEEN]; int generation[MAX_SEEN]; size_t n; } seen[2];
};

static struct heaps *h;

/* ---- making them ----------------------------------------------------------------------------- */

static uint8_t *at(ph_addr addr)
{
	if (addr >= SECOND)
		return h->segment[1] + (addr - SECOND);
	return addr >= SEGMENT ? h->segment[0] + (addr - SEGMENT) : h->state + (addr - STATE);
}

static void put(ph_addr addr, uint64_t v, size_t n)
{
	memcpy(at(addr), &v, n);
}

static void has(enum ph_field f, uint32_t offset, uint32_t size)
{
	h->layout.field[f] = (struct ph_member){ .offset = offset, .size = size, .present = true };
}

static void is(enum ph_struct s, uint32_t bytes)
{
	h->layout.sizes[s].bytes = bytes;
	h->layout.sizes[s].present = true;
}

static void layout_make(void)
{
	has(PH_F_PyInterp_threads, 0, 8);
	has(PH_F_PyThread_next, 0, 8);
	has(PH_F_PyThread_heaps, THREAD_HEAPS, 4 * HEAP_SIZE);
	has(PH_F_PyThread_heaps_ready, THREAD_READY, 4);
	has(PH_F_Heap_pages, 0, QUEUES * 24);
	has(PH_F_HeapQueue_first, 0, 8);
	has(PH_F_HeapPage_slice_count, PAGE_COUNT, 4);
	has(PH_F_HeapPage_slice_offset, PAGE_OFFSET, 4);
	has(PH_F_HeapPage_tag, PAGE_TAG, 1);
	h->layout.field[PH_F_HeapPage_tag].bit = 3;
	h->layout.field[PH_F_HeapPage_tag].bits = 4;
	has(PH_F_HeapPage_capacity, PAGE_CAPACITY, 2);
	has(PH_F_HeapPage_reserved, PAGE_RESERVED, 2);
	has(PH_F_HeapPage_used, PAGE_USED, 4);
	has(PH_F_HeapPage_block_size, PAGE_BLOCK, 4);
	has(PH_F_HeapPage_free, PAGE_FREE, 8);
	has(PH_F_HeapPage_local_free, PAGE_LOCAL, 8);
	has(PH_F_HeapPage_thread_free, PAGE_THREAD, 8);
	has(PH_F_HeapPage_next, PAGE_NEXT, 8);
	has(PH_F_HeapSegment_cookie, SEGMENT_COOKIE, 8);
	has(PH_F_HeapSegment_entries, SEGMENT_ENTRIES, 8);
	has(PH_F_HeapSegment_slices, SEGMENT_SLICES, (ENTRIES + 1) * PAGE_SIZE);
	has(PH_F_PyObject_ob_gc_bits, 11, 1);
	is(PH_S_Heap, HEAP_SIZE);
	is(PH_S_HeapQueue, 24);
	is(PH_S_HeapPage, PAGE_SIZE);
	is(PH_S_PyObject, HEAD);
	h->layout.enums[PH_E_HEAP_OF_OBJECTS].value = 2;
	h->layout.enums[PH_E_HEAP_OF_OBJECTS].present = true;
	h->layout.enums[PH_E_HEAP_OF_PRE_HEADERS].value = 3;
	h->layout.enums[PH_E_HEAP_OF_PRE_HEADERS].present = true;
}

static ph_addr page_at(ph_addr segment, unsigned slice)
{
	return segment + SEGMENT_SLICES + slice * PAGE_SIZE;
}

/* A page of n slices with blocks of a size, of which `used` are in use, all tracked. Objects
 * behind a pre-header: tag 3. Returns where its blocks are. */
static ph_addr page_make(ph_addr segment, unsigned slice, unsigned n, unsigned tag, uint32_t block, unsigned reserved,
			 unsigned used)
{
	ph_addr page = page_at(segment, slice), start = segment + slice * SLICE;
	start += block > 512 ? 0 : block > 64 ? block : 3 * block;
	put(page + PAGE_COUNT, n, 4);
	put(page + PAGE_OFFSET, 0, 4);
	put(page + PAGE_TAG, tag << 3 | 1, 1);
	put(page + PAGE_CAPACITY, used, 2);
	put(page + PAGE_RESERVED, reserved, 2);
	put(page + PAGE_USED, used, 4);
	put(page + PAGE_BLOCK, block, 4);
	for (unsigned i = 0; i < used; i++)
		put(start + i * block + (tag == 3 ? 16 : 0) + 11, TRACKED, 1);
	for (unsigned i = 1; i < n; i++) /* the inside knows the way back */
		put(page_at(segment, slice + i) + PAGE_OFFSET, i * PAGE_SIZE, 4);
	return start;
}

/* Puts it at the head of a queue of a heap of the thread's. */
static void page_queue(unsigned heap, unsigned queue, ph_addr page)
{
	ph_addr head = THREAD + THREAD_HEAPS + heap * HEAP_SIZE + queue * 24;
	memcpy(at(page + PAGE_NEXT), at(head), 8);
	put(head, page, 8);
}

static void segment_make(ph_addr segment)
{
	put(segment + SEGMENT_COOKIE, segment ^ KEY, 8);
	put(segment + SEGMENT_ENTRIES, ENTRIES, 8);
	put(page_at(segment, 0) + PAGE_COUNT, 1, 4); /* the header */
}

static void setup(void)
{
	h = calloc(1, sizeof *h);
	h->state = calloc(1, STATE_SIZE);
	for (int i = 0; i < 2; i++)
		h->segment[i] = calloc(SLICES, SLICE);
	layout_make();
	h->mem = ph_mem_new();
	const ph_addr starts[] = { STATE, SEGMENT, SECOND };
	const uint8_t *const bytes[] = { h->state, h->segment[0], h->segment[1] };
	const uint64_t size[] = { STATE_SIZE, SLICES * SLICE, SLICES * SLICE };
	for (int i = 0; i < 3; i++)
		ck_assert_ptr_null(ph_mem_add(h->mem, &(struct ph_segment){ .start = starts[i], .end = starts[i] + size[i],
									    .bytes = bytes[i], .fd = -1, .writable = true }));
	ck_assert_ptr_null(ph_mem_seal(h->mem));
	h->target.mem = h->mem;
	h->interp.address = INTERP;
	h->rt = (struct ph_runtime){ .target = &h->target, .mem = h->mem, .layout = &h->layout, .address = STATE,
				     .free_threaded = true, .interps = &h->interp, .ninterps = 1 };
	put(INTERP, THREAD, 8);
	put(THREAD + THREAD_READY, 1, 4);
	segment_make(SEGMENT);
	segment_make(SECOND);
}

static void teardown(void)
{
	ph_mem_free(h->mem);
	for (int i = 0; i < 2; i++)
		free(h->segment[i]);
	free(h->state);
	free(h);
}

/* ---- walking them ---------------------------------------------------------------------------- */

static bool see(void *ctx, ph_addr object, int generation, uint32_t interp)
{
	struct seen *s = ctx;
	(void)interp;
	ck_assert_uint_lt(s->n, MAX_SEEN);
	s->objects[s->n] = object;
	s->generation[s->n++] = generation;
	return true;
}

static uint32_t notes(void)
{
	return h->notes.kind[PH_NOTE_BAD_LIST].count;
}

static size_t walk(void)
{
	h->seen[0].n = 0;
	h->notes = (struct ph_notes){ 0 };
	ph_runtime_tracked(&h->rt, 0, &h->notes, see, &h->seen[0]);
	return h->seen[0].n;
}

static bool found(ph_addr object)
{
	for (size_t i = 0; i < h->seen[0].n; i++)
		if (h->seen[0].objects[i] == object)
			return true;
	return false;
}

/* Makes a list of free blocks of them, each linked with the next. */
static void link_blocks(ph_addr page, unsigned list, const ph_addr *blocks, size_t n, unsigned flags)
{
	put(page + list, n ? blocks[0] | flags : flags, 8);
	for (size_t i = 0; i < n; i++) {
		put(blocks[i], i + 1 < n ? blocks[i + 1] : 0, 8);
		put(page + PAGE_USED, ph_load_u32(at(page + PAGE_USED)) - 1, 4);
	}
}

START_TEST(test_pages)
{
	ph_addr a = page_make(SEGMENT, 1, 1, 2, 64, 1000, 10), b = page_make(SEGMENT, 2, 1, 3, 80, 700, 5);
	page_make(SEGMENT, 3, 1, 1, 64, 1000, 50); /* not collected */
	page_make(SEGMENT, 4, 1, 0, 64, 1000, 50);
	page_queue(2, 0, page_at(SEGMENT, 1));
	page_queue(3, 4, page_at(SEGMENT, 2)); /* the queue of full ones */
	page_queue(1, 0, page_at(SEGMENT, 3));
	ck_assert_uint_eq(walk(), 15);
	ck_assert(found(a) && found(a + 9 * 64) && !found(a + 10 * 64));
	ck_assert(found(b + 16) && !found(b));
	ck_assert_uint_eq(notes(), 0);
}
END_TEST

/* Of a thread that ended: in no queue. And a huge one, the only block of its page. */
START_TEST(test_left_behind)
{
	page_make(SEGMENT, 1, 1, 2, 64, 1000, 10);
	page_queue(2, 0, page_at(SEGMENT, 1));
	page_make(SECOND, 1, 8, 2, 8 * SLICE, 1, 1);
	page_make(SECOND, 9, 1, 2, 128, 500, 7);
	ck_assert_uint_eq(walk(), 18);
	ck_assert(found(SECOND + SLICE));
	ck_assert_uint_eq(notes(), 0);
	/* 2.1 keeps 32 bits of a block's size */
	put(page_at(SECOND, 1) + PAGE_BLOCK, 0x80000000u, 4);
	ck_assert_uint_eq(walk(), 18);
	ck_assert_uint_eq(notes(), 0);
}
END_TEST

START_TEST(test_free_lists)
{
	ph_addr s = page_make(SEGMENT, 1, 1, 2, 64, 1000, 10), page = page_at(SEGMENT, 1);
	page_queue(2, 0, page);
	link_blocks(page, PAGE_FREE, (ph_addr[]){ s + 64, s + 5 * 64 }, 2, 0);
	link_blocks(page, PAGE_LOCAL, (ph_addr[]){ s + 2 * 64 }, 1, 0);
	link_blocks(page, PAGE_THREAD, (ph_addr[]){ s + 3 * 64, s + 4 * 64 }, 2, 1);
	put(s + 9 * 64 + 11, 0, 1); /* in use, but not tracked */
	ck_assert_uint_eq(walk(), 4);
	ck_assert(found(s) && found(s + 6 * 64) && found(s + 8 * 64));
	put(s + 64, s + 999 * 64, 8); /* a block that the capacity will soon take in */
	ck_assert_uint_eq(walk(), 5);
	ck_assert_uint_eq(notes(), 0);
	put(page + PAGE_LOCAL, s + 64, 8); /* the two lists are just being joined */
	walk();
	ck_assert_uint_eq(notes(), 0);
}
END_TEST

static uint64_t encode(uint64_t v, uint64_t k0, uint64_t k1)
{
	v ^= k1;
	return (v << (k0 & 63) | v >> (64 - (k0 & 63))) + k0;
}

/* Debug builds: links are encoded with two keys of the page, blocks begin with 16 bytes. */
START_TEST(test_debug)
{
	const uint64_t k0 = 0x9e3779b97f4a7c15u, k1 = 0xc2b2ae3d27d4eb4fu;
	ph_addr s = page_make(SEGMENT, 1, 1, 2, 96, 600, 6), page = page_at(SEGMENT, 1);
	page_queue(2, 0, page);
	has(PH_F_HeapPage_keys, PAGE_KEYS, 16);
	has(PH_F_PyRuntime_debug_blocks, 8, 4);
	put(STATE + 8, 1, 4);
	put(page + PAGE_KEYS, k0, 8);
	put(page + PAGE_KEYS + 8, k1, 8);
	for (unsigned i = 0; i < 6; i++)
		put(s + i * 96 + 16 + 11, TRACKED, 1);
	put(page + PAGE_FREE, s + 96, 8);
	put(s + 96, encode(s + 3 * 96, k0, k1), 8);
	put(s + 3 * 96, encode(page, k0, k1), 8); /* the end */
	ck_assert_uint_eq(walk(), 4);
	ck_assert(found(s + 16) && !found(s + 96 + 16) && !found(s + 3 * 96 + 16));
	ck_assert_uint_eq(notes(), 0);
}
END_TEST

/* mimalloc 2.2 and later: pages know where they begin, and have wide sizes. */
START_TEST(test_newer)
{
	page_make(SEGMENT, 1, 1, 2, 64, 1000, 10);
	page_queue(2, 0, page_at(SEGMENT, 1));
	has(PH_F_HeapPage_start, PAGE_START, 8);
	has(PH_F_HeapPage_block_size, PAGE_WIDE_BLOCK, 8);
	put(page_at(SEGMENT, 1) + PAGE_START, SEGMENT + SLICE + 192, 8);
	put(page_at(SEGMENT, 1) + PAGE_WIDE_BLOCK, 64, 8);
	ck_assert_uint_eq(walk(), 10);
	ck_assert(found(SEGMENT + SLICE + 192));
	ck_assert_uint_eq(notes(), 0);
}
END_TEST

START_TEST(test_frozen)
{
	ph_addr s = page_make(SEGMENT, 1, 1, 2, 64, 1000, 3);
	page_queue(2, 0, page_at(SEGMENT, 1));
	put(s + 64 + 11, TRACKED | FROZEN, 1);
	ck_assert_uint_eq(walk(), 3);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(h->seen[0].generation[i],
				 h->seen[0].objects[i] == s + 64 ? PH_GENERATION_PERMANENT : PH_GENERATION_ANY);
	h->seen[0].n = 0;
	ph_runtime_tracked(&h->rt, 1u << PH_GENERATION_ANY, &h->notes, see, &h->seen[0]);
	ck_assert_uint_eq(h->seen[0].n, 1);
}
END_TEST

/* Two threads share the pages: each object once. */
START_TEST(test_two_threads)
{
	for (unsigned i = 1; i < 10; i++) {
		page_make(SEGMENT, i, 1, 2, 64, 1000, i);
		page_queue(2, 0, page_at(SEGMENT, i));
	}
	ph_runtime_tracked_both(&h->rt, &h->notes, see, (void *[]){ &h->seen[0], &h->seen[1] });
	ck_assert_uint_eq(h->seen[0].n + h->seen[1].n, 45);
	ck_assert(h->seen[0].n && h->seen[1].n);
	for (size_t i = 0; i < h->seen[1].n; i++)
		ck_assert(!found(h->seen[1].objects[i]));
	ck_assert_uint_eq(notes(), 0);
}
END_TEST

/* ---- damage ------------------------------------------------------------------------------------ */

/* Each row destroys one word of a page; the other page is found all the same. */
static const struct { unsigned offset, bytes; uint64_t value; const char *what; } damages[] = {
	{ PAGE_CAPACITY, 2, 65535, "a capacity above what is reserved" },
	{ PAGE_RESERVED, 2, 65535, "more reserved than the page has room for" },
	{ PAGE_BLOCK, 4, 0x7fffffff, "blocks larger than the page" },
	{ PAGE_COUNT, 4, 0xffffffff, "a page of 256 TiB" },
	{ PAGE_FREE, 8, SEGMENT + SLICE + 192 + 1, "a free block that is none" },
	{ PAGE_FREE, 8, UINT64_MAX - 7, "a free block nowhere" },
	{ PAGE_FREE, 8, SEGMENT, "a free block before the page" },
	{ PAGE_LOCAL, 8, SEGMENT + 5 * SLICE, "a free block behind it" },
	{ PAGE_THREAD, 8, 0xdeadbeefdeadbef0, "the same of another thread" },
};

START_TEST(test_damaged_page)
{
	page_make(SEGMENT, 1, 1, 2, 64, 1000, 10);
	page_make(SECOND, 2, 1, 2, 64, 1000, 10);
	page_queue(2, 0, page_at(SEGMENT, 1));
	put(page_at(SEGMENT, 1) + damages[_i].offset, damages[_i].value, damages[_i].bytes);
	size_t n = walk();
	/* free lists of tracked objects lie: only a page that cannot be is left out */
	ck_assert_msg(n == 10 || n == 20, "%s: %zu", damages[_i].what, n);
	bool harmless = damages[_i].offset == PAGE_COUNT; /* blocks are where they are */
	ck_assert_msg(notes() > 0 || harmless, "%s is not told", damages[_i].what);
	ck_assert(found(SECOND + 2 * SLICE + 192));
}
END_TEST

START_TEST(test_cycle)
{
	ph_addr s = page_make(SEGMENT, 1, 1, 2, 64, 1000, 10), page = page_at(SEGMENT, 1);
	page_queue(2, 0, page);
	put(page + PAGE_FREE, s, 8);
	put(s, s + 64, 8);
	put(s + 64, s, 8);
	ck_assert_uint_eq(walk(), 8);
	ck_assert_uint_eq(notes(), 1);
}
END_TEST

START_TEST(test_damaged_queue)
{
	page_make(SEGMENT, 1, 1, 2, 64, 1000, 10);
	page_make(SEGMENT, 2, 1, 2, 64, 1000, 10);
	page_queue(2, 0, page_at(SEGMENT, 1));
	page_queue(2, 0, page_at(SEGMENT, 2));
	put(page_at(SEGMENT, 1) + PAGE_NEXT, 0xdead0000, 8);
	ck_assert_uint_eq(walk(), 20); /* the queue goes on nowhere */
	ck_assert_uint_gt(notes(), 0);
	put(page_at(SEGMENT, 1) + PAGE_NEXT, page_at(SEGMENT, 2), 8); /* and round */
	ck_assert_uint_eq(walk(), 20);
	ck_assert_uint_gt(notes(), 0);
}
END_TEST

/* A segment whose cookie is wrong is none, and its page that is in a queue is missed. */
START_TEST(test_damaged_segment)
{
	page_make(SEGMENT, 1, 1, 2, 64, 1000, 10);
	page_make(SEGMENT, 2, 1, 2, 64, 1000, 10);
	page_make(SECOND, 1, 1, 2, 64, 1000, 10);
	page_queue(2, 0, page_at(SECOND, 1));
	page_queue(2, 0, page_at(SEGMENT, 1));
	page_queue(2, 1, page_at(SEGMENT, 2));
	put(SECOND + SEGMENT_COOKIE, 7, 8);
	ck_assert_uint_eq(walk(), 20);
	ck_assert_uint_eq(notes(), 1);
	put(SEGMENT + SEGMENT_COOKIE, 8, 8); /* now nothing is known */
	ck_assert_uint_le(walk(), 20);
	ck_assert_uint_gt(notes(), 0);
}
END_TEST

/* Any word of the segments and of the thread destroyed: an end, and no access out of bounds. */
START_TEST(test_any_damage)
{
	static const uint64_t values[] = { 0, 1, UINT64_MAX, SEGMENT, SEGMENT + SLICE + 192, SECOND, 0x7fffffffffff };
	page_make(SEGMENT, 1, 1, 2, 64, 1000, 900);
	page_make(SEGMENT, 2, 2, 3, 4096, 30, 20);
	page_make(SECOND, 1, 4, 2, 4 * SLICE, 1, 1);
	page_queue(2, 0, page_at(SEGMENT, 1));
	page_queue(3, 2, page_at(SEGMENT, 2));
	for (unsigned i = 0; i < 6 * PAGE_SIZE + SEGMENT_SLICES; i += 4)
		for (unsigned k = 0; k < sizeof values / sizeof *values; k++) {
			ph_addr word = (i & 4 ? SECOND : SEGMENT) + i;
			uint8_t old[8];
			memcpy(old, at(word), 8);
			put(word, values[k], 8);
			ck_assert_uint_le(walk(), 921 + SLICES * SLICE / 32);
			memcpy(at(word), old, 8);
		}
	ck_assert_uint_eq(walk(), 921);
}
END_TEST

START_TEST(test_unknown_layout)
{
	page_make(SEGMENT, 1, 1, 2, 64, 1000, 10);
	page_queue(2, 0, page_at(SEGMENT, 1));
	h->layout.field[PH_F_HeapPage_capacity].present = false;
	ck_assert_uint_eq(walk(), 0);
	ck_assert_uint_eq(notes(), 1);
}
END_TEST

Suite *mimalloc_suite(void);
Suite *mimalloc_suite(void)
{
	Suite *s = suite_create("mimalloc");
	TCase *tc = tcase_create("mimalloc");
	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_pages);
	tcase_add_test(tc, test_left_behind);
	tcase_add_test(tc, test_free_lists);
	tcase_add_test(tc, test_debug);
	tcase_add_test(tc, test_newer);
	tcase_add_test(tc, test_frozen);
	tcase_add_test(tc, test_two_threads);
	tcase_add_loop_test(tc, test_damaged_page, 0, sizeof damages / sizeof *damages);
	tcase_add_test(tc, test_cycle);
	tcase_add_test(tc, test_damaged_queue);
	tcase_add_test(tc, test_damaged_segment);
	tcase_add_test(tc, test_any_damage);
	tcase_add_test(tc, test_unknown_layout);
	suite_add_tcase(s, tc);
	return s;
}
