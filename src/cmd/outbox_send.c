/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/outbox_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/profile.h"
#include "config/config.h"

/*
 * Sending what waits in an outbox.
 *
 * Two locks keep it to once each: "sending" is held while somebody goes through the mails; "tending" as long as the process lives that
 * was left behind. Who puts a mail there and finds "tending" taken may leave: the tender looks again after it has let go of the lock.
 *
 * What became of a mail is written before its file goes, so that a crash in between sends to somebody twice rather than to nobody:
 *
 *   taken     the file goes
 *   refused   into "refused" with the reason; a report to the sender would go the same way and be refused too
 *   later     the file stays, with those recipients alone
 */

enum {
	PAUSE_FIRST_S = 1,
	PAUSE_MOST_S = 30,
	GIVE_UP_S = 5 * 24 * 3600, /* RFC 5321 §4.5.4.1: at least four to five days */
};

/* The place that the last mail went to: one connection serves all mails for it. */
struct way_out {
	struct config config;
	struct arena arena;
	struct profile profile;
	ph_session *session;
	char config_file[OUTBOX_PATH], profile_name[256];
	bool is_known, is_dead;
};

static void
leave(struct way_out *w)
{
	ph_session_free(w->session);
	config_free(&w->config);
	arena_free(&w->arena);
	*w = (struct way_out){ 0 };
}

static bool
is_same(const struct way_out *w, const struct outbox_mail *mail)
{
	return w->is_known && str_eq(str_of(w->config_file), str_of(mail->config_file)) &&
	       str_eq(str_of(w->profile_name), str_of(mail->profile));
}

static bool
find_way(struct way_out *w, const struct outbox_mail *mail)
{
	struct err e;

	if (is_same(w, mail))
		return !w->is_dead;
	leave(w);
	w->arena.max = 1 << 20;
	w->is_known = true;
	snprintf(w->config_file, sizeof w->config_file, "%s",
		mail->config_file ? mail->config_file : "");
	snprintf(w->profile_name, sizeof w->profile_name, "%s", mail->profile ? mail->profile : "");
	/* a profile may need no station */
	config_load(&w->config, mail->config_file, &e);
	w->is_dead = !profile_find(mail->profile, &w->config, &w->arena, &w->profile, &e) ||
		     !(w->session = profile_open(&w->profile, &e));
	return !w->is_dead;
}

static const char *
c_text(struct arena *arena, struct str s)
{
	char *copy = arena_take(arena, s.n + 1);

	if (copy && s.n)
		memcpy(copy, s.p, s.n);
	return copy ? copy : "";
}

static ph_mail *
write_mail(struct outbox_file *f)
{
	const struct outbox_mail *mail = &f->mail;
	ph_mail *m = ph_mail_new();

	ph_return_path(m, c_text(&f->arena, mail->reverse_path));
	for (size_t i = 0; i < mail->recipients_n; i++)
		ph_recipient(m, c_text(&f->arena, mail->recipients[i]));
	ph_message_data(m, mail->message.p, mail->message.n);
	if (mail->notify)
		ph_notify(m, mail->notify);
	if (mail->ret)
		ph_return_full(m, mail->ret == 'F');
	if (mail->envid.n)
		ph_envelope_id(m, c_text(&f->arena, mail->envid));
	return m;
}

/* Those recipients who are still to be served, or who never will be; they lie in `recipients`, their texts in m. */
static struct outbox_mail
part_of(const struct outbox_file *f, const ph_mail *m, bool wants_refused, struct str *recipients,
	struct buf *words)
{
	struct outbox_mail part = f->mail;

	part.recipients = recipients;
	part.recipients_n = 0;
	for (size_t i = 0; i < ph_results(m); i++) {
		const struct ph_result *r = ph_result(m, i);

		if (r->status == PH_SENT || (r->status == PH_REFUSED) != wants_refused)
			continue;
		recipients[part.recipients_n++] = str_of(r->address);
		if (words->n == 0)
			buf_addf(words, "%s: %s", r->address, r->text);
	}
	return part;
}

/* True: nothing of it waits any more. */
static bool
settle(const char *outbox, const char *name, struct outbox_file *f, const ph_mail *m)
{
	struct buf refused_words = { .max = 1024 }, later_words = { .max = 1024 };
	struct str *lists = memory_take(NULL, 2 * (ph_results(m) + 1) * sizeof *lists);
	struct outbox_mail refused = part_of(f, m, true, lists, &refused_words),
			   later = part_of(f, m, false, lists + ph_results(m), &later_words);
	bool gives_up = time(NULL) - f->since_s > GIVE_UP_S, ok = true;
	struct err e;

	buf_add_char(&refused_words, '\0');
	buf_add(&later_words, S("; given up after five days"));
	buf_add_char(&later_words, '\0');
	if (refused.recipients_n)
		ok = outbox_put_aside(outbox, name, &refused, f->since_s, refused_words.p, &e);
	if (ok && later.recipients_n && gives_up)
		ok = outbox_put_aside(outbox, name, &later, f->since_s, later_words.p, &e);
	if (ok && later.recipients_n && !gives_up && later.recipients_n < ph_results(m))
		outbox_write(outbox, name, &later, f->since_s, &e);
	buf_free(&refused_words);
	buf_free(&later_words);
	memory_release(NULL, lists);
	return ok && (!later.recipients_n || gives_up) && outbox_remove(outbox, name);
}

