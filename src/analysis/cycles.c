/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Groups of cycles that look alike, what they cost and how to break them. */
#include "cycles_priv.h"

enum state { GARBAGE, LIVE, INFRASTRUCTURE };

/* A group while components are being added to it. */
struct draft {
	struct ph_cycle_group group;
	struct ph_cut cut;
	enum state state;
	uint32_t period, nholders;
	uint64_t hash;
	uint32_t holders[]; /* the shape, or its first PH_SHAPE_MAX steps */
};

struct grouping {
	const struct ph_graph *g;
	struct ph_holders holders;
	const struct ph_cycles_options *opt;
	struct PH_VEC(struct draft *) drafts;
	uint32_t *slots; /* hash table of drafts: index + 1 */
	uint32_t nslots;
	uint32_t *group_of; /* of each component of the part at work */
};

/* The one interpreter that has objects in a component; ninterps: several, or none. */
static uint32_t component_interp(const struct ph_graph *g, const uint32_t *nodes, uint32_t n)
{
	uint32_t ret = ph_graph_interp(g, nodes[0]);
	for (uint32_t i = 1; i < n && g->interps; i++) {
		uint32_t interp = ph_graph_interp(g, nodes[i]);
		if (ret == g->ninterps)
			ret = interp;
		else if (interp != ret && interp != g->ninterps)
			return g->ninterps;
	}
	return ret;
}

/* Whether it is one of those that are asked about. */
static bool is_wanted(const struct ph_graph *g, const struct ph_components *c, uint32_t i)
{
	return !g->only || component_interp(g, c->members + c->start[i], c->start[i + 1] - c->start[i]) + 1 == g->only;
}

/* ---- finding a component's group ---------------------------------------------------- */

static bool same_shape(const struct draft *d, enum state state, uint32_t interp, const struct ph_shape *s)
{
	if (d->hash != s->hash || d->state != state || d->group.interp != interp || d->period != s->period)
		return false;
	for (uint32_t i = 0; i < d->nholders; i++)
		if (d->holders[i] != ph_shape_step(s, i)->holder)
			return false;
	return true;
}

static bool slots_reserve(struct grouping *gr)
{
	if (gr->drafts.n * 2 < gr->nslots)
		return true;
	if (gr->nslots >= 1u << 30)
		return false;
	uint32_t n = gr->nslots ? gr->nslots * 2 : 64;
	uint32_t *slots = calloc(n, sizeof *slots);
	if (!slots)
		return false;
	for (uint32_t i = 0; i < gr->drafts.n; i++) {
		const struct draft *d = gr->drafts.items[i];
		uint64_t at = d->hash + d->state + d->group.interp;
		while (slots[at & (n - 1)])
			at++;
		slots[at & (n - 1)] = i + 1;
	}
	free(gr->slots);
	gr->slots = slots;
	gr->nslots = n;
	return true;
}

/* ---- a new group ------------------------------------------------------------------------ */

/* How a step of the example holds the next one, folded and not. */
static void fill_step(const struct ph_cycles_options *opt, const struct ph_local *l, const struct ph_shape *s,
		      const struct ph_folded_step *step, struct ph_cycle_step *ret)
{
	bool namespace = false, cut = false;
	ret->node = l->nodes[step->member];
	strcpy(ret->text, ph_holder_text(l->h, step->holder));
	for (uint32_t i = step->first; i < step->end && !cut; i++) {
		struct ph_raw_step raw = s->raw.items[i];
		uint32_t to = l->to[raw.edge];
		ph_local_whole_label(l, raw.member, raw.edge, &ret->label);
		if (opt->hide && !namespace && ret->label.kind == PH_LABEL_VALUE)
			opt->hide(opt->hide_ctx, &ret->label);
		bool into = ph_local_folds(l, to) && ph_label_is_namespace(l->g, l->nodes[to], &ret->label);
		cut = !into && !ph_label_append_exact(ret->exact, &ret->label, namespace);
		namespace = into;
	}
}

static bool fill_example(const struct ph_cycles_options *opt, struct draft *d, const struct ph_local *l,
			 const struct ph_shape *s)
{
	struct ph_cycle_group *group = &d->group;
	uint32_t n = d->nholders;
	group->steps = calloc(n, sizeof *group->steps);
	group->shape = calloc(n, sizeof *group->shape);
	group->labels = calloc(n, sizeof *group->labels);
	if (!group->steps || !group->shape || !group->labels)
		return false;
	group->nsteps = group->nshape = n;
	for (uint32_t i = 0; i < n; i++) {
		const struct ph_folded_step *step = ph_shape_step(s, i);
		fill_step(opt, l, s, step, &group->steps[i]);
		group->shape[i] = l->g->types[l->h->items.items[step->holder].type].name;
		group->labels[i] = strdup(ph_holder_text(l->h, step->holder));
		if (!group->labels[i])
			return false;
	}
	return true;
}

