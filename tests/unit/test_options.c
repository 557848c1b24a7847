/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command lines: ours, and what we make of the target's. */
#include <check.h>
#include <unistd.h>
#include "cmd/cmd.h"

/* Parses "top" and the words given; the error's code, 0 without. */
static int parse(const char *command, struct ph_options *opt, int *first, const char *const *words)
{
	char *argv[16] = { (char *)command };
	int argc = 1;
	while (words[argc - 1]) {
		argv[argc] = (char *)words[argc - 1];
		argc++;
	}
	struct ph_err *err = ph_options_parse(ph_cmd_find(command), argc, argv, opt, first);
	int code = err ? (int)ph_err_code(err) : 0;
	ph_err_free(err);
	return code;
}
#define PARSE(command, ...) parse(command, &opt, &first, (const char *const[]){ __VA_ARGS__, NULL })

START_TEST(options_stand_anywhere)
{
	struct ph_options opt;
	int first;
	ck_assert_int_eq(PARSE("top", "4242", "-n", "3", "--min-size=1.5K", "--json", "--no-retained"), 0);
	ck_assert_int_eq(first, 6);
	ck_assert(opt.limit.given && opt.limit.n == 3 && opt.min_size.n == 1536);
	ck_assert(opt.json && opt.no_retained && !opt.strict);
	ph_options_deinit(&opt);
	ck_assert_int_eq(PARSE("top", "--stop-timeout", "0.5", "--", "-n"), 0);
	ck_assert(opt.stop_timeout.x == 0.5);
	ck_assert_int_eq(first, 4);
	ph_options_deinit(&opt);
}
END_TEST

START_TEST(maxima_add_up)
{
	struct ph_options opt;
	int first;
	ck_assert_int_eq(PARSE("diff", "--max-count", "app.A=5", "--max-count", "x=y=0", "--max-growth", "2.5%"), 0);
	ck_assert_uint_eq(opt.max_count.n, 2);
	ck_assert_str_eq(opt.max_count.items[0].type, "app.A");
	ck_assert_uint_eq(opt.max_count.items[0].count, 5);
	ck_assert_str_eq(opt.max_count.items[1].type, "x=y");
	ck_assert(opt.max_growth.given && opt.max_growth.x == 2.5);
	ph_options_deinit(&opt);
}
END_TEST

START_TEST(nonsense_is_refused)
{
	static const char *const bad[][3] = {
		{ "--limit", "x" }, { "-n", "-1" }, { "-n", "" }, { "-n", "99999999999999999999" }, { "-n" },
		{ "--min-size", "12Q" }, { "--format", "yaml" }, { "--format", "json|jsonl" }, { "--format", "" },
		{ "--max-growth", "-1" }, { "--max-growth", "nan" }, { "--max-growth", "inf" },
		{ "--max-count", "a" }, { "--max-count", "=1" }, { "--max-count", "a=" }, { "--max-count", "a=b" },
		{ "--nonsense" }, { "-Z" }, { "--json=yes" }, { "--refs" }, { "--generation", "1" },
	};
	struct ph_options opt;
	int first;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		ck_assert_msg(parse("diff", &opt, &first, bad[i]) == PH_ERR_USAGE, "accepted: %s %s", bad[i][0],
			      bad[i][1] ? bad[i][1] : "");
		ph_options_deinit(&opt);
	}
}
END_TEST

/* What commands take they can be given, and only that. */
START_TEST(tables_agree)
{
	for (size_t c = 0; ph_cmds[c]; c++) {
		ck_assert_ptr_eq(ph_cmd_find(ph_cmds[c]->name), ph_cmds[c]);
		for (int o = 0; o < PH_OPTIONS; o++) {
			const struct ph_option *def = &ph_option_table[o];
			char *word = ph_asprintf("--%s", def->name);
			const char *words[] = { word, def->arg ? "\001" : NULL, NULL };
			struct ph_options opt;
			int first, code = parse(ph_cmds[c]->name, &opt, &first, words);
			if (!(ph_cmds[c]->takes >> o & 1))
				ck_assert_int_eq(code, PH_ERR_USAGE);
			else if (!def->arg || def->kind == PH_OPTION_STRING || def->kind == PH_OPTION_FILE)
				ck_assert_int_eq(code, 0);
			ph_options_deinit(&opt);
			free(word);
		}
	}
}
END_TEST

static void expect_script(const char *want, const char *const *argv)
{
	size_t argc = 0;
	while (argv[argc])
		argc++;
	char *got = ph_script_name((char *const *)argv, argc);
	ck_assert_pstr_eq(got, want);
	free(got);
}
#define SCRIPT(want, ...) expect_script(want, (const char *const[]){ __VA_ARGS__, NULL })

START_TEST(script_is_all_of_the_command_line)
{
	SCRIPT(NULL, "python3");
	SCRIPT("app.py", "/usr/bin/python3.11", "/srv/app.py", "--password", "secret");
	SCRIPT("app.py", "python3", "-u", "-W", "ignore", "-Xdev", "-X", "dev", "app.py", "x");
	SCRIPT("app.py", "python3", "-bW", "error", "--check-hash-based-pycs", "always", "app.py");
	SCRIPT("-c", "python3", "-c", "password = 'secret'");
	SCRIPT("-c", "python3", "-Ic", "password = 'secret'");
	SCRIPT("-m http.server", "python3", "-m", "http.server", "secret");
	SCRIPT("-m http.server", "python3", "-umhttp.server", "secret");
	SCRIPT("-", "python3", "-", "secret");
	SCRIPT(NULL, "uwsgi", "secret");
	SCRIPT(NULL, "python3", "-m");
}
END_TEST

static enum ph_source_kind kind_of(const char *content)
{
	char path[] = "/tmp/pyheap-test.XXXXXX";
	struct ph_messages messages = { 0 };
	struct ph_source s;
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
	close(fd);
	ck_assert_ptr_null(ph_source_open(path, &messages, &s));
	enum ph_source_kind kind = s.kind;
	ph_source_close(&s);
	unlink(path);
	return kind;
}

START_TEST(targets_are_told_apart)
{
	struct ph_messages messages = { 0 };
	struct ph_source s;
	ck_assert_int_eq(kind_of(" \n{\"schema\""), PH_SOURCE_REPORT);
	ck_assert_int_eq(kind_of("\177ELF"), PH_SOURCE_TARGET);
	ck_assert_int_eq(kind_of(""), PH_SOURCE_TARGET);
	ck_assert_ptr_null(ph_source_open("4242", &messages, &s));
	ck_assert_int_eq(s.kind, PH_SOURCE_TARGET);
	ph_source_close(&s);
}
END_TEST

Suite *options_suite(void);
Suite *options_suite(void)
{
	Suite *s = suite_create("options");
	TCase *tc = tcase_create("options");
	tcase_add_test(tc, options_stand_anywhere);
	tcase_add_test(tc, maxima_add_up);
	tcase_add_test(tc, nonsense_is_refused);
	tcase_add_test(tc, tables_agree);
	tcase_add_test(tc, script_is_all_of_the_command_line);
	tcase_add_test(tc, targets_are_told_apart);
	suite_add_tcase(s, tc);
	return s;
}
