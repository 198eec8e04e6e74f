/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/outbox_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmd/profile.h"
#include "config/config.h"

/*
 * Sending what waits in an outbox.
 *
 * The lock "sending" keeps it to one at a time: it is held while somebody goes through the mails.
 *
 * What becomes of each recipient is written down before anything else is done, so that a crash in between sends to somebody twice
 * rather than to nobody, and nothing but a crash does:
 *
 *   taken     done
 *   refused   failed, unless the mail was not spoken of yet: then as later
 *   unsure    failed: whether a second copy is better than none is for a person to say
 *   later     waits, at most five days; then failed
 *
 * When nobody waits any more the file goes, into "refused" if somebody failed. While nobody answers at all that is found out often, for
 * it costs nobody anything; whoever answers and says "later", or a way that is not known, has growing pauses (RFC 5321 §4.5.4.1).
 */

enum {
	BUSY_S = 10, /* a person waits */
	WRITE_AGAIN_S = 1,
	PAUSE_FIRST_S = 60,
	PAUSE_MOST_S = 30 * 60,
	GIVE_UP_S = 5 * 24 * 3600, /* RFC 5321 §4.5.4.1: at least four to five days */
};

/* The place that the last mail went to: one connection serves all mails for it. */
struct outbox_way {
	struct config config;
	struct arena arena;
	struct profile profile;
	ph_session *session; /* NULL: there is no such way */
	int64_t opened_s;
	char config_file[OUTBOX_PATH], profile_name[256], why[OUTBOX_REASON];
	bool is_known, is_silent, is_spent; /* in this round: nobody answered; to be made anew */
};

static void
leave(struct outbox_way *w)
{
	ph_session_free(w->session);
	profile_wipe(&w->profile);
	config_free(&w->config);
	arena_free(&w->arena);
	*w = (struct outbox_way){ 0 };
}

struct outbox_way *
outbox_way_new(void)
{
	return memory_take(NULL, sizeof(struct outbox_way));
}

void
outbox_way_free(struct outbox_way **w)
{
	leave(*w);
	memory_release(NULL, *w);
	*w = NULL;
}

static bool
is_same(const struct outbox_way *w, const struct outbox_mail *mail)
{
	return w->is_known && str_eq(str_of(w->config_file), str_of(mail->config_file)) &&
	       str_eq(str_of(w->profile_name), str_of(mail->profile));
}

static void
find_way(struct outbox_way *w, const struct outbox_mail *mail)
{
	struct err e, config_error = { 0 };

	if (is_same(w, mail))
		return;
	leave(w);
	w->arena.max = 1 << 20;
	w->is_known = true;
	w->opened_s = time(NULL);
	snprintf(w->config_file, sizeof w->config_file, "%s",
		mail->config_file ? mail->config_file : "");
	snprintf(w->profile_name, sizeof w->profile_name, "%s", mail->profile ? mail->profile : "");
	/* a profile may need no station */
	config_load(&w->config, mail->config_file, &config_error);
	if (profile_find(mail->profile, &w->config, &w->arena, &w->profile, &e))
		w->session = profile_open(&w->profile, &e);
	else if (e.kind == ERR_NO_ROUTE && err_is(&config_error))
		e = config_error;
	if (!w->session)
		snprintf(w->why, sizeof w->why, "%s", e.text);
}

/* The end of a round. A secret is kept for a while: to fetch it may be to ask a person for it. */
static void
rest(struct outbox_way *w)
{
	bool has_secret = w->profile.password || w->profile.token;

	if (w->session)
		ph_quit(w->session);
	w->is_silent = false;
	if (!w->session || !has_secret || w->is_spent || time(NULL) - w->opened_s >= PAUSE_MOST_S)
		leave(w);
}

/* ── what becomes of a mail ── */

static void
fail(struct outbox_file *f, size_t i, const char *reason, const char *detail)
{
	struct str who = str_part(f->mail.recipients[i], 0, 100);

	f->states[i] = OUTBOX_FAILED;
	if (!f->note.failed[0]) /* the first reason stands for all */
		snprintf(f->note.failed, sizeof f->note.failed, "%.*s: %.200s%s", STR_ARG(who),
			reason, detail);
}

static void
fail_all(struct outbox_file *f, const char *reason, const char *detail)
{
	for (size_t i = 0; i < f->mail.recipients_n; i++)
		if (f->states[i] == OUTBOX_WAITS)
			fail(f, i, reason, detail);
}

/* Whoever waits goes on waiting, with the reason that stands in the note. */
static void
put_off(struct outbox_file *f, bool is_silent)
{
	struct outbox_note *note = &f->note;
	int64_t now_s = time(NULL);
	uint32_t pause_s = 2 * note->pause_s;

	if (now_s - (note->again_s ? note->again_s : f->since_s) > GIVE_UP_S) {
		fail_all(f, note->waits, "; given up after five days");
		return;
	}
	if (pause_s < PAUSE_FIRST_S)
		pause_s = PAUSE_FIRST_S;
	if (pause_s > PAUSE_MOST_S)
		pause_s = PAUSE_MOST_S;
	note->pause_s = is_silent ? 0 : pause_s;
	note->next_s = is_silent ? 0 : now_s + pause_s;
}

