/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What messages of ours are made of, for a reader that is not ours (test_message.py):
 *   message-one ascii            standard input with an ASCII header
 *   message-one report en|zh     a report about a mail to two people
 */
#include "base/must.h"
#include "message/message.h"

static void
read_all(struct buf *to)
{
	char *room;
	size_t n;

	while ((room = buf_room(to, 4096)) && (n = fread(room, 1, 4096, stdin)) > 0)
		buf_grew(to, n);
	must(!to->overflow && !ferror(stdin));
}

static int
to_ascii(struct buf *to)
{
	struct buf in = { .max = to->max };
	struct err e = { 0 };

	read_all(&in);
	if (!message_to_ascii(to, buf_str(&in), &e))
		fprintf(stderr, "%s\n", e.text);
	buf_free(&in);
	return err_is(&e);
}

static void
report(struct buf *to, enum dsn_language language)
{
	struct err full, late;
	const struct dsn_recipient recipients[] = {
		{
			.address = S("bob@example.org"),
			.original = S("rfc822;sales+2Bx@example.org"),
			.why = &full,
			.status = { 5, 2, 2 },
			.host = S("mx.example.org"),
		},
		{ .address = S("eve@example.com"), .why = &late, .status = { 5, 4, 7 } },
	};

	err_set(&full, ERR_PERMANENT, ERR_REMOTE, "no room left");
	full.code = 552;
	full.enhanced = (struct enhanced){ 5, 2, 2 };
	err_set(&late, ERR_PERMANENT, ERR_EXPIRED, "nobody answered");
	dsn_compose(to,
		&(struct dsn){ .language = language,
			.hostname = S("mail.example.net"),
			.to = S("ann@example.net"),
			.message_id = S("b0unce.1@mail.example.net"),
			.original_id = S("00ff"),
			.envelope_id = S("QQ+2B1"),
			.unix_seconds = 1795411140,
			.arrived_unix_seconds = 1795324740,
			.recipients = recipients,
			.recipients_n = sizeof recipients / sizeof recipients[0],
			.original_header = S("Subject: 你好\r\nMessage-ID: <9@x>\r\n"),
			.original_whole = S("Subject: 你好\r\nMessage-ID: <9@x>\r\n\r\nhi\r\n") });
}

int
main(int argc, char **argv)
{
	struct buf to = { .max = 1 << 20 };
	int code = 0;

	if (argc == 2 && strcmp(argv[1], "ascii") == 0)
		code = to_ascii(&to);
	else if (argc == 3 && strcmp(argv[1], "report") == 0)
		report(&to, strcmp(argv[2], "zh") == 0 ? DSN_CHINESE : DSN_ENGLISH);
	else
		code = 64;
	must(!to.overflow);
	if (code == 0)
		fwrite(to.p, 1, to.n, stdout);
	buf_free(&to);
	return code;
}
