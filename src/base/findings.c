/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings and what mends them. */
#include <stdio.h>
#include <pyheap/base.h>

void ph_find(struct ph_findings *f, enum ph_health health, const char *area, const char *fmt, ...)
{
	struct ph_finding finding = { .health = health, .area = area };
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&finding.text, fmt, ap) < 0)
		finding.text = NULL;
	va_end(ap);
	if (finding.text && PH_VEC_PUSH(&f->v, finding))
		return;
	free(finding.text);
	f->nomem = true;
}

static void advise(struct ph_findings *f, bool command, bool as_root, const char *fmt, va_list ap)
{
	struct ph_advice advice = { .command = command, .as_root = as_root };
	if (vasprintf(&advice.text, fmt, ap) < 0)
		advice.text = NULL;
	if (advice.text && f->v.n && PH_VEC_PUSH(&f->v.items[f->v.n - 1].advice, advice))
		return;
	free(advice.text);
	f->nomem = true;
}

void ph_advise(struct ph_findings *f, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	advise(f, false, false, fmt, ap);
	va_end(ap);
}

void ph_advise_command(struct ph_findings *f, bool as_root, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	advise(f, true, as_root, fmt, ap);
	va_end(ap);
}

void ph_findings_deinit(struct ph_findings *f)
{
	for (size_t i = 0; i < f->v.n; i++) {
		struct ph_finding *finding = &f->v.items[i];
		for (size_t k = 0; k < finding->advice.n; k++)
			free(finding->advice.items[k].text);
		ph_vec_free(&finding->advice);
		free(finding->text);
	}
	ph_vec_free(&f->v);
}
