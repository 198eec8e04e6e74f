/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "smtp/address.h"

/*
 * The address grammar against the test vectors of isemail (Dominic Sayers, BSD): a folder given as
 * $POSTHOUSE_TESTDATA, else ../shared/testdata beside the source; skipped where there is none.
 *
 * Their categories say more than an SMTP server asks. What may stand in a path is what they call
 * valid, valid but unknown to DNS, and valid but unusual (RFC 5321); comments, folding and obsolete
 * forms belong to messages, and are refused here.
 */
static const struct str accepted[] = { S("ISEMAIL_VALID_CATEGORY"), S("ISEMAIL_DNSWARN"),
	S("ISEMAIL_RFC5321") };

enum { SKIPPED = 77 };

/* The text of the next <tag>…</tag>; empty for <tag/>. */
static bool
scan_element(struct str *in, struct str open, struct str close, struct str *text)
{
	size_t at = str_find_str(*in, open);

	if (at == in->n)
		return false;
	*in = str_from(*in, at + open.n);
	if (scan_word_nocase(in, S("/>"))) {
		*text = S("");
		return true;
	}
	scan_char(in, '>');
	at = str_find_str(*in, close);
	*text = str_part(*in, 0, at);
	*in = str_from(*in, at + close.n);
	return true;
}

static bool
scan_reference(struct str *in, struct buf *to)
{
	static const struct {
		struct str reference, meaning;
	} rows[] = {
		{ S("&amp;"), S("&") },
		{ S("&lt;"), S("<") },
		{ S("&gt;"), S(">") },
		{ S("&quot;"), S("\"") },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (scan_word_nocase(in, rows[i].reference)) {
			buf_add(to, rows[i].meaning);
			return true;
		}
	return false;
}

/* &#x2400; and those behind it stand for control characters, the others for themselves. */
static void
add_code_point(struct buf *to, unsigned code)
{
	if (code >= 0x2400 && code < 0x2420)
		buf_add_char(to, (char)(code - 0x2400));
	else if (code < 0x80)
		buf_add_char(to, (char)code);
	else if (code < 0x800)
		buf_addf(to, "%c%c", 0xc0 | code >> 6, 0x80 | (code & 0x3f));
	else
		buf_addf(to, "%c%c%c", 0xe0 | code >> 12, 0x80 | (code >> 6 & 0x3f),
			0x80 | (code & 0x3f));
}

static void
decode(struct str xml, struct buf *to)
{
	struct str digits;

	while (xml.n) {
		if (scan_reference(&xml, to))
			continue;
		if (scan_word_nocase(&xml, S("&#x"))) {
			must(scan_until(&xml, ';', &digits));
			add_code_point(to, (unsigned)strtoul(digits.p, NULL, 16));
			continue;
		}
		buf_add_char(to, xml.p[0]);
		xml = str_from(xml, 1);
	}
}

static bool
is_accepted(struct str category)
{
	for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++)
		if (str_eq(category, accepted[i]))
			return true;
	return false;
}

static bool
check(struct str xml, struct str category)
{
	struct arena arena = { .max = 4096 };
	struct buf text = { .max = 4096 };
	struct address a;
	bool wanted = is_accepted(category), got;

	decode(xml, &text);
	got = address_parse(buf_str(&text), &arena, true, &a) == ADDRESS_OK;
	if (got != wanted)
		printf("%s: %.*s (%.*s)\n", got ? "taken" : "refused", STR_ARG(xml),
			STR_ARG(category));
	buf_free(&text);
	arena_free(&arena);
	return got == wanted;
}

int
main(int argc, char **argv)
{
	const char *folder = getenv("POSTHOUSE_TESTDATA");
	struct buf file = { .max = 1 << 20 };
	struct str rest, address, category;
	unsigned seen = 0, wrong = 0;
	char path[4096], *room;
	FILE *f;
	size_t n;

	if (!folder)
		folder = argc > 1 ? argv[1] : ".";
	snprintf(path, sizeof path, "%s/address/isemail-tests.xml", folder);
	f = fopen(path, "r");
	if (!f) {
		printf("skipped: no %s\n", path);
		return SKIPPED;
	}
	while ((room = buf_room(&file, 4096)) && (n = fread(room, 1, 4096, f)) > 0)
		buf_grew(&file, n);
	fclose(f);
	rest = buf_str(&file);
	while (scan_element(&rest, S("<address"), S("</address>"), &address) &&
		scan_element(&rest, S("<category"), S("</category>"), &category)) {
		seen++;
		wrong += !check(address, category);
	}
	printf("%u addresses, %u not as they say\n", seen, wrong);
	buf_free(&file);
	return seen < 100 || wrong;
}
