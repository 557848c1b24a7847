/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segments, overlaps, the block index, linear numbers, strings, the pager. */
#include <check.h>
#include <sys/mman.h>
#include <pyheap/memory.h>

#define MIB (1ull << 20)

Suite *memory_suite(void);

static struct ph_mem *mem;
static uint8_t buf[1 << 18];

static void setup(void)
{
	for (size_t i = 0; i < sizeof buf; i++)
		buf[i] = (uint8_t)(i * 7 + (i >> 8));
	mem = ph_mem_new();
	ck_assert_ptr_nonnull(mem);
}

static void teardown(void)
{
	ph_mem_free(mem);
}

static void add(ph_addr start, ph_addr end, const uint8_t *bytes)
{
	struct ph_segment seg = { .start = start, .end = end, .bytes = bytes, .fd = -1 };
	ck_assert_ptr_null(ph_mem_add(mem, &seg));
}

static void seal(void)
{
	ck_assert_ptr_null(ph_mem_seal(mem));
}

START_TEST(test_empty)
{
	add(0x5000, 0x5000, buf);
	seal();
	ck_assert_uint_eq(mem->nsegs, 0);
	ck_assert_uint_eq(mem->linear_size, 0);
	ck_assert_ptr_null(ph_mem_at(mem, 0x5000, 1));
	ck_assert_ptr_null(ph_mem_at(mem, UINT64_MAX, 8));
	ck_assert_uint_eq(ph_mem_linear(mem, 0x5000), PH_NOWHERE);
	ck_assert_uint_eq(ph_mem_addr(mem, 0), PH_NOWHERE);
}
END_TEST

/* Zeroes between two segments that were left out: read across, but nothing is there. */
START_TEST(test_sparse)
{
	static const uint8_t zeroes[0x3000];
	memcpy(buf, zeroes, sizeof zeroes);
	buf[0] = buf[0x2fff] = 1;
	ck_assert_ptr_null(ph_mem_sparse(mem, &(struct ph_sparse){ 0x10000, 0x13000, buf }));
	add(0x10000, 0x11000, buf);
	add(0x12000, 0x13000, buf + 0x2000);
	seal();
	ck_assert_uint_eq(mem->linear_size, 0x2000);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x10000, 0x3000), buf);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x11ff8, 16), buf + 0x1ff8);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x11800, 8), buf + 0x1800);
	ck_assert_ptr_null(ph_mem_at(mem, 0x10000, 0x3001));
	ck_assert_ptr_null(ph_mem_at(mem, 0x12fff, UINT64_MAX));
	ck_assert_uint_eq(ph_mem_linear(mem, 0x11800), PH_NOWHERE);
}
END_TEST

START_TEST(test_bounds)
{
	add(0x7000, 0x9000, buf);
	seal();
	ck_assert_ptr_eq(ph_mem_at(mem, 0x7000, 0x2000), buf);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x8fff, 1), buf + 0x1fff);
	ck_assert_ptr_null(ph_mem_at(mem, 0x8fff, 2));
	ck_assert_ptr_null(ph_mem_at(mem, 0x6fff, 2));
	ck_assert_ptr_null(ph_mem_at(mem, 0x7000, UINT64_MAX));
	ck_assert_ptr_null(ph_mem_at(mem, 0x8000, UINT64_MAX - 0x100));
	uint64_t v;
	ck_assert(ph_mem_u64(mem, 0x8ff8, &v));
	ck_assert_uint_eq(v, ph_load_u64(buf + 0x1ff8));
	ck_assert(!ph_mem_u64(mem, 0x8ff9, &v));
}
END_TEST

/* What was added first wins, in the middle, at both ends, and over several. */
START_TEST(test_overlap)
{
	add(0x13000, 0x15000, buf + 0x10000);
	add(0x10000, 0x18000, buf);
	add(0x14000, 0x1a000, buf + 0x20000);
	add(0x8000, 0x20000, buf + 0x30000);
	seal();
	ck_assert_uint_eq(mem->nsegs, 6);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x8000, 1), buf + 0x30000);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x10000, 1), buf);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x12fff, 1), buf + 0x2fff);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x13000, 1), buf + 0x10000);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x14fff, 1), buf + 0x11fff);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x15000, 1), buf + 0x5000);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x18000, 1), buf + 0x24000);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x1a000, 1), buf + 0x30000 + 0x12000);
	ck_assert_ptr_null(ph_mem_at(mem, 0x12ff0, 0x20)); /* bytes are elsewhere */
	ck_assert_uint_eq(mem->linear_size, 0x18000);
}
END_TEST

