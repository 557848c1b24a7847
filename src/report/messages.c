/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages and phases, on stderr; what fails there has nowhere to be told. */
#include <stdio.h>
#include "report_priv.h"

static void line(struct ph_messages *m, const char *prefix, const char *text)
{
	char *safe ph_cleanup_free = ph_text_printable(text);
	if (m->in_place && m->phase)
		fputs(PH_ERASE_LINE, stderr);
	fprintf(stderr, "%s%s\n", prefix, safe ? safe : "out of memory");
}

static void end_phase(struct ph_messages *m, uint64_t now)
{
	if (m->phase && m->timings) {
		char text[256];
		snprintf(text, sizeof text, "%s: %.1f ms%s%s%s", m->phase, (double)(now - m->phase_start) / 1e6,
			 *m->detail ? " (" : "", m->detail, *m->detail ? ")" : "");
		line(m, "pyheap: ", text);
	} else if (m->phase && m->in_place) {
		fputs(PH_ERASE_LINE, stderr);
	}
	*m->detail = '\0';
}

void ph_messages_phase(struct ph_messages *m, const char *phase)
{
	uint64_t now = ph_now_ns();
	ph_ticker_lock(m->ticker);
	end_phase(m, now);
	m->phase = phase;
	m->phase_start = now;
	if (phase && m->in_place) {
		fprintf(stderr, "%s ...", phase);
		fflush(stderr);
	} else if (phase && m->progress && !m->timings) {
		fprintf(stderr, "pyheap: %s ...\n", phase);
	}
	ph_ticker_unlock(m->ticker);
	if (!phase) {
		ph_ticker_stop(m->ticker);
		m->ticker = NULL;
	} else if (m->progress && !m->ticker) {
		m->ticker = ph_ticker_start(m);
	}
}

void ph_messages_detail(struct ph_messages *m, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(m->detail, sizeof m->detail, fmt, ap);
	va_end(ap);
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
	ph_ticker_lock(m->ticker);
	line(m, "pyheap: ", text);
	ph_ticker_unlock(m->ticker);
	free(text);
}

void ph_messages_error(struct ph_messages *m, const struct ph_err *err)
{
	ph_ticker_stop(m->ticker);
	m->ticker = NULL;
	line(m, "pyheap: ", ph_err_message(err));
	m->phase = NULL;
	if (*ph_err_hint_text(err))
		line(m, "  ", ph_err_hint_text(err));
}