static bool
is_silence(const struct ph_result *r)
{
	return r->status == PH_LATER && r->code == 0 && strcmp(r->stage, "connect") == 0;
}

/* The mail was not spoken of yet: it is the station that is set up wrong, or the login, and a person will mend that. */
static bool
is_of_way(const struct ph_result *r)
{
	static const char *const stages[] = { "connect", "greeting", "hello", "tls", "auth" };

	for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
		if (strcmp(r->stage, stages[i]) == 0)
			return true;
	return false;
}

static void
note_result(struct outbox_file *f, size_t i, const struct ph_result *r)
{
	switch (r->status) {
	case PH_SENT:
		f->states[i] = OUTBOX_TAKEN;
		return;
	case PH_REFUSED:
		if (is_of_way(r))
			break;
		fail(f, i, r->text, "");
		return;
	case PH_UNSURE:
		fail(f, i, "perhaps it was taken: the answer got lost", "");
		return;
	case PH_LATER:
	case PH_PARTLY:
	case PH_INVALID:
	case PH_UNDERWAY:
		break;
	}
	if (!f->note.waits[0])
		snprintf(f->note.waits, sizeof f->note.waits, "%s", r->text);
}

/* Results are in the order of those who wait. */
static void
note_results(struct outbox_way *w, struct outbox_file *f, const ph_mail *m)
{
	size_t at = 0;

	f->note.waits[0] = '\0';
	for (size_t i = 0; i < f->mail.recipients_n; i++)
		if (f->states[i] == OUTBOX_WAITS)
			note_result(f, i, ph_result(m, at++));
	w->is_silent = is_silence(ph_result(m, 0));
	w->is_spent |= strcmp(ph_result(m, 0)->stage, "auth") == 0;
	snprintf(w->why, sizeof w->why, "%s", f->note.waits);
	if (outbox_count(f, OUTBOX_WAITS))
		put_off(f, w->is_silent);
}

/* The mail for those who wait. */
static ph_mail *
compose(const struct outbox_file *f)
{
	struct outbox_mail part = f->mail;
	struct str *recipients = memory_take(NULL, f->mail.recipients_n * sizeof *recipients);
	ph_mail *m;

	part.recipients = recipients;
	part.recipients_n = 0;
	for (size_t i = 0; i < f->mail.recipients_n; i++)
		if (f->states[i] == OUTBOX_WAITS)
			recipients[part.recipients_n++] = f->mail.recipients[i];
	m = outbox_compose(&part);
	memory_release(NULL, recipients);
	return m;
}

/* What no server would ever be told; NULL: nothing. */
static const char *
find_wrong(const ph_mail *m, const struct outbox_file *f)
{
	if (ph_mail_error(m))
		return ph_mail_error(m);
	return ph_results(m) == outbox_count(f, OUTBOX_WAITS) ? NULL
							      : "somebody stands there twice";
}

static void
send_mail(struct outbox_way *w, struct outbox_file *f)
{
	ph_mail *m = compose(f);
	const char *wrong = find_wrong(m, f);
	bool is_said = !wrong && profile_send(&w->profile, w->session, m) != PH_INVALID;

	if (is_said) {
		note_results(w, f, m);
	} else if (wrong || (wrong = ph_mail_error(m))) {
		fail_all(f, wrong, "");
	} else {
		wrong = ph_session_error(w->session);
		snprintf(f->note.waits, sizeof f->note.waits, "%s", wrong ? wrong : "");
		w->is_spent = true;
		put_off(f, false);
	}
	ph_mail_free(m);
}

/* While it cannot be written down that somebody has the mail, nobody may go on, in this process or another: it would be sent again. */
static bool
write_down(const char *outbox, const char *name, const struct outbox_file *f)
{
	bool is_told = false;

	while (!outbox_note(outbox, name, f)) {
		if (errno == ENOENT)
			return false;
		if (!is_told)
			fprintf(stderr,
				"posthouse: what became of a mail in %s cannot be written down: "
				"%s\n",
				outbox, strerror(errno));
		is_told = true;
		sleep(WRITE_AGAIN_S);
	}
	return true;
}

/* True: nothing of it waits any more. */
static bool
settle(const char *outbox, const char *name, const struct outbox_file *f)
{
	bool waits = outbox_count(f, OUTBOX_WAITS), failed = outbox_count(f, OUTBOX_FAILED);

	if (!waits && !failed && outbox_remove(outbox, name))
		return true;
	if (!write_down(outbox, name, f))
		return true;
	return !waits && (failed ? outbox_put_aside(outbox, name) : outbox_remove(outbox, name));
}

