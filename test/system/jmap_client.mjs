// SPDX-License-Identifier: Apache-2.0
// node jmap_client.mjs: one round trip with somebody else's JMAP library (jmap-jam) against the station that the environment names:
//   BASE            its web door, "http://127.0.0.1:8080"
//   AUTHORIZATION   the header's value: "Basic …" or "Bearer …"
//   PEER            who gets the mail; SUBJECT what it is called
// What it throws is the failure.

import assert from 'node:assert/strict';

const { JamClient } = await import(new URL('../../web/node_modules/jmap-jam/dist/index.js', import.meta.url));
const { BASE: base, AUTHORIZATION: authorization, PEER: peer, SUBJECT: subject } = process.env;
const octets = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7) & 255);
const own = { using: ['urn:ietf:params:jmap:submission'] };

/** The library knows Bearer alone: its constructor is left out, the rest is its own. */
function client() {
	const jam = Object.create(JamClient.prototype);
	jam.authHeader = authorization;
	jam.capabilities = new JamClient({ bearerToken: '', sessionUrl: 'data:application/json,{}' }).capabilities;
	jam.session = JamClient.loadSession(`${base}/.well-known/jmap`, authorization);
	return jam;
}

/** What the library takes for granted, and node has not: with the header that a page's cookie would be. */
globalThis.EventSource = class extends EventTarget {
	#end = new AbortController();
	constructor(url) {
		super();
		this.#read(url).catch((error) => error.name === 'AbortError' || console.error(error));
	}
	async #read(url) {
		const answer = await fetch(url, { headers: { Authorization: authorization }, signal: this.#end.signal });
		assert.equal(answer.headers.get('content-type').split(';')[0], 'text/event-stream');
		let text = '';
		for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
			text += piece;
			for (let end; (end = text.search(/\r?\n\r?\n/)) >= 0; text = text.slice(end).replace(/^(\r?\n){2}/, '')) this.#tell(text.slice(0, end));
		}
	}
	#tell(block) {
		const field = (name) => block.split(/\r?\n/).filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart()).join('\n');
		this.dispatchEvent(Object.assign(new Event(field('event') || 'message'), { data: field('data') }));
	}
	close() {
		this.#end.abort();
	}
};

const jam = client();
const session = await jam.session;
const accountId = await jam.getPrimaryAccount();
assert.ok(session.accounts[accountId].isPersonal);
assert.ok(session.capabilities['urn:ietf:params:jmap:submission']);
assert.equal(session.primaryAccounts['urn:ietf:params:jmap:submission'], accountId);
for (const url of ['apiUrl', 'uploadUrl', 'downloadUrl', 'eventSourceUrl']) assert.ok(session[url].startsWith(base), session[url]);

/* ── where mail lies, and as whom is written ── */

const [mailboxes] = await jam.api.Mailbox.get({ accountId });
const role = (wanted) => mailboxes.list.find((m) => m.role === wanted).id;
const [identities] = await jam.api.Identity.get({ accountId });
const identity = identities.list[0];

/* ── news ── */

const source = await jam.connectEventSource({ types: '*', ping: 30 });
const heard = [];
let wake = () => {};
source.addEventListener('state', (event) => {
	heard.push(JSON.parse(event.data));
	wake();
});

async function hear(condition) {
	const late = setTimeout(() => assert.fail(`no such news, but ${JSON.stringify(heard)}`), 60_000);
	while (!heard.some(condition)) await new Promise((resolve) => (wake = resolve));
	clearTimeout(late);
}

await hear((h) => h['@type'] === 'StateChange' && h.changed[accountId].Email);
const before = (await jam.api.Email.get({ accountId, ids: [] }))[0].state;

/* ── a draft with an attachment, sent ── */

const upload = await jam.uploadBlob(accountId, new Blob([octets], { type: 'application/octet-stream' }));
assert.deepEqual([upload.accountId, upload.size, upload.type], [accountId, octets.length, 'application/octet-stream']);

