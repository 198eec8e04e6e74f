/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/control.h"

#include "base/must.h"

/*
 * The answer to `why`: first which mails are meant, by the index, then what the history knows of them and of settled ones, file by file,
 * then how it stands with the living. For an address only what concerns that recipient.
 */

enum {
	ID_DIGITS_MIN = 4,
	SEARCHED_DIGITS_MIN = 8, /* in the history: four octets */
	EVENTS_TOLD_MOST = 2000,
};

/* ── why it waits ── */

/* "90 s", "20 min", "4 h", "2 d" */
static void
add_duration(struct buf *to, int64_t ms)
{
	int64_t s = ms < 0 ? 0 : (ms + 500) / 1000;

	if (s < 120)
		buf_addf(to, "%lld s", (long long)s);
	else if (s < 7200)
		buf_addf(to, "%lld min", (long long)(s / 60));
	else if (s < 2 * 86400)
		buf_addf(to, "%lld h", (long long)(s / 3600));
	else
		buf_addf(to, "%lld d", (long long)(s / 86400));
}

static void
add_in_line(struct queue *q, const struct queue_destination *d, struct buf *to)
{
	const struct pace *p = &d->fair.pace;
	int64_t now_ms = loop_wall_ms();

	if (d->fair.suspended_until_ms > now_ms) {
		buf_addf(to, "%.*s is suspended by the operator for another ", STR_ARG(d->name));
		add_duration(to, d->fair.suspended_until_ms - now_ms);
	} else if (p->down_n) {
		buf_addf(to, "%.*s cannot be reached since ", STR_ARG(d->name));
		add_duration(to, now_ms - destination_wall_ms(q, p->down_since_ms));
		buf_add(to, S("; one mail tries it again in "));
		add_duration(to, destination_wall_ms(q, p->probe_at_ms) - now_ms);
		buf_add(to, S(", the others follow when that went well"));
	} else {
		buf_addf(to, "in line for %.*s: %u wait, %u of %u attempts at once are under way",
			STR_ARG(d->name), d->fair.waiting_n, p->under_way, p->limit);
	}
}

static void
add_deferred(struct queue *q, uint32_t r, struct buf *to)
{
	const struct config *c = &q->role.config;
	const struct recipient *recipient = recipient_of(q, r);
	int64_t now_ms = loop_wall_ms(),
		suspended_ms = suspend_of_domain(q, recipient_domain(q, r));
	bool is_early;

	if (suspend_is_awaited(q, r, suspended_ms)) {
		buf_addf(to, "%.*s is suspended by the operator for another ",
			STR_ARG(recipient_domain(q, r)));
		add_duration(to, suspended_ms - now_ms);
		return;
	}
	is_early = recipient->tries == 0 && mail_hold_ms(q, recipient->mail) > now_ms;
	buf_add(to, is_early ? S("its sender asked for delivery in ") : S("tried again in "));
	add_duration(to, recipient_due_ms(q, r) - now_ms);
	if (recipient->tries == 0)
		return; /* something of ours failed before it could be tried: a short pause */
	buf_addf(to, ": the pause doubles with each try (%u so far) from ", recipient->tries);
	add_duration(to, c->queue.retry_first_ms);
	buf_add(to, S(" up to "));
	add_duration(to, c->queue.retry_most_ms);
	buf_add(to, S(", give or take a fifth; given up in "));
	add_duration(to, mail_expires_ms(q, recipient->mail) - now_ms);
}

void
why_add_next(struct queue *q, uint32_t r, struct buf *to)
{
	const struct recipient *recipient = recipient_of(q, r);
	const struct queue_destination *d = recipient_destination(q, r);

	switch ((enum recipient_state)recipient->state) {
	case RECIPIENT_NEW:
		buf_addf(
			to, "the road to %.*s is being asked for", STR_ARG(recipient_domain(q, r)));
		return;
	case RECIPIENT_ASKED:
		buf_add(to, S("what the address stands for is being looked up"));
		return;
	case RECIPIENT_IN_LINE:
		if (d)
			add_in_line(q, d, to);
		return;
	case RECIPIENT_UNDER_WAY:
		buf_add(to, S("an attempt is under way"));
		return;
	case RECIPIENT_DEFERRED:
		add_deferred(q, r, to);
		return;
	case RECIPIENT_HELD:
		if (!recipient->is_dropped) {
			buf_add(to, S("held by the operator; posthouse queue release lets it go"));
			return;
		}
		buf_add(to, S("dropped; posthouse queue undo brings it back for another "));
		add_duration(to, recipient_due_ms(q, r) - loop_wall_ms());
		return;
	case RECIPIENT_BOUNCING:
		buf_add(to, S("its sender is being told"));
		return;
	case RECIPIENT_FAILED:
	case RECIPIENT_DELIVERED:
	case RECIPIENT_EXPANDED:
		return;
	}
}

