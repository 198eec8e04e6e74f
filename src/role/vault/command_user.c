/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/command.h"
#include "role/vault/command_core.h"
#include "role/vault/hash.h"
#include "role/vault/password.h"

/* The hash of a password from the prompt or standard input. */
static int
new_hash(struct command *c, const char *name, struct buf *hash)
{
	struct buf password = { .max = HASH_PASSWORD_MAX };
	bool good = c->password_stdin ? password_from_stdin(&password, &c->err)
				      : password_ask(&password, str_of(name), &c->err);
	int code = good ? EX_OK : complain_of(c, EX_DATAERR);

	if (good && !hash_make(buf_str(&password), hash))
		code = complain(EX_OSERR, "crypt(3) of this system cannot make a yescrypt hash");
	password_wipe(&password);
	return code;
}

static int
user_add(struct command *c)
{
	struct buf hash = { .max = 512 };
	char name[NAME_SIZE];
	bool found;
	int code = read_name(c, c->names[0], name);

	if (code == EX_OK)
		code = new_hash(c, name, &hash);
	if (code == EX_OK && !users_add(c->users, str_of(name), buf_str(&hash), &found, &c->err))
		code = complain_of(c, EX_TEMPFAIL);
	else if (code == EX_OK && found)
		code = complain(EX_CANTCREAT,
			"%s is there already; `posthouse user passwd %s` gives a new password",
			name, name);
	else if (code == EX_OK) {
		tell(c, name, "added", "");
		note_where_it_leads(c, name);
	}
	buf_free(&hash);
	return code;
}

/* The end of a change to one user who must be there. */
static int
user_changed(struct command *c, const char *name, bool good, bool found, const char *done,
	const char *more)
{
	if (!good)
		return complain_of(c, EX_TEMPFAIL);
	if (!found)
		return complain(
			EX_NOUSER, "there is no user %s; `posthouse user list` shows all", name);
	return tell(c, name, done, more);
}

static int
user_passwd(struct command *c)
{
	struct buf hash = { .max = 512 };
	char name[NAME_SIZE];
	bool found = false, good;
	int code = read_name(c, c->names[0], name);

	if (code == EX_OK)
		code = new_hash(c, name, &hash);
	if (code == EX_OK) {
		good = users_set_hash(c->users, str_of(name), buf_str(&hash), &found, &c->err);
		code = user_changed(
			c, name, good, found, "changed", ": the new password is good from now on");
	}
	buf_free(&hash);
	return code;
}

static int
user_remove(struct command *c)
{
	char name[NAME_SIZE];
	bool found = false, good;
	int code = read_name(c, c->names[0], name);

	if (code != EX_OK)
		return code;
	good = users_remove(c->users, str_of(name), &found, &c->err);
	return user_changed(
		c, name, good, found, "removed", "; mail in its mailbox stays where it is");
}

static int
user_set_suspended(struct command *c, bool is_suspended)
{
	char name[NAME_SIZE];
	bool found = false, good;
	int code = read_name(c, c->names[0], name);

	if (code != EX_OK)
		return code;
	good = users_set_suspended(c->users, str_of(name), is_suspended, &found, &c->err);
	return user_changed(c, name, good, found, is_suspended ? "suspended" : "resumed", "");
}

static int
user_suspend(struct command *c)
{
	return user_set_suspended(c, true);
}

static int
user_resume(struct command *c)
{
	return user_set_suspended(c, false);
}

static void
list_user(void *owner, const struct users_row *r)
{
	struct command *c = owner;

	if (!c->json) {
		buf_addf(&c->out, "%.*s%s\n", STR_ARG(r->name),
			r->is_suspended ? "  suspended" : "");
		return;
	}
	buf_add(&c->out, S("{\"user\":"));
	codec_add_json(&c->out, r->name);
	buf_addf(&c->out, ",\"suspended\":%s}\n", r->is_suspended ? "true" : "false");
}

static int
user_list(struct command *c)
{
	return users_list(c->users, list_user, c, &c->err) ? EX_OK : complain_of(c, EX_TEMPFAIL);
}

static const struct verb user_verbs[] = {
	{ "add", 1, 1, true, user_add },
	{ "passwd", 1, 1, false, user_passwd },
	{ "list", 0, 0, true, user_list },
	{ "remove", 1, 1, false, user_remove },
	{ "suspend", 1, 1, false, user_suspend },
	{ "resume", 1, 1, false, user_resume },
	{ 0 },
};

static const char user_help[] =
	"usage: posthouse user add|passwd NAME@DOMAIN [--password-stdin]\n"
	"       posthouse user remove|suspend|resume NAME@DOMAIN\n"
	"       posthouse user list\n"
	"\n"
	"People with a mailbox and a login. A suspended one cannot log in, and senders to it are "
	"asked to try later;\n"
	"what comes by an alias is still kept for it. Works whether the station is up or not; a "
	"running one knows within a second.\n"
	"\n"
	"  --config FILE     the configuration; else $POSTHOUSE_CONFIG, else "
	"/etc/posthouse/posthouse.conf\n"
	"  --password-stdin  the password is the first line of standard input; else it is asked "
	"for\n"
	"  --json            one JSON object a line\n"
	"\n"
	"example: posthouse user add alice@example.org\n";

int
command_user(int argc, char **argv)
{
	return command("user", user_verbs, user_help, argc, argv);
}
