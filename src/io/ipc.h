/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_IPC_H
#define IO_IPC_H

#include "base/codec.h"
#include "base/err.h"
#include "io/loop.h"

/*
 * Typed messages between processes, over SOCK_SEQPACKET. The table is io/messages.def. Sending
 * never blocks: what the peer's socket does not take waits in the channel, up to IPC_WAITING_MAX
 * packets, which the askers' own limits (credits) keep from being reached. A message that is not in
 * the table, not permitted from that role, or not of its shape closes the channel.
 */

enum ipc_role {
	ROLE_MASTER = 1,
	ROLE_RECEIVE = 2,
	ROLE_QUEUE = 4,
	ROLE_SEND = 8,
	ROLE_STORE = 16,
	ROLE_VAULT = 32,
	ROLE_COMMAND = 64,
	ROLE_RESOLVE = 128,
	ROLE_READER = 256,
	ROLE_WEB = 512,
	ROLE_ANY = 1023
};

const char *ipc_role_name(unsigned role); /* "receive" */

enum { IPC_PACKET_MAX = 65536, IPC_TEXT_MAX = 60000, IPC_WAITING_MAX = 65536 };

/* The structs: struct ipc_NAME { …fields…; int fd (when the message carries one; -1: none came) }.
 */
#define U8(f)	uint8_t f;
#define U16(f)	uint16_t f;
#define U32(f)	uint32_t f;
#define U64(f)	uint64_t f;
#define ID(f)	struct mail_id f;
#define TEXT(f) struct str f;
#define MESSAGE(name, from, to, descriptors) \
	struct ipc_##name {                  \
		int fd;
#define END(name) \
	}         \
	;
#include "io/messages.def"

enum ipc_kind {
	IPC_CLOSED, /* the peer is gone, or broke the rules; the last event of a channel */
#define MESSAGE(name, from, to, descriptors) IPC_##name,
#include "io/messages.def"
	IPC_KINDS
};

/* What answers say, in the U8 fields of the same name. */
enum found_kind {	/* `found` */
	FOUND_UNKNOWN,	/* no such mailbox */
	FOUND_MAILBOX,	/* text: its address */
	FOUND_ALIAS,	/* stays in this house; text for 'E': members, a line each */
	FOUND_FORWARD,	/* an alias whose only member is elsewhere; text: the address there (251) */
	FOUND_MOVED,	/* text: the new address (551) */
	FOUND_BUSY,	/* suspended (450) */
	FOUND_BAD_NAME, /* no mailbox here could be called so (553) */
	FOUND_NOT_OURS, /* the domain is not ours */
	FOUND_YES,
	FOUND_NO, /* 'S': may this login use this address as sender? */
	FOUND_KINDS
};
/* `listener`: doors beyond enum config_door, our own UNIX sockets in the state directory. */
enum { DOOR_SUBMIT = 100, DOOR_CONTROL = 101, DOOR_READER = 102 /* no listener: `caller` */ };
/* `table`: octets; the first 16 are a secret that master draws, the others begin as zero. */
enum { IPC_TABLE_SIZE = 4 * 1024 * 1024 };

/* `question` and `answer`. */
enum question_kind {
	QUESTION_REVERSE, /* the name of the address that leads back to it (RFC 1912 §2.1) */
	QUESTION_LISTED,  /* is the address on the list of this zone (RFC 5782)? text: its TXT */
	QUESTION_KINDS
};
enum answer_result {
	ANSWER_NO,
	ANSWER_YES,
	ANSWER_UNKNOWN
}; /* unknown: the DNS is silent, or off */

enum checked_result { CHECKED_REFUSED, CHECKED_OK, CHECKED_LATER };
enum sign_in_how {
	SIGN_IN_BEGIN, /* login and password: begins a session */
	SIGN_IN_ONCE,  /* login and password, or an app password, for this request alone */
	SIGN_IN_AGAIN, /* the secret of a session, or a bearer token; no login */
	SIGN_IN_END,   /* the session of this secret is over */
	SIGN_IN_HOWS
};
enum call_what { CALL_SESSION, CALL_API, CALL_UPLOAD, CALL_DOWNLOAD, CALL_STATES, CALL_WHATS };
enum expanded_kind {
	EXPANDED_TARGETS,
	EXPANDED_UNKNOWN,
	EXPANDED_MOVED,
	EXPANDED_LOOP,
	EXPANDED_BUSY
};

/* `order`: what an operator wants, and how a list is to be gathered. */
enum order_verb {
	ORDER_LIST,  /* items that wait */
	ORDER_SHOW,  /* items, also those that are done with */
	ORDER_GROUP, /* groups, the greatest first */
	ORDER_HOLD,
	ORDER_RELEASE,
	ORDER_RETRY,
	ORDER_BOUNCE,
	ORDER_DROP,
	ORDER_UNDO,	 /* of drop */
	ORDER_WHY,	 /* told, and items */
	ORDER_TOP,	 /* totals, places */
	ORDER_SUSPENDED, /* places */
	ORDER_SUSPEND,
	ORDER_RESUME,
	ORDER_ROUTE, /* traced */
	ORDER_VERBS
};
enum order_by { BY_DESTINATION, BY_SENDER, BY_RECIPIENT, BY_AGE, ORDER_BYS };
enum { ORDER_SAMPLES = 3, ORDER_UNDO_MS = 60000 };

struct ipc;

/* A packet that came, decoded. Texts are valid during the callback only. A descriptor in it is the
 * receiver's to close. */
struct ipc_message {
	enum ipc_kind kind;
	bool broke_rules; /* with IPC_CLOSED: the peer is alive, but not to be trusted */
	union {
#define MESSAGE(name, from, to, descriptors) struct ipc_##name name;
#include "io/messages.def"
	};
};

/* self: our role, peer: theirs, for the permission check. fd is the channel's from now on. */
struct ipc *ipc_open(struct loop *l, int fd, enum ipc_role self, enum ipc_role peer,
	void (*came)(void *owner, struct ipc *from, struct ipc_message *m), void *owner);
void ipc_close(struct ipc **c); /* also from the callback */

/* Reading stops and goes on: for a receiver that has no room. */
void ipc_pause(struct ipc *c, bool paused);
size_t ipc_waiting(const struct ipc *c); /* packets not yet taken by the peer's socket */

/* One function a message. A NULL channel is a peer that is down: the message is dropped, as one
 * that was on its way when the peer died. The descriptor stays the caller's. */
#define MESSAGE(name, from, to, descriptors) \
	void ipc_send_##name(struct ipc *c, const struct ipc_##name *m);
#include "io/messages.def"

/* The shape of a packet, without a channel: for tests and the fuzzer. False: not permitted or not
 * of its shape. */
bool ipc_decode(
	struct str packet, int fd, enum ipc_role from, enum ipc_role to, struct ipc_message *m);

#endif
