/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_THREAD_H
#define IO_THREAD_H

#include <pthread.h>

/*
 * Starts a thread, and returns when it has begun: what the C library says to the kernel at a thread's start is said then, so
 * that a filter of calls may be put on all threads (sandbox_close_calls kills one that is still about to say it). Signals are
 * blocked in it: they are the loop's.
 */
void thread_start(pthread_t *thread, void *(*run)(void *), void *of);

#endif
