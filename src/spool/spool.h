/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include "base/arena.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/list.h"
#include "io/loop.h"

/*
 * The spool keeps mails between the final dot and their last fate (docs/spool-format.md). Three parts:
 *   record  the format, pure: encode, and read back with checks (record.c)
 *   writer  for receive, and for the queue's own mails: drafts become records of a segment, many with
 *           one sync (draft.c, spool.c, segment.c)
 *   keeper  for the queue: makes, seals, recovers and recycles segments, and keeps the fate log
 *           (keeper.c, keeper_big.c, keeper_read.c, ledger.c, fate.c, fate_entry.c, maker.c,
 *           recover.c)
 */

enum { /* octets */
	SPOOL_BLOCK = 4096,
	SPOOL_ALIGN = 64,
	SPOOL_INLINE_MAX = 256 * 1024,	      /* of a message in its record; larger: big file */
	SPOOL_PREFIX_MAX = 16 * 1024,	      /* of the header fields that we put before it */
	SPOOL_ENVELOPE_MAX = 2 * 1024 * 1024, /* of its texts, four more for each */
	SPOOL_SEGMENT_MIN = 4 * 1024 * 1024,  /* any record fits into an empty segment */
};

enum { /* envelope flags */
	SPOOL_SMTPUTF8 = 1,
	SPOOL_8BIT = 2,
	SPOOL_NEEDS_CHUNKING = 4,
	SPOOL_TRUSTED = 8,   /* came from a trusted network or our own UNIX socket */
	SPOOL_OWN = 16,	     /* written by the queue: a bounce */
	SPOOL_RET_FULL = 32, /* RET= (RFC 3461 §4.3); neither: not said */
	SPOOL_RET_HDRS = 64,
	SPOOL_QUARANTINED = 128, /* a content filter wants it held until a person releases it */
};

/* An envelope as a record keeps it. Texts point into the caller's memory or into the record that was
 * read. */
struct spool_envelope {
	struct mail_id id;
	int64_t arrived_ms; /* since 1970 */
	uint32_t flags;
	struct str reverse_path; /* as on the wire, without brackets; empty: null */
	struct str client;	 /* where it came from, for people: "192.0.2.1", "uid 1000" */
	struct str login;	 /* who handed it in, empty: nobody logged in */
	struct str token;	 /* vault's proof of the login */
	struct str recipients;	 /* packed with codec_add_str, in order */
	uint32_t recipients_n;
	struct str envid; /* ENVID= as on the wire, xtext; empty: none */
	struct str
		dsn; /* what was asked for each recipient (spool_add_dsn); empty: nothing for any */
	int64_t hold_until_ms; /* since 1970: not to be sent before (RFC 4865); 0: none */
};

/* ── record.c: pure ── */

/* A mail's record. The message is `prefix` followed by `message` (inline), or by the first big_size
 * octets of big file `big`. Who reads those checks big_crc before a byte goes anywhere. */
struct spool_mail {
	struct spool_envelope envelope;
	struct str prefix, message;
	uint64_t big, big_size; /* big 0: inline */
	uint32_t big_crc;	/* CRC32C */
};

/* One recipient's entry of spool_envelope.dsn: NOTIFY= as bits of enum dsn_notify, ORCPT= as on the wire. In
 * the order of the recipients, one for each. */
void spool_add_dsn(struct buf *to, uint8_t notify, struct str orcpt);
bool spool_scan_dsn(struct str *in, uint8_t *notify, struct str *orcpt);

enum spool_kind { SPOOL_MAIL = 1, SPOOL_FATES = 2, SPOOL_MARK = 3 };

/* Whole records, aligned. Texts above their limits set to->overflow. */
void record_add_mail(struct buf *to, uint64_t generation, const struct spool_mail *m);
void record_add_fates(struct buf *to, uint64_t generation, struct str entries);

struct record {
	enum spool_kind kind;
	uint64_t size;	    /* octets to the next record's place */
	struct mail_id id;  /* of a mail; also of a broken one */
	struct str payload; /* CRC checked */
};

enum record_result {
	RECORD_OK,
	RECORD_NONE,   /* no record of this generation begins here: look 64 octets on */
	RECORD_MORE,   /* `in` is too short: want_more says how many octets are needed */
	RECORD_BROKEN, /* header right, payload's CRC wrong */
};

/* What stands at the beginning of `in`, which lies at a 64-octet border of a segment with this
 * generation. */
enum record_result record_read(
	struct str in, uint64_t generation, struct record *r, uint64_t *want_more);
/* The texts point into the payload. False: it has not the format. */
bool record_get_mail(const struct record *r, struct spool_mail *m);

/* ── draft.c, spool.c, segment.c: the writer ── */

/*
 * One writer a process. Its committer thread gathers whatever drafts wait while the last sync runs,
 * writes them as one group and syncs once; a second thread syncs big files before their record joins
 * a group. All functions below belong to the loop's thread.
 */
