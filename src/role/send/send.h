/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_SEND_SEND_H
#define ROLE_SEND_SEND_H

#include "base/list.h"
#include "role/role.h"
#include "smtp/client.h"

/* One try to hand a mail to a hop: what the queue asked for, and what came of it. */
struct attempt {
	struct send *house;
	uint64_t number; /* the queue's */
	char *memory;	 /* the texts below, but for a mapped message */
	struct str route, reverse_path, message;
	void *mapped; /* the message of a sealed memfd */
	struct str recipients[SMTP_CLIENT_RECIPIENTS_MAX];
	struct smtp_outcome outcomes[SMTP_CLIENT_RECIPIENTS_MAX];
	struct smtp_client_mail mail;
	size_t given;	   /* octets of the message that the client core has */
	bool was_reopened; /* a warm connection turned out to be dead, this is the second */
};

/* A connection to a hop, from connect to close; between mails it waits warm. */
struct link {
	struct list node; /* in send.links */
	struct send *house;
	struct attempt *attempt; /* NULL: warm */
	struct smtp_client client;
	struct smtp_client_settings settings;
	struct buf login, password, hostname, route;
	struct sockaddr_storage hop;
	char hop_text[80]; /* "192.0.2.1:25" */
	struct loop_watch *watch;
	struct loop_timer *patience;
	int fd;
	uint64_t ask;	   /* for the login, when under way */
	uint64_t progress; /* of the client core, when patience was last set */
	unsigned mails;	   /* handed over so far */
	bool is_connecting, is_over;
};

struct send {
	struct role role;
	struct ipc *queue, *vault;
	struct list links;
	uint64_t asks;
	unsigned attempts_n;
	bool is_draining;
};

/* ── attempt.c: the steps of one attempt ── */
void attempt_begin(struct send *s, struct ipc_attempt *m);
void link_secret_came(struct send *s, struct ipc_secret_is *m);
void link_secrets_failed(struct send *s); /* vault is gone */
void link_close_idle(struct send *s);

#endif
