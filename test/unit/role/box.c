/* SPDX-License-Identifier: Apache-2.0 */
#include "box.h"

#include <sqlite3.h>

/* A mailbox over a Maildir that others change too. */

static const char letter[] = "From: Bob <bob@example.net>\r\nTo: wei@example.org\r\nSubject: "
			     "Tea\r\nMessage-ID: <1@example.net>\r\n"
			     "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\nShall we have tea?\r\n";
static const char reply[] =
	"From: Wei <wei@example.org>\r\nTo: bob@example.net\r\nSubject: Re: Tea\r\nMessage-ID: "
	"<2@example.org>\r\n"
	"In-Reply-To: <1@example.net>\r\nReferences: <1@example.net>\r\n\r\nYes.\r\n";

static void
has_one_updated(struct house *h, const char *since, struct str id)
{
	struct box_changes c = house_changes(h, BOX_MAILS, since);

	assert_int_equal(c.created_n, 0);
	assert_int_equal(c.destroyed_n, 0);
	assert_int_equal(c.updated_n, 1);
	assert_str(c.updated[0], id);
}

/* ── mails that others bring, flag, move, remove ── */

static void
test_delivered(void **state)
{
	struct house *h = *state;
	char before[BOX_STATE];
	struct box_changes c;
	struct box_mail m;
	struct str octets;

	box_state(h->box, BOX_MAILS, before);
	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_look(h);
	m = house_only(h);
	assert_int_equal(m.flags, 0);
	assert_int_equal(m.size, sizeof letter - 1);
	assert_int_equal(m.received_ms, 1000000);
	assert_str(m.folder, house_folder(h, BOX_INBOX).id);
	assert_true(str_find_str(m.summary, S("\"Tea\"")) < m.summary.n);
	assert_true(box_read(h->box, &m, &octets));
	assert_str(octets, str_of(letter));
	box_read_free(&octets);
	c = house_changes(h, BOX_MAILS, before);
	assert_int_equal(c.created_n, 1);
	assert_str(c.created[0], m.id);
	assert_int_equal(house_folder(h, BOX_INBOX).total, 1);
	assert_int_equal(house_folder(h, BOX_INBOX).unread_threads, 1);
}

static void
test_flagged_by_others(void **state)
{
	struct house *h = *state;
	char before[BOX_STATE];
	struct box_mail m, now;

	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_look(h);
	m = house_only(h);
	box_state(h->box, BOX_MAILS, before);
	house_rename(h, "new/1000.a.host", "cur/1000.a.host:2,FSab");
	house_look(h);
	now = house_only(h);
	assert_str(now.id, m.id);
	assert_int_equal(now.flags, BOX_SEEN | BOX_FLAGGED);
	has_one_updated(h, before, m.id);
	assert_int_equal(house_folder(h, BOX_INBOX).unread, 0);
}

/* From new/ to cur/ without a flag: nothing that anybody sees. */
static void
test_opened_by_others(void **state)
{
	struct house *h = *state;
	char before[BOX_STATE], after[BOX_STATE];
	struct str octets;
	struct box_mail m;

	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_look(h);
	m = house_only(h);
	box_state(h->box, BOX_MAILS, before);
	house_rename(h, "new/1000.a.host", "cur/1000.a.host:2,");
	assert_true(box_read(h->box, &m, &octets)); /* before anybody has looked */
	box_read_free(&octets);
	house_look(h);
	box_state(h->box, BOX_MAILS, after);
	assert_string_equal(before, after);
	m = house_only(h);
	assert_true(box_read(h->box, &m, &octets));
	box_read_free(&octets);
}

static void
test_moved_by_others(void **state)
{
	struct house *h = *state;
	char before[BOX_STATE];
	struct box_mail m, now;

	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_look(h);
	m = house_only(h);
	box_state(h->box, BOX_MAILS, before);
	house_rename(h, "new/1000.a.host", ".Archive/cur/1000.a.host:2,S");
	house_look(h);
	now = house_only(h);
	assert_str(now.id, m.id);
	assert_str(now.thread, m.thread);
	assert_str(now.folder, house_folder(h, BOX_ARCHIVE).id);
	has_one_updated(h, before, m.id);
}

