/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/outbox_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "io/file.h"

/*
 * A mail's file in an outbox:
 *
 *   "posthouse outbox 1\n", u32 CRC-32C of the letter, the note, the letter, an octet for each recipient (enum outbox_state)
 *
 *   note     NOTE_SIZE octets: u32 CRC-32C of the rest; u64 next try, u32 last pause, reason to wait, reason of failure, u64 when a person
 *            wanted it again; zeros
 *   letter   u64 since 1970, path of the configuration, profile, reverse-path, u8 notify, u8 ret, envelope id, u32 number of
 *            recipients, each of them, message
 *
 * both packed (base/codec.h). The letter never changes. The note and the recipients' octets are written over in place, which needs no room
 * on a full disk. Of a power cut each octet comes out old or new; a note that is half of each is taken for an empty one.
 */

enum {
	ARENA_MAX = 256 << 20,
	NOTE_AT = 19 + sizeof(uint32_t), /* behind the magic and the CRC */
	NOTE_SIZE = 1024,
	NEW_FILE_AGE_S = 3600, /* nobody writes a mail for so long */
};

static const struct str magic = { "posthouse outbox 1\n", 19 };

/* ── a letter and its note, packed ── */

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
	codec_add_u64(to, (uint64_t)note->again_s);
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

void
outbox_pack(struct buf *to, const struct outbox_mail *mail, int64_t since_s)
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
	uint64_t next_s, again_s;

	if (!codec_scan_u32(&in, &crc) || crc != hash_crc32c(0, in) ||
		!codec_scan_u64(&in, &next_s) || !codec_scan_u32(&in, &note->pause_s) ||
		!scan_reason(&in, note->waits) || !scan_reason(&in, note->failed) ||
		!codec_scan_u64(&in, &again_s)) {
		*note = (struct outbox_note){ 0 };
	} else {
		note->next_s = (int64_t)next_s;
		note->again_s = (int64_t)again_s;
	}
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

/* ── read, noted, gone ── */

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

	f->octets.max = OUTBOX_RECORD_MAX;
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
	return unlink(path) == 0 && outbox_sync(directory);
}

static bool
move(const char *from, const char *to, const char *name)
{
	char old[OUTBOX_PATH], new[OUTBOX_PATH];

	snprintf(old, sizeof old, "%.*s/%s", OUTBOX_PATH - 50, from, name);
	snprintf(new, sizeof new, "%.*s/%s", OUTBOX_PATH - 50, to, name);
	return rename(old, new) == 0 && outbox_sync(to) && outbox_sync(from);
}

bool
outbox_put_aside(const char *outbox, const char *name)
{
	char refused[OUTBOX_PATH];

	outbox_refused(refused, outbox);
	return move(outbox, refused, name);
}

bool
outbox_take_back(const char *outbox, const char *name)
{
	char refused[OUTBOX_PATH];

	outbox_refused(refused, outbox);
	return move(refused, outbox, name);
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

/* ── a new one ── */

/* What is half written gives its room back. */
bool
outbox_write_new(const char *outbox, const char *name, struct str record)
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

/* Behind all else in the file. */
bool
outbox_write_states(const char *outbox, const char *name, struct str states)
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

/* ── all of a directory ── */

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
