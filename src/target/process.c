/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A live process: whether it can be read, what it runs, and its files. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "process_priv.h"

#define SMALL_FILE (1u << 20)
#define KERNEL_THREAD 0x00200000u /* PF_KTHREAD */

/* ---- /proc ------------------------------------------------------------------------ */

char *ph_proc_read(pid_t pid, const char *name, size_t *ret_len)
{
	char path[96];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	return ph_read_file(path, SMALL_FILE, ret_len);
}

void ph_proc_comm(pid_t pid, pid_t tid, char buf[16])
{
	char name[64];
	snprintf(name, sizeof name, "task/%d/comm", (int)tid);
	char *text ph_cleanup_free = ph_proc_read(pid, name, NULL);
	if (text)
		text[strcspn(text, "\n")] = '\0';
	snprintf(buf, 16, "%.15s", text ? text : "");
}

/* "PID (name) STATE …": the name may hold anything. */
static const char *after_name(const char *stat)
{
	const char *end = stat ? strrchr(stat, ')') : NULL;
	return end && end[1] == ' ' && end[2] ? end + 2 : NULL;
}

char ph_proc_state(pid_t pid, pid_t tid)
{
	char name[64];
	snprintf(name, sizeof name, "task/%d/stat", (int)tid);
	char *text ph_cleanup_free = ph_proc_read(pid, name, NULL);
	const char *state = after_name(text);
	return state ? *state : 'X';
}

/* A field of /proc/PID/stat by its number in proc(5), at least 4. */
static uint64_t stat_field(pid_t pid, int number)
{
	char *text ph_cleanup_free = ph_proc_read(pid, "stat", NULL);
	const char *word = after_name(text);
	for (int field = 3; word && field < number; field++)
		if ((word = strchr(word, ' ')))
			word++;
	return word ? strtoull(word, NULL, 10) : 0;
}

uint64_t ph_process_start_time(pid_t pid)
{
	return stat_field(pid, 22);
}

bool ph_line_number(const char *text, const char *key, int base, uint64_t *ret)
{
	size_t n = strlen(key);
	const char *line = text;
	while (strncmp(line, key, n) || !line[n] || !strchr(" :\t", line[n])) {
		line = strchr(line, '\n');
		if (!line++)
			return false;
	}
	const char *number = line + n + strspn(line + n, " :\t");
	char *end;
	errno = 0;
	*ret = strtoull(number, &end, base);
	return end > number && !errno;
}

struct ph_err *ph_process_ended(pid_t pid)
{
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "process %d has ended", (int)pid),
			   "`pgrep -a python` lists the Python processes that run");
}

/* ---- may we? -------------------------------------------------------------------------- */

static struct ph_err *no_process(const struct ph_target *target)
{
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "no process %d", (int)target->pid),
			   "`pgrep -a python` lists the Python processes that run");
}

/* /proc/self is our own process ID where /proc is that of our PID namespace: in any other
 * the numbers there and those that ptrace takes mean different processes. */
static struct ph_err *check_proc(struct ph_target *target)
{
	char self[32];
	ssize_t n = readlink("/proc/self", self, sizeof self - 1);
	self[n > 0 ? n : 0] = '\0';
	if (n > 0 && strtol(self, NULL, 10) == getpid())
		return NULL;
	if (n < 0 && access("/proc/stat", F_OK) < 0)
		return ph_err_hint(ph_err_new(PH_ERR_USAGE, "cannot read process %d: /proc is not mounted",
					      (int)target->pid), "mount -t proc proc /proc");
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "cannot read process %d: /proc is that of another PID namespace",
				      (int)target->pid), "mount the own one: mount -t proc proc /proc");
}

/* A thread's ID stands for its process. */
static struct ph_err *check_alive(struct ph_target *target)
{
	uint64_t leader;
	char *status ph_cleanup_free = ph_proc_read(target->pid, "status", NULL);
	if (!status || !ph_line_number(status, "Tgid", 10, &leader))
		return no_process(target);
	target->pid = (pid_t)leader;
	if (target->pid == getpid())
		return ph_err_new(PH_ERR_USAGE, "process %d is pyheap itself", (int)target->pid);
	if (strchr("ZX", ph_proc_state(target->pid, target->pid)))
		return ph_err_hint(ph_err_new(PH_ERR_USAGE, "process %d has ended; it is a zombie until its parent "
					      "asks for its exit status", (int)target->pid),
				   "its memory is gone: next time let it dump core (ulimit -c unlimited)");
	return NULL;
}

/* Opening its memory asks the same question as attaching to it. */
static struct ph_err *check_access(struct ph_target *target)
{
	struct ph_process *p = target->priv;
	p->reader.pid = target->pid;
	int error = ph_reader_open(&p->reader);
	if (error == EACCES || error == EPERM)
		return ph_permission_denied("", target->pid, target->pid);
	if (error)
		return no_process(target);
	if (!p->no_pause && ph_permission_tracer("", target->pid, target->pid))
		return ph_permission_denied("", target->pid, target->pid);
	return NULL;
}

