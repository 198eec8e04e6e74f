/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/outbox_file.h"

#include <time.h>
#include <unistd.h>

/*
 * One mail of the outbox once more, after it was refused or given up: a person says so, for the mailbox may be there now, and whether a
 * second copy is better than none is for them to say.
 *
 * The file leaves "refused" first, and then whoever failed waits again: after a crash in between it stands in the outbox with nobody to
 * send it to, and goes back where it was. All under the lock "sending", so that nobody else is at it.
 */

/* The mail whose id begins so. */
struct wanted {
	struct str id;
	char outbox[OUTBOX_PATH], directory[OUTBOX_PATH], name[MAIL_ID_TEXT];
	size_t fitting; /* how many there are */
};

static void
look_in(struct wanted *w, const char *outbox, const char *directory)
{
	size_t n;
	struct outbox_name *names = outbox_names(directory, &n);

	for (size_t i = 0; i < n; i++) {
		if (!str_starts(str_of(names[i].text), w->id))
			continue;
		snprintf(w->outbox, sizeof w->outbox, "%s", outbox);
		snprintf(w->directory, sizeof w->directory, "%s", directory);
		memcpy(w->name, names[i].text, sizeof w->name);
		w->fitting++;
	}
	memory_release(NULL, names);
}

static bool
find(struct wanted *w, struct err *e)
{
	char outbox[OUTBOX_PATH], refused[OUTBOX_PATH];
	struct err ignored;

	for (unsigned i = 0; i < OUTBOX_PLACES; i++) {
		if (!outbox_place(i, false, outbox, &ignored))
			continue;
		outbox_refused(refused, outbox);
		look_in(w, outbox, outbox);
		look_in(w, outbox, refused);
	}
	return w->fitting == 1 ||
	       err_set(e, ERR_PERMANENT, ERR_OTHER,
		       w->fitting ? "-qI: several ids in your outbox begin with %.*s"
				  : "-qI: no id in your outbox begins with %.*s; mailq has them",
		       STR_ARG(w->id));
}

static bool
bring_back(const struct wanted *w, struct err *e)
{
	struct outbox_file f = { 0 };
	bool ok = outbox_read(w->directory, w->name, &f, e) == OUTBOX_READ;

	if (ok) {
		for (size_t i = 0; i < f.mail.recipients_n; i++)
			if (f.states[i] == OUTBOX_FAILED)
				f.states[i] = OUTBOX_WAITS;
		f.note = (struct outbox_note){ 0 };
		f.note.again_s = time(NULL);
		ok = ((strcmp(w->directory, w->outbox) == 0 ||
			      outbox_take_back(w->outbox, w->name)) &&
			     outbox_note(w->outbox, w->name, &f)) ||
		     err_set_errno(e, "%s/%s", w->directory, w->name);
	}
	outbox_file_free(&f);
	return ok;
}

bool
outbox_retry(struct str id, struct err *e)
{
	struct wanted w = { .id = id };
	int sending;
	bool ok;

	if (!find(&w, e) || (sending = outbox_lock_sending(w.outbox, e)) < 0)
		return false;
	ok = bring_back(&w, e);
	close(sending);
	return ok;
}
