/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Documents, formats, and the way out. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "report/report_priv.h"

/* ---- text ------------------------------------------------------------------------ */

static void expect_text(char *got, const char *want)
{
	ck_assert_str_eq(got, want);
	free(got);
}

START_TEST(text_is_made_printable)
{
	expect_text(ph_text_printable("app.Ünï"), "app.Ünï");
	expect_text(ph_text_printable("a\033[31m\n"), "a\\x1b[31m\\x0a");
	expect_text(ph_text_printable("a\xff\xc0\x80z"), "a\\xff\\xc0\\x80z");
	expect_text(ph_text_printable("\xe2\x80\xae""evil"), "\\u202eevil");
	expect_text(ph_text_printable("\xc2\x9b""1m"), "\\x9b1m");
	expect_text(ph_text_printable("\xed\xa0\x80"), "\\xed\\xa0\\x80"); /* a surrogate */
	expect_text(ph_text_utf8("a\tb\xfe"), "a\tb\\xfe");
}
END_TEST

START_TEST(text_is_shortened_in_the_middle)
{
	expect_text(ph_text_shorten("collections.deque", 20), "collections.deque");
	expect_text(ph_text_shorten("package.module.Class", 10), "pac….Class");
	char *wide = ph_text_shorten("日本語日本語日本語", 9);
	ck_assert_uint_le(ph_text_width(wide), 9);
	free(wide);
	ck_assert_uint_eq(ph_text_width("日本"), 4);
}
END_TEST

START_TEST(numbers_for_people)
{
	char buf[PH_TEXT_NUMBER];
	ck_assert_str_eq(ph_text_count(buf, 0, true), "0");
	ck_assert_str_eq(ph_text_count(buf, 999, true), "+999");
	ck_assert_str_eq(ph_text_count(buf, 1234567, false), "1,234,567");
	ck_assert_str_eq(ph_text_count(buf, INT64_MIN, false), "-9,223,372,036,854,775,808");
	ck_assert_str_eq(ph_text_size(buf, 1023, false, false), "1,023 B");
	ck_assert_str_eq(ph_text_size(buf, 1024, false, false), "1.0 KiB");
	ck_assert_str_eq(ph_text_size(buf, 1023 * 1024 + 1000, false, false), "1,024.0 KiB");
	ck_assert_str_eq(ph_text_size(buf, -1536, true, false), "-1.5 KiB");
	ck_assert_str_eq(ph_text_size(buf, 5ll << 30, true, false), "+5.0 GiB");
	ck_assert_str_eq(ph_text_size(buf, INT64_MAX, false, false), "8.0 EiB");
	ck_assert_str_eq(ph_text_size(buf, 1234567, false, true), "1234567");
}
END_TEST

static const char *progress(enum ph_progress_unit unit, uint64_t done, uint64_t total, uint64_t count, double seconds)
{
	static char buf[PH_PROGRESS_TEXT];
	const uint64_t start = 1000000000000;
	struct ph_progress p = { .unit = unit, .start_ns = start, .done = done, .total = total, .count = count };
	ph_progress_text(buf, "reading objects", start - 500000000, &p, start + (uint64_t)(seconds * 1e9));
	return buf;
}

