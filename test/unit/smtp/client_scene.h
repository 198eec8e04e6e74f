/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_UNIT_SMTP_CLIENT_SCENE_H
#define TEST_UNIT_SMTP_CLIENT_SCENE_H

#include "smtp/client.h"
#include "unit.h"

/*
 * Scenes with a scripted peer. A scene hands over its mails one after another and then quits. In a
 * script `C: line` is what the client must say next, `S: line` what the peer says, `TLS` a handshake that the
 * client must wait for; before the peer speaks the client must have said nothing but what the script has. So a script shows what is
 * pipelined and what waits.
 */
struct scene {
	struct smtp_client_settings settings;
	struct smtp_client_mail *mails;
	size_t mails_n, mails_begun;
	struct str message;
	size_t piece;	      /* octets of it given at a time; 0: all */
	struct str ascii;     /* what it is with an ASCII header; empty: it cannot be */
	unsigned ascii_asked; /* CLIENT_WANT_ASCII seen */

	const char *tokens[3];		    /* given one after another; NULL: none */
	size_t tokens_asked, ahead_offered; /* CLIENT_WANT_TOKEN, CLIENT_WANT_AHEAD seen */
	struct str binding;		    /* of the TLS session, where there is one */

	struct smtp_client c;
	struct buf said;    /* by the client, not yet looked at */
	size_t given;	    /* octets of the message */
	size_t done;	    /* CLIENT_ON_DONE seen */
	size_t peer_octets; /* that the peer may say before the connection is cut; SIZE_MAX: all */
	bool is_ready, is_failed, is_closed, wants_tls, ignores_words;
	bool misses_chunking; /* the peer's offer of it is not seen */
	bool is_unverified;   /* the peer's certificate is not good for its name */
};

void scene_begin(struct scene *s);
void scene_end(struct scene *s);
void scene_expect(struct scene *s, struct str line);
void scene_run(struct scene *s);
void scene_flush(struct scene *s);
void scene_hear(struct scene *s, struct str line);
void scene_shake(struct scene *s);
void scene_play(struct scene *s, const char *script);
struct smtp_client_mail mail_to_two(struct smtp_outcome *o);
struct scene scene_of(struct smtp_client_mail *mails, size_t n);
void assert_taken(const struct smtp_outcome *o);
void assert_refused(const struct smtp_outcome *o, enum err_class class, enum err_kind kind,
	enum smtp_stage stage, int code);

/* Two recipients, bob and eve, and a short message with a dot to stuff serve most scenes. */
extern const struct str two[2];
extern struct smtp_outcome outcomes[2], outcomes_b[2];
#define MESSAGE	   "Subject: hi\r\n\r\n.dot\r\n"
#define STUFFED	   "C: Subject: hi\nC: \nC: ..dot\nC: .\n"
#define UNSTUFFED  "C: Subject: hi\nC: \nC: .dot\n"
#define GREETING   "S: 220 mx.example ESMTP\nC: EHLO client.example\n"
#define BARE	   GREETING "S: 250 mx.example\n"
#define PIPELINING GREETING "S: 250-mx.example\nS: 250-pipelining\nS: 250 SIZE 1000\n"
#define CHUNKING   GREETING "S: 250-mx.example\nS: 250-PIPELINING\nS: 250 CHUNKING\n"
#define GROUP                              \
	"C: MAIL FROM:<ann@example.net>\n" \
	"C: RCPT TO:<bob@example.org>\nC: RCPT TO:<eve@example.org>\n"
#define QUIT "C: QUIT\nS: 221 bye\n"

#endif
