/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe.h"

#include <time.h>

#include "base/codec.h"
#include "cmd/ask.h"

/*
 * What a probe found. Everything that the other host said is printed plain: no control characters, nothing that turns the
 * direction of writing.
 *
 *      ms
 *          C: EHLO me.example.org
 *     0.4  S: 250-mail.example.org
 *          S: 250 STARTTLS
 *    12.1  *  TLSv1.3, TLS_AES_256_GCM_SHA384, verified
 */

/* ── steps ── */

static void
print_lines(const char *mark, struct str text, const int64_t *us)
{
	struct str line, rest = text;
	bool is_more = text.n > 0;

	for (; is_more; us = NULL) {
		is_more = str_cut(rest, '\n', &line, &rest);
		if (us)
			printf("%8.1f  %-2s ", (double)*us / 1000, mark);
		else
			printf("%8s  %-2s ", "", mark);
		ask_print_plain(line);
		printf("\n");
	}
}

void
probe_print_step(const struct probe_step *s)
{
	print_lines("C:", s->said, s->answer.n ? NULL : &s->us);
	print_lines(s->code ? "S:" : "*", s->answer, &s->us);
	fflush(stdout);
}

/* ── what is offered ── */

/* Keywords of EHLO: RFC 5321 §4.1.1.1 and IANA's register of SMTP service extensions. */
static const struct {
	struct str keyword;
	const char *means;
} extensions[] = {
	{ S("8BITMIME"), "takes letters beyond ASCII in the body as they are (RFC 6152)" },
	{ S("ATRN"), "hands over what waits for a host that logs in and asks (RFC 2645)" },
	{ S("AUTH"), "people can log in, in these ways (RFC 4954)" },
	{ S("BINARYMIME"), "takes any octets in the body, by BDAT (RFC 3030)" },
	{ S("BURL"), "fetches parts of a mail from an IMAP server (RFC 4468)" },
	{ S("CHUNKING"), "takes a message in counted pieces: BDAT in place of DATA (RFC 3030)" },
	{ S("DELIVERBY"), "a mail can say by when it must be there (RFC 2852)" },
	{ S("DSN"), "reports on delivery as the sender asks for them (RFC 3461)" },
	{ S("ENHANCEDSTATUSCODES"), "replies say in a second code what is wrong (RFC 2034)" },
	{ S("ETRN"), "starts to deliver what waits for a host when asked (RFC 1985)" },
	{ S("EXPN"), "may say who is on a list (RFC 5321)" },
	{ S("FUTURERELEASE"), "holds a mail until a time that the sender names (RFC 4865)" },
	{ S("HELP"), "answers HELP (RFC 5321)" },
	{ S("LIMITS"), "says how many recipients and mails it takes (RFC 9422)" },
	{ S("MT-PRIORITY"), "some mails may go before others (RFC 6710)" },
	{ S("NO-SOLICITING"), "wants to be told what is advertising (RFC 3865)" },
	{ S("PIPECONNECT"), "who was here before may speak ahead of the banner (Exim)" },
	{ S("PIPELINING"), "several commands may come at once (RFC 2920)" },
	{ S("REQUIRETLS"), "a mail can demand TLS on its whole way (RFC 8689)" },
	{ S("RRVS"), "a mail can ask whether a mailbox is still the same person's (RFC 7293)" },
	{ S("SIZE"), "says at MAIL whether a message is too large; takes up to this many octets "
		     "(RFC 1870)" },
	{ S("SMTPUTF8"), "takes addresses and headers in any script (RFC 6531)" },
	{ S("STARTTLS"), "can encrypt the connection (RFC 3207)" },
	{ S("VRFY"), "may say whether a mailbox exists (RFC 5321)" },
	{ S("XCLIENT"), "believes what a front says about the client (Postfix)" },
	{ S("XFORWARD"), "writes down where a mail came from (Postfix)" },
};

enum { EXTENSIONS = sizeof extensions / sizeof extensions[0], EXTENSION_WIDTH = 24 };

static const char *
meaning_of(struct str keyword)
{
	struct str rest;

	str_cut(keyword, '=', &keyword,
		&rest); /* AUTH=LOGIN is how clients of before RFC 2554 want it */
	for (size_t i = 0; i < EXTENSIONS; i++)
		if (str_eq_nocase(extensions[i].keyword, keyword))
			return extensions[i].means;
	return "(not in our book)";
}

