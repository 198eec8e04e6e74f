/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMTP_MILTER_CORE_H
#define SMTP_MILTER_CORE_H

#include "smtp/milter.h"

/* What the two files of Milter share; nobody else includes this. milter.c has the laws and the stages' drawing. */

enum stage { OFFER, CLIENT, HELLO, SENDER, RECIPIENT, DATA, HEADER, END_OF_HEADER, BODY, END };

/* ── what both sides may agree upon in their offers ── */

enum { VERSION_LEAST = 2, VERSION_MOST = 6 };

enum action {
	MAY_ADD_HEADERS = 0x01,
	MAY_CHANGE_BODY = 0x02,
	MAY_ADD_RECIPIENTS = 0x04,
	MAY_DELETE_RECIPIENTS = 0x08,
	MAY_CHANGE_HEADERS = 0x10,
	MAY_QUARANTINE = 0x20,
	MAY_CHANGE_SENDER = 0x40,
	MAY_ADD_WITH_PARAMETERS = 0x80,
	ACTIONS = 0xff,
};

enum { /* of the protocol's steps, in the filter's offer */
	SKIPS_BODY = 0x400,
	KEEPS_BLANK = 0x100000, /* header values come and go with the blank behind the colon */
	/* all that the stages of milter.c name, and those two; not 0x800: recipients that we refused are not told */
	STEPS = 0x1ff7ff,
};

/* ── milter.c ── */
void milter_answered(struct milter *m, enum milter_verdict verdict); /* the question */
bool milter_fail(struct milter *m, const char *what);		     /* for good; false */

/* ── milter_answer.c ── */
/* Takes one packet of the filter. False: it is not yet there as a whole. */
bool milter_hear(struct milter *m);

#endif
