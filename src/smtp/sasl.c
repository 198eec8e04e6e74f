/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/sasl.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/codec.h"
#include "base/must.h"

/*
 * What each mechanism says (S: challenge, C: response; [x] is the base64 of x):
 *
 *   SCRAM-SHA-256  RFC 5802, RFC 7677            PLAIN        RFC 4616
 *     C: n,,n=LOGIN,r=OURS                         C: NUL LOGIN NUL PASSWORD
 *     S: r=OURS+THEIRS,s=[SALT],i=ROUNDS         LOGIN        no RFC, but all there is in places
 *     C: c=[n,,],r=OURS+THEIRS,p=[PROOF]           S: any  C: LOGIN  S: any  C: PASSWORD
 *     S: v=[SIGNATURE]                           OAUTHBEARER  RFC 7628
 *     C: (nothing)                                 C: n,a=LOGIN,^Ahost=HOST^Aauth=Bearer TOKEN^A^A
 *   CRAM-MD5       RFC 2195                        S: why the token is not good  C: ^A
 *     S: anything                                XOAUTH2      the same of before the RFC
 *     C: LOGIN HMAC(PASSWORD, anything)            C: user=LOGIN^Aauth=Bearer TOKEN^A^A
 *                                                  S: why the token is not good  C: (nothing)
 *
 * Laws of SCRAM, without which it is worth no more than CRAM-MD5:
 *  1. The server's nonce begins with ours and adds to it: nobody replays an old session.
 *  2. A yes is believed only behind a right signature (is_done): else it is not the host that knows the password.
 *  3. The binding names this TLS session. A peer in the middle who strikes PLUS off the offer is found out by the 'y' in the
 *     header, which the proof covers: the server knows that it did offer it.
 *  4. Few rounds make the password cheap to guess for whoever plays the server, very many hold up this process: both end it.
 *
 * Names and passwords go as they are. SASLprep (RFC 4013) changes nothing in ASCII; what it does to the rest (blanks and
 * forms of one letter) is left to the person who typed it.
 *
 * libcrypto is here for its hashes: pure functions, though of a library.
 */

enum {
	ROUNDS_MIN = 4096,   /* RFC 7677 §4 */
	ROUNDS_MAX = 600000, /* half a second of this process, at a server's wish */
	HASH_N = 32,	     /* SHA-256 */
	CRAM_N = 16,	     /* MD5 */
	SALT_MAX = 1024,
	CHALLENGE_MAX = 12288, /* RFC 4954 §4 */
	TEXT_MAX = 65536,      /* of what the proof covers */
};

typedef bool sasl_answer(struct sasl *s, struct str challenge, struct buf *to, struct err *e);

static sasl_answer scram_respond, cram_respond, plain_respond, login_respond, oauthbearer_respond,
	xoauth2_respond;

static const struct row {
	unsigned mechanism;
	struct str name;
	unsigned responses; /* at most */
	bool speaks_first;
	sasl_answer *respond;
} rows[] = {
	{ MECHANISM_SCRAM_SHA_256_PLUS, S("SCRAM-SHA-256-PLUS"), 3, true, scram_respond },
	{ MECHANISM_SCRAM_SHA_256, S("SCRAM-SHA-256"), 3, true, scram_respond },
	{ MECHANISM_CRAM_MD5, S("CRAM-MD5"), 1, false, cram_respond },
	{ MECHANISM_PLAIN, S("PLAIN"), 1, true, plain_respond },
	{ MECHANISM_LOGIN, S("LOGIN"), 2, false, login_respond },
	{ MECHANISM_OAUTHBEARER, S("OAUTHBEARER"), 2, true, oauthbearer_respond },
	{ MECHANISM_XOAUTH2, S("XOAUTH2"), 2, true, xoauth2_respond },
};

enum { ROWS_N = sizeof rows / sizeof rows[0] };

static const struct row *
row_of(unsigned mechanism)
{
	size_t i = 0;

	while (i < ROWS_N && rows[i].mechanism != mechanism)
		i++;
	must(i < ROWS_N);
	return &rows[i];
}

