/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/status.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "io/file.h"

enum { STATUS_MAX = 64 * 1024 };

void
status_lock(const char *state)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[300];
	int fd;

	snprintf(path, sizeof path, "%s/lock", state);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0 || fcntl(fd, F_SETLK, &whole) != 0)
		log_event("no-status-lock", "path=%s errno=%d", log_quote(str_of(path)), errno);
}

static void
add_guard(struct buf *text, const struct status_role *r)
{
	struct str rest = r->guard, line;

	while (scan_until(&rest, '\n', &line))
		buf_addf(text, "guard\t%s\t%.*s\n", r->name, STR_ARG(line));
}

static bool
write_new(const char *path, struct str text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	bool good = fd >= 0 && fchmod(fd, 0644) == 0 && file_write_all(fd, text);

	if (fd >= 0)
		close(fd);
	return good;
}

void
status_write(const char *state, int64_t started_ms, const struct status_role *roles, size_t n)
{
	struct buf text = { .max = STATUS_MAX };
	char path[300], fresh[300];

	buf_addf(&text, "station\t%d\t%lld\t" POSTHOUSE_VERSION "\n", (int)getpid(),
		(long long)started_ms);
	for (size_t i = 0; i < n; i++) {
		const struct status_role *r = &roles[i];

		buf_addf(&text, "role\t%s\t%d\t%u\t%lld\t%u\t%d\n", r->name, (int)r->pid, r->uid,
			(long long)r->started_ms, r->restarts, r->is_ready);
		add_guard(&text, r);
	}
	snprintf(path, sizeof path, "%s/status", state);
	snprintf(fresh, sizeof fresh, "%s/status.new", state);
	if (!write_new(fresh, buf_str(&text)) || rename(fresh, path) != 0)
		log_event("no-status", "path=%s errno=%d", log_quote(str_of(path)), errno);
	buf_free(&text);
}
