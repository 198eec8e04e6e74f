/* SPDX-License-Identifier: Apache-2.0 */
#include "role/send/link.h"

#include <errno.h>

#include "base/must.h"

/*
 * One connection, and the mails that go over it one after another:
 *
 *   link_open         the login, the socket, the connection: link_connect.c
 *   link_run          greet and hand over: smtp/client.h's events, one arm each
 *   link_secure       the handshake (secure.c), where the core asks for it
 *   link_stay_warm    the link waits for the next mail, where link_warm finds it
 *   link_leave        QUIT
 *
 * A hop that is connected and does not greet is given up soon while the road has another one; RFC 5321 §4.5.3.2.1 grants
 * five minutes, which the last hop gets. Likewise one that does not come to an end with its TLS, where that is not all
 * that is left.
 */

enum {
	GREETING_MS = 30000, /* when another hop is left */
	SECURE_MS = 15000,   /* when another hop is left, or the same one in clear */
	WARM_MS = 30000,     /* how long a link waits for another mail */
	MAILS_A_LINK = 1000,
};

static void link_run(struct link *l);

/* ── Warm links ──────────────────────────────────────────────────────────────────────────────── */

/* The links that wait for a mail to one place, in send.warm. */
struct warm {
	struct list links; /* by warm_node; the last one waits the shortest */
	struct str key;	   /* behind the struct */
};

struct str
link_pool_key(const void *warm)
{
	return ((const struct warm *)warm)->key;
}

static void
warm_add(struct link *l)
{
	struct map *pools = &l->house->warm;
	struct warm *w = map_get(pools, buf_str(&l->key));

	if (!w) {
		w = malloc(sizeof *w + l->key.n);
		must(w);
		list_init(&w->links);
		w->key = (struct str){ (char *)(w + 1), l->key.n };
		memcpy(w + 1, l->key.p, l->key.n);
		map_put(pools, w);
	}
	list_append(&w->links, &l->warm_node);
}

static void
warm_remove(struct link *l)
{
	struct warm *w;

	if (!list_is_linked(&l->warm_node))
		return;
	list_remove(&l->warm_node);
	w = map_get(&l->house->warm, buf_str(&l->key));
	if (!list_is_empty(&w->links))
		return;
	map_remove(&l->house->warm, w->key);
	free(w);
}

struct link *
link_warm(struct send *s, struct str key)
{
	struct warm *w = map_get(&s->warm, key);

	return w ? list_of(w->links.prev, struct link, warm_node) : NULL;
}

void
link_hand_over(struct link *l, struct attempt *a)
{
	must(l->phase == LINK_WARM);
	warm_remove(l);
	l->phase = LINK_TALKING;
	l->attempt = a;
	attempt_note_tls(a, buf_str(&l->tls));
	smtp_client_mail(&l->client, &a->mail);
	link_run(l);
}

/* ── Its end ─────────────────────────────────────────────────────────────────────────────────── */

void
link_free(struct link **link)
{
	struct link *l = *link;

	*link = NULL;
	warm_remove(l);
	list_remove(&l->node);
	loop_watch_close(&l->watch);
	loop_timer_close(&l->patience);
	stream_close(&l->stream);
	smtp_client_free(&l->client);
	buf_free(&l->login);
	if (l->password.p)
		explicit_bzero(l->password.p, l->password.n);
	buf_free(&l->password);
	buf_free(&l->hostname);
	buf_free(&l->tls);
	buf_free(&l->key);
	free(l);
}

void
link_note_health(const struct link *l, int cause)
{
	const struct road_hop *h = l->attempt->at;

	health_failed(
		&l->house->health, h->text, h->hop.family, cause, loop_now_ms(l->house->role.loop));
}

/* The talk broke off. */
static void
link_lose(struct link *l, enum err_kind kind, const char *words)
{
	struct err e;

	if (l->phase == LINK_WARM) { /* nobody minds */
		link_free(&l);
		return;
	}
	err_set(&e, ERR_TEMPORARY, kind, "%s", words);
	smtp_client_lost(&l->client, &e);
	link_run(l);
}

static void
link_leave(struct link *l)
{
	warm_remove(l);
	l->phase = LINK_LEAVING;
	smtp_client_quit(&l->client);
}

/* How long the peer may be silent from now on. */
static int64_t
link_patience_ms(const struct link *l)
{
	int64_t patience_ms = smtp_client_patience_ms(&l->client), left_ms;

	if (!l->attempt)
		return patience_ms;
	if (l->client.stage == STAGE_GREETING && attempt_has_other_hop(l->attempt))
		patience_ms = GREETING_MS;
	if (l->client.stage == STAGE_TLS &&
		(attempt_has_other_hop(l->attempt) || secure_may_go_clear(l)))
		patience_ms = SECURE_MS;
	left_ms = attempt_left_ms(l->attempt);
	return left_ms < patience_ms ? left_ms : patience_ms;
}

