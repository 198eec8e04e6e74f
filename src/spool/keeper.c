/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: owns the spool's directory for the queue. It makes segments and big files for those
 * who write, reads them, keeps the fate log, and uses segments again.
 *
 *   seg/NNNNNNNN          segments
 *   big/<16 hex digits>   messages too large for a record
 *   fate/NNNNNNNN         the fate log, in files
 *   fate/NNNNNNNN.state   checkpoint: replaces the log files of lower numbers
 *   lock                  held while open
 *   format                which format this is
 *
 * Invariants
 * 1. A hook or a return value says that something holds only when a log entry that says so is
 * durable. In particular a segment is handed out after its `made`, and 451 follows `sealed`.
 * 2. A segment is used again in this order: `released` of all its mails durable → header with a
 * fresh generation, synced → `made` in the log, which forgets the old fates → handed out. A crash
 * between two of them leaves it either as it was, or empty and known as such by its header.
 * 3. A segment's file is removed before the log says `gone`: a file that the log does not know is
 * read, for rather twice than never.
 * 4. No segment and no log file is continued after a start or after a failed sync (recover.c).
 * 5. A big file is removed after its mail's `released` is durable.
 * 6. A segment that holds a damaged record is not used again: somebody may want to rescue it.
 * 7. Hooks are called from keeper_woken alone. Entries of one turn of the loop are one record.
 *
 * A segment:
 *
 *                keeper_make_segment     keeper_log_made       task_hand_out
 *     (no file) ───────────────────► MAKING ──────────► OPENING ──────────► OPEN
 *                                      ▲                                      │ keeper_seal
 *                                      │ keeper_make_segment                  ▼
 *     (no file) ◄── REMOVING ◄─────── FREE ◄──────────────────────────────── SEALED
 *        keeper_log_gone  keeper_remove_segment     keeper_check_free
 */
#include "spool/keeper.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"

enum { KEEPER_ROOMY = 64 }; /* segments that the disk must have room for, or no free one is kept */

/* ── a segment's way ── */

static struct job *
segment_job(struct spool_keeper *k, enum job_kind kind, uint64_t number)
{
	struct job *j = maker_new_job(kind, k->seg);

	snprintf(j->name, sizeof j->name, "%08llu", (unsigned long long)number);
	j->header = (struct segment_header){
		.use = SEGMENT_MAILS, .number = number, .size = k->segment_size
	};
	hash_random(&j->header.generation, sizeof j->header.generation);
	return j;
}

static struct kept_segment *
keeper_find_free(struct spool_keeper *k, unsigned *free_n)
{
	struct kept_segment *g, *found = NULL;

	*free_n = 0;
	for (size_t at = 0; (g = map_next(&k->state.segments, &at));)
		if (g->state == KEPT_FREE) {
			(*free_n)++;
			if (!found || g->number < found->number)
				found = g;
		}
	return found;
}

void
keeper_make_segment(struct spool_keeper *k)
{
	unsigned free_n;
	struct kept_segment *g = keeper_find_free(k, &free_n);

	if (!g) {
		maker_give(k->maker, segment_job(k, JOB_MAKE, k->segment_next++));
		return;
	}
	g->state = KEPT_MAKING;
	maker_give(k->maker, segment_job(k, JOB_RECYCLE, g->number));
}

static void
task_hand_out(struct spool_keeper *k, struct keeper_task *t)
{
	struct kept_segment *g = fate_segment(&k->state, t->number);

	must(g && g->state == KEPT_OPENING);
	g->state = KEPT_OPEN;
	k->hooks.segment_made(k->hooks.owner, g->number, g->generation, g->size, t->fd, NULL);
	t->fd = -1;
}

static void
keeper_log_made(struct spool_keeper *k, struct job *j)
{
	if (k->window_number == j->header.number)
		keeper_forget_window(k);
	ledger_add(k, &(struct fate_entry){ .kind = ENTRY_MADE,
			      .number = j->header.number,
			      .generation = j->header.generation,
			      .size = j->header.size });
	ledger_when_durable(k, task_hand_out, j->header.number, j->fd);
	j->fd = -1;
}

static void
segment_close(struct kept_segment *g)
{
	if (g->fd >= 0)
		close(g->fd);
	g->fd = -1;
}

static void
keeper_remove_segment(struct spool_keeper *k, struct kept_segment *g)
{
	g->state = KEPT_REMOVING;
	segment_close(g);
	if (k->window_number == g->number)
		keeper_forget_window(k);
	maker_give(k->maker, segment_job(k, JOB_REMOVE, g->number));
}

static void
keeper_log_gone(struct spool_keeper *k, struct job *j)
{
	if (err_is(&j->e)) {
		log_event("segment-not-removed", "why=%s", log_quote(str_of(j->e.text)));
		return;
	}
	ledger_add(k, &(struct fate_entry){ .kind = ENTRY_GONE, .number = j->header.number });
}

/* Octets; 0 when unknown. */
static uint64_t
keeper_free_space(struct spool_keeper *k)
{
	struct statvfs disk;

	return fstatvfs(k->root, &disk) == 0 ? disk.f_bavail * disk.f_frsize : 0;
}

