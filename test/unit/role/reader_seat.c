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

/* ── all seats taken ── */

struct crowd {
	struct seat seats[READERS_MAX];
	int ends[READERS_MAX];
	pid_t bystander; /* stands for the readers that nobody may end */
};

/* One seat each but that of alice, last asked for so long ago. */
static struct crowd *
fill(struct house *h, int64_t silent_ms)
{
	struct crowd *c = calloc(1, sizeof *c);
	int pair[2];

	assert_non_null(c);
	c->bystander = fork();
	if (c->bystander == 0)
		for (;;)
			pause();
	for (size_t i = 0; i < READERS_MAX; i++) {
		struct seat *s = &c->seats[i];

		if (h->m.seats[i])
			continue;
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		c->ends[i] = pair[1];
		s->login.max = 100;
		buf_addf(&s->login, "u%zu@example.org", i);
		s->asked_ms = loop_now_ms(h->m.loop) - silent_ms;
		s->process = (struct process){
			.role = ROLE_READER, .seat = s, .master = &h->m, .pid = c->bystander
		};
		s->process.channel =
			ipc_open(h->m.loop, pair[0], ROLE_MASTER, ROLE_READER, came, NULL);
		h->m.seats[i] = s;
	}
	return c;
}

/* Nobody of them was ended. */
static void
empty(struct house *h, struct crowd *c)
{
	assert_int_equal(waitpid(c->bystander, NULL, WNOHANG), 0);
	kill(c->bystander, SIGKILL);
	waitpid(c->bystander, NULL, 0);
	for (size_t i = 0; i < READERS_MAX; i++)
		if (h->m.seats[i] == &c->seats[i]) {
			assert_non_null(c->seats[i].process.channel);
			ipc_close(&c->seats[i].process.channel);
			close(c->ends[i]);
			buf_free(&c->seats[i].login);
			h->m.seats[i] = NULL;
		}
	free(c);
}

static void
one_more_comes(struct house *h)
{
	seat_take(&h->m,
		&(struct ipc_seat){ .login = S("late@example.org"), .directory = S("/nowhere") });
}

static void
the_longest_silent_leaves_the_room(void **state)
{
	struct house *h = *state;
	struct crowd *c = fill(h, 121 * 1000);

	h->seat.asked_ms = loop_now_ms(h->m.loop) - 122 * 1000;
	one_more_comes(h);
	assert_true(was_killed(h));
	empty(h, c);
}

/* Who reads is asked for each minute: it is rather the late one who must come again. */
static void
nobody_who_reads_leaves_the_room(void **state)
{
	struct house *h = *state;
	struct crowd *c = fill(h, 10 * 1000);

	h->seat.asked_ms = loop_now_ms(h->m.loop) - 60 * 1000;
	one_more_comes(h);
	assert_non_null(h->seat.process.channel);
	empty(h, c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_that_takes_nothing_is_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			one_that_wants_too_many_is_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_longest_silent_leaves_the_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			nobody_who_reads_leaves_the_room, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
