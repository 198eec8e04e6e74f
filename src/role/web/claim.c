/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include "base/codec.h"
#include "base/hash.h"

/* What a request says of itself in its header: who asks, from which page. Nothing here is believed. */

enum {
	LOGIN_MAX = 512,
	SECRET_MAX = 2048,
	BASIC_MAX = 4096,
	HOST_MAX = 260,
	MISS_WINDOW_MS = 60000,
};

const char *
claim_header(const struct request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

/* RFC 7617: base64 of login ":" password. */
static bool
read_basic(struct str text, struct claim *c)
{
	struct buf plain = { .max = BASIC_MAX };
	struct str login, password;
	bool good = codec_add_from_base64(&plain, str_trim(text)) &&
		    str_cut(buf_str(&plain), ':', &login, &password);

	if (good) {
		c->how = SIGN_IN_ONCE;
		buf_add(&c->login, login);
		buf_add(&c->secret, password);
	}
	if (plain.p)
		explicit_bzero(plain.p, plain.n);
	buf_free(&plain);
	return good && login.n > 0;
}

/* Over TLS one that no other host of the domain and nobody on a way in clear can set (RFC 6265bis §4.1.3.2). */
struct str
claim_cookie_name(const struct request *r)
{
	return r->guest->is_secure ? S("__Host-posthouse") : S("posthouse");
}

struct cookies {
	struct str name;
	unsigned n;
	const char *value;
};

static enum MHD_Result
look_at_cookie(void *owner, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct cookies *found = owner;

	(void)kind;
	if (str_eq(str_of(name), found->name)) {
		found->value = value;
		found->n++;
	}
	return MHD_YES;
}

static bool
read_cookie(const struct request *r, struct claim *c)
{
	struct cookies found = { .name = claim_cookie_name(r) };

	MHD_get_connection_values(r->connection, MHD_COOKIE_KIND, look_at_cookie, &found);
	c->is_doubled = found.n > 1;
	if (found.n == 1)
		buf_add(&c->secret, str_of(found.value));
	return c->secret.n > 0;
}

static void
claim_begin(struct claim *c)
{
	*c = (struct claim){
		.how = SIGN_IN_AGAIN, .login.max = LOGIN_MAX, .secret.max = SECRET_MAX
	};
}

bool
claim_read_field(struct str text, struct claim *c)
{
	bool good;

	claim_begin(c);
	if (scan_word_nocase(&text, S("Basic "))) {
		good = read_basic(text, c);
	} else {
		good = scan_word_nocase(&text, S("Bearer ")); /* RFC 6750 §2.1 */
		buf_add(&c->secret, good ? str_trim(text) : S(""));
		good = good && c->secret.n > 0;
	}
	return good && !c->login.overflow && !c->secret.overflow;
}

/* Who names a password or a token means it: the cookie, which browsers send by themselves, counts only without one. */
bool
claim_read(const struct request *r, struct claim *c)
{
	struct str text = str_of(claim_header(r, MHD_HTTP_HEADER_AUTHORIZATION));

	if (text.n)
		return claim_read_field(text, c);
	claim_begin(c);
	c->is_cookie = true;
	return read_cookie(r, c) && !c->secret.overflow;
}

void
claim_free(struct claim *c)
{
	if (c->secret.p)
		explicit_bzero(c->secret.p, c->secret.n);
	buf_free(&c->login);
	buf_free(&c->secret);
}

const char *
claim_host(const struct request *r)
{
	const char *host = claim_header(r, MHD_HTTP_HEADER_HOST);

	if (!host || !*host || strlen(host) > HOST_MAX)
		return NULL;
	for (const char *p = host; *p; p++)
		if (!char_is_alpha(*p) && !char_is_digit(*p) && !strchr("-.:[]", *p))
			return NULL;
	return host;
}

/* Fetch metadata, where the browser sends it; and the origin, which all do that matter. "null" is a frame's of ours, too: what stands there may ask for nothing. */
bool
claim_is_foreign(const struct request *r)
{
	const char *site = claim_header(r, "Sec-Fetch-Site"), *host = claim_host(r);
	struct str origin = str_of(claim_header(r, MHD_HTTP_HEADER_ORIGIN));

	if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
		return true;
	if (origin.n == 0)
		return false;
	if (!scan_word_nocase(&origin, r->guest->is_secure ? S("https://") : S("http://")))
		return true;
	return !host || !str_eq_nocase(origin, str_of(host));
}

/* A place of the table belongs to whoever missed there last: with few failing at once, nobody takes another's. */
static struct miss *
miss_of(struct request *r, uint64_t *who, bool *is_theirs)
{
	struct web *w = r->web;
	struct miss *m;

	*who = hash_sip(w->secret,
		(struct str){ (const char *)r->guest->network, sizeof r->guest->network });
	m = &w->misses[*who % MISSES];
	*is_theirs = m->who == *who && loop_now_ms(w->role.loop) - m->since_ms <= MISS_WINDOW_MS;
	return m;
}

unsigned
claim_misses(struct request *r)
{
	uint64_t who;
	bool is_theirs;
	const struct miss *m = miss_of(r, &who, &is_theirs);

	return is_theirs ? m->count : 0;
}

struct miss
claim_add_miss(struct request *r)
{
	uint64_t who;
	bool is_theirs;
	struct miss *m = miss_of(r, &who, &is_theirs);

	if (!is_theirs)
		*m = (struct miss){ .who = who, .since_ms = loop_now_ms(r->web->role.loop) };
	m->count++;
	return (struct miss){ .who = who, .since_ms = m->since_ms, .count = 1 };
}

void
claim_take_back(struct web *w, struct miss *m)
{
	struct miss *place = &w->misses[m->who % MISSES];

	if (m->count && place->who == m->who && place->since_ms == m->since_ms)
		place->count -= m->count;
	*m = (struct miss){ 0 };
}

/* application/x-www-form-urlencoded, as a URL's query has it. */
static bool
add_decoded(struct buf *to, struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i] == '+' ? ' ' : text.p[i];

		if (c == '%') {
			if (!codec_from_hex(str_part(text, i + 1, 2), &c, 1))
				return false;
			i += 2;
		}
		buf_add_char(to, c);
	}
	return !to->overflow;
}

bool
query_get(struct str query, struct str name, struct buf *value)
{
	struct str field, key, text;

	while (query.n) {
		str_cut(query, '&', &field, &query);
		str_cut(field, '=', &key, &text);
		if (str_eq(key, name))
			return add_decoded(value, text);
	}
	return false;
}