/* ---- what is it? ------------------------------------------------------------------------ */

static struct ph_err *read_exe(struct ph_target *target)
{
	char path[64], link[4096];
	static const char deleted[] = " (deleted)";
	snprintf(path, sizeof path, "/proc/%d/exe", (int)target->pid);
	ssize_t n = readlink(path, link, sizeof link - 1);
	if (n < 0 && (errno == EACCES || errno == EPERM))
		return ph_permission_denied("", target->pid, target->pid);
	if (n < 0 && stat_field(target->pid, 9) & KERNEL_THREAD)
		return ph_err_new(PH_ERR_NOT_PYTHON, "process %d runs no program: it is a thread of the kernel",
				  (int)target->pid);
	if (n < 0)
		return ph_process_ended(target->pid);
	link[n] = '\0';
	if ((size_t)n > strlen(deleted) && !strcmp(link + n - strlen(deleted), deleted))
		link[(size_t)n - strlen(deleted)] = '\0';
	target->exe = strdup(link);
	return target->exe ? NULL : ph_err_nomem();
}

static struct ph_err *check_machine(struct ph_target *target)
{
#if defined(__x86_64__)
	const uint16_t own = EM_X86_64;
#elif defined(__aarch64__)
	const uint16_t own = EM_AARCH64;
#endif
	char path[64];
	uint8_t head[20];
	snprintf(path, sizeof path, "/proc/%d/exe", (int)target->pid);
	int fd ph_cleanup_close = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ESRCH))
		return ph_process_ended(target->pid);
	if (fd < 0 || read(fd, head, sizeof head) != sizeof head || memcmp(head, ELFMAG, SELFMAG))
		return ph_err_errno(PH_ERR_USAGE, errno, "cannot read the program of process %d (%s)",
				    (int)target->pid, target->exe);
	target->machine = ph_load_u16(head + 18);
	if (head[EI_CLASS] == ELFCLASS64 && head[EI_DATA] == ELFDATA2LSB && target->machine == own)
		return NULL;
	return ph_err_hint(ph_err_new(PH_ERR_REFUSED, "process %d runs a %s program (%s): not supported",
				      (int)target->pid,
				      head[EI_CLASS] == ELFCLASS32 ? "32-bit" : "foreign", target->exe),
			   "pyheap reads 64-bit processes of the machine that it was built for");
}

static struct ph_err *read_argv(struct ph_target *target)
{
	size_t len, n = 0;
	char *text ph_cleanup_free = ph_proc_read(target->pid, "cmdline", &len);
	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i += strlen(text + i) + 1)
		n++;
	target->argv = calloc(n + 1, sizeof *target->argv);
	if (!target->argv)
		return ph_err_nomem();
	for (size_t i = 0; i < len; i += strlen(text + i) + 1)
		if (!(target->argv[target->argc++] = strdup(text + i)))
			return ph_err_nomem();
	return NULL;
}

/* ---- its files ---------------------------------------------------------------------------- */

static bool same_file(const struct stat *st, const struct ph_mapping *map, const struct stat *mapped)
{
	if (mapped)
		return st->st_dev == mapped->st_dev && st->st_ino == mapped->st_ino;
	/* no devices: overlayfs and btrfs say others in maps than in stat */
	return st->st_ino == map->inode;
}

static int open_same(const char *path, const struct ph_mapping *map, const struct stat *mapped,
		     char **ret_path)
{
	struct stat st;
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || !same_file(&st, map, mapped))
		return -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -1;
	if (!fstat(fd, &st) && same_file(&st, map, mapped)) {
		*ret_path = strdup(path);
		return fd;
	}
	close(fd);
	return -1;
}

