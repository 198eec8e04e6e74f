/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"

/*
 * The file is read whole, and all of it must be right, whichever profile is wanted:
 *
 *   file    = *( "default" "=" value / "profile" value "{" *( name "=" value ) "}" )
 *   value   = "…" or '…' on one line, with \" and \\ inside "…"; or a word without blanks
 *
 * Blanks and line ends stand anywhere between those; # begins a comment. A cursor over it serves better than libconfuse, which knows no
 * columns.
 */

enum {
	FILE_MAX = 256 * 1024,
	VALUE_MAX = 4096,
};

struct reader {
	const char *path;
	struct str text, rest; /* all of it; what is not read yet */
	struct arena *arena;
	struct err *e;
	struct profile *all;
	size_t n, room;
	const char *by_default;
};

bool
profile_tls_word(const char *word, enum ph_tls *tls)
{
	static const char *const words[] = { [PH_TLS_VERIFY] = "verify",
		[PH_TLS_ENCRYPT] = "encrypt",
		[PH_TLS_TRY] = "try",
		[PH_TLS_NEVER] = "never" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(words[i], word) == 0) {
			*tls = (enum ph_tls)i;
			return true;
		}
	return false;
}

static bool
is_tls_word(const char *value)
{
	enum ph_tls ignored;

	return profile_tls_word(value, &ignored);
}

static bool
is_place(const char *value)
{
	return secret_is_place(str_of(value));
}

static const char not_a_place[] =
	"a secret does not stand here itself, but where it is: env:NAME, file:PATH, cmd:COMMAND";

static const struct field {
	const char *name;
	size_t place;			     /* in struct profile */
	bool (*is_right)(const char *value); /* NULL: any value is */
	const char *else_wrong;
} fields[] = {
	{ "via", offsetof(struct profile, via), NULL, NULL },
	{ "password", offsetof(struct profile, password), is_place, not_a_place },
	{ "token", offsetof(struct profile, token), is_place, not_a_place },
	{ "from", offsetof(struct profile, from), NULL, NULL },
	{ "trust", offsetof(struct profile, trust), NULL, NULL },
	{ "tls", offsetof(struct profile, tls), is_tls_word,
		"tls is verify, encrypt, try or never" },
};

enum { FIELDS = sizeof fields / sizeof fields[0] };

/* at: where in the text. */
static bool
fail(struct reader *r, const char *at, const char *what, struct str word)
{
	unsigned line = 1, column = 1;

	for (const char *p = r->text.p; p < at; p++) {
		line += *p == '\n';
		/* a column is a character: the further octets of UTF-8 count nothing */
		column = *p == '\n' ? 1 : column + (((unsigned char)*p & 0xc0) != 0x80);
	}
	return err_set(r->e, ERR_PERMANENT, ERR_OTHER, "%s:%u:%u: %s%.*s", r->path, line, column,
		what, STR_ARG(str_part(word, 0, 60)));
}

/* ── the grammar ── */

static void
skip_blanks(struct reader *r)
{
	struct str line;

	while (r->rest.n && str_find(S(" \t\r\n#"), r->rest.p[0]) < 5)
		if (r->rest.p[0] == '#')
			str_cut(r->rest, '\n', &line, &r->rest);
		else
			r->rest = str_from(r->rest, 1);
}

static struct str
take_word(struct reader *r)
{
	struct str word;
	size_t n = 0;

	while (n < r->rest.n && str_find(S(" \t\r\n={}#\"'"), r->rest.p[n]) == 10)
		n++;
	word = str_part(r->rest, 0, n);
	r->rest = str_from(r->rest, n);
	return word;
}

static bool
take_quoted(struct reader *r, struct buf *value)
{
	const char *begin = r->rest.p;
	char quote = *begin;

	for (r->rest = str_from(r->rest, 1); r->rest.n; r->rest = str_from(r->rest, 1)) {
		char c = r->rest.p[0];

		if (c == quote) {
			r->rest = str_from(r->rest, 1);
			return true;
		}
		if (c == '\n')
			break;
		if (c == '\\' && quote == '"' && r->rest.n > 1 &&
			(r->rest.p[1] == '"' || r->rest.p[1] == '\\')) {
			r->rest = str_from(r->rest, 1);
			c = r->rest.p[0];
		}
		if (((unsigned char)c < ' ' && c != '\t') || c == 0x7f)
			return fail(r, r->rest.p, "this octet is no text", S(""));
		buf_add_char(value, c);
	}
	return fail(r, begin, "this quote is not closed on its line", S(""));
}

