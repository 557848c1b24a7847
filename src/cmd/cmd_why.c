/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap why: the references that keep an object, or all of a type, alive. */
#include "cmd.h"

#define PATHS 3       /* to one object, without -n */
#define PATHS_MAX 1000

/* WHAT told apart: 0xADDRESS, TYPE[n], TYPE. */
struct what {
	uint32_t node;
	char *type; /* owned */
};

/* The n-th instance in the order of addresses, from 0 on. */
static uint32_t find_instance(const struct ph_graph *g, const char *type, uint64_t n)
{
	for (uint32_t node = 1; node < g->n; node++)
		if (ph_graph_selected(g, node) && !strcmp(g->types[g->type[node]].name, type) && !n--)
			return node;
	return 0;
}

static struct ph_err *find_what(const struct ph_graph *g, const char *text, struct what *ret)
{
	if (!strncmp(text, "0x", 2))
		return ph_cmd_find_address(g, text, &ret->node);
	ret->type = strdup(text);
	if (!ret->type)
		return ph_err_nomem();
	char *bracket = strrchr(ret->type, '['), *end = NULL;
	uint64_t n = bracket ? strtoull(bracket + 1, &end, 10) : 0;
	if (bracket && end != bracket + 1 && !strcmp(end, "]")) {
		*bracket = '\0';
		ret->node = find_instance(g, ret->type, n);
		return ret->node ? NULL : ph_cmd_no_such(text);
	}
	return find_instance(g, ret->type, 0) ? NULL : ph_cmd_no_such(text);
}

/* The paths of one object as groups of one. */
static struct ph_err *find_paths(struct ph_reach *r, uint32_t node, const struct ph_run *run,
				 const struct ph_dominators *d, struct ph_path_groups **ret)
{
	const struct ph_opt_count *limit = &run->opt->limit;
	uint32_t n = !limit->given ? PATHS : limit->n && limit->n < PATHS_MAX ? (uint32_t)limit->n : PATHS_MAX;
	struct ph_path *paths;
	struct ph_path_groups *p = calloc(1, sizeof *p);
	struct ph_err *err = p ? ph_paths_find(r, node, n, &paths, &n) : ph_err_nomem();
	if (err) {
		free(p);
		return err;
	}
	p->groups = calloc(n + 1ull, sizeof *p->groups);
	for (uint32_t i = 0; i < n; i++)
		if (p->groups)
			p->groups[p->n++] = (struct ph_path_group){ paths[i], 1, d ? ph_retained(d, node) : 0 };
		else
			ph_path_deinit(&paths[i]);
	free(paths);
	p->count = 1;
	p->unreached = !n;
	*ret = p;
	return p->groups ? NULL : ph_err_nomem();
}

/* Whether anything has to be asked about what C code holds. */
static bool ends_in_c(const struct ph_path_groups *p)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (p->groups[i].path.kind == PH_ROOT_C)
			return true;
	return false;
}

static uint64_t count_garbage(const struct ph_graph *g, const struct what *what)
{
	uint64_t n = 0;
	for (uint32_t node = 1; node < g->n; node++) {
		bool is = what->node ? node == what->node : !strcmp(g->types[g->type[node]].name, what->type);
		n += is && ph_graph_selected(g, node) && g->flags[node] & PH_NODE_GARBAGE;
	}
	return n;
}

static struct ph_err *make_document(struct ph_session *s, const struct ph_run *run, const struct what *what,
				    const struct ph_reach_options *options, json_t **ret)
{
	struct ph_reach *r = NULL;
	struct ph_dominators *d = NULL;
	struct ph_path_groups *p = NULL;
	struct ph_report_keys keys;
	struct ph_report_why why = { .node = what->node };
	const struct ph_graph *g = s->graph;
	ph_messages_phase(run->messages, "finding paths");
	struct ph_err *err = ph_reach_compute(g, options, &r);
	if (!err && !run->opt->no_retained)
		err = ph_dominators_compute(g, &d);
	if (!err)
		err = what->node ? find_paths(r, what->node, run, d, &p) : ph_path_groups_find(r, d, what->type, &p);
	if (!err && ends_in_c(p))
		err = ph_cmd_roots(s, &why.excess);
	if (!err) {
		ph_cmd_keys(s, run, &keys);
		why.type = what->node ? g->types[g->type[what->node]].name : what->type;
		why.count = p->count;
		why.garbage = count_garbage(g, what);
		why.unreached = p->unreached - why.garbage;
		why.groups = p->groups;
		why.n = p->n;
		why.dominators = d;
		*ret = ph_report_why(&s->meta, g, &why, &keys);
		err = *ret ? NULL : ph_err_nomem();
	}
	ph_excess_free(why.excess);
	ph_path_groups_free(p);
	ph_dominators_free(d);
	ph_reach_free(r);
	return err;
}

static struct ph_err *why_document(struct ph_session *s, const struct ph_run *run, json_t **ret)
{
	const struct ph_options *opt = run->opt;
	const struct ph_reach_options options = {
		.plain = opt->all,
		.through = opt->through.items,
		.nthrough = opt->through.n,
		.avoid = opt->avoid.items,
		.navoid = opt->avoid.n,
	};
	struct what what = { 0 };
	struct ph_err *err = run->argc > 1 ? find_what(s->graph, run->argv[1], &what)
					   : ph_err_hint(ph_err_new(PH_ERR_USAGE, "why what?"),
							 "pyheap why TARGET 0xADDRESS, or TARGET TYPE");
	if (!err)
		err = make_document(s, run, &what, &options, ret);
	free(what.type);
	return err;
}

static struct ph_err *why_run(struct ph_run *run)
{
	return ph_cmd_answer(run, why_document);
}

const struct ph_cmd ph_cmd_why = {
	.name = "why",
	.arguments = "TARGET WHAT",
	.summary = "what keeps an object, or all of a type, alive: paths from the roots",
	.details =
		"WHAT is 0xADDRESS, TYPE[n] (the n-th instance in the order of addresses) or TYPE:\n"
		"then the paths of all its instances, those that differ in indices and keys only as\n"
		"one, with how many there are and what they retain together.\n"
		"A path over names that a person would recognise goes before a shorter one over\n"
		"infrastructure (classes of objects, globals of functions); --all counts these alike.\n"
		"Sort keys: retained, count, length.\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_OUTPUT | PH_TAKES_TARGET | PH_TAKES(INTERPRETER) | PH_TAKES(LIMIT) | PH_TAKES(SORT) |
		 PH_TAKES(MIN_SIZE) | PH_TAKES(NO_RETAINED) | PH_TAKES(ALL) | PH_TAKES(THROUGH) | PH_TAKES(AVOID) |
		 PH_TAKES(VALUES),
	.min_args = 1,
	.max_args = 2,
	.text_limit = 12,
	.run = why_run,
};
