/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMTP_CLIENT_CORE_H
#define SMTP_CLIENT_CORE_H

#include "smtp/client.h"

/* What the files of the client share; nobody else includes this. client.c has the states' drawing and the laws. */

enum client_state {
	AWAIT_GREETING,
	AWAIT_EHLO,
	AWAIT_HELO,
	AWAIT_STARTTLS,
	SECURING,
	NEEDS_TOKEN,
	AWAIT_LOGIN,
	IDLE,
	AWAIT_RSET,
	AWAIT_MAIL,
	AWAIT_RCPT,
	AWAIT_DATA,
	AWAIT_END,
	AWAIT_QUIT,
	OVER,
};

/* ── client.c ── */
void client_enter(struct smtp_client *c, enum client_state state);
bool client_is_pipelined(const struct smtp_client *c);
uint64_t client_place(const struct smtp_client *c);	/* where the output ends now */
bool client_uses_chunking(const struct smtp_client *c); /* messages go by BDAT */
bool client_message_is_whole(const struct smtp_client_said *said);
bool client_message_has_left(const struct smtp_client *c, const struct smtp_client_said *said);
void client_drop_output(struct smtp_client *c); /* what is in it is not said any more */

void client_wipe(struct buf *b); /* and frees it */

/* Law 3: says a line made of parts; false, and the session has failed, when it cannot be one. */
#define say(c, ...)                                              \
	client_say_parts(c, (const struct str[]){ __VA_ARGS__ }, \
		sizeof((const struct str[]){ __VA_ARGS__ }) / sizeof(struct str))
bool client_say_parts(struct smtp_client *c, const struct str *parts, size_t n);
bool client_is_sayable(struct str s); /* no line end, no NUL */

/* ── client_end.c ── */

/* The reply just read as an err: a yes has class ERR_NONE. c->words then holds its lines as one. */
void client_err_from_reply(struct smtp_client *c, struct err *e);

/* Recipients of `mail` get their outcome, those that have none yet. */
void client_settle_one(struct smtp_client *c, size_t i, const struct err *e);
void client_settle(struct smtp_client *c, const struct err *e);

/* The session is over. */
void client_fail(struct smtp_client *c, const struct err *e);
void client_fail_with_reply(struct smtp_client *c);
void client_fail_with_lie(struct smtp_client *c, const char *what);
void client_refuse_session(struct smtp_client *c);
void client_close_session(struct smtp_client *c);

/* ── client_hello.c: what follows the replies of greeting, hello and login ── */
void client_say_ehlo(struct smtp_client *c);
void client_note_offers(struct smtp_client *c);
void client_retry_as_helo(struct smtp_client *c);
void client_choose_tls(struct smtp_client *c);
void client_begin_tls(struct smtp_client *c);
void client_tls_refused(struct smtp_client *c);

/* ── client_auth.c ── */
void client_log_in(struct smtp_client *c);
void client_login_answered(struct smtp_client *c);
void client_login_refused(struct smtp_client *c);

/* ── client_words.c: what is said of a mail ── */
bool client_mail_is_possible(
	const struct smtp_client *c, const struct smtp_client_mail *mail, struct err *e);
bool client_mail_needs_ascii(const struct smtp_client *c, const struct smtp_client_mail *mail);
void client_say_mail(struct smtp_client *c, const struct smtp_client_mail *mail);
void client_say_rcpt(struct smtp_client *c, const struct smtp_client_mail *mail, size_t i);
void client_say_content(struct smtp_client *c, const struct smtp_client_mail *mail);

/* ── client_mail.c: what follows the replies of a transaction ── */
void client_take_up_ahead(struct smtp_client *c); /* the mail before it is done */
void client_open_body(struct smtp_client *c);	  /* the driver is asked for the message */
void client_reset_taken(struct smtp_client *c);
void client_reset_refused(struct smtp_client *c);
void client_mail_taken(struct smtp_client *c);
void client_mail_refused(struct smtp_client *c);
void client_rcpt_taken(struct smtp_client *c);
void client_rcpt_refused(struct smtp_client *c);
void client_begin_body(struct smtp_client *c);
void client_data_refused(struct smtp_client *c);
void client_end_taken(struct smtp_client *c);
void client_end_refused(struct smtp_client *c);

#endif
