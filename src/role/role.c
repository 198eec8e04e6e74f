/* SPDX-License-Identifier: Apache-2.0 */
#include "role/role.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

enum { MASTER_FD = 3, CONFIG_MAX = 1024 * 1024 };

/* The octets of a sealed memfd as text in *to; false when it is not what master hands out. */
static bool
sealed_text(int fd, struct buf *to)
{
	struct stat st;
	char *p;

	if (fstat(fd, &st) != 0 || st.st_size < 0 || st.st_size > CONFIG_MAX)
		return false;
	p = buf_room(to, (size_t)st.st_size);
	if (!p || pread(fd, p, (size_t)st.st_size, 0) != st.st_size)
		return false;
	buf_grew(to, (size_t)st.st_size);
	return true;
}

static void
role_configure(struct role *r, const struct ipc_configure *m)
{
	struct buf text = { .max = CONFIG_MAX };
	struct config fresh = { 0 };
	struct err e = { 0 };
	char name[256];

	snprintf(name, sizeof name, "%.*s", STR_ARG(m->name));
	if (!sealed_text(m->fd, &text) || !config_parse(&fresh, buf_str(&text), name, &e)) {
		/* serve has checked these very octets: only a bug comes here */
		log_event("configuration-refused", "why=%s", log_quote(str_of(e.text)));
	} else {
		config_free(&r->config);
		r->config = fresh;
		r->hooks->configured(r->owner);
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
	case IPC_configure:
		role_configure(r, &m->configure);
		break;
	case IPC_peer:
		r->hooks->peer(r->owner, (enum ipc_role)m->peer.role, m->peer.index, m->peer.fd);
		break;
	case IPC_listener:
		must(r->hooks->listener);
		r->hooks->listener(r->owner, m->listener.door, m->listener.name, m->listener.fd);
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
	/* A Ctrl-C, a closed terminal and a stop by the service manager reach every process; master alone decides. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	log_open(ipc_role_name(self));
	*r = (struct role){ .loop = loop_open(), .hooks = hooks, .owner = owner, .self = self };
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
		&(struct ipc_lost){ .fd = -1, .role = (uint8_t)peer, .broke_rules = broke_rules });
}
