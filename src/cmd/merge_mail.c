/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>

#include "base/must.h"
#include "cmd/merge.h"

/* The order with the cells of a row in place of its columns, and that as a mail. Which fields may have columns, and what a cell may be
 * there, stands in two tables. */

/* Fields of one text … */
static const struct {
	size_t offset;
	enum merge_field field;
} texts[] = {
	{ offsetof(struct send_order, from), MERGE_MAILBOXES },
	{ offsetof(struct send_order, subject), MERGE_LINE },
	{ offsetof(struct send_order, text), MERGE_TEXT },
	{ offsetof(struct send_order, html), MERGE_HTML },
	{ offsetof(struct send_order, envelope_id), MERGE_LINE },
};

/* … and of several. */
static const struct {
	size_t offset;
	enum merge_field field;
} lists[] = {
	{ offsetof(struct send_order, to), MERGE_MAILBOXES },
	{ offsetof(struct send_order, cc), MERGE_MAILBOXES },
	{ offsetof(struct send_order, bcc), MERGE_MAILBOXES },
	{ offsetof(struct send_order, reply_to), MERGE_MAILBOXES },
	{ offsetof(struct send_order, headers), MERGE_LINE },
	{ offsetof(struct send_order, attachments), MERGE_PATH },
	{ offsetof(struct send_order, inlines), MERGE_PATH },
};

enum { TEXTS = sizeof texts / sizeof *texts, LISTS = sizeof lists / sizeof *lists };

static const char **
text_at(struct send_order *o, size_t i)
{
	return (const char **)(void *)((char *)o + texts[i].offset);
}

static struct words *
list_at(struct send_order *o, size_t i)
{
	return (struct words *)(void *)((char *)o + lists[i].offset);
}

bool
merge_order_check(const struct merge_table *t, const struct send_order *order, struct err *e)
{
	struct send_order o = *order;

	for (size_t i = 0; i < TEXTS; i++)
		if (!merge_check(t, str_of(*text_at(&o, i)), e))
			return false;
	for (size_t i = 0; i < LISTS; i++)
		for (size_t k = 0; k < list_at(&o, i)->n; k++)
			if (!merge_check(t, str_of(list_at(&o, i)->p[k]), e))
				return false;
	return true;
}

/* With the NUL behind it, so that no two orders have the same octets; none is a mark of its own. */
static void
digest_text(EVP_MD_CTX *sum, const char *text)
{
	if (text)
		must(EVP_DigestUpdate(sum, text, strlen(text) + 1) == 1);
	must(EVP_DigestUpdate(sum, "\1", 2) == 1);
}

void
merge_digest_text(const unsigned char value[32], char digest[MERGE_DIGEST_TEXT])
{
	codec_hex(digest, value, 32);
}

void
merge_order_digest(const struct send_order *order, char digest[MERGE_DIGEST_TEXT])
{
	struct send_order o = *order;
	EVP_MD_CTX *sum = EVP_MD_CTX_new();
	unsigned char value[32];

	must(sum && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1);
	for (size_t i = 0; i < TEXTS; i++)
		digest_text(sum, *text_at(&o, i));
	for (size_t i = 0; i < LISTS; i++) {
		for (size_t k = 0; k < list_at(&o, i)->n; k++)
			digest_text(sum, list_at(&o, i)->p[k]);
		digest_text(sum, NULL);
	}
	must(EVP_DigestFinal_ex(sum, value, NULL) == 1);
	EVP_MD_CTX_free(sum);
	merge_digest_text(value, digest);
}

/* A word that becomes empty is none: `--cc '{boss}'` in the row of somebody who has no boss. */
static bool
fill_list(const struct merge_table *t, struct words *words, enum merge_field field,
	struct arena *arena, struct err *e)
{
	struct words filled = { arena_take(arena, words->n * sizeof *filled.p), 0 };

	must(filled.p);
	for (size_t i = 0; i < words->n; i++) {
		if (!merge_fill(t, str_of(words->p[i]), field, arena, &filled.p[filled.n], e))
			return false;
		filled.n += *filled.p[filled.n] != '\0';
	}
	*words = filled;
	return true;
}

/* What each mail must have: somebody it is from, and somebody it is to. */
static bool
check_needed(const struct send_order *filled, const struct send_order *order, struct err *e)
{
	const struct words *whom = order->to.n	 ? &filled->to
				   : order->cc.n ? &filled->cc
						 : &filled->bcc;
	const struct words *form = order->to.n	 ? &order->to
				   : order->cc.n ? &order->cc
						 : &order->bcc;

	if (whom->n == 0)
		return err_set(e, ERR_PERMANENT, ERR_OTHER, "to whom? %.100s is empty", form->p[0]);
	if (filled->from && !*filled->from)
		return err_set(
			e, ERR_PERMANENT, ERR_OTHER, "from whom? %.100s is empty", order->from);
	return true;
}

static bool
fill_order(const struct merge_table *t, const struct send_order *order, struct send_order *filled,
	struct arena *arena, struct err *e)
{
	*filled = *order;
	for (size_t i = 0; i < TEXTS; i++) {
		const char **text = text_at(filled, i);

		if (*text && !merge_fill(t, str_of(*text), texts[i].field, arena, text, e))
			return false;
	}
	for (size_t i = 0; i < LISTS; i++)
		if (!fill_list(t, list_at(filled, i), lists[i].field, arena, e))
			return false;
	return check_needed(filled, order, e);
}

static bool
write_into(void *context, const char *octets, size_t n)
{
	buf_add(context, (struct str){ octets, n });
	return !((struct buf *)context)->overflow;
}

/* The order of the same message for those of the mail's recipients who have no answer yet. */
static bool
order_the_rest(ph_mail *all, const struct merge_results *results, size_t row, struct send_order *o,
	struct arena *arena)
{
	struct buf message = { .max = MERGE_MAIL_MAX };
	struct words left = { arena_take(arena, (ph_results(all) + 1) * sizeof *left.p), 0 };
	bool ok = left.p && ph_mail_write(all, write_into, &message);

	for (size_t i = 0; ok && i < ph_results(all); i++) {
		struct str copy, address = str_of(ph_result(all, i)->address);

		if (merge_results_has(results, row, address.p))
			continue;
		address.n++; /* the NUL behind it */
		ok = arena_dup(arena, address, &copy);
		left.p[left.n++] = copy.p;
	}
	ok = ok && arena_dup(arena, buf_str(&message), &o->finished);
	buf_free(&message);
	o->raw = "-";
	o->to = left;
	o->cc = o->bcc = (struct words){ 0 };
	return ok;
}

static ph_mail *
write_order(const struct send_order *o, const struct config *config)
{
	ph_mail *mail = ph_mail_new();

	must(mail);
	order_write(o, config, mail);
	return mail;
}

ph_mail *
merge_order_mail(const struct merge_table *t, const struct send_order *order,
	const struct config *config, const struct merge_results *rest, struct arena *arena,
	struct err *e)
{
	struct send_order o;
	ph_mail *mail, *all;

	if (!fill_order(t, order, &o, arena, e))
		return NULL;
	mail = write_order(&o, config);
	if (rest && !ph_mail_error(mail)) {
		all = mail;
		mail = order_the_rest(all, rest, t->row, &o, arena) ? write_order(&o, config)
								    : NULL;
		ph_mail_free(all);
	}
	if (mail && !ph_mail_error(mail))
		return mail;
	err_set(e, ERR_PERMANENT, ERR_OTHER, "%s",
		mail ? ph_mail_error(mail) : "the message is too large");
	ph_mail_free(mail);
	return NULL;
}
