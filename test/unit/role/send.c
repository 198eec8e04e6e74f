/* SPDX-License-Identifier: Apache-2.0 */
#include "role/send/send.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/must.h"
#include "message/message.h"
#include "spool/spool.h"
#include "unit.h"

/*
 * Attempts against hosts on loopback that follow a script: a greeting, then a reply to each command
 * in turn; "" closes the connection, and nothing behind the last reply is said. Everything is one
 * loop: the hosts, the role's code, and the queue's end of the channel, which keeps the outcome.
 */

enum { HOSTS_MAX = 48, REPLIES_MAX = 16, TOO_LONG_MS = 20000 };

struct host {
	int fd, peer; /* listening; the one connection at a time */
	struct loop_watch *door, *watch;
	const char *replies[REPLIES_MAX]; /* the first one is the greeting */
	unsigned said, connections;
	bool in_message;
	const char *
		stop_at; /* a line of the client's, at which the loop stops before it is answered */
	struct buf in, heard; /* heard: its commands and messages, a line each */
	struct sockaddr_in client;
	struct hop hop;
};

static struct house {
	struct send send;
	struct ipc *queue;
	struct loop_timer *limit;
	struct host hosts[HOSTS_MAX];
	size_t hosts_n;
	char host_names[HOSTS_MAX][8];
	/* the outcome that came last */
	unsigned outcomes_n;
	struct smtp_outcome outcomes[4];
	struct step steps[HOSTS_MAX];
	size_t steps_n;
	struct buf steps_text;
} house;

/* ── Hosts ───────────────────────────────────────────────────────────────────────────────────── */

static void
host_hang_up(struct host *h)
{
	loop_watch_close(&h->watch);
	if (h->peer >= 0)
		close(h->peer);
	h->peer = -1;
}

static void
host_say(struct host *h)
{
	const char *reply = h->said < REPLIES_MAX ? h->replies[h->said++] : NULL;

	if (!reply)
		return;
	if (!*reply) {
		host_hang_up(h);
		return;
	}
	h->in_message = str_starts(str_of(reply), S("354"));
	must(send(h->peer, reply, strlen(reply), MSG_NOSIGNAL) > 0);
	must(send(h->peer, "\r\n", 2, MSG_NOSIGNAL) == 2);
}

static void
host_hear_line(struct host *h, struct str line)
{
	buf_add(&h->heard, line);
	buf_add_char(&h->heard, '\n');
	if (h->stop_at && str_eq(line, str_of(h->stop_at)))
		loop_stop(house.send.role.loop);
	else if (str_starts(line, S("QUIT")))
		host_hang_up(h);
	else if (!h->in_message || str_eq(line, S(".")))
		host_say(h);
}

static void
host_ready(void *owner, int events)
{
	struct host *h = owner;
	char octets[4096];
	ssize_t n = recv(h->peer, octets, sizeof octets, 0);
	struct str line, rest;

	(void)events;
	if (n <= 0) {
		host_hang_up(h);
		return;
	}
	buf_add(&h->in, (struct str){ octets, (size_t)n });
	for (rest = buf_str(&h->in); h->peer >= 0 && scan_until(&rest, '\n', &line);)
		host_hear_line(h, str_part(line, 0, line.n - 1));
	buf_drop(&h->in, h->in.n - rest.n);
}

static void
host_called(void *owner, int events)
{
	struct host *h = owner;
	socklen_t n = sizeof h->client;

	(void)events;
	host_hang_up(h);
	h->peer = accept(h->fd, (struct sockaddr *)&h->client, &n);
	must(h->peer >= 0);
	h->connections++;
	h->said = 0;
	h->watch = loop_watch_open(house.send.role.loop, h->peer, host_ready, h);
	loop_watch_set(h->watch, LOOP_READ);
	host_say(h);
}

/* A host with the next name, "h0", "h1" …; no script: its port refuses connections. */
static struct host *
host_new(const char *const *replies)
{
	struct host *h = &house.hosts[house.hosts_n];
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof address;

	snprintf(house.host_names[house.hosts_n], 8, "h%zu", house.hosts_n);
	*h = (struct host){ .fd = socket(AF_INET, SOCK_STREAM, 0),
		.peer = -1,
		.in.max = 1 << 20,
		.heard.max = 1 << 20,
		.hop = { .host = str_of(house.host_names[house.hosts_n++]),
			.family = HOP_IPV4,
			.address = { 127, 0, 0, 1 } } };
	must(bind(h->fd, (struct sockaddr *)&address, n) == 0);
	must(getsockname(h->fd, (struct sockaddr *)&address, &n) == 0);
	h->hop.port = ntohs(address.sin_port);
	for (size_t i = 0; replies && replies[i]; i++)
		h->replies[i] = replies[i];
	if (!replies)
		return h;
	must(listen(h->fd, 10) == 0);
	h->door = loop_watch_open(house.send.role.loop, h->fd, host_called, h);
	loop_watch_set(h->door, LOOP_READ);
	return h;
}

