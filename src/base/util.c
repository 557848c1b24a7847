/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <pyheap/base.h>

void ph_cleanup_close_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

char *ph_asprintf(const char *fmt, ...)
{
	char *s;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : s;
}

char *ph_read_file(const char *path, size_t max, size_t *ret_len)
{
	struct PH_VEC(char) buf = { 0 };
	int fd ph_cleanup_close = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	while (buf.n < max) {
		size_t step = max - buf.n < 65536 ? max - buf.n : 65536;
		if (!PH_VEC_RESERVE(&buf, step + 1)) {
			errno = ENOMEM;
			goto fail;
		}
		ssize_t got = read(fd, buf.items + buf.n, step);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			goto fail;
		if (got == 0)
			break;
		buf.n += (size_t)got;
	}
	if (!PH_VEC_RESERVE(&buf, 1)) {
		errno = ENOMEM;
		goto fail;
	}
	buf.items[buf.n] = '\0';
	if (ret_len)
		*ret_len = buf.n;
	return buf.items;
fail:
	free(buf.items);
	return NULL;
}

/* A decimal number and one of K M G T (powers of 1024, with or without iB/B). */
bool ph_parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	char *end;
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	double value = strtod(text, &end);
	if (errno || !isfinite(value))
		return false;
	if (*end) {
		const char *u = strchr(units, toupper((unsigned char)*end));
		if (u) {
			value = ldexp(value, 10 * (int)(u - units + 1));
			end++;
			if (*end == 'i')
				end++;
		}
		if (*end == 'B')
			end++;
	}
	if (*end || value < 0 || value >= 9.2e18)
		return false;
	*ret = (uint64_t)value;
	return true;
}

uint64_t ph_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
