/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A live process: may we read it, what is mapped, and its capture. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "process_priv.h"

#define SMALL_FILE (1u << 20)
#define SLACK (8ull << 20) /* growth between the look and the stop */
#define LOW_MEMORY_BUDGET (64ull << 20)

struct ph_process {
	double stop_timeout_s;
	bool no_pause, low_memory, ignore_limits;
	struct ph_mappings maps;
	struct ph_copy copy;
	struct ph_stop *stop;     /* low-memory: held until close */
	uint8_t *window;          /* low-memory: reserved addresses */
	size_t window_size;
};

static char *proc_file(pid_t pid, const char *name, size_t *ret_len)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	return ph_read_file(path, SMALL_FILE, ret_len);
}

/* The number in a line of /proc/PID/status; −1 when it is not there. */
static long status_number(const char *status, const char *key)
{
	const char *line = strstr(status, key);
	return line ? strtol(line + strlen(key), NULL, 10) : -1;
}

/* ---- may we? -------------------------------------------------------------------- */

static struct ph_err *traced(pid_t pid, long tracer)
{
	char *name ph_cleanup_free = proc_file((pid_t)tracer, "comm", NULL);
	if (name)
		name[strcspn(name, "\n")] = '\0';
	return ph_err_hint(ph_err_new(PH_ERR_PERMISSION, "process %d is already traced by process %ld (%s)", (int)pid,
				      tracer, name ? name : "?"),
			   "a process can have one tracer: let that one go first");
}

/* Why the kernel said no, by the rules it goes through: ptrace(2). */
static struct ph_err *denied(pid_t pid, const char *status)
{
	long uid = status_number(status, "\nUid:");
	char *yama ph_cleanup_free = ph_read_file("/proc/sys/kernel/yama/ptrace_scope", 16, NULL);
	int scope = yama ? atoi(yama) : 0;
	if (uid >= 0 && (uid_t)uid != geteuid() && geteuid() != 0)
		return ph_err_hint(ph_err_new(PH_ERR_PERMISSION, "process %d belongs to uid %ld, we are uid %u",
					      (int)pid, uid, (unsigned)geteuid()),
				   "run as root: sudo pyheap …");
	if (scope == 3)
		return ph_err_hint(ph_err_new(PH_ERR_PERMISSION, "kernel.yama.ptrace_scope=3 forbids reading process %d",
					      (int)pid),
				   "only a reboot changes that; take a core instead (gcore cannot either, but "
				   "kill -ABRT can)");
	if (scope && geteuid() != 0)
		return ph_err_hint(ph_err_new(PH_ERR_PERMISSION, "kernel.yama.ptrace_scope=%d forbids reading process %d",
					      scope, (int)pid),
				   "run as root (sudo pyheap …), or: sudo sysctl kernel.yama.ptrace_scope=0");
	return ph_err_hint(ph_err_new(PH_ERR_PERMISSION, "not permitted to read the memory of process %d", (int)pid),
			   geteuid() == 0 ? "CAP_SYS_PTRACE is missing: docker run --cap-add=SYS_PTRACE, or run on the host"
					  : "the process is not dumpable or has more capabilities: run as root");
}

static struct ph_err *no_process(pid_t pid)
{
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "there is no process %d", (int)pid),
			   "pgrep -a python lists those that run");
}

