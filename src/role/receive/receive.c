/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/filter.h"
#include "role/receive/gate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

/*
 * Receiving: from a connection to a record in the log. session_run below is the table of contents;
 * the protocol is smtp/server.c, the decisions are admit.c, the log is spool/spool.c.
 *
 * Between the final dot and 250 a session waits for its own disk only. The queue is told how far
 * the log is durable, and nothing else.
 *
 * A segment belongs to this process until it says `filled`, `broken`, or, on the first message to a
 * new queue, `holding`: only then may the queue seal it. So a queue that dies never costs a mail,
 * and nobody here needs to wait while it is away.
 */

enum {
	SCRATCH_SIZE = 64 * 1024,
	ACCEPTS_A_TURN = 64,
	TICK_MS = 1000,
	FD_RESERVE = 64,
	ENVELOPE_REST =
		16 * 1024, /* octets of an envelope for all but recipients and their wishes */
	FIRST_SEGMENT_MS = 5000,
	SEGMENT_MOST_MS = 10000, /* how long a mail waits for a segment to be written to */
};

struct door {
	struct list link;
	struct receive *house;
	struct loop_watch *watch;
	int fd;
	unsigned kind; /* enum config_door, DOOR_SUBMIT */
	unsigned listen; /* which of config.listens; they stay the same over reloads */
};

struct broken_segment {
	struct list link;
	uint64_t number, durable;
};

static enum turn session_flush_and_listen(struct session *s);
static enum turn session_take_body(struct session *s);
static enum turn session_commit(struct session *s);
static enum turn session_forget_mail(struct session *s);
static void session_free(struct session **s);
static void session_read_proxy(struct session *s);
static void open_doors(struct receive *r);

/* For an answer: nothing that its client says is looked at before. */
static bool
session_waits(const struct session *s)
{
	return s->ask.state == ASK_WAITING || filter_is_asking(s);
}

void
session_run(struct session *s)
{
	enum turn step = NEXT;

	if (s->is_running)
		return;
	s->is_running = true;
	while (step == NEXT)
		switch (smtp_server_next(&s->smtp)) {
		case SMTP_WANT_INPUT:
			step = session_flush_and_listen(s);
			break;
		case SMTP_WANT_FLUSH:
			step = session_flush(s);
			break;
		case SMTP_ON_CONNECT:
			step = admit_client(s);
			break;
		case SMTP_ON_HELLO:
			step = admit_hello(s);
			break;
		case SMTP_ON_STARTTLS:
			step = admit_tls(s);
			break;
		case SMTP_WANT_TLS:
			step = session_secure(s);
			break;
		case SMTP_ON_XCLIENT:
			step = admit_other(s);
			break;
		case SMTP_ON_AUTH:
			step = admit_login(s);
			break;
		case SMTP_ON_MAIL:
			step = admit_sender(s);
			break;
		case SMTP_ON_RCPT:
			step = admit_recipient(s);
			break;
		case SMTP_ON_DATA:
			step = admit_message(s);
			break;
		case SMTP_ON_BODY:
			step = session_take_body(s);
			break;
		case SMTP_ON_END:
			step = session_commit(s);
			break;
		case SMTP_ON_RESET:
			step = session_forget_mail(s);
			break;
		case SMTP_ON_VRFY:
			step = admit_verify(s);
			break;
		case SMTP_ON_EXPN:
			step = admit_expand(s);
			break;
		case SMTP_WANT_CLOSE:
			s->is_over = true;
			step = session_flush_and_listen(s);
			break;
		}
	s->is_running = false;
	if (step == DONE)
		session_free(&s);
	else if (session_waits(s))
		smtp_server_park(
			&s->smtp); /* what was read with this turn's scratch must outlive it */
}

/* Everything said goes out in one write. */
enum turn
session_flush(struct session *s)
{
	struct str out = smtp_server_output(&s->smtp);

	while (out.n) {
		ssize_t n = stream_write(&s->stream, out);

		if (n < 0 && errno != EAGAIN)
			return DONE;
		if (n < 0) {
			s->is_blocked = true;
			loop_watch_set(s->watch, stream_wants(&s->stream));
			return WAIT;
		}
		smtp_server_sent(&s->smtp, (size_t)n);
		out = smtp_server_output(&s->smtp);
	}
	return s->is_over ? DONE : NEXT;
}

