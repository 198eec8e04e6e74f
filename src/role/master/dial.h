/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_MASTER_DIAL_H
#define ROLE_MASTER_DIAL_H

#include "io/ipc.h"
#include "role/master/master.h"

/* A connection for who asks for one: begun, not waited for. Only to the content filters of the plan, and only for who knows
 * them by the same configuration; ESTALE to others. */
void dial(const struct master_plan *plan, uint32_t configuration, struct ipc *who,
	const struct ipc_dial *asked);

#endif
