// SPDX-License-Identifier: Apache-2.0
// The editor of formatted text: Squire, with what is put into it made harmless first.

import DOMPurify from 'dompurify';
import { useEffect, useRef } from 'preact/hooks';
import Squire from 'squire-rte';
import { prompt } from '../dialog';
import { t } from '../i18n';
import { Icon, type IconName } from '../icons';
import type { Draft } from './draft';
import type { Splice } from './signature';

/** Quoted mails come in here: no script, no style sheet, no form; pictures only from this station, by the policy of the page. */
function harmless(html: string, draft: Draft): DocumentFragment {
	const fragment = DOMPurify.sanitize(html, {
		USE_PROFILES: { html: true },
		RETURN_DOM_FRAGMENT: true,
		FORBID_TAGS: ['style', 'form', 'input', 'button', 'select', 'textarea', 'audio', 'video', 'dialog'],
		FORBID_ATTR: ['id', 'class', 'contenteditable'],
		ALLOW_DATA_ATTR: false,
	});
	for (const image of fragment.querySelectorAll('img:not([alt])')) image.setAttribute('alt', '');
	for (const image of fragment.querySelectorAll('img[src^="cid:"]')) {
		const cid = image.getAttribute('src')!.slice('cid:'.length);
		const part = draft.attachments.value.find((a) => a.cid === cid && a.blobId);
		if (part) image.setAttribute('src', draft.imageUrl(part));
		else image.remove();
	}
	return fragment;
}

interface Tool {
	icon: IconName | string;
	name: string;
	act: (e: Squire) => void;
}

function tools(): Tool[] {
	const onOff = (tag: string, on: (e: Squire) => void, off: (e: Squire) => void) => (e: Squire) => (e.hasFormat(tag) ? off(e) : on(e));
	return [
		{ icon: 'B', name: t().bold, act: onOff('B', (e) => e.bold(), (e) => e.removeBold()) },
		{ icon: 'I', name: t().italic, act: onOff('I', (e) => e.italic(), (e) => e.removeItalic()) },
		{ icon: 'U', name: t().underline, act: onOff('U', (e) => e.underline(), (e) => e.removeUnderline()) },
		{ icon: 'bullets', name: t().bullets, act: onOff('UL', (e) => e.makeUnorderedList(), (e) => e.removeList()) },
		{ icon: 'numbers', name: t().numbers, act: onOff('OL', (e) => e.makeOrderedList(), (e) => e.removeList()) },
		{ icon: 'quote', name: t().quoteMark, act: onOff('BLOCKQUOTE', (e) => e.increaseQuoteLevel(), (e) => e.decreaseQuoteLevel()) },
		{ icon: 'link', name: t().link, act: onOff('A', (e) => void askLink(e), (e) => e.removeLink()) },
		{ icon: 'clear', name: t().clearFormat, act: (e) => e.removeAllFormatting() },
	];
}

async function askLink(editor: Squire): Promise<void> {
	const line = (await prompt(t().link, t().linkAddress))?.trim();
	editor.focus();
	if (line) editor.makeLink(/^(?:https?:|mailto:)/i.test(line) ? line : `https://${line}`);
}

function ToolButton({ tool, act }: { tool: Tool; act: () => void }) {
	return (
		<button type="button" class="icon" aria-label={tool.name} title={tool.name} onMouseDown={(e) => e.preventDefault()} onClick={act}>
			{tool.icon.length === 1 ? <span class={`letter letter-${tool.icon}`}>{tool.icon}</span> : <Icon name={tool.icon as IconName} />}
		</button>
	);
}

export interface EditorHandle {
	insertImage: (src: string, name: string) => void;
	/** The lines of the text; null: a list, a quote or whatever else is no line. */
	lines: () => (string | null)[];
	splice: (change: Splice) => void;
}

/** Squire has a DIV for each line. */
const lineOf = (block: Element): string | null => (block.nodeName === 'DIV' ? (block.textContent ?? '').replace(/\u200b/g, '') : null);

function block(line: string): HTMLElement {
	const div = document.createElement('div');
	div.append(line || document.createElement('br'));
	return div;
}

function splice(root: HTMLElement, { at, gone, lines }: Splice): void {
	const old = [...root.children].slice(at, at + gone);
	const next = root.children[at + gone] ?? null;
	for (const child of old) child.remove();
	for (const line of lines) root.insertBefore(block(line), next);
}

export function Editor({ draft, handle }: { draft: Draft; handle: (h: EditorHandle | null) => void }) {
	const root = useRef<HTMLDivElement>(null);
	const editor = useRef<Squire | null>(null);
	const picture = useRef<HTMLInputElement>(null);

	useEffect(() => {
		const squire = new Squire(root.current!, { blockTag: 'DIV', sanitizeToDOMFragment: (html) => harmless(html, draft) });
		editor.current = squire;
		squire.setHTML(draft.html.value);
		squire.moveCursorToStart();
		draft.html.value = squire.getHTML();
		squire.addEventListener('input', () => {
			const html = squire.getHTML();
			if (html === draft.html.value) return; // it also tells of what nobody has typed
			draft.html.value = html;
			draft.changed();
		});
		handle({
			insertImage: (src, name) => void squire.insertImage(src, { alt: name }),
			lines: () => [...root.current!.children].map(lineOf),
			splice(change) {
				squire.saveUndoState();
				squire.modifyDocument(() => splice(root.current!, change));
				draft.html.value = squire.getHTML();
			},
		});
		return () => {
			handle(null);
			squire.destroy();
		};
	}, []);

	return (
		<>
			<div class="tools" role="toolbar" aria-label={t().formatting}>
				{tools().map((tool) => (
					<ToolButton key={tool.icon} tool={tool} act={() => editor.current && tool.act(editor.current)} />
				))}
				<ToolButton tool={{ icon: 'image', name: t().insertImage, act: () => undefined }} act={() => picture.current?.click()} />
				<input
					ref={picture}
					type="file"
					accept="image/*"
					hidden
					onChange={async (e) => {
						const file = e.currentTarget.files?.[0];
						e.currentTarget.value = '';
						const part = file && (await draft.attach(file, true));
						if (part?.cid) editor.current?.insertImage(draft.imageUrl(part), { alt: part.name });
					}}
				/>
			</div>
			<div ref={root} class="writing rich" role="textbox" aria-multiline="true" aria-label={t().message} tabIndex={0} />
		</>
	);
}
