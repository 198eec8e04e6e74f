/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/must.h"
#include "cmd/merge.h"
#include "io/file.h"

/*
 * What became of each row. JSON lines, only ever added to, each in one write:
 *
 *   {"table":"SHA-256 of the table","mail":"SHA-256 of its form","rows":1000}
 *   {"row":1,"result":"begun"}                     to all its recipients; "resumed": to those who were to get it later; "again": to those
 *                                                  who do not have it
 *   {"row":1,"to":"bob@example.org","result":"sent","code":250,"status":"2.0.0","stage":"end","text":"…","advice":"","message_id":"…",
 *    "recipients":1}
 *
 * 1. A row is begun in the file before its mail is handed over, and all its recipients stand there in one write as soon as they are
 *    known. So whatever ends this process, a row is in one of these: not begun and not sent; done, as it stands there; or begun, and
 *    perhaps sent: unsure.
 * 2. A line without its end was cut by a full disk or a power cut. It says nothing; the next line begins behind it. A row of which there
 *    are fewer lines than recipients stays begun.
 * 3. Later lines of a row outweigh earlier ones.
 * 4. One run at a time has the file (flock).
 */

enum { LINE_MAX_OCTETS = 16 << 20, SETTLED_MAX = 256 << 20, KEY_MAX = 4096 };

/* A recipient that needs no second try, in a row that has several. */
struct settled {
	struct str key; /* "17 bob@example.org" */
};

static struct str
settled_key(const void *member)
{
	return ((const struct settled *)member)->key;
}

static const struct {
	const char *result;
	unsigned char flag;
} flags[] = {
	{ "begun", ROW_BEGUN },
	{ "resumed", ROW_BEGUN | ROW_RESUMED },
	{ "again", ROW_BEGUN | ROW_RESUMED | ROW_AGAIN },
	{ "sent", ROW_SENT },
	{ "later", ROW_LATER },
	{ "refused", ROW_REFUSED },
	{ "unsure", ROW_UNSURE },
	{ "wrong", ROW_INVALID },
};

static unsigned char
flag_of(const char *result)
{
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (strcmp(flags[i].result, result) == 0)
			return flags[i].flag;
	return 0;
}

static void
mark(struct merge_results *r, size_t row, unsigned char flag)
{
	unsigned char *known = &r->rows[row];

	if (flag == ROW_BEGUN)
		*known = 0;
	else if (flag & ROW_AGAIN)
		*known &= ROW_SENT;
	else if (flag & ROW_RESUMED)
		*known &= (unsigned char)~(ROW_LATER | ROW_INVALID);
	else
		*known &= (unsigned char)~ROW_BEGUN;
	*known |= flag & (unsigned char)~ROW_AGAIN;
}

/* Nobody knows what became of those whose lines are missing, so nothing but --again tries the row. */
static void
mark_unsure(struct merge_results *r, size_t row)
{
	r->rows[row] &= (unsigned char)~(ROW_BEGUN | ROW_LATER);
	r->rows[row] |= ROW_UNSURE;
}

/* Law 2. */
static void
count_line(struct merge_results *r, size_t row, size_t recipients_n)
{
	r->at_row_n = r->at_row == row && recipients_n ? r->at_row_n + 1 : 1;
	r->at_row = recipients_n ? row : 0;
	if (r->at_row_n >= recipients_n)
		r->at_row = 0;
	else
		r->rows[row] |= ROW_BEGUN;
}

/* ── What is there ── */

static void
add_key(struct buf *key, size_t row, const char *address)
{
	buf_add_u64(key, row);
	buf_add_char(key, ' ');
	buf_add(key, str_of(address));
}

static bool
keep_settled(struct merge_results *r, size_t row, const char *address, struct err *e)
{
	struct buf key = { .max = KEY_MAX };
	struct settled *settled = arena_take(&r->arena, sizeof *settled);
	bool ok;

	add_key(&key, row, address);
	ok = settled && !key.overflow && arena_dup(&r->arena, buf_str(&key), &settled->key);
	buf_free(&key);
	if (!ok)
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "too many results to go on from");
	if (!map_get(&r->settled, settled->key))
		map_put(&r->settled, settled);
	return true;
}

static void
forget_settled(struct merge_results *r, size_t row, const char *address)
{
	struct buf key = { .max = KEY_MAX };

	add_key(&key, row, address);
	map_remove(&r->settled, buf_str(&key));
	buf_free(&key);
}

bool
merge_results_has(const struct merge_results *r, size_t row, const char *address)
{
	struct buf key = { .max = KEY_MAX };
	bool has;

	add_key(&key, row, address);
	has = map_get(&r->settled, buf_str(&key)) != NULL;
	buf_free(&key);
	return has;
}

