/* SPDX-License-Identifier: Apache-2.0 */
#include "route/hop.h"

#include "base/ip.h"

/* ── Packed ──────────────────────────────────────────────────────────────────────────────────── */

void
hop_add(struct buf *to, const struct hop *h)
{
	codec_add_str(to, h->host);
	codec_add_u8(to, (uint8_t)h->family);
	codec_add_u8(to, (uint8_t)h->protocol);
	buf_add(to, (struct str){ (const char *)h->address, sizeof h->address });
	codec_add_u16(to, h->port);
	codec_add_u16(to, h->preference);
	codec_add_u8(to, h->is_secure);
}

bool
hop_scan(struct str *in, struct hop *h)
{
	struct str rest = *in;
	struct hop got = { 0 };
	uint8_t family, protocol, is_secure;

	if (!codec_scan_str(&rest, &got.host) || !codec_scan_u8(&rest, &family) ||
		!codec_scan_u8(&rest, &protocol) ||
		!codec_scan_bytes(&rest, got.address, sizeof got.address) ||
		!codec_scan_u16(&rest, &got.port) || !codec_scan_u16(&rest, &got.preference) ||
		!codec_scan_u8(&rest, &is_secure))
		return false;
	if ((family != HOP_UNIX && family != HOP_IPV4 && family != HOP_IPV6) ||
		protocol > HOP_SMTPS || is_secure > 1 || got.host.n > HOP_HOST_MAX)
		return false;
	got.family = (enum hop_family)family;
	got.protocol = (enum hop_protocol)protocol;
	got.is_secure = is_secure;
	*h = got;
	*in = rest;
	return true;
}

void
step_add(struct buf *to, const struct step *s)
{
	codec_add_str(to, s->host);
	codec_add_str(to, s->address);
	codec_add_u8(to, s->stage);
	codec_add_u32(to, s->took_ms);
	codec_add_str(to, s->tls);
	codec_add_err(to, &s->err);
}

bool
step_scan(struct str *in, struct step *s)
{
	struct str rest = *in;
	struct step got = { 0 };

	if (!codec_scan_str(&rest, &got.host) || !codec_scan_str(&rest, &got.address) ||
		!codec_scan_u8(&rest, &got.stage) || !codec_scan_u32(&rest, &got.took_ms) ||
		!codec_scan_str(&rest, &got.tls) || !codec_scan_err(&rest, &got.err))
		return false;
	*s = got;
	*in = rest;
	return true;
}

/* ── Addresses as text ───────────────────────────────────────────────────────────────────────── */

bool
hop_set_address(struct hop *h, struct str text)
{
	enum ip_family family;

	if (!ip_read(text, &family, h->address))
		return false;
	h->family = family == IP_V4 ? HOP_IPV4 : HOP_IPV6;
	return true;
}

bool
hop_set_literal(struct hop *h, struct str literal)
{
	struct hop got = *h;
	struct str rest = literal, inside;
	bool has_tag;

	if (!scan_char(&rest, '[') || !scan_until(&rest, ']', &inside) || rest.n)
		return false;
	has_tag = scan_word_nocase(&inside, S("IPv6:"));
	if (!hop_set_address(&got, inside) || has_tag != (got.family == HOP_IPV6))
		return false;
	*h = got;
	return true;
}

void
hop_add_address(struct buf *to, enum hop_family family, const unsigned char *address)
{
	ip_add(to, family == HOP_IPV4 ? IP_V4 : IP_V6, address);
}

void
hop_add_text(struct buf *to, const struct hop *h)
{
	bool has_brackets = h->family == HOP_IPV6;

	if (h->family == HOP_UNIX) {
		buf_add(to, S("unix:"));
		buf_add_clean(to, h->host, true);
		return;
	}
	if (has_brackets)
		buf_add_char(to, '[');
	hop_add_address(to, h->family, h->address);
	buf_addf(to, has_brackets ? "]:%u" : ":%u", h->port);
}
