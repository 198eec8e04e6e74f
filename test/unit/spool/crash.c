/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: mails go in, every answer is written down, and at random moments the directory is taken
 * as a crash would leave it and given to a fresh keeper. Every mail that was said to be kept must be
 * there, whole and once, unless it was released; none that was refused may be.
 *
 * Two kinds of crash. A killed process: it is stopped, its directory copied. A power cut: a sync of our
 * own notes what each file held when it was synced last; a cut leaves of every later write nothing, or
 * a random choice of its sectors. (Names are taken as they are: what the maker does about directories
 * is not tested here.)
 *
 * The check is itself checked: with a sync that lies it must find losses.
 */
#include "station.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/map.h"
#include "spool/keeper.h"

enum { MAILS_MAX = 10001, IN_FLIGHT = 32, SECTOR = 512 };

/* ── the ledger ── */

struct ledger {
	bool kept[MAILS_MAX], refused[MAILS_MAX], released[MAILS_MAX];
	unsigned found[MAILS_MAX];
	bool is_settled[MAILS_MAX];
	unsigned lost, twice, raised; /* raised: refused, and yet there */
};

static void
ledger_note(void *owner, uintptr_t mail, bool is_settled)
{
	struct ledger *l = owner;

	assert_true(mail < MAILS_MAX);
	l->found[mail]++;
	l->is_settled[mail] = is_settled;
}

static void
ledger_check(struct ledger *l, const char *path)
{
	struct station copy = { 0 };
	struct err e;

	memset(l->found, 0, sizeof l->found);
	memset(l->is_settled, 0, sizeof l->is_settled);
	snprintf(copy.path, sizeof copy.path, "%s", path);
	if (!station_try(&copy, &e))
		fail_msg("%s", e.text);
	station_recover(&copy, ledger_note, l);
	station_end(&copy);
	for (size_t i = 0; i < MAILS_MAX; i++) {
		l->lost += l->kept[i] && !l->released[i] && (l->found[i] == 0 || l->is_settled[i]);
		l->twice += l->found[i] > 1;
		l->raised += l->refused[i] && l->found[i] > 0;
	}
}

/* ── the load: one mail in place of each that is settled; every second segment is delivered ── */

struct load {
	struct station s;
	uintptr_t next, last;
	struct ledger *ledger; /* in this process, or NULL: written to `out` */
	int out;
	struct seal_note filled[64]; /* segments to be read to their end */
	unsigned filled_n;
};

static void
load_say(struct load *l, char what, uintptr_t mail)
{
	uint64_t word = (uint64_t)mail << 8 | (unsigned char)what;

	if (!l->ledger) {
		assert_int_equal(write(l->out, &word, sizeof word), sizeof word);
		return;
	}
	if (what == 'K')
		l->ledger->kept[mail] = true;
	else if (what == 'R')
		l->ledger->released[mail] = true;
	else
		l->ledger->refused[mail] = true;
}

static void
load_send(struct load *l)
{
	uintptr_t mail = l->next;

	if (mail > l->last)
		return;
	l->next++;
	station_send(&l->s, mail, mail % 500 == 0 ? SPOOL_INLINE_MAX + mail : mail_size_of(mail));
}

static void
load_deliver(struct load *l, uintptr_t mail)
{
	uint64_t number = l->s.published_segment;

	load_say(l, 'R', mail);
	keeper_add_fate(
		l->s.keeper, &(struct fate){ .kind = FATE_DELIVERED, .id = mail_id_of(mail) });
	keeper_release(l->s.keeper, number, mail_id_of(mail), 0);
}

static void
load_settled(struct station *s, uintptr_t mail, bool is_kept)
{
	struct load *l = list_of(s, struct load, s);

	load_say(l, is_kept ? 'K' : 'F', mail);
	if (is_kept)
		keeper_pin(s->keeper, s->published_segment);
	if (is_kept && s->published_segment % 2 == 0)
		load_deliver(l, mail);
	load_send(l);
}

static bool
load_turn(struct load *l)
{
	uint64_t number, end;
	unsigned n = 0;

	loop_timer_set(l->s.poll, 1);
	loop_run(l->s.loop);
	for (size_t at = 0; keeper_next_sealed(l->s.keeper, &at, &number, &end);)
		if (fate_segment(&l->s.keeper->state, number)->read_to < end) {
			station_read(&l->s, number, end, NULL, NULL, &n);
			break; /* the map may have changed */
		}
	return l->s.kept + l->s.refused < l->last;
}