/* ── The queue's end ─────────────────────────────────────────────────────────────────────────── */

static void
outcome_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct str rest = m->outcome.outcomes;
	uint8_t stage, dsn_taken;

	(void)owner;
	(void)from;
	assert_int_equal(m->kind, IPC_outcome);
	assert_int_equal(m->outcome.attempt, 7);
	for (house.outcomes_n = 0; rest.n; house.outcomes_n++) {
		struct smtp_outcome *o = &house.outcomes[house.outcomes_n];

		assert_true(codec_scan_u8(&rest, &stage) && codec_scan_u8(&rest, &dsn_taken) &&
			    codec_scan_err(&rest, &o->err));
		o->stage = stage;
		o->dsn_taken = dsn_taken;
	}
	buf_reset(&house.steps_text);
	buf_add(&house.steps_text, m->outcome.steps);
	rest = buf_str(&house.steps_text);
	for (house.steps_n = 0; rest.n; house.steps_n++)
		assert_true(step_scan(&rest, &house.steps[house.steps_n]));
	loop_stop(house.send.role.loop);
}

static void
nothing_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	(void)owner;
	(void)from;
	(void)m;
}

static void
too_long(void *owner)
{
	(void)owner;
	fail_msg("no outcome came");
}

static int
set_up(void **state)
{
	int fds[2];

	(void)state;
	memset(&house, 0, sizeof house);
	house.steps_text.max = IPC_TEXT_MAX;
	house.send.role.loop = loop_open();
	house.send.role.config.hostname = S("client.example");
	house.send.warm.key_of = link_pool_key;
	list_init(&house.send.links);
	health_open(&house.send.health);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	house.send.queue =
		ipc_open(house.send.role.loop, fds[0], ROLE_SEND, ROLE_QUEUE, nothing_came, NULL);
	house.queue =
		ipc_open(house.send.role.loop, fds[1], ROLE_QUEUE, ROLE_SEND, outcome_came, NULL);
	house.limit = loop_timer_open(house.send.role.loop, too_long, NULL);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	link_close_idle(&house.send);
	for (size_t i = 0; i < house.hosts_n; i++) {
		struct host *h = &house.hosts[i];

		host_hang_up(h);
		loop_watch_close(&h->door);
		close(h->fd);
		buf_free(&h->in);
		buf_free(&h->heard);
	}
	loop_timer_close(&house.limit);
	ipc_close(&house.send.queue);
	ipc_close(&house.queue);
	loop_run(house.send.role
			 .loop); /* until the links, which said QUIT, hear that nobody is there */
	must(list_is_empty(&house.send.links));
	health_free(&house.send.health);
	map_free(&house.send.warm);
	buf_free(&house.steps_text);
	loop_close(&house.send.role.loop);
	return 0;
}

struct road {
	struct str message, envid, orcpt, route;
	uint32_t flags;
	uint8_t notify;
	unsigned recipients_n; /* 0: one */
};

static void
run(void)
{
	loop_timer_set(house.limit, TOO_LONG_MS);
	loop_run(house.send.role.loop);
	loop_timer_set(house.limit, -1);
}

/* The hosts from `first` on, in this order. */
static void
begin_attempt(size_t first, const struct road *r)
{
	struct buf hops = { .max = IPC_TEXT_MAX }, recipients = { .max = IPC_TEXT_MAX };

	for (size_t i = first; i < house.hosts_n; i++)
		hop_add(&hops, &house.hosts[i].hop);
	for (unsigned i = 0; i < (r->recipients_n ? r->recipients_n : 1); i++) {
		codec_add_str(&recipients, i ? S("eve@example.org") : S("bob@example.org"));
		codec_add_u8(&recipients, r->notify);
		codec_add_str(&recipients, r->orcpt);
	}
	attempt_begin(&house.send,
		&(struct ipc_attempt){ .fd = -1,
			.attempt = 7,
			.flags = r->flags,
			.route = r->route,
			.hops = buf_str(&hops),
			.reverse_path = S("ann@example.net"),
			.envid = r->envid,
			.recipients = buf_str(&recipients),
			.message = r->message.n ? r->message : S("Subject: s\r\n\r\n") });
	buf_free(&hops);
	buf_free(&recipients);
}

/* Returns when the outcome is there. */
static void
try_hosts_in_turn(size_t first, const struct road *r)
{
	begin_attempt(first, r);
	run();
}

/* The same, in the order in which the hosts stand. */
static void
try_hosts(size_t first, const struct road *r)
{
	house.send.turns = 0;
	try_hosts_in_turn(first, r);
}

#define REPLIES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define TAKES                                                                                 \
	REPLIES("220 mx", "250 mx", "250 ok", "250 ok", "354 go", "250 2.0.0 kept", "250 ok", \
		"250 ok", "354 go", "250 2.0.0 kept again", "", "")

static void
assert_step(size_t i, const char *host, enum smtp_stage stage, enum err_class class, int code)
{
	assert_true(i < house.steps_n);
	assert_str(house.steps[i].host, str_of(host));
	assert_int_equal(house.steps[i].stage, stage);
	assert_int_equal(house.steps[i].err.class, class);
	assert_int_equal(house.steps[i].err.code, code);
}

