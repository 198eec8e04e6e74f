/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "config/config.h"
#include "io/file.h"
#include "io/ipc.h"
#include "io/tls.h"

/*
 * The role `web` alone, as master starts it, with a vault and readers that do what the test says, driven by lines:
 *
 *   web-one EXECUTABLE CONFIG PORT [CERTIFICATE KEY]
 *   forget             vault knows no session any more
 *   deaf, hears        vault does not answer; does again
 *   unseated, seated   who signs in gets no reader; gets one again
 *   end LOGIN          the reader of that login ends
 *   news LOGIN STATES  it has news
 *   vault              a new vault in the old one's place, which knows no session
 *   drain              to its end
 *
 * wei@example.org and ling@example.org have the password "right". A reader answers with what it was asked, as JSON; of a body it gives length and checksum. Bodies
 * with a meaning: "die", "silent", "big" (an answer of 3 MiB), "huge" (of 20). Each sign_in and call is a line of JSON.
 */

enum { SEATS = 8, SESSIONS = 64, BIG = 3 * 1024 * 1024, HUGE = 20 * 1024 * 1024 };

struct seat {
	struct play *play;
	struct ipc *web;
	char login[64];
};

struct play {
	struct loop *loop;
	struct ipc *master, *vault;
	struct buf lines;
	EVP_PKEY *key;
	char *certificate;
	struct seat seats[SEATS];
	struct {
		char secret[33], login[64];
	} sessions[SESSIONS];
	unsigned sessions_n;
	bool is_deaf, is_unseated;
	pid_t pid;
};

static void
print(struct buf *line)
{
	buf_add_char(line, '\n');
	if (write(STDOUT_FILENO, line->p, line->n) != (ssize_t)line->n)
		_exit(1);
	buf_free(line);
}

static void
print_event(const char *event, struct str text, uint64_t value)
{
	struct buf line = { .max = 256 * 1024 };

	buf_addf(&line, "{\"event\":\"%s\",\"value\":%llu,\"text\":", event,
		(unsigned long long)value);
	codec_add_json(&line, text);
	buf_add_char(&line, '}');
	print(&line);
}

/* ── a reader ── */

static void
reply(struct seat *s, const struct ipc_call *call, const char *type, struct str body,
	struct str large)
{
	int fd = large.n ? file_sealed("reply", large) : -1;

	ipc_send_reply(s->web, &(struct ipc_reply){ .fd = fd,
				       .ask = call->ask,
				       .status = call->what == CALL_UPLOAD ? 201 : 200,
				       .size = large.n,
				       .type = str_of(type),
				       .body = body });
	if (fd >= 0)
		close(fd);
}

static void
answer_call(struct seat *s, const struct ipc_call *call, struct str body)
{
	struct buf text = { .max = 65536 }, large = { .max = HUGE };

	buf_addf(&text,
		"{\"login\":\"%s\",\"what\":%u,\"size\":%zu,\"crc\":%u,\"base\":\"%.*s\",\"path\":",
		s->login, call->what, body.n, hash_crc32c(0, body), STR_ARG(call->base));
	codec_add_json(&text, call->path);
	buf_add_char(&text, '}');
	if (str_eq(body, S("die"))) {
		ipc_close(&s->web);
		s->login[0] = '\0';
	} else if (str_eq(body, S("big")) || str_eq(body, S("huge"))) {
		size_t n = str_eq(body, S("big")) ? BIG : HUGE;

		memset(buf_room(&large, n), 'x', n);
		buf_grew(&large, n);
		reply(s, call, "text/plain", S(""), buf_str(&large));
	} else if (call->what == CALL_STATES) {
		reply(s, call, "application/json", S("{\"Email\":\"1\",\"Mailbox\":\"1\"}"), S(""));
	} else if (call->what == CALL_DOWNLOAD) {
		reply(s, call, str_starts(call->path, S("png")) ? "image/png" : "text/html", S(""),
			S("<script>alert(1)</script>"));
	} else if (!str_eq(body, S("silent"))) {
		reply(s, call, "application/json", buf_str(&text), S(""));
	}
	buf_free(&text);
	buf_free(&large);
}

static void
reader_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct seat *s = owner;
	struct buf body = { .max = 64 * 1024 * 1024 };

	(void)from;
	if (m->kind != IPC_call) {
		ipc_close(&s->web);
		return;
	}
	if (m->call.fd >= 0) {
		if (!file_read_whole(m->call.fd, &body) || body.n != m->call.size ||
			fcntl(m->call.fd, F_GET_SEALS) == 0)
			_exit(1);
		close(m->call.fd);
	} else {
		buf_add(&body, m->call.body);
	}
	print_event("call", str_of(s->login), m->call.what);
	answer_call(s, &m->call, buf_str(&body));
	buf_free(&body);
}

