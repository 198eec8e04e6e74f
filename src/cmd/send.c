/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/send.h"

#include <errno.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/arena.h"
#include "client/way.h"
#include "cmd/cmd.h"
#include "cmd/outbox.h"
#include "cmd/profile.h"
#include "io/file.h"

/*
 * `posthouse send`: writes a mail, or takes a finished one, and hands it in: to the station of this host, to the host of a saved profile,
 * or to any other. What is said there, and how, is libposthouse's affair; here is what a person asked for, and what they are told.
 *
 * Standard output has the results, a line a recipient or one JSON object; standard error the dialogue (-v) and complaints, one line each.
 */

enum { KEPT_MAX = 256 << 20 }; /* octets of a mail in the outbox */

struct sender {
	struct send_order order;
	struct send_input input;
	struct config config; /* empty: none was needed or found */
	struct arena arena;
	struct profile way;
	bool is_named;	    /* by --via */
	const char *unkept; /* why it cannot wait in the outbox; NULL: it can */
	ph_session *session;
	ph_mail *mail;
	struct waiting *waiting;
	int exit_code;
};

static bool
complain(struct sender *s, int exit_code, const char *what, const char *detail)
{
	s->exit_code = send_complain(exit_code, what, detail);
	return false;
}

/* ── The way ─────────────────────────────────────────────────────────────────────────────────── */

/* With --config the station is meant, whatever profile is the default one. */
static bool
find_saved_way(struct sender *s, struct err *e)
{
	struct send_order *o = &s->order;
	struct err wrong = { 0 };
	bool is_known = config_load(&s->config, o->config_file, &wrong);

	if (o->profile ? profile_find(o->profile, &s->config, &s->arena, &s->way, e)
		: o->config_file || o->waits
			? is_known && profile_station(&s->config, &s->arena, &s->way, e)
			: profile_find(NULL, &s->config, &s->arena, &s->way, e))
		return true;
	if (!is_known && (!err_is(e) || e->kind == ERR_NO_ROUTE))
		err_set(e, wrong.class, wrong.kind, "%s; or --via smtp://HOST", wrong.text);
	return false;
}

/* Whoever sends it later knows the way by its name alone, and of the rest what the outbox writes down (outbox_mail). */
static const char *
why_unkept(const struct send_order *o)
{
	const struct {
		bool is_said;
		const char *why;
	} causes[] = {
		{ o->never_waits_offline, "--no-outbox" },
		{ o->via != NULL, "the outbox knows the station and profiles, and no --via" },
		{ o->sends_in_clear, "the outbox does not remember --in-clear" },
		{ o->tls != NULL, "the outbox does not remember --tls: write it into a profile" },
		{ o->trust != NULL,
			"the outbox does not remember --trust: write it into a profile" },
		{ o->requires_tls, "the outbox does not remember --require-tls" },
		{ o->hold_s != 0, "the outbox does not remember --in and --at" },
	};

	for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
		if (causes[i].is_said)
			return causes[i].why;
	return NULL;
}

static bool
find_way(struct sender *s)
{
	struct send_order *o = &s->order;
	struct err e = { 0 };

	s->is_named = o->via != NULL;
	if (s->is_named)
		s->way.via = o->via;
	else if (!find_saved_way(s, &e) && !o->is_dry)
		return complain(s, EX_CONFIG, e.text, "");
	s->unkept = why_unkept(o);
	s->way.sends_in_clear = o->sends_in_clear;
	s->way.tls = o->tls ? o->tls : o->sends_in_clear ? NULL : s->way.tls;
	if (o->reads_password)
		s->way.password = s->way.token = NULL;
	o->via = s->way.via;
	o->from = o->from ? o->from : s->way.from;
	o->trust = o->trust ? o->trust : s->way.trust;
	s->way.trust = NULL; /* open_session does it, and says which */
	return true;
}

