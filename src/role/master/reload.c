/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "base/log.h"
#include "role/master/house.h"
#include "role/master/start.h"

/* A reload is all or nothing: a file that is wrong, or that changes what only a restart can change, is refused, and the old one stays. */

/* What only a restart can change, by the names of the options: those that differ. */
static void
add_changes(struct buf *to, const struct master_plan *a, const struct master_plan *b)
{
	static const struct {
		const char *option;
		size_t place, size;
	} parts[] = {
		{ "state", offsetof(struct master_plan, state), sizeof a->state },
		{ "spool", offsetof(struct master_plan, spool), sizeof a->spool },
		{ "users", offsetof(struct master_plan, users), sizeof a->users },
		{ "queue.segment-size", offsetof(struct master_plan, segment_size),
			sizeof a->segment_size },
		{ "limits.memory", offsetof(struct master_plan, memory), sizeof a->memory },
		{ "tls.trust", offsetof(struct master_plan, trust), sizeof a->trust },
		{ "listen (doors and addresses)", offsetof(struct master_plan, doors_n),
			offsetof(struct master_plan, mail_roots_n) -
				offsetof(struct master_plan, doors_n) },
	};

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		/* plans begin as zero, padding too */
		if (memcmp((const char *)a + parts[i].place, (const char *)b + parts[i].place,
			    parts[i].size) != 0)
			buf_addf(to, "%s%s", to->n ? ", " : "", parts[i].option);
}

void
master_reload(struct master *m)
{
	struct buf changed = { .max = 256 };
	struct master_plan plan = { 0 };
	struct process *p;
	int fd = -1;

	if (!m->read_config(m->path, &plan, &fd)) {
		log_event("reload-refused", "kept=old");
		return;
	}
	add_changes(&changed, &plan, &m->plan);
	if (changed.n) {
		log_event("reload-refused",
			"kept=old changed=%s why=\"only a restart can apply that\"",
			log_quote(buf_str(&changed)));
		buf_free(&changed);
		close(fd);
		return;
	}
	close(m->config_fd);
	m->config_fd = fd;
	m->plan = plan;
	m->configuration++;
	house_prepare_mail(&m->plan);
	for (size_t at = 0; (p = master_next_process(m, &at));)
		start_hand_over_configuration(p);
	log_event("reloaded", "file=%s", log_quote(str_of(m->path)));
}
