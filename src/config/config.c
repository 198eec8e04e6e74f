/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "config/options.h"
#include "config/syntax.h"
#include "config/whole.h"
#include "io/file.h"

enum { ARENA_MAX = 64 * 1024 * 1024 };

static const char default_path[] = "/etc/posthouse/posthouse.conf";

/* What all list fields begin with: option.field is the place of such a pair. */
struct list_field {
	void *list;
	size_t n;
};

static void *
take(struct config *c, size_t n, size_t size)
{
	void *p = arena_take(&c->arena, n * size);

	must(p); /* 1 MiB of file cannot ask for ARENA_MAX: the dearest octets in it are sockets,
		    which are counted */
	return p;
}

static struct str
copy_text(struct config *c, struct str text, bool lower)
{
	char *p = take(c, text.n, 1);

	for (size_t i = 0; i < text.n; i++)
		p[i] = lower ? char_lower(text.p[i]) : text.p[i];
	return (struct str){ p, text.n };
}

/* The value as the field keeps it; `to` is of the type that option.type names. */
static void
store(struct config *c, const struct option *o, const union option_value *v, void *to)
{
	switch (o->type) {
	case OPTION_TEXT:
	case OPTION_FILE:
	case OPTION_TEXTS:
		*(struct str *)to = copy_text(c, v->text, false);
		break;
	case OPTION_NAME:
		*(struct str *)to = copy_text(c, v->text, true);
		break;
	case OPTION_YES:
		*(bool *)to = v->number != 0;
		break;
	case OPTION_CHOICE:
	case OPTION_COUNT:
		*(uint32_t *)to = (uint32_t)v->number;
		break;
	case OPTION_SIZE:
	case OPTION_TIME:
		*(uint64_t *)to = v->number;
		break;
	case OPTION_VIA:
		*(struct config_via *)to = v->via;
		((struct config_via *)to)->text = copy_text(c, v->via.text, false);
		((struct config_via *)to)->host =
			copy_text(c, v->via.host, v->via.family != HOP_UNIX);
		break;
	case OPTION_SOCKETS:
		*(struct sockaddr_storage *)to = v->socket;
		break;
	case OPTION_NETWORKS:
	case OPTION_ADDRESSES:
		*(struct config_network *)to = v->network;
		break;
	}
}

_Static_assert(sizeof(enum config_when) == 4 && sizeof(enum config_clear) == 4 &&
		       sizeof(enum config_language) == 4 && sizeof(enum config_tls) == 4 &&
		       sizeof(enum config_judgement) == 4 && sizeof(enum config_down) == 4,
	"OPTION_CHOICE writes four octets");

static void
fill_one(struct config *c, const struct option *o, const char *text, void *to)
{
	struct buf wrong = { .max = 256 };
	union option_value v;

	must(option_read(o, str_of(text), &v,
		&wrong)); /* syntax_parse has read it before; a default is ours */
	store(c, o, &v, to);
}

static size_t
member_size(const struct option *o)
{
	return o->type == OPTION_TEXTS	   ? sizeof(struct str)
	       : o->type == OPTION_SOCKETS ? sizeof(struct sockaddr_storage)
					   : sizeof(struct config_network);
}

/* All options of one section into its struct; what the file leaves out gets its default. */
static void
fill(struct config *c, const char *path, cfg_t *section, void *base)
{
	for (const struct option *o = option_table; o < option_table + option_table_n; o++) {
		void *to = (char *)base + o->field;
		unsigned n;

		if (strcmp(o->section, path) != 0)
			continue;
		n = section ? cfg_size(section, o->name) : 0;
		if (option_is_list(o)) {
			struct list_field *f = to;
			size_t size = member_size(o);

			*f = (struct list_field){ take(c, n, size), n };
			for (unsigned i = 0; i < n; i++)
				fill_one(c, o, cfg_getnstr(section, o->name, i),
					(char *)f->list + i * size);
		} else if (n) {
			fill_one(c, o, cfg_getstr(section, o->name), to);
		} else if (o->value && o->value[0]) {
			fill_one(c, o, o->value, to);
		}
	}
}

static struct str
title_of(struct config *c, cfg_t *section)
{
	return copy_text(c, str_of(cfg_title(section)), true);
}

static void
fill_listen(struct config *c, cfg_t *section, struct config_listen *l)
{
	fill(c, "listen", section, l);
	if (str_eq(title_of(c, section), S("submission")))
		l->door = CONFIG_SUBMISSION;
	else if (str_eq(title_of(c, section), S("submissions")))
		l->door = CONFIG_SUBMISSIONS;
	else if (str_eq(title_of(c, section), S("web")))
		l->door = CONFIG_WEB;
}

