/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * One loop a thread, over libuv: readiness of descriptors, timers, wake-ups from other threads. A
 * callback gets the owner it was registered with. The handles are the loop's; *_close may be called
 * at any time, also from the callback, and no callback comes after it.
 */
struct loop;

struct loop *loop_open(void);
void loop_run(struct loop *l); /* until loop_stop */
void loop_stop(struct loop *l);
void loop_close(struct loop **l);
int64_t loop_now_ms(struct loop *l); /* monotonic, cached for one turn */
int64_t loop_clock_ms(void);	     /* the same clock, read now */
int64_t loop_wall_ms(void);	     /* since 1970 */

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

struct loop_watch; /* one descriptor */
struct loop_watch *loop_watch_open(
	struct loop *l, int fd, void (*ready)(void *owner, int events), void *owner);
void loop_watch_set(struct loop_watch *w,
	int events); /* LOOP_READ | LOOP_WRITE; 0 pauses; setting the same again is free */
void loop_watch_close(
	struct loop_watch **w); /* does not close the descriptor; call before closing it */

struct loop_timer;
struct loop_timer *loop_timer_open(struct loop *l, void (*due)(void *owner), void *owner);
void loop_timer_set(
	struct loop_timer *t, int64_t in_ms); /* once; sets anew when running; negative stops */
void loop_timer_close(struct loop_timer **t);

struct loop_wake; /* the only thing here that another thread may touch: loop_wake_up */
struct loop_wake *loop_wake_open(struct loop *l, void (*woken)(void *owner), void *owner);
void loop_wake_up(struct loop_wake *w);
void loop_wake_close(struct loop_wake **w);

#endif
