/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"

static char directory[] = "/tmp/unit-file.XXXXXX";

static int
make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int
remove_directory(void **state)
{
	(void)state;
	unlink("note");
	unlink("elsewhere");
	return chdir("/") == 0 && rmdir(directory) == 0 ? 0 : -1;
}

static void
a_shared_descriptor_is_read_from_its_beginning(void **state)
{
	struct buf got = { .max = 10 };
	char half[5];
	int fd = file_sealed("whole", S("0123456789"));

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(read(fd, half, sizeof half), 5); /* another one reads it too */
	assert_true(file_read_whole(fd, &got));
	assert_str(buf_str(&got), S("0123456789"));
	buf_free(&got);
	assert_true(file_read_all(fd, &got));
	assert_str(buf_str(&got), S("56789"));
	buf_free(&got);
	close(fd);
}

static void
more_than_the_cap_is_no_whole(void **state)
{
	struct buf got = { .max = 9 };
	int fd = file_sealed("whole", S("0123456789"));

	(void)state;
	assert_false(file_read_whole(fd, &got));
	assert_int_equal(errno, EFBIG);
	assert_int_equal(got.n, 0);
	lseek(fd, 0, SEEK_SET);
	assert_false(file_read_all(fd, &got));
	assert_int_equal(errno, EFBIG);
	buf_free(&got);
	close(fd);
}

static void
a_secret_is_never_moved(void **state)
{
	static char secret[300000];
	struct buf got = { .max = 1024 * 1024 };
	char *place;
	int fd;

	(void)state;
	memset(secret, 's', sizeof secret);
	fd = file_sealed("secret", (struct str){ secret, sizeof secret });
	place = buf_room(&got, sizeof secret + 1);
	assert_true(file_read_whole(fd, &got));
	assert_int_equal(got.n, sizeof secret);
	assert_ptr_equal(got.p, place);
	buf_free(&got);
	close(fd);
}

static void
what_comes_in_pieces_is_read_to_the_end(void **state)
{
	static char half[40000];
	struct buf got = { .max = 200000 };
	int end[2];

	(void)state;
	assert_int_equal(pipe(end), 0);
	assert_false(file_read_whole(end[0], &got));
	assert_int_equal(errno, EINVAL);
	if (fork() == 0) {
		for (int i = 0; i < 4; i++)
			if (!file_write_all(end[1], (struct str){ half, sizeof half }))
				_exit(1);
		_exit(0);
	}
	close(end[1]);
	assert_true(file_read_all(end[0], &got));
	assert_int_equal(got.n, 4 * sizeof half);
	buf_free(&got);
	close(end[0]);
}

static void
assert_note(struct str want, unsigned mode)
{
	struct buf got = { .max = 100 };
	struct stat st;
	int fd = open("note", O_RDONLY | O_CLOEXEC);

	assert_true(file_read_whole(fd, &got));
	assert_str(buf_str(&got), want);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
	assert_int_equal(access("note.new", F_OK), -1);
	buf_free(&got);
	close(fd);
}

static void
a_file_is_replaced_and_nothing_is_left(void **state)
{
	mode_t mask = umask(077);
	char was[10];
	int former;

	(void)state;
	assert_true(file_replace(directory, "note", S("one"), 0644, true));
	assert_note(S("one"), 0644); /* whatever the mask says */
	former = open("note", O_RDONLY | O_CLOEXEC);
	assert_int_equal(symlink("elsewhere", "note.new"), 0); /* left over, or laid */
	assert_true(file_replace(directory, "note", S("two"), 0600, false));
	assert_note(S("two"), 0600);
	assert_int_equal(access("elsewhere", F_OK), -1);
	assert_int_equal(read(former, was, sizeof was), 3); /* who has it open has all of it */
	assert_memory_equal(was, "one", 3);
	close(former);
	assert_false(file_replace("/proc/self/nothing", "note", S("x"), 0600, false));
	assert_int_equal(errno, ENOENT);
	umask(mask);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shared_descriptor_is_read_from_its_beginning),
		cmocka_unit_test(more_than_the_cap_is_no_whole),
		cmocka_unit_test(a_secret_is_never_moved),
		cmocka_unit_test(what_comes_in_pieces_is_read_to_the_end),
		cmocka_unit_test(a_file_is_replaced_and_nothing_is_left),
	};

	return cmocka_run_group_tests_name("io/file", tests, make_directory, remove_directory);
}
