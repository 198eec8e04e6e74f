// SPDX-License-Identifier: Apache-2.0
// Icons: strokes on a square of 24, in the colour of the text. Decoration only: who has one says by words what it means.

const paths = {
	archive: 'M4 8v11h16V8M3 4h18v4H3zM10 12h4',
	attach: 'M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.3 3.3 0 0 1 4.7 4.7l-8.5 8.5a1.7 1.7 0 0 1-2.4-2.4L14.5 7',
	back: 'M19 12H5M11 6l-6 6 6 6',
	bullets: 'M9 6h11M9 12h11M9 18h11M4.5 6h.01M4.5 12h.01M4.5 18h.01',
	chevron: 'M6 9l6 6 6-6',
	clear: 'M5 5h13M11 5l-3 14M14 14l6 6M20 14l-6 6',
	close: 'M6 6l12 12M18 6L6 18',
	compose: 'M4 20h4L19.5 8.5l-4-4L4 16zM13 7l4 4',
	flag: 'M12 3.5l2.6 5.5 6 .8-4.4 4.2 1.1 6L12 17l-5.3 3 1.1-6-4.4-4.2 6-.8z',
	folder: 'M3 6h6l2 2h10v11H3z',
	forward: 'M14 6l6 6-6 6M20 12h-9a7 7 0 0 0-7 7',
	image: 'M4 5h16v14H4zM4 16l5-5 4 4 3-2 4 3M15.5 9h.01',
	inbox: 'M3 13l3-8h12l3 8v6H3zM3 13h5l1.5 3h5L16 13h5',
	junk: 'M8 3h8l5 5v8l-5 5H8l-5-5V8zM12 8v5M12 16.5h.01',
	link: 'M10 14a4 4 0 0 0 5.7 0l3.5-3.5a4 4 0 0 0-5.7-5.7L12 6.3M14 10a4 4 0 0 0-5.7 0l-3.5 3.5a4 4 0 0 0 5.7 5.7l1.5-1.5',
	mail: 'M3 6h18v13H3zM3 7l9 7 9-7',
	menu: 'M4 6h16M4 12h16M4 18h16',
	more: 'M5 12h.01M12 12h.01M19 12h.01',
	move: 'M3 6h6l2 2h10v11H3zM9 13.5h6M12.5 11l2.5 2.5-2.5 2.5',
	numbers: 'M10 6h10M10 12h10M10 18h10M4 4.5l1.5-.8V9M4 14.5c1.5-1.5 3 0 1.8 1.2L4 18.5h3',
	print: 'M7 9V4h10v5M7 17H4V9h16v8h-3M7 14h10v6H7z',
	quote: 'M5 5v14M10 8h10M10 12h10M10 16h6',
	read: 'M3 9l9-6 9 6v11H3zM3 9.5l9 6 9-6',
	refresh: 'M20 11a8 8 0 1 0-2 6M20 5v6h-6',
	reply: 'M10 6l-6 6 6 6M4 12h9a7 7 0 0 1 7 7',
	replyAll: 'M8 6l-6 6 6 6M13 6l-6 6 6 6M7 12h7a7 7 0 0 1 7 7',
	search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M15.5 15.5L21 21',
	send: 'M4 4l17 8-17 8 3-8zM7 12h14',
	settings: 'M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4',
	trash: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v6M14 11v6',
};

export type IconName = keyof typeof paths;

export function Icon({ name, filled = false }: { name: IconName; filled?: boolean }) {
	return (
		<svg class="glyph" viewBox="0 0 24 24" aria-hidden="true" fill={filled ? 'currentColor' : 'none'}>
			<path d={paths[name]} />
		</svg>
	);
}
