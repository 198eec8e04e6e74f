/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_core.h"

#include <inttypes.h>

#include "base/must.h"
#include "message/message.h"

/*
 * What is said of a mail, and what cannot be said.
 *
 * What a host does not offer is not said. For some of the extensions that leaves the mail with a choice, made before a
 * word of it is said:
 *
 *   SMTPUTF8       addresses in ASCII: the driver is asked for the message with an ASCII header; else it comes back (RFC 6531 §3.1)
 *   8BITMIME       as it is, which keeps signatures whole; or, if the settings say so, it comes back (RFC 6152 §3)
 *   CHUNKING       what only BDAT can carry comes back
 *   BINARYMIME     such a message goes by BDAT all the same, for a host that takes chunks seldom looks into them
 *   DSN            the requests are not passed on; who handed the mail to us hears `relayed` from us (RFC 3461 §5.2.2)
 *   REQUIRETLS     it comes back, also where this session is in clear, or nobody knows with whom (RFC 8689 §4.2.1)
 *   FUTURERELEASE  it comes back, also where the host holds mail for less long: sent now it would be too early (RFC 4865 §4)
 */

enum { PATH_MAX_SAID = 1000 }; /* octets of a path; RFC 5321 §4.5.3.1.3 says 256 */

/* ── What is possible ────────────────────────────────────────────────────────────────────────── */

static bool
is_path_sayable(struct str path)
{
	return path.n <= PATH_MAX_SAID && client_is_sayable(path);
}

/* RFC 5321 §4.1.2 esmtp-value, UTF-8 added by RFC 6533: what is no parameter cannot begin another one. */
static bool
is_value_sayable(struct str value, size_t most)
{
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] <= ' ' || value.p[i] == 0x7f)
			return false;
	return value.n <= most;
}

static bool
texts_are_sayable(const struct smtp_client_mail *mail)
{
	if (!is_path_sayable(mail->reverse_path) ||
		!is_value_sayable(mail->envid, DSN_ENVELOPE_ID_MAX))
		return false;
	for (size_t i = 0; i < mail->recipients_n; i++)
		if (!is_path_sayable(mail->recipients[i]) ||
			(mail->dsn && !is_value_sayable(mail->dsn[i].orcpt, DSN_ORIGINAL_MAX)))
			return false;
	return true;
}

static bool
addresses_are_ascii(const struct smtp_client_mail *mail)
{
	bool are_ascii = str_is_ascii(mail->reverse_path);

	for (size_t i = 0; i < mail->recipients_n; i++)
		are_ascii = are_ascii && str_is_ascii(mail->recipients[i]);
	return are_ascii;
}

/* For its header alone: what else is not ASCII needs SMTPUTF8 itself. */
bool
client_mail_needs_ascii(const struct smtp_client *c, const struct smtp_client_mail *mail)
{
	return mail->smtputf8 && !(c->offers & OFFERS_SMTPUTF8) && addresses_are_ascii(mail);
}

/* RFC 8689 §4.2.1. */
static bool
tls_suffices(const struct smtp_client *c, struct err *e)
{
	const char *lack = NULL;

	if (!c->is_secure)
		lack = "this connection has none";
	else if (!c->is_verified)
		lack = "the next host did not prove its name";
	else if (!(c->offers & OFFERS_REQUIRETLS))
		lack = "the next host does not offer REQUIRETLS";
	return !lack || err_set(e, ERR_PERMANENT, ERR_NEEDS_REQUIRETLS,
				"the mail demands TLS on the whole way, and %s", lack);
}

static bool
hold_suffices(const struct smtp_client *c, uint64_t hold_s, struct err *e)
{
	if (!(c->offers & OFFERS_FUTURERELEASE))
		return err_set(e, ERR_PERMANENT, ERR_NEEDS_HOLD,
			"the mail is for later, and the next host does not offer FUTURERELEASE");
	if (c->hold_most_s && hold_s > c->hold_most_s)
		return err_set(e, ERR_PERMANENT, ERR_NEEDS_HOLD,
			"the mail is to be held for %" PRIu64
			" seconds; the next host holds it for at most %" PRIu64,
			hold_s, c->hold_most_s);
	return true;
}

