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
#include "base/must.h"
#include "config/config.h"
#include "io/file.h"

/*
 * The outbox on the disk.
 *
 *   outbox/ID              a mail that waits: 32 hexadecimal digits
 *   outbox/ID.new          one that is being written; never read
 *   outbox/refused/ID      one of which nothing waits, and that did not reach everybody
 *   outbox/tending         locked by the process that was left behind
 *   outbox/sending         locked while somebody goes through the mails
 *
 * A mail is in the outbox when outbox_put has said so: written, synced, renamed, the directory synced. Its file is
 *
 *   "posthouse outbox 1\n", u32 CRC-32C of the letter, the note, the letter, an octet for each recipient (enum outbox_state)
 *
 *   note     NOTE_SIZE octets: u32 CRC-32C of the rest; u64 next try, u32 last pause, reason to wait, reason of failure; zeros
 *   letter   u64 since 1970, path of the configuration, profile, reverse-path, u8 notify, u8 ret, envelope id, u32 number of
 *            recipients, each of them, message
 *
 * both packed (base/codec.h). The letter never changes. The note and the recipients' octets are written over in place, which needs no room
 * on a full disk. Of a power cut each octet comes out old or new; a note that is half of each is taken for an empty one.
 */

enum {
	RECORD_MAX = (1 << 30) + (128 << 20),
	ARENA_MAX = 256 << 20,
	NOTE_AT = 19 + sizeof(uint32_t), /* behind the magic and the CRC */
	NOTE_SIZE = 1024,
	NEW_FILE_AGE_S = 3600, /* nobody writes a mail for so long */
};

static const struct str magic = { "posthouse outbox 1\n", 19 };

/* ── where ── */

static bool
sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool
is_own_directory(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

static bool
sync_parent(const char *path)
{
	char parent[OUTBOX_PATH];

	snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
	/* one where this person may write but not read holds nothing to sync by; the file is safe, its name most probably */
	return sync_directory(parent) || errno == EACCES;
}

/* Of this person alone, now or before. Where a symlink or somebody else's directory has the name, nothing is made behind it. */
static bool
make_directory(const char *path, struct err *e)
{
	if (mkdir(path, 0700) == 0)
		return sync_parent(path) || err_set_errno(e, "%s", path);
	if (errno != EEXIST)
		return err_set_errno(e, "%s", path);
	return is_own_directory(path) ||
	       err_set(e, ERR_TEMPORARY, ERR_LOCAL, "%s: this is no directory of yours", path);
}

/* All that is missing of a path, behind its first octets. */
static bool
make_directories(const char *path, size_t base, struct err *e)
{
	const char *slash = path + base;
	char part[OUTBOX_PATH];

	while (*slash) {
		slash = strchrnul(slash + 1, '/');
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		if (!make_directory(part, e))
			return false;
	}
	return true;
}

/* Whoever keeps $HOME of another person (sudo) leaves nothing there. */
static bool
find_home(bool makes, char base[OUTBOX_PATH], struct err *e)
{
	const char *home = secure_getenv("HOME");
	const struct passwd *person;

	(void)makes;
	if (!home || *home != '/' || !is_own_directory(home)) {
		person = getpwuid(geteuid());
		home = person && is_own_directory(person->pw_dir) ? person->pw_dir : NULL;
	}
	return (home && snprintf(base, OUTBOX_PATH, "%s", home) < OUTBOX_PATH) ||
	       err_set(e, ERR_TEMPORARY, ERR_LOCAL, "there is no home for an outbox");
}

/* The same of $XDG_STATE_HOME, which need not be there yet. */
static bool
find_state_home(bool makes, char base[OUTBOX_PATH], struct err *e)
{
	const char *state = secure_getenv("XDG_STATE_HOME");

	if (!state || *state != '/' || snprintf(base, OUTBOX_PATH, "%s", state) >= OUTBOX_PATH)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "there is no home for an outbox");
	if (makes) {
		char parent[OUTBOX_PATH];

		snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(base, '/') - base), base);
		if (is_own_directory(parent) && mkdir(base, 0700) == 0)
			sync_directory(parent);
	}
	return is_own_directory(base) ||
	       err_set(e, ERR_TEMPORARY, ERR_LOCAL, "%s: this is no directory of yours", base);
}

