/* SPDX-License-Identifier: Apache-2.0 */
#include "base/codec.h"
#include "role/reader/box_core.h"

/*
 * Threads, as RFC 8621 §3 suggests: two mails are in one when a message id stands in Message-ID, In-Reply-To or References of both, and their base
 * subjects are the same. `reference` has, for each such id together with the subject, the thread it leads to.
 *
 *   - A mail never changes its thread. When it shows that two threads were one, it joins the older, and so do those that come later.
 *   - A thread's id is made of the first reference and the subject, which all its mails have in common where programs do what
 *     RFC 5322 §3.6.4 asks: so the id is the same in whatever order they are found.
 */

/* ── subjects ── */

static bool
take_mark(struct str *subject)
{
	static const char *const marks[] = { "re", "fwd", "fw", "aw", "wg", "sv", "vs", "回复",
		"答复", "回覆", "转发", "轉寄", "轉發" };
	struct str rest = *subject;
	uint64_t count;
	size_t i = 0;

	while (i < sizeof marks / sizeof *marks && !scan_word_nocase(&rest, str_of(marks[i])))
		i++;
	if (i == sizeof marks / sizeof *marks)
		return false;
	if (scan_char(&rest, '[') && !(scan_u64(&rest, &count) && scan_char(&rest, ']')))
		return false;
	scan_blanks(&rest);
	if (!scan_char(&rest, ':') && !scan_word_nocase(&rest, S("："))) /* the wide colon */
		return false;
	*subject = str_trim(rest);
	return true;
}

/* "[list] ", when something follows. */
static bool
take_list_name(struct str *subject)
{
	size_t end = str_find(*subject, ']');
	struct str rest = str_trim(str_from(*subject, end + 1));

	if (!str_starts(*subject, S("[")) || end >= subject->n || !rest.n)
		return false;
	*subject = rest;
	return true;
}

struct str
threads_base_subject(struct str subject)
{
	subject = str_trim(subject);
	while (take_mark(&subject) || take_list_name(&subject))
		;
	while (str_ends_nocase(subject, S("(fwd)")))
		subject = str_trim(str_part(subject, 0, subject.n - 5));
	return subject;
}

/* ── threads ── */

static int64_t
reference_hash(struct str id, struct str subject)
{
	unsigned char hash[BOX_HASH];

	name_hash(id, subject, hash);
	return (int64_t)codec_get_u64(hash);
}

static int64_t
oldest(struct box *b, const struct thread_hints *h)
{
	int64_t best = -1;

	for (size_t i = 0; i < h->ids_n; i++) {
		int64_t found = index_number(b,
			"SELECT t.number FROM reference r JOIN thread t ON t.number = r.thread "
			"WHERE r.hash = ?1",
			"i", reference_hash(h->ids[i], h->subject));

		if (found >= 0 && (best < 0 || found < best))
			best = found;
	}
	return best;
}

static int64_t
make(struct box *b, const struct thread_hints *h, struct str mail_id)
{
	unsigned char hash[BOX_HASH];
	struct str id = { (const char *)hash, sizeof hash };

	name_hash(h->ids_n ? h->ids[0] : mail_id, h->subject, hash);
	if (index_number(b, "SELECT number FROM thread WHERE id = ?1", "b", id) >= 0)
		name_hash(mail_id, S("thread"), hash);
	if (!index_do(b, "INSERT INTO thread (id, mails, made, changed) VALUES (?1, 0, ?2, ?2)",
		    "bi", id, index_change(b, BOX_THREADS)))
		return -1;
	return sqlite3_last_insert_rowid(b->db);
}

int64_t
threads_join(struct box *b, const struct thread_hints *h, struct str mail_id)
{
	int64_t thread = oldest(b, h);

	if (thread < 0)
		thread = make(b, h, mail_id);
	else
		index_do(b, "UPDATE thread SET changed = ?2 WHERE number = ?1", "ii", thread,
			index_change(b, BOX_THREADS));
	index_do(b, "UPDATE thread SET mails = mails + 1 WHERE number = ?1", "i", thread);
	for (size_t i = 0; i < h->ids_n; i++)
		index_do(b,
			"INSERT INTO reference VALUES (?1, ?2) ON CONFLICT DO UPDATE SET thread = "
			"?2 WHERE thread NOT IN (SELECT number FROM thread)",
			"ii", reference_hash(h->ids[i], h->subject), thread);
	return thread;
}

void
threads_leave(struct box *b, int64_t thread)
{
	sqlite3_stmt *s;

	index_do(b, "UPDATE thread SET mails = mails - 1, changed = ?2 WHERE number = ?1", "ii",
		thread, index_change(b, BOX_THREADS));
	s = index_ask(
		b, "SELECT id, made FROM thread WHERE number = ?1 AND mails <= 0", "i", thread);
	if (index_next(b, s)) {
		char id[BOX_ID];
		int64_t made = sqlite3_column_int64(s, 1);

		name_id('T', (const unsigned char *)index_octets(s, 0).p, id);
		index_done(s);
		index_do(b, "DELETE FROM thread WHERE number = ?1", "i", thread);
		index_gone(b, BOX_THREADS, str_of(id), made);
	}
}

void
threads_touch(struct box *b, int64_t thread)
{
	sqlite3_stmt *s =
		index_ask(b, "SELECT DISTINCT folder FROM mail WHERE thread = ?1", "i", thread);

	while (index_next(b, s))
		folder_count_anew(b, folder_of_number(b, sqlite3_column_int64(s, 0)));
}

size_t
box_thread(struct box *b, struct str thread, struct arena *arena, struct str **ids)
{
	unsigned char hash[BOX_HASH];
	size_t n = 0, room;
	int64_t number, mails;
	sqlite3_stmt *s;

	*ids = NULL;
	if (!name_id_hash('T', thread, hash))
		return 0;
	number = index_number(b, "SELECT number FROM thread WHERE id = ?1", "b",
		(struct str){ (const char *)hash, sizeof hash });
	mails = index_number(b, "SELECT count(*) FROM mail WHERE thread = ?1", "i", number);
	room = mails > 0 ? (size_t)mails : 0;
	*ids = room ? arena_take(arena, room * sizeof **ids) : NULL;
	s = *ids ? index_ask(b, "SELECT id FROM mail WHERE thread = ?1 ORDER BY received, number",
			   "i", number)
		 : NULL;
	while (n < room && index_next(b, s)) {
		char id[BOX_ID];

		name_id('M', (const unsigned char *)index_octets(s, 0).p, id);
		if (!arena_dup(arena, str_of(id), &(*ids)[n]))
			break;
		n++;
	}
	index_done(s);
	return n;
}