/* What the mail needs of the next host, and that is not to be had there. */
static bool
offers_suffice(const struct smtp_client *c, const struct smtp_client_mail *mail, struct err *e)
{
	if (mail->smtputf8 && !(c->offers & OFFERS_SMTPUTF8))
		return err_set(e, ERR_PERMANENT, ERR_NEEDS_SMTPUTF8,
			"an address or header is not ASCII, and the next host does not offer "
			"SMTPUTF8");
	if (mail->has_8bit && c->settings->bounces_8bit && !(c->offers & OFFERS_8BITMIME))
		return err_set(
			e, ERR_PERMANENT, ERR_NEEDS_8BITMIME, "the next host takes no 8-bit mail");
	if (mail->needs_chunking && !client_uses_chunking(c))
		return err_set(e, ERR_PERMANENT, ERR_NEEDS_CHUNKING,
			"the message holds NUL or lines over 998 octets, and the next host does "
			"not offer CHUNKING");
	return (!mail->requires_tls || tls_suffices(c, e)) &&
	       (!mail->hold_s || hold_suffices(c, mail->hold_s, e));
}

/* Everything that can be known to fail before a word is said. */
bool
client_mail_is_possible(
	const struct smtp_client *c, const struct smtp_client_mail *mail, struct err *e)
{
	if (!texts_are_sayable(mail))
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"an address is too long, or holds a line end or NUL; nothing was sent");
	if (c->size_max && mail->size > c->size_max)
		return err_set(e, ERR_PERMANENT, ERR_TOO_BIG,
			"the message has %" PRIu64 " octets; the next host takes at most %" PRIu64,
			mail->size, c->size_max);
	return offers_suffice(c, mail, e);
}

/* ── The lines ───────────────────────────────────────────────────────────────────────────────── */

static struct str
body_words(const struct smtp_client *c, const struct smtp_client_mail *mail)
{
	if (mail->needs_chunking && c->offers & OFFERS_BINARYMIME)
		return S(" BODY=BINARYMIME");
	if (mail->has_8bit && c->offers & OFFERS_8BITMIME)
		return S(" BODY=8BITMIME");
	return S("");
}

void
client_say_mail(struct smtp_client *c, const struct smtp_client_mail *mail)
{
	bool dsn = c->offers & OFFERS_DSN;
	char size[32] = "", hold[32] = "";

	if (c->offers & OFFERS_SIZE)
		snprintf(size, sizeof size, " SIZE=%" PRIu64, mail->size);
	if (mail->hold_s)
		snprintf(hold, sizeof hold, " HOLDFOR=%" PRIu64, mail->hold_s);
	say(c, S("MAIL FROM:<"), mail->reverse_path, S(">"), str_of(size), body_words(c, mail),
		mail->smtputf8 ? S(" SMTPUTF8") : S(""),
		mail->requires_tls ? S(" REQUIRETLS") : S(""), str_of(hold),
		!dsn || !mail->ret ? S("")
		: mail->ret == 'F' ? S(" RET=FULL")
				   : S(" RET=HDRS"),
		dsn && mail->envid.n ? S(" ENVID=") : S(""), dsn ? mail->envid : S(""));
}

/* "SUCCESS,FAILURE" (RFC 3461 §4.1). */
static struct str
notify_words(struct buf *to, uint8_t notify)
{
	static const struct {
		enum dsn_notify bit;
		struct str word;
	} words[] = {
		{ DSN_NOTIFY_NEVER, S("NEVER") },
		{ DSN_NOTIFY_SUCCESS, S("SUCCESS") },
		{ DSN_NOTIFY_FAILURE, S("FAILURE") },
		{ DSN_NOTIFY_DELAY, S("DELAY") },
	};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (notify & words[i].bit) {
			buf_add(to, to->n ? S(",") : S(" NOTIFY="));
			buf_add(to, words[i].word);
		}
	return buf_str(to);
}

void
client_say_rcpt(struct smtp_client *c, const struct smtp_client_mail *mail, size_t i)
{
	struct smtp_client_dsn dsn = { 0 };
	char room[64];
	struct buf notify = { .p = room, .capacity = sizeof room, .max = sizeof room };

	if (mail->dsn && c->offers & OFFERS_DSN)
		dsn = mail->dsn[i];
	if (!mail->smtputf8 && !str_is_ascii(dsn.orcpt))
		dsn.orcpt = S(""); /* RFC 6533 §3: such a one needs SMTPUTF8 */
	say(c, S("RCPT TO:<"), mail->recipients[i], S(">"), notify_words(&notify, dsn.notify),
		dsn.orcpt.n ? S(" ORCPT=") : S(""), dsn.orcpt);
}

/* DATA; or BDAT with the whole message as its one chunk, for which nobody has to be asked. */
void
client_say_content(struct smtp_client *c, const struct smtp_client_mail *mail)
{
	char size[32];

	if (!client_uses_chunking(c)) {
		say(c, S("DATA"));
		return;
	}
	snprintf(size, sizeof size, "%" PRIu64, mail->size);
	say(c, S("BDAT "), str_of(size), S(" LAST"));
	client_open_body(c);
}
