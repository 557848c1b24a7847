/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The notes of a core: threads, mapped files, the process's name and arguments.
 * Layouts are those of the kernel's struct elf_prstatus, elf_prpsinfo and
 * fill_files_note() in fs/binfmt_elf.c. */
#include <elf.h>
#include "core_priv.h"

#define MAX_THREADS (1u << 20)
#define MAX_ARGS 65536
#define MAX_ARG_BYTES 4096
#define MAX_STACK_TOP (8ull << 20) /* arguments and environment lie this close to its end */

/* Byte offsets inside struct elf_prstatus: pr_pid and, in pr_reg, the registers. */
static const struct machine {
	uint16_t machine;
	uint16_t size, sp, tls; /* tls 0 = in a note of its own */
} machines[] = {
	{ EM_X86_64, 336, 112 + 19 * 8, 112 + 21 * 8 },
	{ EM_AARCH64, 392, 112 + 31 * 8, 0 },
};
#define PRSTATUS_PID 32
#define PRPSINFO_SIZE 136
#define PRPSINFO_PID 24
#define PRPSINFO_FNAME 40
#define PRPSINFO_PSARGS 56

static struct ph_err *read_prstatus(struct ph_core *core, uint16_t machine,
				    const struct ph_elf_note *note)
{
	const struct machine *m = machine == EM_X86_64 ? &machines[0] : &machines[1];
	if (note->descsz < m->size || core->threads.n >= MAX_THREADS)
		return NULL;
	struct ph_thread_regs t = {
		.tid = (pid_t)ph_load_u32(note->desc + PRSTATUS_PID),
		.sp = ph_load_u64(note->desc + m->sp),
		.tls = m->tls ? ph_load_u64(note->desc + m->tls) : 0,
	};
	return PH_VEC_PUSH(&core->threads, t) ? NULL : ph_err_nomem();
}

static void read_prpsinfo(struct ph_core *core, const struct ph_elf_note *note)
{
	if (note->descsz < PRPSINFO_SIZE)
		return;
	core->pid = (pid_t)ph_load_u32(note->desc + PRPSINFO_PID);
	memcpy(core->fname, note->desc + PRPSINFO_FNAME, 16);
	memcpy(core->psargs, note->desc + PRPSINFO_PSARGS, 80);
}

/* One entry of NT_FILE; name is NUL-terminated. */
static struct ph_err *add_mapping(struct ph_core *core, const uint8_t *entry, uint64_t page,
				  const char *name, size_t len)
{
	static const char gone[] = " (deleted)";
	size_t tail = sizeof gone - 1;
	struct ph_mapping map = { .start = ph_load_u64(entry), .end = ph_load_u64(entry + 8) };
	if (map.start >= map.end ||
	    __builtin_mul_overflow(ph_load_u64(entry + 16), page, &map.offset) || map.offset >> 56)
		return NULL;
	if (len > tail && !memcmp(name + len - tail, gone, tail)) {
		map.deleted = true;
		len -= tail;
	}
	map.path = strndup(name, len);
	if (!map.path || !PH_VEC_PUSH(&core->maps, map)) {
		free(map.path);
		return ph_err_nomem();
	}
	return NULL;
}

/* count, unit of offsets; count × {start, end, offset}; count names. */
static struct ph_err *read_files(struct ph_core *core, const struct ph_elf_note *note)
{
	if (note->descsz < 16)
		return NULL;
	uint64_t count = ph_load_u64(note->desc), page = ph_load_u64(note->desc + 8);
	if (count > (note->descsz - 16) / 24)
		return NULL;
	const char *name = (const char *)note->desc + 16 + count * 24;
	const char *end = (const char *)note->desc + note->descsz;
	for (uint64_t i = 0; i < count; i++) {
		const char *nul = memchr(name, '\0', (size_t)(end - name));
		if (!nul)
			break;
		struct ph_err *err = add_mapping(core, note->desc + 16 + i * 24, page, name,
						 (size_t)(nul - name));
		if (err)
			return err;
		name = nul + 1;
	}
	return NULL;
}

