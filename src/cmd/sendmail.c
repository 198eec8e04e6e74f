/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/sendmail.h"

#include <limits.h>
#include <pwd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "cmd/outbox.h"
#include "cmd/profile.h"
#include "cmd/send.h"
#include "message/message.h"
#include "smtp/address.h"

static const char sendmail_help[] =
	"sendmail [options] [ADDRESS…]     a mail from standard input, for programs; people have "
	"posthouse send\n"
	"\n"
	"  -t               recipients are those of To, Cc, Bcc too; Bcc is taken out\n"
	"  -i, -oi          a line with a single dot does not end the message\n"
	"  -f ADDRESS       where it comes from (also -r); '' or <>: nobody, as reports do\n"
	"  -F NAME          of the sender, for a message that has no From\n"
	"  -N never | success,failure,delay     which reports are wanted\n"
	"  -R full | hdrs   what they bring back         -V ID   what they call the mail\n"
	"  -v               show the dialogue with the station\n"
	"  -bs              speak SMTP on standard input and output\n"
	"  -bv              is the mail to these addresses deliverable? Nothing is sent\n"
	"  -bp              what waits (mailq)           -q      send what waits in your outbox\n"
	"  -bi              newaliases: there is nothing to be rebuilt\n"
	"      --config FILE   else $POSTHOUSE_CONFIG, else /etc/posthouse/posthouse.conf\n"
	"\n"
	"The other letters of tradition are taken and mean nothing here. Errors go to standard "
	"error "
	"and the exit\n"
	"code, whatever -oe says. An address may be a bare name: it gets the station's first "
	"domain.\n"
	"When the station does not answer, or the configuration cannot be read, the mail is kept "
	"in "
	"your outbox\n"
	"and goes when that is mended: exit code 0.\n"
	"\n"
	"Exit codes: 0 handed in or kept, 64 usage, 65 the message or an address is wrong, 67 no "
	"such mailbox,\n"
	"69 refused (also of what -q sent), 75 it could not even be kept, or waits still after -q, "
	"78 --config\n"
	"names a wrong file.\n"
	"\n"
	"Example\n"
	"  printf 'To: bob@example.org\\nSubject: Lunch\\n\\nAt noon.\\n' | sendmail -t\n";

static const char mailq_help[] =
	"mailq [--config FILE]     what waits: in the station, for its operator, and in your "
	"outbox\n"
	"\n"
	"  --config FILE   else $POSTHOUSE_CONFIG, else /etc/posthouse/posthouse.conf\n"
	"\n"
	"More of the station's queue: posthouse queue. At once what is in the outbox: sendmail -q\n"
	"\n"
	"Example\n"
	"  mailq\n";

static const char newaliases_help[] =
	"newaliases     does nothing: aliases hold at once\n"
	"\n"
	"They are in the configuration, and those that can be changed while the station runs in "
	"posthouse alias.\n"
	"\n"
	"Example\n"
	"  posthouse alias list\n";

/* ── letters ─────────────────────────────────────────────────────────────────────────────────── */

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

enum mode { DELIVER, SESSION, VERIFY, QUEUE, FLUSH, ALIASES, HELP, WRONG };

bool
sendmail_complain(struct sendmail *s, int exit_code, struct str what, const char *detail)
{
	struct buf line = { .max = 65536 };

	ask_add_plain(&line, str_part(what, 0, 1024));
	if (*detail) {
		buf_add(&line, S(": "));
		ask_add_plain(&line, str_of(detail));
	}
	fprintf(stderr, "sendmail: %.*s\n", STR_ARG(buf_str(&line)));
	buf_free(&line);
	if (s->exit_code == EX_OK)
		s->exit_code = exit_code;
	return false;
}

