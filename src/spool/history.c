/* SPDX-License-Identifier: Apache-2.0 */
#include "spool/history.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/must.h"
#include "io/file.h"

/*
 * Files history/NNNNNNNN, append-only; the newest HISTORY_FILES numbers exist. Each is entries one
 * behind the other:
 *
 *   "PHhi"  n u32  CRC-32C of the payload u32 | payload: kind u8, id, at u64, due u64, number u64,
 *                                               texts who, how, words, recipients, steps
 *
 * Nothing is ever looked up through an index: a search runs memmem over the mapped file for the octets
 * of an id or of an address, and then steps from entry to entry up to the one that holds the hit. Where
 * an entry is damaged or cut off (a power cut, a full disk), reading goes on at the next magic.
 */

enum {
	HEAD = 12,
	ENTRY_MAX = HEAD + 64 + 5 * HISTORY_TEXT_MAX,
	WAITING_MAX = 1 << 20, /* octets that wait for history_flush: written before it, then */
};

static const struct str magic = { "PHhi", 4 };

struct history {
	int directory, fd; /* fd: the newest file, -1: none */
	uint64_t number, size, file_size;
	struct buf waiting, payload;
	bool is_failing; /* said once */
};

/* ── files ── */

static void
name_of(uint64_t number, char name[32])
{
	snprintf(name, 32, "%08llu", (unsigned long long)number);
}

/* The newest file's number; 0: there is none. */
static uint64_t
newest(int directory)
{
	int copy = fcntl(directory, F_DUPFD_CLOEXEC, 0);
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
	uint64_t most = 0, number;

	if (!d)
		return 0;
	rewinddir(d);
	for (struct dirent *entry; (entry = readdir(d));) {
		struct str name = str_of(entry->d_name);

		if (scan_u64(&name, &number) && name.n == 0 && number > most)
			most = number;
	}
	closedir(d);
	return most;
}

