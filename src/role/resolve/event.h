/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVE_EVENT_H
#define RESOLVE_EVENT_H

#include "io/loop.h"

/* Our loop in the shape that libunbound drives its sockets and timers by. Lives longer than every context made of it. */
struct ub_event_base *event_base_open(struct loop *l);
void event_base_close(struct ub_event_base **base);

#endif