static bool
take_value(struct reader *r, const char **value)
{
	struct buf text = { .max = VALUE_MAX };
	struct str copy = { 0 };
	const char *begin;
	bool ok = true;

	skip_blanks(r);
	begin = r->rest.p;
	if (r->rest.n && (*begin == '"' || *begin == '\''))
		ok = take_quoted(r, &text);
	else
		buf_add(&text, take_word(r));
	if (ok && text.n == 0)
		ok = fail(r, begin, "here a value in quotes is missing", S(""));
	buf_add_char(&text, '\0');
	if (ok && (text.overflow || !arena_dup(r->arena, buf_str(&text), &copy)))
		ok = fail(r, begin, "this is too long", S(""));
	*value = copy.p;
	buf_free(&text);
	return ok;
}

static bool
take_sign(struct reader *r, char c, const char *missing)
{
	skip_blanks(r);
	return scan_char(&r->rest, c) || fail(r, r->rest.p, missing, S(""));
}

/* ── what it says ── */

static const struct field *
field_of(struct str name)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (str_eq(name, str_of(fields[i].name)))
			return &fields[i];
	return NULL;
}

static bool
fail_unknown(struct reader *r, struct str word, bool is_inside)
{
	static const char *const outside[] = { "profile", "default" };
	char what[120] = "this is no setting: via, password, token, from, trust, tls are; not ";
	size_t least = word.n / 3 + 1, n = is_inside ? FIELDS : 2;

	if (word.n == 0)
		return fail(r, word.p, "this is not expected here: ", str_part(r->rest, 0, 1));
	if (!is_inside)
		snprintf(
			what, sizeof what, "here `profile \"NAME\" {` or `default =` stands, not ");
	for (size_t i = 0; i < n; i++) {
		const char *name = is_inside ? fields[i].name : outside[i];
		size_t distance = str_distance(word, str_of(name));

		if (distance > least)
			continue;
		least = distance;
		snprintf(what, sizeof what, "did you mean `%s`? There is no ", name);
	}
	return fail(r, word.p, what, word);
}

static bool
read_field(struct reader *r, struct profile *p)
{
	struct str name = take_word(r);
	const struct field *field = field_of(name);
	const char **to, *at;

	if (!field)
		return fail_unknown(r, name, true);
	to = (const char **)(void *)((char *)p + field->place);
	if (*to)
		return fail(r, name.p, "this is set twice: ", name);
	if (!take_sign(r, '=', "here = and a value are missing"))
		return false;
	skip_blanks(r);
	at = r->rest.p;
	if (!take_value(r, to))
		return false;
	return !field->is_right || field->is_right(*to) || fail(r, at, field->else_wrong, S(""));
}

static struct profile *
profile_named(struct reader *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->all[i].name, name) == 0)
			return &r->all[i];
	return NULL;
}

static bool
read_profile(struct reader *r, const char *begin)
{
	struct profile p = { 0 };

	if (!take_value(r, &p.name))
		return false;
	if (profile_named(r, p.name))
		return fail(r, begin, "this profile is here twice: ", str_of(p.name));
	if (!take_sign(r, '{', "here a { is missing"))
		return false;
	for (skip_blanks(r); !scan_char(&r->rest, '}'); skip_blanks(r))
		if (r->rest.n == 0)
			return fail(r, begin, "the profile that begins here has no } at its end",
				S(""));
		else if (!read_field(r, &p))
			return false;
	if (!p.via)
		return fail(r, begin, "no via = \"smtp://USER@HOST\" in profile ", str_of(p.name));
	if (p.password && p.token)
		return fail(r, begin, "a password and a token: one of them, in profile ",
			str_of(p.name));
	if (r->n == r->room) {
		r->room = r->room ? 2 * r->room : 8;
		r->all = memory_resize(NULL, r->all, r->room * sizeof *r->all);
	}
	r->all[r->n++] = p;
	return true;
}

static bool
read_default(struct reader *r, const char *begin)
{
	if (r->by_default)
		return fail(r, begin, "this is set twice: ", S("default"));
	return take_sign(r, '=', "here = and the name of a profile are missing") &&
	       take_value(r, &r->by_default);
}

