/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/send.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/must.h"
#include "client/way.h"
#include "message/message.h"
#include "smtp/address.h"

enum { WORD_MAX = 64 << 10 }; /* octets of the texts of one word */

static const char *
text_of(struct arena *arena, struct str s)
{
	const char *p = arena_text(arena, s);

	must(p); /* a word of the command line */
	return p;
}

/* ── words of the command line ── */

struct attachment {
	struct str path, name, type; /* empty: not said */
};

/* FILE[;name=NAME][;type=TYPE], in any order. What is before the first of those is the file, whatever is in it. */
static struct attachment
attachment_parse(const char *word)
{
	static const struct str marks[] = { { ";name=", 6 }, { ";type=", 6 } };
	struct attachment a = { 0 };
	struct str rest = str_of(word), *to = &a.path;

	for (;;) {
		size_t at[] = { str_find_str(rest, marks[0]), str_find_str(rest, marks[1]) };
		size_t next = at[1] < at[0];

		*to = str_part(rest, 0, at[next]);
		if (at[next] == rest.n)
			return a;
		rest = str_from(rest, at[next] + marks[next].n);
		to = next ? &a.type : &a.name;
	}
}

/* ID=FILE */
static bool
inline_parse(const char *word, struct str *id, const char **path)
{
	struct str ignored;

	*path = strchr(word, '=');
	return str_cut(str_of(word), '=', id, &ignored) && id->n && *++*path;
}

unsigned
order_notify(const char *words, struct err *e)
{
	static const struct {
		struct str word;
		unsigned flag;
	} flags[] = { { { "never", 5 }, PH_NOTIFY_NEVER }, { { "success", 7 }, PH_NOTIFY_SUCCESS },
		{ { "failure", 7 }, PH_NOTIFY_FAILURE }, { { "delay", 5 }, PH_NOTIFY_DELAY } };
	struct str rest = str_of(words), word;
	unsigned notify = 0, found;

	do {
		found = 0;
		str_cut(rest, ',', &word, &rest);
		for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
			if (str_eq_nocase(str_trim(word), flags[i].word))
				found = flags[i].flag;
		notify |= found;
	} while (found && rest.n);
	if (found && (!(notify & PH_NOTIFY_NEVER) || notify == PH_NOTIFY_NEVER))
		return notify;
	err_set(e, ERR_PERMANENT, ERR_OTHER,
		"--notify is never, or some of success,failure,delay; not %.60s", words);
	return 0;
}

/* ── files ── */

/* A pipe would not be there a second time, when the message is sent anew or kept. */
static bool
check_file(const char *path, struct err *e)
{
	struct stat st;
	int fd = stat(path, &st) == 0 && S_ISREG(st.st_mode)
			 ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
			 : -1;

	if (fd >= 0) {
		close(fd);
		return true;
	}
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "%.150s: %s", path,
			S_ISDIR(st.st_mode) ? "this is a directory"
					    : "this is no file: write it into one first");
	return err_set(e, ERR_PERMANENT, ERR_OTHER, "%.150s: %s", path, strerror(errno));
}

static bool
check_files(const struct send_order *o, struct arena *arena, struct err *e)
{
	const char *path;
	struct str id;

	if (o->raw && strcmp(o->raw, "-") != 0 && !check_file(o->raw, e))
		return false;
	for (size_t i = 0; i < o->attachments.n; i++)
		if (!check_file(text_of(arena, attachment_parse(o->attachments.p[i]).path), e))
			return false;
	for (size_t i = 0; i < o->inlines.n; i++) /* what is none is found when it is written */
		if (inline_parse(o->inlines.p[i], &id, &path) && !check_file(path, e))
			return false;
	return true;
}

bool
order_check_files(const struct send_order *o, struct err *e)
{
	struct arena arena = { .max = 64 << 20 };
	bool ok = check_files(o, &arena, e);

	arena_free(&arena);
	return ok;
}

/* ── who sends ── */

/* Who logs in with an address, or else the name this process runs under, at the first domain of the station or at this host. */
static const char *
guess_address(const struct send_order *o, const struct config *config, struct arena *arena)
{
	const struct passwd *person = getpwuid(geteuid());
	struct buf address = { .max = WORD_MAX };
	const char *text;
	char host[256];
	struct way way;
	struct err ignored;

	if (o->via && way_parse(&way, str_of(o->via), &ignored) && strchr(way.user, '@'))
		return text_of(arena, str_of(way.user));
	if (gethostname(host, sizeof host - 1) < 0 || !domain_is_valid(str_of(host), false))
		snprintf(host, sizeof host, "localhost");
	buf_addf(&address, "%s@%.*s", person ? person->pw_name : "nobody",
		STR_ARG(config->domains_n ? config->domains[0].name : str_of(host)));
	text = text_of(arena, buf_str(&address));
	buf_free(&address);
	return text;
}

