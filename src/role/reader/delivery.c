/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reader/delivery.h"

#include "base/must.h"
#include "smtp/reply.h"
#include "spool/history.h"

enum { ONES_MAX = 2000, REPLY_MAX = 1000 };

enum progress { QUEUED, DELIVERED, FAILED, UNKNOWN, EXPANDED };

/* A recipient of the envelope, or a member of an alias that one of those is. */
struct delivery_one {
	struct str address;
	size_t root; /* its place in the list; of a root, its own */
	enum progress progress;
	bool is_dropped;
	struct str reply; /* empty: nothing new was said */
};

json_t *
delivery_entry(struct str reply, const char *delivered)
{
	json_t *text = json_stringn(reply.p ? reply.p : "", reply.n);

	return json_pack("{s:o, s:s, s:s}", "smtpReply", text ? text : json_string(""), "delivered",
		delivered, "displayed", "unknown");
}

void
delivery_add_reply(struct buf *to, const struct err *e)
{
	struct reply reply = reply_from_err(e);

	if (e->code)
		reply.code = e->code;
	if (e->enhanced.class)
		reply.enhanced = e->enhanced;
	buf_addf(to, "%d %u.%u.%u ", reply.code, reply.enhanced.class, reply.enhanced.subject,
		reply.enhanced.detail);
	buf_add_clean(to, reply.text, true);
}

void
delivery_begin(struct delivery *d, struct arena *arena, json_t *status)
{
	*d = (struct delivery){ .arena = arena };
	d->list = arena_take(arena, ONES_MAX * sizeof *d->list);
	if (!d->list)
		return;
	for (void *at = json_object_iter(status); at && d->n < ONES_MAX;
		at = json_object_iter_next(status, at)) {
		const char *delivered =
			json_string_value(json_object_get(json_object_iter_value(at), "delivered"));

		if (!delivered || strcmp(delivered, "queued") != 0)
			continue;
		d->list[d->n] = (struct delivery_one){ .address = str_of(json_object_iter_key(at)),
			.root = d->n };
		d->n++;
	}
	d->roots_n = d->n;
}

/* ── what is told ── */

static void
set(struct delivery *d, struct delivery_one *one, enum progress progress, struct str words,
	const char *otherwise)
{
	struct buf reply = { .max = REPLY_MAX };
	bool has_code = words.n > 3 && char_is_digit(words.p[0]) && char_is_digit(words.p[1]) &&
			char_is_digit(words.p[2]) && words.p[3] == ' ';

	one->progress = progress;
	if (!has_code)
		buf_add(&reply, str_of(otherwise));
	buf_add_clean(&reply, str_part(words, 0, REPLY_MAX / 2), true);
	arena_dup(d->arena, buf_str(&reply), &one->reply);
	buf_free(&reply);
}

static void
add_member(struct delivery *d, struct str address, size_t root)
{
	struct delivery_one *one = &d->list[d->n];

	if (d->n == ONES_MAX || !arena_dup(d->arena, address, &one->address))
		return;
	one->root = root;
	one->progress = QUEUED;
	one->is_dropped = false;
	one->reply = (struct str){ 0 };
	d->n++;
}

/* `how` has its members, "<a@b>, <c@d>". */
static void
expand(struct delivery *d, size_t which, struct str how)
{
	struct str before, member;

	d->list[which].progress = EXPANDED;
	while (str_cut(how, '<', &before, &how) && str_cut(how, '>', &member, &how))
		add_member(d, member, d->list[which].root);
}