const [drafted] = await jam.api.Email.set({
	accountId,
	create: {
		draft: {
			mailboxIds: { [role('drafts')]: true },
			keywords: { $draft: true, $seen: true },
			from: [{ name: identity.name || null, email: identity.email }],
			to: [{ name: '李 雷', email: peer }],
			subject,
			textBody: [{ partId: 'text', type: 'text/plain' }],
			bodyValues: { text: { value: '上海的天气很好 — and the harbour is calm.\n' } },
			attachments: [{ blobId: upload.blobId, type: 'application/octet-stream', name: '数据.bin', disposition: 'attachment' }],
		},
	},
});
const draft = drafted.created.draft;
for (const property of ['id', 'blobId', 'threadId', 'size']) assert.ok(draft[property], property);
assert.equal(drafted.oldState, before);
assert.notEqual(drafted.newState, before);

const [sent] = await jam.request(['EmailSubmission/set', {
	accountId,
	create: { send: { emailId: draft.id, identityId: identity.id } },
	onSuccessUpdateEmail: { '#send': { mailboxIds: { [role('sent')]: true }, 'keywords/$draft': null } },
}], own);
assert.equal(sent.notCreated ?? null, null);
const submission = sent.created.send;
assert.equal(submission.undoStatus, 'final');

/* ── found again ── */

const [found] = await jam.requestMany((t) => {
	const ids = t.Email.query({ accountId, filter: { inMailbox: role('sent'), subject }, sort: [{ property: 'receivedAt', isAscending: false }], calculateTotal: true });
	const mails = t.Email.get({ accountId, ids: ids.$ref('/ids'), properties: ['threadId', 'subject', 'keywords', 'mailboxIds', 'attachments', 'bodyValues', 'textBody'], fetchTextBodyValues: true });
	const threads = t.Thread.get({ accountId, ids: mails.$ref('/list/*/threadId') });
	const snippets = t.SearchSnippet.get({ accountId, filter: { text: 'harbour' }, emailIds: ids.$ref('/ids') });
	return { ids, mails, threads, snippets };
});
assert.deepEqual(found.ids.ids, [draft.id]);
assert.equal(found.ids.total, 1);
const [mail] = found.mails.list;
assert.equal(mail.subject, subject);
assert.deepEqual(mail.keywords, { $seen: true });
assert.deepEqual(mail.mailboxIds, { [role('sent')]: true });
assert.match(Object.values(mail.bodyValues)[0].value, /上海的天气很好 — and the harbour is calm\./);
assert.deepEqual(found.threads.list, [{ id: draft.threadId, emailIds: [draft.id] }]);
assert.match(found.snippets.list[0].preview, /<mark>harbour<\/mark>/);

const [attachment] = mail.attachments;
assert.equal(attachment.name, '数据.bin');
const download = await jam.downloadBlob({ accountId, blobId: attachment.blobId, mimeType: attachment.type, fileName: 'data.bin' });
assert.deepEqual(new Uint8Array(await download.arrayBuffer()), octets);

/* ── what has changed, and who was told ── */

const [changes] = await jam.api.Email.changes({ accountId, sinceState: before });
assert.ok(changes.created.includes(draft.id) && !changes.updated.includes(draft.id), JSON.stringify(changes));
await hear((h) => h.changed[accountId].Email === changes.newState);
source.close();

/* ── what became of it ── */

for (let tries = 0; ; tries++) {
	const [{ list: [now] }] = await jam.request(['EmailSubmission/get', { accountId, ids: [submission.id] }], own);
	const { delivered, smtpReply } = now.deliveryStatus[peer];
	if (delivered === 'yes') break;
	assert.ok(tries < 600, `${delivered}: ${smtpReply}`);
	await new Promise((resolve) => setTimeout(resolve, 100));
}

/* ── errors are the RFC's ── */

await assert.rejects(jam.api.Email.get({ accountId: 'somebody', ids: [] }), { type: 'accountNotFound' });
await assert.rejects(jam.request(['Email/steal', { accountId }]), { type: 'unknownMethod' });
await assert.rejects(jam.api.Email.changes({ accountId, sinceState: 'never' }), { type: 'cannotCalculateChanges' });
await assert.rejects(jam.request(['Core/echo', {}], { using: ['urn:example:nothing'] }), { type: 'urn:ietf:params:jmap:error:unknownCapability' });

const [destroyed] = await jam.api.Email.set({ accountId, destroy: [draft.id] });
assert.deepEqual(destroyed.destroyed, [draft.id]);