START_TEST(progress_is_told_as_far_as_it_is_known)
{
	static const struct ph_progress old = { .unit = PH_PROGRESS_BYTES, .start_ns = 999, .done = 5, .total = 9, .count = 5 };
	char buf[PH_PROGRESS_TEXT], long_name[300];
	ck_assert_str_eq(progress(PH_PROGRESS_OBJECTS, 43, 100, 16200000, 2), "reading objects ... 43 %, 8.1 M objects/s");
	ck_assert_str_eq(progress(PH_PROGRESS_OBJECTS, 0, 100, 0, 2), "reading objects ... 0 %");
	ck_assert_str_eq(progress(PH_PROGRESS_OBJECTS, 999, 1000, 4000, 2), "reading objects ... 99 %, 2000 objects/s");
	ck_assert_str_eq(progress(PH_PROGRESS_BYTES, 7, 0, 3ull << 30, 2), "reading objects ... 1.5 GiB/s");
	ck_assert_str_eq(progress(PH_PROGRESS_NONE, 200, 100, 200, 2), "reading objects ... 100 %");
	ck_assert_str_eq(progress(PH_PROGRESS_NONE, 200, 0, 200, 2.5), "reading objects ... 3 s");
	/* what the phase before has left, and a time that is not over */
	ph_progress_text(buf, "counting", 1000, &old, 4000001000);
	ck_assert_str_eq(buf, "counting ... 4 s");
	ck_assert_str_eq(progress(PH_PROGRESS_BYTES, 1, 2, 1, 0), "reading objects ... 0 s");
	memset(long_name, 'x', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = '\0';
	ph_progress_text(buf, long_name, 1000, &old, 2000);
	ck_assert_uint_eq(strlen(buf), PH_PROGRESS_TEXT - 1);
}
END_TEST

/* Messages to stderr, in a file; what it holds in the end. */
static void with_stderr(struct ph_messages *m, void (*fn)(struct ph_messages *m), char *buf, size_t max)
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	dup2(fileno(file), STDERR_FILENO);
	fn(m);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	buf[fread(buf, 1, max - 1, file)] = '\0';
	fclose(file);
}

static void long_phase(struct ph_messages *m)
{
	ph_messages_phase(m, "waiting");
	ph_progress_begin(PH_PROGRESS_NONE, 8);
	ph_progress_add(2);
	usleep(1300000);
	ph_messages_phase(m, "short");
	usleep(10000);
	ph_messages_phase(m, NULL);
	ck_assert_ptr_null(m->ticker);
}

START_TEST(long_phases_are_told_of)
{
	struct ph_messages lines = { .progress = true }, terminal = { .progress = true, .in_place = true };
	char buf[1000];
	with_stderr(&lines, long_phase, buf, sizeof buf);
	ck_assert_str_eq(buf, "pyheap: waiting ...\npyheap: waiting ... 25 %\npyheap: short ...\n");
	with_stderr(&terminal, long_phase, buf, sizeof buf);
	const char *begins = "waiting ...\r\033[Kwaiting ... 25 %\r\033[K", *ends = "\r\033[Kshort ...\r\033[K";
	ck_assert_int_eq(strncmp(buf, begins, strlen(begins)), 0);
	ck_assert_str_eq(buf + strlen(buf) - strlen(ends), ends);
}
END_TEST

/* The vector of the paper's appendix A. */
START_TEST(hash_is_siphash)
{
	uint8_t key[16], text[15];
	for (uint8_t i = 0; i < 16; i++)
		key[i] = i;
	for (uint8_t i = 0; i < 15; i++)
		text[i] = i;
	ck_assert_uint_eq(ph_hash_keyed(key, text, 15), 0xa129ca6149be45e5u);
}
END_TEST

/* ---- documents -------------------------------------------------------------------- */

/* root → holder (app.Cache) → two of app.Node that hold each other; one lost pair. */
static struct ph_graph *make_graph(void)
{
	struct ph_graph *g;
	unsigned exact = PH_NODE_SIZE_EXACT | PH_NODE_REFS_EXACT;
	struct ph_graph_builder *b = ph_graph_builder_new();
	uint32_t cache = ph_graph_builder_type(b, "app.Cache", PH_TYPE_ORDINARY, true);
	uint32_t node = ph_graph_builder_type(b, "app.\xffNode", PH_TYPE_ORDINARY, true);
	uint32_t c = ph_graph_builder_node(b, cache, 100, 20, exact | PH_NODE_SEED | PH_NODE_TRACKED);
	uint32_t n[4];
	for (int i = 0; i < 4; i++)
		n[i] = ph_graph_builder_node(b, node, 50, 5, exact | PH_NODE_TRACKED);
	ph_graph_builder_edge(b, c, n[0], PH_LABEL_VALUE, "'secret'");
	for (int i = 0; i < 4; i += 2) {
		ph_graph_builder_edge(b, n[i], n[i + 1], PH_LABEL_VALUE, "'secret'");
		ph_graph_builder_edge(b, n[i + 1], n[i], PH_LABEL_ATTR, "parent");
	}
	ck_assert_ptr_null(ph_graph_builder_finish(b, &g));
	return g;
}

