/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cmd/shell.h"

enum { REST_MAX = 1 << 20 }; /* octets of a command's further lines */

void
secret_wipe(struct secret *s)
{
	explicit_bzero(s, sizeof *s);
}

bool
secret_read_line(struct secret *s, int fd, struct err *e)
{
	size_t n = 0;
	ssize_t got = 1;

	while (n < SECRET_MAX && (got = read(fd, &s->text[n], 1)) == 1 && s->text[n] != '\n')
		n++;
	if (got < 0)
		return err_set_errno(e, "cannot read the password");
	if (n == SECRET_MAX)
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "the password is too long");
	n -= n && s->text[n - 1] == '\r';
	s->text[n] = '\0';
	return n > 0 || err_set(e, ERR_PERMANENT, ERR_OTHER, "the password is empty");
}

/* ── a person ── */

static volatile sig_atomic_t interrupted_by;

static void
on_signal(int number)
{
	interrupted_by = number;
}

enum { LETHAL = 4 };
static const int lethal[LETHAL] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

/* From here on they are held back, but for the wait in await_line, which they cut short: so none can come between a look at the flag and
 * the wait, nor leave the terminal silent. */
static void
catch_signals(struct sigaction before[LETHAL], sigset_t *former)
{
	struct sigaction caught = { .sa_handler = on_signal };

	sigset_t held;

	interrupted_by = 0;
	sigemptyset(&held);
	for (size_t i = 0; i < LETHAL; i++)
		sigaddset(&held, lethal[i]);
	sigprocmask(SIG_BLOCK, &held, former);
	for (size_t i = 0; i < LETHAL; i++) {
		sigaction(lethal[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			sigaction(lethal[i], &caught, NULL);
	}
}

/* Whoever was to end ends now, with the terminal as it was. */
static void
restore_signals(const struct sigaction before[LETHAL], const sigset_t *former)
{
	for (size_t i = 0; i < LETHAL; i++)
		sigaction(lethal[i], &before[i], NULL);
	sigprocmask(SIG_SETMASK, former, NULL);
	if (interrupted_by)
		raise(interrupted_by);
}

/* A terminal gives whole lines: what is there now is read without waiting. */
static bool
await_line(int terminal, const sigset_t *former)
{
	struct pollfd line = { .fd = terminal, .events = POLLIN };

	return ppoll(&line, 1, NULL, former) > 0;
}

static bool
read_hidden(struct secret *s, int terminal, const struct termios *shown, struct err *e)
{
	struct termios hidden = *shown;
	struct sigaction before[LETHAL];
	sigset_t former;
	bool ok;

	hidden.c_lflag &= ~(tcflag_t)ECHO;
	/* whoever was stopped comes back to a terminal that shows what is typed */
	hidden.c_cc[VSUSP] = _POSIX_VDISABLE;
	catch_signals(before, &former);
	tcsetattr(terminal, TCSAFLUSH, &hidden);
	ok = await_line(terminal, &former) ? secret_read_line(s, terminal, e)
					   : err_set_errno(e, "cannot read the password");
	tcsetattr(terminal, TCSAFLUSH, shown);
	dprintf(terminal, "\n");
	if (interrupted_by)
		secret_wipe(s);
	restore_signals(before, &former);
	return ok;
}

bool
secret_ask(struct secret *s, const char *whose, struct err *e)
{
	int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
	struct termios shown;
	bool ok;

	if (terminal < 0 || tcgetattr(terminal, &shown) < 0) {
		if (terminal >= 0)
			close(terminal);
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"no terminal to ask for the password: --password-stdin");
	}
	dprintf(terminal, "Password of %s: ", whose);
	ok = read_hidden(s, terminal, &shown, e);
	close(terminal);
	return ok;
}

/* ── places ── */

static bool
fetch_variable(struct secret *s, const char *name, struct err *e)
{
	const char *value = getenv(name);

	if (!value)
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"env:%s: there is no such variable: export it", name);
	if (!*value)
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "env:%s: it is empty", name);
	if (snprintf(s->text, SECRET_MAX, "%s", value) >= SECRET_MAX)
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "env:%s: this is too long", name);
	return true;
}

static bool
read_private(struct secret *s, const char *path, int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set_errno(e, "file:%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "file:%s: this is no file", path);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"file:%s: others may read it: chmod 600", path);
	return secret_read_line(s, fd, e);
}

static bool
fetch_file(struct secret *s, const char *path, struct err *e)
{
	const char *home = getenv("HOME");
	char full[4096];
	bool ok;
	int fd;

	if (*path != '/' && (strncmp(path, "~/", 2) != 0 || !home))
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"file:%s: write the whole path, from / or ~/ on", path);
	snprintf(full, sizeof full, "%s%s", *path == '/' ? "" : home, path + (*path != '/'));
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "file:%s: %s", path, strerror(errno));
	ok = read_private(s, path, fd, e);
	close(fd);
	return ok;
}

/* A command may end by SIGPIPE, itself or a part of it, when nobody reads what it goes on to write: that is no failure of it. */
static bool
is_good_end(int status)
{
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGPIPE;
	return WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 128 + SIGPIPE;
}

/* What comes behind the first line, so that few programs see a broken pipe; but not without end. */
static void
read_rest(int fd)
{
	char octets[4096];

	for (size_t n = 0; n < REST_MAX / sizeof octets && read(fd, octets, sizeof octets) > 0; n++)
		;
	explicit_bzero(octets, sizeof octets);
}

/* Of the command. What it said counts when it ended well. */
static bool
read_answer(struct secret *s, int fd, pid_t pid, const char *command, struct err *e)
{
	bool ok = secret_read_line(s, fd, e);
	int status = 0;

	read_rest(fd);
	close(fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!is_good_end(status))
		return err_set(
			e, ERR_PERMANENT, ERR_OTHER, "cmd:%s: failed: try it in a shell", command);
	if (!ok && !s->text[0])
		err_set(e, ERR_PERMANENT, ERR_OTHER, "cmd:%s: said nothing", command);
	return ok;
}

static bool
spawn_shell(const char *command, int output, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	int problem;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	problem = shell_start(command, NULL, &actions, pid);
	posix_spawn_file_actions_destroy(&actions);
	errno = problem;
	return problem == 0;
}

static bool
fetch_from_command(struct secret *s, const char *command, struct err *e)
{
	int ends[2];
	pid_t pid;
	bool ok;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set_errno(e, "cmd:");
	ok = spawn_shell(command, ends[1], &pid) || err_set_errno(e, "cmd: cannot run sh");
	close(ends[1]);
	if (ok)
		return read_answer(s, ends[0], pid, command, e);
	close(ends[0]);
	return false;
}

static const struct {
	struct str prefix;
	bool (*fetch)(struct secret *s, const char *rest, struct err *e);
} places[] = {
	{ { "env:", 4 }, fetch_variable },
	{ { "file:", 5 }, fetch_file },
	{ { "cmd:", 4 }, fetch_from_command },
};

enum { PLACES = sizeof places / sizeof places[0] };

bool
secret_is_place(struct str place)
{
	for (size_t i = 0; i < PLACES; i++)
		if (str_starts(place, places[i].prefix) && place.n > places[i].prefix.n)
			return true;
	return false;
}

bool
secret_fetch(struct secret *s, const char *place, struct err *e)
{
	for (size_t i = 0; i < PLACES; i++)
		if (str_starts(str_of(place), places[i].prefix))
			return places[i].fetch(s, place + places[i].prefix.n, e);
	return err_set(
		e, ERR_PERMANENT, ERR_OTHER, "a secret is at env:NAME, file:PATH or cmd:COMMAND");
}
