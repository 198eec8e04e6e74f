/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/hash.h"
#include "base/must.h"

/*
 * The index: what the queue knows of a million recipients in little more than a hundred octets each.
 *
 *   mail       56   envelope, place in the log          ┐ entries of pools, named by 32 bits
 *   recipient  44   what became of it, where it waits   ┘
 *   by_id       8   a hash table of those names, at most three quarters full
 *   locals          the local part, one octet, padding: about 12
 *   texts           domains, senders, hosts, peers' words: each once, whoever shares it
 *
 * bench/index measures the sum.
 */

static struct str
id_key(const void *of, uint32_t name)
{
	const struct mail *m = mail_of(of, name);

	return (struct str){ (const char *)&m->id, sizeof m->id };
}

static struct str
more_key(const void *member)
{
	const struct mail_more *m = member;

	return (struct str){ (const char *)&m->mail, sizeof m->mail };
}

void
index_begin(struct queue *q)
{
	q->mails.entry = sizeof(struct mail);
	q->recipients.entry = sizeof(struct recipient);
	q->chains.entry = sizeof(struct chain *);
	q->by_id.key_of = id_key;
	q->by_id.of = q;
	q->more.key_of = more_key;
	q->packed.max = 2 * TEXTS_MAX;
}

/* ── reading ── */

uint32_t
index_find(const struct queue *q, struct mail_id id)
{
	return refs_get(&q->by_id, (struct str){ (const char *)&id, sizeof id });
}

uint32_t
index_next(const struct queue *q, uint32_t *cursor)
{
	while (*cursor < q->mails.used)
		if (mail_of(q, ++*cursor)->is_live)
			return *cursor;
	return 0;
}

uint32_t
recipient_next(const struct queue *q, uint32_t mail, uint32_t r)
{
	uint32_t last = mail_of(q, mail)->recipients;

	if (r == last)
		return 0;
	return recipient_of(q, r ? r : last)->sibling;
}

struct str
mail_sender(const struct queue *q, uint32_t mail)
{
	return intern_at(&q->texts, mail_of(q, mail)->sender);
}

struct str
recipient_local(const struct queue *q, uint32_t r)
{
	return texts_at(&q->locals, recipient_of(q, r)->local);
}

struct str
recipient_domain(const struct queue *q, uint32_t r)
{
	return intern_at(&q->texts, recipient_of(q, r)->domain);
}

void
recipient_address(const struct queue *q, uint32_t r, struct buf *to)
{
	buf_add(to, recipient_local(q, r));
	if (recipient_of(q, r)->domain) {
		buf_add_char(to, '@');
		buf_add(to, recipient_domain(q, r));
	}
}

/* `last`: a packed err, then the host to the end. */
static bool
unpack_last(const struct queue *q, uint32_t last, struct err *e, struct str *host)
{
	*host = intern_at(&q->texts, last);
	return last && codec_scan_err(host, e);
}

static bool
waits_for_down_host(const struct queue *q, uint32_t r)
{
	const struct recipient *p = recipient_of(q, r);
	const struct queue_destination *d;

	if (p->state != RECIPIENT_IN_LINE)
		return false;
	d = recipient_destination(q, r);
	return d && d->fair.pace.down_n;
}

bool
recipient_last(const struct queue *q, uint32_t r, struct err *e, struct str *host)
{
	if (waits_for_down_host(q, r) && destination_last(q, recipient_destination(q, r), e, host))
		return true;
	return unpack_last(q, recipient_of(q, r)->last, e, host);
}

bool
destination_last(
	const struct queue *q, const struct queue_destination *d, struct err *e, struct str *host)
{
	return unpack_last(q, d->last, e, host);
}

struct queue_destination *
recipient_destination(const struct queue *q, uint32_t r)
{
	const struct recipient *p = recipient_of(q, r);
	struct chain *c;

	if (p->state != RECIPIENT_IN_LINE)
		return NULL;
	memcpy(&c, pool_at(&q->chains, p->line), sizeof(struct chain *));
	return (struct queue_destination *)list_of(c, struct line, waiting)->to;
}

int64_t
recipient_due_ms(const struct queue *q, uint32_t r)
{
	const struct recipient *p = recipient_of(q, r);

	if (p->state == RECIPIENT_DEFERRED || (p->state == RECIPIENT_HELD && p->is_dropped))
		return q->epoch_ms + (int64_t)p->due * WHEEL_TICK_MS;
	return 0;
}

/* ── writing ── */