static struct ph_report_meta make_meta(const struct ph_notes *notes)
{
	return (struct ph_report_meta){
		.captured_at = { .tv_sec = 1763640000 },
		.pause_ms = 12.3456,
		.process = true,
		.pid = 4242,
		.exe = "/usr/bin/python3.11",
		.script = "app.py",
		.layout_source = "dwarf",
		.build_id = "00ff",
		.version = "3.11.2",
		.arch = "x86_64",
		.interpreters = 1,
		.notes = notes,
	};
}

static json_t *make_top(const struct ph_graph *g, const struct ph_notes *notes, bool retained)
{
	struct ph_dominators *d = NULL;
	struct ph_histogram *h;
	struct ph_report_meta meta = make_meta(notes);
	if (retained)
		ck_assert_ptr_null(ph_dominators_compute(g, &d));
	ck_assert_ptr_null(ph_histogram_compute(g, d, &h));
	json_t *doc = ph_report_top(&meta, g, h);
	ck_assert_ptr_nonnull(doc);
	ph_histogram_free(h);
	ph_dominators_free(d);
	return doc;
}

/* The document in a format, as a string owned by the caller. */
static char *render(const json_t *doc, const char *format, int width, bool bytes)
{
	char dir[] = "/tmp/pyheap-test.XXXXXX";
	struct ph_out *out;
	size_t n;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	char *path = ph_asprintf("%s/out", dir);
	ck_assert_ptr_null(ph_out_open(path, false, &out));
	struct ph_render r = { .doc = doc, .out = out, .width = width, .bytes = bytes, .header = true };
	ck_assert_ptr_null(ph_render(&r, ph_format_find(format)));
	ck_assert_ptr_null(ph_out_close(out, true));
	char *text = ph_read_file(path, 1 << 20, &n);
	ck_assert_ptr_nonnull(text);
	unlink(path);
	rmdir(dir);
	free(path);
	return text;
}

START_TEST(top_adds_up)
{
	struct ph_notes notes = { 0 };
	struct ph_graph *g = make_graph();
	json_t *doc = make_top(g, &notes, true);
	ck_assert_str_eq(ph_report_command(doc), "top");
	ck_assert_int_eq(ph_json_int(doc, "totals.objects"), 5);
	ck_assert_int_eq(ph_json_int(doc, "totals.shallow_bytes"), 300);
	ck_assert_int_eq(ph_json_int(doc, "totals.garbage_objects"), 2);
	ck_assert_int_eq(ph_json_int(doc, "totals.garbage_bytes"), 110);
	ck_assert_str_eq(ph_json_string(doc, "run.captured_at"), "2025-11-20T12:00:00Z");
	ck_assert(ph_json_number(doc, "run.pause_ms") == 12.346);
	ck_assert(json_is_true(json_object_get(doc, "complete")));
	ck_assert(ph_json_number(doc, "coverage") == 1.0);
	ck_assert_str_eq(ph_json_string(doc, "types.0.type"), "app.Cache");
	ck_assert_int_eq(ph_json_int(doc, "types.0.retained_bytes"), 230);
	ck_assert_str_eq(ph_json_string(doc, "types.1.type"), "app.\\xffNode");
	ck_assert_int_eq(ph_json_int(doc, "types.1.count"), 4);
	ck_assert_ptr_null(ph_report_doubts(doc));
	json_decref(doc);
	ph_graph_free(g);
}
END_TEST

START_TEST(what_is_missing_makes_incomplete)
{
	struct ph_notes notes = { 0 };
	struct ph_graph *g = make_graph();
	ph_note(&notes, PH_NOTE_INEXACT_SIZE, 0x1000);
	json_t *doc = make_top(g, &notes, false);
	ck_assert(json_is_true(json_object_get(doc, "complete")));
	ck_assert(json_is_null(ph_json_at(doc, "types.0.retained_bytes")));
	json_decref(doc);
	ph_note(&notes, PH_NOTE_MISSING_PAGES, 0);
	doc = make_top(g, &notes, false);
	ck_assert(json_is_false(json_object_get(doc, "complete")));
	ck_assert_str_eq(ph_json_string(doc, "notes.0.kind"), "missing-pages");
	ck_assert(json_is_null(ph_json_at(doc, "notes.0.example")));
	ck_assert_str_eq(ph_json_string(doc, "notes.1.example"), "0x1000");
	char *why = ph_report_doubts(doc);
	ck_assert_ptr_nonnull(why);
	free(why);
	char *text = render(doc, "text", 0, false);
	ck_assert_ptr_nonnull(strstr(text, "Incomplete"));
	free(text);
	json_decref(doc);
	ph_graph_free(g);
}
END_TEST

