/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What our memory cgroup and those above it leave. What we allocate is charged to
 * our own cgroup, wherever the target is. Facts: cgroups(7), proc(5) (mountinfo),
 * Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst. */
#include <inttypes.h>
#include <stdio.h>
#include "process_priv.h"

#define SMALL_FILE (1u << 20)
#define MAX_DEPTH 256

/* The files of the two versions. Cache that was not used lately can go when memory
 * gets tight, so it does not count as used. */
static const struct version {
	const char *fstype, *usage, *cache, *kills_all;
	const char *limits[2];
} versions[] = {
	{ "cgroup", "memory.usage_in_bytes", "total_inactive_file", NULL,
	  { "memory.limit_in_bytes", NULL } },
	{ "cgroup2", "memory.current", "inactive_file", "memory.oom.group",
	  { "memory.max", "memory.high" } },
};

static char *file(const char *root, const char *dir, const char *name)
{
	char *path ph_cleanup_free = ph_asprintf("%s%s/%s", root, dir, name);
	return path ? ph_read_file(path, SMALL_FILE, NULL) : NULL;
}

/* False when there is no such file, or no such limit ("max"). */
static bool number_in(const char *root, const char *dir, const char *name, uint64_t *ret)
{
	char *text ph_cleanup_free = name ? file(root, dir, name) : NULL;
	return text && sscanf(text, "%" SCNu64, ret) == 1;
}

static void look_at(const char *root, const char *dir, const struct version *v, struct ph_headroom *room)
{
	uint64_t usage, limit, cache = 0;
	if (!number_in(root, dir, v->usage, &usage))
		return;
	char *stat ph_cleanup_free = file(root, dir, "memory.stat");
	if (stat && !ph_line_number(stat, v->cache, 10, &cache))
		cache = 0;
	usage -= cache < usage ? cache : usage;
	for (size_t i = 0; i < 2; i++) {
		if (!number_in(root, dir, v->limits[i], &limit))
			continue;
		char *what ph_cleanup_free = ph_asprintf("the cgroup limit %s/%s", dir, v->limits[i]);
		ph_headroom_lower(room, limit > usage ? limit - usage : 0, what ? what : "a cgroup limit");
	}
	if (number_in(root, dir, v->kills_all, &limit) && limit)
		room->kills_all = true;
	/* v1: the least limit of all above, also of those that a container does not show */
	if (stat && ph_line_number(stat, "hierarchical_memory_limit", 10, &limit)) {
		char *what ph_cleanup_free = ph_asprintf("the limit of a cgroup above %s", dir);
		ph_headroom_lower(room, limit > usage ? limit - usage : 0, what ? what : "a cgroup limit");
	}
}

/* The group's directory and all above it, up to where the hierarchy is mounted. */
static void look_up(const char *root, const char *mount, const char *group, const struct version *v,
		    struct ph_headroom *room)
{
	size_t top = strlen(mount);
	char *dir ph_cleanup_free = ph_asprintf("%s%s", mount, strcmp(group, "/") ? group : "");
	for (int depth = 0; dir && depth < MAX_DEPTH; depth++) {
		look_at(root, dir, v, room);
		char *slash = strrchr(dir + top, '/');
		if (!slash)
			return;
		*slash = '\0';
	}
}

/* Whether a comma-separated list has a word. */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ',') && (p[n] == ',' || !p[n]))
			return true;
	return false;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *out = s;
	for (const char *in = s; *in; out++) {
		bool octal = in[0] == '\\' && strspn(in + 1, "01234567") >= 3;
		*out = octal ? (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + in[3] - '0') : *in;
		in += octal ? 4 : 1;
	}
	*out = '\0';
}

/* Takes the line at *text off: NUL-terminates it and moves on; NULL at the end. */
static char *next_line(char **text)
{
	char *line = *text, *end = line ? strchr(line, '\n') : NULL;
	if (!line || !*line)
		return NULL;
	*text = end ? end + 1 : NULL;
	if (end)
		*end = '\0';
	return line;
}

/* "ID parent dev ROOT POINT options… - TYPE source SUPEROPTIONS": of the hierarchy
 * that has the memory controller. The results point into the line. */
static bool parse_mount(char *line, const struct version *v, char **ret_root, char **ret_point)
{
	char *dash = strstr(line, " - "), *word[5], *save = NULL, *type, *super;
	if (!dash)
		return false;
	*dash = '\0';
	for (int i = 0; i < 5; i++)
		if (!(word[i] = strtok_r(i ? NULL : line, " ", &save)))
			return false;
	type = strtok_r(dash + 3, " ", &save);
	if (!type || strcmp(type, v->fstype) || !strtok_r(NULL, " ", &save))
		return false;
	super = strtok_r(NULL, " ", &save);
	if (v == &versions[0] && (!super || !has_word(super, "memory")))
		return false;
	unescape(word[3]);
	unescape(word[4]);
	*ret_root = word[3];
	*ret_point = word[4];
	return true;
}

/* "N:CONTROLLERS:PATH" of our group in that hierarchy, into the text; v2 is "0::". */
static char *own_group(char *text, const struct version *v)
{
	char *line;
	while ((line = next_line(&text))) {
		char *list = strchr(line, ':'), *path = list ? strchr(++list, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		if (v == &versions[0] ? has_word(list, "memory") : !strncmp(line, "0:", 2) && !*list)
			return path;
	}
	return NULL;
}

void ph_headroom_cgroups(const char *root, struct ph_headroom *room)
{
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
		char *mounts ph_cleanup_free = file(root, "/proc/self", "mountinfo");
		char *groups ph_cleanup_free = file(root, "/proc/self", "cgroup");
		char *text = mounts, *line, *top, *point;
		const char *group = groups ? own_group(groups, &versions[i]) : NULL;
		while (group && (line = next_line(&text))) {
			if (!parse_mount(line, &versions[i], &top, &point))
				continue;
			/* a container's mount shows its part of the tree as the top */
			size_t n = strcmp(top, "/") ? strlen(top) : 0;
			bool below = !strncmp(group, top, n) && (group[n] == '/' || !group[n]);
			look_up(root, point, below && group[n] ? group + n : "/", &versions[i], room);
		}
	}
}
