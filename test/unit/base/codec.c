/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/codec.h"
#include "base/hash.h"

static void
packed_values_come_back(void **state)
{
	struct buf b = { .max = 1024 };
	struct err e, back = { 0 };
	struct str in, text = { 0 };
	uint8_t u8 = 0;
	uint16_t u16 = 0;
	uint32_t u32 = 0;
	uint64_t u64 = 0;

	(void)state;
	err_set(&e, ERR_PERMANENT, ERR_REMOTE, "no such user\r\n250 ok");
	assert_string_equal(
		e.text, "no such user??250 ok"); /* no words of a peer can begin a line */
	e.code = 550;
	e.enhanced = (struct enhanced){ 5, 1, 1 };
	codec_add_u8(&b, 0xfe);
	codec_add_u16(&b, 0xfedc);
	codec_add_u32(&b, 0xfedcba98u);
	codec_add_u64(&b, 0xfedcba9876543210u);
	codec_add_str(&b, S("text"));
	codec_add_err(&b, &e);
	in = buf_str(&b);
	assert_true(codec_scan_u8(&in, &u8) && codec_scan_u16(&in, &u16) &&
		    codec_scan_u32(&in, &u32) && codec_scan_u64(&in, &u64) &&
		    codec_scan_str(&in, &text) && codec_scan_err(&in, &back));
	assert_int_equal(in.n, 0);
	assert_int_equal(u8, 0xfe);
	assert_int_equal(u16, 0xfedc);
	assert_int_equal(u32, 0xfedcba98u);
	assert_true(u64 == 0xfedcba9876543210u);
	assert_str(text, S("text"));
	assert_memory_equal(&e, &back, sizeof e);
	for (size_t cut = 0; cut < b.n; cut++) { /* cut anywhere: refused, and left as it was */
		struct str err_part = str_part(buf_str(&b), 23, cut),
			   text_part = str_part(buf_str(&b), 15, cut);

		if (23 + cut < b.n)
			assert_false(codec_scan_err(&err_part, &back));
		if (cut < 8)
			assert_false(codec_scan_str(&text_part, &text));
		if (cut < 8)
			assert_int_equal(text_part.n, cut);
	}
	buf_free(&b);
}

static void
base64_is_strict(void **state)
{
	static const struct {
		struct str plain, coded;
	} good[] = { { S(""), S("") }, { S("f"), S("Zg==") }, { S("fo"), S("Zm8=") },
		{ S("foo"), S("Zm9v") }, { S("foob"), S("Zm9vYg==") }, { S("\0\xff"), S("AP8=") } };
	static const struct str bad[] = { S("Zg"), S("Zg="), S("Zh=="), S("Zm9="), S("Z==="),
		S("Zm 8="), S("Zg==Zg=="), S("====") };
	struct buf b = { .max = 100 };

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		buf_reset(&b);
		codec_add_base64(&b, good[i].plain);
		assert_str(buf_str(&b), good[i].coded);
		buf_reset(&b);
		assert_true(codec_add_from_base64(&b, good[i].coded));
		assert_str(buf_str(&b), good[i].plain);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		buf_reset(&b);
		buf_add(&b, S("kept"));
		assert_false(codec_add_from_base64(&b, bad[i]));
		assert_str(buf_str(&b), S("kept"));
	}
	buf_free(&b);
}

/* Octets of every value, at every length that the loops of the encoder treat in their own way. */
static void
base64_comes_back(void **state)
{
	char octets[256];
	struct buf b = { .max = 1000 }, back = { .max = 1000 };

	(void)state;
	for (size_t i = 0; i < sizeof octets; i++)
		octets[i] = (char)(i * 37);
	for (size_t n = 0; n <= sizeof octets; n++) {
		buf_reset(&b);
		buf_reset(&back);
		codec_add_base64(&b, (struct str){ octets, n });
		assert_int_equal(b.n, codec_base64_size(n));
		assert_true(codec_add_from_base64(&back, buf_str(&b)));
		assert_str(buf_str(&back), ((struct str){ octets, n }));
	}
	b.max = 3;
	buf_reset(&b);
	codec_add_base64(&b, S("x"));
	assert_true(b.overflow && b.n == 0);
	buf_free(&b);
	buf_free(&back);
}

