/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each command's document has: one row a command. */
#include "report_priv.h"

#define VALUE_COLUMNS(of) of "count", of "shallow_bytes", of "uncounted_bytes", of "retained_bytes"

static const char *const top_columns[] = { "type", VALUE_COLUMNS(""), NULL };
static const char *const holders_columns[] = { "path", "type", VALUE_COLUMNS(""), NULL };
static const char *const diff_holders_columns[] = {
	"path", "type", VALUE_COLUMNS("delta."), VALUE_COLUMNS("values.#."), NULL,
};
static const char *const cycles_columns[] = {
	"state", "count", "objects", "shallow_bytes", "retained_bytes", "shape", "labels", "cut.type",
	"cut.label", "interpreter", NULL,
};
static const char *const diff_columns[] = { "type", VALUE_COLUMNS("delta."), VALUE_COLUMNS("values.#."), NULL };
static const char *const objects_columns[] = {
	"address", "type", "shallow_bytes", "uncounted_bytes", "refcount", "generation", "tracked",
	"size_exact", "refs_exact", "refs", "owned", "excess", "held_by", "interpreter", NULL,
};

static const char *const dominators_columns[] = {
	"retained_bytes", "objects", "shallow_bytes", "uncounted_bytes", "type", "address", "path.root.kind",
	"path.root.name", "path.reading", "interpreter", NULL,
};
static const char *const groups_columns[] = { "retained_bytes", "objects", "count", "group", NULL };
static const char *const explain_columns[] = { "relation", "via", "address", "type", "name", NULL };
static const char *const threads_columns[] = {
	"id", "native_id", "interpreter", "name", "holds_gil", "retained_bytes", "frames.0.function", "frames.0.file",
	"frames.0.line", NULL,
};
static const char *const doctor_columns[] = { "health", "area", "text", "advice.0.text", NULL };
static const char *const layout_columns[] = {
	"kind", "name", "offset", "size", "stride", "bit", "bits", "value", NULL,
};
static const char *const why_columns[] = {
	"count", "retained_bytes", "length", "root.kind", "root.name", "reading", "interpreter", NULL,
};

