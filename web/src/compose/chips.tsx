// SPDX-License-Identifier: Apache-2.0
// A line of recipients: each that is written becomes a chip; while one is typed, those one wrote to before are offered (a combobox as ARIA has it).

import { useSignal, type Signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { format, isAddress, parse, shortName, unique } from '../address';
import { t } from '../i18n';
import { Icon } from '../icons';
import { call } from '../jmap';
import type { Address } from '../types';

const pause_ms = 120;

interface Props {
	label: string;
	list: Signal<Address[]>;
	changed: () => void;
	autofocus?: boolean;
	/** Why the mail cannot go like this; each is a new object, so that the line has the focus each time. */
	fault?: { text: string } | undefined;
	/** What stands at the end of the line. */
	children?: ComponentChildren;
}

export function Chips({ label, list, changed, autofocus, fault, children }: Props) {
	const id = useId();
	const input = useRef<HTMLInputElement>(null);
	const offers = useSignal<Address[]>([]);
	const at = useSignal(-1);
	const timer = useRef<number>();

	useEffect(() => {
		if (autofocus) input.current?.focus();
		return () => window.clearTimeout(timer.current);
	}, []);

	useEffect(() => {
		if (fault) input.current?.focus();
	}, [fault]);

	function put(more: Address[]): void {
		offers.value = [];
		window.clearTimeout(timer.current);
		if (input.current) input.current.value = '';
		if (!more.length) return;
		list.value = unique([...list.value, ...more]);
		changed();
	}
	function remove(a: Address): void {
		list.value = list.value.filter((other) => other !== a);
		changed();
		input.current?.focus();
	}
	const take = () => put(parse(input.current?.value ?? '')); // it loses the focus, too, when it goes away

	function suggest(): void {
		const text = input.current!.value.trim();
		window.clearTimeout(timer.current);
		if (/[,;，；]$/.test(text)) return take();
		if (!text) {
			offers.value = [];
			return;
		}
		timer.current = window.setTimeout(async () => {
			const { list: found } = await call('Contact/suggest', { text, limit: 6 }).answer.catch(() => ({ list: [] as Address[] }));
			if (input.current?.value.trim() !== text) return;
			offers.value = found.filter((a) => !list.value.some((b) => b.email === a.email));
			at.value = -1;
		}, pause_ms);
	}

	function onKey(e: KeyboardEvent): void {
		const n = offers.value.length;
		if ((e.key === 'ArrowDown' || e.key === 'ArrowUp') && n) {
			e.preventDefault();
			at.value = (at.value + (e.key === 'ArrowDown' ? 1 : n) + (at.value < 0 && e.key === 'ArrowUp' ? 1 : 0)) % n;
		} else if ((e.key === 'Enter' || e.key === 'Tab') && offers.value[at.value]) {
			e.preventDefault();
			put([offers.value[at.value]!]);
		} else if (e.key === 'Enter' && !e.ctrlKey && !e.metaKey) {
			e.preventDefault();
			take();
		} else if (e.key === 'Escape' && n) {
			e.stopPropagation();
			offers.value = [];
		} else if (e.key === 'Backspace' && !input.current!.value && list.value.length) remove(list.value.at(-1)!);
	}

	const isOpen = offers.value.length > 0;
	return (
		<div class="chips-line">
			<label for={id}>{label}</label>
			<div class="chips" onClick={(e) => e.target === e.currentTarget && input.current?.focus()}>
				{list.value.map((a) => (
					<span key={a.email} class={isAddress(a.email) ? 'chip' : 'chip is-wrong'} title={format(a)}>
						{a.name ? shortName(a) : a.email}
						<button type="button" aria-label={t().removeOne(format(a))} onClick={() => remove(a)}>
							<Icon name="close" />
						</button>
					</span>
				))}
				<input
					ref={input}
					id={id}
					role="combobox"
					aria-autocomplete="list"
					aria-expanded={isOpen}
					aria-invalid={fault !== undefined}
					aria-describedby={fault ? `${id}-fault` : undefined}
					aria-controls={`${id}-offers`}
					aria-activedescendant={isOpen && at.value >= 0 ? `${id}-${at.value}` : undefined}
					autocomplete="off"
					autocapitalize="none"
					spellcheck={false}
					onInput={suggest}
					onKeyDown={onKey}
					onBlur={take}
				/>
				<ul id={`${id}-offers`} role="listbox" aria-label={t().suggestions} class="offers" hidden={!isOpen}>
					{offers.value.map((a, n) => (
						<li key={a.email} id={`${id}-${n}`} role="option" aria-selected={n === at.value} onMouseDown={(e) => e.preventDefault()} onClick={() => put([a])}>
							{a.name} <span class="person-email">{a.email}</span>
						</li>
					))}
				</ul>
			</div>
			{children}
			{fault && (
				<p id={`${id}-fault`} class="error">
					{fault.text}
				</p>
			)}
		</div>
	);
}
