// SPDX-License-Identifier: Apache-2.0
// The page begins here: who is it, and in which language.

import { render } from 'preact';
import { App } from './app';
import { watchPlace } from './place';
import { resume, session } from './session';
import { useSettings } from './settings';
import { SignIn } from './signin';

function Page() {
	if (session.value === undefined) return null;
	return session.value === null ? <SignIn /> : <App key={session.value.login} />;
}

watchPlace();
await Promise.all([useSettings(), resume()]);
render(<Page />, document.getElementById('app')!);
