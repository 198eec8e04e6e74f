/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/ip.h"
#include "base/must.h"
#include "config/config.h"
#include "io/file.h"
#include "io/stream.h"
#include "message/message.h"
#include "smtp/client.h"
#include "smtp/data.h"

/*
 * `posthouse send`: writes a mail, or takes a finished one, and hands it in by SMTP, to the station
 * of this host or to any other. It is the plainest driver of the client core there is: one
 * connection, poll with the core's patience, one switch (converse).
 *
 * Where the other host offers TLS it is used. A password goes to another machine only through TLS, and only
 * when the certificate is good for that machine's name (RFC 8314 §5.2).
 *
 * Standard output has the results, a line a recipient or one JSON object; standard error the
 * dialogue (-v) and complaints.
 */

static const char help[] =
	"posthouse send TO… [options]     the text comes from standard input\n"
	"\n"
	"  -s, --subject TEXT\n"
	"  -m, --message TEXT      in place of standard input\n"
	"      --from ADDRESS      else USER of --via where that is an address, else your name at\n"
	"                          the station's domain, or at this host\n"
	"      --raw FILE          a finished message in place of a text; - is standard input. "
	"Its\n"
	"                          line ends become CRLF, nothing else is changed\n"
	"      --via WAY           smtp://[USER@]HOST[:PORT], smtps://… or unix:PATH; else the "
	"station\n"
	"                          of the configuration file. Port 25, with USER 587; smtps 465\n"
	"      --password-stdin    the password of USER is the first line of standard input;\n"
	"                          else it is asked for on the terminal\n"
	"      --in-clear          send the password unencrypted, or to a host that does not prove "
	"its\n"
	"                          name, and not only to this host\n"
	"      --trust FILE        PEM file of the authorities that vouch for names; else the "
	"system's\n"
	"      --config FILE       else $POSTHOUSE_CONFIG, else /etc/posthouse/posthouse.conf\n"
	"  -v                      show the dialogue, passwords masked\n"
	"      --json              one object: from, via, tls, size, message_id, recipients, each "
	"with\n"
	"                          to, result (sent, later, refused), code, status, stage, text\n"
	"\n"
	"Exit codes: 0 all sent, 64 usage, 65 the message or an address is wrong, 66 a file "
	"cannot\n"
	"be read, 69 refused,\n"
	"75 try again later, 77 login refused, 78 configuration.\n"
	"\n"
	"Example\n"
	"  echo 'See you at noon.' | posthouse send bob@example.org -s Lunch -v\n";

enum {
	MESSAGE_MAX = 1 << 30,	     /* octets; hosts take far less */
	CONNECT_PATIENCE_MS = 30000, /* for each address of a host */
	PASSWORD_MAX = 1024,	     /* octets */
};

/* Where mail is handed in. */
struct way {
	struct str text; /* as people know it */
	char host[256], port[8];
	char path[108]; /* of a UNIX socket, then host is empty */
	struct str login;
	char password[PASSWORD_MAX];
	bool is_smtps;
};

struct sender {
	/* asked for */
	const char *subject, *from, *raw, *via, *config_file, *text, *trust;
	bool is_verbose, is_json, reads_password, sends_in_clear;
	char **to;
	size_t to_n;

	/* worked out */
	struct config config; /* empty with --via */
	struct arena arena;
	struct way way;
	char hostname[256];
	struct str reverse_path; /* as on the wire */
	struct str *recipients;	 /* as on the wire, to_n of them */
	struct smtp_outcome *outcomes;
	struct str *words; /* of the last reply, for those who were served */
	char message_id[MAIL_ID_TEXT + 1 + 256];
	struct buf message;
	bool has_8bit, needs_chunking, needs_utf8;

	/* the conversation */
	struct smtp_client client;
	struct smtp_client_settings settings;
	struct smtp_client_mail mail;
	struct stream stream;
	struct tls *terms;
	bool tried_tls;
	bool clear_would_do;		     /* it failed for want of TLS or of a proof alone */
	bool is_near;			     /* the other end is this machine */
	struct buf tls;			     /* what was agreed upon, for people; empty: in clear */
	size_t mails_begin, mails_end;	     /* the recipients of the mail under way */
	size_t given;			     /* octets of the message */
	struct buf shown_ours, shown_theirs; /* incomplete lines of the dialogue */

	int exit_code;
};

static bool
complain(struct sender *s, int exit_code, const char *what, const char *detail)
{
	fprintf(stderr, "posthouse send: %s%s%s\n", what, *detail ? ": " : "", detail);
	s->exit_code = exit_code;
	return false;
}