void
keeper_check_free(struct spool_keeper *k, struct kept_segment *g)
{
	unsigned free_n;

	if (g->state != KEPT_SEALED || g->pins > 0 || g->is_damaged || g->read_to < g->end ||
		g->ticket > k->ticket_durable)
		return;
	g->state = KEPT_FREE;
	keeper_find_free(k, &free_n);
	if (free_n > KEEPER_FREE_MAX || g->size != k->segment_size ||
		keeper_free_space(k) < KEEPER_ROOMY * k->segment_size)
		keeper_remove_segment(k, g);
}

static void
task_check_free(struct spool_keeper *k, struct keeper_task *t)
{
	struct kept_segment *g = fate_segment(&k->state, t->number);

	if (g)
		keeper_check_free(k, g);
}

static bool
is_end_of(const struct kept_segment *g, uint64_t end)
{
	return end >= SPOOL_BLOCK && end <= g->size && end % SPOOL_BLOCK == 0;
}

uint64_t
keeper_seal(struct spool_keeper *k, uint64_t number, uint64_t durable, struct err *e)
{
	struct kept_segment *g = fate_segment(&k->state, number);

	if (!g || g->state < KEPT_OPEN) {
		err_set(e, ERR_PERMANENT, ERR_LOCAL, "the spool has handed out no segment %llu",
			(unsigned long long)number);
		return 0;
	}
	if (g->state == KEPT_OPEN && durable == UINT64_MAX && !(durable = recover_end(k, g, e)))
		return 0;
	if (g->state != KEPT_OPEN)
		durable = g->end;
	if (!is_end_of(g, durable)) {
		err_set(e, ERR_PERMANENT, ERR_LOCAL, "%llu cannot be the end of segment %llu",
			(unsigned long long)durable, (unsigned long long)number);
		return 0;
	}
	if (g->state != KEPT_OPEN) /* said again, for the sake of a ticket that will come */
		return ledger_add(k, &(struct fate_entry){ .kind = ENTRY_SEALED });
	g->ticket = ledger_add(k, &(struct fate_entry){ .kind = ENTRY_SEALED,
					  .number = number,
					  .generation = g->generation,
					  .end = durable });
	ledger_when_durable(k, task_check_free, number, -1);
	return g->ticket;
}

bool
keeper_next_unsealed(struct spool_keeper *k, size_t *at, uint64_t *number)
{
	struct kept_segment *g;

	while ((g = map_next(&k->state.segments, at)))
		if (g->state == KEPT_OPEN) {
			*number = g->number;
			return true;
		}
	return false;
}

bool
keeper_next_sealed(struct spool_keeper *k, size_t *at, uint64_t *number, uint64_t *end)
{
	struct kept_segment *g;

	while ((g = map_next(&k->state.segments, at)))
		if (g->state == KEPT_SEALED) {
			*number = g->number;
			*end = g->end;
			return true;
		}
	return false;
}

/* ── mails and their fates ── */

void
keeper_pin(struct spool_keeper *k, uint64_t number)
{
	struct kept_segment *g = fate_segment(&k->state, number);

	must(g && (g->state == KEPT_OPEN || g->state == KEPT_SEALED));
	g->pins++;
}

static void
task_remove_big(struct spool_keeper *k, struct keeper_task *t)
{
	keeper_remove_big(k, t->number);
}

void
keeper_release(struct spool_keeper *k, uint64_t number, struct mail_id id, uint64_t big)
{
	struct kept_segment *g = fate_segment(&k->state, number);

	must(g && g->pins > 0);
	g->pins--;
	g->ticket = ledger_add(
		k, &(struct fate_entry){ .kind = ENTRY_RELEASED, .id = id, .number = number });
	if (big)
		ledger_when_durable(k, task_remove_big, big, -1);
	if (g->pins == 0 && g->state == KEPT_SEALED)
		ledger_when_durable(k, task_check_free, number, -1);
}

uint64_t
keeper_add_fate(struct spool_keeper *k, const struct fate *f)
{
	return ledger_add(k, &(struct fate_entry){ .kind = ENTRY_FATE, .fate = *f });
}

bool
keeper_is_settled(const struct spool_keeper *k, struct mail_id id)
{
	return map_get(&k->history, id_octets(&id)) != NULL;
}

bool
keeper_next_fate(const struct spool_keeper *k, struct mail_id id, size_t *at, struct fate *f)
{
	const struct fate_mail *m = fate_mail(&k->state, id);
	uint32_t recipient = (uint32_t)*at;

	if (!m || !fate_next_kept(&k->state, m, &recipient, f))
		return false;
	*at = recipient;
	return true;
}

static void
drop_unclaimed_mails(struct spool_keeper *k)
{
	struct buf ids = { .max = SIZE_MAX };
	struct fate_mail *m;
	struct mail_id id;
	struct str in;

	for (uint32_t at = 0; (m = fate_next_mail(&k->state, &at));)
		if (m->is_unclaimed)
			buf_add(&ids, id_octets(&m->id));
	in = buf_str(&ids);
	while (codec_scan_bytes(&in, &id, sizeof id)) {
		char text[MAIL_ID_TEXT];

		mail_id_text(id, text);
		log_event("mail-lost", "mail=%s why=\"it was under way, and no segment holds it\"",
			text);
		fate_drop_mail(&k->state, id);
	}
	buf_free(&ids);
}

