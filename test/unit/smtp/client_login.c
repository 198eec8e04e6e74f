/* SPDX-License-Identifier: Apache-2.0 */
#include "client_scene.h"

/* The ways to log in, on the wire: RFC 7677 §3 and RFC 2195 §2 in base64. What they say is tested by sasl.c. */
#define OFFER	    GREETING "S: 250-mx\nS: 250 AUTH "
#define SCRAM_FIRST "biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8="
#define SERVER_FIRST                                                                           \
	"cj1yT3ByTkdmd0ViZVJXZ2JORWtxTyVodllEcFdVYTJSYVRDQWZ1eEZJbGopaE5sRiRrMCxzPVcyMlphSjBT" \
	"Tlk3c29Fc1VFamI2Z1E9PSxpPTQwOTY="
#define SCRAM_FINAL                                                                        \
	"Yz1iaXdzLHI9ck9wck5HZndFYmVSV2diTkVrcU8laHZZRHBXVWEyUmFUQ0FmdXhGSWxqKWhObEYkazAs" \
	"cD1kSHpiWmFwV0lrNGpVaE4rVXRlOXl0YWc5empmTUhnc3FtbWl6N0FuZFZRPQ=="
#define SIGNATURE "dj02cnJpVFJCaTIzV3BSUi93dHVwK21NaFVaVW4vZEI1bkxUSlJzamw5NUc0PQ=="
#define SCRAM	  "C: AUTH SCRAM-SHA-256 " SCRAM_FIRST "\n"

static struct scene
scene_with_login(unsigned mechanisms)
{
	struct scene s = scene_of(NULL, 0);

	s.settings.login = S("user");
	s.settings.password = S("pencil");
	s.settings.nonce = S("rOprNGfwEbeRWgbNEkqO");
	s.settings.shows_password = true;
	s.settings.mechanisms = mechanisms;
	return s;
}

static void
test_scram(void **state)
{
	struct scene s = scene_with_login(MECHANISMS_SCRAM | MECHANISM_PLAIN);

	(void)state;
	scene_play(&s, OFFER "PLAIN SCRAM-SHA-256\n" SCRAM "S: 334 " SERVER_FIRST
			     "\nC: " SCRAM_FINAL "\nS: 334 " SIGNATURE "\nC: \nS: 235 in\n" QUIT);
	assert_true(s.is_closed);
	scene_end(&s);
}

/* Each is the end of the session, and none is a login. */
static void
test_a_server_that_lies_is_left(void **state)
{
	static const char *const lies[] = {
		SCRAM "S: 235 in\n",
		SCRAM "S: 334 \n",
		SCRAM "S: 334 no base64\n",
		SCRAM "S: 334-" SERVER_FIRST "\nS: 334 " SERVER_FIRST "\n",
		SCRAM "S: 334 cj1vdGhlcg==\n",
		SCRAM "S: 334 " SERVER_FIRST "\nC: " SCRAM_FINAL "\nS: 235 in\n",
		SCRAM "S: 334 " SERVER_FIRST "\nC: " SCRAM_FINAL "\nS: 334 dj1BQUFB\n",
		SCRAM "S: 334 " SERVER_FIRST "\nC: " SCRAM_FINAL
		      "\nS: 334 ZT1uby1zdWNoLXVzZXI=\nC: \nS: 235 in\n",
		SCRAM "S: 334 " SERVER_FIRST "\nC: " SCRAM_FINAL "\nS: 334 " SIGNATURE
		      "\nC: \nS: 334 \n",
		SCRAM "S: 250 in\nS: 250 in\n",
		SCRAM "S: 354 go\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		struct scene s = scene_with_login(MECHANISM_SCRAM_SHA_256);
		struct buf script = { .max = 4096 };

		buf_add(&script, str_of(OFFER "SCRAM-SHA-256\n"));
		buf_add(&script, str_of(lies[i]));
		buf_add_char(&script, '\0');
		scene_play(&s, script.p);
		assert_true(s.is_failed);
		assert_false(s.is_ready);
		assert_int_equal(s.c.error.class, ERR_TEMPORARY);
		assert_int_equal(s.c.error.kind, ERR_PROTOCOL);
		assert_int_equal(s.c.stage, STAGE_AUTH);
		scene_end(&s);
		buf_free(&script);
	}
}