static void
tell_one(struct delivery *d, struct str address, const struct ipc_told *m)
{
	/* Members may come while we go through them: only those that were there. */
	for (size_t i = 0, n = d->n; i < n; i++) {
		struct delivery_one *one = &d->list[i];

		if (!str_eq_nocase(one->address, address) || one->progress == EXPANDED)
			continue;
		switch ((enum history_kind)m->kind) {
		case HISTORY_DELIVERED:
			set(d, one, str_eq(m->who, S("mailbox")) ? DELIVERED : UNKNOWN, m->words,
				"250 2.0.0 ");
			break;
		case HISTORY_FAILED:
			set(d, one, FAILED, m->words, "554 5.0.0 ");
			break;
		case HISTORY_DEFERRED:
			set(d, one, QUEUED, m->words, "451 4.0.0 ");
			break;
		case HISTORY_EXPANDED:
			expand(d, i, m->how);
			break;
		case HISTORY_DROPPED:
			one->is_dropped = true;
			break;
		case HISTORY_RELEASED: /* its operator took that back */
			one->is_dropped = false;
			break;
		default:
			break;
		}
	}
}

void
delivery_told(struct delivery *d, const struct ipc_told *m)
{
	struct str recipients = m->recipients, address;

	d->was_told = true;
	d->is_settled |= m->kind == HISTORY_SETTLED;
	while (d->list && codec_scan_str(&recipients, &address))
		tell_one(d, address, m);
}

/* It is in the queue still. The letters are those of the message `item`. */
void
delivery_item(struct delivery *d, const struct ipc_item *m)
{
	struct buf reply = { .max = REPLY_MAX };
	struct str why = m->why;
	struct err e;

	d->was_told = true;
	if (codec_scan_err(&why, &e) && err_is(&e))
		delivery_add_reply(&reply, &e);
	for (size_t i = 0; d->list && i < d->n; i++) {
		struct delivery_one *one = &d->list[i];

		if (!str_eq_nocase(one->address, m->address) || one->progress != QUEUED)
			continue;
		one->is_dropped =
			false; /* as long as it is there its operator may take that back */
		if (m->state == 'F')
			one->progress = FAILED;
		if (reply.n)
			arena_dup(d->arena, buf_str(&reply), &one->reply);
	}
	buf_free(&reply);
}

/* ── what it comes to ── */

/* The worst of a root and its members: failed, queued, unknown, delivered. */
static const struct delivery_one *
worst_of(const struct delivery *d, size_t root)
{
	static const int weight[] = {
		[FAILED] = 4, [QUEUED] = 3, [UNKNOWN] = 2, [DELIVERED] = 1, [EXPANDED] = 0
	};
	const struct delivery_one *worst = &d->list[root];

	for (size_t i = 0; i < d->n; i++)
		if (d->list[i].root == root &&
			weight[d->list[i].progress] > weight[worst->progress])
			worst = &d->list[i];
	return worst;
}

bool
delivery_is_dropped(const struct delivery *d)
{
	for (size_t i = 0; d->list && i < d->n; i++)
		if (d->list[i].progress != EXPANDED &&
			(d->list[i].progress != QUEUED || !d->list[i].is_dropped))
			return false;
	return d->list && d->n > 0;
}

bool
delivery_end(struct delivery *d, json_t *status, bool is_old)
{
	static const char *const words[] = { [QUEUED] = "queued",
		[DELIVERED] = "yes",
		[FAILED] = "no",
		[UNKNOWN] = "unknown",
		[EXPANDED] = "unknown" };
	bool is_over = d->is_settled || (is_old && !d->was_told), is_final = d->list != NULL;

	for (size_t i = 0; d->list && i < d->roots_n; i++) {
		const struct delivery_one *worst = worst_of(d, i);
		enum progress progress =
			worst->progress == QUEUED && is_over ? UNKNOWN : worst->progress;
		char name[512];
		const json_t *former;
		struct str reply = worst->reply;

		snprintf(name, sizeof name, "%.*s", STR_ARG(d->list[i].address));
		former = json_object_get(json_object_get(status, name), "smtpReply");
		if (!reply.n)
			reply = (struct str){ json_string_value(former),
				json_string_length(former) };
		is_final &= progress != QUEUED;
		json_object_set_new(status, name, delivery_entry(reply, words[progress]));
	}
	return is_final;
}
