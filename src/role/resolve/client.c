/* SPDX-License-Identifier: Apache-2.0 */
#include "role/resolve/resolve.h"

#include "base/ip.h"
#include "base/log.h"
#include "base/must.h"

/*
 * What the DNS says of a client, for the gate of receive. Each kind of question is one or two rounds of the DNS:
 *
 *   REVERSE   PTR of the address → at most NAMES_MAX names → A or AAAA of each, all at once
 *             yes: one leads back to the address; no: there is no name, or none leads back
 *   LISTED    A of the address turned round under the zone (RFC 5782 §2.1, §2.4) → TXT of the same name
 *             yes: an answer in 127.0.0.0/8; other answers are those of a zone that is no list any more
 *   LEADS     A or AAAA of the name
 *
 * Who gets no answer within INQUIRY_MS, or one that says nothing (SERVFAIL, a wrong signature), is told
 * "unknown". Nothing here is kept: the resolver has a cache.
 */

enum { INQUIRY_MS = 4500, NAMES_MAX = 4, TEXT_MAX = 200, TURNED_MAX = 64, FIRST = 0, SECOND = 1 };
enum { REFUSED_AGAIN_MS = 3600000 };

struct inquiry {
	struct list link; /* in resolve.inquiries */
	struct resolve *house;
	uint64_t ask;
	enum question_kind kind;
	enum ip_family family;
	unsigned char address[16];
	struct question *questions[SECOND + NAMES_MAX];
	char names[NAMES_MAX][DNS_NAME_MAX + 1];
	size_t names_n;
	struct loop_timer *deadline;
	unsigned waiting; /* answers to come */
	bool is_asking;	  /* more may be asked within this call */
	enum answer_result result;
	char text[DNS_NAME_MAX + 1];
};

static void
say(struct resolve *r, uint64_t ask, enum answer_result result, struct str text)
{
	ipc_send_answer(r->receive,
		&(struct ipc_answer){
			.fd = -1, .ask = ask, .result = (uint8_t)result, .text = text });
}

static void
inquiry_free(struct inquiry *q)
{
	for (size_t i = 0; i < SECOND + NAMES_MAX; i++)
		resolver_forget(&q->questions[i]);
	loop_timer_close(&q->deadline);
	list_remove(&q->link);
	q->house->inquiries_n--;
	free(q);
}

static void
end(struct inquiry *q, enum answer_result result)
{
	say(q->house, q->ask, result, result == ANSWER_YES ? str_of(q->text) : S(""));
	inquiry_free(q);
}

/* ── rounds ── */

static void answered(void *owner, unsigned number, const struct dns_answer *a);

static void
ask(struct inquiry *q, unsigned number, struct str name, enum dns_type type)
{
	q->waiting++;
	resolver_ask(q->house->resolver, name, type, &q->questions[number], answered, q, number);
}

static void
ask_address(struct inquiry *q, unsigned number)
{
	ask(q, number, str_of(q->names[number - SECOND]), q->family == IP_V4 ? DNS_A : DNS_AAAA);
}

static void
take_names(struct inquiry *q, const struct dns_answer *a)
{
	for (size_t i = 0; i < a->records_n && q->names_n < NAMES_MAX; i++) {
		struct str name = a->records[i].name;

		memcpy(q->names[q->names_n], name.p, name.n);
		q->names[q->names_n++][name.n] = 0;
	}
	for (unsigned i = 0; i < q->names_n; i++)
		ask_address(q, SECOND + i);
}

static void
take_address(struct inquiry *q, unsigned number, const struct dns_answer *a)
{
	for (size_t i = 0; i < a->records_n; i++)
		if (memcmp(a->records[i].address, q->address, q->family == IP_V4 ? 4 : 16) == 0 &&
			q->result != ANSWER_YES) {
			q->result = ANSWER_YES;
			memcpy(q->text, q->names[number - SECOND], sizeof q->text);
		}
}

/* The list is of no use until the operator does something: mail comes in as though it said no. */
static void
log_refusal(const struct inquiry *q, const unsigned char octets[4])
{
	struct resolve *r = q->house;
	int64_t now_ms = loop_now_ms(r->role.loop);

	if (r->refused_ms && now_ms - r->refused_ms < REFUSED_AGAIN_MS)
		return;
	r->refused_ms = now_ms ? now_ms : 1;
	log_event("dnsbl-refuses-us", "asked=%s answer=127.255.255.%u do=%s",
		log_quote(str_of(q->names[0])), octets[3],
		log_quote(S("use a resolver of your own, or another list")));
}

