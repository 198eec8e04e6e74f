/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ROLE_VAULT_VAULT_H
#define ROLE_VAULT_VAULT_H

/* The role's whole life; returns its exit code. */
int vault_role(void);

#endif
