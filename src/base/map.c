/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two numbers to one: an open hash table, at most half full. */
#include <pyheap/base.h>

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

static struct ph_map_entry *entry_at(const struct ph_map *m, uint64_t a, uint64_t b)
{
	uint64_t at = mix(mix(a) ^ b);
	for (;; at++) {
		struct ph_map_entry *e = &m->entries[at & (m->size - 1)];
		if (!e->value || (e->a == a && e->b == b))
			return e;
	}
}

static bool grow(struct ph_map *m)
{
	struct ph_map bigger = { .size = m->size ? m->size * 2 : 256, .used = m->used };
	bigger.entries = calloc(bigger.size, sizeof *bigger.entries);
	if (!bigger.entries)
		return false;
	for (uint64_t i = 0; i < m->size; i++)
		if (m->entries[i].value)
			*entry_at(&bigger, m->entries[i].a, m->entries[i].b) = m->entries[i];
	free(m->entries);
	*m = bigger;
	return true;
}

uint32_t *ph_map_at(struct ph_map *m, uint64_t a, uint64_t b)
{
	if (m->used * 2 >= m->size && !grow(m))
		return NULL;
	struct ph_map_entry *e = entry_at(m, a, b);
	m->used += !e->value;
	e->a = a;
	e->b = b;
	return &e->value;
}

void ph_map_free(struct ph_map *m)
{
	free(m->entries);
	*m = (struct ph_map){ 0 };
}

uint64_t ph_hash_bytes(const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	uint64_t hash = 0xcbf29ce484222325u;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 0x100000001b3u;
	return mix(hash);
}
