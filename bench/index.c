/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a waiting recipient costs the queue in memory: an index is filled as mail.c fills it, and the growth of the resident
 * set is divided. `bench-index [RECIPIENTS]`: mails of one recipient each, then mails of a thousand.
 */
#include "base/must.h"
#include "role/queue/queue.h"

#include <unistd.h>

enum { SENDERS = 1000, DOMAINS = 1000, WORDS = 1000 };

static size_t
resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long all = 0, here = 0;

	must(f && fscanf(f, "%lu %lu", &all, &here) == 2);
	fclose(f);
	return here * (size_t)sysconf(_SC_PAGESIZE);
}

static void
add_recipient(struct queue *q, uint32_t mail, unsigned n)
{
	char text[200];
	struct err why;
	uint32_t r;

	snprintf(text, sizeof text, "user.%u@domain%u.example", n, n % DOMAINS);
	r = index_add_recipient(q, mail, str_of(text), false);
	err_set(&why, ERR_TEMPORARY, ERR_REMOTE, "4.2.1 mailbox busy, case %u, try again",
		n % WORDS);
	snprintf(text, sizeof text, "mx.domain%u.example", n % DOMAINS);
	recipient_note(q, r, &why, str_of(text));
	recipient_set_state(q, r, RECIPIENT_DEFERRED);
	wheel_put(q, r, q->epoch_ms + 300000 + n % 3600000);
}

static void
fill(struct queue *q, unsigned recipients, unsigned each)
{
	char text[64];

	for (unsigned n = 0; n < recipients; n += each) {
		uint32_t mail;

		snprintf(text, sizeof text, "sender%u@example.org", n / each % SENDERS);
		mail = index_add_mail(
			q, &(struct mail){ .id = mail_id_random(),
				   .arrived_ms = (uint64_t)q->epoch_ms & ((1ULL << 44) - 1),
				   .size = 4096,
				   .segment = 1,
				   .at = n,
				   .sender = intern_add(&q->texts, str_of(text)),
				   .payer = intern_add(&q->texts, str_of(text)) });
		for (unsigned i = 0; i < each; i++)
			add_recipient(q, mail, n + i);
	}
}

static void
measure(struct loop *loop, unsigned recipients, unsigned each)
{
	struct queue *q = calloc(1, sizeof *q);
	size_t before;
	int64_t began_ms;

	must(q);
	q->role.loop = loop;
	q->role.config.queue.expire_ms = 1;
	index_begin(q);
	wheel_begin(q);
	before = resident();
	began_ms = loop_wall_ms();
	fill(q, recipients, each);
	printf("%u mails of %u: %.1f octets a recipient, %lld ms to fill\n", recipients / each,
		each, (double)(resident() - before) / recipients,
		(long long)(loop_wall_ms() - began_ms));
}

int
main(int argc, char **argv)
{
	uint64_t recipients = 1000000;
	struct str text = str_of(argc > 1 ? argv[1] : "1000000");
	struct loop *loop = loop_open();

	if (!scan_u64(&text, &recipients) || recipients < 1000 || recipients > 100000000) {
		fprintf(stderr, "bench-index [RECIPIENTS]\n");
		return 64;
	}
	measure(loop, (unsigned)recipients, 1);
	measure(loop, (unsigned)recipients, 1000);
	return 0;
}