static void
load_begin(struct load *l, uintptr_t last)
{
	l->next = 1;
	l->last = last;
	l->s.on_settled = load_settled;
	for (int i = 0; i < IN_FLIGHT; i++)
		load_send(l);
}

/* ── a killed process ── */

static void
child_run(const char *path, int out)
{
	struct load l = { .out = out };

	snprintf(l.s.path, sizeof l.s.path, "%s", path);
	station_reopen(&l.s);
	load_begin(&l, MAILS_MAX - 1);
	while (load_turn(&l))
		;
	_exit(0);
}

static void
read_answers(int from, struct ledger *l)
{
	struct pollfd ready = { .fd = from, .events = POLLIN };
	uint64_t words[4096];

	while (poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN)) {
		ssize_t n = read(from, words, sizeof words);

		if (n <= 0)
			return;
		assert_int_equal(n % (ssize_t)sizeof *words, 0);
		for (size_t i = 0; i < (size_t)n / sizeof *words; i++) {
			uint64_t mail = words[i] >> 8;

			assert_true(mail < MAILS_MAX);
			((char)words[i] == 'K'		? l->kept
				: (char)words[i] == 'R' ? l->released
							: l->refused)[mail] = true;
		}
	}
}

static void
copy_directory(const char *from, const char *to)
{
	char command[200];

	snprintf(command, sizeof command, "cp -a %s %s", from, to);
	assert_int_equal(system(command), 0);
}

static void
a_killed_station_loses_nothing(void **state)
{
	struct ledger *l = calloc(1, sizeof *l);
	char path[] = "/tmp/posthouse-crash-XXXXXX", copy[64];
	int pipes[2], status = 0, crashes = 0;
	pid_t child;

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(copy, sizeof copy, "%s-copy", path);
	assert_int_equal(pipe(pipes), 0);
	assert_true(fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20) > 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		child_run(path, pipes[1]);
	close(pipes[1]);
	for (;;) {
		usleep((useconds_t)(random() % 20000));
		kill(child, SIGSTOP);
		assert_int_equal(waitpid(child, &status, WUNTRACED), child);
		if (!WIFSTOPPED(status))
			break;
		read_answers(pipes[0], l);
		copy_directory(path, copy);
		kill(child, SIGCONT);
		ledger_check(l, copy);
		crashes++;
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	read_answers(pipes[0], l);
	ledger_check(l, path);
	assert_true(crashes >= 3);
	for (size_t i = 1; i < MAILS_MAX; i++)
		assert_true(l->kept[i]);
	assert_int_equal(l->lost, 0);
	assert_int_equal(l->twice, 0);
	close(pipes[0]);
	free(l);
}

/* ── a power cut ── */

struct synced_file { /* what a file held when it was synced last */
	struct {
		uint64_t inode;
		int64_t born_s;
		uint32_t born_ns, zero;
	} key;
	char *octets;
	size_t n;
};

static struct map synced_files;
static pthread_mutex_t synced_lock = PTHREAD_MUTEX_INITIALIZER;
static bool sync_lies;
static unsigned sync_fails_each; /* 0: never */

static struct str
synced_key(const void *member)
{
	const struct synced_file *f = member;

	return (struct str){ (const char *)&f->key, sizeof f->key };
}

static struct synced_file
key_of_file(int fd)
{
	struct synced_file f = { 0 };
	struct statx st;

	assert_int_equal(statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st), 0);
	f.key.inode = st.stx_ino;
	f.key.born_s = st.stx_btime.tv_sec;
	f.key.born_ns = st.stx_btime.tv_nsec;
	return f;
}

static char *
read_whole(int fd, size_t *n)
{
	char path[64], *octets;
	struct stat st;
	int again;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* ours may be for writing alone */
	again = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(again >= 0 && fstat(again, &st) == 0);
	*n = (size_t)st.st_size;
	octets = calloc(1, *n + 1);
	assert_int_equal(pread(again, octets, *n, 0), *n);
	close(again);
	return octets;
}

static int
noting_sync(int fd)
{
	struct synced_file key = key_of_file(fd), *f;
	bool is_segment = fd_path_has(fd, "/seg/");

	if (fd_path_has(fd, "-copy/")) /* where a cut is looked at */
		return fdatasync(fd);
	if (is_segment && sync_fails_each && (unsigned)random() % sync_fails_each == 0) {
		errno = EIO;
		return -1;
	}
	if (fdatasync(fd) < 0)
		return -1;
	pthread_mutex_lock(&synced_lock);
	f = map_get(&synced_files, synced_key(&key));
	if (f && is_segment && sync_lies) { /* the first one, of its making, is honest */
		pthread_mutex_unlock(&synced_lock);
		return 0;
	}
	if (!f) {
		f = calloc(1, sizeof *f);
		*f = key;
		map_put(&synced_files, f);
	}
	free(f->octets);
	f->octets = read_whole(fd, &f->n);
	pthread_mutex_unlock(&synced_lock);
	return 0;
}

