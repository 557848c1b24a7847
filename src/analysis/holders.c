/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of references: "an app.Node holds it as .children[]". Each is the name of
 * a container and a suffix more, so that equal names are found by two numbers. */
#include <stdio.h>
#include "cycles_priv.h"

/* Containers within containers are told apart up to here. */
#define DEPTH_MAX 40

/* ---- text -------------------------------------------------------------------------- */

bool ph_label_append(char *text, const char *more, size_t length)
{
	size_t at = strlen(text), room = PH_HOLDER_TEXT - 1 - at;
	bool fits = length <= room;
	if (!fits) {
		length = room;
		while (length && ((unsigned char)more[length] & 0xc0) == 0x80)
			length--; /* not within a character of UTF-8 */
	}
	memcpy(text + at, more, length);
	text[at + length] = '\0';
	return fits;
}

/* 'name' → .name; false when the key is no string. */
static bool key_as_attribute(const char *key, char *buf, size_t max)
{
	size_t n = strlen(key);
	if (n < 2 || key[0] != '\'' || key[n - 1] != '\'')
		return false;
	snprintf(buf, max, ".%.*s", (int)(n - 2), key + 1);
	return true;
}

/* The label's text without container places and keys. */
static void folded_text(const struct ph_label *l, char *buf, size_t max)
{
	switch (l->kind) {
	case PH_LABEL_ATTR:
		snprintf(buf, max, l->name[0] == '<' ? "%s" : ".%s", l->name);
		break;
	case PH_LABEL_DICT:
		snprintf(buf, max, ".__dict__");
		break;
	case PH_LABEL_INDEX:
	case PH_LABEL_ELEMENT:
	case PH_LABEL_VALUE:
		snprintf(buf, max, "[]");
		break;
	case PH_LABEL_KEY:
		snprintf(buf, max, ".keys()[]");
		break;
	case PH_LABEL_LOCAL:
		snprintf(buf, max, "<local %s>", l->name);
		break;
	case PH_LABEL_CELL:
		snprintf(buf, max, "<cell %s>", l->name);
		break;
	case PH_LABEL_STACK:
		snprintf(buf, max, "<stack>");
		break;
	case PH_LABEL_TYPE:
		snprintf(buf, max, ".__class__");
		break;
	case PH_LABEL_WORD:
		snprintf(buf, max, "<word>");
		break;
	default:
		snprintf(buf, max, "<slot>");
	}
}

bool ph_label_append_exact(char *text, const struct ph_label *l, bool namespace)
{
	char buf[PH_HOLDER_TEXT];
	if (l->kind == PH_LABEL_INDEX && l->index >= 0)
		snprintf(buf, sizeof buf, "[%lld]", (long long)l->index);
	else if (l->kind == PH_LABEL_WORD && l->index >= 0)
		snprintf(buf, sizeof buf, "<word %lld>", (long long)l->index);
	else if (l->kind == PH_LABEL_VALUE && namespace && key_as_attribute(l->name, buf, sizeof buf))
		;
	else if (l->kind == PH_LABEL_VALUE && l->name[0])
		snprintf(buf, sizeof buf, "[%s]", l->name);
	else
		folded_text(l, buf, sizeof buf);
	return ph_label_append(text, buf, strlen(buf));
}

bool ph_label_names_namespace(const struct ph_label *label)
{
	return label->kind == PH_LABEL_DICT || (label->kind == PH_LABEL_ATTR && !strcmp(label->name, "__dict__"));
}

bool ph_label_is_namespace(const struct ph_graph *g, uint32_t to, const struct ph_label *label)
{
	return g->types[g->type[to]].cls == PH_TYPE_DICT && ph_label_names_namespace(label);
}

/* ---- hash tables of indices ----------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

static uint64_t hash_text(const char *text, size_t n, bool key)
{
	uint64_t hash = 0xcbf29ce484222325u + key;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
	return mix(hash);
}

static uint64_t hash_step(uint32_t parent, uint32_t suffix)
{
	return mix((uint64_t)parent << 32 | suffix);
}

static uint64_t rehash(const struct ph_holders *h, const struct ph_table *t, uint32_t i)
{
	if (t == &h->by_step)
		return hash_step(h->items.items[i].parent, h->items.items[i].suffix);
	const struct ph_suffix *s = &h->suffixes.items[i];
	return hash_text(h->texts.items + s->text, s->length, s->plain != i);
}

/* Makes room for one more; tables are at most half full. */
static bool table_reserve(const struct ph_holders *h, struct ph_table *t)
{
	if (t->used * 2ull < t->size)
		return true;
	if (t->size >= 1u << 30)
		return false;
	struct ph_table bigger = { .size = t->size ? t->size * 2 : 64, .used = t->used };
	bigger.slots = calloc(bigger.size, sizeof *bigger.slots);
	if (!bigger.slots)
		return false;
	for (uint32_t i = 0; i < t->size; i++) {
		if (!t->slots[i])
			continue;
		uint64_t at = rehash(h, t, t->slots[i] - 1);
		while (bigger.slots[at & (bigger.size - 1)])
			at++;
		bigger.slots[at & (bigger.size - 1)] = t->slots[i];
	}
	free(t->slots);
	*t = bigger;
	return true;
}

