// SPDX-License-Identifier: Apache-2.0
// HTML of a mail, made harmless. Three walls, each enough by itself:
//
//	1. DOMPurify: no script, no handler, no form, no foreign namespace.
//	2. What is left is gone through here: nothing remote but what was allowed, links that say where they lead.
//	3. The server gives it back under a URL of its own with a Content-Security-Policy that forbids script, forms, fonts and every connection, in a sandbox
//	   without origin. Even HTML that fooled 1 and 2 runs nothing, fetches nothing and reaches nothing there.
//
// So what 2 misses (an escape within CSS, say) is not fetched; it is only not counted as blocked.

import DOMPurify, { type Config } from 'dompurify';
import { t } from './i18n';
import { disguised, hostOf } from './links';
import { ask } from './session';

export interface Made {
	html: string;
	hasRemote: boolean; // something was to be fetched from elsewhere
}

const config: Config & { RETURN_DOM: true } = {
	USE_PROFILES: { html: true },
	WHOLE_DOCUMENT: true,
	RETURN_DOM: true,
	FORBID_TAGS: ['form', 'input', 'button', 'select', 'option', 'optgroup', 'textarea', 'datalist', 'dialog', 'audio', 'video', 'source', 'track', 'base', 'link', 'meta', 'template'],
	FORBID_ATTR: ['action', 'formaction', 'ping', 'autofocus', 'popover', 'popovertarget', 'contenteditable', 'tabindex', 'accesskey', 'is', 'slot'],
	ALLOW_DATA_ATTR: false,
	ALLOW_ARIA_ATTR: true,
	ADD_ATTR: ['background'],
};

/** Attributes that fetch. */
const fetching = ['src', 'srcset', 'background', 'poster', 'lowsrc', 'dynsrc'];

const base = `html{background:#fff;color:#1d1d1b;color-scheme:light}body{margin:12px;font:15px/1.5 system-ui,sans-serif;overflow-wrap:break-word}
img{max-width:100%;height:auto}pre{white-space:pre-wrap}blockquote{margin-inline:0;padding-inline-start:12px;border-inline-start:3px solid #ccc}
.posthouse-host{font:600 12px system-ui,sans-serif;color:#8a1f11;background:#fff3e0;padding:0 4px;border-radius:3px}`;

export function makeHarmless(html: string, images: ReadonlyMap<string, string>, remote: boolean): Made {
	const root = DOMPurify.sanitize(html, config) as HTMLElement; // WHOLE_DOCUMENT: <html>
	const found = { hasRemote: false };
	for (const element of root.querySelectorAll('*')) {
		cleanSources(element, images, remote, found);
		cleanStyle(element, remote, found);
		if (element.matches('a[href],area[href]')) cleanLink(element);
		else element.removeAttribute('href');
	}
	const style = `<style>${base}</style>`;
	return { html: `<!doctype html><html><head><meta charset="utf-8">${style}</head>${inner(root)}</html>`, hasRemote: found.hasRemote };
}

/** Style elements may stand in the head of a mail: they come along, in front of the body. */
function inner(root: HTMLElement): string {
	const styles = [...root.querySelectorAll('head style')].map((s) => s.outerHTML).join('');
	const body = root.querySelector('body');
	body?.insertAdjacentHTML('afterbegin', styles);
	return body?.outerHTML ?? '';
}

function cleanSources(element: Element, images: ReadonlyMap<string, string>, remote: boolean, found: { hasRemote: boolean }): void {
	for (const name of fetching) {
		const value = element.getAttribute(name)?.trim();
		if (value === undefined) continue;
		const cid = /^cid:(.*)$/is.exec(value)?.[1];
		if (cid !== undefined) {
			const image = images.get(unescaped(cid));
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

function unescaped(cid: string): string {
	try {
		return decodeURIComponent(cid);
	} catch {
		return cid;
	}
}

function cleanStyle(element: Element, remote: boolean, found: { hasRemote: boolean }): void {
	const inElement = element.localName === 'style' ? element.textContent : null;
	if (inElement) element.textContent = cleanCss(inElement, remote, found);
	const own = element.getAttribute('style');
	if (own) element.setAttribute('style', cleanCss(own, remote, found));
}

export function cleanCss(css: string, remote: boolean, found: { hasRemote: boolean }): string {
	const withoutImports = css.replace(/@import[^;]*;?/gi, () => {
		found.hasRemote = true;
		return '';
	});
	return withoutImports.replace(/url\(\s*(["']?)(.*?)\1\s*\)/gis, (whole, _quote, url: string) => {
		if (/^\s*data:image\//i.test(url)) return whole;
		found.hasRemote = true;
		return remote && /^\s*https?:/i.test(url) ? whole : 'none';
	});
}

/** A link opens in a tab of its own, knows nothing of us, and says where it leads; loudly, where its text claims another place. */
function cleanLink(link: Element): void {
	const href = link.getAttribute('href')!.trim();
	if (href.startsWith('#')) return;
	const host = hostOf(href);
	link.setAttribute('rel', 'noopener noreferrer');
	link.setAttribute('target', '_blank');
	if (host !== null) link.setAttribute('title', t().leadsTo(host));
	else if (/^mailto:/i.test(href)) link.setAttribute('href', `${location.origin}/#/compose/${encodeURIComponent(href)}`);
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
