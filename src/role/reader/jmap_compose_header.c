/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"
#include "role/reader/jmap_email.h"
#include "role/reader/jmap_write.h"

/*
 * The header of a mail that is written in JMAP. A property says a field in one of the forms of RFC 8621 §4.1.2:
 *
 *   "to": [{"name":…,"email":…}]             a convenience property: a field by another name
 *   "header:To:asAddresses": [ … ]           the same field, in whatever form it comes
 *   "header:X-Mine": "…"                     a field of the writer's own
 *   "header:X-Mine:asText:all": ["…", "…"]   several
 *
 * A value is read by its form into `struct value`: texts that the composer understands. No field may be said twice (RFC 8621 §4.6), and
 * nothing that is said may end a line: each string is looked at here, where its property is known by name.
 */

enum slot {
	FROM,
	SENDER,
	REPLY_TO,
	TO,
	CC,
	BCC,
	SUBJECT,
	SENT_AT,
	MESSAGE_ID,
	IN_REPLY_TO,
	REFERENCES,
	SLOTS
};

/* Fields that the composer has a place for, or that a reply is known by; each is in a mail once. */
static const struct {
	struct str field;
	enum header_form form;
	bool is_single; /* one address, one id */
} slots[SLOTS] = {
	[FROM] = { S("From"), FORM_ADDRESSES, true },
	[SENDER] = { S("Sender"), FORM_ADDRESSES, true },
	[REPLY_TO] = { S("Reply-To"), FORM_ADDRESSES, false },
	[TO] = { S("To"), FORM_ADDRESSES, false },
	[CC] = { S("Cc"), FORM_ADDRESSES, false },
	[BCC] = { S("Bcc"), FORM_ADDRESSES, false },
	[SUBJECT] = { S("Subject"), FORM_TEXT, false },
	[SENT_AT] = { S("Date"), FORM_DATE, false },
	[MESSAGE_ID] = { S("Message-ID"), FORM_IDS, true },
	[IN_REPLY_TO] = { S("In-Reply-To"), FORM_IDS, false },
	[REFERENCES] = { S("References"), FORM_IDS, false },
};

enum {
	FIELDS_MAX = LETTER_FIELDS_MAX - SLOTS - 20
}; /* so that our own reader takes the whole header */

struct value {
	struct str *list; /* mailboxes "name" <address>, ids and URLs without <>, or one text */
	size_t n;
	int64_t unix_s; /* a date */
};

struct header {
	struct composing *w;
	const char *property;	    /* that is being read */
	const char *said_by[SLOTS]; /* the property that has filled it */
	struct value values[SLOTS];
	struct compose_field *fields;
	const char **fields_said_by;
	size_t fields_n;
};

static bool
refuse(struct header *h, const char *words)
{
	return jmap_refuse(h->w->error, h->property, "%s", words);
}

static void *
take(struct header *h, size_t n)
{
	void *p = arena_take(&h->w->arena, n);

	if (!p && !*h->w->error)
		refuse(h, "says more than a header can hold");
	return p;
}

bool
composing_is_clean(struct composing *w, const char *property, struct str text)
{
	return encode_is_clean(text) || jmap_refuse(w->error, property, "holds a line end or NUL");
}

/* ── addresses: RFC 8621 §4.1.2.3 ── */

/* "name" <address>, as the composer takes it. */
static bool
add_mailbox(struct header *h, struct value *v, struct str name, struct str email)
{
	struct buf text = { .max = 2 * name.n + email.n + 8 };

	if (!composing_is_clean(h->w, h->property, name) ||
		!composing_is_clean(h->w, h->property, email))
		return false;
	if (!compose_is_address(email) || str_find(email, '<') < email.n ||
		str_find(email, '>') < email.n)
		return jmap_refuse(h->w->error, h->property, "\"%.*s\" is no address",
			STR_ARG(str_part(email, 0, 60)));
	if (name.n) {
		buf_add_char(&text, '"');
		for (size_t i = 0; i < name.n; i++) {
			if (name.p[i] == '"' || name.p[i] == '\\')
				buf_add_char(&text, '\\');
			buf_add_char(&text, name.p[i]);
		}
		buf_add(&text, S("\" <"));
		buf_add(&text, email);
		buf_add_char(&text, '>');
	} else
		buf_add(&text, email);
	if (!arena_dup(&h->w->arena, buf_str(&text), &v->list[v->n++]))
		refuse(h, "has more addresses than a header can hold");
	buf_free(&text);
	return !*h->w->error;
}

