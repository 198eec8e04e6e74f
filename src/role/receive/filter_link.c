/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/filter.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

/*
 * One content filter of a session: its connection, through master, begun when the session says its first MAIL; who the
 * client is, it hears then; and a question, until it is answered (filter_link_run).
 *
 *  1. Waiting is the one pattern: filter_link_run returns WAIT, whatever happens at the connection calls session_run,
 *     which meets the same event, the same question, and goes on where it was.
 *  2. A filter that is silent longer than its timeout, lies, closes or cannot be reached is down for the mail under
 *     way: the mail goes on without it, or is to be tried again later, as the file says. The next mail asks it anew.
 *     One that asks for more time gets it, up to ten timeouts a question. Where the station itself lacks something, or
 *     closes down, the mail is to be tried again later, whatever the file says: else who wants to be unseen would only
 *     have to use up our descriptors.
 *  3. Master dials only by the configuration that it has itself: who knows another one judges MAIL again.
 */

enum {
	DIAL_AGAIN_MS = 50, /* when its queue of connections is full */
	PATIENCE =
		10, /* timeouts for one question, with all the progress that it says it makes … */
	PATIENCE_MOST_MS = 600000, /* … and no longer, unless one timeout is */
};

static const char no_memory[] = "no memory left for what it wants changed";

/* What needs no answer: as far as the socket takes it now. If it is gone, the next question finds that out. */
void
filter_link_mention(struct filter_link *l)
{
	struct str out = milter_output(&l->milter);
	ssize_t n = out.n ? send(l->fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

	if (n > 0)
		milter_sent(&l->milter, (size_t)n);
}

void
filter_link_close(struct filter_link *l)
{
	if (l->state == LINK_OPEN) {
		milter_quit(&l->milter);
		filter_link_mention(l);
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
	filter_link_close(l); /* which may be the owner of `why` */
	l->is_out = true;
	l->is_down = then == CONFIG_TEMPFAIL;
}

/* For want of something that this station lacks: it is no fault of the filter. */
void
filter_link_unheard(struct filter_link *l, const char *why)
{
	link_give_up(l, "filter-unheard", CONFIG_TEMPFAIL, why);
}

static void
link_down(struct filter_link *l, const char *why)
{
	if (l->was_used && l->of->question == FILTER_SENDER)
		filter_link_close(l); /* and dial again */
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
		filter_link_unheard(l, "no descriptor is left for a connection to it");
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
		filter_link_unheard(l, no_memory);
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
		filter_link_unheard(l, no_memory);
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
	filter_link_mention(l);
	loop_timer_set(l->timer, -1);
	l->has_moved = true; /* the next wait sets it */
	loop_watch_set(l->watch, 0);
	return NEXT;
}

/* Until the question is answered by this filter, or it is out. */
enum turn
filter_link_run(struct filter_link *l)
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
