/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/sasl.h"
#include "unit.h"

/* The conversation of RFC 7677 §3. Those with another header were computed with Python's hmac and hashlib. */
#define NONCE	     "rOprNGfwEbeRWgbNEkqO"
#define BOTH_NONCES  NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT	     "W22ZaJ0SNY7soEsUEjb6gQ=="
#define SERVER_FIRST "r=" BOTH_NONCES ",s=" SALT ",i=4096"
#define SIGNATURE    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static struct sasl
login_of_rfc(unsigned mechanism)
{
	return (struct sasl){
		.mechanism = mechanism, .login = S("user"), .secret = S("pencil"), .nonce = S(NONCE)
	};
}

/* What is answered; "-": nothing goes on. */
static struct str
answer(struct sasl *s, const char *challenge)
{
	static char kept[SASL_RESPONSE_MAX];
	struct buf response = { .max = SASL_RESPONSE_MAX };
	struct str text = S("-");
	struct err e = { 0 };

	if (sasl_respond(s, str_of(challenge), &response, &e)) {
		memcpy(kept, response.p, response.n);
		text = (struct str){ kept, response.n };
	} else {
		assert_true(err_is(&e));
		assert_int_equal(s->is_done, false);
	}
	buf_free(&response);
	return text;
}

static void
test_scram_as_in_the_rfc(void **state)
{
	struct sasl s = login_of_rfc(MECHANISM_SCRAM_SHA_256);

	(void)state;
	assert_str(answer(&s, ""), S("n,,n=user,r=" NONCE));
	assert_str(answer(&s, SERVER_FIRST),
		S("c=biws,r=" BOTH_NONCES ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
	assert_false(s.is_done);
	assert_str(answer(&s, SIGNATURE), S(""));
	assert_true(s.is_done);
	assert_str(answer(&s, "more?"), S("-"));
}

static void
test_scram_says_when_it_could_bind(void **state)
{
	struct sasl s = login_of_rfc(MECHANISM_SCRAM_SHA_256);

	(void)state;
	s.could_bind = true;
	assert_str(answer(&s, ""), S("y,,n=user,r=" NONCE));
	assert_str(answer(&s, SERVER_FIRST),
		S("c=eSws,r=" BOTH_NONCES ",p=FoqiHTtQEDE8lz1CdaEe3tK4mS+iMDTl77SPyDS53DY="));
	assert_str(answer(&s, "v=dI4KpiQJwBr1+V+K6U1dA6l6I4I9DUNXWND4pcpRU3U="), S(""));
	assert_true(s.is_done);
}

static void
test_scram_binds_to_tls(void **state)
{
	struct sasl s = login_of_rfc(MECHANISM_SCRAM_SHA_256_PLUS);
	char octets[32];

	(void)state;
	for (int i = 0; i < 32; i++)
		octets[i] = (char)i;
	s.binding_kind = S("tls-exporter");
	s.binding = (struct str){ octets, sizeof octets };
	assert_str(answer(&s, ""), S("p=tls-exporter,,n=user,r=" NONCE));
	assert_str(answer(&s, SERVER_FIRST),
		S("c=cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f,"
		  "r=" BOTH_NONCES ",p=QC6CS20quADQRb3mT99YUH+n3VJxUvzuK0K0E1Vrs2M="));
	assert_str(answer(&s, "v=2GiAgapEppLVlUXbxUDksL3VgYHzuqiK5tR4mhJGgvs="), S(""));
	assert_true(s.is_done);
}

/* A comma or equals sign in the name cannot begin another field. */
static void
test_a_name_is_one_field(void **state)
{
	struct sasl s = login_of_rfc(MECHANISM_SCRAM_SHA_256);

	(void)state;
	s.login = S("a,b=c");
	assert_str(answer(&s, ""), S("n,,n=a=2Cb=3Dc,r=" NONCE));
	s = (struct sasl){
		.mechanism = MECHANISM_OAUTHBEARER, .login = S("a,b"), .secret = S("t")
	};
	assert_str(answer(&s, ""), S("n,a=a=2Cb,\1auth=Bearer t\1\1"));
	s = (struct sasl){
		.mechanism = MECHANISM_OAUTHBEARER, .login = S("a"), .secret = S("t\1host=x")
	};
	assert_str(answer(&s, ""), S("-"));
	s = (struct sasl){ .mechanism = MECHANISM_XOAUTH2, .login = S("a\1"), .secret = S("t") };
	assert_str(answer(&s, ""), S("-"));
}

static void
test_no_lie_of_a_scram_server_is_believed(void **state)
{
	static const char *const first[] = {
		"",
		"r=" BOTH_NONCES,
		"r=" BOTH_NONCES ",s=" SALT,
		"r=" BOTH_NONCES ",s=" SALT ",i=",
		"r=" BOTH_NONCES ",s=" SALT ",i=0",
		"r=" BOTH_NONCES ",s=" SALT ",i=4095",
		"r=" BOTH_NONCES ",s=" SALT ",i=600001",
		"r=" BOTH_NONCES ",s=" SALT ",i=99999999999999999999999",
		"r=" BOTH_NONCES ",s=" SALT ",i=-4096",
		"r=" BOTH_NONCES ",s=" SALT ",i=4096x",
		"r=" BOTH_NONCES ",s=,i=4096",
		"r=" BOTH_NONCES ",s=W22Z!,i=4096",
		"r=" NONCE ",s=" SALT ",i=4096",		  /* adds nothing */
		"r=rOprNGfwEbeRWgbNEkqX%hvYDp,s=" SALT ",i=4096", /* not ours */
		"r=" NONCE,
		("m=new," SERVER_FIRST), /* a mandatory extension */
		"s=" SALT ",r=" BOTH_NONCES ",i=4096",
	};
	static const char *const last[] = {
		"",
		"v=",
		"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=",
		"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		(SIGNATURE "x"),
		("x=1," SIGNATURE),
	};
	struct sasl s;

	(void)state;
	for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) {
		s = login_of_rfc(MECHANISM_SCRAM_SHA_256);
		answer(&s, "");
		assert_str(answer(&s, first[i]), S("-"));
	}
	for (size_t i = 0; i < sizeof last / sizeof last[0]; i++) {
		s = login_of_rfc(MECHANISM_SCRAM_SHA_256);
		answer(&s, "");
		answer(&s, SERVER_FIRST);
		assert_str(answer(&s, last[i]), S("-"));
	}
	s = login_of_rfc(MECHANISM_SCRAM_SHA_256);
	answer(&s, "");
	answer(&s, SERVER_FIRST);
	assert_str(answer(&s, "e=invalid-proof"), S(""));
	assert_false(s.is_done);
}

/* They may stand behind what is known (RFC 5802 §5.1). */
static void
test_extensions_of_scram_are_passed_over(void **state)
{
	struct sasl s = login_of_rfc(MECHANISM_SCRAM_SHA_256);

	(void)state;
	answer(&s, "");
	assert_true(answer(&s, SERVER_FIRST ",x=y,z=").n > 1);
	assert_str(answer(&s, SIGNATURE), S("-")); /* the proof covered them too */
}

static void
test_cram_as_in_the_rfc(void **state)
{
	struct sasl s = {
		.mechanism = MECHANISM_CRAM_MD5, .login = S("tim"), .secret = S("tanstaaftanstaaf")
	};

	(void)state;
	assert_str(answer(&s, "<1896.697170952@postoffice.reston.mci.net>"),
		S("tim b913a602c7eda7a495b4e6e7334d3890"));
	assert_true(s.is_done);
	assert_str(answer(&s, "<again>"), S("-"));
}

static void
test_plain_and_login(void **state)
{
	struct sasl s = { .mechanism = MECHANISM_PLAIN, .login = S("tim"), .secret = S("pass") };

	(void)state;
	assert_str(answer(&s, ""), S("\0tim\0pass"));
	assert_true(s.is_done);
	s = (struct sasl){ .mechanism = MECHANISM_LOGIN, .login = S("tim"), .secret = S("pass") };
	assert_str(answer(&s, "Username:"), S("tim"));
	assert_false(s.is_done);
	assert_str(answer(&s, "Password:"), S("pass"));
	assert_true(s.is_done);
	assert_str(answer(&s, "Favourite colour:"), S("-"));
}

static void
test_tokens(void **state)
{
	struct sasl s = { .mechanism = MECHANISM_OAUTHBEARER,
		.login = S("user@example.com"),
		.secret = S("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="),
		.host = S("server.example.com") };

	(void)state;
	assert_str(answer(&s, ""), S("n,a=user@example.com,\1host=server.example.com\1auth=Bearer "
				     "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1"));
	assert_true(s.is_done);
	assert_str(answer(&s, "{\"status\":\"invalid_token\"}"), S("\1"));
	assert_false(s.is_done);
	assert_str(answer(&s, "{}"), S("-"));
	s.mechanism = MECHANISM_XOAUTH2;
	s.responses = 0;
	assert_str(answer(&s, ""), S("user=user@example.com\1auth=Bearer "
				     "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1"));
	assert_str(answer(&s, "{\"status\":\"401\"}"), S(""));
}

static void
test_what_is_too_long_is_not_cut(void **state)
{
	static char octets[SASL_RESPONSE_MAX];
	struct sasl s = { .mechanism = MECHANISM_PLAIN, .login = S("tim") };

	(void)state;
	memset(octets, 'x', sizeof octets);
	s.secret = (struct str){ octets, sizeof octets - 5 };
	assert_int_equal(answer(&s, "").n, sizeof octets);
	s.responses = 0;
	s.secret.n++;
	assert_str(answer(&s, ""), S("-"));
}

static void
test_names(void **state)
{
	(void)state;
	for (unsigned m = MECHANISM_SCRAM_SHA_256_PLUS; m <= MECHANISM_XOAUTH2; m <<= 1)
		assert_int_equal(sasl_named(sasl_name(m)), m);
	assert_int_equal(sasl_named(S("scram-sha-256")), MECHANISM_SCRAM_SHA_256);
	assert_int_equal(sasl_named(S("SCRAM-SHA-1")), 0);
	assert_int_equal(sasl_named(S("")), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scram_as_in_the_rfc),
		cmocka_unit_test(test_scram_says_when_it_could_bind),
		cmocka_unit_test(test_scram_binds_to_tls),
		cmocka_unit_test(test_a_name_is_one_field),
		cmocka_unit_test(test_no_lie_of_a_scram_server_is_believed),
		cmocka_unit_test(test_extensions_of_scram_are_passed_over),
		cmocka_unit_test(test_cram_as_in_the_rfc),
		cmocka_unit_test(test_plain_and_login),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_what_is_too_long_is_not_cut),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
