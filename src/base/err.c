/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void
err_clean(struct err *e)
{
	for (char *c = e->text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}

bool
err_set(struct err *e, enum err_class class, enum err_kind kind, const char *format, ...)
{
	va_list args;

	*e = (struct err){ .class = class, .kind = kind };
	va_start(args, format);
	vsnprintf(e->text, sizeof e->text, format, args);
	va_end(args);
	err_clean(e);
	return false;
}

bool
err_set_errno(struct err *e, const char *format, ...)
{
	va_list args;
	int cause = errno;
	size_t n;

	*e = (struct err){ .class = ERR_TEMPORARY, .kind = ERR_LOCAL, .cause = cause };
	va_start(args, format);
	vsnprintf(e->text, sizeof e->text, format, args);
	va_end(args);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof e->text - n, ": %s", strerror(cause));
	err_clean(e);
	return false;
}