/* Files in /proc that lead to one of the process's: open where we may follow them. */
static int open_proc(pid_t pid, const char *name, const struct ph_mapping *map, bool vouched, char **ret_path)
{
	struct stat st;
	char *path ph_cleanup_free = ph_asprintf("/proc/%d/%s", (int)pid, name);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (fd >= 0 && (vouched || (!fstat(fd, &st) && same_file(&st, map, NULL)))) {
		*ret_path = path;
		path = NULL;
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Its mapping leads to it, also when it was deleted, where we may follow
 * (CAP_CHECKPOINT_RESTORE); anybody who may read the process's memory has its program. */
static int open_link(pid_t pid, const struct ph_mapping *map, char **ret_path)
{
	char name[96];
	snprintf(name, sizeof name, "map_files/%" PRIx64 "-%" PRIx64, map->start, map->end);
	int fd = open_proc(pid, name, map, true, ret_path);
	return fd >= 0 ? fd : open_proc(pid, "exe", map, false, ret_path);
}

/* A path of the process's by way of its root. Of a mount that is not in our namespace maps
 * tells the path from that namespace's root: what leads to the process's own is taken off. */
static char *path_in_root(pid_t pid, const char *path)
{
	char link[64], root[4096];
	snprintf(link, sizeof link, "/proc/%d/root", (int)pid);
	ssize_t n = readlink(link, root, sizeof root);
	bool below = n > 1 && n < (ssize_t)sizeof root && !strncmp(path, root, (size_t)n) && path[n] == '/';
	return ph_asprintf("%s%s", link, below ? path + n : path);
}

/* The file that is mapped, not one of the same name: by a path, ours or as the process
 * sees it, later stages can find what lies beside it. A path of ours may by chance lead to
 * another file with the same number, in another file system: what the process's own root
 * says goes before. */
static int open_mapped(void *ctx, const struct ph_mapping *map, char **ret_path)
{
	const struct ph_target *target = ctx;
	struct stat st;
	char *link ph_cleanup_free = NULL;
	char *in_root ph_cleanup_free = path_in_root(target->pid, map->path);
	int linked ph_cleanup_close = open_link(target->pid, map, &link);
	const struct stat *known = linked >= 0 && !fstat(linked, &st) ? &st : NULL;
	if (!known && in_root && !stat(in_root, &st) && same_file(&st, map, NULL))
		known = &st;
	int fd = open_same(map->path, map, known, ret_path);
	if (fd < 0 && in_root)
		fd = open_same(in_root, map, known, ret_path);
	if (fd < 0 && linked >= 0) {
		fd = linked;
		linked = -1;
		*ret_path = link;
		link = NULL;
	}
	return fd;
}

static size_t read_live(void *ctx, ph_addr addr, void *buf, size_t n)
{
	const struct ph_target *target = ctx;
	struct ph_process *p = target->priv;
	int64_t got = ph_reader_read(&p->reader, addr, buf, n);
	return got > 0 ? (size_t)got : 0;
}

bool ph_process_peek(const struct ph_target *target, ph_addr addr, void *buf, size_t n)
{
	return read_live((void *)target, addr, buf, n) == n;
}

struct ph_err *ph_process_modules(struct ph_target *target)
{
	struct ph_process *p = target->priv;
	struct ph_module_source source = { .ctx = target, .open = open_mapped, .read = read_live };
	struct ph_module *modules;
	size_t n;
	struct ph_err *err = ph_modules_build(&p->maps, &source, &modules, &n);
	if (err)
		return err;
	ph_modules_free(target->modules, target->nmodules);
	target->modules = modules;
	target->nmodules = n;
	ph_target_attach_debug(target);
	return NULL;
}

struct ph_err *ph_process_look(struct ph_target *target, bool *ret_changed)
{
	struct ph_process *p = target->priv;
	char *text;
	size_t len;
	struct ph_err *err = ph_maps_text(target->pid, &text, &len);
	if (err)
		return err;
	*ret_changed = !p->maps_text || len != p->maps_len || memcmp(text, p->maps_text, len);
	if (!*ret_changed) {
		free(text);
		return NULL;
	}
	free(p->maps_text);
	p->maps_text = text;
	p->maps_len = len;
	ph_mappings_deinit(&p->maps);
	return ph_maps_parse(text, &p->maps);
}

/* ---- open ------------------------------------------------------------------------------------ */

struct ph_err *ph_process_open(struct ph_target *target, const struct ph_target_options *opt,
			       struct ph_notes *notes)
{
	static struct ph_err *(*const steps[])(struct ph_target *target) = {
		check_proc, check_alive, read_exe, check_access, check_machine, read_argv,
	};
	struct ph_process *p = calloc(1, sizeof *p);
	struct ph_err *err = NULL;
	bool changed;
	(void)notes;
	if (!p)
		return ph_err_nomem();
	target->priv = p;
	p->reader.mem_fd = -1;
	p->stop_timeout_s = opt->stop_timeout_s > 0 ? opt->stop_timeout_s : 2;
	p->no_pause = opt->no_pause;
	p->low_memory = opt->low_memory;
	p->ignore_limits = opt->ignore_limits;
	if (p->low_memory && p->no_pause)
		return ph_err_new(PH_ERR_USAGE, "--low-memory and --pause none do not go together: what is read bit "
				  "by bit must stand still");
	for (size_t i = 0; !err && i < sizeof steps / sizeof *steps; i++)
		err = steps[i](target);
	if (err)
		return err;
	p->start_time = ph_process_start_time(target->pid);
	err = ph_process_look(target, &changed);
	return err ? err : ph_process_modules(target);
}
