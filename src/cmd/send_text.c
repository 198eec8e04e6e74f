/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/send.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "io/file.h"

enum {
	TEXT_MAX = 32 << 20,	 /* octets; what is larger is an attachment */
	FINISHED_MAX = 256 << 20 /* octets of a finished message that is no file */
};

extern char **environ;

static int
complain(int exit_code, const char *what, const char *detail)
{
	fprintf(stderr, "posthouse send: %s%s%s\n", what, *detail ? ": " : "", detail);
	return exit_code;
}

/* ── a file ── */

static int
read_text(int fd, const char *name, struct buf *text)
{
	if (!file_read_all(fd, text)) {
		if (errno == EFBIG)
			return complain(
				EX_DATAERR, name, "more than 32 MiB of text: attach it with -a");
		return complain(EX_NOINPUT, name, strerror(errno));
	}
	if (str_find(buf_str(text), '\0') < text->n)
		return complain(
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
		return complain(EX_NOINPUT, path, strerror(errno));
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
	problem = posix_spawn(&pid, "/bin/sh", NULL, NULL,
		(char *[]){ (char[]){ "sh" }, (char[]){ "-c" }, script.p, (char[]){ "sh" }, path,
			NULL },
		environ);
	buf_free(&script);
	if (problem)
		return complain(EX_OSERR, "sh", strerror(problem));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status != 0)
		return complain(EX_UNAVAILABLE, editor(),
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

static int
edit(const struct send_order *o, struct buf *text)
{
	const char *directory = getenv("TMPDIR");
	struct buf written = { .max = TEXT_MAX };
	char path[64];
	int fd, code;

	/* a directory with a long name is not worth an error */
	if (!directory ||
		snprintf(path, sizeof path, "%s/posthouse.XXXXXX", directory) >= (int)sizeof path)
		snprintf(path, sizeof path, "/tmp/posthouse.XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return complain(EX_CANTCREAT, path, strerror(errno));
	code = write_draft(o, fd) ? run_editor(path) : complain(EX_IOERR, path, strerror(errno));
	close(fd);
	if (code == EX_OK)
		code = read_file(path, &written); /* anew: many editors replace the file */
	if (code == EX_OK && !without_comments(str_part(buf_str(&written), 0, written.n - 1), text))
		code = complain(EX_DATAERR, "the text is empty: nothing is sent", "");
	unlink(path);
	buf_free(&written);
	return code;
}

/* ── what was asked for ── */

static int
read_finished(struct buf *finished)
{
	*finished = (struct buf){ .max = FINISHED_MAX };
	if (file_read_all(STDIN_FILENO, finished))
		return EX_OK;
	return complain(errno == EFBIG ? EX_DATAERR : EX_NOINPUT, "standard input",
		errno == EFBIG ? "more than 256 MiB: write it into a file, and --raw FILE"
			       : strerror(errno));
}

static int
read_words(const struct send_order *o, struct buf *text)
{
	*text = (struct buf){ .max = TEXT_MAX };
	if (o->edits)
		return edit(o, text);
	if (!o->text_file && isatty(STDIN_FILENO))
		fprintf(stderr, "Write your text; end it with Ctrl-D on a line of its own.\n");
	return read_file(o->text_file ? o->text_file : "-", text);
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
	if (code == EX_OK && o->raw && strcmp(o->raw, "-") == 0) {
		code = read_finished(&input->finished);
		o->finished = buf_str(&input->finished);
	}
	if (code == EX_OK && !has_other) {
		code = read_words(o, &input->text);
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
