/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Snapshots: what is written is read back, and nothing else is believed. */
#include <check.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>
#include <pyheap/snapshot.h>
#include "../../src/snapshot/format.h"

Suite *snapshot_suite(void);

/* ---- a small graph with a little of everything -------------------------------------------- */

/* several: of two interpreters, 0 and 7, and what is of neither alone */
static struct ph_graph *make_graph(bool several)
{
	struct ph_graph_builder *b = ph_graph_builder_new();
	struct ph_graph *g = NULL;
	uint32_t dict = ph_graph_builder_type(b, "dict", PH_TYPE_DICT, false);
	uint32_t list = ph_graph_builder_type(b, "list", PH_TYPE_CONTAINER, false);
	uint32_t user = ph_graph_builder_type(b, "app.User", PH_TYPE_ORDINARY, true);
	ph_graph_builder_node(b, list, 64, 8, PH_NODE_SEED | PH_NODE_TRACKED | 2 << PH_NODE_GEN_SHIFT);
	ph_graph_builder_node(b, user, 5ull << 32, 7ull << 33, PH_NODE_TRACKED); /* beyond 32 bits */
	ph_graph_builder_node(b, dict, 232, 0, 0);
	ph_graph_builder_node(b, user, UINT32_MAX, 0, PH_NODE_SIZE_EXACT | PH_NODE_REFS_EXACT);
	ph_graph_builder_node(b, dict, 232, 0, 0); /* garbage, in a cycle with itself */
	ph_graph_builder_edge(b, 1, 2, PH_LABEL_INDEX, NULL);
	ph_graph_builder_edge(b, 1, 3, PH_LABEL_INDEX, NULL);
	ph_graph_builder_edge(b, 1, 4, PH_LABEL_INDEX, NULL);
	ph_graph_builder_edge(b, 2, 3, PH_LABEL_DICT, NULL);
	ph_graph_builder_edge(b, 3, 4, PH_LABEL_VALUE, "'attribute'"); /* of a namespace */
	ph_graph_builder_edge(b, 4, 1 | PH_EDGE_BORROWED, PH_LABEL_ATTR, "owner");
	ph_graph_builder_edge(b, 4, 2 | PH_EDGE_OWNED, PH_LABEL_WORD, NULL);
	ph_graph_builder_edge(b, 5, 5, PH_LABEL_VALUE, "'secret'");
	ck_assert_ptr_null(ph_graph_builder_finish(b, &g));
	g->roots = calloc(2, sizeof *g->roots);
	g->frames = calloc(1, sizeof *g->frames);
	g->threads = calloc(1, sizeof *g->threads);
	g->weak = calloc(1, sizeof *g->weak);
	ck_assert(g->roots && g->frames && g->threads && g->weak);
	g->roots[0] = (struct ph_graph_root){ 2, PH_ROOT_LOCAL, true, 0, strdup("rows") };
	g->roots[1] = (struct ph_graph_root){ 1, PH_ROOT_MODULE, false, UINT32_MAX, strdup("app") };
	g->frames[0] = (struct ph_graph_frame){ strdup("handler"), strdup("/srv/app.py"), 12, 0, 3 };
	g->threads[0] = (struct ph_graph_thread){ .id = 4711, .native_id = 42, .holds_gil = true, .nframes = 1 };
	g->weak[0] = (struct ph_graph_weak){ 2, 4 };
	g->nroots = 2;
	g->nframes = g->nthreads = g->nweak = 1;
	if (!several)
		return g;
	g->ninterps = 2;
	g->interps = calloc(3, sizeof *g->interps);
	g->interp_ = ph_big_alloc(g->n * sizeof *g->interp_);
	ck_assert(g->interps && g->interp_);
	g->interps[1].id = 7;
	g->interp_[2] = g->interp_[3] = g->threads[0].interp = 1;
	g->interp_[4] = 2;
	ph_graph_sum(g);
	return g;
}

static void hide(const void *ctx, struct ph_label *label)
{
	if (label->is_name || label->is_hash)
		return;
	strcpy(label->name, "'#'");
	label->is_hash = true;
}