static enum turn
session_flush_and_listen(struct session *s)
{
	enum turn step;
	struct err e;

	if (!s->is_over && gate_has_enough(s, &e)) {
		smtp_server_stop(&s->smtp, &e);
		return NEXT;
	}
	gate_heard(s);
	step = session_flush(s);
	if (step != NEXT)
		return step;
	loop_watch_set(s->watch, LOOP_READ);
	return WAIT;
}

static enum turn
session_take_body(struct session *s)
{
	struct err e = { 0 };

	header_watch_feed(&s->header, s->smtp.body);
	if (s->filters ? !filter_append(s, s->smtp.body, &e)
		       : !draft_append(s->draft, s->smtp.body, &e))
		smtp_server_fail_body(&s->smtp, &e);
	return NEXT;
}

/* An address for a log line. */
static const char *
session_quote(struct address a)
{
	struct buf text = { .max = 2 * ADDRESS_PATH_MAX };
	const char *quoted;

	address_add(&text, a);
	quoted = log_quote(buf_str(&text));
	buf_free(&text);
	return quoted;
}

void
session_log_refusal(const struct session *s, const struct err *e)
{
	log_event("refused", "client=%s login=%s from=%s to=%s why=%s", s->client,
		log_quote(buf_str(&s->login)), session_quote(s->smtp.transaction.reverse_path),
		session_quote(s->smtp.recipient), log_quote(str_of(e->text)));
}

static enum turn
session_refuse_mail(struct session *s, const struct err *e)
{
	session_log_refusal(s, e);
	draft_discard(&s->draft);
	smtp_server_answer(&s->smtp, e);
	return NEXT;
}

static uint32_t
envelope_flags(const struct session *s)
{
	const struct smtp_transaction *t = &s->smtp.transaction;

	return (t->smtputf8 ? SPOOL_SMTPUTF8 : 0u) | (t->has_8bit ? SPOOL_8BIT : 0u) |
	       (t->has_nul || t->has_long_line ? SPOOL_NEEDS_CHUNKING : 0u) |
	       (s->is_trusted || s->is_local ? SPOOL_TRUSTED : 0u) |
	       (t->returns == SMTP_RETURN_FULL ? SPOOL_RET_FULL : 0u) |
	       (t->returns == SMTP_RETURN_HDRS ? SPOOL_RET_HDRS : 0u);
}

static void
session_submit(struct session *s, const struct header_facts *facts)
{
	struct buf from = { .max = 2 * ADDRESS_PATH_MAX }, prefix = { .max = SPOOL_PREFIX_MAX };
	int64_t now_ms = loop_wall_ms();
	struct spool_envelope envelope;

	if (!s->filters) /* else they know it already */
		s->id = mail_id_random();
	address_add(&from, s->smtp.transaction.reverse_path);
	trace_add(&prefix, s, facts, now_ms);
	must(!prefix.overflow && !from.overflow);
	envelope = (struct spool_envelope){ .id = s->id,
		.arrived_ms = now_ms,
		.flags = envelope_flags(s),
		.reverse_path = buf_str(&from),
		.client = str_of(s->client),
		.login = buf_str(&s->login),
		.token = buf_str(&s->token),
		.recipients = buf_str(&s->recipients),
		.recipients_n = s->recipients_n,
		.envid = s->smtp.transaction.envelope_id,
		.dsn = s->has_dsn ? buf_str(&s->dsn) : S(""),
		.hold_until_ms = s->smtp.transaction.hold_until_s * 1000 };
	if (s->filters)
		filter_amend_envelope(s, &envelope);
	draft_commit_take(&s->draft, &envelope, buf_str(&prefix), s);
	s->ask.state = ASK_WAITING; /* for the disk */
	s->ask.since_ms = loop_now_ms(s->house->role.loop);
	buf_free(&from);
	buf_free(&prefix);
}

static void
forget_envelope(struct session *s)
{
	filter_forget(s);
	buf_free(&s->recipients);
	s->recipients_n = 0;
	buf_free(&s->dsn);
	s->has_dsn = false;
	s->message_ms = 0;
}

static void
session_say_kept(struct session *s)
{
	char id[MAIL_ID_TEXT], words[64];

	snprintf(words, sizeof words, "kept as %s", mail_id_text(s->id, id));
	smtp_server_accept(&s->smtp, 250, str_of(words));
	ask_clear(&s->ask);
	forget_envelope(s);
}

