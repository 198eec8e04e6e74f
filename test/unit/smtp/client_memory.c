/* SPDX-License-Identifier: Apache-2.0 */
#include "client_scene.h"

#include <malloc.h>

/*
 * Memory that refuses: for every n the n-th request for more, alone or with all behind it. The session then fails with an error of
 * its own, nobody is called delivered who is not, and what was taken is given back.
 */
struct miser {
	size_t until_refusal; /* requests that are still met */
	bool stays_hard;
	size_t refused, live;
};

static void *
miser_resize(void *context, void *p, size_t n)
{
	struct miser *m = context;
	void *got;

	if (n == 0) {
		free(p);
		m->live--;
		return NULL;
	}
	if (m->until_refusal == 0 && (m->stays_hard || m->refused == 0)) {
		m->refused++;
		return NULL;
	}
	if (m->until_refusal)
		m->until_refusal--;
	got = malloc(
		n); /* always another place: who keeps the old one is found by the sanitizers */
	assert_non_null(got);
	if (p) {
		size_t had = malloc_usable_size(p);

		memcpy(got, p, had < n ? had : n);
		free(p);
	} else {
		m->live++;
	}
	return got;
}

static const char by_chunks[] = GREETING
	"S: 250-mx\nS: 250-PIPELINING\nS: 250-CHUNKING\nS: 250-DSN\nS: 250 AUTH SCRAM-SHA-256\n"
	"S: 334 "
	"cj1yT3ByTkdmd0ViZVJXZ2JORWtxTyVodllEcFdVYTJSYVRDQWZ1eEZJbGopaE5sRiRrMCxzPVcyMlphSjBTTlk3"
	"c29Fc1VFamI2Z1E9PSxpPTQwOTY=\n"
	"S: 334 dj02cnJpVFJCaTIzV3BSUi93dHVwK21NaFVaVW4vZEI1bkxUSlJzamw5NUc0PQ==\nS: 235 in\n"
	"S: 250 ok\nS: 250 ok\nS: 550 5.1.1 nobody of that name\nS: 250 kept\n"
	"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250-kept\nS: 250 as 17\n" QUIT;
static const char by_data[] =
	GREETING "S: 250-mx\nS: 250-PIPELINING\nS: 250 AUTH XOAUTH2 LOGIN CRAM-MD5\n"
		 "S: 334 e30=\nS: 535 old\nS: 235 in\n"
		 "S: 250 ok\nS: 250 ok\nS: 550 5.1.1 nobody of that name\nS: 354 go\nS: 250 kept\n"
		 "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 kept\n" QUIT;

/* Returns whether all requests were met. */
static bool
play(const char *script, struct miser m, struct str message)
{
	struct smtp_client_mail mails[] = { mail_to_two(outcomes), mail_to_two(outcomes_b) };
	struct memory memory = { miser_resize, &m };
	struct scene s = scene_of(mails, 2);

	s.message = message;
	mails[0].size = mails[1].size = message.n;
	s.settings.memory = &memory;
	s.settings.login = S("user");
	s.settings.password = S("pencil");
	s.settings.nonce = S("rOprNGfwEbeRWgbNEkqO");
	s.settings.shows_password = s.settings.goes_ahead = s.ignores_words = true;
	s.settings.mechanisms = MECHANISM_SCRAM_SHA_256 | MECHANISM_XOAUTH2;
	s.settings.has_token = script == by_data;
	s.tokens[0] = "t0ken";
	s.tokens[1] = "fresh";
	scene_play(&s, script);
	assert_true(s.is_closed != s.is_failed);
	assert_true(s.is_closed || m.refused);
	assert_true(
		s.is_failed || m.refused == 0 || s.done == 2); /* nothing goes wrong behind QUIT */
	if (s.is_failed) {
		assert_int_equal(s.c.error.class, ERR_TEMPORARY);
		assert_int_equal(s.c.error.kind, ERR_LOCAL);
		assert_non_null(strstr(s.c.error.text, "no memory"));
	}
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(outcomes[i].is_settled, s.mails_begun > 0);
		assert_int_equal(outcomes_b[i].is_settled, s.mails_begun > 1);
		assert_true(err_is(&outcomes_b[i].err) || s.mails_begun < 2 || s.done == 2);
	}
	scene_end(&s);
	assert_int_equal(m.live, 0);
	return m.refused == 0;
}

static void
refuse_each(const char *script, struct str message)
{
	for (int stays_hard = 0; stays_hard < 2; stays_hard++) {
		size_t n = 0;

		while (!play(script, (struct miser){ .until_refusal = n, .stays_hard = stays_hard },
			message))
			n++;
		assert_true(n > 5);
	}
}

static void
test_a_refusal_at_every_request(void **state)
{
	static char large[200000];

	(void)state;
	memset(large, '.', sizeof large);
	refuse_each(by_chunks, S(MESSAGE));
	refuse_each(by_data, S(MESSAGE));
	refuse_each(by_chunks, (struct str){ large, 60000 });
	refuse_each(by_data, (struct str){ large, sizeof large });
}

/* Nothing of what has holes leaves. */
static void
test_nothing_leaves_behind_a_refusal(void **state)
{
	struct miser m = { .until_refusal = SIZE_MAX, .stays_hard = true };
	struct memory memory = { miser_resize, &m };
	struct smtp_client_mail mail = mail_to_two(outcomes);
	struct scene s = scene_of(&mail, 0);

	(void)state;
	s.settings.memory = &memory;
	s.ignores_words = true;
	scene_play(&s, GREETING "S: 250-mx\n");
	smtp_client_feed(&s.c, S("250 PIPELINING\r\n"));
	assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_READY);
	m.until_refusal = 0;
	smtp_client_mail(&s.c, &mail);
	assert_int_equal(m.refused != 0, smtp_client_output(&s.c).n == 0);
	assert_true(m.refused > 0);
	assert_int_equal(smtp_client_next(&s.c), CLIENT_ON_FAILED);
	assert_int_equal(outcomes[0].err.kind, ERR_LOCAL);
	assert_false(outcomes[0].may_be_delivered);
	scene_end(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_refusal_at_every_request),
		cmocka_unit_test(test_nothing_leaves_behind_a_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
