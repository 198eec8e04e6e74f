/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <dirent.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "role/master/seat.h"

/* Master and a reader that was taken over: it wants connections to receive, and neither it nor receive takes what comes. */

enum { WANTED = 4000 };

struct house {
	struct master m;
	struct seat seat;
	int ends[2][2]; /* receive, reader: the second is nobody's who reads */
};

static void
came(void *owner, struct ipc *from, struct ipc_message *m)
{
	(void)owner;
	(void)from;
	(void)m;
}

static int
set_up(void **state)
{
	struct house *h = calloc(1, sizeof *h);
	struct process *receive = &h->m.processes[MASTER_RECEIVE], *reader = &h->seat.process;

	h->m.loop = loop_open();
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, h->ends[i]), 0);
	receive->channel =
		ipc_open(h->m.loop, h->ends[0][0], ROLE_MASTER, ROLE_RECEIVE, came, NULL);
	h->m.seats[7] = &h->seat;
	h->seat.login.max = 100;
	buf_add(&h->seat.login, S("alice@example.org"));
	*reader = (struct process){ .role = ROLE_READER, .seat = &h->seat, .master = &h->m };
	reader->channel = ipc_open(h->m.loop, h->ends[1][0], ROLE_MASTER, ROLE_READER, came, NULL);
	reader->pid = fork();
	if (reader->pid == 0)
		for (;;)
			pause();
	*state = h;
	return 0;
}

static int
tear_down(void **state)
{
	struct house *h = *state;

	kill(h->seat.process.pid, SIGKILL);
	waitpid(h->seat.process.pid, NULL, 0);
	ipc_close(&h->seat.process.channel);
	ipc_close(&h->m.processes[MASTER_RECEIVE].channel);
	close(h->ends[0][1]);
	close(h->ends[1][1]);
	loop_close(&h->m.loop);
	buf_free(&h->seat.login);
	free(h);
	return 0;
}

static size_t
descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void
drain(int fd)
{
	char octets[64];

	while (recv(fd, octets, sizeof octets, MSG_DONTWAIT) > 0)
		;
}

static bool
was_killed(const struct house *h)
{
	siginfo_t info = { 0 };

	if (h->seat.process.channel)
		return false;
	assert_int_equal(waitid(P_PID, (id_t)h->seat.process.pid, &info, WEXITED | WNOWAIT), 0);
	return info.si_status == SIGKILL;
}

static void
one_that_takes_nothing_is_ended(void **state)
{
	struct house *h = *state;
	size_t before = descriptors(), asks = 0;

	while (asks < WANTED && h->seat.process.channel)
		seat_speak(&h->seat.process, ++asks);
	assert_true(asks < WANTED);
	assert_true(descriptors() < before + 300);
	assert_true(was_killed(h));
}

static void
one_that_wants_too_many_is_ended(void **state)
{
	struct house *h = *state;
	size_t before = descriptors(), asks = 0;

	while (asks < WANTED && h->seat.process.channel) {
		seat_speak(&h->seat.process, ++asks);
		drain(h->ends[1][1]);
		if (asks < 1000) /* as many as one call may submit */
			assert_non_null(h->seat.process.channel);
	}
	assert_true(asks < WANTED);
	assert_true(descriptors() < before + 300);
	assert_true(was_killed(h));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_that_takes_nothing_is_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			one_that_wants_too_many_is_ended, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
