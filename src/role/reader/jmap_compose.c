/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_write.h"

#include "base/codec.h"
#include "message/message.h"

/*
 * From the properties of an Email (RFC 8621 §4.6) to a standard message. What is said is read into a struct compose, and the house's
 * composer writes it: encoded words, names of files, transfer encodings, lengths of lines are its work. Here is only what the words of JMAP mean in it:
 *
 *   from to cc bcc replyTo sender subject sentAt messageId inReplyTo references, header:Name:asForm    jmap_compose_header.c
 *   bodyStructure, or textBody htmlBody attachments; bodyValues, blobs                                 jmap_compose_body.c
 *
 * Nothing is kept half: either the whole message stands in *to, or there is an error and *to is as it was.
 */

enum {
	ARENA_MAX = 8 << 20
}; /* above what JMAP_REQUEST_MAX of JSON can make of addresses and fields is memory that nobody needs */

/* ── what the writer has left to us ── */

/* "random@the domain of the writer", so that nobody else's Message-ID is the same (RFC 5322 §3.6.4). */
static bool
choose_message_id(struct composing *w)
{
	struct str of[] = { w->c.from, buf_str(&w->reader->login) }, name, address, local, domain;
	struct mail_id random = mail_id_random();
	char text[MAIL_ID_TEXT];
	struct buf id = { .max = 512 };
	bool is_kept = false;

	for (size_t i = 0; i < 2 && !is_kept; i++) {
		mailbox_split(of[i], &name, &address);
		if (!str_cut(address, '@', &local, &domain))
			continue;
		buf_reset(&id);
		buf_add(&id, str_of(mail_id_text(random, text)));
		buf_add_char(&id, '@');
		buf_add(&id, domain);
		is_kept = !id.overflow && compose_is_id(buf_str(&id)) &&
			  arena_dup(&w->arena, buf_str(&id), &w->c.message_id);
	}
	buf_free(&id);
	if (!is_kept)
		return jmap_refuse(w->error, "from", "has no domain");
	return true;
}

static bool
fill_in(struct composing *w)
{
	static const struct str nothing = S("");

	if (w->c.from.n == 0)
		w->c.from = buf_str(&w->reader->login);
	if (!w->c.has_text && !w->c.has_html && w->c.parts_n == 0) {
		w->c.has_text = true;
		w->c.text = nothing;
	}
	return w->c.message_id.n || choose_message_id(w);
}

/* ── the message ── */

static bool
too_large(struct composing *w)
{
	*w->error = jmap_set_error("tooLarge", "a message has at most %zu octets", w->size_max);
	return false;
}

static void
read_plan(const struct composing *w, const struct compose_plan *plan, struct buf *to)
{
	struct compose_reader *reader = memory_take(NULL, sizeof *reader);
	size_t part = SIZE_MAX, at = 0;
	struct str piece;

	compose_begin(reader, plan);
	for (enum compose_step step; (step = compose_next(reader, &piece)) != COMPOSE_OVER;) {
		if (step == COMPOSE_PIECE) {
			buf_add(to, piece);
			continue;
		}
		if (reader->part != part)
			part = reader->part, at = 0;
		piece = str_part(w->sources[part].octets, at, reader->wanted);
		at += piece.n;
		compose_feed(reader, piece);
	}
	memory_release(NULL, reader);
}

static bool
write_message(struct composing *w, struct buf *to)
{
	char boundary[MAIL_ID_TEXT];
	struct compose_plan plan = { 0 };
	struct err e = { 0 };
	bool fits;

	w->c.boundary = str_of(mail_id_text(mail_id_random(), boundary));
	if (!compose_plan(&plan, &w->c, &e)) {
		if (e.kind == ERR_TOO_BIG)
			return too_large(w);
		*w->error = jmap_set_error("invalidProperties", "%s", e.text);
		return false;
	}
	fits = plan.size <= w->size_max - to->n;
	if (fits)
		read_plan(w, &plan, to);
	compose_free(&plan);
	return fits || too_large(w);
}

bool
jmap_compose(struct reader *reader, const json_t *email, struct buf *to, json_t **error)
{
	struct composing w = {
		.reader = reader,
		.email = email,
		.error = error,
		.arena = { .max = ARENA_MAX },
		.size_max = to->max,
	};
	bool is_good = composing_read_header(&w) && composing_read_body(&w) && fill_in(&w) &&
		       write_message(&w, to);

	composing_close_body(&w);
	arena_free(&w.arena);
	return is_good;
}
