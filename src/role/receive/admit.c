/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/must.h"
#include "message/message.h"
#include "role/receive/filter.h"
#include "role/receive/gate.h"
#include "route/route.h"

/*
 * Who may send what to whom. Each function answers one event of smtp/server.h: it asks vault where
 * it must (and returns WAIT), then says yes or gives the reason, and returns NEXT. Nothing here
 * changes a mail.
 */

enum {
	LOGINS_REFUSED_MOST = 5,	  /* in a session, then 421 */
	HOLD_MOST_S = 999999999,	  /* RFC 4865 §4 has nine digits */
	LOGIN_MOST_MS = 23 * 3600 * 1000, /* an hour less than the queue takes its proof for good */
};

static enum turn
refuse(struct session *s, const struct err *e)
{
	if (err_is(e))
		session_log_refusal(s, e);
	ask_clear(&s->ask);
	smtp_server_answer(&s->smtp, e);
	return NEXT;
}

static enum turn
refuse_as(struct session *s, enum err_class class, enum err_kind kind, const char *words)
{
	struct err e;

	err_set(&e, class, kind, "%s", words);
	return refuse(s, &e);
}

static enum turn
allow(struct session *s)
{
	return refuse(s, &(struct err){ 0 });
}

static enum turn
allow_as(struct session *s, int code, struct str words)
{
	smtp_server_accept(&s->smtp, code, words);
	ask_clear(&s->ask);
	return NEXT;
}

/* Vault's text as words: each line of it an address, in brackets (RFC 5321 §3.4, §3.5). */
static enum turn
allow_to(struct session *s, int code, const char *before)
{
	struct buf words = { .max = 2 * IPC_TEXT_MAX };
	struct str rest = buf_str(&s->ask.text), line;

	for (bool more = rest.n > 0; more;) {
		more = str_cut(rest, '\n', &line, &rest);
		buf_addf(&words, "%s<", before);
		buf_add(&words, line);
		buf_add(&words, more ? S(">\n") : S(">"));
	}
	allow_as(s, code, buf_str(&words));
	buf_free(&words);
	return NEXT;
}

static enum turn
vault_silent(struct session *s)
{
	return refuse_as(s, ERR_TEMPORARY, ERR_LOCAL,
		"the address book does not answer, please try again later");
}

bool
admit_may_relay(const struct session *s)
{
	return s->is_trusted || (s->is_local && !s->is_reader) || s->smtp.is_logged_in;
}

bool
admit_comes_in(const struct session *s, struct err *e)
{
	if (s->house->is_draining)
		return err_set(
			e, ERR_TEMPORARY, ERR_SHUTDOWN, "closing down, please try again later");
	if (s->house->sessions_n > s->house->role.config.limits.connections)
		return err_set(e, ERR_TEMPORARY, ERR_OVERLOAD,
			"too many connections, please try again later");
	if (s->is_refused)
		return err_set(e, ERR_PERMANENT, ERR_REFUSED, "no service for your network here");
	if (s->unwelcome)
		return err_set(e, ERR_TEMPORARY, ERR_OVERLOAD, "%s", s->unwelcome);
	return true;
}

enum turn
admit_client(struct session *s)
{
	struct err e = { 0 };
	enum turn step;

	if (!admit_comes_in(s, &e))
		return refuse(s, &e);
	step = gate_greet(s, &e);
	return step == NEXT ? refuse(s, &e) : step;
}

enum turn
admit_hello(struct session *s)
{
	judge_hello(s);
	return allow(s);
}

enum turn
admit_tls(struct session *s)
{
	return allow(s);
}

enum turn
admit_xclient(struct session *s)
{
	struct err e = { 0 };

	behalf_xclient(s, &e);
	return refuse(s, &e);
}

/* A few wrong passwords may be a person's; more are somebody's who guesses. */
static enum turn
login_refused(struct session *s)
{
	struct err e;

	log_event("login-refused", "login=%s client=%s", log_quote(s->smtp.auth.login), s->client);
	refuse_as(s, ERR_PERMANENT, ERR_LOGIN_REFUSED, "name or password is wrong");
	if (++s->logins_refused < LOGINS_REFUSED_MOST)
		return NEXT;
	err_set(&e, ERR_TEMPORARY, ERR_TOO_MANY_ERRORS, "too many wrong passwords");
	smtp_server_stop(&s->smtp, &e);
	return NEXT;
}

