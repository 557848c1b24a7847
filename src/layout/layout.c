/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A layout: the answers to the rows of fields.def, by id. */
#include <stdio.h>
#include "layout_priv.h"

static struct ph_layout *assemble(struct ph_answers *s, const struct ph_module *module)
{
	struct ph_layout *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	for (size_t i = 0; i < ph_nrows; i++) {
		const struct ph_row *row = &ph_rows[i];
		const struct ph_answer *a = &s->a[i];
		switch (row->kind) {
		case PH_ROW_FIELD:
			l->field[row->slot] = a->m;
			break;
		case PH_ROW_SIZE:
			l->sizes[row->slot].bytes = (uint32_t)a->value;
			l->sizes[row->slot].present = a->m.present;
			break;
		case PH_ROW_ENUM:
			l->enums[row->slot].value = a->value;
			l->enums[row->slot].present = a->m.present;
			break;
		}
	}
	strcpy(l->source, "dwarf");
	ph_hex(module->build_id, module->build_id_len, l->build_id);
	l->origin = s->origin;
	s->origin = NULL;
	return l;
}

struct ph_err *ph_layout_open(const struct ph_target *target, const struct ph_module *module,
			      const struct ph_layout_options *opt, struct ph_layout **ret)
{
	static const struct ph_layout_options defaults;
	char root[48];
	if (!opt)
		opt = &defaults;
	struct ph_debug_search search = { .module = module, .debug_file = opt->debug_file };
	*ret = NULL;
	if (module->build_id_len > sizeof module->build_id)
		return ph_err_new(PH_ERR_LAYOUT, "%s: its build-id is too long", module->path);
	if (opt->sysroot)
		search.roots[search.nroots++] = opt->sysroot;
	search.roots[search.nroots++] = "";
	/* a container has its own /usr/lib/debug */
	if (target && target->kind == PH_TARGET_PROCESS && target->pid > 0) {
		snprintf(root, sizeof root, "/proc/%ld/root", (long)target->pid);
		search.roots[search.nroots++] = root;
	}
	struct ph_answers s ph_cleanup_answers = { 0 };
	struct ph_err *err = ph_answers_get(target, &search, !opt->no_cache, ph_rows, ph_nrows, &s);
	if (err)
		return err;
	*ret = assemble(&s, module);
	return *ret ? NULL : ph_err_nomem();
}

void ph_layout_free(struct ph_layout *layout)
{
	if (!layout)
		return;
	free(layout->origin);
	free(layout);
}
