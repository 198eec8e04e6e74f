/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include <microhttpd.h>

#include "base/ip.h"
#include "base/list.h"
#include "base/map.h"
#include "io/stream.h"
#include "role/preface.h"
#include "role/role.h"

/*
 * Web speaks HTTP with browsers and programs, and knows nothing of mail: who somebody is, vault says, and what a mailbox answers, its reader does.
 *
 *   door.c, behalf.c   a connection becomes a guest, at its own word or a proxy's
 *   tunnel.c           TLS ends here, and libmicrohttpd gets what it carries
 *   http.c, answer.c   libmicrohttpd in our loop: a request begins, waits, is answered
 *   body.c             what a request or a reply carries, in memory or in a memfd
 *   route.c            which request goes where: the table
 *   session.c, claim.c who asks, and may they
 *   call.c, event.c    what goes to the readers, and what comes back
 *   frame.c, page.c, autoconfig.c   what web has itself
 *   web.c              the role round it all: the other roles, the clock, the beginning and the end
 */

enum {
	WEB_GUESTS_MAX = 4096,
	WEB_GUESTS_FROM_ONE = 256, /* address, or /64 */
	WEB_SESSIONS_MAX = 4096,
	WEB_TARGET_MAX = 8192, /* octets of a request's target */
	WEB_DIGEST = 32,
};

#define WEB_FRAME_MAX	       (8 * 1024 * 1024)
#define WEB_BODIES_MAX	       (512ull * 1024 * 1024) /* of all requests under way */
#define WEB_BODIES_A_LOGIN_MAX (2ull * ROLE_UPLOAD_MAX)
#define WEB_REPLIES_MAX \
	(1024ull * 1024 * 1024) /* octets of answers that clients have yet to take */
#define WEB_REPLIES_A_LOGIN_MAX (128ull * 1024 * 1024)

/* What a step says to the driver: go on; an answer is under way; it is answered. */
enum turn { NEXT, WAIT, DONE };

struct miss { /* logins that failed, or may yet, of one address */
	uint64_t who;
	int64_t since_ms;
	unsigned count;
};
enum { MISSES = 1024 };

struct web {
	struct role role;
	struct ipc *vault;
	struct tls *tls;
	uint64_t asks; /* the newest number */
	uint64_t secret[2];
	struct loop_timer *tick;
	bool is_draining;
	/* door.c */
	struct list doors, guests;
	unsigned guests_n, guests_most;
	bool are_doors_open, has_begun;
	int64_t began_ms;
	struct loop_timer *shake_again;
	int64_t proxy_missed_ms; /* the log last told that a proxy says nothing; 0: never */
	/* http.c */
	struct MHD_Daemon *http;
	struct loop_watch *http_watch;
	struct loop_timer *http_timer;
	struct guest *arriving; /* during MHD_add_connection */
	struct list requests;
	uint64_t bodies_size, replies_size;
	/* session.c */
	struct map sessions;
	unsigned sessions_n;
	struct miss misses[MISSES];
	/* call.c, event.c, frame.c */
	struct seat *seats[ROLE_READERS_MAX];
	struct list listeners;
	struct list frames; /* the oldest first */
	uint64_t frames_size;
};

int web_main(void); /* the process's life; its exit code */

/* ── body.c: octets whose number nobody knows before, in memory or, when there are many, in a memfd ── */
struct body {
	struct buf small;
	int fd; /* -1: all is in `small` */
	uint64_t size;
};
void body_open(struct body *b);
bool body_add(struct body *b, struct str octets); /* false: the system has no room */
void body_free(struct body *b);
struct MHD_Response *body_response(
	const struct body *b); /* the body stays the caller's; NULL: no room */

/* ── door.c ── */
struct guest {		  /* a connection */
	struct list link; /* in web->guests: who was heard of longest ago comes first */
	struct web *web;
	struct sockaddr_storage at;
	socklen_t at_n;
	char client[IP_TEXT];
	unsigned char network[16]; /* what is counted: the address, or its /64 */
	int fd;			   /* libmicrohttpd's, in clear; else the tunnel's */
	bool is_secure, is_in_http;
	bool is_loopback; /* its connection, and whoever it is said to be */
	bool is_ending;	  /* it makes room */
	unsigned listen;  /* its door's section of the file */
	struct preface preface;
	struct loop_watch *awaits_proxy; /* nothing but a PROXY header may come; else NULL */
	struct tunnel *tunnel;
	struct request *request; /* under way */
	int64_t idle_ms;	 /* since when there is none */
};
void door_listener(void *owner, unsigned door, unsigned listen, int fd);
void door_open_all(struct web *w); /* once there is TLS to speak */
void door_shut_all(struct web *w);
void door_tick(struct web *w, int64_t now_ms);
void guest_know_address(struct guest *g); /* from g->at */
void guest_welcome(struct guest *g);	  /* it is known whose connection it is */
void guest_enter_http(
	struct guest *g, int fd);   /* libmicrohttpd serves it on fd from now on, and closes it */
