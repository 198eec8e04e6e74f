/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"
#include "io/file.h"

/*
 * What is tried when. Recipients of one mail that go the same way make an errand; each destination
 * has a line of them and a number that may be under way at once.
 *
 *                    errand_try              schedule_outcome, schedule_stored
 *   schedule_add ─▶ waiting ─────────▶ under way ─┬─────────▶ delivered
 *                      ▲                          ├─────────▶ failed for good: bounce_begin
 *                      │ road_find, when due      │
 *                      └──────────────────── deferred (schedule_later)
 */

enum {
	STORE_UNDER_WAY_MOST = 256,
	INLINE_MAX = 24 * 1024, /* octets of a message that travel in the packet, beside up to 100
				   recipients; larger ones in a sealed memfd */
	PASSED_OVER_MOST = 100,
	TIMER_MOST_MS = 60000, /* the wall clock may be set meanwhile */
	LOCAL_RETRY_MS = 5000, /* something of ours failed, not the mail */
};

int64_t
schedule_delay_ms(int64_t first_ms, int64_t most_ms, uint32_t tries, uint64_t random)
{
	int64_t delay = first_ms;

	for (uint32_t i = 1; i < tries && delay < most_ms; i++)
		delay *= 2;
	if (delay > most_ms)
		delay = most_ms;
	return delay - delay / 5 + (int64_t)(random % (uint64_t)(delay * 2 / 5 + 1)); /* ± 20 % */
}

/* ── destinations ── */

static unsigned
under_way_most(const struct config *c, struct str route)
{
	if (route.n == 0)
		return STORE_UNDER_WAY_MOST;
	for (size_t i = 0; i < c->routes_n; i++)
		if (str_eq(c->routes[i].pattern, route))
			return c->routes[i].connections;
	return 0; /* the route was taken out: schedule_configured */
}

static struct destination *
destination_of(struct queue *q, struct str route)
{
	struct destination *d;
	char *p;

	list_each (at, &q->destinations) {
		d = list_of(at, struct destination, link);
		if (str_eq(d->route, route))
			return d;
	}
	d = calloc(1, sizeof *d);
	p = malloc(route.n + 1);
	must(d && p);
	if (route.n)
		memcpy(p, route.p, route.n);
	d->route = (struct str){ p, route.n };
	d->under_way_most = under_way_most(&q->role.config, route);
	list_init(&d->waiting);
	list_init(&d->under_way);
	list_append(&q->destinations, &d->link);
	return d;
}

static struct ipc *
destination_peer(const struct queue *q, const struct destination *d)
{
	return d->route.n ? q->send : q->store;
}

/* ── errands ── */

static struct errand *
errand_new(struct mail *mail, uint32_t most)
{
	struct errand *e = calloc(1, sizeof *e + most * sizeof e->recipients[0]);

	must(e);
	e->mail = mail;
	e->recipients_most = most;
	return e;
}

void
schedule_add(struct queue *q, struct mail *mail, uint32_t i, struct str route)
{
	struct destination *d = destination_of(q, route);
	struct errand *e =
		list_is_empty(&d->waiting) ? NULL : list_of(d->waiting.prev, struct errand, link);

	/* The recipients of a mail come one behind the other: only the last errand can be the same
	 * mail's. */
	if (!e || e->mail != mail || e->recipients_n == e->recipients_most) {
		uint32_t most = route.n == 0 ? 1
				: mail->recipients_n < ERRAND_RECIPIENTS_MAX
					? mail->recipients_n
					: ERRAND_RECIPIENTS_MAX;

		e = errand_new(mail, most);
		e->to = d;
		list_append(&d->waiting, &e->link);
	}
	e->recipients[e->recipients_n++] = i;
	mail->recipients[i].state = RECIPIENT_WAITING;
}

static void
timer_set(struct queue *q, int64_t in_ms)
{
	loop_timer_set(q->timer, in_ms < 0 ? 0 : in_ms > TIMER_MOST_MS ? TIMER_MOST_MS : in_ms);
}

void
schedule_wait(
	struct queue *q, struct mail *mail, const uint32_t *recipients, uint32_t n, int64_t due_ms)
{
	struct errand *e = errand_new(mail, n);

