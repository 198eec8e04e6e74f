/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/codec.h"
#include "io/file.h"
#include "role/reader/box_core.h"
#include "role/reader/letter.h"

/* Mails in the index: one comes in, is somewhere else or has other flags, goes. Every change gets a state of its own (box_change.c). */

enum { UNREAD = BOX_SEEN | BOX_DRAFT }; /* a mail that has neither is unread: RFC 8621 §2 */

/* ── rows ── */

static void
read_row(struct mail_row *row, sqlite3_stmt *s)
{
	*row = (struct mail_row){ .number = sqlite3_column_int64(s, 0),
		.folder = sqlite3_column_int64(s, 1),
		.thread = sqlite3_column_int64(s, 2),
		.made = sqlite3_column_int64(s, 3),
		.flags = (unsigned)sqlite3_column_int(s, 4),
		.part = (enum box_part)sqlite3_column_int(s, 5) };
	snprintf(row->name, sizeof row->name, "%.*s", STR_ARG(index_octets(s, 6)));
}

bool
mail_row(struct box *b, int64_t number, struct mail_row *row)
{
	sqlite3_stmt *s = index_ask(b,
		"SELECT number, folder, thread, made, flags, part, name FROM mail WHERE number = "
		"?1",
		"i", number);

	if (!index_next(b, s))
		return false;
	read_row(row, s);
	index_done(s);
	return true;
}

static int64_t
key_of(struct str base, unsigned char hash[BOX_HASH])
{
	name_hash(base, S(""), hash);
	return (int64_t)codec_get_u64(hash);
}

bool
mail_of_file(struct box *b, int64_t folder, struct str base, struct mail_row *row)
{
	unsigned char hash[BOX_HASH];
	struct mail_row at;
	bool found = false, is_exact = false;
	sqlite3_stmt *s = index_ask(b,
		"SELECT number, folder, thread, made, flags, part, name FROM mail WHERE key = ?1",
		"i", key_of(base, hash));

	while (!is_exact && index_next(b, s)) {
		struct folder *f;

		read_row(&at, s);
		if (!str_eq(name_base(str_of(at.name)), base))
			continue;
		f = folder_of_number(b, at.folder);
		is_exact = at.folder == folder;
		if (!is_exact && f && maildir_has(b, f, at.part, at.name))
			continue;
		*row = at;
		found = true;
	}
	if (is_exact)
		index_done(s);
	return found;
}

/* ── a new mail ── */

struct fresh {
	struct str octets;
	struct stat st;
	struct letter *letter;
	json_t *summary;
	struct buf json;
	struct buf columns[6]; /* of `words` */
	struct str ids[64];
	struct thread_hints hints;
};
enum { AUTHOR, READER, COPIED, HIDDEN, SUBJECT, BODY };

static struct str
text_of(const json_t *object, const char *name)
{
	const json_t *j = json_object_get(object, name);

	return json_is_string(j) ? (struct str){ json_string_value(j), json_string_length(j) }
				 : (struct str){ 0 };
}

static void
add_addresses(struct buf *to, const json_t *addresses)
{
	size_t i;
	json_t *address;

	json_array_foreach (addresses, i, address) {
		words_add(to, text_of(address, "name"));
		buf_add_char(to, ' ');
		words_add(to, text_of(address, "email"));
		buf_add(to, S(" | "));
	}
}

/* The oldest references first, of too many the newest ones. */
static void
add_ids(struct fresh *f, const json_t *ids)
{
	const size_t room = sizeof f->ids / sizeof *f->ids;
	size_t i;
	json_t *id;

	json_array_foreach (ids, i, id) {
		struct str text = json_is_string(id) ? str_of(json_string_value(id)) : S("");

		if (!text.n)
			continue;
		if (f->hints.ids_n == room) {
			memmove(f->ids + 1, f->ids + 2, (room - 2) * sizeof *f->ids);
			f->hints.ids_n--;
		}
		f->ids[f->hints.ids_n++] = text;
	}
}

static bool
fresh_read(struct box *b, struct fresh *f, const struct folder *folder, enum box_part part,
	const char *name)
{
	struct buf whole = { .max = BOX_OCTETS_MAX };
	int fd = maildir_open(b, folder, part, name);

	if (fd < 0)
		return false;
	if (fstat(fd, &f->st) != 0 || (!file_read_all(fd, &whole) && errno != EFBIG)) {
		buf_free(&whole);
		close(fd);
		return false;
	}
	close(fd);
	f->octets = buf_str(&whole);
	return true;
}