/* Of a row of several, who needs no second try. */
static bool
note_settled(struct merge_results *r, size_t row, const char *to, unsigned char flag, struct err *e)
{
	if (flag == ROW_LATER || (r->again && flag != ROW_SENT)) {
		forget_settled(r, row, to);
		return true;
	}
	return keep_settled(r, row, to, e);
}

static bool
take_line(struct merge_results *r, struct str line, struct err *e)
{
	json_t *object = json_loadb(line.p, line.n, 0, NULL);
	json_int_t row = json_integer_value(json_object_get(object, "row"));
	json_int_t recipients_n = json_integer_value(json_object_get(object, "recipients"));
	const char *result = json_string_value(json_object_get(object, "result"));
	const char *to = json_string_value(json_object_get(object, "to"));
	unsigned char flag = result ? flag_of(result) : 0;
	bool ok = flag && row > 0 && (size_t)row <= r->rows_n;

	if (!object)
		return true; /* cut: law 2 */
	if (!ok)
		err_set(e, ERR_PERMANENT, ERR_OTHER,
			"a line of the results is not ours: %.*s; take another file for --results",
			STR_ARG(str_part(line, 0, 60)));
	if (ok && flag == ROW_UNSURE && !recipients_n) {
		mark_unsure(r, (size_t)row);
	} else if (ok) {
		mark(r, (size_t)row, flag);
		count_line(r, (size_t)row, recipients_n > 0 ? (size_t)recipients_n : 0);
	}
	if (ok && to && recipients_n && (recipients_n > 1 || (r->rows[row] & ROW_RESUMED)))
		ok = note_settled(r, (size_t)row, to, flag, e);
	json_decref(object);
	return ok;
}

static bool
take_head(struct str line, const struct merge_digests *digests, struct err *e)
{
	json_t *object = json_loadb(line.p, line.n, 0, NULL);
	const char *table = json_string_value(json_object_get(object, "table"));
	const char *mail = json_string_value(json_object_get(object, "mail"));
	bool is_ours = table && mail, is_same_table = is_ours && strcmp(table, digests->table) == 0;
	bool is_same_mail = is_ours && strcmp(mail, digests->mail) == 0;

	json_decref(object);
	if (is_same_table && is_same_mail)
		return true;
	return err_set(e, ERR_PERMANENT, ERR_OTHER, "%s",
		!is_ours ? "the file of --results is something else: it is left alone"
		: !is_same_table
			? "the results are of another table, or the table has changed: take "
			  "another file for --results"
			: "the results are of another mail, or its form has changed: take "
			  "another file for --results");
}

/* All lines; *is_cut: the last has no end. */
static bool
take_lines(struct merge_results *r, FILE *in, const struct merge_digests *digests, bool *is_cut,
	struct err *e)
{
	char *p = NULL;
	size_t room = 0;
	bool ok = true, is_head = true;

	for (ssize_t n; ok && (n = getline(&p, &room, in)) > 0;) {
		struct str line = { p, (size_t)n };

		*is_cut = p[n - 1] != '\n';
		if (is_head)
			ok = take_head(line, digests, e);
		else if (!*is_cut && n > 1)
			ok = take_line(r, line, e);
		is_head = false;
	}
	free(p);
	return ok && (!ferror(in) || err_set_errno(e, "cannot read the results"));
}

static bool
write_line(struct merge_results *r, struct err *e)
{
	struct str line = buf_str(&r->line);

	must(!r->line.overflow);
	if (r->shows)
		fwrite(line.p, 1, line.n, stdout);
	return r->fd < 0 || file_write_all(r->fd, line) ||
	       err_set_errno(e, "cannot write the results");
}

static bool
write_head(struct merge_results *r, const struct merge_digests *digests, struct err *e)
{
	buf_reset(&r->line);
	buf_addf(&r->line, "{\"table\":\"%s\",\"mail\":\"%s\",\"rows\":%zu}\n", digests->table,
		digests->mail, r->rows_n);
	return write_line(r, e);
}

static bool
go_on(struct merge_results *r, const char *path, const struct merge_digests *digests, bool writes,
	struct err *e)
{
	FILE *in = fopen(path, "re");
	bool is_cut = false, is_new, ok;

	if (!in)
		return err_set_errno(e, "cannot read %.100s", path);
	ok = take_lines(r, in, digests, &is_cut, e);
	is_new = ftell(in) == 0;
	fclose(in);
	if (!ok || !writes)
		return ok;
	if (is_new)
		return write_head(r, digests, e);
	return !is_cut || file_write_all(r->fd, S("\n")) ||
	       err_set_errno(e, "cannot write the results");
}