/* ── What was asked for ──────────────────────────────────────────────────────────────────────── */

static bool
read_options(struct sender *s, int argc, char **argv)
{
	enum { FROM = 256, RAW, VIA, CONFIG, JSON, PASSWORD, CLEAR, TRUST, HELP };
	static const struct option options[] = {
		{ "subject", required_argument, NULL, 's' },
		{ "message", required_argument, NULL, 'm' },
		{ "from", required_argument, NULL, FROM },
		{ "raw", required_argument, NULL, RAW },
		{ "via", required_argument, NULL, VIA },
		{ "config", required_argument, NULL, CONFIG },
		{ "json", no_argument, NULL, JSON },
		{ "password-stdin", no_argument, NULL, PASSWORD },
		{ "in-clear", no_argument, NULL, CLEAR },
		{ "trust", required_argument, NULL, TRUST },
		{ "help", no_argument, NULL, HELP },
		{ 0 },
	};

	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, ":s:m:v", options, NULL)) != -1;)
		switch (c) {
		case 's':
			s->subject = optarg;
			break;
		case 'm':
			s->text = optarg;
			break;
		case 'v':
			s->is_verbose = true;
			break;
		case FROM:
			s->from = optarg;
			break;
		case RAW:
			s->raw = optarg;
			break;
		case VIA:
			s->via = optarg;
			break;
		case CONFIG:
			s->config_file = optarg;
			break;
		case JSON:
			s->is_json = true;
			break;
		case PASSWORD:
			s->reads_password = true;
			break;
		case CLEAR:
			s->sends_in_clear = true;
			break;
		case TRUST:
			s->trust = optarg;
			break;
		case HELP:
			fputs(help, stdout);
			return false;
		default:
			fprintf(stderr, "posthouse: %s: %s; see 'posthouse send --help'\n",
				argv[optind - 1], c == ':' ? "needs a value" : "no such option");
			s->exit_code = EX_USAGE;
			return false;
		}
	s->to = argv + optind;
	s->to_n = (size_t)(argc - optind);
	if (s->to_n == 0)
		return complain(
			s, EX_USAGE, "to whom? posthouse send bob@example.org -s Lunch", "");
	if (s->raw && (s->text || s->subject))
		return complain(
			s, EX_USAGE, "--raw is a finished message: no -s and no -m with it", "");
	return true;
}

/* HOST, HOST:PORT, [IPV6], [IPV6]:PORT */
static bool
parse_host(struct way *way, struct str text)
{
	struct str host, port = str_of(way->is_smtps ? "465" : way->login.n ? "587" : "25");
	size_t end = text.n && text.p[0] == '[' ? str_find(text, ']') : str_find(text, ':');

	if (text.n && text.p[0] == '[') {
		host = str_part(text, 1, end - 1);
		end++;
	} else {
		host = str_part(text, 0, end);
	}
	if (end < text.n)
		port = str_from(text, end + 1);
	if (host.n == 0 || host.n >= sizeof way->host || port.n == 0 ||
		port.n >= sizeof way->port || (end < text.n && text.p[end] != ':'))
		return false;
	memcpy(way->host, host.p, host.n);
	memcpy(way->port, port.p, port.n);
	return true;
}

static bool
parse_via(struct way *way, struct str text)
{
	size_t at;

	way->text = text;
	if (scan_word_nocase(&text, S("unix:"))) {
		if (text.n == 0 || text.n >= sizeof way->path)
			return false;
		memcpy(way->path, text.p, text.n);
		return true;
	}
	way->is_smtps = scan_word_nocase(&text, S("smtps://"));
	if (!way->is_smtps && !scan_word_nocase(&text, S("smtp://")))
		return false;
	while (text.n && text.p[text.n - 1] == '/')
		text.n--;
	/* the last @, for a login may be an address */
	for (at = text.n; at > 0 && text.p[at - 1] != '@'; at--)
		;
	if (at > 0)
		way->login = str_part(text, 0, at - 1);
	return parse_host(way, str_from(text, at));
}

