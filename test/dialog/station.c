/* SPDX-License-Identifier: Apache-2.0 */
#include "station.h"

#include "base/must.h"

enum {
	NOW_S = 1795411140, /* 2026-11-23 05:19:00 UTC */
	HOLD_MOST_S = 7 * 24 * 3600,
};

static const struct person {
	struct str name, password;
} people[] = {
	{ S("alice"), S("wonderland") }, { S("bob"), S("builder") },
	{ S("postmaster"), { 0 } }, /* a mailbox without a login */
};

static const struct alias {
	struct str name, to; /* addresses divided by '\n' */
	bool leads_elsewhere;
} aliases[] = {
	{ S("team"), S("<alice@example.org>\n<bob@example.org>"), false },
	{ S("sales"), S("<bob@partner.example>"), true },
};

static const struct smtp_server_settings settings = {
	.hostname = { "mail.example.org", 16 },
	.message_size_max = 100000,
	.recipients_max = 5,
	.offers_auth = true,
};

/* How each fault looks where it is met. The words are the kind's own. */
static const struct err fault_errors[FAULTS_N] = {
	[FAULT_SYNC] = { .class = ERR_TEMPORARY, .kind = ERR_SYNC },
	[FAULT_SPACE] = { .class = ERR_TEMPORARY, .kind = ERR_NO_SPACE },
	[FAULT_VAULT] = { .class = ERR_TEMPORARY, .kind = ERR_LOCAL },
	[FAULT_RATE] = { .class = ERR_TEMPORARY, .kind = ERR_RATE },
	[FAULT_BUSY] = { .class = ERR_TEMPORARY, .kind = ERR_MAILBOX_BUSY },
	[FAULT_REFUSE] = { .class = ERR_PERMANENT, .kind = ERR_REFUSED },
	[FAULT_OVERLOAD] = { .class = ERR_TEMPORARY, .kind = ERR_OVERLOAD },
	[FAULT_SHUTDOWN] = { .class = ERR_TEMPORARY, .kind = ERR_SHUTDOWN },
	[FAULT_IDLE] = { .class = ERR_TEMPORARY, .kind = ERR_IDLE },
	[FAULT_HELLO] = { .class = ERR_PERMANENT,
		.kind = ERR_REFUSED,
		.text = "this is our own name" },
	[FAULT_TLS] = { .class = ERR_TEMPORARY,
		.kind = ERR_LOCAL,
		.text = "TLS does not work at the moment" },
};

static const struct person *
find_person(struct str name)
{
	for (size_t i = 0; i < sizeof people / sizeof people[0]; i++)
		if (str_eq_nocase(people[i].name, name))
			return &people[i];
	return NULL;
}

static const struct alias *
find_alias(struct str name)
{
	for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
		if (str_eq_nocase(aliases[i].name, name))
			return &aliases[i];
	return NULL;
}

/* The fault, if it is this one, as what to answer; else yes. */
static const struct err *
error_of(const struct station *st, enum fault fault)
{
	return st->fault == fault ? &fault_errors[fault] : NULL;
}

static void
refuse(struct station *st, enum err_kind kind)
{
	smtp_server_answer(&st->smtp, &(struct err){ .class = ERR_PERMANENT, .kind = kind });
}

static void
admit_login(struct station *st)
{
	const struct smtp_auth *auth = &st->smtp.auth;
	const struct person *p = find_person(auth->login);

	if (st->fault == FAULT_VAULT)
		smtp_server_answer(&st->smtp,
			&(struct err){ .class = ERR_TEMPORARY, .kind = ERR_LOGIN_LATER });
	else if (p && p->password.n && str_eq(p->password, auth->password))
		smtp_server_answer(&st->smtp, NULL);
	else
		refuse(st, ERR_LOGIN_REFUSED);
}

static void
admit_sender(struct station *st)
{
	if (st->is_submission && !st->smtp.is_logged_in) {
		refuse(st, ERR_LOGIN_NEEDED);
		return;
	}
	buf_reset(&st->sender);
	address_add(&st->sender, st->smtp.transaction.reverse_path);
	smtp_server_answer(&st->smtp, error_of(st, FAULT_RATE));
}

