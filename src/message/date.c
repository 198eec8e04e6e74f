/* SPDX-License-Identifier: Apache-2.0 */
#include "message/message.h"

#include <time.h>

void
date_add(struct buf *to, int64_t unix_seconds)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
		"Sep", "Oct", "Nov", "Dec" };
	static const int64_t year_10000 = 253402300800; /* RFC 5322 §3.3 has four digits */
	time_t t = unix_seconds >= 0 && unix_seconds < year_10000 ? unix_seconds : 0;
	struct tm tm;

	gmtime_r(&t, &tm);
	buf_addf(to, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday,
		months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}
