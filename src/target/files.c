/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF files that nobody runs, as modules of a target without memory. */
#include <errno.h>
#include "target_priv.h"

#define SPACING (1ull << 36) /* as if they were loaded this far apart */

struct ph_err *ph_target_add_file(struct ph_target *target, const char *path, bool *ret_added)
{
	struct ph_module m = { 0 }, *modules;
	uint64_t span, end;
	*ret_added = false;
	struct ph_err *err = ph_elf_open(path, &m.elf);
	if (err || !m.elf)
		return err;
	ph_elf_build_id(m.elf, m.build_id, &m.build_id_len);
	ph_elf_span(m.elf, &span, &end);
	if (end >= SPACING)
		end = SPACING - 1;
	m.bias = target->nmodules * SPACING;
	m.start = span + m.bias;
	m.end = end + m.bias;
	m.path = strdup(path);
	m.open_path = realpath(path, NULL);
	modules = reallocarray(target->modules, target->nmodules + 1, sizeof m);
	if (modules)
		target->modules = modules;
	if (!modules || !m.path || !m.open_path) {
		free(m.path);
		free(m.open_path);
		ph_elf_free(m.elf);
		return ph_err_nomem();
	}
	modules[target->nmodules++] = m;
	*ret_added = true;
	return NULL;
}

struct ph_err *ph_target_open_file(const char *path, struct ph_target **ret)
{
	struct ph_target *target = calloc(1, sizeof *target);
	bool added = false;
	*ret = NULL;
	if (!target || !(target->what = strdup(path))) {
		free(target);
		return ph_err_nomem();
	}
	target->kind = PH_TARGET_FILES;
	target->pause_ms = -1;
	target->path = realpath(path, NULL);
	struct ph_err *err = target->path ? ph_target_add_file(target, path, &added)
					  : ph_err_errno(PH_ERR_USAGE, errno, "%s", path);
	if (!err && !added)
		err = ph_err_new(PH_ERR_NOT_PYTHON, "%s is not a 64-bit ELF program or library", path);
	if (err) {
		ph_target_close(target);
		return err;
	}
	target->machine = ph_elf_machine(target->modules[0].elf);
	*ret = target;
	return NULL;
}

bool ph_target_is_elf(const char *path)
{
	struct ph_elf *elf;
	ph_err_free(ph_elf_open(path, &elf));
	ph_elf_free(elf);
	return elf;
}
