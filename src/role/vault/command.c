/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/command_core.h"

#include <getopt.h>
#include <stdarg.h>

#include "base/must.h"

enum { LINE_MAX_OCTETS = 16 * 1024 * 1024 };

int
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

int
complain_of(const struct command *c, int code)
{
	return complain(code, "%s", c->err.text);
}

int
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

int
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

void
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

int
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
			v->most == 0 ? "no name"
			: v->least == 2
				? v->most == 2 ? "a name and a label" : "a name and its targets"
				: "one name",
			group);
	return run(&c, v, config_path);
}
