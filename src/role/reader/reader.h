/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_READER_H
#define ROLE_READER_READER_H

#include "base/list.h"
#include "role/reader/box.h"
#include "role/reader/kept.h"
#include "role/role.h"

/*
 * A reader has one mailbox, and is the only process that parses its messages. Web hands it what somebody who is signed in wants (`call`, messages.def), and
 * it answers by `reply`. It has no network: a connection to receive, to hand in mail, comes from master (reader_speak), and it speaks SMTP there with
 * the short-lived token that vault has given for this login. The queue answers it about this login's mails alone.
 */

struct reader {
	struct role role;
	struct ipc *web, *queue;
	struct buf login;     /* "wei@example.org" */
	struct buf directory; /* the Maildir */
	struct buf token;     /* the newest: password of AUTH PLAIN at receive */
	struct buf
		addresses; /* packed texts (codec_scan_str): the login may write as these, its own first */
	struct box *box;
	struct kept *kept;
	struct list requests;	  /* struct jmap_request */
	struct loop_watch *watch; /* of the Maildir */
	struct loop_timer *look, *idle;
	struct buf told;      /* the states that web has heard of last */
	struct list speakers; /* who wait for a connection to receive */
	struct list orders;   /* to the queue: the first is under way */
	uint64_t asks;	      /* the newest number */
	bool is_draining;
};

int reader_role(void); /* the role's whole life; returns its exit code */

/* Answers a call; the body may be long. `type` is a content type. */
void reader_reply(struct reader *r, uint64_t ask, unsigned status, const char *type,
	struct str disposition, struct str body);
/* RFC 7807, RFC 8620 §3.6.1: {"type":…,"status":…,"detail":…}, and "limit" unless that is NULL. */
void reader_problem(struct reader *r, uint64_t ask, unsigned status, const char *type,
	const char *limit, const char *detail);
void reader_settle(struct reader *r); /* a request has ended: whoever drains may leave, soon */

/* After something of ours or of others' has changed: web is told the new states. */
void reader_news(struct reader *r);

/* A connection to receive: `came` gets it once, -1: there is none now. */
void reader_speak(struct reader *r, void (*came)(void *owner, int fd), void *owner);

/* An order to the queue about a mail of ours: `told` gets each answer (item, told, end; after `end`, or IPC_CLOSED, nothing more). One at a time: others wait in line. */
void reader_order(struct reader *r, const struct ipc_order *order,
	void (*told)(void *owner, struct ipc_message *m), void *owner);
void reader_forget(struct reader *r, void *owner); /* whoever waited for one of the two is gone */

/* blob.c: what can be downloaded. "U…" an upload, an Email's id: the message, "ID-PART": a part of it. */
void blob_upload(
	struct reader *r, const struct ipc_call *call, struct str octets); /* RFC 8620 §6.1 */
void blob_download(struct reader *r, const struct ipc_call *call);	   /* §6.2 */
/* Its octets, in `own` or `mail`; blob_close. False: no such blob. */
struct blob {
	struct str octets;
	struct str type; /* empty: not known */
	struct buf own;
	struct str mail; /* as box_read gave it */
};
bool blob_open(struct reader *r, struct str id, struct blob *b);
void blob_close(struct blob *b);

#endif
