/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"

enum { DAY = 86400 };

static const int64_t year_10000 = 253402300800; /* RFC 5322 §3.3 and RFC 3339 §1 have four digits */

struct moment {
	int year, month, day; /* month and day of it from 0 */
	int second;	      /* of the day */
	int weekday;	      /* from 0, a Thursday */
};

static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int
month_days(int year, int month)
{
	static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month] + (month == 1 && is_leap(year));
}

/* A moment that has no four-digit year since 1970 becomes the first one. */
static struct moment
moment_of(int64_t unix_seconds)
{
	bool can_be_said = unix_seconds >= 0 && unix_seconds < year_10000;
	int day = can_be_said ? (int)(unix_seconds / DAY) : 0;
	struct moment m = { .year = 1970,
		.second = can_be_said ? (int)(unix_seconds % DAY) : 0,
		.weekday = day % 7 };

	for (; day >= 365 + is_leap(m.year); m.year++)
		day -= 365 + is_leap(m.year);
	for (; day >= month_days(m.year, m.month); m.month++)
		day -= month_days(m.year, m.month);
	m.day = day;
	return m;
}

void
date_add(struct buf *to, int64_t unix_seconds)
{
	static const char weekdays[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
		"Sep", "Oct", "Nov", "Dec" };
	struct moment m = moment_of(unix_seconds);

	buf_addf(to, "%s, %d %s %d %02d:%02d:%02d +0000", weekdays[m.weekday], m.day + 1,
		months[m.month], m.year, m.second / 3600, m.second / 60 % 60, m.second % 60);
}

void
date_add_rfc3339(struct buf *to, int64_t unix_seconds)
{
	struct moment m = moment_of(unix_seconds);

	buf_addf(to, "%04d-%02d-%02dT%02d:%02d:%02dZ", m.year, m.month + 1, m.day + 1,
		m.second / 3600, m.second / 60 % 60, m.second % 60);
}

/* Exactly n digits, from least to most. */
static bool
scan_digits(struct str *in, size_t n, int least, int most, int *value)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (i >= in->n || !char_is_digit(in->p[i]))
			return false;
		v = 10 * v + (in->p[i] - '0');
	}
	if (v < least || v > most)
		return false;
	*value = v;
	*in = str_from(*in, n);
	return true;
}

static void
skip_fraction(struct str *in)
{
	struct str rest = *in;
	size_t n = 0;

	if (!scan_char(&rest, '.'))
		return;
	while (n < rest.n && char_is_digit(rest.p[n]))
		n++;
	if (n)
		*in = str_from(rest, n);
}

bool
date_scan_rfc3339(struct str *in, int64_t *unix_seconds)
{
	struct str rest = *in;
	int year, month, day, hour, minute, second;
	int64_t days = 0;

	if (!(scan_digits(&rest, 4, 1970, 9999, &year) && scan_char(&rest, '-') &&
		    scan_digits(&rest, 2, 1, 12, &month) && scan_char(&rest, '-') &&
		    scan_digits(&rest, 2, 1, month_days(year, month - 1), &day) &&
		    scan_word_nocase(&rest, S("T")) && scan_digits(&rest, 2, 0, 23, &hour) &&
		    scan_char(&rest, ':') && scan_digits(&rest, 2, 0, 59, &minute) &&
		    scan_char(&rest, ':') && scan_digits(&rest, 2, 0, 60, &second)))
		return false;
	skip_fraction(&rest);
	if (!scan_word_nocase(&rest, S("Z")))
		return false;
	for (int y = 1970; y < year; y++)
		days += 365 + is_leap(y);
	for (int m = 0; m < month - 1; m++)
		days += month_days(year, m);
	*unix_seconds = (days + day - 1) * DAY + hour * 3600 + minute * 60 + second;
	*in = rest;
	return true;
}
