/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include "message/message.h"

/* What became of a mail's recipients, and what its sender can do about it. */

void
result_clear(struct recipient *r)
{
	r->result = (struct ph_result){ .address = r->address.p,
		.status = PH_UNDERWAY,
		.enhanced = "",
		.text = "",
		.stage = "",
		.advice = "" };
}

void
result_begin(struct ph_mail *m)
{
	arena_free(&m->answers);
	for (size_t i = 0; i < m->recipients_n; i++) {
		m->outcomes[i] = (struct smtp_outcome){ 0 };
		result_clear(&m->recipients[i]);
	}
}

/* ── advice ── */

/* What cannot be put down to the recipient, by where it went wrong. */
static const struct advice {
	enum err_kind kind;
	const char *text;
} advices[] = {
	{ ERR_CONNECT, "Check that the server runs, that this is its place, and that it can be "
		       "reached from here." },
	{ ERR_CONNECTION_LOST,
		"Try again in a while; if it stays so, ask whoever runs the server." },
	{ ERR_TIMEOUT, "Try again in a while; if it stays so, give it more patience, or ask "
		       "whoever runs the server." },
	{ ERR_PROTOCOL, "Check the server's name and port: what answers there does not speak this "
			"protocol." },
	{ ERR_DNS, "Check the server's name, and that this machine is online." },
	{ ERR_DOMAIN_UNKNOWN, "Check the server's name: there is none like it." },
	{ ERR_TLS, "Make sure that this is the right server. Only then name its authority, or "
		   "allow less than a verified "
		   "encryption." },
	{ ERR_LOGIN_REFUSED,
		"Check the user and the password, and which ways to log in the server offers." },
	{ ERR_LOCAL, "Look after what is named here, and send it again." },
	{ ERR_TOO_BIG, "Send a smaller message, or a link in place of an attachment." },
	{ ERR_NEEDS_SMTPUTF8, "Use an address in ASCII, or a server that takes others." },
	{ ERR_NEEDS_CHUNKING, "Break the message's lines, or send it as an attachment." },
	{ ERR_SWITCHED_OFF, "Use a server that offers this, or do without." },
};

static const char *
advise(const struct smtp_outcome *o)
{
	const struct err *e = &o->err;
	enum err_kind kind = o->stage == STAGE_TLS && e->kind == ERR_PROTOCOL ? ERR_TLS : e->kind;

	if (!err_is(e))
		return "";
	if (e->kind == ERR_REMOTE) {
		struct enhanced code = e->enhanced;

		if (o->stage == STAGE_AUTH)
			return "Check the user and the password.";
		if (!code.class)
			code.class = e->code / 100;
		return dsn_explain(code, str_of(e->text), DSN_ENGLISH).for_sender.p;
	}
	for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++)
		if (advices[i].kind == kind)
			return advices[i].text;
	return "Send it another way, or ask whoever runs the server.";
}

/* ── results ── */

/* What cannot be kept is not worth losing the result for. */
static const char *
keep(struct ph_mail *m, struct str text)
{
	size_t most = 4 * text.n; /* each octet as \xHH */
	char *p = arena_take(&m->answers, most + 1);
	struct buf clean = { .p = p, .capacity = most, .max = most };

	if (p)
		text_add(&clean, text);
	return p ? p : "";
}

void
result_refuse(struct ph_mail *m, const char *why)
{
	const char *text = keep(m, str_of(why));

	for (size_t i = 0; i < m->recipients_n; i++) {
		struct recipient *r = &m->recipients[i];

		if (result_is_there(&r->result))
			continue;
		result_clear(r);
		r->result.status = PH_INVALID;
		r->result.text = text;
		r->result.advice = "Mend what is wrong, and send it then.";
	}
}

static enum ph_status
status_of(const struct smtp_outcome *o)
{
	static const enum ph_status statuses[] = {
		[ERR_NONE] = PH_SENT, [ERR_TEMPORARY] = PH_LATER, [ERR_PERMANENT] = PH_REFUSED
	};

	return o->may_be_delivered && err_is(&o->err) ? PH_UNSURE : statuses[o->err.class];
}

