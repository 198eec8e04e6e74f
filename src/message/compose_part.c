/* SPDX-License-Identifier: Apache-2.0 */
#include "message/compose.h"

#include "message/message.h"

/*
 * The header of an attachment or picture: what it is, how it is encoded, how the HTML calls it, what to call its file.
 */

enum {
	TYPE_MAX = 500,	 /* octets of a Content-Type */
	NAME_MAX = 1000, /* octets of a file's name */
};

/* ── What a file is, by its ending ───────────────────────────────────────────────────────────── */

static const struct {
	struct str ending, type;
} types[] = {
	{ S(".7z"), S("application/x-7z-compressed") },
	{ S(".avif"), S("image/avif") },
	{ S(".bmp"), S("image/bmp") },
	{ S(".bz2"), S("application/x-bzip2") },
	{ S(".c"), S("text/x-c") },
	{ S(".css"), S("text/css") },
	{ S(".csv"), S("text/csv") },
	{ S(".diff"), S("text/x-diff") },
	{ S(".doc"), S("application/msword") },
	{ S(".docx"),
		S("application/vnd.openxmlformats-officedocument.wordprocessingml.document") },
	{ S(".eml"), S("message/rfc822") },
	{ S(".epub"), S("application/epub+zip") },
	{ S(".flac"), S("audio/flac") },
	{ S(".gif"), S("image/gif") },
	{ S(".gz"), S("application/gzip") },
	{ S(".heic"), S("image/heic") },
	{ S(".htm"), S("text/html") },
	{ S(".html"), S("text/html") },
	{ S(".ics"), S("text/calendar") },
	{ S(".ico"), S("image/vnd.microsoft.icon") },
	{ S(".jpeg"), S("image/jpeg") },
	{ S(".jpg"), S("image/jpeg") },
	{ S(".js"), S("text/javascript") },
	{ S(".json"), S("application/json") },
	{ S(".log"), S("text/plain") },
	{ S(".md"), S("text/markdown") },
	{ S(".mkv"), S("video/x-matroska") },
	{ S(".mov"), S("video/quicktime") },
	{ S(".mp3"), S("audio/mpeg") },
	{ S(".mp4"), S("video/mp4") },
	{ S(".odp"), S("application/vnd.oasis.opendocument.presentation") },
	{ S(".ods"), S("application/vnd.oasis.opendocument.spreadsheet") },
	{ S(".odt"), S("application/vnd.oasis.opendocument.text") },
	{ S(".ogg"), S("audio/ogg") },
	{ S(".patch"), S("text/x-diff") },
	{ S(".pdf"), S("application/pdf") },
	{ S(".png"), S("image/png") },
	{ S(".ppt"), S("application/vnd.ms-powerpoint") },
	{ S(".pptx"),
		S("application/vnd.openxmlformats-officedocument.presentationml.presentation") },
	{ S(".rtf"), S("application/rtf") },
	{ S(".svg"), S("image/svg+xml") },
	{ S(".tar"), S("application/x-tar") },
	{ S(".tif"), S("image/tiff") },
	{ S(".tiff"), S("image/tiff") },
	{ S(".txt"), S("text/plain") },
	{ S(".vcf"), S("text/vcard") },
	{ S(".wav"), S("audio/wav") },
	{ S(".webm"), S("video/webm") },
	{ S(".webp"), S("image/webp") },
	{ S(".xls"), S("application/vnd.ms-excel") },
	{ S(".xlsx"), S("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet") },
	{ S(".xml"), S("application/xml") },
	{ S(".xz"), S("application/x-xz") },
	{ S(".zip"), S("application/zip") },
	{ S(".zst"), S("application/zstd") },
};

static const struct str unknown_type = S("application/octet-stream");

struct str
compose_guess_type(struct str name)
{
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (str_ends_nocase(name, types[i].ending))
			return types[i].type;
	return unknown_type;
}

/* ── Content-Type: RFC 2045 §5.1 ─────────────────────────────────────────────────────────────── */

static bool
scan_token(struct str *in, struct str *token)
{
	size_t n = 0;

	while (n < in->n && in->p[n] > ' ' && in->p[n] < 0x7f &&
		!strchr("()<>@,;:\\\"/[]?=", in->p[n]))
		n++;
	*token = str_part(*in, 0, n);
	*in = str_from(*in, n);
	return n > 0;
}

/* A token, or a quoted string with its quotes. */
static bool
scan_value(struct str *in, struct str *value)
{
	struct str rest = *in;

	if (!scan_char(&rest, '"'))
		return scan_token(in, value);
	for (char c; rest.n; rest = str_from(rest, 1)) {
		if (scan_char(&rest, '"')) {
			*value = str_part(*in, 0, in->n - rest.n);
			*in = rest;
			return true;
		}
		if (rest.p[0] == '\\')
			rest = str_from(rest, 1);
		c = rest.n ? rest.p[0] : '\0';
		if (c < ' ' || c >= 0x7f)
			break;
	}
	return false;
}

