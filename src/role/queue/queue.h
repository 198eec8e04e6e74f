/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_QUEUE_QUEUE_H
#define ROLE_QUEUE_QUEUE_H

#include "base/intern.h"
#include "base/list.h"
#include "base/map.h"
#include "base/pool.h"
#include "io/token.h"
#include "message/message.h"
#include "role/queue/fair.h"
#include "role/queue/turns.h"
#include "role/role.h"
#include "route/hop.h"
#include "spool/spool.h"

/*
 * ── the index ──
 * Mails and recipients are entries of pools, named by 32 bits (`uint32_t mail`, `uint32_t r` below;
 * 0: none). A pointer to one is good while the entry lives. Texts are in queue.texts (shared,
 * counted) and queue.locals. The message is in the log, never here; so is what is rarely wanted.
 */

enum recipient_state {
	RECIPIENT_NEW,	     /* its road is sought: in line for the answer */
	RECIPIENT_ASKED,     /* vault is asked what the address stands for */
	RECIPIENT_IN_LINE,   /* for its destination */
	RECIPIENT_UNDER_WAY, /* in an attempt */
	RECIPIENT_DEFERRED, /* until `due`: tried in vain; never tried: its sender said when (RFC 4865) */
	RECIPIENT_HELD,	    /* by the operator, who may let it go; with is_dropped: until `due` */
	RECIPIENT_BOUNCING, /* failed; the sender's bounce is being kept */
	RECIPIENT_FAILED,
	RECIPIENT_DELIVERED,
	RECIPIENT_EXPANDED, /* stands for others, which follow it */
};

/* What the operator wants of a recipient that is under way: done when it comes back unsettled. And of one whose road is sought:
 * that a destination that is down is tried at once. */
enum recipient_wish { WISH_NONE, WISH_HOLD, WISH_DROP, WISH_BOUNCE, WISH_PROBE };

struct recipient {
	uint32_t local, domain;	   /* in queue.locals; in queue.texts, 0: the address has none */
	uint32_t mail, sibling;	   /* its mail; the next recipient, ring-wise */
	uint32_t next, prev, line; /* NEW, IN_LINE: neighbours, and the line */
	uint32_t
		last; /* in queue.texts: what was said at the newest try, and who said it; packed */
	uint32_t
		due; /* DEFERRED, dropped: in ticks since queue.epoch_ms; for the store: the mailbox, in queue.texts */
	uint32_t place : 20, state : 4,
		notify : 4; /* in the envelope; enum recipient_state; NOTIFY bits (RFC 3461 §4.1) */
	uint32_t is_child : 1;	 /* came out of one of our own aliases: may go anywhere */
	uint32_t is_mailbox : 1; /* such a one, and its address is a mailbox here */
	uint32_t is_dropped : 1;
	uint32_t is_reported : 1; /* delivered, and the next host reports from there on */
	uint16_t tries;
	uint8_t wish; /* enum recipient_wish */
};

struct mail {
	struct mail_id id;			     /* the key of queue.by_id */
	uint64_t arrived_ms : 44, recipients_n : 20; /* n: all of them */
	uint64_t size : 40, flags : 16;		     /* octets; SPOOL_… */
	uint64_t is_live : 1, may_relay : 1;
	uint64_t is_old : 1;	/* found by recovery: an earlier try may have left traces */
	uint64_t is_warned : 1; /* its sender knows that it is late */
	uint64_t has_more : 1;	/* in queue.more */
	uint64_t has_dsn : 1;	/* envelope.dsn or envelope.envid is not empty: read the record */
	uint64_t has_login : 1; /* the payer is a login, and vault vouches for it */
	uint32_t segment, at;	/* at: in SPOOL_ALIGN octets */
	uint32_t sender,
		payer; /* in queue.texts: reverse-path; whose turn it takes: the login, else the reverse-path */
	uint32_t recipients; /* the last one; its sibling is the first */
	uint32_t open_n;     /* those without a final state */
};