bool
merge_results_open(struct merge_results *r, const char *path, const struct merge_digests *digests,
	size_t rows_n, bool writes, struct err *e)
{
	struct stat st;

	r->fd = -1;
	r->rows_n = rows_n;
	r->rows = memory_take(NULL, rows_n + 1);
	r->line.max = LINE_MAX_OCTETS;
	r->arena.max = SETTLED_MAX;
	r->settled.key_of = settled_key;
	if (!path || (!writes && access(path, F_OK) < 0))
		return true;
	r->fd = open(path,
		(writes ? O_WRONLY | O_APPEND | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NONBLOCK, 0600);
	if (r->fd < 0 || fstat(r->fd, &st) < 0)
		return err_set_errno(e, "cannot open %.100s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_TEMPORARY, ERR_OTHER,
			"%.100s is no file, and could not be read again", path);
	if (writes && flock(r->fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? err_set(e, ERR_TEMPORARY, ERR_OTHER,
						      "another run is writing %.100s", path)
					    : err_set_errno(e, "cannot lock %.100s", path);
	return go_on(r, path, digests, writes, e);
}

void
merge_results_close(struct merge_results *r)
{
	if (r->fd >= 0)
		close(r->fd);
	memory_release(NULL, r->rows);
	buf_free(&r->line);
	map_free(&r->settled);
	arena_free(&r->arena);
}

/* ── What is added ── */

static void
add_text(struct buf *to, const char *name, const char *value)
{
	buf_addf(to, ",\"%s\":", name);
	codec_add_json(to, str_of(value));
}

/* One recipient, or the whole row where `to` is empty. */
static void
add_line(struct merge_results *r, size_t row, const char *to, const struct told *told)
{
	buf_addf(&r->line, "{\"row\":%zu,", row);
	tell_add_json(&r->line, str_of(to), told);
}

/* The row as a whole, of which no host said anything. */
static bool
write_row(struct merge_results *r, size_t row, const char *result, const char *text, struct err *e)
{
	buf_reset(&r->line);
	add_line(r, row, "",
		&(struct told){
			.result = result, .status = "", .stage = "", .text = text, .advice = "" });
	buf_add(&r->line, S("}\n"));
	return write_line(r, e);
}

bool
merge_results_wrong(struct merge_results *r, size_t row, const char *why, struct err *e)
{
	mark(r, row, ROW_INVALID);
	return write_row(r, row, "wrong", why, e);
}

bool
merge_results_settle(struct merge_results *r, struct err *e)
{
	for (size_t row = 1; row <= r->rows_n; row++) {
		if (!(r->rows[row] & ROW_BEGUN))
			continue;
		mark_unsure(r, row);
		if (!write_row(r, row, "unsure", "the run ended while this mail was under way", e))
			return false;
	}
	return true;
}

bool
merge_results_begin(struct merge_results *r, size_t row, bool is_resumed, struct err *e)
{
	const char *result = !is_resumed ? "begun" : r->again ? "again" : "resumed";

	mark(r, row, flag_of(result));
	buf_reset(&r->line);
	buf_addf(&r->line, "{\"row\":%zu,\"result\":\"%s\"}\n", row, result);
	return r->fd < 0 || file_write_all(r->fd, buf_str(&r->line)) ||
	       err_set_errno(e, "cannot write the results");
}

bool
merge_is_before_mail(const struct ph_result *result)
{
	static const char *const stages[] = { "connect", "greeting", "hello", "tls", "auth" };

	for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
		if (strcmp(result->stage, stages[i]) == 0)
			return true;
	return false;
}

/* A mail that the server was never asked about can go when the server, or the login, is mended. */
static const char *
word_of(const struct ph_result *result)
{
	if (result->status == PH_REFUSED && merge_is_before_mail(result))
		return ph_status_name(PH_LATER);
	return ph_status_name(result->status);
}

bool
merge_results_note(struct merge_results *r, size_t row, const ph_mail *m, struct err *e)
{
	buf_reset(&r->line);
	for (size_t i = 0; i < ph_results(m); i++) {
		const struct ph_result *result = ph_result(m, i);
		const char *word = word_of(result);

		mark(r, row, flag_of(word));
		add_line(r, row, result->address,
			&(struct told){ .result = word,
				.code = result->code,
				.status = result->enhanced,
				.stage = result->stage,
				.text = result->text,
				.advice = result->advice });
		add_text(&r->line, "message_id", ph_mail_id(m));
		buf_addf(&r->line, ",\"recipients\":%zu}\n", ph_results(m));
	}
	return write_line(r, e);
}
