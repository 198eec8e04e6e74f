/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/control.h"

#include "base/must.h"

/*
 * What a reader may ask of a mail: what became of it (ORDER_WHY), and not to send it (ORDER_DROP). It names one mail by its whole id.
 *
 * 1. A reader parses strangers' mail, so it is trusted with nothing but its own login's mails: those whose token vault made for that login. Of
 *    a settled mail the history says whose it was. Any other mail is answered like one that there is not.
 * 2. A mail is called back as a whole or not at all: only while every recipient of it waits. The answer is yes when that is durable, so that
 *    a mail that was called back is not sent after a crash.
 * 3. The reader may know of a mail before the log was read up to it: an unknown one is waited for.
 *
 *   end.mails 0: there is none · 1 and recipients 0: it cannot be called back any more · 1 and recipients: called back (or told of)
 */

enum {
	WAIT_MS = 20,		/* between two looks for a mail that is not here yet */
	ARRIVES_MS = 1000,	/* how long one may be on its way from the log */
	INDEX_WHOLE_MS = 10000, /* how long the log is read at the start of a queue */
};

struct seat {
	struct list link;
	struct control control; /* its channel, its order and its search */
	unsigned number;
	struct buf login; /* empty: not known yet, nothing is its own */
	struct mail_id id;
	int64_t begun_ms;
	bool is_theirs;	 /* the mail that was asked about */
	uint64_t ticket; /* of the fates that must be durable; 0: none */
};

static void
seat_free(struct seat **s)
{
	list_remove(&(*s)->link);
	walk_end(&(*s)->control);
	why_end(&(*s)->control);
	ipc_close(&(*s)->control.channel);
	loop_timer_close(&(*s)->control.again);
	buf_free(&(*s)->login);
	free(*s);
	*s = NULL;
}

static struct seat *
seat_of(struct queue *q, unsigned number)
{
	list_each (at, &q->seats) {
		struct seat *s = list_of(at, struct seat, link);

		if (s->number == number)
			return s;
	}
	return NULL;
}

static void
seat_answer(struct seat *s, uint64_t recipients)
{
	struct control *c = &s->control;

	why_end(c);
	c->is_busy = false;
	s->ticket = 0;
	ipc_send_end(c->channel, &(struct ipc_end){ .fd = -1,
					 .is_last = true,
					 .is_partial = !queue_is_whole(c->queue),
					 .mails = s->is_theirs,
					 .recipients = recipients });
}

/* Vault's word counts: mails of trusted networks bear any name they like. */
static uint32_t
find_theirs(const struct seat *s)
{
	const struct queue *q = s->control.queue;
	uint32_t mail = index_find(q, s->id);

	if (!mail || !mail_of(q, mail)->has_login || !s->login.n)
		return 0;
	return str_eq(intern_at(&q->texts, mail_of(q, mail)->payer), buf_str(&s->login)) ? mail : 0;
}

/* ── what became of it ── */

/* As queue_note_arrived writes it: the login stands at the end. */
static bool
arrived_by(const struct history_event *e, struct str login)
{
	struct str words = S("logged in as ");

	return login.n && e->how.n >= words.n + login.n &&
	       str_eq(str_from(e->how, e->how.n - login.n), login) &&
	       str_eq(str_part(e->how, e->how.n - login.n - words.n, words.n), words);
}

static void
tell_living(struct seat *s)
{
	struct control *c = &s->control;
	uint32_t mail = find_theirs(s), n = 0;

	for (uint32_t r = 0; mail && (r = recipient_next(c->queue, mail, r)); n++)
		walk_send_item(c, r, true);
	seat_answer(s, n);
}

/* True: there is more, in another turn. */
static bool
tell_history(struct seat *s)
{
	struct history_event e;

	while (ipc_waiting(s->control.channel) < CONTROL_WAITING_MOST)
		switch (history_next(&s->control.search, &e)) {
		case HISTORY_EVENT:
			s->is_theirs |=
				e.kind == HISTORY_ARRIVED && arrived_by(&e, buf_str(&s->login));
			if (s->is_theirs)
				why_send_told(&s->control, &e);
			break;
		case HISTORY_LATER:
			return true;
		case HISTORY_END:
			tell_living(s);
			return false;
		}
	return true;
}

