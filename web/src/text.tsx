// SPDX-License-Identifier: Apache-2.0
// A plain text as it was written: lines kept, quotes by their depth, links to click. Made of nodes, never of HTML.

import { t } from './i18n';
import { hostOf, pieces } from './links';

interface Block {
	depth: number;
	lines: string[];
}

/** `> > text` and `>>text` are both of depth 2 (RFC 3676 §4.5). */
export function depthOf(line: string): { depth: number; text: string } {
	const marks = /^(?:> ?)*/.exec(line)![0];
	return { depth: marks.split('>').length - 1, text: line.slice(marks.length) };
}

function blocks(text: string): Block[] {
	const list: Block[] = [];
	for (const line of text.replace(/\r\n?/g, '\n').split('\n')) {
		const { depth, text: own } = depthOf(line);
		const last = list.at(-1);
		if (last?.depth === depth) last.lines.push(own);
		else list.push({ depth, lines: [own] });
	}
	return list;
}

export function Linked({ text }: { text: string }) {
	return (
		<>
			{pieces(text).map((piece, n) => {
				if (!piece.href) return piece.text;
				const host = hostOf(piece.href);
				const href = host === null ? `#/compose/${encodeURIComponent(piece.href)}` : piece.href;
				return (
					<a key={n} href={href} {...(host === null ? {} : { target: '_blank', rel: 'noopener noreferrer', title: t().leadsTo(host) })}>
						{piece.text}
					</a>
				);
			})}
		</>
	);
}

export function PlainText({ text }: { text: string }) {
	return (
		<div class="plain" role="document" tabIndex={0} aria-label={t().mailBody}>
			{blocks(text.trimEnd()).map((block, n) => (
				<div key={n} class={block.depth ? `quoted quoted-${((block.depth - 1) % 3) + 1}` : undefined} data-depth={block.depth || undefined}>
					<Linked text={block.lines.join('\n')} />
				</div>
			))}
		</div>
	);
}
