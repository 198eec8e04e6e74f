/* SPDX-License-Identifier: Apache-2.0 */
#include "role/receive/filter.h"
#include "role/receive/gate.h"

#include "base/log.h"
#include "base/must.h"

/*
 * A message while content filters look at it. It is held in memory, header and body apart, and becomes a draft of the
 * spool only when the last filter has spoken: so each filter sees what those before it made of the message, and one that
 * dies in the middle of its changes has changed nothing.
 *
 *   filter_append: pieces as they come ─▶ filter_split: header │ body ─▶ filter_amend, once a filter ─▶ filter_fill
 *
 * What all sessions hold so, with what filters want changed while they say it, is at most limits.memory: above it a mail
 * is answered with 452, and a filter counts as not asked. Strangers have half of it, a network of theirs an eighth, so
 * that none of them takes the place of the others, and all together not that of who is trusted or logged in; but for
 * one message there is place, where no other is held. Not in it: what a connection buffers of a packet (milter.c).
 */

enum {
	HEADER_MAX = 1024 * 1024, /* octets; also what a filter may make of it */
	HEADER_ADDED_MAX = 4096,  /* by us: Date, Message-ID */
	SLICE = 1024 * 1024,	  /* octets of a body that go to the draft in one turn */
	STRANGERS_PART = 2,	  /* limits.memory by this is what all strangers may hold … */
	NETWORK_PART = 8,	  /* … and those of one network */
};

/* What the strangers of one network hold, as long as there is any of them. */
struct holder {
	char octets[MANNERS_KEY];
	struct str key; /* in `octets` */
	unsigned users;
	uint64_t held;
};

static struct str
holder_key(const void *member)
{
	return ((const struct holder *)member)->key;
}

static struct holder *
holder_use(struct receive *r, const struct config_network *at)
{
	char octets[MANNERS_KEY];
	struct holder *h;

	r->holders.key_of = holder_key;
	h = map_get(&r->holders, manners_key(at, MANNERS_NETWORK, octets));
	if (!h) {
		h = calloc(1, sizeof *h);
		must(h);
		h->key = manners_key(at, MANNERS_NETWORK, h->octets);
		map_put(&r->holders, h);
	}
	h->users++;
	return h;
}

static void
holder_drop(struct receive *r, struct holder *h)
{
	if (--h->users > 0)
		return;
	map_remove(&r->holders, h->key);
	free(h);
}

static bool
has_room(const struct filters *f, uint64_t more)
{
	const struct receive *r = f->session->house;
	const struct config *c = &r->role.config;
	uint64_t strangers_most = c->limits.memory / STRANGERS_PART;
	bool is_alone;

	if (r->held + more > c->limits.memory)
		return false;
	if (!f->holder)
		return true;
	if (strangers_most < c->limits.message + HEADER_MAX)
		strangers_most = c->limits.message + HEADER_MAX;
	is_alone = f->holder->held == f->held;
	return r->held_by_strangers + more <= strangers_most &&
	       (is_alone || f->holder->held + more <= c->limits.memory / NETWORK_PART);
}

/* This mail holds so much, from now on. */
static void
hold(struct filters *f, uint64_t now)
{
	struct receive *r = f->session->house;

	r->held += now - f->held;
	if (f->holder) {
		r->held_by_strangers += now - f->held;
		f->holder->held += now - f->held;
	}
	f->held = now;
}

bool
filter_hold(struct filters *f, uint64_t more)
{
	uint64_t now = more + f->text.n + f->header.n + f->new_body.n;

	for (size_t i = 0; i < f->n; i++)
		now += f->links[i].milter.changes.n + f->links[i].milter.new_body.n;
	if (!f->holder && gate_is_stranger(f->session))
		f->holder = holder_use(f->session->house, &f->session->at);
	if (now > f->held && !has_room(f, now - f->held))
		return false;
	hold(f, now);
	return true;
}

void
filter_release(struct filters *f)
{
	for (size_t i = 0; i < f->n; i++) {
		buf_free(&f->links[i].milter.changes);
		buf_free(&f->links[i].milter.new_body);
	}
	hold(f, 0);
	if (f->holder)
		holder_drop(f->session->house, f->holder);
	f->holder = NULL;
	buf_free(&f->text);
	buf_free(&f->header);
	buf_free(&f->new_body);
	buf_reset(&f->new_sender);
	f->body = (struct str){ 0 };
	f->flags = 0;
	f->filled = 0;
	f->discards = f->quarantines = f->is_split = f->is_judged = false;
	f->has_new_sender = f->has_separator = f->is_filling = false;
}

