/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"

enum { LOGIN_FILE_MAX = 4096 };

/* ── the token key ── */

/* Under another name first: a key that is there is a whole one. */
static bool
make_key(int directory, char key[TOKEN_KEY_SIZE])
{
	int fd = openat(directory, "token.key.new",
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good;

	hash_random(key, TOKEN_KEY_SIZE);
	good = fd >= 0 && write(fd, key, TOKEN_KEY_SIZE) == TOKEN_KEY_SIZE && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return good && renameat(directory, "token.key.new", directory, "token.key") == 0 &&
	       fsync(directory) == 0;
}

bool
secret_token_key(struct str state, char key[TOKEN_KEY_SIZE], struct err *e)
{
	char path[512];
	int directory, fd;
	bool good;

	snprintf(path, sizeof path, "%.*s", STR_ARG(state));
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return err_set_errno(e, "%s: cannot be opened", path);
	fd = openat(directory, "token.key", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0) {
		good = read(fd, key, TOKEN_KEY_SIZE) == TOKEN_KEY_SIZE ||
		       err_set(e, ERR_PERMANENT, ERR_LOCAL,
			       "%s/token.key: too short; remove it, and a new one is made", path);
		close(fd);
	} else {
		good = (errno == ENOENT && make_key(directory, key)) ||
		       err_set_errno(e, "%s/token.key: cannot be read or made", path);
	}
	close(directory);
	return good;
}

/* ── logins of routes ── */

static bool
read_login(const char *path, struct buf *text, struct str *user, struct str *password)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *room = buf_room(text, LOGIN_FILE_MAX);
	ssize_t n = fd >= 0 ? read(fd, room, LOGIN_FILE_MAX) : -1;
	struct str rest;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	buf_grew(text, (size_t)n);
	str_cut(buf_str(text), '\n', user, &rest);
	str_cut(rest, '\n', password, &rest);
	for (struct str *line = user; line; line = line == user ? password : NULL)
		if (line->n && line->p[line->n - 1] == '\r')
			line->n--;
	return user->n && password->n;
}

void
secret_logins_read(struct secret_logins *l, const struct config *c)
{
	struct buf text = { .max = LOGIN_FILE_MAX };

	for (size_t i = 0; i < l->n; i++)
		explicit_bzero((char *)(uintptr_t)l->list[i].password.p, l->list[i].password.n);
	arena_free(&l->arena);
	*l = (struct secret_logins){ .arena = { .max = (c->routes_n + 1) * 4 * LOGIN_FILE_MAX } };
	l->list = arena_take(&l->arena, c->routes_n * sizeof *l->list);
	must(l->list);
	for (size_t i = 0; i < c->routes_n; i++) {
		struct secret_login *to = &l->list[l->n];
		char path[1024];
		struct str user, password;

		if (c->routes[i].login_file.n == 0)
			continue;
		snprintf(path, sizeof path, "%.*s", STR_ARG(c->routes[i].login_file));
		buf_reset(&text);
		if (read_login(path, &text, &user, &password))
			l->n += arena_dup(&l->arena, c->routes[i].name, &to->route) &&
				arena_dup(&l->arena, user, &to->user) &&
				arena_dup(&l->arena, password, &to->password);
		else
			log_event("no-login-file",
				"route=%s file=%s want=two-lines-user-and-password",
				log_quote(c->routes[i].name), log_quote(str_of(path)));
	}
	if (text.p)
		explicit_bzero(text.p, text.capacity);
	buf_free(&text);
}

const struct secret_login *
secret_login_of(const struct secret_logins *l, struct str route)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->list[i].route, route))
			return &l->list[i];
	return NULL;
}
