/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_ROLE_H
#define ROLE_ROLE_H

#include "config/config.h"
#include "io/ipc.h"
#include "io/loop.h"
#include "role/profile.h"

/* What two roles must agree on about readers, web and master above all. */
enum {
	ROLE_READERS_MAX = 256, /* at the same time */
	ROLE_BODY_INLINE_MAX =
		48 * 1024, /* octets of a body that travel in a message; more lie in a memfd */
	ROLE_REQUEST_MAX = 10 * 1000 * 1000, /* octets of a request of JMAP */
	ROLE_UPLOAD_MAX = 50 * 1000 * 1000,  /* octets of an upload */
	ROLE_REQUESTS_AT_ONCE = 16,	     /* of a login; RFC 8620 §2, maxConcurrentRequests */
	ROLE_UPLOADS_AT_ONCE = 4,	     /* of a login; maxConcurrentUpload */
};

/*
 * How a role lives: master starts it with its channel as descriptor 3 and hands over, in this
 * order, the configuration, listeners, channels to its peers, and `begin`. Later come new peers
 * (when one of them was restarted), a new configuration (reload), and `drain`.
 */
struct role {
	struct loop *loop;
	struct config config;	/* the newest */
	uint32_t configuration; /* its number */
	struct profile profile; /* what it is locked into, from the first configuration on */
	bool is_locked;
	struct buf mailbox; /* of a reader: the directory that it is locked into */
	struct ipc *master;
	const struct role_hooks *hooks;
	void *owner;
	enum ipc_role self;
	int exit_code;
};

struct role_hooks {
	/* Comes before `configured`: a file that the new configuration names; fd -1: it cannot be opened, cause is the errno.
	 * Both are the caller's. May be NULL */
	void (*file)(void *owner, struct str path, int fd, int cause);
	/* role->config is new; the first time, or by reload. Threads are started the first time or never (by thread_start): behind
	 * it stand the locks. */
	void (*configured)(void *owner);
	/* Open a channel to that role on fd with ipc_open; an older one to the same role and index
	 * is dead: close it. */
	void (*peer)(void *owner, enum ipc_role peer, unsigned index, int fd);
	void (*listener)(void *owner, unsigned door, unsigned listen,
		int fd); /* listen: which of config.listens; may be NULL */
	void (*table)(
		void *owner, unsigned slot, int fd); /* what the gate remembers; may be NULL */
	void (*begin)(void *owner);
	/* What `dial` asked for; fd -1: an errno says why not. May be NULL. */
	void (*dialled)(void *owner, uint64_t dial, uint32_t cause, int fd);
	/* What a reader reads: comes before the first `configured`, and again with a fresh token. May be NULL. */
	void (*mailbox)(void *owner, const struct ipc_mailbox *m);
	/* The reader of that seat, whose `peer` has come, has this mailbox. May be NULL. */
	void (*seated)(void *owner, unsigned seat, struct str login);
	void (*caller)(void *owner, unsigned seat,
		int fd);	    /* a reader's connection, to receive. May be NULL */
	void (*drain)(void *owner); /* finish what is under way, then role_exit */
};

/* The whole life of a role's process: returns its exit code. `owner` is given to the hooks; *r is
 * set up before the first of them. */
int role_run(struct role *r, enum ipc_role self, const struct role_hooks *hooks, void *owner);
void role_exit(struct role *r, int code);
/* The channel to that peer is closed. Master kills it if it broke the rules; else, if both live, joins them anew: a channel may break on its own. */
void role_lost(struct role *r, enum ipc_role peer, bool broke_rules);
void role_lost_reader(struct role *r, unsigned seat, bool broke_rules);

/* What the program does when it was started as a role. */
int receive_main(void);
int queue_main(void);
int send_main(void);
int store_main(void);

#endif
