/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "role/receive/gate.h"
#include "base/must.h"

/*
 * The conversation with content filters. A session opens its connections, through master, when it says its first
 * MAIL, and tells then who it is; sessions that bring no mail cost no filter anything.
 *
 *   admit.c, session_commit ─▶ filters_ask: one filter after another ─▶ link_run: until this one has answered
 *
 *  1. Waiting is the one pattern: link_run returns WAIT, whatever happens at the connection calls session_run, which meets
 *     the same event, the same question, and goes on where it was.
 *  2. A filter that is silent longer than its timeout, lies, closes or cannot be reached is down for the mail under
 *     way: the mail goes on without it, or is to be tried again later, as the file says. The next mail asks it anew.
 *     One that asks for more time gets it, up to ten timeouts a question. Where the station itself lacks something, or
 *     closes down, the mail is to be tried again later, whatever the file says: else who wants to be unseen would only
 *     have to use up our descriptors.
 *  3. Who the filters are, a mail learns at MAIL: a reload changes them for the next one. Master dials only by the
 *     configuration that it has itself.
 *  4. A no to MAIL, DATA or the message concerns the mail; a no to RCPT that recipient; one to client or hello every
 *     mail of the session.
 */

enum {
	DIAL_AGAIN_MS = 50, /* when its queue of connections is full */
	PATIENCE =
		10, /* timeouts for one question, with all the progress that it says it makes … */
	PATIENCE_MOST_MS = 600000, /* … and no longer, unless one timeout is */
};

static const char no_memory[] = "no memory left for what it wants changed";

