/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/vault.h"

#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "io/address_table.h"
#include "role/vault/app_password.h"
#include "role/vault/house.h"
#include "role/vault/visit.h"

/*
 * Vault knows who lives here and what opens the door. It answers short questions and shows nobody
 * what it keeps:
 *
 *   receive  lookup → found        whom does this address mean; may this login use it
 *   receive  check → checked       is this password right; if so, a token that says whose it was
 *   receive  sign → signature      a signature for a TLS handshake (certificate.h, signing.h)
 *   queue    expand → expanded     where does a recipient's mail go in the end
 *   send     secret → secret_is    the login of one route
 *   web      sign_in → signed_in   may this person read the mailbox (visit.h); sign as for receive
 *
 * Accounts are read whole into a book (book.h). Every WATCH_MS, and before anybody is told
 * "unknown", the disk is asked whether a command has changed them; then a new book takes the old
 * one's place, and receive gets a new address table.
 */

enum { REOPEN_MS = 500, REOPEN_MOST = 8 };
enum {
	WATCH_MS = 500,
	DAY_MS = 24 * 3600 * 1000,
	NAME_MAX_OCTETS = 512,
	ANSWER_MAX = 4 * 1024 * 1024
};

/* ── the book ── */

static void
publish(struct vault *v, struct ipc *only)
{
	struct str *names;
	size_t n = book_mailboxes(&v->book, &names);
	struct err e;
	int fd = address_table_make(names, n, &e);

	free(names);
	if (fd < 0) { /* receive asks us about every address then */
		log_event("no-address-table", "why=%s", log_quote(str_of(e.text)));
		return;
	}
	for (unsigned i = 0; i < RECEIVES_MAX; i++)
		if (v->receivers[i].channel && (!only || only == v->receivers[i].channel))
			ipc_send_addresses(
				v->receivers[i].channel, &(struct ipc_addresses){ .fd = fd });
	close(fd);
}

/* A new book in the old one's place. On failure the old one stays as it was. */
static bool
read_book(struct vault *v, struct err *e)
{
	struct book fresh;

	book_begin(&fresh, &v->role.config);
	if (!users_load(v->users, &fresh, e)) {
		book_free(&fresh);
		return false;
	}
	book_free(&v->book);
	v->book = fresh;
	recent_forget(&v->recent);
	publish(v, NULL);
	return true;
}

bool
vault_refresh(struct vault *v)
{
	struct err e;

	if (!users_changed(v->users))
		return false;
	if (read_book(v, &e))
		return true;
	log_event("accounts-unreadable", "why=%s", log_quote(str_of(e.text)));
	return false;
}

static void
on_watch(void *owner)
{
	struct vault *v = owner;

	vault_refresh(v);
	loop_timer_set(v->watch, WATCH_MS);
}

/* ── receive ── */

static void
on_lookup(struct receiver *r, const struct ipc_lookup *m)
{
	struct vault *v = r->vault;
	struct arena arena = { .max = ANSWER_MAX };
	struct str text;
	enum found_kind kind =
		book_lookup(&v->book, m->why, m->local, m->domain, m->login, &arena, &text);

	if (kind != FOUND_MAILBOX && kind != FOUND_YES && vault_refresh(v))
		kind = book_lookup(&v->book, m->why, m->local, m->domain, m->login, &arena, &text);
	ipc_send_found(
		r->channel, &(struct ipc_found){
				    .fd = -1, .ask = m->ask, .kind = (uint8_t)kind, .text = text });
	arena_free(&arena);
}

static void
answer_check(struct receiver *r, uint64_t ask, enum checked_result result, struct str login)
{
	struct buf token = { .max = TOKEN_MAX };

	if (result == CHECKED_OK)
		token_make(&token, (struct str){ r->vault->key, TOKEN_KEY_SIZE }, login,
			loop_wall_ms());
	ipc_send_checked(r->channel, &(struct ipc_checked){ .fd = -1,
					     .ask = ask,
					     .result = (uint8_t)result,
					     .login = login,
					     .token = buf_str(&token) });
	buf_free(&token);
}

const struct book_entry *
vault_app_password(struct vault *v, struct str password)
{
	char digest[APP_PASSWORD_DIGEST];
	struct buf name = { .max = NAME_MAX_OCTETS };
	const struct book_entry *user = NULL;

	if (app_password_digest(password, digest) &&
		users_app_password(v->users, str_of(digest), &name))
		user = book_login(&v->book, buf_str(&name));
	buf_free(&name);
	return user && !user->is_suspended ? user : NULL;
}

