/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_PROFILE_H
#define CMD_PROFILE_H

#include <posthouse.h>

#include "base/err.h"
#include "config/config.h"

/*
 * Where a person's mail is handed in: $XDG_CONFIG_HOME/posthouse/profiles (~/.config/…), in the grammar of the station's own file:
 *
 *   profile "work" {
 *       via      = "smtp://wei@mail.example.org"
 *       password = "cmd:pass show mail"        # or env:NAME, file:PATH; never the password itself
 *       from     = "魏 <wei@example.org>"
 *       trust    = "/etc/ssl/own.pem"
 *   }
 *   default = "work"
 */
struct profile {
	const char *name; /* NULL: the station of this host */
	const char *via, *from, *trust;
	const char *password, *token; /* as they stand there: env:, file:, cmd: */
	struct arena *arena;	      /* of its texts */
};

/* name NULL: the file's default, else the station (unix:STATE/submit) of `config`. False: e says why. */
bool profile_find(const char *name, const struct config *config, struct arena *arena,
	struct profile *p, struct err *e);
/* A session as the profile says, its secret read. NULL: e says why. */
ph_session *profile_open(const struct profile *p, struct err *e);

#endif
