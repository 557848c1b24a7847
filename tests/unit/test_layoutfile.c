/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layout files: those that are shipped are whole and do not contradict each other in what
 * they are of; one that is damaged is never read as another one. */
#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <unistd.h>
#include "layout/layout_priv.h"

Suite *layoutfile_suite(void);

static void no_error(struct ph_err *err)
{
	ck_assert_msg(!err, "%s", err ? ph_err_message(err) : "");
}

static struct ph_layout_files shipped(void)
{
	struct ph_layout_files files = { 0 };
	no_error(ph_layout_files_shipped(&files));
	ck_assert_uint_ge(files.n, 10);
	return files;
}

/* `make layouts` was not forgotten after a change of fields.def. */
START_TEST(test_shipped)
{
	struct ph_layout_files files = shipped();
	for (size_t i = 0; i < files.n; i++) {
		struct ph_layout *l;
		no_error(ph_layout_file_open(&files.items[i], &l));
		ck_assert_str_eq(l->source, "shipped");
		ck_assert_uint_ge(l->nversions, 1);
		ck_assert(!l->own);
		ck_assert_uint_eq(ph_layout_off(l, PH_F_PyObject_ob_type), files.items[i].free_threaded ? 24 : 8);
		ph_layout_free(l);
	}
	ph_layout_files_free(&files);
}
END_TEST

/* A build has one layout. */
START_TEST(test_build_ids)
{
	struct ph_layout_files files = shipped();
	for (size_t i = 0; i < files.n; i++) {
		const char *at = files.items[i].head;
		unsigned ids = 0;
		for (; (at = strstr(at, "\nbuild-id ")) && at < files.items[i].rows; ids++) {
			char id[130];
			at += strlen("\nbuild-id ");
			snprintf(id, sizeof id, "%.*s", (int)strcspn(at, " \n"), at);
			for (size_t k = 0; k < files.n; k++)
				ck_assert_int_eq(ph_layout_file_has_id(&files.items[k], id), k == i);
		}
		ck_assert_uint_ge(ids, 1);
	}
	ck_assert(!ph_layout_file_has_id(&files.items[0], ""));
	ph_layout_files_free(&files);
}
END_TEST

static const struct ph_row rows[] = {
	{ PH_ROW_FIELD, "a", "s", "a", 0, true, NULL },
	{ PH_ROW_SIZE, "a", "s", NULL, 0, true, NULL },
	{ PH_ROW_ENUM, "e", NULL, "e", 0, false, NULL },
	{ PH_ROW_FIELD, "ab", "s", "ab", 0, false, NULL },
};
enum { ROWS = sizeof rows / sizeof *rows };

static bool parses(const char *text, struct ph_answer answers[ROWS], bool seen[ROWS])
{
	const char *end = text + strlen(text);
	return ph_rows_parse(text, end, rows, ROWS, answers, seen) == end;
}

START_TEST(test_rows)
{
	static const char *const wrong[] = {
		"F a 1\n", "F a 1 2 3 4\n", "F a 1 2 3 4 5 6\n", "F a -1 8\n", "F a 1 x\n", "F a  1 8\n",
		"F a 1 8 \n", "F a +1 8\n", "F a 2147483648 8\n", "F a 0 4294967296\n", "F a 0 4 0 31 2\n", "F a 0 9 0 0 1\n",
		"F a 0 4 0 0 0\n", "S a -1\n", "S a 1 2\n", "E e 99999999999999999999\n", "F a 0 8\nF a 0 8\n", "F a 0 8",
		"F a --\n", "G a 1 2\n",
	};
	struct ph_answer a[ROWS];
	bool seen[ROWS];
	/* in any order, and with what another pyheap asks for */
	ck_assert(parses("E e -3\nF z 1 2\nS a 16\nF ab -\nF a 8 4 0 3 5\n", a, seen));
	ck_assert(seen[0] && seen[1] && seen[2] && seen[3] && !a[3].m.present);
	ck_assert(a[0].m.offset == 8 && a[0].m.size == 4 && a[0].m.bit == 3 && a[0].m.bits == 5);
	ck_assert(a[1].value == 16 && a[2].value == -3 && a[2].m.present);
	ck_assert(parses("", a, seen) && !seen[0]);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ck_assert_msg(!parses(wrong[i], a, seen), "%s", wrong[i]);
}
END_TEST

