/* SPDX-License-Identifier: Apache-2.0 */
#include "role/master/master.h"

#include <string.h>

/* Arrays of text lie one behind the other, each of the same size. */
static bool
all_end(const char *texts, size_t size, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!memchr(texts + i * size, 0, size))
			return false;
	return true;
}

static bool
doors_are_sound(const struct master_plan *p)
{
	for (uint32_t i = 0; i < p->doors_n; i++)
		if (!all_end(p->doors[i].name, sizeof p->doors[i].name, 1))
			return false;
	return true;
}

static bool
filters_are_sound(const struct master_plan *p)
{
	for (uint32_t i = 0; i < p->filters_n; i++)
		if (p->filters[i].address_size > sizeof p->filters[i].address)
			return false;
	return true;
}

bool
master_plan_is_sound(const struct master_plan *p)
{
	return p->doors_n <= MASTER_DOORS_MAX && p->mail_roots_n <= MASTER_MAIL_ROOTS_MAX &&
	       p->files_n <= MASTER_FILES_MAX && p->filters_n <= MASTER_FILTERS_MAX &&
	       all_end(p->state, sizeof p->state, 1) && all_end(p->spool, sizeof p->spool, 1) &&
	       all_end(p->trust, sizeof p->trust, 1) && doors_are_sound(p) &&
	       all_end(p->mail_roots[0], sizeof p->mail_roots[0], p->mail_roots_n) &&
	       all_end(p->files[0], sizeof p->files[0], p->files_n) && filters_are_sound(p);
}