static void
admit_local(struct station *st, struct str name)
{
	const struct alias *alias = find_alias(name);
	struct err moved;

	if (str_find(name, '/') < name.n) {
		refuse(st, ERR_MAILBOX_NAME);
	} else if (str_eq(name, S("old"))) {
		err_set(&moved, ERR_PERMANENT, ERR_MAILBOX_MOVED, "new@elsewhere.example");
		smtp_server_answer(&st->smtp, &moved);
	} else if (!find_person(name) && !alias) {
		refuse(st, ERR_MAILBOX_UNKNOWN);
	} else if (st->fault == FAULT_BUSY || st->fault == FAULT_VAULT) {
		smtp_server_answer(&st->smtp, &fault_errors[st->fault]);
	} else {
		buf_add(&st->recipients, st->recipients.n ? S(" ") : S(""));
		address_add(&st->recipients, st->smtp.recipient);
		if (alias && alias->leads_elsewhere)
			smtp_server_accept(&st->smtp, 251,
				S("not here; will forward to <bob@partner.example>"));
		else
			smtp_server_answer(&st->smtp, NULL);
	}
}

static void
admit_recipient(struct station *st)
{
	struct address who = st->smtp.recipient;

	if (who.domain.n == 0 || str_eq_nocase(who.domain, S("example.org"))) {
		admit_local(st, who.local);
	} else if (st->is_trusted || st->smtp.is_logged_in) {
		buf_add(&st->recipients, st->recipients.n ? S(" ") : S(""));
		address_add(&st->recipients, who);
		smtp_server_answer(&st->smtp, NULL);
	} else {
		refuse(st, ERR_RELAY_DENIED);
	}
}

static void
keep(struct station *st)
{
	const struct err *e = error_of(st, FAULT_SYNC);

	if (!e)
		e = error_of(st, FAULT_SPACE);
	if (e) {
		smtp_server_answer(&st->smtp, e);
		return;
	}
	buf_reset(&st->kept_sender);
	buf_add(&st->kept_sender, buf_str(&st->sender));
	buf_reset(&st->kept_recipients);
	buf_add(&st->kept_recipients, buf_str(&st->recipients));
	buf_reset(&st->kept_message);
	buf_add(&st->kept_message, buf_str(&st->message));
	buf_reset(&st->recipients);
	buf_reset(&st->message);
	smtp_server_accept(&st->smtp, 250, S("kept as 1"));
}

static struct str
local_name(struct str who)
{
	struct str name, domain;

	str_cut(who, '@', &name, &domain);
	return domain.n == 0 || str_eq_nocase(domain, S("example.org")) ? name : (struct str){ 0 };
}

static void
look_up_person(struct station *st)
{
	struct str name = local_name(st->smtp.argument);
	const struct person *p = find_person(name);
	struct buf text = { .max = 512 };

	if (!st->smtp.is_logged_in) {
		refuse(st, ERR_SWITCHED_OFF);
	} else if (name.n == 0) {
		smtp_server_answer(&st->smtp, NULL); /* another domain: who can tell? */
	} else if (!p) {
		refuse(st, ERR_MAILBOX_UNKNOWN);
	} else {
		buf_addf(&text, "<%.*s@example.org>", STR_ARG(p->name));
		smtp_server_accept(&st->smtp, 250, buf_str(&text));
	}
	buf_free(&text);
}

static void
look_up_list(struct station *st)
{
	const struct alias *alias = find_alias(local_name(st->smtp.argument));

	if (!st->smtp.is_logged_in)
		refuse(st, ERR_SWITCHED_OFF);
	else if (!alias)
		refuse(st, ERR_MAILBOX_UNKNOWN);
	else
		smtp_server_accept(&st->smtp, 250, alias->to);
}

static void
flush(struct station *st)
{
	struct str out = smtp_server_output(&st->smtp);

	buf_add(&st->said, out);
	smtp_server_sent(&st->smtp, out.n);
	must(!st->said.overflow);
}

static void
wait_a_while(struct station *st)
{
	if (!st->waits)
		return;
	flush(st);
	smtp_server_park(&st->smtp);
	if (st->fed.n)
		memset(st->fed.p, '!', st->fed.n);
}

static void
greet(struct station *st)
{
	const struct err *e = error_of(st, FAULT_REFUSE);

	smtp_server_answer(&st->smtp, e ? e : error_of(st, FAULT_OVERLOAD));
}

static void
become_other(struct station *st)
{
	const struct smtp_xclient *x = st->smtp.xclient;

	buf_reset(&st->client);
	buf_add(&st->client, x->address);
	buf_add_char(&st->client, ' ');
	buf_add(&st->client, x->name);
	smtp_server_answer(&st->smtp, NULL);
}

