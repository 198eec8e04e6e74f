/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/ipc.h"

/* Two ends of one channel in one loop. */
struct pair {
	struct loop *loop;
	struct ipc *queue, *send;
	size_t came, wanted;
	int last_fd;
	bool closed, broke_rules;
	struct buf seen;
};

static void
send_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct pair *p = owner;

	(void)from;
	if (m->kind == IPC_CLOSED) {
		p->closed = true;
		p->broke_rules = m->broke_rules;
		ipc_close(&p->send);
		loop_stop(p->loop);
		return;
	}
	assert_int_equal(m->kind, IPC_attempt);
	assert_int_equal(m->attempt.attempt, p->came);
	p->last_fd = m->attempt.fd;
	buf_reset(&p->seen);
	buf_add(&p->seen, m->attempt.message);
	if (++p->came == p->wanted)
		loop_stop(p->loop);
}

static void
queue_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	(void)owner;
	(void)from;
	fail_msg("nothing is said to the queue here, but message %d came", m->kind);
}

static void
pair_open(struct pair *p, int ends[2])
{
	*p = (struct pair){ .loop = loop_open(), .seen.max = IPC_PACKET_MAX };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	p->send = ipc_open(p->loop, ends[1], ROLE_SEND, ROLE_QUEUE, send_came, p);
}

static void
messages_and_descriptors_come_in_order(void **state)
{
	static char body[20000];
	struct pair p;
	int ends[2], null = open("/dev/null", O_RDONLY);

	(void)state;
	memset(body, 'x', sizeof body);
	pair_open(&p, ends);
	p.queue = ipc_open(p.loop, ends[0], ROLE_QUEUE, ROLE_SEND, queue_came, &p);
	p.wanted = 500; /* far more than a socket holds: the rest waits in the channel */
	for (uint64_t i = 0; i < p.wanted; i++)
		ipc_send_attempt(
			p.queue, &(struct ipc_attempt){ .fd = i + 1 == p.wanted ? null : -1,
					 .attempt = i,
					 .message = { body, sizeof body } });
	assert_true(ipc_waiting(p.queue) > 0);
	loop_run(p.loop);
	assert_int_equal(p.came, p.wanted);
	assert_int_equal(ipc_waiting(p.queue), 0);
	assert_true(p.last_fd >= 0 && fcntl(p.last_fd, F_GETFD) >= 0);
	assert_int_equal(p.seen.n, sizeof body);
	assert_memory_equal(p.seen.p, body, sizeof body);
	close(p.last_fd);
	close(null);
	ipc_close(&p.queue);
	ipc_close(&p.send);
	buf_free(&p.seen);
	loop_close(&p.loop);
}

/* What a role that was taken over may try: every such packet ends the channel, and nothing else. */
static void
bad_packets_close_the_channel(void **state)
{
	struct buf b = { .max = 1000 };
	struct pair p;
	int ends[2];

	(void)state;
	for (int which = 0; which < 5; which++) {
		buf_reset(&b);
		switch (which) {
		case 0:
			codec_add_u16(&b, 0xffff);
			break; /* no such message */
		case 1:
			codec_add_u16(&b, IPC_durable);
			break; /* not for this role, and not from that one */
		case 2:
			codec_add_u16(&b, IPC_attempt);
			break; /* without its fields */
		case 3:
			buf_add(&b, S("x"));
			break;
		case 4: /* a text longer than the packet */
			codec_add_u16(&b, IPC_attempt);
			codec_add_u64(&b, 1);
			codec_add_u32(&b, 0);
			codec_add_u32(&b, 0xffffffffu);
			break;
		}
		pair_open(&p, ends);
		assert_int_equal(send(ends[0], b.p, b.n, 0), (ssize_t)b.n);
		loop_run(p.loop);
		assert_true(p.closed && p.broke_rules);
		assert_int_equal(p.came, 0);
		close(ends[0]);
		loop_close(&p.loop);
	}
	buf_free(&b);
}

static void
closed_itself(void *owner, struct ipc *from, struct ipc_message *m)
{
	(void)owner;
	(void)from;
	assert_int_equal(m->kind, IPC_CLOSED);
}

/* Where no descriptor is left for a packet that must wait, the channel ends: no packet comes without the one it should bring. */
static void
no_packet_comes_without_its_descriptor(void **state)
{
	static char body[20000];
	const struct ipc_attempt bare = { .fd = -1, .message = { body, sizeof body } };
	struct ipc_attempt bearing = { .fd = 0, .message = S("with a descriptor") };
	struct rlimit most, none;
	struct pair p;
	int ends[2];

	(void)state;
	pair_open(&p, ends);
	p.queue = ipc_open(p.loop, ends[0], ROLE_QUEUE, ROLE_SEND, closed_itself, &p);
	while (ipc_waiting(p.queue) == 0) {
		struct ipc_attempt next = bare;

		next.attempt = bearing.attempt++;
		ipc_send_attempt(p.queue, &next);
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &most), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = most.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	ipc_send_attempt(p.queue, &bearing);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &most), 0);
	p.wanted = bearing.attempt + 1;
	loop_run(p.loop);
	assert_true(p.closed);
	assert_true(p.came <= bearing.attempt);
	ipc_close(&p.queue);
	buf_free(&p.seen);
	loop_close(&p.loop);
}

static void
a_peer_that_is_gone_is_told(void **state)
{
	struct pair p;
	int ends[2];

	(void)state;
	pair_open(&p, ends);
	close(ends[0]);
	loop_run(p.loop);
	assert_true(p.closed && !p.broke_rules);
	loop_close(&p.loop);
	ipc_send_attempt(NULL, &(struct ipc_attempt){ .fd = -1 }); /* to nobody: dropped */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_and_descriptors_come_in_order),
		cmocka_unit_test(bad_packets_close_the_channel),
		cmocka_unit_test(a_peer_that_is_gone_is_told),
		cmocka_unit_test(no_packet_comes_without_its_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