/* A filter wants it to vanish, and nobody to know: the words are those of a yes. */
static enum turn
session_discard(struct session *s)
{
	char id[MAIL_ID_TEXT];

	log_event("discarded", "id=%s from=%s client=%s login=%s", mail_id_text(s->id, id),
		session_quote(s->smtp.transaction.reverse_path), s->client,
		log_quote(buf_str(&s->login)));
	draft_discard(&s->draft);
	session_say_kept(s);
	return NEXT;
}

/* The filters have the whole message. Yes leaves the draft to be committed. */
static enum turn
session_filter(struct session *s, struct header_facts *facts)
{
	struct err e = { 0 };

	if (filter_message(s, facts, &e) == WAIT)
		return WAIT;
	if (err_is(&e))
		return session_refuse_mail(s, &e);
	if (filter_discards(s))
		return session_discard(s);
	facts->has_date = facts->has_message_id = facts->begins_with_field = true; /* filter_split */
	session_submit(s, facts);
	return WAIT;
}

/* The final dot: law 1. The yes is said here and nowhere else, and only after session_settled has
 * stored it. */
static enum turn
session_commit(struct session *s)
{
	struct header_facts facts;
	struct err e;
	char id[MAIL_ID_TEXT];

	if (s->ask.state == ASK_NONE) {
		facts = s->header.facts;
		facts.begins_with_field |= s->smtp.transaction.size == 0;
		if (facts.received > SMTP_HOPS_MAX) {
			err_set(&e, ERR_PERMANENT, ERR_LOOP,
				"this mail has passed more than %d hosts: it goes round in circles",
				SMTP_HOPS_MAX);
			return session_refuse_mail(s, &e);
		}
		if (s->filters)
			return session_filter(s, &facts);
		session_submit(s, &facts);
		return WAIT;
	}
	if (s->ask.state == ASK_FAILED) {
		e = s->ask.err;
		ask_clear(&s->ask);
		return session_refuse_mail(s, &e);
	}
	log_event("kept", "id=%s from=%s recipients=%u octets=%llu client=%s login=%s",
		mail_id_text(s->id, id), session_quote(s->smtp.transaction.reverse_path),
		s->recipients_n, (unsigned long long)s->smtp.transaction.size, s->client,
		log_quote(buf_str(&s->login)));
	judge_kept(s);
	session_say_kept(s);
	return NEXT;
}

static enum turn
session_forget_mail(struct session *s)
{
	draft_discard(&s->draft);
	forget_envelope(s);
	return NEXT;
}

static void
session_ready(void *owner, int events)
{
	static char scratch[SCRATCH_SIZE];
	struct session *s = owner;
	ssize_t n;

	if (session_waits(s)) { /* it says more before it has our answer: later */
		loop_watch_set(s->watch, 0);
		return;
	}
	(void)events;
	if (s->awaits_proxy) {
		session_read_proxy(s);
		return;
	}
	if (s->is_blocked) {
		s->is_blocked = false;
		session_run(s);
		return;
	}
	n = stream_read(&s->stream, scratch, sizeof scratch);
	if (n < 0 && errno == EAGAIN) {
		loop_watch_set(s->watch, stream_wants(&s->stream));
		return;
	}
	if (n <= 0) { /* a bare end of the connection never ends a mail */
		session_free(&s);
		return;
	}
	list_remove(&s->link);
	list_append(&s->house->sessions, &s->link);
	s->smtp.now_s = loop_wall_ms() / 1000;
	smtp_server_feed(&s->smtp, (struct str){ scratch, (size_t)n });
	session_run(s);
}

static void
terms_drop(struct terms *t)
{
	if (--t->users == 0)
		free(t);
}

static void
session_free(struct session **session)
{
	struct session *s = *session;

	*session = NULL;
	if (s->ask.state == ASK_WAITING && s->ask.number == 0)
		draft_forget(s->house->writer, s);
	gate_leave(s);
	draft_discard(&s->draft);
	list_remove(&s->link);
	list_remove(&s->late_shake);
	s->house->sessions_n--;
	loop_watch_close(&s->watch);
	stream_close(&s->stream);
	smtp_server_free(&s->smtp);
	ask_clear(&s->ask);
	buf_free(&s->login);
	buf_free(&s->token);
	forget_envelope(s);
	filter_close(s);
	terms_drop(s->terms);
	if (s->house->is_draining && s->house->sessions_n == 0)
		role_exit(&s->house->role, 0);
	free(s);
}

