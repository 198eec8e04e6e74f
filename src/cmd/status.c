/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/codec.h"
#include "config/config.h"
#include "io/file.h"

/* `posthouse status`: what master has written to STATE/status (role/master/status.h has its shape), for people or as JSON. */

enum { STATUS_MAX = 128 * 1024, ROLES_MAX = 16, LINES_MAX = 32 };

struct shown {
	struct str name, pid, uid, started_ms, restarts, is_ready;
	struct str guard[LINES_MAX];
	size_t guard_n;
};

struct certificate {
	struct str names, kind, ends_s, file;
};

struct status {
	struct str pid, started_ms, version;
	struct certificate certificates[CONFIG_CERTIFICATES_MAX];
	size_t certificates_n;
	struct shown roles[ROLES_MAX];
	size_t roles_n;
};

static const char help[] =
	"usage: posthouse status [--config FILE] [--json]\n"
	"\n"
	"Whether the station runs, its processes, and what the kernel keeps each of them from: a "
	"line that begins with\n"
	"`lacks` is a protection that this kernel does not have. Exit code 0 when every role "
	"works, "
	"75 when one does not\n"
	"(it is being started again), 69 when the station does not run, 77 when it cannot be "
	"asked.\n"
	"\n"
	"  --config FILE  the configuration; else $POSTHOUSE_CONFIG, else "
	"/etc/posthouse/posthouse.conf\n"
	"  --json         JSON, an object a role, then one a certificate\n"
	"\n"
	"example: posthouse status\n";

/* By the socket of programs here, which anybody may dial and nobody else may make. It is a stream, and is asked for packets: the
 * kernel says "of another type" as long as somebody holds it, and no session is begun. */
static bool
is_running(struct str state, struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), cause;

	snprintf(at.sun_path, sizeof at.sun_path, "%.*s/submit", STR_ARG(state));
	cause = connect(s, (struct sockaddr *)&at, sizeof at) == 0 ? 0 : errno;
	close(s);
	if (cause == EPROTOTYPE)
		return true;
	if (cause == ENOENT || cause == ECONNREFUSED)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL,
			"the station does not run: posthouse serve starts it");
	errno = cause;
	return err_set_errno(e, "cannot ask whether the station runs: %s", at.sun_path);
}

static bool
read_status(struct str state, struct buf *text, struct err *e)
{
	char path[512];
	bool good;
	int fd;

	snprintf(path, sizeof path, "%.*s/status", STR_ARG(state));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "the station is just being started");
	if (fd < 0)
		return err_set_errno(e, "%s", path);
	good = file_read_whole(fd, text) || err_set_errno(e, "%s", path);
	close(fd);
	return good;
}

static struct str
field(struct str *line)
{
	struct str f;

	str_cut(*line, '\t', &f, line);
	return f;
}

static struct shown *
role_named(struct status *s, struct str name)
{
	for (size_t i = 0; i < s->roles_n; i++)
		if (str_eq(s->roles[i].name, name))
			return &s->roles[i];
	return NULL;
}

static void
scan_status(struct str text, struct status *s)
{
	struct str line;

	while (scan_until(&text, '\n', &line)) {
		struct str kind = field(&line), name = field(&line);
		struct shown *r = role_named(s, name);

		if (str_eq(kind, S("station"))) {
			s->pid = name;
			s->started_ms = field(&line);
			s->version = field(&line);
		} else if (str_eq(kind, S("role")) && s->roles_n < ROLES_MAX) {
			r = &s->roles[s->roles_n++];
			r->name = name;
			r->pid = field(&line);
			r->uid = field(&line);
			r->started_ms = field(&line);
			r->restarts = field(&line);
			r->is_ready = field(&line);
		} else if (str_eq(kind, S("certificate")) &&
			   s->certificates_n < CONFIG_CERTIFICATES_MAX) {
			struct certificate *c = &s->certificates[s->certificates_n++];

			c->names = name;
			c->kind = field(&line);
			c->ends_s = field(&line);
			c->file = line;
		} else if (str_eq(kind, S("guard")) && r && r->guard_n < LINES_MAX) {
			r->guard[r->guard_n++] = line;
		}
	}
}

static bool
works(const struct shown *r)
{
	return str_eq(r->is_ready, S("1"));
}

static bool
all_work(const struct status *s)
{
	for (size_t i = 0; i < s->roles_n; i++)
		if (!works(&s->roles[i]))
			return false;
	return true;
}

static const char *
moment(struct str ms_text, char text[32])
{
	uint64_t ms = 0;
	struct tm local;
	time_t at;

	scan_u64(&ms_text, &ms);
	at = (time_t)(ms / 1000);
	if (!localtime_r(&at, &local) || strftime(text, 32, "%Y-%m-%d %H:%M:%S", &local) == 0)
		text[0] = 0;
	return text;
}

/* Days until then; what is over is -1 and less. */
static long long
days_left(struct str ends_s)
{
	uint64_t s = 0;
	int64_t left;

	scan_u64(&ends_s, &s);
	left = (int64_t)s - time(NULL);
	return left / (24 * 3600) - (left < 0);
}

