/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages and progress, on stderr; what fails there has nowhere to be told. */
#include <stdio.h>
#include <pyheap/report.h>

#define ERASE_LINE "\r\033[K"

static void line(struct ph_messages *m, const char *prefix, const char *text)
{
	char *safe ph_cleanup_free = ph_text_printable(text);
	if (m->in_place && m->phase)
		fputs(ERASE_LINE, stderr);
	fprintf(stderr, "%s%s\n", prefix, safe ? safe : "out of memory");
}

void ph_messages_phase(struct ph_messages *m, const char *phase)
{
	uint64_t now = ph_now_ns();
	if (m->phase && m->timings) {
		char text[160];
		snprintf(text, sizeof text, "%s: %.1f ms", m->phase, (double)(now - m->phase_start) / 1e6);
		line(m, "pyheap: ", text);
	} else if (m->phase && m->in_place) {
		fputs(ERASE_LINE, stderr);
	}
	m->phase = phase;
	m->phase_start = now;
	if (phase && m->in_place) {
		fprintf(stderr, "%s ...", phase);
		fflush(stderr);
	} else if (phase && m->progress && !m->timings) {
		fprintf(stderr, "pyheap: %s ...\n", phase);
	}
}

void ph_messages_say(struct ph_messages *m, const char *fmt, ...)
{
	char *text;
	va_list ap;
	if (m->quiet)
		return;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	line(m, "pyheap: ", text);
	free(text);
}

void ph_messages_error(struct ph_messages *m, const struct ph_err *err)
{
	line(m, "pyheap: ", ph_err_message(err));
	m->phase = NULL;
	if (*ph_err_hint_text(err))
		line(m, "  ", ph_err_hint_text(err));
}
