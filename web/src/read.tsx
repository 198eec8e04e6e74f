// SPDX-License-Identifier: Apache-2.0
// One mail of a conversation: who, to whom, what it says, what hangs on it, what became of it.

import { useEffect, useState } from 'preact/hooks';
import { parseMailto, same, straight } from './address';
import { answer, editDraft, forward, write } from './compose/open';
import { frameUrl } from './frame-loader';
import { language, locale, t } from './i18n';
import { Icon } from './icons';
import { downloadUrl } from './jmap';
import { escapeHtml, fetchLetter, htmlOf, isShownImage, listed, textOf } from './letter';
import { hostOf } from './links';
import { Delivery } from './delivery';
import { set, settings } from './settings';
import { ownAddresses } from './store';
import { PlainText } from './text';
import { brief, full, size } from './time';
import { tell, tellError } from './toast';
import { IconButton, Lost } from './toolbar';
import type { Address, Email, EmailSummary, Part } from './types';

const peopleMost = 5; // shown of a line, until the rest is asked for

function Person({ address }: { address: Address }) {
	return (
		<span class="person">
			{address.name && <bdi class="person-name">{straight(address.name)}</bdi>} <span class="person-email">&lt;{address.email}&gt;</span>
		</span>
	);
}

function People({ label, list }: { label: string; list: Address[] | null }) {
	const [isWhole, setWhole] = useState(false);
	if (!list?.length) return null;
	const shown = isWhole || list.length <= peopleMost + 1 ? list : list.slice(0, peopleMost);
	return (
		<div class="head-line">
			<dt>{label}</dt>
			<dd>
				{shown.map((a, n) => (
					<Person key={n} address={a} />
				))}
				{shown.length < list.length && (
					<button type="button" class="quiet more" onClick={() => setWhole(true)}>
						{t().andMore(list.length - shown.length)}
					</button>
				)}
			</dd>
		</div>
	);
}

function Heads({ email }: { email: Email }) {
	const otherReply = email.replyTo?.some((a) => !email.from?.some((f) => same(f.email, a.email)));
	return (
		<dl class="heads">
			<People label={t().from} list={email.from} />
			<People label={t().to} list={email.to} />
			<People label={t().cc} list={email.cc} />
			<People label={t().bcc} list={email.bcc} />
			{otherReply && <People label={t().replyTo} list={email.replyTo} />}
			<div class="head-line">
				<dt>{t().date}</dt>
				<dd>{full(email.sentAt ?? email.receivedAt, locale())}</dd>
			</div>
		</dl>
	);
}

function Attachment({ part }: { part: Part }) {
	const name = part.name || t().unnamed;
	const url = downloadUrl(part.blobId!, part.name, part.type);
	return (
		<li>
			<a href={url} download={name}>
				{isShownImage(part) ? <img src={url} alt="" loading="lazy" /> : <Icon name="attach" />}
				<span class="name">{name}</span>
				<span class="size">{size(part.size)}</span>
			</a>
		</li>
	);
}

function Attachments({ parts }: { parts: Part[] }) {
	const list = parts.filter((p) => p.blobId);
	if (!list.length) return null;
	return (
		<section class="attachments" aria-label={t().attachments}>
			<ul>
				{list.map((part) => (
					<Attachment key={part.blobId} part={part} />
				))}
			</ul>
		</section>
	);
}

/** RFC 2369 §3.2: by mail from here; by the web only where the reader sees to which host. */
function Unsubscribe({ urls }: { urls: string[] }) {
	const mail = urls.map(parseMailto).find((m) => m !== null);
	const web = urls.find((url) => /^https:/i.test(url) && hostOf(url));
	if (mail)
		return (
			<button type="button" class="quiet" onClick={() => write({ to: mail.to, cc: mail.cc, subject: mail.subject || 'unsubscribe', text: mail.body })}>
				{t().unsubscribe}
			</button>
		);
	if (!web) return null;
	return (
		<a class="quiet button" href={web} target="_blank" rel="noopener noreferrer">
			{t().unsubscribeAt(hostOf(web)!)}
		</a>
	);
}

interface Shown {
	url: string;
	hasRemote: boolean;
	leftOut: boolean;
}

/** The mail's HTML in its frame. What makes it harmless is loaded with the first HTML mail. */
function HtmlBody({ email, html }: { email: Email; html: string }) {
	const sender = email.from?.[0]?.email.toLowerCase() ?? '';
	const [wanted, setWanted] = useState(settings.value.remoteSenders.includes(sender));
	const [shown, setShown] = useState<Shown | null>(null);

	useEffect(() => {
		let isGone = false;
		frameUrl(email, html, wanted).then((s) => isGone || setShown(s), tellError);
		return () => (isGone = true);
	}, [email.id, wanted, language.value]);

	function always(): void {
		set({ remoteSenders: [...new Set([...settings.value.remoteSenders, sender])] });
		setWanted(true);
	}

	if (!shown) return <p class="frame-room empty">{t().loading}</p>;
	return (
		<div class="frame-room">
			{shown.hasRemote && !wanted && (
				<div class="notice">
					<span>{t().remoteBlocked}</span>
					<button type="button" onClick={() => setWanted(true)}>
						{t().showRemote}
					</button>
					{sender && (
						<button type="button" onClick={always}>
							{t().alwaysRemote(sender)}
						</button>
					)}
				</div>
			)}
			{shown.leftOut && <p class="notice">{t().imagesLeftOut}</p>}
			<iframe class="frame" title={t().mailBody} sandbox="allow-popups allow-popups-to-escape-sandbox" referrerpolicy="no-referrer" src={shown.url} />
		</div>
	);
}

