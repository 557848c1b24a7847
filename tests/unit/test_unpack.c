/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packed files: whole, in several parts, cut off, changed, and garbage. */
#include <check.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <pyheap/base.h>
#include "pack.h"

Suite *unpack_suite(void);

#define BYTES (3u << 20)
#define HOLE_FROM (1u << 20) /* and zeroes from there … */
#define HOLE_TO (5u << 19)   /* … to there, and in the last 100 kB */
#define END_FROM (BYTES - 100000)

static uint8_t plain[BYTES];

static void setup(void)
{
	uint32_t x = 1;
	for (unsigned i = 0; i < BYTES; i++) {
		x = x * 1103515245 + 12345;
		plain[i] = (i >= HOLE_FROM && i < HOLE_TO) || i >= END_FROM ? 0 : (x >> 16 & 15) + 1;
	}
}

static int file_of(const void *bytes, size_t n)
{
	int fd = memfd_create("packed", MFD_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	return fd;
}

/* Unpacks; what came out is mapped and owned by the caller. */
static uint8_t *unpacked(const void *bytes, size_t n, struct ph_spool *out, enum ph_unpack_fault *fault)
{
	int fd = file_of(bytes, n);
	ck_assert_ptr_null(ph_spool_open(out));
	struct ph_err *err = ph_unpack(fd, out, fault);
	ck_assert_msg(!err, "%s", err ? ph_err_message(err) : "");
	close(fd);
	struct stat st;
	ck_assert_int_eq(fstat(out->fd, &st), 0);
	ck_assert_uint_eq((uint64_t)st.st_size, out->size);
	return out->size ? mmap(NULL, out->size, PROT_READ, MAP_PRIVATE, out->fd, 0) : NULL;
}

static void done(uint8_t *p, struct ph_spool *out)
{
	if (p)
		munmap(p, out->size);
	close(out->fd);
}

START_TEST(test_whole)
{
	size_t n;
	uint8_t *packed = pack_bytes((unsigned)_i, plain, BYTES, &n);
	struct ph_spool out;
	enum ph_unpack_fault fault;
	struct stat st;
	ck_assert_str_eq(ph_packed(packed, 16), pack_names[_i]);
	uint8_t *p = unpacked(packed, n, &out, &fault);
	ck_assert_int_eq(fault, PH_UNPACK_WHOLE);
	ck_assert_uint_eq(out.size, BYTES);
	ck_assert(!memcmp(p, plain, BYTES));
	fstat(out.fd, &st);
	ck_assert(!out.holes || st.st_blocks * 512 < BYTES - (HOLE_TO - HOLE_FROM) / 2);
	done(p, &out);
	char head[64];
	size_t got;
	int fd = file_of(packed, n);
	ck_assert_ptr_null(ph_unpack_head(fd, head, sizeof head, &got));
	ck_assert_uint_eq(got, sizeof head);
	ck_assert(!memcmp(head, plain, sizeof head));
	close(fd);
	free(packed);
}
END_TEST

/* Two files one after the other are one, as for the tools. */
START_TEST(test_two)
{
	size_t n, half = BYTES / 2 + 7, m;
	uint8_t *a = pack_bytes((unsigned)_i, plain, half, &n), *b = pack_bytes((unsigned)_i, plain + half, BYTES - half, &m);
	struct ph_spool out;
	enum ph_unpack_fault fault;
	a = realloc(a, n + m);
	memcpy(a + n, b, m);
	uint8_t *p = unpacked(a, n + m, &out, &fault);
	ck_assert_int_eq(fault, PH_UNPACK_WHOLE);
	ck_assert_uint_eq(out.size, BYTES);
	ck_assert(!memcmp(p, plain, BYTES));
	done(p, &out);
	free(a);
	free(b);
}
END_TEST

START_TEST(test_cut)
{
	size_t n;
	uint8_t *packed = pack_bytes((unsigned)_i, plain, BYTES, &n);
	for (size_t cut = n - 1; cut > n / 2; cut -= n / 40) {
		struct ph_spool out;
		enum ph_unpack_fault fault;
		uint8_t *p = unpacked(packed, cut, &out, &fault);
		ck_assert_int_eq(fault, PH_UNPACK_CUT);
		ck_assert_uint_le(out.size, BYTES);
		ck_assert_uint_ge(out.size, BYTES / 5);
		ck_assert(!memcmp(p, plain, out.size));
		done(p, &out);
	}
	for (size_t cut = 0; cut < 40; cut++) {
		struct ph_spool out;
		enum ph_unpack_fault fault;
		uint8_t *p = unpacked(packed, cut, &out, &fault);
		ck_assert_int_ne(fault, PH_UNPACK_WHOLE);
		done(p, &out);
	}
	free(packed);
}
END_TEST

/* Whatever byte is changed: either all came out right, or it is told. */
START_TEST(test_changed)
{
	size_t n;
	uint8_t *packed = pack_bytes((unsigned)_i, plain, BYTES, &n);
	unsigned told = 0;
	for (size_t at = 0; at < n; at += at < 64 || at > n - 64 ? 1 : n / 50) {
		struct ph_spool out;
		enum ph_unpack_fault fault;
		packed[at] ^= 0x55;
		uint8_t *p = unpacked(packed, n, &out, &fault);
		packed[at] ^= 0x55;
		ck_assert(fault || (out.size == BYTES && !memcmp(p, plain, BYTES)));
		told += fault != PH_UNPACK_WHOLE;
		done(p, &out);
	}
	ck_assert_uint_gt(told, 60);
	free(packed);
}
END_TEST

/* A fault in the middle costs little of what lies before it. */
START_TEST(test_middle)
{
	size_t n;
	uint8_t *packed = pack_bytes((unsigned)_i, plain, BYTES, &n);
	struct ph_spool out;
	enum ph_unpack_fault fault;
	memset(packed + n * 3 / 4, 0xff, n / 10);
	uint8_t *p = unpacked(packed, n, &out, &fault);
	ck_assert_int_eq(fault, PH_UNPACK_DAMAGED);
	ck_assert_uint_ge(out.size, HOLE_FROM / 2);
	ck_assert(!memcmp(p, plain, HOLE_FROM / 2));
	done(p, &out);
	free(packed);
}
END_TEST

START_TEST(test_garbage)
{
	static const char *const heads[] = { "\x1f\x8b\x08", "\x28\xb5\x2f\xfd", "\x50\x2a\x4d\x18", "\x04\x22\x4d\x18",
					     "\xfd" "7zXZ" };
	uint8_t bytes[4096];
	for (unsigned i = 0; i < sizeof heads / sizeof *heads; i++) {
		struct ph_spool out;
		enum ph_unpack_fault fault;
		for (unsigned k = 0; k < sizeof bytes; k++)
			bytes[k] = (uint8_t)(k * 7 + k / 256 + i);
		memcpy(bytes, heads[i], strlen(heads[i]));
		bytes[5] = i == 4 ? 0 : bytes[5]; /* of xz's magic */
		ck_assert_ptr_nonnull(ph_packed(bytes, sizeof bytes));
		uint8_t *p = unpacked(bytes, sizeof bytes, &out, &fault);
		ck_assert_int_ne(fault, PH_UNPACK_WHOLE);
		done(p, &out);
	}
	ck_assert_ptr_null(ph_packed("\x7f" "ELF", 4));
	ck_assert_ptr_null(ph_packed("\x1f", 1));
	ck_assert_ptr_null(ph_packed("", 0));
}
END_TEST

/* gzip and its like pad with zeroes; pzstd begins with a frame that is skipped. */
START_TEST(test_padding)
{
	size_t n;
	struct ph_spool out;
	enum ph_unpack_fault fault;
	uint8_t *packed = pack_bytes(0, plain, BYTES, &n);
	packed = realloc(packed, n + 512);
	memset(packed + n, 0, 512);
	uint8_t *p = unpacked(packed, n + 512, &out, &fault);
	ck_assert_int_eq(fault, PH_UNPACK_WHOLE);
	ck_assert_uint_eq(out.size, BYTES);
	done(p, &out);
	free(packed);
	packed = pack_bytes(1, plain, BYTES, &n);
	packed = realloc(packed, n + 12);
	memmove(packed + 12, packed, n);
	memcpy(packed, "\x50\x2a\x4d\x18\4\0\0\0size", 12);
	p = unpacked(packed, n + 12, &out, &fault);
	ck_assert_int_eq(fault, PH_UNPACK_WHOLE);
	ck_assert_uint_eq(out.size, BYTES);
	done(p, &out);
	free(packed);
}
END_TEST

/* A full disk, as far as a limit of file sizes can stand for one. */
START_TEST(test_no_room)
{
	size_t n;
	struct ph_spool out;
	enum ph_unpack_fault fault;
	uint8_t *packed = pack_bytes(1, plain, BYTES, &n);
	int fd = file_of(packed, n);
	ck_assert_ptr_null(ph_spool_open(&out));
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 100000, RLIM_INFINITY });
	struct ph_err *err = ph_unpack(fd, &out, &fault);
	ck_assert_ptr_nonnull(err);
	ck_assert_int_eq(ph_err_code(err), PH_ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(ph_err_hint_text(err), "TMPDIR"));
	ph_err_free(err);
	close(fd);
	close(out.fd);
	free(packed);
	setenv("TMPDIR", "/nonexistent", 1);
	err = ph_spool_open(&out);
	ck_assert_ptr_nonnull(err);
	ck_assert_ptr_nonnull(strstr(ph_err_hint_text(err), "TMPDIR"));
	ph_err_free(err);
}
END_TEST