static size_t glance(void *ctx, ph_addr addr, void *out, size_t n)
{
	memset(out, 0x5a, n);
	return ctx && addr < 0x15000 ? n : 0;
}

/* What was left out on purpose: nothing is there, and it is known who asked. */
START_TEST(test_skipped)
{
	static const struct { ph_addr addr; uint64_t n; bool wants; } cases[] = {
		{ 0x10000, 0x2000, false },
		{ 0x12000, 1, true },          /* the first byte of it */
		{ 0x17fff, 1, true },
		{ 0x18000, 0x1000, false },
		{ 0x11ff8, 9, true },          /* reads into it */
		{ 0x12000, UINT64_MAX, true },
		{ 0x18000, 0x1001, false },    /* what is missing behind it, it does not change */
		{ 0xfff8, 16, false },         /* begins nowhere */
		{ 0x19000, 8, false },
		{ 0x10000, 0x9000, true },
		{ 0x18000, UINT64_MAX, false },
	};
	uint64_t word;
	add(0x10000, 0x12000, buf);
	add(0x18000, 0x19000, buf + 0x2000); /* goes on with us, but not in the target */
	ck_assert_ptr_null(ph_mem_skip(mem, 0x12000, 0x18000));
	seal();
	ck_assert_uint_eq(mem->linear_size, 0x3000);
	ck_assert_uint_eq(mem->whole_size, 0x9000);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const void *p = ph_mem_at(mem, cases[i].addr, cases[i].n);
		ck_assert_msg(ph_mem_wanted(mem) == cases[i].wants, "case %zu", i);
		ck_assert(!p || !cases[i].wants);
		ck_assert(cases[i].wants == ph_mem_meets_skipped(mem, cases[i].addr, cases[i].n));
		mem->wanted = false;
	}
	ck_assert_uint_eq(ph_mem_linear(mem, 0x19000), PH_NOWHERE);
	ck_assert(!ph_mem_wanted(mem) && !ph_mem_is_skipped(mem, 0x11fff) && !ph_mem_is_skipped(mem, 0x18000));
	ck_assert_uint_eq(ph_mem_linear(mem, 0x12345), PH_NOWHERE);
	ck_assert(ph_mem_wanted(mem) && ph_mem_is_skipped(mem, 0x12345));
	mem->wanted = false;
	ck_assert(!ph_mem_glance(mem, 0x12345, &word, 8));
	ph_mem_set_glance(mem, glance, mem);
	ck_assert(ph_mem_glance(mem, 0x12345, &word, 8) && word == 0x5a5a5a5a5a5a5a5a && !ph_mem_wanted(mem));
	ck_assert(!ph_mem_glance(mem, 0x15000, &word, 8));
	ph_mem_want(mem); /* from then on it does not matter */
	ck_assert(!ph_mem_glance(mem, 0x12345, &word, 8));
}
END_TEST

/* A string that goes on where something was left out. */
START_TEST(test_skipped_str)
{
	char text[32];
	memset(buf, 'a', 0x1000);
	add(0x10000, 0x11000, buf);
	ck_assert_ptr_null(ph_mem_skip(mem, 0x11000, 0x12000));
	seal();
	ck_assert(!ph_mem_str(mem, 0x10ffc, text, 4) && !ph_mem_wanted(mem));
	ck_assert(!ph_mem_str(mem, 0x10ffc, text, 5) && ph_mem_wanted(mem));
}
END_TEST

