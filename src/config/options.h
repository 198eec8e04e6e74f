/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include "config/config.h"

/*
 * The option table, and how one value of each type is read. Only src/config includes this: the
 * parser (syntax.c), the filling of struct config (config.c) and the description for people all
 * walk the same rows.
 */

enum option_type {
	OPTION_TEXT,	  /* struct str, as written */
	OPTION_NAME,	  /* struct str, a domain name, in lower case */
	OPTION_FILE,	  /* struct str: the path behind "file:" */
	OPTION_CHOICE,	  /* an enum: the place of the word in `words` */
	OPTION_YES,	  /* bool: true, false */
	OPTION_COUNT,	  /* uint32_t */
	OPTION_SIZE,	  /* uint64_t, octets */
	OPTION_TIME,	  /* int64_t, milliseconds */
	OPTION_VIA,	  /* struct config_via: smtp://HOST[:PORT], lmtp://…, lmtp+unix:PATH */
	OPTION_TEXTS,	  /* lists, from here on: a pointer, then a size_t */
	OPTION_NETWORKS,  /* struct config_network */
	OPTION_ADDRESSES, /* the same, each one whole address */
	OPTION_SOCKETS,	  /* struct sockaddr_storage: ADDRESS:PORT */
};

/* Units of sizes and times. */
#define KIB ((uint64_t)1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define TIB (GIB * 1024)

enum {
	SECOND_MS = 1000,
	MINUTE_MS = 60 * SECOND_MS,
	HOUR_MS = 60 * MINUTE_MS,
	DAY_MS = 24 * HOUR_MS
};

struct option {
	const char *section; /* path: "", "smtp", "domain.alias" */
	const char *name;
	enum option_type type;
	size_t field;	     /* offset in the section's struct */
	const char *value;   /* the default, as it would be written; NULL: must be given */
	const char *example; /* of one that must be given */
	const char *help;
	const char *(*wrong)(
		struct str value); /* texts: NULL when good, else what it is, "is no …" */
	const char *const *words;  /* choices, ending with NULL */
	uint64_t least, most;	   /* counts, sizes, times */
};

/* A section: once and without a title, or with one and as often as wanted. Children stand behind
 * their parents. */
struct option_section {
	const char *path, *parent, *name;
	const char *title; /* what the title is, for people; NULL: none */
	const char *(*wrong)(struct str title);
};

extern const struct option option_table[];
extern const size_t option_table_n;
extern const struct option_section option_sections[];
extern const size_t option_sections_n;

union option_value {
	struct str text; /* points into what was read */
	uint64_t number;
	struct sockaddr_storage socket;
	struct config_network network;
	struct config_via via; /* as `text` */
};

/* One value (of a list: one member). False: `wrong` says what it is, to stand behind the value: "is
 * no size; write …". */
bool option_read(const struct option *o, struct str text, union option_value *v, struct buf *wrong);

/* An address without brackets; a host's or domain's name. */
bool option_read_address(struct str text, struct config_network *a);
bool option_is_name(struct str text);
/* A socket to connect to: "unix:/path", "127.0.0.1:11332", "[::1]:11332". Its size; 0: it is none. */
socklen_t option_read_filter(struct str text, struct sockaddr_storage *to);
/* A server of IMAP: "imaps://HOST[:PORT]", "imap://HOST[:PORT]". Its host points into `text`. NULL when good, else what it is, "is no …". */
const char *option_read_imap(struct str text, struct config_imap *imap);

bool option_is_list(const struct option *o);

#endif