/* ── The order of hops ───────────────────────────────────────────────────────────────────────── */

static void
test_the_next_hop_is_tried_until_one_talks(void **state)
{
	struct buf address = { .max = 100 };

	(void)state;
	host_new(NULL);
	host_new(REPLIES("554 5.7.1 not you"));
	host_new(REPLIES("421 4.3.2 too busy"));
	host_new(REPLIES("220 mx", ""));
	host_new(REPLIES("220 mx", "250 mx", ""));
	host_new(TAKES);
	host_new(TAKES);
	try_hosts(0, &(struct road){ 0 });
	assert_int_equal(house.outcomes_n, 1);
	assert_int_equal(house.outcomes[0].err.class, ERR_NONE);
	assert_int_equal(house.steps_n, 6);
	assert_step(0, "h0", STAGE_CONNECT, ERR_TEMPORARY, 0);
	assert_int_equal(house.steps[0].err.cause, ECONNREFUSED);
	assert_step(1, "h1", STAGE_GREETING, ERR_PERMANENT, 554);
	assert_step(2, "h2", STAGE_GREETING, ERR_TEMPORARY, 421);
	assert_step(3, "h3", STAGE_HELLO, ERR_TEMPORARY, 0);
	assert_step(4, "h4", STAGE_MAIL, ERR_TEMPORARY, 0);
	assert_step(5, "h5", STAGE_END, ERR_NONE, 250);
	assert_string_equal(house.steps[5].err.text, "kept");
	hop_add_text(&address, &house.hosts[5].hop);
	assert_str(house.steps[5].address, buf_str(&address));
	assert_int_equal(house.hosts[6].connections, 0);
	buf_free(&address);
}

/* Permanent only when every host said so; a no to the mail itself needs no second opinion. */
static void
test_what_all_hosts_together_say(void **state)
{
	(void)state;
	host_new(REPLIES("554 5.7.1 not you"));
	host_new(REPLIES("550 5.7.1 nor you"));
	try_hosts(0, &(struct road){ 0 });
	assert_int_equal(house.outcomes[0].err.class, ERR_PERMANENT);
	assert_int_equal(house.outcomes[0].err.code, 550);
	assert_int_equal(house.outcomes[0].stage, STAGE_GREETING);
	host_new(NULL);
	try_hosts(0, &(struct road){ 0 });
	assert_int_equal(house.steps_n, 3);
	assert_int_equal(house.outcomes[0].err.class, ERR_TEMPORARY);
	assert_int_equal(house.outcomes[0].err.kind, ERR_CONNECT);
	host_new(REPLIES("220 mx", "250 mx", "550 5.1.8 not from there"));
	host_new(TAKES);
	try_hosts(3, &(struct road){ 0 });
	assert_int_equal(house.steps_n, 1);
	assert_int_equal(house.outcomes[0].err.code, 550);
	assert_int_equal(house.outcomes[0].stage, STAGE_MAIL);
	assert_int_equal(house.hosts[4].connections, 0);
}

