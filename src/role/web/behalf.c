/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include <unistd.h>

/*
 * On whose behalf a connection speaks: a proxy that the file names says so in front of everything, TLS too. From then on the guest is that client, to all limits;
 * that the proxy is near says nothing of it.
 */

static void
guest_become(struct guest *g, const struct preface *said)
{
	if (said->names_client) {
		config_make_socket(&said->client, said->port, &g->at);
		g->at_n = said->client.family == AF_INET ? sizeof(struct sockaddr_in)
							 : sizeof(struct sockaddr_in6);
		guest_know_address(g);
	}
	g->idle_ms = loop_now_ms(g->web->role.loop);
	list_remove(&g->link);
	list_append(&g->web->guests, &g->link);
}

static void
behalf_ready(void *owner, int events)
{
	struct guest *g = owner;

	(void)events;
	switch (preface_read(&g->preface, g->fd, g->client)) {
	case PROXY_MORE:
		break;
	case PROXY_OK:
		loop_watch_close(&g->awaits_proxy);
		guest_become(g, &g->preface);
		guest_welcome(g);
		break;
	case PROXY_BAD:
		guest_end(g);
		break;
	}
}

void
behalf_open(struct guest *g)
{
	g->awaits_proxy = loop_watch_open(g->web->role.loop, g->fd, behalf_ready, g);
	loop_watch_set(g->awaits_proxy, LOOP_READ);
}

void
behalf_close(struct guest *g)
{
	loop_watch_close(&g->awaits_proxy);
	close(g->fd);
	g->fd = -1;
}

bool
behalf_is_late(const struct guest *g, int64_t now_ms)
{
	if (now_ms - g->idle_ms <= PREFACE_MOST_MS)
		return false;
	preface_log_missing(&g->preface, g->client, now_ms, &g->web->proxy_missed_ms);
	return true;
}