static struct ph_err *check_status(struct ph_target *target)
{
	pid_t pid = target->pid;
	char *status ph_cleanup_free = proc_file(pid, "status", NULL);
	const char *state;
	if (!status)
		return no_process(pid);
	long leader = status_number(status, "\nTgid:"), threads = status_number(status, "\nThreads:");
	if (leader > 0 && leader != pid)
		return ph_err_hint(ph_err_new(PH_ERR_USAGE, "%d is a thread of process %ld", (int)pid, leader),
				   "give the process: %ld", leader);
	state = strstr(status, "\nState:");
	if (state && threads <= 1 && strpbrk(state + 7, "ZX\n")[0] != '\n')
		return ph_err_hint(ph_err_new(PH_ERR_USAGE, "process %d has ended and waits for its parent (zombie)",
					      (int)pid),
				   "its memory is gone; a core dump would have kept it");
	long tracer = status_number(status, "\nTracerPid:");
	if (tracer > 0)
		return traced(pid, tracer);
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
	struct ph_process *p = target->priv;
	p->copy.mem_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (p->copy.mem_fd < 0 && (errno == EACCES || errno == EPERM))
		return denied(pid, status);
	if (!strstr(status, "\nVmSize:"))
		return ph_err_new(PH_ERR_NOT_PYTHON, "process %d has no memory of its own: a kernel thread, or just ending",
				  (int)pid);
	return p->copy.mem_fd < 0 ? no_process(pid) : NULL;
}

/* ---- what is it? -------------------------------------------------------------------- */

static struct ph_err *check_machine(struct ph_target *target)
{
	char path[64], link[4096];
	unsigned char head[20];
	snprintf(path, sizeof path, "/proc/%d/exe", (int)target->pid);
	ssize_t n = readlink(path, link, sizeof link - 1);
	int fd ph_cleanup_close = open(path, O_RDONLY | O_CLOEXEC);
	if (n < 0 || fd < 0 || read(fd, head, sizeof head) != sizeof head)
		return ph_err_new(PH_ERR_NOT_PYTHON, "process %d has no program file (a kernel thread?)",
				  (int)target->pid);
	link[n] = '\0';
	target->exe = strdup(link);
	if (!target->exe)
		return ph_err_nomem();
	target->machine = ph_load_u16(head + 18);
	if (head[EI_CLASS] == ELFCLASS64 && head[EI_DATA] == ELFDATA2LSB &&
	    (target->machine == EM_X86_64 || target->machine == EM_AARCH64))
		return NULL;
	return ph_err_hint(ph_err_new(PH_ERR_REFUSED, "process %d is a %s-bit%s program, machine %u", (int)target->pid,
				      head[EI_CLASS] == ELFCLASS64 ? "64" : "32",
				      head[EI_DATA] == ELFDATA2LSB ? "" : " big-endian", target->machine),
			   "pyheap reads 64-bit little-endian x86-64 and aarch64");
}

static struct ph_err *read_argv(struct ph_target *target)
{
	size_t len, n = 0;
	char *text ph_cleanup_free = proc_file(target->pid, "cmdline", &len);
	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i += strlen(text + i) + 1)
		n++;
	target->argv = calloc(n + 1, sizeof *target->argv);
	if (!target->argv)
		return ph_err_nomem();
	for (size_t i = 0; i < len && target->argc < n; i += strlen(text + i) + 1)
		if (!(target->argv[target->argc++] = strdup(text + i)))
			return ph_err_nomem();
	return NULL;
}

/* ---- its files -------------------------------------------------------------------------- */

static int open_if_same(const char *path, const struct ph_mapping *map, const struct stat *same)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) &&
	    (same ? st.st_dev == same->st_dev && st.st_ino == same->st_ino : st.st_ino == map->inode))
		return fd;
	close(fd);
	return -1;
}

/* The file that was mapped, not one of the same name: by its mapping where we may
 * (deleted files, too), else by its path as the process sees it. */
static int open_mapped(void *ctx, const struct ph_mapping *map, char **ret_path)
{
	const struct ph_target *target = ctx;
	struct stat st;
	char by_map[96];
	snprintf(by_map, sizeof by_map, "/proc/%d/map_files/%llx-%llx", (int)target->pid,
		 (unsigned long long)map->start, (unsigned long long)map->end);
	int fd = open(by_map, O_RDONLY | O_CLOEXEC);
	bool known = fd >= 0 && !fstat(fd, &st);
	char *in_root ph_cleanup_free = ph_asprintf("/proc/%d/root%s", (int)target->pid, map->path);
	const char *const paths[] = { map->path, in_root };
	for (size_t i = 0; i < 2 && paths[i] && !map->deleted; i++) {
		int again = open_if_same(paths[i], map, known ? &st : NULL);
		if (again < 0)
			continue;
		if (fd >= 0)
			close(fd);
		*ret_path = strdup(paths[i]);
		return again;
	}
	if (fd >= 0)
		*ret_path = strdup(by_map);
	return fd;
}

