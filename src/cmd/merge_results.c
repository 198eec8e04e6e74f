/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/must.h"
#include "cmd/merge.h"
#include "io/file.h"

/*
 * What became of each row. JSON lines, only ever added to, each in one write:
 *
 *   {"table":"SHA-256 of the table","rows":1000}
 *   {"row":1,"status":"begun"}                     to all its recipients; "resumed": to those who were to get it later
 *   {"row":1,"to":"bob@example.org","status":"sent","code":250,"enhanced":"2.0.0","stage":"end","text":"…","message_id":"…","recipients":1}
 *
 * 1. A row is begun in the file before its mail is handed over, and all its recipients stand there in one write as soon as they are
 *    known. So whatever ends this process, a row is in one of these: not begun and not sent; done, as it stands there; or begun, and
 *    perhaps sent: unsure.
 * 2. A line without its end was cut by a full disk or a power cut. It says nothing; the next line begins behind it.
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
	const char *status;
	unsigned char flag;
} flags[] = {
	{ "begun", ROW_BEGUN },
	{ "resumed", ROW_BEGUN | ROW_RESUMED },
	{ "sent", ROW_SENT },
	{ "later", ROW_LATER },
	{ "refused", ROW_REFUSED },
	{ "unsure", ROW_UNSURE },
	{ "invalid", ROW_INVALID },
};

static unsigned char
flag_of(const char *status)
{
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (strcmp(flags[i].status, status) == 0)
			return flags[i].flag;
	return 0;
}

static void
mark(struct merge_results *r, size_t row, unsigned char flag)
{
	unsigned char *known = &r->rows[row];

	if (flag == ROW_BEGUN)
		*known = 0;
	else if (flag & ROW_RESUMED)
		*known &= (unsigned char)~(ROW_LATER | ROW_INVALID);
	else
		*known &= (unsigned char)~ROW_BEGUN;
	*known |= flag & (unsigned char)~ROW_RESUMED;
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

static bool
take_line(struct merge_results *r, struct str line, struct err *e)
{
	json_t *object = json_loadb(line.p, line.n, 0, NULL);
	json_int_t row = json_integer_value(json_object_get(object, "row"));
	const char *status = json_string_value(json_object_get(object, "status"));
	const char *to = json_string_value(json_object_get(object, "to"));
	unsigned char flag = status ? flag_of(status) : 0;
	bool ok = flag && row > 0 && (size_t)row <= r->rows_n;

	if (!object)
		return true; /* cut: law 2 */
	if (!ok)
		err_set(e, ERR_PERMANENT, ERR_OTHER,
			"a line of the results is not ours: %.*s; take another file for --results",
			STR_ARG(str_part(line, 0, 60)));
	if (ok)
		mark(r, (size_t)row, flag);
	if (ok && to && json_integer_value(json_object_get(object, "recipients")) > 1) {
		if (flag == ROW_LATER)
			forget_settled(r, (size_t)row, to);
		else
			ok = keep_settled(r, (size_t)row, to, e);
	}
	json_decref(object);
	return ok;
}

static bool
take_head(struct str line, const char *digest, struct err *e)
{
	json_t *object = json_loadb(line.p, line.n, 0, NULL);
	const char *table = json_string_value(json_object_get(object, "table"));
	bool is_ours = table != NULL, is_same = is_ours && strcmp(table, digest) == 0;

	json_decref(object);
	if (is_same)
		return true;
	return err_set(e, ERR_PERMANENT, ERR_OTHER,
		is_ours ? "the results are of another table, or the table has changed: take "
			  "another file for --results"
			: "the file of --results is something else: it is left alone");
}