void guest_end(struct guest *g);    /* soon, and without a word */
void guest_settle(struct guest *g); /* frees it, if nobody has it any more */

/* ── behalf.c: the header of a proxy ── */
void behalf_open(struct guest *g);
void behalf_close(struct guest *g);			    /* and its connection */
bool behalf_is_late(const struct guest *g, int64_t now_ms); /* and the log knows */

/* ── tunnel.c: TLS ── */
void tunnel_open(struct guest *g);
void tunnel_close(struct guest *g);
bool tunnel_is_late(
	const struct guest *g, int64_t now_ms); /* it shakes hands, or takes what was said last */
void tunnel_certificates(struct web *w, const struct ipc_certificates *m);
void tunnel_signature(struct web *w, const struct ipc_signature *m);
void tunnel_lost_vault(struct web *w);

/* ── session.c ── */
struct str session_key(const void *session); /* for the map */
struct session { /* somebody who has shown who they are, by whatever means: known by a digest of the secret, which itself is not kept */
	unsigned char key[WEB_DIGEST];
	struct buf login;
	char csrf[2 * WEB_DIGEST + 1];
	uint64_t ask; /* of vault, under way; 0: none */
	enum checked_result result;
	int64_t checked_ms; /* when that was said; 0: never */
	struct miss miss;   /* counted when that was asked */
	bool is_over;	    /* they have signed out */
	unsigned users;	    /* requests */
};

enum request_wait {
	WAITS_NOT,
	WAITS_FOR_SESSION, /* vault is asked about request->session */
	WAITS_FOR_VAULT,   /* about this request: it begins a session */
	WAITS_FOR_SEAT,
	WAITS_FOR_READER,
};

struct request {
	struct list link;
	struct web *web;
	struct guest *guest;
	struct MHD_Connection *connection;
	struct buf target; /* as it came, nothing decoded */
	struct str path, query;
	const struct route *route;
	struct body body;
	int64_t since_ms;
	bool has_head, has_body; /* all of it came */
	bool is_suspended, is_answered, is_too_big;
	bool is_endless;    /* its answer has no end */
	bool must_close;    /* nobody knows where the next request would begin */
	unsigned no_room;   /* the status that says so; 0: there is */
	uint64_t thrown;    /* octets of a body that nobody wanted */
	uint64_t announced; /* Content-Length */
	uint64_t reserved;  /* octets of web->bodies_size */
	uint64_t held;	    /* octets of web->replies_size */
	int64_t answered_ms;
	/* who asks */
	struct session *session;
	bool is_by_cookie, has_two_cookies;
	bool was_asked; /* vault, for this request */
	/* what it waits for, and what came */
	enum request_wait wait;
	uint64_t ask;
	int64_t wait_ms;
	bool is_late;	  /* nothing came */
	bool was_called;  /* the reader */
	struct miss miss; /* counted when vault was asked to begin a session */
	enum checked_result begun;
	struct buf login, secret; /* of the session that has begun */
	unsigned status;	  /* of the reader; 0: none came */
	struct buf type, disposition;
	struct body reply;
};

enum turn session_admit(struct request *r); /* NEXT: r->session is somebody */
enum turn session_ask(struct request *
		r); /* vault once more, which has the mailbox opened; WAIT, or DONE when there is no vault */
void session_check(
	struct request *r); /* vault is asked whether the session still is one; nobody waits */
void session_signed_in(struct web *w, const struct ipc_signed_in *m);
void session_lost_vault(struct web *w);
void session_expire_cookie(const struct request *r, struct MHD_Response *response);
void session_leave(struct request *r); /* the request is over */
void session_tick(struct web *w, int64_t now_ms);
enum turn session_show(struct request *r);
enum turn session_begin(struct request *r);
enum turn session_end(struct request *r);