static bool
read_addresses(struct header *h, const json_t *j, struct value *v)
{
	struct str *old = v->list;
	json_t *one;
	size_t i;

	if (!json_is_array(j))
		return refuse(h, "is no array of addresses");
	v->list = take(h, (v->n + json_array_size(j)) * sizeof *v->list);
	if (!v->list)
		return false;
	if (v->n)
		memcpy(v->list, old, v->n * sizeof *old);
	json_array_foreach ((json_t *)(uintptr_t)j, i, one) {
		const json_t *name = json_object_get(one, "name"),
			     *email = json_object_get(one, "email");

		if (!json_is_string(email) ||
			(name && !json_is_string(name) && !json_is_null(name)))
			return refuse(h, "has what is no EmailAddress");
		if (!add_mailbox(h, v, str_trim(jmap_str(name)), str_trim(jmap_str(email))))
			return false;
	}
	return true;
}

/* The names of groups are not written: a list of the same addresses is what every reader shows. */
static bool
read_groups(struct header *h, const json_t *j, struct value *v)
{
	json_t *group;
	size_t i;

	if (!json_is_array(j))
		return refuse(h, "is no array of groups");
	json_array_foreach ((json_t *)(uintptr_t)j, i, group)
		if (!read_addresses(h, json_object_get(group, "addresses"), v))
			return false;
	return true;
}

/* ── other forms ── */

static bool
read_text(struct header *h, const json_t *j, struct value *v)
{
	if (!json_is_string(j))
		return refuse(h, "is no string");
	v->list = take(h, sizeof *v->list);
	if (!v->list || !composing_is_clean(h->w, h->property, jmap_str(j)))
		return false;
	v->list[v->n++] = jmap_str(j);
	return true;
}

static bool
is_url(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '<' || s.p[i] == '>')
			return false;
	return s.n > 0;
}

/* Ids come from mails of others as well: one that no field can hold (blanks, letters that are not ASCII) is left out of a reply, which has to go out all the same. One
 * that would end the line is no accident. */
static bool
read_list(struct header *h, enum header_form form, const json_t *j, struct value *v)
{
	json_t *one;
	size_t i;

	if (!json_is_array(j))
		return refuse(h, "is no array of strings");
	v->list = take(h, json_array_size(j) * sizeof *v->list);
	if (!v->list)
		return false;
	json_array_foreach ((json_t *)(uintptr_t)j, i, one) {
		if (!json_is_string(one))
			return refuse(h, "has what is no string");
		if (!composing_is_clean(h->w, h->property, jmap_str(one)))
			return false;
		if (form == FORM_URLS && !is_url(jmap_str(one)))
			return refuse(h, "has what is no URL");
		if (form == FORM_URLS || compose_is_id(jmap_str(one)))
			v->list[v->n++] = jmap_str(one);
	}
	return true;
}

static bool
read_date(struct header *h, const json_t *j, struct value *v)
{
	int64_t ms;

	if (!jmap_read_date(j, &ms))
		return refuse(h, "is no date");
	v->unix_s = ms / 1000;
	return true;
}

static bool
read_value(struct header *h, enum header_form form, const json_t *j, struct value *v)
{
	switch (form) {
	case FORM_RAW:
	case FORM_TEXT:
		return read_text(h, j, v);
	case FORM_ADDRESSES:
		return read_addresses(h, j, v);
	case FORM_GROUPED:
		return read_groups(h, j, v);
	case FORM_IDS:
	case FORM_URLS:
		return read_list(h, form, j, v);
	case FORM_DATE:
		return read_date(h, j, v);
	case FORMS:
		break;
	}
	return refuse(h, "has no such form");
}

