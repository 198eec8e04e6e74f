/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maker: a thread of the keeper that makes, recycles and removes files, because each of that waits
 * for the disk. A job that is done has left stable storage as it says; one that failed has left
 * nothing that anybody will use.
 *
 * Segments are written with real octets, not just allocated: a first write into allocated space costs
 * a journal commit, and the octets are not zeros because a storage below might keep those as holes.
 */
#include "spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/must.h"
#include "io/file.h"
#include "io/thread.h"
#include "spool/keeper.h"

struct maker {
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_t thread;
	struct loop_wake *wake;
	struct list jobs, done;
	bool is_closing;
};

enum { MAKER_PIECE = 256 * 1024 };

struct job *
maker_new_job(enum job_kind kind, int directory)
{
	struct job *j = calloc(1, sizeof *j);

	must(j);
	j->kind = kind;
	j->directory = directory;
	j->content.max = SIZE_MAX;
	j->fd = -1;
	for (size_t i = 0; i < JOB_BIGS_N; i++)
		j->big_fds[i] = -1;
	return j;
}

void
maker_free_job(struct job *j)
{
	if (j->fd >= 0)
		close(j->fd);
	for (size_t i = 0; i < JOB_BIGS_N; i++)
		if (j->big_fds[i] >= 0)
			close(j->big_fds[i]);
	buf_free(&j->content);
	free(j);
}

/* ── doing ── */

static bool
job_fail(struct job *j, const char *doing)
{
	err_set_errno(&j->e, "cannot %s %s in the spool", doing, j->name);
	if (j->e.cause == ENOSPC || j->e.cause == EDQUOT)
		j->e.kind = ERR_NO_SPACE;
	return false;
}

static bool
job_sync_directory(struct job *j)
{
	return fsync(j->directory) == 0 || job_fail(j, "sync the name of");
}

static bool
write_fill(int fd, uint64_t size)
{
	char piece[MAKER_PIECE];

	memset(piece, 'P', sizeof piece);
	for (uint64_t rest = size - SPOOL_BLOCK; rest > 0;) {
		size_t n = rest < sizeof piece ? (size_t)rest : sizeof piece;

		if (!file_write_all(fd, (struct str){ piece, n }))
			return false;
		rest -= n;
	}
	return true;
}

static bool
job_make(struct job *j)
{
	char block[SPOOL_BLOCK];

	record_put_segment_header(block, &j->header);
	j->fd = openat(j->directory, j->name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (j->fd < 0 || !file_write_all(j->fd, (struct str){ block, sizeof block }) ||
		!write_fill(j->fd, j->header.size))
		return job_fail(j, "make");
	if (segment_sync(j->fd) < 0)
		return job_fail(j, "sync");
	return job_sync_directory(j);
}

static bool
job_recycle(struct job *j)
{
	char block[SPOOL_BLOCK];

	record_put_segment_header(block, &j->header);
	j->fd = openat(j->directory, j->name, O_WRONLY | O_CLOEXEC);
	if (j->fd < 0 || pwrite(j->fd, block, sizeof block, 0) != (ssize_t)sizeof block)
		return job_fail(j, "recycle");
	if (segment_sync(j->fd) < 0)
		return job_fail(j, "sync");
	return true;
}

static bool
job_write(struct job *j)
{
	int fd = openat(j->directory, "new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && file_write_all(fd, buf_str(&j->content)) && segment_sync(fd) == 0 &&
		  renameat(j->directory, "new", j->directory, j->name) == 0;

	if (!ok)
		job_fail(j, "write");
	if (fd >= 0)
		close(fd);
	return ok && job_sync_directory(j);
}

static bool
job_unlink(struct job *j)
{
	return unlinkat(j->directory, j->name, 0) == 0 || errno == ENOENT || job_fail(j, "remove");
}

static bool
job_bigs(struct job *j)
{
	for (size_t i = 0; i < JOB_BIGS_N; i++) {
		hash_random(&j->bigs[i], sizeof j->bigs[i]);
		j->bigs[i] += j->bigs[i] == 0;
		snprintf(j->name, sizeof j->name, "%016llx", (unsigned long long)j->bigs[i]);
		j->big_fds[i] = openat(
			j->directory, j->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (j->big_fds[i] < 0)
			return job_fail(j, "make");
	}
	return job_sync_directory(j);
}

/* What a failed job began goes away, as far as it can. */
static void
job_undo(struct job *j)
{
	switch (j->kind) {
	case JOB_MAKE:
		unlinkat(j->directory, j->name, 0);
		break;
	case JOB_WRITE:
		unlinkat(j->directory, "new", 0);
		break;
	case JOB_BIGS:
		for (size_t i = 0; i < JOB_BIGS_N; i++)
			if (j->big_fds[i] >= 0) {
				snprintf(j->name, sizeof j->name, "%016llx",
					(unsigned long long)j->bigs[i]);
				unlinkat(j->directory, j->name, 0);
			}
		break;
	case JOB_RECYCLE:
	case JOB_REMOVE:
	case JOB_UNLINK:
		break;
	}
}

void
maker_run(struct job *j)
{
	bool ok = false;

	switch (j->kind) {
	case JOB_MAKE:
		ok = job_make(j);
		break;
	case JOB_RECYCLE:
		ok = job_recycle(j);
		break;
	case JOB_WRITE:
		ok = job_write(j);
		break;
	case JOB_REMOVE:
		ok = job_unlink(j) && job_sync_directory(j);
		break;
	case JOB_UNLINK:
		ok = job_unlink(j);
		break;
	case JOB_BIGS:
		ok = job_bigs(j);
		break;
	}
	if (!ok)
		job_undo(j);
}

/* ── the thread ── */

static void *
maker_thread(void *of)
{
	struct maker *m = of;

	pthread_mutex_lock(&m->lock);
	while (!m->is_closing) {
		struct job *j;

		if (list_is_empty(&m->jobs)) {
			pthread_cond_wait(&m->work, &m->lock);
			continue;
		}
		j = list_of(m->jobs.next, struct job, link);
		list_remove(&j->link);
		pthread_mutex_unlock(&m->lock);
		maker_run(j);
		pthread_mutex_lock(&m->lock);
		list_append(&m->done, &j->link);
		loop_wake_up(m->wake);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

struct maker *
maker_open(struct loop_wake *wake)
{
	struct maker *m = calloc(1, sizeof *m);

	must(m);
	m->wake = wake;
	list_init(&m->jobs);
	list_init(&m->done);
	must(pthread_mutex_init(&m->lock, NULL) == 0);
	must(pthread_cond_init(&m->work, NULL) == 0);
	thread_start(&m->thread, maker_thread, m);
	return m;
}

void
maker_close(struct maker **of)
{
	struct maker *m = *of;

	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	m->is_closing = true;
	pthread_cond_signal(&m->work);
	pthread_mutex_unlock(&m->lock);
	must(pthread_join(m->thread, NULL) == 0);
	list_move_all(&m->done, &m->jobs);
	list_each_safe (at, &m->done)
		maker_free_job(list_of(at, struct job, link));
	pthread_cond_destroy(&m->work);
	pthread_mutex_destroy(&m->lock);
	free(m);
	*of = NULL;
}

void
maker_give(struct maker *m, struct job *j)
{
	pthread_mutex_lock(&m->lock);
	list_append(&m->jobs, &j->link);
	pthread_cond_signal(&m->work);
	pthread_mutex_unlock(&m->lock);
}

void
maker_take_done(struct maker *m, struct list *jobs)
{
	pthread_mutex_lock(&m->lock);
	list_move_all(jobs, &m->done);
	pthread_mutex_unlock(&m->lock);
}