struct str
sasl_name(unsigned mechanism)
{
	return row_of(mechanism)->name;
}

unsigned
sasl_named(struct str name)
{
	for (size_t i = 0; i < ROWS_N; i++)
		if (str_eq_nocase(rows[i].name, name))
			return rows[i].mechanism;
	return 0;
}

bool
sasl_speaks_first(unsigned mechanism)
{
	return row_of(mechanism)->speaks_first;
}

bool
sasl_reads_challenges(const struct sasl *s)
{
	return s->mechanism == MECHANISM_CRAM_MD5 ||
	       (s->mechanism & MECHANISMS_SCRAM && s->responses);
}

static bool
lie(struct err *e, const char *what)
{
	return err_set(e, ERR_TEMPORARY, ERR_PROTOCOL,
		"the login was broken off: the other host %s", what);
}

static bool
respond(struct sasl *s, struct str challenge, struct buf *to, struct err *e)
{
	const struct row *row = row_of(s->mechanism);

	if (challenge.n > CHALLENGE_MAX || s->responses == row->responses)
		return lie(e, "asks for more than there is to say");
	/* all of its room at once: a buffer that grows leaves copies of the secret behind */
	if (buf_room(to, to->max) && !row->respond(s, challenge, to, e))
		return false;
	s->responses++;
	if (to->refused)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "no memory for the login");
	if (to->overflow)
		return err_set(e, ERR_PERMANENT, ERR_LOGIN_REFUSED,
			"login, password or token is too long");
	return true;
}

bool
sasl_respond(struct sasl *s, struct str challenge, struct buf *response, struct err *e)
{
	bool goes_on;

	s->is_done = false;
	goes_on = respond(s, challenge, response, e);
	s->is_done = s->is_done && goes_on;
	return goes_on;
}

void
sasl_wipe(struct sasl *s)
{
	explicit_bzero(s, sizeof *s);
}

/* ── PLAIN, LOGIN, CRAM-MD5, tokens ──────────────────────────────────────────────────────────── */

static bool
plain_respond(struct sasl *s, struct str challenge, struct buf *to, struct err *e)
{
	(void)challenge, (void)e;
	buf_add_char(to, '\0'); /* without an authorization identity */
	buf_add(to, s->login);
	buf_add_char(to, '\0');
	buf_add(to, s->secret);
	s->is_done = true;
	return true;
}

static bool
login_respond(struct sasl *s, struct str challenge, struct buf *to, struct err *e)
{
	(void)challenge, (void)e;
	buf_add(to, s->responses ? s->secret : s->login);
	s->is_done = s->responses == 1;
	return true;
}

static const unsigned char *
octets(struct str s)
{
	return (const unsigned char *)(s.p ? s.p : "");
}

static bool
hmac(const EVP_MD *kind, struct str key, struct str data, unsigned char *out)
{
	return HMAC(kind, octets(key), (int)key.n, octets(data), data.n, out, NULL);
}

/* For want of memory, or since a policy of the system forbids the hash. */
static bool
cannot_compute(struct err *e)
{
	return err_set(
		e, ERR_TEMPORARY, ERR_LOCAL, "libcrypto cannot compute what the login needs");
}

static bool
cram_respond(struct sasl *s, struct str challenge, struct buf *to, struct err *e)
{
	unsigned char digest[CRAM_N];

	if (!hmac(EVP_md5(), s->secret, challenge, digest))
		return cannot_compute(e);
	buf_add(to, s->login);
	buf_add_char(to, ' ');
	for (size_t i = 0; i < sizeof digest; i++)
		buf_addf(to, "%02x", digest[i]);
	s->is_done = true;
	return true;
}

/* RFC 5801 §4: a name in which no comma can end it. */
static void
add_name(struct buf *to, struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] == ',')
			buf_add(to, S("=2C"));
		else if (name.p[i] == '=')
			buf_add(to, S("=3D"));
		else
			buf_add_char(to, name.p[i]);
}

