/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_H
#define POSTHOUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * libposthouse: write mails and hand them to a server, by SMTP (RFC 5321) or LMTP (RFC 2033).
 *
 *   ph_session *s = ph_session_new("smtp://mail.example.org");
 *   ph_mail *m = ph_mail_new();
 *   ph_login(s, "wei@example.org", password);
 *   ph_from(m, "魏 <wei@example.org>");
 *   ph_to(m, "bob@example.net");
 *   ph_subject(m, "Lunch");
 *   ph_text(m, "See you at noon.\n");
 *   ph_attach(m, "menu.pdf");
 *   if (ph_send(s, m) != PH_SENT)
 *           for (size_t i = 0; i < ph_results(m); i++)
 *                   printf("%s: %s\n", ph_result(m, i)->address, ph_result(m, i)->text);
 *   ph_mail_free(m);
 *   ph_session_free(s);
 *
 * Laws:
 *  - What goes in is copied, but for the octets given to ph_attach_data, ph_inline_data and ph_message_data, and files, which are
 *    read as they are sent: these must stay as they are until the mail is freed. What comes out belongs to the object that it
 *    came from, until the next call with that object.
 *  - Texts are UTF-8 and end in NUL. Lists of mailboxes ("Bob <bob@example.net>, ann@example.net") have commas between them.
 *    A line end or NUL in a field is an error, never a second field.
 *  - The first thing that is wrong with a mail or a session sticks: the calls behind it do nothing, ph_send says PH_INVALID, and
 *    ph_mail_error or ph_session_error what it was, and so do the results of the recipients that were named by then. So a mail is
 *    written without looking at each call.
 *  - No globals, no threads, no signals (a connection that breaks raises no SIGPIPE), no exit. One object is for one thread at a time.
 *  - NULL in the place of an object is never right, but for the functions that free.
 */