/* RFC 5321 §5.1: what the one host cannot do now the next one may. */
static void
test_a_host_that_puts_the_mail_off_is_not_the_last(void **state)
{
	static const char *const scripts[][REPLIES_MAX] = {
		{ "220 mx", "250 mx", "452 4.3.1 full" },
		{ "220 mx", "250 mx", "354 what?" },
		{ "220 mx", "250 mx", "250 ok", "451 4.7.1 come back" },
		{ "220 mx", "250 mx", "250 ok", "421 4.3.2 going down" },
		{ "220 mx", "250 mx", "250 ok", "" },
		{ "220 mx", "250 mx", "250 ok", "250 ok", "451 4.3.0 no disk" },
		{ "220 mx", "250 mx", "250 ok", "250 ok", "" },
		{ "220 mx", "250-mx\r\n250-PIPELINING\r\n250 CHUNKING", "452 4.3.1 full",
			"503 5.5.1 no MAIL", "503 5.5.1 no MAIL" },
		{ "220 mx", "250-mx\r\n250-PIPELINING\r\n250 CHUNKING", "421 4.3.2 busy" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
		struct host *sulky = host_new(scripts[i]);

		host_new(TAKES);
		try_hosts(house.hosts_n - 2, &(struct road){ 0 });
		assert_int_equal(sulky->connections, 1);
		assert_int_equal(house.steps_n, 2);
		assert_true(house.steps[0].stage >= STAGE_MAIL);
		assert_int_equal(house.steps[0].err.class, ERR_TEMPORARY);
		assert_int_equal(house.outcomes[0].err.class, ERR_NONE);
	}
}

/* A no, or the end of the message, is not put to another host. */
static void
test_what_decides(void **state)
{
	static const struct {
		const char *replies[REPLIES_MAX];
		enum smtp_stage stage;
	} ends[] = {
		{ { "220 mx", "250 mx", "250 ok", "451 later", "550 no eve" }, STAGE_RCPT },
		{ { "220 mx", "250 mx", "250 ok", "250 ok", "250 ok", "354 go", "451 4.3.0 later" },
			STAGE_END },
		{ { "220 mx", "250 mx", "250 ok", "250 ok", "250 ok", "354 go", "" }, STAGE_END },
		{ { "220 mx", "250-mx\r\n250-PIPELINING\r\n250 CHUNKING", "" }, STAGE_MAIL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
		host_new(ends[i].replies);
		struct host *next = host_new(TAKES);

		try_hosts(house.hosts_n - 2, &(struct road){ .recipients_n = 2 });
		assert_int_equal(house.steps_n, 1);
		assert_int_equal(house.outcomes_n, 2);
		assert_int_equal(house.outcomes[0].err.class, ERR_TEMPORARY);
		assert_int_equal(house.outcomes[0].stage, ends[i].stage);
		assert_int_equal(next->connections, 0);
	}
}

/* Two of one mind speak for the domain. */
static void
test_a_second_deferral_of_recipients_decides(void **state)
{
	(void)state;
	host_new(REPLIES("220 mx", "250 mx", "250 ok", "451 4.7.1 come back"));
	host_new(NULL);
	host_new(REPLIES("220 mx", "250 mx", "250 ok", "451 4.7.1 come back here too"));
	host_new(TAKES);
	try_hosts(0, &(struct road){ 0 });
	assert_int_equal(house.steps_n, 3);
	assert_string_equal(house.outcomes[0].err.text, "come back here too");
	assert_int_equal(house.hosts[3].connections, 0);
}

/* What a host said of each recipient is not lost in a next one that cannot be reached. */
static void
test_words_about_recipients_outlive_the_next_hop(void **state)
{
	(void)state;
	host_new(REPLIES(
		"220 mx", "250 mx", "250 ok", "451 4.7.1 bob later", "450 4.2.1 eve later"));
	host_new(NULL);
	try_hosts(0, &(struct road){ .recipients_n = 2 });
	assert_int_equal(house.steps_n, 2);
	assert_string_equal(house.outcomes[0].err.text, "bob later");
	assert_string_equal(house.outcomes[1].err.text, "eve later");
}

static struct attempt *
only_attempt(void)
{
	return list_of(house.send.links.next, struct link, node)->attempt;
}

/* Each answer comes in time, all of them together do not: no other host is asked. */
static void
test_an_attempt_has_an_end(void **state)
{
	int64_t now_ms;

	(void)state;
	host_new(REPLIES("220 mx", "250 mx", "250 ok"));
	host_new(TAKES);
	begin_attempt(0, &(struct road){ 0 });
	now_ms = loop_now_ms(house.send.role.loop);
	assert_in_range(attempt_left_ms(only_attempt()), 3590000, 3610000);
	only_attempt()->deadline_ms = now_ms + 300;
	run();
	assert_step(0, "h0", STAGE_RCPT, ERR_TEMPORARY, 0);
	assert_int_equal(house.outcomes[0].err.kind, ERR_TIMEOUT);
	assert_non_null(strstr(house.outcomes[0].err.text, "too slow"));
	assert_int_equal(house.hosts[1].connections, 0);
}

/* Without its route a mail would go on without the login and the source address. */
static void
test_a_route_taken_away_between_two_hops(void **state)
{
	struct config_route route = { .name = S("*"), .pattern = S("*") };

	(void)state;
	house.send.role.config.routes = &route;
	house.send.role.config.routes_n = 1;
	host_new(REPLIES("220 mx", "250 mx", "452 4.3.1 full"))->stop_at =
		"MAIL FROM:<ann@example.net>";
	host_new(TAKES);
	begin_attempt(0, &(struct road){ .route = S("*") });
	run();
	house.send.role.config.routes_n = 0;
	host_say(&house.hosts[0]);
	run();
	assert_int_equal(house.outcomes[0].err.class, ERR_TEMPORARY);
	assert_non_null(strstr(house.steps[1].err.text, "taken out of the configuration"));
	assert_int_equal(house.hosts[1].connections, 0);
	house.send.role.config.routes = NULL;
}

/* ── A queue that is gone ────────────────────────────────────────────────────────────────────── */

/* The next queue tries again what the lost one had asked for, so nothing of it may still go out. */
static void
test_attempts_of_a_lost_queue_are_dropped(void **state)
{
	struct host *h;

	(void)state;
	h = host_new(REPLIES("220 mx", "250 mx", "250 ok", "250 ok", "354 go", "250 kept"));
	h->stop_at = "DATA";
	begin_attempt(0, &(struct road){ 0 });
	run();
	link_queue_lost(&house.send);
	assert_int_equal(house.send.attempts_n, 0);
	assert_true(list_is_empty(&house.send.links));
}

/* Whose message is out already ends in peace; but its outcome is not told to the next queue, which
 * numbers its attempts from the beginning. */
static void
test_the_end_of_a_lost_queues_mail_is_told_to_nobody(void **state)
{
	(void)state;
	host_new(TAKES)->stop_at = ".";
	host_new(TAKES);
	begin_attempt(0, &(struct road){ 0 });
	run();
	link_queue_lost(&house.send);
	assert_int_equal(house.send.attempts_n, 1);
	house.hosts[0].stop_at = NULL;
	host_say(&house.hosts[0]);
	try_hosts(1, &(struct road){ 0 });
	assert_step(0, "h1", STAGE_END, ERR_NONE, 250);
	assert_int_equal(house.send.attempts_n, 0);
	assert_non_null(link_warm(
		&house.send, buf_str(&list_of(house.send.links.next, struct link, node)->key)));
}

static void
test_dead_hosts_are_tried_last_but_tried(void **state)
{
	(void)state;
	host_new(REPLIES("421 busy"));
	host_new(TAKES);
	try_hosts(0, &(struct road){ 0 });
	assert_int_equal(house.steps_n, 2);
	try_hosts(0,
		&(struct road){ 0 }); /* the dead one is not asked again, the warm link is used */
	assert_int_equal(house.steps_n, 1);
	assert_step(0, "h1", STAGE_END, ERR_NONE, 250);
	assert_int_equal(house.hosts[0].connections, 1);
	assert_int_equal(house.hosts[1].connections, 1);
	house.hosts_n = 1; /* nothing else is left */
	try_hosts(0, &(struct road){ 0 });
	assert_step(0, "h0", STAGE_GREETING, ERR_TEMPORARY, 421);
	assert_int_equal(house.hosts[0].connections, 2);
	house.hosts_n = 2;
}

/* Each in its turn, over the link that its turn before has left warm; one that is not preferred has no turn. */
static void
test_equals_share_the_load(void **state)
{
	(void)state;
	host_new(TAKES);
	host_new(TAKES);
	for (unsigned i = 0; i < 4; i++) {
		house.send.turns = i;
		try_hosts_in_turn(0, &(struct road){ 0 });
		assert_step(0, i % 2 ? "h1" : "h0", STAGE_END, ERR_NONE, 250);
	}
	assert_int_equal(house.hosts[0].connections, 1);
	assert_int_equal(house.hosts[1].connections, 1);
	house.hosts[1].hop.preference = 20;
	for (unsigned i = 0; i < 2; i++) {
		house.send.turns = i;
		try_hosts_in_turn(0, &(struct road){ 0 });
		assert_step(0, "h0", STAGE_END, ERR_NONE, 250);
	}
}

/* The third mail finds the connection closed: a new one to the same host, and no step of its own. */
static void
test_a_warm_link_that_died_costs_nothing(void **state)
{
	(void)state;
	host_new(TAKES);
	for (int i = 0; i < 3; i++) {
		try_hosts(0, &(struct road){ 0 });
		assert_int_equal(house.outcomes[0].err.class, ERR_NONE);
		assert_int_equal(house.steps_n, 1);
	}
	assert_int_equal(house.hosts[0].connections, 2);
}

static void
test_a_source_address(void **state)
{
	struct config_network source = { AF_INET, { 127, 0, 0, 77 }, 32 };
	struct config_route route = { .name = S("*"), .source = &source, .source_n = 1 };

	(void)state;
	house.send.role.config.routes = &route;
	house.send.role.config.routes_n = 1;
	host_new(TAKES);
	try_hosts(0, &(struct road){ 0 });
	assert_int_equal(ntohl(house.hosts[0].client.sin_addr.s_addr), INADDR_LOOPBACK);
	try_hosts(0, &(struct road){ .route = S("*") }); /* the warm link has the wrong address */
	assert_int_equal(ntohl(house.hosts[0].client.sin_addr.s_addr), 0x7f00004d);
	assert_int_equal(house.hosts[0].connections, 2);
	source.address[0] = 192; /* not ours */
	try_hosts(0, &(struct road){ .route = S("*") });
	assert_int_equal(house.outcomes[0].err.class, ERR_TEMPORARY);
	assert_non_null(strstr(house.outcomes[0].err.text, "source address"));
	house.send.role.config.routes_n = 0;
	try_hosts(0, &(struct road){ .route = S("*") });
	assert_non_null(strstr(house.outcomes[0].err.text, "taken out of the configuration"));
	house.send.role.config.routes = NULL;
}

/* ── What is said ────────────────────────────────────────────────────────────────────────────── */

static void
test_lmtp_over_a_unix_socket(void **state)
{
	struct sockaddr_un path = { .sun_family = AF_UNIX };
	struct host *h;

	(void)state;
	h = host_new(REPLIES("220 mx LMTP", "250 mx", "250 ok", "250 ok", "250 ok", "354 go",
		"250 2.1.5 for bob\r\n452 4.2.2 eve is full"));
	snprintf(path.sun_path, sizeof path.sun_path, "/tmp/posthouse-unit-send.%d", getpid());
	close(h->fd);
	loop_watch_close(&h->door);
	h->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	must(bind(h->fd, (struct sockaddr *)&path, sizeof path) == 0 && listen(h->fd, 1) == 0);
	h->door = loop_watch_open(house.send.role.loop, h->fd, host_called, h);
	loop_watch_set(h->door, LOOP_READ);
	h->hop = (struct hop){
		.host = str_of(path.sun_path), .family = HOP_UNIX, .protocol = HOP_LMTP
	};
	try_hosts(0, &(struct road){ .recipients_n = 2 });
	unlink(path.sun_path);
	assert_true(str_starts(buf_str(&h->heard), S("LHLO client.example\n")));
	assert_int_equal(house.outcomes_n, 2);
	assert_int_equal(house.outcomes[0].err.class, ERR_NONE);
	assert_int_equal(house.outcomes[1].err.code, 452);
	assert_step(0, path.sun_path, STAGE_END, ERR_NONE, 250);
	assert_true(str_starts(house.steps[0].address, S("unix:/tmp/")));
}

static void
test_requests_for_reports(void **state)
{
	struct road r = { .envid = S("QQ1"),
		.orcpt = S("rfc822;bob@example.org"),
		.notify = DSN_NOTIFY_SUCCESS,
		.flags = SPOOL_RET_HDRS };
	struct host *with, *without;

	(void)state;
	with = host_new(
		REPLIES("220 mx", "250-mx\r\n250 DSN", "250 ok", "250 ok", "354 go", "250 ok"));
	try_hosts(0, &r);
	assert_true(house.outcomes[0].dsn_taken);
	assert_int_not_equal(str_find_str(buf_str(&with->heard),
				     S("MAIL FROM:<ann@example.net> RET=HDRS ENVID=QQ1\n"
				       "RCPT TO:<bob@example.org> NOTIFY=SUCCESS "
				       "ORCPT=rfc822;bob@example.org\n")),
		with->heard.n);
	without = host_new(TAKES);
	try_hosts(1, &r);
	assert_false(house.outcomes[0].dsn_taken);
	assert_int_not_equal(str_find_str(buf_str(&without->heard),
				     S("MAIL FROM:<ann@example.net>\nRCPT TO:<bob@example.org>\n")),
		without->heard.n);
}

/* The first host makes the message ASCII, and is then gone; the second one takes it as it is. */
static void
test_an_ascii_header_is_for_the_host_that_needs_it(void **state)
{
	struct road r = { .message = S("Subject: Gr\xc3\xbc\xc3\x9f\x65\r\n\r\n\xc3\xa4\r\n"),
		.flags = SPOOL_SMTPUTF8 | SPOOL_8BIT };
	struct host *gone, *old, *new;

	(void)state;
	gone = host_new(REPLIES("220 mx", "250 mx", ""));
	new = host_new(REPLIES("220 mx", "250-mx\r\n250-8BITMIME\r\n250 SMTPUTF8", "250 ok",
		"250 ok", "354 go", "250 ok"));
	try_hosts(0, &r);
	assert_int_equal(house.outcomes[0].err.class, ERR_NONE);
	assert_int_equal(gone->connections, 1);
	assert_int_not_equal(
		str_find_str(buf_str(&new->heard), S("BODY=8BITMIME SMTPUTF8\n")), new->heard.n);
	assert_int_not_equal(str_find_str(buf_str(&new->heard),
				     S("Subject: Gr\xc3\xbc\xc3\x9f\x65\n\n\xc3\xa4\n")),
		new->heard.n);
	old = host_new(TAKES);
	try_hosts(2, &r);
	assert_int_equal(house.outcomes[0].err.class, ERR_NONE);
	assert_int_not_equal(str_find_str(buf_str(&old->heard), S("Subject: =?")), old->heard.n);
	assert_int_not_equal(str_find_str(buf_str(&old->heard), S("\n\n\xc3\xa4\n")), old->heard.n);
	house.send.role.config.queue.bounces_8bit = true;
	host_new(TAKES);
	try_hosts(3, &r);
	assert_int_equal(house.outcomes[0].err.kind, ERR_NEEDS_8BITMIME);
	assert_int_equal(house.outcomes[0].err.class, ERR_PERMANENT);
}

/* ── TLS: what is demanded (handshakes are test/system's) ────────────────────────────────────── */

static struct config_route demands[] = {
	{ .name = { "require", 7 }, .tls = CONFIG_TLS_REQUIRE },
	{ .name = { "verify", 6 }, .tls = CONFIG_TLS_VERIFY },
	{ .name = { "never", 5 }, .tls = CONFIG_TLS_NEVER },
};

static void
with_demands(void)
{
	house.send.role.config.routes = demands;
	house.send.role.config.routes_n = sizeof demands / sizeof demands[0];
}

static unsigned
times_heard(const struct host *h, struct str line)
{
	struct str rest = buf_str(&h->heard), at;
	unsigned n = 0;

	while (scan_until(&rest, '\n', &at))
		n += str_eq(at, line);
	return n;
}

static void
test_tls_that_fails_is_found_out_once(void **state)
{
	static const char *const then[] = { "250 ok", "250 ok", "354 go", "250 kept", "" };
	struct host *h = host_new(REPLIES("220 mx", "250-mx\r\n250 STARTTLS"));

	(void)state;
	h->stop_at = "STARTTLS";
	try_hosts(0, &(struct road){ 0 });
	h->stop_at = NULL;
	memcpy(h->replies + 2, then, sizeof then);
	host_hang_up(h);
	run();
	assert_int_equal(house.steps_n, 2);
	assert_step(0, "h0", STAGE_TLS, ERR_TEMPORARY, 0);
	assert_step(1, "h0", STAGE_END, ERR_NONE, 250);
	assert_int_equal(house.steps[1].tls.n, 0);
	assert_int_equal(h->connections, 2);
	link_close_idle(&house.send);
	try_hosts(0, &(struct road){ 0 });
	assert_int_equal(house.steps_n, 1);
	assert_int_equal(h->connections, 3);
	assert_int_equal(times_heard(h, S("STARTTLS")), 1);
}

static void
test_where_tls_is_demanded_nothing_is_said_without_it(void **state)
{
	static const char *const replies[][REPLIES_MAX] = {
		{ "220 mx", "250 mx" },
		{ "220 mx", "250-mx\r\n250 STARTTLS", "454 no key" },
		{ "220 mx", "250-mx\r\n250 STARTTLS", "220 go on" }, /* we have no terms here */
		{ "220 mx", "500 EHLO?", "250 mx" },
	};

	(void)state;
	with_demands();
	for (size_t route = 0; route < 2; route++)
		for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
			struct host *bad = host_new(replies[i]);

			try_hosts(
				house.hosts_n - 1, &(struct road){ .route = demands[route].name });
			assert_int_equal(house.steps_n, 1);
			assert_int_equal(house.steps[0].stage, STAGE_TLS);
			assert_int_equal(house.outcomes[0].err.class, ERR_TEMPORARY);
			assert_int_equal(house.outcomes[0].err.kind, ERR_TLS);
			assert_int_equal(bad->connections, 1);
			assert_int_equal(times_heard(bad, S("MAIL FROM:<ann@example.net>")), 0);
		}
}

static void
test_links_of_other_demands_are_not_shared(void **state)
{
	struct host *h = host_new(TAKES);

	(void)state;
	with_demands();
	try_hosts(0, &(struct road){ 0 });
	try_hosts(0, &(struct road){ .route = S("never") });
	assert_int_equal(h->connections, 2);
	try_hosts(0, &(struct road){ .route = S("require") });
	assert_int_equal(h->connections, 3);
	assert_int_equal(house.outcomes[0].err.kind, ERR_TLS);
}

static void
test_what_is_asked_of_a_hop(void **state)
{
	static const struct {
		struct hop hop;
		struct str route;
		bool has_login, has_failed; /* TLS there, lately */
		enum smtp_client_tls tls;
		bool needs_it;
	} cases[] = {
		{ .hop = { .family = HOP_IPV4, .address = { 192, 0, 2, 1 } },
			.tls = CLIENT_TLS_TRY },
		{ .hop = { .family = HOP_IPV4, .address = { 192, 0, 2, 1 } },
			.has_failed = true,
			.tls = CLIENT_TLS_NEVER },
		{ .hop = { .family = HOP_IPV4, .address = { 192, 0, 2, 1 } },
			.has_login = true,
			.has_failed = true,
			.tls = CLIENT_TLS_TRY,
			.needs_it = true },
		{ .hop = { .family = HOP_IPV4, .address = { 127, 0, 0, 9 } },
			.has_login = true,
			.has_failed = true,
			.tls = CLIENT_TLS_NEVER },
		{ .hop = { .family = HOP_IPV6, .address = { [15] = 1 } },
			.has_login = true,
			.tls = CLIENT_TLS_TRY },
		{ .hop = { .family = HOP_IPV6, .address = { 0x20, 1, 0x0d, 0xb8, [15] = 1 } },
			.has_login = true,
			.tls = CLIENT_TLS_TRY,
			.needs_it = true },
		{ .hop = { .family = HOP_IPV4, .address = { 192, 0, 2, 1 } },
			.route = { "never", 5 },
			.has_login = true,
			.tls = CLIENT_TLS_NEVER },
		{ .hop = { .family = HOP_IPV4, .address = { 192, 0, 2, 1 } },
			.route = { "verify", 6 },
			.has_failed = true,
			.tls = CLIENT_TLS_REQUIRE,
			.needs_it = true },
		{ .hop = { .family = HOP_IPV4, .protocol = HOP_SMTPS, .address = { 127, 0, 0, 1 } },
			.route = { "never", 5 },
			.has_failed = true,
			.tls = CLIENT_TLS_FIRST,
			.needs_it = true },
		{ .hop = { .family = HOP_UNIX, .protocol = HOP_LMTP },
			.route = { "require", 7 },
			.has_login = true,
			.tls = CLIENT_TLS_NEVER },
	};

	(void)state;
	with_demands();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char name[8];
		struct road_hop at = { .hop = cases[i].hop };
		struct attempt a = { .house = &house.send, .at = &at, .route = cases[i].route };
		struct link l = { .house = &house.send, .attempt = &a };
		struct smtp_client_settings settings = { .login = cases[i].has_login ? S("alice")
										     : S("") };

		snprintf(name, sizeof name, "%zu", i);
		at.text = str_of(name);
		if (cases[i].has_failed)
			health_tls_failed(
				&house.send.health, at.text, loop_now_ms(house.send.role.loop));
		secure_choose(&l, &settings);
		assert_int_equal(settings.tls, cases[i].tls);
		assert_int_equal(smtp_client_needs_tls(&settings), cases[i].needs_it);
	}
}

