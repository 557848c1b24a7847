/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a module's debug information is: in its own file, by build-id below
 * /usr/lib/debug, by .gnu_debuglink; and the file that dwz moved shared parts to. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "layout_priv.h"

static const char debug_dir[] = "/usr/lib/debug";

static void elffile_cleanup(struct ph_elffile **f)
{
	ph_elffile_free(*f);
}
#define cleanup_elffile __attribute__((cleanup(elffile_cleanup)))

void ph_hex(const uint8_t *bytes, size_t n, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		*ret++ = digits[bytes[i] >> 4];
		*ret++ = digits[bytes[i] & 15];
	}
	*ret = '\0';
}

static bool same_build_id(const struct ph_elffile *f, const uint8_t *id, size_t len)
{
	uint8_t own[64];
	return ph_elffile_build_id(f, own) == len && !memcmp(own, id, len);
}

/* ROOT/usr/lib/debug/.build-id/xx/yyy.debug in each root; NULL when there is none. */
static struct ph_elffile *find_by_build_id(const struct ph_debug_search *s, const uint8_t *id,
					   size_t len)
{
	char hex[129];
	if (len < 2 || len > 64)
		return NULL;
	ph_hex(id, len, hex);
	for (size_t i = 0; i < s->nroots; i++) {
		char *path ph_cleanup_free = ph_asprintf("%s%s/.build-id/%.2s/%s.debug", s->roots[i],
							 debug_dir, hex, hex + 2);
		struct ph_elffile *f = path ? ph_elffile_open(path) : NULL;
		if (f && ph_elffile_has_dwarf(f) && same_build_id(f, id, len))
			return f;
		ph_elffile_free(f);
	}
	return NULL;
}

/* ---- .gnu_debuglink ------------------------------------------------------------------ */

struct link {
	char *name;   /* without directories */
	uint32_t crc;
};

/* The section: a name, padding to 4 bytes, the checksum. */
static bool read_link(const struct ph_elffile *f, struct link *ret)
{
	const Elf64_Shdr *s = ph_elffile_section(f, ".gnu_debuglink");
	char *bytes ph_cleanup_free = s ? ph_elffile_read(f, s, 4096) : NULL;
	if (!bytes)
		return false;
	size_t crc = (strlen(bytes) + 4) & ~(size_t)3;
	if (!*bytes || strchr(bytes, '/') || crc > s->sh_size || s->sh_size - crc < 4)
		return false;
	ret->crc = ph_load_u32(bytes + crc);
	ret->name = strdup(bytes);
	return ret->name;
}

static bool link_fits(const struct ph_elffile *f, const struct ph_module *m, uint32_t crc)
{
	uint8_t id[64];
	uint32_t own;
	if (!ph_elffile_has_dwarf(f))
		return false;
	if (m->build_id_len && ph_elffile_build_id(f, id) &&
	    !same_build_id(f, m->build_id, m->build_id_len))
		return false;
	return ph_elffile_crc(f, &own) && own == crc;
}

/* The directory of a file, symbolic links resolved; owned by the caller. */
static char *directory_of(const char *path)
{
	char *real = realpath(path, NULL);
	if (!real)
		real = strdup(path);
	char *slash = real ? strrchr(real, '/') : NULL;
	if (!slash) {
		free(real);
		return NULL;
	}
	*slash = '\0';
	return real;
}

/* DIR/name, DIR/.debug/name, ROOT/usr/lib/debug/DIR/name. */
static struct ph_elffile *try_link(const struct ph_debug_search *s, const struct link *link,
				   const char *path)
{
	char *dir ph_cleanup_free = path && *path == '/' ? directory_of(path) : NULL;
	for (size_t i = 0; dir && i < 2 + s->nroots; i++) {
		char *try ph_cleanup_free =
			i < 2 ? ph_asprintf("%s%s/%s", dir, i ? "/.debug" : "", link->name) :
				ph_asprintf("%s%s%s/%s", s->roots[i - 2], debug_dir, dir, link->name);
		struct ph_elffile *f = try ? ph_elffile_open(try) : NULL;
		if (f && link_fits(f, s->module, link->crc))
			return f;
		ph_elffile_free(f);
	}
	return NULL;
}

static struct ph_elffile *find_by_link(const struct ph_debug_search *s,
				       const struct ph_elffile *own)
{
	struct link link = { 0 };
	if (!read_link(own, &link))
		return NULL;
	/* open_path may be a name in /proc that says nothing about the directory */
	struct ph_elffile *f = try_link(s, &link, s->module->open_path);
	if (!f)
		f = try_link(s, &link, s->module->path);
	free(link.name);
	return f;
}

/* ---- .gnu_debugaltlink ------------------------------------------------------------------ */

