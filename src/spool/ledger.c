/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: the fate log as files. What the keeper learns goes in as entries; a ticket says when an
 * entry is durable, and tasks wait for tickets.
 *
 *   ledger_add        an entry changes the state and waits for the end of the turn
 *   ledger_flush      the entries of a turn become one record, the committer's (segment.c)
 *   ledger_told       it is durable: the owner is told, and the tasks of its tickets are run
 *
 * Files are made ahead, KEEPER_LOGS_SPARE of them, so that a full disk does not stop the draining.
 * When KEEPER_CHECKPOINT_LOGS are full, and they are KEEPER_CHECKPOINT_FACTOR times the last
 * checkpoint, the state is written as a new one under the number of the file after them, and they are
 * removed. Entries that came meanwhile are in later files; that some of those are in the checkpoint
 * too does no harm (fate.c).
 *
 * After a write or sync that failed nothing more is written, and no ticket becomes durable.
 */
#include "spool/keeper.h"

#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"

enum {
	LEDGER_RECORD_OCTETS = 1024 * 1024, /* of entries; then a turn begins another record */
};

struct fates_commit {
	struct commit commit;
	struct buf record;
	uint64_t ticket;
};

/* ── entries go in ── */

void
ledger_flush(struct spool_keeper *k)
{
	struct fates_commit *c;

	if (k->entries.n == 0 || k->is_broken)
		return;
	must(!k->entries.overflow);
	c = calloc(1, sizeof *c);
	must(c);
	c->ticket = k->ticket;
	c->record.max = k->entries.n + RECORD_HEADER + SPOOL_ALIGN;
	record_add_fates(&c->record, 0, buf_str(&k->entries));
	c->commit.part[0] = (struct iovec){ c->record.p, c->record.n };
	c->commit.parts = 1;
	c->commit.size = c->record.n;
	c->commit.big_fd = -1;
	segment_commit(k->log, &c->commit);
	buf_reset(&k->entries);
	if (k->logs_at_hand <= 1)
		k->is_log_refused = false;
}

uint64_t
ledger_add(struct spool_keeper *k, const struct fate_entry *entry)
{
	if (k->entries.n == 0)
		loop_wake_up(k->wake);
	fate_add_entry(&k->entries, entry);
	fate_apply(&k->state, entry);
	k->ticket++;
	if (k->entries.n > LEDGER_RECORD_OCTETS)
		ledger_flush(k);
	return k->ticket;
}

void
ledger_when_durable(struct spool_keeper *k,
	void (*run)(struct spool_keeper *k, struct keeper_task *t), uint64_t number, int fd)
{
	struct keeper_task *t = calloc(1, sizeof *t);

	must(t);
	*t = (struct keeper_task){ .ticket = k->ticket, .run = run, .number = number, .fd = fd };
	list_append(&k->tasks, &t->link);
}

static void
task_free(struct keeper_task *t)
{
	if (t->fd >= 0)
		close(t->fd);
	free(t);
}

/* ── files, checkpoints, reports ── */

static struct job *
ledger_job(struct spool_keeper *k)
{
	struct job *j = maker_new_job(JOB_MAKE, k->fate);

	j->header = (struct segment_header){
		.use = SEGMENT_FATES, .number = k->log_next++, .size = KEEPER_LOG_SIZE
	};
	hash_random(&j->header.generation, sizeof j->header.generation);
	snprintf(j->name, sizeof j->name, "%08llu", (unsigned long long)j->header.number);
	return j;
}

void
ledger_make_files(struct spool_keeper *k)
{
	while (k->logs_at_hand + k->logs_making < 1 + KEEPER_LOGS_SPARE && !k->is_log_refused) {
		k->logs_making++;
		maker_give(k->maker, ledger_job(k));
	}
}

void
ledger_take_file(struct spool_keeper *k, struct job *j)
{
	struct segment *s;

	if (err_is(&j->e)) {
		log_event("no-fate-log", "at-hand=%u why=%s", k->logs_at_hand,
			log_quote(str_of(j->e.text)));
		k->is_log_refused =
			true; /* until one is full; for the last one: until entries come */
		keeper_give_room(k, &j->e);
		return;
	}
	s = calloc(1, sizeof *s);
	must(s);
	*s = (struct segment){ .number = j->header.number,
		.generation = j->header.generation,
		.size = j->header.size,
		.fd = j->fd };
	j->fd = -1;
	k->logs_at_hand++;
	segment_give(k->log, s);
}

static void
checkpoint_name(char name[32], uint64_t number)
{
	snprintf(name, 32, "%08llu.state", (unsigned long long)number);
}