/* ── slots ── */

/* A raw value of a field that has a place of its own is read as if it had come in a mail. */
static bool
parse_raw(struct header *h, enum header_form form, struct value *v)
{
	struct str raw = v->list[0];
	struct letter_address *addresses = NULL;
	struct buf text = { .max = 2 * LETTER_FIELD_MAX };
	int offset_minutes;
	size_t n;

	if (form == FORM_DATE)
		return letter_field_date(raw, &v->unix_s, &offset_minutes) ||
		       refuse(h, "is no date");
	if (form == FORM_IDS) {
		v->n = letter_field_ids(raw, &h->w->arena, &v->list);
		return v->n > 0 || refuse(h, "has no id");
	}
	if (form == FORM_TEXT) {
		letter_field_text(raw, &text);
		if (!arena_dup(&h->w->arena, buf_str(&text), &v->list[0]))
			refuse(h, "says more than a header can hold");
		buf_free(&text);
		return !*h->w->error && composing_is_clean(h->w, h->property, v->list[0]);
	}
	n = letter_field_addresses(raw, &h->w->arena, &addresses);
	*v = (struct value){ .list = take(h, n * sizeof *v->list) };
	for (size_t i = 0; v->list && i < n; i++)
		if (addresses[i].email.n &&
			!add_mailbox(h, v, addresses[i].name, addresses[i].email))
			return false;
	return v->list != NULL;
}

static bool
fill_slot(struct header *h, enum slot slot, enum header_form form, const json_t *j)
{
	struct value *v = &h->values[slot];

	if (h->said_by[slot])
		return jmap_refuse(
			h->w->error, h->property, "%s says it already", h->said_by[slot]);
	h->said_by[slot] = h->property;
	if (!read_value(h, form, j, v) || (form == FORM_RAW && !parse_raw(h, slots[slot].form, v)))
		return false;
	if (slots[slot].is_single && v->n > 1)
		return refuse(h, "a mail has one here");
	return true;
}

/* ── fields of the writer's own ── */

static bool
write_value(struct header *h, enum header_form form, const struct value *v, struct str *text)
{
	struct buf to = { .max = LETTER_FIELD_MAX };

	if (form == FORM_DATE)
		date_add(&to, v->unix_s);
	for (size_t i = 0; i < v->n; i++) {
		if (i)
			buf_add(&to, form == FORM_IDS ? S(" ") : S(", "));
		if (form == FORM_IDS || form == FORM_URLS) {
			buf_add_char(&to, '<');
			buf_add(&to, v->list[i]);
			buf_add_char(&to, '>');
		} else
			buf_add(&to, v->list[i]);
	}
	if (to.overflow || !arena_dup(&h->w->arena, buf_str(&to), text))
		refuse(h, "is longer than a field can be");
	buf_free(&to);
	return !*h->w->error;
}

static bool
add_own(struct header *h, struct str name, enum header_form form, const struct value *v)
{
	struct compose_field *field = &h->fields[h->fields_n];

	if (h->fields_n == FIELDS_MAX)
		return refuse(h, "is one field too many");
	if (v->n == 0 && form != FORM_DATE)
		return true;
	h->fields_said_by[h->fields_n++] = h->property;
	field->name = name;
	return write_value(h, form, v, &field->value);
}

/* ── properties ── */

static bool
is_said(const struct header *h, struct str name)
{
	for (size_t i = 0; i < h->fields_n; i++)
		if (str_eq_nocase(h->fields[i].name, name) && h->fields_said_by[i] != h->property)
			return true;
	return false;
}

static bool
read_own(struct header *h, const struct header_wish *wish, const json_t *j)
{
	struct value v = { 0 };

	return read_value(h, wish->form, j, &v) && add_own(h, wish->name, wish->form, &v);
}

