/* SPDX-License-Identifier: GPL-2.0-or-later */
/* target: a live process or an ELF core → its memory, modules and threads.
 * Knows Linux and ELF, knows nothing of Python. */
#ifndef PYHEAP_TARGET_H
#define PYHEAP_TARGET_H

#include <sys/types.h>
#include <time.h>
#include <pyheap/memory.h>

struct ph_target_options {
	const char *exe;          /* --exe FILE: the main program of a core, or NULL */
	const char *sysroot;      /* --sysroot DIR: look up the target's files below it, or NULL */
	const char *lib_search_path; /* --lib-search-path DIR:DIR: a core's files by their names, or NULL */
	const char *debug_file;   /* --debug-file FILE: has the symbols of the module of its build-id, or NULL */
	double stop_timeout_s;    /* --stop-timeout, 0 = 2 s */
	bool no_pause;            /* --pause none: copy without stopping */
	bool low_memory;          /* --low-memory: windows, target stays stopped until close */
	bool ignore_limits;       /* tests only: skip the memory check */
};

enum ph_target_kind {
	PH_TARGET_PROCESS,
	PH_TARGET_CORE,
	PH_TARGET_FILES, /* there is no memory to capture */
};

/* One mapped ELF file. */
struct ph_module {
	char *path;          /* as the target names it ("" when unknown) */
	char *open_path;     /* where we can open the same file, or NULL when it was not found */
	uint8_t build_id[64];
	size_t build_id_len; /* 0 = none */
	uint64_t bias;       /* runtime address − ELF address */
	ph_addr start, end;  /* span of its mappings */
	struct ph_elf *elf;  /* its file; private to src/target */
	struct ph_elf *image; /* without that, what its memory tells; private to src/target */
	struct ph_elf *debug; /* has symbols that its file has not; borrowed from the target */
};

struct ph_thread_regs {
	pid_t tid;
	ph_addr sp;       /* stack pointer */
	ph_addr tls;      /* fs base on x86-64, tpidr on aarch64 */
	char name[16];    /* comm; "" when unknown */
};

struct ph_target {
	enum ph_target_kind kind;
	char *what;               /* as given on the command line */
	pid_t pid;                /* of the process, or the one the core's notes name (0 = unknown) */
	char *path;               /* core: its absolute path; NULL for a process */
	char *exe;                /* path of the main program, or NULL */
	char **argv;              /* the target's command line, or NULL when unknown */
	size_t argc;
	uint16_t machine;         /* EM_X86_64, EM_AARCH64 */
	struct ph_elf *debug;     /* the debug_file, or NULL; private to src/target */
	struct ph_module *modules; /* by start address */
	size_t nmodules;
	const char *packed;       /* core: "gzip" and so on, NULL when it is not; static */
	enum ph_unpack_fault fault; /* of the packed stream: what came before it is read */
	unsigned unproven_files;  /* core: left out, though they are there: nothing in the core tells that it
				   * was these (coredump_filter), and neither does the user */
	uint64_t lost_bytes;      /* core: dumped, but not in the file; as far as its headers tell */

	/* may be set before ph_target_capture(): buffers of a process that seem to hold no references
	 * are not copied. Ask ph_mem_wanted() when all was read: if so, capture again without. */
	bool skip_buffers;

	/* set by ph_target_capture() */
	struct ph_mem *mem;       /* sealed */
	struct ph_thread_regs *threads;
	size_t nthreads;
	struct timespec captured_at; /* wall clock; of a core: its file's mtime */
	double pause_ms;          /* first interrupt to last resume; negative = not paused; under
				   * low_memory so far: ph_target_pause_ms() */
	uint64_t copied_bytes;    /* of a process */
	uint64_t skipped_bytes;   /* and what was not copied of it */
	uint64_t rss_bytes;       /* 0 = unknown */
	void *priv;
};

/* Tells the target apart (all digits = PID, else a file by its magic), opens it
 * and lists its modules; does not stop it. Errors: 2 no such process or file,
 * zombie; 3 not an ELF core; 4 not permitted (which rule, what to run);
 * 7 32-bit, big-endian or another machine. */
struct ph_err *ph_target_open(const char *what, const struct ph_target_options *opt,
			      struct ph_notes *notes, struct ph_target **ret);
/* An ELF program or library that nobody runs as the one module of a target, and others beside
 * it, at addresses of their own. Errors: 2 no such file, 3 not an ELF file of ours; what is
 * added and is none is passed over (*ret_added false). */
struct ph_err *ph_target_open_file(const char *path, struct ph_target **ret);
struct ph_err *ph_target_add_file(struct ph_target *target, const char *path, bool *ret_added);
/* Whether it is an ELF program or library. */
bool ph_target_is_elf(const char *path);
/* What stands in the way of reading a process, or does not: permissions, namespaces, memory.
 * `self`: a command that runs pyheap. Needs no more than that the process is there. */
