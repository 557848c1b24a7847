/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>
#include <pyheap/base.h>

static const struct {
	const char *name, *text;
	bool incomplete;
} kinds[] = {
#define PH_NOTE(id, name, incomplete, text) { name, text, incomplete },
#include <pyheap/notes.def>
#undef PH_NOTE
};

const char *ph_note_name(enum ph_note_kind kind)
{
	return kinds[kind].name;
}

const char *ph_note_text(enum ph_note_kind kind)
{
	return kinds[kind].text;
}

bool ph_note_incomplete(enum ph_note_kind kind)
{
	return kinds[kind].incomplete;
}

void ph_note(struct ph_notes *notes, enum ph_note_kind kind, ph_addr example)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_mutex_lock(&lock);
	ph_addr *lowest = &notes->kind[kind].example;
	if (!notes->kind[kind].count++ || !*lowest || (example && example < *lowest))
		*lowest = example;
	pthread_mutex_unlock(&lock);
}
