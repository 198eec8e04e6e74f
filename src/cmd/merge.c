/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <sysexits.h>

#include "base/must.h"
#include "cmd/merge.h"

/*
 * Mail merge: one mail for each row of a table.
 *
 * 1. What is wrong with the forms (a column that is not there) or with the table as a whole is found before the first mail goes: the table
 *    is read once through for its digest, and once to count its rows.
 * 2. What is wrong with a row is the result of that row, and the next one goes on.
 * 3. A row at a time is in memory, and the mails under way: two a connection, so that each has its next one at hand. No more than these can
 *    become unsure when this process is killed (merge_results.c).
 * 4. What is wrong with the server or the login is no result of a row: the run stops, and the same command goes on later.
 * 5. The first SIGINT or SIGTERM ends the run behind the mails under way, the second at once.
 */

enum {
	CONNECTIONS = 2,
	AHEAD = 2,	  /* mails a connection */
	TICK_MS = 200,	  /* the longest sleep: signals and progress */
	UNASKED_MAX = 10, /* mails in turn that the server was not asked about */
	SHOWN_MAX = 20,	  /* wrong rows that are said on the terminal */
};

/* A mail under way. */
struct slot {
	ph_mail *mail;
	size_t row;
	struct arena arena; /* of its fields */
};

struct merge {
	const struct send_order *order;
	const struct config *config;
	struct merge_table table;
	struct merge_digests digests;
	struct merge_results results;
	struct merge_progress progress;
	ph_pool *pool;
	struct slot slots[MERGE_CONNECTIONS_MAX * AHEAD];
	size_t slots_n, shown, unasked;
	bool is_at_end;
	struct err stop; /* why no more are begun */
	int stop_code;
};

static volatile sig_atomic_t asked_to_end;

static void
on_signal(int number)
{
	asked_to_end = number;
}

/* ── The table ── */

static bool
digest_of(FILE *in, char digest[MERGE_DIGEST_TEXT], struct err *e)
{
	EVP_MD_CTX *sum = EVP_MD_CTX_new();
	unsigned char octets[65536], value[32];
	bool ok = sum && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1;

	must(ok);
	rewind(in);
	for (size_t n; (n = fread(octets, 1, sizeof octets, in)) > 0;)
		must(EVP_DigestUpdate(sum, octets, n) == 1);
	ok = !ferror(in);
	must(EVP_DigestFinal_ex(sum, value, NULL) == 1);
	EVP_MD_CTX_free(sum);
	merge_digest_text(value, digest);
	return ok || err_set_errno(e, "cannot read the table");
}

/* All rows, and back to the first. */
static bool
count_rows(struct merge_table *t, size_t *n, struct err *e)
{
	enum merge_next next;
	struct err of_row;

	while ((next = merge_table_next(t, &of_row)) == MERGE_ROW || next == MERGE_WRONG_ROW)
		;
	*n = t->row;
	if (next == MERGE_BROKEN)
		*e = of_row;
	return next == MERGE_END && merge_table_rewind(t, e);
}

static bool
is_json_lines(struct str path)
{
	return str_ends_nocase(path, S(".jsonl")) || str_ends_nocase(path, S(".ndjson"));
}

/* An exit code. */
static int
open_table(struct merge *m, FILE *in, size_t *rows_n, struct err *e)
{
	if (!merge_table_open(&m->table, in, is_json_lines(str_of(m->order->merge)), e))
		return EX_DATAERR;
	if (!merge_order_check(&m->table, m->order, e))
		return EX_USAGE;
	return digest_of(in, m->digests.table, e) && merge_table_rewind(&m->table, e) &&
			       count_rows(&m->table, rows_n, e)
		       ? EX_OK
		       : EX_DATAERR;
}

/* ── What becomes of a row ── */

static void
stop(struct merge *m, const struct err *e, int exit_code)
{
	if (m->stop_code)
		return;
	m->stop = *e;
	m->stop_code = exit_code;
}

static void
show_wrong(struct merge *m, size_t row, const char *word, const char *why)
{
	if (m->shown++ >= SHOWN_MAX)
		return;
	fprintf(stderr, "%srow %zu: %s: %s\n", m->progress.is_terminal ? "\r\033[K" : "", row, word,
		why);
	if (m->shown == SHOWN_MAX)
		fprintf(stderr, "(more stand in the results alone)\n");
}

