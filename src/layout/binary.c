/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An interpreter's files, without a process: the program or libpython, and the extension
 * modules that belong to it. */
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include "layout_priv.h"

#define MAX_FILES 1024

/* All files of a pattern; those of the other ABI (cpython-313d-…, cpython-313-…, cpython-313t-…) are not
 * of this interpreter. */
static struct ph_err *add_pattern(struct ph_target *target, const char *pattern, bool debug)
{
	struct ph_err *err = NULL;
	bool added;
	glob_t found;
	if (glob(pattern, 0, NULL, &found))
		return NULL;
	for (size_t i = 0; !err && i < found.gl_pathc && i < MAX_FILES; i++) {
		const char *tag = strstr(found.gl_pathv[i], ".cpython-3");
		size_t digits = tag ? strspn(tag + strlen(".cpython-"), "0123456789") : 0;
		if (tag && tag[strlen(".cpython-") + digits] == 't')
			digits++;
		if (!tag || (tag[strlen(".cpython-") + digits] == 'd') == debug)
			err = ph_target_add_file(target, found.gl_pathv[i], &added);
	}
	globfree(&found);
	return err;
}

bool ph_python_file_version(const char *path, char ret[16], bool *ret_debug)
{
	const char *slash = strrchr(path, '/'), *name = strstr(slash ? slash : path, "python3.");
	unsigned minor;
	int n;
	if (!name || sscanf(name, "python3.%3u%n", &minor, &n) != 1)
		return false;
	/* a free-threaded one has folders of its own: lib/python3.13t */
	bool free_threaded = name[n] == 't';
	n += free_threaded;
	snprintf(ret, 16, "3.%u%s", minor, free_threaded ? "t" : "");
	*ret_debug = name[n] == 'd' || (name[n] == 'm' && name[n + 1] == 'd') || strstr(name + n, "-dbg");
	return true;
}

/* A small program may have all of Python in a library beside it. */
static struct ph_err *add_library(struct ph_target *target, const char *dir, const char *version, bool debug)
{
	static const char *const places[] = { "../lib", ".", "../lib64", "../lib/x86_64-linux-gnu", "../lib/aarch64-linux-gnu" };
	ph_addr at;
	bool added = ph_module_symbol(&target->modules[0], "_PyRuntime", &at, NULL);
	struct ph_err *err = NULL;
	for (size_t i = 0; !err && !added && i < sizeof places / sizeof *places; i++) {
		char *path ph_cleanup_free = ph_asprintf("%s/%s/libpython%s%s.so.1.0", dir, places[i], version, debug ? "d" : "");
		if (!path)
			return ph_err_nomem();
		err = ph_target_add_file(target, path, &added);
	}
	return err;
}

static struct ph_err *add_extensions(struct ph_target *target, const char *dir, const char *version, bool debug)
{
	/* of bin/, of lib/, of lib/x86_64-linux-gnu/ */
	static const char *const places[] = { "../lib", ".", ".." };
	struct ph_err *err = NULL;
	for (size_t i = 0; !err && i < sizeof places / sizeof *places; i++) {
		char *pattern ph_cleanup_free = ph_asprintf("%s/%s/python%s/lib-dynload/*.so", dir, places[i], version);
		err = pattern ? add_pattern(target, pattern, debug) : ph_err_nomem();
	}
	return err;
}

struct ph_err *ph_binary_open(const char *path, struct ph_target **ret)
{
	struct ph_target *target;
	char version[16];
	bool debug;
	*ret = NULL;
	struct ph_err *err = ph_target_open_file(path, &target);
	if (err)
		return err;
	if (ph_python_file_version(target->path, version, &debug)) {
		char *name ph_cleanup_free = strdup(target->path);
		const char *dir = name ? dirname(name) : NULL;
		err = dir ? add_library(target, dir, version, debug) : ph_err_nomem();
		if (!err)
			err = add_extensions(target, dir, version, debug);
	}
	if (err)
		ph_target_close(target);
	else
		*ret = target;
	return err;
}