static size_t read_live(void *ctx, ph_addr addr, void *buf, size_t n)
{
	struct ph_target *target = ctx;
	struct ph_process *p = target->priv;
	return ph_copy_piece(&p->copy, target->pid, addr, buf, n);
}

struct ph_err *ph_process_open(struct ph_target *target, const struct ph_target_options *opt,
			       struct ph_notes *notes)
{
	struct ph_process *p = calloc(1, sizeof *p);
	(void)notes;
	if (!p)
		return ph_err_nomem();
	target->priv = p;
	p->copy.mem_fd = -1;
	p->stop_timeout_s = opt->stop_timeout_s > 0 ? opt->stop_timeout_s : 2;
	p->no_pause = opt->no_pause;
	p->low_memory = opt->low_memory;
	p->ignore_limits = opt->ignore_limits;
	struct ph_module_source source = { target, open_mapped, read_live };
	struct ph_err *err = check_status(target);
	if (!err)
		err = check_machine(target);
	if (!err)
		err = read_argv(target);
	if (!err)
		err = ph_maps_read(target->pid, &p->maps);
	if (!err)
		err = ph_modules_build(&p->maps, &source, &target->modules, &target->nmodules);
	return err;
}

/* ---- capture ------------------------------------------------------------------------------ */

static void runs_free(struct ph_runs *runs)
{
	ph_vec_free(&runs->list);
	runs->bytes = 0;
}

/* Mappings and the pages to be copied, as they are now. */
static struct ph_err *look(struct ph_target *target, struct ph_runs *runs)
{
	struct ph_process *p = target->priv;
	ph_mappings_deinit(&p->maps);
	runs_free(runs);
	struct ph_err *err = ph_maps_read(target->pid, &p->maps);
	if (!err && !p->maps.n)
		err = ph_err_new(PH_ERR_USAGE, "process %d has ended", (int)target->pid);
	return err ? err : ph_runs_find(target->pid, &p->maps, runs);
}

/* Unmapped or truncated meanwhile? Then what is left is said to be missing. */
static struct ph_err *files_add(struct ph_target *target, struct ph_notes *notes)
{
	struct ph_process *p = target->priv;
	for (size_t i = 0; i < p->maps.n; i++) {
		const struct ph_mapping *m = &p->maps.items[i];
		const struct ph_module *mod = m->path ? ph_target_module_at(target, m->start) : NULL;
		if (!mod || strcmp(mod->path, m->path))
			continue;
		if (!mod->elf && m->executable)
			ph_note(notes, PH_NOTE_MISSING_FILE, m->start);
		struct ph_err *err = ph_module_add_range(mod, m->start, m->end, m->offset, m->writable, target->mem);
		if (err)
			return err;
	}
	return NULL;
}

static uint64_t rss(pid_t pid)
{
	unsigned long long pages;
	char *text ph_cleanup_free = proc_file(pid, "statm", NULL);
	return text && sscanf(text, "%*u %llu", &pages) == 1 ? pages * PH_PAGE : 0;
}

static void runs_release(void *stop_or_null)
{
	if (*(struct ph_stop **)stop_or_null)
		ph_stop_end(*(struct ph_stop **)stop_or_null);
}