static json_t *make_cycles(const struct ph_graph *g, bool shown)
{
	struct ph_notes notes = { 0 };
	struct ph_report_meta meta = make_meta(&notes);
	struct ph_report_keys keys = { .shown = shown };
	struct ph_cycles_options options = { .hide = ph_report_hide, .hide_ctx = &keys };
	struct ph_cycles *c;
	ck_assert_ptr_null(ph_cycles_find(g, &options, &c));
	json_t *doc = ph_report_cycles(&meta, g, c);
	ck_assert_ptr_nonnull(doc);
	ph_cycles_free(c);
	return doc;
}

START_TEST(keys_that_are_values_are_hashed)
{
	struct ph_graph *g = make_graph();
	json_t *open = make_cycles(g, true), *closed = make_cycles(g, false);
	char *shown = json_dumps(open, 0), *hidden = json_dumps(closed, 0);
	ck_assert_int_eq(ph_json_int(closed, "states.garbage.count"), 1);
	ck_assert_int_eq(ph_json_int(closed, "states.garbage.objects"), 2);
	ck_assert_int_eq(ph_json_int(closed, "states.live.objects"), 2);
	ck_assert_str_eq(ph_json_string(closed, "cycles.0.state"), "garbage");
	ck_assert_ptr_nonnull(strstr(shown, "['secret']"));
	ck_assert_ptr_null(strstr(hidden, "secret"));
	ck_assert_ptr_nonnull(strstr(hidden, "['…"));
	ck_assert_ptr_nonnull(strstr(hidden, "\"via\": \".parent\""));
	free(shown);
	free(hidden);
	json_decref(open);
	json_decref(closed);
	ph_graph_free(g);
}
END_TEST

START_TEST(an_object_says_what_it_is)
{
	struct ph_notes notes = { 0 };
	struct ph_report_meta meta = make_meta(&notes);
	struct ph_graph *g;
	struct ph_graph_builder *b = ph_graph_builder_new();
	uint32_t t = ph_graph_builder_type(b, "x.T", PH_TYPE_ORDINARY, true);
	ph_graph_builder_node(b, t, 1ull << 33, 3,
			      PH_NODE_SEED | PH_NODE_TRACKED | PH_NODE_SIZE_EXACT | 3 << PH_NODE_GEN_SHIFT);
	ph_graph_builder_node(b, t, 8, 0, PH_NODE_IMMORTAL | PH_NODE_REFS_EXACT);
	ph_graph_builder_edge(b, 1, 2, PH_LABEL_ATTR, "a");
	ph_graph_builder_edge(b, 1, 2 | PH_EDGE_OWNED, PH_LABEL_ATTR, "b");
	ph_graph_builder_edge(b, 1, 2 | PH_EDGE_BORROWED, PH_LABEL_ATTR, "c");
	ck_assert_ptr_null(ph_graph_builder_finish(b, &g));
	json_t *row = ph_report_object(&meta, g, 1, true);
	ck_assert_int_eq(ph_json_int(row, "shallow_bytes"), 1ll << 33);
	ck_assert_str_eq(ph_json_string(row, "generation"), "permanent");
	ck_assert(json_is_integer(ph_json_at(row, "refcount")));
	ck_assert_uint_eq(json_array_size(ph_json_at(row, "refs")), 2);
	ck_assert_uint_eq(json_array_size(ph_json_at(row, "owned")), 1);
	ck_assert(json_is_true(ph_json_at(row, "size_exact")) && json_is_false(ph_json_at(row, "refs_exact")));
	json_decref(row);
	row = ph_report_object(&meta, g, 2, false);
	ck_assert(json_is_null(ph_json_at(row, "refcount")) && json_is_null(ph_json_at(row, "generation")));
	ck_assert_ptr_null(ph_json_at(row, "refs"));
	json_decref(row);
	ph_graph_free(g);
}
END_TEST

