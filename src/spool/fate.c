/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fates: what has become of mails and segments, as a state in memory and as a log of entries that
 * change it (fate_entry.c). The keeper changes the state only by fate_apply with the entry that it also
 * logs, and recovery applies what it reads: so what a restart finds is what was there.
 *
 * Invariants
 * 1. For each recipient the last fate counts, for each segment the last of made, sealed and gone.
 * 2. Applying the end of a log again to a state that has it gives the same state. Therefore a
 *    checkpoint needs no exact place in the log: it replaces the files that were full when it was
 *    taken, and all later ones are applied to it.
 * 3. Released mails are known by their segment until that is made anew or gone: no fate is
 * forgotten while the mail's record can still be read.
 */
#include "spool/keeper.h"

#include "base/hash.h"
#include "base/must.h"

/* An entry of fate_state.fates. */
struct kept_fate {
	int64_t at_ms, due_ms;
	uint32_t tries;
	uint32_t texts; /* why, host and children, packed: in fate_state.texts or long_texts */
	uint8_t kind;
	bool is_long;
};

enum {
	FATES_RECORD_OCTETS = 256 * 1024, /* of entries, in a record of a checkpoint */
	FATE_RECIPIENTS_MAX = 1 << 20,
};

static struct fate_mail *
mail_at(const struct fate_state *s, uint32_t name)
{
	return pool_at(&s->mails, name);
}

static struct str
mail_key(const void *of, uint32_t name)
{
	return id_octets(&mail_at(of, name)->id);
}

static struct str
number_str(const uint64_t *number)
{
	return (struct str){ (const char *)number, sizeof *number };
}

static struct str
segment_key(const void *member)
{
	return number_str(&((const struct kept_segment *)member)->number);
}

/* ── mails ── */

static struct kept_fate *
kept_at(const struct fate_state *s, uint32_t name)
{
	return pool_at(&s->fates, name);
}

/* Where the name of that recipient's fate stands. */
static uint32_t *
fate_of(struct fate_mail *m, uint32_t recipient)
{
	must(recipient < m->fates_n);
	return m->fates_n == 1 ? &m->fates.one : &m->fates.many[recipient];
}

static struct str
texts_of(const struct fate_state *s, const struct kept_fate *kept)
{
	struct str texts;

	if (!kept->is_long)
		return intern_at(&s->texts, kept->texts);
	memcpy(&texts, pool_at(&s->long_texts, kept->texts), sizeof texts);
	return texts;
}

static void
texts_forget(struct fate_state *s, struct kept_fate *kept)
{
	if (!kept->is_long) {
		intern_drop(&s->texts, kept->texts);
		return;
	}
	free((char *)(uintptr_t)texts_of(s, kept).p);
	pool_give(&s->long_texts, kept->texts);
}

static void
mail_empty(struct fate_state *s, struct fate_mail *m)
{
	for (uint32_t i = 0; i < m->fates_n; i++) {
		uint32_t name = *fate_of(m, i);

		if (!name)
			continue;
		texts_forget(s, kept_at(s, name));
		pool_give(&s->fates, name);
	}
	if (m->fates_n > 1)
		free(m->fates.many);
}

void
fate_state_init(struct fate_state *s)
{
	*s = (struct fate_state){ .mails.entry = sizeof(struct fate_mail),
		.by_id = { .key_of = mail_key, .of = s },
		.fates.entry = sizeof(struct kept_fate),
		.long_texts.entry = sizeof(struct str),
		.scratch.max = RECORD_PAYLOAD_MAX,
		.segments.key_of = segment_key };
}

void
fate_state_free(struct fate_state *s)
{
	struct kept_segment *g;
	struct fate_mail *m;

	for (uint32_t at = 0; (m = fate_next_mail(s, &at));)
		mail_empty(s, m);
	for (size_t at = 0; (g = map_next(&s->segments, &at));) {
		free(g->released);
		free(g);
	}
	pool_free(&s->mails);
	refs_free(&s->by_id);
	pool_free(&s->fates);
	intern_free(&s->texts);
	pool_free(&s->long_texts);
	buf_free(&s->scratch);
	map_free(&s->segments);
}

struct kept_segment *
fate_segment(const struct fate_state *s, uint64_t number)
{
	return map_get(&s->segments, number_str(&number));
}

struct fate_mail *
fate_mail(const struct fate_state *s, struct mail_id id)
{
	uint32_t name = refs_get(&s->by_id, id_octets(&id));

	return name ? mail_at(s, name) : NULL;
}

struct fate_mail *
fate_next_mail(const struct fate_state *s, uint32_t *at)
{
	while (*at < s->mails.used)
		if (mail_at(s, ++*at)->fates_n)
			return mail_at(s, *at);
	return NULL;
}

