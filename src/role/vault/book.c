/* SPDX-License-Identifier: Apache-2.0 */
#include "role/vault/book.h"

#include "base/must.h"

enum { NAME_SIZE = 64 + 1 + 255, VISITED_MAX = 4 * BOOK_TARGETS_MAX };

static const size_t book_size_max = (size_t)1 << 32;

/* ── filling ── */

static struct str
key_of(const void *member)
{
	return ((const struct book_entry *)member)->name;
}

static void *
take(struct book *b, size_t n)
{
	void *p = arena_take(&b->arena, n);

	must(p); /* accounts come from our own commands, not from strangers */
	return p;
}

static struct str
copy(struct book *b, struct str s)
{
	char *p = take(b, s.n);

	if (s.n)
		memcpy(p, s.p, s.n);
	return (struct str){ p, s.n };
}

static struct str
join(struct book *b, struct str local, struct str domain)
{
	char *p = take(b, local.n + 1 + domain.n);

	memcpy(p, local.p, local.n);
	p[local.n] = '@';
	memcpy(p + local.n + 1, domain.p, domain.n);
	return (struct str){ p, local.n + 1 + domain.n };
}

static struct book_entry *
entry(struct book *b, struct str name)
{
	struct book_entry *e = map_get(&b->entries, name);

	if (e)
		return e;
	e = take(b, sizeof *e);
	e->name = copy(b, name);
	map_put(&b->entries, e);
	return e;
}

/* A target of the file: a mailbox of this domain, or an address. */
static struct str
whole_address(struct book *b, struct str target, struct str domain)
{
	return str_find(target, '@') < target.n ? target : join(b, target, domain);
}

static void
add_domain(struct book *b, const struct config_domain *d)
{
	for (size_t i = 0; i < d->aliases_n; i++) {
		const struct config_alias *a = &d->aliases[i];
		struct book_entry *e = entry(b, join(b, a->name, d->name));

		e->to = take(b, a->to_n * sizeof *e->to);
		e->to_n = a->to_n;
		for (size_t k = 0; k < a->to_n; k++)
			e->to[k] = whole_address(b, a->to[k], d->name);
	}
	for (size_t i = 0; i < d->moved_n; i++)
		entry(b, join(b, d->moved[i].name, d->name))->moved = d->moved[i].to;
}

void
book_begin(struct book *b, const struct config *c)
{
	*b = (struct book){
		.config = c, .entries = { .key_of = key_of }, .arena = { .max = book_size_max }
	};
	b->first = take(b, c->domains_n * sizeof *b->first);
	for (size_t i = 0; i < c->domains_n; i++) {
		add_domain(b, &c->domains[i]);
		b->first[i] = take(b, sizeof **b->first);
		b->first[i]->name = join(b, S("postmaster"), c->domains[i].name);
		b->first[i]->is_mailbox = b->first[i]->is_spare = true;
	}
}

static void
split(struct str name, struct str *local, struct str *domain)
{
	size_t at = name.n;

	while (at > 0 && name.p[at - 1] != '@')
		at--;
	*local = str_part(name, 0, at ? at - 1 : name.n);
	*domain = at ? str_from(name, at) : (struct str){ 0 };
}

void
book_add_mailbox(struct book *b, struct str name, struct str hash, bool is_suspended)
{
	struct book_entry *e = entry(b, name);
	const struct config_domain *d;
	struct str local, domain;

	e->hash = copy(b, hash);
	e->is_mailbox = true;
	e->is_suspended = is_suspended;
	split(name, &local, &domain);
	d = config_domain(b->config, domain);
	if (d && !is_suspended && b->first[d - b->config->domains]->is_spare)
		b->first[d - b->config->domains] = e;
}

/* The accounts' rows of one alias come one after the other; where the file has the name, its alias
 * stands. */
void
book_add_alias(struct book *b, struct str name, struct str to)
{
	struct book_entry *e = entry(b, name);
	struct str local, domain;
	const struct config_domain *d;

	split(name, &local, &domain);
	d = config_domain(b->config, domain);
	for (size_t i = 0; d && i < d->aliases_n; i++)
		if (str_eq(d->aliases[i].name, local))
			return;
	if ((e->to_n & (e->to_n + 1)) == 0) { /* 0, 1, 3, 7 …: full */
		struct str *grown = take(b, (2 * e->to_n + 1) * sizeof *grown);

		if (e->to_n)
			memcpy(grown, e->to, e->to_n * sizeof *grown);
		e->to = grown;
	}
	e->to[e->to_n++] = copy(b, to);
}

