/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include "base/codec.h"
#include "message/message.h"
#include "smtp/address.h"

/* A mail as its writer tells it. The first error sticks (mail_fail), and everything behind it does nothing. */

/* ── memory ── */

static void *
resize(void *context, void *p, size_t n)
{
	(void)context;
	if (n)
		return realloc(p, n);
	free(p);
	return NULL;
}

struct memory
client_memory(const struct ph_memory *given)
{
	return given ? (struct memory){ given->resize, given->context }
		     : (struct memory){ resize, NULL };
}

bool
mail_fail(struct ph_mail *m, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text_fail(&m->error, format, args);
	va_end(args);
	return false;
}

bool
mail_no_memory(struct ph_mail *m)
{
	return mail_fail(m, "no memory for the mail");
}

ph_mail *
ph_mail_new_in(const struct ph_memory *given)
{
	struct memory memory = client_memory(given);
	struct ph_mail *m = memory_take(&memory, sizeof *m);

	if (!m)
		return NULL;
	m->memory = memory;
	m->arena = (struct arena){ .max = CLIENT_MAIL_MEMORY_MAX, .memory = &m->memory };
	m->answers = m->arena;
	m->plan.memory = &m->memory;
	return m;
}

ph_mail *
ph_mail_new(void)
{
	return ph_mail_new_in(NULL);
}

/* Whoever has it under way is left without it. */
static void
leave(struct ph_mail *m)
{
	if (m->pool)
		pool_forget(m->pool, m);
	else if (m->session)
		session_forget(m->session, m);
	else if (m->core)
		core_forget(m->core, m);
}

void
ph_mail_free(ph_mail *m)
{
	struct memory memory;

	if (!m)
		return;
	leave(m);
	memory = m->memory;
	compose_free(&m->plan);
	memory_release(&memory, m->to.p);
	memory_release(&memory, m->cc.p);
	memory_release(&memory, m->reply_to.p);
	memory_release(&memory, m->fields);
	memory_release(&memory, m->parts);
	memory_release(&memory, m->sources);
	memory_release(&memory, m->recipients);
	memory_release(&memory, m->wire);
	memory_release(&memory, m->outcomes);
	memory_release(&memory, m->dsn);
	arena_free(&m->answers);
	arena_free(&m->arena);
	memory_release(&memory, m);
}

const char *
ph_mail_error(const ph_mail *m)
{
	if (err_is(&m->error))
		return m->error.text;
	return m->remark[0] ? m->remark : NULL;
}

bool
mail_is_underway(const struct ph_mail *m)
{
	return m->pool || m->session || m->core;
}

bool
mail_is_free(struct ph_mail *m)
{
	bool is_underway = mail_is_underway(m);

	text_copy(m->remark, sizeof m->remark, is_underway ? "it is being sent already" : "");
	return !is_underway;
}

/* What begins every call that writes: is there still something to write into? */
static bool
is_open(struct ph_mail *m)
{
	if (mail_is_underway(m))
		mail_fail(m, "changed while it was being sent");
	m->is_prepared = m->has_envelope = false;
	return !err_is(&m->error);
}

bool
mail_keep(struct ph_mail *m, struct str text, struct str *copy)
{
	char *p = arena_take(&m->arena, text.n + 1);

	if (!p)
		return mail_no_memory(m);
	if (text.n)
		memcpy(p, text.p, text.n);
	*copy = (struct str){ p, text.n };
	return true;
}

/* The same of what stands in a field. */
static bool
keep_field(struct ph_mail *m, const char *what, const char *text, struct str *copy)
{
	if (!encode_is_clean(str_of(text)))
		return mail_fail(m, "%s: has a line end in it, or is not UTF-8", what);
	return mail_keep(m, str_of(text), copy);
}

/* Room for one more behind n, in a table whose room doubles. NULL: no memory, and p is as it was. */
static void *
grow(struct ph_mail *m, void *p, size_t n, size_t size)
{
	void *grown = p;

	if (n == 0 && !p)
		grown = memory_resize(&m->memory, NULL, 8 * size);
	else if (n >= 8 && (n & (n - 1)) == 0)
		grown = memory_resize(&m->memory, p, 2 * n * size);
	if (!grown)
		mail_no_memory(m);
	return grown;
}