/* It has a field of its own. */
static const char *
without_code(const char *words, const char *code)
{
	size_t n = strlen(code);

	if (n == 0 || strncmp(words, code, n) != 0)
		return words;
	return words + n + strspn(words + n, " ");
}

void
result_note(struct ph_mail *m, size_t begin, size_t end, struct str words)
{
	const char *common = keep(m, words);

	for (size_t i = begin; i < end; i++) {
		const struct smtp_outcome *o = &m->outcomes[i];
		struct recipient *r = &m->recipients[i];
		const struct enhanced *n = &o->err.enhanced;

		if (!o->is_settled)
			continue;
		r->result.status = status_of(o);
		r->result.code = o->err.code;
		r->result.stage = smtp_stage_name(o->stage);
		r->result.advice =
			r->result.status == PH_UNSURE
				? "Ask the recipient whether it came, before you send it again."
				: advise(o);
		if (n->class) {
			char code[20];

			snprintf(code, sizeof code, "%u.%u.%u", n->class, n->subject, n->detail);
			r->result.enhanced = keep(m, str_of(code));
		}
		r->result.text = err_is(&o->err) ? keep(m, str_of(o->err.text))
						 : without_code(common, r->result.enhanced);
	}
}

void
result_settle_rest(struct ph_mail *m, const struct err *e, enum smtp_stage stage)
{
	for (size_t i = 0; i < m->recipients_n; i++)
		if (m->recipients[i].result.status == PH_UNDERWAY) {
			m->outcomes[i] = (struct smtp_outcome){ *e, stage, true };
			result_note(m, i, i + 1, S(""));
		}
}

bool
result_is_settled(const struct ph_mail *m)
{
	return m->recipients_n && m->recipients[0].result.status != PH_UNDERWAY;
}

bool
result_is_there(const struct ph_result *r)
{
	return r->status == PH_SENT || r->status == PH_UNSURE;
}

bool
result_may_be_there(const struct ph_mail *m)
{
	for (size_t i = 0; i < m->recipients_n; i++)
		if (result_is_there(&m->recipients[i].result))
			return true;
	return false;
}

enum ph_status
result_status(const struct ph_mail *m)
{
	size_t counts[PH_UNDERWAY + 1] = { 0 };

	for (size_t i = 0; i < m->recipients_n; i++)
		counts[m->recipients[i].result.status]++;
	if (counts[PH_SENT] == m->recipients_n)
		return PH_SENT;
	if (counts[PH_UNSURE])
		return PH_UNSURE;
	if (counts[PH_SENT])
		return PH_PARTLY;
	return counts[PH_LATER] ? PH_LATER : PH_REFUSED;
}

size_t
ph_results(const ph_mail *m)
{
	return m->recipients_n;
}

const struct ph_result *
ph_result(const ph_mail *m, size_t i)
{
	return i < m->recipients_n ? &m->recipients[i].result : NULL;
}

const char *
ph_status_name(enum ph_status status)
{
	static const char *const names[] = { [PH_SENT] = "sent",
		[PH_PARTLY] = "partly",
		[PH_REFUSED] = "refused",
		[PH_LATER] = "later",
		[PH_UNSURE] = "unsure",
		[PH_INVALID] = "invalid",
		[PH_UNDERWAY] = "under way" };

	return (size_t)status < sizeof names / sizeof names[0] ? names[status] : "unknown";
}

const char *
ph_mail_id(const ph_mail *m)
{
	return m->message_id;
}

const char *
ph_mail_sender(const ph_mail *m)
{
	return m->return_path.n ? m->return_path.p : "";
}

uint64_t
ph_mail_size(const ph_mail *m)
{
	return m->size;
}

const char *
ph_version(void)
{
	return POSTHOUSE_VERSION;
}