static void
talk_timed_out(struct link *l)
{
	if (l->attempt && !attempt_left_ms(l->attempt))
		link_lose(l, ERR_TIMEOUT, "too slow: no mail of this size may take so long");
	else if (l->attempt && l->client.stage == STAGE_GREETING &&
		 attempt_has_other_hop(l->attempt))
		link_lose(l, ERR_TIMEOUT, "no greeting; another host is tried meanwhile");
	else if (l->client.stage == STAGE_TLS)
		link_lose(l, ERR_TLS, "TLS was begun, and the other host does not go on with it");
	else
		link_lose(l, ERR_TIMEOUT, "no answer in the time that RFC 5321 grants");
}

void
link_out_of_patience(void *owner)
{
	struct link *l = owner;

	switch (l->phase) {
	case LINK_ASKING:
	case LINK_CONNECTING:
		link_connect_timed_out(l);
		break;
	case LINK_WARM: /* long enough: a polite end */
		link_leave(l);
		link_run(l);
		break;
	case LINK_TALKING:
	case LINK_SECURING:
	case LINK_LEAVING:
		talk_timed_out(l);
		break;
	}
}

/* ── What comes over it ──────────────────────────────────────────────────────────────────────── */

void
link_begin(struct link *l)
{
	l->phase = LINK_TALKING;
	l->settings = (struct smtp_client_settings){
		.hostname = buf_str(&l->hostname),
		.login = buf_str(&l->login),
		.password = buf_str(&l->password),
		.is_lmtp = l->attempt->at->hop.protocol == HOP_LMTP,
		.bounces_8bit = l->house->role.config.queue.bounces_8bit,
	};
	secure_choose(l, &l->settings);
	smtp_client_begin(&l->client, &l->settings);
	l->progress = UINT64_MAX; /* the greeting has its own time */
	link_run(l);
}

/* False: nothing came, or the link is gone. */
static bool
link_hear(struct link *l)
{
	static char octets[STREAM_RECORD];
	ssize_t n = stream_read(&l->stream, octets, sizeof octets);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		link_lose(l, ERR_CONNECTION_LOST,
			n == 0 ? "the other host closed the connection" : strerror(errno));
		return false;
	}
	if (l->phase == LINK_WARM) { /* it speaks only to say that it leaves */
		link_free(&l);
		return false;
	}
	smtp_client_feed(&l->client, (struct str){ octets, (size_t)n });
	return true;
}

void
link_ready(void *owner, int events)
{
	struct link *l = owner;

	if (l->phase == LINK_CONNECTING)
		link_connected(l);
	else if (l->phase == LINK_SECURING || !(events & LOOP_READ) || link_hear(l))
		link_run(l);
}

/* ── The talk ────────────────────────────────────────────────────────────────────────────────── */

/* How a send went: everything is out, the socket is full, or the peer is gone. */
enum flushed { FLUSHED, FULL, GONE };

static enum flushed
link_flush(struct link *l)
{
	struct str out = smtp_client_output(&l->client);

	while (out.n) {
		ssize_t n = stream_write(&l->stream, out);

		if (n < 0)
			return errno == EAGAIN ? FULL : GONE;
		smtp_client_sent(&l->client, (size_t)n);
		out = smtp_client_output(&l->client);
	}
	return FLUSHED;
}

static void
link_give_body(struct link *l)
{
	struct attempt *a = l->attempt;
	struct str piece = str_part(a->body, a->given, SMTP_CLIENT_PIECE_MAX);

	a->given += piece.n;
	smtp_client_body(&l->client, piece, a->given == a->body.n);
}

/* Output goes out, and the loop waits for what may come. False: the peer is gone, which the client
 * core now knows. */
static bool
link_wait(struct link *l)
{
	enum flushed f = link_flush(l);
	struct err e;

	if (f == GONE) {
		err_set(&e, ERR_TEMPORARY, ERR_CONNECTION_LOST,
			"the other host closed the connection");
		smtp_client_lost(&l->client, &e);
		return false;
	}
	loop_watch_set(l->watch, LOOP_READ | (f == FULL ? stream_wants(&l->stream) : 0));
	if (l->client.progress != l->progress) { /* octets of half a reply buy no time */
		l->progress = l->client.progress;
		loop_timer_set(l->patience, link_patience_ms(l));
	}
	return true;
}

static void
note_good_health(const struct link *l)
{
	const struct road_hop *h = l->attempt->at;

	health_worked(&l->house->health, h->text, h->hop.family, loop_now_ms(l->house->role.loop));
}

