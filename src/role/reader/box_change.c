/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "role/reader/box_core.h"

/*
 * What was changed since a state. States are numbers, each given to one change: a row has that of its birth (made) and of its last change, and what is
 * gone leaves both its birth's and its end's in `gone`. Since s, a thing was
 *
 *   created    made > s              told at `made`
 *   updated    made <= s < changed   told at `changed`
 *   destroyed  made <= s < end       told at `end`; one that is there again was updated
 *
 * Told in this order and cut anywhere, the state of the last that was told is one from which the rest follows: what is created before the cut and changed
 * behind it is told twice, never too late.
 */

struct told {
	int64_t state;
	enum how { CREATED, UPDATED, DESTROYED } how;
	bool is_of_counts; /* a folder of which nothing but numbers changed */
	struct str id;
};

struct story {
	struct box *b;
	struct arena *arena;
	enum box_kind kind;
	struct told *list;
	size_t n, capacity;
};

static bool
story_add(struct story *s, int64_t state, enum how how, bool is_of_counts, struct str id)
{
	struct str copy;

	if (!arena_dup(s->arena, id, &copy))
		return false;
	if (s->n == s->capacity) {
		s->capacity = s->capacity ? s->capacity * 2 : 64;
		s->list = realloc(s->list, s->capacity * sizeof *s->list);
		must(s->list);
	}
	s->list[s->n++] = (struct told){
		.state = state, .how = how, .is_of_counts = is_of_counts, .id = copy
	};
	return true;
}

/* Rows of state and id; an id of octets is of a mail or a thread. */
static bool
story_read(struct story *s, sqlite3_stmt *rows, enum how how)
{
	bool good = true;

	while (good && index_next(s->b, rows)) {
		char text[BOX_ID];
		struct str id = index_octets(rows, 1);

		if (id.n == BOX_HASH) {
			name_id(s->kind == BOX_MAILS ? 'M' : 'T', (const unsigned char *)id.p,
				text);
			id = str_of(text);
		}
		good = story_add(s, sqlite3_column_int64(rows, 0), how, false, id);
	}
	if (!good)
		index_done(rows);
	return good;
}

static bool
story_of_rows(struct story *s, int64_t since, int64_t most)
{
	static const struct {
		const char *created, *updated;
	} sql[] = {
		[BOX_MAILS] = { "SELECT made, id FROM mail WHERE made > ?1 ORDER BY made LIMIT ?2",
			"SELECT changed, id FROM mail WHERE changed > ?1 AND made <= ?1 ORDER BY "
			"changed LIMIT ?2" },
		[BOX_THREADS] = { "SELECT made, id FROM thread WHERE made > ?1 ORDER BY made LIMIT "
				  "?2",
			"SELECT changed, id FROM thread WHERE changed > ?1 AND made <= ?1 ORDER BY "
			"changed LIMIT ?2" },
	};

	return story_read(s, index_ask(s->b, sql[s->kind].created, "ii", since, most), CREATED) &&
	       story_read(s, index_ask(s->b, sql[s->kind].updated, "ii", since, most), UPDATED);
}

static bool
story_of_folders(struct story *s, int64_t since)
{
	bool good = true;

	for (size_t i = 0; i < s->b->folders_n && good; i++) {
		const struct folder *f = &s->b->folders[i];
		int64_t last = f->changed > f->counted ? f->changed : f->counted;

		if (f->made > since)
			good = story_add(s, f->made, CREATED, false, str_of(f->id));
		else if (last > since)
			good = story_add(s, last, UPDATED, f->changed <= since, str_of(f->id));
	}
	return good;
}

static int
by_id(const void *a, const void *b)
{
	const struct told *x = a, *y = b;
	int order = memcmp(x->id.p, y->id.p, x->id.n < y->id.n ? x->id.n : y->id.n);

	return order ? order : (int)x->how - (int)y->how;
}

static int
by_state(const void *a, const void *b)
{
	const struct told *x = a, *y = b;

	return (x->state > y->state) - (x->state < y->state);
}

/* An id that was destroyed, and is there again, was updated; and one is told once. */
static void
story_fold(struct story *s)
{
	size_t kept = 0;

	qsort(s->list, s->n, sizeof *s->list, by_id);
	for (size_t i = 0; i < s->n; i++) {
		struct told *last = kept ? &s->list[kept - 1] : NULL;

		if (last && str_eq(last->id, s->list[i].id)) {
			if (last->how == CREATED && s->list[i].how == DESTROYED)
				last->how = UPDATED;
			continue;
		}
		s->list[kept++] = s->list[i];
	}
	s->n = kept;
	qsort(s->list, s->n, sizeof *s->list, by_state);
}

static bool
story_tell(const struct story *s, struct arena *arena, struct box_changes *c)
{
	struct str **const lists[] = { &c->created, &c->updated, &c->destroyed };
	size_t *const ns[] = { &c->created_n, &c->updated_n, &c->destroyed_n };

	for (size_t i = 0; i < 3; i++)
		if (!(*lists[i] = arena_take(arena, (s->n + 1) * sizeof **lists[i])))
			return false;
	c->only_counts = s->kind == BOX_FOLDERS && s->n > 0;
	for (size_t i = 0; i < s->n; i++) {
		(*lists[s->list[i].how])[(*ns[s->list[i].how])++] = s->list[i].id;
		c->only_counts &= s->list[i].is_of_counts;
	}
	return true;
}

static void
state_text(const struct box *b, int64_t state, char text[BOX_STATE])
{
	snprintf(text, BOX_STATE, "%s-%lld", b->epoch, (long long)state);
}

void
box_state(struct box *b, enum box_kind kind, char state[BOX_STATE])
{
	state_text(b, b->states[kind], state);
}

static bool
scan_state(const struct box *b, struct str text, int64_t *state)
{
	uint64_t number;

	if (!scan_word_nocase(&text, str_of(b->epoch)) || !scan_char(&text, '-') ||
		!scan_u64(&text, &number) || text.n || number > INT64_MAX)
		return false;
	*state = (int64_t)number;
	return *state >= b->forgotten && *state <= b->state;
}

bool
box_changes(struct box *b, enum box_kind kind, struct str since, size_t max, struct arena *arena,
	struct box_changes *c)
{
	struct story s = { .b = b, .arena = arena, .kind = kind };
	/* One more than is asked for shows that there is more; folding can take one of two away. */
	int64_t from, most = max && max < INT32_MAX ? (int64_t)max * 2 + 2 : INT64_MAX;
	bool good;

	*c = (struct box_changes){ 0 };
	if (!scan_state(b, since, &from))
		return false;
	good = (kind == BOX_FOLDERS ? story_of_folders(&s, from) : story_of_rows(&s, from, most)) &&
	       story_read(&s,
		       index_ask(b,
			       "SELECT state, id FROM gone WHERE state > ?1 AND kind = ?2 AND made "
			       "<= ?1 ORDER BY state",
			       "ii", from, (int64_t)kind),
		       DESTROYED);
	if (good && s.n)
		story_fold(&s);
	c->has_more = max && s.n > max;
	if (c->has_more)
		s.n = max;
	good = good && story_tell(&s, arena, c) && !b->is_broken;
	if (c->has_more && s.list)
		from = s.list[s.n - 1].state;
	else if (b->states[kind] > from)
		from = b->states[kind];
	state_text(b, from, c->state);
	free(s.list);
	return good;
}
