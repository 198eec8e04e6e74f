/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "cmd/merge.h"

/* How far it is, on standard error: a line that is painted over on a terminal, else one every few seconds. */

enum { PAINT_MS = 200, LINE_MS = 5000, BAR = 30 };

int64_t
merge_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
merge_progress_begin(struct merge_progress *p, size_t total, size_t before)
{
	*p = (struct merge_progress){ .total = total,
		.before = before,
		.is_terminal = isatty(STDERR_FILENO) == 1,
		.begin_ms = merge_now_ms() };
	p->shown_ms = p->begin_ms;
}

/* "1 h 5 min", "40 s" */
static void
add_time(struct buf *to, int64_t s)
{
	if (s >= 3600)
		buf_addf(to, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
	else if (s >= 60)
		buf_addf(to, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
	else
		buf_addf(to, "%" PRId64 " s", s);
}

static void
add_bar(struct buf *to, size_t done, size_t total)
{
	size_t full = total ? done * BAR / total : BAR;

	buf_add(to, S("\r["));
	for (size_t i = 0; i < BAR; i++)
		buf_add_char(to, i < full ? '=' : ' ');
	buf_add(to, S("] "));
}

void
merge_progress_show(struct merge_progress *p, bool is_end)
{
	struct buf line = { .max = 256 };
	size_t done = p->before + p->done, left = p->total - done;
	int64_t now = merge_now_ms(), spent_ms = now - p->begin_ms;

	if (!is_end && now - p->shown_ms < (p->is_terminal ? PAINT_MS : LINE_MS))
		return;
	p->shown_ms = now;
	if (p->is_terminal)
		add_bar(&line, done, p->total);
	buf_addf(&line, "%zu of %zu, %zu refused, %zu wrong", done, p->total, p->refused, p->wrong);
	if (p->done && spent_ms > 0) {
		buf_addf(&line, ", %" PRId64 " a second", (int64_t)p->done * 1000 / spent_ms);
		if (left && !is_end) {
			buf_add(&line, S(", "));
			add_time(&line, (int64_t)((double)left * (double)spent_ms /
						  (double)p->done / 1000));
			buf_add(&line, S(" left"));
		}
	}
	buf_add(&line, p->is_terminal ? S("\033[K") : S("\n"));
	if (p->is_terminal && is_end)
		buf_add_char(&line, '\n');
	fwrite(line.p, 1, line.n, stderr);
	buf_free(&line);
}
