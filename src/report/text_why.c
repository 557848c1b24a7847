/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `why` as text: the paths of one object below one another, those of a type as a tree. */
#include <stdio.h>
#include "report_priv.h"

#define SHOWN_STEPS 30 /* of one path: its beginning and its end */
#define TREE_DEPTH 64  /* steps of a path in the tree */

/* ---- the conclusion ------------------------------------------------------------------ */

static void put_retained(struct ph_render *r, const json_t *from)
{
	char buf[PH_TEXT_NUMBER];
	const json_t *bytes = json_object_get(from, "retained_bytes");
	if (json_is_integer(bytes))
		ph_out_printf(r->out, ", retains %s%s", ph_text_size(buf, json_integer_value(bytes), false, r->bytes),
			      r->bytes ? " bytes" : "");
}

static void put_what(struct ph_render *r)
{
	const json_t *what = json_object_get(r->doc, "what");
	char buf[PH_TEXT_NUMBER + 32];
	bool one = *ph_json_string(what, "address");
	ph_text_style(r, PH_BOLD);
	ph_text_put(r, ph_json_string(what, "type"));
	ph_text_style(r, PH_PLAIN);
	if (one)
		ph_out_printf(r->out, " at "), ph_text_put(r, ph_json_string(what, "address"));
	else
		ph_out_printf(r->out, ", %s", ph_text_plural(buf, ph_json_int(what, "count"), "object", "objects"));
	if (*ph_json_string(what, "name"))
		ph_out_puts(r->out, ": "), ph_text_put(r, ph_json_string(what, "name"));
	ph_text_interp(r, what, ", of ");
	put_retained(r, what);
	if (ph_json_int(what, "weak_references"))
		ph_out_printf(r->out, "; %s (not followed)",
			      ph_text_plural(buf, ph_json_int(what, "weak_references"), "weak reference to it",
					     "weak references to it"));
	ph_out_puts(r->out, "\n");
	int64_t garbage = ph_json_int(what, "garbage"), unreached = ph_json_int(what, "unreached");
	if (garbage) {
		ph_out_puts(r->out, one ? "It is" : garbage == ph_json_int(what, "count") ? "All of them are"
				    : ph_text_plural(buf, garbage, "of them is", "of them are"));
		ph_out_puts(r->out, " garbage, which no root reaches: `pyheap cycles` shows the cycles\n");
	}
	if (unreached)
		ph_out_printf(r->out, "%s not on a path as asked for\n",
			      one ? "It is" : ph_text_plural(buf, unreached, "of them is", "of them are"));
}

/* ---- one object -------------------------------------------------------------------------- */

static void add_root(struct ph_table *t, const json_t *root)
{
	const char *name = ph_json_string(root, "name"), *kind = ph_json_string(root, "kind");
	const char *object = ph_json_string(root, "object");
	bool module = !strcmp(kind, "module");
	if ((!strcmp(kind, "interpreter") || !strcmp(kind, "C")) && *name)
		kind = "";
	char *text ph_cleanup_free = ph_asprintf("%s%s%s", kind, *kind && *name ? " " : "", name);
	ph_table_add(t, text ? text : "");
	ph_table_add(t, module ? "" : ph_json_string(root, "type"));
	ph_table_add(t, ph_json_string(root, "address"));
	ph_table_add(t, module && !strcmp(object, name) ? "" : object);
}

static void add_step(struct ph_table *t, const json_t *step)
{
	char *via ph_cleanup_free = ph_asprintf("  %s", ph_json_string(step, "via"));
	ph_table_add(t, via ? via : "");
	ph_table_add(t, ph_json_string(step, "type"));
	ph_table_add(t, ph_json_string(step, "address"));
	ph_table_add(t, ph_json_string(step, "name"));
}

