/* SPDX-License-Identifier: Apache-2.0 */
#include "io/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/must.h"

/*
 * A packet is the message's number (u16) and its fields in the order of the table, packed as
 * base/codec does it. Encoder, decoder and permission table are the table messages.def seen through
 * different macros.
 */

enum { PACKETS_A_TURN = 64 };

struct packet {
	struct list link;
	int fd;
	size_t n;
	char octets[];
};

struct ipc {
	struct loop_watch *watch;
	int fd;
	enum ipc_role self, peer;
	void (*came)(void *owner, struct ipc *from, struct ipc_message *m);
	void *owner;
	struct list waiting;
	size_t waiting_n;
	bool is_paused, is_dispatching, is_gone, is_stuck;
};

static const struct {
	const char *name;
	unsigned from, to, descriptors;
} rules[IPC_KINDS] = {
#define MESSAGE(name, from, to, descriptors) [IPC_##name] = { #name, from, to, descriptors },
#include "io/messages.def"
};

/* decode_NAME: the fields of one message; false when the packet is too short. */
#define U8(f)	&&codec_scan_u8(in, &m->f)
#define U16(f)	&&codec_scan_u16(in, &m->f)
#define U32(f)	&&codec_scan_u32(in, &m->f)
#define U64(f)	&&codec_scan_u64(in, &m->f)
#define ID(f)	&&codec_scan_bytes(in, &m->f, sizeof m->f)
#define TEXT(f) &&codec_scan_str(in, &m->f)
#define MESSAGE(name, from, to, descriptors)                            \
	static bool decode_##name(struct str *in, struct ipc_##name *m) \
	{                                                               \
		(void)m;                                                \
		return in != NULL
#define END(name) \
	;         \
	}
#include "io/messages.def"

bool
ipc_decode(struct str packet, int fd, enum ipc_role from, enum ipc_role to, struct ipc_message *m)
{
	uint16_t kind;
	bool whole = false;

	*m = (struct ipc_message){ 0 };
	if (!codec_scan_u16(&packet, &kind) || kind == IPC_CLOSED || kind >= IPC_KINDS)
		return false;
	if (!(rules[kind].from & from) || !(rules[kind].to & to) ||
		(fd >= 0 && !rules[kind].descriptors))
		return false;
	m->kind = kind;
	switch (m->kind) {
	case IPC_CLOSED:
	case IPC_KINDS:
		return false;
#define MESSAGE(name, from, to, descriptors)              \
	case IPC_##name:                                  \
		whole = decode_##name(&packet, &m->name); \
		m->name.fd = fd;                          \
		break;
#include "io/messages.def"
	}
	return whole && packet.n == 0;
}

const char *
ipc_role_name(unsigned role)
{
	switch (role) {
	case ROLE_MASTER:
		return "master";
	case ROLE_RECEIVE:
		return "receive";
	case ROLE_QUEUE:
		return "queue";
	case ROLE_SEND:
		return "send";
	case ROLE_STORE:
		return "store";
	case ROLE_VAULT:
		return "vault";
	case ROLE_RESOLVE:
		return "resolve";
	case ROLE_READER:
		return "reader";
	case ROLE_WEB:
		return "web";
	case ROLE_COMMAND:
		return "command";
	default:
		return "nobody";
	}
}

static void
ipc_free(struct ipc *c)
{
	list_each_safe (at, &c->waiting) {
		struct packet *p = list_of(at, struct packet, link);

		if (p->fd >= 0)
			close(p->fd);
		free(p);
	}
	loop_watch_close(&c->watch);
	close(c->fd);
	free(c);
}

void
ipc_close(struct ipc **c)
{
	struct ipc *old = *c;

	*c = NULL;
	if (!old)
		return;
	old->is_gone = true;
	if (!old->is_dispatching)
		ipc_free(old);
}

static void
ipc_watch(struct ipc *c)
{
	loop_watch_set(c->watch, (c->is_paused ? 0 : LOOP_READ) | (c->waiting_n ? LOOP_WRITE : 0));
}

/* ── sending ── */