/* ---- suffixes and holders ------------------------------------------------------------- */

static bool add_text(struct ph_holders *h, const char *text, size_t n, uint32_t *ret)
{
	if (h->texts.n > UINT32_MAX - n - 1 || !PH_VEC_RESERVE(&h->texts, n + 1))
		return false;
	*ret = (uint32_t)h->texts.n;
	memcpy(h->texts.items + h->texts.n, text, n);
	h->texts.items[h->texts.n + n] = '\0';
	h->texts.n += n + 1;
	return true;
}

static uint32_t suffix_of_text(struct ph_holders *h, const char *text, bool key)
{
	size_t n = strlen(text);
	if (!table_reserve(h, &h->by_text))
		return PH_NO_SUFFIX;
	struct ph_table *t = &h->by_text;
	uint64_t at = hash_text(text, n, key);
	for (; t->slots[at & (t->size - 1)]; at++) {
		uint32_t i = t->slots[at & (t->size - 1)] - 1;
		const struct ph_suffix *s = &h->suffixes.items[i];
		if (s->length == n && (s->plain != i) == key && !memcmp(h->texts.items + s->text, text, n))
			return i;
	}
	uint32_t i = (uint32_t)h->suffixes.n;
	struct ph_suffix s = { .length = (uint32_t)n, .plain = key ? i - 1 : i };
	if (!add_text(h, text, n, &s.text) || !PH_VEC_PUSH(&h->suffixes, s))
		return PH_NO_SUFFIX;
	t->used++;
	t->slots[at & (t->size - 1)] = i + 1;
	return i;
}

/* The suffix of a dict's value under a key that is a string. */
static uint32_t suffix_of_key(struct ph_holders *h, const char *text)
{
	uint32_t plain = suffix_of_text(h, text, false);
	uint32_t key = plain == PH_NO_SUFFIX ? plain : suffix_of_text(h, text, true);
	if (key != PH_NO_SUFFIX)
		h->suffixes.items[key].plain = plain;
	return key;
}

/* Only these labels read as what they name. */
static bool is_named(enum ph_label_kind kind)
{
	return kind == PH_LABEL_ATTR || kind == PH_LABEL_VALUE || kind == PH_LABEL_LOCAL || kind == PH_LABEL_CELL;
}

static bool name_suffix(struct ph_holders *h, ph_label_id id, struct ph_known_suffix *ret)
{
	char buf[PH_HOLDER_TEXT];
	struct ph_label label = { .kind = PH_LABEL_ID_KIND(id), .index = -1 };
	if (is_named(label.kind))
		ph_graph_label_text(h->g, id, &label);
	bool key = label.kind == PH_LABEL_VALUE && key_as_attribute(label.name, buf, sizeof buf);
	if (!key)
		folded_text(&label, buf, sizeof buf);
	ret->suffix = key ? suffix_of_key(h, buf) : suffix_of_text(h, buf, false);
	ret->namespace = ph_label_names_namespace(&label);
	ret->id = id;
	return ret->suffix != PH_NO_SUFFIX;
}

uint32_t ph_holder_suffix(struct ph_holders *h, uint32_t node, uint32_t to, ph_label_id id)
{
	enum ph_label_kind kind = PH_LABEL_ID_KIND(id);
	if (kind == PH_LABEL_INDEX || kind == PH_LABEL_ELEMENT || (kind == PH_LABEL_VALUE && !ph_holders_fold(h, node)))
		return PH_SUFFIX_ELEMENT;
	if (!is_named(kind))
		id = PH_LABEL_ID(kind, 0);
	struct ph_known_suffix *known = &h->known[mix(id) % PH_KNOWN_SUFFIXES];
	if ((known->suffix == PH_NO_SUFFIX || known->id != id) && !name_suffix(h, id, known))
		return PH_NO_SUFFIX;
	if (known->namespace && h->folds[h->g->type[to]] && h->g->types[h->g->type[to]].cls == PH_TYPE_DICT)
		return PH_SUFFIX_NAMESPACE;
	return known->suffix;
}

uint32_t ph_holder_instance(struct ph_holders *h, uint32_t node)
{
	uint32_t type = h->canonical[h->g->type[node]];
	if (h->instances[type] == PH_NO_HOLDER) {
		struct ph_holder holder = { .type = type, .parent = PH_NO_HOLDER, .suffix = PH_NO_SUFFIX };
		if (h->items.n >= UINT32_MAX - 1 || !PH_VEC_PUSH(&h->items, holder))
			return PH_NO_HOLDER;
		h->instances[type] = (uint32_t)h->items.n - 1;
	}
	return h->instances[type];
}