/* All lines; *is_cut: the last has no end. */
static bool
take_lines(struct merge_results *r, FILE *in, const char *digest, bool *is_cut, struct err *e)
{
	char *p = NULL;
	size_t room = 0;
	bool ok = true, is_head = true;

	for (ssize_t n; ok && (n = getline(&p, &room, in)) > 0;) {
		struct str line = { p, (size_t)n };

		*is_cut = p[n - 1] != '\n';
		if (is_head)
			ok = take_head(line, digest, e);
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
write_head(struct merge_results *r, const char *digest, struct err *e)
{
	buf_reset(&r->line);
	buf_addf(&r->line, "{\"table\":\"%s\",\"rows\":%zu}\n", digest, r->rows_n);
	return write_line(r, e);
}

static bool
go_on(struct merge_results *r, const char *path, const char *digest, bool writes, struct err *e)
{
	FILE *in = fopen(path, "re");
	bool is_cut = false, is_new, ok;

	if (!in)
		return err_set_errno(e, "cannot read %.100s", path);
	ok = take_lines(r, in, digest, &is_cut, e);
	is_new = ftell(in) == 0;
	fclose(in);
	if (!ok || !writes)
		return ok;
	if (is_new)
		return write_head(r, digest, e);
	return !is_cut || file_write_all(r->fd, S("\n")) ||
	       err_set_errno(e, "cannot write the results");
}

bool
merge_results_open(struct merge_results *r, const char *path, const char *digest, size_t rows_n,
	bool writes, struct err *e)
{
	r->fd = -1;
	r->rows_n = rows_n;
	r->rows = memory_take(NULL, rows_n + 1);
	r->line.max = LINE_MAX_OCTETS;
	r->arena.max = SETTLED_MAX;
	r->settled.key_of = settled_key;
	if (!path || (!writes && access(path, F_OK) < 0))
		return true;
	r->fd = open(path, (writes ? O_WRONLY | O_APPEND | O_CREAT : O_RDONLY) | O_CLOEXEC, 0600);
	if (r->fd < 0)
		return err_set_errno(e, "cannot open %.100s", path);
	if (writes && flock(r->fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? err_set(e, ERR_TEMPORARY, ERR_OTHER,
						      "another run is writing %.100s", path)
					    : err_set_errno(e, "cannot lock %.100s", path);
	return go_on(r, path, digest, writes, e);
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
add_line(struct merge_results *r, size_t row, const char *to, const char *status, const char *text)
{
	buf_addf(&r->line, "{\"row\":%zu", row);
	add_text(&r->line, "to", to);
	add_text(&r->line, "status", status);
	add_text(&r->line, "text", text);
}

bool
merge_results_wrong(struct merge_results *r, size_t row, const char *why, struct err *e)
{
	mark(r, row, ROW_INVALID);
	buf_reset(&r->line);
	add_line(r, row, "", "invalid", why);
	buf_add(&r->line, S("}\n"));
	return write_line(r, e);
}

bool
merge_results_settle(struct merge_results *r, struct err *e)
{
	for (size_t row = 1; row <= r->rows_n; row++) {
		if (!(r->rows[row] & ROW_BEGUN))
			continue;
		mark(r, row, ROW_UNSURE);
		buf_reset(&r->line);
		add_line(r, row, "", "unsure", "the run ended while this mail was under way");
		buf_add(&r->line, S("}\n"));
		if (!write_line(r, e))
			return false;
	}
	return true;
}

bool
merge_results_begin(struct merge_results *r, size_t row, bool is_resumed, struct err *e)
{
	mark(r, row, is_resumed ? ROW_BEGUN | ROW_RESUMED : ROW_BEGUN);
	buf_reset(&r->line);
	buf_addf(&r->line, "{\"row\":%zu,\"status\":\"%s\"}\n", row,
		is_resumed ? "resumed" : "begun");
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
status_of(const struct ph_result *result)
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
		const char *status = status_of(result);

		mark(r, row, flag_of(status));
		add_line(r, row, result->address, status, result->text);
		buf_addf(&r->line, ",\"code\":%d", result->code);
		add_text(&r->line, "enhanced", result->enhanced);
		add_text(&r->line, "stage", result->stage);
		add_text(&r->line, "message_id", ph_mail_id(m));
		buf_addf(&r->line, ",\"recipients\":%zu}\n", ph_results(m));
	}
	return write_line(r, e);
}