/* What needs no answer: as far as the socket takes it now. If it is gone, the next question finds that out. */
static void
link_mention(struct filter_link *l)
{
	struct str out = milter_output(&l->milter);
	ssize_t n = out.n ? send(l->fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

	if (n > 0)
		milter_sent(&l->milter, (size_t)n);
}

static void
link_close(struct filter_link *l)
{
	if (l->state == LINK_OPEN) {
		milter_quit(&l->milter);
		link_mention(l);
		loop_watch_close(&l->watch);
		close(l->fd);
		milter_free(&l->milter);
	}
	if (l->timer)
		loop_timer_set(l->timer, -1);
	l->state = LINK_CLOSED;
	l->said = FILTER_NOTHING;
	l->dial = 0;
	l->was_used = l->is_done = l->is_told = false;
	l->refusal = (struct err){ 0 };
}

/* The mail goes on without its word, or is to be tried again later. */
static void
link_give_up(struct filter_link *l, const char *event, enum config_down then, const char *why)
{
	log_event(event, "filter=%s at=%s client=%s then=%s why=%s", log_quote(str_of(l->name)),
		log_quote(str_of(l->at)), l->of->session->client,
		then == CONFIG_ACCEPT ? "accept" : "tempfail", log_quote(str_of(why)));
	link_close(l); /* which may be the owner of `why` */
	l->is_out = true;
	l->is_down = then == CONFIG_TEMPFAIL;
}

/* For want of something that this station lacks: it is no fault of the filter. */
static void
link_unheard(struct filter_link *l, const char *why)
{
	link_give_up(l, "filter-unheard", CONFIG_TEMPFAIL, why);
}

static void
link_down(struct filter_link *l, const char *why)
{
	if (l->was_used && l->of->question == FILTER_SENDER)
		link_close(l); /* and dial again */
	else
		link_give_up(l, "filter-down", l->when_down, why);
}

static void
link_due(void *owner)
{
	struct filter_link *l = owner;
	int64_t now_ms = loop_now_ms(l->of->session->house->role.loop);

	if (l->state == LINK_OPEN || l->dial || now_ms - l->dialling_since_ms >= l->timeout_ms)
		link_down(l, "did not answer in time");
	else
		l->state = LINK_CLOSED; /* and dial again */
	session_run(l->of->session);
}

static void
link_ready(void *owner, int events)
{
	struct filter_link *l = owner;

	(void)events;
	l->may_read = true;
	loop_watch_set(l->watch, 0);
	session_run(l->of->session);
}

/* ── a connection, by master ── */

static void
link_dial(struct filter_link *l)
{
	struct receive *r = l->of->session->house;
	int64_t now_ms = loop_now_ms(r->role.loop);

	if (!l->timer)
		l->timer = loop_timer_open(r->role.loop, link_due, l);
	if (l->dialling_since_ms == 0)
		l->dialling_since_ms = now_ms;
	l->state = LINK_DIALLING;
	l->dial = ++r->asks;
	loop_timer_set(l->timer, l->dialling_since_ms + l->timeout_ms - now_ms);
	ipc_send_dial(r->role.master, &(struct ipc_dial){ .fd = -1,
					      .ask = l->dial,
					      .configuration = l->of->configuration,
					      .filter = l->place });
}

static struct filter_link *
link_of_dial(struct receive *r, uint64_t dial)
{
	for (struct list *at = r->sessions.prev; at != &r->sessions; at = at->prev) {
		struct filters *f = list_of(at, struct session, link)->filters;

		for (size_t i = 0; f && i < f->n; i++)
			if (f->links[i].state == LINK_DIALLING && f->links[i].dial == dial)
				return &f->links[i];
	}
	return NULL; /* the session has ended meanwhile, or given it up */
}

static void
link_open(struct filter_link *l, int fd)
{
	struct filters *f = l->of;
	struct receive *r = f->session->house;

	l->fd = fd;
	l->state = LINK_OPEN;
	l->dialling_since_ms = 0;
	l->watch = loop_watch_open(r->role.loop, fd, link_ready, l);
	milter_begin(&l->milter, &f->facts, r->role.config.limits.message);
	l->said = FILTER_OFFER;
	l->is_heard = l->may_read = false;
	l->has_moved = true;
	l->progress = 0;
}

void
filter_dialled(struct receive *r, uint64_t dial, uint32_t cause, int fd)
{
	struct filter_link *l = link_of_dial(r, dial);

	if (fd >= 0 && (!l || fd >= r->fd_most)) {
		close(fd);
		cause = EMFILE;
		fd = -1;
	}
	if (!l)
		return;
	if (fd >= 0) {
		link_open(l, fd);
	} else if (cause == EAGAIN) {
		l->dial = 0;
		loop_timer_set(l->timer, DIAL_AGAIN_MS);
		return;
	} else if (cause == ESTALE) {
		l->of->is_asking = false; /* MAIL is judged again, by the new configuration */
	} else if (cause == EMFILE || cause == ENFILE) {
		link_unheard(l, "no descriptor is left for a connection to it");
	} else {
		link_down(l, strerror((int)cause));
	}
	session_run(l->of->session);
}

/* ── one filter, up to its answer ── */

/* Until this question takes too long, whatever the filter says meanwhile. */
static int64_t
patience_left_ms(const struct filter_link *l)
{
	int64_t most_ms = l->timeout_ms < PATIENCE_MOST_MS / PATIENCE ? l->timeout_ms * PATIENCE
								      : PATIENCE_MOST_MS;
	int64_t due_ms = l->of->since_ms + (most_ms > l->timeout_ms ? most_ms : l->timeout_ms);
	int64_t now_ms = loop_now_ms(l->of->session->house->role.loop);

	return due_ms > now_ms ? due_ms - now_ms : 0;
}

static enum turn
link_wait(struct filter_link *l, int events)
{
	int64_t left_ms = patience_left_ms(l);

	if (l->progress != l->milter.progress)
		l->has_moved = true;
	l->progress = l->milter.progress;
	if (l->has_moved)
		loop_timer_set(l->timer, l->timeout_ms < left_ms ? l->timeout_ms : left_ms);
	l->has_moved = false;
	loop_watch_set(l->watch, events);
	return WAIT;
}

static enum turn
link_flush(struct filter_link *l)
{
	struct str out;

	while ((out = milter_output(&l->milter)).n) {
		ssize_t n = send(l->fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return link_wait(l, LOOP_READ | LOOP_WRITE);
		if (n < 0) {
			link_down(l, strerror(errno));
			return NEXT;
		}
		l->has_moved = true;
		milter_sent(&l->milter, (size_t)n);
	}
	return NEXT;
}

static enum turn
link_exchange(struct filter_link *l)
{
	static char scratch[64 * 1024];
	ssize_t n;

	if (link_flush(l) == WAIT)
		return WAIT;
	if (l->state != LINK_OPEN)
		return NEXT;
	if (!l->may_read)
		return link_wait(l, LOOP_READ);
	l->may_read = false;
	n = recv(l->fd, scratch, sizeof scratch, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return link_wait(l, LOOP_READ);
	if (n <= 0) {
		link_down(l, n < 0 ? strerror(errno) : "closed the connection");
		return NEXT;
	}
	milter_feed(&l->milter, (struct str){ scratch, (size_t)n });
	if (l->said == FILTER_MESSAGE && !filter_hold(l->of, 0))
		link_unheard(l, no_memory);
	return NEXT;
}

static void
link_say(struct filter_link *l)
{
	struct filters *f = l->of;

	if (l->said < FILTER_HELLO) {
		l->said++;
	} else {
		l->said = f->question;
		l->is_told = true;
	}
	l->is_heard = false;
	switch (l->said) {
	case FILTER_CLIENT:
		milter_client(&l->milter);
		break;
	case FILTER_HELLO:
		milter_hello(&l->milter);
		break;
	case FILTER_SENDER:
		milter_sender(&l->milter);
		break;
	case FILTER_RECIPIENT:
		milter_recipient(&l->milter);
		break;
	case FILTER_DATA:
		milter_data(&l->milter);
		break;
	case FILTER_MESSAGE:
		milter_message(&l->milter, buf_str(&f->header), f->body);
		break;
	case FILTER_NOTHING:
	case FILTER_OFFER:
		must(false); /* milter_begin has asked for the offer */
	}
}

static void
link_refuse(struct filter_link *l, const struct err *e)
{
	l->of->refusal = *e;
	log_event("filter-refused", "filter=%s client=%s code=%u why=%s",
		log_quote(str_of(l->name)), l->of->session->client, e->code,
		log_quote(str_of(e->text)));
}

/* Takes the verdict; false: it ends the question. */
static bool
link_heard(struct filter_link *l)
{
	struct filters *f = l->of;
	bool is_about_client = l->said < FILTER_SENDER;

	l->is_heard = true;
	if (l->said == FILTER_MESSAGE && l->milter.verdict <= MILTER_ACCEPT && !filter_amend(l)) {
		link_unheard(l, no_memory);
		return false;
	}
	switch (l->milter.verdict) {
	case MILTER_CONTINUE:
		return !l->is_told;
	case MILTER_ACCEPT:
		l->is_out = true;
		l->is_done = is_about_client;
		break;
	case MILTER_DISCARD:
		f->discards = true;
		log_event("filtered", "id=%s filter=%s did=discard", f->id_text,
			log_quote(str_of(l->name)));
		break;
	case MILTER_REFUSE:
		link_refuse(l, &l->milter.error);
		l->is_done = is_about_client;
		if (is_about_client)
			l->refusal = l->milter.error;
		break;
	}
	return false;
}

/* What it promised not to answer may still have to leave. */
static enum turn
link_rest(struct filter_link *l)
{
	if (l->state != LINK_OPEN)
		return NEXT;
	link_mention(l);
	loop_timer_set(l->timer, -1);
	l->has_moved = true; /* the next wait sets it */
	loop_watch_set(l->watch, 0);
	return NEXT;
}

/* Until the question is answered by this filter, or it is out. */
static enum turn
link_run(struct filter_link *l)
{
	enum turn step = NEXT;

	while (step == NEXT && !l->is_out) {
		if (l->state == LINK_CLOSED)
			link_dial(l);
		if (l->state == LINK_DIALLING)
			return WAIT;
		switch (milter_next(&l->milter)) {
		case MILTER_WANT_INPUT:
			step = link_exchange(l);
			break;
		case MILTER_WANT_OUTPUT:
			step = link_flush(l);
			break;
		case MILTER_ON_ANSWER:
			if (!l->is_heard && !link_heard(l))
				return link_rest(l);
			link_say(l);
			break;
		case MILTER_ON_FAILED:
			link_down(l, l->milter.error.text);
			break;
		}
	}
	return step;
}

/* ── all of them, in order ── */

static void
ask_begin(struct filters *f, enum filter_question question)
{
	f->is_asking = true;
	f->question = question;
	f->at = 0;
	f->since_ms = 0;
	for (size_t i = 0; i < f->n; i++)
		f->links[i].is_told = false;
}

static void
not_without(struct filters *f)
{
	err_set(&f->refusal, ERR_TEMPORARY, ERR_REMOTE,
		"this mail cannot be checked at the moment, please try again later");
	f->refusal.code = 451;
	f->refusal.enhanced = (struct enhanced){ 4, 7, 1 };
}

static enum turn
filters_ask(struct filters *f, enum filter_question question, struct err *e)
{
	const struct receive *r = f->session->house;

	if (!f->is_asking)
		ask_begin(f, question);
	while (f->at < f->n && !f->discards && !err_is(&f->refusal)) {
		struct filter_link *l = &f->links[f->at];

		if (f->since_ms == 0)
			f->since_ms = loop_now_ms(r->role.loop);
		if (!l->is_out && l->is_done)
			f->refusal = l->refusal;
		else if (!l->is_out && r->is_draining)
			link_unheard(l, "closing down");
		else if (link_run(l) == WAIT)
			return WAIT;
		if (l->is_down)
			not_without(f);
		f->at++;
		f->since_ms = 0;
	}
	f->is_asking = false;
	*e = f->refusal;
	f->refusal = (struct err){ 0 };
	return NEXT;
}

/* ── what they are told ── */

static void
know_client(struct filters *f)
{
	struct session *s = f->session;
	struct milter_facts *m = &f->facts;

	m->client_address = s->is_local ? S("127.0.0.1") : str_of(s->client);
	m->client_name = s->is_local ? S("localhost") : str_of(s->gate ? s->gate->name : "");
	m->client_port_number = s->client_port;
	snprintf(f->client_port, sizeof f->client_port, "%u", s->client_port);
	m->client_port = str_of(f->client_port);
	m->client_family = strchr(s->client, ':') ? MILTER_IPV6 : MILTER_IPV4;
	m->hello = s->smtp.hello;
}

static void
know_tls(struct filters *f)
{
	struct stream_facts facts;

	f->facts.tls_version = f->facts.cipher = f->facts.cipher_bits = S("");
	if (!stream_is_secure(&f->session->stream))
		return;
	stream_facts(&f->session->stream, &facts);
	f->facts.tls_version = str_of(facts.version);
	f->facts.cipher = str_of(facts.cipher);
	snprintf(f->cipher_bits, sizeof f->cipher_bits, "%d", facts.bits);
	f->facts.cipher_bits = str_of(f->cipher_bits);
}

static void
know_mail(struct filters *f)
{
	struct session *s = f->session;

	buf_reset(&f->sender);
	address_add(&f->sender, s->smtp.transaction.reverse_path);
	f->facts.sender = buf_str(&f->sender);
	f->facts.login = buf_str(&s->login);
	f->facts.mechanism = s->mechanism;
	s->id = mail_id_random();
	f->facts.id = str_of(mail_id_text(s->id, f->id_text));
}

/* Another hello, or TLS since then: the filters hear of a new client. */
static void
know_face(struct filters *f)
{
	struct session *s = f->session;
	struct buf face = { .max = f->face.max };

	buf_addf(&face, "%s %u %d ", s->client, s->client_port, stream_is_secure(&s->stream));
	buf_add(&face, s->smtp.hello);
	if (!str_eq(buf_str(&face), buf_str(&f->face)))
		for (size_t i = 0; i < f->n; i++)
			link_close(&f->links[i]);
	buf_free(&f->face);
	f->face = face;
}

static struct filters *
filters_open(struct session *s)
{
	const struct config *c = &s->house->role.config;
	struct filters *f = calloc(1, sizeof *f);

	must(f && c->filters_n <= CONFIG_FILTERS_MAX);
	f->session = s;
	f->configuration = s->house->role.configuration;
	f->n = c->filters_n;
	f->face.max = 1024;
	f->text.max = s->terms->smtp.message_size_max;
	f->sender.max = f->recipient.max = f->new_sender.max = 2 * ADDRESS_PATH_MAX;
	f->facts.hostname = str_of(s->terms->hostname);
	f->facts.daemon = s->is_submission ? S("submission") : S("smtp");
	f->facts.version = S("Posthouse");
	for (size_t i = 0; i < f->n; i++) {
		struct filter_link *l = &f->links[i];

		*l = (struct filter_link){ .of = f,
			.place = (uint8_t)i,
			.when_down = c->filters[i].when_down,
			.timeout_ms = c->filters[i].timeout_ms,
			.only_strangers = c->filters[i].only_strangers };
		snprintf(l->name, sizeof l->name, "%.*s", STR_ARG(c->filters[i].name));
		snprintf(l->at, sizeof l->at, "%.*s", STR_ARG(c->filters[i].at));
	}
	return f;
}

enum turn
filter_sender(struct session *s, bool is_stranger, struct err *e)
{
	struct filters *f = s->filters;

	if (f && !f->is_asking && f->configuration != s->house->role.configuration)
		filter_close(s);
	if (!s->filters && s->house->role.config.filters_n == 0)
		return NEXT;
	if (!s->filters)
		s->filters = filters_open(s);
	f = s->filters;
	if (!f->is_asking) {
		filter_forget(s);
		know_face(f);
		know_client(f);
		know_tls(f);
		know_mail(f);
		for (size_t i = 0; i < f->n; i++) {
			struct filter_link *l = &f->links[i];

			l->is_down = false;
			l->is_out = (l->only_strangers && !is_stranger) ||
				    (l->is_done && !err_is(&l->refusal));
			l->was_used = l->state == LINK_OPEN;
			l->dialling_since_ms = 0;
		}
	}
	return filters_ask(f, FILTER_SENDER, e);
}

enum turn
filter_recipient(struct session *s, struct err *e)
{
	struct filters *f = s->filters;

	if (!f->is_asking) {
		buf_reset(&f->recipient);
		address_add(&f->recipient, s->smtp.recipient);
		f->facts.recipient = buf_str(&f->recipient);
	}
	return filters_ask(f, FILTER_RECIPIENT, e);
}

enum turn
filter_data(struct session *s, struct err *e)
{
	return filters_ask(s->filters, FILTER_DATA, e);
}

enum turn
filter_message(struct session *s, const struct header_facts *facts, struct err *e)
{
	struct filters *f = s->filters;

	if (!f->is_split && !filter_split(f, facts, e))
		return NEXT;
	if (!f->is_judged && filters_ask(f, FILTER_MESSAGE, e) == WAIT)
		return WAIT;
	if (err_is(e))
		return NEXT;
	f->is_judged = true;
	f->discards |= s->recipients_n == 0;
	return f->discards ? NEXT : filter_fill(f, e);
}

bool
filter_is_asking(const struct session *s)
{
	return s->filters && (s->filters->is_asking || s->filters->is_filling);
}

bool
filter_discards(const struct session *s)
{
	return s->filters->discards;
}

void
filter_forget(struct session *s)
{
	struct filters *f = s->filters;

	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++)
		if (f->links[i].state == LINK_OPEN && f->links[i].is_heard) {
			milter_reset(&f->links[i].milter);
			link_mention(&f->links[i]);
		}
	filter_release(f);
	f->is_asking = false;
}

void
filter_close(struct session *s)
{
	struct filters *f = s->filters;

	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++) {
		link_close(&f->links[i]);
		if (f->links[i].timer)
			loop_timer_close(&f->links[i].timer);
	}
	filter_release(f);
	if (f->pause)
		loop_timer_close(&f->pause);
	buf_free(&f->face);
	buf_free(&f->sender);
	buf_free(&f->recipient);
	buf_free(&f->new_sender);
	free(f);
	s->filters = NULL;
}
