/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether keys that are values are shown, and what hides them. */
#include <sys/random.h>
#include "cmd.h"

/* The secret that keys are hashed under: the target's own secret for hashing
 * strings where it has one, so that reports of one process agree, else random. */
static void fill_secret(const struct ph_session *s, uint8_t secret[16])
{
	static const uint8_t none[16];
	ph_addr addr;
	const void *bytes = NULL;
	if (s->rt && ph_runtime_symbol(s->rt, "_Py_HashSecret", &addr, NULL))
		bytes = ph_mem_at(s->target->mem, addr, 16);
	if (bytes && memcmp(bytes, none, 16)) {
		memcpy(secret, bytes, 16);
		for (size_t i = 0; i < 16; i++)
			secret[i] ^= 0xa5; /* never the target's own hash values */
	} else if (getrandom(secret, 16, 0) != 16) {
		memset(secret, 0, 16);
	}
}

void ph_cmd_keys(const struct ph_session *s, const struct ph_run *run, struct ph_report_keys *ret)
{
	ret->shown = ph_answer_shows_keys(run);
	fill_secret(s, ret->secret);
}
