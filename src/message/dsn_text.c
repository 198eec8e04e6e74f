/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"

/*
 * The part of a report that people read. For each recipient: who, why in plain words, what the other host
 * said, what to do. The sentences of one language stand in one column, so that a third language is a
 * third column.
 */

enum { SUBJECT_SHOWN = 120 }; /* octets of the old subject */

enum phrase {
	HELLO,
	FROM_HOST,
	MAIL_OF,
	MAIL_OF_END,
	ABOUT,
	ABOUT_END,
	SAID,
	SAID_LAST,
	WAS_FOR,
	UNTIL,
	HEADER_BELOW,
	MAIL_BELOW,
	MAIL_NAME,
	PHRASES_N
};

static const struct str phrases[PHRASES_N][DSN_LANGUAGES] = {
	[HELLO] = { S("Hello,\n\nthis is the mail system at "), S("您好：\n\n这里是邮件系统 ") },
	[FROM_HOST] = { S(".\n"), S("。\n") },
	[MAIL_OF] = { S("Your mail of "), S("您于 ") },
	[MAIL_OF_END] = { S(""), S(" 发来的邮件") },
	[ABOUT] = { S(", with the subject: "), S("（主题：") },
	[ABOUT_END] = { S(""), S("）") },
	[SAID] = { S(" said: "), S(" 的答复：") },
	[SAID_LAST] = { S(" said at last: "), S(" 最后的答复：") },
	[WAS_FOR] = { S("  (you wrote to "), S("  （您写的是 ") },
	[UNTIL] = { S("We try until "), S("我们会一直尝试到 ") },
	[HEADER_BELOW] = { S("The header of your mail is below.\n"),
		S("您邮件的邮件头附在下面。\n") },
	[MAIL_BELOW] = { S("Your mail is below.\n"), S("您的邮件附在下面。\n") },
	[MAIL_NAME] = { S("For the postmaster, the mail is called "),
		S("供邮件管理员查询，这封邮件的编号是 ") },
};

/* By kind: what befell the mail, before the list of recipients; and what comes of it, behind. */
static const struct kind_phrases {
	struct str one, many, end;
} kinds[][DSN_LANGUAGES] = {
	[DSN_FAILED] = { { S("\ncould not be delivered to this address:\n"),
				 S("\ncould not be delivered to these addresses:\n"),
				 S("It will not be tried again. ") },
		{ S("无法送达以下地址：\n"), S("无法送达以下地址：\n"),
			S("我们不会再尝试投递。") } },
	[DSN_DELAYED] = { { S("\nhas not been delivered yet to this address:\n"),
				  S("\nhas not been delivered yet to these addresses:\n"),
				  S("We go on trying. You need not send it again. ") },
		{ S("还没有送达以下地址：\n"), S("还没有送达以下地址：\n"),
			S("我们会继续尝试，您不必重发。") } },
	[DSN_RELAYED] = { { S("\nwas passed on for this address:\n"),
				  S("\nwas passed on for these addresses:\n"),
				  S("You may hear nothing more of it. ") },
		{ S("已转交，收件地址：\n"), S("已转交，收件地址：\n"),
			S("此后可能不会再有消息。") } },
	[DSN_DELIVERED] = { { S("\nwas delivered to this address:\n"),
				    S("\nwas delivered to these addresses:\n"),
				    S("You get this because a report was asked for. ") },
		{ S("已送达以下地址：\n"), S("已送达以下地址：\n"),
			S("您要求过回执，所以收到这封信。") } },
	[DSN_EXPANDED] = { { S("\nwas passed on to all who are behind this address:\n"),
				   S("\nwas passed on to all who are behind these addresses:\n"),
				   S("Of each of them you will hear nothing. ") },
		{ S("已分发给以下地址的全体成员：\n"), S("已分发给以下地址的全体成员：\n"),
			S("对各个成员不再另发回执。") } },
};

/* What befell a recipient for whom there is no error to explain. */
static const struct str successes[][DSN_LANGUAGES] = {
	[DSN_RELAYED] = { S("It was passed on to a host that sends no reports of its own."),
		S("邮件已交给一台不会发送回执的主机。") },
	[DSN_DELIVERED] = { S("It is in the mailbox."), S("邮件已放入邮箱。") },
	[DSN_EXPANDED] = { S("It was passed on to every member."), S("邮件已分发给每一位成员。") },
};

/* "2026-11-23 05:19 UTC" where the long form of mail would be foreign. */
static void
add_moment(struct buf *to, int64_t unix_seconds, enum dsn_language language)
{
	struct buf text = { .max = 64 };

	if (language == DSN_ENGLISH) {
		date_add(to, unix_seconds);
		return;
	}
	date_add_rfc3339(&text, unix_seconds);
	buf_add(to, str_part(buf_str(&text), 0, 10));
	buf_add_char(to, ' ');
	buf_add(to, str_part(buf_str(&text), 11, 5));
	buf_add(to, S(" UTC"));
	buf_free(&text);
}