/* The next line of a reply to EHLO, as keyword and value. */
static bool
next_extension(struct str *lines, struct str *keyword, struct str *value)
{
	struct str line;

	if (lines->n == 0)
		return false;
	str_cut(*lines, '\n', &line, lines);
	str_cut(line, ' ', keyword, value);
	return true;
}

static bool
has_keyword(struct str lines, struct str keyword)
{
	struct str word, value;

	while (next_extension(&lines, &word, &value))
		if (str_eq_nocase(word, keyword))
			return true;
	return false;
}

/* The offer that counts: under TLS where there is TLS. */
static struct str
last_hello(const struct probe *p)
{
	return p->hello[p->handshake.is_good ? PROBE_SECURE : PROBE_CLEAR];
}

/* One line, or with long values two. */
static void
print_extension(struct str keyword, struct str value, const char *where)
{
	struct buf text = { .max = 2 * SMTP_REPLY_LINE_MAX };

	ask_add_plain(&text, keyword);
	buf_add_char(&text, ' ');
	ask_add_plain(&text, value);
	printf("  %-24.*s ", STR_ARG(buf_str(&text)));
	if (text.n > EXTENSION_WIDTH)
		printf("\n%*s", EXTENSION_WIDTH + 3, "");
	printf("%s%s\n", meaning_of(keyword), where);
	buf_free(&text);
}

static void
print_extensions(const struct probe *p)
{
	struct str rest = last_hello(p), clear = p->hello[PROBE_CLEAR], keyword, value;
	bool is_secure = p->handshake.is_good && clear.n;

	printf("\nExtensions\n");
	while (next_extension(&rest, &keyword, &value))
		print_extension(keyword, value,
			is_secure && !has_keyword(clear, keyword) ? "; only under TLS" : "");
	while (is_secure && next_extension(&clear, &keyword, &value))
		if (!has_keyword(last_hello(p), keyword))
			print_extension(keyword, value, "; only in clear");
}

static struct str
logins(struct str lines)
{
	struct str keyword, value;

	while (next_extension(&lines, &keyword, &value))
		if (str_eq_nocase(keyword, S("AUTH")))
			return value;
	return S("");
}

static void
print_login(const char *where, struct str ways)
{
	printf("  %-10s ", where);
	ask_print_plain(ways.n ? ways : S("none"));
	printf("\n");
}

/* ── TLS ── */

static const char *const version_names[] = { "TLSv1.2", "TLSv1.3" };

static void
print_version(const char *name, const struct probe_handshake *h)
{
	printf("  %-10s ", name);
	if (h->is_good)
		printf("%.*s, %d bits, %.1f ms\n", STR_ARG(h->cipher), h->bits,
			(double)h->us / 1000);
	else
		printf("no: %s\n", err_is(&h->error) ? h->error.text : "not reached");
}

static void
print_certificate(const struct probe_handshake *h)
{
	const struct tls_facts *f = &h->certificate;
	char until[32];

	printf("\nCertificate\n  names      %s\n  issuer     ",
		f->names[0] ? f->names : "no host's");
	ask_print_plain(str_of(f->issuer));
	printf("\n  key        %s\n  until      %s (%lld days)\n", f->kind,
		ask_time((uint64_t)f->ends_s * 1000, until),
		(long long)(f->ends_s - time(NULL)) / 86400);
	printf("  verified   %s%.*s\n", h->is_verified ? "yes" : "no: ", STR_ARG(h->unverified));
}

void
probe_print_offer(const struct probe *p, const struct probe_handshake versions[2])
{
	if (p->handshake.is_tried) {
		printf("\nTLS\n");
		for (size_t i = 0; i < 2; i++)
			print_version(version_names[i], &versions[i]);
	}
	if (p->handshake.is_good)
		print_certificate(&p->handshake);
	if (last_hello(p).n)
		print_extensions(p);
	printf("\nLogins\n");
	if (!p->order->is_tls_first)
		print_login("in clear", logins(p->hello[PROBE_CLEAR]));
	if (p->handshake.is_good)
		print_login("under TLS", p->hello[PROBE_SECURE].n == 0 && err_is(&p->error)
						 ? S("not asked")
						 : logins(p->hello[PROBE_SECURE]));
	if (!p->handshake.is_tried)
		printf("\nNo TLS: %s\n", p->order->tls == PROBE_TLS_NEVER ? "as was asked for"
									  : "it is not offered");
}

