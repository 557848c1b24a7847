/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options from one table; each command says which of them it takes. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include "cmd.h"

const struct ph_option ph_option_table[PH_OPTIONS] = {
#define PH_OPTION(id, letter, name, arg, kind, member, help) \
	{ letter, name, arg, PH_OPTION_##kind, offsetof(struct ph_options, member), help },
#include "options.def"
#undef PH_OPTION
};

/* ---- values ------------------------------------------------------------------------ */

static bool in_choices(const char *choices, const char *value)
{
	size_t n = strlen(value);
	for (const char *at = choices; n && *at; at += strcspn(at, "|"), at += *at == '|')
		if (strcspn(at, "|") == n && !strncmp(at, value, n))
			return true;
	return false;
}

static bool parse_count(const char *value, uint64_t *ret)
{
	char *end;
	errno = 0;
	*ret = strtoull(value, &end, 10);
	return *value >= '0' && *value <= '9' && !*end && !errno && *ret <= INT64_MAX;
}

static bool parse_number(const char *value, double *ret)
{
	char *end;
	*ret = strtod(value, &end);
	end += *end == '%';
	return ((*value >= '0' && *value <= '9') || *value == '.') && !*end && isfinite(*ret);
}

/* TYPE=N; a type's name may have a '=' itself ("<locals>.<lambda>=…" does not, but who knows). */
static bool add_maximum(struct ph_options *opt, const char *value, bool *nomem)
{
	struct ph_max_count max;
	const char *equals = strrchr(value, '=');
	if (!equals || equals == value || !parse_count(equals + 1, &max.count))
		return false;
	char *type = strndup(value, (size_t)(equals - value));
	if (!type || !PH_VEC_PUSH(&opt->owned, type)) {
		free(type);
		*nomem = true;
		return false;
	}
	max.type = type;
	*nomem = !PH_VEC_PUSH(&opt->max_count, max);
	return !*nomem;
}

static bool set_value(const struct ph_option *o, const char *value, struct ph_options *opt, bool *nomem)
{
	void *member = (char *)opt + o->offset;
	struct ph_opt_count *count = member;
	struct ph_opt_number *number = member;
	switch (o->kind) {
	case PH_OPTION_FLAG:
		return *(bool *)member = true;
	case PH_OPTION_CHOICE:
		if (!in_choices(o->arg, value))
			return false;
		/* fallthrough */
	case PH_OPTION_STRING:
	case PH_OPTION_FILE:
		*(const char **)member = value;
		return *value != '\0';
	case PH_OPTION_COUNT:
		count->given = true;
		return parse_count(value, &count->n);
	case PH_OPTION_SIZE:
		count->given = true;
		return ph_parse_size(value, &count->n);
	case PH_OPTION_NUMBER:
		number->given = true;
		return parse_number(value, &number->x);
	case PH_OPTION_MAX:
		return add_maximum(opt, value, nomem);
	case PH_OPTION_LIST:
		*nomem = !PH_VEC_PUSH((struct ph_opt_list *)member, value);
		return !*nomem && *value;
	}
	return false;
}

/* ---- getopt ------------------------------------------------------------------------- */

struct getopt_tables {
	char letters[2 + 2 * PH_OPTIONS];
	struct option longs[PH_OPTIONS + 1];
};

static void tables_init(struct getopt_tables *t, const struct ph_cmd *cmd)
{
	char *letter = t->letters;
	struct option *o = t->longs;
	*letter++ = ':'; /* a missing value is told from an unknown option */
	for (int i = 0; i < PH_OPTIONS; i++) {
		const struct ph_option *def = &ph_option_table[i];
		if (!(cmd->takes >> i & 1))
			continue;
		*o++ = (struct option){ def->name, def->arg ? required_argument : no_argument, NULL, 256 + i };
		if (def->letter)
			*letter++ = def->letter;
		if (def->letter && def->arg)
			*letter++ = ':';
	}
	*letter = '\0';
	*o = (struct option){ 0 };
}

static int option_of(int c)
{
	if (c >= 256)
		return c - 256;
	for (int i = 0; i < PH_OPTIONS; i++)
		if (ph_option_table[i].letter == c)
			return i;
	return -1;
}

/* getopt takes --by for --bytes where a command has only the latter. */
static const char *find_foreign(const struct ph_cmd *cmd, int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		size_t n = strncmp(argv[i], "--", 2) ? 0 : strcspn(argv[i] + 2, "=");
		for (int o = 0; n && o < PH_OPTIONS; o++)
			if (!(cmd->takes >> o & 1) && strlen(ph_option_table[o].name) == n &&
			    !strncmp(ph_option_table[o].name, argv[i] + 2, n))
				return argv[i];
	}
	return NULL;
}

/* What getopt stumbled over: a letter, or the long option it just passed. */
static struct ph_err *refuse(const struct ph_cmd *cmd, char **argv, int c)
{
	struct ph_err *err;
	const char *word = argv[optind - 1];
	if (c == ':')
		err = ph_err_new(PH_ERR_USAGE, "option %s needs a value", word);
	else if (optopt >= 256)
		err = ph_err_new(PH_ERR_USAGE, "option --%s takes no value", ph_option_table[optopt - 256].name);
	else if (optopt && option_of(optopt) >= 0)
		err = ph_err_new(PH_ERR_USAGE, "%s does not take -%c", cmd->name, optopt);
	else if (optopt)
		err = ph_err_new(PH_ERR_USAGE, "unknown option -%c", optopt);
	else
		err = ph_err_new(PH_ERR_USAGE, "unknown option %.*s", (int)strcspn(word, "="), word);
	return ph_err_hint(err, "`pyheap %s -h` lists the options", cmd->name);
}

static struct ph_err *bad_value(const struct ph_option *o, const char *value, bool nomem)
{
	if (nomem)
		return ph_err_nomem();
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "'%s' is not a value of --%s", value, o->name),
			   "--%s %s: %s", o->name, o->arg, o->help);
}

struct ph_err *ph_options_parse(const struct ph_cmd *cmd, int argc, char **argv,
				struct ph_options *ret, int *ret_first)
{
	struct getopt_tables t;
	int c;
	tables_init(&t, cmd);
	*ret = (struct ph_options){ 0 };
	const char *foreign = find_foreign(cmd, argc, argv);
	if (foreign)
		return ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s does not take %.*s", cmd->name,
					      (int)strcspn(foreign, "="), foreign),
				   "`pyheap %s -h` lists the options", cmd->name);
	optind = 0; /* start afresh */
	opterr = 0;
	while ((c = getopt_long(argc, argv, t.letters, t.longs, NULL)) != -1) {
		bool nomem = false;
		if (c == '?' || c == ':')
			return refuse(cmd, argv, c);
		const struct ph_option *o = &ph_option_table[option_of(c)];
		if (!set_value(o, optarg, ret, &nomem))
			return bad_value(o, optarg, nomem);
	}
	*ret_first = optind;
	return NULL;
}

struct ph_err *ph_cmd_check_by(const struct ph_run *run, const char *choices)
{
	if (!run->opt->by || in_choices(choices, run->opt->by))
		return NULL;
	return ph_err_hint(ph_err_new(PH_ERR_USAGE, "%s has no --by %s", run->cmd->name, run->opt->by),
			   "it takes one of: %s", choices);
}

void ph_options_deinit(struct ph_options *opt)
{
	for (size_t i = 0; i < opt->owned.n; i++)
		free(opt->owned.items[i]);
	ph_vec_free(&opt->owned);
	ph_vec_free(&opt->max_count);
	ph_vec_free(&opt->through);
	ph_vec_free(&opt->avoid);
}