/* ---- rows --------------------------------------------------------------------------- */

static json_t *row_of(const char *type, json_int_t count, json_int_t shallow)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I}", "type", type, "count", count, "shallow_bytes", shallow,
			 "uncounted_bytes", (json_int_t)0, "retained_bytes", shallow);
}

static json_t *doc_of(json_t *a, json_t *b, json_t *c)
{
	json_t *doc = json_pack("{s:s, s:s, s:{}, s:b, s:[ooo]}", "schema", PH_REPORT_SCHEMA, "command", "top",
				"run", "complete", 1, "types", a, b, c);
	ck_assert_ptr_nonnull(doc);
	return doc;
}

START_TEST(rows_are_sorted_and_cut)
{
	json_t *doc = doc_of(row_of("b", 1, 300), row_of("a", 7, 200), row_of("c", 3, 10));
	ck_assert_ptr_null(ph_report_sort(doc, "count"));
	ck_assert_str_eq(ph_json_string(doc, "types.0.type"), "a");
	ck_assert_str_eq(ph_json_string(doc, "types.1.type"), "c");
	ck_assert_ptr_null(ph_report_sort(doc, "type"));
	ck_assert_str_eq(ph_json_string(doc, "types.2.type"), "c");
	struct ph_err *err = ph_report_sort(doc, "beauty");
	ck_assert_int_eq(ph_err_code(err), PH_ERR_USAGE);
	ck_assert_ptr_nonnull(strstr(ph_err_hint_text(err), "retained"));
	ph_err_free(err);

	ck_assert_ptr_null(ph_report_cut(doc, 0, 0));
	ck_assert(!ph_report_is_cut(doc));
	ck_assert_ptr_null(ph_report_cut(doc, 0, 100));
	ck_assert_int_eq(ph_json_int(doc, "omitted.types"), 1);
	ck_assert_int_eq(ph_json_int(doc, "omitted.count"), 3);
	ck_assert_ptr_null(ph_report_cut(doc, 1, 0)); /* once more: sums go on */
	ck_assert_int_eq(ph_json_int(doc, "omitted.types"), 2);
	ck_assert_int_eq(ph_json_int(doc, "omitted.count"), 4);
	ck_assert_int_eq(ph_json_int(doc, "omitted.shallow_bytes"), 310);
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "types")), 1);
	ck_assert(ph_report_is_cut(doc));
	json_decref(doc);
}
END_TEST

/* ---- diff ----------------------------------------------------------------------------- */

static json_t *diff_of(json_t *const docs[2], const struct ph_thresholds *limits)
{
	json_t *doc = NULL;
	ck_assert_ptr_null(ph_report_diff(docs, 2, limits, &doc));
	return doc;
}

START_TEST(thresholds_are_crossed_above_and_not_at)
{
	json_t *docs[2] = { doc_of(row_of("a", 10, 1000), row_of("b", 1, 500), row_of("c", 1, 500)),
			    doc_of(row_of("a", 20, 1100), row_of("b", 1, 500), row_of("d", 5, 500)) };
	struct ph_max_count max[] = { { "a", 20 }, { "d", 4 }, { "none", 0 } };
	/* 2000 → 2100 bytes: 5 % */
	struct ph_thresholds at = { true, true, 5, 100, max, 1 }, above = { true, true, 4.9, 99, max, 3 };
	json_t *doc = diff_of(docs, &at);
	ck_assert(!ph_report_exceeded(doc));
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "types")), 4);
	ck_assert_str_eq(ph_json_string(doc, "types.0.type"), "d");
	ck_assert_int_eq(ph_json_int(doc, "types.0.values.0.count"), 0);
	ck_assert_int_eq(ph_json_int(doc, "totals.delta.count"), 14);
	ck_assert_ptr_null(ph_report_drop_unchanged(doc));
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "types")), 3);
	json_decref(doc);
	doc = diff_of(docs, &above);
	ck_assert(ph_report_exceeded(doc));
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "exceeded")), 3);
	ck_assert_str_eq(ph_json_string(doc, "exceeded.2.type"), "d");
	ck_assert_int_eq(ph_json_int(doc, "exceeded.2.actual"), 5);
	json_decref(doc);
	json_decref(docs[0]);
	json_decref(docs[1]);
}
END_TEST

