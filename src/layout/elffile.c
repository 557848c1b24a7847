/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF files by their sections. What such a file says is checked before it is
 * used: it may be anything that lies where debug information is looked for. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "layout_priv.h"

#define MAX_SECTIONS (1u << 20)
#define MAX_NAMES (16u << 20)
/* Inflated sizes are claims; beyond this nobody's debug information goes. */
#define MAX_INFLATED (4ull << 30)

static bool read_at(int fd, void *buf, uint64_t n, uint64_t offset)
{
	uint8_t *p = buf;
	while (n) {
		ssize_t got = pread(fd, p, n < 1u << 30 ? n : 1u << 30, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (uint64_t)got;
		offset += (uint64_t)got;
	}
	return true;
}

static bool in_file(const struct ph_elffile *f, uint64_t offset, uint64_t n)
{
	return offset <= f->size && n <= f->size - offset;
}

static bool header_ok(const Elf64_Ehdr *h)
{
	return !memcmp(h->e_ident, ELFMAG, SELFMAG) && h->e_ident[EI_CLASS] == ELFCLASS64 &&
	       h->e_ident[EI_DATA] == ELFDATA2LSB && h->e_shentsize == sizeof(Elf64_Shdr) && h->e_shoff;
}

static bool read_sections(struct ph_elffile *f)
{
	Elf64_Shdr first; /* holds what does not fit into the header's 16 bits */
	if (!in_file(f, f->header.e_shoff, sizeof first) ||
	    !read_at(f->fd, &first, sizeof first, f->header.e_shoff))
		return false;
	uint64_t n = f->header.e_shnum ? f->header.e_shnum : first.sh_size;
	if (!n || n > MAX_SECTIONS || !in_file(f, f->header.e_shoff, n * sizeof first))
		return false;
	f->sections = calloc(n, sizeof *f->sections);
	if (!f->sections || !read_at(f->fd, f->sections, n * sizeof first, f->header.e_shoff))
		return false;
	f->nsections = n;
	for (size_t i = 0; i < n; i++) {
		Elf64_Shdr *s = &f->sections[i];
		if (s->sh_type != SHT_NOBITS && !in_file(f, s->sh_offset, s->sh_size))
			s->sh_type = SHT_NULL;
	}
	uint32_t names = f->header.e_shstrndx == SHN_XINDEX ? first.sh_link : f->header.e_shstrndx;
	if (names >= n || f->sections[names].sh_type != SHT_STRTAB)
		return false;
	f->names_len = f->sections[names].sh_size;
	f->names = ph_elffile_read(f, &f->sections[names], MAX_NAMES);
	return f->names;
}

struct ph_elffile *ph_elffile_open(const char *path)
{
	struct stat st;
	struct ph_elffile *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	/* not blocking: a FIFO may lie there */
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	f->path = strdup(path);
	if (f->fd < 0 || !f->path || fstat(f->fd, &st) || !S_ISREG(st.st_mode))
		goto fail;
	f->size = (uint64_t)st.st_size;
	if (!in_file(f, 0, sizeof f->header) || !read_at(f->fd, &f->header, sizeof f->header, 0) ||
	    !header_ok(&f->header) || !read_sections(f))
		goto fail;
	return f;
fail:
	ph_elffile_free(f);
	return NULL;
}

void ph_elffile_free(struct ph_elffile *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	free(f->sections);
	free(f->names);
	free(f);
}

static const char *section_name(const struct ph_elffile *f, const Elf64_Shdr *s)
{
	return s->sh_name < f->names_len ? f->names + s->sh_name : "";
}

const Elf64_Shdr *ph_elffile_section(const struct ph_elffile *f, const char *name)
{
	for (size_t i = 0; i < f->nsections; i++) {
		const Elf64_Shdr *s = &f->sections[i];
		if (s->sh_type != SHT_NULL && s->sh_type != SHT_NOBITS && s->sh_size &&
		    !strcmp(section_name(f, s), name))
			return s;
	}
	return NULL;
}

char *ph_elffile_read(const struct ph_elffile *f, const Elf64_Shdr *s, uint64_t max)
{
	char *bytes = s->sh_size <= max ? malloc(s->sh_size + 1) : NULL;
	if (!bytes || !read_at(f->fd, bytes, s->sh_size, s->sh_offset)) {
		free(bytes);
		return NULL;
	}
	bytes[s->sh_size] = '\0';
	return bytes;
}

bool ph_elffile_has_dwarf(const struct ph_elffile *f)
{
	return ph_elffile_section(f, ".debug_info") || ph_elffile_section(f, ".zdebug_info");
}

/* ---- build-id, checksum ---------------------------------------------------------- */

static size_t note_build_id(const char *bytes, uint64_t n, uint8_t ret[64])
{
	Elf64_Nhdr note;
	for (uint64_t at = 0; at <= n && n - at >= sizeof note;) {
		memcpy(&note, bytes + at, sizeof note);
		uint64_t name = at + sizeof note;
		uint64_t desc = name + (((uint64_t)note.n_namesz + 3) & ~3ull);
		if (desc > n || note.n_descsz > n - desc)
			break;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
		    !memcmp(bytes + name, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) && note.n_descsz &&
		    note.n_descsz <= 64) {
			memcpy(ret, bytes + desc, note.n_descsz);
			return note.n_descsz;
		}
		at = desc + (((uint64_t)note.n_descsz + 3) & ~3ull);
	}
	return 0;
}

size_t ph_elffile_build_id(const struct ph_elffile *f, uint8_t ret[64])
{
	size_t len = 0;
	for (size_t i = 0; i < f->nsections && !len; i++) {
		if (f->sections[i].sh_type != SHT_NOTE)
			continue;
		char *bytes ph_cleanup_free = ph_elffile_read(f, &f->sections[i], 1u << 16);
		if (bytes)
			len = note_build_id(bytes, f->sections[i].sh_size, ret);
	}
	return len;
}