static void group_deinit(struct ph_cycle_group *group)
{
	for (uint32_t i = 0; group->labels && i < group->nshape; i++)
		free(group->labels[i]);
	free(group->labels);
	free(group->shape);
	free(group->steps);
}

static void draft_free(struct draft *d)
{
	group_deinit(&d->group);
	free(d->cut.holders);
	free(d);
}

static struct draft *draft_new(struct grouping *gr, enum state state, struct ph_local *l,
			       const struct ph_shape *s)
{
	uint32_t n = s->period < PH_SHAPE_MAX ? s->period : PH_SHAPE_MAX;
	struct draft *d = calloc(1, sizeof *d + n * sizeof *d->holders);
	if (!d)
		return NULL;
	d->state = state;
	d->hash = s->hash;
	d->period = s->period;
	d->nholders = n;
	for (uint32_t i = 0; i < n; i++)
		d->holders[i] = ph_shape_step(s, i)->holder;
	d->group.garbage = state == GARBAGE;
	d->group.length = (uint32_t)s->steps.n;
	d->group.interp = component_interp(gr->g, l->nodes, l->n);
	if (fill_example(gr->opt, d, l, s) && ph_cut_begin(&d->cut, s, l) && PH_VEC_PUSH(&gr->drafts, d))
		return d;
	draft_free(d);
	return NULL;
}

/* The group of a component, a new one if need be; its index in *ret. */
static bool find_draft(struct grouping *gr, enum state state, struct ph_local *l,
		       const struct ph_shape *s, uint32_t *ret)
{
	if (!slots_reserve(gr))
		return false;
	uint32_t interp = component_interp(gr->g, l->nodes, l->n);
	uint64_t at = s->hash + state + interp;
	for (; gr->slots[at & (gr->nslots - 1)]; at++) {
		*ret = gr->slots[at & (gr->nslots - 1)] - 1;
		if (same_shape(gr->drafts.items[*ret], state, interp, s))
			return true;
	}
	if (!draft_new(gr, state, l, s))
		return false;
	gr->slots[at & (gr->nslots - 1)] = (uint32_t)gr->drafts.n;
	*ret = (uint32_t)gr->drafts.n - 1;
	return true;
}

/* ---- all components of a part -------------------------------------------------------------- */

static bool add_component(struct grouping *gr, struct ph_local *l, struct ph_shape *s, uint32_t i,
			  bool infra)
{
	enum state state = INFRASTRUCTURE;
	if (!ph_local_load(l, i) || !ph_shape_find(s, l))
		return false;
	if (!infra)
		state = gr->g->flags[l->nodes[0]] & PH_NODE_GARBAGE ? GARBAGE : LIVE;
	if (!find_draft(gr, state, l, s, &gr->group_of[i]))
		return false;
	struct draft *d = gr->drafts.items[gr->group_of[i]];
	d->group.count++;
	d->group.objects += l->n;
	for (uint32_t v = 0; v < l->n; v++)
		d->group.shallow_bytes += ph_graph_shallow(gr->g, l->nodes[v]);
	return ph_cut_filter(&d->cut, l);
}

static struct ph_err *group_components(struct grouping *gr, const struct ph_components *c, bool infra)
{
	struct ph_local l;
	struct ph_shape s = { 0 };
	struct ph_err *err = ph_local_init(&l, c, &gr->holders) ? NULL : ph_err_nomem();
	for (uint32_t i = 0; !err && i < c->n; i++) {
		gr->group_of[i] = PH_NO_COMPONENT;
		if (is_wanted(gr->g, c, i) && !add_component(gr, &l, &s, i, infra))
			err = ph_interrupted ? ph_err_interrupted() : ph_err_nomem();
	}
	ph_shape_deinit(&s);
	ph_local_deinit(&l);
	return err;
}

/* What goes away with each group: c->of is used up for it. */
static struct ph_err *sum_retained(struct grouping *gr, struct ph_components *c)
{
	struct ph_dominators *d;
	uint64_t *sum ph_cleanup_free = calloc(gr->drafts.n + 1, sizeof *sum);
	if (!sum)
		return ph_err_nomem();
	struct ph_err *err = ph_dominators_of_components(gr->g, c, &d);
	if (err)
		return err;
	for (uint32_t i = 0; i < c->n; i++) {
		c->of[c->members[c->start[i]]] = gr->group_of[i];
		for (uint32_t m = c->start[i] + 1; m < c->start[i + 1]; m++)
			c->of[c->members[m]] = PH_NO_COMPONENT;
	}
	struct ph_class_sum s = { c->of, NULL, (uint32_t)gr->drafts.n, sum };
	err = ph_dominators_sum(d, &s);
	ph_dominators_free(d);
	for (uint32_t i = 0; !err && i < gr->drafts.n; i++)
		gr->drafts.items[i]->group.retained_bytes += sum[i];
	return err;
}