/* The section: a file name, then the build-id of that file. */
static struct ph_err *find_alt(const struct ph_debug_search *s, const struct ph_elffile *f,
			       struct ph_debug *debug)
{
	const Elf64_Shdr *section = ph_elffile_section(f, ".gnu_debugaltlink");
	char *name ph_cleanup_free = section ? ph_elffile_read(f, section, 8192) : NULL;
	if (!name)
		return NULL;
	size_t used = strlen(name) + 1;
	size_t len = used < section->sh_size ? section->sh_size - used : 0;
	const uint8_t *id = (const uint8_t *)name + used;
	if (!*name || !len || len > 64)
		return ph_err_new(PH_ERR_LAYOUT, "%s: its debug information is damaged", f->path);

	struct ph_elffile *alt cleanup_elffile = find_by_build_id(s, id, len);
	char *dir ph_cleanup_free = directory_of(f->path);
	for (size_t i = 0; !alt && i <= s->nroots; i++) {
		/* a relative name starts from the file that names it */
		bool relative = i == s->nroots;
		if (relative != (*name != '/'))
			continue;
		char *path ph_cleanup_free =
			ph_asprintf("%s%s%s", relative ? dir ? dir : "." : s->roots[i],
				    relative ? "/" : "", name);
		alt = path ? ph_elffile_open(path) : NULL;
		if (alt && !(ph_elffile_has_dwarf(alt) && same_build_id(alt, id, len))) {
			ph_elffile_free(alt);
			alt = NULL;
		}
	}
	if (alt)
		return ph_elffile_image(alt, &debug->alt);
	debug->alt_missing = strdup(name);
	return debug->alt_missing ? NULL : ph_err_nomem();
}

/* ---- all of them ------------------------------------------------------------------------ */

static struct ph_err *open_given(const struct ph_debug_search *s, struct ph_elffile **ret)
{
	const struct ph_module *m = s->module;
	uint8_t id[64];
	if (access(s->debug_file, R_OK))
		return ph_err_errno(PH_ERR_USAGE, errno, "cannot open %s", s->debug_file);
	struct ph_elffile *f = ph_elffile_open(s->debug_file);
	if (!f)
		return ph_err_new(PH_ERR_LAYOUT, "%s is not a 64-bit little-endian ELF file",
				  s->debug_file);
	size_t len = ph_elffile_build_id(f, id);
	struct ph_err *err = NULL;
	if (!ph_elffile_has_dwarf(f)) {
		err = ph_err_new(PH_ERR_LAYOUT, "%s holds no debug information", s->debug_file);
	} else if (m->build_id_len && !same_build_id(f, m->build_id, m->build_id_len)) {
		char want[129], have[129] = "none";
		ph_hex(m->build_id, m->build_id_len, want);
		if (len)
			ph_hex(id, len, have);
		err = ph_err_new(PH_ERR_LAYOUT, "%s does not belong to %s: its build-id is %s, not %s",
				 s->debug_file, m->path, have, want);
		ph_err_hint(err, "give the debug information of exactly this build");
	}
	if (err) {
		ph_elffile_free(f);
		f = NULL;
	}
	*ret = f;
	return err;
}

static struct ph_elffile *find_file(const struct ph_debug_search *s)
{
	const struct ph_module *m = s->module;
	struct ph_elffile *own = m->open_path ? ph_elffile_open(m->open_path) : NULL;
	if (own && ph_elffile_has_dwarf(own))
		return own;
	struct ph_elffile *f = find_by_build_id(s, m->build_id, m->build_id_len);
	if (!f && own)
		f = find_by_link(s, own);
	ph_elffile_free(own);
	return f;
}

struct ph_err *ph_debug_find(const struct ph_debug_search *s, struct ph_debug **ret)
{
	struct ph_elffile *f cleanup_elffile = NULL;
	struct ph_err *err = NULL;
	*ret = NULL;
	if (s->debug_file)
		err = open_given(s, &f);
	else
		f = find_file(s);
	if (err || !f)
		return err;
	struct ph_debug *debug = calloc(1, sizeof *debug);
	if (!debug)
		return ph_err_nomem();
	/* a name in /proc means nothing to people */
	debug->path = strdup(s->module->open_path && !strcmp(f->path, s->module->open_path) &&
			     *s->module->path ? s->module->path : f->path);
	err = debug->path ? ph_elffile_image(f, &debug->main) : ph_err_nomem();
	if (!err)
		err = find_alt(s, f, debug);
	if (err) {
		ph_debug_free(debug);
		debug = NULL;
	}
	*ret = debug;
	return err;
}

void ph_debug_free(struct ph_debug *debug)
{
	if (!debug)
		return;
	free(debug->main.bytes);
	free(debug->alt.bytes);
	free(debug->path);
	free(debug->alt_missing);
	free(debug);
}
