/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A child that only sleeps: a target with the memory of its parent at the time. */
#ifndef SLEEPER_H
#define SLEEPER_H

#include "target/process_priv.h"

/* Forks it and opens its memory. */
struct ph_reader sleeper_start(void);
/* It dies; the reader stays as it is. */
void sleeper_kill(void);
/* Closes the reader of a child that may have died. */
void sleeper_end(struct ph_reader *r);

#endif
