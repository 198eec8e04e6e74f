/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/outbox_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "config/config.h"
#include "io/file.h"

/*
 * The outbox on the disk.
 *
 *   outbox/ID              a mail that waits: 32 hexadecimal digits
 *   outbox/ID.new          one that is being written; never read
 *   outbox/refused/ID      one that will not go, and ID.why: the reason
 *   outbox/tending         locked by the process that was left behind
 *   outbox/sending         locked while somebody goes through the mails
 *
 * A mail is in the outbox when outbox_put has said so: written, synced, renamed, the directory synced. Its file is
 *
 *   "posthouse outbox 1\n", u32 CRC-32C of what follows, u64 since 1970, and packed (base/codec.h): path of the configuration, profile,
 *   reverse-path, u8 notify, u8 ret, envelope id, u32 number of recipients, each of them, message
 */

enum { RECORD_MAX = (1 << 30) + (128 << 20), ARENA_MAX = 256 << 20, REASON_MAX = 1024 };

static const struct str magic = { "posthouse outbox 1\n", 19 };

/* ── where ── */

/* mkdir -p, for nobody else. */
static bool
make_directories(const char *path)
{
	char part[OUTBOX_PATH];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return false;
	}
	return mkdir(path, 0700) == 0 || errno == EEXIST;
}

static bool
is_own_directory(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

/* Whoever keeps $HOME of another person (sudo) leaves nothing there. */
static const char *
own_home(void)
{
	const char *home = getenv("HOME");
	const struct passwd *person;

	if (home && *home == '/' && is_own_directory(home))
		return home;
	person = getpwuid(geteuid());
	return person && is_own_directory(person->pw_dir) ? person->pw_dir : NULL;
}

bool
outbox_place(unsigned which, bool makes, char path[OUTBOX_PATH], struct err *e)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = own_home();
	char refused[OUTBOX_PATH];
	struct stat st;
	int n = 0;

	if (which == 0 && state && *state == '/')
		n = snprintf(path, OUTBOX_PATH, "%s/posthouse/outbox", state);
	else if (which == 1 && home)
		n = snprintf(path, OUTBOX_PATH, "%s/.local/state/posthouse/outbox", home);
	else if (which == 2)
		n = snprintf(path, OUTBOX_PATH, "/var/tmp/posthouse-%u", (unsigned)geteuid());
	if (n <= 0 || n >= OUTBOX_PATH - 100)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "there is no home for an outbox");
	snprintf(refused, sizeof refused, "%.*s/refused", OUTBOX_PATH - 100, path);
	if (makes && !make_directories(refused))
		return err_set_errno(e, "%s", path);
	if (lstat(path, &st) < 0)
		return err_set_errno(e, "%s", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & (S_IRWXG | S_IRWXO))
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL,
			"%s: this is no directory of yours alone (chmod 700)", path);
	return true;
}

/* ── which ── */

static int
by_age(const void *a, const void *b)
{
	const struct outbox_name *left = a, *right = b;

	return (left->written_ns > right->written_ns) - (left->written_ns < right->written_ns);
}

