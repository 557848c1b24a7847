/* SPDX-License-Identifier: GPL-2.0-or-later */
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
