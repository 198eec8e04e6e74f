/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/command.h"
#include "role/vault/command_core.h"
#include "smtp/address.h"

/* An alias's target: a name of the alias's own domain, or any address. */
static int
read_target(const struct command *c, const char *typed, const char *alias, char target[NAME_SIZE])
{
	struct arena arena = { .max = 4096 };
	struct str text = str_of(typed), domain, local;
	struct address a;
	bool good;

	if (str_find(text, '@') == text.n) {
		char whole[2 * NAME_SIZE];

		str_cut(str_of(alias), '@', &local, &domain);
		snprintf(whole, sizeof whole, "%s@%.*s", typed, STR_ARG(domain));
		return read_name(c, whole, target);
	}
	good = text.n < NAME_SIZE && address_parse(text, &arena, true, &a) == ADDRESS_OK &&
	       a.domain.n;
	arena_free(&arena);
	if (!good)
		return complain(
			EX_DATAERR, "%s is no address; write one such as bob@example.net", typed);
	snprintf(target, NAME_SIZE, "%s", typed);
	str_cut(text, '@', &local, &domain);
	return config_domain(&c->config, domain) ? read_name(c, typed, target) : EX_OK;
}

static bool
is_alias_of_file(const struct command *c, const char *name)
{
	struct str local, domain;
	const struct config_domain *d;

	str_cut(str_of(name), '@', &local, &domain);
	d = config_domain(&c->config, domain);
	for (size_t i = 0; d && i < d->aliases_n; i++)
		if (str_eq(d->aliases[i].name, local))
			return true;
	return false;
}

static int
read_alias(const struct command *c, char name[NAME_SIZE])
{
	int code = read_name(c, c->names[0], name);

	if (code == EX_OK && is_alias_of_file(c, name))
		code = complain(EX_DATAERR,
			"%s is an alias of the configuration file; change it there", name);
	return code;
}

static int
alias_add(struct command *c)
{
	char name[NAME_SIZE], target[NAME_SIZE];
	bool found;
	int code = read_alias(c, name);

	for (int i = 1; i < c->names_n && code == EX_OK;
		i++) /* all are right before the first is written */
		code = read_target(c, c->names[i], name, target);
	for (int i = 1; i < c->names_n && code == EX_OK; i++) {
		read_target(c, c->names[i], name, target);
		if (!users_add_alias(c->users, str_of(name), str_of(target), &found, &c->err))
			code = complain_of(c, EX_TEMPFAIL);
	}
	if (code == EX_OK) {
		tell(c, name, "added", "");
		note_where_it_leads(c, name);
	}
	return code;
}

static int
alias_remove(struct command *c)
{
	char name[NAME_SIZE], target[NAME_SIZE] = "";
	bool found = false, good;
	int code = read_alias(c, name);

	if (code == EX_OK && c->names_n > 1)
		code = read_target(c, c->names[1], name, target);
	if (code != EX_OK)
		return code;
	good = users_remove_alias(c->users, str_of(name), str_of(target), &found, &c->err);
	if (!good)
		return complain_of(c, EX_TEMPFAIL);
	if (!found)
		return complain(EX_NOUSER,
			"there is no alias %s%s%s; `posthouse alias list` shows all", name,
			target[0] ? " to " : "", target);
	return tell(c, name, "removed", "");
}

static void
list_alias(void *owner, const struct users_row *r)
{
	struct command *c = owner;

	if (!c->json) {
		buf_addf(&c->out, "%.*s  %.*s\n", STR_ARG(r->name), STR_ARG(r->value));
		return;
	}
	buf_add(&c->out, S("{\"alias\":"));
	codec_add_json(&c->out, r->name);
	buf_add(&c->out, S(",\"to\":"));
	codec_add_json(&c->out, r->value);
	buf_add(&c->out, S("}\n"));
}

static int
alias_list(struct command *c)
{
	return users_list_aliases(c->users, list_alias, c, &c->err) ? EX_OK
								    : complain_of(c, EX_TEMPFAIL);
}

static const struct verb alias_verbs[] = {
	{ "add", 2, 100, true, alias_add },
	{ "list", 0, 0, true, alias_list },
	{ "remove", 1, 2, false, alias_remove },
	{ 0 },
};

static const char alias_help[] =
	"usage: posthouse alias add NAME@DOMAIN TARGET…\n"
	"       posthouse alias remove NAME@DOMAIN [TARGET]\n"
	"       posthouse alias list\n"
	"\n"
	"Names that stand for others: for mailboxes of this house, or addresses elsewhere. Aliases "
	"of the\n"
	"configuration file come first and are changed there. Removing without a target removes "
	"the whole alias.\n"
	"\n"
	"  --config FILE  the configuration; else $POSTHOUSE_CONFIG, else "
	"/etc/posthouse/posthouse.conf\n"
	"  --json         one JSON object a line\n"
	"\n"
	"example: posthouse alias add sales@example.org alice bob@example.net\n";

int
command_alias(int argc, char **argv)
{
	return command("alias", alias_verbs, alias_help, argc, argv);
}