static bool
find_way(struct sender *s)
{
	struct buf submit = { .max = 4096 };
	struct str text;
	struct err e;
	bool ok;

	if (s->via)
		return parse_via(&s->way, str_of(s->via)) ||
		       complain(s, EX_USAGE,
			       "--via is smtp://[USER@]HOST[:PORT], smtps://… or unix:PATH, not",
			       s->via);
	if (!config_load(&s->config, s->config_file, &e)) {
		complain(s, EX_CONFIG, e.text, "");
		fprintf(stderr, "To hand the mail to another host: --via smtp://HOST\n");
		return false;
	}
	buf_add(&submit, S("unix:"));
	buf_add(&submit, s->config.state);
	buf_add(&submit, S("/submit"));
	ok = arena_dup(&s->arena, buf_str(&submit), &text) && parse_via(&s->way, text);
	buf_free(&submit);
	return ok || complain(s, EX_CONFIG, "the path of the station's state is too long", "");
}

/* ── Addresses ───────────────────────────────────────────────────────────────────────────────── */

/* "Bob <bob@example.org>" or "bob@example.org" → bob@example.org as on the wire. */
static bool
wire_form(struct sender *s, struct str mailbox, struct str *wire)
{
	struct buf text = { .max = 2 * ADDRESS_PATH_MAX };
	struct str name, address_text;
	struct address address;
	bool ok;

	mailbox_split(mailbox, &name, &address_text);
	if (address_parse(address_text, &s->arena, true, &address) != ADDRESS_OK)
		return false;
	address_add(&text, address);
	ok = !text.overflow && arena_dup(&s->arena, buf_str(&text), wire);
	s->needs_utf8 = s->needs_utf8 || !str_is_ascii(*wire);
	buf_free(&text);
	return ok;
}

/* Who logs in with an address, or else the name this process runs under, at the first domain of the station or at this host. */
static bool
guess_sender(struct sender *s, struct buf *address)
{
	const struct passwd *person = getpwuid(geteuid());

	if (str_find(s->way.login, '@') < s->way.login.n) {
		buf_add(address, s->way.login);
		return true;
	}
	if (!person)
		return complain(s, EX_USAGE, "who sends this? --from ADDRESS", "");
	buf_add(address, str_of(person->pw_name));
	buf_add_char(address, '@');
	buf_add(address, s->config.domains_n ? s->config.domains[0].name : str_of(s->hostname));
	return true;
}

static bool
find_sender(struct sender *s, struct buf *from)
{
	if (s->from)
		buf_add(from, str_of(s->from));
	else if (!guess_sender(s, from))
		return false;
	if (buf_str(from).n == 0)
		return s->raw || complain(s, EX_USAGE, "an empty --from is for --raw alone", "");
	if (!wire_form(s, buf_str(from), &s->reverse_path))
		return complain(s, EX_DATAERR, "not an address to send from",
			s->from ? s->from : "(guessed; give --from)");
	return true;
}

static bool
check_recipients(struct sender *s)
{
	s->recipients = arena_take(&s->arena, s->to_n * sizeof *s->recipients);
	s->outcomes = arena_take(&s->arena, s->to_n * sizeof *s->outcomes);
	s->words = arena_take(&s->arena, s->to_n * sizeof *s->words);
	if (!s->recipients || !s->outcomes || !s->words)
		return complain(s, EX_USAGE, "too many recipients for one call", "");
	for (size_t i = 0; i < s->to_n; i++)
		if (!wire_form(s, str_of(s->to[i]), &s->recipients[i]))
			return complain(s, EX_DATAERR, "not an address", s->to[i]);
	return true;
}

/* ── The password ────────────────────────────────────────────────────────────────────────────── */

/* One line, octet by octet, so that what follows it on standard input stays there. */
static bool
read_password_line(int fd, char password[PASSWORD_MAX])
{
	size_t n = 0;

	while (n < PASSWORD_MAX && read(fd, &password[n], 1) == 1 && password[n] != '\n')
		n++;
	if (n == PASSWORD_MAX)
		return false;
	password[n] = '\0';
	if (n && password[n - 1] == '\r')
		password[n - 1] = '\0';
	return true;
}

static bool
ask_terminal(struct sender *s)
{
	int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
	struct termios shown, hidden;
	bool ok;

	if (terminal < 0 || tcgetattr(terminal, &shown) < 0) {
		if (terminal >= 0)
			close(terminal);
		return complain(
			s, EX_USAGE, "no terminal to ask for the password: --password-stdin", "");
	}
	dprintf(terminal, "Password of %.*s: ", STR_ARG(s->way.login));
	hidden = shown;
	/* without ISIG no Ctrl-C can leave the terminal silent */
	hidden.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	tcsetattr(terminal, TCSAFLUSH, &hidden);
	ok = read_password_line(terminal, s->way.password);
	tcsetattr(terminal, TCSAFLUSH, &shown);
	dprintf(terminal, "\n");
	close(terminal);
	return ok || complain(s, EX_USAGE, "the password is too long", "");
}

