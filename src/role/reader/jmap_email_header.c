/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_email.h"

/*
 * Header fields in the forms of RFC 8621 §4.1.2. A field that RFC 5322 or RFC 2369 defines has the forms that the table gives it; any other
 * has all of them.
 */

enum {
	RAW_ONLY = 0,
	TEXT = 1 << FORM_TEXT,
	ADDRESSES = 1 << FORM_ADDRESSES | 1 << FORM_GROUPED,
	IDS = 1 << FORM_IDS,
	DATE = 1 << FORM_DATE,
	URLS = 1 << FORM_URLS
};

static const struct {
	const char *name;
	unsigned forms; /* besides asRaw */
} fields[] = {
	{ "Subject", TEXT },
	{ "Comments", TEXT },
	{ "Keywords", TEXT },
	{ "List-Id", TEXT },
	{ "From", ADDRESSES },
	{ "Sender", ADDRESSES },
	{ "Reply-To", ADDRESSES },
	{ "To", ADDRESSES },
	{ "Cc", ADDRESSES },
	{ "Bcc", ADDRESSES },
	{ "Resent-From", ADDRESSES },
	{ "Resent-Sender", ADDRESSES },
	{ "Resent-Reply-To", ADDRESSES },
	{ "Resent-To", ADDRESSES },
	{ "Resent-Cc", ADDRESSES },
	{ "Resent-Bcc", ADDRESSES },
	{ "Message-ID", IDS },
	{ "In-Reply-To", IDS },
	{ "References", IDS },
	{ "Resent-Message-ID", IDS },
	{ "Date", DATE },
	{ "Resent-Date", DATE },
	{ "List-Help", URLS },
	{ "List-Unsubscribe", URLS },
	{ "List-Subscribe", URLS },
	{ "List-Post", URLS },
	{ "List-Owner", URLS },
	{ "List-Archive", URLS },
	{ "Return-Path", RAW_ONLY },
	{ "Received", RAW_ONLY },
};

static const char *const form_names[FORMS] = { "asRaw", "asText", "asAddresses",
	"asGroupedAddresses", "asMessageIds", "asDate", "asURLs" };

static const struct {
	const char *property, *field;
	enum header_form form;
} named[] = {
	{ "messageId", "Message-ID", FORM_IDS },
	{ "inReplyTo", "In-Reply-To", FORM_IDS },
	{ "references", "References", FORM_IDS },
	{ "sender", "Sender", FORM_ADDRESSES },
	{ "from", "From", FORM_ADDRESSES },
	{ "to", "To", FORM_ADDRESSES },
	{ "cc", "Cc", FORM_ADDRESSES },
	{ "bcc", "Bcc", FORM_ADDRESSES },
	{ "replyTo", "Reply-To", FORM_ADDRESSES },
	{ "subject", "Subject", FORM_TEXT },
	{ "sentAt", "Date", FORM_DATE },
};

/* ── wishes ── */

static bool
has_form(struct str field, enum header_form form)
{
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (str_eq_nocase(field, str_of(fields[i].name)))
			return form == FORM_RAW || fields[i].forms & 1U << form;
	return true;
}

/* RFC 5322 §3.6.8 */
static bool
is_field_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == ':')
			return false;
	return name.n > 0;
}

bool
header_scan_wish(struct str property, struct header_wish *wish)
{
	struct str rest = property, word;

	*wish = (struct header_wish){ 0 };
	if (!str_starts(rest, S("header:")))
		return false;
	rest = str_from(rest, 7);
	str_cut(rest, ':', &wish->name, &rest);
	if (str_starts(rest, S("as"))) {
		str_cut(rest, ':', &word, &rest);
		while (wish->form < FORMS && !str_eq(word, str_of(form_names[wish->form])))
			wish->form++;
		if (wish->form == FORMS)
			return false;
	}
	wish->all = str_eq(rest, S("all"));
	return (wish->all || !rest.n) && !str_ends_nocase(property, S(":")) &&
	       is_field_name(wish->name) && has_form(wish->name, wish->form);
}

bool
header_named_wish(struct str property, struct header_wish *wish)
{
	for (size_t i = 0; i < sizeof named / sizeof *named; i++)
		if (str_eq(property, str_of(named[i].property))) {
			*wish = (struct header_wish){ .name = str_of(named[i].field),
				.form = named[i].form };
			return true;
		}
	return false;
}

