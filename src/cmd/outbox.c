/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/outbox_file.h"

#include <limits.h>
#include <time.h>

#include "base/must.h"
#include "config/config.h"

/*
 * The outbox on the disk.
 *
 *   outbox/ID              a mail that waits: 32 hexadecimal digits
 *   outbox/ID.new          one that is being written; never read
 *   outbox/refused/ID      one of which nothing waits, and that did not reach everybody
 *   outbox/tending         locked by the process that was left behind
 *   outbox/sending         locked while somebody goes through the mails
 *
 * A mail is in the outbox when outbox_put has said so: written, synced, renamed, the directory synced.
 */

/* ── for everybody ── */

/* It ends in NUL, and lasts until the next one. */
static const char *
text_of(struct buf *text, struct str s)
{
	buf_reset(text);
	buf_add(text, s);
	buf_add_char(text, '\0');
	return text->overflow ? "" : text->p;
}

ph_mail *
outbox_compose(const struct outbox_mail *mail)
{
	struct buf text = { .max = OUTBOX_RECORD_MAX };
	ph_mail *m = ph_mail_new();

	must(m);
	ph_return_path(m, text_of(&text, mail->reverse_path));
	for (size_t i = 0; i < mail->recipients_n; i++)
		ph_recipient(m, text_of(&text, mail->recipients[i]));
	ph_message_data(m, mail->message.p, mail->message.n);
	if (mail->notify)
		ph_notify(m, mail->notify);
	if (mail->ret)
		ph_return_full(m, mail->ret == 'F');
	if (mail->envid.n)
		ph_envelope_id(m, text_of(&text, mail->envid));
	buf_free(&text);
	return m;
}

/* ── a new one ── */

static void
name_new(char name[MAIL_ID_TEXT + 4], const char *id)
{
	snprintf(name, MAIL_ID_TEXT + 4, "%s.new", id);
}

/* Into the first place that has room. */
static bool
write_somewhere(struct outbox_spare *spare, struct str record, struct err *e)
{
	char outbox[OUTBOX_PATH], name[MAIL_ID_TEXT + 4];

	mail_id_text(mail_id_random(), spare->id);
	name_new(name, spare->id);
	for (unsigned i = 0; i < OUTBOX_PLACES; i++) {
		if (!outbox_place(i, true, outbox, e))
			continue;
		if (!outbox_write_new(outbox, name, record)) {
			err_set_errno(e, "%s", outbox);
			continue;
		}
		spare->outbox = memory_take(NULL, strlen(outbox) + 1);
		memcpy(spare->outbox, outbox, strlen(outbox));
		return true;
	}
	return false;
}

bool
outbox_spare_write(struct outbox_spare *spare, const struct outbox_mail *mail, struct err *e)
{
	struct outbox_mail kept = *mail;
	struct buf record = { .max = OUTBOX_RECORD_MAX };
	char config[PATH_MAX];
	bool ok;

	/* whoever sends it may stand in another directory, and be told of another file */
	if (realpath(config_path(mail->config_file), config))
		kept.config_file = config;
	else if (*config_path(mail->config_file) == '/') /* not there now */
		kept.config_file = config_path(mail->config_file);
	outbox_pack(&record, &kept, time(NULL));
	spare->recipients_n = mail->recipients_n;
	ok = record.overflow ? err_set(e, ERR_PERMANENT, ERR_TOO_BIG,
				       "the mail is too large for the outbox")
			     : write_somewhere(spare, buf_str(&record), e);
	buf_free(&record);
	return ok;
}

static bool
rename_new(const struct outbox_spare *spare, const char *name)
{
	char from[OUTBOX_PATH], to[OUTBOX_PATH];

	snprintf(from, sizeof from, "%s/%s", spare->outbox, name);
	snprintf(to, sizeof to, "%s/%s", spare->outbox, spare->id);
	return rename(from, to) == 0 && outbox_sync(spare->outbox);
}