enum turn
admit_login(struct session *s)
{
	if (s->ask.state == ASK_NONE && ask_check(s) == WAIT)
		return WAIT;
	if (s->ask.state == ASK_FAILED || s->ask.kind == CHECKED_LATER)
		return refuse_as(s, ERR_TEMPORARY, ERR_LOGIN_LATER,
			"logins cannot be checked now, please try again later");
	if (s->ask.kind != CHECKED_OK) {
		return login_refused(s);
	}
	s->login_ms = loop_now_ms(s->house->role.loop);
	s->mechanism = s->smtp.auth.mechanism;
	buf_reset(&s->login);
	buf_add(&s->login, buf_str(&s->ask.text));
	buf_reset(&s->token);
	buf_add(&s->token, buf_str(&s->ask.token));
	s->smtp.repairs_line_ends = s->house->role.config.smtp.repair_line_ends;
	admit_holds(s);
	return allow(s);
}

/* For those who may send through us, as RFC 4865 §3 wants it: a stranger's mail is not stored for later.
 * On a submission door EHLO offers it to all, because few clients say EHLO again behind AUTH; MAIL needs
 * the login. */
void
admit_holds(struct session *s)
{
	bool may_send = s->is_submission || s->is_local || s->is_trusted || s->login.n;
	int64_t most_s = s->house->role.config.queue.hold_most_ms / 1000;

	s->smtp.hold_most_s = !may_send ? 0 : most_s < HOLD_MOST_S ? (uint32_t)most_s : HOLD_MOST_S;
}

/* Refuse before the edge: a mail of the announced size, or else of the largest allowed one, must
 * fit 1½ times. */
static bool
has_space(struct session *s)
{
	const struct config *c = &s->house->role.config;
	uint64_t size = s->smtp.transaction.size_declared ? s->smtp.transaction.size_declared
							  : c->limits.message;
	uint64_t free_space = spool_writer_free_space(s->house->writer);

	return free_space == 0 || free_space > c->limits.free_space + size + size / 2;
}

/* Our rules have nothing against it: what do the filters say? */
static enum turn
take_sender(struct session *s)
{
	struct err e = { 0 };

	if (s->filters || s->house->role.config.filters_n)
		if (filter_sender(s, !admit_may_relay(s), &e) == WAIT)
			return WAIT;
	return refuse(s, &e);
}

enum turn
admit_sender(struct session *s)
{
	struct address from = s->smtp.transaction.reverse_path;

	if (filter_is_asking(s))
		return take_sender(s);
	if (s->is_submission && !s->smtp.is_logged_in)
		return refuse_as(s, ERR_PERMANENT, ERR_LOGIN_NEEDED, "log in first");
	if (!has_space(s) || s->house->queue_is_full || !spool_writer_is_ready(s->house->writer))
		return refuse_as(s, ERR_TEMPORARY, ERR_NO_SPACE,
			"no space for mail now, please try again later");
	if (s->smtp.is_logged_in && loop_now_ms(s->house->role.loop) - s->login_ms > LOGIN_MOST_MS)
		return refuse_as(s, ERR_TEMPORARY, ERR_LOGIN_LATER,
			"your login is a day old: connect and log in again");
	if (!s->smtp.is_logged_in || address_is_null(from))
		return take_sender(s);
	if (s->ask.state == ASK_NONE && ask_lookup(s, 'S', from) == WAIT)
		return WAIT;
	if (s->ask.state == ASK_FAILED)
		return vault_silent(s);
	if (s->ask.kind != FOUND_YES)
		return refuse_as(s, ERR_PERMANENT, ERR_SENDER_NOT_YOURS,
			"this sender address does not belong to your login");
	return take_sender(s);
}

/* Does a way lead there for this sender? */
static bool
has_route(const struct session *s)
{
	const struct config *c = &s->house->role.config;
	struct buf from = { .max = 2 * ADDRESS_PATH_MAX };
	bool fits = !c->resolver.is_off; /* the DNS may know one */

	address_add(&from, s->smtp.transaction.reverse_path);
	for (size_t i = 0; i < c->routes_n && !fits; i++)
		fits = route_fits(c->routes[i].pattern, c->routes[i].from, c->routes[i].from_n,
			       s->smtp.recipient.domain, buf_str(&from)) > 0;
	buf_free(&from);
	return fits;
}