/* ── connections ── */

static bool
is_loopback(const struct sockaddr *a)
{
	const struct config_networks loopback = { (struct config_network[]){
							  { AF_INET, { 127 }, 8 },
							  { AF_INET6, { [15] = 1 }, 128 } },
		2 };

	return config_networks_have(&loopback, a);
}

void
session_know_client(struct session *s, const struct sockaddr_storage *peer)
{
	const struct config *c = &s->house->role.config;
	const struct sockaddr *a = (const struct sockaddr *)peer;
	struct ucred who = { 0 };
	socklen_t n = sizeof who;

	if (s->is_local) {
		getsockopt(s->stream.fd, SOL_SOCKET, SO_PEERCRED, &who, &n);
		snprintf(s->client, sizeof s->client, "uid %u", (unsigned)who.uid);
		return;
	}
	manners_read_address(a, &s->at);
	inet_ntop(s->at.family, s->at.address, s->client, sizeof s->client);
	s->client_port = ntohs(((const struct sockaddr_in *)(const void *)peer)->sin_port); /* IPv6: the same place */
	s->is_trusted = config_networks_have(&c->trusted, a);
	s->is_refused = config_networks_have(&c->refuse, a);
	s->is_loopback = is_loopback(a);
}

/* What the file says of the door; NULL: nothing, it is our own. */
static const struct config_listen *
door_options(const struct door *d)
{
	return d->kind == DOOR_SUBMIT ? NULL : &d->house->role.config.listens[d->listen];
}

static bool
offers_auth(const struct session *s)
{
	if (s->smtp.is_secure)
		return true;
	switch (s->house->role.config.smtp.auth_in_clear) {
	case CONFIG_CLEAR_NEVER:
		return false;
	case CONFIG_CLEAR_LOOPBACK:
		return s->is_loopback;
	case CONFIG_CLEAR_ALWAYS:
		return !s->is_local;
	}
	return false;
}

void
session_know_rights(struct session *s)
{
	s->smtp.offers_auth = offers_auth(s);
	s->smtp.offers_starttls = s->has_tls && s->house->tls;
	s->smtp.offers_xclient = s->may_speak_for;
	if (s->is_submission || s->is_local || s->is_trusted)
		admit_holds(s);
	s->smtp.repairs_line_ends = s->is_trusted && s->house->role.config.smtp.repair_line_ends;
}

void
session_forget_login(struct session *s)
{
	buf_free(&s->login);
	buf_free(&s->token);
}

/* Whose connection it is is known: from its own address, or from what a proxy says. */
static void
session_welcome(struct session *s)
{
	const struct config *c = &s->house->role.config;
	struct sockaddr_storage client;

	manners_make_socket(&s->at, &client);
	s->may_speak_for = !s->is_local && config_networks_have(&c->listens[s->listen].xclient,
						   (const struct sockaddr *)&client);
	session_know_rights(s);
	gate_enter(s);
	if (s->smtp.begins_with_tls && s->unwelcome) { /* no words would be understood */
		log_event("turned-away", "client=%s why=%s", s->client, log_quote(str_of(s->unwelcome)));
		session_free(&s);
		return;
	}
	session_run(s);
}

static void
session_read_proxy(struct session *s)
{
	switch (behalf_proxy(s)) {
	case NEXT:
		s->heard_ms = loop_now_ms(s->house->role.loop);
		session_welcome(s);
		break;
	case WAIT:
		loop_watch_set(s->watch, LOOP_READ);
		break;
	case DONE:
		session_free(&s);
		break;
	}
}