static void
forget_spare(struct outbox_spare *spare)
{
	memory_release(NULL, spare->outbox);
	*spare = (struct outbox_spare){ 0 };
}

bool
outbox_spare_keep(struct outbox_spare *spare, const bool *waits, struct err *e)
{
	struct buf states = { .max = OUTBOX_RECORD_MAX };
	char name[MAIL_ID_TEXT + 4];
	bool ok;

	for (size_t i = 0; i < spare->recipients_n; i++)
		buf_add_char(&states, waits[i] ? OUTBOX_WAITS : OUTBOX_TAKEN);
	name_new(name, spare->id);
	ok = (outbox_write_states(spare->outbox, name, buf_str(&states)) &&
		     rename_new(spare, name)) ||
	     err_set_errno(e, "%s", spare->outbox);
	buf_free(&states);
	if (ok)
		forget_spare(spare);
	return ok;
}

void
outbox_spare_drop(struct outbox_spare *spare)
{
	char name[MAIL_ID_TEXT + 4];

	if (!spare->outbox)
		return;
	name_new(name, spare->id);
	outbox_remove(spare->outbox, name);
	forget_spare(spare);
}

bool
outbox_put(const struct outbox_mail *mail, struct err *e)
{
	struct outbox_spare spare = { 0 };
	char name[MAIL_ID_TEXT + 4];
	bool ok = outbox_spare_write(&spare, mail, e);

	if (!ok)
		return false;
	name_new(name, spare.id);
	ok = rename_new(&spare, name) || err_set_errno(e, "%s", spare.outbox);
	if (ok)
		forget_spare(&spare);
	outbox_spare_drop(&spare);
	return ok;
}

/* ── what is there ── */

/* Who of a mail is in that state, if anybody. */
static void
show_state(const struct outbox_file *f, enum outbox_state state, struct outbox_entry *entry,
	outbox_show *show, void *context)
{
	const char *first = memchr(f->states, (int)state, f->mail.recipients_n);

	if (!first)
		return;
	entry->reverse_path = f->mail.reverse_path;
	entry->first_recipient = f->mail.recipients[first - f->states];
	entry->recipients_n = outbox_count(f, state);
	entry->size = f->mail.message.n;
	entry->since_s = f->since_s;
	entry->will_not_go = state == OUTBOX_FAILED;
	entry->reason = str_of(entry->will_not_go ? f->note.failed : f->note.waits);
	show(context, entry);
}

static void
show_one(const char *directory, const char *name, outbox_show *show, void *context)
{
	struct outbox_file f = { 0 };
	char file[OUTBOX_PATH + MAIL_ID_TEXT];
	struct outbox_entry entry = { .file = file };
	struct err e;

	snprintf(file, sizeof file, "%s/%s", directory, name);
	memcpy(entry.id, name, MAIL_ID_TEXT);
	if (outbox_read(directory, name, &f, &e) == OUTBOX_READ) {
		show_state(&f, OUTBOX_WAITS, &entry, show, context);
		show_state(&f, OUTBOX_FAILED, &entry, show, context);
	} else {
		entry.reason = str_of(e.text);
		entry.will_not_go = true;
		show(context, &entry);
	}
	outbox_file_free(&f);
}

bool
outbox_list(outbox_show *show, void *context, struct err *e)
{
	char outbox[OUTBOX_PATH], refused[OUTBOX_PATH];

	for (unsigned i = 0; i < 2 * OUTBOX_PLACES; i++) {
		bool is_aside = i >= OUTBOX_PLACES;
		struct outbox_name *names;
		size_t n;

		if (!outbox_place(i % OUTBOX_PLACES, false, outbox, e))
			continue;
		outbox_refused(refused, outbox);
		names = outbox_names(is_aside ? refused : outbox, &n);
		for (size_t at = 0; at < n; at++)
			show_one(is_aside ? refused : outbox, names[at].text, show, context);
		memory_release(NULL, names);
	}
	return true;
}
