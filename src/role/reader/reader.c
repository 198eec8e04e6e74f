/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "io/file.h"
#include "role/reader/jmap.h"

/*
 *             call                     jmap_begin, blob_…
 *   web ───────────────▶ reader_call ─────────────────────▶ reader_reply ──▶ web
 *
 *   the Maildir changes (inotify) ──▶ on_look: box_look, in slices ──▶ reader_news ──▶ web
 */

enum {
	LOOK_BUDGET_MS = 40,  /* so long a slice lets a request wait */
	LOOK_EVERY_MS = 1000, /* where the kernel tells nothing */
	LOOK_REST_MS = 5,     /* changes seldom come alone */
	IDLE_MS = 30 * 60 * 1000,
	NOBODY = 0, /* is no number of web's */
};

struct speaker {
	struct list link;
	uint64_t ask;
	void (*came)(void *owner, int fd);
	void *owner;
};

struct order {
	struct list link;
	uint8_t verb;
	struct buf what;
	void (*told)(void *owner, struct ipc_message *m); /* NULL: nobody waits any more */
	void *owner;
};

/* ── answering web ── */

void
reader_reply(struct reader *r, uint64_t ask, unsigned status, const char *type,
	struct str disposition, struct str body)
{
	struct ipc_reply m = { .fd = -1,
		.ask = ask,
		.status = (uint16_t)status,
		.size = body.n,
		.type = str_of(type),
		.disposition = disposition,
		.body = body };

	if (ask == NOBODY)
		return;
	if (body.n > ROLE_BODY_INLINE_MAX) {
		m.body = (struct str){ 0 };
		m.fd = file_sealed("reply", body);
		if (m.fd < 0) {
			m.status = 503;
			m.size = 0;
		}
	}
	ipc_send_reply(r->web, &m);
	if (m.fd >= 0)
		close(m.fd);
}

void
reader_problem(struct reader *r, uint64_t ask, unsigned status, const char *type, const char *limit,
	const char *detail)
{
	json_t *problem = json_pack("{s:s, s:i, s:s, s:s*}", "type", type, "status", (int)status,
		"detail", detail, "limit", limit);
	char *text;

	must(problem);
	text = json_dumps(problem, JSON_COMPACT);
	must(text);
	reader_reply(r, ask, status, "application/problem+json", S(""), str_of(text));
	free(text);
	json_decref(problem);
}

void
reader_news(struct reader *r)
{
	struct buf states = { .max = IPC_TEXT_MAX };

	jmap_states(r, &states);
	if (!str_eq(buf_str(&states), buf_str(&r->told))) {
		ipc_send_news(r->web, &(struct ipc_news){ .fd = -1, .states = buf_str(&states) });
		buf_reset(&r->told);
		buf_add(&r->told, buf_str(&states));
	}
	buf_free(&states);
}

/* ── what web wants ── */

static void
reader_call(struct reader *r, const struct ipc_call *m, struct str body)
{
	struct buf states = { .max = IPC_TEXT_MAX };
	json_t *session;
	char *text;

	switch (m->what) {
	case CALL_SESSION:
		session = jmap_session(r, m->base);
		text = json_dumps(session, JSON_COMPACT);
		must(text);
		reader_reply(r, m->ask, 200, "application/json", S(""), str_of(text));
		free(text);
		json_decref(session);
		break;
	case CALL_API:
		jmap_begin(r, m->ask, body);
		break;
	case CALL_UPLOAD:
		blob_upload(r, m, body);
		break;
	case CALL_DOWNLOAD:
		blob_download(r, m);
		break;
	case CALL_STATES:
		jmap_states(r, &states);
		reader_reply(r, m->ask, 200, "application/json", S(""), buf_str(&states));
		break;
	default:
		reader_problem(r, m->ask, 500, "about:blank", NULL,
			"web wants something that no reader does");
		break;
	}
	buf_free(&states);
}

/* With its body, which may lie in a descriptor. */
static void
on_call(struct reader *r, const struct ipc_call *m)
{
	struct str body = m->body;
	struct stat st;
	void *mapped = NULL;

	if (r->is_draining) {
		reader_problem(r, m->ask, 503, "about:blank", NULL,
			"your mailbox is just being closed; please try again");
		if (m->fd >= 0)
			close(m->fd);
		return;
	}
	loop_timer_set(r->idle, IDLE_MS);
	if (m->fd >= 0 && m->size > 0) {
		if ((fcntl(m->fd, F_GET_SEALS) & F_SEAL_SHRINK) && fstat(m->fd, &st) == 0 &&
			(uint64_t)st.st_size >= m->size)
			mapped = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, m->fd, 0);
		if (!mapped || mapped == MAP_FAILED) {
			reader_problem(
				r, m->ask, 500, "about:blank", NULL, "the body did not come");
			close(m->fd);
			return;
		}
		body = (struct str){ mapped, m->size };
	}
	reader_call(r, m, body);
	if (box_is_broken(r->box))
		loop_timer_set(r->look, 0);
	if (mapped)
		munmap(mapped, m->size);
	if (m->fd >= 0)
		close(m->fd);
}