/* The kernel's answer: 1 taken, 0 later, -1 the peer is gone. */
static int
packet_send(int to, struct str octets, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec part = { .iov_base = (void *)(uintptr_t)octets.p, .iov_len = octets.n };
	struct msghdr h = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		h.msg_control = control.space;
		h.msg_controllen = sizeof control.space;
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	if (sendmsg(to, &h, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 1;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ETOOMANYREFS ? 0
											      : -1;
}

static void
ipc_send(struct ipc *c, struct buf *b, int fd)
{
	struct packet *p;
	int sent, own = -1;

	must(!b->overflow); /* askers keep texts below IPC_TEXT_MAX */
	if (!c || c->is_gone || c->is_stuck)
		return;
	sent = c->waiting_n ? 0 : packet_send(c->fd, buf_str(b), fd);
	if (sent != 0)
		return; /* taken; or the peer is gone, which reading will tell */
	if (c->waiting_n < IPC_WAITING_MAX && fd >= 0)
		own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (c->waiting_n >= IPC_WAITING_MAX || (fd >= 0 && own < 0)) {
		if (!c->is_stuck)
			log_event("peer-stuck", "role=%s", ipc_role_name(c->peer));
		c->is_stuck = true;
		shutdown(c->fd, SHUT_RDWR);
		return;
	}
	p = malloc(sizeof *p + b->n);
	must(p);
	*p = (struct packet){ .fd = own, .n = b->n };
	memcpy(p->octets, b->p, b->n);
	list_append(&c->waiting, &p->link);
	c->waiting_n++;
	ipc_watch(c);
}

static void
ipc_flush(struct ipc *c)
{
	while (!list_is_empty(&c->waiting)) {
		struct packet *p = list_of(c->waiting.next, struct packet, link);

		if (packet_send(c->fd, (struct str){ p->octets, p->n }, p->fd) == 0)
			break;
		list_remove(&p->link);
		c->waiting_n--;
		if (p->fd >= 0)
			close(p->fd);
		free(p);
	}
	ipc_watch(c);
}

/* The packet under construction; one loop, one thread a process that sends. */
static struct buf *
outgoing(enum ipc_kind kind)
{
	static _Thread_local struct buf b = { .max = IPC_PACKET_MAX };

	buf_reset(&b);
	codec_add_u16(&b, (uint16_t)kind);
	return &b;
}

#define U8(f)	codec_add_u8(b, m->f);
#define U16(f)	codec_add_u16(b, m->f);
#define U32(f)	codec_add_u32(b, m->f);
#define U64(f)	codec_add_u64(b, m->f);
#define ID(f)	buf_add(b, (struct str){ (const char *)&m->f, sizeof m->f });
#define TEXT(f) codec_add_str(b, m->f);
#define MESSAGE(name, from, to, descriptors)                            \
	void ipc_send_##name(struct ipc *c, const struct ipc_##name *m) \
	{                                                               \
		struct buf *b = outgoing(IPC_##name);                   \
		int fd = descriptors ? m->fd : -1;
#define END(name)           \
	ipc_send(c, b, fd); \
	}
#include "io/messages.def"

/* ── receiving ── */

/* One packet into octets; its length, 0 when the peer is gone, -1 when there is none now. */
static ssize_t
packet_receive(int from, char *octets, size_t n, int *fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control;
	struct iovec part = { .iov_base = octets, .iov_len = n };
	struct msghdr h = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof control.space };
	ssize_t got = recvmsg(from, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	*fd = -1;
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? -1 : 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			if (*fd >= 0)
				close(*fd); /* one a packet; more are not wanted */
			memcpy(fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		}
	}
	return (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ? 0 : got;
}

static void
ipc_dispatch(struct ipc *c, struct ipc_message *m)
{
	if (m->kind == IPC_CLOSED)
		loop_watch_set(c->watch, 0);
	c->came(c->owner, c, m);
}

static void
ipc_receive(struct ipc *c)
{
	static _Thread_local char octets[IPC_PACKET_MAX];

	for (int i = 0; i < PACKETS_A_TURN && !c->is_gone && !c->is_paused; i++) {
		struct ipc_message m = { 0 };
		int fd;
		ssize_t n = packet_receive(c->fd, octets, sizeof octets, &fd);

		if (n < 0)
			return;
		if (n > 0 &&
			!ipc_decode((struct str){ octets, (size_t)n }, fd, c->peer, c->self, &m)) {
			log_event("bad-message", "role=%s octets=%zd", ipc_role_name(c->peer), n);
			m = (struct ipc_message){ .kind = IPC_CLOSED, .broke_rules = true };
		}
		if (m.kind == IPC_CLOSED && fd >= 0)
			close(fd);
		ipc_dispatch(c, &m);
		if (m.kind == IPC_CLOSED)
			return;
	}
}

static void
ipc_ready(void *owner, int events)
{
	struct ipc *c = owner;

	c->is_dispatching = true;
	if (events & LOOP_WRITE)
		ipc_flush(c);
	if (events & LOOP_READ)
		ipc_receive(c);
	c->is_dispatching = false;
	if (c->is_gone)
		ipc_free(c);
}

struct ipc *
ipc_open(struct loop *l, int fd, enum ipc_role self, enum ipc_role peer,
	void (*came)(void *owner, struct ipc *from, struct ipc_message *m), void *owner)
{
	struct ipc *c = calloc(1, sizeof *c);

	must(c);
	*c = (struct ipc){ .fd = fd, .self = self, .peer = peer, .came = came, .owner = owner };
	list_init(&c->waiting);
	c->watch = loop_watch_open(l, fd, ipc_ready, c);
	ipc_watch(c);
	return c;
}

void
ipc_pause(struct ipc *c, bool paused)
{
	c->is_paused = paused;
	ipc_watch(c);
}

size_t
ipc_waiting(const struct ipc *c)
{
	return c ? c->waiting_n : 0;
}