static void
xtext_is_strict(void **state)
{
	static const char *const bad[] = { "+", "+2", "+2b", "+GG", "a=b", "a b", "\xc3\xa9",
		"\x7f" };
	struct buf b = { .max = 200 };

	(void)state;
	assert_true(codec_add_from_xtext(&b, S("")));
	assert_true(codec_add_from_xtext(&b, S("a+2B+3Db@x+00!~")));
	assert_str(buf_str(&b), S("a+=b@x\0!~"));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_false(codec_add_from_xtext(&b, str_of(bad[i])));
		assert_int_equal(b.n, 9);
	}
	buf_free(&b);
}

static void
ids_are_text_and_back(void **state)
{
	struct mail_id id = mail_id_random(), back;
	char text[MAIL_ID_TEXT];

	(void)state;
	assert_int_equal(strlen(mail_id_text(id, text)), 32);
	assert_true(mail_id_parse(str_of(text), &back) && mail_id_eq(id, back));
	text[3] = 'g';
	assert_false(mail_id_parse(str_of(text), &back));
	assert_false(mail_id_parse(S("00"), &back));
}

static void
json_cannot_be_broken_out_of(void **state)
{
	struct buf b = { .max = 200 };

	(void)state;
	codec_add_json(&b, S("a\"b\\c\n\x01\xc3\xa9\xff\x7f"));
	assert_str(buf_str(&b), S("\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\xef\xbf\xbd\\u007f\""));
	buf_free(&b);
}

/* Vectors of RFC 3720 §B.4 and of the SipHash paper. */
static void
hashes_match_their_vectors(void **state)
{
	char zeros[32] = { 0 }, ones[32], first[15];
	uint64_t secret[2] = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };

	(void)state;
	memset(ones, 0xff, sizeof ones);
	assert_int_equal(hash_crc32c(0, (struct str){ zeros, 32 }), 0x8a9136aau);
	assert_int_equal(hash_crc32c(0, (struct str){ ones, 32 }), 0x62a8ab43u);
	assert_int_equal(
		hash_crc32c(hash_crc32c(0, (struct str){ ones, 5 }), (struct str){ ones, 27 }),
		0x62a8ab43u);
	for (size_t i = 0; i < sizeof first; i++)
		first[i] = (char)i;
	assert_true(hash_sip(secret, (struct str){ first, sizeof first }) == 0xa129ca6149be45e5u);
}

static void
markup_cannot_be_broken_out_of(void **state)
{
	struct buf b = { .max = 100 };

	(void)state;
	buf_add(&b, S("before"));
	buf_set(&b, S("a "));
	buf_add_markup(&b, S("<b title=\"x\">'&amp;'\xe4"));
	assert_true(
		str_eq(buf_str(&b), S("a &lt;b title=&quot;x&quot;&gt;&#39;&amp;amp;&#39;\xe4")));
	buf_free(&b);
}

static void
hexadecimal_comes_back(void **state)
{
	const unsigned char octets[] = { 0x00, 0x7f, 0x80, 0xff, 0xa1 };
	unsigned char back[sizeof octets];
	char text[2 * sizeof octets + 1];

	(void)state;
	codec_hex(text, octets, sizeof octets);
	assert_string_equal(text, "007f80ffa1");
	assert_true(codec_from_hex(str_of(text), back, sizeof back));
	assert_memory_equal(back, octets, sizeof octets);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packed_values_come_back),
		cmocka_unit_test(base64_is_strict),
		cmocka_unit_test(base64_comes_back),
		cmocka_unit_test(xtext_is_strict),
		cmocka_unit_test(ids_are_text_and_back),
		cmocka_unit_test(json_cannot_be_broken_out_of),
		cmocka_unit_test(hashes_match_their_vectors),
		cmocka_unit_test(markup_cannot_be_broken_out_of),
		cmocka_unit_test(hexadecimal_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
