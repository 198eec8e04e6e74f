// SPDX-License-Identifier: Apache-2.0
// A mail that is being written. It saves itself: JMAP's mails never change (RFC 8621 §4), so each save makes a new one and, only when that is there,
// destroys the one before. Saves go one after another; whatever a crash or a second window does, some version of the draft is left.

import { computed, signal, type Signal } from '@preact/signals';
import { call, downloadUrl, MethodError, upload } from '../jmap';
import { htmlToText, isShownType } from '../letter';
import { byRole, identityAs, refresh } from '../store';
import { t } from '../i18n';
import { tell, tellError } from '../toast';
import type { Address, Id, Identity, NewEmail, NewPart } from '../types';
import { exchange, type Splice } from './signature';

export interface Attached {
	key: number;
	name: string;
	type: string;
	size: number;
	blobId: Id | null; // null: on its way up
	cid: string | null; // stands in the text
	share: Signal<number>; // of it that is up
	stop: AbortController;
}

/** What a draft begins with. */
export interface Start {
	to?: Address[];
	cc?: Address[];
	bcc?: Address[];
	subject?: string;
	text?: string;
	html?: string;
	attachments?: { name: string; type: string; size: number; blobId: Id; cid: string | null }[];
	inReplyTo?: string[];
	references?: string[];
	from?: string;
	/** The line above which the signature stands (signature.ts). */
	foot?: string;
	savedAs?: Id;
	isHtml?: boolean;
	/** The mail that is answered or forwarded gets this keyword when it is sent. */
	marks?: { emailId: Id; keyword: '$answered' | '$forwarded' };
}

const pause_ms = 1500; // after the last key

let keys = 0;

export class Draft {
	readonly to: Signal<Address[]>;
	readonly cc: Signal<Address[]>;
	readonly bcc: Signal<Address[]>;
	readonly subject: Signal<string>;
	readonly isHtml: Signal<boolean>;
	readonly text: Signal<string>;
	readonly html: Signal<string>;
	readonly attachments = signal<Attached[]>([]);
	readonly chosen = signal<Identity | undefined>(undefined);
	/** Whoever is quick begins to write before the identities have come. */
	readonly identity = computed(() => this.chosen.value ?? identityAs(this.start.from));
	readonly state = signal<'new' | 'changed' | 'saving' | 'saved' | 'failed'>('new');
	readonly isUploading = computed(() => this.attachments.value.some((a) => a.blobId === null));
	private savedAs: Id | null;
	private readonly outdated = new Set<Id>(); // versions that are still to be destroyed
	private saves: Promise<void> = Promise.resolve();
	private timer: number | undefined;
	private isHeld = false; // it is being sent or thrown away: a save now would destroy what was sent

	constructor(
		readonly start: Start,
		isHtml: boolean,
	) {
		this.to = signal(start.to ?? []);
		this.cc = signal(start.cc ?? []);
		this.bcc = signal(start.bcc ?? []);
		this.subject = signal(start.subject ?? '');
		this.isHtml = signal(isHtml);
		this.text = signal(start.text ?? '');
		this.html = signal(start.html ?? '');
		this.savedAs = start.savedAs ?? null;
		for (const a of start.attachments ?? []) this.addPart({ ...a, key: keys++, share: signal(1), stop: new AbortController() });
	}

	// ── attachments ──

	private addPart(part: Attached): void {
		this.attachments.value = [...this.attachments.value, part];
	}

	/** Uploads at once; the promise is kept when the octets are there, or undefined when they are not. Only a picture can stand in the text. */
	async attach(file: File, mayStandIn = false): Promise<Attached | undefined> {
		const key = keys++;
		const cid = mayStandIn && this.isHtml.value && isShownType(file.type) ? `${crypto.randomUUID()}@page` : null;
		const part: Attached = { key, name: file.name || 'image.png', type: file.type || 'application/octet-stream', size: file.size, blobId: null, cid, share: signal(0), stop: new AbortController() };
		this.addPart(part);
		try {
			const { blobId, size } = await upload(file, (share) => (part.share.value = share), part.stop.signal);
			const done = { ...part, blobId, size };
			this.attachments.value = this.attachments.value.map((a) => (a.key === key ? done : a));
			this.changed();
			return done;
		} catch (error) {
			this.attachments.value = this.attachments.value.filter((a) => a.key !== key);
			if ((error as Error).name !== 'AbortError') tell({ text: t().uploadFailed(part.name) });
			return undefined;
		}
	}

	detach(part: Attached): void {
		part.stop.abort();
		this.attachments.value = this.attachments.value.filter((a) => a.key !== part.key);
		this.changed();
	}

	/** In the editor a picture is shown from the server; in the mail it is named by its Content-ID. */
	imageUrl(part: Attached): string {
		return downloadUrl(part.blobId!, part.name, part.type);
	}