enum vault_answer
vault_check(struct vault *v, struct hash_job *job, struct str login, struct str password,
	struct str client, const struct book_entry **known)
{
	const struct book_entry *user;
	bool is_known, was_taken;

	vault_refresh(v);
	user = vault_app_password(v, password);
	if (user && !job->begins_session && user == book_login(&v->book, login)) {
		*known = user;
		return VAULT_RIGHT;
	}
	*known = user = book_login(&v->book, login);
	is_known = user && !user->is_suspended && password.n && password.n <= HASH_PASSWORD_MAX &&
		   str_find(password, '\0') == password.n;
	if (is_known && recent_has(&v->recent, user->name, password, loop_now_ms(v->role.loop)))
		return VAULT_RIGHT;
	if (is_known && job->peer == PEER_WEB &&
		!guess_may(&v->guesses, user->name, loop_now_ms(v->role.loop))) {
		log_event("login-refused", "login=%s client=%s why=too-many-guesses",
			log_quote(user->name), log_quote(client));
		return VAULT_BUSY;
	}
	snprintf(job->login, sizeof job->login, "%.*s", STR_ARG(is_known ? user->name : login));
	snprintf(job->client, sizeof job->client, "%.*s", STR_ARG(client));
	if (is_known) {
		memcpy(job->password, password.p, password.n);
		snprintf(job->hash, sizeof job->hash, "%.*s", STR_ARG(user->hash));
	}
	was_taken = hash_pool_check(v->pool, job);
	explicit_bzero(job->password, sizeof job->password);
	return was_taken ? VAULT_ASKED : VAULT_BUSY;
}

static void
on_check(struct receiver *r, const struct ipc_check *m)
{
	struct vault *v = r->vault;
	struct hash_job job = { .ask = m->ask, .peer = r->index, .peer_generation = r->generation };
	const struct book_entry *user;

	vault_refresh(v); /* a token ends with the password */
	user = book_login(&v->book, m->login);
	if (m->is_reader && user && !user->is_suspended && visit_is_token(v, user, m->password)) {
		answer_check(r, m->ask, CHECKED_OK, user->name);
		return;
	}
	switch (vault_check(v, &job, m->login, m->password, m->client, &user)) {
	case VAULT_RIGHT:
		answer_check(r, m->ask, CHECKED_OK, user->name);
		break;
	case VAULT_BUSY:
		answer_check(r, m->ask, CHECKED_LATER, (struct str){ 0 });
		break;
	case VAULT_ASKED:
		break;
	}
}

/* Right is a password only for the account as it is now: it may have changed while the hash was
 * computed. */
static void
on_hashed(void *owner, const struct hash_job *job)
{
	struct vault *v = owner;
	struct receiver *r;
	const struct book_entry *user =
		job->is_right ? book_login(&v->book, str_of(job->login)) : NULL;
	bool is_right = user && !user->is_suspended && str_eq(user->hash, str_of(job->hash));

	if (is_right)
		recent_add(
			&v->recent, user->name, str_of(job->password), loop_now_ms(v->role.loop));
	else
		log_event("login-refused", "login=%s client=%s", log_quote(str_of(job->login)),
			log_quote(str_of(job->client)));
	if (job->peer == PEER_WEB) {
		if (is_right)
			guess_was_right(&v->guesses, user->name);
		visit_hashed(v, job, is_right ? user : NULL);
		return;
	}
	r = &v->receivers[job->peer];
	if (r->generation == job->peer_generation)
		answer_check(r, job->ask, is_right ? CHECKED_OK : CHECKED_REFUSED,
			is_right ? user->name : (struct str){ 0 });
}

static void
on_sign(struct vault *v, struct ipc *from, const struct ipc_sign *m)
{
	struct buf signature = { .max = IPC_TEXT_MAX };
	struct err e;

	if (!certificates_sign(&v->certificates, m->key, m->scheme, m->content, &signature, &e))
		log_event("signature-refused", "key=%016llx scheme=%04x octets=%zu why=%s",
			(unsigned long long)m->key, m->scheme, m->content.n,
			log_quote(str_of(e.text)));
	ipc_send_signature(
		from, &(struct ipc_signature){
			      .fd = -1, .ask = m->ask, .signature = buf_str(&signature) });
	buf_free(&signature);
}

