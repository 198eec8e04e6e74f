// SPDX-License-Identifier: Apache-2.0
// Moments and sizes, in the words of the reader's language.

/** Short, for the list: the hour today, the day this year, else the date. */
export function brief(iso: string, language: string, now = new Date()): string {
	const date = new Date(iso);
	if (date.toDateString() === now.toDateString()) return date.toLocaleTimeString(language, { hour: '2-digit', minute: '2-digit' });
	if (date.getFullYear() === now.getFullYear()) return date.toLocaleDateString(language, { month: 'short', day: 'numeric' });
	return date.toLocaleDateString(language, { year: 'numeric', month: '2-digit', day: '2-digit' });
}

export function full(iso: string, language: string): string {
	return new Date(iso).toLocaleString(language, { dateStyle: 'full', timeStyle: 'short' });
}

export function size(octets: number): string {
	if (octets < 1000) return `${octets} B`;
	const units = ['kB', 'MB', 'GB'];
	const power = Math.min(Math.floor(Math.log10(octets) / 3), units.length);
	const value = octets / 1000 ** power;
	return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[power - 1]}`;
}

/** What <input type="datetime-local"> speaks: the time here, to the minute. */
export function local(date: Date): string {
	const two = (n: number) => String(n).padStart(2, '0');
	return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** Moments to send later that people mean: tomorrow at eight, next Monday at eight. */
export function morning(daysFrom: Date, which: 'tomorrow' | 'monday'): Date {
	const days = which === 'tomorrow' ? 1 : (8 - daysFrom.getDay()) % 7 || 7;
	return new Date(daysFrom.getFullYear(), daysFrom.getMonth(), daysFrom.getDate() + days, 8);
}

/** UTCDate of RFC 8620 §1.4 */
export function utc(date: Date): string {
	return date.toISOString().replace(/\.\d+Z$/, 'Z');
}
