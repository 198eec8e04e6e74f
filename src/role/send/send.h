/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_SEND_SEND_H
#define ROLE_SEND_SEND_H

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "io/stream.h"
#include "role/role.h"
#include "role/send/health.h"
#include "route/hop.h"
#include "smtp/client.h"

/* A hop of an attempt's road. */
struct road_hop {
	struct hop hop;
	struct str text; /* "192.0.2.1:25": what health knows it by, and people */
	struct str key;	 /* what warm links to it are found by: see warm_key */
	bool was_tried;
};

/* One try to hand a mail on along its road: what the queue asked for, and what came of it. */
struct attempt {
	struct send *house;
	uint64_t number;    /* the queue's */
	struct arena arena; /* the texts and arrays below, but for a mapped message */
	struct str route;   /* empty: none of the file's */
	struct str message;
	void *mapped;	  /* the message of a sealed memfd */
	struct buf ascii; /* the message with an ASCII header, for hosts that need it so */
	struct road_hop *hops, *at; /* at: the one that is tried now */
	size_t hops_n;
	struct str *recipients;
	struct smtp_client_dsn *dsn;
	struct smtp_outcome *outcomes;
	struct smtp_client_mail asked, mail; /* as the queue wants it; as the hop gets it */
	struct str body;		     /* what the hop gets: message, or ascii */
	size_t given;			     /* octets of it that the client core has */
	struct str tls;			     /* of the link at hand, as struct step has it */
	struct buf steps;		     /* packed, one a connection that was used up */
	int64_t step_began_ms, deadline_ms;
	struct err why; /* why it failed so far: the first temporary failure, else the last */
	enum smtp_stage why_stage;
	struct smtp_outcome *said; /* by the first hop that put every recipient off; NULL: none */
	bool was_deferred;	   /* a hop has put recipients off at RCPT */
	bool was_reopened;	   /* a warm link turned out to be dead */
	bool is_orphan;		   /* the queue that asked for it is gone: nobody waits for it */
};

/*
 *                            SECURING  shaking hands
 *                              ▲ ▼
 *   ASKING ─▶ CONNECTING ─▶ TALKING ◀─▶ WARM
 *    login of the route        └─▶ LEAVING ◀─┘  QUIT was said
 */
enum link_phase {
	LINK_ASKING,
	LINK_CONNECTING,
	LINK_TALKING,
	LINK_SECURING,
	LINK_WARM,
	LINK_LEAVING,
};

/* A connection to a hop, from connect to close; between mails it waits warm. */
struct link {
	struct list node;      /* in send.links */
	struct list warm_node; /* in warm.links, while WARM */
	struct send *house;
	struct attempt *attempt; /* NULL: WARM or LEAVING */
	struct smtp_client client;
	struct smtp_client_settings settings;
	struct buf login, password, hostname, key;
	struct loop_watch *watch;
	struct loop_timer *patience;
	enum link_phase phase;
	struct stream stream;
	struct buf tls;	   /* as struct step has it */
	uint64_t ask;	   /* for the login, while ASKING */
	uint64_t progress; /* of the client core, when patience was last set */
	unsigned mails;	   /* handed over so far */
};

struct send {
	struct role role;
	struct ipc *queue, *vault;
	struct list links;
	struct map warm; /* struct warm, by key: the links that wait */
	struct health health;
	struct tls *tls;    /* ours towards all hops; NULL: there is none */
	bool trusts_nobody; /* the file of authorities could not be read */
	uint64_t asks;
	unsigned turns;	     /* of equal hosts: attempts that had such a choice */
	uint32_t configured; /* how often: links of an older configuration serve no new mail */
	unsigned attempts_n;
	bool is_draining;
};

/* ── attempt_asked.c: what the queue asked for ── */
/* Makes the mail ready to be handed over from its beginning. */
void attempt_rewind(struct attempt *a);
/* For a host without SMTPUTF8: the octets of the message with an ASCII header, 0: it cannot have one. */
uint64_t attempt_to_ascii(struct attempt *a);
const struct config_route *attempt_route(const struct attempt *a); /* NULL: none */
/* False: a reload took its route away, and with it the login and the source address. */
bool attempt_has_its_route(const struct attempt *a, struct err *e);
enum config_tls attempt_demand(const struct attempt *a); /* of its route */

/* ── attempt.c: which hop is next, and what came of each ── */
void attempt_begin(struct send *s, struct ipc_attempt *m);
bool attempt_has_other_hop(const struct attempt *a);
int64_t attempt_left_ms(const struct attempt *a);	  /* until it is given up; 0: at once */
void attempt_note_tls(struct attempt *a, struct str tls); /* as struct step has it */

/* How a hop went; each takes the attempt. */
void attempt_hop_failed(
	struct attempt *a, const struct err *e, enum smtp_stage stage); /* the next one's turn */
void attempt_reopen(struct attempt *a); /* its warm link was dead all along: the same hop again */
/* Its TLS failed: the same hop again, in clear. */
void attempt_go_clear(struct attempt *a, const struct err *e, enum smtp_stage stage);
/* Every recipient has its outcome: that decides, or the next hop is asked. may_be_delivered: as
 * smtp_client has it. */
void attempt_settle(struct attempt *a, bool may_be_delivered);
void attempt_fail(
	struct attempt *a, const struct err *e); /* something of ours: no hop would help */
void attempt_drop(struct attempt *a);		 /* nobody waits for its outcome */

/* ── link.c, link_connect.c: one connection ── */
/* False: it failed at once. True: the attempt is under way on it. */
bool link_open(struct attempt *a, struct err *e);
struct link *link_warm(struct send *s, struct str key); /* NULL: there is none */
void link_hand_over(struct link *l, struct attempt *a); /* takes the attempt; l was warm */
void link_secret_came(struct send *s, struct ipc_secret_is *m);
void link_secrets_failed(struct send *s); /* vault is gone */
void link_queue_lost(struct send *s);	  /* nobody waits for the attempts under way */
void link_close_idle(struct send *s);
struct str link_pool_key(const void *warm); /* for send.warm */

/* ── secure.c: TLS of a link ── */
void secure_configure(struct send *s); /* reads whom we trust, as the configuration names it */
void secure_choose(const struct link *l, struct smtp_client_settings *settings);
/* Begins the handshake, or goes on with it. */
enum stream_step secure_shake(struct link *l, struct err *e);
/* What failed in this session was TLS, and nothing forbids that the mail goes in clear. */
bool secure_may_go_clear(const struct link *l);

#endif
