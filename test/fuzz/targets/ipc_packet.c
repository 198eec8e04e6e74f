/* SPDX-License-Identifier: Apache-2.0 */
#include "io/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What a role that was taken over may send: from each role to each, any octets. Only whole messages of permitted kinds may come out,
 * with texts that lie within the packet. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const enum ipc_role roles[] = { ROLE_MASTER, ROLE_RECEIVE, ROLE_QUEUE, ROLE_SEND,
		ROLE_STORE, ROLE_VAULT, ROLE_COMMAND };
	struct str packet;
	struct ipc_message m;

	if (n < 2)
		return 0;
	packet = (struct str){ (const char *)data + 2, n - 2 };
	if (ipc_decode(packet, -1, roles[data[0] % 7], roles[data[1] % 7], &m)) {
		if (m.kind == IPC_CLOSED || m.kind >= IPC_KINDS)
			abort();
		if (m.kind == IPC_attempt && m.attempt.message.n &&
			(m.attempt.message.p < packet.p ||
				m.attempt.message.p + m.attempt.message.n > packet.p + packet.n))
			abort();
	}
	return 0;
}