/* Web is gone, and its numbers with it: what is under way goes on, for a mail that is half handed in shall be known of, but nobody is answered. */
static void
orphan_requests(struct reader *r)
{
	list_each (at, &r->requests)
		list_of(at, struct jmap_request, link)->ask = NOBODY;
}

static void
web_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct reader *r = owner;

	(void)from;
	if (m->kind == IPC_call) {
		on_call(r, &m->call);
		return;
	}
	if (m->broke_rules)
		role_lost(&r->role, ROLE_WEB, true);
	ipc_close(&r->web); /* master joins us to the next one */
	orphan_requests(r);
}

/* ── connections to receive ── */

void
reader_speak(struct reader *r, void (*came)(void *owner, int fd), void *owner)
{
	struct speaker *s = calloc(1, sizeof *s);

	must(s);
	*s = (struct speaker){ .ask = ++r->asks, .came = came, .owner = owner };
	list_append(&r->speakers, &s->link);
	ipc_send_speak(r->role.master, &(struct ipc_speak){ .fd = -1, .ask = s->ask });
}

static void
on_dialled(void *owner, uint64_t ask, uint32_t cause, int fd)
{
	struct reader *r = owner;

	(void)cause;
	list_each_safe (at, &r->speakers) {
		struct speaker *s = list_of(at, struct speaker, link);

		if (s->ask != ask)
			continue;
		list_remove(&s->link);
		s->came(s->owner, fd);
		free(s);
		return;
	}
	if (fd >= 0)
		close(fd);
}

/* ── orders to the queue ── */

static void
send_order(struct reader *r, const struct order *o)
{
	ipc_send_order(r->queue,
		&(struct ipc_order){ .fd = -1, .verb = o->verb, .what = buf_str(&o->what) });
}

/* The first is done with; the next goes out. */
static void
order_done(struct reader *r, struct ipc_message *m)
{
	struct order *o = list_of(r->orders.next, struct order, link);

	list_remove(&o->link);
	if (r->queue && !list_is_empty(&r->orders))
		send_order(r, list_of(r->orders.next, struct order, link));
	if (o->told)
		o->told(o->owner, m);
	buf_free(&o->what);
	free(o);
}

void
reader_order(struct reader *r, const struct ipc_order *order,
	void (*told)(void *owner, struct ipc_message *m), void *owner)
{
	struct ipc_message nobody = { .kind = IPC_CLOSED };
	struct order *o;

	if (!r->queue) {
		told(owner, &nobody);
		return;
	}
	o = calloc(1, sizeof *o);
	must(o);
	*o = (struct order){
		.verb = order->verb, .what.max = IPC_TEXT_MAX, .told = told, .owner = owner
	};
	buf_add(&o->what, order->what);
	list_append(&r->orders, &o->link);
	if (r->orders.next == &o->link)
		send_order(r, o);
}

static void
queue_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct reader *r = owner;
	struct order *o;

	(void)from;
	if (m->kind == IPC_CLOSED) {
		if (m->broke_rules)
			role_lost(&r->role, ROLE_QUEUE, true);
		ipc_close(&r->queue);
		while (!list_is_empty(&r->orders))
			order_done(r, m);
		return;
	}
	if (list_is_empty(&r->orders))
		return;
	o = list_of(r->orders.next, struct order, link);
	if (m->kind == IPC_end && m->end.is_last)
		order_done(r, m);
	else if (o->told)
		o->told(o->owner, m);
}

void
reader_forget(struct reader *r, void *owner)
{
	list_each_safe (at, &r->speakers) {
		struct speaker *s = list_of(at, struct speaker, link);

		if (s->owner == owner) {
			list_remove(&s->link);
			free(s);
		}
	}
	list_each (at, &r->orders)
		if (list_of(at, struct order, link)->owner == owner)
			list_of(at, struct order, link)->told = NULL;
}

/* ── the mailbox ── */

static void
on_look(void *owner)
{
	struct reader *r = owner;
	struct err e = { 0 };
	bool is_done = box_look(r->box, LOOK_BUDGET_MS, &e);

	if (err_is(&e))
		log_event("mailbox-unreadable", "login=%s why=%s", log_quote(buf_str(&r->login)),
			log_quote(str_of(e.text)));
	reader_news(r);
	if (!is_done && !err_is(&e))
		loop_timer_set(r->look, LOOK_REST_MS);
	else
		loop_timer_set(r->look, err_is(&e) || box_is_blind(r->box) ? LOOK_EVERY_MS : -1);
}