static bool
get_password(struct sender *s)
{
	if (s->reads_password && s->way.login.n == 0)
		return complain(s, EX_USAGE, "whose password? --via smtp://USER@HOST", "");
	if (s->way.login.n == 0)
		return true;
	if (!s->reads_password)
		return ask_terminal(s);
	return read_password_line(STDIN_FILENO, s->way.password) ||
	       complain(s, EX_USAGE, "the password is too long", "");
}

/* ── The message ─────────────────────────────────────────────────────────────────────────────── */

static bool
read_all(struct sender *s, int fd, struct buf *to)
{
	if (file_read_all(fd, to))
		return true;
	if (errno == EFBIG)
		return complain(s, EX_DATAERR, "the message is larger than anyone takes", "");
	return complain(s, EX_NOINPUT, "cannot read the message", strerror(errno));
}

static bool
read_file(struct sender *s, const char *path, struct buf *to)
{
	int fd;
	bool ok;

	if (strcmp(path, "-") == 0)
		return read_all(s, STDIN_FILENO, to);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return complain(s, EX_NOINPUT, path, strerror(errno));
	ok = read_all(s, fd, to);
	close(fd);
	return ok;
}

static bool
compose(struct sender *s, struct str from, struct str text)
{
	struct message_parts parts = { .from = from,
		.to_n = s->to_n,
		.text = text,
		.subject = str_of(s->subject),
		.unix_seconds = time(NULL) };
	struct str *to = arena_take(&s->arena, s->to_n * sizeof *to);
	char id[MAIL_ID_TEXT];
	struct err e;

	if (!to)
		return complain(s, EX_USAGE, "too many recipients for one call", "");
	for (size_t i = 0; i < s->to_n; i++)
		to[i] = str_of(s->to[i]);
	parts.to = to;
	snprintf(s->message_id, sizeof s->message_id, "%s@%s", mail_id_text(mail_id_random(), id),
		s->hostname);
	parts.message_id = str_of(s->message_id);
	return message_compose(&s->message, &parts, &e) || complain(s, EX_DATAERR, e.text, "");
}

/* Line ends become CRLF, and what the envelope must say of the message is noted. */
static bool
take_finished(struct sender *s, struct str raw)
{
	struct data data;
	struct str piece;

	data_begin(&data, false, true);
	while (data_next(&data, &raw, &piece) == DATA_PIECE)
		buf_add(&s->message, piece);
	if (data_finish(&data, &piece))
		buf_add(&s->message, piece);
	if (s->message.overflow)
		return complain(s, EX_DATAERR, "the message is larger than anyone takes", "");
	return true;
}

static void
note_needs(struct sender *s)
{
	struct str message = buf_str(&s->message), rest = message, piece;
	struct str header = str_part(message, 0, str_find_str(message, S("\r\n\r\n")));
	struct data data;

	data_begin(&data, false, false);
	while (data_next(&data, &rest, &piece) == DATA_PIECE)
		;
	s->has_8bit = data.has_8bit;
	s->needs_chunking = data.has_nul || data.has_long_line;
	s->needs_utf8 = s->needs_utf8 || !str_is_ascii(header);
}

static bool
get_message(struct sender *s)
{
	struct buf input = { .max = MESSAGE_MAX }, from = { .max = 1024 };
	bool ok = find_sender(s, &from);

	if (ok && !s->raw && !s->text && isatty(STDIN_FILENO))
		fprintf(stderr, "Write your text; end it with Ctrl-D on a line of its own.\n");
	if (ok && !s->text)
		ok = read_file(s, s->raw ? s->raw : "-", &input);
	if (ok && s->raw)
		ok = take_finished(s, buf_str(&input));
	else if (ok)
		ok = compose(s, buf_str(&from), s->text ? str_of(s->text) : buf_str(&input));
	if (ok)
		note_needs(s);
	buf_free(&input);
	buf_free(&from);
	return ok;
}

/* ── The connection ──────────────────────────────────────────────────────────────────────────── */

/* Waits for the connection that was begun: 0, or an errno. */
static int
connected(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int problem = 0, ready;
	socklen_t n = sizeof problem;

	do
		ready = poll(&p, 1, CONNECT_PATIENCE_MS);
	while (ready < 0 && errno == EINTR);
	if (ready == 0)
		return ETIMEDOUT;
	if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &n) < 0)
		return errno;
	return problem;
}

