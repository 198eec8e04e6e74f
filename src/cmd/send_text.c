/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/send.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "cmd/shell.h"
#include "io/file.h"
#include "message/message.h"

enum {
	TEXT_MAX = 32 << 20,	  /* octets; what is larger is an attachment */
	FINISHED_MAX = 256 << 20, /* octets of a finished message that is no file */
	HEADER_LOOK_MAX = 1 << 20
};

static const char empty[] = "the text is empty: nothing is sent";

/* ── a file ── */

static int
read_text(int fd, const char *name, struct buf *text)
{
	if (!file_read_all(fd, text)) {
		if (errno == EFBIG)
			return send_complain(
				EX_DATAERR, name, "more than 32 MiB of text: attach it with -a");
		return send_complain(EX_NOINPUT, name, strerror(errno));
	}
	if (str_find(buf_str(text), '\0') < text->n)
		return send_complain(
			EX_DATAERR, name, "this is no text, for it has NUL: attach it with -a");
	buf_add_char(text, '\0');
	return EX_OK;
}

static int
read_file(const char *path, struct buf *text)
{
	int fd, code;

	if (strcmp(path, "-") == 0)
		return read_text(STDIN_FILENO, "standard input", text);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return send_complain(EX_NOINPUT, path, strerror(errno));
	code = read_text(fd, path, text);
	close(fd);
	return code;
}

/* ── an editor ── */

static const char *
editor(void)
{
	const char *visual = getenv("VISUAL"), *plain = getenv("EDITOR");

	return visual && *visual ? visual : plain && *plain ? plain : "vi";
}

/* By sh, for $EDITOR may have options; the file's name is $1 to it, whatever is in it. */
static int
run_editor(char *path)
{
	struct buf script = { .max = 4096 };
	int problem, status = 0;
	pid_t pid;

	buf_addf(&script, "%s \"$1\"", editor());
	buf_add_char(&script, '\0');
	problem = shell_start(script.p, path, NULL, &pid);
	buf_free(&script);
	if (problem)
		return send_complain(EX_OSERR, "sh", strerror(problem));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status != 0)
		return send_complain(EX_UNAVAILABLE, editor(),
			"the editor failed; nothing is sent: set $EDITOR");
	return EX_OK;
}

/* The lines of `written` but those of comment; false when nothing but blanks is left. */
static bool
without_comments(struct str written, struct buf *text)
{
	struct str line;
	bool has_words = false;

	while (written.n) {
		bool is_whole = str_cut(written, '\n', &line, &written);

		if (line.n && line.p[0] == '#')
			continue;
		has_words = has_words || str_trim(line).n > 0;
		buf_add(text, line);
		if (is_whole)
			buf_add_char(text, '\n');
	}
	buf_add_char(text, '\0');
	return has_words;
}

static bool
write_draft(const struct send_order *o, int fd)
{
	struct buf draft = { .max = 1 << 20 };
	bool ok;

	buf_addf(&draft, "\n# To %.200s%s", o->to.n ? o->to.p[0] : "",
		o->to.n > 1 ? " and others" : "");
	if (o->subject)
		buf_addf(&draft, "; subject: %.200s", o->subject);
	buf_add(&draft,
		S("\n# Lines that begin with # are left out. An empty text sends nothing.\n"));
	for (size_t i = 1; i < draft.n - 1;
		i++) /* what was asked for is one line, to be left out */
		if (draft.p[i] == '\n' && draft.p[i + 1] != '#')
			draft.p[i] = ' ';
	ok = file_write_all(fd, buf_str(&draft));
	buf_free(&draft);
	return ok;
}

/* The text alone stands in the draft from now on, so that --text can send it. It is no longer than what stood there: a full disk has room. */
static int
keep_text(const char *path, struct str text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW), code = EX_OK;

	if (fd < 0 || fchmod(fd, S_IRUSR | S_IWUSR) < 0 || !file_write_all(fd, text) ||
		ftruncate(fd, (off_t)text.n) < 0)
		code = send_complain(EX_IOERR, path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return code;
}

static int
take_text(struct send_input *input)
{
	struct buf written = { .max = TEXT_MAX };
	int code = read_file(input->draft, &written); /* anew: many editors replace the file */

	if (code == EX_OK &&
		without_comments(str_part(buf_str(&written), 0, written.n - 1), &input->text)) {
		code = keep_text(input->draft, str_of(input->text.p));
	} else if (code == EX_OK) {
		send_settle_draft(input, true);
		code = send_complain(EX_DATAERR, empty, "");
	}
	buf_free(&written);
	return code;
}

