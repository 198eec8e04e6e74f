/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "config/config.h"
#include "io/ipc.h"

/* `posthouse queue list|show`: asks the queue on <state>/control and prints what it says. */

static const char help[] =
	"posthouse queue list            every mail that waits, a line a recipient\n"
	"posthouse queue show ID         one mail with all its recipients; the first digits of the "
	"id are enough\n"
	"\n"
	"  --config FILE   else $POSTHOUSE_CONFIG, else /etc/posthouse/posthouse.conf\n"
	"  --json          one object a line: id, arrived, size, from, to, state, tries, next, "
	"host, words\n"
	"\n"
	"States: waiting, deferred (words say why, next when it is tried again), failed (its "
	"bounce is being written),\n"
	"delivered, expanded (an alias: its members follow).\n"
	"\n"
	"Example\n"
	"  posthouse queue list --json | grep '\"state\":\"deferred\"'\n";

struct asker {
	struct loop *loop;
	bool is_json, is_show, is_answered, is_partial;
	uint64_t mails, recipients;
	struct mail_id shown;
};

static const char *
state_word(uint8_t letter)
{
	switch (letter) {
	case 'W':
		return "waiting";
	case 'D':
		return "deferred";
	case 'F':
		return "failed";
	case 'O':
		return "delivered";
	case 'E':
		return "expanded";
	default:
		return "unknown";
	}
}

static const char *
time_text(uint64_t ms, char text[32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	text[0] = 0;
	if (ms && gmtime_r(&seconds, &tm))
		strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return text;
}

static void
json_text(struct buf *to, const char *name, struct str value)
{
	buf_addf(to, ",\"%s\":", name);
	codec_add_json(to, value);
}

static void
print_json(const struct ipc_item *i)
{
	struct buf line = { .max = IPC_PACKET_MAX };
	char id[MAIL_ID_TEXT], when[32];

	buf_addf(&line, "{\"id\":\"%s\"", mail_id_text(i->id, id));
	json_text(&line, "arrived", str_of(time_text(i->arrived_ms, when)));
	buf_addf(&line, ",\"size\":%llu", (unsigned long long)i->size);
	json_text(&line, "from", i->reverse_path);
	json_text(&line, "to", i->address);
	json_text(&line, "state", str_of(state_word(i->state)));
	buf_addf(&line, ",\"tries\":%u", i->tries);
	json_text(&line, "next", str_of(time_text(i->due_ms, when)));
	json_text(&line, "host", i->host);
	json_text(&line, "words", i->words);
	printf("%.*s}\n", STR_ARG(buf_str(&line)));
	buf_free(&line);
}

/* Strangers' words on a terminal: nothing but plain text. */
static void
print_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		putchar((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ? '?' : s.p[i]);
}

static void
print_item(struct asker *a, const struct ipc_item *i)
{
	char id[MAIL_ID_TEXT], when[32];

	if (a->is_show && !mail_id_eq(a->shown, i->id)) {
		printf("%s%s\n  from     <", a->mails ? "\n" : "", mail_id_text(i->id, id));
		print_plain(i->reverse_path);
		printf(">\n  arrived  %s\n  size     %llu\n", time_text(i->arrived_ms, when),
			(unsigned long long)i->size);
		a->shown = i->id;
		a->mails++;
	}
	if (a->is_show)
		printf("  to       <");
	else
		printf("%.12s  %s  %-9s <", mail_id_text(i->id, id), time_text(i->arrived_ms, when),
			state_word(i->state));
	print_plain(i->address);
	printf(">");
	if (a->is_show)
		printf("  %s", state_word(i->state));
	if (i->tries)
		printf("  tries %u", i->tries);
	if (i->state == 'D')
		printf("  next %s", time_text(i->due_ms, when));
	if (i->words.n) {
		printf("  ");
		print_plain(i->words);
	}
	putchar('\n');
}

static void
came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct asker *a = owner;

	(void)from;
	if (m->kind == IPC_item) {
		if (a->is_json)
			print_json(&m->item);
		else
			print_item(a, &m->item);
		return;
	}
	if (m->kind == IPC_end) {
		a->is_answered = true;
		a->mails = m->end.mails;
		a->recipients = m->end.recipients;
		a->is_partial = m->end.is_partial;
	}
	loop_stop(a->loop);
}

static int
connect_control(const struct config *c)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%.*s/control", STR_ARG(c->state));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	fprintf(stderr,
		"posthouse queue: no station answers at %s (%s): start it with posthouse serve, as "
		"the same user\n",
		address.sun_path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static int
ask(const struct config *c, struct asker *a, const char *id)
{
	int fd = connect_control(c);
	struct ipc *channel;

	if (fd < 0)
		return EX_UNAVAILABLE;
	a->loop = loop_open();
	channel = ipc_open(a->loop, fd, ROLE_COMMAND, ROLE_QUEUE, came, a);
	ipc_send_list(channel, &(struct ipc_list){ .fd = -1, .id = str_of(id) });
	loop_run(a->loop);
	ipc_close(&channel);
	loop_close(&a->loop);
	if (!a->is_answered) {
		fprintf(stderr,
			"posthouse queue: the station ended while it answered: try again\n");
		return EX_TEMPFAIL;
	}
	if (a->is_partial) {
		fprintf(stderr,
			"posthouse queue: the station is still reading its spool, there may "
			"be more mail: try again\n");
		return EX_TEMPFAIL;
	}
	if (a->is_show && a->mails == 0) {
		fprintf(stderr,
			"posthouse queue: no mail here has an id that begins with %s: it may be "
			"settled (see the station's log)\n",
			id);
		return EX_DATAERR;
	}
	if (!a->is_json && !a->is_show)
		printf("%llu mail%s, %llu recipient%s\n", (unsigned long long)a->mails,
			a->mails == 1 ? "" : "s", (unsigned long long)a->recipients,
			a->recipients == 1 ? "" : "s");
	return EX_OK;
}

int
cmd_queue(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct config c = { 0 };
	struct asker a = { 0 };
	struct err e = { 0 };
	const char *path = NULL, *id = "";
	int o, code;

	opterr = 0;
	while ((o = getopt_long(argc, argv, "c:jh", options, NULL)) != -1)
		switch (o) {
		case 'c':
			path = optarg;
			break;
		case 'j':
			a.is_json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EX_OK;
		default:
			fprintf(stderr,
				"posthouse: %s: no such option; see 'posthouse queue --help'\n",
				argv[optind - 1]);
			return EX_USAGE;
		}
	a.is_show = optind < argc && strcmp(argv[optind], "show") == 0;
	if (a.is_show && argc - optind == 2)
		id = argv[optind + 1];
	else if (argc - optind != 1 || strcmp(argv[optind], "list") != 0) {
		fprintf(stderr, "posthouse queue: say `list`, or `show ID`; posthouse queue --help "
				"has more\n");
		return EX_USAGE;
	}
	if (!config_load(&c, path, &e)) {
		fprintf(stderr, "posthouse queue: %s\n", e.text);
		return EX_CONFIG;
	}
	code = ask(&c, &a, id);
	config_free(&c);
	return code;
}
