/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <pyheap/base.h>

struct ph_err {
	enum ph_code code;
	char *message, *hint;
};

static struct ph_err nomem = { .code = PH_ERR_USAGE, .message = (char *)"out of memory" };

volatile int ph_interrupted;

static struct ph_err *err_make(enum ph_code code, char *message)
{
	struct ph_err *err = message ? calloc(1, sizeof *err) : NULL;
	if (!err) {
		free(message);
		return &nomem;
	}
	err->code = code;
	err->message = message;
	return err;
}

struct ph_err *ph_err_new(enum ph_code code, const char *fmt, ...)
{
	char *message;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&message, fmt, ap);
	va_end(ap);
	return err_make(code, n < 0 ? NULL : message);
}

struct ph_err *ph_err_errno(enum ph_code code, int errnum, const char *fmt, ...)
{
	char *what, *message;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&what, fmt, ap);
	va_end(ap);
	if (n < 0)
		return &nomem;
	message = ph_asprintf("%s: %s", what, strerror(errnum));
	free(what);
	return err_make(code, message);
}

struct ph_err *ph_err_nomem(void)
{
	return &nomem;
}

struct ph_err *ph_err_interrupted(void)
{
	return ph_err_new((enum ph_code)(128 + ph_interrupted), "interrupted");
}

struct ph_err *ph_err_stopped(void)
{
	return ph_interrupted ? ph_err_interrupted() : ph_err_nomem();
}

struct ph_err *ph_err_hint(struct ph_err *err, const char *fmt, ...)
{
	va_list ap;
	if (err == &nomem || err->hint)
		return err;
	va_start(ap, fmt);
	if (vasprintf(&err->hint, fmt, ap) < 0)
		err->hint = NULL;
	va_end(ap);
	return err;
}

enum ph_code ph_err_code(const struct ph_err *err)
{
	return err->code;
}

const char *ph_err_message(const struct ph_err *err)
{
	return err->message;
}

const char *ph_err_hint_text(const struct ph_err *err)
{
	return err->hint ? err->hint : "";
}

void ph_err_free(struct ph_err *err)
{
	if (!err || err == &nomem)
		return;
	free(err->message);
	free(err->hint);
	free(err);
}
