/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Machines that replay knows: a file each, with all that depends on it. */
#ifndef REPLAY_ARCH_H
#define REPLAY_ARCH_H

#if defined __x86_64__
#define REPLAY_POSSIBLE 1
#include "arch_x86_64.h"
#endif

#endif
