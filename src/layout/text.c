/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers as text, one line for each row of fields.def:
 *   F id offset size [stride [bit bits]]  |  S id bytes  |  E id value  |  F id -
 * "-": there is no such member. Every row is there, so that a text of another
 * pyheap's rows is told from one that says no. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include "layout_priv.h"

#define MAX_NUMBERS 5

static void print_member(FILE *f, const struct ph_member *m)
{
	fprintf(f, "%u %u", m->offset, m->size);
	if (m->stride || m->bits)
		fprintf(f, " %u", m->stride);
	if (m->bits)
		fprintf(f, " %u %u", m->bit, m->bits);
}

void ph_rows_print(FILE *f, const struct ph_row *rows, size_t n, const struct ph_answer *answers)
{
	for (size_t i = 0; i < n; i++) {
		fprintf(f, "%c %s ", rows[i].kind, rows[i].id);
		if (!answers[i].m.present)
			putc('-', f);
		else if (rows[i].kind == PH_ROW_FIELD)
			print_member(f, &answers[i].m);
		else
			fprintf(f, "%" PRId64, answers[i].value);
		putc('\n', f);
	}
}

/* ---- reading ---------------------------------------------------------------------- */

/* The row that a line is about, NULL if there is none. They mostly come in order: *next
 * is tried first. */
static const struct ph_row *row_of(const char *line, size_t len, const struct ph_row *rows, size_t n,
				   size_t *next)
{
	for (size_t tried = 0; tried < n; tried++, ++*next) {
		if (*next >= n)
			*next = 0;
		const struct ph_row *row = &rows[*next];
		size_t id = strlen(row->id);
		if (len > id + 3 && line[0] == (char)row->kind && line[1] == ' ' &&
		    !strncmp(line + 2, row->id, id) && line[2 + id] == ' ')
			return row;
	}
	return NULL;
}

/* Decimal numbers with one blank between them, to the end of the line; < 0: it is not so. */
static int read_numbers(const char *at, const char *end, int64_t ret[MAX_NUMBERS])
{
	int n = 0;
	while (n < MAX_NUMBERS) {
		char *stop;
		errno = 0;
		if (*at != '-' && (*at < '0' || *at > '9'))
			return -1;
		ret[n++] = strtoll(at, &stop, 10);
		if (errno || stop == at || stop > end || (stop < end && *stop != ' '))
			return -1;
		if (stop == end)
			return n;
		at = stop + 1;
	}
	return -1;
}

static bool in_range(const int64_t *v, int n, int64_t max)
{
	for (int i = 0; i < n; i++)
		if (v[i] < 0 || v[i] > max)
			return false;
	return true;
}

static bool read_answer(const struct ph_row *row, const char *at, const char *end, struct ph_answer *ret)
{
	int64_t v[MAX_NUMBERS] = { 0 };
	if (end - at == 1 && *at == '-')
		return true;
	int n = read_numbers(at, end, v);
	if (row->kind == PH_ROW_FIELD) {
		/* as DWARF's own: offsets that sums cannot overflow, bits within 8 bytes */
		if ((n != 2 && n != 3 && n != 5) || !in_range(v, 1, INT32_MAX) || !in_range(v + 1, 2, UINT32_MAX) ||
		    !in_range(v + 3, 2, 64) || (n == 5 && (!v[4] || v[1] > 8 || v[3] + v[4] > v[1] * 8)))
			return false;
		ret->m = (struct ph_member){ .offset = (uint32_t)v[0], .size = (uint32_t)v[1],
					     .stride = (uint32_t)v[2], .bit = (uint16_t)v[3],
					     .bits = (uint16_t)v[4] };
	} else if (n != 1 || (row->kind == PH_ROW_SIZE && !in_range(v, 1, UINT32_MAX))) {
		return false;
	}
	ret->value = row->kind == PH_ROW_FIELD ? 0 : v[0];
	ret->m.present = true;
	return true;
}

const char *ph_rows_parse(const char *text, const char *end, const struct ph_row *rows, size_t n,
			  struct ph_answer *answers, bool *seen)
{
	size_t next = 0;
	memset(answers, 0, n * sizeof *answers);
	memset(seen, 0, n * sizeof *seen);
	while (text < end && strchr("FSE", *text)) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		if (!newline)
			break;
		/* what another version of pyheap asks for is not ours to judge */
		const struct ph_row *row = row_of(text, (size_t)(newline - text), rows, n, &next);
		size_t i = row ? (size_t)(row - rows) : 0;
		if (row && (seen[i] || !read_answer(row, text + 3 + strlen(row->id), newline, &answers[i])))
			return text;
		if (row)
			seen[i] = true;
		text = newline + 1;
	}
	return text;
}