void
book_free(struct book *b)
{
	map_free(&b->entries);
	arena_free(&b->arena);
	*b = (struct book){ 0 };
}

/* ── one step: what does this name stand for? ── */

enum place_kind {
	PLACE_NOBODY,
	PLACE_BAD_NAME,
	PLACE_ELSEWHERE,
	PLACE_ALIAS,
	PLACE_MOVED,
	PLACE_MAILBOX
};

struct place {
	enum place_kind kind;
	const struct book_entry *entry; /* alias, moved, mailbox */
	struct str catch_all;		/* an alias that has no entry: its only member */
};

/* local@domain in lower case, in `name`. False: longer than any name can be. */
static bool
lower_name(struct str local, struct str domain, char name[NAME_SIZE], struct str *lower)
{
	size_t n = 0;

	if (local.n + 1 + domain.n > NAME_SIZE)
		return false;
	for (size_t i = 0; i < local.n; i++)
		name[n++] = char_lower(local.p[i]);
	name[n++] = '@';
	for (size_t i = 0; i < domain.n; i++)
		name[n++] = char_lower(domain.p[i]);
	*lower = (struct str){ name, n };
	return true;
}

static const struct book_entry *
find(const struct book *b, struct str local, struct str domain)
{
	char name[NAME_SIZE];
	struct str lower;

	return lower_name(local, domain, name, &lower) ? map_get(&b->entries, lower) : NULL;
}

static struct place
place_of_entry(const struct book_entry *e)
{
	enum place_kind kind = e->to_n	       ? PLACE_ALIAS
			       : e->moved.n    ? PLACE_MOVED
			       : e->is_mailbox ? PLACE_MAILBOX
					       : PLACE_NOBODY;

	return (struct place){ .kind = kind, .entry = e };
}

static struct place
place_of(const struct book *b, struct str local, struct str domain)
{
	const struct config_domain *d = config_domain(b->config, domain);
	struct str base = str_part(local, 0, str_find(local, '+'));
	const struct book_entry *e;

	if (domain.n == 0 && str_eq_nocase(local, S("postmaster")) && b->config->domains_n)
		d = &b->config->domains[0];
	if (!d)
		return (struct place){ .kind = PLACE_ELSEWHERE };
	e = find(b, local, d->name);
	if (!e)
		e = find(b, base, d->name);
	if (!e && str_eq_nocase(base, S("postmaster")))
		e = b->first[d - b->config->domains];
	if (e)
		return place_of_entry(e);
	if (d->catch_all.n)
		return (struct place){ .kind = PLACE_ALIAS, .catch_all = d->catch_all };
	return (struct place){ .kind = config_name_is_valid(base) ? PLACE_NOBODY : PLACE_BAD_NAME };
}

const struct book_entry *
book_login(const struct book *b, struct str login)
{
	const struct book_entry *e = NULL;
	struct str local, domain;

	split(login, &local, &domain);
	if (domain.n == 0 && b->config->domains_n == 1)
		domain = b->config->domains[0].name;
	if (config_domain(b->config, domain))
		e = find(b, local, domain);
	return e && e->is_mailbox ? e : NULL;
}

size_t
book_mailboxes(const struct book *b, struct str **names)
{
	const struct book_entry *e;
	struct str local, domain;
	size_t n = 0;

	*names = calloc(b->entries.used + 1, sizeof **names);
	must(*names);
	for (size_t i = 0; (e = map_next(&b->entries, &i));) {
		split(e->name, &local, &domain);
		if (place_of_entry(e).kind == PLACE_MAILBOX && !e->is_suspended &&
			config_domain(b->config, domain))
			(*names)[n++] = e->name;
	}
	return n;
}

/* ── all steps: where does the mail go in the end? ── */

/*
 * A list of addresses to look at, which grows by the members of each alias met; an address that was
 * met before is not looked at again. So nothing is reached twice, and a loop simply ends; when it
 * leaves no target at all, it is told as one.
 */
struct walk {
	const struct book *book;
	struct arena *arena;
	struct book_targets *targets;
	struct visit {
		struct str name; /* the key in `seen` */
		unsigned depth;
	} * visits;
	size_t n;
	struct map seen;
	bool is_too_much;
};

static struct str
visit_key(const void *member)
{
	return ((const struct visit *)member)->name;
}