/* An administrator's, for services without a home: each user makes a directory there, and nobody else's can be removed or listed. */
static bool
find_spool(bool makes, char base[OUTBOX_PATH], struct err *e)
{
	static const char spool[] = "/var/spool/posthouse-outbox";
	struct stat st;

	if (lstat(spool, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != 0 ||
		!(st.st_mode & S_ISVTX))
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "there is no %s", spool);
	snprintf(base, OUTBOX_PATH, "%s/%u", spool, (unsigned)geteuid());
	return !makes || make_directory(base, e);
}

/* A /var/tmp that a service has for itself (systemd's PrivateTmp) goes with the service, and all that is kept there. */
static bool
is_of_service(void)
{
	int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	struct buf text = { .max = 1 << 20 };
	struct str rest, line;
	bool is = false;

	if (fd < 0)
		return false;
	file_read_all(fd, &text);
	close(fd);
	for (rest = buf_str(&text); scan_until(&rest, '\n', &line);)
		is |= memmem(line.p, line.n, " /var/tmp ", 10) &&
		      memmem(line.p, line.n, "systemd-private", 15);
	buf_free(&text);
	return is;
}

/* One that was made because somebody else had taken the name. */
static bool
find_other_name(char base[OUTBOX_PATH])
{
	DIR *d = opendir("/var/tmp");
	bool is_found = false;
	char prefix[64];

	if (!d)
		return false;
	snprintf(prefix, sizeof prefix, "posthouse-%u.", (unsigned)geteuid());
	for (struct dirent *entry; !is_found && (entry = readdir(d));) {
		if (!str_starts(str_of(entry->d_name), str_of(prefix)))
			continue;
		snprintf(base, OUTBOX_PATH, "/var/tmp/%s", entry->d_name);
		is_found = is_own_directory(base);
	}
	closedir(d);
	return is_found;
}

static bool
find_temporary(bool makes, char base[OUTBOX_PATH], struct err *e)
{
	unsigned user = geteuid();
	struct stat st;

	if (makes && is_of_service())
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL,
			"/var/tmp is this service's own, and goes with it: an administrator makes "
			"/var/spool/posthouse-outbox (mode 1733)");
	snprintf(base, OUTBOX_PATH, "/var/tmp/posthouse-%u", user);
	if (makes && mkdir(base, 0700) < 0 && errno != EEXIST)
		return err_set_errno(e, "%s", base);
	if (lstat(base, &st) < 0)
		return err_set_errno(e, "%s", base);
	if (st.st_uid == user || find_other_name(base))
		return true;
	snprintf(base, OUTBOX_PATH, "/var/tmp/posthouse-%u.XXXXXX", user);
	return (makes && mkdtemp(base)) || err_set_errno(e, "%s", base);
}

/* The best first. */
static const struct place {
	bool (*find_base)(bool makes, char base[OUTBOX_PATH], struct err *e);
	const char *within;
} places[OUTBOX_PLACES] = {
	{ find_state_home, "/posthouse/outbox" },
	{ find_home, "/.local/state/posthouse/outbox" },
	{ find_spool, "" },
	{ find_temporary, "" },
};

bool
outbox_place(unsigned which, bool makes, char path[OUTBOX_PATH], struct err *e)
{
	const struct place *place = &places[which];
	char refused[OUTBOX_PATH];
	struct stat st;
	size_t base;

	if (!place->find_base(makes, path, e))
		return false;
	base = strlen(path);
	if (base >= OUTBOX_PATH - 200)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL, "the path of your home is too long");
	snprintf(path + base, OUTBOX_PATH - base, "%s", place->within);
	snprintf(refused, sizeof refused, "%.*s/refused", OUTBOX_PATH - 100, path);
	if (makes && !make_directories(refused, base, e))
		return false;
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

