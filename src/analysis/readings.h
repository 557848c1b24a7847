/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What paths read, as numbers: readings.c. */
#ifndef PYHEAP_READINGS_H
#define PYHEAP_READINGS_H

#include "paths_priv.h"

#define PH_NO_READING UINT32_MAX

/* The reading of a path but for its last step, the words of that, and the type of what it
 * leads to (canonical). */
struct ph_reading {
	uint32_t parent;  /* of what is in a namespace its owner's; PH_NO_READING: text is a root's */
	uint32_t text;    /* offset in texts */
	uint32_t type;
	uint32_t first;   /* the first state that has it: the nearest to a root */
	bool namespace;   /* it leads to a namespace, and is no step of its own */
	bool of_class;    /* in a class's namespace: an attribute of the class */
	bool place;       /* one of many in a container */
};
struct ph_readings {
	const struct ph_reach *r;
	uint32_t *of;     /* [nstates] index in items; PH_NO_READING: not wanted, not reached */
	uint32_t *canonical; /* [ntypes] */
	struct PH_VEC(struct ph_reading) items; /* each behind its parent */
	struct PH_VEC(char) texts;
	struct ph_map by_text, by_label, by_step; /* indices + 1 */
	uint32_t from;    /* where the last edge came from, … */
	uint64_t cursor;  /* … and its number there */
	bool table, table_known; /* what that is */
};
/* The readings of the best paths to all nodes that are wanted ([n], not 0). To be freed
 * with _deinit(), also after an error. */
struct ph_err *ph_readings_compute(const struct ph_reach *r, const uint8_t *wanted, struct ph_readings *ret);
void ph_readings_deinit(struct ph_readings *rs);

#endif
