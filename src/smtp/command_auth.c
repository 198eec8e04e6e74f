/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/command.h"

#include "base/codec.h"

/*
 * AUTH (RFC 4954): the lines of an exchange become a login and a password in s->auth, and the driver
 * is asked. What is secret lies in auth.secrets alone, which server.c wipes when the question is
 * settled or the exchange breaks off.
 */

static const struct reply not_offered = { 502, { 5, 5, 1 }, S("logging in is switched off here") },
			  done_already = { 503, { 5, 5, 1 }, S("you are logged in already") },
			  unknown = { 504, { 5, 5, 4 },
				  S("the mechanisms here are PLAIN and LOGIN") },
			  cancelled = { 501, { 5, 7, 0 }, S("cancelled") },
			  syntax = { 501, { 5, 5, 2 },
				  S("this is not the base64 that the mechanism wants") };

static const struct mechanism {
	struct str name, prompt; /* the prompt in base64, when there is no first response */
	enum smtp_server_state state;
} mechanisms[] = {
	{ S("PLAIN"), S(""), SERVER_AUTH_PLAIN },
	{ S("LOGIN"), S("VXNlcm5hbWU6"), SERVER_AUTH_LOGIN }, /* Username: */
};

void
command_auth(struct smtp_server *s, const struct command *c, struct str argument)
{
	const struct mechanism *m = NULL;
	struct str name, response;
	bool has_response;

	if (!s->offers_auth) {
		smtp_server_say(s, not_offered);
		return;
	}
	if (s->is_logged_in) {
		smtp_server_say(s, done_already);
		return;
	}
	if (!command_scan_argument(&argument, &name)) {
		command_say_syntax(s, c);
		return;
	}
	for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
		if (str_eq_nocase(name, mechanisms[i].name))
			m = &mechanisms[i];
	if (!m) {
		smtp_server_say(s, unknown);
		return;
	}
	has_response = command_scan_argument(&argument, &response);
	if (argument.n) {
		command_say_syntax(s, c);
		return;
	}
	s->auth.mechanism = m->name;
	s->state = m->state;
	if (has_response)
		command_auth_line(s, str_eq(response, S("=")) ? S("") : response);
	else
		smtp_server_say(s, (struct reply){ 334, { 0 }, m->prompt });
}

/* PLAIN (RFC 4616 §2): authorization identity, NUL, login, NUL, password. */
static bool
split_plain(struct smtp_auth *auth)
{
	struct str rest = buf_str(&auth->secrets);

	if (!scan_until(&rest, '\0', &auth->authorization) ||
		!scan_until(&rest, '\0', &auth->login))
		return false;
	auth->password = rest;
	return auth->login.n && auth->password.n && str_find(rest, '\0') == rest.n;
}

/* LOGIN sends the two one after the other, so they lie behind each other. */
static bool
split_login(struct smtp_auth *auth, size_t login_size)
{
	struct str both = buf_str(&auth->secrets);

	auth->login = str_part(both, 0, login_size);
	auth->password = str_from(both, login_size);
	return str_find(both, '\0') == both.n;
}

/* Room for all is made at once, so that no password is left behind in a buffer given back. */
static bool
add_secret(struct buf *secrets, struct str base64)
{
	return buf_room(secrets, base64.n) && codec_add_from_base64(secrets, base64);
}

static void
give_up_auth(struct smtp_server *s, struct reply why)
{
	smtp_server_end_auth(s);
	smtp_server_say(s, why);
}

void
command_auth_line(struct smtp_server *s, struct str line)
{
	struct smtp_auth *auth = &s->auth;
	bool is_good;

	if (str_eq(line, S("*"))) {
		give_up_auth(s, cancelled);
		return;
	}
	is_good = add_secret(&auth->secrets, line);
	if (is_good && s->state == SERVER_AUTH_LOGIN) {
		s->login_size = auth->secrets.n;
		s->state = SERVER_AUTH_PASSWORD;
		smtp_server_say(s, (struct reply){ 334, { 0 }, S("UGFzc3dvcmQ6") }); /* Password: */
		return;
	}
	if (is_good)
		is_good = s->state == SERVER_AUTH_PLAIN ? split_plain(auth)
							: split_login(auth, s->login_size);
	if (is_good)
		smtp_server_ask(s, SMTP_ON_AUTH);
	else
		give_up_auth(s, syntax);
}
