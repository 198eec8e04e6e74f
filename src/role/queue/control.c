/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"

/* Commands on state/control: whoever may open that socket may ask. The answer is one `item` a
 * recipient, then `end`. */

enum { CONTROLS_MOST = 16 };

struct control {
	struct list link;
	struct queue *queue;
	struct ipc *channel;
};

struct control_door {
	struct queue *queue;
	struct loop_watch *watch;
	int fd;
};

static void
control_free(struct control **c)
{
	ipc_close(&(*c)->channel);
	list_remove(&(*c)->link);
	free(*c);
	*c = NULL;
}

static char
state_letter(const struct recipient *r)
{
	switch (r->state) {
	case RECIPIENT_NEW:
		return 'W';
	case RECIPIENT_WAITING:
		return r->last ? 'D' : 'W';
	case RECIPIENT_BOUNCING:
	case RECIPIENT_FAILED:
		return 'F';
	case RECIPIENT_DELIVERED:
		return 'O';
	case RECIPIENT_EXPANDED:
		return 'E';
	}
	return '?';
}

static void
send_items(struct control *c, const struct mail *mail)
{
	for (uint32_t i = 0; i < mail->recipients_n; i++) {
		const struct recipient *r = &mail->recipients[i];

		ipc_send_item(c->channel,
			&(struct ipc_item){ .fd = -1,
				.id = mail->id,
				.arrived_ms = (uint64_t)mail->arrived_ms,
				.size = mail->size,
				.recipient = i,
				.state = (uint8_t)state_letter(r),
				.tries = r->tries,
				.due_ms = (uint64_t)r->due_ms,
				.reverse_path = mail->reverse_path,
				.address = r->address,
				.host = r->host,
				.words = r->last ? str_of(r->last->text) : (struct str){ 0 } });
	}
}

static void
control_list(struct control *c, struct str prefix)
{
	struct ipc_end end = { .fd = -1 };
	char id[MAIL_ID_TEXT];
	struct mail *mail;

	for (size_t i = 0; (mail = map_next(&c->queue->mails, &i));) {
		if (!str_starts_nocase(str_of(mail_id_text(mail->id, id)), prefix))
			continue;
		send_items(c, mail);
		end.mails++;
		end.recipients += mail->recipients_n;
	}
	ipc_send_end(c->channel, &end);
}

static void
control_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct control *c = owner;

	(void)from;
	if (m->kind == IPC_list)
		control_list(c, m->list.id);
	else
		control_free(&c);
}

static void
control_ready(void *owner, int events)
{
	struct control_door *d = owner;
	int fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct control *c;
	size_t n = 0;

	(void)events;
	if (fd < 0)
		return;
	list_each (at, &d->queue->controls)
		n++;
	if (n >= CONTROLS_MOST) {
		close(fd);
		return;
	}
	c = calloc(1, sizeof *c);
	must(c);
	c->queue = d->queue;
	c->channel = ipc_open(d->queue->role.loop, fd, ROLE_QUEUE, ROLE_COMMAND, control_came, c);
	list_append(&d->queue->controls, &c->link);
}

void
control_listener(struct queue *q, int fd)
{
	struct control_door *d = calloc(1, sizeof *d);

	must(d);
	*d = (struct control_door){ .queue = q, .fd = fd };
	d->watch = loop_watch_open(q->role.loop, fd, control_ready, d);
	loop_watch_set(d->watch, LOOP_READ);
}
