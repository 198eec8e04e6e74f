/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include <stdbool.h>

/* One command of `posthouse`. Its main gets argv from its own name on and returns an exit code of
 * sysexits(3). */
struct command {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *help; /* one line */
};

int cmd_serve(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_send(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_queue(int argc, char **argv);
int cmd_why(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_explain_session(
	const char *config, char **words, int n, bool is_json); /* ADDRESS [HELO] [DOOR] */
int cmd_top(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_sendmail(int argc, char **argv);
int cmd_mailq(int argc, char **argv);
int cmd_newaliases(int argc, char **argv);
int cmd_vault(int argc, char **argv); /* user, alias: done by the executable beside us that alone
					 has their libraries */

#endif