/* 127.255.255.0/24 is how the large lists say that they do not answer us: then nothing else that they say counts. */
static void
take_listing(struct inquiry *q, const struct dns_answer *a)
{
	bool is_error = false;

	for (size_t i = 0; i < a->records_n; i++) {
		const unsigned char *octets = a->records[i].address;

		if (octets[0] != 127)
			continue;
		if (octets[1] == 255 && octets[2] == 255 && !is_error)
			log_refusal(q, octets);
		is_error |= octets[1] == 255 && octets[2] == 255;
		q->result = ANSWER_YES;
	}
	if (is_error)
		q->result = ANSWER_UNKNOWN;
	if (q->result == ANSWER_YES)
		ask(q, SECOND, str_of(q->names[0]), DNS_TXT);
}

static void
take_text(struct inquiry *q, const struct dns_answer *a)
{
	struct buf clean = { .max = TEXT_MAX };

	if (a->records_n) {
		buf_add_clean(&clean, str_part(a->records[0].name, 0, TEXT_MAX), false);
		snprintf(q->text, sizeof q->text, "%.*s", STR_ARG(buf_str(&clean)));
	}
	buf_free(&clean);
}

static void
take(struct inquiry *q, unsigned number, const struct dns_answer *a)
{
	bool says_nothing =
		a->status != DNS_OK && a->status != DNS_NODATA && a->status != DNS_NXDOMAIN;

	if (says_nothing && q->result == ANSWER_NO)
		q->result = ANSWER_UNKNOWN;
	if (q->kind == QUESTION_LISTED && number == FIRST)
		take_listing(q, a);
	else if (q->kind == QUESTION_LISTED)
		take_text(q, a);
	else if (number == FIRST)
		take_names(q, a);
	else
		take_address(q, number, a);
}

/* An answer may come inside the very call that asks: only the outermost may end the inquiry. */
static void
answered(void *owner, unsigned number, const struct dns_answer *a)
{
	struct inquiry *q = owner;
	bool is_outermost = !q->is_asking;

	q->waiting--;
	q->is_asking = true;
	take(q, number, a);
	if (!is_outermost)
		return;
	q->is_asking = false;
	if (q->waiting == 0)
		end(q, q->result);
}

static void
deadline_due(void *owner)
{
	struct inquiry *q = owner;

	end(q, q->result == ANSWER_YES ? ANSWER_YES : ANSWER_UNKNOWN);
}

/* ── beginning ── */

static void
begin(struct inquiry *q, struct str name)
{
	struct buf text = { .max = DNS_NAME_MAX };

	size_t octets = q->family == IP_V4 ? 4 : 16;

	q->is_asking = true;
	if (q->kind == QUESTION_REVERSE) {
		dns_add_turned(
			&text, q->address, octets, octets == 4 ? S("in-addr.arpa") : S("ip6.arpa"));
		ask(q, FIRST, buf_str(&text), DNS_PTR);
	} else {
		dns_add_turned(&text, q->address, octets, name);
		snprintf(q->names[0], sizeof q->names[0], "%.*s", STR_ARG(buf_str(&text)));
		ask(q, FIRST, str_of(q->names[0]), DNS_A);
	}
	buf_free(&text);
	q->is_asking = false;
	if (q->waiting == 0)
		end(q, q->result);
}

static bool
read_question(const struct ipc_question *m, struct inquiry *q)
{
	q->kind = (enum question_kind)m->kind;
	return ip_read(m->address, &q->family, q->address) && m->kind < QUESTION_KINDS &&
	       (m->kind == QUESTION_REVERSE ||
		       (dns_name_is_valid(m->name) && m->name.n <= DNS_NAME_MAX - TURNED_MAX));
}

void
client_begin(struct resolve *r, const struct ipc_question *m)
{
	struct inquiry *q = calloc(1, sizeof *q);

	must(q);
	if (r->role.config.resolver.is_off || !r->resolver || r->inquiries_n >= INQUIRIES_MAX ||
		!read_question(m, q)) {
		say(r, m->ask, ANSWER_UNKNOWN, S(""));
		free(q);
		return;
	}
	q->house = r;
	q->ask = m->ask;
	q->deadline = loop_timer_open(r->role.loop, deadline_due, q);
	loop_timer_set(q->deadline, INQUIRY_MS);
	list_append(&r->inquiries, &q->link);
	r->inquiries_n++;
	begin(q, m->name);
}

void
client_end_all(struct resolve *r)
{
	list_each_safe (at, &r->inquiries)
		end(list_of(at, struct inquiry, link), ANSWER_UNKNOWN);
}
