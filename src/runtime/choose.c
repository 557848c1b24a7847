/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of several layouts is the target's: the one that fits. */
#include "runtime_priv.h"

struct choosing {
	const struct ph_target *target;
	const struct ph_runtime_place *place;
	const struct ph_layouts *layouts;
	const struct ph_python *python;
	struct ph_runtime *rt;   /* of the best so far; NULL = none */
	struct ph_notes notes;   /* that came with it */
	struct ph_err *refusal;  /* why the last one was not taken */
};

static struct ph_err *does_not_fit(const struct choosing *c, const struct ph_layout *l, const struct ph_fit *fit)
{
	if (!fit->fits)
		return ph_err_new(PH_ERR_LAYOUT, "%s: the layout %s does not fit: %s", c->target->what, l->origin, fit->why);
	return ph_err_new(PH_ERR_LAYOUT, "%s: the layout %s cannot be checked: too much of the target is missing",
			  c->target->what, l->origin);
}

/* Debug information was found by the build-id and needs no proof; a layout file is a file. */
static bool needs_check(const struct ph_layout *l)
{
	return strcmp(l->source, "dwarf") && strcmp(l->source, "debuginfod");
}

/* Keeps it if it is the first that fits, or knows more than the one before. */
static struct ph_err *compare(struct choosing *c, size_t i, struct ph_runtime *rt, const struct ph_notes *notes)
{
	const struct ph_layout *l = c->layouts->items[i];
	int more = 1;
	const char *row = c->rt ? ph_layout_contradiction(c->rt->layout, l, &more) : NULL;
	if (row) {
		ph_runtime_free(rt);
		return ph_err_hint(ph_err_new(PH_ERR_LAYOUT, "%s: two layouts fit, %s and %s, and contradict each other "
					      "(%s)", c->target->what, c->rt->layout->origin, l->origin, row),
				   "name the right one with --layout FILE or VERSION, or the debug information with --debug-file");
	}
	if (more <= 0) {
		ph_runtime_free(rt);
		return NULL;
	}
	ph_runtime_free(c->rt);
	c->rt = rt;
	c->notes = *notes;
	return NULL;
}

/* What a layout of another build finds, or does not, says nothing of the target. */
static struct ph_err *as_refusal(const struct choosing *c, const struct ph_layout *l, struct ph_err *err)
{
	if (l->own || ph_err_code(err) != PH_ERR_NOT_PYTHON)
		return err;
	ph_err_free(err);
	return ph_err_hint(ph_err_new(PH_ERR_LAYOUT, "%s: the layout %s does not fit: no interpreter is found with it",
				      c->target->what, l->origin),
			   "the process may still be starting; otherwise its Python is another build");
}

static struct ph_err *try_layout(struct choosing *c, size_t i)
{
	const struct ph_layout *l = c->layouts->items[i];
	struct ph_notes notes = { 0 };
	struct ph_runtime *rt;
	struct ph_fit fit;
	struct ph_err *err = ph_runtime_open(c->target, c->place, l, &notes, &rt);
	if (!err) {
		if (needs_check(l))
			ph_runtime_check(rt, c->python, &fit);
		if (!needs_check(l) || (l->own ? fit.fits : fit.proven))
			return compare(c, i, rt, &notes);
		ph_runtime_free(rt);
		err = does_not_fit(c, l, &fit);
	}
	err = as_refusal(c, l, err);
	if (ph_err_code(err) != PH_ERR_LAYOUT && ph_err_code(err) != PH_ERR_NOT_PYTHON)
		return err;
	ph_err_free(c->refusal);
	c->refusal = err;
	return NULL;
}

static void add_notes(struct ph_notes *to, const struct ph_notes *from)
{
	for (int i = 0; i < PH_NOTE_KINDS; i++) {
		if (from->kind[i].count && !to->kind[i].count)
			to->kind[i].example = from->kind[i].example;
		to->kind[i].count += from->kind[i].count;
	}
}

static struct ph_err *none_fits(const struct choosing *c)
{
	const struct ph_module *m = ph_target_module_at(c->target, c->place->definer);
	struct ph_err *err = ph_err_new(PH_ERR_LAYOUT, "%s: none of the %zu layouts that it may have fits; the last: %s",
					c->target->what, c->layouts->n, ph_err_message(c->refusal));
	if (m && !m->open_path)
		return ph_err_hint(err, "%s was not found: --exe FILE, --sysroot DIR or --lib-search-path DIR say where it is",
				   *m->path ? m->path : "the interpreter's file");
	return ph_err_hint(err, "install the interpreter's debug information, or name it with --debug-file FILE; "
			   "`pyheap doctor` says more");
}

struct ph_err *ph_runtime_choose(const struct ph_target *target, const struct ph_runtime_place *place,
				 const struct ph_layouts *layouts, const struct ph_python *python,
				 struct ph_notes *notes, struct ph_runtime **ret)
{
	struct choosing c = { .target = target, .place = place, .layouts = layouts, .python = python };
	struct ph_err *err = NULL;
	*ret = NULL;
	for (size_t i = 0; !err && i < layouts->n; i++)
		err = try_layout(&c, i);
	if (!err && !c.rt && layouts->n > 1 && ph_err_code(c.refusal) == PH_ERR_LAYOUT)
		err = none_fits(&c);
	else if (!err && !c.rt) {
		err = c.refusal;
		c.refusal = NULL;
	}
	ph_err_free(c.refusal);
	if (err) {
		ph_runtime_free(c.rt);
		return err;
	}
	add_notes(notes, &c.notes);
	*ret = c.rt;
	return NULL;
}
