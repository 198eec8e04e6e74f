// SPDX-License-Identifier: Apache-2.0
// The CSS of a mail, with nothing to fetch. Two laws keep it CSS when it is written into HTML again, whatever a sanitizer thought of it before:
//
//	1. What is cut leaves a blank or a word, so that what stood around it never joins: "<@import x;/style>" must not become the end of its element.
//	2. No "<" comes out. Within CSS it has a meaning in strings and addresses alone (and there "\3c " is the same), and between two numbers of a media query.

/** `found.hasRemote` is set where something was to be fetched. With `remote`, pictures of the web stay; style sheets never do. */
export function cleanCss(css: string, remote: boolean, found: { hasRemote: boolean }): string {
	const withoutImports = css.replace(/@import[^;]*;?/gi, () => {
		found.hasRemote = true;
		return ' ';
	});
	const withoutUrls = withoutImports.replace(/url\(\s*(["']?)(.*?)\1\s*\)/gis, (whole, _quote, url: string) => {
		if (/^\s*data:image\//i.test(url)) return whole;
		found.hasRemote = true;
		return remote && /^\s*https?:/i.test(url) ? whole : ' none ';
	});
	return withoutUrls.replaceAll('<', '\\3c ');
}
