/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "route/hop.h"

/*
 * The configuration file as a value. It is read once, by `posthouse check` or the checker that
 * `serve` starts; the very octets that passed go to every role in a sealed memfd, and each role
 * parses them again with config_parse: so no role opens the file, and none can see another version.
 * Every option stands in one table (options.c: name, type, default, check, help), from which the
 * parser, the messages and `posthouse check --options` come. The program never writes the file.
 */

enum config_when {
	CONFIG_NEVER,
	CONFIG_LOGIN,
	CONFIG_ALWAYS
}; /* for VRFY, EXPN: nobody, people logged in and trusted networks, all */
enum config_clear {
	CONFIG_CLEAR_NEVER,
	CONFIG_CLEAR_LOOPBACK,
	CONFIG_CLEAR_ALWAYS
}; /* AUTH without TLS */

enum { CONFIG_FILE_MAX = 1024 * 1024 }; /* octets of the file */

struct config_network {
	int family; /* AF_INET, AF_INET6 */
	unsigned char address[16];
	unsigned prefix;
};

struct config_networks {
	struct config_network *list;
	size_t n;
};

enum config_door { CONFIG_SMTP, CONFIG_SUBMISSION, CONFIG_SUBMISSIONS, CONFIG_WEB };

struct config_listen {
	enum config_door door;
	struct sockaddr_storage
		*on; /* each with its port; "*:25" is [::]:25, which takes IPv4 too */
	size_t on_n;
	bool has_no_tls;		/* STARTTLS is not offered */
	struct config_networks proxy;	/* proxies: their connections begin with a PROXY header */
	struct config_networks xclient; /* hosts that may say for whom they speak (XCLIENT) */
};

enum config_judgement {
	CONFIG_IGNORE,
	CONFIG_NOTE,
	CONFIG_REFUSE
};						     /* note: in Received and in the log */
enum config_down { CONFIG_ACCEPT, CONFIG_TEMPFAIL }; /* a content filter that does not answer */

enum {
	CONFIG_CERTIFICATES_MAX = 64,
	CONFIG_FILTERS_MAX = 8,
	CONFIG_ZONES_MAX = 8,
	CONFIG_SOCKETS_MAX = 64
};

/* A content filter: a Milter on a socket that master connects to. */
struct config_filter {
	struct str name;
	struct str at; /* as written: "unix:/run/rspamd/milter.sock", "127.0.0.1:11332" */
	struct sockaddr_storage address; /* made of `at` */
	uint32_t address_size;
	enum config_down when_down;
	int64_t timeout_ms;  /* for each of its answers */
	bool only_strangers; /* not for mail of logins, trusted networks and the local socket */
};

/* How TLS is spoken with the hosts of a route. */
enum config_tls {
	CONFIG_TLS_TRY, /* where the host offers it, without a look at its certificate */
	CONFIG_TLS_NEVER,
	CONFIG_TLS_REQUIRE, /* or the mail waits */
	CONFIG_TLS_VERIFY,  /* and its certificate is good for the host's name */
};

struct config_alias {
	struct str name; /* lower case, local part */
	struct str *to;	 /* mailboxes of this domain (no @) or addresses */
	size_t to_n;
};

struct config_moved {
	struct str name, to; /* local part here, new address elsewhere */
};

struct config_domain {
	struct str name;      /* lower case */
	struct str mailboxes; /* template of the Maildir: %d domain, %u mailbox, absolute */
	struct str catch_all; /* mailbox or address; empty: none */
	struct config_alias *aliases;
	size_t aliases_n;
	struct config_moved *moved;
	size_t moved_n;
};

/* Where a route leads: "smtp://192.0.2.1:25", "smtp://relay.example.net", "lmtp://…", "lmtp+unix:/run/dovecot/lmtp". */
struct config_via {
	struct str text; /* as written; empty: by the DNS of the recipient's domain */
	enum hop_protocol protocol;
	struct str
		host; /* a name in lower case, an address without brackets, or the path of a UNIX socket */
	enum hop_family
		family; /* of an address or a path, and of localhost; 0: a name, which the DNS is asked for */
	unsigned char address[16];
	uint16_t port;
};

struct config_route {
	struct str
		name; /* as the file has it, unlike all others': a pattern, or "from @example.org" */
	struct str pattern; /* "partner.example", ".partner.example" (any name below it), "*" */
	struct str *from;   /* senders it is for: "wei@example.org", "@example.org"; none: all */
	size_t from_n;
	struct config_via via;
	struct str login_file; /* file:PATH of `login`: "user\npassword\n", read by vault alone;
				  empty: no login */
	unsigned connections;  /* at once, at most */
	unsigned rate;	       /* mails a minute, at most; 0: any number */
	unsigned port;	       /* of the hosts that the DNS names */
	struct config_network
		*source; /* addresses that connections come from: at most one a family */
	size_t source_n;
	enum config_tls tls;
};

/* Where somebody else serves our mailboxes by IMAP. */
struct config_imap {
	struct str host; /* a name; empty: nobody does */
	uint16_t port;
	bool is_tls; /* from the first octet on; else STARTTLS */
};

enum config_language { CONFIG_ENGLISH, CONFIG_CHINESE };

