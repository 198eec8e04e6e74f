/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_MASTER_START_H
#define ROLE_MASTER_START_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/ipc.h"
#include "io/loop.h"
#include "role/role.h"
#include "role/master/master.h"
#include "role/master/words.h"

/*
 * The station as master.c and start.c see it: its processes, and what is handed to them when they begin. start.c makes a process
 * and gives it what is its own; master.c decides when, hears what it says, and buries it.
 */

enum { PROCESSES = MASTER_READER, READERS_MAX = ROLE_READERS_MAX };

struct process {
	enum ipc_role role;
	enum master_place place;
	bool is_wanted; /* else never started */
	pid_t pid;	/* 0: absent */
	int pidfd;
	struct ipc *channel;
	struct loop_watch *watch;
	struct loop_timer *again;
	int64_t started_ms;
	int64_t pause_ms;
	bool is_guarded, is_ready;
	unsigned restarts; /* after it died */
	int executable; /* opened at the start: every role is of one version, and need not reach the path */
	struct buf guard;   /* what the kernel keeps it from, in its own words */
	struct words words; /* its standard error */
	struct complaint {
		int64_t since_ms;
		unsigned lost, faults;
		bool is_cut;	 /* the channel between the two is to be made anew */
	} complaints[PROCESSES]; /* of this process about its peers, lately */
	struct seat *seat;	 /* of a reader; else NULL */
	struct master *master;
};

/* A reader and what it reads. The texts are vault's. */
struct seat {
	struct process process;
	struct buf login, directory, token, addresses;
	pid_t web, queue; /* those that it is joined to */
	int64_t asked_ms; /* vault last spoke of it */
	int64_t speaks_since_ms;
	unsigned speaks; /* connections to receive that it wanted since then */
};

struct master {
	struct loop *loop;
	const char *path;
	master_read *read_config;
	struct master_plan plan;
	uint32_t configuration; /* its number: reloads so far */
	int config_fd;
	int doors[MASTER_DOORS_MAX];
	int submit, control;
	int64_t started_ms, watchdog_ms;
	struct loop_timer *watchdog;
	int table; /* what the gate remembers */
	struct loop_timer *keep_table;
	struct loop_timer *join;
	struct process processes[PROCESSES];
	struct seat *seats[READERS_MAX]; /* NULL: free */
	int reader_executable;
	void (*reader_ended)(struct master *m);
	struct loop_watch *signals;
	struct loop_timer *deadline;
	int signal_fd;
	struct buf certificates; /* of the doors, in vault's words: lines */
	unsigned draining;	 /* how many stages of the order below have begun */
	bool was_ready;
	int exit_code;
};

/* Everybody who may live: the roles, then the readers; NULL behind the last. *at begins as 0. */
struct process *master_next_process(struct master *m, size_t *at);
void master_reload(struct master *m); /* reload.c */

bool start_open_executable(struct process *p, struct err *e);

/* Starts the role, hands over what it needs and joins it to its peers. `died` and `came` are called with the process. False: the
 * machine has no process or descriptor left, and nothing has changed. */
bool start_role(struct process *p, void (*died)(void *owner, int events),
	void (*came)(void *owner, struct ipc *from, struct ipc_message *m));

void start_hand_over_mailbox(struct seat *s);

bool start_open_submit(
	struct master *m, struct err *e); /* the UNIX sockets in the state directory */
bool start_open_control(struct master *m, struct err *e);
void start_hand_over_configuration(struct process *p); /* with vault's files */
bool start_may_talk(enum ipc_role a, enum ipc_role b);
/* A fresh channel between two that may talk, and live. */
void start_join(struct process *a, struct process *b);

#endif