#ifdef __cplusplus
extern "C" {
#endif

#define PH_VERSION "0.1.0"
const char *ph_version(void); /* of the library that is linked */

typedef struct ph_mail ph_mail;	      /* one mail: what is said, to whom, and what became of it */
typedef struct ph_session ph_session; /* one server, at most one connection to it at a time */
typedef struct ph_pool ph_pool;	      /* several connections to one server, for many mails */
typedef struct ph_core ph_core;	      /* the dialogue alone: octets in, octets out, events */

/* Own memory: resize works as realloc; n = 0 gives p back. It may refuse (NULL): the call then fails as any other. TLS has the
 * memory of OpenSSL. The struct is copied. */
struct ph_memory {
	void *(*resize)(void *context, void *p, size_t n);
	void *context;
};

enum ph_status {
	PH_SENT,    /* the server took it for all recipients: from now on it answers for the mail */
	PH_PARTLY,  /* for some of them; see their results, and ph_keep_unsent */
	PH_REFUSED, /* for none, and trying again will not help */
	PH_LATER,   /* for none; it may work later, and what was not taken can be sent again */
	/* the whole message went, and the answer got lost: perhaps it is there, and sending it again may
	 * make two */
	PH_UNSURE,
	PH_INVALID,  /* the mail or the session is wrong; nothing was said */
	PH_UNDERWAY, /* of ph_step and ph_pool_step alone: not yet */
};

const char *ph_status_name(enum ph_status status); /* "sent", "partly", "refused" … */

/* What became of one recipient. */
struct ph_result {
	const char *address;
	/* PH_SENT, PH_REFUSED, PH_LATER, PH_UNSURE; PH_INVALID: the mail or the session is wrong; PH_UNDERWAY: not tried yet */
	enum ph_status status;
	int code;	      /* of the reply: 250, 550 …; 0: none came */
	const char *enhanced; /* RFC 3463: "2.1.5"; "" when the server said none */
	/* its words (without the enhanced code), or ours: one line; for PH_INVALID the error */
	const char *text;
	/* "": nowhere yet. Where: "connect", "greeting", "hello", "tls", "auth", "mail", "rcpt", "data", "body", "end" */
	const char *stage;
	const char *advice; /* what the sender can do, in plain English; "" when it was sent */
};

/* ── A mail ── */

ph_mail *ph_mail_new(void); /* NULL: no memory */
ph_mail *ph_mail_new_in(const struct ph_memory *memory);
/* At any time but from a hook of its session. That is how sending is given up: the connection of a mail that is under way is hung
 * up, and in a pool nobody is told of it any more. */
void ph_mail_free(ph_mail *m);
/* What is wrong with it; else what was wrong with the last use of it: a file that could not be read by ph_mail_write, a second
 * sending while the first is under way. NULL: nothing. */
const char *ph_mail_error(const ph_mail *m);

/* One mailbox; a second call replaces it. Also where bounces go, unless ph_return_path says otherwise. */
void ph_from(ph_mail *m, const char *mailbox);
/* These may be called again, and add. A group ("Team: ann@example.net, bob@example.net;") is its members. */
void ph_to(ph_mail *m, const char *mailboxes);
void ph_cc(ph_mail *m, const char *mailboxes);
void ph_bcc(ph_mail *m, const char *mailboxes); /* stands nowhere in the message */
void ph_reply_to(ph_mail *m, const char *mailboxes);
void ph_return_path(ph_mail *m, const char *address); /* "": none, as reports have it */
void ph_recipient(ph_mail *m, const char *address);   /* of the envelope alone */
void ph_subject(ph_mail *m, const char *subject);
void ph_header(ph_mail *m, const char *name, const char *value); /* any other field */
void ph_date(ph_mail *m, int64_t unix_seconds); /* else now; in the years 1 to 9999 */
void ph_message_id(ph_mail *m, const char *id); /* without brackets; else a random one */

void ph_text(ph_mail *m, const char *text); /* any line ends */
/* Beside a text, as the other form of the same (RFC 2046 §5.1.4). */
void ph_html(ph_mail *m, const char *html);
/* A picture for the HTML: <img src="cid:ID">. */
void ph_inline(ph_mail *m, const char *id, const char *path);
void ph_inline_data(ph_mail *m, const char *id, const void *data, size_t n, const char *type);
/* Files have a size, which those in /proc do not tell. name NULL: the path's last part, and of data none; type NULL: guessed from the
 * name. */
void ph_attach(ph_mail *m, const char *path);
void ph_attach_as(ph_mail *m, const char *path, const char *name, const char *type);
void ph_attach_data(ph_mail *m, const void *data, size_t n, const char *name, const char *type);

/* In place of all that: a finished message (RFC 5322), any line ends, sent as it is. Its recipients come
 * from ph_recipient, its sender from ph_return_path, which must be said ("": nobody). A subject, a field, a text or an attachment beside it is
 * an error. */
void ph_message_data(ph_mail *m, const void *data, size_t n);
void ph_message_file(ph_mail *m, const char *path);

/* What the server is to report (RFC 3461); a server without DSN is not asked. */
enum { PH_NOTIFY_NEVER = 1, PH_NOTIFY_SUCCESS = 2, PH_NOTIFY_FAILURE = 4, PH_NOTIFY_DELAY = 8 };
void ph_notify(ph_mail *m, unsigned notify);
void ph_return_full(ph_mail *m, bool full); /* reports bring back all of the mail, or its header */
void ph_envelope_id(ph_mail *m, const char *id); /* which they name */
/* On the whole way (RFC 8689); for a server that cannot promise that, or does not prove its name, the mail is refused. */
void ph_require_tls(ph_mail *m);
/* Sent on no earlier (RFC 4865), at most 999999999; for a server that cannot do that the mail is refused. */
void ph_hold_for(ph_mail *m, uint64_t seconds);

/* The message as it would be sent, in pieces; write returns false to end it. False, then or for an error (ph_mail_error). It needs
 * no recipients yet. */
bool ph_mail_write(
	ph_mail *m, bool (*write)(void *context, const char *octets, size_t n), void *context);

size_t ph_results(const ph_mail *m); /* recipients, in the order they were named */
const struct ph_result *ph_result(const ph_mail *m, size_t i); /* NULL beyond the last */
/* Leaves out of the envelope those to whom the mail was sent, or perhaps: ph_send then tries the rest, with the same message. Returns
 * how many are left. */
size_t ph_keep_unsent(ph_mail *m);
const char *ph_mail_id(const ph_mail *m); /* Message-ID without brackets; "" while there is none */
const char *ph_mail_sender(const ph_mail *m); /* where bounces go, as on the wire; "": nowhere */
uint64_t ph_mail_size(
	const ph_mail *m); /* octets of the message; 0 before it was sent or written */

/* ── A session ── */

/* smtp://HOST[:PORT], smtps://…, lmtp://…, each with USER@ before HOST; unix:PATH, lmtp+unix:PATH. Port 25,
 * with a login 587; smtps 465; lmtp 24. */
ph_session *ph_session_new(const char *url);
ph_session *ph_session_new_in(const char *url, const struct ph_memory *memory);
void ph_session_free(ph_session *s); /* says QUIT where that costs no waiting */
/* Of the session, of its last connection, or why ph_start or ph_step said PH_INVALID; NULL: none. */
const char *ph_session_error(const ph_session *s);

/* user NULL: the URL's. Of the ways that server and library know the best is taken: SCRAM-SHA-256-PLUS,
 * SCRAM-SHA-256, CRAM-MD5, PLAIN, LOGIN. An empty password is an error, here and for a user of the URL alone. SCRAM has the server say how many
 * rounds of hashing it costs: up to 600,000, half a second in which ph_step does not return. */
void ph_login(ph_session *s, const char *user, const char *password);
/* OAUTHBEARER (RFC 7628), XOAUTH2. */
void ph_token(ph_session *s, const char *user, const char *token);
/* Asked when a connection logs in, and again when the server did not like the token (again is true).
 * Returns a token, or NULL. */
void ph_on_token(ph_session *s, const char *user, const char *(*hook)(void *context, bool again),
	void *context);
void ph_mechanisms(ph_session *s, const char *names); /* only these: "SCRAM-SHA-256 PLAIN" */

enum ph_tls {
	/* encrypted, to a host that proves its name: what holds unless something else is said */
	PH_TLS_VERIFY,
	PH_TLS_ENCRYPT, /* encrypted, whoever it is */
	/* if that works; no password goes in clear, or to a host that does not prove its name, unless the URL
	 * names this machine: localhost, a number like 127.0.0.1 or [::1]. A connection of ph_connected is never taken for that */
	PH_TLS_TRY,
	PH_TLS_NEVER, /* in clear, passwords too */
};
void ph_tls(ph_session *s, enum ph_tls tls); /* unix: is PH_TLS_NEVER from the beginning */
/* Authorities, in place of $SSL_CERT_FILE's, else the system's. */
void ph_trust(ph_session *s, const char *pem_file);
void ph_hostname(ph_session *s, const char *name); /* said in EHLO; else this host's */
/* For each answer; else what RFC 5321 §4.5.3.2 says: minutes. */
void ph_patience(ph_session *s, int seconds);

/* Every line of the dialogue: who is 'C' (we), 'S' (the server), '*' (what happened). Secrets are masked,
 * messages are not shown. */
void ph_trace(ph_session *s, void (*hook)(void *context, char who, const char *line, size_t n),
	void *context);

/* Blocking. The connection stays open for the next mail; one that the server closed meanwhile is made anew, where that cannot make a
 * second copy: while no recipient of the mail has it. */
enum ph_status ph_send(ph_session *s, ph_mail *m);
void ph_quit(ph_session *s); /* ends the connection politely; the session can be used again */
/* "TLSv1.3, TLS_AES_256_GCM_SHA384, verified"; "" in clear. */
const char *ph_session_tls(const ph_session *s);
/* The last connection ended before a login: the host offers no TLS, or does not prove its name. */
bool ph_session_wants_clear(const ph_session *s);

/*
 * For an event loop: the same without waiting (but for names of hosts, which are looked up for each connection: by ph_start, and by
 * ph_step where a connection is made anew; give a number, or ph_connected, where that matters).
 *
 *   for (status = ph_start(s, m); status == PH_UNDERWAY; status = ph_step(s))
 *           wait until ph_fd(s) is as ph_want(s) says, or ph_deadline(s) is there
 *
 * The descriptor may change with each step. Without a mail under way ph_step says PH_INVALID.
 */
enum { PH_READ = 1, PH_WRITE = 2 };
enum ph_status ph_start(ph_session *s, ph_mail *m);
enum ph_status ph_step(ph_session *s);
int ph_fd(const ph_session *s); /* -1: nothing to wait for */
int ph_want(const ph_session *s);
int64_t ph_deadline(const ph_session *s); /* in milliseconds of CLOCK_MONOTONIC */
/* A connection that the caller has made, the session's from now on. */
void ph_connected(ph_session *s, int fd);

/* ── Many mails ── */

/* Each connection is set up as model, which is not used itself and must outlive the pool. */
ph_pool *ph_pool_new(ph_session *model, unsigned connections);
void ph_pool_free(ph_pool *p);
/* Keeps the mail (the caller's still) until `done` was called with it: from ph_pool_add, ph_pool_step and
 * ph_pool_run. A mail that is under way already is told with PH_INVALID, at once, and is still the first sending's. */
void ph_pool_done(
	ph_pool *p, void (*done)(void *context, ph_mail *m, enum ph_status status), void *context);
void ph_pool_add(ph_pool *p, ph_mail *m);
size_t ph_pool_waiting(const ph_pool *p);     /* mails that are not done */
void ph_pool_run(ph_pool *p, size_t waiting); /* until at most so many wait; 0: all are done */
/* For an event loop: one descriptor for all (an epoll), to be watched for input; then, or at the deadline, step. Names of hosts are
 * waited for in ph_pool_add and ph_pool_step, for each connection. */
int ph_pool_fd(const ph_pool *p);
int64_t ph_pool_deadline(const ph_pool *p);
enum ph_status ph_pool_step(ph_pool *p); /* PH_UNDERWAY, or PH_SENT when nothing waits */

/* ── The bare core ── */

/* No socket, no clock: who drives it moves the octets, does the TLS, and watches the time. What comes at the wrong time ends it
 * (PH_FAILED), or is refused where the call says so. */
enum ph_event {
	PH_WANT_INPUT,	/* send what ph_core_output has; feed what the server says */
	PH_WANT_OUTPUT, /* send some of the output, then next; input may be fed too */
	PH_WANT_TLS,	/* shake hands, then ph_core_secured */
	PH_READY,	/* give a mail (ph_core_mail) or ph_core_quit */
	PH_DONE,	/* the mail has its results; ready for the next */
	PH_FAILED,	/* the session is over: ph_core_error; a mail under way has its results */
	PH_CLOSE,	/* after ph_core_quit: flush, close */
};
enum { PH_CORE_LMTP = 1, PH_CORE_TLS_FIRST = 2, PH_CORE_STARTTLS = 4, PH_CORE_CLEAR_LOGIN = 8 };
/* memory may be NULL. */
ph_core *ph_core_new(const char *hostname, unsigned flags, const struct ph_memory *memory);
void ph_core_free(ph_core *c);
/* One of these, before the first ph_core_next; later ones are ignored. */
void ph_core_login(ph_core *c, const char *user, const char *password);
void ph_core_token(ph_core *c, const char *user, const char *token);
enum ph_event ph_core_next(ph_core *c);
void ph_core_feed(ph_core *c, const char *octets, size_t n);
const char *ph_core_output(const ph_core *c, size_t *n);
void ph_core_sent(ph_core *c, size_t n);	    /* so many octets of the output are gone */
void ph_core_secured(ph_core *c, bool is_verified); /* the server has proved its name */
/* Seconds that the server may take for what is awaited now (RFC 5321 §4.5.3.2). */
int ph_core_patience(const ph_core *c);
void ph_core_lost(ph_core *c, const char *why); /* the connection broke, or took too long */
/* The core's until PH_DONE or PH_FAILED. False: it is wrong, or no mail is awaited; see ph_mail_error. */
bool ph_core_mail(ph_core *c, ph_mail *m);
void ph_core_quit(ph_core *c);
const char *ph_core_error(const ph_core *c);

#ifdef __cplusplus
}
#endif

#endif
