/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/milter_core.h"

#include "base/codec.h"

/*
 * What a filter says: packets, one at a time, and what each of them means. An answer ends the question (milter_answered);
 * a change is kept, packed, until the driver has the verdict and asks for it; all else breaks the fourth law of milter.c.
 */

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
	*v = 0;
	for (int i = 0; i < 4; i++)
		*v = *v << 8 | (unsigned char)in->p[i];
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

bool
milter_hear(struct milter *m)
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