/* Of the few mails that have it. */
struct mail_more {
	uint32_t mail;	       /* the key of queue.more */
	uint64_t big;	       /* number of the big file; 0: none */
	int64_t hold_until_ms; /* not to be sent before (RFC 4865); 0: at once */
	struct buf families;   /* of those whose sender wants reports: mail.c's own */
	int copy_fd;	       /* sealed copy of a large message, shared by the errands under way */
	uint32_t copies_n;     /* how many those are; the last one closes it */
};

/* An attempt under way: recipients of one mail that go the same way together. */
struct errand {
	struct list link;
	uint64_t number; /* the key of queue.attempts */
	uint32_t mail;
	struct destination *to;
	struct line *line; /* it is under way there */
	uint32_t recipients_n;
	uint32_t recipients[];
};

enum { ERRAND_RECIPIENTS_MAX = 100 };

/* A set of hops, by which domains that share their hosts share a line; or the store, which has none. */
struct queue_destination {
	struct destination fair; /* first: struct destination * is one of these */
	struct str key;		 /* owned; of queue.destinations: route, and addresses sorted */
	struct str
		name; /* owned, for people: "mx1.example.net", the text of a `via`, "mailboxes" */
	struct str route;      /* owned; pattern of the route in the file; empty: none */
	struct str hops;       /* owned; packed, in the order of the newest road */
	struct str domain;     /* owned; one of the domains that lead here */
	struct list under_way; /* errands */
	uint32_t last;	       /* in queue.texts, as recipient.last: the newest failure */
	struct list link;      /* in queue.destinations_used; the store in none */
	int64_t used_ms;       /* when something last came or went */
	unsigned roads_n;      /* that lead here now */
};

struct queue_totals {  /* recipients since the start; failed counts bounced and given up ones */
	int64_t at_ms; /* of loop_now_ms; of those put aside only */
	uint64_t kept, delivered, deferred, failed;
};

struct queue {
	struct role role;
	struct ipc *receive, *send, *store, *vault, *resolve;
	struct spool_keeper *keeper;
	struct spool_writer *writer; /* for what the house writes itself */
	struct buf token_key;	     /* empty until vault has told it: nothing is read before */
	/* the log: follow.c, segments.c */
	struct list followed, seals,
		spares; /* segments being read; ends not durable yet; made, not asked for */
	struct buf bigs,
		doubtful_bigs; /* numbers that the receiver has; that a dead one had, u64 each */
	unsigned wants_segments, wants_bigs; /* what is owed to the receiver */
	bool own_wants_segment, is_making, receiver_has_reported, history_is_forgotten, is_full;
	struct loop_timer *make_timer, *read_timer;
	/* the index: index.c, mail.c */
	struct pool mails, recipients;
	struct pool chains; /* struct chain *: what recipient.line names */
	struct intern texts;
	struct texts locals;
	struct refs by_id;
	struct map more;
	uint64_t open_n;       /* recipients without a final state */
	int64_t epoch_ms;      /* wall clock of the start: recipient.due counts from here */
	int64_t wall_ahead_ms; /* of the monotonic clock: see wheel_clocks */
	struct chain *wheel;
	uint64_t wheel_at, wheel_next; /* ticks: looked at up to here; the timer is set for */
	uint32_t recipients_waiting;   /* in the wheel */
	struct loop_timer *wheel_timer, *sweep_timer;
	uint32_t sweep_at; /* mails up to here were looked at; 0: none is due */
	/* roads: road.c, expand.c */
	struct map roads, roads_asked, asked;
	struct turns asking, expanding; /* roads for resolve; recipients for vault */
	struct list roads_told,		/* answered: recipients are still to be told */
		roads_idle;		/* nobody waits for them: the one used longest ago first */
	uint32_t roads_idle_n;
	uint32_t
		roads_file; /* counts the files read: a road of an older one tells nobody its way */
	uint32_t reseek_at; /* mails up to here were sent on by the newest file's roads */
	bool is_reseeking;
	struct loop_timer *road_timer;
	/* schedule.c */
	struct fair outbound, inbound; /* to other hosts; to the store */
	struct map destinations, attempts;
	struct list destinations_used;	     /* the one used longest ago first */
	struct queue_destination *mailboxes; /* the store */
	uint32_t destinations_n;
	uint64_t numbers;
	uint64_t copied; /* octets of sealed copies that exist now; bounded by limits.memory */
	struct loop_timer *timer;
	struct queue_totals totals, lately,
		before; /* put aside a little ago, and a little before that: board.c */
	/* bounce.c, control.c */
	struct list reports_begun, bounces; /* open to others; waiting to be written again */
	struct map reports;		    /* the open one of a mail */
	struct loop_timer *report_timer, *bounce_timer;
	unsigned bounces_n; /* all that are not settled */
	struct buf scratch, message, packed;
	struct list controls;
	struct list seats;	/* reader.c's own */
	uint64_t newest_fate;	/* ticket */
	struct story *story;	/* story.c's own */
	struct buf suspensions; /* suspend.c's own: packed */
	bool is_draining;
};