/* The definition, byte by byte, on random ranges. */
START_TEST(test_overlap_random)
{
	unsigned seed = 1000 + (unsigned)_i;
	struct ph_segment in[24];
	srand(seed);
	for (int i = 0; i < 24; i++) {
		ph_addr start = 0x40000 + (ph_addr)(rand() % 64) * 8;
		in[i] = (struct ph_segment){ .start = start, .end = start + (ph_addr)(rand() % 20) * 8,
					     .bytes = buf + rand() % 1000, .fd = -1,
					     .writable = rand() % 4 == 0 };
		ck_assert_ptr_null(ph_mem_add(mem, &in[i]));
	}
	seal();
	for (ph_addr a = 0x3fff0; a < 0x40400; a++) {
		const uint8_t *want = NULL;
		for (int i = 0; i < 24 && !want; i++)
			if (in[i].start <= a && a < in[i].end)
				want = in[i].bytes + (a - in[i].start);
		ck_assert_msg(ph_mem_at(mem, a, 1) == want, "seed %u, address %#lx", seed, (long)a);
		uint64_t linear = ph_mem_linear(mem, a);
		ck_assert_msg((linear == PH_NOWHERE) == !want, "seed %u, address %#lx", seed, (long)a);
		if (want) {
			ck_assert_uint_eq(linear % 4096, a % 4096);
			ck_assert_uint_eq(ph_mem_addr(mem, linear), a);
		}
	}
	for (size_t i = 1; i < mem->nsegs; i++) {
		const struct ph_segment *s = &mem->segs[i];
		ck_assert_uint_le(s[-1].end, s->start);
		ck_assert_uint_le(s[-1].linear + (s[-1].end - s[-1].start), s->linear);
	}
}
END_TEST

START_TEST(test_join)
{
	add(0x10000, 0x12000, buf);
	add(0x12000, 0x13000, buf + 0x2000);
	add(0x13000, 0x14000, buf + 0x8000); /* bytes do not go on */
	struct ph_segment w = { .start = 0x14000, .end = 0x15000, .bytes = buf + 0x9000, .fd = -1,
				.writable = true };
	ck_assert_ptr_null(ph_mem_add(mem, &w));
	seal();
	ck_assert_uint_eq(mem->nsegs, 3);
	ck_assert_uint_eq(mem->segs[0].end, 0x13000);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x11ffc, 8), buf + 0x1ffc);
	ck_assert_ptr_null(ph_mem_at(mem, 0x12ffc, 8));
	ck_assert_ptr_eq(ph_mem_at(mem, 0x13ffc, 8), buf + 0x8ffc); /* not joined, one piece */
}
END_TEST

START_TEST(test_join_fd)
{
	struct ph_segment a = { .start = 0x1000, .end = 0x2000, .bytes = buf, .fd = 5, .offset = 0x4000 };
	struct ph_segment b = { .start = 0x2000, .end = 0x3000, .bytes = buf + 0x1000, .fd = 5,
				.offset = 0x9000 };
	ck_assert_ptr_null(ph_mem_add(mem, &a));
	ck_assert_ptr_null(ph_mem_add(mem, &b));
	seal();
	ck_assert_uint_eq(mem->nsegs, 2);
	ck_assert_uint_eq(ph_mem_segment(mem, 0x2fff)->offset, 0x9000);
	ck_assert_ptr_eq(ph_mem_at(mem, 0x1ff0, 0x20), buf + 0xff0);
}
END_TEST

START_TEST(test_blocks)
{
	ph_addr base = 0x7fff00000000;
	add(base + 0x8000, base + 0x38000, buf); /* blocks 1 and 2 whole, 0 and 3 in part */
	seal();
	ck_assert_ptr_null(ph_mem_block(mem, base)->bytes);
	ck_assert_ptr_eq(ph_mem_block(mem, base + 0x1ffff)->bytes, buf + 0x8000);
	ck_assert_ptr_eq(ph_mem_block(mem, base + 0x20000)->bytes, buf + 0x18000);
	ck_assert_ptr_null(ph_mem_block(mem, base + 0x30000)->bytes);
	ck_assert_ptr_null(ph_mem_block(mem, 0x1234));
	ck_assert_ptr_null(ph_mem_block(mem, 1ull << 48));
	for (ph_addr a = base; a < base + 0x40000; a += 0x1000) {
		bool in = a >= base + 0x8000 && a < base + 0x38000;
		ck_assert_ptr_eq(ph_mem_at(mem, a, 8), in ? buf + (a - base - 0x8000) : NULL);
		ck_assert_uint_eq(ph_mem_linear(mem, a), in ? a - base - 0x8000 : PH_NOWHERE);
	}
	ck_assert_ptr_eq(ph_mem_at(mem, base + 0x1fffc, 8), buf + 0x17ffc); /* over a border */
}
END_TEST

START_TEST(test_high_addresses)
{
	add(0xffffffffff600000, 0xffffffffff601000, buf); /* vsyscall */
	add(UINT64_MAX - 15, UINT64_MAX, buf + 16);
	seal();
	ck_assert_ptr_eq(ph_mem_at(mem, 0xffffffffff600ff8, 8), buf + 0xff8);
	ck_assert_ptr_null(ph_mem_at(mem, UINT64_MAX - 8, 16));
	ck_assert_ptr_eq(ph_mem_at(mem, UINT64_MAX - 8, 8), buf + 23);
}
END_TEST

