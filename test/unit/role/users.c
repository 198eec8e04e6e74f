/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "../directory.h"
#include "role/vault/users.h"

/* What a name stands for, as receive and the queue are told it: the file's names and the accounts
 * together. */

static const char file[] =
	"hostname = mail.example.org\n"
	"listen smtp { on = \"*:25\" }\n"
	"domain example.org {\n"
	"\talias sales { to = {\"wei\", \"bob@example.net\"} }\n"
	"\talias away { to = \"carol@elsewhere.example\" }\n"
	"\talias bob { to = {\"bob\", \"wei\"} }\n" /* keeps a copy for himself */
	"\talias loop { to = pool }\n"
	"\talias pool { to = loop }\n"
	"\talias half { to = {\"half\", \"wei\", \"loop\"} }\n"
	"\talias ghosts { to = {\"ghost\", \"spectre\"} }\n"
	"\talias haunted { to = {\"ghost\", \"alice\", \"Alice@EXAMPLE.org\"} }\n"
	"\talias sleepers { to = dora }\n"
	"\tmoved eve { to = \"eve@new.example\" }\n"
	"}\n"
	"domain example.net { catch-all = bob }\n"
	"domain example.com { alias postmaster { to = \"wei@example.org\" } }\n"
	"domain empty.example {}\n";

struct house {
	struct config config;
	struct book book;
	struct arena arena;
	struct book_targets targets;
};

static int
open_house(void **state)
{
	static const char *const mailboxes[] = { "wei@example.org", "alice@example.org",
		"bob@example.org", "eve@example.org", "a+b@example.org", "bob@example.net",
		"zoe@example.com" };
	struct house *h = calloc(1, sizeof *h);
	struct err e = { 0 };

	assert_non_null(h);
	h->arena.max = 4 << 20;
	if (!config_parse(&h->config, str_of(file), "posthouse.conf", &e))
		fail_msg("%s", e.text);
	book_begin(&h->book, &h->config);
	for (size_t i = 0; i < sizeof mailboxes / sizeof *mailboxes; i++)
		book_add_mailbox(&h->book, str_of(mailboxes[i]), S("$y$hash"), false);
	book_add_mailbox(&h->book, S("dora@example.org"), S("$y$hash"), true);
	book_add_alias(&h->book, S("list@example.org"), S("alice@example.org"));
	book_add_alias(&h->book, S("list@example.org"), S("sales@example.org"));
	book_add_alias(&h->book, S("sales@example.org"),
		S("alice@example.org")); /* the file has this one */
	*state = h;
	return 0;
}

static int
close_house(void **state)
{
	struct house *h = *state;

	book_free(&h->book);
	config_free(&h->config);
	arena_free(&h->arena);
	free(h);
	return 0;
}

/* "MAILBOX wei@example.org": what receive is told. */
static void
assert_found(struct house *h, uint8_t why, const char *address, const char *want)
{
	static const char *const kinds[FOUND_KINDS] = { "UNKNOWN", "MAILBOX", "ALIAS", "FORWARD",
		"MOVED", "BUSY", "BAD_NAME", "NOT_OURS", "YES", "NO" };
	struct str local, domain, text;
	enum found_kind kind;
	char got[512];

	str_cut(str_of(address), '@', &local, &domain);
	kind = book_lookup(&h->book, why, local, domain, (struct str){ 0 }, &h->arena, &text);
	snprintf(got, sizeof got, "%s%s%.*s", kinds[kind], text.n ? " " : "", STR_ARG(text));
	assert_string_equal(got, want);
}

/* "M wei@example.org, A bob@example.net", or the kind and the words: what the queue is told. */
static void
assert_expanded(struct house *h, const char *address, const char *want)
{
	static const char *const kinds[] = { "", "UNKNOWN: ", "MOVED: ", "LOOP: ", "BUSY" };
	struct book_targets *t = &h->targets;
	struct buf got = { .max = 4096 };
	struct str local, domain;

	str_cut(str_of(address), '@', &local, &domain);
	buf_addf(&got, "%s", kinds[book_expand(&h->book, local, domain, &h->arena, t)]);
	for (size_t i = 0; i < t->n; i++)
		buf_addf(&got, "%s%c %.*s", i ? ", " : "", t->list[i].is_here ? 'M' : 'A',
			STR_ARG(t->list[i].address));
	buf_add(&got, t->words);
	buf_add_char(&got, '\0');
	assert_string_equal(got.p, want);
	buf_free(&got);
}