enum { WHEEL_TICK_MS = 100 };

/* ── index.c: reading the index ── */
static inline struct mail *
mail_of(const struct queue *q, uint32_t mail)
{
	return pool_at(&q->mails, mail);
}

static inline struct recipient *
recipient_of(const struct queue *q, uint32_t r)
{
	return pool_at(&q->recipients, r);
}

uint32_t index_find(const struct queue *q, struct mail_id id); /* 0: not here */
/* The next mail behind *cursor (0 to begin), or 0. Mails may come and go between the calls: each one
 * that is there from the beginning to the end is met once. */
uint32_t index_next(const struct queue *q, uint32_t *cursor);
/* The recipients of a mail: for (r = 0; (r = recipient_next(q, mail, r)); ) */
uint32_t recipient_next(const struct queue *q, uint32_t mail, uint32_t r);
struct str mail_sender(const struct queue *q, uint32_t mail);
void recipient_address(const struct queue *q, uint32_t r, struct buf *to);
struct str recipient_local(const struct queue *q, uint32_t r);
struct str recipient_domain(const struct queue *q,
	uint32_t r); /* as written; for comparing many: recipient.domain and intern_find */
/* What was said at the newest try, and by whom; false: it was not tried. One whose destination is
 * down without its having been tried has that destination's. `host` is good until texts change. */
bool recipient_last(const struct queue *q, uint32_t r, struct err *e, struct str *host);
int64_t recipient_due_ms(
	const struct queue *q, uint32_t r); /* wall clock; 0: now, or nobody knows */
/* Where it stands in line; NULL: in none. */
struct queue_destination *recipient_destination(const struct queue *q, uint32_t r);

/* ── hand.c: the operator's hand ──
 * True: done, and logged; the mail may be done with then, and gone: look for it by its id. Or, of one that is
 * away, the wish is kept until it comes back unsettled. False: its state does not allow that. */
/* It waits: may be touched now. */
bool recipient_is_at_hand(const struct queue *q, uint32_t r);
/* Under way, or asked about: it cannot be called back. */
bool recipient_is_away(const struct queue *q, uint32_t r);
bool recipient_hold(struct queue *q, uint32_t r);
bool recipient_release(struct queue *q, uint32_t r); /* also one that was dropped, for 60 s */
bool recipient_retry(
	struct queue *q, uint32_t r); /* sought now is its road, and a host that is down tried */
bool recipient_bounce(struct queue *q, uint32_t r, const char *why); /* back to its sender */
bool recipient_drop(struct queue *q, uint32_t r); /* forgotten in 60 s, unless released */