static void
forget_draft(struct station *st)
{
	buf_reset(&st->recipients);
	buf_reset(&st->message);
	st->resets++;
}

/* The driver: one arm an event. True as long as there is something to do without the client. */
static bool
turn(struct station *st)
{
	enum smtp_event event = smtp_server_next(&st->smtp);

	if (event != SMTP_ON_BODY)
		wait_a_while(st);
	switch (event) {
	case SMTP_WANT_INPUT:
		flush(st);
		return false;
	case SMTP_WANT_FLUSH:
		flush(st);
		break;
	case SMTP_ON_CONNECT:
		greet(st);
		break;
	case SMTP_ON_HELLO:
		smtp_server_answer(&st->smtp, error_of(st, FAULT_HELLO));
		break;
	case SMTP_ON_STARTTLS:
		smtp_server_answer(&st->smtp, error_of(st, FAULT_TLS));
		break;
	case SMTP_WANT_TLS:
		flush(st);
		st->is_shaking = true;
		return false;
	case SMTP_ON_XCLIENT:
		become_other(st);
		break;
	case SMTP_ON_AUTH:
		admit_login(st);
		break;
	case SMTP_ON_MAIL:
		admit_sender(st);
		break;
	case SMTP_ON_RCPT:
		admit_recipient(st);
		break;
	case SMTP_ON_DATA:
		smtp_server_answer(&st->smtp, NULL);
		break;
	case SMTP_ON_BODY:
		buf_add(&st->message, st->smtp.body);
		must(st->message.n == st->smtp.transaction.size);
		break;
	case SMTP_ON_END:
		keep(st);
		break;
	case SMTP_ON_RESET:
		forget_draft(st);
		break;
	case SMTP_ON_VRFY:
		look_up_person(st);
		break;
	case SMTP_ON_EXPN:
		look_up_list(st);
		break;
	case SMTP_WANT_CLOSE:
		flush(st);
		station_close(st);
		return false;
	}
	return true;
}

void
station_begin(struct station *st)
{
	struct buf *bufs[] = { &st->fed, &st->said, &st->sender, &st->recipients, &st->message,
		&st->kept_sender, &st->kept_recipients, &st->kept_message, &st->client };

	*st = (struct station){ 0 };
	for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
		bufs[i]->max = 1 << 20;
}

void
station_connect(struct station *st, enum station_door door, enum station_client client)
{
	must(!st->is_open);
	st->is_open = true;
	st->is_submission = door != DOOR_SMTP;
	st->is_trusted = client == CLIENT_TRUSTED;
	smtp_server_begin(&st->smtp, &settings);
	st->smtp.begins_with_tls = door == DOOR_SUBMISSIONS;
	st->smtp.offers_starttls = true;
	st->smtp.offers_xclient = client == CLIENT_PROXY;
	st->smtp.repairs_line_ends = st->is_trusted;
	st->smtp.hold_most_s = st->is_submission || st->is_trusted ? HOLD_MOST_S : 0;
	st->smtp.now_s = NOW_S;
	while (turn(st))
		;
}

void
station_say(struct station *st, struct str bytes)
{
	if (!st->is_open || st->is_shaking)
		return; /* said to a closed connection, or to the TLS library */
	buf_reset(&st->fed);
	buf_add(&st->fed, bytes);
	must(!st->fed.overflow);
	smtp_server_feed(&st->smtp, buf_str(&st->fed));
	while (turn(st))
		;
}

void
station_secure(struct station *st)
{
	must(st->is_shaking);
	st->is_shaking = false;
	smtp_server_secured(&st->smtp);
	while (turn(st))
		;
}

void
station_set_fault(struct station *st, enum fault fault)
{
	st->fault = fault;
	if (!st->is_open || (fault != FAULT_SHUTDOWN && fault != FAULT_IDLE))
		return;
	smtp_server_stop(&st->smtp, &fault_errors[fault]);
	while (turn(st))
		;
}

void
station_close(struct station *st)
{
	if (st->is_open)
		smtp_server_free(&st->smtp);
	st->is_open = st->is_shaking = false;
}

void
station_end(struct station *st)
{
	station_close(st);
	buf_free(&st->fed);
	buf_free(&st->said);
	buf_free(&st->sender);
	buf_free(&st->recipients);
	buf_free(&st->message);
	buf_free(&st->kept_sender);
	buf_free(&st->kept_recipients);
	buf_free(&st->kept_message);
	buf_free(&st->client);
}
