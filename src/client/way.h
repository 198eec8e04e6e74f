/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_WAY_H
#define CLIENT_WAY_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

/* What a URL says; `posthouse probe` reads the same ones. */
struct way {
	char host[256], port[8];
	char path[108]; /* of a UNIX socket; then host is empty */
	char user[256];
	bool is_smtps, is_lmtp, has_port;
};

void way_set_default_port(struct way *way); /* unless the URL named one */
/* Does it name this machine: a UNIX socket, localhost, a number like 127.0.0.1? What another name leads to is whatever DNS says. */
bool way_is_near(const struct way *way);
bool way_parse(struct way *way, struct str url, struct err *e);

#endif
