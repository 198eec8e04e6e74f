/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../directory.h"
#include "io/address_table.h"
#include "io/ipc.h"
#include "io/stream.h"
#include "io/token.h"
#include "role/vault/app_password.h"
#include "role/vault/guess.h"
#include "role/vault/hash.h"
#include "role/vault/secret.h"
#include "role/vault/users.h"

/* The role as its peers meet it: the real executable, started as master would, asked as receive,
 * queue and send ask. */

static const char *executable;

struct station {
	char state[40], login_file[64];
	pid_t pid;
	struct loop *loop;
	struct loop_timer *patience;
	struct ipc *master, *receive, *queue, *send, *web;
	struct users *users; /* a command's connection */
	struct address_table *table;
	struct tls *tls;			      /* the newest certificates */
	unsigned came[IPC_KINDS], awaited[IPC_KINDS]; /* messages of each kind */
	unsigned good;				      /* of the password checks */
	uint8_t kind;				      /* what came last, and its parts */
	char text[512], login[128], key[TOKEN_KEY_SIZE];
	char session[64], seat[128], directory[256], seat_token[1024];
	struct buf token, signature;
};

static void
keep(char *to, size_t size, struct str text)
{
	snprintf(to, size, "%.*s", STR_ARG(text));
}

static void
came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct station *s = owner;
	struct err e = { 0 };

	(void)from;
	s->came[m->kind]++;
	switch (m->kind) {
	case IPC_CLOSED:
		fail_msg("vault closed a channel");
		break;
	case IPC_addresses:
		address_table_close(&s->table);
		assert_true(address_table_open(&s->table, m->addresses.fd, &e));
		break;
	case IPC_certificates:
		tls_close(&s->tls);
		s->tls = tls_server_open(m->certificates.fd, &(struct tls_settings){ 0 }, &e);
		close(m->certificates.fd);
		assert_non_null(s->tls);
		break;
	case IPC_signature:
		buf_reset(&s->signature);
		buf_add(&s->signature, m->signature.signature);
		break;
	case IPC_token_key:
		assert_int_equal(m->token_key.key.n, TOKEN_KEY_SIZE);
		memcpy(s->key, m->token_key.key.p, TOKEN_KEY_SIZE);
		break;
	case IPC_found:
		s->kind = m->found.kind;
		keep(s->text, sizeof s->text, m->found.text);
		break;
	case IPC_checked:
		s->kind = m->checked.result;
		s->good += s->kind == CHECKED_OK;
		keep(s->login, sizeof s->login, m->checked.login);
		buf_reset(&s->token);
		buf_add(&s->token, m->checked.token);
		break;
	case IPC_signed_in:
		s->kind = m->signed_in.result;
		keep(s->login, sizeof s->login, m->signed_in.login);
		keep(s->session, sizeof s->session, m->signed_in.session);
		break;
	case IPC_seat:
		keep(s->seat, sizeof s->seat, m->seat.login);
		keep(s->directory, sizeof s->directory, m->seat.directory);
		keep(s->seat_token, sizeof s->seat_token, m->seat.token);
		break;
	case IPC_expanded:
		s->kind = m->expanded.kind;
		keep(s->text, sizeof s->text,
			m->expanded.targets.n ? str_from(m->expanded.targets, 4)
					      : m->expanded.text);
		break;
	case IPC_secret_is:
		s->kind = m->secret_is.found;
		snprintf(s->text, sizeof s->text, "%.*s:%.*s", STR_ARG(m->secret_is.login),
			STR_ARG(m->secret_is.password));
		break;
	default:
		break;
	}
	loop_stop(s->loop);
}

static void
out_of_patience(void *owner)
{
	(void)owner;
	fail_msg("vault did not answer");
}

/* Runs until `n` messages of this kind have come in all; the wait is bounded. */
static void
await_number(struct station *s, enum ipc_kind kind, unsigned n)
{
	loop_timer_set(s->patience, 20000);
	while (s->came[kind] < n)
		loop_run(s->loop);
	loop_timer_set(s->patience, -1);
}

static void
await(struct station *s, enum ipc_kind kind)
{
	await_number(s, kind, ++s->awaited[kind]);
}

static struct ipc *
join(struct station *s, enum ipc_role peer)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ipc_send_peer(s->master, &(struct ipc_peer){ .fd = pair[1], .role = (uint16_t)peer });
	close(pair[1]);
	return ipc_open(s->loop, pair[0], peer, ROLE_VAULT, came, s);
}