static void
test_removed_by_others(void **state)
{
	struct house *h = *state;
	char before[BOX_STATE], threads[BOX_STATE];
	struct box_changes c;
	struct str octets;
	struct box_mail m;

	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_look(h);
	m = house_only(h);
	box_state(h->box, BOX_MAILS, before);
	box_state(h->box, BOX_THREADS, threads);
	assert_int_equal(unlink(house_path(h, "new/1000.a.host")), 0);
	assert_false(box_read(h->box, &m, &octets));
	house_look(h);
	assert_int_equal(house_all(h).n, 0);
	c = house_changes(h, BOX_MAILS, before);
	assert_int_equal(c.destroyed_n, 1);
	assert_str(c.destroyed[0], m.id);
	c = house_changes(h, BOX_THREADS, threads);
	assert_int_equal(c.destroyed_n, 1);
	assert_str(c.destroyed[0], m.thread);
}

static void
test_trashed_by_others(void **state)
{
	struct house *h = *state;

	house_deliver(h, "cur/1000.a.host:2,S", letter, 1000);
	house_deliver(h, "cur/1001.b.host:2,ST", letter, 1001);
	house_look(h);
	assert_int_equal(house_only(h).received_ms, 1000000);
	house_rename(h, "cur/1000.a.host:2,S", "cur/1000.a.host:2,ST");
	house_look(h);
	assert_int_equal(house_all(h).n, 0);
}

/* While nobody was looking. */
static void
test_changed_meanwhile(void **state)
{
	struct house *h = *state;
	char before[BOX_STATE];
	struct box_changes c;
	struct box_mail m;

	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_deliver(h, "new/1001.b.host", reply, 1001);
	house_look(h);
	box_state(h->box, BOX_MAILS, before);
	box_close(&h->box);
	house_rename(h, "new/1000.a.host", "cur/1000.a.host:2,S");
	assert_int_equal(unlink(house_path(h, "new/1001.b.host")), 0);
	house_deliver(h, "new/1002.c.host", letter, 1002);
	house_open(h);
	assert_true(box_is_whole(h->box));
	house_look(h);
	c = house_changes(h, BOX_MAILS, before);
	assert_int_equal(c.created_n, 1);
	assert_int_equal(c.updated_n, 1);
	assert_int_equal(c.destroyed_n, 1);
	m = house_mail(h, c.updated[0]);
	assert_int_equal(m.flags, BOX_SEEN);
}

/* ── what is no mail, or not quite ── */

static void
test_strange_files(void **state)
{
	struct house *h = *state;
	struct box_found found;

	house_deliver(h, "new/1000.\xff\xfe \"'%s.host", letter, 1000);
	house_write(h, "new/.hidden", letter);
	house_write(h, "new/empty", "");
	assert_int_equal(symlink("/etc/passwd", house_path(h, "new/1001.link.host")), 0);
	assert_int_equal(mkfifo(house_path(h, "new/1002.pipe.host"), 0600), 0);
	assert_int_equal(mkdir(house_path(h, "new/1003.directory.host"), 0700), 0);
	assert_int_equal(link(house_path(h, "new/1000.\xff\xfe \"'%s.host"),
				 house_path(h, "cur/1004.link.host:2,")),
		0);
	house_look(h);
	found = house_all(h);
	assert_int_equal(found.n, 3);
	house_look(h);
	box_close(&h->box);
	house_open(h);
	house_look(h);
	assert_int_equal(house_all(h).n, 3);
}

/* A link in progress is one mail; in two folders, and there to stay, it is two. */
static void
test_name_twice(void **state)
{
	struct house *h = *state;
	struct box_mail first, m;
	struct box_found found;

	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_look(h);
	first = house_only(h);
	assert_int_equal(
		link(house_path(h, "new/1000.a.host"), house_path(h, "cur/1000.a.host:2,S")), 0);
	house_look(h);
	assert_int_equal(house_all(h).n, 1);
	assert_int_equal(unlink(house_path(h, "new/1000.a.host")), 0);
	house_look(h);
	m = house_only(h);
	assert_str(m.id, first.id);
	house_write(h, ".Sent/cur/1000.a.host:2,S", letter);
	house_look(h);
	found = house_all(h);
	assert_int_equal(found.n, 2);
	assert_false(str_eq(found.ids[0], found.ids[1]));
	assert_int_equal(unlink(house_path(h, "cur/1000.a.host:2,S")), 0);
	house_look(h);
	m = house_only(h);
	assert_str(m.folder, house_folder(h, BOX_SENT).id);
}

