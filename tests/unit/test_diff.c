/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What grew between reports, and in which order it is told. */
#include <check.h>
#include <pyheap/analysis.h>

Suite *diff_suite(void);

#define TABLE(names, values) { names, values, sizeof values / sizeof *values }

static struct ph_diff *compute(const struct ph_type_table *tables, uint32_t n)
{
	struct ph_diff *d = NULL;
	ck_assert_ptr_null(ph_diff_compute(tables, n, false, &d));
	return d;
}

START_TEST(missing_types_are_zeros)
{
	static const char *const old_names[] = { "gone", "dict" };
	static const char *const new_names[] = { "dict", "fresh" };
	static const struct ph_type_value old_values[] = { { 3, 300, 30, 3000 }, { 1, 100, 0, 100 } };
	static const struct ph_type_value new_values[] = { { 2, 150, 5, 160 }, { 1, 7, 0, 7 } };
	const struct ph_type_table tables[] = { TABLE(old_names, old_values), TABLE(new_names, new_values) };
	struct ph_diff *d = compute(tables, 2);
	ck_assert_uint_eq(d->n, 3);
	ck_assert_uint_eq(d->ntables, 2);
	ck_assert_str_eq(d->rows[0].name, "dict");
	ck_assert_int_eq(d->rows[0].delta.shallow_bytes, 50);
	ck_assert_int_eq(d->rows[0].delta.uncounted_bytes, 5);
	ck_assert_int_eq(d->rows[0].delta.retained_bytes, 60);
	ck_assert_int_eq(d->rows[0].delta.count, 1);
	ck_assert_str_eq(d->rows[1].name, "fresh");
	ck_assert_int_eq(d->rows[1].values[0].count, 0);
	ck_assert_int_eq(d->rows[1].values[1].count, 1);
	ck_assert_str_eq(d->rows[2].name, "gone");
	ck_assert_int_eq(d->rows[2].delta.count, -3);
	ck_assert_int_eq(d->rows[2].delta.shallow_bytes, -300);
	ck_assert_int_eq(d->rows[2].values[1].retained_bytes, 0);
	ph_diff_free(d);
}
END_TEST

static const char *const leak_names[] = { "app.Session", "app.Cache", "dict", "str" };

START_TEST(leaking_class_comes_first)
{
	static const struct ph_type_value before[] = {
		{ 10, 480, 0, 5000 }, { 1, 48, 0, 90000 }, { 20, 4000, 0, 4000 }, { 50, 2500, 0, 2500 } };
	static const struct ph_type_value after[] = {
		{ 110, 5280, 0, 55000 }, { 1, 48, 0, 140000 }, { 120, 24000, 0, 24000 }, { 250, 12500, 0, 12500 } };
	const struct ph_type_table tables[] = { TABLE(leak_names, before), TABLE(leak_names, after) };
	struct ph_diff *d = compute(tables, 2);
	ck_assert_str_eq(d->rows[0].name, "app.Session"); /* 50,000 retained */
	ck_assert_str_eq(d->rows[1].name, "dict");        /* 20,000 shallow */
	ck_assert_str_eq(d->rows[2].name, "str");         /* 10,000 shallow */
	ck_assert_str_eq(d->rows[3].name, "app.Cache");   /* not more of them, and no larger */
	ph_diff_free(d);
}
END_TEST

START_TEST(without_retained_sizes)
{
	static const struct ph_type_value before[] = {
		{ 10, 480, 0, 0 }, { 1, 48, 0, 0 }, { 20, 4000, 0, 0 }, { 50, 2500, 0, 0 } };
	static const struct ph_type_value after[] = {
		{ 110, 5280, 0, 55000 }, { 1, 48, 0, 1 }, { 120, 24000, 0, 1 }, { 250, 12500, 0, 1 } };
	const struct ph_type_table tables[] = { TABLE(leak_names, before), TABLE(leak_names, after) };
	struct ph_diff *d = compute(tables, 2); /* the first has none: the second's do not compare */
	ck_assert_str_eq(d->rows[0].name, "dict");
	ck_assert_str_eq(d->rows[1].name, "str");
	ck_assert_str_eq(d->rows[2].name, "app.Session");
	ph_diff_free(d);
}
END_TEST