/* ── Hosts that lie ──────────────────────────────────────────────────────────────────────────── */

/* Each alone on its road: whatever it does, the mail is neither lost nor delivered by it; and a
 * second mail, to another host, is not in its way. */
static void
test_hosts_that_lie(void **state)
{
	static char endless[70000];
	static const struct {
		const char *replies[REPLIES_MAX];
		enum err_kind kind;
		enum smtp_stage stage;
	} lies[] = {
		{ { "hello" }, ERR_PROTOCOL, STAGE_GREETING },
		{ { "220-mx\r\n250 mx" }, ERR_PROTOCOL, STAGE_GREETING },
		{ { endless }, ERR_PROTOCOL, STAGE_GREETING },
		{ { "" }, ERR_CONNECTION_LOST, STAGE_GREETING },
		{ { "220 mx", "" }, ERR_CONNECTION_LOST, STAGE_HELLO },
		{ { "220 mx", "354 go" }, ERR_PROTOCOL, STAGE_HELLO },
		{ { "220 mx", "250 mx", "" }, ERR_CONNECTION_LOST, STAGE_MAIL },
		{ { "220 mx", "250 mx", "250 ok", "" }, ERR_CONNECTION_LOST, STAGE_RCPT },
		{ { "220 mx", "250 mx", "250 ok", "354 go" }, ERR_PROTOCOL, STAGE_RCPT },
		{ { "220 mx", "250 mx", "250 ok", "250 ok", "" }, ERR_CONNECTION_LOST, STAGE_DATA },
		{ { "220 mx", "250 mx", "250 ok", "250 ok", "250 kept" }, ERR_PROTOCOL,
			STAGE_DATA },
		{ { "220 mx", "250 mx", "250 ok", "250 ok", "354 go", "" }, ERR_CONNECTION_LOST,
			STAGE_END },
		{ { "220 mx", "250 mx", "250 ok", "250 ok", "354 go", "354 go" }, ERR_PROTOCOL,
			STAGE_END },
		{ { "220 mx", "250 mx", "250 ok", "250 ok", "354 go", "250-kept\r\n251 kept" },
			ERR_PROTOCOL, STAGE_END },
	};

	(void)state;
	for (size_t i = 0; i < sizeof endless - 1; i++)
		endless[i] = "220-and so on and on and on and on and on and on and on and on and "
			     "on and\r\n"[i % 75];
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		host_new(lies[i].replies);
		try_hosts(house.hosts_n - 1, &(struct road){ 0 });
		assert_int_equal(house.outcomes[0].err.class, ERR_TEMPORARY);
		assert_int_equal(house.outcomes[0].err.kind, lies[i].kind);
		assert_int_equal(house.outcomes[0].stage, lies[i].stage);
		assert_int_equal(house.steps_n, 1);
		host_new(TAKES);
		try_hosts(house.hosts_n - 1, &(struct road){ 0 });
		assert_int_equal(house.outcomes[0].err.class, ERR_NONE);
	}
}

