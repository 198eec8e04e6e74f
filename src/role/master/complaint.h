/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_MASTER_COMPLAINT_H
#define ROLE_MASTER_COMPLAINT_H

#include "role/master/start.h"

/*
 * A role says that it has lost its channel to a peer. When the channel only broke, the two are joined anew. When the peer
 * broke the rules, the peer ends; but who was taken over could have its peers killed for ever by accusing them: the second
 * time within a minute the accuser ends as well, and so does who loses channels without end.
 */
void complaint_take(struct process *p, struct process *other, bool broke_rules);
void complaint_join_again(void *master); /* when master.join is due */
void complaint_forget(
	struct process *p); /* it begins again: whoever waits to be joined to it is so then */
/* It says what no role of ours says. */
void complaint_end_liar(struct process *p, const char *why);

#endif