static bool
connect_to(struct sender *s, const struct sockaddr *address, socklen_t n, struct err *e)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int problem = 0;

	if (fd < 0)
		return err_set_errno(e, "socket");
	if (connect(fd, address, n) < 0)
		problem = errno == EINPROGRESS ? connected(fd) : errno;
	if (problem == 0) {
		stream_open(&s->stream, fd);
		return true;
	}
	close(fd);
	err_set(e, ERR_TEMPORARY, ERR_CONNECT, "cannot connect to %.*s: %s%s", STR_ARG(s->way.text),
		strerror(problem),
		str_starts(s->way.text, S("unix:"))
			? " (is the station up? posthouse serve starts it)"
			: "");
	e->cause = problem;
	return false;
}

static bool
is_loopback(const struct sockaddr *address)
{
	const struct sockaddr_in6 *six = (const void *)address;
	const struct sockaddr_in *four = (const void *)address;

	if (address->sa_family == AF_INET)
		return ip_is_loopback(IP_V4, (const unsigned char *)&four->sin_addr);
	return address->sa_family == AF_INET6 && ip_is_loopback(IP_V6, six->sin6_addr.s6_addr);
}

static bool
connect_by_name(struct sender *s, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all;
	int problem = getaddrinfo(s->way.host, s->way.port, &hints, &all);
	bool ok = false;

	if (problem == EAI_AGAIN)
		return err_set(e, ERR_TEMPORARY, ERR_CONNECT, "cannot look up %s: %s", s->way.host,
			gai_strerror(problem));
	if (problem)
		return err_set(e, ERR_PERMANENT, ERR_CONNECT, "cannot look up %s port %s: %s",
			s->way.host, s->way.port, gai_strerror(problem));
	for (struct addrinfo *a = all; a && !ok; a = a->ai_next) {
		ok = connect_to(s, a->ai_addr, a->ai_addrlen, e);
		s->is_near = is_loopback(a->ai_addr);
	}
	freeaddrinfo(all);
	return ok;
}

static bool
connect_way(struct sender *s, struct err *e)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };

	if (!s->way.path[0])
		return connect_by_name(s, e);
	s->is_near = true;
	memcpy(local.sun_path, s->way.path, sizeof local.sun_path);
	return connect_to(s, (const struct sockaddr *)&local, sizeof local, e);
}

/* ── The conversation ────────────────────────────────────────────────────────────────────────── */

static void
show_line(const char *who, struct str line, bool is_secret)
{
	bool is_utf8 = str_is_utf8(line);

	fprintf(stderr, "%s: ", who);
	if (is_secret) {
		fprintf(stderr, "%s********\n",
			str_starts(line, S("AUTH PLAIN ")) ? "AUTH PLAIN " : "");
		return;
	}
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];

		fputc(c < ' ' || c == 0x7f || (c & 0x80 && !is_utf8) ? '?' : c, stderr);
	}
	fputc('\n', stderr);
}

/* -v: whole lines as they are said; the beginning of one waits in `part` for its end. */
static void
show(struct sender *s, const char *who, struct buf *part, struct str said, bool is_secret)
{
	struct str line, rest;

	if (!s->is_verbose)
		return;
	buf_add(part, said);
	for (rest = buf_str(part); scan_until(&rest, '\n', &line);) {
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		show_line(who, line, is_secret);
	}
	buf_drop(part, part->n - rest.n);
}

static bool
send_some(struct sender *s, struct err *e)
{
	struct str output = smtp_client_output(&s->client);
	ssize_t n = stream_write(&s->stream, output);

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n < 0)
		return err_set(e, ERR_TEMPORARY, ERR_CONNECTION_LOST, "the connection broke: %s",
			strerror(errno));
	show(s, "C", &s->shown_ours, str_part(output, 0, (size_t)n), s->client.output_is_secret);
	smtp_client_sent(&s->client, (size_t)n);
	return true;
}

static bool
hear_some(struct sender *s, struct err *e)
{
	char bytes[STREAM_RECORD];
	ssize_t n = stream_read(&s->stream, bytes, sizeof bytes);
	struct str said = { bytes, n > 0 ? (size_t)n : 0 };

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return err_set(e, ERR_TEMPORARY, ERR_CONNECTION_LOST, "the connection broke: %s",
			n < 0 ? strerror(errno) : "the other host closed it");
	show(s, "S", &s->shown_theirs, said, false);
	smtp_client_feed(&s->client, said);
	return true;
}

