/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Labels: those of one object are a sequence, and most objects of a class have the same. */
#include <xxhash.h>
#include "write.h"

struct labels {
	struct writer *w;
	uint8_t *namespace;                  /* [g->n] the dict is one: its keys are names */
	struct PH_VEC(struct sn_label) table;
	struct ph_map by_id;                 /* label, in a namespace or not → number + 1 */
	struct PH_VEC(uint32_t) numbers;     /* of all stored sequences */
	struct PH_VEC(uint64_t) ends;        /* of each in these */
	struct ph_map by_content;            /* sequence + 1 */
	struct PH_VEC(uint32_t) at_work;     /* of one object */
};

static bool is_namespace(const struct ph_graph *g, uint32_t to, ph_label_id id)
{
	struct ph_label label;
	if (g->types[g->type[to]].cls != PH_TYPE_DICT)
		return false;
	if (PH_LABEL_ID_KIND(id) != PH_LABEL_ATTR)
		return PH_LABEL_ID_KIND(id) == PH_LABEL_DICT;
	ph_graph_label_text(g, id, &label);
	return !strcmp(label.name, "__dict__");
}

static bool find_namespaces(struct labels *l)
{
	const struct ph_graph *g = l->w->g;
	l->namespace = calloc(g->n, 1);
	for (uint32_t node = 1; l->namespace && node < g->n && !ph_interrupted_at(node); node++) {
		const ph_label_id *ids;
		uint64_t n;
		bool dicts = false;
		const uint32_t *edges = ph_graph_edges(g, node, &n);
		for (uint64_t e = 0; e < n && !dicts; e++)
			dicts = g->types[g->type[edges[e] & PH_EDGE_ID]].cls == PH_TYPE_DICT;
		if (!dicts || !ph_graph_labels(g, node, &ids))
			continue;
		for (uint64_t e = 0; e < n; e++)
			if (is_namespace(g, edges[e] & PH_EDGE_ID, ids[e]))
				l->namespace[edges[e] & PH_EDGE_ID] = 1;
	}
	return l->namespace && !ph_interrupted;
}

/* ---- labels --------------------------------------------------------------------------------- */

static bool label_number(struct labels *l, ph_label_id id, bool in_namespace, uint32_t *ret)
{
	struct ph_label label;
	uint32_t *at = ph_map_at(&l->by_id, id, in_namespace);
	if (!at)
		return false;
	if (!*at) {
		ph_graph_label_text(l->w->g, id, &label);
		if (l->w->opt->hide && !in_namespace && (label.kind == PH_LABEL_VALUE || label.kind == PH_LABEL_KEY))
			l->w->opt->hide(l->w->opt->hide_ctx, &label);
		struct sn_label row = { .key = label.key, .index = label.index, .kind = (uint8_t)label.kind,
					.bits = (uint8_t)((label.is_name ? SN_LABEL_IS_NAME : 0) |
							  (label.is_hash ? SN_LABEL_IS_HASH : 0)) };
		if (l->table.n >= UINT32_MAX - 1 || !sn_string(l->w, label.name, &row.name) ||
		    !sn_string(l->w, label.of, &row.of) || !PH_VEC_PUSH(&l->table, row))
			return false;
		*at = (uint32_t)l->table.n;
	}
	*ret = *at - 1;
	return true;
}

/* ---- sequences -------------------------------------------------------------------------------- */

static bool counts(const ph_label_id *ids, uint64_t n, bool down)
{
	for (uint64_t e = 0; e < n; e++)
		if (ids[e] != PH_LABEL_ID(PH_LABEL_INDEX, down ? n - 1 - e : e))
			return false;
	return true;
}

static bool same_sequence(const struct labels *l, uint32_t sequence)
{
	uint64_t start = sequence ? l->ends.items[sequence - 1] : 0, n = l->ends.items[sequence] - start;
	return n == l->at_work.n && !memcmp(l->numbers.items + start, l->at_work.items, n * sizeof *l->at_work.items);
}

