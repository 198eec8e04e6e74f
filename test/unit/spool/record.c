/* SPDX-License-Identifier: Apache-2.0 */
/* The format: what is written is read, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spool/record.h"

enum { GENERATION = 0x1122334455667788 };

static struct spool_mail
sample_mail(struct buf *recipients)
{
	codec_add_str(recipients, S("bob@example.net"));
	codec_add_str(recipients, S("carol@example.net"));
	return (struct spool_mail){
		.envelope = { .id = { "0123456789abcde" },
			.arrived_ms = 1700000000123,
			.flags = SPOOL_8BIT | SPOOL_TRUSTED,
			.reverse_path = S("alice@example.org"),
			.client = S("192.0.2.1"),
			.login = S("alice"),
			.token = S("proof"),
			.recipients = buf_str(recipients),
			.recipients_n = 2 },
		.prefix = S("Received: here\r\n"),
		.message = S("Subject: x\r\n\r\nHello\r\n"),
	};
}

static void
a_mail_comes_back_as_it_was(void **unused)
{
	struct buf recipients = { .max = 1000 }, file = { .max = 100000 };
	struct spool_mail m = sample_mail(&recipients), back;
	struct record r;
	uint64_t want;

	(void)unused;
	m.big = 0xfedcba9876543210;
	m.big_size = 1ull << 40;
	m.big_crc = 7;
	record_add_mail(&file, GENERATION, &m);
	assert_int_equal(file.n % SPOOL_ALIGN, 0);
	assert_int_equal(record_read(buf_str(&file), GENERATION, &r, &want), RECORD_OK);
	assert_int_equal(r.size, file.n);
	assert_true(record_get_mail(&r, &back));
	assert_true(mail_id_eq(back.envelope.id, m.envelope.id));
	assert_int_equal(back.envelope.arrived_ms, m.envelope.arrived_ms);
	assert_int_equal(back.envelope.flags, m.envelope.flags);
	assert_true(str_eq(back.envelope.reverse_path, m.envelope.reverse_path));
	assert_true(str_eq(back.envelope.client, m.envelope.client));
	assert_true(str_eq(back.envelope.login, m.envelope.login));
	assert_true(str_eq(back.envelope.token, m.envelope.token));
	assert_true(str_eq(back.envelope.recipients, m.envelope.recipients));
	assert_int_equal(back.envelope.recipients_n, 2);
	assert_true(str_eq(back.prefix, m.prefix));
	assert_true(str_eq(back.message, m.message));
	assert_true(back.big == m.big && back.big_size == m.big_size && back.big_crc == 7);
	buf_free(&recipients);
	buf_free(&file);
}

static void
wishes_come_back_and_are_left_out_where_there_are_none(void **unused)
{
	struct buf recipients = { .max = 1000 }, dsn = { .max = 1000 }, file = { .max = 100000 };
	struct spool_mail m = sample_mail(&recipients), back;
	struct str packed, orcpt;
	struct record r;
	uint64_t want;
	uint8_t notify;
	size_t without;

	(void)unused;
	record_add_mail(&file, GENERATION, &m);
	assert_int_equal(record_read(buf_str(&file), GENERATION, &r, &want), RECORD_OK);
	assert_int_equal(codec_get_u32(r.payload.p + 8), m.envelope.flags);
	without = r.payload.n;
	spool_add_dsn(&dsn, 6, S("rfc822;bob+2Bx@example.net"));
	spool_add_dsn(&dsn, 0, S(""));
	m.envelope.dsn = buf_str(&dsn);
	m.envelope.envid = S("QQ314159");
	m.envelope.hold_until_ms = 1800000000000;
	buf_reset(&file);
	record_add_mail(&file, GENERATION, &m);
	assert_int_equal(record_read(buf_str(&file), GENERATION, &r, &want), RECORD_OK);
	assert_int_equal(r.payload.n, without + 8 + 4 + 8 + 4 + dsn.n);
	assert_true(record_get_mail(&r, &back));
	assert_int_equal(back.envelope.flags, m.envelope.flags);
	assert_true(str_eq(back.envelope.envid, m.envelope.envid));
	assert_true(back.envelope.hold_until_ms == 1800000000000);
	assert_true(str_eq(back.message, m.message));
	packed = back.envelope.dsn;
	assert_true(spool_scan_dsn(&packed, &notify, &orcpt));
	assert_int_equal(notify, 6);
	assert_true(str_eq(orcpt, S("rfc822;bob+2Bx@example.net")));
	assert_true(spool_scan_dsn(&packed, &notify, &orcpt));
	assert_true(notify == 0 && orcpt.n == 0 && packed.n == 0);
	m.envelope.dsn = str_part(m.envelope.dsn, 0, dsn.n - 5); /* for one of two */
	buf_reset(&file);
	record_add_mail(&file, GENERATION, &m);
	assert_int_equal(record_read(buf_str(&file), GENERATION, &r, &want), RECORD_OK);
	assert_false(record_get_mail(&r, &back));
	buf_free(&recipients);
	buf_free(&dsn);
	buf_free(&file);
}

