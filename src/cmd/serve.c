/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/certificates.h"
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/ip.h"
#include "base/log.h"
#include "config/config.h"
#include "io/file.h"
#include "role/master/master.h"
#include "role/profile.h"
#include "role/user.h"

/*
 * `posthouse serve`: the checker and then master. The file is read and parsed in a child process,
 * which sends back the text that passed, sealed, and the few things of fixed layout that master
 * must know. So master itself never parses a file, and a file that upsets the parser costs a child.
 */

enum { NOTES_MAX = 64 * 1024 };

static void
plan_doors(struct master_plan *plan, const struct config *c)
{
	for (size_t i = 0; i < c->listens_n; i++)
		for (size_t k = 0; k < c->listens[i].on_n && plan->doors_n < MASTER_DOORS_MAX;
			k++) {
			struct master_door *d = &plan->doors[plan->doors_n++];
			const struct sockaddr_storage *a = &c->listens[i].on[k];
			const struct sockaddr_in *four =
				(const struct sockaddr_in *)(const void *)a;
			const struct sockaddr_in6 *six =
				(const struct sockaddr_in6 *)(const void *)a;
			struct buf text = { .max = IP_TEXT };

			d->door = c->listens[i].door;
			d->listen = (uint32_t)i;
			d->address = *a;
			if (a->ss_family == AF_INET) {
				ip_add(&text, IP_V4, (const unsigned char *)&four->sin_addr);
				snprintf(d->name, sizeof d->name, "%.*s:%u",
					STR_ARG(buf_str(&text)), ntohs(four->sin_port));
			} else {
				ip_add(&text, IP_V6, six->sin6_addr.s6_addr);
				snprintf(d->name, sizeof d->name, "[%.*s]:%u",
					STR_ARG(buf_str(&text)), ntohs(six->sin6_port));
			}
			buf_free(&text);
		}
}

static bool
plan_path(char *to, size_t size, struct str path, const char *option, const char *file)
{
	if (path.n >= size) {
		fprintf(stderr, "posthouse: %s: `%s` is longer than %zu octets\n", file, option,
			size - 1);
		return false;
	}
	if (path.n > 0) /* an option that was left out has no octets to copy */
		memcpy(to, path.p, path.n);
	return true;
}

static void
plan_users(struct master_plan *plan, const struct config *c)
{
	static const enum ipc_role roles[MASTER_PLACES] = { [MASTER_VAULT] = ROLE_VAULT,
		[MASTER_RESOLVE] = ROLE_RESOLVE,
		[MASTER_STORE] = ROLE_STORE,
		[MASTER_SEND] = ROLE_SEND,
		[MASTER_QUEUE] = ROLE_QUEUE,
		[MASTER_RECEIVE] = ROLE_RECEIVE,
		[MASTER_WEB] = ROLE_WEB,
		[MASTER_READER] = ROLE_READER };
	struct sandbox_user user;
	unsigned missing = 0;

	for (size_t i = 0; i < MASTER_PLACES; i++)
		if (user_of_role(c, roles[i], &user)) {
			plan->users[i] = (struct master_user){ user.uid, user.gid, true };
			missing += i != MASTER_READER && user.uid >= USER_BLOCK &&
				   user.uid < USER_BLOCK + MASTER_READER;
		}
	if (missing)
		log_event("users-missing",
			"users=%.*s* missing=%u numbers=%u-%u why=\"systemd-sysusers makes "
			"them\"",
			STR_ARG(c->users), missing, USER_BLOCK, USER_BLOCK + MASTER_READER - 1);
}

static bool
plan_mail_roots(struct master_plan *plan, const struct config *c, const char *file)
{
	for (size_t i = 0; i < c->domains_n; i++) {
		struct str root = profile_mail_root(&c->domains[i]);
		bool is_known = root.n == 0;

		for (uint32_t k = 0; k < plan->mail_roots_n && !is_known; k++)
			is_known = str_eq(root, str_of(plan->mail_roots[k]));
		if (is_known)
			continue;
		if (plan->mail_roots_n == MASTER_MAIL_ROOTS_MAX) {
			fprintf(stderr,
				"posthouse: %s: mailboxes lie below more than %d directories\n",
				file, MASTER_MAIL_ROOTS_MAX);
			return false;
		}
		if (!plan_path(plan->mail_roots[plan->mail_roots_n++], sizeof plan->mail_roots[0],
			    root, "mailboxes", file))
			return false;
	}
	return true;
}

static bool
plan_file(struct master_plan *plan, struct str path, struct err *e)
{
	if (path.n == 0)
		return true;
	for (uint32_t i = 0; i < plan->files_n; i++)
		if (str_eq(str_of(plan->files[i]), path))
			return true;
	if (plan->files_n == MASTER_FILES_MAX || path.n >= sizeof plan->files[0])
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"more than %d files of certificates, keys and logins, or the name of one "
			"is longer than %zu octets",
			MASTER_FILES_MAX, sizeof plan->files[0] - 1);
	memcpy(plan->files[plan->files_n++], path.p, path.n);
	return true;
}

static void
plan_filters(struct master_plan *plan, const struct config *c)
{
	for (size_t i = 0; i < c->filters_n && i < MASTER_FILTERS_MAX; i++)
		plan->filters[plan->filters_n++] =
			(struct master_filter){ c->filters[i].address, c->filters[i].address_size };
}

