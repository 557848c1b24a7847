/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts as files: those that pyheap ships (layouts/, embedded), those in the user's
 * folders, and what `pyheap layout` writes. A head, then one line for each row of
 * fields.def (text.c):
 *
 *   pyheap layout 1
 *   python 3.11.2 3.11.4            the versions, exactly
 *   machine x86_64
 *   build release                   or debug; and free-threaded behind it
 *   build-id c561f3aa… python3.11   one line for each build it was made of */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "layout_priv.h"

#define FIRST_LINE "pyheap layout 1\n"
#define MAX_FILE (1u << 20)
#define MAX_FILES 1024 /* of a folder */
#define MAX_VERSIONS 256

#ifdef PYHEAP_LAYOUTS
/* layouts/ in one piece, "file NAME" before each */
__asm__(".section .rodata\n"
	"ph_shipped_layouts:\n"
	"	.incbin \"" PYHEAP_LAYOUTS "\"\n"
	"ph_shipped_layouts_end:\n"
	".previous\n");
#endif
extern const char ph_shipped_layouts[], ph_shipped_layouts_end[];

/* ---- the head ------------------------------------------------------------------------ */

static bool is_version_digit(const char *p, const char *end)
{
	return p < end && *p >= '0' && *p <= '9';
}

static bool take_number(const char **p, const char *end, uint32_t max, uint32_t *ret)
{
	*ret = 0;
	if (!is_version_digit(*p, end))
		return false;
	for (; is_version_digit(*p, end) && *ret <= max; ++*p)
		*ret = *ret * 10 + (uint32_t)(**p - '0');
	return *ret <= max;
}

uint32_t ph_version_parse(const char *p, size_t n)
{
	static const struct { const char *text; uint32_t level; } levels[] = { { "a", 0xa }, { "b", 0xb }, { "rc", 0xc } };
	const char *end = p + n;
	uint32_t v[3], level = 0xf, serial = 0;
	for (int i = 0; i < 3; i++) {
		if (!take_number(&p, end, 255, &v[i]) || (i < 2 && (p == end || *p++ != '.')))
			return 0;
	}
	for (size_t i = 0; p < end && level == 0xf && i < 3; i++) {
		size_t len = strlen(levels[i].text);
		if ((size_t)(end - p) <= len || strncmp(p, levels[i].text, len))
			continue;
		p += len;
		level = levels[i].level;
		if (!take_number(&p, end, 15, &serial))
			return 0;
	}
	return p == end ? v[0] << 24 | v[1] << 16 | v[2] << 8 | level << 4 | serial : 0;
}

void ph_version_text(uint32_t v, char ret[32])
{
	static const char *const levels[16] = { [0xa] = "a", [0xb] = "b", [0xc] = "rc" };
	const char *level = levels[v >> 4 & 15];
	int n = snprintf(ret, 32, "%u.%u.%u", v >> 24, v >> 16 & 255, v >> 8 & 255);
	if (level)
		snprintf(ret + n, 32 - (size_t)n, "%s%u", level, v & 15);
}

static const struct { const char *name; uint16_t machine; } machines[] = {
	{ "x86_64", EM_X86_64 }, { "aarch64", EM_AARCH64 },
};

static const char *machine_name(uint16_t machine)
{
	for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
		if (machines[i].machine == machine)
			return machines[i].name;
	return "unknown";
}

/* The next word of a line; false at its end. */
static bool next_word(const char **p, const char *end, const char **ret, size_t *ret_n)
{
	while (*p < end && **p == ' ')
		++*p;
	*ret = *p;
	while (*p < end && **p != ' ')
		++*p;
	*ret_n = (size_t)(*p - *ret);
	return *ret_n;
}

static bool word_is(const char *word, size_t n, const char *text)
{
	return strlen(text) == n && !strncmp(word, text, n);
}

static bool head_value(struct ph_layout_file *f, const char *key, size_t nkey, const char *word, size_t n)
{
	uint32_t version;
	if (word_is(key, nkey, "python")) {
		version = ph_version_parse(word, n);
		return version && f->versions.n < MAX_VERSIONS && PH_VEC_PUSH(&f->versions, version);
	}
	if (word_is(key, nkey, "machine")) {
		for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
			if (word_is(word, n, machines[i].name))
				f->machine = machines[i].machine;
		return f->machine;
	}
	if (word_is(key, nkey, "build")) {
		f->debug |= word_is(word, n, "debug");
		f->free_threaded |= word_is(word, n, "free-threaded");
	}
	return true;
}