function Body({ email, asHtml }: { email: Email; asHtml: boolean }) {
	const html = htmlOf(email);
	const values = Object.values(email.bodyValues);
	const text = textOf(email);
	return (
		<>
			{values.some((v) => v.isTruncated) && <p class="notice">{t().cutOff}</p>}
			{values.some((v) => v.isEncodingProblem) && <p class="notice">{t().wrongCharset}</p>}
			{html !== null && asHtml ? <HtmlBody email={email} html={html} /> : text.trim() ? <PlainText text={text} /> : <p class="empty">{t().emptyMail}</p>}
		</>
	);
}

/** A frame without origin cannot be printed from here, so HTML goes to a tab of its own, its heads on top. */
async function print(email: Email, asHtml: boolean): Promise<void> {
	const html = htmlOf(email);
	if (html === null || !asHtml) return window.print();
	const line = (label: string, list: Address[] | null) => (list?.length ? `<b>${escapeHtml(label)}:</b> ${list.map((a) => escapeHtml(`${a.name ?? ''} <${a.email}>`)).join(', ')}<br>` : '');
	const heads = `<h2>${escapeHtml(email.subject ?? t().noSubject)}</h2><p>${line(t().from, email.from)}${line(t().to, email.to)}${line(t().cc, email.cc)}${escapeHtml(full(email.receivedAt, locale()))}</p><hr>`;
	const { url } = await frameUrl(email, html, settings.value.remoteSenders.includes(email.from?.[0]?.email.toLowerCase() ?? ''), heads);
	window.open(url, '_blank', 'noopener');
	tell({ text: t().printTab });
}

function MessageBar({ email, asHtml, toggleHtml }: { email: Email; asHtml: boolean; toggleHtml: () => void }) {
	const urls = email['header:List-Unsubscribe:asURLs'];
	return (
		<div class="message-bar">
			<IconButton icon="reply" name={t().reply} act={() => answer(email, false)} />
			<IconButton icon="replyAll" name={t().replyAll} act={() => answer(email, true)} />
			<IconButton icon="forward" name={t().forward} act={() => forward(email)} />
			<IconButton icon="print" name={t().print} act={() => void print(email, asHtml).catch(tellError)} />
			<a class="quiet button" href={downloadUrl(email.blobId, 'message.txt', 'text/plain')} target="_blank" rel="noopener noreferrer">
				{t().source}
			</a>
			{htmlOf(email) !== null && (
				<button type="button" class="quiet" onClick={toggleHtml}>
					{asHtml ? t().plainText : t().html}
				</button>
			)}
			{urls?.length ? <Unsubscribe urls={urls} /> : null}
		</div>
	);
}

function Opened({ id }: { id: string }) {
	const [email, setEmail] = useState<Email | null>(null);
	const [isLost, setLost] = useState(false);
	const [asHtml, setHtml] = useState(true);
	function load(): void {
		setLost(false);
		fetchLetter(id).then(
			(found) => (found ? setEmail(found) : setLost(true)),
			() => setLost(true),
		);
	}
	useEffect(load, [id]);
	if (isLost) return <Lost retry={load} />;
	if (!email) return <p class="empty">{t().loading}</p>;
	const isMine = email.from?.some((a) => ownAddresses.value.some((own) => same(own, a.email)));
	return (
		<>
			<Heads email={email} />
			<MessageBar email={email} asHtml={asHtml} toggleHtml={() => setHtml(!asHtml)} />
			{isMine && !email.keywords['$draft'] && <Delivery emailId={email.id} />}
			<Body email={email} asHtml={asHtml} />
			<Attachments parts={listed(email, asHtml ? htmlOf(email) : null)} />
		</>
	);
}

export function Message({ email, isOpen, toggle }: { email: EmailSummary; isOpen: boolean; toggle: () => void }) {
	const author = email.from?.[0];
	const name = straight(author?.name ?? '') || author?.email || t().noSender;
	const isDraft = Boolean(email.keywords['$draft']);
	return (
		<article class={isOpen ? 'message is-open' : 'message'} aria-label={t().messageFrom(name)}>
			<header>
				<button type="button" class="message-head" aria-expanded={isOpen} onClick={toggle}>
					<span class="person">
						<bdi class="person-name">{straight(author?.name ?? '') || (author ? '' : t().noSender)}</bdi> {author && <span class="person-email">&lt;{author.email}&gt;</span>}
					</span>
					{!isOpen && <span class="preview">{email.preview}</span>}
					<time dateTime={email.receivedAt}>{brief(email.receivedAt, locale())}</time>
				</button>
				{isDraft && <IconButton icon="compose" name={t().editDraft} act={() => void editDraft(email.id)} />}
			</header>
			{isOpen && <Opened id={email.id} />}
		</article>
	);
}
