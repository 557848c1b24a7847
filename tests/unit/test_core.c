/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cores and ELF files built byte by byte in a temporary directory: what the
 * kernel and gcore write, and what they never would. */
#include <check.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <pyheap/target.h>
#include "pack.h"

Suite *core_suite(void);

#define PAGE 0x1000u
#define BASE 0x7f0000000000ull  /* where the library lies in the core */
#define HEAP 0x10000000ull
#define STACK 0x7ffd00000000ull
#define LIB_SIZE 0x4000u
#define MAX_LOADS 16
#define MAX_FILES 8

static char dir[64], lib_path[96], lib2_path[96], core_path[96];
static struct ph_notes notes;

static void put(void *at, uint64_t value)
{
	memcpy(at, &value, 8);
}

static void write_file(const char *path, const void *bytes, size_t n)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
	ck_assert_int_eq(fclose(f), 0);
}

static size_t add_note(uint8_t *at, const char *name, uint32_t type, const void *desc, uint32_t n)
{
	Elf64_Nhdr nh = { (uint32_t)strlen(name) + 1, n, type };
	size_t padded = (nh.n_namesz + 3) & ~3u;
	memcpy(at, &nh, sizeof nh);
	memcpy(at + sizeof nh, name, nh.n_namesz);
	memcpy(at + sizeof nh + padded, desc, n);
	return sizeof nh + padded + ((n + 3) & ~3u);
}

static Elf64_Ehdr header(uint16_t type, unsigned phnum)
{
	Elf64_Ehdr eh = { .e_type = type, .e_machine = EM_X86_64, .e_version = 1,
			  .e_phoff = sizeof eh, .e_ehsize = sizeof eh,
			  .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = (uint16_t)phnum };
	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_ident[EI_VERSION] = EV_CURRENT;
	return eh;
}

/* ---- a library: headers, code, data one page further up than in the file -------- */

static uint8_t lib[LIB_SIZE];

static void lib_symbols(void)
{
	static const char names[] = "\0code\0data\0undefined\0local\0far";
	static const char section_names[] = "\0.blob\0.text";
	Elf64_Sym *sym = (void *)(lib + 0x3000);
	sym[1] = (Elf64_Sym){ 1, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 4, 0x1010, 16 };
	sym[2] = (Elf64_Sym){ 6, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), 0, 4, 0x3020, 0x40 };
	sym[3] = (Elf64_Sym){ 11, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, SHN_UNDEF, 0, 0 };
	sym[4] = (Elf64_Sym){ 21, ELF64_ST_INFO(STB_LOCAL, STT_OBJECT), 0, 4, 0x1100, 8 };
	sym[5] = (Elf64_Sym){ 6, ELF64_ST_INFO(STB_LOCAL, STT_OBJECT), 0, 4, 0x1200, 8 };
	sym[6] = (Elf64_Sym){ 27, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), 0, 4, 0x9000000, 8 };
	memcpy(lib + 0x3100, names, sizeof names);
	memcpy(lib + 0x3200, section_names, sizeof section_names);
	Elf64_Shdr *sh = (void *)(lib + 0x3300);
	sh[1] = (Elf64_Shdr){ .sh_type = SHT_SYMTAB, .sh_offset = 0x3000, .sh_size = 7 * sizeof *sym,
			      .sh_link = 2, .sh_entsize = sizeof *sym };
	sh[2] = (Elf64_Shdr){ .sh_type = SHT_STRTAB, .sh_offset = 0x3100, .sh_size = sizeof names };
	sh[3] = (Elf64_Shdr){ .sh_type = SHT_STRTAB, .sh_offset = 0x3200,
			      .sh_size = sizeof section_names };
	sh[4] = (Elf64_Shdr){ .sh_name = 1, .sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC,
			      .sh_addr = 0x3020, .sh_offset = 0x2020, .sh_size = 0x40 };
}

static void lib_build(bool with_id)
{
	memset(lib, 0, sizeof lib);
	for (unsigned i = 0x1000; i < 0x3000; i++)
		lib[i] = (uint8_t)(i ^ i >> 5);
	lib_symbols();
	Elf64_Ehdr eh = header(ET_DYN, 5);
	eh.e_entry = 0x1010;
	eh.e_shoff = 0x3300;
	eh.e_shentsize = sizeof(Elf64_Shdr);
	eh.e_shnum = 5;
	eh.e_shstrndx = 3;
	memcpy(lib, &eh, sizeof eh);
	Elf64_Phdr ph[5] = {
		{ PT_LOAD, PF_R, 0, 0, 0, 0x400, 0x400, PAGE },
		{ PT_LOAD, PF_R | PF_X, 0x1000, 0x1000, 0x1000, 0x1000, 0x1000, PAGE },
		{ PT_LOAD, PF_R | PF_W, 0x2000, 0x3000, 0x3000, 0x1000, 0x2000, PAGE },
		{ PT_NOTE, PF_R, 0x300, 0x300, 0x300, with_id ? 36 : 0, with_id ? 36 : 0, 4 },
		{ PT_DYNAMIC, PF_R | PF_W, 0x2800, 0x3800, 0x3800, 0x100, 0x100, 8 },
	};
	memcpy(lib + sizeof eh, ph, sizeof ph);
	if (with_id)
		add_note(lib + 0x300, "GNU", NT_GNU_BUILD_ID, "0123456789abcdefghij", 20);
}

/* ---- a core ------------------------------------------------------------------------ */

struct spec {
	Elf64_Ehdr eh;
	struct {
		Elf64_Phdr ph;          /* p_offset is set by core_write() */
		const void *bytes;      /* p_filesz of them */
	} loads[MAX_LOADS];
	unsigned nloads;
	struct {
		uint64_t start, end, offset; /* offset in bytes */
		const char *path;
	} files[MAX_FILES];
	unsigned nfiles;
	uint64_t unit;       /* of offsets in NT_FILE */
	unsigned shift;      /* of segments' offsets: 0 = aligned (kernel), else gcore */
	size_t size;         /* of the file, set by core_write() */
};

static uint8_t heap[2 * PAGE], data[PAGE], stack[PAGE];

static void add_load(struct spec *s, uint64_t start, uint64_t memsz, const void *bytes,
		     uint64_t filesz, uint32_t flags)
{
	s->loads[s->nloads].ph = (Elf64_Phdr){ PT_LOAD, flags, 0, start, 0, filesz, memsz, PAGE };
	s->loads[s->nloads++].bytes = bytes;
}