/* ── what we do ourselves ── */

static void
test_own_work(void **state)
{
	struct house *h = *state;
	struct str inbox = house_folder(h, BOX_INBOX).id, trash = house_folder(h, BOX_TRASH).id;
	char before[BOX_STATE], after[BOX_STATE];
	struct err e = { 0 };
	struct box_mail m, now;
	struct stat st;

	assert_true(box_add(
		h->box, inbox, str_of(letter), BOX_SEEN | BOX_DRAFT, 5000, &h->arena, &m, &e));
	assert_int_equal(m.flags, BOX_SEEN | BOX_DRAFT);
	assert_int_equal(m.received_ms, 5000);
	assert_true(box_place(h->box, &m, inbox, BOX_FLAGGED, &e));
	assert_int_equal(house_mail(h, m.id).flags, BOX_FLAGGED);
	assert_true(box_place(h->box, &m, trash, BOX_FLAGGED, &e));
	now = house_mail(h, m.id);
	assert_str(now.folder, trash);
	assert_int_equal(now.flags, BOX_FLAGGED);
	assert_int_equal(now.received_ms, 5000);
	box_state(h->box, BOX_MAILS, before);
	house_look(h); /* sees what we did, and nothing new in it */
	box_state(h->box, BOX_MAILS, after);
	assert_string_equal(before, after);
	assert_true(box_remove(h->box, &now, &e));
	assert_false(box_mail(h->box, m.id, &h->arena, &now));
	assert_false(box_place(h->box, &m, inbox, 0, &e));
	assert_int_equal(e.kind, ERR_MAILBOX_UNKNOWN);
	house_look(h);
	assert_int_equal(house_all(h).n, 0);
	assert_int_equal(stat(house_path(h, ".Trash/cur"), &st), 0);
}

/* Another program was quicker; the index does not know yet. */
static void
test_work_on_what_has_moved(void **state)
{
	struct house *h = *state;
	struct err e = { 0 };
	struct box_mail m;

	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_look(h);
	m = house_only(h);
	house_rename(h, "new/1000.a.host", "cur/1000.a.host:2,R");
	assert_true(box_place(h->box, &m, m.folder, BOX_SEEN, &e));
	assert_int_equal(access(house_path(h, "cur/1000.a.host:2,RS"), F_OK), 0);
	house_look(h);
	assert_int_equal(house_only(h).flags, BOX_SEEN | BOX_ANSWERED); /* both did their part */
	assert_int_equal(unlink(house_path(h, "cur/1000.a.host:2,RS")), 0);
	assert_false(box_place(h->box, &m, m.folder, BOX_FLAGGED, &e));
	assert_int_equal(house_all(h).n, 0);
}

/* ── folders ── */

