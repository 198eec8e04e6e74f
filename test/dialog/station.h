/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DIALOG_STATION_H
#define DIALOG_STATION_H

#include "smtp/server.h"

/*
 * The station that the dialogues talk to, without a socket: the driver of one smtp_server with the
 * people and rules that README.md gives. It is also the shortest example of a driver.
 */

enum fault {
	FAULT_NONE,
	FAULT_SYNC,
	FAULT_SPACE,
	FAULT_VAULT,
	FAULT_RATE,
	FAULT_BUSY,
	FAULT_REFUSE,
	FAULT_OVERLOAD,
	FAULT_SHUTDOWN,
	FAULT_IDLE,
	FAULT_HELLO,
	FAULT_TLS,
	FAULTS_N,
};

struct station {
	bool waits; /* answers come late: the input is parked, and what was fed is overwritten */
	enum fault fault;
	bool is_submission, is_trusted;
	bool is_open;	 /* between connect and close */
	bool is_shaking; /* what is said goes to the handshake, until station_secure */
	struct smtp_server smtp;
	struct buf fed;	 /* the driver's input buffer */
	struct buf said; /* what the client has not looked at yet */

	struct buf sender, recipients, message; /* the draft; recipients divided by blanks */
	struct buf kept_sender, kept_recipients, kept_message; /* the last mail kept */
	struct buf client; /* whom XCLIENT named: address name */
	unsigned resets;   /* ON_RESET heard */
};

enum station_door { DOOR_SMTP, DOOR_SUBMISSION, DOOR_SUBMISSIONS };
enum station_client { CLIENT_STRANGER, CLIENT_TRUSTED, CLIENT_PROXY };

void station_begin(struct station *st);
void station_connect(struct station *st, enum station_door door, enum station_client client);
void station_say(struct station *st, struct str bytes); /* what the client says */
void station_secure(struct station *st);		/* the handshake is done */
void station_set_fault(struct station *st, enum fault fault);
void station_close(struct station *st);
void station_end(struct station *st);

#endif