static bool
no_memory(struct err *e)
{
	return err_set(e, ERR_TEMPORARY, ERR_NO_SPACE,
		"no memory left for more mail at once, please try again");
}

bool
filter_append(struct session *s, struct str piece, struct err *e)
{
	struct filters *f = s->filters;

	if (f->discards)
		return true;
	if (!filter_hold(f, piece.n))
		return no_memory(e);
	buf_add(&f->text, piece);
	must(!f->text.overflow); /* the server's limit is lower */
	return true;
}

/* The filters see the fields that we add to what people hand in: a signature shall cover them. */
bool
filter_split(struct filters *f, const struct header_facts *facts, struct err *e)
{
	struct str text = buf_str(&f->text), rest = text;
	struct header_field field;
	size_t header_n, before;

	f->is_split = true;
	f->header.max = HEADER_MAX + HEADER_ADDED_MAX;
	trace_add_missing(&f->header, f->session, facts, loop_wall_ms());
	for (before = rest.n; facts->begins_with_field && header_next(&rest, &field);)
		before = rest.n;
	header_n = text.n - before;
	f->has_separator = rest.n < before || !facts->begins_with_field;
	f->body = rest;
	if (header_n > HEADER_MAX)
		return err_set(
			e, ERR_PERMANENT, ERR_TOO_BIG, "the header of this message is too large");
	buf_add(&f->header, str_part(text, 0, header_n));
	return filter_hold(f, 0) || no_memory(e);
}

/* ── the draft ── */

static void
fill_on(void *owner)
{
	struct filters *f = owner;

	session_run(f->session);
}

enum turn
filter_fill(struct filters *f, struct err *e)
{
	struct session *s = f->session;
	struct str slice;

	if (!f->is_filling && (!draft_append(s->draft, buf_str(&f->header), e) ||
				      (f->has_separator && !draft_append(s->draft, S("\r\n"), e))))
		return NEXT;
	slice = str_part(f->body, f->filled, SLICE);
	f->filled += slice.n;
	f->is_filling = f->filled < f->body.n;
	if (slice.n && !draft_append(s->draft, slice, e))
		f->is_filling = false;
	if (!f->is_filling)
		return NEXT;
	if (!f->pause)
		f->pause = loop_timer_open(s->house->role.loop, fill_on, f);
	loop_timer_set(f->pause, 0);
	return WAIT;
}

void
filter_amend_envelope(const struct session *s, struct spool_envelope *envelope)
{
	const struct filters *f = s->filters;

	if (f->has_new_sender)
		envelope->reverse_path = buf_str(&f->new_sender);
	if (f->quarantines)
		envelope->flags |= SPOOL_QUARANTINED;
	envelope->flags |= f->flags;
}

/* ── changes ── */

static void
log_change(const struct filter_link *l, const char *what, struct str detail)
{
	log_event("filtered", "id=%s filter=%s did=%s what=%s", l->of->id_text,
		log_quote(str_of(l->name)), what, log_quote(detail));
}

static void
log_ignored(const struct filter_link *l, const char *why, struct str detail)
{
	log_event("filter-ignored", "id=%s filter=%s why=%s what=%s", l->of->id_text,
		log_quote(str_of(l->name)), log_quote(str_of(why)), log_quote(detail));
}

/* What a filter wrote, with sound line ends; notes what the next host must be able to take. */
static void
add_sound(struct buf *to, struct str in, uint32_t *flags)
{
	struct data d;
	struct str piece;

	data_begin(&d, false, true);
	while (data_next(&d, &in, &piece) == DATA_PIECE)
		buf_add(to, piece);
	if (data_finish(&d, &piece))
		buf_add(to, piece);
	*flags |= (d.has_8bit ? SPOOL_8BIT : 0u) |
		  (d.has_nul || d.has_long_line ? SPOOL_NEEDS_CHUNKING : 0u);
}

