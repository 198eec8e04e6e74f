/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_CERTIFICATES_H
#define CMD_CERTIFICATES_H

#include "config/config.h"

/*
 * The certificates and keys that the configuration names: can they be read, do they belong together, are they
 * good today? *notes gets a line about each that soon will not be.
 */
bool certificates_check(const struct config *c, struct buf *notes, struct err *e);

#endif
