/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "role/reader/box_core.h"

/*
 * Whom this mailbox writes to and hears from, for address completion. Counted when a mail comes into the index, or into the folder of what was sent;
 * what is removed is not forgotten before the index is made anew. Whom it has written to weighs more than who has written to it.
 */

enum { WRITTEN_WEIGHT = 10, ADDRESS_MAX = 320, NAME_MAX_OCTETS = 200 };

static struct str
text_of(const json_t *j)
{
	return json_is_string(j) ? (struct str){ json_string_value(j), json_string_length(j) }
				 : (struct str){ 0 };
}

void
contacts_note(struct box *b, const json_t *addresses, bool is_written_to)
{
	size_t i;
	json_t *address;

	json_array_foreach (addresses, i, address) {
		struct str email = text_of(json_object_get(address, "email")),
			   name = text_of(json_object_get(address, "name"));

		if (email.n > ADDRESS_MAX || str_find(email, '@') == email.n)
			continue;
		if (name.n > NAME_MAX_OCTETS || str_eq_nocase(name, email))
			name = S("");
		/* A name once known stays, unless its owner writes under another. */
		index_do(b,
			"INSERT INTO contact VALUES (?1, ?2, ?3, 1 - ?3) ON CONFLICT DO UPDATE SET "
			"written = written + ?3, got = got + 1 - ?3,"
			" name = CASE WHEN ?2 <> '' AND (name = '' OR ?3 = 0) THEN ?2 ELSE name "
			"END",
			"tti", email, name, (int64_t)is_written_to);
	}
}

size_t
box_contacts(
	struct box *b, struct str text, size_t most, struct arena *arena, struct box_contact **list)
{
	size_t n = 0;
	sqlite3_stmt *s;

	*list = arena_take(arena, (most ? most : 1) * sizeof **list);
	if (!*list)
		return 0;
	/* What begins with the text comes before what has it inside. lower() folds ASCII alone, which is what addresses are in. */
	s = index_ask(b,
		"SELECT name, email FROM contact WHERE ?1 = '' OR instr(lower(email), lower(?1)) "
		"OR instr(lower(name), lower(?1))"
		" ORDER BY NOT (?1 = '' OR instr(lower(email), lower(?1)) = 1 OR instr(' ' || "
		"lower(name), ' ' || lower(?1)) > 0),"
		" written * ?2 + got DESC, email LIMIT ?3",
		"tii", text, (int64_t)WRITTEN_WEIGHT, (int64_t)most);
	while (n < most && index_next(b, s) &&
		arena_dup(arena, index_text(s, 0), &(*list)[n].name) &&
		arena_dup(arena, index_text(s, 1), &(*list)[n].email))
		n++;
	index_done(s);
	return n;
}