/* For the others: out of whatever it waits in; its state is the caller's to set. */
void recipient_leave(struct queue *q, uint32_t r);
/* It came back unsettled. Was there a wish? Then it is done; the caller looks whether the mail is settled. */
bool recipient_wished(struct queue *q, uint32_t r);

/* ── destinations: destination.c ──
 * All of them, in no order: for (size_t at = 0; (d = destination_next(q, &at)); ). Waiting: fair.waiting_n;
 * under way, learned limit, down since, next probe: fair.pace (ms of loop_now_ms; see destination_wall_ms). */
struct queue_destination *destination_next(struct queue *q, size_t *at);
int64_t destination_wall_ms(
	struct queue *q, int64_t now_ms); /* a moment of fair.pace on the wall clock */
bool destination_last(
	const struct queue *q, const struct queue_destination *d, struct err *e, struct str *host);
void destination_suspend(
	struct queue *q, struct queue_destination *d, int64_t until_ms); /* wall clock; 0: resume */
/* ── suspend.c: what the operator has suspended, and until when (wall clock). 0: it is not ──
 * Asked when a destination is made, since it comes and goes, and when a recipient's road is sought. */
int64_t suspend_of_destination(struct queue *q, const struct queue_destination *d);
int64_t suspend_of_domain(struct queue *q, struct str domain);

/* ── choice.c: the rule that decides about a domain ── */

enum { ROAD_PORT = 25 };

struct road_choice {
	bool is_ours;			  /* a domain of ours: vault */
	bool is_refused;		  /* no route, and no DNS */
	const struct config_route *route; /* NULL: none of the file's */
	bool is_made;			  /* `hops` are known without a question */
	bool is_host;			  /* ask for the addresses of `name` only */
	enum hop_protocol protocol;
	uint16_t port;
	size_t name_n; /* of `text`: the name to be asked for, lower case */
	char text[256];
};
static inline struct str
road_choice_name(const struct road_choice *choice)
{
	return (struct str){ choice->text, choice->name_n };
}
void road_choose(const struct config *c, struct str domain, struct str reverse_path,
	struct road_choice *choice);
void road_add_made_hops(const struct road_choice *choice, struct buf *to); /* with is_made */

/* ── road.c: where a recipient goes ── */

/* Asks resolve for `explain route`; the answer goes to control_hops with this number. 0: resolve is not there. */
uint64_t road_explain(struct queue *q, const struct road_choice *choice);
void control_hops(struct queue *q, const struct ipc_hops *m);

void road_find(
	struct queue *q, uint32_t r); /* a NEW one, in no line; its mail may be done with then */
void road_came(struct queue *q, const struct ipc_hops *m);
void road_resolve_is_back(struct queue *q);
void road_configured(struct queue *q); /* all roads are sought anew */
bool road_sweep(
	struct queue *q); /* forgets those that nobody wants any more; true: there are more */
void road_start(struct queue *q);

/* ── expand.c: recipients of ours ── */
void expand_find(struct queue *q, uint32_t r);
void expand_came(struct queue *q, const struct ipc_expanded *m);
void expand_vault_is_back(struct queue *q);
void expand_start(struct queue *q);

/* ── index.c: writing it ── */
void index_begin(struct queue *q);
uint32_t index_add_mail(
	struct queue *q, const struct mail *m); /* a copy; found by its id from now on */
void index_drop_mail(struct queue *q, uint32_t mail);
uint32_t index_add_recipient(
	struct queue *q, uint32_t mail, struct str address, bool is_child); /* NEW, the last one */
void recipient_set_address(struct queue *q, uint32_t r, struct str address);
void recipient_note(struct queue *q, uint32_t r, const struct err *why, struct str host);
void recipient_set_state(struct queue *q, uint32_t r, enum recipient_state state);
struct mail_more *mail_more(struct queue *q, uint32_t mail); /* made when it has none */
uint32_t chain_name(struct queue *q,
	struct chain *c); /* for recipient.line; the caller gives it back to queue.chains */