void
keeper_forget_history(struct spool_keeper *k)
{
	if (!keeper_has_damage(
		    k)) { /* else what nobody names may belong to a mail that could not be read */
		drop_unclaimed_mails(k);
		keeper_drop_found_bigs(k);
	}
	map_free(&k->history);
	arena_free(&k->history_arena);
}

/* ── what the maker has done ── */

/* When the disk is full, the room of a free segment is worth more than the segment. */
void
keeper_give_room(struct spool_keeper *k, const struct err *e)
{
	unsigned free_n;
	struct kept_segment *g = keeper_find_free(k, &free_n);

	if (e->kind == ERR_NO_SPACE && g)
		keeper_remove_segment(k, g);
}

static void
keeper_segment_not_made(struct spool_keeper *k, struct job *j)
{
	struct kept_segment *g = fate_segment(&k->state, j->header.number);

	log_event("no-segment", "why=%s", log_quote(str_of(j->e.text)));
	if (j->kind == JOB_RECYCLE) {
		must(g);
		keeper_remove_segment(k, g); /* its header may be anything now */
	}
	k->hooks.segment_made(k->hooks.owner, 0, 0, 0, -1, &j->e);
}

static void
keeper_took(struct spool_keeper *k, struct job *j)
{
	switch (j->kind) {
	case JOB_MAKE:
	case JOB_RECYCLE:
		if (j->header.use == SEGMENT_FATES) {
			k->logs_making--;
			ledger_take_file(k, j);
		} else if (err_is(&j->e)) {
			keeper_segment_not_made(k, j);
		} else {
			keeper_log_made(k, j);
		}
		break;
	case JOB_WRITE:
		ledger_checkpointed(k, j);
		break;
	case JOB_REMOVE:
		keeper_log_gone(k, j);
		break;
	case JOB_UNLINK:
		break; /* what is left over goes at the next start */
	case JOB_BIGS:
		k->is_making_bigs = false;
		keeper_take_bigs(k, j);
		break;
	}
	maker_free_job(j);
}

static void
keeper_woken(void *of)
{
	struct spool_keeper *k = of;
	struct list jobs;

	ledger_flush(k);
	ledger_turn(k);
	list_init(&jobs);
	maker_take_done(k->maker, &jobs);
	while (!list_is_empty(&jobs)) {
		struct list *at = jobs.next;

		list_remove(at);
		keeper_took(k, list_of(at, struct job, link));
	}
	ledger_make_files(k);
}

/* ── opening and closing ── */

static struct str
history_key(const void *member)
{
	return (struct str){ member, sizeof(struct mail_id) };
}

struct spool_keeper *
keeper_open(struct loop *loop, struct str directory, uint64_t segment_size,
	const struct keeper_hooks *hooks, struct err *e)
{
	struct spool_keeper *k = calloc(1, sizeof *k);

	must(k && segment_size >= SPOOL_SEGMENT_MIN && segment_size % SPOOL_BLOCK == 0);
	k->hooks = *hooks;
	k->segment_size = segment_size;
	k->root = k->seg = k->big = k->fate = k->lock = -1;
	k->history.key_of = history_key;
	k->entries.max = RECORD_PAYLOAD_MAX;
	k->window.max = RECORD_PAYLOAD_MAX + KEEPER_WINDOW;
	k->history_arena.max = SIZE_MAX;
	list_init(&k->tasks);
	keeper_begin_bigs(k);
	fate_state_init(&k->state);
	k->wake = loop_wake_open(loop, keeper_woken, k);
	k->log = segment_committer_open(k->wake, COMMITTER_OF_FATES);
	k->maker = maker_open(k->wake);
	if (!recover_directory(k, directory, e) || !recover_state(k, e) || !ledger_open(k, e)) {
		keeper_close(&k);
		return NULL;
	}
	ledger_make_files(k);
	keeper_make_bigs(k);
	return k;
}

static void
keeper_free_files(struct spool_keeper *k)
{
	int fds[] = { k->seg, k->big, k->fate, k->lock, k->root };
	struct kept_segment *g;

	for (size_t at = 0; (g = map_next(&k->state.segments, &at));)
		segment_close(g);
	keeper_free_bigs(k);
	for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

void
keeper_close(struct spool_keeper **of)
{
	struct spool_keeper *k = *of;

	if (!k)
		return;
	ledger_close(k);
	maker_close(&k->maker);
	keeper_free_files(k);
	map_free(&k->history);
	arena_free(&k->history_arena);
	fate_state_free(&k->state);
	buf_free(&k->window);
	loop_wake_close(&k->wake);
	free(k);
	*of = NULL;
}

unsigned
keeper_segments(const struct spool_keeper *k)
{
	return (unsigned)k->state.segments.used;
}
