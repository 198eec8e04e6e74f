/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/status.h"

#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "io/file.h"

enum { STATUS_MAX = 128 * 1024 };

void
status_forget(const char *state)
{
	char path[300];

	snprintf(path, sizeof path, "%s/status", state);
	unlink(path);
}

static void
add_guard(struct buf *text, const struct status_role *r)
{
	struct str rest = r->guard, line;

	while (scan_until(&rest, '\n', &line))
		buf_addf(text, "guard\t%s\t%.*s\n", r->name, STR_ARG(line));
}

void
status_write(const char *state, int64_t started_ms, const struct status_role *roles, size_t n,
	struct str certificates)
{
	struct buf text = { .max = STATUS_MAX };
	struct str line;

	buf_addf(&text, "station\t%d\t%lld\t" POSTHOUSE_VERSION "\n", (int)getpid(),
		(long long)started_ms);
	for (size_t i = 0; i < n; i++) {
		const struct status_role *r = &roles[i];

		buf_addf(&text, "role\t%s\t%d\t%u\t%lld\t%u\t%d\n", r->name, (int)r->pid, r->uid,
			(long long)r->started_ms, r->restarts, r->is_ready);
		add_guard(&text, r);
	}
	while (scan_until(&certificates, '\n', &line))
		buf_addf(&text, "certificate\t%.*s\n", STR_ARG(line));
	if (!file_replace(state, "status", buf_str(&text), 0644, false))
		log_event("no-status", "state=%s errno=%d", log_quote(str_of(state)), errno);
	buf_free(&text);
}
