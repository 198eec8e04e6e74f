/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/filter.h"

#include "role/receive/gate.h"
#include "base/must.h"

/*
 * The conversation with content filters: what is asked, in which order, and what they are told of the client and of
 * the mail. Sessions that bring no mail cost no filter anything.
 *
 *   admit.c, session_commit ─▶ filters_ask: one filter after another ─▶ filter_link_run (filter_link.c): until this one
 *                                                                      has answered
 *
 *  1. Who the filters are, a mail learns at MAIL: a reload changes them for the next one.
 *  2. A no to MAIL, DATA or the message concerns the mail; a no to RCPT that recipient; one to client or hello every
 *     mail of the session.
 */

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
			filter_link_unheard(l, "closing down");
		else if (filter_link_run(l) == WAIT)
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
			filter_link_close(&f->links[i]);
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
			filter_link_mention(&f->links[i]);
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
		filter_link_close(&f->links[i]);
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
