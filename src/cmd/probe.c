/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe.h"

#include <sysexits.h>

#include "base/must.h"
#include "cmd/cmd.h"

/*
 * `posthouse probe`: the steps. With a recipient one mail goes as far as it may; without one, and without
 * --quit-after, two more connections find out what the host does with TLS 1.2 alone and TLS 1.3 alone.
 */

/* ── the steps: each says what it has to; false ends the dialogue ── */

static bool
hear_banner(struct probe *p)
{
	p->is_open = true;
	return probe_hear(p, "banner", S("")) && !probe_refused(p);
}

static bool
say_hello(struct probe *p)
{
	const char *verb = p->order->is_lmtp ? "LHLO" : p->order->says_helo ? "HELO" : "EHLO";
	struct buf line = { .max = 8 + strlen(p->order->hello) };
	struct str first, rest;
	bool is_taken;

	buf_addf(&line, "%s %s", verb, p->order->hello);
	is_taken = probe_ask(p, "ehlo", buf_str(&line), buf_str(&line)) && !probe_refused(p);
	buf_free(&line);
	str_cut(buf_str(&p->reply.text), '\n', &first, &rest);
	p->knows_offer = p->knows_offer || is_taken;
	return is_taken &&
	       arena_dup(&p->arena, rest,
		       &p->hello[stream_is_secure(&p->stream) ? PROBE_SECURE : PROBE_CLEAR]);
}

static bool
say_starttls(struct probe *p)
{
	struct str value;

	if (!probe_offers(p, S("STARTTLS"), &value) && p->order->tls == PROBE_TLS_REQUIRE)
		return probe_fail(
			p, ERR_TEMPORARY, ERR_TLS, "the other host does not offer STARTTLS");
	if (!probe_ask(p, "starttls", S("STARTTLS"), S("STARTTLS")) || probe_refused(p))
		return false;
	p->is_open = false; /* for words; what is awaited now is a handshake */
	return true;
}

static bool
say_raw_lines(struct probe *p)
{
	for (size_t i = 0; i < p->order->raw_lines.n; i++) {
		struct str line = str_of(p->order->raw_lines.p[i]);

		if (!probe_ask(p, "raw", line, line))
			return false;
		probe_refused(p);
	}
	return true;
}

static bool
is_tls_first(const struct probe *p)
{
	return p->order->is_tls_first;
}

static bool
wants_starttls(const struct probe *p)
{
	struct str value;

	return !p->order->is_tls_first && p->order->tls != PROBE_TLS_NEVER &&
	       (p->order->tls == PROBE_TLS_REQUIRE || probe_offers(p, S("STARTTLS"), &value));
}

static bool
was_starttls(const struct probe *p)
{
	return !p->order->is_tls_first && strcmp(probe_last(p)->name, "starttls") == 0;
}

static bool
is_anew(const struct probe *p)
{
	return !p->order->is_tls_first && p->handshake.is_good;
}

static bool
has_user(const struct probe *p)
{
	return p->order->user != NULL;
}

static bool
has_mail(const struct probe *p)
{
	return p->order->to.n ||
	       (p->order->quit_after && strcmp(p->order->quit_after, "mail") == 0);
}