/* The recipient joins the envelope, with what the sender wants to hear of it, unless that would become
 * larger than the log keeps. */
bool
admit_add_recipient(struct session *s, struct address a, uint8_t notify, struct str original)
{
	struct buf text = { .max = 2 * ADDRESS_PATH_MAX }, packed = { .max = 3 * ADDRESS_PATH_MAX },
		   dsn = { .max = 2 * DSN_ORIGINAL_MAX };
	bool fits;

	address_add(&text, a);
	codec_add_str(&packed, buf_str(&text));
	spool_add_dsn(&dsn, notify, original);
	fits = packed.n <= s->recipients.max - s->recipients.n && dsn.n <= s->dsn.max - s->dsn.n;
	if (fits) {
		buf_add(&s->recipients, buf_str(&packed));
		s->recipients_n++;
		s->useful_commands = s->smtp.commands;
		buf_add(&s->dsn, buf_str(&dsn));
		s->has_dsn |= notify || original.n;
	}
	buf_free(&text);
	buf_free(&packed);
	buf_free(&dsn);
	return fits;
}

/* Our rules have nothing against it: what do the filters say? */
static enum turn
take_recipient(struct session *s)
{
	struct err e = { 0 };

	if (s->filters && filter_recipient(s, &e) == WAIT)
		return WAIT;
	if (err_is(&e))
		return refuse(s, &e);
	if (!admit_add_recipient(s, s->smtp.recipient, s->smtp.notify, s->smtp.original_recipient))
		return refuse_as(s, ERR_TEMPORARY, ERR_TOO_MANY_RECIPIENTS,
			"no more recipients in this mail: send another");
	if (s->ask.state == ASK_ANSWERED && s->ask.kind == FOUND_FORWARD)
		return allow_to(s, 251, "not here; will forward to ");
	return allow(s);
}

/* A recipient elsewhere. */
static enum turn
admit_away(struct session *s)
{
	if (!admit_may_relay(s))
		return refuse_as(s, ERR_PERMANENT, ERR_RELAY_DENIED,
			"we do not relay for you: log in, or send to the recipient's own host");
	if (!has_route(s))
		return refuse_as(s, ERR_PERMANENT, ERR_NO_ROUTE,
			"no route leads there: name one in the configuration");
	return take_recipient(s);
}

/* A recipient of ours that is not simply a mailbox, in vault's words. */
static enum turn
admit_found(struct session *s)
{
	struct err e;

	switch ((enum found_kind)s->ask.kind) {
	case FOUND_MAILBOX:
	case FOUND_ALIAS:
	case FOUND_FORWARD:
		return take_recipient(s);
	case FOUND_MOVED:
		err_set(&e, ERR_PERMANENT, ERR_MAILBOX_MOVED, "%.*s",
			STR_ARG(buf_str(&s->ask.text)));
		return refuse(s, &e);
	case FOUND_BUSY:
		return refuse_as(s, ERR_TEMPORARY, ERR_MAILBOX_BUSY,
			"this mailbox takes no mail for the moment");
	case FOUND_BAD_NAME:
		return refuse_as(
			s, ERR_PERMANENT, ERR_MAILBOX_NAME, "no mailbox can have this name");
	case FOUND_NOT_OURS:
		return admit_away(s);
	case FOUND_UNKNOWN:
	case FOUND_YES:
	case FOUND_NO:
	case FOUND_KINDS:
		break;
	}
	return judge_unknown(s)
		       ? refuse_as(s, ERR_TEMPORARY, ERR_TOO_MANY_ERRORS,
				 "too many recipients that nobody here is")
		       : refuse_as(s, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "no such mailbox here");
}

/* Recipients of this minute: of a login, or of a client. One letter before each keeps them apart. */
static bool
is_too_fast(const struct session *s)
{
	uint32_t most = s->house->role.config.limits.rate;
	struct buf who = { .max = 1024 };
	char key[MANNERS_KEY];
	bool is_over;

	if (most == 0)
		return false;
	if (s->login.n) {
		buf_add(&who, S("l"));
		buf_add(&who, buf_str(&s->login));
	} else {
		buf_add(&who, s->is_local ? S("u") : S("a"));
		buf_add(&who,
			s->is_local ? str_of(s->client) : manners_key(&s->at, MANNERS_CLIENT, key));
	}
	is_over =
		crowd_count(s->house->crowd, CROWD_RATE, buf_str(&who), 60, gate_now_s(), 1) > most;
	buf_free(&who);
	return is_over;
}