	for (uint32_t i = 0; i < n; i++) {
		e->recipients[e->recipients_n++] = recipients[i];
		mail->recipients[recipients[i]].state = RECIPIENT_WAITING;
	}
	e->due.due = due_ms;
	heap_put(&q->due, &e->due);
	if (heap_top(&q->due) == &e->due)
		timer_set(q, due_ms - loop_wall_ms());
}

void
schedule_later(struct queue *q, struct mail *mail, const uint32_t *recipients, uint32_t n)
{
	const struct config *c = &q->role.config;
	int64_t now_ms = loop_wall_ms(), due_ms;
	uint64_t random;

	hash_random(&random, sizeof random);
	for (uint32_t i = 0; i < n; i++)
		mail->recipients[recipients[i]].tries++;
	due_ms = now_ms + schedule_delay_ms(c->queue.retry_first_ms, c->queue.retry_most_ms,
				  mail->recipients[recipients[0]].tries, random);
	if (now_ms - mail->arrived_ms >= c->queue.expire_ms) {
		for (uint32_t i = 0; i < n; i++) {
			struct err *last = mail->recipients[recipients[i]].last;

			last->class =
				ERR_PERMANENT; /* the words stay: they are why nothing helped */
			if (last->kind != ERR_REMOTE)
				last->kind = ERR_EXPIRED;
		}
		bounce_begin(q, mail, recipients, n);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		recipient_deferred(q, mail, recipients[i], due_ms);
	schedule_wait(q, mail, recipients, n, due_ms);
}

/* Something of ours failed: the recipients are as they were, a little later; but not for ever. */
static void
errand_put_off(struct queue *q, struct errand *e, const struct err *why)
{
	struct mail *mail = e->mail;
	int64_t now_ms = loop_wall_ms();

	log_event("put-off", "why=%s", log_quote(str_of(why->text)));
	for (uint32_t i = 0; i < e->recipients_n; i++)
		recipient_note(&mail->recipients[e->recipients[i]], why, (struct str){ 0 });
	if (now_ms - mail->arrived_ms >= q->role.config.queue.expire_ms)
		schedule_later(q, mail, e->recipients, e->recipients_n);
	else
		schedule_wait(q, mail, e->recipients, e->recipients_n, now_ms + LOCAL_RETRY_MS);
	list_remove(&e->link);
	free(e);
	mail_check_settled(q, mail);
}

/* ── trying ── */

/* The big file of a mail into `to`; nothing of it is used when its octets are not those that were kept. */
static bool
copy_big(struct queue *q, int to, const struct spool_mail *m, struct err *e)
{
	int from = keeper_open_big(q->keeper, m->big, e);
	uint64_t left = m->big_size;
	uint32_t crc = 0;
	char octets[65536];
	ssize_t n = 0;

	if (from < 0)
		return false;
	while (left && (n = read(from, octets, left < sizeof octets ? left : sizeof octets)) > 0) {
		struct str part = { octets, (size_t)n };

		crc = hash_crc32c(crc, part);
		if (!file_write_all(to, part))
			break;
		left -= (uint64_t)n;
	}
	close(from);
	if (left)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL,
			"a big file of the spool cannot be read to its end");
	return crc == m->big_crc ||
	       err_set(e, ERR_PERMANENT, ERR_LOCAL, "the mail's big file in the spool is damaged");
}

/* The message as a sealed copy; -1 with e. */
static int
sealed_copy(struct queue *q, const struct spool_mail *m, struct err *e)
{
	int fd = memfd_create("mail", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && file_write_all(fd, m->prefix) &&
		(m->big ? copy_big(q, fd, m, e) : file_write_all(fd, m->message)) &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) ==
			0)
		return fd;
	if (!err_is(e))
		err_set_errno(e, "no memory for a copy of the mail");
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The message to hand over: in q->message, or as a descriptor when it is large. All errands of a mail that are under way share one copy. */
static bool
errand_message(struct queue *q, const struct errand *e, int *fd, struct err *why)
{
	struct mail *mail = e->mail;
	struct spool_mail m;

	*fd = -1;
	buf_reset(&q->message);
	if (mail->copies_n == 0) {
		if (!keeper_read(q->keeper, mail->segment, mail->at, &q->scratch, &m, why))
			return false;
		if (!m.big && m.prefix.n + m.message.n <= INLINE_MAX) {
			buf_add(&q->message, m.prefix);
			buf_add(&q->message, m.message);
			return true;
		}
		mail->copy_fd = sealed_copy(q, &m, why);
		if (mail->copy_fd < 0)
			return false;
		q->copied += mail->size;
	}
	mail->copies_n++;
	*fd = mail->copy_fd;
	return true;
}

