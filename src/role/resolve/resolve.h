/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVE_RESOLVE_H
#define RESOLVE_RESOLVE_H

#include "base/list.h"
#include "role/resolve/ours.h"
#include "role/resolve/resolver.h"
#include "role/role.h"

/* Roads under way at once: the thousand of the queue, and those that people ask for. More wait in the channel. */
enum { ERRANDS_MAX = 1100 };
/* Questions about clients at once: receive asks for less; more are answered with "unknown". */
enum { INQUIRIES_MAX = 8192 };

struct resolve {
	struct role role;
	struct ipc *queue, *receive;
	struct resolver *resolver; /* NULL: the file's section cannot be used; `refusal` says why */
	struct err refusal;
	struct buf section; /* what `resolver` was made of */
	struct ours ours;
	struct list errands; /* struct errand */
	unsigned errands_n;
	struct list inquiries; /* struct inquiry */
	unsigned inquiries_n;
	struct list_check *checks; /* of the lists that gate.dnsbl names */
	size_t checks_n;
	bool has_begun;
	int64_t refused_ms; /* a list last said that it does not answer us; 0: none has */
};

/* ── errand.c: one road under way; it ends by itself in `hops` ── */
void errand_begin(struct resolve *r, const struct ipc_road *m);
void errand_pause_all(struct resolve *r);  /* nobody asks anything any more, until … */
void errand_resume_all(struct resolve *r); /* … each begins anew, by the settings of now */
void errand_drop_all(struct resolve *r);

/* ── client.c: what the DNS says of a client; it ends by itself in `answer` ── */
void client_begin(struct resolve *r, const struct ipc_question *m);
void client_end_all(struct resolve *r); /* with "unknown" */

/* ── lists.c: whether the lists of gate.dnsbl are lists; what is wrong goes into the log, once a call ── */
void lists_check(struct resolve *r);
void lists_end(struct resolve *r); /* nothing more is said */

int resolve_role(void); /* the process's life; its exit code */

#endif