static bool
tell_begin(struct seat *s)
{
	struct control *c = &s->control;

	s->is_theirs = find_theirs(s) != 0;
	if (!s->is_theirs && index_find(c->queue, s->id)) {
		seat_answer(s, 0);
		return false;
	}
	history_find_mail(&c->search, story_history(c->queue),
		(struct str){ (const char *)s->id.octet, sizeof s->id.octet });
	return true;
}

/* ── not to send it ── */

static bool
may_still_come(const struct seat *s)
{
	struct queue *q = s->control.queue;
	int64_t waited_ms = loop_now_ms(q->role.loop) - s->begun_ms;

	return !index_find(q, s->id) && !keeper_is_settled(q->keeper, s->id) &&
	       waited_ms < (queue_is_whole(q) ? ARRIVES_MS : INDEX_WHOLE_MS);
}

static bool
is_all_at_hand(const struct queue *q, uint32_t mail)
{
	for (uint32_t r = 0; (r = recipient_next(q, mail, r));)
		if (!recipient_is_at_hand(q, r))
			return false;
	return true;
}

static void
call_back(struct seat *s, uint32_t mail)
{
	struct queue *q = s->control.queue;

	for (uint32_t r = 0; (r = recipient_next(q, mail, r));) {
		if (recipient_of(q, r)->is_dropped)
			continue;
		story_add_deed(q, r, HISTORY_DROPPED);
		must(recipient_drop(q, r));
		s->ticket = q->newest_fate;
	}
}

/* True: it is looked for again in a moment. */
static bool
drop(struct seat *s)
{
	struct queue *q = s->control.queue;
	uint32_t mail = find_theirs(s);

	s->is_theirs = mail != 0;
	if (!mail && may_still_come(s))
		return true;
	if (!mail || !is_all_at_hand(q, mail)) {
		seat_answer(s, 0);
		return false;
	}
	call_back(s, mail);
	if (!s->ticket)
		seat_answer(s, mail_of(q, mail)->recipients_n); /* it was before */
	return false;
}

void
reader_fates_durable(struct queue *q, uint64_t ticket)
{
	uint32_t mail;

	list_each_safe (at, &q->seats) {
		struct seat *s = list_of(at, struct seat, link);

		if (!s->ticket || s->ticket > ticket)
			continue;
		mail = index_find(q, s->id);
		seat_answer(s, mail ? mail_of(q, mail)->recipients_n : 1);
	}
}

/* ── its channel ── */

static void
seat_go_on(void *owner)
{
	struct seat *s = owner;
	struct control *c = &s->control;
	bool has_more;

	if (!c->is_busy || s->ticket)
		return;
	has_more = c->verb == ORDER_DROP ? drop(s) : tell_history(s);
	if (has_more)
		loop_timer_set(
			c->again, c->verb == ORDER_DROP || ipc_waiting(c->channel) ? WAIT_MS : 0);
}

static void
order_take(struct seat *s, const struct ipc_order *m)
{
	struct control *c = &s->control;

	c->verb = m->verb;
	c->is_busy = true;
	s->begun_ms = loop_now_ms(c->queue->role.loop);
	s->is_theirs = false;
	walk_begin(c);
	if (c->verb == ORDER_DROP || tell_begin(s))
		seat_go_on(s);
}

static void
reader_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct seat *s = owner;

	(void)from;
	if (m->kind == IPC_order && !s->control.is_busy &&
		(m->order.verb == ORDER_WHY || m->order.verb == ORDER_DROP) &&
		mail_id_parse(m->order.what, &s->id)) {
		order_take(s, &m->order);
		return;
	}
	role_lost_reader(
		&s->control.queue->role, s->number, m->broke_rules || m->kind != IPC_CLOSED);
	seat_free(&s);
}

void
reader_peer(struct queue *q, unsigned seat, int fd)
{
	struct seat *s = seat_of(q, seat);

	if (s)
		seat_free(&s); /* somebody else sat there */
	s = calloc(1, sizeof *s);
	must(s);
	s->number = seat;
	s->login.max = TOKEN_LOGIN_MAX;
	s->control.queue = q;
	s->control.again = loop_timer_open(q->role.loop, seat_go_on, s);
	s->control.channel = ipc_open(q->role.loop, fd, ROLE_QUEUE, ROLE_READER, reader_came, s);
	list_append(&q->seats, &s->link);
}

void
reader_seated(struct queue *q, unsigned seat, struct str login)
{
	struct seat *s = seat_of(q, seat);

	if (!s)
		return;
	buf_reset(&s->login);
	buf_add(&s->login, login);
}
