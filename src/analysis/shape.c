/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A component's representative cycle, and its shape: what is left of the cycle
 * when containers are folded into the step that leads into them, in a form that
 * is the same wherever one begins to read it. */
#include "cycles_priv.h"

void ph_shape_deinit(struct ph_shape *s)
{
	ph_vec_free(&s->raw);
	ph_vec_free(&s->steps);
	ph_vec_free(&s->border);
}

static uint32_t lowest_instance(const struct ph_local *l)
{
	uint32_t v = 0;
	while (v + 1 < l->n && ph_local_folds(l, v))
		v++;
	return v;
}

/* Breadth-first from start until an edge leads back to it, which is returned.
 * found[v] = from where each member seen was, the last one to start. */
static uint32_t search_back(struct ph_local *l, uint32_t start)
{
	uint32_t *found = l->work, *queue = found + l->n;
	uint32_t head = 0, tail = 0;
	memset(found, 0xff, l->n * sizeof *found);
	queue[tail++] = start;
	while (head < tail && !ph_interrupted_at(head)) {
		if (head + 16 < tail)
			__builtin_prefetch(&l->start[queue[head + 16]]);
		if (head + 8 < tail)
			__builtin_prefetch(&l->to[l->start[queue[head + 8]]]);
		uint32_t v = queue[head++];
		for (uint32_t e = l->start[v]; e < l->start[v + 1]; e++) {
			uint32_t to = l->to[e];
			if (found[to] != UINT32_MAX)
				continue;
			found[to] = v;
			if (to == start)
				return e;
			queue[tail++] = to;
		}
	}
	return UINT32_MAX;
}

/* Fills s->raw with a shortest cycle through start. */
static bool find_cycle(struct ph_shape *s, struct ph_local *l, uint32_t start)
{
	const uint32_t *found = l->work;
	uint32_t edge = search_back(l, start), at = start;
	s->raw.n = 0;
	while (edge != UINT32_MAX) {
		uint32_t to = at;
		at = found[to];
		for (edge = l->start[at]; l->to[edge] != to; edge++)
			; /* the first one is that which the search took */
		if (!PH_VEC_PUSH(&s->raw, (struct ph_raw_step){ at, edge }))
			return false;
		if (at == start)
			break;
	}
	for (size_t i = 0, j = s->raw.n; i + 1 < j; i++) {
		struct ph_raw_step swap = s->raw.items[i];
		s->raw.items[i] = s->raw.items[--j];
		s->raw.items[j] = swap;
	}
	return s->raw.n != 0;
}

/* Folds s->raw into s->steps. */
static bool fold(struct ph_shape *s, struct ph_local *l)
{
	uint32_t holder = PH_NO_HOLDER;
	struct ph_folded_step step = { 0 };
	s->steps.n = 0;
	for (uint32_t i = 0; i < s->raw.n; i++) {
		struct ph_raw_step raw = s->raw.items[i];
		if (!ph_local_label(l, raw.member))
			return false;
		if (holder == PH_NO_HOLDER) {
			step = (struct ph_folded_step){ .member = raw.member, .first = i };
			holder = ph_local_instance(l, raw.member);
		}
		if (holder != PH_NO_HOLDER)
			holder = ph_holder_step(l->h, holder, ph_local_suffix(l, raw.member, raw.edge));
		if (holder == PH_NO_HOLDER)
			return false;
		if (ph_local_folds(l, l->to[raw.edge]))
			continue;
		step.end = i + 1;
		step.holder = holder;
		if (!PH_VEC_PUSH(&s->steps, step))
			return false;
		holder = PH_NO_HOLDER;
	}
	return true;
}

/* The shortest pattern that the steps are repetitions of (Knuth-Morris-Pratt). */
static bool find_period(struct ph_shape *s)
{
	const struct ph_folded_step *step = s->steps.items;
	uint32_t n = (uint32_t)s->steps.n;
	s->period = n;
	if (n <= PH_SHAPE_LONG)
		return true;
	s->border.n = 0;
	if (!PH_VEC_RESERVE(&s->border, n))
		return false;
	uint32_t *border = s->border.items; /* of steps 0 … i: length of the longest */
	border[0] = 0;
	for (uint32_t i = 1, k = 0; i < n; i++) {
		while (k && step[i].holder != step[k].holder)
			k = border[k - 1];
		k += step[i].holder == step[k].holder;
		border[i] = k;
	}
	if (n % (n - border[n - 1]) == 0)
		s->period = n - border[n - 1];
	return true;
}

/* Where the lexicographically least rotation begins. */
static uint32_t least_rotation(const struct ph_shape *s, const struct ph_holders *h)
{
	const struct ph_folded_step *step = s->steps.items;
	uint32_t n = s->period, a = 0, b = 1, k = 0;
	while (a < n && b < n && k < n) {
		int c = ph_holder_compare(h, step[((uint64_t)a + k) % n].holder,
					  step[((uint64_t)b + k) % n].holder);
		if (c == 0) {
			k++;
			continue;
		}
		if (c > 0)
			a += k + 1;
		else
			b += k + 1;
		b += a == b;
		k = 0;
	}
	return a < b ? a : b;
}

bool ph_shape_find(struct ph_shape *s, struct ph_local *l)
{
	if (!find_cycle(s, l, lowest_instance(l)) || !fold(s, l) || !find_period(s))
		return false;
	s->rotation = least_rotation(s, l->h);
	s->hash = s->period;
	for (uint32_t i = 0; i < s->period; i++) {
		s->hash = (s->hash ^ ph_shape_step(s, i)->holder) * 0x9e3779b97f4a7c15u;
		s->hash ^= s->hash >> 29;
	}
	return true;
}
