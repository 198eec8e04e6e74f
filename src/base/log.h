/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/str.h"

/*
 * One line an event on standard error: `role: event key=value …`. Values that hold blanks, quotes
 * or control characters are quoted and escaped, so a stranger's words cannot begin a line or paint
 * a terminal. A line that would block (a stalled reader of our standard error) is dropped and
 * counted, not waited for.
 */
void log_open(const char *role); /* the name lives as long as the process */
void log_event(const char *event, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line that another process has made with log_event; control characters are escaped all the same. */
void log_line(struct str line);

/* In this thread lines are gathered, and go out many in one write at log_flush: the loop calls it
 * once a turn. */
void log_gather(bool on);
void log_flush(void);

/* text quoted for a log line, in a ring of a few static places: only as an argument of log_event.
 */
const char *log_quote(struct str text);

#endif