/* All entries in files up to `full` are in the state by now. */
static void
ledger_checkpoint(struct spool_keeper *k, uint64_t full)
{
	struct job *j;

	if (k->is_checkpointing || k->logs_full < KEEPER_CHECKPOINT_LOGS ||
		k->logs_full * (uint64_t)KEEPER_LOG_SIZE <
			KEEPER_CHECKPOINT_FACTOR * k->checkpoint_octets)
		return;
	j = maker_new_job(JOB_WRITE, k->fate);
	j->header.number = full + 1;
	checkpoint_name(j->name, full + 1);
	fate_add_checkpoint(&j->content, &k->state, full + 1);
	k->is_checkpointing = true;
	k->logs_full = 0;
	maker_give(k->maker, j);
}

void
ledger_checkpointed(struct spool_keeper *k, struct job *done)
{
	struct job *j;

	k->is_checkpointing = false;
	if (err_is(&done->e)) {
		log_event("no-checkpoint", "why=%s", log_quote(str_of(done->e.text)));
		keeper_give_room(k, &done->e);
		return;
	}
	j = maker_new_job(JOB_UNLINK, k->fate);
	checkpoint_name(j->name, k->checkpoint);
	maker_give(k->maker, j);
	for (; k->log_oldest < done->header.number; k->log_oldest++) {
		j = maker_new_job(JOB_UNLINK, k->fate);
		snprintf(j->name, sizeof j->name, "%08llu", (unsigned long long)k->log_oldest);
		maker_give(k->maker, j);
	}
	k->checkpoint = done->header.number;
	k->checkpoint_octets = done->content.n;
}

static void
fates_commits_free(struct list *commits)
{
	list_each_safe (at, commits) {
		struct fates_commit *c =
			list_of(list_of(at, struct commit, link), struct fates_commit, commit);

		buf_free(&c->record);
		free(c);
	}
}

static void
ledger_told_durable(struct spool_keeper *k, struct report *r)
{
	struct commit *last = list_of(r->commits.prev, struct commit, link);

	k->ticket_durable = list_of(last, struct fates_commit, commit)->ticket;
	k->hooks.fates_durable(k->hooks.owner, k->ticket_durable);
	while (!list_is_empty(&k->tasks)) {
		struct keeper_task *t = list_of(k->tasks.next, struct keeper_task, link);

		if (t->ticket > k->ticket_durable)
			break;
		list_remove(&t->link);
		t->run(k, t);
		task_free(t);
	}
}

static void
log_file_free(struct segment *s)
{
	if (!s)
		return;
	close(s->fd);
	free(s);
}

static void
ledger_told(struct spool_keeper *k, struct report *r)
{
	switch (r->kind) {
	case REPORT_DURABLE:
		ledger_told_durable(k, r);
		break;
	case REPORT_FILLED:
		k->logs_at_hand--;
		k->logs_full++;
		k->is_log_refused = false;
		ledger_checkpoint(k, r->number);
		break;
	case REPORT_BROKEN:
		k->is_broken = true;
		k->hooks.fates_broken(k->hooks.owner, &r->e);
		break;
	case REPORT_RETIRED:
	case REPORT_FAILED:
		must(false); /* nobody retires the fate log, and it has no big files */
	}
	fates_commits_free(&r->commits);
	log_file_free(r->segment);
	free(r);
}

void
ledger_turn(struct spool_keeper *k)
{
	struct list reports;

	list_init(&reports);
	segment_take_reports(k->log, &reports);
	while (!list_is_empty(&reports)) {
		struct list *at = reports.next;

		list_remove(at);
		ledger_told(k, list_of(at, struct report, link));
	}
}

/* ── opening and closing ── */

bool
ledger_open(struct spool_keeper *k, struct err *e)
{
	struct job *j = ledger_job(k);

	maker_run(j);
	*e = j->e;
	if (!err_is(e))
		ledger_take_file(k, j);
	maker_free_job(j);
	return !err_is(e);
}

void
ledger_close(struct spool_keeper *k)
{
	struct list commits, files;

	ledger_flush(k);
	list_init(&commits);
	list_init(&files);
	segment_committer_close(&k->log, &commits, &files);
	fates_commits_free(&commits);
	list_each_safe (at, &files)
		log_file_free(list_of(at, struct segment, link));
	list_each_safe (at, &k->tasks) {
		struct keeper_task *t = list_of(at, struct keeper_task, link);

		list_remove(&t->link);
		task_free(t);
	}
	buf_free(&k->entries);
}
