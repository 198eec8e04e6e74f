/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One mail to each of several servers at the same time, in one libuv loop.
 *
 *   uv FROM TO URL…
 *
 * A sending is a session with its mail, a watcher of the session's descriptor and a timer for its
 * deadline. The descriptor may change with each step (another address of the host, a connection
 * made anew), and libuv wants nobody to close what it watches: so the watcher is stopped before
 * each step, and made anew when the descriptor is another one behind it.
 */
#include <posthouse.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct sending {
	uv_loop_t *loop;
	const char *url;
	ph_session *session;
	ph_mail *mail;
	enum ph_status status;
	uv_poll_t *watcher; /* of `fd`; NULL: none yet */
	int fd;
	uv_timer_t deadline;
};

static void step(struct sending *s);

static void
on_ready(uv_poll_t *watcher, int status, int events)
{
	(void)status; /* an error of the descriptor: the step meets it and says so */
	(void)events;
	step(watcher->data);
}

static void
on_deadline(uv_timer_t *timer)
{
	step(timer->data);
}

static void
on_closed(uv_handle_t *watcher)
{
	free(watcher);
}

static void
watch(struct sending *s)
{
	int want = ph_want(s->session), fd = ph_fd(s->session);
	int64_t left = ph_deadline(s->session) - (int64_t)(uv_hrtime() / 1000000);

	uv_timer_start(&s->deadline, on_deadline, left > 0 ? (uint64_t)left : 0, 0);
	if (s->watcher && fd != s->fd) {
		uv_close((uv_handle_t *)s->watcher, on_closed);
		s->watcher = NULL;
	}
	if (fd < 0)
		return;
	if (!s->watcher) {
		s->watcher = calloc(1, sizeof(*s->watcher));
		if (!s->watcher)
			abort();
		uv_poll_init(s->loop, s->watcher, fd);
		s->watcher->data = s;
		s->fd = fd;
	}
	uv_poll_start(s->watcher,
		(want & PH_READ ? UV_READABLE : 0) | (want & PH_WRITE ? UV_WRITABLE : 0), on_ready);
}

static void
end(struct sending *s)
{
	const struct ph_result *result = ph_result(s->mail, 0);

	printf("%s: %s: %s\n", s->url, ph_status_name(s->status),
		s->status != PH_INVALID	 ? result->text
		: ph_mail_error(s->mail) ? ph_mail_error(s->mail)
					 : ph_session_error(s->session));
	if (s->watcher)
		uv_close((uv_handle_t *)s->watcher, on_closed);
	uv_close((uv_handle_t *)&s->deadline, NULL);
	ph_mail_free(s->mail);
	ph_session_free(s->session);
}

static void
go_on(struct sending *s, enum ph_status status)
{
	s->status = status;
	if (status == PH_UNDERWAY)
		watch(s);
	else
		end(s);
}

static void
step(struct sending *s)
{
	if (s->watcher)
		uv_poll_stop(s->watcher);
	go_on(s, ph_step(s->session));
}

static void
begin(struct sending *s, uv_loop_t *loop, const char *from, const char *to, const char *url)
{
	s->loop = loop;
	s->url = url;
	s->session = ph_session_new(url);
	s->mail = ph_mail_new();
	uv_timer_init(loop, &s->deadline);
	s->deadline.data = s;
	ph_from(s->mail, from);
	ph_to(s->mail, to);
	ph_subject(s->mail, "To all of you at once");
	ph_text(s->mail, "Whoever reads this first may keep it.\n");
	go_on(s, ph_start(s->session, s->mail));
}

int
main(int argc, char **argv)
{
	struct sending *sendings;
	uv_loop_t loop;
	int n = argc - 3, failed = 0;

	if (n < 1) {
		fprintf(stderr, "usage: uv FROM TO URL…\n");
		return 64;
	}
	sendings = calloc((size_t)n, sizeof(*sendings));
	if (!sendings || uv_loop_init(&loop) != 0)
		return 1;
	for (int i = 0; i < n; i++)
		begin(&sendings[i], &loop, argv[1], argv[2], argv[3 + i]);
	uv_run(&loop, UV_RUN_DEFAULT);
	for (int i = 0; i < n; i++)
		failed += sendings[i].status != PH_SENT;
	uv_loop_close(&loop);
	free(sendings);
	return failed > 0;
}