static uint64_t auxv[] = { AT_HWCAP, 0x178bfbff, AT_ENTRY, BASE + 0x1010, AT_PHDR, BASE + sizeof(Elf64_Ehdr),
			   AT_EXECFN, STACK + 0xff0, AT_NULL, 0 };

/* argc, argv, environment, auxv, strings */
static void stack_build(void)
{
	uint64_t words[] = { 2, STACK + 0xf00, STACK + 0xf10, 0, STACK + 0xf80, 0 };
	memset(stack, 0, sizeof stack);
	memcpy(stack + 0x800, words, sizeof words);
	memcpy(stack + 0x800 + sizeof words, auxv, sizeof auxv);
	strcpy((char *)stack + 0xf00, "prog");
	strcpy((char *)stack + 0xf10, "a b.py");
	strcpy((char *)stack + 0xf80, "HOME=/");
	strcpy((char *)stack + 0xff0, "/bin/prog");
}

/* A core as the kernel writes it: first page and changed data of the library. */
static void spec_init(struct spec *s)
{
	*s = (struct spec){ .eh = header(ET_CORE, 0), .unit = PAGE };
	for (unsigned i = 0; i < sizeof heap; i++)
		heap[i] = (uint8_t)(i * 13 + i / 256);
	memset(data, 0xdd, sizeof data);
	auxv[7] = STACK + 0xff0;
	stack_build();
	add_load(s, HEAP, sizeof heap, heap, sizeof heap, PF_R | PF_W);
	add_load(s, BASE, PAGE, lib, PAGE, PF_R);
	add_load(s, BASE + 0x1000, PAGE, NULL, 0, PF_R | PF_X);
	add_load(s, BASE + 0x3000, PAGE, data, PAGE, PF_R | PF_W);
	add_load(s, BASE + 0x4000, PAGE, heap, PAGE, PF_R | PF_W);
	add_load(s, STACK, PAGE, stack, PAGE, PF_R | PF_W);
	s->files[0].start = BASE, s->files[0].end = BASE + 0x1000;
	s->files[1].start = BASE + 0x1000, s->files[1].end = BASE + 0x2000;
	s->files[1].offset = 0x1000;
	s->files[2].start = BASE + 0x3000, s->files[2].end = BASE + 0x4000;
	s->files[2].offset = 0x2000;
	for (int i = 0; i < 3; i++)
		s->files[i].path = lib_path;
	s->nfiles = 3;
}

static size_t files_note(const struct spec *s, uint8_t *out)
{
	size_t n = 16;
	put(out, s->nfiles);
	put(out + 8, s->unit);
	for (unsigned i = 0; i < s->nfiles; i++, n += 24) {
		put(out + n, s->files[i].start);
		put(out + n + 8, s->files[i].end);
		put(out + n + 16, s->files[i].offset / s->unit);
	}
	for (unsigned i = 0; i < s->nfiles; i++) {
		strcpy((char *)out + n, s->files[i].path);
		n += strlen(s->files[i].path) + 1;
	}
	return n;
}

static size_t all_notes(const struct spec *s, uint8_t *out)
{
	uint8_t desc[2048] = { 0 };
	size_t n = 0;
	for (uint32_t tid = 77; tid < 79; tid++) {
		memset(desc, 0, 336);
		memcpy(desc + 32, &tid, 4);
		put(desc + 112 + 19 * 8, STACK + tid);
		put(desc + 112 + 21 * 8, 0x7000 + tid);
		n += add_note(out + n, "CORE", NT_PRSTATUS, desc, 336);
		if (tid > 77)
			continue;
		memset(desc, 0, 136);
		memcpy(desc + 24, &tid, 4);
		memcpy(desc + 40, "prog", 5);
		memcpy(desc + 56, "prog x.py ", 11);
		n += add_note(out + n, "CORE", NT_PRPSINFO, desc, 136);
		n += add_note(out + n, "CORE", NT_AUXV, auxv, sizeof auxv);
		n += add_note(out + n, "CORE", NT_FILE, desc, (uint32_t)files_note(s, desc));
		n += add_note(out + n, "LINUX", 0x202, desc, 33); /* registers: skipped */
	}
	return n;
}

static uint8_t file_bytes[1 << 17];

static void core_write(struct spec *s)
{
	uint8_t *out = file_bytes;
	size_t at = sizeof s->eh + (s->nloads + 1) * sizeof(Elf64_Phdr);
	Elf64_Phdr note = { .p_type = PT_NOTE, .p_offset = at, .p_align = 4 };
	memset(file_bytes, 0, sizeof file_bytes);
	note.p_filesz = all_notes(s, out + at);
	memcpy(out + sizeof s->eh, &note, sizeof note);
	at = ((at + note.p_filesz + PAGE - 1) & -PAGE) + s->shift;
	for (unsigned i = 0; i < s->nloads; i++) {
		Elf64_Phdr *ph = &s->loads[i].ph;
		if (!ph->p_offset)
			ph->p_offset = at;
		if (s->loads[i].bytes) {
			memcpy(out + at, s->loads[i].bytes, ph->p_filesz);
			at += ph->p_filesz;
		}
		memcpy(out + sizeof s->eh + (i + 1) * sizeof *ph, ph, sizeof *ph);
	}
	if (!s->eh.e_phnum)
		s->eh.e_phnum = (uint16_t)(s->nloads + 1);
	memcpy(out, &s->eh, sizeof s->eh);
	s->size = at;
	write_file(core_path, out, at);
}

/* ---- set-up ------------------------------------------------------------------------- */