void
fate_drop_mail(struct fate_state *s, struct mail_id id)
{
	uint32_t name = refs_remove(&s->by_id, id_octets(&id));

	if (!name)
		return;
	mail_empty(s, mail_at(s, name));
	pool_give(&s->mails, name);
}

bool
fate_next_kept(const struct fate_state *s, const struct fate_mail *m, uint32_t *at, struct fate *f)
{
	for (; *at < m->fates_n; ++*at) {
		uint32_t name = m->fates_n == 1 ? m->fates.one : m->fates.many[*at];
		const struct kept_fate *kept;
		struct str texts;

		if (!name)
			continue;
		kept = kept_at(s, name);
		texts = texts_of(s, kept);
		*f = (struct fate){ .kind = (enum fate_kind)kept->kind,
			.id = m->id,
			.recipient = (*at)++,
			.at_ms = kept->at_ms,
			.due_ms = kept->due_ms,
			.tries = kept->tries };
		must(fate_scan_texts(&texts, f)); /* as fate_add_texts wrote it */
		return true;
	}
	return false;
}

/* ── applying ── */

/* The array reaches to that recipient: its length is the next power of two. */
static void
mail_make_room(struct fate_mail *m, uint32_t recipient)
{
	uint32_t n = m->fates_n ? m->fates_n : 1, *before, *many;

	while (n <= recipient)
		n *= 2;
	if (n == m->fates_n || n == 1) {
		m->fates_n = n;
		return;
	}
	before = m->fates_n > 1 ? m->fates.many : NULL;
	many = realloc(before, n * sizeof *many);
	must(many);
	memset(many + m->fates_n, 0, (n - m->fates_n) * sizeof *many);
	if (m->fates_n == 1)
		many[0] = m->fates.one;
	m->fates.many = many;
	m->fates_n = n;
}

static struct fate_mail *
mail_new(struct fate_state *s, struct mail_id id)
{
	uint32_t name = pool_take(&s->mails);

	mail_at(s, name)->id = id;
	refs_put(&s->by_id, name);
	return mail_at(s, name);
}

static uint32_t
texts_keep(struct fate_state *s, struct str texts, bool *is_long)
{
	struct str copy = { NULL, texts.n };
	uint32_t name;
	char *p;

	*is_long = texts.n > TEXTS_MAX;
	if (!*is_long)
		return intern_add(&s->texts, texts);
	p = malloc(texts.n);
	must(p);
	memcpy(p, texts.p, texts.n);
	copy.p = p;
	name = pool_take(&s->long_texts);
	memcpy(pool_at(&s->long_texts, name), &copy, sizeof copy);
	return name;
}

static void
apply_fate(struct fate_state *s, const struct fate *f)
{
	struct fate_mail *m = fate_mail(s, f->id);
	struct kept_fate *kept;
	uint32_t *name;
	bool is_long;

	if (f->recipient >= FATE_RECIPIENTS_MAX)
		return; /* no mail has so many */
	if (!m)
		m = mail_new(s, f->id);
	mail_make_room(m, f->recipient);
	name = fate_of(m, f->recipient);
	if (*name)
		texts_forget(s, kept_at(s, *name)); /* the newest counts */
	else
		*name = pool_take(&s->fates);
	buf_reset(&s->scratch);
	fate_add_texts(&s->scratch, f);
	must(!s->scratch.overflow);
	kept = kept_at(s, *name);
	kept->texts = texts_keep(s, buf_str(&s->scratch), &is_long);
	kept->is_long = is_long;
	kept->kind = (uint8_t)f->kind;
	kept->tries = f->tries;
	kept->at_ms = f->at_ms;
	kept->due_ms = f->due_ms;
}

static void
apply_released(struct fate_state *s, struct mail_id id, uint64_t number)
{
	struct kept_segment *g = fate_segment(s, number);

	fate_drop_mail(s, id);
	if (!g)
		return;
	if (g->released_n == g->released_capacity) {
		g->released_capacity = g->released_capacity ? 2 * g->released_capacity : 16;
		g->released = realloc(g->released, g->released_capacity * sizeof *g->released);
		must(g->released);
	}
	g->released[g->released_n++] = id;
}

static void
apply_made(struct fate_state *s, const struct fate_entry *entry)
{
	struct kept_segment *g = fate_segment(s, entry->number);

	if (!g) {
		g = calloc(1, sizeof *g);
		must(g);
		g->number = entry->number;
		g->fd = -1;
		map_put(&s->segments, g);
	}
	g->generation = entry->generation;
	g->size = entry->size;
	g->state = KEPT_OPENING;
	g->end = g->read_to = SPOOL_BLOCK;
	free(g->released);
	g->released = NULL;
	g->released_n = g->released_capacity = 0;
}

