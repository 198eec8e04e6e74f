/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MASTER_TABLE_H
#define MASTER_TABLE_H

/*
 * What the gate remembers of clients (message `table`): memory that no receiver can make larger or smaller, so
 * that none can harm another by it. It outlives them, and by the file `gate` in the state directory also the
 * station, but for what came since the last table_keep: it is worth no sync.
 */
int table_open(const char *state); /* aborts when there is no memory */
void table_keep(int fd, const char *state);

#endif