struct bytes PH_VEC(char);

static bool put(void *ctx, const void *bytes, size_t n)
{
	struct bytes *b = ctx;
	if (!PH_VEC_RESERVE(b, n))
		return false;
	memcpy(b->items + b->n, bytes, n);
	b->n += n;
	return true;
}

static struct bytes make_file(bool compress, bool several)
{
	static const struct ph_snapshot_holder holders[] = { { 1, "sys.modules" }, { 1, "C" }, { 2, "" } };
	struct ph_graph *g = make_graph(several);
	struct bytes b = { 0 };
	struct ph_snapshot_stats stats;
	const struct ph_snapshot_options options = { .compress = compress, .meta = "{}", .hide = hide, .holders = holders,
						     .nholders = 3, .put = put, .put_ctx = &b };
	ck_assert_ptr_null(ph_snapshot_write(g, &options, &stats));
	ck_assert_uint_eq(stats.bytes, b.n);
	ck_assert_uint_eq(stats.edges, 4 * g->nedges);
	ph_graph_free(g);
	return b;
}

/* ---- opening ------------------------------------------------------------------------------ */

static struct ph_err *open_bytes(const struct bytes *b, struct ph_snapshot **ret)
{
	char path[] = "/tmp/pyheap-snapshot-XXXXXX";
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq((int)write(fd, b->items, b->n), (int)b->n);
	close(fd);
	struct ph_err *err = ph_snapshot_open(path, "it", ret);
	unlink(path);
	return err;
}

/* Whatever was opened can be asked anything. */
static void ask_all(const struct ph_graph *g)
{
	char name[64];
	for (uint32_t node = 1; node < g->n; node++) {
		struct ph_label label;
		uint64_t n;
		ph_graph_edges(g, node, &n);
		for (uint64_t e = 0; e < n; e++)
			ph_graph_label(g, node, e, &label);
		ph_graph_describe(g, node, name, sizeof name);
		ck_assert_uint_eq(ph_graph_find(g, g->address[node]), node);
	}
}

static void compare(const struct ph_graph *a, const struct ph_graph *b)
{
	ck_assert_uint_eq(a->n, b->n);
	ck_assert_uint_eq(a->nedges, b->nedges);
	ck_assert_uint_eq(a->nseeds, b->nseeds);
	ck_assert_uint_eq(a->garbage_objects, b->garbage_objects);
	ck_assert_uint_eq(a->garbage_bytes, b->garbage_bytes);
	ck_assert_uint_eq(a->shallow_bytes, b->shallow_bytes);
	for (uint32_t node = 1; node < a->n; node++) {
		uint64_t n, m;
		const uint32_t *x = ph_graph_edges(a, node, &n), *y = ph_graph_edges(b, node, &m);
		ck_assert_uint_eq(a->address[node], b->address[node]);
		ck_assert_str_eq(a->types[a->type[node]].name, b->types[b->type[node]].name);
		ck_assert_uint_eq(ph_graph_shallow(a, node), ph_graph_shallow(b, node));
		ck_assert_uint_eq(ph_graph_uncounted(a, node), ph_graph_uncounted(b, node));
		ck_assert_uint_eq(a->refcount[node], b->refcount[node]);
		ck_assert_uint_eq(a->flags[node], b->flags[node]);
		ck_assert_uint_eq(n, m);
		for (uint64_t e = 0; e < n; e++) {
			struct ph_label p, q;
			ck_assert_uint_eq(x[e], y[e]);
			ck_assert_int_eq(ph_graph_label(a, node, e, &p), ph_graph_label(b, node, e, &q));
			ck_assert_int_eq(p.kind, q.kind);
			ck_assert_int_eq((int)p.index, (int)q.index);
			ck_assert_int_eq(p.is_name, q.is_name);
			ck_assert_str_eq(strcmp(p.name, "'secret'") ? p.name : "'#'", q.name);
		}
	}
}