/* Waits as long as the core is patient. False: in vain. events: what can be done now. */
static bool
wait_for(struct sender *s, short *events, struct err *e)
{
	struct pollfd p = { .fd = s->stream.fd, .events = *events };
	int ready;

	do
		ready = poll(&p, 1, (int)smtp_client_patience_ms(&s->client));
	while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return err_set_errno(e, "poll");
	if (ready == 0)
		return err_set(e, ERR_TEMPORARY, ERR_TIMEOUT, "no answer in time at %s",
			smtp_stage_name(s->client.stage));
	*events = p.revents;
	return true;
}

/* Sends and hears what the socket allows now. */
static void
exchange(struct sender *s)
{
	short events = smtp_client_output(&s->client).n ? POLLIN | POLLOUT : POLLIN;
	struct err e;
	bool ok = wait_for(s, &events, &e);

	if (ok && events & POLLOUT)
		ok = send_some(s, &e);
	if (ok && events & (POLLIN | POLLHUP | POLLERR))
		ok = hear_some(s, &e);
	if (!ok)
		smtp_client_lost(&s->client, &e);
}

/* ── TLS ─────────────────────────────────────────────────────────────────────────────────────── */

static bool
shake(struct sender *s, struct err *e)
{
	enum stream_step step;
	short events;

	while ((step = stream_shake(&s->stream, e)) == STREAM_WANT_READ ||
		step == STREAM_WANT_WRITE) {
		events = step == STREAM_WANT_READ ? POLLIN : POLLOUT;
		if (!wait_for(s, &events, e))
			return false;
	}
	return step == STREAM_DONE;
}

/* Authorities that were named must be there. */
static bool
open_trust(struct sender *s)
{
	struct err e = { 0 };
	char what[sizeof e.text + 16];

	if (!s->trust)
		return true;
	s->terms = tls_client_open_file(s->trust, &e);
	snprintf(what, sizeof what, "--trust %s", e.text);
	return s->terms || complain(s, EX_NOINPUT, what, "");
}

/* Without the system's authorities nobody is verified. */
static bool
open_terms(struct sender *s, struct err *e)
{
	if (!s->terms)
		s->terms = tls_client_open_file(NULL, e);
	if (!s->terms)
		s->terms = tls_client_open(S(""), e);
	return s->terms != NULL;
}

static bool
is_unproven(const struct sender *s)
{
	struct stream_facts f;

	stream_facts(&s->stream, &f);
	return stream_is_secure(&s->stream) && !f.is_verified;
}

static void
secure(struct sender *s)
{
	bool must_verify = s->way.login.n && !s->is_near && !s->sends_in_clear;
	struct err why, e;

	s->tried_tls = true;
	if (!open_terms(s, &why) ||
		!stream_secure_client(
			&s->stream, s->terms, str_of(s->way.host), must_verify, &why) ||
		!shake(s, &why)) {
		s->clear_would_do = must_verify && is_unproven(s);
		if (s->way.is_smtps && stream_met_no_tls(&s->stream))
			err_set(&e, ERR_TEMPORARY, ERR_TLS,
				"%s: no TLS at this port: smtps:// is for 465; for 25 and 587 "
				"write smtp://",
				s->way.host);
		else
			err_set(&e, ERR_TEMPORARY, ERR_TLS, "%s: %s", s->way.host, why.text);
		smtp_client_lost(&s->client, &e);
		return;
	}
	stream_add_facts(&s->tls, &s->stream);
	if (s->is_verbose)
		fprintf(stderr, "*  %.*s\n", STR_ARG(buf_str(&s->tls)));
	smtp_client_secured(&s->client);
}

/* ── Mails ───────────────────────────────────────────────────────────────────────────────────── */

/* The next hundred recipients, or goodbye. */
static void
next_mail(struct sender *s)
{
	size_t n = s->to_n - s->mails_end;

	if (n == 0) {
		smtp_client_quit(&s->client);
		return;
	}
	if (n > SMTP_CLIENT_RECIPIENTS_MAX)
		n = SMTP_CLIENT_RECIPIENTS_MAX;
	s->mails_begin = s->mails_end;
	s->mails_end += n;
	s->given = 0;
	s->mail = (struct smtp_client_mail){
		.reverse_path = s->reverse_path,
		.recipients = s->recipients + s->mails_begin,
		.outcomes = s->outcomes + s->mails_begin,
		.recipients_n = n,
		.size = s->message.n,
		.smtputf8 = s->needs_utf8,
		.has_8bit = s->has_8bit,
		.needs_chunking = s->needs_chunking,
	};
	smtp_client_mail(&s->client, &s->mail);
}

