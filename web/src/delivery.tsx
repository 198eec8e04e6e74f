// SPDX-License-Identifier: Apache-2.0
// What became of a mail that was sent, recipient by recipient (RFC 8621 §7), and the way to stop what is still held.

import { useEffect, useState } from 'preact/hooks';
import { cancel } from './compose/send';
import { locale, t } from './i18n';
import { call } from './jmap';
import { changedTypes } from './store';
import { full } from './time';
import type { DeliveryStatus, Id, Submission } from './types';

const pause_ms = 5000;

async function submissionsOf(emailId: Id): Promise<Submission[]> {
	const query = call('EmailSubmission/query', { filter: { emailIds: [emailId] } });
	return (await call('EmailSubmission/get', { ids: query.ref('/ids') }).answer).list;
}

function wordFor(status: DeliveryStatus): string {
	const words = { queued: t().queued, yes: t().delivered, no: t().undelivered, unknown: t().unknownFate };
	return words[status.delivered];
}

export function Delivery({ emailId }: { emailId: Id }) {
	const [list, setList] = useState<Submission[]>([]);
	const news = changedTypes.value;
	const isUnderWay = list.some((s) => s.undoStatus !== 'canceled' && Object.values(s.deliveryStatus ?? {}).some((fate) => fate.delivered === 'queued'));
	useEffect(() => {
		const look = () => void submissionsOf(emailId).then(setList, () => setList([]));
		look();
		const timer = isUnderWay ? window.setInterval(look, pause_ms) : undefined; // the queue tells nobody of a deferred attempt
		return () => window.clearInterval(timer);
	}, [emailId, isUnderWay, news.types.includes('EmailSubmission') ? news : null]);

	const going = list.filter((s) => s.undoStatus !== 'canceled');
	if (!going.length) return null;
	return (
		<section class="delivery" aria-label={t().delivery}>
			{going.map((s) => (
				<div key={s.id}>
					{s.undoStatus === 'pending' && (
						<p>
							{t().scheduled(full(s.sendAt, locale()))}{' '}
							<button type="button" onClick={() => void cancel(s.id, s.emailId)}>
								{t().cancelSending}
							</button>
						</p>
					)}
					<ul>
						{Object.entries(s.deliveryStatus ?? {}).map(([email, status]) => (
							<li key={email} class={`fate-${status.delivered}`} title={status.smtpReply}>
								{t().statusOf(email, wordFor(status))}
								{status.delivered === 'no' && <small>{status.smtpReply}</small>}
							</li>
						))}
					</ul>
				</div>
			))}
		</section>
	);
}
