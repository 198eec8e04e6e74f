/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "base/codec.h"
#include "message/message.h"
#include "smtp/address.h"
#include "smtp/data.h"

/* A mail as its writer builds it. The first error sticks (fail), and everything behind it does nothing. */

static bool
fail(struct ph_mail *m, const char *what, const char *detail)
{
	if (!err_is(&m->error))
		err_set(&m->error, ERR_PERMANENT, ERR_OTHER, "%s%s%.120s", what,
			*detail ? ": " : "", detail);
	return false;
}

/* ph_memory and struct memory are the same words. */
static const struct memory *
memory_of(const struct ph_memory *memory)
{
	return (const void *)memory;
}

ph_mail *
ph_mail_new_in(const struct ph_memory *memory)
{
	struct ph_mail *m = memory_take(memory_of(memory), sizeof *m);

	if (!m)
		return NULL;
	m->memory = memory;
	m->arena = (struct arena){ .max = CLIENT_MAIL_MEMORY_MAX, .memory = memory_of(memory) };
	m->finished_octets = (struct buf){ .max = CLIENT_MESSAGE_MAX, .memory = memory_of(memory) };
	m->plan.memory = memory_of(memory);
	return m;
}

ph_mail *
ph_mail_new(void)
{
	return ph_mail_new_in(NULL);
}

void
ph_mail_free(ph_mail *m)
{
	const struct memory *memory;

	if (!m)
		return;
	memory = memory_of(m->memory);
	compose_free(&m->plan);
	buf_free(&m->finished_octets);
	memory_release(memory, m->recipients);
	memory_release(memory, m->to);
	memory_release(memory, m->wire);
	memory_release(memory, m->outcomes);
	arena_free(&m->arena);
	memory_release(memory, m);
}

const char *
ph_mail_error(const ph_mail *m)
{
	return err_is(&m->error) ? m->error.text : NULL;
}

/* A copy that ends in NUL. */
static bool
keep(struct ph_mail *m, struct str text, struct str *copy)
{
	char *p = arena_take(&m->arena, text.n + 1);

	if (!p)
		return fail(m, "the mail is too large for its memory", "");
	if (text.n)
		memcpy(p, text.p, text.n);
	*copy = (struct str){ p, text.n };
	return true;
}

static void *
grow(struct ph_mail *m, void *p, size_t n, size_t *room, size_t size)
{
	size_t want = *room ? 2 * *room : 8;
	void *grown;

	if (n < *room)
		return p;
	grown = memory_resize(memory_of(m->memory), p, want * size);
	if (!grown) {
		fail(m, "no memory", "");
		return NULL;
	}
	*room = want;
	return grown;
}

/* ── who ── */

/* "Bob <bob@example.org>" or "bob@example.org" → bob@example.org as on the wire. */
static bool
wire_form(struct ph_mail *m, struct str mailbox, struct str *wire)
{
	struct buf text = { .max = 2 * ADDRESS_PATH_MAX };
	struct str name, address_text;
	struct address address;
	bool ok;

	mailbox_split(mailbox, &name, &address_text);
	if (address_parse(address_text, &m->arena, true, &address) != ADDRESS_OK)
		return fail(m, "not an address", mailbox.p);
	address_add(&text, address);
	ok = !text.overflow && keep(m, buf_str(&text), wire);
	m->needs_utf8 = m->needs_utf8 || !str_is_ascii(*wire);
	buf_free(&text);
	return ok;
}

static void
add_recipient(struct ph_mail *m, struct str mailbox)
{
	struct recipient *grown =
		grow(m, m->recipients, m->recipients_n, &m->recipients_room, sizeof *grown);
	struct str wire;

	if (!grown)
		return;
	m->recipients = grown;
	if (wire_form(m, mailbox, &wire))
		m->recipients[m->recipients_n++] = (struct recipient){ .address = wire };
}

void
ph_from(ph_mail *m, const char *mailbox)
{
	if (err_is(&m->error) || !keep(m, str_of(mailbox), &m->compose.from))
		return;
	if (!m->has_return_path)
		wire_form(m, m->compose.from, &m->return_path);
}

void
ph_to(ph_mail *m, const char *mailboxes)
{
	struct str *grown;

	if (err_is(&m->error))
		return;
	grown = grow(m, m->to, m->compose.to_n, &m->to_room, sizeof *grown);
	if (!grown || !keep(m, str_of(mailboxes), &grown[m->compose.to_n]))
		return;
	m->to = grown;
	add_recipient(m, grown[m->compose.to_n++]);
}

void
ph_return_path(ph_mail *m, const char *address)
{
	if (err_is(&m->error))
		return;
	m->has_return_path = true;
	m->return_path = S("");
	if (*address)
		wire_form(m, str_of(address), &m->return_path);
}

void
ph_recipient(ph_mail *m, const char *address)
{
	if (!err_is(&m->error))
		add_recipient(m, str_of(address));
}

/* ── what ── */

void
ph_subject(ph_mail *m, const char *subject)
{
	if (!err_is(&m->error))
		keep(m, str_of(subject), &m->compose.subject);
}

void
ph_text(ph_mail *m, const char *text)
{
	if (!err_is(&m->error))
		m->compose.has_text = keep(m, str_of(text), &m->compose.text);
}

