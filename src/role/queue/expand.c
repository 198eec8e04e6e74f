/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include "base/must.h"
#include "smtp/address.h"

/*
 * A recipient of ours: vault says what the address stands for. One mailbox: it goes there itself. Anything else
 * becomes recipients of their own. At most QUESTIONS_MAX questions are under way, in turns (turns.h); a vault that
 * was restarted is asked them again.
 */

enum { QUESTIONS_MAX = 1000 };

/* A recipient that vault is asked about. */
struct ask {
	uint64_t number; /* the key of queue.asked */
	uint32_t r;
	struct asker *asker;
};

static struct str
ask_number(const void *member)
{
	const struct ask *ask = member;

	return (struct str){ (const char *)&ask->number, sizeof ask->number };
}

void
expand_start(struct queue *q)
{
	q->asked.key_of = ask_number;
	turns_begin(&q->expanding, QUESTIONS_MAX);
}

static void
ask_vault(struct queue *q, const struct ask *ask)
{
	struct arena arena = { .max = 2 * ADDRESS_PATH_MAX };
	struct address a; /* as vault knows it: without the quotes of the wire */

	buf_reset(&q->packed);
	recipient_address(q, ask->r, &q->packed);
	if (address_parse(buf_str(&q->packed), &arena, true, &a) != ADDRESS_OK) {
		a.local = recipient_local(q, ask->r); /* "postmaster" alone */
		a.domain = recipient_domain(q, ask->r);
	}
	ipc_send_expand(q->vault,
		&(struct ipc_expand){
			.fd = -1, .ask = ask->number, .local = a.local, .domain = a.domain });
	arena_free(&arena);
}

static void
expand_more(struct queue *q)
{
	struct asker *asker;

	while (q->vault && (asker = turns_next(q, &q->expanding))) {
		struct ask *ask = calloc(1, sizeof *ask);

		must(ask);
		*ask = (struct ask){
			.number = ++q->numbers, .r = asker->recipients.first, .asker = asker
		};
		recipient_leave(q, ask->r);
		turns_started(&q->expanding, asker);
		recipient_set_state(q, ask->r, RECIPIENT_ASKED);
		map_put(&q->asked, ask);
		ask_vault(q, ask);
	}
}

void
expand_find(struct queue *q, uint32_t r)
{
	struct asker *asker =
		turns_of(q, &q->expanding, mail_of(q, recipient_of(q, r)->mail)->payer);

	chain_append(q, &asker->recipients, r);
	recipient_of(q, r)->line = asker->chain;
	turns_ready(&q->expanding, asker);
	expand_more(q);
}

void
expand_vault_is_back(struct queue *q)
{
	struct ask *ask;

	for (size_t at = 0; (ask = map_next(&q->asked, &at));)
		ask_vault(q, ask);
	expand_more(q);
}

/* One mailbox: the recipient itself goes there. Anything else becomes recipients of its own. */
static void
take_targets(struct queue *q, uint32_t r, struct str targets)
{
	struct str rest = targets, first = { 0 };

	if (!codec_scan_str(&rest, &first) || first.n < 2) {
		recipient_refuse(
			q, r, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "this address leads to nobody");
	} else if (rest.n == 0 && first.p[0] == 'M') {
		recipient_of(q, r)->due = intern_add(&q->texts, str_from(first, 1));
		schedule_add(q, r, q->mailboxes);
	} else if (!recipient_expanded(q, r, targets)) {
		recipient_refuse(q, r, ERR_PERMANENT, ERR_TOO_MANY_RECIPIENTS,
			"the aliases of this mail have more members than a mail may have "
			"recipients");
	}
}

static void
take_answer(struct queue *q, uint32_t r, const struct ipc_expanded *m)
{
	switch ((enum expanded_kind)m->kind) {
	case EXPANDED_TARGETS:
		take_targets(q, r, m->targets);
		break;
	case EXPANDED_UNKNOWN:
		recipient_refuse(q, r, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN, "no such mailbox here");
		break;
	case EXPANDED_MOVED:
		recipient_refuse(q, r, ERR_PERMANENT, ERR_MAILBOX_UNKNOWN,
			"this person has moved away and left no forwarding");
		break;
	case EXPANDED_LOOP:
		recipient_refuse(q, r, ERR_PERMANENT, ERR_LOOP,
			"the aliases of this address lead round in a circle");
		break;
	case EXPANDED_BUSY:
		recipient_refuse(q, r, ERR_TEMPORARY, ERR_MAILBOX_BUSY,
			"this mailbox takes no mail for the moment");
		break;
	}
}

void
expand_came(struct queue *q, const struct ipc_expanded *m)
{
	struct ask *ask =
		map_remove(&q->asked, (struct str){ (const char *)&m->ask, sizeof m->ask });
	uint32_t r, mail;

	if (!ask)
		return;
	r = ask->r;
	turns_ended(q, &q->expanding, ask->asker);
	free(ask);
	mail = recipient_of(q, r)->mail;
	recipient_set_state(q, r, RECIPIENT_NEW);
	if (!recipient_wished(q, r))
		take_answer(q, r, m);
	mail_check_settled(q, mail);
	expand_more(q);
	schedule_go(q);
}
