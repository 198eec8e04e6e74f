/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_MASTER_MASTER_H
#define ROLE_MASTER_MASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * What the checker read out of the configuration for master, in fixed layout: master itself parses
 * nothing. `serve` makes it in a child process that also checks the whole file.
 */
enum {
	MASTER_DOORS_MAX = 64,
	MASTER_FILTERS_MAX = 8,
	MASTER_MAIL_ROOTS_MAX = 64,
	MASTER_FILES_MAX = 256
};

/* The roles, in the order in which they are started. */
enum master_place {
	MASTER_VAULT,
	MASTER_RESOLVE,
	MASTER_STORE,
	MASTER_SEND,
	MASTER_QUEUE,
	MASTER_RECEIVE,
	MASTER_WEB,    /* only where the file has a door for it */
	MASTER_READER, /* none at the start; one for each mailbox that is read */
	MASTER_PLACES
};

struct master_plan {
	char state[256]; /* directory, NUL-terminated */
	char spool[512];
	struct master_user {
		uint32_t uid, gid, is_set; /* not set: the role stays who master is */
	} users[MASTER_PLACES];
	uint64_t segment_size, memory;
	char trust[256]; /* file; empty: the system's. Its path is in the locks of `send` */
	uint32_t doors_n;
	struct master_door {
		uint32_t door;	 /* enum config_door */
		uint32_t listen; /* which of config.listens */
		struct sockaddr_storage address;
		char name[64]; /* for people: "127.0.0.1:2525" */
	} doors[MASTER_DOORS_MAX];
	/* From here on a reload may bring something else. */
	uint32_t mail_roots_n;
	char mail_roots[MASTER_MAIL_ROOTS_MAX]
		       [512]; /* directories outside of `state` below which mailboxes lie */
	uint32_t files_n;
	char files[MASTER_FILES_MAX][256]; /* certificates, keys, logins: opened for vault */
	uint32_t filters_n;
	struct master_filter { /* in the order of the file */
		struct sockaddr_storage address;
		uint32_t address_size;
	} filters[MASTER_FILTERS_MAX];
};

/* It came from a process that read the file: every count is below its limit, and every text ends within its room. */
bool master_plan_is_sound(const struct master_plan *plan);

/*
 * Fills *plan and *config_fd (a sealed memfd with the configuration's text) from the file; prints
 * its one-line error itself. Called at start and at reload. False: the old stays.
 */
typedef bool master_read(const char *path, struct master_plan *plan, int *config_fd);

/* The life of the station, in the foreground. Returns an exit code of sysexits(3). */
int master_run(const char *path, master_read *read_config);

#endif