struct config {
	struct str hostname; /* lower case */
	struct str state, spool;
	struct str
		users; /* begin of the names of the roles' users, when started as root; empty: no change of user */
	struct config_networks trusted; /* may relay without a login */
	struct config_networks refuse;	/* 554 at greeting */
	struct config_listen *listens;
	size_t listens_n;
	struct config_domain *domains;
	size_t domains_n;
	struct config_route *routes;
	size_t routes_n;
	struct config_filter *filters;
	size_t filters_n;
	struct { /* tls { … }: certificates of the doors, and what we trust outside */
		struct str *certificates; /* paths of PEM files */
		size_t certificates_n;
		struct str *keys; /* of their keys; none: each is in its certificate's file */
		size_t keys_n;
		bool has_no_tickets; /* sessions are not resumed */
		struct str
			trust; /* PEM file with the authorities that outbound verification trusts; empty: the system's */
	} tls;
	struct {			 /* web { … } */
		struct str imap_url;	 /* as written; empty: none */
		struct config_imap imap; /* made of it */
	} web;
	struct
	{ /* gate { … }: manners; all but `connections` and `network` concern strangers at smtp doors */
		int64_t pause_ms; /* before the greeting; who speaks before it, is turned away */
		enum config_judgement
			hello; /* names that nobody can have: ours, a bare word, another's address */
		enum config_judgement reverse; /* no name that leads to the address and back */
		struct str *dnsbl;	       /* zones of RFC 5782; listed clients are refused */
		size_t dnsbl_n;
		bool greylist;
		int64_t greylist_wait_ms; /* so long a new sender waits */
		uint32_t connections;	  /* at once from one address (IPv6: /64) */
		uint32_t network;	  /* at once from one /24 or /48 */
		uint32_t unknown;	  /* unknown recipients of a session, then 421 */
	} gate;
	struct { /* smtp { … } */
		enum config_when vrfy, expn;
		enum config_clear auth_in_clear;
		bool auth_on_smtp;     /* logins at smtp doors too */
		bool repair_line_ends; /* of trusted networks and logins only */
	} smtp;
	struct { /* queue { … } */
		int64_t retry_first_ms, retry_most_ms, expire_ms;
		int64_t warn_ms;      /* a delay warning after so long; 0: none */
		int64_t hold_most_ms; /* FUTURERELEASE: the furthest moment; 0: not offered */
		enum config_language language; /* of what we write to senders */
		bool bounces_8bit; /* 8-bit mail to a host without 8BITMIME: back, or as it is */
		uint64_t segment_size; /* octets; a multiple of 4096, at least 1 MiB */
	} queue;
	struct {	     /* resolver { … } */
		bool is_off; /* roads by the file's routes alone */
		struct str
			*forward; /* "127.0.0.1@5353", "192.0.2.53"; none: what the system uses */
		size_t forward_n;
		struct str trust_anchor; /* a file, or one DS or DNSKEY record; empty: the root's */
		struct config_networks
			allow; /* loopback and private networks in which a mail host of the DNS may be */
	} resolver;
	struct {		      /* limits { … } */
		uint64_t message;     /* octets */
		uint32_t recipients;  /* a transaction */
		uint32_t connections; /* at once, all doors */
		uint32_t outbound;    /* connections to other hosts at once */
		uint32_t queued;      /* recipients that may wait: above them 452 */
		uint64_t memory;      /* octets of messages gathered in memory at once */
		uint32_t rate;	 /* recipients a minute and client address or login; 0: no limit */
		int64_t idle_ms; /* then 421 */
		uint64_t free_space; /* octets that stay free on the spool's disk: below them 452 */
	} limits;
	struct arena arena; /* all of the above lies here */
};

/*
 * text → *c. `name` is what messages call the file. On failure e has one line, "FILE:LINE: …", with
 * the wrong word and the nearest right one where there is one; *c is empty. Zero-initialise *c;
 * config_free gives it back.
 */
bool config_parse(struct config *c, struct str text, const char *name, struct err *e);
void config_free(struct config *c);

/* Which file: --config (path_arg, may be NULL), else $POSTHOUSE_CONFIG where it is set and not empty, else
 * /etc/posthouse/posthouse.conf. */
const char *config_path(const char *path_arg);

/* Its text, at most 1 MiB; *path is what was taken. */
bool config_read_file(const char *path_arg, const char **path, struct buf *text, struct err *e);

/* Both in one, for commands: prints nothing, returns false with e. */
bool config_load(struct config *c, const char *path_arg, struct err *e);

/* The option table for people: one entry a line, "section.name  type  default  help"; or JSON
 * lines. */
void config_describe(struct buf *to, bool json);

const struct config_domain *config_domain(
	const struct config *c, struct str name); /* any case; NULL: not ours */
/* The Maildir of a mailbox: the domain's template with %d and %u filled in. False: no mailbox can have this name, or the domain is not ours. */
bool config_mailbox_path(
	const struct config *c, struct str mailbox, struct str domain, struct buf *to);
bool config_name_is_valid(struct str local); /* could a mailbox or an alias here be called so? 1 to
						64 of a-z 0-9 . _ - + (any case) */
uint16_t config_port(const struct sockaddr_storage *a);
void config_make_socket(const struct config_network *address, uint16_t port,
	struct sockaddr_storage *to); /* of family 0: an empty one */
bool config_networks_have(const struct config_networks *n,
	const struct sockaddr *address); /* v4-mapped IPv6 counts as IPv4 */

#endif
