// SPDX-License-Identifier: Apache-2.0
// The objects of JMAP that the page uses (RFC 8620, RFC 8621), as they come over the wire.

export type Id = string;
export type Flags = Record<string, true>;

export interface Address {
	name: string | null;
	email: string;
}

/** RFC 8621 §2 */
export interface Mailbox {
	id: Id;
	name: string;
	parentId: Id | null;
	role: string | null;
	sortOrder: number;
	totalEmails: number;
	unreadEmails: number;
	totalThreads: number;
	unreadThreads: number;
}

/** RFC 8621 §4.1.4 */
export interface Part {
	partId: string | null;
	blobId: Id | null;
	size: number;
	name: string | null;
	type: string;
	charset?: string | null;
	disposition: string | null;
	cid: string | null;
}

export interface BodyValue {
	value: string;
	isEncodingProblem?: boolean;
	isTruncated?: boolean;
}

/** What a row of the list and the folded messages of a thread need. */
export interface EmailSummary {
	id: Id;
	blobId: Id;
	threadId: Id;
	mailboxIds: Flags;
	keywords: Flags;
	size: number;
	receivedAt: string;
	from: Address[] | null;
	to: Address[] | null;
	subject: string | null;
	hasAttachment: boolean;
	preview: string;
}

/** RFC 8621 §4 */
export interface Email extends EmailSummary {
	sentAt: string | null;
	cc: Address[] | null;
	bcc: Address[] | null;
	replyTo: Address[] | null;
	messageId: string[] | null;
	inReplyTo: string[] | null;
	references: string[] | null;
	textBody: Part[];
	htmlBody: Part[];
	attachments: Part[];
	bodyValues: Record<string, BodyValue>;
	'header:List-Unsubscribe:asURLs': string[] | null;
}

export interface Thread {
	id: Id;
	emailIds: Id[];
}

/** RFC 8621 §6 */
export interface Identity {
	id: Id;
	name: string;
	email: string;
	textSignature: string;
	htmlSignature: string;
	mayDelete: boolean; // false: the login's own address
}

/** RFC 8621 §7 */
export interface DeliveryStatus {
	smtpReply: string;
	delivered: 'queued' | 'yes' | 'no' | 'unknown';
}

export interface Submission {
	id: Id;
	emailId: Id;
	sendAt: string;
	undoStatus: 'pending' | 'final' | 'canceled';
	deliveryStatus: Record<string, DeliveryStatus> | null;
}

export interface SetError {
	type: string;
	description?: string;
	invalidRecipients?: string[];
}

export interface Snippet {
	emailId: Id;
	subject: string | null;
	preview: string | null;
}

export type Filter = Condition | { operator: 'AND' | 'OR' | 'NOT'; conditions: Filter[] };

/** RFC 8621 §4.4.1 */
export interface Condition {
	inMailbox?: Id;
	inMailboxOtherThan?: Id[];
	before?: string;
	after?: string;
	minSize?: number;
	maxSize?: number;
	hasKeyword?: string;
	notKeyword?: string;
	hasAttachment?: boolean;
	text?: string;
	from?: string;
	to?: string;
	cc?: string;
	bcc?: string;
	subject?: string;
	body?: string;
}

/** A part of an Email that is to be made. */
export interface NewPart {
	partId?: string;
	blobId?: Id;
	type: string;
	name?: string | null;
	disposition?: string;
	cid?: string;
}

export interface NewEmail {
	mailboxIds: Flags;
	keywords: Flags;
	from: Address[];
	to: Address[];
	cc: Address[];
	bcc: Address[];
	subject: string;
	inReplyTo?: string[];
	references?: string[];
	textBody: NewPart[];
	htmlBody?: NewPart[];
	attachments: NewPart[];
	bodyValues: Record<string, { value: string }>;
}

export type Patch = Record<string, unknown>;

interface Get<T> {
	list: T[];
	notFound: Id[];
	state: string;
}

interface Set<T> {
	created?: Record<string, Partial<T> & { id: Id }> | null;
	updated?: Record<Id, unknown> | null;
	destroyed?: Id[] | null;
	notCreated?: Record<string, SetError> | null;
	notUpdated?: Record<Id, SetError> | null;
	notDestroyed?: Record<Id, SetError> | null;
}

interface Query {
	ids: Id[];
	position: number;
	total?: number;
	queryState: string;
}

/** Method → what it is asked, what it answers. `accountId` is put in by the client. */
export interface Methods {
	'Mailbox/get': [{ ids: Id[] | null }, Get<Mailbox>];
	'Mailbox/set': [{ create?: Record<string, { name: string; parentId: Id | null }>; update?: Record<Id, Patch>; destroy?: Id[] }, Set<Mailbox>];
	'Thread/get': [{ ids: Id[] }, Get<Thread>];
	'Email/query': [
		{ filter: Filter; sort: { property: string; isAscending: boolean }[]; collapseThreads: boolean; position: number; limit: number; calculateTotal: boolean },
		Query,
	];
	'Email/get': [
		{ ids: Id[]; properties: string[]; fetchTextBodyValues?: boolean; fetchHTMLBodyValues?: boolean; maxBodyValueBytes?: number },
		Get<Email>,
	];
	'Email/set': [{ create?: Record<string, NewEmail>; update?: Record<Id, Patch>; destroy?: Id[] }, Set<Email>];
	'SearchSnippet/get': [{ filter: Filter; emailIds: Id[] }, { list: Snippet[] }];
	'Identity/get': [{ ids: Id[] | null }, Get<Identity>];
	'Identity/set': [{ update: Record<Id, Patch> }, Set<Identity>];
	'EmailSubmission/query': [{ filter: { emailIds: Id[] } }, Query];
	'EmailSubmission/get': [{ ids: Id[] }, Get<Submission>];
	'EmailSubmission/set': [{ create?: Record<string, Patch>; update?: Record<Id, Patch>; onSuccessUpdateEmail?: Record<string, Patch> }, Set<Submission>];
	'Contact/suggest': [{ text: string; limit: number }, { list: Address[] }];
}
