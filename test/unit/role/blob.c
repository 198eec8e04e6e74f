/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/codec.h"
#include "role/reader/blob.h"

/* What a URL of a download asks for, and what it is answered: no name of a file may add a header, or make a browser run it. */

static void
disposition(const char *type, struct str name, const char *want)
{
	struct buf got = { .max = 4096 };

	blob_add_disposition(&got, str_of(type), name);
	assert_str(buf_str(&got), str_of(want));
	buf_free(&got);
}

static void
names_are_encoded(void **state)
{
	(void)state;
	disposition("application/pdf", S("a.pdf"),
		"attachment; filename=\"a.pdf\"; filename*=UTF-8''a.pdf");
	disposition("application/pdf", S("\xe6\x8a\xa5\xe5\x91\x8a 1.pdf"),
		"attachment; filename=\"__ 1.pdf\"; filename*=UTF-8''%E6%8A%A5%E5%91%8A%201.pdf");
	disposition("application/pdf", S("a\r\nX: y\".pdf"),
		"attachment; filename=\"a__X: y_.pdf\"; filename*=UTF-8''a__X%3A%20y%22.pdf");
	disposition("application/pdf", S("../../etc/passwd"),
		"attachment; filename=\".._.._etc_passwd\"; filename*=UTF-8''.._.._etc_passwd");
	disposition("application/pdf", S("50%25.txt"),
		"attachment; filename=\"50_25.txt\"; filename*=UTF-8''50%2525.txt");
	disposition(
		"application/pdf", S("a\0b"), "attachment; filename=\"a_b\"; filename*=UTF-8''a_b");
	disposition("application/pdf", S("\xff\xfe"), "attachment");
	disposition("application/pdf", S(""), "attachment");
}

static void
only_pictures_and_plain_text_are_shown(void **state)
{
	(void)state;
	disposition("image/png", S(""), "inline");
	disposition("text/plain; charset=utf-8", S(""), "inline");
	disposition("text/html", S(""), "attachment");
	disposition("image/svg+xml", S(""), "attachment");
	disposition("application/xhtml+xml", S(""), "attachment");
	disposition("text/plain/x", S(""), "attachment");
}

static void
type(struct str given, const char *want)
{
	struct buf got = { .max = 256 };

	blob_add_type(&got, given);
	assert_str(buf_str(&got), str_of(want));
	buf_free(&got);
}

static void
types_are_types(void **state)
{
	(void)state;
	type(S("Image/PNG"), "image/png");
	type(S("text/plain; charset=UTF-8"), "text/plain; charset=UTF-8");
	type(S("text/plain;charset=UTF-8;x=y"), "text/plain");
	type(S("image/svg+xml"), "image/svg+xml");
	type(S(""), "application/octet-stream");
	type(S("text"), "application/octet-stream");
	type(S("text/"), "application/octet-stream");
	type(S("text/html\r\nX: y"), "application/octet-stream");
	type(S("text/plain; charset=a\r\nb"), "text/plain");
}

static void
wish(const char *path, const char *id, const char *name, const char *wanted_type)
{
	struct blob_wish w;

	blob_scan_path(str_of(path), &w);
	assert_str(buf_str(&w.id), str_of(id));
	assert_str(buf_str(&w.name), str_of(name));
	assert_str(buf_str(&w.type), str_of(wanted_type));
	blob_wish_free(&w);
}

static void
paths_are_decoded(void **state)
{
	(void)state;
	wish("M1-2/a.pdf?type=application%2Fpdf", "M1-2", "a.pdf", "application/pdf");
	wish("M1/%E6%8A%A5%20x?x=1&type=image/svg+xml&type=text/html", "M1", "\xe6\x8a\xa5 x",
		"image/svg+xml");
	wish("M1/a%2Fb%3Ftype=x", "M1", "a/b?type=x", "");
	wish("M1/100%/%zz", "M1", "100%/%zz", "");
	wish("M1", "M1", "", "");
	wish("", "", "", "");
	wish("M1?type=text/plain", "M1", "", "text/plain");
}

static void
an_upload_is_named_like_one(void **state)
{
	(void)state;
	assert_true(blob_is_upload(S("U00112233445566778899aabbccddeeff")));
	assert_false(blob_is_upload(S("M00112233445566778899aabbccddeeff")));
	assert_false(blob_is_upload(S("U00112233445566778899aabbccddee")));
	assert_false(blob_is_upload(S("U../../../../../../../../../../xx")));
	assert_false(blob_is_upload(S("")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_encoded),
		cmocka_unit_test(only_pictures_and_plain_text_are_shown),
		cmocka_unit_test(types_are_types),
		cmocka_unit_test(paths_are_decoded),
		cmocka_unit_test(an_upload_is_named_like_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
