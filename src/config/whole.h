/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_WHOLE_H
#define CONFIG_WHOLE_H

#include "config/config.h"

/* Whether the values, each of which is good, go together. False: e has "NAME: …". */
bool whole_check(const struct config *c, const char *name, struct err *e);

#endif
