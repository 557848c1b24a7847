/* SPDX-License-Identifier: GPL-2.0-or-later */
/* layout: DWARF of small libraries compiled on the spot, the ways to find it, the
 * cache, and the system's python3.11, whose debug information must be installed. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "layout/layout_priv.h"

Suite *layout_suite(void);

#define PYTHON "/usr/bin/python3.11"
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- helpers ----------------------------------------------------------------------- */

static char dir[] = "/tmp/pyheap-layout-XXXXXX";

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	char *cache ph_cleanup_free = ph_asprintf("%s/cache", dir);
	ck_assert_int_eq(mkdir(cache, 0755), 0);
	setenv("XDG_CACHE_HOME", cache, 1);
}

__attribute__((format(printf, 1, 2))) static void sh(const char *fmt, ...)
{
	char command[2048];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(command, sizeof command, fmt, ap);
	va_end(ap);
	ck_assert_int_lt(n, (int)sizeof command);
	ck_assert_msg(system(command) == 0, "failed: %s", command);
}

static char *kept[32]; /* strings that live as long as the test */
static size_t nkept;

static char *keep(char *s)
{
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_lt(nkept, COUNT(kept));
	return kept[nkept++] = s;
}

static void teardown(void)
{
	while (nkept)
		free(kept[--nkept]);
	ck_assert_int_eq(chdir("/"), 0);
	sh("rm -rf %s", dir);
	strcpy(dir, "/tmp/pyheap-layout-XXXXXX");
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* Makes NAME from C source, with debug information and a build-id. */
static void build(const char *name, const char *flags, const char *source)
{
	put("fixture.c", source);
	sh("cc -shared -nostdlib -fPIC -g -Wl,--build-id=sha1 %s -o %s fixture.c", flags, name);
}

/* A file, of the test's directory or by its whole path, as a loaded module. */
static struct ph_module module_of(const char *name)
{
	struct ph_module m = { .path = keep(*name == '/' ? strdup(name) :
							   ph_asprintf("%s/%s", dir, name)) };
	m.open_path = keep(strdup(m.path));
	struct ph_elffile *f = ph_elffile_open(m.path);
	ck_assert_msg(f, "%s is not an ELF file", m.path);
	m.build_id_len = ph_elffile_build_id(f, m.build_id);
	ph_elffile_free(f);
	return m;
}

static void no_error(struct ph_err *err)
{
	if (err)
		ck_abort_msg("error %d: %s", ph_err_code(err), ph_err_message(err));
}

static void error_has(struct ph_err *err, int code, const char *message, const char *hint)
{
	ck_assert_ptr_nonnull(err);
	ck_assert_msg(strstr(ph_err_message(err), message), "\"%s\" not in \"%s\"", message,
		      ph_err_message(err));
	ck_assert_msg(strstr(ph_err_hint_text(err), hint), "\"%s\" not in \"%s\"", hint,
		      ph_err_hint_text(err));
	ck_assert_int_eq((int)ph_err_code(err), code);
	ph_err_free(err);
}

#define FIELD(structs, names) { PH_ROW_FIELD, names, structs, names, 0, false, NULL }
#define FIELD_IN(structs, names, mod) { PH_ROW_FIELD, names, structs, names, 0, false, mod }
#define SIZE(structs) { PH_ROW_SIZE, structs, structs, NULL, 0, false, NULL }
#define ENUMERATOR(names) { PH_ROW_ENUM, names, NULL, names, 0, false, NULL }

static struct ph_err *try_get(const struct ph_module *m, const struct ph_row *rows, size_t n,
			      struct ph_answers *ret)
{
	struct ph_debug_search search = { .module = m, .roots = { "" }, .nroots = 1 };
	return ph_answers_get(NULL, &search, false, rows, n, ret);
}

static struct ph_answers get(const char *name, const struct ph_row *rows, size_t n)
{
	struct ph_module m = module_of(name);
	struct ph_answers s;
	no_error(try_get(&m, rows, n, &s));
	return s;
}

/* ---- members ------------------------------------------------------------------------- */

/* The same text is compiled here and in the library that is looked at. */
#define BOTH(...) \
	__VA_ARGS__ \
	static const char both_source[] = #__VA_ARGS__ \
		"anon_t v1; struct outer v2; struct bits v3; struct packed_bits v4;" \
		"enum tags v5; matrix v6; union either v7;";
BOTH(
typedef struct {
	long a;
	struct { int b; union { char c; struct { short d, e; }; }; };
} anon_t;
struct inner { int x; int y[3]; };
typedef const struct inner inner_c;
typedef inner_c inner_cc;
struct outer {
	char pad;
	inner_cc in;
	struct { char c; struct inner deep; } nest;
	long grid[2][5];
	void (*call)(void);
	char tail[];
};
struct bits { unsigned first : 2, second : 3; unsigned char third : 4; long far : 33; unsigned last : 7; };
struct packed_bits { unsigned char c; unsigned one : 3; unsigned two : 30; } __attribute__((packed));
enum tags { TAG_LOW = -3, TAG_HIGH = 200, TAG_BIG = 70000 };
typedef int row_t[4];
typedef struct { row_t rows[3]; } matrix;
union either { int first; double second; };
)

static const struct ph_row both_rows[] = {
	FIELD("anon_t", "a"), FIELD("anon_t", "b"), FIELD("anon_t", "c"), FIELD("anon_t", "e"),
	FIELD("outer", "in"), FIELD("outer", "in.y"), FIELD("outer", "nest.deep.x"),
	FIELD("outer", "grid"), FIELD("outer", "call"), FIELD("outer", "tail"),
	FIELD("matrix", "rows"), FIELD("either", "second"),
	SIZE("anon_t"), SIZE("outer"), SIZE("inner_cc"), SIZE("matrix"),
	ENUMERATOR("TAG_LOW"), ENUMERATOR("TAG_HIGH"), ENUMERATOR("TAG_BIG"),
	FIELD("outer", "absent"), FIELD("outer", "in.absent"), FIELD("outer", "pad.absent"),
	FIELD("absent", "a"), SIZE("absent"), ENUMERATOR("TAG_ABSENT"),
	FIELD("absent|anon_t", "absent|a"), ENUMERATOR("TAG_ABSENT|TAG_LOW"),
	FIELD("out", "grid"), FIELD("outer", "gri"),
};
#define AT(type, member, st) \
	{ { .offset = offsetof(type, member), .size = sizeof(((type *)0)->member), .stride = st, \
	    .present = true }, 0 }
#define IS(v) { { .present = true }, v }
#define NOT { { .present = false }, 0 }
static const struct ph_answer both_answers[] = {
	AT(anon_t, a, 0), AT(anon_t, b, 0), AT(anon_t, c, 0), AT(anon_t, e, 0),
	AT(struct outer, in, 0), AT(struct outer, in.y, 4), AT(struct outer, nest.deep.x, 0),
	AT(struct outer, grid, 40), AT(struct outer, call, 0),
	{ { .offset = offsetof(struct outer, tail), .stride = 1, .present = true }, 0 },
	AT(matrix, rows, 16), AT(union either, second, 0),
	IS(sizeof(anon_t)), IS(sizeof(struct outer)), IS(sizeof(struct inner)), IS(sizeof(matrix)),
	IS(-3), IS(200), IS(70000),
	NOT, NOT, NOT, NOT, NOT, NOT,
	AT(anon_t, a, 0), IS(-3),
	NOT, NOT,
};

static const char *const flavours[] = {
	"-gdwarf-5", "-gdwarf-4", "-gdwarf-4 -gstrict-dwarf", "-gdwarf-4 -fdebug-types-section",
	"-gdwarf-5 -fdebug-types-section", "-gdwarf-3 -gstrict-dwarf", "-gdwarf-2 -gstrict-dwarf",
	"-Wl,--compress-debug-sections=zlib", "-Wl,--compress-debug-sections=zlib-gnu",
	"-flto -O2",
};

START_TEST(test_members)
{
	build("lib.so", flavours[_i], both_source);
	struct ph_answers s = get("lib.so", both_rows, COUNT(both_rows));
	ck_assert_ptr_null(s.damage);
	for (size_t i = 0; i < COUNT(both_rows); i++) {
		const struct ph_member *m = &s.a[i].m, *want = &both_answers[i].m;
		const char *id = both_rows[i].id;
		ck_assert_msg(m->present == want->present, "%s: %s", flavours[_i], id);
		ck_assert_msg(m->offset == want->offset, "%s: offset %u", id, m->offset);
		ck_assert_msg(m->size == want->size, "%s: size %u", id, m->size);
		ck_assert_msg(m->stride == want->stride, "%s: stride %u", id, m->stride);
		ck_assert_msg(m->bits == 0 && m->bit == 0, "%s: a bit-field", id);
		ck_assert_msg(s.a[i].value == both_answers[i].value, "%s: %" PRId64, id, s.a[i].value);
	}
	ph_answers_deinit(&s);
}
END_TEST

static uint64_t load_bits(const void *object, struct ph_member m)
{
	uint64_t raw = 0;
	ck_assert_uint_le(m.size, 8);
	ck_assert_uint_le(m.bit + m.bits, m.size * 8);
	memcpy(&raw, (const char *)object + m.offset, m.size);
	return raw >> m.bit & ((1ull << m.bits) - 1);
}

START_TEST(test_bitfields)
{
	static const struct ph_row rows[] = {
		FIELD("bits", "first"), FIELD("bits", "second"), FIELD("bits", "third"),
		FIELD("bits", "far"), FIELD("bits", "last"),
		FIELD("packed_bits", "one"), FIELD("packed_bits", "two"),
	};
	static const unsigned widths[] = { 2, 3, 4, 33, 7, 3, 30 };
	/* every field the inverse of its neighbours, so that a wrong bit shows */
	struct bits a = { .first = 1, .second = 6, .third = 5, .far = 0x123456789, .last = 0x55 };
	struct packed_bits b = { .c = 0xff, .one = 2, .two = 0x2aaaaaa5 };
	const uint64_t want[] = { 1, 6, 5, 0x123456789 & ((1ull << 33) - 1), 0x55, 2, 0x2aaaaaa5 };
	build("lib.so", flavours[_i], both_source);
	struct ph_answers s = get("lib.so", rows, COUNT(rows));
	for (size_t i = 0; i < COUNT(rows); i++) {
		const void *object = i < 5 ? (const void *)&a : (const void *)&b;
		size_t size = i < 5 ? sizeof a : sizeof b;
		ck_assert_msg(s.a[i].m.bits == widths[i], "%s: %u bits wide", rows[i].id, s.a[i].m.bits);
		ck_assert_uint_le(s.a[i].m.offset + s.a[i].m.size, size);
		uint64_t value = load_bits(object, s.a[i].m);
		ck_assert_msg(value == want[i], "%s: %" PRIx64, rows[i].id, value);
	}
	/* whole storage units where nothing is packed: CPython's state word is one load */
	ck_assert_uint_eq(s.a[0].m.size, 4);
	ck_assert_uint_eq(s.a[1].m.offset, 0);
	ph_answers_deinit(&s);
}
END_TEST

/* Several structs of one name: the one that has the members answers all of them. */
START_TEST(test_clash)
{
	static const struct ph_row rows[] = {
		FIELD("block", "data"), FIELD("block", "rightlink"), SIZE("block"),
		FIELD("BLOCK|block", "data"), SIZE("only_declared"), FIELD("half", "x|y"),
		FIELD("namesake", "x"), SIZE("namesake"), SIZE("late"),
	};
	static const char *const orders[] = { "a.c b.c c.c", "c.c b.c a.c", "b.c c.c a.c" };
	put("a.c", "typedef struct { int other; void *data; } block; block v1;"
		   "struct half { long x; } h1; struct namesake { long y; } n1;");
	put("b.c", "struct block { char *leftlink; char *data[4]; char *rightlink; } v2;"
		   "struct late { long x, y; } l1;");
	put("c.c", "struct block; struct block *v3; struct only_declared *v4; struct half *v5;"
		   "struct late *v6;");
	sh("cc -shared -nostdlib -fPIC -g -o lib.so %s", orders[_i]);
	struct ph_answers s = get("lib.so", rows, COUNT(rows));
	ck_assert(s.a[0].m.present && s.a[0].m.offset == 8 && s.a[0].m.stride == 8);
	ck_assert(s.a[1].m.present && s.a[1].m.offset == 40);
	ck_assert_int_eq(s.a[2].value, 48);
	ck_assert(s.a[3].m.present);
	ck_assert(!s.a[4].m.present);
	ck_assert(s.a[5].m.present);
	/* a struct that has none of the members is another one: its size is not wanted */
	ck_assert(!s.a[6].m.present && !s.a[7].m.present);
	ck_assert_int_eq(s.a[8].value, 16);
	ph_answers_deinit(&s);
}
END_TEST

/* Types that lead to themselves, written by hand. */
static const char loops[] =
	".section .debug_abbrev\n"
	".uleb128 1,0x11\n.byte 1\n.uleb128 0,0\n"                        /* unit */
	".uleb128 2,0x16\n.byte 0\n.uleb128 3,8,0x49,0x13,0,0\n"          /* typedef: name, type */
	".uleb128 3,0x13\n.byte 1\n.uleb128 3,8,0xb,0xb,0,0\n"            /* struct: name, size */
	".uleb128 4,0x0d\n.byte 0\n.uleb128 0x49,0x13,0x38,0xb,0,0\n"     /* member: type, offset */
	".uleb128 5,0x01\n.byte 1\n.uleb128 3,8,0x49,0x13,0,0\n"          /* array: name, type */
	".uleb128 6,0x21\n.byte 0\n.uleb128 0x37,0xb,0,0\n"               /* its length */
	".uleb128 7,0x0d\n.byte 0\n.uleb128 3,8,0x49,0x13,0x38,0xb,0,0\n" /* member with a name */
	".byte 0\n"
	".section .debug_info\n"
	"1: .long 3f-2f\n2: .short 4\n.long 0\n.byte 8\n"
	".uleb128 1\n"
	"10: .uleb128 2\n.string \"loop\"\n.long 10b-1b\n"
	"11: .uleb128 3\n.string \"deep\"\n.byte 8\n"
	".uleb128 4\n.long 11b-1b\n.byte 0\n.uleb128 4\n.long 11b-1b\n.byte 0\n.byte 0\n"
	"12: .uleb128 5\n.string \"turtles\"\n.long 12b-1b\n.uleb128 6\n.byte 2\n.byte 0\n"
	".uleb128 3\n.string \"holder\"\n.byte 8\n"
	".uleb128 7\n.string \"array\"\n.long 12b-1b\n.byte 0\n"
	".uleb128 7\n.string \"loop\"\n.long 10b-1b\n.byte 0\n.byte 0\n"
	".byte 0\n3:\n";

START_TEST(test_loops)
{
	static const struct ph_row rows[] = {
		FIELD("loop", "x"), SIZE("loop"), FIELD("deep", "x"), SIZE("turtles"),
		FIELD("holder", "array"), FIELD("holder", "loop"), FIELD("holder", "loop.x"),
	};
	put("loops.s", loops);
	sh("cc -shared -nostdlib -o lib.so loops.s");
	uint64_t start = ph_now_ns();
	struct ph_answers s = get("lib.so", rows, COUNT(rows));
	ck_assert_uint_lt(ph_now_ns() - start, 5000000000ull);
	ck_assert_ptr_null(s.damage);
	for (size_t i = 0; i < COUNT(rows); i++) {
		/* the array is there, how long it is nobody can say */
		ck_assert_int_eq(s.a[i].m.present, i == 4);
		ck_assert_uint_eq(s.a[i].m.size, 0);
	}
	ph_answers_deinit(&s);
}
END_TEST

/* Damaged files: an answer or an error, never a crash; the sanitizers watch. */
START_TEST(test_damage)
{
	build("lib.so", _i ? "-Wl,--compress-debug-sections=zlib" : "", both_source);
	struct ph_module m = module_of("lib.so");
	size_t len, answered = 0, refused = 0;
	char *bytes = ph_read_file("lib.so", 1u << 24, &len);
	ck_assert_ptr_nonnull(bytes);
	m.build_id_len = 0;
	m.open_path = (char *)"bad.so";
	unsigned seed = 1;
	for (int round = 0; round < 1500; round++) {
		char *copy ph_cleanup_free = malloc(len);
		memcpy(copy, bytes, len);
		for (int k = 0; k < 1 + round % 8; k++)
			copy[(size_t)rand_r(&seed) % len] = (char)rand_r(&seed);
		size_t keep = round % 10 ? len : (size_t)rand_r(&seed) % len;
		FILE *f = fopen("bad.so", "w");
		ck_assert_uint_eq(fwrite(copy, 1, keep, f), keep);
		fclose(f);
		struct ph_answers s;
		struct ph_err *err = try_get(&m, both_rows, COUNT(both_rows), &s);
		err ? refused++ : answered++;
		ph_err_free(err);
		ph_answers_deinit(&s);
	}
	ck_assert_uint_gt(answered, 100);
	ck_assert_uint_gt(refused, 100);
	free(bytes);
}
END_TEST

/* ---- where debug information is found ---------------------------------------------------- */

static const struct ph_row here_row[] = { FIELD("here", "x") };
static const char here_source[] = "struct here { long w, x; } v;";

/* lib.so without debug information, lib.debug with it, a link from one to the other. */
static void split(const char *flags)
{
	build("lib.so", flags, here_source);
	sh("objcopy --only-keep-debug lib.so lib.debug");
	sh("strip -g lib.so && objcopy --add-gnu-debuglink=lib.debug lib.so");
}

static void found_or_not(const char *name, bool want)
{
	struct ph_module m = module_of(name);
	struct ph_answers s;
	struct ph_err *err = try_get(&m, here_row, 1, &s);
	if (!want) {
		error_has(err, PH_ERR_LAYOUT, "no debug information for ", "--debug-file");
	} else {
		no_error(err);
		ck_assert(s.a[0].m.present && s.a[0].m.offset == 8);
	}
	ph_answers_deinit(&s);
}

START_TEST(test_debuglink)
{
	split("-Wl,--build-id=none");
	found_or_not("lib.so", true);
	sh("mkdir .debug && mv lib.debug .debug");
	found_or_not("lib.so", true);
	/* through a symbolic link: the directory of the file itself counts */
	sh("mkdir sub && ln -s ../lib.so sub/link.so");
	found_or_not("sub/link.so", true);
	/* the checksum covers the whole file */
	sh("printf x >> .debug/lib.debug");
	found_or_not("lib.so", false);
	sh("rm .debug/lib.debug && mkfifo .debug/lib.debug");
	found_or_not("lib.so", false);
}
END_TEST

START_TEST(test_debuglink_sysroot)
{
	split("-Wl,--build-id=none");
	sh("mkdir -p root/usr/lib/debug%s && mv lib.debug root/usr/lib/debug%s", dir, dir);
	found_or_not("lib.so", false);
	struct ph_module m = module_of("lib.so");
	struct ph_debug_search search = { .module = &m, .roots = { "root", "" }, .nroots = 2 };
	struct ph_answers s;
	no_error(ph_answers_get(NULL, &search, false, here_row, 1, &s));
	ck_assert(s.a[0].m.present);
	ph_answers_deinit(&s);
}
END_TEST

START_TEST(test_build_id)
{
	char hex[129];
	split("");
	sh("objcopy -R .gnu_debuglink lib.so");
	found_or_not("lib.so", false);
	struct ph_module m = module_of("lib.so");
	struct ph_debug_search search = { .module = &m, .roots = { "root", "" }, .nroots = 2 };
	struct ph_answers s;
	ph_hex(m.build_id, m.build_id_len, hex);
	sh("mkdir -p root/usr/lib/debug/.build-id/%.2s && "
	   "cp lib.debug root/usr/lib/debug/.build-id/%.2s/%s.debug", hex, hex, hex + 2);
	no_error(ph_answers_get(NULL, &search, false, here_row, 1, &s));
	ck_assert(s.a[0].m.present);
	ck_assert_ptr_nonnull(strstr(s.origin, ".build-id"));
	ph_answers_deinit(&s);
	/* the module's own file need not be there at all */
	m.open_path = NULL;
	no_error(ph_answers_get(NULL, &search, false, here_row, 1, &s));
	ph_answers_deinit(&s);
	/* a file that was put under another's name */
	m.build_id[5] ^= 1;
	ph_hex(m.build_id, m.build_id_len, hex);
	sh("cp lib.debug root/usr/lib/debug/.build-id/%.2s/%s.debug", hex, hex + 2);
	error_has(ph_answers_get(NULL, &search, false, here_row, 1, &s), PH_ERR_LAYOUT,
		  "no debug information", "not found either");
	ph_answers_deinit(&s);
}
END_TEST

/* .gnu_debugaltlink: what is not in the file itself is in the one it names. */
START_TEST(test_altlink)
{
	static const struct ph_row rows[] = {
		FIELD("here", "x"), { PH_ROW_FIELD, "y", "there", "y", 0, true, NULL },
	};
	build("shared.debug", "", "struct there { long a, y; } v;");
	build("lib.so", "", here_source);
	struct ph_module alt = module_of("shared.debug"), m;
	struct ph_answers s;
	FILE *f = fopen("section", "w");
	fwrite("shared.debug", 1, sizeof "shared.debug", f);
	fwrite(alt.build_id, 1, alt.build_id_len, f);
	ck_assert_int_eq(fclose(f), 0);
	sh("objcopy --add-section .gnu_debugaltlink=section lib.so");
	m = module_of("lib.so");
	no_error(try_get(&m, rows, COUNT(rows), &s));
	ck_assert(s.a[0].m.present && s.a[1].m.present && s.a[1].m.offset == 8);
	ph_answers_deinit(&s);
	/* another build of the shared file does not do */
	build("shared.debug", "", "struct there { long b, a, y; } v;");
	error_has(try_get(&m, rows, COUNT(rows), &s), PH_ERR_LAYOUT, "there.y",
		  "shared.debug, which was not found");
	ph_answers_deinit(&s);
}
END_TEST

START_TEST(test_debug_file)
{
	split("");
	sh("objcopy -R .gnu_debuglink lib.so && mv lib.so bare.so");
	build("other.so", "", "struct here { long x; } other;");
	sh("mkfifo fifo && echo text > text");
	struct ph_module m = module_of("bare.so");
	struct ph_debug_search search = { .module = &m, .roots = { "" }, .nroots = 1 };
	struct ph_answers s;
	static const struct { const char *file, *message; int code; } bad[] = {
		{ "other.so", "other.so does not belong to ", PH_ERR_LAYOUT },
		{ "bare.so", "bare.so holds no debug information", PH_ERR_LAYOUT },
		{ "absent", "cannot open absent: No such file", PH_ERR_USAGE },
		{ "fifo", "fifo is not a 64-bit little-endian ELF file", PH_ERR_LAYOUT },
		{ "text", "text is not a 64-bit little-endian ELF file", PH_ERR_LAYOUT },
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		search.debug_file = bad[i].file;
		error_has(ph_answers_get(NULL, &search, true, here_row, 1, &s), bad[i].code,
			  bad[i].message, "");
		ph_answers_deinit(&s);
	}
	search.debug_file = "lib.debug";
	no_error(ph_answers_get(NULL, &search, true, here_row, 1, &s));
	ck_assert(s.a[0].m.present && s.a[0].m.offset == 8);
	ck_assert_str_eq(s.origin, "lib.debug");
	ph_answers_deinit(&s);
	/* what the cache knows by now is no excuse for a file that does not fit */
	search.debug_file = "other.so";
	error_has(ph_answers_get(NULL, &search, true, here_row, 1, &s), PH_ERR_LAYOUT,
		  "does not belong to", "exactly this build");
	ph_answers_deinit(&s);
}
END_TEST

/* ---- extension modules ---------------------------------------------------------------------- */

START_TEST(test_extension)
{
	static const struct ph_row rows[] = {
		FIELD("here", "x"), FIELD_IN("arrayobject", "allocated", "array"),
		FIELD_IN("arrayobject", "descr", "array"), FIELD_IN("dequeobject", "left", "_collections"),
	};
	build("lib.so", "", "struct here { long w, x; } v; struct arrayobject { int descr; } a;"
			    "struct dequeobject { long left; } d;");
	build("array.cpython-311-x86_64-linux-gnu.so", "",
	      "struct arrayobject { long p, q, allocated, descr; } v; struct here { char x; } h;");
	build("_collections.abi3.so", "", "struct dequeobject { long p, q, left; } v;");
	struct ph_module modules[] = { module_of("lib.so"), module_of("_collections.abi3.so"),
				       module_of("array.cpython-311-x86_64-linux-gnu.so") };
	struct ph_target target = { .kind = PH_TARGET_CORE, .modules = modules };
	struct ph_debug_search search = { .module = &modules[0], .roots = { "" }, .nroots = 1 };
	/* without the module, with it, and so again from the cache */
	for (int round = 0; round < 4; round++) {
		struct ph_answers s;
		bool loaded = round % 2;
		target.nmodules = loaded ? 3 : 2;
		no_error(ph_answers_get(&target, &search, true, rows, COUNT(rows), &s));
		ck_assert_uint_eq(s.a[0].m.offset, 8);
		ck_assert_int_eq(s.a[1].m.present, loaded);
		ck_assert_uint_eq(s.a[2].m.offset, loaded ? 24 : 0);
		/* the interpreter's own answer goes first */
		ck_assert(s.a[3].m.present && s.a[3].m.offset == 0);
		ph_answers_deinit(&s);
	}
}
END_TEST

/* ---- the cache ------------------------------------------------------------------------------- */

static struct ph_module cached;
static char cache_file[200];

static uint32_t offset_from_cache(const struct ph_row *rows, size_t n)
{
	struct ph_debug_search search = { .module = &cached, .roots = { "" }, .nroots = 1 };
	struct ph_answers s;
	no_error(ph_answers_get(NULL, &search, true, rows, n, &s));
	uint32_t offset = s.a[0].m.offset;
	ph_answers_deinit(&s);
	return offset;
}

/* A cache file that is valid, but says 4711 where the truth is 8. */
static void forge(void)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	fprintf(f, "pyheap layout %016" PRIx64 "\norigin forged\nF x 4711 8\n",
		ph_rows_hash(here_row, 1));
	fflush(f);
	fprintf(f, "end %016" PRIx64 "\n", ph_fnv1a(PH_FNV_INIT, text, len));
	fclose(f);
	unlink(cache_file);
	put(cache_file, text);
	ck_assert_int_eq(chmod(cache_file, 0600), 0);
	free(text);
}

