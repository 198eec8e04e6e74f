/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_SYNTAX_H
#define CONFIG_SYNTAX_H

#include <confuse.h>

#include "config/options.h"

/*
 * text → libconfuse's tree, in which every value and title has passed its row of the option table,
 * nothing is there twice and nothing that must be given is missing. The caller frees it with
 * cfg_free. NULL: e has "NAME:LINE: …". One at a time: the library's reader keeps its state in
 * globals.
 */
cfg_t *syntax_parse(struct str text, const char *name, struct err *e);

#endif
