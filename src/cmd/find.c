/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects that are asked for by their address. */
#include <errno.h>
#include "cmd.h"

struct ph_err *ph_cmd_no_such(const char *what)
{
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "there is no object %s", what),
			   "addresses are as `pyheap objects` prints them, types as `pyheap top` does, or TYPE[n]");
}

struct ph_err *ph_cmd_find_address(const struct ph_graph *g, const char *text, uint32_t *ret)
{
	char *end;
	errno = 0;
	ph_addr address = strtoull(text, &end, 16);
	bool number = *text && !*end && !errno;
	*ret = number ? ph_graph_find(g, address) : 0;
	if (*ret)
		return NULL;
	uint32_t before = number ? ph_graph_find_before(g, address) : 0;
	if (!before || address - ph_graph_address(g, before) >= ph_graph_shallow(g, before))
		return ph_cmd_no_such(text);
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "no object begins at %s", text), "it is within the %s at 0x%llx", g->types[g->type[before]].name,
			   (unsigned long long)ph_graph_address(g, before));
}