static void
fresh_look(struct fresh *f)
{
	static const char *const names[] = { "from", "to", "cc", "bcc" };
	struct buf body = { .max = BOX_WORDS_MAX };

	f->letter = letter_open(f->octets);
	f->json.max = 1024 * 1024;
	letter_summary(f->letter, &f->json);
	f->summary = json_loadb(f->json.p ? f->json.p : "", f->json.n, 0, NULL);
	for (size_t i = 0; i < 6; i++)
		f->columns[i].max = 4 * BOX_WORDS_MAX;
	for (size_t i = 0; i < 4; i++)
		add_addresses(&f->columns[i], json_object_get(f->summary, names[i]));
	words_add(&f->columns[SUBJECT], text_of(f->summary, "subject"));
	letter_words(f->letter, BOX_WORDS_MAX, &body);
	words_add(&f->columns[BODY], buf_str(&body));
	buf_free(&body);
	f->hints.ids = f->ids;
	add_ids(f, json_object_get(f->summary, "references"));
	add_ids(f, json_object_get(f->summary, "inReplyTo"));
	add_ids(f, json_object_get(f->summary, "messageId"));
	f->hints.subject = threads_base_subject(text_of(f->summary, "subject"));
}

static void
fresh_free(struct fresh *f)
{
	for (size_t i = 0; i < 6; i++)
		buf_free(&f->columns[i]);
	json_decref(f->summary);
	buf_free(&f->json);
	letter_free(&f->letter);
	free((char *)(uintptr_t)f->octets.p);
}

static int64_t
sent_ms(const struct fresh *f)
{
	const struct letter_field *date = letter_field(letter_root(f->letter), S("Date"));
	int64_t unix_s;
	int offset;

	return date && letter_field_date(date->raw, &unix_s, &offset) ? unix_s * 1000 : 0;
}

/* What a list is sorted by: RFC 8621 §4.4.2. */
static struct str
first_of(const struct fresh *f, const char *field)
{
	const json_t *address = json_array_get(json_object_get(f->summary, field), 0);
	struct str name = text_of(address, "name");

	return name.n ? name : text_of(address, "email");
}

/* The hash of its base name is its id, unless another mail has it: a copy in another folder under the same name. */
static void
choose_id(struct box *b, const struct folder *f, struct str base, unsigned char hash[BOX_HASH])
{
	struct str id = { (const char *)hash, BOX_HASH };
	char salt[BOX_NAME_MAX + 16];

	for (unsigned i = 0; index_number(b, "SELECT number FROM mail WHERE id = ?1", "b", id) >= 0;
		i++) {
		snprintf(salt, sizeof salt, "%u/%s", i, f->path);
		name_hash(base, str_of(salt), hash);
	}
}

static void
note_contacts(struct box *b, const struct folder *f, const json_t *summary)
{
	if (f->role == BOX_SENT) {
		contacts_note(b, json_object_get(summary, "to"), true);
		contacts_note(b, json_object_get(summary, "cc"), true);
		contacts_note(b, json_object_get(summary, "bcc"), true);
	} else if (f->role != BOX_JUNK && f->role != BOX_DRAFTS && f->role != BOX_TRASH) {
		contacts_note(b, json_object_get(summary, "from"), false);
	}
}

static bool
insert(struct box *b, struct fresh *f, const struct folder *folder, enum box_part part,
	struct str name, unsigned flags, int64_t *number)
{
	int64_t received = (int64_t)f->st.st_mtim.tv_sec * 1000 + f->st.st_mtim.tv_nsec / 1000000,
		thread, key, state;
	unsigned char hash[BOX_HASH];
	struct str id = { (const char *)hash, BOX_HASH };
	char text[BOX_ID];

	key = key_of(name_base(name), hash);
	choose_id(b, folder, name_base(name), hash);
	name_id('M', hash, text);
	thread = threads_join(b, &f->hints, str_of(text));
	state = index_change(b, BOX_MAILS);
	if (!index_do(b,
		    "INSERT INTO mail (id, key, folder, part, name, flags, thread, size, received, "
		    "sent, attachment, author, reader, subject, made, changed)"
		    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, "
		    "?15)",
		    "biiibiiiiiittti", id, key, folder->number, (int64_t)part, name, (int64_t)flags,
		    thread, (int64_t)f->st.st_size, received, sent_ms(f),
		    (int64_t)json_is_true(json_object_get(f->summary, "hasAttachment")),
		    first_of(f, "from"), first_of(f, "to"), f->hints.subject, state))
		return false;
	*number = sqlite3_last_insert_rowid(b->db);
	threads_touch(b, thread);
	note_contacts(b, folder, f->summary);
	return index_do(b, "INSERT INTO summary VALUES (?1, ?2)", "it", *number,
		       buf_str(&f->json)) &&
	       index_do(b,
		       "INSERT INTO words (rowid, author, reader, copied, hidden, subject, body) "
		       "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
		       "itttttt", *number, buf_str(&f->columns[AUTHOR]),
		       buf_str(&f->columns[READER]), buf_str(&f->columns[COPIED]),
		       buf_str(&f->columns[HIDDEN]), buf_str(&f->columns[SUBJECT]),
		       buf_str(&f->columns[BODY]));
}