/* What a writer left that was killed. */
static void
remove_if_left(int directory, const char *name)
{
	struct str rest = str_of(name);
	struct mail_id id;
	struct stat st;

	if (rest.n == MAIL_ID_TEXT - 1 + 4 && str_eq(str_from(rest, MAIL_ID_TEXT - 1), S(".new")) &&
		mail_id_parse(str_part(rest, 0, MAIL_ID_TEXT - 1), &id) &&
		fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		time(NULL) - st.st_mtim.tv_sec > NEW_FILE_AGE_S)
		unlinkat(directory, name, 0);
}

void
outbox_sweep(const char *outbox)
{
	DIR *d = opendir(outbox);

	if (!d)
		return;
	for (struct dirent *entry; (entry = readdir(d));)
		remove_if_left(dirfd(d), entry->d_name);
	closedir(d);
}

/* ── one mail ── */

static void
add_note(struct buf *to, const struct outbox_note *note)
{
	static const char zeros[NOTE_SIZE];
	size_t begin = to->n, crc_end = begin + sizeof(uint32_t);

	codec_add_u32(to, 0);
	codec_add_u64(to, (uint64_t)note->next_s);
	codec_add_u32(to, note->pause_s);
	codec_add_str(to, str_of(note->waits));
	codec_add_str(to, str_of(note->failed));
	buf_add(to, (struct str){ zeros, begin + NOTE_SIZE - to->n });
	if (!to->overflow)
		codec_put_u32(to->p + begin, hash_crc32c(0, str_from(buf_str(to), crc_end)));
}

static void
add_letter(struct buf *to, const struct outbox_mail *mail, int64_t since_s)
{
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
}

static void
pack(struct buf *to, const struct outbox_mail *mail, int64_t since_s)
{
	buf_add(to, magic);
	codec_add_u32(to, 0);
	add_note(to, &(struct outbox_note){ 0 });
	add_letter(to, mail, since_s);
	if (!to->overflow)
		codec_put_u32(to->p + magic.n,
			hash_crc32c(0, str_from(buf_str(to), NOTE_AT + NOTE_SIZE)));
	for (size_t i = 0; i < mail->recipients_n; i++)
		buf_add_char(to, OUTBOX_WAITS);
}

static bool
scan_reason(struct str *in, char reason[OUTBOX_REASON])
{
	struct str s;

	if (!codec_scan_str(in, &s))
		return false;
	snprintf(reason, OUTBOX_REASON, "%.*s", STR_ARG(s));
	return true;
}

/* A note that is damaged says nothing: the mail is tried at once. */
static void
scan_note(struct str in, struct outbox_note *note)
{
	uint32_t crc;
	uint64_t next_s;

	if (!codec_scan_u32(&in, &crc) || crc != hash_crc32c(0, in) ||
		!codec_scan_u64(&in, &next_s) || !codec_scan_u32(&in, &note->pause_s) ||
		!scan_reason(&in, note->waits) || !scan_reason(&in, note->failed))
		*note = (struct outbox_note){ 0 };
	else
		note->next_s = (int64_t)next_s;
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
scan_letter(struct str *in, struct outbox_file *f)
{
	uint64_t since_s;
	uint8_t notify, ret;

	if (!codec_scan_u64(in, &since_s) || !scan_text(in, &f->arena, &f->mail.config_file) ||
		!scan_text(in, &f->arena, &f->mail.profile) ||
		!codec_scan_str(in, &f->mail.reverse_path) || !codec_scan_u8(in, &notify) ||
		!codec_scan_u8(in, &ret) || !codec_scan_str(in, &f->mail.envid) ||
		!scan_recipients(in, f) || !codec_scan_str(in, &f->mail.message))
		return false;
	f->mail.notify = notify;
	f->mail.ret = (char)ret;
	f->since_s = (int64_t)since_s;
	return true;
}

static bool
unpack(struct outbox_file *f)
{
	struct str in = buf_str(&f->octets), letter;
	uint32_t crc;

	if (!str_starts(in, magic) || in.n < NOTE_AT + NOTE_SIZE)
		return false;
	in = str_from(in, magic.n);
	codec_scan_u32(&in, &crc);
	scan_note(str_part(in, 0, NOTE_SIZE), &f->note);
	letter = in = str_from(in, NOTE_SIZE);
	if (!scan_letter(&in, f) || in.n != f->mail.recipients_n ||
		crc != hash_crc32c(0, str_part(letter, 0, letter.n - in.n)))
		return false;
	f->states = f->octets.p + f->octets.n - in.n;
	return outbox_count(f, OUTBOX_WAITS) + outbox_count(f, OUTBOX_TAKEN) +
		       outbox_count(f, OUTBOX_FAILED) ==
	       f->mail.recipients_n;
}

size_t
outbox_count(const struct outbox_file *f, enum outbox_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < f->mail.recipients_n; i++)
		n += f->states[i] == (char)state;
	return n;
}

