/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "base/must.h"

/*
 * Many mails over several sessions. Mails wait in one line. A member (a session) has the mail that is under way and holds the next one
 * ready, which the core may let leave behind the dot of the first (core.c):
 *
 *   line ─► member.next ─► member.mail ─► done
 *             │                ▲
 *             └── ahead: ──────┘ already under way when the first is done
 *
 * A connection that is lost takes with it the mail under way alone: `next` has given no message away and is begun anew.
 */

enum { CONNECTIONS_MAX = 1000, EVENTS_MAX = 64 };

struct member {
	struct ph_session *session;
	struct ph_mail *mail, *next;
	int fd, want; /* as epoll has it; want 0: it has it not */
	unsigned connection;
};

struct ph_pool {
	struct memory memory;
	struct member *members;
	unsigned members_n;
	int epoll;
	struct ph_mail *first, *last; /* in line */
	size_t waiting;
	void (*done)(void *context, ph_mail *m, enum ph_status status);
	void *context;
	bool is_telling; /* `done` is being called */
};

ph_pool *
ph_pool_new(ph_session *model, unsigned connections)
{
	struct memory memory = model->memory;
	struct ph_pool *p = memory_take(&memory, sizeof *p);

	if (!p)
		return NULL;
	if (connections == 0 || connections > CONNECTIONS_MAX)
		connections = connections ? CONNECTIONS_MAX : 1;
	p->memory = memory;
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->members = memory_take(&p->memory, connections * sizeof *p->members);
	for (; p->members && p->epoll >= 0 && p->members_n < connections; p->members_n++) {
		struct member *m = &p->members[p->members_n];

		*m = (struct member){ .session = session_new_like(model), .fd = -1 };
		if (!m->session)
			break;
	}
	if (p->members_n == connections)
		return p;
	ph_pool_free(p);
	return NULL;
}

static void
let_go(struct ph_mail *m)
{
	if (m)
		m->pool = NULL;
}

void
ph_pool_free(ph_pool *p)
{
	struct memory memory;

	if (!p)
		return;
	memory = p->memory;
	must(p->members || p->members_n == 0);
	for (unsigned i = 0; i < p->members_n; i++) {
		let_go(p->members[i].mail);
		let_go(p->members[i].next);
		ph_session_free(p->members[i].session);
	}
	for (struct ph_mail *m = p->first; m; m = m->behind)
		let_go(m);
	if (p->epoll >= 0)
		close(p->epoll);
	memory_release(&memory, p->members);
	memory_release(&memory, p);
}

void
ph_pool_done(
	ph_pool *p, void (*done)(void *context, ph_mail *m, enum ph_status status), void *context)
{
	p->done = done;
	p->context = context;
}

/* ── the line ── */

static void
append(struct ph_pool *p, struct ph_mail *m)
{
	m->behind = NULL;
	m->pool = p;
	if (p->last)
		p->last->behind = m;
	else
		p->first = m;
	p->last = m;
	p->waiting++;
}

static struct ph_mail *
take(struct ph_pool *p)
{
	struct ph_mail *m = p->first;

	if (!m)
		return NULL;
	p->first = m->behind;
	if (!p->first)
		p->last = NULL;
	return m;
}

static void
take_out(struct ph_pool *p, const struct ph_mail *m)
{
	struct ph_mail *before = NULL;

	for (struct ph_mail *i = p->first; i && i != m; i = i->behind)
		before = i;
	if (p->last == m)
		p->last = before;
	if (before)
		before->behind = m->behind;
	else
		p->first = m->behind;
}

static void
tell(struct ph_pool *p, struct ph_mail *m, enum ph_status status)
{
	bool was_telling = p->is_telling;

	if (!p->done)
		return;
	p->is_telling = true;
	p->done(p->context, m, status);
	p->is_telling = was_telling;
}

static void
settle(struct ph_pool *p, struct ph_mail *m, enum ph_status status)
{
	let_go(m);
	p->waiting--;
	tell(p, m, status);
}

/* ── a member ── */

static void
watch(struct ph_pool *p, struct member *m)
{
	const struct ph_session *s = m->session;
	int want = m->mail ? ph_want(s) : 0;
	struct epoll_event event = { .events = (want & PH_READ ? EPOLLIN : 0U) |
					       (want & PH_WRITE ? EPOLLOUT : 0U),
		.data.ptr = m };
	bool is_known = m->want && m->fd == ph_fd(s) && m->connection == s->connection;

	if (is_known && want == m->want)
		return;
	if (is_known || want) /* a descriptor that was closed is forgotten by itself */
		epoll_ctl(p->epoll,
			!is_known ? EPOLL_CTL_ADD
			: want	  ? EPOLL_CTL_MOD
				  : EPOLL_CTL_DEL,
			ph_fd(s), &event);
	m->fd = ph_fd(s);
	m->want = want;
	m->connection = s->connection;
}

