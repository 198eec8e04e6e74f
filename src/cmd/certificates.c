/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "io/file.h"
#include "io/tls.h"

enum { FILE_OCTETS_MAX = 1024 * 1024, DAY_S = 24 * 3600, SOON_DAYS = 14, HOST_MAX = 256 };

/* One look at all that the file names. */
struct look {
	const struct config *config;
	const char *file;
	bool only_looks, has_host; /* has_host: one of them proves our name */
	struct buf *notes, *wrong;
	char names[HOST_MAX]; /* of the last one */
};

static bool
read_file(struct str path, struct buf *octets, struct stat *st)
{
	char name[1024];
	bool good;
	int fd;

	snprintf(name, sizeof name, "%.*s", STR_ARG(path));
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	good = fd >= 0 && fstat(fd, st) == 0;
	if (good && !S_ISREG(st->st_mode)) {
		errno = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
		good = false;
	}
	if (good && st->st_size >= FILE_OCTETS_MAX) {
		errno = EFBIG;
		good = false;
	}
	good = good && file_read_all(fd, octets);
	if (fd >= 0)
		close(fd);
	return good;
}

static const char *
advice(int cause)
{
	switch (cause) {
	case ENOENT:
		return "there is no such file";
	case EISDIR:
		return "is a directory; name the PEM file in it";
	case EACCES:
		return "only root may read it: run this as root; the station started as root reads "
		       "it";
	}
	return strerror(cause);
}

/* What such a file holds, whatever its option says. */
static bool
holds(const struct buf *octets, struct str what)
{
	return str_find_str(buf_str(octets), what) < octets->n;
}

static bool
holds_certificate(const struct buf *octets)
{
	return holds(octets, S("-----BEGIN CERTIFICATE-----"));
}

static bool
holds_key(const struct buf *octets)
{
	return holds(octets, S("PRIVATE KEY-----"));
}

/* Why a pair cannot be used, by what is in its files; `why` is what reading them said. */
static void
add_wrong_pair(const struct look *l, struct str certificate, struct str key,
	const struct buf *chain, const struct buf *secret, const struct err *why)
{
	bool is_one = str_eq(certificate, key);

	if (!is_one && !holds_certificate(chain) && holds_key(chain))
		buf_addf(l->wrong,
			"%s: tls.certificate: no certificate in it: %.*s is a private key, and "
			"stands where the certificate is wanted: swap certificate and key",
			l->file, STR_ARG(certificate));
	else if (!is_one && !holds_key(secret) && holds_certificate(secret))
		buf_addf(l->wrong,
			"%s: tls.key: no private key in it: %.*s is a certificate, and stands "
			"where the key is wanted: swap certificate and key",
			l->file, STR_ARG(key));
	else if (is_one && holds_certificate(chain) && !holds_key(chain))
		buf_addf(l->wrong,
			"%s: tls.certificate: %.*s: no private key in it; name its key: tls { key "
			"= \"…\" }",
			l->file, STR_ARG(certificate));
	else
		buf_addf(l->wrong, "%s: tls: %s: %.*s%s%.*s", l->file, why->text,
			STR_ARG(certificate), is_one ? "" : " and ", STR_ARG(is_one ? S("") : key));
}

static void
note_time(const struct look *l, struct str path, const struct tls_facts *f)
{
	int64_t now_s = time(NULL);
	time_t at = (time_t)(f->ends_s <= now_s ? f->ends_s : f->begins_s);
	char day[16] = "";
	struct tm tm;

	if (gmtime_r(&at, &tm))
		strftime(day, sizeof day, "%Y-%m-%d", &tm);
	if (f->ends_s <= now_s || f->begins_s > now_s)
		buf_addf(l->notes,
			"%s: tls.certificate: the certificate %.*s for %s %s %s: used all the "
			"same; people's programs will refuse it. %s, then reload (kill -HUP)\n",
			l->file, STR_ARG(path), f->names,
			f->ends_s <= now_s ? "has expired on" : "is not valid yet, but from", day,
			f->ends_s <= now_s ? "Renew it" : "Look at the clock, or renew it");
	else if (f->ends_s - now_s < SOON_DAYS * DAY_S)
		buf_addf(l->notes,
			"%s: tls.certificate: the certificate %.*s for %s expires in %lld days: "
			"renew it, then reload (kill -HUP)\n",
			l->file, STR_ARG(path), f->names, (long long)((f->ends_s - now_s) / DAY_S));
}