/* ── who ── */

/* "Bob <bob@example.org>" or "bob@example.org" → bob@example.org as on the wire. */
static bool
wire_form(struct ph_mail *m, const char *what, struct str mailbox, struct str *wire)
{
	char octets[2 * ADDRESS_PATH_MAX];
	struct buf text = { .p = octets, .capacity = sizeof octets, .max = sizeof octets };
	struct str name, address_text;
	struct address address;

	mailbox_split(mailbox, &name, &address_text);
	if (address_parse(address_text, &m->arena, true, &address) != ADDRESS_OK)
		return mail_fail(m, "%s: not an address: %.*s", what, STR_ARG(mailbox));
	address_add(&text, address);
	m->needs_utf8 = m->needs_utf8 || !str_is_ascii(buf_str(&text));
	return mail_keep(m, buf_str(&text), wire);
}

static bool
add_recipient(struct ph_mail *m, const char *what, struct str mailbox)
{
	struct recipient *grown = grow(m, m->recipients, m->recipients_n, sizeof *grown);
	struct recipient one = { .said = mailbox };

	if (!grown)
		return false;
	m->recipients = grown;
	if (!wire_form(m, what, mailbox, &one.address))
		return false;
	result_clear(&one);
	grown[m->recipients_n++] = one;
	return true;
}

/* How many octets of `in` belong together: a quoted string, a comment, an address in brackets, a number of a host, or one octet. 0: it has no
 * end. */
static size_t
span(struct str in)
{
	static const char openers[] = "\"(<[", closers[] = "\")>]";
	const char *opener = memchr(openers, in.p[0], sizeof openers - 1);
	int depth = 0;

	if (!opener)
		return 1;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (c == '\\')
			i++;
		else if (i && c == closers[opener - openers] && --depth == 0)
			return i + 1;
		else if (i == 0 || (c == '(' && *opener == '('))
			depth++;
	}
	return 0;
}

/* Where the mailbox that `in` begins with ends. False: e sticks. */
static bool
find_end(struct ph_mail *m, const char *what, struct str in, size_t *end)
{
	for (*end = 0; *end < in.n && !memchr(",:;", in.p[*end], 3);) {
		size_t taken = span(str_from(in, *end));

		if (taken == 0)
			return mail_fail(m, "%s: a quote or bracket has no end: %.*s", what,
				STR_ARG(str_from(in, *end)));
		*end += taken;
	}
	return true;
}

/* The next mailbox of a list, without comments (RFC 5322 §3.4, §3.2.2), into the arena. A group, "NAME: a@x, b@x;", is its members. False: e
 * sticks. */
static bool
next_mailbox(struct ph_mail *m, const char *what, struct str *in, struct str *mailbox)
{
	size_t end, n = 0, taken;
	char *to;

	if (!find_end(m, what, *in, &end))
		return false;
	while (end < in->n && in->p[end] == ':') {
		*in = str_from(*in, end + 1);
		if (!find_end(m, what, *in, &end))
			return false;
	}
	to = arena_take(&m->arena, end + 1);
	if (!to)
		return mail_no_memory(m);
	for (size_t at = 0; at < end; at += taken) {
		taken = span(str_from(*in, at));
		if (in->p[at] == '(')
			continue;
		memcpy(to + n, in->p + at, taken);
		n += taken;
	}
	*mailbox = str_trim((struct str){ to, n });
	*in = str_from(*in, end < in->n ? end + 1 : end);
	return true;
}

/* list NULL: they stand nowhere in the message. are_recipients false: they stand only there. */
static void
add_mailboxes(struct ph_mail *m, const char *what, const char *text, struct mailboxes *list,
	bool are_recipients)
{
	struct str in = str_of(text), mailbox = S(""), wire = S("");
	struct str *grown;

	if (!is_open(m))
		return;
	if (!encode_is_clean(in)) {
		mail_fail(m, "%s: has a line end in it, or is not UTF-8", what);
		return;
	}
	while (in.n) {
		if (!next_mailbox(m, what, &in, &mailbox))
			return;
		if (mailbox.n == 0)
			continue; /* RFC 5322 §4.4 */
		if (are_recipients ? !add_recipient(m, what, mailbox)
				   : !wire_form(m, what, mailbox, &wire))
			return;
		if (!list)
			continue;
		grown = grow(m, list->p, list->n, sizeof *grown);
		if (!grown)
			return;
		list->p = grown;
		list->p[list->n++] = mailbox;
	}
}