static bool
has_separator(struct str s)
{
	return str_find(s, '\1') < s.n;
}

/* A token with the separator in it would become other fields. */
static bool
tokens_are_sayable(const struct sasl *s, struct err *e)
{
	if (has_separator(s->login) || has_separator(s->secret) || has_separator(s->host))
		return err_set(e, ERR_PERMANENT, ERR_LOGIN_REFUSED,
			"login, token or host holds a control character");
	return true;
}

static bool
oauthbearer_respond(struct sasl *s, struct str challenge, struct buf *to, struct err *e)
{
	(void)challenge;
	if (s->responses) { /* RFC 7628 §3.2.3: the error is noted; the no follows */
		buf_add_char(to, '\1');
		return true;
	}
	buf_add(to, S("n,a="));
	add_name(to, s->login);
	buf_add_char(to, ',');
	if (s->host.n) {
		buf_add(to, S("\1host="));
		buf_add(to, s->host);
	}
	buf_add(to, S("\1auth=Bearer "));
	buf_add(to, s->secret);
	buf_add(to, S("\1\1"));
	s->is_done = true;
	return tokens_are_sayable(s, e);
}

static bool
xoauth2_respond(struct sasl *s, struct str challenge, struct buf *to, struct err *e)
{
	(void)challenge;
	if (s->responses)
		return true;
	buf_add(to, S("user="));
	buf_add(to, s->login);
	buf_add(to, S("\1auth=Bearer "));
	buf_add(to, s->secret);
	buf_add(to, S("\1\1"));
	s->is_done = true;
	return tokens_are_sayable(s, e);
}

/* ── SCRAM ───────────────────────────────────────────────────────────────────────────────────── */

static void
add_header(const struct sasl *s, struct buf *to)
{
	if (s->mechanism == MECHANISM_SCRAM_SHA_256_PLUS) {
		buf_add(to, S("p="));
		buf_add(to, s->binding_kind);
	} else {
		buf_add_char(to, s->could_bind ? 'y' : 'n');
	}
	buf_add(to, S(",,"));
}

static void
add_first_bare(const struct sasl *s, struct buf *to)
{
	buf_add(to, S("n="));
	add_name(to, s->login);
	buf_add(to, S(",r="));
	buf_add(to, s->nonce);
}

/* "c=…,r=…" */
static void
add_final_bare(const struct sasl *s, struct str nonce, struct buf *to)
{
	struct buf bound = { .max = 256, .memory = to->memory };

	add_header(s, &bound);
	if (s->mechanism == MECHANISM_SCRAM_SHA_256_PLUS)
		buf_add(&bound, s->binding);
	must(!bound.overflow || bound.refused);
	buf_add(to, S("c="));
	codec_add_base64(to, buf_str(&bound));
	buf_add(to, S(",r="));
	buf_add(to, nonce);
	to->overflow |= bound.refused;
	to->refused |= bound.refused;
	buf_free(&bound);
}

/* RFC 5802 §7 server-first-message. Extensions behind the rounds are passed over (§5.1); one before the nonce is mandatory, and
 * not known here. */
static bool
read_server_first(const struct sasl *s, struct str in, struct str *nonce, struct buf *salt,
	uint64_t *rounds, struct err *e)
{
	struct str salt_text, rounds_text, extensions;

	if (!str_starts(in, S("r=")) || !str_cut(str_from(in, 2), ',', nonce, &in) ||
		!str_starts(in, S("s=")) || !str_cut(str_from(in, 2), ',', &salt_text, &in) ||
		!str_starts(in, S("i=")))
		return lie(e, "does not keep to SCRAM");
	str_cut(str_from(in, 2), ',', &rounds_text, &extensions);
	if (!str_starts(*nonce, s->nonce) || nonce->n == s->nonce.n)
		return lie(e, "gives another nonce than ours");
	if (!scan_u64(&rounds_text, rounds) || rounds_text.n || *rounds < ROUNDS_MIN ||
		*rounds > ROUNDS_MAX)
		return lie(e, "wants a number of rounds that is not safe");
	if ((!codec_add_from_base64(salt, salt_text) || salt->n == 0 || salt->overflow) &&
		!salt->refused)
		return lie(e, "gives no salt");
	return true;
}

