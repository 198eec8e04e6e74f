// SPDX-License-Identifier: Apache-2.0
// One mail in full, and the pictures that stand in it.

import { call, download } from './jmap';
import type { Email, Id, Part } from './types';

const properties = [
	'id blobId threadId mailboxIds keywords size receivedAt sentAt from to cc bcc replyTo subject messageId inReplyTo references hasAttachment preview',
	'textBody htmlBody attachments bodyValues header:List-Unsubscribe:asURLs',
].flatMap((line) => line.split(' '));

const textMax = 1_000_000; // octets of a body that are fetched
const imagesMax = 5 * 1024 * 1024; // octets of all pictures that are put into a mail

export async function fetchLetter(id: Id): Promise<Email | null> {
	const { list } = await call('Email/get', { ids: [id], properties, fetchTextBodyValues: true, fetchHTMLBodyValues: true, maxBodyValueBytes: textMax }).answer;
	return list[0] ?? null;
}

/** Pictures that every browser shows, and that the station lets it show (a drawing may carry a script). */
export const isShownType = (type: string): boolean => /^image\/(?:png|jpeg|gif|webp|avif)$/i.test(type);

/** The text of a mail: all its text parts. A part that is HTML only has its marks taken off. */
export function textOf(email: Email): string {
	return email.textBody
		.map((part) => {
			const value = email.bodyValues[part.partId ?? '']?.value ?? '';
			return part.type === 'text/html' ? htmlToText(value) : value;
		})
		.filter(Boolean)
		.join('\n');
}

export function htmlOf(email: Email): string | null {
	if (!email.htmlBody.some((part) => part.type === 'text/html')) return null;
	return email.htmlBody
		.map((part) => {
			const value = email.bodyValues[part.partId ?? '']?.value ?? '';
			if (part.type === 'text/html') return value;
			if (isShownType(part.type) && part.cid) return `<p><img src="cid:${escapeHtml(part.cid)}" alt=""></p>`;
			return value && `<pre>${escapeHtml(value)}</pre>`;
		})
		.join('\n');
}

export function escapeHtml(text: string): string {
	return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

const blocks = new Set(['P', 'DIV', 'BR', 'LI', 'TR', 'H1', 'H2', 'H3', 'H4', 'H5', 'H6', 'BLOCKQUOTE', 'PRE', 'UL', 'OL', 'TABLE', 'HR']);

/** Parsed in a document that runs and fetches nothing. Without recursion: mails nest as deep as they like. */
export function htmlToText(html: string): string {
	const { body } = new DOMParser().parseFromString(html, 'text/html');
	for (const silent of body.querySelectorAll('script,style,template,head,title')) silent.remove();
	const walk = document.createTreeWalker(body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
	let text = '';
	while (walk.nextNode()) {
		const node = walk.currentNode;
		if (node.nodeType === Node.TEXT_NODE) {
			const quoted = '> '.repeat(depthOf(node, body));
			const words = (node.textContent ?? '').replace(/\s+/g, ' ');
			if (words.trim()) text += (text === '' || text.endsWith('\n') ? quoted + words.trimStart() : words);
		} else if (node.nodeName === 'BR' || (blocks.has(node.nodeName) && text !== '' && !text.endsWith('\n'))) text += '\n';
	}
	return text.replace(/[ \t]+\n/g, '\n').replace(/\n{3,}/g, '\n\n').trim();
}

function depthOf(node: Node, top: Node): number {
	let depth = 0;
	for (let up = node.parentNode; up && up !== top; up = up.parentNode) if (up.nodeName === 'BLOCKQUOTE') depth++;
	return depth;
}

function dataUrl(blob: Blob): Promise<string> {
	return new Promise((resolve, reject) => {
		const reader = new FileReader();
		reader.onload = () => resolve(reader.result as string);
		reader.onerror = () => reject(reader.error as Error);
		reader.readAsDataURL(blob);
	});
}

/** The pictures that the HTML of a mail names by cid: (RFC 2392), as data: URLs, since the frame they stand in may fetch nothing. */
export async function inlineImages(email: Email, html: string): Promise<{ images: Map<string, string>; leftOut: boolean }> {
	const images = new Map<string, string>();
	let room = imagesMax;
	let leftOut = false;
	if (!/cid:/i.test(html)) return { images, leftOut };
	for (const part of [...email.attachments, ...email.htmlBody]) {
		if (!part.cid || !part.blobId || !isShownType(part.type) || images.has(part.cid)) continue;
		if (part.size > room) {
			leftOut = true;
			continue;
		}
		room -= part.size;
		images.set(part.cid, await dataUrl(await download(part.blobId, part.type)));
	}
	return { images, leftOut };
}

/** What is listed below the mail: not the pictures that stand in it. */
export function listed(email: Email, html: string | null): Part[] {
	return email.attachments.filter((part) => !(html && part.cid && isShownType(part.type) && html.includes(`cid:${part.cid}`)));
}

export const isShownImage = (part: Part): boolean => isShownType(part.type) && part.size <= imagesMax;
