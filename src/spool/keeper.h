/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPOOL_KEEPER_H
#define SPOOL_KEEPER_H

#include "base/arena.h"
#include "base/intern.h"
#include "base/map.h"
#include "spool/segment.h"

/* What the files of the keeper share: the state of the fates (fate.c, fate_entry.c), their log
 * (ledger.c), the maker of files (maker.c), and the keeper itself (keeper.c, keeper_big.c,
 * keeper_read.c, recover.c). */

/* ── fate.c: what is known about mails and segments, and the log's entries that change it ── */

enum kept_state {
	KEPT_MAKING,   /* the maker is at it */
	KEPT_OPENING,  /* made; its opening is not durable in the log */
	KEPT_OPEN,     /* somebody may be writing it */
	KEPT_SEALED,   /* has its end */
	KEPT_FREE,     /* all its mails are done with, durably */
	KEPT_REMOVING, /* the maker is at it */
};

struct kept_segment {
	uint64_t number, generation, size, end;
	enum kept_state state;
	/* its mails that are done with: to be known until it is made anew */
	struct mail_id *released;
	uint32_t released_n, released_capacity;
	/* not in the log: */
	uint64_t pins, read_to;
	uint64_t ticket; /* of the last entry about it or its mails */
	int fd;		 /* for reading; -1: not open */
	bool is_there;	 /* recovery found its file */
	bool is_damaged; /* holds a record that cannot be read: kept for whoever rescues it */
};

/* The newest fate of each recipient that has one, of a mail that is not released. */
struct fate_mail {
	struct mail_id id;
	union {
		uint32_t one;	/* of a mail whose only fate is that of its first recipient */
		uint32_t *many; /* by recipient; owned */
	} fates;		/* in fate_state.fates; 0: it has none */
	uint32_t fates_n;	/* how many, a power of two; 0: no mail, but a free entry */
	bool is_unclaimed;	/* from before this start, and its record was not read yet */
};

/* A million recipients may have a fate each, so these are entries of pools, and what peers said is kept once. Lives at
 * one address. */
struct fate_state {
	struct pool mails; /* struct fate_mail */
	struct refs by_id; /* of mails */
	struct pool fates;
	struct intern texts;
	struct pool long_texts; /* struct str: those that texts would cut; owned */
	struct buf scratch;
	struct map segments; /* struct kept_segment by number */
};

enum fate_entry_kind {
	ENTRY_FATE = 1,	    /* fate */
	ENTRY_RELEASED = 2, /* id, number: the mail is done with */
	ENTRY_MADE = 3,	  /* number, generation, size: empty; what was known of its mails is past */
	ENTRY_SEALED = 4, /* number, generation, end */
	ENTRY_GONE = 5,	  /* number: its file was removed */
};

struct fate_entry {
	enum fate_entry_kind kind;
	struct fate fate;
	struct mail_id id;
	uint64_t number, generation, size, end;
};

static inline struct str
id_octets(const struct mail_id *id)
{
	return (struct str){ (const char *)id->octet, sizeof id->octet };
}

void fate_state_init(struct fate_state *s);
void fate_state_free(struct fate_state *s);
void fate_apply(struct fate_state *s, const struct fate_entry *entry);
void fate_drop_mail(struct fate_state *s, struct mail_id id);
/* NULL: it has no fate; it is unknown. */
struct fate_mail *fate_mail(const struct fate_state *s, struct mail_id id);
/* All mails: for (at = 0; (m = fate_next_mail(s, &at)); ). None may come or go meanwhile. */
struct fate_mail *fate_next_mail(const struct fate_state *s, uint32_t *at);
struct kept_segment *fate_segment(const struct fate_state *s, uint64_t number);

/* The next recipient at or behind *at that has a fate, and its fate; *at then stands behind it. The texts are good
 * until an entry is applied. */
bool fate_next_kept(
	const struct fate_state *s, const struct fate_mail *m, uint32_t *at, struct fate *f);

/* A whole checkpoint file. */
void fate_add_checkpoint(struct buf *to, const struct fate_state *s, uint64_t number);
/* A log's or checkpoint's content, applied. False: a checkpoint without its mark, or not such a file.
 * `damaged` counts records and entries. */
bool fate_apply_file(
	struct fate_state *s, struct str file, enum segment_use use, uint64_t *damaged);

/* ── fate_entry.c: entries as octets ── */

void fate_add_entry(struct buf *to, const struct fate_entry *entry);
/* The next entry of a record's payload; its texts point into `in`. Unknown and misshaped ones are passed
 * over and counted. */
bool fate_scan_entry(struct str *in, struct fate_entry *entry, uint64_t *misshaped);
/* The part of a fate that many share: why, host and children. */
void fate_add_texts(struct buf *to, const struct fate *f);
bool fate_scan_texts(struct str *in, struct fate *f); /* all of `in`; the texts point there */

/* ── maker.c: files are made and removed in a thread, because that waits for the disk ── */

enum job_kind {
	JOB_MAKE,    /* a file of header.size, written with real octets, synced, and its name too */
	JOB_RECYCLE, /* an existing one gets that header */
	JOB_WRITE,   /* `content` under `name`, all or nothing */
	JOB_REMOVE,  /* and its going is durable */
	JOB_UNLINK,
	JOB_BIGS, /* JOB_BIGS_N empty files with random numbers */
};

enum { JOB_BIGS_N = 8 };

struct job {
	struct list link;
	enum job_kind kind;
	int directory;
	char name[32];
	struct segment_header header;
	struct buf content;
	int fd; /* MAKE, RECYCLE: write-only, whoever takes the job's. -1: failed */
	uint64_t bigs[JOB_BIGS_N];
	int big_fds[JOB_BIGS_N];
	struct err e; /* set: failed, and nothing is left of it */
};