static void
configure(struct station *s)
{
	char text[1024];
	int fd = memfd_create("config", MFD_CLOEXEC), login_file = open(s->login_file, O_RDONLY);
	int n = snprintf(text, sizeof text,
		"hostname = mail.example.org\nusers = \"\"\nstate = \"%s\"\nlisten smtp { on = "
		"\"*:25\" }\n"
		"domain example.org { alias sales { to = alice } }\n"
		"route \"*\" { via = \"smtp://192.0.2.1\"  login = \"file:%s\" }\n",
		s->state, s->login_file);

	assert_int_equal(write(fd, text, (size_t)n), n);
	ipc_send_file(
		s->master, &(struct ipc_file){ .fd = login_file, .path = str_of(s->login_file) });
	close(login_file);
	ipc_send_configure(
		s->master, &(struct ipc_configure){ .fd = fd, .name = S("posthouse.conf") });
	close(fd);
}

static void
start(struct station *s)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		if (pair[1] == 3)
			fcntl(3, F_SETFD, 0);
		else
			dup2(pair[1], 3);
		execl(executable, executable, "role", "vault", (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	s->master = ipc_open(s->loop, pair[0], ROLE_MASTER, ROLE_VAULT, came, s);
	configure(s);
	s->receive = join(s, ROLE_RECEIVE);
	s->queue = join(s, ROLE_QUEUE);
	s->send = join(s, ROLE_SEND);
	s->web = join(s, ROLE_WEB);
	ipc_send_begin(s->master, &(struct ipc_begin){ .fd = -1 });
	await(s, IPC_ready);
}

static void
stop(struct station *s)
{
	int status;

	ipc_send_drain(s->master, &(struct ipc_drain){ .fd = -1 });
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ipc_close(&s->master);
	ipc_close(&s->receive);
	ipc_close(&s->queue);
	ipc_close(&s->send);
	ipc_close(&s->web);
}

static void
add_user(struct station *s, const char *name, const char *password)
{
	struct buf hash = { .max = 512 };
	struct err e = { 0 };
	bool found;

	assert_true(hash_make(str_of(password), &hash));
	if (!users_add(s->users, str_of(name), buf_str(&hash), &found, &e))
		fail_msg("%s", e.text);
	buf_free(&hash);
}

static int
open_station(void **state)
{
	struct station *s = calloc(1, sizeof *s);
	struct err e = { 0 };
	FILE *f;

	assert_non_null(s);
	s->token.max = TOKEN_MAX;
	s->signature.max = 4096;
	snprintf(s->state, sizeof s->state, "/tmp/posthouse-vault-XXXXXX");
	assert_non_null(mkdtemp(s->state));
	snprintf(s->login_file, sizeof s->login_file, "%s/login", s->state);
	f = fopen(s->login_file, "w");
	fputs("relay-user\r\nrelay secret\n", f);
	fclose(f);
	s->loop = loop_open();
	s->patience = loop_timer_open(s->loop, out_of_patience, s);
	assert_true(users_open(&s->users, str_of(s->state), true, &e));
	add_user(s, "alice@example.org", "rabbit hole");
	start(s);
	*state = s;
	return 0;
}

static int
close_station(void **state)
{
	struct station *s = *state;

	stop(s);
	users_close(&s->users);
	address_table_close(&s->table);
	loop_timer_close(&s->patience);
	loop_close(&s->loop);
	directory_remove(s->state);
	buf_free(&s->token);
	buf_free(&s->signature);
	tls_close(&s->tls);
	free(s);
	return 0;
}

static enum found_kind
lookup(struct station *s, char why, struct str local)
{
	ipc_send_lookup(s->receive, &(struct ipc_lookup){ .fd = -1,
					    .ask = 7,
					    .why = (uint8_t)why,
					    .local = local,
					    .domain = S("example.org"),
					    .login = S("alice@example.org") });
	await(s, IPC_found);
	return s->kind;
}

static enum checked_result
check_at(struct station *s, bool is_reader, struct str login, struct str password)
{
	ipc_send_check(s->receive, &(struct ipc_check){ .fd = -1,
					   .ask = 8,
					   .is_reader = is_reader,
					   .login = login,
					   .password = password,
					   .client = S("192.0.2.9") });
	await(s, IPC_checked);
	return s->kind;
}

static enum checked_result
check(struct station *s, struct str login, struct str password)
{
	return check_at(s, false, login, password);
}

static void
addresses_are_answered(void **state)
{
	struct station *s = *state;

	assert_int_equal(lookup(s, 'R', S("Alice+x")), FOUND_MAILBOX);
	assert_string_equal(s->text, "alice@example.org");
	assert_int_equal(lookup(s, 'R', S("nobody")), FOUND_UNKNOWN);
	assert_int_equal(lookup(s, 'S', S("sales")), FOUND_YES);
	assert_int_equal(lookup(s, 'S', S("bob")), FOUND_NO);
	ipc_send_expand(s->queue,
		&(struct ipc_expand){
			.fd = -1, .ask = 9, .local = S("sales"), .domain = S("example.org") });
	await(s, IPC_expanded);
	assert_int_equal(s->kind, EXPANDED_TARGETS);
	assert_string_equal(s->text, "Malice@example.org");
	assert_true(address_table_has(s->table, S("Alice"), S("example.org")));
	assert_false(address_table_has(s->table, S("sales"), S("example.org")));
}

static void
a_right_password_gives_a_token(void **state)
{
	struct station *s = *state;
	struct str key = { s->key, TOKEN_KEY_SIZE }, login;

	for (int round = 0; round < 2; round++) { /* the second is remembered */
		assert_int_equal(check(s, S("Alice"), S("rabbit hole")), CHECKED_OK);
		assert_string_equal(s->login, "alice@example.org");
		assert_true(token_verify(key, buf_str(&s->token), loop_wall_ms(), 60000, &login));
		assert_true(str_eq(login, S("alice@example.org")));
	}
	assert_int_equal(check(s, S("alice"), S("rabbit holf")), CHECKED_REFUSED);
	assert_int_equal(s->token.n, 0);
	assert_int_equal(check(s, S("alice"), S("")), CHECKED_REFUSED);
	assert_int_equal(check(s, S("alice"), S("rabbit hole\0")), CHECKED_REFUSED);
	assert_int_equal(check(s, S("nobody"), S("rabbit hole")), CHECKED_REFUSED);
	assert_int_equal(check(s, S("alice@elsewhere.example"), S("rabbit hole")), CHECKED_REFUSED);
}

static void
a_command_is_noticed(void **state)
{
	struct station *s = *state;
	struct str alice = S("alice@example.org");
	unsigned tables = s->came[IPC_addresses];
	struct err e;
	bool found;

	add_user(s, "bob@example.org", "one");
	assert_int_equal(lookup(s, 'R', S("bob")),
		FOUND_MAILBOX); /* at once: nobody is told "unknown" before the disk was asked */
	await_number(s, IPC_addresses, tables + 1);
	assert_true(address_table_has(s->table, S("bob"), S("example.org")));
	assert_int_equal(check(s, S("alice"), S("rabbit hole")), CHECKED_OK);
	assert_true(users_set_suspended(s->users, alice, true, &found, &e));
	await_number(s, IPC_addresses, tables + 2); /* without a question */
	assert_false(address_table_has(s->table, S("alice"), S("example.org")));
	assert_int_equal(lookup(s, 'R', S("alice")), FOUND_BUSY);
	assert_int_equal(check(s, S("alice"), S("rabbit hole")), CHECKED_REFUSED);
}

static void
many_logins_at_once_are_all_answered(void **state)
{
	enum { LOGINS = 100 };
	struct station *s = *state;

	for (int i = 0; i < LOGINS; i++)
		ipc_send_check(
			s->receive, &(struct ipc_check){ .fd = -1,
					    .ask = (uint64_t)i,
					    .login = S("alice"),
					    .password = i % 2 ? S("rabbit hole") : S("wrong"),
					    .client = S("192.0.2.9") });
	await_number(s, IPC_checked, LOGINS);
	assert_int_equal(s->good, LOGINS / 2);
}

static void
a_route_has_its_login(void **state)
{
	struct station *s = *state;

	ipc_send_secret(s->send, &(struct ipc_secret){ .fd = -1, .ask = 1, .route = S("*") });
	await(s, IPC_secret_is);
	assert_int_equal(s->kind, 1);
	assert_string_equal(s->text, "relay-user:relay secret");
	ipc_send_secret(
		s->send, &(struct ipc_secret){ .fd = -1, .ask = 1, .route = S("other.example") });
	await(s, IPC_secret_is);
	assert_int_equal(s->kind, 0);
}

static void
the_key_outlives_the_process(void **state)
{
	struct station *s = *state;
	char before[TOKEN_KEY_SIZE], path[64];
	struct stat st;

	memcpy(before, s->key, sizeof before);
	snprintf(path, sizeof path, "%s/vault/token.key", s->state);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	stop(s);
	start(s);
	assert_int_equal(lookup(s, 'R', S("alice")), FOUND_MAILBOX);
	assert_memory_equal(before, s->key, sizeof before);
}

static void
a_reload_is_taken(void **state)
{
	struct station *s = *state;
	unsigned tables = s->came[IPC_addresses];

	configure(s);
	await_number(s, IPC_addresses, tables + 1);
	assert_int_equal(lookup(s, 'R', S("alice")), FOUND_MAILBOX);
	assert_int_equal(check(s, S("alice"), S("rabbit hole")), CHECKED_OK);
}

/* ── TLS: the handshakes of a receiver, signed by this vault ── */

static void
ask_signature(struct station *s, struct stream_to_sign what)
{
	ipc_send_sign(s->receive, &(struct ipc_sign){ .fd = -1,
					  .ask = 10,
					  .key = what.key,
					  .scheme = what.scheme,
					  .content = what.content });
	await(s, IPC_signature);
}

struct shake {
	struct stream server, client;
	struct tls *trust;
};

/* Up to the signature, of which the question is returned; its content lies in the server's stream. */
static struct stream_to_sign
shake_begin(struct station *s, struct shake *k)
{
	struct err e = { 0 };
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	stream_open(&k->server, fd[0]);
	stream_open(&k->client, fd[1]);
	k->trust = tls_client_open((struct str){ 0 }, &e);
	assert_true(stream_secure_server(&k->server, s->tls, &e));
	assert_true(stream_secure_client(&k->client, k->trust, S("mail.example.org"), false, &e));
	assert_int_equal(stream_shake(&k->client, &e), STREAM_WANT_READ);
	assert_int_equal(stream_shake(&k->server, &e), STREAM_WANT_SIGNATURE);
	return stream_to_sign(&k->server);
}

static void
shake_end(struct shake *k)
{
	stream_close(&k->client);
	stream_close(&k->server);
	tls_close(&k->trust);
}

static void
assert_shakes(struct station *s)
{
	struct stream_facts facts;
	struct shake k;
	struct err e;

	ask_signature(s, shake_begin(s, &k));
	stream_signed(&k.server, buf_str(&s->signature));
	assert_int_equal(stream_shake(&k.server, &e), STREAM_WANT_READ);
	assert_int_equal(stream_shake(&k.client, &e), STREAM_DONE);
	assert_int_equal(stream_shake(&k.server, &e), STREAM_DONE);
	stream_facts(&k.client, &facts);
	assert_string_equal(facts.unverified, "self-signed certificate"); /* not: another name */
	shake_end(&k);
}

static void
handshakes_are_signed(void **state)
{
	struct station *s = *state;
	struct tls *before;

	await(s, IPC_certificates);
	assert_shakes(s);
	before = s->tls;
	s->tls = NULL;
	configure(s);
	await(s, IPC_certificates);
	tls_close(&s->tls);
	s->tls = before; /* a receiver that has not heard of the reload yet */
	assert_shakes(s);
	stop(s);
	start(s); /* nor of the next vault */
	assert_shakes(s);
}

static void
nothing_else_is_signed(void **state)
{
	struct station *s = *state;
	struct stream_to_sign what;
	struct shake k;

	await(s, IPC_certificates);
	what = shake_begin(s, &k);
	what.key++;
	ask_signature(s, what);
	assert_int_equal(s->signature.n, 0);
	what.key--;
	what.scheme = 0x0804; /* of RSA */
	ask_signature(s, what);
	assert_int_equal(s->signature.n, 0);
	what.scheme = 0x0403;
	what.content.n--;
	ask_signature(s, what);
	assert_int_equal(s->signature.n, 0);
	what.content = S("0123456789abcdef0123456789abcdef"); /* a digest */
	ask_signature(s, what);
	assert_int_equal(s->signature.n, 0);
	ask_signature(s, stream_to_sign(&k.server));
	assert_true(s->signature.n > 60);
	shake_end(&k);
}

static enum checked_result
sign_in(struct station *s, enum sign_in_how how, const char *login, const char *secret)
{
	ipc_send_sign_in(s->web, &(struct ipc_sign_in){ .fd = -1,
					 .ask = 9,
					 .how = (uint8_t)how,
					 .login = str_of(login),
					 .secret = str_of(secret),
					 .client = S("192.0.2.9") });
	await(s, IPC_signed_in);
	return s->kind;
}

/* Of each yes, and of nothing else, master hears whose mailbox is to be opened. */
static void
a_session_begins_and_ends(void **state)
{
	struct station *s = *state;
	char first[64], directory[256];

	assert_int_equal(sign_in(s, SIGN_IN_BEGIN, "alice", "rabbit hole"), CHECKED_OK);
	assert_string_equal(s->login, "alice@example.org");
	assert_int_equal(strlen(s->session), 43);
	snprintf(first, sizeof first, "%s", s->session);
	await(s, IPC_seat);
	assert_string_equal(s->seat, "alice@example.org");
	snprintf(directory, sizeof directory, "%s/mail/example.org/alice", s->state);
	assert_string_equal(s->directory, directory);
	assert_int_equal(sign_in(s, SIGN_IN_BEGIN, "alice", "rabbit hole"), CHECKED_OK);
	assert_string_not_equal(s->session, first);
	await(s, IPC_seat);
	assert_int_equal(sign_in(s, SIGN_IN_AGAIN, "", first), CHECKED_OK);
	assert_string_equal(s->login, "alice@example.org");
	await(s, IPC_seat);
	sign_in(s, SIGN_IN_END, "", first);
	assert_int_equal(sign_in(s, SIGN_IN_AGAIN, "", first), CHECKED_REFUSED);
	assert_int_equal(sign_in(s, SIGN_IN_BEGIN, "alice", "rabbit holf"), CHECKED_REFUSED);
	assert_int_equal(
		sign_in(s, SIGN_IN_AGAIN, "", "no session at all, and as long as one is....."),
		CHECKED_REFUSED);
	assert_int_equal(s->came[IPC_seat], 3);
}

static void
a_session_outlives_the_process_but_not_the_password(void **state)
{
	struct station *s = *state;
	struct buf hash = { .max = 512 };
	char session[64];
	struct err e;
	bool found;

	sign_in(s, SIGN_IN_BEGIN, "alice", "rabbit hole");
	snprintf(session, sizeof session, "%s", s->session);
	stop(s);
	memset(s->came, 0, sizeof s->came);
	memset(s->awaited, 0, sizeof s->awaited);
	start(s);
	assert_int_equal(sign_in(s, SIGN_IN_AGAIN, "", session), CHECKED_OK);
	assert_true(hash_make(S("another"), &hash));
	assert_true(users_set_hash(s->users, S("alice@example.org"), buf_str(&hash), &found, &e));
	buf_free(&hash);
	assert_int_equal(sign_in(s, SIGN_IN_AGAIN, "", session), CHECKED_REFUSED);
	sign_in(s, SIGN_IN_BEGIN, "alice", "another");
	snprintf(session, sizeof session, "%s", s->session);
	assert_true(users_set_suspended(s->users, S("alice@example.org"), true, &found, &e));
	assert_int_equal(sign_in(s, SIGN_IN_AGAIN, "", session), CHECKED_REFUSED);
	assert_int_equal(sign_in(s, SIGN_IN_BEGIN, "alice", "another"), CHECKED_REFUSED);
}

/* By the seat's token its reader logs in at receive, as that person and nobody else, until the password is
 * another; the queue takes it for nothing, and no other door does. */
static void
a_reader_hands_in_by_its_token(void **state)
{
	struct station *s = *state;
	struct str key = { s->key, TOKEN_KEY_SIZE }, login, alice = S("alice@example.org");
	struct buf hash = { .max = 512 };
	struct err e;
	bool found;

	add_user(s, "bob@example.org", "builder");
	sign_in(s, SIGN_IN_BEGIN, "alice", "rabbit hole");
	await(s, IPC_seat);
	assert_int_equal(check_at(s, true, alice, str_of(s->seat_token)), CHECKED_OK);
	assert_string_equal(s->login, "alice@example.org");
	assert_int_equal(check(s, alice, str_of(s->seat_token)), CHECKED_REFUSED);
	assert_int_equal(
		check_at(s, true, S("bob@example.org"), str_of(s->seat_token)), CHECKED_REFUSED);
	assert_int_equal(sign_in(s, SIGN_IN_BEGIN, "alice", s->seat_token), CHECKED_REFUSED);
	assert_false(token_verify(key, str_of(s->seat_token), loop_wall_ms(), 60000, &login));
	assert_true(hash_make(S("another"), &hash));
	assert_true(users_set_hash(s->users, alice, buf_str(&hash), &found, &e));
	buf_free(&hash);
	assert_int_equal(check_at(s, true, alice, str_of(s->seat_token)), CHECKED_REFUSED);
}

/* A web that was taken over guesses on and on: it hears no more of a login, and whoever is in already stays. */
static void
guessing_comes_to_an_end(void **state)
{
	struct station *s = *state;
	char session[64];

	sign_in(s, SIGN_IN_BEGIN, "alice", "rabbit hole");
	keep(session, sizeof session, str_of(s->session));
	add_user(s, "bob@example.org", "builder"); /* nothing is remembered of passwords then */
	for (int i = 0; i < GUESS_MOST; i++)
		assert_int_equal(sign_in(s, i % 2 ? SIGN_IN_ONCE : SIGN_IN_BEGIN,
					 i % 3 ? "alice" : "Alice@example.org", "wrong"),
			CHECKED_REFUSED);
	assert_int_equal(sign_in(s, SIGN_IN_BEGIN, "alice", "rabbit hole"), CHECKED_LATER);
	assert_int_equal(sign_in(s, SIGN_IN_AGAIN, "", session), CHECKED_OK);
	assert_int_equal(sign_in(s, SIGN_IN_BEGIN, "bob", "builder"), CHECKED_OK);
	assert_int_equal(check(s, S("alice"), S("rabbit hole")), CHECKED_OK);
}

static void
programs_have_passwords_of_their_own(void **state)
{
	struct station *s = *state;
	char password[APP_PASSWORD_SIZE], digest[APP_PASSWORD_DIGEST];
	struct str alice = S("alice@example.org");
	struct err e;
	bool found;

	add_user(s, "bob@example.org", "builder");
	app_password_make(password, digest);
	assert_true(
		users_add_app_password(s->users, alice, S("phone"), str_of(digest), &found, &e) &&
		found);
	assert_true(users_add_app_password(s->users, alice, S("phone"), S("other"), &found, &e) &&
		    !found);
	assert_int_equal(check(s, S("alice"), str_of(password)), CHECKED_OK);
	assert_int_equal(check(s, S("bob"), str_of(password)), CHECKED_REFUSED);
	assert_int_equal(sign_in(s, SIGN_IN_ONCE, "alice", password), CHECKED_OK);
	assert_string_equal(s->session, "");
	assert_int_equal(sign_in(s, SIGN_IN_AGAIN, "", password), CHECKED_OK);
	assert_string_equal(s->login, "alice@example.org");
	assert_int_equal(sign_in(s, SIGN_IN_BEGIN, "alice", password), CHECKED_REFUSED);
	assert_true(users_remove_app_password(s->users, alice, S("phone"), &found, &e) && found);
	assert_int_equal(check(s, S("alice"), str_of(password)), CHECKED_REFUSED);
	assert_int_equal(sign_in(s, SIGN_IN_AGAIN, "", password), CHECKED_REFUSED);
}

#define STATION(test) cmocka_unit_test_setup_teardown(test, open_station, close_station)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		STATION(addresses_are_answered),
		STATION(a_right_password_gives_a_token),
		STATION(a_command_is_noticed),
		STATION(many_logins_at_once_are_all_answered),
		STATION(a_route_has_its_login),
		STATION(the_key_outlives_the_process),
		STATION(a_reload_is_taken),
		STATION(handshakes_are_signed),
		STATION(nothing_else_is_signed),
		STATION(a_session_begins_and_ends),
		STATION(a_session_outlives_the_process_but_not_the_password),
		STATION(a_reader_hands_in_by_its_token),
		STATION(guessing_comes_to_an_end),
		STATION(programs_have_passwords_of_their_own),
	};

	if (argc != 2)
		return 2;
	executable = argv[1];
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
