/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one place that reports are written through: no error is lost. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <pyheap/report.h>

#define OUT_BUFFER 65536

struct ph_out {
	int fd;
	int error;        /* errno of the first failure, 0 = none */
	bool nomem;
	bool replace;     /* an existing file may go */
	char *name;       /* as the user gave it; NULL = standard output */
	char *path, *temp; /* the file's real name and where it is written; NULL = in place */
	size_t n;
	char buf[OUT_BUFFER];
};

static void out_free(struct ph_out *out)
{
	if (!out)
		return;
	if (out->fd >= 0)
		close(out->fd);
	free(out->name);
	free(out->path);
	free(out->temp);
	free(out);
}

/* Creates PATH's neighbour that is renamed to PATH in the end. */
static struct ph_err *open_temp(struct ph_out *out)
{
	const char *slash = strrchr(out->path, '/');
	int dir = slash ? (int)(slash + 1 - out->path) : 0;
	out->temp = ph_asprintf("%.*s.%s.XXXXXX", dir, out->path, out->path + dir);
	if (!out->temp)
		return ph_err_nomem();
	out->fd = mkostemp(out->temp, O_CLOEXEC);
	if (out->fd < 0) {
		struct ph_err *err = ph_err_errno(PH_ERR_USAGE, errno, "cannot create %s", out->name);
		free(out->temp);
		out->temp = NULL;
		return err;
	}
	mode_t mask = umask(0);
	umask(mask);
	fchmod(out->fd, 0666 & ~mask);
	return NULL;
}

static struct ph_err *open_file(struct ph_out *out, bool force)
{
	struct stat st;
	if (stat(out->name, &st) == 0 && !S_ISREG(st.st_mode)) {
		/* a device or pipe: nothing to rename */
		out->fd = open(out->name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		return out->fd >= 0 ? NULL
				    : ph_err_errno(PH_ERR_USAGE, errno, "cannot write to %s", out->name);
	}
	if (lstat(out->name, &st) == 0 && !force)
		return ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s exists", out->name),
				   "--force overwrites it");
	out->replace = force;
	out->path = realpath(out->name, NULL); /* a symbolic link stays one */
	if (!out->path)
		out->path = strdup(out->name);
	return out->path ? open_temp(out) : ph_err_nomem();
}

struct ph_err *ph_out_open(const char *path, bool force, struct ph_out **ret)
{
	struct ph_err *err = NULL;
	struct ph_out *out = calloc(1, sizeof *out);
	*ret = NULL;
	if (!out)
		return ph_err_nomem();
	out->fd = -1;
	if (!path || !strcmp(path, "-")) {
		/* a copy, so that close() can report what write() did not */
		out->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		if (out->fd < 0)
			err = ph_err_errno(PH_ERR_USAGE, errno, "cannot write to standard output");
	} else {
		out->name = strdup(path);
		err = out->name ? open_file(out, force) : ph_err_nomem();
	}
	if (err)
		out_free(out);
	else
		*ret = out;
	return err;
}

static void out_flush(struct ph_out *out)
{
	size_t at = 0;
	while (at < out->n && !out->error && !ph_interrupted) {
		ssize_t n = write(out->fd, out->buf + at, out->n - at);
		if (n >= 0)
			at += (size_t)n;
		else if (errno != EINTR)
			out->error = errno;
	}
	out->n = 0;
}

void ph_out_write(struct ph_out *out, const char *bytes, size_t n)
{
	while (n && !out->error) {
		size_t room = sizeof out->buf - out->n;
		size_t step = n < room ? n : room;
		memcpy(out->buf + out->n, bytes, step);
		out->n += step;
		bytes += step;
		n -= step;
		if (out->n == sizeof out->buf)
			out_flush(out);
	}
}

void ph_out_puts(struct ph_out *out, const char *text)
{
	ph_out_write(out, text, strlen(text));
}

void ph_out_printf(struct ph_out *out, const char *fmt, ...)
{
	char *s;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0) {
		out->nomem = true;
		return;
	}
	ph_out_write(out, s, (size_t)n);
	free(s);
}

bool ph_out_failed(const struct ph_out *out)
{
	return out->error || out->nomem || ph_interrupted;
}

bool ph_out_is_terminal(const struct ph_out *out)
{
	return isatty(out->fd);
}

int ph_out_width(const struct ph_out *out)
{
	struct winsize ws;
	const char *columns = getenv("COLUMNS");
	if (!isatty(out->fd))
		return 0;
	if (columns && atoi(columns) > 0)
		return atoi(columns);
	if (ioctl(out->fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col)
		return ws.ws_col;
	return 80;
}

/* link() instead of rename() where a file that appeared meanwhile must stay. */
static struct ph_err *out_rename(struct ph_out *out)
{
	if (out->replace ? rename(out->temp, out->path) == 0 : link(out->temp, out->path) == 0) {
		if (!out->replace)
			unlink(out->temp);
		return NULL;
	}
	int error = errno;
	if (!out->replace && error != EEXIST && access(out->path, F_OK) != 0 &&
	    rename(out->temp, out->path) == 0) /* a file system without hard links */
		return NULL;
	unlink(out->temp);
	return ph_err_errno(PH_ERR_USAGE, error, "cannot create %s", out->name);
}

struct ph_err *ph_out_close(struct ph_out *out, bool keep)
{
	struct ph_err *err = NULL;
	if (!out)
		return NULL;
	if (keep)
		out_flush(out);
	if (close(out->fd) < 0 && !out->error && errno != EINTR)
		out->error = errno;
	out->fd = -1;
	if (ph_interrupted)
		err = ph_err_interrupted();
	else if (out->nomem)
		err = ph_err_nomem();
	else if (out->error && keep)
		err = ph_err_errno(PH_ERR_USAGE, out->error, "cannot write to %s",
				   out->name ? out->name : "standard output");
	if (out->temp && (err || !keep))
		unlink(out->temp);
	else if (out->temp)
		err = out_rename(out);
	out_free(out);
	return err;
}
