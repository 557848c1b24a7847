/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands: one row each. */
#include "cmd.h"

#define PH_COMMANDS(X) X(top) X(why) X(dominators) X(explain) X(threads) X(cycles) X(diff) X(objects) X(snapshot) X(doctor) X(layout) X(help) X(completions)

#define X(name) extern const struct ph_cmd ph_cmd_##name;
PH_COMMANDS(X)
#undef X

const struct ph_cmd *const ph_cmds[] = {
#define X(name) &ph_cmd_##name,
	PH_COMMANDS(X)
#undef X
	NULL
};

const struct ph_cmd *ph_cmd_find(const char *name)
{
	for (size_t i = 0; ph_cmds[i]; i++)
		if (!strcmp(ph_cmds[i]->name, name))
			return ph_cmds[i];
	return NULL;
}
