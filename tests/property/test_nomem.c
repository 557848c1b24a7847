/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory runs out at every possible moment: an error, no crash, nothing leaked. */
#include <check.h>
#include <errno.h>
#include "../../src/analysis/dominators_priv.h"
#include "random_graph.h"

#ifndef __SANITIZE_ADDRESS__ /* that has an allocator of its own */

/* What glibc calls the functions that are replaced here. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);

static __thread long left = -1; /* allocations that still succeed; −1: all */
static __thread long blocks;    /* allocated and not freed */

static bool fails(void)
{
	if (left < 0)
		return false;
	if (left == 0) {
		errno = ENOMEM;
		return true;
	}
	left--;
	return false;
}

void *malloc(size_t n)
{
	void *p = fails() ? NULL : __libc_malloc(n);
	blocks += p != NULL;
	return p;
}

void *calloc(size_t n, size_t size)
{
	void *p = fails() ? NULL : __libc_calloc(n, size);
	blocks += p != NULL;
	return p;
}

void *realloc(void *old, size_t n)
{
	void *p = fails() ? NULL : __libc_realloc(old, n);
	blocks += p && !old;
	return p;
}

void free(void *p)
{
	blocks -= p != NULL;
	__libc_free(p);
}

/* Runs all of it with at most `allowed` allocations; true when that was enough. */
static bool run_build(struct rng r, long allowed)
{
	struct ph_graph *g = NULL;
	left = allowed;
	struct ph_graph_builder *b = ph_graph_builder_new();
	struct ph_err *err = b ? NULL : ph_err_nomem();
	if (b) {
		uint32_t type = ph_graph_builder_type(b, "app.Node", PH_TYPE_ORDINARY, true);
		for (int i = 0; i < 20; i++)
			ph_graph_builder_node(b, type, 6000000000u, 1, i ? 0 : PH_NODE_SEED);
		for (int i = 0; i < 60; i++)
			ph_graph_builder_edge(b, 1 + rng_below(&r, 20), 1 + rng_below(&r, 20),
					      PH_LABEL_ATTR, i % 2 ? "a" : "b");
		err = ph_graph_builder_finish(b, &g);
	}
	left = -1;
	bool enough = !err;
	ck_assert(err == NULL || err == ph_err_nomem());
	ck_assert_int_eq(enough, g != NULL);
	ph_graph_free(g);
	return enough;
}

static bool run_analysis(const struct ph_graph *g, long allowed)
{
	struct ph_dominators *d = NULL;
	struct ph_histogram *h = NULL;
	struct ph_cycles *c = NULL;
	struct ph_cycles_options opt = { .all = true };
	left = allowed;
	struct ph_err *err = ph_dominators_compute(g, &d);
	if (!err)
		err = ph_histogram_compute(g, d, &h);
	if (!err)
		err = ph_cycles_find(g, &opt, &c);
	left = -1;
	bool enough = !err;
	ck_assert(err == NULL || err == ph_err_nomem());
	ph_cycles_free(c);
	ph_histogram_free(h);
	ph_dominators_free(d);
	return enough;
}

static bool run_paths(const struct ph_graph *g, long allowed)
{
	static const char *const avoid[] = { "app.Row" };
	const struct ph_reach_options options = { .avoid = avoid, .navoid = 1 };
	struct ph_reach *r = NULL;
	struct ph_dominators *d = NULL;
	struct ph_holdings *h = NULL;
	struct ph_path_groups *groups = NULL;
	struct ph_suspects suspects = { .n = 0 };
	struct ph_stacks_result *stacks = NULL;
	struct ph_referrers *referrers = NULL;
	struct ph_path *paths = NULL;
	uint32_t n = 0;
	left = allowed;
	struct ph_err *err = ph_reach_compute(g, &options, &r);
	if (!err)
		err = ph_dominators_compute(g, &d);
	if (!err)
		err = ph_holdings_compute(r, d, &h);
	if (!err)
		err = ph_path_groups_find(r, d, "dict", &groups);
	if (!err)
		err = ph_suspects_find(g, d, &suspects);
	if (!err)
		err = ph_stacks_compute(g, d, &stacks);
	if (!err)
		err = ph_referrers_find(g, g->n - 1, &referrers);
	if (!err)
		err = ph_paths_find(r, g->n - 1, 4, &paths, &n);
	left = -1;
	bool enough = !err;
	ck_assert(err == NULL || err == ph_err_nomem());
	for (uint32_t i = 0; i < n; i++)
		ph_path_deinit(&paths[i]);
	free(paths);
	ph_referrers_free(referrers);
	ph_stacks_free(stacks);
	ph_suspects_deinit(&suspects);
	ph_path_groups_free(groups);
	ph_holdings_free(h);
	ph_dominators_free(d);
	ph_reach_free(r);
	return enough;
}

static bool run_domtree(const struct ph_graph *g, long allowed)
{
	struct ph_dominators *d = ph_dominators_new(g);
	bool found = false;
	ck_assert_ptr_nonnull(d);
	left = allowed;
	struct ph_err *err = ph_domtree_compute(g, NULL, UINT64_MAX, d, &found);
	left = -1;
	bool enough = !err;
	ck_assert(err == NULL || err == ph_err_nomem());
	ck_assert_int_eq(enough, found);
	ph_dominators_free(d);
	return enough;
}

static bool run_diff(long allowed)
{
	static const char *const names[] = { "a", "b", "c" };
	static const struct ph_type_value values[3] = { { 1, 2, 3, 4 }, { 5, 6, 7, 8 }, { 9, 1, 2, 3 } };
	const struct ph_type_table tables[2] = { { names, values, 3 }, { names, values, 2 } };
	struct ph_diff *d = NULL;
	left = allowed;
	struct ph_err *err = ph_diff_compute(tables, 2, false, &d);
	left = -1;
	bool enough = !err;
	ck_assert(err == NULL || err == ph_err_nomem());
	ph_diff_free(d);
	return enough;
}

START_TEST(every_allocation_fails_once)
{
	long failures = 0;
	for (uint64_t i = 0; i < 20; i++) {
		struct rng r = { test_seed() + i }, again = r;
		struct ph_graph *g = random_graph(&r, SMALL_MAX);
		for (int what = 0; what < 5; what++) {
			bool enough = false;
			for (long allowed = 0; !enough; allowed++, failures++) {
				long before = blocks;
				ck_assert_int_lt(allowed, 5000);
				enough = what == 0 ? run_build(again, allowed) :
					 what == 1 ? run_analysis(g, allowed) :
					 what == 2 ? run_paths(g, allowed) :
					 what == 3 ? run_domtree(g, allowed) : run_diff(allowed);
				ck_assert_int_eq(blocks, before);
			}
		}
		ph_graph_free(g);
	}
	ck_assert_int_gt(failures, 1000);
}
END_TEST
#endif

Suite *nomem_suite(void);
Suite *nomem_suite(void)
{
	test_seed(); /* printed here, before the tests fork */
	Suite *s = suite_create("analysis without memory");
	TCase *t = tcase_create("allocations");
	tcase_set_timeout(t, 120);
#ifndef __SANITIZE_ADDRESS__
	tcase_add_test(t, every_allocation_fails_once);
#endif
	suite_add_tcase(s, t);
	return s;
}