/* One that was read. */
static bool
try_mail(struct outbox_way *w, const char *outbox, const char *name, struct outbox_file *f)
{
	struct outbox_note before = f->note;
	bool is_news;

	if (outbox_count(f, OUTBOX_WAITS) == 0) /* a crash came before the file went */
		return settle(outbox, name, f);
	find_way(w, &f->mail);
	if (!w->session || w->is_silent) {
		memcpy(f->note.waits, w->why, sizeof w->why);
		put_off(f, w->is_silent);
		is_news = strcmp(before.waits, f->note.waits) != 0 ||
			  before.next_s != f->note.next_s || !outbox_count(f, OUTBOX_WAITS);
		if (!is_news)
			return false;
	} else if (!outbox_note(outbox, name, f)) {
		return false; /* nor could what becomes of it be written down */
	} else {
		send_mail(w, f);
	}
	return settle(outbox, name, f);
}

/* A time that no pause leads to is of a clock that was wrong. */
static bool
is_due(const char *outbox, const char *name)
{
	int64_t left_s = outbox_next_try(outbox, name) - time(NULL);

	return left_s <= 0 || left_s > PAUSE_MOST_S;
}

static bool
send_one(struct outbox_way *w, const char *outbox, const char *name)
{
	struct outbox_file f = { 0 };
	bool is_gone = false;
	struct err e;

	switch (outbox_read(outbox, name, &f, &e)) {
	case OUTBOX_DAMAGED:
		fprintf(stderr, "posthouse: a mail in %s: %s; it is in refused\n", outbox, e.text);
		is_gone = outbox_put_aside(outbox, name);
		break;
	case OUTBOX_UNREADABLE:
		break;
	case OUTBOX_READ:
		is_gone = try_mail(w, outbox, name, &f);
		break;
	}
	outbox_file_free(&f);
	return is_gone;
}

int
outbox_lock(const char *outbox, const char *name, bool waits)
{
	char path[OUTBOX_PATH];
	int fd, cause;

	snprintf(path, sizeof path, "%.*s/%s", OUTBOX_PATH - 100, outbox, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && flock(fd, waits ? LOCK_EX : LOCK_EX | LOCK_NB) == 0)
		return fd;
	cause = errno;
	if (fd >= 0)
		close(fd);
	errno = cause;
	return -1;
}

/* The lock must be held. Once through what is due, or all of it. True: nothing waits any more. */
static bool
send_all(struct outbox_way *w, const char *outbox, bool sends_now)
{
	struct outbox_name *names;
	size_t n, gone = 0;

	outbox_sweep(outbox);
	names = outbox_names(outbox, &n);
	for (size_t i = 0; i < n; i++)
		if (sends_now || is_due(outbox, names[i].text))
			gone += send_one(w, outbox, names[i].text);
	rest(w);
	memory_release(NULL, names);
	return gone == n;
}

void
outbox_send_due(struct outbox_way *w, const char *outbox)
{
	int sending = outbox_lock(outbox, "sending", true);

	if (sending < 0)
		return;
	send_all(w, outbox, false);
	close(sending);
}

/* Another process may wait for a host that is silent, as long as its patience lasts. */
int
outbox_lock_sending(const char *outbox, struct err *e)
{
	int sending = -1;

	for (int i = 0; i < 10 * BUSY_S; i++) {
		sending = outbox_lock(outbox, "sending", false);
		if (sending >= 0 || errno != EWOULDBLOCK)
			break;
		usleep(100000);
	}
	if (sending < 0 && errno == EWOULDBLOCK)
		err_set(e, ERR_TEMPORARY, ERR_LOCAL, "what waits is being sent by another process");
	else if (sending < 0)
		err_set_errno(e, "%s", outbox);
	return sending;
}

static bool
flush_one(struct outbox_way *w, const char *outbox, struct err *e)
{
	int sending = outbox_lock_sending(outbox, e);
	bool ok;

	if (sending < 0)
		return false;
	ok = send_all(w, outbox, true);
	close(sending);
	return ok || err_set(e, ERR_TEMPORARY, ERR_LOCAL, "some mail waits still; mailq shows it");
}

static size_t
count_refused(void)
{
	char outbox[OUTBOX_PATH], refused[OUTBOX_PATH];
	size_t n, all = 0;
	struct err e;

	for (unsigned i = 0; i < OUTBOX_PLACES; i++) {
		if (!outbox_place(i, false, outbox, &e))
			continue;
		outbox_refused(refused, outbox);
		memory_release(NULL, outbox_names(refused, &n));
		all += n;
	}
	return all;
}

bool
outbox_flush(struct err *e)
{
	size_t before = count_refused();
	struct outbox_way w = { 0 };
	char outbox[OUTBOX_PATH];
	struct err ignored;
	bool ok = true;

	for (unsigned i = 0; i < OUTBOX_PLACES; i++)
		if (outbox_place(i, false, outbox, &ignored))
			ok &= flush_one(&w, outbox, e);
	leave(&w);
	if (ok && count_refused() > before)
		return err_set(e, ERR_PERMANENT, ERR_REMOTE,
			"some mail was refused, or given up, and will not go; mailq shows it");
	return ok;
}