static bool
get_password(struct sender *s)
{
	struct secret secret = { 0 };
	struct err e = { 0 };
	struct way way;
	bool ok;

	if (!way_parse(&way, str_of(s->way.via), &e))
		return complain(s, EX_USAGE, e.text, "");
	if (s->order.reads_password && !way.user[0])
		return complain(s, EX_USAGE, "whose password? --via smtp://USER@HOST", "");
	if (!way.user[0] || s->way.password || s->way.token)
		return true;
	ok = s->order.reads_password ? secret_read_line(&secret, STDIN_FILENO, &e)
				     : secret_ask(&secret, way.user, &e);
	if (ok)
		ph_login(s->session, NULL, secret.text);
	if (!s->unkept)
		s->unkept = "nobody will be there to give the password: write where it is into a "
			    "profile";
	secret_wipe(&secret);
	return ok || complain(s, EX_USAGE, e.text, "");
}

/* Its error begins with the file. */
static bool
complain_of_trust(struct sender *s)
{
	char what[256];

	snprintf(what, sizeof what, "--trust %s", ph_session_error(s->session));
	return complain(s, EX_NOINPUT, what, "");
}

static bool
open_session(struct sender *s)
{
	struct err e = { 0 };

	if (s->order.is_dry)
		return true;
	s->session = profile_open(&s->way, &e);
	if (!s->session)
		return complain(s, s->is_named ? EX_USAGE : EX_CONFIG, e.text, "");
	if (s->order.trust)
		ph_trust(s->session, s->order.trust);
	if (ph_session_error(s->session))
		return complain_of_trust(s);
	if (s->order.is_verbose)
		profile_show_dialogue(s->session);
	return get_password(s);
}

/* ── The mail ────────────────────────────────────────────────────────────────────────────────── */

static bool
read_input(struct sender *s)
{
	s->exit_code = send_read(&s->order, &s->input);
	return s->exit_code == EX_OK;
}

static bool
compose(struct sender *s)
{
	s->mail = ph_mail_new();
	if (!s->mail)
		return complain(s, EX_OSERR, "no memory", "");
	order_write(&s->order, &s->config, s->mail);
	return !ph_mail_error(s->mail) || complain(s, EX_DATAERR, ph_mail_error(s->mail), "");
}

static bool
write_out(void *context, const char *octets, size_t n)
{
	(void)context;
	return file_write_all(STDOUT_FILENO, (struct str){ octets, n });
}

static bool
print_message(struct sender *s)
{
	if (ph_mail_write(s->mail, write_out, NULL))
		return true;
	return ph_mail_error(s->mail) ? complain(s, EX_DATAERR, ph_mail_error(s->mail), "")
				      : complain(s, EX_IOERR, "standard output", strerror(errno));
}

/* ── The outbox ──────────────────────────────────────────────────────────────────────────────── */

static bool
write_kept(void *context, const char *octets, size_t n)
{
	struct buf *message = context;

	buf_add(message, (struct str){ octets, n });
	return !message->overflow;
}

/* Nobody answered, and nothing was said. */
static bool
nobody_answered(const struct sender *s)
{
	const struct ph_result *r = ph_result(s->mail, 0);

	return r && r->status == PH_LATER && r->code == 0 && strcmp(r->stage, "connect") == 0;
}

static bool
keep(struct sender *s, struct err *e)
{
	struct buf message = { .max = KEPT_MAX };
	const struct send_order *o = &s->order;
	size_t n = ph_results(s->mail);
	struct err ignored;
	struct str *recipients = arena_take(&s->arena, n * sizeof *recipients);
	bool ok = recipients && ph_mail_write(s->mail, write_kept, &message);

	for (size_t i = 0; ok && i < n; i++)
		recipients[i] = str_of(ph_result(s->mail, i)->address);
	if (!ok)
		err_set(e, ERR_TEMPORARY, ERR_OTHER, "the mail is too large to wait in the outbox");
	ok = ok && outbox_put(
			   &(struct outbox_mail){
				   .config_file = o->config_file,
				   .profile = s->way.name,
				   .reverse_path = str_of(ph_mail_sender(s->mail)),
				   .recipients = recipients,
				   .recipients_n = n,
				   .notify = o->notify ? order_notify(o->notify, &ignored) : 0,
				   .envid = str_of(o->envelope_id),
				   .message = buf_str(&message),
			   },
			   e);
	buf_free(&message);
	return ok;
}