START_TEST(test_str)
{
	char out[8192];
	static uint8_t text[0x2000];
	memset(text, 'x', sizeof text);
	memcpy(text, "hello", 6);
	text[0x1002] = '\0';
	add(0x1000, 0x3000, text);
	seal();
	ck_assert(ph_mem_str(mem, 0x1000, out, sizeof out));
	ck_assert_str_eq(out, "hello");
	ck_assert(ph_mem_str(mem, 0x1000, out, 6));
	ck_assert(!ph_mem_str(mem, 0x1000, out, 5));
	ck_assert(ph_mem_str(mem, 0x1ffe, out, 5)); /* over the page border */
	ck_assert_str_eq(out, "xxxx");
	ck_assert(!ph_mem_str(mem, 0x2f00, out, sizeof out)); /* runs into the hole */
	ck_assert(!ph_mem_str(mem, 0x3000, out, sizeof out));
	ck_assert(!ph_mem_str(mem, 0x1000, out, 0));
}
END_TEST

/* A string that crosses pieces whose bytes lie apart. */
START_TEST(test_str_pieces)
{
	char out[16];
	static uint8_t a[0x1000], b[0x1000];
	memcpy(a + 0xffd, "abc", 3);
	memcpy(b, "def", 4);
	add(0x1000, 0x2000, a);
	add(0x2000, 0x3000, b);
	seal();
	ck_assert(ph_mem_str(mem, 0x1ffd, out, sizeof out));
	ck_assert_str_eq(out, "abcdef");
}
END_TEST

/* ---- pager ------------------------------------------------------------------------ */

struct source {
	unsigned loads;
	ph_addr bad; /* a page that cannot be read */
};

static uint64_t value_at(ph_addr a)
{
	return a * 0x9e3779b97f4a7c15;
}

static size_t load(void *ctx, ph_addr addr, void *out, size_t n)
{
	struct source *s = ctx;
	uint64_t *p = out;
	s->loads++;
	for (size_t i = 0; i < n / 8; i++) {
		if (s->bad && addr + i * 8 >= s->bad && addr + i * 8 < s->bad + 4096)
			return i * 8;
		p[i] = value_at(addr + i * 8);
	}
	return n;
}