START_TEST(test_versions)
{
	static const struct { const char *text; uint32_t hex; } good[] = {
		{ "3.11.2", 0x030b02f0 }, { "3.8.0", 0x030800f0 }, { "3.14.0rc1", 0x030e00c1 }, { "3.15.0b12", 0x030f00bc },
		{ "3.13.0a1", 0x030d00a1 },
	};
	static const char *const bad[] = { "", "3", "3.11", "3.11.", "3.11.2.1", "3.256.1", "3.11.2c1", "3.11.2rc", "3.11.2rc16",
					   "x", "3.11.2 ", "3..1", "-3.1.1", "shipped", "3.11.2.layout" };
	char text[32];
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		ck_assert_uint_eq(ph_version_parse(good[i].text, strlen(good[i].text)), good[i].hex);
		ph_version_text(good[i].hex, text);
		ck_assert_str_eq(text, good[i].text);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!ph_version_parse(bad[i], strlen(bad[i])), "%s", bad[i]);
}
END_TEST

static void put(const char *path, const char *text, size_t n)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, n, f), n);
	ck_assert_int_eq(fclose(f), 0);
}

/* What is written is read again; a file with a byte changed or its end cut off is refused, or
 * is read as what it then says, and nothing else happens. */
START_TEST(test_damaged)
{
	char path[] = "/tmp/pyheap-layout-XXXXXX", *text = NULL;
	struct ph_layout_files files = shipped(), one = { 0 };
	struct ph_python python = { .hexversion = 0x030b02f0, .debug = 0, .free_threaded = 0 };
	struct ph_layout *l, *again;
	size_t n;
	int more;
	close(mkstemp(path));
	no_error(ph_layout_file_open(&files.items[0], &l));
	strcpy(l->build_id, "0123abcd");
	FILE *f = open_memstream(&text, &n);
	ph_layout_print(f, l, EM_X86_64, &python);
	fclose(f);
	put(path, text, n);
	no_error(ph_layout_files_read(&one, path));
	no_error(ph_layout_file_open(&one.items[0], &again));
	ck_assert_ptr_null(ph_layout_contradiction(l, again, &more));
	ck_assert_int_eq(more, 0);
	ck_assert(ph_layout_file_has_id(&one.items[0], "0123abcd") && ph_layout_file_has_version(&one.items[0], 0x030b02f0));
	ck_assert(one.items[0].machine == EM_X86_64 && !one.items[0].debug);
	ph_layout_free(again);
	ph_layout_files_free(&one);
	for (size_t i = 0; i < 4000; i++) {
		size_t at = (i * 7919) % n, length = i % 2 ? n : at;
		char *copy ph_cleanup_free = malloc(n);
		memcpy(copy, text, n);
		copy[at] ^= (char)(1 + i % 120);
		put(path, copy, length);
		struct ph_err *err = ph_layout_files_read(&one, path);
		if (!err && one.n && !(err = ph_layout_file_open(&one.items[0], &again)))
			ph_layout_free(again);
		ph_err_free(err);
		ph_layout_files_free(&one);
	}
	unlink(path);
	free(text);
	ph_layout_free(l);
	ph_layout_files_free(&files);
}
END_TEST

Suite *layoutfile_suite(void)
{
	Suite *s = suite_create("layoutfile");
	TCase *t = tcase_create("layoutfile");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_shipped);
	tcase_add_test(t, test_build_ids);
	tcase_add_test(t, test_rows);
	tcase_add_test(t, test_versions);
	tcase_add_test(t, test_damaged);
	suite_add_tcase(s, t);
	return s;
}