static void
receive_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct receiver *r = owner;

	switch (m->kind) {
	case IPC_lookup:
		on_lookup(r, &m->lookup);
		break;
	case IPC_check:
		on_check(r, &m->check);
		break;
	case IPC_sign:
		on_sign(r->vault, from, &m->sign);
		break;
	default:
		role_lost(&r->vault->role, ROLE_RECEIVE, m->broke_rules);
		ipc_close(&r->channel);
		break;
	}
}

/* ── queue ── */

static void
on_expand(struct vault *v, const struct ipc_expand *m)
{
	struct arena arena = { .max = ANSWER_MAX };
	struct buf packed = { .max = IPC_TEXT_MAX };
	struct book_targets *t = calloc(1, sizeof *t);
	enum expanded_kind kind;

	must(t);
	kind = book_expand(&v->book, m->local, m->domain, &arena, t);
	if (kind != EXPANDED_TARGETS && vault_refresh(v))
		kind = book_expand(&v->book, m->local, m->domain, &arena, t);
	if (t->nowhere.n)
		log_event("alias-leads-nowhere", "alias=%s@%s to=%s", log_quote(m->local),
			log_quote(m->domain), log_quote(t->nowhere));
	for (size_t i = 0; i < t->n; i++) {
		codec_add_u32(&packed, (uint32_t)t->list[i].address.n + 1);
		buf_add_char(&packed, t->list[i].is_here ? 'M' : 'A');
		buf_add(&packed, t->list[i].address);
	}
	if (packed.overflow) {
		kind = EXPANDED_LOOP;
		t->words = S("this alias leads to too many others");
		buf_reset(&packed);
	}
	ipc_send_expanded(v->queue, &(struct ipc_expanded){ .fd = -1,
					    .ask = m->ask,
					    .kind = (uint8_t)kind,
					    .text = t->words,
					    .targets = buf_str(&packed) });
	free(t);
	buf_free(&packed);
	arena_free(&arena);
}

static void
queue_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct vault *v = owner;

	(void)from;
	if (m->kind == IPC_expand) {
		on_expand(v, &m->expand);
		return;
	}
	role_lost(&v->role, ROLE_QUEUE, m->broke_rules);
	ipc_close(&v->queue);
}

/* ── send ── */

static void
send_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct vault *v = owner;
	const struct secret_login *login;

	(void)from;
	if (m->kind == IPC_secret) {
		login = secret_login_of(&v->logins, m->secret.route);
		ipc_send_secret_is(
			v->send, &(struct ipc_secret_is){ .fd = -1,
					 .ask = m->secret.ask,
					 .found = login != NULL,
					 .login = login ? login->user : (struct str){ 0 },
					 .password = login ? login->password : (struct str){ 0 } });
		return;
	}
	role_lost(&v->role, ROLE_SEND, m->broke_rules);
	ipc_close(&v->send);
}

/* ── web ── */

static void
web_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct vault *v = owner;

	switch (m->kind) {
	case IPC_sign_in:
		visit_sign_in(v, &m->sign_in);
		break;
	case IPC_sign:
		on_sign(v, from, &m->sign);
		break;
	default:
		role_lost(&v->role, ROLE_WEB, m->broke_rules);
		ipc_close(&v->web);
		break;
	}
}

/* ── the role's life ── */

static bool
open_accounts(struct vault *v, struct err *e)
{
	return sessions_open(&v->sessions, v->role.config.state, e) &&
	       users_open(&v->users, v->role.config.state, true, e) &&
	       secret_token_key(v->role.config.state, v->key, e);
}

static void
publish_certificates(struct vault *v, struct ipc *only)
{
	const struct ipc_certificates all = { .fd = v->certificates.fd,
		.has_no_tickets = v->role.config.tls.has_no_tickets };

	for (unsigned i = 0; i < RECEIVES_MAX; i++)
		if (v->receivers[i].channel && (!only || only == v->receivers[i].channel))
			ipc_send_certificates(v->receivers[i].channel, &all);
	if (v->web && (!only || only == v->web))
		ipc_send_certificates(v->web, &all);
}

static void
on_day(void *owner)
{
	struct vault *v = owner;

	certificates_warn(&v->certificates, loop_wall_ms() / 1000);
	loop_timer_set(v->daily, DAY_MS);
}

