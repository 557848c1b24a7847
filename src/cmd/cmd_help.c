/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap help, and -h of every command, from the tables. */
#include "cmd.h"

#define HELP_COLUMN 30

static void put_option(struct ph_out *out, const struct ph_option *o)
{
	char *left ph_cleanup_free =
		ph_asprintf("  %c%c%s --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
			    o->letter ? "," : " ", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	if (!left)
		return;
	if (strlen(left) < HELP_COLUMN)
		ph_out_printf(out, "%-*s%s\n", HELP_COLUMN, left, o->help);
	else
		ph_out_printf(out, "%s\n%*s%s\n", left, HELP_COLUMN, "", o->help);
}

void ph_help_command(struct ph_out *out, const struct ph_cmd *cmd)
{
	ph_out_printf(out, "usage: pyheap %s [OPTIONS] %s\n\n", cmd->name, cmd->arguments);
	ph_out_printf(out, "%s\n\n", cmd->summary);
	if (cmd->details)
		ph_out_printf(out, "%s\n", cmd->details);
	if (strstr(cmd->arguments, "TARGET"))
		ph_out_puts(out, "TARGET: a PID, an ELF core, or - for a core on standard input.\n\n");
	ph_out_puts(out, "options:\n");
	for (int i = 0; i < PH_OPTIONS; i++)
		if (cmd->takes >> i & 1)
			put_option(out, &ph_option_table[i]);
}

void ph_help_all(struct ph_out *out)
{
	ph_out_puts(out, "usage: pyheap COMMAND [OPTIONS] TARGET\n\n"
			 "Reads the heap of a CPython process, or of its ELF core, from the outside.\n\n"
			 "commands:\n");
	for (size_t i = 0; ph_cmds[i]; i++)
		ph_out_printf(out, "  %-12s %s\n", ph_cmds[i]->name, ph_cmds[i]->summary);
	ph_out_puts(out, "\n`pyheap COMMAND -h` lists a command's options, `pyheap --version` says which\n"
			 "pyheap this is. Exit status: 0 done, 1 a threshold of diff was crossed, 2 usage or\n"
			 "input/output, 3 not CPython, 4 not permitted, 5 layout unknown, 6 incomplete under\n"
			 "--strict, 7 refused, 128 + N on signal N.\n");
}

static struct ph_err *help_run(struct ph_run *run)
{
	struct ph_out *out;
	const struct ph_cmd *cmd = run->argc ? ph_cmd_find(run->argv[0]) : NULL;
	if (run->argc && !cmd)
		return ph_err_hint(ph_err_new(PH_ERR_USAGE, "there is no command '%s'", run->argv[0]),
				   "`pyheap help` lists the commands");
	struct ph_err *err = ph_out_open(NULL, false, &out);
	if (err)
		return err;
	if (cmd)
		ph_help_command(out, cmd);
	else
		ph_help_all(out);
	return ph_out_close(out, true);
}

const struct ph_cmd ph_cmd_help = {
	.name = "help",
	.arguments = "[COMMAND]",
	.summary = "this list, or the options of a command",
	.takes = PH_TAKES_ALWAYS,
	.max_args = 1,
	.run = help_run,
};