static uint8_t *reserve(size_t n)
{
	uint8_t *p = mmap(NULL, n, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

static size_t resident(uint8_t *p, size_t n)
{
	unsigned char *vec = malloc(n / 4096);
	size_t pages = 0;
	ck_assert_int_eq(mincore(p, n, vec), 0);
	for (size_t i = 0; i < n / 4096; i++)
		pages += vec[i] & 1;
	free(vec);
	return pages * 4096;
}

START_TEST(test_pager_loads)
{
	struct source s = { 0 };
	size_t n = 8 * MIB;
	uint8_t *p = reserve(n);
	ph_addr base = 0x7f0000000000 + 0x3000;
	ck_assert_ptr_null(ph_mem_set_pager(mem, 0, load, &s));
	add(base, base + n, p);
	seal();
	ck_assert_uint_eq(s.loads, 0);
	uint64_t v;
	ck_assert(ph_mem_u64(mem, base + 5 * MIB, &v));
	ck_assert_uint_eq(v, value_at(base + 5 * MIB));
	ck_assert_uint_eq(s.loads, 1);
	ck_assert(ph_mem_u64(mem, base + 5 * MIB + 0x10000, &v));
	ck_assert_uint_eq(s.loads, 1);
	ck_assert_ptr_nonnull(ph_mem_block(mem, base + 5 * MIB + 0x10000)->bytes);
	const uint8_t *span = ph_mem_at(mem, base, n);
	ck_assert_ptr_eq(span, p);
	for (size_t i = 0; i < n; i += 8)
		ck_assert_uint_eq(ph_load_u64(span + i), value_at(base + i));
	ck_assert_uint_eq(s.loads, 9);
	ck_assert_ptr_null(ph_mem_at(mem, base, n + 1));
	munmap(p, n);
}
END_TEST

/* Under random reads everything is right, memory stays within the budget, and
 * the last 64 answers stay valid. */
START_TEST(test_pager_budget)
{
	struct source s = { 0 };
	size_t n = 300 * MIB;
	uint8_t *p = reserve(n);
	ph_addr base = 0x560000000000 + 0x5000;
	const uint8_t *last[64] = { 0 };
	ph_addr last_at[64] = { 0 };
	size_t most = 0;
	srand(42);
	ck_assert_ptr_null(ph_mem_set_pager(mem, 140 * MIB, load, &s));
	add(base, base + n / 2, p);
	add(base + n / 2 + 0x7000, base + n + 0x7000, p + n / 2); /* a hole in the middle */
	seal();
	for (unsigned i = 0; i < 1500; i++) {
		uint64_t at = (uint64_t)rand() * 8 % n;
		ph_addr a = base + at + (at >= n / 2 ? 0x7000 : 0);
		const uint8_t *q = ph_mem_at(mem, a, 8);
		ck_assert_ptr_eq(q, p + at);
		last[i % 64] = q;
		last_at[i % 64] = a;
		for (unsigned k = 0; k < 64 && last[k]; k++)
			ck_assert_uint_eq(ph_load_u64(last[k]), value_at(last_at[k]));
		if (i % 250 == 249) {
			size_t now = resident(p, n);
			most = now > most ? now : most;
		}
	}
	ck_assert_uint_le(most, 142 * MIB);
	ck_assert_uint_ge(most, 100 * MIB);
	munmap(p, n);
}
END_TEST

/* A window that is only read through the index stays while others come and go. */
START_TEST(test_pager_in_use)
{
	struct source s = { 0 };
	size_t n = 200 * MIB;
	uint8_t *p = reserve(n);
	ph_addr base = 0x560000000000;
	ck_assert_ptr_null(ph_mem_set_pager(mem, 0, load, &s));
	add(base, base + n, p);
	seal();
	for (size_t at = MIB; at < n; at += MIB) {
		const uint8_t *kept = ph_mem_at(mem, base + 8, 8);
		ck_assert_ptr_nonnull(ph_mem_at(mem, base + at, 8));
		ck_assert_uint_eq(ph_load_u64(kept), value_at(base + 8));
	}
	ck_assert_uint_le(resident(p, n), 130 * MIB);
	munmap(p, n);
}
END_TEST

START_TEST(test_pager_bad_page)
{
	ph_addr base = 0x560000000000;
	struct source s = { .bad = base + 0x23000 };
	size_t n = 2 * MIB;
	uint8_t *p = reserve(n);
	ck_assert_ptr_null(ph_mem_set_pager(mem, 0, load, &s));
	add(base, base + n, p);
	seal();
	ck_assert_ptr_null(ph_mem_at(mem, base + 0x23000, 8));
	ck_assert_ptr_null(ph_mem_at(mem, base + 0x23ff8, 8));
	ck_assert_ptr_null(ph_mem_at(mem, base + 0x22ffc, 8));
	ck_assert_ptr_null(ph_mem_at(mem, base, n));
	for (ph_addr a = base; a < base + n; a += 0x1000) {
		const void *q = ph_mem_at(mem, a, 8);
		ck_assert_ptr_eq(q, a == s.bad ? NULL : p + (a - base));
		if (q)
			ck_assert_uint_eq(ph_load_u64(q), value_at(a));
	}
	munmap(p, n);
}
END_TEST

Suite *memory_suite(void)
{
	Suite *s = suite_create("memory");
	TCase *tc = tcase_create("memory");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_empty);
	tcase_add_test(tc, test_sparse);
	tcase_add_test(tc, test_bounds);
	tcase_add_test(tc, test_skipped);
	tcase_add_test(tc, test_skipped_str);
	tcase_add_test(tc, test_overlap);
	tcase_add_loop_test(tc, test_overlap_random, 0, 200);
	tcase_add_test(tc, test_join);
	tcase_add_test(tc, test_join_fd);
	tcase_add_test(tc, test_blocks);
	tcase_add_test(tc, test_high_addresses);
	tcase_add_test(tc, test_str);
	tcase_add_test(tc, test_str_pieces);
	tcase_add_test(tc, test_pager_loads);
	tcase_add_test(tc, test_pager_budget);
	tcase_add_test(tc, test_pager_in_use);
	tcase_add_test(tc, test_pager_bad_page);
	suite_add_tcase(s, tc);
	return s;
}