uint32_t
index_add_mail(struct queue *q, const struct mail *m)
{
	uint32_t mail = pool_take(&q->mails);

	*mail_of(q, mail) = *m;
	mail_of(q, mail)->is_live = true;
	refs_put(&q->by_id, mail);
	return mail;
}

struct mail_more *
mail_more(struct queue *q, uint32_t mail)
{
	struct mail_more *more =
		map_get(&q->more, (struct str){ (const char *)&mail, sizeof mail });

	if (more)
		return more;
	more = calloc(1, sizeof *more);
	must(more);
	*more = (struct mail_more){ .mail = mail, .copy_fd = -1, .families.max = SIZE_MAX };
	map_put(&q->more, more);
	mail_of(q, mail)->has_more = true;
	return more;
}

static void
drop_recipient(struct queue *q, uint32_t r)
{
	struct recipient *p = recipient_of(q, r);

	texts_drop(&q->locals, p->local);
	intern_drop(&q->texts, p->domain);
	intern_drop(&q->texts, p->last);
	pool_give(&q->recipients, r);
}

void
index_drop_mail(struct queue *q, uint32_t mail)
{
	struct mail *m = mail_of(q, mail);
	uint32_t r = recipient_next(q, mail, 0);

	for (uint32_t n = m->recipients_n; n; n--) {
		uint32_t next = recipient_of(q, r)->sibling;

		drop_recipient(q, r);
		r = next;
	}
	if (m->has_more) {
		buf_free(&mail_more(q, mail)->families);
		free(map_remove(&q->more, (struct str){ (const char *)&mail, sizeof mail }));
	}
	intern_drop(&q->texts, m->sender);
	intern_drop(&q->texts, m->payer);
	refs_remove(&q->by_id, (struct str){ (const char *)&m->id, sizeof m->id });
	pool_give(&q->mails, mail);
}

void
recipient_set_address(struct queue *q, uint32_t r, struct str address)
{
	struct recipient *p = recipient_of(q, r);
	size_t at = address.n;

	while (at > 0 && address.p[at - 1] != '@')
		at--;
	texts_drop(&q->locals, p->local);
	intern_drop(&q->texts, p->domain);
	p->local = texts_add(&q->locals, at ? str_part(address, 0, at - 1) : address);
	p->domain = at ? intern_add(&q->texts, str_from(address, at)) : 0;
}

uint32_t
index_add_recipient(struct queue *q, uint32_t mail, struct str address, bool is_child)
{
	struct mail *m = mail_of(q, mail);
	uint32_t r = pool_take(&q->recipients);
	struct recipient *p = recipient_of(q, r);

	p->mail = mail;
	p->place = m->recipients_n & 0xFFFFF;
	p->is_child = is_child;
	p->sibling = r;
	if (m->recipients) {
		p->sibling = recipient_of(q, m->recipients)->sibling;
		recipient_of(q, m->recipients)->sibling = r;
	}
	m->recipients = r;
	m->recipients_n = (m->recipients_n + 1) & 0xFFFFF;
	m->open_n++;
	q->open_n++;
	recipient_set_address(q, r, address);
	return r;
}

void
recipient_note(struct queue *q, uint32_t r, const struct err *why, struct str host)
{
	struct recipient *p = recipient_of(q, r);
	uint32_t last;

	buf_reset(&q->packed);
	codec_add_err(&q->packed, why);
	buf_add(&q->packed, host);
	last = intern_add(&q->texts, buf_str(&q->packed));
	intern_drop(&q->texts, p->last);
	p->last = last;
}

void
recipient_set_state(struct queue *q, uint32_t r, enum recipient_state state)
{
	recipient_of(q, r)->state = (uint32_t)state & 15;
}

/* ── chains ── */

uint32_t
chain_name(struct queue *q, struct chain *c)
{
	uint32_t name = pool_take(&q->chains);

	memcpy(pool_at(&q->chains, name), &c, sizeof(struct chain *));
	return name;
}

void
chain_append(struct queue *q, struct chain *c, uint32_t r)
{
	struct recipient *p = recipient_of(q, r);

	p->prev = c->last;
	p->next = 0;
	if (c->last)
		recipient_of(q, c->last)->next = r;
	else
		c->first = r;
	c->last = r;
	c->n++;
}

void
chain_remove(struct queue *q, struct chain *c, uint32_t r)
{
	struct recipient *p = recipient_of(q, r);

	if (p->prev)
		recipient_of(q, p->prev)->next = p->next;
	else
		c->first = p->next;
	if (p->next)
		recipient_of(q, p->next)->prev = p->prev;
	else
		c->last = p->prev;
	p->next = p->prev = 0;
	c->n--;
}