/* ── the order ── */

static bool
is_id(struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (!char_is_digit(text.p[i]) &&
			(char_lower(text.p[i]) < 'a' || char_lower(text.p[i]) > 'f'))
			return false;
	return text.n >= ID_DIGITS_MIN && text.n < MAIL_ID_TEXT;
}

bool
why_begin(struct control *c)
{
	struct str what = buf_str(&c->what);
	struct history *history = story_history(c->queue);
	why_end(c);
	walk_begin(c);
	if (!is_id(what) && str_find(what, '@') == what.n) {
		control_refuse(c, "why needs an address, or four or more digits of an id; for a "
				  "domain: posthouse queue domain:NAME list");
		return false;
	}
	if (!is_id(what)) {
		history_find_address(&c->search, history, what);
		return true;
	}
	c->wanted_n = what.n / 2;
	must(codec_from_hex(str_part(what, 0, 2 * c->wanted_n), &c->wanted, c->wanted_n));
	if (what.n >= SEARCHED_DIGITS_MIN)
		history_find_mail(
			&c->search, history, (struct str){ (const char *)&c->wanted, c->wanted_n });
	else
		c->has_searched = true;
	return true;
}

static bool
id_begins(struct mail_id id, struct str digits)
{
	char text[MAIL_ID_TEXT];

	return str_starts_nocase(str_of(mail_id_text(id, text)), digits);
}

bool
why_wants_mail(const struct control *c, struct mail_id id)
{
	return memcmp(&id, &c->wanted, c->wanted_n) == 0 &&
	       (c->wanted_n == 0 || id_begins(id, buf_str(&c->what)));
}

bool
why_wants(const struct control *c, uint32_t r)
{
	struct str rest = buf_str(&c->what), local = recipient_local(c->queue, r), domain;

	if (c->wanted_n)
		return true; /* all of that mail */
	if (!str_starts_nocase(rest, local))
		return false;
	rest = str_from(rest, local.n);
	domain = recipient_domain(c->queue, r);
	return domain.n ? scan_char(&rest, '@') && str_eq_nocase(rest, domain) : rest.n == 0;
}

void
why_send_told(struct control *c, const struct history_event *e)
{
	c->told_n++;
	ipc_send_told(c->channel,
		&(struct ipc_told){ .fd = -1,
			.kind = (uint8_t)e->kind,
			.id = e->id,
			.at_ms = (uint64_t)e->at_ms,
			.due_ms = (uint64_t)e->due_ms,
			.number = e->number,
			.who = e->who,
			.how = e->how,
			.words = e->words,
			.recipients = e->recipients.n < IPC_TEXT_MAX / 4 ? e->recipients
									 : (struct str){ 0 },
			.steps = e->steps });
}

static bool
search_go_on(struct control *c)
{
	struct history_event e;

	while (ipc_waiting(c->channel) < CONTROL_WAITING_MOST && c->told_n < EVENTS_TOLD_MOST)
		switch (history_next(&c->search, &e)) {
		case HISTORY_EVENT:
			/* Half an octet of an id was not searched for. */
			if (c->search.is_address || id_begins(e.id, buf_str(&c->what)))
				why_send_told(c, &e);
			break;
		case HISTORY_LATER:
			return true;
		case HISTORY_END:
			c->has_searched = true;
			return true;
		}
	c->has_searched |= c->told_n >= EVENTS_TOLD_MOST;
	return true;
}

bool
why_go_on(struct control *c)
{
	return c->has_searched ? walk_go_on(c) : search_go_on(c);
}

void
why_end(struct control *c)
{
	history_search_end(&c->search);
	c->search = (struct history_search){ 0 };
	c->wanted_n = 0;
	c->told_n = 0;
	c->has_searched = false;
}
