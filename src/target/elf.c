/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One ELF file, mapped read-only. The file may be anything: every offset and
 * count is checked against its size here, on the way in, and nowhere else. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "elf_priv.h"

#define MAX_SEGMENTS 256      /* PT_LOAD, PT_NOTE, PT_DYNAMIC; real files have a dozen */
#define SANE_ADDR (1ull << 56) /* of addresses and sizes in an ELF file: sums cannot wrap */

static uint64_t page_up(uint64_t n)
{
	return (n + PH_PAGE - 1) & -PH_PAGE;
}

/* ---- open ----------------------------------------------------------------------- */

const uint8_t *ph_elf_file_bytes(const struct ph_elf *elf, uint64_t offset, uint64_t n)
{
	if (offset > elf->size || n > elf->size - offset)
		return NULL;
	return elf->bytes + offset;
}

static bool header_ok(const uint8_t *bytes, uint64_t size, Elf64_Ehdr *ret)
{
	if (size < sizeof *ret)
		return false;
	memcpy(ret, bytes, sizeof *ret);
	return !memcmp(ret->e_ident, ELFMAG, SELFMAG) && ret->e_ident[EI_CLASS] == ELFCLASS64 &&
	       ret->e_ident[EI_DATA] == ELFDATA2LSB &&
	       (ret->e_type == ET_EXEC || ret->e_type == ET_DYN) &&
	       (ret->e_machine == EM_X86_64 || ret->e_machine == EM_AARCH64);
}

static bool load_ok(const Elf64_Phdr *ph)
{
	return ph->p_vaddr < SANE_ADDR && ph->p_memsz < SANE_ADDR && ph->p_offset < SANE_ADDR &&
	       ph->p_filesz <= ph->p_memsz && ph->p_memsz &&
	       !((ph->p_vaddr - ph->p_offset) & (PH_PAGE - 1));
}

/* Copies the program headers that count. */
static struct ph_err *read_segments(struct ph_elf *elf)
{
	uint64_t n = elf->header.e_phnum;
	if (elf->header.e_phentsize != sizeof(Elf64_Phdr))
		return NULL;
	const uint8_t *p = ph_elf_file_bytes(elf, elf->header.e_phoff, n * sizeof(Elf64_Phdr));
	if (!p)
		return NULL;
	for (uint64_t i = 0; i < n && elf->segments.n < MAX_SEGMENTS; i++) {
		Elf64_Phdr ph;
		memcpy(&ph, p + i * sizeof ph, sizeof ph);
		bool ok = ph.p_type == PT_LOAD ? load_ok(&ph) : ph.p_type == PT_NOTE || ph.p_type == PT_DYNAMIC;
		if (ok && !PH_VEC_PUSH(&elf->segments, ph))
			return ph_err_nomem();
	}
	return NULL;
}

/* NULL in *ret: not one of our ELF files. Takes nothing over on failure. */
static struct ph_err *elf_new(const uint8_t *bytes, uint64_t size, struct ph_elf **ret)
{
	Elf64_Ehdr header;
	struct ph_err *err;
	*ret = NULL;
	if (!header_ok(bytes, size, &header))
		return NULL;
	struct ph_elf *elf = calloc(1, sizeof *elf);
	if (!elf)
		return ph_err_nomem();
	elf->bytes = bytes;
	elf->size = size;
	elf->header = header;
	if ((err = read_segments(elf))) {
		ph_elf_free(elf);
		return err;
	}
	*ret = elf;
	return NULL;
}

struct ph_err *ph_elf_open_fd(int fd, const char *path, struct ph_elf **ret)
{
	struct stat st;
	*ret = NULL;
	if (fstat(fd, &st) < 0)
		return ph_err_errno(PH_ERR_USAGE, errno, "%s", path);
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(Elf64_Ehdr))
		return NULL;
	uint64_t size = page_up((uint64_t)st.st_size);
	void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED) /* in /sys there are files that cannot be mapped */
		return errno == ENOMEM ? ph_err_nomem() : NULL;
	struct ph_err *err = elf_new(map, size, ret);
	if (err || !*ret) {
		munmap(map, size);
		return err;
	}
	(*ret)->mapped = size;
	ph_elf_read_tables(*ret);
	return NULL;
}

struct ph_err *ph_elf_open(const char *path, struct ph_elf **ret)
{
	*ret = NULL;
	int fd ph_cleanup_close = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? NULL
			       : ph_err_errno(PH_ERR_USAGE, errno, "%s", path);
	return ph_elf_open_fd(fd, path, ret);
}

