/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the command line to an exit status. */
#include <unistd.h>
#include "cmd.h"

static void messages_init(struct ph_messages *m, const struct ph_options *opt)
{
	bool terminal = isatty(STDERR_FILENO);
	const char *when = opt->progress ? opt->progress : "auto";
	m->quiet = opt->quiet;
	m->timings = opt->verbose && !opt->quiet;
	m->progress = !opt->quiet && (!strcmp(when, "always") || (!strcmp(when, "auto") && terminal));
	m->in_place = m->progress && terminal;
}

static struct ph_err *check_arguments(const struct ph_cmd *cmd, int n)
{
	const char *what = n < cmd->min_args ? "needs" : "takes no more than";
	if (n >= cmd->min_args && (cmd->max_args < 0 || n <= cmd->max_args))
		return NULL;
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s %s %s", cmd->name, what, cmd->arguments),
			   "usage: pyheap %s [OPTIONS] %s", cmd->name, cmd->arguments);
}

static struct ph_err *put_help(void (*put)(struct ph_out *out, const struct ph_cmd *cmd),
			       const struct ph_cmd *cmd)
{
	struct ph_out *out;
	struct ph_err *err = ph_out_open(NULL, false, &out);
	if (err)
		return err;
	put(out, cmd);
	return ph_out_close(out, true);
}

static struct ph_err *run_command(const struct ph_cmd *cmd, int argc, char **argv,
				  struct ph_messages *messages, int *ret_status)
{
	struct ph_options opt;
	struct ph_run run = { .cmd = cmd, .opt = &opt, .messages = messages };
	int first;
	struct ph_err *err = ph_options_parse(cmd, argc, argv, &opt, &first);
	if (!err && opt.help) {
		err = put_help(ph_help_command, cmd);
	} else if (!err) {
		messages_init(messages, &opt);
		run.argc = argc - first;
		run.argv = argv + first;
		err = check_arguments(cmd, run.argc);
		if (!err)
			err = cmd->run(&run);
		*ret_status = run.status;
	}
	ph_options_deinit(&opt);
	return err;
}

static void put_all(struct ph_out *out, const struct ph_cmd *cmd)
{
	ph_help_all(out);
}

static void put_version(struct ph_out *out, const struct ph_cmd *cmd)
{
	ph_out_puts(out, "pyheap " PYHEAP_VERSION "\n");
}

static struct ph_err *unknown_command(const char *name)
{
	struct ph_err *err = ph_err_new(PH_ERR_USAGE, "there is no command '%s'", name);
	if (!name[strspn(name, "0123456789")] || access(name, F_OK) == 0)
		return ph_err_hint(err, "a command comes first: pyheap top %s", name);
	return ph_err_hint(err, "`pyheap help` lists the commands");
}

static struct ph_err *dispatch(int argc, char **argv, struct ph_messages *messages, int *ret_status)
{
	const char *name = argc > 1 ? argv[1] : "";
	const struct ph_cmd *cmd = ph_cmd_find(name);
	if (cmd)
		return run_command(cmd, argc - 1, argv + 1, messages, ret_status);
	if (argc < 2)
		return ph_err_hint(ph_err_new(PH_ERR_USAGE, "no command given"),
				   "`pyheap help` lists the commands; `pyheap top PID` is a good one to begin with");
	if (!strcmp(name, "-h") || !strcmp(name, "--help"))
		return put_help(put_all, NULL);
	if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		return put_help(put_version, NULL);
	return unknown_command(name);
}

int ph_main(int argc, char **argv)
{
	struct ph_messages messages = { 0 };
	int status = 0;
	struct ph_err *err = dispatch(argc, argv, &messages, &status);
	ph_messages_phase(&messages, NULL);
	if (!err && ph_interrupted)
		err = ph_err_interrupted();
	if (err) {
		status = ph_interrupted ? 128 + ph_interrupted : (int)ph_err_code(err);
		ph_messages_error(&messages, err);
		ph_err_free(err);
	}
	return status;
}
