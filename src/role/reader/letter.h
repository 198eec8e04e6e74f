/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_READER_LETTER_H
#define ROLE_READER_LETTER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * One message as a person sees it: the tree of its parts, their names, their text in UTF-8. What has too many parts, too deep a
 * tree, too long a header is found out while the octets are read for the first time (letter_wall.c), and such a message is one part of
 * text: its source. A message inside is a leaf; letter_open of its octets shows what is in it.
 *
 *   letter_open → letter_root, letter_text …, letter_octets … → letter_free
 */

enum {
	LETTER_DEPTH_MAX = 50,
	LETTER_PARTS_MAX = 1000,
	LETTER_FIELDS_MAX = 1000,	 /* of one header */
	LETTER_HEADER_MAX = 1024 * 1024, /* octets of all headers together */
	LETTER_FIELD_MAX = 64 * 1024,	 /* octets of one field's value that are looked at */
	LETTER_SOURCE_MAX = 1024 * 1024, /* octets of a source that is shown */
};

struct letter_field {
	struct str name; /* as written */
	struct str
		raw; /* behind the colon, with folds, without the last line end: RFC 8621 §4.1.2.1 */
};

struct letter_part {
	const struct letter_part *parent; /* NULL: the root */
	const struct letter_part **sub;	  /* of a multipart, in order */
	size_t sub_n;
	struct letter_field *fields; /* of its own header; of the root: the message's */
	size_t fields_n;
	struct str id; /* "1", "2", … in the order of the message; empty: a multipart */
	struct str
		type; /* "text/plain": lower case; a broken or missing one is text/plain (of a digest's parts message/rfc822) */
	struct str
		charset; /* of text/…: as declared, lower case; "us-ascii" if none is (RFC 8621 §4.1.4) */
	struct str name;	/* decoded file name, no path, no control characters; empty: none */
	struct str disposition; /* lower case; empty: none */
	struct str cid;		/* without <>; empty: none */
	struct str location;
	struct str *languages;
	size_t languages_n;
	uint64_t size;	  /* octets after the transfer encoding is undone */
	const void *mime; /* letter.c's own */
};

struct letter;

/* Once in a process, before its sandbox closes: what later needs files or new code is opened here (the tables of charsets). */
void letter_prepare(void);

/* The octets must outlive it. Never fails: at worst it is its source. */
struct letter *letter_open(struct str octets);
void letter_free(struct letter **l);

const struct letter_part *letter_root(const struct letter *l);
bool letter_is_source(const struct letter
		*l); /* too much of something: text_body is the source, cut at LETTER_SOURCE_MAX */
const struct letter_part *letter_part(
	const struct letter *l, struct str id); /* NULL: none of this id */

/* What is read, what hangs on: the algorithm of RFC 8621 §4.1.4. Each part is in them at most once. */
struct letter_view {
	const struct letter_part **text, **html, **attachments;
	size_t text_n, html_n, attachments_n;
	bool has_attachment;
};
const struct letter_view *letter_view(struct letter *l);

/* The text of a text/… part in UTF-8, line ends as LF, cut at a character before `max` octets. Undeclared or wrong charsets are guessed
 * (GB18030, Big5, …, windows-1252). */
struct letter_text_facts {
	bool has_encoding_problem, is_truncated;
};
void letter_text(struct letter *l, const struct letter_part *p, size_t max, struct buf *to,
	struct letter_text_facts *facts);

/* Its octets, the transfer encoding undone. */
bool letter_octets(struct letter *l, const struct letter_part *p, struct buf *to);

/* The whole text of the message for search, and its first words for a list: what is to be read, tags of HTML taken off. */
void letter_words(struct letter *l, size_t max, struct buf *to);
enum { LETTER_PREVIEW_MAX = 256 };
void letter_preview(struct letter *l, struct buf *to);

/* {"messageId", "inReplyTo", "references", "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt", "preview", "hasAttachment"} as RFC 8621 §4.1.3
 * and §4.1.4 have them, in one line: what a list of mails shows. */
void letter_summary(struct letter *l, struct buf *json);

/* ── header fields in the forms of RFC 8621 §4.1.2; texts lie in the arena or in `raw` ── */

void letter_field_text(struct str raw,
	struct buf *to); /* unfolded, encoded words decoded, NFC where it was not is left so */

struct letter_address {
	struct str name;  /* decoded display name; empty: none */
	struct str email; /* addr-spec in UTF-8, as written */
	struct str group; /* of the group it stands in */
	bool is_in_group;
	bool begins_group; /* first of its group, or alone the sign of an empty one (email empty) */
};
size_t letter_field_addresses(struct str raw, struct arena *arena, struct letter_address **list);
size_t letter_field_ids(struct str raw, struct arena *arena, struct str **list); /* without <> */
size_t letter_field_urls(struct str raw, struct arena *arena,
	struct str **list); /* of List-Unsubscribe and the like */
bool letter_field_date(struct str raw, int64_t *unix_s, int *offset_minutes);

/* The last field of that name in a header (RFC 8621 §4.1.3); NULL: none. Names ignore case. */
const struct letter_field *letter_field(const struct letter_part *p, struct str name);

#endif