static enum mode
mode_of(struct sendmail *s, char letter)
{
	switch (letter) {
	case 'm':
	case 'a': /* the ARPANET's */
		return DELIVER;
	case 's':
		return SESSION;
	case 'v':
		return VERIFY;
	case 'p':
		return QUEUE;
	case 'i':
		return ALIASES;
	case 't':
		sendmail_complain(s, EX_USAGE,
			S("-bt: `posthouse explain route ADDRESS` says where a mail would go"), "");
		return WRONG;
	case 'd':
	case 'D':
	case 'h':
	case 'H':
	case 'l':
		sendmail_complain(s, EX_USAGE, S("-bd: the daemon is `posthouse serve`"), "");
		return WRONG;
	}
	sendmail_complain(s, EX_USAGE, S("-b takes m, s, v, p, i"), "");
	return WRONG;
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
obey(struct sendmail *s, enum mode *mode, char letter, const char *value)
{
	switch (letter) {
	case 'b':
		*mode = mode_of(s, *value);
		return *mode != WRONG;
	case 'F':
		s->name = value;
		break;
	case 'f':
	case 'r':
		s->from = value;
		break;
	case 'I':
		*mode = ALIASES;
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
		*mode = FLUSH;
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
read_word(struct sendmail *s, enum mode *mode, char **argv, int *at)
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

/* Up to the first address: what stands behind it is an address too, so that nobody slips us a letter in its place. */
static int
read_words(struct sendmail *s, enum mode *mode, char **argv)
{
	int at;

	for (at = 1; argv[at] && argv[at][0] == '-' && argv[at][1]; at++) {
		if (strcmp(argv[at], "--") == 0)
			return at + 1;
		if (strcmp(argv[at], "--help") == 0) {
			*mode = HELP;
			return at;
		}
		if (strcmp(argv[at], "--config") == 0 && argv[at + 1]) {
			s->config_file = argv[++at];
			continue;
		}
		if (!read_word(s, mode, argv, &at)) {
			*mode = WRONG;
			return at;
		}
	}
	return at;
}

static const char not_an_address[] = "this is not an address";

/* ── who and where ───────────────────────────────────────────────────────────────────────────── */

/* Local names are of the station's first domain, or of this host. */
static void
find_domain(struct sendmail *s)
{
	struct str domain = s->config.domains_n ? s->config.domains[0].name : s->config.hostname;

	if (domain.n)
		snprintf(s->domain, sizeof s->domain, "%.*s", STR_ARG(domain));
	else if (gethostname(s->domain, sizeof s->domain - 1) < 0 ||
		 !domain_is_valid(str_of(s->domain), false))
		snprintf(s->domain, sizeof s->domain, "localhost");
}

/* The full name of a person, as far as the first comma of its field. */
static const char *
full_name(struct sendmail *s, const struct passwd *person)
{
	struct str gecos = str_of(person->pw_gecos);
	char *name = arena_take(&s->arena, gecos.n + 1);

	if (name && gecos.n)
		memcpy(name, gecos.p, str_find(gecos, ','));
	return name;
}

/* The address of a profile, where mail does not go by the station. */
static struct str
profile_sender(struct sendmail *s)
{
	struct profile profile;
	struct str name, address = { 0 };
	struct err e;

	if (profile_find(NULL, &s->config, &s->arena, &profile, &e) && profile.from)
		mailbox_split(str_of(profile.from), &name, &address);
	return address;
}

static bool
find_sender(struct sendmail *s)
{
	const struct passwd *person = getpwuid(geteuid());
	struct str from = str_of(s->from), owner = profile_sender(s);
	struct buf text = { .max = 4096 };
	const char *end;
	char number[32];
	bool ok = true;

	/* RFC 5321 §4.1.2 has no name for a user without one */
	snprintf(number, sizeof number, "uid-%u", (unsigned)geteuid());
	if (owner.n == 0)
		owner = str_of(person ? person->pw_name : number);
	if (!s->name && person)
		s->name = full_name(s, person);
	if (!sendmail_wire_form(s, owner, &s->sender))
		return sendmail_complain(
			s, EX_NOUSER, owner, "cannot be a sender; say who is: -f ADDRESS");
	s->reverse_path = s->from ? S("") : s->sender;
	if (!encode_is_clean(from))
		return sendmail_complain(s, EX_DATAERR, from, not_an_address);
	if (s->from && sendmail_next_address(&from, &text, &end)) {
		ok = sendmail_wire_form(s, buf_str(&text), &s->reverse_path) ||
		     sendmail_complain(s, EX_DATAERR, buf_str(&text), not_an_address);
		s->sender = s->reverse_path;
	}
	buf_free(&text);
	return ok;
}

/* ── deeds ───────────────────────────────────────────────────────────────────────────────────── */

static int
deliver(struct sendmail *s)
{
	struct outbox_spare spare = { 0 };
	struct err e;

	if (s->recipients.n == 0 && s->exit_code == EX_OK && !s->reads_recipients)
		sendmail_complain(s, EX_USAGE,
			S("to whom? sendmail ADDRESS…, or -t when the message says it"), "");
	else if (sendmail_read_message(s) && s->recipients.n)
		sendmail_hand_in(s, &spare, &e);
	else if (s->exit_code == EX_OK)
		sendmail_complain(s, EX_DATAERR, S("to whom? To, Cc and Bcc name nobody"), "");
	outbox_spare_drop(&spare);
	outbox_tend();
	return s->exit_code;
}

enum shown { SHOWN_NOTHING, SHOWN_WAITING, SHOWN_REFUSED };

static void
show_entry(void *context, const struct outbox_entry *entry)
{
	enum shown *shown = context, part = entry->will_not_go ? SHOWN_REFUSED : SHOWN_WAITING;
	char when[32], size[32];

	if (*shown != part)
		printf("\nYour outbox: mails that %s\n",
			entry->will_not_go ? "will not go" : "wait for the station");
	*shown = part;
	printf("%.12s  %s  %9s  <", entry->id, ask_time((uint64_t)entry->since_s * 1000, when),
		ask_size(entry->size, size));
	ask_print_plain(entry->reverse_path);
	printf("> to <");
	ask_print_plain(entry->first_recipient);
	if (entry->recipients_n > 1)
		printf("> and %zu more", entry->recipients_n - 1);
	else
		putchar('>');
	if (entry->reason.n) {
		printf("\n              %s: ", entry->will_not_go ? "will not go" : "waits");
		ask_print_plain(entry->reason);
	}
	if (entry->will_not_go)
		printf("\n              in %s", entry->file);
	putchar('\n');
}

/* The queue is for its operator: others see their outbox alone. */
static int
show_queue(const struct sendmail *s)
{
	char queue[] = "queue", list[] = "list", option[] = "--config", control[PATH_MAX];
	char *words[] = { queue, list, NULL, NULL, NULL };
	struct buf config = { .max = PATH_MAX };
	enum shown shown = SHOWN_NOTHING;
	int code = EX_OK, n = 2;
	struct err e;

	snprintf(control, sizeof control, "%.*s/control", STR_ARG(s->config.state));
	if (s->config_file) {
		buf_add(&config, str_of(s->config_file));
		buf_add_char(&config, '\0');
		words[n++] = option;
		words[n++] = config.p;
	}
	if (access(control, R_OK | W_OK) == 0)
		code = cmd_queue(n, words);
	else
		printf("The station's queue is shown to its operator, while it runs.\n");
	if (code == EX_UNAVAILABLE)
		code = EX_OK; /* it is away, and the outbox is why one asks */
	outbox_list(show_entry, &shown, &e);
	if (shown == SHOWN_NOTHING)
		printf("Your outbox is empty.\n");
	buf_free(&config);
	return code;
}

static int
flush(struct sendmail *s)
{
	struct err e;

	if (!outbox_flush(&e))
		sendmail_complain(s, e.class == ERR_PERMANENT ? EX_UNAVAILABLE : EX_TEMPFAIL,
			str_of(e.text), "");
	outbox_tend();
	return s->exit_code;
}

static int
run(struct sendmail *s, enum mode mode, char **addresses)
{
	if (mode == QUEUE)
		return show_queue(s);
	if (mode == FLUSH)
		return flush(s);
	if (!find_sender(s))
		return s->exit_code;
	if (mode == SESSION) {
		sendmail_session(s);
		outbox_tend();
		return s->exit_code;
	}
	for (; *addresses; addresses++)
		if (encode_is_clean(str_of(*addresses)))
			sendmail_add_recipients(s, str_of(*addresses), EX_DATAERR);
		else
			sendmail_complain(s, EX_DATAERR, str_of(*addresses), not_an_address);
	return mode == VERIFY ? sendmail_verify_all(s) : deliver(s);
}

static int
sendmail(enum mode mode, const char *help, char **argv)
{
	struct sendmail s = { .arena = { .max = SENDMAIL_MEMORY_MAX },
		.message = { .max = SENDMAIL_MESSAGE_MAX } };
	int at = read_words(&s, &mode, argv), code = s.exit_code;

	switch (mode) {
	case WRONG:
		break;
	case HELP:
		fputs(help, stdout);
		break;
	case ALIASES:
		printf("Aliases need no rebuilding: posthouse alias, and the domains of the "
		       "configuration, hold at once.\n");
		break;
	case DELIVER:
	case SESSION:
	case VERIFY:
	case QUEUE:
	case FLUSH:
		config_load(&s.config, s.config_file, &s.config_error);
		find_domain(&s);
		code = run(&s, mode, argv + at);
		break;
	}
	config_free(&s.config);
	memory_release(NULL, s.recipients.p);
	buf_free(&s.message);
	arena_free(&s.arena);
	return code;
}

int
cmd_sendmail(int argc, char **argv)
{
	(void)argc;
	return sendmail(DELIVER, sendmail_help, argv);
}

int
cmd_mailq(int argc, char **argv)
{
	(void)argc;
	return sendmail(QUEUE, mailq_help, argv);
}

int
cmd_newaliases(int argc, char **argv)
{
	(void)argc;
	return sendmail(ALIASES, newaliases_help, argv);
}