static bool stored_sequence(struct labels *l, uint32_t *ret)
{
	size_t n = l->at_work.n;
	uint32_t *at = ph_map_at(&l->by_content, XXH3_64bits(l->at_work.items, n * sizeof *l->at_work.items), n);
	if (at && *at && same_sequence(l, *at - 1)) {
		*ret = SN_SEQUENCE_STORED + *at - 1;
		return true;
	}
	if (!at || l->ends.n >= UINT32_MAX - SN_SEQUENCE_STORED - 1 || !PH_VEC_RESERVE(&l->numbers, n) ||
	    !PH_VEC_PUSH(&l->ends, l->numbers.n + n))
		return false;
	memcpy(l->numbers.items + l->numbers.n, l->at_work.items, n * sizeof *l->at_work.items);
	l->numbers.n += n;
	*at = (uint32_t)l->ends.n;
	*ret = SN_SEQUENCE_STORED + *at - 1;
	return true;
}

static bool sequence_of(struct labels *l, uint32_t node, uint32_t *ret)
{
	const ph_label_id *ids;
	uint64_t n;
	ph_graph_edges(l->w->g, node, &n);
	*ret = SN_SEQUENCE_UNKNOWN;
	if (!n || !ph_graph_labels(l->w->g, node, &ids))
		return true;
	if (counts(ids, n, false) || counts(ids, n, true)) {
		*ret = counts(ids, n, false) ? SN_SEQUENCE_ASCENDING : SN_SEQUENCE_DESCENDING;
		return true;
	}
	l->at_work.n = 0;
	if (!PH_VEC_RESERVE(&l->at_work, n))
		return false;
	for (uint64_t e = 0; e < n; e++)
		if (!label_number(l, ids[e], l->namespace[node], &l->at_work.items[l->at_work.n++]))
			return false;
	return stored_sequence(l, ret);
}

/* ---- all together ------------------------------------------------------------------------------ */

static struct ph_err *add_names(struct writer *w)
{
	char name[1024];
	struct ph_err *err = NULL;
	sn_begin(w, SN_NAMES);
	for (uint32_t node = 1; !err && node < w->g->n; node++) {
		struct sn_pair row = { node, 0 };
		if (ph_interrupted_at(node))
			return ph_err_interrupted();
		if (ph_graph_describe(w->g, node, name, sizeof name) && *name)
			err = sn_string(w, name, &row.b) ? sn_add(w, &row, sizeof row) : ph_err_nomem();
	}
	return err ? err : sn_end(w);
}

static struct ph_err *add_all(struct labels *l)
{
	struct writer *w = l->w;
	struct ph_err *err = NULL;
	sn_begin(w, SN_SEQUENCES);
	for (uint32_t node = 1; !err && node < w->g->n; node++) {
		uint32_t sequence;
		if (ph_interrupted_at(node))
			return ph_err_interrupted();
		err = sequence_of(l, node, &sequence) ? sn_add(w, &sequence, sizeof sequence) : ph_err_nomem();
	}
	if (!err)
		err = sn_end(w);
	if (!err)
		err = sn_put(w, SN_SEQUENCE_ENDS, l->ends.items, l->ends.n * sizeof *l->ends.items);
	if (!err)
		err = sn_put(w, SN_SEQUENCE_LABELS, l->numbers.items, l->numbers.n * sizeof *l->numbers.items);
	if (!err)
		err = sn_put(w, SN_LABELS, l->table.items, l->table.n * sizeof *l->table.items);
	return err ? err : add_names(w);
}

struct ph_err *sn_add_labels(struct writer *w)
{
	struct labels l = { .w = w };
	struct ph_err *err = find_namespaces(&l) ? add_all(&l) : ph_err_stopped();
	free(l.namespace);
	ph_vec_free(&l.table);
	ph_vec_free(&l.numbers);
	ph_vec_free(&l.ends);
	ph_vec_free(&l.at_work);
	ph_map_free(&l.by_id);
	ph_map_free(&l.by_content);
	return err;
}
