/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one word of a target's command line that a report may hold. */
#include "cmd.h"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Whether the argument behind this option belongs to it. Facts: Python's own
 * command line (Python/getopt.c): -W and -X take one, apart or joined. */
static bool takes_next(const char *arg)
{
	if (!strcmp(arg, "--check-hash-based-pycs"))
		return true;
	if (arg[1] == '-')
		return false;
	size_t n = strcspn(arg + 1, "WX") + 1;
	return arg[n] && !arg[n + 1];
}

char *ph_script_name(char *const *argv, size_t argc)
{
	if (argc < 2 || strncmp(base_name(argv[0]), "python", 6))
		return NULL;
	for (size_t i = 1; i < argc; i++) {
		const char *arg = argv[i];
		if (*arg != '-')
			return *arg ? strdup(base_name(arg)) : NULL;
		if (!arg[1])
			return strdup("-");
		size_t n = arg[1] == '-' ? strlen(arg) : strcspn(arg, "cmWX");
		if (arg[n] == 'c')
			return strdup("-c"); /* what follows is code */
		if (arg[n] == 'm') {
			const char *module = arg[n + 1] ? arg + n + 1 : i + 1 < argc ? argv[i + 1] : NULL;
			return module ? ph_asprintf("-m %s", module) : NULL;
		}
		if (takes_next(arg))
			i++;
	}
	return NULL;
}