static void put_path(struct ph_render *r, const json_t *path, size_t place)
{
	const json_t *steps = json_object_get(path, "steps");
	size_t n = json_array_size(steps), head = n > SHOWN_STEPS ? SHOWN_STEPS / 2 : n;
	struct ph_table t = { .ncolumns = 4 };
	char buf[PH_TEXT_NUMBER + 32];
	ph_out_printf(r->out, "\n%zu. ", place);
	ph_out_printf(r->out, "%s\n", ph_text_plural(buf, ph_json_int(path, "length"), "reference from", "references from"));
	add_root(&t, json_object_get(path, "root"));
	for (size_t i = 0; i < head; i++)
		add_step(&t, json_array_get(steps, i));
	if (head < n) {
		ph_table_addf(&t, "  … %zu more", n - SHOWN_STEPS / 2 - head);
		for (int i = 0; i < 3; i++)
			ph_table_add(&t, "");
		for (size_t i = n - SHOWN_STEPS / 2; i < n; i++)
			add_step(&t, json_array_get(steps, i));
	}
	ph_table_print(&t, r);
}

/* ---- all of a type: paths that begin alike are one branch ---------------------------------- */

struct branch {
	const json_t *path;
	size_t depth; /* steps of it that have been printed, the root included */
	size_t steps; /* that it has, the root included */
	int64_t count, retained;
};

static const char *word(const json_t *path, size_t i, char *buf, size_t max)
{
	if (i) {
		const json_t *step = json_array_get(json_object_get(path, "steps"), i - 1);
		snprintf(buf, max, "%s", ph_json_string(step, "via"));
		return buf;
	}
	const json_t *root = json_object_get(path, "root");
	const char *kind = ph_json_string(root, "kind"), *name = ph_json_string(root, "name");
	char number[24];
	bool own = (!strcmp(kind, "interpreter") || !strcmp(kind, "C")) && *name; /* says what it is */
	if (!strcmp(kind, "module") && !strncmp(ph_json_string(root, "object"), name, strlen(name)))
		name = ph_json_string(root, "object"); /* its file, too */
	const char *interp = ph_report_interpreter(path, number);
	snprintf(buf, max, "%s%s%s%s%s", own ? "" : kind, !own && *name ? " " : "", name,
		 !*interp ? "" : strcmp(interp, "shared") ? " of interpreter " : " of all interpreters",
		 strcmp(interp, "shared") ? interp : "");
	return buf;
}

static bool same_word(const struct branch *a, const struct branch *b, size_t i)
{
	char x[512], y[512];
	return i < a->steps && i < b->steps && !strcmp(word(a->path, i, x, sizeof x), word(b->path, i, y, sizeof y));
}

/* b[from..to) begin alike up to `depth`; how many of them go on alike from there. */
static size_t alike(const struct branch *b, size_t from, size_t to, size_t depth)
{
	size_t end = from + 1;
	while (end < to && same_word(&b[from], &b[end], depth))
		end++;
	return end;
}

/* Gathers paths that go on alike behind the first of each kind, which keeps its place. */
static void gather(struct branch *b, size_t from, size_t to, size_t depth)
{
	for (size_t at = from; at < to;) {
		size_t end = at + 1;
		for (size_t i = end; i < to; i++) {
			if (!same_word(&b[at], &b[i], depth))
				continue;
			struct branch moved = b[i];
			memmove(&b[end + 1], &b[end], (i - end) * sizeof *b);
			b[end++] = moved;
		}
		at = end;
	}
}

static void add_branch(struct ph_table *t, const struct ph_render *r, const struct branch *b, size_t n, size_t indent,
		       size_t from, size_t to)
{
	char buf[512], text[2048];
	size_t at = 0;
	int64_t count = 0, retained = 0;
	for (size_t i = 0; i < n; i++) {
		count = ph_add_i64(count, b[i].count);
		retained = ph_add_i64(retained, b[i].retained);
	}
	text[0] = '\0';
	for (size_t i = from; i < to && at < sizeof text; i++) {
		const char *w = word(b->path, i, buf, sizeof buf);
		bool apart = i && (i == 1 || (*w != '.' && *w != '['));
		at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", apart && i > from ? " " : "", w);
	}
	ph_table_count(t, count, false);
	ph_table_size(t, r, retained, false);
	ph_table_addf(t, "%*s%s", (int)(2 * indent), "", "");
	char *cell = t->nomem ? NULL : t->cells.items[--t->cells.n];
	char *whole ph_cleanup_free = cell ? ph_asprintf("%s%s", cell, text) : NULL;
	free(cell);
	ph_table_add(t, whole ? whole : "");
}

