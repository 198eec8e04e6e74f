/* SPDX-License-Identifier: Apache-2.0 */
#include "role/web/web.h"

#include <netinet/in.h>

#include "base/must.h"

/*
 * What Thunderbird and those who learned from it ask for when somebody types an address (Mozilla's autoconfiguration, version 1.1): where mail is handed in,
 * and where it is read, if the file names a server of IMAP beside us (web { imap = … }). It says nothing that a scan of the ports would not, and is for all.
 */

enum { TEXT_MAX = 256 * 1024 };

static void
add_server(struct buf *to, const char *element, const char *type, struct str host, unsigned port,
	const char *security)
{
	buf_addf(to, "    <%s type=\"%s\">\n      <hostname>", element, type);
	buf_add_markup(to, host);
	buf_addf(to,
		"</hostname>\n      <port>%u</port>\n      <socketType>%s</socketType>\n      "
		"<authentication>password-cleartext</authentication>\n"
		"      <username>%%EMAILADDRESS%%</username>\n    </%s>\n",
		port, security, element);
}

static void
add_imap(struct buf *to, const struct config_imap *imap)
{
	if (imap->host.n)
		add_server(to, "incomingServer", "imap", imap->host, imap->port,
			imap->is_tls ? "SSL" : "STARTTLS");
}

static void
add_door(struct buf *to, const struct config *c, const struct config_listen *l)
{
	add_server(to, "outgoingServer", "smtp", c->hostname, config_port(&l->on[0]),
		l->door == CONFIG_SUBMISSIONS ? "SSL"
		: l->has_no_tls		      ? "plain"
					      : "STARTTLS");
}

static void
add_doors(struct buf *to, const struct config *c, enum config_door door)
{
	for (size_t i = 0; i < c->listens_n; i++)
		if (c->listens[i].door == door && c->listens[i].on_n)
			add_door(to, c, &c->listens[i]);
}

/* The first is preferred: TLS from the first octet on (RFC 8314 §3.3). */
enum turn
autoconfig_show(struct request *r)
{
	const struct config *c = &r->web->role.config;
	struct buf text = { .max = TEXT_MAX };
	struct MHD_Response *response;

	buf_add(&text, S("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig "
			 "version=\"1.1\">\n  <emailProvider id=\""));
	buf_add_markup(&text, c->hostname);
	buf_add(&text, S("\">\n"));
	for (size_t i = 0; i < c->domains_n; i++) {
		buf_add(&text, S("    <domain>"));
		buf_add_markup(&text, c->domains[i].name);
		buf_add(&text, S("</domain>\n"));
	}
	buf_add(&text, S("    <displayName>"));
	buf_add_markup(&text, c->hostname);
	buf_add(&text, S("</displayName>\n"));
	add_imap(&text, &c->web.imap);
	add_doors(&text, c, CONFIG_SUBMISSIONS);
	add_doors(&text, c, CONFIG_SUBMISSION);
	buf_add(&text, S("  </emailProvider>\n</clientConfig>\n"));
	response = MHD_create_response_from_buffer(text.n, text.p, MHD_RESPMEM_MUST_COPY);
	must(response);
	answer_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, S("text/xml; charset=utf-8"));
	buf_free(&text);
	return answer_send_take(r, MHD_HTTP_OK, response);
}
