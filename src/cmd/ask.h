/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_ASK_H
#define CMD_ASK_H

#include "base/buf.h"
#include "io/ipc.h"

/* Orders to the station's queue on <state>/control, and what it answers, for the commands of an operator. */

struct ask {
	const char *command; /* for messages: "posthouse queue" */
	struct loop *loop;
	struct ipc *channel;
	/* Each answer but the last; texts are valid during the call only. */
	void (*came)(void *owner, const struct ipc_message *m);
	void *owner;
	struct ipc_end end; /* the last; without its text */
	bool is_answered, is_refused;
};

/* Reads the configuration and connects. An exit code: on failure the person was told why. */
int ask_open(struct ask *a, const char *config_path);
void ask_close(struct ask *a);
/* One order, until its last answer. EX_OK also with end.is_partial: ask_partial says so to the person. */
int ask_order(struct ask *a, const struct ipc_order *o);
int ask_partial(const struct ask *a);

/* ── for people ── */

/* Strangers' words on a terminal: what is no plain text becomes '?': controls (C0, C1), what turns the direction of
 * writing, what is not UTF-8. */
void ask_add_plain(struct buf *to, struct str s);
void ask_print_plain(struct str s);
/* What was said, as it was said: "450 4.2.1 mailbox is busy". */
void ask_print_said(const struct err *e);
bool ask_scan_enhanced(struct str *in, struct enhanced *e); /* "4.2.1"; classes 2, 4 and 5 alone */
const char *ask_time(uint64_t ms, char text[32]);	    /* "2026-11-23T05:19:00Z"; 0: "" */
const char *ask_size(uint64_t octets, char text[32]);	    /* "2.3 MB" */
const char *ask_duration(int64_t ms, char text[32]);	    /* "2 h 3 min" */

/* `,"name":"text"` */
void ask_json_text(struct buf *to, const char *name, struct str value);
void ask_json_time(struct buf *to, const char *name, uint64_t ms);
void ask_json_number(struct buf *to, const char *name, uint64_t value);

#endif
