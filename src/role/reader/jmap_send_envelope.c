/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/jmap_submission.h"

#include "base/must.h"
#include "message/message.h"

/*
 * The envelope of a submission (RFC 8621 §7): given, or made of the header, and then read by one way into what SMTP says. Values of parameters
 * stand in JSON decoded; xtext is put on here.
 */

bool
jmap_may_write_as(const struct jmap_request *r, struct str email)
{
	struct str addresses = buf_str(&r->reader->addresses), address;

	while (codec_scan_str(&addresses, &address))
		if (str_eq_nocase(address, email))
			return true;
	return false;
}

/* ── of the header ── */

static void
add_field(struct jmap_request *r, const struct letter_part *root, struct str name, json_t *seen,
	json_t *to)
{
	const struct letter_field *field = letter_field(root, name);
	struct letter_address *list;
	size_t n = field ? letter_field_addresses(field->raw, &r->arena, &list) : 0;

	for (size_t i = 0; i < n; i++) {
		json_t *email = jmap_text(list[i].email);

		if (list[i].email.n && !json_object_getn(seen, json_string_value(email),
					       json_string_length(email))) {
			json_object_setn_new(seen, json_string_value(email),
				json_string_length(email), json_true());
			json_array_append_new(
				to, json_pack("{s:O, s:n}", "email", email, "parameters"));
		}
		json_decref(email);
	}
}

json_t *
envelope_of_header(
	const struct letter_part *root, const struct jmap_request *r, struct str identity_email)
{
	struct jmap_request *request = (struct jmap_request *)(uintptr_t)r; /* its arena */
	const struct letter_field *field = letter_field(root, S("Sender"));
	struct letter_address *list;
	struct str from = identity_email;
	json_t *to = json_array(), *seen = json_object();

	if (!field)
		field = letter_field(root, S("From"));
	if (field && letter_field_addresses(field->raw, &request->arena, &list) &&
		jmap_may_write_as(r, list[0].email))
		from = list[0].email;
	add_field(request, root, S("To"), seen, to);
	add_field(request, root, S("Cc"), seen, to);
	add_field(request, root, S("Bcc"), seen, to);
	json_decref(seen);
	return json_pack("{s:{s:o, s:n}, s:o}", "mailFrom", "email", jmap_text(from), "parameters",
		"rcptTo", to);
}

/* ── addresses ── */

/* As on the wire; empty: it is none. */
static struct str
wire_address(struct jmap_request *r, const json_t *address, bool *smtputf8)
{
	struct buf wire = { .max = 2 * ADDRESS_PATH_MAX };
	struct address a;
	struct str copy = { 0 };

	if (address_parse(jmap_str(json_object_get(address, "email")), &r->arena, true, &a) ==
			ADDRESS_OK &&
		a.domain.n) {
		address_add(&wire, a);
		if (arena_dup(&r->arena, buf_str(&wire), &copy))
			*smtputf8 |= !address_is_ascii(a);
	}
	buf_free(&wire);
	return copy;
}

static struct str
xtext(struct jmap_request *r, struct str type, struct str value)
{
	struct buf text = { .max = 3 * value.n + type.n + 1 };
	struct str copy = { 0 };

	buf_add(&text, type);
	codec_add_xtext(&text, value);
	arena_dup(&r->arena, buf_str(&text), &copy);
	buf_free(&text);
	return copy;
}

/* ── parameters of MAIL ── */

static bool
read_hold_for(struct jmap_request *r, struct sending *s, struct str value)
{
	(void)r;
	return scan_u64(&value, &s->order.hold_s) && !value.n && s->order.hold_s <= INT32_MAX;
}

/* RFC 4865 §4: receive is told how long, so that two clocks need not agree. */
static bool
read_hold_until(struct jmap_request *r, struct sending *s, struct str value)
{
	int64_t until_s, now_ms = loop_wall_ms();

	(void)r;
	if (!date_scan_rfc3339(&value, &until_s) || value.n || until_s - now_ms / 1000 > INT32_MAX)
		return false;
	s->order.hold_s =
		until_s * 1000 > now_ms ? (uint64_t)((until_s * 1000 - now_ms + 999) / 1000) : 0;
	return true;
}

static bool
read_ret(struct jmap_request *r, struct sending *s, struct str value)
{
	(void)r;
	s->order.ret = str_eq_nocase(value, S("FULL"))	 ? 'F'
		       : str_eq_nocase(value, S("HDRS")) ? 'H'
							 : 0;
	return s->order.ret;
}

static bool
read_envid(struct jmap_request *r, struct sending *s, struct str value)
{
	s->order.envid = xtext(r, S(""), value);
	return value.n && s->order.envid.n && s->order.envid.n <= DSN_ENVELOPE_ID_MAX &&
	       str_is_ascii(value);
}

/* Found out here, whatever a client says. */
static bool
is_ours_to_say(struct jmap_request *r, struct sending *s, struct str value)
{
	(void)r;
	(void)s;
	(void)value;
	return true;
}

static const struct {
	struct str name;
	bool (*read)(struct jmap_request *r, struct sending *s, struct str value);
} mail_parameters[] = {
	{ { "HOLDFOR", 7 }, read_hold_for },
	{ { "HOLDUNTIL", 9 }, read_hold_until },
	{ { "RET", 3 }, read_ret },
	{ { "ENVID", 5 }, read_envid },
	{ { "SIZE", 4 }, is_ours_to_say },
	{ { "BODY", 4 }, is_ours_to_say },
	{ { "SMTPUTF8", 8 }, is_ours_to_say },
};

