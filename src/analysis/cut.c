/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which reference to make weak: a way to hold ("app.Node.parent") whose removal
 * leaves no cycle in any of a group's components. Such a way must be in the
 * representative cycle of each of them, so there are few to try. */
#include "cycles_priv.h"

/* ---- candidates ------------------------------------------------------------------- */

/* Python code cannot make weak what it cannot name, nor an object's class, nor
 * what the interpreter itself puts into a type or function. */
static bool can_be_cut(const struct ph_holders *h, uint32_t holder)
{
	const char *text = ph_holder_text(h, holder);
	const struct ph_graph_type *type = &h->g->types[h->items.items[holder].type];
	if (!text[0] || strchr(text, '<') || !strncmp(text, ".__class__", strlen(".__class__")))
		return false;
	return type->cls != PH_TYPE_INFRASTRUCTURE || strncmp(text, ".__", 3);
}

struct candidate {
	uint32_t holder;
	bool closing; /* points back to the object that the search began at */
	bool weak;    /* what it leads to can be referenced weakly, here at least */
};

static int by_preference(const void *pa, const void *pb, void *ctx)
{
	const struct candidate *a = pa, *b = pb;
	const struct ph_holders *h = ctx;
	/* an attribute of somebody's class can be changed; .__self__ of a bound method cannot */
	bool class_a = h->g->types[h->items.items[a->holder].type].heap;
	bool class_b = h->g->types[h->items.items[b->holder].type].heap;
	if (class_a != class_b)
		return class_a ? -1 : 1;
	if (a->closing != b->closing)
		return a->closing ? -1 : 1;
	const char *ta = ph_holder_text(h, a->holder), *tb = ph_holder_text(h, b->holder);
	bool element_a = strchr(ta, '[') != NULL, element_b = strchr(tb, '[') != NULL;
	if (element_a != element_b)
		return element_a ? 1 : -1;
	int c = strcmp(ta, tb);
	return c ? c : ph_holder_compare(h, a->holder, b->holder);
}

/* Whether what step i leads to can be referenced weakly. */
static bool is_weak(const struct ph_shape *s, const struct ph_local *l, uint32_t i)
{
	return l->traits[s->steps.items[(i + 1) % s->steps.n].member] & PH_TRAIT_WEAK;
}

bool ph_cut_begin(struct ph_cut *cut, const struct ph_shape *s, const struct ph_local *l)
{
	struct candidate found[PH_CUT_MAX];
	uint32_t n = 0, closing = s->steps.items[s->steps.n - 1].holder;
	bool any = false;
	*cut = (struct ph_cut){ 0 };
	for (uint32_t i = 0; i < s->period; i++) {
		uint32_t holder = s->steps.items[i].holder, k = 0;
		while (k < n && found[k].holder != holder)
			k++;
		if (k < n)
			found[k].weak &= is_weak(s, l, i);
		if (k < n || !can_be_cut(l->h, holder))
			continue;
		if (n == PH_CUT_MAX)
			return true; /* too many to try: none */
		found[n++] = (struct candidate){ holder, holder == closing, is_weak(s, l, i) };
	}
	for (uint32_t i = 0; i < n; i++)
		any |= found[i].weak;
	if (!any)
		return true; /* ph_cut_filter() would find so after a look at all edges */
	qsort_r(found, n, sizeof *found, by_preference, l->h);
	cut->holders = malloc((n + 1) * sizeof *cut->holders);
	if (!cut->holders)
		return false;
	for (uint32_t i = 0; i < n; i++)
		cut->holders[i] = found[i].holder;
	cut->n = n;
	return true;
}

/* ---- edges of the candidates ------------------------------------------------------ */

/* While a component is looked at: cuts[e] = candidates that edge e belongs to, as
 * bits (in wide_cuts when there are more than eight); owners[v] = the ways in which
 * instances hold container v, as far as a candidate begins like that: a list of
 * (holder, next) in lists, 0 = its end; todo = (container, holder) whose edges are
 * still to be looked at. */

static inline bool is_narrow(const struct ph_cut *cut)
{
	return cut->n <= 8;
}

static inline void add_cuts(struct ph_local *l, const struct ph_cut *cut, uint32_t edge, uint64_t cuts)
{
	if (is_narrow(cut))
		l->cuts[edge] |= (uint8_t)cuts;
	else
		l->wide_cuts.items[edge] |= cuts;
}

static inline bool is_cut(const struct ph_local *l, bool narrow, uint32_t edge, uint32_t k)
{
	return (narrow ? l->cuts[edge] : l->wide_cuts.items[edge]) >> k & 1;
}

static uint64_t cuts_of_holder(const struct ph_cut *cut, uint32_t holder)
{
	uint64_t cuts = 0;
	for (uint32_t k = 0; k < cut->n; k++)
		cuts |= (uint64_t)(cut->holders[k] == holder) << k;
	return cuts;
}

static void want(struct ph_holders *h, const struct ph_cut *cut, bool wanted)
{
	for (uint32_t k = 0; k < cut->n; k++)
		for (uint32_t i = h->items.items[cut->holders[k]].parent; i != PH_NO_HOLDER;
		     i = h->items.items[i].parent)
			h->items.items[i].wanted = wanted;
}

