/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/config.h"
#include "io/ipc.h"
#include "route/hop.h"
#include "smtp/reply.h"

/*
 * The role `resolve` alone, as master starts it and as the queue asks it, driven by lines:
 *
 *   resolve-one EXECUTABLE CONFIG
 *   road DOMAIN        how does mail for it travel (port 25)
 *   host NAME          the addresses of this one name
 *   configure CONFIG   another file
 *   queue              a new queue in the old one's place
 *   drain              to its end
 *
 * Each answer is a line of JSON; questions are numbered from 1 in the order in which they are asked.
 */

struct play {
	struct loop *loop;
	struct ipc *master, *queue;
	struct buf lines;
	uint64_t asked;
	pid_t pid;
};

static void
print(struct buf *line)
{
	buf_add_char(line, '\n');
	if (write(STDOUT_FILENO, line->p, line->n) != (ssize_t)line->n)
		_exit(1);
	buf_free(line);
}

static void
add_hops(struct buf *to, struct str hops)
{
	struct buf text = { .max = 4096 };
	struct hop h;

	while (hop_scan(&hops, &h)) {
		buf_reset(&text);
		buf_addf(&text, "%.*s ", STR_ARG(h.host));
		hop_add_text(&text, &h);
		if (to->p[to->n - 1] != '[')
			buf_add_char(to, ',');
		codec_add_json(to, buf_str(&text));
	}
	buf_free(&text);
}

static void
print_hops(const struct ipc_hops *m)
{
	struct buf line = { .max = 1024 * 1024 };
	struct str packed = m->why;
	struct err why = { 0 };
	struct reply reply = { 0 };
	struct str at = m->hops;
	struct hop h;
	bool is_secure = m->hops.n > 0;

	if (!codec_scan_err(&packed, &why))
		_exit(1);
	if (err_is(&why))
		reply = reply_from_err(&why);
	while (hop_scan(&at, &h))
		is_secure = is_secure && h.is_secure;
	buf_addf(&line, "{\"ask\":%u,\"ttl\":%u,\"secure\":%s,\"code\":\"%d %u.%u.%u\",\"why\":",
		(unsigned)m->ask, m->ttl_s, is_secure ? "true" : "false", reply.code,
		reply.enhanced.class, reply.enhanced.subject, reply.enhanced.detail);
	codec_add_json(&line, str_of(why.text));
	buf_add(&line, S(",\"trace\":"));
	codec_add_json(&line, m->trace);
	buf_add(&line, S(",\"hops\":["));
	add_hops(&line, m->hops);
	buf_add(&line, S("]}"));
	print(&line);
}

static void
print_event(const char *event, int value)
{
	struct buf line = { .max = 256 };

	buf_addf(&line, "{\"event\":\"%s\",\"value\":%d}", event, value);
	print(&line);
}

static void
queue_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct play *p = owner;

	(void)from;
	if (m->kind == IPC_hops)
		print_hops(&m->hops);
	else
		ipc_close(&p->queue);
}

static void
master_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct play *p = owner;
	int status = 0;

	(void)from;
	if (m->kind == IPC_ready)
		print_event("ready", 0);
	if (m->kind != IPC_CLOSED)
		return;
	waitpid(p->pid, &status, 0);
	print_event("ended", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	_exit(0);
}

static void
configure(struct play *p, struct str path)
{
	struct buf text = { .max = 1024 * 1024 };
	struct err e = { 0 };
	int fd = memfd_create("config", MFD_CLOEXEC);
	char name[4096];
	const char *taken;

	snprintf(name, sizeof name, "%.*s", STR_ARG(path));
	if (!config_read_file(name, &taken, &text, &e) || fd < 0 ||
		write(fd, text.p, text.n) != (ssize_t)text.n)
		_exit(1);
	ipc_send_configure(p->master, &(struct ipc_configure){ .fd = fd, .name = path });
	close(fd);
	buf_free(&text);
}

static void
join(struct play *p)
{
	int pair[2];

	ipc_close(&p->queue);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		_exit(1);
	ipc_send_peer(p->master, &(struct ipc_peer){ .fd = pair[1], .role = ROLE_QUEUE });
	close(pair[1]);
	p->queue = ipc_open(p->loop, pair[0], ROLE_QUEUE, ROLE_RESOLVE, queue_came, p);
}

static void
start(struct play *p, char *executable)
{
	char *argv[] = { executable, (char[]){ "role" }, (char[]){ "resolve" }, NULL };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		_exit(1);
	p->pid = fork();
	if (p->pid == 0) {
		if (pair[1] == 3)
			fcntl(3, F_SETFD, 0);
		else
			dup2(pair[1], 3);
		execv(executable, argv);
		_exit(127);
	}
	close(pair[1]);
	p->master = ipc_open(p->loop, pair[0], ROLE_MASTER, ROLE_RESOLVE, master_came, p);
}

static void
obey(struct play *p, struct str line)
{
	struct str verb, rest;

	str_cut(line, ' ', &verb, &rest);
	if (str_eq(verb, S("road")) || str_eq(verb, S("host")))
		ipc_send_road(p->queue, &(struct ipc_road){ .fd = -1,
						.ask = ++p->asked,
						.host = str_eq(verb, S("host")),
						.protocol = HOP_SMTP,
						.port = 25,
						.domain = rest });
	else if (str_eq(verb, S("configure")))
		configure(p, rest);
	else if (str_eq(verb, S("queue")))
		join(p);
	else if (str_eq(verb, S("drain")))
		ipc_send_drain(p->master, &(struct ipc_drain){ .fd = -1 });
}

static void
read_lines(void *owner, int events)
{
	struct play *p = owner;
	char *room = buf_room(&p->lines, 65536);
	ssize_t n = room ? read(STDIN_FILENO, room, 65536) : 0;
	size_t end;

	(void)events;
	if (n <= 0)
		_exit(0); /* the role ends with us */
	buf_grew(&p->lines, (size_t)n);
	while ((end = str_find(buf_str(&p->lines), '\n')) < p->lines.n) {
		obey(p, str_part(buf_str(&p->lines), 0, end));
		buf_drop(&p->lines, end + 1);
	}
}

int
main(int argc, char **argv)
{
	static struct play p = { .lines = { .max = 1024 * 1024 } };
	struct loop_watch *in;

	if (argc != 3)
		return 64;
	signal(SIGPIPE, SIG_IGN);
	p.loop = loop_open();
	start(&p, argv[1]);
	configure(&p, str_of(argv[2]));
	join(&p);
	ipc_send_begin(p.master, &(struct ipc_begin){ .fd = -1 });
	in = loop_watch_open(p.loop, STDIN_FILENO, read_lines, &p);
	loop_watch_set(in, LOOP_READ);
	loop_run(p.loop);
	return 0;
}