static void
note_wrong(struct merge *m, size_t row, const char *why)
{
	struct err e;

	m->progress.done++;
	m->progress.wrong++;
	show_wrong(m, row, "wrong", why);
	if (!merge_results_wrong(&m->results, row, why, &e))
		stop(m, &e, EX_IOERR);
}

/* The server, or the login, is what is wrong: that is said of ten mails, or once where a second try cannot help. result: the mail's
 * last, which is what the server came to. */
static void
watch_server(struct merge *m, const struct ph_result *result)
{
	struct err e;

	if (!merge_is_before_mail(result)) {
		m->unasked = 0;
		return;
	}
	if (++m->unasked < UNASKED_MAX && result->status != PH_REFUSED)
		return;
	err_set(&e, ERR_TEMPORARY, ERR_OTHER, "%s: %s", result->stage, result->text);
	stop(m, &e,
		result->status != PH_REFUSED	     ? EX_TEMPFAIL
		: strcmp(result->stage, "auth") == 0 ? EX_NOPERM
						     : EX_UNAVAILABLE);
}

/* Of a row: what running the command again can better weighs most. */
enum fate { FATE_NONE, FATE_LATER, FATE_UNSURE, FATE_REFUSED, FATE_WRONG, FATE_SENT, FATES };

static enum fate
fate_of(unsigned char known)
{
	return known == 0	     ? FATE_NONE
	       : known & ROW_LATER   ? FATE_LATER
	       : known & ROW_UNSURE  ? FATE_UNSURE
	       : known & ROW_REFUSED ? FATE_REFUSED
	       : known & ROW_INVALID ? FATE_WRONG
				     : FATE_SENT;
}

static void
settle(struct merge *m, struct slot *slot, enum ph_status status)
{
	struct err e;

	if (status == PH_INVALID) {
		const char *why = ph_mail_error(slot->mail);

		note_wrong(m, slot->row, why ? why : "the way there is wrong");
		if (!why) {
			err_set(&e, ERR_PERMANENT, ERR_OTHER, "the way there is wrong");
			stop(m, &e, EX_USAGE);
		}
		return;
	}
	m->progress.done++;
	if (!merge_results_note(&m->results, slot->row, slot->mail, &e))
		stop(m, &e, EX_IOERR);
	m->progress.refused += fate_of(m->results.rows[slot->row]) == FATE_REFUSED;
	watch_server(m, ph_result(slot->mail, ph_results(slot->mail) - 1));
	for (size_t i = 0; i < ph_results(slot->mail); i++) {
		const struct ph_result *result = ph_result(slot->mail, i);

		if (result->status != PH_SENT)
			show_wrong(m, slot->row, ph_status_name(result->status), result->text);
	}
}

static void
slot_free(struct merge *m, struct slot *slot)
{
	ph_mail_free(slot->mail);
	arena_free(&slot->arena);
	*slot = m->slots[--m->slots_n];
}

static void
on_done(void *context, ph_mail *mail, enum ph_status status)
{
	struct merge *m = context;
	size_t i = 0;

	while (m->slots[i].mail != mail)
		must(++i < m->slots_n);
	settle(m, &m->slots[i], status);
	slot_free(m, &m->slots[i]);
}

/* ── The run ── */

/* Rows that have no answer yet, or one that a second try may better. --again: those, too, of which somebody was refused, or may have
 * got it. */
static bool
is_wanted(const struct merge *m, size_t row)
{
	unsigned char known = m->results.rows[row];

	if (m->order->again && (known & (ROW_UNSURE | ROW_REFUSED)))
		return true;
	return known == 0 || (known & (ROW_LATER | ROW_INVALID));
}

/* Whether some of its recipients had their answer, so that the mail is for the others alone. */
static bool
is_resumed(const struct merge *m, size_t row)
{
	unsigned char known = m->results.rows[row];

	return known & (m->order->again ? ROW_SENT : ROW_SENT | ROW_REFUSED | ROW_UNSURE);
}

