/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMTP_DATA_H
#define SMTP_DATA_H

#include "base/str.h"

/*
 * The end-of-data law (RFC 5321 §4.1.1.4, §4.5.2): a message ends at CRLF.CRLF and nowhere else; a
 * line's first dot is taken away; CR and LF stand only together. This file alone decides where a
 * message ends, and is what smuggling has to beat. It works on slices: pieces of the input come out
 * in place, nothing is copied.
 */

enum data_event {
	DATA_MORE,  /* the input is used up */
	DATA_PIECE, /* *piece is part of the message */
	DATA_END,   /* the message is complete; `in` stands behind CRLF.CRLF */
};

enum data_state {
	DATA_LINE_START, /* behind a CRLF, or behind the one that ended DATA */
	DATA_TEXT,	 /* anywhere else in a line */
	DATA_CR,	 /* a CR is held back */
	DATA_DOT,	 /* a line's first dot is held back */
	DATA_DOT_CR,	 /* both are */
};

struct data {
	enum data_state state;
	bool dots;   /* DATA: unstuff, and end at the dot. Without: a BDAT chunk, which the caller
			ends by count */
	bool repair; /* a bare CR or LF becomes CRLF; otherwise it is only noted */
	bool has_bare_line_end, has_nul, has_8bit,
		has_long_line; /* seen so far; a line is long above 998 octets */
	uint32_t line_length;
};

void data_begin(struct data *d, bool dots, bool repair);

/* The next event of `in`, which is advanced; *piece points into it (or to a constant), and is valid
 * as long as it is. */
enum data_event data_next(struct data *d, struct str *in, struct str *piece);

/* After the last BDAT chunk: a CR at the very end is a bare one. With repair, true and *piece is
 * what must still be added. */
bool data_finish(struct data *d, struct str *piece);

#endif