static void
test_folders(void **state)
{
	struct house *h = *state;
	struct box_folder *list, f;
	struct err e = { 0 };
	struct str a, below, made[3];
	static const struct str bad[] = { S(""), S("a.b"), S("a/b"), S("a\nb"), S("\xff"), S(" a"),
		S("Drafts"), S("inbox") };

	assert_int_equal(box_folders(h->box, &h->arena, &list), 6);
	assert_str(list[0].name, S("Inbox"));
	assert_true(box_folder_make(h->box, S(""), S("合同 & Co"), &h->arena, &a, &e));
	assert_int_equal(access(house_path(h, ".&VAhUDA- &- Co/cur"), F_OK), 0);
	assert_true(box_folder_make(h->box, a, S("2026"), &h->arena, &below, &e));
	assert_true(box_folder(h->box, below, &h->arena, &f));
	assert_str(f.name, S("2026"));
	assert_str(f.parent, a);
	assert_true(box_folder(h->box, a, &h->arena, &f));
	assert_str(f.name, S("合同 & Co"));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_false(box_folder_make(h->box, S(""), bad[i], &h->arena, &made[0], &e));
		assert_int_equal(e.kind, ERR_MAILBOX_NAME);
	}
	assert_false(box_folder_remove(h->box, a, true, &e));
	assert_int_equal(e.kind, ERR_MAILBOX_BUSY);
	assert_false(box_folder_rename(h->box, a, below, S("x"), &e));
	assert_true(box_folder_rename(h->box, a, S(""), S("Paper"), &e));
	assert_int_equal(access(house_path(h, ".Paper.2026/cur"), F_OK), 0);
	assert_true(box_folder(h->box, below, &h->arena, &f));
	assert_str(f.parent, a);
	house_write(h, ".Paper.2026/new/1000.a.host", letter);
	assert_false(box_folder_remove(h->box, below, false, &e));
	assert_int_equal(e.kind, ERR_MAILBOX_BUSY);
	house_look(h);
	assert_str(house_only(h).folder, below);
	assert_true(box_folder_remove(h->box, below, true, &e));
	assert_int_equal(house_all(h).n, 0);
	assert_true(box_folder_remove(h->box, a, false, &e));
	house_look(h);
	assert_int_equal(box_folders(h->box, &h->arena, &list), 6);
	assert_false(box_folder_remove(h->box, house_folder(h, BOX_TRASH).id, true, &e));
	assert_int_equal(e.kind, ERR_REFUSED);
}

static void
test_folders_of_others(void **state)
{
	struct house *h = *state;
	char before[BOX_STATE];
	struct box_changes c;
	struct box_folder f;
	struct str id;

	box_state(h->box, BOX_FOLDERS, before);
	assert_int_equal(mkdir(house_path(h, ".Work"), 0700), 0);
	house_look(h);
	assert_int_equal(mkdir(house_path(h, ".Work/cur"), 0700), 0);
	assert_int_equal(mkdir(house_path(h, ".Work/new"), 0700), 0);
	house_look(h);
	c = house_changes(h, BOX_FOLDERS, before);
	assert_int_equal(c.created_n, 1);
	assert_false(c.only_counts);
	id = c.created[0];
	box_state(h->box, BOX_FOLDERS, before);
	house_write(h, ".Work/new/1000.a.host", letter);
	house_look(h);
	c = house_changes(h, BOX_FOLDERS, before);
	assert_int_equal(c.updated_n, 1);
	assert_true(c.only_counts);
	house_rename(h, ".Work", ".Job");
	house_look(h);
	assert_true(box_folder(h->box, id, &h->arena, &f));
	assert_str(f.name, S("Job"));
	assert_int_equal(f.total, 1);
	house_write(h, ".Job/new/1001.b.host", reply);
	house_look(h);
	assert_int_equal(house_all(h).n, 2);
	box_state(h->box, BOX_FOLDERS, before);
	directory_remove(house_path(h, ".Job"));
	house_look(h);
	c = house_changes(h, BOX_FOLDERS, before);
	assert_int_equal(c.destroyed_n, 1);
	assert_str(c.destroyed[0], id);
	assert_int_equal(house_all(h).n, 0);
}

/* What another program has called its folders is not made a second time. */
static void
test_roles_of_others(void **state)
{
	struct house h = { .arena.max = 1 << 20 };

	(void)state;
	snprintf(h.path, sizeof h.path, "/tmp/posthouse-box-XXXXXX");
	assert_non_null(mkdtemp(h.path));
	assert_int_equal(mkdir(house_path(&h, ".Sent Messages"), 0700), 0);
	assert_int_equal(mkdir(house_path(&h, ".Sent Messages/cur"), 0700), 0);
	house_open(&h);
	assert_str(house_folder(&h, BOX_SENT).name, S("Sent Messages"));
	assert_int_not_equal(access(house_path(&h, ".Sent"), F_OK), 0);
	assert_int_equal(access(house_path(&h, ".Drafts/cur"), F_OK), 0);
	box_close(&h.box);
	arena_free(&h.arena);
	directory_remove(h.path);
}

/* ── states ── */

