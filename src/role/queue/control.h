/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_QUEUE_CONTROL_H
#define ROLE_QUEUE_CONTROL_H

#include "role/queue/filter.h"
#include "role/queue/queue.h"
#include "spool/history.h"

/* A command that is connected, and its order: what control.c, walk.c, why.c, board.c and suspend.c share. */

/* The place in the index that an order has come to. Mails come and go between two slices. */
struct walk {
	uint32_t cursor, mail, r; /* r: the recipient that was looked at last */
	struct mail_id id;	  /* of `mail`, to see that it is still that one */
	bool is_counted;	  /* the mail, in end.mails */
	unsigned samples;
	struct map groups;
	bool may_be_gone;	   /* the mail: between two slices, and by a deed */
	int64_t now_ms;		   /* when this slice began */
	struct walk_group *group;  /* of the recipient before */
	struct walk_group *others; /* what came when there were too many groups */
	struct buf address, text;
	struct err last; /* of the recipient before, its name and host */
	struct str last_host;
	uint32_t last_name;	   /* 0: none */
	uint32_t last_destination; /* its number; 0: in line for none */
	bool has_last;
};

struct control {
	struct list link;
	struct queue *queue;
	struct ipc *channel;
	struct loop_timer *again, *patience;
	bool is_waiting; /* for the index to be whole */
	/* the order, and how far it is */
	bool is_busy;
	unsigned slices;
	enum order_verb verb;
	enum order_by by;
	bool is_trial;
	int64_t until_ms;
	struct buf what, sender;
	struct filter filter;
	struct walk walk;
	struct history_search search;
	struct mail_id wanted; /* its first octets */
	size_t wanted_n;
	unsigned told_n; /* events */
	bool has_searched;
	uint64_t ask; /* of resolve; 0: none */
	struct ipc_end end;
};

enum { CONTROL_WAITING_MOST = 1000 }; /* packets on their way to a command */

/* control.c */
void control_end(struct control *c); /* the order is done with: `end` goes out */
void control_refuse(struct control *c, const char *why);

/* walk.c: over the index, a slice a turn. True: there is more. */
void walk_begin(struct control *c);
bool walk_go_on(struct control *c);
void walk_end(struct control *c);
void walk_send_item(struct control *c, uint32_t r, bool has_next);
enum filter_state walk_state(const struct queue *q, uint32_t r);

/* why.c: a mail's life, as far as the index and the history know it */
bool why_begin(struct control *c); /* false: refused */
bool why_go_on(struct control *c);
/* Is this mail asked about, and, of one that is, this recipient? */
bool why_wants_mail(const struct control *c, struct mail_id id);
bool why_wants(const struct control *c, uint32_t r);
void why_send_told(struct control *c, const struct history_event *e);
void why_add_next(struct queue *q, uint32_t r, struct buf *to); /* why it waits, and what for */
void why_end(struct control *c);

/* board.c: destinations and numbers */
void board_top(struct control *c);
bool board_route(struct control *c); /* true: resolve is asked, and answers with c->ask */
void board_send_traced(struct control *c, const struct ipc_hops *m);

/* suspend.c: destinations that the operator wants nothing sent to, until a moment. In the spool, as a note. */
/* until 0: resume. before: when it would have ended. */
bool suspend_set(
	struct queue *q, struct str name, int64_t until_ms, int64_t *before_ms, struct err *e);
bool suspend_recipient(struct queue *q, uint32_t r, int64_t before_ms); /* after that, one by one */
/* Is it deferred to that moment? As exactly as the index knows. */
bool suspend_is_awaited(const struct queue *q, uint32_t r, int64_t until_ms);
bool suspend_next(struct queue *q, size_t *at, struct str *name, int64_t *until_ms);

/* story.c: deeds of the operator, beside what queue.h declares */
void story_add_deed(struct queue *q, uint32_t r, enum history_kind kind);
struct history *story_history(struct queue *q); /* NULL: none is kept */

#endif
