/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe.h"

#include "base/codec.h"
#include "smtp/sasl.h"

/* AUTH (RFC 4954). What is secret is sent and never shown; nor are the challenges of a mechanism, which are in base64. */

#define MASK "********"

enum {
	EXCHANGES_MAX = 8, /* of one login; SCRAM needs three */
	NONCE_OCTETS = 18,
};

/* What the last EHLO offers, as a set. */
static unsigned
offered(const struct probe *p)
{
	struct str list = S(""), word;
	unsigned set = 0;

	probe_offers(p, S("AUTH"), &list);
	while (list.n) {
		str_cut(list, ' ', &word, &list);
		set |= sasl_named(word);
	}
	return set;
}

/* The mechanism that was named, offered or not, or the best of `known`. 0: the error says why. */
static unsigned
choose(struct probe *p, unsigned known)
{
	const char *named = p->order->mechanism;
	unsigned set =
		named ? sasl_named(str_of(named)) : offered(p) & ~(unsigned)MECHANISMS_OF_TOKENS;

	set &= known;
	if (!set && named)
		probe_fail(p, ERR_PERMANENT, ERR_LOGIN_REFUSED,
			"no way to log in is called %s here", named);
	else if (!set)
		probe_fail(p, ERR_PERMANENT, ERR_LOGIN_REFUSED,
			"no login that both sides know is offered %s",
			stream_is_secure(&p->stream) ? "under TLS" : "in clear");
	return set & (0 - set); /* the lowest bit is worth most */
}

/* A response in base64, behind `before`; "=" is an empty one in the line of AUTH. */
static bool
respond(struct probe *p, struct sasl *sasl, struct str challenge, struct str before)
{
	struct buf response = { .max = SASL_RESPONSE_MAX }, line = { .max = SMTP_AUTH_LINE_MAX },
		   said = { .max = 64 };
	bool is_answered = sasl_respond(sasl, challenge, &response, &p->error);

	buf_add(&line, before);
	codec_add_base64(&line, buf_str(&response));
	buf_add(&said, before);
	buf_add(&said, S(MASK));
	if (is_answered && line.overflow)
		is_answered = probe_fail(
			p, ERR_PERMANENT, ERR_LOGIN_REFUSED, "user and password are too long");
	is_answered = is_answered && probe_ask(p, "auth", buf_str(&line), buf_str(&said));
	if (response.p)
		explicit_bzero(response.p, response.capacity);
	if (line.p)
		explicit_bzero(line.p, line.capacity);
	buf_free(&response);
	buf_free(&line);
	buf_free(&said);
	return is_answered;
}

static bool
begin(struct probe *p, struct sasl *sasl)
{
	struct buf line = { .max = 64 };
	bool is_answered;

	buf_add(&line, S("AUTH "));
	buf_add(&line, sasl_name(sasl->mechanism));
	if (sasl_speaks_first(sasl->mechanism)) {
		buf_add_char(&line, ' ');
		is_answered = respond(p, sasl, S(""), buf_str(&line));
	} else {
		is_answered = probe_ask(p, "auth", buf_str(&line), buf_str(&line));
	}
	buf_free(&line);
	return is_answered;
}

/* Until the last reply is no challenge. */
static bool
exchange(struct probe *p, struct sasl *sasl)
{
	struct buf challenge = { .max = SMTP_REPLY_LINE_MAX };
	bool goes_on = begin(p, sasl);

	for (unsigned i = 0; goes_on && p->reply.code == 334; i++) {
		bool is_read = sasl_reads_challenges(sasl);

		buf_reset(&challenge);
		if (i < EXCHANGES_MAX &&
			(!is_read || codec_add_from_base64(&challenge, buf_str(&p->reply.text))))
			goes_on = respond(p, sasl, buf_str(&challenge), S(""));
		else
			goes_on = probe_fail(p, ERR_PERMANENT, ERR_PROTOCOL,
				"this is no challenge of %.*s",
				STR_ARG(sasl_name(sasl->mechanism)));
	}
	buf_free(&challenge);
	return goes_on;
}

/* True: a reply is there that is the verdict. */
static bool
login(struct probe *p)
{
	struct mail_id random[2] = { mail_id_random(), mail_id_random() };
	unsigned char octets[STREAM_BINDING_MAX];
	struct buf nonce = { .max = 64 };
	const char *kind = "";
	size_t bound = stream_binding(&p->stream, &kind, octets);
	struct sasl sasl = { .login = str_of(p->order->user),
		.secret = str_of(p->order->password.text),
		.binding_kind = str_of(kind),
		.binding = { (const char *)octets, bound },
		.could_bind = bound && !(offered(p) & MECHANISM_SCRAM_SHA_256_PLUS),
		.host = str_of(p->way->host) };
	bool is_over;

	codec_add_base64(&nonce, (struct str){ (const char *)random, NONCE_OCTETS });
	sasl.nonce = buf_str(&nonce);
	sasl.mechanism = choose(p, bound ? ~0u : ~(unsigned)MECHANISM_SCRAM_SHA_256_PLUS);
	is_over = sasl.mechanism && exchange(p, &sasl);
	if (is_over && p->reply.code == 235 && !sasl.is_done)
		is_over = probe_fail(p, ERR_PERMANENT, ERR_LOGIN_REFUSED,
			"the other host says yes before it has proved that it knows the password");
	sasl_wipe(&sasl);
	buf_free(&nonce);
	return is_over;
}

bool
probe_login(struct probe *p)
{
	bool may_be_said = p->handshake.is_verified || p->is_near || p->order->sends_in_clear;

	if (!may_be_said)
		probe_fail(p, ERR_PERMANENT, ERR_LOGIN_REFUSED,
			"the password is not sent %s; --in-clear sends it all the same",
			stream_is_secure(&p->stream) ? "to a host that does not prove its name"
						     : "unencrypted");
	else if (login(p) && p->reply.code == 235)
		return true;
	p->is_about_login = true;
	if (!err_is(&p->error) && !probe_refused(p))
		probe_fail(p, ERR_PERMANENT, ERR_PROTOCOL, "%d is no answer to a login",
			p->reply.code);
	return false;
}