void
ph_message_data(ph_mail *m, const void *data, size_t n)
{
	m->is_finished = true;
	m->finished.data = (struct str){ data, n };
}

/* ── before it is sent ── */

/* Line ends become CRLF, and what the envelope must say of the message is noted. */
static bool
take_finished(struct ph_mail *m)
{
	struct str rest = m->finished.data, piece;
	struct buf *to = &m->finished_octets;
	struct data data;

	data_begin(&data, false, true);
	while (data_next(&data, &rest, &piece) == DATA_PIECE)
		buf_add(to, piece);
	if (data_finish(&data, &piece))
		buf_add(to, piece);
	if (to->overflow)
		return fail(m, "the message is larger than anyone takes", "");
	m->has_8bit = data.has_8bit;
	m->needs_chunking = data.has_nul || data.has_long_line;
	m->size = to->n;
	return true;
}

static bool
compose(struct ph_mail *m)
{
	char host[200], id[MAIL_ID_TEXT];

	if (gethostname(host, sizeof host - 1) < 0 || !domain_is_valid(str_of(host), false))
		snprintf(host, sizeof host, "localhost");
	snprintf(m->message_id, sizeof m->message_id, "%s@%s", mail_id_text(mail_id_random(), id),
		host);
	m->compose.message_id = str_of(m->message_id);
	m->compose.unix_seconds = time(NULL);
	m->compose.to = m->to;
	if (!compose_plan(&m->plan, &m->compose, &m->error))
		return false;
	m->size = m->plan.size;
	return true;
}

bool
mail_prepare(struct ph_mail *m)
{
	if (m->is_prepared || err_is(&m->error))
		return !err_is(&m->error);
	if (m->recipients_n == 0)
		return fail(m, "to whom?", "");
	m->is_prepared = m->is_finished ? take_finished(m) : compose(m);
	return m->is_prepared;
}

bool
ph_mail_write(ph_mail *m, bool (*write)(void *context, const char *octets, size_t n), void *context)
{
	struct compose_reader *reader;
	struct str piece;
	bool ok = true;

	if (!mail_prepare(m))
		return false;
	if (m->is_finished)
		return write(context, m->finished_octets.p, m->finished_octets.n);
	reader = memory_take(memory_of(m->memory), sizeof *reader);
	if (!reader)
		return fail(m, "no memory", "");
	for (compose_begin(reader, &m->plan); ok && compose_next(reader, &piece) == COMPOSE_PIECE;)
		ok = write(context, piece.p, piece.n);
	memory_release(memory_of(m->memory), reader);
	return ok;
}

const char *
ph_mail_id(const ph_mail *m)
{
	return m->message_id;
}

/* ── what became of it ── */

void
mail_begin_results(struct ph_mail *m)
{
	size_t n = m->recipients_n;

	if (!m->wire) {
		m->wire = memory_take(memory_of(m->memory), n * sizeof *m->wire);
		m->outcomes = memory_take(memory_of(m->memory), n * sizeof *m->outcomes);
	}
	for (size_t i = 0; i < n; i++) {
		m->wire[i] = m->recipients[i].address;
		m->outcomes[i] = (struct smtp_outcome){ 0 };
		m->recipients[i].result = (struct ph_result){ .address = m->wire[i].p,
			.status = PH_UNDERWAY,
			.enhanced = "",
			.text = "",
			.stage = "",
			.advice = "" };
	}
}

void
mail_note_outcomes(
	struct ph_mail *m, size_t begin, size_t end, struct str words, bool may_be_delivered)
{
	static const enum ph_status statuses[] = {
		[ERR_NONE] = PH_SENT, [ERR_TEMPORARY] = PH_LATER, [ERR_PERMANENT] = PH_REFUSED
	};

	for (size_t i = begin; i < end; i++) {
		const struct smtp_outcome *o = &m->outcomes[i];
		struct recipient *r = &m->recipients[i];
		struct str text = err_is(&o->err) ? str_of(o->err.text) : words, copy;

		r->result.status = may_be_delivered && o->err.class == ERR_TEMPORARY &&
						   o->stage == STAGE_END && !o->err.code
					   ? PH_UNSURE
					   : statuses[o->err.class];
		r->result.code = o->err.code;
		r->result.stage = smtp_stage_name(o->stage);
		if (keep(m, text, &copy))
			r->result.text = copy.p;
		if (o->err.enhanced.class)
			snprintf(r->enhanced, sizeof r->enhanced, "%u.%u.%u", o->err.enhanced.class,
				o->err.enhanced.subject, o->err.enhanced.detail);
		r->result.enhanced = r->enhanced;
	}
}

void
mail_settle_rest(struct ph_mail *m, const struct err *e, enum smtp_stage stage)
{
	for (size_t i = 0; i < m->recipients_n; i++)
		if (m->recipients[i].result.status == PH_UNDERWAY) {
			m->outcomes[i] = (struct smtp_outcome){ *e, stage, true };
			mail_note_outcomes(m, i, i + 1, S(""), false);
		}
}

enum ph_status
mail_status(const struct ph_mail *m)
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

	return names[status];
}

const char *
ph_version(void)
{
	return POSTHOUSE_VERSION;
}