static ph_mail *
make_mail(struct merge *m, struct arena *arena, struct err *e)
{
	return merge_order_mail(&m->table, m->order, m->config,
		is_resumed(m, m->table.row) ? &m->results : NULL, arena, e);
}

/* The next row becomes a mail of the pool, or a result. False: there is none. */
static bool
begin_row(struct merge *m)
{
	struct slot slot = { .arena.max = MERGE_MAIL_MAX };
	struct err e = { 0 };
	enum merge_next next = merge_table_next(&m->table, &e);

	slot.row = m->table.row;
	if (next == MERGE_BROKEN || slot.row > m->results.rows_n) {
		err_set(&e, ERR_PERMANENT, ERR_OTHER, "the table changed while it was read");
		stop(m, &e, EX_DATAERR);
		return false;
	}
	if (next == MERGE_END)
		return false;
	if (!is_wanted(m, slot.row))
		return true;
	slot.mail = next == MERGE_ROW ? make_mail(m, &slot.arena, &e) : NULL;
	if (!slot.mail) {
		note_wrong(m, slot.row, e.text);
	} else if (!merge_results_begin(&m->results, slot.row, is_resumed(m, slot.row), &e)) {
		stop(m, &e, EX_IOERR);
	} else {
		m->slots[m->slots_n++] = slot;
		ph_pool_add(m->pool, slot.mail);
		return true;
	}
	ph_mail_free(slot.mail);
	arena_free(&slot.arena);
	return true;
}

static void
wait_a_moment(const struct merge *m)
{
	struct pollfd ready = { .fd = ph_pool_fd(m->pool), .events = POLLIN };
	int64_t left = ph_pool_deadline(m->pool) - merge_now_ms();

	poll(&ready, 1, left < 0 ? 0 : left < TICK_MS ? (int)left : TICK_MS);
}

static void
run(struct merge *m, unsigned connections)
{
	size_t ahead = connections * (size_t)AHEAD;

	ph_pool_done(m->pool, on_done, m);
	while (!m->is_at_end || m->slots_n) {
		while (!m->is_at_end && m->slots_n < ahead) {
			m->is_at_end = asked_to_end || m->stop_code || !begin_row(m);
			merge_progress_show(&m->progress, false);
		}
		if (m->slots_n && ph_pool_step(m->pool) == PH_UNDERWAY)
			wait_a_moment(m);
		m->is_at_end = m->is_at_end || asked_to_end || m->stop_code;
		merge_progress_show(&m->progress, false);
	}
	merge_progress_show(&m->progress, true);
}

/* ── Before and after ── */

static bool
print(void *context, const char *octets, size_t n)
{
	return fwrite(octets, 1, n, context) == n;
}

/* The first mail on standard output, what is wrong and how many there would be on standard error. */
static int
show_dry(struct merge *m)
{
	size_t mails = 0, wrong = 0, waiting = 0;
	struct err e = { 0 };

	for (enum merge_next next;
		(next = merge_table_next(&m->table, &e)) == MERGE_ROW || next == MERGE_WRONG_ROW;) {
		struct arena arena = { .max = MERGE_MAIL_MAX };
		ph_mail *mail;

		if (!is_wanted(m, m->table.row))
			continue;
		waiting++;
		mail = next == MERGE_ROW ? make_mail(m, &arena, &e) : NULL;
		if (mail && mails++ == 0)
			ph_mail_write(mail, print, stdout);
		if (!mail && ++wrong)
			show_wrong(m, m->table.row, "wrong", e.text);
		ph_mail_free(mail);
		arena_free(&arena);
	}
	fflush(stdout);
	fprintf(stderr,
		"%zu rows, %zu of them not sent yet: %zu mails would go, %zu rows are wrong\n",
		m->results.rows_n, waiting, mails, wrong);
	return wrong ? EX_DATAERR : EX_OK;
}

static void
count_fates(const struct merge *m, size_t n[FATES])
{
	memset(n, 0, FATES * sizeof *n);
	for (size_t row = 1; row <= m->results.rows_n; row++)
		n[fate_of(m->results.rows[row])]++;
}

