/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A layout: the answers to the rows of fields.def, by id. */
#include "layout_priv.h"

/* Builds with a GIL have mimalloc, too, but no objects in it: what is not asked for shall not
 * tell two of them apart. The rows stand together in fields.def. */
static void forget_heaps(struct ph_layout *l)
{
	for (size_t f = PH_F_Heap_pages; f <= PH_F_HeapSegment_abandoned_next; f++)
		l->field[f] = (struct ph_member){ 0 };
	for (size_t s = PH_S_Heap; s <= PH_S_HeapPage; s++) {
		l->sizes[s].bytes = 0;
		l->sizes[s].present = false;
	}
}

struct ph_layout *ph_layout_assemble(const struct ph_answer *answers)
{
	struct ph_layout *l = calloc(1, sizeof *l);
	for (size_t i = 0; l && i < ph_nrows; i++) {
		const struct ph_row *row = &ph_rows[i];
		const struct ph_answer *a = &answers[i];
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
	if (l && !ph_layout_has(l, PH_F_PyThread_heaps))
		forget_heaps(l);
	return l;
}

static struct ph_answer answer(const struct ph_layout *l, const struct ph_row *row)
{
	struct ph_answer a = { 0 };
	switch (row->kind) {
	case PH_ROW_FIELD:
		a.m = l->field[row->slot];
		break;
	case PH_ROW_SIZE:
		a.value = l->sizes[row->slot].bytes;
		a.m.present = l->sizes[row->slot].present;
		break;
	case PH_ROW_ENUM:
		a.value = l->enums[row->slot].value;
		a.m.present = l->enums[row->slot].present;
		break;
	}
	return a;
}

void ph_layout_answers(const struct ph_layout *l, struct ph_answer *answers)
{
	for (size_t i = 0; i < ph_nrows; i++)
		answers[i] = answer(l, &ph_rows[i]);
}

bool ph_layout_row(const struct ph_layout *l, size_t i, struct ph_layout_row *ret)
{
	if (i >= ph_nrows)
		return false;
	struct ph_answer a = answer(l, &ph_rows[i]);
	*ret = (struct ph_layout_row){ (char)ph_rows[i].kind, ph_rows[i].id, a.m, a.value };
	return true;
}

static bool same_answer(const struct ph_answer *a, const struct ph_answer *b)
{
	return a->value == b->value && a->m.offset == b->m.offset && a->m.size == b->m.size &&
	       a->m.stride == b->m.stride && a->m.bit == b->m.bit && a->m.bits == b->m.bits;
}

const char *ph_layout_contradiction(const struct ph_layout *a, const struct ph_layout *b, int *ret_more)
{
	*ret_more = 0;
	for (size_t i = 0; i < ph_nrows; i++) {
		struct ph_answer x = answer(a, &ph_rows[i]), y = answer(b, &ph_rows[i]);
		if (x.m.present && y.m.present && !same_answer(&x, &y))
			return ph_rows[i].id;
		*ret_more += y.m.present - x.m.present;
	}
	return NULL;
}

void ph_layout_free(struct ph_layout *layout)
{
	if (!layout)
		return;
	free(layout->origin);
	free(layout->versions);
	free(layout);
}

void ph_layouts_free(struct ph_layouts *layouts)
{
	for (size_t i = 0; i < layouts->n; i++)
		ph_layout_free(layouts->items[i]);
	ph_vec_free(layouts);
}