/* RFC 5802 §3: the proof, and the signature that the server will have to show. */
static bool
prove(struct sasl *s, struct str salt, uint64_t rounds, struct str covered,
	unsigned char proof[HASH_N])
{
	unsigned char salted[HASH_N], key[HASH_N] = { 0 }, stored[HASH_N], server_key[HASH_N];
	struct str by_salted = { (char *)salted, HASH_N };
	bool ok = PKCS5_PBKDF2_HMAC(s->secret.n ? s->secret.p : "", (int)s->secret.n, octets(salt),
			  (int)salt.n, (int)rounds, EVP_sha256(), HASH_N, salted) == 1 &&
		  hmac(EVP_sha256(), by_salted, S("Client Key"), key) &&
		  EVP_Digest(key, HASH_N, stored, NULL, EVP_sha256(), NULL) == 1 &&
		  hmac(EVP_sha256(), (struct str){ (char *)stored, HASH_N }, covered, proof) &&
		  hmac(EVP_sha256(), by_salted, S("Server Key"), server_key) &&
		  hmac(EVP_sha256(), (struct str){ (char *)server_key, HASH_N }, covered,
			  s->signature);

	for (size_t i = 0; i < HASH_N; i++)
		proof[i] ^= key[i];
	explicit_bzero(salted, HASH_N);
	explicit_bzero(key, HASH_N);
	explicit_bzero(stored, HASH_N);
	explicit_bzero(server_key, HASH_N);
	return ok;
}

static bool
scram_prove(struct sasl *s, struct str challenge, struct buf *to, struct err *e)
{
	struct buf salt = { .max = SALT_MAX, .memory = to->memory };
	struct buf covered = { .max = TEXT_MAX, .memory = to->memory };
	unsigned char proof[HASH_N] = { 0 };
	struct str nonce = S("");
	uint64_t rounds = 0;
	bool ok = read_server_first(s, challenge, &nonce, &salt, &rounds, e);

	if (ok) {
		add_first_bare(s, &covered);
		buf_add_char(&covered, ',');
		buf_add(&covered, challenge);
		buf_add_char(&covered, ',');
		add_final_bare(s, nonce, &covered);
		add_final_bare(s, nonce, to);
		to->refused |= covered.refused || salt.refused;
		must(!covered.overflow || covered.refused);
		ok = to->refused || prove(s, buf_str(&salt), rounds, buf_str(&covered), proof) ||
		     cannot_compute(e);
	}
	if (ok && !to->refused) {
		buf_add(to, S(",p="));
		codec_add_base64(to, (struct str){ (char *)proof, HASH_N });
	}
	buf_free(&salt);
	buf_free(&covered);
	return ok;
}

/* Law 2. "e=…" is answered by nothing too, and the no follows (RFC 5802 §7). */
static bool
scram_verify(struct sasl *s, struct str challenge, struct err *e)
{
	char room[48];
	struct buf right = { .p = room, .capacity = sizeof room, .max = sizeof room };
	struct str shown, extensions;

	if (str_starts(challenge, S("e=")))
		return true;
	buf_add(&right, S("v="));
	codec_add_base64(&right, (struct str){ (char *)s->signature, HASH_N });
	str_cut(challenge, ',', &shown, &extensions);
	if (shown.n != right.n || CRYPTO_memcmp(shown.p, right.p, right.n) != 0)
		return lie(e, "does not know the password itself; perhaps it is not the one it "
			      "should be");
	s->is_done = true;
	return true;
}

static bool
scram_respond(struct sasl *s, struct str challenge, struct buf *to, struct err *e)
{
	if (s->responses == 1)
		return scram_prove(s, challenge, to, e);
	if (s->responses == 2)
		return scram_verify(s, challenge, e);
	add_header(s, to);
	add_first_bare(s, to);
	return true;
}