/* Holds a mail ready behind the one under way. One that is wrong is told at once. */
static void
hold_ready(struct ph_pool *p, struct member *m)
{
	while (m->mail && !m->next && (m->next = take(p))) {
		struct ph_mail *wrong = m->next;

		if (mail_prepare(m->next)) {
			result_begin(m->next);
			break;
		}
		m->next = NULL;
		settle(p, wrong, PH_INVALID);
	}
	session_offer(m->session, m->next);
}

/* The mail under way is done: the next. */
static enum ph_status
go_on(struct ph_pool *p, struct member *m)
{
	bool was_ready = m->next != NULL;

	m->mail = was_ready ? m->next : take(p);
	m->next = NULL;
	hold_ready(p, m);
	if (!m->mail)
		return PH_UNDERWAY;
	if (m->session->mail == m->mail) /* it was ahead */
		return ph_step(m->session);
	if (was_ready &&
		result_is_settled(
			m->mail)) /* it was ahead, and its answer got lost with the other's */
		return result_status(m->mail);
	return mail_prepare(m->mail) ? session_start(m->session, m->mail) : PH_INVALID;
}

/* As far as it goes with this member. status: of the mail under way. */
static void
run(struct ph_pool *p, struct member *m, enum ph_status status)
{
	while (status != PH_UNDERWAY) {
		struct ph_mail *done = m->mail;

		m->mail = NULL;
		settle(p, done, status);
		status = go_on(p, m);
	}
	watch(p, m);
}

/* Has it nothing under way, though there is something to begin? */
static bool
is_idle(const struct ph_pool *p, const struct member *m)
{
	return !m->mail && (m->next || p->first);
}

static void
begin(struct ph_pool *p, struct member *m)
{
	enum ph_status status = go_on(p, m);

	if (m->mail)
		run(p, m, status);
}

/* Nobody is told of it. What it leaves behind the next step takes up: `done` is not called from here. */
void
pool_forget(struct ph_pool *p, struct ph_mail *m)
{
	bool is_in_line = true;

	for (unsigned i = 0; i < p->members_n; i++) {
		struct member *member = &p->members[i];

		if (member->mail != m && member->next != m)
			continue;
		is_in_line = false;
		session_forget(member->session, m);
		if (member->next == m)
			member->next = NULL;
		else
			member->mail = NULL;
		watch(p, member);
	}
	if (is_in_line)
		take_out(p, m);
	let_go(m);
	p->waiting--;
}

/* ── as a program uses it ── */

void
ph_pool_add(ph_pool *p, ph_mail *m)
{
	if (!mail_is_free(m)) {
		tell(p, m, PH_INVALID);
		return;
	}
	append(p, m);
	for (unsigned i = 0; i < p->members_n && p->first && !p->is_telling; i++)
		if (!p->members[i].mail)
			begin(p, &p->members[i]);
	for (unsigned i = 0; i < p->members_n && p->first && !p->is_telling; i++)
		if (p->members[i].mail && !p->members[i].next)
			hold_ready(p, &p->members[i]);
}

size_t
ph_pool_waiting(const ph_pool *p)
{
	return p->waiting;
}

static void
step(struct ph_pool *p, int patience_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(p->epoll, events, EVENTS_MAX, patience_ms);
	int64_t now_ms = session_now_ms();

	for (int i = 0; i < n; i++) {
		struct member *m = events[i].data.ptr;

		if (m->mail)
			run(p, m, ph_step(m->session));
	}
	for (unsigned i = 0; i < p->members_n; i++) {
		struct member *m = &p->members[i];

		if (m->mail && ph_deadline(m->session) <= now_ms)
			run(p, m, ph_step(m->session));
		else if (is_idle(p, m))
			begin(p, m);
	}
}

enum ph_status
ph_pool_step(ph_pool *p)
{
	step(p, 0);
	return p->waiting ? PH_UNDERWAY : PH_SENT;
}

int64_t
ph_pool_deadline(const ph_pool *p)
{
	int64_t first_ms = INT64_MAX;

	for (unsigned i = 0; i < p->members_n; i++) {
		const struct member *m = &p->members[i];

		if (is_idle(p, m))
			return 0;
		if (m->mail && ph_deadline(m->session) < first_ms)
			first_ms = ph_deadline(m->session);
	}
	return first_ms;
}

void
ph_pool_run(ph_pool *p, size_t waiting)
{
	while (p->waiting > waiting) {
		int64_t left_ms = ph_pool_deadline(p) - session_now_ms();

		step(p, left_ms < 0 ? 0 : left_ms > INT32_MAX ? -1 : (int)left_ms);
	}
}

int
ph_pool_fd(const ph_pool *p)
{
	return p->epoll;
}
