/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/password.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

/* For on_interrupt alone: a terminal must not stay without echo when somebody gives up at the
 * prompt. */
static struct termios terminal_before;
static int terminal = -1;

static void
on_interrupt(int signal_number)
{
	tcsetattr(terminal, TCSAFLUSH, &terminal_before);
	_exit(128 + signal_number);
}

/* Up to the end of the line; an octet a read, so that nothing behind it is taken from whoever reads
 * next. */
static bool
read_line(int fd, struct buf *line)
{
	ssize_t n;
	char c;

	while ((n = read(fd, &c, 1)) == 1 || (n < 0 && errno == EINTR)) {
		if (n < 0)
			continue;
		if (c == '\n')
			break;
		buf_add_char(line, c);
	}
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	return n >= 0 && !line->overflow;
}

void
password_wipe(struct buf *password)
{
	if (password->p)
		explicit_bzero(password->p, password->capacity);
	buf_free(password);
}

static bool
check(const struct buf *password, struct err *e)
{
	if (password->n == 0)
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "the password is empty");
	if (str_find(buf_str(password), '\0') < password->n)
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "the password holds an octet 0");
	return true;
}

bool
password_from_stdin(struct buf *password, struct err *e)
{
	if (!read_line(STDIN_FILENO, password))
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"no password of at most %zu octets on standard input", password->max);
	return check(password, e);
}

static bool
prompt(const char *words, struct buf *line)
{
	return write(terminal, words, strlen(words)) > 0 && read_line(terminal, line) &&
	       write(terminal, "\n", 1) == 1;
}

bool
password_ask(struct buf *password, struct str whose, struct err *e)
{
	static const int interrupts[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP };
	struct buf again = { .max = password->max };
	struct termios quiet;
	char words[400];
	bool good;

	terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (terminal < 0 || tcgetattr(terminal, &terminal_before) != 0)
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"there is no terminal to ask for the password on; give it with "
			"--password-stdin");
	for (size_t i = 0; i < sizeof interrupts / sizeof *interrupts; i++)
		signal(interrupts[i], on_interrupt);
	quiet = terminal_before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(terminal, TCSAFLUSH, &quiet);
	snprintf(words, sizeof words, "New password for %.*s: ", STR_ARG(whose));
	good = prompt(words, password) && prompt("The same again: ", &again);
	tcsetattr(terminal, TCSAFLUSH, &terminal_before);
	close(terminal);
	if (!good)
		err_set(e, ERR_PERMANENT, ERR_OTHER,
			"the password cannot be read, or is longer than %zu octets", password->max);
	else if (!str_eq(buf_str(password), buf_str(&again)))
		good = err_set(e, ERR_PERMANENT, ERR_OTHER,
			"the two are not the same; nothing was changed");
	else
		good = check(password, e);
	password_wipe(&again);
	return good;
}
