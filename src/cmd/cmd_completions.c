/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pyheap completions: for the shell, from the tables. */
#include "cmd.h"

static const char *const shells[] = { "bash", "zsh", "fish" };

static bool takes_file(const struct ph_option *o)
{
	return o->kind == PH_OPTION_FILE;
}

/* ---- bash; zsh runs it through bashcompinit ------------------------------------------ */

/* "text|json" → "text json" */
static void put_choices(struct ph_out *out, const char *choices)
{
	for (; *choices; choices++)
		ph_out_write(out, *choices == '|' ? " " : choices, 1);
}

static void bash_words(struct ph_out *out, const struct ph_cmd *cmd)
{
	ph_out_printf(out, "\t%s) words='", cmd->name);
	for (int i = 0; i < PH_OPTIONS; i++)
		if (cmd->takes >> i & 1)
			ph_out_printf(out, "--%s ", ph_option_table[i].name);
	ph_out_puts(out, "' ;;\n");
}

static void bash_values(struct ph_out *out)
{
	for (int i = 0; i < PH_OPTIONS; i++) {
		const struct ph_option *o = &ph_option_table[i];
		if (!o->arg || takes_file(o))
			continue;
		ph_out_printf(out, "\t--%s", o->name);
		if (o->letter)
			ph_out_printf(out, "|-%c", o->letter);
		ph_out_puts(out, ") COMPREPLY=($(compgen -W '");
		if (o->kind == PH_OPTION_CHOICE)
			put_choices(out, o->arg);
		ph_out_puts(out, "' -- \"$cur\")); return ;;\n");
	}
}

static void put_bash(struct ph_out *out)
{
	ph_out_puts(out, "# bash completion of pyheap\n_pyheap()\n{\n"
			 "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
			 "\tCOMPREPLY=()\n\tif ((COMP_CWORD == 1)); then\n\t\tCOMPREPLY=($(compgen -W '");
	for (size_t i = 0; ph_cmds[i]; i++)
		ph_out_printf(out, "%s ", ph_cmds[i]->name);
	ph_out_puts(out, "' -- \"$cur\"))\n\t\treturn\n\tfi\n\tcase $prev in\n");
	bash_values(out);
	ph_out_puts(out, "\tesac\n\tcase ${COMP_WORDS[1]} in\n");
	for (size_t i = 0; ph_cmds[i]; i++)
		bash_words(out, ph_cmds[i]);
	ph_out_puts(out, "\tesac\n\tif [[ $cur == -* ]]; then\n"
			 "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n\telse\n"
			 "\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n\tfi\n}\n"
			 "complete -o filenames -F _pyheap pyheap\n");
}

static void put_zsh(struct ph_out *out)
{
	ph_out_puts(out, "# zsh completion of pyheap\nautoload -U +X bashcompinit && bashcompinit\n");
	put_bash(out);
}

/* ---- fish ---------------------------------------------------------------------------------- */

/* A word in single quotes; the tables have no quotes, but may get one. */
static void put_quoted(struct ph_out *out, const char *s)
{
	ph_out_puts(out, "'");
	for (; *s; s++) {
		if (*s == '\'' || *s == '\\')
			ph_out_puts(out, "\\");
		ph_out_write(out, s, 1);
	}
	ph_out_puts(out, "'");
}

static void fish_option(struct ph_out *out, const struct ph_cmd *cmd, const struct ph_option *o)
{
	ph_out_printf(out, "complete -c pyheap -n '__fish_seen_subcommand_from %s' -l %s", cmd->name, o->name);
	if (o->letter)
		ph_out_printf(out, " -s %c", o->letter);
	if (takes_file(o))
		ph_out_puts(out, " -r -F");
	else if (o->arg)
		ph_out_puts(out, " -x");
	if (o->kind == PH_OPTION_CHOICE) {
		ph_out_puts(out, " -a '");
		put_choices(out, o->arg);
		ph_out_puts(out, "'");
	}
	ph_out_puts(out, " -d ");
	put_quoted(out, o->help);
	ph_out_puts(out, "\n");
}

static void put_fish(struct ph_out *out)
{
	ph_out_puts(out, "# fish completion of pyheap\n");
	for (size_t i = 0; ph_cmds[i]; i++) {
		ph_out_printf(out, "complete -c pyheap -n __fish_use_subcommand -f -a %s -d ", ph_cmds[i]->name);
		put_quoted(out, ph_cmds[i]->summary);
		ph_out_puts(out, "\n");
		for (int o = 0; o < PH_OPTIONS; o++)
			if (ph_cmds[i]->takes >> o & 1)
				fish_option(out, ph_cmds[i], &ph_option_table[o]);
	}
}

static struct ph_err *completions_run(struct ph_run *run)
{
	static void (*const put[])(struct ph_out *) = { put_bash, put_zsh, put_fish };
	struct ph_out *out;
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(run->argv[0], shells[i]))
			continue;
		struct ph_err *err = ph_out_open(NULL, false, &out);
		if (err)
			return err;
		put[i](out);
		return ph_out_close(out, true);
	}
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "no completions for '%s'", run->argv[0]),
			   "there are some for bash, zsh and fish");
}

const struct ph_cmd ph_cmd_completions = {
	.name = "completions",
	.arguments = "bash|zsh|fish",
	.summary = "completions for the shell",
	.details = "bash, zsh:  source <(pyheap completions bash)\n"
		   "fish:       pyheap completions fish | source\n",
	.takes = PH_TAKES_ALWAYS,
	.min_args = 1,
	.max_args = 1,
	.run = completions_run,
};
