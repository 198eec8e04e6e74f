/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/buf.h"
#include "role/vault/signing.h"

/* Contents as RFC 8446 §4.4.3 and RFC 8422 §5.4 have them. test/unit/role/vault.c signs real ones. */

static struct buf
verify(char who, size_t hash)
{
	struct buf b = { .max = 1024 };

	for (int i = 0; i < 64; i++)
		buf_add_char(&b, ' ');
	buf_add(&b, S("TLS 1.3, "));
	buf_add(&b, who == 's' ? S("server") : S("client"));
	buf_add(&b, S(" CertificateVerify"));
	buf_add_char(&b, '\0');
	for (size_t i = 0; i < hash; i++)
		buf_add_char(&b, (char)i);
	return b;
}

static struct buf
exchange(const char *curve, size_t point)
{
	struct buf b = { .max = 1024 };

	for (int i = 0; i < 64; i++)
		buf_add_char(&b, 'r');
	buf_add(&b, (struct str){ curve, 3 });
	buf_add_char(&b, (char)point);
	for (size_t i = 0; i < point; i++)
		buf_add_char(&b, 4);
	return b;
}

static bool
is_good(enum signing_key key, uint16_t scheme, struct buf content)
{
	bool good = signing_check(key, scheme, buf_str(&content)) != NULL;

	buf_free(&content);
	return good;
}

static void
handshakes_of_servers_pass(void **state)
{
	(void)state;
	assert_true(is_good(SIGNING_P256, 0x0403, verify('s', 32)));
	assert_true(is_good(SIGNING_P256, 0x0403, verify('s', 48)));
	assert_true(is_good(SIGNING_P384, 0x0503, verify('s', 48)));
	assert_true(is_good(SIGNING_P521, 0x0603, verify('s', 32)));
	assert_true(is_good(SIGNING_RSA, 0x0804, verify('s', 32)));
	assert_true(is_good(SIGNING_RSA, 0x0806, verify('s', 48)));
	assert_true(is_good(SIGNING_P256, 0x0403, exchange("\3\0\x1d", 32)));
	assert_true(is_good(SIGNING_P256, 0x0503,
		exchange("\3\0\x17", 65))); /* TLS 1.2 binds no digest to a curve */
	assert_true(is_good(SIGNING_RSA, 0x0401, exchange("\3\0\x18", 97)));
	assert_true(is_good(SIGNING_RSA, 0x0805, exchange("\3\0\x1d", 32)));
}

static void
all_else_is_refused(void **state)
{
	(void)state;
	assert_false(is_good(SIGNING_P256, 0x0403, verify('c', 32))); /* as a client */
	assert_false(is_good(SIGNING_P256, 0x0503, verify('s', 32))); /* another curve's */
	assert_false(is_good(SIGNING_P256, 0x0804, verify('s', 32))); /* another kind of key's */
	assert_false(is_good(SIGNING_RSA, 0x0403, verify('s', 32)));
	assert_false(is_good(SIGNING_RSA, 0x0401, verify('s', 32)));  /* PKCS #1 in TLS 1.3 */
	assert_false(is_good(SIGNING_P256, 0x0203, verify('s', 32))); /* SHA-1 */
	assert_false(is_good(SIGNING_P256, 0x0403, verify('s', 20)));
	assert_false(is_good(SIGNING_P256, 0x0403, verify('s', 33)));
	assert_false(is_good(SIGNING_P256, 0x0403, verify('s', 0)));
	assert_false(is_good(SIGNING_P256, 0x0403,
		exchange("\1\0\x1d", 32))); /* a curve of the peer's own making */
	assert_false(is_good(SIGNING_P256, 0x0403, exchange("\3\0\x1d", 31)));
	assert_false(is_good(SIGNING_P256, 0x0403, exchange("\3\0\x17", 33)));
	assert_false(is_good(SIGNING_P256, 0x0403, exchange("\3\1\0", 32)));
}

static void
no_cut_and_no_changed_octet_passes(void **state)
{
	struct buf b = verify('s', 32);

	(void)state;
	for (size_t n = 0; n < b.n; n++)
		assert_null(signing_check(SIGNING_P256, 0x0403, str_part(buf_str(&b), 0, n)));
	for (size_t i = 0; i < b.n - 32; i++) {
		b.p[i] = (char)(b.p[i] ^ 0x20);
		assert_null(signing_check(SIGNING_P256, 0x0403, buf_str(&b)));
		b.p[i] = (char)(b.p[i] ^ 0x20);
	}
	assert_non_null(signing_check(SIGNING_P256, 0x0403, buf_str(&b)));
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshakes_of_servers_pass),
		cmocka_unit_test(all_else_is_refused),
		cmocka_unit_test(no_cut_and_no_changed_octet_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
