// SPDX-License-Identifier: Apache-2.0
// Who gets an answer, under which subject, and what of the old mail stands in it.

import { same, unique } from './address';
import type { Address, Email } from './types';

export interface Recipients {
	to: Address[];
	cc: Address[];
}

type Heads = Pick<Email, 'from' | 'to' | 'cc' | 'replyTo'>;

/**
 * RFC 5322 §3.6.3: to Reply-To where there is one, else to the author; for all also those who got it. Never to oneself, except when the mail is one's own:
 * then the answer goes on to those it was written to.
 */
export function recipients(mail: Heads, own: string[], all: boolean): Recipients {
	const isOwn = (a: Address) => own.some((email) => same(email, a.email));
	const others = (list: Address[] | null) => unique((list ?? []).filter((a) => !isOwn(a)));
	const wasMine = (mail.from ?? []).some(isOwn);

	const author = mail.replyTo?.length ? mail.replyTo : mail.from;
	let to = wasMine ? others(mail.to) : others(author);
	if (to.length === 0) to = unique(author ?? []);
	if (!all) return { to, cc: [] };

	const received = wasMine ? (mail.cc ?? []) : [...(mail.to ?? []), ...(mail.cc ?? [])];
	return { to, cc: others(received).filter((a) => !to.some((b) => same(a.email, b.email))) };
}

/** Re: and its kin of other countries are no part of a subject. */
const answered = /^\s*(?:(?:re|aw|sv|antw|回复|回覆|答复)(?:\[\d+\])?\s*[:：]\s*)+/i;
const forwarded = /^\s*(?:(?:fwd?|wg|转发|轉寄)\s*[:：]\s*)+/i;

export function replySubject(subject: string | null): string {
	return `Re: ${(subject ?? '').replace(answered, '')}`.trim();
}

export function forwardSubject(subject: string | null): string {
	return `Fwd: ${(subject ?? '').replace(forwarded, '')}`.trim();
}

/** RFC 5322 §3.6.4 */
export function threading(mail: Pick<Email, 'messageId' | 'inReplyTo' | 'references'>): { inReplyTo?: string[]; references?: string[] } {
	if (!mail.messageId?.length) return {};
	const before = mail.references ?? (mail.inReplyTo?.length === 1 ? mail.inReplyTo : []);
	return { inReplyTo: mail.messageId, references: [...before, ...mail.messageId] };
}

/** RFC 3676 §4.5: a quote of a quote has no blank between its marks; a signature is not quoted (§4.3). */
export function quote(text: string): string {
	const lines = text.replace(/\r\n?/g, '\n').replace(/\n+$/, '').split('\n');
	const signature = lines.lastIndexOf('-- ');
	return (signature > 0 ? lines.slice(0, signature) : lines)
		.join('\n')
		.trimEnd()
		.split('\n')
		.map((line) => (line.startsWith('>') || line === '' ? `>${line}` : `> ${line}`))
		.join('\n');
}

/** Whether the writer speaks of something attached, in lines that are the writer's own. */
export function speaksOfAttachment(text: string): boolean {
	const own = text
		.split('\n')
		.filter((line) => !line.startsWith('>'))
		.join('\n');
	return /\b(?:attach(?:ed|ing|ment|ments)?|enclosed)(?!\p{L})|附件|附上|随信附|隨信附|附檔/iu.test(own);
}
