// SPDX-License-Identifier: Apache-2.0
// From a mail to the URL of its frame. The sanitizer comes with the first HTML mail, not with the page.

import { inlineImages } from './letter';
import type { Email } from './types';

export async function frameUrl(email: Email, html: string, remote: boolean, heads?: string): Promise<{ url: string; hasRemote: boolean; leftOut: boolean }> {
	const [frame, { images, leftOut }] = await Promise.all([import('./frame'), inlineImages(email, html)]);
	const made = frame.makeHarmless(html, images, remote, heads);
	return { url: await frame.frameUrl(made.html, remote), hasRemote: made.hasRemote, leftOut };
}