static int
edit(const struct send_order *o, struct send_input *input)
{
	const char *directory = getenv("TMPDIR");
	char *path = input->draft;
	int fd, code;

	/* a directory with a long name is not worth an error */
	if (!directory || snprintf(path, sizeof input->draft, "%s/posthouse.XXXXXX", directory) >=
				  (int)sizeof input->draft)
		snprintf(path, sizeof input->draft, "/tmp/posthouse.XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0) {
		code = send_complain(EX_CANTCREAT, path, strerror(errno));
		*path = '\0';
		return code;
	}
	code = write_draft(o, fd) ? run_editor(path)
				  : send_complain(EX_IOERR, path, strerror(errno));
	close(fd);
	if (code == EX_OK)
		return take_text(input);
	send_settle_draft(input, true);
	return code;
}

void
send_settle_draft(struct send_input *input, bool was_sent)
{
	if (!input->draft[0])
		return;
	if (was_sent)
		unlink(input->draft);
	else
		fprintf(stderr, "posthouse send: your text is in %s: --text sends it\n",
			input->draft);
	input->draft[0] = '\0';
}

/* ── what was asked for ── */

static bool
is_secret_field(const struct header_field *field)
{
	return str_eq_nocase(field->name, S("Bcc")) || str_eq_nocase(field->name, S("Resent-Bcc"));
}

/* Out of the header; the rest stays as it is. */
static void
drop_secret_fields(struct buf *message)
{
	struct str rest = buf_str(message);
	struct header_field field;

	while (header_next(&rest, &field)) {
		size_t at = (size_t)(field.whole.p - message->p);

		if (!is_secret_field(&field))
			continue;
		memmove(message->p + at, rest.p, rest.n);
		message->n -= field.whole.n;
		rest = str_from(buf_str(message), at);
	}
}

static int
read_finished(int fd, const char *name, struct buf *finished)
{
	*finished = (struct buf){ .max = FINISHED_MAX };
	if (!file_read_all(fd, finished))
		return send_complain(errno == EFBIG ? EX_DATAERR : EX_NOINPUT, name,
			errno == EFBIG ? "more than 256 MiB, and no file without Bcc"
				       : strerror(errno));
	drop_secret_fields(finished);
	return EX_OK;
}

/* In the first of it; a header that is longer than that is taken for one that has. */
static bool
may_have_secret_fields(int fd)
{
	struct buf beginning = { .max = HEADER_LOOK_MAX };
	char octets[4096];
	struct header_field field;
	struct str rest;
	bool has = false;
	ssize_t n = 1;

	while (!beginning.overflow && (n = read(fd, octets, sizeof octets)) > 0)
		buf_add(&beginning, (struct str){ octets, (size_t)n });
	for (rest = buf_str(&beginning); !has && header_next(&rest, &field);)
		has = is_secret_field(&field);
	has = has || (beginning.overflow && str_find(rest, '\n') == rest.n);
	buf_free(&beginning);
	return has;
}

/* A file stays one, of any size, unless something must be taken out of it. */
static int
read_raw(struct send_order *o, struct send_input *input)
{
	bool is_input = strcmp(o->raw, "-") == 0;
	int fd = is_input ? STDIN_FILENO : open(o->raw, O_RDONLY | O_CLOEXEC), code = EX_OK;

	if (fd < 0)
		return send_complain(EX_NOINPUT, o->raw, strerror(errno));
	if (is_input || may_have_secret_fields(fd)) {
		if (!is_input)
			lseek(fd, 0, SEEK_SET);
		code = read_finished(fd, is_input ? "standard input" : o->raw, &input->finished);
		o->finished = buf_str(&input->finished);
		o->raw = "-";
	}
	if (!is_input)
		close(fd);
	return code;
}

static int
read_words(const struct send_order *o, struct send_input *input)
{
	int code;

	input->text = (struct buf){ .max = TEXT_MAX };
	if (o->edits)
		return edit(o, input);
	if (o->text_file || !isatty(STDIN_FILENO))
		return read_file(o->text_file ? o->text_file : "-", &input->text);
	fprintf(stderr, "Write your text; end it with Ctrl-D on a line of its own.\n");
	code = read_file("-", &input->text);
	if (code == EX_OK && str_trim(str_of(input->text.p)).n == 0)
		code = send_complain(EX_DATAERR, empty, "");
	return code;
}

int
send_read(struct send_order *o, struct send_input *input)
{
	bool has_other = o->text || o->raw || (o->html_file && !o->text_file && !o->edits);
	int code = EX_OK;

	if (o->html_file) {
		input->html = (struct buf){ .max = TEXT_MAX };
		code = read_file(o->html_file, &input->html);
		o->html = input->html.p;
	}
	if (code == EX_OK && o->raw)
		code = read_raw(o, input);
	if (code == EX_OK && !has_other) {
		code = read_words(o, input);
		o->text = input->text.p;
	}
	return code;
}

void
send_input_free(struct send_input *input)
{
	buf_free(&input->text);
	buf_free(&input->html);
	buf_free(&input->finished);
}
