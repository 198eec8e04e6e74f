/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <posthouse.h>
#include <stdarg.h>
#include <sys/types.h>

#include "base/arena.h"
#include "client/way.h"
#include "io/stream.h"
#include "message/compose.h"
#include "smtp/client.h"
#include "smtp/data.h"

/*
 * What the files of libposthouse know of each other.
 *
 *   mail.c         a mail as it is written: fields, parts
 *   mailboxes.c    who it is from and for
 *   prepare.c      its envelope, and the plan of its message, before it is sent
 *   body.c         the octets of its message, in pieces, from memory and files
 *   result.c       what became of its recipients
 *   text.c         words for people, clean
 *   core.c         one mail after another through smtp/client: no socket, no clock (ph_core)
 *   way.c          what a URL says
 *   settings.c     what a session was told: who, to whom, how
 *   session.c      a core with a connection: connect, move octets, watch the time
 *   session_tls.c  its handshake, and whether a password may follow
 *   connect.c      from a way to a connection
 *   trace.c        the dialogue for people's eyes
 *   pool.c         many mails over several sessions
 */

/* ── mail.c ── */

enum {
	CLIENT_MAIL_MEMORY_MAX = 256 << 20, /* octets of one mail's fields and texts */
};

/* The caller's memory as base knows it; NULL: the C library's, which may refuse here as any other. */
struct memory client_memory(const struct ph_memory *given);

struct recipient {
	struct str address; /* as on the wire */
	struct str said;    /* as a field had it */
	struct ph_result result;
};

/* Octets that the caller keeps, or a file that is read as it is sent. */
struct source {
	struct str data;
	const char *path; /* NULL: data */
	/* of the file, when it was named */
	uint64_t size;
	dev_t device;
	ino_t inode;
	int64_t changed_ns;
};

struct mailboxes {
	struct str *p;
	size_t n;
};

struct ph_mail {
	struct memory memory;
	struct arena arena;   /* every text of the mail */
	struct arena answers; /* texts of its results */
	struct err error;     /* the first thing that was wrong */
	char remark[256]; /* what was wrong with the last use of the mail, which stays as it is */
	/* who has it under way */
	struct ph_pool *pool; /* with a session or without one yet */
	struct ph_session *session;
	struct ph_core *core;
	struct ph_mail *behind; /* in a pool's line */

	/* the message: as it is told … */
	struct compose compose;
	struct mailboxes to, cc, reply_to;
	struct compose_field *fields;
	struct compose_part *parts;
	struct source *sources; /* of the parts */
	bool has_date;
	char message_id[320];
	/* … or finished */
	bool is_finished;
	struct source finished;

	/* the envelope */
	bool has_return_path, needs_utf8;
	struct str return_path; /* as on the wire */
	struct recipient *recipients;
	size_t recipients_n;
	unsigned notify;
	char ret;
	struct str envelope_id;
	bool requires_tls;
	uint64_t hold_s;

	/* made by mail_prepare */
	bool is_prepared, has_envelope;
	struct compose_plan plan;
	uint64_t size;
	bool has_8bit, needs_chunking;
	bool has_utf8_header; /* a finished message, RFC 6532 */
	struct str *wire;     /* the recipients' addresses, as smtp/client wants them */
	struct smtp_outcome *outcomes;
	struct smtp_client_dsn *dsn;
};

