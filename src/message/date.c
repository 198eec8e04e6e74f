/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"

enum { DAY = 86400 };

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

void
date_add(struct buf *to, int64_t unix_seconds)
{
	static const char weekdays[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
		"Sep", "Oct", "Nov", "Dec" };
	static const int64_t year_10000 = 253402300800; /* RFC 5322 §3.3 has four digits */
	bool can_be_said = unix_seconds >= 0 && unix_seconds < year_10000;
	int day = can_be_said ? (int)(unix_seconds / DAY) : 0; /* since a Thursday */
	int second = can_be_said ? (int)(unix_seconds % DAY) : 0;
	int weekday = day % 7, year = 1970, month = 0;

	for (; day >= 365 + is_leap(year); year++)
		day -= 365 + is_leap(year);
	for (; day >= month_days(year, month); month++)
		day -= month_days(year, month);
	buf_addf(to, "%s, %d %s %d %02d:%02d:%02d +0000", weekdays[weekday], day + 1, months[month],
		year, second / 3600, second / 60 % 60, second % 60);
}