static void
test_changes_in_pieces(void **state)
{
	struct house *h = *state;
	char since[BOX_STATE], name[32];
	struct box_changes c;
	size_t created = 0, turns = 0;

	box_state(h->box, BOX_MAILS, since);
	for (int i = 0; i < 25; i++) {
		snprintf(name, sizeof name, "new/%d.a.host", 1000 + i);
		house_deliver(h, name, letter, 1000 + i);
	}
	house_look(h);
	do {
		assert_true(box_changes(h->box, BOX_MAILS, str_of(since), 10, &h->arena, &c));
		assert_true(c.created_n + c.updated_n + c.destroyed_n <= 10);
		created += c.created_n;
		memcpy(since, c.state, sizeof since);
		turns++;
	} while (c.has_more && turns < 10);
	assert_int_equal(created, 25);
	assert_int_equal(turns, 3);
	box_state(h->box, BOX_MAILS, since);
	assert_string_equal(c.state, since);
}

static void
test_states_that_are_of_no_use(void **state)
{
	static const struct str bad[] = { S(""), S("1"), S("0123456789abcdef-1"), S("x-1") };
	struct house *h = *state;
	char now[BOX_STATE];
	struct box_changes c;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(box_changes(h->box, BOX_MAILS, bad[i], 0, &h->arena, &c));
	box_state(h->box, BOX_MAILS, now);
	memcpy(strchr(now, '-'), "-999999999", 11);
	assert_false(box_changes(h->box, BOX_MAILS, str_of(now), 0, &h->arena, &c));
}

/* Between the two states it was created and destroyed: nobody needs to know. */
static void
test_come_and_gone(void **state)
{
	struct house *h = *state;
	char before[BOX_STATE];
	struct box_changes c;

	box_state(h->box, BOX_MAILS, before);
	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_look(h);
	assert_int_equal(unlink(house_path(h, "new/1000.a.host")), 0);
	house_look(h);
	c = house_changes(h, BOX_MAILS, before);
	assert_int_equal(c.created_n + c.updated_n + c.destroyed_n, 0);
	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_look(h);
	box_state(h->box, BOX_MAILS, before);
	assert_int_equal(unlink(house_path(h, "new/1000.a.host")), 0);
	house_look(h);
	house_deliver(h, "cur/1000.a.host:2,S", letter, 1000);
	house_look(h);
	has_one_updated(h, before, house_only(h).id);
}

/* ── threads ── */

static void
test_thread(void **state)
{
	struct house *h = *state;
	struct str *ids;
	struct box_found found;

	house_deliver(h, "new/1001.b.host", reply, 1001);
	house_look(h);
	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_deliver(h, "new/1002.c.host",
		"Subject: Coffee\r\nReferences: <1@example.net>\r\n\r\nAnother matter.\r\n", 1002);
	house_look(h);
	found = house_query(h,
		&(struct box_query){ .limit = 10, .wants_total = true, .collapses_threads = true });
	assert_int_equal(found.n, 2);
	assert_int_equal(found.total, 2);
	assert_int_equal(
		box_thread(h->box, house_mail(h, found.ids[1]).thread, &h->arena, &ids), 2);
	assert_int_equal(house_mail(h, ids[0]).received_ms, 1000000);
	assert_int_equal(house_folder(h, BOX_INBOX).threads, 2);
	assert_int_equal(
		box_thread(h->box, S("T00000000000000000000000000000000"), &h->arena, &ids), 0);
	assert_int_equal(box_thread(h->box, S("nonsense"), &h->arena, &ids), 0);
}

/* ── the index ── */

static void
of_garbage(struct house *h)
{
	house_write(h, "posthouse/index.db",
		"this was a database, once upon a time, and is no more; what now?");
}

static void
cut_in_half(struct house *h)
{
	const char *path = house_path(h, "posthouse/index.db");
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size / 2), 0);
}

static void
cut_to_nothing(struct house *h)
{
	assert_int_equal(truncate(house_path(h, "posthouse/index.db"), 0), 0);
}

