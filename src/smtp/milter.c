/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/milter_core.h"

#include "base/must.h"
#include "message/message.h"

/*
 * Milter has no RFC; this is what its filters and mail servers have agreed upon since protocol version 2.
 *
 *   packet      = length (u32, big-endian, of what follows), letter, data
 *   to it       O offer · D macros · C client · H hello · M sender · R recipient · T data · L header field ·
 *                 N end of header · B body · E end of the message · A abort · Q quit
 *   from it     O offer · c continue · a accept · r reject · t try later · y reply code · d discard · s skip ·
 *                 4 shut down · f connection failed · p progress; at the end of the message, before one of these,
 *                 changes: h i m header · b body · + 2 - recipients · e sender · q quarantine
 *
 * What we say is here, what it answers is milter_answer.c.
 *
 * Texts end with NUL. Line ends are LF in header fields, CRLF in bodies.
 *
 *  1. An answer is awaited for each packet but A, Q, D and those that the filter promised not to answer; a filter may say
 *     `progress` as often as it likes before.
 *  2. Changes come at the end only, and only those that both sides offered.
 *  3. Nothing is asked, and no part of a message goes out, while more than OUT_AT octets of output are pending: a filter
 *     that answers nothing and reads nothing cannot fill OUT_MAX.
 *  4. What was not awaited, is too long, is cut, or does not fit there, is a lie: the conversation is over.
 *
 *   milter_begin ─▶ OFFER ─▶ CLIENT ─▶ HELLO ─▶ SENDER ─▶ RECIPIENT … ─▶ DATA ─┐ one question each
 *                                                 ▲                            ▼
 *                                                 └──── END ◀─ BODY ◀─ END_OF_HEADER ◀─ HEADER
 *                                                         milter_message asks these four, as send_next goes on
 */

enum {
	VERSION_OF_DATA = 4, /* the first that knows T */
	BODY_CHUNK = 65535,
	OUT_AT = 256 * 1024, /* octets of output that we let gather */
	OUT_MAX = 4 * 1024 * 1024,
};

/* How each stage is told, and by which bits of its offer a filter does not want it, or does not answer it. */
static const struct {
	char letter;
	uint32_t unwanted, silent;
} stages[] = {
	[OFFER] = { 'O', 0, 0 },
	[CLIENT] = { 'C', 0x1, 0x1000 },
	[HELLO] = { 'H', 0x2, 0x2000 },
	[SENDER] = { 'M', 0x4, 0x4000 },
	[RECIPIENT] = { 'R', 0x8, 0x8000 },
	[DATA] = { 'T', 0x200, 0x10000 },
	[HEADER] = { 'L', 0x20, 0x80 },
	[END_OF_HEADER] = { 'N', 0x40, 0x40000 },
	[BODY] = { 'B', 0x10, 0x80000 },
	[END] = { 'E', 0, 0 },
};

#define AT(stage) (1u << (stage))
#define FACT(of)  offsetof(struct milter_facts, of)

/* The macros, and the stages before which they are told. */
static const struct {
	unsigned stages;
	const char *name;
	size_t fact;
} macros[] = {
	{ AT(CLIENT), "j", FACT(hostname) },
	{ AT(CLIENT), "{daemon_name}", FACT(daemon) },
	{ AT(CLIENT), "v", FACT(version) },
	{ AT(CLIENT), "_", FACT(client_address) },
	{ AT(CLIENT), "{client_name}", FACT(client_name) },
	{ AT(CLIENT), "{client_ptr}", FACT(client_name) },
	{ AT(CLIENT), "{client_addr}", FACT(client_address) },
	{ AT(CLIENT), "{client_port}", FACT(client_port) },
	{ AT(HELLO), "{tls_version}", FACT(tls_version) },
	{ AT(HELLO), "{cipher}", FACT(cipher) },
	{ AT(HELLO), "{cipher_bits}", FACT(cipher_bits) },
	{ AT(SENDER), "{auth_authen}", FACT(login) },
	{ AT(SENDER), "{auth_type}", FACT(mechanism) },
	{ AT(SENDER), "{mail_addr}", FACT(sender) },
	{ AT(SENDER) | AT(RECIPIENT) | AT(DATA) | AT(END_OF_HEADER) | AT(END), "i", FACT(id) },
	{ AT(RECIPIENT), "{rcpt_addr}", FACT(recipient) },
};

/* ── packets to the filter ── */

static size_t
packet_begin(struct milter *m, char letter)
{
	size_t at = m->out.n;

	buf_add(&m->out, (struct str){ "\0\0\0", 4 });
	buf_add_char(&m->out, letter);
	return at;
}

static void
put_u32(char *to, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		to[i] = (char)(v >> (24 - 8 * i));
}