static void compare_interps(const struct ph_graph *a, struct ph_graph *b, bool several)
{
	ck_assert_uint_eq(b->ninterps, several ? 2 : 0);
	ck_assert_uint_eq(b->objects, 5);
	ck_assert_uint_eq(b->references, a->nedges);
	if (!several) {
		ck_assert_ptr_null(b->interps);
		ck_assert_ptr_null(ph_graph_select(b, 0));
		ck_assert_uint_eq(b->objects, 5);
		return;
	}
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_int_eq((int)b->interps[i].id, (int)a->interps[i].id);
		ck_assert_uint_eq(b->interps[i].objects, a->interps[i].objects);
		ck_assert_uint_eq(b->interps[i].bytes, a->interps[i].bytes);
		ck_assert_uint_eq(b->interps[i].threads, i == 1);
	}
	for (uint32_t node = 1; node < a->n; node++)
		ck_assert_uint_eq(ph_graph_interp(a, node), ph_graph_interp(b, node));
	uint64_t shallow = b->shallow_bytes, objects = 0, bytes = 0, garbage = 0, references = 0;
	for (uint32_t i = 0; i < 3; i++) {
		ck_assert_ptr_null(ph_graph_select(b, i));
		ck_assert_uint_eq(b->objects, b->interps[i].objects);
		objects += b->objects;
		references += b->references;
		bytes += b->shallow_bytes;
		garbage += b->garbage_objects;
	}
	ck_assert_uint_eq(objects, 5);
	ck_assert_uint_eq(references, b->nedges);
	ck_assert_uint_eq(bytes, shallow);
	ck_assert_uint_eq(garbage, 1);
}

START_TEST(what_is_written_is_read)
{
	for (int kind = 0; kind < 4; kind++) {
		struct bytes b = make_file(kind & 1, kind & 2);
		struct ph_graph *want = make_graph(kind & 2);
		struct ph_snapshot *s = NULL;
		struct ph_err *err = open_bytes(&b, &s);
		ck_assert_msg(!err, "%s", err ? ph_err_message(err) : "");
		const struct ph_graph *g = s->graph;
		compare(want, g);
		ck_assert_uint_eq(g->nroots, 2);
		ck_assert_str_eq(g->roots[0].name, "rows");
		ck_assert(g->roots[0].borrowed);
		ck_assert_str_eq(g->frames[g->roots[0].frame].file, "/srv/app.py");
		ck_assert_str_eq(g->roots[1].name, "app");
		ck_assert_uint_eq(g->threads[0].native_id, 42);
		ck_assert(g->threads[0].holds_gil);
		ck_assert_uint_eq(g->weak[0].from, 4);
		ck_assert_str_eq(s->meta, "{}");
		compare_interps(want, s->graph, kind & 2);
		ck_assert_uint_eq(s->nholders, 3);
		ck_assert_str_eq(s->holders[0].name, "sys.modules");
		ck_assert_str_eq(s->holders[2].name, "");
		ph_snapshot_close(s);
		ph_graph_free(want);
		ph_vec_free(&b);
	}
}
END_TEST

START_TEST(values_are_not_in_it)
{
	struct bytes b = make_file(false, false);
	ck_assert_ptr_null(memmem(b.items, b.n, "secret", 6));
	ck_assert_ptr_nonnull(memmem(b.items, b.n, "attribute", 9));
	ck_assert_ptr_nonnull(memmem(b.items, b.n, "'#'", 3));
	ph_vec_free(&b);
}
END_TEST

START_TEST(an_empty_graph)
{
	struct ph_graph *g = NULL;
	struct bytes b = { 0 };
	struct ph_snapshot_stats stats;
	struct ph_snapshot *s = NULL;
	const struct ph_snapshot_options options = { .meta = "{}", .put = put, .put_ctx = &b };
	ck_assert_ptr_null(ph_graph_builder_finish(ph_graph_builder_new(), &g));
	ck_assert_ptr_null(ph_snapshot_write(g, &options, &stats));
	ck_assert_ptr_null(open_bytes(&b, &s));
	ck_assert_uint_eq(s->graph->n, 1);
	ph_snapshot_close(s);
	ph_graph_free(g);
	ph_vec_free(&b);
}
END_TEST

/* ---- files that are not ---------------------------------------------------------------------- */

