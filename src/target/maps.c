/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/maps and /proc/PID/pagemap. Facts: proc(5), Documentation/admin-guide/mm/pagemap.rst. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "process_priv.h"

#define MAPS_MAX (256u << 20) /* bytes of the listing */
#define PAGES_AT_ONCE 65536

#define PAGE_PRESENT (1ull << 63)
#define PAGE_SWAPPED (1ull << 62)
#define PAGE_FILE (1ull << 61) /* of a file, or shared */

static const char *const kernel_areas[] = { "[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]", "[sigpage]", "[vectors]" };

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

static bool line_parse(const char *line, struct ph_mapping *m, bool *ret_wanted)
{
	char perms[5];
	unsigned major, minor;
	int n = 0;
	memset(m, 0, sizeof *m);
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &m->start, &m->end,
		   perms, &m->offset, &major, &minor, &m->inode, &n) < 7 || !n || m->start >= m->end)
		return false;
	m->readable = perms[0] == 'r';
	m->writable = perms[1] == 'w';
	m->executable = perms[2] == 'x';
	m->shared = perms[3] == 's';
	m->perms_known = true;
	m->dev = makedev(major, minor);
	*ret_wanted = !is_kernel_area(line + n);
	if (line[n] && line[n] != '[')
		m->path = path_copy(line + n, &m->deleted);
	return true;
}

struct ph_err *ph_maps_read(pid_t pid, struct ph_mappings *ret)
{
	char path[64], *next;
	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	char *text ph_cleanup_free = ph_read_file(path, MAPS_MAX, NULL);
	if (!text)
		return ph_err_errno(errno == EACCES || errno == EPERM ? PH_ERR_PERMISSION : PH_ERR_USAGE,
				    errno == ESRCH ? ENOENT : errno, "%s", path);
	for (char *line = text; *line; line = next) {
		struct ph_mapping m;
		bool wanted;
		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		if (!line_parse(line, &m, &wanted))
			continue;
		if (!wanted || !PH_VEC_PUSH(ret, m)) {
			free(m.path);
			if (wanted)
				return ph_err_nomem();
		}
	}
	return NULL;
}

/* ---- which pages ---------------------------------------------------------------- */

static bool run_add(struct ph_runs *runs, ph_addr start, ph_addr end, bool writable)
{
	struct ph_run *last = runs->list.n ? &runs->list.items[runs->list.n - 1] : NULL;
	runs->bytes += end - start;
	if (last && last->end == start && last->writable == writable) {
		last->end = end;
		return true;
	}
	return PH_VEC_PUSH(&runs->list, (struct ph_run){ start, end, writable });
}

/* Anonymous memory and private mappings of files; nothing that is shared. */
static bool is_wanted(const struct ph_mapping *m)
{
	return m->readable && !m->shared;
}

/* Writable data of a file is taken whole: an object may begin in a page that was
 * written to and end in one that was not. */
static bool page_wanted(uint64_t page, const struct ph_mapping *m)
{
	if (page & PAGE_SWAPPED || (m->path && m->writable))
		return true;
	return page & PAGE_PRESENT && !(m->path && page & PAGE_FILE);
}

struct ph_err *ph_runs_find(pid_t pid, const struct ph_mappings *maps, struct ph_runs *ret)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
	int fd ph_cleanup_close = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t *pages ph_cleanup_free = malloc(PAGES_AT_ONCE * sizeof *pages);
	if (!pages)
		return ph_err_nomem();
	for (size_t i = 0; i < maps->n; i++) {
		const struct ph_mapping *m = &maps->items[i];
		if (!is_wanted(m))
			continue;
		for (ph_addr at = m->start; at < m->end;) {
			uint64_t n = (m->end - at) / PH_PAGE;
			if (n > PAGES_AT_ONCE)
				n = PAGES_AT_ONCE;
			ssize_t got = fd < 0 ? -1 : pread(fd, pages, n * 8, (off_t)(at / PH_PAGE * 8));
			bool blind = got < 8; /* no pagemap here: take all of it */
			if (!blind)
				n = (uint64_t)got / 8;
			for (uint64_t k = 0; k < n; k++) {
				bool take = blind ? !m->path || m->writable : page_wanted(pages[k], m);
				if (take && !run_add(ret, at + k * PH_PAGE, at + (k + 1) * PH_PAGE, m->writable))
					return ph_err_nomem();
			}
			at += n * PH_PAGE;
		}
	}
	return NULL;
}
