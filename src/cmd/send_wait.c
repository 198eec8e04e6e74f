/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/send.h"

#include <sysexits.h>
#include <time.h>

#include "base/must.h"
#include "cmd/ask.h"
#include "spool/history.h"

/*
 * The station names each mail that it keeps in the words of its 250 ("kept as ID"), and tells its life on state/control, as `posthouse
 * why` shows it. It is asked again and again, for it tells nothing by itself; what was told already comes again each time, and is counted
 * off (seen). A recipient has its fate with the first event that says so.
 */

enum { PAUSE_FIRST_MS = 50, PAUSE_MOST_MS = 1000 };

struct waiting {
	struct ask ask;
	const struct send_order *order;
	const ph_mail *mail;
	struct mail_id id;
	size_t seen, told; /* events: before this round, in it */
	bool *has_fate;	   /* of each recipient */
	int exit_code;
};

static const struct fate {
	const char *word;
	int exit_code;
} fates[HISTORY_KINDS] = {
	[HISTORY_DELIVERED] = { "delivered", EX_OK },
	[HISTORY_EXPANDED] = { "passed on", EX_OK },
	[HISTORY_DEFERRED] = { "put off", EX_TEMPFAIL },
	[HISTORY_FAILED] = { "sent back", EX_UNAVAILABLE },
	[HISTORY_HELD] = { "held by the operator", EX_TEMPFAIL },
	[HISTORY_GIVEN_UP] = { "sent back by the operator", EX_UNAVAILABLE },
	[HISTORY_DROPPED] = { "dropped by the operator", EX_UNAVAILABLE },
};

/* ── what is told ── */

/* Words of a host begin with its code. */
static void
add_fate(struct buf *line, struct str address, const struct ipc_told *told)
{
	struct str words = told->kind == HISTORY_EXPANDED ? told->how : told->words, rest = words;
	struct buf text = { .max = IPC_PACKET_MAX };
	uint64_t code;

	buf_add(&text, words);
	buf_add_char(&text, '\0');
	if (!scan_u64(&rest, &code) || words.n - rest.n != 3)
		code = 0;
	buf_add_char(line, '{');
	tell_add_json(line, address,
		&(struct told){ .result = fates[told->kind].word,
			.code = (int)code,
			.status = "",
			.stage = "station",
			.text = text.p,
			.advice = "" });
	ask_json_time(line, "at", told->at_ms);
	ask_json_text(line, "host", told->who);
	buf_add_char(line, '}');
	buf_free(&text);
}

static void
print_fate(const struct waiting *w, struct str address, const struct ipc_told *told)
{
	const struct fate *fate = &fates[told->kind];
	struct buf line = { .max = 4 * IPC_PACKET_MAX };
	char when[32];

	if (w->order->is_json) {
		add_fate(&line, address, told);
		fwrite(line.p, 1, line.n, stdout);
	} else {
		buf_add(&line, address);
		buf_addf(&line, "  %s", fate->word);
		if (told->due_ms)
			buf_addf(&line, " until %s", ask_time(told->due_ms, when));
		if (told->kind == HISTORY_EXPANDED)
			buf_addf(&line, " to %.*s", STR_ARG(told->how));
		else if (told->words.n)
			buf_addf(&line, ": %.*s", STR_ARG(told->words));
		ask_print_plain(buf_str(&line));
	}
	putchar('\n');
	fflush(stdout);
	buf_free(&line);
}

/* history has addresses in lower case. */
static void
note_fate(struct waiting *w, struct str address, const struct fate *fate)
{
	for (size_t i = 0; i < ph_results(w->mail); i++)
		if (!w->has_fate[i] &&
			str_eq_nocase(address, str_of(ph_result(w->mail, i)->address))) {
			w->has_fate[i] = true;
			if (fate->exit_code == EX_UNAVAILABLE || w->exit_code == EX_OK)
				w->exit_code = fate->exit_code;
		}
}

static void
came(void *owner, const struct ipc_message *m)
{
	struct waiting *w = owner;
	struct str rest, address;

	if (m->kind != IPC_told || m->told.kind >= HISTORY_KINDS ||
		!mail_id_eq(m->told.id, w->id) || w->told++ < w->seen || !fates[m->told.kind].word)
		return;
	for (rest = m->told.recipients; codec_scan_str(&rest, &address);) {
		print_fate(w, address, &m->told);
		note_fate(w, address, &fates[m->told.kind]);
	}
}

/* ── the waiting ── */

int
wait_open(struct waiting **w, const struct send_order *o)
{
	int code;

	*w = memory_take(NULL, sizeof **w);
	(*w)->order = o;
	(*w)->ask = (struct ask){ .command = "posthouse send --wait", .came = came, .owner = *w };
	code = ask_open(&(*w)->ask, o->config_file);
	return code == EX_OK ? EX_OK
			     : send_complain(code,
				       "nothing is sent, for --wait asks the station, and only its "
				       "operator may: leave --wait out, and it goes",
				       "");
}

void
wait_close(struct waiting **w)
{
	if (!*w)
		return;
	ask_close(&(*w)->ask);
	memory_release(NULL, (*w)->has_fate);
	memory_release(NULL, *w);
	*w = NULL;
}

/* "Ok: kept as 0123…"; a mail with many recipients has one id for each hundred of them. */
static bool
scan_id(const char *words, struct mail_id *id)
{
	struct str text = str_of(words), mark = S("kept as ");
	size_t at = str_find_str(text, mark);

	return at < text.n && mail_id_parse(str_part(text, at + mark.n, MAIL_ID_TEXT - 1), id);
}

/* All that came with this id, until each of them has its fate. */
static int
wait_for_mail(struct waiting *w, size_t begin, size_t end)
{
	char id[MAIL_ID_TEXT];
	struct ipc_order order = {
		.fd = -1, .verb = ORDER_WHY, .what = str_of(mail_id_text(w->id, id))
	};
	unsigned pause_ms = PAUSE_FIRST_MS;
	int code;

	w->seen = 0;
	for (;;) {
		w->told = 0;
		code = ask_order(&w->ask, &order);
		if (code != EX_OK)
			return code;
		w->seen = w->told > w->seen ? w->told : w->seen;
		while (begin < end &&
			(w->has_fate[begin] || ph_result(w->mail, begin)->status != PH_SENT))
			begin++;
		if (begin == end)
			return EX_OK;
		nanosleep(&(struct timespec){ .tv_sec = pause_ms / 1000,
				  .tv_nsec = pause_ms % 1000 * 1000000L },
			NULL);
		pause_ms = 2 * pause_ms > PAUSE_MOST_MS ? PAUSE_MOST_MS : 2 * pause_ms;
	}
}

int
wait_for_fates(struct waiting *w, const ph_mail *m)
{
	size_t n = ph_results(m), end;
	struct mail_id next;
	int code = EX_OK;

	w->mail = m;
	w->has_fate = memory_take(NULL, n * sizeof *w->has_fate);
	for (size_t i = 0; i < n && code == EX_OK; i = end) {
		end = i + 1;
		if (!scan_id(ph_result(m, i)->text, &w->id))
			continue; /* it was not sent */
		while (end < n &&
			(!scan_id(ph_result(m, end)->text, &next) || mail_id_eq(next, w->id)))
			end++;
		code = wait_for_mail(w, i, end);
	}
	return code != EX_OK ? code : w->exit_code;
}
