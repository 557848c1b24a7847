/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Types of several reports side by side, and what grew. */
#include "analysis_priv.h"

struct entry {
	const char *name;
	uint32_t table, index;
};

static int by_name(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	int c = strcmp(a->name, b->name);
	return c ? c : (a->table > b->table) - (a->table < b->table);
}

/* All names of all tables, sorted; NULL = out of memory. */
static struct entry *list_entries(const struct ph_type_table *tables, uint32_t ntables, size_t *ret_n)
{
	size_t n = 0, at = 0;
	for (uint32_t t = 0; t < ntables; t++)
		n += tables[t].n;
	struct entry *entries = malloc((n + 1) * sizeof *entries);
	if (!entries)
		return NULL;
	for (uint32_t t = 0; t < ntables; t++)
		for (uint32_t i = 0; i < tables[t].n; i++)
			entries[at++] = (struct entry){ tables[t].names[i], t, i };
	qsort(entries, n, sizeof *entries, by_name);
	*ret_n = n;
	return entries;
}

static void add_value(struct ph_type_value *to, const struct ph_type_value *v)
{
	to->count += v->count;
	to->shallow_bytes += v->shallow_bytes;
	to->uncounted_bytes += v->uncounted_bytes;
	to->retained_bytes += v->retained_bytes;
}

static void set_delta(struct ph_diff_row *row, uint32_t ntables)
{
	const struct ph_type_value *first = &row->values[0], *last = &row->values[ntables - 1];
	row->delta = (struct ph_type_value){
		.count = last->count - first->count,
		.shallow_bytes = last->shallow_bytes - first->shallow_bytes,
		.uncounted_bytes = last->uncounted_bytes - first->uncounted_bytes,
		.retained_bytes = last->retained_bytes - first->retained_bytes,
	};
}

static bool is_steady(const struct ph_diff_row *row, uint32_t ntables)
{
	bool count = ntables >= 3, bytes = ntables >= 3;
	for (uint32_t i = 1; i < ntables; i++) {
		const struct ph_type_value *a = &row->values[i - 1], *b = &row->values[i];
		count &= b->count > a->count;
		bytes &= b->shallow_bytes + b->uncounted_bytes > a->shallow_bytes + a->uncounted_bytes;
	}
	return count || bytes;
}

/* One row for each run of equal names. */
static bool fill_rows(struct ph_diff *d, const struct ph_type_table *tables,
		      const struct entry *entries, size_t n)
{
	d->rows = calloc(n + 1, sizeof *d->rows);
	for (size_t i = 0; d->rows && i < n; i++) {
		if (i == 0 || strcmp(entries[i - 1].name, entries[i].name)) {
			struct ph_diff_row *fresh = &d->rows[d->n];
			fresh->name = entries[i].name;
			fresh->values = calloc(d->ntables, sizeof *fresh->values);
			if (!fresh->values)
				return false;
			d->n++;
		}
		struct ph_diff_row *row = &d->rows[d->n - 1];
		add_value(&row->values[entries[i].table], &tables[entries[i].table].values[entries[i].index]);
	}
	for (uint32_t i = 0; i < d->n; i++) {
		set_delta(&d->rows[i], d->ntables);
		d->rows[i].steady = is_steady(&d->rows[i], d->ntables);
	}
	return d->rows != NULL;
}

/* A table without retained sizes holds no positive one. */
static bool has_retained(const struct ph_type_table *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->values[i].retained_bytes > 0)
			return true;
	return t->n == 0;
}

/* Share of the whole growth that a class must retain to be called its cause. */
#define CAUSE_SHARE 20 /* a twentieth */

struct order {
	bool retained;     /* both ends have retained sizes, and they decide */
	int64_t growth;    /* bytes, of the types that grew */
};

static int64_t bytes_grown(const struct ph_diff_row *row)
{
	return row->delta.shallow_bytes + row->delta.uncounted_bytes;
}

/* A leaking class comes before the str, dict and list it drags along, and before
 * the table that holds its instances: instances that became more, and that retain
 * a fair share of all that grew. */
static bool is_cause(const struct ph_diff_row *row, const struct order *o)
{
	return o->retained && row->delta.count > 0 && strchr(row->name, '.') &&
	       row->delta.retained_bytes > o->growth / CAUSE_SHARE;
}

/* Steady growth that matters: at least a hundredth of all. */
static bool goes_first(const struct ph_diff_row *row, const struct order *o)
{
	int64_t grown = bytes_grown(row) > row->delta.retained_bytes ? bytes_grown(row) : row->delta.retained_bytes;
	return row->steady && grown > 0 && grown >= o->growth / 100;
}

static int by_growth(const void *pa, const void *pb, void *ctx)
{
	const struct ph_diff_row *a = pa, *b = pb;
	const struct order *o = ctx;
	bool ca = is_cause(a, o), cb = is_cause(b, o);
	int64_t ga = ca ? a->delta.retained_bytes : bytes_grown(a);
	int64_t gb = cb ? b->delta.retained_bytes : bytes_grown(b);
	if (goes_first(a, o) != goes_first(b, o))
		return goes_first(a, o) ? -1 : 1;
	if (ca != cb)
		return ca ? -1 : 1;
	if (ga != gb)
		return ga > gb ? -1 : 1;
	return strcmp(a->name, b->name);
}

struct ph_err *ph_diff_compute(const struct ph_type_table *tables, uint32_t ntables, bool by_size,
			       struct ph_diff **ret)
{
	size_t n = 0;
	if (ntables == 0)
		return ph_err_new(PH_ERR_USAGE, "nothing to compare");
	struct entry *entries ph_cleanup_free = list_entries(tables, ntables, &n);
	struct ph_diff *d = entries ? calloc(1, sizeof *d) : NULL;
	if (!d)
		return ph_err_nomem();
	d->ntables = ntables;
	if (n >= UINT32_MAX || !fill_rows(d, tables, entries, n)) {
		ph_diff_free(d);
		return ph_err_nomem();
	}
	struct order order = { .retained = !by_size && has_retained(&tables[0]) && has_retained(&tables[ntables - 1]) };
	for (uint32_t i = 0; i < d->n; i++)
		order.growth += bytes_grown(&d->rows[i]) > 0 ? bytes_grown(&d->rows[i]) : 0;
	qsort_r(d->rows, d->n, sizeof *d->rows, by_growth, &order);
	*ret = d;
	return NULL;
}

void ph_diff_free(struct ph_diff *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; d->rows && i < d->n; i++)
		free(d->rows[i].values);
	free(d->rows);
	free(d);
}