void chain_append(struct queue *q, struct chain *c, uint32_t r); /* next and prev; not the line */
void chain_remove(struct queue *q, struct chain *c, uint32_t r);

/* ── wheel.c: what waits for a moment ── */
/* Does it wait because something goes wrong, and not because somebody wants it to? */
bool recipient_is_late(const struct queue *q, uint32_t r);
void wheel_begin(struct queue *q);
/* What the clocks say now. When that of the wall was set back, all moments that wait go back with it. */
void wheel_clocks(struct queue *q, int64_t wall_ms, int64_t clock_ms);
void wheel_put(struct queue *q, uint32_t r, int64_t due_ms); /* DEFERRED, or HELD and dropped */
void wheel_remove(struct queue *q, uint32_t r);
void wheel_look_anew(struct queue *q); /* at all of it, now: the configuration has changed */

/* ── mail.c: a mail's life ── */
void mail_index(struct queue *q, const struct spool_mail *m, uint64_t segment, uint64_t at);
void mail_check_settled(struct queue *q, uint32_t mail); /* may free it */
/* Not to be sent before, as its sender wishes (RFC 4865); 0: at once. */
int64_t mail_hold_ms(struct queue *q, uint32_t mail);
int64_t mail_age_ms(struct queue *q, uint32_t mail, int64_t wall_ms); /* since it might be sent */
int64_t mail_expires_ms(struct queue *q, uint32_t mail);	      /* when it is given up */
/* The place in the envelope that it came from: its own, or of the alias that led to it. With has_dsn. */
uint32_t recipient_root(struct queue *q, uint32_t r);
void recipient_delivered(struct queue *q, uint32_t r, struct str host, const struct err *words);
void recipient_failed(struct queue *q, uint32_t r);		      /* final: last says why */
void recipient_deferred(struct queue *q, uint32_t r, int64_t due_ms); /* logged, and waits */
bool recipient_expanded(struct queue *q, uint32_t r, struct str targets);
/* Back to its sender, or later, with these words. */
void recipient_refuse(
	struct queue *q, uint32_t r, enum err_class class, enum err_kind kind, const char *words);
void recipient_log(
	struct queue *q, uint32_t r, enum fate_kind kind, int64_t due_ms); /* its fate, as it is */

/* ── schedule.c: errands, what is tried when ── */
void schedule_leave(struct queue *q, uint32_t r, struct line *l); /* out of its line */
void schedule_add(struct queue *q, uint32_t r, struct queue_destination *d);
/* Noted as the end of waiting. */
void recipient_note_expired(struct queue *q, uint32_t r, const struct err *why, struct str host);
/* Tried in vain, with last saying why: again, or given up. All of one mail. */
void schedule_later(struct queue *q, const uint32_t *recipients, uint32_t n);
void schedule_outcome(struct queue *q, struct ipc_outcome *m);
void schedule_stored(struct queue *q, struct ipc_stored *m);
void schedule_peer_lost(struct queue *q, bool is_store); /* what it had under way is tried again */
void schedule_go(struct queue *q);
void schedule_configured(struct queue *q);
void schedule_begin(struct queue *q);
bool schedule_is_idle(const struct queue *q);
/* The destination of these packed hops. */
struct queue_destination *destination_of(
	struct queue *q, const struct config_route *route, struct str hops, struct str domain);
/* What the steps of an attempt (packed) say about the hosts; *host is who decided, in `steps`. */
void destination_learn(
	struct queue *q, struct queue_destination *d, struct str steps, struct str *host);
void destination_start(struct queue *q);
void destination_probe(struct queue *q, struct queue_destination *d); /* if it is down: now */
void destination_configured(struct queue *q);
void destination_used(struct queue *q, struct queue_destination *d); /* something came or went */
/* Forgets what was learned of those that nothing goes to any more; true: there are more. */
bool destination_sweep(struct queue *q);

/* ── copy.c: the message as it is handed over ── */
bool mail_read(struct queue *q, uint32_t mail, struct spool_mail *m,
	struct err *why); /* its record; texts in q->scratch */