static void
fill_domain(struct config *c, cfg_t *section, struct config_domain *d)
{
	fill(c, "domain", section, d);
	d->name = title_of(c, section);
	if (d->mailboxes.n == 0) {
		struct buf path = { .max = 512 };

		buf_add(&path, c->state);
		buf_add(&path, S("/mail/%d/%u"));
		d->mailboxes = copy_text(c, buf_str(&path), false);
		buf_free(&path);
	}
	d->aliases_n = cfg_size(section, "alias");
	d->aliases = take(c, d->aliases_n, sizeof *d->aliases);
	for (unsigned i = 0; i < d->aliases_n; i++) {
		cfg_t *alias = cfg_getnsec(section, "alias", i);

		fill(c, "domain.alias", alias, &d->aliases[i]);
		d->aliases[i].name = title_of(c, alias);
	}
	d->moved_n = cfg_size(section, "moved");
	d->moved = take(c, d->moved_n, sizeof *d->moved);
	for (unsigned i = 0; i < d->moved_n; i++) {
		cfg_t *moved = cfg_getnsec(section, "moved", i);

		fill(c, "domain.moved", moved, &d->moved[i]);
		d->moved[i].name = title_of(c, moved);
	}
}

static void
fill_route(struct config *c, cfg_t *section, struct config_route *r)
{
	fill(c, "route", section, r);
	r->name = r->pattern = title_of(c, section);
	if (str_starts(r->name, S("from "))) { /* by the sender alone */
		r->pattern = S("*");
		r->from = take(c, 1, sizeof *r->from);
		r->from[0] = str_from(r->name, 5);
		r->from_n = 1;
	}
}

static void
fill_filter(struct config *c, cfg_t *section, struct config_filter *f)
{
	fill(c, "filter", section, f);
	f->name = title_of(c, section);
	f->address_size = option_read_filter(f->at, &f->address);
}

/* The library takes asking for a section that is not there for a mistake in the file. */
static cfg_t *
only(cfg_t *tree, const char *name)
{
	return cfg_size(tree, name) ? cfg_getsec(tree, name) : NULL;
}

static void
fill_all(struct config *c, cfg_t *tree)
{
	fill(c, "", tree, c);
	fill(c, "resolver", only(tree, "resolver"), c);
	fill(c, "tls", only(tree, "tls"), c);
	fill(c, "web", only(tree, "web"), c);
	if (c->web.imap_url.n)
		must(!option_read_imap(c->web.imap_url, &c->web.imap)); /* it has been checked */
	fill(c, "gate", only(tree, "gate"), c);
	fill(c, "smtp", only(tree, "smtp"), c);
	fill(c, "queue", only(tree, "queue"), c);
	fill(c, "limits", only(tree, "limits"), c);
	c->listens_n = cfg_size(tree, "listen");
	c->listens = take(c, c->listens_n, sizeof *c->listens);
	for (unsigned i = 0; i < c->listens_n; i++)
		fill_listen(c, cfg_getnsec(tree, "listen", i), &c->listens[i]);
	c->domains_n = cfg_size(tree, "domain");
	c->domains = take(c, c->domains_n, sizeof *c->domains);
	for (unsigned i = 0; i < c->domains_n; i++)
		fill_domain(c, cfg_getnsec(tree, "domain", i), &c->domains[i]);
	c->routes_n = cfg_size(tree, "route");
	c->routes = take(c, c->routes_n, sizeof *c->routes);
	for (unsigned i = 0; i < c->routes_n; i++)
		fill_route(c, cfg_getnsec(tree, "route", i), &c->routes[i]);
	c->filters_n = cfg_size(tree, "filter");
	c->filters = take(c, c->filters_n, sizeof *c->filters);
	for (unsigned i = 0; i < c->filters_n; i++)
		fill_filter(c, cfg_getnsec(tree, "filter", i), &c->filters[i]);
}

static size_t
sockets_of(cfg_t *tree)
{
	size_t n = 0;

	for (unsigned i = 0; i < cfg_size(tree, "listen"); i++)
		n += cfg_size(cfg_getnsec(tree, "listen", i), "on");
	return n;
}

bool
config_parse(struct config *c, struct str text, const char *name, struct err *e)
{
	cfg_t *tree = NULL;
	bool good = false;

	*c = (struct config){ .arena = { .max = ARENA_MAX } };
	if (text.n > CONFIG_FILE_MAX) {
		err_set(e, ERR_PERMANENT, ERR_OTHER, "%s: the file is larger than 1 MiB", name);
		goto done;
	}
	tree = syntax_parse(text, name, e);
	if (!tree)
		goto done;
	if (sockets_of(tree) > CONFIG_SOCKETS_MAX) {
		err_set(e, ERR_PERMANENT, ERR_OTHER, "%s: more than %d addresses to listen on",
			name, CONFIG_SOCKETS_MAX);
		goto done;
	}
	fill_all(c, tree);
	good = whole_check(c, name, e);
done:
	if (tree)
		cfg_free(tree);
	if (!good)
		config_free(c);
	return good;
}

