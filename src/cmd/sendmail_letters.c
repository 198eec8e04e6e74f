/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/sendmail.h"

#include <sysexits.h>

#include "cmd/send.h"

/*
 * Every letter that sendmail had somewhere. A letter with a value takes what stands behind it in its word; NEXT takes the next word
 * where nothing does. Letters without a value may share a word: -ti.
 */
enum value { NONE, ATTACHED, NEXT };

static const struct letter {
	char letter;
	enum value value;
} letters[] = {
	{ 'A', NEXT },	   /* which configuration: -Ac, -Am */
	{ 'B', NEXT },	   /* 7BIT, 8BITMIME: seen from the message */
	{ 'b', NEXT },	   /* what to do */
	{ 'C', NEXT },	   /* a sendmail.cf */
	{ 'c', NONE },	   /* no wait for costly hosts */
	{ 'D', NEXT },	   /* a log of debugging */
	{ 'd', ATTACHED }, /* debugging */
	{ 'E', NONE },	   /* AIX */
	{ 'e', NEXT },	   /* where errors go */
	{ 'F', NEXT },
	{ 'f', NEXT },
	{ 'G', NONE }, /* relayed, not submitted */
	{ 'h', NEXT }, /* hops */
	{ 'I', NONE }, /* newaliases */
	{ 'i', NONE },
	{ 'J', ATTACHED }, /* AIX */
	{ 'L', NEXT },	   /* a name for the log */
	{ 'l', NONE },
	{ 'M', NEXT }, /* one mail of the queue */
	{ 'm', NONE }, /* to me too */
	{ 'N', NEXT },
	{ 'n', NONE }, /* no aliases */
	{ 'O', NEXT }, /* an option of a sendmail.cf */
	{ 'o', NEXT }, /* the same, short */
	{ 'p', NEXT }, /* the protocol it came by */
	{ 'Q', ATTACHED },
	{ 'q', ATTACHED },
	{ 'R', NEXT },
	{ 'r', NEXT },
	{ 's', NONE }, /* keep From lines */
	{ 'T', NEXT }, /* how long to try */
	{ 't', NONE },
	{ 'U', NONE }, /* first submission */
	{ 'V', NEXT },
	{ 'v', NONE },
	{ 'X', NEXT }, /* a log of the dialogue */
	{ 'x', NONE },
};

enum { LETTERS = sizeof letters / sizeof letters[0], ENVELOPE_ID_MAX = 100 };

static enum sendmail_mode
mode_of(struct sendmail *s, char letter)
{
	switch (letter) {
	case 'm':
	case 'a': /* the ARPANET's */
		return SENDMAIL_DELIVER;
	case 's':
		return SENDMAIL_SESSION;
	case 'v':
		return SENDMAIL_VERIFY;
	case 'p':
		return SENDMAIL_QUEUE;
	case 'i':
		return SENDMAIL_ALIASES;
	case 't':
		sendmail_complain(s, EX_USAGE,
			S("-bt: `posthouse explain route ADDRESS` says where a mail would go"), "");
		return SENDMAIL_WRONG;
	case 'd':
	case 'D':
	case 'h':
	case 'H':
	case 'l':
		sendmail_complain(s, EX_USAGE, S("-bd: the daemon is `posthouse serve`"), "");
		return SENDMAIL_WRONG;
	}
	sendmail_complain(s, EX_USAGE, S("-b takes m, s, v, p, i"), "");
	return SENDMAIL_WRONG;
}

static bool
read_notify(struct sendmail *s, const char *words)
{
	struct err e;

	s->notify = order_notify(words, &e);
	return s->notify || sendmail_complain(s, EX_USAGE,
				    S("-N takes never, or some of success,failure,delay"), "");
}

static bool
read_ret(struct sendmail *s, struct str word)
{
	bool is_full = str_eq_nocase(word, S("full"));

	s->ret = is_full ? 'F' : 'H';
	return is_full || str_starts_nocase(word, S("hdr")) ||
	       sendmail_complain(s, EX_USAGE, S("-R takes full or hdrs"), "");
}

/* RFC 3461 §4.4. Better a mail without its name than none. */
static void
read_envelope_id(struct sendmail *s, struct str id)
{
	bool is_good = id.n > 0 && id.n <= ENVELOPE_ID_MAX;

	for (size_t i = 0; i < id.n; i++)
		is_good &= id.p[i] >= ' ' && id.p[i] <= '~';
	if (is_good)
		s->envelope_id = id.p;
	else
		sendmail_complain(s, EX_OK, id,
			"-V takes up to 100 printable characters of ASCII; the mail goes without");
}

/* What a letter means here; of the others only the form is known. */
static bool
obey(struct sendmail *s, enum sendmail_mode *mode, char letter, const char *value)
{
	switch (letter) {
	case 'b':
		*mode = mode_of(s, *value);
		return *mode != SENDMAIL_WRONG;
	case 'F':
		s->name = value;
		break;
	case 'f':
	case 'r':
		s->from = value;
		break;
	case 'I':
		*mode = SENDMAIL_ALIASES;
		break;
	case 'i':
		s->ignores_dots = true;
		break;
	case 'N':
		return read_notify(s, value);
	case 'o':
		s->ignores_dots |= *value == 'i';
		break;
	case 'q':
		*mode = SENDMAIL_FLUSH;
		s->retried = *value == 'I' ? value + 1 : NULL;
		break;
	case 'R':
		return read_ret(s, str_of(value));
	case 't':
		s->reads_recipients = true;
		break;
	case 'V':
		read_envelope_id(s, str_of(value));
		break;
	case 'v':
		s->is_verbose = true;
		break;
	}
	return true;
}

static const struct letter *
letter_of(char c)
{
	for (size_t i = 0; i < LETTERS; i++)
		if (letters[i].letter == c)
			return &letters[i];
	return NULL;
}

/* One word of letters; *at is its place, and moves on when a value is the next word. */
static bool
read_word(struct sendmail *s, enum sendmail_mode *mode, char **argv, int *at)
{
	for (const char *p = argv[*at] + 1; *p; p++) {
		const struct letter *l = letter_of(*p);
		char word[] = { '-', *p, '\0' };

		if (!l)
			return sendmail_complain(s, EX_USAGE, str_of(word),
				"there is no such letter; see sendmail --help");
		if (l->value == NONE) {
			if (!obey(s, mode, *p, ""))
				return false;
			continue;
		}
		if (p[1] || l->value == ATTACHED)
			return obey(s, mode, *p, p + 1);
		if (!argv[*at + 1])
			return sendmail_complain(s, EX_USAGE, str_of(word), "needs a value");
		(*at)++;
		return obey(s, mode, *p, argv[*at]);
	}
	return true;
}

int
sendmail_read_letters(struct sendmail *s, enum sendmail_mode *mode, char **argv)
{
	int at;

	for (at = 1; argv[at] && argv[at][0] == '-' && argv[at][1]; at++) {
		if (strcmp(argv[at], "--") == 0)
			return at + 1;
		if (strcmp(argv[at], "--help") == 0) {
			*mode = SENDMAIL_HELP;
			return at;
		}
		if (strcmp(argv[at], "--config") == 0 && argv[at + 1]) {
			s->config_file = argv[++at];
			continue;
		}
		if (!read_word(s, mode, argv, &at)) {
			*mode = SENDMAIL_WRONG;
			return at;
		}
	}
	return at;
}
