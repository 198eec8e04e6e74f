/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/command.h"

#include <getopt.h>
#include <stdarg.h>
#include <sysexits.h>

#include "base/codec.h"
#include "base/must.h"
#include "io/token.h"
#include "role/vault/hash.h"
#include "role/vault/password.h"
#include "role/vault/users.h"
#include "smtp/address.h"

/*
 * The commands work on the accounts' file itself, so they do the same whether the station is up or
 * not. Each is a row of a table: what it is called, how many names it takes, and the function that
 * does it.
 */

struct command {
	const char *group; /* "user", "alias" */
	struct config config;
	struct users *users;
	char **names; /* what stands behind the verb */
	int names_n;
	bool json, password_stdin;
	struct buf out;
	struct err err;
};

struct verb {
	const char *name;
	int least, most; /* names behind it */
	bool create;	 /* the accounts may be missing, and are made */
	int (*run)(struct command *c);
};

enum { LINE_MAX_OCTETS = 16 * 1024 * 1024, NAME_SIZE = TOKEN_LOGIN_MAX + 1 };

static int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int
complain(int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("posthouse: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return code;
}

static int
complain_of(const struct command *c, int code)
{
	return complain(code, "%s", c->err.text);
}

/* "alice@example.org added"; as JSON the verb alone. */
static int
tell(struct command *c, const char *name, const char *done, const char *more)
{
	if (c->json) {
		buf_addf(&c->out, "{\"%s\":", c->group);
		codec_add_json(&c->out, str_of(name));
		buf_addf(&c->out, ",\"done\":\"%s\"}\n", done);
	} else {
		buf_addf(&c->out, "%s %s%s\n", name, done, more);
	}
	return EX_OK;
}

/* ── names ── */

static int
unknown_domain(const struct command *c, struct str domain)
{
	struct buf list = { .max = 120 };

	for (size_t i = 0; i < c->config.domains_n && !list.overflow; i++)
		buf_addf(&list, "%s%.*s", i ? ", " : "", STR_ARG(c->config.domains[i].name));
	if (c->config.domains_n == 0)
		complain(EX_DATAERR, "the configuration has no domain; write domain \"%.*s\" {}",
			STR_ARG(domain));
	else
		complain(EX_DATAERR, "%.*s is no domain of the configuration; it has %.*s%s",
			STR_ARG(domain), STR_ARG(buf_str(&list)), list.overflow ? " …" : "");
	buf_free(&list);
	return EX_DATAERR;
}

/* One of our names as the accounts keep it: whole, in lower case. Without a domain it is the only
 * one that the file has. */
static int
read_name(const struct command *c, const char *typed, char name[NAME_SIZE])
{
	struct str local, domain;
	const struct config_domain *d;
	int n;

	if (str_cut(str_of(typed), '@', &local, &domain)) {
		d = config_domain(&c->config, domain);
		if (!d)
			return unknown_domain(c, domain);
	} else if (c->config.domains_n == 1) {
		d = &c->config.domains[0];
	} else {
		return complain(EX_USAGE, "%s: write it with its domain, as in %s@%.*s", typed,
			typed,
			STR_ARG(c->config.domains_n ? c->config.domains[0].name
						    : S("example.org")));
	}
	if (!config_name_is_valid(local))
		return complain(EX_DATAERR,
			"%s: no mailbox can be called so; a name is 1 to 64 of a-z, 0-9 and . _ - "
			"+",
			typed);
	n = snprintf(name, NAME_SIZE, "%.*s@%.*s", STR_ARG(local), STR_ARG(d->name));
	must(n > 0 && n < NAME_SIZE);
	for (char *p = name; *p; p++)
		*p = char_lower(*p);
	return EX_OK;
}

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

/* Said on standard error after a change: that mail to this name will not come where one would
 * think. */
static void
note_where_it_leads(struct command *c, const char *name)
{
	struct book book;
	struct arena arena = { .max = 4 * 1024 * 1024 };
	struct book_targets *t = calloc(1, sizeof *t);
	struct str local, domain;
	struct err ignored;

	must(t);
	str_cut(str_of(name), '@', &local, &domain);
	book_begin(&book, &c->config);
	if (users_load(c->users, &book, &ignored)) {
		switch (book_expand(&book, local, domain, &arena, t)) {
		case EXPANDED_TARGETS:
			if (strcmp(c->group, "user") == 0 &&
				(t->n != 1 || !str_eq(t->list[0].address, str_of(name))))
				fprintf(stderr, "note: an alias takes the mail to %s\n", name);
			break;
		case EXPANDED_MOVED:
			fprintf(stderr, "note: the configuration says that %s has moved\n", name);
			break;
		case EXPANDED_UNKNOWN:
		case EXPANDED_LOOP:
			fprintf(stderr, "note: %.*s\n", STR_ARG(t->words));
			break;
		case EXPANDED_BUSY:
			break;
		}
		if (strcmp(c->group, "alias") == 0 && book_login(&book, str_of(name)))
			fprintf(stderr,
				"note: %s is a mailbox too; its mail goes to this alias now\n",
				name);
		if (t->n && t->nowhere.n)
			fprintf(stderr, "note: nobody has the name %.*s\n", STR_ARG(t->nowhere));
	}
	book_free(&book);
	arena_free(&arena);
	free(t);
}

/* ── posthouse user ── */

/* The hash of a password from the prompt or standard input. */
static int
new_hash(struct command *c, const char *name, struct buf *hash)
{
	struct buf password = { .max = HASH_PASSWORD_MAX };
	bool good = c->password_stdin ? password_from_stdin(&password, &c->err)
				      : password_ask(&password, str_of(name), &c->err);
	int code = good ? EX_OK : complain_of(c, EX_DATAERR);

	if (good && !hash_make(buf_str(&password), hash))
		code = complain(EX_OSERR, "crypt(3) of this system cannot make a yescrypt hash");
	password_wipe(&password);
	return code;
}

static int
user_add(struct command *c)
{
	struct buf hash = { .max = 512 };
	char name[NAME_SIZE];
	bool found;
	int code = read_name(c, c->names[0], name);

	if (code == EX_OK)
		code = new_hash(c, name, &hash);
	if (code == EX_OK && !users_add(c->users, str_of(name), buf_str(&hash), &found, &c->err))
		code = complain_of(c, EX_TEMPFAIL);
	else if (code == EX_OK && found)
		code = complain(EX_CANTCREAT,
			"%s is there already; `posthouse user passwd %s` gives a new password",
			name, name);
	else if (code == EX_OK) {
		tell(c, name, "added", "");
		note_where_it_leads(c, name);
	}
	buf_free(&hash);
	return code;
}

/* The end of a change to one user who must be there. */
static int
user_changed(struct command *c, const char *name, bool good, bool found, const char *done,
	const char *more)
{
	if (!good)
		return complain_of(c, EX_TEMPFAIL);
	if (!found)
		return complain(
			EX_NOUSER, "there is no user %s; `posthouse user list` shows all", name);
	return tell(c, name, done, more);
}

static int
user_passwd(struct command *c)
{
	struct buf hash = { .max = 512 };
	char name[NAME_SIZE];
	bool found = false, good;
	int code = read_name(c, c->names[0], name);

	if (code == EX_OK)
		code = new_hash(c, name, &hash);
	if (code == EX_OK) {
		good = users_set_hash(c->users, str_of(name), buf_str(&hash), &found, &c->err);
		code = user_changed(
			c, name, good, found, "changed", ": the new password is good from now on");
	}
	buf_free(&hash);
	return code;
}

static int
user_remove(struct command *c)
{
	char name[NAME_SIZE];
	bool found = false, good;
	int code = read_name(c, c->names[0], name);

	if (code != EX_OK)
		return code;
	good = users_remove(c->users, str_of(name), &found, &c->err);
	return user_changed(
		c, name, good, found, "removed", "; mail in its mailbox stays where it is");
}

static int
user_set_suspended(struct command *c, bool is_suspended)
{
	char name[NAME_SIZE];
	bool found = false, good;
	int code = read_name(c, c->names[0], name);

	if (code != EX_OK)
		return code;
	good = users_set_suspended(c->users, str_of(name), is_suspended, &found, &c->err);
	return user_changed(c, name, good, found, is_suspended ? "suspended" : "resumed", "");
}

static int
user_suspend(struct command *c)
{
	return user_set_suspended(c, true);
}

static int
user_resume(struct command *c)
{
	return user_set_suspended(c, false);
}

static void
list_user(void *owner, const struct users_row *r)
{
	struct command *c = owner;

	if (!c->json) {
		buf_addf(&c->out, "%.*s%s\n", STR_ARG(r->name),
			r->is_suspended ? "  suspended" : "");
		return;
	}
	buf_add(&c->out, S("{\"user\":"));
	codec_add_json(&c->out, r->name);
	buf_addf(&c->out, ",\"suspended\":%s}\n", r->is_suspended ? "true" : "false");
}

static int
user_list(struct command *c)
{
	return users_list(c->users, list_user, c, &c->err) ? EX_OK : complain_of(c, EX_TEMPFAIL);
}

/* ── posthouse alias ── */

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

/* ── the tables ── */

static const struct verb user_verbs[] = {
	{ "add", 1, 1, true, user_add },
	{ "passwd", 1, 1, false, user_passwd },
	{ "list", 0, 0, true, user_list },
	{ "remove", 1, 1, false, user_remove },
	{ "suspend", 1, 1, false, user_suspend },
	{ "resume", 1, 1, false, user_resume },
	{ 0 },
};

static const struct verb alias_verbs[] = {
	{ "add", 2, 100, true, alias_add },
	{ "list", 0, 0, true, alias_list },
	{ "remove", 1, 2, false, alias_remove },
	{ 0 },
};

static const char user_help[] =
	"usage: posthouse user add|passwd NAME@DOMAIN [--password-stdin]\n"
	"       posthouse user remove|suspend|resume NAME@DOMAIN\n"
	"       posthouse user list\n"
	"\n"
	"People with a mailbox and a login. A suspended one cannot log in, and senders to it are "
	"asked to try later;\n"
	"what comes by an alias is still kept for it. Works whether the station is up or not; a "
	"running one knows within a second.\n"
	"\n"
	"  --config FILE     the configuration; else $POSTHOUSE_CONFIG, else "
	"/etc/posthouse/posthouse.conf\n"
	"  --password-stdin  the password is the first line of standard input; else it is asked "
	"for\n"
	"  --json            one JSON object a line\n"
	"\n"
	"example: posthouse user add alice@example.org\n";

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

/* ── from argv to the row ── */

static const struct verb *
verb_named(const struct verb *verbs, const char *name)
{
	for (; verbs->name; verbs++)
		if (strcmp(verbs->name, name) == 0)
			return verbs;
	return NULL;
}

static int
run(struct command *c, const struct verb *v, const char *config_path)
{
	int code;

	if (!config_load(&c->config, config_path, &c->err))
		return complain_of(c, EX_CONFIG);
	if (!users_open(&c->users, c->config.state, v->create, &c->err)) {
		code = complain_of(c, EX_CANTCREAT);
	} else {
		code = v->run(c);
		if (c->out.n)
			fwrite(c->out.p, 1, c->out.n, stdout);
		if (fflush(stdout) != 0 && code == EX_OK)
			code = EX_IOERR;
	}
	users_close(&c->users);
	config_free(&c->config);
	buf_free(&c->out);
	return code;
}

static int
command(const char *group, const struct verb *verbs, const char *help, int argc, char **argv)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' }, { "password-stdin", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' }, { 0 } };
	struct command c = { .group = group, .out = { .max = LINE_MAX_OCTETS } };
	const char *config_path = NULL;
	const struct verb *v;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1)
		switch (option) {
		case 'c':
			config_path = optarg;
			break;
		case 'j':
			c.json = true;
			break;
		case 'p':
			c.password_stdin = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EX_OK;
		default:
			return complain(EX_USAGE, "%s: %s; see `posthouse %s --help`",
				argv[optind - 1],
				option == ':' ? "needs a value" : "no such option", group);
		}
	if (optind == argc) {
		fputs(help, stderr);
		return EX_USAGE;
	}
	v = verb_named(verbs, argv[optind]);
	if (!v)
		return complain(EX_USAGE, "`%s` has no `%s`; see `posthouse %s --help`", group,
			argv[optind], group);
	c.names = argv + optind + 1;
	c.names_n = argc - optind - 1;
	if (c.names_n < v->least || c.names_n > v->most)
		return complain(EX_USAGE, "posthouse %s %s takes %s; see `posthouse %s --help`",
			group, v->name,
			v->most == 0	? "no name"
			: v->least == 2 ? "a name and its targets"
					: "one name",
			group);
	return run(&c, v, config_path);
}

int
command_user(int argc, char **argv)
{
	return command("user", user_verbs, user_help, argc, argv);
}

int
command_alias(int argc, char **argv)
{
	return command("alias", alias_verbs, alias_help, argc, argv);
}
