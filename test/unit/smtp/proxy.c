/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "smtp/proxy.h"
#include "unit.h"

static const unsigned char client4[16] = { 192, 0, 2, 1 }, host4[16] = { 198, 51, 100, 7 };
static const unsigned char client6[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 },
			   host6[16] = { 0x20, 1, 0xd, 0xb8, [15] = 2 };

static void
assert_ends(const struct proxy *p, enum proxy_family family, const unsigned char *source,
	const unsigned char *destination)
{
	assert_int_equal(p->family, family);
	assert_memory_equal(p->source.address, source, 16);
	assert_memory_equal(p->destination.address, destination, 16);
	assert_int_equal(p->source.port, 56324);
	assert_int_equal(p->destination.port, 25);
}

/* The header, which must be asked for to its last octet and taken to its last octet, wherever the
 * input is cut. */
static struct proxy
read_whole(struct str header)
{
	struct buf input = { .max = 4096 };
	struct proxy p = { .family = PROXY_IPV6, .source.port = 1 };

	buf_add(&input, header);
	buf_add(&input, S("EHLO x\r\n"));
	for (size_t n = 0; n < header.n; n++) {
		struct str in = str_part(buf_str(&input), 0, n);

		assert_int_equal(proxy_scan(&in, &p), PROXY_MORE);
		assert_int_equal(in.n, n);
		assert_int_equal(p.source.port, 1);
	}
	for (size_t n = header.n; n <= input.n; n++) {
		struct str in = str_part(buf_str(&input), 0, n);

		assert_int_equal(proxy_scan(&in, &p), PROXY_OK);
		assert_int_equal(in.n, n - header.n);
	}
	buf_free(&input);
	return p;
}

static void
assert_bad(struct str header)
{
	struct proxy p = { .source.port = 1 };
	struct str in = header;

	if (proxy_scan(&in, &p) != PROXY_BAD)
		fail_msg("taken: %.*s", STR_ARG(header));
	assert_int_equal(in.n, header.n);
	assert_int_equal(p.source.port, 1);
}

static void
test_line(void **state)
{
	struct proxy p;

	(void)state;
	p = read_whole(S("PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n"));
	assert_ends(&p, PROXY_IPV4, client4, host4);
	p = read_whole(S("PROXY TCP6 2001:db8::1 2001:DB8:0:0::2 56324 25\r\n"));
	assert_ends(&p, PROXY_IPV6, client6, host6);
}

