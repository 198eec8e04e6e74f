/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/app_password.h"
#include "role/vault/command.h"
#include "role/vault/command_core.h"

static int
app_password_add(struct command *c)
{
	char name[NAME_SIZE], password[APP_PASSWORD_SIZE], digest[APP_PASSWORD_DIGEST];
	struct str label = str_of(c->names[1]);
	bool found = false;
	int code = read_name(c, c->names[0], name);

	if (code != EX_OK)
		return code;
	if (label.n == 0 || label.n > APP_PASSWORD_LABEL_MAX)
		return complain(EX_DATAERR, "a label has 1 to %d octets", APP_PASSWORD_LABEL_MAX);
	app_password_make(password, digest);
	if (!users_add_app_password(c->users, str_of(name), label, str_of(digest), &found, &c->err))
		return complain_of(c, EX_TEMPFAIL);
	if (!found)
		return complain(EX_NOUSER,
			"there is no user %s, or it has an app password %s already", name,
			c->names[1]);
	if (!c->json) {
		buf_addf(&c->out, "%s\n", password);
		return EX_OK;
	}
	buf_add(&c->out, S("{\"user\":"));
	codec_add_json(&c->out, str_of(name));
	buf_addf(&c->out, ",\"done\":\"added\",\"password\":\"%s\"}\n", password);
	return EX_OK;
}

static int
app_password_remove(struct command *c)
{
	char name[NAME_SIZE];
	bool found = false;
	int code = read_name(c, c->names[0], name);

	if (code != EX_OK)
		return code;
	if (!users_remove_app_password(
		    c->users, str_of(name), str_of(c->names[1]), &found, &c->err))
		return complain_of(c, EX_TEMPFAIL);
	if (!found)
		return complain(EX_NOUSER,
			"%s has no app password %s; `posthouse app-password list` shows all", name,
			c->names[1]);
	return tell(c, name, "removed", "");
}

static void
list_one(void *owner, const struct users_row *r)
{
	struct command *c = owner;

	if (!c->json) {
		buf_addf(&c->out, "%.*s  ", STR_ARG(r->name));
		buf_add_clean(&c->out, r->value, true);
		buf_add_char(&c->out, '\n');
		return;
	}
	buf_add(&c->out, S("{\"user\":"));
	codec_add_json(&c->out, r->name);
	buf_add(&c->out, S(",\"label\":"));
	codec_add_json(&c->out, r->value);
	buf_add(&c->out, S("}\n"));
}

static int
app_password_list(struct command *c)
{
	return users_list_app_passwords(c->users, list_one, c, &c->err)
		       ? EX_OK
		       : complain_of(c, EX_TEMPFAIL);
}

static const struct verb verbs[] = {
	{ "add", 2, 2, false, app_password_add },
	{ "list", 0, 0, true, app_password_list },
	{ "remove", 2, 2, false, app_password_remove },
	{ 0 },
};

static const char help[] = "usage: posthouse app-password add NAME@DOMAIN LABEL\n"
			   "       posthouse app-password remove NAME@DOMAIN LABEL\n"
			   "       posthouse app-password list\n"
			   "\n"
			   "Passwords for programs, so that none of them needs the person's own: "
			   "each can be taken away alone, and none signs in at the\n"
			   "page. The station draws it and shows it once; programs use it with "
			   "SMTP AUTH, and for JMAP as Basic or Bearer.\n"
			   "\n"
			   "  --config FILE  the configuration; else $POSTHOUSE_CONFIG, else "
			   "/etc/posthouse/posthouse.conf\n"
			   "  --json         one JSON object a line\n"
			   "\n"
			   "example: posthouse app-password add alice@example.org phone\n";

int
command_app_password(int argc, char **argv)
{
	return command("app-password", verbs, help, argc, argv);
}