static void
session_begin(struct door *d, int fd, const struct sockaddr_storage *peer)
{
	const struct config_listen *options = door_options(d);
	struct session *s = calloc(1, sizeof *s);
	int on = 1;

	must(s);
	*s = (struct session){ .house = d->house,
		.terms = d->house->terms,
		.is_submission = d->kind == CONFIG_SUBMISSION || d->kind == CONFIG_SUBMISSIONS,
		.is_local = d->kind == DOOR_SUBMIT,
		.has_tls = options && !options->has_no_tls,
		.awaits_proxy = options && config_networks_have(&options->proxy, (const struct sockaddr *)peer),
		.listen = d->listen,
		.heard_ms = loop_now_ms(d->house->role.loop),
		.login.max = 512,
		.token.max = 4096,
		.recipients.max = SPOOL_ENVELOPE_MAX / 2,
		.dsn.max = SPOOL_ENVELOPE_MAX / 2 - ENVELOPE_REST };
	s->terms->users++;
	ask_clear(&s->ask);
	stream_open(&s->stream, fd);
	session_know_client(s, peer);
	if (!s->is_local)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	smtp_server_begin(&s->smtp, &s->terms->smtp);
	s->smtp.begins_with_tls = d->kind == CONFIG_SUBMISSIONS;
	s->watch = loop_watch_open(s->house->role.loop, fd, session_ready, s);
	s->house->sessions_n++;
	list_append(&s->house->sessions, &s->link);
	if (s->awaits_proxy)
		session_read_proxy(s);
	else
		session_welcome(s);
}

/* No room for a session: the client is told so at once, not left hanging. */
static void
turn_away(int fd)
{
	struct str words = S("421 4.3.2 too many connections, please try again later\r\n");

	if (send(fd, words.p, words.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_event("turn-away", "errno=%d", errno);
	close(fd);
}

static void
door_ready(void *owner, int events)
{
	struct door *d = owner;

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t n = sizeof peer;
		int fd = accept4(d->fd, (struct sockaddr *)&peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= d->house->fd_most) {
			turn_away(fd);
		} else if (fd >= 0) {
			session_begin(d, fd, &peer);
		} else {
			if (errno !=
				EAGAIN) { /* the machine is out of descriptors or memory: look again at the next tick */
				d->house->are_doors_open = false;
				loop_watch_set(d->watch, 0);
			}
			return;
		}
	}
}

static void
receive_listener(void *owner, unsigned kind, unsigned listen, int fd)
{
	struct receive *r = owner;
	struct door *d = calloc(1, sizeof *d);

	must(d);
	*d = (struct door){ .house = r, .fd = fd, .kind = kind, .listen = listen };
	d->watch = loop_watch_open(r->role.loop, fd, door_ready, d);
	list_append(&r->doors, &d->link);
}

/* ── the disk's side ── */

static void
session_settled(void *owner, void *session, const struct err *e)
{
	struct session *s = session;

	(void)owner;
	must(s->ask.state == ASK_WAITING && s->ask.number == 0);
	s->ask.state = e ? ASK_FAILED : ASK_ANSWERED;
	if (e)
		s->ask.err = *e;
	session_run(s);
}

static void
log_is_durable(void *owner, uint64_t number, uint64_t durable)
{
	struct receive *r = owner;

	ipc_send_durable(
		r->queue, &(struct ipc_durable){ .fd = -1, .segment = number, .durable = durable });
}

static void
segment_broke(void *owner, uint64_t number, uint64_t durable, const struct err *e)
{
	struct receive *r = owner;
	struct broken_segment *b = calloc(1, sizeof *b);

	must(b);
	*b = (struct broken_segment){ .number = number, .durable = durable };
	list_append(&r->broken, &b->link);
	log_event("sync-failed", "segment=%llu durable=%llu why=%s", (unsigned long long)number,
		(unsigned long long)durable, log_quote(str_of(e->text)));
	ipc_send_broken(
		r->queue, &(struct ipc_broken){ .fd = -1, .segment = number, .durable = durable });
}

static void
segment_sealed(struct receive *r, uint64_t number)
{
	list_each_safe (at, &r->broken) {
		struct broken_segment *b = list_of(at, struct broken_segment, link);

		if (b->number == number) {
			list_remove(&b->link);
			free(b);
		}
	}
	spool_writer_sealed(r->writer, number);
}

static void
queue_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct receive *r = owner;

	(void)from;
	switch (m->kind) {
	case IPC_segment:
		spool_writer_give_segment(r->writer, m->segment.number, m->segment.generation,
			m->segment.size, m->segment.fd);
		open_doors(r);
		break;
	case IPC_big:
		spool_writer_give_big(r->writer, m->big.number, m->big.fd);
		break;
	case IPC_full:
		r->queue_is_full = m->full.is_full;
		break;
	case IPC_sealed:
		segment_sealed(r, m->sealed.segment);
		break;
	default:
		role_lost(&r->role, ROLE_QUEUE, m->broke_rules);
		ipc_close(&r->queue); /* the next one comes through master; until then the log takes
					 mail */
		break;
	}
}

