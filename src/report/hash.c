/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SipHash-2-4: a short hash under a secret key, so that keys in a report can be
 * told apart but not guessed (Aumasson and Bernstein, 2012). */
#include "report_priv.h"

static inline uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void rounds(uint64_t v[4], unsigned n)
{
	while (n--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] = rotl(v[0], 32) + v[3];
		v[2] += v[1];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[2] = rotl(v[2], 32);
	}
}

uint64_t ph_hash_keyed(const uint8_t secret[16], const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t k0 = ph_load_u64(secret), k1 = ph_load_u64(secret + 8), last = (uint64_t)n << 56;
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
			  k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u };
	for (size_t i = 0; i < n / 8; i++, p += 8) {
		uint64_t word = ph_load_u64(p);
		v[3] ^= word;
		rounds(v, 2);
		v[0] ^= word;
	}
	for (size_t i = 0; i < n % 8; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v[3] ^= last;
	rounds(v, 2);
	v[0] ^= last;
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