/* One file as the disk has it after the cut. */
static void
cut_file(const char *from, const char *to, bool is_random)
{
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct synced_file key = key_of_file(in), *f;
	char *octets;
	size_t n;

	assert_true(in >= 0 && out >= 0);
	octets = read_whole(in, &n);
	pthread_mutex_lock(&synced_lock);
	f = map_get(&synced_files, synced_key(&key));
	if (!f)
		n = 0;
	for (size_t at = 0; at < n; at += SECTOR) {
		size_t count = n - at < SECTOR ? n - at : SECTOR;

		if (!(is_random && random() % 2 == 0) && at + count <= f->n)
			memcpy(octets + at, f->octets + at, count);
	}
	pthread_mutex_unlock(&synced_lock);
	assert_int_equal(write(out, octets, n), n);
	free(octets);
	close(in);
	close(out);
}

static const char *cut_from, *cut_to;
static bool cut_is_random;

static int
cut_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	char to[200];

	(void)st;
	(void)ftw;
	snprintf(to, sizeof to, "%s%s", cut_to, path + strlen(cut_from));
	if (kind == FTW_D)
		assert_int_equal(mkdir(to, 0700), 0);
	else
		cut_file(path, to, cut_is_random);
	return 0;
}

static void
cut_power(const char *from, const char *to, bool is_random)
{
	cut_from = from;
	cut_to = to;
	cut_is_random = is_random;
	assert_int_equal(nftw(from, cut_one, 16, FTW_PHYS), 0);
}

static void
forget_synced(void)
{
	struct synced_file *f;

	for (size_t at = 0; (f = map_next(&synced_files, &at));) {
		free(f->octets);
		free(f);
	}
	map_free(&synced_files);
}

static struct ledger *
run_with_cuts(unsigned mails, unsigned cuts)
{
	struct load *l = calloc(1, sizeof *l);
	struct ledger *ledger = calloc(1, sizeof *ledger);
	char copy[80];
	unsigned done = 0;

	synced_files.key_of = synced_key;
	segment_sync = noting_sync;
	l->ledger = ledger;
	station_open(&l->s);
	snprintf(copy, sizeof copy, "%s-copy", l->s.path);
	load_begin(l, mails);
	while (load_turn(l)) {
		if (l->s.kept + l->s.refused < (done + 1) * mails / (cuts + 1))
			continue;
		cut_power(l->s.path, copy, done++ % 2);
		ledger_check(ledger, copy);
	}
	assert_true(done >= cuts / 2);
	station_end(&l->s);
	segment_sync = fdatasync;
	forget_synced();
	free(l);
	return ledger;
}

static void
a_power_cut_loses_nothing(void **state)
{
	struct ledger *l = run_with_cuts(3000, 12);

	(void)state;
	assert_int_equal(l->lost, 0);
	assert_int_equal(l->twice, 0);
	free(l);
}

/* Every fortieth sync fails, of whatever file; runs are repeated until one of them was a mail's. */
static void
failing_syncs_and_power_cuts_raise_nobody(void **state)
{
	unsigned refused = 0;

	(void)state;
	for (int run = 0; run < 20 && refused == 0; run++) {
		struct ledger *l;

		sync_fails_each = 40;
		l = run_with_cuts(2000, 8);
		sync_fails_each = 0;
		for (size_t i = 0; i < MAILS_MAX; i++)
			refused += l->refused[i];
		assert_int_equal(l->lost, 0);
		assert_int_equal(l->twice, 0);
		assert_int_equal(l->raised, 0);
		free(l);
	}
	assert_true(refused > 0);
}

static void
a_sync_that_lies_is_found_out(void **state)
{
	struct ledger *l;

	(void)state;
	sync_lies = true;
	l = run_with_cuts(1000, 12);
	sync_lies = false;
	assert_true(l->lost > 0);
	free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_killed_station_loses_nothing),
		cmocka_unit_test(a_power_cut_loses_nothing),
		cmocka_unit_test(failing_syncs_and_power_cuts_raise_nobody),
		cmocka_unit_test(a_sync_that_lies_is_found_out),
	};

	srandom(20240501);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
