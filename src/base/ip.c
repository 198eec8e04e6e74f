/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ip.h"

#include "base/codec.h"

enum { GROUPS = 8 }; /* of an IPv6 address, 16 bits each */

/* "192.0.2.1" at the head of in. */
static bool
scan4(struct str *in, unsigned char octets[4])
{
	struct str rest = *in;
	uint64_t octet;

	for (size_t i = 0; i < 4; i++) {
		bool has_zero;
		size_t before;

		if (i && !scan_char(&rest, '.'))
			return false;
		has_zero = str_starts(rest, S("0"));
		before = rest.n;
		if (!scan_u64(&rest, &octet) || octet > 255 || (has_zero && before - rest.n > 1))
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
static bool
read6(struct str text, unsigned char to[16])
{
	unsigned char octets[2 * GROUPS] = { 0 };
	size_t n = 0, gap = SIZE_MAX;

	if (scan_word_nocase(&text, S("::")))
		gap = 0;
	while (text.n && n < sizeof octets) {
		struct str dotted = text;

		if (n + 4 <= sizeof octets && scan4(&dotted, octets + n)) {
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

bool
ip_read(struct str text, enum ip_family *family, unsigned char octets[16])
{
	unsigned char four[16] = { 0 };
	struct str rest = text;

	if (scan4(&rest, four) && rest.n == 0) {
		*family = IP_V4;
		memcpy(octets, four, sizeof four);
		return true;
	}
	if (!read6(text, octets))
		return false;
	*family = IP_V6;
	return true;
}

/* The longest run of two or more zero groups, the first of equals: RFC 5952 §4.2. */
static void
find_zeros(const unsigned char *octets, size_t *begin, size_t *end)
{
	*begin = *end = GROUPS;
	for (size_t i = 0, run = 0; i < GROUPS; i++) {
		run = octets[2 * i] || octets[2 * i + 1] ? 0 : run + 1;
		if (run >= 2 && run > *end - *begin) {
			*begin = i + 1 - run;
			*end = i + 1;
		}
	}
}

void
ip_add(struct buf *to, enum ip_family family, const unsigned char *octets)
{
	size_t begin, end;

	if (family == IP_V4) {
		buf_addf(to, "%u.%u.%u.%u", octets[0], octets[1], octets[2], octets[3]);
		return;
	}
	find_zeros(octets, &begin, &end);
	for (size_t i = 0; i < GROUPS; i++)
		if (i == begin) {
			buf_add(to, S("::"));
			i = end - 1;
		} else {
			buf_addf(to, "%s%x", i == 0 || i == end ? "" : ":",
				(unsigned)octets[2 * i] << 8 | octets[2 * i + 1]);
		}
}

bool
ip_is_mapped(const unsigned char octets[16])
{
	static const unsigned char head[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(octets, head, sizeof head) == 0;
}

bool
ip_is_loopback(enum ip_family family, const unsigned char *octets)
{
	static const unsigned char one[16] = { [15] = 1 };

	if (family == IP_V4)
		return octets[0] == 127;
	return memcmp(octets, one, sizeof one) == 0 || (ip_is_mapped(octets) && octets[12] == 127);
}
