/* SPDX-License-Identifier: Apache-2.0 */
#include "route/dns.h"

/*
 * The reader of packets (RFC 1035 §4.1). What it holds to, whatever the octets are:
 *
 *   - nothing outside the packet is read: every number and name comes through a struct cursor;
 *   - a name ends: pointers of compression (§4.1.4) lead backwards only, and no name has more of
 *     them than it could have labels;
 *   - a packet that breaks off, answers another question, or has TC set (some of it is missing) is
 *     DNS_MALFORMED as a whole;
 *   - a record that is broken in itself, or names what no host can be called (a NUL, a blank, a dot
 *     inside a label), is left out and counted: its neighbours stay;
 *   - records of names that nobody asked for, and of other classes, do not count;
 *   - time is bounded by the octets of the packet times DNS_CHAIN_MAX.
 *
 *   header:  id  flags  questions  answers  authorities  additionals     (16 bits each)
 *   question: name type class        record: name type class ttl(32) length data
 */

enum {
	HEADER_SIZE = 12,
	FLAG_RESPONSE = 0x8000,
	FLAG_OPCODE = 0x7800,
	FLAG_TRUNCATED = 0x0200,
	FLAG_RCODE = 0x000f,
	RCODE_NXDOMAIN = 3,
	CLASS_IN = 1,
	TYPE_SOA = 6,
	LABEL_MAX = 63,
	WIRE_NAME_MAX = 255,
	POINTERS_MAX = 128,
};

struct cursor {
	struct str packet;
	size_t at;
};

struct name {
	char text[WIRE_NAME_MAX]; /* lower case, no dot behind */
	size_t n;
	bool is_usable; /* its labels hold nothing that looks like their end */
	bool is_host;	/* and a host could be called so */
};

struct raw_record {
	struct name owner;
	uint32_t type, class, ttl_s;
	struct cursor
		data; /* its packet ends where the record does, so that names may point back */
};

struct reader {
	struct cursor answers, authorities; /* where the section begins */
	uint32_t answers_n, authorities_n;
	enum dns_type type;
	struct arena *arena;
	struct str name; /* the end of the chain so far */
};

const char *
dns_status_name(enum dns_status s)
{
	static const char *const names[DNS_STATUSES] = { "OK", "NODATA", "NXDOMAIN", "SERVFAIL",
		"no answer in time", "wrong DNSSEC signature", "malformed answer" };

	return names[s];
}

const char *
dns_type_name(enum dns_type t)
{
	switch (t) {
	case DNS_A:
		return "A";
	case DNS_CNAME:
		return "CNAME";
	case DNS_PTR:
		return "PTR";
	case DNS_MX:
		return "MX";
	case DNS_TXT:
		return "TXT";
	case DNS_AAAA:
		return "AAAA";
	}
	return "?";
}

static bool
is_name_octet(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || c == '-' || c == '_';
}

bool
dns_name_is_valid(struct str name)
{
	size_t label = 0;

	if (name.n == 0 || name.n > DNS_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] == '.' && label)
			label = 0;
		else if (!is_name_octet(name.p[i]) || ++label > LABEL_MAX)
			return false;
	return label > 0;
}

void
dns_add_turned(struct buf *to, const unsigned char *address, size_t octets, struct str zone)
{
	for (size_t i = octets; i > 0; i--)
		if (octets == 4)
			buf_addf(to, "%u.", address[i - 1]);
		else
			buf_addf(to, "%x.%x.", address[i - 1] & 15, address[i - 1] >> 4);
	buf_add(to, zone);
}

/* ── Numbers and names ───────────────────────────────────────────────────────────────────────── */

/* A number of the network's order. */
static bool
scan_number(struct cursor *c, size_t octets, uint32_t *value)
{
	uint32_t v = 0;

	if (c->packet.n - c->at < octets)
		return false;
	for (size_t i = 0; i < octets; i++)
		v = v << 8 | (unsigned char)c->packet.p[c->at + i];
	c->at += octets;
	*value = v;
	return true;
}

static bool
skip(struct cursor *c, size_t octets)
{
	if (c->packet.n - c->at < octets)
		return false;
	c->at += octets;
	return true;
}

static void
add_label(struct name *name, struct str label)
{
	if (name->n)
		name->text[name->n++] = '.';
	for (size_t i = 0; i < label.n; i++) {
		name->is_host = name->is_host && is_name_octet(label.p[i]);
		/* a slash stands where parts of a network have reverse zones: RFC 2317 §4 */
		name->is_usable =
			name->is_usable && (is_name_octet(label.p[i]) || label.p[i] == '/');
		name->text[name->n++] = char_lower(label.p[i]);
	}
}

