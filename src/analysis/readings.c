/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths of many objects, merged where they read the same: a reading is that of the object
 * before, and one more step; so equal readings are found by two numbers. */
#include <stdio.h>
#include "readings.h"

#define ANCESTORS 32 /* that are compared with a new reading */
#define REPEATS 2    /* steps alike in a path before the rest is folded into them */

/* ---- texts ------------------------------------------------------------------------------------- */

/* By a hash of 64 bits: two texts of the same one would be taken for one, which nobody dies of. */
static uint32_t text_number(struct ph_readings *rs, const char *text)
{
	size_t n = strlen(text);
	uint32_t *number = ph_map_at(&rs->by_text, ph_hash_bytes(text, n), n);
	if (!number || *number)
		return number ? *number - 1 : PH_NO_READING;
	if (rs->texts.n > UINT32_MAX - n - 2 || !PH_VEC_RESERVE(&rs->texts, n + 1))
		return PH_NO_READING;
	*number = (uint32_t)rs->texts.n + 1;
	memcpy(rs->texts.items + rs->texts.n, text, n + 1);
	rs->texts.n += n + 1;
	return (uint32_t)rs->texts.n - (uint32_t)n - 1;
}

/* What a label reads with places folded. */
static uint32_t label_text(struct ph_readings *rs, ph_label_id id, bool in_namespace)
{
	struct ph_path_step step;
	struct ph_label label;
	enum ph_label_kind kind = PH_LABEL_ID_KIND(id);
	if (kind == PH_LABEL_INDEX || kind == PH_LABEL_WORD || kind == PH_LABEL_REFERENT)
		id = PH_LABEL_ID(kind, 0);
	uint32_t *number = ph_map_at(&rs->by_label, id, in_namespace);
	if (!number || *number)
		return number ? *number - 1 : PH_NO_READING;
	ph_graph_label_text(rs->r->g, id, &label);
	ph_via_text(&label, in_namespace && label.kind == PH_LABEL_VALUE, &step);
	uint32_t text = text_number(rs, step.folded);
	if (text != PH_NO_READING)
		*number = text + 1;
	return text;
}

/* ---- readings -------------------------------------------------------------------------------------- */

/* A step that was made often enough stands for those that follow it. */
static uint32_t repeated(const struct ph_readings *rs, uint32_t parent, uint32_t text, uint32_t type)
{
	unsigned seen = 0;
	uint32_t nearest = PH_NO_READING;
	for (unsigned i = 0; parent != PH_NO_READING && i < ANCESTORS; i++) {
		const struct ph_reading *x = &rs->items.items[parent];
		if (x->text == text && x->type == type && x->parent != PH_NO_READING) {
			seen++;
			nearest = nearest == PH_NO_READING ? parent : nearest;
		}
		parent = x->parent;
	}
	return seen >= REPEATS ? nearest : PH_NO_READING;
}

static uint32_t reading_number(struct ph_readings *rs, struct ph_reading reading)
{
	uint32_t fold = repeated(rs, reading.parent, reading.text, reading.type);
	if (fold != PH_NO_READING)
		return fold;
	uint32_t *number = ph_map_at(&rs->by_step, reading.parent,
				     (uint64_t)reading.text << 32 | reading.type << 2 | reading.of_class << 1 |
					     reading.namespace);
	if (!number || *number)
		return number ? *number - 1 : PH_NO_READING;
	if (rs->items.n >= UINT32_MAX - 2 || !PH_VEC_PUSH(&rs->items, reading))
		return PH_NO_READING;
	*number = (uint32_t)rs->items.n;
	return *number - 1;
}

static uint32_t root_reading(struct ph_readings *rs, uint32_t state)
{
	const struct ph_source *source = ph_reach_source(rs->r, state);
	struct ph_path p = { .kind = source->kind, .root = source->root };
	char *text ph_cleanup_free = ph_path_root_text(rs->r->g, &p);
	uint32_t number = text ? text_number(rs, text) : PH_NO_READING;
	if (number == PH_NO_READING)
		return number;
	uint32_t type = rs->canonical[rs->r->g->type[ph_state_node(rs->r, state)]];
	return reading_number(rs, (struct ph_reading){ .parent = PH_NO_READING, .text = number, .type = type,
						       .first = state });
}

/* The label of the edge by which the search came: the first one that leads there, looked
 * for from where the last one was found, as they come in order. */
static ph_label_id edge_label(struct ph_readings *rs, uint32_t from, uint32_t to)
{
	const ph_label_id *labels;
	uint64_t n;
	const uint32_t *edges = ph_graph_edges(rs->r->g, from, &n);
	if (from != rs->from) {
		rs->cursor = 0;
		rs->table_known = false;
	}
	rs->from = from;
	for (uint64_t i = 0; i < n; i++, rs->cursor++) {
		if (rs->cursor >= n)
			rs->cursor = 0;
		if ((edges[rs->cursor] & PH_EDGE_ID) == to)
			return ph_graph_labels(rs->r->g, from, &labels) ? labels[rs->cursor] : 0;
	}
	return 0;
}

/* A dict most of whose keys are values is a table, and those of its keys that occur in code,
 * too, are places like the others. See ph_is_table(), which this is, with its texts kept. */