	private htmlToSend(): string {
		const { body } = new DOMParser().parseFromString(this.html.value, 'text/html');
		for (const image of body.querySelectorAll('img')) {
			const part = this.attachments.value.find((a) => a.cid && a.blobId && image.getAttribute('src') === this.imageUrl(a));
			if (part) image.setAttribute('src', `cid:${part.cid}`);
		}
		return body.innerHTML;
	}

	// ── who writes ──

	/** Written under another address from here on; the answer is what that does to the lines of the text: they have the signature of the new one. */
	writeAs(identity: Identity, lines: (string | null)[]): Splice | null {
		const before = this.identity.value?.textSignature ?? '';
		this.chosen.value = identity;
		return exchange(lines, before, identity.textSignature, this.start.foot);
	}

	// ── as a mail ──

	plain(): string {
		return this.isHtml.value ? htmlToText(this.html.value) : this.text.value;
	}

	toEmail(): NewEmail {
		const drafts = byRole('drafts');
		if (!drafts) throw new MethodError('notFound');
		const identity = this.identity.value;
		const html = this.isHtml.value ? this.htmlToSend() : null;
		const parts = this.attachments.value.filter((a) => a.blobId !== null && (a.cid === null || html?.includes(`cid:${a.cid}`)));
		return {
			mailboxIds: { [drafts.id]: true },
			keywords: { $draft: true, $seen: true },
			from: identity ? [{ name: identity.name || null, email: identity.email }] : [],
			to: this.to.value,
			cc: this.cc.value,
			bcc: this.bcc.value,
			subject: this.subject.value,
			...(this.start.inReplyTo ? { inReplyTo: this.start.inReplyTo } : {}),
			...(this.start.references ? { references: this.start.references } : {}),
			textBody: [{ partId: 'text', type: 'text/plain' }],
			...(html === null ? {} : { htmlBody: [{ partId: 'html', type: 'text/html' }] }),
			attachments: parts.map((a): NewPart => ({ blobId: a.blobId!, type: a.type, name: a.name, disposition: a.cid ? 'inline' : 'attachment', ...(a.cid ? { cid: a.cid } : {}) })),
			bodyValues: { text: { value: this.plain() }, ...(html === null ? {} : { html: { value: html } }) },
		};
	}

	// ── saving ──

	changed(): void {
		this.state.value = 'changed';
		window.clearTimeout(this.timer);
		if (!this.isHeld) this.timer = window.setTimeout(() => void this.save(), pause_ms);
	}

	/** Kept when everything that was written is saved, or could not be. */
	save(): Promise<void> {
		window.clearTimeout(this.timer);
		this.saves = this.saves.then(() => (this.isUnsaved() && !this.isHeld ? this.saveNow() : undefined));
		return this.saves;
	}

	isUnsaved(): boolean {
		return this.state.value === 'changed' || this.state.value === 'failed';
	}

	private async saveNow(): Promise<void> {
		this.state.value = 'saving';
		try {
			const { created } = await call('Email/set', { create: { d: this.toEmail() } }).answer;
			const id = created?.['d']?.id;
			if (id === undefined) throw new MethodError('notCreated');
			await this.replaceBy(id);
			if ((this.state.value as string) === 'saving') this.state.value = 'saved';
		} catch {
			this.state.value = 'failed';
		}
	}

	/** The version before goes. If it cannot go now, it goes with the next: an old one that is left over harms nobody. */
	async replaceBy(id: Id | null): Promise<void> {
		if (this.savedAs !== null) this.outdated.add(this.savedAs);
		this.savedAs = id;
		await this.clear().catch(() => undefined);
	}

	/** That one is gone already (another window) is as good. */
	private async clear(): Promise<void> {
		const ids = [...this.outdated];
		if (!ids.length) return;
		const { notDestroyed } = await call('Email/set', { destroy: ids }).answer;
		for (const id of ids) if ((notDestroyed?.[id]?.type ?? 'notFound') === 'notFound') this.outdated.delete(id);
		if (this.outdated.size) throw new MethodError('notDestroyed');
	}

	/** Nothing more is saved from here on. */
	async hold(): Promise<void> {
		this.isHeld = true;
		window.clearTimeout(this.timer);
		await this.saves;
	}

	/** It was not sent after all. */
	release(): void {
		this.isHeld = false;
		if (this.isUnsaved()) this.changed();
	}

	async discard(): Promise<void> {
		try {
			for (const a of this.attachments.value) a.stop.abort();
			await this.hold();
			await this.replaceBy(null);
			await this.clear();
			tell({ text: t().draftDiscarded });
			await refresh();
		} catch (error) {
			tellError(error);
		}
	}
}