void ph_target_examine(pid_t pid, const char *self, struct ph_findings *ret);
/* What an opened target lacks: files that were not found, what a core does not hold. */
void ph_target_completeness(const struct ph_target *target, const struct ph_notes *notes, struct ph_findings *ret);
/* Takes the memory: a process is stopped, copied and resumed (its modules are
 * listed anew); a core is mapped. May be called again for a process: what the
 * first capture gave is freed. Errors as above, and 7 when the copy would not
 * fit, 2 when a thread does not stop in time (all are resumed then). */
struct ph_err *ph_target_capture(struct ph_target *target, struct ph_notes *notes);
void ph_target_close(struct ph_target *target);
/* pause_ms; under low_memory, where the target stands still until it is closed, the
 * milliseconds up to now. */
double ph_target_pause_ms(const struct ph_target *target);

/* Copies n bytes, of the memory that was captured or before that of the target as it is
 * now; false when one is missing. For a few words: a process is not stopped for it. */
bool ph_target_peek(const struct ph_target *target, ph_addr addr, void *buf, size_t n);

/* Reads pages of the captured memory (ascending, each once) again from a process that was not
 * stopped for the capture. bytes[n * PH_REREAD_PAGE] gets what they were before, and giving
 * that to ph_target_put_back() undoes it. False: nothing is other than it was, the process has
 * ended, or the target is none that goes on changing. Who looked at the memory has to look
 * again; no other thread may look now. */
#define PH_REREAD_PAGE 4096ull
bool ph_target_reread(const struct ph_target *target, const ph_addr *pages, size_t n, uint8_t *bytes);
void ph_target_put_back(const struct ph_target *target, const ph_addr *pages, size_t n, const uint8_t *bytes);
/* Appends the pages that the process has changed since they were copied, unless they are more
 * than max; false: not known, or memory is out. It takes about as long as the copying. */
struct ph_pages PH_VEC(ph_addr);
bool ph_target_changed(const struct ph_target *target, size_t max, struct ph_pages *ret);
/* Whether what the memory has of it is of different moments. */
static inline bool ph_target_moving(const struct ph_target *target)
{
	return target->kind == PH_TARGET_PROCESS && target->pause_ms < 0;
}

/* An ELF symbol by name, from .symtab or .dynsym of the first module (in order
 * of address) that defines it. False when none does. ret_module and ret_size
 * may be NULL. */
bool ph_target_symbol(const struct ph_target *target, const char *name,
		      const struct ph_module **ret_module, ph_addr *ret_addr, uint64_t *ret_size);
/* The same in one module. */
bool ph_module_symbol(const struct ph_module *module, const char *name, ph_addr *ret_addr,
		      uint64_t *ret_size);
/* The same, if other files can see it (.dynsym): cheap also where it is not there. */
bool ph_module_exports(const struct ph_module *module, const char *name, ph_addr *ret_addr);
/* Whether the variable there is a library's, which the loader has moved into this module. */
bool ph_module_is_copy(const struct ph_module *module, ph_addr addr);
/* A section's span in the target by name, such as ".PyRuntime". */
bool ph_module_section(const struct ph_module *module, const char *name, ph_addr *ret_addr,
		       uint64_t *ret_size);
/* Bytes of the file at a target address, for read-only data that may not have
 * been captured yet (Py_Version before the stop); NULL when not there. */
const void *ph_module_bytes(const struct ph_module *module, ph_addr addr, size_t n);
/* The i-th range of code, in whole pages, and its bytes in our private mapping of the
 * module's file, which may be made executable; false when there are no more. */
bool ph_module_code(const struct ph_module *module, size_t i, ph_addr *ret_addr, uint64_t *ret_n,
		    const uint8_t **ret_bytes);
/* The i-th range of data that may be written to, as the file has it (without .bss) or, if
 * it is not there, the memory, for what is looked for before that is captured; false when
 * there are no more. */
bool ph_module_data(const struct ph_module *module, size_t i, ph_addr *ret_addr, uint64_t *ret_n,
		    const uint8_t **ret_bytes);
/* The i-th range of the target's memory of which all that mem does not have was never
 * written to and reads as zeroes; false when there are no more. */
bool ph_target_zeroes(const struct ph_target *target, size_t i, ph_addr *ret_start, ph_addr *ret_end);
/* The module whose mappings hold addr, or NULL. */
const struct ph_module *ph_target_module_at(const struct ph_target *target, ph_addr addr);
/* Build-id in hex, owned by the caller; NULL when there is none. */
char *ph_module_build_id(const struct ph_module *module);

#endif
