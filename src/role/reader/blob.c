/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/must.h"
#include "io/file.h"
#include "message/message.h"
#include "role/reader/jmap.h"
#include "role/reader/letter.h"

/*
 * Blobs (RFC 8620 §6), named so that their id says where they are:
 *
 *   U and 32 hexadecimal digits   an upload: DIRECTORY/posthouse/uploads/ID, until a day has passed
 *   an Email's id                 its message
 *   an Email's id, "-", a part's  that part, its transfer encoding undone
 *
 * What a blob is served as is asked for in the URL, by whoever made the link, so the answer may never be more to a browser than a file: only
 * pictures and plain text are shown in its window, and web forbids scripts for all of them.
 */

enum {
	UPLOADS_MAX = 1000,
	UPLOAD_DAY_S = 24 * 3600,
	PATH_ROOM = 4096,
	NAME_MAX_OCTETS = 255,
	TYPE_MAX = 127, /* RFC 6838 §4.2, both names together */
	NESTED_MAX = 4, /* messages within messages */
	UPLOAD_DIGITS = 32,
};

static const uint64_t uploads_octets_max = 500 * 1024 * 1024;

/* ── where uploads are ── */

bool
blob_is_upload(struct str id)
{
	unsigned char octets[UPLOAD_DIGITS / 2];

	return id.n == 1 + UPLOAD_DIGITS && id.p[0] == 'U' &&
	       codec_from_hex(str_from(id, 1), octets, sizeof octets);
}

static bool
uploads_path(const struct reader *r, struct str name, char path[PATH_ROOM])
{
	int n = snprintf(path, PATH_ROOM, "%.*s/posthouse/uploads%s%.*s",
		STR_ARG(buf_str(&r->directory)), name.n ? "/" : "", STR_ARG(name));

	return n > 0 && n < PATH_ROOM;
}

struct uploads {
	uint64_t octets;
	unsigned n;
};

/* Counts what is there; those of yesterday, and what is none of ours, go. */
static bool
uploads_look(const struct reader *r, struct uploads *u, struct err *e)
{
	char path[PATH_ROOM];
	int64_t now_s = loop_wall_ms() / 1000;
	struct dirent *entry;
	struct stat st;
	DIR *d;

	*u = (struct uploads){ 0 };
	if (!uploads_path(r, (struct str){ 0 }, path))
		return err_set(e, ERR_PERMANENT, ERR_LOCAL, "the path of the mailbox is too long");
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return err_set_errno(e, "%s: cannot be made", path);
	d = opendir(path);
	if (!d)
		return err_set_errno(e, "%s: cannot be read", path);
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.' ||
			fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (!blob_is_upload(str_of(entry->d_name)) || st.st_mtime < now_s - UPLOAD_DAY_S) {
			unlinkat(dirfd(d), entry->d_name, 0);
			continue;
		}
		u->octets += (uint64_t)st.st_size;
		u->n++;
	}
	closedir(d);
	return true;
}

static bool
upload_write(const struct reader *r, struct str id, struct str octets, struct err *e)
{
	char path[PATH_ROOM];
	int fd;
	bool good;

	if (!uploads_path(r, id, path))
		return err_set(e, ERR_PERMANENT, ERR_LOCAL, "the path of the mailbox is too long");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set_errno(e, "%s: cannot be made", path);
	good = file_write_all(fd, octets) || err_set_errno(e, "%s", path);
	close(fd);
	if (!good)
		unlink(path);
	return good;
}

/* ── upload ── */

uint64_t
blob_size_max(const struct reader *r)
{
	uint64_t message = r->role.config.limits.message;

	return message && message < JMAP_UPLOAD_MAX ? message : JMAP_UPLOAD_MAX;
}

static void
upload_answer(struct reader *r, const struct ipc_call *call, struct str id, size_t size)
{
	struct buf type = { .max = TYPE_MAX + 1 }, json = { .max = 4096 };

	blob_add_type(&type, call->type);
	buf_add(&json, S("{\"accountId\":\"" JMAP_ACCOUNT "\",\"blobId\":"));
	codec_add_json(&json, id);
	buf_add(&json, S(",\"type\":"));
	codec_add_json(&json, buf_str(&type));
	buf_add(&json, S(",\"size\":"));
	buf_add_u64(&json, size);
	buf_add_char(&json, '}');
	reader_reply(r, call->ask, 201, "application/json", (struct str){ 0 }, buf_str(&json));
	buf_free(&json);
	buf_free(&type);
}

