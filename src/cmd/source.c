/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What TARGET is: a process, a core, a snapshot, a report, or one of these files on
 * standard input. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "cmd.h"

static const char *spool_dir(void)
{
	const char *dir = getenv("TMPDIR");
	return dir && *dir ? dir : "/var/tmp"; /* cores are large, and /tmp is often memory */
}

static int open_spool(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	char *path ph_cleanup_free = ph_asprintf("%s/pyheap.XXXXXX", dir);
	fd = path ? mkostemp(path, O_CLOEXEC) : -1;
	if (fd >= 0)
		unlink(path);
	return fd;
}

static bool write_all(int fd, const char *buf, size_t n)
{
	while (n) {
		ssize_t put = write(fd, buf, n);
		if (put < 0 && (errno != EINTR || ph_interrupted))
			return false;
		buf += put > 0 ? put : 0;
		n -= put > 0 ? (size_t)put : 0;
	}
	return true;
}

static struct ph_err *spool(int fd)
{
	char *buf ph_cleanup_free = malloc(1 << 20);
	if (!buf)
		return ph_err_nomem();
	for (;;) {
		ssize_t n = read(STDIN_FILENO, buf, 1 << 20);
		if (ph_interrupted)
			return ph_err_interrupted();
		if (n == 0)
			return NULL;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ph_err_errno(PH_ERR_USAGE, errno, "cannot read standard input");
		if (!write_all(fd, buf, (size_t)n))
			return ph_err_hint(ph_err_errno(PH_ERR_USAGE, errno, "cannot spool standard input"),
					   "TMPDIR=DIR takes another directory than /var/tmp");
	}
}

static struct ph_err *open_stdin(struct ph_source *s)
{
	s->is_stdin = true;
	s->fd = open_spool(spool_dir());
	if (s->fd < 0)
		return ph_err_hint(ph_err_errno(PH_ERR_USAGE, errno, "cannot create a temporary file in %s", spool_dir()),
				   "TMPDIR=DIR takes another directory");
	s->path = ph_asprintf("/proc/self/fd/%d", s->fd);
	if (s->path && access(s->path, F_OK) < 0)
		return ph_err_errno(PH_ERR_USAGE, errno, "cannot read standard input through /proc/self/fd");
	return s->path ? spool(s->fd) : ph_err_nomem();
}

/* JSON starts with a brace, perhaps after blanks; no core or snapshot does. */
static enum ph_source_kind magic(const char *path)
{
	char head[64];
	int fd ph_cleanup_close = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = fd >= 0 ? read(fd, head, sizeof head) : -1;
	if (n > 0 && ph_snapshot_magic(head, (size_t)n))
		return PH_SOURCE_SNAPSHOT;
	for (ssize_t i = 0; i < n; i++) {
		if (head[i] == '{')
			return PH_SOURCE_REPORT;
		if (!strchr(" \t\r\n", head[i]) || !head[i])
			break;
	}
	return PH_SOURCE_TARGET;
}

struct ph_err *ph_source_open(const char *what, struct ph_source *ret)
{
	struct ph_err *err = NULL;
	*ret = (struct ph_source){ .name = what, .fd = -1 };
	if (!strcmp(what, "-"))
		err = open_stdin(ret);
	else if (!(ret->path = strdup(what)))
		err = ph_err_nomem();
	if (!err && what[strspn(what, "0123456789")])
		ret->kind = magic(ret->path);
	if (err)
		ph_source_close(ret);
	return err;
}

void ph_source_close(struct ph_source *s)
{
	free(s->path);
	if (s->fd >= 0)
		close(s->fd);
	s->path = NULL;
	s->fd = -1;
}
