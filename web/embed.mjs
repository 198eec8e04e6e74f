// SPDX-License-Identifier: Apache-2.0
// Files as C: the table `page_files` of src/role/web/page.h, octets as gzip made them.

import { createHash } from 'node:crypto';

const row = 32;

function octets(file, index) {
	const lines = [];
	for (let at = 0; at < file.gzip.length; at += row) lines.push('\t' + [...file.gzip.subarray(at, at + row)].join(', ') + ',');
	return `static const unsigned char file_${index}[] = {\n${lines.join('\n')}\n};\n`;
}

function entry(file, index) {
	const etag = createHash('sha256').update(file.gzip).digest('base64url').slice(0, 22);
	const fields = [file.path, file.type, `"${etag}"`].map((text) => JSON.stringify(text));
	return `\t{ ${fields.join(', ')}, file_${index}, sizeof(file_${index}), true },`;
}

export function embed(files) {
	return `/* SPDX-License-Identifier: Apache-2.0 */
/* Made by web/build.mjs from web/src: not to be changed by hand. */
#include <stdbool.h>
#include <stddef.h>

#include "role/web/page.h"

${files.map(octets).join('\n')}
const struct page_file page_files[] = {
${files.map(entry).join('\n')}
};
const size_t page_files_n = sizeof(page_files) / sizeof(page_files[0]);
`;
}
