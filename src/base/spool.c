/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unlinked temporary files with holes for pages of zeroes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <pyheap/base.h>

#define HOLE 4096u

static const char *directory(void)
{
	const char *dir = getenv("TMPDIR");
	return dir && *dir ? dir : "/var/tmp"; /* cores are large, and /tmp is often memory */
}

/* A hole in memory's file system takes room when it is read, and where there is none
 * then, that is a SIGBUS: there is an error while it is written. */
static bool keeps_holes(int fd)
{
	struct statfs fs;
	return fstatfs(fd, &fs) == 0 && fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC;
}

struct ph_err *ph_spool_open(struct ph_spool *ret)
{
	const char *dir = directory();
	*ret = (struct ph_spool){ .fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) };
	if (ret->fd < 0) {
		char *path ph_cleanup_free = ph_asprintf("%s/pyheap.XXXXXX", dir);
		ret->fd = path ? mkostemp(path, O_CLOEXEC) : -1;
		if (ret->fd >= 0)
			unlink(path);
	}
	if (ret->fd < 0)
		return ph_err_hint(ph_err_errno(PH_ERR_USAGE, errno, "cannot create a temporary file in %s", dir),
				   "TMPDIR=DIR takes another directory");
	ret->holes = keeps_holes(ret->fd);
	return NULL;
}

static bool is_zero(const char *p, size_t n)
{
	return !*p && !memcmp(p, p + 1, n - 1);
}

/* Bytes at p, at least one, that are alike: all of them in pages of zeroes, or none. */
static size_t alike(const struct ph_spool *s, const char *p, size_t n, bool *ret_zero)
{
	size_t done = HOLE - (s->size & (HOLE - 1)); /* up to the file's next page */
	*ret_zero = s->holes && is_zero(p, done < n ? done : n);
	while (done < n) {
		size_t step = n - done < HOLE ? n - done : HOLE;
		if ((s->holes && is_zero(p + done, step)) != *ret_zero)
			break;
		done += step;
	}
	return done < n ? done : n;
}

static struct ph_err *put(struct ph_spool *s, const char *p, size_t n)
{
	while (n) {
		ssize_t done = pwrite(s->fd, p, n, (off_t)s->size);
		if (ph_interrupted)
			return ph_err_interrupted();
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return ph_err_hint(ph_err_errno(PH_ERR_USAGE, errno,
							"cannot write the temporary file in %s, after %llu bytes",
							directory(), (unsigned long long)s->size),
					   "TMPDIR=DIR takes another directory, where there is room");
		s->size += (uint64_t)done;
		p += done;
		n -= (size_t)done;
	}
	return NULL;
}

struct ph_err *ph_spool_write(struct ph_spool *s, const void *bytes, size_t n)
{
	const char *p = bytes;
	while (n) {
		bool zero;
		size_t step = alike(s, p, n, &zero);
		struct ph_err *err = NULL;
		if (zero)
			s->size += step;
		else
			err = put(s, p, step);
		if (err)
			return err;
		p += step;
		n -= step;
	}
	return NULL;
}

struct ph_err *ph_spool_finish(struct ph_spool *s)
{
	if (ftruncate(s->fd, (off_t)s->size) < 0) /* a hole at the end */
		return ph_err_errno(PH_ERR_USAGE, errno, "cannot make a file of %llu bytes in %s",
				    (unsigned long long)s->size, directory());
	return NULL;
}
