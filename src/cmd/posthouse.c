/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/str.h"
#include "role/role.h"

static const struct command commands[] = {
	{ "serve", cmd_serve, "run the station in the foreground" },
	{ "check", cmd_check, "check the configuration file" },
	{ "send", cmd_send, "write a mail and hand it in" },
	{ "probe", cmd_probe,
		"speak with another host step by step: what it offers, how long it takes" },
	{ "sendmail", cmd_sendmail, "what cron, PHP, git and mutt call" },
	{ "mailq", cmd_mailq, "what waits, in the station and in your outbox" },
	{ "user", cmd_vault, "people with a mailbox: add, passwd, list, remove, suspend, resume" },
	{ "alias", cmd_vault, "names that lead to others: add, list, remove" },
	{ "app-password", cmd_vault, "passwords for programs: add, list, remove" },
	{ "queue", cmd_queue,
		"what waits: list, show, hold, release, retry, bounce, drop, suspend" },
	{ "why", cmd_why, "the life of one mail, and what happens next" },
	{ "explain", cmd_explain,
		"what a reply code means; where a mail would go; what a client would hear" },
	{ "top", cmd_top, "how the queue runs" },
	{ "status", cmd_status, "whether the station runs, and what its processes are kept from" },
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

/* Names that other programs call us by: links to this executable. */
static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} names[] = {
	{ "sendmail", cmd_sendmail },
	{ "mailq", cmd_mailq },
	{ "newaliases", cmd_newaliases },
};

enum { NAMES = sizeof names / sizeof names[0] };

/* How master starts us: posthouse role NAME. Vault has an executable of its own. */
static const struct {
	const char *name;
	int (*main)(void);
} roles[] = {
	{ "receive", receive_main },
	{ "queue", queue_main },
	{ "send", send_main },
	{ "store", store_main },
};

enum { ROLES = sizeof roles / sizeof roles[0] };

static void
usage(FILE *to)
{
	int width = 0;

	for (size_t i = 0; i < COMMANDS; i++)
		if ((int)strlen(commands[i].name) > width)
			width = (int)strlen(commands[i].name);
	fprintf(to, "posthouse " POSTHOUSE_VERSION
		    ": receives mail, keeps it, hands it on\n\nposthouse COMMAND …\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-*s  %s\n", width, commands[i].name, commands[i].help);
	fprintf(to, "\nposthouse COMMAND --help has an example of each. First time: posthouse "
		    "serve --help\n");
}

int
cmd_vault(int argc, char **argv)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof "-vault");

	(void)argc;
	if (n > 0) {
		memcpy(path + n, "-vault", sizeof "-vault");
		execv(path, argv - 1); /* "posthouse user …" */
	}
	fprintf(stderr, "posthouse: cannot run %s: %s: install Posthouse whole\n",
		n > 0 ? path : "posthouse-vault", strerror(errno));
	return EX_OSFILE;
}

static int
run_role(const char *name)
{
	for (size_t i = 0; i < ROLES; i++)
		if (strcmp(name, roles[i].name) == 0)
			return roles[i].main();
	return EX_USAGE;
}

/* What is opened later must not get the number of standard output or error, where words for people would go into it. Standard input
 * stays unreadable: none is not an empty mail. */
static void
hold_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_WRONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static int
run_command(int (*command)(int argc, char **argv), int argc, char **argv)
{
	hold_standard_descriptors();
	/* whoever read our words may go: the mail is handed in or kept all the same */
	signal(SIGPIPE, SIG_IGN);
	/* what we make for its owner the owner can use: the outbox is directories and files */
	umask(umask(0) & (S_IRWXG | S_IRWXO));
	return command(argc, argv);
}

int
main(int argc, char **argv)
{
	static char help[] = "--help";
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;

	for (size_t i = 0; argc > 0 && i < NAMES; i++)
		if (strcmp(slash ? slash + 1 : argv[0], names[i].name) == 0)
			return run_command(names[i].main, argc, argv);
	if (argc < 2) {
		usage(stderr);
		return EX_USAGE;
	}
	if (argc == 3 && strcmp(argv[1], "role") == 0)
		return run_role(argv[2]);
	if (argc == 3 && strcmp(argv[1], "help") == 0) {
		argv[1] = argv[2];
		argv[2] = help;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 ||
		strcmp(argv[1], "-h") == 0) {
		usage(stdout);
		return EX_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("posthouse " POSTHOUSE_VERSION "\n");
		return EX_OK;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return run_command(commands[i].main, argc - 1, argv + 1);
	fprintf(stderr, "posthouse: there is no command \"%s\"; posthouse --help names them all\n",
		argv[1]);
	return EX_USAGE;
}
