/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/filter.h"

/*
 * A word is a key, a relation and a value; the table `keys` says which relations a key has and how
 * its value is read and compared. Everything that a person can get wrong ends in filter_refuse, which
 * names the place.
 */

struct filter_key {
	const char *name;
	const char *relations;
	/* The value in t->text; false: `wrong` says what would be one. */
	bool (*read)(struct filter_term *t);
	bool (*fits)(const struct filter_term *t, const struct filter_facts *facts);
	const char *wrong;
};

/* ── values ── */

struct unit {
	const char *name;
	uint64_t is;
};

static bool
read_amount(struct str text, const struct unit *units, uint64_t *number)
{
	uint64_t v;

	if (!scan_u64(&text, &v))
		return false;
	for (; units->name; units++)
		if (str_eq_nocase(text, str_of(units->name)))
			return !__builtin_mul_overflow(v, units->is, number);
	return false;
}

static bool
read_text(struct filter_term *t)
{
	return t->text.n > 0;
}

static bool
read_time(struct filter_term *t)
{
	static const struct unit units[] = { { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
		{ "d", 86400000 }, { "w", 604800000 }, { 0 } };

	return read_amount(t->text, units, &t->number) && t->number <= INT64_MAX;
}

static bool
read_size(struct filter_term *t)
{
	static const struct unit units[] = { { "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 },
		{ "G", 1 << 30 }, { 0 } };

	return read_amount(t->text, units, &t->number);
}

static bool
read_count(struct filter_term *t)
{
	static const struct unit units[] = { { "", 1 }, { 0 } };

	return read_amount(t->text, units, &t->number);
}

static const char hex_digits[] = "0123456789abcdef";

static bool
read_id(struct filter_term *t)
{
	for (size_t i = 0; i < t->text.n; i++)
		if (!memchr(hex_digits, char_lower(t->text.p[i]), 16))
			return false;
	return t->text.n > 0 && t->text.n < MAIL_ID_TEXT;
}

/* "~words", "421", "4.7", "4.7.28" */
static bool
read_err(struct filter_term *t)
{
	uint16_t *parts[] = { &t->enhanced.class, &t->enhanced.subject, &t->enhanced.detail };
	struct str rest = t->text;

	if (t->relation == '~')
		return t->text.n > 0;
	if (scan_u64(&rest, &t->number) && rest.n == 0 && t->text.n == 3)
		return true;
	rest = t->text;
	for (t->parts = 0; t->parts < 3; t->parts++) {
		if ((t->parts && !scan_char(&rest, '.')) || !scan_u64(&rest, &t->number) ||
			t->number > 999)
			break;
		*parts[t->parts] = (uint16_t)t->number;
	}
	return t->parts > 1 && rest.n == 0;
}

static const enum filter_state states[] = { FILTER_WAITING, FILTER_DEFERRED, FILTER_HELD,
	FILTER_DROPPED, FILTER_FAILED, FILTER_DELIVERED, FILTER_EXPANDED };

const char *
filter_state_word(enum filter_state s)
{
	switch (s) {
	case FILTER_WAITING:
		return "waiting";
	case FILTER_DEFERRED:
		return "deferred";
	case FILTER_HELD:
		return "held";
	case FILTER_DROPPED:
		return "dropped";
	case FILTER_FAILED:
		return "failed";
	case FILTER_DELIVERED:
		return "delivered";
	case FILTER_EXPANDED:
		return "expanded";
	}
	return "unknown";
}

static bool
read_state(struct filter_term *t)
{
	for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
		if (str_eq_nocase(t->text, str_of(filter_state_word(states[i])))) {
			t->number = states[i];
			return true;
		}
	return false;
}

static bool
read_yes(struct filter_term *t)
{
	t->number = str_eq_nocase(t->text, S("yes"));
	return t->number || str_eq_nocase(t->text, S("no"));
}

/* ── comparing ── */

/* `*` stands for any octets. Only the last `*` is ever taken back, so the time is bounded by the
 * product of the lengths. */
static bool
glob_fits(struct str glob, struct str text)
{
	struct str behind = { 0 }, resume = { 0 };
	bool has_star = false;

	while (text.n || glob.n) {
		if (glob.n && glob.p[0] == '*') {
			has_star = true;
			glob = behind = str_from(glob, 1);
			resume = text;
		} else if (glob.n && text.n && char_lower(glob.p[0]) == char_lower(text.p[0])) {
			glob = str_from(glob, 1);
			text = str_from(text, 1);
		} else if (has_star && resume.n) {
			glob = behind;
			text = resume = str_from(resume, 1);
		} else {
			return false;
		}
	}
	return true;
}

static bool
text_fits(struct str wanted, struct str text)
{
	return str_find(wanted, '*') < wanted.n ? glob_fits(wanted, text)
						: str_has_nocase(text, wanted);
}

static bool
number_fits(const struct filter_term *t, uint64_t number)
{
	return t->relation == '<'   ? number < t->number
	       : t->relation == '>' ? number > t->number
				    : number == t->number;
}

static bool
fits_to(const struct filter_term *t, const struct filter_facts *facts)
{
	return text_fits(t->text, facts->address);
}

static bool
fits_from(const struct filter_term *t, const struct filter_facts *facts)
{
	return str_eq(t->text, S("<>")) ? facts->reverse_path.n == 0
					: text_fits(t->text, facts->reverse_path);
}

static bool
fits_dest(const struct filter_term *t, const struct filter_facts *facts)
{
	return text_fits(t->text, facts->host) || text_fits(t->text, facts->destination);
}

static bool
fits_domain(const struct filter_term *t, const struct filter_facts *facts)
{
	struct str domain = facts->address;
	size_t at;

	while ((at = str_find(domain, '@')) < domain.n) /* a quoted local part may have one too */
		domain = str_from(domain, at + 1);
	return glob_fits(t->text, domain);
}

static bool
fits_id(const struct filter_term *t, const struct filter_facts *facts)
{
	for (size_t i = 0; i < t->text.n; i++) {
		unsigned digit = facts->id.octet[i / 2] >> (i % 2 ? 0 : 4) & 15;

		if (char_lower(t->text.p[i]) != hex_digits[digit])
			return false;
	}
	return true;
}

static bool
fits_age(const struct filter_term *t, const struct filter_facts *facts)
{
	return number_fits(t, facts->age_ms < 0 ? 0 : (uint64_t)facts->age_ms);
}

static bool
fits_tries(const struct filter_term *t, const struct filter_facts *facts)
{
	return number_fits(t, facts->tries);
}

static bool
fits_size(const struct filter_term *t, const struct filter_facts *facts)
{
	return number_fits(t, facts->size);
}

static bool
fits_err(const struct filter_term *t, const struct filter_facts *facts)
{
	const struct err *e = facts->last;

	if (!e)
		return false;
	if (t->relation == '~')
		return str_has_nocase(str_of(e->text), t->text);
	if (t->parts == 0)
		return e->code == t->number;
	return e->enhanced.class == t->enhanced.class &&
	       e->enhanced.subject == t->enhanced.subject &&
	       (t->parts < 3 || e->enhanced.detail == t->enhanced.detail);
}

static bool
fits_state(const struct filter_term *t, const struct filter_facts *facts)
{
	return facts->state == (enum filter_state)t->number;
}

static bool
fits_hold(const struct filter_term *t, const struct filter_facts *facts)
{
	return t->number == (facts->state == FILTER_HELD);
}

static const char text_wrong[] = "needs a text, e.g. to:wei@example.org";
enum { KEY_ID };
static const struct filter_key keys[] = {
	[KEY_ID] = { "id", ":", read_id, fits_id, "needs the first digits of an id" },
	{ "to", ":", read_text, fits_to, text_wrong },
	{ "from", ":", read_text, fits_from, text_wrong },
	{ "domain", ":", read_text, fits_domain, "needs a name, e.g. domain:example.org" },
	{ "dest", ":", read_text, fits_dest, "needs a host, e.g. dest:mx.example.org" },
	{ "age", "<>", read_time, fits_age, "needs a number with s, m, h, d or w, e.g. age>2h" },
	{ "tries", "<>=", read_count, fits_tries, "needs a number, e.g. tries>3" },
	{ "size", "<>", read_size, fits_size, "needs a number, with K, M or G, e.g. size>1M" },
	{ "err", ":", read_err, fits_err,
		"needs a code or words, e.g. err:4.7.1, err:421, err:~greylist" },
	{ "state", ":", read_state, fits_state,
		"needs waiting, deferred, held, dropped or failed, e.g. state:deferred" },
	{ "hold", ":", read_yes, fits_hold, "needs yes or no, e.g. hold:yes" },
};

enum { KEYS = sizeof keys / sizeof keys[0], HEX_ALONE_MIN = 4 };

/* ── parsing ── */

static bool
filter_refuse(struct err *e, size_t at, struct str word, const char *what)
{
	return err_set(e, ERR_PERMANENT, ERR_OTHER, "filter, column %zu: `%.*s` %s", at + 1,
		STR_ARG(str_part(word, 0, 60)), what);
}

static bool
refuse_unknown(struct err *e, size_t at, struct str word, struct str name)
{
	const struct filter_key *meant = NULL;
	size_t least = name.n / 3 + 1;
	char what[80];

	for (const struct filter_key *k = keys; k < keys + KEYS; k++) {
		size_t d = str_distance(name, str_of(k->name));

		if (d <= least && (!meant || d < least)) {
			least = d;
			meant = k;
		}
	}
	if (meant)
		snprintf(what, sizeof what, "is no word of filters; did you mean `%s%c`?",
			meant->name, meant->relations[0]);
	else if (str_find(word, '@') < word.n)
		snprintf(
			what, sizeof what, "is no word of filters; did you mean `to:` or `from:`?");
	else
		snprintf(what, sizeof what,
			"is no word of filters; posthouse queue --help has them all");
	return filter_refuse(e, at, word, what);
}

/* The next word into f->text, without its quotes. */
static bool
take_word(struct filter *f, struct str *in, struct str *word, size_t at, struct err *e)
{
	bool is_quoted = false;
	size_t begin = f->text_n;

	for (; in->n && (is_quoted || (in->p[0] != ' ' && in->p[0] != '\t'));
		*in = str_from(*in, 1))
		if (in->p[0] == '"')
			is_quoted = !is_quoted;
		else
			f->text[f->text_n++] = in->p[0];
	*word = (struct str){ f->text + begin, f->text_n - begin };
	return !is_quoted || filter_refuse(e, at, *word, "lacks its closing quote");
}

/* "key", relation, value */
static void
split_word(struct str word, struct filter_term *t, struct str *name)
{
	size_t n = 0;

	while (n < word.n && char_is_alpha(word.p[n]))
		n++;
	*name = str_part(word, 0, n);
	t->relation = n < word.n ? word.p[n] : '\0';
	t->text = str_from(word, n + 1);
}

static bool
read_term(struct filter_term *t, struct str word, size_t at, struct err *e)
{
	struct str rest = word, name;

	t->is_negated = scan_char(&rest, '!');
	split_word(rest, t, &name);
	for (const struct filter_key *k = keys; k < keys + KEYS; k++)
		if (str_eq_nocase(name, str_of(k->name)) && t->relation)
			t->key = k;
	if (!t->key && rest.n >= HEX_ALONE_MIN && read_id(&(struct filter_term){ .text = rest })) {
		*t = (struct filter_term){ .key = &keys[KEY_ID],
			.is_negated = t->is_negated,
			.relation = ':',
			.text = rest };
		return true;
	}
	if (!t->key)
		return refuse_unknown(e, at, word, name);
	if (!strchr(t->key->relations, t->relation))
		return filter_refuse(e, at, word, t->key->wrong);
	if (t->key->read == read_err && scan_char(&t->text, '~'))
		t->relation = '~';
	return t->key->read(t) || filter_refuse(e, at, word, t->key->wrong);
}

bool
filter_parse(struct filter *f, struct str text, struct err *e)
{
	struct str rest = text, word;

	f->text_n = f->terms_n = 0;
	f->wants_address = f->wants_last = false;
	if (text.n > FILTER_TEXT_MAX)
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "a filter has at most %d octets",
			FILTER_TEXT_MAX);
	for (scan_blanks(&rest); rest.n; scan_blanks(&rest)) {
		struct filter_term *t = &f->terms[f->terms_n];
		size_t at = text.n - rest.n;

		if (!take_word(f, &rest, &word, at, e))
			return false;
		if (f->terms_n == FILTER_TERMS_MAX)
			return filter_refuse(e, at, word, "is one too many: at most 32 words");
		*t = (struct filter_term){ 0 };
		if (!read_term(t, word, at, e))
			return false;
		f->wants_address |= t->key->fits == fits_to || t->key->fits == fits_domain;
		f->wants_last |= t->key->fits == fits_err || t->key->fits == fits_dest;
		f->terms_n++;
	}
	return true;
}

bool
filter_fits(const struct filter *f, const struct filter_facts *facts)
{
	for (size_t i = 0; i < f->terms_n; i++)
		if (f->terms[i].key->fits(&f->terms[i], facts) == f->terms[i].is_negated)
			return false;
	return true;
}