static bool
name_is_sound(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f || name.p[i] == ':')
			return false;
	return name.n > 0;
}

/* A field with its value; lines behind the first begin with a blank, so that a value can neither begin another field nor end
 * the header. */
static void
add_field(struct buf *to, const struct milter_change *c, uint32_t *flags)
{
	struct buf text = { .max = HEADER_MAX };
	struct str rest = c->value, line;
	bool more = true;

	buf_add(&text, c->name);
	buf_add_char(&text, ':');
	for (bool is_first = true; more; is_first = false) {
		more = str_cut(rest, '\n', &line, &rest);
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (!is_first && str_trim(line).n == 0)
			continue; /* an empty line */
		if (!is_first)
			buf_add(&text, S("\r\n"));
		if (!is_first && line.p[0] != ' ' && line.p[0] != '\t')
			buf_add_char(&text, '\t');
		for (size_t i = 0; i < line.n; i++)
			buf_add_char(&text, line.p[i] == '\r' ? ' ' : line.p[i]);
	}
	buf_add(&text, S("\r\n"));
	add_sound(to, buf_str(&text), flags);
	to->overflow |= text.overflow;
	buf_free(&text);
}

/* Where the index-th field of this name (empty: of any) begins and ends, from 1. False: there are not so many. */
static bool
find_field(struct str header, struct str name, uint32_t index, size_t *begin, size_t *end)
{
	struct str rest = header;
	struct header_field field;

	for (*begin = 0; header_next(&rest, &field); *begin = *end) {
		*end = header.n - rest.n;
		if ((name.n == 0 || str_eq_nocase(field.name, name)) && index-- <= 1)
			return true;
	}
	return false;
}

/* Octets begin … end of the header give way to the field (empty value: to nothing). False: it would be too large. */
static bool
replace_field(struct filters *f, size_t begin, size_t end, const struct milter_change *c)
{
	struct buf fresh = { .max = f->header.max };
	struct str header = buf_str(&f->header);
	uint32_t flags = 0;

	buf_add(&fresh, str_part(header, 0, begin));
	if (c)
		add_field(&fresh, c, &flags);
	buf_add(&fresh, str_from(header, end));
	if (fresh.overflow) {
		buf_free(&fresh);
		return false;
	}
	buf_free(&f->header);
	f->header = fresh;
	f->flags |= flags;
	return true;
}

static void
amend_header(struct filter_link *l, const struct milter_change *c)
{
	struct filters *f = l->of;
	size_t begin = f->header.n, end = begin;
	const struct milter_change *field = c;
	const char *did = "header-added";

	if (!name_is_sound(c->name)) {
		log_ignored(l, "not a name of a header field", c->name);
		return;
	}
	if (c->kind == MILTER_INSERT_HEADER) {
		/* Ours, Received, stays before all others. */
		if (!find_field(buf_str(&f->header), S(""), c->index, &begin, &end))
			begin = f->header.n;
		end = begin;
	} else if (c->kind == MILTER_CHANGE_HEADER) {
		bool is_there = find_field(buf_str(&f->header), c->name, c->index, &begin, &end);

		field = c->value.n ? c : NULL;
		if (!is_there && !field)
			return;
		did = !field ? "header-removed" : is_there ? "header-changed" : did;
		if (!is_there)
			begin = end = f->header.n;
	}
	if (replace_field(f, begin, end, field))
		log_change(l, did, c->name);
	else
		log_ignored(l, "the header would become too large", c->name);
}

/* A path as a filter writes it, as it goes into an envelope. */
static bool
read_path(struct str text, bool allow_null, struct arena *arena, struct address *a)
{
	text = str_trim(text);
	return address_scan_path(&text, arena, allow_null, true, a) == ADDRESS_OK && text.n == 0;
}

static void
add_recipient(struct filter_link *l, struct address a)
{
	struct session *s = l->of->session;
	struct str packed = buf_str(&s->recipients), one;
	struct buf text = { .max = 2 * ADDRESS_PATH_MAX };

	address_add(&text, a);
	while (codec_scan_str(&packed, &one))
		if (str_eq(one, buf_str(&text)))
			goto done; /* has it already */
	if (!admit_may_relay(s) && !config_domain(&s->house->role.config, a.domain))
		log_ignored(l, "mail of strangers goes to no other house", buf_str(&text));
	else if (!admit_add_recipient(s, a, 0, S("")))
		log_ignored(l, "no more recipients fit in this mail", buf_str(&text));
	else
		log_change(l, "recipient-added", buf_str(&text));
done:
	buf_free(&text);
}