/* Moves the paths that have no more than `depth` steps to the front; how many there are. */
static size_t ended(struct branch *b, size_t from, size_t to, size_t depth)
{
	size_t front = from;
	for (size_t i = from; i < to; i++) {
		if (b[i].steps > depth)
			continue;
		struct branch moved = b[i];
		memmove(&b[front + 1], &b[front], (i - front) * sizeof *b);
		b[front++] = moved;
	}
	return front - from;
}

struct span {
	size_t from, to, depth, indent;
};

/* Depth first with a stack of spans of paths that begin alike. */
static void put_tree(struct ph_render *r, struct branch *b, size_t n)
{
	struct PH_VEC(struct span) todo = { 0 };
	struct ph_table t = { .ncolumns = 3, .right = 3 };
	ph_table_add(&t, "COUNT");
	ph_table_add(&t, "RETAINED");
	ph_table_add(&t, "PATH");
	bool ok = !n || PH_VEC_PUSH(&todo, (struct span){ 0, n, 0, 0 });
	while (ok && todo.n) {
		struct span s = todo.items[--todo.n];
		gather(b, s.from, s.to, s.depth);
		size_t end = alike(b, s.from, s.to, s.depth), to = s.depth + 1;
		if (end < s.to)
			ok = PH_VEC_PUSH(&todo, (struct span){ end, s.to, s.depth, s.indent });
		/* as long as nothing branches off or ends, it is one line */
		while (to < TREE_DEPTH && to < b[s.from].steps && alike(b, s.from, end, to) == end)
			to++;
		add_branch(&t, r, b + s.from, end - s.from, s.indent, s.depth, to);
		size_t first = s.from + ended(b, s.from, end, to);
		if (ok && end - s.from > 1 && first < end && to < TREE_DEPTH)
			ok = PH_VEC_PUSH(&todo, (struct span){ first, end, to, s.indent + 1 });
	}
	ph_vec_free(&todo);
	r->nomem |= !ok;
	ph_table_print(&t, r);
}

static void put_paths_of_type(struct ph_render *r)
{
	const json_t *paths = json_object_get(r->doc, "paths");
	size_t n = json_array_size(paths);
	struct branch *b ph_cleanup_free = calloc(n + 1, sizeof *b);
	if (!b) {
		r->nomem = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const json_t *path = json_array_get(paths, i);
		b[i] = (struct branch){ .path = path, .steps = 1 + json_array_size(json_object_get(path, "steps")),
					.count = ph_json_int(path, "count"),
					.retained = ph_json_int(path, "retained_bytes") };
	}
	ph_out_puts(r->out, "\n");
	put_tree(r, b, n);
}

void ph_text_why(struct ph_render *r)
{
	const json_t *paths = json_object_get(r->doc, "paths");
	char buf[PH_TEXT_NUMBER + 32];
	bool one = *ph_json_string(r->doc, "what.address");
	ph_text_run(r, json_object_get(r->doc, "run"), "");
	put_what(r);
	if (!one && json_array_size(paths))
		put_paths_of_type(r);
	for (size_t i = 0; one && i < json_array_size(paths) && !ph_out_failed(r->out); i++)
		put_path(r, json_array_get(paths, i), i + 1);
	if (json_object_get(r->doc, "omitted"))
		ph_out_printf(r->out, "\nand %s (%s)\n",
			      ph_text_plural(buf, ph_json_int(r->doc, "omitted.paths"), "more path", "more paths"), r->more);
	if (json_array_size(json_object_get(r->doc, "notes")) || ph_json_number(r->doc, "coverage") < 1)
		ph_out_puts(r->out, "\n");
	ph_text_notes(r);
}