/* ── claim.c: what a request says of itself ── */
struct claim {
	uint8_t how; /* enum sign_in_how */
	bool is_cookie;
	bool is_doubled; /* two cookies of our name: one of them is not ours */
	struct buf login, secret;
};
bool claim_read(const struct request *r, struct claim *c);
/* What the field Authorization says. False: nothing that we know. */
bool claim_read_field(struct str text, struct claim *c);
void claim_free(struct claim *c);		/* and wipes it */
bool claim_is_foreign(const struct request *r); /* a page of another site asks */
unsigned claim_misses(struct request *
		r); /* failed logins of this address in a minute, and those that vault has not answered */
struct miss claim_add_miss(struct request *r);
void claim_take_back(struct web *w, struct miss *m); /* it was none */
struct str claim_cookie_name(const struct request *r);
const char *claim_header(const struct request *r, const char *name);
bool query_get(struct str query, struct str name,
	struct buf *value); /* the value of that field, decoded; false: not there */
const char *claim_host(const struct request *r); /* NULL: none that could stand in a URL */

/* ── http.c ── */
void http_open(struct web *w);
void http_soon(struct web *w); /* a turn of libmicrohttpd, after something was resumed or added */
void http_tick(struct web *w, int64_t now_ms);
void request_wait(struct request *r, enum request_wait what);
void request_release_body(struct request *r); /* it is no more the request's */
/* The client has yet to take that many octets: 0, or the status that says why there is no room for them. */
unsigned request_hold(struct request *r, uint64_t size);
void request_go_on(struct request *r); /* what it waited for has come, or will not */

/* ── answer.c: DONE, all of them ── */
enum turn answer_send_take(struct request *r, unsigned status,
	struct MHD_Response *response); /* with the headers that all have */
enum turn answer_json(struct request *r, unsigned status, struct str json);
enum turn answer_problem(struct request *r, unsigned status, const char *detail); /* RFC 7807 */
/* A request as a whole is none that JMAP takes (RFC 8620 §3.6.1): `type` is the last word of the error's name, `limit` which, if it is one; else NULL. */
enum turn answer_jmap_problem(struct request *r, unsigned status, const char *type,
	const char *limit, const char *detail);
enum turn answer_no_room(struct request *r, unsigned status);
void answer_header(struct MHD_Response *response, const char *name, struct str value);

/* ── route.c ── */
struct route {
	const char *method, *path; /* a path that ends in "*": whatever begins so */
	bool is_for_all;	   /* who it is, does not matter */
	uint64_t body_max;	   /* 0: none is looked at */
	enum turn (*run)(struct request *r);
	const char *size_limit; /* the name that JMAP has for body_max; NULL: none */
};
/* NULL: there is none; *allow has the methods of the path, comma between, empty: there is no such path. */
const struct route *route_find(const char *method, struct str path, struct buf *allow);

/* ── call.c ── */
struct seat {
	struct ipc *reader;
	struct buf login; /* empty: not yet said */
	struct web *web;
	unsigned index;
	int64_t called_ms; /* the newest call */
};
void call_peer(struct web *w, unsigned index, int fd);
void call_seated(void *owner, unsigned index, struct str login);
/* Asks the reader of r->session: NEXT when the reply is in r, however bad; else as a step. */
enum turn call_ask(struct request *r, enum call_what what, struct str path);
enum turn call_session(struct request *r);
enum turn call_api(struct request *r);
enum turn call_upload(struct request *r);
enum turn call_download(struct request *r);
void call_tick(struct web *w, int64_t now_ms);

/* ── event.c ── */
enum turn event_listen(struct request *r);
void event_news(struct web *w, struct str login, struct str states);
void event_end(struct web *w, struct str login,
	const unsigned char
		*key); /* listeners of the login, or of the one session; key may be NULL */
void event_end_all(struct web *w);
bool event_is_heard(struct web *w, struct str login); /* somebody listens */
void event_tick(struct web *w, int64_t now_ms);

/* ── frame.c ── */
enum turn frame_keep(struct request *r);
enum turn frame_show(struct request *r);
void frame_forget(struct web *w, const unsigned char *key); /* those of that session */
void frame_tick(struct web *w, int64_t now_ms);

/* ── page.c, autoconfig.c ── */
bool page_has(struct str path);
enum turn page_show(struct request *r);
enum turn autoconfig_show(struct request *r);

#endif
