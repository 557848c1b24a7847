/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The paths to all instances of a type, those that read the same as one. */
#include "readings.h"

static uint8_t *find_instances(const struct ph_graph *g, const char *type, uint64_t *ret_count)
{
	uint8_t *wanted = calloc(g->n, 1);
	uint8_t *is_type ph_cleanup_free = calloc(g->ntypes + 1ull, 1);
	*ret_count = 0;
	if (!wanted || !is_type) {
		free(wanted);
		return NULL;
	}
	for (uint32_t t = 0; t < g->ntypes; t++)
		is_type[t] = !strcmp(g->types[t].name, type);
	for (uint32_t node = 1; node < g->n && !ph_interrupted_at(node); node++) {
		wanted[node] = is_type[g->type[node]] && ph_graph_selected(g, node);
		*ret_count += wanted[node];
	}
	return wanted;
}

static int by_retained(const void *pa, const void *pb)
{
	const struct ph_path_group *a = pa, *b = pb;
	if (a->retained_bytes != b->retained_bytes)
		return a->retained_bytes > b->retained_bytes ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->path.nodes[a->path.n - 1] < b->path.nodes[b->path.n - 1] ? -1 : 1;
}

struct groups {
	struct ph_readings rs;
	uint32_t *class_of;  /* [g->n] group of an instance; UINT32_MAX: none */
	struct ph_map group; /* of a reading and an interpreter: number + 1 */
	size_t most;         /* groups that there is room for */
};

/* A group for every reading that an instance of an interpreter has, with the path of the nearest one. */
static struct ph_err *make_groups(struct groups *gs, const uint8_t *wanted, struct ph_path_groups *ret)
{
	const struct ph_reach *r = gs->rs.r;
	gs->most = gs->rs.items.n * (r->g->ninterps + 1ull);
	gs->most = gs->most < ret->count ? gs->most : ret->count;
	ret->groups = calloc(gs->most + 1, sizeof *ret->groups);
	if (!ret->groups)
		return ph_err_nomem();
	memset(gs->class_of, 0xff, r->g->n * sizeof *gs->class_of);
	for (uint32_t i = 0; i < r->nreached; i++) {
		uint32_t state = r->order[i], node = ph_state_node(r, state);
		if (ph_interrupted_at(i))
			return ph_err_interrupted();
		if (!wanted[node] || state != ph_reach_state(r, node))
			continue;
		uint32_t *group = ph_map_at(&gs->group, gs->rs.of[state], ph_graph_interp(r->g, node));
		if (!group)
			return ph_err_nomem();
		if (!*group) {
			struct ph_err *err = ph_path_find(r, node, &ret->groups[ret->n].path);
			if (err)
				return err;
			*group = ++ret->n;
		}
		ret->groups[*group - 1].count++;
		gs->class_of[node] = *group - 1;
		ret->unreached--;
	}
	return NULL;
}

/* Instances that another one dominates go away with that, wherever they hang: so the sums
 * of all groups are what the type retains. */
static struct ph_err *sum_retained(const struct groups *gs, const struct ph_dominators *d,
				   struct ph_path_groups *ret)
{
	uint8_t *within ph_cleanup_free = calloc(d->n, 1);
	if (!within)
		return ph_err_nomem();
	for (uint32_t i = 1; i < d->n; i++) {
		uint32_t node = d->preorder[i], idom = d->idom[node], group = gs->class_of[node];
		if (ph_interrupted_at(i))
			return ph_err_interrupted();
		within[node] = within[idom] || (idom && gs->class_of[idom] != UINT32_MAX);
		if (group != UINT32_MAX && !within[node])
			ret->groups[group].retained_bytes += ph_retained(d, node);
	}
	return NULL;
}

struct ph_err *ph_path_groups_find(const struct ph_reach *r, const struct ph_dominators *d, const char *type,
				   struct ph_path_groups **ret)
{
	struct groups gs = { 0 };
	struct ph_path_groups *p = calloc(1, sizeof *p);
	uint64_t count = 0;
	uint8_t *wanted ph_cleanup_free = find_instances(r->g, type, &count);
	gs.class_of = ph_big_alloc(r->g->n * sizeof *gs.class_of);
	struct ph_err *err = p && wanted && gs.class_of ? ph_readings_compute(r, wanted, &gs.rs) : ph_err_nomem();
	if (!err) {
		p->count = p->unreached = count;
		err = make_groups(&gs, wanted, p);
	}
	if (!err && d)
		err = sum_retained(&gs, d, p);
	ph_readings_deinit(&gs.rs);
	ph_big_free(gs.class_of, r->g->n * sizeof *gs.class_of);
	ph_map_free(&gs.group);
	if (err) {
		ph_path_groups_free(p);
		return err;
	}
	if (p->n)
		qsort(p->groups, p->n, sizeof *p->groups, by_retained);
	*ret = p;
	return NULL;
}

void ph_path_groups_free(struct ph_path_groups *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->n; i++)
		ph_path_deinit(&p->groups[i].path);
	free(p->groups);
	free(p);
}