/* What no server would ever be told. */
static bool
settle_invalid(const char *outbox, const char *name, const ph_mail *m)
{
	struct err e;

	return ph_mail_error(m) && outbox_put_aside(outbox, name, NULL, 0, ph_mail_error(m), &e);
}

static bool
send_one(struct way_out *w, const char *outbox, const char *name)
{
	struct outbox_file f = { 0 };
	bool is_gone = false;
	ph_mail *m;
	struct err e;

	switch (outbox_read(outbox, name, &f, &e)) {
	case OUTBOX_DAMAGED:
		fprintf(stderr, "posthouse: a mail in %s: %s; it is in refused\n", outbox, e.text);
		is_gone = outbox_put_aside(outbox, name, NULL, 0, e.text, &e);
		break;
	case OUTBOX_UNREADABLE:
		break;
	case OUTBOX_READ:
		if (!find_way(w, &f.mail))
			break;
		m = write_mail(&f);
		if (profile_send(&w->profile, w->session, m) == PH_INVALID)
			is_gone = settle_invalid(outbox, name, m);
		else
			is_gone = settle(outbox, name, &f, m);
		w->is_dead = ph_results(m) && strcmp(ph_result(m, 0)->stage, "connect") == 0;
		ph_mail_free(m);
		break;
	}
	outbox_file_free(&f);
	return is_gone;
}

static int
lock(const char *outbox, const char *name, bool waits)
{
	char path[OUTBOX_PATH];
	int fd;

	snprintf(path, sizeof path, "%.*s/%s", OUTBOX_PATH - 100, outbox, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && flock(fd, waits ? LOCK_EX : LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* All of it, once. True: nothing waits any more. */
static bool
send_all(const char *outbox)
{
	struct way_out w = { 0 };
	struct outbox_name *names;
	size_t n, gone = 0;
	int sending = lock(outbox, "sending", true);

	if (sending < 0)
		return false;
	names = outbox_names(outbox, &n);
	for (size_t i = 0; i < n; i++)
		gone += send_one(&w, outbox, names[i].text);
	if (w.session)
		ph_quit(w.session);
	leave(&w);
	memory_release(NULL, names);
	close(sending);
	return gone == n;
}

bool
outbox_flush(struct err *e)
{
	char outbox[OUTBOX_PATH];
	bool ok = true;

	for (unsigned i = 0; i < OUTBOX_PLACES; i++)
		if (outbox_place(i, false, outbox, e))
			ok &= send_all(outbox);
	return ok || err_set(e, ERR_TEMPORARY, ERR_LOCAL, "some mail waits still; mailq shows it");
}

/* ── the process that is left behind ── */

static bool
has_mail(const char *outbox)
{
	size_t n;

	memory_release(NULL, outbox_names(outbox, &n));
	return n > 0;
}

static void
tend(const char *outbox)
{
	unsigned pause_s = PAUSE_FIRST_S;
	int tending;

	/* whoever came while the lock was held has left its mail to us */
	while (has_mail(outbox) && (tending = lock(outbox, "tending", false)) >= 0) {
		do {
			sleep(pause_s);
			pause_s = 2 * pause_s < PAUSE_MOST_S ? 2 * pause_s : PAUSE_MOST_S;
		} while (!send_all(outbox));
		close(tending);
	}
}

/* Nothing of the caller's is kept open: who waits for the end of our output must not wait for this. */
static void
detach(void)
{
	int null = open("/dev/null", O_RDWR);

	if (setsid() < 0 || null < 0 || chdir("/") < 0)
		_exit(1);
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	close_range(3, ~0u, 0);
}

static void
leave_tender(const char *outbox)
{
	pid_t child = fork();

	if (child > 0)
		waitpid(child, NULL, 0);
	if (child != 0)
		return;
	detach();
	if (fork() == 0)
		tend(outbox);
	_exit(0);
}

void
outbox_tend(void)
{
	char outbox[OUTBOX_PATH];
	struct err e;
	int tending;

	for (unsigned i = 0; i < OUTBOX_PLACES; i++) {
		if (!outbox_place(i, false, outbox, &e) || !has_mail(outbox))
			continue;
		tending = lock(outbox, "tending", false);
		if (tending < 0)
			continue;
		close(tending);
		leave_tender(outbox);
	}
}