/* Is there room for the message? Small ones need none, and one alone may always go. */
bool copy_has_room(struct queue *q, uint32_t mail);
/* The message in q->message, or in *fd, which stays the copy's. *m is the record, or empty where nothing of it
 * is needed. False: permanently, when it is damaged. */
bool copy_take(struct queue *q, uint32_t mail, struct spool_mail *m, int *fd, struct err *why);
void copy_drop(struct queue *q, uint32_t mail); /* for each that was taken */

/* ── bounce.c: recipients of one mail ── */
/* Failed, with last saying why: the sender is told, together with others of the same mail a moment before or after. */
void bounce_begin(struct queue *q, uint32_t mail, const uint32_t *recipients, uint32_t n);
void bounce_start(struct queue *q);
void bounce_settled(void *owner, void *bounce, const struct err *e);
void mail_late(struct queue *q, uint32_t mail); /* older than queue.warn, for the first time */
/* These were delivered into a mailbox here, relayed to a next host, or expanded. Who asked for it is told, unless that
 * host will. */
void report_success(
	struct queue *q, uint32_t mail, const uint32_t *recipients, uint32_t n, enum dsn_kind kind);

/* ── story.c: what `why` tells; each may be called with nothing to keep it in ── */
void queue_note_arrived(struct queue *q, uint32_t mail,
	const struct spool_mail *m); /* new, not found by recovery */
void queue_note_attempt(struct queue *q, uint32_t mail, const uint32_t *recipients, uint32_t n,
	struct str steps); /* as the message `outcome` has them */
void queue_note_fate(struct queue *q, uint32_t r, enum fate_kind kind, int64_t due_ms,
	struct str children); /* last is set; children as struct fate has them */
void queue_note_bounced(struct queue *q, uint32_t mail, const uint32_t *recipients, uint32_t n,
	enum dsn_kind kind, struct mail_id bounce);
void queue_note_settled(struct queue *q, uint32_t mail);
void story_end(struct queue *q); /* writes what waits */

/* ── board.c: how much there was to do ── */
/* Where to count: those of the last seconds are put aside first, from which the rates come. */
struct queue_totals *queue_totals_now(struct queue *q);

/* ── control.c: commands ── */
void control_listener(struct queue *q, int fd);
void control_index_is_whole(struct queue *q); /* questions that waited for it are answered */

/* ── reader.c: readers, and whose mailbox each has ── */
void reader_peer(struct queue *q, unsigned seat, int fd);
void reader_seated(struct queue *q, unsigned seat, struct str login);
void reader_fates_durable(struct queue *q, uint64_t ticket);

/* ── follow.c: the log is read ── */
void follow_start(struct queue *q); /* what was sealed before this start is to be read, too */
void follow_given(struct queue *q, uint64_t segment, bool is_own); /* somebody may write it now */
bool follow_is_own(struct queue *q, uint64_t segment);		   /* by our own writer */
/* May be read so far; UINT64_MAX: it is sealed, to its end. */
void follow_segment(struct queue *q, uint64_t segment, uint64_t durable);
void follow_read_on(struct queue *q); /* there is a token key */
void follow_check_whole(
	struct queue *q); /* if all is read, the time before this start is forgotten */
bool queue_is_whole(const struct queue *q); /* is every mail of the log in the index? */

/* ── segments.c: segments and big files, given and sealed ── */
void segments_begin(struct queue *q);
bool segments_open(struct queue *q, struct err *e); /* the spool, and our own writer */
void segments_receiver(struct queue *q, int fd);    /* a new one */
void queue_make_own_segment(struct queue *q);
void queue_big_is_named(struct queue *q, uint64_t big); /* a mail has it now */

/* ── queue.c ── */
void queue_check_drained(struct queue *q);
void queue_check_full(struct queue *q); /* as many recipients wait as may */

#endif