/* One line of the head. False where it is not to be understood. */
static bool head_line(struct ph_layout_file *f, const char *line, const char *end)
{
	const char *key, *word;
	size_t nkey, n;
	if (!next_word(&line, end, &key, &nkey) || *key == '#' || word_is(key, nkey, "build-id"))
		return true;
	while (next_word(&line, end, &word, &n))
		if (!head_value(f, key, nkey, word, n))
			return false;
	return true;
}

/* Reads the head at *at, moves on to its rows. */
static bool read_head(struct ph_layout_file *f, const char *at, const char *end)
{
	size_t first = strlen(FIRST_LINE);
	if ((size_t)(end - at) < first || strncmp(at, FIRST_LINE, first))
		return false;
	f->head = at += first;
	while (at < end && !(strchr("FSE", *at) && at + 1 < end && at[1] == ' ')) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		if (!newline || !head_line(f, at, newline))
			return false;
		at = newline + 1;
	}
	f->rows = at;
	f->end = end;
	return f->machine;
}

bool ph_layout_file_has_id(const struct ph_layout_file *f, const char *build_id)
{
	for (const char *at = f->head, *newline; at < f->rows; at = newline + 1) {
		const char *p = at, *word;
		size_t n;
		newline = memchr(at, '\n', (size_t)(f->rows - at));
		if (!newline)
			return false;
		if (next_word(&p, newline, &word, &n) && word_is(word, n, "build-id") &&
		    next_word(&p, newline, &word, &n) && word_is(word, n, build_id))
			return *build_id;
	}
	return false;
}

bool ph_layout_file_has_version(const struct ph_layout_file *f, uint32_t hexversion)
{
	for (size_t i = 0; i < f->versions.n; i++)
		if (f->versions.items[i] == hexversion)
			return true;
	return false;
}

/* ---- reading --------------------------------------------------------------------------- */

static void file_deinit(struct ph_layout_file *f)
{
	free(f->name);
	free(f->text);
	ph_vec_free(&f->versions);
}

void ph_layout_files_free(struct ph_layout_files *files)
{
	for (size_t i = 0; i < files->n; i++)
		file_deinit(&files->items[i]);
	ph_vec_free(files);
}

/* Takes over name and text. */
static struct ph_err *add_file(struct ph_layout_files *files, char *name, char *text, const char *at,
			       const char *end, bool shipped)
{
	struct ph_layout_file f = { .name = name, .text = text, .shipped = shipped };
	if (!name) {
		free(text);
		return ph_err_nomem();
	}
	if (!read_head(&f, at, end)) {
		struct ph_err *err = ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s is not a layout that this pyheap can "
							    "read", name), "`pyheap layout PID -o FILE` writes one");
		file_deinit(&f);
		return err;
	}
	if (PH_VEC_PUSH(files, f))
		return NULL;
	file_deinit(&f);
	return ph_err_nomem();
}

/* "file NAME", then the file, up to the next such line. */
struct ph_err *ph_layout_files_shipped(struct ph_layout_files *files)
{
	const char *at = ph_shipped_layouts, *end = ph_shipped_layouts_end, *next;
	struct ph_err *err = NULL;
	for (; !err && at < end; at = next) {
		const char *name = at + strlen("file ");
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		if (!newline)
			break;
		next = memmem(newline, (size_t)(end - newline), "\nfile ", strlen("\nfile "));
		next = next ? next + 1 : end;
		err = add_file(files, strndup(name, (size_t)(newline - name)), NULL, newline + 1, next, true);
	}
	return err;
}

struct ph_err *ph_layout_files_read(struct ph_layout_files *files, const char *path)
{
	size_t n;
	char *text = ph_read_file(path, MAX_FILE, &n);
	if (!text)
		return ph_err_errno(PH_ERR_USAGE, errno, "%s", path);
	return add_file(files, strdup(path), text, text, text + n, false);
}