static void
describe_certificates(struct vault *v)
{
	struct buf lines = { .max = IPC_TEXT_MAX };

	certificates_describe(&v->certificates, &lines);
	certificates_warn(&v->certificates, loop_wall_ms() / 1000);
	ipc_send_certified(
		v->role.master, &(struct ipc_certified){ .fd = -1, .lines = buf_str(&lines) });
	buf_free(&lines);
}

static void
on_file(void *owner, struct str path, int fd, int cause)
{
	files_add(&((struct vault *)owner)->files, path, fd, cause);
}

static void
on_reopen(void *owner)
{
	struct vault *v = owner;

	v->reopened++;
	ipc_send_reopen(v->role.master, &(struct ipc_reopen){ .fd = -1 });
}

/* What the files of the configuration hold; they are wiped then. A renewal writes two files, and between them no pair fits: for
 * some seconds the earlier ones serve on, where receive has them, rather than one of our own making. */
static void
take_files(struct vault *v)
{
	struct err e;

	secret_logins_read(&v->logins, &v->role.config, &v->files);
	if (v->reopened < REOPEN_MOST && !certificates_fit(&v->role.config, &v->files)) {
		loop_timer_set(v->reopen, REOPEN_MS);
		files_wipe(&v->files);
		return;
	}
	v->reopened = 0;
	if (certificates_read(&v->certificates, &v->role.config, &v->files, &e)) {
		publish_certificates(v, NULL);
		describe_certificates(v);
	} else {
		log_event("no-certificates", "why=%s", log_quote(str_of(e.text)));
	}
	files_wipe(&v->files);
}

/* Without its accounts vault must not answer: everybody would be unknown, and mail for them
 * refused. */
static void
on_configured(void *owner)
{
	struct vault *v = owner;
	struct err e;

	if ((!v->users && !open_accounts(v, &e)) || !read_book(v, &e)) {
		log_event("accounts-unreadable", "why=%s", log_quote(str_of(e.text)));
		exit(EX_CONFIG);
	}
	if (!v->reopen)
		v->reopen = loop_timer_open(v->role.loop, on_reopen, v);
	take_files(v);
	if (!v->pool)
		v->pool = hash_pool_open(v->role.loop, on_hashed, v);
}

static void
on_peer(void *owner, enum ipc_role peer, unsigned index, int fd)
{
	struct vault *v = owner;
	struct receiver *r;

	switch (peer) {
	case ROLE_RECEIVE:
		must(index < RECEIVES_MAX);
		r = &v->receivers[index];
		ipc_close(&r->channel);
		r->vault = v;
		r->index = index;
		r->generation++;
		r->channel = ipc_open(v->role.loop, fd, ROLE_VAULT, peer, receive_came, r);
		publish(v, r->channel);
		publish_certificates(v, r->channel);
		break;
	case ROLE_QUEUE:
		ipc_close(&v->queue);
		v->queue = ipc_open(v->role.loop, fd, ROLE_VAULT, peer, queue_came, v);
		ipc_send_token_key(v->queue,
			&(struct ipc_token_key){ .fd = -1, .key = { v->key, TOKEN_KEY_SIZE } });
		break;
	case ROLE_SEND:
		ipc_close(&v->send);
		v->send = ipc_open(v->role.loop, fd, ROLE_VAULT, peer, send_came, v);
		break;
	case ROLE_WEB:
		ipc_close(&v->web);
		v->web_generation++;
		v->web = ipc_open(v->role.loop, fd, ROLE_VAULT, peer, web_came, v);
		publish_certificates(v, v->web);
		break;
	default:
		must(false);
	}
}

static void
on_begin(void *owner)
{
	struct vault *v = owner;

	v->watch = loop_timer_open(v->role.loop, on_watch, v);
	loop_timer_set(v->watch, WATCH_MS);
	v->daily = loop_timer_open(v->role.loop, on_day, v);
	loop_timer_set(v->daily, DAY_MS);
}

static void
on_drain(void *owner)
{
	role_exit(&((struct vault *)owner)->role, EX_OK); /* whoever asks is drained before us */
}

int
vault_role(void)
{
	static const struct role_hooks hooks = { .file = on_file,
		.configured = on_configured,
		.peer = on_peer,
		.begin = on_begin,
		.drain = on_drain };
	static struct vault v = { .certificates.fd = -1 };

	files_begin(&v.files);
	recent_begin(&v.recent);
	guess_begin(&v.guesses);
	return role_run(&v.role, ROLE_VAULT, &hooks, &v);
}