static int
open_mail(const char *directory, const char *name, int flags)
{
	char path[OUTBOX_PATH + MAIL_ID_TEXT + 4];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	return open(path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
}

enum outbox_reading
outbox_read(const char *directory, const char *name, struct outbox_file *f, struct err *e)
{
	int fd = open_mail(directory, name, O_RDONLY);
	bool ok = fd >= 0;

	f->octets.max = RECORD_MAX;
	f->arena.max = ARENA_MAX;
	ok = ok && file_read_whole(fd, &f->octets);
	if (!ok)
		err_set_errno(e, "%s/%s", directory, name);
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

bool
outbox_remove(const char *directory, const char *name)
{
	char path[OUTBOX_PATH + MAIL_ID_TEXT + 4];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	return unlink(path) == 0 && sync_directory(directory);
}

bool
outbox_put_aside(const char *outbox, const char *name)
{
	char refused[OUTBOX_PATH], from[OUTBOX_PATH], to[OUTBOX_PATH];

	snprintf(refused, sizeof refused, "%.*s/refused", OUTBOX_PATH - 100, outbox);
	snprintf(from, sizeof from, "%.*s/%s", OUTBOX_PATH - 100, outbox, name);
	snprintf(to, sizeof to, "%.*s/refused/%s", OUTBOX_PATH - 100, outbox, name);
	return rename(from, to) == 0 && sync_directory(refused) && sync_directory(outbox);
}

static bool
write_at(int fd, struct str octets, size_t at)
{
	return pwrite(fd, octets.p, octets.n, (off_t)at) == (ssize_t)octets.n;
}

bool
outbox_note(const char *directory, const char *name, const struct outbox_file *f)
{
	struct buf note = { .max = NOTE_SIZE };
	struct str states = { f->states, f->mail.recipients_n };
	int fd = open_mail(directory, name, O_WRONLY), cause;
	bool ok;

	if (fd < 0)
		return false;
	add_note(&note, &f->note);
	ok = write_at(fd, states, f->octets.n - states.n) &&
	     write_at(fd, buf_str(&note), NOTE_AT) && fdatasync(fd) == 0;
	cause = errno;
	buf_free(&note);
	close(fd);
	errno = cause;
	return ok;
}

int64_t
outbox_next_try(const char *directory, const char *name)
{
	struct outbox_note note = { 0 };
	char octets[NOTE_SIZE];
	int fd = open_mail(directory, name, O_RDONLY);

	if (fd < 0)
		return 0;
	if (pread(fd, octets, sizeof octets, NOTE_AT) == sizeof octets)
		scan_note((struct str){ octets, sizeof octets }, &note);
	close(fd);
	return note.next_s;
}

/* ── for everybody ── */

/* It ends in NUL, and lasts until the next one. */
static const char *
text_of(struct buf *text, struct str s)
{
	buf_reset(text);
	buf_add(text, s);
	buf_add_char(text, '\0');
	return text->overflow ? "" : text->p;
}

ph_mail *
outbox_compose(const struct outbox_mail *mail)
{
	struct buf text = { .max = RECORD_MAX };
	ph_mail *m = ph_mail_new();

	must(m);
	ph_return_path(m, text_of(&text, mail->reverse_path));
	for (size_t i = 0; i < mail->recipients_n; i++)
		ph_recipient(m, text_of(&text, mail->recipients[i]));
	ph_message_data(m, mail->message.p, mail->message.n);
	if (mail->notify)
		ph_notify(m, mail->notify);
	if (mail->ret)
		ph_return_full(m, mail->ret == 'F');
	if (mail->envid.n)
		ph_envelope_id(m, text_of(&text, mail->envid));
	buf_free(&text);
	return m;
}

/* ── a new one ── */

static void
name_new(char name[MAIL_ID_TEXT + 4], const char *id)
{
	snprintf(name, MAIL_ID_TEXT + 4, "%s.new", id);
}

/* What is half written gives its room back. */
static bool
write_new(const char *outbox, const char *name, struct str record)
{
	int fd = open_mail(outbox, name, O_WRONLY | O_CREAT | O_EXCL), cause;
	bool ok;

	if (fd < 0)
		return false;
	ok = file_write_all(fd, record) && fsync(fd) == 0;
	cause = errno;
	close(fd);
	if (!ok)
		outbox_remove(outbox, name);
	errno = cause;
	return ok;
}

/* Into the first place that has room. */
static bool
write_somewhere(struct outbox_spare *spare, struct str record, struct err *e)
{
	char outbox[OUTBOX_PATH], name[MAIL_ID_TEXT + 4];

	mail_id_text(mail_id_random(), spare->id);
	name_new(name, spare->id);
	for (unsigned i = 0; i < OUTBOX_PLACES; i++) {
		if (!outbox_place(i, true, outbox, e))
			continue;
		if (!write_new(outbox, name, record)) {
			err_set_errno(e, "%s", outbox);
			continue;
		}
		spare->outbox = memory_take(NULL, strlen(outbox) + 1);
		memcpy(spare->outbox, outbox, strlen(outbox));
		return true;
	}
	return false;
}

bool
outbox_spare_write(struct outbox_spare *spare, const struct outbox_mail *mail, struct err *e)
{
	struct outbox_mail kept = *mail;
	struct buf record = { .max = RECORD_MAX };
	char config[PATH_MAX];
	bool ok;

	/* whoever sends it may stand in another directory, and be told of another file */
	if (realpath(config_path(mail->config_file), config))
		kept.config_file = config;
	else if (*config_path(mail->config_file) == '/') /* not there now */
		kept.config_file = config_path(mail->config_file);
	pack(&record, &kept, time(NULL));
	spare->recipients_n = mail->recipients_n;
	ok = record.overflow ? err_set(e, ERR_PERMANENT, ERR_TOO_BIG,
				       "the mail is too large for the outbox")
			     : write_somewhere(spare, buf_str(&record), e);
	buf_free(&record);
	return ok;
}

/* Behind all else in the file. */
static bool
write_states(const char *outbox, const char *name, struct str states)
{
	int fd = open_mail(outbox, name, O_WRONLY), cause;
	struct stat st;
	bool ok;

	if (fd < 0)
		return false;
	ok = fstat(fd, &st) == 0 && write_at(fd, states, (size_t)st.st_size - states.n) &&
	     fdatasync(fd) == 0;
	cause = errno;
	close(fd);
	errno = cause;
	return ok;
}

static bool
rename_new(const struct outbox_spare *spare, const char *name)
{
	char from[OUTBOX_PATH], to[OUTBOX_PATH];

	snprintf(from, sizeof from, "%s/%s", spare->outbox, name);
	snprintf(to, sizeof to, "%s/%s", spare->outbox, spare->id);
	return rename(from, to) == 0 && sync_directory(spare->outbox);
}

static void
forget_spare(struct outbox_spare *spare)
{
	memory_release(NULL, spare->outbox);
	*spare = (struct outbox_spare){ 0 };
}

bool
outbox_spare_keep(struct outbox_spare *spare, const bool *waits, struct err *e)
{
	struct buf states = { .max = RECORD_MAX };
	char name[MAIL_ID_TEXT + 4];
	bool ok;

	for (size_t i = 0; i < spare->recipients_n; i++)
		buf_add_char(&states, waits[i] ? OUTBOX_WAITS : OUTBOX_TAKEN);
	name_new(name, spare->id);
	ok = (write_states(spare->outbox, name, buf_str(&states)) && rename_new(spare, name)) ||
	     err_set_errno(e, "%s", spare->outbox);
	buf_free(&states);
	if (ok)
		forget_spare(spare);
	return ok;
}

void
outbox_spare_drop(struct outbox_spare *spare)
{
	char name[MAIL_ID_TEXT + 4];

	if (!spare->outbox)
		return;
	name_new(name, spare->id);
	outbox_remove(spare->outbox, name);
	forget_spare(spare);
}

bool
outbox_put(const struct outbox_mail *mail, struct err *e)
{
	struct outbox_spare spare = { 0 };
	char name[MAIL_ID_TEXT + 4];
	bool ok = outbox_spare_write(&spare, mail, e);

	if (!ok)
		return false;
	name_new(name, spare.id);
	ok = rename_new(&spare, name) || err_set_errno(e, "%s", spare.outbox);
	if (ok)
		forget_spare(&spare);
	outbox_spare_drop(&spare);
	return ok;
}

/* ── what is there ── */

/* Who of a mail is in that state, if anybody. */
static void
show_state(const struct outbox_file *f, enum outbox_state state, struct outbox_entry *entry,
	outbox_show *show, void *context)
{
	const char *first = memchr(f->states, (int)state, f->mail.recipients_n);

	if (!first)
		return;
	entry->reverse_path = f->mail.reverse_path;
	entry->first_recipient = f->mail.recipients[first - f->states];
	entry->recipients_n = outbox_count(f, state);
	entry->size = f->mail.message.n;
	entry->since_s = f->since_s;
	entry->will_not_go = state == OUTBOX_FAILED;
	entry->reason = str_of(entry->will_not_go ? f->note.failed : f->note.waits);
	show(context, entry);
}

static void
show_one(const char *directory, const char *name, outbox_show *show, void *context)
{
	struct outbox_file f = { 0 };
	char file[OUTBOX_PATH + MAIL_ID_TEXT];
	struct outbox_entry entry = { .file = file };
	struct err e;

	snprintf(file, sizeof file, "%s/%s", directory, name);
	memcpy(entry.id, name, MAIL_ID_TEXT);
	if (outbox_read(directory, name, &f, &e) == OUTBOX_READ) {
		show_state(&f, OUTBOX_WAITS, &entry, show, context);
		show_state(&f, OUTBOX_FAILED, &entry, show, context);
	} else {
		entry.reason = str_of(e.text);
		entry.will_not_go = true;
		show(context, &entry);
	}
	outbox_file_free(&f);
}

bool
outbox_list(outbox_show *show, void *context, struct err *e)
{
	char outbox[OUTBOX_PATH], refused[OUTBOX_PATH];

	for (unsigned i = 0; i < 2 * OUTBOX_PLACES; i++) {
		bool is_aside = i >= OUTBOX_PLACES;
		struct outbox_name *names;
		size_t n;

		if (!outbox_place(i % OUTBOX_PLACES, false, outbox, e))
			continue;
		snprintf(refused, sizeof refused, "%.*s/refused", OUTBOX_PATH - 100, outbox);
		names = outbox_names(is_aside ? refused : outbox, &n);
		for (size_t at = 0; at < n; at++)
			show_one(is_aside ? refused : outbox, names[at].text, show, context);
		memory_release(NULL, names);
	}
	return true;
}