static bool is_table(struct ph_readings *rs, const ph_label_id *labels, uint64_t n)
{
	unsigned values = 0, names = 0;
	for (uint64_t e = 0; e < n && values < PH_TABLE_SAMPLE; e++) {
		uint32_t text = PH_LABEL_ID_KIND(labels[e]) == PH_LABEL_VALUE ? label_text(rs, labels[e], false)
									      : PH_NO_READING;
		values += text != PH_NO_READING;
		names += text != PH_NO_READING && strcmp(rs->texts.items + text, PH_FOLDED_PLACE);
	}
	return values >= PH_TABLE_KEYS && names * 2 < values;
}

/* Whether the last edge came from one. */
static bool of_table(struct ph_readings *rs)
{
	const ph_label_id *labels;
	uint64_t n;
	ph_graph_edges(rs->r->g, rs->from, &n);
	if (!rs->table_known && n >= PH_TABLE_KEYS && ph_graph_labels(rs->r->g, rs->from, &labels))
		rs->table = is_table(rs, labels, n);
	else if (!rs->table_known)
		rs->table = false;
	rs->table_known = true;
	return rs->table;
}

static bool ends_in_place(const char *text)
{
	size_t n = strlen(text), place = strlen(PH_FOLDED_PLACE);
	return n >= place && !strcmp(text + n - place, PH_FOLDED_PLACE);
}

static bool is_place(const struct ph_readings *rs, ph_label_id id, uint32_t text, bool in_namespace)
{
	switch (PH_LABEL_ID_KIND(id)) {
	case PH_LABEL_KEY:
		return !in_namespace;
	case PH_LABEL_INDEX:
	case PH_LABEL_ELEMENT:
	case PH_LABEL_WORD:
	case PH_LABEL_REFERENT:
	case PH_LABEL_CACHE:
		return true;
	default:
		return ends_in_place(rs->texts.items + text);
	}
}

/* A namespace is written like that, whether it is an instance's or a function's. */
static bool leads_to_namespace(const struct ph_readings *rs, ph_label_id id, uint32_t text, uint32_t to)
{
	enum ph_label_kind kind = PH_LABEL_ID_KIND(id);
	return (kind == PH_LABEL_DICT || kind == PH_LABEL_ATTR) && !strcmp(rs->texts.items + text, ".__dict__") &&
	       rs->r->g->types[rs->r->g->type[to]].cls == PH_TYPE_DICT;
}

static uint32_t step_reading(struct ph_readings *rs, uint32_t state)
{
	const struct ph_graph *g = rs->r->g;
	uint32_t before = rs->r->parent[state], to = ph_state_node(rs->r, state);
	ph_label_id id = edge_label(rs, ph_state_node(rs->r, before), to);
	uint32_t parent = rs->of[before];
	bool in_namespace = rs->items.items[parent].namespace;
	uint32_t text = PH_LABEL_ID_KIND(id) == PH_LABEL_VALUE && !in_namespace && of_table(rs)
				? text_number(rs, PH_FOLDED_PLACE) : label_text(rs, id, in_namespace);
	if (text == PH_NO_READING)
		return text;
	/* an attribute reads the same in a namespace, in a slot, or among values without a dict */
	if (in_namespace)
		parent = rs->items.items[parent].parent;
	bool of_class = in_namespace && g->types[rs->items.items[parent].type].form == PH_FORM_TYPE;
	return reading_number(rs, (struct ph_reading){ .parent = parent, .text = text,
						       .type = rs->canonical[g->type[to]], .first = state,
						       .namespace = leads_to_namespace(rs, id, text, to),
						       .of_class = of_class,
						       .place = is_place(rs, id, text, in_namespace) });
}

struct ph_err *ph_readings_compute(const struct ph_reach *r, const uint8_t *wanted, struct ph_readings *ret)
{
	*ret = (struct ph_readings){ .r = r };
	ret->of = ph_big_alloc(r->nstates * sizeof *ret->of);
	ret->canonical = ph_types_canonical(r->g);
	if (!ret->of || !ret->canonical)
		return ph_err_nomem();
	/* whatever lies on the way to what is wanted: PH_NO_READING = 0 marks while going back */
	memset(ret->of, 0xff, r->nstates * sizeof *ret->of);
	for (uint32_t i = r->nreached; i-- > 0;) {
		uint32_t state = r->order[i];
		if (wanted[ph_state_node(r, state)] && state == ph_reach_state(r, ph_state_node(r, state)))
			ret->of[state] = 0;
		if (ret->of[state] == 0)
			ret->of[r->parent[state]] = 0;
	}
	for (uint32_t i = 0; i < r->nreached; i++) {
		uint32_t state = r->order[i];
		if (ret->of[state] != 0)
			continue;
		ret->of[state] = r->parent[state] == state ? root_reading(ret, state) : step_reading(ret, state);
		if (ret->of[state] == PH_NO_READING)
			return ph_err_nomem();
		if (!(i & 0xffff) && ph_interrupted)
			return ph_err_interrupted();
	}
	return NULL;
}

void ph_readings_deinit(struct ph_readings *rs)
{
	if (rs->of)
		ph_big_free(rs->of, rs->r->nstates * sizeof *rs->of);
	free(rs->canonical);
	ph_map_free(&rs->by_text);
	ph_map_free(&rs->by_label);
	ph_map_free(&rs->by_step);
	ph_vec_free(&rs->items);
	ph_vec_free(&rs->texts);
}