void
ph_from(ph_mail *m, const char *mailbox)
{
	struct str in = str_of(mailbox);

	if (!is_open(m) || !keep_field(m, "From", mailbox, &in) ||
		!next_mailbox(m, "From", &in, &m->compose.from))
		return;
	if (in.n)
		mail_fail(m, "From: one mailbox, not several: %s", mailbox);
	else if (!m->has_return_path)
		wire_form(m, "From", m->compose.from, &m->return_path);
}

void
ph_to(ph_mail *m, const char *mailboxes)
{
	add_mailboxes(m, "To", mailboxes, &m->to, true);
}

void
ph_cc(ph_mail *m, const char *mailboxes)
{
	add_mailboxes(m, "Cc", mailboxes, &m->cc, true);
}

void
ph_bcc(ph_mail *m, const char *mailboxes)
{
	add_mailboxes(m, "Bcc", mailboxes, NULL, true);
}

void
ph_reply_to(ph_mail *m, const char *mailboxes)
{
	add_mailboxes(m, "Reply-To", mailboxes, &m->reply_to, false);
}

void
ph_return_path(ph_mail *m, const char *address)
{
	if (!is_open(m))
		return;
	m->has_return_path = true;
	m->return_path = S("");
	if (address && *address)
		wire_form(m, "return path", str_of(address), &m->return_path);
}

void
ph_recipient(ph_mail *m, const char *address)
{
	struct str copy = S("");

	if (is_open(m) && keep_field(m, "recipient", address, &copy))
		add_recipient(m, "recipient", copy);
}

/* ── what ── */

void
ph_subject(ph_mail *m, const char *subject)
{
	if (is_open(m))
		keep_field(m, "Subject", subject, &m->compose.subject);
}

void
ph_header(ph_mail *m, const char *name, const char *value)
{
	struct compose_field *grown, field;

	if (!is_open(m))
		return;
	if (!compose_is_field_name(str_of(name))) {
		mail_fail(m, "not the name of a header field: %s", name ? name : "");
		return;
	}
	grown = grow(m, m->fields, m->compose.fields_n, sizeof *grown);
	if (!grown)
		return;
	m->fields = grown;
	if (mail_keep(m, str_of(name), &field.name) && keep_field(m, name, value, &field.value))
		grown[m->compose.fields_n++] = field;
}

/* What four digits of a year can say (RFC 5322 §3.3). */
static const int64_t YEAR_1_S = -62135596800, YEAR_10000_S = 253402300800;

void
ph_date(ph_mail *m, int64_t unix_seconds)
{
	if (!is_open(m))
		return;
	if (unix_seconds < YEAR_1_S || unix_seconds >= YEAR_10000_S) {
		mail_fail(m, "date: not in the years 1 to 9999");
		return;
	}
	m->has_date = true;
	m->compose.unix_seconds = unix_seconds;
}

void
ph_message_id(ph_mail *m, const char *id)
{
	struct str copy = S("");

	if (!is_open(m) || !keep_field(m, "Message-ID", id, &copy))
		return;
	if (copy.n == 0 || copy.n >= sizeof m->message_id)
		mail_fail(m, "Message-ID: %s", copy.n ? "too long" : "empty");
	else
		memcpy(m->message_id, copy.p, copy.n + 1);
}

static bool
keep_text(struct ph_mail *m, const char *what, const char *text, struct str *copy)
{
	if (!is_open(m))
		return false;
	if (!str_is_utf8(str_of(text)))
		return mail_fail(m, "the %s is not UTF-8", what);
	return mail_keep(m, str_of(text), copy);
}

void
ph_text(ph_mail *m, const char *text)
{
	m->compose.has_text = keep_text(m, "text", text, &m->compose.text);
}

void
ph_html(ph_mail *m, const char *html)
{
	m->compose.has_html = keep_text(m, "HTML", html, &m->compose.html);
}