struct maker;

struct maker *maker_open(struct loop_wake *wake);
void maker_close(struct maker **m); /* waits for the job under way; drops the others */
void maker_give(struct maker *m, struct job *j);
void maker_take_done(struct maker *m, struct list *jobs);
void maker_run(struct job *j); /* at once, here */
struct job *maker_new_job(enum job_kind kind, int directory);
void maker_free_job(struct job *j); /* closes what nobody took */

/* ── the keeper itself ── */

enum {
	KEEPER_LOG_SIZE = SPOOL_SEGMENT_MIN,
	KEEPER_LOGS_SPARE = 3, /* made ahead, so that a full disk does not stop the draining */
	KEEPER_FREE_MAX = 4,   /* more free segments than these are removed */
	/* a new checkpoint: so many full logs since the last one, and so many times its size */
	KEEPER_CHECKPOINT_LOGS = 4,
	KEEPER_CHECKPOINT_FACTOR = 4,
	KEEPER_WINDOW = 256 * 1024, /* octets read ahead */
};

enum kept_big_state {
	BIG_FOUND, /* was there at the start; no record that was read names it */
	BIG_READY, /* made, to be given */
	BIG_GIVEN, /* a receiver has it */
	BIG_NAMED, /* a live mail's record names it */
};

struct kept_big {
	struct list link; /* READY */
	uint64_t number;
	enum kept_big_state state;
	int fd; /* READY, else -1 */
};

/* To be done when an entry of the log is durable. */
struct keeper_task {
	struct list link;
	uint64_t ticket;
	void (*run)(struct spool_keeper *k, struct keeper_task *t);
	uint64_t number;
	int fd;
};

struct spool_keeper {
	struct keeper_hooks hooks;
	struct loop_wake *wake;
	int root, seg, big, fate, lock; /* directories, and the lock file */
	uint64_t segment_size;
	struct fate_state state;
	struct map history; /* ids of released mails, as the log said before this start */
	struct arena history_arena;
	/* the log */
	struct committer *log;
	struct buf entries; /* of this turn */
	uint64_t ticket, ticket_durable;
	struct list tasks;	       /* struct keeper_task, by ticket */
	uint64_t log_oldest, log_next; /* numbers of the files */
	unsigned logs_at_hand, logs_making, logs_full;
	uint64_t checkpoint, checkpoint_octets; /* the last one's number and size */
	bool is_checkpointing, is_broken, is_log_refused;
	/* files */
	struct maker *maker;
	uint64_t segment_next;
	struct map bigs;	/* struct kept_big by number */
	struct list bigs_ready; /* the same, BIG_READY */
	unsigned bigs_ready_n;
	bool is_making_bigs;
	/* reading */
	struct buf window; /* octets of one segment */
	uint64_t window_number, window_at;
};

/* ledger.c: the fate log as files */
bool ledger_open(struct spool_keeper *k, struct err *e);
void ledger_close(struct spool_keeper *k);
uint64_t ledger_add(struct spool_keeper *k, const struct fate_entry *entry); /* its ticket */
/* `run` is called when all that was added so far is durable; a descriptor that it leaves in the task is
 * closed. */
void ledger_when_durable(struct spool_keeper *k,
	void (*run)(struct spool_keeper *k, struct keeper_task *t), uint64_t number, int fd);
void ledger_flush(struct spool_keeper *k);
void ledger_turn(struct spool_keeper *k); /* tells what the committer reports */
void ledger_make_files(struct spool_keeper *k);
void ledger_take_file(struct spool_keeper *k, struct job *j);
void ledger_checkpointed(struct spool_keeper *k, struct job *done);

/* recover.c */
bool recover_directory(struct spool_keeper *k, struct str path, struct err *e);
bool recover_state(struct spool_keeper *k, struct err *e);
/* Where the last sound record ends, after a sync; 0 with e. */
uint64_t recover_end(struct spool_keeper *k, struct kept_segment *s, struct err *e);

/* keeper.c, for the others */
void keeper_give_room(struct spool_keeper *k, const struct err *e); /* e was: no space */
/* Is everything in it done with, durably, and was it read to its end? Then it is free. */
void keeper_check_free(struct spool_keeper *k, struct kept_segment *g);

/* keeper_read.c */
/* For reading, the keeper's; -1 with e. */
int keeper_segment_fd(struct spool_keeper *k, struct kept_segment *s, struct err *e);
/* The next sound record from *offset on, which is moved behind it; false at `limit`. is_published: all
 * before `limit` was acknowledged, so what is not sound there is damage. */
bool keeper_next_record(struct spool_keeper *k, struct kept_segment *s, uint64_t *offset,
	uint64_t limit, bool is_published, struct record *r);
void keeper_forget_window(struct spool_keeper *k);
bool keeper_has_damage(const struct spool_keeper *k); /* in any segment, so far as it was read */

/* keeper_big.c */
void keeper_begin_bigs(struct spool_keeper *k);
void keeper_free_bigs(struct spool_keeper *k);
void keeper_make_bigs(struct spool_keeper *k); /* ahead, when few are at hand */
/* False: none were made, j->e says why. */
bool keeper_take_bigs(struct spool_keeper *k, struct job *j);
void keeper_put_big(struct spool_keeper *k, uint64_t number, int fd, enum kept_big_state state);
void keeper_name_big(struct spool_keeper *k, uint64_t number); /* a live mail has it */
void keeper_remove_big(struct spool_keeper *k, uint64_t number);
void keeper_drop_found_bigs(struct spool_keeper *k); /* those of the last start that nobody named */

#endif