static void
mailboxes_are_found(void **state)
{
	struct house *h = *state;

	assert_found(h, 'R', "wei@example.org", "MAILBOX wei@example.org");
	assert_found(h, 'R', "WEI@Example.ORG", "MAILBOX wei@example.org");
	assert_found(h, 'R', "wei+news@example.org", "MAILBOX wei@example.org");
	assert_found(h, 'R', "wei+a/b=c@example.org", "MAILBOX wei@example.org");
	assert_found(h, 'R', "a+b@example.org",
		"MAILBOX a+b@example.org"); /* a whole name goes before a tag */
	assert_found(h, 'R', "ghost@example.org", "UNKNOWN");
	assert_found(h, 'R', "ghost+x@example.org", "UNKNOWN");
	assert_found(h, 'R', "a/b@example.org", "BAD_NAME");
	assert_found(h, 'R', ".wei@example.org", "BAD_NAME");
	assert_found(h, 'R', "we..i@example.org", "BAD_NAME");
	assert_found(h, 'R', "dora@example.org", "BUSY dora@example.org");
	assert_found(h, 'R', "eve@example.org", "MOVED eve@new.example");
	assert_found(h, 'R', "wei@elsewhere.example", "NOT_OURS");
	assert_expanded(h, "wei+news@example.org", "M wei@example.org");
	assert_expanded(h, "dora@example.org", "BUSY");
	assert_expanded(h, "eve@example.org", "MOVED: eve@new.example");
	assert_expanded(h, "ghost@example.org", "UNKNOWN: no such mailbox here");
}

static void
aliases_lead_on(void **state)
{
	struct house *h = *state;

	assert_found(h, 'R', "away@example.org", "FORWARD carol@elsewhere.example");
	assert_found(h, 'R', "Sales+x@example.org", "ALIAS wei@example.org\nbob@example.net");
	assert_found(h, 'E', "list@example.org", "ALIAS alice@example.org\nsales@example.org");
	assert_found(h, 'E', "away@example.org", "ALIAS carol@elsewhere.example");
	assert_expanded(h, "away@example.org", "A carol@elsewhere.example");
	assert_expanded(h, "sales@example.org",
		"M wei@example.org, M bob@example.net"); /* the file's, not the accounts' */
	assert_expanded(
		h, "list@example.org", "M alice@example.org, M wei@example.org, M bob@example.net");
	assert_expanded(h, "bob@example.org", "M bob@example.org, M wei@example.org");
	assert_expanded(h, "sleepers@example.org", "M dora@example.org");
}

static void
loops_end(void **state)
{
	struct house *h = *state;

	assert_found(h, 'R', "loop@example.org", "UNKNOWN");
	assert_expanded(h, "loop@example.org", "LOOP: this alias leads only back to itself");
	assert_expanded(h, "half@example.org", "M wei@example.org");
	assert_expanded(h, "ghosts@example.org", "UNKNOWN: this alias leads to no mailbox");
	assert_expanded(h, "haunted@example.org", "M alice@example.org");
}

static void
postmaster_always_leads_somewhere(void **state)
{
	struct house *h = *state;

	assert_found(h, 'R', "postmaster@example.org", "MAILBOX wei@example.org"); /* the oldest */
	assert_found(h, 'R', "PostMaster@example.org", "MAILBOX wei@example.org");
	assert_found(h, 'R', "Postmaster", "MAILBOX wei@example.org");
	assert_found(h, 'R', "postmaster@example.com", "ALIAS wei@example.org");
	assert_found(h, 'R', "postmaster@empty.example", "MAILBOX postmaster@empty.example");
	assert_expanded(h, "Postmaster", "M wei@example.org");
}

static void
the_catch_all_comes_last(void **state)
{
	struct house *h = *state;

	assert_found(h, 'R', "bob@example.net", "MAILBOX bob@example.net");
	assert_found(h, 'R', "any.body@example.net", "ALIAS bob");
	assert_expanded(h, "any.body@example.net", "M bob@example.net");
}

static void
assert_may_send(struct house *h, const char *login, const char *address, bool want)
{
	struct str local, domain, text;

	str_cut(str_of(address), '@', &local, &domain);
	if ((book_lookup(&h->book, 'S', local, domain, str_of(login), &h->arena, &text) ==
		    FOUND_YES) != want)
		fail_msg("%s as %s", login, address);
}

