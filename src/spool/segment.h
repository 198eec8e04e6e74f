/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPOOL_SEGMENT_H
#define SPOOL_SEGMENT_H

#include <pthread.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/list.h"
#include "io/loop.h"
#include "spool/record.h"

/*
 * The committer: a thread that appends records to segments, many with one sync. The writer of mails
 * and the fate log each have one. It never touches a clock, a path or a hook: work goes in as
 * commits and segments, news comes out as reports, and the wake given at its opening says that
 * there are some.
 */
struct committer;

/* The call that makes octets stable: fdatasync, which tests replace by one that fails. */
extern int (*segment_sync)(int fd);

enum {
	SEGMENT_GROUP_RECORDS = 256,
	SEGMENT_GROUP_OCTETS = 4 * 1024 * 1024,
	COMMIT_PARTS = 3,
};

/* One record on its way. From segment_commit to its report it is the committer's. */
struct commit {
	struct list link;
	struct iovec part[COMMIT_PARTS]; /* the first begins with the record's header */
	unsigned parts;
	size_t size;	      /* of the parts together */
	int big_fd;	      /* synced before the record joins a group; -1: none */
	unsigned retirements; /* how often the committer had been retired when the commit came */
};

/* A segment being written. The loop's thread opens and closes the descriptor and frees the struct. */
struct segment {
	struct list link;
	uint64_t number, generation, size;
	uint64_t end; /* where the next group begins */
	int fd;
};

enum report_kind {
	REPORT_DURABLE, /* `commits` are on stable storage; the segment holds whole groups up to `end` */
	REPORT_FILLED,	/* the segment ends at `end` */
	REPORT_BROKEN,	/* the same, because writing `commits` failed with e */
	REPORT_RETIRED, /* the answer to segment_retire; segment NULL when none was in use */
	REPORT_FAILED,	/* `commits` were not and will not be written: e */
};

struct report {
	struct list link;
	enum report_kind kind;
	uint64_t number, end;
	struct segment *segment; /* the loop's again; NULL with DURABLE and FAILED */
	struct list commits;
	struct err e;
};

enum committer_kind {
	/* has a second thread, which syncs big files; after a failure it goes on in the next segment */
	COMMITTER_OF_MAILS,
	/* writes nothing more after a failure: a log with a hole would say what is not so */
	COMMITTER_OF_FATES,
};

struct committer *segment_committer_open(struct loop_wake *wake, enum committer_kind kind);
/* Writes what waits, as far as segments are at hand, and ends the threads. All that is left is given
 * back: commits and segments into the lists. */
void segment_committer_close(struct committer **c, struct list *commits, struct list *segments);

void segment_commit(struct committer *c, struct commit *commit);
void segment_give(struct committer *c, struct segment *s);

/* The segment in use is given back after the group under way; commits with a big file that are in no
 * group fail; unused segments come back in `unused`. */
void segment_retire(struct committer *c, struct list *unused);

/* When there is no segment, and none has come: whoever waits for one comes back with FAILED. */
void segment_fail_waiting(struct committer *c, const struct err *e);

/* News, oldest first; the caller frees each report. */
void segment_take_reports(struct committer *c, struct list *reports);

bool segment_is_at_hand(struct committer *c); /* one is in use or spare */
/* Of one at hand, valid in the loop's thread until the next reports are taken; -1: none. */
int segment_any_descriptor(struct committer *c);

#endif
