/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that came from a target made safe to show, and numbers for people. */
#include <stdio.h>
#include <pyheap/report.h>
#include "report_priv.h"

/* Length of the valid UTF-8 sequence at s, its code point in *ret; 0 = invalid. */
static size_t decode(const unsigned char *s, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3
		   : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	if (!n)
		return 0;
	uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret = c;
	return n;
}

struct range {
	uint32_t first, last;
};

static bool in_ranges(const struct range *r, size_t n, uint32_t c)
{
	for (size_t i = 0; i < n; i++)
		if (c >= r[i].first && c <= r[i].last)
			return true;
	return false;
}

/* Controls, and characters that end lines or reorder what is around them. */
static bool is_unsafe(uint32_t c)
{
	static const struct range unsafe[] = {
		{ 0x00, 0x1f }, { 0x7f, 0x9f }, { 0x61c, 0x61c }, { 0x200e, 0x200f }, { 0x2028, 0x202e },
		{ 0x2066, 0x2069 }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f },
	};
	return in_ranges(unsafe, sizeof unsafe / sizeof *unsafe, c);
}

static unsigned columns(uint32_t c)
{
	static const struct range none[] = { { 0x300, 0x36f }, { 0x200b, 0x200d }, { 0xfe00, 0xfe0f } };
	static const struct range wide[] = {
		{ 0x1100, 0x115f }, { 0x2e80, 0xa4cf }, { 0xac00, 0xd7a3 }, { 0xf900, 0xfaff },
		{ 0xfe30, 0xfe6f }, { 0xff00, 0xff60 }, { 0xffe0, 0xffe6 }, { 0x1f300, 0x1f64f },
		{ 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
	};
	if (c < 0x300)
		return 1;
	if (in_ranges(none, sizeof none / sizeof *none, c))
		return 0;
	return in_ranges(wide, sizeof wide / sizeof *wide, c) ? 2 : 1;
}

static char *escape(const char *text, bool controls)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t len = strlen(text);
	if (len > (SIZE_MAX - 1) / 4)
		return NULL;
	char *ret = malloc(len * 4 + 1), *to = ret; /* the longest is \xNN for one byte */
	if (!ret)
		return NULL;
	while (*s) {
		uint32_t c;
		size_t n = decode(s, &c);
		if (n && !(controls && is_unsafe(c)))
			memcpy(to, s, n), to += n;
		else if (n > 1 && c >= 0x10000)
			to += sprintf(to, "\\U%08x", c);
		else if (n > 1 && c >= 0x100)
			to += sprintf(to, "\\u%04x", c);
		else
			to += sprintf(to, "\\x%02x", n ? c : *s);
		s += n ? n : 1;
	}
	*to = '\0';
	return ret;
}

char *ph_text_utf8(const char *s)
{
	return escape(s, false);
}

char *ph_text_printable(const char *s)
{
	return escape(s, true);
}

size_t ph_text_width(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t width = 0;
	while (*s) {
		uint32_t c = 0;
		size_t n = decode(s, &c);
		width += n ? columns(c) : 1;
		s += n ? n : 1;
	}
	return width;
}

/* Bytes at the start that fit into `width` columns. */
static size_t head_bytes(const char *text, size_t width)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t used = 0;
	while (*s) {
		uint32_t c = 0;
		size_t n = decode(s, &c);
		used += n ? columns(c) : 1;
		if (used > width)
			break;
		s += n ? n : 1;
	}
	return (size_t)(s - (const unsigned char *)text);
}

char *ph_text_shorten(const char *s, size_t width)
{
	size_t full = ph_text_width(s);
	if (full <= width || width < 3)
		return strdup(s);
	/* more of the end: a class says more than its package */
	size_t head = (width - 1) / 3, tail = width - 1 - head;
	size_t from = head_bytes(s, full - tail);
	if (ph_text_width(s + from) > tail)
		from += head_bytes(s + from, 2) ? head_bytes(s + from, 2) : 1;
	return ph_asprintf("%.*s…%s", (int)head_bytes(s, head), s, s + from);
}

static const char *group_digits(char buf[PH_TEXT_NUMBER], const char *sign, uint64_t n, const char *end)
{
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
	char *to = buf + sprintf(buf, "%s", sign);
	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	strcpy(to, end);
	return buf;
}

static const char *sign_of(int64_t n, bool sign)
{
	return n < 0 ? "-" : sign && n > 0 ? "+" : "";
}

static uint64_t magnitude(int64_t n)
{
	return n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
}

const char *ph_text_count(char buf[PH_TEXT_NUMBER], int64_t n, bool sign)
{
	return group_digits(buf, sign_of(n, sign), magnitude(n), "");
}

const char *ph_text_size(char buf[PH_TEXT_NUMBER], int64_t bytes, bool sign, bool plain)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	uint64_t n = magnitude(bytes);
	unsigned unit = 0;
	char end[16];
	if (plain) {
		snprintf(buf, PH_TEXT_NUMBER, "%s%llu", sign_of(bytes, sign), (unsigned long long)n);
		return buf;
	}
	if (n < 1024)
		return group_digits(buf, sign_of(bytes, sign), n, " B");
	while (unit < 5 && n >> (10 * (unit + 2)))
		unit++;
	/* tenths, rounded; n / 2^k first so that nothing overflows */
	unsigned shift = 10 * (unit + 1);
	uint64_t whole = n >> shift, rest = n & ((1ull << shift) - 1);
	uint64_t tenths = unit < 5 ? (rest * 10 + (1ull << (shift - 1))) >> shift
				   : ((rest >> 10) * 10 + (1ull << (shift - 11))) >> (shift - 10);
	whole += tenths / 10;
	snprintf(end, sizeof end, ".%u %s", (unsigned)(tenths % 10), units[unit]);
	return group_digits(buf, sign_of(bytes, sign), whole, end);
}

void ph_text_nothing(struct ph_render *r)
{
}