static void
logins_send_as_what_leads_to_them(void **state)
{
	struct house *h = *state;

	assert_may_send(h, "wei@example.org", "Wei@example.org", true);
	assert_may_send(h, "wei@example.org", "wei+news@example.org", true);
	assert_may_send(h, "wei@example.org", "sales@example.org", true);
	assert_may_send(h, "bob@example.net", "sales@example.org", true);
	assert_may_send(h, "bob@example.net", "bob@example.org", false);
	assert_may_send(h, "alice@example.org", "sales@example.org", false);
	assert_may_send(h, "alice@example.org", "wei@example.org", false);
	assert_may_send(h, "alice@example.org", "alice@elsewhere.example", false);
	assert_may_send(h, "alice@example.org", "ghost@example.org", false);
	assert_may_send(h, "nobody@example.org", "wei@example.org", false);
}

static void
logins_need_a_domain_where_there_are_more(void **state)
{
	struct house *h = *state;
	struct config one = { 0 };
	struct book book;
	struct err e;

	assert_null(book_login(&h->book, S("wei")));
	assert_string_equal(book_login(&h->book, S("WEI@example.ORG"))->name.p, "wei@example.org");
	assert_null(book_login(&h->book, S("sales@example.org")));
	assert_null(book_login(&h->book, S("wei+x@example.org")));
	assert_true(config_parse(&one,
		S("hostname=a.example listen smtp{on=\"*:1\"} domain example.org {}"), "f", &e));
	book_begin(&book, &one);
	book_add_mailbox(&book, S("wei@example.org"), S("x"), false);
	book_add_mailbox(&book, S("wei@gone.example"), S("x"), false);
	assert_non_null(book_login(&book, S("Wei")));
	assert_null(book_login(
		&book, S("wei@gone.example"))); /* a domain that the file no longer has */
	assert_null(book_login(&book, S("")));
	book_free(&book);
	config_free(&one);
}

static void
the_table_has_what_takes_mail_itself(void **state)
{
	struct house *h = *state;
	struct str *names;
	size_t n = book_mailboxes(&h->book, &names);
	bool has_wei = false;

	for (size_t i = 0; i < n; i++) {
		has_wei |= str_eq(names[i], S("wei@example.org"));
		assert_false(str_eq(names[i], S("dora@example.org"))); /* suspended */
		assert_false(str_eq(names[i], S("eve@example.org")));  /* moved */
		assert_false(str_eq(names[i], S("bob@example.org")));  /* an alias too */
	}
	assert_true(has_wei);
	assert_int_equal(n, 5);
	free(names);
}

static void
aliases_have_limits(void **state)
{
	struct house *h = *state;
	char from[64], to[64];

	for (int i = 0; i < 1200; i++) {
		snprintf(to, sizeof to, "reader%d@elsewhere.example", i);
		if (i < 1000)
			book_add_alias(&h->book, S("thousand@example.org"), str_of(to));
		book_add_alias(&h->book, S("crowd@example.org"), str_of(to));
	}
	for (int i = 0; i < 30; i++) {
		snprintf(from, sizeof from, "step%d@example.org", i);
		snprintf(to, sizeof to, "step%d@example.org", i + 1);
		book_add_alias(&h->book, str_of(from), i == 29 ? S("wei@example.org") : str_of(to));
	}
	assert_int_equal(
		book_expand(&h->book, S("thousand"), S("example.org"), &h->arena, &h->targets),
		EXPANDED_TARGETS);
	assert_int_equal(h->targets.n, 1000);
	assert_expanded(h, "crowd@example.org", "LOOP: this alias leads to too many others");
	assert_expanded(h, "step10@example.org", "M wei@example.org");
	assert_expanded(h, "step9@example.org", "LOOP: this alias leads to too many others");
}

/* ── the accounts' file ── */

struct disk {
	struct house *house;
	char path[32];
	struct users *command, *role; /* two connections, as two processes have */
};

static int
open_disk(void **state)
{
	struct disk *d = calloc(1, sizeof *d);
	struct err e = { 0 };

	assert_non_null(d);
	open_house((void **)&d->house);
	snprintf(d->path, sizeof d->path, "/tmp/posthouse-users-XXXXXX");
	assert_non_null(mkdtemp(d->path));
	if (!users_open(&d->command, str_of(d->path), true, &e) ||
		!users_open(&d->role, str_of(d->path), true, &e))
		fail_msg("%s", e.text);
	*state = d;
	return 0;
}

static int
close_disk(void **state)
{
	struct disk *d = *state;

	users_close(&d->command);
	users_close(&d->role);
	directory_remove(d->path);
	close_house((void **)&d->house);
	free(d);
	return 0;
}