static void
add_line(struct buf *to, struct str words)
{
	buf_add(to, S("    "));
	buf_add(to, words);
	buf_add_char(to, '\n');
}

static void
add_said(struct buf *to, const struct dsn_recipient *r, enum dsn_language language)
{
	const struct err *e = r->why;

	if (!e->text[0] && !e->code)
		return;
	buf_add(to, S("    "));
	if (r->host.n) {
		buf_add_clean(to, r->host, true);
		if (e->code)
			buf_add(to, phrases[dsn_is_expired(e) ? SAID_LAST : SAID][language]);
		else
			buf_add(to, S(": "));
	}
	if (e->code)
		buf_addf(to, "%u ", e->code);
	if (e->code && e->enhanced.class)
		buf_addf(to, "%u.%u.%u ", e->enhanced.class, e->enhanced.subject,
			e->enhanced.detail);
	buf_add_clean(to, str_of(e->text), true);
	buf_add_char(to, '\n');
}

/* Why, in plain words; then their own words; then what to do. What had hope until time ran out has two
 * reasons: the time, and what stood in the way. */
static void
add_reason(struct buf *to, const struct dsn_recipient *r, enum dsn_language language)
{
	static const struct enhanced out_of_time = { 5, 4, 7 };
	bool is_expired = dsn_is_expired(r->why);
	struct str words = str_of(r->why->text);
	struct dsn_meaning m, cause;

	m = dsn_explain(is_expired ? out_of_time : r->status, words, language);
	add_line(to, m.meaning);
	add_said(to, r, language);
	if (is_expired && r->why->enhanced.subject) {
		cause = dsn_explain(r->why->enhanced, words, language);
		add_line(to, cause.meaning);
		m.for_sender = cause.for_sender;
	}
	if (r->action == DSN_FAILED)
		add_line(to, m.for_sender);
}

static void
add_recipient(struct buf *to, const struct dsn_recipient *r, enum dsn_language language)
{
	struct buf original = { .max = 2 * DSN_ORIGINAL_MAX };

	buf_add(to, S("\n  "));
	buf_add_clean(to, r->address, true);
	dsn_add_original(&original, r->original);
	if (original.n && !str_eq_nocase(buf_str(&original), r->address)) {
		buf_add(to, phrases[WAS_FOR][language]);
		buf_add_clean(to, buf_str(&original), true);
		buf_add(to, language == DSN_CHINESE ? S("）") : S(")"));
	}
	buf_add_char(to, '\n');
	if (r->why)
		add_reason(to, r, language);
	else if (r->action >= DSN_RELAYED)
		add_line(to, successes[r->action][language]);
	if (r->action == DSN_DELAYED && r->retry_until_s) {
		buf_add(to, S("    "));
		buf_add(to, phrases[UNTIL][language]);
		add_moment(to, r->retry_until_s, language);
		buf_add(to, phrases[FROM_HOST][language]);
	}
	buf_free(&original);
}

/* Which mail it was: a subject in encoded words would say nothing to a reader. */
static void
add_old_subject(struct buf *to, const struct dsn *d, enum dsn_language language)
{
	struct str subject = str_trim(header_get(d->original_header, S("Subject")));

	if (subject.n == 0 || subject.n > SUBJECT_SHOWN || !encode_is_clean(subject) ||
		str_find_str(subject, S("=?")) < subject.n)
		return;
	buf_add(to, phrases[ABOUT][language]);
	buf_add_clean(to, subject, true);
	buf_add(to, phrases[ABOUT_END][language]);
}

static void
add_section(struct buf *to, const struct dsn *d, enum dsn_language language)
{
	const struct kind_phrases *kind = &kinds[d->kind][language];

	buf_add(to, phrases[HELLO][language]);
	buf_add_clean(to, d->hostname, true);
	buf_add(to, phrases[FROM_HOST][language]);
	buf_add(to, phrases[MAIL_OF][language]);
	add_moment(to, d->arrived_unix_seconds, language);
	buf_add(to, phrases[MAIL_OF_END][language]);
	add_old_subject(to, d, language);
	buf_add(to, d->recipients_n == 1 ? kind->one : kind->many);
	for (size_t i = 0; i < d->recipients_n; i++)
		add_recipient(to, &d->recipients[i], language);
	buf_add_char(to, '\n');
	buf_add(to, kind->end);
	buf_add(to, phrases[d->original_whole.n ? MAIL_BELOW : HEADER_BELOW][language]);
	if (d->original_id.n) {
		buf_add(to, phrases[MAIL_NAME][language]);
		buf_add_clean(to, d->original_id, true);
		buf_add(to, phrases[FROM_HOST][language]);
	}
}

void
dsn_add_text(struct buf *to, const struct dsn *d)
{
	if (d->language == DSN_CHINESE) {
		add_section(to, d, DSN_CHINESE);
		buf_add(to, S("\n――――――――――\n\n"));
	}
	add_section(to, d, DSN_ENGLISH);
}