static void
every_flipped_bit_is_found(void **unused)
{
	struct buf recipients = { .max = 1000 }, file = { .max = 100000 };
	struct spool_mail m = sample_mail(&recipients);
	struct record r;
	uint64_t want;

	(void)unused;
	record_add_mail(&file, GENERATION, &m);
	for (size_t bit = 0; bit < 8 * file.n; bit++) {
		enum record_result result;

		file.p[bit / 8] = (char)(file.p[bit / 8] ^ 1 << bit % 8);
		result = record_read(buf_str(&file), GENERATION, &r, &want);
		assert_int_equal(result, bit < 8 * RECORD_HEADER ? RECORD_NONE : RECORD_BROKEN);
		if (result == RECORD_BROKEN) /* the header is sound: whose mail, and where the next
						begins */
			assert_true(r.size == file.n && mail_id_eq(r.id, m.envelope.id));
		file.p[bit / 8] = (char)(file.p[bit / 8] ^ 1 << bit % 8);
	}
	assert_int_equal(record_read(buf_str(&file), GENERATION, &r, &want), RECORD_OK);
	buf_free(&recipients);
	buf_free(&file);
}

static void
a_cut_record_says_how_much_it_needs(void **unused)
{
	struct buf recipients = { .max = 1000 }, file = { .max = 100000 };
	struct spool_mail m = sample_mail(&recipients);
	struct record r;
	uint64_t want;

	(void)unused;
	record_add_mail(&file, GENERATION, &m);
	for (size_t n = 0; n < file.n; n++) {
		assert_int_equal(record_read(str_part(buf_str(&file), 0, n), GENERATION, &r, &want),
			RECORD_MORE);
		assert_int_equal(want, n < RECORD_HEADER ? RECORD_HEADER : file.n);
	}
	buf_free(&recipients);
	buf_free(&file);
}

static void
another_generation_is_not_there(void **unused)
{
	struct buf recipients = { .max = 1000 }, file = { .max = 100000 };
	struct spool_mail m = sample_mail(&recipients);
	struct record r;
	uint64_t want;

	(void)unused;
	record_add_mail(&file, GENERATION + 1, &m);
	assert_int_equal(record_read(buf_str(&file), GENERATION, &r, &want), RECORD_NONE);
	buf_free(&recipients);
	buf_free(&file);
}

/* A message that holds, octet for octet, a record: a stranger does not know the generation. */
static void
a_planted_record_is_text(void **unused)
{
	struct buf recipients = { .max = 1000 }, planted = { .max = 100000 },
		   file = { .max = 100000 };
	struct spool_mail m = sample_mail(&recipients);
	uint64_t at = 0;
	struct record r;

	(void)unused;
	record_add_mail(&planted, GENERATION + 1, &m);
	m.message = buf_str(&planted);
	record_add_mail(&file, GENERATION, &m);
	file.p[RECORD_HEADER] ^= 1; /* even where the reader must search */
	file.p[0] ^= 1;
	assert_false(record_next(buf_str(&file), GENERATION, &at, &r, NULL));
	buf_free(&recipients);
	buf_free(&planted);
	buf_free(&file);
}

