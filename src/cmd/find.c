/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects that are asked for by their address. */
#include <errno.h>
#include "cmd.h"

struct ph_err *ph_cmd_no_such(const char *what)
{
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "there is no object %s", what),
			   "addresses are as `pyheap objects` prints them, types as `pyheap top` does, or TYPE[n]");
}

static struct ph_err *of_another(const struct ph_graph *g, uint32_t node, const char *text)
{
	uint32_t interp = ph_graph_interp(g, node);
	struct ph_err *err = ph_err_new(PH_ERR_USAGE, "the object at %s is not one of this interpreter", text);
	if (interp == g->ninterps)
		return ph_err_hint(err, "it is shared: leave out --interpreter");
	return ph_err_hint(err, "it is one of interpreter %lld", (long long)g->interps[interp].id);
}

struct ph_err *ph_cmd_find_address(const struct ph_graph *g, const char *text, uint32_t *ret)
{
	char *end;
	errno = 0;
	ph_addr address = strtoull(text, &end, 16);
	bool number = *text && !*end && !errno;
	*ret = number ? ph_graph_find(g, address) : 0;
	if (*ret)
		return ph_graph_selected(g, *ret) ? NULL : of_another(g, *ret, text);
	uint32_t before = number ? ph_graph_find_before(g, address) : 0;
	if (!before || address - g->address[before] >= ph_graph_shallow(g, before))
		return ph_cmd_no_such(text);
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "no object begins at %s", text), "it is within the %s at 0x%llx", g->types[g->type[before]].name,
			   (unsigned long long)g->address[before]);
}