/* The current segment is given back: to a new queue it is the first word, to the old one just
 * another full segment. */
static void
segment_filled(void *owner, uint64_t number, uint64_t durable)
{
	struct receive *r = owner;

	if (r->queue_next < 0) {
		ipc_send_filled(r->queue,
			&(struct ipc_filled){ .fd = -1, .segment = number, .durable = durable });
		return;
	}
	r->queue_is_full = false; /* a new queue says so itself */
	ipc_close(&r->queue);
	r->queue = ipc_open(r->role.loop, r->queue_next, ROLE_RECEIVE, ROLE_QUEUE, queue_came, r);
	r->queue_next = -1;
	list_each (at, &r->broken) /* before `holding`, which makes the queue scan whatever nobody
				      claims */
	{
		struct broken_segment *b = list_of(at, struct broken_segment, link);

		ipc_send_broken(
			r->queue, &(struct ipc_broken){
					  .fd = -1, .segment = b->number, .durable = b->durable });
	}
	ipc_send_holding(
		r->queue, &(struct ipc_holding){ .fd = -1, .segment = number, .durable = durable });
}

static void
writer_wants(void *owner, unsigned segments, unsigned bigs)
{
	struct receive *r = owner;

	ipc_send_want(r->queue, &(struct ipc_want){ .fd = -1, .segments = segments, .bigs = bigs });
}

/* ── vault's side ── */

static void
vault_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct receive *r = owner;
	struct err e;

	(void)from;
	switch (m->kind) {
	case IPC_addresses:
		address_table_close(&r->table);
		if (!address_table_open(&r->table, m->addresses.fd, &e))
			log_event("no-address-table", "why=%s", log_quote(str_of(e.text)));
		break;
	case IPC_certificates:
		secure_came(r, m->certificates.fd);
		open_doors(r);
		break;
	case IPC_found:
	case IPC_checked:
	case IPC_sealed_with:
		ask_came(r, m);
		break;
	default:
		role_lost(&r->role, ROLE_VAULT, m->broke_rules);
		ipc_close(&r->vault);
		ask_fail_all(r);
		break;
	}
}

static void
resolve_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct receive *r = owner;

	(void)from;
	if (m->kind == IPC_answer) {
		inquiry_came(r, &m->answer);
		return;
	}
	role_lost(&r->role, ROLE_RESOLVE, m->broke_rules);
	ipc_close(&r->resolve);
	inquiry_give_up(r, INT64_MAX);
}

static void
session_stop(struct session *s, enum err_kind kind, const char *words)
{
	struct err e;

	if (s->is_shaking || s->awaits_proxy) { /* no words would be understood */
		session_free(&s);
		return;
	}
	err_set(&e, ERR_TEMPORARY, kind, "%s", words);
	smtp_server_stop(&s->smtp, &e);
	if (s->ask.state != ASK_WAITING || gate_hurry(s))
		session_run(s);
}

/* The doors open when there is a segment to write to and TLS to speak, so that the first client is not turned away;
 * or soon, so that nobody hangs. */
static void
open_doors(struct receive *r)
{
	if (r->are_doors_open || r->is_draining || r->began_ms == 0)
		return;
	if ((!spool_writer_is_ready(r->writer) || !r->tls) &&
		loop_now_ms(r->role.loop) - r->began_ms < FIRST_SEGMENT_MS)
		return;
	r->are_doors_open = true;
	list_each (at, &r->doors)
		loop_watch_set(list_of(at, struct door, link)->watch, LOOP_READ);
}

/* Once a second: who has been silent too long, and whose question got no answer. */
static void
receive_tick(void *owner)
{
	struct receive *r = owner;
	int64_t now_ms = loop_now_ms(r->role.loop);
	bool waits_long = false;
	const char *words;
	struct err e;

	list_each_safe (at, &r->sessions) {
		struct session *s = list_of(at, struct session, link);

		if (s->ask.state == ASK_WAITING) {
			waits_long |=
				s->ask.number == 0 && now_ms - s->ask.since_ms > SEGMENT_MOST_MS;
			ask_tick(s, now_ms);
			continue;
		}
		if (filter_is_asking(s))
			continue; /* each has its own timeout */
		words = gate_late(s, now_ms);
		if ((words || r->is_draining) && s->is_over) /* does not even take our 421 */
			session_free(&s);
		else if (words)
			session_stop(s, ERR_IDLE, words);
	}
	if (waits_long) { /* for the disk; where that works, and only a segment is lacking, nobody is left hanging */
		err_set(&e, ERR_TEMPORARY, ERR_NO_SPACE,
			"no room for mail at the moment, please try again later");
		spool_writer_give_up(r->writer, &e);
	}
	inquiry_tick(r);
	open_doors(r);
	loop_timer_set(r->tick, TICK_MS);
}