bool
mail_enter(
	struct box *b, const struct folder *f, enum box_part part, struct str name, int64_t *number)
{
	struct fresh fresh = { 0 };
	char text[BOX_NAME_MAX];
	unsigned flags;
	bool good;

	snprintf(text, sizeof text, "%.*s", STR_ARG(name));
	if (!name_flags(name, &flags) || !fresh_read(b, &fresh, f, part, text))
		return false;
	fresh_look(&fresh);
	good = insert(b, &fresh, f, part, name, flags, number);
	fresh_free(&fresh);
	return good;
}

/* ── changes ── */

void
mail_place(struct box *b, const struct mail_row *was, const struct folder *f, enum box_part part,
	struct str name, unsigned flags)
{
	bool is_moved = was->folder != f->number, is_flagged = was->flags != flags;

	index_do(b,
		"UPDATE mail SET folder = ?2, part = ?3, name = ?4, flags = ?5 WHERE number = ?1",
		"iiibi", was->number, f->number, (int64_t)part, name, (int64_t)flags);
	if (!is_moved && !is_flagged)
		return;
	index_do(b, "UPDATE mail SET changed = ?2 WHERE number = ?1", "ii", was->number,
		index_change(b, BOX_MAILS));
	if (is_moved)
		folder_count_anew(b, folder_of_number(b, was->folder));
	if (is_moved || !(was->flags & UNREAD) != !(flags & UNREAD))
		threads_touch(b, was->thread);
	if (is_moved && f->role == BOX_SENT) {
		sqlite3_stmt *s =
			index_ask(b, "SELECT json FROM summary WHERE mail = ?1", "i", was->number);
		json_t *summary = index_next(b, s) ? json_loadb(index_text(s, 0).p,
							     index_text(s, 0).n, 0, NULL)
						   : NULL;

		index_done(s);
		note_contacts(b, f, summary);
		json_decref(summary);
	}
}

void
mail_leave(struct box *b, const struct mail_row *row)
{
	sqlite3_stmt *s = index_ask(b, "SELECT id FROM mail WHERE number = ?1", "i", row->number);
	char id[BOX_ID];

	if (!index_next(b, s))
		return;
	name_id('M', (const unsigned char *)index_octets(s, 0).p, id);
	index_done(s);
	index_do(b, "DELETE FROM mail WHERE number = ?1", "i", row->number);
	index_do(b, "DELETE FROM summary WHERE mail = ?1", "i", row->number);
	b->dead++;
	index_gone(b, BOX_MAILS, str_of(id), row->made);
	folder_count_anew(b, folder_of_number(b, row->folder));
	threads_touch(b, row->thread);
	threads_leave(b, row->thread);
}

bool
box_mail(struct box *b, struct str id, struct arena *arena, struct box_mail *m)
{
	unsigned char hash[BOX_HASH];
	char thread[BOX_ID];
	struct folder *f;
	sqlite3_stmt *s;
	bool good;

	if (!name_id_hash('M', id, hash))
		return false;
	s = index_ask(b,
		"SELECT m.number, t.id, m.folder, m.flags, m.size, m.received, m.attachment, "
		"s.json FROM mail m JOIN thread t ON t.number = m.thread"
		" JOIN summary s ON s.mail = m.number WHERE m.id = ?1",
		"b", (struct str){ (const char *)hash, sizeof hash });
	if (!index_next(b, s))
		return false;
	*m = (struct box_mail){ .number = sqlite3_column_int64(s, 0),
		.flags = (unsigned)sqlite3_column_int(s, 3),
		.size = (uint64_t)sqlite3_column_int64(s, 4),
		.received_ms = sqlite3_column_int64(s, 5),
		.has_attachment = sqlite3_column_int(s, 6) != 0 };
	name_id('T', (const unsigned char *)index_octets(s, 1).p, thread);
	f = folder_of_number(b, sqlite3_column_int64(s, 2));
	good = f && arena_dup(arena, id, &m->id) && arena_dup(arena, str_of(thread), &m->thread) &&
	       arena_dup(arena, str_of(f->id), &m->folder) &&
	       arena_dup(arena, index_text(s, 7), &m->summary);
	index_done(s);
	return good;
}
