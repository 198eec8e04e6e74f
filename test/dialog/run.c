/* SPDX-License-Identifier: Apache-2.0 */
#include "base/codec.h"
#include "base/must.h"
#include "station.h"

/*
 * Plays dialogues (README.md has the format) against the pure server core. Each is played in four
 * ways, which must make no difference to a client: what is said between two replies arrives at once
 * or octet by octet; the driver answers on the spot, or late with the rest of the input parked.
 */

struct play {
	const char *file;
	unsigned line; /* in the file, for people */
	const char *way;
	bool octet_by_octet;
	struct station station;
	struct buf script;  /* the file */
	struct buf to_say;  /* C lines that have not gone yet */
	struct str message; /* of @ kept, what M lines have not named yet */
	bool is_naming;	    /* between @ kept and the end of its M lines */
};

static _Noreturn void
complain(const struct play *p, const char *what, struct str wanted, struct str got)
{
	fprintf(stderr, "%s:%u: %s (%s)\n  wanted: %.*s\n  got:    %.*s\n", p->file, p->line, what,
		p->way, STR_ARG(wanted), STR_ARG(got));
	exit(1);
}

static void
say_all(struct play *p)
{
	struct str bytes = buf_str(&p->to_say);

	for (size_t i = 0; p->octet_by_octet && i < bytes.n; i++)
		station_say(&p->station, str_part(bytes, i, 1));
	if (!p->octet_by_octet && bytes.n)
		station_say(&p->station, bytes);
	buf_reset(&p->to_say);
}

static void
expect_nothing_unread(struct play *p)
{
	say_all(p);
	if (p->station.said.n)
		complain(p, "the server said more", S("nothing"), buf_str(&p->station.said));
}

/* "text\r\n\x00" in quotes, and "* 300" for as often. */
static void
say_raw(struct play *p, struct str in)
{
	struct buf bytes = { .max = 1 << 20 };
	uint64_t times = 1;
	char c;

	if (!scan_char(&in, '"'))
		complain(p, "C> needs a text in quotes", S("\"…\""), in);
	while (in.n && in.p[0] != '"') {
		bool is_escape = scan_char(&in, '\\');

		c = in.n ? in.p[0] : '"';
		in = str_from(in, 1);
		if (is_escape && c == 'x') {
			if (!codec_from_hex(str_part(in, 0, 2), &c, 1))
				complain(p, "not an octet", S("\\x and two digits"), in);
			in = str_from(in, 2);
		} else if (is_escape) {
			c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c;
		}
		buf_add_char(&bytes, c);
	}
	if (!scan_char(&in, '"'))
		complain(p, "a quote is open", S("\""), in);
	scan_blanks(&in);
	if (scan_char(&in, '*') && !(scan_blanks(&in) && scan_u64(&in, &times)))
		complain(p, "how often?", S("* NUMBER"), in);
	while (times--)
		buf_add(&p->to_say, buf_str(&bytes));
	must(!bytes.overflow && !p->to_say.overflow);
	buf_free(&bytes);
}

/* '*' stands for any text; the pattern need only match the beginning. */
static bool
matches(struct str pattern, struct str line)
{
	struct str part;
	bool is_first = true;

	while (pattern.n || is_first) {
		size_t at;

		str_cut(pattern, '*', &part, &pattern);
		at = part.n ? str_find_str(line, part) : 0;
		if (part.n && (at == line.n || (is_first && at > 0)))
			return false;
		line = str_from(line, at + part.n);
		is_first = false;
	}
	return true;
}

static void
expect_line(struct play *p, struct str wanted, bool is_pattern)
{
	struct str said, line;
	size_t end;

	say_all(p);
	said = buf_str(&p->station.said);
	end = str_find_str(said, S("\r\n"));
	if (end == said.n)
		complain(p, "the server says nothing", wanted, said);
	line = str_part(said, 0, end);
	if (is_pattern ? !matches(wanted, line) : !str_eq(wanted, line))
		complain(p, "another reply", wanted, line);
	buf_drop(&p->station.said, end + 2);
}

/* All lines of one reply, which has this code. */
static void
expect_reply(struct play *p, struct str code)
{
	bool is_last = false;

	say_all(p);
	while (!is_last) {
		is_last = str_part(buf_str(&p->station.said), 3, 1).n == 0 ||
			  p->station.said.p[3] != '-';
		expect_line(p, code, true);
	}
}

/* @ kept SENDER to RECIPIENT…, and M lines behind it name the message. */
static void
expect_kept(struct play *p, struct str in)
{
	struct str sender, recipients;
	struct station *st = &p->station;
	size_t at = str_find_str(in, S(" to "));

	say_all(p);
	sender = str_part(in, 0, at);
	recipients = str_from(in, at + 4);
	if (!str_eq(str_eq(sender, S("<>")) ? S("") : sender, buf_str(&st->kept_sender)))
		complain(p, "kept from somebody else", sender, buf_str(&st->kept_sender));
	if (!str_eq(recipients, buf_str(&st->kept_recipients)))
		complain(p, "kept for others", recipients, buf_str(&st->kept_recipients));
	p->message = buf_str(&st->kept_message);
	p->is_naming = true;
}

static void
expect_message_line(struct play *p, struct str wanted)
{
	size_t end = str_find_str(p->message, S("\r\n"));

	if (!p->is_naming || !str_eq(wanted, str_part(p->message, 0, end)))
		complain(p, "another message", wanted, str_part(p->message, 0, end));
	p->message = str_from(p->message, end + 2);
}

/* A line that is no M line ends the message. */
static void
end_naming(struct play *p)
{
	if (p->is_naming && p->message.n)
		complain(p, "the message goes on", S("its end"), p->message);
	if (p->is_naming) {
		buf_reset(&p->station.kept_sender);
		buf_reset(&p->station.kept_recipients);
		buf_reset(&p->station.kept_message);
	}
	p->is_naming = false;
}

