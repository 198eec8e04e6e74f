/* SPDX-License-Identifier: Apache-2.0 */
#include "role/profile.h"

#include "base/must.h"

/*
 * One row a role. "Never" is whatever its row does not say: io/sandbox.c forbids all files but the paths, io/sandbox_calls.c all
 * calls but those of its bits. Descriptors that others hand over work everywhere: this is how receive writes the log without
 * opening a path, and serves clients without a network.
 *
 * Two things depend on the file: send dials UNIX sockets where a route leads to one, and no file of receive's grows much beyond
 * what a mail or a segment of the log needs.
 */

static void spool(struct profile *p, const struct config *c);
static void accounts(struct profile *p, const struct config *c);
static void mailboxes(struct profile *p, const struct config *c);
static void authorities(struct profile *p, const struct config *c);
static void resolvers_files(struct profile *p, const struct config *c);

/* clang-format off */
static const struct row {
	enum ipc_role role;
	unsigned may;
	void (*paths)(struct profile *p, const struct config *c); /* NULL: none */
} rows[] = {
	{ ROLE_RECEIVE, 0, NULL },
	{ ROLE_QUEUE,   SANDBOX_OPENS | SANDBOX_CHANGES, spool },
	{ ROLE_SEND,    SANDBOX_OPENS | SANDBOX_DIALS, authorities },
	{ ROLE_RESOLVE, SANDBOX_OPENS | SANDBOX_DIALS | SANDBOX_ASKS, resolvers_files },
	{ ROLE_STORE,   SANDBOX_OPENS | SANDBOX_CHANGES, mailboxes },
	{ ROLE_VAULT,   SANDBOX_OPENS | SANDBOX_CHANGES | SANDBOX_SECRET, accounts },
	{ ROLE_READER,  SANDBOX_OPENS | SANDBOX_CHANGES, NULL }, /* its one mailbox */
	{ ROLE_WEB,     SANDBOX_PAIRS, NULL },
};
/* clang-format on */

enum {
	ROWS = sizeof rows / sizeof rows[0],
	PATHS_OCTETS_MAX = 2 * 1024 * 1024,
	PATHS_MOST = 8,		   /* beside those of domains */
	MESSAGE_ROOM = 1024 * 1024 /* what a mail is given on its way: an envelope, trace fields */
};

static const struct row *
row_of(enum ipc_role role)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].role == role)
			return &rows[i];
	must(false);
	return NULL;
}

unsigned
profile_may(enum ipc_role role)
{
	return row_of(role)->may;
}

/* "w/spool/here\0": the paths themselves are made of it when it grows no more. */
static void
add(struct profile *p, bool may_change, struct str head, struct str tail)
{
	buf_add_char(&p->paths, may_change ? 'w' : 'r');
	buf_add(&p->paths, head);
	buf_add(&p->paths, tail);
	buf_add_char(&p->paths, 0);
}

static void
spool(struct profile *p, const struct config *c)
{
	add(p, true, c->spool, S(""));
}

static void
accounts(struct profile *p, const struct config *c)
{
	add(p, true, c->state, S("/vault"));
}

struct str
profile_mail_root(const struct config_domain *d)
{
	struct str root = str_part(d->mailboxes, 0, str_find(d->mailboxes, '%'));

	while (root.n && root.p[root.n - 1] != '/')
		root.n--;
	if (root.n > 1)
		root.n--;
	return root;
}

static void
mailboxes(struct profile *p, const struct config *c)
{
	add(p, true, c->state, S("/mail"));
	for (size_t i = 0; i < c->domains_n; i++) {
		struct str root = profile_mail_root(&c->domains[i]);
		bool is_known = root.n == 0;

		for (size_t k = 0; k < i && !is_known; k++)
			is_known = str_eq(root, profile_mail_root(&c->domains[k]));
		if (!is_known)
			add(p, true, root, S(""));
	}
}

/* Those by which other hosts' certificates are verified: read again at a reload. */
static void
authorities(struct profile *p, const struct config *c)
{
	add(p, false, c->tls.trust.n ? c->tls.trust : S("/etc/ssl/certs/ca-certificates.crt"),
		S(""));
}

static void
resolvers_files(struct profile *p, const struct config *c)
{
	static const struct str system[] = { { "/etc/resolv.conf", 16 },
		{ "/usr/share/dns/root.key", 23 } };

	for (size_t i = 0; i < sizeof system / sizeof system[0]; i++)
		add(p, false, system[i], S(""));
	if (str_starts(c->resolver.trust_anchor, S("/")))
		add(p, false, c->resolver.trust_anchor, S(""));
}

static bool
leads_to_unix(const struct config *c)
{
	for (size_t i = 0; i < c->routes_n; i++)
		if (c->routes[i].via.family == HOP_UNIX)
			return true;
	return false;
}

/* Twice what is needed, so that a somewhat larger limit of the next file begins nothing anew. */
static uint64_t
octets_of_a_file(const struct config *c)
{
	uint64_t most = c->limits.message + MESSAGE_ROOM;

	return 2 * (most > c->queue.segment_size ? most : c->queue.segment_size);
}

void
profile_make(struct profile *p, enum ipc_role role, const struct config *c, struct str mailbox)
{
	const struct row *row = row_of(role);
	struct str rest, line;

	*p = (struct profile){ .paths = { .max = PATHS_OCTETS_MAX } };
	if (row->paths)
		row->paths(p, c);
	if (role == ROLE_READER)
		add(p, true, mailbox, S(""));
	must(!p->paths.overflow); /* the file is not longer */
	p->list = calloc(c->domains_n + PATHS_MOST, sizeof *p->list);
	must(p->list);
	p->sandbox = (struct sandbox){ .may = row->may, .paths = p->list };
	if (role == ROLE_SEND && leads_to_unix(c))
		p->sandbox.may |= SANDBOX_DIALS_UNIX;
	if (role == ROLE_RECEIVE)
		p->sandbox.file_max = octets_of_a_file(c);
	for (rest = buf_str(&p->paths); scan_until(&rest, 0, &line);)
		p->list[p->sandbox.paths_n++] =
			(struct sandbox_path){ str_from(line, 1), line.p[0] == 'w' };
}

bool
profile_serves(const struct profile *held, const struct profile *wanted)
{
	return str_eq(buf_str(&held->paths), buf_str(&wanted->paths)) &&
	       held->sandbox.may == wanted->sandbox.may &&
	       held->sandbox.file_max >= wanted->sandbox.file_max / 2;
}

void
profile_free(struct profile *p)
{
	buf_free(&p->paths);
	free(p->list);
	p->list = NULL;
}