static bool is_wanted(const struct ph_holders *h, uint32_t holder)
{
	const struct ph_holder *p = &h->items.items[holder];
	return h->items.items[p->namespace ? p->parent : holder].wanted;
}

static void spend(struct ph_local *l)
{
	l->budget -= l->budget > 0;
}

static bool add_owner(struct ph_local *l, uint32_t member, uint32_t holder)
{
	for (uint64_t i = l->owners[member]; i; i = (uint32_t)l->lists.items[i - 1], spend(l))
		if (l->lists.items[i - 1] >> 32 == holder)
			return true;
	if (l->lists.n >= UINT32_MAX ||
	    !PH_VEC_PUSH(&l->lists, (uint64_t)holder << 32 | l->owners[member]))
		return false;
	l->owners[member] = (uint32_t)l->lists.n;
	return PH_VEC_PUSH(&l->todo, (uint64_t)member << 32 | holder);
}

/* Takes up the edges of a member that is `holder` or is held so. Candidates that
 * lead to what cannot be referenced weakly are taken out of *alive. */
static bool look_at(struct ph_local *l, const struct ph_cut *cut, uint32_t member, uint32_t holder,
		    uint64_t *alive)
{
	uint32_t suffix = PH_NO_SUFFIX, next = PH_NO_HOLDER; /* of the edge before: mostly the same */
	uint64_t cuts = 0;
	bool wanted = false;
	if (!ph_local_label(l, member))
		return false;
	for (uint32_t e = l->start[member]; l->budget && e < l->start[member + 1]; e++) {
		uint32_t to = l->to[e];
		spend(l);
		if (ph_local_suffix(l, member, e) != suffix) {
			suffix = ph_local_suffix(l, member, e);
			next = ph_holder_step(l->h, holder, suffix);
			if (next == PH_NO_HOLDER)
				return false;
			cuts = cuts_of_holder(cut, next);
			wanted = is_wanted(l->h, next);
		}
		if (ph_local_folds(l, to)) {
			if (wanted && !add_owner(l, to, next))
				return false;
		} else if (cuts) {
			add_cuts(l, cut, e, cuts);
			if (!(l->traits[to] & PH_TRAIT_WEAK))
				*alive &= ~cuts;
		}
	}
	return true;
}

/* Where containers are shared in ever so many ways it is given up: no candidates. */
#define WORK_PER_EDGE 64u

/* Ends early when no candidate is left. */
static bool find_edges(struct ph_local *l, const struct ph_cut *cut, uint64_t *alive)
{
	uint64_t nedges = l->start[l->n];
	l->budget = (nedges + 64) * WORK_PER_EDGE;
	l->lists.n = l->todo.n = 0;
	memset(l->owners, 0, l->n * sizeof *l->owners);
	if (is_narrow(cut))
		memset(l->cuts, 0, nedges);
	else if (PH_VEC_RESERVE(&l->wide_cuts, nedges))
		memset(l->wide_cuts.items, 0, nedges * sizeof *l->wide_cuts.items);
	else
		return false;
	for (uint32_t v = 0; *alive && v < l->n && !ph_interrupted_at(v); v++) {
		if (ph_local_folds(l, v))
			continue;
		uint32_t holder = ph_local_instance(l, v);
		if (holder == PH_NO_HOLDER)
			return false;
		if (is_wanted(l->h, holder) && !look_at(l, cut, v, holder, alive))
			return false;
		while (l->todo.n) {
			uint64_t next = l->todo.items[--l->todo.n];
			if (!look_at(l, cut, (uint32_t)(next >> 32), (uint32_t)next, alive))
				return false;
		}
	}
	if (!l->budget)
		*alive = 0;
	return true;
}

/* ---- the test --------------------------------------------------------------------- */

/* Whether nothing is left when members that nothing refers to are taken away one
 * by one, edges of candidate k not counted. */
static bool is_acyclic(struct ph_local *l, bool narrow, uint32_t k)
{
	uint32_t *refs = l->work, *queue = refs + l->n;
	uint32_t head = 0, tail = 0;
	memset(refs, 0, l->n * sizeof *refs);
	for (uint32_t e = 0; e < l->start[l->n] && !ph_interrupted_at(e); e++)
		refs[l->to[e]] += !is_cut(l, narrow, e, k);
	for (uint32_t v = 0; v < l->n && !ph_interrupted_at(v); v++)
		if (!refs[v])
			queue[tail++] = v;
	while (head < tail && !ph_interrupted_at(head)) {
		uint32_t v = queue[head++];
		for (uint32_t e = l->start[v]; e < l->start[v + 1]; e++)
			if (!is_cut(l, narrow, e, k) && --refs[l->to[e]] == 0)
				queue[tail++] = l->to[e];
	}
	return tail == l->n;
}

bool ph_cut_filter(struct ph_cut *cut, struct ph_local *l)
{
	uint64_t alive = UINT64_MAX >> (64 - (cut->n ? cut->n : 1));
	bool narrow = is_narrow(cut);
	if (!cut->n)
		return true;
	want(l->h, cut, true);
	bool ok = find_edges(l, cut, &alive);
	want(l->h, cut, false);
	if (!ok)
		return false;
	uint32_t n = 0;
	for (uint32_t k = 0; k < cut->n; k++)
		if (alive >> k & 1 && is_acyclic(l, narrow, k))
			cut->holders[n++] = cut->holders[k];
	cut->n = n;
	return true;
}