/* With the person's full name, as far as the first comma of its field; what would need more than quotes is none. */
static const char *
guess_sender(const struct send_order *o, const struct config *config, struct arena *arena)
{
	const char *address = guess_address(o, config, arena), *text;
	const struct passwd *person = getpwuid(geteuid());
	struct buf mailbox = { .max = WORD_MAX };
	struct str name;

	str_cut(str_of(person && person->pw_gecos ? person->pw_gecos : ""), ',', &name,
		&(struct str){ 0 });
	name = str_trim(name);
	if (o->raw || name.n == 0 || !str_is_utf8(name) || !encode_is_clean(name) ||
		str_find(name, '"') < name.n || str_find(name, '\\') < name.n)
		return address;
	buf_addf(&mailbox, "\"%.*s\" <%s>", STR_ARG(name), address);
	text = text_of(arena, buf_str(&mailbox));
	buf_free(&mailbox);
	return text;
}

/* ── what is sent ── */

static void
write_each(ph_mail *m, void (*write)(ph_mail *m, const char *word), const struct words *words)
{
	for (size_t i = 0; i < words->n; i++)
		write(m, words->p[i]);
}

static void
write_headers(ph_mail *m, const struct send_order *o, struct arena *arena)
{
	struct str name, value;

	for (size_t i = 0; i < o->headers.n; i++) {
		str_cut(str_of(o->headers.p[i]), ':', &name, &value);
		ph_header(m, text_of(arena, str_trim(name)), text_of(arena, str_trim(value)));
	}
}

static void
write_parts(ph_mail *m, const struct send_order *o, struct arena *arena)
{
	const char *path;
	struct str id;

	for (size_t i = 0; i < o->inlines.n; i++)
		if (inline_parse(o->inlines.p[i], &id, &path))
			ph_inline(m, text_of(arena, id), path);
	for (size_t i = 0; i < o->attachments.n; i++) {
		struct attachment a = attachment_parse(o->attachments.p[i]);

		ph_attach_as(m, text_of(arena, a.path), a.name.n ? text_of(arena, a.name) : NULL,
			a.type.n ? text_of(arena, a.type) : NULL);
	}
}

static void
write_envelope(ph_mail *m, const struct send_order *o)
{
	struct err ignored;

	if (o->notify)
		ph_notify(m, order_notify(o->notify, &ignored));
	if (o->envelope_id)
		ph_envelope_id(m, o->envelope_id);
	if (o->requires_tls)
		ph_require_tls(m);
	if (o->hold_s)
		ph_hold_for(m, o->hold_s);
}

static void
write_finished(ph_mail *m, const struct send_order *o, const char *from)
{
	ph_return_path(m, from);
	write_each(m, ph_recipient, &o->to);
	write_each(m, ph_recipient, &o->cc);
	write_each(m, ph_recipient, &o->bcc);
	if (strcmp(o->raw, "-") == 0)
		ph_message_data(m, o->finished.p, o->finished.n);
	else
		ph_message_file(m, o->raw);
}

static void
write_composed(ph_mail *m, const struct send_order *o, const char *from, struct arena *arena)
{
	ph_from(m, from);
	write_each(m, ph_to, &o->to);
	write_each(m, ph_cc, &o->cc);
	write_each(m, ph_bcc, &o->bcc);
	write_each(m, ph_reply_to, &o->reply_to);
	if (o->subject)
		ph_subject(m, o->subject);
	write_headers(m, o, arena);
	if (o->text)
		ph_text(m, o->text);
	if (o->html)
		ph_html(m, o->html);
	write_parts(m, o, arena);
}

void
order_write(const struct send_order *o, const struct config *config, ph_mail *m)
{
	struct arena arena = { .max = 256 << 20 };
	const char *from = o->from ? o->from : guess_sender(o, config, &arena);

	if (o->raw)
		write_finished(m, o, from);
	else
		write_composed(m, o, from, &arena);
	write_envelope(m, o);
	arena_free(&arena);
}
