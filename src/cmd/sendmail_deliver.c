/* SPDX-License-Identifier: Apache-2.0 */
#include <sysexits.h>

#include "cmd/ask.h"
#include "cmd/outbox.h"
#include "cmd/profile.h"
#include "cmd/sendmail.h"

/*
 * Handing in. The station's yes is the end of it. Whoever it can not serve now (it is down, its disk is full, it wants less at once)
 * has the mail kept in the outbox, and that is a yes too: the caller need not come back. What it refuses is the caller's to hear.
 */

static struct outbox_mail
mail_of(const struct sendmail *s)
{
	return (struct outbox_mail){ .config_file = s->config_file,
		.reverse_path = s->reverse_path,
		.recipients = s->recipients.p,
		.recipients_n = s->recipients.n,
		.notify = s->notify,
		.ret = s->ret,
		.envid = str_of(s->envelope_id),
		.message = buf_str(&s->message) };
}

/* To those whom m names: nobody is there twice. */
static bool
write_spare(const struct sendmail *s, const ph_mail *m, struct outbox_spare *spare, struct err *e)
{
	struct outbox_mail mail = mail_of(s);
	struct str *recipients = memory_take(NULL, (ph_results(m) + 1) * sizeof *recipients);
	bool ok;

	mail.recipients = recipients;
	mail.recipients_n = ph_results(m);
	for (size_t i = 0; i < mail.recipients_n; i++)
		recipients[i] = str_of(ph_result(m, i)->address);
	ok = outbox_spare_write(spare, &mail, e);
	memory_release(NULL, recipients);
	return ok;
}

bool
sendmail_set_aside(struct sendmail *s, struct outbox_spare *spare, struct err *e)
{
	struct outbox_mail mail = mail_of(s);
	ph_mail *m = outbox_compose(&mail);
	bool ok = write_spare(s, m, spare, e) ||
		  sendmail_complain(s, EX_TEMPFAIL,
			  S("the mail cannot be kept, and the station may not take it for "
			    "everybody"),
			  e->text);

	ph_mail_free(m);
	return ok;
}

/* Those whom the mail m has not reached yet but may reach. */
static bool
keep_for_later(struct sendmail *s, const ph_mail *m, struct outbox_spare *spare, struct err *e)
{
	bool *waits = memory_take(NULL, ph_results(m) + 1);
	bool ok = true, is_unsure = false, is_for_some = false;

	for (size_t i = 0; i < ph_results(m); i++) {
		enum ph_status status = ph_result(m, i)->status;

		waits[i] = status != PH_SENT && status != PH_REFUSED;
		is_for_some |= waits[i];
		is_unsure |= status == PH_UNSURE;
	}
	if (is_for_some)
		ok = (spare->outbox || write_spare(s, m, spare, e)) &&
		     outbox_spare_keep(spare, waits, e);
	if (ok && is_unsure)
		fprintf(stderr,
			"sendmail: the station's last answer got lost; the mail is sent again, and "
			"may arrive twice\n");
	memory_release(NULL, waits);
	return ok;
}

/* What a refusal is to sysexits(3). Without a reply it was found here, before anything was said: the message is at fault. */
static int
refusal_code(const struct ph_result *r)
{
	bool is_of_recipient = strcmp(r->stage, "rcpt") == 0;

	if (is_of_recipient && strncmp(r->enhanced, "5.1.", 4) == 0)
		return EX_NOUSER;
	if (r->code == 552 || strncmp(r->enhanced, "5.6.", 4) == 0)
		return EX_DATAERR;
	return r->code == 0 && strcmp(r->stage, "connect") != 0 ? EX_DATAERR : EX_UNAVAILABLE;
}

/* Says who was refused. How many were not; e has the first refusal. */
static size_t
tell_refusals(struct sendmail *s, const ph_mail *m, struct err *e)
{
	size_t refused = 0;
	char said[256];

	for (size_t i = 0; i < ph_results(m); i++) {
		const struct ph_result *r = ph_result(m, i);
		struct str enhanced = str_of(r->enhanced);

		if (r->status != PH_REFUSED)
			continue;
		snprintf(said, sizeof said, "%d %s", r->code, r->text);
		sendmail_complain(s, refusal_code(r), str_of(r->address), r->code ? said : r->text);
		if (refused++ == 0) {
			err_set(e, ERR_PERMANENT, ERR_REMOTE, "%s", r->text);
			e->code = (uint16_t)r->code;
			ask_scan_enhanced(&enhanced, &e->enhanced);
		}
	}
	return ph_results(m) - refused;
}

static bool
keep_or_complain(struct sendmail *s, const ph_mail *m, struct outbox_spare *spare, struct err *e)
{
	return keep_for_later(s, m, spare, e) ||
	       sendmail_complain(s, EX_TEMPFAIL,
		       S("the station cannot take the mail now, and it cannot be kept either"),
		       e->text);
}

static bool
settle(struct sendmail *s, const ph_mail *m, enum ph_status status, struct outbox_spare *spare,
	struct err *e)
{
	size_t not_refused;

	if (status == PH_INVALID && ph_mail_error(m)) {
		err_set(e, ERR_PERMANENT, ERR_OTHER, "%s", ph_mail_error(m));
		return sendmail_complain(s, EX_DATAERR, str_of(e->text), "");
	}
	not_refused = tell_refusals(s, m, e);
	return keep_or_complain(s, m, spare, e) && not_refused > 0;
}

/* A configuration that is being mended, a password that its command does not give now: the caller can do nothing about it, and cron
 * would lose the mail. */
static bool
keep_without_way(struct sendmail *s, const ph_mail *m, struct outbox_spare *spare, struct err *e)
{
	struct err why = *e;

	if (ph_mail_error(m)) {
		err_set(e, ERR_PERMANENT, ERR_OTHER, "%s", ph_mail_error(m));
		return sendmail_complain(s, EX_DATAERR, str_of(e->text), "");
	}
	if (!keep_or_complain(s, m, spare, e))
		return false;
	sendmail_complain(s, EX_OK, str_of(why.text), "the mail is kept in your outbox");
	return true;
}

bool
sendmail_hand_in(struct sendmail *s, struct outbox_spare *spare, struct err *e)
{
	struct outbox_mail mail = mail_of(s);
	struct profile profile;
	ph_session *session = NULL;
	ph_mail *m = outbox_compose(&mail);
	bool ok = profile_find(NULL, &s->config, &s->arena, &profile, e);

	if (!ok && err_is(&s->config_error))
		*e = s->config_error;
	session = ok ? profile_open(&profile, e) : NULL;
	if (session && s->is_verbose)
		profile_show_dialogue(session);
	if (session)
		ok = settle(s, m, profile_send(&profile, session, m), spare, e);
	else if (s->config_file && err_is(&s->config_error))
		ok = sendmail_complain(s, EX_CONFIG, str_of(e->text), "");
	else
		ok = keep_without_way(s, m, spare, e);
	ph_session_free(session);
	profile_wipe(&profile);
	ph_mail_free(m);
	return ok;
}
