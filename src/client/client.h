/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <posthouse.h>

#include "base/arena.h"
#include "io/stream.h"
#include "message/compose.h"
#include "smtp/client.h"

/*
 * What the files of libposthouse know of each other.
 *
 *   mail.c     a mail: its fields, recipients, results; the plan of its message
 *   body.c     the octets of its message, in pieces, from memory and files
 *   core.c     one mail after another through smtp/client: no socket, no clock (ph_core)
 *   way.c      what a URL says
 *   session.c  a core with a connection: connect, TLS, move octets, watch the time
 *   pool.c     many mails over several sessions
 */

/* ── mail.c ── */

enum {
	CLIENT_MAIL_MEMORY_MAX = 256 << 20, /* octets of one mail's fields and texts */
	CLIENT_MESSAGE_MAX = 1 << 30,	    /* octets of a finished message; */
};

struct recipient {
	struct str address; /* as on the wire */
	struct ph_result result;
	char enhanced[20];
};

/* Octets that the caller keeps, or a file that is read as it is sent. */
struct source {
	struct str data;
	const char *path; /* NULL: data */
	uint64_t size;	  /* of the file, when it was named */
};

struct ph_mail {
	const struct ph_memory *memory; /* NULL: the C library's */
	struct arena arena;		/* every text of the mail */
	struct err error;		/* the first thing that was wrong */
	struct compose compose;
	bool is_finished; /* a message of the caller's, in `finished` */
	struct source finished;
	bool has_return_path;
	struct str return_path; /* as on the wire */
	struct recipient *recipients;
	size_t recipients_n, recipients_room;
	struct str *wire; /* their addresses, as smtp/client wants them */
	struct smtp_outcome *outcomes;
	bool needs_utf8; /* for an address of the envelope */

	/* made by mail_prepare */
	bool is_prepared;
	struct compose_plan plan;
	uint64_t size;
	bool has_8bit, needs_chunking;
	struct buf finished_octets;
	struct str *to; /* of the header */
	size_t to_room;
	char message_id[320];
};

/* Everything that can be wrong is found here, before a word is said. */
bool mail_prepare(struct ph_mail *m);
void mail_begin_results(struct ph_mail *m);
/* What smtp/client says of recipients [begin, end). words: of the last reply. */
void mail_note_outcomes(
	struct ph_mail *m, size_t begin, size_t end, struct str words, bool may_be_delivered);
void mail_settle_rest(struct ph_mail *m, const struct err *e, enum smtp_stage stage);
enum ph_status mail_status(const struct ph_mail *m);

/* ── core.c ── */

struct ph_core {
	const struct ph_memory *memory;
	struct arena arena;
	struct smtp_client smtp;
	struct smtp_client_settings settings;
	bool has_begun;
	struct ph_mail *mail;	      /* under way */
	struct smtp_client_mail part; /* up to SMTP_CLIENT_RECIPIENTS_MAX of its recipients */
	size_t begin, end;	      /* which */
	struct compose_reader *reader;
	size_t given; /* octets of a finished message */
	char error[256];
};

void core_begin(struct ph_core *c); /* settings are complete */

/* ── way.c ── */

struct way {
	char host[256], port[8];
	char path[108]; /* of a UNIX socket; then host is empty */
	char user[256];
	bool is_smtps, is_lmtp;
};

bool way_parse(struct way *way, struct str url, struct err *e);

#endif
