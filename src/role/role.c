/* SPDX-License-Identifier: Apache-2.0 */
#include "role/role.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "io/file.h"
#include "role/user.h"

enum { MASTER_FD = 3 };

/* Where each role has a user of its own, none of them works as root. */
static bool
has_changed_user(const struct role *r, struct err *e)
{
	struct sandbox_user wanted;

	return !user_of_role(&r->config, r->self, &wanted) ||
	       err_set(e, ERR_PERMANENT, ERR_LOCAL, "this role is still root, not user %u",
		       (unsigned)wanted.uid);
}

/* The first configuration comes before any thread, and names the paths: now the role is locked in, its threads are started, and
 * the locks are tried. Nothing of the world was read so far but what master sent. */
static void
role_lock(struct role *r)
{
	struct sandbox *s = &r->profile.sandbox;
	struct buf lines = { .max = SANDBOX_LINES_MAX };
	struct err e = { 0 };
	bool holds;

	tzset();
	holds = has_changed_user(r, &e) && sandbox_close_files(s, &e);
	if (holds)
		r->hooks->configured(r->owner);
	if (!holds || !sandbox_close_calls(s, &e) || !sandbox_try(s, &e)) {
		log_event("not-guarded", "why=%s", log_quote(str_of(e.text)));
		log_flush();
		_exit(EX_OSERR);
	}
	buf_addf(&lines, "user: %u\n", (unsigned)geteuid());
	sandbox_describe(s, &lines);
	ipc_send_guarded(r->master, &(struct ipc_guarded){ .fd = -1, .lines = buf_str(&lines) });
	buf_free(&lines);
	r->is_locked = true;
}

/* A file that names other paths, sockets or sizes needs other locks, which nobody can change from inside: the role finishes what is under way, and
 * master starts it anew. */
static void
role_take(struct role *r)
{
	struct profile fresh;

	profile_make(&fresh, r->self, &r->config, buf_str(&r->mailbox));
	if (r->is_locked && profile_serves(&r->profile, &fresh)) {
		profile_free(&fresh);
		r->hooks->configured(r->owner);
	} else if (r->is_locked) {
		profile_free(&fresh);
		log_event("begins-anew", "why=other-locks");
		r->hooks->drain(r->owner);
	} else {
		r->profile = fresh;
		role_lock(r);
	}
}

static void
role_configure(struct role *r, const struct ipc_configure *m)
{
	struct buf text = { .max = CONFIG_FILE_MAX };
	struct config fresh = { 0 };
	struct err e = { 0 };
	char name[256];

	snprintf(name, sizeof name, "%.*s", STR_ARG(m->name));
	if (!file_read_whole(m->fd, &text) || !config_parse(&fresh, buf_str(&text), name, &e)) {
		/* serve has checked these very octets: only a bug comes here */
		log_event("configuration-refused", "why=%s", log_quote(str_of(e.text)));
	} else {
		config_free(&r->config);
		r->config = fresh;
		r->configuration = m->number;
		role_take(r);
	}
	buf_free(&text);
	close(m->fd);
}

static void
role_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct role *r = owner;

	(void)from;
	switch (m->kind) {
	case IPC_file:
		must(r->hooks->file);
		r->hooks->file(r->owner, m->file.path, m->file.fd, (int)m->file.cause);
		if (m->file.fd >= 0)
			close(m->file.fd);
		break;
	case IPC_configure:
		role_configure(r, &m->configure);
		break;
	case IPC_peer:
		r->hooks->peer(r->owner, (enum ipc_role)m->peer.role, m->peer.index, m->peer.fd);
		break;
	case IPC_listener:
		must(r->hooks->listener);
		r->hooks->listener(r->owner, m->listener.door, m->listener.listen, m->listener.fd);
		break;
	case IPC_table:
		must(r->hooks->table);
		r->hooks->table(r->owner, m->table.slot, m->table.fd);
		break;
	case IPC_dialled:
		must(r->hooks->dialled);
		r->hooks->dialled(r->owner, m->dialled.ask, m->dialled.cause, m->dialled.fd);
		break;
	case IPC_mailbox:
		must(r->hooks->mailbox);
		if (!r->is_locked) {
			buf_reset(&r->mailbox);
			buf_add(&r->mailbox, m->mailbox.directory);
		}
		r->hooks->mailbox(r->owner, &m->mailbox);
		break;
	case IPC_seated:
		must(r->hooks->seated);
		r->hooks->seated(r->owner, m->seated.seat, m->seated.login);
		break;
	case IPC_caller:
		must(r->hooks->caller);
		r->hooks->caller(r->owner, m->caller.seat, m->caller.fd);
		break;
	case IPC_begin:
		r->hooks->begin(r->owner);
		ipc_send_ready(r->master, &(struct ipc_ready){ .fd = -1 });
		break;
	case IPC_drain:
		r->hooks->drain(r->owner);
		break;
	default: /* the channel is closed: without a master there is no station */
		role_exit(r, 1);
		break;
	}
}

int
role_run(struct role *r, enum ipc_role self, const struct role_hooks *hooks, void *owner)
{
	char title[16];

	snprintf(title, sizeof title, "ph-%s", ipc_role_name(self));
	prctl(PR_SET_NAME, title);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* no role outlives its master */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ,
		SIG_IGN); /* a write beyond the limit of its files is an error, not the end */
	/* A stop by the service manager reaches every process; master alone decides. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	log_open(ipc_role_name(self));
	sandbox_close_rings();
	*r = (struct role){ .loop = loop_open(),
		.hooks = hooks,
		.owner = owner,
		.self = self,
		.mailbox.max = 1024 };
	r->master = ipc_open(r->loop, MASTER_FD, self, ROLE_MASTER, role_came, r);
	loop_run(r->loop);
	return r->exit_code;
}

void
role_exit(struct role *r, int code)
{
	r->exit_code = code;
	loop_stop(r->loop);
}

void
role_lost(struct role *r, enum ipc_role peer, bool broke_rules)
{
	ipc_send_lost(r->master,
		&(struct ipc_lost){ .fd = -1, .role = (uint16_t)peer, .broke_rules = broke_rules });
}

void
role_lost_reader(struct role *r, unsigned seat, bool broke_rules)
{
	ipc_send_lost(r->master, &(struct ipc_lost){ .fd = -1,
					 .role = ROLE_READER,
					 .index = (uint16_t)seat,
					 .broke_rules = broke_rules });
}
