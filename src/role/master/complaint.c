/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/complaint.h"

#include <signal.h>

#include "base/log.h"

enum {
	COMPLAINTS_MS = 60000, /* so long they are remembered */
	JOIN_MS = 20,
	LOST_MOST = 64, /* channels that one may lose to another in COMPLAINTS_MS */
};

void
complaint_end_liar(struct process *p, const char *why)
{
	if (!p->pid)
		return;
	log_event("fault", "role=%s says=station why=%s", ipc_role_name(p->role), why);
	kill(p->pid, SIGKILL);
}

/* After a moment, in which the death of either would have come to us: nobody is joined to who is dying, and one time is enough
 * where both have told. */
void
complaint_join_again(void *owner)
{
	struct master *m = owner;

	for (size_t i = 0; i < PROCESSES; i++)
		for (size_t k = 0; k < PROCESSES; k++) {
			struct process *a = &m->processes[i], *b = &m->processes[k];

			if (!a->complaints[k].is_cut)
				continue;
			a->complaints[k].is_cut = b->complaints[i].is_cut = false;
			start_join(a, b);
		}
}

void
complaint_forget(struct process *p)
{
	struct master *m = p->master;

	for (size_t i = 0; i < PROCESSES; i++)
		p->complaints[i].is_cut = m->processes[i].complaints[p - m->processes].is_cut =
			false;
}

void
complaint_take(struct process *p, struct process *other, bool broke_rules)
{
	struct complaint *c = &p->complaints[other - p->master->processes];
	int64_t now = loop_now_ms(p->master->loop);

	if (c->since_ms == 0 || now - c->since_ms > COMPLAINTS_MS)
		*c = (struct complaint){ .since_ms = now, .is_cut = c->is_cut };
	if (++c->lost > LOST_MOST) {
		complaint_end_liar(p, "loses-channels");
		return;
	}
	if (!broke_rules) {
		c->is_cut = true;
		loop_timer_set(p->master->join, JOIN_MS);
		return;
	}
	log_event("fault", "role=%s says=%s", ipc_role_name(other->role), ipc_role_name(p->role));
	kill(other->pid, SIGKILL);
	if (++c->faults > 1)
		complaint_end_liar(p, "accuses-again");
}
