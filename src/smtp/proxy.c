/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/proxy.h"

#include "base/ip.h"

/*
 * Version 1 is a line of at most 107 octets:
 *
 *   "PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n"     source, destination, their ports
 *   "PROXY TCP6 2001:db8::1 2001:db8::2 56324 25\r\n"
 *   "PROXY UNKNOWN …\r\n"                                whatever stands there is passed over
 *
 * Version 2, numbers big-endian:
 *
 *   0   twelve octets that no protocol begins with (signature)
 *   12  version (2) in the high half; command in the low one: 0 LOCAL, 1 PROXY
 *   13  family in the high half: 1 IPv4, 2 IPv6, 3 UNIX; transport in the low one: 1 stream
 *   14  how many octets follow (16 bits)
 *   16  source address, destination address, source port, destination port; then TLVs
 */

enum {
	LINE_MAX = 107,
	HEAD = 16, /* of version 2, with its length */
	COMMAND_LOCAL = 0x20,
	COMMAND_PROXY = 0x21,
	TCP_OVER_IPV4 = 0x11,
	TCP_OVER_IPV6 = 0x21,
	FAMILY_MAX = 3, /* what is above is for nobody to understand */
	TRANSPORT_MAX = 2,
};

static const struct str line_begins = S("PROXY "), signature = S("\r\n\r\n\0\r\nQUIT\n");

static uint16_t
get_u16_big(const char *p)
{
	return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

/* ── Version 1 ───────────────────────────────────────────────────────────────────────────────── */

static bool
read_address(struct str text, enum proxy_family family, unsigned char address[16])
{
	enum ip_family is;

	return ip_read(text, &is, address) && (is == IP_V6) == (family == PROXY_IPV6);
}

/* 0 to 65535, without zeros in front. */
static bool
read_port(struct str text, uint16_t *port)
{
	bool has_zero = text.n > 1 && text.p[0] == '0';
	uint64_t value;

	if (has_zero || !scan_u64(&text, &value) || text.n || value > UINT16_MAX)
		return false;
	*port = (uint16_t)value;
	return true;
}

/* What stands behind "PROXY TCP4 " or "PROXY TCP6 ": four words with one blank between them. */
static bool
read_ends(struct str text, struct proxy *p)
{
	struct str source, destination, source_port;

	return scan_until(&text, ' ', &source) && scan_until(&text, ' ', &destination) &&
	       scan_until(&text, ' ', &source_port) &&
	       read_address(source, p->family, p->source.address) &&
	       read_address(destination, p->family, p->destination.address) &&
	       read_port(source_port, &p->source.port) && read_port(text, &p->destination.port);
}

static bool
read_line(struct str line, struct proxy *p)
{
	if (str_eq(line, S("UNKNOWN")) || str_starts(line, S("UNKNOWN ")))
		return true;
	if (str_starts(line, S("TCP4 ")))
		p->family = PROXY_IPV4;
	else if (str_starts(line, S("TCP6 ")))
		p->family = PROXY_IPV6;
	else
		return false;
	return read_ends(str_from(line, 5), p);
}

static enum proxy_result
scan_line(struct str *in, struct proxy *p)
{
	struct str head = str_part(*in, 0, LINE_MAX);
	size_t end = str_find(head, '\r');

	if (str_find(head, '\n') < end)
		return PROXY_BAD;
	if (end + 1 >= head.n)
		return head.n == LINE_MAX ? PROXY_BAD : PROXY_MORE;
	if (head.p[end + 1] != '\n' ||
		!read_line(str_from(str_part(head, 0, end), line_begins.n), p))
		return PROXY_BAD;
	*in = str_from(*in, end + 2);
	return PROXY_OK;
}

/* ── Version 2 ───────────────────────────────────────────────────────────────────────────────── */

/* Two addresses of n octets and two ports; false when they are not all there. */
static bool
take_ends(struct str block, size_t n, struct proxy *p)
{
	if (block.n < 2 * n + 4)
		return false;
	memcpy(p->source.address, block.p, n);
	memcpy(p->destination.address, block.p + n, n);
	p->source.port = get_u16_big(block.p + 2 * n);
	p->destination.port = get_u16_big(block.p + 2 * n + 2);
	return true;
}

static bool
read_block(int command, int family, struct str block, struct proxy *p)
{
	if (command == COMMAND_LOCAL)
		return true;
	if (command != COMMAND_PROXY || family >> 4 > FAMILY_MAX || (family & 15) > TRANSPORT_MAX)
		return false;
	switch (family) {
	case TCP_OVER_IPV4:
		p->family = PROXY_IPV4;
		return take_ends(block, 4, p);
	case TCP_OVER_IPV6:
		p->family = PROXY_IPV6;
		return take_ends(block, 16, p);
	default: /* UNIX, datagrams, or not said */
		return true;
	}
}

static enum proxy_result
scan_binary(struct str *in, struct proxy *p)
{
	struct str block;
	size_t length;

	if (in->n < HEAD)
		return PROXY_MORE;
	length = get_u16_big(in->p + 14);
	if (length > PROXY_HEADER_MAX - HEAD)
		return PROXY_BAD;
	block = str_part(*in, HEAD, length);
	if (block.n < length)
		return PROXY_MORE;
	if (!read_block((unsigned char)in->p[12], (unsigned char)in->p[13], block, p))
		return PROXY_BAD;
	*in = str_from(*in, HEAD + length);
	return PROXY_OK;
}

/* Do they agree as far as both go? */
static bool
agree(struct str in, struct str beginning)
{
	return str_starts(beginning, str_part(in, 0, beginning.n));
}

enum proxy_result
proxy_scan(struct str *in, struct proxy *p)
{
	struct proxy got = { 0 };
	enum proxy_result result = PROXY_MORE;

	if (!agree(*in, line_begins) && !agree(*in, signature))
		return PROXY_BAD;
	if (in->n >= line_begins.n && agree(*in, line_begins))
		result = scan_line(in, &got);
	else if (in->n >= signature.n)
		result = scan_binary(in, &got);
	if (result == PROXY_OK)
		*p = got;
	return result;
}