bool mail_fail(struct ph_mail *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool mail_is_underway(const struct ph_mail *m);
/* May it be taken under way? Else its remark says what it is. */
bool mail_is_free(struct ph_mail *m);
bool mail_no_memory(struct ph_mail *m);
bool mail_keep(struct ph_mail *m, struct str text, struct str *copy); /* which ends in NUL */
/* The same of what stands in a field. */
bool mail_keep_field(struct ph_mail *m, const char *what, const char *text, struct str *copy);
/* What begins every call that writes: is there still something to write into? */
bool mail_is_open(struct ph_mail *m) __attribute__((nonnull));
/* Room for one more behind n, in a table whose room doubles. NULL: no memory, and p is as it was. */
void *mail_grow(struct ph_mail *m, void *p, size_t n, size_t size);

/* ── prepare.c ── */

/* Everything that can be wrong is found here, before a word is said. */
bool mail_prepare_message(struct ph_mail *m);
bool mail_prepare(struct ph_mail *m); /* and whom it goes to */

/* ── body.c ── */

struct source_reader {
	const struct source *source;
	int fd;
	uint64_t at; /* octets that were read */
	char octets[COMPOSE_FEED_MAX];
};

struct body {
	const struct ph_mail *mail;
	uint64_t given; /* octets so far */
	struct compose_reader reader;
	struct data data; /* of a finished message */
	struct str rest;  /* of what was read of it */
	bool is_over;
	struct source_reader source;
};

enum body_step { BODY_PIECE, BODY_OVER, BODY_FAILED };

void body_begin(struct body *b, const struct ph_mail *m); /* a zeroed or an ended one */
enum body_step body_next(struct body *b, struct str *piece, struct err *e);
void body_end(struct body *b);

bool source_look(struct ph_mail *m, struct source *s); /* is the file there, and how large? */
/* What compose and the envelope must know of a source's octets: all of it is read once. */
bool source_scan(struct ph_mail *m, const struct source *s, struct data *facts);
bool body_measure(struct ph_mail *m); /* size, has_8bit, needs_chunking of a finished message */

/* ── result.c ── */

void result_begin(struct ph_mail *m);
void result_clear(struct recipient *r); /* not tried yet */
/* PH_INVALID, with why, for everybody but those who have the mail. */
void result_refuse(struct ph_mail *m, const char *why);
/* What smtp/client says of recipients [begin, end). words: of the last reply. */
void result_note(struct ph_mail *m, size_t begin, size_t end, struct str words);
void result_settle_rest(struct ph_mail *m, const struct err *e, enum smtp_stage stage);
bool result_is_settled(const struct ph_mail *m);   /* since result_begin */
bool result_is_there(const struct ph_result *r);   /* sent, or perhaps */
bool result_may_be_there(const struct ph_mail *m); /* with one recipient at least */
enum ph_status result_status(const struct ph_mail *m);

/* ── text.c ── */

enum { TEXT_ERROR_MAX = 199 };

/* Adds UTF-8 as it is; an octet that is none becomes \xHH, a control character '?'. It ends, between two characters, where `to` is full. */
void text_add(struct buf *to, struct str words);
void text_copy(char *to, size_t size, const char *words); /* and a NUL */
/* The first error sticks; false in any case. */
bool text_fail(struct err *e, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
void text_wipe(struct str *secret); /* of memory that is ours */

/* ── core.c ── */

/* What one transaction has of a mail: up to SMTP_CLIENT_RECIPIENTS_MAX of its recipients. */
struct part {
	struct ph_mail *mail;
	size_t begin, end;
	struct smtp_client_mail smtp;
};

struct ph_core {
	struct memory memory;
	struct arena arena;
	struct smtp_client smtp;
	struct smtp_client_settings settings;
	bool has_begun;
	struct part parts[2]; /* the one under way, and one ahead of its time */
	int now;
	bool has_ahead;
	struct ph_mail *mail; /* under way */
	struct ph_mail *next; /* may leave behind its dot */
	struct body *body;
	struct str password, token; /* its own copies */
	const char *(*on_token)(void *context, bool again);
	void *token_context;
	char nonce[32];
	char error[256];
};

struct ph_core *core_new(struct str hostname, unsigned flags, const struct memory *memory);
/* Gives it a mail that is prepared and nobody else's. False: it waits for none. */
bool core_mail(struct ph_core *c, struct ph_mail *m);
/* A mail that is about to be freed. True: the dialogue was about it already, and is over. */
bool core_forget(struct ph_core *c, const struct ph_mail *m);

/* ── trace.c ── */

struct trace {
	void (*hook)(void *context, char who, const char *line, size_t n);
	void *context;
	struct buf ours, theirs; /* lines that are not whole yet */
	uint64_t chunk;		 /* octets of BDAT still to come */
	uint64_t hidden;	 /* octets of the message that were not shown */
};

/* What leaves: the first octets of c's output, before smtp_client_sent. */
void trace_ours(struct trace *t, const struct smtp_client *c, struct str octets);
void trace_theirs(struct trace *t, struct str octets);
void trace_happened(struct trace *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void trace_begin(struct trace *t); /* of a connection */
void trace_free(struct trace *t);

/* ── settings.c, session.c, session_tls.c, connect.c ── */

/* What a session was told. Those of a pool look at their model's. */
struct settings {
	struct way way;
	char hostname[256];
	struct str password, token;
	const char *(*on_token)(void *context, bool again);
	void *token_context;
	unsigned mechanisms; /* 0: all */
	enum ph_tls tls;
	struct tls *terms; /* NULL: not needed yet */
	int patience_ms;   /* 0: what the RFC says */
	void (*on_trace)(void *context, char who, const char *line, size_t n);
	void *trace_context;
	struct err error; /* the first that was wrong */
};

enum session_state { SESSION_IDLE, SESSION_CONNECTING, SESSION_TALKING, SESSION_SHAKING };

struct ph_session {
	struct memory memory;
	struct arena arena;
	struct settings own, *set;
	enum session_state state;
	struct ph_mail *mail; /* under way; NULL: none, or quitting */
	struct ph_mail *next; /* may leave behind its dot */
	struct ph_core *core;
	struct stream stream;
	struct addrinfo *addresses, *address; /* those that were found; the next to be tried */
	int problem;			      /* errno of the last one tried */
	unsigned connection;		      /* how many there were */
	int given_fd;			      /* of ph_connected */
	bool is_local;			      /* the caller named this machine */
	bool is_ready;			      /* the connection waits for a mail */
	bool was_kept;			      /* it had one before */
	bool goes_clear;		      /* TLS was tried and did not work */
	bool wants_clear;		      /* see ph_session_wants_clear */
	int want;
	int64_t deadline_ms;
	uint64_t progress; /* of the core, when the deadline was set */
	struct buf facts;
	struct trace trace;
	char error[256];
};

struct ph_session *session_new_like(struct ph_session *model);
/* ph_start of a mail that is prepared and that nobody else has. */
enum ph_status session_start(struct ph_session *s, struct ph_mail *m);
void session_forget(struct ph_session *s, const struct ph_mail *m); /* see core_forget */
/* The mail behind the one under way, NULL: none. It is the session's only when session.mail says so. */
void session_offer(struct ph_session *s, struct ph_mail *next);
int64_t session_now_ms(void);
bool settings_open_terms(struct settings *set, struct err *e);
void session_wait(struct ph_session *s, int want, int64_t patience_ms);
/* TLS begins, and goes on. False: it waits. What fails, the core knows. */
bool session_secure(struct ph_session *s);
bool session_shake(struct ph_session *s);

/* The first address that takes a connection. False: e, and there is none. */
bool connect_begin(struct ph_session *s, struct err *e);
/* Done? Else the next one is tried. False: e. */
bool connect_step(struct ph_session *s, struct err *e);

/* ── pool.c ── */

void pool_forget(struct ph_pool *p, struct ph_mail *m); /* see core_forget */

#endif
