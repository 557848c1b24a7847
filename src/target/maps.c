/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/maps. Facts: proc(5). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include "process_priv.h"

#define MAPS_MAX (256u << 20) /* bytes of the listing */

static const char *const kernel_areas[] = {
	"[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]", "[uprobes]", "[sigpage]", "[vectors]",
};

static bool is_kernel_area(const char *path)
{
	for (size_t i = 0; i < sizeof kernel_areas / sizeof *kernel_areas; i++)
		if (!strcmp(path, kernel_areas[i]))
			return true;
	return false;
}

/* Newlines in paths come as \012; nothing else is escaped. */
static char *path_copy(const char *path, bool *ret_deleted)
{
	static const char deleted[] = " (deleted)";
	size_t n = strlen(path), d = sizeof deleted - 1;
	*ret_deleted = n > d && !strcmp(path + n - d, deleted);
	char *s = strndup(path, *ret_deleted ? n - d : n), *out = s;
	for (const char *in = s; s && *in; out++) {
		bool newline = !strncmp(in, "\\012", 4);
		*out = newline ? '\n' : *in;
		in += newline ? 4 : 1;
	}
	if (s)
		*out = '\0';
	return s;
}

/* "start-end perms offset major:minor inode   path"; false when it is not. */
static bool line_parse(const char *line, struct ph_mapping *m, const char **ret_path)
{
	char perms[5] = "";
	unsigned major, minor;
	int n = 0;
	*m = (struct ph_mapping){ 0 };
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 "%n", &m->start, &m->end,
		   perms, &m->offset, &major, &minor, &m->inode, &n) < 7)
		return false;
	if (strlen(perms) < 4 || m->start >= m->end || (m->start | m->end) & (PH_PAGE - 1))
		return false;
	m->readable = perms[0] == 'r';
	m->writable = perms[1] == 'w';
	m->executable = perms[2] == 'x';
	m->shared = perms[3] == 's';
	m->perms_known = true;
	m->dev = makedev(major, minor);
	*ret_path = line + n + strspn(line + n, " ");
	return true;
}

static struct ph_err *line_add(const char *line, struct ph_mappings *ret)
{
	struct ph_mapping m;
	const char *path;
	if (!line_parse(line, &m, &path) || is_kernel_area(path))
		return NULL;
	if (ret->n && m.start < ret->items[ret->n - 1].end)
		return NULL; /* read while it changed: the kernel may say a place twice */
	if (*path && *path != '[' && !(m.path = path_copy(path, &m.deleted)))
		return ph_err_nomem();
	if (PH_VEC_PUSH(ret, m))
		return NULL;
	free(m.path);
	return ph_err_nomem();
}

struct ph_err *ph_maps_parse(const char *text, struct ph_mappings *ret)
{
	char *copy ph_cleanup_free = strdup(text), *next;
	if (!copy)
		return ph_err_nomem();
	for (char *line = copy; *line; line = next) {
		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		struct ph_err *err = line_add(line, ret);
		if (err)
			return err;
	}
	return NULL;
}

struct ph_err *ph_maps_text(pid_t pid, char **ret, size_t *ret_len)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	*ret = ph_read_file(path, MAPS_MAX, ret_len);
	if (*ret && *ret_len)
		return NULL;
	int why = *ret ? ESRCH : errno;
	free(*ret);
	*ret = NULL;
	if (why == EACCES || why == EPERM)
		return ph_permission_denied("", pid, pid);
	if (why == ENOMEM)
		return ph_err_nomem();
	return ph_process_ended(pid);
}