static struct ph_err *read_note(struct ph_core *core, uint16_t machine,
				const struct ph_elf_note *note)
{
	if (ph_elf_note_is(note, "LINUX", NT_ARM_TLS)) {
		if (note->descsz >= 8 && core->threads.n)
			core->threads.items[core->threads.n - 1].tls = ph_load_u64(note->desc);
		return NULL;
	}
	if (!ph_elf_note_is(note, "CORE", note->type))
		return NULL;
	switch (note->type) {
	case NT_PRSTATUS:
		return read_prstatus(core, machine, note);
	case NT_PRPSINFO:
		read_prpsinfo(core, note);
		return NULL;
	case NT_FILE:
		return read_files(core, note);
	case NT_AUXV:
		core->auxv = note->desc;
		core->auxv_size = note->descsz;
		return NULL;
	default:
		return NULL;
	}
}

struct ph_err *ph_core_read_notes(struct ph_core *core, uint16_t machine, const uint8_t *p,
				  uint64_t n, uint64_t align)
{
	const uint8_t *end = p + n;
	struct ph_elf_note note;
	while (ph_elf_note_next(&p, end, align, &note)) {
		struct ph_err *err = read_note(core, machine, &note);
		if (err)
			return err;
	}
	return NULL;
}

uint64_t ph_core_auxv(const struct ph_core *core, uint64_t type)
{
	for (uint64_t i = 0; i + 16 <= core->auxv_size; i += 16)
		if (ph_load_u64(core->auxv + i) == type)
			return ph_load_u64(core->auxv + i + 8);
	return 0;
}

/* ---- command line --------------------------------------------------------------------- */

/* The auxiliary vector's place on the stack: below the strings, of which
 * AT_EXECFN's is the last. 0 when it is not found. */
static ph_addr auxv_on_stack(const struct ph_core *core)
{
	ph_addr top = ph_core_auxv(core, AT_EXECFN) & -8ull;
	const struct ph_segment *seg = ph_mem_segment(core->own, top);
	uint64_t n = core->auxv_size < 64 ? core->auxv_size : 64;
	if (!seg || n < 32 || seg->end - seg->start < n)
		return 0;
	if (seg->end - top < n)
		top = (seg->end - n) & -8ull;
	for (ph_addr a = top; a >= seg->start && top - a < MAX_STACK_TOP; a -= 8) {
		if (!memcmp(seg->bytes + (a - seg->start), core->auxv, n))
			return a;
		if (a < 8)
			break;
	}
	return 0;
}

/* Address of argv[0] and the count: argc, argv[], NULL, envp[], NULL, auxv. A loader that was
 * given the program moves argc up, where _start may then overwrite it: argv begins behind what
 * is no address. */
static ph_addr argv_on_stack(const struct ph_core *core, uint64_t *ret_argc)
{
	uint64_t word;
	ph_addr a = auxv_on_stack(core);
	if (a < 16)
		return 0;
	a -= 16; /* over envp's NULL */
	for (int i = 0; i < MAX_ARGS && ph_mem_u64(core->own, a, &word) && word; i++)
		a -= 8;
	for (uint64_t i = 0; i < MAX_ARGS; i++) {
		if (!ph_mem_u64(core->own, a - 8 - i * 8, &word))
			return 0;
		if (word == i || !ph_mem_at(core->own, word, 1)) {
			*ret_argc = i;
			return a - i * 8;
		}
	}
	return 0;
}

static bool push_arg(struct ph_target *target, const char *text, size_t len)
{
	char **argv = realloc(target->argv, (target->argc + 1) * sizeof *argv);
	if (!argv)
		return false;
	target->argv = argv;
	argv[target->argc] = strndup(text, len);
	return argv[target->argc] && ++target->argc;
}

static struct ph_err *argv_from_psargs(const struct ph_core *core, struct ph_target *target)
{
	const char *p = core->psargs;
	while (*(p += strspn(p, " "))) {
		size_t n = strcspn(p, " ");
		if (!push_arg(target, p, n))
			return ph_err_nomem();
		p += n;
	}
	return NULL;
}

struct ph_err *ph_core_argv(const struct ph_core *core, struct ph_target *target)
{
	char text[MAX_ARG_BYTES];
	uint64_t argc = 0, arg;
	ph_addr at = argv_on_stack(core, &argc);
	for (uint64_t i = 0; at && i < argc; i++) {
		if (!ph_mem_u64(core->own, at + i * 8, &arg) ||
		    !ph_mem_str(core->own, arg, text, sizeof text))
			strcpy(text, "?");
		if (!push_arg(target, text, strlen(text)))
			return ph_err_nomem();
	}
	return target->argc ? NULL : argv_from_psargs(core, target);
}