START_TEST(test_interrupted)
{
	size_t n;
	struct ph_spool out;
	enum ph_unpack_fault fault;
	uint8_t *packed = pack_bytes((unsigned)_i, plain, BYTES, &n);
	int fd = file_of(packed, n);
	ck_assert_ptr_null(ph_spool_open(&out));
	ph_interrupted = 2;
	struct ph_err *err = ph_unpack(fd, &out, &fault);
	ph_interrupted = 0;
	ck_assert_ptr_nonnull(err);
	ck_assert_int_eq((int)ph_err_code(err), 130);
	ph_err_free(err);
	close(fd);
	close(out.fd);
	free(packed);
}
END_TEST

Suite *unpack_suite(void)
{
	Suite *s = suite_create("unpack");
	TCase *tc = tcase_create("unpack");
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_whole, 0, PACK_FORMATS);
	tcase_add_loop_test(tc, test_two, 0, PACK_FORMATS);
	tcase_add_loop_test(tc, test_cut, 0, PACK_FORMATS);
	tcase_add_loop_test(tc, test_changed, 0, PACK_FORMATS);
	tcase_add_loop_test(tc, test_middle, 0, PACK_FORMATS);
	tcase_add_test(tc, test_garbage);
	tcase_add_test(tc, test_padding);
	tcase_add_test(tc, test_no_room);
	tcase_add_loop_test(tc, test_interrupted, 0, PACK_FORMATS);
	suite_add_tcase(s, tc);
	return s;
}
