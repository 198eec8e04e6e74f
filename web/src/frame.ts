// SPDX-License-Identifier: Apache-2.0
// HTML of a mail, made harmless. Three walls, and what each does:
//
//	1. DOMPurify: no script, no handler, no form, no foreign namespace, and no element that fetches or leads elsewhere by itself but pictures.
//	2. What is left is gone through here: nothing remote but what was allowed, links that say where they lead. Whatever is changed here is written, read again
//	   and goes through 1 and 2 once more until nothing changes; the last to touch it is DOMPurify. So no change of ours can make an element out of a text.
//	3. The server gives it back under a URL of its own with a Content-Security-Policy that forbids script, forms, fonts, frames and every fetch but the pictures
//	   that were allowed, in a sandbox without origin.
//
// Behind 3 alone nothing runs, posts or reads. But it is no wall against being followed: Chromium connects to the host of an iframe before its policy refuses
// it, and nothing of 3 says where a link leads. For these two, 1 and 2 must hold. What 2 misses of a style (an escape within CSS, say) is not fetched, by 3; it
// is only not counted as blocked.

import DOMPurify, { type Config } from 'dompurify';
import { cleanCss } from './css';
import { t } from './i18n';
import { decode, disguised, hostOf } from './links';
import { ask } from './session';

export interface Made {
	html: string;
	hasRemote: boolean; // something was to be fetched from elsewhere
}

const config = {
	USE_PROFILES: { html: true },
	WHOLE_DOCUMENT: true,
	RETURN_DOM: true,
	FORBID_TAGS: ['form', 'input', 'button', 'select', 'option', 'optgroup', 'textarea', 'datalist', 'dialog', 'audio', 'video', 'source', 'track', 'base', 'link', 'meta', 'template'],
	FORBID_ATTR: ['action', 'formaction', 'ping', 'autofocus', 'popover', 'popovertarget', 'contenteditable', 'tabindex', 'accesskey', 'is', 'slot'],
	ALLOW_DATA_ATTR: false,
	ALLOW_ARIA_ATTR: true,
	ADD_ATTR: ['background'],
} satisfies Config & { RETURN_DOM: true };

/** The last time, links open in a tab of their own: that is ours by then. */
const lastConfig = { ...config, ADD_ATTR: ['background', 'target'] };

/** Attributes that fetch. */
const fetching = ['src', 'srcset', 'background', 'poster', 'lowsrc', 'dynsrc'];

const base = `html{background:#fff;color:#1d1d1b;color-scheme:light}body{margin:12px;font:15px/1.5 system-ui,sans-serif;overflow-wrap:break-word}
img{max-width:100%;height:auto}pre{white-space:pre-wrap}blockquote{margin-inline:0;padding-inline-start:12px;border-inline-start:3px solid #ccc}
.posthouse-host{font:600 12px system-ui,sans-serif;color:#8a1f11;background:#fff3e0;padding:0 4px;border-radius:3px}`;

const roundsMax = 4; // two for nearly every mail

/** `heads`, HTML of ours, stand on top where a mail is printed; then the mail stands in a box that it cannot leave, and without its style sheets. */
export function makeHarmless(html: string, images: ReadonlyMap<string, string>, remote: boolean, heads = ''): Made {
	const found = { hasRemote: false };
	let made = html;
	for (let round = 0; round < roundsMax; round++) {
		const before = made;
		made = cleaned(made, images, remote, found);
		if (made === before) break;
	}
	const body = bodyOf(DOMPurify.sanitize(`<!doctype html>${made}`, lastConfig) as HTMLElement);
	return { html: `<!doctype html><html><head><meta charset="utf-8"><style>${base}</style></head>${heads ? boxed(body, heads) : body.outerHTML}</html>`, hasRemote: found.hasRemote };
}

/** The body after one round. Cleaning what is clean changes nothing. */
function cleaned(html: string, images: ReadonlyMap<string, string>, remote: boolean, found: { hasRemote: boolean }): string {
	const root = DOMPurify.sanitize(`<!doctype html>${html}`, config) as HTMLElement; // WHOLE_DOCUMENT: <html>
	for (const note of root.querySelectorAll('.posthouse-host')) note.remove(); // of the round before; or forged
	for (const element of root.querySelectorAll('*')) {
		cleanSources(element, images, remote, found);
		cleanStyle(element, remote, found);
		if (element.matches('a[href],area[href]')) cleanLink(element);
		else element.removeAttribute('href');
	}
	return bodyOf(root).outerHTML;
}

/** Style elements may stand in the head of a mail: they come along, in front of the body. */
function bodyOf(root: HTMLElement): HTMLElement {
	const body = root.querySelector('body') ?? root.ownerDocument.createElement('body'); // a mail of framesets has none
	body.prepend(...root.querySelectorAll('head style'));
	return body;
}

/** What stands in a box with paint and layout of its own covers nothing outside, however it is placed. */
function boxed(body: HTMLElement, heads: string): string {
	for (const style of body.querySelectorAll('style')) style.remove();
	return `<body>${heads}<div style="contain:layout paint">${body.innerHTML}</div></body>`;
}

function cleanSources(element: Element, images: ReadonlyMap<string, string>, remote: boolean, found: { hasRemote: boolean }): void {
	for (const name of fetching) {
		const value = element.getAttribute(name)?.trim();
		if (value === undefined) continue;
		const cid = /^cid:(.*)$/is.exec(value)?.[1];
		if (cid !== undefined) {
			const image = images.get(decode(cid));
			if (image) element.setAttribute(name, image);
			else element.removeAttribute(name);
		} else if (!/^data:image\//i.test(value)) {
			const isWeb = /^(?:https?:)?\/\//i.test(value) || name === 'srcset';
			found.hasRemote ||= isWeb;
			if (!remote || !isWeb) element.removeAttribute(name);
			else if (value.startsWith('//')) element.setAttribute(name, `https:${value}`);
		}
	}
}

function cleanStyle(element: Element, remote: boolean, found: { hasRemote: boolean }): void {
	const inElement = element.localName === 'style' ? element.textContent : null;
	if (inElement) element.textContent = cleanCss(inElement, remote, found);
	const own = element.getAttribute('style');
	if (own) element.setAttribute('style', cleanCss(own, remote, found));
}

const composing = () => `${location.origin}/#/compose/`;

/** A link opens in a tab of its own, knows nothing of us, and says where it leads; loudly, where its text claims another place. */
function cleanLink(link: Element): void {
	const href = link.getAttribute('href')!.trim();
	if (href.startsWith('#')) return;
	const host = hostOf(href);
	link.setAttribute('rel', 'noopener noreferrer');
	link.setAttribute('target', '_blank');
	if (href.startsWith(composing())) return; // a mailto: of the round before
	if (host !== null) link.setAttribute('title', t().leadsTo(host));
	else if (/^mailto:/i.test(href)) link.setAttribute('href', composing() + encodeURIComponent(href));
	else if (!/^tel:/i.test(href)) link.removeAttribute('href');

	const real = disguised(link.textContent ?? '', href);
	if (real === null) return;
	const note = link.ownerDocument.createElement('span');
	note.className = 'posthouse-host';
	note.textContent = t().leadsTo(real);
	link.after(' ', note);
}

/** Hands it to the server and gets the URL of the frame, which is good for a minute. */
export async function frameUrl(html: string, remote: boolean): Promise<string> {
	const response = await ask(`/frame?remote=${remote ? 1 : 0}`, { method: 'POST', headers: { 'Content-Type': 'text/html' }, body: html });
	return ((await response.json()) as { url: string }).url;
}