struct ph_elf *ph_elf_from_image(const void *image, size_t n)
{
	struct ph_elf *elf;
	ph_err_free(elf_new(image, n, &elf));
	return elf;
}

void ph_elf_free(struct ph_elf *elf)
{
	if (!elf)
		return;
	if (elf->mapped)
		munmap((void *)elf->bytes, elf->mapped);
	ph_vec_free(&elf->segments);
	free(elf->owned);
	free(elf->index);
	free(elf);
}

uint16_t ph_elf_machine(const struct ph_elf *elf)
{
	return elf->header.e_machine;
}

uint64_t ph_elf_file_size(const struct ph_elf *elf)
{
	return elf->size;
}

/* ---- build-id -------------------------------------------------------------------- */

static bool find_build_id(const uint8_t *p, uint64_t n, uint64_t align, uint8_t buf[64],
			  size_t *ret_len)
{
	struct ph_elf_note note;
	const uint8_t *end = p + n;
	while (ph_elf_note_next(&p, end, align, &note)) {
		if (!ph_elf_note_is(&note, "GNU", NT_GNU_BUILD_ID) || !note.descsz || note.descsz > 64)
			continue;
		memcpy(buf, note.desc, note.descsz);
		*ret_len = note.descsz;
		return true;
	}
	return false;
}

bool ph_elf_build_id(const struct ph_elf *elf, uint8_t buf[64], size_t *ret_len)
{
	*ret_len = 0;
	for (size_t i = 0; i < elf->segments.n; i++) {
		const Elf64_Phdr *ph = &elf->segments.items[i];
		const uint8_t *p = ph_elf_file_bytes(elf, ph->p_offset, ph->p_filesz);
		if (ph->p_type == PT_NOTE && p &&
		    find_build_id(p, ph->p_filesz, ph->p_align, buf, ret_len))
			return true;
	}
	for (uint64_t i = 0; i < elf->nsections; i++) {
		Elf64_Shdr sh = ph_elf_section_header(elf, i);
		const uint8_t *p = ph_elf_file_bytes(elf, sh.sh_offset, sh.sh_size);
		if (sh.sh_type == SHT_NOTE && p &&
		    find_build_id(p, sh.sh_size, sh.sh_addralign, buf, ret_len))
			return true;
	}
	return false;
}

/* ---- addresses --------------------------------------------------------------------- */

/* aarch64 kernels may have 64 KiB pages: a mapping then starts that much before
 * the segment. */
static uint64_t page_size(const struct ph_elf *elf)
{
	return elf->header.e_machine == EM_AARCH64 ? 65536 : PH_PAGE;
}

size_t ph_elf_biases(const struct ph_elf *elf, ph_addr start, uint64_t offset,
		     struct ph_elf_bias ret[PH_ELF_BIASES])
{
	uint64_t page = page_size(elf);
	size_t n = 0;
	for (size_t i = 0; i < elf->segments.n && n < PH_ELF_BIASES; i++) {
		const Elf64_Phdr *ph = &elf->segments.items[i];
		uint64_t from = ph->p_offset & -page;
		uint64_t to = (ph->p_offset + ph->p_filesz + page - 1) & -page;
		if (ph->p_type != PT_LOAD || offset < from || offset >= to)
			continue;
		ret[n++] = (struct ph_elf_bias){
			.bias = start - (ph->p_vaddr + (offset - ph->p_offset)),
			.executable = ph->p_flags & PF_X,
		};
	}
	return n;
}

void ph_elf_span(const struct ph_elf *elf, uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t start = UINT64_MAX, end = 0;
	for (size_t i = 0; i < elf->segments.n; i++) {
		const Elf64_Phdr *ph = &elf->segments.items[i];
		if (ph->p_type != PT_LOAD)
			continue;
		if ((ph->p_vaddr & -PH_PAGE) < start)
			start = ph->p_vaddr & -PH_PAGE;
		if (page_up(ph->p_vaddr + ph->p_memsz) > end)
			end = page_up(ph->p_vaddr + ph->p_memsz);
	}
	*ret_start = start < end ? start : 0;
	*ret_end = end;
}

/* The i-th PT_LOAD with that flag, or NULL. */
static const Elf64_Phdr *load_with(const struct ph_elf *elf, uint32_t flag, size_t i)
{
	for (size_t k = 0; k < elf->segments.n; k++) {
		const Elf64_Phdr *ph = &elf->segments.items[k];
		if (ph->p_type == PT_LOAD && ph->p_flags & flag && !i--)
			return ph;
	}
	return NULL;
}