/* The file's name is ours to say. */
static bool
is_name(struct str attribute)
{
	return str_eq_nocase(attribute, S("name")) || str_starts_nocase(attribute, S("name*"));
}

static bool
add_type(struct buf *to, struct str type, bool has_name)
{
	struct str rest = str_trim(type), major, minor, attribute, value;

	if (type.n > TYPE_MAX || !scan_token(&rest, &major) || !scan_char(&rest, '/') ||
		!scan_token(&rest, &minor))
		return false;
	buf_add(to, major);
	buf_add_char(to, '/');
	buf_add(to, minor);
	while (rest.n) {
		scan_blanks(&rest);
		if (!scan_char(&rest, ';'))
			return false;
		scan_blanks(&rest);
		if (!scan_token(&rest, &attribute) || !scan_char(&rest, '=') ||
			!scan_value(&rest, &value))
			return false;
		if (has_name && is_name(attribute))
			continue;
		buf_add(to, S(";\r\n "));
		buf_add(to, attribute);
		buf_add_char(to, '=');
		buf_add(to, value);
	}
	return true;
}

/* Nothing may encode these (RFC 2045 §6.4), and their octets are not for a 7-bit way. */
static bool
is_composite(struct str type)
{
	return str_starts_nocase(type, S("message/")) || str_starts_nocase(type, S("multipart/"));
}

/* ── The name of a file ──────────────────────────────────────────────────────────────────────── */

static bool
is_separator(char c)
{
	return c == '/' || c == '\\';
}

/* Without directories, of any system, and blanks at its ends, which readers lose; control characters become '_'. What nothing is left of has
 * a name all the same: without one readers do not show a file. */
static struct str
clean_name(struct str name, char clean[NAME_MAX])
{
	bool has_name = name.n > 0;
	struct str last;
	size_t n = 0;

	while (name.n && is_separator(name.p[name.n - 1]))
		name.n--;
	for (size_t i = 0; i < name.n; i++) {
		bool is_control = (unsigned char)name.p[i] < ' ' || name.p[i] == 0x7f;

		clean[n++] = is_control ? '_' : name.p[i];
		if (is_separator(name.p[i]))
			n = 0;
	}
	last = str_trim((struct str){ clean, n });
	return has_name && last.n == 0 ? S("attachment") : last;
}

static bool
part_is_good(const struct compose_part *part, struct err *e)
{
	struct str shown = str_part(part->name, 0, 60);

	if (part->name.n > NAME_MAX)
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"an attachment's name is longer than %d octets", NAME_MAX);
	if (!encode_is_clean(part->name))
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"an attachment's name holds a line end or NUL, or is not UTF-8: \"%.*s\"",
			STR_ARG(shown));
	if ((part->id.n || part->is_inline) && !compose_is_id(part->id))
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "\"%.*s\" is no Content-ID",
			STR_ARG(str_part(part->id, 0, 60)));
	if (part->size > COMPOSE_PART_MAX)
		return err_set(e, ERR_PERMANENT, ERR_TOO_BIG,
			"an attachment is larger than a message can be: \"%.*s\"", STR_ARG(shown));
	return true;
}

bool
compose_add_part_header(struct buf *to, const struct compose_part *part, struct err *e)
{
	char clean[NAME_MAX];
	struct str type = part->type.n ? part->type : compose_guess_type(part->name), name;
	size_t begin;

	if (!part_is_good(part, e))
		return false;
	name = clean_name(part->name, clean);
	buf_add(to, S("Content-Type: "));
	begin = to->n;
	if (!add_type(to, type, name.n > 0))
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "\"%.*s\" is no Content-Type",
			STR_ARG(str_part(type, 0, 60)));
	if (!part->is_plain && is_composite(str_trim(type))) {
		to->n = begin;
		buf_add(to, unknown_type);
	}
	if (name.n) {
		buf_add_char(to, ';');
		param_add_quoted(to, S("name"), name);
	}
	buf_add(to, S("\r\nContent-Transfer-Encoding: "));
	buf_add(to, part->is_plain ? S("7bit") : S("base64"));
	if (part->id.n) {
		buf_add(to, S("\r\nContent-ID: <"));
		buf_add(to, part->id);
		buf_add_char(to, '>');
	}
	buf_add(to, S("\r\nContent-Disposition: "));
	buf_add(to, part->is_inline ? S("inline") : S("attachment"));
	if (name.n) {
		buf_add_char(to, ';');
		if (param_is_plain(name))
			param_add_quoted(to, S("filename"), name);
		else
			param_add_extended(to, S("filename"), name);
	}
	buf_add(to, S("\r\n\r\n"));
	return true;
}
