/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What TARGET is: a process, a core, a snapshot, a report, or one of these files on
 * standard input. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "cmd.h"

static struct ph_err *spool(struct ph_spool *to)
{
	char *buf ph_cleanup_free = malloc(1 << 20);
	if (!buf)
		return ph_err_nomem();
	ph_progress_begin(PH_PROGRESS_BYTES, 0);
	for (;;) {
		ssize_t n = read(STDIN_FILENO, buf, 1 << 20);
		if (ph_interrupted)
			return ph_err_interrupted();
		if (n == 0)
			return ph_spool_finish(to);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ph_err_errno(PH_ERR_USAGE, errno, "cannot read standard input");
		ph_progress_add((uint64_t)n);
		struct ph_err *err = ph_spool_write(to, buf, (size_t)n);
		if (err)
			return err;
	}
}

static struct ph_err *use_spool(struct ph_source *s, const struct ph_spool *spooled)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->path);
	s->fd = spooled->fd;
	s->path = ph_asprintf("/proc/self/fd/%d", s->fd);
	if (s->path && access(s->path, F_OK) < 0)
		return ph_err_errno(PH_ERR_USAGE, errno, "cannot read standard input through /proc/self/fd");
	return s->path ? NULL : ph_err_nomem();
}

static struct ph_err *open_stdin(struct ph_source *s)
{
	struct ph_spool spooled;
	struct ph_err *err = ph_spool_open(&spooled);
	s->is_stdin = true;
	if (!err)
		err = use_spool(s, &spooled);
	return err ? err : spool(&spooled);
}

/* JSON starts with a brace, perhaps after blanks; no core or snapshot does. */
static enum ph_source_kind kind_of(const char *head, size_t n)
{
	if (ph_snapshot_magic(head, n))
		return PH_SOURCE_SNAPSHOT;
	for (size_t i = 0; i < n; i++) {
		if (head[i] == '{')
			return PH_SOURCE_REPORT;
		if (!strchr(" \t\r\n", head[i]) || !head[i])
			break;
	}
	return PH_SOURCE_TARGET;
}

/* A snapshot or report that somebody has packed. A core's owner and date count: the target
 * stage unpacks it. */
static struct ph_err *unpack(struct ph_source *s, int fd)
{
	struct ph_spool out;
	enum ph_unpack_fault fault;
	struct ph_err *err = ph_spool_open(&out);
	if (!err)
		err = ph_unpack(fd, &out, &fault);
	if (!err && fault)
		err = ph_err_new(PH_ERR_USAGE, "%s is packed, and %s", s->name,
				 fault == PH_UNPACK_CUT ? "cut off" : "damaged");
	if (!err)
		return use_spool(s, &out);
	if (out.fd >= 0)
		close(out.fd);
	return err;
}

static struct ph_err *tell_kind(struct ph_source *s, struct ph_messages *messages)
{
	char head[64];
	int fd ph_cleanup_close = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = fd >= 0 ? read(fd, head, sizeof head) : -1;
	size_t unpacked;
	s->kind = n > 0 ? kind_of(head, (size_t)n) : PH_SOURCE_TARGET;
	if (n <= 0 || !ph_packed(head, (size_t)n))
		return NULL;
	struct ph_err *err = ph_unpack_head(fd, head, sizeof head, &unpacked);
	if (!err)
		s->kind = kind_of(head, unpacked);
	if (err || s->kind == PH_SOURCE_TARGET)
		return err;
	ph_messages_phase(messages, "unpacking");
	return unpack(s, fd);
}

struct ph_err *ph_source_open(const char *what, struct ph_messages *messages, struct ph_source *ret)
{
	struct ph_err *err = NULL;
	*ret = (struct ph_source){ .name = what, .fd = -1 };
	if (!strcmp(what, "-")) {
		ph_messages_phase(messages, "reading standard input");
		err = open_stdin(ret);
	} else if (!(ret->path = strdup(what))) {
		err = ph_err_nomem();
	}
	if (!err && what[strspn(what, "0123456789")])
		err = tell_kind(ret, messages);
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