/* An errand is not under way any more. */
static void
copy_drop(struct queue *q, struct mail *mail)
{
	if (mail->copies_n == 0 || --mail->copies_n)
		return;
	close(mail->copy_fd);
	q->copied -= mail->size;
}

/* Is there room for the message of the next errand in line? Small ones need none, and one alone may always go. */
static bool
copy_has_room(const struct queue *q, const struct errand *e)
{
	return e->mail->size <= INLINE_MAX || e->mail->copies_n || q->copied == 0 ||
	       q->copied + e->mail->size <= q->role.config.limits.memory;
}

static void
send_attempt(struct queue *q, struct errand *e, int fd)
{
	struct buf recipients = { .max = IPC_TEXT_MAX };

	for (uint32_t i = 0; i < e->recipients_n; i++)
		codec_add_str(&recipients, e->mail->recipients[e->recipients[i]].address);
	ipc_send_attempt(q->send, &(struct ipc_attempt){ .fd = fd,
					  .attempt = e->number,
					  .flags = e->mail->flags,
					  .route = e->to->route,
					  .reverse_path = e->mail->reverse_path,
					  .recipients = buf_str(&recipients),
					  .message = buf_str(&q->message) });
	buf_free(&recipients);
}

static void
send_delivery(struct queue *q, struct errand *e, int fd)
{
	const struct recipient *r = &e->mail->recipients[e->recipients[0]];
	struct str user, domain;

	str_cut(r->mailbox, '@', &user, &domain);
	ipc_send_deliver(q->store, &(struct ipc_deliver){ .fd = fd,
					   .attempt = e->number,
					   .id = e->mail->id,
					   .arrived_ms = (uint64_t)e->mail->arrived_ms,
					   .recipient = e->recipients[0],
					   .again = e->mail->is_old || r->tries > 0,
					   .mailbox = user,
					   .domain = domain,
					   .reverse_path = e->mail->reverse_path,
					   .delivered_to = r->address,
					   .message = buf_str(&q->message) });
}

/* The mail's record is damaged: no later try will read it. Its sender hears of it. */
static void
errand_lose(struct queue *q, struct errand *e, const struct err *why)
{
	struct mail *mail = e->mail;

	for (uint32_t i = 0; i < e->recipients_n; i++)
		recipient_note(&mail->recipients[e->recipients[i]], why, (struct str){ 0 });
	list_remove(&e->link);
	bounce_begin(q, mail, e->recipients, e->recipients_n);
	free(e);
	mail_check_settled(q, mail);
}

static void
errand_try(struct queue *q, struct errand *e)
{
	struct destination *d = e->to;
	struct err why = { 0 };
	int fd;

	if (!errand_message(q, e, &fd, &why)) {
		if (why.class == ERR_PERMANENT)
			errand_lose(q, e, &why);
		else
			errand_put_off(q, e, &why);
		return;
	}
	list_remove(&e->link);
	list_append(&d->under_way, &e->link);
	d->under_way_n++;
	e->number = ++q->numbers;
	map_put(&q->attempts, e);
	if (d->route.n)
		send_attempt(q, e, fd);
	else
		send_delivery(q, e, fd);
}

/* Deferred recipients whose time has come look for their road anew: routes and aliases may have
 * changed. */
static void
wake_due(struct queue *q)
{
	int64_t now_ms = loop_wall_ms();
	struct heap_link *top;

	while ((top = heap_top(&q->due)) && top->due <= now_ms) {
		struct errand *e = list_of(top, struct errand, due);
		struct mail *mail = e->mail;

		heap_remove(&q->due, top);
		for (uint32_t i = 0; i < e->recipients_n; i++)
			road_find(q, mail, e->recipients[i]);
		free(e);
		mail_check_settled(q, mail);
	}
	if (top)
		timer_set(q, top->due - now_ms);
}