static void setup_cache(void)
{
	char hex[129];
	setup();
	build("lib.so", "", here_source);
	cached = module_of("lib.so");
	ph_hex(cached.build_id, cached.build_id_len, hex);
	snprintf(cache_file, sizeof cache_file, "cache/pyheap/%s.layout", hex);
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
}

START_TEST(test_cache)
{
	struct stat st;
	ck_assert_int_eq(stat("cache/pyheap", &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(stat(cache_file, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	sh("test $(ls cache/pyheap | wc -l) = 1");
	/* what it wrote it reads: not even the library is needed any more */
	char *open_path = cached.open_path;
	cached.open_path = NULL;
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
	cached.open_path = open_path;
	forge();
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 4711);
	/* --no-cache */
	struct ph_debug_search search = { .module = &cached, .roots = { "" }, .nroots = 1 };
	struct ph_answers s;
	no_error(ph_answers_get(NULL, &search, false, here_row, 1, &s));
	ck_assert_uint_eq(s.a[0].m.offset, 8);
	ph_answers_deinit(&s);
}
END_TEST

/* Every byte of a valid file changed in turn, every length cut: never believed. */
START_TEST(test_cache_corrupt)
{
	size_t len;
	forge();
	char *text = ph_read_file(cache_file, 1u << 20, &len);
	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < 2 * len; i++) {
		FILE *f = fopen(cache_file, "w");
		char *copy ph_cleanup_free = malloc(len);
		memcpy(copy, text, len);
		if (i < len)
			copy[i] ^= 1 + i % 7;
		fwrite(copy, 1, i < len ? len : i - len, f);
		ck_assert_int_eq(fclose(f), 0);
		ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
	}
	free(text);
}
END_TEST

START_TEST(test_cache_other_version)
{
	static const struct ph_row rows[] = { FIELD("here", "x"), FIELD("here", "w") };
	static const struct ph_row renamed[] = { { PH_ROW_FIELD, "x", "here", "w", 0, false, NULL } };
	forge();
	ck_assert_uint_eq(offset_from_cache(renamed, 1), 0);
	forge();
	ck_assert_uint_eq(offset_from_cache(rows, 2), 8);
	/* and now the file is that of the new rows */
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
}
END_TEST

START_TEST(test_cache_not_ours)
{
	forge();
	ck_assert_int_eq(chmod(cache_file, 0620), 0);
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
	forge();
	ck_assert_int_eq(chmod(cache_file, 0602), 0);
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
	forge();
	sh("mv %s elsewhere && ln -s ../../elsewhere %s", cache_file, cache_file);
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
	forge();
	ck_assert_int_eq(chmod("cache/pyheap", 0770), 0);
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
	ck_assert_int_eq(chmod("cache/pyheap", 0700), 0);
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 4711);
	sh("rm -r cache/pyheap && mkfifo cache/pyheap");
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
}
END_TEST

/* Needs root: nobody else can give a file away. */
START_TEST(test_cache_foreign)
{
	forge();
	ck_assert_int_eq(chown(cache_file, 1, 1), 0);
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
	forge();
	ck_assert_int_eq(chown("cache/pyheap", 1, 1), 0);
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
	/* as root in somebody else's cache: leave no directory behind */
	sh("rm -r cache/pyheap");
	ck_assert_int_eq(chown("cache", 1, 1), 0);
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
	ck_assert_int_ne(access("cache/pyheap", F_OK), 0);
}
END_TEST

START_TEST(test_cache_without_build_id)
{
	sh("rm -r cache/pyheap");
	cached.build_id_len = 0;
	ck_assert_uint_eq(offset_from_cache(here_row, 1), 8);
	ck_assert_int_ne(access("cache/pyheap", F_OK), 0);
}
END_TEST

/* ---- fields.def and the system's python3.11 ------------------------------------------------------ */

static struct ph_layout *open_python(bool no_cache)
{
	struct ph_module m = module_of(PYTHON);
	struct ph_layout_options opt = { .no_cache = no_cache };
	struct ph_layout *l;
	no_error(ph_layout_open(NULL, &m, &opt, &l));
	return l;
}

/* Offsets that no build of 3.11 can change without breaking extension modules. */
START_TEST(test_python)
{
	static const struct { enum ph_field f; uint32_t offset, size; } abi[] = {
		{ PH_F_PyObject_ob_refcnt, 0, 8 }, { PH_F_PyObject_ob_type, 8, 8 },
		{ PH_F_PyVarObject_ob_size, 16, 8 }, { PH_F_PyType_tp_name, 24, 8 },
		{ PH_F_PyType_tp_basicsize, 32, 8 }, { PH_F_PyType_tp_itemsize, 40, 8 },
		{ PH_F_PyType_tp_flags, 168, 8 }, { PH_F_PyType_tp_traverse, 184, 8 },
		{ PH_F_PyType_tp_weaklistoffset, 208, 8 }, { PH_F_PyType_tp_base, 256, 8 },
		{ PH_F_PyType_tp_dict, 264, 8 }, { PH_F_PyType_tp_dictoffset, 288, 8 },
		{ PH_F_PyType_tp_mro, 344, 8 }, { PH_F_PyDict_ma_used, 16, 8 },
		{ PH_F_PyDict_ma_keys, 32, 8 }, { PH_F_PyDict_ma_values, 40, 8 },
		{ PH_F_DictKeys_dk_log2_size, 8, 1 }, { PH_F_DictKeys_dk_nentries, 24, 8 },
		{ PH_F_DictKeys_dk_indices, 32, 0 }, { PH_F_PyList_ob_item, 24, 8 },
		{ PH_F_PyList_allocated, 32, 8 }, { PH_F_PyTuple_ob_item, 24, 8 },
		{ PH_F_PySet_table, 40, 8 }, { PH_F_PySet_smalltable, 64, 128 },
		{ PH_F_PyBytes_ob_sval, 32, 1 }, { PH_F_PyASCII_length, 16, 8 },
		{ PH_F_PyLong_ob_digit, 24, 4 }, { PH_F_PyFunction_func_code, 48, 8 },
		{ PH_F_PyCode_co_consts, 24, 8 }, { PH_F_PyCode_co_localsplusnames, 96, 8 },
		{ PH_F_IFrame_previous, 48, 8 }, { PH_F_IFrame_localsplus, 72, 8 },
		{ PH_F_GC_generations, 24, 72 }, { PH_F_GC_collecting, 200, 4 },
		{ PH_F_GCHead_prev, 8, 8 }, { PH_F_PyInterp_gc, 648, 240 },
		{ PH_F_PyThread_cframe, 56, 8 }, { PH_F_CFrame_current_frame, 8, 8 },
		{ PH_F_Deque_leftblock, 24, 8 }, { PH_F_DequeBlock_data, 8, 512 },
	};
	struct ph_layout *l = open_python(true);
	ck_assert_str_eq(l->source, "dwarf");
	ck_assert_uint_eq(strlen(l->build_id), 40);
	ck_assert_ptr_nonnull(l->origin);
	for (size_t i = 0; i < COUNT(abi); i++) {
		const char *name = ph_field_name(abi[i].f);
		const struct ph_member *m = &l->field[abi[i].f];
		ck_assert_msg(ph_layout_has(l, abi[i].f), "%s is absent", name);
		ck_assert_msg(m->offset == abi[i].offset, "%s at %u", name, m->offset);
		ck_assert_msg(m->size == abi[i].size, "%s has %u bytes", name, m->size);
	}
	const struct ph_member *kind = &l->field[PH_F_PyASCII_kind];
	ck_assert_uint_eq(kind->offset, 32);
	ck_assert(kind->bit == 2 && kind->bits == 3);
	ck_assert_uint_eq(l->field[PH_F_GC_generations].stride, 24);
	ck_assert_uint_eq(ph_layout_size(l, PH_S_PyObject), 16);
	ck_assert_uint_eq(ph_layout_size(l, PH_S_DequeBlock), 528);
	ck_assert(l->enums[PH_E_FRAME_CREATED].present);
	ck_assert_int_eq(l->enums[PH_E_FRAME_CREATED].value, -2);
	ck_assert_int_eq(l->enums[PH_E_FRAME_CLEARED].value, 4);
	/* what 3.11 has not got */
	ck_assert(!ph_layout_has(l, PH_F_PyRuntime_gc));
	ck_assert(!ph_layout_has(l, PH_F_PyLong_lv_tag));
	ck_assert(!ph_layout_has(l, PH_F_PyFrame_f_code));
	ck_assert(!ph_layout_has_size(l, PH_S_StackRef));
	ph_layout_free(l);
}
END_TEST

START_TEST(test_python_cached)
{
	struct ph_layout *cold = open_python(false);
	struct ph_layout *warm = open_python(false), *none = open_python(true);
	sh("ls cache/pyheap/%s.layout > /dev/null", cold->build_id);
	ck_assert_mem_eq(cold->field, warm->field, sizeof cold->field);
	ck_assert_mem_eq(cold->sizes, warm->sizes, sizeof cold->sizes);
	ck_assert_mem_eq(cold->enums, warm->enums, sizeof cold->enums);
	ck_assert_mem_eq(cold->field, none->field, sizeof cold->field);
	ck_assert_str_eq(cold->origin, warm->origin);
	ph_layout_free(cold);
	ph_layout_free(warm);
	ph_layout_free(none);
}
END_TEST

START_TEST(test_python_errors)
{
	struct ph_layout_options opt = { .no_cache = true };
	struct ph_module m = module_of(PYTHON);
	struct ph_layout *l;
	char hex[129];
	/* another build, whose debug information is not there */
	sh("objcopy -R .gnu_debuglink %s python3.11", PYTHON);
	m.open_path = (char *)"python3.11";
	m.build_id[0] ^= 0xff;
	ph_hex(m.build_id, m.build_id_len, hex);
	struct ph_err *err = ph_layout_open(NULL, &m, &opt, &l);
	ck_assert_ptr_null(l);
	ck_assert_ptr_nonnull(err);
	ck_assert_ptr_nonnull(strstr(ph_err_message(err), hex));
	ck_assert_ptr_nonnull(strstr(ph_err_hint_text(err), "debuginfo-install python3.11"));
	error_has(err, PH_ERR_LAYOUT, "no debug information for " PYTHON, "apt install python3.11-dbg");
	m.path = (char *)"/opt/python/lib/libpython3.12.so.1.0";
	error_has(ph_layout_open(NULL, &m, &opt, &l), PH_ERR_LAYOUT, "libpython3.12.so.1.0",
		  "CFLAGS=-g");
	/* not Python at all */
	build("lib.so", "", here_source);
	m = module_of("lib.so");
	error_has(ph_layout_open(NULL, &m, &opt, &l), PH_ERR_LAYOUT,
		  "does not describe pyruntimestate.interpreters.head", "3.8");
	opt.debug_file = "lib.so";
	m = module_of(PYTHON);
	error_has(ph_layout_open(NULL, &m, &opt, &l), PH_ERR_LAYOUT, "lib.so does not belong to "
		  PYTHON, "exactly this build");
}
END_TEST

START_TEST(test_names)
{
	ck_assert_str_eq(ph_field_name(PH_F_PyDict_ma_keys), "PyDictObject.ma_keys");
	ck_assert_str_eq(ph_field_name(PH_FIELDS), "?");
	/* rows that stand twice would have two answers */
	for (size_t i = 0; i < ph_nrows; i++)
		for (size_t k = 0; k < i; k++)
			ck_assert_msg(ph_rows[i].kind != ph_rows[k].kind ||
				      strcmp(ph_rows[i].id, ph_rows[k].id), "%s twice", ph_rows[i].id);
}
END_TEST

Suite *layout_suite(void)
{
	Suite *s = suite_create("layout");
	TCase *dwarf = tcase_create("dwarf"), *cache = tcase_create("cache");
	tcase_add_checked_fixture(dwarf, setup, teardown);
	tcase_set_timeout(dwarf, 120);
	tcase_add_loop_test(dwarf, test_members, 0, (int)COUNT(flavours));
	tcase_add_loop_test(dwarf, test_bitfields, 0, (int)COUNT(flavours));
	tcase_add_loop_test(dwarf, test_clash, 0, 3);
	tcase_add_test(dwarf, test_loops);
	tcase_add_loop_test(dwarf, test_damage, 0, 2);
	tcase_add_test(dwarf, test_debuglink);
	tcase_add_test(dwarf, test_debuglink_sysroot);
	tcase_add_test(dwarf, test_build_id);
	tcase_add_test(dwarf, test_altlink);
	tcase_add_test(dwarf, test_debug_file);
	tcase_add_test(dwarf, test_extension);
	tcase_add_test(dwarf, test_python);
	tcase_add_test(dwarf, test_python_cached);
	tcase_add_test(dwarf, test_python_errors);
	tcase_add_test(dwarf, test_names);
	suite_add_tcase(s, dwarf);
	tcase_add_checked_fixture(cache, setup_cache, teardown);
	tcase_set_timeout(cache, 120);
	tcase_add_test(cache, test_cache);
	tcase_add_test(cache, test_cache_corrupt);
	tcase_add_test(cache, test_cache_other_version);
	tcase_add_test(cache, test_cache_not_ours);
	tcase_add_test(cache, test_cache_without_build_id);
	if (geteuid() == 0)
		tcase_add_test(cache, test_cache_foreign);
	else
		fprintf(stderr, "layout: not root, a cache file owned by another user is not tested\n");
	suite_add_tcase(s, cache);
	return s;
}