/* False: the handshake is under way. */
static bool
link_secure(struct link *l)
{
	bool has_begun = l->phase == LINK_SECURING;
	struct stream_facts facts;
	enum stream_step step;
	struct err e;

	switch (step = secure_shake(l, &e)) {
	case STREAM_DONE:
		l->phase = LINK_TALKING;
		attempt_note_tls(l->attempt, buf_str(&l->tls));
		stream_facts(&l->stream, &facts);
		smtp_client_secured(&l->client, facts.is_verified);
		return true;
	case STREAM_WANT_READ:
	case STREAM_WANT_WRITE:
		l->phase = LINK_SECURING;
		loop_watch_set(l->watch, step == STREAM_WANT_READ ? LOOP_READ : LOOP_WRITE);
		if (!has_begun)
			loop_timer_set(l->patience, link_patience_ms(l));
		return false;
	case STREAM_WANT_SIGNATURE:
	case STREAM_WANT_TIME:
		must(false); /* a client signs nothing */
	case STREAM_FAILED:
		break;
	}
	l->phase = LINK_TALKING;
	smtp_client_lost(&l->client, &e);
	return true;
}

/* Greeting, hello, TLS and login are done. */
static void
link_greeted(struct link *l)
{
	note_good_health(l);
	smtp_client_mail(&l->client, &l->attempt->mail);
}

static void
link_stay_warm(struct link *l)
{
	if (l->house->is_draining || l->mails >= MAILS_A_LINK) {
		link_leave(l);
		return;
	}
	l->phase = LINK_WARM;
	warm_add(l);
	loop_watch_set(l->watch, LOOP_READ);
	loop_timer_set(l->patience, WARM_MS);
}

/* False: the link is warm, and may be in use again or gone. */
static bool
link_handed_over(struct link *l)
{
	struct attempt *a = l->attempt;
	bool is_leaving;

	note_good_health(l); /* though it may have turned other connections away meanwhile */
	l->attempt = NULL;
	l->mails++;
	link_stay_warm(l);
	is_leaving = l->phase == LINK_LEAVING;
	attempt_settle(a, l->client.may_be_delivered);
	return is_leaving;
}

/* The session failed, and with it the hop. Lost without a word about the mail is a warm link that
 * was dead all along, which costs the mail nothing. */
static void
link_failed(struct link *l)
{
	struct attempt *a = l->attempt;
	struct err e = l->client.error;
	enum smtp_stage stage = l->client.stage;
	bool may_be_delivered = l->client.may_be_delivered;
	bool was_dead = l->mails > 0 && stage == STAGE_MAIL &&
			(e.code == 421 || e.kind == ERR_CONNECTION_LOST);

	bool goes_clear = secure_may_go_clear(l);

	if (goes_clear)
		health_tls_failed(&l->house->health, a->at->text, loop_now_ms(l->house->role.loop));
	else if (stage < STAGE_AUTH)
		link_note_health(l, 0);
	link_flush(l); /* a QUIT, where one is due */
	link_free(&l);
	if (goes_clear)
		attempt_go_clear(a, &e, stage);
	else if (stage < STAGE_MAIL)
		attempt_hop_failed(a, &e, stage);
	else if (was_dead && !a->was_reopened && !a->is_orphan)
		attempt_reopen(a);
	else
		attempt_settle(a, may_be_delivered);
}

static void
link_run(struct link *l)
{
	for (;;)
		switch (smtp_client_next(&l->client)) {
		case CLIENT_WANT_INPUT:
			if (link_wait(l))
				return;
			break;
		case CLIENT_WANT_OUTPUT: /* all of it out: the core goes on at once */
			if (link_wait(l) && smtp_client_output(&l->client).n)
				return;
			break;
		case CLIENT_WANT_TLS:
			if (!link_secure(l))
				return;
			break;
		case CLIENT_ON_READY:
			link_greeted(l);
			break;
		case CLIENT_WANT_ASCII:
			smtp_client_ascii(&l->client, attempt_to_ascii(l->attempt));
			break;
		case CLIENT_WANT_TOKEN: /* not by these settings */
		case CLIENT_WANT_AHEAD:
			break;
		case CLIENT_WANT_BODY:
			link_give_body(l);
			break;
		case CLIENT_ON_DONE:
			if (!link_handed_over(l))
				return;
			break;
		case CLIENT_ON_FAILED:
			link_failed(l);
			return;
		case CLIENT_WANT_CLOSE:
			link_flush(l);
			link_free(&l);
			return;
		}
}

/* What the peer may have is not taken back: such a mail goes on to its end. */
void
link_queue_lost(struct send *s)
{
	list_each_safe (at, &s->links) {
		struct link *l = list_of(at, struct link, node);
		struct attempt *a = l->attempt;

		if (!a)
			continue;
		if (l->client.may_be_delivered) {
			a->is_orphan = true;
			continue;
		}
		link_free(&l);
		attempt_drop(a);
	}
}

void
link_close_idle(struct send *s)
{
	list_each_safe (at, &s->links) {
		struct link *l = list_of(at, struct link, node);

		if (l->phase != LINK_WARM)
			continue;
		link_leave(l);
		link_run(l);
	}
}