void
blob_upload(struct reader *r, const struct ipc_call *call, struct str octets)
{
	char hex[MAIL_ID_TEXT], id[MAIL_ID_TEXT + 1];
	struct uploads there;
	struct err e = { 0 };

	snprintf(id, sizeof id, "U%s", mail_id_text(mail_id_random(), hex));
	if (octets.n > blob_size_max(r))
		reader_problem(r, call->ask, 413, "urn:ietf:params:jmap:error:limit",
			"maxSizeUpload", "the file is too large");
	else if (!uploads_look(r, &there, &e))
		reader_problem(r, call->ask, 500, "about:blank", NULL, e.text);
	else if (there.n >= UPLOADS_MAX || there.octets + octets.n > uploads_octets_max)
		reader_problem(r, call->ask, 429, "urn:ietf:params:jmap:error:limit",
			"maxUploadsOfADay", "too much was uploaded today: it goes after a day");
	else if (!upload_write(r, str_of(id), octets, &e))
		reader_problem(r, call->ask, e.cause == ENOSPC || e.cause == EDQUOT ? 507 : 500,
			"about:blank", NULL, e.text);
	else
		upload_answer(r, call, str_of(id), octets.n);
}

/* ── reading ── */

static bool
open_upload(struct reader *r, struct str id, struct blob *b)
{
	char path[PATH_ROOM];
	struct stat st;
	bool good;
	int fd;

	if (!blob_is_upload(id) || !uploads_path(r, id, path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= JMAP_UPLOAD_MAX;
	b->own.max = good ? (size_t)st.st_size + 1 : 1; /* an upload may be empty */
	good = good && file_read_whole(fd, &b->own);
	close(fd);
	b->octets = buf_str(&b->own);
	return good;
}

/* The part's octets, and behind them its type, in b->own. */
static bool
open_part(struct str message, struct str part, struct blob *b)
{
	struct letter *l = letter_open(message);
	const struct letter_part *p = part.n ? letter_part(l, part) : NULL;
	bool found = false;
	size_t n;

	if (p) {
		b->own.max = message.n + TYPE_MAX + 1; /* no transfer encoding makes more of it */
		found = letter_octets(l, p, &b->own) && !b->own.overflow;
		n = b->own.n;
		if (found)
			buf_add(&b->own, str_part(p->type, 0, TYPE_MAX));
		b->octets = (struct str){ b->own.p, n };
		b->type = str_from(buf_str(&b->own), n);
	}
	letter_free(&l);
	return found;
}

static bool
open_email(struct reader *r, struct str id, struct blob *b)
{
	struct arena arena = { .max = 1024 * 1024 };
	struct box_mail mail;
	bool found = id.n < BOX_ID && box_mail(r->box, id, &arena, &mail) &&
		     box_read(r->box, &mail, &b->mail) &&
		     b->mail.n < BOX_OCTETS_MAX; /* no half of a mail */

	b->octets = b->mail;
	b->type = S("message/rfc822");
	arena_free(&arena);
	return found;
}

/* "ID-3-2": part 2 of the message that is part 3 of the mail. */
static bool
open_nested(struct reader *r, struct str id, unsigned depth, struct blob *b)
{
	struct blob whole;
	size_t dash = id.n;
	bool found;

	*b = (struct blob){ 0 };
	while (dash > 0 && id.p[dash - 1] != '-')
		dash--;
	if (dash == 0)
		return blob_is_upload(id) ? open_upload(r, id, b) : open_email(r, id, b);
	if (depth == NESTED_MAX)
		return false;
	found = open_nested(r, str_part(id, 0, dash - 1), depth + 1, &whole) &&
		open_part(whole.octets, str_from(id, dash), b);
	blob_close(&whole);
	return found;
}

bool
blob_open(struct reader *r, struct str id, struct blob *b)
{
	bool found = open_nested(r, id, 0, b);

	if (!found)
		blob_close(b);
	return found;
}

void
blob_close(struct blob *b)
{
	box_read_free(&b->mail);
	buf_free(&b->own);
	*b = (struct blob){ 0 };
}

/* ── what the URL asks for ── */

static bool
scan_hex(struct str *in, char *octet)
{
	if (in->n < 3 || in->p[0] != '%' || !codec_from_hex(str_part(*in, 1, 2), octet, 1))
		return false;
	*in = str_from(*in, 3);
	return true;
}

/* RFC 3986 §2.1. A percent sign that begins nothing is one. */
static void
add_decoded(struct buf *to, struct str text)
{
	char octet;

	while (text.n) {
		if (!scan_hex(&text, &octet)) {
			octet = text.p[0];
			text = str_from(text, 1);
		}
		buf_add_char(to, octet);
	}
}

static bool
is_token_char(char c)
{
	return char_is_alpha(c) || char_is_digit(c) ||
	       (c && strchr("!#$%&'*+-.^_`|~", c)); /* RFC 9110 §5.6.2 */
}

static bool
scan_token(struct str *in)
{
	size_t n = 0;

	while (n < in->n && is_token_char(in->p[n]))
		n++;
	*in = str_from(*in, n);
	return n > 0;
}

void
blob_add_type(struct buf *to, struct str type)
{
	struct str bare, parameters, rest;
	bool has_charset = false;

	str_cut(type, ';', &bare, &parameters);
	rest = bare = str_trim(bare);
	if (bare.n > TYPE_MAX || !scan_token(&rest) || !scan_char(&rest, '/') ||
		!scan_token(&rest) || rest.n) {
		buf_add(to, S("application/octet-stream"));
		return;
	}
	for (size_t i = 0; i < bare.n; i++)
		buf_add_char(to, char_lower(bare.p[i]));
	rest = parameters = str_trim(parameters);
	has_charset = scan_word_nocase(&rest, S("charset=")) && scan_token(&rest) && !rest.n;
	if (has_charset && to->n + parameters.n + 2 < to->max) {
		buf_add(to, S("; "));
		buf_add(to, parameters);
	}
}

/* What a browser may show in its own window. */
static bool
is_shown(struct str type)
{
	static const char *const shown[] = { "image/png", "image/jpeg", "image/gif", "image/webp",
		"image/avif", "text/plain" };
	struct str bare, parameters;

	str_cut(type, ';', &bare, &parameters);
	for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
		if (str_eq(bare, str_of(shown[i])))
			return true;
	return false;
}

static bool
is_name_char(char c)
{
	return (unsigned char)c >= ' ' && c != 0x7f && c != '/' && c != '\\';
}

/* For those who do not know the other form: ASCII in quotes. '%' too, since some decode it there. */
static void
add_quoted_name(struct buf *to, struct str name)
{
	buf_add(to, S("filename=\""));
	for (size_t i = 0; i < name.n; i++)
		if (((unsigned char)name.p[i] & 0xC0) != 0x80) /* one for each character */
			buf_add_char(to, (unsigned char)name.p[i] > 0x7e || strchr("\"%", name.p[i])
						 ? '_'
						 : name.p[i]);
	buf_add_char(to, '"');
}

void
blob_add_disposition(struct buf *to, struct str type, struct str name)
{
	char clean[NAME_MAX_OCTETS];
	size_t n = 0;

	buf_add(to, is_shown(type) ? S("inline") : S("attachment"));
	if (!str_is_utf8(name))
		return;
	for (struct str c; (c = encode_character(name)).n && n + c.n <= sizeof clean;
		name = str_from(name, c.n)) {
		memcpy(clean + n, c.p, c.n);
		if (!is_name_char(c.p[0]))
			clean[n] = '_';
		n += c.n;
	}
	if (!n)
		return;
	buf_add(to, S("; "));
	add_quoted_name(to, (struct str){ clean, n });
	buf_add(to, S("; filename*=UTF-8''")); /* RFC 6266 §4.3, RFC 8187 §3.2.1 */
	for (size_t i = 0; i < n; i++)
		if (param_is_attribute_char(clean[i]) && strchr("{}", clean[i]) == NULL)
			buf_add_char(to, clean[i]);
		else
			buf_addf(to, "%%%02X", (unsigned char)clean[i]);
}

void
blob_scan_path(struct str path, struct blob_wish *w)
{
	struct str place, query, id, name, pair, key, value, rest;

	str_cut(path, '?', &place, &query);
	str_cut(place, '/', &id, &name);
	w->id = (struct buf){ .max = NAME_MAX_OCTETS };
	w->name = (struct buf){ .max = path.n + 1 };
	w->type = (struct buf){ .max = path.n + 1 };
	add_decoded(&w->id, id);
	add_decoded(&w->name, name);
	for (; query.n; query = rest) {
		str_cut(query, '&', &pair, &rest);
		if (str_cut(pair, '=', &key, &value) && str_eq(key, S("type")) && !w->type.n)
			add_decoded(&w->type, value);
	}
}

void
blob_wish_free(struct blob_wish *w)
{
	buf_free(&w->id);
	buf_free(&w->name);
	buf_free(&w->type);
}

void
blob_download(struct reader *r, const struct ipc_call *call)
{
	struct buf type = { .max = 2 * TYPE_MAX }, disposition = { .max = 2048 };
	struct blob_wish wish;
	struct blob b;

	blob_scan_path(call->path, &wish);
	if (wish.id.overflow || !blob_open(r, buf_str(&wish.id), &b)) {
		reader_problem(r, call->ask, 404, "about:blank", NULL, "there is no such blob");
	} else {
		blob_add_type(&type, wish.type.n ? buf_str(&wish.type) : b.type);
		buf_add_char(&type, '\0');
		blob_add_disposition(
			&disposition, str_part(buf_str(&type), 0, type.n - 1), buf_str(&wish.name));
		reader_reply(r, call->ask, 200, type.p, buf_str(&disposition), b.octets);
		blob_close(&b);
	}
	blob_wish_free(&wish);
	buf_free(&type);
	buf_free(&disposition);
}
