/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of an opened core, shared by core*.c. */
#ifndef PYHEAP_CORE_PRIV_H
#define PYHEAP_CORE_PRIV_H

#include <elf.h>
#include "target_priv.h"

/* One PT_LOAD, cut to what the file holds. */
struct ph_core_load {
	ph_addr start, end;    /* in the target; end by p_memsz */
	uint64_t offset, held; /* bytes that are in the file */
	bool writable, executable;
};
struct ph_core_range {
	ph_addr start, end;
};

struct ph_core {
	int fd;
	const uint8_t *bytes; /* the whole file, mapped */
	uint64_t size, mapped;
	char *exe, *sysroot, *lib_path; /* of the options, or NULL */
	bool exe_used;
	unsigned unproven_files;

	struct PH_VEC(struct ph_core_load) loads; /* by start */
	struct PH_VEC(struct ph_core_range) cut;  /* dumped, but beyond the end of the file */
	struct ph_mem *own;           /* the core's own bytes, while it is being opened */

	/* from the notes */
	struct ph_mappings maps;
	struct PH_VEC(struct ph_thread_regs) threads;
	const uint8_t *auxv;          /* in bytes */
	uint64_t auxv_size;
	char fname[17], psargs[81];
	pid_t pid;
};

/* core_notes.c: takes what counts from one PT_NOTE segment. */
struct ph_err *ph_core_read_notes(struct ph_core *core, uint16_t machine, const uint8_t *p,
				  uint64_t n, uint64_t align);
/* The value of an auxiliary vector entry, 0 when there is none. */
uint64_t ph_core_auxv(const struct ph_core *core, uint64_t type);
/* The command line: from the stack, else from NT_PRPSINFO; none is no error. */
struct ph_err *ph_core_argv(const struct ph_core *core, struct ph_target *target);

/* core_sparse.c: memory that may be reserved and not used: of such only what is not zeroes
 * is added, `whole` being all of it. */
bool ph_core_is_reserved(const struct ph_core *core, const struct ph_core_load *load);
struct ph_err *ph_core_add_reserved(const struct ph_core *core, const struct ph_segment *whole, struct ph_mem *mem);

/* core_links.c: mappings of a core that has no NT_FILE, from the dynamic loader's list of what
 * it has loaded. Needs core->own and the target's argv. */
struct ph_err *ph_core_links(struct ph_core *core, const struct ph_target *target, struct ph_notes *notes);

/* core_files.c: the path of a file below --sysroot, which is what the target says when it has run
 * from there; owned by the caller, NULL = no memory. */
char *ph_core_sysroot_path(const struct ph_core *core, const char *name);
/* The file of that name in the i-th folder of --lib-search-path, owned by the caller; NULL
 * when there are no more. */
char *ph_core_library_path(const struct ph_core *core, const char *name, size_t i);
/* Whether elf is the file that has these mappings (all of one path), as far as the
 * core can tell; vouched: the user says so. Sets *unproven when it can tell nothing. */
bool ph_core_is_file(const struct ph_core *core, const struct ph_mappings *maps, const struct ph_elf *elf,
		     bool vouched, bool *unproven);
/* The modules, from the files that the mappings name. */
struct ph_err *ph_core_modules(struct ph_core *core, struct ph_target *target,
			       struct ph_notes *notes);

#endif
