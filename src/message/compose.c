/* SPDX-License-Identifier: Apache-2.0 */
#include "message/compose.h"

#include "message/message.h"

static bool
parts_are_clean(const struct message_parts *parts, struct err *e)
{
	const struct {
		const char *name;
		struct str value;
	} fields[] = { { "From", parts->from }, { "Subject", parts->subject },
		{ "Message-ID", parts->message_id } };

	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		if (!encode_is_clean(fields[i].value))
			return err_set(e, ERR_PERMANENT, ERR_OTHER,
				"%s holds a line end or NUL, or is not UTF-8", fields[i].name);
	for (size_t i = 0; i < parts->to_n; i++)
		if (!encode_is_clean(parts->to[i]))
			return err_set(e, ERR_PERMANENT, ERR_OTHER,
				"To holds a line end or NUL, or is not UTF-8");
	if (!str_is_utf8(parts->text))
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "the text is not UTF-8");
	return true;
}

static void
add_mailboxes(struct buf *to, const struct str *mailboxes, size_t n)
{
	struct str name, address;

	for (size_t i = 0; i < n; i++) {
		mailbox_split(mailboxes[i], &name, &address);
		if (i)
			buf_add(to, S(","));
		encode_mailbox(to, name, address);
	}
	buf_add(to, S("\r\n"));
}

bool
message_compose(struct buf *to, const struct message_parts *parts, struct err *e)
{
	if (!parts_are_clean(parts, e))
		return false;
	buf_add(to, S("From:"));
	add_mailboxes(to, &parts->from, 1);
	buf_add(to, S("To:"));
	add_mailboxes(to, parts->to, parts->to_n);
	buf_add(to, S("Subject:"));
	encode_unstructured(to, parts->subject);
	buf_add(to, S("\r\nDate: "));
	date_add(to, parts->unix_seconds);
	buf_add(to, S("\r\nMessage-ID: <"));
	buf_add(to, parts->message_id);
	buf_add(to, S(">\r\nMIME-Version: 1.0\r\n"));
	encode_text(to, parts->text);
	if (to->overflow)
		return err_set(e, ERR_PERMANENT, ERR_TOO_BIG,
			"the message would be larger than %zu octets", to->max);
	return true;
}

bool
compose_plan(struct compose_plan *plan, const struct compose *c, struct err *e)
{
	struct message_parts parts = { .from = c->from,
		.to = c->to,
		.to_n = c->to_n,
		.subject = c->subject,
		.text = c->text,
		.unix_seconds = c->unix_seconds,
		.message_id = c->message_id };

	plan->octets = (struct buf){ .max = COMPOSE_SIZE_MAX, .memory = plan->memory };
	if (!message_compose(&plan->octets, &parts, e))
		return false;
	plan->size = plan->octets.n;
	return true;
}

void
compose_free(struct compose_plan *plan)
{
	buf_free(&plan->octets);
}

bool
compose_is_field_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f || name.p[i] == ':')
			return false;
	return name.n > 0;
}

struct str
compose_guess_type(struct str name)
{
	(void)name;
	return S("application/octet-stream");
}

void
compose_begin(struct compose_reader *r, const struct compose_plan *plan)
{
	r->plan = plan;
	r->hole = r->at = 0;
}

enum compose_step
compose_next(struct compose_reader *r, struct str *piece)
{
	*piece = str_part(buf_str(&r->plan->octets), r->at, COMPOSE_PIECE_MAX);
	r->at += piece->n;
	return piece->n ? COMPOSE_PIECE : COMPOSE_OVER;
}

void
compose_feed(struct compose_reader *r, struct str octets)
{
	(void)r, (void)octets;
}