static const struct ph_view views[] = {
	{
		.command = "top", .rows = "types", .unit = "types",
		.sorts = { { "retained", { "retained_bytes" } }, { "size", { "shallow_bytes", "uncounted_bytes" } },
			   { "shallow", { "shallow_bytes" } }, { "count", { "count" } }, { "type", { NULL } } },
		.size = { "retained_bytes" }, .size_else = { "shallow_bytes", "uncounted_bytes" },
		.omitted = { "count", "shallow_bytes" },
		.columns = top_columns, .text_begin = ph_text_top,
	},
	{
		.command = "top", .by = "path", .rows = "holders", .unit = "holders",
		.sorts = { { "retained", { "retained_bytes" } }, { "size", { "shallow_bytes", "uncounted_bytes" } },
			   { "shallow", { "shallow_bytes" } }, { "count", { "count" } }, { "type", { NULL } } },
		.size = { "shallow_bytes", "uncounted_bytes" },
		.omitted = { "count", "shallow_bytes" },
		.columns = holders_columns, .text_begin = ph_text_holdings,
	},
	{
		.command = "why", .rows = "paths", .unit = "paths",
		.sorts = { { "retained", { "retained_bytes" } }, { "count", { "count" } }, { "length", { "length" } } },
		.size = { "retained_bytes" },
		.omitted = { "count" },
		.columns = why_columns, .text_begin = ph_text_why,
	},
	{
		.command = "dominators", .rows = "dominators", .unit = "dominators",
		.sorts = { { "retained", { "retained_bytes" } }, { "shallow", { "shallow_bytes" } },
			   { "objects", { "objects" } }, { "type", { NULL } } },
		.size = { "retained_bytes" },
		.omitted = { "objects", "retained_bytes" },
		.columns = dominators_columns, .text_begin = ph_text_dominators,
	},
	{
		.command = "dominators", .by = "type", .rows = "groups", .unit = "groups",
		.sorts = { { "retained", { "retained_bytes" } }, { "count", { "count" } }, { "objects", { "objects" } } },
		.size = { "retained_bytes" },
		.omitted = { "objects", "retained_bytes" },
		.columns = groups_columns, .text_begin = ph_text_dominators,
	},
	{
		.command = "dominators", .by = "module", .rows = "groups", .unit = "groups",
		.sorts = { { "retained", { "retained_bytes" } }, { "count", { "count" } }, { "objects", { "objects" } } },
		.size = { "retained_bytes" },
		.omitted = { "objects", "retained_bytes" },
		.columns = groups_columns, .text_begin = ph_text_dominators,
	},
	{
		.command = "dominators", .by = "package", .rows = "groups", .unit = "groups",
		.sorts = { { "retained", { "retained_bytes" } }, { "count", { "count" } }, { "objects", { "objects" } } },
		.size = { "retained_bytes" },
		.omitted = { "objects", "retained_bytes" },
		.columns = groups_columns, .text_begin = ph_text_dominators,
	},
	{
		.command = "threads", .rows = "threads", .unit = "threads",
		.sorts = { { "retained", { "retained_bytes" } } },
		.size = { "retained_bytes" },
		.columns = threads_columns, .text_begin = ph_text_threads,
	},
	{
		.command = "explain", .rows = "references", .unit = "references",
		.columns = explain_columns, .text_begin = ph_text_explain,
	},
	{
		.command = "cycles", .rows = "cycles", .unit = "cycles",
		.sorts = { { "retained", { "retained_bytes" } }, { "shallow", { "shallow_bytes" } },
			   { "count", { "count" } }, { "objects", { "objects" } } },
		.size = { "retained_bytes" },
		.omitted = { "count", "objects", "shallow_bytes" },
		.columns = cycles_columns, .text_begin = ph_text_cycles,
	},
	{
		.command = "diff", .rows = "types", .unit = "types",
		.sorts = { { "size", { "delta.shallow_bytes", "delta.uncounted_bytes" } },
			   { "retained", { "delta.retained_bytes" } }, { "count", { "delta.count" } },
			   { "type", { NULL } } },
		.size = { "delta.shallow_bytes", "delta.uncounted_bytes" },
		.columns = diff_columns, .text_begin = ph_text_diff,
	},
	{
		.command = "diff", .by = "path", .rows = "holders", .unit = "holders",
		.sorts = { { "size", { "delta.shallow_bytes", "delta.uncounted_bytes" } },
			   { "retained", { "delta.retained_bytes" } }, { "count", { "delta.count" } },
			   { "type", { NULL } } },
		.size = { "delta.shallow_bytes", "delta.uncounted_bytes" },
		.columns = diff_holders_columns, .text_begin = ph_text_diff,
	},
	{
		.command = "doctor", .rows = "findings", .unit = "findings",
		.columns = doctor_columns, .text_begin = ph_text_doctor,
	},
	{
		.command = "layout", .rows = "rows", .unit = "rows",
		.columns = layout_columns, .text_begin = ph_text_nothing, /* `pyheap layout` writes a layout file */
	},
	{
		.command = "objects", .rows = "objects", .unit = "objects",
		.columns = objects_columns, .text_begin = ph_text_objects_begin,
		.text_row = ph_text_objects_row,
	},
};

static const struct ph_view *find(const char *command, const char *by)
{
	for (size_t i = 0; i < sizeof views / sizeof *views; i++)
		if (!strcmp(views[i].command, command) && !strcmp(views[i].by ? views[i].by : "", by))
			return &views[i];
	return NULL;
}

const struct ph_view *ph_view_find(const char *command)
{
	return find(command, "");
}

const struct ph_view *ph_view_of(const json_t *doc)
{
	return find(ph_report_command(doc), ph_json_string(doc, "by"));
}
