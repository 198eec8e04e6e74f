// SPDX-License-Identifier: Apache-2.0
// Under which name one writes, and what stands below each mail: kept by the station, so every browser has it (RFC 8621 §6).

import { t } from './i18n';
import { call } from './jmap';
import { identities, loadIdentities } from './store';
import { tell, tellError } from './toast';
import type { Identity } from './types';

async function keep(id: string, form: HTMLFormElement, done: () => void): Promise<void> {
	const given = new FormData(form);
	try {
		const { notUpdated } = await call('Identity/set', { update: { [id]: { name: given.get('name'), textSignature: given.get('signature') } } }).answer;
		await loadIdentities();
		done();
		if (notUpdated?.[id]) tellError(null);
		else tell({ text: t().keptIdentity });
	} catch (error) {
		tellError(error);
	}
}

function IdentityForm({ identity, done }: { identity: Identity; done: () => void }) {
	return (
		<form
			onSubmit={(e) => {
				e.preventDefault();
				void keep(identity.id, e.currentTarget, done);
			}}
		>
			<fieldset>
				<legend>{identity.email}</legend>
				<label class="field">
					{t().yourName}
					<input name="name" defaultValue={identity.name} autocomplete="name" />
				</label>
				<label class="field">
					{t().signature}
					<textarea name="signature" rows={3} defaultValue={identity.textSignature} />
				</label>
				<div class="buttons">
					<button type="submit" aria-label={t().saveFor(identity.email)}>
						{t().save}
					</button>
				</div>
			</fieldset>
		</form>
	);
}

export function Identities({ done }: { done: () => void }) {
	return (
		<>
			{identities.value.map((i) => (
				<IdentityForm key={i.id} identity={i} done={done} />
			))}
		</>
	);
}