static void
test_line_about_nobody(void **state)
{
	static const struct str lines[] = { S("PROXY UNKNOWN\r\n"),
		S("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), S("PROXY UNKNOWN what ever\r\n") };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct proxy p = read_whole(lines[i]);

		assert_int_equal(p.family, PROXY_OWN);
		assert_int_equal(p.source.port, 0);
	}
}

static void
test_bad_lines(void **state)
{
	static const struct str lines[] = {
		S("EHLO x\r\n"),
		S("proxy TCP4 192.0.2.1 198.51.100.7 56324 25\r\n"),
		S("PROXY  TCP4 192.0.2.1 198.51.100.7 56324 25\r\n"),
		S("PROXY TCP5 192.0.2.1 198.51.100.7 56324 25\r\n"),
		S("PROXY UDP4 192.0.2.1 198.51.100.7 56324 25\r\n"),
		S("PROXY \r\n"),
		S("PROXY UNKNOWNS\r\n"),
		S("PROXY TCP4\r\n"),
		S("PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n"),
		S("PROXY TCP4 192.0.2.1 198.51.100.7 56324 25 \r\n"),
		S("PROXY TCP4 192.0.2.1  198.51.100.7 56324 25\r\n"),
		S("PROXY TCP4 192.0.2.256 198.51.100.7 56324 25\r\n"),
		S("PROXY TCP4 192.0.2.1 198.51.100.7.1 56324 25\r\n"),
		S("PROXY TCP4 2001:db8::1 2001:db8::2 56324 25\r\n"),
		S("PROXY TCP6 192.0.2.1 198.51.100.7 56324 25\r\n"),
		S("PROXY TCP6 2001:db8::1::2 2001:db8::2 56324 25\r\n"),
		S("PROXY TCP4 192.0.2.1 198.51.100.7 65536 25\r\n"),
		S("PROXY TCP4 192.0.2.1 198.51.100.7 56324 025\r\n"),
		S("PROXY TCP4 192.0.2.1 198.51.100.7 56324 -1\r\n"),
		S("PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\n"),
		S("PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\rE"),
		S("PROXY UNKNOWN \n\r\n"),
		S("PROXY UNKNOWN \r\r\n"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		assert_bad(lines[i]);
}

/* 107 octets with the line end, not one more; and who does not come to an end is not waited for. */
static void
test_longest_line(void **state)
{
	struct buf line = { .max = 200 };

	(void)state;
	buf_add(&line, S("PROXY UNKNOWN "));
	while (line.n < 105)
		buf_add_char(&line, 'x');
	buf_add(&line, S("\r\n"));
	assert_int_equal(read_whole(buf_str(&line)).family, PROXY_OWN);
	line.n = 105;
	buf_add(&line, S("x\r\n"));
	assert_bad(buf_str(&line));
	assert_bad(str_part(buf_str(&line), 0, 107));
	buf_free(&line);
}

/* Version 2: a signature, command, family, and a block of which n octets count. */
static struct str
binary(struct buf *to, int command, int family, const void *block, size_t n, size_t tlvs)
{
	buf_reset(to);
	buf_add(to, S("\r\n\r\n\0\r\nQUIT\n"));
	buf_add_char(to, (char)command);
	buf_add_char(to, (char)family);
	buf_add_char(to, (char)((n + tlvs) >> 8));
	buf_add_char(to, (char)(n + tlvs));
	buf_add(to, (struct str){ block, n });
	while (tlvs--)
		buf_add_char(to, (char)tlvs);
	return buf_str(to);
}

static const char block4[] = "\xc0\0\2\1\xc6\x33\x64\7\xdc\4\0\x19";
static const char block6[] = "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
			     "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\2"
			     "\xdc\4\0\x19";

static void
test_binary(void **state)
{
	struct buf header = { .max = 1024 };
	const size_t tlvs[] = { 0, 1, 300 };
	struct proxy p;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		p = read_whole(binary(&header, 0x21, 0x11, block4, 12, tlvs[i]));
		assert_ends(&p, PROXY_IPV4, client4, host4);
		p = read_whole(binary(&header, 0x21, 0x21, block6, 36, tlvs[i]));
		assert_ends(&p, PROXY_IPV6, client6, host6);
	}
	buf_free(&header);
}

/* The proxy itself asks whether we live; or the client came over something that has no addresses
 * that we know. */
static void
test_binary_about_nobody(void **state)
{
	static const struct {
		int command, family;
	} rows[] = { { 0x20, 0 }, { 0x20, 0x11 }, { 0x21, 0 }, { 0x21, 0x12 }, { 0x21, 0x22 },
		{ 0x21, 0x31 } };
	struct buf header = { .max = 1024 };

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		for (size_t n = 0; n < 40; n += 13) {
			struct proxy p = read_whole(
				binary(&header, rows[i].command, rows[i].family, block6, 0, n));

			assert_int_equal(p.family, PROXY_OWN);
			assert_int_equal(p.source.port, 0);
		}
	buf_free(&header);
}

static void
test_bad_binary(void **state)
{
	struct buf header = { .max = 1024 };

	(void)state;
	assert_bad(binary(&header, 0x11, 0x11, block4, 12, 0)); /* version 1 */
	assert_bad(binary(&header, 0x31, 0x11, block4, 12, 0));
	assert_bad(binary(&header, 0x22, 0x11, block4, 12, 0)); /* no such command */
	assert_bad(binary(&header, 0x21, 0x41, block4, 12, 0)); /* no such family */
	assert_bad(binary(&header, 0x21, 0x13, block4, 12, 0)); /* no such transport */
	assert_bad(binary(&header, 0x21, 0x11, block4, 11, 0));
	assert_bad(binary(&header, 0x21, 0x21, block6, 35, 0));
	assert_bad(S("\r\n\r\nQ"));
	assert_bad(S("\r\n\r\n\0\r\nQUIT\r"));
	read_whole(binary(&header, 0x21, 0x11, block4, 12, 524));
	assert_bad(binary(&header, 0x21, 0x11, block4, 12, 525));
	assert_bad(str_part(buf_str(&header), 0, 16)); /* at once */
	buf_free(&header);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_line_about_nobody),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_longest_line),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_binary_about_nobody),
		cmocka_unit_test(test_bad_binary),
	};

	return cmocka_run_group_tests_name("smtp/proxy", tests, NULL, NULL);
}