static struct ph_err *group_part(struct grouping *gr, struct ph_components *c, bool infra)
{
	if (!c->n)
		return NULL;
	gr->group_of = malloc(c->n * sizeof *gr->group_of);
	struct ph_err *err = gr->group_of ? group_components(gr, c, infra) : ph_err_nomem();
	if (!err)
		err = sum_retained(gr, c);
	free(gr->group_of);
	gr->group_of = NULL;
	return err;
}

/* ---- the answer ------------------------------------------------------------------------------- */

static int compare_texts(char *const *a, uint32_t na, char *const *b, uint32_t nb)
{
	for (uint32_t i = 0; i < na && i < nb; i++) {
		int c = strcmp(a[i], b[i]);
		if (c)
			return c;
	}
	return (na > nb) - (na < nb);
}

static int by_importance(const void *pa, const void *pb)
{
	const struct ph_cycle_group *a = pa, *b = pb;
	if (a->garbage != b->garbage)
		return a->garbage ? -1 : 1;
	if (a->retained_bytes != b->retained_bytes)
		return a->retained_bytes > b->retained_bytes ? -1 : 1;
	int c = compare_texts(a->shape, a->nshape, b->shape, b->nshape);
	if (!c)
		c = compare_texts(a->labels, a->nshape, b->labels, b->nshape);
	return c ? c : (a->steps[0].node > b->steps[0].node) - (a->steps[0].node < b->steps[0].node);
}

/* Moves the groups out of their drafts. */
static bool finish_groups(struct grouping *gr, struct ph_cycles *ret)
{
	ret->groups = calloc(gr->drafts.n + 1, sizeof *ret->groups);
	if (!ret->groups)
		return false;
	for (uint32_t i = 0; i < gr->drafts.n; i++) {
		struct draft *d = gr->drafts.items[i];
		if (d->cut.n) {
			d->group.has_cut = true;
			d->group.cut_type = gr->holders.items.items[d->cut.holders[0]].type;
			strcpy(d->group.cut_label, ph_holder_text(&gr->holders, d->cut.holders[0]));
		}
		ret->groups[ret->n++] = d->group;
		d->group = (struct ph_cycle_group){ 0 };
	}
	qsort(ret->groups, ret->n, sizeof *ret->groups, by_importance);
	return true;
}

static void count_components(const struct ph_graph *g, const struct ph_cycle_parts *parts,
			     struct ph_cycles *ret)
{
	for (uint32_t i = 0; i < parts->main.n; i++) {
		if (!is_wanted(g, &parts->main, i))
			continue;
		if (g->flags[parts->main.members[parts->main.start[i]]] & PH_NODE_GARBAGE)
			ret->garbage_components++;
		else
			ret->live_components++;
	}
	for (uint32_t i = 0; i < parts->infra.n; i++) {
		if (!is_wanted(g, &parts->infra, i))
			continue;
		ret->infrastructure_count++;
		ret->infrastructure_objects += parts->infra.start[i + 1] - parts->infra.start[i];
		for (uint32_t m = parts->infra.start[i]; m < parts->infra.start[i + 1]; m++)
			ret->infrastructure_bytes += ph_graph_bytes(g, parts->infra.members[m]);
	}
}

static void grouping_deinit(struct grouping *gr)
{
	for (size_t i = 0; i < gr->drafts.n; i++)
		draft_free(gr->drafts.items[i]);
	ph_vec_free(&gr->drafts);
	ph_holders_deinit(&gr->holders);
	free(gr->slots);
}

struct ph_err *ph_cycles_find(const struct ph_graph *g, const struct ph_cycles_options *opt,
			      struct ph_cycles **ret)
{
	struct grouping gr = { .g = g, .opt = opt };
	struct ph_cycle_parts parts;
	struct ph_err *err = ph_cycle_parts_find(g, &parts);
	if (err)
		return err;
	struct ph_cycles *c = calloc(1, sizeof *c);
	if (!ph_holders_init(&gr.holders, g) || !c)
		err = ph_err_nomem();
	else
		count_components(g, &parts, c);
	if (!opt->all)
		ph_components_deinit(&parts.infra);
	if (!err)
		err = group_part(&gr, &parts.main, false);
	if (!err && opt->all)
		err = group_part(&gr, &parts.infra, true);
	if (!err && !finish_groups(&gr, c))
		err = ph_err_nomem();
	grouping_deinit(&gr);
	ph_cycle_parts_deinit(&parts);
	if (err) {
		ph_cycles_free(c);
		return err;
	}
	*ret = c;
	return NULL;
}

void ph_cycles_free(struct ph_cycles *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->n; i++)
		group_deinit(&c->groups[i]);
	free(c->groups);
	free(c);
}