static void
give_body(struct sender *s)
{
	struct str piece = str_part(buf_str(&s->message), s->given, SMTP_CLIENT_PIECE_MAX);

	s->given += piece.n;
	smtp_client_body(&s->client, piece, s->given == s->message.n);
}

static void
keep_words(struct sender *s)
{
	struct str words;

	if (arena_dup(&s->arena, s->mail.final_words, &words))
		for (size_t i = s->mails_begin; i < s->mails_end; i++)
			s->words[i] = words;
}

static void
settle_the_rest(struct sender *s, const struct err *e, enum smtp_stage stage)
{
	for (size_t i = 0; i < s->to_n; i++)
		if (!s->outcomes[i].is_settled)
			s->outcomes[i] = (struct smtp_outcome){ *e, stage, true };
}

/* False: TLS failed, and the mail may go in clear. */
static bool
converse(struct sender *s)
{
	struct err ignored;

	for (;;)
		switch (smtp_client_next(&s->client)) {
		case CLIENT_WANT_INPUT:
		case CLIENT_WANT_OUTPUT:
			exchange(s);
			break;
		case CLIENT_WANT_TLS:
			secure(s);
			break;
		case CLIENT_ON_READY:
			next_mail(s);
			break;
		case CLIENT_WANT_ASCII: /* what we compose has an ASCII header; another's is its own affair */
			smtp_client_ascii(&s->client, 0);
			break;
		case CLIENT_WANT_TOKEN:
		case CLIENT_WANT_AHEAD:
			break;
		case CLIENT_WANT_BODY:
			give_body(s);
			break;
		case CLIENT_ON_DONE:
			keep_words(s);
			next_mail(s);
			break;
		case CLIENT_ON_FAILED:
			send_some(s, &ignored); /* a QUIT, where one is due */
			if (smtp_client_may_go_clear(&s->client))
				return false;
			settle_the_rest(s, &s->client.error, s->client.stage);
			s->clear_would_do |= s->client.error.kind == ERR_TLS && s->way.login.n &&
					     !s->way.is_smtps && !s->tried_tls &&
					     !(s->client.offers & OFFERS_STARTTLS);
			return true;
		case CLIENT_WANT_CLOSE:
			return true;
		}
}

static enum smtp_client_tls
wanted_tls(const struct sender *s)
{
	if (s->way.is_smtps)
		return CLIENT_TLS_FIRST;
	return s->way.path[0] ? CLIENT_TLS_NEVER : CLIENT_TLS_TRY;
}

/* One connection and what is said over it. False: the same again in clear. */
static bool
call(struct sender *s, enum smtp_client_tls tls)
{
	struct err e;
	bool is_done;

	if (!connect_way(s, &e)) {
		settle_the_rest(s, &e, STAGE_CONNECT);
		return true;
	}
	s->settings = (struct smtp_client_settings){
		.hostname = str_of(s->hostname),
		.login = s->way.login,
		.password = str_of(s->way.password),
		.tls = tls,
		.shows_password = s->is_near || s->sends_in_clear,
	};
	buf_reset(&s->tls);
	smtp_client_begin(&s->client, &s->settings);
	is_done = converse(s);
	smtp_client_free(&s->client);
	stream_close(&s->stream);
	return is_done;
}

static bool
hand_over(struct sender *s)
{
	return call(s, wanted_tls(s)) || call(s, CLIENT_TLS_NEVER);
}

/* ── What became of it ───────────────────────────────────────────────────────────────────────── */

static const char *
result_word(const struct err *e)
{
	switch (e->class) {
	case ERR_NONE:
		return "sent";
	case ERR_TEMPORARY:
		return "later";
	case ERR_PERMANENT:
		return "refused";
	}
	return "";
}

/* "250 2.0.0 Ok: kept" or "refused: the message has …". */
static void
add_result(struct buf *to, const struct smtp_outcome *o, struct str words)
{
	const struct err *e = &o->err;

	if (e->class == ERR_NONE) {
		buf_addf(to, "%u ", e->code);
		buf_add(to, words);
	} else if (e->code) {
		buf_addf(to, "%u ", e->code);
		if (e->enhanced.class)
			buf_addf(to, "%u.%u.%u ", e->enhanced.class, e->enhanced.subject,
				e->enhanced.detail);
		buf_add(to, str_of(e->text));
	} else {
		buf_addf(to, "%s: %s", result_word(e), e->text);
	}
}

