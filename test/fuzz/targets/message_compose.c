/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "message/compose.h"
#include "message/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAILBOXES = 3, FIELDS = 3, PARTS = 4, MESSAGE_MAX = 1 << 20 };

/* A length, whose lowest two bits are flags of the caller's, and so many octets. */
static struct str
take(struct str *in, unsigned *flags)
{
	size_t n = in->n ? (unsigned char)in->p[0] : 0;
	struct str taken = str_part(*in, 1, n >> 2);

	*flags = n & 3;
	*in = str_from(*in, 1 + taken.n);
	return taken;
}

/* Lines that end in CRLF, none longer than 998; no other CR or LF, no NUL. */
static void
look_at_lines(struct str message)
{
	must(str_find(message, '\0') == message.n);
	for (struct str line; message.n;) {
		must(scan_until(&message, '\n', &line));
		must(line.n > 0 && line.n <= 999 && str_find(line, '\r') == line.n - 1);
	}
}

/* The fields that were asked for, from From to the last Content-, and no others: what a value said ended none. */
static void
look_at_header(struct str message, const struct compose *c)
{
	size_t want = c->fields_n + (c->reply_to_n > 0) + (c->to_n > 0 || c->cc_n == 0) +
		      (c->cc_n > 0) + (c->subject.n > 0) + 4;
	struct header_field field;
	size_t contents = 0;

	while (header_next(&message, &field)) {
		bool is_content = str_starts_nocase(field.name, S("Content-"));

		must(is_content || (want > 0 && contents == 0));
		contents += is_content;
		want -= !is_content;
	}
	must(want == 0 && (contents == 1 || contents == 2));
}

static void
read_back(
	const struct compose *c, const struct compose_plan *plan, const struct str contents[PARTS])
{
	static struct compose_reader r;
	struct buf message = { .max = MESSAGE_MAX };
	size_t fed[PARTS] = { 0 };
	struct str piece;

	compose_begin(&r, plan);
	for (enum compose_step step; (step = compose_next(&r, &piece)) != COMPOSE_OVER;) {
		if (step == COMPOSE_PIECE) {
			must(piece.n > 0 && piece.n <= COMPOSE_PIECE_MAX);
			buf_add(&message, piece);
			continue;
		}
		must(r.part < c->parts_n);
		piece = str_part(contents[r.part], fed[r.part], r.wanted);
		fed[r.part] += piece.n;
		compose_feed(&r, piece);
	}
	must(!message.overflow && message.n == plan->size);
	for (size_t i = 0; i < c->parts_n; i++)
		must(fed[i] == contents[i].n);
	look_at_lines(buf_str(&message));
	look_at_header(buf_str(&message), c);
	must(plan->needs_smtputf8 || str_is_ascii(buf_str(&message)));
	buf_free(&message);
}

/* Any octets make a message that can travel and is as large as was said, or are refused for good. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size }, boxes[MAILBOXES], contents[PARTS];
	struct compose_field fields[FIELDS];
	struct compose_part parts[PARTS] = { 0 };
	struct compose c = { .to = boxes,
		.cc = boxes,
		.reply_to = boxes,
		.fields = fields,
		.parts = parts,
		.message_id = S("17@example.net"),
		.boundary = S("nobodyknows") };
	struct compose_plan plan = { 0 };
	unsigned flags, more;
	struct err e = { 0 };

	if (size > 4096)
		return 0;
	c.from = take(&in, &flags);
	c.has_text = flags & 1;
	c.has_html = flags & 2;
	c.subject = take(&in, &flags);
	for (; c.to_n < flags; c.to_n++)
		boxes[c.to_n] = take(&in, &more);
	c.cc_n = c.reply_to_n = c.to_n / 2;
	take(&in, &flags);
	for (; c.fields_n < flags; c.fields_n++) {
		fields[c.fields_n].name = take(&in, &more);
		fields[c.fields_n].value = take(&in, &more);
	}
	c.text = take(&in, &flags);
	c.html = take(&in, &more);
	for (; c.parts_n <= flags && in.n; c.parts_n++) {
		struct compose_part *part = &parts[c.parts_n];

		part->name = take(&in, &more);
		part->is_inline = more & 1;
		part->id = take(&in, &more);
		part->type = take(&in, &more);
		contents[c.parts_n] = take(&in, &more);
		part->size = contents[c.parts_n].n;
	}
	if (compose_plan(&plan, &c, &e))
		read_back(&c, &plan, contents);
	else
		must(e.class == ERR_PERMANENT && e.text[0] && plan.octets.p == NULL);
	compose_free(&plan);
	return 0;
}
