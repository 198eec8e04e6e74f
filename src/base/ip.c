/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ip.h"

#include "base/codec.h"

enum { GROUPS = 8 }; /* of an IPv6 address, 16 bits each */

bool
ip_scan4(struct str *in, unsigned char octets[4])
{
	struct str rest = *in;
	uint64_t octet;

	for (size_t i = 0; i < 4; i++) {
		size_t before;

		if (i && !scan_char(&rest, '.'))
			return false;
		before = rest.n;
		if (!scan_u64(&rest, &octet) || octet > 255 || before - rest.n > 3)
			return false;
		octets[i] = (unsigned char)octet;
	}
	*in = rest;
	return true;
}

/* One to four hexadecimal digits. */
static bool
scan_group(struct str *in, unsigned char octets[2])
{
	char digits[4] = "0000";
	size_t n = 0;

	while (n < in->n && n < 5 && in->p[n] != ':')
		n++;
	if (n == 0 || n > 4)
		return false;
	memcpy(digits + 4 - n, in->p, n);
	if (!codec_from_hex((struct str){ digits, 4 }, octets, 2))
		return false;
	*in = str_from(*in, n);
	return true;
}

/*
 * Groups are gathered from the left; where "::" stood, what came behind it is moved to the end.
 * The last two groups may be written as an IPv4 address.
 */
bool
ip_read6(struct str text, unsigned char to[16])
{
	unsigned char octets[2 * GROUPS] = { 0 };
	size_t n = 0, gap = SIZE_MAX;

	if (scan_word_nocase(&text, S("::")))
		gap = 0;
	while (text.n && n < sizeof octets) {
		struct str dotted = text;

		if (n + 4 <= sizeof octets && ip_scan4(&dotted, octets + n)) {
			n += 4;
			text = dotted;
			break;
		}
		if (!scan_group(&text, octets + n))
			return false;
		n += 2;
		if (gap == SIZE_MAX && scan_word_nocase(&text, S("::")))
			gap = n;
		else if (text.n && (!scan_char(&text, ':') || text.n == 0))
			return false;
	}
	if (text.n || (gap == SIZE_MAX) != (n == sizeof octets))
		return false;
	memcpy(to, octets, sizeof octets);
	if (gap < n) {
		memset(to + gap, 0, sizeof octets - gap);
		memcpy(to + sizeof octets - (n - gap), octets + gap, n - gap);
	}
	return true;
}
