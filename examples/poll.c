/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mail in a loop of one's own: nothing here waits but poll(2), which could watch other
 * descriptors as well.
 *
 *   poll URL FROM TO SUBJECT <TEXT
 */
#include <poll.h>
#include <posthouse.h>
#include <stdio.h>
#include <time.h>

static int
milliseconds_until(int64_t deadline)
{
	struct timespec now;
	int64_t left;

	clock_gettime(CLOCK_MONOTONIC, &now);
	left = deadline - (int64_t)now.tv_sec * 1000 - now.tv_nsec / 1000000;
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

/* The deadline may pass without a word from anyone: ph_step then gives up by itself. */
static void
wait_for(const ph_session *s)
{
	int want = ph_want(s);
	struct pollfd p = { .fd = ph_fd(s) };

	p.events |= want & PH_READ ? POLLIN : 0;
	p.events |= want & PH_WRITE ? POLLOUT : 0;
	poll(&p, 1, milliseconds_until(ph_deadline(s)));
}

int
main(int argc, char **argv)
{
	static char text[65536];
	enum ph_status status;
	ph_session *s;
	ph_mail *m;

	if (argc != 5) {
		fprintf(stderr, "usage: poll URL FROM TO SUBJECT <TEXT\n");
		return 64;
	}
	text[fread(text, 1, sizeof(text) - 1, stdin)] = '\0';
	s = ph_session_new(argv[1]);
	m = ph_mail_new();
	ph_from(m, argv[2]);
	ph_to(m, argv[3]);
	ph_subject(m, argv[4]);
	ph_text(m, text);

	for (status = ph_start(s, m); status == PH_UNDERWAY; status = ph_step(s))
		wait_for(s);

	printf("%s\n", ph_status_name(status));
	for (size_t i = 0; i < ph_results(m); i++)
		printf("%s: %s\n", ph_result(m, i)->address, ph_result(m, i)->text);
	if (status == PH_INVALID)
		fprintf(stderr, "%s\n", ph_mail_error(m) ? ph_mail_error(m) : ph_session_error(s));
	ph_mail_free(m);
	ph_session_free(s);
	return status != PH_SENT;
}