/* All rows of the table, those of earlier runs too; sent_before: those had so many. */
static int
sum_up(const struct merge *m, size_t sent_before)
{
	size_t n[FATES];

	count_fates(m, n);
	if (sent_before)
		fprintf(stderr, "%zu sent before, %zu now", sent_before,
			n[FATE_SENT] - sent_before);
	else
		fprintf(stderr, "%zu sent", n[FATE_SENT]);
	fprintf(stderr, ", %zu refused, %zu wrong, %zu later, %zu unsure, %zu not tried\n",
		n[FATE_REFUSED], n[FATE_WRONG], n[FATE_LATER], n[FATE_UNSURE], n[FATE_NONE]);
	if (m->stop_code)
		send_complain(m->stop_code, m->stop.text, "");
	if ((n[FATE_LATER] || n[FATE_NONE]) && m->order->results)
		fprintf(stderr, "the same command goes on from here\n");
	if (m->stop_code)
		return m->stop_code;
	if (n[FATE_LATER] || n[FATE_NONE])
		return EX_TEMPFAIL;
	if (n[FATE_UNSURE])
		return EX_PROTOCOL; /* as of a single mail */
	return n[FATE_REFUSED] || n[FATE_WRONG] ? EX_UNAVAILABLE : EX_OK;
}

static void
catch_signals(void)
{
	struct sigaction polite = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGINT, &polite, NULL);
	sigaction(SIGTERM, &polite, NULL);
}

/* Rows that an earlier run is unsure of are said each time, until somebody decides. */
static void
tell_unsure(const struct merge *m)
{
	size_t shown = 0;

	for (size_t row = 1; row <= m->results.rows_n; row++)
		if ((m->results.rows[row] & ROW_UNSURE) && ++shown <= SHOWN_MAX)
			fprintf(stderr,
				"unsure: row %zu: perhaps it was sent; --again sends it again\n",
				row);
	if (shown > SHOWN_MAX)
		fprintf(stderr, "unsure: %zu rows in all\n", shown);
}

static int
send_rows(struct merge *m, ph_session *session)
{
	unsigned connections = m->order->connections ? m->order->connections : CONNECTIONS;
	size_t before = 0, n[FATES];
	struct err e;

	must(connections <= MERGE_CONNECTIONS_MAX);
	if (!merge_results_settle(&m->results, &e))
		return send_complain(EX_IOERR, e.text, "");
	tell_unsure(m);
	for (size_t row = 1; row <= m->results.rows_n; row++)
		before += !is_wanted(m, row);
	count_fates(m, n);
	m->pool = ph_pool_new(session, connections);
	must(m->pool);
	catch_signals();
	merge_progress_begin(&m->progress, m->results.rows_n, before);
	m->progress.refused = m->order->again ? 0 : n[FATE_REFUSED]; /* else they are tried anew */
	run(m, connections);
	ph_pool_free(m->pool);
	return sum_up(m, n[FATE_SENT]);
}

static int
merge_table(struct merge *m, FILE *in, ph_session *session)
{
	const struct send_order *o = m->order;
	size_t rows_n = 0;
	struct err e = { 0 };
	int code = open_table(m, in, &rows_n, &e);

	if (code != EX_OK)
		return send_complain(code, e.text, "");
	m->results.shows = o->is_json && !o->is_dry;
	m->results.again = o->again;
	merge_order_digest(o, m->digests.mail);
	if (!merge_results_open(&m->results, o->results, &m->digests, rows_n, !o->is_dry, &e))
		return send_complain(
			e.class == ERR_TEMPORARY ? EX_CANTCREAT : EX_DATAERR, e.text, "");
	return o->is_dry ? show_dry(m) : send_rows(m, session);
}

int
merge_run(const struct send_order *o, const struct config *config, ph_session *session)
{
	struct merge m = { .order = o, .config = config, .results.fd = -1 };
	FILE *in;
	int code;

	if (o->raw)
		return send_complain(EX_USAGE,
			"--raw is a finished message: nothing of --merge goes into it", "");
	if (session && ph_session_error(session))
		return send_complain(EX_USAGE, ph_session_error(session), "");
	in = fopen(o->merge, "re");
	if (!in)
		return send_complain(EX_NOINPUT, o->merge, strerror(errno));
	code = merge_table(&m, in, session);
	merge_results_close(&m.results);
	merge_table_close(&m.table);
	fclose(in);
	return code;
}
