/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_QUEUE_QUEUE_H
#define ROLE_QUEUE_QUEUE_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "io/token.h"
#include "role/role.h"
#include "spool/spool.h"

/* What is known of one recipient. A final state is in the fate log before it is here. */
enum recipient_state {
	RECIPIENT_NEW,	    /* the road is being asked for */
	RECIPIENT_WAITING,  /* in an errand: waiting, under way, or deferred */
	RECIPIENT_BOUNCING, /* failed; the sender's bounce is being kept */
	RECIPIENT_FAILED,
	RECIPIENT_DELIVERED,
	RECIPIENT_EXPANDED, /* stands for others, which follow it */
};

struct recipient {
	struct str address; /* as on the wire; owned */
	struct str mailbox; /* user@domain of the mailbox here; owned; empty: elsewhere */
	enum recipient_state state;
	bool is_child; /* came out of one of our own aliases: may go anywhere */
	uint32_t tries;
	int64_t due_ms;
	struct err *last; /* of the newest try; NULL: none, or it went well */
	struct str host;  /* who said so; owned */
};

/* A mail that is not settled. The message is in the log, never here. */
struct mail {
	struct mail_id id; /* the key of queue.mails */
	uint64_t segment, at, big, size;
	int64_t arrived_ms;
	uint32_t flags; /* SPOOL_… */
	bool may_relay;
	bool is_old; /* found by recovery: an earlier try may have left traces */
	struct str reverse_path;
	struct recipient *recipients;
	uint32_t recipients_n, open_n; /* all; those without a final state */
	int copy_fd;	   /* sealed copy of a large message, shared by the errands under way */
	uint32_t copies_n; /* how many those are; the last one closes it */
};

/* Recipients of one mail that go the same way together; or, deferred, that wait for the same
 * moment, when their road is sought anew. */
struct errand {
	struct list link;     /* in destination.waiting or destination.under_way */
	struct heap_link due; /* in queue.due; ms of the wall clock */
	uint64_t number;      /* while under way: the key of queue.attempts */
	struct mail *mail;
	struct destination *to; /* NULL: deferred */
	uint32_t recipients_n, recipients_most;
	uint32_t recipients[]; /* places in mail.recipients */
};

enum { ERRAND_RECIPIENTS_MAX = 100 };

/* Where errands go: one of the file's routes, or the store. */
struct destination {
	struct list link;
	struct str route; /* pattern, owned; empty: the store */
	struct list waiting, under_way;
	unsigned under_way_n, under_way_most;
};

struct queue {
	struct role role;
	struct ipc *receive, *send, *store, *vault;
	struct spool_keeper *keeper;
	struct spool_writer *writer; /* for what the house writes itself */
	struct buf token_key;	     /* empty until vault has told it: nothing is read before */
	struct list followed;	     /* segments being read */
	struct list seals;	     /* ends that wait to be durable */
	struct list spares;	     /* segments that nobody has asked for yet */
	struct buf bigs;	     /* numbers of the big files that the receiver has, u64 each */
	unsigned wants_segments, wants_bigs; /* what is owed to the receiver */
	bool own_wants_segment, is_making, receiver_has_reported, history_is_forgotten;
	struct loop_timer *make_timer;
	struct map mails, attempts;
	struct list destinations;
	struct list roads; /* questions to vault, not yet asked */
	struct map asked;  /* and asked */
	uint64_t numbers;
	struct heap due;
	struct loop_timer *timer;
	struct list bounces; /* waiting to be written again */
	struct loop_timer *bounce_timer;
	unsigned bounces_n; /* all that are not settled */
	struct buf scratch, message;
	uint64_t copied; /* octets of sealed copies that exist now; bounded by limits.memory */
	struct list controls;
	bool is_draining;
};

/* ── mail.c: a mail's life in the index ── */
void mail_index(struct queue *q, const struct spool_mail *m, uint64_t segment, uint64_t at);
void mail_check_settled(struct queue *q, struct mail *mail); /* may free it */
void recipient_delivered(
	struct queue *q, struct mail *mail, uint32_t i, struct str host, const struct err *words);
void recipient_failed(struct queue *q, struct mail *mail, uint32_t i); /* final: last says why */
void recipient_deferred(struct queue *q, struct mail *mail, uint32_t i, int64_t due_ms);
void recipient_note(struct recipient *r, const struct err *why, struct str host);
bool recipient_expanded(struct queue *q, struct mail *mail, uint32_t i, struct str targets);

/* ── road.c: where a recipient goes ── */
void road_find(struct queue *q, struct mail *mail, uint32_t i);
void road_came(struct queue *q, struct ipc_expanded *m);
void road_vault_is_back(struct queue *q);
struct str road_key(const void *road); /* for queue.asked */

/* ── schedule.c: errands, what is tried when ── */
void schedule_add(struct queue *q, struct mail *mail, uint32_t i, struct str route);
void schedule_wait(
	struct queue *q, struct mail *mail, const uint32_t *recipients, uint32_t n, int64_t due_ms);
void schedule_later(struct queue *q, struct mail *mail, const uint32_t *recipients,
	uint32_t n); /* tried in vain: again, or given up */
void schedule_outcome(struct queue *q, struct ipc_outcome *m);
void schedule_stored(struct queue *q, struct ipc_stored *m);
void schedule_peer_lost(struct queue *q, bool is_store); /* what it had under way is tried again */
void schedule_go(struct queue *q);
void schedule_configured(struct queue *q);
bool schedule_is_idle(const struct queue *q);
int64_t schedule_delay_ms(int64_t first_ms, int64_t most_ms, uint32_t tries, uint64_t random);

/* ── bounce.c ── */
void bounce_begin(struct queue *q, struct mail *mail, const uint32_t *recipients, uint32_t n);
void bounce_again(void *owner); /* timer: those that the disk did not take */
void bounce_settled(void *owner, void *bounce, const struct err *e);

/* ── control.c: commands ── */
void control_listener(struct queue *q, int fd);
void control_index_is_whole(struct queue *q); /* questions that waited for it are answered */

/* ── queue.c ── */
void queue_make_own_segment(struct queue *q);
void queue_big_is_named(struct queue *q, uint64_t big); /* a mail has it now */
void queue_check_drained(struct queue *q);
bool queue_is_whole(const struct queue *q); /* is every mail of the log in the index? */

#endif
