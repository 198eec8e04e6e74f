/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/recent.h"

#include <openssl/crypto.h>

#include "base/hash.h"
#include "base/must.h"

struct entry {
	struct list link;
	int64_t until_ms;
	uint64_t proof[2];
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
prove(const struct recent *r, struct str password, uint64_t proof[2])
{
	for (int i = 0; i < 2; i++)
		proof[i] = hash_sip(r->secrets[i], password);
}

static void
drop(struct recent *r, struct entry *e)
{
	map_remove(&r->entries, key_of(e));
	list_remove(&e->link);
	free(e);
}

void
recent_begin(struct recent *r)
{
	*r = (struct recent){ .entries = { .key_of = key_of } };
	list_init(&r->by_age);
	hash_random(r->secrets, sizeof r->secrets);
}

void
recent_forget(struct recent *r)
{
	list_each_safe (at, &r->by_age)
		drop(r, list_of(at, struct entry, link));
	map_free(&r->entries);
}

void
recent_add(struct recent *r, struct str login, struct str password, int64_t now_ms)
{
	struct entry *e = map_get(&r->entries, login);

	if (e)
		drop(r, e);
	if (r->entries.used == RECENT_MAX)
		drop(r, list_of(r->by_age.next, struct entry, link));
	e = calloc(1, sizeof *e + login.n);
	must(e);
	e->until_ms = now_ms + RECENT_MS;
	e->login_n = login.n;
	memcpy(e->login, login.p, login.n);
	prove(r, password, e->proof);
	map_put(&r->entries, e);
	list_append(&r->by_age, &e->link);
}

bool
recent_has(struct recent *r, struct str login, struct str password, int64_t now_ms)
{
	struct entry *e = map_get(&r->entries, login);
	uint64_t proof[2];

	if (!e)
		return false;
	if (e->until_ms <= now_ms) {
		drop(r, e);
		return false;
	}
	prove(r, password, proof);
	return CRYPTO_memcmp(proof, e->proof, sizeof proof) == 0;
}
