/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DWARF → where members are. One pass over the top-level entries of all units;
 * names that nobody asked for cost one hash lookup. */
#include "dwarf_priv.h"

#define MAX_SEEN 16
#define MEMBER_BUDGET 10000000 /* members looked at in all; real files need 1/100 of it */

/* Rows with the same `structs` and module. */
struct group {
	uint32_t first_row;
	uint32_t nfields;
	int score;         /* members that the best definition so far has; −1 = none */
	uint32_t alt;      /* the alternative it was found under */
};
/* A definition that was looked at already: a header's struct comes back in every
 * unit that includes it. */
struct seen {
	uint64_t bytes;
	int line;
};
/* One alternative of a group's `structs`, or of an enumerator row. */
struct name {
	const char *s;
	uint32_t len, hash;
	uint32_t next;     /* in the bucket, index + 1 */
	uint32_t owner;    /* group, or row of an enumerator */
	uint32_t alt;      /* 0 = the first of the alternatives */
	uint32_t nseen;
	struct seen seen[MAX_SEEN];
};
struct names {
	struct PH_VEC(struct name) v;
	uint32_t buckets[1024];
};

struct resolver {
	const struct ph_row *rows;
	size_t n;
	struct ph_answer *answers; /* [n] the best so far */
	struct ph_answer *scratch; /* [n] of the definition being looked at */
	uint32_t *next_row;        /* [n] next row of the same group, index + 1 */
	struct PH_VEC(struct group) groups;
	struct names structs, enumerators;
	size_t open;               /* groups and enumerators not fully answered */
	uint64_t budget;           /* of ph_die_member() */
	bool damaged;
};

static uint32_t hash_of(const char *s, size_t n)
{
	return (uint32_t)ph_fnv1a(PH_FNV_INIT, s, n);
}

/* ---- what is wanted ---------------------------------------------------------------- */

static bool names_add(struct names *names, const char *alternatives, uint32_t owner)
{
	uint32_t alt = 0;
	for (const char *s = alternatives; s; alt++) {
		const char *bar = strchr(s, '|');
		size_t len = bar ? (size_t)(bar - s) : strlen(s);
		struct name name = { .s = s, .len = (uint32_t)len, .hash = hash_of(s, len),
				     .owner = owner, .alt = alt };
		uint32_t *bucket = &names->buckets[name.hash % 1024];
		name.next = *bucket;
		if (!PH_VEC_PUSH(&names->v, name))
			return false;
		*bucket = (uint32_t)names->v.n;
		s = bar ? bar + 1 : NULL;
	}
	return true;
}

static struct name *names_next(struct names *names, uint32_t at, const char *s, uint32_t hash)
{
	for (; at; at = names->v.items[at - 1].next) {
		struct name *name = &names->v.items[at - 1];
		if (name->hash == hash && !strncmp(name->s, s, name->len) && !s[name->len])
			return name;
	}
	return NULL;
}

static bool same_group(const struct ph_row *a, const struct ph_row *b)
{
	if (b->kind == PH_ROW_ENUM || strcmp(a->structs, b->structs))
		return false;
	return a->module && b->module ? !strcmp(a->module, b->module) : a->module == b->module;
}

/* The group that row i belongs to; a new one, with its names, when it is the first. */
static bool join_group(struct resolver *r, uint32_t i)
{
	for (size_t g = r->groups.n; g--;) {
		struct group *group = &r->groups.items[g];
		if (!same_group(&r->rows[group->first_row], &r->rows[i]))
			continue;
		r->next_row[i] = r->next_row[group->first_row];
		r->next_row[group->first_row] = i + 1;
		group->nfields += r->rows[i].kind == PH_ROW_FIELD;
		return true;
	}
	struct group group = { .first_row = i, .score = -1,
			       .nfields = r->rows[i].kind == PH_ROW_FIELD };
	r->open++;
	return PH_VEC_PUSH(&r->groups, group) &&
	       names_add(&r->structs, r->rows[i].structs, (uint32_t)r->groups.n - 1);
}

