/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of /proc/PID/maps. */
#include <check.h>
#include <unistd.h>
#include "target/process_priv.h"

Suite *maps_suite(void);

static struct ph_mappings maps;

static void setup(void)
{
	maps = (struct ph_mappings){ 0 };
}
static void teardown(void)
{
	ph_mappings_deinit(&maps);
}

static void parse(const char *text)
{
	ck_assert_ptr_null(ph_maps_parse(text, &maps));
}

START_TEST(test_lines)
{
	parse("00400000-00401000 r--p 00002000 fe:01 1234                               /usr/bin/python3.11\n"
	      "7f0000000000-7f0000003000 rw-p 00000000 00:00 0 \n"
	      "7ffe00000000-7ffe00021000 rwxs 00000000 00:05 9                          /dev/zero (deleted)\n");
	ck_assert_uint_eq(maps.n, 3);
	const struct ph_mapping *m = maps.items;
	ck_assert_uint_eq(m[0].start, 0x400000);
	ck_assert_uint_eq(m[0].end, 0x401000);
	ck_assert_uint_eq(m[0].offset, 0x2000);
	ck_assert_uint_eq(m[0].inode, 1234);
	ck_assert_str_eq(m[0].path, "/usr/bin/python3.11");
	ck_assert(m[0].readable && !m[0].writable && !m[0].executable && !m[0].shared && m[0].perms_known);
	ck_assert(!m[0].deleted);
	ck_assert_ptr_null(m[1].path);
	ck_assert(m[1].writable);
	ck_assert(m[2].shared && m[2].executable && m[2].deleted);
	ck_assert_str_eq(m[2].path, "/dev/zero");
}
END_TEST

START_TEST(test_paths)
{
	parse("1000-2000 r--p 0 1:2 3   /with two  spaces\n"
	      "2000-3000 r--p 0 1:2 3   /gone (deleted)\n"
	      "3000-4000 r--p 0 1:2 3   /a\\012line\n"
	      "4000-5000 rw-p 0 0:0 0   [heap]\n"
	      "5000-6000 rw-p 0 0:0 0   [anon:a name]\n"
	      "6000-7000 r--p 0 0:0 0   [vvar]\n"
	      "7000-8000 r-xp 0 0:0 0   [vdso]\n"
	      "8000-9000 r--p 0 0:0 0   [vvar_vclock]\n"
	      "9000-a000 rw-p 0 0:0 0   [stack]\n"
	      "ffffffffff600000-ffffffffff601000 --xp 0 00:00 0   [vsyscall]\n");
	ck_assert_uint_eq(maps.n, 6);
	ck_assert_str_eq(maps.items[0].path, "/with two  spaces");
	ck_assert_str_eq(maps.items[1].path, "/gone");
	ck_assert(maps.items[1].deleted);
	ck_assert_str_eq(maps.items[2].path, "/a\nline");
	for (size_t i = 3; i < 6; i++)
		ck_assert_ptr_null(maps.items[i].path);
}
END_TEST

/* What changes while it is read can be listed twice; the rest is no maps at all. */
START_TEST(test_broken)
{
	parse("1000-3000 rw-p 0 0:0 0\n"
	      "2000-4000 rw-p 0 0:0 0\n"
	      "\n"
	      "nonsense\n"
	      "5000-5000 rw-p 0 0:0 0\n"
	      "6000-5000 rw-p 0 0:0 0\n"
	      "6001-7000 rw-p 0 0:0 0\n"
	      "7000-8000 rw 0 0:0 0\n"
	      "8000-9000 rw-p 0 0:0\n"
	      "9000-a000 rw-p 0 0:0 0");
	ck_assert_uint_eq(maps.n, 2);
	ck_assert_uint_eq(maps.items[0].end, 0x3000);
	ck_assert_uint_eq(maps.items[1].start, 0x9000);
}
END_TEST

START_TEST(test_own)
{
	char *text;
	size_t len;
	ck_assert_ptr_null(ph_maps_text(getpid(), &text, &len));
	ck_assert_uint_eq(strlen(text), len);
	parse(text);
	free(text);
	bool here = false;
	for (size_t i = 0; i < maps.n; i++)
		here |= maps.items[i].start <= (uintptr_t)&maps && (uintptr_t)&maps < maps.items[i].end;
	ck_assert(here);
}
END_TEST

Suite *maps_suite(void)
{
	Suite *s = suite_create("maps");
	TCase *t = tcase_create("text");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_lines);
	tcase_add_test(t, test_paths);
	tcase_add_test(t, test_broken);
	tcase_add_test(t, test_own);
	suite_add_tcase(s, t);
	return s;
}
