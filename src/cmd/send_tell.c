/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/send.h"

#include <sysexits.h>

#include "cmd/ask.h"

/* Standard output has a line a recipient, or one JSON object. */

enum { LINE_MAX = 64 << 10, JSON_MAX = 1 << 28 };

static const char *
result_word(const struct ph_result *r, const char *why_kept)
{
	return why_kept ? "kept" : ph_status_name(r->status);
}

/* ── for people ── */

/* "250 2.0.0 kept as …", "550 5.1.1 no such mailbox (ask …)" or "later: cannot connect". */
static void
print_result(const struct ph_result *r, const char *why_kept)
{
	struct buf line = { .max = LINE_MAX };

	if (why_kept || r->code == 0)
		buf_addf(&line, "%s: ", result_word(r, why_kept));
	else
		buf_addf(&line, "%d ", r->code);
	if (r->code && r->enhanced[0])
		buf_addf(&line, "%s ", r->enhanced);
	buf_add(&line, str_of(why_kept ? why_kept : r->text));
	if (!why_kept && r->advice[0])
		buf_addf(&line, " (%s)", r->advice);
	ask_print_plain(buf_str(&line));
	putchar('\n');
	buf_free(&line);
}

static void
print_lines(const ph_mail *m, const char *why_kept)
{
	size_t widest = 0;

	for (size_t i = 0; i < ph_results(m); i++) {
		size_t n = strlen(ph_result(m, i)->address);

		widest = n > widest ? n : widest;
	}
	for (size_t i = 0; i < ph_results(m); i++) {
		printf("%-*s  ", (int)widest, ph_result(m, i)->address);
		print_result(ph_result(m, i), why_kept);
	}
}

/* ── for scripts ── */

void
tell_add_json(struct buf *to, struct str address, const struct told *told)
{
	buf_add(to, S("\"to\":"));
	codec_add_json(to, address);
	ask_json_text(to, "result", str_of(told->result));
	buf_addf(to, ",\"code\":%d", told->code);
	ask_json_text(to, "status", str_of(told->status[0] ? told->status : "0.0.0"));
	ask_json_text(to, "stage", str_of(told->stage));
	ask_json_text(to, "text", str_of(told->text));
	ask_json_text(to, "advice", str_of(told->advice));
}

static void
add_recipient(struct buf *to, const struct ph_result *r, const char *why_kept)
{
	buf_add_char(to, '{');
	tell_add_json(to, str_of(r->address),
		&(struct told){ .result = result_word(r, why_kept),
			.code = r->code,
			.status = r->enhanced,
			.stage = r->stage,
			.text = why_kept ? why_kept : r->text,
			.advice = why_kept ? "" : r->advice });
	buf_add_char(to, '}');
}

static void
print_json(const struct send_order *o, const ph_mail *m, const char *tls, const char *why_kept)
{
	struct buf out = { .max = JSON_MAX };

	buf_add(&out, S("{\"from\":"));
	codec_add_json(&out, str_of(ph_mail_sender(m)));
	ask_json_text(&out, "via", str_of(o->via));
	ask_json_text(&out, "tls", str_of(tls));
	ask_json_number(&out, "size", ph_mail_size(m));
	ask_json_text(&out, "message_id", str_of(ph_mail_id(m)));
	buf_add(&out, S(",\"recipients\":["));
	for (size_t i = 0; i < ph_results(m); i++) {
		buf_add(&out, i ? S(",") : S(""));
		add_recipient(&out, ph_result(m, i), why_kept);
	}
	buf_add(&out, S("]}\n"));
	fwrite(out.p, 1, out.n, stdout);
	buf_free(&out);
}

void
tell_results(const struct send_order *o, const ph_mail *m, const char *tls, const char *why_kept)
{
	if (o->is_json)
		print_json(o, m, tls, why_kept);
	else
		print_lines(m, why_kept);
	fflush(stdout);
}

/* ── what is wrong ── */

/* Of the process, for what is wrong with the command line is said before there is an order. */
static bool complains_in_json;

void
send_complain_in_json(void)
{
	complains_in_json = true;
}

static void
print_json_error(int exit_code, const char *what, const char *detail)
{
	struct buf out = { .max = JSON_MAX }, text = { .max = JSON_MAX };

	buf_addf(&text, "%s%s%s", what, *detail ? ": " : "", detail);
	buf_add(&out, S("{\"error\":"));
	codec_add_json(&out, buf_str(&text));
	buf_addf(&out, ",\"exit\":%d}\n", exit_code);
	fwrite(out.p, 1, out.n, stdout);
	fflush(stdout);
	buf_free(&text);
	buf_free(&out);
}

int
send_complain(int exit_code, const char *what, const char *detail)
{
	if (complains_in_json)
		print_json_error(exit_code, what, detail);
	fprintf(stderr, "posthouse send: %s%s%s\n", what, *detail ? ": " : "", detail);
	return exit_code;
}

/* ── the exit code ── */

/* RFC 4954 §6: 530 no login, 535 a wrong one. */
static bool
is_about_login(const struct ph_result *r)
{
	return r->code == 530 || r->code == 535 || strcmp(r->stage, "auth") == 0;
}

static int
code_of(const struct ph_result *r)
{
	switch (r->status) {
	case PH_SENT:
	case PH_PARTLY:
		return EX_OK;
	case PH_LATER:
	case PH_UNDERWAY:
		return EX_TEMPFAIL;
	case PH_UNSURE:
		return EX_PROTOCOL;
	case PH_REFUSED:
	case PH_INVALID:
		if (r->code == 0 && strcmp(r->stage, "connect") == 0)
			return EX_NOHOST; /* all else that keeps from a connection may end */
		return is_about_login(r) ? EX_NOPERM : EX_UNAVAILABLE;
	}
	return EX_SOFTWARE;
}

/* What outweighs what, the lightest first: what a second try can mend, what it could make twice, what it cannot mend, a wrong login. */
int
tell_exit_code(const ph_mail *m)
{
	static const int codes[] = { EX_OK, EX_TEMPFAIL, EX_PROTOCOL, EX_UNAVAILABLE, EX_NOHOST,
		EX_NOPERM };
	size_t worst = 0;

	for (size_t i = 0; i < ph_results(m); i++)
		for (size_t rank = worst + 1; rank < sizeof codes / sizeof *codes; rank++)
			if (code_of(ph_result(m, i)) == codes[rank])
				worst = rank;
	return codes[worst];
}
