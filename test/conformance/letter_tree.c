/* SPDX-License-Identifier: Apache-2.0 */
#include "base/codec.h"
#include "base/must.h"
#include "role/reader/letter_core.h"

/*
 * What a letter is, as JSON. Without an argument for the message on stdin:
 *
 *   {"is_source", "summary", "text": [id …], "html", "attachments", "preview", "words",
 *    "parts": [{"id", "parent", "type", "charset", "name", "disposition", "cid", "size", "problem", "text" or "octets" in base64} …]}
 *
 * With address, date, id, text or type: for each value on stdin, which ends in a NUL, a line of what its form is.
 */

static void
put_member(struct buf *to, const char *name, struct str text)
{
	buf_addf(to, "\"%s\":", name);
	codec_add_json(to, text);
	buf_add_char(to, ',');
}

static void
put_list(struct buf *to, const char *name, const struct letter_part **list, size_t n)
{
	buf_addf(to, "\"%s\":[", name);
	for (size_t i = 0; i < n; i++) {
		buf_add(to, i ? S(",") : S(""));
		codec_add_json(to, list[i]->id);
	}
	buf_add(to, S("],"));
}

static void
put_content(struct buf *to, struct letter *l, const struct letter_part *p)
{
	struct buf octets = { .max = 64 << 20 };
	struct letter_text_facts facts = { 0 };

	if (str_starts(p->type, S("text/"))) {
		letter_text(l, p, 8 << 20, &octets, &facts);
		put_member(to, "text", buf_str(&octets));
	} else {
		must(letter_octets(l, p, &octets));
		must(octets.n == p->size);
		buf_add(to, S("\"octets\":\""));
		codec_add_base64(to, buf_str(&octets));
		buf_add(to, S("\","));
	}
	buf_addf(to, "\"problem\":%s", facts.has_encoding_problem ? "true" : "false");
	buf_free(&octets);
}

static void
put_part(struct buf *to, struct letter *l, size_t at)
{
	const struct letter_part *p = l->parts[at];
	long parent = -1;

	for (size_t i = 0; i < at; i++)
		if (l->parts[i] == p->parent)
			parent = (long)i;
	buf_addf(to, "%s{\"parent\":%ld,\"size\":%llu,", at ? "," : "", parent,
		(unsigned long long)p->size);
	put_member(to, "id", p->id);
	put_member(to, "type", p->type);
	put_member(to, "charset", p->charset);
	put_member(to, "name", p->name);
	put_member(to, "disposition", p->disposition);
	put_member(to, "cid", p->cid);
	put_content(to, l, p);
	buf_add_char(to, '}');
}

static void
put_letter(struct buf *to, struct str octets)
{
	struct letter *l = letter_open(octets);
	const struct letter_view *view = letter_view(l);
	struct buf text = { .max = 8 << 20 };

	buf_addf(to, "{\"is_source\":%s,\"summary\":", letter_is_source(l) ? "true" : "false");
	letter_summary(l, to);
	buf_add_char(to, ',');
	put_list(to, "text", view->text, view->text_n);
	put_list(to, "html", view->html, view->html_n);
	put_list(to, "attachments", view->attachments, view->attachments_n);
	letter_preview(l, &text);
	put_member(to, "preview", buf_str(&text));
	buf_reset(&text);
	letter_words(l, 1 << 20, &text);
	put_member(to, "words", buf_str(&text));
	buf_add(to, S("\"parts\":["));
	for (size_t i = 0; i < l->parts_n; i++)
		put_part(to, l, i);
	buf_add(to, S("]}\n"));
	buf_free(&text);
	letter_free(&l);
}

static void
put_addresses(struct buf *to, struct str raw, struct arena *arena)
{
	struct letter_address *list;
	size_t n = letter_field_addresses(raw, arena, &list);

	buf_add_char(to, '[');
	for (size_t i = 0; i < n; i++) {
		buf_add(to, i ? S(",{") : S("{"));
		put_member(to, "name", list[i].name);
		put_member(to, "email", list[i].email);
		put_member(to, "group", list[i].group);
		buf_addf(to, "\"begins_group\":%s,\"is_in_group\":%s}",
			list[i].begins_group ? "true" : "false",
			list[i].is_in_group ? "true" : "false");
	}
	buf_add_char(to, ']');
}

static void
put_ids(struct buf *to, struct str raw, struct arena *arena)
{
	struct str *list;
	size_t n = letter_field_ids(raw, arena, &list);

	buf_add_char(to, '[');
	for (size_t i = 0; i < n; i++) {
		buf_add(to, i ? S(",") : S(""));
		codec_add_json(to, list[i]);
	}
	buf_add_char(to, ']');
}

static void
put_date(struct buf *to, struct str raw, struct arena *arena)
{
	int64_t unix_s;
	int offset;

	(void)arena;
	if (letter_field_date(raw, &unix_s, &offset))
		buf_addf(to, "[%lld,%d]", (long long)unix_s, offset);
	else
		buf_add(to, S("null"));
}

static void
put_text(struct buf *to, struct str raw, struct arena *arena)
{
	struct buf text = { .max = 1 << 20 };

	(void)arena;
	letter_field_text(raw, &text);
	codec_add_json(to, buf_str(&text));
	buf_free(&text);
}

/* The type, and the parameters that matter to a letter. */
static void
put_type(struct buf *to, struct str raw, struct arena *arena)
{
	static const char *const names[] = { "boundary", "charset", "name", "filename", "url" };
	struct buf text = { .max = 1 << 20 };

	(void)arena;
	letter_value(raw, true, &text);
	buf_add_char(to, '{');
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct buf value = { .max = 1 << 20 };

		if (letter_param(raw, str_of(names[i]), &value))
			put_member(to, names[i], buf_str(&value));
		buf_free(&value);
	}
	buf_add(to, S("\"type\":"));
	codec_add_json(to, buf_str(&text));
	buf_add_char(to, '}');
	buf_free(&text);
}

static const struct {
	const char *name;
	void (*put)(struct buf *to, struct str raw, struct arena *arena);
} forms[] = { { "address", put_addresses }, { "date", put_date }, { "id", put_ids },
	{ "text", put_text }, { "type", put_type } };

static void
put_forms(struct buf *to, struct str in, const char *form)
{
	struct str raw;

	while (scan_until(&in, '\0', &raw)) {
		struct arena arena = { .max = 8 << 20 };

		for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
			if (strcmp(form, forms[i].name) == 0)
				forms[i].put(to, raw, &arena);
		buf_add_char(to, '\n');
		arena_free(&arena);
	}
}

int
main(int argc, char **argv)
{
	struct buf in = { .max = 256 << 20 }, out = { .max = 512 << 20 };
	char *room;
	size_t n;

	letter_prepare();
	while ((room = buf_room(&in, 65536)) && (n = fread(room, 1, 65536, stdin)) > 0)
		buf_grew(&in, n);
	if (argc > 1)
		put_forms(&out, buf_str(&in), argv[1]);
	else
		put_letter(&out, buf_str(&in));
	must(!out.overflow);
	fwrite(out.p, 1, out.n, stdout);
	buf_free(&in);
	buf_free(&out);
	return 0;
}
