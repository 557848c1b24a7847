/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap cycles: reference cycles by shape. */
#include <sys/random.h>
#include "cmd.h"

/* The secret that keys are hashed under: the target's own secret for hashing
 * strings where it has one, so that reports of one process agree, else random. */
static void fill_secret(const struct ph_session *s, uint8_t secret[16])
{
	static const uint8_t none[16];
	ph_addr addr;
	const void *bytes = NULL;
	if (ph_target_symbol(s->target, "_Py_HashSecret", NULL, &addr, NULL))
		bytes = ph_mem_at(s->target->mem, addr, 16);
	if (bytes && memcmp(bytes, none, 16)) {
		memcpy(secret, bytes, 16);
		for (size_t i = 0; i < 16; i++)
			secret[i] ^= 0xa5; /* never the target's own hash values */
	} else if (getrandom(secret, 16, 0) != 16) {
		memset(secret, 0, 16);
	}
}

static struct ph_err *cycles_document(struct ph_session *s, const struct ph_run *run, json_t **ret)
{
	struct ph_cycles_options options = { .all = run->opt->all };
	struct ph_report_keys keys = { .shown = ph_answer_shows_keys(run) };
	struct ph_cycles *c;
	ph_messages_phase(run->messages, "looking for cycles");
	struct ph_err *err = ph_cycles_find(s->graph, &options, &c);
	if (err)
		return err;
	fill_secret(s, keys.secret);
	*ret = ph_report_cycles(&s->meta, s->graph, c, &keys);
	ph_cycles_free(c);
	return *ret ? NULL : ph_err_nomem();
}

static struct ph_err *cycles_run(struct ph_run *run)
{
	return ph_cmd_answer(run, cycles_document);
}

const struct ph_cmd ph_cmd_cycles = {
	.name = "cycles",
	.arguments = "TARGET",
	.summary = "reference cycles, garbage and live, and which reference to make weak",
	.details =
		"Cycles that look alike are one entry: what holds what by which attribute, how many\n"
		"there are, what they retain, and an example with addresses.\n"
		"Sort keys: retained, shallow, count, objects (default: garbage first, then retained).\n",
	.takes = PH_TAKES_ALWAYS | PH_TAKES_OUTPUT | PH_TAKES_TARGET | PH_TAKES(LIMIT) | PH_TAKES(SORT) |
		 PH_TAKES(MIN_SIZE) | PH_TAKES(ALL) | PH_TAKES(VALUES),
	.min_args = 1,
	.max_args = 1,
	.text_limit = 5,
	.run = cycles_run,
};
