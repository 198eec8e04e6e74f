/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's big files: messages too large for a record (big/<16 hex digits>). They are made a few
 * ahead, because a large mail at its final dot waits for one.
 *
 *               keeper_make_big              keeper_name_big              keeper_remove_big
 *   BIG_READY ─────────────────► BIG_GIVEN ─────────────────► BIG_NAMED ───────────────────► (no file)
 *                                    │ keeper_drop_big            ▲       `released` is durable
 *                                    ▼                            │
 *                                (no file)                        │ keeper_name_big
 *                                    ▲                            │
 *                                    └──────────────────────── BIG_FOUND, by the start
 *                                       keeper_drop_found_bigs
 *
 * A record that is read names its big file. What no record names when all are read nobody needs: a
 * receiver that died had it, or a mail that was never acknowledged. But while a record is damaged it
 * stays, for it may be that record's.
 */
#include "spool/keeper.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/must.h"

enum { KEEPER_BIGS_READY_MIN = 4 };

static struct str
big_key(const void *member)
{
	const struct kept_big *b = member;

	return (struct str){ (const char *)&b->number, sizeof b->number };
}

static struct kept_big *
keeper_big(const struct spool_keeper *k, uint64_t number)
{
	return map_get(&k->bigs, (struct str){ (const char *)&number, sizeof number });
}

void
keeper_begin_bigs(struct spool_keeper *k)
{
	k->bigs.key_of = big_key;
	list_init(&k->bigs_ready);
}

void
keeper_free_bigs(struct spool_keeper *k)
{
	struct kept_big *b;

	for (size_t at = 0; (b = map_next(&k->bigs, &at));) {
		if (b->fd >= 0)
			close(b->fd);
		free(b);
	}
	map_free(&k->bigs);
}

/* ── made ahead, and given ── */

void
keeper_put_big(struct spool_keeper *k, uint64_t number, int fd, enum kept_big_state state)
{
	struct kept_big *b = calloc(1, sizeof *b);

	must(b);
	*b = (struct kept_big){ .number = number, .state = state, .fd = fd };
	map_put(&k->bigs, b);
	if (state != BIG_READY)
		return;
	list_append(&k->bigs_ready, &b->link);
	k->bigs_ready_n++;
}

bool
keeper_take_bigs(struct spool_keeper *k, struct job *j)
{
	if (err_is(&j->e))
		return false;
	for (size_t i = 0; i < JOB_BIGS_N; i++) {
		keeper_put_big(k, j->bigs[i], j->big_fds[i], BIG_READY);
		j->big_fds[i] = -1;
	}
	return true;
}

void
keeper_make_bigs(struct spool_keeper *k)
{
	if (k->bigs_ready_n >= KEEPER_BIGS_READY_MIN || k->is_making_bigs)
		return;
	k->is_making_bigs = true;
	maker_give(k->maker, maker_new_job(JOB_BIGS, k->big));
}

bool
keeper_make_big(struct spool_keeper *k, uint64_t *number, int *fd, struct err *e)
{
	struct kept_big *b;

	if (k->bigs_ready_n == 0) {
		struct job *j = maker_new_job(JOB_BIGS, k->big);
		bool ok;

		maker_run(j);
		ok = keeper_take_bigs(k, j);
		*e = j->e;
		maker_free_job(j);
		if (!ok)
			return false;
	}
	b = list_of(k->bigs_ready.next, struct kept_big, link);
	list_remove(&b->link);
	k->bigs_ready_n--;
	*number = b->number;
	*fd = b->fd;
	b->fd = -1;
	b->state = BIG_GIVEN;
	keeper_make_bigs(k);
	return true;
}

/* ── named, or removed ── */

static void
big_name(char name[32], uint64_t number)
{
	snprintf(name, 32, "%016llx", (unsigned long long)number);
}

void
keeper_remove_big(struct spool_keeper *k, uint64_t number)
{
	struct kept_big *b =
		map_remove(&k->bigs, (struct str){ (const char *)&number, sizeof number });
	struct job *j;

	free(b);
	j = maker_new_job(JOB_UNLINK, k->big);
	big_name(j->name, number);
	maker_give(k->maker, j);
}

void
keeper_name_big(struct spool_keeper *k, uint64_t number)
{
	struct kept_big *b = keeper_big(k, number);

	if (b)
		b->state = BIG_NAMED;
}

void
keeper_drop_big(struct spool_keeper *k, uint64_t number)
{
	struct kept_big *b = keeper_big(k, number);

	if (b && b->state == BIG_GIVEN && !keeper_has_damage(k))
		keeper_remove_big(k, number);
}

void
keeper_drop_found_bigs(struct spool_keeper *k)
{
	struct buf numbers = { .max = SIZE_MAX };
	struct kept_big *b;
	uint64_t number;
	struct str in;

	for (size_t at = 0; (b = map_next(&k->bigs, &at));)
		if (b->state == BIG_FOUND)
			codec_add_u64(&numbers, b->number);
	in = buf_str(&numbers);
	while (codec_scan_u64(&in, &number))
		keeper_remove_big(k, number);
	buf_free(&numbers);
}

int
keeper_open_big(struct spool_keeper *k, uint64_t big, struct err *e)
{
	char name[32];
	int fd;

	big_name(name, big);
	fd = openat(k->big, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err_set_errno(e, "cannot open big/%s of the spool", name);
	return fd;
}