/* The best that both know; with a binding PLUS, and 'y' where only the peer lacks it. */
static void
test_the_worthiest_is_taken(void **state)
{
	static const struct {
		unsigned mechanisms;
		const char *offer, *said;
		bool has_tls, has_binding;
	} cases[] = {
		{ 0, "SCRAM-SHA-256 CRAM-MD5 LOGIN PLAIN", "AUTH PLAIN ", false, false },
		{ 0, "LOGIN", "AUTH LOGIN\r\n", false, false },
		{ 31, "LOGIN PLAIN CRAM-MD5", "AUTH CRAM-MD5\r\n", false, false },
		{ 31, "LOGIN PLAIN CRAM-MD5 scram-sha-256", "AUTH SCRAM-SHA-256 biws", false,
			false },
		{ 31, "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "AUTH SCRAM-SHA-256 biws", true, false },
		{ 31, "SCRAM-SHA-256 SCRAM-SHA-256-PLUS",
			"AUTH SCRAM-SHA-256-PLUS cD10bHMtZXhwb3J0ZXIs", true, true },
		{ 31, "SCRAM-SHA-256", "AUTH SCRAM-SHA-256 eSws", true, true },
		{ 30, "SCRAM-SHA-256", "AUTH SCRAM-SHA-256 biws", true, true },
		{ 30, "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "AUTH SCRAM-SHA-256 biws", true, true },
		{ 127, "XOAUTH2 OAUTHBEARER LOGIN", "AUTH LOGIN\r\n", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct scene s = scene_with_login(cases[i].mechanisms);
		struct buf line = { .max = 200 };

		s.settings.tls = cases[i].has_tls ? CLIENT_TLS_FIRST : CLIENT_TLS_NEVER;
		s.binding = cases[i].has_binding ? S("0123456789abcdef") : S("");
		buf_add(&line, S("250 AUTH "));
		buf_add(&line, str_of(cases[i].offer));
		scene_play(&s,
			cases[i].has_tls ? "TLS\n" GREETING "S: 250-mx\n" : GREETING "S: 250-mx\n");
		scene_hear(&s, buf_str(&line));
		if (!str_starts(buf_str(&s.said), str_of(cases[i].said)))
			fail_msg("offered %s: '%.*s'", cases[i].offer, STR_ARG(buf_str(&s.said)));
		scene_end(&s);
		buf_free(&line);
	}
}

static void
test_no_way_that_is_allowed(void **state)
{
	struct scene s = scene_with_login(MECHANISM_CRAM_MD5);

	(void)state;
	scene_play(&s, OFFER "PLAIN LOGIN GSSAPI\n");
	assert_int_equal(s.c.error.kind, ERR_LOGIN_REFUSED);
	assert_non_null(strstr(s.c.error.text, "it offers PLAIN, LOGIN"));
	scene_end(&s);
}

static void
test_cram(void **state)
{
	struct scene s = scene_with_login(MECHANISM_CRAM_MD5);

	(void)state;
	s.settings.login = S("tim");
	s.settings.password = S("tanstaaftanstaaf");
	scene_play(&s,
		OFFER "CRAM-MD5\nC: AUTH CRAM-MD5\n"
		      "S: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\n"
		      "C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\nS: 235 in\n" QUIT);
	assert_true(s.is_closed);
	scene_end(&s);
	scene_play(&s, OFFER "CRAM-MD5\nC: AUTH CRAM-MD5\nS: 334 what?\n");
	assert_int_equal(s.c.error.kind, ERR_PROTOCOL);
	scene_end(&s);
}

/* ── Tokens ──────────────────────────────────────────────────────────────────────────────────── */

#define BEARER "C: AUTH OAUTHBEARER bixhPXVzZXIsAWhvc3Q9bXguZXhhbXBsZQFhdXRoPUJlYXJlciB0MGtlbgEB\n"
#define BEARER_FRESH \
	"C: AUTH OAUTHBEARER bixhPXVzZXIsAWhvc3Q9bXguZXhhbXBsZQFhdXRoPUJlYXJlciBmcmVzaAEB\n"
#define NOT_LIKED "S: 334 eyJzdGF0dXMiOiI0MDEifQ==\nC: AQ==\nS: 535 5.7.8 old\n"

static struct scene
scene_with_tokens(const char *first, const char *second)
{
	struct scene s = scene_with_login(0);

	s.settings.has_token = true;
	s.settings.host = S("mx.example");
	s.tokens[0] = first;
	s.tokens[1] = second;
	return s;
}

static void
test_a_token(void **state)
{
	struct scene s = scene_with_tokens("t0ken", NULL);

	(void)state;
	scene_play(&s, OFFER "PLAIN XOAUTH2 OAUTHBEARER\n" BEARER "S: 235 in\n" QUIT);
	assert_true(s.is_closed);
	assert_int_equal(s.tokens_asked, 1);
	scene_end(&s);
	scene_play(&s,
		OFFER "PLAIN XOAUTH2\nC: AUTH XOAUTH2 dXNlcj11c2VyAWF1dGg9QmVhcmVyIHQwa2VuAQE=\n"
		      "S: 334 eyJzdGF0dXMiOiI0MDEifQ==\nC: \nS: 454 4.7.0 later\nC: QUIT\n");
	assert_int_equal(s.c.error.code, 454);
	assert_int_equal(s.tokens_asked, 1);
	scene_end(&s);
}

static void
test_a_token_that_ran_out_is_asked_for_again(void **state)
{
	struct scene s = scene_with_tokens("t0ken", "fresh");

	(void)state;
	scene_play(&s, OFFER "OAUTHBEARER\n" BEARER NOT_LIKED BEARER_FRESH "S: 235 in\n" QUIT);
	assert_true(s.is_closed);
	assert_int_equal(s.tokens_asked, 2);
	scene_end(&s);
	scene_play(&s, OFFER "OAUTHBEARER\n" BEARER "S: 535 5.7.8 old\n" BEARER_FRESH NOT_LIKED
			     "C: QUIT\n");
	assert_int_equal(s.c.error.code, 535);
	assert_int_equal(s.tokens_asked, 2);
	scene_end(&s);
}

static void
test_no_token(void **state)
{
	struct scene s = scene_with_tokens("t0ken", NULL);

	(void)state;
	scene_play(&s, OFFER "OAUTHBEARER\n" BEARER NOT_LIKED "C: QUIT\n");
	assert_true(s.is_failed);
	assert_int_equal(s.c.error.code, 535);
	assert_string_equal(s.c.error.text, "old");
	scene_end(&s);
	s = scene_with_tokens(NULL, NULL);
	scene_play(&s, OFFER "OAUTHBEARER\n");
	assert_int_equal(s.c.error.kind, ERR_LOGIN_REFUSED);
	scene_end(&s);
	s = scene_with_tokens("two\r\nlines", NULL);
	scene_play(&s, OFFER "OAUTHBEARER\n");
	assert_int_equal(s.c.error.kind, ERR_LOGIN_REFUSED);
	scene_end(&s);
}

static void
test_a_long_token_waits_for_its_prompt(void **state)
{
	char token[2001];
	struct scene s = scene_with_tokens(token, NULL);

	(void)state;
	memset(token, 't', 2000);
	token[2000] = '\0';
	scene_play(&s, OFFER "XOAUTH2\nC: AUTH XOAUTH2\n");
	memset(token, 'x', 2000); /* the core has its own */
	scene_hear(&s, S("334 "));
	assert_int_equal(s.said.n, (5 + 4 + 1 + 12 + 2000 + 2 + 2) / 3 * 4 + 2);
	assert_true(str_find_str(buf_str(&s.said), S("dHR0dHR0")) < s.said.n);
	s.said.n = 0;
	scene_hear(&s, S("235 in"));
	assert_true(s.is_ready);
	scene_end(&s);
}

/* Every line with something of a secret is marked until it has left, and no other. */
static void
test_secret_lines_are_marked(void **state)
{
	static const struct {
		const char *hears;
		bool is_secret;
	} turns[] = {
		{ "220 x\r\n", false },
		{ "250-x\r\n250 AUTH SCRAM-SHA-256\r\n", true },
		{ "334 " SERVER_FIRST "\r\n", true },
		{ "334 " SIGNATURE "\r\n", true },
	};
	struct scene s = scene_with_login(MECHANISM_SCRAM_SHA_256);

	(void)state;
	scene_begin(&s);
	for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
		smtp_client_feed(&s.c, str_of(turns[i].hears));
		assert_int_equal(smtp_client_next(&s.c), CLIENT_WANT_INPUT);
		assert_int_equal(s.c.output_is_secret, turns[i].is_secret);
		scene_flush(&s);
		assert_false(s.c.output_is_secret);
	}
	scene_end(&s);
}

/* What was said of logins in clear is as good as not said. */
static void
test_no_login_in_clear(void **state)
{
	struct scene s = scene_with_login(31);

	(void)state;
	s.settings.shows_password = false;
	scene_play(&s, OFFER "SCRAM-SHA-256 PLAIN\nC: QUIT\n");
	assert_int_equal(s.c.error.kind, ERR_TLS);
	scene_end(&s);
	s.settings.tls = CLIENT_TLS_TRY;
	scene_play(&s, GREETING
		"S: 250-mx\nS: 250-AUTH PLAIN\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\n"
		"C: EHLO client.example\nS: 250 mx\n");
	assert_int_equal(s.c.error.kind, ERR_LOGIN_REFUSED);
	scene_end(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scram),
		cmocka_unit_test(test_a_server_that_lies_is_left),
		cmocka_unit_test(test_the_worthiest_is_taken),
		cmocka_unit_test(test_no_way_that_is_allowed),
		cmocka_unit_test(test_cram),
		cmocka_unit_test(test_a_token),
		cmocka_unit_test(test_a_token_that_ran_out_is_asked_for_again),
		cmocka_unit_test(test_no_token),
		cmocka_unit_test(test_a_long_token_waits_for_its_prompt),
		cmocka_unit_test(test_secret_lines_are_marked),
		cmocka_unit_test(test_no_login_in_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
