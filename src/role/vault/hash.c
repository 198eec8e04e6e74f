/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/hash.h"

#include <crypt.h>
#include <pthread.h>

#include <openssl/crypto.h>

#include "base/must.h"
#include "io/thread.h"

/* What crosses between loop and threads are whole jobs, in two lists under one lock. */
struct hash_pool {
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct list waiting, ready;
	size_t waiting_n;
	char nobody[CRYPT_GENSALT_OUTPUT_SIZE]; /* a salt without a hash: costs what all cost,
						   equals nothing */
	struct loop_wake *wake;
	void (*done)(void *owner, const struct hash_job *job);
	void *owner;
};

bool
hash_make(struct str password, struct buf *hash)
{
	char salt[CRYPT_GENSALT_OUTPUT_SIZE], text[HASH_PASSWORD_MAX + 1] = "";
	struct crypt_data *data = calloc(1, sizeof *data);
	char *made = NULL;

	must(data);
	if (password.n && password.n <= HASH_PASSWORD_MAX &&
		str_find(password, '\0') == password.n) {
		memcpy(text, password.p, password.n);
		if (crypt_gensalt_rn("$y$", 0, NULL, 0, salt, sizeof salt))
			made = crypt_rn(text, salt, data, sizeof *data);
	}
	if (made)
		buf_add(hash, str_of(made));
	explicit_bzero(text, sizeof text);
	explicit_bzero(data, sizeof *data);
	free(data);
	return made;
}

/* ── the threads ── */

static void
check(const struct hash_pool *p, struct hash_job *job, struct crypt_data *data)
{
	const char *setting = job->hash[0] ? job->hash : p->nobody;
	const char *made = crypt_rn(job->password, setting, data, sizeof *data);
	size_t n = strlen(setting);

	job->is_right =
		made && strlen(made) == n && CRYPTO_memcmp(made, setting, n) == 0 && job->hash[0];
	explicit_bzero(data, sizeof *data);
}

static void *
work(void *pool)
{
	struct hash_pool *p = pool;
	struct crypt_data *data = calloc(1, sizeof *data);

	must(data);
	for (;;) {
		struct hash_job *job;

		pthread_mutex_lock(&p->lock);
		while (list_is_empty(&p->waiting))
			pthread_cond_wait(&p->some, &p->lock);
		job = list_of(p->waiting.next, struct hash_job, link);
		list_remove(&job->link);
		p->waiting_n--;
		pthread_mutex_unlock(&p->lock);
		check(p, job, data);
		pthread_mutex_lock(&p->lock);
		list_append(&p->ready, &job->link);
		pthread_mutex_unlock(&p->lock);
		loop_wake_up(p->wake);
	}
}

/* ── the loop's side ── */

static void
on_ready(void *owner)
{
	struct hash_pool *p = owner;
	struct list ready;

	list_init(&ready);
	pthread_mutex_lock(&p->lock);
	list_move_all(&ready, &p->ready);
	pthread_mutex_unlock(&p->lock);
	list_each_safe (at, &ready) {
		struct hash_job *job = list_of(at, struct hash_job, link);

		list_remove(at);
		p->done(p->owner, job);
		explicit_bzero(job->password, sizeof job->password);
		free(job);
	}
}

struct hash_pool *
hash_pool_open(struct loop *l, void (*done)(void *owner, const struct hash_job *job), void *owner)
{
	struct hash_pool *p = calloc(1, sizeof *p);

	must(p);
	*p = (struct hash_pool){ .lock = PTHREAD_MUTEX_INITIALIZER,
		.some = PTHREAD_COND_INITIALIZER,
		.done = done,
		.owner = owner };
	list_init(&p->waiting);
	list_init(&p->ready);
	must(crypt_gensalt_rn("$y$", 0, NULL, 0, p->nobody, sizeof p->nobody));
	p->wake = loop_wake_open(l, on_ready, p);
	for (int i = 0; i < HASH_THREADS; i++) {
		pthread_t thread;

		thread_start(&thread, work, p);
		pthread_detach(thread);
	}
	return p;
}

bool
hash_pool_check(struct hash_pool *p, const struct hash_job *job)
{
	struct hash_job *copy = malloc(sizeof *copy);
	bool has_room;

	must(copy);
	*copy = *job;
	pthread_mutex_lock(&p->lock);
	has_room = p->waiting_n < HASH_WAITING_MAX;
	if (has_room) {
		list_append(&p->waiting, &copy->link);
		p->waiting_n++;
		pthread_cond_signal(&p->some);
	}
	pthread_mutex_unlock(&p->lock);
	if (!has_room) {
		explicit_bzero(copy->password, sizeof copy->password);
		free(copy);
	}
	return has_room;
}