static bool prepare(struct resolver *r)
{
	r->scratch = calloc(r->n + 1, sizeof *r->scratch);
	r->next_row = calloc(r->n + 1, sizeof *r->next_row);
	if (!r->scratch || !r->next_row)
		return false;
	for (uint32_t i = 0; i < r->n; i++) {
		if (r->rows[i].kind != PH_ROW_ENUM) {
			if (!join_group(r, i))
				return false;
			continue;
		}
		r->open++;
		if (!names_add(&r->enumerators, r->rows[i].names, i))
			return false;
	}
	return true;
}

/* ---- definitions ------------------------------------------------------------------------ */

static bool group_done(const struct group *g)
{
	return g->score >= 0 && (uint32_t)g->score == g->nfields;
}

/* Answers the rows of a group from one definition, keeps that if it is the best. */
static void try_definition(struct resolver *r, struct group *g, uint32_t alt, Dwarf_Die type)
{
	int score = 0;
	uint64_t bytes = 0;
	bool sized = ph_die_size(type, &bytes);
	for (uint32_t i = g->first_row + 1; i; i = r->next_row[i - 1]) {
		const struct ph_row *row = &r->rows[i - 1];
		struct ph_answer a = { 0 };
		if (row->kind == PH_ROW_FIELD) {
			if (ph_die_member(&r->budget, type, row->names, &a.m))
				score++;
		} else {
			a.m.present = sized;
			a.value = (int64_t)bytes;
		}
		r->scratch[i - 1] = a;
	}
	/* another struct that merely has the name, or a type without a size */
	if (g->nfields ? !score : !sized)
		return;
	if (score < g->score || (score == g->score && alt >= g->alt))
		return;
	for (uint32_t i = g->first_row + 1; i; i = r->next_row[i - 1])
		r->answers[i - 1] = r->scratch[i - 1];
	g->score = score;
	g->alt = alt;
	r->open -= group_done(g);
}

static bool seen_before(struct name *name, Dwarf_Die *type)
{
	struct seen s = { 0 };
	ph_die_u(type, DW_AT_byte_size, &s.bytes);
	if (dwarf_decl_line(type, &s.line))
		s.line = -1;
	for (uint32_t i = 0; i < name->nseen; i++)
		if (name->seen[i].bytes == s.bytes && name->seen[i].line == s.line)
			return true;
	if (s.line >= 0 && name->nseen < MAX_SEEN)
		name->seen[name->nseen++] = s;
	return false;
}

static void look_at_type(struct resolver *r, Dwarf_Die *die)
{
	const char *s = dwarf_diename(die);
	if (!s)
		return;
	uint32_t hash = hash_of(s, strlen(s));
	struct name *name = names_next(&r->structs, r->structs.buckets[hash % 1024], s, hash);
	for (; name; name = names_next(&r->structs, name->next, s, hash)) {
		struct group *g = &r->groups.items[name->owner];
		Dwarf_Die type = *die;
		if (group_done(g) || !ph_die_peel(&type) || seen_before(name, &type))
			continue;
		try_definition(r, g, name->alt, type);
	}
}

static bool enum_value(Dwarf_Die *die, int64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Word u;
	Dwarf_Sword s;
	if (!dwarf_attr(die, DW_AT_const_value, &attr))
		return false;
	/* gcc writes values below zero as sdata and all others unsigned */
	unsigned form = dwarf_whatform(&attr);
	if (form == DW_FORM_sdata || form == DW_FORM_implicit_const) {
		if (dwarf_formsdata(&attr, &s))
			return false;
		*ret = s;
		return true;
	}
	if (dwarf_formudata(&attr, &u))
		return false;
	*ret = (int64_t)u;
	return true;
}