/* The pause: from the first interrupt to the last thread that runs again. */
static struct ph_err *copy_stopped(struct ph_target *target, struct ph_runs *runs, struct ph_notes *notes)
{
	struct ph_process *p = target->priv;
	struct ph_stop *stop __attribute__((cleanup(runs_release))) = NULL;
	struct ph_err *err = p->no_pause ? NULL : ph_stop_begin(target->pid, p->stop_timeout_s, notes, &stop);
	if (!err && stop)
		err = ph_stop_threads(stop, &target->threads, &target->nthreads);
	clock_gettime(CLOCK_REALTIME, &target->captured_at);
	if (!err)
		err = look(target, runs);
	if (!err && !p->low_memory)
		err = ph_copy_run(&p->copy, target->pid, runs, notes);
	if (!err && p->low_memory) {
		p->stop = stop;
		stop = NULL;
	}
	target->pause_ms = -1;
	if (stop)
		target->pause_ms = ph_stop_end(stop);
	stop = NULL;
	return err;
}

/* Low memory: addresses are reserved for all runs, bytes come when asked for. */
static struct ph_err *windows_add(struct ph_target *target, const struct ph_runs *runs)
{
	struct ph_process *p = target->priv;
	uint64_t at = 0;
	p->window_size = runs->bytes ? runs->bytes : 1;
	p->window = mmap(NULL, p->window_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->window == MAP_FAILED) {
		p->window = NULL;
		return ph_err_nomem();
	}
	for (size_t i = 0; i < runs->list.n; i++) {
		const struct ph_run *r = &runs->list.items[i];
		struct ph_err *err = ph_mem_add(target->mem, &(struct ph_segment){ .start = r->start, .end = r->end,
					.bytes = p->window + at, .fd = -1, .writable = r->writable });
		if (err)
			return err;
		at += r->end - r->start;
	}
	return ph_mem_set_pager(target->mem, LOW_MEMORY_BUDGET, read_live, target);
}

static struct ph_err *memory_add(struct ph_target *target, const struct ph_runs *runs, struct ph_notes *notes)
{
	struct ph_process *p = target->priv;
	struct ph_err *err = NULL;
	target->mem = ph_mem_new();
	if (!target->mem)
		return ph_err_nomem();
	for (size_t i = 0; !err && i < p->copy.segments.n; i++)
		err = ph_mem_add(target->mem, &p->copy.segments.items[i]);
	if (!err && p->low_memory)
		err = windows_add(target, runs);
	if (!err)
		err = files_add(target, notes);
	return err ? err : ph_mem_seal(target->mem);
}

static void release(struct ph_target *target)
{
	struct ph_process *p = target->priv;
	ph_target_reset(target);
	ph_copy_free(&p->copy);
	if (p->window)
		munmap(p->window, p->window_size);
	p->window = NULL;
	if (p->stop)
		ph_stop_end(p->stop);
	p->stop = NULL;
}

struct ph_err *ph_process_capture(struct ph_target *target, struct ph_notes *notes)
{
	struct ph_process *p = target->priv;
	struct ph_runs runs = { 0 };
	release(target);
	ph_budget_volunteer();
	struct ph_err *err = look(target, &runs);
	uint64_t estimate = runs.bytes + runs.bytes / 64 + SLACK;
	if (!err && !p->low_memory && !p->ignore_limits)
		err = ph_budget_check(target->what, runs.bytes);
	if (!err && !p->low_memory)
		err = ph_copy_prepare(&p->copy, estimate);
	if (!err)
		err = copy_stopped(target, &runs, notes);
	if (!err) {
		target->copied_bytes = p->copy.bytes;
		target->rss_bytes = rss(target->pid);
		err = memory_add(target, &runs, notes);
	}
	runs_free(&runs);
	return err;
}

void ph_process_close(struct ph_target *target)
{
	struct ph_process *p = target->priv;
	if (!p)
		return;
	release(target);
	ph_mappings_deinit(&p->maps);
	if (p->copy.mem_fd >= 0)
		close(p->copy.mem_fd);
	free(p);
	target->priv = NULL;
}
