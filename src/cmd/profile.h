/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_PROFILE_H
#define CMD_PROFILE_H

#include <posthouse.h>

#include "base/arena.h"
#include "base/err.h"
#include "cmd/secret.h"
#include "config/config.h"

/*
 * Where a person's mail is handed in: $XDG_CONFIG_HOME/posthouse/profiles (~/.config/…), in the grammar of the station's own file:
 *
 *   default = "work"
 *   profile "work" {
 *       via      = "smtp://wei@mail.example.org"
 *       password = "cmd:pass show mail"        # or env:NAME, file:PATH; never the password itself
 *       from     = "魏 <wei@example.org>"
 *       trust    = "/etc/ssl/own.pem"
 *       tls      = "verify"                    # or encrypt, try, never
 *   }
 *
 * What is wrong in it is told with FILE:LINE:COLUMN. Nobody else may be able to write it, for it may name commands; in a home that is not
 * the caller's (HOME as sudo or a daemon left it) there are no profiles.
 */
struct profile {
	const char *name; /* NULL: the station of this host, or --via */
	const char *via, *from, *trust;
	const char *
		tls; /* a word of profile_tls_word; NULL: verify, but try where the host is named as this machine */
	const char *password, *token; /* as they stand there: env:, file:, cmd: */
	bool sends_in_clear;	      /* --in-clear */
	struct secret
		*fetched; /* of the arena: the token as it was fetched last; NULL: there is none */
};

/* name NULL: the file's default, else the station (unix:STATE/submit) of `config`, which may be NULL or empty: then there is
 * none. The texts are of the arena. False: e says why. */
bool profile_find(const char *name, const struct config *config, struct arena *arena,
	struct profile *p, struct err *e);
/* The station, whatever the file says. ERR_NO_ROUTE: the configuration names none. */
bool profile_station(
	const struct config *config, struct arena *arena, struct profile *p, struct err *e);

void profile_wipe(struct profile *p); /* its token */

bool profile_tls_word(const char *word, enum ph_tls *tls); /* verify, encrypt, try, never */

/*
 * A session as the profile says, its secret read. NULL: e says why. Where `tls` and `sends_in_clear` say nothing else, the host proves its
 * name (PH_TLS_VERIFY); one that is named as this machine (localhost, a loopback address) need not (PH_TLS_TRY). The profile outlives the
 * session, which fetches a token again when the host does not like it.
 */
ph_session *profile_open(struct profile *p, struct err *e);
void profile_show_dialogue(ph_session *s); /* -v: on standard error, whole lines as they are said */
/* ph_send; with `sends_in_clear` in clear where the host can do no TLS. */
enum ph_status profile_send(const struct profile *p, ph_session *s, ph_mail *m);

#endif