static void look_at_enum(struct resolver *r, Dwarf_Die *die)
{
	Dwarf_Die e;
	if (!r->enumerators.v.n || dwarf_child(die, &e))
		return;
	do {
		const char *s = dwarf_tag(&e) == DW_TAG_enumerator ? dwarf_diename(&e) : NULL;
		if (!s)
			continue;
		uint32_t hash = hash_of(s, strlen(s));
		struct name *name = names_next(&r->enumerators, r->enumerators.buckets[hash % 1024], s, hash);
		for (; name; name = names_next(&r->enumerators, name->next, s, hash)) {
			struct ph_answer *a = &r->answers[name->owner];
			int64_t value;
			/* bit of an enumerator's answer: the alternative it came from */
			if ((a->m.present && a->m.bit <= name->alt) || !enum_value(&e, &value))
				continue;
			r->open -= !a->m.present;
			a->value = value;
			a->m.present = true;
			a->m.bit = (uint16_t)name->alt;
		}
	} while (dwarf_siblingof(&e, &e) == 0);
}

/* ---- the pass ---------------------------------------------------------------------------- */

static void look_at_unit(struct resolver *r, Dwarf_Die *unit)
{
	Dwarf_Die die;
	Dwarf_Off last = 0;
	int more = dwarf_child(unit, &die);
	while (more == 0 && dwarf_dieoffset(&die) > last) {
		last = dwarf_dieoffset(&die);
		int tag = dwarf_tag(&die);
		if (ph_die_is_record(tag) || tag == DW_TAG_typedef)
			look_at_type(r, &die);
		else if (tag == DW_TAG_enumeration_type)
			look_at_enum(r, &die);
		more = dwarf_siblingof(&die, &die);
	}
	if (more != 1)
		r->damaged = true;
}

static struct ph_err *look_at_units(struct resolver *r, Dwarf *dwarf)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die unit;
	int more;
	while (r->open && (more = dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &unit, NULL)) != 1) {
		if (ph_interrupted)
			return ph_err_interrupted();
		if (more) {
			r->damaged = true;
			break;
		}
		look_at_unit(r, &unit);
	}
	return NULL;
}

static Dwarf *begin(const struct ph_image *image, Elf **ret_elf)
{
	elf_version(EV_CURRENT);
	*ret_elf = image->bytes ? elf_memory((char *)image->bytes, image->size) : NULL;
	return *ret_elf ? dwarf_begin_elf(*ret_elf, DWARF_C_READ, NULL) : NULL;
}

static struct ph_err *run(struct resolver *r, const struct ph_debug *debug)
{
	Elf *elf, *alt_elf;
	Dwarf *alt = begin(&debug->alt, &alt_elf);
	Dwarf *dwarf = begin(&debug->main, &elf);
	struct ph_err *err = NULL;
	if (dwarf && alt)
		dwarf_setalt(dwarf, alt);
	r->damaged = !dwarf || (debug->alt.bytes && !alt);
	if (dwarf)
		err = look_at_units(r, dwarf);
	if (dwarf && alt && !err)
		err = look_at_units(r, alt);
	r->damaged = r->damaged || !r->budget;
	dwarf_end(dwarf);
	dwarf_end(alt);
	elf_end(elf);
	elf_end(alt_elf);
	return err;
}

struct ph_err *ph_dwarf_resolve(const struct ph_debug *debug, const struct ph_row *rows, size_t n,
				struct ph_answer *answers, char **ret_damage)
{
	struct resolver r = { .rows = rows, .n = n, .answers = answers, .budget = MEMBER_BUDGET };
	memset(answers, 0, n * sizeof *answers);
	*ret_damage = NULL;
	struct ph_err *err = prepare(&r) ? run(&r, debug) : ph_err_nomem();
	if (!err && r.damaged) {
		const char *why = dwarf_errmsg(0);
		*ret_damage = ph_asprintf("%s", why && *why ? why : "too much of it");
		if (!*ret_damage)
			err = ph_err_nomem();
	}
	for (size_t i = 0; i < n; i++)
		if (rows[i].kind == PH_ROW_ENUM)
			answers[i].m.bit = 0;
	free(r.scratch);
	free(r.next_row);
	ph_vec_free(&r.groups);
	ph_vec_free(&r.structs.v);
	ph_vec_free(&r.enumerators.v);
	return err;
}
