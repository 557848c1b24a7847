/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes packed as the command-line tools pack them, with checksums. */
#ifndef PYHEAP_TEST_PACK_H
#define PYHEAP_TEST_PACK_H

#include <stddef.h>
#include <stdint.h>

#define PACK_FORMATS 4
extern const char *const pack_names[PACK_FORMATS]; /* as ph_packed() says */
/* Owned by the caller. */
uint8_t *pack_bytes(unsigned format, const void *bytes, size_t n, size_t *ret_n);

#endif