static void
on_change(void *owner, int events)
{
	struct reader *r = owner;

	(void)events;
	on_look(r);
}

static void
open_mailbox(struct reader *r)
{
	struct err e = { 0 };

	if (!box_open(&r->box, buf_str(&r->directory), &e) ||
		!kept_open(&r->kept, buf_str(&r->directory), &e)) {
		log_event("mailbox-unreadable", "login=%s why=%s", log_quote(buf_str(&r->login)),
			log_quote(str_of(e.text)));
		log_flush();
		exit(EX_CANTCREAT);
	}
	box_look(r->box, 0,
		&e); /* the folders get their watches, which nobody in a sandbox may make */
	if (box_watched(r->box) >= 0) {
		r->watch = loop_watch_open(r->role.loop, box_watched(r->box), on_change, r);
		loop_watch_set(r->watch, LOOP_READ);
	}
}

/* ── the role's life ── */

static void
leave(struct reader *r)
{
	r->is_draining = true;
	loop_watch_close(
		&r->watch); /* the loop goes round once more, and its descriptor is the box's */
	loop_timer_close(&r->look);
	box_close(&r->box);
	kept_close(&r->kept);
	role_exit(&r->role, EX_OK);
}

static void
on_idle(void *owner)
{
	struct reader *r = owner;

	if (list_is_empty(&r->requests))
		leave(r);
	else if (!r->is_draining)
		loop_timer_set(r->idle, IDLE_MS);
}

static void
make_mailbox(struct str directory)
{
	char path[1024];

	snprintf(path, sizeof path, "%.*s", STR_ARG(directory));
	if (!file_make_directories(path))
		log_event("mailbox-unreadable", "path=%s errno=%d", log_quote(directory), errno);
}

static void
on_mailbox(void *owner, const struct ipc_mailbox *m)
{
	struct reader *r = owner;

	buf_set(&r->login, m->login);
	buf_set(&r->directory, m->directory);
	buf_set(&r->token, m->token);
	buf_set(&r->addresses, m->addresses);
	if (!r->role.is_locked) /* what is not there cannot be opened to us */
		make_mailbox(m->directory);
}

/* Between the two locks: files are closed already, calls are not. */
static void
on_configured(void *owner)
{
	struct reader *r = owner;

	if (!r->box)
		open_mailbox(r);
}

static void
on_peer(void *owner, enum ipc_role peer, unsigned index, int fd)
{
	struct reader *r = owner;
	struct ipc_message nobody = { .kind = IPC_CLOSED };

	(void)index;
	if (peer == ROLE_WEB) {
		ipc_close(&r->web);
		orphan_requests(r);
		buf_reset(&r->told);
		r->web = ipc_open(r->role.loop, fd, ROLE_READER, ROLE_WEB, web_came, r);
		return;
	}
	must(peer == ROLE_QUEUE);
	ipc_close(&r->queue);
	while (!list_is_empty(&r->orders))
		order_done(r, &nobody);
	r->queue = ipc_open(r->role.loop, fd, ROLE_READER, ROLE_QUEUE, queue_came, r);
}

static void
on_begin(void *owner)
{
	struct reader *r = owner;

	r->look = loop_timer_open(r->role.loop, on_look, r);
	r->idle = loop_timer_open(r->role.loop, on_idle, r);
	loop_timer_set(r->look, 0);
	loop_timer_set(r->idle, IDLE_MS);
}

/* What is under way ends first: a mail that receive has taken and we have not noted would be sent and stand nowhere. It has its own ends (submit.c), and master
 * its own patience. */
static void
on_drain(void *owner)
{
	struct reader *r = owner;

	r->is_draining = true;
	if (r->idle)
		loop_timer_set(r->idle, 0);
	else
		leave(r);
}

void
reader_settle(struct reader *r)
{
	if (r->is_draining)
		loop_timer_set(r->idle, 0);
}

int
reader_role(void)
{
	static const struct role_hooks hooks = { .configured = on_configured,
		.mailbox = on_mailbox,
		.peer = on_peer,
		.dialled = on_dialled,
		.begin = on_begin,
		.drain = on_drain };
	static struct reader r = { .login.max = 512,
		.directory.max = 1024,
		.token.max = 4096,
		.addresses.max = IPC_TEXT_MAX,
		.told.max = IPC_TEXT_MAX };

	list_init(&r.requests);
	list_init(&r.speakers);
	list_init(&r.orders);
	return role_run(&r.role, ROLE_READER, &hooks, &r);
}