static bool
keep_and_tell(struct sender *s)
{
	struct err e = { 0 };

	if (!keep(s, &e)) {
		tell_results(&s->order, s->mail, "", NULL);
		return complain(s, EX_TEMPFAIL, "nor can it wait in the outbox", e.text);
	}
	tell_results(&s->order, s->mail, "", ph_result(s->mail, 0)->text);
	if (!s->order.is_json)
		printf("It waits in your outbox, and goes when somebody answers; mailq shows what "
		       "waits\n");
	s->exit_code = EX_OK;
	outbox_tend();
	return true;
}

/* ── Handing it over ─────────────────────────────────────────────────────────────────────────── */

static bool
has_login(const struct sender *s)
{
	struct err ignored;
	struct way way;

	return way_parse(&way, str_of(s->way.via), &ignored) && way.user[0];
}

/* What would have helped. */
static void
advise(const struct sender *s)
{
	const struct ph_result *r = ph_result(s->mail, 0);

	if (ph_session_wants_clear(s->session))
		fprintf(stderr, "--in-clear sends the password all the same\n");
	else if (r && strcmp(r->stage, "tls") == 0 && !has_login(s))
		fprintf(stderr,
			"--tls encrypt trusts any certificate, --tls try goes in clear where "
			"TLS fails; --trust FILE names other authorities\n");
	if (nobody_answered(s) && !s->order.never_waits_offline)
		fprintf(stderr, "not kept in your outbox: %s\n", s->unkept);
}

static bool
hand_over(struct sender *s)
{
	if (profile_send(&s->way, s->session, s->mail) == PH_INVALID) {
		const char *wrong = ph_mail_error(s->mail);

		return complain(s, EX_DATAERR, wrong ? wrong : ph_session_error(s->session), "");
	}
	if (!s->unkept && nobody_answered(s))
		return keep_and_tell(s);
	tell_results(&s->order, s->mail, ph_session_tls(s->session), NULL);
	advise(s);
	s->exit_code = tell_exit_code(s->mail);
	return true;
}

static bool
send_one(struct sender *s)
{
	int code;

	if (s->order.waits && (s->exit_code = wait_open(&s->waiting, &s->order)) != EX_OK)
		return false;
	if (!hand_over(s) || !s->waiting)
		return false;
	code = wait_for_fates(s->waiting, s->mail);
	s->exit_code = s->exit_code == EX_OK ? code : s->exit_code;
	return true;
}

static void
run(struct sender *s)
{
	if (!find_way(s) || !open_session(s) || !read_input(s))
		return;
	if (s->order.merge)
		s->exit_code = merge_run(&s->order, &s->config, s->session);
	else if (compose(s))
		(void)(s->order.is_dry ? print_message(s) : send_one(s));
}

int
cmd_send(int argc, char **argv)
{
	struct sender s = { .arena.max = 256 << 20 };
	struct words *words[] = { &s.order.to, &s.order.cc, &s.order.bcc, &s.order.reply_to,
		&s.order.headers, &s.order.attachments, &s.order.inlines };

	s.exit_code = send_options(&s.order, argc, argv);
	if (s.exit_code == EX_OK && !s.order.is_help)
		run(&s);
	send_settle_draft(&s.input, s.exit_code == EX_OK);
	wait_close(&s.waiting);
	ph_mail_free(s.mail);
	ph_session_free(s.session);
	profile_wipe(&s.way);
	send_input_free(&s.input);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		memory_release(NULL, words[i]->p);
	config_free(&s.config);
	arena_free(&s.arena);
	return s.exit_code;
}