static void
packet_end(struct milter *m, size_t at)
{
	must(!m->out.overflow);
	put_u32(m->out.p + at, (uint32_t)(m->out.n - at - 4));
}

static void
add_text(struct milter *m, struct str text)
{
	buf_add(&m->out, str_part(text, 0, str_find(text, 0)));
	buf_add_char(&m->out, 0);
}

static void
add_u32(struct milter *m, uint32_t v)
{
	char octets[4];

	put_u32(octets, v);
	buf_add(&m->out, (struct str){ octets, 4 });
}

static void
add_path(struct milter *m, struct str path)
{
	buf_add_char(&m->out, '<');
	buf_add(&m->out, path);
	add_text(m, S(">"));
}

static void
tell_macros(struct milter *m, enum stage stage)
{
	size_t at = packet_begin(m, 'D'), empty;

	buf_add_char(&m->out, stages[stage].letter);
	empty = m->out.n;
	for (size_t i = 0; i < sizeof macros / sizeof *macros; i++) {
		const struct str *fact = (const void *)((const char *)m->facts + macros[i].fact);

		if (!(macros[i].stages & AT(stage)) || fact->n == 0)
			continue;
		add_text(m, str_of(macros[i].name));
		add_text(m, *fact);
	}
	if (m->out.n == empty)
		m->out.n = at;
	else
		packet_end(m, at);
}

void
milter_answered(struct milter *m, enum milter_verdict verdict)
{
	m->verdict = verdict;
	m->is_waiting = false;
	m->is_answered = true;
	m->is_in_mail &= m->stage != END;
}

bool
milter_fail(struct milter *m, const char *what)
{
	m->is_failed = true;
	return err_set(&m->error, ERR_TEMPORARY, ERR_PROTOCOL, "%s", what);
}

static bool
is_wanted(const struct milter *m, enum stage stage)
{
	if (stage == DATA && m->version < VERSION_OF_DATA)
		return false;
	return !(m->steps & stages[stage].unwanted);
}

/* The packet of this stage is begun, unless the filter does not want it: then the place is SIZE_MAX. */
static size_t
stage_begin(struct milter *m, enum stage stage)
{
	m->stage = (int)stage;
	m->is_answered = false;
	if (!is_wanted(m, stage))
		return SIZE_MAX;
	tell_macros(m, stage);
	return packet_begin(m, stages[stage].letter);
}

static void
stage_end(struct milter *m, size_t at)
{
	if (at == SIZE_MAX)
		return;
	packet_end(m, at);
	m->is_waiting = !(m->steps & stages[m->stage].silent);
}

/* ── questions ── */

void
milter_begin(struct milter *m, const struct milter_facts *facts, size_t body_max)
{
	size_t at;

	*m = (struct milter){ .facts = facts,
		.stage = OFFER,
		.is_waiting = true,
		.in.max = MILTER_PACKET_MAX + 128 * 1024,
		.out.max = OUT_MAX,
		.changes.max = MILTER_CHANGES_SIZE_MAX,
		.new_body.max = body_max };
	at = packet_begin(m, 'O');
	add_u32(m, VERSION_MOST);
	add_u32(m, ACTIONS);
	add_u32(m, STEPS);
	packet_end(m, at);
}

void
milter_free(struct milter *m)
{
	buf_free(&m->changes);
	buf_free(&m->new_body);
	buf_free(&m->in);
	buf_free(&m->out);
	*m = (struct milter){ 0 };
}

/* A question that is one packet; `ask` fills it. */
static void
question(struct milter *m, enum stage stage, void (*fill)(struct milter *m))
{
	size_t at;

	must(m->is_answered && !m->is_failed);
	if (m->in_read < m->in.n) {
		milter_fail(m, "said something that nobody asked for");
		return;
	}
	at = stage_begin(m, stage);
	if (at != SIZE_MAX)
		fill(m);
	stage_end(m, at);
	if (!m->is_waiting)
		milter_answered(m, MILTER_CONTINUE);
}

static void
fill_client(struct milter *m)
{
	const struct milter_facts *f = m->facts;

	if (f->client_name.n) {
		add_text(m, f->client_name);
	} else {
		buf_add_char(&m->out, '[');
		buf_add(&m->out, f->client_address);
		add_text(m, S("]"));
	}
	buf_add_char(&m->out, (char)f->client_family);
	if (f->client_family == MILTER_UNKNOWN)
		return;
	buf_add_char(&m->out, (char)(f->client_port_number >> 8));
	buf_add_char(&m->out, (char)(f->client_port_number & 255));
	add_text(m, f->client_address);
}

static void
fill_hello(struct milter *m)
{
	add_text(m, m->facts->hello);
}

static void
fill_sender(struct milter *m)
{
	add_path(m, m->facts->sender);
}