static bool
read_mail_parameter(struct jmap_request *r, struct sending *s, struct str name, const json_t *value)
{
	for (size_t i = 0; i < sizeof mail_parameters / sizeof *mail_parameters; i++)
		if (str_eq_nocase(name, mail_parameters[i].name))
			return mail_parameters[i].read(r, s, jmap_str(value));
	return false;
}

/* ── parameters of RCPT (RFC 3461 §4) ── */

static bool
read_notify(struct str value, uint8_t *notify)
{
	static const struct {
		struct str word;
		uint8_t bit;
	} words[] = { { { "NEVER", 5 }, DSN_NOTIFY_NEVER },
		{ { "SUCCESS", 7 }, DSN_NOTIFY_SUCCESS }, { { "FAILURE", 7 }, DSN_NOTIFY_FAILURE },
		{ { "DELAY", 5 }, DSN_NOTIFY_DELAY } };
	struct str word;
	bool has_more = true;

	while (has_more) {
		uint8_t bit = 0;

		has_more = str_cut(value, ',', &word, &value);
		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			if (str_eq_nocase(word, words[i].word))
				bit = words[i].bit;
		if (!bit)
			return false;
		*notify |= bit;
	}
	return !(*notify & DSN_NOTIFY_NEVER) || *notify == DSN_NOTIFY_NEVER;
}

static bool
read_rcpt_parameter(
	struct jmap_request *r, struct smtp_client_dsn *dsn, struct str name, const json_t *value)
{
	struct str type, original;

	if (str_eq_nocase(name, S("NOTIFY")))
		return read_notify(jmap_str(value), &dsn->notify);
	if (!str_eq_nocase(name, S("ORCPT")) || !str_cut(jmap_str(value), ';', &type, &original) ||
		!str_eq_nocase(type, S("rfc822")))
		return false;
	dsn->orcpt = xtext(r, S("rfc822;"), original);
	return original.n && dsn->orcpt.n && dsn->orcpt.n <= DSN_ORIGINAL_MAX &&
	       str_is_ascii(original);
}

/* ── the whole ── */

static bool
read_mail_from(struct jmap_request *r, const json_t *from, struct sending *s, json_t **error)
{
	json_t *parameters = json_object_get(from, "parameters");

	s->order.reverse_path = wire_address(r, from, &s->order.smtputf8);
	if (!s->order.reverse_path.n ||
		!jmap_may_write_as(r, jmap_str(json_object_get(from, "email")))) {
		*error = jmap_set_error(
			"forbiddenMailFrom", "this login may not send from this address");
		return false;
	}
	for (void *at = json_object_iter(parameters); at;
		at = json_object_iter_next(parameters, at))
		if (!read_mail_parameter(
			    r, s, str_of(json_object_iter_key(at)), json_object_iter_value(at))) {
			*error = jmap_wrong_property("envelope", json_object_iter_key(at));
			return false;
		}
	if (s->order.hold_s > (uint64_t)r->reader->role.config.queue.hold_most_ms / 1000) {
		*error = jmap_wrong_property("envelope", "held for so long is nothing here");
		return false;
	}
	return true;
}

/* How many there may be, and who they are. */
static bool
read_rcpt_to(struct jmap_request *r, const json_t *to, struct sending *s, json_t **error)
{
	size_t n = json_array_size(to), most = r->reader->role.config.limits.recipients;
	struct str *recipients = arena_take(&r->arena, (n + 1) * sizeof *recipients);
	struct smtp_client_dsn *dsn = arena_take(&r->arena, (n + 1) * sizeof *dsn);
	json_t *invalid = json_array();

	if (!most || most > SUBMIT_RECIPIENTS_MAX)
		most = SUBMIT_RECIPIENTS_MAX;
	if (!n || n > most || !recipients || !dsn) {
		*error = n ? jmap_set_error("tooManyRecipients", "more than %zu", most)
			   : jmap_set_error("noRecipients", "nobody is to get it");
		if (n)
			json_object_set_new(
				*error, "maxRecipients", json_integer((json_int_t)most));
		json_decref(invalid);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		const json_t *one = json_array_get(to, i), *email = json_object_get(one, "email");
		json_t *parameters = json_object_get(one, "parameters");
		bool fits = true;

		recipients[i] = wire_address(r, one, &s->order.smtputf8);
		for (void *at = json_object_iter(parameters); at;
			at = json_object_iter_next(parameters, at))
			fits &= read_rcpt_parameter(r, &dsn[i], str_of(json_object_iter_key(at)),
				json_object_iter_value(at));
		if (!fits && !*error)
			*error = jmap_wrong_property("envelope", "a parameter of rcptTo");
		if (!recipients[i].n)
			json_array_append_new(invalid,
				json_is_string(email) ? json_copy((json_t *)(uintptr_t)email)
						      : json_string(""));
	}
	if (json_array_size(invalid)) {
		json_decref(*error);
		*error = jmap_set_error(
			"invalidRecipients", "what is no address cannot be written to");
		json_object_set(*error, "invalidRecipients", invalid);
	}
	json_decref(invalid);
	s->order.recipients = recipients;
	s->order.dsn = dsn;
	s->order.recipients_n = n;
	return !*error;
}

bool
envelope_read(struct jmap_request *r, const json_t *envelope, struct sending *s, json_t **error)
{
	const json_t *from = json_object_get(envelope, "mailFrom"),
		     *to = json_object_get(envelope, "rcptTo");

	if (!json_is_object(from) || !json_is_array(to)) {
		*error = jmap_wrong_property("envelope", "has mailFrom and rcptTo");
		return false;
	}
	return read_mail_from(r, from, s, error) && read_rcpt_to(r, to, s, error);
}
