/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Intrusive ring: a struct list is the head, or a link inside a member. Initialise heads with
 * list_init; a link that is in no list is zero or initialised. list_of gives the member that holds
 * a link.
 */
struct list {
	struct list *next, *prev;
};

#define list_of(link, type, field) ((type *)(void *)((char *)(link)-offsetof(type, field)))

#define list_each(at, head) for (struct list *at = (head)->next; at != (head); at = at->next)

/* The member at `at` may be removed in the body. */
#define list_each_safe(at, head)                                                  \
	for (struct list *at = (head)->next, *at##_next = at->next; at != (head); \
		at = at##_next, at##_next = at->next)

static inline void
list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool
list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline void
list_append(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a ring has no null */
	head->prev->next = link;
	head->prev = link;
}

/* Out of whatever list it is in; a link in no list is left as it is. */
static inline void
list_remove(struct list *link)
{
	if (!link->next)
		return;
	link->prev->next = link->next;
	link->next->prev = link->prev;
	link->next = link->prev = NULL;
}

static inline bool
list_is_linked(const struct list *link)
{
	return link->next != NULL;
}

/* All members of `from` to the end of `head`; `from` is empty afterwards. */
static inline void
list_move_all(struct list *head, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = head->prev;
	head->prev->next = from->next;
	from->prev->next = head;
	head->prev = from->prev;
	list_init(from);
}

#endif
