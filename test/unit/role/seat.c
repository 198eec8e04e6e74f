/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <sys/socket.h>

#include "base/must.h"
#include "directory.h"
#include "role/queue/control.h"

/* A reader asks the queue about mails: it hears of its own login's, and of no other. */

struct house {
	struct queue *q;
	struct ipc *reader;
	char spool[64];
	struct ipc_end end;
	unsigned items;
};

static void
told(void *owner, struct ipc *from, struct ipc_message *m)
{
	struct house *h = owner;

	(void)from;
	assert_int_not_equal(m->kind, IPC_CLOSED);
	h->items += m->kind == IPC_item;
	if (m->kind != IPC_end)
		return;
	h->end = m->end;
	loop_stop(h->q->role.loop);
}

static int
set_up(void **state)
{
	struct house *h = calloc(1, sizeof *h);
	static struct queue queues[3]; /* a queue lives as long as its process */
	static unsigned queues_n;
	struct queue *q = &queues[queues_n++];
	int pair[2];

	must(h && queues_n <= 3);
	h->q = q;
	snprintf(h->spool, sizeof h->spool, "/tmp/posthouse-seat.XXXXXX");
	assert_non_null(mkdtemp(h->spool));
	q->role.loop = loop_open();
	q->role.config.spool = str_of(h->spool);
	q->role.config.queue.expire_ms = 3600 * 1000;
	list_init(&q->seats);
	index_begin(q);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	reader_peer(q, 3, pair[0]);
	h->reader = ipc_open(q->role.loop, pair[1], ROLE_READER, ROLE_QUEUE, told, h);
	*state = h;
	return 0;
}

static int
tear_down(void **state)
{
	struct house *h = *state;

	ipc_close(&h->reader);
	story_end(h->q);
	directory_remove(h->spool);
	free(h);
	return 0;
}

static struct mail_id
add(struct house *h, struct str payer, bool has_login, enum recipient_state recipient)
{
	struct mail_id id = mail_id_random();
	uint32_t mail = index_add_mail(h->q, &(struct mail){ .id = id,
						     .payer = intern_add(&h->q->texts, payer),
						     .has_login = has_login });
	uint32_t r = index_add_recipient(h->q, mail, S("bob@example.net"), false);

	recipient_set_state(h->q, r, recipient);
	return id;
}

static void
ask(struct house *h, enum order_verb verb, struct mail_id id)
{
	char text[MAIL_ID_TEXT];

	h->items = 0;
	ipc_send_order(h->reader,
		&(struct ipc_order){
			.fd = -1, .verb = (uint8_t)verb, .what = str_of(mail_id_text(id, text)) });
	loop_run(h->q->role.loop);
}

static void
hears_of_its_own(void **state)
{
	struct house *h = *state;

	reader_seated(h->q, 3, S("wei@example.org"));
	ask(h, ORDER_WHY, add(h, S("wei@example.org"), true, RECIPIENT_HELD));
	assert_int_equal(h->end.mails, 1);
	assert_int_equal(h->items, 1);
}

static void
hears_of_no_other(void **state)
{
	struct house *h = *state;
	struct mail_id other = add(h, S("bob@example.org"), true, RECIPIENT_HELD);
	struct mail_id nameless = add(h, S("wei@example.org"), false,
		RECIPIENT_HELD); /* a reverse-path of that name, no login */

	ask(h, ORDER_WHY, add(h, S(""), true, RECIPIENT_HELD)); /* before it is known who asks */
	assert_int_equal(h->end.mails, 0);
	reader_seated(h->q, 3, S("wei@example.org"));
	for (size_t i = 0; i < 4; i++) {
		ask(h, i % 2 ? ORDER_DROP : ORDER_WHY, i < 2 ? other : nameless);
		assert_int_equal(h->end.mails, 0);
		assert_int_equal(h->end.recipients, 0);
		assert_int_equal(h->items, 0);
	}
}

static void
what_is_away_is_not_called_back(void **state)
{
	static const enum recipient_state away[] = { RECIPIENT_ASKED, RECIPIENT_UNDER_WAY,
		RECIPIENT_BOUNCING, RECIPIENT_FAILED, RECIPIENT_DELIVERED, RECIPIENT_EXPANDED };
	struct house *h = *state;

	reader_seated(h->q, 3, S("wei@example.org"));
	for (size_t i = 0; i < sizeof away / sizeof *away; i++) {
		ask(h, ORDER_DROP, add(h, S("wei@example.org"), true, away[i]));
		assert_int_equal(h->end.mails, 1);
		assert_int_equal(h->end.recipients, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(hears_of_its_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hears_of_no_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_away_is_not_called_back, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
