/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap snapshot: the graph in a file, for other commands to read. */
#include <unistd.h>
#include "cmd.h"

struct holders PH_VEC(struct ph_snapshot_holder);

/* Who holds what from outside the graph, as `objects --roots` tells. */
static bool list_holders(const struct ph_graph *g, struct ph_excess *e, struct holders *ret)
{
	for (uint32_t node = 1; node < g->n; node++) {
		const char *names[PH_EXCESS_HOLDERS];
		int64_t excess;
		if (!ph_excess_of(e, node, &excess) || excess <= 0)
			continue;
		unsigned n = ph_excess_holders(e, node, names), left = ph_excess_left(e, node) != 0;
		for (unsigned i = 0; i + left < n; i++)
			if (!PH_VEC_PUSH(ret, (struct ph_snapshot_holder){ node, names[i] }))
				return false;
		if (!left && !PH_VEC_PUSH(ret, (struct ph_snapshot_holder){ node, "" }))
			return false;
	}
	return true;
}

static bool put(void *ctx, const void *bytes, size_t n)
{
	ph_out_write(ctx, bytes, n);
	return !ph_out_failed(ctx);
}

static void say_written(const struct ph_run *run, const struct ph_graph *g, const struct ph_snapshot_stats *s)
{
	char objects[PH_TEXT_NUMBER], edges[PH_TEXT_NUMBER], bytes[PH_TEXT_NUMBER];
	char of_objects[PH_TEXT_NUMBER], of_edges[PH_TEXT_NUMBER], of_labels[PH_TEXT_NUMBER];
	ph_messages_say(run->messages, "%s: %s objects and %s references in %s%s (%s for objects, %s for references, "
			"%s for labels and names)", run->opt->output, ph_text_count(objects, g->n - 1, false),
			ph_text_count(edges, (int64_t)g->nedges, false),
			ph_text_size(bytes, (int64_t)s->bytes, false, run->opt->bytes), run->opt->compress ? ", packed" : "",
			ph_text_size(of_objects, (int64_t)s->objects, false, run->opt->bytes),
			ph_text_size(of_edges, (int64_t)s->edges, false, run->opt->bytes),
			ph_text_size(of_labels, (int64_t)s->labels, false, run->opt->bytes));
}

static struct ph_err *save(struct ph_session *s, const struct ph_run *run, struct ph_out *out)
{
	struct ph_report_keys keys;
	struct ph_excess *e = NULL;
	struct holders holders = { 0 };
	struct ph_snapshot_stats stats;
	char *meta ph_cleanup_free = ph_report_meta_text(&s->meta);
	ph_messages_phase(run->messages, "finding roots");
	struct ph_err *err = meta ? ph_cmd_roots(s, &e) : ph_err_nomem();
	if (!err && !list_holders(s->graph, e, &holders))
		err = ph_err_nomem();
	ph_cmd_keys(s, run, &keys);
	const struct ph_snapshot_options options = {
		.compress = run->opt->compress,
		.meta = meta,
		.hide = run->opt->values ? NULL : ph_report_hide,
		.hide_ctx = &keys,
		.holders = holders.items,
		.nholders = holders.n,
		.put = put,
		.put_ctx = out,
	};
	if (!err) {
		ph_messages_phase(run->messages, "writing");
		err = ph_snapshot_write(s->graph, &options, &stats);
	}
	ph_messages_phase(run->messages, NULL);
	if (!err)
		say_written(run, s->graph, &stats);
	ph_vec_free(&holders);
	ph_excess_free(e);
	return err;
}

/* What `top` would say of it, on standard output; the document is thrown away. */
static struct ph_err *tell_suspects(struct ph_session *s, const struct ph_run *run)
{
	json_t *doc = NULL;
	struct ph_out *out;
	struct ph_err *err = ph_out_open(NULL, false, &out);
	if (err)
		return err;
	err = ph_top_document(s, run, &doc);
	if (!err)
		ph_render_suspects(out, run->opt->bytes, json_object_get(doc, "suspects"), json_object_get(doc, "run"));
	json_decref(doc);
	struct ph_err *closing = ph_out_close(out, true);
	if (err)
		ph_err_free(closing);
	return err ? err : closing;
}

static struct ph_err *save_and_tell(struct ph_session *s, const struct ph_run *run, void *out)
{
	struct ph_err *err = save(s, run, out);
	if (err || run->opt->quiet || !strcmp(run->opt->output, "-"))
		return err;
	return tell_suspects(s, run);
}

static struct ph_err *snapshot_run(struct ph_run *run)
{
	struct ph_out *out;
	const char *path = run->opt->output;
	if (!path || (!strcmp(path, "-") && isatty(STDOUT_FILENO)))
		return ph_err_hint(ph_err_new(PH_ERR_USAGE, "a snapshot needs a file"), "pyheap snapshot TARGET -o FILE");
	struct ph_err *err = ph_out_open(path, run->opt->force, &out);
	if (err)
		return err;
	err = ph_session_with(run, "a snapshot is made of a process or core", out, save_and_tell);
	struct ph_err *closing = ph_out_close(out, !err);
	if (!err)
		return closing;
	if (closing && ph_err_code(err) == PH_ERR_USAGE) { /* why it could not be written */
		ph_err_free(err);
		return closing;
	}
	ph_err_free(closing);
	return err;
}

const struct ph_cmd ph_cmd_snapshot = {
	.name = "snapshot",
	.arguments = "TARGET",
	.summary = "save all objects and references, to be asked later and elsewhere",
	.details =
		"Writes FILE (-o), which every command takes for TARGET. It holds types, sizes and\n"
		"references, names of attributes, variables, functions and files, and no values: of\n"
		"dictionary keys that are values only hashes, unless --values is given.\n"
		"Ends with what retains most of it, as top does (-q: without).\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_TARGET | PH_TAKES(OUTPUT) | PH_TAKES(FORCE) | PH_TAKES(COMPRESS) |
		 PH_TAKES(VALUES) | PH_TAKES(BYTES) | PH_TAKES(QUIET),
	.min_args = 1,
	.max_args = 1,
	.run = snapshot_run,
};
