/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "io/tls.h"

/*
 * The octets of a connection: as they are, or, once it was secured, through TLS. Like a socket it never
 * blocks; the driver watches the descriptor and calls again. A stream by value costs an idle plain session
 * its struct.
 *
 *   plain:   stream_open, stream_read, stream_write, stream_close
 *   TLS:     stream_secure_server or stream_secure_client, then stream_shake until STREAM_DONE
 */
struct stream {
	int fd;			/* -1: closed */
	int wants;		/* of stream_wants */
	struct stream_tls *tls; /* NULL: in clear */
};

enum stream_step {
	STREAM_DONE,
	STREAM_WANT_READ,  /* watch for input, call again */
	STREAM_WANT_WRITE, /* watch for room */
	STREAM_WANT_SIGNATURE, /* stream_to_sign(), ask, stream_signed(), call again; it stays so until then */
	STREAM_WANT_TIME, /* too many signatures are under way in this process: call again soon */
	STREAM_FAILED,	  /* with e; only stream_close makes sense now */
};

enum { STREAM_RECORD = 16384 }; /* octets: the least room for stream_read */

struct stream_to_sign {
	uint64_t key;
	uint16_t scheme; /* of RFC 8446 §4.2.3 */
	struct str content;
};

/* For log, Received, `why`. Texts live as long as the stream. */
struct stream_facts {
	const char *version, *cipher; /* "TLSv1.3", "TLS_AES_256_GCM_SHA384" */
	int bits;
	struct str server_name; /* that the client asked for (server side); empty: none */
	bool was_resumed;
	bool is_verified;	/* client side: the certificate is good for the host's name */
	const char *unverified; /* why not: "self-signed certificate"; NULL when it is */
};

void stream_open(struct stream *s, int fd); /* the descriptor is the stream's from now on */
void stream_close(struct stream *s); /* says close_notify where that costs no waiting; closes fd */

bool stream_secure_server(struct stream *s, struct tls *terms, struct err *e);
/* name: the host's, for SNI and for verification (RFC 9525); an address is verified as such, and not named.
 * must_verify: a certificate that is not good for it ends the handshake; else the facts say so. */
bool stream_secure_client(
	struct stream *s, struct tls *terms, struct str name, bool must_verify, struct err *e);
enum stream_version { STREAM_TLS_1_2, STREAM_TLS_1_3 };
/* A client's, before the first stream_shake: no other version will do. */
void stream_only_version(struct stream *s, enum stream_version version);
enum stream_step stream_shake(struct stream *s, struct err *e);
struct stream_to_sign stream_to_sign(const struct stream *s); /* during STREAM_WANT_SIGNATURE */
void stream_signed(
	struct stream *s, struct str signature); /* empty: refused, the handshake fails */

/* As recv and send: octets, 0 for the end (with or without close_notify: where a message ends is the
 * protocol's to say), -1 with errno; EAGAIN: see stream_wants. room is at least STREAM_RECORD, so that
 * nothing is left that poll does not know of. */
ssize_t stream_read(struct stream *s, char *to, size_t room);
ssize_t stream_write(struct stream *s, struct str octets);
int stream_wants(const struct stream *
		s); /* after EAGAIN: LOOP_READ or LOOP_WRITE to be watched for before the same call makes sense again */

bool stream_is_secure(const struct stream *s); /* the handshake is done */
bool stream_met_no_tls(
	const struct stream *s); /* it failed, because something else is spoken there */
void stream_facts(const struct stream *s, struct stream_facts *facts);
/* A client's: the certificate that the host showed; whether it is good stands in stream_facts. False: none, as in clear. */
bool stream_certificate(const struct stream *s, struct tls_facts *facts);
/* What binds a login to this session and no other, once it is secure (RFC 9266; TLS 1.2: RFC 5929 §4): how many octets, and the kind's
 * name. 0: none. */
enum { STREAM_BINDING_MAX = 64 };
size_t stream_binding(
	const struct stream *s, const char **kind, unsigned char octets[STREAM_BINDING_MAX]);
/* For people, of a client's: "TLSv1.3, TLS_AES_256_GCM_SHA384, verified" or "…, not verified: self-signed certificate". */
void stream_add_facts(struct buf *to, const struct stream *s);

#endif