static void
apply_gone(struct fate_state *s, uint64_t number)
{
	struct kept_segment *g = map_remove(&s->segments, number_str(&number));

	if (!g)
		return;
	free(g->released);
	free(g);
}

void
fate_apply(struct fate_state *s, const struct fate_entry *entry)
{
	struct kept_segment *g;

	switch (entry->kind) {
	case ENTRY_FATE:
		apply_fate(s, &entry->fate);
		break;
	case ENTRY_RELEASED:
		apply_released(s, entry->id, entry->number);
		break;
	case ENTRY_MADE:
		apply_made(s, entry);
		break;
	case ENTRY_SEALED:
		g = fate_segment(s, entry->number);
		if (!g || g->generation != entry->generation)
			break;
		g->state = KEPT_SEALED;
		g->end = entry->end;
		break;
	case ENTRY_GONE:
		apply_gone(s, entry->number);
		break;
	}
}

/* ── checkpoints and files of the log ── */

/* The entries gathered so far become a record; with `least` 0 the rest too. */
static void
checkpoint_flush(struct buf *to, uint64_t generation, struct buf *entries, size_t least)
{
	if (entries->n == 0 || entries->n < least)
		return;
	must(!entries->overflow);
	record_add_fates(to, generation, buf_str(entries));
	buf_reset(entries);
}

static void
checkpoint_add_segments(
	struct buf *to, uint64_t generation, struct buf *entries, const struct fate_state *s)
{
	struct kept_segment *g;

	for (size_t at = 0; (g = map_next(&s->segments, &at));) {
		fate_add_entry(entries, &(struct fate_entry){ .kind = ENTRY_MADE,
						.number = g->number,
						.generation = g->generation,
						.size = g->size });
		if (g->state != KEPT_OPEN && g->state != KEPT_OPENING)
			fate_add_entry(entries, &(struct fate_entry){ .kind = ENTRY_SEALED,
							.number = g->number,
							.generation = g->generation,
							.end = g->end });
		for (uint32_t i = 0; i < g->released_n; i++) {
			fate_add_entry(entries, &(struct fate_entry){ .kind = ENTRY_RELEASED,
							.id = g->released[i],
							.number = g->number });
			checkpoint_flush(to, generation, entries, FATES_RECORD_OCTETS);
		}
	}
}

static void
checkpoint_add_mails(
	struct buf *to, uint64_t generation, struct buf *entries, const struct fate_state *s)
{
	struct fate_entry entry = { .kind = ENTRY_FATE };
	struct fate_mail *m;

	for (uint32_t at = 0; (m = fate_next_mail(s, &at));) {
		uint32_t recipient = 0;

		while (fate_next_kept(s, m, &recipient, &entry.fate)) {
			fate_add_entry(entries, &entry);
			checkpoint_flush(to, generation, entries, FATES_RECORD_OCTETS);
		}
	}
}

void
fate_add_checkpoint(struct buf *to, const struct fate_state *s, uint64_t number)
{
	struct segment_header h = { .use = SEGMENT_STATE, .number = number };
	struct buf entries = { .max = RECORD_PAYLOAD_MAX };
	char *block = buf_room(to, SPOOL_BLOCK);

	must(block);
	hash_random(&h.generation, sizeof h.generation);
	record_put_segment_header(block, &h);
	buf_grew(to, SPOOL_BLOCK);
	checkpoint_add_segments(to, h.generation, &entries, s);
	checkpoint_add_mails(to, h.generation, &entries, s);
	checkpoint_flush(to, h.generation, &entries, 0);
	record_add_mark(to, h.generation);
	must(!to->overflow);
	buf_free(&entries);
}

bool
fate_apply_file(struct fate_state *s, struct str file, enum segment_use use, uint64_t *damaged)
{
	uint64_t at = SPOOL_BLOCK, broken = 0, broken_before_last = 0;
	struct segment_header h;
	struct fate_entry entry;
	struct record r;
	bool is_marked = false;

	if (!record_get_segment_header(file, &h) || h.use != use)
		return false;
	while (record_next(file, h.generation, &at, &r, &broken)) {
		broken_before_last =
			broken; /* those behind the last sound record are a torn tail */
		is_marked = r.kind == SPOOL_MARK;
		if (r.kind != SPOOL_FATES)
			continue;
		while (fate_scan_entry(&r.payload, &entry, damaged))
			fate_apply(s, &entry);
	}
	*damaged += broken_before_last;
	return use != SEGMENT_STATE || is_marked;
}