static void
print_lines(struct sender *s)
{
	struct buf line = { .max = 65536 };
	size_t widest = 0;

	for (size_t i = 0; i < s->to_n; i++)
		widest = s->recipients[i].n > widest ? s->recipients[i].n : widest;
	for (size_t i = 0; i < s->to_n; i++) {
		buf_reset(&line);
		add_result(&line, &s->outcomes[i], s->words[i]);
		printf("%-*.*s  %.*s\n", (int)widest, STR_ARG(s->recipients[i]),
			STR_ARG(buf_str(&line)));
	}
	buf_free(&line);
}

static void
add_json_field(struct buf *to, const char *name, struct str value)
{
	buf_addf(to, "\"%s\":", name);
	codec_add_json(to, value);
	buf_add_char(to, ',');
}

static void
print_json(struct sender *s)
{
	struct buf out = { .max = 1 << 28 };

	buf_add_char(&out, '{');
	add_json_field(&out, "from", s->reverse_path);
	add_json_field(&out, "via", s->way.text);
	add_json_field(&out, "tls", buf_str(&s->tls));
	buf_addf(&out, "\"size\":%zu,", s->message.n);
	add_json_field(&out, "message_id", str_of(s->message_id));
	buf_add(&out, S("\"recipients\":["));
	for (size_t i = 0; i < s->to_n; i++) {
		const struct smtp_outcome *o = &s->outcomes[i];
		const struct enhanced *status = &o->err.enhanced;

		buf_add(&out, i ? S(",{") : S("{"));
		add_json_field(&out, "to", s->recipients[i]);
		add_json_field(&out, "result", str_of(result_word(&o->err)));
		buf_addf(&out, "\"code\":%u,\"status\":\"%u.%u.%u\",", o->err.code, status->class,
			status->subject, status->detail);
		add_json_field(&out, "stage", str_of(smtp_stage_name(o->stage)));
		buf_add(&out, S("\"text\":"));
		codec_add_json(&out, err_is(&o->err) ? str_of(o->err.text) : s->words[i]);
		buf_add_char(&out, '}');
	}
	buf_add(&out, S("]}\n"));
	fwrite(out.p, 1, out.n, stdout);
	buf_free(&out);
}

/* RFC 4954 §6: 530 no login, 535 a wrong one. */
static bool
is_about_login(const struct smtp_outcome *o)
{
	return o->err.kind == ERR_LOGIN_REFUSED || o->stage == STAGE_AUTH || o->err.code == 530 ||
	       o->err.code == 535;
}

/* What no second try can mend outweighs what one can. */
static int
exit_code_of(const struct sender *s)
{
	int code = EX_OK;

	for (size_t i = 0; i < s->to_n; i++)
		switch (s->outcomes[i].err.class) {
		case ERR_NONE:
			break;
		case ERR_TEMPORARY:
			code = code == EX_OK ? EX_TEMPFAIL : code;
			break;
		case ERR_PERMANENT:
			if (is_about_login(&s->outcomes[i]))
				return EX_NOPERM;
			code = EX_UNAVAILABLE;
			break;
		}
	return code;
}

static bool
tell(struct sender *s)
{
	if (s->is_json)
		print_json(s);
	else
		print_lines(s);
	if (s->clear_would_do) {
		fflush(stdout);
		fprintf(stderr, "--in-clear sends the password all the same\n");
	}
	s->exit_code = exit_code_of(s);
	return true;
}

int
cmd_send(int argc, char **argv)
{
	struct sender s = {
		.arena.max = 256 << 20,
		.message.max = MESSAGE_MAX,
		.shown_ours.max = MESSAGE_MAX,
		.shown_theirs.max = MESSAGE_MAX,
		.stream.fd = -1,
		.tls.max = 256,
	};

	signal(SIGPIPE, SIG_IGN); /* a host that is gone is a failed write, under TLS too */
	if (gethostname(s.hostname, sizeof s.hostname - 1) < 0 ||
		!domain_is_valid(str_of(s.hostname), false))
		snprintf(s.hostname, sizeof s.hostname, "localhost");
	(void)(read_options(&s, argc, argv) && find_way(&s) && check_recipients(&s) &&
		open_trust(&s) && get_password(&s) && get_message(&s) && hand_over(&s) && tell(&s));
	explicit_bzero(s.way.password, sizeof s.way.password);
	tls_close(&s.terms);
	buf_free(&s.message);
	buf_free(&s.tls);
	buf_free(&s.shown_ours);
	buf_free(&s.shown_theirs);
	config_free(&s.config);
	arena_free(&s.arena);
	return s.exit_code;
}
