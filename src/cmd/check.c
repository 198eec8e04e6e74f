/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "base/codec.h"
#include "cmd/certificates.h"
#include "config/config.h"

enum { OUT_MAX = 1024 * 1024 };

static const char help[] =
	"usage: posthouse check [--config FILE] [--json]\n"
	"       posthouse check --options [--json]\n"
	"\n"
	"Reads the configuration as `posthouse serve` would, and says what is "
	"wrong with it: file, line, the wrong\n"
	"word, and what was probably meant. Exit code 0 when it is good, 78 "
	"when not. Nothing is started or written.\n"
	"What does not keep the station from starting, and will be missed, follows "
	"as notes: a certificate that has\n"
	"expired or is for another name, a key that everybody may read, a filter "
	"that is not there, more\n"
	"connections than descriptors.\n"
	"\n"
	"  --config FILE  the configuration; else $POSTHOUSE_CONFIG, else "
	"/etc/posthouse/posthouse.conf\n"
	"  --options      list every option with its type, default and meaning\n"
	"  --json         JSON, an object a line\n"
	"\n"
	"example: posthouse check --config ./posthouse.conf\n";

static void
count(struct buf *out, size_t n, const char *one, const char *many)
{
	buf_addf(out, "%s%zu %s", out->n ? ", " : "", n, n == 1 ? one : many);
}

static void
summary(const struct config *c, struct buf *out)
{
	size_t aliases = 0;

	for (size_t i = 0; i < c->domains_n; i++)
		aliases += c->domains[i].aliases_n;
	count(out, c->listens_n, "listener", "listeners");
	count(out, c->domains_n, "domain", "domains");
	count(out, aliases, "alias", "aliases");
	count(out, c->routes_n, "route", "routes");
}

/* A connection is a descriptor of receive, and one more with each filter for the time of its mail. The hard limit counts: `serve` raises the
 * other to it. */
static void
note_descriptors(const struct config *c, struct buf *notes)
{
	uint64_t most = (uint64_t)c->limits.connections * (1 + c->filters_n);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max == RLIM_INFINITY ||
		most <= limit.rlim_max)
		return;
	buf_addf(notes,
		"limits: connections = %" PRIu32 " may need %" PRIu64
		" descriptors%s, and a process has at most %" PRIu64
		" here (ulimit -Hn, LimitNOFILE): those beyond are told to come later\n",
		c->limits.connections, most, c->filters_n ? " with the filters" : "",
		(uint64_t)limit.rlim_max);
}

static void
note_imap(const struct config *c, struct buf *notes)
{
	for (size_t i = 0; i < c->listens_n; i++)
		if (c->listens[i].door == CONFIG_WEB)
			return;
	if (c->web.imap_url.n)
		buf_add(notes, S("web: imap is told at a web door, and there is none: write listen "
				 "web { on = \"*:443\" }, or leave imap out\n"));
}

/* The verdict on the file and the certificates it names; *path is what it is called. */
static bool
read_config(const char *path_arg, const char **path, struct config *c, struct buf *notes,
	struct buf *wrong)
{
	struct buf text = { .max = CONFIG_FILE_MAX };
	struct err e = { 0 };
	bool good = config_read_file(path_arg, path, &text, &e) &&
		    config_parse(c, buf_str(&text), *path, &e) &&
		    certificates_check(c, *path, true, notes, wrong);

	if (good) {
		note_descriptors(c, notes);
		note_imap(c, notes);
	}
	buf_add(wrong, str_of(e.text));
	buf_free(&text);
	return good;
}

static void
add_notes(struct buf *out, struct str notes)
{
	struct str line;
	const char *before = "";

	buf_add(out, S(",\"notes\":["));
	while (scan_until(&notes, '\n', &line)) {
		buf_add(out, str_of(before));
		codec_add_json(out, line);
		before = ",";
	}
	buf_add_char(out, ']');
}

static void
add_json(struct buf *out, const char *path, const struct config *c, struct str notes,
	struct str wrong)
{
	buf_add(out, S("{\"file\":"));
	codec_add_json(out, str_of(path));
	if (wrong.n) {
		buf_add(out, S(",\"good\":false,\"error\":"));
		codec_add_json(out, wrong);
	} else {
		buf_addf(out, ",\"good\":true,\"listeners\":%zu,\"domains\":%zu,\"routes\":%zu",
			c->listens_n, c->domains_n, c->routes_n);
	}
	add_notes(out, notes);
	buf_add(out, S("}\n"));
}

static int
check(const char *path_arg, bool json)
{
	struct buf out = { .max = OUT_MAX }, notes = { .max = OUT_MAX }, wrong = { .max = OUT_MAX };
	struct config c = { 0 };
	const char *path;
	bool good = read_config(path_arg, &path, &c, &notes, &wrong);

	if (json) {
		add_json(&out, path, &c, buf_str(&notes), buf_str(&wrong));
		fwrite(out.p, 1, out.n, stdout);
	} else if (good) {
		summary(&c, &out);
		printf("%s: good: %.*s%s\n", path, STR_ARG(buf_str(&out)), notes.n ? "; but" : "");
		fflush(stdout); /* the notes follow it */
	} else {
		fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&wrong)));
	}
	if (!json)
		fprintf(stderr, "%.*s", STR_ARG(buf_str(&notes)));
	buf_free(&wrong);
	buf_free(&notes);
	buf_free(&out);
	config_free(&c);
	return good ? EX_OK : EX_CONFIG;
}

static int
list_options(bool json)
{
	struct buf out = { .max = OUT_MAX };

	config_describe(&out, json);
	fwrite(out.p, 1, out.n, stdout);
	buf_free(&out);
	return EX_OK;
}

int
cmd_check(int argc, char **argv)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' }, { "options", no_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' }, { 0 } };
	const char *path = NULL;
	bool json = false, list = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1)
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'o':
			list = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EX_OK;
		default:
			fprintf(stderr, "posthouse: %s: %s; see `posthouse check --help`\n",
				argv[optind - 1],
				option == ':' ? "needs a value" : "no such option");
			return EX_USAGE;
		}
	if (optind < argc) {
		fprintf(stderr, "posthouse: check takes no name; write --config %s\n",
			argv[optind]);
		return EX_USAGE;
	}
	return list ? list_options(json) : check(path, json);
}