static void
walk_to(struct walk *w, struct str address, unsigned depth)
{
	struct str local, domain;
	struct visit *v = &w->visits[w->n];
	struct buf name = { .max = 1024 };

	if (w->n == VISITED_MAX || depth > BOOK_DEPTH_MAX) {
		w->is_too_much = true;
		return;
	}
	split(address, &local, &domain);
	buf_add(&name, local);
	buf_add_char(&name, '@');
	for (size_t i = 0; i < domain.n; i++)
		buf_add_char(&name, char_lower(domain.p[i]));
	if (name.overflow || !arena_dup(w->arena, buf_str(&name), &v->name))
		w->is_too_much = true;
	else if (!map_get(&w->seen, v->name)) {
		v->depth = depth;
		map_put(&w->seen, v);
		w->n++;
	}
	buf_free(&name);
}

static void
walk_arrive(struct walk *w, struct str address, bool is_here)
{
	struct book_targets *t = w->targets;

	for (size_t i = 0; i < t->n; i++)
		if (t->list[i].is_here == is_here && str_eq(t->list[i].address, address))
			return;
	if (t->n == BOOK_TARGETS_MAX)
		w->is_too_much = true;
	else
		t->list[t->n++] = (struct book_target){ address, is_here };
}

static void
walk_members(struct walk *w, const struct place *p, struct str domain, unsigned depth)
{
	struct buf name = { .max = 512 };

	if (!p->entry) {
		buf_add(&name, p->catch_all);
		if (str_find(p->catch_all, '@') == p->catch_all.n)
			buf_addf(&name, "@%.*s", STR_ARG(domain));
		walk_to(w, buf_str(&name), depth);
		buf_free(&name);
		return;
	}
	for (size_t i = 0; i < p->entry->to_n; i++) {
		if (p->entry->is_mailbox && str_eq_nocase(p->entry->to[i], p->entry->name))
			walk_arrive(w, p->entry->name, true);
		else
			walk_to(w, p->entry->to[i], depth);
	}
}

/* Visit number i; the caller has asked already what the first one is. */
static void
walk_visit(struct walk *w, size_t i)
{
	struct str local, domain, name = w->visits[i].name;
	struct place p;

	split(name, &local, &domain);
	p = place_of(w->book, local, domain);
	switch (p.kind) {
	case PLACE_ELSEWHERE:
		walk_arrive(w, name, false);
		break;
	case PLACE_MAILBOX: /* by an alias also into a suspended one: its mail is kept */
		walk_arrive(w, p.entry->name, true);
		break;
	case PLACE_ALIAS:
		walk_members(w, &p, domain, w->visits[i].depth + 1);
		break;
	case PLACE_NOBODY:
	case PLACE_BAD_NAME:
	case PLACE_MOVED:
		if (!w->targets->nowhere.n)
			w->targets->nowhere = name;
		break;
	}
}

static enum expanded_kind
walk_alias(const struct book *b, const struct place *first, struct str local, struct str domain,
	struct arena *arena, struct book_targets *targets)
{
	struct walk w = {
		.book = b, .arena = arena, .targets = targets, .seen = { .key_of = visit_key }
	};
	struct buf start = { .max = 512 };
	enum expanded_kind kind = EXPANDED_TARGETS;

	w.visits = calloc(VISITED_MAX + 1, sizeof *w.visits);
	must(w.visits);
	if (!domain.n)
		domain = b->config->domains[0].name;
	buf_addf(&start, "%.*s@%.*s", STR_ARG(local), STR_ARG(domain));
	walk_to(&w, buf_str(&start), 0);
	walk_members(&w, first, domain, 1);
	for (size_t i = 1; i < w.n && !w.is_too_much; i++)
		walk_visit(&w, i);
	if (w.is_too_much) {
		kind = EXPANDED_LOOP;
		targets->n = 0;
		targets->words = S("this alias leads to too many others");
	} else if (targets->n == 0) {
		kind = targets->nowhere.n ? EXPANDED_UNKNOWN : EXPANDED_LOOP;
		targets->words = targets->nowhere.n ? S("this alias leads to no mailbox")
						    : S("this alias leads only back to itself");
	}
	buf_free(&start);
	map_free(&w.seen);
	free(w.visits);
	return kind;
}

enum expanded_kind
book_expand(const struct book *b, struct str local, struct str domain, struct arena *arena,
	struct book_targets *targets)
{
	struct place p = place_of(b, local, domain);