static void
a_damaged_record_costs_itself_alone(void **unused)
{
	struct buf recipients = { .max = 1000 }, file = { .max = 100000 };
	struct spool_mail m = sample_mail(&recipients);
	uint64_t at = 0, broken = 0;
	size_t one, sound;
	struct record r;

	(void)unused;
	for (int i = 0; i < 5; i++)
		record_add_mail(&file, GENERATION, &m);
	one = file.n / 5;
	file.p[one + 3] ^= 1;			  /* a header */
	file.p[3 * one + RECORD_HEADER + 9] ^= 1; /* a payload */
	for (sound = 0; record_next(buf_str(&file), GENERATION, &at, &r, &broken); sound++)
		;
	assert_int_equal(sound, 3);
	assert_int_equal(broken, 1);
	buf_free(&recipients);
	buf_free(&file);
}

static void
limits_are_errors(void **unused)
{
	struct buf recipients = { .max = 1000 }, file = { .max = SIZE_MAX };
	struct spool_mail m = sample_mail(&recipients);
	char *large = calloc(1, SPOOL_ENVELOPE_MAX + 1);

	(void)unused;
	m.envelope.recipients = (struct str){ large, SPOOL_ENVELOPE_MAX + 1 };
	record_add_mail(&file, GENERATION, &m);
	assert_true(file.overflow);
	m = sample_mail(&recipients);
	m.message = (struct str){ large, SPOOL_INLINE_MAX + 1 };
	buf_reset(&file);
	record_add_mail(&file, GENERATION, &m);
	assert_true(file.overflow);
	m.message = (struct str){ large, SPOOL_INLINE_MAX };
	m.prefix = (struct str){ large, SPOOL_PREFIX_MAX };
	buf_reset(&file);
	record_add_mail(&file, GENERATION, &m);
	assert_false(file.overflow);
	free(large);
	buf_free(&recipients);
	buf_free(&file);
}

static void
a_sound_record_with_wrong_texts_is_no_mail(void **unused)
{
	struct buf recipients = { .max = 1000 }, file = { .max = 100000 };
	struct spool_mail m = sample_mail(&recipients), back;
	struct record r;
	uint64_t want;

	(void)unused;
	m.envelope.recipients_n = 3; /* there are two */
	record_add_mail(&file, GENERATION, &m);
	assert_int_equal(record_read(buf_str(&file), GENERATION, &r, &want), RECORD_OK);
	assert_false(record_get_mail(&r, &back));
	for (size_t n = 0; n < r.payload.n; n++) {
		struct record cut = r;

		cut.payload.n = n;
		assert_false(record_get_mail(&cut, &back));
	}
	buf_free(&recipients);
	buf_free(&file);
}

static void
a_header_block_is_the_old_or_the_new_one(void **unused)
{
	struct segment_header h = { .use = SEGMENT_MAILS,
		.number = 7,
		.generation = 8,
		.size = 4096 },
			      back;
	char block[SPOOL_BLOCK];
	struct str in = { block, sizeof block };

	(void)unused;
	record_put_segment_header(block, &h);
	assert_true(record_get_segment_header(in, &back));
	assert_memory_equal(&h, &back, sizeof h);
	for (size_t bit = 0; bit < 44 * 8; bit++) {
		block[bit / 8] = (char)(block[bit / 8] ^ 1 << bit % 8);
		assert_false(record_get_segment_header(in, &back));
		block[bit / 8] = (char)(block[bit / 8] ^ 1 << bit % 8);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mail_comes_back_as_it_was),
		cmocka_unit_test(wishes_come_back_and_are_left_out_where_there_are_none),
		cmocka_unit_test(every_flipped_bit_is_found),
		cmocka_unit_test(a_cut_record_says_how_much_it_needs),
		cmocka_unit_test(another_generation_is_not_there),
		cmocka_unit_test(a_planted_record_is_text),
		cmocka_unit_test(a_damaged_record_costs_itself_alone),
		cmocka_unit_test(limits_are_errors),
		cmocka_unit_test(a_sound_record_with_wrong_texts_is_no_mail),
		cmocka_unit_test(a_header_block_is_the_old_or_the_new_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
