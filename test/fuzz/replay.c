/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>

#include "base/buf.h"
#include "base/must.h"

/*
 * Stands in for libFuzzer: runs a target once over each file of the directories on the command
 * line, so that every compiler and every sanitizer build tests the corpus, too.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
replay_file(const char *name)
{
	struct buf input = { .max = 1 << 20 };
	FILE *f = fopen(name, "rb");
	char *room;
	size_t n;

	must(f);
	while ((room = buf_room(&input, 4096)) && (n = fread(room, 1, 4096, f)) > 0)
		buf_grew(&input, n);
	must(!ferror(f) && !input.overflow);
	fclose(f);
	LLVMFuzzerTestOneInput((const uint8_t *)input.p, input.n);
	buf_free(&input);
}

static unsigned
replay_directory(const char *name)
{
	DIR *directory = opendir(name);
	struct dirent *entry;
	char path[4096];
	unsigned files = 0;

	must(directory);
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.') {
			snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
			replay_file(path);
			files++;
		}
	closedir(directory);
	return files;
}

int
main(int argc, char **argv)
{
	unsigned files = 0;

	for (int i = 1; i < argc; i++)
		files += replay_directory(argv[i]);
	printf("%u inputs\n", files);
	return files ? 0 : 1; /* an empty corpus tests nothing */
}