/* ── the role ── */

static void
receive_configured(void *owner)
{
	struct receive *r = owner;
	const struct config *c = &r->role.config;
	struct terms *t = calloc(1, sizeof *t);

	must(t && c->hostname.n < sizeof t->hostname);
	memcpy(t->hostname, c->hostname.p, c->hostname.n);
	t->users = 1; /* the house itself */
	t->smtp = (struct smtp_server_settings){ .hostname = str_of(t->hostname),
		.message_size_max = c->limits.message,
		.recipients_max = c->limits.recipients };
	if (r->terms)
		terms_drop(r->terms);
	r->terms = t;
	if (!r->tick)
		r->tick = loop_timer_open(r->role.loop, receive_tick, r);
	if (!r->writer)
		r->writer = spool_writer_open(r->role.loop,
			&(struct spool_hooks){ .owner = r,
				.settled = session_settled,
				.durable = log_is_durable,
				.broken = segment_broke,
				.filled = segment_filled,
				.want = writer_wants },
			c->limits.memory);
}

static void
receive_peer(void *owner, enum ipc_role peer, unsigned index, int fd)
{
	struct receive *r = owner;

	(void)index;
	if (peer == ROLE_VAULT) {
		ipc_close(&r->vault);
		ask_fail_all(r);
		r->vault = ipc_open(r->role.loop, fd, ROLE_RECEIVE, ROLE_VAULT, vault_came, r);
		return;
	}
	if (peer == ROLE_RESOLVE) {
		ipc_close(&r->resolve);
		inquiry_give_up(r, INT64_MAX);
		r->resolve = ipc_open(r->role.loop, fd, ROLE_RECEIVE, ROLE_RESOLVE, resolve_came, r);
		return;
	}
	must(peer == ROLE_QUEUE);
	if (r->queue_next >= 0)
		close(r->queue_next);
	r->queue_next = fd;
	spool_writer_retire(r->writer); /* segment_filled goes on */
}

static void
receive_table(void *owner, unsigned slot, int fd)
{
	struct receive *r = owner;

	must(!r->crowd); /* once, before the first connection */
	r->crowd = crowd_open(fd, slot);
	close(fd);
}

static void
receive_begin(void *owner)
{
	struct receive *r = owner;
	struct rlimit limit;

	must(r->crowd);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT_MAX)
		r->fd_most = limit.rlim_cur > 2 * FD_RESERVE ? (int)limit.rlim_cur - FD_RESERVE
							     : (int)limit.rlim_cur / 2;
	r->began_ms = loop_now_ms(r->role.loop);
	loop_timer_set(r->tick, 0);
}

static void
receive_drain(void *owner)
{
	struct receive *r = owner;

	r->is_draining = true;
	list_each (at, &r->doors)
		loop_watch_set(list_of(at, struct door, link)->watch, 0);
	list_each_safe (at, &r->sessions)
		session_stop(list_of(at, struct session, link), ERR_SHUTDOWN,
			"closing down, please try again later");
	if (r->sessions_n == 0)
		role_exit(&r->role, 0);
}

static void
receive_dialled(void *owner, uint64_t dial, uint32_t cause, int fd)
{
	filter_dialled(owner, dial, cause, fd);
}

int
receive_main(void)
{
	static const struct role_hooks hooks = { .configured = receive_configured,
		.peer = receive_peer,
		.listener = receive_listener,
		.table = receive_table,
		.begin = receive_begin,
		.drain = receive_drain,
		.dialled = receive_dialled };
	static struct receive r = { .queue_next = -1 };
	int code;

	list_init(&r.sessions);
	list_init(&r.doors);
	list_init(&r.late_shakes);
	list_init(&r.broken);
	r.role.loop = NULL;
	code = role_run(&r.role, ROLE_RECEIVE, &hooks, &r);
	spool_writer_close(&r.writer);
	return code;
}
