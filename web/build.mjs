// SPDX-License-Identifier: Apache-2.0
// node build.mjs OUTDIR: the page, bundled into OUTDIR/page, and OUTDIR/pages.c, the same as C for the executable of `web`.
//
// Names of assets carry a hash of what is in them, so they may be kept for ever; "/" alone is asked for anew. What only some need is a chunk of its own:
// the composer with its editor, what makes HTML mail harmless, the Chinese catalogue. All together must stay within the budget, or there is no page.

import { build } from 'esbuild';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { embed } from './embed.mjs';

const budget = 120_000; // octets, gzip -9, everything that the page can ever load
const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, 'dist'));
const page = join(out, 'page');

const types = {
	html: 'text/html; charset=utf-8',
	js: 'text/javascript; charset=utf-8',
	css: 'text/css; charset=utf-8',
	svg: 'image/svg+xml',
	txt: 'text/plain; charset=utf-8',
};

async function bundle() {
	const result = await build({
		absWorkingDir: here,
		entryPoints: ['src/main.tsx', 'src/style.css', 'src/icon.svg'],
		outdir: page,
		entryNames: 'assets/[name]-[hash]',
		chunkNames: 'assets/[name]-[hash]',
		assetNames: 'assets/[name]-[hash]',
		loader: { '.svg': 'copy' },
		bundle: true,
		splitting: true,
		format: 'esm',
		target: ['es2022'],
		jsx: 'automatic',
		jsxImportSource: 'preact',
		minify: true,
		legalComments: 'none', // they are in licences.txt
		metafile: true,
		logLevel: 'warning',
	});
	const names = {};
	for (const [file, of] of Object.entries(result.metafile.outputs))
		if (of.entryPoint) names[of.entryPoint] = '/assets/' + file.split('/').pop();
	return names;
}

async function licences() {
	const texts = [];
	for (const name of ['preact', '@preact/signals', '@preact/signals-core', 'dompurify', 'squire-rte']) {
		const folder = join(here, 'node_modules', name);
		const file = (await readdir(folder)).find((f) => /^licen[cs]e/i.test(f));
		if (file) texts.push(`${name}\n\n${await readFile(join(folder, file), 'utf8')}`);
	}
	return texts.join('\n\n');
}

async function files() {
	const found = [];
	for (const name of (await readdir(join(page, 'assets'))).sort()) found.push(`assets/${name}`);
	const all = [];
	for (const name of ['index.html', ...found]) {
		const octets = await readFile(join(page, name));
		all.push({ path: name === 'index.html' ? '/' : `/${name}`, type: types[name.split('.').pop()], gzip: gzipSync(octets, { level: 9 }) });
	}
	return all;
}

await rm(page, { recursive: true, force: true });
await mkdir(join(page, 'assets'), { recursive: true });
const names = await bundle();
const html = (await readFile(join(here, 'src/index.html'), 'utf8')).replace(/\{\{(.*?)\}\}/g, (_, entry) => names[entry]);
await writeFile(join(page, 'index.html'), html);
await writeFile(join(page, 'assets/licences.txt'), await licences());

const all = await files();
const size = all.reduce((sum, file) => sum + file.gzip.length, 0);
if (size > budget) {
	for (const file of all) console.error(`${String(file.gzip.length).padStart(8)}  ${file.path}`);
	console.error(`the page has ${size} octets (gzip), more than its budget of ${budget}`);
	process.exit(1);
}
await writeFile(join(out, 'pages.c'), embed(all));
console.log(`page: ${all.length} files, ${size} of ${budget} octets (gzip)`);