/* The role's view: what was loaded anew, as a house of its own. */
static const struct book_entry *
seen_by_role(struct disk *d, struct str name)
{
	struct err e = { 0 };

	book_free(&d->house->book);
	book_begin(&d->house->book, &d->house->config);
	if (!users_load(d->role, &d->house->book, &e))
		fail_msg("%s", e.text);
	return map_get(&d->house->book.entries, name);
}

static void
a_change_is_seen_by_the_role(void **state)
{
	struct disk *d = *state;
	struct str zed = S("zed@example.org");
	struct err e = { 0 };
	bool found;

	assert_null(seen_by_role(d, zed));
	assert_false(users_changed(d->role));
	assert_true(users_add(d->command, zed, S("$y$one"), &found, &e));
	assert_false(found);
	assert_true(users_changed(d->role));
	assert_true(str_eq(seen_by_role(d, zed)->hash, S("$y$one")));
	assert_false(users_changed(d->role));
	assert_true(users_add(d->command, zed, S("$y$two"), &found, &e));
	assert_true(found); /* and not overwritten */
	assert_true(str_eq(seen_by_role(d, zed)->hash, S("$y$one")));
	assert_true(users_set_hash(d->command, zed, S("$y$two"), &found, &e) && found);
	assert_true(users_set_suspended(d->command, zed, true, &found, &e) && found);
	assert_true(seen_by_role(d, zed)->is_suspended);
	assert_true(str_eq(seen_by_role(d, zed)->hash, S("$y$two")));
	assert_true(users_set_suspended(d->command, zed, false, &found, &e) && found);
	assert_false(seen_by_role(d, zed)->is_suspended);
	assert_true(users_remove(d->command, zed, &found, &e) && found);
	assert_null(seen_by_role(d, zed));
	assert_true(users_remove(d->command, zed, &found, &e) && !found);
	assert_true(users_set_hash(d->command, zed, S("x"), &found, &e) && !found);
}

static void
run_time_aliases_are_kept_in_order(void **state)
{
	struct disk *d = *state;
	struct str team = S("team@example.org");
	const struct book_entry *e;
	struct err err = { 0 };
	bool found;

	assert_true(
		users_add_alias(d->command, team, S("zed@example.org"), &found, &err) && !found);
	assert_true(users_add_alias(d->command, team, S("amy@elsewhere.example"), &found, &err) &&
		    !found);
	assert_true(users_add_alias(d->command, team, S("zed@example.org"), &found, &err) && found);
	e = seen_by_role(d, team);
	assert_int_equal(e->to_n, 2);
	assert_true(str_eq(e->to[0], S("zed@example.org")));
	assert_true(
		users_remove_alias(d->command, team, S("zed@example.org"), &found, &err) && found);
	assert_int_equal(seen_by_role(d, team)->to_n, 1);
	assert_true(users_remove_alias(d->command, team, S(""), &found, &err) && found);
	assert_null(seen_by_role(d, team));
	assert_true(users_remove_alias(d->command, team, S(""), &found, &err) && !found);
}

static void
nobody_else_can_read_the_accounts(void **state)
{
	struct disk *d = *state;
	char path[64];
	struct stat st;

	snprintf(path, sizeof path, "%s/vault/users.db", d->path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void
missing_accounts_say_what_to_do(void **state)
{
	struct users *u;
	struct err e = { 0 };

	(void)state;
	assert_false(users_open(&u, S("/nonexistent/state"), false, &e));
	assert_null(u);
	assert_string_equal(e.text,
		"/nonexistent/state/vault/users.db: nobody is here yet; begin with "
		"`posthouse user add NAME@DOMAIN`");
	assert_false(users_open(&u, S("/nonexistent/state"), true, &e));
	assert_string_equal(
		e.text, "/nonexistent/state: cannot be made: No such file or directory");
}

#define HOUSE(test) cmocka_unit_test_setup_teardown(test, open_house, close_house)
#define DISK(test)  cmocka_unit_test_setup_teardown(test, open_disk, close_disk)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HOUSE(mailboxes_are_found),
		HOUSE(aliases_lead_on),
		HOUSE(loops_end),
		HOUSE(postmaster_always_leads_somewhere),
		HOUSE(the_catch_all_comes_last),
		HOUSE(logins_send_as_what_leads_to_them),
		HOUSE(logins_need_a_domain_where_there_are_more),
		HOUSE(the_table_has_what_takes_mail_itself),
		HOUSE(aliases_have_limits),
		DISK(a_change_is_seen_by_the_role),
		DISK(run_time_aliases_are_kept_in_order),
		DISK(nobody_else_can_read_the_accounts),
		cmocka_unit_test(missing_accounts_say_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