/* ── JSON ── */

static void
add_steps(struct buf *to, const struct probe *p)
{
	buf_add(to, S(",\"steps\":["));
	for (size_t i = 0; i < p->steps_n; i++) {
		const struct probe_step *s = &p->steps[i];
		struct str line, rest = s->answer;
		bool is_more = rest.n > 0;

		buf_addf(to, "%s{\"step\":\"%s\",\"ms\":%.3f,\"code\":%d", i ? "," : "", s->name,
			(double)s->us / 1000, s->code);
		ask_json_text(to, "said", s->said);
		buf_add(to, S(",\"answers\":["));
		for (const char *comma = ""; is_more; comma = ",") {
			is_more = str_cut(rest, '\n', &line, &rest);
			buf_add(to, str_of(comma));
			codec_add_json(to, line);
		}
		buf_add(to, S("]}"));
	}
	buf_add_char(to, ']');
}

static void
add_extensions(struct buf *to, const char *name, struct str lines)
{
	struct str keyword, value, rest = lines;
	const char *comma = "";

	buf_addf(to, ",\"%s\":{", name);
	while (next_extension(&rest, &keyword, &value)) {
		struct str before = str_part(lines, 0, (size_t)(keyword.p - lines.p));

		if (has_keyword(before, keyword))
			continue;
		buf_add(to, str_of(comma));
		codec_add_json(to, keyword);
		buf_add_char(to, ':');
		codec_add_json(to, value);
		comma = ",";
	}
	buf_add_char(to, '}');
}

static void
add_handshake(struct buf *to, const struct probe_handshake *h)
{
	buf_addf(to, "{\"ok\":%s,\"ms\":%.3f", h->is_good ? "true" : "false", (double)h->us / 1000);
	if (h->is_good) {
		ask_json_text(to, "version", h->version);
		ask_json_text(to, "cipher", h->cipher);
		buf_addf(to, ",\"bits\":%d,\"verified\":%s", h->bits,
			h->is_verified ? "true" : "false");
	}
	ask_json_text(to, "why_not", h->is_good ? h->unverified : str_of(h->error.text));
}

static void
add_names(struct buf *to, struct str names)
{
	struct str name;

	buf_add(to, S(",\"names\":["));
	for (const char *comma = ""; names.n; comma = ",") {
		str_cut(names, ',', &name, &names);
		buf_add(to, str_of(comma));
		codec_add_json(to, name);
	}
	buf_add_char(to, ']');
}

static void
add_tls(struct buf *to, const struct probe *p, const struct probe_handshake versions[2])
{
	const struct tls_facts *f = &p->handshake.certificate;

	buf_add(to, S(",\"tls\":"));
	if (!p->handshake.is_tried) {
		buf_add(to, S("null"));
		return;
	}
	add_handshake(to, &p->handshake);
	if (p->handshake.is_good) {
		buf_add(to, S(",\"certificate\":{\"key\":"));
		codec_add_json(to, str_of(f->kind));
		add_names(to, str_of(f->names));
		ask_json_text(to, "issuer", str_of(f->issuer));
		ask_json_time(to, "from", (uint64_t)f->begins_s * 1000);
		ask_json_time(to, "until", (uint64_t)f->ends_s * 1000);
		buf_add_char(to, '}');
	}
	if (versions) {
		buf_add(to, S(",\"versions\":{"));
		for (size_t i = 0; i < 2; i++) {
			buf_addf(to, "%s\"%s\":", i ? "," : "", version_names[i]);
			add_handshake(to, &versions[i]);
			buf_add_char(to, '}');
		}
		buf_add_char(to, '}');
	}
	buf_add_char(to, '}');
}

void
probe_print_json(const struct probe *p, const struct probe_handshake versions[2], int exit_code)
{
	struct buf out = { .max = 1 << 28 };

	buf_addf(&out, "{\"ok\":%s,\"exit\":%d", exit_code == 0 ? "true" : "false", exit_code);
	ask_json_text(&out, "target", str_of(p->order->target));
	ask_json_text(&out, "error", str_of(p->error.text));
	add_steps(&out, p);
	add_tls(&out, p, versions);
	add_extensions(&out, "extensions", last_hello(p));
	add_extensions(&out, "extensions_in_clear", p->hello[PROBE_CLEAR]);
	buf_add(&out, S("}\n"));
	fwrite(out.p, 1, out.n, stdout);
	buf_free(&out);
}