static uint32_t holder_new(struct ph_holders *h, uint32_t parent, uint32_t suffix)
{
	char text[PH_HOLDER_TEXT] = "";
	const struct ph_holder *p = &h->items.items[parent];
	const struct ph_suffix *s = &h->suffixes.items[suffix];
	struct ph_holder holder = { .type = p->type, .parent = parent, .suffix = suffix,
				    .depth = (uint16_t)(p->depth + 1),
				    .namespace = suffix == PH_SUFFIX_NAMESPACE };
	ph_label_append(text, h->texts.items + p->text, p->length);
	ph_label_append(text, h->texts.items + s->text, s->length);
	holder.length = (uint16_t)strlen(text);
	if (h->items.n >= UINT32_MAX - 1 || !add_text(h, text, holder.length, &holder.text) ||
	    !PH_VEC_PUSH(&h->items, holder))
		return PH_NO_HOLDER;
	return (uint32_t)h->items.n - 1;
}

/* A namespace's keys hang on what the namespace hangs on, as attributes that an
 * instance has without a dict do. */
uint32_t ph_holder_step(struct ph_holders *h, uint32_t holder, uint32_t suffix)
{
	uint32_t plain = h->suffixes.items[suffix].plain;
	if (h->items.items[holder].namespace) {
		holder = h->items.items[holder].parent;
		suffix = plain;
	} else if (plain != suffix) {
		suffix = PH_SUFFIX_ELEMENT;
	}
	if (h->items.items[holder].depth >= DEPTH_MAX)
		return holder;
	if (!table_reserve(h, &h->by_step))
		return PH_NO_HOLDER;
	struct ph_table *t = &h->by_step;
	uint64_t at = hash_step(holder, suffix);
	for (; t->slots[at & (t->size - 1)]; at++) {
		uint32_t i = t->slots[at & (t->size - 1)] - 1;
		if (h->items.items[i].parent == holder && h->items.items[i].suffix == suffix)
			return i;
	}
	uint32_t i = holder_new(h, holder, suffix);
	if (i == PH_NO_HOLDER)
		return i;
	t->used++;
	t->slots[at & (t->size - 1)] = i + 1;
	return i;
}

const char *ph_holder_text(const struct ph_holders *h, uint32_t holder)
{
	return h->texts.items + h->items.items[holder].text;
}

int ph_holder_compare(const struct ph_holders *h, uint32_t a, uint32_t b)
{
	const struct ph_holder *pa = &h->items.items[a], *pb = &h->items.items[b];
	if (a == b)
		return 0;
	int c = strcmp(h->g->types[pa->type].name, h->g->types[pb->type].name);
	if (!c)
		c = strcmp(ph_holder_text(h, a), ph_holder_text(h, b));
	return c ? c : (a > b) - (a < b); /* cut texts may be equal */
}

/* ---- the table ------------------------------------------------------------------------ */

/* A subclass of a builtin container is a thing of its own, and is shown. */
static bool type_folds(const struct ph_graph_type *t)
{
	if (t->cls == PH_TYPE_CONTAINER)
		return true;
	return t->cls == PH_TYPE_DICT &&
	       (!strchr(t->name, '.') || !strncmp(t->name, "collections.", strlen("collections.")));
}

bool ph_holders_init(struct ph_holders *h, const struct ph_graph *g)
{
	*h = (struct ph_holders){ .g = g };
	h->canonical = ph_types_canonical(g);
	h->folds = calloc(g->ntypes + 1ull, sizeof *h->folds);
	h->instances = malloc((g->ntypes + 1ull) * sizeof *h->instances);
	h->known = malloc(PH_KNOWN_SUFFIXES * sizeof *h->known);
	if (!h->canonical || !h->folds || !h->instances || !h->known || !PH_VEC_PUSH(&h->texts, '\0'))
		return false;
	memset(h->known, 0xff, PH_KNOWN_SUFFIXES * sizeof *h->known); /* PH_NO_SUFFIX */
	for (uint32_t t = 0; t < g->ntypes; t++) {
		h->folds[t] = type_folds(&g->types[t]);
		h->instances[t] = PH_NO_HOLDER;
	}
	return suffix_of_text(h, "", false) == PH_SUFFIX_NAMESPACE &&
	       suffix_of_text(h, "[]", false) == PH_SUFFIX_ELEMENT;
}

void ph_holders_deinit(struct ph_holders *h)
{
	free(h->canonical);
	free(h->folds);
	free(h->instances);
	free(h->known);
	ph_vec_free(&h->items);
	ph_vec_free(&h->suffixes);
	ph_vec_free(&h->texts);
	free(h->by_step.slots);
	free(h->by_text.slots);
}
