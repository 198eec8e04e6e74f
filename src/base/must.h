/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_MUST_H
#define BASE_MUST_H

/*
 * must(x): x holds, or this process has a bug and stops here, in release builds too. Input can
 * never make a must() fail: what a peer or a disk may do wrong is a struct err. The master restarts
 * the role, and the log keeps the mail.
 */
#define must(x) ((x) ? (void)0 : must_fail(#x, __FILE__, __LINE__))

_Noreturn void must_fail(const char *what, const char *file, int line);

#endif
