/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What processes and cores have in common. */
#include <errno.h>
#include <limits.h>
#include "target_priv.h"

static bool all_digits(const char *s)
{
	return *s && s[strspn(s, "0123456789")] == '\0';
}

static struct ph_err *open_process(struct ph_target *target, const struct ph_target_options *opt,
				   struct ph_notes *notes)
{
	errno = 0;
	unsigned long pid = strtoul(target->what, NULL, 10);
	if (errno || !pid || pid > INT_MAX)
		return ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s is not a process ID", target->what),
				   "a core file of that name is given as ./%s", target->what);
	target->kind = PH_TARGET_PROCESS;
	target->pid = (pid_t)pid;
	return ph_process_open(target, opt, notes);
}

static struct ph_err *open_core(struct ph_target *target, const struct ph_target_options *opt,
				struct ph_notes *notes)
{
	target->kind = PH_TARGET_CORE;
	target->pause_ms = -1;
	target->path = realpath(target->what, NULL);
	if (!target->path) /* core_open says why */
		target->path = strdup(target->what);
	if (!target->path)
		return ph_err_nomem();
	return ph_core_open(target, opt, notes);
}

void ph_target_attach_debug(struct ph_target *target)
{
	uint8_t id[64];
	size_t n = 0;
	if (!target->debug || !ph_elf_build_id(target->debug, id, &n))
		return;
	for (size_t i = 0; i < target->nmodules; i++) {
		struct ph_module *m = &target->modules[i];
		if (m->build_id_len == n && !memcmp(m->build_id, id, n))
			m->debug = target->debug;
	}
}

/* A file that is none is the layout's error. */
static void open_debug(struct ph_target *target, const char *path)
{
	if (path)
		ph_err_free(ph_elf_open(path, &target->debug));
	ph_target_attach_debug(target);
}

struct ph_err *ph_target_open(const char *what, const struct ph_target_options *opt,
			      struct ph_notes *notes, struct ph_target **ret)
{
	struct ph_err *err;
	struct ph_target *target = calloc(1, sizeof *target);
	*ret = NULL;
	if (!target || !(target->what = strdup(what))) {
		free(target);
		return ph_err_nomem();
	}
	err = all_digits(what) ? open_process(target, opt, notes) : open_core(target, opt, notes);
	if (!err)
		open_debug(target, opt->debug_file);
	if (err)
		ph_target_close(target);
	else
		*ret = target;
	return err;
}

struct ph_err *ph_target_capture(struct ph_target *target, struct ph_notes *notes)
{
	return target->kind == PH_TARGET_PROCESS ? ph_process_capture(target, notes)
						 : ph_core_capture(target, notes);
}

void ph_target_reset(struct ph_target *target)
{
	ph_mem_free(target->mem);
	free(target->threads);
	target->mem = NULL;
	target->threads = NULL;
	target->nthreads = 0;
	target->copied_bytes = target->skipped_bytes = 0;
	target->rss_bytes = 0;
}

void ph_target_close(struct ph_target *target)
{
	if (!target)
		return;
	ph_target_reset(target);
	if (target->kind == PH_TARGET_PROCESS)
		ph_process_close(target);
	else if (target->kind == PH_TARGET_CORE)
		ph_core_close(target);
	ph_modules_free(target->modules, target->nmodules);
	ph_elf_free(target->debug);
	for (size_t i = 0; i < target->argc; i++)
		free(target->argv[i]);
	free(target->argv);
	free(target->exe);
	free(target->path);
	free(target->what);
	free(target);
}

bool ph_target_peek(const struct ph_target *target, ph_addr addr, void *buf, size_t n)
{
	const struct ph_module *m = ph_target_module_at(target, addr);
	const void *p = target->mem ? ph_mem_at(target->mem, addr, n) : NULL;
	if (!target->mem && target->kind == PH_TARGET_PROCESS && ph_process_peek(target, addr, buf, n))
		return true;
	if (!target->mem && target->kind == PH_TARGET_CORE && ph_core_peek(target, addr, buf, n))
		return true;
	if (!p && !target->mem && m)
		p = ph_module_bytes(m, addr, n);
	if (p)
		memcpy(buf, p, n);
	return p;
}

bool ph_target_symbol(const struct ph_target *target, const char *name,
		      const struct ph_module **ret_module, ph_addr *ret_addr, uint64_t *ret_size)
{
	for (size_t i = 0; i < target->nmodules; i++) {
		if (!ph_module_symbol(&target->modules[i], name, ret_addr, ret_size))
			continue;
		if (ret_module)
			*ret_module = &target->modules[i];
		return true;
	}
	return false;
}

/* Spans do not overlap in a real target; in a forged one any that fits will do. */
const struct ph_module *ph_target_module_at(const struct ph_target *target, ph_addr addr)
{
	size_t lo = 0, hi = target->nmodules;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (target->modules[mid].start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && addr < target->modules[lo - 1].end ? &target->modules[lo - 1] : NULL;
}
