/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast mails are kept: writer and keeper in one loop, N drafts in flight, each settled before
 * the next of its place begins. Prints mails a second, microseconds and CPU a mail.
 *
 *   spool-bench DIRECTORY [MAILS [IN-FLIGHT [OCTETS]]]
 */
#include <time.h>

#include "base/must.h"
#include "spool/spool.h"

enum { SEGMENT_SIZE = 64 * 1024 * 1024 };

struct bench {
	struct loop *loop;
	struct spool_keeper *keeper;
	struct spool_writer *writer;
	unsigned long mails, begun, kept, in_flight;
	struct str message;
	double began_s, began_cpu_s;
};

static double
now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double
cpu_s(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

static void
send_one(struct bench *b)
{
	struct draft *d = draft_new(b->writer);
	struct err e;

	must(draft_append(d, b->message, &e));
	b->begun++;
	draft_commit_take(&d,
		&(struct spool_envelope){ .id = mail_id_random(),
			.reverse_path = S("alice@example.org"),
			.client = S("192.0.2.1"),
			.recipients = S("\x0f\0\0\0bob@example.net"),
			.recipients_n = 1 },
		S("Received: from client.example.org (192.0.2.1) by mail.example.org with "
		  "ESMTP\r\n"),
		b);
}

static void
told_settled(void *owner, void *session, const struct err *e)
{
	struct bench *b = owner;

	(void)session;
	must(!e);
	if (++b->kept == b->mails)
		loop_stop(b->loop);
	if (b->begun < b->mails)
		send_one(b);
}

static void
told_durable(void *owner, uint64_t number, uint64_t durable)
{
	(void)owner;
	(void)number;
	(void)durable;
}

static void
told_broken(void *owner, uint64_t number, uint64_t durable, const struct err *e)
{
	(void)owner;
	(void)number;
	(void)durable;
	fprintf(stderr, "%s\n", e->text);
	exit(1);
}

static void
told_filled(void *owner, uint64_t number, uint64_t durable)
{
	struct bench *b = owner;
	struct err e;

	must(keeper_seal(b->keeper, number, durable, &e));
}

static void
told_want(void *owner, unsigned segments, unsigned bigs)
{
	struct bench *b = owner;

	(void)bigs;
	for (; segments > 0; segments--)
		keeper_make_segment(b->keeper);
}

static void
told_fates_durable(void *owner, uint64_t ticket)
{
	(void)owner;
	(void)ticket;
}

static void
told_fates_broken(void *owner, const struct err *e)
{
	(void)owner;
	fprintf(stderr, "%s\n", e->text);
	exit(1);
}

static void
told_segment(void *owner, uint64_t number, uint64_t generation, uint64_t size, int fd,
	const struct err *e)
{
	struct bench *b = owner;

	must(!e);
	spool_writer_give_segment(b->writer, number, generation, size, fd);
	if (b->begun > 0)
		return;
	b->began_s = now_s();
	b->began_cpu_s = cpu_s();
	for (unsigned long i = 0; i < b->in_flight && b->begun < b->mails; i++)
		send_one(b);
}

int
main(int argc, char **argv)
{
	struct bench b = { .mails = argc > 2 ? strtoul(argv[2], NULL, 10) : 20000,
		.in_flight = argc > 3 ? strtoul(argv[3], NULL, 10) : 50 };
	size_t octets = argc > 4 ? strtoul(argv[4], NULL, 10) : 4096;
	char *text = malloc(octets + 1);
	double s, cpu;
	struct err e;

	if (argc < 2 || !text) {
		fprintf(stderr, "usage: %s DIRECTORY [MAILS [IN-FLIGHT [OCTETS]]]\n", argv[0]);
		return 64;
	}
	memset(text, 'x', octets);
	b.message = (struct str){ text, octets };
	b.loop = loop_open();
	b.keeper = keeper_open(b.loop, str_of(argv[1]), SEGMENT_SIZE,
		&(struct keeper_hooks){ .owner = &b,
			.fates_durable = told_fates_durable,
			.fates_broken = told_fates_broken,
			.segment_made = told_segment },
		&e);
	if (!b.keeper) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	b.writer = spool_writer_open(b.loop,
		&(struct spool_hooks){ .owner = &b,
			.settled = told_settled,
			.durable = told_durable,
			.broken = told_broken,
			.filled = told_filled,
			.want = told_want },
		256 * 1024 * 1024);
	loop_run(b.loop);
	s = now_s() - b.began_s;
	cpu = cpu_s() - b.began_cpu_s;
	printf("%lu mails of %zu octets, %lu in flight: %.0f mails/s, %.1f us a mail, %.1f us "
	       "CPU\n",
		b.mails, octets, b.in_flight, (double)b.mails / s, 1e6 * s / (double)b.mails,
		1e6 * cpu / (double)b.mails);
	spool_writer_close(&b.writer);
	keeper_close(&b.keeper);
	loop_close(&b.loop);
	free(text);
	return 0;
}