/* ---- formats -------------------------------------------------------------------------- */

START_TEST(json_is_what_went_in)
{
	struct ph_notes notes = { 0 };
	struct ph_graph *g = make_graph();
	json_t *doc = make_top(g, &notes, true);
	ck_assert_ptr_null(ph_report_cut(doc, 1, 0));
	char *text = render(doc, "json", 0, false);
	json_t *back = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(back);
	ck_assert(json_equal(doc, back));
	ck_assert_ptr_nonnull(strstr(text, "\"coverage\": 1.0,"));
	json_decref(back);
	free(text);
	json_decref(doc);
	ph_graph_free(g);
}
END_TEST

START_TEST(csv_quotes)
{
	json_t *doc = doc_of(row_of("a,\"b\"", 1, 2), row_of("c\nd", 3, 4), row_of("e", 5, 6));
	char *text = render(doc, "csv", 0, false);
	ck_assert_str_eq(text, "type,count,shallow_bytes,uncounted_bytes,retained_bytes\n"
			       "\"a,\"\"b\"\"\",1,2,0,2\nc\\x0ad,3,4,0,4\ne,5,6,0,6\n");
	free(text);
	json_decref(doc);
}
END_TEST

static size_t longest_line(const char *text)
{
	size_t longest = 0;
	for (const char *at = text; *at;) {
		size_t n = strcspn(at, "\n");
		char *line = strndup(at, n);
		if (strstr(line, "pkg") && ph_text_width(line) > longest)
			longest = ph_text_width(line);
		free(line);
		at += n + (at[n] == '\n');
	}
	return longest;
}

START_TEST(text_keeps_to_the_width)
{
	json_t *doc = doc_of(row_of("pkg.a_rather_long_module_name.subpackage.module.SomeClassWithALongName", 1, 9000),
			     row_of("pkg.B", 1, 2), row_of("x\033[2J", 1, 1));
	char *wide = render(doc, "text", 0, false), *narrow = render(doc, "text", 72, true);
	ck_assert_ptr_nonnull(strstr(wide, "SomeClassWithALongName\n"));
	ck_assert_ptr_nonnull(strstr(wide, "8.8 KiB"));
	ck_assert_ptr_nonnull(strstr(narrow, "…"));
	ck_assert_ptr_nonnull(strstr(narrow, "9000"));
	ck_assert_uint_eq(longest_line(narrow), 72);
	ck_assert_ptr_null(strchr(wide, '\033'));
	free(wide);
	free(narrow);
	json_decref(doc);
}
END_TEST

/* ---- reading reports --------------------------------------------------------------------- */

static enum ph_code load_code(const char *content)
{
	char path[] = "/tmp/pyheap-test.XXXXXX";
	int fd = mkstemp(path);
	json_t *doc = NULL;
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
	close(fd);
	struct ph_err *err = ph_report_load(path, "x.json", &doc);
	unlink(path);
	enum ph_code code = err ? ph_err_code(err) : (enum ph_code)0;
	ph_err_free(err);
	json_decref(doc);
	return code;
}

#define HEAD "{\"schema\":\"pyheap.report/1\",\"command\":\"top\",\"run\":{},\"types\":"
#define TYPE(count) "{\"type\":\"a\",\"count\":" count ",\"shallow_bytes\":1,\"uncounted_bytes\":0,\"retained_bytes\":null}"

