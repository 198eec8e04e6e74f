/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/milter.h"

#include "base/codec.h"
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
	VERSION_LEAST = 2,
	VERSION_MOST = 6,
	VERSION_OF_DATA = 4, /* the first that knows T */
	BODY_CHUNK = 65535,
	OUT_AT = 256 * 1024, /* octets of output that we let gather */
	OUT_MAX = 4 * 1024 * 1024,
};

enum stage { OFFER, CLIENT, HELLO, SENDER, RECIPIENT, DATA, HEADER, END_OF_HEADER, BODY, END };

enum action {
	MAY_ADD_HEADERS = 0x01,
	MAY_CHANGE_BODY = 0x02,
	MAY_ADD_RECIPIENTS = 0x04,
	MAY_DELETE_RECIPIENTS = 0x08,
	MAY_CHANGE_HEADERS = 0x10,
	MAY_QUARANTINE = 0x20,
	MAY_CHANGE_SENDER = 0x40,
	MAY_ADD_WITH_PARAMETERS = 0x80,
	ACTIONS = 0xff,
};

enum { /* of the protocol's steps, in the filter's offer */
	SKIPS_BODY = 0x400,
	KEEPS_BLANK = 0x100000, /* header values come and go with the blank behind the colon */
	/* all that below says, and those two; not 0x800: recipients that we refused are not told */
	STEPS = 0x1ff7ff,
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

static uint32_t
get_u32(const char *from)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v = v << 8 | (unsigned char)from[i];
	return v;
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

static void
milter_answered(struct milter *m, enum milter_verdict verdict)
{
	m->verdict = verdict;
	m->is_waiting = false;
	m->is_answered = true;
	m->is_in_mail &= m->stage != END;
}

static bool
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

/* ── packets from the filter ── */

static bool
scan_text(struct str *in, struct str *text)
{
	return scan_until(in, 0, text);
}

static bool
scan_u32(struct str *in, uint32_t *v)
{
	if (in->n < 4)
		return false;
	*v = get_u32(in->p);
	*in = str_from(*in, 4);
	return true;
}

static bool
take_offer(struct milter *m, struct str in)
{
	if (!scan_u32(&in, &m->version) || !scan_u32(&in, &m->actions) || !scan_u32(&in, &m->steps))
		return milter_fail(m, "its offer is cut");
	if (m->version < VERSION_LEAST || m->version > VERSION_MOST)
		return milter_fail(m, "speaks another version of Milter");
	if ((m->actions & ~(uint32_t)ACTIONS) || (m->steps & ~(uint32_t)STEPS))
		return milter_fail(m, "wants what was not offered");
	milter_answered(m, MILTER_CONTINUE);
	return true;
}

static bool
keep_change(struct milter *m, struct milter_change c)
{
	if (++m->changes_n > MILTER_CHANGES_MAX)
		return milter_fail(m, "wants more than 1000 changes of one message");
	codec_add_u8(&m->changes, (uint8_t)c.kind);
	codec_add_u32(&m->changes, c.index);
	codec_add_str(&m->changes, c.name);
	codec_add_str(&m->changes, c.value);
	return !m->changes.overflow || milter_fail(m, "its changes are too large");
}

bool
milter_scan_change(struct str *in, struct milter_change *c)
{
	uint8_t kind;

	if (!codec_scan_u8(in, &kind) || !codec_scan_u32(in, &c->index) ||
		!codec_scan_str(in, &c->name) || !codec_scan_str(in, &c->value))
		return false;
	c->kind = (enum milter_change_kind)kind;
	return true;
}

static const struct change_letter {
	char letter;
	uint32_t action;
	enum milter_change_kind kind;
	bool has_index, has_name;
	bool may_have_more; /* parameters of the path, which are not for us */
} change_letters[] = {
	{ 'h', MAY_ADD_HEADERS, MILTER_ADD_HEADER, .has_name = true },
	{ 'i', MAY_ADD_HEADERS, MILTER_INSERT_HEADER, .has_index = true, .has_name = true },
	{ 'm', MAY_CHANGE_HEADERS, MILTER_CHANGE_HEADER, .has_index = true, .has_name = true },
	{ '+', MAY_ADD_RECIPIENTS, MILTER_ADD_RECIPIENT },
	{ '2', MAY_ADD_WITH_PARAMETERS, MILTER_ADD_RECIPIENT, .may_have_more = true },
	{ '-', MAY_DELETE_RECIPIENTS, MILTER_DELETE_RECIPIENT },
	{ 'e', MAY_CHANGE_SENDER, MILTER_CHANGE_SENDER, .may_have_more = true },
	{ 'q', MAY_QUARANTINE, MILTER_QUARANTINE },
};

/* A value with the blank that stands behind the colon, from filters that leave it to us too. */
static bool
keep_field(struct milter *m, struct milter_change c)
{
	struct buf value = { .max = MILTER_PACKET_MAX + 1 };
	bool kept;

	if (!(m->steps & KEEPS_BLANK) && c.value.n)
		buf_add_char(&value, ' ');
	buf_add(&value, c.value);
	c.value = buf_str(&value);
	kept = keep_change(m, c);
	buf_free(&value);
	return kept;
}

static bool
take_change(struct milter *m, const struct change_letter *l, struct str in)
{
	struct milter_change c = { .kind = l->kind };

	if (m->stage != END || !(m->actions & l->action))
		return milter_fail(m, "changes what it may not, or too early");
	if ((l->has_index && !scan_u32(&in, &c.index)) ||
		(l->has_name && !scan_text(&in, &c.name)) || !scan_text(&in, &c.value) ||
		(in.n && !l->may_have_more))
		return milter_fail(m, "a change of its is cut or too long");
	return l->has_name ? keep_field(m, c) : keep_change(m, c);
}

static bool
take_body(struct milter *m, struct str in)
{
	if (m->stage != END || !(m->actions & MAY_CHANGE_BODY))
		return milter_fail(m, "changes what it may not, or too early");
	m->has_new_body = true;
	buf_add(&m->new_body, in);
	return !m->new_body.overflow || milter_fail(m, "its new body is too large");
}

static bool
refuse(struct milter *m, uint16_t code, struct enhanced enhanced, struct str words)
{
	err_set(&m->error, code < 500 ? ERR_TEMPORARY : ERR_PERMANENT, ERR_REMOTE, "%.*s",
		STR_ARG(words));
	m->error.code = code;
	m->error.enhanced = enhanced;
	milter_answered(m, MILTER_REFUSE);
	return true;
}

/* The words of one line of a reply behind those before; they follow its enhanced code, and "%%" is '%' in them. */
static void
add_words(struct buf *to, struct str line, struct enhanced code)
{
	char begin[32];

	snprintf(begin, sizeof begin, "%u.%u.%u", code.class, code.subject, code.detail);
	if (code.class && str_starts(line, str_of(begin)))
		line = str_trim(str_from(line, strlen(begin)));
	if (to->n)
		buf_add_char(to, ' ');
	for (size_t i = 0; i < line.n; i++) {
		buf_add_char(to, line.p[i]);
		i += line.p[i] == '%' && i + 1 < line.n && line.p[i + 1] == '%';
	}
}

/* "550 5.7.1 words", or several such lines. */
static bool
take_reply(struct milter *m, struct str in)
{
	struct reply_reader reader = { .text.max = SMTP_REPLY_LINE_MAX };
	struct buf lines = { .max = SMTP_REPLY_MAX }, words = { .max = 2 * SMTP_REPLY_LINE_MAX };
	struct str text, rest, line;
	bool is_good = scan_text(&in, &text) && in.n == 0;

	buf_add(&lines, is_good ? text : S(""));
	if (!str_ends_nocase(buf_str(&lines), S("\n")))
		buf_add(&lines, S("\r\n"));
	rest = buf_str(&lines);
	is_good = is_good && reply_read(&reader, &rest) == 1 && rest.n == 0 &&
		  (reader.code / 100 == 4 || reader.code / 100 == 5);
	for (rest = buf_str(&reader.text); rest.n;) {
		str_cut(rest, '\n', &line, &rest);
		add_words(&words, line, reader.enhanced);
	}
	if (!reader.enhanced.class)
		reader.enhanced = (struct enhanced){ (uint16_t)(reader.code / 100), 7, 1 };
	is_good = is_good ? refuse(m, (uint16_t)reader.code, reader.enhanced, buf_str(&words))
			  : milter_fail(m, "its reply is none of SMTP with 4yz or 5yz");
	buf_free(&reader.text);
	buf_free(&lines);
	buf_free(&words);
	return is_good;
}

static bool
take_continue(struct milter *m)
{
	bool is_one_of_many = m->stage >= HEADER && m->stage < END;

	m->is_waiting = false;
	if (!is_one_of_many)
		milter_answered(m, MILTER_CONTINUE);
	return true;
}

static bool
take_verdict(struct milter *m, char letter)
{
	switch (letter) {
	case 'c':
		return take_continue(m);
	case 'a':
		milter_answered(m, MILTER_ACCEPT);
		return true;
	case 'd':
		if (m->stage < SENDER)
			break;
		milter_answered(m, MILTER_DISCARD);
		return true;
	case 'r':
		return refuse(m, 550, (struct enhanced){ 5, 7, 1 },
			S("refused here by a content filter"));
	case 't':
		return refuse(m, 451, (struct enhanced){ 4, 7, 1 },
			S("a content filter wants this tried again later"));
	case '4':
	case 'f':
		return refuse(
			m, 421, (struct enhanced){ 4, 7, 0 }, S("closing, please try again later"));
	case 's':
		if (m->stage != BODY || !(m->steps & SKIPS_BODY))
			break;
		m->body = (struct str){ 0 };
		return take_continue(m);
	default:
		break;
	}
	return milter_fail(m, "gives an answer that does not fit there");
}

static bool
take_packet(struct milter *m, char letter, struct str in)
{
	if (letter == 'p' && m->stage != OFFER) {
		m->progress++;
		return true;
	}
	if ((letter == 'O') != (m->stage == OFFER))
		return milter_fail(m, "gives an answer that does not fit there");
	if (letter == 'O')
		return take_offer(m, in);
	if (letter == 'b')
		return take_body(m, in);
	if (letter == 'y')
		return take_reply(m, in);
	for (size_t i = 0; i < sizeof change_letters / sizeof *change_letters; i++)
		if (change_letters[i].letter == letter)
			return take_change(m, &change_letters[i], in);
	return take_verdict(m, letter);
}

/* One packet, when it is there as a whole. */
static bool
step_packet(struct milter *m)
{
	struct str in = str_from(buf_str(&m->in), m->in_read);
	uint32_t n;

	if (!scan_u32(&in, &n))
		return false;
	if (n == 0 || n > MILTER_PACKET_MAX) {
		milter_fail(m, "does not speak Milter");
		return true;
	}
	if (in.n < n)
		return false;
	m->in_read += 4 + n;
	take_packet(m, in.p[0], str_part(in, 1, n - 1));
	return true;
}

enum milter_event
milter_next(struct milter *m)
{
	while (!m->is_failed) {
		if (m->is_waiting) {
			if (!step_packet(m))
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
