/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Composes a mail with an attachment of 10 MB from memory, to nowhere, and prints octets of input in a second of one core, and the most
 * memory that the library had at a time.
 *
 *   bench-compose [ROUNDS]     the median counts
 */
#include <malloc.h>
#include <posthouse.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { INPUT_OCTETS = 10000000, ROUNDS_MAX = 1000 };

/* What the library has, as malloc counts it. */
struct count {
	size_t now, most;
};

static void *
count_resize(void *context, void *p, size_t n)
{
	struct count *count = context;
	size_t before = p ? malloc_usable_size(p) : 0;
	void *resized;

	if (n == 0) {
		free(p);
		count->now -= before;
		return NULL;
	}
	resized = realloc(p, n);
	if (resized)
		count->now += malloc_usable_size(resized) - before;
	if (count->now > count->most)
		count->most = count->now;
	return resized;
}

static bool
discard(void *context, const char *octets, size_t n)
{
	size_t *written = context;

	(void)octets;
	*written += n;
	return true;
}

static double
compose(const char *input, const struct ph_memory *memory, size_t *written)
{
	struct timespec begin, end;
	ph_mail *m;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	m = ph_mail_new_in(memory);
	ph_from(m, "wei@example.org");
	ph_to(m, "bob@example.net");
	ph_subject(m, "Large");
	ph_text(m, "See what is attached.\n");
	ph_attach_data(m, input, INPUT_OCTETS, "large.bin", NULL);
	*written = 0;
	if (!ph_mail_write(m, discard, written)) {
		fprintf(stderr, "bench-compose: %s\n", ph_mail_error(m));
		exit(1);
	}
	ph_mail_free(m);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	return (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
}

static int
compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int
main(int argc, char **argv)
{
	static double seconds[ROUNDS_MAX];
	struct count count = { 0 };
	struct ph_memory memory = { count_resize, &count };
	char *input = malloc(INPUT_OCTETS);
	unsigned random = 1;
	size_t written = 0, rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 51;

	if (!input || rounds < 1 || rounds > ROUNDS_MAX)
		return 64;
	for (size_t i = 0; i < INPUT_OCTETS; i++) {
		random = random * 1103515245 + 12345;
		input[i] = (char)(random >> 16);
	}
	for (size_t i = 0; i < rounds; i++)
		seconds[i] = compose(input, &memory, &written);
	qsort(seconds, rounds, sizeof(*seconds), compare);
	printf("compose: %.2f GB of input a second (asked 1), %zu KiB of memory (asked 1024), %d "
	       "octets made %zu\n",
		INPUT_OCTETS / seconds[rounds / 2] / 1e9, count.most / 1024, INPUT_OCTETS, written);
	free(input);
	return 0;
}
