/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/guess.h"

#include "base/must.h"

struct entry {
	struct list link;
	int64_t since_ms;
	unsigned n;
	size_t login_n;
	char login[];
};

static struct str
key_of(const void *member)
{
	const struct entry *e = member;

	return (struct str){ e->login, e->login_n };
}

static void
drop(struct guesses *g, struct entry *e)
{
	map_remove(&g->logins, key_of(e));
	list_remove(&e->link);
	free(e);
}

void
guess_begin(struct guesses *g)
{
	*g = (struct guesses){ .logins = { .key_of = key_of } };
	list_init(&g->by_age);
}

static struct entry *
entry_new(struct guesses *g, struct str login, int64_t now_ms)
{
	struct entry *e;

	if (g->logins.used == GUESS_LOGINS_MAX)
		drop(g, list_of(g->by_age.next, struct entry, link));
	e = malloc(sizeof *e + login.n);
	must(e);
	*e = (struct entry){ .since_ms = now_ms, .login_n = login.n };
	memcpy(e->login, login.p, login.n);
	map_put(&g->logins, e);
	list_append(&g->by_age, &e->link);
	return e;
}

bool
guess_may(struct guesses *g, struct str login, int64_t now_ms)
{
	struct entry *e = map_get(&g->logins, login);

	if (e && now_ms - e->since_ms > GUESS_MS) {
		drop(g, e);
		e = NULL;
	}
	if (!e)
		e = entry_new(g, login, now_ms);
	if (e->n >= GUESS_MOST)
		return false;
	e->n++;
	return true;
}

void
guess_was_right(struct guesses *g, struct str login)
{
	struct entry *e = map_get(&g->logins, login);

	if (e)
		drop(g, e);
}
