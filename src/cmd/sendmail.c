/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/sendmail.h"

#include <limits.h>
#include <pwd.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "cmd/profile.h"
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
	"  -qIID            the same, and once more what was refused: the mail of this id (mailq)\n"
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
	"Exit codes: 0 handed in or kept, 64 usage, 65 the message, an address or an id is wrong, "
	"67 no such\n"
	"mailbox, "
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
	"More of the station's queue: posthouse queue. At once what is in the outbox: sendmail "
	"-q;\n"
	"what was refused, once more: sendmail -qIID\n"
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
	bool is_retry = s->retried != NULL;
	struct err e;

	if (is_retry && !*s->retried)
		sendmail_complain(s, EX_USAGE, S("-qI takes the id that mailq shows"), "");
	else if ((is_retry && !outbox_retry(str_of(s->retried), &e)) || !outbox_flush(&e))
		sendmail_complain(s,
			e.kind == ERR_OTHER	   ? EX_DATAERR
			: e.class == ERR_PERMANENT ? EX_UNAVAILABLE
						   : EX_TEMPFAIL,
			str_of(e.text), "");
	outbox_tend();
	return s->exit_code;
}

static int
run(struct sendmail *s, enum sendmail_mode mode, char **addresses)
{
	if (mode == SENDMAIL_QUEUE)
		return show_queue(s);
	if (mode == SENDMAIL_FLUSH)
		return flush(s);
	if (!find_sender(s))
		return s->exit_code;
	if (mode == SENDMAIL_SESSION) {
		sendmail_session(s);
		outbox_tend();
		return s->exit_code;
	}
	for (; *addresses; addresses++)
		if (encode_is_clean(str_of(*addresses)))
			sendmail_add_recipients(s, str_of(*addresses), EX_DATAERR);
		else
			sendmail_complain(s, EX_DATAERR, str_of(*addresses), not_an_address);
	return mode == SENDMAIL_VERIFY ? sendmail_verify_all(s) : deliver(s);
}

static int
sendmail(enum sendmail_mode mode, const char *help, char **argv)
{
	struct sendmail s = { .arena = { .max = SENDMAIL_MEMORY_MAX },
		.message = { .max = SENDMAIL_MESSAGE_MAX } };
	int at = sendmail_read_letters(&s, &mode, argv), code = s.exit_code;

	switch (mode) {
	case SENDMAIL_WRONG:
		break;
	case SENDMAIL_HELP:
		fputs(help, stdout);
		break;
	case SENDMAIL_ALIASES:
		printf("Aliases need no rebuilding: posthouse alias, and the domains of the "
		       "configuration, hold at once.\n");
		break;
	case SENDMAIL_DELIVER:
	case SENDMAIL_SESSION:
	case SENDMAIL_VERIFY:
	case SENDMAIL_QUEUE:
	case SENDMAIL_FLUSH:
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
	return sendmail(SENDMAIL_DELIVER, sendmail_help, argv);
}

int
cmd_mailq(int argc, char **argv)
{
	(void)argc;
	return sendmail(SENDMAIL_QUEUE, mailq_help, argv);
}

int
cmd_newaliases(int argc, char **argv)
{
	(void)argc;
	return sendmail(SENDMAIL_ALIASES, newaliases_help, argv);
}