void
schedule_go(struct queue *q)
{
	if (q->is_draining || !q->keeper)
		return;
	wake_due(q);
	list_each (at, &q->destinations) {
		struct destination *d = list_of(at, struct destination, link);

		unsigned passed_over = 0;

		list_each_safe (line, &d->waiting) {
			struct errand *e = list_of(line, struct errand, link);

			if (!destination_peer(q, d) || d->under_way_n >= d->under_way_most ||
				passed_over == PASSED_OVER_MOST)
				break;
			if (copy_has_room(q, e))
				errand_try(q, e);
			else
				passed_over++; /* a large one waits for its turn, those behind it do not */
		}
	}
}

/* ── what came of it ── */

static struct errand *
errand_finish(struct queue *q, uint64_t number)
{
	struct errand *e =
		map_remove(&q->attempts, (struct str){ (const char *)&number, sizeof number });

	if (!e)
		return NULL; /* given up when its peer was lost */
	list_remove(&e->link);
	e->to->under_way_n--;
	copy_drop(q, e->mail);
	return e;
}

/* One err a recipient, in the errand's order. Takes the errand. */
static void
errand_settle_take(struct queue *q, struct errand *e, const struct err *outcomes, struct str host)
{
	uint32_t later[ERRAND_RECIPIENTS_MAX], failed[ERRAND_RECIPIENTS_MAX], later_n = 0,
									      failed_n = 0;
	struct mail *mail = e->mail;

	for (uint32_t i = 0; i < e->recipients_n; i++) {
		uint32_t r = e->recipients[i];

		if (!err_is(&outcomes[i])) {
			recipient_delivered(q, mail, r, host, &outcomes[i]);
			continue;
		}
		recipient_note(&mail->recipients[r], &outcomes[i], host);
		if (outcomes[i].class == ERR_PERMANENT)
			failed[failed_n++] = r;
		else
			later[later_n++] = r;
	}
	free(e);
	if (later_n)
		schedule_later(q, mail, later, later_n);
	if (failed_n)
		bounce_begin(q, mail, failed, failed_n);
	mail_check_settled(q, mail);
	schedule_go(q);
	queue_check_drained(q);
}

void
schedule_outcome(struct queue *q, struct ipc_outcome *m)
{
	struct errand *e = errand_finish(q, m->attempt);
	struct err outcomes[ERRAND_RECIPIENTS_MAX];
	struct str rest = m->outcomes;
	uint8_t stage;

	if (!e)
		return;
	for (uint32_t i = 0; i < e->recipients_n; i++)
		if (!codec_scan_u8(&rest, &stage) || !codec_scan_err(&rest, &outcomes[i]))
			err_set(&outcomes[i], ERR_TEMPORARY, ERR_LOCAL,
				"the attempt ended without a word");
	errand_settle_take(q, e, outcomes, m->host);
}

void
schedule_stored(struct queue *q, struct ipc_stored *m)
{
	struct errand *e = errand_finish(q, m->attempt);
	struct str rest = m->outcome;
	struct err outcome;

	if (!e)
		return;
	if (!codec_scan_err(&rest, &outcome))
		err_set(&outcome, ERR_TEMPORARY, ERR_LOCAL, "the delivery ended without a word");
	errand_settle_take(q, e, &outcome, S("mailbox"));
}

void
schedule_peer_lost(struct queue *q, bool is_store)
{
	struct err why;

	err_set(&why, ERR_TEMPORARY, ERR_LOCAL, "the %s process was restarted during the attempt",
		is_store ? "store" : "send");
	list_each (at, &q->destinations) {
		struct destination *d = list_of(at, struct destination, link);

		if ((d->route.n == 0) != is_store)
			continue;
		while (!list_is_empty(&d->under_way)) {
			struct errand *e = errand_finish(
				q, list_of(d->under_way.next, struct errand, link)->number);

			e->mail->is_old = true;
			errand_put_off(q, e, &why);
		}
	}
	schedule_go(q);
}

/* Routes may have come, gone, or changed their number of connections. */
void
schedule_configured(struct queue *q)
{
	list_each (at, &q->destinations) {
		struct destination *d = list_of(at, struct destination, link);
		struct err why;

		d->under_way_most = under_way_most(&q->role.config, d->route);
		err_set(&why, ERR_TEMPORARY, ERR_LOCAL,
			"the route was taken out of the configuration");
		while (d->under_way_most == 0 && !list_is_empty(&d->waiting))
			errand_put_off(q, list_of(d->waiting.next, struct errand, link), &why);
	}
}

bool
schedule_is_idle(const struct queue *q)
{
	return q->attempts.used == 0;
}