bool ph_elf_code(const struct ph_elf *elf, size_t i, uint64_t *ret_addr, uint64_t *ret_offset,
		 uint64_t *ret_n)
{
	const Elf64_Phdr *ph = load_with(elf, PF_X, i);
	if (!ph)
		return false;
	*ret_addr = ph->p_vaddr & -PH_PAGE;
	*ret_offset = ph->p_offset & -PH_PAGE;
	*ret_n = page_up(ph->p_vaddr + ph->p_filesz) - *ret_addr;
	return true;
}

bool ph_elf_data(const struct ph_elf *elf, size_t i, uint64_t *ret_addr, uint64_t *ret_offset,
		 uint64_t *ret_n)
{
	const Elf64_Phdr *ph = load_with(elf, PF_W, i);
	if (!ph)
		return false;
	*ret_addr = ph->p_vaddr;
	*ret_offset = ph->p_offset;
	*ret_n = ph->p_filesz;
	return true;
}

/* The PT_LOAD whose memory holds [addr, addr + n), or NULL. */
static const Elf64_Phdr *load_at(const struct ph_elf *elf, uint64_t addr, uint64_t n)
{
	for (size_t i = 0; i < elf->segments.n; i++) {
		const Elf64_Phdr *ph = &elf->segments.items[i];
		if (ph->p_type == PT_LOAD && addr >= ph->p_vaddr &&
		    addr - ph->p_vaddr < ph->p_memsz && n <= ph->p_memsz - (addr - ph->p_vaddr))
			return ph;
	}
	return NULL;
}

bool ph_elf_readonly(const struct ph_elf *elf, uint64_t offset)
{
	uint64_t page = page_size(elf);
	bool found = false;
	for (size_t i = 0; i < elf->segments.n; i++) {
		const Elf64_Phdr *ph = &elf->segments.items[i];
		if (ph->p_type != PT_LOAD || offset < (ph->p_offset & -page) ||
		    offset >= ((ph->p_offset + ph->p_filesz + page - 1) & -page))
			continue;
		if (ph->p_flags & PF_W)
			return false;
		found = true;
	}
	return found;
}

bool ph_elf_holds(const struct ph_elf *elf, uint64_t addr)
{
	return load_at(elf, addr, 0);
}

const uint8_t *ph_elf_bytes_at(const struct ph_elf *elf, uint64_t addr, uint64_t n)
{
	const Elf64_Phdr *ph = load_at(elf, addr, n);
	if (!ph || addr - ph->p_vaddr > ph->p_filesz || n > ph->p_filesz - (addr - ph->p_vaddr))
		return NULL;
	return ph_elf_file_bytes(elf, ph->p_offset + (addr - ph->p_vaddr), n);
}

/* ---- where a loader puts the file ---------------------------------------------------- */

uint64_t ph_elf_entry(const struct ph_elf *elf)
{
	return elf->header.e_entry;
}

bool ph_elf_headers(const struct ph_elf *elf, uint64_t *ret)
{
	for (size_t i = 0; i < elf->segments.n; i++) {
		const Elf64_Phdr *ph = &elf->segments.items[i];
		uint64_t at = elf->header.e_phoff - ph->p_offset;
		if (ph->p_type != PT_LOAD || elf->header.e_phoff < ph->p_offset || at >= ph->p_filesz)
			continue;
		*ret = ph->p_vaddr + at;
		return true;
	}
	return false;
}

bool ph_elf_dynamic(const struct ph_elf *elf, uint64_t *ret_addr, uint64_t *ret_size)
{
	for (size_t i = 0; i < elf->segments.n; i++) {
		if (elf->segments.items[i].p_type != PT_DYNAMIC)
			continue;
		*ret_addr = elf->segments.items[i].p_vaddr;
		*ret_size = elf->segments.items[i].p_memsz;
		return true;
	}
	return false;
}

struct ph_err *ph_elf_mappings(const struct ph_elf *elf, uint64_t bias, const char *path, struct ph_mappings *ret)
{
	for (size_t i = 0; i < elf->segments.n; i++) {
		const Elf64_Phdr *ph = &elf->segments.items[i];
		uint64_t from = ph->p_vaddr & -PH_PAGE, to = page_up(ph->p_vaddr + ph->p_filesz);
		struct ph_mapping map = { .start = from + bias, .end = to + bias, .offset = ph->p_offset & -PH_PAGE };
		if (ph->p_type != PT_LOAD || !ph->p_filesz || map.start >= map.end)
			continue;
		map.path = strdup(path);
		if (!map.path || !PH_VEC_PUSH(ret, map)) {
			free(map.path);
			return ph_err_nomem();
		}
	}
	return NULL;
}