bool ph_elffile_crc(const struct ph_elffile *f, uint32_t *ret)
{
	static uint32_t table[256]; /* of the polynomial that gdb documents for debug links */
	if (!table[1])
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t c = i;
			for (int bit = 0; bit < 8; bit++)
				c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
			table[i] = c;
		}
	enum { STEP = 1 << 20 };
	uint8_t *buf ph_cleanup_free = malloc(STEP);
	uint32_t crc = ~0u;
	for (uint64_t at = 0; at < f->size;) {
		uint64_t n = f->size - at < STEP ? f->size - at : STEP;
		if (!buf || !read_at(f->fd, buf, n, at))
			return false;
		for (uint64_t i = 0; i < n; i++)
			crc = table[(crc ^ buf[i]) & 0xff] ^ crc >> 8;
		at += n;
	}
	*ret = ~crc;
	return true;
}

/* ---- the image for libdw ---------------------------------------------------------- */

static const char *const image_sections[] = {
	".debug_info", ".debug_types", ".debug_abbrev", ".debug_str", ".debug_line_str",
	".debug_str_offsets", ".zdebug_info", ".zdebug_types", ".zdebug_abbrev", ".zdebug_str",
	".gnu_debugaltlink",
};
enum { NIMAGE = sizeof image_sections / sizeof *image_sections };

/* What the section says it holds once inflated. */
static uint64_t inflated_size(const struct ph_elffile *f, const Elf64_Shdr *s)
{
	Elf64_Chdr c;
	uint8_t z[12];
	if (s->sh_flags & SHF_COMPRESSED)
		return s->sh_size >= sizeof c && read_at(f->fd, &c, sizeof c, s->sh_offset) ?
			       c.ch_size : UINT64_MAX;
	if (!strncmp(section_name(f, s), ".zdebug", 7)) {
		/* "ZLIB" and a big-endian size */
		if (s->sh_size < sizeof z || !read_at(f->fd, z, sizeof z, s->sh_offset))
			return UINT64_MAX;
		return __builtin_bswap64(ph_load_u64(z + 4));
	}
	return s->sh_size;
}

static struct ph_err *image_damaged(const struct ph_elffile *f)
{
	return ph_err_new(PH_ERR_LAYOUT, "%s: its debug information is damaged", f->path);
}

/* The sections to take, with sh_offset in the file, and the size of an image of them. */
static bool pick_sections(const struct ph_elffile *f, Elf64_Shdr picked[NIMAGE], uint64_t *ret_size)
{
	uint64_t inflated = 0, size = sizeof(Elf64_Ehdr) + (NIMAGE + 2) * sizeof(Elf64_Shdr);
	for (size_t i = 0; i < NIMAGE; i++) {
		const Elf64_Shdr *s = ph_elffile_section(f, image_sections[i]);
		picked[i] = s ? *s : (Elf64_Shdr){ .sh_type = SHT_NULL };
		if (!s)
			continue;
		uint64_t n = inflated_size(f, s);
		if (n > MAX_INFLATED - inflated || s->sh_size > MAX_INFLATED)
			return false;
		inflated += n;
		size += (s->sh_size + 7) & ~7ull;
	}
	*ret_size = size;
	return true;
}

struct ph_err *ph_elffile_image(const struct ph_elffile *f, struct ph_image *ret)
{
	Elf64_Shdr sections[NIMAGE + 2] = { 0 }; /* null, the picked ones, names */
	uint64_t size, at;
	char names[512] = "";
	size_t used = 1;
	if (!pick_sections(f, sections + 1, &size))
		return image_damaged(f);
	uint8_t *bytes = calloc(1, size + sizeof names);
	if (!bytes)
		return ph_err_nomem();
	at = sizeof(Elf64_Ehdr) + sizeof sections;
	for (size_t i = 0; i < NIMAGE; i++) {
		Elf64_Shdr *s = &sections[i + 1];
		if (s->sh_type == SHT_NULL)
			continue;
		if (!read_at(f->fd, bytes + at, s->sh_size, s->sh_offset)) {
			free(bytes);
			return image_damaged(f);
		}
		s->sh_name = (uint32_t)used;
		used = (size_t)(stpcpy(names + used, image_sections[i]) + 1 - names);
		s->sh_type = SHT_PROGBITS;
		s->sh_flags &= SHF_COMPRESSED;
		s->sh_link = s->sh_info = 0;
		s->sh_addr = s->sh_entsize = 0;
		s->sh_addralign = 1;
		s->sh_offset = at;
		at += (s->sh_size + 7) & ~7ull;
	}
	memcpy(bytes + at, names, sizeof names);
	sections[NIMAGE + 1] = (Elf64_Shdr){ .sh_type = SHT_STRTAB, .sh_offset = at,
					     .sh_size = used, .sh_addralign = 1 };
	Elf64_Ehdr header = { .e_type = ET_DYN, .e_machine = f->header.e_machine,
			      .e_version = EV_CURRENT, .e_ehsize = sizeof header,
			      .e_shoff = sizeof header, .e_shentsize = sizeof(Elf64_Shdr),
			      .e_shnum = NIMAGE + 2, .e_shstrndx = NIMAGE + 1 };
	memcpy(header.e_ident, f->header.e_ident, EI_NIDENT);
	memcpy(bytes, &header, sizeof header);
	memcpy(bytes + sizeof header, sections, sizeof sections);
	*ret = (struct ph_image){ bytes, at + used };
	return NULL;
}