static const char *
last_part(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

struct attachment {
	const char *id, *name, *type;
	struct source source;
};

static void
add_part(struct ph_mail *m, const struct attachment *a)
{
	struct compose_part *parts, part = { .is_inline = a->id != NULL, .size = a->source.data.n };
	struct source *sources, source = a->source;
	struct str path = S("");
	size_t n = m->compose.parts_n;

	if (!is_open(m) || !keep_field(m, "attachment's name", a->name, &part.name) ||
		!keep_field(m, "attachment's type", a->type, &part.type) ||
		!keep_field(m, "picture's id", a->id, &part.id))
		return;
	if (source.path) {
		if (!mail_keep(m, str_of(source.path), &path))
			return;
		source.path = path.p;
		if (!source_look(m, &source))
			return;
		part.size = source.size;
	}
	if (!(parts = grow(m, m->parts, n, sizeof *parts)))
		return;
	m->parts = parts;
	if (!(sources = grow(m, m->sources, n, sizeof *sources)))
		return;
	m->sources = sources;
	parts[n] = part;
	sources[n] = source;
	m->compose.parts_n++;
}

void
ph_inline(ph_mail *m, const char *id, const char *path)
{
	add_part(m, &(struct attachment){
			    id ? id : "", last_part(path), NULL, { .path = path ? path : "" } });
}

void
ph_inline_data(ph_mail *m, const char *id, const void *data, size_t n, const char *type)
{
	add_part(m, &(struct attachment){ id ? id : "", NULL, type, { .data = { data, n } } });
}

void
ph_attach_as(ph_mail *m, const char *path, const char *name, const char *type)
{
	add_part(m, &(struct attachment){ NULL, name && *name ? name : last_part(path), type,
			    { .path = path ? path : "" } });
}

void
ph_attach(ph_mail *m, const char *path)
{
	ph_attach_as(m, path, NULL, NULL);
}

void
ph_attach_data(ph_mail *m, const void *data, size_t n, const char *name, const char *type)
{
	add_part(m, &(struct attachment){ NULL, name, type, { .data = { data, n } } });
}

void
ph_message_data(ph_mail *m, const void *data, size_t n)
{
	if (!is_open(m))
		return;
	m->is_finished = true;
	m->finished = (struct source){ .data = { data, n }, .size = n };
}

void
ph_message_file(ph_mail *m, const char *path)
{
	struct str copy = S("");

	if (!is_open(m) || !mail_keep(m, str_of(path), &copy))
		return;
	m->is_finished = true;
	m->finished = (struct source){ .path = copy.p };
	source_look(m, &m->finished);
}

/* ── what the servers are asked for ── */

enum { HOLD_MAX_S = 999999999 }; /* RFC 4865 §4: nine digits */

void
ph_notify(ph_mail *m, unsigned notify)
{
	if (!is_open(m))
		return;
	if (notify > 15 || (notify & PH_NOTIFY_NEVER && notify != PH_NOTIFY_NEVER))
		mail_fail(m, "notify: NEVER stands alone");
	else
		m->notify = notify;
}

void
ph_return_full(ph_mail *m, bool full)
{
	if (is_open(m))
		m->ret = full ? 'F' : 'H';
}

void
ph_envelope_id(ph_mail *m, const char *id)
{
	char octets[301]; /* RFC 3461 §5.4 has 100 characters, each as three */
	struct buf xtext = { .p = octets, .capacity = sizeof octets, .max = sizeof octets - 1 };

	if (!is_open(m))
		return;
	codec_add_xtext(&xtext, str_of(id));
	if (xtext.overflow || str_of(id).n > 100 || !str_is_ascii(str_of(id)) ||
		!encode_is_clean(str_of(id)))
		mail_fail(
			m, "envelope id: more than 100 characters, not ASCII, or with a line end");
	else
		mail_keep(m, buf_str(&xtext), &m->envelope_id);
}

void
ph_require_tls(ph_mail *m)
{
	if (is_open(m))
		m->requires_tls = true;
}

void
ph_hold_for(ph_mail *m, uint64_t seconds)
{
	if (!is_open(m))
		return;
	if (seconds > HOLD_MAX_S)
		mail_fail(m, "hold: more than %u seconds", HOLD_MAX_S);
	else
		m->hold_s = seconds;
}