static void
show_certificate(const struct certificate *c)
{
	struct str rest = c->ends_s;
	long long days = days_left(c->ends_s);
	char day[16] = "", left[32] = "EXPIRED";
	uint64_t s = 0;
	struct tm tm;
	time_t at;

	scan_u64(&rest, &s);
	at = (time_t)s;
	if (gmtime_r(&at, &tm))
		strftime(day, sizeof day, "%Y-%m-%d", &tm);
	if (days >= 0)
		snprintf(left, sizeof left, "%lld d", days);
	printf("certificate %.*s %.*s until %s (%s) %.*s\n", STR_ARG(c->names), STR_ARG(c->kind),
		day, left, STR_ARG(c->file));
}

static void
show(const struct status *s)
{
	char at[32];

	printf("The station runs: process %.*s, version %.*s, since %s\n", STR_ARG(s->pid),
		STR_ARG(s->version), moment(s->started_ms, at));
	for (size_t i = 0; i < s->certificates_n; i++)
		show_certificate(&s->certificates[i]);
	for (size_t i = 0; i < s->roles_n; i++) {
		const struct shown *r = &s->roles[i];

		printf("\n%-8.*s %s; process %.*s, user %.*s, since %s", STR_ARG(r->name),
			works(r) ? "works" : "DOES NOT WORK NOW", STR_ARG(r->pid), STR_ARG(r->uid),
			moment(r->started_ms, at));
		if (str_eq(r->restarts, S("1")))
			printf(", started again once after it had died");
		else if (!str_eq(r->restarts, S("0")))
			printf(", started again %.*s times after it had died",
				STR_ARG(r->restarts));
		putchar('\n');
		for (size_t k = 0; k < r->guard_n; k++)
			printf("         %.*s\n", STR_ARG(r->guard[k]));
	}
}

static void
add_lines(struct buf *out, const struct shown *r, bool lacks)
{
	const char *before = "";

	for (size_t k = 0; k < r->guard_n; k++) {
		if (str_starts(r->guard[k], S("lacks ")) != lacks)
			continue;
		buf_add(out, str_of(before));
		codec_add_json(out, str_from(r->guard[k], lacks ? 6 : 0));
		before = ",";
	}
}

static void
add_certificate(struct buf *out, const struct certificate *c)
{
	buf_add(out, S("{\"certificate\":"));
	codec_add_json(out, c->names);
	buf_add(out, S(",\"kind\":"));
	codec_add_json(out, c->kind);
	buf_addf(out, ",\"ends_s\":%.*s,\"days\":%lld,\"file\":", STR_ARG(c->ends_s),
		days_left(c->ends_s));
	codec_add_json(out, c->file);
	buf_add(out, S("}\n"));
}

static void
show_json(const struct status *s)
{
	struct buf out = { .max = 4 * STATUS_MAX };

	for (size_t i = 0; i < s->roles_n; i++) {
		const struct shown *r = &s->roles[i];

		buf_add(&out, S("{\"role\":"));
		codec_add_json(&out, r->name);
		buf_addf(&out,
			",\"works\":%s,\"pid\":%.*s,\"uid\":%.*s,\"started_ms\":%.*s,\"restarts\":%"
			".*s,\"holds\":[",
			works(r) ? "true" : "false", STR_ARG(r->pid), STR_ARG(r->uid),
			STR_ARG(r->started_ms), STR_ARG(r->restarts));
		add_lines(&out, r, false);
		buf_add(&out, S("],\"lacks\":["));
		add_lines(&out, r, true);
		buf_add(&out, S("]}\n"));
	}
	for (size_t i = 0; i < s->certificates_n; i++)
		add_certificate(&out, &s->certificates[i]);
	fwrite(out.p, 1, out.n, stdout);
	buf_free(&out);
}

static int
status(const char *config_path, bool json)
{
	struct buf text = { .max = STATUS_MAX };
	struct status s = { 0 };
	struct config c = { 0 };
	struct err e = { 0 };
	int code = EX_UNAVAILABLE;

	if (!config_load(&c, config_path, &e)) {
		fprintf(stderr, "posthouse: %s\n", e.text);
		return EX_CONFIG;
	}
	if (!is_running(c.state, &e)) {
		fprintf(stderr, "posthouse: %s\n", e.text);
		code = e.cause ? EX_NOPERM : EX_UNAVAILABLE;
	} else if (!read_status(c.state, &text, &e)) {
		fprintf(stderr, "posthouse: %s\n", e.text);
		code = e.cause ? EX_NOPERM : EX_TEMPFAIL;
	} else {
		scan_status(buf_str(&text), &s);
		(json ? show_json : show)(&s);
		code = all_work(&s) ? EX_OK : EX_TEMPFAIL;
	}
	buf_free(&text);
	config_free(&c);
	return code;
}

int
cmd_status(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *path = NULL;
	bool json = false;
	int o;

	opterr = 0;
	while ((o = getopt_long(argc, argv, ":", options, NULL)) != -1)
		switch (o) {
		case 'c':
			path = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EX_OK;
		default:
			fprintf(stderr, "posthouse: %s: %s; see `posthouse status --help`\n",
				argv[optind - 1], o == ':' ? "needs a value" : "no such option");
			return EX_USAGE;
		}
	if (optind < argc) {
		fprintf(stderr, "posthouse: status takes no name; see `posthouse status --help`\n");
		return EX_USAGE;
	}
	return status(path, json);
}
