/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"

/* Commands on state/control: whoever may open that socket may ask. The answer is one `item` a
 * recipient, then `end`. */

enum {
	CONTROLS_MOST = 16,
	WAITING_MOST = 1000, /* packets on their way to a command */
	AGAIN_MS = 5,
	PATIENCE_MS = 10000, /* with an index that is not whole yet */
};

struct control {
	struct list link;
	struct queue *queue;
	struct ipc *channel;
	struct buf ids; /* of the mails to tell of: a snapshot, told as fast as the command reads */
	size_t told;	/* octets of ids */
	uint32_t recipient; /* of the mail that is being told */
	struct ipc_end end;
	struct loop_timer *again, *patience;
	struct buf prefix; /* of the ids that are asked for */
	bool is_waiting;   /* for the index to be whole */
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
	loop_timer_close(&(*c)->again);
	loop_timer_close(&(*c)->patience);
	buf_free(&(*c)->ids);
	buf_free(&(*c)->prefix);
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
send_item(struct control *c, const struct mail *mail, uint32_t i)
{
	const struct recipient *r = &mail->recipients[i];

	ipc_send_item(
		c->channel, &(struct ipc_item){ .fd = -1,
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

static void
control_go_on(void *owner)
{
	struct control *c = owner;

	while (c->told < c->ids.n && ipc_waiting(c->channel) < WAITING_MOST) {
		struct mail *mail = map_get(
			&c->queue->mails, str_part(buf_str(&c->ids), c->told, sizeof mail->id));

		if (mail && c->recipient < mail->recipients_n) {
			send_item(c, mail, c->recipient++);
			c->end.recipients++;
			continue;
		}
		c->end.mails += c->recipient > 0; /* none: settled meanwhile */
		c->recipient = 0;
		c->told += sizeof mail->id;
	}
	if (c->told < c->ids.n)
		loop_timer_set(c->again, AGAIN_MS);
	else
		ipc_send_end(c->channel, &c->end);
}

static void
control_list(struct control *c)
{
	struct str prefix = buf_str(&c->prefix);
	char id[MAIL_ID_TEXT];
	struct mail *mail;

	c->is_waiting = false;
	buf_reset(&c->ids);
	c->told = 0;
	c->recipient = 0;
	c->end = (struct ipc_end){ .fd = -1, .is_partial = !queue_is_whole(c->queue) };
	for (size_t i = 0; (mail = map_next(&c->queue->mails, &i));)
		if (str_starts_nocase(str_of(mail_id_text(mail->id, id)), prefix))
			buf_add(&c->ids, (struct str){ (const char *)&mail->id, sizeof mail->id });
	control_go_on(c);
}

static void
control_patience_ends(void *owner)
{
	struct control *c = owner;

	if (c->is_waiting)
		control_list(c);
}

/* A list that lacks what the log still holds would be taken for "all delivered". */
void
control_index_is_whole(struct queue *q)
{
	list_each (at, &q->controls) {
		struct control *c = list_of(at, struct control, link);

		if (c->is_waiting)
			control_list(c);
	}
}

static void
control_ask(struct control *c, struct str prefix)
{
	buf_reset(&c->prefix);
	buf_add(&c->prefix, prefix);
	c->is_waiting = !queue_is_whole(c->queue);
	if (c->is_waiting)
		loop_timer_set(c->patience, PATIENCE_MS);
	else
		control_list(c);
}

static void
control_came(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct control *c = owner;

	(void)from;
	if (m->kind == IPC_list)
		control_ask(c, m->list.id);
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
	c->ids.max = SIZE_MAX;
	c->prefix.max = IPC_TEXT_MAX;
	c->patience = loop_timer_open(d->queue->role.loop, control_patience_ends, c);
	c->again = loop_timer_open(d->queue->role.loop, control_go_on, c);
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