static bool
read_file(struct reader *r)
{
	struct str word;
	bool ok = true;

	if (!str_is_utf8(r->text))
		return fail(r, r->text.p, "the file is not UTF-8", S(""));
	for (skip_blanks(r); ok && r->rest.n; skip_blanks(r)) {
		word = take_word(r);
		if (str_eq(word, S("profile")))
			ok = read_profile(r, word.p);
		else if (str_eq(word, S("default")))
			ok = read_default(r, word.p);
		else
			ok = fail_unknown(r, word, false);
	}
	return ok;
}

/* ── the file ── */

/* Whoever gave up or took rights (sudo -E, a daemon) may have somebody else's environment; what is there is not meant for this one. */
static bool
is_of_caller(const char *directory)
{
	struct stat st;

	return stat(directory, &st) == 0 && st.st_uid == geteuid();
}

/* False: this person has none. */
static bool
path_of(char path[VALUE_MAX])
{
	const char *directory = secure_getenv("XDG_CONFIG_HOME"), *home = secure_getenv("HOME");
	bool is_named = directory && *directory == '/';
	const struct passwd *person;

	if (!is_named && (!home || *home != '/') && (person = getpwuid(geteuid())))
		home = person->pw_dir;
	if (!is_named)
		directory = home;
	return directory &&
	       snprintf(path, VALUE_MAX, "%s%s/posthouse/profiles", directory,
		       is_named ? "" : "/.config") < VALUE_MAX &&
	       is_of_caller(directory);
}

static bool
is_ours(const struct stat *st)
{
	return (st->st_uid == geteuid() || st->st_uid == 0) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* No file is an empty one. */
static bool
load(const char *path, struct buf *text, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	bool ok;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return true;
	if (fd < 0 || fstat(fd, &st) < 0)
		ok = err_set_errno(e, "%s", path);
	else if (!S_ISREG(st.st_mode))
		ok = err_set(e, ERR_PERMANENT, ERR_OTHER, "%s: this is no file", path);
	else if (!is_ours(&st))
		ok = err_set(e, ERR_PERMANENT, ERR_OTHER,
			"%s: others may write it, and it may name commands: chown it to you, chmod "
			"600",
			path);
	else
		ok = file_read_all(fd, text) || err_set_errno(e, "%s", path);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool
choose(struct reader *r, const char *name, const struct config *config, struct profile *p)
{
	const struct profile *found;

	if (!name && !r->by_default)
		return profile_station(config, r->arena, p, r->e);
	found = profile_named(r, name ? name : r->by_default);
	if (!found)
		return err_set(r->e, ERR_PERMANENT, ERR_OTHER,
			"%s: there is no profile \"%.60s\"%s", r->path, name ? name : r->by_default,
			name ? "" : ", which is the default");
	*p = *found;
	if (p->token && !(p->fetched = arena_take(r->arena, sizeof *p->fetched)))
		return err_set(r->e, ERR_TEMPORARY, ERR_LOCAL, "no memory");
	return true;
}

bool
profile_find(const char *name, const struct config *config, struct arena *arena, struct profile *p,
	struct err *e)
{
	struct buf text = { .max = FILE_MAX };
	char path[VALUE_MAX];
	struct reader r = { .path = path, .arena = arena, .e = e };
	bool ok;

	*p = (struct profile){ 0 };
	if (!path_of(path))
		return name ? err_set(e, ERR_PERMANENT, ERR_OTHER,
				      "profiles are in your home, and HOME or XDG_CONFIG_HOME is "
				      "no directory of yours: set it")
			    : profile_station(config, arena, p, e);
	ok = load(path, &text, e);
	r.text = r.rest = buf_str(&text);
	ok = ok && read_file(&r) && choose(&r, name, config, p);
	memory_release(NULL, r.all);
	buf_free(&text);
	return ok;
}

bool
profile_station(const struct config *config, struct arena *arena, struct profile *p, struct err *e)
{
	struct buf via = { .max = VALUE_MAX };
	struct str copy;
	bool ok;

	*p = (struct profile){ 0 };
	if (!config || config->state.n == 0)
		return err_set(e, ERR_PERMANENT, ERR_NO_ROUTE,
			"no station is known here: --via smtp://HOST, or --profile NAME");
	buf_addf(&via, "unix:%.*s/submit", STR_ARG(config->state));
	buf_add_char(&via, '\0');
	ok = !via.overflow && arena_dup(arena, buf_str(&via), &copy);
	buf_free(&via);
	if (!ok)
		return err_set(
			e, ERR_PERMANENT, ERR_OTHER, "the path of the station's state is too long");
	p->via = copy.p;
	return true;
}
