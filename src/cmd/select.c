/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --interpreter: which of a target's interpreters is asked about. */
#include <errno.h>
#include <stdio.h>
#include "cmd.h"

#define LISTED 20 /* IDs in an error */

static struct ph_err *no_such(const struct ph_source *source, const struct ph_session *s, const char *asked)
{
	const struct ph_graph *g = s->graph;
	char ids[LISTED * 24] = "";
	size_t at = 0;
	for (uint32_t i = 0; i < g->ninterps && i < LISTED; i++)
		at += (size_t)snprintf(ids + at, sizeof ids - at, "%s%lld", i ? ", " : "", (long long)g->interps[i].id);
	struct ph_err *err = ph_err_new(PH_ERR_USAGE, "%s has no interpreter %s", source->name, asked);
	if (!g->interps && s->meta.interpreters > 1)
		return ph_err_hint(err, "the snapshot does not say whose its objects are: it was made before pyheap could tell");
	if (!g->interps)
		return ph_err_hint(err, "there is but one, with ID 0");
	return ph_err_hint(err, "there are %s%s, and `shared`", ids, g->ninterps > LISTED ? " ..." : "");
}

/* Its index, ninterps for what is shared; false: there is none. */
static bool find(const struct ph_session *s, const char *asked, uint32_t *ret)
{
	const struct ph_graph *g = s->graph;
	char *end;
	errno = 0;
	long long id = strtoll(asked, &end, 10);
	*ret = g->ninterps;
	if (!strcmp(asked, "shared"))
		return g->interps;
	if (*end || errno || *asked < '0' || *asked > '9' || (*asked == '0' && asked[1]))
		return false;
	for (*ret = 0; *ret < g->ninterps; ++*ret)
		if (g->interps[*ret].id == id)
			return true;
	return !g->interps && s->meta.interpreters == 1 && !id; /* the main one's */
}

struct ph_err *ph_session_select(const struct ph_source *source, const struct ph_run *run, struct ph_session *s)
{
	uint32_t interp;
	const char *asked = run->opt->interpreter;
	if (!asked)
		return NULL;
	if (!find(s, asked, &interp))
		return no_such(source, s, asked);
	s->meta.interpreter = asked;
	return ph_graph_select(s->graph, interp);
}