START_TEST(reports_are_checked)
{
	ck_assert_int_eq(load_code(HEAD "[" TYPE("1") "]}"), 0);
	static const char *const bad[] = {
		"", "{", "[]", "{}", "{\"schema\":\"pyheap.report/2\"}", HEAD "1}", HEAD "[1]}",
		HEAD "[" TYPE("-1") "]}", HEAD "[" TYPE("1.5") "]}", HEAD "[" TYPE("9223372036854775807") "]}",
		HEAD "[" TYPE("99999999999999999999") "]}", HEAD "[" TYPE("\"1\"") "]}",
		HEAD "[{\"type\":\"a\"}]}", HEAD "[],\"types\":[]}",
		"{\"schema\":\"pyheap.report/1\",\"command\":\"nothing\",\"totals\":{}}",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(load_code(bad[i]) == PH_ERR_USAGE, "accepted: %s", bad[i]);
}
END_TEST

/* ---- the way out ---------------------------------------------------------------------------- */

/* Closes and returns the error's code, 0 without. */
static int close_code(struct ph_out *out, bool keep)
{
	struct ph_err *err = ph_out_close(out, keep);
	int code = err ? (int)ph_err_code(err) : 0;
	ph_err_free(err);
	return code;
}

START_TEST(a_full_disk_is_an_error)
{
	struct ph_out *out;
	ck_assert_ptr_null(ph_out_open("/dev/full", false, &out));
	ph_out_puts(out, "text");
	ck_assert_int_eq(close_code(out, true), PH_ERR_USAGE);
	ck_assert_ptr_null(ph_out_open("/dev/full", false, &out));
	for (int i = 0; i < 100000 && !ph_out_failed(out); i++)
		ph_out_printf(out, "%d\n", i);
	ck_assert(ph_out_failed(out));
	ck_assert_int_eq(close_code(out, true), PH_ERR_USAGE);
}
END_TEST

START_TEST(a_closed_pipe_is_an_error)
{
	int fds[2], saved = dup(STDOUT_FILENO);
	struct ph_out *out;
	ck_assert_int_eq(pipe(fds), 0);
	close(fds[0]);
	signal(SIGPIPE, SIG_IGN);
	fflush(stdout);
	dup2(fds[1], STDOUT_FILENO);
	struct ph_err *err = ph_out_open(NULL, false, &out);
	dup2(saved, STDOUT_FILENO);
	close(fds[1]);
	ck_assert_ptr_null(err);
	ph_out_puts(out, "text");
	ck_assert_int_eq(close_code(out, true), PH_ERR_USAGE);
}
END_TEST

START_TEST(files_appear_whole_or_not_at_all)
{
	char dir[] = "/tmp/pyheap-test.XXXXXX";
	struct ph_out *out;
	struct stat st;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_ptr_null(ph_out_open("r", false, &out));
	ph_out_puts(out, "one");
	ck_assert_int_ne(stat("r", &st), 0);
	ck_assert_int_eq(close_code(out, false), 0); /* given up */
	ck_assert_int_ne(stat("r", &st), 0);
	ck_assert_ptr_null(ph_out_open("r", false, &out));
	ph_out_puts(out, "one");
	ck_assert_int_eq(close_code(out, true), 0);

	struct ph_err *err = ph_out_open("r", false, &out);
	ck_assert_ptr_nonnull(err);
	ck_assert_str_eq(ph_err_hint_text(err), "--force overwrites it");
	ph_err_free(err);
	ck_assert_ptr_null(ph_out_open("r", true, &out));
	ph_out_puts(out, "second");
	ck_assert_int_eq(close_code(out, true), 0);
	ck_assert_int_eq(stat("r", &st), 0);
	ck_assert_int_eq(st.st_size, 6);

	/* appears while the report is being made: it stays */
	ck_assert_ptr_null(ph_out_open("late", false, &out));
	ph_out_puts(out, "x");
	close(open("late", O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(close_code(out, true), PH_ERR_USAGE);
	ck_assert_int_eq(stat("late", &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	unlink("late");
	unlink("r");
	ck_assert_int_eq(rmdir(dir), 0); /* nothing was left behind */
}
END_TEST

Suite *report_suite(void);
Suite *report_suite(void)
{
	const TTest *const tests[] = {
		text_is_made_printable, text_is_shortened_in_the_middle, numbers_for_people,
		progress_is_told_as_far_as_it_is_known, long_phases_are_told_of, hash_is_siphash,
		top_adds_up, what_is_missing_makes_incomplete, keys_that_are_values_are_hashed,
		an_object_says_what_it_is, rows_are_sorted_and_cut, thresholds_are_crossed_above_and_not_at,
		json_is_what_went_in, csv_quotes, text_keeps_to_the_width, reports_are_checked,
		a_full_disk_is_an_error, a_closed_pipe_is_an_error, files_appear_whole_or_not_at_all,
	};
	Suite *s = suite_create("report");
	TCase *tc = tcase_create("report");
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	return s;
}