static void
delete_recipient(struct filter_link *l, struct address a)
{
	struct session *s = l->of->session;
	struct buf recipients = { .max = s->recipients.max }, dsn = { .max = s->dsn.max },
		   text = { .max = 2 * ADDRESS_PATH_MAX };
	struct str packed = buf_str(&s->recipients), wishes = buf_str(&s->dsn), one, orcpt;
	uint32_t left = 0;
	uint8_t notify;

	address_add(&text, a);
	while (codec_scan_str(&packed, &one) && spool_scan_dsn(&wishes, &notify, &orcpt)) {
		if (str_eq_nocase(one, buf_str(&text)))
			continue;
		codec_add_str(&recipients, one);
		spool_add_dsn(&dsn, notify, orcpt);
		left++;
	}
	if (left < s->recipients_n)
		log_change(l, "recipient-removed", buf_str(&text));
	buf_free(&s->recipients);
	buf_free(&s->dsn);
	s->recipients = recipients;
	s->dsn = dsn;
	s->recipients_n = left;
	buf_free(&text);
}

static void
amend_envelope(struct filter_link *l, const struct milter_change *c)
{
	struct filters *f = l->of;
	struct arena arena = { .max = 4096 };
	struct address a;

	if (!read_path(c->value, c->kind == MILTER_CHANGE_SENDER, &arena, &a)) {
		log_ignored(l, "not an address", c->value);
	} else if (c->kind == MILTER_ADD_RECIPIENT) {
		add_recipient(l, a);
	} else if (c->kind == MILTER_DELETE_RECIPIENT) {
		delete_recipient(l, a);
	} else {
		buf_reset(&f->new_sender);
		address_add(&f->new_sender, a);
		f->has_new_sender = true;
		buf_reset(&f->sender); /* the next filters hear of it so */
		address_add(&f->sender, a);
		f->facts.sender = buf_str(&f->sender);
		log_change(l, "sender-changed", buf_str(&f->sender));
	}
	arena_free(&arena);
}

static void
amend_body(struct filter_link *l)
{
	struct filters *f = l->of;
	struct buf fresh = { .max = SIZE_MAX };
	uint32_t flags = 0;

	add_sound(&fresh, buf_str(&l->milter.new_body), &flags);
	buf_free(&l->milter.new_body);
	buf_free(&f->new_body);
	f->new_body = fresh;
	f->body = buf_str(&f->new_body);
	f->has_separator = true;
	f->flags |= flags;
	log_change(l, "body-replaced", S(""));
}

static size_t
line_ends(struct str text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\r' || text.p[i] == '\n';
	return n;
}

/* Octets that may join the message: a line end of one octet becomes CRLF, and in a field a tab stands behind it. */
static uint64_t
growth_most(const struct milter *m)
{
	struct str changes = buf_str(&m->changes), body = buf_str(&m->new_body);

	return (uint64_t)changes.n + 2 * line_ends(changes) + body.n + line_ends(body);
}

bool
filter_amend(struct filter_link *l)
{
	struct str changes = buf_str(&l->milter.changes);
	struct milter_change c;

	if (!filter_hold(l->of, growth_most(&l->milter)))
		return false;
	while (milter_scan_change(&changes, &c))
		switch (c.kind) {
		case MILTER_ADD_HEADER:
		case MILTER_INSERT_HEADER:
		case MILTER_CHANGE_HEADER:
			amend_header(l, &c);
			break;
		case MILTER_ADD_RECIPIENT:
		case MILTER_DELETE_RECIPIENT:
		case MILTER_CHANGE_SENDER:
			amend_envelope(l, &c);
			break;
		case MILTER_QUARANTINE:
			l->of->quarantines = true;
			log_change(l, "quarantined", c.value);
			break;
		}
	if (l->milter.has_new_body)
		amend_body(l);
	buf_free(&l->milter.changes);
	must(filter_hold(l->of, 0)); /* no more than that */
	return true;
}