/* What anybody could write there is not taken. */
static bool trusted(int fd)
{
	struct stat st;
	return !fstat(fd, &st) && (st.st_uid == geteuid() || !st.st_uid) && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

static struct ph_err *read_folder(struct ph_layout_files *files, const char *folder, struct dirent **names, int n)
{
	struct ph_err *err = NULL;
	for (int i = 0; !err && i < n && i < MAX_FILES; i++) {
		const char *dot = strrchr(names[i]->d_name, '.');
		char *path ph_cleanup_free = ph_asprintf("%s/%s", folder, names[i]->d_name);
		if (!path)
			return ph_err_nomem();
		int fd ph_cleanup_close = dot && !strcmp(dot, ".layout") ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
		if (fd >= 0 && trusted(fd))
			err = ph_layout_files_read(files, path);
		/* whoever did not name it shall not be stopped by it */
		if (err && err != ph_err_nomem()) {
			ph_err_free(err);
			err = NULL;
		}
	}
	return err;
}

static struct ph_err *add_folder(struct ph_layout_files *files, const char *folder)
{
	struct dirent **names;
	int fd ph_cleanup_close = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || !trusted(fd))
		return NULL;
	int n = scandir(folder, &names, NULL, alphasort);
	if (n < 0)
		return NULL;
	struct ph_err *err = read_folder(files, folder, names, n);
	while (n-- > 0)
		free(names[n]);
	free(names);
	return err;
}

struct ph_err *ph_layout_files_folders(struct ph_layout_files *files)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *own ph_cleanup_free = xdg && *xdg == '/' ? ph_asprintf("%s/pyheap/layouts", xdg)
				    : home && *home == '/' ? ph_asprintf("%s/.config/pyheap/layouts", home) : NULL;
	struct ph_err *err = own ? add_folder(files, own) : NULL;
	return err ? err : add_folder(files, "/etc/pyheap/layouts");
}

/* ---- layouts ------------------------------------------------------------------------------ */

struct ph_err *ph_layout_file_open(const struct ph_layout_file *f, struct ph_layout **ret)
{
	struct ph_answer *answers ph_cleanup_free = calloc(ph_nrows, sizeof *answers);
	bool *seen ph_cleanup_free = calloc(ph_nrows, sizeof *seen);
	*ret = NULL;
	if (!answers || !seen)
		return ph_err_nomem();
	const char *at = ph_rows_parse(f->rows, f->end, ph_rows, ph_nrows, answers, seen);
	if (at != f->end)
		return ph_err_new(PH_ERR_USAGE, "%s: cannot be understood at \"%.*s\"", f->name,
				  (int)strcspn(at, "\n"), at);
	for (size_t i = 0; i < ph_nrows; i++) {
		if (seen[i] && (answers[i].m.present || !ph_rows[i].required))
			continue;
		return ph_err_hint(ph_err_new(PH_ERR_LAYOUT, "%s does not tell %s: it was written by another version "
					      "of pyheap", f->name, ph_rows[i].id),
				   "write it anew with `pyheap layout`");
	}
	struct ph_layout *l = ph_layout_assemble(answers);
	if (!l)
		return ph_err_nomem();
	strcpy(l->source, f->shipped ? "shipped" : "file");
	l->origin = strdup(f->name);
	l->versions = calloc(f->versions.n + 1, sizeof *l->versions);
	if (!l->origin || !l->versions) {
		ph_layout_free(l);
		return ph_err_nomem();
	}
	l->nversions = f->versions.n;
	for (size_t i = 0; i < l->nversions; i++)
		l->versions[i] = f->versions.items[i];
	*ret = l;
	return NULL;
}

bool ph_layout_print(FILE *f, const struct ph_layout *l, uint16_t machine, const struct ph_python *python)
{
	char version[32];
	struct ph_answer *answers ph_cleanup_free = calloc(ph_nrows, sizeof *answers);
	if (!answers)
		return false;
	fprintf(f, FIRST_LINE "# made from %s (%s)\npython", l->source, l->origin);
	if (python->hexversion) {
		ph_version_text(python->hexversion, version);
		fprintf(f, " %s", version);
	}
	fprintf(f, "\nmachine %s\nbuild %s%s\n", machine_name(machine), python->debug > 0 ? "debug" : "release",
		python->free_threaded > 0 ? " free-threaded" : "");
	if (*l->build_id)
		fprintf(f, "build-id %s\n", l->build_id);
	ph_layout_answers(l, answers);
	ph_rows_print(f, ph_rows, ph_nrows, answers);
	return true;
}
