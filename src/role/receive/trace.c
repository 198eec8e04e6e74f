/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"
#include "role/receive/gate.h"

/* "ESMTPSA" and its kin (RFC 3848, RFC 6531 §4.3), and how TLS was spoken. */
static void
add_protocol(struct buf *to, const struct session *s)
{
	struct stream_facts facts;

	if (s->smtp.is_extended) {
		buf_add(to, s->smtp.transaction.smtputf8 ? S("UTF8SMTP") : S("ESMTP"));
		buf_add(to, s->smtp.is_secure ? S("S") : S(""));
		buf_add(to, s->smtp.is_logged_in ? S("A") : S(""));
	} else {
		buf_add(to, S("SMTP")); /* with TLS too: no other word is registered */
	}
	if (!s->smtp.is_secure)
		return;
	stream_facts(&s->stream, &facts);
	buf_addf(to, " (%s %s)", facts.version, facts.cipher);
}

/* Received (RFC 5321 §4.4): what the client called itself, and what we know of it. */
static void
add_received(struct buf *to, const struct session *s, int64_t now_ms)
{
	char id[MAIL_ID_TEXT], name[GATE_TEXT], remark[GATE_TEXT];
	struct str recipients = buf_str(&s->recipients), only;
	bool is_known = !s->is_local && domain_is_valid(s->smtp.hello, true);

	buf_add(to, S("Received: from "));
	if (is_known)
		buf_add(to, s->smtp.hello);
	else
		buf_add(to, s->is_local ? S("localhost") : S("unknown"));
	if (s->is_local)
		buf_addf(to, " (%s)", s->client);
	else
		buf_addf(to, " (%s[%s%s])%s", judge_name(s, name),
			strchr(s->client, ':') ? "IPv6:" : "", s->client, judge_remark(s, remark));
	buf_addf(to, "\r\n\tby %s (Posthouse) with ", s->terms->hostname);
	add_protocol(to, s);
	buf_addf(to, "\r\n\tid %s", mail_id_text(s->id, id));
	if (s->recipients_n == 1 && codec_scan_str(&recipients, &only)) {
		buf_add(to, S("\r\n\tfor <"));
		buf_add(to, only);
		buf_add_char(to, '>');
	}
	buf_add(to, S(";\r\n\t"));
	date_add(to, now_ms / 1000);
	buf_add(to, S("\r\n"));
}

/* What people's programs may leave to us. */
void
trace_add_missing(
	struct buf *to, const struct session *s, const struct header_facts *facts, int64_t now_ms)
{
	bool is_submitted = s->is_submission || s->is_local || s->smtp.is_logged_in;
	char id[MAIL_ID_TEXT];

	if (is_submitted && !facts->has_date) { /* RFC 6409 §8 */
		buf_add(to, S("Date: "));
		date_add(to, now_ms / 1000);
		buf_add(to, S("\r\n"));
	}
	if (is_submitted && !facts->has_message_id)
		buf_addf(
			to, "Message-ID: <%s@%s>\r\n", mail_id_text(s->id, id), s->terms->hostname);
}

void
trace_add(struct buf *to, const struct session *s, const struct header_facts *facts, int64_t now_ms)
{
	add_received(to, s, now_ms);
	trace_add_missing(to, s, facts, now_ms);
	if (!facts->begins_with_field)
		buf_add(to, S("\r\n"));
}