static void
fill_recipient(struct milter *m)
{
	add_path(m, m->facts->recipient);
}

static void
fill_nothing(struct milter *m)
{
	(void)m;
}

void
milter_client(struct milter *m)
{
	question(m, CLIENT, fill_client);
}

void
milter_hello(struct milter *m)
{
	question(m, HELLO, fill_hello);
}

void
milter_sender(struct milter *m)
{
	milter_reset(m);
	m->is_in_mail = true;
	question(m, SENDER, fill_sender);
}

void
milter_recipient(struct milter *m)
{
	question(m, RECIPIENT, fill_recipient);
}

void
milter_data(struct milter *m)
{
	question(m, DATA, fill_nothing);
}

void
milter_message(struct milter *m, struct str header, struct str body)
{
	must(m->is_answered && !m->is_failed);
	m->header = header;
	m->body = body;
	m->stage = HEADER;
	m->is_answered = false;
	m->has_new_body = false;
	m->changes_n = 0;
	buf_reset(&m->changes);
	buf_reset(&m->new_body);
	if (m->in_read < m->in.n)
		milter_fail(m, "said something that nobody asked for");
}

void
milter_reset(struct milter *m)
{
	if (m->is_in_mail && !m->is_failed)
		packet_end(m, packet_begin(m, 'A'));
	m->is_in_mail = false;
}

void
milter_quit(struct milter *m)
{
	packet_end(m, packet_begin(m, 'Q'));
}

/* ── the message ── */

/* A value as filters take it: LF for CRLF, and without the first blank where they do not know of it. */
static void
add_value(struct milter *m, struct str value)
{
	if (!(m->steps & KEEPS_BLANK) && value.n && value.p[0] == ' ')
		value = str_from(value, 1);
	value = str_part(value, 0, str_find(value, 0));
	while (value.n) {
		size_t cr = str_find(value, '\r');

		buf_add(&m->out, str_part(value, 0, cr));
		value = str_from(value, cr + 1);
	}
	buf_add_char(&m->out, 0);
}

static void
send_field(struct milter *m, const struct header_field *field)
{
	size_t at = stage_begin(m, HEADER);

	if (at != SIZE_MAX) {
		add_text(m, field->name);
		add_value(m, field->value);
	}
	stage_end(m, at);
}

static void
send_plain(struct milter *m, enum stage stage, struct str octets)
{
	size_t at = stage_begin(m, stage);

	if (at != SIZE_MAX)
		buf_add(&m->out, octets);
	stage_end(m, at);
}

/* The next packet of the message: stage says which kind went last, or HEADER at the beginning. */
static void
send_next(struct milter *m)
{
	struct header_field field;

	switch ((enum stage)m->stage) {
	case HEADER:
		if (header_next(&m->header, &field))
			send_field(m, &field);
		else
			send_plain(m, END_OF_HEADER, S(""));
		break;
	case END_OF_HEADER:
	case BODY:
		if (m->body.n) {
			struct str chunk = str_part(m->body, 0, BODY_CHUNK);

			m->body = str_from(m->body, chunk.n);
			send_plain(m, BODY, chunk);
		} else {
			send_plain(m, END, S(""));
		}
		break;
	case OFFER:
	case CLIENT:
	case HELLO:
	case SENDER:
	case RECIPIENT:
	case DATA:
	case END:
		must(false); /* these are always waited for, or answered */
	}
}

/* ── the next event ── */

enum milter_event
milter_next(struct milter *m)
{
	while (!m->is_failed) {
		if (m->is_waiting) {
			if (!milter_hear(m))
				return MILTER_WANT_INPUT;
		} else if (m->out.n - m->out_sent > OUT_AT) {
			return MILTER_WANT_OUTPUT;
		} else if (m->is_answered) {
			return MILTER_ON_ANSWER;
		} else {
			send_next(m);
		}
	}
	return MILTER_ON_FAILED;
}

void
milter_feed(struct milter *m, struct str bytes)
{
	if (m->in_read == m->in.n)
		buf_free(&m->in);
	else
		buf_drop(&m->in, m->in_read);
	m->in_read = 0;
	buf_add(&m->in, bytes);
	if (m->in.overflow)
		milter_fail(m, "says more than was asked for");
}

struct str
milter_output(const struct milter *m)
{
	return str_from(buf_str(&m->out), m->out_sent);
}

void
milter_sent(struct milter *m, size_t n)
{
	m->out_sent += n;
	if (m->out_sent == m->out.n) {
		buf_free(&m->out);
		m->out_sent = 0;
	} else if (m->out_sent > OUT_AT / 2) {
		buf_drop(&m->out, m->out_sent);
		m->out_sent = 0;
	}
}