static void
set_fault(struct play *p, struct str name)
{
	static const struct str names[FAULTS_N] = { S("none"), S("sync"), S("space"), S("vault"),
		S("rate"), S("busy"), S("refuse"), S("overload"), S("shutdown"), S("idle"),
		S("hello"), S("tls") };

	say_all(p);
	for (unsigned i = 0; i < FAULTS_N; i++)
		if (str_eq(name, names[i])) {
			station_set_fault(&p->station, (enum fault)i);
			return;
		}
	complain(p, "no such fault", S("a name of README.md"), name);
}

static void
connect(struct play *p, struct str in)
{
	static const struct str doors[] = { S("smtp"), S("submission"), S("submissions") };
	static const struct str clients[] = { S(""), S("trusted"), S("proxy") };
	struct str door = in, client = { 0 };
	size_t at = str_find_str(in, S(" as ")), d = 0, c = 0;

	if (at < in.n) {
		door = str_part(in, 0, at);
		client = str_from(in, at + 4);
	}
	while (d < 3 && !str_eq(door, doors[d]))
		d++;
	while (c < 3 && !str_eq(client, clients[c]))
		c++;
	if (d == 3 || c == 3)
		complain(p, "connect where?",
			S("smtp|submission|submissions [as trusted|as proxy]"), in);
	expect_nothing_unread(p);
	station_close(&p->station);
	station_connect(&p->station, (enum station_door)d, (enum station_client)c);
}

static void
secure(struct play *p)
{
	expect_nothing_unread(p);
	if (!p->station.is_shaking)
		complain(p, "the server is not ready for a handshake", S("TLS"), S(""));
	station_secure(&p->station);
}

static void
expect_client(struct play *p, struct str wanted)
{
	say_all(p);
	if (!str_eq(wanted, buf_str(&p->station.client)))
		complain(p, "another client", wanted, buf_str(&p->station.client));
}

static void
direct(struct play *p, struct str in)
{
	if (scan_word_nocase(&in, S("connect "))) {
		connect(p, in);
	} else if (scan_word_nocase(&in, S("fault "))) {
		set_fault(p, in);
	} else if (str_eq(in, S("kept nothing"))) {
		say_all(p);
		if (p->station.kept_recipients.n)
			complain(p, "a mail was kept", S("none"),
				buf_str(&p->station.kept_recipients));
	} else if (scan_word_nocase(&in, S("kept "))) {
		expect_kept(p, in);
	} else if (str_eq(in, S("secured"))) {
		secure(p);
	} else if (scan_word_nocase(&in, S("client "))) {
		expect_client(p, in);
	} else if (str_eq(in, S("silence"))) {
		expect_nothing_unread(p);
	} else if (str_eq(in, S("closed"))) {
		expect_nothing_unread(p);
		if (p->station.is_open)
			complain(p, "the server waits for more", S("the end"), S(""));
	} else if (str_eq(in, S("close"))) {
		expect_nothing_unread(p);
		station_close(&p->station);
	} else if (!scan_word_nocase(&in, S("core-only "))) {
		complain(p, "no such directive", S("one of README.md"), in);
	}
}

static void
play_line(struct play *p, struct str line)
{
	struct str mark = str_part(line, 0, 2), rest = str_from(line, 3);

	if (str_eq(mark, S("M:"))) {
		expect_message_line(p, rest);
		return;
	}
	end_naming(p);
	if (str_eq(mark, S("C:"))) {
		buf_add(&p->to_say, rest);
		buf_add(&p->to_say, S("\r\n"));
	} else if (str_eq(mark, S("C>"))) {
		say_raw(p, rest);
	} else if (str_eq(mark, S("S:"))) {
		expect_line(p, rest, false);
	} else if (str_eq(mark, S("S~"))) {
		expect_line(p, rest, true);
	} else if (str_eq(mark, S("S*"))) {
		expect_reply(p, rest);
	} else if (str_starts(line, S("@ "))) {
		direct(p, str_from(line, 2));
	} else if (line.n && line.p[0] != '#') {
		complain(p, "what is this line?", S("C: C> S: S~ S* M: @ #"), line);
	}
}

static void
play_script(struct play *p)
{
	struct str rest = buf_str(&p->script), line;

	p->line = 0;
	station_begin(&p->station);
	p->station.waits = p->way[0] == 'w';
	while (str_cut(rest, '\n', &line, &rest) || line.n) {
		p->line++;
		play_line(p, line);
	}
	end_naming(p);
	expect_nothing_unread(p);
	station_end(&p->station);
}

static void
read_file(const char *name, struct buf *to)
{
	FILE *f = fopen(name, "r");
	char *room;
	size_t n;

	if (!f) {
		perror(name);
		exit(1);
	}
	while ((room = buf_room(to, 4096)) && (n = fread(room, 1, 4096, f)) > 0)
		buf_grew(to, n);
	must(!to->overflow && !ferror(f));
	fclose(f);
}

int
main(int argc, char **argv)
{
	static const char *const ways[] = { "at once", "octet by octet", "waiting, at once",
		"waiting, octet by octet" };

	for (int i = 1; i < argc; i++) {
		struct play p = { .file = argv[i], .script.max = 1 << 20, .to_say.max = 1 << 20 };

		read_file(argv[i], &p.script);
		for (unsigned way = 0; way < 4; way++) {
			p.way = ways[way];
			p.octet_by_octet = way & 1;
			play_script(&p);
		}
		buf_free(&p.script);
		buf_free(&p.to_say);
		printf("%s: as written\n", argv[i]);
	}
	return argc > 1 ? 0 : 64;
}
