/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_RECEIVE_RECEIVE_H
#define ROLE_RECEIVE_RECEIVE_H

#include "base/map.h"
#include "io/address_table.h"
#include "io/stream.h"
#include "message/message.h"
#include "role/preface.h"
#include "role/role.h"
#include "smtp/server.h"
#include "spool/spool.h"

/* One arm of the driver's switch returns how to go on. */
enum turn { NEXT, WAIT, DONE };

/* A question that is under way outside the loop's turn: to another role, or to the disk. A session has one
 * at a time. */
#define ASK_GATE UINT64_MAX
enum ask_state { ASK_NONE, ASK_WAITING, ASK_ANSWERED, ASK_FAILED };

struct ask {
	enum ask_state state;
	uint64_t number; /* what the answer names; 0: the disk's; ASK_GATE: gate.c minds it */
	int64_t since_ms;
	uint8_t kind; /* enum found_kind or checked_result */
	struct buf text, token;
	struct err err;
};

/* What sessions share that began under the same configuration: alive until the last of them ends.
 */
struct terms {
	struct smtp_server_settings smtp;
	char hostname[256];
	char zones[CONFIG_ZONES_MAX][256]; /* gate.dnsbl: an answer is of the list that was asked */
	size_t zones_n;
	unsigned users;
};

struct session {
	struct list link; /* in the order of last being heard */
	struct receive *house;
	struct terms *terms;
	struct smtp_server smtp;
	struct stream stream;
	struct loop_watch *watch;
	int64_t heard_ms;   /* since then its newest request is under way */
	int64_t message_ms; /* the same for the message coming in; 0: none */
	unsigned progress,
		useful_commands;    /* gate.c: lines worked off; when one of them last was of use */
	unsigned listen;	    /* its door's section of the file; not where is_local */
	struct preface preface;	    /* what a proxy says first */
	const char *unwelcome;	    /* what is said in place of a greeting; NULL: nothing */
	struct gate *gate;	    /* of a stranger at an smtp door, else NULL */
	bool awaits_proxy;	    /* nothing but a PROXY header may come */
	bool may_speak_for;	    /* others, by XCLIENT */
	bool is_spared, is_counted; /* by the gate */
	bool is_blocked; /* output, or the handshake: what becomes ready is no input for the core */
	bool has_tls;	 /* its door offers TLS */
	bool is_shaking; /* hands: the TLS handshake is under way */
	struct list late_shake;
	bool is_leaving; /* no handshake came of it: what it says is thrown away until it closes */
	size_t left;	 /* octets thrown away */
	bool is_submission, is_local, is_trusted, is_loopback, is_refused, is_over;
	bool is_reader; /* what a person writes in the browser: is_local, and has the rights of its login alone */
	unsigned seat;	 /* whose reader */
	bool is_running; /* session_run is on the stack: completions must not enter it again */
	char client[64]; /* "192.0.2.1", "uid 1000" */
	uint16_t client_port;
	struct config_network at; /* the same address; not where is_local */
	struct ask ask;
	int64_t login_ms; /* of the AUTH that went well */
	unsigned logins_refused;
	struct buf login, token; /* after AUTH */
	struct str mechanism;	 /* of it; a constant */
	struct buf recipients;	 /* of the transaction, packed */
	uint32_t recipients_n;
	struct buf dsn; /* what was asked for each of them, packed (spool_add_dsn) */
	bool has_dsn;	/* anything, for any */
	struct draft *draft;
	struct header_watch header; /* of the message coming in */
	struct mail_id id;	    /* of the mail being committed */
	struct filters *filters;    /* content filters of its mails (filter.h); NULL: none */
};

