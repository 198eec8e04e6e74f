// SPDX-License-Identifier: Apache-2.0
// The composer: a window at the foot of the page, the whole of it on a phone. Closing it keeps the draft.

import { useSignal, type Signal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { isAddress } from '../address';
import { confirm, Dialog } from '../dialog';
import { t } from '../i18n';
import { Icon } from '../icons';
import { htmlToText } from '../letter';
import { speaksOfAttachment } from '../reply';
import { set, settings } from '../settings';
import { holdMost_s, identities, refresh } from '../store';
import { local, morning, size } from '../time';
import { tell } from '../toast';
import { IconButton } from '../toolbar';
import type { Address, Identity } from '../types';
import { Chips } from './chips';
import { Draft, type Attached, type Start } from './draft';
import { Editor, type EditorHandle } from './editor';
import { toHtml } from './open';
import { send } from './send';

/** What is wrong with a line of recipients. */
interface Fault {
	line: Signal<Address[]>;
	text: string;
}

function faultOf(draft: Draft): Fault | undefined {
	const lines = [draft.to, draft.cc, draft.bcc];
	if (lines.every((line) => line.value.length === 0)) return { line: draft.to, text: t().noRecipient };
	for (const line of lines) {
		const wrong = line.value.find((a) => !isAddress(a.email));
		if (wrong) return { line, text: t().badRecipient(wrong.email) };
	}
	return undefined;
}

/** What keeps a draft from being sent; the writer decides about the last two. */
async function isReady(draft: Draft): Promise<boolean> {
	if (draft.isUploading.value) {
		tell({ text: t().stillUploading });
		return false;
	}
	if (!draft.subject.value.trim() && !(await confirm(t().emptySubject, t().sendAnyway))) return false;
	if (draft.attachments.value.length || !speaksOfAttachment(`${draft.subject.value}\n${draft.plain()}`)) return true;
	return confirm(t().forgotAttachment, t().sendAnyway);
}

function AttachedItem({ part, draft }: { part: Attached; draft: Draft }) {
	return (
		<li class="chip">
			<span class="name">{part.name}</span> <span class="size">{size(part.size)}</span>
			{part.blobId === null && <progress aria-label={t().uploading(part.name)} value={part.share.value} max={1} />}
			<button type="button" aria-label={t().removeOne(part.name)} onClick={() => draft.detach(part)}>
				<Icon name="close" />
			</button>
		</li>
	);
}

function LaterDialog({ close, choose }: { close: () => void; choose: (at: Date) => void }) {
	const input = useRef<HTMLInputElement>(null);
	const now = new Date();
	return (
		<Dialog title={t().sendLater.replace('…', '')} onClose={close}>
			<div class="buttons">
				<button type="button" onClick={() => choose(morning(now, 'tomorrow'))}>
					{t().tomorrow}
				</button>
				<button type="button" onClick={() => choose(morning(now, 'monday'))}>
					{t().monday}
				</button>
			</div>
			<form
				onSubmit={(e) => {
					e.preventDefault();
					choose(new Date(input.current!.value));
				}}
			>
				<label class="field">
					{t().sendAt}
					<input ref={input} type="datetime-local" required min={local(now)} value={local(new Date(now.getTime() + 3600_000))} />
				</label>
				<div class="buttons">
					<button type="submit" class="primary">
						{t().schedule}
					</button>
				</div>
			</form>
		</Dialog>
	);
}

/** The signature of the one before goes with it, where it stands as it came. */
function writeAs(draft: Draft, identity: Identity, editor: EditorHandle | null): void {
	const lines = draft.text.value.split('\n');
	const change = draft.writeAs(identity, draft.isHtml.value ? (editor?.lines() ?? []) : lines);
	if (!change) return;
	if (draft.isHtml.value) return editor?.splice(change);
	lines.splice(change.at, change.gone, ...change.lines);
	draft.text.value = lines.join('\n');
}

function Lines({ draft, fault, writeUnder }: { draft: Draft; fault: Signal<Fault | undefined>; writeUnder: (identity: Identity) => void }) {
	const hasMore = useSignal(draft.cc.value.length + draft.bcc.value.length > 0);
	const changed = () => {
		fault.value = undefined;
		draft.changed();
	};
	const faultIn = (line: Signal<Address[]>) => (fault.value?.line === line ? fault.value : undefined);
	return (
		<div class="lines">
			{identities.value.length > 1 && (
				<label class="chips-line">
					{t().from}
					<select
						value={draft.identity.value?.id}
						onChange={(e) => {
							writeUnder(identities.value.find((i) => i.id === e.currentTarget.value)!);
							changed();
						}}
					>
						{identities.value.map((i) => (
							<option key={i.id} value={i.id}>
								{i.name ? `${i.name} <${i.email}>` : i.email}
							</option>
						))}
					</select>
				</label>
			)}
			<Chips label={t().to} list={draft.to} changed={changed} autofocus={draft.to.value.length === 0} fault={faultIn(draft.to)}>
				{!hasMore.value && (
					<button type="button" class="quiet" onClick={() => (hasMore.value = true)}>
						{t().showCc}
					</button>
				)}
			</Chips>
			{hasMore.value && (
				<>
					<Chips label={t().cc} list={draft.cc} changed={changed} fault={faultIn(draft.cc)} />
					<Chips label={t().bcc} list={draft.bcc} changed={changed} fault={faultIn(draft.bcc)} />
				</>
			)}
			<label class="chips-line">
				{t().subject}
				<input
					value={draft.subject.value}
					onInput={(e) => {
						draft.subject.value = e.currentTarget.value;
						changed();
					}}
				/>
			</label>
		</div>
	);
}

function PlainEditor({ draft }: { draft: Draft }) {
	const area = useRef<HTMLTextAreaElement>(null);
	useEffect(() => area.current?.setSelectionRange(0, 0), []);
	return (
		<textarea
			ref={area}
			class="writing"
			aria-label={t().message}
			value={draft.text.value}
			onInput={(e) => {
				draft.text.value = e.currentTarget.value;
				draft.changed();
			}}
		/>
	);
}

function switchForm(draft: Draft): void {
	if (draft.isHtml.value) draft.text.value = htmlToText(draft.html.value);
	else draft.html.value = toHtml(draft.text.value);
	draft.isHtml.value = !draft.isHtml.value;
	set({ writesHtml: draft.isHtml.value });
}

function saveWord(draft: Draft): string {
	const words = { new: '', changed: '', saving: t().saving, saved: t().saved, failed: t().notSaved };
	return words[draft.state.value];
}

interface FootProps {
	draft: Draft;
	isBusy: boolean;
	send: () => void;
	later: () => void;
	take: (files: FileList) => void;
	close: () => void;
}

function Foot({ draft, isBusy, send: now, later, take, close }: FootProps) {
	const files = useRef<HTMLInputElement>(null);
	function discard(): void {
		void draft.discard();
		close();
	}
	return (
		<div class="composer-foot">
			<button type="button" class="primary" disabled={isBusy} onClick={now}>
				{isBusy ? t().sending : t().send}
			</button>
			{holdMost_s.value > 0 && (
				<button type="button" onClick={later}>
					{t().sendLater}
				</button>
			)}
			<IconButton icon="attach" name={t().attach} act={() => files.current?.click()} />
			<input
				ref={files}
				type="file"
				multiple
				hidden
				onChange={(e) => {
					if (e.currentTarget.files) take(e.currentTarget.files);
					e.currentTarget.value = '';
				}}
			/>
			<button type="button" class="quiet" onClick={() => switchForm(draft)}>
				{draft.isHtml.value ? t().plainText : t().richText}
			</button>
			<IconButton icon="trash" name={t().discard} act={discard} />
		</div>
	);
}

/** Files that are dropped or pasted somewhere on the composer. A text that is pasted (which may come with its picture) is the editor's. */
function useFiles(take: (list: FileList, mayStandIn: boolean) => void) {
	const isOver = useSignal(false);
	return {
		isOver: isOver.value,
		handlers: {
			onPasteCapture(e: ClipboardEvent): void {
				if (!e.clipboardData?.files.length || e.clipboardData.types.includes('text/plain')) return;
				e.preventDefault();
				e.stopPropagation();
				take(e.clipboardData.files, true);
			},
			onDragOver(e: DragEvent): void {
				if (!e.dataTransfer?.types.includes('Files')) return;
				e.preventDefault();
				isOver.value = true;
			},
			onDragLeave(e: DragEvent): void {
				if (e.target === e.currentTarget) isOver.value = false;
			},
			onDropCapture(e: DragEvent): void {
				isOver.value = false;
				if (!e.dataTransfer?.files.length) return;
				e.preventDefault();
				e.stopPropagation();
				take(e.dataTransfer.files, false);
			},
		},
	};
}

/** What was written is not lost by closing: neither this window of the page, nor the page. */
function useKeeping(draft: Draft, isBusy: () => boolean): void {
	useEffect(() => {
		const warn = (e: Event) => (draft.isUnsaved() || isBusy()) && e.preventDefault();
		addEventListener('beforeunload', warn);
		return () => {
			removeEventListener('beforeunload', warn);
			void draft.save();
		};
	}, []);
}

export function Composer({ start, close }: { start: Start; close: () => void }) {
	const draft = useMemo(() => new Draft(start, start.isHtml ?? settings.value.writesHtml), []);
	const editor = useRef<EditorHandle | null>(null);
	const box = useRef<HTMLElement>(null);
	const isBusy = useSignal(false);
	const isLater = useSignal(false);
	const fault = useSignal<Fault | undefined>(undefined);
	const { isOver, handlers } = useFiles(take);
	useKeeping(draft, () => isBusy.value);
	useEffect(() => {
		if (start.to?.length) box.current?.querySelector<HTMLElement>('.writing')?.focus();
	}, []);

	function take(list: FileList, mayStandIn: boolean): void {
		for (const file of list) void draft.attach(file, mayStandIn).then((part) => part?.cid && editor.current?.insertImage(draft.imageUrl(part), part.name));
	}
	async function go(at: Date | null): Promise<void> {
		isLater.value = false;
		fault.value = faultOf(draft);
		if (isBusy.value || fault.value || !(await isReady(draft))) return;
		isBusy.value = true;
		const isSent = await send(draft, at);
		isBusy.value = false;
		if (isSent) close();
	}
	async function leave(): Promise<void> {
		close();
		await draft.save();
		await refresh().catch(() => undefined);
	}
	function onKey(e: KeyboardEvent): void {
		if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) {
			e.preventDefault();
			(document.activeElement as HTMLElement).blur(); // what stands in a line of recipients counts
			void go(null);
		} else if (e.key === 'Escape' && !document.querySelector('dialog[open]')) void leave();
	}

	return (
		<section ref={box} class={isOver ? 'composer is-dropping' : 'composer'} role="dialog" aria-label={start.subject || t().newMessage} onKeyDown={onKey} {...handlers}>
			<div class="composer-head">
				<h2>{draft.subject.value || t().newMessage}</h2>
				<span class="state" role="status">
					{saveWord(draft)}
				</span>
				<IconButton icon="close" name={t().close} act={() => void leave()} />
			</div>
			<Lines draft={draft} fault={fault} writeUnder={(identity) => writeAs(draft, identity, editor.current)} />
			{draft.isHtml.value ? <Editor draft={draft} handle={(h) => (editor.current = h)} /> : <PlainEditor draft={draft} />}
			{isOver && <p class="drop-hint">{t().dropHere}</p>}
			<ul class="attached" aria-label={t().attachments}>
				{draft.attachments.value.map((part) => (
					<AttachedItem key={part.key} part={part} draft={draft} />
				))}
			</ul>
			<Foot draft={draft} isBusy={isBusy.value} send={() => void go(null)} later={() => (isLater.value = true)} take={(list) => take(list, false)} close={close} />
			{isLater.value && <LaterDialog close={() => (isLater.value = false)} choose={(at) => void go(at)} />}
		</section>
	);
}
