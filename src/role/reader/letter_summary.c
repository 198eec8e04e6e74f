/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

#include <time.h>

#include "base/codec.h"

/* What a list of mails shows of one, as JSON (RFC 8621 §4.1.3). Written directly: it is made once for every mail of a box. */

struct summary {
	const struct letter_part *root;
	struct arena arena; /* of one field */
	struct buf text;
	struct buf *json;
};

/* NUL is no character of a text (RFC 8621 §4.1.2.1), though a transfer encoding may hide one. */
static void
add_text(struct summary *s, struct str text)
{
	struct buf kept = { .max = text.n + 1 };

	if (str_find(text, '\0') == text.n) {
		codec_add_json(s->json, text);
		return;
	}
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i])
			buf_add_char(&kept, text.p[i]);
	codec_add_json(s->json, buf_str(&kept));
	buf_free(&kept);
}

static void
add_text_or_null(struct summary *s, struct str text)
{
	if (text.n)
		add_text(s, text);
	else
		buf_add(s->json, S("null"));
}

static void
add_ids(struct summary *s, struct str raw)
{
	struct str *ids;
	size_t n = letter_field_ids(raw, &s->arena, &ids);

	for (size_t i = 0; i < n; i++) {
		buf_add_char(s->json, i ? ',' : '[');
		add_text(s, ids[i]);
	}
	buf_add(s->json, n ? S("]") : S("null"));
}

static void
add_addresses(struct summary *s, struct str raw)
{
	struct letter_address *list;
	size_t n = letter_field_addresses(raw, &s->arena, &list), shown = 0;

	for (size_t i = 0; i < n; i++) {
		if (list[i].name.n == 0 && list[i].email.n == 0)
			continue; /* an empty group */
		buf_add(s->json, shown++ ? S(",{\"name\":") : S("[{\"name\":"));
		add_text_or_null(s, list[i].name);
		buf_add(s->json, S(",\"email\":"));
		add_text(s, list[i].email);
		buf_add_char(s->json, '}');
	}
	buf_add(s->json, shown ? S("]") : S("[]"));
}

static void
add_subject(struct summary *s, struct str raw)
{
	buf_reset(&s->text);
	letter_field_text(raw, &s->text);
	add_text(s, buf_str(&s->text));
}

/* "2026-11-23T05:19:00+08:00": RFC 3339 §5.6, with the sender's own zone. */
static void
add_date(struct summary *s, struct str raw)
{
	int64_t unix_s;
	int offset;
	struct tm tm;

	if (letter_field_date(raw, &unix_s, &offset) &&
		gmtime_r(&(time_t){ unix_s + (int64_t)offset * 60 }, &tm) &&
		tm.tm_year + 1900 <= 9999)
		buf_addf(s->json, "\"%04d-%02d-%02dT%02d:%02d:%02d%c%02d:%02d\"", tm.tm_year + 1900,
			tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			offset < 0 ? '-' : '+', abs(offset) / 60, abs(offset) % 60);
	else
		buf_add(s->json, S("null"));
}

static const struct {
	const char *property;
	struct str field;
	void (*add)(struct summary *s, struct str raw);
} rows[] = {
	{ "messageId", S("Message-ID"), add_ids },
	{ "inReplyTo", S("In-Reply-To"), add_ids },
	{ "references", S("References"), add_ids },
	{ "sender", S("Sender"), add_addresses },
	{ "from", S("From"), add_addresses },
	{ "to", S("To"), add_addresses },
	{ "cc", S("Cc"), add_addresses },
	{ "bcc", S("Bcc"), add_addresses },
	{ "replyTo", S("Reply-To"), add_addresses },
	{ "subject", S("Subject"), add_subject },
	{ "sentAt", S("Date"), add_date },
};

void
letter_summary(struct letter *l, struct buf *json)
{
	struct summary s = { .root = letter_root(l),
		.arena = { .max = 4 * 1024 * 1024 },
		.text = { .max = LETTER_FIELD_MAX * 4 },
		.json = json };

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct letter_field *f = letter_field(s.root, rows[i].field);

		buf_addf(json, "%c\"%s\":", i ? ',' : '{', rows[i].property);
		if (f)
			rows[i].add(&s, f->raw);
		else
			buf_add(json, S("null"));
		arena_free(&s.arena);
	}
	buf_reset(&s.text);
	letter_preview(l, &s.text);
	buf_add(json, S(",\"preview\":"));
	add_text(&s, buf_str(&s.text));
	buf_addf(json, ",\"hasAttachment\":%s}", letter_view(l)->has_attachment ? "true" : "false");
	buf_free(&s.text);
}