enum turn
admit_recipient(struct session *s)
{
	struct receive *r = s->house;
	struct address to = s->smtp.recipient;
	struct err e = { 0 };

	if (filter_is_asking(s))
		return take_recipient(s);
	if (judge_recipient(s, &e) == WAIT)
		return WAIT;
	if (err_is(&e))
		return refuse(s, &e);
	if (s->ask.state == ASK_NONE) {
		if (is_too_fast(s))
			return refuse_as(s, ERR_TEMPORARY, ERR_RATE,
				"too many recipients in a minute, please slow down");
		if (to.domain.n && !config_domain(&r->role.config, to.domain))
			return admit_away(s);
		if (r->table && address_table_has(r->table, to.local, to.domain))
			return take_recipient(s);
		if (ask_lookup(s, 'R', to) == WAIT)
			return WAIT;
	}
	return s->ask.state == ASK_FAILED ? vault_silent(s) : admit_found(s);
}

enum turn
admit_message(struct session *s)
{
	struct err e = { 0 };

	if (s->filters && filter_data(s, &e) == WAIT)
		return WAIT;
	if (err_is(&e))
		return refuse(s, &e);
	must(!s->draft);
	s->draft = draft_new(s->house->writer);
	s->header = (struct header_watch){ 0 };
	return allow(s);
}

/* VRFY's and EXPN's argument: a mailbox, with or without our domain, in brackets or not. */
static bool
argument_address(struct session *s, struct address *a)
{
	struct str text = str_trim(s->smtp.argument);
	struct config *c = &s->house->role.config;

	if (text.n > 1 && text.p[0] == '<' && text.p[text.n - 1] == '>')
		text = str_part(text, 1, text.n - 2);
	if (str_find(text, '@') == text.n && c->domains_n) {
		*a = (struct address){ text, c->domains[0].name };
		return true;
	}
	return address_parse(text, &s->smtp.scratch, true, a) == ADDRESS_OK;
}

/* May VRFY's or EXPN's argument be asked about? Otherwise the refusal is said. */
static bool
question_is_allowed(struct session *s, enum config_when when, struct address *a)
{
	bool is_on = when == CONFIG_ALWAYS || (when == CONFIG_LOGIN && admit_may_relay(s));

	if (!is_on)
		refuse_as(s, ERR_PERMANENT, ERR_SWITCHED_OFF, "switched off here");
	else if (!argument_address(s, a))
		refuse_as(s, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "not an address");
	else
		return true;
	return false;
}

enum turn
admit_verify(struct session *s)
{
	struct address a;

	if (s->ask.state == ASK_NONE) {
		if (!question_is_allowed(s, s->house->role.config.smtp.vrfy, &a))
			return NEXT;
		if (ask_lookup(s, 'V', a) == WAIT)
			return WAIT;
	}
	if (s->ask.state == ASK_FAILED)
		return vault_silent(s);
	switch ((enum found_kind)s->ask.kind) {
	case FOUND_MAILBOX:
	case FOUND_FORWARD:
		return allow_to(s, s->ask.kind == FOUND_MAILBOX ? 250 : 251, "");
	case FOUND_ALIAS:
	case FOUND_NOT_OURS:
	case FOUND_BUSY:
		return allow_as(s, 252, S("cannot say, but will take mail for it and try"));
	case FOUND_UNKNOWN:
	case FOUND_MOVED:
	case FOUND_BAD_NAME:
	case FOUND_YES:
	case FOUND_NO:
	case FOUND_KINDS:
		break;
	}
	if (s->ask.kind == FOUND_MOVED)
		return admit_found(s);
	return refuse_as(s, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "no such mailbox here");
}

enum turn
admit_expand(struct session *s)
{
	struct address a;

	if (s->ask.state == ASK_NONE) {
		if (!question_is_allowed(s, s->house->role.config.smtp.expn, &a))
			return NEXT;
		if (ask_lookup(s, 'E', a) == WAIT)
			return WAIT;
	}
	if (s->ask.state == ASK_FAILED)
		return vault_silent(s);
	if (s->ask.kind == FOUND_ALIAS || s->ask.kind == FOUND_FORWARD)
		return allow_to(s, 250, "");
	return refuse_as(s, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "no such list here");
}
