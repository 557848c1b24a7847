/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All objects by what they hang on. */
#include "readings.h"

struct holdings {
	struct ph_readings rs;
	uint32_t *holder;   /* [readings] the reading whose row its objects belong to */
	uint8_t *closed;    /* [readings] and so does all that hangs on it */
	uint32_t *row;      /* [readings] of a holder: its row; UINT32_MAX: none yet */
	uint32_t *row_of;   /* [g->n] */
};

/* ---- which row ------------------------------------------------------------------------ */

/* Things with a name that are what they are, however much memory there is. */
static bool is_small(const struct ph_graph_type *t)
{
	static const char *const names[] = { "str", "int", "float", "bool", "NoneType" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(t->name, names[i]))
			return true;
	return t->cls == PH_TYPE_INFRASTRUCTURE;
}

/* Parents come before what hangs on them. */
static void find_holders(struct holdings *h)
{
	const struct ph_graph *g = h->rs.r->g;
	for (uint32_t i = 0; i < h->rs.items.n; i++) {
		const struct ph_reading *x = &h->rs.items.items[i];
		const struct ph_graph_type *t = &g->types[x->type];
		h->holder[i] = i;
		if (x->parent == PH_NO_READING)
			continue;
		const struct ph_reading *parent = &h->rs.items.items[x->parent];
		bool of_class = g->types[parent->type].form == PH_FORM_TYPE && !x->namespace &&
				!x->of_class;
		bool own = !h->closed[x->parent] && !of_class && (x->place || !(is_small(t) || x->namespace));
		h->closed[i] = h->closed[x->parent] || of_class || x->place || t->form == PH_FORM_CODE;
		if (!own)
			h->holder[i] = h->holder[x->parent];
	}
}

/* The words of a reading, from the root on. */
static char *path_text(const struct ph_readings *rs, uint32_t reading)
{
	uint32_t chain[128], n = 0;
	struct PH_VEC(char) text = { 0 };
	bool ok = true;
	for (uint32_t i = reading; i != PH_NO_READING && n < 128; i = rs->items.items[i].parent)
		if (i == reading || !rs->items.items[i].namespace)
			chain[n++] = i;
	for (uint32_t i = n; ok && i-- > 0;) {
		const char *word = rs->texts.items + rs->items.items[chain[i]].text;
		size_t length = strlen(word);
		bool apart = i + 1 < n && (i + 2 == n || (*word != '.' && *word != '['));
		ok = PH_VEC_RESERVE(&text, length + 2);
		if (ok && apart)
			text.items[text.n++] = ' ';
		if (ok)
			memcpy(text.items + text.n, word, length);
		text.n += ok ? length : 0;
	}
	if (ok && PH_VEC_PUSH(&text, '\0'))
		return text.items;
	ph_vec_free(&text);
	return NULL;
}

static uint32_t row_new(struct ph_holdings *ret, char *path, uint32_t type)
{
	if (!path)
		return UINT32_MAX;
	ret->rows[ret->n] = (struct ph_holding){ .path = path, .type = type };
	return ret->n++;
}

/* ---- sums ------------------------------------------------------------------------------- */

static struct ph_err *count_objects(struct holdings *h, struct ph_holdings *ret)
{
	const struct ph_reach *r = h->rs.r;
	const struct ph_graph *g = r->g;
	uint32_t garbage = UINT32_MAX;
	for (uint32_t node = 1; node < g->n; node++) {
		uint32_t state = ph_reach_state(r, node);
		if (ph_interrupted_at(node))
			return ph_err_interrupted();
		h->row_of[node] = UINT32_MAX;
		if (!ph_graph_selected(g, node))
			continue;
		uint32_t holder = state == UINT32_MAX ? PH_NO_READING : h->holder[h->rs.of[state]];
		uint32_t *row = holder == PH_NO_READING ? &garbage : &h->row[holder];
		if (*row == UINT32_MAX)
			*row = holder == PH_NO_READING
				       ? row_new(ret, strdup("garbage"), UINT32_MAX)
				       : row_new(ret, path_text(&h->rs, holder), h->rs.items.items[holder].type);
		if (*row == UINT32_MAX)
			return ph_err_nomem();
		h->row_of[node] = *row;
		ret->rows[*row].count++;
		ret->rows[*row].shallow_bytes += ph_graph_shallow(g, node);
		ret->rows[*row].uncounted_bytes += ph_graph_uncounted(g, node);
	}
	h->row_of[0] = UINT32_MAX;
	return NULL;
}

static struct ph_err *sum_retained(const struct holdings *h, const struct ph_dominators *d, struct ph_holdings *ret)
{
	uint64_t *sum ph_cleanup_free = calloc(ret->n + 1ull, sizeof *sum);
	struct ph_class_sum s = { h->row_of, NULL, ret->n, sum };
	struct ph_err *err = sum ? ph_dominators_sum(d, &s) : ph_err_nomem();
	for (uint32_t i = 0; !err && i < ret->n; i++)
		ret->rows[i].retained_bytes = sum[i];
	ret->has_retained = true;
	return err;
}

static int by_bytes(const void *pa, const void *pb)
{
	const struct ph_holding *a = pa, *b = pb;
	uint64_t x = a->shallow_bytes + a->uncounted_bytes, y = b->shallow_bytes + b->uncounted_bytes;
	if (x != y)
		return x > y ? -1 : 1;
	int c = strcmp(a->path, b->path);
	return c ? c : (a->type > b->type) - (a->type < b->type);
}

/* ---- all together --------------------------------------------------------------------------- */

static struct ph_err *compute(struct holdings *h, const struct ph_reach *r, const struct ph_dominators *d,
			      struct ph_holdings *ret)
{
	uint8_t *wanted ph_cleanup_free = malloc(r->g->n);
	if (!wanted)
		return ph_err_nomem();
	memset(wanted, 1, r->g->n);
	struct ph_err *err = ph_readings_compute(r, wanted, &h->rs);
	if (err)
		return err;
	size_t n = h->rs.items.n;
	h->holder = malloc((n + 1) * sizeof *h->holder);
	h->closed = calloc(n + 1, 1);
	h->row = malloc((n + 1) * sizeof *h->row);
	h->row_of = ph_big_alloc(r->g->n * sizeof *h->row_of);
	ret->rows = calloc(n + 2, sizeof *ret->rows);
	if (!h->holder || !h->closed || !h->row || !h->row_of || !ret->rows)
		return ph_err_nomem();
	memset(h->row, 0xff, (n + 1) * sizeof *h->row);
	find_holders(h);
	err = count_objects(h, ret);
	return !err && d ? sum_retained(h, d, ret) : err;
}

struct ph_err *ph_holdings_compute(const struct ph_reach *r, const struct ph_dominators *d,
				   struct ph_holdings **ret)
{
	struct holdings h = { 0 };
	struct ph_holdings *rows = calloc(1, sizeof *rows);
	struct ph_err *err = rows ? compute(&h, r, d, rows) : ph_err_nomem();
	ph_readings_deinit(&h.rs);
	ph_big_free(h.row_of, r->g->n * sizeof *h.row_of);
	free(h.holder);
	free(h.closed);
	free(h.row);
	if (err) {
		ph_holdings_free(rows);
		return err;
	}
	if (rows->n)
		qsort(rows->rows, rows->n, sizeof *rows->rows, by_bytes);
	*ret = rows;
	return NULL;
}

void ph_holdings_free(struct ph_holdings *h)
{
	if (!h)
		return;
	for (uint32_t i = 0; i < h->n; i++)
		free(h->rows[i].path);
	free(h->rows);
	free(h);
}