/* The cursor ends behind the name as it stands here, wherever its pointers lead. */
static bool
scan_name(struct cursor *c, struct name *name)
{
	struct cursor at = *c;
	size_t pointers = 0, wire = 1;
	uint32_t length, low;

	name->n = 0;
	name->is_usable = name->is_host = true;
	for (;;) {
		size_t here = at.at;

		if (!scan_number(&at, 1, &length))
			return false;
		if (length >= 0xc0) {
			if (!scan_number(&at, 1, &low) || ++pointers > POINTERS_MAX)
				return false;
			if (pointers == 1)
				c->at = at.at;
			at.at = (length & 0x3f) << 8 | low;
			if (at.at >= here)
				return false;
			continue;
		}
		if (length == 0)
			break;
		wire += length + 1;
		if (length > LABEL_MAX || wire > WIRE_NAME_MAX || at.packet.n - at.at < length)
			return false;
		add_label(name, str_part(at.packet, at.at, length));
		at.at += length;
	}
	if (pointers == 0)
		c->at = at.at;
	return true;
}

static struct str
name_str(const struct name *name)
{
	return (struct str){ name->text, name->n };
}

/* ── Header, question, records ───────────────────────────────────────────────────────────────── */

static bool
scan_record(struct cursor *c, struct raw_record *r)
{
	uint32_t length;

	if (!scan_name(c, &r->owner) || !scan_number(c, 2, &r->type) ||
		!scan_number(c, 2, &r->class) || !scan_number(c, 4, &r->ttl_s) ||
		!scan_number(c, 2, &length))
		return false;
	r->data = *c;
	if (!skip(c, length))
		return false;
	r->data.packet.n = c->at;
	if (r->ttl_s > INT32_MAX)
		r->ttl_s = 0; /* RFC 2181 §8 */
	return true;
}

static bool
skip_records(struct cursor *c, uint32_t n)
{
	struct raw_record r;

	while (n-- > 0)
		if (!scan_record(c, &r))
			return false;
	return true;
}

static bool
scan_question(struct cursor *c, const struct reader *r)
{
	struct name name;
	uint32_t type, class;

	return scan_name(c, &name) && scan_number(c, 2, &type) && scan_number(c, 2, &class) &&
	       name.is_usable && str_eq_nocase(name_str(&name), r->name) &&
	       type == (uint32_t)r->type && class == CLASS_IN;
}

/* The sections found and whole, and the rcode; false: this is no answer to our question. */
static bool
read_frame(struct cursor c, struct reader *r, uint32_t *rcode)
{
	uint32_t id, flags, questions, additionals;

	if (!scan_number(&c, 2, &id) || !scan_number(&c, 2, &flags) ||
		!scan_number(&c, 2, &questions) || !scan_number(&c, 2, &r->answers_n) ||
		!scan_number(&c, 2, &r->authorities_n) || !scan_number(&c, 2, &additionals))
		return false;
	if (!(flags & FLAG_RESPONSE) || (flags & (FLAG_OPCODE | FLAG_TRUNCATED)) ||
		questions != 1 || !scan_question(&c, r))
		return false;
	*rcode = flags & FLAG_RCODE;
	r->answers = c;
	if (!skip_records(&c, r->answers_n))
		return false;
	r->authorities = c;
	return skip_records(&c, r->authorities_n);
}

/* ── What they say ───────────────────────────────────────────────────────────────────────────── */

static bool
is_about(const struct raw_record *raw, struct str name, uint32_t type)
{
	return raw->class == CLASS_IN && raw->type == type && raw->owner.is_usable &&
	       str_eq_nocase(name_str(&raw->owner), name);
}

static void
lower_ttl(struct dns_answer *answer, uint32_t ttl_s)
{
	if (ttl_s < answer->ttl_s)
		answer->ttl_s = ttl_s;
}

static bool
find_alias(const struct reader *r, struct raw_record *raw)
{
	struct cursor c = r->answers;

	for (uint32_t i = 0; i < r->answers_n && scan_record(&c, raw); i++)
		if (is_about(raw, r->name, DNS_CNAME))
			return true;
	return false;
}

/* From alias to alias, in whatever order the packet has them. False: the chain has no end that a
 * name could have. A loop is found by its length. */
static bool
follow_aliases(struct reader *r, struct dns_answer *answer)
{
	struct raw_record raw;
	struct name target;

	while (find_alias(r, &raw)) {
		if (answer->aliases == DNS_CHAIN_MAX || !scan_name(&raw.data, &target) ||
			!target.is_usable || target.n == 0 ||
			!arena_dup(r->arena, name_str(&target), &r->name))
			return false;
		answer->chain[answer->aliases++] = r->name;
		lower_ttl(answer, raw.ttl_s);
	}
	return true;
}

static bool
read_mx(struct raw_record *raw, struct arena *arena, struct dns_record *record)
{
	uint32_t preference;
	struct name host;

	if (!scan_number(&raw->data, 2, &preference) || !scan_name(&raw->data, &host) ||
		raw->data.at != raw->data.packet.n || !host.is_host)
		return false;
	record->preference = (uint16_t)preference;
	return arena_dup(arena, name_str(&host), &record->name);
}

