/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_RECEIVE_FILTER_H
#define ROLE_RECEIVE_FILTER_H

#include "role/receive/receive.h"
#include "smtp/milter.h"

/*
 * Content filters of a session's mails (smtp/milter.h), in the order of the file. A session without filters has no
 * struct filters, and pays one pointer test a step.
 *
 * Our own rules come first, then the filters, then the yes. The functions that ask return WAIT, or NEXT with e: of
 * class ERR_NONE when no filter objects.
 */

enum filter_question {
	FILTER_NOTHING,
	FILTER_OFFER,
	FILTER_CLIENT,
	FILTER_HELLO,
	FILTER_SENDER, /* from here on a session's questions; those before are asked when they are needed */
	FILTER_RECIPIENT,
	FILTER_DATA,
	FILTER_MESSAGE,
};

enum link_state { LINK_CLOSED, LINK_DIALLING, LINK_OPEN };

/* The connection to one filter. */
struct filter_link {
	struct filters *of;
	char name[64], at[128]; /* the file's */
	uint8_t place;		/* in the file's list, which master has, too */
	enum config_down when_down;
	int64_t timeout_ms;
	bool only_strangers;

	enum link_state state;
	int fd;
	struct loop_watch *watch;
	struct loop_timer *timer; /* of the answer; of the next try to dial */
	uint64_t dial;		  /* what `dialled` names */
	int64_t dialling_since_ms;
	struct milter milter;
	enum filter_question said; /* last */
	bool is_heard;		   /* and answered */
	bool is_told;		   /* what the session asks now, was said */
	bool has_moved; /* something came or went since the timer was set, or it is off: waiting sets it */
	bool was_used; /* for an earlier mail: it may have been closed meanwhile, which is no failure */
	bool may_read; /* the loop says so: once a turn, so that a filter that never stops talking stops nobody */
	unsigned progress;

	bool is_out,
		is_down; /* no more questions about this mail; and it is not to be taken without its word */
	bool is_done; /* no more about this client: accepted, or `refusal` */
	struct err refusal;
};

struct filters {
	struct session *session;
	uint32_t configuration; /* that names them: role.configuration then */
	size_t n;
	struct filter_link links[CONFIG_FILTERS_MAX];
	struct milter_facts facts;
	char client_port[8], cipher_bits[8], id_text[MAIL_ID_TEXT];
	struct buf face; /* what the filters were told of the client: it may say another EHLO */
	struct buf sender, recipient;

	/* the question under way */
	bool is_asking;
	enum filter_question question;
	size_t at;	  /* whose answer is waited for */
	int64_t since_ms; /* it was asked; 0: not yet */
	struct err refusal;

	/* the mail */
	bool discards, quarantines;
	bool is_split, is_judged; /* header and body are apart; every filter has seen them */
	bool has_new_sender;	  /* in `new_sender` */
	bool has_separator;	  /* the empty line */
	struct buf text;	  /* as it comes */
	struct buf header, new_body, new_sender;
	struct str body; /* in `text` or `new_body` */
	uint64_t held; /* octets of it all and of what is to be changed, counted in receive.held */
	struct holder
		*holder; /* a stranger's network; NULL while nothing is held, and for all others */
	uint32_t flags;	 /* of the envelope: what the changes brought */
	size_t filled;	 /* octets of the body that the draft has */
	bool is_filling;
	struct loop_timer *pause; /* between two slices */
};

/* ── filter.c: the conversation ── */
enum turn filter_sender(struct session *s, bool is_stranger, struct err *e);
enum turn filter_recipient(struct session *s, struct err *e);
enum turn filter_data(struct session *s, struct err *e);
/* The message is complete. The draft holds what the filters made of it, and the transaction's envelope is theirs; or
 * filter_discards says that nothing shall be kept. */
enum turn filter_message(struct session *s, const struct header_facts *facts, struct err *e);
bool filter_is_asking(const struct session *s); /* s->filters may be NULL */
bool filter_discards(const struct session *s);
void filter_forget(struct session *s); /* the transaction is over */
void filter_close(struct session *s);

/* ── filter_link.c: one filter ── */
/* Until the question is answered, or the filter is out. */
enum turn filter_link_run(struct filter_link *l);
/* For want of something that this station lacks: it is no fault of the filter. */
void filter_link_unheard(struct filter_link *l, const char *why);
/* What needs no answer: as far as the socket takes it now. */
void filter_link_mention(struct filter_link *l);
void filter_link_close(struct filter_link *l);
void filter_dialled(struct receive *r, uint64_t dial, uint32_t cause, int fd);

/* ── filter_mail.c: the message while filters look at it ── */
bool filter_append(struct session *s, struct str piece, struct err *e);
bool filter_split(struct filters *f, const struct header_facts *facts, struct err *e);
/* Counts what is held now, and `more` that will follow at once. False: there is no memory for it. */
bool filter_hold(struct filters *f, uint64_t more);
/* What this filter wants changed. False: there is no memory for it, and nothing has changed. */
bool filter_amend(struct filter_link *l);
enum turn filter_fill(struct filters *f, struct err *e);
void filter_release(struct filters *f); /* memory of the message */
void filter_amend_envelope(const struct session *s, struct spool_envelope *envelope);

#endif