static void
of_another_version(struct house *h)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(house_path(h, "posthouse/index.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void
a_directory(struct house *h)
{
	assert_int_equal(unlink(house_path(h, "posthouse/index.db")), 0);
	assert_int_equal(mkdir(house_path(h, "posthouse/index.db"), 0700), 0);
}

/* A link to something else of the same person's, which stays what it is. */
static void
a_link(struct house *h)
{
	assert_int_equal(unlink(house_path(h, "posthouse/index.db")), 0);
	house_write(h, "posthouse/mine", "no database");
	assert_int_equal(symlink("mine", house_path(h, "posthouse/index.db")), 0);
}

/* However it was broken: a new one is made at once, in which all that lies there has the ids it had. */
static void
test_index_made_anew(void **state)
{
	static void (*const faults[])(struct house *) = { of_garbage, cut_in_half, cut_to_nothing,
		of_another_version, a_directory, a_link };
	struct house *h = *state;
	struct str sent = house_folder(h, BOX_SENT).id;
	struct box_changes c;
	struct box_mail m, now;
	struct err e = { 0 };

	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_look(h);
	m = house_only(h);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		char before[BOX_STATE];

		box_state(h->box, BOX_MAILS, before);
		box_close(&h->box);
		faults[i](h);
		house_open(h);
		box_look(h->box, 1000, &e); /* finds what opening has not found */
		house_look(h);
		now = house_only(h);
		assert_str(now.id, m.id);
		assert_str(now.thread, m.thread);
		assert_str(now.folder, m.folder);
		assert_str(house_folder(h, BOX_SENT).id, sent);
		assert_false(box_changes(h->box, BOX_MAILS, str_of(before), 0, &h->arena, &c));
	}
	assert_int_equal(access(house_path(h, "posthouse/mine"), F_OK), 0);
}

/* While it is open: what it says is nonsense from one moment to the next. */
static void
test_index_breaks(void **state)
{
	struct house *h = *state;
	int watched = box_watched(h->box);
	struct err e = { 0 };
	char name[32];
	int fd;

	house_deliver(h, "new/1000.a.host", letter, 1000);
	house_look(h);
	for (const char *const *file = (const char *const[]){ "posthouse/index.db",
		     "posthouse/index.db-wal", NULL };
		*file; file++) {
		fd = open(house_path(h, *file), O_WRONLY | O_TRUNC);
		assert_true(fd >= 0);
		close(fd);
	}
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof name, "new/%d.b.host", 2000 + i);
		house_deliver(h, name, letter, 2000 + i);
		box_look(h->box, 1000, &e);
	}
	house_look(h);
	house_look(h);
	assert_int_equal(box_watched(h->box), watched);
	box_close(&h->box);
	house_open(h);
	house_look(h);
	assert_int_equal(house_all(h).n, 51);
}

/* A big box is filled in slices, its newest mails first. */
static void
test_slices(void **state)
{
	struct house *h = *state;
	struct err e = { 0 };
	char name[32];

	box_close(&h->box);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "new/%d.a.host", 1000 + i);
		house_deliver(h, name, letter, 1000 + i);
	}
	box_close(&h->box);
	of_garbage(h);
	house_open(h);
	for (int turn = 0; house_all(h).n == 0 && turn < 100; turn++)
		assert_false(box_look(h->box, 1, &e));
	assert_false(box_is_whole(h->box));
	assert_int_equal(house_mail(h, house_all(h).ids[0]).received_ms, 1299000);
	house_look(h);
	assert_true(box_is_whole(h->box));
	assert_int_equal(house_all(h).n, 300);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, house_setup, house_teardown)
	const struct CMUnitTest tests[] = {
		T(test_delivered),
		T(test_flagged_by_others),
		T(test_opened_by_others),
		T(test_moved_by_others),
		T(test_removed_by_others),
		T(test_trashed_by_others),
		T(test_changed_meanwhile),
		T(test_strange_files),
		T(test_name_twice),
		T(test_own_work),
		T(test_work_on_what_has_moved),
		T(test_folders),
		T(test_folders_of_others),
		cmocka_unit_test(test_roles_of_others),
		T(test_changes_in_pieces),
		T(test_states_that_are_of_no_use),
		T(test_come_and_gone),
		T(test_thread),
		T(test_index_made_anew),
		T(test_index_breaks),
		T(test_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