static void setup(void)
{
	strcpy(dir, "/tmp/pyheap-core-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(lib_path, sizeof lib_path, "%s/lib.so", dir);
	snprintf(lib2_path, sizeof lib2_path, "%s/lib2.so", dir);
	snprintf(core_path, sizeof core_path, "%s/core", dir);
	lib_build(true);
	write_file(lib_path, lib, sizeof lib);
	memset(&notes, 0, sizeof notes);
}

static void teardown(void)
{
	unlink(lib_path);
	unlink(lib2_path);
	unlink(core_path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static struct ph_target *open_with(const char *exe, const char *sysroot)
{
	struct ph_target_options opt = { .exe = exe, .sysroot = sysroot };
	struct ph_target *t;
	struct ph_err *err = ph_target_open(core_path, &opt, &notes, &t);
	ck_assert_msg(!err, "%s", err ? ph_err_message(err) : "");
	ck_assert_ptr_null(ph_target_capture(t, &notes));
	return t;
}

static void open_fails(enum ph_code code, const char *exe)
{
	struct ph_target_options opt = { .exe = exe };
	struct ph_target *t;
	struct ph_err *err = ph_target_open(core_path, &opt, &notes, &t);
	ck_assert_ptr_nonnull(err);
	ck_assert_ptr_null(t);
	ck_assert_msg(ph_err_code(err) == code, "%d: %s", ph_err_code(err), ph_err_message(err));
	if (code != PH_ERR_USAGE)
		ck_assert_str_ne(ph_err_hint_text(err), "");
	ph_err_free(err);
}

static void has(struct ph_target *t, ph_addr addr, const void *bytes, size_t n)
{
	const void *p = ph_mem_at(t->mem, addr, n);
	ck_assert_msg(p != NULL, "%#lx is missing", (unsigned long)addr);
	ck_assert_msg(!memcmp(p, bytes, n), "%#lx has other bytes", (unsigned long)addr);
}

static bool missing(struct ph_target *t, ph_addr addr)
{
	return !ph_mem_at(t->mem, addr, 1);
}

/* Everything that a whole core of spec_init() must show. */
static void check_whole(struct ph_target *t)
{
	has(t, HEAP, heap, sizeof heap);
	has(t, BASE, lib, PAGE);
	has(t, BASE + 0x1000, lib + 0x1000, PAGE); /* code: from the file */
	has(t, BASE + 0x3000, data, PAGE);         /* data: the core's, not the file's */
	ck_assert(missing(t, BASE + 0x2000));
	ck_assert_uint_eq(t->nmodules, 1);
	const struct ph_module *m = &t->modules[0];
	ck_assert_uint_eq(m->bias, BASE);
	ck_assert_uint_eq(m->start, BASE);
	ck_assert_uint_eq(m->end, BASE + 0x5000); /* .bss included */
	ck_assert_ptr_eq(ph_target_module_at(t, BASE + 0x4fff), m);
	ck_assert_ptr_null(ph_target_module_at(t, BASE + 0x5000));
	ck_assert_str_eq(m->path, lib_path);
}

/* ---- what real writers write -------------------------------------------------------- */

START_TEST(test_kernel)
{
	struct spec s;
	spec_init(&s);
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	check_whole(t);
	ck_assert_int_eq(t->kind, PH_TARGET_CORE);
	ck_assert_int_eq(t->pid, 77);
	ck_assert_uint_eq(t->machine, EM_X86_64);
	ck_assert_uint_eq(t->nthreads, 2);
	ck_assert_int_eq(t->threads[1].tid, 78);
	ck_assert_uint_eq(t->threads[1].sp, STACK + 78);
	ck_assert_uint_eq(t->threads[1].tls, 0x7000 + 78);
	ck_assert_str_eq(t->threads[0].name, "prog");
	ck_assert_str_eq(t->threads[1].name, "");
	ck_assert_str_eq(t->exe, lib_path);
	ck_assert_uint_eq(t->argc, 2);
	ck_assert_str_eq(t->argv[1], "a b.py");
	ck_assert(t->pause_ms < 0);
	ck_assert(ph_mem_segment(t->mem, HEAP)->writable);
	ck_assert(!ph_mem_segment(t->mem, BASE + 0x1000)->writable);
	ck_assert_int_ge(ph_mem_segment(t->mem, HEAP)->fd, 0);
	char *id = ph_module_build_id(&t->modules[0]);
	ck_assert_str_eq(id, "303132333435363738396162636465666768696a");
	free(id);
	for (int k = 0; k < PH_NOTE_KINDS; k++)
		ck_assert_uint_eq(notes.kind[k].count, 0);
	ph_target_close(t);
}
END_TEST

/* The program was an argument of its loader: argc is lost, arguments are not. */
START_TEST(test_argc)
{
	struct spec s;
	spec_init(&s);
	put(stack + 0x800, 0x1c);
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	ck_assert_uint_eq(t->argc, 2);
	ck_assert_str_eq(t->argv[0], "prog");
	ck_assert_str_eq(t->argv[1], "a b.py");
	ph_target_close(t);
}
END_TEST

/* libffi maps a page of its code once more, far from the rest: it is the same file, though
 * its first page, with the build-id, is not there. */
START_TEST(test_page_of_its_own)
{
	struct spec s;
	spec_init(&s);
	memmove(s.files + 2, s.files, 3 * sizeof *s.files);
	s.files[0] = s.files[3];
	s.files[0].start = BASE - 0x100000;
	s.files[0].end = BASE - 0x100000 + PAGE;
	s.files[1] = s.files[0];
	s.files[1].start += 0x10000;
	s.files[1].end += 0x10000;
	s.files[1].path = "/dev/zero";
	s.nfiles = 5;
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	has(t, BASE - 0x100000, lib + 0x1000, PAGE);
	ck_assert_uint_eq(notes.kind[PH_NOTE_MISSING_FILE].count, 0);
	/* and all that there is of it: the rest is where it is loaded */
	const struct ph_module *m = ph_target_module_at(t, BASE - 0x100000);
	ph_addr addr;
	uint64_t n;
	const uint8_t *bytes;
	ck_assert_ptr_nonnull(m);
	ck_assert_ptr_null(ph_target_module_at(t, BASE - 0x100000 + PAGE));
	ck_assert(!ph_module_code(m, 0, &addr, &n, &bytes));
	ck_assert(!ph_module_data(m, 0, &addr, &n, &bytes));
	ck_assert(ph_module_code(ph_target_module_at(t, BASE), 0, &addr, &n, &bytes));
	ck_assert_uint_eq(addr, BASE + 0x1000);
	ph_target_close(t);
}
END_TEST

/* gcore: offsets that are not page-aligned, units of one byte, no code segment. */
START_TEST(test_gcore)
{
	struct spec s;
	spec_init(&s);
	s.unit = 1;
	s.shift = 0x2c8;
	s.loads[2].ph.p_type = PT_NULL;
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	check_whole(t);
	ck_assert_int_eq(ph_mem_segment(t->mem, HEAP)->fd, -1);
	ph_target_close(t);
}
END_TEST

/* dlmopen() of a file that is loaded already: the kernel may put both side by side. */
START_TEST(test_loaded_twice)
{
	struct spec s;
	ph_addr addr;
	spec_init(&s);
	unsigned n = s.nfiles;
	for (unsigned i = 0; i < n; i++) {
		s.files[s.nfiles] = s.files[i];
		s.files[s.nfiles].start += 0x10000;
		s.files[s.nfiles++].end += 0x10000;
	}
	add_load(&s, BASE + 0x10000, PAGE, lib, PAGE, PF_R);
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	ck_assert_uint_eq(t->nmodules, 2);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_uint_eq(t->modules[i].start, BASE + i * 0x10000);
		ck_assert(ph_module_symbol(&t->modules[i], "data", &addr, NULL));
		ck_assert_uint_eq(addr, BASE + i * 0x10000 + 0x3020);
		ck_assert_ptr_eq(ph_target_module_at(t, addr), &t->modules[i]);
	}
	ph_target_close(t);
}
END_TEST

/* Without section headers: what the loader reads. Tables and counts may be anything. */
START_TEST(test_dynamic)
{
	struct spec s;
	ph_addr addr;
	static const Elf64_Dyn tables[] = {
		{ DT_SYMTAB, { 0x4000 } }, { DT_STRTAB, { 0x4100 } }, { DT_STRSZ, { 0x40 } },
		{ DT_SYMENT, { sizeof(Elf64_Sym) } }, { DT_HASH, { 0x4800 } }, { DT_NULL, { 0 } },
	};
	for (uint32_t count = 0; count < 4; count++) {
		static const uint32_t counts[] = { 7, 2, 0, UINT32_MAX };
		lib_build(true);
		Elf64_Ehdr *eh = (void *)lib;
		Elf64_Phdr *ph = (void *)(lib + sizeof *eh);
		eh->e_shoff = eh->e_shnum = 0;
		eh->e_phnum = 5;
		ph[2].p_filesz = 0x2000; /* the tables are in its data */
		ph[4] = (Elf64_Phdr){ PT_DYNAMIC, PF_R, 0x3900, 0x4900, 0x4900, sizeof tables, sizeof tables, 8 };
		memcpy(lib + 0x3900, tables, sizeof tables);
		memcpy(lib + 0x3804, &counts[count], 4);
		write_file(lib_path, lib, sizeof lib);
		spec_init(&s);
		core_write(&s);
		struct ph_target *t = open_with(NULL, NULL);
		ck_assert_uint_eq(t->nmodules, 1);
		ck_assert_int_eq(ph_module_exports(t->modules, "code", &addr), count != 2);
		ck_assert_int_eq(ph_module_exports(t->modules, "data", &addr), counts[count] > 2);
		ck_assert(!ph_module_exports(t->modules, "undefined", &addr));
		ck_assert(!ph_module_is_copy(t->modules, BASE + 0x3020));
		ph_target_close(t);
	}
	lib_build(true);
	write_file(lib_path, lib, sizeof lib);
}
END_TEST

START_TEST(test_symbols)
{
	struct spec s;
	const struct ph_module *m;
	ph_addr addr;
	uint64_t size;
	spec_init(&s);
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	ck_assert(ph_target_symbol(t, "code", &m, &addr, &size));
	ck_assert_uint_eq(addr, BASE + 0x1010);
	ck_assert_uint_eq(size, 16);
	ck_assert_ptr_eq(m, t->modules);
	ck_assert(ph_target_symbol(t, "data", NULL, &addr, NULL));
	ck_assert_uint_eq(addr, BASE + 0x3020); /* the global one */
	ck_assert(ph_target_symbol(t, "local", NULL, &addr, NULL));
	ck_assert_uint_eq(addr, BASE + 0x1100);
	ck_assert(!ph_target_symbol(t, "undefined", NULL, &addr, NULL));
	ck_assert(!ph_target_symbol(t, "far", NULL, &addr, NULL)); /* in no segment */
	ck_assert(!ph_target_symbol(t, "cod", NULL, &addr, NULL));
	ck_assert(!ph_target_symbol(t, "", NULL, &addr, NULL));
	ck_assert(ph_module_section(m, ".blob", &addr, &size));
	ck_assert_uint_eq(addr, BASE + 0x3020);
	ck_assert_uint_eq(size, 0x40);
	ck_assert(!ph_module_section(m, ".text", &addr, &size));
	ck_assert_mem_eq(ph_module_bytes(m, BASE + 0x1010, 16), lib + 0x1010, 16);
	ck_assert_mem_eq(ph_module_bytes(m, BASE + 0x3020, 16), lib + 0x2020, 16);
	ck_assert_ptr_null(ph_module_bytes(m, BASE + 0x1ff8, 16));
	ck_assert_ptr_null(ph_module_bytes(m, BASE + 0x4000, 1)); /* .bss */
	ck_assert_ptr_null(ph_module_bytes(m, BASE - 8, 16));
	ph_target_close(t);
}
END_TEST

/* The process never wrote to its data: the core leaves it out, the file has it. */
START_TEST(test_clean_data)
{
	struct spec s;
	spec_init(&s);
	s.loads[3].ph.p_filesz = 0;
	s.loads[3].bytes = NULL;
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	has(t, BASE + 0x3000, lib + 0x2000, PAGE);
	ck_assert(ph_mem_segment(t->mem, BASE + 0x3000)->writable);
	ph_target_close(t);
}
END_TEST

/* A file that was only read through mmap is no module, wherever it lies. */
START_TEST(test_data_mapping)
{
	struct spec s;
	spec_init(&s);
	memmove(s.files + 1, s.files, 3 * sizeof *s.files);
	s.nfiles = 4;
	s.files[0] = (typeof(*s.files)){ BASE - 0x8000, BASE - 0x4000, 0, lib_path };
	add_load(&s, BASE - 0x8000, 4 * PAGE, lib, PAGE, PF_R);
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	ck_assert_uint_eq(t->nmodules, 1);
	ck_assert_uint_eq(t->modules[0].bias, BASE);
	ck_assert_uint_eq(t->modules[0].start, BASE);
	ph_target_close(t);
}
END_TEST

/* More segments than e_phnum can say. */
START_TEST(test_many_segments)
{
	unsigned n = 70000;
	size_t size = sizeof(Elf64_Ehdr) + n * sizeof(Elf64_Phdr) + sizeof(Elf64_Shdr);
	uint8_t *out = calloc(1, size + 16 * n);
	Elf64_Ehdr eh = header(ET_CORE, PN_XNUM);
	Elf64_Shdr sh = { .sh_info = n };
	eh.e_shoff = size - sizeof sh;
	eh.e_shentsize = sizeof sh;
	memcpy(out, &eh, sizeof eh);
	memcpy(out + eh.e_shoff, &sh, sizeof sh);
	for (unsigned i = 0; i < n; i++) {
		Elf64_Phdr ph = { PT_LOAD, PF_R | PF_W, size + 16 * i, HEAP + 0x2000ull * i, 0, 16,
				  PAGE, 1 };
		memcpy(out + sizeof eh + i * sizeof ph, &ph, sizeof ph);
		put(out + size + 16 * i, i);
	}
	write_file(core_path, out, size + 16 * n);
	free(out);
	struct ph_target *t = open_with(NULL, NULL);
	ck_assert_uint_eq(t->mem->nsegs, n);
	for (unsigned i = 0; i < n; i++) {
		uint64_t v;
		ck_assert(ph_mem_u64(t->mem, HEAP + 0x2000ull * i, &v));
		ck_assert_uint_eq(v, i);
	}
	ph_target_close(t);
}
END_TEST

/* Memory that is mostly reserved: as gcore writes it, and with holes as the kernel does. */
START_TEST(test_reserved)
{
	const uint64_t mib = 1 << 20, size = 12 * mib;
	const size_t at = PAGE + 8; /* gcore aligns nothing */
	uint8_t *out = calloc(1, at + size);
	Elf64_Ehdr eh = header(ET_CORE, 1);
	Elf64_Phdr ph = { PT_LOAD, PF_R | PF_W, at, HEAP, 0, size, size, 1 };
	memcpy(out, &eh, sizeof eh);
	memcpy(out + sizeof eh, &ph, sizeof ph);
	memset(out + at, 1, PAGE);
	out[at + 5 * mib + mib / 2] = 2;
	out[at + size - 1] = 3;
	if (_i) {
		write_file(core_path, out, at + PAGE);
		int fd = open(core_path, O_WRONLY | O_CLOEXEC);
		ck_assert_int_eq(pwrite(fd, "\2", 1, (off_t)(at + 5 * mib + mib / 2)), 1);
		ck_assert_int_eq(pwrite(fd, "\3", 1, (off_t)(at + size - 1)), 1);
		close(fd);
	} else {
		write_file(core_path, out, at + size);
	}
	struct ph_target *t = open_with(NULL, NULL);
	ck_assert_uint_eq(t->mem->linear_size, 3 * mib);
	has(t, HEAP, out + at, size); /* all of it can be read */
	ck_assert(missing(t, HEAP + size));
	ck_assert_uint_eq(ph_mem_linear(t->mem, HEAP + 3 * mib), PH_NOWHERE);
	ck_assert_uint_ne(ph_mem_linear(t->mem, HEAP + 5 * mib), PH_NOWHERE);
	ph_addr start, end;
	ck_assert(ph_target_zeroes(t, 0, &start, &end));
	ck_assert_uint_eq(start, HEAP);
	ck_assert_uint_eq(end, HEAP + size);
	ck_assert(!ph_target_zeroes(t, 1, &start, &end));
	ph_target_close(t);
	free(out);
}
END_TEST

/* ---- which file -------------------------------------------------------------------------- */

/* Another build under the same path, and the right one under --sysroot. */
START_TEST(test_wrong_build_id)
{
	struct spec s;
	char root[160], sub[256], *slash;
	spec_init(&s);
	core_write(&s);
	lib[0x310]++;
	write_file(lib_path, lib, sizeof lib);
	lib[0x310]--;
	struct ph_target *t = open_with(NULL, NULL);
	ck_assert_uint_eq(notes.kind[PH_NOTE_MISSING_FILE].count, 1);
	ck_assert(missing(t, BASE + 0x1000));
	has(t, BASE + 0x3000, data, PAGE);
	ck_assert_uint_eq(t->nmodules, 1); /* known from the core's first page */
	ck_assert_uint_eq(t->modules[0].bias, BASE);
	ck_assert_ptr_null(t->modules[0].open_path);
	ck_assert_uint_eq(t->modules[0].build_id_len, 20);
	ck_assert_ptr_null(ph_module_bytes(&t->modules[0], BASE + 0x1000, 8));
	ph_target_close(t);
	t = open_with(NULL, "/"); /* nobody's word goes above a build-id */
	ck_assert_uint_eq(notes.kind[PH_NOTE_MISSING_FILE].count, 2);
	ck_assert(missing(t, BASE + 0x1000));
	ph_target_close(t);

	snprintf(root, sizeof root, "%s/root", dir);
	snprintf(sub, sizeof sub, "mkdir -p %s%s", root, dir);
	ck_assert_int_eq(system(sub), 0);
	snprintf(sub, sizeof sub, "%s%s", root, lib_path);
	write_file(sub, lib, sizeof lib);
	memset(&notes, 0, sizeof notes);
	t = open_with(NULL, root);
	ck_assert_str_eq(t->modules[0].open_path, sub);
	check_whole(t);
	ck_assert_uint_eq(notes.kind[PH_NOTE_MISSING_FILE].count, 0);
	ph_target_close(t);
	t = open_with(sub, NULL); /* the same by --exe */
	ck_assert_str_eq(t->modules[0].open_path, sub);
	ph_target_close(t);
	unlink(sub);
	while ((slash = strrchr(sub, '/')) && strcmp(sub, dir)) {
		*slash = '\0';
		if (strcmp(sub, dir))
			rmdir(sub);
	}
}
END_TEST

/* No build-id: the constant pages that the core holds decide. */
START_TEST(test_no_build_id)
{
	struct spec s;
	lib_build(false);
	write_file(lib_path, lib, sizeof lib);
	spec_init(&s);
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	check_whole(t);
	ph_target_close(t);
	lib[0x200] ^= 1; /* unused space in the first page */
	write_file(lib_path, lib, sizeof lib);
	lib[0x200] ^= 1;
	t = open_with(NULL, NULL);
	ck_assert_uint_eq(notes.kind[PH_NOTE_MISSING_FILE].count, 1);
	ck_assert(missing(t, BASE + 0x1000));
	ph_target_close(t);
}
END_TEST

/* Nothing of the file is in the core: the user must name it. */
START_TEST(test_exe)
{
	struct spec s;
	spec_init(&s);
	s.loads[1].ph.p_filesz = 0;
	s.loads[1].bytes = NULL;
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	ck_assert_uint_eq(notes.kind[PH_NOTE_MISSING_FILE].count, 1);
	ck_assert_uint_eq(t->nmodules, 1);
	ck_assert_ptr_null(t->modules[0].elf);
	ck_assert_uint_eq(t->unproven_files, 1);
	ph_target_close(t);
	t = open_with(NULL, dir); /* it names itself with the folder */
	check_whole(t);
	ck_assert_uint_eq(t->unproven_files, 0);
	ph_target_close(t);
	t = open_with(lib_path, NULL);
	check_whole(t);
	ph_target_close(t);
	Elf64_Phdr *code = (Elf64_Phdr *)(lib + sizeof(Elf64_Ehdr)) + 1;
	code->p_vaddr += 0x100000; /* another layout */
	write_file(lib_path, lib, sizeof lib);
	code->p_vaddr -= 0x100000;
	open_fails(PH_ERR_USAGE, lib_path);
	open_fails(PH_ERR_USAGE, "/nonexistent");
	open_fails(PH_ERR_USAGE, core_path);
}
END_TEST

/* ---- without NT_FILE ------------------------------------------------------------------------ */

#define BASE2 (BASE + 0x10000000)
#define R_DEBUG 0x100u /* in heap, like the entries of the list */
#define LINK(i) (0x200u + 0x40 * (i))
#define LINKS 3

static void add_link(unsigned i, uint64_t addr, uint64_t name, uint64_t ld)
{
	uint64_t link[] = { addr, name, ld, i + 1 < LINKS ? HEAP + LINK(i + 1) : 0, i ? HEAP + LINK(i - 1) : 0 };
	memcpy(heap + LINK(i), link, sizeof link);
}

/* Program, vdso and a library, as the loader lists them. */
static void links_init(struct spec *s)
{
	spec_init(s);
	s->nfiles = 0;
	add_load(s, BASE2, PAGE, lib, PAGE, PF_R);
	add_load(s, BASE2 + 0x1000, PAGE, NULL, 0, PF_R | PF_X);
	add_load(s, BASE2 + 0x3000, PAGE, data, PAGE, PF_R | PF_W);
	write_file(lib2_path, lib, sizeof lib);
	put(data + 0x800, DT_DEBUG);
	put(data + 0x808, HEAP + R_DEBUG);
	put(data + 0x810, DT_NULL);
	put(heap + R_DEBUG + 8, HEAP + LINK(0));
	add_link(0, BASE, HEAP + 0x500, BASE + 0x3800);
	add_link(1, STACK - 0x2000, HEAP + 0x510, STACK - 0x1000);
	add_link(2, BASE2, HEAP + 0x580, BASE2 + 0x3800);
	heap[0x500] = 0;
	strcpy((char *)heap + 0x510, "linux-vdso.so.1");
	strcpy((char *)heap + 0x580, lib2_path);
	strcpy((char *)stack + 0xf90, lib_path);
	auxv[7] = STACK + 0xf90;
}

static void check_links(struct ph_target *t)
{
	ck_assert_uint_eq(t->nmodules, 2);
	ck_assert_uint_eq(t->modules[0].bias, BASE);
	ck_assert_uint_eq(t->modules[1].bias, BASE2);
	ck_assert_str_eq(t->modules[1].path, lib2_path);
	has(t, BASE + 0x1000, lib + 0x1000, PAGE);
	has(t, BASE2 + 0x1000, lib + 0x1000, PAGE);
	has(t, BASE + 0x3000, data, PAGE);
	has(t, BASE2, lib, PAGE);
	ck_assert(missing(t, BASE + 0x2000));
	ck_assert_uint_eq(notes.kind[PH_NOTE_MISSING_FILE].count, 0);
}

START_TEST(test_links)
{
	struct spec s;
	links_init(&s);
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	check_links(t);
	ck_assert_str_eq(t->exe, lib_path);
	ph_target_close(t);
	stack[0xf90] = 0; /* it says no name */
	core_write(&s);
	t = open_with(lib_path, NULL);
	check_links(t);
	ph_target_close(t);
	open_fails(PH_ERR_USAGE, core_path);
	open_fails(PH_ERR_USAGE, "/bin/true");
}
END_TEST

/* The program's file is not there, or is another one: its first page leads on. */
START_TEST(test_links_image)
{
	struct spec s;
	links_init(&s);
	core_write(&s);
	lib[0x310]++;
	write_file(lib_path, lib, sizeof lib);
	lib[0x310]--;
	struct ph_target *t = open_with(NULL, NULL);
	ck_assert_uint_eq(t->nmodules, 2);
	ck_assert_uint_eq(t->modules[0].bias, BASE);
	ck_assert_uint_eq(t->modules[0].build_id_len, 20);
	ck_assert_ptr_null(t->modules[0].open_path);
	ck_assert_uint_eq(notes.kind[PH_NOTE_MISSING_FILE].count, 1);
	has(t, BASE2 + 0x1000, lib + 0x1000, PAGE);
	ck_assert(missing(t, BASE + 0x1000));
	ph_target_close(t);
}
END_TEST

/* A list that goes in circles, or whose end is lost. */
START_TEST(test_links_broken)
{
	static const uint64_t nexts[] = { HEAP + LINK(0), HEAP + LINK(1), HEAP + LINK(2), 8, UINT64_MAX };
	struct spec s;
	links_init(&s);
	for (unsigned i = 0; i < sizeof nexts / sizeof *nexts; i++) {
		put(heap + LINK(2) + 24, nexts[i]);
		core_write(&s);
		memset(&notes, 0, sizeof notes);
		struct ph_target *t = open_with(NULL, NULL);
		ck_assert_uint_eq(t->nmodules, 2);
		ck_assert_uint_eq(notes.kind[PH_NOTE_MISSING_FILE].count, 1);
		ph_target_close(t);
	}
}
END_TEST

START_TEST(test_links_absurd)
{
	static const uint64_t values[] = { 0, 1, 0xfff, HEAP, BASE, BASE2, 1ull << 47, 1ull << 63, UINT64_MAX - 7,
					   UINT64_MAX };
	struct spec s;
	links_init(&s);
	for (unsigned at = 0; at < 40 + sizeof auxv / 8; at++) {
		uint8_t *word = at < 2 ? heap + R_DEBUG + 8 * at : at < 32 ? heap + LINK(0) + 8 * at
				: at < 40 ? data + 0x800 + 8 * (at - 32) : (uint8_t *)auxv + 8 * (at - 40);
		for (unsigned v = 0; v < sizeof values / sizeof *values; v++) {
			uint64_t old = ph_load_u64(word);
			put(word, values[v]);
			core_write(&s);
			struct ph_target *t = open_with(NULL, NULL);
			for (size_t i = 0; i < t->mem->nsegs; i++)
				ck_assert_ptr_nonnull(ph_mem_at(t->mem, t->mem->segs[i].start, 1));
			ph_target_close(t);
			put(word, old);
		}
	}
}
END_TEST

/* ---- what is no core ------------------------------------------------------------------------ */

START_TEST(test_not_a_core)
{
	static const char *const texts[] = { "", "\x7f" "ELF", "#!/bin/sh\necho no core at all\n",
					     "\x28\xb5\x2f\xfd.......................",
					     "\x1f\x8b......................." };
	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
		write_file(core_path, texts[i], strlen(texts[i]));
		open_fails(PH_ERR_NOT_PYTHON, NULL);
	}
	write_file(core_path, lib, sizeof lib);
	open_fails(PH_ERR_NOT_PYTHON, NULL);
	unlink(core_path);
	open_fails(PH_ERR_USAGE, NULL);
	ck_assert_int_eq(mkdir(core_path, 0700), 0);
	open_fails(PH_ERR_USAGE, NULL);
	rmdir(core_path);
	ck_assert_int_eq(mkfifo(core_path, 0600), 0);
	open_fails(PH_ERR_USAGE, NULL);
}
END_TEST

START_TEST(test_foreign)
{
	struct spec s;
	spec_init(&s);
	s.eh.e_ident[EI_CLASS] = ELFCLASS32;
	core_write(&s);
	open_fails(PH_ERR_REFUSED, NULL);
	spec_init(&s);
	s.eh.e_ident[EI_DATA] = ELFDATA2MSB;
	s.eh.e_type = ET_CORE << 8;
	core_write(&s);
	open_fails(PH_ERR_REFUSED, NULL);
	spec_init(&s);
	s.eh.e_machine = EM_RISCV;
	core_write(&s);
	open_fails(PH_ERR_REFUSED, NULL);
	spec_init(&s);
	s.eh.e_machine = EM_AARCH64;
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	ck_assert_uint_eq(t->machine, EM_AARCH64);
	ph_target_close(t);
}
END_TEST

/* ---- what is broken ---------------------------------------------------------------------------- */

/* Every prefix of a core shows what it holds, and takes no file's bytes for data
 * that was dumped and lost. */
START_TEST(test_truncated)
{
	struct spec s;
	struct ph_target_options opt = { 0 };
	spec_init(&s);
	core_write(&s);
	unsigned answered = 0;
	for (size_t n = 0; n < s.size; n += 0x80) {
		struct ph_target *t;
		memset(&notes, 0, sizeof notes);
		ck_assert_int_eq(truncate(core_path, (off_t)n), 0);
		write_file(core_path, file_bytes, n);
		struct ph_err *err = ph_target_open(core_path, &opt, &notes, &t);
		if (err) {
			ck_assert_int_eq(ph_err_code(err), PH_ERR_NOT_PYTHON);
			ck_assert_str_ne(ph_err_hint_text(err), "");
			ph_err_free(err);
			continue;
		}
		ck_assert_ptr_null(ph_target_capture(t, &notes));
		ck_assert_uint_ge(notes.kind[PH_NOTE_TRUNCATED_CORE].count, 1);
		if (n > s.loads[0].ph.p_offset) /* all headers are there */
			ck_assert_uint_eq(t->lost_bytes, s.size - n);
		for (unsigned i = 0; i < s.nloads; i++) {
			const Elf64_Phdr *ph = &s.loads[i].ph;
			uint64_t in = n > ph->p_offset ? n - ph->p_offset : 0;
			in = in < ph->p_filesz ? in : ph->p_filesz;
			if (in)
				has(t, ph->p_vaddr, s.loads[i].bytes, in);
			if (in < ph->p_filesz)
				ck_assert(missing(t, ph->p_vaddr + in));
		}
		ph_target_close(t);
		answered++;
	}
	ck_assert_uint_gt(answered, 100);
}
END_TEST

/* A packed core is the core; of one that is cut off or changed in the middle what came
 * before is used, and it is told. */
START_TEST(test_packed)
{
	struct spec s;
	size_t n;
	unsigned answered = 0;
	struct ph_target_options opt = { 0 };
	spec_init(&s);
	core_write(&s);
	uint8_t *packed = pack_bytes((unsigned)_i, file_bytes, s.size, &n);
	write_file(core_path, packed, n);
	struct ph_target *t = open_with(NULL, NULL);
	check_whole(t);
	ck_assert_str_eq(t->packed, pack_names[_i]);
	ck_assert_int_ge(ph_mem_segment(t->mem, HEAP)->fd, 0);
	for (int k = 0; k < PH_NOTE_KINDS; k++)
		ck_assert_uint_eq(notes.kind[k].count, 0);
	ph_target_close(t);
	for (size_t at = 0; at < 2 * n; at += 7) {
		memset(&notes, 0, sizeof notes);
		if (at < n)
			packed[at] ^= 0x10;
		write_file(core_path, packed, at < n ? n : at - n);
		if (at < n)
			packed[at] ^= 0x10;
		struct ph_err *err = ph_target_open(core_path, &opt, &notes, &t);
		if (err) {
			ck_assert_int_eq(ph_err_code(err), PH_ERR_NOT_PYTHON);
			ck_assert_str_ne(ph_err_hint_text(err), "");
			ph_err_free(err);
			continue;
		}
		ck_assert_ptr_null(ph_target_capture(t, &notes));
		if (notes.kind[PH_NOTE_TRUNCATED_CORE].count)
			ck_assert(t->fault);
		else
			check_whole(t);
		ph_target_close(t);
		answered++;
	}
	ck_assert_uint_gt(answered, 20);
	free(packed);
}
END_TEST

START_TEST(test_overlapping)
{
	struct spec s;
	spec_init(&s);
	add_load(&s, HEAP + PAGE, 2 * PAGE, data, PAGE, PF_R | PF_W);
	add_load(&s, HEAP - PAGE, 2 * PAGE, lib, 2 * PAGE, PF_R);
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	ck_assert_ptr_nonnull(ph_mem_at(t->mem, HEAP, PAGE));
	ck_assert_ptr_nonnull(ph_mem_at(t->mem, HEAP + PAGE, PAGE));
	ck_assert(missing(t, HEAP + 2 * PAGE));
	ph_target_close(t);
}
END_TEST

/* The same file bytes at many addresses: no more memory than the file has. */
START_TEST(test_same_bytes)
{
	struct spec s;
	spec_init(&s);
	core_write(&s);
	for (unsigned i = 0; i < 8; i++) {
		add_load(&s, HEAP + 0x1000000ull * (i + 1), s.size, NULL, s.size, PF_R);
		s.loads[s.nloads - 1].ph.p_offset = 1;
	}
	for (unsigned i = 0; i < 6; i++)
		s.loads[i].ph.p_offset = 0;
	s.eh.e_phnum = 0;
	core_write(&s);
	struct ph_target *t = open_with(NULL, NULL);
	ck_assert_uint_le(t->mem->linear_size, s.size + (MAX_LOADS + MAX_FILES) * PAGE);
	ck_assert_uint_ge(notes.kind[PH_NOTE_TRUNCATED_CORE].count, 1);
	ph_target_close(t);
}
END_TEST

/* One field of one header at a time takes values that no writer gives it. */
START_TEST(test_absurd_values)
{
	static const uint64_t values[] = { 0, 1, 7, 0xfff, 1ull << 31, 1ull << 32, 1ull << 47,
					   1ull << 63, UINT64_MAX - 7, UINT64_MAX };
	struct spec s;
	struct ph_target_options opt = { 0 };
	unsigned opened = 0;
	spec_init(&s);
	core_write(&s);
	size_t end = sizeof s.eh + (s.nloads + 1) * sizeof(Elf64_Phdr) + 0x500;
	for (size_t at = 16; at < end; at += 8) {
		for (unsigned v = 0; v < sizeof values / sizeof *values; v++) {
			struct ph_target *t;
			uint64_t old = ph_load_u64(file_bytes + at);
			put(file_bytes + at, values[v]);
			write_file(core_path, file_bytes, s.size);
			put(file_bytes + at, old);
			struct ph_err *err = ph_target_open(core_path, &opt, &notes, &t);
			ph_err_free(err);
			if (err)
				continue;
			ck_assert_ptr_null(ph_target_capture(t, &notes));
			for (size_t i = 0; i < t->mem->nsegs; i++) {
				const struct ph_segment *seg = &t->mem->segs[i];
				ck_assert_ptr_nonnull(ph_mem_at(t->mem, seg->start, 1));
				volatile uint8_t touch = seg->bytes[seg->end - seg->start - 1];
				(void)touch;
			}
			ph_target_close(t);
			opened++;
		}
	}
	ck_assert_uint_gt(opened, 1000);
}
END_TEST

/* The same for the library. */
START_TEST(test_absurd_library)
{
	static const uint64_t values[] = { 0, 1, 0xfff, 0x3ff8, 1ull << 32, 1ull << 55, 1ull << 63,
					   UINT64_MAX };
	struct spec s;
	ph_addr addr;
	spec_init(&s);
	core_write(&s);
	unsigned modules = 0;
	for (size_t at = 16; at < sizeof lib; at = at == 0x338 ? 0x3000 : at + 8) {
		if (at >= 0x3480)
			break;
		for (unsigned v = 0; v < sizeof values / sizeof *values; v++) {
			uint64_t old = ph_load_u64(lib + at), size;
			put(lib + at, values[v]);
			write_file(lib_path, lib, sizeof lib);
			put(lib + at, old);
			struct ph_target *t = open_with(NULL, NULL);
			for (size_t i = 0; i < t->nmodules; i++) {
				const void *p = NULL;
				if (ph_module_symbol(&t->modules[i], "data", &addr, &size))
					p = ph_module_bytes(&t->modules[i], addr, 8);
				if (p)
					addr += ph_load_u64(p);
				ph_module_section(&t->modules[i], ".blob", &addr, &size);
				modules++;
			}
			ph_target_close(t);
		}
	}
	ck_assert_uint_gt(modules, 500);
}
END_TEST

Suite *core_suite(void)
{
	Suite *s = suite_create("core");
	TCase *tc = tcase_create("core");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_kernel);
	tcase_add_test(tc, test_argc);
	tcase_add_test(tc, test_page_of_its_own);
	tcase_add_test(tc, test_gcore);
	tcase_add_test(tc, test_loaded_twice);
	tcase_add_test(tc, test_dynamic);
	tcase_add_test(tc, test_symbols);
	tcase_add_test(tc, test_clean_data);
	tcase_add_test(tc, test_data_mapping);
	tcase_add_test(tc, test_many_segments);
	tcase_add_loop_test(tc, test_reserved, 0, 2);
	tcase_add_test(tc, test_wrong_build_id);
	tcase_add_test(tc, test_no_build_id);
	tcase_add_test(tc, test_exe);
	tcase_add_test(tc, test_links);
	tcase_add_test(tc, test_links_image);
	tcase_add_test(tc, test_links_broken);
	tcase_add_test(tc, test_links_absurd);
	tcase_add_test(tc, test_not_a_core);
	tcase_add_test(tc, test_foreign);
	tcase_add_test(tc, test_truncated);
	tcase_add_loop_test(tc, test_packed, 0, PACK_FORMATS);
	tcase_add_test(tc, test_overlapping);
	tcase_add_test(tc, test_same_bytes);
	tcase_add_test(tc, test_absurd_values);
	tcase_add_test(tc, test_absurd_library);
	suite_add_tcase(s, tc);
	return s;
}