int
main(void)
{
#define test_of(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		test_of(test_the_next_hop_is_tried_until_one_talks),
		test_of(test_what_all_hosts_together_say),
		test_of(test_a_host_that_puts_the_mail_off_is_not_the_last),
		test_of(test_what_decides),
		test_of(test_a_second_deferral_of_recipients_decides),
		test_of(test_words_about_recipients_outlive_the_next_hop),
		test_of(test_an_attempt_has_an_end),
		test_of(test_a_route_taken_away_between_two_hops),
		test_of(test_attempts_of_a_lost_queue_are_dropped),
		test_of(test_the_end_of_a_lost_queues_mail_is_told_to_nobody),
		test_of(test_dead_hosts_are_tried_last_but_tried),
		test_of(test_equals_share_the_load),
		test_of(test_a_warm_link_that_died_costs_nothing),
		test_of(test_a_source_address),
		test_of(test_lmtp_over_a_unix_socket),
		test_of(test_requests_for_reports),
		test_of(test_an_ascii_header_is_for_the_host_that_needs_it),
		test_of(test_tls_that_fails_is_found_out_once),
		test_of(test_where_tls_is_demanded_nothing_is_said_without_it),
		test_of(test_links_of_other_demands_are_not_shared),
		test_of(test_what_is_asked_of_a_hop),
		test_of(test_hosts_that_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
