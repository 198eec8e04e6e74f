/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mail to each address of a list, over several connections.
 *
 *   bulk URL CONNECTIONS FROM SUBJECT TEXT <ADDRESSES     one a line
 *
 * ph_pool_run is called often, so that no more than a few mails are in memory however long the
 * list is; the pool tells about each through `settle`, in the order in which they are settled.
 */
#include <posthouse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAITING_MAX = 100 };

struct count {
	unsigned sent, failed;
};

static void
settle(void *context, ph_mail *m, enum ph_status status)
{
	const struct ph_result *result = ph_result(m, 0);
	struct count *count = context;

	if (status == PH_SENT) {
		count->sent++;
	} else {
		count->failed++;
		printf("%s: %s: %s\n", result ? result->address : "?", ph_status_name(status),
			status == PH_INVALID && ph_mail_error(m) ? ph_mail_error(m)
			: result				 ? result->text
								 : "");
	}
	ph_mail_free(m);
}

static ph_mail *
write_mail(char **words, const char *to)
{
	ph_mail *m = ph_mail_new();

	ph_from(m, words[0]);
	ph_to(m, to);
	ph_subject(m, words[1]);
	ph_text(m, words[2]);
	return m;
}

int
main(int argc, char **argv)
{
	struct count count = { 0 };
	char address[1024];
	ph_session *model;
	ph_pool *pool;

	if (argc != 6) {
		fprintf(stderr, "usage: bulk URL CONNECTIONS FROM SUBJECT TEXT <ADDRESSES\n");
		return 64;
	}
	model = ph_session_new(argv[1]);
	if (getenv("PASSWORD"))
		ph_login(model, NULL, getenv("PASSWORD"));
	pool = ph_pool_new(model, (unsigned)strtoul(argv[2], NULL, 10));
	ph_pool_done(pool, settle, &count);
	while (fgets(address, sizeof(address), stdin)) {
		address[strcspn(address, "\r\n")] = '\0';
		ph_pool_add(pool, write_mail(argv + 3, address));
		ph_pool_run(pool, WAITING_MAX);
	}
	ph_pool_run(pool, 0);
	ph_pool_free(pool);
	ph_session_free(model);
	printf("%u sent, %u not\n", count.sent, count.failed);
	return count.failed > 0;
}
