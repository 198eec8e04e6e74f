/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/letter_core.h"

/*
 * Dates as mail has them: "Mon, 23 Nov 2026 05:19:00 +0800 (CST)" (RFC 5322 §3.3) and what is nearly that: no day, no seconds, two digits of a year,
 * names of zones (§4.3), dots between the numbers of an hour.
 */

/* Words in front of digits, commas and comments are passed over. */
static bool
scan_number(struct str *in, uint64_t most, uint64_t *value)
{
	letter_skip_cfws(in, NULL);
	return scan_u64(in, value) && *value <= most;
}

static bool
scan_month(struct str *in, uint64_t *month)
{
	static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

	letter_skip_cfws(in, NULL);
	scan_char(in, '-');
	for (*month = 0; *month < 12; ++*month)
		if (scan_word_nocase(in, (struct str){ names + *month * 3, 3 })) {
			while (in->n &&
				(char_is_alpha(in->p[0]) || in->p[0] == '-' || in->p[0] == '.'))
				*in = str_from(*in, 1);
			++*month;
			return true;
		}
	return false;
}

static bool
scan_time(struct str *in, uint64_t *hour, uint64_t *minute, uint64_t *second)
{
	*second = 0;
	if (!scan_number(in, 24, hour))
		return false;
	letter_skip_cfws(in, NULL);
	if ((!scan_char(in, ':') && !scan_char(in, '.')) || !scan_number(in, 59, minute))
		return false;
	letter_skip_cfws(in, NULL);
	return (!scan_char(in, ':') && !scan_char(in, '.')) || scan_number(in, 60, second);
}

/* Minutes east of Greenwich; what is not known is 0, which RFC 5322 §4.3 wants. */
static int
scan_zone(struct str *in)
{
	static const struct {
		struct str name;
		int hours;
	} rows[] = { { S("EST"), -5 }, { S("EDT"), -4 }, { S("CST"), -6 }, { S("CDT"), -5 },
		{ S("MST"), -7 }, { S("MDT"), -6 }, { S("PST"), -8 }, { S("PDT"), -7 },
		{ S("CEST"), 2 }, { S("CET"), 1 }, { S("JST"), 9 } };
	uint64_t number;
	int sign = 1;

	letter_skip_cfws(in, NULL);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (scan_word_nocase(in, rows[i].name))
			return rows[i].hours * 60;
	if (!scan_word_nocase(in, S("GMT")))
		scan_word_nocase(in, S("UT"));
	if (scan_char(in, '-'))
		sign = -1;
	else if (!scan_char(in, '+'))
		return 0;
	if (!scan_u64(in, &number))
		return 0;
	if (scan_char(in, ':'))
		number = number * 100 +
			 (in->n > 1 ? (uint64_t)(in->p[0] - '0') * 10 + (uint64_t)(in->p[1] - '0')
				    : 0);
	return number > 2359 ? 0 : sign * (int)(number / 100 * 60 + number % 100);
}

/* Days since 1970 of a day of the Gregorian calendar; years begin in March, so that the odd day is the last. */
static int64_t
days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month > 2 ? year : year - 1,
		of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return y * 365 + y / 4 - y / 100 + y / 400 + of_year - 719468;
}

bool
letter_field_date(struct str raw, int64_t *unix_s, int *offset_minutes)
{
	uint64_t day, month, year, hour, minute, second;
	size_t digits;

	raw = str_part(raw, 0, 1024);
	letter_skip_cfws(&raw, NULL);
	while (raw.n && !char_is_digit(raw.p[0])) {
		raw = str_from(raw, 1); /* the day's name, right or wrong */
		letter_skip_cfws(&raw, NULL);
	}
	if (!scan_number(&raw, 31, &day) || day == 0 || !scan_month(&raw, &month))
		return false;
	letter_skip_cfws(&raw, NULL);
	digits = raw.n;
	if (!scan_number(&raw, 9999, &year))
		return false;
	digits -= raw.n;
	if (digits < 4)
		year += digits == 2 && year < 50 ? 2000 : 1900; /* RFC 5322 §4.3 */
	if (!scan_time(&raw, &hour, &minute, &second))
		hour = minute = second = 0;
	*offset_minutes = scan_zone(&raw);
	*unix_s = days_of((int64_t)year, (int64_t)month, (int64_t)day) * 86400 +
		  (int64_t)(hour * 3600 + minute * 60 + second) - (int64_t)*offset_minutes * 60;
	return true;
}
