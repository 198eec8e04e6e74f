/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/crowd.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/must.h"
#include "io/ipc.h"

/*
 * The table, which several receivers write at once and without locks, and any of which may be somebody
 * else's by now:
 *
 *   1. Whatever stands in it is harmless: numbers that are compared, never places or lengths.
 *   2. It never grows. What is remembered lies in sets of a few places; where a set is full, the one that
 *      would be forgotten soonest goes. So a stranger's entry may be lost early, while the known, who are
 *      remembered for weeks, stay.
 *   3. Strangers cannot choose places: they are hashes under a secret, which lies in the table too, since all
 *      receivers must find the same places.
 *   4. Connections are counted in two cells each, of which the lesser counts. A client pays for others only
 *      where both its cells are crowded by them. Each receiver has cells of its own, and the successor of a
 *      dead one begins with none: no connection is counted that nobody holds.
 *   5. Two that write one place at the same moment may lose one of both counts. Nothing here is worth a lock.
 *
 *   secret u64×2 · unused · cells u32 [slot][row][column] · places [set][way]
 */

enum {
	SLOTS = 8,
	ROWS = 2,
	COLUMNS = 32768, /* a power of two, like the next */
	SETS = 16384,
	WAYS = 4,
};

struct place {
	uint64_t who;
	struct crowd_memory memory;
};

struct table {
	uint64_t secret[2];
	uint64_t unused[6];
	_Atomic uint32_t cells[SLOTS][ROWS][COLUMNS];
	struct place places[SETS][WAYS];
};

_Static_assert(sizeof(struct table) <= IPC_TABLE_SIZE, "master makes it of this size");

struct crowd {
	struct table *table;
	unsigned slot;
};

static void *
map_shared(int fd)
{
	struct stat st;
	void *p = MAP_FAILED;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size == IPC_TABLE_SIZE)
		p = mmap(NULL, IPC_TABLE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return p;
}

struct crowd *
crowd_open(int fd, unsigned slot)
{
	struct crowd *c = calloc(1, sizeof *c);
	void *p = map_shared(fd);

	must(c);
	if (p == MAP_FAILED) {
		p = mmap(NULL, IPC_TABLE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
		must(p != MAP_FAILED);
		hash_random(p, sizeof c->table->secret);
	}
	c->table = p;
	c->slot = slot % SLOTS;
	for (size_t row = 0; row < ROWS; row++)
		for (size_t column = 0; column < COLUMNS; column++)
			atomic_store_explicit(
				&c->table->cells[c->slot][row][column], 0, memory_order_relaxed);
	return c;
}

void
crowd_close(struct crowd **c)
{
	if (*c)
		munmap((*c)->table, IPC_TABLE_SIZE);
	free(*c);
	*c = NULL;
}

/* ── connections ── */

/* The column of a key in a row: each row has its own half of the hash. */
static size_t
column_of(const struct crowd *c, struct str key, size_t row)
{
	return (size_t)(hash_sip(c->table->secret, key) >> (32 * row)) % COLUMNS;
}

void
crowd_enter(struct crowd *c, struct str key)
{
	for (size_t row = 0; row < ROWS; row++)
		atomic_fetch_add_explicit(&c->table->cells[c->slot][row][column_of(c, key, row)], 1,
			memory_order_relaxed);
}

void
crowd_leave(struct crowd *c, struct str key)
{
	for (size_t row = 0; row < ROWS; row++) {
		_Atomic uint32_t *cell = &c->table->cells[c->slot][row][column_of(c, key, row)];

		if (atomic_load_explicit(cell, memory_order_relaxed) > 0)
			atomic_fetch_sub_explicit(cell, 1, memory_order_relaxed);
	}
}

uint32_t
crowd_here(const struct crowd *c, struct str key)
{
	uint32_t least = UINT32_MAX;

	for (size_t row = 0; row < ROWS; row++) {
		size_t column = column_of(c, key, row);
		uint32_t sum = 0;

		for (size_t slot = 0; slot < SLOTS; slot++)
			sum += atomic_load_explicit(
				&c->table->cells[slot][row][column], memory_order_relaxed);
		if (sum < least)
			least = sum;
	}
	return least;
}

/* ── memory ── */

/* Each kind has names of its own; none is 0, which is an empty place. */
static uint64_t
name_of(const struct crowd *c, enum crowd_kind kind, struct str key)
{
	char text[256] = { (char)kind };

	key = str_part(key, 0, sizeof text - 1);
	memcpy(text + 1, key.p ? key.p : "", key.n);
	return hash_sip(c->table->secret, (struct str){ text, key.n + 1 }) | 1;
}

static struct place *
set_of(const struct crowd *c, uint64_t who)
{
	return c->table->places[(who >> 1) % SETS];
}

/* A memory of the future is somebody's scribble, or the clock was set back. */
static bool
is_alive(const struct crowd_memory *m, int64_t now_s)
{
	return m->since_s <= now_s && m->until_s > now_s;
}

bool
crowd_recall(const struct crowd *c, enum crowd_kind kind, struct str key, int64_t now_s,
	struct crowd_memory *m)
{
	uint64_t who = name_of(c, kind, key);
	const struct place *set = set_of(c, who);

	*m = (struct crowd_memory){ 0 };
	for (size_t way = 0; way < WAYS; way++)
		if (set[way].who == who) {
			*m = set[way].memory;
			return is_alive(m, now_s);
		}
	return false;
}

void
crowd_remember(struct crowd *c, enum crowd_kind kind, struct str key, const struct crowd_memory *m)
{
	uint64_t who = name_of(c, kind, key);
	struct place *set = set_of(c, who), *to = &set[0];

	for (size_t way = 0; way < WAYS; way++) {
		if (set[way].who == who) {
			to = &set[way];
			break;
		}
		if (set[way].memory.until_s < to->memory.until_s)
			to = &set[way];
	}
	*to = (struct place){ who, *m };
}

uint32_t
crowd_count(struct crowd *c, enum crowd_kind kind, struct str key, uint32_t window_s, int64_t now_s,
	uint32_t more)
{
	struct crowd_memory m;

	if (!crowd_recall(c, kind, key, now_s, &m))
		m = (struct crowd_memory){ .since_s = (uint32_t)now_s,
			.until_s = (uint32_t)now_s + window_s };
	m.count = m.count > UINT32_MAX - more ? UINT32_MAX : m.count + more;
	if (more)
		crowd_remember(c, kind, key, &m);
	return m.count;
}