START_TEST(cut_anywhere)
{
	struct bytes b = make_file(false, true);
	for (struct bytes cut = b; cut.n-- > 0;) {
		struct ph_snapshot *s = NULL;
		struct ph_err *err = open_bytes(&cut, &s);
		ck_assert_ptr_nonnull(err);
		ck_assert_int_eq(ph_err_code(err), PH_ERR_USAGE);
		ph_err_free(err);
	}
	ph_vec_free(&b);
}
END_TEST

/* Makes all checksums right again, so that what is behind them is reached. */
static void seal(struct bytes *b)
{
	struct sn_tail tail;
	size_t at_tail = b->n - sizeof tail, at_rows;
	struct sn_row rows[SN_SECTIONS];
	memcpy(&tail, b->items + at_tail, sizeof tail);
	uint32_t n = tail.nsections == SN_ALWAYS ? SN_ALWAYS : SN_SECTIONS;
	at_rows = at_tail - n * sizeof *rows;
	memcpy(rows, b->items + at_rows, n * sizeof *rows);
	for (uint32_t i = 0; i < n; i++)
		if (rows[i].offset <= b->n && rows[i].stored <= b->n - rows[i].offset)
			rows[i].checksum = XXH3_64bits(b->items + rows[i].offset, rows[i].stored);
	tail.checksum = 0;
	memcpy(b->items + at_rows, rows, n * sizeof *rows);
	memcpy(b->items + at_tail, &tail, sizeof tail);
	tail.checksum = XXH3_64bits(b->items + at_rows, b->n - at_rows);
	memcpy(b->items + at_tail, &tail, sizeof tail);
}

static void try_mutated(const struct bytes *b, bool sealed, unsigned *ret_opened)
{
	struct bytes copy = { malloc(b->n), b->n, b->n };
	struct ph_snapshot *s = NULL;
	static const uint64_t odd[] = { 0, 1, 7, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0xffffffff, 1ull << 32, 1ull << 48,
					UINT64_MAX };
	ck_assert_ptr_nonnull(copy.items);
	memcpy(copy.items, b->items, b->n);
	for (int i = rand() % 3; i >= 0; i--) {
		size_t at = (size_t)rand() % b->n, size = 1ull << rand() % 4;
		uint64_t value = rand() % 2 ? odd[(size_t)rand() % (sizeof odd / sizeof *odd)] : (uint64_t)rand();
		memcpy(copy.items + at, &value, size < b->n - at ? size : b->n - at);
	}
	if (sealed)
		seal(&copy);
	struct ph_err *err = open_bytes(&copy, &s);
	if (!err) {
		++*ret_opened;
		ask_all(s->graph);
		ph_snapshot_close(s);
	}
	ph_err_free(err);
	ph_vec_free(&copy);
}

START_TEST(changed_anywhere)
{
	unsigned opened = 0, sealed = 0;
	srand(20261121);
	for (int kind = 0; kind < 4; kind++) {
		struct bytes b = make_file(kind & 1, kind & 2);
		struct bytes again = { malloc(b.n), b.n, b.n };
		memcpy(again.items, b.items, b.n);
		seal(&again);
		ck_assert(!memcmp(again.items, b.items, b.n)); /* it knows how to */
		for (int i = 0; i < 1000; i++)
			try_mutated(&b, false, &opened);
		for (int i = 0; i < 4000; i++)
			try_mutated(&b, true, &sealed);
		ph_vec_free(&again);
		ph_vec_free(&b);
	}
	/* padding between sections is in no checksum; much that is changed makes another sound graph */
	ck_assert_uint_lt(opened, 400);
	ck_assert_uint_gt(sealed, 400);
}
END_TEST

Suite *snapshot_suite(void)
{
	Suite *s = suite_create("snapshot");
	TCase *t = tcase_create("files");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, what_is_written_is_read);
	tcase_add_test(t, values_are_not_in_it);
	tcase_add_test(t, an_empty_graph);
	tcase_add_test(t, cut_anywhere);
	tcase_add_test(t, changed_anywhere);
	suite_add_tcase(s, t);
	return s;
}
