/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_PROBE_H
#define CMD_PROBE_H

#include "base/arena.h"
#include "client/way.h"
#include "cmd/secret.h"
#include "cmd/send.h"
#include "io/stream.h"
#include "smtp/reply.h"

/*
 * `posthouse probe`: a dialogue as a tester wants it, timed step by step. It does not go through smtp/client, for it must be able to say
 * what that never would.
 *
 *   probe.c         the table of steps
 *   probe_options.c what is asked for
 *   probe_wire.c    one connection: lines out, replies in, TLS
 *   probe_login.c   AUTH
 *   probe_mail.c    the envelope and the message
 *   probe_tell.c    what was found, for people and as JSON
 */

enum {
	PROBE_MESSAGE_MAX = 64 << 20, /* octets */
};

enum probe_tls { PROBE_TLS_TRY, PROBE_TLS_REQUIRE, PROBE_TLS_NEVER };

/* What was asked for. No text of it has a line end, except those of raw_lines. */
struct probe_order {
	const char *target, *hello, *from, *mechanism, *user, *data, *mail_parameters,
		*rcpt_parameters, *quit_after, *trust;
	struct words to, raw_lines;
	enum probe_tls tls;
	bool is_tls_first, is_lmtp, says_helo, pipelines, reads_password, sends_in_clear, is_json;
	int64_t patience_ms;
	struct secret password;
	char hostname[256], sender[320]; /* what hello and from are else */
};

/* One step: what was said, and what came back. Texts are in the probe's arena, lines divided by '\n'. */
struct probe_step {
	const char *name;
	struct str said;   /* a secret is masked; empty: nothing, as at the banner */
	struct str answer; /* with the code before each line, or a fact: "connected to 127.0.0.1" */
	int code;	   /* of the reply; 0: it is a fact */
	int64_t us; /* from its first octet, or the reply before it, to the last one of its answer */
};

/* What a handshake came to. */
struct probe_handshake {
	bool is_tried, is_good, is_verified;
	struct str version, cipher, unverified; /* unverified: why not */
	int bits;
	int64_t us;
	struct tls_facts certificate;
	struct err error; /* when it is not good */
};

/* Offers, before and behind the handshake. */
enum { PROBE_CLEAR, PROBE_SECURE };

struct probe {
	const struct probe_order *order;
	const struct way *way;
	struct tls *terms;
	struct arena arena;
	struct str message;
	bool is_quiet;			 /* no step is printed */
	bool is_near;			 /* the URL names this machine */
	const enum stream_version *only; /* NULL: any */

	struct stream stream;
	struct buf input; /* heard and not read yet */
	struct reply_reader reply;
	struct probe_step *steps;
	size_t steps_n, steps_room;
	struct str hello[2]; /* the replies to EHLO without the first line, codes cut off */
	bool knows_offer;    /* an EHLO was answered */
	struct probe_handshake handshake;
	int64_t since_us;    /* when something was said or heard last */
	bool is_open;	     /* QUIT makes sense */
	struct err error;    /* the first thing that went wrong */
	bool is_about_login; /* that was */
};

/* ── probe_options.c ── */

/* An exit code; what is wrong was said. *is_over: it was --help. The order's lists have room for argc words. */
int probe_read_order(struct probe_order *o, int argc, char **argv, struct way *way, bool *is_over);
int probe_complain(int exit_code, const char *what, const char *detail); /* returns exit_code */

/* ── probe_wire.c: all of these note a step (or more), print it, and return false with p->error ── */

void probe_begin(
	struct probe *p, const struct probe_order *order, const struct way *way, struct tls *terms);
void probe_end(struct probe *p);
bool probe_fail(struct probe *p, enum err_class class, enum err_kind kind, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
bool probe_connect(struct probe *p);
bool probe_shake(struct probe *p);
bool probe_say(struct probe *p, struct str octets); /* it notes no step */
/* What was said alone, with the time that took. */
void probe_note_said(struct probe *p, const char *name, struct str said);
/* The next reply, as the answer to `said`. True: a whole reply came, whatever its code. */
bool probe_hear(struct probe *p, const char *name, struct str said);
/* Line, CRLF, reply. said: for eyes; the line itself, or what masks it. */
bool probe_ask(struct probe *p, const char *name, struct str line, struct str said);
const struct probe_step *probe_last(const struct probe *p);
/* Of a reply that refuses: the error. */
bool probe_refused(struct probe *p);
/* The value of a keyword in the last EHLO; false: not offered. */
bool probe_offers(const struct probe *p, struct str keyword, struct str *value);

/* ── probe_login.c, probe_mail.c ── */

bool probe_login(struct probe *p);
bool probe_message_load(const struct probe_order *o, struct buf *message, struct err *e);
bool probe_mail(struct probe *p); /* p->message */

/* ── probe_tell.c ── */

void probe_print_step(const struct probe_step *s);
/* versions: what TLS 1.2 alone and TLS 1.3 alone came to. */
void probe_print_offer(const struct probe *p, const struct probe_handshake versions[2]);
void probe_print_json(
	const struct probe *p, const struct probe_handshake versions[2], int exit_code);

#endif