struct spool_writer;
struct draft;

/* What the owner is told. The functions are called from the loop, never from within a spool_… call. */
struct spool_hooks {
	void *owner;
	/* The draft that `session` asked to commit is kept (e NULL), or is not and never will be
	 * delivered (e). The draft is gone after. */
	void (*settled)(void *owner, void *session, const struct err *e);
	/* Segment `number` holds whole groups up to `durable`, synced. Comes before `settled` of the
	 * mails in it. */
	void (*durable)(void *owner, uint64_t number, uint64_t durable);
	/* A sync or write failed: the segment ends at `durable` for ever. The drafts of the group stay
	 * unsettled until spool_writer_sealed(number), so that nobody is told 451 before the end is
	 * logged. */
	void (*broken)(void *owner, uint64_t number, uint64_t durable, const struct err *e);
	/* A segment is full or given back: it ends at `durable`. After spool_writer_retire exactly one
	 * comes, the answer to it: a segment that became full just before is not told any more, its
	 * whole end is on the disk for the new queue to find. */
	void (*filled)(void *owner, uint64_t number, uint64_t durable);
	/* Give so many more segments and big files when possible; comes first after opening, and after
	 * each retirement. The giver owes them: what was asked for is not asked for again. */
	void (*want)(void *owner, unsigned segments, unsigned bigs);
};

struct spool_writer *spool_writer_open(
	struct loop *loop, const struct spool_hooks *hooks, uint64_t memory_max);
/* Writes what waits, as far as a segment is at hand; nobody is told of anything any more. */
void spool_writer_close(struct spool_writer **w);

/* The descriptor is the writer's from now on. A segment is empty behind its header; a big file is
 * empty. */
void spool_writer_give_segment(
	struct spool_writer *w, uint64_t number, uint64_t generation, uint64_t size, int fd);
void spool_writer_give_big(struct spool_writer *w, uint64_t number, int fd);
/* The queue has logged the end that `broken` told. */
void spool_writer_sealed(struct spool_writer *w, uint64_t number);

/* For a new queue process: stop using the current segment after the group under way; `filled` follows
 * (with number 0 when there is none). All big files and spare segments are forgotten, and drafts that
 * had begun a big file fail, because the new queue removes what no record names. */
void spool_writer_retire(struct spool_writer *w);

/* No segment, or no big file, has come for too long: the drafts that wait for one are settled with e. Others are left alone. */
void spool_writer_give_up(struct spool_writer *w, const struct err *e);

bool spool_writer_is_ready(const struct spool_writer *w); /* a segment is at hand */
/* Octets free on the spool's disk, as seen at most a second ago; 0 when unknown. */
uint64_t spool_writer_free_space(struct spool_writer *w);

/* One mail being written. Appends gather in memory; above SPOOL_INLINE_MAX, or when the process's
 * memory budget is short, they go to a big file. Failure (budget used up, no space, write error) is
 * temporary; the draft can then only be discarded. */
struct draft *draft_new(struct spool_writer *w);
bool draft_append(struct draft *d, struct str piece, struct err *e);
void draft_discard(struct draft **d);

/* Takes the draft; `settled` follows, with `session`. Prefix, envelope and texts are copied. An
 * envelope above its limits, or a draft that had failed, is settled with that error. */
void draft_commit_take(
	struct draft **d, const struct spool_envelope *envelope, struct str prefix, void *session);

/* The session is gone before `settled`: the mail may still be kept, nobody is told. */
void draft_forget(struct spool_writer *w, void *session);

/* ── the keeper: for the queue ── */

enum fate_kind {
	FATE_DELIVERED = 1,
	FATE_DEFERRED,
	FATE_FAILED,
	FATE_HELD,
	FATE_EXPANDED,
};

/* A recipient's fate, as the fate log keeps it: a newer one replaces the older. It names a mail by
 * its id, never by offset. */
struct fate {
	enum fate_kind kind;
	struct mail_id id;
	uint32_t recipient;    /* place in the envelope; those added by `expanded` follow behind */
	int64_t at_ms, due_ms; /* when it happened; deferred: the next try */
	uint32_t tries;
	struct err why;	     /* deferred, failed: the peer's words or ours */
	struct str host;     /* who said so */
	struct str children; /* expanded: packed texts, see the queue */
};

struct spool_keeper;

/* Called from the loop, never from within a keeper_… call. */
struct keeper_hooks {
	void *owner;
	/* Fates up to and including `ticket` are on stable storage. */
	void (*fates_durable)(void *owner, uint64_t ticket);
	/* The fate log cannot be written: no ticket becomes durable any more, nothing may be
	 * acknowledged or forgotten; the role should stop loudly. */
	void (*fates_broken)(void *owner, const struct err *e);
	/* A segment is ready to be handed out, fd open for writing only and the owner's. number 0: it
	 * could not be made (no space), e says why. */
	void (*segment_made)(void *owner, uint64_t number, uint64_t generation, uint64_t size,
		int fd, const struct err *e);
};