static bool
file_begin(struct history *h, uint64_t number)
{
	char name[32];
	struct stat st;

	if (h->fd >= 0)
		close(h->fd);
	name_of(number, name);
	h->fd = openat(h->directory, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	h->number = number;
	h->size = h->fd >= 0 && fstat(h->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	if (number > HISTORY_FILES) {
		name_of(number - HISTORY_FILES, name);
		unlinkat(h->directory, name, 0);
	}
	return h->fd >= 0;
}

struct history *
history_open(struct str spool, uint64_t file_size, struct err *e)
{
	struct history *h = calloc(1, sizeof *h);
	char path[4096];
	uint64_t number;

	must(h);
	*h = (struct history){ .fd = -1, .file_size = file_size };
	h->waiting.max = WAITING_MAX + ENTRY_MAX;
	h->payload.max = ENTRY_MAX;
	snprintf(path, sizeof path, "%.*s/history", STR_ARG(spool));
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		err_set_errno(e, "cannot make %s", path);
	h->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	number = h->directory >= 0 ? newest(h->directory) : 0;
	if (h->directory < 0 || !file_begin(h, number ? number : 1)) {
		err_set_errno(e, "cannot write in %s", path);
		history_close(&h);
	}
	return h;
}

void
history_close(struct history **of)
{
	struct history *h = *of;

	*of = NULL;
	if (!h)
		return;
	history_flush(h);
	if (h->fd >= 0)
		close(h->fd);
	if (h->directory >= 0)
		close(h->directory);
	buf_free(&h->waiting);
	buf_free(&h->payload);
	free(h);
}

/* ── writing ── */

static struct str
bounded(struct str s)
{
	return s.n <= HISTORY_TEXT_MAX ? s : (struct str){ 0 };
}

/* As many whole texts as fit, in lower case: so that one memmem finds an address in any case. */
static void
add_recipients(struct buf *to, struct str packed)
{
	struct str rest = packed, one;
	size_t fit = 0, begin;

	while (codec_scan_str(&rest, &one) && packed.n - rest.n <= HISTORY_TEXT_MAX)
		fit = packed.n - rest.n;
	codec_add_u32(to, (uint32_t)fit);
	begin = to->n;
	buf_add(to, str_part(packed, 0, fit));
	for (rest = str_from(buf_str(to), begin); codec_scan_str(&rest, &one);)
		for (char *c = to->p + (one.p - to->p); c < one.p + one.n; c++)
			*c = char_lower(*c);
}

void
history_add(struct history *h, const struct history_event *e)
{
	struct buf *p;

	if (!h)
		return;
	p = &h->payload;
	buf_reset(p);
	codec_add_u8(p, (uint8_t)e->kind);
	buf_add(p, (struct str){ (const char *)&e->id, sizeof e->id });
	codec_add_u64(p, (uint64_t)e->at_ms);
	codec_add_u64(p, (uint64_t)e->due_ms);
	codec_add_u64(p, e->number);
	codec_add_str(p, bounded(e->who));
	codec_add_str(p, bounded(e->how));
	codec_add_str(p, bounded(e->words));
	add_recipients(p, e->recipients);
	codec_add_str(p, bounded(e->steps));
	must(!p->overflow);
	buf_add(&h->waiting, magic);
	codec_add_u32(&h->waiting, (uint32_t)p->n);
	codec_add_u32(&h->waiting, hash_crc32c(0, buf_str(p)));
	buf_add(&h->waiting, buf_str(p));
	if (h->waiting.n > WAITING_MAX)
		history_flush(h);
}

void
history_flush(struct history *h)
{
	bool ok;

	if (!h || h->waiting.n == 0)
		return;
	ok = (h->fd >= 0 && h->size < h->file_size) || file_begin(h, h->number + 1);
	ok = ok && file_write_all(h->fd, buf_str(&h->waiting));
	if (!ok && !h->is_failing)
		log_event("history-unwritten", "why=%s", log_quote(str_of(strerror(errno))));
	h->is_failing = !ok;
	h->size += h->waiting.n;
	buf_reset(&h->waiting);
}

/* ── reading ── */

static bool
event_read(struct str payload, struct history_event *e)
{
	uint8_t kind;
	uint64_t at_ms, due_ms;

	if (!codec_scan_u8(&payload, &kind) || kind == 0 || kind >= HISTORY_KINDS ||
		!codec_scan_bytes(&payload, &e->id, sizeof e->id) ||
		!codec_scan_u64(&payload, &at_ms) || !codec_scan_u64(&payload, &due_ms) ||
		!codec_scan_u64(&payload, &e->number) || !codec_scan_str(&payload, &e->who) ||
		!codec_scan_str(&payload, &e->how) || !codec_scan_str(&payload, &e->words) ||
		!codec_scan_str(&payload, &e->recipients) || !codec_scan_str(&payload, &e->steps))
		return false;
	e->kind = kind;
	e->at_ms = (int64_t)at_ms;
	e->due_ms = (int64_t)due_ms;
	return payload.n == 0;
}

static bool
event_is_wanted(const struct history_search *s, const struct history_event *e)
{
	struct str needle = buf_str(&s->needle), rest = e->recipients, one;

	if (!s->is_address)
		return memcmp(&e->id, needle.p, needle.n) == 0;
	while (codec_scan_str(&rest, &one))
		if (str_eq(one, needle))
			return true;
	return false;
}

static void
search_begin(struct history_search *s, struct history *h, bool is_address)
{
	*s = (struct history_search){ .history = h, .is_address = is_address };
	s->needle.max = HISTORY_TEXT_MAX;
	if (!h)
		return;
	history_flush(h);
	s->last = h->number;
	s->number = s->last > HISTORY_FILES ? s->last - HISTORY_FILES + 1 : 1;
}

void
history_find_mail(struct history_search *s, struct history *h, struct str id_octets)
{
	search_begin(s, h, false);
	buf_add(&s->needle, str_part(id_octets, 0, sizeof(struct mail_id)));
}

void
history_find_address(struct history_search *s, struct history *h, struct str address)
{
	search_begin(s, h, true);
	for (size_t i = 0; i < address.n; i++)
		buf_add_char(&s->needle, char_lower(address.p[i]));
}

static void
file_unmap(struct history_search *s)
{
	if (s->map)
		munmap((void *)(uintptr_t)s->map, s->map_n);
	s->map = NULL;
}

void
history_search_end(struct history_search *s)
{
	file_unmap(s);
	buf_free(&s->needle);
}

static bool
file_map(struct history_search *s)
{
	char name[32];
	struct stat st;
	void *map = MAP_FAILED;
	int fd;

	name_of(s->number, name);
	fd = openat(s->history->directory, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && st.st_size > 0)
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return false;
	s->map = map;
	s->map_n = (size_t)st.st_size;
	s->at = 0;
	return true;
}

static bool
is_magic(const struct history_search *s, size_t at)
{
	return str_starts((struct str){ s->map + at, s->map_n - at }, magic);
}

/* The octets of the entry at s->at, head and all; 0: what stands there is none. */
static size_t
entry_size(const struct history_search *s)
{
	size_t left = s->map_n - s->at;
	uint32_t n;

	if (left < HEAD || !is_magic(s, s->at))
		return 0;
	n = codec_get_u32(s->map + s->at + 4);
	return n <= ENTRY_MAX && n <= left - HEAD ? HEAD + n : 0;
}

static bool
entry_is_sound(const struct history_search *s, size_t n)
{
	const char *entry = s->map + s->at;

	return codec_get_u32(entry + 8) == hash_crc32c(0, (struct str){ entry + HEAD, n - HEAD });
}

/* The next hit from s->at on; map_n: there is none. */
static size_t
next_hit(const struct history_search *s)
{
	return s->at +
	       str_find_str((struct str){ s->map + s->at, s->map_n - s->at }, buf_str(&s->needle));
}

/* s->at goes behind the next entry of this file that is wanted. */
static bool
file_next(struct history_search *s, struct history_event *e)
{
	size_t hit = next_hit(s);

	while (hit < s->map_n) {
		size_t n = entry_size(s);

		if (n && hit >= s->at + n && is_magic(s, s->at + n)) {
			s->at += n; /* unread: its length led to another entry */
		} else if (n && entry_is_sound(s, n)) {
			struct str payload = { s->map + s->at + HEAD, n - HEAD };

			s->at += n;
			if (event_read(payload, e) && event_is_wanted(s, e))
				return true;
		} else { /* damage, perhaps of its length: on to the next magic */
			struct str behind = { s->map + s->at + 1, s->map_n - s->at - 1 };

			s->at += 1 + str_find_str(behind, magic);
		}
		if (hit < s->at)
			hit = next_hit(s);
	}
	return false;
}

enum history_result
history_next(struct history_search *s, struct history_event *e)
{
	if (!s->history || s->number > s->last || s->needle.n < 4)
		return HISTORY_END;
	if ((s->map || file_map(s)) && file_next(s, e))
		return HISTORY_EVENT;
	file_unmap(s);
	return s->number++ < s->last ? HISTORY_LATER : HISTORY_END;
}