START_TEST(several_runs)
{
	static const char *const names[] = { "b", "a", "b" };
	static const struct ph_type_value one[] = { { 1, 10, 0, 10 } };
	static const struct ph_type_value two[] = { { 5, 50, 0, 50 }, { 9, 90, 0, 90 } };
	static const struct ph_type_value three[] = { { 2, 20, 0, 20 }, { 1, 15, 0, 15 }, { 1, 5, 0, 5 } };
	const struct ph_type_table tables[] = { TABLE(names, one), TABLE(names, two), TABLE(names, three) };
	struct ph_diff *d = compute(tables, 3);
	ck_assert_uint_eq(d->n, 2);
	ck_assert_str_eq(d->rows[0].name, "a"); /* both grew by 15 */
	ck_assert_str_eq(d->rows[1].name, "b");
	ck_assert_int_eq(d->rows[1].values[1].count, 5);
	ck_assert_int_eq(d->rows[1].values[2].count, 3); /* a name that is there twice is summed up */
	ck_assert_int_eq(d->rows[1].delta.shallow_bytes, 15);
	ck_assert_int_eq(d->rows[0].values[0].count, 0);
	ph_diff_free(d);
}
END_TEST

START_TEST(nothing_to_compare)
{
	struct ph_diff *d = NULL;
	struct ph_err *err = ph_diff_compute(NULL, 0, false, &d);
	ck_assert_ptr_nonnull(err);
	ph_err_free(err);
	const struct ph_type_table empty[2] = { { NULL, NULL, 0 }, { NULL, NULL, 0 } };
	d = compute(empty, 2);
	ck_assert_uint_eq(d->n, 0);
	ph_diff_free(d);
	ph_diff_free(NULL);
}
END_TEST

START_TEST(growth_in_every_step)
{
	static const char *const names[] = { "app.Slow", "dict", "list" };
	static const struct ph_type_value at[3][3] = {
		{ { 10, 1000, 0, 1000 }, { 5, 500, 0, 500 }, { 1, 100, 0, 100 } },
		{ { 11, 1100, 0, 1100 }, { 50, 5000, 0, 5000 }, { 1, 101, 0, 101 } },
		{ { 12, 1200, 0, 1200 }, { 40, 4000, 0, 4000 }, { 1, 102, 0, 102 } },
	};
	const struct ph_type_table tables[] = { TABLE(names, at[0]), TABLE(names, at[1]), TABLE(names, at[2]) };
	struct ph_diff *d = compute(tables, 3);
	ck_assert_str_eq(d->rows[0].name, "app.Slow");
	ck_assert(d->rows[0].steady);
	ck_assert_str_eq(d->rows[1].name, "dict"); /* it shrank once */
	ck_assert(!d->rows[1].steady);
	ck_assert_str_eq(d->rows[2].name, "list"); /* it grew each time, but by next to nothing */
	ck_assert(d->rows[2].steady);
	ph_diff_free(d);
	d = compute(tables, 2);
	ck_assert(!d->rows[0].steady);
	ph_diff_free(d);
}
END_TEST

START_TEST(survivors_came_and_stayed)
{
	static char *names[] = { "app.A", "app.B" };
	static ph_addr a1[] = { 16, 32, 64 }, a2[] = { 16, 48, 64, 80, 96 }, a3[] = { 16, 48, 80, 96, 112 };
	static uint32_t t1[] = { 0, 0, 1 }, t2[] = { 0, 0, 0, 1, 1 }, t3[] = { 0, 0, 1, 0, 1 };
	static uint32_t bytes[] = { 10, 20, 30, 40, 50 };
	const struct ph_population p[] = {
		{ a1, t1, bytes, names, 3, 2 }, { a2, t2, bytes, names, 5, 2 }, { a3, t3, bytes, names, 5, 2 },
	};
	struct ph_survivors_row *rows;
	uint32_t n;
	/* 48 and 80 came and stayed; 96 became another type; 112 came last */
	ck_assert_ptr_null(ph_survivors_find(p, 3, &rows, &n));
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(rows[0].type, "app.B");
	ck_assert_uint_eq(rows[0].count, 1);
	ck_assert_uint_eq(rows[0].bytes, 30);
	ck_assert_str_eq(rows[1].type, "app.A");
	ck_assert_uint_eq(rows[1].count, 1);
	ck_assert_uint_eq(rows[1].bytes, 20);
	free(rows);
}
END_TEST

Suite *diff_suite(void)
{
	Suite *s = suite_create("diff");
	TCase *t = tcase_create("rows");
	tcase_add_test(t, missing_types_are_zeros);
	tcase_add_test(t, leaking_class_comes_first);
	tcase_add_test(t, without_retained_sizes);
	tcase_add_test(t, several_runs);
	tcase_add_test(t, nothing_to_compare);
	tcase_add_test(t, growth_in_every_step);
	tcase_add_test(t, survivors_came_and_stayed);
	suite_add_tcase(s, t);
	return s;
}