/* False: *wrong says why, or, with *is_hidden, a note that nobody has looked at it. */
static bool
take_file(const struct look *l, const char *option, struct str path, struct buf *octets,
	bool *is_hidden)
{
	struct stat st;

	if (read_file(path, octets, &st)) {
		if (holds_key(octets) && (st.st_mode & S_IROTH))
			buf_addf(l->notes, "%s: %s: %.*s: everybody may read this key: chmod 600\n",
				l->file, option, STR_ARG(path));
		return true;
	}
	*is_hidden = l->only_looks && errno == EACCES && geteuid() != 0;
	buf_addf(*is_hidden ? l->notes : l->wrong, "%s: %s: %.*s: %s%s%s", l->file, option,
		STR_ARG(path), *is_hidden ? "not looked at: " : "", advice(errno),
		*is_hidden ? "\n" : "");
	return false;
}

static void
wipe(struct buf *octets)
{
	if (octets->p)
		explicit_bzero(octets->p, octets->capacity);
	buf_free(octets);
}

static bool
check_pair(struct look *l, struct str certificate, struct str key)
{
	struct buf chain = { .max = FILE_OCTETS_MAX }, secret = { .max = FILE_OCTETS_MAX };
	bool is_one = str_eq(certificate, key), is_hidden = false, good;
	char hostname[HOST_MAX];
	struct tls_facts facts;
	struct err why;

	snprintf(hostname, sizeof hostname, "%.*s", STR_ARG(l->config->hostname));
	good = take_file(l, "tls.certificate", certificate, &chain, &is_hidden) &&
	       (is_one || take_file(l, "tls.key", key, &secret, &is_hidden));
	if (!good) {
		l->has_host |= is_hidden; /* nobody knows */
	} else if (tls_check_pair(buf_str(&chain), buf_str(is_one ? &chain : &secret), hostname,
			   &facts, &why)) {
		l->has_host |= facts.is_for_host;
		memcpy(l->names, facts.names, sizeof l->names);
		note_time(l, certificate, &facts);
	} else {
		add_wrong_pair(l, certificate, key, &chain, is_one ? &chain : &secret, &why);
		good = false;
	}
	wipe(&chain);
	wipe(&secret);
	return good || is_hidden;
}

static void
note_trust(const struct look *l)
{
	char path[1024];

	snprintf(path, sizeof path, "%.*s", STR_ARG(l->config->tls.trust));
	if (path[0] && access(path, R_OK) != 0)
		buf_addf(l->notes, "%s: tls.trust: %s: %s. Until then no host can prove its name\n",
			l->file, path, errno == EACCES ? "may not be read" : advice(errno));
}

static void
note_filters(const struct look *l)
{
	for (size_t i = 0; i < l->config->filters_n; i++) {
		const struct config_filter *f = &l->config->filters[i];
		const struct sockaddr_un *un =
			(const struct sockaddr_un *)(const void *)&f->address;

		if (un->sun_family == AF_UNIX && access(un->sun_path, F_OK) != 0)
			buf_addf(l->notes,
				"%s: filter %.*s: %s: %s: is the filter running? Until then its "
				"when-down decides\n",
				l->file, STR_ARG(f->name), un->sun_path, strerror(errno));
	}
}

bool
certificates_check(const struct config *c, const char *file, bool only_looks, struct buf *notes,
	struct buf *wrong)
{
	struct look l = {
		.config = c, .file = file, .only_looks = only_looks, .notes = notes, .wrong = wrong
	};

	for (size_t i = 0; i < c->tls.certificates_n; i++)
		if (!check_pair(&l, c->tls.certificates[i],
			    c->tls.keys_n ? c->tls.keys[i] : c->tls.certificates[i]))
			return false;
	if (c->tls.certificates_n && !l.has_host)
		buf_addf(notes, "%s: tls.certificate: no certificate is for %.*s (this one: %s)\n",
			file, STR_ARG(c->hostname), l.names[0] ? l.names : "no name");
	note_trust(&l);
	note_filters(&l);
	return true;
}
