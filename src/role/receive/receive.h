/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_RECEIVE_RECEIVE_H
#define ROLE_RECEIVE_RECEIVE_H

#include "io/address_table.h"
#include "message/message.h"
#include "role/role.h"
#include "smtp/server.h"
#include "spool/spool.h"

/* One arm of the driver's switch returns how to go on. */
enum turn { NEXT, WAIT, DONE };

/* A question that is under way outside the loop's turn: to vault, or to the disk. A session has one
 * at a time. */
enum ask_state { ASK_NONE, ASK_WAITING, ASK_ANSWERED, ASK_FAILED };

struct ask {
	enum ask_state state;
	uint64_t number; /* what vault's answer names */
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
	unsigned users;
};

struct session {
	struct list link; /* in the order of last being heard */
	struct receive *house;
	struct terms *terms;
	struct smtp_server smtp;
	struct loop_watch *watch;
	int fd;
	int64_t heard_ms;
	bool is_submission, is_local, is_trusted, is_loopback, is_refused, is_over;
	bool is_running; /* session_run is on the stack: completions must not enter it again */
	char client[64]; /* "192.0.2.1", "uid 1000" */
	struct ask ask;
	int64_t login_ms; /* of the AUTH that went well */
	unsigned logins_refused;
	struct buf login, token; /* after AUTH */
	struct buf recipients;	 /* of the transaction, packed */
	uint32_t recipients_n;
	struct buf dsn; /* what was asked for each of them, packed (spool_add_dsn) */
	bool has_dsn;	/* anything, for any */
	struct draft *draft;
	struct header_watch header; /* of the message coming in */
	struct mail_id id;	    /* of the mail being committed */
};

struct receive {
	struct role role;
	struct ipc *queue, *vault;
	int queue_next; /* a new queue's channel, waiting until the current segment is given back;
			   -1 */
	struct spool_writer *writer;
	struct address_table *table; /* may be NULL */
	struct terms *terms;
	struct list sessions;
	unsigned sessions_n;
	uint64_t asks;
	struct loop_timer *tick;
	struct list doors;
	struct list broken; /* segments whose failure the queue has not yet logged */
	struct rates *rates;
	int fd_most; /* sessions have descriptors below it; the rest is for segments, files, tables, channels */
	int64_t began_ms; /* 0: not yet */
	bool are_doors_open, is_draining;
	bool queue_is_full; /* as many recipients wait as may */
};

/* ── admit.c: who may send what to whom ── */
enum turn admit_client(struct session *s);
enum turn admit_login(struct session *s);
void admit_holds(struct session *s); /* this client may have mail held */
enum turn admit_sender(struct session *s);
enum turn admit_recipient(struct session *s);
enum turn admit_message(struct session *s);
enum turn admit_verify(struct session *s);
enum turn admit_expand(struct session *s);

/* ── trace.c: what we write before a message ── */
void trace_add(
	struct buf *to, const struct session *s, const struct header_facts *facts, int64_t now_ms);

/* ── rate.c: how many recipients a client or login may name in a minute ── */
struct rates *rates_open(void);
bool rates_allow(struct rates *r, struct str who, uint32_t most, int64_t now_ms);

/* ── ask.c: questions to vault ── */
enum turn ask_lookup(struct session *s, uint8_t why, struct address a);
enum turn ask_check(struct session *s);
void ask_clear(struct ask *a);
void ask_came(struct receive *r, struct ipc_message *m); /* found, checked */
void ask_fail_all(struct receive *r);			 /* vault is gone */
void ask_tick(struct session *s, int64_t now_ms);	 /* too long without an answer */

void session_run(struct session *s);
void session_log_refusal(const struct session *s, const struct err *e);

#endif
