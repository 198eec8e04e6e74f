/* SPDX-License-Identifier: Apache-2.0 */
#include "role/queue/queue.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "io/file.h"

/*
 * A message as it is handed over: a small one in the packet; a large one as a sealed copy in memory, which all
 * errands of a mail that are under way share. What such copies hold together is limited by limits.memory.
 */

enum {
	INLINE_MAX = 24 * 1024, /* octets of a message that travel in the packet, beside the
				   recipients */
};

/* The big file of a mail into `to`; nothing of it is used when its octets are not those that were kept. */
static bool
copy_big(struct queue *q, int to, const struct spool_mail *m, struct err *e)
{
	int from = keeper_open_big(q->keeper, m->big, e);
	uint64_t left = m->big_size;
	uint32_t crc = 0;
	char octets[65536];
	ssize_t n = 0;

	if (from < 0)
		return false;
	while (left && (n = read(from, octets, left < sizeof octets ? left : sizeof octets)) > 0) {
		struct str part = { octets, (size_t)n };

		crc = hash_crc32c(crc, part);
		if (!file_write_all(to, part))
			break;
		left -= (uint64_t)n;
	}
	close(from);
	if (left)
		return err_set(e, ERR_TEMPORARY, ERR_LOCAL,
			"a big file of the spool cannot be read to its end");
	return crc == m->big_crc ||
	       err_set(e, ERR_PERMANENT, ERR_LOCAL, "the mail's big file in the spool is damaged");
}

/* The message as a sealed copy; -1 with e. */
static int
sealed_copy(struct queue *q, const struct spool_mail *m, struct err *e)
{
	int fd = memfd_create("mail", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && file_write_all(fd, m->prefix) &&
		(m->big ? copy_big(q, fd, m, e) : file_write_all(fd, m->message)) && file_seal(fd))
		return fd;
	if (!err_is(e))
		err_set_errno(e, "no memory for a copy of the mail");
	if (fd >= 0)
		close(fd);
	return -1;
}

bool
mail_read(struct queue *q, uint32_t mail, struct spool_mail *m, struct err *why)
{
	const struct mail *mine = mail_of(q, mail);

	return keeper_read(
		q->keeper, mine->segment, (uint64_t)mine->at * SPOOL_ALIGN, &q->scratch, m, why);
}

bool
copy_take(struct queue *q, uint32_t mail, struct spool_mail *m, int *fd, struct err *why)
{
	const struct mail *mine = mail_of(q, mail);
	struct mail_more *more = mine->has_more ? mail_more(q, mail) : NULL;

	*fd = -1;
	*m = (struct spool_mail){ 0 };
	buf_reset(&q->message);
	if ((!more || more->copies_n == 0 || mine->has_dsn) && !mail_read(q, mail, m, why))
		return false;
	if (!more || more->copies_n == 0) {
		if (!m->big && m->prefix.n + m->message.n <= INLINE_MAX) {
			buf_add(&q->message, m->prefix);
			buf_add(&q->message, m->message);
			return true;
		}
		more = mail_more(q, mail);
		more->copy_fd = sealed_copy(q, m, why);
		if (more->copy_fd < 0)
			return false;
		q->copied += mine->size;
	}
	more->copies_n++;
	*fd = more->copy_fd;
	return true;
}

/* An errand is not under way any more. */
void
copy_drop(struct queue *q, uint32_t mail)
{
	struct mail_more *more = mail_of(q, mail)->has_more ? mail_more(q, mail) : NULL;

	if (!more || more->copies_n == 0 || --more->copies_n)
		return;
	close(more->copy_fd);
	more->copy_fd = -1;
	q->copied -= mail_of(q, mail)->size;
	fair_feed(&q->inbound);
	fair_feed(&q->outbound);
}

/* Is there room for the message of the next errand in line? Small ones need none, and one alone may always go. */
bool
copy_has_room(struct queue *q, uint32_t mail)
{
	const struct mail *m = mail_of(q, mail);

	return m->size <= INLINE_MAX || (m->has_more && mail_more(q, mail)->copies_n) ||
	       q->copied == 0 || q->copied + m->size <= q->role.config.limits.memory;
}
