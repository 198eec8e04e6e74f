/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include "base/codec.h"
#include "message/message.h"

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

bool
mail_is_open(struct ph_mail *m)
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

bool
mail_keep_field(struct ph_mail *m, const char *what, const char *text, struct str *copy)
{
	if (!encode_is_clean(str_of(text)))
		return mail_fail(m, "%s: has a line end in it, or is not UTF-8", what);
	return mail_keep(m, str_of(text), copy);
}

void *
mail_grow(struct ph_mail *m, void *p, size_t n, size_t size)
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

/* ── what ── */

void
ph_subject(ph_mail *m, const char *subject)
{
	if (mail_is_open(m))
		mail_keep_field(m, "Subject", subject, &m->compose.subject);
}

void
ph_header(ph_mail *m, const char *name, const char *value)
{
	struct compose_field *grown, field;

	if (!mail_is_open(m))
		return;
	if (!compose_is_field_name(str_of(name))) {
		mail_fail(m, "not the name of a header field: %s", name ? name : "");
		return;
	}
	grown = mail_grow(m, m->fields, m->compose.fields_n, sizeof *grown);
	if (!grown)
		return;
	m->fields = grown;
	if (mail_keep(m, str_of(name), &field.name) &&
		mail_keep_field(m, name, value, &field.value))
		grown[m->compose.fields_n++] = field;
}

/* What four digits of a year can say (RFC 5322 §3.3). */
static const int64_t YEAR_1_S = -62135596800, YEAR_10000_S = 253402300800;

void
ph_date(ph_mail *m, int64_t unix_seconds)
{
	if (!mail_is_open(m))
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

	if (!mail_is_open(m) || !mail_keep_field(m, "Message-ID", id, &copy))
		return;
	if (copy.n == 0 || copy.n >= sizeof m->message_id)
		mail_fail(m, "Message-ID: %s", copy.n ? "too long" : "empty");
	else
		memcpy(m->message_id, copy.p, copy.n + 1);
}

static bool
keep_text(struct ph_mail *m, const char *what, const char *text, struct str *copy)
{
	if (!mail_is_open(m))
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

	if (!mail_is_open(m) || !mail_keep_field(m, "attachment's name", a->name, &part.name) ||
		!mail_keep_field(m, "attachment's type", a->type, &part.type) ||
		!mail_keep_field(m, "picture's id", a->id, &part.id))
		return;
	if (source.path) {
		if (!mail_keep(m, str_of(source.path), &path))
			return;
		source.path = path.p;
		if (!source_look(m, &source))
			return;
		part.size = source.size;
	}
	if (!(parts = mail_grow(m, m->parts, n, sizeof *parts)))
		return;
	m->parts = parts;
	if (!(sources = mail_grow(m, m->sources, n, sizeof *sources)))
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
	if (!mail_is_open(m))
		return;
	m->is_finished = true;
	m->finished = (struct source){ .data = { data, n }, .size = n };
}

void
ph_message_file(ph_mail *m, const char *path)
{
	struct str copy = S("");

	if (!mail_is_open(m) || !mail_keep(m, str_of(path), &copy))
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
	if (!mail_is_open(m))
		return;
	if (notify > 15 || (notify & PH_NOTIFY_NEVER && notify != PH_NOTIFY_NEVER))
		mail_fail(m, "notify: NEVER stands alone");
	else
		m->notify = notify;
}

void
ph_return_full(ph_mail *m, bool full)
{
	if (mail_is_open(m))
		m->ret = full ? 'F' : 'H';
}

void
ph_envelope_id(ph_mail *m, const char *id)
{
	char octets[301]; /* RFC 3461 §5.4 has 100 characters, each as three */
	struct buf xtext = { .p = octets, .capacity = sizeof octets, .max = sizeof octets - 1 };

	if (!mail_is_open(m))
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
	if (mail_is_open(m))
		m->requires_tls = true;
}

void
ph_hold_for(ph_mail *m, uint64_t seconds)
{
	if (!mail_is_open(m))
		return;
	if (seconds > HOLD_MAX_S)
		mail_fail(m, "hold: more than %u seconds", HOLD_MAX_S);
	else
		m->hold_s = seconds;
}