/*
 * Opens the spool directory (making it with mode 0700 when it is not there; its parent must be), locks
 * it against a second station, reads checkpoint and fate log. Fails with a permanent error when another
 * station holds it or its format is not ours, else with a temporary one.
 *
 * Then the queue, when every living receiver has said which segment it gave back: seals every segment
 * of keeper_next_unsealed; reads the mails of every segment with keeper_next_mail, pinning those that
 * are not settled; keeper_forget_history. A found mail whose recipients all have final fates but that
 * is not settled (a crash came before keeper_release) is pinned and released.
 */
struct spool_keeper *keeper_open(struct loop *loop, struct str directory, uint64_t segment_size,
	const struct keeper_hooks *hooks, struct err *e);
void keeper_close(struct spool_keeper **k); /* writes what waits */

/* Segments that were handed out and never sealed: a receiver may still be writing them. False at the
 * end of the list. */
bool keeper_next_unsealed(struct spool_keeper *k, size_t *at, uint64_t *number);
/* Segments that have their end and are not free yet: read them once after a start. */
bool keeper_next_sealed(struct spool_keeper *k, size_t *at, uint64_t *number, uint64_t *end);

/* Ends a segment at `durable`, in the fate log; returns the ticket of that, and 0 with e when it cannot
 * be done: not a segment of ours, an end that cannot be, unreadable. `durable` UINT64_MAX: its writer is
 * dead; it is synced, read to the last sound record, and ends there. One that is sealed already keeps
 * its end, and there is a ticket none the less. */
uint64_t keeper_seal(struct spool_keeper *k, uint64_t number, uint64_t durable, struct err *e);

/* A segment for a receiver (or for the queue's own mails), recycled or new; segment_made follows, once
 * for each call. Its opening is in the fate log before. */
void keeper_make_segment(struct spool_keeper *k);
/* An empty big file; the descriptor is for writing only and the caller's. */
bool keeper_make_big(struct spool_keeper *k, uint64_t *number, int *fd, struct err *e);
/* The receiver that had it is dead, and its segment was read: removed unless a mail names it. */
void keeper_drop_big(struct spool_keeper *k, uint64_t big);

/* Mails of a segment, one after another, from *offset (0: from the beginning) up to `durable`
 * (UINT64_MAX: the end of a sealed one). True with a mail, and `at` for keeper_read; its texts are valid
 * until the next call. False at `durable`. Broken records are logged and skipped, never fatal, and their
 * segment is not used again. No segment is used again before it was read to its end. */
bool keeper_next_mail(struct spool_keeper *k, uint64_t number, uint64_t *offset, uint64_t durable,
	struct spool_mail *m, uint64_t *at);

/* A mail's record again, CRC checked before a byte goes anywhere; texts lie in `to` (reset first). A
 * damaged one is a permanent error. */
bool keeper_read(struct spool_keeper *k, uint64_t number, uint64_t at, struct buf *to,
	struct spool_mail *m, struct err *e);
/* For reading; the caller closes. -1 with e. */
int keeper_open_big(struct spool_keeper *k, uint64_t big, struct err *e);

/* The queue counts: a live mail pins its segment; when the last one of a sealed segment is released and
 * the fates are durable, the segment is recycled by itself, in the order at the head of keeper.c.
 * Release says in the log that the mail is done with, after the fates of its recipients; its big file is
 * removed once that is durable. */
void keeper_pin(struct spool_keeper *k, uint64_t number);
void keeper_release(struct spool_keeper *k, uint64_t number, struct mail_id id, uint64_t big);

/* Returns its ticket; written with the next group. */
uint64_t keeper_add_fate(struct spool_keeper *k, const struct fate *f);

unsigned keeper_segments(const struct spool_keeper *k); /* files of them, free ones too */

/* A small file `name` beside the log (up to 31 octets), replaced as a whole and durable on return: for what a person orders now and
 * then. Waits for the disk. Reading one that is not there adds nothing. (note.c) */
bool keeper_write_note(struct spool_keeper *k, const char *name, struct str content, struct err *e);
bool keeper_read_note(struct spool_keeper *k, const char *name, struct buf *to, struct err *e);

/* What the log said before this start: the queue asks while it indexes what keeper_next_mail finds.
 * Settled: the mail was released. Fates come in the order of recipients, the newest of each. */
bool keeper_is_settled(const struct spool_keeper *k, struct mail_id id);
bool keeper_next_fate(const struct spool_keeper *k, struct mail_id id, size_t *at, struct fate *f);
/* After indexing: is_settled says false from now on; fates of mails that were not found are dropped, and
 * big files that no live mail names are removed. */
void keeper_forget_history(struct spool_keeper *k);

#endif