/* ── forms ── */

static json_t *
address(const struct letter_address *a)
{
	return json_pack(
		"{s:o, s:o}", "name", jmap_text_or_null(a->name), "email", jmap_text(a->email));
}

/* The sign of an empty group is no address. */
static json_t *
addresses(const struct letter_address *list, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		if (list[i].email.n || !list[i].begins_group)
			json_array_append_new(array, address(&list[i]));
	return array;
}

/* RFC 8621 §4.1.2.4: addresses of no group that stand side by side are in one group without a name. */
static json_t *
grouped(const struct letter_address *list, size_t n)
{
	json_t *groups = json_array(), *members = NULL;

	for (size_t i = 0; i < n; i++) {
		if (!members || list[i].begins_group ||
			(i && list[i].is_in_group != list[i - 1].is_in_group)) {
			members = json_array();
			json_array_append_new(
				groups, json_pack("{s:o, s:o}", "name",
						list[i].is_in_group ? jmap_text(list[i].group)
								    : json_null(),
						"addresses", members));
		}
		if (list[i].email.n || !list[i].begins_group)
			json_array_append_new(members, address(&list[i]));
	}
	return groups;
}

static json_t *
text(struct str raw)
{
	struct buf decoded = { .max = 4 * raw.n + 1024 };
	json_t *j;

	letter_field_text(raw, &decoded);
	j = jmap_text(buf_str(&decoded));
	buf_free(&decoded);
	return j;
}

/* "2026-11-23T18:00:00+08:00": the sender's own time. */
static json_t *
date(struct str raw)
{
	struct buf to = { .max = 64 };
	struct str local;
	int64_t unix_s;
	int offset, off;
	json_t *utc, *j;

	if (!letter_field_date(raw, &unix_s, &offset))
		return json_null();
	utc = jmap_date((unix_s + (int64_t)offset * 60) * 1000);
	local = jmap_str(utc);
	off = offset < 0 ? -offset : offset;
	buf_add(&to, str_part(local, 0, local.n - (offset ? 1 : 0)));
	if (offset)
		buf_addf(&to, "%c%02d:%02d", offset < 0 ? '-' : '+', off / 60, off % 60);
	j = jmap_text(buf_str(&to));
	buf_free(&to);
	json_decref(utc);
	return j;
}

static json_t *
texts_or_null(const struct str *texts, size_t n)
{
	return n ? jmap_texts(texts, n) : json_null();
}

static json_t *
in_form(struct str raw, enum header_form form, struct arena *arena)
{
	struct letter_address *list;
	struct str *texts;
	size_t n;

	switch (form) {
	case FORM_TEXT:
		return text(raw);
	case FORM_ADDRESSES:
		n = letter_field_addresses(raw, arena, &list);
		return addresses(list, n);
	case FORM_GROUPED:
		n = letter_field_addresses(raw, arena, &list);
		return grouped(list, n);
	case FORM_IDS:
		n = letter_field_ids(raw, arena, &texts);
		return texts_or_null(texts, n);
	case FORM_DATE:
		return date(raw);
	case FORM_URLS:
		n = letter_field_urls(raw, arena, &texts);
		return texts_or_null(texts, n);
	case FORM_RAW:
	case FORMS:
		break;
	}
	return jmap_text(raw);
}

json_t *
header_value(const struct letter_part *p, const struct header_wish *wish, struct arena *arena)
{
	const struct letter_field *last = letter_field(p, wish->name);
	json_t *array;

	if (!wish->all)
		return last ? in_form(last->raw, wish->form, arena) : json_null();
	array = json_array();
	for (size_t i = 0; i < p->fields_n; i++)
		if (str_eq_nocase(p->fields[i].name, wish->name))
			json_array_append_new(array, in_form(p->fields[i].raw, wish->form, arena));
	return array;
}

json_t *
header_list(const struct letter_part *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->fields_n; i++)
		json_array_append_new(
			list, json_pack("{s:o, s:o}", "name", jmap_text(p->fields[i].name), "value",
				      jmap_text(p->fields[i].raw)));
	return list;
}