/* The dialogue, top down. A name that stands twice is one of two moments, of which the last that is due counts for --quit-after. */
static const struct row {
	const char *name;
	bool (*is_due)(const struct probe *p); /* NULL: always */
	bool (*run)(struct probe *p);
} rows[] = {
	{ "connect", NULL, probe_connect },
	{ "tls", is_tls_first, probe_shake },
	{ "banner", NULL, hear_banner },
	{ "ehlo", NULL, say_hello },
	{ "starttls", wants_starttls, say_starttls },
	{ "tls", was_starttls, probe_shake },
	{ "ehlo", is_anew, say_hello },
	{ "auth", has_user, probe_login },
	{ "raw", NULL, say_raw_lines },
	{ "mail", has_mail, probe_mail },
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static bool
is_end(const struct probe *p, size_t at, bool was_due)
{
	const char *end = p->order->quit_after;

	if (!end || strcmp(rows[at].name, end) != 0)
		return false;
	for (size_t i = at + 1; i < ROWS && !was_due; i++)
		if (strcmp(rows[i].name, end) == 0)
			return false;
	return true;
}

/* What a host says to QUIT changes nothing any more. */
static void
say_quit(struct probe *p)
{
	struct err before = p->error;

	if (p->is_open)
		probe_ask(p, "quit", S("QUIT"), S("QUIT"));
	p->error = before;
}

static void
converse(struct probe *p)
{
	for (size_t i = 0; i < ROWS; i++) {
		bool is_due = !rows[i].is_due || rows[i].is_due(p);

		if ((is_due && !rows[i].run(p)) || is_end(p, i, is_due))
			break;
	}
	say_quit(p);
}

/* ── the whole ── */

/* The same way once more, up to the handshake, with one version of TLS alone. The texts of *found are constants. */
static void
try_version(const struct probe *p, enum stream_version version, struct probe_handshake *found)
{
	struct probe_order order = *p->order;
	struct probe again;

	order.quit_after = "tls";
	order.tls = PROBE_TLS_TRY;
	probe_begin(&again, &order, p->way, p->terms);
	again.is_quiet = true;
	again.only = &version;
	converse(&again);
	*found = again.handshake;
	if (!found->is_good)
		found->error = again.error;
	probe_end(&again);
}

static int
exit_code_of(const struct probe *p)
{
	switch (p->error.class) {
	case ERR_NONE:
		return EX_OK;
	case ERR_TEMPORARY:
		return EX_TEMPFAIL;
	case ERR_PERMANENT:
		break;
	}
	return p->is_about_login ? EX_NOPERM : EX_UNAVAILABLE;
}

static void
tell(struct probe *p)
{
	bool looks_at_all = !p->order->quit_after && p->order->to.n == 0;
	struct probe_handshake versions[2] = { 0 };

	for (size_t i = 0; i < 2 && looks_at_all && p->handshake.is_tried; i++)
		try_version(p, i == 0 ? STREAM_TLS_1_2 : STREAM_TLS_1_3, &versions[i]);
	if (p->order->is_json)
		probe_print_json(p, looks_at_all ? versions : NULL, exit_code_of(p));
	else if (looks_at_all && p->knows_offer)
		probe_print_offer(p, versions);
	fflush(stdout);
	if (err_is(&p->error) && !p->order->is_json)
		fprintf(stderr, "posthouse probe: %s\n", p->error.text);
}

static struct tls *
open_terms(const struct probe_order *o, struct err *e)
{
	struct tls *terms = tls_client_open_file(o->trust, e);

	return terms || o->trust ? terms : tls_client_open(S(""), e);
}

static int
run(struct probe_order *o, const struct way *way)
{
	struct buf message = { .max = 2 * (size_t)PROBE_MESSAGE_MAX };
	struct tls *terms = NULL;
	struct err e = { 0 };
	struct probe p;
	int code;

	if ((o->to.n && !probe_message_load(o, &message, &e)) || !(terms = open_terms(o, &e))) {
		buf_free(&message);
		return probe_complain(EX_NOINPUT, e.text, "");
	}
	probe_begin(&p, o, way, terms);
	p.message = buf_str(&message);
	p.is_quiet = o->is_json;
	if (!o->is_json)
		printf("%8s\n", "ms");
	converse(&p);
	tell(&p);
	code = exit_code_of(&p);
	probe_end(&p);
	tls_close(&terms);
	buf_free(&message);
	return code;
}

int
cmd_probe(int argc, char **argv)
{
	struct probe_order o = { 0 };
	bool is_over = false;
	struct way way;
	int code;

	o.to.p = calloc((size_t)argc, sizeof *o.to.p);
	o.raw_lines.p = calloc((size_t)argc, sizeof *o.raw_lines.p);
	must(o.to.p && o.raw_lines.p);
	code = probe_read_order(&o, argc, argv, &way, &is_over);
	if (code == EX_OK && !is_over)
		code = run(&o, &way);
	secret_wipe(&o.password);
	free(o.to.p);
	free(o.raw_lines.p);
	return code;
}
