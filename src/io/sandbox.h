/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_SANDBOX_H
#define IO_SANDBOX_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * What the kernel keeps a process from. Three steps, in this order, since each binds what comes after it:
 *
 *   sandbox_shed         between fork and exec: another user, no capabilities, no network but what is handed over
 *   sandbox_close_files  before the first thread: Landlock, which binds the calling thread and those it starts
 *   sandbox_close_calls  after the last thread has begun (io/thread.h): seccomp, for all threads at once
 *
 * A kernel without one of them is "not here", which is said and never fatal; a kernel that has it and does not hold it, is.
 */

enum sandbox_may {
	SANDBOX_OPENS = 1,	/* the paths of its list */
	SANDBOX_CHANGES = 2,	/* makes, renames and removes files there */
	SANDBOX_DIALS = 4,	/* connects by TCP */
	SANDBOX_DIALS_UNIX = 8, /* connects to UNIX sockets */
	SANDBOX_ASKS = 16,	/* speaks UDP, and learns the machine's own addresses */
	SANDBOX_SECRET = 32,	/* its memory is not to be looked at by its own user */
	SANDBOX_PAIRS = 64, /* makes pairs of UNIX sockets, which lead nowhere but to each other */
};

enum { SANDBOX_LINES_MAX = 4096 }; /* octets of sandbox_describe */

struct sandbox_path {
	struct str
		path; /* a directory with all below it, or a file; one that is not there is left out */
	bool may_change;
};

struct sandbox {
	unsigned may;
	const struct sandbox_path *paths;
	size_t paths_n;
	uint64_t file_max; /* no file of it grows beyond these octets; 0: any number */
	/* What holds, filled by the three steps. */
	bool has_no_network;
	int landlock;	/* its ABI; 0: not here */
	unsigned calls; /* how many calls of the kernel are left; 0: seccomp is not here */
	unsigned tried; /* acts that sandbox_try found refused */
};

/* In a child of master, before exec: only calls that are safe there. user NULL: stay who we are. False with errno: the user could
 * not be changed, and nothing may be executed. */
struct sandbox_user {
	uid_t uid;
	gid_t gid;
};
bool sandbox_shed(const struct sandbox_user *user, unsigned may);

/* Before the loop: io_uring alone. libuv from 1.45 on prepares a ring where the kernel has it, without an option that says no, and aborts
 * when the calls are closed later. A kernel without such filters has none to take away either. */
void sandbox_close_rings(void);

bool sandbox_close_files(struct sandbox *s, struct err *e);
bool sandbox_close_calls(struct sandbox *s, struct err *e);

/* Tries what must not work. False: something that this kernel can forbid has worked; e names it. */
bool sandbox_try(struct sandbox *s, struct err *e);

/* Lines for people: what holds, and "lacks …" for what this kernel has not. */
void sandbox_describe(const struct sandbox *s, struct buf *lines);

bool sandbox_is_built(
	void); /* false with -Disolation=false, for measurements alone: then all of the above does nothing */
bool sandbox_is_sanitized(void); /* the runtime of a sanitizer needs calls and files of its own */

/* Of sandbox_calls.c: the filter. False with e; *n stays 0 where the kernel has no seccomp. */
bool sandbox_calls_load(unsigned may, unsigned *n, struct err *e);

#endif
