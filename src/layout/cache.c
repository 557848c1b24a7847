/* SPDX-License-Identifier: GPL-2.0-or-later */
/* $XDG_CACHE_HOME/pyheap/BUILDID.layout: what the DWARF of one ELF file said.
 * A cache is a convenience: what cannot be trusted is ignored, what cannot be
 * written is not written, and neither is an error. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "layout_priv.h"

#define MAX_CACHE_FILE (1u << 20)

/* ---- the directory -------------------------------------------------------------------- */

static bool ours(int fd, bool private)
{
	struct stat st;
	return fd >= 0 && !fstat(fd, &st) && st.st_uid == geteuid() &&
	       !(private && st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Opens a directory of our own below `at`, made when it is not there and its
 * parent is ours too: as root in somebody else's home we leave no traces. */
static int open_dir(int at, const char *name, bool create)
{
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	int fd = openat(at, name, flags);
	if (fd < 0 && errno == ENOENT && create && ours(at, false) && !mkdirat(at, name, 0700))
		fd = openat(at, name, flags);
	return fd;
}

static int open_cache_dir(bool create)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int base ph_cleanup_close = -1, dir = -1;
	if (xdg && *xdg == '/') {
		base = open(xdg, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	} else if (home && *home == '/') {
		int top ph_cleanup_close = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (top >= 0)
			base = open_dir(top, ".cache", create);
	}
	if (base >= 0)
		dir = open_dir(base, "pyheap", create);
	if (dir >= 0 && !ours(dir, true)) {
		close(dir);
		dir = -1;
	}
	return dir;
}

static bool file_name(const char *build_id, char ret[160])
{
	size_t len = strlen(build_id);
	if (len < 4 || len > 128 || strspn(build_id, "0123456789abcdef") != len)
		return false;
	snprintf(ret, 160, "%s.layout", build_id);
	return true;
}

/* ---- the text --------------------------------------------------------------------------- */

/* A head with the hash of the rows, their answers (text.c), and an end with the hash of
 * all before it. */
static char *format(const struct ph_row *rows, size_t n, const struct ph_answer *answers,
		    const char *origin, size_t *ret_len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);
	if (!f)
		return NULL;
	fprintf(f, "pyheap layout %016" PRIx64 "\norigin %s\n", ph_rows_hash(rows, n), origin);
	ph_rows_print(f, rows, n, answers);
	fflush(f);
	fprintf(f, "end %016" PRIx64 "\n", ph_fnv1a(PH_FNV_INIT, text, *ret_len));
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

static bool parse(const char *text, size_t len, const struct ph_row *rows, size_t n,
		  struct ph_answer *answers, char **ret_origin)
{
	char head[64], end[64];
	size_t start = (size_t)snprintf(head, sizeof head, "pyheap layout %016" PRIx64 "\norigin ",
					ph_rows_hash(rows, n));
	size_t tail = (size_t)snprintf(end, sizeof end, "end %016x\n", 0u);
	if (strlen(text) != len || len < start + tail || strncmp(text, head, start))
		return false;
	snprintf(end, sizeof end, "end %016" PRIx64 "\n", ph_fnv1a(PH_FNV_INIT, text, len - tail));
	const char *origin = text + start, *newline = strchr(origin, '\n');
	bool *seen ph_cleanup_free = calloc(n + 1, sizeof *seen);
	if (strcmp(text + len - tail, end) || !newline || !seen ||
	    ph_rows_parse(newline + 1, text + len - tail, rows, n, answers, seen) != text + len - tail)
		return false;
	*ret_origin = strndup(origin, (size_t)(newline - origin));
	return *ret_origin;
}

/* ---- files --------------------------------------------------------------------------------- */

static char *read_all(int fd, size_t *ret_len)
{
	struct stat st;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > MAX_CACHE_FILE)
		return NULL;
	size_t size = (size_t)st.st_size, at = 0;
	char *text = malloc(size + 1);
	while (text && at < size) {
		ssize_t got = read(fd, text + at, size - at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			free(text);
			return NULL;
		}
		at += (size_t)got;
	}
	if (text)
		text[size] = '\0';
	*ret_len = size;
	return text;
}

bool ph_cache_read(const char *build_id, const struct ph_row *rows, size_t n,
		   struct ph_answer *answers, char **ret_origin)
{
	char name[160];
	size_t len;
	if (!file_name(build_id, name))
		return false;
	int dir ph_cleanup_close = open_cache_dir(false);
	if (dir < 0)
		return false;
	int fd ph_cleanup_close = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (!ours(fd, true))
		return false;
	char *text ph_cleanup_free = read_all(fd, &len);
	return text && parse(text, len, rows, n, answers, ret_origin);
}

static bool write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t put = write(fd, text, len);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		text += put;
		len -= (size_t)put;
	}
	return true;
}

void ph_cache_write(const char *build_id, const struct ph_row *rows, size_t n,
		    const struct ph_answer *answers, const char *origin)
{
	char name[160], temp[200];
	size_t len;
	if (!file_name(build_id, name) || strchr(origin, '\n'))
		return;
	char *text ph_cleanup_free = format(rows, n, answers, origin, &len);
	int dir ph_cleanup_close = open_cache_dir(true);
	if (!text || dir < 0)
		return;
	snprintf(temp, sizeof temp, "%s.%ld", name, (long)getpid());
	/* left behind by a process of the same number that was killed */
	unlinkat(dir, temp, 0);
	int fd ph_cleanup_close =
		openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	if (!write_all(fd, text, len) || renameat(dir, temp, dir, name))
		unlinkat(dir, temp, 0);
}
