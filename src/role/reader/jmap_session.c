/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "role/reader/blob.h"
#include "role/reader/jmap.h"

/*
 * What a client is told before it asks for anything: capabilities and their limits, the one account, where to go (RFC 8620 §2, RFC 8621
 * §1.3, RFC 8621 §7 for submission). And the states, which change when anything does.
 */

enum { MAILBOX_DEPTH_MAX = 10, NAME_MAX_OCTETS = 200 };

static json_t *
core(const struct reader *r)
{
	return json_pack("{s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:[s, s]}", "maxSizeUpload",
		(json_int_t)blob_size_max(r), "maxConcurrentUpload", ROLE_UPLOADS_AT_ONCE,
		"maxSizeRequest", JMAP_REQUEST_MAX, "maxConcurrentRequests", ROLE_REQUESTS_AT_ONCE,
		"maxCallsInRequest", JMAP_CALLS_MAX, "maxObjectsInGet", JMAP_OBJECTS_GET_MAX,
		"maxObjectsInSet", JMAP_OBJECTS_SET_MAX, "collationAlgorithms", "i;ascii-casemap",
		"i;unicode-casemap");
}

/* RFC 8621 §1.3.1: a mail is in one mailbox, for it is one file in one folder. */
static json_t *
mail(const struct reader *r)
{
	return json_pack("{s:i, s:i, s:i, s:I, s:[s, s, s, s, s, s, s, s, s], s:b}",
		"maxMailboxesPerEmail", 1, "maxMailboxDepth", MAILBOX_DEPTH_MAX,
		"maxSizeMailboxName", NAME_MAX_OCTETS, "maxSizeAttachmentsPerEmail",
		(json_int_t)blob_size_max(r), "emailQuerySortOptions", "receivedAt", "sentAt",
		"size", "from", "to", "subject", "hasKeyword", "allInThreadHaveKeyword",
		"someInThreadHaveKeyword", "mayCreateTopLevelMailbox", 1);
}

static int64_t
delay_most_s(const struct reader *r)
{
	return r->role.config.queue.hold_most_ms / 1000;
}

/* 0 seconds: nothing is held here, and FUTURERELEASE is no extension of ours. */
static json_t *
submission(const struct reader *r)
{
	json_t *extensions = json_pack("{s:[]}", "DSN");

	if (delay_most_s(r) > 0)
		json_object_set_new(extensions, "FUTURERELEASE", json_array());
	return json_pack("{s:I, s:o}", "maxDelayedSend", (json_int_t)delay_most_s(r),
		"submissionExtensions", extensions);
}

static json_t *
account(const struct reader *r)
{
	return json_pack("{s:o, s:b, s:b, s:{s:{}, s:o, s:o, s:{}}}", "name",
		jmap_text(buf_str(&r->login)), "isPersonal", 1, "isReadOnly", 0,
		"accountCapabilities", "urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail",
		mail(r), "urn:ietf:params:jmap:submission", submission(r), JMAP_OURS);
}

static json_t *
url(struct str base, const char *path)
{
	struct buf text = { .max = base.n + 200 };
	json_t *j;

	buf_add(&text, base);
	buf_add(&text, str_of(path));
	j = jmap_text(buf_str(&text));
	buf_free(&text);
	return j;
}

json_t *
jmap_session(struct reader *reader, struct str base)
{
	char state[JMAP_SESSION_STATE];

	jmap_session_state(reader, state);
	return json_pack("{s:{s:o, s:{}, s:{}, s:{}}, s:{s:o}, s:{s:s, s:s, s:s, s:s}, s:o, s:o, "
			 "s:o, s:o, s:o, s:s}",
		"capabilities", "urn:ietf:params:jmap:core", core(reader),
		"urn:ietf:params:jmap:mail", "urn:ietf:params:jmap:submission", JMAP_OURS,
		"accounts", JMAP_ACCOUNT, account(reader), "primaryAccounts",
		"urn:ietf:params:jmap:core", JMAP_ACCOUNT, "urn:ietf:params:jmap:mail",
		JMAP_ACCOUNT, "urn:ietf:params:jmap:submission", JMAP_ACCOUNT, JMAP_OURS,
		JMAP_ACCOUNT, "username", jmap_text(buf_str(&reader->login)), "apiUrl",
		url(base, "/jmap/api"), "downloadUrl",
		url(base, "/jmap/download/{accountId}/{blobId}/{name}?type={type}"), "uploadUrl",
		url(base, "/jmap/upload/{accountId}"), "eventSourceUrl",
		url(base, "/jmap/events?types={types}&closeafter={closeafter}&ping={ping}"),
		"state", state);
}

/* All of the session object that can change while its URL stays: the login's name and the limits that are the file's. */
void
jmap_session_state(const struct reader *reader, char state[JMAP_SESSION_STATE])
{
	uint64_t most = blob_size_max(reader);
	int64_t delay_s = delay_most_s(reader);
	uint32_t crc = hash_crc32c(0, S(POSTHOUSE_VERSION));

	crc = hash_crc32c(crc, buf_str(&reader->login));
	crc = hash_crc32c(crc, (struct str){ (const char *)&most, sizeof most });
	crc = hash_crc32c(crc, (struct str){ (const char *)&delay_s, sizeof delay_s });
	snprintf(state, JMAP_SESSION_STATE, "%08x", crc);
}

void
jmap_states(struct reader *reader, struct buf *json)
{
	static const char *const of_box[BOX_KINDS] = {
		[BOX_MAILS] = "Email", [BOX_FOLDERS] = "Mailbox", [BOX_THREADS] = "Thread"
	};
	static const char *const of_kept[KEPT_KINDS] = {
		[KEPT_IDENTITY] = "Identity", [KEPT_SUBMISSION] = "EmailSubmission"
	};
	json_t *o = json_object();
	char *text;

	for (enum box_kind kind = 0; kind < BOX_KINDS; kind++) {
		char state[BOX_STATE];

		box_state(reader->box, kind, state);
		json_object_set_new(o, of_box[kind], json_string(state));
	}
	for (enum kept_kind kind = 0; kind < KEPT_KINDS; kind++) {
		char state[KEPT_STATE];

		kept_state(reader->kept, kind, state);
		json_object_set_new(o, of_kept[kind], json_string(state));
	}
	text = json_dumps(o, JSON_COMPACT);
	buf_add(json, str_of(text));
	free(text);
	json_decref(o);
}