	targets->n = 0;
	targets->words = targets->nowhere = (struct str){ 0 };
	switch (p.kind) {
	case PLACE_MAILBOX:
		if (p.entry->is_suspended)
			return EXPANDED_BUSY;
		targets->list[targets->n++] = (struct book_target){ p.entry->name, true };
		return EXPANDED_TARGETS;
	case PLACE_ALIAS:
		return walk_alias(b, &p, local, domain, arena, targets);
	case PLACE_MOVED:
		targets->words = p.entry->moved;
		return EXPANDED_MOVED;
	case PLACE_NOBODY:
	case PLACE_BAD_NAME:
	case PLACE_ELSEWHERE:
		break;
	}
	targets->words = S("no such mailbox here");
	return EXPANDED_UNKNOWN;
}

/* ── questions of receive ── */

/* The members as the alias names them, a line each. */
static struct str
members(const struct place *p, struct arena *arena)
{
	struct buf lines = { .max = IPC_TEXT_MAX };
	struct str text = { 0 };

	if (!p->entry)
		buf_add(&lines, p->catch_all);
	for (size_t i = 0; p->entry && i < p->entry->to_n && !lines.overflow; i++) {
		if (i)
			buf_add_char(&lines, '\n');
		buf_add(&lines, p->entry->to[i]);
	}
	if (!arena_dup(arena, buf_str(&lines), &text))
		text = (struct str){ 0 };
	buf_free(&lines);
	return text;
}

static enum found_kind
lookup_alias(const struct book *b, const struct place *p, uint8_t why, struct str local,
	struct str domain, struct arena *arena, struct str *text)
{
	struct book_targets *t = calloc(1, sizeof *t);
	enum found_kind kind = FOUND_ALIAS;

	must(t);
	if (walk_alias(b, p, local, domain, arena, t) != EXPANDED_TARGETS)
		kind = FOUND_UNKNOWN;
	else if (t->n == 1 && !t->list[0].is_here && why != 'E') {
		kind = FOUND_FORWARD;
		*text = t->list[0].address; /* lies in the arena */
	} else {
		*text = members(p, arena);
	}
	free(t);
	return kind;
}

static enum found_kind
may_send_as(const struct book *b, struct str local, struct str domain, struct str login,
	struct arena *arena)
{
	const struct book_entry *me = book_login(b, login);
	struct book_targets *t = calloc(1, sizeof *t);
	bool may = false;

	must(t);
	if (me && domain.n && book_expand(b, local, domain, arena, t) == EXPANDED_TARGETS)
		for (size_t i = 0; i < t->n; i++)
			may |= t->list[i].is_here && str_eq(t->list[i].address, me->name);
	free(t);
	return may ? FOUND_YES : FOUND_NO;
}

size_t
book_addresses(const struct book *b, struct str mailbox, struct arena *arena, struct str **names)
{
	const struct book_entry *entry;
	size_t n = 0;

	*names = arena_take(arena, BOOK_ADDRESSES_MAX * sizeof **names);
	must(*names);
	(*names)[n++] = mailbox;
	for (size_t at = 0; (entry = map_next(&b->entries, &at)) && n < BOOK_ADDRESSES_MAX;) {
		bool names_it = false;

		for (size_t i = 0; i < entry->to_n; i++)
			names_it |= str_eq(entry->to[i], mailbox);
		if (names_it && !str_eq(entry->name, mailbox))
			(*names)[n++] = entry->name;
	}
	return n;
}

enum found_kind
book_lookup(const struct book *b, uint8_t why, struct str local, struct str domain,
	struct str login, struct arena *arena, struct str *text)
{
	struct place p;

	*text = (struct str){ 0 };
	if (why == 'S')
		return may_send_as(b, local, domain, login, arena);
	p = place_of(b, local, domain);
	switch (p.kind) {
	case PLACE_MAILBOX:
		*text = p.entry->name;
		return p.entry->is_suspended ? FOUND_BUSY : FOUND_MAILBOX;
	case PLACE_ALIAS:
		return lookup_alias(b, &p, why, local, domain, arena, text);
	case PLACE_MOVED:
		*text = p.entry->moved;
		return FOUND_MOVED;
	case PLACE_ELSEWHERE:
		return FOUND_NOT_OURS;
	case PLACE_BAD_NAME:
		return FOUND_BAD_NAME;
	case PLACE_NOBODY:
		break;
	}
	return FOUND_UNKNOWN;
}
