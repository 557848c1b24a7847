/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Debug information from the servers in $DEBUGINFOD_URLS, by elfutils' own client, which
 * also keeps what it has downloaded. It is loaded when it is needed, as libdwfl does. */
#include <errno.h>
#include <unistd.h>
#include "layout_priv.h"

bool ph_debuginfod_wanted(void)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	return urls && urls[strspn(urls, " ")];
}

#ifdef PYHEAP_STATIC

const char *ph_debuginfod_state(void)
{
	return "a static program has no client for it";
}

struct ph_err *ph_debuginfod_find(const char *build_id, char **ret)
{
	*ret = NULL;
	return ph_err_new(PH_ERR_LAYOUT, "this pyheap is a static program: it has no debuginfod client");
}

#else

#include <dlfcn.h>

/* Facts: debuginfod_find_debuginfo(3). */
struct client {
	void *library, *handle;
	void *(*begin)(void);
	void (*end)(void *client);
	int (*find)(void *client, const unsigned char *build_id, int len, char **path);
	void (*set_progressfn)(void *client, int (*fn)(void *client, long a, long b));
};

const char *ph_debuginfod_state(void)
{
	return ph_debuginfod_wanted() ? "the servers in $DEBUGINFOD_URLS are asked" :
					"no servers are named ($DEBUGINFOD_URLS is not set)";
}

static int stop_if_interrupted(void *client, long a, long b)
{
	return ph_interrupted;
}

static struct ph_err *load(struct client *c)
{
	c->library = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!c->library)
		return ph_err_hint(ph_err_new(PH_ERR_LAYOUT, "debuginfod's client is missing (%s)", dlerror()),
				   "install it (Debian: apt install libdebuginfod1)");
	*(void **)&c->begin = dlsym(c->library, "debuginfod_begin");
	*(void **)&c->end = dlsym(c->library, "debuginfod_end");
	*(void **)&c->find = dlsym(c->library, "debuginfod_find_debuginfo");
	*(void **)&c->set_progressfn = dlsym(c->library, "debuginfod_set_progressfn");
	c->handle = c->begin && c->end && c->find && c->set_progressfn ? c->begin() : NULL;
	return c->handle ? NULL : ph_err_new(PH_ERR_LAYOUT, "debuginfod's client cannot be used");
}

struct ph_err *ph_debuginfod_find(const char *build_id, char **ret)
{
	struct client c = { 0 };
	struct ph_err *err = load(&c);
	*ret = NULL;
	if (!err) {
		c.set_progressfn(c.handle, stop_if_interrupted);
		/* length 0: the build-id is hexadecimal text */
		int fd = c.find(c.handle, (const unsigned char *)build_id, 0, ret);
		c.end(c.handle);
		if (fd >= 0)
			close(fd);
		else
			err = ph_interrupted ? ph_err_interrupted()
					     : ph_err_errno(PH_ERR_LAYOUT, -fd, "debuginfod has nothing of build-id %s", build_id);
	}
	/* curl leaves threads and handlers behind: the library stays */
	return err;
}

#endif
