/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_STORE_STORE_H
#define ROLE_STORE_STORE_H

#include "role/role.h"

enum { BATCH_MAX = 256 };

/* One mail for one mailbox. Texts are the batch's own. */
struct delivery {
	uint64_t attempt;
	struct str directory; /* the Maildir */
	char name[160]; /* of the file: from the mail's id and the recipient, so that doing it twice
			   gives one file */
	struct str head;    /* Return-Path and Delivered-To */
	struct str message; /* or: */
	int message_fd;	    /* a sealed memfd; -1: none */
	bool again; /* an earlier try may have left the file, here or where a reader moved it */
	bool is_written, is_there; /* by this try; by an earlier one */
	struct err err;
};

struct batch {
	struct delivery deliveries[BATCH_MAX];
	size_t n;
};

struct batch *batch_new(void);
void batch_free(struct batch **b);

/* Copies what it needs of m and takes its descriptor. A mailbox name or domain that cannot be a
 * path is the delivery's error. */
void batch_add(struct batch *b, const struct config *c, struct ipc_deliver *m);

/* deliver.c: all of the batch to stable storage; each delivery's err says how it went. Called by
 * the worker's thread: touches nothing but b. */
void batch_deliver(struct batch *b);

/* worker.c: one thread that waits for the disk. */
struct worker;
struct worker *worker_open(struct loop *l, void (*done)(void *owner, struct batch *b), void *owner);
void worker_give(struct worker *w, struct batch *b); /* one at a time */

#endif
