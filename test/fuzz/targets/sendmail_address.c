/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "cmd/sendmail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The command's, which the lists need but not its letters. */
bool
sendmail_complain(struct sendmail *s, int exit_code, struct str what, const char *detail)
{
	(void)what;
	(void)detail;
	s->exit_code = exit_code;
	return false;
}

/* Each step of a list takes something of it; each end lies in what was taken. */
static void
check_steps(struct str all)
{
	struct buf text = { .max = SENDMAIL_MEMORY_MAX };
	struct str list = all;
	const char *end;

	for (size_t left = all.n; sendmail_next_address(&list, &text, &end); left = list.n) {
		must(list.n < left && text.n <= left - list.n);
		must(!end || (end > all.p + (all.n - left) && end <= all.p + (all.n - list.n)));
	}
	must(list.n == 0);
	buf_free(&text);
}

/* Recipients of any list are whole addresses, and nothing of a list is lost when its local names are made whole. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sendmail s = { .arena = { .max = SENDMAIL_MEMORY_MAX }, .domain = "example.org" };
	struct buf whole = { .max = SENDMAIL_MEMORY_MAX };
	struct str list = { (const char *)data, n };

	check_steps(list);
	sendmail_add_recipients(&s, list, 1);
	for (size_t i = 0; i < s.recipients.n; i++) {
		struct str wire = s.recipients.p[i];

		must(strlen(wire.p) == wire.n && memchr(wire.p, '@', wire.n));
	}
	sendmail_add_whole(&s, &whole, list);
	must(whole.n >= n);
	buf_free(&whole);
	memory_release(NULL, s.recipients.p);
	arena_free(&s.arena);
	return 0;
}