/* All files that vault reads. */
static bool
plan_files(struct master_plan *plan, const struct config *c, struct err *e)
{
	for (size_t i = 0; i < c->tls.certificates_n; i++)
		if (!plan_file(plan, c->tls.certificates[i], e))
			return false;
	for (size_t i = 0; i < c->tls.keys_n; i++)
		if (!plan_file(plan, c->tls.keys[i], e))
			return false;
	for (size_t i = 0; i < c->routes_n; i++)
		if (!plan_file(plan, c->routes[i].login_file, e))
			return false;
	return true;
}

/* In the child: all that may go wrong with a file, said in one line. */
static int
check_file(const char *path_arg, int plan_fd, int config_fd)
{
	struct buf text = { .max = CONFIG_FILE_MAX }, notes = { .max = NOTES_MAX },
		   wrong = { .max = NOTES_MAX };
	struct master_plan plan = { 0 };
	struct config c = { 0 };
	struct err e = { 0 };
	const char *path;

	if (!config_read_file(path_arg, &path, &text, &e) ||
		!config_parse(&c, buf_str(&text), path, &e) ||
		!certificates_check(&c, path, false, &notes, &wrong) ||
		!plan_files(&plan, &c, &e)) {
		fprintf(stderr, "posthouse: %s%.*s\n", e.text, STR_ARG(buf_str(&wrong)));
		return EX_CONFIG;
	}
	if (!plan_path(plan.state, sizeof plan.state, c.state, "state", path) ||
		!plan_path(plan.spool, sizeof plan.spool, c.spool, "spool", path) ||
		!plan_path(plan.trust, sizeof plan.trust, c.tls.trust, "trust", path) ||
		!plan_mail_roots(&plan, &c, path))
		return EX_CONFIG;
	plan.segment_size = c.queue.segment_size;
	plan.memory = c.limits.memory;
	fprintf(stderr, "%.*s", STR_ARG(buf_str(&notes)));
	plan_users(&plan, &c);
	plan_doors(&plan, &c);
	plan_filters(&plan, &c);
	if (!file_write_all(config_fd, buf_str(&text)) ||
		!file_write_all(plan_fd, (struct str){ (const char *)&plan, sizeof plan }))
		return EX_OSERR;
	return EX_OK;
}

/* The plan comes whole or not at all. */
static bool
read_plan(int fd, struct master_plan *plan)
{
	char *to = (char *)plan;
	size_t got = 0;
	ssize_t n;

	while (got < sizeof *plan && (n = read(fd, to + got, sizeof *plan - got)) > 0)
		got += (size_t)n;
	return got == sizeof *plan && master_plan_is_sound(plan);
}

static bool
read_config(const char *path, struct master_plan *plan, int *config_fd)
{
	int pipe_fd[2], memfd = memfd_create("posthouse.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING),
			status = -1;
	bool is_good = false;
	pid_t child;

	if (memfd < 0 || pipe2(pipe_fd, O_CLOEXEC) != 0) {
		fprintf(stderr, "posthouse: cannot begin: %s\n", strerror(errno));
		return false;
	}
	child = fork();
	if (child == 0)
		_exit(check_file(path, pipe_fd[1], memfd));
	close(pipe_fd[1]);
	if (child > 0) {
		is_good = read_plan(pipe_fd[0], plan);
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	}
	close(pipe_fd[0]);
	if (is_good && status == 0 && file_seal(memfd)) {
		*config_fd = memfd;
		return true;
	}
	close(memfd);
	return false;
}

/* Ten thousand connections want as many descriptors; the roles inherit the limit. */
static void
raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static const char help[] =
	"posthouse serve [--config FILE]: runs the station in the foreground\n"
	"\n"
	"  --config FILE   else $POSTHOUSE_CONFIG, else /etc/posthouse/posthouse.conf\n"
	"\n"
	"SIGHUP reads the file again (all of it or nothing), SIGTERM and Ctrl-C end the station "
	"after what is under way.\n"
	"One line an event goes to standard error; \"station: ready\" comes when all doors are "
	"open.\n"
	"\n"
	"Example: a station for this machine, without root or DNS\n"
	"\n"
	"cat >station.conf <<END\n"
	"hostname = \"mail.example.org\"\n"
	"state = \"/tmp/station\"\n"
	"spool = \"/tmp/station/spool\"\n"
	"listen smtp { on = \"127.0.0.1:2525\" }\n"
	"listen submission { on = \"127.0.0.1:2587\" }\n"
	"domain \"example.org\" { }\n"
	"END\n"
	"posthouse serve --config station.conf\n"
	"\n"
	"and in another terminal, in the same directory\n"
	"\n"
	"export POSTHOUSE_CONFIG=$PWD/station.conf\n"
	"posthouse user add bob@example.org\n"
	"echo 'See you at noon.' | posthouse send bob@example.org -s Lunch\n";

int
cmd_serve(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *path = NULL;
	int o;

	opterr = 0;
	while ((o = getopt_long(argc, argv, "c:h", options, NULL)) != -1)
		switch (o) {
		case 'c':
			path = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return EX_OK;
		default:
			fprintf(stderr,
				"posthouse: %s: no such option; see 'posthouse serve --help'\n",
				argv[optind - 1]);
			return EX_USAGE;
		}
	if (optind < argc) {
		fprintf(stderr,
			"posthouse serve: what is \"%s\"? The file is named by --config FILE\n",
			argv[optind]);
		return EX_USAGE;
	}
	raise_descriptors();
	return master_run(config_path(path), read_config);
}
