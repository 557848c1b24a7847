/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What check*.c share: a layout is held against the target. */
#ifndef CHECK_PRIV_H
#define CHECK_PRIV_H

#include "runtime_priv.h"

struct checking {
	const struct ph_runtime *rt;
	const struct ph_python *python;
	const struct ph_layout *layout; /* rt's */
	struct ph_fit *fit;
};

/* A contradiction; the first one is kept. */
enum ph_verdict rt_check_no(struct checking *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline enum ph_verdict rt_check_yes_if(uint64_t n)
{
	return n ? PH_VERDICT_YES : PH_VERDICT_UNKNOWN;
}
/* A type's name as C wrote it; false: it cannot be read. */
bool rt_check_type_name(const struct checking *c, ph_addr type, char *buf, size_t n);

/* check_objects.c: what frames, threads and interpreters refer to; what is in members of
 * some objects of each builtin type. */
enum ph_verdict rt_check_roots(struct checking *c);
enum ph_verdict rt_check_members(struct checking *c);

#endif