static bool
read_host(struct raw_record *raw, struct arena *arena, struct dns_record *record)
{
	struct name host;

	return scan_name(&raw->data, &host) && raw->data.at == raw->data.packet.n && host.is_host &&
	       host.n && arena_dup(arena, name_str(&host), &record->name);
}

/* One or more strings of up to 255 octets (RFC 1035 §3.3.14), joined (RFC 7208 §3.3). */
static bool
read_text(struct raw_record *raw, struct arena *arena, struct dns_record *record)
{
	struct cursor *c = &raw->data;
	char *text = arena_take(arena, c->packet.n - c->at + 1);
	size_t n = 0;
	uint32_t length;

	if (!text)
		return false;
	while (scan_number(c, 1, &length)) {
		struct str part = str_part(c->packet, c->at, length);

		if (!skip(c, length))
			return false;
		memcpy(text + n, part.p, part.n);
		n += part.n;
	}
	record->name = (struct str){ text, n };
	return true;
}

static bool
read_address(const struct raw_record *raw, struct dns_record *record)
{
	size_t size = raw->type == DNS_A ? 4 : 16;

	if (raw->data.packet.n - raw->data.at != size)
		return false;
	memcpy(record->address, raw->data.packet.p + raw->data.at, size);
	return true;
}

static bool
read_data(struct raw_record *raw, struct arena *arena, struct dns_record *record)
{
	switch ((enum dns_type)raw->type) {
	case DNS_MX:
		return read_mx(raw, arena, record);
	case DNS_PTR:
		return read_host(raw, arena, record);
	case DNS_TXT:
		return read_text(raw, arena, record);
	case DNS_A:
	case DNS_AAAA:
		return read_address(raw, record);
	case DNS_CNAME:
		break;
	}
	return false;
}

/* False: the arena is full. */
static bool
read_records(const struct reader *r, struct dns_answer *answer)
{
	struct cursor c = r->answers;
	struct raw_record raw;
	struct dns_record record;

	answer->records = arena_take(r->arena, DNS_RECORDS_MAX * sizeof *answer->records);
	if (!answer->records)
		return false;
	for (uint32_t i = 0; i < r->answers_n && scan_record(&c, &raw); i++) {
		if (!is_about(&raw, r->name, r->type))
			continue;
		lower_ttl(answer, raw.ttl_s);
		record = (struct dns_record){ 0 };
		if (answer->records_n == DNS_RECORDS_MAX)
			answer->was_cut = true;
		else if (read_data(&raw, r->arena, &record))
			answer->records[answer->records_n++] = record;
		else
			answer->unusable++;
	}
	return true;
}

/* How long a "no" holds: the lesser of the SOA's own TTL and its last number (RFC 2308 §5). */
static void
read_negative_ttl(const struct reader *r, struct dns_answer *answer)
{
	struct cursor c = r->authorities;
	struct raw_record raw;
	struct name name;
	uint32_t minimum, ttl_s = 0;

	for (uint32_t i = 0; i < r->authorities_n && scan_record(&c, &raw); i++)
		if (raw.class == CLASS_IN && raw.type == TYPE_SOA && scan_name(&raw.data, &name) &&
			scan_name(&raw.data, &name) && skip(&raw.data, 16) &&
			scan_number(&raw.data, 4, &minimum))
			ttl_s = minimum < raw.ttl_s ? minimum : raw.ttl_s;
	lower_ttl(answer, ttl_s);
	lower_ttl(answer, DNS_NEGATIVE_TTL_MAX);
}

static enum dns_status
read_status(struct reader *r, uint32_t rcode, struct dns_answer *answer)
{
	if (rcode != 0 && rcode != RCODE_NXDOMAIN)
		return DNS_SERVFAIL;
	if (!follow_aliases(r, answer))
		return DNS_SERVFAIL;
	if (rcode == RCODE_NXDOMAIN) /* it speaks of the end of the chain: RFC 6604 §3 */
		return DNS_NXDOMAIN;
	if (!read_records(r, answer))
		return DNS_SERVFAIL;
	if (answer->records_n || answer->unusable)
		return DNS_OK;
	/* An answer that answers something else is not the same as none: NODATA would make the
	 * domain its own mail host. */
	return r->answers_n && !answer->aliases ? DNS_MALFORMED : DNS_NODATA;
}

void
dns_read(struct str packet, struct str name, enum dns_type type, struct arena *arena,
	struct dns_answer *answer)
{
	struct reader r = { .type = type, .arena = arena, .name = name };
	uint32_t rcode;

	*answer = (struct dns_answer){ .ttl_s = UINT32_MAX };
	if (read_frame((struct cursor){ packet, 0 }, &r, &rcode))
		answer->status = read_status(&r, rcode, answer);
	else
		answer->status = DNS_MALFORMED;
	if (answer->status == DNS_NODATA || answer->status == DNS_NXDOMAIN)
		read_negative_ttl(&r, answer);
	else if (answer->status != DNS_OK)
		answer->ttl_s = 0;
}