static void
take_seat(struct play *p, const char *login)
{
	struct seat *s = NULL;
	int pair[2];

	for (unsigned i = 0; i < SEATS; i++) {
		if (strcmp(p->seats[i].login, login) == 0)
			return;
		if (!p->seats[i].login[0] && !s)
			s = &p->seats[i];
	}
	if (!s || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		_exit(1);
	s->play = p;
	snprintf(s->login, sizeof s->login, "%s", login);
	ipc_send_peer(p->master,
		&(struct ipc_peer){
			.fd = pair[1], .role = ROLE_READER, .index = (uint16_t)(s - p->seats) });
	close(pair[1]);
	s->web = ipc_open(p->loop, pair[0], ROLE_READER, ROLE_WEB, reader_came, s);
	ipc_send_seated(p->master,
		&(struct ipc_seated){
			.fd = -1, .seat = (uint16_t)(s - p->seats), .login = str_of(s->login) });
}

/* ── vault ── */

static const char *
login_of(struct str text)
{
	return str_starts(text, S("wei"))    ? "wei@example.org"
	       : str_starts(text, S("ling")) ? "ling@example.org"
					     : NULL;
}

static const char *
session_login(struct play *p, struct str secret)
{
	for (unsigned i = 0; i < p->sessions_n; i++)
		if (str_eq(secret, str_of(p->sessions[i].secret)))
			return p->sessions[i].login;
	return NULL;
}

static void
begin_session(struct play *p, const char *login, struct str *secret)
{
	unsigned i = p->sessions_n++ % SESSIONS;

	mail_id_text(mail_id_random(), p->sessions[i].secret);
	snprintf(p->sessions[i].login, sizeof p->sessions[i].login, "%s", login);
	*secret = str_of(p->sessions[i].secret);
}

static void
sign_in(struct play *p, const struct ipc_sign_in *m)
{
	const char *login =
		m->how == SIGN_IN_AGAIN ? session_login(p, m->secret) : login_of(m->login);
	struct str secret = { 0 };

	print_event("sign_in", m->login, m->how);
	if (p->is_deaf)
		return;
	if (m->how == SIGN_IN_END) {
		for (unsigned i = 0; i < p->sessions_n; i++)
			if (str_eq(m->secret, str_of(p->sessions[i].secret)))
				p->sessions[i].secret[0] = '\0';
		login = NULL;
	}
	if (m->how != SIGN_IN_AGAIN && !str_eq(m->secret, S("right")))
		login = NULL;
	if (login && m->how == SIGN_IN_BEGIN)
		begin_session(p, login, &secret);
	ipc_send_signed_in(p->vault, &(struct ipc_signed_in){ .fd = -1,
					     .ask = m->ask,
					     .result = login ? CHECKED_OK : CHECKED_REFUSED,
					     .login = str_of(login),
					     .session = secret });
	if (login && !p->is_unseated)
		take_seat(p, login);
}

static void
sign(struct play *p, const struct ipc_sign *m)
{
	unsigned char signature[512];
	size_t n = sizeof signature;
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	if (p->is_deaf)
		return;
	if (EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, p->key) != 1 ||
		EVP_DigestSign(
			c, signature, &n, (const unsigned char *)m->content.p, m->content.n) != 1)
		_exit(1);
	EVP_MD_CTX_free(c);
	ipc_send_signature(
		p->vault, &(struct ipc_signature){
				  .fd = -1, .ask = m->ask, .signature = { (char *)signature, n } });
}

static void
vault_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct play *p = owner;

	(void)from;
	if (m->kind == IPC_sign_in)
		sign_in(p, &m->sign_in);
	else if (m->kind == IPC_sign)
		sign(p, &m->sign);
	else
		ipc_close(&p->vault);
}

static void
give_certificates(struct play *p)
{
	struct buf pem = { .max = 65536 }, packed = { .max = 65536 };
	int fd = open(p->certificate, O_RDONLY | O_CLOEXEC), memfd;
	struct err e;

	if (fd < 0 || !file_read_all(fd, &pem) ||
		!tls_add_certificates(&packed, 1, buf_str(&pem), &e))
		_exit(1);
	close(fd);
	memfd = file_sealed("certificates", buf_str(&packed));
	ipc_send_certificates(p->vault, &(struct ipc_certificates){ .fd = memfd });
	close(memfd);
	buf_free(&pem);
	buf_free(&packed);
}

static void
join_vault(struct play *p)
{
	int pair[2];

	ipc_close(&p->vault);
	p->sessions_n = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		_exit(1);
	ipc_send_peer(p->master, &(struct ipc_peer){ .fd = pair[1], .role = ROLE_VAULT });
	close(pair[1]);
	p->vault = ipc_open(p->loop, pair[0], ROLE_VAULT, ROLE_WEB, vault_came, p);
	if (p->certificate)
		give_certificates(p);
}