struct outbox_name *
outbox_names(const char *directory, size_t *n)
{
	DIR *d = opendir(directory);
	struct outbox_name *names = NULL;
	struct mail_id id;
	struct stat st;
	size_t room = 0;

	*n = 0;
	if (!d)
		return NULL;
	for (struct dirent *entry; (entry = readdir(d));) {
		if (!mail_id_parse(str_of(entry->d_name), &id) ||
			fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (*n == room) {
			room = room ? 2 * room : 16;
			names = memory_resize(NULL, names, room * sizeof *names);
		}
		mail_id_text(id, names[*n].text);
		names[(*n)++].written_ns =
			(int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	}
	closedir(d);
	if (*n)
		qsort(names, *n, sizeof *names, by_age);
	return names;
}

/* ── one mail ── */

static void
pack(struct buf *to, const struct outbox_mail *mail, int64_t since_s)
{
	buf_add(to, magic);
	codec_add_u32(to, 0);
	codec_add_u64(to, (uint64_t)since_s);
	codec_add_str(to, str_of(mail->config_file));
	codec_add_str(to, str_of(mail->profile));
	codec_add_str(to, mail->reverse_path);
	codec_add_u8(to, (uint8_t)mail->notify);
	codec_add_u8(to, (uint8_t)mail->ret);
	codec_add_str(to, mail->envid);
	codec_add_u32(to, (uint32_t)mail->recipients_n);
	for (size_t i = 0; i < mail->recipients_n; i++)
		codec_add_str(to, mail->recipients[i]);
	codec_add_str(to, mail->message);
	if (!to->overflow)
		codec_put_u32(to->p + magic.n,
			hash_crc32c(0, str_from(buf_str(to), magic.n + sizeof(uint32_t))));
}

bool
outbox_write(const char *directory, const char *name, const struct outbox_mail *mail,
	int64_t since_s, struct err *e)
{
	struct buf record = { .max = RECORD_MAX };
	bool ok;

	pack(&record, mail, since_s);
	if (record.overflow)
		ok = err_set(e, ERR_PERMANENT, ERR_TOO_BIG, "the mail is too large for the outbox");
	else
		ok = file_replace(directory, name, buf_str(&record), 0600, true) ||
		     err_set_errno(e, "%s", directory);
	buf_free(&record);
	return ok;
}

/* Text that ends in NUL; NULL when it is empty. */
static bool
scan_text(struct str *in, struct arena *arena, const char **text)
{
	struct str s;
	char *copy;

	if (!codec_scan_str(in, &s) || !(copy = arena_take(arena, s.n + 1)))
		return false;
	if (s.n)
		memcpy(copy, s.p, s.n);
	*text = s.n ? copy : NULL;
	return true;
}

static bool
scan_recipients(struct str *in, struct outbox_file *f)
{
	struct str *recipients;
	uint32_t n;

	if (!codec_scan_u32(in, &n) || n == 0 || n > in->n / sizeof(uint32_t) ||
		!(recipients = arena_take(&f->arena, n * sizeof *recipients)))
		return false;
	f->mail.recipients = recipients;
	f->mail.recipients_n = n;
	for (uint32_t i = 0; i < n; i++)
		if (!codec_scan_str(in, &recipients[i]))
			return false;
	return true;
}

static bool
unpack(struct outbox_file *f)
{
	struct str in = buf_str(&f->octets);
	uint64_t since_s;
	uint8_t notify, ret;
	uint32_t crc;

	if (!str_starts(in, magic))
		return false;
	in = str_from(in, magic.n);
	if (!codec_scan_u32(&in, &crc) || crc != hash_crc32c(0, in) ||
		!codec_scan_u64(&in, &since_s) ||
		!scan_text(&in, &f->arena, &f->mail.config_file) ||
		!scan_text(&in, &f->arena, &f->mail.profile) ||
		!codec_scan_str(&in, &f->mail.reverse_path) || !codec_scan_u8(&in, &notify) ||
		!codec_scan_u8(&in, &ret) || !codec_scan_str(&in, &f->mail.envid) ||
		!scan_recipients(&in, f) || !codec_scan_str(&in, &f->mail.message))
		return false;
	f->mail.notify = notify;
	f->mail.ret = (char)ret;
	f->since_s = (int64_t)since_s;
	return in.n == 0;
}

enum outbox_reading
outbox_read(const char *directory, const char *name, struct outbox_file *f, struct err *e)
{
	char path[OUTBOX_PATH + MAIL_ID_TEXT];
	bool ok;
	int fd;

	f->octets.max = RECORD_MAX;
	f->arena.max = ARENA_MAX;
	snprintf(path, sizeof path, "%s/%s", directory, name);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	ok = fd >= 0 && file_read_whole(fd, &f->octets);
	if (!ok)
		err_set_errno(e, "%s", path);
	if (fd >= 0)
		close(fd);
	if (!ok)
		return OUTBOX_UNREADABLE;
	if (unpack(f))
		return OUTBOX_READ;
	err_set(e, ERR_PERMANENT, ERR_LOCAL, "the file is damaged: it is not what was written");
	return OUTBOX_DAMAGED;
}

void
outbox_file_free(struct outbox_file *f)
{
	buf_free(&f->octets);
	arena_free(&f->arena);
}

static bool
sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

bool
outbox_remove(const char *directory, const char *name)
{
	char path[OUTBOX_PATH + MAIL_ID_TEXT];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	return unlink(path) == 0 && sync_directory(directory);
}

bool
outbox_put_aside(const char *outbox, const char *name, const struct outbox_mail *mail,
	int64_t since_s, const char *reason, struct err *e)
{
	char refused[OUTBOX_PATH], from[OUTBOX_PATH], to[OUTBOX_PATH], why[64], id[MAIL_ID_TEXT];

	/* a name of its own: others of the same mail may have been refused before */
	mail_id_text(mail_id_random(), id);
	snprintf(refused, sizeof refused, "%.*s/refused", OUTBOX_PATH - 100, outbox);
	snprintf(why, sizeof why, "%s.why", id);
	if (!file_replace(refused, why, str_of(reason), 0600, true))
		return err_set_errno(e, "%s", refused);
	if (mail)
		return outbox_write(refused, id, mail, since_s, e);
	snprintf(from, sizeof from, "%.*s/%s", OUTBOX_PATH - 100, outbox, name);
	snprintf(to, sizeof to, "%.*s/refused/%s", OUTBOX_PATH - 100, outbox, id);
	return (rename(from, to) == 0 && sync_directory(refused) && sync_directory(outbox)) ||
	       err_set_errno(e, "%s", from);
}

/* ── for everybody ── */

/* The first place that can be had. */
static bool
make_outbox(char path[OUTBOX_PATH], struct err *e)
{
	for (unsigned i = 0; i < OUTBOX_PLACES; i++)
		if (outbox_place(i, true, path, e))
			return true;
	return false;
}

bool
outbox_put(const struct outbox_mail *mail, struct err *e)
{
	struct outbox_mail kept = *mail;
	char outbox[OUTBOX_PATH], config[PATH_MAX], id[MAIL_ID_TEXT];

	if (!make_outbox(outbox, e))
		return false;
	/* whoever sends it may stand in another directory, and be told of another file */
	if (realpath(config_path(mail->config_file), config))
		kept.config_file = config;
	return outbox_write(outbox, mail_id_text(mail_id_random(), id), &kept, time(NULL), e);
}

static void
show_one(const char *directory, const char *name, bool is_refused,
	void (*show)(void *context, const struct outbox_entry *entry), void *context)
{
	struct outbox_file f = { 0 };
	struct outbox_entry entry = { 0 };
	struct buf reason = { .max = REASON_MAX };
	char path[OUTBOX_PATH + MAIL_ID_TEXT];
	struct err e;
	int fd;

	if (outbox_read(directory, name, &f, &e) == OUTBOX_READ) {
		entry.reverse_path = f.mail.reverse_path;
		entry.first_recipient = f.mail.recipients[0];
		entry.recipients_n = f.mail.recipients_n;
		entry.size = f.mail.message.n;
		entry.since_s = f.since_s;
	} else {
		entry.reason = str_of(e.text);
	}
	snprintf(path, sizeof path, "%s/%s.why", directory, name);
	if (is_refused && (fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) >= 0) {
		file_read_all(fd, &reason);
		close(fd);
		entry.reason = buf_str(&reason);
	}
	memcpy(entry.id, name, MAIL_ID_TEXT);
	show(context, &entry);
	buf_free(&reason);
	outbox_file_free(&f);
}

bool
outbox_list(
	void (*show)(void *context, const struct outbox_entry *entry), void *context, struct err *e)
{
	char outbox[OUTBOX_PATH], refused[OUTBOX_PATH];

	for (unsigned i = 0; i < 2 * OUTBOX_PLACES; i++) {
		bool is_refused = i >= OUTBOX_PLACES;
		struct outbox_name *names;
		size_t n;

		if (!outbox_place(i % OUTBOX_PLACES, false, outbox, e))
			continue;
		snprintf(refused, sizeof refused, "%.*s/refused", OUTBOX_PATH - 100, outbox);
		names = outbox_names(is_refused ? refused : outbox, &n);
		for (size_t at = 0; at < n; at++)
			show_one(is_refused ? refused : outbox, names[at].text, is_refused, show,
				context);
		memory_release(NULL, names);
	}
	return true;
}
