/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <time.h>

#include "base/codec.h"
#include "base/hash.h"
#include "message/message.h"

/* A mail before it is sent: its envelope and the plan of its message. */

/* ── the envelope ── */

static int
compare_recipients(const void *left, const void *right)
{
	struct str a = (*(struct recipient *const *)left)->address;
	struct str b = (*(struct recipient *const *)right)->address;
	int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	if (order == 0 && a.n != b.n)
		order = a.n < b.n ? -1 : 1;
	if (order)
		return order;
	return *(struct recipient *const *)left < *(struct recipient *const *)right ? -1 : 1;
}

/* Who was named twice gets one mail, at the first place. */
static bool
drop_doubles(struct ph_mail *m)
{
	struct recipient **sorted =
		memory_resize(&m->memory, NULL, m->recipients_n * sizeof(struct recipient *));
	size_t kept = 0;

	if (!sorted)
		return mail_no_memory(m);
	for (size_t i = 0; i < m->recipients_n; i++)
		sorted[i] = &m->recipients[i];
	qsort(sorted, m->recipients_n, sizeof(struct recipient *), compare_recipients);
	for (size_t i = 1, first = 0; i < m->recipients_n; i++)
		if (str_eq(sorted[i]->address, sorted[first]->address))
			sorted[i]->said = S("");
		else
			first = i;
	for (size_t i = 0; i < m->recipients_n; i++)
		if (m->recipients[i].said.n)
			m->recipients[kept++] = m->recipients[i];
	m->recipients_n = kept;
	memory_release(&m->memory, sorted);
	return true;
}

/* "rfc822;bob@example.net", by which reports name who was meant (RFC 3461 §4.2). */
static bool
orcpt(struct ph_mail *m, struct str address, struct str *to)
{
	char octets[4 * ADDRESS_PATH_MAX];
	struct buf text = { .p = octets, .capacity = sizeof octets, .max = sizeof octets };

	buf_add(&text, S("rfc822;"));
	codec_add_xtext(&text, address);
	return text.overflow || !str_is_ascii(address) || mail_keep(m, buf_str(&text), to);
}

static bool
write_envelope(struct ph_mail *m)
{
	size_t n = m->recipients_n;

	if (m->is_finished && !m->has_return_path && m->return_path.n == 0)
		return mail_fail(m, "a finished message needs ph_return_path; \"\" means nobody");
	if (n == 0)
		return mail_fail(m, "it has no recipient");
	if (!drop_doubles(m))
		return false;
	memory_release(&m->memory, m->wire);
	memory_release(&m->memory, m->outcomes);
	memory_release(&m->memory, m->dsn);
	m->wire = memory_take(&m->memory, n * sizeof *m->wire);
	m->outcomes = memory_take(&m->memory, n * sizeof *m->outcomes);
	m->dsn = memory_take(&m->memory, n * sizeof *m->dsn);
	if (!m->wire || !m->outcomes || !m->dsn)
		return mail_no_memory(m);
	for (size_t i = 0; i < m->recipients_n; i++) {
		m->wire[i] = m->recipients[i].address;
		m->dsn[i].notify = (uint8_t)m->notify;
		if (m->notify && !orcpt(m, m->wire[i], &m->dsn[i].orcpt))
			return false;
	}
	return true;
}

/* ── the message ── */

/* 128 bits that nobody can guess, as letters and digits. */
static struct str
random_word(char text[MAIL_ID_TEXT])
{
	struct mail_id id;

	hash_random(&id, sizeof id);
	return str_of(mail_id_text(id, text));
}

static void
choose_message_id(struct ph_mail *m)
{
	struct str from = m->return_path, name, domain;
	char id[MAIL_ID_TEXT];
	size_t at;

	if (from.n == 0)
		mailbox_split(m->compose.from, &name, &from);
	at = from.n;
	while (at > 0 && from.p[at - 1] != '@')
		at--;
	domain = str_from(from, at);
	if (at == 0 || !domain_is_valid(domain, false))
		domain = S("localhost");
	random_word(id);
	snprintf(m->message_id, sizeof m->message_id, "%s@%.*s", id, STR_ARG(domain));
}

static bool
compose(struct ph_mail *m)
{
	struct compose *c = &m->compose;
	char boundary[MAIL_ID_TEXT];
	struct data facts;

	if (c->from.n == 0)
		return mail_fail(m, "it has no From");
	if (!m->message_id[0])
		choose_message_id(m);
	c->message_id = str_of(m->message_id);
	c->boundary = random_word(boundary);
	if (!m->has_date)
		c->unix_seconds = time(NULL);
	c->to = m->to.p, c->to_n = m->to.n;
	c->cc = m->cc.p, c->cc_n = m->cc.n;
	c->reply_to = m->reply_to.p, c->reply_to_n = m->reply_to.n;
	c->fields = m->fields;
	c->parts = m->parts;
	for (size_t i = 0; i < c->parts_n; i++)
		if (str_starts_nocase(m->parts[i].type, S("message/rfc822"))) {
			if (!source_scan(m, &m->sources[i], &facts))
				return false;
			m->parts[i].is_plain = !facts.has_8bit && !facts.has_nul &&
					       !facts.has_long_line && !facts.has_bare_line_end;
		}
	compose_free(&m->plan);
	m->plan.memory = &m->memory;
	if (!compose_plan(&m->plan, c, &m->error))
		return false;
	m->size = m->plan.size;
	m->has_8bit = m->plan.needs_smtputf8;
	return true;
}

/* What would be written into a finished message would be lost. */
static bool
finished(struct ph_mail *m)
{
	const struct compose *c = &m->compose;

	if (c->has_text || c->has_html || c->parts_n || c->fields_n || c->subject.n)
		return mail_fail(m, "a finished message takes no subject, no other field, no text "
				    "and no attachment");
	return body_measure(m);
}

bool
mail_prepare_message(struct ph_mail *m)
{
	if (m->is_prepared || err_is(&m->error))
		return !err_is(&m->error);
	m->is_prepared = m->is_finished ? finished(m) : compose(m);
	return m->is_prepared;
}

bool
mail_prepare(struct ph_mail *m)
{
	bool is_good = mail_prepare_message(m);

	m->has_envelope = is_good && (m->has_envelope || write_envelope(m));
	if (!m->has_envelope)
		result_refuse(m, m->error.text);
	return m->has_envelope;
}

size_t
ph_keep_unsent(ph_mail *m)
{
	size_t kept = 0;

	if (mail_is_underway(m)) {
		mail_fail(m, "changed while it was being sent");
		return 0;
	}
	for (size_t i = 0; i < m->recipients_n; i++)
		if (!result_is_there(&m->recipients[i].result))
			m->recipients[kept++] = m->recipients[i];
	m->recipients_n = kept;
	m->has_envelope = false; /* the message stays what it was, to the last octet */
	return kept;
}
