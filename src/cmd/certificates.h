/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_CERTIFICATES_H
#define CMD_CERTIFICATES_H

#include "config/config.h"

/*
 * The certificates and keys that the configuration names: can they be read, do they belong together? False: *wrong
 * says in one line what would keep the station from serving them. *notes gets a line about all that does not, and
 * will be missed: a time that is over, a name that no certificate proves, a key that everybody may read, authorities
 * or a filter's socket that are not there. `file` is what the configuration is called. A file that only root may read is a
 * note for somebody else who only looks.
 */
bool certificates_check(const struct config *c, const char *file, bool only_looks,
	struct buf *notes, struct buf *wrong);

#endif