struct receive {
	struct role role;
	struct ipc *queue, *vault, *resolve;
	int queue_next; /* a new queue's channel, waiting until the current segment is given back;
			   -1 */
	struct spool_writer *writer;
	struct address_table *table; /* may be NULL */
	struct tls *tls;	     /* of the doors; NULL: vault has not given certificates */
	struct list late_shakes;     /* sessions whose handshake waits for others' */
	struct loop_timer *shake_timer;
	bool is_crowded; /* a handshake found no place among those under way */
	struct terms *terms;
	struct list sessions;
	unsigned sessions_n;
	uint64_t asks;
	struct loop_timer *tick;
	struct list doors;
	struct list broken;	 /* segments whose failure the queue has not yet logged */
	struct crowd *crowd;	 /* what is known of clients, by all receivers */
	struct map inquiries;	 /* of inquiry.c, by number */
	int64_t proxy_missed_ms; /* the log last told that a proxy says nothing; 0: never */
	unsigned names_asked;	 /* of them, for names */
	int fd_most; /* sessions have descriptors below it; the rest is for segments, files, tables, channels */
	int64_t began_ms; /* 0: not yet */
	bool are_doors_open, is_draining;
	bool queue_is_full; /* as many recipients wait as may */
	uint64_t held; /* octets of messages that content filters look at; at most limits.memory */
	uint64_t held_by_strangers; /* of them */
	struct map holders;	    /* of filter_mail.c: the strangers' networks */
};

/* ── admit.c: who may send what to whom ── */
/* Is there place, and is this client wanted? What it says itself does not matter yet. */
bool admit_comes_in(const struct session *s, struct err *e);
enum turn admit_client(struct session *s);
enum turn admit_hello(struct session *s);
enum turn admit_tls(struct session *s);
enum turn admit_xclient(struct session *s);
enum turn admit_login(struct session *s);
void admit_holds(struct session *s); /* may this client have mail held? */
enum turn admit_sender(struct session *s);
enum turn admit_recipient(struct session *s);
enum turn admit_message(struct session *s);
bool admit_may_relay(const struct session *s);
/* Joins the envelope; false: it would become larger than the log keeps. */
bool admit_add_recipient(struct session *s, struct address a, uint8_t notify, struct str original);
enum turn admit_verify(struct session *s);
enum turn admit_expand(struct session *s);

/* ── trace.c: what we write before a message ── */
void trace_add(
	struct buf *to, const struct session *s, const struct header_facts *facts, int64_t now_ms);
void trace_add_missing(
	struct buf *to, const struct session *s, const struct header_facts *facts, int64_t now_ms);

/* ── behalf.c: whom a connection speaks for ── */
enum turn behalf_proxy(struct session *s);	  /* NEXT: the header is taken */
void behalf_log_missing(const struct session *s); /* it was waited for in vain */
bool behalf_xclient(
	struct session *s, struct err *e); /* ON_XCLIENT; false: it is answered with e */

/* ── ask.c: questions to vault ── */
enum turn ask_lookup(struct session *s, uint8_t why, struct address a);
enum turn ask_check(struct session *s);
enum turn ask_signature(struct session *s); /* of what the handshake wants signed */
void ask_clear(struct ask *a);
void ask_came(struct receive *r, struct ipc_message *m); /* found, checked, signature */
void ask_fail_all(struct receive *r);			 /* vault is gone */
void ask_tick(struct session *s, int64_t now_ms);	 /* too long without an answer */

/* ── secure.c: TLS ── */
void secure_came(struct receive *r, const struct ipc_certificates *m);
enum turn secure_session(struct session *s); /* WANT_TLS */
enum turn secure_leave(
	struct session *s); /* is_leaving: more has come; DONE: it has closed, or said enough */
void secure_call_next(struct receive *r); /* a handshake that was under way is so no more */

/* ── receive.c: a session ── */
void session_run(struct session *s);
void session_ready(void *session, int events); /* of its descriptor */
enum turn session_flush(
	struct session *s); /* WAIT: the client is slow to take it; session_ready goes on */
void session_log_refusal(const struct session *s, const struct err *e);
void session_free(struct session **s);

/* ── door.c: from a connection to a session ── */
void door_listener(void *owner, unsigned kind, unsigned listen, int fd); /* role_hooks.listener */
void door_caller(struct receive *r, unsigned seat, int fd);		 /* a reader's connection */
void door_watch_all(struct receive *r, bool is_open);
void door_read_proxy(struct session *s); /* more of a PROXY header may have come */
void session_know_client(struct session *s, const struct config_network *at, uint16_t port);
void session_know_rights(struct session *s); /* what it may, as far as TLS and its address decide */
void session_forget_login(struct session *s);

/* ── border.c: the log and the queue ── */
void border_open(struct receive *r);
void border_new_queue(struct receive *r, int fd);

/* ── house.c: what sessions share ── */
void house_open_doors(struct receive *r); /* when there is what the first client needs */
void house_drop_terms(struct terms *t);

#endif