/* Written by the composer, at delivery, or not at all. */
static bool
is_not_own(struct str name)
{
	return str_starts_nocase(name, S("Content-")) || str_eq_nocase(name, S("MIME-Version")) ||
	       str_eq_nocase(name, S("Return-Path")) || str_eq_nocase(name, S("Resent-Bcc")) ||
	       !compose_is_field_name(name);
}

static bool
read_field(struct header *h, const struct header_wish *wish, const json_t *j)
{
	if (is_not_own(wish->name))
		return refuse(h, "is not for its writer to say");
	if (wish->all && !json_is_array(j))
		return refuse(h, "is no array");
	for (enum slot slot = 0; slot < SLOTS; slot++) {
		if (!str_eq_nocase(wish->name, slots[slot].field))
			continue;
		if (wish->all && json_array_size(j) != 1)
			return refuse(h, "a mail has one such field");
		return fill_slot(h, slot, wish->form, wish->all ? json_array_get(j, 0) : j);
	}
	if (is_said(h, wish->name))
		return refuse(h, "another property says this field already");
	if (!wish->all)
		return read_own(h, wish, j);
	for (size_t i = 0; i < json_array_size(j); i++)
		if (!read_own(h, wish, json_array_get(j, i)))
			return false;
	return true;
}

/* What says where a mail lies is read elsewhere (jmap_write.c). */
static bool
is_of_place(struct str property)
{
	return str_eq(property, S("mailboxIds")) || str_eq(property, S("keywords")) ||
	       str_eq(property, S("receivedAt"));
}

static bool
read_property(struct header *h, const json_t *j)
{
	struct str property = str_of(h->property);
	struct header_wish wish;

	if (composing_is_of_body(property) || is_of_place(property))
		return true;
	if (!header_named_wish(property, &wish) && !header_scan_wish(property, &wish))
		return refuse(h, "is no property that a mail is made of");
	return json_is_null(j) || read_field(h, &wish, j);
}

/* ── the whole ── */

static bool
hand_over(struct header *h)
{
	static const enum slot as_fields[] = { SENDER, IN_REPLY_TO, REFERENCES };
	struct compose *c = &h->w->c;
	struct value *v = h->values;

	c->from = v[FROM].n ? v[FROM].list[0] : S("");
	c->to = v[TO].list, c->to_n = v[TO].n;
	c->cc = v[CC].list, c->cc_n = v[CC].n;
	c->bcc = v[BCC].list, c->bcc_n = v[BCC].n;
	c->reply_to = v[REPLY_TO].list, c->reply_to_n = v[REPLY_TO].n;
	c->subject = v[SUBJECT].n ? v[SUBJECT].list[0] : S("");
	c->unix_seconds = h->said_by[SENT_AT] ? v[SENT_AT].unix_s : loop_wall_ms() / 1000;
	c->message_id = v[MESSAGE_ID].n ? v[MESSAGE_ID].list[0] : S("");
	for (size_t i = 0; i < sizeof as_fields / sizeof *as_fields; i++) {
		h->property = h->said_by[as_fields[i]];
		if (!add_own(h, slots[as_fields[i]].field, slots[as_fields[i]].form,
			    &v[as_fields[i]]))
			return false;
	}
	c->fields = h->fields;
	c->fields_n = h->fields_n;
	return true;
}

bool
composing_read_header(struct composing *w)
{
	struct header h = { .w = w, .property = "" };
	const char *key;
	json_t *value;
	size_t n;

	h.fields = take(&h, FIELDS_MAX * sizeof *h.fields);
	h.fields_said_by = take(&h, FIELDS_MAX * sizeof *h.fields_said_by);
	if (!h.fields || !h.fields_said_by)
		return false;
	json_object_keylen_foreach ((json_t *)(uintptr_t)w->email, key, n, value) {
		h.property = key;
		if (strlen(key) != n)
			return refuse(&h, "holds NUL");
		if (!read_property(&h, value))
			return false;
	}
	return hand_over(&h);
}
