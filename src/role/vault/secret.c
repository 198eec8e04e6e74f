/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"
#include "io/file.h"
#include "role/state.h"

enum { LOGIN_FILE_MAX = 4096 };

/* ── files of our own ── */

bool
secret_keep(struct str state, const char *name, struct str octets, struct err *e)
{
	char directory[STATE_PATH_MAX];

	return file_replace(state_vault(state, directory), name, octets, 0600, true) ||
	       err_set_errno(e, "%.*s/vault/%s: cannot be made", STR_ARG(state), name);
}

bool
secret_read(struct str state, const char *name, struct buf *octets)
{
	char directory[STATE_PATH_MAX], path[STATE_PATH_MAX + 64];
	bool good;
	int fd, cause;

	snprintf(path, sizeof path, "%s/%s", state_vault(state, directory), name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	good = file_read_whole(fd, octets);
	cause = errno;
	close(fd);
	errno = cause;
	return good;
}

/* ── the token key ── */

bool
secret_token_key(struct str state, char key[TOKEN_KEY_SIZE], struct err *e)
{
	struct buf octets = { .max = TOKEN_KEY_SIZE };
	bool good;

	if (secret_read(state, "token.key", &octets)) {
		good = octets.n == TOKEN_KEY_SIZE ||
		       err_set(e, ERR_PERMANENT, ERR_LOCAL,
			       "%.*s/vault/token.key: too short; remove it, and a new one is made",
			       STR_ARG(state));
		if (good)
			memcpy(key, octets.p, TOKEN_KEY_SIZE);
	} else if (errno == ENOENT) {
		hash_random(key, TOKEN_KEY_SIZE);
		good = secret_keep(state, "token.key", (struct str){ key, TOKEN_KEY_SIZE }, e);
	} else {
		good = err_set_errno(e, "%.*s/vault/token.key: cannot be read", STR_ARG(state));
	}
	if (octets.p)
		explicit_bzero(octets.p, octets.capacity);
	buf_free(&octets);
	return good;
}

/* ── logins of routes ── */

/* "user\npassword\n", with either line end. */
static bool
split_login(struct str text, struct str *user, struct str *password)
{
	struct str rest;

	str_cut(text, '\n', user, &rest);
	str_cut(rest, '\n', password, &rest);
	for (struct str *line = user; line; line = line == user ? password : NULL)
		if (line->n && line->p[line->n - 1] == '\r')
			line->n--;
	return user->n && password->n;
}

/* The login of a route, or why there is none. */
static bool
read_login(struct secret_logins *l, const struct config_route *r, const struct files *files,
	struct err *e)
{
	struct secret_login *to = &l->list[l->n];
	struct str text, user, password;

	if (!files_get(files, r->login_file, &text, e))
		return false;
	if (text.n > LOGIN_FILE_MAX || !split_login(text, &user, &password))
		return err_set(e, ERR_PERMANENT, ERR_LOCAL,
			"want two lines, the user's name and the password");
	must(arena_dup(&l->arena, r->name, &to->route) && arena_dup(&l->arena, user, &to->user) &&
		arena_dup(&l->arena, password, &to->password));
	l->n++;
	return true;
}

void
secret_logins_read(struct secret_logins *l, const struct config *c, const struct files *files)
{
	for (size_t i = 0; i < l->n; i++)
		explicit_bzero((char *)(uintptr_t)l->list[i].password.p, l->list[i].password.n);
	arena_free(&l->arena);
	*l = (struct secret_logins){ .arena = { .max = (c->routes_n + 1) * 4 * LOGIN_FILE_MAX } };
	l->list = arena_take(&l->arena, c->routes_n * sizeof *l->list);
	must(l->list);
	for (size_t i = 0; i < c->routes_n; i++) {
		const struct config_route *r = &c->routes[i];
		struct err e;

		if (r->login_file.n && !read_login(l, r, files, &e))
			log_event("no-login-file", "route=%s file=%s why=%s", log_quote(r->name),
				log_quote(r->login_file), log_quote(str_of(e.text)));
	}
}

const struct secret_login *
secret_login_of(const struct secret_logins *l, struct str route)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->list[i].route, route))
			return &l->list[i];
	return NULL;
}