void
config_free(struct config *c)
{
	arena_free(&c->arena);
	*c = (struct config){ 0 };
}

/* ── the file ── */

static bool
read_text(int fd, const char *path, struct buf *text, struct err *e)
{
	if (file_read_all(fd, text))
		return true;
	if (errno == EFBIG)
		return err_set(
			e, ERR_PERMANENT, ERR_OTHER, "%s: the file is larger than 1 MiB", path);
	return err_set_errno(e, "%s: cannot be read", path);
}

const char *
config_path(const char *path_arg)
{
	const char *from_environment = secure_getenv("POSTHOUSE_CONFIG");

	if (path_arg)
		return path_arg;
	return from_environment && *from_environment ? from_environment : default_path;
}

bool
config_read_file(const char *path_arg, const char **path, struct buf *text, struct err *e)
{
	struct stat st;
	bool good;
	int fd;

	*path = config_path(path_arg);
	fd = open(*path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return err_set(e, ERR_PERMANENT, ERR_OTHER,
			"%s: there is no such file; write one (posthouse serve --help has a small "
			"one) or name "
			"another with --config FILE",
			*path);
	if (fd < 0)
		return err_set_errno(e, "%s: cannot be opened", *path);
	if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode))
		good = err_set(e, ERR_PERMANENT, ERR_OTHER, "%s: this is no file", *path);
	else
		good = read_text(fd, *path, text, e);
	close(fd);
	return good;
}

bool
config_load(struct config *c, const char *path_arg, struct err *e)
{
	struct buf text = { .max = CONFIG_FILE_MAX };
	const char *path;
	bool good = config_read_file(path_arg, &path, &text, e) &&
		    config_parse(c, buf_str(&text), path, e);

	buf_free(&text);
	return good;
}

/* ── questions ── */

const struct config_domain *
config_domain(const struct config *c, struct str name)
{
	for (size_t i = 0; i < c->domains_n; i++)
		if (str_eq_nocase(c->domains[i].name, name))
			return &c->domains[i];
	return NULL;
}

static bool
is_path_part(struct str s)
{
	return s.n > 0 && s.n <= 255 && s.p[0] != '.' && str_find(s, '/') == s.n &&
	       str_find(s, 0) == s.n;
}

bool
config_mailbox_path(const struct config *c, struct str mailbox, struct str domain, struct buf *to)
{
	const struct config_domain *d = config_domain(c, domain);
	struct str rest;

	if (!d || !is_path_part(mailbox) || !is_path_part(domain))
		return false;
	for (rest = d->mailboxes; rest.n; rest = str_from(rest, 1)) {
		if (rest.p[0] != '%' || rest.n < 2) {
			buf_add_char(to, rest.p[0]);
			continue;
		}
		rest = str_from(rest, 1);
		buf_add(to, rest.p[0] == 'd' ? d->name : mailbox);
	}
	return !to->overflow;
}

static bool
network_has(const struct config_network *n, int family, const unsigned char *address)
{
	unsigned whole = n->prefix / 8, rest = n->prefix % 8;

	if (n->family != family || memcmp(n->address, address, whole) != 0)
		return false;
	return rest == 0 || ((n->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

uint16_t
config_port(const struct sockaddr_storage *a)
{
	struct sockaddr_in both; /* IPv6 has it in the same place */

	memcpy(&both, a, sizeof both);
	return ntohs(both.sin_port);
}

void
config_make_socket(const struct config_network *address, uint16_t port, struct sockaddr_storage *to)
{
	struct sockaddr_in *four = (struct sockaddr_in *)(void *)to;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)to;

	*to = (struct sockaddr_storage){ 0 };
	if (address->family == AF_INET) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		memcpy(&four->sin_addr, address->address, sizeof four->sin_addr);
	} else if (address->family == AF_INET6) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(port);
		memcpy(&six->sin6_addr, address->address, sizeof six->sin6_addr);
	}
}

bool
config_networks_have(const struct config_networks *n, const struct sockaddr *address)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
	const unsigned char *octets;
	int family = address->sa_family;

	if (family == AF_INET) {
		octets = (const unsigned char *)&in->sin_addr;
	} else if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		octets = (const unsigned char *)&in6->sin6_addr + 12; /* RFC 4291 §2.5.5.2 */
		family = AF_INET;
	} else if (family == AF_INET6) {
		octets = (const unsigned char *)&in6->sin6_addr;
	} else {
		return false;
	}
	for (size_t i = 0; i < n->n; i++)
		if (network_has(&n->list[i], family, octets))
			return true;
	return false;
}