/* ── master ── */

static void
master_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct play *p = owner;
	int status = 0;

	(void)from;
	if (m->kind == IPC_ready)
		print_event("ready", S(""), (uint64_t)p->pid);
	if (m->kind != IPC_CLOSED)
		return;
	waitpid(p->pid, &status, 0);
	print_event("ended", S(""), (uint64_t)(unsigned)status);
	_exit(0);
}

static void
configure(struct play *p, const char *path)
{
	struct buf text = { .max = 1024 * 1024 };
	struct err e = { 0 };
	const char *taken;
	int fd;

	if (!config_read_file(path, &taken, &text, &e) ||
		(fd = file_sealed("config", buf_str(&text))) < 0)
		_exit(1);
	ipc_send_configure(p->master, &(struct ipc_configure){ .fd = fd, .name = str_of(path) });
	close(fd);
	buf_free(&text);
}

static void
listen_on(struct play *p, const char *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0)
		_exit(1);
	ipc_send_listener(p->master, &(struct ipc_listener){ .fd = fd, .door = CONFIG_WEB });
	close(fd);
}

static void
start(struct play *p, char *executable)
{
	char *argv[] = { executable, (char[]){ "role" }, (char[]){ "web" }, NULL };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		_exit(1);
	p->pid = fork();
	if (p->pid == 0) {
		if (pair[1] == 3)
			fcntl(3, F_SETFD, 0);
		else
			dup2(pair[1], 3);
		execv(executable, argv);
		_exit(127);
	}
	close(pair[1]);
	p->master = ipc_open(p->loop, pair[0], ROLE_MASTER, ROLE_WEB, master_came, p);
}

static void
tell_seat(struct play *p, struct str verb, struct str login, struct str states)
{
	for (unsigned i = 0; i < SEATS; i++) {
		struct seat *s = &p->seats[i];

		if (!s->web || !str_eq(login, str_of(s->login)))
			continue;
		if (str_eq(verb, S("news"))) {
			ipc_send_news(s->web, &(struct ipc_news){ .fd = -1, .states = states });
			continue;
		}
		ipc_close(&s->web);
		s->login[0] = '\0';
	}
}

static void
obey(struct play *p, struct str line)
{
	struct str verb, rest, login, states;

	str_cut(line, ' ', &verb, &rest);
	str_cut(rest, ' ', &login, &states);
	if (str_eq(verb, S("forget")))
		p->sessions_n = 0;
	else if (str_eq(verb, S("deaf")) || str_eq(verb, S("hears")))
		p->is_deaf = str_eq(verb, S("deaf"));
	else if (str_eq(verb, S("unseated")) || str_eq(verb, S("seated")))
		p->is_unseated = str_eq(verb, S("unseated"));
	else if (str_eq(verb, S("end")) || str_eq(verb, S("news")))
		tell_seat(p, verb, login, states);
	else if (str_eq(verb, S("vault")))
		join_vault(p);
	else if (str_eq(verb, S("drain")))
		ipc_send_drain(p->master, &(struct ipc_drain){ .fd = -1 });
	print_event("done", verb, 0);
}

static void
read_lines(void *owner, int events)
{
	struct play *p = owner;
	char *room = buf_room(&p->lines, 65536);
	ssize_t n = room ? read(STDIN_FILENO, room, 65536) : 0;
	size_t end;

	(void)events;
	if (n <= 0)
		_exit(0); /* the role ends with us */
	buf_grew(&p->lines, (size_t)n);
	while ((end = str_find(buf_str(&p->lines), '\n')) < p->lines.n) {
		obey(p, str_part(buf_str(&p->lines), 0, end));
		buf_drop(&p->lines, end + 1);
	}
}

static EVP_PKEY *
read_key(const char *path)
{
	struct buf pem = { .max = 65536 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	EVP_PKEY *key = NULL;
	struct err e;

	if (fd >= 0 && file_read_all(fd, &pem))
		key = tls_read_key(buf_str(&pem), &e);
	close(fd);
	buf_free(&pem);
	return key;
}

int
main(int argc, char **argv)
{
	static struct play p = { .lines = { .max = 1024 * 1024 } };
	struct loop_watch *in;

	if (argc != 4 && argc != 6)
		return 64;
	signal(SIGPIPE, SIG_IGN);
	p.loop = loop_open();
	if (argc == 6) {
		p.certificate = argv[4];
		p.key = read_key(argv[5]);
	}
	start(&p, argv[1]);
	configure(&p, argv[2]);
	listen_on(&p, argv[3]);
	join_vault(&p);
	ipc_send_begin(p.master, &(struct ipc_begin){ .fd = -1 });
	in = loop_watch_open(p.loop, STDIN_FILENO, read_lines, &p);
	loop_watch_set(in, LOOP_READ);
	loop_run(p.loop);
	return 0;
}
