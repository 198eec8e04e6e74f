/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/tls.h"

enum { FILE_OCTETS_MAX = 1024 * 1024, DAY_S = 24 * 3600, SOON_DAYS = 14 };

static bool
read_file(struct str path, struct buf *octets, struct err *e)
{
	char name[1024];
	struct stat st;
	ssize_t n = -1;
	int fd;

	snprintf(name, sizeof name, "%.*s", STR_ARG(path));
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
		if (S_ISREG(st.st_mode) && st.st_size < FILE_OCTETS_MAX)
			n = read(fd, buf_room(octets, FILE_OCTETS_MAX), FILE_OCTETS_MAX);
	}
	if (n < 0)
		err_set_errno(e, "%s", name);
	else
		buf_grew(octets, (size_t)n);
	if (fd >= 0)
		close(fd);
	return n >= 0;
}

static void
wipe(struct buf *octets)
{
	if (octets->p)
		explicit_bzero(octets->p, octets->capacity);
	buf_free(octets);
}

static bool
check_pair(struct str certificate, struct str key, struct buf *notes, struct err *e)
{
	struct buf chain = { .max = FILE_OCTETS_MAX }, secret = { .max = FILE_OCTETS_MAX };
	bool is_one = str_eq(certificate, key), good;
	int64_t now_s = time(NULL), ends_s = 0;
	struct err why;

	good = read_file(certificate, &chain, e) && read_file(key, &secret, e);
	if (good && !tls_check_pair(buf_str(&chain), buf_str(&secret), now_s, &ends_s, &why))
		good = err_set(e, ERR_PERMANENT, ERR_LOCAL, "%s: %.*s%s%.*s", why.text,
			STR_ARG(certificate), is_one ? "" : " and ", STR_ARG(is_one ? S("") : key));
	if (good && ends_s - now_s < SOON_DAYS * DAY_S)
		buf_addf(notes, "the certificate expires in %lld days: %.*s\n",
			(long long)((ends_s - now_s) / DAY_S), STR_ARG(certificate));
	wipe(&chain);
	wipe(&secret);
	return good;
}

bool
certificates_check(const struct config *c, struct buf *notes, struct err *e)
{
	for (size_t i = 0; i < c->tls.certificates_n; i++)
		if (!check_pair(c->tls.certificates[i],
			    c->tls.keys_n ? c->tls.keys[i] : c->tls.certificates[i], notes, e))
			return false;
	return true;
}
